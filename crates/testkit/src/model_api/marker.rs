//! Orders to the fake model inside a prompt, so that a test can drive a real agent without configuring anything.
//!
//! `[[fault:429x2]]` `[[say:text]]` `[[think:text]]` `[[edit:PATH:CONTENT]]` `[[run:COMMAND]]`
//! `[[tool:NAME {json}]]` `[[usage:input,cache_read,cache_write,output,reasoning]]` `[[usage:omitted]]`
//! `[[delay:MS]]` `[[pace:MS]]` `[[hold:GATE]]` `[[long:BYTES]]` `[[shred:BYTES]]`
//!
//! They are read in order. An act (`edit`, `run`, `tool`) ends a reply; the others belong to the reply they stand in.
//! What stands after the last act is the closing reply. In text, `\n`, `\t`, `\\` and `\]` are escapes.

use serde_json::Value;

use super::script::{Act, Reply, Text, Tokens, UsageSaid};

/// The longest text `[[long:BYTES]]` makes.
pub const LONG_BYTES_MAX: usize = 64 << 20;

/// The replies a prompt orders, the closing one last; `None` when it has no markers.
pub(crate) struct Orders {
    pub(crate) replies: Vec<Reply>,
    /// Markers that could not be read.
    pub(crate) problems: Vec<String>,
}

/// Reads the markers of a prompt.
pub(crate) fn read(text: &str) -> Option<Orders> {
    let mut orders = Orders {
        replies: vec![Reply::default()],
        problems: Vec::new(),
    };
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("[[") {
        rest = &rest[at + 2..];
        let Some((name, after)) = marker_name(rest) else {
            continue;
        };
        found = true;
        let Some((body, after)) = marker_body(name, after) else {
            orders.problems.push(format!("`[[{name}:` has no end"));
            break;
        };
        rest = after;
        if let Err(problem) = obey(&mut orders.replies, name, body) {
            orders.problems.push(format!("`[[{name}:{body}]]`: {problem}"));
        }
    }
    found.then_some(orders)
}

/// The names of the markers.
pub const MARKERS: [&str; 12] = [
    "fault", "say", "think", "edit", "run", "tool", "usage", "delay", "pace", "hold", "long", "shred",
];

/// Splits off `NAME:`. A word that is no marker name is ordinary text: prompts may hold `[[` of their own.
fn marker_name(text: &str) -> Option<(&'static str, &str)> {
    MARKERS
        .into_iter()
        .find_map(|name| Some((name, text.strip_prefix(name)?.strip_prefix(':')?)))
}

/// The text of the marker and what follows it. JSON may hold `]]` itself, so a tool's input is read as JSON first.
fn marker_body<'a>(name: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    let from = match (name, text.find('{')) {
        ("tool", Some(json)) if text.find("]]").is_none_or(|end| json < end) => {
            let mut values = serde_json::Deserializer::from_str(&text[json..]).into_iter::<Value>();
            match values.next() {
                Some(Ok(_)) => json + values.byte_offset(),
                _ => 0,
            }
        }
        _ => 0,
    };
    let mut at = from;
    loop {
        let end = at + text[at..].find("]]")?;
        if end == 0 || text.as_bytes()[end - 1] != b'\\' {
            return Some((&text[..end], &text[end + 2..]));
        }
        at = end + 1;
    }
}

/// Adds one marker to the replies. The last of them is the one being written.
fn obey(replies: &mut Vec<Reply>, name: &str, body: &str) -> Result<(), String> {
    let number = || body.trim().parse::<u64>().map_err(|_| "a number is needed".to_owned());
    let act = match name {
        "edit" => {
            let (path, content) = body.split_once(':').ok_or("write PATH:CONTENT")?;
            Some(Act::Edit {
                path: path.to_owned(),
                content: unescape(content),
            })
        }
        "run" => Some(Act::Run(unescape(body))),
        "tool" => {
            let (name, input) = body.split_once(' ').unwrap_or((body, "{}"));
            let input = serde_json::from_str(input).map_err(|error| error.to_string())?;
            let name = name.to_owned();
            Some(Act::Tool { name, input })
        }
        _ => None,
    };
    let Some(reply) = replies.last_mut() else { return Ok(()) };
    if let Some(act) = act {
        reply.acts.push(act);
        replies.push(Reply::default());
        return Ok(());
    }
    match name {
        "fault" => reply.fault = Some(body.parse().map_err(|error| format!("{error}"))?),
        "say" => reply.text = Some(Text::Whole(unescape(body))),
        "think" => reply.think = Some(unescape(body)),
        "usage" => reply.usage = Some(usage(body)?),
        "delay" => reply.delay_ms = number()?,
        "pace" => reply.pace_ms = number()?,
        "hold" => reply.hold = Some(body.to_owned()),
        "shred" => reply.shred = Some(usize::try_from(number()?).unwrap_or(usize::MAX)),
        "long" => reply.text = Some(long(number()?)?),
        _ => return Err("is not a marker".to_owned()),
    }
    Ok(())
}

/// Lines of 64 bytes, in chunks of 4,096.
fn long(bytes: u64) -> Result<Text, String> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes > LONG_BYTES_MAX {
        return Err(format!("at most {LONG_BYTES_MAX} bytes"));
    }
    let line = format!("{}\n", "0123456789abcdef".repeat(4).split_off(1));
    let block = line.repeat(64);
    let chunk = |at: usize| block[..block.len().min(bytes - at)].to_owned();
    Ok(Text::Chunks((0..bytes).step_by(block.len()).map(chunk).collect()))
}

fn usage(body: &str) -> Result<UsageSaid, String> {
    if body.trim() == "omitted" {
        return Ok(UsageSaid::Omitted);
    }
    let numbers: Vec<u64> = body
        .split(',')
        .map(|part| part.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "write input,cache_read,cache_write,output,reasoning or omitted".to_owned())?;
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
    Ok(UsageSaid::Tokens(Tokens {
        input: at(0),
        cache_read: at(1),
        cache_write: at(2),
        output: at(3),
        reasoning: at(4),
    }))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(kept @ ('\\' | ']')) => out.push(kept),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(text: &str) -> Vec<Reply> {
        let orders = read(text).unwrap();
        assert_eq!(orders.problems, [""; 0], "{text}");
        orders.replies
    }

    #[test]
    fn markers_make_replies_in_order() {
        let replies = replies(
            r#"Do it. [[say:First.]][[edit:src/a.rs:fn a() {}\n]] then [[fault:cutx1]][[run:ls [a-z]*]] [[say:All \]] done]]"#,
        );
        assert_eq!(replies.len(), 3);
        assert_eq!(replies[0].text, Some(Text::Whole("First.".to_owned())));
        assert_eq!(
            replies[0].acts,
            [Act::Edit {
                path: "src/a.rs".to_owned(),
                content: "fn a() {}\n".to_owned()
            }]
        );
        assert_eq!(replies[1].fault.unwrap().to_string(), "cutx1");
        assert_eq!(replies[1].acts, [Act::Run("ls [a-z]*".to_owned())]);
        assert_eq!(replies[2].text, Some(Text::Whole("All ]] done".to_owned())));
    }

    #[test]
    fn a_tools_input_may_hold_what_ends_a_marker() {
        let replies = replies(r#"[[tool:Write {"file_path":"a","content":"x]] {y","rows":[[1],[2]]}]]"#);
        let Act::Tool { name, input } = &replies[0].acts[0] else {
            panic!()
        };
        assert_eq!(name, "Write");
        assert_eq!(input["content"], "x]] {y");
        assert_eq!(input["rows"][1][0], 2);
    }

    #[test]
    fn ordinary_brackets_are_no_markers_and_broken_ones_are_said() {
        assert!(read("see [[wiki]] and [[1,2],[3]]").is_none());
        for (text, says) in [
            ("[[fault:430]]", "names no fault"),
            ("[[delay:soon]]", "number"),
            ("[[edit:path]]", "PATH:CONTENT"),
            ("[[say:never ends", "no end"),
            ("[[tool:X {oops}]]", "key"),
        ] {
            let orders = read(text).unwrap();
            assert!(orders.problems[0].contains(says), "{text}: {:?}", orders.problems);
        }
    }

    #[test]
    fn numbers_and_long_texts() {
        let reply = &replies("[[usage:1,2,3,4,5]][[pace:7]][[long:5000]][[hold:gate]]")[0];
        assert_eq!(
            reply.usage,
            Some(UsageSaid::Tokens(Tokens {
                input: 1,
                cache_read: 2,
                cache_write: 3,
                output: 4,
                reasoning: 5
            }))
        );
        let Some(Text::Chunks(chunks)) = &reply.text else {
            panic!()
        };
        assert_eq!(chunks.iter().map(String::len).sum::<usize>(), 5_000);
        assert_eq!(reply.hold.as_deref(), Some("gate"));
    }
}
