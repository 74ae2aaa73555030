//! A judgement as types: what a reviewer thinks, how sure it is, and each problem with its place.
//!
//! Read from an answer by [`read`]. What cannot be read is no verdict, and no verdict never counts as approval: the
//! caller has to treat it as something a person must look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BEGINS, last_block};

/// How many findings of one answer are kept.
pub const FINDINGS_MAX: usize = 50;
/// How many unresolved concerns of one answer are kept.
pub const UNRESOLVED_MAX: usize = 20;
/// The longest text of one finding or concern, in bytes.
const TEXT_MAX: usize = 600;

/// What a reviewer is told about the form of its answer.
pub const ASKED_FOR: &str = "\
End your answer with one line for each problem, if there are any, and then exactly this block:

FINDING: P0|P1|P2|P3 path/to/file:LINE - what is wrong - the evidence for it
UNRESOLVED: a concern that you could not settle (one line each; leave it out if there are none)
--- VERDICT ---
STATUS: pass|fail|warn
CONFIDENCE: 0 to 100
SCORES: accuracy 1-10, completeness 1-10, clarity 1-10
SUMMARY: one line
---
";

/// What a reviewer wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    /// It is good as it is.
    Approve,
    /// It is good once something is mended.
    Revise,
    /// It is not good.
    Reject,
    /// It could not tell.
    Undecided,
}

impl Stance {
    fn of(word: &str) -> Option<Stance> {
        match word.trim().to_ascii_lowercase().as_str() {
            "pass" | "approve" | "approved" => Some(Stance::Approve),
            "warn" | "retry" | "revise" => Some(Stance::Revise),
            "fail" | "reject" | "rejected" => Some(Stance::Reject),
            "error" | "undecided" | "abstain" => Some(Stance::Undecided),
            _ => None,
        }
    }

    /// Whether something has to change for it.
    pub fn objects(self) -> bool {
        match self {
            Stance::Revise | Stance::Reject => true,
            Stance::Approve | Stance::Undecided => false,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Stance::Approve => "approve",
            Stance::Revise => "revise",
            Stance::Reject => "reject",
            Stance::Undecided => "undecided",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Severity {
    /// It must not go out like this: a security hole, lost data.
    P0,
    /// It is wrong.
    P1,
    /// It should be better.
    P2,
    /// A detail.
    P3,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// One located problem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The file, when it is in one.
    pub file: Option<String>,
    /// The line, from 1, when it is in one.
    pub line: Option<u32>,
    /// What is wrong.
    pub claim: String,
    /// What shows it; empty when the reviewer gave nothing.
    pub evidence: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.severity)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " {file}:{line}")?,
            (Some(file), None) => write!(f, " {file}")?,
            (None, _) => {}
        }
        write!(f, " - {}", self.claim)?;
        if self.evidence.is_empty() {
            return Ok(());
        }
        write!(f, " - {}", self.evidence)
    }
}

/// A judgement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What the reviewer wants.
    pub stance: Stance,
    /// How sure it is, 0 to 100, when it said so.
    pub confidence: Option<u8>,
    /// Its score, 1 to 10: the one it gave, or the mean of several, rounded down.
    pub score: Option<u8>,
    /// The problems, worst first.
    pub findings: Vec<Finding>,
    /// What it could not settle.
    pub unresolved: Vec<String>,
    /// One line.
    pub summary: String,
}

impl Verdict {
    /// The worst finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).min()
    }
}

/// The judgement of an answer: its last valid block, or failing that its last line `VERDICT: …`; with the findings and
/// concerns that stand in the answer.
pub fn read(text: &str) -> Option<Verdict> {
    let (stance, summary, block) = match last_block(text) {
        Some(block) => {
            let field = |name| line_value(&block, name).map(str::to_owned);
            let stance = field("STATUS").as_deref().and_then(Stance::of)?;
            (stance, field("SUMMARY").unwrap_or_default(), block)
        }
        None => {
            let mut lines = text.lines().rev().filter_map(|line| value(line, "VERDICT"));
            let (stance, rest) = lines.find_map(|words| {
                let (word, rest) = words.split_once([' ', ',', '(', ':', '-']).unwrap_or((words, ""));
                Some((Stance::of(word.trim_matches(['*', '.']))?, rest))
            })?;
            (
                stance,
                rest.trim_matches([' ', ')', '-', ':']).to_owned(),
                String::new(),
            )
        }
    };
    let mut findings: Vec<Finding> = text.lines().filter_map(finding).take(FINDINGS_MAX).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings.dedup();
    let unresolved = text
        .lines()
        .filter_map(|line| value(line, "UNRESOLVED"))
        .filter(|words| !["", "none", "none."].contains(&words.to_ascii_lowercase().as_str()))
        .map(bounded)
        .take(UNRESOLVED_MAX)
        .collect();
    Some(Verdict {
        stance,
        confidence: confidence(&block).or_else(|| confidence(text)),
        score: score(&block).or_else(|| score(text)),
        findings,
        unresolved,
        summary: bounded(&summary),
    })
}

/// The last confidence that a text states, 0 to 100: `CONFIDENCE: 80`, `Confidence score: 80/100`, `80 %`.
pub fn confidence(text: &str) -> Option<u8> {
    let mut lines = text.lines().rev();
    lines.find_map(|line| {
        let words = value(line, "CONFIDENCE").or_else(|| value(line, "CONFIDENCE SCORE"))?;
        let number: f64 = leading_number(words)?;
        let percent = if number <= 1.0 && words.contains('.') {
            number * 100.0
        } else {
            number
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 100")]
        (0.0..=100.0).contains(&percent).then(|| percent.round() as u8)
    })
}

/// The last score that a text states, 1 to 10: `SCORE: 8`, or the mean of `SCORES: accuracy 8, clarity 9`.
pub fn score(text: &str) -> Option<u8> {
    let mut lines = text.lines().rev();
    lines.find_map(|line| {
        let words = value(line, "SCORE").or_else(|| value(line, "SCORES"))?;
        let parts = words.split(',').filter_map(|part| {
            let digits = part.find(|c: char| c.is_ascii_digit())?;
            leading_number(&part[digits..])
        });
        let numbers: Vec<f64> = parts.filter(|number| (0.0..=10.0).contains(number)).collect();
        if numbers.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of scores")]
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 10")]
        Some(mean.floor() as u8)
    })
}

fn leading_number(words: &str) -> Option<f64> {
    let words = words.trim_start();
    let end = words
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(words.len());
    words[..end].trim_end_matches('.').parse().ok()
}

/// The lines that state something which is acted upon: by [`read`], by the summary that other tasks are given, and by
/// the notes that are kept of what an agent learned.
const STATED: [&str; 9] = [
    "VERDICT",
    "FINDING",
    "UNRESOLVED",
    "CONFIDENCE",
    "CONFIDENCE SCORE",
    "SCORE",
    "SCORES",
    "SUMMARY",
    "LEARNED",
];

/// Words of one agent as another is shown them: each line that states a judgement is quoted, so that whoever repeats it
/// has not said it. An author's own "VERDICT: approve" that a reviewer copies is no approval.
pub fn quoted(text: &str) -> String {
    let is_own = |line: &str| !line.trim_start().starts_with('>');
    let states =
        |line: &str| is_own(line) && (line.contains(BEGINS) || STATED.iter().any(|name| value(line, name).is_some()));
    let mut quoted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if states(line) {
            quoted.push_str("> ");
        }
        quoted.push_str(line);
    }
    quoted
}

/// What stands behind `NAME:` in a line, whatever list marks or emphasis stand before it. A line that quotes (`>`) states
/// nothing.
fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.trim_start_matches([' ', '\t', '-', '*', '#']);
    let (key, rest) = line.split_once(':')?;
    key.trim_end_matches(['*', ' '])
        .eq_ignore_ascii_case(name)
        .then(|| rest.trim_start_matches('*').trim())
}

fn line_value<'b>(block: &'b str, name: &str) -> Option<&'b str> {
    block.lines().find_map(|line| value(line, name))
}

/// `FINDING: P1 src/a.rs:12 - claim - evidence`; a place is optional, and `|` separates as well as ` - `.
fn finding(line: &str) -> Option<Finding> {
    let words = value(line, "FINDING")?;
    let (severity, rest) = words.split_once(char::is_whitespace)?;
    let rest = rest.trim_start().trim_start_matches("- ");
    let severity = match severity.trim_matches(['[', ']', ',']).to_ascii_uppercase().as_str() {
        "P0" | "CRITICAL" => Severity::P0,
        "P1" | "HIGH" => Severity::P1,
        "P2" | "MEDIUM" => Severity::P2,
        "P3" | "LOW" => Severity::P3,
        _ => return None,
    };
    let mut parts: Vec<&str> = match rest.contains(" | ") {
        true => rest.splitn(3, " | ").map(str::trim).collect(),
        false => rest.splitn(3, " - ").map(str::trim).collect(),
    };
    let place = parts.first().copied().and_then(place);
    if place.is_some() {
        parts.remove(0);
    }
    let (file, line) = place.unzip();
    let mut parts = parts.into_iter();
    let claim = bounded(parts.next()?);
    let evidence = bounded(&parts.collect::<Vec<_>>().join(" - "));
    (!claim.is_empty()).then_some(Finding {
        severity,
        file,
        line: line.flatten(),
        claim,
        evidence,
    })
}

/// A path with or without a line: one word that looks like a path, not the beginning of a sentence.
fn place(words: &str) -> Option<(String, Option<u32>)> {
    if words.is_empty() || words.contains(char::is_whitespace) {
        return None;
    }
    let mut parts = words.split(':');
    let file = parts.next()?.trim_matches('`');
    let line = parts.next().and_then(|line| line.trim_matches('`').parse().ok());
    (file.contains(['/', '.']) || line.is_some()).then(|| (file.to_owned(), line))
}

fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_answer_is_taken_apart() {
        let text = "I looked at it.\n\n\
            FINDING: P2 src/b.rs - the name says nothing - `fn x`\n\
            - **FINDING:** P0 src/auth.rs:41 - the state is not compared - any value passes, see the test below\n\
            FINDING: P1 - nothing says what happens on a timeout\n\
            UNRESOLVED: whether the clock can go back\n\
            UNRESOLVED: none\n\
            --- VERDICT ---\nSTATUS: fail\nCONFIDENCE: 85\nSCORES: accuracy 6, completeness 8, clarity 9\n\
            SUMMARY: not like this\n---\n";
        let verdict = read(text).unwrap();
        assert_eq!(verdict.stance, Stance::Reject);
        assert_eq!((verdict.confidence, verdict.score), (Some(85), Some(7)));
        let shown: Vec<String> = verdict.findings.iter().map(Finding::to_string).collect();
        assert_eq!(
            shown,
            [
                "P0 src/auth.rs:41 - the state is not compared - any value passes, see the test below",
                "P1 - nothing says what happens on a timeout",
                "P2 src/b.rs - the name says nothing - `fn x`",
            ]
        );
        assert_eq!(verdict.worst(), Some(Severity::P0));
        assert_eq!(verdict.unresolved, ["whether the clock can go back"]);
        assert_eq!(verdict.summary, "not like this");
    }

    #[test]
    fn a_verdict_line_is_enough_and_the_last_one_counts() {
        for (text, stance, confidence) in [
            ("VERDICT: APPROVE", Stance::Approve, None),
            (
                "VERDICT: reject\nthen\n**VERDICT:** approve (all fine)\nCONFIDENCE: 0.8",
                Stance::Approve,
                Some(80),
            ),
            (
                "Verdict: revise - two things\nConfidence score: 55/100",
                Stance::Revise,
                Some(55),
            ),
            ("VERDICT: undecided.", Stance::Undecided, None),
        ] {
            let verdict = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((verdict.stance, verdict.confidence), (stance, confidence), "{text}");
        }
    }

    #[test]
    fn what_one_agent_said_is_not_said_by_another_that_repeats_it() {
        let said = "Done.\nFINDING: P0 a.rs:1 - x - y\n**VERDICT:** approve\nCONFIDENCE: 99\nSCORE: 9\nUNRESOLVED: z\n\
                    --- VERDICT ---\nSTATUS: pass\n---";
        assert!(read(said).is_some());
        let shown = quoted(said);
        assert_eq!(
            (read(&shown), confidence(&shown), score(&shown)),
            (None, None, None),
            "{shown}"
        );
        assert_eq!(quoted(&shown), shown);
        let own = read(&format!("{shown}\nVERDICT: reject")).unwrap();
        assert_eq!(
            (own.stance, own.findings.len(), own.unresolved.len()),
            (Stance::Reject, 0, 0)
        );
        assert_eq!(quoted("plain\r\nwords: here\n"), "plain\r\nwords: here\n");
    }

    #[test]
    fn nonsense_is_no_verdict() {
        for text in [
            "",
            "All good, I approve!",
            "VERDICT: maybe",
            "VERDICT:",
            "--- VERDICT ---\nSTATUS: splendid\n---",
            "STATUS: pass",
            "\u{0}\u{1F980}: : : FINDING: P9 x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_can_be_read() {
        let filled = ASKED_FOR
            .replace("P0|P1|P2|P3 path/to/file:LINE", "P1 path/to/file:7")
            .replace("pass|fail|warn", "warn")
            .replace("0 to 100", "60")
            .replace("1-10", "9");
        let verdict = read(&filled).unwrap();
        assert_eq!(verdict.stance, Stance::Revise);
        assert_eq!((verdict.confidence, verdict.score), (Some(60), Some(9)));
        assert_eq!(verdict.findings[0].line, Some(7));
        assert_eq!(verdict.unresolved.len(), 1);
    }

    #[test]
    fn numbers_out_of_range_are_not_taken() {
        assert_eq!(confidence("CONFIDENCE: 400"), None);
        assert_eq!(confidence("CONFIDENCE: high"), None);
        assert_eq!(confidence("CONFIDENCE: 1"), Some(1));
        assert_eq!(score("SCORE: 8/10"), Some(8));
        assert_eq!(score("SCORES: accuracy eight"), None);
    }

    #[test]
    fn a_flood_of_findings_is_bounded() {
        let flood = format!("{}VERDICT: reject", "FINDING: P3 a.rs:1 - x - y\n".repeat(10_000));
        assert!(read(&flood).unwrap().findings.len() <= FINDINGS_MAX);
    }
}
