//! Files of the state directory that nothing in the store belongs to any more: logs and reports of runs that are gone,
//! halves of files that were being written, backups and copies of artifacts past their time.
//!
//! `fsck` names them, `gc` removes them. Whatever is not known by name is left alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::Millis;

use crate::failure::Failure;
use crate::place::Place;

/// A half-written file younger than this may still be being written.
const HALF_WRITTEN: Duration = Duration::from_secs(3_600);

/// The files without an owner; backups and copies count when they are older than `before`. Runs in `gone` are taken as removed.
pub(crate) fn find(
    place: &Place,
    reader: &mut dyn Reader,
    before: Millis,
    gone: &[RunId],
) -> Result<Vec<PathBuf>, Failure> {
    let runs = reader.runs(u32::MAX)?;
    let is_quiet = runs.iter().all(|run| run.counts.running == 0);
    let mut known: BTreeSet<String> = runs.iter().map(|run| run.id.to_string()).collect();
    for run in gone {
        known.remove(&run.to_string());
    }
    let mut files = Vec::new();
    for path in entries(&place.logs()) {
        if name(&path).parse::<RunId>().is_ok() && !known.contains(&name(&path)) {
            files.push(path);
        }
    }
    for path in entries(&place.reports()) {
        let run = name(&path).strip_suffix(".md").map(str::to_owned);
        if is_half(&path) || run.is_some_and(|run| run.parse::<RunId>().is_ok() && !known.contains(&run)) {
            files.push(path);
        }
    }
    files.extend(entries(&place.state_dir).into_iter().filter(|path| is_half(path)));
    let is_old = |path: &PathBuf| changed(path).is_some_and(|at| at < before);
    files.extend(entries(&place.backups()).into_iter().filter(is_old));
    if is_quiet {
        // Copies of what the store holds, made when a task wants to read them; they are made again when needed.
        files.extend(entries(&place.artifacts()).into_iter().filter(is_old));
    }
    files.sort();
    Ok(files)
}

/// What lies in the directory; nothing when there is none.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn changed(path: &Path) -> Option<Millis> {
    let at = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// A temporary file of ours whose writer did not live to rename it.
fn is_half(path: &Path) -> bool {
    let name = name(path);
    let ours = name.starts_with('.') && name.ends_with(".tmp");
    let age = std::fs::symlink_metadata(path)
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    ours && age.is_some_and(|age| age > HALF_WRITTEN)
}

/// How many bytes it takes, with all below it.
pub(crate) fn size(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => entries(path).iter().map(|path| size(path)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

/// Takes it away, with all below it. What is gone already is no failure.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    let is_dir = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let removed = if is_dir {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
