//! Decoders: what a vendor's program prints, line by line, turned into core's events and one classified end of turn.
//!
//! Pure: bytes in, [`AgentEvent`]s and a [`Signal`] out; no IO, no clock. Called by the backends next door, which own
//! the process. A line that nobody understands is kept as [`AgentEvent::Raw`] and counted; nothing here is fatal.

pub mod claude;
mod codex;
pub mod codex_app;
pub mod codex_exec;
pub mod failure;
pub mod jsonl;

pub use codex::Totals;

use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, Usage};

/// How much of an unknown line is kept in [`AgentEvent::Raw`], in bytes.
pub const RAW_MAX: usize = 4 * 1024;
/// How much of a tool's input is kept as its description, in bytes: enough for a long path or command.
pub const DETAIL_MAX: usize = 4 * 1024;
/// How much of an answer is kept while it streams in, in bytes. The final line of a turn repeats it whole.
pub const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// How many changed files, refusals of tools or open calls are remembered; more than this in one turn are not named.
pub const NAMED_MAX: usize = 1_000;

/// What a line means for whoever drives the process.
#[derive(Clone, PartialEq, Debug)]
pub enum Signal {
    /// Nothing beyond its events.
    Quiet,
    /// A turn is over. The process may live on.
    TurnEnded(Box<Turn>),
    /// A known request of the agent waits for an answer; it was also told as an event.
    Asked {
        /// Its id.
        request: String,
    },
    /// A request that this version does not know. It must be answered with an error at once.
    Unknown {
        /// Its id, as the vendor wrote it (JSON).
        request: String,
        /// What it asked for.
        what: String,
    },
    /// An answer to a request of ours.
    Answered {
        /// The id we gave.
        request: String,
        /// The vendor's words when it refused.
        error: Option<String>,
    },
}

/// The end of a turn.
#[derive(Clone, PartialEq, Debug)]
pub struct Turn {
    /// How it ended. An interrupted turn is `cancelled`; whoever did not ask for that says `killed`.
    pub outcome: Outcome,
    /// One line for people when there is something to say.
    pub detail: String,
    /// The answer; a part of it when the turn was cut or interrupted.
    pub text: String,
    /// What this turn consumed.
    pub usage: Usage,
    /// What this turn cost.
    pub cost: Cost,
    /// The session to go on in.
    pub session: Option<String>,
    /// Tool calls that were not allowed.
    pub denials: Vec<Denial>,
    /// Files the agent says it changed.
    pub files: Vec<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The version of the vendor's program.
    pub version: Option<String>,
    /// Whether an interrupt ended it.
    pub interrupted: bool,
}

/// A tool call that was not allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// The tool.
    pub tool: String,
    /// What it was about.
    pub detail: String,
    /// Who said no.
    pub by: DeniedBy,
}

/// Who did not allow a tool call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeniedBy {
    /// We did, or the person who answered through us.
    Host,
    /// The vendor's program did, by its own settings, and asked nobody.
    Vendor,
}

/// The first `max` bytes of a text, cut at a character, with an ellipsis when something is missing.
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// An unknown or broken line, kept.
pub(crate) fn raw(line: &[u8]) -> AgentEvent {
    let head = &line[..line.len().min(RAW_MAX)];
    AgentEvent::Raw(cut(&String::from_utf8_lossy(head), RAW_MAX))
}

/// Appends up to a limit; what exceeds it is dropped.
pub(crate) fn append_bounded(to: &mut String, piece: &str, max: usize) {
    let room = max.saturating_sub(to.len());
    if piece.len() <= room {
        to.push_str(piece);
        return;
    }
    let end = (0..=room).rev().find(|&at| piece.is_char_boundary(at)).unwrap_or(0);
    to.push_str(&piece[..end]);
}

/// Tokens of a text nobody counted: four bytes a token, the vendors' own rule of thumb.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("häuser", 2), "h…");
        assert_eq!(cut("ab", 2), "ab");
        assert_eq!(cut("", 0), "");
        let mut text = "a".to_owned();
        append_bounded(&mut text, "öb", 2);
        assert_eq!(text, "a");
        append_bounded(&mut text, "öb", 3);
        assert_eq!(text, "aö");
    }
}
