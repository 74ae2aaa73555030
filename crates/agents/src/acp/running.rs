//! The running turn: what was said in it, which tools were called, and what went wrong beside the protocol.
//!
//! Pure. [`super::decode`] owns one while a turn runs and says how it ended.

use serde::Deserialize;
use serde_json::Value;
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;

use super::failure;
use super::tools::Tools;
use crate::decode::jsonl::Field;
use crate::decode::{ANSWER_MAX, DETAIL_MAX, NAMED_MAX, append_bounded, cut};

/// How much of a notice is told, in bytes.
pub(super) const NOTICE_MAX: usize = 300;

/// The running turn.
#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) prompt_bytes: usize,
    /// All text and thought, in bytes.
    pub(super) said_bytes: usize,
    /// The newest message.
    pub(super) text: String,
    pub(super) message: Option<String>,
    /// A tool was called since the last piece of text.
    pub(super) is_interrupted_by_tool: bool,
    pub(super) tools: Tools,
    pub(super) trouble: Trouble,
    pub(super) fails_in_words: bool,
    /// The failure that was said last, by an agent that says them as a part of its answer.
    pub(super) failure: Option<String>,
}

/// A failure that the agent tells beside the protocol and ends as if all were well.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// It says that it has failed.
    pub(super) has_failed: bool,
    pub(super) status: Option<u64>,
    pub(super) words: String,
    /// Requests that failed and are tried again, since anything came of one, and why.
    pub(super) retries: u32,
    pub(super) retried: Option<(Outcome, String)>,
}

#[derive(Deserialize)]
pub(super) struct Update<'a> {
    #[serde(borrow, default, rename = "sessionUpdate")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) content: Field<'a>,
    #[serde(borrow, default, rename = "messageId")]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) cost: Field<'a>,
    #[serde(borrow, default)]
    pub(super) entries: Field<'a>,
    #[serde(borrow, default, rename = "currentModeId")]
    pub(super) mode: Field<'a>,
    #[serde(borrow, default, rename = "_meta")]
    pub(super) meta: Field<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Field<'a>,
    #[serde(borrow, default)]
    uri: Field<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "claudeCode")]
    claude: Field<'a>,
}

#[derive(Deserialize)]
struct ClaudeMeta<'a> {
    #[serde(borrow, default)]
    kind: Field<'a>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
}

impl Running {
    pub(super) fn message(&mut self, update: &Update<'_>, events: &mut Vec<AgentEvent>) -> bool {
        let Some(piece) = piece(update.content) else {
            return false;
        };
        // Qwen puts the count of a call behind an empty piece.
        if piece.is_empty() {
            return true;
        }
        let is_info = self.fails_in_words && piece.starts_with("Info: ");
        if is_info && piece.ends_with("Retrying...") {
            // What was said so far is said again.
            self.text.clear();
        }
        if is_info || is_of_the_vendor(update.meta) {
            events.push(AgentEvent::Notice(cut(&piece, NOTICE_MAX)));
            return true;
        }
        self.failure = (self.fails_in_words && piece.starts_with("Error: ")).then(|| cut(&piece, DETAIL_MAX));
        self.trouble.retries = 0;
        // Gemini says a change of its mode as a part of its answer.
        if let Some(mode) = piece.strip_prefix("[MODE_UPDATE] ") {
            events.push(AgentEvent::Notice(format!("the agent's mode is now {mode}")));
            return true;
        }
        if self.trouble.has_failed {
            append_bounded(&mut self.trouble.words, &piece, DETAIL_MAX);
            events.push(AgentEvent::Notice(cut(&piece, NOTICE_MAX)));
            return true;
        }
        let id = update.message.string();
        let is_new = match (&id, &self.message) {
            (Some(new), Some(old)) => new != old,
            _ => self.is_interrupted_by_tool,
        };
        if is_new {
            self.text.clear();
        }
        self.message = id.or(self.message.take());
        self.is_interrupted_by_tool = false;
        self.said_bytes = self.said_bytes.saturating_add(piece.len());
        append_bounded(&mut self.text, &piece, ANSWER_MAX);
        events.push(AgentEvent::Text(piece));
        true
    }

    /// A tool was called, or came back.
    pub(super) fn worked(&mut self) {
        self.is_interrupted_by_tool = true;
        self.failure = None;
        self.trouble.retries = 0;
    }

    pub(super) fn thought(&mut self, update: &Update<'_>, events: &mut Vec<AgentEvent>) -> bool {
        let Some(piece) = piece(update.content) else {
            return false;
        };
        self.said_bytes = self.said_bytes.saturating_add(piece.len());
        events.push(AgentEvent::Thought(piece));
        true
    }

    /// What the Codex adapter tells beside the protocol: its state, and errors that it tries to get over.
    pub(super) fn info(&mut self, meta: Field<'_>, events: &mut Vec<AgentEvent>) {
        let meta: Value = meta.read().unwrap_or_default();
        let codex = &meta["codex"];
        match codex["threadStatus"]["type"].as_str() {
            Some("systemError") => self.trouble.has_failed = true,
            Some("active") => self.trouble = Trouble::default(),
            _ => {}
        }
        let error = &codex["error"];
        if error.is_object() {
            self.trouble.status = failure::codex_status(error).or(self.trouble.status);
            let words = error["additionalDetails"].as_str().or(error["message"].as_str());
            let words = cut(words.unwrap_or_default(), NOTICE_MAX);
            let told = match error["willRetry"].as_bool() {
                Some(true) => {
                    let outcome = failure::of_message(self.trouble.status, &[], &words);
                    self.trouble.retries = self.trouble.retries.saturating_add(1);
                    self.trouble.retried = Some((outcome, failure::line(&words)));
                    format!("the agent tries again: {words}")
                }
                _ => words,
            };
            events.push(AgentEvent::Notice(told));
        }
    }

    /// Some agents say an error as text first; that is no answer.
    pub(super) fn forget_repeated(&mut self, message: &Value) {
        let text = self.text.trim();
        if !text.is_empty() && message.as_str().is_some_and(|message| message.contains(text)) {
            self.said_bytes = self.said_bytes.saturating_sub(self.text.len());
            self.text.clear();
        }
    }

    /// The failure that was said last; it is no answer.
    pub(super) fn take_failure(&mut self) -> String {
        let words = self.failure.take().unwrap_or_default();
        let rest = self.text.strip_suffix(&words).map(str::len);
        if let Some(rest) = rest {
            self.text.truncate(rest);
            self.said_bytes = self.said_bytes.saturating_sub(words.len());
        }
        words
    }

    pub(super) fn denied(&self) -> String {
        match self.tools.denials.as_slice() {
            [] => String::new(),
            [one] => format!("{} ({}) was denied", one.tool, cut(&one.detail, 100)),
            [first, rest @ ..] => format!("{} and {} more tool calls were denied", first.tool, rest.len()),
        }
    }
}

impl Trouble {
    pub(super) fn class(&self) -> (Outcome, String) {
        let outcome = failure::of_message(self.status, &[], &self.words);
        (outcome, failure::line(&self.words))
    }
}

/// The Claude adapter tells its vendor's announcements as parts of the answer, marked as such.
fn is_of_the_vendor(meta: Field<'_>) -> bool {
    let claude = meta.read::<Meta<'_>>().map(|meta| meta.claude).unwrap_or_default();
    claude
        .read::<ClaudeMeta<'_>>()
        .is_some_and(|claude| claude.kind.is("informational"))
}

fn piece(content: Field<'_>) -> Option<String> {
    let content = content.read::<Content<'_>>()?;
    // A picture or another thing without words is told by where it is.
    content.text.string().or_else(|| content.uri.string())
}

pub(super) fn plan(entries: Field<'_>) -> Vec<String> {
    entries
        .items()
        .into_iter()
        .take(NAMED_MAX)
        .filter_map(|entry| {
            let entry = entry.read::<Entry<'_>>()?;
            let status = entry.status.text();
            let status = status.as_deref().unwrap_or("pending");
            Some(format!("[{status}] {}", cut(&entry.content.text()?, NOTICE_MAX)))
        })
        .collect()
}
