//! A circuit breaker as a pure machine: when a provider's model is not to be asked for a while, and who tries it again.
//!
//! One breaker stands for one [`Subject`] (provider, model, credential) and knows nothing of groups, so a chain of one
//! entry is protected like a chain of ten. It opens on a streak of failures, or on their share in a rolling window once
//! enough was asked; then one probe is let through, and its end decides. Stores keep the [`Breaker`]s (they are plain
//! data): the commit that hands a task out asks them, the one that ends its try tells them what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::time::Millis;

/// How many parts the rolling window has: the oldest one is forgotten as a whole.
const PARTS: usize = 10;

/// What a breaker stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Who serves it.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Which login or key, by its configured name; never the secret.
    pub credential: String,
}

/// When a breaker opens and for how long. Every field counts as set: no value means "off" or "as by default".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// It opens at this many failures in a row.
    pub streak_max: u32,
    /// How far back the share of failures is counted, in milliseconds.
    pub window_ms: u64,
    /// How many calls the window must hold before their share means anything.
    pub volume_min: u32,
    /// It opens at this share of failures in the window, in percent.
    pub failed_percent: u32,
    /// How long it stays open the first time, in milliseconds; it doubles with each probe that fails.
    pub open_ms: u64,
    /// The longest it stays open without a stated moment, in milliseconds.
    pub open_max_ms: u64,
    /// How long a probe may take before its place is given to another, in milliseconds.
    pub probe_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            streak_max: 3,
            window_ms: 60_000,
            volume_min: 10,
            failed_percent: 50,
            open_ms: 30_000,
            open_max_ms: 15 * 60_000,
            probe_ms: 120_000,
        }
    }
}

/// What the end of a call says about the one that was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bearing {
    /// It answered; whether the answer was good is another matter.
    Well,
    /// It failed in a way that may pass.
    Ill,
    /// It will not answer before a moment, or before somebody does something.
    Out {
        /// The stated moment.
        until: Option<Millis>,
    },
    /// Nothing: we stopped it ourselves.
    Silent,
}

/// What an outcome says about the one that was called, at `now`.
pub fn bearing(outcome: &Outcome, now: Millis) -> Bearing {
    match outcome {
        Outcome::Succeeded
        | Outcome::LowConfidence
        | Outcome::GateFailed
        | Outcome::Conflict
        | Outcome::Refused
        | Outcome::ContextTooLong => Bearing::Well,
        Outcome::Overloaded
        | Outcome::Empty
        | Outcome::Malformed
        | Outcome::Truncated
        | Outcome::TimedOut
        | Outcome::Stalled
        | Outcome::Killed
        | Outcome::Crashed
        | Outcome::RateLimited { retry_after_ms: None } => Bearing::Ill,
        Outcome::RateLimited {
            retry_after_ms: Some(wait_ms),
        } => Bearing::Out {
            until: Some(now.after(Duration::from_millis(*wait_ms))),
        },
        Outcome::Quota { resets_at } => Bearing::Out { until: *resets_at },
        Outcome::Auth | Outcome::Unavailable => Bearing::Out { until: None },
        Outcome::BudgetExhausted | Outcome::Cancelled | Outcome::Skipped { .. } => Bearing::Silent,
    }
}

/// Whether the one it stands for may be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It may.
    Closed {
        /// Failures since the last success.
        streak: u32,
        /// What came of the calls of late.
        window: Window,
    },
    /// It may not before a moment.
    Open {
        /// The moment.
        until: Millis,
        /// How often in a row it opened without closing in between.
        openings: u32,
    },
    /// One probe is under way; nobody else may ask.
    HalfOpen {
        /// Since when.
        since: Millis,
        /// As before.
        openings: u32,
    },
}

/// Successes and failures of late, in parts of a tenth of the window.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// The number of the newest part since the beginning of time.
    newest: u64,
    /// Well and ill calls, newest part first.
    parts: Vec<(u32, u32)>,
}

impl Window {
    fn turned(&self, policy: &Policy, now: Millis) -> Window {
        let part_ms = (policy.window_ms / PARTS as u64).max(1);
        let number = now.0 / part_ms;
        // A clock that was set back counts into the newest part.
        let passed = usize::try_from(number.saturating_sub(self.newest)).unwrap_or(PARTS);
        let mut parts = vec![(0, 0); passed.min(PARTS)];
        parts.extend(self.parts.iter().copied().take(PARTS - parts.len()));
        if parts.is_empty() {
            parts.push((0, 0));
        }
        Window {
            newest: number.max(self.newest),
            parts,
        }
    }

    fn counted(mut self, ill: bool) -> Window {
        if let Some((well_count, ill_count)) = self.parts.first_mut() {
            let count = if ill { ill_count } else { well_count };
            *count = count.saturating_add(1);
        }
        self
    }

    fn is_bad(&self, policy: &Policy) -> bool {
        let sum = |(well, ill): (u64, u64), part: &(u32, u32)| (well + u64::from(part.0), ill + u64::from(part.1));
        let (well, ill) = self.parts.iter().fold((0, 0), sum);
        let volume = well + ill;
        ill > 0 && volume >= u64::from(policy.volume_min) && ill * 100 >= volume * u64::from(policy.failed_percent)
    }
}

/// Leave to ask, handed back with what came of it. One of an earlier state of the breaker says nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ticket {
    epoch: u64,
}

impl Ticket {
    /// The number on it, for keeping it.
    pub fn number(self) -> u64 {
        self.epoch
    }

    /// One that was kept.
    pub fn from_number(epoch: u64) -> Ticket {
        Ticket { epoch }
    }
}

/// The answer to somebody who wants to ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Go on, and hand the ticket back.
    Admitted(Ticket),
    /// Not before then.
    Barred {
        /// The moment.
        until: Millis,
    },
}

/// One breaker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Breaker {
    state: State,
    /// Counted up with each change of state.
    epoch: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker {
            state: State::Closed {
                streak: 0,
                window: Window::default(),
            },
            epoch: 0,
        }
    }
}

impl Breaker {
    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Until when nobody but a probe may ask; nothing when it is closed, or open and due for a probe.
    pub fn barred_until(&self, policy: &Policy, now: Millis) -> Option<Millis> {
        let until = match &self.state {
            State::Closed { .. } => return None,
            State::Open { until, .. } => *until,
            State::HalfOpen { since, .. } => since.after(Duration::from_millis(policy.probe_ms)),
        };
        (until > now).then_some(until)
    }

    /// Until when it is open; nothing when it is not, or due for a probe.
    pub fn open_until(&self, now: Millis) -> Option<Millis> {
        match &self.state {
            State::Open { until, .. } => Some(*until).filter(|until| *until > now),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    /// Somebody wants to ask. The first one after the wait is the probe; those beside it are barred.
    #[must_use]
    pub fn ask(&self, policy: &Policy, now: Millis) -> (Breaker, Admission) {
        if let Some(until) = self.barred_until(policy, now) {
            return (self.clone(), Admission::Barred { until });
        }
        let breaker = match &self.state {
            State::Closed { .. } => self.clone(),
            State::Open { openings, .. } | State::HalfOpen { openings, .. } => self.moved(State::HalfOpen {
                since: now,
                openings: *openings,
            }),
        };
        let epoch = breaker.epoch;
        (breaker, Admission::Admitted(Ticket { epoch }))
    }

    /// A call that was admitted ended.
    #[must_use]
    pub fn ended(&self, policy: &Policy, ticket: Ticket, bearing: Bearing, now: Millis) -> Breaker {
        if ticket.epoch != self.epoch {
            return self.clone();
        }
        match (&self.state, bearing) {
            (State::Closed { .. }, Bearing::Silent) | (State::Open { .. }, _) => self.clone(),
            (State::Closed { window, .. }, Bearing::Well) => Breaker {
                state: State::Closed {
                    streak: 0,
                    window: window.turned(policy, now).counted(false),
                },
                epoch: self.epoch,
            },
            (State::Closed { streak, window }, Bearing::Ill) => {
                let window = window.turned(policy, now).counted(true);
                let streak = streak.saturating_add(1);
                if streak >= policy.streak_max.max(1) || window.is_bad(policy) {
                    return self.opened(policy, 0, None, now);
                }
                Breaker {
                    state: State::Closed { streak, window },
                    epoch: self.epoch,
                }
            }
            (State::Closed { .. }, Bearing::Out { until }) => self.opened(policy, 0, until, now),
            (State::HalfOpen { .. }, Bearing::Well) => self.moved(Breaker::default().state),
            (State::HalfOpen { openings, .. }, Bearing::Ill) => self.opened(policy, *openings, None, now),
            (State::HalfOpen { openings, .. }, Bearing::Out { until }) => self.opened(policy, *openings, until, now),
            // The probe was stopped before it could say anything: the next one may try at once.
            (State::HalfOpen { openings, .. }, Bearing::Silent) => self.moved(State::Open {
                until: now,
                openings: *openings,
            }),
        }
    }

    fn opened(&self, policy: &Policy, openings: u32, until: Option<Millis>, now: Millis) -> Breaker {
        let span_ms = policy.open_ms.saturating_mul(1 << openings.min(20));
        let span = Duration::from_millis(span_ms.min(policy.open_max_ms));
        self.moved(State::Open {
            until: until.unwrap_or_else(|| now.after(span)),
            openings: openings.saturating_add(1),
        })
    }

    fn moved(&self, state: State) -> Breaker {
        Breaker {
            state,
            epoch: self.epoch + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        streak_max: 3,
        window_ms: 10_000,
        volume_min: 5,
        failed_percent: 50,
        open_ms: 1_000,
        open_max_ms: 4_000,
        probe_ms: 500,
    };

    fn admitted(breaker: &Breaker, at: u64) -> (Breaker, Ticket) {
        match breaker.ask(&POLICY, Millis(at)) {
            (breaker, Admission::Admitted(ticket)) => (breaker, ticket),
            (_, Admission::Barred { until }) => panic!("barred until {until:?} at {at}"),
        }
    }

    fn after(breaker: &Breaker, bearings: &[Bearing], at: u64) -> Breaker {
        bearings.iter().fold(breaker.clone(), |breaker, bearing| {
            let (breaker, ticket) = admitted(&breaker, at);
            breaker.ended(&POLICY, ticket, *bearing, Millis(at))
        })
    }

    fn barred(breaker: &Breaker, at: u64) -> Option<u64> {
        match breaker.ask(&POLICY, Millis(at)).1 {
            Admission::Admitted(_) => None,
            Admission::Barred { until } => Some(until.0),
        }
    }

    #[test]
    fn a_streak_opens_a_breaker_that_stands_alone() {
        let ill = after(&Breaker::default(), &[Bearing::Ill; 2], 0);
        assert_eq!(barred(&ill, 0), None);
        assert_eq!(barred(&after(&ill, &[Bearing::Well, Bearing::Ill], 0), 0), None);
        assert_eq!(barred(&after(&ill, &[Bearing::Ill], 0), 10), Some(1_000));
    }

    #[test]
    fn a_share_opens_it_only_once_enough_was_asked() {
        use Bearing::{Ill, Well};
        assert_eq!(barred(&after(&Breaker::default(), &[Ill, Well, Ill], 0), 0), None);
        assert_eq!(barred(&after(&Breaker::default(), &[Ill, Well, Ill, Well], 0), 0), None);
        let open = after(&Breaker::default(), &[Ill, Well, Ill, Well, Ill], 0);
        assert_eq!(barred(&open, 0), Some(1_000));
        // What is older than the window is forgotten.
        let old = after(&Breaker::default(), &[Ill, Well, Ill, Well], 0);
        assert_eq!(barred(&after(&old, &[Well, Ill], 20_000), 20_000), None);
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let open = after(&Breaker::default(), &[Bearing::Ill; 3], 0);
        let (half, probe) = admitted(&open, 1_000);
        assert_eq!(barred(&half, 1_001), Some(1_500), "nobody beside the probe");
        let closed = half.ended(&POLICY, probe, Bearing::Well, Millis(1_100));
        assert!(matches!(closed.state(), State::Closed { streak: 0, .. }));
        let again = half.ended(&POLICY, probe, Bearing::Ill, Millis(1_100));
        assert_eq!(barred(&again, 1_100), Some(3_100), "twice as long");
        let (half, probe) = admitted(&again, 3_100);
        let third = half.ended(&POLICY, probe, Bearing::Ill, Millis(3_100));
        assert_eq!(barred(&third, 3_100), Some(7_100));
        let (half, probe) = admitted(&third, 7_100);
        let fourth = half.ended(&POLICY, probe, Bearing::Ill, Millis(7_100));
        assert_eq!(barred(&fourth, 7_100), Some(11_100), "no longer than the longest");
    }

    #[test]
    fn a_probe_that_never_comes_back_gives_its_place_up() {
        let open = after(&Breaker::default(), &[Bearing::Ill; 3], 0);
        let (half, lost) = admitted(&open, 1_000);
        let (second, probe) = admitted(&half, 1_500);
        assert_eq!(
            second.ended(&POLICY, lost, Bearing::Well, Millis(1_600)),
            second,
            "too late"
        );
        let closed = second.ended(&POLICY, probe, Bearing::Well, Millis(1_600));
        assert!(matches!(closed.state(), State::Closed { .. }));
        let stopped = half.ended(&POLICY, lost, Bearing::Silent, Millis(1_100));
        assert_eq!(barred(&stopped, 1_100), None, "the next one may probe at once");
    }

    #[test]
    fn a_late_word_from_before_it_opened_changes_nothing() {
        let (breaker, late) = admitted(&Breaker::default(), 0);
        let open = after(&breaker, &[Bearing::Ill; 3], 0);
        for bearing in [
            Bearing::Well,
            Bearing::Ill,
            Bearing::Out { until: None },
            Bearing::Silent,
        ] {
            assert_eq!(open.ended(&POLICY, late, bearing, Millis(5)), open);
        }
    }

    #[test]
    fn a_stated_moment_is_believed() {
        let until = Some(Millis(90_000));
        let out = after(&Breaker::default(), &[Bearing::Out { until }], 0);
        assert_eq!(barred(&out, 89_999), Some(90_000));
        assert_eq!(barred(&out, 90_000), None);
        let (half, probe) = admitted(&out, 90_000);
        let until = Some(Millis(200_000));
        let still = half.ended(&POLICY, probe, Bearing::Out { until }, Millis(90_100));
        assert_eq!(barred(&still, 90_100), Some(200_000));
    }

    #[test]
    fn every_state_takes_every_end() {
        let until = Some(Millis(9));
        let closed = Breaker::default();
        let open = after(&closed, &[Bearing::Ill; 3], 0);
        let (half, _) = admitted(&open, 1_000);
        let bearings = [Bearing::Well, Bearing::Ill, Bearing::Out { until }, Bearing::Silent];
        let names = |breaker: &Breaker| {
            bearings.map(|bearing| {
                let ticket = Ticket { epoch: breaker.epoch };
                match breaker.ended(&POLICY, ticket, bearing, Millis(1_000)).state {
                    State::Closed { .. } => "closed",
                    State::Open { .. } => "open",
                    State::HalfOpen { .. } => "half-open",
                }
            })
        };
        assert_eq!(names(&closed), ["closed", "closed", "open", "closed"]);
        assert_eq!(names(&open), ["open"; 4]);
        assert_eq!(names(&half), ["closed", "open", "open", "open"]);
    }

    #[test]
    fn it_is_the_same_after_being_stored() {
        let (half, _) = admitted(&after(&Breaker::default(), &[Bearing::Ill; 3], 0), 1_000);
        for breaker in [half, after(&Breaker::default(), &[Bearing::Ill, Bearing::Well], 77)] {
            let text = serde_json::to_string(&breaker).unwrap();
            assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
        }
    }

    #[test]
    fn only_the_provider_is_to_blame_for_what_is_its_fault() {
        let now = Millis(100);
        for (outcome, expected) in [
            (Outcome::GateFailed, Bearing::Well),
            (Outcome::ContextTooLong, Bearing::Well),
            (Outcome::Overloaded, Bearing::Ill),
            (Outcome::Stalled, Bearing::Ill),
            (
                Outcome::RateLimited {
                    retry_after_ms: Some(20),
                },
                Bearing::Out {
                    until: Some(Millis(120)),
                },
            ),
            (Outcome::RateLimited { retry_after_ms: None }, Bearing::Ill),
            (
                Outcome::Quota {
                    resets_at: Some(Millis(5_000)),
                },
                Bearing::Out {
                    until: Some(Millis(5_000)),
                },
            ),
            (Outcome::Auth, Bearing::Out { until: None }),
            (Outcome::Cancelled, Bearing::Silent),
        ] {
            assert_eq!(bearing(&outcome, now), expected, "{outcome}");
        }
    }
}
