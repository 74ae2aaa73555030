//! Sums for reports, added up where the rows are: what the ledger holds of a run, who worked together, when tasks were
//! tried.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, RunId, TaskId};
use wheelhouse_core::report::{Crew, RunSpans, Span, Spans, TaskSum};
use wheelhouse_core::store::SpansOf;
use wheelhouse_core::time::Millis;

use crate::encode::int;
use crate::failure::Answer;
use crate::read::Snapshot;
use crate::statements as sql;
use crate::view::tally;

/// Reads `VIEW_LEDGER_OF`.
pub(crate) fn task_sum(row: &Row<'_>) -> Answer<TaskSum> {
    let (key, tally) = tally(row)?;
    Ok(TaskSum {
        task: TaskId(row.get(30)?),
        key,
        tally,
    })
}

/// Whose entries stand together in a run.
pub(crate) fn crews(snapshot: &mut Snapshot<'_>, first: Day, last: Day) -> Answer<Vec<Crew>> {
    let range = [int(first.start().0), int(last.end().0) - 1];
    let mut of_runs: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    let mut statement = snapshot.transaction.prepare_cached(sql::VIEW_CREWS)?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        of_runs.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    let mut crews: BTreeMap<BTreeSet<i64>, u64> = BTreeMap::new();
    for agents in of_runs.into_values() {
        *crews.entry(agents).or_default() += 1;
    }
    let mut named = Vec::new();
    for (ids, runs) in crews {
        let mut agents = Vec::new();
        for id in ids {
            agents.push(AgentName(snapshot.names.text(&snapshot.transaction, id)?));
        }
        agents.sort_unstable();
        named.push(Crew { agents, runs });
    }
    Ok(named)
}

/// The tries of runs, the newest first, while they fit.
pub(crate) fn spans(snapshot: &Snapshot<'_>, which: SpansOf, tries_max: u32) -> Answer<Spans> {
    let range = |row: &Row<'_>| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]);
    let runs = match which {
        SpansOf::Run(run) => snapshot.all(sql::VIEW_RUN_RANGE, [int(run.0)], range)?,
        SpansOf::Days(first, last) => {
            let days = [int(first.start().0), int(last.end().0) - 1];
            snapshot.all(sql::VIEW_RUNS_UNDER_WAY, days, range)?
        }
    };
    let (mut spans, mut left) = (Spans::default(), i64::from(tries_max));
    for (place, [run, first, last]) in runs.iter().enumerate() {
        let tries = snapshot.all(sql::VIEW_TRIES, [*run, *first, *last, left + 1], |row| {
            Ok((TaskId(row.get(0)?), Millis(row.get(1)?), Millis(row.get(2)?)))
        })?;
        left -= int(tries.len() as u64);
        if left < 0 {
            spans.left_out = (runs.len() - place) as u64;
            break;
        }
        let needs = snapshot.all(sql::VIEW_NEEDS, [*run, *first, *last], |row| {
            Ok((TaskId(row.get(0)?), TaskId(row.get(1)?)))
        })?;
        let mut tasks: Vec<Span> = Vec::new();
        for (task, from, to) in tries {
            match tasks.last_mut() {
                Some(span) if span.task == task => span.tries.push((from, to)),
                _ => tasks.push(Span {
                    task,
                    tries: vec![(from, to)],
                }),
            }
        }
        spans.runs.push(RunSpans {
            run: RunId(run.unsigned_abs()),
            tasks,
            needs,
        });
    }
    Ok(spans)
}
