//! What people do to runs and tasks: pause, resume, cancel, retry; and the removal of old runs.

use std::collections::BTreeSet;

use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Refused, Reply, RunState};
use wheelhouse_core::task::{Held, TaskEvent, TaskState};
use wheelhouse_core::time::Millis;

use super::world::World;

impl World {
    fn run_state(&self, run: RunId) -> Result<RunState, Refused> {
        self.runs.get(&run).map(|run| run.state).ok_or(Refused::NoSuchRun(run))
    }

    pub(super) fn pause_run(&mut self, run: RunId) -> Result<Reply, Refused> {
        match self.run_state(run)? {
            RunState::Finished => return Err(Refused::Illegal(format!("{run} is finished and cannot be paused"))),
            RunState::Paused => {}
            RunState::Active | RunState::Interrupted => self.stop_run(run, RunState::Paused),
        }
        Ok(Reply::Done)
    }

    /// Nothing of the run starts any more. `state` says why: paused or interrupted.
    pub(super) fn stop_run(&mut self, run: RunId, state: RunState) {
        self.run_mut(run).state = state;
        let interrupted = state == RunState::Interrupted;
        self.emit(run, None, Happened::RunPaused { interrupted });
        for id in self.tasks_where(run, |state| *state == TaskState::Ready) {
            self.hold(id, Held::Paused);
        }
    }

    pub(super) fn resume_run(&mut self, run: RunId) -> Result<Reply, Refused> {
        match self.run_state(run)? {
            RunState::Finished => return Err(Refused::Illegal(format!("{run} is finished and cannot be resumed"))),
            RunState::Active => {}
            RunState::Paused | RunState::Interrupted => self.go_on(run),
        }
        Ok(Reply::Done)
    }

    pub(super) fn resume_interrupted(&mut self) -> Reply {
        let interrupted = self.runs.iter().filter(|(_, run)| run.state == RunState::Interrupted);
        let runs: Vec<RunId> = interrupted.map(|(id, _)| *id).collect();
        for run in &runs {
            self.go_on(*run);
        }
        Reply::Runs { runs }
    }

    fn go_on(&mut self, run: RunId) {
        self.run_mut(run).state = RunState::Active;
        self.emit(run, None, Happened::RunResumed);
        for id in self.tasks_where(run, |state| *state == TaskState::Held(Held::Paused)) {
            self.release(id);
        }
    }

    pub(super) fn cancel_run(&mut self, run: RunId) -> Result<Reply, Refused> {
        if self.run_state(run)? == RunState::Finished {
            return Err(Refused::Illegal(format!("{run} is finished and cannot be cancelled")));
        }
        self.emit(run, None, Happened::RunCancelled);
        // The waiting ones first: their parents' ends would skip them, and what was asked for is to cancel them.
        for id in self.tasks_where(run, |state| matches!(state, TaskState::Waiting { .. })) {
            self.end_alone(id);
        }
        for id in self.tasks_where(run, |state| !state.is_done()) {
            self.cancel_open(id);
        }
        Ok(Reply::Done)
    }

    pub(super) fn cancel_task(&mut self, id: TaskId) -> Result<Reply, Refused> {
        let task = self.tasks.get(&id).ok_or(Refused::NoSuchTask(id))?;
        if let Err(illegal) = task.state.next(&TaskEvent::Cancelled) {
            return Err(Refused::Illegal(illegal.to_string()));
        }
        self.cancel_open(id);
        Ok(Reply::Done)
    }

    pub(super) fn cancel_open(&mut self, id: TaskId) {
        let task = self.task(id);
        match &task.state {
            // Cancelled with its workflow a moment ago.
            TaskState::Done { .. } => {}
            TaskState::Running if task.cancel_requested => {}
            TaskState::Running => {
                self.task_mut(id).cancel_requested = true;
                self.emit_task(id, Happened::CancelRequested);
            }
            TaskState::Waiting { .. } | TaskState::Ready | TaskState::Held(_) => {
                self.end(id, TaskEvent::Cancelled, false);
            }
        }
        self.cancel_children(id);
    }

    /// A workflow that is over leaves nothing behind that works on.
    pub(super) fn cancel_children(&mut self, id: TaskId) {
        for child in self.open_children(id) {
            self.cancel_open(child);
        }
    }

    pub(super) fn retry_task(&mut self, id: TaskId) -> Result<Reply, Refused> {
        let task = self.tasks.get(&id).ok_or(Refused::NoSuchTask(id))?;
        if let Work::Turn(_) = task.spec.work {
            return Err(Refused::Illegal("a turn of an instance cannot be retried".to_owned()));
        }
        let (run, key) = (task.run, task.spec.key.clone());
        match &task.state {
            TaskState::Done { outcome } if !outcome.is_success() => {}
            state => {
                let state = state.name();
                return Err(Refused::Illegal(format!("a task that is {state} cannot be retried")));
            }
        }
        if let Some(parent) = &task.spec.flow.parent {
            return Err(Refused::Illegal(format!("`{key}` is a step of `{parent}`; retry that")));
        }
        if let Some(cause) = task.needs.iter().find_map(|need| self.task(*need).blocks_as()) {
            return Err(Refused::Illegal(format!("`{key}` needs `{cause}`; retry that")));
        }
        let because_of_it = |state: &TaskState| matches!(state, TaskState::Done { outcome: Outcome::Skipped { cause } } if *cause == key);
        let mut skipped: BTreeSet<TaskId> = self.tasks_where(run, because_of_it).into_iter().collect();
        skipped.remove(&id);
        self.retry(run, &BTreeSet::from([id]), &skipped);
        Ok(Reply::Done)
    }

    pub(super) fn retry_run(&mut self, run: RunId) -> Result<Reply, Refused> {
        self.run_state(run)?;
        let without_success = |state: &TaskState| matches!(state, TaskState::Done { outcome } if !outcome.is_success());
        let mut tasks: BTreeSet<TaskId> = self.tasks_where(run, without_success).into_iter().collect();
        let whole = |id: &TaskId| {
            let spec = &self.task(*id).spec;
            !matches!(spec.work, Work::Turn(_)) && spec.flow.parent.is_none()
        };
        tasks.retain(whole);
        if !tasks.is_empty() {
            self.retry(run, &tasks, &BTreeSet::new());
        }
        Ok(Reply::Done)
    }

    /// Makes `asked` and `skipped` open again, all at once: how many needs each of them misses is counted as if
    /// none of them were done.
    fn retry(&mut self, run: RunId, asked: &BTreeSet<TaskId>, skipped: &BTreeSet<TaskId>) {
        self.reopen(run);
        let open: BTreeSet<TaskId> = asked.union(skipped).copied().collect();
        // Dependants that wait and had been let through by one of these (`continues`) wait for it again.
        for id in &open {
            if self.task(*id).satisfies() {
                for child in self.waiting_dependants(*id) {
                    if let TaskState::Waiting { pending } = &mut self.task_mut(child).state {
                        *pending += 1;
                    }
                }
            }
        }
        let missing = |id: &TaskId| {
            let needs = &self.task(*id).needs;
            let missing = |need: &&TaskId| open.contains(need) || !self.task(**need).satisfies();
            u32::try_from(needs.iter().filter(missing).count()).unwrap_or(u32::MAX)
        };
        let pending: Vec<(TaskId, u32)> = open.iter().map(|id| (*id, missing(id))).collect();
        for (id, pending) in &pending {
            self.step(*id, &TaskEvent::Retried { pending: *pending });
            let task = self.task_mut(*id);
            task.on_agent = 0;
            task.since = None;
            task.continues = false;
            task.awaits = false;
            task.done_at = None;
        }
        for (id, pending) in &pending {
            self.emit_task(*id, Happened::TaskRetried);
            if *pending == 0 {
                self.admit(*id);
            }
        }
        let skipped: Vec<TaskId> = skipped.iter().copied().collect();
        self.place(&skipped);
    }

    /// Cancels a waiting task without a word to its dependants, which are about to be cancelled themselves.
    fn end_alone(&mut self, id: TaskId) {
        self.step(id, &TaskEvent::Cancelled);
        let now = self.now;
        self.task_mut(id).done_at = Some(now);
        let (outcome, continues) = (Outcome::Cancelled, false);
        self.emit_task(id, Happened::TaskDone { outcome, continues });
        self.note_turn(id);
    }

    fn tasks_where(&self, run: RunId, wanted: impl Fn(&TaskState) -> bool) -> Vec<TaskId> {
        let tasks = self.runs[&run].tasks.iter().copied();
        tasks.filter(|id| wanted(&self.task(*id).state)).collect()
    }

    pub(super) fn prune(&mut self, before: Millis) -> Reply {
        let old = |run: &super::world::Run| run.finished_at.is_some_and(|finished_at| finished_at < before);
        let gone: BTreeSet<RunId> = self
            .runs
            .iter()
            .filter(|(_, run)| old(run))
            .map(|(id, _)| *id)
            .collect();
        for run in &gone {
            let tasks = self.runs[run].tasks.clone();
            self.forget_money(*run, &tasks);
        }
        if !gone.is_empty() {
            self.runs.retain(|id, _| !gone.contains(id));
            self.tasks.retain(|_, task| !gone.contains(&task.run));
            self.questions.retain(|_, question| !gone.contains(&question.run));
            self.events.retain(|event| !gone.contains(&event.run));
            self.prune_crew(|run| gone.contains(&run));
        }
        self.once.retain(|_, (used_at, _, _)| *used_at >= before);
        let referred: BTreeSet<_> = self.tasks.values().flat_map(|task| task.refers_to.iter()).collect();
        let all = self.artifacts.len();
        self.artifacts.retain(|hash, _| referred.contains(hash));
        Reply::Pruned {
            runs: gone.len() as u64,
            artifacts: (all - self.artifacts.len()) as u64,
        }
    }
}
