//! The last resort: what is left running when engine, keeper and wardens were killed together.
//!
//! Every agent carries the id of its store in its environment. At its start an engine that holds the lock of the store
//! looks for processes of its own user that carry it, and ends them with their trees. What a process hides by
//! clearing its environment *and* leaving its parents cannot be found this way; a living warden finds that too.

use std::time::Duration;

/// The variable that marks a process as belonging to a store. The engine sets it in the environment of every agent.
pub const STORE_VARIABLE: &str = "WHEELHOUSE_STORE";

/// What a sweep found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Processes found, their descendants included.
    pub found: usize,
    /// Processes that would not die.
    pub left: usize,
}

/// Ends every process of this user whose environment says `WHEELHOUSE_STORE=store`, and everything below it: TERM,
/// and KILL after `grace`. The caller and its ancestors are spared (a person may start an engine from within an
/// agent). Blocks for as long as that takes. Only for the holder of the store's lock.
pub fn sweep(store: &str, grace: Duration) -> Swept {
    #[cfg(target_os = "linux")]
    return linux::sweep(store, grace);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (store, grace);
        Swept::default()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::{Duration, Instant};

    use nix::unistd::{Pid, geteuid, getpid};

    use super::{STORE_VARIABLE, Swept};
    use crate::keep::{KILL_DEADLINE, tree};

    /// How often it is looked whether they are gone.
    const LOOK_EVERY: Duration = Duration::from_millis(10);

    pub(super) fn sweep(store: &str, grace: Duration) -> Swept {
        let mark = format!("{STORE_VARIABLE}={store}");
        let spared = ancestry();
        let marked = || marked(mark.as_bytes(), &spared);
        let first = marked();
        if first.is_empty() {
            return Swept::default();
        }
        let found = tree::with_descendants(&first).len();
        // Descendants may have cleared their environment and lose their parents now: they are remembered.
        let mut known = remember(&first);
        tree::ask(&first);
        wait_until(grace, || known.iter().all(|one| !tree::is_alive(*one)));
        let mut rounds_end = Instant::now() + KILL_DEADLINE;
        loop {
            known.extend(remember(&marked()));
            known.retain(|one| tree::is_alive(*one));
            if known.is_empty() || Instant::now() > rounds_end {
                break;
            }
            let alive: Vec<Pid> = known.iter().map(|one| Pid::from_raw(one.pid.cast_signed())).collect();
            tree::kill_round(&alive);
            if !wait_until(LOOK_EVERY * 10, || known.iter().all(|one| !tree::is_alive(*one))) {
                continue;
            }
            // Everything known is gone; one more look for what was born meanwhile.
            rounds_end = rounds_end.max(Instant::now() + LOOK_EVERY);
        }
        Swept {
            found,
            left: known.len(),
        }
    }

    fn remember(roots: &[Pid]) -> Vec<wheelhouse_core::store::ProcessMark> {
        tree::with_descendants(roots)
            .into_iter()
            .filter_map(|pid| tree::mark(pid.as_raw().cast_unsigned()))
            .collect()
    }

    /// True when it came true in time.
    fn wait_until(span: Duration, done: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + span;
        loop {
            if done() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// This process and everything above it.
    fn ancestry() -> Vec<Pid> {
        let mut line = vec![getpid()];
        while let Some(stat) = line.last().and_then(|pid| tree::stat(*pid)) {
            if stat.parent.as_raw() <= 0 || line.contains(&stat.parent) {
                break;
            }
            line.push(stat.parent);
        }
        line
    }

    fn marked(mark: &[u8], spared: &[Pid]) -> Vec<Pid> {
        let me = geteuid().as_raw();
        tree::all()
            .filter(|pid| !spared.contains(pid))
            .filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == me))
            .filter(|pid| carries(*pid, mark))
            .filter(|pid| tree::stat(*pid).is_some_and(|stat| !stat.ended))
            .collect()
    }

    /// Whether the environment that the process was started with holds exactly this entry.
    fn carries(pid: Pid, mark: &[u8]) -> bool {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == mark))
    }
}
