//! The command line as types: what can be typed, and nothing about what it does.
//!
//! `main` parses these and hands each command to its module in [`crate::command`]. `docs/cli.md`, the man page and
//! the completions are generated from here, so the texts are the reference.

pub(crate) mod crew;
pub(crate) mod memory;
pub(crate) mod patch;
pub(crate) mod report;
pub(crate) mod tools;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::install::client::{Client, InstallScope};

/// Runs plans of work by coding agents and commands: in parallel, checked, recorded; killed at any moment it goes
/// on where it was.
#[derive(Parser, Debug)]
#[command(name = "wheelhouse", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Start with `wheelhouse doctor`, then `wheelhouse run PLAN`. Exit codes: docs/exit-codes.md.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Global {
    /// Print one JSON document (or JSON lines where it streams) on stdout; see docs/json.md
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Of the JSON document print only these fields, such as `run.id,run.tasks`; lists are passed through
    #[arg(long, value_name = "FIELDS", global = true, help_heading = "Everywhere")]
    pub(crate) fields: Option<String>,
    /// Work as if started in DIR
    #[arg(
        short = 'C',
        long = "project",
        value_name = "DIR",
        global = true,
        help_heading = "Everywhere"
    )]
    pub(crate) project: Option<PathBuf>,
    /// Keep the state in DIR in place of `.wheelhouse` of the project
    #[arg(
        long,
        value_name = "DIR",
        env = "WHEELHOUSE_STATE_DIR",
        hide_env_values = true,
        global = true,
        help_heading = "Everywhere"
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// Set a configuration key for this command, such as `retry=0` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", global = true, help_heading = "Everywhere")]
    pub(crate) set: Vec<String>,
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// When to use colour
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        global = true,
        help_heading = "Everywhere"
    )]
    pub(crate) color: Color,
}

/// `blueprint`
#[derive(Args, Debug)]
#[command(after_help = "\
A task gets the same of each of its `documents` that is long. With --agent a model reads the document too; what it finds is
held to the lines it names, kept for this version of the document, and given to tasks with the rest.

Examples:
  wheelhouse blueprint docs/spec.md
  wheelhouse blueprint docs/spec.md --agent haiku")]
pub(crate) struct Blueprint {
    /// The document
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How many tokens it may take; `context.document_tokens` when absent
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<u64>,
    /// Have this agent look for what no word marks
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
}

/// `economy`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse economy r7                          what was left out of its prompts
  wheelhouse economy r8 --against r7             what it really took, beside a run of the same plan with other layers
  wheelhouse economy r7 --replay                 its recorded sessions with layers on and off, at a model's prices
  wheelhouse economy --session runs.jsonl --model gpt-5.5")]
pub(crate) struct Economy {
    /// The run, such as `r7`
    #[arg(required_unless_present = "session")]
    pub(crate) run: Option<String>,
    /// Show each receipt
    #[arg(long)]
    pub(crate) receipts: bool,
    /// Compare with another run of the same plan, which is the baseline
    #[arg(long, value_name = "RUN", conflicts_with_all = ["receipts", "replay", "session"])]
    pub(crate) against: Option<String>,
    /// Play the sessions that the run's tries recorded again, with layers on and off
    #[arg(long, conflicts_with = "session")]
    pub(crate) replay: bool,
    /// Play the recorded sessions of a file again
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub(crate) session: Option<PathBuf>,
    /// At the prices of this model [default: claude-sonnet-5-5]
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// What a tool result may take when it is reduced, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 1_000)]
    pub(crate) cap: u64,
    /// How many tool results stay when older ones are masked
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) keep: usize,
}

/// When to use colour.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Everything one can ask for.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Prepare this project: the state directory and a commented `wheelhouse.toml`
    Init,
    /// Look at what this machine has and lacks for the work
    Doctor(Doctor),
    /// Run a plan to its end and report
    Run(Run),
    /// Check, show or describe plans
    #[command(subcommand)]
    Plan(Plan),
    /// Add to the standing queue
    #[command(subcommand)]
    Task(Task),
    /// Show in one screen what runs, what waits and on what, and what it cost
    Status(Status),
    /// Show the status live
    Watch(Watch),
    /// Find the places in the project that a question is about
    Find(Find),
    /// Find and call the tools of other MCP servers
    Tools(tools::Tools),
    /// Print what a long document requires, forbids and leaves open, with its lines
    Blueprint(Blueprint),
    /// Print the raw output of a task
    Logs(Logs),
    /// Print what a task produced
    Result(ResultOf),
    /// Print the history
    Events(Events),
    /// Show what was left out of a run's prompts, and why
    Economy(Economy),
    /// Notes that outlive a run: add, list, find, keep, forget
    #[command(subcommand)]
    Memory(memory::Memory),
    /// Apply, check or make patches
    #[command(subcommand)]
    Patch(patch::Patch),
    /// Account for a month, a period or a run: costs, models, how work came out, what parallelism saved
    Report(report::Report),
    /// Compute what a workload takes when the lead orchestrates, and when a separate orchestrator does
    Compare(report::Compare),
    /// Say what you think of a task's work: one to five stars
    Rate(report::Rate),
    /// Let nothing more of a run start
    Pause(Target),
    /// Go on: with every unfinished run, or with a paused one
    Resume(Resume),
    /// Stop a run or a task
    Cancel(Target),
    /// Try a failed task again, or all failed tasks of a run
    Retry(Target),
    /// Put words into the turn of a running task
    Steer(Steer),
    /// Print what an isolated task changed
    Diff(Target),
    /// Bring the work of an isolated task, or all that a run has merged, into the branch that is checked out
    Merge(Target),
    /// Take the tree of an isolated task away; its work is kept for a while
    Discard(Target),
    /// Print where an isolated task works
    Open(Target),
    /// Make an instance: an agent that stays, and that you and other agents talk to
    Spawn(crew::Spawn),
    /// Send a message to an instance
    Send(crew::Send),
    /// Print what an instance was told, did and said
    Output(crew::Output),
    /// Stop the turns of instances; they and their sessions stay
    Interrupt(crew::Interrupt),
    /// End instances and everything below them, the deepest first
    Terminate(crew::Instances),
    /// Put idle instances aside; a message wakes them
    Suspend(crew::Instances),
    /// Take suspended instances up again
    Wake(crew::Instances),
    /// Show the tree of instances
    #[command(visible_alias = "tree")]
    Instances(crew::List),
    /// Read the notes that wait for you, or for an instance
    Inbox(crew::Inbox),
    /// Give one piece of work to several: in parallel, one after the other, or for a vote
    Coordinate(crew::Coordinate),
    /// Show or change what instances work within
    #[command(subcommand)]
    Policy(crew::Policy),
    /// Stop every turn of every instance
    Stop(crew::Stop),
    /// Sets of instances that start together
    #[command(subcommand)]
    Team(crew::Team),
    /// Print what was done to instances, and by whom
    Audit(crew::Audit),
    /// Answer a question; without arguments, list the open ones
    Answer(Answer),
    /// Approve what waits for approval
    Approve(Decision),
    /// Deny what waits for approval
    Deny(Decision),
    /// Run the engine in the foreground, with the HTTP API
    Serve(Serve),
    /// Speak MCP on stdin and stdout, carried to the server of the project, which is started when none runs
    Mcp(Mcp),
    /// Speak ACP on stdin and stdout: an editor opens Wheelhouse as one agent
    Acp(Acp),
    /// Print the token that programs show to `serve`
    Token(Token),
    /// Remove old finished runs and what belongs to them
    Gc(Gc),
    /// Check the stored state
    Fsck,
    /// Ask one question: it is analysed, given to who fits, checked as it deserves, and answered
    Ask(Ask),
    /// Say who would do a task, and why: what it is, who is left out, scores, cost, what would change it
    Route(Route),
    /// Show budgets and allowances, or change a limit
    Budget(Budget),
    /// Show what models cost, or read a newer table
    Prices(Prices),
    /// Install Wheelhouse into your agents: MCP server, skill, slash commands, instructions, hooks
    Install(Install),
    /// Take out of your agents what `install` put in
    Uninstall(Uninstall),
    /// Show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Keep the processes of agents (started by the engine)
    #[command(hide = true)]
    Keep,
    /// Stand in for an agent (started by the engine)
    #[command(hide = true)]
    Rehearse {
        /// Passed through
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<std::ffi::OsString>,
    },
    /// Print a generated page of the documentation
    #[command(hide = true)]
    Docs {
        /// Which page
        page: DocsPage,
    },
}

/// A generated page.
#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum DocsPage {
    /// docs/cli.md
    Cli,
    /// docs/exit-codes.md
    ExitCodes,
    /// docs/configuration.md
    Configuration,
}

/// `run`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse run examples/quickstart.yaml
  wheelhouse run review.yaml --var area=src/auth --max-parallel 2
  wheelhouse run review.yaml --detach --json
  wheelhouse run --compat-dir .claude")]
pub(crate) struct Run {
    /// The plan: YAML, JSON, a task queue, a `---TASK---` file; `-` reads stdin
    #[arg(required_unless_present = "compat_dir")]
    pub(crate) plan: Option<PathBuf>,
    /// Set a variable of the plan (repeatable)
    #[arg(long = "var", value_name = "KEY=VALUE")]
    pub(crate) vars: Vec<String>,
    /// Submit, make sure an engine runs, print the run's id and return at once
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// At most N tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_parallel: Option<u32>,
    /// Let the stand-in `rehearsal` do the work of every agent: costs nothing, labelled rehearsed
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// Take tasks from DIR/orchestrator-queue.json (also while running) and keep DIR/orchestrator-status.json and
    /// DIR/orchestrator/results/ up to date
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plan", "detach"])]
    pub(crate) compat_dir: Option<PathBuf>,
}

/// `plan …`
#[derive(Subcommand, Debug)]
pub(crate) enum Plan {
    /// Say every problem of a plan, with file, line and column
    Check {
        /// The plans; `-` reads stdin
        #[arg(required = true)]
        plans: Vec<PathBuf>,
        /// Set a variable of the plan (repeatable)
        #[arg(long = "var", value_name = "KEY=VALUE")]
        vars: Vec<String>,
    },
    /// Show a plan as the engine would see it: layers, agents, needs
    Show {
        /// The plan; `-` reads stdin
        plan: PathBuf,
        /// Set a variable of the plan (repeatable)
        #[arg(long = "var", value_name = "KEY=VALUE")]
        vars: Vec<String>,
        /// Print the graph for Graphviz
        #[arg(long)]
        dot: bool,
    },
    /// Say what a plan is expected to cost before it starts, and whether budgets and allowances suffice
    Cost {
        /// The plan; `-` reads stdin
        plan: PathBuf,
        /// Set a variable of the plan (repeatable)
        #[arg(long = "var", value_name = "KEY=VALUE")]
        vars: Vec<String>,
    },
    /// Print the JSON Schema of plans
    Schema,
}

/// `task …`
#[derive(Subcommand, Debug)]
pub(crate) enum Task {
    /// Add a task to the standing queue
    Add(TaskAdd),
}

/// `task add`
#[derive(Args, Debug)]
pub(crate) struct TaskAdd {
    /// What to do: a prompt, or a command with `--agent exec`; `-` reads stdin
    pub(crate) text: String,
    /// Who does it
    #[arg(long, value_name = "AGENT")]
    pub(crate) agent: Option<String>,
    /// Not before this task of the queue is done (repeatable)
    #[arg(long, value_name = "ID")]
    pub(crate) after: Vec<String>,
    /// Higher runs sooner
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Its name in the queue; made from the text when absent
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
}

/// `status`
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// A run (`r7`) or a task (`draft`, `r7/draft`)
    #[arg(value_name = "RUN|TASK")]
    pub(crate) what: Option<String>,
}

/// `watch`
#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// A run (`r7`); all runs when absent
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// `find`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse find \"where are leases renewed\"
  wheelhouse find --files --no-tests parse_plan
  git log -1 --format=%B | wheelhouse find - --json")]
pub(crate) struct Find {
    /// Words, names, paths, a stack trace; `-` reads stdin
    #[arg(required = true)]
    pub(crate) question: Vec<String>,
    /// So many answers
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) count: u32,
    /// Only in this directory or file
    #[arg(long = "in", value_name = "PATH")]
    pub(crate) below: Option<PathBuf>,
    /// Each file once, by its best place
    #[arg(long)]
    pub(crate) files: bool,
    /// Only code, no prose or data
    #[arg(long)]
    pub(crate) code: bool,
    /// No tests
    #[arg(long)]
    pub(crate) no_tests: bool,
    /// Show N lines of each place
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) lines: Option<u32>,
    /// Have COMMAND order the best places anew: it gets them as JSON on stdin and answers with a list of their numbers
    #[arg(long, value_name = "COMMAND")]
    pub(crate) rerank: Option<String>,
}

/// `logs`
#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Go on printing until the task is done
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// A task (`draft`, `r7/draft`)
    pub(crate) task: String,
    /// Of this try; the last one when absent
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
}

/// `result`
#[derive(Args, Debug)]
pub(crate) struct ResultOf {
    /// A task (`draft`, `r7/draft`)
    pub(crate) task: String,
    /// The whole output, byte for byte, in place of the summary
    #[arg(long)]
    pub(crate) full: bool,
    /// With `--full`: this artifact in place of `output`
    #[arg(long, value_name = "NAME", requires = "full")]
    pub(crate) artifact: Option<String>,
}

/// `events`
#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Only what came after this cursor
    #[arg(long, value_name = "CURSOR")]
    pub(crate) since: Option<u64>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Go on printing until interrupted, or until the run is finished
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `pause`, `cancel`, `retry`
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// A run (`r7`) or a task (`draft`, `r7/draft`)
    #[arg(value_name = "RUN|TASK")]
    pub(crate) what: String,
}

/// `resume`
#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// A paused run (`r7`), or a task of it; every unfinished run when absent
    #[arg(value_name = "RUN|TASK")]
    pub(crate) what: Option<String>,
    /// Make sure an engine runs and return at once
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// At most N tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_parallel: Option<u32>,
}

/// `answer`
#[derive(Args, Debug)]
pub(crate) struct Answer {
    /// The question (`q3`), or the task that asks
    pub(crate) id: Option<String>,
    /// The answer
    #[arg(requires = "id")]
    pub(crate) answer: Vec<String>,
}

/// `steer`
#[derive(Args, Debug)]
pub(crate) struct Steer {
    /// The task (`draft`, `r7/draft`)
    pub(crate) task: String,
    /// The words
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
}

/// `approve`, `deny`
#[derive(Args, Debug)]
pub(crate) struct Decision {
    /// The question (`q3`), or the task that waits
    pub(crate) id: String,
}

/// `serve`
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// End when nothing can go on without a person
    #[arg(long)]
    pub(crate) until_idle: bool,
    /// Leave the session of the terminal (what starts an engine in the background asks for it)
    #[arg(long, hide = true)]
    pub(crate) own_session: bool,
    /// At most N tasks at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_parallel: Option<u32>,
    /// Listen on this address (`127.0.0.1:7416`; port 0 takes a free one) in place of `serve.listen`
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_http")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Let callers use this further host name (repeatable)
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// Listen on an address that other machines can reach; there is no TLS, so put one in front
    #[arg(long)]
    pub(crate) expose: bool,
    /// Ask for no token: whoever can reach the address may do everything (only on a loopback address)
    #[arg(long)]
    pub(crate) without_token: bool,
    /// Which MCP tools are listed to clients that name no set: lean, full, madrox or tasks; in place of `serve.toolset`
    #[arg(long, value_name = "NAME")]
    pub(crate) toolset: Option<String>,
    /// Only the engine, no HTTP
    #[arg(long)]
    pub(crate) no_http: bool,
    /// Serve also while another process has the engine, take it over when that ends, and end when nobody has called for a
    /// while and nothing is left to do (what `mcp` starts asks for it)
    #[arg(long, hide = true)]
    pub(crate) beside: bool,
}

/// `mcp`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  claude mcp add wheelhouse -- wheelhouse mcp
  codex mcp add wheelhouse -- wheelhouse mcp --toolset full")]
pub(crate) struct Mcp {
    /// Which tools are listed: lean, full, madrox or tasks; every one can be called
    #[arg(long, value_name = "NAME")]
    pub(crate) toolset: Option<String>,
}

/// `acp`
#[derive(Args, Debug)]
#[command(after_help = "\
In the settings of an editor, where its agents are:
  \"wheelhouse\": { \"command\": \"wheelhouse\", \"args\": [\"acp\"] }")]
pub(crate) struct Acp {
    /// Who does the prompts of new sessions [default: `default_agent`; `auto` chooses by the first prompt]
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
}

/// `token`
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// What its bearer may do
    #[arg(long, value_name = "SCOPE", default_value = "admin")]
    pub(crate) scope: Scope,
    /// Make a new secret first; every token printed before is void when `serve` starts anew
    #[arg(long)]
    pub(crate) renew: bool,
}

/// What the bearer of a token may do.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Look.
    Read,
    /// Look, start, stop, answer, steer.
    Operate,
    /// Everything.
    Admin,
}

/// `doctor`
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Have each agent that is here do one tiny turn, and say what really works; asks first, for a turn costs a little
    #[arg(long, value_name = "AGENT", num_args = 0..)]
    pub(crate) probe: Option<Vec<String>>,
    /// Do not ask before the turns
    #[arg(long, requires = "probe")]
    pub(crate) yes: bool,
}

/// `gc`
#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// Only say what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `budget`
#[derive(Args, Debug)]
pub(crate) struct Budget {
    /// What to do; without it the budgets are shown
    #[command(subcommand)]
    pub(crate) change: Option<BudgetChange>,
}

/// `budget …`
#[derive(Subcommand, Debug)]
pub(crate) enum BudgetChange {
    /// Add to a budget in its present window; what waits for it goes on
    Raise {
        /// `day`, `hour`, `session`, a run (`r7`) or a task (`r7/draft`)
        scope: String,
        /// By how much, in dollars
        usd: String,
    },
    /// Set a limit of your own, which wins over configuration and plan; `none` takes it away
    Set {
        /// `day`, `hour`, `session`, a run (`r7`) or a task (`r7/draft`)
        scope: String,
        /// The limit in dollars, or `none`
        usd: String,
    },
}

/// `prices`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Prices {
    /// Only models whose name contains this
    pub(crate) model: Option<String>,
    /// As of this day; today when absent
    #[arg(long, value_name = "DAY")]
    pub(crate) on: Option<String>,
    /// Every row with its dates, in place of those of one day
    #[arg(long, conflicts_with = "on")]
    pub(crate) all: bool,
    #[command(subcommand)]
    pub(crate) action: Option<PricesAction>,
}

/// `prices …`
#[derive(Subcommand, Debug)]
pub(crate) enum PricesAction {
    /// Read a public table (LiteLLM, genai-prices, models.dev, or our own form); what it says is true from a day on
    Update {
        /// The JSON file; `-` reads stdin
        file: PathBuf,
        /// True from this day on; today when absent
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
    },
    /// Price a month of the ledger anew, each entry by the table of its own day, beside what was booked
    Reprice {
        /// This month, such as `2026-11`; the present one when absent
        #[arg(long, value_name = "MONTH")]
        month: Option<String>,
    },
}

/// `install`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse install --all
  wheelhouse install claude codex --scope project
  wheelhouse install gemini --http http://127.0.0.1:7416/mcp")]
pub(crate) struct Install {
    #[command(flatten)]
    pub(crate) into: Into,
    /// Let the agents reach Wheelhouse at this address, with the token in WHEELHOUSE_TOKEN, in place of starting it
    #[arg(long, value_name = "URL")]
    pub(crate) http: Option<String>,
}

/// `uninstall`
#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    pub(crate) into: Into,
}

/// What `install` and `uninstall` share.
#[derive(Args, Debug)]
pub(crate) struct Into {
    /// The agents
    #[arg(required_unless_present = "all")]
    pub(crate) agents: Vec<Client>,
    /// All that are on this machine
    #[arg(long, conflicts_with = "agents")]
    pub(crate) all: bool,
    /// For you in all projects, or for all who work in this project
    #[arg(long, value_name = "SCOPE", default_value = "user")]
    pub(crate) scope: InstallScope,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would change
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// `ask`
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse ask \"Why does the login test fail on Mondays?\"
  wheelhouse ask --json --budget 0.50 \"Is the session cookie safe against replay?\"
  wheelhouse ask --for-agent \"Rename the variable\"")]
pub(crate) struct Ask {
    /// The question in words; `-` reads stdin
    pub(crate) text: String,
    /// What it may cost, in US dollars
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<String>,
    /// Say who would be asked and what it would cost, and ask nobody
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// An agent asks, which could do it itself: what is simple is not done for it
    #[arg(long)]
    pub(crate) for_agent: bool,
}

/// `route`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  wheelhouse route \"Fix the flaky test in tests/parser.rs\"
  wheelhouse route --json --files 'src/auth/**' \"Add OAuth2 authentication\"
  wheelhouse route --for-agent \"Add logging to function\"")]
pub(crate) struct Route {
    /// The task in words; `-` reads stdin
    pub(crate) text: String,
    /// A file or glob that it will write (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub(crate) files: Vec<String>,
    /// What it may cost, in US dollars
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<String>,
    /// It returns tasks for others, so only an agent that may plan can do it
    #[arg(long)]
    pub(crate) plans: bool,
    /// An agent asks, which could do it itself
    #[arg(long)]
    pub(crate) for_agent: bool,
    /// A person waits for it: it is paid for by a subscription that has room
    #[arg(long)]
    pub(crate) interactive: bool,
    /// It runs by itself: it is paid for by API, on the cheapest model that is good enough
    #[arg(long)]
    pub(crate) batch: bool,
    /// So many such calls a day; above 1,000 by API, on the tier for classification
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) calls_per_day: u64,
}

/// `config …`
#[derive(Subcommand, Debug)]
pub(crate) enum Config {
    /// Show every key with its value
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// Commands that HTTP has no route for, and why.
    const NOT_OVER_HTTP: &[(&str, &str)] = &[
        ("init", "it prepares the machine that the server would run on"),
        ("doctor", "it looks at the caller's own machine"),
        (
            "plan show",
            "a drawing of what the caller has in hand; /plans/check has the facts",
        ),
        ("plan schema", "docs/schema/plan.json, the same for every server"),
        ("watch", "/events/stream is what it is made from"),
        (
            "ask",
            "/route and /runs are its two halves; models have a tool of that name",
        ),
        ("serve", "it is the server"),
        ("mcp", "it is a client of the server"),
        ("acp", "it is a face of its own, for editors that start their agents"),
        ("token", "who may ask for a token has the directory"),
        (
            "gc",
            "it removes files beside the store; the engine's machine does that",
        ),
        (
            "fsck",
            "it opens the database beside a running engine; the engine's machine does that",
        ),
        ("compare", "arithmetic on a file of the caller's own machine"),
        ("prices update", "it reads a file of the caller's own machine"),
        (
            "memory add",
            "notes are files of the project; whoever sees them has the command line",
        ),
        ("memory list", "files of the project, like those of `memory add`"),
        ("memory find", "files of the project, like those of `memory add`"),
        ("memory keep", "it is a person who vouches for what an agent said"),
        ("memory forget", "files of the project, like those of `memory add`"),
        ("blueprint", "it reads a file of the caller's own machine"),
        ("patch apply", "it changes files of the caller's own machine"),
        ("patch make", "it reads files of the caller's own machine"),
        ("patch hash", "it reads files of the caller's own machine"),
        ("tools", "`find_tools` of `/mcp` does it, over HTTP"),
        ("tools call", "`use_tool` of `/mcp` does it, over HTTP"),
        ("install", "it changes files of the caller's own agents"),
        ("uninstall", "it changes files of the caller's own agents"),
        (
            "config show",
            "files of the project; whoever sees them has the command line",
        ),
        ("completions", "for the caller's own shell"),
        ("man", "a page about the program"),
    ];

    fn leaves(command: &clap::Command, before: &str, all: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let name = format!("{before}{}", sub.get_name());
            let stands_alone = !sub.is_subcommand_required_set() && !sub.is_arg_required_else_help_set();
            if sub.get_subcommands().next().is_none() || stands_alone {
                all.push(name.clone());
            }
            leaves(sub, &format!("{name} "), all);
        }
    }

    #[test]
    fn whatever_can_be_typed_can_be_asked_for_over_http() {
        let page = wheelhouse_server::description("http://127.0.0.1:1");
        let mut routed = std::collections::BTreeSet::new();
        for path in page["paths"].as_object().unwrap().values() {
            for method in path.as_object().unwrap().values() {
                let commands = method["x-commands"].as_array().into_iter().flatten();
                routed.extend(commands.map(|name| name.as_str().unwrap().to_owned()));
            }
        }
        let mut typed = Vec::new();
        leaves(&Cli::command(), "", &mut typed);
        let excepted = |name: &str| NOT_OVER_HTTP.iter().any(|(known, _)| *known == name);
        let forgotten: Vec<&String> = typed
            .iter()
            .filter(|name| !routed.contains(*name) && !excepted(name))
            .collect();
        assert!(forgotten.is_empty(), "no route does what these do: {forgotten:?}");
        for name in &routed {
            assert!(typed.contains(name), "a route is like `{name}`, which cannot be typed");
            assert!(!excepted(name), "`{name}` is over HTTP and listed as if it were not");
        }
        for (name, _) in NOT_OVER_HTTP {
            assert!(typed.iter().any(|typed| typed == name), "`{name}` cannot be typed");
        }
    }
}
