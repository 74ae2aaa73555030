//! Making a task's tree, or finding the one that is there.

use std::fs;
use std::path::{Path, PathBuf};

use wheelhouse_core::ids::{AttemptNumber, RunId, TaskKey};

use super::error::Error;
use super::git::Refusal;
use super::lock::Held;
use super::record::{RunRecord, Stage, TreeRecord};
use super::{Origin, Tree, Trees, furnish, names};

impl Trees {
    /// The tree of a task, locked, on its own branch.
    ///
    /// It starts from the run's base, with the work of the needed tasks that changed something. A try that is
    /// repeated finds the tree as the one before left it, uncommitted work included, and so does a new try.
    /// [`Error::Conflict`] when the needed branches do not go together; then nothing is made.
    pub fn create(&self, run: RunId, key: &TaskKey, attempt: AttemptNumber, needs: &[TaskKey]) -> Result<Tree, Error> {
        self.desk.prepare()?;
        let held = self.lock.hold()?;
        let (base, notices) = self.run_base(run)?;
        let path = self.desk.tree_path(run, key);
        let record = self.desk.tree(run, key)?;
        if let Some(record) = &record
            && record.store != self.store
        {
            let found = format!("store {}", record.store);
            return Err(Error::NotOurs {
                what: path.display().to_string(),
                found,
            });
        }
        let (record, origin) = match record {
            Some(record) if record.stage == Stage::Present && self.usable(&path, run, key)? => {
                self.drop_stale_locks(&path)?;
                (TreeRecord { attempt, ..record }, Origin::Kept)
            }
            Some(record) if record.stage != Stage::Making => (
                self.make_again(&held, &path, TreeRecord { attempt, ..record })?,
                Origin::Again,
            ),
            unfinished => {
                if let Some(record) = unfinished {
                    self.undo_making(&held, &path, &record)?;
                }
                (self.make(&held, &base, &path, key, attempt, needs)?, Origin::New)
            }
        };
        self.desk.set_tree(&record)?;
        drop(held);
        self.tree(record, origin, notices)
    }

    fn tree(&self, record: TreeRecord, origin: Origin, notices: Vec<String>) -> Result<Tree, Error> {
        let path = self.desk.tree_path(record.run, &record.key);
        let template = &self.template;
        let env = furnish::leases(&self.desk, &self.store, record.run, &record.key, template)?;
        Ok(Tree {
            project: path.join(&self.prefix),
            path,
            branch: Some(record.branch),
            start: Some(record.start),
            origin,
            env,
            setup: if record.set_up {
                Vec::new()
            } else {
                template.setup.clone()
            },
            notices,
            run: record.run,
            key: record.key,
        })
    }

    fn make(
        &self,
        held: &Held<'_>,
        base: &RunRecord,
        path: &Path,
        key: &TaskKey,
        attempt: AttemptNumber,
        needs: &[TaskKey],
    ) -> Result<TreeRecord, Error> {
        self.set_aside_unknown(held, path)?;
        let mut record = TreeRecord {
            store: self.store.clone(),
            run: base.run,
            key: key.clone(),
            attempt,
            stage: Stage::Making,
            branch: names::branch(&base.prefix, key),
            start: self.start(base, key, needs)?,
            set_up: false,
            copied: Vec::new(),
        };
        self.desk.set_tree(&record)?;
        let made = self.add(held, path, &record, Branch::New).and_then(|()| {
            let project = path.join(&self.prefix);
            furnish::copy_in(self.git.at(&self.project()), &self.project(), &project, &self.template)
        });
        match made {
            Ok(copied) => record.copied = copied,
            Err(error) => {
                // What cannot be undone now (a full disk) is undone before the next try.
                let _ = self.undo_making(held, path, &record);
                return Err(self.said_of_branch(error, &record.branch));
            }
        }
        record.stage = Stage::Present;
        Ok(record)
    }

    /// The directory is gone; its branch, as a rule, is not.
    fn make_again(&self, held: &Held<'_>, path: &Path, mut record: TreeRecord) -> Result<TreeRecord, Error> {
        self.set_aside_unknown(held, path)?;
        let there = !self.tips(std::slice::from_ref(&record.branch))?.is_empty();
        let branch = if there { Branch::Old } else { Branch::New };
        self.add(held, path, &record, branch)
            .map_err(|error| self.said_of_branch(error, &record.branch))?;
        let project = path.join(&self.prefix);
        record.copied = furnish::copy_in(self.git.at(&self.project()), &self.project(), &project, &self.template)?;
        record.set_up = false;
        record.stage = Stage::Present;
        Ok(record)
    }

    fn add(&self, held: &Held<'_>, path: &Path, record: &TreeRecord, branch: Branch) -> Result<(), Error> {
        let reason = names::lock_reason(&self.store, record.run, &record.key);
        let call = self.git.at(&self.root).holding(&held.file)?;
        let call = call.args(["worktree", "add", "-q", "--no-guess-remote", "--lock"]);
        let call = call.args(["--reason", &reason]);
        let call = match branch {
            Branch::New => call
                .args(["--no-track", "-b", &record.branch])
                .arg(path)
                .arg(&record.start),
            Branch::Old => call.arg(path).arg(&record.branch),
        };
        call.run().map(drop)
    }

    fn said_of_branch(&self, error: Error, branch: &str) -> Error {
        match error.words().map(Refusal::of) {
            Some(Refusal::BranchExists) => Error::NotOurs {
                what: format!("the branch {branch}"),
                found: "somebody made it since the run began".to_owned(),
            },
            Some(_) | None => error,
        }
    }

    /// Takes back what was begun and not ended: no agent has been there.
    pub(super) fn undo_making(&self, held: &Held<'_>, path: &Path, record: &TreeRecord) -> Result<(), Error> {
        if path.exists() {
            super::trash::delete(path)?;
        }
        self.unregister(held, path)?;
        let head = names::head(&record.branch);
        // Only where it began: a branch that is elsewhere is not what we made.
        let call = self
            .git
            .at(&self.root)
            .args(["update-ref", "-d", &head, &record.start])
            .allow(&[0, 1, 128]);
        call.run()?;
        self.desk.drop_tree(record.run, &record.key)
    }

    /// Makes git forget a worktree whose directory is gone.
    pub(super) fn unregister(&self, held: &Held<'_>, path: &Path) -> Result<(), Error> {
        let call = self
            .git
            .at(&self.root)
            .holding(&held.file)?
            .args(["worktree", "remove", "-f", "-f"]);
        match call.arg(path).run() {
            Err(error) if error.words().map(Refusal::of) == Some(Refusal::NotAWorkTree) => Ok(()),
            other => other.map(drop),
        }
    }

    /// A directory in the tree's place that no record speaks of goes to the trash: it may be somebody's work.
    fn set_aside_unknown(&self, held: &Held<'_>, path: &Path) -> Result<(), Error> {
        if path.symlink_metadata().is_ok() {
            self.to_trash_unknown(path)?;
        }
        if self.registered(path)? {
            self.unregister(held, path)
        } else {
            Ok(())
        }
    }

    /// Whether git has a worktree at this path, without asking it: the name of the directory is where it begins.
    fn registered(&self, path: &Path) -> Result<bool, Error> {
        let entries = self.common.join("worktrees");
        let name = path.file_name().unwrap_or_default();
        let Ok(entries) = fs::read_dir(&entries) else {
            return Ok(false);
        };
        let link = path.join(".git");
        Ok(entries.flatten().any(|entry| {
            // Git adds a number to the name when it is taken.
            let near = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(name.as_encoded_bytes());
            near && pointed(&entry.path(), "gitdir", "").is_some_and(|to| to == link)
        }))
    }

    /// Whether there is a work tree of ours at the path. One whose link to the repository an agent broke is mended.
    fn usable(&self, path: &Path, run: RunId, key: &TaskKey) -> Result<bool, Error> {
        if !path.is_dir() {
            return Ok(false);
        }
        if self.insides(path).is_ok() {
            return Ok(true);
        }
        self.git
            .at(&self.root)
            .args(["worktree", "repair"])
            .allow(&[0, 1, 128])
            .run()?;
        match self.insides(path) {
            Ok(_) => Ok(true),
            Err(why) => Err(Error::Damaged {
                task: names::task(run, key),
                path: path.to_owned(),
                why,
            }),
        }
    }

    /// The tree's own directory within the repository (`.git/worktrees/NAME`), by the link in the tree.
    pub(super) fn insides(&self, path: &Path) -> Result<PathBuf, String> {
        let inside = pointed(path, ".git", "gitdir: ").ok_or("its `.git` is not a link to the repository")?;
        let ours = inside
            .parent()
            .is_some_and(|parent| parent == self.common.join("worktrees"));
        if ours && pointed(&inside, "gitdir", "").is_some_and(|back| back == path.join(".git")) {
            return Ok(inside);
        }
        Err(format!(
            "its `.git` leads to {}, which is not where its repository keeps it",
            inside.display()
        ))
    }

    /// Locks that a killed git left in the tree's own directory. No agent runs in it when this is called.
    pub(super) fn drop_stale_locks(&self, path: &Path) -> Result<(), Error> {
        let Ok(inside) = self.insides(path) else { return Ok(()) };
        for name in ["index.lock", "HEAD.lock"] {
            let lock = inside.join(name);
            match fs::remove_file(&lock) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("delete the stale lock", &lock, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The user's own project directory.
    pub(super) fn project(&self) -> PathBuf {
        self.root.join(&self.prefix)
    }
}

/// The path in a file that holds nothing else, absolute or from the file's directory.
fn pointed(directory: &Path, file: &str, before: &str) -> Option<PathBuf> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    let mut whole = PathBuf::new();
    for part in directory
        .join(text.strip_prefix(before)?.trim_end_matches('\n'))
        .components()
    {
        match part {
            std::path::Component::ParentDir => drop(whole.pop()),
            std::path::Component::CurDir => {}
            part => whole.push(part),
        }
    }
    Some(whole)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Branch {
    New,
    Old,
}
