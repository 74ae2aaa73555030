//! The crew: every instance there is, what may be asked of it, and the rules by which it is done.
//!
//! [`Command`]s come in through [`crate::store::Command::Crew`]; [`apply`](fn@apply) carries them out on [`Rows`], which each store
//! implements inside its transaction. So the rules stand here once, and the stores only keep rows. Who asks is a
//! [`Party`], resolved from a token by the caller of the store, never taken from a message.
//!
//! Places: at most [`CrewPolicy::max_instances`] instances are at work at a time; what wants a turn beyond that waits,
//! the deepest of the tree first, then the oldest message. An instance at work that has somebody at work or waiting
//! below it lends its place to them, so that a tree of waiting parents can never block its own children.

mod apply;
mod control;
mod mail;
mod policy;
mod rows;
mod spawn;
mod turns;

use serde::{Deserialize, Serialize};

use crate::coordinate::Coordination;
use crate::ids::{AgentName, CoordinationId, InstanceId, MessageId, TaskId};
use crate::instance::{InstanceSpec, InstanceView, Rights};
use crate::message::{MessageKind, MessageView, Party};
use crate::store::Failure;
use crate::time::Millis;

pub use apply::apply;
pub use policy::{CrewPolicy, Notify, PolicyChange, model_fits};
pub use rows::{InstanceRow, Rows};
pub use turns::{approval_text, claimed_session, expire, next_expiry, session_known, spent, turn_closed};

/// Something asked of the crew.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Make an instance. → [`Reply::Spawned`]
    Spawn(Box<Spawn>),
    /// Put a message into a mailbox. → [`Reply::Sent`]
    Send(Box<Send>),
    /// Notes were read. → [`Reply::Done`]
    Read {
        /// Whose mailbox.
        by: Party,
        /// The notes; those that are not unread notes of that mailbox are passed over.
        messages: Vec<MessageId>,
    },
    /// Stop the turn of an instance; the instance and its session stay. → [`Reply::Interrupted`]
    Interrupt {
        /// Who wants it.
        by: Party,
        /// Whose turn.
        instance: InstanceId,
        /// Also drop what waits in its mailbox.
        clear: bool,
    },
    /// End an instance and everything below it, the deepest first. → [`Reply::Ended`]
    Terminate {
        /// Who wants it.
        by: Party,
        /// Which.
        instance: InstanceId,
    },
    /// Put an idle instance aside; a message wakes it. → [`Reply::Done`]
    Suspend {
        /// Who wants it.
        by: Party,
        /// Which.
        instance: InstanceId,
    },
    /// Take a suspended instance up again. → [`Reply::Done`]
    Resume {
        /// Who wants it.
        by: Party,
        /// Which.
        instance: InstanceId,
    },
    /// Change the running policy. → [`Reply::Done`]
    SetPolicy {
        /// Who wants it; a person.
        by: Party,
        /// What, in order.
        changes: Vec<PolicyChange>,
    },
    /// Stop many at once. → [`Reply::Ended`] with those that ended, or [`Reply::Stopped`]
    Stop {
        /// Who wants it: an instance stops only what is below it.
        by: Party,
        /// What.
        what: StopWhat,
    },
    /// Give one piece of work to several. → [`Reply::Coordinated`]
    Coordinate(Box<Coordinate>),
    /// A tool of another MCP server was called: keep who did it in the audit log. → [`Reply::Done`]
    Used {
        /// Who called it.
        by: Party,
        /// `SERVER/TOOL`, how it came out and how long it took; never what it was given or answered.
        detail: String,
    },
}

/// What [`Command::Stop`] stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhat {
    /// Every open turn, and what waits in the mailboxes. The instances stay.
    Turns,
    /// Every instance; and nothing is spawned until the policy says so again.
    Orchestration,
}

/// A new instance.
#[derive(Clone, PartialEq, Debug)]
pub struct Spawn {
    /// Who wants it. An instance spawns below itself.
    pub by: Party,
    /// Whose child it becomes, when not the caller's: an instance below the caller.
    pub parent: Option<InstanceId>,
    /// What it is.
    pub spec: InstanceSpec,
    /// What it may do with others; narrowed to what its parent may.
    pub rights: Rights,
    /// Its first message.
    pub prompt: Option<String>,
    /// The caller's own id for this: the same again is the same instance.
    pub key: Option<String>,
}

/// A message to be sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Send {
    /// Who sends it.
    pub from: Party,
    /// Whom it is for.
    pub to: Party,
    /// What it wants.
    pub kind: MessageKind,
    /// The words.
    pub text: String,
    /// The message it replies to.
    pub correlation: Option<MessageId>,
    /// Messages that must be over before.
    pub after: Vec<MessageId>,
    /// The sender's own id for it: the same again is the same message.
    pub key: Option<String>,
}

/// One piece of work for several.
#[derive(Clone, PartialEq, Debug)]
pub struct Coordinate {
    /// Who wants it.
    pub by: Party,
    /// How they work together.
    pub mode: crate::coordinate::Mode,
    /// Who takes part, in order.
    pub seats: Vec<NewSeat>,
    /// What it is about.
    pub text: String,
}

/// One who takes part.
#[derive(Clone, PartialEq, Debug)]
pub struct NewSeat {
    /// An instance that is there, or one to be made for this.
    pub who: Who,
    /// Who stands behind its agent: a quorum counts these.
    pub vendor: String,
}

/// A seat's instance.
#[derive(Clone, PartialEq, Debug)]
pub enum Who {
    /// One that is there.
    There(InstanceId),
    /// One to be made; it ends with its answer.
    New(Box<InstanceSpec>),
}

/// The answer to a [`Command`].
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// The instance, and its first message when it got one.
    Spawned {
        /// The instance.
        instance: InstanceId,
        /// Its first message.
        message: Option<MessageId>,
        /// It was there already, by its key.
        repeated: bool,
    },
    /// The message.
    Sent {
        /// Its id.
        message: MessageId,
        /// It was there already, by its key.
        repeated: bool,
    },
    /// What there was to interrupt.
    Interrupted {
        /// The message whose turn it was; none: nothing was under way.
        message: Option<MessageId>,
        /// Whether an agent is at work on it and was asked to stop; the message tells how that came out.
        asked: bool,
    },
    /// Instances that ended, in the order in which they did.
    Ended {
        /// Which.
        instances: Vec<InstanceId>,
    },
    /// Messages whose turns were stopped.
    Stopped {
        /// Which.
        messages: Vec<MessageId>,
    },
    /// The coordination.
    Coordinated {
        /// Its id.
        coordination: CoordinationId,
        /// Who takes part, in the order of the seats.
        instances: Vec<InstanceId>,
        /// What they were sent.
        messages: Vec<MessageId>,
    },
}

/// Why something asked of the crew was not done.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such instance.
    #[error("there is no instance {0}")]
    NoSuchInstance(InstanceId),
    /// There is no such message.
    #[error("there is no message {0}")]
    NoSuchMessage(MessageId),
    /// The instance is not below the one that asks.
    #[error("{by} may only touch instances below itself, and {instance} is not one of them")]
    NotBelow {
        /// Who asked.
        by: Party,
        /// About whom.
        instance: InstanceId,
    },
    /// It is over.
    #[error("instance {instance} has ended")]
    Ended {
        /// Which.
        instance: InstanceId,
    },
    /// The caller may not do this at all.
    #[error("{by} may not {what}")]
    NotAllowed {
        /// Who asked.
        by: Party,
        /// What for, as it fits behind "may not".
        what: String,
    },
    /// A person stopped all orchestration.
    #[error("orchestration is stopped; `wheelhouse policy set orchestration=on` starts it again")]
    OrchestrationOff,
    /// The tree would become too deep.
    #[error("an instance at depth {depth} is too deep; `depth_max` of the policy is {max}")]
    TooDeep {
        /// How deep it would be.
        depth: u32,
        /// The limit.
        max: u32,
    },
    /// There are too many instances that have not ended.
    #[error("there are {max} instances that have not ended, which is `live_max` of the policy; terminate some")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The policy or the parent's rights do not allow the model.
    #[error("the model `{model}` is not allowed; allowed: {}", allowed.join(", "))]
    ModelNotAllowed {
        /// What was asked for.
        model: String,
        /// What would do.
        allowed: Vec<String>,
    },
    /// The parent's rights do not allow the agent.
    #[error("the agent `{agent}` is not allowed; allowed: {}", allowed.join(", "))]
    AgentNotAllowed {
        /// What was asked for.
        agent: AgentName,
        /// What would do.
        allowed: Vec<String>,
    },
    /// The mailbox is full.
    #[error("the mailbox of {to} is full: {max} messages wait there, which is `mailbox_max` of the policy")]
    MailboxFull {
        /// Whose.
        to: Party,
        /// The limit.
        max: u32,
    },
    /// The message is too long.
    #[error("the message has {bytes} bytes; `message_bytes_max` of the policy is {max}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The key was used for something else.
    #[error("the key `{key}` was used before for something else ({was})")]
    KeyReused {
        /// The key.
        key: String,
        /// For what.
        was: String,
    },
    /// The state or the input does not allow it.
    #[error("{0}")]
    Illegal(String),
}

/// One line of the audit log: what was done to the crew, by whom. Never holds words of messages, environments or keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditView {
    /// Its number, ascending.
    pub id: u64,
    /// When.
    pub at: Millis,
    /// Who did it.
    pub by: Party,
    /// To which instance.
    pub instance: Option<InstanceId>,
    /// What, as one word: `spawn`, `send`, `interrupt`, `terminate`, …
    pub verb: String,
    /// More about it; bounded.
    pub detail: String,
}

/// Which instances are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InstanceFilter {
    /// Only this one and those below it.
    pub below: Option<InstanceId>,
    /// Those that have ended too.
    pub ended: bool,
}

/// Which messages are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageFilter {
    /// Only those from or to this party.
    pub with: Option<Party>,
    /// Only those to this party.
    pub to: Option<Party>,
    /// Only notes that nobody has read.
    pub unread: bool,
    /// Only those that came later.
    pub after: MessageId,
}

/// The reading half of the crew, a part of [`crate::store::Reader`].
pub trait CrewReader {
    /// Instances in the order in which they were spawned, after `after`, at most `limit`.
    fn instances(
        &mut self,
        filter: InstanceFilter,
        after: Option<InstanceId>,
        limit: u32,
    ) -> Result<Vec<InstanceView>, Failure>;
    /// One instance.
    fn instance(&mut self, instance: InstanceId) -> Result<Option<InstanceView>, Failure>;
    /// Messages, oldest first, at most `limit`.
    fn messages(&mut self, filter: MessageFilter, limit: u32) -> Result<Vec<MessageView>, Failure>;
    /// One message.
    fn message(&mut self, message: MessageId) -> Result<Option<MessageView>, Failure>;
    /// The running policy.
    fn crew_policy(&mut self) -> Result<CrewPolicy, Failure>;
    /// One coordination.
    fn coordination(&mut self, coordination: CoordinationId) -> Result<Option<Coordination>, Failure>;
    /// Lines of the audit log after the `after`th, oldest first, at most `limit`; of one instance or of all.
    fn audit(&mut self, after: u64, instance: Option<InstanceId>, limit: u32) -> Result<Vec<AuditView>, Failure>;
    /// The instance whose open turn this task is.
    fn instance_of_turn(&mut self, task: TaskId) -> Result<Option<InstanceId>, Failure>;
}
