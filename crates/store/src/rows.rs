//! The hot rows as the writer holds them during a commit, and the names that stand behind their numbers.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row};
use wheelhouse_core::breaker::Ticket;
use wheelhouse_core::budget::Scope;
use wheelhouse_core::ids::{QuestionId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Counts, ProcessMark, RunState};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Usage;

use crate::encode::{self, Detail, Reason, State, from_bits};
use crate::failure::Answer;
use crate::statements as sql;

/// The next claim repeats the last try under its number; otherwise it begins a new one.
pub(crate) const REPEATS: u32 = 1;
/// It declares a write set.
pub(crate) const WRITES: u32 = 2;
/// It must be approved before it starts, and nobody has done so yet.
pub(crate) const UNAPPROVED: u32 = 4;
/// It is done and its dependants run, success or not.
pub(crate) const CONTINUES: u32 = 8;
/// It is a turn of an instance.
pub(crate) const TURN: u32 = 16;

/// It is a step of a workflow.
pub(crate) const CHILD: u32 = 32;
/// It is a workflow.
pub(crate) const WORKFLOW: u32 = 64;
/// It is a workflow that has begun: while it waits, it waits for its children and not for what it needs.
pub(crate) const AWAITS: u32 = 128;

/// A row of `task`.
#[derive(Debug)]
pub(crate) struct TaskRow {
    pub(crate) id: u64,
    pub(crate) run: u64,
    pub(crate) state: State,
    pub(crate) pending: u32,
    pub(crate) rank: i64,
    pub(crate) agent: i64,
    pub(crate) attempt: u32,
    pub(crate) on_agent: u32,
    pub(crate) fence: u64,
    pub(crate) flags: u32,
    pub(crate) held: Option<Reason>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) started_at: Option<u64>,
    pub(crate) done_at: Option<u64>,
    /// Where it stands in its chain.
    pub(crate) link: u32,
    /// Since when its deadline runs.
    pub(crate) since: Option<u64>,
    /// The agent under which `ready` has a row for it, when it has one.
    pub(crate) listed: Option<i64>,
    pub(crate) dirty: bool,
}

impl TaskRow {
    /// Reads the columns of `task_columns!`, which come first in the row.
    pub(crate) fn read(row: &Row<'_>) -> Answer<TaskRow> {
        let state = State::decode(row.get(2)?)?;
        let agent = row.get(5)?;
        let outcome = match row.get::<_, Option<i64>>(11)? {
            Some(code) => Some(encode::outcome(code, row.get(12)?)?),
            None => None,
        };
        Ok(TaskRow {
            id: row.get(0)?,
            run: row.get(1)?,
            state,
            pending: row.get(3)?,
            rank: row.get(4)?,
            agent,
            attempt: row.get(6)?,
            on_agent: row.get(7)?,
            fence: row.get(8)?,
            flags: row.get(9)?,
            held: row.get::<_, Option<i64>>(10)?.map(Reason::decode).transpose()?,
            outcome,
            started_at: row.get(13)?,
            done_at: row.get(14)?,
            link: row.get(15)?,
            since: row.get(16)?,
            listed: (state == State::Ready).then_some(agent),
            dirty: false,
        })
    }

    pub(crate) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn put(&mut self, flag: u32, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Whether its dependants may run.
    pub(crate) fn satisfies(&self) -> bool {
        self.state == State::Done && (self.is(CONTINUES) || self.outcome.as_ref().is_some_and(Outcome::is_success))
    }

    /// The state as core's machine takes it. The machine never looks at what a reason names, so that stays in the
    /// tables.
    pub(crate) fn machine_state(&self) -> TaskState {
        match (self.state, self.held) {
            (State::Waiting, _) => TaskState::Waiting { pending: self.pending },
            (State::Ready, _) => TaskState::Ready,
            (State::Running, _) => TaskState::Running,
            (State::Held, held) => TaskState::Held(unnamed(held.unwrap_or(Reason::Paused))),
            (State::Done, _) => TaskState::Done {
                outcome: self.outcome.clone().unwrap_or(Outcome::Cancelled),
            },
        }
    }

    /// Where its run counts it; see [`RunRow::counts`].
    pub(crate) fn slot(&self) -> usize {
        match (self.state, &self.outcome) {
            (State::Waiting, _) => 0,
            (State::Ready, _) => 1,
            (State::Running, _) => 2,
            (State::Held, _) => 3,
            (State::Done, Some(Outcome::Succeeded)) => 4,
            (State::Done, Some(Outcome::Skipped { .. })) => 6,
            (State::Done, Some(Outcome::Cancelled)) => 7,
            (State::Done, _) => 5,
        }
    }
}

fn unnamed(reason: Reason) -> Held {
    let question = QuestionId(0);
    let until = Millis(0);
    match reason {
        Reason::Paused => Held::Paused,
        Reason::Approval => Held::Approval { question },
        Reason::Question => Held::Question { question },
        Reason::Budget => Held::Budget {
            scope: Scope::Day,
            until: None,
        },
        Reason::Quota => Held::Quota { until },
        Reason::Retry => Held::Retry { until },
        Reason::Conflict => Held::Conflict {
            with: TaskKey(String::new()),
        },
        Reason::MergeConflict => Held::MergeConflict { question },
    }
}

pub(crate) fn reason(held: &Held) -> Reason {
    match held {
        Held::Paused => Reason::Paused,
        Held::Approval { .. } => Reason::Approval,
        Held::Question { .. } => Reason::Question,
        Held::Budget { .. } => Reason::Budget,
        Held::Quota { .. } => Reason::Quota,
        Held::Retry { .. } => Reason::Retry,
        Held::Conflict { .. } => Reason::Conflict,
        Held::MergeConflict { .. } => Reason::MergeConflict,
    }
}

/// A row of `run`. Written once a commit, however many of its tasks changed.
#[derive(Debug)]
pub(crate) struct RunRow {
    pub(crate) id: u64,
    pub(crate) standing: bool,
    pub(crate) state: RunState,
    pub(crate) submitted_at: u64,
    pub(crate) finished_at: Option<u64>,
    /// Waiting, ready, running, held, succeeded, failed, skipped, cancelled.
    pub(crate) counts: [u64; 8],
    /// Absent until a first try ended: the sum of no usages is nobody's estimate.
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_nano: u64,
    pub(crate) cost_unknown: u64,
    pub(crate) task_first: u64,
    pub(crate) task_last: u64,
    pub(crate) event_first: u64,
    pub(crate) event_last: u64,
    pub(crate) dirty: bool,
}

impl RunRow {
    /// Reads the columns of `run_columns!`, which come first in the row.
    pub(crate) fn read(row: &Row<'_>) -> Answer<RunRow> {
        let mut counts = [0; 8];
        for (place, count) in counts.iter_mut().enumerate() {
            *count = row.get(5 + place)?;
        }
        let bits = |column: usize| row.get::<_, i64>(column).map(from_bits);
        let usage = match row.get::<_, Option<i64>>(18)? {
            None => None,
            Some(source) => Some(Usage {
                input: bits(13)?,
                cache_read: bits(14)?,
                cache_write: bits(15)?,
                output: bits(16)?,
                reasoning: bits(17)?,
                source: encode::usage_source(source)?,
            }),
        };
        Ok(RunRow {
            id: row.get(0)?,
            standing: row.get(1)?,
            state: encode::run_state(row.get(2)?)?,
            submitted_at: row.get(3)?,
            finished_at: row.get(4)?,
            counts,
            usage,
            cost_nano: bits(19)?,
            cost_unknown: row.get(20)?,
            task_first: row.get(21)?,
            task_last: row.get(22)?,
            event_first: row.get(23)?,
            event_last: row.get(24)?,
            dirty: false,
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        let [waiting, ready, running, held, succeeded, failed, skipped, cancelled] = self.counts;
        Counts {
            waiting,
            ready,
            running,
            held,
            succeeded,
            failed,
            skipped,
            cancelled,
        }
    }
}

/// A row of `lease`: a running task and the try that is under way.
#[derive(Debug)]
pub(crate) struct LeaseRow {
    pub(crate) task: u64,
    pub(crate) fence: u64,
    pub(crate) agent: i64,
    pub(crate) number: u32,
    pub(crate) begun: u32,
    pub(crate) session: Option<String>,
    pub(crate) process: Option<ProcessMark>,
    pub(crate) started_at: u64,
    pub(crate) cancel: bool,
    /// Somebody wants the turn to stop, with its session kept.
    pub(crate) interrupt: bool,
    pub(crate) blocks: bool,
    pub(crate) mail: bool,
    /// Whom it asks, and with which leave.
    pub(crate) asks: Option<(i64, Ticket)>,
}

impl LeaseRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<LeaseRow> {
        Ok(LeaseRow {
            task: row.get(0)?,
            fence: row.get(1)?,
            agent: row.get(2)?,
            number: row.get(3)?,
            begun: row.get(4)?,
            session: row.get(5)?,
            process: process(row, 6)?,
            started_at: row.get(8)?,
            cancel: row.get::<_, i64>(9)? == 1,
            interrupt: row.get::<_, i64>(9)? == 2,
            blocks: row.get(10)?,
            mail: row.get(11)?,
            asks: match (row.get(12)?, row.get::<_, Option<i64>>(13)?) {
                (Some(breaker), Some(ticket)) => Some((breaker, Ticket::from_number(from_bits(ticket)))),
                (Some(_) | None, _) => None,
            },
        })
    }
}

/// Reads a pid and, beside it, the start time.
pub(crate) fn process(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ProcessMark>> {
    let pid: Option<u32> = row.get(column)?;
    let ticks: Option<i64> = row.get(column + 1)?;
    Ok(pid.zip(ticks).map(|(pid, ticks)| ProcessMark {
        pid,
        start_ticks: from_bits(ticks),
    }))
}

/// Names and their numbers, as far as they were needed. Rows of `name` are never changed or removed, so what is known
/// stays true, but for those that a lost transaction had added.
#[derive(Default, Debug)]
pub(crate) struct Names {
    ids: HashMap<String, i64>,
    texts: HashMap<i64, String>,
    /// Whether the transaction under way added one, and so has something to commit.
    pub(crate) added: bool,
}

impl Names {
    pub(crate) fn forget(&mut self) {
        self.ids.clear();
        self.texts.clear();
    }

    /// The number of a name, when it has one.
    pub(crate) fn find(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.ids.get(text) {
            return Ok(Some(*id));
        }
        let id = connection
            .prepare_cached(sql::NAME_ID)?
            .query_row([text], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.keep(id, text);
        }
        Ok(id)
    }

    /// The number of a name; a new one when it has none.
    pub(crate) fn id(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.find(connection, text)? {
            return Ok(id);
        }
        let id = connection.prepare_cached(sql::NAME_ADD)?.insert([text])?;
        self.added = true;
        self.keep(id, text);
        Ok(id)
    }

    pub(crate) fn text(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<String> {
        if let Some(text) = self.texts.get(&id) {
            return Ok(text.clone());
        }
        let text: String = connection
            .prepare_cached(sql::NAME_TEXT)?
            .query_row([id], |row| row.get(0))?;
        self.keep(id, &text);
        Ok(text)
    }

    /// Bounded: agents and owners are few, but nothing stops a caller from inventing kinds of reports.
    fn keep(&mut self, id: i64, text: &str) {
        if self.ids.len() >= NAMES_KEPT_MAX {
            self.forget();
        }
        self.ids.insert(text.to_owned(), id);
        self.texts.insert(id, text.to_owned());
    }
}

const NAMES_KEPT_MAX: usize = 10_000;

/// What an outcome holds beside its class, for a column.
pub(crate) fn outcome_columns(outcome: Option<&Outcome>) -> (Option<i64>, Detail) {
    match outcome {
        Some(outcome) => (Some(encode::outcome_code(outcome)), encode::outcome_detail(outcome)),
        None => (None, Detail::None),
    }
}
