//! Data of a set as it lies about: plain, or compressed (`.zst`, `.gz`). What cannot be read ends the benchmark with the
//! file, the line and the reason; a set that is not there is passed over.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Ends the benchmark with a reason.
pub(crate) fn stop(path: &Path, line: Option<usize>, why: impl std::fmt::Display) -> ! {
    let line = line.map_or_else(|| " ".to_owned(), |line| format!("{line}: "));
    eprintln!("measured: {}:{line}{why}", path.display());
    std::process::exit(1);
}

/// The files in a directory whose names end so, compressed or not, in order.
pub(crate) fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let of_kind = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let plain = name.trim_end_matches(".zst").trim_end_matches(".gz");
        path.is_file() && plain.ends_with(ending)
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(of_kind).collect();
    found.sort();
    found
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| stop(path, None, error));
    let mut text = String::new();
    let read = match path.extension().and_then(|kind| kind.to_str()) {
        Some("zst") => match ruzstd::decoding::StreamingDecoder::new(bytes.as_slice()) {
            Ok(mut decoder) => decoder.read_to_string(&mut text),
            Err(error) => stop(path, None, error),
        },
        Some("gz") => flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text),
        _ => bytes.as_slice().read_to_string(&mut text),
    };
    match read {
        Ok(_) => text,
        Err(error) => stop(path, None, error),
    }
}

/// Each record of a file of JSON Lines with its line; empty lines say nothing.
pub(crate) fn records(path: &Path) -> Vec<(usize, Value)> {
    let text = text(path);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let record = |(at, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(value) => (at + 1, value),
        Err(error) => stop(path, Some(at + 1), error),
    };
    lines.map(record).collect()
}
