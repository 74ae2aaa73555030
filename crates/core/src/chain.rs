//! A chain of fallbacks as a pure machine: what is tried next when a try ended, and when there is no next.
//!
//! Whoever runs a chain keeps a [`Call`] and does what each [`Step`] says: begin a try, wait, or take the end. The
//! rules, in this order: one absolute deadline for everything; the class of a failure decides ([`class`]) before
//! anything is repeated; nobody waits where no try on the same entry follows; who is asked to wait longer than is left,
//! or longer than the next entry takes, moves on; a weak answer is a try's outcome like any other, and the best of them
//! is kept rather than thrown away with what it cost. Breakers are asked by the runner, right before a try
//! ([`crate::breaker`]): being barred is an event of the machine. Every decision is written into the trail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::time::Millis;

/// The most retries of one entry: "max 3 retries, then escalate".
pub const RETRIES_MAX: u32 = 3;
/// The most entries of one chain.
pub const ENTRIES_MAX: usize = 32;
/// The confidence below which an answer is weak, where a chain does not say.
pub const CONFIDENCE_MIN: u8 = 30;
/// The first wait before a retry; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait before a retry that no provider asked for.
pub const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// How long an entry is taken to need where nobody has measured it, in milliseconds.
pub const EXPECTED_MS: u64 = 10_000;

/// One option of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The model or agent, as the chain names it.
    pub name: String,
    /// How long one try may take, in milliseconds; nothing but the deadline when absent.
    pub timeout_ms: Option<u64>,
    /// How often a failed try is repeated here; at most [`RETRIES_MAX`].
    pub retry: u32,
    /// How many tokens of context it takes, when known.
    pub window_tokens: Option<u64>,
    /// How long a try usually takes, in milliseconds, when measured.
    pub expected_ms: Option<u64>,
    /// The most that one try can cost, in nano-dollars, when known.
    pub cost_max_nano: Option<u64>,
}

/// Ordered fallbacks and what holds for all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The options, first choice first.
    pub entries: Vec<Entry>,
    /// An answer with less confidence than this (0 to 100) is weak.
    pub confidence_min: u8,
    /// What all tries together may cost, in nano-dollars.
    pub spend_max_nano: Option<u64>,
}

/// What kind of failure it is, and so what helps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// None.
    Done,
    /// It may be gone in a moment.
    Transient,
    /// Too many requests; perhaps with the wait that is asked for.
    Throttled {
        /// The wait, in milliseconds.
        wait_ms: Option<u64>,
    },
    /// The allowance is used up until then.
    Exhausted {
        /// The moment.
        until: Option<Millis>,
    },
    /// Repeating it here is of no use: a retired model, a wrong key.
    Permanent,
    /// The prompt does not fit; only a larger window helps.
    Oversize,
    /// This model will not; another one may.
    Refused,
    /// There is an answer, and it is not good enough.
    Weak,
    /// The answer was cut off, silently or not.
    Cut,
    /// Nothing came in time.
    Hang,
    /// We stopped it: nothing follows.
    Stopped,
}

/// The one table of classes.
pub fn class(outcome: &Outcome) -> Class {
    match outcome {
        Outcome::Succeeded => Class::Done,
        Outcome::Overloaded | Outcome::Crashed | Outcome::Killed => Class::Transient,
        Outcome::RateLimited { retry_after_ms } => Class::Throttled {
            wait_ms: *retry_after_ms,
        },
        Outcome::Quota { resets_at } => Class::Exhausted { until: *resets_at },
        Outcome::Auth | Outcome::Unavailable => Class::Permanent,
        Outcome::ContextTooLong => Class::Oversize,
        Outcome::Refused => Class::Refused,
        Outcome::LowConfidence | Outcome::GateFailed | Outcome::Malformed | Outcome::Empty => Class::Weak,
        Outcome::Truncated => Class::Cut,
        Outcome::TimedOut | Outcome::Stalled => Class::Hang,
        // Of two sides that conflict both are good: only a person can bring them together.
        Outcome::Conflict | Outcome::BudgetExhausted | Outcome::Cancelled | Outcome::Skipped { .. } => Class::Stopped,
    }
}

/// How a try ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The class, given by the backend.
    pub outcome: Outcome,
    /// How sure the answer or its judge is, 0 to 100; nothing said counts as sure.
    pub confidence: Option<u8>,
    /// What it cost, in nano-dollars; absent when nobody knows, which then counts as the entry's most.
    pub cost_nano: Option<u64>,
    /// Whether there is an answer that could be used for want of a better one.
    pub usable: bool,
}

/// What a [`Call`] is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It begins.
    Begun,
    /// The entry's breaker lets nobody through before then; the try was not begun.
    Barred {
        /// The moment.
        until: Millis,
    },
    /// The try ended.
    Ended(Ended),
    /// The wait is over.
    Woke,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask the entry's breaker and begin a try.
    Try {
        /// Which entry, from 0.
        entry: usize,
        /// The so-manieth try of it, from 1.
        attempt: u32,
        /// How long it may take, in milliseconds: the entry's limit or what is left, whichever is less.
        timeout_ms: u64,
    },
    /// Do nothing until then; a try on the same entry follows.
    Sleep {
        /// The moment.
        until: Millis,
    },
    /// It is over.
    Finish(Finish),
}

/// How a chain ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finish {
    /// With an answer.
    Answered(Answered),
    /// Every entry that answered was weak: this is the best of them, and it is to be called weak.
    Weak(Answered),
    /// Nobody can be asked before then; hold the work, do not sleep on it.
    Parked {
        /// The earliest moment.
        until: Millis,
    },
    /// Nobody answered.
    Failed {
        /// The outcome to go by: the last try's.
        outcome: Outcome,
    },
}

/// Where the answer came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// The entry, from 0, which is also how deep the fallback went.
    pub entry: usize,
    /// The so-manieth try of it, from 1.
    pub attempt: u32,
    /// Its confidence; 100 when it said nothing.
    pub confidence: u8,
}

/// One line of the trail.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Millis,
    /// The entry it is about, from 0.
    pub entry: usize,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A try was begun.
    Tried {
        /// The so-manieth, from 1.
        attempt: u32,
        /// Its limit.
        timeout_ms: u64,
    },
    /// A try ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Its confidence, when it said one.
        confidence: Option<u8>,
        /// Its cost, when known.
        cost_nano: Option<u64>,
    },
    /// Waiting before the next try of it.
    Slept {
        /// Until when.
        until: Millis,
    },
    /// Left out: its breaker is open.
    Barred {
        /// Until when.
        until: Millis,
    },
    /// Left out: the prompt does not fit its window.
    TooSmall,
    /// Left out: a try could cost more than is left.
    TooDear,
    /// Not waited for: the wait is longer than what is left or than the next entry takes.
    NotWaitedFor {
        /// The wait.
        wait_ms: u64,
    },
}

/// The event makes no sense at this point of the call; nothing changes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a chain that is {phase} cannot take `{event}`")]
pub struct Illegal {
    /// Where the call stands.
    pub phase: &'static str,
    /// What it was told.
    pub event: &'static str,
}

/// One use of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    deadline: Millis,
    prompt_tokens: u64,
    phase: Phase,
    spent_nano: u64,
    /// The largest window that turned out too small.
    too_small: Option<u64>,
    /// The earliest moment at which somebody who cannot be asked now can be; and whether that holds for everybody so far.
    parked: Option<Millis>,
    only_parked: bool,
    last: Option<Outcome>,
    best: Option<Answered>,
    trail: Vec<Decision>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Fresh,
    Trying { entry: usize, attempt: u32 },
    Sleeping { entry: usize, attempt: u32 },
    Over,
}

/// What comes in from outside with every event.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moment {
    /// Now.
    pub now: Millis,
    /// A random number in 0..1 for the wait before a retry.
    pub jitter: f64,
}

impl Call {
    /// A call of a prompt with so many tokens, to be over by the deadline.
    pub fn new(prompt_tokens: u64, deadline: Millis) -> Call {
        Call {
            deadline,
            prompt_tokens,
            phase: Phase::Fresh,
            spent_nano: 0,
            too_small: None,
            parked: None,
            only_parked: true,
            last: None,
            best: None,
            trail: Vec::new(),
        }
    }

    /// Every decision so far.
    pub fn trail(&self) -> &[Decision] {
        &self.trail
    }

    /// What all tries so far cost, in nano-dollars; what is unknown counts as the entry's most.
    pub fn spent_nano(&self) -> u64 {
        self.spent_nano
    }

    /// Takes an event, says what to do.
    pub fn next(&mut self, chain: &Chain, event: Event, moment: Moment) -> Result<Step, Illegal> {
        let illegal = |phase, event| Err(Illegal { phase, event });
        match (self.phase, event) {
            (Phase::Fresh, Event::Begun) => Ok(self.from(chain, 0, moment.now)),
            (Phase::Trying { entry, .. }, Event::Barred { until }) => {
                // The try that was written down was not begun.
                self.trail.pop();
                self.note(moment.now, entry, What::Barred { until });
                self.park(until);
                Ok(self.from(chain, entry + 1, moment.now))
            }
            (Phase::Trying { entry, attempt }, Event::Ended(ended)) => {
                Ok(self.ended(chain, entry, attempt, ended, moment))
            }
            (Phase::Sleeping { entry, attempt }, Event::Woke) => Ok(self.begin(chain, entry, attempt, moment.now)),
            (Phase::Fresh, Event::Barred { .. }) => illegal("fresh", "barred"),
            (Phase::Fresh, Event::Ended(_)) => illegal("fresh", "ended"),
            (Phase::Fresh, Event::Woke) => illegal("fresh", "woke"),
            (Phase::Trying { .. }, Event::Begun) => illegal("trying", "begun"),
            (Phase::Trying { .. }, Event::Woke) => illegal("trying", "woke"),
            (Phase::Sleeping { .. }, Event::Begun) => illegal("sleeping", "begun"),
            (Phase::Sleeping { .. }, Event::Barred { .. }) => illegal("sleeping", "barred"),
            (Phase::Sleeping { .. }, Event::Ended(_)) => illegal("sleeping", "ended"),
            (Phase::Over, Event::Begun) => illegal("over", "begun"),
            (Phase::Over, Event::Barred { .. }) => illegal("over", "barred"),
            (Phase::Over, Event::Ended(_)) => illegal("over", "ended"),
            (Phase::Over, Event::Woke) => illegal("over", "woke"),
        }
    }

    fn ended(&mut self, chain: &Chain, entry: usize, attempt: u32, ended: Ended, moment: Moment) -> Step {
        let Ended {
            mut outcome,
            confidence,
            cost_nano,
            usable,
        } = ended;
        let dearest = chain.entries.get(entry).and_then(|entry| entry.cost_max_nano);
        self.spent_nano = self.spent_nano.saturating_add(cost_nano.or(dearest).unwrap_or(0));
        let answered = Answered {
            entry,
            attempt,
            confidence: confidence.unwrap_or(100),
        };
        if outcome.is_success() && answered.confidence < chain.confidence_min {
            outcome = Outcome::LowConfidence;
        }
        let what = What::Ended {
            outcome: outcome.clone(),
            confidence,
            cost_nano,
        };
        self.note(moment.now, entry, what);
        self.last = Some(outcome.clone());
        let class = class(&outcome);
        if usable && class == Class::Weak {
            // A failed gate says more about an answer than the answer says about itself.
            let rank = |answered: &Answered| answered.confidence;
            let kept = match outcome {
                Outcome::LowConfidence => answered,
                _ => Answered {
                    confidence: confidence.unwrap_or(0),
                    ..answered
                },
            };
            if self.best.as_ref().is_none_or(|best| rank(best) < rank(&kept)) {
                self.best = Some(kept);
            }
        }
        match class {
            Class::Done => self.over(Finish::Answered(answered)),
            Class::Stopped => self.over(Finish::Failed { outcome }),
            Class::Exhausted { until } => {
                match until {
                    Some(until) => self.park(until),
                    None => self.only_parked = false,
                }
                self.from(chain, entry + 1, moment.now)
            }
            Class::Oversize => {
                self.only_parked = false;
                let window = chain.entries.get(entry).and_then(|entry| entry.window_tokens);
                self.too_small = self.too_small.max(window);
                self.from(chain, entry + 1, moment.now)
            }
            Class::Permanent | Class::Refused | Class::Weak => {
                self.only_parked = false;
                self.from(chain, entry + 1, moment.now)
            }
            Class::Transient => self.again(chain, entry, attempt, Some(backoff(attempt, moment.jitter)), moment.now),
            Class::Throttled { wait_ms } => {
                let wait_ms = wait_ms.unwrap_or_else(|| backoff(attempt, moment.jitter));
                self.again(chain, entry, attempt, Some(wait_ms), moment.now)
            }
            // It took its whole time already, or came quickly and is simply asked for again.
            Class::Hang | Class::Cut => self.again(chain, entry, attempt, None, moment.now),
        }
    }

    /// Another try of the same entry, when there may be one and the wait before it is worth it; else the next entry.
    fn again(&mut self, chain: &Chain, entry: usize, attempt: u32, wait_ms: Option<u64>, now: Millis) -> Step {
        self.only_parked = false;
        let retries = chain.entries.get(entry).map_or(0, |entry| entry.retry.min(RETRIES_MAX));
        if attempt > retries {
            return self.from(chain, entry + 1, now);
        }
        let wait_ms = wait_ms.unwrap_or(0);
        if wait_ms == 0 {
            return self.begin(chain, entry, attempt + 1, now);
        }
        let left_ms = self.left_ms(now);
        let next_ms = self
            .following(chain, entry + 1)
            .map(|next| next.expected_ms.unwrap_or(EXPECTED_MS));
        if wait_ms >= left_ms || next_ms.is_some_and(|next_ms| wait_ms > next_ms) {
            self.note(now, entry, What::NotWaitedFor { wait_ms });
            return self.from(chain, entry + 1, now);
        }
        let until = now.after(Duration::from_millis(wait_ms));
        self.note(now, entry, What::Slept { until });
        self.phase = Phase::Sleeping {
            entry,
            attempt: attempt + 1,
        };
        Step::Sleep { until }
    }

    /// The first entry from `place` on that could be asked, as far as one can tell without its breaker.
    fn following<'c>(&self, chain: &'c Chain, place: usize) -> Option<&'c Entry> {
        let mut entries = chain.entries.iter().skip(place);
        entries.find(|entry| self.fits(entry) && self.affordable(chain, entry))
    }

    /// The next entry that can be asked, from `place` on, or the end.
    fn from(&mut self, chain: &Chain, place: usize, now: Millis) -> Step {
        for (place, entry) in chain.entries.iter().enumerate().skip(place) {
            if self.left_ms(now) == 0 {
                break;
            }
            let obstacle = if !self.fits(entry) {
                What::TooSmall
            } else if !self.affordable(chain, entry) {
                What::TooDear
            } else {
                return self.begin(chain, place, 1, now);
            };
            self.only_parked = false;
            self.note(now, place, obstacle);
        }
        self.conclude(now)
    }

    fn begin(&mut self, chain: &Chain, place: usize, attempt: u32, now: Millis) -> Step {
        let left_ms = self.left_ms(now);
        let Some(entry) = chain.entries.get(place).filter(|_| left_ms > 0) else {
            return self.conclude(now);
        };
        if attempt > 1 && !self.affordable(chain, entry) {
            self.note(now, place, What::TooDear);
            return self.from(chain, place + 1, now);
        }
        let timeout_ms = entry.timeout_ms.unwrap_or(u64::MAX).min(left_ms);
        self.phase = Phase::Trying { entry: place, attempt };
        self.note(now, place, What::Tried { attempt, timeout_ms });
        Step::Try {
            entry: place,
            attempt,
            timeout_ms,
        }
    }

    /// Nobody is left, or no time.
    fn conclude(&mut self, now: Millis) -> Step {
        if let Some(best) = self.best {
            return self.over(Finish::Weak(best));
        }
        if let Some(until) = self.parked.filter(|_| self.only_parked) {
            return self.over(Finish::Parked { until });
        }
        let outcome = match self.last.take() {
            Some(outcome) => outcome,
            None if self.left_ms(now) == 0 => Outcome::TimedOut,
            None if self.trail.iter().any(|decision| decision.what == What::TooSmall) => Outcome::ContextTooLong,
            None if self.trail.iter().any(|decision| decision.what == What::TooDear) => Outcome::BudgetExhausted,
            None => Outcome::Unavailable,
        };
        self.over(Finish::Failed { outcome })
    }

    fn over(&mut self, finish: Finish) -> Step {
        self.phase = Phase::Over;
        Step::Finish(finish)
    }

    fn park(&mut self, until: Millis) {
        self.parked = Some(self.parked.map_or(until, |earlier| earlier.min(until)));
    }

    fn fits(&self, entry: &Entry) -> bool {
        match (entry.window_tokens, self.too_small) {
            (Some(window), Some(too_small)) if window <= too_small => false,
            (Some(window), _) => self.prompt_tokens <= window,
            (None, _) => true,
        }
    }

    fn affordable(&self, chain: &Chain, entry: &Entry) -> bool {
        match (chain.spend_max_nano, entry.cost_max_nano) {
            (Some(max), Some(cost)) => self.spent_nano.saturating_add(cost) <= max,
            (Some(max), None) => self.spent_nano < max,
            (None, _) => true,
        }
    }

    fn left_ms(&self, now: Millis) -> u64 {
        self.deadline.0.saturating_sub(now.0)
    }

    fn note(&mut self, at: Millis, entry: usize, what: What) {
        self.trail.push(Decision { at, entry, what });
    }
}

/// Exponential with full jitter (AWS architecture blog, "Exponential Backoff And Jitter"), in milliseconds.
fn backoff(attempt: u32, jitter: f64) -> u64 {
    let ceiling = BACKOFF_FIRST
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(BACKOFF_MAX);
    let drawn = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
    u64::try_from(drawn.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
