//! The agent port: how the engine has one try of a task done, whoever does it.
//!
//! Implemented by the modules of the `agents` crate, one a backend. The engine asks for [`Capabilities`], never for
//! a vendor's name. A backend classifies the end of the try ([`Ended`]); everybody else reads the class.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, AttemptNumber, RunId, TaskId, TaskKey};
use crate::outcome::Outcome;
use crate::schema::Schema;
use crate::store::{ProcessMark, TaskResult};
use crate::time::Millis;
use crate::usage::{Cost, Usage};

/// A boxed future; core names no runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a backend can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Goes on in an earlier session.
    pub resume: bool,
    /// Ends a turn and keeps the session.
    pub interrupt: bool,
    /// Takes words in the middle of a turn.
    pub steer: bool,
    /// Asks the host for permission.
    pub permission: bool,
    /// Reports tokens.
    pub usage: bool,
    /// Produces output by a schema.
    pub structured_output: bool,
    /// Has children of its own and tells of them.
    pub children: bool,
    /// Takes the MCP servers of an assignment.
    pub mcp_servers: bool,
    /// Can be held to a list of its own tools.
    pub own_tools: bool,
}

/// One try to be done.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub key: TaskKey,
    /// The try.
    pub attempt: AttemptNumber,
    /// The configured agent.
    pub agent: AgentName,
    /// A command for `exec`, a prompt for everybody else; templates are filled in.
    pub input: Input,
    /// A file that a command reads on its standard input; nothing where it is absent.
    pub stdin: Option<PathBuf>,
    /// A model, when the plan names one.
    pub model: Option<String>,
    /// A role or system prompt.
    pub role: Option<String>,
    /// What the answer must be valid against: a backend that can asks for it. The engine checks it whoever answers.
    pub schema: Option<Schema>,
    /// Where to work; exists.
    pub cwd: PathBuf,
    /// The whole environment of the process: nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// A session to go on in.
    pub session: Option<String>,
    /// The only tools of its vendor that it has, in the vendor's words; all of them when absent.
    pub tools: Option<BTreeSet<String>>,
    /// MCP servers that the agent gets, by name.
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// Where the raw output goes as it comes, for `logs`; absent when nobody wants it.
    pub log: Option<PathBuf>,
    /// How much output to keep, in bytes; the middle of more is dropped.
    pub output_max: u64,
    /// How long the process has between being asked to end and being killed.
    pub grace_ms: u64,
}

/// An MCP server for an agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum McpServer {
    /// A program that speaks MCP over its standard streams.
    Program {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Additional environment; never in an argument of a process.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
        /// Variables of the agent's own environment that it gets too, by name: what they hold is written down nowhere.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inherit: Vec<String>,
    },
    /// A server that is reached by HTTP.
    Http {
        /// Where.
        url: String,
        /// Additional headers; never in an argument of a process.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
}

/// What the try is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A shell command.
    Command(String),
    /// Words.
    Prompt(String),
}

/// What a session tells while it works. Richer than any single protocol; unknown things are kept as `Raw`.
#[derive(Clone, PartialEq, Debug)]
pub enum AgentEvent {
    /// The process runs, or the session is open.
    Started {
        /// The backend's name for the session.
        session: Option<String>,
        /// The process that keeps the agent.
        process: Option<ProcessMark>,
    },
    /// A piece of the answer.
    Text(String),
    /// A piece of reasoning.
    Thought(String),
    /// A tool was called or came back.
    Tool {
        /// The backend's id of the call.
        id: String,
        /// The tool's name.
        name: String,
        /// Where the call stands.
        status: ToolStatus,
        /// A short description: a path, a command.
        detail: String,
    },
    /// The agent's own to-do list.
    Plan(Vec<String>),
    /// It wants leave to do something.
    Permission {
        /// The backend's id of the request.
        request: String,
        /// The tool it is about.
        tool: String,
        /// What exactly.
        detail: String,
    },
    /// It asks in words.
    Question {
        /// The backend's id of the request.
        request: String,
        /// The words.
        text: String,
    },
    /// A child of the agent's own appeared or ended.
    Child {
        /// The backend's id of the child.
        id: String,
        /// What it does, or how it ended.
        detail: String,
    },
    /// The model that works, by its provider's name, once it is known or changed.
    Model(String),
    /// Consumption so far in this try (absolute, not a difference).
    Usage(Usage),
    /// The provider's limit came into sight.
    Limit {
        /// What is limited, in the provider's words.
        what: String,
        /// When it returns.
        resets_at: Option<Millis>,
    },
    /// Something worth a line in the history: a retry of the vendor's, a version outside the tested window.
    Notice(String),
    /// A sign of life that says nothing else (output of a command, a heartbeat).
    Alive,
    /// Something this version does not know; kept and counted.
    Raw(String),
}

/// Where a tool call stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It was asked for or is under way.
    Started,
    /// It came back well.
    Succeeded,
    /// It came back with an error.
    Failed,
    /// It was not allowed.
    Denied,
}

/// What the engine tells a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// End the turn, keep the session. One that obeys ends as `cancelled`.
    Interrupt,
    /// Take these words into the running turn.
    Steer(String),
    /// The answer to a permission request or question.
    Answer {
        /// The backend's id of the request.
        request: String,
        /// Allowed, or the words.
        answer: Reply,
    },
    /// End: protocol first, then signals, each after the assignment's grace. The try still reports its end.
    Stop,
    /// End now: the whole process tree is killed.
    Kill,
}

/// The answer to a request of an agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Do it, once.
    Allow,
    /// Do not; the words go to the agent.
    Deny(String),
    /// Words.
    Words(String),
}

/// Where a session reports to. Called from any thread; never blocks for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: AgentEvent);
}

/// Where a session's orders come from.
pub trait Inbox: Send {
    /// The next order; none when no further one can come (then the try just goes on).
    fn next(&mut self) -> BoxFuture<'_, Option<Order>>;
}

/// The end of a try, classified.
#[derive(Clone, PartialEq, Debug)]
pub struct Ended {
    /// How it ended. What [`Order::Stop`] or [`Order::Kill`] ended is `killed`; the engine knows why it gave them.
    pub outcome: Outcome,
    /// One line for people: what went wrong and what to do, or nothing.
    pub detail: String,
    /// What it produced; [`crate::store::ArtifactRef`]s refer to `outputs`.
    pub result: TaskResult,
    /// The bytes of `result.artifacts`, in the same order.
    pub outputs: Vec<Vec<u8>>,
    /// What it consumed.
    pub usage: Usage,
    /// What it cost.
    pub cost: Cost,
    /// The session, to go on in later.
    pub session: Option<String>,
}

/// A backend, configured as one agent.
pub trait Agent: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Does one try from start to end. Dropping the future kills whatever it started.
    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended>;
}

/// The agents there are, by name.
pub trait Roster: Send + Sync {
    /// The agent of that name.
    fn agent(&self, name: &AgentName) -> Option<Arc<dyn Agent>>;

    /// All names, for messages that say what exists.
    fn names(&self) -> Vec<AgentName>;
}
