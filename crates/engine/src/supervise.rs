//! The only room that spawns: the writer thread, one task a try, one task a follower.
//!
//! | kind | its error means | its cancellation means |
//! |---|---|---|
//! | writer | an [`Input::Committed`] with the failure; the dispatcher decides | the engine is at its end, nothing is queued |
//! | try | an [`Input::AttemptEnded`]; a panic in a backend is a crashed try, not a crashed engine | the agent's processes are killed |
//! | hands | a panic in one is a panic of whoever asked | there is none: the caller waits for all of them |
//! | merger | its panic fails the tries that wait in its line | git's own: branches move in single steps |
//! | nudges | a follower went away | the engine is at its end |

use std::sync::Arc;
use std::thread;

use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use wheelhouse_core::agent::Ended;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Claimed, Command, EndedBy, Next, Store};

use crate::attempt::Word;
use crate::dispatch::{Input, Tried};
use crate::fault::{self, Fault};
use crate::prepare::World;
use crate::workflow::{self, Stepped};
use crate::{attempt, nudge};

/// How many orders a try may be behind before further ones are dropped; it needs one to stop.
const ORDERS_MAX: usize = 16;

/// The thread that owns the store. One batch at a time.
pub(crate) struct Writer {
    batches: Option<std::sync::mpsc::Sender<Vec<Command>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Hands over a batch; the answer comes as an [`Input::Committed`].
    pub(crate) fn commit(&self, batch: Vec<Command>) {
        if let Some(batches) = &self.batches {
            // The thread only ends after `end`; a panic in the store ends the process through the missing answer.
            let _ = batches.send(batch);
        }
    }

    /// Closes the store and waits for it.
    pub(crate) async fn end(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Starts the writer. A thread and not a task: a commit blocks for as long as the disk takes.
pub(crate) fn writer(mut store: Box<dyn Store>, inputs: mpsc::Sender<Input>, fault: Option<Fault>) -> Writer {
    let (batches, queue) = std::sync::mpsc::channel::<Vec<Command>>();
    let thread = thread::spawn(move || {
        while let Ok(batch) = queue.recv() {
            fault::pass(fault.as_ref(), "before-commit");
            let answers = store.commit(&batch);
            fault::pass(fault.as_ref(), "after-commit");
            if inputs.blocking_send(Input::Committed { batch, answers }).is_err() {
                break;
            }
        }
    });
    Writer {
        batches: Some(batches),
        thread: Some(thread),
    }
}

/// Starts a try; gives back where its orders go.
pub(crate) fn attempt(world: Arc<World>, claimed: Arc<Claimed>, inputs: mpsc::Sender<Input>) -> mpsc::Sender<Word> {
    let (orders, queue) = mpsc::channel(ORDERS_MAX);
    if workflow::is_workflow(&claimed) {
        tokio::spawn(async move {
            let lease = claimed.lease;
            let work = tokio::spawn(workflow::step(world, claimed, inputs.clone()));
            let stepped = AbortOnDrop(work).join().await.unwrap_or_else(|panic| Stepped::Over {
                ended: crashed(panic),
                next: Next::Done { continues: false },
            });
            let _ = inputs.send(Input::stepped(lease, stepped)).await;
        });
        return orders;
    }
    tokio::spawn(async move {
        let lease = claimed.lease;
        // A task of its own inside, so that a panic of a backend arrives here as an error.
        let work = tokio::spawn(attempt::attempt(world, claimed, queue, inputs.clone()));
        let tried = AbortOnDrop(work).join().await;
        let tried = tried.unwrap_or_else(|panic| Tried {
            by: EndedBy::Agent,
            ..Tried::by_the_house(crashed(panic))
        });
        let _ = inputs.send(Input::AttemptEnded { lease, tried }).await;
    });
    orders
}

/// A task that does not outlive the one that waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn join(mut self) -> Result<T, String> {
        (&mut self.0).await.map_err(|error| error.to_string())
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn crashed(panic: String) -> Box<Ended> {
    attempt::failed(Outcome::Crashed, format!("the backend failed inside: {panic}"))
}

/// The task that listens for nudges and serves followers.
pub(crate) struct Ear(JoinHandle<()>);

impl Ear {
    /// Ends it; followers see the end of their stream.
    pub(crate) async fn end(self) {
        self.0.abort();
        let _ = self.0.await;
    }
}

/// Listens for nudges and tells followers of news.
pub(crate) fn nudges(listener: UnixListener, inputs: mpsc::Sender<Input>, news: watch::Receiver<()>) -> Ear {
    Ear(tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(nudge::FOLLOWERS_MAX));
        let mut followers = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned()) else {
                        continue;
                    };
                    let (inputs, news) = (inputs.clone(), news.clone());
                    followers.spawn(async move {
                        follow(stream, inputs, news).await;
                        drop(place);
                    });
                }
                Some(_) = followers.join_next() => {}
            }
        }
    }))
}

async fn follow(mut stream: UnixStream, inputs: mpsc::Sender<Input>, mut news: watch::Receiver<()>) {
    let mut bytes = [0; 64];
    let mut follows = true;
    loop {
        tokio::select! {
            read = stream.read(&mut bytes) => match read {
                Ok(1..) => {
                    if inputs.send(Input::Nudged).await.is_err() {
                        return;
                    }
                }
                Ok(0) | Err(_) => return,
            },
            changed = news.changed(), if follows => {
                // A follower that does not read has its hints waiting already: one more says nothing new. One that is
                // gone may have left a nudge behind, so reading goes on to its end.
                let full = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
                follows = changed.is_ok() && stream.try_write(b"\n").map_or_else(|error| full(&error), |_| true);
            }
        }
    }
}

/// Works off a line of the merge queue. Whoever waits in it is answered through its own channel, also by silence.
pub(crate) fn merger(work: impl FnOnce() + Send + 'static) {
    drop(tokio::task::spawn_blocking(work));
}

/// Reads the store off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

/// Does the same to many things with as many hands as there are processors, and gives the results in order.
pub(crate) fn many_hands<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let hands = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if hands == 1 || things.len() < 2 {
        return things.iter().map(work).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(thing) = things.get(place) else { return done };
            done.push((place, work(thing)));
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let hands: Vec<_> = (0..hands).map(|_| scope.spawn(take)).collect();
        let joined = hands.into_iter().map(|hand| match hand.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.flatten().collect()
    });
    results.sort_unstable_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}
