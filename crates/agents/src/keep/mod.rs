//! The keeper: owns every process that an agent runs as, and its whole tree.
//!
//! Three kinds of process work together, all from one binary:
//!
//! - The engine holds a [`Keeper`] and asks it to [`Keeper::spawn`] a [`Command`].
//! - One *keeper process* (`wheelhouse keep`, [`main`]) per engine. Single-threaded, no async runtime, so it may fork
//!   without exec. For each request it forks a warden; it adopts and kills what a warden that died left behind.
//! - One *warden* per agent: a fork of the keeper that is the reaper of everything the agent starts, double-forked
//!   and `setsid`ed children included. It starts the agent, reports its end, and ends the tree when it is told to,
//!   when the agent's main process has ended, or when the engine is gone (its control socket says so).
//!
//! Who may die, and what then: the engine → every warden ends its tree, the keeper follows; the keeper → wardens go on
//! under the engine, the next spawn starts a new keeper; a warden → its agent dies with it, the keeper kills the
//! rest; keeper and wardens together → [`sweep`] at the next start of an engine finds what is left by its environment.
//!
//! What does not happen here: no output is interpreted, no outcome classified, nothing retried, no store written.
//! Linux is the first home. Elsewhere a tree is its process group, and [`sweep`] finds nothing.

mod control;
mod follow;
mod keeper;
mod launch;
mod process;
mod sweep;
mod sys;
mod tree;
mod warden;
mod wire;

use std::time::Duration;

pub(crate) use control::signal_name;
pub use control::{Control, End, Report, Status, Strength};
pub use follow::{Followed, Stream, follow};
pub use keeper::{Command, Keeper, Kept, NotStarted, Stdin};
pub use process::main;
pub use sweep::{STORE_VARIABLE, Swept, sweep};
pub use tree::{is_alive, mark};

/// How long what an agent left behind has between TERM and KILL once its main process has ended.
pub const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// How long a warden tries to kill a tree before it reports that some of it would not die (processes in an
/// uninterruptible wait, or of another user). It goes on trying after that.
pub const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How long a pipe may stay open after the tree is gone before its reader gives up: only a process outside the tree
/// that was handed the pipe can hold it then.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// How long a keeper has to answer a request.
pub const START_DEADLINE: Duration = Duration::from_secs(20);

/// The largest request: command line, environment and directory together. The kernel's own limit on a command line
/// is lower (about 2 MiB, 128 KiB for one argument); big prompts go by stdin.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Up to how many files the engine may have open at once: [`Keeper::start`] raises the soft limit to this or to the
/// hard limit, whichever is lower. A kept agent takes four. Agents get the limit that the engine began with.
pub const OPEN_FILES_MAX: u64 = 65_536;
