//! Which tools an agent has: the fewer it does not need, the less it pays for and the less can go wrong.
//!
//! A list belongs to an agent or to a role, and names tools in their vendor's words (`Read`, `grep`) or Wheelhouse's own as
//! `wheelhouse:status`. Each of the two kinds is bounded only where the list names one of it; `none` and `wheelhouse:none` name
//! a kind and no tool of it. Backends carry the first to their vendor, the MCP server holds instances to the second.

use std::collections::{BTreeMap, BTreeSet};

use crate::caller::MCP_NAME;
use crate::ids::AgentName;

/// The word for no tool at all.
pub const NONE: &str = "none";

/// What one agent may use. Where a kind is absent, all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolScope {
    /// Its vendor's tools.
    pub own: Option<BTreeSet<String>>,
    /// Those of Wheelhouse.
    pub ours: Option<BTreeSet<String>>,
}

impl ToolScope {
    /// The scope that a list comes to.
    pub fn of(names: &[String]) -> ToolScope {
        let mut scope = ToolScope::default();
        for name in names {
            let (kind, name) = match name.split_once(':') {
                Some((MCP_NAME, ours)) => (&mut scope.ours, ours),
                _ => (&mut scope.own, name.as_str()),
            };
            let kind = kind.get_or_insert_default();
            if name != NONE {
                kind.insert(name.to_owned());
            }
        }
        scope
    }

    /// What both allow.
    #[must_use]
    pub fn within(self, other: &ToolScope) -> ToolScope {
        let both = |one: Option<BTreeSet<String>>, other: &Option<BTreeSet<String>>| match (one, other) {
            (Some(one), Some(other)) => Some(one.intersection(other).cloned().collect()),
            (one, other) => one.or_else(|| other.clone()),
        };
        ToolScope {
            own: both(self.own, &other.own),
            ours: both(self.ours, &other.ours),
        }
    }

    /// Whether a tool of Wheelhouse is among them.
    pub fn has(&self, tool: &str) -> bool {
        self.ours.as_ref().is_none_or(|ours| ours.contains(tool))
    }
}

/// The lists of a project.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolScopes {
    /// By agent.
    pub agents: BTreeMap<AgentName, ToolScope>,
    /// By the role of an instance.
    pub roles: BTreeMap<String, ToolScope>,
    /// Each of Wheelhouse's tools that instances may have, as it stands in a prompt: for the account of what is left out.
    pub ours: BTreeMap<String, String>,
}

impl ToolScopes {
    /// What an agent in a role may use: what both lists allow.
    pub fn of(&self, agent: &AgentName, role: Option<&str>) -> ToolScope {
        let by_agent = self.agents.get(agent).cloned().unwrap_or_default();
        match role.and_then(|role| self.roles.get(role)) {
            Some(by_role) => by_agent.within(by_role),
            None => by_agent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(names: &[&str]) -> ToolScope {
        ToolScope::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_kind_is_bounded_where_it_is_named() {
        let some = scope(&["Read", "wheelhouse:status"]);
        assert!(some.has("status") && !some.has("spawn"));
        assert_eq!(some.own.as_ref().map(BTreeSet::len), Some(1));
        assert!(scope(&["Read"]).has("spawn") && scope(&["wheelhouse:status"]).own.is_none());
        assert_eq!(scope(&["none", "wheelhouse:none"]).own, Some(BTreeSet::new()));
        assert!(!scope(&["wheelhouse:none"]).has("status"));
        // Another server's tools are its agent's own business.
        assert!(scope(&["mcp__db:query"]).own.is_some());
    }

    #[test]
    fn a_role_can_only_take_away() {
        let agent = AgentName::from("a");
        let scopes = ToolScopes {
            agents: BTreeMap::from([(agent.clone(), scope(&["Read", "Edit"]))]),
            roles: BTreeMap::from([("reviewer".to_owned(), scope(&["Read", "Bash", "wheelhouse:status"]))]),
            ours: BTreeMap::new(),
        };
        let both = scopes.of(&agent, Some("reviewer"));
        assert_eq!(both.own, scope(&["Read"]).own);
        assert!(both.has("status") && !both.has("spawn"));
        assert_eq!(scopes.of(&agent, Some("other")).own, scope(&["Read", "Edit"]).own);
        assert_eq!(scopes.of(&AgentName::from("b"), None), ToolScope::default());
    }
}
