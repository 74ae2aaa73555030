//! Following one kept program to its end: its output as it comes, the orders of the engine, the reports of its
//! warden, all in one loop. Used by every backend whose protocol is "start it and read what it says".
//!
//! The end of the program is the end of its process, never the end of its pipes: a background child may hold those
//! open. Once the tree is gone the pipes are drained, and given up at [`DRAIN_DEADLINE`].

use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::time::Instant;
use wheelhouse_core::agent::{Inbox, Order};

use super::control::{End, Report, Strength};
use super::keeper::Kept;
use super::{DRAIN_DEADLINE, KILL_DEADLINE, LEFTOVER_GRACE, tree};

/// How much is read at a time: as much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// How much longer than its own limits a warden may take before it is taken for stuck, and killed.
const WARDEN_SLACK: Duration = Duration::from_secs(5);

/// Which stream a piece of output came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// What the program says.
    Output,
    /// What it complains about.
    Errors,
}

/// The end of a program that was followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Followed {
    /// How its main process ended; absent when its warden was lost.
    pub end: Option<End>,
    /// Processes of its tree that would not die.
    pub left: u64,
}

impl Followed {
    /// Whether the program was ended by order.
    pub fn was_asked(&self) -> bool {
        self.end.is_some_and(|end| end.asked)
    }
}

/// Follows a program to its end. `grace` is that of its command. Orders other than stop and kill mean nothing to a
/// program without a protocol and are passed over. Dropping the future kills the tree.
pub async fn follow(
    kept: Kept,
    inbox: Box<dyn Inbox>,
    grace: Duration,
    mut take: impl FnMut(Stream, &[u8]) + Send,
) -> Followed {
    let Kept {
        stdin: _stdin,
        stdout,
        stderr,
        mut control,
        warden,
        ..
    } = kept;
    let mut output = Some(stdout);
    let mut errors = Some(stderr);
    let mut orders = Box::pin(next_order(inbox));
    let mut listening = true;
    let mut followed = Followed { end: None, left: 0 };
    let mut watching = true;
    let mut deadline: Option<Instant> = None;
    loop {
        tokio::select! {
            report = control.next(), if watching => match report {
                Report::Ended(end) => {
                    followed.end = Some(end);
                    sooner(&mut deadline, LEFTOVER_GRACE + KILL_DEADLINE + WARDEN_SLACK);
                }
                Report::Gone { left } => {
                    followed.left = left;
                    watching = false;
                    deadline = Some(Instant::now() + DRAIN_DEADLINE);
                }
                Report::Lost => {
                    watching = false;
                    deadline = Some(Instant::now() + DRAIN_DEADLINE);
                }
            },
            open = readable(output.as_ref()), if output.is_some() => {
                if !open || !drain(output.as_ref(), Stream::Output, &mut take) {
                    output = None;
                }
            }
            open = readable(errors.as_ref()), if errors.is_some() => {
                if !open || !drain(errors.as_ref(), Stream::Errors, &mut take) {
                    errors = None;
                }
            }
            (inbox, order) = &mut orders, if listening && watching => {
                match order {
                    Some(Order::Stop) => {
                        control.order(Strength::Stop);
                        sooner(&mut deadline, grace + LEFTOVER_GRACE + KILL_DEADLINE + WARDEN_SLACK);
                    }
                    Some(Order::Kill) => {
                        control.order(Strength::Kill);
                        sooner(&mut deadline, KILL_DEADLINE + WARDEN_SLACK);
                    }
                    Some(Order::Interrupt | Order::Steer(_) | Order::Answer { .. }) => {}
                    None => listening = false,
                }
                if listening {
                    orders.set(next_order(inbox));
                }
            }
            () = at(deadline), if deadline.is_some() => {
                if watching {
                    kill_stuck(warden);
                }
                return followed;
            }
        }
        if !watching && output.is_none() && errors.is_none() {
            return followed;
        }
        // A program that never stops talking must not keep the thread from others.
        tokio::task::coop::consume_budget().await;
    }
}

async fn next_order(mut inbox: Box<dyn Inbox>) -> (Box<dyn Inbox>, Option<Order>) {
    let order = inbox.next().await;
    (inbox, order)
}

async fn readable(stream: Option<&pipe::Receiver>) -> bool {
    match stream {
        Some(stream) => stream.readable().await.is_ok(),
        None => false,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn sooner(deadline: &mut Option<Instant>, span: Duration) {
    let candidate = Instant::now() + span;
    *deadline = Some(deadline.map_or(candidate, |before| before.min(candidate)));
}

/// Takes one chunk; false at the end of the stream. The buffer lives on the stack for the time of the call, so
/// hundreds of silent agents cost nothing.
fn drain(stream: Option<&pipe::Receiver>, which: Stream, take: &mut impl FnMut(Stream, &[u8])) -> bool {
    let Some(stream) = stream else { return false };
    let mut chunk = [0; CHUNK_BYTES];
    match stream.try_read(&mut chunk) {
        Ok(0) => false,
        Ok(count) => {
            take(which, &chunk[..count]);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// A warden that does not do its work is killed itself: its agent dies with it and the keeper kills the rest.
fn kill_stuck(warden: wheelhouse_core::store::ProcessMark) {
    if tree::is_alive(warden) {
        tree::signal(&[Pid::from_raw(warden.pid.cast_signed())], Signal::SIGKILL);
    }
}
