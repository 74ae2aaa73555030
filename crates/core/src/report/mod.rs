//! The report over a period or a run: what was spent, on what, how the work came out, what working side by side saved.
//!
//! Rows in, report out. The store adds up ([`crate::store::Reader::tallies`] and its neighbours), the faces gather
//! [`Rows`] and show what comes back; nothing here reads anything. A cost that nobody knows never becomes zero on the
//! way: every sum of money is a [`Money`], which keeps what is known apart from how much is not.

mod lines;
mod parallel;
mod savings;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::day::Day;
use crate::ids::{AgentName, RunId, TaskId};
use crate::ledger::{Tally, TallyKey};
use crate::time::Millis;
use crate::usage::Usage;

pub use parallel::{Parallel, RunSpans, Span, Spans, parallel};
pub use savings::{Baseline, LeadIs, Savings, Terms};

/// The kind under which commands are booked: they are no agent's work.
pub const COMMAND: &str = "command";

/// Which days.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Period {
    /// The first.
    pub first: Day,
    /// The last, included.
    pub last: Day,
}

impl Period {
    /// How many days.
    pub fn days(self) -> u64 {
        u64::from(self.last.0.saturating_sub(self.first.0)) + 1
    }
}

/// A flat fee.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fee {
    /// What it is for.
    pub name: String,
    /// What a calendar month of it costs.
    pub month_nano: u64,
    /// The first day it is paid for.
    pub from: Option<Day>,
    /// The last day it is paid for.
    pub until: Option<Day>,
}

/// The agents that the ledger knows of one run, and how many runs had just these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Crew {
    /// Who, in order.
    pub agents: Vec<AgentName>,
    /// How many runs.
    pub runs: u64,
}

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The days.
    pub period: Period,
    /// The one run it is about; none: everything of these days.
    pub run: Option<RunId>,
    /// The sums.
    pub tallies: Vec<(TallyKey, Tally)>,
    /// Who worked together.
    pub crews: Vec<Crew>,
    /// When tries began and ended.
    pub spans: Spans,
    /// Flat fees; those of one run are nobody's.
    pub fees: Vec<Fee>,
    /// Stand-ins that cost nothing and prove nothing: they are counted apart.
    pub stand_ins: BTreeSet<AgentName>,
    /// What savings are told by.
    pub terms: Terms,
}

/// Money with what is not known of it. Never to be shown without both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Money {
    /// What is known, in nano-dollars: the vendors' own figures and those by the price table.
    pub known_nano: u64,
    /// Entries of the ledger that a subscription covered.
    pub included_entries: u64,
    /// Entries whose cost nobody knows.
    pub unknown_entries: u64,
    /// What budgets counted in place of those.
    pub assumed_nano: u64,
}

impl Money {
    /// That of a sum.
    pub fn of(tally: &Tally) -> Money {
        Money {
            known_nano: tally.known_nano(),
            included_entries: tally.included,
            unknown_entries: tally.unknown,
            assumed_nano: tally.assumed_nano,
        }
    }

    /// Whether all of it is known.
    pub fn is_known(&self) -> bool {
        self.unknown_entries == 0
    }
}

/// What a flat fee comes to in the period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FixedLine {
    /// What for.
    pub name: String,
    /// In nano-dollars: whole months whole, parts of months by days.
    pub nano: u64,
}

/// What one model consumed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModelLine {
    /// Which; none where nobody said.
    pub model: Option<String>,
    /// Entries of the ledger.
    pub entries: u64,
    /// Tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: Money,
}

/// How tasks came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Work {
    /// Done with success.
    pub completed: u64,
    /// Of those, with the first try.
    pub first_try: u64,
    /// With the second: one check or review had sent them back.
    pub second_try: u64,
    /// Later than that.
    pub reworked: u64,
    /// Of those completed, how many had checks that the engine ran and that passed.
    pub verified: u64,
    /// Done without success; skipped and cancelled ones left out.
    pub failed: u64,
    /// Tries that ended.
    pub tries: u64,
    /// How long those took together, in milliseconds.
    pub wall_ms: u64,
    /// Ratings given.
    pub rated: u64,
    /// Their stars together.
    pub stars: u64,
}

impl Work {
    /// Done, one way or the other.
    pub fn ended(&self) -> u64 {
        self.completed + self.failed
    }

    /// The mean rating in hundredths of a star.
    pub fn rating_hundredths(&self) -> Option<u64> {
        (self.rated > 0).then(|| (self.stars * 100 + self.rated / 2) / self.rated)
    }
}

/// What one agent did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AgentLine {
    /// Who.
    pub agent: AgentName,
    /// Whether it is a stand-in: what it did is rehearsed, and counts nowhere else in the report.
    pub rehearsed: bool,
    /// How it came out.
    pub work: Work,
    /// Tokens.
    pub usage: Usage,
    /// What they cost.
    pub cost: Money,
}

/// What a verified task of one type costs with one model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KindLine {
    /// Which model; none where nobody said.
    pub model: Option<String>,
    /// What type of work.
    pub kind: String,
    /// How it came out.
    pub work: Work,
    /// What all of it cost, the failed tries included.
    pub cost: Money,
    /// What is known of that for each verified task; none without a verified task. At least that, when costs are unknown.
    pub per_verified_nano: Option<u64>,
}

/// A day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DayLine {
    /// Which.
    pub day: Day,
    /// Tokens.
    pub tokens: u64,
    /// What they cost.
    pub cost: Money,
    /// Tasks completed.
    pub completed: u64,
    /// Tasks that failed.
    pub failed: u64,
}

/// What a completed task cost on the average.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PerTask {
    /// Fees and consumption.
    pub total_nano: u64,
    /// Consumption alone.
    pub variable_nano: u64,
    /// Tokens.
    pub tokens: u64,
    /// Costs are unknown, so that it is at least that.
    pub at_least: bool,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The days.
    pub period: Period,
    /// The one run it is about.
    pub run: Option<RunId>,
    /// Flat fees.
    pub fixed: Vec<FixedLine>,
    /// Their sum.
    pub fixed_nano: u64,
    /// Consumption, by model; the most expensive first.
    pub models: Vec<ModelLine>,
    /// Its sum.
    pub variable: Money,
    /// All tokens.
    pub usage: Usage,
    /// Fees and what is known of consumption.
    pub total_nano: u64,
    /// What agents did.
    pub work: Work,
    /// Commands that were completed, by the engine alone.
    pub commands: u64,
    /// The average; none while nothing is completed.
    pub per_task: Option<PerTask>,
    /// Who did what; who did most first.
    pub agents: Vec<AgentLine>,
    /// Who worked together; the most usual first.
    pub crews: Vec<Crew>,
    /// What a verified task costs.
    pub kinds: Vec<KindLine>,
    /// What working side by side saved.
    pub parallel: Option<Parallel>,
    /// What was saved against two other ways; none when no model was asked.
    pub savings: Option<Savings>,
    /// Day by day; days without anything are there too.
    pub days: Vec<DayLine>,
}

/// Makes the report.
pub fn report(rows: Rows) -> Report {
    let Rows {
        period,
        run,
        tallies,
        crews,
        spans,
        fees,
        stand_ins,
        terms,
    } = rows;
    let (rehearsed, real): (Vec<_>, Vec<_>) = tallies.into_iter().partition(|(key, _)| stand_ins.contains(&key.agent));
    let fixed = match run {
        None => lines::fixed(&fees, period),
        Some(_) => Vec::new(),
    };
    let fixed_nano = fixed.iter().fold(0u64, |sum, line| sum.saturating_add(line.nano));
    let mut all = Tally::default();
    let (mut prompts, mut commands) = (Tally::default(), 0);
    for (key, tally) in &real {
        all.add(tally);
        if key.kind == COMMAND {
            commands += tally.succeeded();
        } else {
            prompts.add(tally);
        }
    }
    let variable = Money::of(&all);
    let total_nano = fixed_nano.saturating_add(variable.known_nano);
    let work = lines::work(&prompts);
    let per_task = (work.completed > 0).then(|| PerTask {
        total_nano: total_nano / work.completed,
        variable_nano: variable.known_nano / work.completed,
        tokens: all.usage.total() / work.completed,
        at_least: !variable.is_known(),
    });
    Report {
        period,
        run,
        fixed,
        fixed_nano,
        models: lines::models(&real),
        variable,
        usage: all.usage,
        total_nano,
        work,
        commands,
        per_task,
        agents: lines::agents(&real, &rehearsed),
        crews: lines::crews(crews, &stand_ins),
        kinds: lines::kinds(&real),
        parallel: parallel(spans),
        savings: savings::savings(&real, &terms),
        days: lines::days(&real, period),
    }
}

/// What one task of a run is known to have come to, for sums over one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskSum {
    /// Which.
    pub task: TaskId,
    /// Under which key.
    pub key: TallyKey,
    /// Of the ledger's entries alone.
    pub tally: Tally,
}

/// The whole time of a set of stretches, overlaps counted once.
pub(crate) fn covered_ms(stretches: &mut [(Millis, Millis)]) -> u64 {
    stretches.sort_unstable();
    let (mut sum, mut reached) = (0, Millis(0));
    for (from, to) in stretches.iter() {
        let from = (*from).max(reached);
        sum += to.0.saturating_sub(from.0);
        reached = reached.max(*to);
    }
    sum
}

#[cfg(test)]
mod tests;
