//! Labelled points at which an engine can be told to kill itself, as `kill -9` would, or to stand still while something
//! else is killed.
//!
//! Only tests of bad days ask for it. The points name every step between two durable facts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Every point, in the order a task meets them.
pub const POINTS: [&str; 12] = [
    "started",
    "before-commit",
    "after-commit",
    "after-claim",
    "before-start",
    "after-start",
    "before-settle",
    "before-verify",
    "before-merge",
    "after-merge",
    "after-end",
    "before-end",
];

/// Strikes at the n-th passage of a point.
#[derive(Clone, Debug)]
pub struct Fault {
    point: String,
    strike: Strike,
    left: std::sync::Arc<AtomicU64>,
}

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strike {
    /// SIGKILL to ourselves.
    Die,
    /// SIGSTOP to ourselves, until somebody sends SIGCONT.
    Stop,
}

impl Fault {
    /// Reads `point`, `point:n` (the n-th passage, from 1) or `point:n:stop`. The error lists the points.
    pub fn parse(text: &str) -> Result<Fault, String> {
        let (text, strike) = match text.strip_suffix(":stop") {
            Some(text) => (text, Strike::Stop),
            None => (text, Strike::Die),
        };
        let (point, count) = text.split_once(':').unwrap_or((text, "1"));
        let count: u64 = count
            .parse()
            .map_err(|_| format!("`{count}` is not a number of passages"))?;
        if !POINTS.contains(&point) {
            return Err(format!("there is no point `{point}`; there are: {}", POINTS.join(", ")));
        }
        Ok(Fault {
            point: point.to_owned(),
            strike,
            left: std::sync::Arc::new(AtomicU64::new(count.max(1))),
        })
    }
}

/// Passes a point; does not come back when the fault kills.
pub(crate) fn pass(fault: Option<&Fault>, point: &str) {
    let Some(fault) = fault else { return };
    debug_assert!(POINTS.contains(&point), "{point} is not listed");
    if fault.point == point && fault.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        match fault.strike {
            Strike::Die => die(),
            Strike::Stop => {
                let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
            }
        }
    }
}

/// SIGKILL to ourselves: no destructor, no flush, no exit handler runs.
fn die() -> ! {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    // SIGKILL cannot be caught or ignored; this is for the type only.
    std::process::abort()
}
