//! Files that nobody but their owner may read.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes it beside its place and moves it there: whoever reads finds all of it or none. Without fsync: for what can be made
/// anew.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut half = OsString::from(path);
    half.push(format!(".{}.part", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&half, path));
    if written.is_err() {
        // On a full disk a half that stays makes it worse.
        let _ = fs::remove_file(&half);
    }
    written
}
