//! The generic backend for agents that speak the Agent Client Protocol (ACP, version 1) over stdin and stdout.
//!
//! One process a try: initialize, a session (new, resumed or loaded), model and mode where they are named, one prompt,
//! its end. Who the agent is, how it is started and where it departs from the others is data ([`Recipe`]); nothing in
//! the conversation asks for a vendor's name. The protocol's client is our own, see
//! `docs/decisions/0004-acp-client.md`.
//!
//! Not here: credentials (the agent finds its own), the timers of a turn (the engine's; only the opening of a session is
//! bounded here), files and terminals for the agent (not offered: it has its own).

mod ask;
pub mod decode;
mod failure;
mod meter;
mod minute;
mod opening;
mod recipe;
mod running;
mod scoped;
mod settings;
mod talk;
mod tools;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;

use crate::converse::converse;
use crate::keep::{Command, Keeper, NotStarted, Stdin};
use crate::probe::{self, Version};
use crate::report;
use crate::sessions::Sessions;

use self::minute::Waited;
use self::opening::Opening;
use self::talk::Talk;

pub use self::ask::Ask;
pub use self::opening::{HISTORY_SILENCE, INITIALIZE_PATIENCE, SESSION_PATIENCE};
pub use self::recipe::{Covers, EndsBy, Loads, ModelBy, Quirks, Recipe, Tested, ToolsBy, recipe, recipes};

/// The version of the protocol that is spoken.
pub const PROTOCOL_VERSION: u64 = 1;

/// An agent that speaks ACP.
#[derive(Clone, Debug)]
pub struct Acp {
    keeper: Arc<Keeper>,
    recipe: Arc<Recipe>,
    sessions: Sessions,
}

impl Acp {
    /// The agent of that recipe, under this keeper.
    pub fn new(keeper: Arc<Keeper>, recipe: Recipe) -> Acp {
        let directory = recipe.state_dir.as_ref().map(|directory| directory.join("sessions"));
        Acp {
            keeper,
            sessions: Sessions::new(recipe.name, directory),
            recipe: Arc::new(recipe),
        }
    }

    /// Asks the program for its version. `env` is what it gets, `PATH` above all.
    pub async fn version(&self, env: BTreeMap<String, String>) -> Result<Version, NotStarted> {
        let env = self.recipe.environment(env);
        let binary = self.recipe.binary();
        let said = probe::version(&self.keeper, &binary, env, &self.recipe.vendor()).await?;
        Ok(Version {
            untested: match &said.number {
                Some(number) => self.recipe.untested(number),
                None => said.untested,
            },
            number: said.number,
        })
    }

    fn command(&self, assignment: &Assignment) -> io::Result<Command> {
        let mut env = self.recipe.environment(assignment.env.clone());
        let held = match &assignment.tools {
            Some(tools) => scoped::hold(&self.recipe, tools, &mut env)?,
            None => Vec::new(),
        };
        let model = assignment.model.as_deref().or(self.recipe.model.as_deref());
        let servers = self.recipe.only_servers(assignment.mcp_servers.keys().cloned());
        Ok(Command {
            argv: self
                .recipe
                .argv(model)
                .into_iter()
                .chain(held)
                .chain(servers)
                .map(OsString::from)
                .collect(),
            env,
            cwd: assignment.cwd.clone(),
            stdin: Stdin::Piped,
            grace: Duration::from_millis(assignment.grace_ms),
        })
    }

    async fn run(self, assignment: Assignment, mut inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let Input::Prompt(mut prompt) = assignment.input.clone() else {
            let detail = "this agent takes a prompt and was given a command; give the task a prompt or another agent";
            return report::refused(Outcome::Unavailable, detail.to_owned());
        };
        // Held until the process is gone; dropping this future kills the process first.
        let _held = match assignment.session.as_deref().map(|session| self.sessions.take(session)) {
            Some(Ok(held)) => Some(held),
            Some(Err(in_use)) => return report::refused(Outcome::Unavailable, in_use.to_string()),
            None => None,
        };
        if let (Loads::Late, Some(session)) = (self.recipe.quirks.loads, &assignment.session) {
            let env = self.recipe.environment(assignment.env.clone());
            let outcome = match minute::wait(session, &env, &mut inbox, &mut prompt, &*sink).await {
                Waited::Over => None,
                Waited::Stopped => Some((Outcome::Killed, "stopped by order")),
                Waited::Interrupted => Some((Outcome::Cancelled, "interrupted before the turn began")),
            };
            if let Some((outcome, detail)) = outcome {
                return Ended {
                    session: assignment.session,
                    ..report::refused(outcome, detail.to_owned())
                };
            }
        }
        let command = match self.command(&assignment) {
            Ok(command) => command,
            Err(error) => {
                let detail = format!("{} cannot be held to its list of tools: {error}", self.recipe.title);
                return report::refused(Outcome::Unavailable, detail);
            }
        };
        let kept = match self.keeper.spawn(command).await {
            Ok(kept) => kept,
            Err(error) => return self.recipe.vendor().not_started(&error),
        };
        sink.event(AgentEvent::Started {
            session: assignment.session.clone(),
            process: Some(kept.warden),
        });
        let opening = Opening::default();
        let mut talk = Talk::new(&assignment, &prompt, Arc::clone(&self.recipe), opening.clone());
        let inbox = opening.watched(inbox);
        let grace = Duration::from_millis(assignment.grace_ms);
        let conversed = converse(kept, inbox, grace, assignment.log.as_deref(), &sink, &mut talk).await;
        if talk.unknown() > 0 {
            let (count, title) = (talk.unknown(), self.recipe.title);
            let words = format!("{count} lines of {title} were not understood by this version");
            sink.event(AgentEvent::Notice(words));
        }
        let turn = talk.last_turn(&conversed);
        let is_resumed = assignment.session.is_some();
        // Of a session whose first turn was interrupted Gemini CLI keeps nothing: there is nothing to go on in.
        let is_forgotten = self.recipe.quirks.loads == Loads::Late && turn.interrupted && !is_resumed;
        let mut ended = report::ended(turn, conversed, &assignment.cwd, assignment.output_max);
        if self.recipe.quirks.ends_by == EndsBy::Term && ended.outcome.is_success() {
            // How it ended after its turn was our doing.
            ended.result.exit_code = None;
        }
        if is_forgotten {
            ended.session = None;
        }
        report::or_anew(ended, is_resumed)
    }
}

impl Agent for Acp {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            resume: self.recipe.quirks.resumes,
            interrupt: true,
            steer: true,
            permission: true,
            usage: self.recipe.quirks.covers != Covers::Nothing,
            structured_output: false,
            children: false,
            mcp_servers: true,
            own_tools: self.recipe.quirks.tools_by != ToolsBy::Nothing,
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let acp = self.clone();
        Box::pin(async move { acp.run(assignment, inbox, sink).await })
    }
}
