//! The router of this project: its routing file, the roster that ships, the prices, who is really here, and what the
//! store knows of the past. Built by every command that lets agents be chosen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use wheelhouse_core::ids::AgentName;
use wheelhouse_core::price::{Billing, Table};
use wheelhouse_core::roster::{Entry, Role, Roster, vendor_of};
use wheelhouse_core::route::past::{Past, ROWS_MAX};
use wheelhouse_core::route::read::{self, Routing};
use wheelhouse_core::route::{Candidate, Obstacles, Router, Standing};
use wheelhouse_core::store::Reader;

use crate::app::App;
use crate::config::{AgentSettings, Settings};
use crate::exit;
use crate::failure::Failure;
use crate::moment::now;
use crate::pricelist;
use crate::roster::{self, BACKENDS};
use crate::state;

/// The routing file that the configuration names unless somebody says otherwise: it need not be there.
const FILE: &str = "routing.yaml";

/// The router as things stand now, asking the store when there is one.
pub(crate) fn router(app: &App, settings: &Settings) -> Result<Router, Failure> {
    let routing = routing(app, settings)?;
    let roster = Roster::shipped().with(&routing.roster);
    let prices = pricelist::table(&app.place)?;
    let (past, busy, obstacles) = match state::look(&app.place)? {
        Some(mut reader) => {
            let reader = reader.as_mut();
            let terms = roster::money(settings, Table::default()).terms;
            (past(reader)?, busy(reader)?, Obstacles::read(reader, &terms, now())?)
        }
        None => (Past::default(), BTreeMap::new(), Obstacles::default()),
    };
    let candidates = Here {
        app,
        settings,
        routing: &routing,
        roster: &roster,
        prices: &prices,
        busy: &busy,
        obstacles: &obstacles,
    }
    .candidates();
    Ok(Router::new(routing, roster, candidates, past, pricelist::today()))
}

/// The router for reading plans, made once and asked for each task.
pub(crate) fn shared(app: &App, settings: &Settings) -> Result<RefCell<Router>, Failure> {
    router(app, settings).map(RefCell::new)
}

/// What the routing file says; nothing where there is none.
pub(crate) fn routing(app: &App, settings: &Settings) -> Result<Routing, Failure> {
    let (routing, warnings) = read_file(app, settings)?;
    for warning in warnings {
        app.terminal.say(&warning);
    }
    Ok(routing)
}

fn read_file(app: &App, settings: &Settings) -> Result<(Routing, Vec<String>), Failure> {
    let (path, named) = file(app, settings);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
            return Ok((Routing::default(), Vec::new()));
        }
        Err(error) => return Err(Failure::io("read the routing file", &path, &error)),
    };
    let name = app.place.short(&path);
    let (routing, warnings) = read::routing(&name, &text).map_err(|problems| {
        let mut failure = Failure::new(exit::USAGE, format!("the routing file is refused\n\n{problems}"));
        failure.problems = serde_json::to_value(&problems).ok().map(Box::new);
        failure
    })?;
    Ok((routing, warnings.iter().map(ToString::to_string).collect()))
}

/// The settings of context, with who looks after safety by the role that the routing file gives it.
pub(crate) fn with_roles(app: &App, settings: &Settings) -> Result<wheelhouse_context::settings::Settings, Failure> {
    let mut context = settings.context.clone();
    for agent in read_file(app, settings)?.0.agents {
        let role = agent.role.unwrap_or_default().to_lowercase();
        if role.contains("security") || role.contains("safety") {
            let name = AgentName(agent.name);
            let mut limits = context.of(&name).clone();
            limits.safety = true;
            context.agents.insert(name, limits);
        }
    }
    Ok(context)
}

/// The routing file, and whether the configuration names it.
fn file(app: &App, settings: &Settings) -> (PathBuf, bool) {
    let file = app.place.project.join(&settings.routing_file);
    (file, settings.routing_file != FILE)
}

/// What the store knows of past tasks.
fn past(reader: &mut dyn Reader) -> Result<Past, Failure> {
    Ok(Past::of(reader.past(u32::try_from(ROWS_MAX).unwrap_or(u32::MAX))?))
}

fn busy(reader: &mut dyn Reader) -> Result<BTreeMap<AgentName, u32>, Failure> {
    Ok(reader.busy()?.into_iter().collect())
}

/// Who is here.
struct Here<'a> {
    app: &'a App,
    settings: &'a Settings,
    routing: &'a Routing,
    roster: &'a Roster,
    prices: &'a Table,
    busy: &'a BTreeMap<AgentName, u32>,
    obstacles: &'a Obstacles,
}

impl Here<'_> {
    /// Every agent by itself, in the order of preference, and those that a rule or chain tells to use a model of theirs.
    fn candidates(&self) -> Vec<Candidate> {
        let none = AgentSettings::default();
        let mut candidates = Vec::new();
        for agent in roster::agent_names(self.settings) {
            let own = self.settings.agents.get(agent.as_str()).unwrap_or(&none);
            let kind = match own.backend.as_str() {
                "" => agent.as_str(),
                kind => kind,
            };
            if kind == roster::EXEC {
                continue;
            }
            let candidate = self.candidate(&agent, own, kind, None);
            let may_take_models = own.model.is_none() && own.roster.is_none();
            let vendor = candidate.entry.vendor.clone();
            candidates.push(candidate);
            if may_take_models && kind != roster::REHEARSAL {
                let models = self
                    .named_models()
                    .into_iter()
                    .filter(|model| vendor_of(model) == vendor);
                candidates.extend(models.map(|model| self.candidate(&agent, own, kind, Some(model))));
            }
        }
        candidates
    }

    fn candidate(&self, agent: &AgentName, own: &AgentSettings, kind: &str, model: Option<&str>) -> Candidate {
        let name = model.or(own.roster.as_deref()).or(own.model.as_deref()).unwrap_or(kind);
        let mut entry = self.roster.find(name).cloned().unwrap_or_else(|| Entry::unknown(name));
        match self.roster.find(kind) {
            _ if kind == roster::REHEARSAL => entry.billing = Billing::Free,
            // A model of a known agent is paid for as the agent is; and one of an unknown name is of its vendor.
            Some(of_kind) if kind != name => {
                entry.billing = of_kind.billing;
                if entry.vendor == "any" {
                    entry.vendor.clone_from(&of_kind.vendor);
                }
            }
            Some(_) | None => {}
        }
        if let (Some(billing), false) = (own.billing, kind == roster::REHEARSAL) {
            entry.billing = billing;
        }
        let role = self.routing.agents.iter().find(|role| role.name == agent.as_str());
        Candidate {
            price: self
                .prices
                .find(entry.model_name(), pricelist::today())
                .price()
                .cloned(),
            standing: Standing {
                missing: self.missing(own, kind),
                stand_in: kind == roster::REHEARSAL,
                busy: self.busy.get(agent).copied().unwrap_or(0),
                busy_max: own.parallel_max.unwrap_or(self.settings.parallel_max),
                quota_until: self.obstacles.quota_until(agent),
                barred_until: self.obstacles.barred_until(agent, model),
                may_plan: role.is_none_or(read::RoleAgent::may_plan) && entry.role != Role::Classifier,
            },
            agent: agent.clone(),
            model: model.map(str::to_owned),
            entry,
        }
    }

    /// Why an agent cannot be used on this machine.
    fn missing(&self, own: &AgentSettings, kind: &str) -> Option<String> {
        let backend = BACKENDS.iter().find(|backend| backend.name == kind)?;
        let program = match (&own.command, backend.program) {
            (Some(command), _) => command.split_whitespace().next().unwrap_or_default(),
            (None, Some(program)) => program,
            (None, None) if kind == roster::REHEARSAL => return None,
            // What needs to be told what it drives is there once somebody has told it.
            (None, None) if own.backend.is_empty() => {
                return Some(format!(
                    "it is not configured; `[agents.NAME]` with `backend = \"{kind}\"` makes one"
                ));
            }
            (None, None) => return None,
        };
        let there = program.contains('/') && self.app.place.project.join(program).exists();
        (!there && self.app.program(program).is_none()).then(|| format!("there is no program `{program}`"))
    }

    /// The models that rules, chains and agents of the routing file name, each once.
    fn named_models(&self) -> Vec<&str> {
        let rules = self.routing.rules.iter().flat_map(|rule| &rule.models);
        let chains = self
            .routing
            .chains
            .iter()
            .flat_map(|chain| &chain.links)
            .map(|entry| &entry.name);
        let mut models: Vec<&str> = rules.chain(chains).map(String::as_str).collect();
        models.sort_unstable();
        models.dedup();
        models
    }
}
