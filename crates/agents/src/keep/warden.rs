//! A warden: the process above one agent. Reaper of everything the agent starts; ends all of it in every case.
//!
//! Forked by the keeper process, single-threaded, no exec. It reports on its control socket and takes orders from
//! there; when the socket closes, nobody owns the agent any more and the tree is ended.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::launch::{Streams, launch};
use super::sys::{self, Signals};
use super::wire::{ORDER_KILL, ORDER_STOP, Record, Request};
use super::{KILL_DEADLINE, LEFTOVER_GRACE, tree};

/// The waits between two rounds of killing: doubling from the first to the last.
const ROUND_FIRST: Duration = Duration::from_millis(5);
const ROUND_LAST: Duration = Duration::from_secs(1);

/// Keeps one agent from start to end; the exit code of the warden. `descriptors` are those of the request.
pub(super) fn run(request: Request, descriptors: Vec<OwnedFd>) -> i32 {
    sys::name(c"wheelhouse-ward");
    let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    sys::close_others(&numbers);
    sys::adopt_orphans();
    let Ok([stdin, stdout, stderr, control]) = <[OwnedFd; sys::DESCRIPTORS]>::try_from(descriptors) else {
        return 1;
    };
    let mut line = Line(Some(UnixStream::from(control)));
    let (Ok(signals), Some(me)) = (Signals::take(), tree::stat(getpid())) else {
        return 1;
    };
    line.report(Record::Kept {
        pid: getpid().as_raw(),
        start_ticks: me.start_ticks,
    });
    if line.is_closed_already() {
        return 0;
    }
    let streams = Streams { stdin, stdout, stderr };
    let main = match launch(&request, streams) {
        Ok(main) => main,
        Err(failure) => {
            line.report(Record::NotStarted(failure));
            return 0;
        }
    };
    line.report(Record::Started {
        pid: main.as_raw(),
        start_ticks: tree::stat(main).map_or(0, |stat| stat.start_ticks),
    });
    let warden = Warden {
        main,
        grace: Duration::from_millis(request.grace_ms),
        phase: Phase::Running,
        main_ended: false,
        told: false,
    };
    // The strings of the request are not needed any more, and there may be hundreds of wardens.
    drop(request);
    warden.watch(&mut line, &signals);
    0
}

/// How far the end of the tree has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nobody wants it to end.
    Running,
    /// TERM was sent; KILL follows.
    Asked { until: Instant },
    /// Everything is killed, again and again until nothing is left.
    Killing {
        since: Instant,
        next: Instant,
        pause: Duration,
    },
}

struct Warden {
    main: Pid,
    grace: Duration,
    phase: Phase,
    main_ended: bool,
    /// Whether the last record was sent although something would not die.
    told: bool,
}

impl Warden {
    /// Until nothing of the tree is left.
    fn watch(mut self, line: &mut Line, signals: &Signals) {
        loop {
            let timeout = self.deadline().map(|at| at.saturating_duration_since(Instant::now()));
            let control = signals.wait(line.0.as_ref().map(UnixStream::as_fd), timeout);
            let mut wanted = if control { line.orders() } else { None };
            if signals.news().end {
                wanted = wanted.max(Some(Wanted::Stop));
            }
            let now = Instant::now();
            if self.reap(line) {
                line.report(Record::Gone { left: 0 });
                return;
            }
            match wanted {
                Some(Wanted::Stop) if self.phase == Phase::Running => self.ask(now + self.grace),
                Some(Wanted::Kill) => self.kill(now),
                Some(Wanted::Stop) | None => {}
            }
            self.advance(line, now);
        }
    }

    /// When something is to be done without being told.
    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => None,
            Phase::Asked { until } => Some(until),
            Phase::Killing { next, .. } => Some(next),
        }
    }

    /// Takes note of every ended child. True when none is left, so that nothing of the tree can be: whatever loses
    /// its parent becomes a child of this process.
    fn reap(&mut self, line: &mut Line) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.main => {
                    let asked = self.phase != Phase::Running;
                    self.ended(line, Record::Exited { code, asked });
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.main => {
                    let asked = self.phase != Phase::Running;
                    let signal = signal as i32;
                    self.ended(line, Record::Signalled { signal, asked });
                }
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                // No children. Without a reaper's rights, the group is all that is known of the tree.
                Err(_) => return cfg!(target_os = "linux") || !self.group_lives(),
            }
        }
    }

    /// The main process has ended: what it left behind has a short grace and is ended too.
    fn ended(&mut self, line: &mut Line, end: Record) {
        line.report(end);
        self.main_ended = true;
        let until = Instant::now() + LEFTOVER_GRACE.min(self.grace);
        match self.phase {
            Phase::Running => self.ask(until),
            Phase::Asked { until: before } => {
                self.phase = Phase::Asked {
                    until: until.min(before),
                }
            }
            Phase::Killing { .. } => {}
        }
    }

    fn ask(&mut self, until: Instant) {
        tree::ask(&tree::children(getpid()));
        self.signal_group(nix::sys::signal::SIGTERM);
        self.phase = Phase::Asked { until };
    }

    fn kill(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Killing { .. }) {
            self.phase = Phase::Killing {
                since: now,
                next: now,
                pause: ROUND_FIRST,
            };
        }
    }

    /// Does what is due.
    fn advance(&mut self, line: &mut Line, now: Instant) {
        if matches!(self.phase, Phase::Asked { until } if until <= now) {
            self.kill(now);
        }
        let Phase::Killing { since, next, pause } = self.phase else {
            return;
        };
        if next > now {
            return;
        }
        let found = tree::kill_round(&tree::children(getpid()));
        self.signal_group(nix::sys::signal::SIGKILL);
        self.phase = Phase::Killing {
            since,
            next: now + pause,
            pause: (pause * 2).min(ROUND_LAST),
        };
        if !self.told && now.saturating_duration_since(since) > KILL_DEADLINE {
            self.told = true;
            line.report(Record::Gone { left: found as u64 });
            line.0 = None;
        }
    }

    /// Where trees cannot be walked, the group stands for the tree.
    fn signal_group(&self, signal: nix::sys::signal::Signal) {
        if cfg!(not(target_os = "linux")) {
            let _ = nix::sys::signal::killpg(self.main, signal);
        }
    }

    fn group_lives(&self) -> bool {
        nix::sys::signal::killpg(self.main, None).is_ok()
    }
}

/// What somebody wants, the stronger the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wanted {
    Stop,
    Kill,
}

/// The control socket, until it closes.
struct Line(Option<UnixStream>);

impl Line {
    /// Nobody may listen any more; the tree is looked after all the same.
    fn report(&mut self, record: Record) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.write_all(&record.encode());
        }
    }

    /// The orders that came in. Called when there is something to read; the end of the line is an order too.
    fn orders(&mut self) -> Option<Wanted> {
        let stream = self.0.as_mut()?;
        let mut orders = [0; 16];
        match stream.read(&mut orders) {
            Ok(0) | Err(_) => {
                self.0 = None;
                Some(Wanted::Stop)
            }
            Ok(count) => orders[..count]
                .iter()
                .filter_map(|order| match *order {
                    ORDER_STOP => Some(Wanted::Stop),
                    ORDER_KILL => Some(Wanted::Kill),
                    _ => None,
                })
                .max(),
        }
    }

    /// Whether the owner went away before anything was started.
    fn is_closed_already(&self) -> bool {
        let Some(stream) = &self.0 else { return true };
        let mut polled = [nix::poll::PollFd::new(stream.as_fd(), nix::poll::PollFlags::empty())];
        matches!(nix::poll::poll(&mut polled, nix::poll::PollTimeout::ZERO), Ok(1))
    }
}
