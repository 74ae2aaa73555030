//! The crew's rows: core's [rules](wheelhouse_core::crew) carried out inside a commit.

pub(crate) mod codes;
pub(crate) mod rows;
mod view;

use rusqlite::{OptionalExtension, Params, params};
use wheelhouse_core::budget::Scope;
use wheelhouse_core::coordinate::Coordination;
use wheelhouse_core::crew::{self, CrewPolicy, InstanceRow, Rows};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{CoordinationId, InstanceId, MessageId, RunId, TaskId};
use wheelhouse_core::message::{MessageView, Party};
use wheelhouse_core::spec::{self, RunSpec, TaskSpec};
use wheelhouse_core::store::{Refused, Reply};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Usage;

use crate::encode::{self, State, bits, int};
use crate::failure::{Answer, Stop};
use crate::rows::{UNAPPROVED, outcome_columns};
use crate::statements as sql;
use crate::work::Work;

impl From<crew::Refusal> for Stop {
    fn from(refusal: crew::Refusal) -> Self {
        Stop::Refused(Refused::Crew(refusal))
    }
}

impl Work<'_> {
    /// Instances that were idle for too long; when to look again.
    pub(crate) fn expire_instances(&mut self) -> Answer<Option<Millis>> {
        if !self.number::<bool>(sql::CREW_ANY, [])? {
            return Ok(None);
        }
        if crew::next_expiry(self)?.is_some_and(|at| at <= self.now) {
            crew::expire(self)?;
            self.follow_up()?;
        }
        crew::next_expiry(self)
    }

    /// What a person is asked before an instance's first turn.
    pub(crate) fn approval_of_turn(&mut self, task: u64) -> Answer<String> {
        match self.spec(task)?.work {
            spec::Work::Turn(turn) => crew::approval_text(self, turn.instance),
            spec::Work::Exec(_) | spec::Work::Prompt(_) => Err(Stop::Damaged(format!("task {task} is no turn"))),
        }
    }

    fn number<T: rusqlite::types::FromSql>(&self, sql: &'static str, params: impl Params) -> Answer<T> {
        Ok(self
            .connection
            .prepare_cached(sql)?
            .query_row(params, |row| row.get(0))?)
    }

    fn id(&self, sql: &'static str, params: impl Params) -> Answer<Option<u64>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params, |row| row.get(0)).optional()?)
    }

    fn next_number(&mut self, sql: &'static str) -> Answer<u64> {
        self.changed = true;
        self.number(sql, [])
    }
}

fn instances(ids: Vec<u64>) -> Vec<InstanceId> {
    ids.into_iter().map(InstanceId).collect()
}

impl Rows for Work<'_> {
    type Error = Stop;

    fn now(&self) -> Millis {
        self.now
    }

    fn policy(&mut self) -> Answer<CrewPolicy> {
        rows::from_json("the policy", &self.number::<String>(sql::CREW_POLICY, [])?)
    }

    fn put_policy(&mut self, policy: &CrewPolicy) -> Answer<()> {
        let text = rows::to_json(policy)?;
        self.execute(sql::CREW_POLICY_SET, [text])?;
        Ok(())
    }

    fn new_instance(&mut self) -> Answer<InstanceId> {
        self.next_number(sql::CREW_INSTANCE_NEXT).map(InstanceId)
    }

    fn add_instance(&mut self, row: &InstanceRow) -> Answer<()> {
        let flags = if row.unapproved { rows::UNAPPROVED } else { 0 };
        let (spec, rights) = (rows::to_json(&*row.spec)?, rows::to_json(&*row.rights)?);
        self.execute(
            sql::INSTANCE_ADD,
            params![
                int(row.id.0),
                int(row.run.0),
                row.parent.map_or(0, |parent| int(parent.0)),
                row.depth,
                spec,
                rights,
                row.key,
                flags,
                row.session,
                int(row.spawned_at.0),
            ],
        )?;
        Ok(())
    }

    fn find_instance(&mut self, id: InstanceId) -> Answer<Option<InstanceRow>> {
        let mut statement = self.connection.prepare_cached(sql::INSTANCE)?;
        let mut rows = statement.query([int(id.0)])?;
        rows.next()?.map(rows::instance).transpose()
    }

    fn put_instance(&mut self, row: &InstanceRow) -> Answer<()> {
        let (stage, ended_as) = codes::stage_codes(row.stage);
        let (outcome, detail) = outcome_columns(row.last_outcome.as_ref());
        let unapproved = if row.unapproved { rows::UNAPPROVED } else { 0 };
        let interrupted = if row.interrupted { rows::INTERRUPTED } else { 0 };
        let usage = match row.usage == Usage::default() {
            true => None,
            false => encode::usage_text(row.usage),
        };
        self.execute(
            sql::INSTANCE_SET,
            params![
                int(row.id.0),
                stage,
                ended_as,
                row.turn.map(|turn| int(turn.0)),
                row.message.map(|message| int(message.0)),
                unapproved | interrupted,
                row.turns,
                row.queued,
                row.notes,
                row.wants.map(|message| int(message.0)),
                row.active_below,
                row.session,
                outcome,
                detail,
                usage,
                bits(row.cost_nano),
                int(row.cost_unknown),
                int(row.active_at.0),
                row.ended_at.map(|at| int(at.0)),
            ],
        )?;
        Ok(())
    }

    fn instance_by_key(&mut self, parent: Option<InstanceId>, key: &str) -> Answer<Option<InstanceId>> {
        let parent = parent.map_or(0, |parent| int(parent.0));
        Ok(self.id(sql::INSTANCE_BY_KEY, params![parent, key])?.map(InstanceId))
    }

    fn children(&mut self, parent: InstanceId) -> Answer<Vec<InstanceId>> {
        Ok(instances(self.ids(sql::INSTANCE_CHILDREN, [int(parent.0)])?))
    }

    fn roots(&mut self) -> Answer<Vec<InstanceId>> {
        Ok(instances(self.ids(sql::INSTANCE_CHILDREN, [0])?))
    }

    fn live(&mut self) -> Answer<u32> {
        self.number(sql::INSTANCES_LIVE, [])
    }

    fn at_work(&mut self) -> Answer<u32> {
        self.number(sql::INSTANCES_AT_WORK, [])
    }

    fn children_at_work(&mut self, parent: InstanceId) -> Answer<u32> {
        self.number(sql::INSTANCE_CHILDREN_AT_WORK, [int(parent.0)])
    }

    fn wanting(&mut self, skip: u32, limit: u32) -> Answer<Vec<InstanceId>> {
        Ok(instances(self.ids(sql::INSTANCES_WANTING, [skip, limit])?))
    }

    fn idle(&mut self, suspended: bool, limit: u32) -> Answer<Vec<(InstanceId, Millis)>> {
        let stage = if suspended { 2_i64 } else { 0 };
        let mut statement = self.connection.prepare_cached(sql::INSTANCES_IDLE)?;
        let idle = statement.query_map(params![stage, limit], |row| {
            Ok((InstanceId(row.get(0)?), Millis(row.get(1)?)))
        })?;
        Ok(idle.collect::<rusqlite::Result<_>>()?)
    }

    fn instance_of_turn(&mut self, task: TaskId) -> Answer<Option<InstanceId>> {
        Ok(self.id(sql::INSTANCE_OF_TURN, [int(task.0)])?.map(InstanceId))
    }

    fn new_message(&mut self) -> Answer<MessageId> {
        self.next_number(sql::CREW_MESSAGE_NEXT).map(MessageId)
    }

    fn add_message(&mut self, message: &MessageView) -> Answer<()> {
        let after = match message.after.as_slice() {
            [] => None,
            after => Some(rows::to_json(&after)?),
        };
        self.execute(
            sql::MESSAGE_ADD,
            params![
                int(message.id.0),
                codes::party_code(message.from),
                codes::party_code(message.to),
                codes::trust_code(message.trust),
                codes::kind_code(message.kind),
                message.correlation.map(|id| int(id.0)),
                message.coordination.map(|id| int(id.0)),
                after,
                message.text,
                message.key,
                int(message.sent_at.0),
            ],
        )?;
        for earlier in &message.after {
            self.execute(sql::MESSAGE_AFTER_ADD, [int(earlier.0), int(message.id.0)])?;
        }
        Ok(())
    }

    fn find_message(&mut self, id: MessageId) -> Answer<Option<MessageView>> {
        let mut statement = self.connection.prepare_cached(sql::MESSAGE)?;
        let mut rows = statement.query([int(id.0)])?;
        rows.next()?.map(rows::message).transpose()
    }

    fn put_message(&mut self, message: &MessageView) -> Answer<()> {
        let (state, task, outcome, detail) = rows::message_state(&message.state);
        let (task, over_at) = (task.map(|task| int(task.0)), message.over_at.map(|at| int(at.0)));
        self.execute(
            sql::MESSAGE_SET,
            params![int(message.id.0), state, task, outcome, detail, over_at],
        )?;
        Ok(())
    }

    fn message_by_key(&mut self, from: Party, key: &str) -> Answer<Option<MessageId>> {
        let found = self.id(sql::MESSAGE_BY_KEY, params![codes::party_code(from), key])?;
        Ok(found.map(MessageId))
    }

    fn notes_to_person(&mut self) -> Answer<u32> {
        self.number(sql::NOTES_TO_PERSON, [])
    }

    fn head(&mut self, to: InstanceId) -> Answer<Option<MessageId>> {
        Ok(self.id(sql::MESSAGE_HEAD, [int(to.0)])?.map(MessageId))
    }

    fn waiting(&mut self, to: InstanceId) -> Answer<Vec<MessageId>> {
        let ids = self.ids(sql::MESSAGES_WAITING, [int(to.0)])?;
        Ok(ids.into_iter().map(MessageId).collect())
    }

    fn waiting_for(&mut self, message: MessageId) -> Answer<Vec<InstanceId>> {
        let later = self.ids(sql::MESSAGE_LATER, [int(message.0)])?;
        if !later.is_empty() {
            self.execute(sql::MESSAGE_AFTER_REMOVE, [int(message.0)])?;
        }
        Ok(instances(later))
    }

    fn new_run(&mut self, run: &RunSpec) -> Answer<RunId> {
        match self.submit_run(run, &[])? {
            Reply::Submitted { run, .. } => Ok(run),
            other => Err(Stop::Damaged(format!("a submission was answered with {other:?}"))),
        }
    }

    fn close_run(&mut self, run: RunId) -> Answer<()> {
        self.execute(sql::RUN_CLOSE, [int(run.0)])?;
        self.run_mut(run.0)?.standing = false;
        self.touch(run.0);
        Ok(())
    }

    fn open_turn(&mut self, run: RunId, task: &TaskSpec) -> Answer<TaskId> {
        let tasks = std::slice::from_ref(task);
        let checked = self.check_new_tasks(Some(run.0), tasks)?;
        match self.add_checked(run.0, tasks, &checked)?.as_slice() {
            [task] => Ok(*task),
            _ => Err(Stop::Damaged("one task became several".to_owned())),
        }
    }

    fn interrupt_turn(&mut self, task: TaskId) -> Answer<bool> {
        if self.task(task.0)?.state == State::Running {
            self.execute(sql::LEASE_INTERRUPT, [int(task.0)])?;
            return Ok(true);
        }
        self.stop_turn(task)?;
        Ok(false)
    }

    fn stop_turn(&mut self, task: TaskId) -> Answer<()> {
        match self.task(task.0)?.state {
            // Its end is on its way to the instance within this very command.
            State::Done => Ok(()),
            State::Waiting | State::Ready | State::Running | State::Held => self.cancel_open(task.0),
        }
    }

    fn is_approved(&mut self, task: TaskId) -> Answer<bool> {
        Ok(!self.task(task.0)?.is(UNAPPROVED))
    }

    fn new_coordination(&mut self) -> Answer<CoordinationId> {
        self.next_number(sql::CREW_COORDINATION_NEXT).map(CoordinationId)
    }

    fn add_coordination(&mut self, coordination: &Coordination) -> Answer<()> {
        let body = rows::to_json(coordination)?;
        self.execute(sql::COORDINATION_ADD, params![int(coordination.id.0), body])?;
        Ok(())
    }

    fn limit_money(&mut self, scope: Scope, nano: Option<u64>) -> Answer<()> {
        self.limit_crew(scope, nano)
    }

    fn happened(&mut self, run: RunId, task: Option<TaskId>, happened: Happened) -> Answer<()> {
        self.emit(run.0, task.map(|task| task.0), &happened)
    }

    fn audit(&mut self, by: Party, instance: Option<InstanceId>, verb: &str, detail: String) -> Answer<()> {
        let instance = instance.map(|id| int(id.0));
        self.execute(
            sql::AUDIT_ADD,
            params![int(self.now.0), codes::party_code(by), instance, verb, detail],
        )?;
        Ok(())
    }
}
