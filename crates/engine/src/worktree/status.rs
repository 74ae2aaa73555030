//! What is in a work tree that is in no commit yet, and what of it meets the work of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wheelhouse_core::ids::{RunId, TaskKey};

use super::error::Error;
use super::git::Call;
use super::record::Desk;
use super::{Trees, names};

/// How closely git looks at files it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Untracked {
    /// Every file by its name.
    Files,
    /// A new folder counts as one.
    Folders,
}

/// A work tree against its last commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct WorkState {
    /// The commit that is checked out.
    pub(crate) commit: String,
    /// The branch that is checked out; none when HEAD is detached.
    pub(crate) branch: Option<String>,
    pub(crate) entries: Vec<Entry>,
}

/// One path that is not as committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Relative to the top of the work tree, as git has it.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Changed,
    Untracked,
    /// A conflict of a merge that was begun and not ended.
    Unmerged,
    /// A repository within the tree, or a submodule with work in it: git cannot take its files into a commit.
    Repository,
}

/// Asks git. The index is not touched.
pub(crate) fn read(call: Call<'_>, untracked: Untracked) -> Result<WorkState, Error> {
    let untracked = match untracked {
        Untracked::Files => "--untracked-files=all",
        Untracked::Folders => "--untracked-files=normal",
    };
    let args = [
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--no-renames",
        "--ignore-submodules=none",
        untracked,
    ];
    let answer = call.args(args).run()?;
    let mut state = WorkState::default();
    for record in answer.records() {
        match record.first() {
            Some(b'#') => header(&mut state, record),
            _ => state.entries.extend(entry(record)),
        }
    }
    Ok(state)
}

fn header(state: &mut WorkState, record: &[u8]) {
    let text = String::from_utf8_lossy(record);
    if let Some(commit) = text.strip_prefix("# branch.oid ") {
        state.commit = commit.to_owned();
    } else if let Some(branch) = text.strip_prefix("# branch.head ") {
        state.branch = (branch != "(detached)").then(|| branch.to_owned());
    }
}

/// `1 XY SUB mH mI mW hH hI PATH`, `u XY SUB m1 m2 m3 mW h1 h2 h3 PATH`, `? PATH`.
fn entry(record: &[u8]) -> Option<Entry> {
    let mut fields = record.splitn(2, |byte| *byte == b' ');
    let (kind, rest) = (fields.next()?, fields.next()?);
    let words_before_path = match kind {
        b"?" => {
            // Untracked folders are listed file by file; one that is not is a repository of its own.
            let kind = if rest.ends_with(b"/") {
                Kind::Repository
            } else {
                Kind::Untracked
            };
            return Some(Entry {
                path: rest.to_owned(),
                kind,
            });
        }
        b"1" => 7,
        b"u" => 9,
        _ => return None,
    };
    let submodule = rest.get(3..7).unwrap_or_default();
    let path = rest
        .splitn(words_before_path + 1, |byte| *byte == b' ')
        .last()?
        .to_owned();
    let work_within = submodule.first() == Some(&b'S') && submodule.get(2..).is_some_and(|flags| flags != b"..");
    let kind = match kind {
        b"u" => Kind::Unmerged,
        _ if work_within => Kind::Repository,
        _ => Kind::Changed,
    };
    Some(Entry { path, kind })
}

/// A file that several tasks have touched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlap {
    /// The file, relative to the project.
    pub path: String,
    /// Who touched it, in order.
    pub tasks: Vec<TaskKey>,
}

/// The files that more than one task has touched, by path.
pub fn overlaps(touched: &[(TaskKey, BTreeSet<String>)]) -> Vec<Overlap> {
    let mut by_path: BTreeMap<&str, Vec<TaskKey>> = BTreeMap::new();
    for (task, paths) in touched {
        for path in paths {
            by_path.entry(path).or_default().push(task.clone());
        }
    }
    let several = by_path.into_iter().filter(|(_, tasks)| tasks.len() > 1);
    several
        .map(|(path, tasks)| Overlap {
            path: path.to_owned(),
            tasks,
        })
        .collect()
}

/// What these running tasks of a run touch in common, as the engine last saw it. Reads small files, asks no git.
pub fn overlaps_seen(state_dir: &Path, run: RunId, running: &[TaskKey]) -> Vec<Overlap> {
    let desk = Desk::new(state_dir.to_owned());
    let touched = running.iter().filter_map(|key| {
        // A record that cannot be read says nothing, like one that is not there yet.
        let paths = desk.touched(run, key).ok().flatten()?;
        Some((key.clone(), paths))
    });
    overlaps(&touched.collect::<Vec<_>>())
}

impl Trees {
    /// What the task has touched up to now, committed or not, relative to the project. Safe while its agent works.
    pub fn touched(&self, run: RunId, key: &TaskKey) -> Result<BTreeSet<String>, Error> {
        let record = self.present(run, key)?;
        let path = self.desk.tree_path(run, key);
        let state = read(self.git.at(&path), Untracked::Files)?;
        let unfinished = state.entries.iter().map(|entry| self.relative(&entry.path));
        let mut touched: BTreeSet<String> = unfinished.filter(|path| !record.copied.contains(path)).collect();
        let since = self.own_since(&record, &state.commit)?;
        let diff = [
            "diff",
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            &since,
            &state.commit,
        ];
        let answer = self.git.at(&path).args(diff).run()?;
        touched.extend(answer.records().map(|path| self.relative(path)));
        Ok(touched)
    }

    /// Whether the task's branch is there.
    pub fn has_branch(&self, run: RunId, key: &TaskKey) -> Result<bool, Error> {
        let Some(record) = self.known_run(run)? else {
            return Ok(false);
        };
        Ok(!self.tips(&[names::branch(&record.prefix, key)])?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry() {
        let changed = "1 .M N... 100644 100644 100644 1111 2222 src/with space.rs";
        assert_eq!(
            entry(changed.as_bytes()),
            Some(Entry {
                path: b"src/with space.rs".to_vec(),
                kind: Kind::Changed
            })
        );
        let unmerged = "u UU N... 100644 100644 100644 100644 1 2 3 a b";
        assert_eq!(
            entry(unmerged.as_bytes()),
            Some(Entry {
                path: b"a b".to_vec(),
                kind: Kind::Unmerged
            })
        );
        let submodule = "1 .M S.M. 160000 160000 160000 1111 2222 lib";
        assert_eq!(entry(submodule.as_bytes()).unwrap().kind, Kind::Repository);
        let moved_submodule = "1 .M SC.. 160000 160000 160000 1111 2222 lib";
        assert_eq!(entry(moved_submodule.as_bytes()).unwrap().kind, Kind::Changed);
        assert_eq!(entry(b"? new.txt").unwrap().kind, Kind::Untracked);
        assert_eq!(entry(b"? inner/").unwrap().kind, Kind::Repository);
    }

    #[test]
    fn overlaps_name_who_meets() {
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<BTreeSet<_>>();
        let touched = [
            ("a".into(), set(&["x", "y"])),
            ("b".into(), set(&["y"])),
            ("c".into(), set(&["z", "y"])),
        ];
        let found = overlaps(&touched);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].tasks.len()), ("y", 3));
    }
}
