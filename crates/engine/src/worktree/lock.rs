//! One writer per repository: a mutex within this process and a file lock in the repository's common directory, so
//! that two engines on two worktrees of one repository do not race on `.git/worktrees` either.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;

/// A lock by its file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FileLock {
    path: PathBuf,
    /// Waiting within the process costs nothing; only others are polled for.
    inside: Arc<Mutex<()>>,
    wait: Duration,
}

/// The lock, held until this is dropped.
pub(crate) struct Held<'a> {
    pub(crate) file: File,
    _inside: MutexGuard<'a, ()>,
}

impl FileLock {
    pub(crate) fn at(path: PathBuf, wait: Duration) -> FileLock {
        static ALL: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = Arc::clone(all.entry(path.clone()).or_default());
        FileLock { path, inside, wait }
    }

    /// Waits for the lock, within limits.
    pub(crate) fn hold(&self) -> Result<Held<'_>, Error> {
        // The mutex guards no data: what a panicked holder left is what a killed one leaves.
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let file = open(&self.path)?;
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Held { file, _inside: inside }),
                Err(TryLockError::WouldBlock) if began.elapsed() < self.wait => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Busy {
                        path: self.path.clone(),
                        waited: self.wait,
                    });
                }
                Err(TryLockError::Error(source)) => return Err(Error::io("lock", &self.path, source)),
            }
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options
        .open(path)
        .map_err(|source| Error::io("open the lock", path, source))
}
