//! The reading half of the port. Every call takes the lock once and so sees one moment.

use wheelhouse_core::breaker::{Breaker, Subject};
use wheelhouse_core::budget::{Budget, Experience, Kept};
use wheelhouse_core::day::Day;
use wheelhouse_core::event::Event;
use wheelhouse_core::ids::{AgentName, ArtifactHash, Cursor, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger::{Entry, Tally, TallyKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::quota::Allowance;
use wheelhouse_core::report::{Crew, Spans, TaskSum};
use wheelhouse_core::route::past::PastTask;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Answered, AttemptView, Failure, QuestionView, Reader, RunView, SpansOf, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::MemoryStore;
use super::world::{Attempt, World};

pub(super) struct MemoryReader(pub(super) MemoryStore);

impl Reader for MemoryReader {
    fn runs(&mut self, limit: u32) -> Result<Vec<RunView>, Failure> {
        let world = &self.0.lock().world;
        let newest_first = world.runs.keys().rev().take(limit as usize);
        Ok(newest_first.filter_map(|id| run_view(world, *id)).collect())
    }

    fn run(&mut self, run: RunId) -> Result<Option<RunView>, Failure> {
        Ok(run_view(&self.0.lock().world, run))
    }

    fn tasks(&mut self, run: RunId, offset: u64, limit: u32) -> Result<Vec<TaskView>, Failure> {
        let world = &self.0.lock().world;
        let tasks = world.runs.get(&run).map_or(&[][..], |run| &run.tasks);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let page = tasks.iter().skip(offset).take(limit as usize);
        Ok(page.filter_map(|id| task_view(world, *id)).collect())
    }

    fn tasks_in(&mut self, run: RunId, state: &str, limit: u32) -> Result<Vec<TaskView>, Failure> {
        let world = &self.0.lock().world;
        let tasks = world.runs.get(&run).map_or(&[][..], |run| &run.tasks);
        let wanted = tasks.iter().filter(|id| world.task(**id).state.name() == state);
        let page = wanted.take(limit as usize);
        Ok(page.filter_map(|id| task_view(world, *id)).collect())
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskView>, Failure> {
        Ok(task_view(&self.0.lock().world, task))
    }

    fn task_by_key(&mut self, run: RunId, key: &TaskKey) -> Result<Option<TaskView>, Failure> {
        let world = &self.0.lock().world;
        let id = world.runs.get(&run).and_then(|run| run.keys.get(key));
        Ok(id.and_then(|id| task_view(world, *id)))
    }

    fn children(&mut self, task: TaskId) -> Result<Vec<TaskView>, Failure> {
        let world = &self.0.lock().world;
        if !world.tasks.contains_key(&task) {
            return Ok(Vec::new());
        }
        let children = world.children_of(task);
        Ok(children.into_iter().filter_map(|id| task_view(world, id)).collect())
    }

    fn spec(&mut self, task: TaskId) -> Result<Option<TaskSpec>, Failure> {
        Ok(self.0.lock().world.tasks.get(&task).map(|task| task.spec.clone()))
    }

    fn run_spec(&mut self, run: RunId) -> Result<Option<RunSpec>, Failure> {
        Ok(self.0.lock().world.runs.get(&run).map(|run| run.spec.clone()))
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptView>, Failure> {
        let world = &self.0.lock().world;
        let attempts = world.tasks.get(&task).map_or(&[][..], |task| &task.attempts);
        Ok(attempts.iter().map(attempt_view).collect())
    }

    fn results(&mut self, task: TaskId) -> Result<Vec<Answered>, Failure> {
        let world = &self.0.lock().world;
        let attempts = world.tasks.get(&task).into_iter().flat_map(|task| &task.attempts);
        let ended = attempts.filter_map(|attempt| {
            let (outcome, result) = attempt.came_to.clone()?;
            let number = attempt.number;
            Some(Answered {
                number,
                outcome,
                result,
            })
        });
        Ok(ended.collect())
    }

    fn breakers(&mut self) -> Result<Vec<(Subject, Breaker)>, Failure> {
        let world = &self.0.lock().world;
        let breakers = world.breakers.iter();
        Ok(breakers
            .map(|(subject, kept)| (subject.clone(), kept.breaker.clone()))
            .collect())
    }

    fn artifact(&mut self, hash: &ArtifactHash) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.lock().world.artifacts.get(hash).cloned())
    }

    fn events(&mut self, after: Cursor, run: Option<RunId>, limit: u32) -> Result<Vec<Event>, Failure> {
        let world = &self.0.lock().world;
        let first = world.events.partition_point(|event| event.cursor <= after);
        let wanted = world.events[first..]
            .iter()
            .filter(|event| run.is_none_or(|run| event.run == run));
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    fn open_questions(&mut self) -> Result<Vec<QuestionView>, Failure> {
        let world = &self.0.lock().world;
        let open = world.questions.iter().filter(|(_, question)| question.open);
        Ok(open.filter_map(|(id, _)| question_view(world, *id)).collect())
    }

    fn question(&mut self, question: QuestionId) -> Result<Option<QuestionView>, Failure> {
        Ok(question_view(&self.0.lock().world, question))
    }

    fn past(&mut self, limit: u32) -> Result<Vec<PastTask>, Failure> {
        let world = &self.0.lock().world;
        let mut past: Vec<(TaskId, PastTask)> = world.past.iter().map(|(id, past)| (*id, past.clone())).collect();
        past.sort_by_key(|(id, past)| std::cmp::Reverse((past.at, *id)));
        Ok(past.into_iter().map(|(_, past)| past).take(limit as usize).collect())
    }

    fn busy(&mut self) -> Result<Vec<(AgentName, u32)>, Failure> {
        let world = &self.0.lock().world;
        let mut busy = world.running_on.clone();
        for (agent, ready) in &world.ready {
            *busy.entry(agent.clone()).or_default() += u32::try_from(ready.len()).unwrap_or(u32::MAX);
        }
        Ok(busy.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    fn ledger(&mut self, after: u64, limit: u32) -> Result<Vec<Entry>, Failure> {
        let inner = self.0.lock();
        let entries = inner.world.purse.ledger.iter().filter(|entry| entry.id > after);
        Ok(entries.take(limit as usize).cloned().collect())
    }

    fn tallies(&mut self, first: Day, last: Day) -> Result<Vec<(TallyKey, Tally)>, Failure> {
        let inner = self.0.lock();
        let of_days = |(key, _): &(&TallyKey, &Tally)| (first..=last).contains(&key.day);
        let tallies = inner.world.purse.tallies.iter().filter(of_days);
        Ok(tallies.map(|(key, tally)| (key.clone(), *tally)).collect())
    }

    fn ledger_of(&mut self, run: RunId) -> Result<Vec<TaskSum>, Failure> {
        Ok(self.0.lock().world.ledger_of(run))
    }

    fn ratings(&mut self, run: RunId) -> Result<Vec<(TaskId, u8)>, Failure> {
        Ok(self.0.lock().world.ratings_of(run))
    }

    fn crews(&mut self, first: Day, last: Day) -> Result<Vec<Crew>, Failure> {
        Ok(self.0.lock().world.crews(first, last))
    }

    fn spans(&mut self, which: SpansOf, tries_max: u32) -> Result<Spans, Failure> {
        Ok(self.0.lock().world.spans(which, tries_max))
    }

    fn budgets(&mut self, now: Millis) -> Result<Vec<Budget>, Failure> {
        let inner = self.0.lock();
        let view = |kept: &Kept| {
            let mut kept = kept.clone();
            kept.roll(now);
            kept.view()
        };
        Ok(inner.world.purse.budgets.values().filter_map(view).collect())
    }

    fn allowances(&mut self) -> Result<Vec<Allowance>, Failure> {
        Ok(self.0.lock().world.purse.allowances.values().cloned().collect())
    }

    fn experience(&mut self, agent: &AgentName, model: Option<&str>, kind: &str) -> Result<Experience, Failure> {
        Ok(self.0.lock().world.experience(agent, model, kind))
    }

    fn store_id(&mut self) -> Result<String, Failure> {
        Ok(self.0.lock().world.store_id.clone())
    }
}

fn run_view(world: &World, id: RunId) -> Option<RunView> {
    let run = world.runs.get(&id)?;
    Some(RunView {
        id,
        name: run.spec.name.clone(),
        source: run.spec.source.clone(),
        standing: run.spec.standing,
        state: run.state,
        submitted_at: run.submitted_at,
        finished_at: run.finished_at,
        counts: run.counts,
        steps_failed: run.tasks.iter().filter(|task| failed_step(world, **task)).count() as u64,
        usage: run.usage.unwrap_or_default(),
        cost_nano: run.cost_nano,
        cost_unknown: run.cost_unknown,
    })
}

fn failed_step(world: &World, id: TaskId) -> bool {
    let task = world.task(id);
    let failed = matches!(&task.state, TaskState::Done { outcome }
        if !matches!(outcome, Outcome::Succeeded | Outcome::Skipped { .. }));
    failed && task.spec.flow.parent.is_some()
}

fn task_view(world: &World, id: TaskId) -> Option<TaskView> {
    let task = world.tasks.get(&id)?;
    let key = |id: &TaskId| world.task(*id).spec.key.clone();
    let mut waits_for: Vec<TaskKey> = Vec::new();
    if task.awaits && matches!(task.state, TaskState::Waiting { .. }) {
        waits_for.extend(world.open_children(id).iter().map(key));
    } else {
        let open = task.needs.iter().filter(|need| !world.task(**need).state.is_done());
        waits_for.extend(open.map(key));
    }
    Some(TaskView {
        id,
        run: task.run,
        key: task.spec.key.clone(),
        state: task.state.clone(),
        agent: task.agent.clone(),
        priority: task.spec.priority,
        attempt: task.attempts.last().map_or(0, |attempt| attempt.number),
        fence: task.fence,
        cancel_requested: task.cancel_requested,
        needs: task.needs.iter().map(key).collect(),
        waits_for,
        parent: task.spec.flow.parent.clone(),
        started_at: task.started_at,
        done_at: task.done_at,
    })
}

fn attempt_view(attempt: &Attempt) -> AttemptView {
    let end = attempt.end.as_ref();
    AttemptView {
        number: attempt.number,
        begun: attempt.begun,
        agent: attempt.agent.clone(),
        session: attempt.session.clone(),
        started_at: attempt.started_at,
        ended_at: end.map(|end| end.at),
        outcome: end.map(|end| end.outcome.clone()),
        usage: end.map(|end| end.usage).unwrap_or_default(),
        cost: end.map(|end| end.cost),
    }
}

fn question_view(world: &World, id: QuestionId) -> Option<QuestionView> {
    let question = world.questions.get(&id)?;
    Some(QuestionView {
        id,
        run: question.run,
        task: question.task,
        key: world.task(question.task).spec.key.clone(),
        kind: question.kind,
        text: question.text.clone(),
        asked_at: question.asked_at,
        answer: question.answer.clone(),
    })
}
