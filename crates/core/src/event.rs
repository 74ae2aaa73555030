//! What happened, in the past tense. Appended in the same transaction as the change it tells of.

use serde::{Deserialize, Serialize};

use crate::budget::Scope;
use crate::ids::{AgentName, AttemptNumber, Cursor, Fence, InstanceId, MessageId, QuestionId, RunId, TaskId};
use crate::instance::End;
use crate::message::{MessageKind, Party};
use crate::outcome::Outcome;
use crate::question::QuestionKind;
use crate::task::Held;
use crate::time::Millis;
use crate::usage::{Cost, Usage};

/// One event of the history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the history; ascending without reuse.
    pub cursor: Cursor,
    /// When, by the store's clock.
    pub at: Millis,
    /// The run it belongs to.
    pub run: RunId,
    /// The task, when it is about one.
    pub task: Option<TaskId>,
    /// What happened.
    #[serde(flatten)]
    pub happened: Happened,
}

/// Everything that can have happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happened {
    /// A run was accepted with so many tasks.
    RunSubmitted {
        /// Its name.
        name: String,
        /// How many tasks it began with.
        tasks: u64,
    },
    /// Tasks were added to an open run.
    TasksAdded {
        /// How many.
        tasks: u64,
    },
    /// A run was paused: nothing of it starts.
    RunPaused {
        /// By a person, or because its engine went away.
        interrupted: bool,
    },
    /// A paused run goes on.
    RunResumed,
    /// A person stopped the run.
    RunCancelled,
    /// Every task of the run is done.
    RunFinished {
        /// Tasks that succeeded.
        succeeded: u64,
        /// Tasks that did not.
        failed: u64,
    },
    /// A finished run was opened again by a retry or by new tasks.
    RunReopened,
    /// Everything the task needs is there.
    TaskReady,
    /// A worker took the task and is about to start (or repeat) this try.
    TaskClaimed {
        /// The try.
        attempt: AttemptNumber,
        /// The fence that its writes carry.
        fence: Fence,
        /// Who is to do it.
        agent: AgentName,
    },
    /// The try is under way.
    AttemptStarted {
        /// The try.
        attempt: AttemptNumber,
        /// The backend's session, where there is one.
        session: Option<String>,
        /// The operating system process, where there is one.
        pid: Option<u32>,
    },
    /// Something the agent reported that is worth keeping (a tool call, a notice); bounded.
    AttemptReported {
        /// The try.
        attempt: AttemptNumber,
        /// What kind of report.
        kind: String,
        /// Bounded text.
        text: String,
    },
    /// The try ended.
    AttemptEnded {
        /// The try.
        attempt: AttemptNumber,
        /// How.
        outcome: Outcome,
        /// What it consumed.
        usage: Usage,
        /// What it cost.
        cost: Cost,
    },
    /// A try that was given back or lost had consumed this.
    SpendingBooked {
        /// The try.
        attempt: AttemptNumber,
        /// What it consumed.
        usage: Usage,
        /// What it cost.
        cost: Cost,
    },
    /// Most of a budget is used.
    BudgetWarned {
        /// Which.
        scope: Scope,
        /// What is used, assumptions included.
        used_nano: u64,
        /// Of how much.
        limit_nano: u64,
    },
    /// A person said what they think of the work.
    TaskRated {
        /// From 1 to 5.
        stars: u8,
        /// Their words.
        words: String,
    },
    /// The task cannot go on now.
    TaskHeld {
        /// Why.
        held: Held,
    },
    /// The thing the task waited for came.
    TaskReleased,
    /// A lease was given back or ran out; the try will be repeated under a new fence.
    TaskReturned {
        /// The fence that is void now.
        fence: Fence,
        /// Why.
        why: String,
    },
    /// A workflow goes on with new children, or waits for those it has.
    TaskAwaits {
        /// How many children it added.
        added: u32,
        /// How many of its children must end before it looks again.
        pending: u32,
    },
    /// The task is over.
    TaskDone {
        /// How it came out.
        outcome: Outcome,
        /// Whether dependants run although it failed.
        continues: bool,
    },
    /// A person wants the task tried again.
    TaskRetried,
    /// Stopping a running task was asked for.
    CancelRequested,
    /// A person is asked.
    QuestionAsked {
        /// The question.
        question: QuestionId,
        /// What kind.
        kind: QuestionKind,
        /// The words.
        text: String,
    },
    /// A person put words into the running try.
    TaskSteered {
        /// The words.
        words: String,
    },
    /// The question was answered.
    QuestionAnswered {
        /// The question.
        question: QuestionId,
        /// The answer.
        answer: String,
    },
    /// An instance was spawned. The run is its tree's.
    InstanceSpawned {
        /// The instance.
        instance: InstanceId,
        /// The one that spawned it; none when a person did.
        parent: Option<InstanceId>,
        /// What people call it.
        name: String,
        /// Who does its turns.
        agent: AgentName,
    },
    /// An instance was put aside until a message comes.
    InstanceSuspended {
        /// The instance.
        instance: InstanceId,
    },
    /// A suspended instance was taken up again without a message.
    InstanceResumed {
        /// The instance.
        instance: InstanceId,
    },
    /// An instance is over.
    InstanceEnded {
        /// The instance.
        instance: InstanceId,
        /// Why.
        end: End,
    },
    /// A message was put into a mailbox.
    MessageSent {
        /// The message.
        message: MessageId,
        /// Who sent it.
        from: Party,
        /// Whom it is for.
        to: Party,
        /// What it wants.
        kind: MessageKind,
    },
    /// Somebody wants the turn to stop; the instance stays.
    InterruptRequested,
}

impl Happened {
    /// The stable name of the kind, the same as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Happened::RunSubmitted { .. } => "run_submitted",
            Happened::TasksAdded { .. } => "tasks_added",
            Happened::RunPaused { .. } => "run_paused",
            Happened::RunResumed => "run_resumed",
            Happened::RunCancelled => "run_cancelled",
            Happened::RunFinished { .. } => "run_finished",
            Happened::RunReopened => "run_reopened",
            Happened::TaskReady => "task_ready",
            Happened::TaskClaimed { .. } => "task_claimed",
            Happened::AttemptStarted { .. } => "attempt_started",
            Happened::AttemptReported { .. } => "attempt_reported",
            Happened::AttemptEnded { .. } => "attempt_ended",
            Happened::SpendingBooked { .. } => "spending_booked",
            Happened::BudgetWarned { .. } => "budget_warned",
            Happened::TaskRated { .. } => "task_rated",
            Happened::TaskHeld { .. } => "task_held",
            Happened::TaskReleased => "task_released",
            Happened::TaskReturned { .. } => "task_returned",
            Happened::TaskAwaits { .. } => "task_awaits",
            Happened::TaskDone { .. } => "task_done",
            Happened::TaskRetried => "task_retried",
            Happened::CancelRequested => "cancel_requested",
            Happened::QuestionAsked { .. } => "question_asked",
            Happened::TaskSteered { .. } => "task_steered",
            Happened::QuestionAnswered { .. } => "question_answered",
            Happened::InstanceSpawned { .. } => "instance_spawned",
            Happened::InstanceSuspended { .. } => "instance_suspended",
            Happened::InstanceResumed { .. } => "instance_resumed",
            Happened::InstanceEnded { .. } => "instance_ended",
            Happened::MessageSent { .. } => "message_sent",
            Happened::InterruptRequested => "interrupt_requested",
        }
    }
}
