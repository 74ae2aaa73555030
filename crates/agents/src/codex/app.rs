//! The conversation with one app-server: initialize, a thread, a turn, its end.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use wheelhouse_core::agent::{AgentEvent, Assignment, Reply};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, Usage};

use super::{Config, Conversation, VENDOR, VENDOR_RETRIES_MAX};
use crate::converse::{Conversed, Outbox, Protocol, Standing};
use crate::decode::codex_app::CodexApp as Decoder;
use crate::decode::failure::{Failure, class};
use crate::decode::jsonl::Line;
use crate::decode::{Signal, Totals, Turn};
use crate::mcp;
use crate::report::{joined, without_end};

/// JSON-RPC's code for a method that does not exist.
const NO_SUCH_METHOD: i32 = -32601;

/// The state of the conversation.
pub(super) struct Talk {
    decoder: Decoder,
    thread: Thread,
    prompt: String,
    /// What our open requests were for.
    open: HashMap<u32, Sent>,
    next_request: u32,
    /// An interrupt was ordered before the turn had a name.
    interrupt_due: bool,
    /// Words that go in when the turn they could not be brought into has ended.
    redirect: Option<String>,
    /// Turns that ended, as one.
    ended: Option<Turn>,
    awaited: bool,
    said_something: bool,
    version_told: bool,
    /// The class of a conversation that broke down before or beside a turn.
    failed: Option<(Outcome, String)>,
    /// Codex tried too often, and the turn is being ended for that.
    gave_up: Option<(Outcome, String)>,
}

/// The thread to work in.
struct Thread {
    resume: Option<String>,
    cwd: PathBuf,
    approval_policy: String,
    sandbox: String,
    model: Option<String>,
    role: Option<String>,
    /// Overrides of its configuration: the MCP servers.
    config: Value,
}

/// A request of ours.
enum Sent {
    Initialize,
    Thread,
    Turn,
    Interrupt,
    Steer(String),
}

impl Talk {
    pub(super) fn new(assignment: &Assignment, prompt: String, config: &Config, before: Option<Totals>) -> Talk {
        Talk {
            decoder: Decoder::new(before, prompt.len()),
            thread: Thread {
                resume: assignment.session.clone(),
                cwd: assignment.cwd.clone(),
                approval_policy: config.approval_policy.clone(),
                sandbox: config.sandbox.clone(),
                model: assignment.model.clone().or_else(|| config.model.clone()),
                role: assignment.role.clone(),
                config: mcp::codex(&assignment.mcp_servers),
            },
            prompt,
            open: HashMap::new(),
            next_request: 0,
            interrupt_due: false,
            redirect: None,
            ended: None,
            awaited: false,
            said_something: false,
            version_told: false,
            failed: None,
            gave_up: None,
        }
    }

    fn send(&mut self, method: &str, params: &Value, sent: Sent, out: &mut Outbox) {
        let id = self.next_request;
        self.next_request += 1;
        self.open.insert(id, sent);
        write(&json!({"id": id, "method": method, "params": params}), out);
    }

    fn start_thread(&mut self, out: &mut Outbox) {
        let thread = &self.thread;
        let mut params = json!({
            "cwd": thread.cwd,
            "approvalPolicy": thread.approval_policy,
            "sandbox": thread.sandbox,
        });
        if let Some(model) = &thread.model {
            params["model"] = json!(model);
        }
        if let Some(role) = &thread.role {
            params["developerInstructions"] = json!(role);
        }
        if thread.config != json!({}) {
            params["config"] = thread.config.clone();
            if self.decoder.version().is_some_and(mcp::codex_lists) {
                mcp::codex_list_ours(&mut params["config"]);
            }
        }
        let method = match &thread.resume {
            Some(id) => {
                params["threadId"] = json!(id);
                params["excludeTurns"] = json!(true);
                "thread/resume"
            }
            None => "thread/start",
        };
        self.send(method, &params, Sent::Thread, out);
    }

    fn start_turn(&mut self, words: &str, out: &mut Outbox) {
        self.awaited = true;
        self.decoder.prompt(words.len());
        let params = json!({"threadId": self.decoder.session(), "input": input(words)});
        self.send("turn/start", &params, Sent::Turn, out);
    }

    fn send_interrupt(&mut self, out: &mut Outbox) {
        match self.decoder.turn() {
            Some(turn) => {
                let params = json!({"threadId": self.decoder.session(), "turnId": turn});
                self.send("turn/interrupt", &params, Sent::Interrupt, out);
            }
            None => self.interrupt_due = true,
        }
    }

    fn answered(&mut self, request: &str, error: Option<String>, out: &mut Outbox) {
        let sent = request.parse().ok().and_then(|id: u32| self.open.remove(&id));
        match (sent, error) {
            (Some(Sent::Initialize), None) => {
                write(&json!({"method": "initialized"}), out);
                self.start_thread(out);
            }
            (Some(Sent::Thread), None) => {
                let prompt = std::mem::take(&mut self.prompt);
                self.start_turn(&prompt, out);
            }
            (Some(Sent::Turn), None) if self.interrupt_due => {
                self.interrupt_due = false;
                self.send_interrupt(out);
            }
            (Some(Sent::Turn | Sent::Interrupt | Sent::Steer(_)) | None, None) => {}
            (Some(Sent::Steer(words)), Some(_)) => self.redirect(words, out),
            (Some(Sent::Interrupt) | None, Some(error)) => {
                out.events.push(AgentEvent::Notice(format!(
                    "the agent refused a request of ours: {error}"
                )));
            }
            (Some(Sent::Initialize | Sent::Thread | Sent::Turn), Some(error)) => {
                let outcome = class(&Failure {
                    message: &error,
                    ..Failure::default()
                });
                self.failed = Some((outcome, error));
                out.standing = Standing::Broken;
            }
        }
    }

    /// Words that the running turn does not take: it is interrupted, and the thread goes on with them.
    fn redirect(&mut self, words: String, out: &mut Outbox) {
        if self.decoder.turn().is_none() && self.ended.is_some() {
            out.events.push(AgentEvent::Notice(
                "words came when the turn was over; they were not heard".to_owned(),
            ));
            return;
        }
        if self.redirect.is_none() {
            self.send_interrupt(out);
        }
        self.redirect = Some(match self.redirect.take() {
            Some(earlier) => format!("{earlier}\n\n{words}"),
            None => words,
        });
    }

    fn turn_ended(&mut self, mut turn: Turn, out: &mut Outbox) {
        if let Some((outcome, detail)) = self.gave_up.take() {
            turn.outcome = outcome;
            turn.detail = detail;
            turn.interrupted = false;
            if !self.said_something {
                // Requests that were refused cost nothing.
                turn.usage = Usage::default();
                turn.cost = Cost::Actual(0);
            }
        }
        self.ended = Some(joined(self.ended.take(), turn));
        self.awaited = false;
        self.said_something = false;
        match self.redirect.take() {
            Some(words) => self.start_turn(&words, out),
            None => out.standing = Standing::Over,
        }
    }

    fn told(&mut self, out: &mut Outbox) {
        if !self.version_told
            && let Some(version) = self.decoder.version()
        {
            self.version_told = true;
            if let Some(words) = VENDOR.untested(version) {
                out.events.push(AgentEvent::Notice(words));
            }
        }
        let speaks = |event: &AgentEvent| {
            matches!(
                event,
                AgentEvent::Text(_) | AgentEvent::Thought(_) | AgentEvent::Tool { .. }
            )
        };
        self.said_something |= out.events.iter().any(speaks);
        let (retries, why) = self.decoder.retrying();
        if retries > VENDOR_RETRIES_MAX && self.gave_up.is_none() {
            self.gave_up = why.cloned();
            self.send_interrupt(out);
            out.standing = Standing::Ending;
        }
    }
}

impl Conversation for Talk {
    fn last_turn(&mut self, conversed: &Conversed) -> Turn {
        match self.ended.take() {
            Some(turn) if !self.awaited => turn,
            earlier => {
                let said = self.failed.take().or_else(|| self.gave_up.take());
                let (outcome, detail) = match said {
                    Some(said) if !conversed.stopped => said,
                    _ => without_end(conversed, self.said_something, &VENDOR),
                };
                joined(earlier, self.decoder.unfinished(outcome, detail))
            }
        }
    }

    fn totals(&self) -> Option<Totals> {
        self.decoder.totals()
    }

    fn unknown(&self) -> u64 {
        self.decoder.unknown()
    }
}

impl Protocol for Talk {
    fn begin(&mut self, out: &mut Outbox) {
        let params = json!({
            "clientInfo": {"name": "wheelhouse", "title": "Wheelhouse", "version": env!("CARGO_PKG_VERSION")},
        });
        self.send("initialize", &params, Sent::Initialize, out);
    }

    fn line(&mut self, line: Line<'_>, out: &mut Outbox) {
        let signal = match line {
            Line::Whole(line) => self.decoder.line(line, &mut out.events),
            Line::Cut { head, tail, bytes } => self.decoder.over_long(head, tail, bytes, &mut out.events),
        };
        self.told(out);
        match signal {
            Signal::TurnEnded(turn) => self.turn_ended(*turn, out),
            Signal::Unknown { request, what } => {
                let id: Value = serde_json::from_str(&request).unwrap_or(Value::Null);
                let error = json!({"code": NO_SUCH_METHOD, "message": format!("unsupported request: {what}")});
                write(&json!({"id": id, "error": error}), out);
                out.events.push(AgentEvent::Notice(format!(
                    "the agent asked for something this version does not know ({what}) and was told so"
                )));
            }
            Signal::Answered { request, error } => self.answered(&request, error, out),
            Signal::Quiet | Signal::Asked { .. } => {}
        }
    }

    fn complaint(&mut self, _line: &str) {}

    fn interrupt(&mut self, out: &mut Outbox) -> bool {
        self.redirect = None;
        self.send_interrupt(out);
        true
    }

    fn steer(&mut self, words: String, out: &mut Outbox) {
        let Some(turn) = self.decoder.turn() else {
            self.redirect(words, out);
            return;
        };
        let params = json!({
            "threadId": self.decoder.session(),
            "expectedTurnId": turn,
            "input": input(&words),
        });
        self.send("turn/steer", &params, Sent::Steer(words), out);
    }

    fn answer(&mut self, request: &str, reply: &Reply, out: &mut Outbox) -> bool {
        let Some(ask) = self.decoder.take_ask(request) else {
            return false;
        };
        let id: Value = serde_json::from_str(request).unwrap_or(Value::Null);
        write(&json!({"id": id, "result": ask.answer(reply)}), out);
        true
    }
}

fn input(words: &str) -> Value {
    json!([{"type": "text", "text": words}])
}

fn write(message: &Value, out: &mut Outbox) {
    out.write.extend(message.to_string().into_bytes());
    out.write.push(b'\n');
}
