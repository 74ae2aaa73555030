//! How the work in a copy comes back: file by file, only over originals that are still what the copy began with.

use std::path::Path;

use wheelhouse_core::ids::{RunId, TaskKey};

use super::conflict::{Conflict, ConflictedFile};
use super::copy::{Copies, content, place};
use super::error::Error;
use super::finish::FileChange;
use super::merge::{Landing, Verify};
use super::{CleanCheckout, clean, names};

impl Copies {
    /// Copies what the task changed back into the project, when the result passes and no original was changed since.
    ///
    /// A merge that was killed half-way is gone on with by merging again: what is back already is no conflict.
    pub fn merge(&self, run: RunId, key: &TaskKey, verify: Verify<'_>) -> Result<Landing, Error> {
        let path = self.path(run, key)?;
        let files = self.changes(run, key)?;
        if files.is_empty() {
            return Ok(Landing::NothingToMerge);
        }
        let held = self.hold()?;
        match self.against(run, key, &path, &files)? {
            Against::Conflict(conflict) => return Ok(Landing::Conflict(conflict)),
            Against::Same => return Ok(Landing::AlreadyMerged),
            Against::Fits => {}
        }
        drop(held);
        let checkout = self.checkout_clean(run, key)?;
        if let Err(why) = verify(checkout.project(), std::slice::from_ref(key)) {
            return Ok(Landing::CheckFailed { commit: None, why });
        }
        drop(checkout);
        // The check took its time: look again, and keep others out until all is back.
        let _held = self.hold()?;
        if let Against::Conflict(conflict) = self.against(run, key, &path, &files)? {
            return Ok(Landing::Conflict(conflict));
        }
        for file in &files {
            place(&path.join(&file.path), &self.project.join(&file.path))?;
        }
        Ok(Landing::Merged { commit: None })
    }

    /// The project as it is now with the task's changes, where nobody works. For checks; gone when dropped.
    pub fn checkout_clean(&self, run: RunId, key: &TaskKey) -> Result<CleanCheckout<'static>, Error> {
        self.desk.prepare()?;
        let path = self.path(run, key)?;
        let files = self.changes(run, key)?;
        let top = clean::place(&self.desk);
        let checkout = CleanCheckout::copied(top.clone());
        self.copy_project(&top)?;
        for file in &files {
            place(&path.join(&file.path), &top.join(&file.path))?;
        }
        Ok(checkout)
    }

    fn against(&self, run: RunId, key: &TaskKey, path: &Path, files: &[FileChange]) -> Result<Against, Error> {
        let start = self.copy_record(run, key)?.start;
        let mut conflicts = Vec::new();
        let mut same = true;
        for FileChange { path: file, .. } in files {
            let original = content(&self.project.join(file))?;
            if original == content(&path.join(file))? {
                continue;
            }
            same = false;
            if original.as_ref() != start.get(file) {
                let kind = if original.is_none() {
                    "deleted since"
                } else {
                    "changed since"
                };
                conflicts.push(ConflictedFile {
                    path: file.clone(),
                    kind: kind.to_owned(),
                });
            }
        }
        if conflicts.is_empty() {
            return Ok(if same { Against::Same } else { Against::Fits });
        }
        let ours = self.project.display().to_string();
        Ok(Against::Conflict(Conflict {
            ours,
            theirs: names::task(run, key),
            files: conflicts,
            hunks: String::new(),
        }))
    }
}

/// A copy's changes against the project as it is now.
enum Against {
    Fits,
    Same,
    Conflict(Conflict),
}
