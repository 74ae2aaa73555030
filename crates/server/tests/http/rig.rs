//! A server on a free port over a store in a directory of its own, and a client that says exactly what it is told to.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wheelhouse_core::ids::{AgentName, TaskKey};
use wheelhouse_core::plan::{self, Checked, Context, Defaults, Source};
use wheelhouse_core::route::{Caller, DoItYourself};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::Store;
use wheelhouse_server::face::failure::Failure;
use wheelhouse_server::face::role::Roles;
use wheelhouse_server::face::spawn;
use wheelhouse_server::ports::{
    AgentDoc, Asked, Cast, NewTask, PlanText, Plans, Ports, ReportWish, RouteWish, TreeVerb,
};
use wheelhouse_server::token::{Scope, Secret};
use wheelhouse_server::{Limits, Server};
use wheelhouse_store::{SqliteStore, SystemClock};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Reads plans for agents `exec` and `rehearsal`.
struct PlainPlans;

impl PlainPlans {
    fn with<T>(read: impl FnOnce(&Context<'_>) -> T) -> T {
        let agents = [AgentName::from("exec"), AgentName::from("rehearsal")];
        let vars = BTreeMap::new();
        read(&Context {
            router: None,
            agents: &agents,
            default_agent: &agents[1],
            vars: &vars,
            read_file: &|path| Err(format!("there is no file {path}")),
            advice: Default::default(),
            defaults: Defaults {
                timeout_ms: 60_000,
                idle_timeout_ms: 60_000,
                retry_max: 0,
            },
        })
    }
}

fn refusal(problems: &plan::Problems) -> Failure {
    let mut failure = Failure::usage(problems.to_string());
    failure.problems = Some(Box::new(serde_json::to_value(problems).unwrap()));
    failure
}

impl Plans for PlainPlans {
    fn plan(&self, text: &PlanText) -> Result<Checked, Failure> {
        let source = Source {
            name: &text.name,
            text: &text.text,
            format: None,
        };
        PlainPlans::with(|context| plan::read(&source, context)).map_err(|problems| refusal(&problems))
    }

    fn task(&self, wanted: &NewTask, existing: &[TaskKey]) -> Result<TaskSpec, Failure> {
        let key = wanted.id.clone().unwrap_or_else(|| format!("task-{}", existing.len()));
        let document = serde_json::json!({ "name": "queue", "tasks": [{ "id": key, "exec": wanted.text }] });
        let read = |context: &Context<'_>| plan::tasks_from_output(&document.to_string(), existing, context);
        let mut tasks = PlainPlans::with(read).map_err(|problems| refusal(&problems))?;
        Ok(tasks.remove(0))
    }

    fn ask(&self, text: &str, caller: Caller) -> Result<Asked, Failure> {
        if caller == Caller::Agent && text.starts_with("simple") {
            return Ok(Asked::DoItYourself(DoItYourself {
                reason: "it is simple".to_owned(),
                saved_tokens: 12_000,
            }));
        }
        let document = serde_json::json!({ "name": "ask", "tasks": [{ "id": "answer", "exec": "echo 42" }] });
        let text = PlanText {
            name: "ask".to_owned(),
            text: document.to_string(),
            vars: Vec::new(),
            cast: Cast::AsWritten,
        };
        Ok(Asked::Plan {
            checked: Box::new(self.plan(&text)?),
            why: "one agent is enough".to_owned(),
        })
    }

    fn agents(&self) -> Vec<AgentDoc> {
        Vec::new()
    }

    fn route(&self, wanted: &RouteWish) -> Result<Value, Failure> {
        Ok(serde_json::json!({ "choice": null, "analysis": wanted.text, "candidates": [] }))
    }

    fn prices(&self, model: Option<&str>) -> Result<Value, Failure> {
        Err(Failure::not_found("price of a model", model.unwrap_or_default(), &[]))
    }

    fn reprice(&self, month: Option<&str>) -> Result<Value, Failure> {
        Err(Failure::not_found("month", month.unwrap_or_default(), &[]))
    }

    fn cost(&self, text: &PlanText) -> Result<Value, Failure> {
        Ok(serde_json::json!({ "name": self.plan(text)?.run.name }))
    }

    fn report(&self, wish: &ReportWish) -> Result<Value, Failure> {
        Err(Failure::not_found("run", wish.run.as_deref().unwrap_or_default(), &[]))
    }

    fn tree(&self, _: TreeVerb, what: &str) -> Result<Value, Failure> {
        Err(Failure::not_found("tree", what, &[]))
    }

    fn crew(&self) -> spawn::Defaults {
        spawn::Defaults {
            agents: ["rehearsal", "claude", "codex"]
                .map(|name| (AgentName::from(name), name.to_owned()))
                .to_vec(),
            agent: "rehearsal".into(),
            timeout_ms: 60_000,
            idle_timeout_ms: 60_000,
            retry_max: 0,
            roles: Roles::of(std::path::Path::new("/nonexistent")),
        }
    }
}

/// A running server.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) secret: Secret,
    pub(crate) dir: Arc<tempfile::TempDir>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Rig {
        Rig::over(Arc::new(tempfile::tempdir().unwrap()), limits)
    }

    /// One that lists another set of tools to whoever asks for none.
    pub(crate) fn listing(toolset: &'static str) -> Rig {
        Rig::made(Arc::new(tempfile::tempdir().unwrap()), Limits::default(), Some(toolset))
    }

    /// A server over a directory that may have been served before.
    pub(crate) fn over(dir: Arc<tempfile::TempDir>, limits: Limits) -> Rig {
        Rig::made(dir, limits, None)
    }

    fn made(dir: Arc<tempfile::TempDir>, limits: Limits, toolset: Option<&'static str>) -> Rig {
        let secret = Secret::open(dir.path()).unwrap();
        let ports = Ports {
            store: Box::new(Rig::open(&dir)),
            state_dir: dir.path().to_owned(),
            project: dir.path().to_owned(),
            toolset: toolset.map(str::to_owned),
            tools: Default::default(),
            servers: Arc::new(wheelhouse_core::tool_server::NoServers),
            tool_rules: Default::default(),
            stages: wheelhouse_engine::codebase::Stages::default(),
            plans: Box::new(PlainPlans),
            secret: Some(secret.clone()),
        };
        let (told, hear) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let server = Server::new(listener, ports, Vec::new()).unwrap().with_limits(limits);
                told.send((server.address().unwrap(), server.stop())).unwrap();
                server.serve().await;
            });
        });
        let (address, stop) = hear.recv().unwrap();
        Rig {
            address,
            secret,
            dir,
            stop,
            thread: Some(thread),
        }
    }

    fn open(dir: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(&dir.path().join("wheelhouse.db"), Arc::new(SystemClock::new())).unwrap()
    }

    /// The store, as another process would have it.
    pub(crate) fn store(&self) -> impl Store + use<> {
        Rig::open(&self.dir)
    }

    pub(crate) fn token(&self, scope: Scope) -> String {
        self.secret.token(scope)
    }

    /// A connection that gives up after [`DEADLINE`].
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends these bytes and reads to the end of the connection.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        // A server that refuses a body may close before it was read.
        let _ = stream.read_to_end(&mut bytes);
        Answer::read(&bytes)
    }

    /// A request with the admin token and further header lines.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let token = format!("Authorization: Bearer {}", self.token(Scope::Admin));
        let mut lines = vec![token.as_str()];
        lines.extend(headers);
        self.bare(method, path, &lines, body)
    }

    /// A request with these header lines and no token.
    pub(crate) fn bare(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let host = format!("Host: {}", self.address);
        let has_host = headers.iter().any(|line| line.to_lowercase().starts_with("host:"));
        let path = match path.strip_prefix("/../..") {
            Some(elsewhere) => elsewhere.to_owned(),
            None => format!("/api/v1{path}"),
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for line in headers.iter().copied().chain((!has_host).then_some(host.as_str())) {
            request.push_str(&format!("{line}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.raw(&request)
    }

    /// A message to `/mcp` with the admin token.
    pub(crate) fn mcp(&self, query: &str, headers: &[&str], message: &Value) -> Answer {
        let lines: Vec<&str> = [
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
        ]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
        self.ask("POST", &format!("/../../mcp{query}"), &lines, &message.to_string())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[], &body.to_string())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer is a problem document of that status and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        problem
    }
}

/// A plan of commands: each `key` or `key>need`.
pub(crate) fn plan(tasks: &[&str]) -> Value {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|task| match task.split_once('>') {
            Some((key, need)) => serde_json::json!({ "id": key, "exec": "true", "needs": [need] }),
            None => serde_json::json!({ "id": task, "exec": "true" }),
        })
        .collect();
    serde_json::json!({ "plan": { "name": "test", "tasks": tasks } })
}
