//! What a try of a vendor's agent comes to, from its last turn and the end of its process. Shared by the vendors'
//! backends; pure.

use std::path::Path;

use wheelhouse_core::agent::Ended;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::TaskResult;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_core::verdict;

use crate::converse::Conversed;
use crate::decode::failure::{Failure, class};
use crate::decode::{Turn, cut};
use crate::exec::SUMMARY_CHARS_MAX;
use crate::keep::{self, End, NotStarted, Status};
use crate::output::{Clipped, Part};

/// How much of the complaints of a program goes into its one line, in bytes.
const COMPLAINT_MAX: usize = 300;

/// Who the program is, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vendor {
    /// Its name for people.
    pub(crate) name: &'static str,
    /// How it is installed.
    pub(crate) install: &'static str,
    /// The versions that this release was tested with begin so.
    pub(crate) tested_prefix: &'static str,
    /// The one that the last test ran with.
    pub(crate) tested: &'static str,
}

impl Vendor {
    /// What to say about a version that nobody tested.
    pub(crate) fn untested(&self, version: &str) -> Option<String> {
        let is_tested = version
            .strip_prefix(self.tested_prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        (!is_tested).then(|| {
            format!(
                "{} {version} is outside the versions that this release was tested with ({}.x, last {})",
                self.name, self.tested_prefix, self.tested
            )
        })
    }

    /// A try that never began.
    pub(crate) fn not_started(&self, error: &NotStarted) -> Ended {
        let (outcome, mut detail) = crate::exec::not_started(error);
        if matches!(error, NotStarted::Missing { .. } | NotStarted::NotExecutable { .. }) {
            detail = format!(
                "{detail}; install {} with `{}`, or name its binary in the settings of this agent",
                self.name, self.install
            );
        }
        refused(outcome, detail)
    }
}

/// A try that came to nothing before anything was asked of a model.
pub(crate) fn refused(outcome: Outcome, detail: String) -> Ended {
    Ended {
        outcome,
        detail,
        result: TaskResult::default(),
        outputs: Vec::new(),
        usage: Usage::default(),
        cost: Cost::Actual(0),
        session: None,
    }
}

/// The class and words of a try whose process went without an end of its turn.
pub(crate) fn without_end(conversed: &Conversed, said_something: bool, vendor: &Vendor) -> (Outcome, String) {
    let name = vendor.name;
    let complaint = last_complaint(&conversed.errors);
    let Some(End { status, asked }) = conversed.end else {
        let detail = "the process that kept the agent was killed, and the agent was ended with that";
        return (Outcome::Killed, detail.to_owned());
    };
    if conversed.stopped {
        return (Outcome::Killed, "stopped by order".to_owned());
    }
    if asked && conversed.interrupted {
        return (Outcome::Cancelled, "the turn was interrupted".to_owned());
    }
    match status {
        Status::Signalled(signal) => (
            Outcome::Killed,
            format!(
                "{name} was ended by {}, which Wheelhouse did not send",
                keep::signal_name(signal)
            ),
        ),
        Status::Exited(0) if !said_something => (
            Outcome::Empty,
            with_complaint(
                format!("{name} ended with exit 0 and said nothing"),
                complaint.as_deref(),
            ),
        ),
        Status::Exited(0) => (
            Outcome::Truncated,
            with_complaint(
                format!("{name} ended with exit 0 in the middle of its turn"),
                complaint.as_deref(),
            ),
        ),
        Status::Exited(code) => {
            let outcome = class(&Failure {
                message: complaint.as_deref().unwrap_or_default(),
                ..Failure::default()
            });
            (
                outcome,
                with_complaint(format!("{name} ended with exit {code}"), complaint.as_deref()),
            )
        }
    }
}

fn with_complaint(words: String, complaint: Option<&str>) -> String {
    match complaint {
        Some(complaint) => format!("{words}: {complaint}"),
        None => words,
    }
}

/// The last line of the complaints that says anything.
fn last_complaint(errors: &Part) -> Option<String> {
    let text = String::from_utf8_lossy(&errors.bytes);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(cut(line, COMPLAINT_MAX))
}

/// A try that could not go on in its session and cost nothing: another try can begin anew, only this one could not.
pub(crate) fn or_anew(ended: Ended, is_resumed: bool) -> Ended {
    if !is_resumed || ended.outcome != Outcome::Unavailable || ended.usage.total() > 0 {
        return ended;
    }
    Ended {
        outcome: Outcome::Crashed,
        session: None,
        ..ended
    }
}

/// Everything about a try that had a turn. An order to stop makes an interrupted turn a killed one.
pub(crate) fn ended(turn: Turn, conversed: Conversed, cwd: &Path, output_max: u64) -> Ended {
    let (outcome, mut detail) = match turn.outcome.clone() {
        Outcome::Cancelled if conversed.stopped => (Outcome::Killed, "stopped by order".to_owned()),
        Outcome::Cancelled if !conversed.interrupted => {
            let detail = "the turn was interrupted, and not by Wheelhouse";
            (Outcome::Killed, detail.to_owned())
        }
        outcome => (outcome, turn.detail.clone()),
    };
    if conversed.left > 0 {
        let separator = if detail.is_empty() { "" } else { "; " };
        detail.push_str(&format!("{separator}{} of its processes would not die", conversed.left));
    }
    let exit_code = conversed.end.and_then(|end| end.status.code());
    let files = turn.files.iter().map(|file| relative(file, cwd)).collect();
    let turn = Turn {
        outcome,
        detail,
        files,
        ..turn
    };
    settled(turn, Some(conversed.errors), exit_code, output_max)
}

/// Everything about a try that had an answer and no process.
pub(crate) fn answered(turn: Turn, output_max: u64) -> Ended {
    settled(turn, None, None, output_max)
}

fn settled(turn: Turn, errors: Option<Part>, exit_code: Option<i32>, output_max: u64) -> Ended {
    let mut answer = Clipped::new(output_max);
    answer.push(turn.text.as_bytes());
    let named = [("output", Some(answer.finish())), ("errors", errors)];
    let (artifacts, outputs) = named
        .into_iter()
        .filter_map(|(name, part)| {
            let part = part?;
            Some((part.artifact(name)?, part.bytes))
        })
        .unzip();
    Ended {
        result: TaskResult {
            summary: summary(&turn.text, &turn.detail),
            verdict: verdict::last_block(&turn.text),
            files: turn.files,
            artifacts,
            exit_code,
            ..TaskResult::default()
        },
        outcome: turn.outcome,
        detail: turn.detail,
        outputs,
        usage: turn.usage,
        cost: turn.cost,
        session: turn.session,
    }
}

/// The answer in short: its beginning, where agents say what they did.
fn summary(text: &str, detail: &str) -> String {
    let text = text.trim();
    let text = if text.is_empty() { detail } else { text };
    if text.chars().count() <= SUMMARY_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(SUMMARY_CHARS_MAX - 1).chain(['…']).collect()
}

fn relative(file: &str, cwd: &Path) -> String {
    match Path::new(file).strip_prefix(cwd) {
        Ok(inside) => inside.to_string_lossy().into_owned(),
        Err(_) => file.to_owned(),
    }
}

/// Two turns of one try as one: the later says how it ended, both were paid for.
pub(crate) fn joined(earlier: Option<Turn>, later: Turn) -> Turn {
    let Some(earlier) = earlier else { return later };
    let mut joined = later;
    joined.usage = earlier.usage.plus(joined.usage);
    joined.cost = plus(earlier.cost, joined.cost);
    let (mut denials, mut files) = (earlier.denials, earlier.files);
    denials.append(&mut joined.denials);
    for file in joined.files {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Turn {
        denials,
        files,
        ..joined
    }
}

/// Money of both; what nobody knows stays unknown.
fn plus(one: Cost, other: Cost) -> Cost {
    match (one, other) {
        (Cost::Unknown, _) | (_, Cost::Unknown) => Cost::Unknown,
        (Cost::Actual(one), Cost::Actual(other)) => Cost::Actual(one.saturating_add(other)),
        (Cost::Priced(one), Cost::Priced(other) | Cost::Actual(other)) | (Cost::Actual(one), Cost::Priced(other)) => {
            Cost::Priced(one.saturating_add(other))
        }
        (Cost::Included | Cost::Free, cost) | (cost, Cost::Included | Cost::Free) => cost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VENDOR: Vendor = Vendor {
        name: "Claude Code",
        install: "npm install",
        tested_prefix: "2.1",
        tested: "2.1.329",
    };

    fn conversed(end: Option<End>, errors: &str) -> Conversed {
        Conversed {
            end,
            left: 0,
            stopped: false,
            interrupted: false,
            errors: Part {
                bytes: errors.into(),
                written: errors.len() as u64,
                dropped: 0,
            },
        }
    }

    fn exited(code: i32) -> Option<End> {
        Some(End {
            status: Status::Exited(code),
            asked: false,
        })
    }

    #[test]
    fn only_versions_of_the_tested_line_are_silent() {
        for (version, silent) in [
            ("2.1.329", true),
            ("2.1", true),
            ("2.10.1", false),
            ("2.2.0", false),
            ("3.2.1", false),
        ] {
            assert_eq!(VENDOR.untested(version).is_none(), silent, "{version}");
        }
    }

    #[test]
    fn a_process_without_an_end_of_turn_is_classified_by_how_it_went() {
        let signalled = Some(End {
            status: Status::Signalled(9),
            asked: false,
        });
        for (end, errors, said, expected) in [
            (exited(0), "", false, Outcome::Empty),
            (exited(0), "", true, Outcome::Truncated),
            (exited(1), "boom", false, Outcome::Crashed),
            (
                exited(1),
                "Error: Session ID x is already in use.",
                false,
                Outcome::Unavailable,
            ),
            (exited(1), "Not logged in · Please run /login", false, Outcome::Auth),
            (exited(1), "error: unknown option '--x'", false, Outcome::Unavailable),
            (signalled, "", true, Outcome::Killed),
            (None, "", true, Outcome::Killed),
        ] {
            assert_eq!(
                without_end(&conversed(end, errors), said, &VENDOR).0,
                expected,
                "{end:?} {errors}"
            );
        }
        let mut stopped = conversed(exited(143), "");
        stopped.stopped = true;
        assert_eq!(without_end(&stopped, true, &VENDOR).0, Outcome::Killed);
    }

    #[test]
    fn unknown_cost_stays_unknown_when_added() {
        assert_eq!(plus(Cost::Actual(1), Cost::Unknown), Cost::Unknown);
        assert_eq!(plus(Cost::Actual(1), Cost::Actual(2)), Cost::Actual(3));
        assert_eq!(plus(Cost::Included, Cost::Actual(2)), Cost::Actual(2));
    }
}
