//! Trees or copies, whichever the project takes: one set of verbs for the engine and the commands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wheelhouse_core::ids::{AttemptNumber, RunId, TaskKey};
use wheelhouse_core::time::Millis;

use super::{
    Changed, CleanCheckout, Copies, Delivery, Diff, Error, Landing, Options, Stat, Teardown, Tree, Trees, Verify, What,
    names,
};

/// Where isolated tasks of a project work.
#[derive(Debug)]
pub enum Workplace {
    /// In worktrees of its repository.
    Git(Trees),
    /// In copies.
    Copies(Copies),
}

impl Workplace {
    /// Worktrees when the project is in a git repository, else copies.
    pub fn open(project: &Path, state_dir: &Path, options: Options) -> Result<Workplace, Error> {
        match Trees::open(project, state_dir, options.clone())? {
            Some(trees) => Ok(Workplace::Git(trees)),
            None => Copies::open(project, state_dir, options).map(Workplace::Copies),
        }
    }

    /// See [`Trees::recover`].
    pub fn recover(&self) -> Result<Vec<String>, Error> {
        match self {
            Workplace::Git(trees) => trees.recover(),
            Workplace::Copies(copies) => copies.recover(),
        }
    }

    /// See [`Trees::create`].
    pub fn create(&self, run: RunId, key: &TaskKey, attempt: AttemptNumber, needs: &[TaskKey]) -> Result<Tree, Error> {
        match self {
            Workplace::Git(trees) => trees.create(run, key, attempt, needs),
            Workplace::Copies(copies) => copies.create(run, key, attempt, needs),
        }
    }

    /// See [`Trees::mark_set_up`].
    pub fn mark_set_up(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        match self {
            Workplace::Git(trees) => trees.mark_set_up(run, key),
            Workplace::Copies(copies) => copies.mark_set_up(run, key),
        }
    }

    /// See [`Trees::finish`].
    pub fn finish(&self, run: RunId, key: &TaskKey, message: &str) -> Result<Changed, Error> {
        match self {
            Workplace::Git(trees) => trees.finish(run, key, message),
            Workplace::Copies(copies) => copies.finish(run, key),
        }
    }

    /// What the task has finished, where nobody works: for its checks. Gone when dropped.
    pub fn checkout_clean(&self, run: RunId, key: &TaskKey) -> Result<CleanCheckout<'_>, Error> {
        match self {
            Workplace::Git(trees) => trees.checkout_task(run, key),
            Workplace::Copies(copies) => copies.checkout_clean(run, key),
        }
    }

    /// See [`Trees::touched`].
    pub fn touched(&self, run: RunId, key: &TaskKey) -> Result<BTreeSet<String>, Error> {
        match self {
            Workplace::Git(trees) => trees.touched(run, key),
            Workplace::Copies(copies) => copies.touched(run, key),
        }
    }

    /// Keeps what was seen of a task at work, for [`super::overlaps_seen`].
    pub fn note_touched(&self, run: RunId, key: &TaskKey, paths: &BTreeSet<String>) -> Result<(), Error> {
        match self {
            Workplace::Git(trees) => trees.desk.set_touched(run, key, paths),
            Workplace::Copies(copies) => copies.desk.set_touched(run, key, paths),
        }
    }

    /// See [`Trees::merge_batch`]; outside git one after the other, back into the project itself.
    pub fn merge_batch(&self, run: RunId, order: &[TaskKey], verify: Verify<'_>) -> Result<Vec<Landing>, Error> {
        match self {
            Workplace::Git(trees) => trees.merge_batch(run, order, verify),
            Workplace::Copies(copies) => order.iter().map(|key| copies.merge(run, key, verify)).collect(),
        }
    }

    /// See [`Trees::deliver`]. Outside git what is merged is delivered, and a task is merged without a check.
    pub fn deliver(&self, run: RunId, what: What<'_>) -> Result<Delivery, Error> {
        let copies = match self {
            Workplace::Git(trees) => return trees.deliver(run, what),
            Workplace::Copies(copies) => copies,
        };
        let branch = copies.project.display().to_string();
        let What::Task(key) = what else {
            return Ok(Delivery::NothingNew { branch });
        };
        let files = copies.changes(run, key)?;
        Ok(match copies.merge(run, key, &|_, _| Ok(()))? {
            Landing::Merged { .. } => {
                let (from, to) = (names::task(run, key), branch.clone());
                Delivery::Done {
                    branch,
                    from,
                    to,
                    stat: Stat::of(&files),
                    files,
                }
            }
            Landing::AlreadyMerged | Landing::NothingToMerge => Delivery::NothingNew { branch },
            Landing::Conflict(conflict) => Delivery::Conflict(conflict),
            Landing::CheckFailed { why, .. } => Delivery::Refused {
                words: why,
                files: Vec::new(),
            },
        })
    }

    /// See [`Trees::diff`].
    pub fn diff(&self, run: RunId, key: &TaskKey, bytes_max: usize) -> Result<Diff, Error> {
        match self {
            Workplace::Git(trees) => trees.diff(run, key, bytes_max),
            Workplace::Copies(copies) => copies.diff(run, key, bytes_max),
        }
    }

    /// See [`Trees::path`].
    pub fn path(&self, run: RunId, key: &TaskKey) -> Result<PathBuf, Error> {
        match self {
            Workplace::Git(trees) => trees.path(run, key),
            Workplace::Copies(copies) => copies.path(run, key),
        }
    }

    /// See [`Trees::list`].
    pub fn list(&self) -> Result<Vec<(RunId, TaskKey)>, Error> {
        match self {
            Workplace::Git(trees) => trees.list(),
            Workplace::Copies(copies) => copies.list(),
        }
    }

    /// See [`Trees::remove`].
    pub fn remove(&self, run: RunId, key: &TaskKey, now: Millis) -> Result<PathBuf, Error> {
        match self {
            Workplace::Git(trees) => trees.remove(run, key, now),
            Workplace::Copies(copies) => copies.remove(run, key, now),
        }
    }

    /// See [`Trees::discard`]. Says where the work is kept for now, if there was any.
    pub fn discard(&self, run: RunId, key: &TaskKey, now: Millis) -> Result<Option<String>, Error> {
        match self {
            Workplace::Git(trees) => trees.discard(run, key, now),
            Workplace::Copies(copies) => copies
                .remove(run, key, now)
                .map(|path| Some(path.display().to_string())),
        }
    }

    /// See [`Trees::teardown`].
    pub fn teardown(&self, run: RunId, key: &TaskKey) -> Result<Option<Teardown>, Error> {
        match self {
            Workplace::Git(trees) => trees.teardown(run, key),
            Workplace::Copies(copies) => copies.teardown(run, key),
        }
    }

    /// See [`Trees::forget`]. Of copies nothing is left when they are removed.
    pub fn forget(&self, run: RunId, now: Millis) -> Result<Vec<Error>, Error> {
        match self {
            Workplace::Git(trees) => trees.forget(run, now),
            Workplace::Copies(copies) => {
                let of_the_run = copies.list()?.into_iter().filter(|(of, _)| *of == run);
                let removed = of_the_run.map(|(run, key)| copies.remove(run, &key, now));
                Ok(removed.filter_map(Result::err).collect())
            }
        }
    }

    /// See [`Trees::empty_trash`].
    pub fn empty_trash(&self, now: Millis, older_than: Duration) -> Result<usize, Error> {
        match self {
            Workplace::Git(trees) => trees.empty_trash(now, older_than),
            Workplace::Copies(copies) => copies.empty_trash(now, older_than),
        }
    }
}
