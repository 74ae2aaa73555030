//! What working side by side saved: the sum of all work against the time it took, and against the longest chain of tasks
//! that need each other, below which no number of hands gets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::covered_ms;
use crate::ids::{RunId, TaskId};
use crate::time::Millis;

/// The tries of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Which task.
    pub task: TaskId,
    /// When each of its tries began and ended.
    pub tries: Vec<(Millis, Millis)>,
}

/// A run's work in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunSpans {
    /// The run.
    pub run: RunId,
    /// Its tasks that were tried.
    pub tasks: Vec<Span>,
    /// Which task (second) needs which (first).
    pub needs: Vec<(TaskId, TaskId)>,
}

/// The work of several runs in time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spans {
    /// The newest runs.
    pub runs: Vec<RunSpans>,
    /// How many older ones were left out.
    pub left_out: u64,
}

/// Sum, chain and clock of the runs of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Parallel {
    /// How many runs were looked at.
    pub runs: u64,
    /// How many older ones were not.
    pub runs_left_out: u64,
    /// All tries one after the other, in milliseconds.
    pub sum_ms: u64,
    /// The longest chains of tasks that need each other.
    pub critical_ms: u64,
    /// While anything at all was being tried.
    pub elapsed_ms: u64,
    /// What working side by side saved: the sum without the elapsed time.
    pub saved_ms: u64,
}

/// Adds up runs; none when nothing was tried.
pub fn parallel(spans: Spans) -> Option<Parallel> {
    let mut all = Parallel {
        runs_left_out: spans.left_out,
        ..Parallel::default()
    };
    for run in &spans.runs {
        let mut stretches: Vec<(Millis, Millis)> = run.tasks.iter().flat_map(|task| task.tries.clone()).collect();
        if stretches.is_empty() {
            continue;
        }
        all.runs += 1;
        all.sum_ms += run.tasks.iter().map(took).sum::<u64>();
        all.critical_ms += critical_ms(run);
        all.elapsed_ms += covered_ms(&mut stretches);
    }
    all.saved_ms = all.sum_ms.saturating_sub(all.elapsed_ms);
    (all.runs > 0).then_some(all)
}

fn took(task: &Span) -> u64 {
    task.tries.iter().map(|(from, to)| to.0.saturating_sub(from.0)).sum()
}

/// The longest chain. Tasks that were never tried take no time, and needs lead through them all the same.
fn critical_ms(run: &RunSpans) -> u64 {
    let own: BTreeMap<TaskId, u64> = run.tasks.iter().map(|task| (task.task, took(task))).collect();
    let mut pending: BTreeMap<TaskId, usize> = own.keys().map(|task| (*task, 0)).collect();
    let mut dependants: BTreeMap<TaskId, Vec<TaskId>> = BTreeMap::new();
    for (needed, task) in &run.needs {
        pending.entry(*needed).or_default();
        *pending.entry(*task).or_default() += 1;
        dependants.entry(*needed).or_default().push(*task);
    }
    let mut ready: Vec<TaskId> = pending
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(task, _)| *task)
        .collect();
    let mut begins: BTreeMap<TaskId, u64> = BTreeMap::new();
    let mut longest = 0;
    while let Some(task) = ready.pop() {
        let end = begins.get(&task).copied().unwrap_or(0) + own.get(&task).copied().unwrap_or(0);
        longest = longest.max(end);
        for dependant in dependants.get(&task).into_iter().flatten() {
            let begin = begins.entry(*dependant).or_default();
            *begin = (*begin).max(end);
            let left = pending.entry(*dependant).or_insert(1);
            *left -= 1;
            if *left == 0 {
                ready.push(*dependant);
            }
        }
    }
    longest
}
