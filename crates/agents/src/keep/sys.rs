//! The few calls to the system that need `unsafe` or differ between Linux and other Unix systems, behind safe names.
//!
//! Called by the keeper process, wardens and agents-to-be, all of them single-threaded: that is what makes forking
//! without exec sound here.
#![expect(
    unsafe_code,
    reason = "fork, signal dispositions and received descriptors have no safe interface"
)]

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::{ForkResult, Pid};

/// How many descriptors come with a request: stdin, stdout, stderr, control.
pub(super) const DESCRIPTORS: usize = 4;

/// Runs `child` in a new process and returns its number here.
///
/// The caller is single-threaded (keeper and wardens never start a thread), so no lock can be held across the fork.
pub(super) fn fork(child: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: single-threaded, see above: the child may do whatever the parent might.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // A panic must not unwind into the loop of the parent, of which this is a copy.
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(70);
            std::process::exit(code);
        }
    }
}

/// Reads the first bytes of a request and the descriptors that come with them. Zero bytes: the other end is gone.
pub(super) fn receive(from: BorrowedFd<'_>, header: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(header)];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = MsgFlags::empty();
    let message = recvmsg::<()>(from.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these for us; nobody else knows of them.
            descriptors.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    for descriptor in &descriptors {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((message.bytes, descriptors))
}

/// Closes every descriptor but the three standard ones and these.
pub(super) fn close_others(keep: &[RawFd]) {
    let directory = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let open: Vec<RawFd> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open {
        if descriptor > 2 && !keep.contains(&descriptor) {
            // The directory's own descriptor is in the list and closed by now; that error says nothing.
            let _ = nix::unistd::close(descriptor);
        }
    }
}

/// The highest signal number of any system here.
const SIGNAL_LAST: i32 = 64;

/// Gives every signal its default effect and blocks none: an agent must not inherit what its ancestors ignored.
pub(super) fn reset_signals() -> Result<(), Errno> {
    for number in 1..=SIGNAL_LAST {
        // Refused for KILL, STOP and the few that the C library keeps for itself.
        // SAFETY: the default handler runs no code of ours.
        unsafe { nix::libc::signal(number, nix::libc::SIG_DFL) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Stdin, stdout and stderr lead nowhere from now on, so that nobody waits for us to close theirs.
pub(super) fn detach_standard_streams() -> io::Result<()> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Children that lose their parent become ours instead of init's.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// The kernel kills this process when its parent dies.
pub(super) fn die_with_parent() -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    Ok(())
}

/// What `ps` shows; at most 15 bytes count.
pub(super) fn name(_name: &std::ffi::CStr) {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(_name);
}

/// News of ended children and of requests to end, to be polled beside other descriptors.
pub(super) struct Signals {
    #[cfg(target_os = "linux")]
    descriptor: nix::sys::signalfd::SignalFd,
}

/// What came in since the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct News {
    /// Somebody wants this process to end.
    pub(super) end: bool,
}

/// Without signal descriptors, children are looked for this often.
#[cfg(not(target_os = "linux"))]
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Signals {
    /// Takes SIGCHLD, SIGTERM, SIGINT and SIGHUP out of their usual way; children inherit that until
    /// [`reset_signals`].
    pub(super) fn take() -> Result<Signals, Errno> {
        let mut mask = SigSet::empty();
        for each in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            mask.add(each);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None)?;
        #[cfg(target_os = "linux")]
        {
            use nix::sys::signalfd::{SfdFlags, SignalFd};
            let descriptor = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
            Ok(Signals { descriptor })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Signals {})
    }

    /// Sleeps until a signal came, `other` can be read or was closed, or the time is up. True: look at `other`.
    pub(super) fn wait(&self, other: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> bool {
        let mut polled = Vec::with_capacity(2);
        #[cfg(target_os = "linux")]
        polled.push(PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN));
        #[cfg(not(target_os = "linux"))]
        let timeout = Some(timeout.unwrap_or(LOOK_EVERY).min(LOOK_EVERY));
        let signals = polled.len();
        polled.extend(other.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = match timeout {
            None => PollTimeout::NONE,
            // Rounded up: waking a little early would make the caller's loop spin.
            Some(span) => PollTimeout::try_from(span + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
        };
        // An interrupted poll is a wake-up without news; the caller looks and comes back.
        let _ = nix::poll::poll(&mut polled, timeout);
        polled
            .get(signals)
            .and_then(PollFd::revents)
            .is_some_and(|events| !events.is_empty())
    }

    /// Takes the news. Ended children are not counted: signals of one kind merge, so callers reap until none is left.
    pub(super) fn news(&self) -> News {
        #[cfg(target_os = "linux")]
        {
            let mut news = News::default();
            while let Ok(Some(info)) = self.descriptor.read_signal() {
                news.end |= info.ssi_signo != Signal::SIGCHLD as u32;
            }
            news
        }
        #[cfg(not(target_os = "linux"))]
        {
            let mut news = News::default();
            while let Ok(pending) = pending_end() {
                news.end = true;
                let _ = pending.wait();
            }
            news
        }
    }
}

/// The set of pending requests to end; an error when there is none.
#[cfg(not(target_os = "linux"))]
fn pending_end() -> Result<SigSet, Errno> {
    let mut pending = std::mem::MaybeUninit::<nix::libc::sigset_t>::uninit();
    // SAFETY: sigpending fills the set, and only then is it read.
    let pending = unsafe {
        Errno::result(nix::libc::sigpending(pending.as_mut_ptr()))?;
        SigSet::from_sigset_t_unchecked(pending.assume_init())
    };
    let mut end = SigSet::empty();
    for each in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        if pending.contains(each) {
            end.add(each);
        }
    }
    if end.iter().next().is_none() {
        return Err(Errno::EAGAIN);
    }
    Ok(end)
}
