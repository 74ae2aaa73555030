//! One `codex exec`: nothing is said to it but its prompt, which it reads from stdin at its start.

use wheelhouse_core::agent::{AgentEvent, Reply};

use super::{Conversation, VENDOR, VENDOR_RETRIES_MAX};
use crate::converse::{Conversed, Outbox, Protocol, Standing};
use crate::decode::codex_exec::CodexExec as Decoder;
use crate::decode::jsonl::Line;
use crate::decode::{Signal, Totals, Turn};
use crate::report::without_end;
use wheelhouse_core::outcome::Outcome;

/// The state of the one turn.
pub(super) struct Talk {
    decoder: Decoder,
    ended: Option<Turn>,
    said_something: bool,
    /// It tried too often and was ended for that.
    gave_up: bool,
}

impl Talk {
    pub(super) fn new(before: Option<Totals>, prompt_bytes: usize) -> Talk {
        Talk {
            decoder: Decoder::new(before, prompt_bytes),
            ended: None,
            said_something: false,
            gave_up: false,
        }
    }
}

impl Conversation for Talk {
    fn last_turn(&mut self, conversed: &Conversed) -> Turn {
        if let Some(turn) = self.ended.take() {
            return turn;
        }
        let (outcome, detail) = match self.decoder.last_error() {
            Some(said) if self.gave_up => said,
            said => match without_end(conversed, self.said_something, &VENDOR) {
                (Outcome::Crashed, detail) => said.unwrap_or((Outcome::Crashed, detail)),
                other => other,
            },
        };
        self.decoder.unfinished(outcome, detail)
    }

    fn totals(&self) -> Option<Totals> {
        self.decoder.totals()
    }

    fn unknown(&self) -> u64 {
        self.decoder.unknown()
    }
}

impl Protocol for Talk {
    fn begin(&mut self, _out: &mut Outbox) {}

    fn line(&mut self, line: Line<'_>, out: &mut Outbox) {
        let signal = match line {
            Line::Whole(line) => self.decoder.line(line, &mut out.events),
            Line::Cut { head, tail, bytes } => self.decoder.over_long(head, tail, bytes, &mut out.events),
        };
        let speaks = |event: &AgentEvent| {
            matches!(
                event,
                AgentEvent::Text(_) | AgentEvent::Thought(_) | AgentEvent::Tool { .. }
            )
        };
        self.said_something |= out.events.iter().any(speaks);
        if let Signal::TurnEnded(turn) = signal {
            self.ended = Some(*turn);
            out.standing = Standing::Over;
        } else if self.decoder.retries() > VENDOR_RETRIES_MAX {
            self.gave_up = true;
            out.standing = Standing::Broken;
        }
    }

    fn complaint(&mut self, line: &str) {
        self.decoder.stderr(line);
    }

    fn interrupt(&mut self, _out: &mut Outbox) -> bool {
        false
    }

    fn steer(&mut self, _words: String, out: &mut Outbox) {
        let words = "`codex exec` does not listen; words in the middle of a turn need the app-server";
        out.events.push(AgentEvent::Notice(words.to_owned()));
    }

    fn answer(&mut self, _request: &str, _reply: &Reply, _out: &mut Outbox) -> bool {
        false
    }
}
