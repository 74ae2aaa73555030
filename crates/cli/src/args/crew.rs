//! What can be typed about instances.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `spawn`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse spawn architect \"Design the cache.\" --role architect --agent claude --wait
  wheelhouse spawn tester --role tester --count 3
  wheelhouse spawn --file crew.yaml")]
pub(crate) struct Spawn {
    /// What it is called
    #[arg(required_unless_present = "file")]
    pub(crate) name: Option<String>,
    /// Its first message; `-` reads stdin
    pub(crate) prompt: Option<String>,
    /// Who does its turns
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// The model
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// A role, such as `architect`; `.wheelhouse/roles/NAME.md` or one of ours
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// More to be told before everything else
    #[arg(long, value_name = "TEXT")]
    pub(crate) system_prompt: Option<String>,
    /// Below this instance
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) parent: Option<String>,
    /// Where it works, relative to the project
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Give it a git worktree and a branch of its own
    #[arg(long)]
    pub(crate) worktree: bool,
    /// MCP servers for its agent: a JSON file with `mcpServers`, or with the servers themselves
    #[arg(long, value_name = "FILE")]
    pub(crate) mcp: Option<PathBuf>,
    /// It may not spawn children
    #[arg(long)]
    pub(crate) no_spawn: bool,
    /// What its turns may spend, in dollars
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) budget: Option<String>,
    /// So many of them, called NAME-1 and on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) count: Option<u32>,
    /// All members of a team file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "count"])]
    pub(crate) file: Option<PathBuf>,
    /// An id of yours: the same again is the same instance
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Wait for the first answer and print it
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// With `--wait`: at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "180")]
    pub(crate) timeout: u64,
}

/// `send`
#[derive(Args, Debug)]
pub(crate) struct Send {
    /// The instance (`i3` or its name), several with commas, or `person` (from an instance)
    #[arg(value_name = "INSTANCE")]
    pub(crate) to: String,
    /// The words; `-` reads stdin
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// A note: read when convenient, opens no turn
    #[arg(long)]
    pub(crate) note: bool,
    /// The message it replies to
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) reply_to: Option<String>,
    /// Not before this message is over, and with its answer (repeatable)
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) after: Vec<String>,
    /// An id of yours: the same again is the same message
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Wait for the answer and print it
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// With `--wait`: at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "180")]
    pub(crate) timeout: u64,
}

/// `output`
#[derive(Args, Debug)]
pub(crate) struct Output {
    /// The instance
    pub(crate) instance: String,
    /// Only what came after this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<u64>,
}

/// `interrupt`
#[derive(Args, Debug)]
pub(crate) struct Interrupt {
    /// The instances
    #[arg(required = true)]
    pub(crate) instances: Vec<String>,
    /// Also drop what waits in their mailboxes
    #[arg(long)]
    pub(crate) clear: bool,
    /// Do not wait to see whether they obey
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// `terminate`, `suspend`, `wake`
#[derive(Args, Debug)]
pub(crate) struct Instances {
    /// The instances
    #[arg(required = true)]
    pub(crate) instances: Vec<String>,
}

/// `instances`
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only this instance and those below it
    pub(crate) below: Option<String>,
    /// Those that have ended too
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// `inbox`
#[derive(Args, Debug)]
pub(crate) struct Inbox {
    /// Of this instance; your own when absent
    pub(crate) instance: Option<String>,
    /// Leave them unread
    #[arg(long)]
    pub(crate) keep: bool,
}

/// How several work together.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All at the same time
    Parallel,
    /// One after the other, each sees the answer before
    Sequential,
    /// Blind votes; enough distinct vendors must approve, a critical finding vetoes
    Consensus,
}

/// `coordinate`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse coordinate \"Review src/auth.\" --with claude,codex --mode parallel --wait
  wheelhouse coordinate \"Ship it?\" --with claude,codex,gemini --mode consensus --quorum 2 --wait
  wheelhouse coordinate --show c2")]
pub(crate) struct Coordinate {
    /// What it is about; `-` reads stdin
    #[arg(required_unless_present = "show")]
    pub(crate) text: Option<String>,
    /// Who takes part: instances that are there, or agents (for each of which an instance is made), with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required_unless_present = "show")]
    pub(crate) with: Vec<String>,
    /// How they work together
    #[arg(long, value_name = "MODE", default_value = "parallel")]
    pub(crate) mode: Mode,
    /// With `consensus`: how many distinct vendors must approve; two when absent, one when there is one
    #[arg(long, value_name = "N")]
    pub(crate) quorum: Option<u32>,
    /// Show how this one stands
    #[arg(long, value_name = "COORDINATION", conflicts_with_all = ["text", "with"])]
    pub(crate) show: Option<String>,
    /// Wait until all have answered
    #[arg(short, long)]
    pub(crate) wait: bool,
    /// With `--wait`: at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    pub(crate) timeout: u64,
}

/// `policy …`
#[derive(Subcommand, Debug)]
pub(crate) enum Policy {
    /// Show what instances work within
    Show,
    /// Change it while they run, such as `max_instances=4 require_approval=on`
    Set {
        /// What to change
        #[arg(required = true, value_name = "KEY=VALUE")]
        changes: Vec<String>,
    },
    /// Change it to what a file says; `orchestrator_config.yaml` is taken as it is
    Load {
        /// The file, YAML or JSON
        file: PathBuf,
    },
}

/// `stop`
#[derive(Args, Debug)]
pub(crate) struct Stop {
    /// End every instance too, and let nothing be spawned until `wheelhouse policy set orchestration=on`
    #[arg(long)]
    pub(crate) all: bool,
}

/// `team …`
#[derive(Subcommand, Debug)]
pub(crate) enum Team {
    /// List the teams of this project, and the templates
    List,
    /// Print a team as a file to edit
    Show {
        /// The team
        name: String,
    },
    /// Spawn the members of a team
    Start {
        /// The team
        name: String,
        /// What to tell the first member
        task: Option<String>,
        /// Who does the turns of members that name no agent
        #[arg(long, value_name = "AGENT")]
        agent: Option<String>,
        /// Below this instance
        #[arg(long, value_name = "INSTANCE")]
        parent: Option<String>,
    },
    /// Save living instances as a team, with their sessions
    Save {
        /// What the team is called
        name: String,
        /// The instances
        #[arg(required = true)]
        instances: Vec<String>,
    },
}

/// `audit`
#[derive(Args, Debug)]
pub(crate) struct Audit {
    /// Only what was done to this instance
    pub(crate) instance: Option<String>,
    /// Only of this day (`2026-11-27`, in UTC)
    #[arg(long, value_name = "DAY")]
    pub(crate) day: Option<String>,
    /// The messages in place of what was done: who wrote whom, and when
    #[arg(long)]
    pub(crate) messages: bool,
}
