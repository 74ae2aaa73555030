//! A copy of a store, taken while it is in use.

use std::fs;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use wheelhouse_core::store::Failure;

use crate::failure::{failure, io_failure};
use crate::sqlite::BUSY_TIMEOUT;

/// Copies the store in `path` to the new file `to`, as it is at one moment. `to` is complete when it appears.
pub fn backup(path: &Path, to: &Path) -> Result<(), Failure> {
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    // Left over from a copy that was interrupted.
    match fs::remove_file(part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_failure(error)),
        _ => {}
    }
    copy(path, part).map_err(|error| failure(path, error))?;
    fs::rename(part, to).map_err(io_failure)
}

fn copy(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    source.busy_timeout(BUSY_TIMEOUT)?;
    let mut target = Connection::open(to)?;
    {
        // All pages in one step: in more, every commit of the engine would begin the copy again.
        let copying = Backup::new(&source, &mut target)?;
        while copying.step(-1)? != StepResult::Done {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    // One file, without a log beside it.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    target.close().map_err(|(_, error)| error)
}
