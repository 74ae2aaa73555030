//! What a task did, in a few lines, from facts: what its verdict declares, which files really changed, which checks the
//! engine ran and how they ended. What an agent says about itself is quoted only as far as it is short.
//!
//! Also the filter for verdicts: one that is clean is one line; one that is not, or that is missing, is opened.

use wheelhouse_core::store::TaskResult;
use wheelhouse_core::verdict::{self, Severity, Stance, Verdict};

use crate::count;
use crate::receipt::{Layer, Receipt};
use crate::schema::first_sentence;
use crate::settings::Limits;

/// Lines of a summary at the most.
pub const LINES_MAX: usize = 8;
/// Lines of a verdict that is not clean at the most.
pub const OPENED_LINES_MAX: usize = 15;
/// Files that are named.
const FILES_MAX: usize = 12;
/// Checks that are named.
const CHECKS_MAX: usize = 4;
/// The longest quoted sentence of an agent, in bytes, where it declares no summary.
const SENTENCE_MAX: usize = 300;
/// What stands in place of a verdict that is not there.
pub const NO_VERDICT: &str = "no verdict was given: it needs attention, and counts as no approval";

/// The account of a result that another task is given. `whole` says where all of its words are.
pub fn summary(subject: &str, result: &TaskResult, limits: &Limits, whole: Option<&str>) -> (String, Option<Receipt>) {
    let words = result.summary.trim();
    let would = || count::tokens(words);
    let mut lines: Vec<String> = Vec::new();
    let short = count::fits(words, limits.summary_tokens);
    let mut receipt = None;
    if short && words.lines().count() <= LINES_MAX {
        lines.extend(words.lines().map(str::to_owned));
    } else {
        lines.push(in_short(words, result.verdict.as_deref()));
        let sent = count::tokens(&lines[0]);
        let would = would();
        receipt = Some(Receipt::new(Layer::Summary, subject, would, sent).without(
            "its own words",
            "longer than a summary; the whole is kept",
            would.saturating_sub(sent),
        ));
        if let Some(whole) = whole {
            lines.push(format!("all of it: {whole}"));
        }
    }
    lines.extend(facts(result));
    (lines.join("\n"), receipt)
}

/// What it declares, else its first sentence.
fn in_short(words: &str, block: Option<&str>) -> String {
    let declared = |text: &str| {
        let line = text
            .lines()
            .rev()
            .find_map(|line| line.trim().strip_prefix("SUMMARY:"))?;
        Some(first_sentence(line, SENTENCE_MAX)).filter(|line| !line.is_empty())
    };
    block
        .and_then(declared)
        .or_else(|| declared(words))
        .unwrap_or_else(|| first_sentence(words, SENTENCE_MAX))
}

fn facts(result: &TaskResult) -> Vec<String> {
    let mut lines = Vec::new();
    if !result.files.is_empty() {
        let named = result
            .files
            .iter()
            .take(FILES_MAX)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = result.files.len().saturating_sub(FILES_MAX);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        lines.push(format!("changed: {named}{more}"));
    }
    if !result.checks.is_empty() {
        let told = |check: &wheelhouse_core::store::Check| match check.exit_code {
            Some(0) => format!("`{}` passed", check.command),
            Some(code) => format!("`{}` failed with exit {code}", check.command),
            None => format!("`{}` was stopped", check.command),
        };
        // What failed is said first.
        let mut checks: Vec<_> = result.checks.iter().collect();
        checks.sort_by_key(|check| check.passed());
        let more = checks.len().saturating_sub(CHECKS_MAX);
        let more = if more > 0 {
            format!("; {more} more")
        } else {
            String::new()
        };
        let named = checks
            .into_iter()
            .take(CHECKS_MAX)
            .map(told)
            .collect::<Vec<_>>()
            .join("; ");
        lines.push(format!("checked here: {named}{more}"));
    }
    if let Some(code) = result.exit_code.filter(|code| *code != 0) {
        lines.push(format!("exit: {code}"));
    }
    lines
}

/// Whether a verdict leaves nothing to look at.
pub fn is_clean(verdict: &Verdict) -> bool {
    let minor = verdict.worst().is_none_or(|worst| worst > Severity::P1);
    verdict.stance == Stance::Approve && minor && verdict.unresolved.is_empty()
}

/// A verdict block as another task is given it: one line when it is clean, at most [`OPENED_LINES_MAX`] when it is not.
pub fn filter(subject: &str, block: &str, whole: Option<&str>) -> (String, Option<Receipt>) {
    let framed = format!("--- VERDICT ---\n{block}\n---\n");
    let told = match verdict::read(&framed) {
        None => NO_VERDICT.to_owned(),
        Some(verdict) if is_clean(&verdict) && declares_nothing_bad(block) => {
            format!("clean: {}", first_sentence(&verdict.summary, SENTENCE_MAX))
        }
        Some(_) => {
            let mut lines: Vec<&str> = block.lines().take(OPENED_LINES_MAX).collect();
            let more = block.lines().count() - lines.len();
            let rest = format!(
                "[… {more} more lines{}]",
                whole.map(|whole| format!(" at {whole}")).unwrap_or_default()
            );
            if more > 0 {
                lines.push(&rest);
            }
            lines.join("\n")
        }
    };
    if told == block {
        return (told, None);
    }
    let (would, sent) = (count::tokens(block), count::tokens(&told));
    let receipt = Receipt::new(Layer::VerdictFilter, subject, would, sent);
    (told, (sent < would).then_some(receipt))
}

/// `FINDINGS: 3 (P0: 1, P1: 0, P2: 2)`: the count in the block itself, which stands even when the findings do not.
fn declares_nothing_bad(block: &str) -> bool {
    let Some(line) = block.lines().find_map(|line| line.trim().strip_prefix("FINDINGS:")) else {
        return true;
    };
    ["P0:", "P1:"].iter().all(|grade| {
        let after = line.split(grade).nth(1).unwrap_or(" 0");
        let number: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
        number.parse::<u64>().is_ok_and(|count| count == 0)
    })
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::ids::ArtifactHash;
    use wheelhouse_core::store::Check;

    use super::*;

    fn check(command: &str, exit_code: Option<i32>) -> Check {
        Check {
            command: command.to_owned(),
            exit_code,
            log: ArtifactHash("x".to_owned()),
            tail: String::new(),
            took_ms: 1,
        }
    }

    #[test]
    fn short_words_stay_and_facts_follow() {
        let result = TaskResult {
            summary: "Done. Two lines.\nSecond.".to_owned(),
            files: (0..14).map(|n| format!("f{n}.rs")).collect(),
            checks: vec![check("fmt", Some(0)), check("test", Some(2))],
            exit_code: Some(0),
            ..TaskResult::default()
        };
        let (text, receipt) = summary("t", &result, &Limits::default(), None);
        assert_eq!(
            text,
            "Done. Two lines.\nSecond.\nchanged: f0.rs, f1.rs, f2.rs, f3.rs, f4.rs, f5.rs, f6.rs, f7.rs, f8.rs, f9.rs, \
             f10.rs, f11.rs and 2 more\nchecked here: `test` failed with exit 2; `fmt` passed"
        );
        assert_eq!(receipt, None);
    }

    #[test]
    fn long_words_become_what_was_declared() {
        let result = TaskResult {
            summary: format!("I looked. {}", "And then I looked again. ".repeat(200)),
            verdict: Some("STATUS: fail\nSUMMARY: the lock is never released. Really.".to_owned()),
            exit_code: Some(3),
            ..TaskResult::default()
        };
        let (text, receipt) = summary("t", &result, &Limits::default(), Some("artifacts/abc"));
        assert_eq!(text, "the lock is never released.\nall of it: artifacts/abc\nexit: 3");
        assert!(receipt.unwrap().would_tokens > 1_000);
        let result = TaskResult {
            verdict: None,
            ..result
        };
        assert!(
            summary("t", &result, &Limits::default(), None)
                .0
                .starts_with("I looked.\n")
        );
    }

    #[test]
    fn only_what_is_not_clean_is_opened() {
        let clean = "STATUS: pass\nFILES: 0 changed\nFINDINGS: 1 (P0: 0, P1: 0, P2: 1)\nSUMMARY: fine";
        assert_eq!(filter("r", clean, None).0, "clean: fine");
        let bad = "STATUS: pass\nFINDINGS: 1 (P0: 1, P1: 0)\nSUMMARY: fine";
        assert_eq!(filter("r", bad, None), (bad.to_owned(), None));
        let fail = format!("STATUS: fail\nSUMMARY: no\n{}", "x\n".repeat(30));
        let (text, receipt) = filter("r", &fail, Some("artifacts/1"));
        assert!(
            text.ends_with("[… 17 more lines at artifacts/1]") && text.lines().count() == 16,
            "{text}"
        );
        assert!(receipt.is_some());
        assert_eq!(filter("r", "STATUS: whatever", None).0, NO_VERDICT);
    }
}
