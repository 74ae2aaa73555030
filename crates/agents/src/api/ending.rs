//! The end of a request, classified once: completed, incomplete for a reason, or failed. Pure; everybody else reads the
//! class.

use std::time::Duration;

use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::human;

use super::call::{How, Patience};
use super::fold::{Folded, Stop};
use super::trouble::Trouble;

/// How a request ended: always exactly one of these.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum End {
    /// The model said all it wanted to say.
    Completed,
    /// There is an answer, and it is not all of it.
    Incomplete(Reason),
    /// The provider, or the way to it, failed.
    Failed(Trouble),
    /// There was no answer for a reason on our side of the line or on it.
    None(Outcome, String),
}

/// Why an answer is not all of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    /// A limit on the output, or the end of the window.
    Limit,
    /// The model declined, or a filter did.
    Refused,
    /// The body ended properly without the end of the answer.
    EndedEarly,
    /// The connection broke.
    Broken(String),
    /// Nothing came any more.
    Stalled,
    /// The provider stopped it for a reason that we have no word for.
    Other(String),
    /// The engine stopped it.
    Stopped,
    /// The engine interrupted it.
    Interrupted,
}

/// Which of them it was.
pub(super) fn end(how: How, folded: &Folded, patience: Patience) -> End {
    if let Some(trouble) = &folded.trouble {
        return End::Failed(trouble.clone());
    }
    match how {
        How::NoAnswer(no_answer) => return End::None(no_answer.outcome, no_answer.words),
        How::Silent => {
            let words = format!("no answer began within {}", human(patience.first_byte));
            return End::None(Outcome::Stalled, words);
        }
        How::Refused(trouble) => return End::Failed(trouble),
        How::NotAStream(head) => {
            let words = format!("it did not answer with a stream of events, but with `{head}`");
            return End::None(Outcome::Malformed, words);
        }
        How::Stopped => return End::Incomplete(Reason::Stopped),
        How::Interrupted => return End::Incomplete(Reason::Interrupted),
        How::Ended | How::Broken(_) | How::Stalled => {}
    }
    // What the model said of its end counts also when the connection broke right after it.
    match (&folded.stop, how) {
        (Some(Stop::Done), _) if !folded.refusal.is_empty() => End::Incomplete(Reason::Refused),
        (Some(Stop::Done), _) => End::Completed,
        (Some(Stop::Limit), _) => End::Incomplete(Reason::Limit),
        (Some(Stop::Refused), _) => End::Incomplete(Reason::Refused),
        (Some(Stop::Other(why)), _) => End::Incomplete(Reason::Other(why.clone())),
        (None, How::Broken(why)) => End::Incomplete(Reason::Broken(why)),
        (None, How::Stalled) => End::Incomplete(Reason::Stalled),
        (None, _) => End::Incomplete(Reason::EndedEarly),
    }
}

/// The class, and one line for people.
pub(super) fn class(end: &End, folded: &Folded, stall: Duration) -> (Outcome, String) {
    let said = |outcome, words: &str| (outcome, words.to_owned());
    match end {
        End::Completed if folded.text.trim().is_empty() => said(Outcome::Empty, "it ended well and said nothing"),
        End::Completed => said(Outcome::Succeeded, ""),
        End::Failed(trouble) => (trouble.outcome(), trouble.words()),
        End::None(outcome, words) => (outcome.clone(), words.clone()),
        End::Incomplete(reason) => match reason {
            Reason::Limit => said(
                Outcome::Truncated,
                "the answer met the limit on its length; `output_tokens_max` of the agent raises it",
            ),
            Reason::Refused if folded.refusal.trim().is_empty() => said(Outcome::Refused, "the model declined"),
            Reason::Refused => (
                Outcome::Refused,
                format!("the model declined: {}", crate::decode::cut(folded.refusal.trim(), 300)),
            ),
            Reason::EndedEarly => said(
                Outcome::Truncated,
                "the answer ended without its end: the provider closed the stream early",
            ),
            Reason::Broken(why) => (
                Outcome::Truncated,
                format!("the connection broke in the middle of the answer: {why}"),
            ),
            Reason::Stalled => (
                Outcome::Stalled,
                format!("nothing came for {} in the middle of the answer", human(stall)),
            ),
            Reason::Other(why) => (
                Outcome::Malformed,
                format!("the provider ended the answer with `{why}`"),
            ),
            Reason::Stopped => said(Outcome::Killed, "stopped by order"),
            Reason::Interrupted => said(Outcome::Cancelled, "the turn was interrupted"),
        },
    }
}
