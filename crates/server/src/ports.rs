//! What the faces need from whoever wires the program together: plans are read with a configuration and a roster that
//! only the command line knows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wheelhouse_context::reduce::CAP_TOKENS;
use wheelhouse_context::settings::Settings;
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::plan::Checked;
use wheelhouse_core::policy::Rule;
use wheelhouse_core::route::{Caller, DoItYourself};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::Store;
use wheelhouse_core::tool_scope::ToolScopes;
use wheelhouse_core::tool_server::ToolServers;
use wheelhouse_engine::codebase::Stages;

use crate::face::failure::Failure;
use crate::face::spawn::Defaults;
use crate::token::Secret;

/// Who does the work of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    /// Those that the plan names.
    AsWritten,
    /// The stand-in, whoever the plan names.
    Rehearsal,
}

/// A plan as it arrived.
#[derive(Clone, Debug)]
pub struct PlanText {
    /// For messages, and stored as where the plan came from.
    pub name: String,
    /// The words: YAML or JSON.
    pub text: String,
    /// Values for its variables, as `KEY=VALUE`.
    pub vars: Vec<String>,
    /// Who does its work.
    pub cast: Cast,
}

/// One more task for the standing queue, as asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What to do: a prompt, or a command for the agent `exec`.
    pub text: String,
    /// Who does it; the default agent when absent.
    #[serde(default)]
    pub agent: Option<String>,
    /// Not before these tasks of the queue are done.
    #[serde(default)]
    pub after: Vec<String>,
    /// Higher runs sooner.
    #[serde(default)]
    pub priority: Option<i32>,
    /// Its name in the queue; made from the text when absent.
    #[serde(default)]
    pub id: Option<String>,
}

/// An agent of the roster, for whoever chooses one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct AgentDoc {
    /// Its name.
    pub name: String,
    /// What drives it.
    pub backend: String,
    /// Its model, when the configuration sets one.
    pub model: Option<String>,
    /// Whether its program is on this machine.
    pub installed: bool,
    /// Whether it does what names no agent.
    pub default: bool,
}

/// A question about who should do a task.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteWish {
    /// The task in words.
    pub text: String,
    /// Files or globs that it will write.
    #[serde(default)]
    pub files: Vec<String>,
    /// What it may cost, in dollars.
    #[serde(default)]
    pub budget: Option<String>,
    /// It returns tasks for others.
    #[serde(default)]
    pub plans: bool,
    /// An agent asks, which could do it itself.
    #[serde(default)]
    pub for_agent: bool,
    /// A person waits for it.
    #[serde(default)]
    pub interactive: bool,
    /// It runs by itself.
    #[serde(default)]
    pub batch: bool,
    /// So many such calls a day.
    #[serde(default)]
    pub calls_per_day: u64,
}

/// Which report is asked for: days, a month, a run; the present month when nothing is said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportWish {
    /// From this UTC day on, such as `2026-11-01`.
    pub since: Option<String>,
    /// Up to this day; today when absent.
    pub until: Option<String>,
    /// This month, such as `2026-11`.
    pub month: Option<String>,
    /// This run (`r7`) in place of a period.
    pub run: Option<String>,
    /// The lead's model, for what it would have cost had the lead done everything.
    pub lead: Option<String>,
}

/// What can be done with the tree of an isolated task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeVerb {
    /// Show what it changed.
    Diff,
    /// Bring its work into the branch that is checked out.
    Merge,
    /// Take it away.
    Discard,
    /// Say where it is.
    Open,
}

/// What becomes of a question.
#[derive(Clone, PartialEq, Debug)]
pub enum Asked {
    /// The caller had better do it itself.
    DoItYourself(DoItYourself),
    /// It is asked so.
    Plan {
        /// The plan.
        checked: Box<Checked>,
        /// Why it is asked so.
        why: String,
    },
}

/// Reads plans and knows the agents. The command line's reader and the tests' are the two.
pub trait Plans: Send + Sync {
    /// Checks a plan; a plan with problems is a failure that holds them all.
    fn plan(&self, text: &PlanText) -> Result<Checked, Failure>;
    /// Checks one task for a queue that has these.
    fn task(&self, wanted: &NewTask, existing: &[TaskKey]) -> Result<TaskSpec, Failure>;
    /// Makes a plan of a question in words, or says that the caller had better do it itself.
    fn ask(&self, text: &str, caller: Caller) -> Result<Asked, Failure>;
    /// The agents there are.
    fn agents(&self) -> Vec<AgentDoc>;
    /// What wishes for instances leave open.
    fn crew(&self) -> Defaults;
    /// Who would do a task, and everything that led there: the document of `wheelhouse route`.
    fn route(&self, wanted: &RouteWish) -> Result<Value, Failure>;
    /// What models cost, those whose name contains this: the document of `wheelhouse prices`.
    fn prices(&self, model: Option<&str>) -> Result<Value, Failure>;
    /// A month of the ledger priced anew: the document of `wheelhouse prices reprice`.
    fn reprice(&self, month: Option<&str>) -> Result<Value, Failure>;
    /// What a plan is expected to cost: the document of `wheelhouse plan cost`.
    fn cost(&self, text: &PlanText) -> Result<Value, Failure>;
    /// What days or a run cost and what came of it: the document of `wheelhouse report`.
    fn report(&self, wish: &ReportWish) -> Result<Value, Failure>;
    /// Does something to the tree of an isolated task, or looks at it: the document of the command of that name.
    fn tree(&self, verb: TreeVerb, what: &str) -> Result<Value, Failure>;
}

/// How the tools of other MCP servers are used.
#[derive(Clone, Debug)]
pub struct ToolRules {
    /// What is allowed, asked and forbidden.
    pub policy: Vec<Rule>,
    /// Which layers are on, for all and for each agent.
    pub context: Settings,
    /// What is kept of an answer where the caller does not say, by `SERVER/TOOL`.
    pub fields: BTreeMap<String, String>,
    /// How many tokens an answer may take.
    pub result_tokens: u64,
}

impl Default for ToolRules {
    fn default() -> ToolRules {
        ToolRules {
            policy: Vec::new(),
            context: Settings::default(),
            fields: BTreeMap::new(),
            result_tokens: CAP_TOKENS,
        }
    }
}

/// What the faces work with.
pub struct Ports {
    /// The durable truth: a connection of the faces' own.
    pub store: Box<dyn Store>,
    /// Where the state lives; for the engine's nudge, its lock and the logs.
    pub state_dir: PathBuf,
    /// Whose code can be searched.
    pub project: PathBuf,
    /// The set of MCP tools that is listed to whoever asks for none; the lean one when absent.
    pub toolset: Option<String>,
    /// Which of our tools instances have, by agent and role.
    pub tools: ToolScopes,
    /// Other MCP servers, whose tools can be found and used here.
    pub servers: Arc<dyn ToolServers>,
    /// How those tools are used.
    pub tool_rules: ToolRules,
    /// What a question about the code is put to besides the index.
    pub stages: Stages,
    /// Reads plans.
    pub plans: Box<dyn Plans>,
    /// What callers must show; none lets everybody in who can reach the address.
    pub secret: Option<Secret>,
}
