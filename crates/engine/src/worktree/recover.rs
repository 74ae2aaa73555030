//! The start after any end: what a killed engine left half done is put right. Only the engine calls this, once,
//! holding the state directory's lock, before any agent runs.

use std::fs;

use super::error::Error;
use super::record::{Desk, Stage, TreeRecord};
use super::{Trees, names, ports, trash};

impl Trees {
    /// Puts right what a kill left: trees begun and not ended, checkouts of checks, entries of trees that are gone,
    /// locks of killed gits on our refs, leases without a tree. Gives back what people should know.
    pub fn recover(&self) -> Result<Vec<String>, Error> {
        self.desk.prepare()?;
        let held = self.lock.hold()?;
        let mut notices = Vec::new();
        for record in self
            .desk
            .trees()?
            .into_iter()
            .filter(|record| record.store == self.store)
        {
            let path = self.desk.tree_path(record.run, &record.key);
            match record.stage {
                Stage::Making => self.undo_making(&held, &path, &record)?,
                Stage::Present if !path.exists() => {
                    let task = names::task(record.run, &record.key);
                    notices.push(format!(
                        "the tree of {task} was deleted from outside; its branch {} is kept",
                        record.branch
                    ));
                    self.unregister(&held, &path)?;
                    self.desk.set_tree(&TreeRecord {
                        stage: Stage::Removed,
                        set_up: false,
                        ..record
                    })?;
                }
                Stage::Present => {}
                // Killed between setting the directory aside and saying so to git.
                Stage::Removed => {
                    if !path.exists() && self.is_registered(&path)? {
                        self.unregister(&held, &path)?;
                    }
                }
            }
        }
        for place in unknown_trees(&self.desk)? {
            let trashed = self.to_trash_unknown(&place)?;
            self.unregister(&held, &place)?;
            notices.push(format!(
                "{} had no record and is now {}",
                place.display(),
                trashed.display()
            ));
        }
        for checkout in listed(&self.desk.checkouts())? {
            trash::delete(&checkout)?;
            self.unregister(&held, &checkout)?;
        }
        self.unregister_gone(&held)?;
        for trashed in listed(&self.desk.trash())? {
            trash::unlink(&trashed)?;
        }
        self.drop_ref_locks()?;
        ports::reclaim(&self.desk, &self.store)?;
        Ok(notices)
    }

    fn is_registered(&self, path: &std::path::Path) -> Result<bool, Error> {
        Ok(self.locks()?.iter().any(|(at, _)| at == path))
    }

    /// Entries below our own directories that lead nowhere. Those of others are left to `git worktree prune`.
    fn unregister_gone(&self, held: &super::lock::Held<'_>) -> Result<(), Error> {
        let ours = [self.desk.worktrees(), self.desk.checkouts()];
        for (path, _) in self.locks()? {
            if ours.iter().any(|place| path.starts_with(place)) && !path.exists() {
                self.unregister(held, &path)?;
            }
        }
        Ok(())
    }

    /// `NAME.lock` beside our refs: a git that was killed there. Nobody else writes these refs, and none of our gits
    /// is alive while the repository's lock is ours.
    fn drop_ref_locks(&self) -> Result<(), Error> {
        for run in self.desk.runs()? {
            let branches = self.common.join("refs/heads").join(&run.prefix);
            let mut locks = listed(&branches)?;
            locks.push(
                self.common
                    .join(format!("{}.lock", names::head(&names::merged_branch(&run.prefix)))),
            );
            locks.extend(listed(
                &self.common.join(names::refs(&self.tag)).join(run.run.to_string()),
            )?);
            for lock in locks {
                if lock.extension().is_some_and(|extension| extension == "lock") && lock.is_file() {
                    fs::remove_file(&lock).map_err(|source| Error::io("delete the stale lock", &lock, source))?;
                }
            }
        }
        Ok(())
    }
}

/// Directories among the trees that no record speaks of.
pub(super) fn unknown_trees(desk: &Desk) -> Result<Vec<std::path::PathBuf>, Error> {
    let known: Vec<String> = desk
        .trees()?
        .iter()
        .map(|record| names::directory(record.run, &record.key))
        .collect();
    let mut places = listed(&desk.worktrees())?;
    places.retain(|place| {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        !known.iter().any(|known| *known == name)
    });
    Ok(places)
}

/// What is in a directory, which need not be there.
pub(super) fn listed(directory: &std::path::Path) -> Result<Vec<std::path::PathBuf>, Error> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::io("list", directory, source)),
    }
}
