//! What an outcome leads to: one table for the whole product, overridable per task by `on_failure`.
//!
//! Called by the engine when an attempt ends. "Never more than 3 tries of one thing; then escalate" holds here and
//! only here: [`TaskSpec::retry_max`] is capped by [`RETRY_MAX`] whatever a plan says.

use std::time::Duration;

use crate::ids::AgentName;
use crate::outcome::Outcome;
use crate::spec::{OnFailure, RETRY_MAX, TaskSpec};
use crate::time::Millis;

/// The first wait before a retry; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait before a retry that no provider asked for.
pub const BACKOFF_MAX: Duration = Duration::from_secs(40);
/// How long a quota without a stated reset holds a task.
pub const QUOTA_HOLD: Duration = Duration::from_secs(15 * 60);

/// The table's answer for one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The task is over.
    Finish,
    /// Try again on the same agent, then as `then` says.
    Retry,
    /// The next agent of the chain; without one, fail.
    Next,
    /// Wait for a stated moment; the wait does not count as a try.
    Hold,
    /// Only a person can help.
    Ask,
    /// Two sides must be brought together: a person is asked, whatever else was tried first.
    Reconcile,
}

/// The one table. A failure that repeating cannot mend is not repeated.
pub fn rule(outcome: &Outcome) -> Rule {
    match outcome {
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Skipped { .. } => Rule::Finish,
        Outcome::RateLimited { .. }
        | Outcome::Overloaded
        | Outcome::Empty
        | Outcome::Malformed
        | Outcome::Truncated
        | Outcome::GateFailed
        | Outcome::Stalled
        | Outcome::Killed
        | Outcome::Crashed
        | Outcome::TimedOut => Rule::Retry,
        Outcome::ContextTooLong | Outcome::Refused | Outcome::LowConfidence | Outcome::Unavailable => Rule::Next,
        Outcome::Quota { .. } => Rule::Hold,
        Outcome::Auth | Outcome::BudgetExhausted => Rule::Ask,
        Outcome::Conflict => Rule::Reconcile,
    }
}

/// What to do with the task now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// It is over with this outcome; dependants run or are skipped by it.
    Done,
    /// It is over, and dependants run although it failed.
    DoneAndContinue,
    /// Try again, on the same agent or the next, at that moment.
    TryAt {
        /// When.
        at: Millis,
        /// On whom.
        agent: AgentName,
    },
    /// Hold until the provider's allowance returns; the try is not counted.
    HoldUntil {
        /// When.
        at: Millis,
    },
    /// Hold and ask a person.
    Ask,
}

/// What the task has behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tries {
    /// The agent of the try that just ended.
    pub agent: AgentName,
    /// How many tries that agent has had, this one included.
    pub on_agent: u32,
}

/// Decides. `jitter` is a random number in 0..1 (full jitter: the wait is drawn between zero and the ceiling).
pub fn dispose(spec: &TaskSpec, outcome: &Outcome, tries: &Tries, now: Millis, jitter: f64) -> Disposition {
    if outcome.is_success() {
        return Disposition::Done;
    }
    let table = rule(outcome);
    if table == Rule::Finish {
        return Disposition::Done;
    }
    if table == Rule::Hold {
        let at = match outcome {
            Outcome::Quota { resets_at: Some(at) } => *at,
            _ => now.after(QUOTA_HOLD),
        };
        return Disposition::HoldUntil { at };
    }
    let retry = || {
        let allowed = spec.retry_max.min(RETRY_MAX);
        (tries.on_agent <= allowed).then(|| Disposition::TryAt {
            at: now.after(backoff(outcome, tries.on_agent, jitter)),
            agent: tries.agent.clone(),
        })
    };
    let next = || next_agent(spec, &tries.agent).map(|agent| Disposition::TryAt { at: now, agent });
    if table == Rule::Reconcile {
        return match spec.on_failure {
            Some(OnFailure::Fail) => Disposition::Done,
            Some(OnFailure::Continue) => Disposition::DoneAndContinue,
            Some(OnFailure::Retry) => retry().unwrap_or(Disposition::Ask),
            Some(OnFailure::Fallback) => next().unwrap_or(Disposition::Ask),
            Some(OnFailure::Ask) | None => Disposition::Ask,
        };
    }
    match spec.on_failure {
        Some(OnFailure::Fail) => Disposition::Done,
        Some(OnFailure::Continue) => retry_if(table, retry).unwrap_or(Disposition::DoneAndContinue),
        Some(OnFailure::Ask) => retry_if(table, retry).unwrap_or(Disposition::Ask),
        Some(OnFailure::Retry) => retry().unwrap_or(Disposition::Done),
        Some(OnFailure::Fallback) => next().unwrap_or(Disposition::Done),
        None => match table {
            Rule::Retry => retry().or_else(next).unwrap_or(Disposition::Done),
            Rule::Next => next().unwrap_or(Disposition::Done),
            Rule::Ask => next().unwrap_or(Disposition::Ask),
            Rule::Reconcile => Disposition::Ask,
            Rule::Finish | Rule::Hold => Disposition::Done,
        },
    }
}

fn retry_if(table: Rule, retry: impl Fn() -> Option<Disposition>) -> Option<Disposition> {
    if table == Rule::Retry { retry() } else { None }
}

fn next_agent(spec: &TaskSpec, current: &AgentName) -> Option<AgentName> {
    match spec.fallback.iter().position(|agent| agent == current) {
        Some(place) => spec.fallback.get(place + 1).cloned(),
        None => spec.fallback.first().cloned(),
    }
}

/// Exponential with full jitter (AWS architecture blog, "Exponential Backoff And Jitter"), but never shorter than
/// what the provider asked for.
fn backoff(outcome: &Outcome, tries: u32, jitter: f64) -> Duration {
    let ceiling = BACKOFF_FIRST.saturating_mul(1 << tries.min(16)).min(BACKOFF_MAX);
    let drawn = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
    match outcome {
        Outcome::RateLimited {
            retry_after_ms: Some(asked_ms),
        } => drawn.max(Duration::from_millis(*asked_ms)),
        _ => drawn,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spec::{Edits, Isolation, Merge, Work};

    fn spec(on_failure: Option<OnFailure>, retry_max: u32, fallback: &[&str]) -> TaskSpec {
        TaskSpec {
            key: "t".into(),
            work: Work::Exec(String::new()),
            agent: "a".into(),
            fallback: fallback.iter().map(|name| (*name).into()).collect(),
            model: None,
            role: None,
            needs: Vec::new(),
            priority: 0,
            files: Vec::new(),
            verify: Vec::new(),
            isolation: Isolation::None,
            merge: Merge::None,
            protect: Vec::new(),
            edits: Edits::Own,
            timeout_ms: 1,
            idle_timeout_ms: 1,
            retry_max,
            on_failure,
            planner: false,
            approval: false,
            env: BTreeMap::new(),
            cwd: None,
            budget: None,
            routed: None,
        }
    }

    fn tries(agent: &str, on_agent: u32) -> Tries {
        Tries {
            agent: agent.into(),
            on_agent,
        }
    }

    const NOW: Millis = Millis(1_000_000);

    fn letter(disposition: &Disposition) -> char {
        match disposition {
            Disposition::Done => 'd',
            Disposition::DoneAndContinue => 'c',
            Disposition::TryAt { agent, .. } if agent.as_str() == "a" => 'r',
            Disposition::TryAt { .. } => 'n',
            Disposition::HoldUntil { .. } => 'h',
            Disposition::Ask => 'a',
        }
    }

    /// One row an outcome; columns: no override, retry, fallback, ask, continue, fail; first with tries and a chain
    /// left, then with neither. d done, c done and continue, r retry here, n next agent, h hold, a ask.
    #[test]
    fn the_whole_table() {
        let outcomes = [
            Outcome::Succeeded,
            Outcome::Auth,
            Outcome::Quota { resets_at: None },
            Outcome::RateLimited { retry_after_ms: None },
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
            Outcome::Skipped { cause: "x".into() },
        ];
        let overrides = [
            None,
            Some(OnFailure::Retry),
            Some(OnFailure::Fallback),
            Some(OnFailure::Ask),
            Some(OnFailure::Continue),
            Some(OnFailure::Fail),
        ];
        let mut table = String::new();
        for outcome in &outcomes {
            for (on_agent, fallback) in [(1, &["b"][..]), (2, &[][..])] {
                for on_failure in overrides {
                    let decided = dispose(&spec(on_failure, 1, fallback), outcome, &tries("a", on_agent), NOW, 0.5);
                    table.push(letter(&decided));
                }
                table.push(' ');
            }
            table.push_str(outcome.class());
            table.push('\n');
        }
        let expected = "\
            dddddd dddddd succeeded\n\
            nrnacd addacd auth\n\
            hhhhhh hhhhhh quota\n\
            rrnrrd dddacd rate_limited\n\
            rrnrrd dddacd overloaded\n\
            nrnacd dddacd context_too_long\n\
            nrnacd dddacd refused\n\
            rrnrrd dddacd empty\n\
            rrnrrd dddacd malformed\n\
            rrnrrd dddacd truncated\n\
            nrnacd dddacd low_confidence\n\
            rrnrrd dddacd gate_failed\n\
            arnacd aaaacd conflict\n\
            rrnrrd dddacd timed_out\n\
            rrnrrd dddacd stalled\n\
            rrnrrd dddacd killed\n\
            rrnrrd dddacd crashed\n\
            nrnacd dddacd unavailable\n\
            nrnacd addacd budget_exhausted\n\
            dddddd dddddd cancelled\n\
            dddddd dddddd skipped\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn never_more_than_three_tries_of_one_thing_whatever_a_plan_says() {
        let greedy = spec(Some(OnFailure::Retry), 99, &[]);
        let at = |on_agent| letter(&dispose(&greedy, &Outcome::Crashed, &tries("a", on_agent), NOW, 0.0));
        assert_eq!([at(1), at(2), at(3), at(4)], ['r', 'r', 'd', 'd']);
    }

    #[test]
    fn waits_grow_with_full_jitter_and_heed_the_provider() {
        let patient = spec(None, 2, &[]);
        let wait = |outcome: &Outcome, on_agent, jitter| match dispose(
            &patient,
            outcome,
            &tries("a", on_agent),
            NOW,
            jitter,
        ) {
            Disposition::TryAt { at, .. } | Disposition::HoldUntil { at } => at.since(NOW),
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(&Outcome::Crashed, 1, 0.0), Duration::ZERO);
        assert_eq!(wait(&Outcome::Crashed, 1, 1.0), Duration::from_secs(1));
        assert_eq!(wait(&Outcome::Crashed, 2, 1.0), Duration::from_secs(2));
        let hinted = Outcome::RateLimited {
            retry_after_ms: Some(90_000),
        };
        assert_eq!(
            wait(&hinted, 1, 1.0),
            Duration::from_secs(90),
            "never sooner than asked"
        );
        let quota = Outcome::Quota {
            resets_at: Some(Millis(5_000_000)),
        };
        assert_eq!(wait(&quota, 9, 0.0), Duration::from_secs(4_000), "a quota is no try");
    }

    #[test]
    fn a_chain_is_gone_through_in_order_and_once() {
        let chain = spec(Some(OnFailure::Fallback), 0, &["b", "c"]);
        let next = |agent: &str| match dispose(&chain, &Outcome::Unavailable, &tries(agent, 1), NOW, 0.0) {
            Disposition::TryAt { agent, .. } => agent.0,
            other => format!("{other:?}"),
        };
        assert_eq!([next("a"), next("b"), next("c")], ["b", "c", "Done"]);
    }
}
