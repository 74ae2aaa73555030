//! What tests that start the binary share: a project of its own, an empty home, a cleared environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use wheelhouse_core::event::Event;
use wheelhouse_core::ids::{Cursor, RunId, TaskId};
use wheelhouse_core::store::{Reader, Store, TaskView};
use wheelhouse_store::{SqliteStore, SystemClock};

/// A project directory with an empty home, and the binary to start in it.
pub struct Stage {
    root: tempfile::TempDir,
}

impl Stage {
    /// An empty project.
    pub fn new() -> Stage {
        let root = tempfile::tempdir().unwrap();
        for directory in ["home", "project"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        Stage { root }
    }

    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.project().join(".wheelhouse")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.project().join(name)).unwrap_or_default()
    }

    /// The binary with these arguments, in the project, with nothing of our environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
        command
            .args(arguments)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Starts it and comes back.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The store, read beside whatever works on it.
    pub fn reader(&self) -> Box<dyn Reader> {
        let store = SqliteStore::open(
            &self.state_dir().join("wheelhouse.db"),
            std::sync::Arc::new(SystemClock::new()),
        );
        store.unwrap().reader().unwrap()
    }

    pub fn tasks(&self) -> Vec<TaskView> {
        self.reader().tasks(RunId(1), 0, 100_000).unwrap()
    }

    pub fn events(&self) -> Vec<Event> {
        self.reader().events(Cursor(0), None, 1_000_000).unwrap()
    }

    pub fn task_state(&self, key: &str) -> String {
        let task = self.tasks().into_iter().find(|task| task.key.as_str() == key);
        task.map_or("absent".to_owned(), |task| task.state.name().to_owned())
    }

    /// Processes that carry this store's mark in their environment.
    pub fn processes(&self) -> Vec<u32> {
        let id = self.reader().store_id().unwrap();
        marked(&format!("WHEELHOUSE_STORE={id}"))
    }

    pub fn assert_sound(&self) {
        let ran = self.run(&["fsck"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }
}

/// A program that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Waits until the condition holds; says what it was when it does not come.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn marked(mark: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environ = std::fs::read(Path::new("/proc").join(entry.file_name()).join("environ")).unwrap_or_default();
        if environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

/// The ids of the tasks that each task needs.
pub fn needs(tasks: &[TaskView]) -> std::collections::BTreeMap<TaskId, Vec<TaskId>> {
    let id = |key: &wheelhouse_core::ids::TaskKey| tasks.iter().find(|task| task.key == *key).unwrap().id;
    tasks
        .iter()
        .map(|task| (task.id, task.needs.iter().map(id).collect()))
        .collect()
}
