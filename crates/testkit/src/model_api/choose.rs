//! From a request to what is said in answer. Deterministic: the same script and the same requests give the same
//! replies; only rules counted together look at the order in which requests arrive.

use std::collections::HashMap;

use super::ask::{Ask, PastCall};
use super::fault::{Fault, FaultKind};
use super::marker;
use super::script::{Act, Counted, DEFAULT_TEXT, Reply, Rule, Script, Text, Tokens, UsageSaid};
use super::toolbox::{self, Call};

/// Text is cut into chunks of this many characters.
const CHUNK_CHARS: usize = 16;

/// How a reply ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Done,
    ToolUse,
    MaxTokens,
    Refusal,
}

/// Everything an answer is made of.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Play {
    pub(crate) think: Option<String>,
    pub(crate) chunks: Vec<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) stop: Stop,
    /// None: the answer says nothing about usage.
    pub(crate) usage: Option<Tokens>,
    pub(crate) delay_ms: u64,
    pub(crate) pace_ms: u64,
    pub(crate) hold: Option<String>,
    pub(crate) shred: Option<usize>,
    /// The fault that hits this attempt.
    pub(crate) fault: Option<Fault>,
    /// What ids are made of: 24 hex digits.
    pub(crate) seed: String,
    pub(crate) try_number: u32,
    /// What could not be understood in the prompt or the model's name.
    pub(crate) problems: Vec<String>,
}

impl Play {
    pub(crate) fn text(&self) -> String {
        self.chunks.concat()
    }
}

/// How often each point of each conversation was reached.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    tries: HashMap<String, u32>,
    places: HashMap<String, usize>,
}

/// A short hash, for people to compare.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let mut hex = hasher.finalize().to_hex().to_string();
    hex.truncate(24);
    hex
}

/// Chooses what is said, and remembers that it was asked.
pub(crate) fn choose(script: &Script, memory: &mut Memory, ask: &Ask) -> Play {
    let vendor = format!("{:?}", ask.vendor);
    let conversation = digest(&[&vendor, &ask.model, &ask.text]);
    let point = digest(&[&conversation, &ask.rounds.len().to_string(), &ask.side.to_string()]);
    let tries = memory.tries.entry(point.clone()).or_insert(0);
    *tries += 1;
    let try_number = *tries;
    let seed = digest(&[&point, &ask.entries.to_string(), &try_number.to_string()]);
    let mut problems = Vec::new();
    let reply = if ask.side {
        side_reply(ask)
    } else {
        let by_rule = by_rule(script, memory, ask, &conversation, try_number);
        by_rule.unwrap_or_else(|| by_prompt(script, ask, try_number, &mut problems))
    };
    let mut play = perform(script, ask, reply, seed, try_number);
    play.problems = problems;
    if play.fault.is_none() && !ask.side {
        match Fault::of_model(&ask.model) {
            Some(Ok(fault)) if fault.hits(try_number) => play.fault = Some(fault),
            Some(Err(error)) => play.problems.push(format!("model `{}`: {error}", ask.model)),
            Some(Ok(_)) | None => {}
        }
    }
    ended_by_fault(&mut play);
    play
}

/// A title, or whatever the schema of the question wants.
fn side_reply(ask: &Ask) -> Reply {
    match &ask.schema {
        Some(_) => Reply::default(),
        None => Reply::text("A scripted title"),
    }
}

fn by_rule(script: &Script, memory: &mut Memory, ask: &Ask, conversation: &str, try_number: u32) -> Option<Reply> {
    let matching = |(_, rule): &(usize, &Rule)| {
        rule.vendor.is_none_or(|vendor| vendor == ask.vendor)
            && rule.model.as_ref().is_none_or(|glob| matches_glob(glob, &ask.model))
            && rule.says.as_ref().is_none_or(|says| ask.text.contains(says.as_str()))
            && rule.attempt.is_none_or(|attempt| attempt.contains(try_number))
            && !rule.replies.is_empty()
    };
    let (number, rule) = script.rules.iter().enumerate().find(matching)?;
    let place = match rule.counted {
        Counted::PerPrompt => format!("{number} {conversation}"),
        Counted::Together => number.to_string(),
    };
    let replies = unrolled(&rule.replies);
    let used = memory.places.entry(place).or_insert(0);
    let reply = replies.get(*used).or(replies.last()).cloned();
    *used += 1;
    reply
}

/// Writes counts and `then` out as replies of their own.
fn unrolled(replies: &[Reply]) -> Vec<Reply> {
    let mut all = Vec::new();
    for reply in replies {
        let plain = Reply {
            then: None,
            ..reply.clone()
        };
        match reply.fault.and_then(|fault| fault.count) {
            Some(count) => {
                all.extend((0..count).map(|_| plain.clone()));
                all.push(Reply { fault: None, ..plain });
            }
            None => all.push(plain),
        }
        if let Some(text) = &reply.then {
            all.push(Reply {
                usage: reply.usage,
                ..Reply::text(text)
            });
        }
    }
    all
}

/// What the markers of the prompt order at this point; what the script says otherwise.
fn by_prompt(script: &Script, ask: &Ask, try_number: u32, problems: &mut Vec<String>) -> Reply {
    let Some(orders) = marker::read(&ask.text) else {
        return otherwise(script, ask);
    };
    problems.extend(orders.problems);
    let progress = progress(&orders.replies, &ask.rounds);
    let mut reply = orders.replies.get(progress.done).cloned().unwrap_or_default();
    reply.fault = reply.fault.filter(|fault| fault.hits(try_number));
    let read = reply.acts.first().filter(|_| progress.read_first);
    if let Some(call) = read.and_then(|act| toolbox::read_first(ask, act)) {
        reply.acts = vec![exact(call)];
    }
    if reply.acts.is_empty() && reply.text.is_none() {
        reply.text = closing_text(script, ask);
    }
    reply
}

/// A call that is already fitted to the tools of the request.
fn exact(call: Call) -> Act {
    let input = match call.input {
        toolbox::Input::Object(input) => input,
        toolbox::Input::FreeText(text) => text.into(),
    };
    Act::Tool { name: call.name, input }
}

fn otherwise(script: &Script, ask: &Ask) -> Reply {
    let mut reply = script.otherwise.clone();
    if !ask.rounds.is_empty() {
        // The acts were done already; what is left is to close.
        reply.acts.clear();
        reply.text = reply.then.take().map(Text::Whole).or(reply.text);
    }
    reply
}

fn closing_text(script: &Script, ask: &Ask) -> Option<Text> {
    if ask.rounds.is_empty() {
        return script.otherwise.text.clone();
    }
    let text = match ask.last_failed() {
        Some(result) => format!("The tool failed: {}", result.text.lines().next().unwrap_or_default()),
        None => "Done.".to_owned(),
    };
    Some(Text::Whole(text))
}

struct Progress {
    /// How many replies are behind us.
    done: usize,
    /// The file has to be read before the act is tried again.
    read_first: bool,
}

/// Finds the place in the replies from what was called so far, so that it holds over retries, resumes and restarts.
fn progress(replies: &[Reply], rounds: &[Vec<PastCall>]) -> Progress {
    let mut at = Progress {
        done: 0,
        read_first: false,
    };
    let mut has_read = false;
    for round in rounds {
        let edits = replies
            .get(at.done)
            .is_some_and(|reply| matches!(reply.acts[..], [Act::Edit { .. }]));
        let is_read = round.iter().all(|call| toolbox::reads(&call.name));
        let unread = round.iter().filter_map(|call| call.result.as_ref()).any(|result| {
            let text = result.text.to_lowercase();
            text.contains("read it first") || text.contains("has not been read") || text.contains("must read the file")
        });
        if edits && is_read {
            at.read_first = false;
            has_read = true;
        } else if edits && unread && !has_read {
            at.read_first = true;
        } else {
            at.done += 1;
            at.read_first = false;
            has_read = false;
        }
    }
    at.done = at.done.min(replies.len().saturating_sub(1));
    at
}

fn perform(script: &Script, ask: &Ask, reply: Reply, seed: String, try_number: u32) -> Play {
    let mut chunks = match reply.text {
        Some(Text::Chunks(chunks)) => chunks,
        Some(Text::Whole(text)) => chunked(&text),
        None if reply.acts.is_empty() => chunked(&default_text(ask)),
        None => Vec::new(),
    };
    let mut calls = Vec::new();
    for act in &reply.acts {
        match toolbox::call(ask, act) {
            Some(call) => calls.push(call),
            None => chunks.extend(chunked(&cannot(act))),
        }
    }
    let usage = reply
        .usage
        .or(script.usage)
        .unwrap_or(UsageSaid::Tokens(Tokens::default()));
    Play {
        think: reply.think,
        stop: if calls.is_empty() { Stop::Done } else { Stop::ToolUse },
        chunks,
        calls,
        usage: match usage {
            UsageSaid::Omitted => None,
            UsageSaid::Tokens(tokens) => Some(tokens),
        },
        delay_ms: reply.delay_ms,
        pace_ms: reply.pace_ms,
        hold: reply.hold,
        shred: reply.shred.map(|bytes| bytes.max(1)),
        fault: reply.fault,
        seed,
        try_number,
        problems: Vec::new(),
    }
}

fn default_text(ask: &Ask) -> String {
    match &ask.schema {
        Some(schema) => toolbox::instance(schema).to_string(),
        None => DEFAULT_TEXT.to_owned(),
    }
}

fn cannot(act: &Act) -> String {
    match act {
        Act::Edit { path, .. } => format!("No offered tool can write {path}."),
        Act::Run(command) => format!("No offered tool can run `{command}`."),
        Act::Tool { name, .. } => format!("No tool {name} is offered."),
    }
}

/// Faults that are complete answers change what is said.
fn ended_by_fault(play: &mut Play) {
    match play.fault.map(|fault| fault.kind) {
        Some(FaultKind::Empty) => {
            (play.think, play.chunks, play.calls) = (None, Vec::new(), Vec::new());
            play.stop = Stop::Done;
            play.usage = play.usage.map(|tokens| Tokens { output: 0, ..tokens });
        }
        Some(FaultKind::Refusal) => {
            play.chunks = chunked("I can't help with that.");
            play.calls.clear();
            play.stop = Stop::Refusal;
        }
        Some(FaultKind::MaxTokens) => {
            play.calls.clear();
            play.stop = Stop::MaxTokens;
        }
        _ => {}
    }
}

fn chunked(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(CHUNK_CHARS).map(|chunk| chunk.iter().collect()).collect()
}

/// `*` is any text, `?` any one character.
fn matches_glob(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    g = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::super::ask::PastResult;
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, text, matches) in [
            ("*", "", true),
            ("gpt-*", "gpt-5.5", true),
            ("gpt-*", "a gpt-5.5", false),
            ("*-5?5", "gpt-5.5", true),
            ("*-5?5", "gpt-5.55", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches_glob(glob, text), matches, "{glob} {text}");
        }
    }

    #[test]
    fn counts_and_closings_are_written_out() {
        let replies = [Reply::text("a").fault("500x2").unwrap().then("b"), Reply::text("c")];
        let said: Vec<String> = unrolled(&replies)
            .into_iter()
            .map(|reply| {
                let Some(Text::Whole(text)) = reply.text else { panic!() };
                let fault = reply.fault.map(|fault| fault.to_string()).unwrap_or_default();
                format!("{text} {fault}").trim().to_owned()
            })
            .collect();
        assert_eq!(said, ["a 500x2", "a 500x2", "a", "b", "c"]);
    }

    #[test]
    fn progress_is_read_from_what_was_called() {
        let replies = [
            Reply::act(Act::Edit {
                path: "a".to_owned(),
                content: "x".to_owned(),
            }),
            Reply::act(Act::Run("ls".to_owned())),
            Reply::text("done"),
        ];
        let round = |name: &str, text: &str| {
            vec![PastCall {
                id: String::new(),
                name: name.to_owned(),
                result: Some(PastResult {
                    text: text.to_owned(),
                    failed: false,
                }),
            }]
        };
        let unread = || round("Write", "File has not been read yet. Read it first.");
        let read = || round("Read", "1 old");
        for (rounds, done, read_first) in [
            (vec![], 0, false),
            (vec![unread()], 0, true),
            (vec![unread(), read()], 0, false),
            (vec![unread(), read(), round("Write", "ok")], 1, false),
            // Refused again although it was read: the act counts as done, the closing text says that it failed.
            (vec![unread(), read(), unread()], 1, false),
            (vec![round("Write", "ok"), round("Bash", "a")], 2, false),
            (
                vec![round("Write", "ok"), round("Bash", "a"), round("Bash", "b")],
                2,
                false,
            ),
        ] {
            let at = progress(&replies, &rounds);
            assert_eq!((at.done, at.read_first), (done, read_first), "{rounds:?}");
        }
    }
}
