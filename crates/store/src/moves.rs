//! The few doors through which a task changes, and what follows from a change.
//!
//! [`Work::step`] takes a step of core's machine, [`Work::enter`] is the only place where a state is written,
//! [`Work::admit`] the only way to become claimable, [`Work::end`] the only way to be over.

use std::collections::{HashSet, VecDeque};

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{QuestionId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, approval_text};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::RunState;
use wheelhouse_core::task::{Held, TaskEvent, TaskState};

use crate::encode::{self, Reason, State, int};
use crate::failure::{Answer, Stop};
use crate::rows::{AWAITS, CHILD, CONTINUES, LeaseRow, TURN, TaskRow, UNAPPROVED, reason};
use crate::shape;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    /// Takes one step of core's machine. Commands ask before they step, so a refusal here means that the tables
    /// contradict each other.
    pub(crate) fn step(&mut self, id: u64, event: &TaskEvent) -> Answer<()> {
        let next = self.task(id)?.machine_state().next(event);
        match next {
            Ok(state) => self.enter(id, state),
            Err(illegal) => Err(Stop::Damaged(format!("task {id}: {illegal}"))),
        }
    }

    /// The only place where a state is written.
    pub(crate) fn enter(&mut self, id: u64, state: TaskState) -> Answer<()> {
        let row = self.task_mut(id)?;
        let (run, place, from) = (row.run, (row.agent, row.rank, row.id), row.slot());
        let unhold = row.held.is_some_and(|held| held != Reason::Paused);
        (row.held, row.outcome, row.pending) = (None, None, 0);
        row.state = match state {
            TaskState::Waiting { pending } => {
                row.pending = pending;
                State::Waiting
            }
            TaskState::Ready => State::Ready,
            TaskState::Running => State::Running,
            TaskState::Held(held) => {
                row.held = Some(reason(&held));
                State::Held
            }
            TaskState::Done { outcome } => {
                row.outcome = Some(outcome);
                State::Done
            }
        };
        let (to, fresh, done) = (
            row.slot(),
            row.state == State::Ready && row.listed != Some(row.agent),
            row.state == State::Done,
        );
        if fresh {
            self.fresh.insert(place);
        } else {
            self.fresh.remove(&place);
        }
        if unhold {
            self.execute(sql::HOLD_REMOVE, [int(id)])?;
        }
        if done {
            self.touched.insert(run);
        }
        self.recount(run, from, to)
    }

    fn recount(&mut self, run: u64, from: usize, to: usize) -> Answer<()> {
        if from == to {
            return Ok(());
        }
        let row = self.run_mut(run)?;
        match row.counts[from].checked_sub(1) {
            Some(fewer) => row.counts[from] = fewer,
            None => return Err(Stop::Damaged(format!("run {run} counts fewer tasks than it has"))),
        }
        row.counts[to] += 1;
        Ok(())
    }

    /// A ready or running task becomes held, and the history says so. `blocker` is the running task of a conflict.
    pub(crate) fn hold(&mut self, id: u64, held: Held, blocker: Option<u64>) -> Answer<()> {
        let question = held.question().map(|question| question.0);
        let until = held.until().map(|until| until.0);
        if !matches!(held, Held::Retry { .. } | Held::Conflict { .. }) {
            self.task_mut(id)?.since = None;
        }
        let event = TaskEvent::Held(held);
        self.step(id, &event)?;
        let TaskEvent::Held(held) = event else { return Ok(()) };
        if held != Held::Paused {
            let row = params![int(id), until.map(int), question.map(int), blocker.map(int)];
            self.execute(sql::HOLD_ADD, row)?;
        }
        self.emit_task(id, &Happened::TaskHeld { held })
    }

    /// The one door for all ways to become ready: the task is ready by the machine; whether it may be claimed is
    /// decided here.
    pub(crate) fn admit(&mut self, id: u64) -> Answer<()> {
        let row = self.task(id)?;
        let (run, unapproved, row_is_turn) = (row.run, row.is(UNAPPROVED), row.is(TURN));
        match self.run(run)?.state {
            RunState::Paused | RunState::Interrupted => self.hold(id, Held::Paused, None),
            RunState::Active | RunState::Finished if unapproved => {
                let text = match row_is_turn {
                    true => self.approval_of_turn(id)?,
                    false => approval_text(&self.key(id)?),
                };
                let question = self.ask(id, QuestionKind::Approval, text)?;
                self.hold(id, Held::Approval { question }, None)
            }
            RunState::Active | RunState::Finished => self.emit(run, Some(id), &Happened::TaskReady),
        }
    }

    /// A held task goes on.
    pub(crate) fn release(&mut self, id: u64) -> Answer<()> {
        self.step(id, &TaskEvent::Released)?;
        self.emit_task(id, &Happened::TaskReleased)?;
        self.admit(id)
    }

    pub(crate) fn ask(&mut self, id: u64, kind: QuestionKind, text: String) -> Answer<QuestionId> {
        self.last.question += 1;
        let question = QuestionId(self.last.question);
        let run = self.task(id)?.run;
        let now = int(self.now.0);
        let code = encode::question_kind_code(kind);
        self.execute(
            sql::QUESTION_ADD,
            params![int(question.0), int(run), int(id), code, text, now],
        )?;
        self.emit(run, Some(id), &Happened::QuestionAsked { question, kind, text })?;
        Ok(question)
    }

    /// A task is over by `event`; its dependants that wait are promoted or skipped, and theirs with them.
    pub(crate) fn end(&mut self, id: u64, event: TaskEvent, continues: bool) -> Answer<()> {
        let mut ends = VecDeque::from([(id, event, continues)]);
        while let Some((id, event, continues)) = ends.pop_front() {
            // Two skipped parents of one task: the first one decides.
            if matches!(event, TaskEvent::DependencyFailed { .. }) && self.task(id)?.state == State::Done {
                continue;
            }
            self.end_one(id, &event, continues)?;
            self.child_ended(id)?;
            let waiting = self.waiting_children(id)?;
            if waiting.is_empty() {
                continue;
            }
            match self.blocks_as(id)? {
                Some(cause) => ends.extend(waiting.into_iter().map(|child| {
                    let event = TaskEvent::DependencyFailed { cause: cause.clone() };
                    (child, event, false)
                })),
                None => {
                    for child in waiting {
                        self.step(child, &TaskEvent::DependencySatisfied)?;
                        if self.task(child)?.state == State::Ready {
                            self.admit(child)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends a task without a word to its dependants.
    pub(crate) fn end_one(&mut self, id: u64, event: &TaskEvent, continues: bool) -> Answer<()> {
        if matches!(
            self.task(id)?.held,
            Some(Reason::Approval | Reason::Question | Reason::MergeConflict)
        ) {
            let question: Option<i64> = self
                .connection
                .prepare_cached(sql::HOLD_QUESTION)?
                .query_row([int(id)], |row| row.get(0))
                .optional()?
                .flatten();
            self.execute(sql::QUESTION_VOID, [question])?;
        }
        self.step(id, event)?;
        let now = self.now.0;
        let row = self.task_mut(id)?;
        row.done_at = Some(now);
        row.put(CONTINUES, continues);
        let (run, turn, outcome) = (row.run, row.is(TURN), row.outcome.clone().unwrap_or(Outcome::Cancelled));
        if turn {
            self.closed.push_back((id, outcome.clone()));
        }
        self.emit(run, Some(id), &Happened::TaskDone { outcome, continues })
    }

    /// However a step of a workflow ended, the workflow has one less to wait for.
    fn child_ended(&mut self, id: u64) -> Answer<()> {
        let Some(parent) = self.parent_of(id)? else {
            return Ok(());
        };
        let row = self.task(parent)?;
        if row.state != State::Waiting || !row.is(AWAITS) {
            return Ok(());
        }
        self.step(parent, &TaskEvent::DependencySatisfied)?;
        if self.task(parent)?.state == State::Ready {
            self.admit(parent)?;
        }
        Ok(())
    }

    /// The workflow that a task is a step of.
    pub(crate) fn parent_of(&mut self, id: u64) -> Answer<Option<u64>> {
        let row = self.task(id)?;
        let run = row.run;
        if !row.is(CHILD) {
            return Ok(None);
        }
        let Some(key) = self.spec(id)?.flow.parent else {
            return Ok(None);
        };
        let mut find = self.connection.prepare_cached(sql::TASK_OF_KEY)?;
        Ok(find
            .query_row(params![int(run), key.as_str()], |row| row.get(0))
            .optional()?)
    }

    /// The dependants that wait, in ascending order of id.
    pub(crate) fn waiting_children(&mut self, id: u64) -> Answer<Vec<u64>> {
        let mut waiting = Vec::new();
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::CHILDREN)?;
        let mut rows = statement.query([int(id)])?;
        while let Some(row) = rows.next()? {
            let child = self.keep_task(TaskRow::read(row)?);
            // A workflow that has begun does not look at what it needs any more.
            if child.state == State::Waiting && !child.is(AWAITS) {
                waiting.push(child.id);
            }
        }
        Ok(waiting)
    }

    /// The task to name when this one, being done, lets nothing run: the root of a chain of skips.
    pub(crate) fn blocks_as(&mut self, id: u64) -> Answer<Option<TaskKey>> {
        let row = self.task(id)?;
        if row.state != State::Done || row.satisfies() {
            return Ok(None);
        }
        match &row.outcome {
            Some(Outcome::Skipped { cause }) => Ok(Some(cause.clone())),
            _ => Ok(Some(self.key(id)?)),
        }
    }

    /// The first of these that, being done, lets nothing run, as the task to name.
    pub(crate) fn blocking(&mut self, needs: &[u64]) -> Answer<Option<TaskKey>> {
        for need in needs {
            if let Some(cause) = self.blocks_as(*need)? {
                return Ok(Some(cause));
            }
        }
        Ok(None)
    }

    /// The tasks that a task needs, each once, in the order of its plan.
    pub(crate) fn needs(&mut self, id: u64) -> Answer<Vec<u64>> {
        let run = self.task(id)?.run;
        let spec = self.spec(id)?;
        let mut needs = Vec::with_capacity(spec.needs.len());
        let mut seen = HashSet::with_capacity(spec.needs.len());
        let mut find = self.connection.prepare_cached(sql::TASK_OF_KEY)?;
        for key in &spec.needs {
            let need: u64 = find.query_row(params![int(run), key.as_str()], |row| row.get(0))?;
            if seen.insert(need) {
                needs.push(need);
            }
        }
        Ok(needs)
    }

    pub(crate) fn spec(&self, id: u64) -> Answer<TaskSpec> {
        let mut statement = self.connection.prepare_cached(sql::SPEC)?;
        let (key, body): (String, String) = statement.query_row([int(id)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        shape::task_spec(TaskKey(key), &body)
    }

    /// What earlier ends mean for tasks that were just made or un-skipped: skipped, ready, or waiting on. `needs` are
    /// those of each of them.
    pub(crate) fn place(&mut self, tasks: &[(u64, Vec<u64>)]) -> Answer<()> {
        for (id, needs) in tasks {
            let row = self.task(*id)?;
            let (waiting, pending) = (row.state == State::Waiting, row.pending);
            if !waiting {
                continue;
            }
            if let Some(cause) = self.blocking(needs)? {
                self.end(*id, TaskEvent::DependencyFailed { cause }, false)?;
            } else if pending == 0 {
                self.enter(*id, TaskState::Ready)?;
                self.admit(*id)?;
            }
        }
        Ok(())
    }

    /// A running task is not running any more.
    pub(crate) fn close_lease(&mut self, lease: &LeaseRow) -> Answer<()> {
        self.execute(sql::LEASE_REMOVE, [int(lease.task)])?;
        if lease.blocks {
            self.left.insert(lease.task);
        }
        if lease.mail {
            self.execute(sql::QUESTIONS_VOID, [int(lease.task)])?;
            self.execute(sql::MAIL_REMOVE, [int(lease.task)])?;
        }
        Ok(())
    }

    /// A run that may have nothing left to do although no task of it was just done.
    pub(crate) fn touch(&mut self, run: u64) {
        self.touched.insert(run);
    }

    /// A finished run goes on.
    pub(crate) fn reopen(&mut self, run: u64) -> Answer<()> {
        if self.run(run)?.state == RunState::Finished {
            let row = self.run_mut(run)?;
            row.state = RunState::Active;
            row.finished_at = None;
            self.emit(run, None, &Happened::RunReopened)?;
        }
        Ok(())
    }

    /// The end of every command: those who waited for a running task go on, and runs with nothing left finish.
    pub(crate) fn follow_up(&mut self) -> Answer<()> {
        // What follows from the end of a turn can end further ones.
        loop {
            while let Some(blocker) = self.left.pop_first() {
                for waiter in self.ids(sql::HOLDS_BLOCKED_BY, [int(blocker)])? {
                    self.release(waiter)?;
                }
            }
            let Some((task, outcome)) = self.closed.pop_front() else {
                break;
            };
            crew::turn_closed(self, TaskId(task), &outcome)?;
        }
        self.follow_money()?;
        while let Some(run) = self.touched.pop_first() {
            let now = self.now.0;
            let row = self.run(run)?;
            if row.standing || row.state == RunState::Finished || row.counts().open() > 0 {
                continue;
            }
            let counts = row.counts();
            let (succeeded, failed) = (counts.succeeded, counts.total() - counts.succeeded);
            let row = self.run_mut(run)?;
            row.state = RunState::Finished;
            row.finished_at = Some(now);
            self.emit(run, None, &Happened::RunFinished { succeeded, failed })?;
        }
        Ok(())
    }
}
