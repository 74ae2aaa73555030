//! Trees outside git: copies of the project, with a list of what was in them at the start.
//!
//! What changed is found by comparing contents. How the work comes back is in `copy_merge`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wheelhouse_core::ids::{AttemptNumber, RunId, TaskKey};
use wheelhouse_core::spec::EnvTemplate;
use wheelhouse_core::time::Millis;

use crate::prepare::bounded;

use super::conflict::{Conflict, ConflictedFile};
use super::deliver::Diff;
use super::error::Error;
use super::finish::{Change, Changed, FileChange, Stat};
use super::lock::{FileLock, Held};
use super::record::{CopyRecord, Desk, Manifest, Stage, TreeRecord};

use super::{Options, Origin, Teardown, Tree, absolute, furnish, names, ports, real, recover, trash};

/// How large a project may be to be copied unless the options say otherwise, in bytes.
pub const COPY_BYTES_MAX: u64 = 1 << 30;
/// How many files it may have.
pub const COPY_FILES_MAX: usize = 100_000;
/// The state directory's usual name; one of another store is not copied either.
const STATE_NAME: &str = ".wheelhouse";

/// The copies of a project that is in no git repository.
#[derive(Debug)]
pub struct Copies {
    pub(super) project: PathBuf,
    pub(super) desk: Desk,
    store: String,
    template: EnvTemplate,
    bytes_max: u64,
    lock: FileLock,
}

impl Copies {
    /// The copies of a project. Makes the state directory, nothing else.
    pub fn open(project: &Path, state_dir: &Path, options: Options) -> Result<Copies, Error> {
        let Options {
            store,
            template,
            copy_bytes_max,
            git_timeout,
            ..
        } = options;
        let desk = Desk::new(absolute(state_dir)?);
        let lock = FileLock::at(desk.state.join("copies.lock"), git_timeout);
        Ok(Copies {
            project: real(project)?,
            desk,
            store,
            template,
            bytes_max: copy_bytes_max,
            lock,
        })
    }

    /// The copy of a task; the one that is there, or a new one with the work of the needed tasks in it.
    pub fn create(&self, run: RunId, key: &TaskKey, attempt: AttemptNumber, needs: &[TaskKey]) -> Result<Tree, Error> {
        self.desk.prepare()?;
        let held = self.hold()?;
        let path = self.desk.tree_path(run, key);
        let there = self
            .desk
            .tree(run, key)?
            .filter(|record| record.stage == Stage::Present && path.is_dir());
        let (record, origin) = match there {
            Some(record) if record.store != self.store => {
                let found = format!("store {}", record.store);
                return Err(Error::NotOurs {
                    what: path.display().to_string(),
                    found,
                });
            }
            Some(record) => (TreeRecord { attempt, ..record }, Origin::Kept),
            None => (self.make(run, key, attempt, needs, &path)?, Origin::New),
        };
        self.desk.set_tree(&record)?;
        drop(held);
        let env = furnish::leases(&self.desk, &self.store, run, key, &self.template)?;
        Ok(Tree {
            run,
            key: key.clone(),
            project: path.clone(),
            path,
            branch: None,
            start: None,
            origin,
            env,
            setup: if record.set_up {
                Vec::new()
            } else {
                self.template.setup.clone()
            },
            notices: Vec::new(),
        })
    }

    fn make(
        &self,
        run: RunId,
        key: &TaskKey,
        attempt: AttemptNumber,
        needs: &[TaskKey],
        path: &Path,
    ) -> Result<TreeRecord, Error> {
        let unfinished = self
            .desk
            .tree(run, key)?
            .is_some_and(|record| record.stage == Stage::Making);
        if path.symlink_metadata().is_ok() {
            if unfinished {
                trash::delete(path)?
            } else {
                drop(trash::to_trash(&self.desk, path, trash::changed_at(path))?)
            }
        }
        let mut record = TreeRecord {
            store: self.store.clone(),
            run,
            key: key.clone(),
            attempt,
            stage: Stage::Making,
            branch: String::new(),
            start: String::new(),
            set_up: false,
            copied: Vec::new(),
        };
        let brought = self.brought(run, needs)?;
        self.desk.set_tree(&record)?;
        let filled = self.copy_project(path).and_then(|project| {
            for (file, from) in &brought {
                place(from, &path.join(file))?;
            }
            let start = if brought.is_empty() {
                project.clone()
            } else {
                self.scan(path)?
            };
            self.desk.set_copy(run, key, &CopyRecord { project, start })
        });
        if let Err(error) = filled {
            // What cannot be undone now (a full disk) is undone before the next try.
            let _ = trash::delete(path).and_then(|()| self.desk.drop_tree(run, key));
            return Err(error);
        }
        record.stage = Stage::Present;
        Ok(record)
    }

    /// What the needed tasks' trees have that the project did not: each file and where it is now.
    fn brought(&self, run: RunId, needs: &[TaskKey]) -> Result<Vec<(String, PathBuf)>, Error> {
        let mut brought: Vec<(String, PathBuf)> = Vec::new();
        let mut from: std::collections::BTreeMap<String, (TaskKey, Option<String>)> = std::collections::BTreeMap::new();
        for need in needs {
            let path = self.desk.tree_path(run, need);
            let (true, Some(copy)) = (path.is_dir(), self.desk.copy(run, need)?) else {
                continue;
            };
            let now = self.scan(&path)?;
            let mut clashes = Vec::new();
            for change in compare(&copy.project, &now) {
                let content = now.get(&change.path).cloned();
                match from.get(&change.path) {
                    Some((_, other)) if *other == content => {}
                    Some((other, _)) => clashes.push((other.clone(), change.path)),
                    None => {
                        from.insert(change.path.clone(), (need.clone(), content));
                        brought.push((change.path.clone(), path.join(&change.path)));
                    }
                }
            }
            if let Some((other, _)) = clashes.first() {
                let file = |(_, path): &(TaskKey, String)| ConflictedFile {
                    path: path.clone(),
                    kind: "content".to_owned(),
                };
                return Err(Error::Conflict(Box::new(Conflict {
                    ours: names::task(run, other),
                    theirs: names::task(run, need),
                    files: clashes.iter().map(file).collect(),
                    hunks: String::new(),
                })));
            }
        }
        Ok(brought)
    }

    /// What the task has changed. Nothing is committed: there is nowhere to.
    pub fn finish(&self, run: RunId, key: &TaskKey) -> Result<Changed, Error> {
        let files = self.changes(run, key)?;
        let stat = Stat::of(&files);
        Ok(Changed {
            commit: None,
            committed: false,
            files,
            stat,
            problems: Vec::new(),
            notices: Vec::new(),
        })
    }

    pub(super) fn changes(&self, run: RunId, key: &TaskKey) -> Result<Vec<FileChange>, Error> {
        let path = self.path(run, key)?;
        let copy = self.copy_record(run, key)?;
        Ok(compare(&copy.start, &self.scan(&path)?))
    }

    pub(super) fn copy_record(&self, run: RunId, key: &TaskKey) -> Result<CopyRecord, Error> {
        self.desk.copy(run, key)?.ok_or_else(|| Error::Damaged {
            task: names::task(run, key),
            path: self.desk.tree_path(run, key),
            why: "the list of what it began with is gone".to_owned(),
        })
    }

    /// What the task has touched up to now.
    pub fn touched(&self, run: RunId, key: &TaskKey) -> Result<BTreeSet<String>, Error> {
        Ok(self.changes(run, key)?.into_iter().map(|file| file.path).collect())
    }

    /// The changed files by name; what changed within them only git can say.
    pub fn diff(&self, run: RunId, key: &TaskKey, bytes_max: usize) -> Result<Diff, Error> {
        let files = self.changes(run, key)?;
        let line = |file: &FileChange| format!("{:?} {}", file.change, file.path);
        let whole = files.iter().map(line).collect::<Vec<_>>().join("\n");
        let patch = bounded(&whole, bytes_max);
        Ok(Diff {
            start: String::new(),
            stat: Stat::of(&files),
            cut: whole.len() > bytes_max,
            files,
            patch,
        })
    }

    /// Where a task works, when it has a copy.
    pub fn path(&self, run: RunId, key: &TaskKey) -> Result<PathBuf, Error> {
        self.present(run, key)?;
        Ok(self.desk.tree_path(run, key))
    }

    /// Remembers that the set-up commands have run.
    pub fn mark_set_up(&self, run: RunId, key: &TaskKey) -> Result<(), Error> {
        let record = self.present(run, key)?;
        self.desk.set_tree(&TreeRecord { set_up: true, ..record })
    }

    /// Every copy that is there, by run and task.
    pub fn list(&self) -> Result<Vec<(RunId, TaskKey)>, Error> {
        let trees = self.desk.trees()?.into_iter();
        let present = trees.filter(|record| record.stage == Stage::Present && record.store == self.store);
        Ok(present.map(|record| (record.run, record.key)).collect())
    }

    fn present(&self, run: RunId, key: &TaskKey) -> Result<TreeRecord, Error> {
        let there = |record: &TreeRecord| record.stage == Stage::Present && self.desk.tree_path(run, key).is_dir();
        let record = self.desk.tree(run, key)?.filter(there);
        let record = record.ok_or_else(|| Error::NoTree {
            task: names::task(run, key),
        })?;
        if record.store == self.store {
            return Ok(record);
        }
        let found = format!("store {}", record.store);
        Err(Error::NotOurs {
            what: self.desk.tree_path(run, key).display().to_string(),
            found,
        })
    }

    /// Moves a task's copy, with everything in it, to the trash. Gives back where it is until the trash is emptied.
    pub fn remove(&self, run: RunId, key: &TaskKey, now: Millis) -> Result<PathBuf, Error> {
        let path = self.path(run, key)?;
        let _held = self.hold()?;
        let trashed = trash::to_trash(&self.desk, &path, now)?;
        self.desk.drop_tree(run, key)?;
        ports::release(&self.desk, &self.store, run, key)?;
        Ok(trashed)
    }

    /// See [`Trees::teardown`](super::Trees::teardown).
    pub fn teardown(&self, run: RunId, key: &TaskKey) -> Result<Option<Teardown>, Error> {
        let Ok(project) = self.path(run, key) else {
            return Ok(None);
        };
        Teardown::of(&self.desk, &self.store, run, key, &self.template, project)
    }

    /// Deletes for good what has been in the trash for longer.
    pub fn empty_trash(&self, now: Millis, older_than: Duration) -> Result<usize, Error> {
        trash::empty(&self.desk, now, older_than)
    }

    /// Puts right what a kill left. Only for the engine, at its start.
    pub fn recover(&self) -> Result<Vec<String>, Error> {
        self.desk.prepare()?;
        let _held = self.hold()?;
        let mut notices = Vec::new();
        for record in self
            .desk
            .trees()?
            .into_iter()
            .filter(|record| record.store == self.store)
        {
            let path = self.desk.tree_path(record.run, &record.key);
            match record.stage {
                Stage::Making => {
                    trash::delete(&path)?;
                    self.desk.drop_tree(record.run, &record.key)?;
                }
                Stage::Present if !path.exists() => {
                    notices.push(format!(
                        "the copy of {} was deleted from outside",
                        names::task(record.run, &record.key)
                    ));
                    self.desk.drop_tree(record.run, &record.key)?;
                }
                Stage::Present | Stage::Removed => {}
            }
        }
        for place in recover::unknown_trees(&self.desk)? {
            let trashed = trash::to_trash(&self.desk, &place, trash::changed_at(&place))?;
            notices.push(format!(
                "{} had no record and is now {}",
                place.display(),
                trashed.display()
            ));
        }
        for checkout in recover::listed(&self.desk.checkouts())? {
            trash::delete(&checkout)?;
        }
        ports::reclaim(&self.desk, &self.store)?;
        Ok(notices)
    }

    pub(super) fn hold(&self) -> Result<Held<'_>, Error> {
        self.lock.hold()
    }

    /// Copies the project and gives back what is in it. Looks at the size first, so that nothing is begun in vain.
    pub(super) fn copy_project(&self, to: &Path) -> Result<Manifest, Error> {
        let files = self.files(&self.project)?;
        let mut bytes: u64 = 0;
        for file in &files {
            let path = self.project.join(file);
            bytes += path
                .symlink_metadata()
                .map_err(|source| Error::io("read", &path, source))?
                .len();
        }
        let too_large = |found: String, limit: String| Error::TooLarge {
            path: self.project.clone(),
            found,
            limit,
            hint: "put the project under git (`git init`), which needs no copies, or set `isolation: none`".to_owned(),
        };
        if files.len() > COPY_FILES_MAX {
            return Err(too_large(
                format!("{} files", files.len()),
                format!("{COPY_FILES_MAX} (COPY_FILES_MAX)"),
            ));
        }
        if bytes > self.bytes_max {
            return Err(too_large(
                format!("{bytes} bytes"),
                format!("{} (copy_bytes_max)", self.bytes_max),
            ));
        }
        fs::create_dir_all(to).map_err(|source| Error::io("make", to, source))?;
        let mut manifest = Manifest::new();
        for file in files {
            let copy = to.join(&file);
            furnish::copy_file(&self.project.join(&file), &copy)?;
            if let Some(content) = content(&copy)? {
                manifest.insert(file, content);
            }
        }
        Ok(manifest)
    }

    /// What a directory holds now.
    pub(super) fn scan(&self, top: &Path) -> Result<Manifest, Error> {
        let mut manifest = Manifest::new();
        for file in self.files(top)? {
            if let Some(content) = content(&top.join(&file))? {
                manifest.insert(file, content);
            }
        }
        Ok(manifest)
    }

    /// Every file and link below, relative; without states of stores, and without sockets and devices.
    fn files(&self, top: &Path) -> Result<Vec<String>, Error> {
        let mut files = Vec::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            let whole = top.join(&directory);
            let failed = |source| Error::io("list", &whole, source);
            for entry in fs::read_dir(&whole).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let kind = entry.file_type().map_err(failed)?;
                let path = directory.join(entry.file_name());
                if kind.is_dir() {
                    if entry.file_name() != STATE_NAME && entry.path() != self.desk.state {
                        directories.push(path);
                    }
                } else if kind.is_file() || kind.is_symlink() {
                    let text = path.into_os_string().into_string().map_err(|name| Error::Damaged {
                        task: "the project".to_owned(),
                        path: top.join(name),
                        why: "its name is not text; outside git such files cannot be copied".to_owned(),
                    })?;
                    files.push(text);
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// What a file holds, in a word to compare by: its kind, whether it can be run, its bytes. None when it is gone.
pub(super) fn content(path: &Path) -> Result<Option<String>, Error> {
    let failed = |source| Error::io("read", path, source);
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(failed(source)),
    };
    if found.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        return Ok(Some(format!("link {}", target.display())));
    }
    let mut hasher = blake3::Hasher::new();
    let mut file = fs::File::open(path).map_err(failed)?;
    std::io::copy(&mut file, &mut hasher).map_err(failed)?;
    let kind = if found.permissions().mode() & 0o111 == 0 {
        "file"
    } else {
        "program"
    };
    Ok(Some(format!("{kind} {}", hasher.finalize().to_hex())))
}

/// What differs, by path.
pub(super) fn compare(from: &Manifest, to: &Manifest) -> Vec<FileChange> {
    let change = |path: &String| match (from.get(path), to.get(path)) {
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Deleted),
        (Some(before), Some(now)) if before != now => Some(Change::Modified),
        _ => None,
    };
    let paths: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let file = |path: &String| {
        let change = change(path)?;
        Some(FileChange {
            path: path.clone(),
            change,
            insertions: None,
            deletions: None,
        })
    };
    paths.into_iter().filter_map(file).collect()
}

/// Makes a place hold what another holds, nothing included. A file appears whole or not at all.
pub(super) fn place(from: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::io("replace", to, source);
    if content(from)?.is_none() {
        return match fs::remove_file(to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        };
    }
    let half = super::record::beside(to);
    furnish::copy_file(from, &half)
        .and_then(|()| fs::rename(&half, to).map_err(failed))
        .inspect_err(|_| {
            let _ = fs::remove_file(&half);
        })
}
