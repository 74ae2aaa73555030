//! Reading: a connection of its own that never waits for the writer. Each call is one read transaction, and with it
//! one moment.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row, Transaction, params};
use wheelhouse_core::breaker::{Breaker, Subject};
use wheelhouse_core::budget::{Budget, Experience};
use wheelhouse_core::day::Day;
use wheelhouse_core::event::Event;
use wheelhouse_core::ids::{AgentName, ArtifactHash, Cursor, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger::{Entry, Tally, TallyKey};
use wheelhouse_core::quota::Allowance;
use wheelhouse_core::report::{Crew, Spans, TaskSum};
use wheelhouse_core::route::learned;
use wheelhouse_core::route::past::PastTask;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Answered, AttemptView, Failure, QuestionView, Reader, RunView, SpansOf, TaskView};
use wheelhouse_core::time::Millis;

use crate::encode::{State, StoredHash, int};
use crate::failure::{Answer, failure};
use crate::history;
use crate::migrate::check_readable;
use crate::money::{BudgetRow, experience};
use crate::rows::{Names, RunRow};
use crate::shape;
use crate::sqlite::BUSY_TIMEOUT;
use crate::statements as sql;
use crate::sums;
use crate::view::{
    allowance, answered, attempt_under_way, attempt_view, breaker, ledger_entry, past_task, question_view, run_view,
    tally, task_view,
};

/// A view of a store for reading.
pub struct SqliteReader {
    path: PathBuf,
    connection: Connection,
    names: Names,
}

impl SqliteReader {
    /// Opens the store in this file for reading alone. It must be there, at this program's schema.
    pub fn open(path: &Path) -> Result<SqliteReader, Failure> {
        let connection = connect_to_read(path).map_err(|error| failure(path, error))?;
        check_readable(&connection, path)?;
        Ok(SqliteReader {
            path: path.to_owned(),
            connection,
            names: Names::default(),
        })
    }

    /// Runs one call in one read transaction.
    pub(crate) fn read<T>(&mut self, call: impl FnOnce(&mut Snapshot<'_>) -> Answer<T>) -> Result<T, Failure> {
        let attempt = || {
            let mut snapshot = Snapshot {
                transaction: self.connection.transaction()?,
                names: &mut self.names,
            };
            call(&mut snapshot)
        };
        attempt().map_err(|stop| stop.into_failure(&self.path))
    }
}

pub(crate) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

pub(crate) struct Snapshot<'r> {
    pub(crate) transaction: Transaction<'r>,
    pub(crate) names: &'r mut Names,
}

impl Snapshot<'_> {
    pub(crate) fn one<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Answer<T>,
    ) -> Answer<Option<T>> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    pub(crate) fn all<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Answer<T>,
    ) -> Answer<Vec<T>> {
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }

    fn run_row(&self, run: RunId) -> Answer<Option<RunRow>> {
        self.one(sql::RUN, [int(run.0)], RunRow::read)
    }

    fn tasks(&self, sql: &'static str, params: impl Params) -> Answer<Vec<TaskView>> {
        self.all(sql, params, |row| task_view(&self.transaction, row))
    }
}

impl Reader for SqliteReader {
    fn runs(&mut self, limit: u32) -> Result<Vec<RunView>, Failure> {
        self.read(|snapshot| {
            let connection = &snapshot.transaction;
            snapshot.all(sql::VIEW_RUNS, [limit], |row| run_view(connection, row))
        })
    }

    fn run(&mut self, run: RunId) -> Result<Option<RunView>, Failure> {
        self.read(|snapshot| {
            let connection = &snapshot.transaction;
            snapshot.one(sql::VIEW_RUN, [int(run.0)], |row| run_view(connection, row))
        })
    }

    fn tasks(&mut self, run: RunId, offset: u64, limit: u32) -> Result<Vec<TaskView>, Failure> {
        self.read(|snapshot| {
            let Some(row) = snapshot.run_row(run)? else {
                return Ok(Vec::new());
            };
            let range = [
                int(run.0),
                int(row.task_first),
                int(row.task_last),
                int(offset),
                limit.into(),
            ];
            snapshot.tasks(sql::VIEW_TASKS, range)
        })
    }

    fn tasks_in(&mut self, run: RunId, state: &str, limit: u32) -> Result<Vec<TaskView>, Failure> {
        self.read(|snapshot| {
            let (Some(row), Some(state)) = (snapshot.run_row(run)?, State::named(state)) else {
                return Ok(Vec::new());
            };
            let counts = row.counts();
            let there = match state {
                State::Waiting => counts.waiting,
                State::Ready => counts.ready,
                State::Running => counts.running,
                State::Held => counts.held,
                State::Done => counts.total() - counts.open(),
            };
            // The scan ends with the last one of them instead of the last one of the run.
            let limit = int(there).min(limit.into());
            match (limit, state) {
                (0, _) => Ok(Vec::new()),
                (_, State::Running) => snapshot.tasks(sql::VIEW_TASKS_RUNNING, [int(run.0), limit]),
                (_, State::Waiting | State::Ready | State::Held | State::Done) => {
                    let range = [int(run.0), int(row.task_first), int(row.task_last), state as i64, limit];
                    snapshot.tasks(sql::VIEW_TASKS_IN, range)
                }
            }
        })
    }

    fn task(&mut self, task: TaskId) -> Result<Option<TaskView>, Failure> {
        self.read(|snapshot| {
            let connection = &snapshot.transaction;
            snapshot.one(sql::VIEW_TASK, [int(task.0)], |row| task_view(connection, row))
        })
    }

    fn task_by_key(&mut self, run: RunId, key: &TaskKey) -> Result<Option<TaskView>, Failure> {
        self.read(|snapshot| {
            let connection = &snapshot.transaction;
            let found = params![int(run.0), key.as_str()];
            let Some(id) = snapshot.one(sql::TASK_OF_KEY, found, |row| Ok(row.get::<_, i64>(0)?))? else {
                return Ok(None);
            };
            snapshot.one(sql::VIEW_TASK, [id], |row| task_view(connection, row))
        })
    }

    fn children(&mut self, task: TaskId) -> Result<Vec<TaskView>, Failure> {
        self.read(|snapshot| {
            let mut ids = snapshot.all(
                sql::CHILDREN_OF_WORKFLOW,
                [int(task.0)],
                |row| Ok(row.get::<_, i64>(0)?),
            )?;
            ids.sort_unstable();
            let mut children = Vec::with_capacity(ids.len());
            for id in ids {
                children.extend(snapshot.tasks(sql::VIEW_TASK, [id])?);
            }
            Ok(children)
        })
    }

    fn spec(&mut self, task: TaskId) -> Result<Option<TaskSpec>, Failure> {
        self.read(|snapshot| {
            snapshot.one(sql::SPEC, [int(task.0)], |row| {
                let body: String = row.get(1)?;
                shape::task_spec(TaskKey(row.get(0)?), &body)
            })
        })
    }

    fn run_spec(&mut self, run: RunId) -> Result<Option<RunSpec>, Failure> {
        self.read(|snapshot| {
            snapshot.one(sql::VIEW_RUN_SPEC, [int(run.0)], |row| {
                let body: String = row.get(3)?;
                shape::run_spec(row.get(0)?, row.get(1)?, row.get(2)?, &body)
            })
        })
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<AttemptView>, Failure> {
        self.read(|snapshot| {
            let mut attempts = snapshot.all(sql::VIEW_ATTEMPTS, [int(task.0)], attempt_view)?;
            let under_way = snapshot.one(sql::VIEW_ATTEMPT_UNDER_WAY, [int(task.0)], |row| {
                Ok(attempt_under_way(row)?)
            })?;
            if let Some(under_way) = under_way {
                // It may have been begun before, and then it is in both tables.
                attempts.retain(|attempt| attempt.number != under_way.number);
                attempts.push(under_way);
            }
            Ok(attempts)
        })
    }

    fn results(&mut self, task: TaskId) -> Result<Vec<Answered>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_RESULTS, [int(task.0)], answered))
    }

    fn breakers(&mut self) -> Result<Vec<(Subject, Breaker)>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_BREAKERS, [], breaker))
    }

    fn artifact(&mut self, hash: &ArtifactHash) -> Result<Option<Vec<u8>>, Failure> {
        let hash = StoredHash::new(hash);
        self.read(|snapshot| snapshot.one(sql::VIEW_ARTIFACT, [hash], |row| Ok(row.get(0)?)))
    }

    fn events(&mut self, after: Cursor, run: Option<RunId>, limit: u32) -> Result<Vec<Event>, Failure> {
        self.read(|snapshot| {
            let after = int(after.0);
            let (sql, range) = match run {
                None => (sql::VIEW_EVENTS, vec![after, limit.into()]),
                Some(run) => {
                    let Some(row) = snapshot.run_row(run)? else {
                        return Ok(Vec::new());
                    };
                    let first = after.saturating_add(1).max(int(row.event_first));
                    (
                        sql::VIEW_EVENTS_OF_RUN,
                        vec![int(run.0), first, int(row.event_last), limit.into()],
                    )
                }
            };
            let Snapshot { transaction, names } = snapshot;
            let mut name = |id: i64| Ok(names.text(transaction, id)?);
            let mut statement = transaction.prepare_cached(sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(range))?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(history::event(row, &mut name)?);
            }
            Ok(events)
        })
    }

    fn open_questions(&mut self) -> Result<Vec<QuestionView>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_QUESTIONS_OPEN, [], question_view))
    }

    fn question(&mut self, question: QuestionId) -> Result<Option<QuestionView>, Failure> {
        self.read(|snapshot| snapshot.one(sql::VIEW_QUESTION, [int(question.0)], question_view))
    }

    fn past(&mut self, limit: u32) -> Result<Vec<PastTask>, Failure> {
        self.read(|snapshot| {
            let Snapshot { transaction, names } = snapshot;
            let mut statement = transaction.prepare_cached(sql::VIEW_PAST)?;
            let mut rows = statement.query([limit])?;
            let mut past = Vec::new();
            while let Some(row) = rows.next()? {
                // Only the newest are learned from.
                let with_features = past.len() < learned::ROWS_MAX;
                past.push(past_task(row, with_features, |id| Ok(names.text(transaction, id)?))?);
            }
            Ok(past)
        })
    }

    fn busy(&mut self) -> Result<Vec<(AgentName, u32)>, Failure> {
        self.read(|snapshot| {
            let Snapshot { transaction, names } = snapshot;
            let mut statement = transaction.prepare_cached(sql::VIEW_BUSY)?;
            let mut rows = statement.query([])?;
            let mut busy = Vec::new();
            while let Some(row) = rows.next()? {
                busy.push((AgentName(names.text(transaction, row.get(0)?)?), row.get(1)?));
            }
            Ok(busy)
        })
    }

    fn ledger(&mut self, after: u64, limit: u32) -> Result<Vec<Entry>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_LEDGER, [int(after), limit.into()], ledger_entry))
    }

    fn tallies(&mut self, first: Day, last: Day) -> Result<Vec<(TallyKey, Tally)>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_TALLIES, [first.0, last.0], tally))
    }

    fn ledger_of(&mut self, run: RunId) -> Result<Vec<TaskSum>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_LEDGER_OF, [int(run.0)], sums::task_sum))
    }

    fn ratings(&mut self, run: RunId) -> Result<Vec<(TaskId, u8)>, Failure> {
        self.read(|snapshot| {
            snapshot.all(sql::VIEW_RATINGS, [int(run.0)], |row| {
                Ok((TaskId(row.get(0)?), row.get(1)?))
            })
        })
    }

    fn crews(&mut self, first: Day, last: Day) -> Result<Vec<Crew>, Failure> {
        self.read(|snapshot| sums::crews(snapshot, first, last))
    }

    fn spans(&mut self, which: SpansOf, tries_max: u32) -> Result<Spans, Failure> {
        self.read(|snapshot| sums::spans(snapshot, which, tries_max))
    }

    fn budgets(&mut self, now: Millis) -> Result<Vec<Budget>, Failure> {
        self.read(|snapshot| {
            let rows = snapshot.all(sql::VIEW_BUDGETS, [], BudgetRow::read)?;
            let shown = rows.into_iter().filter_map(|mut row| {
                row.kept.roll(now);
                row.kept.view()
            });
            let mut shown: Vec<Budget> = shown.collect();
            shown.sort_by(|one, other| one.scope.cmp(&other.scope));
            Ok(shown)
        })
    }

    fn allowances(&mut self) -> Result<Vec<Allowance>, Failure> {
        self.read(|snapshot| snapshot.all(sql::VIEW_ALLOWANCES, [], allowance))
    }

    fn experience(&mut self, agent: &AgentName, model: Option<&str>, kind: &str) -> Result<Experience, Failure> {
        self.read(|snapshot| {
            let Snapshot { transaction, names } = snapshot;
            let agent = names.find(transaction, agent.as_str())?;
            let kind = names.find(transaction, kind)?;
            let model = match model {
                Some(model) => Some(names.find(transaction, model)?.unwrap_or(-1)),
                None => None,
            };
            match agent.zip(kind) {
                Some((agent, kind)) => experience(transaction, agent, model, kind),
                None => Ok(Experience::default()),
            }
        })
    }

    fn store_id(&mut self) -> Result<String, Failure> {
        self.read(|snapshot| {
            let mut statement = snapshot.transaction.prepare_cached(sql::VIEW_STORE_ID)?;
            let id = statement.query_row([], |row| row.get(0)).optional()?;
            id.map_or_else(|| crate::encode::damaged("the name of the store", "nothing"), Ok)
        })
    }
}
