//! What went wrong in SQLite, as the caller sees it: full, busy, damaged, too new, or plain input and output.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use rusqlite::ErrorCode;
use rusqlite::ffi;
use wheelhouse_core::store::{Failure, Refused};

/// Less than this much room left where the store lies: an error of writing means that the disk is full.
const ROOM_MIN: u64 = 256 * 1024;

/// Why a command did not go through: an answer for its caller, or the end of the whole batch.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refused),
    Sqlite(rusqlite::Error),
    /// A row says something that no version of this program wrote.
    Damaged(String),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Sqlite(error)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Stop::Refused(refused)
    }
}

pub(crate) type Answer<T> = Result<T, Stop>;

impl Stop {
    /// For callers that have nobody to refuse.
    pub(crate) fn into_failure(self, path: &Path) -> Failure {
        match self {
            Stop::Refused(refused) => Failure::Io(Box::new(refused)),
            Stop::Sqlite(error) => failure(path, error),
            Stop::Damaged(what) => Failure::Damaged(what),
        }
    }
}

/// Classifies an error of SQLite at the store in `path`.
pub(crate) fn failure(path: &Path, error: rusqlite::Error) -> Failure {
    let code = error.sqlite_error().map(|inner| (inner.code, inner.extended_code));
    match (code, &error) {
        (Some((ErrorCode::DiskFull, _)), _) => Failure::Full(Box::new(error)),
        (Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)), _) => Failure::Busy(Box::new(error)),
        (Some((ErrorCode::NotADatabase, _)), _) => Failure::Damaged(format!("{} is not a database", path.display())),
        (Some((ErrorCode::DatabaseCorrupt, _)), _) => Failure::Damaged(format!("{}: {error}", path.display())),
        // Growing the shared index of the log, or a quota: SQLite reports these as plain errors of writing.
        (Some((ErrorCode::SystemIoFailure, extended)), _) if is_write(extended) && no_room(path) => {
            Failure::Full(Box::new(error))
        }
        (_, rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)) => {
            Failure::Damaged(format!("{}: {error}", path.display()))
        }
        (_, rusqlite::Error::IntegralValueOutOfRange(..)) => Failure::Damaged(format!("{}: {error}", path.display())),
        _ => Failure::Io(Box::new(error)),
    }
}

/// Classifies an error of the file system at `path`.
pub(crate) fn io_failure(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Failure::Full(Box::new(error)),
        _ => Failure::Io(Box::new(error)),
    }
}

fn is_write(extended_code: i32) -> bool {
    matches!(
        extended_code,
        ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMOPEN
            | ffi::SQLITE_IOERR_SHMMAP
    )
}

fn no_room(path: &Path) -> bool {
    let place = path.parent().unwrap_or(path);
    statvfs(place).is_ok_and(|fs| room_bytes(&fs) < ROOM_MIN)
}

#[expect(
    clippy::useless_conversion,
    reason = "the width of these numbers differs between systems"
)]
fn room_bytes(fs: &nix::sys::statvfs::Statvfs) -> u64 {
    u64::from(fs.blocks_available()).saturating_mul(u64::from(fs.fragment_size()))
}
