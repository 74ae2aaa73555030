//! Files that nobody but their owner may read.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes it beside its place and moves it there: whoever reads finds all of it or none. Without fsync: for what can be made
/// anew.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut half = OsString::from(path);
    half.push(format!(".{}.part", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)?;
    file.write_all(bytes)?;
    fs::rename(&half, path)
}
