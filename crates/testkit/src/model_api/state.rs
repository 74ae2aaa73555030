//! What all connections share: the script, what was reached in it, the time line, the gates.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ask::Ask;
use super::choose::{self, Memory, Play};
use super::script::{Checks, Script};
use super::timeline::{Attempt, AttemptRef, Finished, Timeline, Violation};

pub(crate) struct State {
    inner: Mutex<Inner>,
    /// Rings with every change, for threads that wait.
    changed: Condvar,
    /// The same for tasks.
    version: watch::Sender<u64>,
}

struct Inner {
    script: Script,
    memory: Memory,
    timeline: Timeline,
    released: HashSet<String>,
}

impl State {
    pub(crate) fn new(script: Script) -> State {
        State {
            inner: Mutex::new(Inner {
                script,
                memory: Memory::default(),
                timeline: Timeline::new(),
                released: HashSet::new(),
            }),
            changed: Condvar::new(),
            version: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves plain data behind; a test that failed shall still see its time line.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        self.version.send_modify(|version| *version += 1);
        result
    }

    pub(crate) fn checks(&self) -> Checks {
        self.lock().script.checks
    }

    pub(crate) fn choose(&self, ask: &Ask) -> Play {
        self.change(|inner| choose::choose(&inner.script, &mut inner.memory, ask))
    }

    pub(crate) fn enter(&self, attempt: Attempt) -> AttemptRef {
        self.change(|inner| inner.timeline.enter(attempt))
    }

    pub(crate) fn status(&self, attempt: AttemptRef, status: u16) {
        self.change(|inner| inner.timeline.status(attempt, status));
    }

    pub(crate) fn finish(&self, attempt: AttemptRef, finished: Finished) {
        self.change(|inner| inner.timeline.finish(attempt, finished));
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.lock().timeline.attempts()
    }

    pub(crate) fn violations(&self) -> Vec<(u64, Violation)> {
        self.lock().timeline.violations()
    }

    pub(crate) fn reset(&self) {
        self.change(|inner| {
            inner.memory = Memory::default();
            inner.timeline.reset();
            inner.released.clear();
        });
    }

    pub(crate) fn set_script(&self, script: Script) {
        self.change(|inner| {
            inner.script = script;
            inner.memory = Memory::default();
        });
    }

    pub(crate) fn release(&self, gate: &str) {
        self.change(|inner| inner.released.insert(gate.to_owned()));
    }

    /// Ends once the gate has been released.
    pub(crate) async fn released(&self, gate: &str) {
        let mut version = self.version.subscribe();
        while !self.lock().released.contains(gate) {
            if version.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits, blocking, until the attempts are as wanted. `Err`: the deadline passed, and this is how they were.
    pub(crate) fn wait_until(
        &self,
        patience: Duration,
        wanted: impl Fn(&[Attempt]) -> bool,
    ) -> Result<Vec<Attempt>, Vec<Attempt>> {
        let deadline = Instant::now() + patience;
        let mut inner = self.lock();
        loop {
            let attempts = inner.timeline.attempts();
            if wanted(&attempts) {
                return Ok(attempts);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(attempts);
            };
            let (guard, _) = self
                .changed
                .wait_timeout(inner, left)
                .unwrap_or_else(PoisonError::into_inner);
            inner = guard;
        }
    }

    /// Waits, as a task, until the attempts are as wanted.
    pub(crate) async fn until(
        &self,
        patience: Duration,
        wanted: impl Fn(&[Attempt]) -> bool,
    ) -> Result<Vec<Attempt>, Vec<Attempt>> {
        let mut version = self.version.subscribe();
        let deadline = Instant::now() + patience;
        loop {
            let attempts = self.attempts();
            if wanted(&attempts) {
                return Ok(attempts);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !matches!(tokio::time::timeout(left, version.changed()).await, Ok(Ok(()))) {
                return Err(self.attempts());
            }
        }
    }
}
