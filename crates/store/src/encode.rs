//! Stored numbers and what they stand for: states, reasons, outcomes, costs, usage.
//!
//! The numbers are part of the file format: never change one, only add. Every conversion matches exhaustively, so a
//! new variant in core does not build until it has a number here.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use wheelhouse_core::ids::{ArtifactHash, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::store::RunState;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use crate::failure::{Answer, Stop};

/// Numbers that are compared in SQL. SQLite has 63 bits; nothing real needs the last one, so it saturates.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Numbers that SQL only carries: all 64 bits survive.
pub(crate) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

pub(crate) fn from_bits(number: i64) -> u64 {
    number.cast_unsigned()
}

pub(crate) fn damaged<T>(what: &str, found: impl std::fmt::Display) -> Answer<T> {
    Err(Stop::Damaged(format!("a row holds {found} where {what} should be")))
}

/// Where a task stands, without what belongs to that state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Waiting = 0,
    Ready = 1,
    Running = 2,
    Held = 3,
    Done = 4,
}

impl State {
    pub(crate) fn decode(code: i64) -> Answer<State> {
        Ok(match code {
            0 => State::Waiting,
            1 => State::Ready,
            2 => State::Running,
            3 => State::Held,
            4 => State::Done,
            other => return damaged("the state of a task", other),
        })
    }

    /// From the name that [`wheelhouse_core::task::TaskState::name`] gives.
    pub(crate) fn named(name: &str) -> Option<State> {
        match name {
            "waiting" => Some(State::Waiting),
            "ready" => Some(State::Ready),
            "running" => Some(State::Running),
            "held" => Some(State::Held),
            "done" => Some(State::Done),
            _ => None,
        }
    }
}

/// Why a task is held, without what belongs to that reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    Paused = 1,
    Approval = 2,
    Question = 3,
    Budget = 4,
    Quota = 5,
    Retry = 6,
    Conflict = 7,
    MergeConflict = 8,
}

impl Reason {
    pub(crate) fn decode(code: i64) -> Answer<Reason> {
        Ok(match code {
            1 => Reason::Paused,
            2 => Reason::Approval,
            3 => Reason::Question,
            4 => Reason::Budget,
            5 => Reason::Quota,
            6 => Reason::Retry,
            7 => Reason::Conflict,
            8 => Reason::MergeConflict,
            other => return damaged("the reason of a held task", other),
        })
    }
}

pub(crate) fn run_state_code(state: RunState) -> i64 {
    match state {
        RunState::Active => 0,
        RunState::Paused => 1,
        RunState::Interrupted => 2,
        RunState::Finished => 3,
    }
}

pub(crate) fn run_state(code: i64) -> Answer<RunState> {
    Ok(match code {
        0 => RunState::Active,
        1 => RunState::Paused,
        2 => RunState::Interrupted,
        3 => RunState::Finished,
        other => return damaged("the state of a run", other),
    })
}

pub(crate) fn question_kind_code(kind: QuestionKind) -> i64 {
    match kind {
        QuestionKind::Approval => 0,
        QuestionKind::Failure => 1,
        QuestionKind::Permission => 2,
        QuestionKind::Words => 3,
        QuestionKind::Conflict => 4,
    }
}

pub(crate) fn question_kind(code: i64) -> Answer<QuestionKind> {
    Ok(match code {
        0 => QuestionKind::Approval,
        1 => QuestionKind::Failure,
        2 => QuestionKind::Permission,
        3 => QuestionKind::Words,
        4 => QuestionKind::Conflict,
        other => return damaged("the kind of a question", other),
    })
}

/// What an outcome carries beside its class.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Detail {
    None,
    Number(u64),
    Text(String),
}

impl ToSql for Detail {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Detail::None => ToSqlOutput::Owned(Value::Null),
            Detail::Number(number) => ToSqlOutput::Owned(Value::Integer(bits(*number))),
            Detail::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl FromSql for Detail {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Detail::None),
            ValueRef::Integer(number) => Ok(Detail::Number(from_bits(number))),
            ValueRef::Text(_) => Ok(Detail::Text(String::column_result(value)?)),
            ValueRef::Real(_) | ValueRef::Blob(_) => Err(rusqlite::types::FromSqlError::InvalidType),
        }
    }
}

pub(crate) const SUCCEEDED: i64 = 1;
pub(crate) const CANCELLED: i64 = 19;
pub(crate) const SKIPPED: i64 = 20;

/// The class of an outcome as a number.
pub(crate) fn outcome_code(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Succeeded => SUCCEEDED,
        Outcome::Auth => 2,
        Outcome::Quota { .. } => 3,
        Outcome::RateLimited { .. } => 4,
        Outcome::Overloaded => 5,
        Outcome::ContextTooLong => 6,
        Outcome::Refused => 7,
        Outcome::Empty => 8,
        Outcome::Malformed => 9,
        Outcome::Truncated => 10,
        Outcome::LowConfidence => 11,
        Outcome::GateFailed => 12,
        Outcome::TimedOut => 13,
        Outcome::Stalled => 14,
        Outcome::Killed => 15,
        Outcome::Crashed => 16,
        Outcome::Unavailable => 17,
        Outcome::BudgetExhausted => 18,
        Outcome::Cancelled => CANCELLED,
        Outcome::Skipped { .. } => SKIPPED,
        Outcome::Conflict => 21,
    }
}

pub(crate) fn outcome_detail(outcome: &Outcome) -> Detail {
    match outcome {
        Outcome::Quota { resets_at: Some(at) } => Detail::Number(at.0),
        Outcome::RateLimited {
            retry_after_ms: Some(ms),
        } => Detail::Number(*ms),
        Outcome::Skipped { cause } => Detail::Text(cause.0.clone()),
        Outcome::Quota { resets_at: None }
        | Outcome::RateLimited { retry_after_ms: None }
        | Outcome::Succeeded
        | Outcome::Auth
        | Outcome::Overloaded
        | Outcome::ContextTooLong
        | Outcome::Refused
        | Outcome::Empty
        | Outcome::Malformed
        | Outcome::Truncated
        | Outcome::LowConfidence
        | Outcome::GateFailed
        | Outcome::Conflict
        | Outcome::TimedOut
        | Outcome::Stalled
        | Outcome::Killed
        | Outcome::Crashed
        | Outcome::Unavailable
        | Outcome::BudgetExhausted
        | Outcome::Cancelled => Detail::None,
    }
}

pub(crate) fn outcome(code: i64, detail: Detail) -> Answer<Outcome> {
    Ok(match (code, detail) {
        (SUCCEEDED, _) => Outcome::Succeeded,
        (2, _) => Outcome::Auth,
        (3, Detail::Number(at)) => Outcome::Quota {
            resets_at: Some(Millis(at)),
        },
        (3, _) => Outcome::Quota { resets_at: None },
        (4, Detail::Number(ms)) => Outcome::RateLimited {
            retry_after_ms: Some(ms),
        },
        (4, _) => Outcome::RateLimited { retry_after_ms: None },
        (5, _) => Outcome::Overloaded,
        (6, _) => Outcome::ContextTooLong,
        (7, _) => Outcome::Refused,
        (8, _) => Outcome::Empty,
        (9, _) => Outcome::Malformed,
        (10, _) => Outcome::Truncated,
        (11, _) => Outcome::LowConfidence,
        (12, _) => Outcome::GateFailed,
        (13, _) => Outcome::TimedOut,
        (14, _) => Outcome::Stalled,
        (15, _) => Outcome::Killed,
        (16, _) => Outcome::Crashed,
        (17, _) => Outcome::Unavailable,
        (18, _) => Outcome::BudgetExhausted,
        (CANCELLED, _) => Outcome::Cancelled,
        (SKIPPED, Detail::Text(cause)) => Outcome::Skipped { cause: TaskKey(cause) },
        (21, _) => Outcome::Conflict,
        (other, _) => return damaged("an outcome", other),
    })
}

/// The provenance as a number, and the money where there is any.
pub(crate) fn cost_codes(cost: Cost) -> (i64, Option<i64>) {
    match cost {
        Cost::Actual(nano) => (1, Some(bits(nano))),
        Cost::Priced(nano) => (2, Some(bits(nano))),
        Cost::Included => (3, None),
        Cost::Free => (4, None),
        Cost::Unknown => (5, None),
    }
}

pub(crate) fn cost(code: i64, nano: Option<i64>) -> Answer<Cost> {
    Ok(match (code, nano) {
        (1, Some(nano)) => Cost::Actual(from_bits(nano)),
        (2, Some(nano)) => Cost::Priced(from_bits(nano)),
        (3, _) => Cost::Included,
        (4, _) => Cost::Free,
        (5, _) => Cost::Unknown,
        (other, _) => return damaged("the provenance of a cost", other),
    })
}

pub(crate) fn usage_source_code(source: UsageSource) -> i64 {
    match source {
        UsageSource::Estimated => 0,
        UsageSource::Reported => 1,
    }
}

pub(crate) fn usage_source(code: i64) -> Answer<UsageSource> {
    match code {
        0 => Ok(UsageSource::Estimated),
        1 => Ok(UsageSource::Reported),
        other => damaged("the source of a usage", other),
    }
}

/// Six numbers as a JSON list; nothing at all for a try that used nothing.
pub(crate) fn usage_text(usage: Usage) -> Option<String> {
    let Usage {
        input,
        cache_read,
        cache_write,
        output,
        reasoning,
        source,
    } = usage;
    (usage != Usage::default()).then(|| {
        let source = usage_source_code(source);
        format!("[{input},{cache_read},{cache_write},{output},{reasoning},{source}]")
    })
}

pub(crate) fn usage(text: Option<&str>) -> Answer<Usage> {
    let Some(text) = text else { return Ok(Usage::default()) };
    let Ok([input, cache_read, cache_write, output, reasoning, source]) = serde_json::from_str::<[u64; 6]>(text) else {
        return damaged("a usage", text);
    };
    Ok(Usage {
        input,
        cache_read,
        cache_write,
        output,
        reasoning,
        source: usage_source(int(source))?,
    })
}

/// A hash takes 32 bytes when it is the BLAKE3 it should be; whatever else a caller passed is kept as it is.
pub(crate) struct StoredHash(Value);

impl StoredHash {
    pub(crate) fn new(hash: &ArtifactHash) -> Self {
        StoredHash(match blake3::Hash::from_hex(&hash.0) {
            // Only the lower-case spelling: upper case would come back changed.
            Ok(known) if known.to_hex().as_str() == hash.0 => Value::Blob(known.as_bytes().to_vec()),
            _ => Value::Text(hash.0.clone()),
        })
    }
}

impl ToSql for StoredHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive() {
        let all = [
            Outcome::Succeeded,
            Outcome::Auth,
            Outcome::Quota { resets_at: None },
            Outcome::Quota {
                resets_at: Some(Millis(u64::MAX)),
            },
            Outcome::RateLimited { retry_after_ms: None },
            Outcome::RateLimited {
                retry_after_ms: Some(7),
            },
            Outcome::Overloaded,
            Outcome::ContextTooLong,
            Outcome::Refused,
            Outcome::Empty,
            Outcome::Malformed,
            Outcome::Truncated,
            Outcome::LowConfidence,
            Outcome::GateFailed,
            Outcome::Conflict,
            Outcome::TimedOut,
            Outcome::Stalled,
            Outcome::Killed,
            Outcome::Crashed,
            Outcome::Unavailable,
            Outcome::BudgetExhausted,
            Outcome::Cancelled,
            Outcome::Skipped { cause: "a".into() },
        ];
        for before in all {
            let after = outcome(outcome_code(&before), outcome_detail(&before)).unwrap();
            assert_eq!(after, before);
        }
        assert!(matches!(outcome(99, Detail::None), Err(Stop::Damaged(_))));
        assert!(matches!(outcome(SKIPPED, Detail::None), Err(Stop::Damaged(_))));
    }

    #[test]
    fn usages_and_costs_survive() {
        let full = Usage {
            input: u64::MAX,
            cache_read: 1,
            cache_write: 2,
            output: 3,
            reasoning: 4,
            source: UsageSource::Reported,
        };
        for before in [Usage::default(), full] {
            assert_eq!(usage(usage_text(before).as_deref()).unwrap(), before);
        }
        assert!(usage(Some("[1,2]")).is_err());
        for before in [
            Cost::Actual(u64::MAX),
            Cost::Priced(0),
            Cost::Included,
            Cost::Free,
            Cost::Unknown,
        ] {
            let (code, nano) = cost_codes(before);
            assert_eq!(cost(code, nano).unwrap(), before);
        }
    }
}
