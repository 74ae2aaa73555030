//! How the stand-in says it: one JSON object a line, written by the sub-command `rehearse`, read by the backend.
//! Both ends are always the same build, so what does not fit is damage, not news.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use wheelhouse_core::usage::{Usage, UsageSource};

use super::answer::{Answer, Script};

/// The longest piece of text in one line, in bytes before escaping.
const PIECE_BYTES_MAX: usize = 8 << 10;

/// The longest line, in bytes: a piece of which every byte needs an escape of six, and its frame.
const LINE_BYTES_MAX: usize = 6 * PIECE_BYTES_MAX + 256;

/// Characters that make a token, roughly. Good enough for numbers that are labelled as estimated.
const CHARS_PER_TOKEN: u64 = 4;

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// It reads its prompt.
    Started,
    /// A piece of reasoning.
    Thought { text: String },
    /// A piece of the answer.
    Text { text: String },
    /// Estimated consumption.
    Usage(Usage),
    /// It has said everything. The last line.
    End(Close),
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Close {
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// The verdict it gave: the lines of the block without its fences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<String>,
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Reader {
    partial: Vec<u8>,
    /// A line was too long; its rest is passed over.
    skipping: bool,
}

impl Reader {
    /// Takes what came and gives the lines that are complete; none for one that is not ours.
    pub(super) fn push(&mut self, bytes: &[u8], give: &mut impl FnMut(Option<Line>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let complete = piece.ends_with(b"\n");
            if !self.skipping {
                self.partial.extend_from_slice(piece);
            }
            if self.partial.len() > LINE_BYTES_MAX {
                give(None);
                self.partial.clear();
                self.skipping = true;
            }
            if complete {
                if !self.skipping {
                    give(serde_json::from_slice(&self.partial).ok());
                }
                self.partial.clear();
                self.skipping = false;
            }
        }
    }
}

/// The sub-command `rehearse`: the prompt on stdin, lines of JSON on stdout. Its exit code is 1 when it was directed
/// to fail.
pub fn main() -> ExitCode {
    let mut prompt = Vec::new();
    let done = io::stdin().lock().read_to_end(&mut prompt).and_then(|_| {
        let prompt = String::from_utf8_lossy(&prompt);
        rehearse(&prompt, &mut io::stdout().lock())
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the stand-in could not read its prompt or write its answer: {error}");
            ExitCode::from(2)
        }
    }
}

/// Plays one turn; true when it went well.
fn rehearse(prompt: &str, to: &mut impl Write) -> io::Result<bool> {
    say(to, &Line::Started)?;
    let script = match Script::read(prompt) {
        Ok(script) => script,
        Err(words) => return fail(prompt, words, to),
    };
    let text = "Nobody is asked: this is a stand-in that answers from the prompt alone.".to_owned();
    say(to, &Line::Thought { text })?;
    if let Some(span) = script.sleep {
        std::thread::sleep(span);
    }
    if script.hang {
        loop {
            std::thread::park();
        }
    }
    if let Some(words) = script.fail {
        return fail(prompt, words, to);
    }
    let Answer { text, verdict } = Answer::to(prompt, &script);
    for piece in pieces(&text) {
        let text = piece.to_owned();
        say(to, &Line::Text { text })?;
    }
    say(to, &Line::Usage(usage(prompt, &text)))?;
    say(to, &Line::End(Close { failure: None, verdict }))?;
    Ok(true)
}

fn fail(prompt: &str, words: String, to: &mut impl Write) -> io::Result<bool> {
    say(to, &Line::Usage(usage(prompt, "")))?;
    let close = Close {
        failure: Some(words),
        verdict: None,
    };
    say(to, &Line::End(close))?;
    Ok(false)
}

fn say(to: &mut impl Write, line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    to.write_all(&bytes)?;
    to.flush()
}

fn usage(prompt: &str, answer: &str) -> Usage {
    let tokens = |text: &str| (text.chars().count() as u64).div_ceil(CHARS_PER_TOKEN);
    Usage {
        input: tokens(prompt),
        output: tokens(answer),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// Cuts a text into pieces between characters.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE_BYTES_MAX));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], chunk: usize) -> Vec<Option<Line>> {
        let mut reader = Reader::default();
        let mut lines = Vec::new();
        for chunk in bytes.chunks(chunk) {
            reader.push(chunk, &mut |line| lines.push(line));
        }
        lines
    }

    fn played(prompt: &str) -> (bool, Vec<Line>) {
        let mut bytes = Vec::new();
        let good = rehearse(prompt, &mut bytes).unwrap();
        let whole: Vec<Line> = lines(&bytes, bytes.len()).into_iter().map(Option::unwrap).collect();
        for chunk in [1, 7, 1000] {
            let cut: Vec<Line> = lines(&bytes, chunk).into_iter().map(Option::unwrap).collect();
            assert_eq!(cut, whole, "in chunks of {chunk}");
        }
        (good, whole)
    }

    #[test]
    fn a_turn_has_everything_in_order() {
        let (good, lines) = played("Say something.");
        assert!(good);
        let kinds: Vec<&str> = lines
            .iter()
            .map(|line| match line {
                Line::Started => "started",
                Line::Thought { .. } => "thought",
                Line::Text { .. } => "text",
                Line::Usage(_) => "usage",
                Line::End(_) => "end",
            })
            .collect();
        assert_eq!(kinds, ["started", "thought", "text", "usage", "end"]);
    }

    #[test]
    fn failures_end_the_turn_with_their_words() {
        let (good, lines) = played("rehearse: fail out of coffee");
        assert!(!good);
        let Some(Line::End(close)) = lines.last() else {
            panic!("{lines:?}")
        };
        assert_eq!(close.failure.as_deref(), Some("rehearsed failure: out of coffee"));
    }

    #[test]
    fn long_answers_come_in_pieces_that_put_together_are_the_answer() {
        let json = format!("[\"{}\"]", "→".repeat(20_000));
        let (_, lines) = played(&format!("rehearse: tasks {json}"));
        let pieces: Vec<&str> = lines
            .iter()
            .filter_map(|line| match line {
                Line::Text { text } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), json);
    }

    #[test]
    fn what_is_not_ours_is_seen() {
        assert_eq!(lines(b"{\"type\":\"dance\"}\n", 99), [None]);
        assert_eq!(
            lines(b"garbage\n{\"type\":\"started\"}\n", 99),
            [None, Some(Line::Started)]
        );
        let long = [vec![b'x'; LINE_BYTES_MAX * 3], b"\n{\"type\":\"started\"}\n".to_vec()].concat();
        assert_eq!(lines(&long, 1000), [None, Some(Line::Started)]);
    }
}
