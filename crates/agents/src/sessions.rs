//! Who works in which session of a vendor's program, and where its counts stand.
//!
//! Nothing stops two processes from resuming one Claude session: both succeed, and one history is lost. So a session
//! is taken before it is resumed and given back when its process is gone: among the tries of this engine by name, and
//! among engines by a locked file where a directory for that is given. The same file remembers what the session had
//! consumed, for vendors that only ever tell totals.

use std::collections::{HashMap, HashSet};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::decode::Totals;

/// How many sessions' totals are remembered without a directory; beyond it all are forgotten, and usage is estimated.
const REMEMBERED_MAX: usize = 10_000;

/// The sessions of one vendor.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    vendor: &'static str,
    directory: Option<PathBuf>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: HashSet<String>,
    totals: HashMap<String, Totals>,
}

/// The right to work in a session, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    sessions: Sessions,
    id: String,
    file: Option<File>,
}

/// Somebody else works in that session.
#[derive(Debug, thiserror::Error)]
#[error(
    "session {id} is in use by another try, and two at once would lose one of the histories; wait for it, or start without a session"
)]
pub(crate) struct InUse {
    id: String,
}

impl Sessions {
    /// The sessions of a vendor; with a directory also those of other engines that were given the same one.
    pub(crate) fn new(vendor: &'static str, directory: Option<PathBuf>) -> Sessions {
        Sessions {
            vendor,
            directory,
            inner: Arc::default(),
        }
    }

    /// Takes a session.
    pub(crate) fn take(&self, id: &str) -> Result<Held, InUse> {
        let in_use = || InUse { id: id.to_owned() };
        if !self.lock().taken.insert(id.to_owned()) {
            return Err(in_use());
        }
        let mut held = Held {
            sessions: self.clone(),
            id: id.to_owned(),
            file: None,
        };
        if let Some(directory) = &self.directory
            && let Some(file) = open(directory, self.vendor, id)
        {
            match file.try_lock() {
                Ok(()) => held.file = Some(file),
                Err(TryLockError::WouldBlock) => return Err(in_use()),
                // A file system without locks: the names in this process still hold.
                Err(TryLockError::Error(_)) => {}
            }
        }
        Ok(held)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Where the session's counts stood when it was last left; none when nobody remembers.
    pub(crate) fn totals(&mut self) -> Option<Totals> {
        if let Some(totals) = self.sessions.lock().totals.get(&self.id) {
            return Some(*totals);
        }
        let file = self.file.as_mut()?;
        let mut text = String::new();
        file.rewind().ok()?;
        file.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Remembers where they stand now.
    pub(crate) fn remember(&mut self, totals: Totals) {
        let mut inner = self.sessions.lock();
        if inner.totals.len() >= REMEMBERED_MAX {
            inner.totals.clear();
        }
        inner.totals.insert(self.id.clone(), totals);
        drop(inner);
        if let Some(file) = &mut self.file {
            // Lost counts make the next turn's usage an estimate; that is no reason to fail this one.
            let _ = rewrite(file, totals);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Said, and not left to the closing: a process that is being started just now has the open file until it executes,
        // and the lock would last as long.
        if let Some(file) = &self.file {
            let _ = file.unlock();
        }
        self.sessions.lock().taken.remove(&self.id);
    }
}

fn open(directory: &Path, vendor: &str, id: &str) -> Option<File> {
    // Ids come from outside: only what a session id is made of becomes part of a path.
    let name: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .take(100)
        .collect();
    std::fs::create_dir_all(directory).ok()?;
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(directory.join(format!("{vendor}-{name}.json")))
        .ok()
}

fn rewrite(file: &mut File, totals: Totals) -> std::io::Result<()> {
    let text = serde_json::to_string(&totals)?;
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_taken_once_and_given_back() {
        let sessions = Sessions::new("claude", None);
        let held = sessions.take("a").unwrap();
        assert!(sessions.clone().take("a").is_err());
        assert!(sessions.take("b").is_ok());
        drop(held);
        assert!(sessions.take("a").is_ok());
    }

    #[test]
    fn a_process_that_is_just_being_started_keeps_no_session() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = Sessions::new("claude", Some(directory.path().into()));
        let held = sessions.take("a").unwrap();
        let as_a_fork_has_it = held.file.as_ref().unwrap().try_clone().unwrap();
        drop(held);
        assert!(sessions.take("a").is_ok());
        drop(as_a_fork_has_it);
    }

    #[test]
    fn another_engine_on_the_same_directory_is_kept_out_and_learns_the_totals() {
        let directory = tempfile::tempdir().unwrap();
        let totals = Totals {
            input: 7,
            ..Totals::default()
        };
        let ours = Sessions::new("codex", Some(directory.path().into()));
        let theirs = Sessions::new("codex", Some(directory.path().into()));
        let mut held = ours.take("../a").unwrap();
        held.remember(totals);
        assert!(theirs.take("../a").is_err());
        assert!(theirs.take("b").is_ok());
        drop(held);
        let mut held = theirs.take("../a").unwrap();
        assert_eq!(held.totals(), Some(totals));
        assert!(
            directory.path().join("codex-a.json").exists(),
            "nothing outside the directory"
        );
    }
}
