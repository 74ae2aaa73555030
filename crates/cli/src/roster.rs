//! The agents there are: backends known to this version, and the agents that the configuration makes of them.
//!
//! [`BACKENDS`] is the registry: adding a backend is one line here, its module in the agents crate and its page in
//! the docs.

mod api;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use wheelhouse_agents::acp::{self, Acp, Recipe};
use wheelhouse_agents::api::Http;
use wheelhouse_agents::claude::{self, Claude};
use wheelhouse_agents::codex::{self, Codex};
use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::keep::Keeper;
use wheelhouse_agents::rehearsal::Rehearsal;
use wheelhouse_core::agent::{Agent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Roster, Sink};
use wheelhouse_core::budget::{Payer, Terms};
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::price::{Billing, Table};
use wheelhouse_core::store::Cap;
use wheelhouse_engine::Money;

use crate::config::{self, AgentSettings, Settings};

pub(crate) use api::keyed;
pub(crate) use tools::tool_scopes;

/// The agent that runs commands.
pub(crate) const EXEC: &str = "exec";
/// The stand-in.
pub(crate) const REHEARSAL: &str = "rehearsal";
/// The name that stands for the first real agent there is.
pub(crate) const AUTO: &str = "auto";

/// A kind of agent.
pub(crate) struct Backend {
    /// Its name; an agent of this name exists without being configured.
    pub(crate) name: &'static str,
    /// The program it drives, when it needs one on the machine.
    pub(crate) program: Option<&'static str>,
    /// The release line it was tested with, and the last version, where that matters.
    tested: fn() -> Option<(&'static str, &'static str)>,
    /// How an agent of this kind is made.
    build: Build,
}

/// Makes an agent of a kind.
type Build = fn(&Hands, &AgentSettings) -> Arc<dyn Agent>;

/// Every backend, real agents in the order in which `auto` prefers them.
pub(crate) const BACKENDS: &[Backend] = &[
    Backend {
        name: "claude",
        program: Some("claude"),
        tested: || Some((claude::TESTED_LINE, claude::TESTED)),
        build: claude,
    },
    Backend {
        name: "codex",
        program: Some("codex"),
        tested: || Some((codex::TESTED_LINE, codex::TESTED)),
        build: codex,
    },
    Backend {
        name: "gemini",
        program: Some("gemini"),
        tested: || tested_acp("gemini"),
        build: gemini,
    },
    Backend {
        name: "opencode",
        program: Some("opencode"),
        tested: || tested_acp("opencode"),
        build: opencode,
    },
    Backend {
        name: "acp",
        program: None,
        tested: || None,
        build: any_acp,
    },
    Backend {
        name: config::API,
        program: None,
        tested: || None,
        build: api::build,
    },
    Backend {
        name: EXEC,
        program: None,
        tested: || None,
        build: exec,
    },
    Backend {
        name: REHEARSAL,
        program: None,
        tested: || None,
        build: rehearsal,
    },
];

/// What backends are built with.
pub(crate) struct Hands {
    /// Keeps their processes.
    pub(crate) keeper: Arc<Keeper>,
    /// This program.
    pub(crate) exe: PathBuf,
    /// Where backends keep what they must remember about sessions.
    pub(crate) state_dir: PathBuf,
    /// What files in settings are relative to.
    pub(crate) project: PathBuf,
    /// The environment, where keys are looked up; backends pass none of it on.
    pub(crate) env: BTreeMap<String, String>,
    /// The connections to model APIs.
    pub(crate) http: Arc<Http>,
}

fn program(settings: &AgentSettings, name: &str) -> PathBuf {
    settings
        .command
        .as_ref()
        .map_or_else(|| PathBuf::from(name), PathBuf::from)
}

fn claude(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let config = claude::Config {
        permission_mode: settings.mode.clone(),
        model: settings.model.clone(),
        state_dir: Some(hands.state_dir.clone()),
        ..claude::Config::new(program(settings, "claude"))
    };
    Arc::new(Claude::new(Arc::clone(&hands.keeper), config))
}

fn codex(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let mut config = codex::Config {
        model: settings.model.clone(),
        state_dir: Some(hands.state_dir.clone()),
        ..codex::Config::new(program(settings, "codex"))
    };
    if let Some(sandbox) = &settings.mode {
        config.sandbox.clone_from(sandbox);
    }
    if settings.one_shot == Some(true) {
        config.mode = codex::Mode::Exec;
    }
    Arc::new(Codex::new(Arc::clone(&hands.keeper), config))
}

fn tested_acp(name: &str) -> Option<(&'static str, &'static str)> {
    let tested = acp::recipe(name)?.tested?;
    Some((tested.line, tested.last))
}

impl Backend {
    /// What to say about a program that names this version: nothing when it is of the line that was tested.
    pub(crate) fn untested(&self, said: &str) -> Option<String> {
        let (line, last) = (self.tested)()?;
        let of_the_line = said.split_whitespace().any(|word| {
            let rest = word.trim_start_matches('v').strip_prefix(line);
            rest.is_some_and(|rest| rest.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        (!of_the_line).then(|| format!("this release was tested with {last}"))
    }
}

fn gemini(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    known_acp("gemini", hands, settings)
}

fn opencode(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    known_acp("opencode", hands, settings)
}

/// A recipe with the program that the configuration names in place of its own.
fn known_acp(name: &str, hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let mut recipe = acp::recipe(name).unwrap_or_else(|| Recipe::command([name]));
    if let (Some(command), Some(program)) = (&settings.command, recipe.command.first_mut()) {
        program.clone_from(command);
    }
    with_recipe(recipe, hands, settings)
}

/// A recipe by the agent's command, when it is the name of one, or the command itself, split at blanks.
fn any_acp(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let command = settings.command.as_deref().unwrap_or_default();
    let recipe = acp::recipe(command).unwrap_or_else(|| Recipe::command(command.split_whitespace()));
    with_recipe(recipe, hands, settings)
}

fn with_recipe(recipe: Recipe, hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let recipe = Recipe {
        model: settings.model.clone(),
        mode: settings.mode.clone(),
        state_dir: Some(hands.state_dir.clone()),
        ..recipe
    };
    Arc::new(Acp::new(Arc::clone(&hands.keeper), recipe))
}

fn exec(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let exec = Exec::new(Arc::clone(&hands.keeper));
    match &settings.command {
        Some(shell) => Arc::new(exec.with_shell(PathBuf::from(shell))),
        None => Arc::new(exec),
    }
}

fn rehearsal(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    let exe = settings
        .command
        .as_ref()
        .map_or_else(|| hands.exe.clone(), PathBuf::from);
    Arc::new(Rehearsal::new(Arc::clone(&hands.keeper), exe))
}

/// The backends an agent may be configured with.
pub(crate) fn backend_names() -> Vec<String> {
    BACKENDS.iter().map(|backend| backend.name.to_owned()).collect()
}

/// The agents a plan may name: one per backend, and the configured ones.
pub(crate) fn agent_names(settings: &Settings) -> Vec<AgentName> {
    let mut names = backend_names();
    names.extend(
        settings
            .agents
            .keys()
            .filter(|name| !names.contains(name))
            .cloned()
            .collect::<Vec<_>>(),
    );
    names.into_iter().map(AgentName).collect()
}

/// Who `auto` is: the first real agent of `found` programs that this version can drive, else the stand-in.
pub(crate) fn auto(found: impl Fn(&str) -> bool) -> AgentName {
    let real = BACKENDS.iter().find(|backend| backend.program.is_some_and(&found));
    AgentName(real.map_or(REHEARSAL, |backend| backend.name).to_owned())
}

/// Backends whose agents are given packets where nobody says otherwise: those for which it was measured to save tokens.
const PACKETS: &[&str] = &["claude", "codex"];

/// The agents whose first turn is given a packet.
pub(crate) fn packet_agents(settings: &Settings) -> BTreeSet<AgentName> {
    let given = |name: &AgentName| {
        let own = settings.agents.get(name.as_str());
        let backend = own
            .map(|own| own.backend.as_str())
            .filter(|backend| !backend.is_empty());
        let packet = own.and_then(|own| own.packet);
        packet.unwrap_or_else(|| PACKETS.contains(&backend.unwrap_or(name.as_str())))
    };
    agent_names(settings).into_iter().filter(given).collect()
}

/// The limits over agents and accounts that the configuration sets.
pub(crate) fn caps(settings: &Settings) -> Vec<Cap> {
    let single = settings.agents.iter().filter_map(|(name, agent)| {
        Some(Cap {
            agents: vec![AgentName(name.clone())],
            running_max: agent.parallel_max?,
        })
    });
    let shared = settings.accounts.iter().map(|(account, running_max)| Cap {
        agents: settings
            .agents
            .iter()
            .filter(|(_, agent)| agent.account.as_ref() == Some(account))
            .map(|(name, _)| AgentName(name.clone()))
            .collect(),
        running_max: *running_max,
    });
    single.chain(shared).filter(|cap| !cap.agents.is_empty()).collect()
}

/// What the engine needs to know about money: limits, prices, and who pays for which agent.
pub(crate) fn money(settings: &Settings, prices: Table) -> Money {
    let none = AgentSettings::default();
    let payer = |name: AgentName| {
        let own = settings.agents.get(name.as_str()).unwrap_or(&none);
        let kind = if own.backend.is_empty() {
            name.as_str()
        } else {
            own.backend.as_str()
        };
        let asks_no_model = [EXEC, REHEARSAL].contains(&kind);
        let billing = own.billing.unwrap_or(if asks_no_model {
            Billing::Free
        } else {
            Billing::Reported
        });
        let payer = Payer {
            model: own.model.clone(),
            account: own.account.clone(),
            provider: (!asks_no_model).then(|| api::served_by(kind, own)),
            credential: api::credential(kind, own),
            billing,
        };
        (name, payer)
    };
    Money {
        terms: Arc::new(Terms {
            limits: settings.budgets.clone(),
            payers: agent_names(settings).into_iter().map(payer).collect(),
            breaker: settings.breaker,
            quota: settings.quota,
            soft: settings.soft,
            ..Terms::default()
        }),
        prices: Arc::new(prices),
        ..Money::default()
    }
}

/// The environment that agents are given: what the allowlist names and the environment has.
pub(crate) fn passed_env(settings: &Settings, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let passed = settings
        .env_pass
        .iter()
        .filter_map(|name| Some((name.clone(), env.get(name)?.clone())));
    passed.collect()
}

/// The agents, ready to work.
pub(crate) struct Crew {
    agents: BTreeMap<AgentName, Arc<dyn Agent>>,
}

impl Crew {
    /// Builds every agent that this version can drive.
    pub(crate) fn new(settings: &Settings, hands: &Hands) -> Crew {
        let none = AgentSettings::default();
        let mut agents: BTreeMap<AgentName, Arc<dyn Agent>> = BTreeMap::new();
        for name in agent_names(settings) {
            let own = settings.agents.get(name.as_str()).unwrap_or(&none);
            let kind = if own.backend.is_empty() {
                name.as_str()
            } else {
                own.backend.as_str()
            };
            let backend = BACKENDS.iter().find(|backend| backend.name == kind);
            let Some(backend) = backend else { continue };
            let agent = (backend.build)(hands, own);
            let agent: Arc<dyn Agent> = if own.env.is_empty() {
                agent
            } else {
                Arc::new(WithEnv {
                    agent,
                    env: own.env.clone(),
                })
            };
            agents.insert(name, agent);
        }
        Crew { agents }
    }
}

impl Roster for Crew {
    fn agent(&self, name: &AgentName) -> Option<Arc<dyn Agent>> {
        self.agents.get(name).cloned()
    }

    fn names(&self) -> Vec<AgentName> {
        self.agents.keys().cloned().collect()
    }
}

/// An agent with an environment of its own. It wins over the allowlist and over plans: a login directory or key that
/// belongs to the agent is not for a plan to change.
struct WithEnv {
    agent: Arc<dyn Agent>,
    env: BTreeMap<String, String>,
}

impl Agent for WithEnv {
    fn capabilities(&self) -> Capabilities {
        self.agent.capabilities()
    }

    fn attempt(
        &self,
        mut assignment: Assignment,
        inbox: Box<dyn Inbox>,
        sink: Arc<dyn Sink>,
    ) -> BoxFuture<'static, Ended> {
        assignment.env.extend(self.env.clone());
        self.agent.attempt(assignment, inbox, sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let agent = |account: Option<&str>, parallel_max| AgentSettings {
            backend: EXEC.to_owned(),
            account: account.map(str::to_owned),
            parallel_max,
            ..AgentSettings::default()
        };
        Settings {
            parallel_max: 4,
            default_agent: AUTO.to_owned(),
            timeout: std::time::Duration::ZERO,
            idle_timeout: std::time::Duration::ZERO,
            retry: 0,
            quota: Default::default(),
            soft: Default::default(),
            breaker: Default::default(),
            output_max: 0,
            grace: std::time::Duration::ZERO,
            question_timeout: std::time::Duration::ZERO,
            policy: Vec::new(),
            isolation: Default::default(),
            tree_retention: std::time::Duration::ZERO,
            env_pass: vec!["PATH".to_owned(), "ABSENT".to_owned()],
            serve_listen: ([127, 0, 0, 1], 0).into(),
            serve_toolset: String::new(),
            notify_webhook: None,
            notify_command: None,
            otel_endpoint: None,
            routing_file: String::new(),
            fees: Vec::new(),
            retention: std::time::Duration::ZERO,
            roles: BTreeMap::new(),
            agents: BTreeMap::from([
                ("a".to_owned(), agent(Some("x"), Some(1))),
                ("b".to_owned(), agent(Some("x"), None)),
                ("c".to_owned(), agent(None, None)),
            ]),
            context: Default::default(),
            find: Default::default(),
            tool_servers: Default::default(),
            budgets: Vec::new(),
            accounts: BTreeMap::from([("x".to_owned(), 3), ("unused".to_owned(), 9)]),
        }
    }

    #[test]
    fn limits_become_caps_over_agents_and_accounts() {
        let caps = caps(&settings());
        let shown: Vec<(Vec<&str>, u32)> = caps
            .iter()
            .map(|cap| (cap.agents.iter().map(AgentName::as_str).collect(), cap.running_max))
            .collect();
        assert_eq!(shown, [(vec!["a"], 1), (vec!["a", "b"], 3)]);
    }

    #[test]
    fn packets_go_where_they_were_measured_or_asked_for() {
        let mut settings = settings();
        let shown =
            |settings: &Settings| -> Vec<String> { packet_agents(settings).iter().map(AgentName::to_string).collect() };
        assert_eq!(shown(&settings), ["claude", "codex"]);
        let own = |backend: &str, packet| AgentSettings {
            backend: backend.to_owned(),
            packet,
            ..AgentSettings::default()
        };
        settings.agents.insert("reviewer".to_owned(), own("claude", None));
        settings.agents.insert("codex".to_owned(), own("codex", Some(false)));
        settings
            .agents
            .insert("rehearsal".to_owned(), own("rehearsal", Some(true)));
        assert_eq!(shown(&settings), ["claude", "rehearsal", "reviewer"]);
    }

    #[test]
    fn only_what_the_allowlist_names_is_passed_on() {
        let env = BTreeMap::from([
            ("PATH".to_owned(), "/bin".to_owned()),
            ("SECRET".to_owned(), "s".to_owned()),
        ]);
        assert_eq!(
            passed_env(&settings(), &env),
            BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())])
        );
    }

    #[test]
    fn auto_is_the_stand_in_where_no_agent_can_be_driven() {
        assert_eq!(auto(|_| false).as_str(), REHEARSAL);
    }

    #[test]
    fn configured_names_join_the_built_in_ones() {
        let names = agent_names(&settings());
        let names: Vec<&str> = names.iter().map(AgentName::as_str).collect();
        assert_eq!(
            names,
            [
                "claude",
                "codex",
                "gemini",
                "opencode",
                "acp",
                "api",
                "exec",
                "rehearsal",
                "a",
                "b",
                "c"
            ]
        );
    }
}
