//! The keeper process: takes requests from its engine, forks a warden for each, and kills what a warden that died
//! left behind. Ends when its engine is gone and its last warden has ended.
//!
//! Started by [`super::Keeper`] with its socket as stdin. It reads no environment and writes nothing anywhere.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::sys::{self, Signals};
use super::wire::{Failed, HEADER_BYTES, Record, Request, Stage};
use super::{tree, warden};

/// While something is being killed that a dead warden left behind, it is looked after this often.
const STRAYS_EVERY: Duration = Duration::from_millis(10);

/// The sub-command `keep`, started by the engine and by nobody else. Must be called before the process has a second
/// thread.
pub fn main() -> ExitCode {
    let Some(line) = take_line() else {
        eprintln!("`keep` is started by Wheelhouse itself; there is nothing here to be run by hand.");
        return ExitCode::from(2);
    };
    // Fails only for a leader of a process group, which is apart from the terminal's already.
    let _ = nix::unistd::setsid();
    sys::name(c"wheelhouse-keep");
    sys::adopt_orphans();
    let (Ok(()), Ok(signals)) = (sys::detach_standard_streams(), Signals::take()) else {
        return ExitCode::FAILURE;
    };
    House {
        line: Some(line),
        wardens: BTreeSet::new(),
        strays: false,
    }
    .keep(&signals);
    ExitCode::SUCCESS
}

/// The socket to the engine, when stdin is one.
fn take_line() -> Option<UnixStream> {
    let line = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let line = UnixStream::from(line);
    line.peer_addr().ok()?;
    Some(line)
}

struct House {
    /// To the engine, while there is one.
    line: Option<UnixStream>,
    wardens: BTreeSet<i32>,
    /// Whether a warden died that may have left something behind.
    strays: bool,
}

impl House {
    fn keep(mut self, signals: &Signals) {
        loop {
            let timeout = self.strays.then_some(STRAYS_EVERY);
            let asked = signals.wait(self.line.as_ref().map(UnixStream::as_fd), timeout);
            // Requests to end are not for the keeper: it ends after its engine, or agents would lose their guard.
            signals.news();
            let empty = self.reap();
            if self.strays {
                self.kill_strays();
            }
            if asked && self.take_request().is_none() {
                self.line = None;
            }
            if self.line.is_none() && empty {
                return;
            }
        }
    }

    /// Takes note of ended children; true when none is left.
    fn reap(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, _)) => {
                    self.wardens.remove(&pid.as_raw());
                }
                Ok(WaitStatus::Signaled(pid, ..)) => {
                    self.strays |= self.wardens.remove(&pid.as_raw());
                }
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
    }

    /// A child that is no warden was adopted from one that died. Its owner cannot reach it any more.
    fn kill_strays(&mut self) {
        let strays: Vec<Pid> = tree::children(getpid())
            .into_iter()
            .filter(|pid| !self.wardens.contains(&pid.as_raw()))
            .collect();
        self.strays = tree::kill_round(&strays) > 0;
    }

    /// None when the engine is gone, or talks like another version.
    fn take_request(&mut self) -> Option<()> {
        let line = self.line.as_mut()?;
        let mut header = [0; HEADER_BYTES];
        let (count, descriptors) = match sys::receive(line.as_fd(), &mut header) {
            Err(Errno::EINTR) => return Some(()),
            received => received.ok()?,
        };
        if count == 0 {
            return None;
        }
        line.read_exact(&mut header[count..]).ok()?;
        let mut body = vec![0; Request::body_bytes(header)?];
        line.read_exact(&mut body).ok()?;
        let request = Request::decode(&body)?;
        drop(body);
        self.fork_warden(request, descriptors);
        Some(())
    }

    fn fork_warden(&mut self, request: Request, descriptors: Vec<OwnedFd>) {
        let control = descriptors.last().and_then(|fd| fd.try_clone().ok());
        let mut given = Some((request, descriptors));
        let forked = sys::fork(|| {
            given
                .take()
                .map_or(1, |(request, descriptors)| warden::run(request, descriptors))
        });
        match forked {
            Ok(warden) => {
                self.wardens.insert(warden.as_raw());
            }
            Err(errno) => {
                let failure = Failed {
                    stage: Stage::Fork,
                    errno: errno as i32,
                };
                if let Some(control) = control {
                    use std::io::Write;
                    let _ = UnixStream::from(control).write_all(&Record::NotStarted(failure).encode());
                }
            }
        }
    }
}
