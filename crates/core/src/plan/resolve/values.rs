//! Agents, environment and paths of a task.

use std::collections::BTreeMap;

use super::{AUTO, EXEC, Resolve, is_id};
use crate::chain::{Link, Named};
use crate::ids::AgentName;
use crate::plan::problem::shortened;
use crate::plan::walk::listed;
use crate::plan::wire::At;

impl Resolve<'_, '_> {
    /// The agent of that name, and the role. In compatible formats a name that is not configured becomes the role.
    pub(super) fn agent(
        &mut self,
        name: Option<&At<String>>,
        role: Option<String>,
    ) -> (Option<AgentName>, Option<String>) {
        let Some(name) = name else {
            return (None, role);
        };
        if name.value == AUTO {
            return (Some(self.auto()), role);
        }
        if name.value == EXEC {
            let message = "the agent `exec` runs commands; it cannot take a prompt".to_owned();
            let help = "write the command as `exec: …`, or name another agent";
            self.reporter.error("exec-agent", name.at, &name.value, message, help);
            return (None, role);
        }
        if let Some(known) = self.context.agents.iter().find(|agent| agent.as_str() == name.value) {
            return (Some(known.clone()), role);
        }
        if self.manners.lenient && !name.value.trim().is_empty() {
            let default = &self.auto();
            let message = format!(
                "no agent is called `{}`; `{default}` does it in that role",
                shortened(&name.value)
            );
            let help = "configure an agent of that name to have its own";
            self.reporter
                .warning_once("agent-as-role", name.at, &name.value, message, help);
            return (Some(default.clone()), role.or_else(|| Some(name.value.clone())));
        }
        self.unknown_agent(name);
        (None, role)
    }

    /// What `auto` stands for until somebody is chosen.
    pub(super) fn auto(&self) -> AgentName {
        match self.context.router {
            Some(_) => AgentName(AUTO.to_owned()),
            None => self.context.default_agent.clone(),
        }
    }

    pub(super) fn unknown_agent(&mut self, name: &At<String>) {
        let message = format!("no agent is called `{}`", shortened(&name.value));
        let usable = || {
            let names = self
                .context
                .agents
                .iter()
                .map(AgentName::as_str)
                .filter(|name| *name != EXEC);
            std::iter::once(AUTO).chain(names)
        };
        let help = format!("there are {}", listed(usable().take(40)));
        self.reporter
            .unknown("unknown-agent", name.at, &name.value, message, usable(), help);
    }

    /// The fallback chain: known agents, each once, without the first.
    pub(super) fn chain(&mut self, first: &AgentName, model: Option<&str>, fallback: &[At<String>]) -> Vec<Link> {
        let mut chain: Vec<Link> = Vec::new();
        for name in fallback {
            let link = match name.value.as_str() {
                AUTO => Some(self.context.default_agent.clone())
                    .filter(|agent| agent.as_str() != AUTO)
                    .map(Link::of),
                EXEC => None,
                text => self.link(text),
            };
            let Some(link) = link else {
                self.unknown_agent(name);
                continue;
            };
            let is_first = link.agent == *first && (link.model.is_none() || link.model.as_deref() == model);
            let twice = |one: &Link| (&one.agent, &one.model) == (&link.agent, &link.model);
            if !is_first && !chain.iter().any(twice) {
                chain.push(link);
                continue;
            }
            // `auto` may well be an agent that is named besides; that depends on the machine, not on the plan.
            if name.value != AUTO {
                let agent = link.shown();
                let message = format!("`{agent}` stands twice in the chain; the second is left out");
                self.reporter
                    .warning("repeated-agent", name.at, &name.value, message, "");
            }
        }
        chain
    }

    /// The agent of that name, or whoever serves the model of that name here.
    fn link(&self, name: &str) -> Option<Link> {
        let served = || self.context.router?.borrow().serving(name);
        match self.context.agents.iter().find(|agent| agent.as_str() == name) {
            Some(agent) => Some(Link::of(agent.clone())),
            None => served(),
        }
    }

    /// What a chain of the routing file comes to here: its first option, and those that follow. Options that nobody here
    /// serves are left out with a warning.
    pub(super) fn named_chain(&mut self, own: &str, name: &At<String>) -> Option<Vec<Link>> {
        let router = self.context.router.map(|router| router.borrow());
        let chains = router.as_ref().map_or(&[][..], |router| router.chains());
        let Some(chain) = chains.iter().find(|chain| chain.name == name.value) else {
            let message = format!("{own}: no chain is called `{}`", shortened(&name.value));
            let exist: Vec<String> = chains.iter().map(|chain| chain.name.clone()).collect();
            let help = match exist.as_slice() {
                [] => "define it under `fallback_chains:` of routing.yaml".to_owned(),
                some => format!("routing.yaml has {}", listed(some.iter().map(String::as_str).take(20))),
            };
            drop(router);
            self.reporter.unknown(
                "unknown-chain",
                name.at,
                &name.value,
                message,
                exist.iter().map(String::as_str),
                help,
            );
            return None;
        };
        let chain = chain.clone();
        drop(router);
        let mut links: Vec<Link> = Vec::with_capacity(chain.links.len());
        for Named {
            name: wanted,
            timeout_ms,
            retry,
        } in chain.links
        {
            let Some(link) = self.link(&wanted) else {
                let message = format!("chain `{}`: nobody here serves `{}`", chain.name, shortened(&wanted));
                let help = "`wheelhouse doctor` says which agents are missing";
                self.reporter
                    .warning_once("nobody-serves", name.at, &wanted, message, help);
                continue;
            };
            links.push(Link {
                timeout_ms,
                retry_max: Some(retry),
                ..link
            });
        }
        if links.is_empty() {
            let message = format!("{own}: nobody here serves anything of the chain `{}`", chain.name);
            let help = "`wheelhouse doctor` says which agents are missing";
            self.reporter.error("nobody", name.at, &name.value, message, help);
            return None;
        }
        Some(links)
    }

    /// What all tasks have, and what this one has besides, which wins.
    pub(super) fn environment_over(
        &mut self,
        all: &BTreeMap<String, String>,
        own: Vec<(At<String>, At<String>)>,
    ) -> BTreeMap<String, String> {
        let mut environment = all.clone();
        environment.extend(self.environment(own));
        environment
    }

    pub(super) fn environment(&mut self, pairs: Vec<(At<String>, At<String>)>) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for (name, value) in pairs {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let why = if !is_id(&name.value, letters) || name.value.starts_with(|first: char| first.is_ascii_digit()) {
                "is not a name an environment can hold"
            } else if name.value.starts_with("WHEELHOUSE_") {
                "belongs to the engine"
            } else if value.value.contains('\0') {
                "has a value with a NUL character"
            } else {
                let value = self.with_vars(&value, "`env`", "env");
                environment.insert(name.value, value);
                continue;
            };
            let message = format!("`env`: `{}` {why}", shortened(&name.value));
            let help = "use letters, digits and `_`, no digit first, and not the prefix `WHEELHOUSE_`";
            self.reporter.error("bad-env", name.at, &name.value, message, help);
        }
        environment
    }

    pub(super) fn globs(&mut self, own: &str, key: &str, globs: Vec<At<String>>) -> Vec<String> {
        let mut kept = Vec::with_capacity(globs.len());
        for glob in globs {
            if glob.value.trim().is_empty() {
                let message = format!("{own}: `{key}` has an empty entry");
                self.reporter
                    .error("empty-text", glob.at, "", message, "write a glob such as `src/**`");
            } else if self.manners.lenient && leaves(&glob.value) {
                let message = format!("`{key}` outside the project are not watched");
                self.reporter
                    .warning_once("ignored-key", glob.at, &glob.value, message, "");
            } else if self.stays_inside(own, key, &glob).is_some() {
                kept.push(self.with_vars(&glob, own, key));
            }
        }
        kept
    }

    pub(super) fn commands(&mut self, own: &str, commands: Vec<At<String>>) -> Vec<String> {
        let mut kept = Vec::with_capacity(commands.len());
        for command in commands {
            if self.says_something(own, "verify", &command).is_some() {
                kept.push(self.with_vars(&command, own, "verify"));
            }
        }
        kept
    }

    pub(super) fn directory(&mut self, own: &str, cwd: &At<String>) -> Option<String> {
        let text = At {
            value: self.with_vars(cwd, own, "cwd"),
            at: cwd.at,
        };
        self.says_something(own, "cwd", &text)?;
        self.stays_inside(own, "cwd", &text)?;
        let path = text.value.trim_end_matches('/');
        (path != ".").then(|| path.to_owned())
    }

    pub(super) fn stays_inside(&mut self, own: &str, key: &str, path: &At<String>) -> Option<()> {
        if !leaves(&path.value) {
            return Some(());
        }
        let message = format!("{own}: `{key}`: `{}` leaves the project", shortened(&path.value));
        let help = "write a path below the project's directory, without `..`";
        self.reporter.error("bad-path", path.at, &path.value, message, help);
        None
    }
}

/// Whether a path is absolute or climbs by `..`.
fn leaves(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    path.starts_with(['/', '\\', '~']) || drive || path.split(['/', '\\']).any(|part| part == "..")
}
