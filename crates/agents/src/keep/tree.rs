//! Trees of processes: who is below whom, signals to all of them, and whether a process is still the one it was.
//!
//! Used by wardens and the keeper on what they own, by [`super::sweep`] on what it finds. A number is only ever
//! signalled right after it was seen; the window in which it could be given to somebody else cannot be closed
//! without a handle per process, and is microseconds against the kernel's full round through the numbers.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_core::store::ProcessMark;

/// How often a tree is walked again, at the most, to stop what was born during the walk before.
const STOP_PASSES: usize = 8;

/// Whether that very process still lives. A number that was given to somebody else does not count, nor does a
/// process that has ended and only waits to be reaped.
pub fn is_alive(process: ProcessMark) -> bool {
    i32::try_from(process.pid)
        .ok()
        .and_then(|pid| stat(Pid::from_raw(pid)))
        .is_some_and(|stat| stat.start_ticks == process.start_ticks && !stat.ended)
}

/// What identifies the process that has this number now; none when there is none.
pub fn mark(pid: u32) -> Option<ProcessMark> {
    let stat = stat(Pid::from_raw(i32::try_from(pid).ok()?))?;
    Some(ProcessMark {
        pid,
        start_ticks: stat.start_ticks,
    })
}

/// What the kernel says about a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stat {
    pub(super) parent: Pid,
    pub(super) start_ticks: u64,
    pub(super) ended: bool,
}

/// Sends a signal to each. Those that are gone, or not ours to signal, are passed over.
pub(super) fn signal(all: &[Pid], signal: Signal) {
    for each in all {
        let _ = kill(*each, signal);
    }
}

/// Asks everything below these, and these, to end. Stopped processes are woken, or they would not hear it.
pub(super) fn ask(roots: &[Pid]) {
    let all = with_descendants(roots);
    signal(&all, Signal::SIGTERM);
    signal(&all, Signal::SIGCONT);
}

/// Kills everything below these, and these: first stops all of it, so that nothing is born meanwhile, then kills.
/// What was missed is caught by the next round. Returns how many were found.
pub(super) fn kill_round(roots: &[Pid]) -> usize {
    let mut stopped: Vec<Pid> = Vec::new();
    for _ in 0..STOP_PASSES {
        let fresh: Vec<Pid> = with_descendants(roots)
            .into_iter()
            .filter(|pid| !stopped.contains(pid))
            .collect();
        if fresh.is_empty() {
            break;
        }
        signal(&fresh, Signal::SIGSTOP);
        stopped.extend(fresh);
    }
    signal(&stopped, Signal::SIGKILL);
    stopped.len()
}

/// These and everything below them.
pub(super) fn with_descendants(roots: &[Pid]) -> Vec<Pid> {
    let mut all = roots.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        for child in children(pid) {
            // A process can show up twice while it changes parents.
            if !all.contains(&child) {
                all.push(child);
            }
        }
        next += 1;
    }
    all
}

#[cfg(target_os = "linux")]
mod proc {
    use std::fs;

    use nix::unistd::Pid;

    use super::Stat;

    /// The children of a process. The kernel's own list where there is one (it costs the size of the tree), else
    /// every process of the system is asked for its parent.
    pub(in super::super) fn children(of: Pid) -> Vec<Pid> {
        let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for thread in threads.flatten() {
            match fs::read_to_string(thread.path().join("children")) {
                Ok(list) => found.extend(list.split_whitespace().filter_map(parse)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && thread.path().exists() => {
                    return all().filter(|pid| stat(*pid).is_some_and(|s| s.parent == of)).collect();
                }
                Err(_) => {}
            }
        }
        found
    }

    /// Every process there is.
    pub(in super::super) fn all() -> impl Iterator<Item = Pid> {
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| parse(entry.file_name().to_str()?))
    }

    pub(in super::super) fn stat(pid: Pid) -> Option<Stat> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        super::parse_stat(&text)
    }

    fn parse(text: &str) -> Option<Pid> {
        text.parse().ok().map(Pid::from_raw)
    }
}

#[cfg(not(target_os = "linux"))]
mod proc {
    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::Stat;

    /// Unknown here: a tree is its process group, see `warden`.
    pub(in super::super) fn children(_of: Pid) -> Vec<Pid> {
        Vec::new()
    }

    /// Only that it is there; start times are not looked up.
    pub(in super::super) fn stat(pid: Pid) -> Option<Stat> {
        kill(pid, None).ok()?;
        Some(Stat {
            parent: Pid::from_raw(0),
            start_ticks: 0,
            ended: false,
        })
    }
}

#[cfg(target_os = "linux")]
pub(super) use proc::all;
pub(super) use proc::{children, stat};

/// Reads `/proc/PID/stat`. The name in parentheses may hold anything, parentheses and newlines too, so the fields are
/// counted from the last one.
#[cfg(any(target_os = "linux", test))]
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // Field 22 of the line; the state is field 3, its parent field 4.
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(Stat {
        parent: Pid::from_raw(parent),
        start_ticks,
        ended: matches!(state, "Z" | "X" | "x"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_whatever_the_name() {
        let line = b"4242 (a) b) R 1 (x) S 17 4242 4242 0 -1 4194560 105 0 0 0 0 0 0 0 20 0 1 0 987654 2 3 4";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                parent: Pid::from_raw(17),
                start_ticks: 987_654,
                ended: false
            })
        );
        let ended = b"7 (sh) Z 1 7 7 0 -1 4194560 105 0 0 0 0 0 0 0 20 0 1 0 55 0 0 0";
        assert!(parse_stat(ended).unwrap().ended);
        for damaged in [&b""[..], b"7 (sh", b"7 (sh) S 1 2", b"7 (sh) S x 2 3 4 5"] {
            assert_eq!(parse_stat(damaged), None);
        }
    }

    #[test]
    fn a_number_alone_proves_nothing() {
        let me = mark(std::process::id()).unwrap();
        assert!(is_alive(me));
        #[cfg(target_os = "linux")]
        assert!(!is_alive(ProcessMark {
            start_ticks: me.start_ticks + 1,
            ..me
        }));
        assert!(!is_alive(ProcessMark {
            pid: u32::MAX,
            start_ticks: 0
        }));
    }
}
