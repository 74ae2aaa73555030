//! What is known about runs and trees beyond what git knows: small files in the state directory.
//!
//! A tree's record is written before its worktree is made and again when it is whole, so that what a kill left half
//! made is recognised and never mistaken for work. Records are replaced by renaming; they are not flushed: what a
//! power cut leaves without a readable record is set aside in the trash, not deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wheelhouse_core::ids::{AttemptNumber, RunId, TaskKey};

use super::error::Error;
use super::names;

/// How many touched files are kept of one task: a tree in which everything changed needs no list.
const TOUCHED_MAX: usize = 2_000;

/// The directories of the state that are ours.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) state: PathBuf,
}

/// What all trees of a run start from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) run: RunId,
    /// The commit.
    pub(crate) base: String,
    /// The branch that was checked out then.
    pub(crate) from: Option<String>,
    /// What the run's branches begin with.
    pub(crate) prefix: String,
    /// Files that were not committed then, and so are not in any tree; the first of them.
    pub(crate) uncommitted: Vec<String>,
    pub(crate) uncommitted_count: usize,
}

/// How far a tree is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Being made; nobody has worked in it.
    Making,
    /// There.
    Present,
    /// Set aside; its branch is still there.
    Removed,
}

/// One task's tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TreeRecord {
    pub(crate) store: String,
    pub(crate) run: RunId,
    pub(crate) key: TaskKey,
    pub(crate) attempt: AttemptNumber,
    pub(crate) stage: Stage,
    /// Its branch; empty for a copy.
    pub(crate) branch: String,
    /// The commit it started from; empty for a copy.
    pub(crate) start: String,
    /// Whether its set-up commands have run.
    pub(crate) set_up: bool,
    /// Files that were copied in and are never committed.
    pub(crate) copied: Vec<String>,
}

/// What a directory holds: path to content.
pub(crate) type Manifest = BTreeMap<String, String>;

/// What a copy looked like when it was made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CopyRecord {
    /// The project then.
    pub(crate) project: Manifest,
    /// The same with the work of the needed tasks: what the task itself began with.
    pub(crate) start: Manifest,
}

impl Desk {
    pub(crate) fn new(state: PathBuf) -> Desk {
        Desk { state }
    }

    pub(crate) fn worktrees(&self) -> PathBuf {
        self.state.join("worktrees")
    }

    pub(crate) fn checkouts(&self) -> PathBuf {
        self.state.join("checkouts")
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.state.join("trash")
    }

    pub(crate) fn ports(&self) -> PathBuf {
        self.state.join("ports")
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.state.join("trees")
    }

    pub(crate) fn tree_path(&self, run: RunId, key: &TaskKey) -> PathBuf {
        self.worktrees().join(names::directory(run, key))
    }

    /// Makes the directories, and sees to it that git never takes the state for work.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        for directory in [
            self.worktrees(),
            self.checkouts(),
            self.trash(),
            self.ports(),
            self.records(),
        ] {
            fs::create_dir_all(&directory).map_err(|source| Error::io("make", &directory, source))?;
        }
        let ignore = self.state.join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|source| Error::io("write", &ignore, source))?;
        }
        Ok(())
    }

    pub(crate) fn run(&self, run: RunId) -> Result<Option<RunRecord>, Error> {
        self.read(&format!("{run}.json"))
    }

    pub(crate) fn set_run(&self, record: &RunRecord) -> Result<(), Error> {
        self.write(&format!("{}.json", record.run), record)
    }

    pub(crate) fn tree(&self, run: RunId, key: &TaskKey) -> Result<Option<TreeRecord>, Error> {
        self.read(&format!("{}.json", names::directory(run, key)))
    }

    pub(crate) fn set_tree(&self, record: &TreeRecord) -> Result<(), Error> {
        self.write(&format!("{}.json", names::directory(record.run, &record.key)), record)
    }

    pub(crate) fn drop_tree(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        let name = names::directory(run, key);
        self.delete(&format!("{name}.json"))?;
        self.delete(&format!("{name}.touched"))?;
        self.delete(&format!("{name}.copy"))
    }

    pub(crate) fn drop_run(&self, run: RunId) -> Result<(), Error> {
        self.delete(&format!("{run}.json"))
    }

    /// Every tree there is a record of.
    pub(crate) fn trees(&self) -> Result<Vec<TreeRecord>, Error> {
        let mut trees = Vec::new();
        for name in self.names()? {
            // A run's record has no `-` in its name, a tree's has.
            if name.contains('-') && name.ends_with(".json") {
                trees.extend(self.read::<TreeRecord>(&name)?);
            }
        }
        Ok(trees)
    }

    /// Every run there is a record of.
    pub(crate) fn runs(&self) -> Result<Vec<RunRecord>, Error> {
        let mut runs = Vec::new();
        for name in self.names()? {
            if !name.contains('-') && name.ends_with(".json") {
                runs.extend(self.read::<RunRecord>(&name)?);
            }
        }
        Ok(runs)
    }

    /// What a task at work was last seen to have touched.
    pub(crate) fn touched(&self, run: RunId, key: &TaskKey) -> Result<Option<BTreeSet<String>>, Error> {
        self.read(&format!("{}.touched", names::directory(run, key)))
    }

    pub(crate) fn set_touched(&self, run: RunId, key: &TaskKey, paths: &BTreeSet<String>) -> Result<(), Error> {
        let kept: BTreeSet<&String> = paths.iter().take(TOUCHED_MAX).collect();
        self.write(&format!("{}.touched", names::directory(run, key)), &kept)
    }

    pub(crate) fn copy(&self, run: RunId, key: &TaskKey) -> Result<Option<CopyRecord>, Error> {
        self.read(&format!("{}.copy", names::directory(run, key)))
    }

    pub(crate) fn set_copy(&self, run: RunId, key: &TaskKey, record: &CopyRecord) -> Result<(), Error> {
        self.write(&format!("{}.copy", names::directory(run, key)), record)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let directory = self.records();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::io("list", &directory, source)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// A record; one that cannot be read counts as absent, and what it was about is set aside at the next start.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.records().join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io("read", &path, source)),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Error> {
        let path = self.records().join(name);
        let bytes =
            serde_json::to_vec(value).map_err(|error| Error::io("write", &path, std::io::Error::other(error)))?;
        replace(&path, &bytes)
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.records().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("delete", &path, error)),
            _ => Ok(()),
        }
    }
}

/// A name beside a file, for what is to take its place.
pub(crate) fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{number}.part", std::process::id()));
    path.with_file_name(name)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let half = beside(path);
    let written = fs::write(&half, bytes).and_then(|()| fs::rename(&half, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&half);
        Error::io("write", path, source)
    })
}
