//! Where tasks work when they must not meet: a git worktree and branch per task, a copy outside git; what became of
//! their work; and how it comes back.
//!
//! Called by the engine (through its blocking threads) and by the commands `diff`, `merge`, `discard` and `open`.
//! Everything here is synchronous and runs the real `git`. It decides nothing about tasks: it makes trees, commits
//! what is in them, says what changed, merges, and reports conflicts with their hunks.
//!
//! Three rules hold everywhere. Nothing uncommitted is ever discarded: it is committed to its branch, or the tree is
//! kept. A tree is taken away only by the store it belongs to, and goes to the trash first. Branches move by one
//! step from a known old commit to a new one that is whole, so a kill at any moment leaves nothing half merged.

mod base;
mod clean;
mod conflict;
mod copy;
mod copy_merge;
mod create;
mod deliver;
mod error;
mod finish;
mod furnish;
mod git;
mod lock;
mod merge;
mod names;
mod ports;
mod record;
mod recover;
mod room;
mod rules;
mod status;
mod trash;
mod workplace;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::spec::EnvTemplate;

pub use base::RunBase;
pub use clean::CleanCheckout;
pub use conflict::{Conflict, ConflictedFile, HUNKS_MAX};
pub use copy::{COPY_BYTES_MAX, COPY_FILES_MAX, Copies};
pub use deliver::{Delivery, Diff, What};
pub use error::Error;
pub use finish::{Change, Changed, FileChange, Problem, Stat};
pub use furnish::{COPIED_BYTES_MAX, COPIED_FILES_MAX, Teardown};
pub use git::GIT_VERSION_MIN;
pub use merge::{Landing, Verify};
pub use ports::{PORT_FIRST, PORT_LAST};
pub use rules::{Rule, Rules, Violation, violations};
pub use status::{Overlap, overlaps, overlaps_seen};
pub use workplace::Workplace;

use git::{Git, Hooks, Refusal};
use lock::FileLock;
use record::{Desk, RunRecord, TreeRecord};

/// How long one call of git may take unless the options say otherwise: a checkout of a very large repository on a
/// slow disk is done by then.
pub const GIT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a merge waits for another one of the same run, whose checks may take their time.
const MERGE_WAIT_MAX: Duration = Duration::from_secs(2 * 3_600);

/// How trees are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store's unique name. Trees, branches and leases of another store are left alone.
    pub store: String,
    /// The environment git is started with; what it does not need is left out.
    pub env: BTreeMap<String, String>,
    /// How long one call of git may take.
    pub git_timeout: Duration,
    /// What every tree is furnished with.
    pub template: EnvTemplate,
    /// How large a project outside git may be to be copied, in bytes.
    pub copy_bytes_max: u64,
}

impl Options {
    /// The defaults, for a store and an environment.
    pub fn new(store: impl Into<String>, env: BTreeMap<String, String>) -> Options {
        Options {
            store: store.into(),
            env,
            git_timeout: GIT_TIMEOUT,
            template: EnvTemplate::default(),
            copy_bytes_max: COPY_BYTES_MAX,
        }
    }
}

/// Where one task works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    /// Its run.
    pub run: RunId,
    /// Its task.
    pub key: TaskKey,
    /// The top of the tree.
    pub path: PathBuf,
    /// Where the project is within it: the same as `path` unless the project is a part of its repository.
    pub project: PathBuf,
    /// Its branch, without `refs/heads/`; none outside git.
    pub branch: Option<String>,
    /// The commit it started from: the run's base and what the needed tasks changed; none outside git.
    pub start: Option<String>,
    /// Whether it was made just now.
    pub origin: Origin,
    /// Ports and database names leased for it, as environment.
    pub env: BTreeMap<String, String>,
    /// Commands to run in it before the first try, not yet run. Say so with `mark_set_up`.
    pub setup: Vec<String>,
    /// What people should know.
    pub notices: Vec<String>,
}

/// Whether a tree was made just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It is new.
    New,
    /// It was there, with whatever an earlier try left in it.
    Kept,
    /// It was made again from its branch, because the directory was gone.
    Again,
}

/// The trees of one project in a git repository.
#[derive(Debug)]
pub struct Trees {
    git: Git,
    /// The top of the user's own work tree.
    root: PathBuf,
    /// Where the project is below it, with a `/` at the end; empty when it is the whole.
    prefix: String,
    /// What all worktrees share: usually `.git`.
    common: PathBuf,
    desk: Desk,
    store: String,
    tag: String,
    template: EnvTemplate,
    lock: FileLock,
    runs: Mutex<HashMap<RunId, Arc<RunRecord>>>,
}

impl Trees {
    /// The trees of a project, or none when it is not in a git repository. Makes the state directory, nothing else.
    ///
    /// A project that an outer repository ignores or does not know is not in it.
    pub fn open(project: &Path, state_dir: &Path, options: Options) -> Result<Option<Trees>, Error> {
        let project = real(project)?;
        if !seems_in_git(&project) {
            return Ok(None);
        }
        let Options {
            store,
            env,
            git_timeout,
            template,
            ..
        } = options;
        let hooks = if template.hooks { Hooks::Honour } else { Hooks::Off };
        let git = Git::find(&env, hooks, git_timeout)?;
        let Some(Place { root, prefix, common }) = place(&git, &project)? else {
            return Ok(None);
        };
        let desk = Desk::new(absolute(state_dir)?);
        let lock = FileLock::at(common.join("wheelhouse.lock"), git_timeout);
        let tag = names::tag(&store);
        let runs = Mutex::default();
        let trees = Trees {
            git,
            root,
            prefix,
            common,
            desk,
            store,
            tag,
            template,
            lock,
            runs,
        };
        Ok(trees.knows_the_project()?.then_some(trees))
    }

    /// Where a task works, when it has a tree: what `open TASK` prints.
    pub fn path(&self, run: RunId, key: &TaskKey) -> Result<PathBuf, Error> {
        let record = self.present(run, key)?;
        Ok(self.desk.tree_path(record.run, &record.key))
    }

    /// What is to be done in a task's tree before it is taken away; nothing when it has none or nothing is to be done.
    pub fn teardown(&self, run: RunId, key: &TaskKey) -> Result<Option<Teardown>, Error> {
        let path = self.desk.tree_path(run, key);
        if self.present(run, key).is_err() || !path.is_dir() {
            return Ok(None);
        }
        Teardown::of(
            &self.desk,
            &self.store,
            run,
            key,
            &self.template,
            path.join(&self.prefix),
        )
    }

    /// Remembers that the set-up commands have run, so that they do not run again.
    pub fn mark_set_up(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        let record = self.present(run, key)?;
        self.desk.set_tree(&TreeRecord { set_up: true, ..record })
    }

    /// Every tree that is there, by run and task.
    pub fn list(&self) -> Result<Vec<(RunId, TaskKey)>, Error> {
        let trees = self.desk.trees()?.into_iter();
        let present = trees.filter(|record| record.stage == record::Stage::Present && record.store == self.store);
        Ok(present.map(|record| (record.run, record.key)).collect())
    }

    fn record(&self, run: RunId, key: &TaskKey) -> Result<TreeRecord, Error> {
        let record = self
            .desk
            .tree(run, key)?
            .filter(|record| record.stage != record::Stage::Making);
        let record = record.ok_or_else(|| Error::NoTree {
            task: names::task(run, key),
        })?;
        if record.store != self.store {
            let found = format!("store {}", record.store);
            return Err(Error::NotOurs {
                what: self.desk.tree_path(run, key).display().to_string(),
                found,
            });
        }
        Ok(record)
    }

    fn present(&self, run: RunId, key: &TaskKey) -> Result<TreeRecord, Error> {
        let record = self.record(run, key)?;
        match record.stage {
            record::Stage::Present => Ok(record),
            record::Stage::Making | record::Stage::Removed => Err(Error::NoTree {
                task: names::task(run, key),
            }),
        }
    }

    /// Whether the last commit has the project's directory in it.
    fn knows_the_project(&self) -> Result<bool, Error> {
        if self.prefix.is_empty() {
            return Ok(true);
        }
        let directory = format!("HEAD:{}", self.prefix.trim_end_matches('/'));
        let known = self
            .git
            .at(&self.root)
            .args(["rev-parse", "-q", "--verify", &directory])
            .allow(&[0, 1, 128]);
        Ok(known.run()?.code == 0)
    }
}

struct Place {
    root: PathBuf,
    prefix: String,
    common: PathBuf,
}

/// Asks git where the project is, in one call.
fn place(git: &Git, project: &Path) -> Result<Option<Place>, Error> {
    let questions = [
        "--is-bare-repository",
        "--show-toplevel",
        "--git-common-dir",
        "--show-prefix",
    ];
    let call = git
        .at(project)
        .args(["rev-parse", "--path-format=absolute"])
        .args(questions)
        .allow(&[0, 128]);
    let answer = call.run()?;
    let mut lines = answer.lines();
    if lines.first().is_some_and(|bare| bare == "true") {
        return Err(Error::Bare {
            path: project.to_owned(),
        });
    }
    if answer.code != 0 {
        return match Refusal::of(&answer.words) {
            Refusal::NotARepository => Ok(None),
            _ => Err(Error::refused(
                "git rev-parse --show-toplevel".to_owned(),
                answer.code,
                answer.words,
            )),
        };
    }
    // At the top of the work tree the prefix is an empty line.
    lines.resize(lines.len().max(4), String::new());
    let [_, root, common, prefix] = lines.as_slice() else {
        let words = "its path has a line break, which git's answers cannot tell from the end".to_owned();
        return Err(Error::refused("git rev-parse --show-toplevel".to_owned(), 0, words));
    };
    Ok(Some(Place {
        root: PathBuf::from(root),
        prefix: prefix.clone(),
        common: real(Path::new(common))?,
    }))
}

/// Whether it is worth asking git: a `.git` at or above the project, or the insides of a bare repository.
fn seems_in_git(project: &Path) -> bool {
    project.ancestors().any(|directory| {
        directory.join(".git").exists() || (directory.join("HEAD").is_file() && directory.join("objects").is_dir())
    })
}

fn real(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|source| Error::io("find", path, source))
}

/// The state directory as git will print it, though it may not be there yet.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::io("make", path, source))?;
    real(path)
}

/// A path as text for people and rules.
fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
