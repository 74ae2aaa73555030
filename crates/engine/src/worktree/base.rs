//! What trees start from: the run's base, kept for as long as the run is, and for a task the work of those it needs.

use std::sync::{Arc, PoisonError};

use wheelhouse_core::ids::{RunId, TaskKey};

use super::error::Error;
use super::merge::Merged;
use super::record::RunRecord;
use super::{Trees, lossy, names, status};

/// How many uncommitted files are named.
const UNCOMMITTED_NAMED_MAX: usize = 20;

/// What every tree of a run starts from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunBase {
    /// The commit that was checked out when the run's first tree was made.
    pub commit: String,
    /// The branch that was checked out then; none for a detached HEAD.
    pub from: Option<String>,
    /// Files that were not committed then, and so are in no tree; the first twenty.
    pub uncommitted: Vec<String>,
    /// How many there were.
    pub uncommitted_count: usize,
}

impl Trees {
    /// What the run's trees start from, if one was made.
    pub fn base(&self, run: RunId) -> Result<Option<RunBase>, Error> {
        let record = self.known_run(run)?;
        Ok(record.map(|record| RunBase {
            commit: record.base.clone(),
            from: record.from.clone(),
            uncommitted: record.uncommitted.clone(),
            uncommitted_count: record.uncommitted_count,
        }))
    }

    /// The branch that the run's merged work is on; it is there after the first merge.
    pub fn merged_branch(&self, run: RunId) -> Result<Option<String>, Error> {
        Ok(self.known_run(run)?.map(|record| names::merged_branch(&record.prefix)))
    }

    pub(super) fn known_run(&self, run: RunId) -> Result<Option<Arc<RunRecord>>, Error> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = runs.get(&run) {
            return Ok(Some(Arc::clone(known)));
        }
        let record = self.desk.run(run)?.map(Arc::new);
        runs.extend(record.iter().map(|record| (run, Arc::clone(record))));
        Ok(record)
    }

    pub(super) fn run_of(&self, run: RunId) -> Result<Arc<RunRecord>, Error> {
        self.known_run(run)?
            .ok_or_else(|| Error::NoTree { task: run.to_string() })
    }

    /// The run's record, made now if this is its first tree. The caller holds the lock.
    pub(super) fn run_base(&self, run: RunId) -> Result<(Arc<RunRecord>, Vec<String>), Error> {
        if let Some(known) = self.known_run(run)? {
            return Ok((known, Vec::new()));
        }
        let base = self.commit_of(&self.root, "HEAD")?.ok_or_else(|| Error::NoCommits {
            path: self.root.clone(),
        })?;
        let from = self.checked_out()?;
        let prefix = self.free_prefix(run)?;
        // The ref keeps the commit from git's own cleaning, whatever becomes of the user's branch.
        self.git
            .at(&self.root)
            .args(["update-ref", &self.base_ref(run), &base])
            .run()?;
        let uncommitted = self.uncommitted()?;
        let record = Arc::new(RunRecord {
            run,
            base,
            from,
            prefix,
            uncommitted_count: uncommitted.len(),
            uncommitted: uncommitted.into_iter().take(UNCOMMITTED_NAMED_MAX).collect(),
        });
        self.desk.set_run(&record)?;
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run, Arc::clone(&record));
        let notices = uncommitted_notice(&record).into_iter().collect();
        Ok((record, notices))
    }

    pub(super) fn base_ref(&self, run: RunId) -> String {
        format!("{}/{run}/base", names::refs(&self.tag))
    }

    /// The commit that a name stands for.
    pub(super) fn commit_of(&self, at: &std::path::Path, name: &str) -> Result<Option<String>, Error> {
        let name = format!("{name}^{{commit}}");
        let answer = self
            .git
            .at(at)
            .args(["rev-parse", "-q", "--verify", &name])
            .allow(&[0, 1, 128])
            .run()?;
        if answer.code == 0 {
            answer.line().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The branch that is checked out in the user's work tree.
    pub(super) fn checked_out(&self) -> Result<Option<String>, Error> {
        let answer = self
            .git
            .at(&self.root)
            .args(["symbolic-ref", "-q", "--short", "HEAD"])
            .allow(&[0, 1])
            .run()?;
        if answer.code == 0 {
            answer.line().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Files of the user's work tree that are not committed, relative to the project.
    fn uncommitted(&self) -> Result<Vec<String>, Error> {
        let state = status::read(self.git.at(&self.root), status::Untracked::Folders)?;
        Ok(state.entries.iter().map(|entry| self.relative(&entry.path)).collect())
    }

    /// A beginning of branch names that nobody has used. Another store, or an earlier one whose state was deleted,
    /// may have had a run of the same number.
    fn free_prefix(&self, run: RunId) -> Result<String, Error> {
        let answer = self
            .git
            .at(&self.root)
            .args(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/"])
            .run()?;
        let taken = answer.lines();
        let free = |prefix: &String| {
            taken.iter().all(|branch| {
                let above = prefix
                    .strip_prefix(branch.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                let below = branch
                    .strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.starts_with('/') || rest == ".merged");
                !above && !below
            })
        };
        let prefixes = names::prefixes(&self.tag, run);
        let found = prefixes.iter().find(|prefix| free(prefix)).cloned();
        found.ok_or_else(|| Error::NotOurs {
            what: format!("every branch name for {run} ({})", prefixes.join(", ")),
            found: "branches of that name are there already".to_owned(),
        })
    }

    /// The commit a task starts from: the run's base, and on it what the tasks it needs have changed.
    ///
    /// `needs` in the order in which their work is to be put together. Of branches that contain one another the
    /// last is enough.
    pub(super) fn start(&self, record: &RunRecord, key: &TaskKey, needs: &[TaskKey]) -> Result<String, Error> {
        let tips = self.changed_tips(record, needs)?;
        let (Some((mut branch, mut commit)), rest) = (tips.first().cloned(), tips.get(1..).unwrap_or_default()) else {
            return Ok(record.base.clone());
        };
        for (theirs, tip) in rest {
            let labels = (branch.as_str(), theirs.as_str());
            let tree = match self.merge_trees(&commit, tip, labels)? {
                Merged::Tree(tree) => tree,
                Merged::Conflict(conflict) => return Err(Error::Conflict(conflict)),
            };
            let message = format!(
                "Merge {theirs} into {branch}\n\nWhat {} starts from.",
                names::task(record.run, key)
            );
            commit = self.commit_tree(&tree, &[&commit, tip], &message)?;
            branch = format!("{branch} + {theirs}");
        }
        Ok(commit)
    }

    /// The branches of these tasks that are beyond the base, without those that another one contains.
    fn changed_tips(&self, record: &RunRecord, needs: &[TaskKey]) -> Result<Vec<(String, String)>, Error> {
        if needs.is_empty() {
            return Ok(Vec::new());
        }
        let branches: Vec<String> = needs.iter().map(|need| names::branch(&record.prefix, need)).collect();
        let mut tips = self.tips(&branches)?;
        tips.retain(|(_, tip)| *tip != record.base);
        let mut seen = std::collections::HashSet::new();
        tips.retain(|(_, tip)| seen.insert(tip.clone()));
        if tips.len() > 1 {
            let commits = tips.iter().map(|(_, tip)| tip);
            let answer = self
                .git
                .at(&self.root)
                .args(["merge-base", "--independent"])
                .args(commits)
                .run()?;
            let last: Vec<String> = answer.lines();
            tips.retain(|(_, tip)| last.contains(tip));
        }
        Ok(tips)
    }

    /// Branches and where they are, in the order asked for; those that are not there are left out.
    pub(super) fn tips(&self, branches: &[String]) -> Result<Vec<(String, String)>, Error> {
        let refs = branches.iter().map(|branch| names::head(branch));
        let call = self
            .git
            .at(&self.root)
            .args(["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)"]);
        let lines = call.args(refs).run()?.lines();
        let found: std::collections::HashMap<&str, &str> = lines
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(commit, branch)| (branch, commit))
            .collect();
        let tip = |branch: &String| Some((branch.clone(), (*found.get(branch.as_str())?).to_owned()));
        Ok(branches.iter().filter_map(tip).collect())
    }

    /// A path of the repository as the project's rules know it: relative to the project, with `../` outside it.
    pub(super) fn relative(&self, path: &[u8]) -> String {
        match path.strip_prefix(self.prefix.as_bytes()) {
            Some(inside) => lossy(inside),
            None => format!("{}{}", "../".repeat(self.prefix.matches('/').count()), lossy(path)),
        }
    }
}

fn uncommitted_notice(record: &RunRecord) -> Option<String> {
    let count = record.uncommitted_count;
    if count == 0 {
        return None;
    }
    let named: Vec<&str> = record.uncommitted.iter().take(3).map(String::as_str).collect();
    let more = if count > named.len() { ", …" } else { "" };
    let (what, is) = if count == 1 { ("file", "is") } else { ("files", "are") };
    Some(format!(
        "{count} {what} of the project {is} not committed, so the trees of {} are without: {}{more}",
        record.run,
        named.join(", ")
    ))
}
