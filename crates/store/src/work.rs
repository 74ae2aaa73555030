//! One commit under way: what was read and what will be written.
//!
//! Rows of tasks and runs are read once, changed in memory and written at the end ([`Work::flush`]), so a run's
//! counters or a task with a thousand parents cost one write a commit. Everything that is found by its key alone goes
//! through here; commands that look for tasks by their state flush first.
//!
//! Commands live in the neighbouring files, the doors through which they change a task in `moves`. They check
//! everything first and change only then: a refused command has changed nothing, and no savepoint is needed. Anything
//! that fails later fails the whole transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use rusqlite::{Connection, Params, params};
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Refused, Reply, RunState};
use wheelhouse_core::time::Millis;

use crate::clock::{Clock, Skew};
use crate::encode::{self, State, bits, int, run_state_code};
use crate::failure::{Answer, Stop};
use crate::history::Entry;
use crate::money::Purse;
use crate::rows::{Names, RunRow, TaskRow, outcome_columns};
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
    pub(crate) left: BTreeSet<u64>,
    /// Runs that may be finished after this command.
    pub(crate) touched: BTreeSet<u64>,
    /// Turns that were done within this command, and how.
    pub(crate) closed: VecDeque<(u64, Outcome)>,
    /// What money there is to do.
    pub(crate) purse: Purse,
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
            closed: VecDeque::new(),
            purse: Purse::default(),
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
            Command::Ask {
                lease,
                kind,
                request,
                text,
            } => self.ask_running(*lease, *kind, request, text),
            Command::Steer { task, words } => self.steer(*task, words),
            Command::Heartbeat { leases, lease_ms } => self.heartbeat(leases, *lease_ms),
            Command::Settle { lease, settlement } => self.settle(*lease, settlement),
            Command::Await {
                lease,
                children,
                open_max,
            } => self.await_children(*lease, children, *open_max),
            Command::Return { lease, why, spending } => self.give_back_leased(*lease, why, spending),
            Command::Meter { lease, reading } => self.meter(*lease, reading),
            Command::NoteAllowance(allowance) => self.note_allowance(allowance),
            Command::SetBudget { scope, limit_nano } => self.set_budget(scope, *limit_nano),
            Command::RaiseBudget { scope, by_nano } => self.raise_budget(scope, *by_nano),
            Command::Rate { task, stars, words } => self.rate(*task, *stars, words),
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
            Command::Once { key, digest, command } => self.once(key, digest, command),
            Command::Prune { before } => self.prune(*before),
            Command::Crew(command) => crew::apply(self, command).map(Reply::Crew),
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
        self.flush_tallies()?;
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

    /// The children of a workflow that are not over, oldest first.
    pub(crate) fn open_children(&mut self, workflow: u64) -> Answer<Vec<u64>> {
        self.flush_tasks()?;
        let mut open = self.ids(sql::OPEN_OF_WORKFLOW, [int(workflow)])?;
        open.sort_unstable();
        Ok(open)
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
                row.link,
                row.since.map(int),
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

/// The ids of core and those of rows.
impl Work<'_> {
    pub(crate) fn find_named(&mut self, task: TaskId) -> Answer<&TaskRow> {
        match self.find_task(task.0)? {
            Some(row) => Ok(row),
            None => Err(Refused::NoSuchTask(task).into()),
        }
    }
}
