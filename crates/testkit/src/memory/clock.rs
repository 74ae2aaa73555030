//! Time in tests: it stands still until somebody moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wheelhouse_core::time::Millis;

/// A clock that a test moves. Clones show the same time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicU64>);

/// 2026-01-01 00:00 UTC: late enough that a test may turn the clock back.
const START: u64 = 1_767_225_600_000;

impl TestClock {
    /// A clock at the start of 2026.
    pub fn new() -> Self {
        TestClock(Arc::new(AtomicU64::new(START)))
    }

    /// The time it shows.
    pub fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }

    /// Moves it forward.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().after(span));
    }

    /// Moves it forward by so many milliseconds.
    pub fn advance_ms(&self, span_ms: u64) {
        self.advance(Duration::from_millis(span_ms));
    }

    /// Sets it, backwards too: clocks of real machines do that.
    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        TestClock::new()
    }
}
