//! The crew as people see it.

use rusqlite::{Row, params};
use wheelhouse_core::coordinate::Coordination;
use wheelhouse_core::crew::{AuditView, CrewPolicy, CrewReader, InstanceFilter, InstanceRow, MessageFilter};
use wheelhouse_core::ids::{CoordinationId, InstanceId, MessageId, QuestionId, TaskId};
use wheelhouse_core::instance::{self, Facts, InstanceView};
use wheelhouse_core::message::{MessageView, Party};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::Failure;
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;

use super::{codes, rows};
use crate::encode::{Reason, State, int};
use crate::failure::Answer;
use crate::read::SqliteReader;
use crate::statements as sql;

/// Reads `instance_view!`.
fn instance_view(row: &Row<'_>) -> Answer<InstanceView> {
    let state: Option<i64> = row.get(26)?;
    let held: Option<i64> = row.get(27)?;
    let question = row.get::<_, Option<u64>>(28)?.map(QuestionId);
    let turn = match state.map(State::decode).transpose()? {
        None => None,
        Some(State::Waiting) => Some(TaskState::Waiting { pending: 1 }),
        Some(State::Ready) => Some(TaskState::Ready),
        Some(State::Running) => Some(TaskState::Running),
        Some(State::Held) => Some(TaskState::Held(
            match (held.map(Reason::decode).transpose()?, question) {
                (Some(Reason::Approval), Some(question)) => Held::Approval { question },
                (Some(Reason::Question), Some(question)) => Held::Question { question },
                // What else it waits for makes no difference here.
                _ => Held::Paused,
            },
        )),
        Some(State::Done) => Some(TaskState::Done {
            outcome: Outcome::Cancelled,
        }),
    };
    let InstanceRow {
        id,
        run,
        parent,
        depth,
        spec,
        rights,
        key: _,
        stage,
        turn: task,
        message,
        unapproved: _,
        interrupted: _,
        turns,
        queued,
        notes,
        wants: _,
        active_below: _,
        session,
        last_outcome,
        usage,
        cost_nano,
        cost_unknown,
        spawned_at,
        active_at,
        ended_at,
    } = rows::instance(row)?;
    let state = instance::state(Facts {
        stage,
        turns,
        queued,
        turn: turn.as_ref(),
        question,
    });
    Ok(InstanceView {
        id,
        run,
        parent,
        depth,
        spec: (*spec).clone(),
        rights: (*rights).clone(),
        state,
        turn: task,
        message,
        turns,
        queued,
        notes,
        session,
        last_outcome,
        usage,
        cost_nano,
        cost_unknown,
        spawned_at,
        active_at,
        ended_at,
    })
}

fn audit_view(row: &Row<'_>) -> Answer<AuditView> {
    Ok(AuditView {
        id: row.get(0)?,
        at: Millis(row.get(1)?),
        by: codes::party(row.get(2)?),
        instance: row.get::<_, Option<u64>>(3)?.map(InstanceId),
        verb: row.get(4)?,
        detail: row.get(5)?,
    })
}

impl CrewReader for SqliteReader {
    fn instances(
        &mut self,
        filter: InstanceFilter,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<InstanceView>, Failure> {
        let after = after.map_or(0, |after| int(after.0));
        self.read(|snapshot| match filter.below {
            None => snapshot.all(sql::VIEW_INSTANCES, params![after, filter.ended, limit], instance_view),
            Some(top) => snapshot.all(
                sql::VIEW_INSTANCES_BELOW,
                params![after, filter.ended, limit, int(top.0)],
                instance_view,
            ),
        })
    }

    fn instance(&mut self, instance: InstanceId) -> Result<Option<InstanceView>, Failure> {
        self.read(|snapshot| snapshot.one(sql::VIEW_INSTANCE, [int(instance.0)], instance_view))
    }

    fn messages(&mut self, filter: MessageFilter, limit: u32) -> Result<Vec<MessageView>, Failure> {
        let MessageFilter {
            with,
            to,
            unread,
            after,
        } = filter;
        let after = int(after.0);
        let code = |party: Party| codes::party_code(party);
        self.read(|snapshot| match (with, to, unread) {
            (_, Some(to), true) => snapshot.all(sql::VIEW_NOTES_TO, params![after, limit, code(to)], rows::message),
            (_, Some(to), false) => snapshot.all(sql::VIEW_MESSAGES_TO, params![after, limit, code(to)], rows::message),
            (_, None, true) => snapshot.all(sql::VIEW_NOTES, params![after, limit], rows::message),
            (Some(with), None, false) => snapshot.all(
                sql::VIEW_MESSAGES_WITH,
                params![after, limit, code(with)],
                rows::message,
            ),
            (None, None, false) => snapshot.all(sql::VIEW_MESSAGES, params![after, limit], rows::message),
        })
    }

    fn message(&mut self, message: MessageId) -> Result<Option<MessageView>, Failure> {
        self.read(|snapshot| snapshot.one(sql::MESSAGE, [int(message.0)], rows::message))
    }

    fn crew_policy(&mut self) -> Result<CrewPolicy, Failure> {
        self.read(|snapshot| {
            let text = snapshot.one(sql::CREW_POLICY, [], |row| Ok(row.get::<_, String>(0)?))?;
            rows::from_json("the policy", text.as_deref().unwrap_or("{}"))
        })
    }

    fn coordination(&mut self, coordination: CoordinationId) -> Result<Option<Coordination>, Failure> {
        self.read(|snapshot| {
            snapshot.one(sql::COORDINATION, [int(coordination.0)], |row| {
                rows::from_json("a coordination", &row.get::<_, String>(0)?)
            })
        })
    }

    fn audit(&mut self, after: u64, instance: Option<InstanceId>, limit: u32) -> Result<Vec<AuditView>, Failure> {
        self.read(|snapshot| match instance {
            None => snapshot.all(sql::VIEW_AUDIT, params![int(after), limit], audit_view),
            Some(id) => snapshot.all(sql::VIEW_AUDIT_OF, params![int(after), limit, int(id.0)], audit_view),
        })
    }

    fn instance_of_turn(&mut self, task: TaskId) -> Result<Option<InstanceId>, Failure> {
        self.read(|snapshot| snapshot.one(sql::INSTANCE_OF_TURN, [int(task.0)], |row| Ok(InstanceId(row.get(0)?))))
    }
}
