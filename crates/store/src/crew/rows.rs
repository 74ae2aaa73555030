//! Rows of instances and messages, read and written. Their specs, rights and policies are kept as core writes them in
//! JSON: nothing queries them, and a field that core adds has a default there.

use std::sync::Arc;

use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wheelhouse_core::crew::InstanceRow;
use wheelhouse_core::ids::{CoordinationId, InstanceId, MessageId, RunId, TaskId};
use wheelhouse_core::message::{MessageState, MessageView};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::Millis;

use super::codes;
use crate::encode::{self, Detail, damaged, from_bits};
use crate::failure::{Answer, Stop};

/// Nobody has approved it yet, and somebody must.
pub(crate) const UNAPPROVED: i64 = 1;
/// Its open turn was asked to stop.
pub(crate) const INTERRUPTED: i64 = 2;

pub(crate) fn to_json<T: Serialize>(value: &T) -> Answer<String> {
    serde_json::to_string(value).map_err(|error| Stop::Damaged(format!("cannot be written as JSON: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Answer<T> {
    serde_json::from_str(text).map_err(|error| Stop::Damaged(format!("{what} cannot be read: {error}")))
}

/// Reads `instance_columns!`, which come first in the row.
pub(crate) fn instance(row: &Row<'_>) -> Answer<InstanceRow> {
    let flags: i64 = row.get(11)?;
    let parent: u64 = row.get(2)?;
    let bodies: (String, String) = (row.get(4)?, row.get(5)?);
    Ok(InstanceRow {
        id: InstanceId(row.get(0)?),
        run: RunId(row.get(1)?),
        parent: (parent > 0).then_some(InstanceId(parent)),
        depth: row.get(3)?,
        spec: Arc::new(from_json("the spec of an instance", &bodies.0)?),
        rights: Arc::new(from_json("the rights of an instance", &bodies.1)?),
        key: row.get(6)?,
        stage: codes::stage(row.get(7)?, row.get(8)?)?,
        turn: row.get::<_, Option<u64>>(9)?.map(TaskId),
        message: row.get::<_, Option<u64>>(10)?.map(MessageId),
        unapproved: flags & UNAPPROVED != 0,
        interrupted: flags & INTERRUPTED != 0,
        turns: row.get(12)?,
        queued: row.get(13)?,
        notes: row.get(14)?,
        wants: row.get::<_, Option<u64>>(15)?.map(MessageId),
        active_below: row.get(16)?,
        session: row.get(17)?,
        last_outcome: outcome(row.get(18)?, row, 19)?,
        usage: encode::usage(row.get::<_, Option<String>>(20)?.as_deref())?,
        cost_nano: from_bits(row.get(21)?),
        cost_unknown: row.get(22)?,
        spawned_at: Millis(row.get(23)?),
        active_at: Millis(row.get(24)?),
        ended_at: row.get::<_, Option<u64>>(25)?.map(Millis),
    })
}

fn outcome(code: Option<i64>, row: &Row<'_>, detail: usize) -> Answer<Option<Outcome>> {
    match code {
        Some(code) => Ok(Some(encode::outcome(code, row.get(detail)?)?)),
        None => Ok(None),
    }
}

/// Reads `message_columns!`.
pub(crate) fn message(row: &Row<'_>) -> Answer<MessageView> {
    let task = row.get::<_, Option<u64>>(13)?.map(TaskId);
    let outcome = outcome(row.get(14)?, row, 15)?;
    let state = match (row.get::<_, i64>(12)?, task, outcome) {
        (0, ..) => MessageState::Queued,
        (1, Some(task), _) => MessageState::Open { task },
        (2, Some(task), Some(outcome)) => MessageState::Done { task, outcome },
        (3, ..) => MessageState::Read,
        (4, ..) => MessageState::Dropped,
        (other, ..) => return damaged("the state of a message", other),
    };
    let after = match row.get::<_, Option<String>>(7)? {
        Some(text) => from_json("what a message comes after", &text)?,
        None => Vec::new(),
    };
    Ok(MessageView {
        id: MessageId(row.get(0)?),
        from: codes::party(row.get(1)?),
        to: codes::party(row.get(2)?),
        trust: codes::trust(row.get(3)?)?,
        kind: codes::kind(row.get(4)?)?,
        correlation: row.get::<_, Option<u64>>(5)?.map(MessageId),
        coordination: row.get::<_, Option<u64>>(6)?.map(CoordinationId),
        after,
        text: row.get(8)?,
        key: row.get(9)?,
        sent_at: Millis(row.get(10)?),
        over_at: row.get::<_, Option<u64>>(11)?.map(Millis),
        state,
    })
}

/// State, task, outcome and its detail.
pub(crate) fn message_state(state: &MessageState) -> (i64, Option<TaskId>, Option<i64>, Detail) {
    match state {
        MessageState::Queued => (0, None, None, Detail::None),
        MessageState::Open { task } => (1, Some(*task), None, Detail::None),
        MessageState::Done { task, outcome } => {
            let code = encode::outcome_code(outcome);
            (2, Some(*task), Some(code), encode::outcome_detail(outcome))
        }
        MessageState::Read => (3, None, None, Detail::None),
        MessageState::Dropped => (4, None, None, Detail::None),
    }
}
