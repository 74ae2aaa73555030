//! One engine per state directory: an exclusive lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held by the engine for as long as it lives; the operating system gives it back when the process ends.
#[derive(Debug)]
pub struct StateLock {
    // Never read: the lock lasts as long as the file is open.
    _file: File,
}

/// The lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another engine has it.
    #[error("an engine is running on this state directory{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Taken {
        /// Its process, as far as it said so.
        pid: Option<u32>,
    },
    /// The lock file could not be used.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl StateLock {
    /// Takes the lock, or says who has it.
    pub fn acquire(state_dir: &Path) -> Result<StateLock, Error> {
        StateLock::acquire_as(state_dir, "engine.lock")
    }

    /// Takes another lock of the state directory, by the name of its file.
    pub fn acquire_as(state_dir: &Path, name: &str) -> Result<StateLock, Error> {
        let path = state_dir.join(name);
        let failed = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(Error::Taken {
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Who holds it is a courtesy to people; on a full disk the lock holds without it.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()));
        Ok(StateLock { _file: file })
    }
}

/// Whether an engine works on a state directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// Yes, in that process as far as it said so.
    Running(Option<u32>),
    /// No: nothing goes on until one is started.
    Absent,
}

/// Whether an engine has the lock. Takes a shared one for a blink, which an engine that is just starting waits out.
pub fn engine(state_dir: &Path) -> Engine {
    let Ok(file) = File::open(state_dir.join("engine.lock")) else {
        return Engine::Absent;
    };
    match file.try_lock_shared() {
        Ok(()) | Err(TryLockError::Error(_)) => Engine::Absent,
        Err(TryLockError::WouldBlock) => {
            let text = std::io::read_to_string(file).unwrap_or_default();
            Engine::Running(text.trim().parse().ok())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = StateLock::acquire(dir.path()).unwrap();
        match StateLock::acquire(dir.path()) {
            Err(Error::Taken { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        StateLock::acquire(dir.path()).unwrap();
    }
}
