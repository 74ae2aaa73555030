//! The store as a plain data structure: the model that real stores are compared with.
//!
//! It keeps the whole [store port](wheelhouse_core::store) in ordered maps behind a lock, so that an engine can run
//! on it in a simulation and a real store can be compared with it command by command. Opening "the same store" again
//! after a crash is [`Clone`]. It survives nothing else: that is what real stores are for.
//!
//! Where the port's contract leaves a choice, this is the choice:
//!
//! - **Becoming ready.** One door for all ways in: in a paused or interrupted run the task becomes held(paused); else,
//!   when it needs an approval that nobody has given, a question is asked and it becomes held(approval); else it is
//!   ready. An approval once given is never asked for again; one that was denied, or ended by a cancellation, is asked
//!   for again when the task is retried, so no task with `approval` ever starts unapproved.
//! - **Order of events within a command.** First what the command is about (`RunSubmitted`, `TasksAdded`, `RunPaused`,
//!   `AttemptEnded` …, `RunReopened` before all of them), then the task's own change, then its dependants, then tasks
//!   released because a running one left, `RunFinished` last. A question is asked before its task is held on it;
//!   `TaskReleased`, `TaskReturned` and `TaskRetried` come before the `TaskReady` or `TaskHeld` they lead to. Tasks that
//!   change together do so in ascending order of id, so question ids are predictable.
//! - **The end of a parent** concerns dependants that wait, and no others. The cause of a skip is the first blocking
//!   task in the order of `needs`, seen through to its root. A task's missing needs are those that are not done with
//!   success or `continues`; a retry of a parent that had let its dependants run makes those that still wait count it
//!   again.
//! - **Retry.** The agent stays, its tries are counted from the start. A task with a need that is done and stands in
//!   the way cannot be retried ([`Refused::Illegal`]); the need can. Un-skipped tasks say `TaskRetried` too, and are
//!   skipped again at once when another need of theirs stands in the way. A retry of a run with nothing to retry
//!   changes nothing.
//! - **Tries.** A task's try keeps what identifies it (session, process) however often it is begun; its end is the last
//!   one settled. A later [`AttemptStart`] adds to an earlier one, what it leaves out stays. The run's totals hold
//!   every end, those of repeated tries too.
//! - **Cancellation.** Requested twice is requested once. A task whose cancellation was requested ends as cancelled
//!   also when its worker gives it back or loses it, and whatever else the settlement with outcome `cancelled` says is
//!   next. A question ends with its task: it is no longer open and cannot be answered. A finished run and a task that
//!   is done cannot be cancelled.
//! - **Pause and resume.** Pausing an interrupted run makes it paused; pausing a paused run or resuming an active one
//!   changes nothing; a finished run refuses both. [`Command::Recover`] interrupts active runs with a task that is
//!   not done, before it returns tasks; an idle standing run has nothing to interrupt.
//! - **Time** never runs backwards: a clock that is set back is taken to be that much late from then on, so that
//!   waits last as long as they should.
//! - **Claims** look at caps first (a capped task stays ready and those behind it are looked at), then at write sets;
//!   the conflict named is the overlapping running task with the lowest id, of any run.
//!   At [`CONFLICT_HOLDS_MAX`] conflicts the claim ends with what it has.
//! - **Money** comes before write sets: a task without it is held, at most [`MONEY_HOLDS_MAX`] a claim. Agents whose account
//!   is used up are passed over. A reservation that is given back lets up to eight of those go on that wait for its
//!   budget, or up to 256 when nothing is reserved any more.
//! - **Chains** come before money: a task whose link is barred by a breaker (or by its account, under `reroute`) goes to the
//!   first later link that is free, else it is held, at most [`BARRED_HOLDS_MAX`] a claim. The end of a probe releases
//!   those that its breaker holds, in the order of their ids.
//! - **Pruning** removes every artifact that no task refers to, by any settlement it ever had.
//! - **Submissions** whose tasks need each other in a circle are refused. Adding no tasks changes nothing.

mod apply;
mod chain;
mod check;
mod claim;
mod clock;
mod crew;
mod flow;
mod money;
mod read;
mod runs;
mod settle;
mod submit;
mod sums;
mod world;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(doc)]
use wheelhouse_core::store::AttemptStart;
use wheelhouse_core::store::{Command, Failure, Fault, Reader, Refused, Reply, Store};

pub use clock::TestClock;
use world::World;

use crate::conformance::{Bench, Factory};

/// How many tasks one claim holds because there is no money for them at the most.
pub const MONEY_HOLDS_MAX: usize = 256;

/// How many tasks one claim holds because nobody of their chains can be asked at the most.
pub const BARRED_HOLDS_MAX: usize = 256;

/// How many tasks one claim holds because of write sets at the most, so that a claim stays short.
pub const CONFLICT_HOLDS_MAX: usize = 256;

/// The store port in memory. A clone is the same store, opened once more.
#[derive(Clone)]
pub struct MemoryStore {
    clock: TestClock,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    world: World,
    faults: VecDeque<(FailWhen, FailAs)>,
    commits: u64,
}

/// When a commit is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailWhen {
    /// Nothing of the batch is applied.
    BeforeCommit,
    /// The batch is applied and its caller does not learn of it, as when the power goes between the two.
    AfterCommit,
}

/// What the caller of a lost commit is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailAs {
    /// [`Failure::Full`].
    Full,
    /// [`Failure::Busy`].
    Busy,
    /// [`Failure::Damaged`].
    Damaged,
    /// [`Failure::Io`].
    Io,
}

impl MemoryStore {
    /// An empty store that tells the time by `clock`.
    pub fn new(clock: TestClock) -> Self {
        static BORN: AtomicU64 = AtomicU64::new(1);
        let store_id = format!("memory-{}", BORN.fetch_add(1, Ordering::Relaxed));
        MemoryStore {
            clock,
            inner: Arc::new(Mutex::new(Inner {
                world: World::new(store_id),
                faults: VecDeque::new(),
                commits: 0,
            })),
        }
    }

    /// Lets the next commit that has no fault planned yet fail. Faults wait in line, one a commit.
    pub fn fail_next(&self, when: FailWhen, kind: FailAs) {
        self.lock().faults.push_back((when, kind));
    }

    /// How many batches were applied.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Counts everything again and says what does not add up; empty when all is well. Slow.
    pub fn check(&self) -> Vec<Fault> {
        self.lock().world.check()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Result<Reply, Refused>>, Failure> {
        let reading = self.clock.now();
        let mut inner = self.lock();
        let now = inner.world.time(reading);
        let fault = inner.faults.pop_front();
        if let Some((FailWhen::BeforeCommit, kind)) = fault {
            return Err(kind.failure());
        }
        let answers = batch.iter().map(|command| inner.world.apply(now, command)).collect();
        inner.commits += 1;
        match fault {
            Some((_, kind)) => Err(kind.failure()),
            None => Ok(answers),
        }
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Failure> {
        Ok(Box::new(read::MemoryReader(self.clone())))
    }
}

/// Nothing is lost with the process that holds it: the next one opens the same maps.
impl Bench for MemoryStore {
    fn store(&mut self) -> &mut dyn Store {
        self
    }

    fn reopen(&mut self) {}
}

/// Makes memory stores for the suite, and the `a` of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

impl Factory for Memory {
    fn open(&self, clock: TestClock) -> Box<dyn Bench> {
        Box::new(MemoryStore::new(clock))
    }
}

impl FailAs {
    fn failure(self) -> Failure {
        let source = || Box::<dyn std::error::Error + Send + Sync>::from("a fault the test asked for");
        match self {
            FailAs::Full => Failure::Full(source()),
            FailAs::Busy => Failure::Busy(source()),
            FailAs::Damaged => Failure::Damaged("a fault the test asked for".to_owned()),
            FailAs::Io => Failure::Io(source()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::build::{run, task};

    fn submit() -> Vec<Command> {
        vec![Command::SubmitRun {
            run: run("r"),
            tasks: vec![task("a")],
        }]
    }

    #[test]
    fn a_commit_lost_before_it_happened_leaves_nothing() {
        let mut store = MemoryStore::new(TestClock::new());
        store.fail_next(FailWhen::BeforeCommit, FailAs::Full);
        assert!(matches!(store.commit(&submit()), Err(Failure::Full(_))));
        assert!(store.reader().unwrap().runs(9).unwrap().is_empty());
        assert!(store.commit(&submit()).is_ok());
    }

    #[test]
    fn a_commit_lost_after_it_happened_is_there_for_the_successor() {
        let mut store = MemoryStore::new(TestClock::new());
        let successor = store.clone();
        store.fail_next(FailWhen::AfterCommit, FailAs::Io);
        assert!(matches!(store.commit(&submit()), Err(Failure::Io(_))));
        assert_eq!(successor.reader().unwrap().runs(9).unwrap().len(), 1);
        assert_eq!(successor.commits(), 1);
    }
}
