//! The Claude Code backend: the user's own `claude`, driven by stream-json both ways.
//!
//! One process a try. The prompt goes in as a line, permission requests come out and are answered in lines, an
//! interrupt ends the turn and keeps the session; when the turn is over stdin is closed, and the CLI ends by itself.
//! Children that still work then bring further turns, and the last one is the answer. What the stream means is
//! [`crate::decode::claude`]'s business.
//!
//! Not here: credentials (the CLI finds its own by its environment), timers (the engine's), worktrees.

mod launch;
mod talk;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;

use crate::converse::converse;
use crate::keep::{Keeper, NotStarted};
use crate::mcp::McpFile;
use crate::probe::{self, Version};
use crate::report::{self, Vendor};
use crate::sessions::Sessions;

use self::talk::Talk;

/// Who this is, and what was tested.
pub(crate) const VENDOR: Vendor = Vendor {
    name: "Claude Code",
    install: "npm install -g @anthropic-ai/claude-code",
    tested_prefix: TESTED_LINE,
    tested: TESTED,
};

/// The release line that this backend was tested with.
pub const TESTED_LINE: &str = "2.1";
/// The version that the last test ran with.
pub const TESTED: &str = "2.1.332";

/// How this agent is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program: a path, or a name to be found in the `PATH` of the assignment.
    pub binary: PathBuf,
    /// `default`, `acceptEdits`, `plan`, `dontAsk` or `bypassPermissions`; the CLI's own default when absent.
    pub permission_mode: Option<String>,
    /// The model where the task names none.
    pub model: Option<String>,
    /// A file with MCP servers; no others are started.
    pub mcp_config: Option<PathBuf>,
    /// Further arguments, last on the command line.
    pub extra_args: Vec<String>,
    /// Further environment, on top of the assignment's: a base URL, a credential.
    pub env: BTreeMap<String, String>,
    /// Where locks of sessions are kept, to keep other engines out of them.
    pub state_dir: Option<PathBuf>,
}

impl Config {
    /// The program of that path or name, with the CLI's own defaults.
    pub fn new(binary: impl Into<PathBuf>) -> Config {
        Config {
            binary: binary.into(),
            permission_mode: None,
            model: None,
            mcp_config: None,
            extra_args: Vec::new(),
            env: BTreeMap::new(),
            state_dir: None,
        }
    }
}

/// Claude Code.
#[derive(Clone, Debug)]
pub struct Claude {
    keeper: Arc<Keeper>,
    config: Arc<Config>,
    sessions: Sessions,
}

impl Claude {
    /// The CLI under this keeper.
    pub fn new(keeper: Arc<Keeper>, config: Config) -> Claude {
        let sessions = Sessions::new(
            "claude",
            config.state_dir.as_ref().map(|directory| directory.join("sessions")),
        );
        Claude {
            keeper,
            config: Arc::new(config),
            sessions,
        }
    }

    /// Asks the program for its version. `env` is what it gets, `PATH` above all.
    pub async fn version(&self, env: BTreeMap<String, String>) -> Result<Version, NotStarted> {
        let env = launch::environment(env, &self.config);
        probe::version(&self.keeper, &self.config.binary, env, &VENDOR).await
    }
}

impl Agent for Claude {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: true,
            interrupt: true,
            steer: true,
            permission: true,
            usage: true,
            structured_output: false,
            children: true,
            mcp_servers: true,
            own_tools: true,
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let claude = self.clone();
        Box::pin(async move { claude.run(assignment, inbox, sink).await })
    }
}

impl Claude {
    /// The assignment's own MCP servers beside the configured ones; none when it has none.
    fn mcp_file(&self, assignment: &Assignment, session: &str) -> std::io::Result<Option<McpFile>> {
        if assignment.mcp_servers.is_empty() {
            return Ok(None);
        }
        let Some(directory) = self.config.state_dir.as_deref() else {
            return Err(std::io::Error::other("there is no state directory for them"));
        };
        let base = self.config.mcp_config.as_deref();
        McpFile::write(directory, session, &assignment.mcp_servers, base).map(Some)
    }

    async fn run(self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let Input::Prompt(prompt) = &assignment.input else {
            let detail = "this agent takes a prompt and was given a command; give the task a prompt or another agent";
            return report::refused(Outcome::Unavailable, detail.to_owned());
        };
        let is_resumed = assignment.session.is_some();
        let session = assignment
            .session
            .clone()
            .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        // Held until the process is gone; dropping this future kills the process first.
        let _held = match self.sessions.take(&session) {
            Ok(held) => held,
            Err(in_use) => return report::refused(Outcome::Unavailable, in_use.to_string()),
        };
        let prompt = launch::prompt(prompt, assignment.role.as_deref());
        let mut config = (*self.config).clone();
        // Held until the try is over: the servers read it when they please.
        let _servers = match self.mcp_file(&assignment, &session) {
            Ok(file) => {
                config.mcp_config = file.as_ref().map(|file| file.path().to_owned()).or(config.mcp_config);
                file
            }
            Err(error) => {
                let detail = format!("its MCP servers cannot be written down for it: {error}");
                return report::refused(Outcome::Unavailable, detail);
            }
        };
        let command = launch::command(&assignment, &config, &session, is_resumed);
        let grace = Duration::from_millis(assignment.grace_ms);
        let kept = match self.keeper.spawn(command).await {
            Ok(kept) => kept,
            Err(error) => return VENDOR.not_started(&error),
        };
        sink.event(AgentEvent::Started {
            session: Some(session.clone()),
            process: Some(kept.warden),
        });
        let mut talk = Talk::new(session, prompt);
        let conversed = converse(kept, inbox, grace, assignment.log.as_deref(), &sink, &mut talk).await;
        let unknown = talk.unknown();
        if unknown > 0 {
            let words = format!("{unknown} lines of {} were not understood by this version", VENDOR.name);
            sink.event(AgentEvent::Notice(words));
        }
        let turn = talk.last_turn(&conversed);
        let ended = report::ended(turn, conversed, &assignment.cwd, assignment.output_max);
        report::or_anew(ended, is_resumed)
    }
}
