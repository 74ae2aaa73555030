//! Gathers the rows of a report from the store: over days from the sums that are kept, over one run from its own entries
//! and tasks. What they come to is core's ([`wheelhouse_core::report`]).

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, TaskId};
use wheelhouse_core::ledger::{self, Tally, TallyKey};
use wheelhouse_core::report::{Crew, Fee, Period, Rows, Spans, Terms};
use wheelhouse_core::store::{Reader, RunView, SpansOf, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::failure::Failure;
use super::gather;

/// How many tries are looked at to say what working side by side saved; older runs are left out, and it is said.
pub const TRIES_MAX: u32 = 50_000;

/// What the configuration knows that the store does not.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Flat fees.
    pub fees: Vec<Fee>,
    /// Agents that are stand-ins.
    pub stand_ins: BTreeSet<AgentName>,
    /// What savings are told by.
    pub terms: Terms,
}

/// The rows of these days.
pub fn of_days(reader: &mut dyn Reader, period: Period, books: Books) -> Result<Rows, Failure> {
    let Period { first, last } = period;
    Ok(Rows {
        period,
        run: None,
        tallies: reader.tallies(first, last)?,
        crews: reader.crews(first, last)?,
        spans: reader.spans(SpansOf::Days(first, last), TRIES_MAX)?,
        fees: books.fees,
        stand_ins: books.stand_ins,
        terms: books.terms,
    })
}

/// The rows of one run.
pub fn of_run(reader: &mut dyn Reader, run: &RunView, books: Books, now: Millis) -> Result<Rows, Failure> {
    let spans = reader.spans(SpansOf::Run(run.id), TRIES_MAX)?;
    let sums = reader.ledger_of(run.id)?;
    let agents: BTreeSet<AgentName> = sums.iter().map(|sum| sum.key.agent.clone()).collect();
    let mut tallies: BTreeMap<TallyKey, Tally> = BTreeMap::new();
    let mut last: BTreeMap<TaskId, TallyKey> = BTreeMap::new();
    for sum in sums {
        tallies.entry(sum.key.clone()).or_default().add(&sum.tally);
        last.insert(sum.task, sum.key);
    }
    let ratings: BTreeMap<TaskId, u8> = reader.ratings(run.id)?.into_iter().collect();
    for task in gather::tasks(reader, run.id)? {
        let key = match last.remove(&task.id) {
            Some(key) => key,
            None => key_of(reader, &task, now)?,
        };
        let tally = tallies.entry(key).or_default();
        if let TaskState::Done { outcome } = &task.state {
            let result = reader.result(task.id)?.unwrap_or_default();
            tally.end(task.attempt, outcome, &result);
        }
        if let Some(stars) = ratings.get(&task.id) {
            tally.rated += 1;
            tally.stars += u64::from(*stars);
        }
        count_tries(&spans, task.id, tally);
    }
    Ok(Rows {
        period: Period {
            first: Day::of(run.submitted_at),
            last: Day::of(run.finished_at.unwrap_or(now)),
        },
        run: Some(run.id),
        tallies: tallies.into_iter().collect(),
        crews: vec![Crew {
            agents: agents.into_iter().collect(),
            runs: 1,
        }],
        spans,
        fees: Vec::new(),
        stand_ins: books.stand_ins,
        terms: books.terms,
    })
}

/// Where a task counts that consumed nothing.
fn key_of(reader: &mut dyn Reader, task: &TaskView, now: Millis) -> Result<TallyKey, Failure> {
    let spec = reader.spec(task.id)?;
    Ok(TallyKey {
        day: Day::of(task.done_at.unwrap_or(now)),
        agent: task.agent.clone(),
        model: None,
        account: None,
        kind: spec.as_ref().map_or("", ledger::kind).to_owned(),
    })
}

fn count_tries(spans: &Spans, task: TaskId, tally: &mut Tally) {
    for run in &spans.runs {
        // In the order of their numbers.
        let Ok(place) = run.tasks.binary_search_by_key(&task, |span| span.task) else {
            continue;
        };
        for (from, to) in &run.tasks[place].tries {
            tally.tries += 1;
            tally.wall_ms += to.0.saturating_sub(from.0);
        }
    }
}
