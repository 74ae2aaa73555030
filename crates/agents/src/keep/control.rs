//! The engine's end of one kept agent: orders to its warden, reports from it.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, send};
use tokio::net::UnixStream;
use wheelhouse_core::store::ProcessMark;

use super::wire::{ORDER_KILL, ORDER_STOP, RECORD_BYTES, Record};

/// A line whose other end is gone is an error to be seen, not a SIGPIPE that ends the engine.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const QUIETLY: MsgFlags = MsgFlags::MSG_NOSIGNAL;
/// Rust programs ignore SIGPIPE unless they say otherwise.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const QUIETLY: MsgFlags = MsgFlags::empty();

/// Orders to a warden and its reports. Dropping it kills the whole tree at once; whoever wants grace orders
/// [`Strength::Stop`] and waits.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    partial: [u8; RECORD_BYTES],
    filled: usize,
}

/// How the tree is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strength {
    /// TERM to all of it; KILL to what is left after the command's grace.
    Stop,
    /// KILL to all of it.
    Kill,
}

/// What a warden reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// The main process has ended. What it left behind is being ended.
    Ended(End),
    /// The tree is gone. The last report.
    Gone {
        /// Processes that would not die within [`super::KILL_DEADLINE`].
        left: u64,
    },
    /// The warden itself was killed; the keeper kills what it kept. The last report.
    Lost,
}

/// How the main process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// As the system says it.
    pub status: Status,
    /// Whether it was being ended by order (or for want of an owner) at that time.
    pub asked: bool,
}

/// The status of an ended process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
}

impl Status {
    /// The exit code, if it exited.
    pub fn code(self) -> Option<i32> {
        match self {
            Status::Exited(code) => Some(code),
            Status::Signalled(_) => None,
        }
    }
}

/// The name of a signal, for people.
pub(crate) fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    }
}

impl Control {
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Control> {
        stream.set_nonblocking(true)?;
        Ok(Control {
            stream: UnixStream::from_std(stream)?,
            partial: [0; RECORD_BYTES],
            filled: 0,
        })
    }

    /// Gives an order; the reports say what came of it. An order to a warden that is gone changes nothing.
    pub fn order(&self, strength: Strength) {
        let order = match strength {
            Strength::Stop => ORDER_STOP,
            Strength::Kill => ORDER_KILL,
        };
        // One byte into an empty socket never waits, and a closed one means that the tree is gone.
        let _ = send(self.stream.as_raw_fd(), &[order], QUIETLY);
    }

    /// The next report. Safe to drop and call again.
    pub async fn next(&mut self) -> Report {
        loop {
            match self.record().await {
                Some(Record::Exited { code, asked }) => {
                    return Report::Ended(End {
                        status: Status::Exited(code),
                        asked,
                    });
                }
                Some(Record::Signalled { signal, asked }) => {
                    return Report::Ended(End {
                        status: Status::Signalled(signal),
                        asked,
                    });
                }
                Some(Record::Gone { left }) => return Report::Gone { left },
                Some(Record::Kept { .. } | Record::Started { .. } | Record::NotStarted(_)) => {}
                None => return Report::Lost,
            }
        }
    }

    /// The next record; none when the other end is gone. Safe to drop and call again.
    pub(super) async fn record(&mut self) -> Option<Record> {
        while self.filled < RECORD_BYTES {
            self.stream.readable().await.ok()?;
            match self.stream.try_read(&mut self.partial[self.filled..]) {
                Ok(0) => return None,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        self.filled = 0;
        Record::decode(self.partial)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.order(Strength::Kill);
    }
}

/// A process as the port names it.
pub(super) fn process_mark(pid: i32, start_ticks: u64) -> ProcessMark {
    ProcessMark {
        pid: pid.cast_unsigned(),
        start_ticks,
    }
}
