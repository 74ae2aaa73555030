//! Taking trees away: by their owner, with everything committed, and to the trash first.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::time::Millis;

use super::error::Error;
use super::finish::{Problem, Saved};
use super::git::Hooks;
use super::lock::Held;
use super::record::{Desk, Stage, TreeRecord};
use super::{Trees, names, ports};

impl Trees {
    /// Takes a task's tree away; its branch stays. Gives back where the files are until the trash is emptied.
    ///
    /// What is not committed is committed first, without hooks. [`Error::Kept`] when something cannot be (a
    /// repository within the tree), [`Error::NotOurs`] when the worktree's lock is not this store's. The task's
    /// agent must have ended. Leased ports are given back.
    pub fn remove(&self, run: RunId, key: &TaskKey, now: Millis) -> Result<PathBuf, Error> {
        let record = self.present(run, key)?;
        let path = self.desk.tree_path(run, key);
        let held = self.lock.hold()?;
        self.owned(&path, &record)?;
        if path.exists() {
            self.keep_work(&path, &record)?;
        }
        let trashed = self.set_aside(&held, &path, now)?;
        self.desk.set_tree(&TreeRecord {
            stage: Stage::Removed,
            set_up: false,
            ..record
        })?;
        self.release(run, key)?;
        Ok(trashed)
    }

    /// Gives up a task's work: its tree goes to the trash and its branch is kept there too, as a ref, for as long.
    ///
    /// Gives back the ref, if there was a branch. A damaged tree is set aside as it is.
    pub fn discard(&self, run: RunId, key: &TaskKey, now: Millis) -> Result<Option<String>, Error> {
        let record = self.record(run, key)?;
        let path = self.desk.tree_path(run, key);
        let held = self.lock.hold()?;
        if record.stage == Stage::Present && path.exists() {
            self.owned(&path, &record)?;
            if self.insides(&path).is_ok() {
                self.keep_work(&path, &record)?;
            }
        }
        self.set_aside(&held, &path, now)?;
        let kept = self.branch_to_trash(&record, now)?;
        self.desk.drop_tree(run, key)?;
        self.release(run, key)?;
        Ok(kept)
    }

    /// Forgets a whole run: every tree and branch of it goes to the trash. What cannot go is left, and said.
    pub fn forget(&self, run: RunId, now: Millis) -> Result<Vec<Error>, Error> {
        let Some(record) = self.known_run(run)? else {
            return Ok(Vec::new());
        };
        let mut left = Vec::new();
        for tree in self
            .desk
            .trees()?
            .into_iter()
            .filter(|tree| tree.run == run && tree.store == self.store)
        {
            if let Err(error) = self.discard(run, &tree.key, now) {
                left.push(error);
            }
        }
        if left.is_empty() {
            let merged = names::merged_branch(&record.prefix);
            self.ref_to_trash(&merged, &format!("{run}.merged"), now)?;
            let base = self.base_ref(run);
            self.git.at(&self.root).args(["update-ref", "-d", &base]).run()?;
            self.desk.drop_run(run)?;
            self.runs
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .remove(&run);
        }
        Ok(left)
    }

    /// Deletes for good what has been in the trash for longer. Gives back how many trees and branches went.
    pub fn empty_trash(&self, now: Millis, older_than: Duration) -> Result<usize, Error> {
        let mut gone = empty(&self.desk, now, older_than)?;
        let below = format!("{}/trash/", names::refs(&self.tag));
        let answer = self
            .git
            .at(&self.root)
            .args(["for-each-ref", "--format=%(refname)", &below])
            .run()?;
        for name in answer.lines() {
            let at = name.strip_prefix(&below).and_then(names::trashed_at);
            if at.is_some_and(|at| now.since(at) > older_than) {
                self.git.at(&self.root).args(["update-ref", "-d", &name]).run()?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Whether the worktree's lock says that it is ours. A path git does not know (any more) is nobody else's.
    fn owned(&self, path: &Path, record: &TreeRecord) -> Result<(), Error> {
        let reason = names::lock_reason(&self.store, record.run, &record.key);
        let Some(found) = self.locks()?.into_iter().find(|(at, _)| at == path) else {
            return Ok(());
        };
        match found.1 {
            Some(found) if found == reason => Ok(()),
            found => {
                let found = found.map_or("it is not locked".to_owned(), |found| format!("locked as `{found}`"));
                Err(Error::NotOurs {
                    what: path.display().to_string(),
                    found,
                })
            }
        }
    }

    /// Every worktree git knows, with the reason of its lock.
    pub(super) fn locks(&self) -> Result<Vec<(PathBuf, Option<String>)>, Error> {
        use std::os::unix::ffi::OsStrExt;
        let answer = self
            .git
            .at(&self.root)
            .args(["worktree", "list", "--porcelain", "-z"])
            .run()?;
        let mut found: Vec<(PathBuf, Option<String>)> = Vec::new();
        for record in answer.records() {
            if let Some(path) = record.strip_prefix(b"worktree ") {
                found.push((PathBuf::from(std::ffi::OsStr::from_bytes(path)), None));
            } else if let (Some(reason), Some(last)) = (record.strip_prefix(b"locked"), found.last_mut()) {
                last.1 = Some(super::lossy(reason.strip_prefix(b" ").unwrap_or(reason)));
            }
        }
        Ok(found)
    }

    /// Commits everything, or says what would be lost.
    fn keep_work(&self, path: &Path, record: &TreeRecord) -> Result<(), Error> {
        let task = names::task(record.run, &record.key);
        if let Err(why) = self.insides(path) {
            return Err(Error::Damaged {
                task,
                path: path.to_owned(),
                why,
            });
        }
        let message = format!("Work of {task} when its tree was taken away");
        let Saved { problems, .. } = self.save(path, record, &message, Some(Hooks::Off))?;
        for problem in problems {
            match problem {
                Problem::Repositories(_) => {
                    return Err(Error::Kept {
                        path: path.to_owned(),
                        why: problem.to_string(),
                    });
                }
                // Committed, or kept by a ref.
                Problem::OffBranch { .. }
                | Problem::LeftConflicts(_)
                | Problem::Rewritten
                | Problem::LentCommitted(_) => {}
            }
        }
        Ok(())
    }

    /// Moves the directory to the trash and makes git forget the worktree.
    fn set_aside(&self, held: &Held<'_>, path: &Path, now: Millis) -> Result<PathBuf, Error> {
        let trashed = if path.exists() {
            to_trash(&self.desk, path, now)?
        } else {
            path.to_owned()
        };
        self.unregister(held, path)?;
        Ok(trashed)
    }

    /// A directory that no record speaks of. Its time is that of its last change: no clock is at hand.
    pub(super) fn to_trash_unknown(&self, path: &Path) -> Result<PathBuf, Error> {
        to_trash(&self.desk, path, changed_at(path))
    }

    fn branch_to_trash(&self, record: &TreeRecord, now: Millis) -> Result<Option<String>, Error> {
        self.ref_to_trash(&record.branch, &names::directory(record.run, &record.key), now)
    }

    /// Puts a branch away. In two steps, the keeping first.
    fn ref_to_trash(&self, branch: &str, name: &str, now: Millis) -> Result<Option<String>, Error> {
        let Some((_, tip)) = self.tips(&[branch.to_owned()])?.into_iter().next() else {
            return Ok(None);
        };
        let kept = format!("{}/trash/{}", names::refs(&self.tag), names::trashed(now, name));
        self.git.at(&self.root).args(["update-ref", &kept, &tip]).run()?;
        self.git
            .at(&self.root)
            .args(["update-ref", "-d", &names::head(branch), &tip])
            .run()?;
        Ok(Some(kept))
    }

    fn release(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        ports::release(&self.desk, &self.store, run, key)
    }
}

/// Moves a directory to the trash. Its link to the repository goes: the next tree of that name would answer to it.
pub(super) fn to_trash(desk: &Desk, path: &Path, now: Millis) -> Result<PathBuf, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut place = desk.trash().join(names::trashed(now, &name));
    let mut number = 1;
    while place.symlink_metadata().is_ok() {
        number += 1;
        place = desk.trash().join(names::trashed(now, &format!("{name}.{number}")));
    }
    fs::rename(path, &place).map_err(|source| Error::io("move to the trash", path, source))?;
    unlink(&place)?;
    Ok(place)
}

/// Deletes the `.git` link of something in the trash; a repository of its own stays one.
pub(super) fn unlink(place: &Path) -> Result<(), Error> {
    let link = place.join(".git");
    if link.is_file() {
        fs::remove_file(&link).map_err(|source| Error::io("delete", &link, source))?;
    }
    Ok(())
}

/// Deletes what has been in the trash directory for longer.
pub(super) fn empty(desk: &Desk, now: Millis, older_than: Duration) -> Result<usize, Error> {
    let directory = desk.trash();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(Error::io("list", &directory, source)),
    };
    let mut gone = 0;
    for entry in entries.flatten() {
        let at = entry.file_name().to_str().and_then(names::trashed_at);
        if at.is_some_and(|at| now.since(at) > older_than) {
            delete(&entry.path())?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// Deletes a directory with everything in it, what is write-protected too (package caches are).
pub(super) fn delete(path: &Path) -> Result<(), Error> {
    let first = fs::remove_dir_all(path);
    let again = match first {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(path).and_then(|()| fs::remove_dir_all(path))
        }
        other => other,
    };
    match again {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            fs::remove_file(path).map_err(|source| Error::io("delete", path, source))
        }
        Err(source) => Err(Error::io("delete", path, source)),
        Ok(()) => Ok(()),
    }
}

fn make_writable(top: &Path) -> io::Result<()> {
    let mut directories = vec![top.to_owned()];
    while let Some(directory) = directories.pop() {
        let mut permissions = fs::symlink_metadata(&directory)?.permissions();
        permissions.set_mode(permissions.mode() | 0o700);
        fs::set_permissions(&directory, permissions)?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(())
}

pub(super) fn changed_at(path: &Path) -> Millis {
    let changed = path.symlink_metadata().and_then(|found| found.modified()).ok();
    let since = changed
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
