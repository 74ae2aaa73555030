//! The one place where faces touch the store: one writer, a few readers, off the async threads; and the news.
//!
//! A change nudges the engine. News come from the engine's hints; where there is no engine, and in case a hint was
//! lost, the store is looked at from time to time. Nothing here is remembered that matters: whoever waits reads the
//! store again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use wheelhouse_core::store::{Failure as StoreFailure, Reader, Store};
use wheelhouse_engine::lock::{self, Engine};
use wheelhouse_engine::nudge;

use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::verb::Truth;

/// How many requests may be in the store at a time; further ones wait their turn.
const AT_WORK_MAX: usize = 32;
/// How many idle readers are kept.
const READERS_KEPT: usize = 8;
/// How often whoever waits is told to look while no engine gives hints.
const POLL: Duration = Duration::from_millis(250);
/// The same while one does: a hint may be lost.
const SAFETY_POLL: Duration = Duration::from_secs(5);

/// Whether there is nothing more to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    /// There is nothing.
    Yes,
    /// More may come.
    NotYet,
}

impl From<bool> for Over {
    fn from(over: bool) -> Over {
        if over { Over::Yes } else { Over::NotYet }
    }
}

/// The store, for faces.
pub(crate) struct Desk {
    writer: Mutex<Box<dyn Store>>,
    readers: Mutex<Vec<Box<dyn Reader>>>,
    places: Semaphore,
    state_dir: PathBuf,
    news: watch::Sender<()>,
    /// Somebody began to listen for news.
    listened: Notify,
}

impl Desk {
    /// A desk over that store.
    pub(crate) fn new(store: Box<dyn Store>, state_dir: &Path) -> Arc<Desk> {
        Arc::new(Desk {
            writer: Mutex::new(store),
            readers: Mutex::new(Vec::new()),
            places: Semaphore::new(AT_WORK_MAX),
            state_dir: state_dir.to_owned(),
            news: watch::Sender::new(()),
            listened: Notify::new(),
        })
    }

    /// Asks the store.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut dyn Reader) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _place = self.places.acquire().await;
        let desk = Arc::clone(self);
        off_thread(move || {
            let mut reader = desk.reader()?;
            let answer = work(reader.as_mut());
            let mut kept = held(&desk.readers);
            if kept.len() < READERS_KEPT {
                kept.push(reader);
            }
            answer
        })
        .await
    }

    /// Looks again with all news until `look` says that it is over, the time is up, or the asker is `gone`. Gives what was
    /// seen last.
    pub(crate) async fn until<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        gone: impl Future<Output = ()>,
        look: impl Fn(&mut dyn Reader) -> Result<(Over, T), Failure> + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        tokio::pin!(gone);
        let mut ears = self.news();
        loop {
            ears.mark_unchanged();
            let (over, seen) = self.read(look.clone()).await?;
            if over == Over::Yes || Instant::now() >= deadline {
                return Ok(seen);
            }
            tokio::select! {
                heard = ears.changed() => if heard.is_err() { return Ok(seen) },
                () = tokio::time::sleep_until(deadline) => {}
                () = &mut gone => return Ok(seen),
            }
        }
    }

    /// Changes the store and tells the engine to look.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Truth<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _place = self.places.acquire().await;
        let desk = Arc::clone(self);
        off_thread(move || {
            let mut reader = desk.reader()?;
            let answer = {
                let mut writer = held(&desk.writer);
                work(&mut Truth {
                    store: writer.as_mut(),
                    reader: reader.as_mut(),
                })
            };
            if answer.is_ok() {
                // Without an engine the change waits for one; that is not this caller's failure.
                nudge::notify(&desk.state_dir);
                desk.news.send_replace(());
            }
            answer
        })
        .await
    }

    /// Whether an engine works on the state.
    pub(crate) fn engine(&self) -> Engine {
        lock::engine(&self.state_dir)
    }

    /// Where the state lies.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Ears for news. Mark what was read before as seen by making it first.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        let ears = self.news.subscribe();
        self.listened.notify_one();
        ears
    }

    /// Passes the engine's hints on to those who listen, for ever. While nobody does, nothing wakes up.
    pub(crate) async fn carry_news(self: Arc<Self>) {
        loop {
            while self.news.receiver_count() == 0 {
                self.listened.notified().await;
            }
            match nudge::subscribe(&self.state_dir).await {
                None => tokio::time::sleep(POLL).await,
                Some(mut ear) => {
                    self.news.send_replace(());
                    while self.news.receiver_count() > 0
                        && let Ok(true) | Err(_) = tokio::time::timeout(SAFETY_POLL, ear.changed()).await
                    {
                        self.news.send_replace(());
                    }
                }
            }
            self.news.send_replace(());
        }
    }

    fn reader(&self) -> Result<Box<dyn Reader>, StoreFailure> {
        if let Some(reader) = held(&self.readers).pop() {
            return Ok(reader);
        }
        held(&self.writer).reader()
    }
}

/// A panic of one request must not take the desk from all others; what the lock guards is whole between statements.
fn held<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work that may wait for the disk or for another process, off the async threads.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::new(
            exit::STATE_FAILED,
            format!("the request failed inside: {error}"),
        ))
    })
}
