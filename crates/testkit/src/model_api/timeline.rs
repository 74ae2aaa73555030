//! What came in and how it ended: one entry per request, in order of arrival.
//!
//! An attempt is entered when its request has been read, before anything is answered, so that a hang is seen too.
//! It is marked completed just before its last byte is written: whoever has read an answer finds it completed here.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The time line keeps this many attempts; the oldest go first.
pub const ATTEMPTS_MAX: usize = 100_000;
/// This many bytes of a prompt are kept.
pub const PROMPT_BYTES_KEPT: usize = 2_000;

/// A protocol the fake speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Responses.
    Responses,
    /// OpenAI Chat Completions.
    Chat,
    /// Gemini `generateContent`.
    Gemini,
}

/// What kind of request it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptKind {
    /// A model call of the work itself.
    Turn,
    /// A model call an agent makes on the side: a title, a choice of model. Answered well, whatever the script says.
    Side,
    /// Counting tokens, listing models, an unknown path, a request that could not be read.
    Other,
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finished {
    /// Everything that was to be sent was sent.
    Completed,
    /// The client closed the connection first.
    ClientGone,
    /// The server broke off, as the script says.
    Cut,
}

/// A broken rule of the protocol.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// Which rule: a code of [`VIOLATIONS`](super::VIOLATIONS).
    pub code: String,
    /// Where and what.
    pub detail: String,
}

/// One request and what became of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Number since the start or the last reset, from 1.
    pub number: u64,
    /// When the request had been read, in milliseconds since the start or the last reset.
    pub at_ms: u64,
    /// When it ended, on the same scale.
    pub ended_ms: Option<u64>,
    /// Method and path with the query, keys in it removed.
    pub request: String,
    /// What kind of request it was.
    pub kind: AttemptKind,
    /// The protocol; none for an unknown path.
    pub vendor: Option<Vendor>,
    /// The model asked for; empty where none was named.
    pub model: String,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The last text of the user, at most [`PROMPT_BYTES_KEPT`] bytes of it.
    pub prompt: String,
    /// Short hash of that text in full.
    pub prompt_digest: String,
    /// Which attempt this is at the same point of the conversation (protocol, model, prompt, tool results), from 1.
    pub try_number: u32,
    /// Tool rounds since the last text of the user.
    pub tool_rounds: usize,
    /// What tools brought in the last of those rounds, at most [`PROMPT_BYTES_KEPT`] bytes of it.
    pub brought: String,
    /// Beginnings of the texts of the user in the whole conversation, the last few.
    pub told: Vec<String>,
    /// Names of the tools the request offers.
    pub tools: Vec<String>,
    /// Bytes of the request's body.
    pub body_bytes: usize,
    /// How the client named itself.
    pub user_agent: String,
    /// The header that carried the key; never the key.
    pub auth: Option<String>,
    /// The fault that hit this attempt.
    pub fault: Option<String>,
    /// The HTTP status sent; none while or when nothing was sent.
    pub status: Option<u16>,
    /// What was said: tool names, or the beginning of the text.
    pub said: String,
    /// How it ended; none while it runs.
    pub finished: Option<Finished>,
    /// Rules of the protocol that the request breaks.
    pub violations: Vec<Violation>,
}

/// The attempts since the start or the last reset.
#[derive(Debug)]
pub(crate) struct Timeline {
    began: Instant,
    next: u64,
    /// Tells attempts from before a reset from those after it.
    epoch: u64,
    attempts: VecDeque<Attempt>,
}

/// Names one attempt of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AttemptRef {
    epoch: u64,
    number: u64,
}

impl Timeline {
    pub(crate) fn new() -> Timeline {
        Timeline {
            began: Instant::now(),
            next: 1,
            epoch: 0,
            attempts: VecDeque::new(),
        }
    }

    pub(crate) fn reset(&mut self) {
        *self = Timeline {
            epoch: self.epoch + 1,
            ..Timeline::new()
        };
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Enters an attempt; its number and moment are set here.
    pub(crate) fn enter(&mut self, mut attempt: Attempt) -> AttemptRef {
        attempt.number = self.next;
        attempt.at_ms = self.now_ms();
        self.next += 1;
        if self.attempts.len() == ATTEMPTS_MAX {
            self.attempts.pop_front();
        }
        let entered = AttemptRef {
            epoch: self.epoch,
            number: attempt.number,
        };
        self.attempts.push_back(attempt);
        entered
    }

    fn find(&mut self, attempt: AttemptRef) -> Option<&mut Attempt> {
        if attempt.epoch != self.epoch {
            return None;
        }
        let first = self.attempts.front()?.number;
        let at = usize::try_from(attempt.number.checked_sub(first)?).ok()?;
        self.attempts.get_mut(at)
    }

    pub(crate) fn status(&mut self, attempt: AttemptRef, status: u16) {
        if let Some(attempt) = self.find(attempt) {
            attempt.status = Some(status);
        }
    }

    pub(crate) fn finish(&mut self, attempt: AttemptRef, finished: Finished) {
        let now_ms = self.now_ms();
        if let Some(attempt) = self.find(attempt) {
            attempt.finished = Some(finished);
            attempt.ended_ms = Some(now_ms);
        }
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.iter().cloned().collect()
    }

    /// Each violation with the number of its attempt.
    pub(crate) fn violations(&self) -> Vec<(u64, Violation)> {
        let of = |attempt: &Attempt| {
            let number = attempt.number;
            attempt.violations.clone().into_iter().map(move |found| (number, found))
        };
        self.attempts.iter().flat_map(of).collect()
    }
}

impl Attempt {
    /// An attempt of which only the request line is known.
    pub(crate) fn bare(request: String) -> Attempt {
        Attempt {
            number: 0,
            at_ms: 0,
            ended_ms: None,
            request,
            kind: AttemptKind::Other,
            vendor: None,
            model: String::new(),
            stream: false,
            prompt: String::new(),
            prompt_digest: String::new(),
            try_number: 1,
            tool_rounds: 0,
            brought: String::new(),
            told: Vec::new(),
            tools: Vec::new(),
            body_bytes: 0,
            user_agent: String::new(),
            auth: None,
            fault: None,
            status: None,
            said: String::new(),
            finished: None,
            violations: Vec::new(),
        }
    }
}
