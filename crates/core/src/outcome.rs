//! How an attempt ended. Classified once, in the backend that saw it; everything else reads the class, never the text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, TaskKey};
use crate::time::Millis;

/// How an attempt, and in the end its task, came out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Outcome {
    /// The work is done; its checks, if it has any, passed.
    Succeeded,
    /// The login or key was refused.
    Auth,
    /// The provider's allowance is used up until a known or unknown moment.
    Quota {
        /// When the allowance is said to return.
        resets_at: Option<Millis>,
    },
    /// Too many requests for now.
    RateLimited {
        /// How long the provider asked us to wait, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// The provider cannot serve anybody at the moment.
    Overloaded,
    /// The prompt does not fit the model's window.
    ContextTooLong,
    /// The model declined on policy grounds.
    Refused,
    /// It ended well and said nothing.
    Empty,
    /// The answer is not in the form that was demanded.
    Malformed,
    /// The answer was cut short.
    Truncated,
    /// The answer is there and its own or a judge's confidence is too low.
    LowConfidence,
    /// The agent claimed success and a check of ours failed.
    GateFailed,
    /// The work is done and does not go together with what was merged before. Both sides are kept.
    Conflict,
    /// The wall timer ran out.
    TimedOut,
    /// No sign of life for the idle limit.
    Stalled,
    /// Ended by a signal that we did not send.
    Killed,
    /// Exited with an error.
    Crashed,
    /// Binary, model or login is missing; it never started.
    Unavailable,
    /// The money was used up.
    BudgetExhausted,
    /// A person or a parent stopped it.
    Cancelled,
    /// Never tried, because something it needs did not succeed.
    Skipped {
        /// The task whose outcome caused it.
        cause: TaskKey,
    },
}

impl Outcome {
    /// The stable name of the class, as written in plans, reports and `--json`.
    pub fn class(&self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Auth => "auth",
            Outcome::Quota { .. } => "quota",
            Outcome::RateLimited { .. } => "rate_limited",
            Outcome::Overloaded => "overloaded",
            Outcome::ContextTooLong => "context_too_long",
            Outcome::Refused => "refused",
            Outcome::Empty => "empty",
            Outcome::Malformed => "malformed",
            Outcome::Truncated => "truncated",
            Outcome::LowConfidence => "low_confidence",
            Outcome::GateFailed => "gate_failed",
            Outcome::Conflict => "conflict",
            Outcome::TimedOut => "timed_out",
            Outcome::Stalled => "stalled",
            Outcome::Killed => "killed",
            Outcome::Crashed => "crashed",
            Outcome::Unavailable => "unavailable",
            Outcome::BudgetExhausted => "budget_exhausted",
            Outcome::Cancelled => "cancelled",
            Outcome::Skipped { .. } => "skipped",
        }
    }

    /// What a person can do about it, where that is always the same.
    pub fn remedy(&self, agent: &AgentName) -> Option<String> {
        let login = || format!("log in with `{agent}` itself, or give it a good key (`env.pass` passes it on)");
        (*self == Outcome::Auth).then(login)
    }

    /// Whether the work was done.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Succeeded)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Skipped { cause } => write!(f, "skipped because of {cause}"),
            other => f.write_str(other.class()),
        }
    }
}
