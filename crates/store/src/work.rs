//! One commit under way: what was read, what will be written, and the few doors through which a task changes.
//!
//! Rows of tasks and runs are read once, changed in memory and written at the end ([`Work::flush`]), so a run's
//! counters or a task with a thousand parents cost one write a commit. Everything that is found by its key alone goes
//! through here; commands that look for tasks by their state flush first.
//!
//! Commands live in the neighbouring files. They check everything first and change only then: a refused command has
//! changed nothing, and no savepoint is needed. Anything that fails later fails the whole transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use rusqlite::{Connection, OptionalExtension, Params, params};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::{QuestionKind, approval_text};
use wheelhouse_core::store::{Command, Refused, Reply, RunState};
use wheelhouse_core::task::{Held, TaskEvent, TaskState};
use wheelhouse_core::time::Millis;

use crate::clock::{Clock, Skew};
use crate::encode::{self, Reason, State, bits, int, run_state_code};
use crate::failure::{Answer, Stop};
use crate::history::Entry;
use crate::rows::{CONTINUES, LeaseRow, Names, RunRow, TaskRow, UNAPPROVED, outcome_columns, reason};
use crate::statements as sql;

/// Rows of tasks held in memory before they are written and let go, so that cancelling a million tasks does not need
/// a million rows of memory.
const TASKS_HELD_MAX: usize = 50_000;

/// What the two clocks of a store are off by, in this process.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Skews {
    pub(crate) calendar: Skew,
    pub(crate) steady: Skew,
}

/// The numbers given out last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) run: u64,
    pub(crate) task: u64,
    pub(crate) question: u64,
    pub(crate) event: u64,
}

pub(crate) struct Work<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) names: &'c mut Names,
    /// The moment of this commit.
    pub(crate) now: Millis,
    /// The same moment by the clock that leases are measured by.
    pub(crate) steady: u64,
    pub(crate) last: Last,
    /// Whether anything was written or is to be written.
    pub(crate) changed: bool,
    tasks: HashMap<u64, TaskRow>,
    runs: BTreeMap<u64, RunRow>,
    entries: Vec<Entry>,
    /// Tasks that became ready in this commit and are not in the table `ready` yet: (agent, rank, task).
    pub(crate) fresh: BTreeSet<(i64, i64, u64)>,
    /// Tasks that left running within this command and had others held because of their write sets.
    left: BTreeSet<u64>,
    /// Runs that may be finished after this command.
    touched: BTreeSet<u64>,
}

impl<'c> Work<'c> {
    pub(crate) fn begin(
        connection: &'c Connection,
        names: &'c mut Names,
        clock: &dyn Clock,
        skews: &mut Skews,
    ) -> Answer<Work<'c>> {
        names.added = false;
        let (last, at, steady) = connection.prepare_cached(sql::COUNTER)?.query_row([], |row| {
            let last = Last {
                run: row.get(0)?,
                task: row.get(1)?,
                question: row.get(2)?,
                event: row.get(3)?,
            };
            Ok((last, row.get(4)?, row.get(5)?))
        })?;
        Ok(Work {
            connection,
            names,
            now: Millis(skews.calendar.correct(clock.now().0, at)),
            steady: skews.steady.correct(clock.steady(), steady),
            last,
            changed: false,
            tasks: HashMap::new(),
            runs: BTreeMap::new(),
            entries: Vec::new(),
            fresh: BTreeSet::new(),
            left: BTreeSet::new(),
            touched: BTreeSet::new(),
        })
    }

    /// Applies one command with all its consequences.
    pub(crate) fn apply(&mut self, command: &Command) -> Answer<Reply> {
        let reply = match command {
            Command::SubmitRun { run, tasks } => self.submit_run(run, tasks),
            Command::AddTasks { run, tasks } => self.add_tasks(*run, tasks),
            Command::Claim(request) => self.claim(request),
            Command::Start { lease, start } => self.start(*lease, start),
            Command::Report { lease, kind, text } => self.report(*lease, kind, text),
            Command::Heartbeat { leases, lease_ms } => self.heartbeat(leases, *lease_ms),
            Command::Settle { lease, settlement } => self.settle(*lease, settlement),
            Command::Return { lease, why } => self.give_back_leased(*lease, why),
            Command::ExpireLeases => self.expire_leases(),
            Command::Recover { me, go_on } => self.recover(me, *go_on),
            Command::PauseRun { run } => self.pause_run(*run),
            Command::ResumeRun { run } => self.resume_run(*run),
            Command::ResumeInterrupted => self.resume_interrupted(),
            Command::CancelRun { run } => self.cancel_run(*run),
            Command::CancelTask { task } => self.cancel_task(*task),
            Command::RetryTask { task } => self.retry_task(*task),
            Command::RetryRun { run } => self.retry_run(*run),
            Command::Answer {
                question,
                answer,
                resolution,
            } => self.answer(*question, answer, *resolution),
            Command::Prune { before } => self.prune(*before),
        }?;
        self.follow_up()?;
        if self.tasks.len() > TASKS_HELD_MAX {
            self.flush_tasks()?;
            self.tasks.clear();
        }
        Ok(reply)
    }

    /// Writes what is still in memory. False: nothing has changed and there is nothing to commit.
    pub(crate) fn finish(mut self) -> Answer<bool> {
        if !self.changed && !self.names.added {
            return Ok(false);
        }
        self.flush()?;
        let Last {
            run,
            task,
            question,
            event,
        } = self.last;
        self.execute(
            sql::COUNTER_SET,
            params![
                int(run),
                int(task),
                int(question),
                int(event),
                int(self.now.0),
                int(self.steady)
            ],
        )?;
        Ok(true)
    }

    pub(crate) fn flush(&mut self) -> Answer<()> {
        self.flush_tasks()?;
        self.flush_entries()?;
        self.flush_runs()
    }

    /// Runs a statement that changes something.
    pub(crate) fn execute(&mut self, sql: &'static str, params: impl Params) -> rusqlite::Result<usize> {
        self.changed = true;
        self.connection.prepare_cached(sql)?.execute(params)
    }

    /// Reads a list of ids.
    pub(crate) fn ids(&self, sql: &'static str, params: impl Params) -> rusqlite::Result<Vec<u64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| row.get(0))?;
        rows.collect()
    }

    /// Tasks of a run by a statement that takes the run and its range of tasks.
    pub(crate) fn tasks_of(&mut self, run: u64, sql: &'static str) -> Answer<Vec<u64>> {
        self.flush_tasks()?;
        let row = self.run(run)?;
        let (first, last) = (row.task_first, row.task_last);
        Ok(self.ids(sql, params![int(run), int(first), int(last)])?)
    }
}

/// Rows.
impl Work<'_> {
    pub(crate) fn find_task(&mut self, id: u64) -> Answer<Option<&mut TaskRow>> {
        if !self.tasks.contains_key(&id) {
            let mut statement = self.connection.prepare_cached(sql::TASK)?;
            let mut rows = statement.query([int(id)])?;
            match rows.next()? {
                Some(row) => self.tasks.insert(id, TaskRow::read(row)?),
                None => return Ok(None),
            };
        }
        Ok(self.tasks.get_mut(&id))
    }

    /// A task that must be there, because something that is there names it.
    pub(crate) fn task(&mut self, id: u64) -> Answer<&TaskRow> {
        match self.find_task(id)? {
            Some(row) => Ok(row),
            None => Err(Stop::Damaged(format!("task {id} is named and not there"))),
        }
    }

    /// The same, to be changed.
    pub(crate) fn task_mut(&mut self, id: u64) -> Answer<&mut TaskRow> {
        self.changed = true;
        match self.find_task(id)? {
            Some(row) => {
                row.dirty = true;
                Ok(row)
            }
            None => Err(Stop::Damaged(format!("task {id} is named and not there"))),
        }
    }

    /// Keeps a row that a query brought along; what is in memory already is newer.
    pub(crate) fn keep_task(&mut self, row: TaskRow) -> &TaskRow {
        self.tasks.entry(row.id).or_insert(row)
    }

    pub(crate) fn find_run(&mut self, id: u64) -> Answer<Option<&mut RunRow>> {
        if !self.runs.contains_key(&id) {
            let mut statement = self.connection.prepare_cached(sql::RUN)?;
            let mut rows = statement.query([int(id)])?;
            match rows.next()? {
                Some(row) => self.runs.insert(id, RunRow::read(row)?),
                None => return Ok(None),
            };
        }
        Ok(self.runs.get_mut(&id))
    }

    pub(crate) fn run(&mut self, id: u64) -> Answer<&RunRow> {
        match self.find_run(id)? {
            Some(row) => Ok(row),
            None => Err(Stop::Damaged(format!("run {id} is named and not there"))),
        }
    }

    pub(crate) fn run_mut(&mut self, id: u64) -> Answer<&mut RunRow> {
        self.changed = true;
        match self.find_run(id)? {
            Some(row) => {
                row.dirty = true;
                Ok(row)
            }
            None => Err(Stop::Damaged(format!("run {id} is named and not there"))),
        }
    }

    /// The state of a run that a caller named.
    pub(crate) fn run_state(&mut self, run: RunId) -> Answer<RunState> {
        match self.find_run(run.0)? {
            Some(row) => Ok(row.state),
            None => Err(Refused::NoSuchRun(run).into()),
        }
    }

    /// Rows of a pruned run are not to be written back.
    pub(crate) fn forget_run(&mut self, run: u64) {
        self.runs.remove(&run);
        self.tasks.retain(|_, task| task.run != run);
    }

    pub(crate) fn key(&self, task: u64) -> Answer<TaskKey> {
        let mut statement = self.connection.prepare_cached(sql::KEY)?;
        Ok(TaskKey(statement.query_row([int(task)], |row| row.get(0))?))
    }

    pub(crate) fn flush_tasks(&mut self) -> Answer<()> {
        let mut dirty: Vec<u64> = self.tasks.values().filter(|row| row.dirty).map(|row| row.id).collect();
        if dirty.is_empty() {
            return Ok(());
        }
        dirty.sort_unstable();
        let mut set = self.connection.prepare_cached(sql::TASK_SET)?;
        let mut list = self.connection.prepare_cached(sql::READY_ADD)?;
        let mut unlist = self.connection.prepare_cached(sql::READY_REMOVE)?;
        for id in dirty {
            let Some(row) = self.tasks.get_mut(&id) else { continue };
            let (outcome, detail) = outcome_columns(row.outcome.as_ref());
            set.execute(params![
                int(row.id),
                row.state as i64,
                row.pending,
                row.agent,
                row.attempt,
                row.on_agent,
                int(row.fence),
                row.flags,
                row.held.map(|reason| reason as i64),
                outcome,
                detail,
                row.started_at.map(int),
                row.done_at.map(int),
            ])?;
            let ready = (row.state == State::Ready).then_some(row.agent);
            if row.listed != ready {
                if let Some(agent) = row.listed {
                    unlist.execute(params![agent, row.rank, int(row.id)])?;
                }
                if let Some(agent) = ready {
                    list.execute(params![agent, row.rank, int(row.id)])?;
                }
                row.listed = ready;
            }
            row.dirty = false;
        }
        self.fresh.clear();
        Ok(())
    }

    fn flush_runs(&mut self) -> Answer<()> {
        let mut set = self.connection.prepare_cached(sql::RUN_SET)?;
        for row in self.runs.values_mut().filter(|row| row.dirty) {
            let [waiting, ready, running, held, succeeded, failed, skipped, cancelled] = row.counts.map(int);
            let usage = row.usage.unwrap_or_default();
            set.execute(params![
                int(row.id),
                run_state_code(row.state),
                row.finished_at.map(int),
                waiting,
                ready,
                running,
                held,
                succeeded,
                failed,
                skipped,
                cancelled,
                bits(usage.input),
                bits(usage.cache_read),
                bits(usage.cache_write),
                bits(usage.output),
                bits(usage.reasoning),
                row.usage.map(|usage| encode::usage_source_code(usage.source)),
                bits(row.cost_nano),
                int(row.cost_unknown),
                int(row.task_last),
                int(row.event_last),
            ])?;
            row.dirty = false;
        }
        Ok(())
    }
}

/// The history.
impl Work<'_> {
    pub(crate) fn emit(&mut self, run: u64, task: Option<u64>, happened: &Happened) -> Answer<()> {
        let (connection, names) = (self.connection, &mut *self.names);
        let mut name = |text: &str| Ok(names.id(connection, text)?);
        let entry = Entry::encode(run, task, happened, &mut name)?;
        self.last.event += 1;
        let cursor = self.last.event;
        self.run_mut(run)?.event_last = cursor;
        self.entries.push(entry);
        Ok(())
    }

    pub(crate) fn emit_task(&mut self, task: u64, happened: &Happened) -> Answer<()> {
        let run = self.task(task)?.run;
        self.emit(run, Some(task), happened)
    }

    fn flush_entries(&mut self) -> Answer<()> {
        let mut add = self.connection.prepare_cached(sql::EVENT_ADD)?;
        let mut cursor = self.last.event - self.entries.len() as u64;
        for entry in self.entries.drain(..) {
            cursor += 1;
            let Entry {
                run,
                task,
                kind,
                a,
                b,
                c,
                body,
            } = entry;
            add.execute(params![
                int(cursor),
                int(self.now.0),
                int(run),
                task.map(int),
                kind,
                a,
                b,
                c,
                body
            ])?;
        }
        Ok(())
    }
}

/// The doors through which a task changes.
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
        let question = match &held {
            Held::Approval { question } | Held::Question { question } => Some(question.0),
            Held::Paused | Held::Budget | Held::Quota { .. } | Held::Retry { .. } | Held::Conflict { .. } => None,
        };
        let until = held.until().map(|until| until.0);
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
        let (run, unapproved) = (row.run, row.is(UNAPPROVED));
        match self.run(run)?.state {
            RunState::Paused | RunState::Interrupted => self.hold(id, Held::Paused, None),
            RunState::Active | RunState::Finished if unapproved => {
                let text = approval_text(&self.key(id)?);
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
        if matches!(self.task(id)?.held, Some(Reason::Approval | Reason::Question)) {
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
        let (run, outcome) = (row.run, row.outcome.clone().unwrap_or(Outcome::Cancelled));
        self.emit(run, Some(id), &Happened::TaskDone { outcome, continues })
    }

    /// The dependants that wait, in ascending order of id.
    pub(crate) fn waiting_children(&mut self, id: u64) -> Answer<Vec<u64>> {
        let mut waiting = Vec::new();
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::CHILDREN)?;
        let mut rows = statement.query([int(id)])?;
        while let Some(row) = rows.next()? {
            let child = self.keep_task(TaskRow::read(row)?);
            if child.state == State::Waiting {
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

    pub(crate) fn spec(&self, id: u64) -> Answer<wheelhouse_core::spec::TaskSpec> {
        let mut statement = self.connection.prepare_cached(sql::SPEC)?;
        let (key, body): (String, String) = statement.query_row([int(id)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        crate::shape::task_spec(TaskKey(key), &body)
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
    fn follow_up(&mut self) -> Answer<()> {
        while let Some(blocker) = self.left.pop_first() {
            for waiter in self.ids(sql::HOLDS_BLOCKED_BY, [int(blocker)])? {
                self.release(waiter)?;
            }
        }
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

/// The ids of core and those of rows.
impl Work<'_> {
    pub(crate) fn find_named(&mut self, task: TaskId) -> Answer<&TaskRow> {
        match self.find_task(task.0)? {
            Some(row) => Ok(row),
            None => Err(Refused::NoSuchTask(task).into()),
        }
    }
}
