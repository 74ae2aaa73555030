//! Every configuration key there is: its name, what it takes, its default and what it does.
//!
//! The one list that reading, `config show`, the commented `wheelhouse.toml` of `init` and `docs/configuration.md` are
//! made from. A `*` in a name stands for a name that the user chooses.

use std::time::Duration;

use wheelhouse_core::money::parse_usd;
use wheelhouse_core::spec::RETRY_MAX;
use wheelhouse_core::time::parse_duration;

use super::layer::Raw;

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its dotted name; `*` for a name of the user's choice.
    pub(crate) pattern: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// Its default as TOML; none for keys that have no value until somebody sets one.
    pub(crate) default: Option<&'static str>,
    /// What it does, in one sentence.
    pub(crate) about: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number within bounds.
    Count {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number of bytes, as a number or with KiB, MiB, GiB.
    Bytes,
    /// A duration such as `90s`.
    Span,
    /// Text.
    Text,
    /// Money in dollars.
    Usd,
    /// A list of names.
    Names,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A whole number.
    Count(u64),
    /// A number of bytes.
    Bytes(u64),
    /// A duration.
    Span(Duration),
    /// Text.
    Text(String),
    /// A list.
    Names(Vec<String>),
}

/// All of them, in the order they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        pattern: "parallel_max",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: Some("4"),
        about: "How many tasks run at a time, over all runs.",
    },
    Key {
        pattern: "default_agent",
        kind: Kind::Text,
        default: Some("\"auto\""),
        about: "Who does a task that names no agent; `auto` chooses for each task, among the agents found here.",
    },
    Key {
        pattern: "timeout",
        kind: Kind::Span,
        default: Some("\"30m\""),
        about: "The wall timer of a task whose plan sets none: one try may take so long.",
    },
    Key {
        pattern: "idle_timeout",
        kind: Kind::Span,
        default: Some("\"5m\""),
        about: "The idle timer of a task whose plan sets none: one try may show no sign of life for so long.",
    },
    Key {
        pattern: "retry",
        kind: Kind::Count {
            min: 0,
            max: RETRY_MAX as u64,
        },
        default: Some("1"),
        about: "How often a task whose plan does not say is tried again on the same agent.",
    },
    Key {
        pattern: "output_max",
        kind: Kind::Bytes,
        default: Some("\"8MiB\""),
        about: "How much of each output of a task is kept; the middle of more is dropped.",
    },
    Key {
        pattern: "grace",
        kind: Kind::Span,
        default: Some("\"5s\""),
        about: "Time between asking an agent's process to end and killing it.",
    },
    Key {
        pattern: "question_timeout",
        kind: Kind::Span,
        default: Some("\"10m\""),
        about: "How long a person has to answer what a running agent asks; then it is told no.",
    },
    Key {
        pattern: "permissions.deny",
        kind: Kind::Names,
        default: Some("[]"),
        about: "What agents may never do, as `TOOL`, `TOOL(DETAIL)` or `AGENT:TOOL(DETAIL)`; `*` and `?` are wild.",
    },
    Key {
        pattern: "permissions.ask",
        kind: Kind::Names,
        default: Some("[]"),
        about: "What a person is asked about even if `permissions.allow` would allow it.",
    },
    Key {
        pattern: "permissions.allow",
        kind: Kind::Names,
        default: Some("[]"),
        about: "What agents may do without a question. What no rule names is asked.",
    },
    Key {
        pattern: "env.pass",
        kind: Kind::Names,
        default: Some(
            "[\"PATH\", \"HOME\", \"USER\", \"LOGNAME\", \"SHELL\", \"LANG\", \"LC_ALL\", \"LC_CTYPE\", \"TERM\", \"TZ\", \"TMPDIR\"]",
        ),
        about: "The environment variables that agents and commands are given; nothing else is passed on.",
    },
    Key {
        pattern: "isolation.copy",
        kind: Kind::Names,
        default: Some("[]"),
        about: "Globs of untracked files that are lent to the tree of an isolated task, such as `.env`.",
    },
    Key {
        pattern: "isolation.setup",
        kind: Kind::Names,
        default: Some("[]"),
        about: "Commands that are run in a new tree before its first try, such as `npm ci`.",
    },
    Key {
        pattern: "isolation.teardown",
        kind: Kind::Names,
        default: Some("[]"),
        about: "Commands that are run in a tree before `discard` or `gc` takes it away, such as `dropdb $DATABASE_0`.",
    },
    Key {
        pattern: "isolation.hooks",
        kind: Kind::Word(&["off", "run"]),
        default: Some("\"off\""),
        about: "Whether hooks of the repository run when a tree is made and its work is committed.",
    },
    Key {
        pattern: "isolation.tree_days",
        kind: Kind::Count { min: 0, max: 36_500 },
        default: Some("7"),
        about: "How long `wheelhouse gc` leaves the trees of finished runs, in days; their branches stay with the run.",
    },
    Key {
        pattern: "isolation.trash_days",
        kind: Kind::Count { min: 0, max: 36_500 },
        default: Some("14"),
        about: "How long trees and branches that were taken away stay in the trash, in days.",
    },
    Key {
        pattern: "isolation.ports",
        kind: Kind::Count { min: 0, max: 100 },
        default: Some("0"),
        about: "How many ports are leased for each tree: `PORT_0` and on.",
    },
    Key {
        pattern: "isolation.databases",
        kind: Kind::Count { min: 0, max: 100 },
        default: Some("0"),
        about: "How many database names are reserved for each tree: `DATABASE_0` and on.",
    },
    Key {
        pattern: "serve.listen",
        kind: Kind::Text,
        default: Some("\"127.0.0.1:7416\""),
        about: "Where `wheelhouse serve` listens; a free port near by is taken when another project has this one.",
    },
    Key {
        pattern: "serve.toolset",
        kind: Kind::Word(&["lean", "full", "madrox", "tasks"]),
        default: Some("\"lean\""),
        about: "Which MCP tools `wheelhouse serve` lists to clients that name no set; every tool can be called.",
    },
    Key {
        pattern: "notify.webhook",
        kind: Kind::Text,
        default: None,
        about: "An address that is posted each notice of `notify_on` (the policy) as JSON; docs/notifications.md.",
    },
    Key {
        pattern: "notify.command",
        kind: Kind::Text,
        default: None,
        about: "A shell command that is run for each notice of `notify_on`, with the notice as JSON on its stdin.",
    },
    Key {
        pattern: "otel.endpoint",
        kind: Kind::Text,
        default: None,
        about: "An OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; docs/telemetry.md.",
    },
    Key {
        pattern: "routing.file",
        kind: Kind::Text,
        default: Some("\"routing.yaml\""),
        about: "Rules, chains, agents and additions to the roster, relative to the project; docs/routing.md has its keys.",
    },
    Key {
        pattern: "retention.days",
        kind: Kind::Count { min: 0, max: 36_500 },
        default: Some("30"),
        about: "How long `wheelhouse gc` keeps finished runs, in days.",
    },
    Key {
        pattern: "context.off",
        kind: Kind::Names,
        default: Some("[]"),
        about: "Layers of context that are switched off, such as `hand_over`; docs/economy.md lists them.",
    },
    Key {
        pattern: "context.hand_over_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: Some("4000"),
        about: "How much of another task's result a prompt is given; a path leads to the whole.",
    },
    Key {
        pattern: "context.summary_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: Some("400"),
        about: "How long another task's summary may be before its own words give way to facts.",
    },
    Key {
        pattern: "context.prompt_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: Some("60000"),
        about: "A prompt longer than this goes by a file, which the agent is told to read.",
    },
    Key {
        pattern: "context.document_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: Some("2000"),
        about: "How much one document may take that a task is given by `documents`; a longer one is distilled.",
    },
    Key {
        pattern: "context.compress_to",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: None,
        about: "How much a prompt may take that is sent once, to a model of an API: of longer ones the sentences go that say least \
                about the instruction. Nothing is compressed when absent; see docs/economy.md.",
    },
    Key {
        pattern: "context.memory_tokens",
        kind: Kind::Count { min: 20, max: 100_000 },
        default: Some("300"),
        about: "How much the notes may take that a prompt is given; see docs/memory.md.",
    },
    Key {
        pattern: "context.conversation_tokens",
        kind: Kind::Count {
            min: 500,
            max: 10_000_000,
        },
        default: Some("16000"),
        about: "How much of a conversation an agent is told word for word that does not remember it; older turns become a summary.",
    },
    Key {
        pattern: "context.early_stop",
        kind: Kind::Word(&["off", "nudge", "stop"]),
        default: Some("\"stop\""),
        about: "What is done about an agent whose tool calls go round in circles: nothing, a word to it, or a word and then the \
                end of its try as `stalled`.",
    },
    Key {
        pattern: "context.shortcuts",
        kind: Kind::Word(&["auto", "off"]),
        default: Some("\"off\""),
        about: "`auto`: a task whose prompt is a mechanical transform and nothing else is done by code where that is certain; \
                docs/workflows.md has the sentences. `shortcut` of a task wins.",
    },
    Key {
        pattern: "context.repeats",
        kind: Kind::Count { min: 2, max: 1_000 },
        default: Some("5"),
        about: "How often the same tool call in a row, or the same round of calls, is a circle when no file changes in between.",
    },
    Key {
        pattern: "find.embeddings.directory",
        kind: Kind::Text,
        default: Some("\"\""),
        about: "A directory with the weights of a model that makes vectors of texts, on this machine and without a network; with \
                it the places that a question finds are also ordered by meaning. As seen from the project. See docs/find.md.",
    },
    Key {
        pattern: "find.embeddings.url",
        kind: Kind::Text,
        default: Some("\"\""),
        about: "Where vectors of texts come from otherwise, an address before `/embeddings` such as \
                `http://127.0.0.1:11434/v1`; with it the places that a question finds are also ordered by meaning. See docs/find.md.",
    },
    Key {
        pattern: "find.embeddings.model",
        kind: Kind::Text,
        default: Some("\"\""),
        about: "The model that makes them.",
    },
    Key {
        pattern: "find.embeddings.key_env",
        kind: Kind::Text,
        default: Some("\"\""),
        about: "The environment variable that holds its key, where it needs one.",
    },
    Key {
        pattern: "find.rerank",
        kind: Kind::Text,
        default: Some("\"\""),
        about: "A command that orders the places anew, as `wheelhouse find --rerank`; for agents too.",
    },
    Key {
        pattern: "budget.day",
        kind: Kind::Usd,
        default: None,
        about: "What all tasks together may spend in a UTC day, in dollars; no limit when absent.",
    },
    Key {
        pattern: "budget.hour",
        kind: Kind::Usd,
        default: None,
        about: "What all tasks together may spend in a clock hour, in dollars.",
    },
    Key {
        pattern: "budget.session",
        kind: Kind::Usd,
        default: None,
        about: "What all tasks together may spend in one life of an engine, in dollars.",
    },
    Key {
        pattern: "budget.soft",
        kind: Kind::Word(&["warn", "ask", "off"]),
        default: Some("\"warn\""),
        about: "What happens when a task without a limit of its own takes more than its like: `warn` says so in the history, `ask` \
                also asks before a try that failed is repeated. Nothing is ever cut by it.",
    },
    Key {
        pattern: "quota",
        kind: Kind::Word(&["reroute", "wait"]),
        default: Some("\"reroute\""),
        about: "What happens to a task whose account is used up: `reroute` asks the next agent of its chain that can be \
                asked, and waits where there is none; `wait` keeps it with its agent until the allowance returns.",
    },
    Key {
        pattern: "breaker.failures",
        kind: Kind::Count { min: 1, max: 1_000 },
        default: Some("3"),
        about: "A provider, model and credential is left alone after so many failures in a row.",
    },
    Key {
        pattern: "breaker.failed_percent",
        kind: Kind::Count { min: 1, max: 100 },
        default: Some("50"),
        about: "It is also left alone when so many percent of at least 10 tries of the last minute failed.",
    },
    Key {
        pattern: "breaker.open",
        kind: Kind::Span,
        default: Some("\"30s\""),
        about: "How long it is left alone at first; then one task tries it, and each failure doubles the time, up to 15m.",
    },
    Key {
        pattern: "agents.*.billing",
        kind: Kind::Text,
        default: None,
        about: "Who pays for this agent: `api` (by the token), `subscription` (a flat fee), `free`, or `reported` (what \
                the agent itself says, the default).",
    },
    Key {
        pattern: "agents.*.backend",
        kind: Kind::Text,
        default: None,
        about: "The backend of a named agent; `wheelhouse doctor` lists them.",
    },
    Key {
        pattern: "agents.*.command",
        kind: Kind::Text,
        default: None,
        about: "The program behind a named agent; for `exec` the shell that commands are given to with `-c`.",
    },
    Key {
        pattern: "agents.*.model",
        kind: Kind::Text,
        default: None,
        about: "The model of this agent where a task names none.",
    },
    Key {
        pattern: "agents.*.roster",
        kind: Kind::Text,
        default: None,
        about: "What the roster knows this agent as, such as `gpt-5.5@high`, where its model does not say.",
    },
    Key {
        pattern: "agents.*.mode",
        kind: Kind::Text,
        default: None,
        about: "How much the agent asks, in its vendor's words: a permission mode of Claude Code, a sandbox of Codex, \
                a mode of an ACP agent.",
    },
    Key {
        pattern: "agents.*.tools",
        kind: Kind::Names,
        default: None,
        about: "The only tools this agent has: its vendor's by their names, Wheelhouse's as `wheelhouse:NAME`; `none` for none. \
                Each kind is bounded only where the list names one of it. See docs/agents.md.",
    },
    Key {
        pattern: "roles.*.tools",
        kind: Kind::Names,
        default: None,
        about: "The same for instances in that role, on top of the list of their agent.",
    },
    Key {
        pattern: "agents.*.one_shot",
        kind: Kind::Text,
        default: None,
        about: "For Codex, `on` or `off`: each turn is one `codex exec`, which asks nobody, in place of its app-server. Off unless set.",
    },
    Key {
        pattern: "agents.*.packet",
        kind: Kind::Text,
        default: None,
        about: "`on` or `off`: whether a task's prompt is followed by excerpts of the project that it may need, chosen by its \
                words, where the choice is sure enough. On for Claude Code and Codex, off for others.",
    },
    Key {
        pattern: "agents.*.api",
        kind: Kind::Text,
        default: None,
        about: "For `backend = \"api\"`: what is asked, such as `anthropic`, `openai`, `openai-chat`, `gemini`, `xai`, `ollama`.",
    },
    Key {
        pattern: "agents.*.base_url",
        kind: Kind::Text,
        default: None,
        about: "Another address than the API's own: a gateway, a compatible server. Its key must then be named.",
    },
    Key {
        pattern: "agents.*.effort",
        kind: Kind::Text,
        default: None,
        about: "How hard a model behind an API thinks, in the API's words; for Gemini before 3 a number of tokens.",
    },
    Key {
        pattern: "agents.*.key_env",
        kind: Kind::Text,
        default: None,
        about: "The environment variable that holds the key of an API; the API's usual one unless set.",
    },
    Key {
        pattern: "agents.*.key_file",
        kind: Kind::Text,
        default: None,
        about: "A file with the key of an API, which its owner alone may read (mode 0600).",
    },
    Key {
        pattern: "agents.*.key_command",
        kind: Kind::Text,
        default: None,
        about: "A command that prints the key of an API, such as `pass show anthropic`; run when a key is needed.",
    },
    Key {
        pattern: "agents.*.output_tokens_max",
        kind: Kind::Count {
            min: 1,
            max: 10_000_000,
        },
        default: None,
        about: "How many tokens an API may answer; for `anthropic` 16000 unless set.",
    },
    Key {
        pattern: "agents.*.schema",
        kind: Kind::Text,
        default: None,
        about: "A file with a JSON schema that every answer of this API must fulfil; asked for and checked.",
    },
    Key {
        pattern: "agents.*.cache",
        kind: Kind::Text,
        default: None,
        about: "What is marked for the prompt cache of `anthropic`: `off`, `role` (unless set) or `prompt`, which is role and prompt.",
    },
    Key {
        pattern: "agents.*.first_byte_timeout",
        kind: Kind::Span,
        default: None,
        about: "How long an API may take until its answer begins; 2m unless set.",
    },
    Key {
        pattern: "agents.*.stall_timeout",
        kind: Kind::Span,
        default: None,
        about: "How long an API may be silent in the middle of an answer; 2m unless set.",
    },
    Key {
        pattern: "agents.*.parallel_max",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: None,
        about: "How many tasks of this agent run at a time.",
    },
    Key {
        pattern: "agents.*.account",
        kind: Kind::Text,
        default: None,
        about: "The account this agent works on; agents of one account share its limit.",
    },
    Key {
        pattern: "agents.*.context.off",
        kind: Kind::Names,
        default: None,
        about: "Layers that are switched off for this agent, in place of `context.off`.",
    },
    Key {
        pattern: "agents.*.context.hand_over_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: None,
        about: "The same as `context.hand_over_tokens`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.document_tokens",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: None,
        about: "The same as `context.document_tokens`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.compress_to",
        kind: Kind::Count {
            min: 100,
            max: 10_000_000,
        },
        default: None,
        about: "The same as `context.compress_to`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.answers",
        kind: Kind::Text,
        default: None,
        about: "`file`: this agent writes its answer into a file that it is told of, and the answer is what lies there; `words` \
                (when absent): what it says last.",
    },
    Key {
        pattern: "agents.*.context.skills",
        kind: Kind::Names,
        default: None,
        about: "Files of the project that this agent is given before its task, within 16,000 characters.",
    },
    Key {
        pattern: "agents.*.context.instructions",
        kind: Kind::Names,
        default: None,
        about: "Names of instruction files, such as `AGENTS.md`, for an agent that does not look for them by itself.",
    },
    Key {
        pattern: "agents.*.context.memory",
        kind: Kind::Names,
        default: None,
        about: "The namespaces whose notes this agent is given, beside `agent/NAME`; `project` when absent.",
    },
    Key {
        pattern: "agents.*.context.conversation_tokens",
        kind: Kind::Count {
            min: 500,
            max: 10_000_000,
        },
        default: None,
        about: "The same as `context.conversation_tokens`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.early_stop",
        kind: Kind::Word(&["off", "nudge", "stop"]),
        default: None,
        about: "The same as `context.early_stop`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.repeats",
        kind: Kind::Count { min: 2, max: 1_000 },
        default: None,
        about: "The same as `context.repeats`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.reads",
        kind: Kind::Names,
        default: None,
        about: "What this agent reads for, as words and paths: a long document or diff is cut for it.",
    },
    Key {
        pattern: "agents.*.context.shortcuts",
        kind: Kind::Word(&["auto", "off"]),
        default: None,
        about: "The same as `context.shortcuts`, for this agent.",
    },
    Key {
        pattern: "agents.*.context.safety",
        kind: Kind::Word(&["on", "off"]),
        default: None,
        about: "`on`: it looks after safety. No review goes without it, its findings are never weighed down, and what it reads \
                for includes what speaks of secrets and permissions.",
    },
    Key {
        pattern: "agents.*.context.files",
        kind: Kind::Text,
        default: None,
        about: "`on` or `off`: whether this agent can open a file that it is told of; one that cannot is given more text. \
                `off` for models behind APIs, else `on`.",
    },
    Key {
        pattern: "agents.*.env.*",
        kind: Kind::Text,
        default: None,
        about: "An environment variable for this agent; it wins over `env.pass` and over plans.",
    },
    Key {
        pattern: "accounts.*.parallel_max",
        kind: Kind::Count { min: 1, max: 10_000 },
        default: None,
        about: "How many tasks run at a time over all agents of this account.",
    },
    Key {
        pattern: "subscriptions.*.month",
        kind: Kind::Usd,
        default: None,
        about: "What a subscription costs in a calendar month, in dollars; for `report`.",
    },
    Key {
        pattern: "subscriptions.*.from",
        kind: Kind::Text,
        default: None,
        about: "The first day that is paid for, such as `2026-11-01`; since ever when absent.",
    },
    Key {
        pattern: "subscriptions.*.until",
        kind: Kind::Text,
        default: None,
        about: "The last day that is paid for.",
    },
    Key {
        pattern: "mcp.start_timeout",
        kind: Kind::Span,
        default: Some("\"20s\""),
        about: "How long another MCP server may take to start and to greet back; docs/tools.md.",
    },
    Key {
        pattern: "mcp.list_timeout",
        kind: Kind::Span,
        default: Some("\"20s\""),
        about: "How long it may take to list its tools, all pages together.",
    },
    Key {
        pattern: "mcp.call_timeout",
        kind: Kind::Span,
        default: Some("\"1m\""),
        about: "How long one call of its tools may take.",
    },
    Key {
        pattern: "mcp.result_tokens",
        kind: Kind::Count {
            min: 200,
            max: 1_000_000,
        },
        default: Some("1000"),
        about: "How many tokens of an answer of its tools are handed over; a longer one is reduced, and the whole is kept.",
    },
    Key {
        pattern: "mcp.servers.*.enabled",
        kind: Kind::Word(&["on", "off"]),
        default: None,
        about: "`off`: this server is not used; `on` when absent.",
    },
    Key {
        pattern: "mcp.servers.*.command",
        kind: Kind::Text,
        default: None,
        about: "The program of an MCP server whose tools agents may find and use, spoken to on its stdin and stdout.",
    },
    Key {
        pattern: "mcp.servers.*.args",
        kind: Kind::Names,
        default: None,
        about: "Its arguments. Everybody on the machine can read them: no secrets.",
    },
    Key {
        pattern: "mcp.servers.*.env.*",
        kind: Kind::Text,
        default: None,
        about: "An environment variable for it, as it stands here; secrets go by `env_pass`.",
    },
    Key {
        pattern: "mcp.servers.*.env_pass",
        kind: Kind::Names,
        default: None,
        about: "Names of environment variables that it is given, beside those of `env.pass`; the place for secrets.",
    },
    Key {
        pattern: "mcp.servers.*.url",
        kind: Kind::Text,
        default: None,
        about: "The address of an MCP server that speaks streamable HTTP, in place of `command`.",
    },
    Key {
        pattern: "mcp.servers.*.key_env",
        kind: Kind::Text,
        default: None,
        about: "The environment variable that holds its key, which is sent as a bearer token.",
    },
    Key {
        pattern: "mcp.servers.*.key_file",
        kind: Kind::Text,
        default: None,
        about: "A file with the key, readable by its owner alone, relative to the project.",
    },
    Key {
        pattern: "mcp.servers.*.key_command",
        kind: Kind::Text,
        default: None,
        about: "A command that prints the key.",
    },
    Key {
        pattern: "mcp.servers.*.tools",
        kind: Kind::Names,
        default: None,
        about: "The only tools of it that can be seen and used; all of them when absent.",
    },
    Key {
        pattern: "mcp.servers.*.fields.*",
        kind: Kind::Text,
        default: None,
        about: "What is kept of the answer of the tool of that name, as `rows.id,total`; a caller that names fields wins.",
    },
];

/// The key that a path names, if there is one.
pub(crate) fn find(path: &[String]) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.pattern, path))
}

fn matches(pattern: &str, path: &[String]) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    parts.len() == path.len() && parts.iter().zip(path).all(|(part, name)| *part == "*" || part == name)
}

/// The names that could stand at `path`, for messages about a wrong one: each key with the user's own names filled in.
pub(crate) fn candidates(path: &[String]) -> Vec<String> {
    let fill = |key: &Key| {
        key.pattern
            .split('.')
            .enumerate()
            .map(|(place, part)| match path.get(place) {
                Some(name) if part == "*" => name.as_str(),
                _ => part,
            })
            .collect::<Vec<_>>()
            .join(".")
    };
    KEYS.iter().map(fill).collect()
}

impl Kind {
    /// Reads what a layer holds, or says what would do.
    pub(crate) fn read(self, raw: &Raw) -> Result<Value, String> {
        match self {
            Kind::Count { min, max } => raw
                .number()
                .filter(|number| (min..=max).contains(number))
                .map(Value::Count)
                .ok_or_else(|| format!("{raw} is not a whole number from {min} to {max}")),
            Kind::Bytes => match raw {
                Raw::Integer(_) => raw.number(),
                Raw::Text(text) => bytes(text),
                Raw::List(_) | Raw::Other(_) => None,
            }
            .map(Value::Bytes)
            .ok_or_else(|| format!("{raw} is not a size; write a number and a unit, such as `512KiB` or `8MiB`")),
            Kind::Span => match raw {
                Raw::Text(text) => parse_duration(text).map(Value::Span).map_err(|error| error.to_string()),
                Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => Err(format!(
                    "{raw} is not a duration; write a number and a unit in quotes, such as \"90s\" or \"20m\""
                )),
            },
            Kind::Text => match raw {
                Raw::Text(text) => Ok(Value::Text(text.clone())),
                Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => Err(format!("{raw} is not text in quotes")),
            },
            Kind::Usd => {
                let text = match raw {
                    Raw::Text(text) => text.clone(),
                    Raw::Integer(number) => number.to_string(),
                    Raw::List(_) => String::new(),
                    Raw::Other(text) => text.clone(),
                };
                match parse_usd(&text) {
                    Ok(_) => Ok(Value::Text(text)),
                    Err(_) => Err(format!("{raw} is not an amount in dollars such as \"2.50\"")),
                }
            }
            Kind::Names => match raw {
                Raw::List(names) => Ok(Value::Names(names.clone())),
                // From the environment or the command line, where there are no brackets.
                Raw::Text(text) => Ok(Value::Names(
                    text.split(',')
                        .map(str::trim)
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect(),
                )),
                Raw::Integer(_) | Raw::Other(_) => Err(format!("{raw} is not a list of names such as [\"PATH\"]")),
            },
            Kind::Word(words) => match raw {
                Raw::Text(text) if words.contains(&text.as_str()) => Ok(Value::Text(text.clone())),
                Raw::Text(_) | Raw::Integer(_) | Raw::List(_) | Raw::Other(_) => {
                    Err(format!("{raw} is not one of \"{}\"", words.join("\", \"")))
                }
            },
        }
    }

    /// What it takes, for the reference.
    pub(crate) fn describe(self) -> String {
        match self {
            Kind::Count { min, max } => format!("whole number, {min} to {max}"),
            Kind::Bytes => "size, such as `8MiB`".to_owned(),
            Kind::Span => "duration, such as `90s` or `20m`".to_owned(),
            Kind::Text => "text".to_owned(),
            Kind::Usd => "dollars, such as `\"2.50\"`".to_owned(),
            Kind::Names => "list of names".to_owned(),
            Kind::Word(words) => format!("`{}`", words.join("` or `")),
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

impl Value {
    /// The value as TOML.
    pub(crate) fn toml(&self) -> String {
        match self {
            Value::Count(number) => number.to_string(),
            Value::Bytes(number) => match number {
                n if *n > 0 && n % (1 << 30) == 0 => format!("\"{}GiB\"", n >> 30),
                n if *n > 0 && n % (1 << 20) == 0 => format!("\"{}MiB\"", n >> 20),
                n if *n > 0 && n % (1 << 10) == 0 => format!("\"{}KiB\"", n >> 10),
                n => n.to_string(),
            },
            Value::Span(span) => format!("\"{}\"", span_text(*span)),
            Value::Text(text) => toml::Value::String(text.clone()).to_string(),
            Value::Names(names) => toml::Value::from(names.clone()).to_string(),
        }
    }

    /// The value as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Value::Count(number) | Value::Bytes(number) => (*number).into(),
            Value::Span(span) => span_text(*span).into(),
            Value::Text(text) => text.clone().into(),
            Value::Names(names) => names.clone().into(),
        }
    }
}

/// The shortest way to write the duration so that it can be read back.
fn span_text(span: Duration) -> String {
    let mut left = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit_ms, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
        (1, "ms"),
    ] {
        if left >= unit_ms {
            text.push_str(&format!("{}{unit}", left / unit_ms));
            left %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_back() {
        for (text, number, back) in [
            ("8MiB", 8 << 20, "\"8MiB\""),
            ("512 KiB", 512 << 10, "\"512KiB\""),
            ("1000", 1000, "1000"),
            ("2MB", 2_000_000, "2000000"),
        ] {
            assert_eq!(bytes(text), Some(number), "{text}");
            assert_eq!(Value::Bytes(number).toml(), back);
        }
        for text in ["", "MiB", "8 parsecs", "-1", "99999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["90s", "20m", "2h30m", "500ms", "1d", "0s"] {
            let span = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&span_text(span)), Ok(span), "{text}");
        }
    }

    #[test]
    fn every_default_is_what_its_key_takes() {
        for key in KEYS {
            if let Some(default) = key.default {
                let raw = super::super::layer::value(default).unwrap();
                let value = key.kind.read(&raw).unwrap();
                assert_eq!(value.toml(), default, "{}", key.pattern);
            }
        }
    }
}
