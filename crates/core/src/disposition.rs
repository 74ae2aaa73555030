//! What an outcome leads to: one table for the whole product, overridable per task by `on_failure`.
//!
//! Called by the engine when an attempt ends. "Never more than 3 tries of one thing; then escalate" holds here and
//! only here: whatever a plan or chain says, a link of a chain is capped by [`crate::spec::RETRY_MAX`].
//!
//! A chain has one deadline. Nobody waits where no try of the same link follows, and who is asked to wait longer than
//! is left, or than the next link usually takes, moves on at once.

use std::time::Duration;

use crate::chain::EXPECTED_MS;
use crate::outcome::Outcome;
use crate::quota::Policy;
use crate::spec::{OnFailure, TaskSpec};
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
    /// Try again, at the same place of the chain or a later one, at that moment.
    TryAt {
        /// When.
        at: Millis,
        /// At which place.
        link: u32,
        /// A wait that another try of the same link was not worth, in milliseconds.
        unwaited_ms: Option<u64>,
    },
    /// Hold until a provider's allowance returns; the try is not counted.
    HoldUntil {
        /// When; now means: as soon as anybody from that place on can be asked.
        at: Millis,
        /// At which place of the chain it goes on.
        link: u32,
    },
    /// Hold and ask a person.
    Ask,
}

/// What the task has behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tries {
    /// The place of the chain whose try just ended.
    pub link: u32,
    /// How many tries that place has had, this one included.
    pub on_link: u32,
    /// When the first of the tries began that the deadline is counted from.
    pub since: Millis,
}

/// What is known of the world at the moment of the decision.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moment {
    /// Now.
    pub now: Millis,
    /// A random number in 0..1 (full jitter: a wait is drawn between zero and its ceiling).
    pub jitter: f64,
    /// What happens to a task whose account is used up.
    pub quota: Policy,
}

/// Decides.
pub fn dispose(spec: &TaskSpec, outcome: &Outcome, tries: &Tries, moment: Moment) -> Disposition {
    // A try that ends so found that it is not needed: nobody behind it has to do without anything.
    if matches!(outcome, Outcome::Skipped { .. }) {
        return Disposition::DoneAndContinue;
    }
    let table = rule(outcome);
    if outcome.is_success() || table == Rule::Finish {
        return Disposition::Done;
    }
    let decision = Decision {
        spec,
        outcome,
        tries,
        moment,
    };
    if table == Rule::Hold {
        return decision.used_up();
    }
    let retry = || decision.retry();
    let next = || decision.next(None);
    let retry_or_next = || match decision.retry() {
        Err(unwaited_ms) => decision.next(unwaited_ms),
        Ok(retry) => Some(retry),
    };
    if table == Rule::Reconcile {
        return match spec.on_failure {
            Some(OnFailure::Fail) => Disposition::Done,
            Some(OnFailure::Continue) => Disposition::DoneAndContinue,
            Some(OnFailure::Retry) => retry().unwrap_or(Disposition::Ask),
            Some(OnFailure::Fallback) => next().unwrap_or(Disposition::Ask),
            Some(OnFailure::Ask) | None => Disposition::Ask,
        };
    }
    let repeats = table == Rule::Retry;
    match spec.on_failure {
        Some(OnFailure::Fail) => Disposition::Done,
        Some(OnFailure::Continue) if repeats => retry().unwrap_or(Disposition::DoneAndContinue),
        Some(OnFailure::Continue) => Disposition::DoneAndContinue,
        Some(OnFailure::Ask) if repeats => retry().unwrap_or(Disposition::Ask),
        Some(OnFailure::Ask) => Disposition::Ask,
        Some(OnFailure::Retry) => retry().unwrap_or(Disposition::Done),
        Some(OnFailure::Fallback) => next().unwrap_or(Disposition::Done),
        None => match table {
            Rule::Retry => retry_or_next().unwrap_or(Disposition::Done),
            Rule::Next => next().unwrap_or(Disposition::Done),
            Rule::Ask => next().unwrap_or(Disposition::Ask),
            Rule::Reconcile => Disposition::Ask,
            Rule::Finish | Rule::Hold => Disposition::Done,
        },
    }
}

struct Decision<'a> {
    spec: &'a TaskSpec,
    outcome: &'a Outcome,
    tries: &'a Tries,
    moment: Moment,
}

impl Decision<'_> {
    /// Another try of the same link, where there may be one and the wait before it is worth it; else the wait that was
    /// not.
    fn retry(&self) -> Result<Disposition, Option<u64>> {
        let link = self.spec.link(self.tries.link);
        let allowed = link.and_then(|link| link.retry_max).unwrap_or(0);
        let left_ms = self.left_ms();
        if self.tries.on_link > allowed || left_ms == 0 {
            return Err(None);
        }
        let wait = backoff(self.outcome, self.tries.on_link, self.moment.jitter);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let somebody_sooner = wait_ms > EXPECTED_MS && self.following().is_some();
        if wait_ms >= left_ms || somebody_sooner {
            return Err(Some(wait_ms));
        }
        Ok(Disposition::TryAt {
            at: self.moment.now.after(wait),
            link: self.tries.link,
            unwaited_ms: None,
        })
    }

    /// The next link, at once.
    fn next(&self, unwaited_ms: Option<u64>) -> Option<Disposition> {
        let link = self.following()?;
        Some(Disposition::TryAt {
            at: self.moment.now,
            link,
            unwaited_ms,
        })
    }

    /// The next place that may be of use: where the prompt was too long, only a larger window is.
    fn following(&self) -> Option<u32> {
        if self.left_ms() == 0 {
            return None;
        }
        let window = |place| self.spec.link(place).and_then(|link| link.window_tokens);
        let too_small = match self.outcome {
            Outcome::ContextTooLong => window(self.tries.link),
            _ => None,
        };
        let fits = |place: &u32| match (window(*place), too_small) {
            (Some(window), Some(too_small)) => window > too_small,
            (Some(_) | None, _) => true,
        };
        (self.tries.link + 1..self.spec.links()).find(fits)
    }

    /// The account is used up: the next one of the chain, or a wait until anybody can be asked again.
    fn used_up(&self) -> Disposition {
        let Moment { now, quota, .. } = self.moment;
        let at = match self.outcome {
            Outcome::Quota { resets_at: Some(at) } => *at,
            _ => now.after(QUOTA_HOLD),
        };
        let may_move = quota == Policy::Reroute
            && !matches!(
                self.spec.on_failure,
                Some(OnFailure::Retry | OnFailure::Fail | OnFailure::Continue)
            );
        match self.next(None) {
            Some(next) if may_move => next,
            // Everybody after it was asked: from the top, as soon as the first of them is back.
            None if may_move && self.tries.link > 0 => Disposition::HoldUntil { at: now, link: 0 },
            Some(_) | None => Disposition::HoldUntil {
                at,
                link: self.tries.link,
            },
        }
    }

    fn left_ms(&self) -> u64 {
        let deadline = self.tries.since.0.saturating_add(self.spec.deadline_or_sum_ms());
        deadline.saturating_sub(self.moment.now.0)
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
    use crate::chain::Link;
    use crate::spec::{Edits, Isolation, Merge, Work};

    fn spec(on_failure: Option<OnFailure>, retry_max: u32, fallback: &[&str]) -> TaskSpec {
        TaskSpec {
            key: "t".into(),
            work: Work::Exec(String::new()),
            agent: "a".into(),
            fallback: fallback.iter().map(|name| Link::of((*name).into())).collect(),
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
            schema: None,
            timeout_ms: 600_000,
            idle_timeout_ms: 1,
            retry_max,
            deadline_ms: None,
            window_tokens: None,
            confidence_min: None,
            on_failure,
            planner: false,
            approval: false,
            env: BTreeMap::new(),
            cwd: None,
            budget: None,
            routed: None,
            flow: Default::default(),
            inputs: Default::default(),
        }
    }

    fn tries(link: u32, on_link: u32) -> Tries {
        Tries {
            link,
            on_link,
            since: NOW,
        }
    }

    const NOW: Millis = Millis(1_000_000);

    fn moment(jitter: f64) -> Moment {
        Moment {
            now: NOW,
            jitter,
            quota: Policy::Wait,
        }
    }

    fn letter(disposition: &Disposition) -> char {
        match disposition {
            Disposition::Done => 'd',
            Disposition::DoneAndContinue => 'c',
            Disposition::TryAt { link: 0, .. } => 'r',
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
                    let decided = dispose(
                        &spec(on_failure, 1, fallback),
                        outcome,
                        &tries(0, on_agent),
                        moment(0.5),
                    );
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
            cccccc cccccc skipped\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn never_more_than_three_tries_of_one_thing_whatever_a_plan_says() {
        let greedy = spec(Some(OnFailure::Retry), 99, &[]);
        let at = |on_agent| letter(&dispose(&greedy, &Outcome::Crashed, &tries(0, on_agent), moment(0.0)));
        assert_eq!([at(1), at(2), at(3), at(4)], ['r', 'r', 'd', 'd']);
    }

    #[test]
    fn waits_grow_with_full_jitter_and_heed_the_provider() {
        let patient = spec(None, 2, &[]);
        let wait =
            |outcome: &Outcome, on_agent, jitter| match dispose(&patient, outcome, &tries(0, on_agent), moment(jitter))
            {
                Disposition::TryAt { at, .. } | Disposition::HoldUntil { at, .. } => at.since(NOW),
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
        let next = |link| match dispose(&chain, &Outcome::Unavailable, &tries(link, 1), moment(0.0)) {
            Disposition::TryAt { at, link, .. } => (at == NOW).then_some(link),
            _ => None,
        };
        assert_eq!([next(0), next(1), next(2)], [Some(1), Some(2), None]);
    }

    #[test]
    fn nobody_waits_longer_than_the_next_entry_takes_or_than_is_left() {
        let asked = |seconds: u64| Outcome::RateLimited {
            retry_after_ms: Some(seconds * 1_000),
        };
        let of = |spec: &TaskSpec, outcome: &Outcome, since: Millis| {
            let tries = Tries { since, ..tries(0, 1) };
            dispose(spec, outcome, &tries, moment(0.0))
        };
        let chain = spec(None, 2, &["b"]);
        assert_eq!(letter(&of(&chain, &asked(5), NOW)), 'r', "a short wait is waited for");
        let moved = Disposition::TryAt {
            at: NOW,
            link: 1,
            unwaited_ms: Some(60_000),
        };
        assert_eq!(of(&chain, &asked(60), NOW), moved);
        let alone = spec(None, 2, &[]);
        assert_eq!(
            letter(&of(&alone, &asked(60), NOW)),
            'r',
            "alone there is nobody to go to"
        );
        let hasty = TaskSpec {
            deadline_ms: Some(30_000),
            ..chain.clone()
        };
        assert_eq!(letter(&of(&hasty, &Outcome::Crashed, Millis(NOW.0 - 29_999))), 'r');
        for outcome in [Outcome::Crashed, Outcome::Refused] {
            assert_eq!(
                letter(&of(&hasty, &outcome, Millis(NOW.0 - 30_000))),
                'd',
                "{outcome:?}"
            );
        }
        let hasty_alone = TaskSpec {
            deadline_ms: Some(30_000),
            ..alone
        };
        assert_eq!(letter(&of(&hasty_alone, &asked(60), NOW)), 'd', "longer than is left");
    }

    #[test]
    fn a_prompt_that_is_too_long_goes_to_a_larger_window() {
        let mut chain = spec(None, 0, &["b", "c", "d"]);
        chain.window_tokens = Some(200_000);
        chain.fallback[0].window_tokens = Some(100_000);
        chain.fallback[1].window_tokens = Some(1_000_000);
        let next = |outcome, link| match dispose(&chain, &outcome, &tries(link, 1), moment(0.0)) {
            Disposition::TryAt { link, .. } => Some(link),
            _ => None,
        };
        assert_eq!(next(Outcome::ContextTooLong, 0), Some(2));
        assert_eq!(next(Outcome::ContextTooLong, 2), Some(3), "of a window nobody knows");
        assert_eq!(next(Outcome::Refused, 0), Some(1));
    }

    #[test]
    fn a_used_up_account_leads_on_where_that_is_wanted() {
        let chain = spec(None, 0, &["b"]);
        let quota = Outcome::Quota {
            resets_at: Some(Millis(5_000_000)),
        };
        let at = |link, quota_policy, chain: &TaskSpec| {
            let moment = Moment {
                quota: quota_policy,
                ..moment(0.0)
            };
            dispose(chain, &quota, &tries(link, 1), moment)
        };
        let held = |at, link| Disposition::HoldUntil { at, link };
        assert_eq!(letter(&at(0, Policy::Reroute, &chain)), 'n');
        assert_eq!(at(0, Policy::Wait, &chain), held(Millis(5_000_000), 0));
        assert_eq!(at(1, Policy::Wait, &chain), held(Millis(5_000_000), 1));
        assert_eq!(at(1, Policy::Reroute, &chain), held(NOW, 0), "the first who is back");
        let alone = spec(None, 0, &[]);
        assert_eq!(at(0, Policy::Reroute, &alone), held(Millis(5_000_000), 0));
    }
}
