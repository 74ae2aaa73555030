//! The `exec` backend: a shell command, its exit code and its output. No model, no cost.
//!
//! The command runs as `/bin/sh -c COMMAND` under the keeper, reads what its task names or nothing, and leaves nothing running: what it put
//! into the background ends with it. Its exit code decides, never its words.

mod summary;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::TaskResult;
use wheelhouse_core::usage::{Cost, Usage};

use crate::keep::{self, Command, Followed, Keeper, NotStarted, Status, Stdin, Stream};
use crate::output::{Clipped, Part, Pulse, RawLog};

pub use summary::SUMMARY_CHARS_MAX;

/// The shell that commands are given to; POSIX knows it by this path.
const SHELL: &str = "/bin/sh";

/// Runs commands.
#[derive(Clone, Debug)]
pub struct Exec {
    keeper: Arc<Keeper>,
    shell: PathBuf,
}

impl Exec {
    /// Commands run under this keeper.
    pub fn new(keeper: Arc<Keeper>) -> Exec {
        Exec {
            keeper,
            shell: PathBuf::from(SHELL),
        }
    }

    /// Gives commands to another shell that knows `-c`.
    #[must_use]
    pub fn with_shell(self, shell: PathBuf) -> Exec {
        Exec { shell, ..self }
    }
}

impl Agent for Exec {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let exec = self.clone();
        Box::pin(async move { exec.run(assignment, inbox, sink).await })
    }
}

impl Exec {
    async fn run(self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let Input::Command(command) = assignment.input else {
            let detail = "this agent runs commands and was given a prompt; give the task `exec:` or another agent";
            return ended(
                Outcome::Unavailable,
                detail.to_owned(),
                TaskResult::default(),
                Vec::new(),
            );
        };
        let grace = Duration::from_millis(assignment.grace_ms);
        let command = Command {
            argv: vec![
                self.shell.into_os_string(),
                OsString::from("-c"),
                OsString::from(command),
            ],
            env: assignment.env,
            cwd: assignment.cwd,
            stdin: assignment.stdin.map_or(Stdin::Null, Stdin::File),
            grace,
        };
        let kept = match self.keeper.spawn(command).await {
            Ok(kept) => kept,
            Err(error) => {
                let (outcome, detail) = not_started(&error);
                return ended(outcome, detail, TaskResult::default(), Vec::new());
            }
        };
        sink.event(AgentEvent::Started {
            session: None,
            process: Some(kept.warden),
        });
        let mut output = Clipped::new(assignment.output_max);
        let mut errors = Clipped::new(assignment.output_max);
        let mut log = RawLog::open(assignment.log.as_deref());
        let mut pulse = Pulse::default();
        let followed = keep::follow(kept, inbox, grace, |stream, bytes| {
            match stream {
                Stream::Output => output.push(bytes),
                Stream::Errors => errors.push(bytes),
            }
            log.append(bytes);
            if pulse.is_due(Instant::now()) {
                sink.event(AgentEvent::Alive);
            }
        })
        .await;
        if let Some(trouble) = log.trouble() {
            sink.event(AgentEvent::Notice(format!("the log could not be written: {trouble}")));
        }
        settle(&followed, output.finish(), errors.finish())
    }
}

/// Everything about the end of a command that ran.
fn settle(followed: &Followed, output: Part, errors: Part) -> Ended {
    let status = Standing::of(followed);
    let outcome = status.outcome();
    let mut detail = match outcome {
        Outcome::Succeeded => String::new(),
        _ => match summary::last_line(&errors).filter(|_| matches!(status, Standing::Exited(_))) {
            Some(line) => format!("{}: {line}", status.words()),
            None => status.words(),
        },
    };
    if followed.left > 0 {
        let separator = if detail.is_empty() { "" } else { "; " };
        detail.push_str(&format!("{separator}{} of its processes would not die", followed.left));
    }
    let exit_code = followed.end.and_then(|end| end.status.code());
    let summary = summary::summary(&status.words(), outcome.is_success(), &output, &errors);
    let named = [("output", output), ("errors", errors)];
    let (artifacts, outputs) = named
        .into_iter()
        .filter_map(|(name, part)| Some((part.artifact(name)?, part.bytes)))
        .unzip();
    let result = TaskResult {
        summary,
        artifacts,
        exit_code,
        ..TaskResult::default()
    };
    ended(outcome, detail, result, outputs)
}

fn ended(outcome: Outcome, detail: String, result: TaskResult, outputs: Vec<Vec<u8>>) -> Ended {
    Ended {
        outcome,
        detail,
        result,
        outputs,
        usage: Usage::default(),
        cost: Cost::Free,
        session: None,
    }
}

/// How a command ended, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal of somebody else's.
    Signalled(i32),
    /// By order.
    Stopped,
    /// With its warden.
    Lost,
}

impl Standing {
    fn of(followed: &Followed) -> Standing {
        match followed.end {
            None => Standing::Lost,
            Some(end) if end.asked => Standing::Stopped,
            Some(end) => match end.status {
                Status::Exited(code) => Standing::Exited(code),
                Status::Signalled(signal) => Standing::Signalled(signal),
            },
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Standing::Exited(0) => Outcome::Succeeded,
            Standing::Exited(_) => Outcome::Crashed,
            Standing::Signalled(_) | Standing::Stopped | Standing::Lost => Outcome::Killed,
        }
    }

    /// For people; what the shell means by its codes is said too.
    fn words(self) -> String {
        match self {
            Standing::Exited(126) => "exit 126 (found, but could not be executed)".to_owned(),
            Standing::Exited(127) => "exit 127 (command not found)".to_owned(),
            Standing::Exited(code @ 129..=192) => {
                format!(
                    "exit {code} (its last command was ended by {})",
                    keep::signal_name(code - 128)
                )
            }
            Standing::Exited(code) => format!("exit {code}"),
            Standing::Signalled(signal) => {
                format!("ended by {}, which Wheelhouse did not send", keep::signal_name(signal))
            }
            Standing::Stopped => "stopped by order".to_owned(),
            Standing::Lost => "the process that kept it was killed, and it was ended with that".to_owned(),
        }
    }
}

/// The class of a try that never began, and what to say.
pub(crate) fn not_started(error: &NotStarted) -> (Outcome, String) {
    let outcome = match error {
        NotStarted::Missing { .. }
        | NotStarted::NotExecutable { .. }
        | NotStarted::Directory { .. }
        | NotStarted::TooLong { .. }
        | NotStarted::NotACommandLine => Outcome::Unavailable,
        // Limits of the system pass; another try may find room.
        NotStarted::System { .. } | NotStarted::Keeper(_) => Outcome::Crashed,
        NotStarted::Lost => Outcome::Killed,
    };
    let mut detail = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        detail.push_str(&format!(": {source}"));
    }
    (outcome, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::End;

    fn part(text: &str) -> Part {
        Part {
            bytes: text.into(),
            written: text.len() as u64,
            dropped: 0,
        }
    }

    fn after(status: Status, asked: bool) -> Followed {
        Followed {
            end: Some(End { status, asked }),
            left: 0,
        }
    }

    #[test]
    fn the_exit_code_decides() {
        let errors = "warning: x\nsh: 1: nope: not found\n";
        for (followed, outcome, code, detail) in [
            (after(Status::Exited(0), false), Outcome::Succeeded, Some(0), ""),
            (
                after(Status::Exited(1), false),
                Outcome::Crashed,
                Some(1),
                "exit 1: sh: 1: nope: not found",
            ),
            (
                after(Status::Exited(127), false),
                Outcome::Crashed,
                Some(127),
                "exit 127 (command not found): sh: 1: nope: not found",
            ),
            (
                after(Status::Exited(137), false),
                Outcome::Crashed,
                Some(137),
                "exit 137 (its last command was ended by SIGKILL): sh: 1: nope: not found",
            ),
            (
                after(Status::Signalled(11), false),
                Outcome::Killed,
                None,
                "ended by SIGSEGV, which Wheelhouse did not send",
            ),
            (
                after(Status::Signalled(15), true),
                Outcome::Killed,
                None,
                "stopped by order",
            ),
            (
                after(Status::Exited(0), true),
                Outcome::Killed,
                Some(0),
                "stopped by order",
            ),
            (
                Followed { end: None, left: 0 },
                Outcome::Killed,
                None,
                "the process that kept it was killed, and it was ended with that",
            ),
        ] {
            let ended = settle(&followed, part("out\n"), part(errors));
            assert_eq!(ended.outcome, outcome, "{followed:?}");
            assert_eq!(ended.result.exit_code, code, "{followed:?}");
            assert_eq!(ended.detail, detail, "{followed:?}");
            assert_eq!(ended.cost, Cost::Free);
        }
    }

    #[test]
    fn outputs_are_referred_to_in_their_order_and_only_when_there_are_any() {
        let ok = after(Status::Exited(0), false);
        let names = |ended: &Ended| -> Vec<String> {
            ended
                .result
                .artifacts
                .iter()
                .map(|artifact| artifact.name.clone())
                .collect()
        };
        let both = settle(&ok, part("out"), part("err"));
        assert_eq!(names(&both), ["output", "errors"]);
        assert_eq!(both.outputs, [b"out".to_vec(), b"err".to_vec()]);
        assert_eq!(
            both.result.artifacts[0].hash.0,
            blake3::hash(b"out").to_hex().to_string()
        );
        let one = settle(&ok, part(""), part("err"));
        assert_eq!((names(&one), one.outputs.len()), (vec!["errors".to_owned()], 1));
        assert!(names(&settle(&ok, part(""), part(""))).is_empty());
    }

    #[test]
    fn what_would_not_die_is_told() {
        let followed = Followed {
            left: 2,
            ..after(Status::Exited(0), false)
        };
        let ended = settle(&followed, part(""), part(""));
        assert_eq!(ended.detail, "2 of its processes would not die");
    }
}
