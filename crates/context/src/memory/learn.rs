//! What a task taught that came out well and was checked, by rules.
//!
//! Two kinds. What the engine saw itself becomes [`Trust::Checked`] notes: which command checked which files, and that
//! it failed before it passed. No output of a command goes in, since an agent can have it print anything. What the agent
//! declares (`LEARNED:` at the beginning of a line) becomes [`Trust::Claimed`] notes, which wait for a person.

use wheelhouse_core::store::TaskResult;
use wheelhouse_core::time::Millis;

use super::{Note, PROJECT, Trust};

/// How an agent declares what it learned.
pub const DECLARED: &str = "LEARNED:";
/// Declarations of one task that are taken.
pub const DECLARED_MAX: usize = 3;
/// The longest declaration that is taken, in bytes.
const DECLARED_BYTES: usize = 300;
/// Checks of one task that are noted.
const CHECKS_MAX: usize = 2;
/// Files that a note names.
const FILES_MAX: usize = 3;
/// Longer commands and paths are scripts, not facts worth a note.
const COMMAND_BYTES: usize = 160;
const PATH_BYTES: usize = 120;

/// A task that came out well.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Its name, such as `r7/fix`.
    pub by: &'a str,
    /// What it came to.
    pub result: &'a TaskResult,
    /// All of its words.
    pub output: &'a str,
    /// How many tries it took.
    pub attempts: u32,
}

/// The notes that it gives. None where the engine checked nothing, or nothing real was done.
pub fn learned(lesson: &Lesson<'_>, now: Millis) -> Vec<Note> {
    let result = lesson.result;
    let checked = !result.checks.is_empty() && result.checks.iter().all(|check| check.passed());
    if !checked || result.rehearsed {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let files: Vec<&str> = result
        .files
        .iter()
        .map(String::as_str)
        .filter(|path| path.len() <= PATH_BYTES)
        .collect();
    for check in result.checks.iter().take(CHECKS_MAX) {
        if files.is_empty() || check.command.len() > COMMAND_BYTES || check.command.contains('\n') {
            continue;
        }
        let tries = match lesson.attempts {
            0 | 1 => String::new(),
            more => format!(" at try {more}"),
        };
        let more = files.len().saturating_sub(FILES_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let named = files[..files.len().min(FILES_MAX)].join(", ");
        let text = format!(
            "The check `{}` passed{tries} after changes to {named}{more}.",
            check.command
        );
        notes.extend(Note::new(PROJECT, &text, Trust::Checked, lesson.by, now));
    }
    let declared = lesson.output.lines().filter_map(|line| {
        let words = line
            .trim()
            .trim_start_matches(['-', '*', ' '])
            .strip_prefix(DECLARED)?
            .trim();
        (!words.is_empty() && words.len() <= DECLARED_BYTES).then_some(words)
    });
    for words in declared.take(DECLARED_MAX) {
        notes.extend(Note::new(PROJECT, words, Trust::Claimed, lesson.by, now));
    }
    notes
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::ids::ArtifactHash;
    use wheelhouse_core::store::Check;

    use super::*;

    fn result(exit_code: i32) -> TaskResult {
        TaskResult {
            files: vec![
                "src/tax.rs".to_owned(),
                "src/vat.rs".to_owned(),
                "a".to_owned(),
                "b".to_owned(),
            ],
            checks: vec![Check {
                command: "cargo test -p billing".to_owned(),
                exit_code: Some(exit_code),
                log: ArtifactHash("h".to_owned()),
                tail: "LEARNED: output of commands is not taken".to_owned(),
                took_ms: 1,
            }],
            ..TaskResult::default()
        }
    }

    fn lesson<'a>(result: &'a TaskResult, output: &'a str) -> Vec<String> {
        let lesson = Lesson {
            by: "r7/fix",
            result,
            output,
            attempts: 2,
        };
        learned(&lesson, Millis(5))
            .iter()
            .map(|note| format!("{} {}", note.trust.name(), note.text))
            .collect()
    }

    #[test]
    fn what_was_checked_is_a_fact_and_what_is_said_a_claim() {
        let output =
            "done\n- LEARNED: VAT is rounded per line.\nLEARNED:\nI LEARNED: no\nLEARNED: b\nLEARNED: c\nLEARNED: d\n";
        assert_eq!(
            lesson(&result(0), output),
            [
                "checked The check `cargo test -p billing` passed at try 2 after changes to src/tax.rs, src/vat.rs, a and 1 more.",
                "claimed VAT is rounded per line.",
                "claimed b",
                "claimed c",
            ]
        );
    }

    #[test]
    fn what_nobody_checked_teaches_nothing() {
        assert!(lesson(&result(1), "LEARNED: x").is_empty());
        assert!(lesson(&TaskResult::default(), "LEARNED: x").is_empty());
        let rehearsed = TaskResult {
            rehearsed: true,
            ..result(0)
        };
        assert!(lesson(&rehearsed, "LEARNED: x").is_empty());
    }
}
