//! What the dispatcher is told, what it wants done, and what it works within.

use std::sync::Arc;

use wheelhouse_core::agent::{Ended, Order};
use wheelhouse_core::budget::Terms;
use wheelhouse_core::ids::{Lease, OwnerId};
use wheelhouse_core::ledger::{Reading, Spending};
use wheelhouse_core::question::QuestionKind;
use wheelhouse_core::quota::Allowance;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{AttemptStart, Cap, Claimed, Command, EndedBy, Failure, Next, Refused, Reply};

use crate::workflow::Stepped;

/// What a dispatcher works within.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Whose leases these are.
    pub owner: OwnerId,
    /// How many tries run at a time.
    pub parallel_max: u32,
    /// Limits over agents and accounts.
    pub caps: Vec<Cap>,
    /// Whether open runs of an engine that is gone go on at once, or wait for `resume`.
    pub go_on: bool,
    /// When to end.
    pub until: Until,
    /// What claims need to know about money.
    pub terms: Arc<Terms>,
}

/// When an engine ends by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// When no task can go on without a person: nothing runs, nothing is ready, no wait ends by itself.
    NothingLeft,
    /// Never; it waits for new work.
    Stopped,
}

/// What an engine is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopSignal {
    /// Start nothing more, ask the agents to end, return their tasks.
    Ask,
    /// The same, but kill the agents at once.
    Kill,
}

/// What a try came to.
#[derive(Debug)]
pub struct Tried {
    /// How it ended.
    pub ended: Box<Ended>,
    /// The tasks a planner returned.
    pub new_tasks: Vec<TaskSpec>,
    /// What is booked for it.
    pub spending: Spending,
    /// Whose doing the end was.
    pub by: EndedBy,
}

impl Tried {
    /// One whose end is our doing.
    pub(crate) fn by_the_house(ended: Box<Ended>) -> Tried {
        Tried {
            ended,
            new_tasks: Vec::new(),
            spending: Spending::default(),
            by: EndedBy::House,
        }
    }
}

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// The commit in flight ended; the batch comes back with its answers, or with what went wrong.
    Committed {
        /// The commands, unchanged.
        batch: Vec<Command>,
        /// Their answers in order, or a failure that applied none of them.
        answers: Result<Vec<Result<Reply, Refused>>, Failure>,
    },
    /// A try is under way.
    AttemptStarted {
        /// Its lease.
        lease: Lease,
        /// What identifies it.
        start: AttemptStart,
    },
    /// A try reported something worth keeping.
    AttemptReported {
        /// Its lease.
        lease: Lease,
        /// What kind of report.
        kind: String,
        /// Bounded text.
        text: String,
    },
    /// A try asks a person.
    AttemptAsked {
        /// Its lease.
        lease: Lease,
        /// What kind of question.
        kind: QuestionKind,
        /// The backend's id of the request.
        request: String,
        /// Bounded words.
        text: String,
    },
    /// Nobody answered a request in time; the try gave itself the safe answer.
    AttemptDefaulted {
        /// Its lease.
        lease: Lease,
        /// The backend's id of the request.
        request: String,
        /// The answer it gave itself.
        answer: String,
    },
    /// A try ended.
    AttemptEnded {
        /// Its lease.
        lease: Lease,
        /// What it came to.
        tried: Tried,
    },
    /// A workflow goes on with new children, or waits for those it has.
    WorkflowAwaits {
        /// Its lease.
        lease: Lease,
        /// The new children.
        children: Vec<TaskSpec>,
        /// How many may be open when it looks again.
        open_max: u32,
    },
    /// A workflow is over.
    WorkflowEnded {
        /// Its lease.
        lease: Lease,
        /// How.
        ended: Box<Ended>,
        /// What becomes of its task: the rounds were its own.
        next: Next,
    },
    /// What a try has consumed so far, and how much it would like to have.
    AttemptMetered {
        /// Its lease.
        lease: Lease,
        /// So far.
        reading: Box<Reading>,
    },
    /// A provider's limit came into sight.
    Limited(Allowance),
    /// Somebody else changed the store.
    Nudged,
    /// Somebody wants the engine to end.
    Stop(StopSignal),
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Commit these; answer with [`Input::Committed`]. At most one is in flight.
    Commit(Vec<Command>),
    /// Begin a try; it ends with [`Input::AttemptEnded`], whatever happens.
    Begin(Arc<Claimed>),
    /// Tell the try of that lease.
    Order(Lease, Order),
    /// Tell the try of that lease how much it may consume; nothing when no budget concerns it.
    Grant(Lease, Option<u64>),
    /// Something worth a line for people.
    Notice(String),
    /// The store changed: wake those who follow.
    News,
    /// The engine is at its end; nothing runs any more.
    End(Ending),
}

/// How an engine ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Nothing is left that could go on without a person.
    NothingLeft,
    /// It was told to stop; so many tries were cut short and their tasks returned.
    Stopped {
        /// How many.
        returned: usize,
    },
    /// The store failed in a way that no repetition mends.
    Broken(String),
}

impl Input {
    /// What a step of a workflow came to.
    pub(crate) fn stepped(lease: Lease, stepped: Stepped) -> Input {
        match stepped {
            Stepped::Awaits { children, open_max } => Input::WorkflowAwaits {
                lease,
                children,
                open_max,
            },
            Stepped::Over { ended, next } => Input::WorkflowEnded { lease, ended, next },
        }
    }
}
