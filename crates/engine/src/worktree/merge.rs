//! Merging: task branches come together on the run's branch, as many at a time as wait, checked before it moves.
//! Called by the engine's merge queue.
//!
//! Merging happens in git's object store, without a work tree: a kill leaves nothing half merged, only unused
//! objects. The branch moves by one step, from the commit it was known to be at. The order is the caller's.

use std::path::Path;

use wheelhouse_core::ids::{RunId, TaskKey};

use super::conflict::{self, Conflict, ConflictedFile, FILES_SHOWN_MAX};
use super::error::Error;
use super::lock::FileLock;
use super::record::{RunRecord, TreeRecord};
use super::{CleanCheckout, MERGE_WAIT_MAX, Trees, lossy, names};

/// How much of a conflicting file is looked at, in bytes.
const CONFLICTED_BYTES_MAX: usize = 1 << 20;

/// A check of a merge result, in a clean checkout of it: fine, or why not. The tasks are those whose work came into it
/// with this merge: only their checks can be asked of it, for those of others may look for what is not there yet.
pub type Verify<'a> = &'a dyn Fn(&Path, &[TaskKey]) -> Result<(), String>;

/// What became of a branch that was to be merged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Landing {
    /// It is merged, and the result passed the check.
    Merged {
        /// The merge commit; none outside git.
        commit: Option<String>,
    },
    /// It was merged before.
    AlreadyMerged,
    /// It changed nothing.
    NothingToMerge,
    /// It does not go together with what was merged before. Both sides are as they were.
    Conflict(Conflict),
    /// The result of merging it did not pass. The branch with the merged work has not moved.
    CheckFailed {
        /// The merge commit, on no branch; none outside git.
        commit: Option<String>,
        /// What the check said.
        why: String,
    },
}

/// The outcome of merging two commits in the object store.
pub(super) enum Merged {
    Tree(String),
    Conflict(Box<Conflict>),
}

/// A task's branch, ready to be merged.
struct Ready {
    place: usize,
    key: TaskKey,
    branch: String,
    tip: String,
    message: String,
}

/// A merge commit that is on no branch yet.
struct Step {
    place: usize,
    key: TaskKey,
    commit: String,
}

impl Trees {
    /// Merges all of them with as few checks as can be: all at once, and halves of it when that fails, until those
    /// that break the check are found; the others land. One answer for each, in their order.
    pub fn merge_batch(&self, run: RunId, order: &[TaskKey], verify: Verify<'_>) -> Result<Vec<Landing>, Error> {
        let record = self.run_of(run)?;
        let lock = self.merge_lock(run);
        let _held = lock.hold()?;
        let tip = self.merged_tip(&record)?;
        let mut landings = vec![Landing::NothingToMerge; order.len()];
        let mut ready = Vec::new();
        for (place, key) in order.iter().enumerate() {
            match self.ready(&record, place, key, &tip)? {
                Ok(one) => ready.push(one),
                Err(landing) => landings[place] = landing,
            }
        }
        if !ready.is_empty() {
            let mut batch = Batch {
                record: &record,
                tip: tip.clone(),
                checkout: None,
                verify,
                landings,
            };
            self.land(&mut batch, &ready)?;
            landings = batch.landings;
        }
        Ok(landings)
    }

    /// Lands what passes of these; the batch's tip is where the run's branch is.
    fn land<'a>(&'a self, batch: &mut Batch<'a>, ready: &[Ready]) -> Result<(), Error> {
        let (steps, after) = self.chain(batch, ready)?;
        let Some(last) = steps.last() else { return Ok(()) };
        let keys: Vec<TaskKey> = steps.iter().map(|step| step.key.clone()).collect();
        let Err(why) = self.check(batch, &last.commit, &keys)? else {
            self.advance(batch.record, &batch.tip, &after)?;
            batch.tip = after;
            for Step { place, commit, .. } in steps {
                batch.landings[place] = Landing::Merged { commit: Some(commit) };
            }
            return Ok(());
        };
        if let [only] = ready {
            let commit = Some(last.commit.clone());
            batch.landings[only.place] = Landing::CheckFailed { commit, why };
            return Ok(());
        }
        // Those that conflicted go on too: what they conflicted with may turn out not to land.
        let (first, second) = ready.split_at(ready.len() / 2);
        self.land(batch, first)?;
        self.land(batch, second)
    }

    /// Merges one after the other, without moving a branch. Those that conflict are left out.
    fn chain(&self, batch: &mut Batch<'_>, ready: &[Ready]) -> Result<(Vec<Step>, String), Error> {
        let mut after = batch.tip.clone();
        let mut steps = Vec::with_capacity(ready.len());
        for one in ready {
            match self.merged_with(batch.record, &after, one)? {
                Ok(commit) => {
                    after.clone_from(&commit);
                    steps.push(Step {
                        place: one.place,
                        key: one.key.clone(),
                        commit,
                    });
                }
                Err(conflict) => batch.landings[one.place] = Landing::Conflict(*conflict),
            }
        }
        Ok((steps, after))
    }

    fn check<'a>(&'a self, batch: &mut Batch<'a>, commit: &str, keys: &[TaskKey]) -> Result<Result<(), String>, Error> {
        let checkout = match batch.checkout.take() {
            Some(mut checkout) => {
                checkout.switch(commit)?;
                checkout
            }
            None => self.checkout_clean(commit)?,
        };
        let verdict = (batch.verify)(checkout.project(), keys);
        batch.checkout = Some(checkout);
        Ok(verdict)
    }

    /// The task's branch when there is something to merge, else what that means.
    fn ready(&self, run: &RunRecord, place: usize, key: &TaskKey, into: &str) -> Result<Result<Ready, Landing>, Error> {
        let TreeRecord { branch, start, .. } = self.record(run.run, key)?;
        let tips = self.tips(std::slice::from_ref(&branch))?;
        let (_, tip) = tips.into_iter().next().ok_or_else(|| Error::NoTree {
            task: names::task(run.run, key),
        })?;
        if tip == start {
            return Ok(Err(Landing::NothingToMerge));
        }
        let contained = ["merge-base", "--is-ancestor", &tip, into];
        if self.git.at(&self.root).args(contained).allow(&[0, 1]).run()?.code == 0 {
            return Ok(Err(Landing::AlreadyMerged));
        }
        let task = names::task(run.run, key);
        let message = format!("Merge {task}\n\nWheelhouse-Run: {}\nWheelhouse-Task: {key}", run.run);
        Ok(Ok(Ready {
            place,
            key: key.clone(),
            branch,
            tip,
            message,
        }))
    }

    fn merged_with(&self, run: &RunRecord, into: &str, ready: &Ready) -> Result<Result<String, Box<Conflict>>, Error> {
        let ours = names::merged_branch(&run.prefix);
        match self.merge_trees(into, &ready.tip, (&ours, &ready.branch))? {
            Merged::Tree(tree) => self.commit_tree(&tree, &[into, &ready.tip], &ready.message).map(Ok),
            Merged::Conflict(conflict) => Ok(Err(conflict)),
        }
    }

    /// Where the run's branch is; made at the run's base when it is not there yet.
    fn merged_tip(&self, record: &RunRecord) -> Result<String, Error> {
        let branch = names::merged_branch(&record.prefix);
        if let Some((_, tip)) = self.tips(std::slice::from_ref(&branch))?.into_iter().next() {
            return Ok(tip);
        }
        self.move_ref(&names::head(&branch), &record.base, "")?;
        Ok(record.base.clone())
    }

    fn advance(&self, record: &RunRecord, from: &str, to: &str) -> Result<(), Error> {
        self.move_ref(&names::head(&names::merged_branch(&record.prefix)), to, from)
    }

    /// Moves a ref from where it is known to be; from nothing when `from` is empty.
    pub(super) fn move_ref(&self, name: &str, to: &str, from: &str) -> Result<(), Error> {
        let call = self
            .git
            .at(&self.root)
            .global("-c")
            .global("core.fsync=committed,reference");
        call.args(["update-ref", name, to, from]).run().map(drop)
    }

    fn merge_lock(&self, run: RunId) -> FileLock {
        FileLock::at(self.desk.records().join(format!("{run}.merge.lock")), MERGE_WAIT_MAX)
    }

    /// Merges two commits in the object store. `sides` are the names people know them by.
    pub(super) fn merge_trees(&self, ours: &str, theirs: &str, sides: (&str, &str)) -> Result<Merged, Error> {
        let mut call = self.git.at(&self.root);
        if self.git.has_attr_source() {
            // The attributes (`merge=union`, …) of what is merged into, not of what the user has checked out.
            call = call.global(format!("--attr-source={ours}"));
        }
        let answer = call
            .args(["merge-tree", "--write-tree", "-z", "--messages", ours, theirs])
            .allow(&[0, 1])
            .run()?;
        let said = conflict::parse(answer.records());
        if answer.code == 0 {
            return Ok(Merged::Tree(said.tree));
        }
        let mut hunks = Vec::new();
        for path in said.paths.iter().take(FILES_SHOWN_MAX) {
            let shown = self.relative(path);
            let merged = self.blob(&said.tree, path)?;
            let marked = conflict::hunks(&shown, &merged, &[(ours, sides.0), (theirs, sides.1)]);
            hunks.push(if marked.is_empty() {
                format!("{shown}\n{}\n", said.words(path))
            } else {
                marked
            });
        }
        let files = said.paths.iter().map(|path| ConflictedFile {
            path: self.relative(path),
            kind: said.kind(path),
        });
        Ok(Merged::Conflict(Box::new(Conflict {
            ours: sides.0.to_owned(),
            theirs: sides.1.to_owned(),
            files: files.collect(),
            hunks: conflict::joined(&hunks),
        })))
    }

    fn blob(&self, tree: &str, path: &[u8]) -> Result<String, Error> {
        use std::os::unix::ffi::OsStrExt;
        let mut name = std::ffi::OsString::from(format!("{tree}:"));
        name.push(std::ffi::OsStr::from_bytes(path));
        let call = self
            .git
            .at(&self.root)
            .args(["cat-file", "blob"])
            .arg(name)
            .allow(&[0, 128]);
        Ok(lossy(&call.first_bytes(CONFLICTED_BYTES_MAX).run()?.stdout))
    }

    pub(super) fn commit_tree(&self, tree: &str, parents: &[&str], message: &str) -> Result<String, Error> {
        let call = self.git.at(&self.root).global("-c").global("core.fsync=committed");
        let call = call.args(["commit-tree", tree, "-m", message]);
        call.args(parents.iter().flat_map(|parent| ["-p", parent]))
            .run()?
            .line()
    }
}

struct Batch<'a> {
    record: &'a RunRecord,
    /// Where the run's branch is now.
    tip: String,
    /// One checkout for all checks, made clean for each.
    checkout: Option<CleanCheckout<'a>>,
    verify: Verify<'a>,
    landings: Vec<Landing>,
}
