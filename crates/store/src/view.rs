//! Rows as people see them.

use rusqlite::{Connection, Row, params};
use wheelhouse_core::analysis::Kind;
use wheelhouse_core::breaker::{Breaker, Subject};
use wheelhouse_core::budget::Scope;
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, QuestionId, RunId, TaskId, TaskKey};
use wheelhouse_core::ledger::{Entry, Tally, TallyKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::quota::{Allowance, Window};
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::{PastTask, Sketch};
use wheelhouse_core::store::{Answered, AttemptView, QuestionView, RunView, TaskView};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Usage, UsageSource};

use crate::encode::{self, Reason, State, damaged, from_bits, int};
use crate::failure::Answer;
use crate::rows::{AWAITS, RunRow, TaskRow};
use crate::shape;
use crate::statements as sql;

/// Reads `run_columns!`, name and source.
pub(crate) fn run_view(connection: &Connection, row: &Row<'_>) -> Answer<RunView> {
    let (name, source) = (row.get(25)?, row.get(26)?);
    let row = RunRow::read(row)?;
    let counts = row.counts();
    // Most runs have none: only then its tasks are looked through.
    let steps_failed = if counts.failed + counts.cancelled == 0 {
        0
    } else {
        let range = [int(row.id), int(row.task_first), int(row.task_last)];
        let mut statement = connection.prepare_cached(sql::VIEW_STEPS_FAILED)?;
        statement.query_row(range, |row| row.get(0))?
    };
    Ok(RunView {
        id: RunId(row.id),
        name,
        source,
        standing: row.standing,
        state: row.state,
        submitted_at: Millis(row.submitted_at),
        finished_at: row.finished_at.map(Millis),
        counts,
        steps_failed,
        usage: row.usage.unwrap_or_default(),
        cost_nano: row.cost_nano,
        cost_unknown: row.cost_unknown,
    })
}

/// Reads `task_view!`.
pub(crate) fn task_view(connection: &Connection, row: &Row<'_>) -> Answer<TaskView> {
    let key = TaskKey(row.get(18)?);
    let body: String = row.get(19)?;
    let cancel: Option<i64> = row.get(23)?;
    let task = TaskRow::read(row)?;
    // A list of tasks is worth showing although the text of one of them is damaged; `spec` says so.
    let spec = shape::task_spec(key.clone(), &body).ok();
    let parent = spec.as_ref().and_then(|spec| spec.flow.parent.clone());
    let needs = spec.map_or_else(Vec::new, |spec| spec.needs);
    let mut missing = connection.prepare_cached(sql::VIEW_NEED)?;
    let (mut names, mut waits_for): (Vec<TaskKey>, Vec<TaskKey>) = (Vec::new(), Vec::new());
    for need in needs {
        if names.contains(&need) {
            continue;
        }
        let state: i64 = missing.query_row(params![int(task.run), need.as_str()], |row| row.get(0))?;
        if State::decode(state)? != State::Done {
            waits_for.push(need.clone());
        }
        names.push(need);
    }
    if task.state == State::Waiting && task.is(AWAITS) {
        let mut open = connection.prepare_cached(sql::OPEN_KEYS_OF_WORKFLOW)?;
        let rows = open.query_map([int(task.id)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut keys: Vec<(u64, String)> = rows.collect::<Result<_, _>>()?;
        keys.sort_unstable();
        waits_for = keys.into_iter().map(|(_, key)| TaskKey(key)).collect();
    }
    Ok(TaskView {
        id: TaskId(task.id),
        run: RunId(task.run),
        key,
        state: task_state(&task, row)?,
        agent: AgentName(row.get(17)?),
        priority: i32::try_from(-task.rank).or_else(|_| damaged("a priority", -task.rank))?,
        attempt: task.attempt,
        fence: task.fence,
        cancel_requested: cancel == Some(1),
        needs: names,
        waits_for,
        parent,
        started_at: task.started_at.map(Millis),
        done_at: task.done_at.map(Millis),
    })
}

fn task_state(task: &TaskRow, row: &Row<'_>) -> Answer<TaskState> {
    Ok(match task.state {
        State::Waiting => TaskState::Waiting { pending: task.pending },
        State::Ready => TaskState::Ready,
        State::Running => TaskState::Running,
        State::Held => TaskState::Held(held(task.held, row)?),
        State::Done => match &task.outcome {
            Some(outcome) => TaskState::Done {
                outcome: outcome.clone(),
            },
            None => return damaged("the outcome of a task that is done", "nothing"),
        },
    })
}

fn held(reason: Option<Reason>, row: &Row<'_>) -> Answer<Held> {
    let until = row.get::<_, Option<u64>>(20)?.map(Millis);
    let question = row.get::<_, Option<u64>>(21)?.map(QuestionId);
    let with = row.get::<_, Option<String>>(22)?.map(TaskKey);
    Ok(match (reason, until, question, with) {
        (Some(Reason::Paused), ..) => Held::Paused,
        (Some(Reason::Budget), ..) => Held::Budget {
            scope: match row.get::<_, Option<String>>(24)?.map(|scope| scope.parse()) {
                Some(Ok(scope)) => scope,
                Some(Err(_)) => return damaged("the scope of a budget", "something else"),
                None => Scope::Task(TaskId(row.get(0)?)),
            },
            until,
        },
        (Some(Reason::Approval), _, Some(question), _) => Held::Approval { question },
        (Some(Reason::Question), _, Some(question), _) => Held::Question { question },
        (Some(Reason::MergeConflict), _, Some(question), _) => Held::MergeConflict { question },
        (Some(Reason::Quota), Some(until), ..) => Held::Quota { until },
        (Some(Reason::Retry), Some(until), ..) => Held::Retry { until },
        (Some(Reason::Conflict), _, _, Some(with)) => Held::Conflict { with },
        (reason, ..) => return damaged("what a held task waits for", format!("{reason:?} alone")),
    })
}

/// Reads a try that ended, with what it came to.
pub(crate) fn answered(row: &Row<'_>) -> Answer<Answered> {
    let Some(outcome) = outcome(row, 1)? else {
        return damaged("the outcome of a try that ended", "nothing");
    };
    Ok(Answered {
        number: row.get(0)?,
        outcome,
        result: shape::result(row.get::<_, Option<String>>(3)?.as_deref())?,
    })
}

/// Reads a breaker.
pub(crate) fn breaker(row: &Row<'_>) -> Answer<(Subject, Breaker)> {
    let subject = Subject {
        provider: row.get(0)?,
        model: row.get(1)?,
        credential: row.get(2)?,
    };
    let kept = shape::breaker(&row.get::<_, String>(3)?)?;
    Ok((subject, kept.breaker))
}

/// Reads a try that ended or was interrupted.
pub(crate) fn attempt_view(row: &Row<'_>) -> Answer<AttemptView> {
    let ended_at = row.get::<_, Option<u64>>(5)?.map(Millis);
    let mut view = AttemptView {
        number: row.get(0)?,
        begun: row.get(1)?,
        agent: AgentName(row.get(2)?),
        session: row.get(3)?,
        started_at: Millis(row.get(4)?),
        ended_at,
        outcome: None,
        usage: Usage::default(),
        cost: None,
    };
    if ended_at.is_some() {
        view.outcome = outcome(row, 6)?;
        view.usage = encode::usage(row.get::<_, Option<String>>(8)?.as_deref())?;
        view.cost = match row.get::<_, Option<i64>>(9)? {
            Some(code) => Some(encode::cost(code, row.get(10)?)?),
            None => None,
        };
    }
    Ok(view)
}

/// Reads the try that is under way.
pub(crate) fn attempt_under_way(row: &Row<'_>) -> rusqlite::Result<AttemptView> {
    Ok(AttemptView {
        number: row.get(0)?,
        begun: row.get(1)?,
        agent: AgentName(row.get(2)?),
        session: row.get(3)?,
        started_at: Millis(row.get(4)?),
        ended_at: None,
        outcome: None,
        usage: Usage::default(),
        cost: None,
    })
}

fn outcome(row: &Row<'_>, column: usize) -> Answer<Option<Outcome>> {
    match row.get::<_, Option<i64>>(column)? {
        Some(code) => Ok(Some(encode::outcome(code, row.get(column + 1)?)?)),
        None => Ok(None),
    }
}

/// Reads `VIEW_LEDGER`.
pub(crate) fn ledger_entry(row: &Row<'_>) -> Answer<Entry> {
    let number = |column: usize| row.get::<_, i64>(column).map(from_bits);
    Ok(Entry {
        id: row.get(0)?,
        at: Millis(row.get(1)?),
        run: RunId(row.get(2)?),
        task: TaskId(row.get(3)?),
        attempt: row.get(4)?,
        agent: AgentName(row.get(5)?),
        model: row.get(6)?,
        account: row.get(7)?,
        kind: row.get(8)?,
        turn: row.get(9)?,
        usage: Usage {
            input: number(10)?,
            cache_read: number(11)?,
            cache_write: number(12)?,
            output: number(13)?,
            reasoning: number(14)?,
            source: encode::usage_source(row.get(15)?)?,
        },
        cost: encode::cost(row.get(16)?, row.get(17)?)?,
        assumed_nano: number(18)?,
    })
}

/// Reads `VIEW_TALLIES`: four names, and the row itself behind them.
pub(crate) fn tally(row: &Row<'_>) -> Answer<(TallyKey, Tally)> {
    let number = |column: usize| row.get::<_, i64>(column).map(from_bits);
    let key = TallyKey {
        agent: AgentName(row.get(0)?),
        model: row.get(1)?,
        kind: row.get(2)?,
        account: row.get(3)?,
        day: Day(row.get(8)?),
    };
    let tally = Tally {
        entries: number(9)?,
        usage: Usage {
            input: number(10)?,
            cache_read: number(11)?,
            cache_write: number(12)?,
            output: number(13)?,
            reasoning: number(14)?,
            source: if number(9)? == 0 {
                UsageSource::default()
            } else {
                encode::usage_source(row.get(15)?)?
            },
        },
        actual_nano: number(16)?,
        priced_nano: number(17)?,
        included: number(18)?,
        unknown: number(19)?,
        assumed_nano: number(20)?,
        tries: number(21)?,
        wall_ms: number(22)?,
        first_try: number(23)?,
        second_try: number(24)?,
        reworked: number(25)?,
        failed: number(26)?,
        verified: number(27)?,
        rated: number(28)?,
        stars: number(29)?,
    };
    Ok((key, tally))
}

/// Reads `VIEW_ALLOWANCES`.
pub(crate) fn allowance(row: &Row<'_>) -> Answer<Allowance> {
    let window: String = row.get(1)?;
    Ok(Allowance {
        account: row.get(0)?,
        window: match Window::named(&window) {
            Some(window) => window,
            None => return damaged("the window of an allowance", window),
        },
        what: row.get(2)?,
        exhausted: row.get(3)?,
        resets_at: row.get::<_, Option<u64>>(4)?.map(Millis),
        seen_at: Millis(row.get(5)?),
    })
}

/// Reads `question_view!`.
pub(crate) fn question_view(row: &Row<'_>) -> Answer<QuestionView> {
    Ok(QuestionView {
        id: QuestionId(row.get(0)?),
        run: RunId(row.get(1)?),
        task: TaskId(row.get(2)?),
        key: TaskKey(row.get(3)?),
        kind: encode::question_kind(row.get(4)?)?,
        text: row.get(5)?,
        asked_at: Millis(row.get(6)?),
        answer: row.get(7)?,
    })
}

/// A row of the past; `name` tells whose number that is. Features that this version does not know are as good as none.
pub(crate) fn past_task(
    row: &Row<'_>,
    with_features: bool,
    mut name: impl FnMut(i64) -> Answer<String>,
) -> Answer<PastTask> {
    let (kind, sketch): (String, Vec<u8>) = (row.get(0)?, row.get(6)?);
    let Some(kind) = Kind::named(&kind) else {
        return damaged("a type of work", kind);
    };
    let Some(sketch) = Sketch::from_bytes(&sketch) else {
        return damaged("the length of a sketch", sketch.len());
    };
    let cost_nano: Option<i64> = row.get(4)?;
    let model: Option<i64> = row.get(7)?;
    let features: Option<Vec<u8>> = if with_features { row.get(8)? } else { None };
    Ok(PastTask {
        task: TaskId(row.get(9)?),
        sketch,
        features: features.and_then(|bytes| Features::from_bytes(&bytes)),
        model: model.map(&mut name).transpose()?,
        kind,
        agent: name(row.get(1)?)?,
        outcome: encode::outcome(row.get(2)?, row.get(3)?)?,
        cost_nano: cost_nano.map(encode::from_bits),
        at: Millis(encode::from_bits(row.get(5)?)),
    })
}
