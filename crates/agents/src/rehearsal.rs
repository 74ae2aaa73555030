//! The `rehearsal` backend: a deterministic stand-in for an agent, so that plans can be tried where nobody is logged
//! in. It costs nothing, its answer depends on the prompt alone, and all of it is labelled *rehearsed*.
//!
//! It is a real program under the keeper (the hidden sub-command `rehearse`, [`main`]): the prompt comes by stdin,
//! lines of JSON go out, so that everything about running an agent is rehearsed too. What the stand-in says is in the
//! module `answer`, how it is said in `stream`.
//!
//! For demonstrations and tests, a prompt may direct it with lines of its own (never from within the output of
//! another task, which is data):
//!
//! | line | effect |
//! |---|---|
//! | `rehearse: fail [words]` | ends with an error that says so |
//! | `rehearse: hang` | says nothing more and never ends |
//! | `rehearse: empty` | ends well without an answer |
//! | `rehearse: sleep 2s` | waits before it answers |
//! | `rehearse: verdict pass` | gives that verdict (`pass`, `fail`, `warn`, `error`, `retry`); `warn` unless told |
//! | `rehearse: tasks [...]` | answers with exactly this JSON, as a planner would; it may span lines |

mod answer;
mod stream;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::TaskResult;
use wheelhouse_core::usage::{Cost, Usage};

use crate::exec::not_started;
use crate::keep::{self, Command, Followed, Keeper, Status, Stdin, Stream};
use crate::output::{Clipped, Pulse, RawLog};
use stream::{Close, Line, Reader};

pub use stream::main;

/// Every answer begins with this, unless it is the JSON that a prompt told it to answer with.
pub const LABEL: &str = "[rehearsed]";

/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 2_000;

/// How much of what the stand-in complains about is kept, in bytes: a panic and no more.
const ERRORS_MAX: u64 = 16 << 10;

/// The stand-in.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    keeper: Arc<Keeper>,
    exe: PathBuf,
}

impl Rehearsal {
    /// Runs `exe rehearse` under this keeper, where `exe` answers that with [`main`].
    pub fn new(keeper: Arc<Keeper>, exe: PathBuf) -> Rehearsal {
        Rehearsal { keeper, exe }
    }
}

impl Agent for Rehearsal {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            usage: true,
            ..Capabilities::default()
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let rehearsal = self.clone();
        Box::pin(async move { rehearsal.run(assignment, inbox, sink).await })
    }
}

impl Rehearsal {
    async fn run(self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let (Input::Prompt(prompt) | Input::Command(prompt)) = assignment.input;
        let grace = Duration::from_millis(assignment.grace_ms);
        let command = Command {
            argv: vec![self.exe.into_os_string(), OsString::from("rehearse")],
            env: assignment.env,
            cwd: assignment.cwd,
            stdin: Stdin::Bytes(prompt.into_bytes()),
            grace,
        };
        let mut taken = Taken {
            sink: Arc::clone(&sink),
            answer: Clipped::new(assignment.output_max),
            errors: Clipped::new(ERRORS_MAX),
            usage: Usage::default(),
            close: None,
            broken: false,
        };
        let kept = match self.keeper.spawn(command).await {
            Ok(kept) => kept,
            Err(error) => {
                let (outcome, detail) = not_started(&error);
                return taken.settle(outcome, detail, None);
            }
        };
        sink.event(AgentEvent::Started {
            session: None,
            process: Some(kept.warden),
        });
        let mut log = RawLog::open(assignment.log.as_deref());
        let mut pulse = Pulse::default();
        let mut reader = Reader::default();
        let followed = keep::follow(kept, inbox, grace, |stream, bytes| {
            log.append(bytes);
            match stream {
                Stream::Output => reader.push(bytes, &mut |line| taken.line(line)),
                Stream::Errors => taken.errors.push(bytes),
            }
            if pulse.is_due(Instant::now()) {
                sink.event(AgentEvent::Alive);
            }
        })
        .await;
        if let Some(trouble) = log.trouble() {
            sink.event(AgentEvent::Notice(format!("the log could not be written: {trouble}")));
        }
        let (outcome, detail) = taken.classify(&followed);
        taken.settle(outcome, detail, followed.end.and_then(|end| end.status.code()))
    }
}

/// What came of a try so far.
struct Taken {
    sink: Arc<dyn Sink>,
    answer: Clipped,
    errors: Clipped,
    usage: Usage,
    close: Option<Close>,
    broken: bool,
}

impl Taken {
    /// One line of the stand-in; none when it is not one of ours.
    fn line(&mut self, line: Option<Line>) {
        match line {
            Some(Line::Started) => {}
            Some(Line::Thought { text }) => self.sink.event(AgentEvent::Thought(text)),
            Some(Line::Text { text }) => {
                self.answer.push(text.as_bytes());
                self.sink.event(AgentEvent::Text(text));
            }
            Some(Line::Usage(usage)) => {
                self.usage = usage;
                self.sink.event(AgentEvent::Usage(usage));
            }
            Some(Line::End(close)) => self.close = Some(close),
            None => self.broken = true,
        }
    }

    fn classify(&self, followed: &Followed) -> (Outcome, String) {
        let plain = |outcome, words: &str| (outcome, words.to_owned());
        match (followed.end, &self.close) {
            (None, _) => plain(Outcome::Killed, "the process that kept it was killed"),
            (Some(end), _) if end.asked => plain(Outcome::Killed, "stopped by order"),
            (Some(end), close) => match (end.status, close) {
                (Status::Signalled(signal), _) => (
                    Outcome::Killed,
                    format!("ended by {}, which Wheelhouse did not send", keep::signal_name(signal)),
                ),
                (
                    Status::Exited(_),
                    Some(Close {
                        failure: Some(words), ..
                    }),
                ) => (Outcome::Crashed, words.clone()),
                (Status::Exited(0), _) if self.broken => {
                    plain(Outcome::Malformed, "it wrote lines that are not its protocol")
                }
                (Status::Exited(0), Some(_)) if self.answer.written() == 0 => {
                    plain(Outcome::Empty, "it ended well and said nothing")
                }
                (Status::Exited(0), Some(_)) => plain(Outcome::Succeeded, ""),
                (Status::Exited(0), None) => plain(Outcome::Truncated, "it ended in the middle of its answer"),
                (Status::Exited(code), _) => (Outcome::Crashed, format!("exit {code}")),
            },
        }
    }

    fn settle(self, outcome: Outcome, detail: String, exit_code: Option<i32>) -> Ended {
        let answer = self.answer.finish();
        let text = String::from_utf8_lossy(&answer.bytes);
        let mut summary: String = text.trim().chars().take(SUMMARY_CHARS_MAX).collect();
        if !outcome.is_success() {
            summary = format!("{LABEL} {detail}");
        }
        let named = [("output", answer), ("errors", self.errors.finish())];
        let (artifacts, outputs) = named
            .into_iter()
            .filter_map(|(name, part)| Some((part.artifact(name)?, part.bytes)))
            .unzip();
        Ended {
            outcome,
            detail,
            result: TaskResult {
                summary,
                verdict: self.close.and_then(|close| close.verdict),
                artifacts,
                exit_code,
                rehearsed: true,
                ..TaskResult::default()
            },
            outputs,
            usage: self.usage,
            cost: Cost::Free,
            session: None,
        }
    }
}
