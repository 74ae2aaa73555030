//! A task and a run as the engine needs them: every default applied, every name resolved, every file read.
//!
//! Plans (what people write) become these through `plan`; the store keeps them; nothing edits them afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::Link;
use crate::ids::{AgentName, InstanceId, MessageId, TaskKey};
use crate::schema::Schema;
use crate::workflow::Flow;

/// What a task does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A shell command, run with `sh -c`. A template; text from other tasks is shell-quoted into it.
    Exec(String),
    /// A prompt for an agent. A template; text from other tasks is marked as untrusted.
    Prompt(String),
    /// One turn of an instance: its session goes on with this message, whose words are nobody's template.
    Turn(Turn),
}

/// Whose turn a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Turn {
    /// The instance.
    pub instance: InstanceId,
    /// What it is to answer.
    pub message: MessageId,
}

/// Where a task works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In the project directory itself.
    #[default]
    None,
    /// In a git worktree and branch of its own; outside a git repository in a copy.
    Worktree,
}

/// What becomes of an isolated task's branch when the task is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// It is kept; a person merges or discards it.
    #[default]
    None,
    /// It is merged into the run's branch.
    Branch,
    /// It is merged into the run's branch in its turn, after its checks have passed on the result of the merge.
    Queue,
}

/// How a task changes files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Edits {
    /// It writes them itself, with its own tools.
    #[default]
    Own,
    /// It answers with a patch, which the engine checks and applies in the task's tree: whole or not at all.
    Patch,
}

/// What makes an isolated tree an environment: what it is lent and leased, and the commands around its life.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvTemplate {
    /// Files that are not under version control and are copied in (`.env`), as globs relative to the project.
    pub copy: Vec<String>,
    /// Commands that are run in a new tree before its first try.
    pub setup: Vec<String>,
    /// Commands that are run in it before it is removed.
    pub teardown: Vec<String>,
    /// Whether hooks of the repository run at what is done in it.
    pub hooks: bool,
    /// How many days what was taken away stays in the trash; none: until somebody says so.
    pub trash_days: Option<u32>,
    /// How many ports are leased for it: `PORT_0` and on, all of them in `WHEELHOUSE_PORTS`.
    pub ports: u8,
    /// How many database names are reserved for it: `DATABASE_0` and on, all of them in `WHEELHOUSE_DATABASES`.
    pub databases: u8,
}

/// What a failure of the task leads to, in place of the table in [`crate::disposition`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Try again on the same agent while `retry.max` allows, then fail.
    Retry,
    /// Move to the next agent of `fallback`, then fail.
    Fallback,
    /// Hold the task and ask a person.
    Ask,
    /// Record the failure and let dependants run all the same.
    Continue,
    /// Fail at once; dependants are skipped.
    Fail,
}

/// A limit on money, kept with the run or task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BudgetLimit {
    /// The limit in nano-dollars.
    pub cost_nano: u64,
}

/// One task of a run, ready for the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Its name within the run.
    pub key: TaskKey,
    /// What it does.
    pub work: Work,
    /// Who does it (first).
    pub agent: AgentName,
    /// Who does it next when that fails and the failure says to move on.
    pub fallback: Vec<Link>,
    /// A model for the agent, when the plan names one.
    pub model: Option<String>,
    /// A role or system prompt for the agent.
    pub role: Option<String>,
    /// The tasks that must be done first.
    pub needs: Vec<TaskKey>,
    /// Higher runs sooner.
    pub priority: i32,
    /// The declared write set, as globs relative to the project. Empty: nothing declared.
    pub files: Vec<String>,
    /// Commands the engine runs after the agent claims success.
    pub verify: Vec<String>,
    /// Where it works.
    pub isolation: Isolation,
    /// What becomes of its branch. Never anything but [`Merge::None`] without isolation.
    #[serde(default)]
    pub merge: Merge,
    /// Globs of files it must not change, and the words `tests`, `ci` and `checks`. Empty without isolation: nobody
    /// could tell who changed what.
    #[serde(default)]
    pub protect: Vec<String>,
    /// How it changes files. Never anything but [`Edits::Own`] without isolation.
    #[serde(default)]
    pub edits: Edits,
    /// What its answer must be valid against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// The wall timer, in milliseconds.
    pub timeout_ms: u64,
    /// The idle timer (no event for so long), in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often it may be tried again on one agent; at most [`RETRY_MAX`].
    pub retry_max: u32,
    /// How long all tries together may take, waits for retries included, in milliseconds; see
    /// [`TaskSpec::deadline_or_sum_ms`].
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// How many tokens of context its first agent takes, when known.
    #[serde(default)]
    pub window_tokens: Option<u64>,
    /// An answer that states less confidence than this (0 to 100) is weak; the usual limit when absent.
    #[serde(default)]
    pub confidence_min: Option<u8>,
    /// What a failure leads to; absent means the table decides.
    pub on_failure: Option<OnFailure>,
    /// Whether its result is a list of tasks to add to the run.
    pub planner: bool,
    /// Whether a person must approve it before it starts.
    pub approval: bool,
    /// Additional environment, on top of the allowlist.
    pub env: BTreeMap<String, String>,
    /// Working directory relative to the project.
    pub cwd: Option<String>,
    /// Money it may spend.
    pub budget: Option<BudgetLimit>,
    /// Why its agent was chosen, when that was not the plan's doing.
    #[serde(default)]
    pub routed: Option<String>,
    /// What makes it more than one try of one agent.
    #[serde(default)]
    pub flow: Flow,
    /// What it is given besides its text.
    #[serde(default, skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
}

/// What a task is given besides its text.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// Files of the project that a prompt is about: short ones as they are, long ones as a blueprint with line numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// The task whose whole output it reads: a command on its standard input, an agent below its prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<TaskKey>,
}

impl Inputs {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Inputs::default()
    }
}

/// "Never more than 3 tries of one thing": two retries after the first.
pub const RETRY_MAX: u32 = 2;

/// A run, ready for the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The plan's name.
    pub name: String,
    /// Variables, with those of the command line applied.
    pub vars: BTreeMap<String, String>,
    /// Money the run may spend in all.
    pub budget: Option<BudgetLimit>,
    /// Where the plan came from, for people (`plans/review.yaml`).
    pub source: String,
    /// A standing run never finishes by itself; tasks are added to it at any time.
    pub standing: bool,
}
