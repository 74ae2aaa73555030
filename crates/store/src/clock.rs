//! Where a store's time comes from.
//!
//! A store keeps two times. Moments that people read (`at`, `until` of a retry) follow the calendar. Leases are
//! measured by a steady clock that nobody can set, so a wall clock that jumps ends no lease. Neither ever runs
//! backwards: a reading behind the latest stored one continues from there ([`Skew`]).

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use wheelhouse_core::time::Millis;

/// What tells a store the time. A closure `Fn() -> Millis` is one: its readings are calendar and steady time alike.
pub trait Clock: Send + Sync {
    /// The calendar time.
    fn now(&self) -> Millis;

    /// Milliseconds by a clock that nobody sets, the same for all processes of the machine until it starts again.
    fn steady(&self) -> u64 {
        self.now().0
    }

    /// Names the boot that [`Clock::steady`] counts from; leases of another boot are void. Absent: unknown, leases
    /// run out by themselves.
    fn boot(&self) -> Option<String> {
        None
    }
}

impl<F: Fn() -> Millis + Send + Sync> Clock for F {
    fn now(&self) -> Millis {
        self()
    }
}

/// The clock of the machine: the wall clock as it stood when this was made, plus what has passed since then,
/// suspension included. Setting the wall clock does not reach it.
#[derive(Debug)]
pub struct SystemClock {
    wall_at_start_ms: u64,
    start_ms: u64,
    boot: Option<String>,
}

impl SystemClock {
    /// Starts from what the wall clock says now.
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        SystemClock {
            wall_at_start_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            start_ms: read_ms(CALENDAR),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()
                .map(|id| id.trim().to_owned()),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let passed_ms = read_ms(CALENDAR).saturating_sub(self.start_ms);
        Millis(self.wall_at_start_ms.saturating_add(passed_ms))
    }

    /// Time asleep does not count: an engine that wakes up with its machine still has its leases.
    fn steady(&self) -> u64 {
        read_ms(ClockId::CLOCK_MONOTONIC)
    }

    fn boot(&self) -> Option<String> {
        self.boot.clone()
    }
}

/// Counts while the machine is suspended, as the calendar does.
#[cfg(target_os = "linux")]
const CALENDAR: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CALENDAR: ClockId = ClockId::CLOCK_MONOTONIC;

fn read_ms(clock: ClockId) -> u64 {
    // Cannot fail for clocks that exist; zero is then repaired by `Skew` like any other step back.
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let (s, ns) = (time.tv_sec(), time.tv_nsec());
    u64::try_from(s * 1_000 + ns / 1_000_000).unwrap_or(0)
}

/// A clock that stands still until somebody moves it, for tests of what hangs on time. Clones of an `Arc` share it.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    steady_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that shows this time; its steady half starts there too.
    pub fn new(now: Millis) -> Self {
        ManualClock {
            wall_ms: AtomicU64::new(now.0),
            steady_ms: AtomicU64::new(now.0),
        }
    }

    /// Lets time pass.
    pub fn advance_ms(&self, span_ms: u64) {
        self.wall_ms.fetch_add(span_ms, Ordering::SeqCst);
        self.steady_ms.fetch_add(span_ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or backwards, as administrators and time servers do. No time passes.
    pub fn set_wall(&self, now: Millis) {
        self.wall_ms.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn steady(&self) -> u64 {
        self.steady_ms.load(Ordering::SeqCst)
    }
}

/// Keeps readings from falling behind what is stored: a clock that is behind is taken to be that much late from then
/// on. (To repeat the latest stored moment until the clock catches up would stop every retry for as long.)
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Skew(u64);

impl Skew {
    pub(crate) fn correct(&mut self, reading: u64, latest_stored: u64) -> u64 {
        let corrected = reading.saturating_add(self.0);
        if corrected >= latest_stored {
            return corrected;
        }
        self.0 = latest_stored - reading;
        latest_stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_goes_on_from_what_is_stored() {
        let mut skew = Skew::default();
        assert_eq!(skew.correct(1_000, 900), 1_000);
        assert_eq!(skew.correct(400, 1_000), 1_000, "set back by 600");
        assert_eq!(skew.correct(450, 1_000), 1_050, "and still running");
        assert_eq!(skew.correct(2_000, 1_050), 2_600, "forward jumps pass");
    }

    #[test]
    fn the_system_clock_moves_forward() {
        let clock = SystemClock::new();
        let (now, steady) = (clock.now(), clock.steady());
        assert!(now.0 > 1_600_000_000_000);
        assert!(clock.now() >= now && clock.steady() >= steady);
    }
}
