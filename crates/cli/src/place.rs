//! Where things are: the project one stands in and the directory that holds its state.
//!
//! The state directory is `.wheelhouse` in the project. The project is the nearest ancestor that has one, else the
//! top of the git repository, else the current directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use wheelhouse_core::ids::{RunId, TaskKey};

use crate::failure::Failure;

/// The name of the state directory within a project.
pub(crate) const STATE_DIR: &str = ".wheelhouse";
/// The name of the project's configuration file.
pub(crate) const CONFIG_FILE: &str = "wheelhouse.toml";

/// The project and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where tasks work.
    pub(crate) project: PathBuf,
    /// What holds the database, logs and reports; may not exist yet.
    pub(crate) state_dir: PathBuf,
}

impl Place {
    /// Finds the project of `start`; `state_dir` overrides where its state is.
    pub(crate) fn find(start: &Path, state_dir: Option<&Path>) -> Place {
        let has = |name: &'static str| start.ancestors().find(move |dir| dir.join(name).exists());
        let project = has(STATE_DIR).or_else(|| has(".git")).unwrap_or(start).to_path_buf();
        let state_dir = match state_dir {
            Some(dir) => start.join(dir),
            None => project.join(STATE_DIR),
        };
        Place { project, state_dir }
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.state_dir.join("wheelhouse.db")
    }

    /// Where the engine keeps the raw output of a try.
    pub(crate) fn log(&self, run: RunId, key: &TaskKey, attempt: u32) -> PathBuf {
        self.logs().join(run.to_string()).join(format!("{key}.{attempt}.log"))
    }

    /// Where logs are, a directory for each run.
    pub(crate) fn logs(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// Where the engine puts artifacts for agents to read.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.state_dir.join("artifacts")
    }

    /// Where the store puts copies of itself before it changes its schema.
    pub(crate) fn backups(&self) -> PathBuf {
        self.state_dir.join("backups")
    }

    /// The prices that were read on top of the shipped ones.
    pub(crate) fn prices(&self) -> PathBuf {
        self.state_dir.join("prices.json")
    }

    /// Where the index of the project's files is.
    pub(crate) fn index(&self) -> PathBuf {
        wheelhouse_engine::codebase::index_in(&self.state_dir)
    }

    /// Where reports go.
    pub(crate) fn reports(&self) -> PathBuf {
        self.state_dir.join("reports")
    }

    /// Makes the state directory if there is none: for its owner alone, and of no interest to git.
    pub(crate) fn create(&self) -> Result<Created, Failure> {
        let failed = |error: io::Error| Failure::io("prepare the state directory", &self.state_dir, &error);
        let created = if self.state_dir.is_dir() {
            Created::Before
        } else {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.state_dir)
                .map_err(failed)?;
            Created::Now
        };
        let ignore = self.state_dir.join(".gitignore");
        if !ignore.exists() {
            write_private(&ignore, b"*\n").map_err(failed)?;
        }
        if created == Created::Now {
            fs::set_permissions(&self.state_dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(created)
    }

    /// `path` as seen from the project, when it lies in it.
    pub(crate) fn short(&self, path: &Path) -> String {
        path.strip_prefix(&self.project).unwrap_or(path).display().to_string()
    }
}

/// Whether something had to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Created {
    /// It was there before.
    Before,
    /// It was made just now.
    Now,
}

/// Writes a file so that a reader sees the old or the new content, never a part: a temporary file beside it is
/// flushed and renamed over it.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// [`write_atomic`] for files that nobody else may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic(path, bytes, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_state_directory_wins_then_git_then_here() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("repo/a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(Place::find(&deep, None).project, deep);
        fs::create_dir(root.path().join("repo/.git")).unwrap();
        assert_eq!(Place::find(&deep, None).project, root.path().join("repo"));
        fs::create_dir(root.path().join("repo/a/.wheelhouse")).unwrap();
        let place = Place::find(&deep, None);
        assert_eq!(place.project, root.path().join("repo/a"));
        assert_eq!(place.state_dir, root.path().join("repo/a/.wheelhouse"));
        let elsewhere = Place::find(&deep, Some(Path::new("/else")));
        assert_eq!(elsewhere.state_dir, Path::new("/else"));
        assert_eq!(elsewhere.project, root.path().join("repo/a"));
    }

    #[test]
    fn the_state_directory_is_private_and_ignored() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::find(root.path(), None);
        assert_eq!(place.create().unwrap(), Created::Now);
        assert_eq!(place.create().unwrap(), Created::Before);
        let mode = fs::metadata(&place.state_dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(fs::read_to_string(place.state_dir.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn an_atomic_write_leaves_nothing_beside_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.json");
        write_atomic(&path, b"one", 0o644).unwrap();
        write_atomic(&path, b"two", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
