//! The ledger: what was consumed, by whom, at what cost. Its entries are never changed and never removed.
//!
//! The engine hands [`Line`]s to the store with the end of a try; the store makes [`Entry`]s of them in the same
//! transaction, adds them up by day ([`Tally`]) and counts them against budgets. What a vendor reports twice counts once:
//! of a turn that is known already only what is [`surplus`] is written.

use serde::{Deserialize, Serialize};

use crate::analysis::{Facts, analyse};
use crate::day::Day;
use crate::ids::{AgentName, AttemptNumber, RunId, TaskId};
use crate::outcome::Outcome;
use crate::report::COMMAND;
use crate::spec::{TaskSpec, Work};
use crate::store::TaskResult;
use crate::time::Millis;
use crate::usage::{Cost, Usage, UsageSource};

/// What a try consumed, or a part of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The vendor's id of the message or turn, where it gave one: under an id the largest report counts, once.
    pub turn: Option<String>,
    /// The model that did it, where somebody said so.
    pub model: Option<String>,
    /// How many tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: Cost,
    /// What budgets count in its place while the cost is unknown; zero otherwise.
    pub assumed_nano: u64,
}

/// Everything a try's end says about money.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spending {
    /// The account that paid.
    pub account: Option<String>,
    /// What kind of work it was ([`kind`]).
    pub kind: String,
    /// What was consumed. Empty: one line of the end's own usage and cost.
    pub lines: Vec<Line>,
}

/// What a running try has consumed so far: it is booked when the owner dies, and prolongs what the try may consume.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// The account that pays.
    pub account: Option<String>,
    /// What kind of work it is ([`kind`]).
    pub kind: String,
    /// So far.
    pub line: Line,
    /// How much it would like to have reserved in all; zero when no budget concerns it.
    pub want_nano: u64,
}

impl Line {
    /// Whether nothing was consumed: there is nothing to write down.
    pub fn is_nothing(&self) -> bool {
        self.usage.total() == 0 && self.cost.nano() == Some(0)
    }
}

/// A line as it stands in the ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, ascending.
    pub id: u64,
    /// When it was written.
    pub at: Millis,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The try.
    pub attempt: AttemptNumber,
    /// Who.
    pub agent: AgentName,
    /// Which model, where known.
    pub model: Option<String>,
    /// On which account, where one is configured.
    pub account: Option<String>,
    /// What kind of work ([`kind`]).
    pub kind: String,
    /// The vendor's id of the turn.
    pub turn: Option<String>,
    /// How many tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: Cost,
    /// What budgets counted in its place.
    pub assumed_nano: u64,
}

/// What kind of work a task is, for estimates and reports: of a prompt the type that [`crate::analysis`] takes it for.
pub fn kind(spec: &TaskSpec) -> &'static str {
    match (&spec.work, spec.planner) {
        (_, true) => "planning",
        (Work::Exec(_), false) => COMMAND,
        (Work::Prompt(text), false) => {
            let facts = Facts {
                text,
                files: &spec.files,
                checks: spec.verify.len(),
                material_tokens: None,
            };
            analyse(&facts).kind.value.name()
        }
        (Work::Turn(_), false) => "turn",
    }
}

/// What of a report is not in the ledger yet, when `known` is what is there under the same turn: element by element the
/// excess. None when there is nothing new.
pub fn surplus(known: &Line, reported: &Line) -> Option<Line> {
    let over = |new: u64, old: u64| new.saturating_sub(old);
    let usage = Usage {
        input: over(reported.usage.input, known.usage.input),
        cache_read: over(reported.usage.cache_read, known.usage.cache_read),
        cache_write: over(reported.usage.cache_write, known.usage.cache_write),
        output: over(reported.usage.output, known.usage.output),
        reasoning: over(reported.usage.reasoning, known.usage.reasoning),
        source: reported.usage.source,
    };
    let more = |new: u64| over(new, known.cost.nano().unwrap_or(0));
    let cost = match reported.cost {
        Cost::Actual(nano) => Cost::Actual(more(nano)),
        Cost::Priced(nano) => Cost::Priced(more(nano)),
        Cost::Unknown if usage.total() == 0 => return None,
        other => other,
    };
    let line = Line {
        usage,
        cost,
        assumed_nano: over(reported.assumed_nano, known.assumed_nano),
        ..reported.clone()
    };
    (usage.total() > 0 || cost.nano().is_some_and(|nano| nano > 0)).then_some(line)
}

/// Whose day it was: the key of a [`Tally`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TallyKey {
    /// The UTC day.
    pub day: Day,
    /// Who.
    pub agent: AgentName,
    /// Which model, where known.
    pub model: Option<String>,
    /// On which account, where one is configured.
    pub account: Option<String>,
    /// What kind of work.
    pub kind: String,
}

/// The sums of a day: what was consumed, and how the work came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Entries of the ledger.
    pub entries: u64,
    /// Their tokens.
    pub usage: Usage,
    /// Money by the vendors' own figures.
    pub actual_nano: u64,
    /// Money by the price table.
    pub priced_nano: u64,
    /// Entries that a subscription covered.
    pub included: u64,
    /// Entries whose cost nobody knows.
    pub unknown: u64,
    /// What budgets counted for those.
    pub assumed_nano: u64,
    /// Tries that ended.
    pub tries: u64,
    /// How long they took together.
    pub wall_ms: u64,
    /// Tasks that succeeded with their first try.
    pub first_try: u64,
    /// Tasks that succeeded with their second, after a check or review had sent them back.
    pub second_try: u64,
    /// Tasks that succeeded later than that.
    pub reworked: u64,
    /// Tasks that did not succeed, skipped and cancelled ones left out.
    pub failed: u64,
    /// Succeeded tasks whose checks the engine ran, and they passed.
    pub verified: u64,
    /// Ratings given.
    pub rated: u64,
    /// Their stars together.
    pub stars: u64,
}

impl Tally {
    /// Adds one entry.
    pub fn book(&mut self, line: &Line) {
        self.usage = if self.entries == 0 {
            line.usage
        } else {
            self.usage.plus(line.usage)
        };
        self.entries += 1;
        self.assumed_nano = self.assumed_nano.saturating_add(line.assumed_nano);
        match line.cost {
            Cost::Actual(nano) => self.actual_nano = self.actual_nano.saturating_add(nano),
            Cost::Priced(nano) => self.priced_nano = self.priced_nano.saturating_add(nano),
            Cost::Included => self.included += 1,
            Cost::Free => {}
            Cost::Unknown => self.unknown += 1,
        }
    }

    /// Adds how a task came out with that try.
    pub fn end(&mut self, number: AttemptNumber, outcome: &Outcome, result: &TaskResult) {
        match outcome {
            Outcome::Succeeded => {
                match number {
                    0 | 1 => self.first_try += 1,
                    2 => self.second_try += 1,
                    _ => self.reworked += 1,
                }
                let checked = !result.checks.is_empty() && result.checks.iter().all(|check| check.passed());
                self.verified += u64::from(checked);
            }
            Outcome::Cancelled | Outcome::Skipped { .. } => {}
            _ => self.failed += 1,
        }
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Tally) {
        let Tally {
            entries,
            usage,
            actual_nano,
            priced_nano,
            included,
            unknown,
            assumed_nano,
            tries,
            wall_ms,
            first_try,
            second_try,
            reworked,
            failed,
            verified,
            rated,
            stars,
        } = *other;
        if entries > 0 {
            self.usage = if self.entries == 0 {
                usage
            } else {
                self.usage.plus(usage)
            };
        }
        for (sum, more) in [
            (&mut self.entries, entries),
            (&mut self.actual_nano, actual_nano),
            (&mut self.priced_nano, priced_nano),
            (&mut self.included, included),
            (&mut self.unknown, unknown),
            (&mut self.assumed_nano, assumed_nano),
            (&mut self.tries, tries),
            (&mut self.wall_ms, wall_ms),
            (&mut self.first_try, first_try),
            (&mut self.second_try, second_try),
            (&mut self.reworked, reworked),
            (&mut self.failed, failed),
            (&mut self.verified, verified),
            (&mut self.rated, rated),
            (&mut self.stars, stars),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Money that is known.
    pub fn known_nano(&self) -> u64 {
        self.actual_nano.saturating_add(self.priced_nano)
    }

    /// Tasks that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.first_try + self.second_try + self.reworked
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Tally::default()
    }
}

/// A line of zeros, to compare a first report with.
pub fn nothing() -> Line {
    Line {
        cost: Cost::Free,
        usage: Usage {
            source: UsageSource::Reported,
            ..Usage::default()
        },
        ..Line::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(input: u64, output: u64, cost: Cost) -> Line {
        Line {
            turn: Some("m1".to_owned()),
            usage: Usage {
                input,
                output,
                source: UsageSource::Reported,
                ..Usage::default()
            },
            cost,
            ..Line::default()
        }
    }

    #[test]
    fn what_is_said_twice_counts_once_and_more_of_it_counts_as_more() {
        let first = line(10, 5, Cost::Actual(100));
        assert_eq!(surplus(&nothing(), &first), Some(first.clone()));
        assert_eq!(surplus(&first, &first), None);
        assert_eq!(
            surplus(&first, &line(10, 9, Cost::Actual(130))),
            Some(line(0, 4, Cost::Actual(30)))
        );
        // A later report with less in one place and more in another: element by element the larger one.
        assert_eq!(
            surplus(&first, &line(4, 6, Cost::Actual(100))),
            Some(line(0, 1, Cost::Actual(0)))
        );
        assert_eq!(surplus(&first, &line(1, 1, Cost::Unknown)), None);
    }

    proptest! {
        /// However reports of one turn are ordered and repeated, the ledger ends at the elementwise largest.
        #[test]
        fn the_order_of_reports_does_not_matter(reports in prop::collection::vec((0u64..100, 0u64..100, 0u64..1000), 1..12)) {
            let mut sum = nothing();
            for (input, output, nano) in &reports {
                if let Some(more) = surplus(&sum, &line(*input, *output, Cost::Actual(*nano))) {
                    sum.usage = sum.usage.plus(more.usage);
                    let nano = sum.cost.nano().unwrap_or(0) + more.cost.nano().unwrap_or(0);
                    sum.cost = Cost::Actual(nano);
                }
            }
            let most = |pick: fn(&(u64, u64, u64)) -> u64| reports.iter().map(pick).max().unwrap_or(0);
            prop_assert_eq!(sum.usage.input, most(|report| report.0));
            prop_assert_eq!(sum.usage.output, most(|report| report.1));
            prop_assert_eq!(sum.cost.nano().unwrap_or(0), most(|report| report.2));
        }
    }
}
