//! Sums for reports, computed from the model's rows one by one.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, RunId, TaskId};
use wheelhouse_core::ledger::{Line, Tally, TallyKey};
use wheelhouse_core::report::{Crew, RunSpans, Span, Spans, TaskSum};
use wheelhouse_core::store::SpansOf;
use wheelhouse_core::time::Millis;

use super::world::{Run, World};

impl World {
    pub(super) fn ratings_of(&self, run: RunId) -> Vec<(TaskId, u8)> {
        let of_run = |id: &TaskId| self.tasks.get(id).is_some_and(|task| task.run == run);
        let ratings = self.purse.ratings.iter().filter(|(id, _)| of_run(id));
        ratings.map(|(id, (stars, _))| (*id, *stars)).collect()
    }

    pub(super) fn ledger_of(&self, run: RunId) -> Vec<TaskSum> {
        let mut sums: BTreeMap<(TaskId, TallyKey), (u64, Tally)> = BTreeMap::new();
        for entry in self.purse.ledger.iter().filter(|entry| entry.run == run) {
            let key = TallyKey {
                day: Day::of(entry.at),
                agent: entry.agent.clone(),
                model: entry.model.clone(),
                account: entry.account.clone(),
                kind: entry.kind.clone(),
            };
            let (last, tally) = sums.entry((entry.task, key)).or_default();
            *last = entry.id;
            tally.book(&Line {
                turn: None,
                model: entry.model.clone(),
                usage: entry.usage,
                cost: entry.cost,
                assumed_nano: entry.assumed_nano,
            });
        }
        let mut sums: Vec<(u64, TaskSum)> = sums
            .into_iter()
            .map(|((task, key), (last, tally))| (last, TaskSum { task, key, tally }))
            .collect();
        sums.sort_by_key(|(last, _)| *last);
        sums.into_iter().map(|(_, sum)| sum).collect()
    }

    pub(super) fn crews(&self, first: Day, last: Day) -> Vec<Crew> {
        let mut of_runs: BTreeMap<RunId, BTreeSet<AgentName>> = BTreeMap::new();
        for entry in &self.purse.ledger {
            if (first..=last).contains(&Day::of(entry.at)) {
                of_runs.entry(entry.run).or_default().insert(entry.agent.clone());
            }
        }
        let mut crews: BTreeMap<BTreeSet<AgentName>, u64> = BTreeMap::new();
        for agents in of_runs.into_values() {
            *crews.entry(agents).or_default() += 1;
        }
        let crew = |(agents, runs): (BTreeSet<AgentName>, u64)| Crew {
            agents: agents.into_iter().collect(),
            runs,
        };
        crews.into_iter().map(crew).collect()
    }

    pub(super) fn spans(&self, which: SpansOf, tries_max: u32) -> Spans {
        let wanted = |(id, run): &(&RunId, &Run)| match which {
            SpansOf::Run(one) => **id == one,
            SpansOf::Days(first, last) => {
                run.submitted_at < last.end() && run.finished_at.is_none_or(|at| at >= first.start())
            }
        };
        let runs: Vec<(&RunId, &Run)> = self.runs.iter().rev().filter(wanted).collect();
        let (mut spans, mut left) = (Spans::default(), tries_max as usize);
        for (place, (id, run)) in runs.iter().enumerate() {
            let tasks: Vec<Span> = run.tasks.iter().filter_map(|task| self.span(*task)).collect();
            let tries: usize = tasks.iter().map(|span| span.tries.len()).sum();
            let Some(rest) = left.checked_sub(tries) else {
                spans.left_out = (runs.len() - place) as u64;
                break;
            };
            left = rest;
            let needs = run.tasks.iter().flat_map(|task| {
                let needs = self.task(*task).needs.iter();
                needs.map(|need| (*need, *task)).collect::<Vec<_>>()
            });
            spans.runs.push(RunSpans {
                run: **id,
                needs: needs.collect(),
                tasks,
            });
        }
        spans
    }

    fn span(&self, task: TaskId) -> Option<Span> {
        let tries: Vec<(Millis, Millis)> = self
            .task(task)
            .attempts
            .iter()
            .filter_map(|attempt| attempt.end.as_ref().map(|end| (attempt.started_at, end.at)))
            .collect();
        (!tries.is_empty()).then_some(Span { task, tries })
    }
}
