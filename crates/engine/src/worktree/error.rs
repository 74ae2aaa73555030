//! Why the git layer could not do what it was asked: variants by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::conflict::Conflict;

/// Something about trees, branches or merges did not work. Nothing is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no git.
    #[error("there is no `git` on the PATH\n\ninstall git 2.40 or newer, or set `isolation: none`")]
    NoGit,
    /// Git is there and too old.
    #[error("{found} is too old: 2.40 is the oldest that does\n\nupdate git, or set `isolation: none`")]
    GitTooOld {
        /// What it calls itself.
        found: String,
    },
    /// The project is a repository without files.
    #[error(
        "{} is a bare repository: it has no files to work on\n\nrun in a checkout of it: `git worktree add ../work`",
        path.display()
    )]
    Bare {
        /// The repository.
        path: PathBuf,
    },
    /// Nothing was committed yet, so there is nothing to branch from.
    #[error(
        "the repository at {} has no commit yet, and a worktree starts from one\n\ncommit something first: `git add . && git commit -m start`",
        path.display()
    )]
    NoCommits {
        /// The repository.
        path: PathBuf,
    },
    /// Git refused; the words are its own.
    #[error("`{command}` failed (exit {code}): {words}")]
    Git {
        /// What was called.
        command: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        words: String,
    },
    /// Git did not end in time and was killed.
    #[error("`{command}` was not done within {}s and was stopped", after.as_secs())]
    GitTimedOut {
        /// What was called.
        command: String,
        /// The limit.
        after: Duration,
    },
    /// Git printed more than anything sensible would.
    #[error("`{command}` printed more than {bytes_max} bytes")]
    GitSaidTooMuch {
        /// What was called.
        command: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The disk is full. Work may go on once there is room.
    #[error(
        "the disk is full: {words}\n\nnothing is lost; make room, then try again (a task: `wheelhouse retry TASK`)"
    )]
    DiskFull {
        /// Who said so, how.
        words: String,
    },
    /// A file could not be used.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else works on the same repository for too long.
    #[error("{} was held by another process for {}s", path.display(), waited.as_secs())]
    Busy {
        /// The lock.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Branches that a task needs do not go together.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// What is there belongs to somebody else.
    #[error("{what} is not of this store ({found}); it is left alone")]
    NotOurs {
        /// The branch or directory.
        what: String,
        /// Whose it seems to be.
        found: String,
    },
    /// The tree cannot be taken away without losing something.
    #[error("the tree {} is kept: {why}", path.display())]
    Kept {
        /// The tree.
        path: PathBuf,
        /// What would be lost.
        why: String,
    },
    /// The task has no tree or branch.
    #[error("{task} has no tree; only tasks with `isolation: worktree` that were started have one")]
    NoTree {
        /// The task.
        task: String,
    },
    /// A tree was tampered with and cannot be used as it is.
    #[error("the tree {} is damaged: {why}\n\nit is left as it is; `wheelhouse discard {task}` sets it aside", path.display())]
    Damaged {
        /// The task.
        task: String,
        /// The tree.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A hook of the repository refused the commit.
    #[error("a hook of the repository refused the commit: {words}")]
    Hook {
        /// What it said.
        words: String,
    },
    /// A glob is not one.
    #[error("`{glob}` is not a glob: {why}")]
    Glob {
        /// What was given.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is more than may be copied.
    #[error("{} is more than may be copied: {found}, the limit is {limit}\n\n{hint}", path.display())]
    TooLarge {
        /// What was to be copied.
        path: PathBuf,
        /// How much it is.
        found: String,
        /// How much it may be, by its name.
        limit: String,
        /// What to do.
        hint: String,
    },
    /// Every port is taken.
    #[error("no {wanted} free ports are left between {first} and {last}")]
    NoPorts {
        /// How many were wanted.
        wanted: usize,
        /// The first that may be leased.
        first: u16,
        /// The last.
        last: u16,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Error {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if full {
            return Error::DiskFull {
                words: format!("cannot {what} {}: {source}", path.display()),
            };
        }
        Error::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn refused(command: String, code: i32, words: String) -> Error {
        let full = ["No space left on device", "Disk quota exceeded"];
        if full.iter().any(|says| words.contains(says)) {
            return Error::DiskFull { words };
        }
        Error::Git { command, code, words }
    }

    /// Git's words, when it was git that refused.
    pub(crate) fn words(&self) -> Option<&str> {
        match self {
            Error::Git { words, .. } => Some(words),
            _ => None,
        }
    }
}
