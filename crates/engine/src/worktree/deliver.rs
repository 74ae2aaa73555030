//! Work on its way to the user: what a task did, as a diff, and merged work into the branch that is checked out.
//!
//! The user's work tree is touched in one way only: by a fast-forward that git itself refuses when it would
//! overwrite anything uncommitted, untracked or ignored. Conflicts are found before that, in the object store.

use std::fs;
use std::path::Path;

use wheelhouse_core::ids::{RunId, TaskKey};

use super::conflict::Conflict;
use super::error::Error;
use super::finish::{FileChange, Stat, not_these};
use super::merge::Merged;
use super::record::{Stage, TreeRecord, beside};
use super::status::{self, Untracked};
use super::{Trees, names};

/// How often a delivery is tried when the user commits in the meantime.
const TRIES_MAX: usize = 3;

/// What is to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What<'a> {
    /// Everything the run has merged.
    Merged,
    /// One task's branch.
    Task(&'a TaskKey),
}

/// What became of a delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// It is in the user's branch and work tree.
    Done {
        /// The user's branch.
        branch: String,
        /// Where the branch was.
        from: String,
        /// Where it is now.
        to: String,
        /// What changed for the user.
        files: Vec<FileChange>,
        /// The same, counted.
        stat: Stat,
    },
    /// The user's branch has it all.
    NothingNew {
        /// The user's branch.
        branch: String,
    },
    /// It would touch work of the user, or the work tree is not in a state for it. Nothing was changed.
    Refused {
        /// Git's words, or ours.
        words: String,
        /// The files that are in the way, relative to the project.
        files: Vec<String>,
    },
    /// It does not go together with what the user's branch has. Nothing was changed.
    Conflict(Conflict),
}

/// What a task did, up to now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// The commit it started from.
    pub start: String,
    /// The files that differ.
    pub files: Vec<FileChange>,
    /// The same, counted.
    pub stat: Stat,
    /// The diff as text, as far as the limit allows.
    pub patch: String,
    /// Whether there is more.
    pub cut: bool,
}

impl Trees {
    /// What the task has changed since its start, with what it has not committed yet. Safe while its agent works.
    pub fn diff(&self, run: RunId, key: &TaskKey, bytes_max: usize) -> Result<Diff, Error> {
        let record = self.record(run, key)?;
        let path = self.desk.tree_path(run, key);
        let there = record.stage == Stage::Present && self.insides(&path).is_ok();
        let (at, to) = if there {
            let snapshot = self.snapshot(&path, &record)?;
            (path, snapshot)
        } else {
            (self.root.clone(), names::head(&record.branch))
        };
        let tip = self.commit_of(&at, if there { "HEAD" } else { &to })?;
        let start = self.own_since(&record, &tip.unwrap_or_else(|| record.start.clone()))?;
        let files = self.changes(&at, &start, &to)?;
        let args = [
            "diff",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            "--src-prefix=a/",
            "--dst-prefix=b/",
        ];
        let answer = self
            .git
            .at(&at)
            .args(args)
            .args([&start, &to])
            .first_bytes(bytes_max)
            .run()?;
        let whole = String::from_utf8_lossy(&answer.stdout);
        Ok(Diff {
            start,
            stat: Stat::of(&files),
            files,
            patch: whole.into_owned(),
            cut: answer.cut,
        })
    }

    /// The tree of files as it is now, as an object. Its index is copied, so that an agent at work notices nothing.
    fn snapshot(&self, path: &Path, record: &TreeRecord) -> Result<String, Error> {
        let inside = self.insides(path).map_err(|why| Error::Damaged {
            task: names::task(record.run, &record.key),
            path: path.to_owned(),
            why,
        })?;
        let index = beside(&self.desk.records().join("index"));
        let copied = fs::copy(inside.join("index"), &index);
        copied.map_err(|source| Error::io("copy the index of", path, source))?;
        let taken = self.take(path, record, &index);
        let _ = fs::remove_file(&index);
        taken
    }

    fn take(&self, path: &Path, record: &TreeRecord, index: &Path) -> Result<String, Error> {
        let mut state = status::read(self.git.at(path), Untracked::Files)?;
        let lent = self.take_lent(&mut state, record);
        let git = || self.git.at(path).env("GIT_INDEX_FILE", index);
        git()
            .args(["add", "-A", "--", ":/"])
            .args(not_these(&state, &lent))
            .run()?;
        git().arg("write-tree").run()?.line()
    }

    /// Merges a run's merged work, or one task's branch, into the branch the user has checked out.
    ///
    /// As a fast-forward where that is possible, else with a merge commit. The user's uncommitted work is never
    /// touched: where it is in the way, git's refusal is given back and nothing has changed.
    pub fn deliver(&self, run: RunId, what: What<'_>) -> Result<Delivery, Error> {
        let record = self.run_of(run)?;
        let (source, label) = match what {
            What::Merged => (names::merged_branch(&record.prefix), run.to_string()),
            What::Task(key) => (self.record(run, key)?.branch, names::task(run, key)),
        };
        let tips = self.tips(std::slice::from_ref(&source))?;
        let (_, tip) = tips
            .into_iter()
            .next()
            .ok_or_else(|| Error::NoTree { task: label.clone() })?;
        let held = self.lock.hold()?;
        let Some(branch) = self.checked_out()? else {
            let words = "no branch is checked out (detached HEAD); `git switch BRANCH` first".to_owned();
            return Ok(Delivery::Refused {
                words,
                files: Vec::new(),
            });
        };
        let mut refused = None;
        for _ in 0..TRIES_MAX {
            let head = self.commit_of(&self.root, "HEAD")?.ok_or_else(|| Error::NoCommits {
                path: self.root.clone(),
            })?;
            let target = match self.joined(&head, &tip, (&branch, &source), &label)? {
                Joined::NothingNew => return Ok(Delivery::NothingNew { branch }),
                Joined::Conflict(conflict) => return Ok(Delivery::Conflict(*conflict)),
                Joined::At(target) => target,
            };
            match self.forward(&target, &held)? {
                Ok(()) => {
                    let files = self.changes(&self.root, &head, &target)?;
                    return Ok(Delivery::Done {
                        branch,
                        from: head,
                        to: target,
                        stat: Stat::of(&files),
                        files,
                    });
                }
                Err(words) => {
                    let moved = self.commit_of(&self.root, "HEAD")?.is_some_and(|now| now != head);
                    refused = Some(words);
                    if !moved {
                        break;
                    }
                }
            }
        }
        let words = refused.unwrap_or_default();
        let files = words.lines().filter_map(|line| line.strip_prefix('\t'));
        let files = files.map(|path| self.relative(path.trim_end().as_bytes())).collect();
        Ok(Delivery::Refused { words, files })
    }

    /// The commit that has both, without touching a work tree.
    fn joined(&self, head: &str, tip: &str, sides: (&str, &str), label: &str) -> Result<Joined, Error> {
        let base = self
            .git
            .at(&self.root)
            .args(["merge-base", head, tip])
            .allow(&[0, 1])
            .run()?
            .line()?;
        if base == tip {
            return Ok(Joined::NothingNew);
        }
        if base == head {
            return Ok(Joined::At(tip.to_owned()));
        }
        match self.merge_trees(head, tip, sides)? {
            Merged::Tree(tree) => {
                let message = format!("Merge {label} into {}\n\nWheelhouse-Branch: {}", sides.0, sides.1);
                self.commit_tree(&tree, &[head, tip], &message).map(Joined::At)
            }
            Merged::Conflict(conflict) => Ok(Joined::Conflict(conflict)),
        }
    }

    /// Moves the user's branch and work tree forward, or gives back git's refusal.
    fn forward(&self, target: &str, held: &super::lock::Held<'_>) -> Result<Result<(), String>, Error> {
        let safe = [
            "--ff-only",
            "--no-overwrite-ignore",
            "--no-autostash",
            "--no-verify-signatures",
            "--no-stat",
        ];
        let call = self
            .git
            .at(&self.root)
            .holding(&held.file)?
            .args(["merge", "-q"])
            .args(safe)
            .arg(target);
        match call.run() {
            Ok(_) => Ok(Ok(())),
            Err(Error::Git { words, .. }) => Ok(Err(words)),
            Err(other) => Err(other),
        }
    }
}

enum Joined {
    NothingNew,
    At(String),
    Conflict(Box<Conflict>),
}
