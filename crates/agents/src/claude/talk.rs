//! The conversation with one Claude Code process: what is said to it when, and which of its turns is the answer.

use serde_json::json;
use wheelhouse_core::agent::{AgentEvent, Reply};
use wheelhouse_core::outcome::Outcome;

use super::VENDOR;
use crate::converse::{Conversed, Lingering, Outbox, Protocol, Standing};
use crate::decode::claude::{Background, Claude as Decoder, refusal};
use crate::decode::jsonl::Line;
use crate::decode::{Signal, Turn};
use crate::report::{joined, without_end};

/// The state of the conversation.
pub(super) struct Talk {
    decoder: Decoder,
    prompt: Option<String>,
    /// Words that go in as soon as the turn they interrupt has ended.
    redirect: Option<String>,
    /// Turns that ended, as one.
    ended: Option<Turn>,
    /// The id of the next request of ours.
    next_request: u32,
    /// Whether words of ours wait for the end of their turn.
    awaited: bool,
    /// Whether the model said or did anything in the running turn.
    said_something: bool,
    version_told: bool,
}

impl Talk {
    pub(super) fn new(session: String, prompt: String) -> Talk {
        Talk {
            decoder: Decoder::new(Some(session)),
            prompt: Some(prompt),
            redirect: None,
            ended: None,
            next_request: 0,
            awaited: false,
            said_something: false,
            version_told: false,
        }
    }

    /// Lines that nobody understood.
    pub(super) fn unknown(&self) -> u64 {
        self.decoder.unknown()
    }

    /// The turn that counts, once the process is gone.
    pub(super) fn last_turn(mut self, conversed: &Conversed) -> Turn {
        let is_over = !self.awaited && !self.decoder.is_in_turn();
        match self.ended.take() {
            Some(turn) if is_over => turn,
            earlier => {
                let (outcome, detail) = without_end(conversed, self.said_something, &VENDOR);
                joined(earlier, self.decoder.unfinished(outcome, detail))
            }
        }
    }

    fn user(&mut self, words: &str, out: &mut Outbox) {
        self.awaited = true;
        out.write.extend(line(&json!({
            "type": "user",
            "message": {"role": "user", "content": words},
        })));
    }

    fn request(&mut self, subtype: &str, out: &mut Outbox) {
        self.next_request += 1;
        out.write.extend(line(&json!({
            "type": "control_request",
            "request_id": format!("wheelhouse-{}", self.next_request),
            "request": {"subtype": subtype},
        })));
    }

    fn turn_ended(&mut self, turn: Turn, out: &mut Outbox) {
        let outcome = turn.outcome.clone();
        self.ended = Some(joined(self.ended.take(), turn));
        self.said_something = false;
        self.awaited = false;
        if let Some(words) = self.redirect.take() {
            self.user(&words, out);
            out.standing = Standing::Running;
            return;
        }
        out.standing = self.after_a_turn(&outcome);
    }

    /// Children bring another turn when they are done; left commands may.
    fn after_a_turn(&self, outcome: &Outcome) -> Standing {
        if !outcome.is_success() {
            return Standing::Over;
        }
        let mut lingering = None;
        for background in self.decoder.background() {
            match background {
                Background::Agent => return Standing::Lingering(Lingering::Children),
                Background::Command => lingering = Some(Lingering::Commands),
            }
        }
        lingering.map_or(Standing::Over, Standing::Lingering)
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
        if out.standing != Standing::Running && self.decoder.is_in_turn() {
            out.standing = Standing::Lingering(Lingering::Children);
        }
    }
}

impl Protocol for Talk {
    fn begin(&mut self, out: &mut Outbox) {
        if let Some(prompt) = self.prompt.take() {
            self.user(&prompt, out);
        }
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
                out.write.extend(refusal(&request, &what));
                out.events.push(AgentEvent::Notice(format!(
                    "the agent asked for something this version does not know ({what}) and was told so"
                )));
            }
            Signal::Answered { error: Some(error), .. } => {
                out.events.push(AgentEvent::Notice(format!(
                    "the agent refused a request of ours: {error}"
                )));
            }
            Signal::Quiet | Signal::Asked { .. } | Signal::Answered { error: None, .. } => {}
        }
    }

    fn complaint(&mut self, _line: &str) {}

    fn interrupt(&mut self, out: &mut Outbox) -> bool {
        self.redirect = None;
        self.request("interrupt", out);
        true
    }

    /// The CLI takes words at the end of a turn only; so the turn is interrupted, and goes on with them.
    fn steer(&mut self, words: String, out: &mut Outbox) {
        match out.standing {
            Standing::Running => {
                if self.redirect.is_none() {
                    self.request("interrupt", out);
                }
                let words = match self.redirect.take() {
                    Some(earlier) => format!("{earlier}\n\n{words}"),
                    None => words,
                };
                self.redirect = Some(words);
            }
            Standing::Ending | Standing::Lingering(_) | Standing::Over | Standing::Broken => out.events.push(
                AgentEvent::Notice("words came when the turn was over; they were not heard".to_owned()),
            ),
        }
    }

    fn answer(&mut self, request: &str, reply: &Reply, out: &mut Outbox) -> bool {
        let Some(ask) = self.decoder.take_ask(request) else {
            return false;
        };
        out.write.extend(ask.answer(request, reply));
        if !matches!(reply, Reply::Allow)
            && let Some(tool_use) = ask.tool_use()
        {
            self.decoder.refused(tool_use);
        }
        true
    }
}

fn line(value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}
