//! The runtime of Wheelhouse: claims tasks, has agents do them, settles what came out, and survives being killed.
//!
//! Entered by [`run`], once per process, by the holder of the state directory's lock ([`lock::StateLock`]). All
//! decisions are made by the pure [`dispatch::Dispatcher`]; `supervise` is the only room that spawns anything.
//! The engine knows stores and agents through core's ports alone, prints nothing and reads no environment.

mod answering;
mod asking;
mod attempt;
pub mod blueprints;
pub mod codebase;
mod compressing;
mod counting;
pub mod dispatch;
mod earlier;
pub mod edits;
pub mod fault;
mod given;
mod handshake;
mod inputs;
mod isolate;
pub mod lock;
pub mod memory;
mod merging;
mod meter;
pub mod nudge;
mod packet;
mod patching;
mod prepare;
pub mod private;
mod reviewing;
mod run_loop;
mod scoping;
mod shortcut;
mod soft;
mod steps;
mod supervise;
pub mod token;
mod touching;
mod turn;
mod verify;
mod workflow;
pub mod worktree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use wheelhouse_core::agent::{McpServer, Roster};
use wheelhouse_core::budget::{Assumption, Terms};
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::policy::Rule;
use wheelhouse_core::price::Table;
use wheelhouse_core::route::Router;
use wheelhouse_core::spec::EnvTemplate;
use wheelhouse_core::store::{Cap, Failure, Store};
use wheelhouse_core::tool_scope::ToolScopes;

pub use dispatch::{Ending, StopSignal, Until};
pub use earlier::{HANDOVER_MAX, SO_FAR_MAX};
pub use prepare::{RESULT_MAX, SUMMARY_MAX, log_path, materialise};
pub use run_loop::run;
pub use turn::answer_text;

/// The longest text of one report kept in the history, in bytes.
pub const REPORT_MAX: usize = 2_000;
/// How many reports of one try are kept in the history; the log has them all.
pub const REPORTS_MAX: u32 = 200;
/// How many tasks one planner task may add.
pub const PLANNED_MAX: usize = 500;

/// What an engine works with and within.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where tasks work.
    pub project: PathBuf,
    /// Where the state lives (`.wheelhouse`).
    pub state_dir: PathBuf,
    /// How many tries run at a time.
    pub parallel_max: u32,
    /// Limits over agents and accounts.
    pub caps: Vec<Cap>,
    /// The environment every agent is given, before the task's own: an allowlist, already applied.
    pub env: BTreeMap<String, String>,
    /// Who does what a planner's tasks leave open.
    pub default_agent: AgentName,
    /// Chooses for them where nobody is named; without it the default agent does all of it.
    pub router: Option<Arc<Router>>,
    /// How many bytes of each output are kept; the middle of more is dropped.
    pub output_max: u64,
    /// Milliseconds between asking an agent's process to end and killing it.
    pub grace_ms: u64,
    /// Whether open runs of an engine that is gone go on at once (`resume`, `serve`) or wait for `resume`.
    pub go_on: bool,
    /// When the engine ends by itself.
    pub until: Until,
    /// What every tree of an isolated task is furnished with.
    pub isolation: EnvTemplate,
    /// What answers permission requests before a person is asked.
    pub policy: Vec<Rule>,
    /// Milliseconds a person has to answer an agent's request; then it gets the safe answer: no.
    pub question_timeout_ms: u64,
    /// The agents whose first turn is given a packet: excerpts of the project that the task may need.
    pub packet_agents: BTreeSet<AgentName>,
    /// Which layers shorten what each agent is given, and within which limits.
    pub context: wheelhouse_context::settings::Settings,
    /// Which tools agents have.
    pub tools: ToolScopes,
    /// What there is to know about money.
    pub money: Money,
    /// Where the process kills itself, for tests of bad days.
    pub fault: Option<fault::Fault>,
}

/// Prices, limits and who pays.
#[derive(Clone, Debug, Default)]
pub struct Money {
    /// Limits, estimates and who pays, for claims.
    pub terms: Arc<Terms>,
    /// What models cost.
    pub prices: Arc<Table>,
    /// What is counted where nobody can price.
    pub assumption: Assumption,
}

/// The world as the engine sees it.
pub struct Ports {
    /// The durable truth.
    pub store: Box<dyn Store>,
    /// The agents.
    pub roster: Arc<dyn Roster>,
    /// Feeds the retry jitter and the owner's name.
    pub seed: u64,
    /// Takes lines for people: the disk is full, a command was refused.
    pub notice: Arc<dyn Fn(String) + Send + Sync>,
    /// What instances that may lead a crew are given as their MCP server `wheelhouse`.
    pub instance_mcp: Option<InstanceMcp>,
}

/// Makes sure that somebody serves MCP, and says how an instance's agent reaches it. It may take a while; why it cannot
/// be done is said in words.
pub type InstanceMcp = Arc<dyn Fn() -> Result<McpServer, String> + Send + Sync>;

/// The engine could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] Failure),
    /// The state directory could not be used.
    #[error("cannot {what} in {}", path.display())]
    State {
        /// What was to be done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The store failed in a way that no repetition mends.
    #[error("{0}")]
    Broken(String),
}
