//! What tests that start the binary share: a project of its own, an empty home, a cleared environment.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wheelhouse_core::event::Event;
use wheelhouse_core::ids::{Cursor, RunId, TaskId};
use wheelhouse_core::store::{Reader, Store, TaskView};
use wheelhouse_store::{SqliteStore, SystemClock};
use wheelhouse_testkit::conformance::history::{Rules, check};

/// How long anything may take before a test gives up: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A project directory with an empty home, and the binary to start in it.
pub(crate) struct Stage {
    root: tempfile::TempDir,
    started: AtomicU32,
}

impl Stage {
    /// An empty project.
    pub(crate) fn new() -> Stage {
        let root = tempfile::tempdir().unwrap();
        for directory in ["home", "project"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        Stage {
            root,
            started: AtomicU32::new(0),
        }
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.project().join(".wheelhouse")
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.project().join(name)).unwrap_or_default()
    }

    /// Makes the project a git repository with one commit.
    pub(crate) fn repository(&self) {
        self.repository_ignoring("");
    }

    /// The same, with more lines in its `.gitignore`.
    pub(crate) fn repository_ignoring(&self, more: &str) {
        self.git(&["init", "-q", "-b", "main"]);
        self.write(".gitignore", format!(".wheelhouse\nplan.yaml\nwheelhouse.toml\n{more}"));
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", "start"]);
    }

    /// Runs git in the project, which must go well; gives back what it prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The binary with these arguments, in the project, with nothing of our environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
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
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs it with `--json` and reads its document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:#?}"))
    }

    /// Starts it and comes back. What it says goes to files, so that nobody has to read along.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        self.start_with(arguments, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Started {
        let mut path = self.root.path().to_owned();
        path.push(format!("said-{}", self.started.fetch_add(1, Ordering::SeqCst)));
        let said = std::fs::File::create(&path).unwrap();
        let child = self
            .command(arguments)
            .envs(env.iter().copied())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Started { child, said: path }
    }

    /// Everything in the database's one file: whoever may write and is the last to leave writes the log back.
    pub(crate) fn write_log_back(&self) {
        let path = self.state_dir().join("wheelhouse.db");
        drop(SqliteStore::open(&path, std::sync::Arc::new(SystemClock::new())).unwrap());
        let log = path.with_file_name("wheelhouse.db-wal");
        assert_eq!(log.metadata().map_or(0, |log| log.len()), 0, "the log is written back");
    }

    /// The store, read beside whatever works on it.
    pub(crate) fn reader(&self) -> Box<dyn Reader> {
        let store = SqliteStore::open(
            &self.state_dir().join("wheelhouse.db"),
            std::sync::Arc::new(SystemClock::new()),
        );
        store.unwrap().reader().unwrap()
    }

    pub(crate) fn tasks(&self) -> Vec<TaskView> {
        self.reader().tasks(RunId(1), 0, 100_000).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.reader().events(Cursor(0), None, 1_000_000).unwrap()
    }

    pub(crate) fn task_state(&self, key: &str) -> String {
        let task = self.tasks().into_iter().find(|task| task.key.as_str() == key);
        task.map_or("absent".to_owned(), |task| task.state.name().to_owned())
    }

    /// Processes that carry this store's mark in their environment.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let id = self.reader().store_id().unwrap();
        marked(&format!("WHEELHOUSE_STORE={id}"))
    }

    /// The class of a task's outcome.
    pub(crate) fn outcome(&self, key: &str) -> String {
        let document = self.json(&["status", key]);
        document["task"]["outcome"]["class"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    }

    pub(crate) fn assert_sound(&self) {
        let ran = self.run(&["fsck"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    }

    /// After a bad day: the store is sound, its history keeps the rules, and no process of it is left.
    pub(crate) fn assert_clean(&self) {
        self.assert_sound();
        let rules = Rules {
            needs: needs(&self.tasks()),
            running_max: None,
        };
        let wrong = check(&self.events(), &rules);
        assert!(wrong.is_empty(), "{wrong:#?}");
        wait_for("the processes to be gone", || self.processes().is_empty());
    }
}

/// A program that is under way; killed when the test ends before it.
pub(crate) struct Started {
    child: Child,
    said: PathBuf,
}

impl Started {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Everything it said so far, on both streams.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    pub(crate) fn until_said(&self, words: &str) {
        wait_for(&format!("`{words}` in {}", self.said.display()), || {
            self.said().contains(words)
        });
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn done(mut self) -> Ran {
        let mut status = None;
        let deadline = Instant::now() + PATIENCE;
        while status.is_none() {
            assert!(Instant::now() < deadline, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
            status = self.child.try_wait().unwrap();
        }
        Ran {
            code: status.unwrap().code(),
            stdout: self.said(),
            stderr: String::new(),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Waits until the condition holds; says what it was when it does not come.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
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
pub(crate) fn needs(tasks: &[TaskView]) -> std::collections::BTreeMap<TaskId, Vec<TaskId>> {
    let id = |key: &wheelhouse_core::ids::TaskKey| tasks.iter().find(|task| task.key == *key).unwrap().id;
    tasks
        .iter()
        .map(|task| (task.id, task.needs.iter().map(id).collect()))
        .collect()
}
