//! What people do to runs and tasks: pause, resume, cancel, retry; and the removal of old runs.

use std::collections::BTreeSet;

use rusqlite::params;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::store::{Refused, Reply, RunState};
use wheelhouse_core::task::{Held, TaskEvent};
use wheelhouse_core::time::Millis;

use crate::encode::{State, int, run_state_code};
use crate::failure::Answer;
use crate::rows::{AWAITS, CHILD, CONTINUES, TURN, WORKFLOW};
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn pause_run(&mut self, run: RunId) -> Answer<Reply> {
        match self.run_state(run)? {
            RunState::Finished => return refuse(format!("{run} is finished and cannot be paused")),
            RunState::Paused => {}
            RunState::Active | RunState::Interrupted => self.stop_run(run.0, RunState::Paused)?,
        }
        Ok(Reply::Done)
    }

    /// Nothing of the run starts any more. `state` says why: paused or interrupted.
    pub(crate) fn stop_run(&mut self, run: u64, state: RunState) -> Answer<()> {
        self.run_mut(run)?.state = state;
        let interrupted = state == RunState::Interrupted;
        self.emit(run, None, &Happened::RunPaused { interrupted })?;
        if self.run(run)?.counts().ready == 0 {
            return Ok(());
        }
        for id in self.tasks_of(run, sql::TASKS_READY)? {
            self.hold(id, Held::Paused, None)?;
        }
        Ok(())
    }

    pub(crate) fn resume_run(&mut self, run: RunId) -> Answer<Reply> {
        match self.run_state(run)? {
            RunState::Finished => return refuse(format!("{run} is finished and cannot be resumed")),
            RunState::Active => {}
            RunState::Paused | RunState::Interrupted => self.go_on(run.0)?,
        }
        Ok(Reply::Done)
    }

    pub(crate) fn resume_interrupted(&mut self) -> Answer<Reply> {
        self.flush()?;
        let interrupted = self.ids(sql::RUNS_IN_STATE, [run_state_code(RunState::Interrupted)])?;
        for run in &interrupted {
            self.go_on(*run)?;
        }
        let runs = interrupted.into_iter().map(RunId).collect();
        Ok(Reply::Runs { runs })
    }

    fn go_on(&mut self, run: u64) -> Answer<()> {
        self.run_mut(run)?.state = RunState::Active;
        self.emit(run, None, &Happened::RunResumed)?;
        if self.run(run)?.counts().held == 0 {
            return Ok(());
        }
        for id in self.tasks_of(run, sql::TASKS_PAUSED)? {
            self.release(id)?;
        }
        Ok(())
    }

    pub(crate) fn cancel_run(&mut self, run: RunId) -> Answer<Reply> {
        if self.run_state(run)? == RunState::Finished {
            return refuse(format!("{run} is finished and cannot be cancelled"));
        }
        let run = run.0;
        self.emit(run, None, &Happened::RunCancelled)?;
        // The waiting ones first: their parents' ends would skip them, and what was asked for is to cancel them.
        for id in self.tasks_of(run, sql::TASKS_WAITING)? {
            self.end_one(id, &TaskEvent::Cancelled, false)?;
        }
        for id in self.tasks_of(run, sql::TASKS_OPEN)? {
            self.cancel_open(id)?;
        }
        Ok(Reply::Done)
    }

    pub(crate) fn cancel_task(&mut self, task: TaskId) -> Answer<Reply> {
        if let Err(illegal) = self.find_named(task)?.machine_state().next(&TaskEvent::Cancelled) {
            return refuse(illegal.to_string());
        }
        self.cancel_open(task.0)?;
        Ok(Reply::Done)
    }

    pub(crate) fn cancel_open(&mut self, id: u64) -> Answer<()> {
        let row = self.task(id)?;
        let (state, workflow) = (row.state, row.is(WORKFLOW));
        match state {
            // Cancelled with its workflow a moment ago.
            State::Done => {}
            State::Running => {
                if self.execute(sql::LEASE_CANCEL, [int(id)])? == 1 {
                    self.emit_task(id, &Happened::CancelRequested)?;
                }
            }
            State::Waiting | State::Ready | State::Held => self.end(id, TaskEvent::Cancelled, false)?,
        }
        if workflow {
            self.cancel_children(id)?;
        }
        Ok(())
    }

    /// A workflow that is over leaves nothing behind that works on.
    pub(crate) fn cancel_children(&mut self, id: u64) -> Answer<()> {
        for child in self.open_children(id)? {
            self.cancel_open(child)?;
        }
        Ok(())
    }

    pub(crate) fn retry_task(&mut self, task: TaskId) -> Answer<Reply> {
        let row = self.find_named(task)?;
        let (id, run) = (row.id, row.run);
        let unsuccessful = row.outcome.as_ref().is_some_and(|outcome| !outcome.is_success());
        if row.is(TURN) {
            return refuse("a turn of an instance cannot be retried; send the message again".to_owned());
        }
        let child = row.is(CHILD);
        if row.state != State::Done || !unsuccessful {
            let state = row.machine_state();
            return refuse(format!("a task that is {} cannot be retried", state.name()));
        }
        let key = self.key(id)?;
        if child && let Some(parent) = self.spec(id)?.flow.parent {
            return refuse(format!("`{key}` is a step of `{parent}`; retry that"));
        }
        let needs = self.needs(id)?;
        if let Some(cause) = self.blocking(&needs)? {
            return refuse(format!("`{key}` needs `{cause}`; retry that"));
        }
        self.flush_tasks()?;
        let row = self.run(run)?;
        let range = params![int(run), int(row.task_first), int(row.task_last), key.as_str()];
        let mut skipped: BTreeSet<u64> = self.ids(sql::TASKS_SKIPPED_BY, range)?.into_iter().collect();
        skipped.remove(&id);
        self.retry(run, &BTreeSet::from([id]), &skipped)?;
        Ok(Reply::Done)
    }

    pub(crate) fn retry_run(&mut self, run: RunId) -> Answer<Reply> {
        self.run_state(run)?;
        let mut tasks: BTreeSet<u64> = self.tasks_of(run.0, sql::TASKS_UNSUCCESSFUL)?.into_iter().collect();
        for id in tasks.clone() {
            let row = self.task(id)?;
            if row.is(TURN) || row.is(CHILD) {
                tasks.remove(&id);
            }
        }
        if !tasks.is_empty() {
            self.retry(run.0, &tasks, &BTreeSet::new())?;
        }
        Ok(Reply::Done)
    }

    /// Makes `asked` and `skipped` open again, all at once: how many needs each of them misses is counted as if none
    /// of them were done.
    fn retry(&mut self, run: u64, asked: &BTreeSet<u64>, skipped: &BTreeSet<u64>) -> Answer<()> {
        self.reopen(run)?;
        let open: BTreeSet<u64> = asked.union(skipped).copied().collect();
        // Dependants that wait and had been let through by one of these (`continues`) wait for it again.
        for id in &open {
            if self.task(*id)?.satisfies() {
                for child in self.waiting_children(*id)? {
                    self.task_mut(child)?.pending += 1;
                }
            }
        }
        let mut reopened = Vec::with_capacity(open.len());
        for id in &open {
            let needs = self.needs(*id)?;
            let mut pending: u32 = 0;
            for need in &needs {
                pending += u32::from(open.contains(need) || !self.task(*need)?.satisfies());
            }
            reopened.push((*id, pending, needs));
        }
        for (id, pending, _) in &reopened {
            self.step(*id, &TaskEvent::Retried { pending: *pending })?;
            let row = self.task_mut(*id)?;
            row.on_agent = 0;
            row.since = None;
            row.done_at = None;
            row.put(CONTINUES, false);
            row.put(AWAITS, false);
        }
        for (id, pending, _) in &reopened {
            self.emit_task(*id, &Happened::TaskRetried)?;
            if *pending == 0 {
                self.admit(*id)?;
            }
        }
        let to_place = reopened.into_iter().filter(|(id, _, _)| skipped.contains(id));
        let to_place: Vec<(u64, Vec<u64>)> = to_place.map(|(id, _, needs)| (id, needs)).collect();
        self.place(&to_place)
    }

    pub(crate) fn prune(&mut self, before: Millis) -> Answer<Reply> {
        self.flush()?;
        let runs = self.ids(sql::RUNS_FINISHED_BEFORE, [int(before.0)])?;
        for run in &runs {
            self.remove_run(*run)?;
        }
        self.execute(sql::PRUNE_ONCE, [int(before.0)])?;
        let artifacts = self.execute(sql::PRUNE_ARTIFACTS, [])? as u64;
        self.execute(sql::PRUNE_ARTIFACT_NAMES, [])?;
        let runs = runs.len() as u64;
        Ok(Reply::Pruned { runs, artifacts })
    }

    /// Everything that hangs on a finished run. Nothing of it is ready, running or held any more.
    fn remove_run(&mut self, run: u64) -> Answer<()> {
        let row = self.run(run)?;
        let tasks = [int(run), int(row.task_first), int(row.task_last)];
        let events = [int(run), int(row.event_first), int(row.event_last)];
        self.execute(sql::PRUNE_EVENTS, events)?;
        for sql in [
            sql::PRUNE_USES,
            sql::PRUNE_ARTIFACT_USES,
            sql::PRUNE_ATTEMPTS,
            sql::PRUNE_DEPS,
            sql::PRUNE_RATINGS,
            sql::PRUNE_BUDGETS,
            sql::PRUNE_SPECS,
            sql::PRUNE_TASKS,
        ] {
            self.execute(sql, tasks)?;
        }
        for sql in [
            sql::PRUNE_QUESTIONS,
            sql::PRUNE_INSTANCE_MESSAGES,
            sql::PRUNE_INSTANCES,
            sql::PRUNE_RUN_SPEC,
            sql::PRUNE_RUN,
        ] {
            self.execute(sql, [int(run)])?;
        }
        self.forget_run(run);
        Ok(())
    }
}

fn refuse(why: String) -> Answer<Reply> {
    Err(Refused::Illegal(why).into())
}
