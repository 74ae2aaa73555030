//! The crew's rows in maps: core's [rules](wheelhouse_core::crew) carried out on them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use wheelhouse_core::budget::Scope;
use wheelhouse_core::coordinate::Coordination;
use wheelhouse_core::crew::{
    self, AuditView, CrewPolicy, CrewReader, InstanceFilter, InstanceRow, MessageFilter, Rows,
};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{CoordinationId, InstanceId, MessageId, RunId, TaskId};
use wheelhouse_core::instance::{self, Facts, InstanceView, Stage};
use wheelhouse_core::message::{MessageKind, MessageState, MessageView, Party};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{Failure, Refused, Reply};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::Millis;

use super::read::MemoryReader;
use super::world::World;

/// Everything about instances.
#[derive(Default)]
pub(super) struct Crew {
    policy: CrewPolicy,
    instances: BTreeMap<InstanceId, InstanceRow>,
    messages: BTreeMap<MessageId, MessageView>,
    coordinations: BTreeMap<CoordinationId, Coordination>,
    audit: Vec<AuditView>,
    last_instance: u64,
    last_message: u64,
    last_coordination: u64,
    /// Turns that were done within this command, and how.
    pub(super) closed: VecDeque<(TaskId, Outcome)>,
}

impl World {
    /// A task is over; when it was a turn, its instance hears of it at the end of the command.
    pub(super) fn note_turn(&mut self, id: TaskId) {
        let task = self.task(id);
        if let (Work::Turn(_), TaskState::Done { outcome }) = (&task.spec.work, &task.state) {
            let outcome = outcome.clone();
            self.crew.closed.push_back((id, outcome));
        }
    }

    /// Tells the instances of turns that are over.
    pub(super) fn close_turns(&mut self) {
        while let Some((task, outcome)) = self.crew.closed.pop_front() {
            if let Err(refused) = crew::turn_closed(self, task, &outcome) {
                unreachable!("the end of a turn asks nobody: {refused}")
            }
        }
    }

    pub(super) fn expire_instances(&mut self) -> Option<Millis> {
        let due = |world: &mut World| crew::next_expiry(world).unwrap_or_default();
        if due(self).is_some_and(|at| at <= self.now) && crew::expire(self).is_ok() {
            self.follow_up();
        }
        due(self)
    }

    pub(super) fn apply_crew(&mut self, command: &crew::Command) -> Result<Reply, Refused> {
        crew::apply(self, command).map(Reply::Crew)
    }

    /// Turns under way that lend their places to others below them.
    pub(super) fn lent(&self) -> Vec<TaskId> {
        let lends = self.crew.instances.values().filter(|row| row.active_below > 0);
        lends
            .filter_map(|row| row.turn)
            .filter(|turn| self.running.contains(turn))
            .collect()
    }

    pub(super) fn prune_crew(&mut self, gone: impl Fn(RunId) -> bool) {
        let instances = &mut self.crew.instances;
        let ended: Vec<InstanceId> = instances
            .values()
            .filter(|row| gone(row.run))
            .map(|row| row.id)
            .collect();
        instances.retain(|id, _| !ended.contains(id));
        let of_it = |party: Party| party.instance().is_some_and(|id| ended.contains(&id));
        self.crew
            .messages
            .retain(|_, message| !of_it(message.from) && !of_it(message.to));
    }

    fn view(&self, row: &InstanceRow) -> InstanceView {
        let turn = row.turn.and_then(|turn| self.tasks.get(&turn)).map(|task| &task.state);
        let open = self
            .questions
            .iter()
            .filter(|(_, question)| question.open && Some(question.task) == row.turn);
        let question = open.map(|(id, _)| *id).min();
        InstanceView {
            id: row.id,
            run: row.run,
            parent: row.parent,
            depth: row.depth,
            spec: (*row.spec).clone(),
            rights: (*row.rights).clone(),
            state: instance::state(Facts {
                stage: row.stage,
                turns: row.turns,
                queued: row.queued,
                turn,
                question,
            }),
            turn: row.turn,
            message: row.message,
            turns: row.turns,
            queued: row.queued,
            notes: row.notes,
            session: row.session.clone(),
            last_outcome: row.last_outcome.clone(),
            usage: row.usage,
            cost_nano: row.cost_nano,
            cost_unknown: row.cost_unknown,
            spawned_at: row.spawned_at,
            active_at: row.active_at,
            ended_at: row.ended_at,
        }
    }

    /// The instance whose open turn this is, and everybody above it.
    pub(super) fn of_turn(&self, task: TaskId) -> Vec<InstanceId> {
        let mut chain = Vec::new();
        let mut row = self.crew.instances.values().find(|row| row.turn == Some(task));
        while let Some(found) = row {
            chain.push(found.id);
            row = found.parent.and_then(|parent| self.crew.instances.get(&parent));
        }
        chain
    }

    fn is_within(&self, mut id: InstanceId, top: InstanceId) -> bool {
        while id != top {
            match self.crew.instances.get(&id).and_then(|row| row.parent) {
                Some(parent) => id = parent,
                None => return false,
            }
        }
        true
    }

    fn living(&self) -> impl Iterator<Item = &InstanceRow> {
        self.crew.instances.values().filter(|row| !row.stage.is_ended())
    }

    fn queued(&self) -> impl Iterator<Item = &MessageView> {
        self.crew
            .messages
            .values()
            .filter(|message| message.state == MessageState::Queued)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Rows for World {
    type Error = Refused;

    fn now(&self) -> Millis {
        self.now
    }

    fn policy(&mut self) -> Result<CrewPolicy, Refused> {
        Ok(self.crew.policy.clone())
    }

    fn put_policy(&mut self, policy: &CrewPolicy) -> Result<(), Refused> {
        self.crew.policy = policy.clone();
        Ok(())
    }

    fn new_instance(&mut self) -> Result<InstanceId, Refused> {
        self.crew.last_instance += 1;
        Ok(InstanceId(self.crew.last_instance))
    }

    fn add_instance(&mut self, row: &InstanceRow) -> Result<(), Refused> {
        self.put_instance(row)
    }

    fn find_instance(&mut self, id: InstanceId) -> Result<Option<InstanceRow>, Refused> {
        Ok(self.crew.instances.get(&id).cloned())
    }

    fn put_instance(&mut self, row: &InstanceRow) -> Result<(), Refused> {
        self.crew.instances.insert(row.id, row.clone());
        Ok(())
    }

    fn instance_by_key(&mut self, parent: Option<InstanceId>, key: &str) -> Result<Option<InstanceId>, Refused> {
        let same = |row: &&InstanceRow| row.parent == parent && row.key.as_deref() == Some(key);
        Ok(self.crew.instances.values().find(same).map(|row| row.id))
    }

    fn children(&mut self, parent: InstanceId) -> Result<Vec<InstanceId>, Refused> {
        Ok(self
            .living()
            .filter(|row| row.parent == Some(parent))
            .map(|row| row.id)
            .collect())
    }

    fn roots(&mut self) -> Result<Vec<InstanceId>, Refused> {
        Ok(self
            .living()
            .filter(|row| row.parent.is_none())
            .map(|row| row.id)
            .collect())
    }

    fn live(&mut self) -> Result<u32, Refused> {
        Ok(number(self.living().count()))
    }

    fn at_work(&mut self) -> Result<u32, Refused> {
        let at_work = |row: &&InstanceRow| row.turn.is_some() && row.active_below == 0;
        Ok(number(self.crew.instances.values().filter(at_work).count()))
    }

    fn children_at_work(&mut self, parent: InstanceId) -> Result<u32, Refused> {
        let at_work = |row: &&InstanceRow| row.parent == Some(parent) && row.turn.is_some() && row.active_below == 0;
        Ok(number(self.living().filter(at_work).count()))
    }

    fn wanting(&mut self, skip: u32, limit: u32) -> Result<Vec<InstanceId>, Refused> {
        let wants = self.living().filter(|row| row.turn.is_none());
        let mut wants: Vec<_> = wants
            .filter_map(|row| row.wants.map(|message| (Reverse(row.depth), message, row.id)))
            .collect();
        wants.sort_unstable();
        Ok(wants
            .into_iter()
            .map(|(_, _, id)| id)
            .skip(skip as usize)
            .take(limit as usize)
            .collect())
    }

    fn idle(&mut self, suspended: bool, limit: u32) -> Result<Vec<(InstanceId, Millis)>, Refused> {
        let stage = if suspended { Stage::Suspended } else { Stage::Idle };
        let idle = self
            .living()
            .filter(|row| row.stage == stage && row.queued == 0 && row.active_below == 0);
        let mut idle: Vec<_> = idle.map(|row| (row.id, row.active_at)).collect();
        idle.sort_unstable_by_key(|(id, since)| (*since, *id));
        idle.truncate(limit as usize);
        Ok(idle)
    }

    fn instance_of_turn(&mut self, task: TaskId) -> Result<Option<InstanceId>, Refused> {
        Ok(self
            .crew
            .instances
            .values()
            .find(|row| row.turn == Some(task))
            .map(|row| row.id))
    }

    fn new_message(&mut self) -> Result<MessageId, Refused> {
        self.crew.last_message += 1;
        Ok(MessageId(self.crew.last_message))
    }

    fn add_message(&mut self, message: &MessageView) -> Result<(), Refused> {
        self.put_message(message)
    }

    fn find_message(&mut self, id: MessageId) -> Result<Option<MessageView>, Refused> {
        Ok(self.crew.messages.get(&id).cloned())
    }

    fn put_message(&mut self, message: &MessageView) -> Result<(), Refused> {
        self.crew.messages.insert(message.id, message.clone());
        Ok(())
    }

    fn message_by_key(&mut self, from: Party, key: &str) -> Result<Option<MessageId>, Refused> {
        let same = |message: &&MessageView| message.from == from && message.key.as_deref() == Some(key);
        Ok(self.crew.messages.values().find(same).map(|message| message.id))
    }

    fn notes_to_person(&mut self) -> Result<u32, Refused> {
        let notes = self
            .queued()
            .filter(|message| message.to == Party::Person && message.kind == MessageKind::Note);
        Ok(number(notes.count()))
    }

    fn head(&mut self, to: InstanceId) -> Result<Option<MessageId>, Refused> {
        let to = Party::Instance(to);
        let mut requests = self
            .queued()
            .filter(|message| message.to == to && message.kind == MessageKind::Request);
        Ok(requests.next().map(|message| message.id))
    }

    fn waiting(&mut self, to: InstanceId) -> Result<Vec<MessageId>, Refused> {
        let to = Party::Instance(to);
        let mut waiting: Vec<_> = self.queued().filter(|message| message.to == to).collect();
        waiting.sort_by_key(|message| (message.kind == MessageKind::Note, message.id));
        Ok(waiting.into_iter().map(|message| message.id).collect())
    }

    fn waiting_for(&mut self, message: MessageId) -> Result<Vec<InstanceId>, Refused> {
        let later = self.queued().filter(|later| later.after.contains(&message));
        let mut waiting: Vec<InstanceId> = later.filter_map(|later| later.to.instance()).collect();
        waiting.sort_unstable();
        waiting.dedup();
        Ok(waiting)
    }

    fn new_run(&mut self, run: &RunSpec) -> Result<RunId, Refused> {
        match self.submit_run(run, &[])? {
            Reply::Submitted { run, .. } => Ok(run),
            _ => unreachable!("a submission is answered with what was submitted"),
        }
    }

    fn close_run(&mut self, run: RunId) -> Result<(), Refused> {
        self.run_mut(run).spec.standing = false;
        self.touch(run);
        Ok(())
    }

    fn open_turn(&mut self, run: RunId, task: &TaskSpec) -> Result<TaskId, Refused> {
        let tasks = std::slice::from_ref(task);
        self.check_new_tasks(run, tasks)?;
        Ok(self.add_checked(run, tasks)[0])
    }

    fn interrupt_turn(&mut self, task: TaskId) -> Result<bool, Refused> {
        if self.task(task).state == TaskState::Running {
            self.task_mut(task).interrupt_requested = true;
            return Ok(true);
        }
        self.stop_turn(task)?;
        Ok(false)
    }

    fn stop_turn(&mut self, task: TaskId) -> Result<(), Refused> {
        if !self.task(task).state.is_done() {
            self.cancel_open(task);
        }
        Ok(())
    }

    fn is_approved(&mut self, task: TaskId) -> Result<bool, Refused> {
        let task = self.task(task);
        Ok(!task.spec.approval || task.approved)
    }

    fn new_coordination(&mut self) -> Result<CoordinationId, Refused> {
        self.crew.last_coordination += 1;
        Ok(CoordinationId(self.crew.last_coordination))
    }

    fn add_coordination(&mut self, coordination: &Coordination) -> Result<(), Refused> {
        self.crew.coordinations.insert(coordination.id, coordination.clone());
        Ok(())
    }

    fn limit_money(&mut self, scope: Scope, nano: Option<u64>) -> Result<(), Refused> {
        self.limit_crew(scope, nano);
        Ok(())
    }

    fn happened(&mut self, run: RunId, task: Option<TaskId>, happened: Happened) -> Result<(), Refused> {
        self.emit(run, task, happened);
        Ok(())
    }

    fn audit(&mut self, by: Party, instance: Option<InstanceId>, verb: &str, detail: String) -> Result<(), Refused> {
        let id = self.crew.audit.len() as u64 + 1;
        self.crew.audit.push(AuditView {
            id,
            at: self.now,
            by,
            instance,
            verb: verb.to_owned(),
            detail,
        });
        Ok(())
    }
}

impl CrewReader for MemoryReader {
    fn instances(
        &mut self,
        filter: InstanceFilter,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<InstanceView>, Failure> {
        let world = &self.0.lock().world;
        let rows = world
            .crew
            .instances
            .values()
            .filter(|row| after.is_none_or(|after| row.id > after));
        let rows = rows.filter(|row| filter.below.is_none_or(|top| world.is_within(row.id, top)));
        let rows = rows.filter(|row| filter.ended || !row.stage.is_ended() || row.turn.is_some());
        Ok(rows.take(limit as usize).map(|row| world.view(row)).collect())
    }

    fn instance(&mut self, instance: InstanceId) -> Result<Option<InstanceView>, Failure> {
        let world = &self.0.lock().world;
        Ok(world.crew.instances.get(&instance).map(|row| world.view(row)))
    }

    fn messages(&mut self, filter: MessageFilter, limit: u32) -> Result<Vec<MessageView>, Failure> {
        let world = &self.0.lock().world;
        let messages = world.crew.messages.values().filter(|message| message.id > filter.after);
        let wanted = messages.filter(|message| {
            let unread = message.kind == MessageKind::Note && message.state == MessageState::Queued;
            filter
                .with
                .is_none_or(|with| message.from == with || message.to == with)
                && filter.to.is_none_or(|to| message.to == to)
                && (!filter.unread || unread)
        });
        Ok(wanted.take(limit as usize).cloned().collect())
    }

    fn message(&mut self, message: MessageId) -> Result<Option<MessageView>, Failure> {
        Ok(self.0.lock().world.crew.messages.get(&message).cloned())
    }

    fn crew_policy(&mut self) -> Result<CrewPolicy, Failure> {
        Ok(self.0.lock().world.crew.policy.clone())
    }

    fn coordination(&mut self, coordination: CoordinationId) -> Result<Option<Coordination>, Failure> {
        Ok(self.0.lock().world.crew.coordinations.get(&coordination).cloned())
    }

    fn audit(&mut self, after: u64, instance: Option<InstanceId>, limit: u32) -> Result<Vec<AuditView>, Failure> {
        let world = &self.0.lock().world;
        let lines = world.crew.audit.iter().filter(|line| line.id > after);
        let lines = lines.filter(|line| instance.is_none() || line.instance == instance);
        Ok(lines.take(limit as usize).cloned().collect())
    }

    fn instance_of_turn(&mut self, task: TaskId) -> Result<Option<InstanceId>, Failure> {
        let world = &self.0.lock().world;
        Ok(world
            .crew
            .instances
            .values()
            .find(|row| row.turn == Some(task))
            .map(|row| row.id))
    }
}
