//! The Codex backend: the user's own `codex`, as an app-server or, for one-shots, `exec --json`.
//!
//! The app-server is the better half: it asks for approvals, takes words in the middle of a turn, interrupts, and says
//! why a request failed. `exec` does one turn, asks nobody, and refuses what would need asking. One process a try in
//! both. What the streams mean is the business of [`crate::decode::codex_app`] and [`crate::decode::codex_exec`].

mod app;
mod exec;
mod launch;
mod rollout;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;

use crate::converse::{Protocol, converse};
use crate::decode::{Totals, Turn};
use crate::keep::{Keeper, NotStarted};
use crate::mcp;
use crate::probe::{self, Version};
use crate::report::{self, Vendor};
use crate::sessions::Sessions;

/// Who this is, and what was tested.
pub(crate) const VENDOR: Vendor = Vendor {
    name: "Codex",
    install: "npm install -g @openai/codex",
    tested_prefix: TESTED_LINE,
    tested: TESTED,
};

/// The release line that this backend was tested with.
pub const TESTED_LINE: &str = "0.171";
/// The version that the last test ran with.
pub const TESTED: &str = "0.171.0";

/// How often Codex itself may try a failed request again before the turn is ended with that failure: waiting is the
/// engine's, which can fall back meanwhile. Codex's own limits are per provider, and for a refused connection none.
const VENDOR_RETRIES_MAX: u32 = 2;

/// Which surface of Codex is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// `codex app-server`.
    #[default]
    AppServer,
    /// `codex exec --json`.
    Exec,
}

/// How this agent is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program: a path, or a name to be found in the `PATH` of the assignment.
    pub binary: PathBuf,
    /// Which surface is used.
    pub mode: Mode,
    /// `untrusted`, `on-request` or `never`; `exec` knows only `never`.
    pub approval_policy: String,
    /// `read-only`, `workspace-write` or `danger-full-access`.
    pub sandbox: String,
    /// The model where the task names none.
    pub model: Option<String>,
    /// Further arguments, such as `-c key=value`.
    pub extra_args: Vec<String>,
    /// Further environment, on top of the assignment's: a credential, `CODEX_HOME`.
    pub env: BTreeMap<String, String>,
    /// Where locks and counts of sessions are kept, to keep other engines out of them.
    pub state_dir: Option<PathBuf>,
}

impl Config {
    /// The program of that path or name: the app-server, asking when it wants to leave the working directory.
    pub fn new(binary: impl Into<PathBuf>) -> Config {
        Config {
            binary: binary.into(),
            mode: Mode::default(),
            approval_policy: "on-request".to_owned(),
            sandbox: "workspace-write".to_owned(),
            model: None,
            extra_args: Vec::new(),
            env: BTreeMap::new(),
            state_dir: None,
        }
    }
}

/// Codex.
#[derive(Clone, Debug)]
pub struct Codex {
    keeper: Arc<Keeper>,
    config: Arc<Config>,
    sessions: Sessions,
}

impl Codex {
    /// The program under this keeper.
    pub fn new(keeper: Arc<Keeper>, config: Config) -> Codex {
        let sessions = Sessions::new(
            "codex",
            config.state_dir.as_ref().map(|directory| directory.join("sessions")),
        );
        Codex {
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

impl Agent for Codex {
    fn capabilities(&self) -> Capabilities {
        let talks = self.config.mode == Mode::AppServer;
        Capabilities {
            resume: true,
            interrupt: talks,
            steer: talks,
            permission: talks,
            usage: true,
            structured_output: false,
            children: false,
            mcp_servers: true,
            own_tools: false,
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let codex = self.clone();
        Box::pin(async move { codex.run(assignment, inbox, sink).await })
    }
}

/// A conversation that can be asked for its result.
trait Conversation: Protocol {
    fn last_turn(&mut self, conversed: &crate::converse::Conversed) -> Turn;
    fn totals(&self) -> Option<Totals>;
    fn unknown(&self) -> u64;
}

impl Codex {
    async fn run(self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let Input::Prompt(prompt) = &assignment.input else {
            let detail = "this agent takes a prompt and was given a command; give the task a prompt or another agent";
            return report::refused(Outcome::Unavailable, detail.to_owned());
        };
        if self.config.mode == Mode::Exec && mcp::codex_arguments(&assignment.mcp_servers).is_none() {
            let detail = "`codex exec` has no private way to be given an environment or headers of MCP servers; its \
                          app-server has";
            return report::refused(Outcome::Unavailable, detail.to_owned());
        }
        // Held until the process is gone; dropping this future kills the process first.
        let mut held = match assignment.session.as_deref().map(|session| self.sessions.take(session)) {
            Some(Ok(held)) => Some(held),
            Some(Err(in_use)) => return report::refused(Outcome::Unavailable, in_use.to_string()),
            None => None,
        };
        let before = match &mut held {
            Some(held) => held.totals(),
            None => Some(Totals::default()),
        };
        let mut talk: Box<dyn Conversation> = match self.config.mode {
            Mode::AppServer => Box::new(app::Talk::new(&assignment, prompt.clone(), &self.config, before)),
            Mode::Exec => Box::new(exec::Talk::new(before, prompt.len())),
        };
        let command = launch::command(&assignment, prompt, &self.config);
        let env = command.env.clone();
        let grace = Duration::from_millis(assignment.grace_ms);
        let kept = match self.keeper.spawn(command).await {
            Ok(kept) => kept,
            Err(error) => return VENDOR.not_started(&error),
        };
        sink.event(AgentEvent::Started {
            session: assignment.session.clone(),
            process: Some(kept.warden),
        });
        let log = assignment.log.as_deref();
        let conversed = converse(kept, inbox, grace, log, &sink, &mut *talk).await;
        if talk.unknown() > 0 {
            let words = format!(
                "{} lines of {} were not understood by this version",
                talk.unknown(),
                VENDOR.name
            );
            sink.event(AgentEvent::Notice(words));
        }
        let turn = talk.last_turn(&conversed);
        // The app-server has said so itself.
        if let (Mode::Exec, Some(thread)) = (self.config.mode, turn.session.as_deref())
            && let Some(model) = rollout::model(thread, &env)
        {
            sink.event(AgentEvent::Model(model));
        }
        if let (Some(totals), Some(session)) = (talk.totals(), turn.session.as_deref()) {
            let held = held.or_else(|| self.sessions.take(session).ok());
            if let Some(mut held) = held {
                held.remember(totals);
            }
        }
        let is_resumed = assignment.session.is_some();
        let ended = report::ended(turn, conversed, &assignment.cwd, assignment.output_max);
        report::or_anew(ended, is_resumed)
    }
}
