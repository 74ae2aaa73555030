//! What a store keeps for the crew: rows, and the few things that can be done with them inside its transaction.

use std::sync::Arc;

use crate::budget::Scope;
use crate::coordinate::Coordination;
use crate::crew::{CrewPolicy, Refusal};
use crate::event::Happened;
use crate::ids::{CoordinationId, InstanceId, MessageId, RunId, TaskId};
use crate::instance::{InstanceSpec, Rights, Stage};
use crate::message::{MessageView, Party};
use crate::outcome::Outcome;
use crate::spec::{RunSpec, TaskSpec};
use crate::time::Millis;
use crate::usage::Usage;

/// An instance as it is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct InstanceRow {
    /// Its id.
    pub id: InstanceId,
    /// The run of its tree.
    pub run: RunId,
    /// Its parent.
    pub parent: Option<InstanceId>,
    /// How far below its root.
    pub depth: u32,
    /// What it is. Never changed.
    pub spec: Arc<InstanceSpec>,
    /// What it may do with others. Never changed.
    pub rights: Arc<Rights>,
    /// The key of whoever spawned it. Never changed.
    pub key: Option<String>,
    /// Where it stands.
    pub stage: Stage,
    /// The task of the open turn.
    pub turn: Option<TaskId>,
    /// The message it answers.
    pub message: Option<MessageId>,
    /// A person must approve it before it starts, and nobody has done so yet.
    pub unapproved: bool,
    /// Its open turn was asked to stop.
    pub interrupted: bool,
    /// How many turns are done.
    pub turns: u32,
    /// How many requests wait in its mailbox.
    pub queued: u32,
    /// How many notes in it are unread.
    pub notes: u32,
    /// The first request of its mailbox, when nothing but a place keeps it from its turn.
    pub wants: Option<MessageId>,
    /// How many instances below it are at work or have requests waiting.
    pub active_below: u32,
    /// Its session.
    pub session: Option<String>,
    /// How its last turn ended.
    pub last_outcome: Option<Outcome>,
    /// What its turns consumed.
    pub usage: Usage,
    /// What they cost, as far as that is known.
    pub cost_nano: u64,
    /// How many tries have a cost nobody knows.
    pub cost_unknown: u64,
    /// When it was spawned.
    pub spawned_at: Millis,
    /// When something last happened to it.
    pub active_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

impl InstanceRow {
    /// Whether it is at work or has something to do: then those above it lend their places.
    pub fn is_active(&self) -> bool {
        !self.stage.is_ended() && (self.stage == Stage::Busy || self.queued > 0)
    }
}

/// One transaction on the rows of the crew. Implemented by each store; the rules are in this module's neighbours.
pub trait Rows {
    /// Why a command does not go through.
    type Error: From<Refusal>;

    /// The moment of this commit.
    fn now(&self) -> Millis;
    /// The running policy.
    fn policy(&mut self) -> Result<CrewPolicy, Self::Error>;
    /// Keeps the policy.
    fn put_policy(&mut self, policy: &CrewPolicy) -> Result<(), Self::Error>;

    /// The next number for an instance.
    fn new_instance(&mut self) -> Result<InstanceId, Self::Error>;
    /// Keeps a new instance.
    fn add_instance(&mut self, row: &InstanceRow) -> Result<(), Self::Error>;
    /// One instance.
    fn find_instance(&mut self, id: InstanceId) -> Result<Option<InstanceRow>, Self::Error>;
    /// Keeps what changed of an instance.
    fn put_instance(&mut self, row: &InstanceRow) -> Result<(), Self::Error>;
    /// The instance spawned by that party (its parent) under that key.
    fn instance_by_key(&mut self, parent: Option<InstanceId>, key: &str) -> Result<Option<InstanceId>, Self::Error>;
    /// Its children that have not ended, oldest first.
    fn children(&mut self, parent: InstanceId) -> Result<Vec<InstanceId>, Self::Error>;
    /// Roots that have not ended, oldest first.
    fn roots(&mut self) -> Result<Vec<InstanceId>, Self::Error>;
    /// How many instances have not ended.
    fn live(&mut self) -> Result<u32, Self::Error>;
    /// How many have an open turn and nobody active below.
    fn at_work(&mut self) -> Result<u32, Self::Error>;
    /// How many children of an instance have an open turn and nobody active below.
    fn children_at_work(&mut self, parent: InstanceId) -> Result<u32, Self::Error>;
    /// Those without an open turn that [want](InstanceRow::wants) one, the deepest first, then the oldest message;
    /// `skip` of them left out, at most `limit`.
    fn wanting(&mut self, skip: u32, limit: u32) -> Result<Vec<InstanceId>, Self::Error>;
    /// Idle (or with `suspended` suspended) instances with empty mailboxes and nobody active below, longest idle first,
    /// with the moment they were last active; at most `limit`.
    fn idle(&mut self, suspended: bool, limit: u32) -> Result<Vec<(InstanceId, Millis)>, Self::Error>;
    /// The instance whose open turn this task is.
    fn instance_of_turn(&mut self, task: TaskId) -> Result<Option<InstanceId>, Self::Error>;

    /// The next number for a message.
    fn new_message(&mut self) -> Result<MessageId, Self::Error>;
    /// Keeps a new message.
    fn add_message(&mut self, message: &MessageView) -> Result<(), Self::Error>;
    /// One message.
    fn find_message(&mut self, id: MessageId) -> Result<Option<MessageView>, Self::Error>;
    /// Keeps the state of a message and when it was over.
    fn put_message(&mut self, message: &MessageView) -> Result<(), Self::Error>;
    /// The message of that sender under that key.
    fn message_by_key(&mut self, from: Party, key: &str) -> Result<Option<MessageId>, Self::Error>;
    /// How many notes to a person are unread.
    fn notes_to_person(&mut self) -> Result<u32, Self::Error>;
    /// The oldest request that waits in a mailbox.
    fn head(&mut self, to: InstanceId) -> Result<Option<MessageId>, Self::Error>;
    /// Everything that waits in a mailbox, requests and notes.
    fn waiting(&mut self, to: InstanceId) -> Result<Vec<MessageId>, Self::Error>;
    /// The instances with a request in their mailbox that comes after this message.
    fn waiting_for(&mut self, message: MessageId) -> Result<Vec<InstanceId>, Self::Error>;

    /// Makes a standing run for a new tree.
    fn new_run(&mut self, run: &RunSpec) -> Result<RunId, Self::Error>;
    /// The run gets no more tasks: it finishes with its last one.
    fn close_run(&mut self, run: RunId) -> Result<(), Self::Error>;
    /// Adds the task of a turn.
    fn open_turn(&mut self, run: RunId, task: &TaskSpec) -> Result<TaskId, Self::Error>;
    /// Asks a running turn to stop, with its session kept (true); one that does not run is cancelled at once (false).
    fn interrupt_turn(&mut self, task: TaskId) -> Result<bool, Self::Error>;
    /// Cancels a turn.
    fn stop_turn(&mut self, task: TaskId) -> Result<(), Self::Error>;
    /// Whether the task needed no approval or got it.
    fn is_approved(&mut self, task: TaskId) -> Result<bool, Self::Error>;

    /// The next number for a coordination.
    fn new_coordination(&mut self) -> Result<CoordinationId, Self::Error>;
    /// Keeps a coordination.
    fn add_coordination(&mut self, coordination: &Coordination) -> Result<(), Self::Error>;

    /// What this budget allows from now on; none takes the limit away. A budget of all instances together begins anew.
    fn limit_money(&mut self, scope: Scope, nano: Option<u64>) -> Result<(), Self::Error>;

    /// Appends to the history.
    fn happened(&mut self, run: RunId, task: Option<TaskId>, happened: Happened) -> Result<(), Self::Error>;
    /// Appends to the audit log.
    fn audit(&mut self, by: Party, instance: Option<InstanceId>, verb: &str, detail: String)
    -> Result<(), Self::Error>;
}
