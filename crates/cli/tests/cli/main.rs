//! The binary from outside: started in a directory of its own with an empty HOME and nothing else in the
//! environment, its output compared as a whole.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may end that way")]

mod acp_face;
mod ahead;
mod answers;
mod as_data;
mod bad_money;
mod bad_trees;
mod budget;
mod chains;
mod circles;
mod compare;
mod compat;
mod compatible;
mod compression;
mod config;
mod conversation;
mod crew_money;
mod documents;
mod double;
mod economy;
mod faults;
mod find;
mod gates;
mod handshakes;
mod house;
mod identity;
mod in_flight;
mod injection;
mod inputs;
mod install;
mod instances;
mod interrupt;
mod isolation;
mod layers;
mod leads;
mod lies;
mod mcp;
mod memory;
mod merging;
mod models;
mod money;
mod names;
mod notices;
mod packet;
mod patches;
mod people;
mod plans;
mod probe;
mod queue;
mod report;
mod reviews;
mod routing;
mod run;
mod screen;
mod secrets;
mod seeds;
mod serve;
mod shortcuts;
mod soft;
mod telemetry;
mod tool_scopes;
mod tool_servers;
mod workflows;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before a test gives up: far more than it needs on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A project of its own.
pub(crate) struct House {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
    started: AtomicU32,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl House {
    pub(crate) fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        let env = [
            ("HOME", dir.path().join("home").display().to_string()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("TZ", "UTC".to_owned()),
            // Wide enough that a duration of another length breaks no line elsewhere.
            ("COLUMNS", "160".to_owned()),
        ];
        House {
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            dir,
            started: AtomicU32::new(0),
        }
    }

    pub(crate) fn with_env(mut self, name: &str, value: &str) -> House {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> House {
        self.env.remove(name);
        self
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.project().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
        command
            .args(words)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.project())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Done {
        done(self.command(words).output().unwrap())
    }

    /// Runs a command that must exit with 0.
    pub(crate) fn ok(&self, words: &[&str]) -> Done {
        let done = self.run(words);
        assert_eq!(done.code, Some(0), "{words:?}: {done:#?}");
        done
    }

    /// Runs a command with `--json` and reads its document.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let mut with_json = words.to_vec();
        with_json.push("--json");
        let done = self.run(&with_json);
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {done:#?}"))
    }

    /// Starts a command and goes on.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let errors = self
            .dir
            .path()
            .join(format!("errors-{}", self.started.fetch_add(1, Ordering::SeqCst)));
        let said = fs::File::create(&errors).unwrap();
        let child = self.command(words).stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        Running {
            child: Some(child),
            errors,
        }
    }

    /// Waits until that task is in that state.
    pub(crate) fn until_task(&self, task: &str, state: &str) {
        until(&format!("{task} is {state}"), || {
            let document = self.json(&["status", task]);
            document["task"]["state"] == state
        });
    }

    /// Waits until that run is in that state.
    pub(crate) fn until_run(&self, run: &str, state: &str) {
        until(&format!("{run} is {state}"), || {
            self.json(&["status", run])["run"]["state"] == state
        });
    }

    /// Waits until no engine has the seat.
    pub(crate) fn until_no_engine(&self) {
        until("no engine is running", || {
            self.json(&["status"])["engine"]["running"] == false
        });
    }

    /// The text with everything replaced that differs from run to run.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let home = self.dir.path().canonicalize().unwrap();
        text.replace(&home.display().to_string(), "[root]")
            .replace(&self.dir.path().display().to_string(), "[root]")
    }
}

/// A command that is under way; killed when the test ends before it.
pub(crate) struct Running {
    child: Option<Child>,
    /// What it says, while it says it.
    errors: PathBuf,
}

impl Running {
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid().cast_signed());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits until it has said that on stderr.
    pub(crate) fn until_said(&self, words: &str) {
        until(&format!("it says `{words}`"), || {
            fs::read_to_string(&self.errors).unwrap().contains(words)
        });
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn done(mut self) -> Done {
        let mut child = self.child.take().unwrap();
        let end = Instant::now() + DEADLINE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("it does not end: {}", fs::read_to_string(&self.errors).unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut done = done(child.wait_with_output().unwrap());
        done.err = fs::read_to_string(&self.errors).unwrap();
        done
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn done(output: std::process::Output) -> Done {
    Done {
        code: output.status.code(),
        signal: output.status.signal(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "in vain: until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Compares a whole text, with what differs from run to run replaced.
#[macro_export]
macro_rules! snapshot {
    ($house:expr, $text:expr) => {
        insta::with_settings!({filters => $crate::volatile(), omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!($house.filtered(&$text));
        })
    };
}

/// What differs from run to run, and what stands for it.
pub(crate) fn volatile() -> Vec<(&'static str, &'static str)> {
    vec![
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[moment]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "[date]"),
        (r"\d\d:\d\d:\d\d", "[clock]"),
        (r"[█·]{10,}", "[bar]"),
        (r"\b\d+h \d\dm *|\b\d+m \d\ds *|\b\d+\.\ds\b *|\b\d+ms\b *", "[time] "),
        (r#""took_ms":\d+"#, r#""took_ms":[ms]"#),
        (r#""pid":\d+"#, r#""pid":[pid]"#),
        (r"process \d+", "process [pid]"),
        (r"(?m) +$", ""),
    ]
}

/// Which processes of this user carry that in their command line or environment, this one excepted.
pub(crate) fn processes_with(mark: &str) -> Vec<u32> {
    let own = std::process::id();
    let carries = |dir: &Path, file: &str| {
        let bytes = fs::read(dir.join(file)).unwrap_or_default();
        bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())))
        .filter(|(pid, dir)| *pid != own && (carries(dir, "cmdline") || carries(dir, "environ")))
        .map(|(pid, _)| pid)
        .collect()
}
