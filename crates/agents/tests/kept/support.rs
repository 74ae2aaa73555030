//! What the tests share: a keeper, programs to keep, and waiting for what must come to pass.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::mpsc;
use wheelhouse_agents::keep::{self, Command, Keeper, Stdin};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Ended, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};
use wheelhouse_core::store::ProcessMark;

/// How long anything may take before a test says that it does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program that answers `keep` and `rehearse`.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_keep-for-tests");

/// A keeper and a directory of one test.
pub(crate) struct Rig {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) directory: TempDir,
}

pub(crate) fn rig() -> Rig {
    Rig {
        keeper: Arc::new(Keeper::start(PathBuf::from(EXE)).unwrap()),
        directory: tempfile::tempdir().unwrap(),
    }
}

impl Rig {
    /// A path in the directory of the test, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// The process that wrote its number there, once it has.
    pub(crate) async fn marked(&self, name: &str) -> ProcessMark {
        marked(&self.directory.path().join(name)).await
    }

    /// A program with its arguments and nothing else.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        Command {
            argv: argv.iter().map(OsString::from).collect(),
            env: env(),
            cwd: self.directory.path().to_owned(),
            stdin: Stdin::Null,
            grace: Duration::from_millis(300),
        }
    }

    pub(crate) fn assignment(&self, input: Input) -> Assignment {
        Assignment {
            run: RunId(1),
            task: TaskId(1),
            key: TaskKey::from("task"),
            attempt: 1,
            agent: AgentName::from("agent"),
            input,
            model: None,
            role: None,
            cwd: self.directory.path().to_owned(),
            env: env(),
            stdin: None,
            tools: None,
            schema: None,
            session: None,
            mcp_servers: BTreeMap::new(),
            log: Some(self.directory.path().join("log")),
            output_max: 64 << 10,
            grace_ms: 300,
        }
    }

    /// Begins a try at this command.
    pub(crate) fn attempt(&self, agent: &dyn Agent, command: &str) -> Attempt {
        attempt(agent, self.assignment(Input::Command(command.to_owned())))
    }
}

/// The process that wrote its number there, once it has.
pub(crate) async fn marked(file: &Path) -> ProcessMark {
    let mut found = None;
    until("the process marks itself", || {
        let number = std::fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
        found = number.and_then(keep::mark);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// The allowlist of the tests.
pub(crate) fn env() -> BTreeMap<String, String> {
    BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())])
}

/// The scripted agent with these steps, as a command for a shell.
pub(crate) fn scripted(steps: &str) -> String {
    format!("exec {} {steps}", wheelhouse_testkit::script::program().display())
}

/// Waits for what must become true.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn until_gone(what: &str, process: ProcessMark) {
    until(&format!("{what} {} is gone", process.pid), || !keep::is_alive(process)).await;
}

/// The parent of a process, as the kernel says it.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is there in any form, a zombie too.
pub(crate) fn is_there(process: ProcessMark) -> bool {
    keep::mark(process.pid) == Some(process)
}

pub(crate) fn signal(process: ProcessMark, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(process.pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// A try under way.
pub(crate) struct Attempt {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) events: Arc<Events>,
    pub(crate) ended: tokio::task::JoinHandle<Ended>,
}

impl Attempt {
    pub(crate) async fn end(self) -> Ended {
        tokio::time::timeout(PATIENCE, self.ended)
            .await
            .expect("the try does not end")
            .unwrap()
    }

    /// The warden of the try, once it has started.
    pub(crate) async fn warden(&self) -> ProcessMark {
        let mut warden = None;
        until("the try starts", || {
            warden = self.events.all().into_iter().find_map(|event| match event {
                AgentEvent::Started { process, .. } => process,
                _ => None,
            });
            warden.is_some()
        })
        .await;
        warden.unwrap()
    }
}

pub(crate) fn attempt(agent: &dyn Agent, assignment: Assignment) -> Attempt {
    let (orders, inbox) = mpsc::unbounded_channel();
    let events = Arc::new(Events::default());
    let sink: Arc<dyn Sink> = events.clone();
    let ended = tokio::spawn(agent.attempt(assignment, Box::new(Orders(inbox)), sink));
    Attempt { orders, events, ended }
}

#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<AgentEvent>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<AgentEvent> {
        self.0.lock().unwrap().clone()
    }
}

impl Sink for Events {
    fn event(&self, event: AgentEvent) {
        self.0.lock().unwrap().push(event);
    }
}

struct Orders(mpsc::UnboundedReceiver<Order>);

impl Inbox for Orders {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(self.0.recv())
    }
}
