//! A clean checkout of a commit, for checks: nothing in it but what is committed, gone when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wheelhouse_core::ids::{RunId, TaskKey};

use super::error::Error;
use super::record::Desk;
use super::{Trees, names, trash};

/// A clean checkout. Dropping it removes it; what a kill leaves is removed at the next start.
pub struct CleanCheckout<'a> {
    /// Who must forget the worktree; nobody, when it is a copy.
    trees: Option<&'a Trees>,
    path: PathBuf,
    project: PathBuf,
}

impl std::fmt::Debug for CleanCheckout<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CleanCheckout")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A place for a checkout that no other of this process has.
pub(super) fn place(desk: &Desk) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    desk.checkouts().join(format!("c{}-{number}", std::process::id()))
}

impl Trees {
    /// Checks out a branch or commit where nobody works. It is on no branch, so nothing done in it moves one.
    pub fn checkout_clean(&self, revision: &str) -> Result<CleanCheckout<'_>, Error> {
        self.desk.prepare()?;
        let path = place(&self.desk);
        let held = self.lock.hold()?;
        if path.exists() {
            // A process of the same number, killed before the last start of the machine.
            trash::delete(&path)?;
            self.unregister(&held, &path)?;
        }
        let call = self.git.at(&self.root).holding(&held.file)?;
        let added = call
            .args(["worktree", "add", "-q", "--detach"])
            .arg(&path)
            .arg(revision)
            .without_hooks()
            .run();
        // From here on a failure is cleaned up like an end.
        let checkout = CleanCheckout {
            trees: Some(self),
            project: path.join(&self.prefix),
            path,
        };
        drop(held);
        added.map(|_| checkout)
    }
}

impl Trees {
    /// A clean checkout of what is committed on a task's branch.
    pub fn checkout_task(&self, run: RunId, key: &TaskKey) -> Result<CleanCheckout<'_>, Error> {
        let record = self.record(run, key)?;
        self.checkout_clean(&names::head(&record.branch))
    }
}

impl CleanCheckout<'_> {
    /// The top of the checkout.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the project is within it.
    pub fn project(&self) -> &Path {
        &self.project
    }

    /// A checkout that is a copy.
    pub(super) fn copied(path: PathBuf) -> CleanCheckout<'static> {
        CleanCheckout {
            trees: None,
            project: path.clone(),
            path,
        }
    }

    /// Makes it a clean checkout of another commit; a copy stays what it is.
    pub(super) fn switch(&mut self, revision: &str) -> Result<(), Error> {
        let Some(trees) = self.trees else { return Ok(()) };
        let git = || trees.git.at(&self.path).without_hooks();
        git().args(["checkout", "-q", "--force", "--detach", revision]).run()?;
        git().args(["clean", "-ffdxq"]).run().map(drop)
    }
}

impl Drop for CleanCheckout<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        if trash::delete(&self.path).is_ok()
            && let Some(trees) = self.trees
            && let Ok(held) = trees.lock.hold()
        {
            let _ = trees.unregister(&held, &self.path);
        }
    }
}
