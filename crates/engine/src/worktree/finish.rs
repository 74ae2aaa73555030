//! The end of a try: what is not committed is committed to the task's branch, and what really changed is listed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use wheelhouse_core::ids::{RunId, TaskKey};

use super::error::Error;
use super::git::{Answer, Hooks};
use super::record::TreeRecord;
use super::status::{self, Kind, Untracked, WorkState};
use super::{Trees, names};

/// What git's status says in place of a commit when the branch that is checked out has none.
const UNBORN: &str = "(initial)";

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// It is new.
    Added,
    /// Its content, mode or kind is another.
    Modified,
    /// It is gone.
    Deleted,
}

/// One file that is not as it was at the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileChange {
    /// The file, relative to the project; with `../` when it is outside of it. A renamed file is two: deleted, added.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// How many lines came; none for a file that is no text.
    pub insertions: Option<u64>,
    /// How many lines went.
    pub deletions: Option<u64>,
}

/// Changes, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// How many files.
    pub files: usize,
    /// How many lines came.
    pub insertions: u64,
    /// How many lines went.
    pub deletions: u64,
}

/// Something about the tree that a claim of success should not hide. Nothing of it is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The work is on another branch than the task's, and cannot simply be brought over.
    OffBranch {
        /// Where it was: a branch, or none for a detached HEAD.
        found: Option<String>,
        /// The ref that keeps it now.
        kept_at: String,
    },
    /// The branch no longer contains the commit it started from.
    Rewritten,
    /// These directories are repositories of their own; git cannot take their files into the branch.
    Repositories(Vec<String>),
    /// Files that were only lent to the tree (`copy`) are in the branch.
    LentCommitted(Vec<String>),
    /// A merge was begun in the tree and left with conflicts in these files.
    LeftConflicts(Vec<String>),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Problem::OffBranch { found, kept_at } => {
                let place = found
                    .as_ref()
                    .map_or("a detached HEAD".to_owned(), |branch| format!("the branch `{branch}`"));
                write!(
                    f,
                    "the work is on {place}, not on the task's branch; it is kept as {kept_at}"
                )
            }
            Problem::Rewritten => f.write_str("the branch was rewritten and no longer contains what it started from"),
            Problem::Repositories(paths) => {
                write!(
                    f,
                    "repositories within the tree cannot be committed: {}",
                    paths.join(", ")
                )
            }
            Problem::LentCommitted(paths) => {
                write!(
                    f,
                    "files that were only lent to the tree were committed: {}",
                    paths.join(", ")
                )
            }
            Problem::LeftConflicts(paths) => {
                write!(f, "a merge was left with conflicts in {}", paths.join(", "))
            }
        }
    }
}

/// What a task has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The commit its branch is at; none outside git.
    pub commit: Option<String>,
    /// Whether something had to be committed now.
    pub committed: bool,
    /// Every file that differs from the start, by path.
    pub files: Vec<FileChange>,
    /// The same, counted.
    pub stat: Stat,
    /// What should not go unseen.
    pub problems: Vec<Problem>,
    /// What was put right.
    pub notices: Vec<String>,
}

impl Changed {
    /// The files' paths.
    pub fn paths(&self) -> Vec<String> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }
}

impl Stat {
    pub(super) fn of(files: &[FileChange]) -> Stat {
        let sum = |lines: fn(&FileChange) -> Option<u64>| files.iter().filter_map(lines).sum();
        Stat {
            files: files.len(),
            insertions: sum(|file| file.insertions),
            deletions: sum(|file| file.deletions),
        }
    }
}

impl Trees {
    /// Commits what is not committed (new files too, ignored and lent ones not) and lists what changed since the start.
    ///
    /// The task's agent must have ended. With nothing to commit, nothing is committed. Work that an agent put on
    /// another branch is brought to the task's when that is a plain step forward, else kept and reported.
    pub fn finish(&self, run: RunId, key: &TaskKey, message: &str) -> Result<Changed, Error> {
        let record = self.present(run, key)?;
        let path = self.desk.tree_path(run, key);
        if let Err(why) = self.insides(&path) {
            return Err(Error::Damaged {
                task: names::task(run, key),
                path,
                why,
            });
        }
        let Saved {
            committed,
            mut problems,
            notices,
            tip,
        } = self.save(&path, &record, message, None)?;
        let since = self.own_since(&record, &tip)?;
        let files = self.changes(&path, &since, &tip)?;
        let lent: Vec<String> = files
            .iter()
            .map(|file| &file.path)
            .filter(|path| record.copied.contains(path))
            .cloned()
            .collect();
        if !lent.is_empty() {
            problems.push(Problem::LentCommitted(lent));
        }
        let ancestor = ["merge-base", "--is-ancestor", &record.start, &tip];
        if self.git.at(&path).args(ancestor).allow(&[0, 1]).run()?.code != 0 {
            problems.push(Problem::Rewritten);
        }
        Ok(Changed {
            commit: Some(tip),
            committed,
            stat: Stat::of(&files),
            files,
            problems,
            notices,
        })
    }

    /// The commit from which on everything is the task's own: its start, or what it has taken in of the run's branch
    /// since (to bring two sides together), which is the work of others and was judged when it was merged.
    pub(super) fn own_since(&self, record: &TreeRecord, tip: &str) -> Result<String, Error> {
        let start = || Ok(record.start.clone());
        let Some(run) = self.known_run(record.run)? else {
            return start();
        };
        let merged = self.tips(&[names::merged_branch(&run.prefix)])?;
        let Some((_, merged)) = merged.into_iter().next().filter(|(_, at)| *at != run.base) else {
            return start();
        };
        let git = || self.git.at(&self.root).arg("merge-base");
        let common = git().args([&merged, tip]).allow(&[0, 1]).run()?.line()?;
        // All of it is merged already: what it came to is told from its start.
        if common.is_empty() || common == record.start || common == tip {
            return start();
        }
        let later = ["--is-ancestor", &record.start, &common];
        match git().args(later).allow(&[0, 1]).run()?.code {
            0 => Ok(common),
            _ => start(),
        }
    }

    /// Commits everything git can take to the task's branch. `hooks` overrides the setting.
    pub(super) fn save(
        &self,
        path: &Path,
        record: &TreeRecord,
        message: &str,
        hooks: Option<Hooks>,
    ) -> Result<Saved, Error> {
        self.drop_stale_locks(path)?;
        let mut state = status::read(self.git.at(path), Untracked::Files)?;
        if state.commit == UNBORN && state.branch.as_deref() != Some(record.branch.as_str()) {
            // A branch that was begun and has no commit holds nothing: what lies in the tree is work on ours.
            let branch = names::head(&record.branch);
            self.git.at(path).args(["symbolic-ref", "HEAD", &branch]).run()?;
            state = status::read(self.git.at(path), Untracked::Files)?;
        }
        let lent = self.take_lent(&mut state, record);
        let of_kind = |kind: Kind| -> Vec<String> {
            let entries = state.entries.iter().filter(|entry| entry.kind == kind);
            entries.map(|entry| self.relative(&entry.path)).collect()
        };
        let mut problems = Vec::new();
        let (repositories, conflicts) = (of_kind(Kind::Repository), of_kind(Kind::Unmerged));
        if !repositories.is_empty() {
            problems.push(Problem::Repositories(repositories));
        }
        if !conflicts.is_empty() {
            problems.push(Problem::LeftConflicts(conflicts));
        }
        let off_branch = state.branch.as_deref() != Some(record.branch.as_str());
        if off_branch && state.branch.is_some() {
            // Not our branch: it stays where it is, and what follows is committed beside it.
            self.git.at(path).args(["checkout", "-q", "--detach"]).run()?;
        }
        let dirty = state.entries.iter().any(|entry| entry.kind != Kind::Repository);
        let committed = dirty && self.commit(path, &not_these(&state, &lent), message, hooks)?;
        let head = if committed {
            self.commit_of(path, "HEAD")?.unwrap_or_default()
        } else {
            state.commit.clone()
        };
        let mut saved = Saved {
            committed,
            problems,
            notices: Vec::new(),
            tip: head,
        };
        if off_branch {
            self.bring_home(path, record, state.branch, &mut saved)?;
        }
        Ok(saved)
    }

    /// Work that is not on the task's branch: a step forward from it is brought over, anything else is kept by a ref.
    fn bring_home(
        &self,
        path: &Path,
        record: &TreeRecord,
        found: Option<String>,
        saved: &mut Saved,
    ) -> Result<(), Error> {
        let branch = names::head(&record.branch);
        let tip = self.commit_of(path, &branch)?.unwrap_or_else(|| record.start.clone());
        let ancestor = ["merge-base", "--is-ancestor", &tip, &saved.tip];
        if self.git.at(path).args(ancestor).allow(&[0, 1]).run()?.code == 0 {
            if tip != saved.tip {
                self.git.at(path).args(["update-ref", &branch, &saved.tip]).run()?;
                let place = found.map_or("a detached HEAD".to_owned(), |branch| format!("the branch `{branch}`"));
                saved
                    .notices
                    .push(format!("the work was on {place} and is now on {}", record.branch));
            }
            self.git.at(path).args(["symbolic-ref", "HEAD", &branch]).run()?;
            return Ok(());
        }
        let short = &saved.tip[..12.min(saved.tip.len())];
        let name = names::directory(record.run, &record.key);
        let kept_at = format!("{}/stray/{name}/{short}", names::refs(&self.tag));
        self.git.at(path).args(["update-ref", &kept_at, &saved.tip]).run()?;
        saved.problems.push(Problem::OffBranch { found, kept_at });
        saved.tip = tip;
        Ok(())
    }

    /// Commits all that can be, and says whether there was anything.
    fn commit(&self, path: &Path, without: &[OsString], message: &str, hooks: Option<Hooks>) -> Result<bool, Error> {
        let call = |hooks: Option<Hooks>| {
            let call = self.git.at(path).global("-c").global("core.fsync=committed,reference");
            if hooks == Some(Hooks::Off) {
                call.without_hooks()
            } else {
                call
            }
        };
        call(hooks).args(["add", "-A", "--", ":/"]).args(without).run()?;
        let staged = call(hooks)
            .args(["diff", "--cached", "--quiet", "--no-ext-diff"])
            .allow(&[0, 1])
            .run()?
            .code
            == 1;
        let merging = self
            .insides(path)
            .is_ok_and(|inside| inside.join("MERGE_HEAD").exists());
        if !staged && !merging {
            return Ok(false);
        }
        let commit = [
            "commit",
            "-q",
            "--allow-empty-message",
            "--cleanup=verbatim",
            "-m",
            message,
        ];
        match call(hooks).args(commit).run() {
            Ok(_) => Ok(true),
            Err(Error::Git { words, .. }) if self.git.runs_hooks() && hooks != Some(Hooks::Off) => {
                Err(Error::Hook { words })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes out the entries of files that were lent to the tree and are not committed; gives back their paths.
    pub(super) fn take_lent(&self, state: &mut WorkState, record: &TreeRecord) -> Vec<Vec<u8>> {
        let lent = |path: &[u8]| record.copied.contains(&self.relative(path));
        let taken = state
            .entries
            .extract_if(.., |entry| entry.kind == Kind::Untracked && lent(&entry.path));
        taken.map(|entry| entry.path).collect()
    }

    /// The files that differ between two commits or trees.
    pub(super) fn changes(&self, at: &Path, from: &str, to: &str) -> Result<Vec<FileChange>, Error> {
        let diff = [
            "diff",
            "--raw",
            "--numstat",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
        ];
        let answer = self.git.at(at).args(diff).args([from, to]).run()?;
        Ok(self.file_changes(&answer))
    }

    /// `:MODE MODE HASH HASH LETTER`, path; then `INS TAB DEL TAB PATH` for each.
    fn file_changes(&self, answer: &Answer) -> Vec<FileChange> {
        let mut changes: std::collections::BTreeMap<Vec<u8>, FileChange> = std::collections::BTreeMap::new();
        let mut records = answer.records();
        while let Some(record) = records.next() {
            if record.first() == Some(&b':') {
                let change = match record.last() {
                    Some(b'A') => Change::Added,
                    Some(b'D') => Change::Deleted,
                    _ => Change::Modified,
                };
                let Some(path) = records.next() else { break };
                let file = FileChange {
                    path: self.relative(path),
                    change,
                    insertions: None,
                    deletions: None,
                };
                changes.insert(path.to_owned(), file);
                continue;
            }
            let mut fields = record.splitn(3, |byte| *byte == b'\t');
            let (Some(plus), Some(minus), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            if let Some(file) = changes.get_mut(path) {
                let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
                (file.insertions, file.deletions) = (number(plus), number(minus));
            }
        }
        changes.into_values().collect()
    }
}

/// Pathspecs for what must not be committed: what was lent, and repositories within the tree. Only what git would
/// take otherwise: it refuses to leave out what it ignores anyhow.
pub(super) fn not_these(state: &WorkState, lent: &[Vec<u8>]) -> Vec<OsString> {
    let repositories = state.entries.iter().filter(|entry| entry.kind == Kind::Repository);
    let repositories = repositories.map(|entry| entry.path.strip_suffix(b"/").unwrap_or(&entry.path));
    let spec = |path: &[u8]| {
        let mut spec = OsString::from(":(top,exclude,literal)");
        spec.push(OsStr::from_bytes(path));
        spec
    };
    lent.iter().map(Vec::as_slice).chain(repositories).map(spec).collect()
}

/// A tree whose work is in commits.
pub(super) struct Saved {
    pub(super) committed: bool,
    pub(super) problems: Vec<Problem>,
    pub(super) notices: Vec<String>,
    /// Where the task's branch is now.
    pub(super) tip: String,
}
