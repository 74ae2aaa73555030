//! Which tools an agent has: the fewer it does not need, the less it pays for and the less can go wrong.
//!
//! A list belongs to an agent or to a role, and names tools in their vendor's words (`Read`, `grep`), Wheelhouse's own as
//! `wheelhouse:status`, and those of other MCP servers as `db/query` or `db/*`. Each of the three kinds is bounded only where the
//! list names one of it; `none`, `wheelhouse:none` and `*/none` name a kind and no tool of it. Backends carry the first to their
//! vendor, the MCP server holds instances to the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::caller::MCP_NAME;
use crate::ids::AgentName;
use crate::tool_server::{self, BETWEEN};

/// The word for no tool at all.
pub const NONE: &str = "none";

/// What one agent may use. Where a kind is absent, all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolScope {
    /// Its vendor's tools.
    pub own: Option<BTreeSet<String>>,
    /// Those of Wheelhouse.
    pub ours: Option<BTreeSet<String>>,
    /// Those of other MCP servers, as `SERVER/TOOL` or `SERVER/*`.
    pub theirs: Option<BTreeSet<String>>,
}

/// Every tool of a server.
const ALL: &str = "*";
/// What is needed to use the tools of other servers at all.
const FOR_THEIRS: [&str; 2] = ["find_tools", "use_tool"];

/// Whether a name of a list means a tool of another server; gives both.
pub fn of_server(name: &str) -> Option<(&str, &str)> {
    match name.strip_prefix("*/") {
        Some(NONE) => Some((ALL, NONE)),
        _ => tool_server::parts(name),
    }
}

impl ToolScope {
    /// The scope that a list comes to.
    pub fn of(names: &[String]) -> ToolScope {
        let mut scope = ToolScope::default();
        for name in names {
            let (kind, name, tool) = match (name.split_once(':'), of_server(name)) {
                (Some((MCP_NAME, ours)), _) => (&mut scope.ours, ours, ours),
                (_, Some((_, tool))) => (&mut scope.theirs, name.as_str(), tool),
                _ => (&mut scope.own, name.as_str(), name.as_str()),
            };
            let kind = kind.get_or_insert_default();
            if tool != NONE {
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
        let theirs = match (self.theirs, &other.theirs) {
            (Some(one), Some(other)) => {
                let of_one = one.iter().filter(|name| is_covered(other, name));
                let of_other = other.iter().filter(|name| is_covered(&one, name));
                Some(of_one.chain(of_other).cloned().collect())
            }
            (one, other) => one.or_else(|| other.clone()),
        };
        ToolScope {
            own: both(self.own, &other.own),
            ours: both(self.ours, &other.ours),
            theirs,
        }
    }

    /// Whether a tool of Wheelhouse is among them. Who is given tools of other servers can find and use those.
    pub fn has(&self, tool: &str) -> bool {
        let is_needed = FOR_THEIRS.contains(&tool) && self.theirs.as_ref().is_some_and(|theirs| !theirs.is_empty());
        is_needed || self.ours.as_ref().is_none_or(|ours| ours.contains(tool))
    }

    /// Whether a tool of another server is among them.
    pub fn has_theirs(&self, server: &str, tool: &str) -> bool {
        let name = format!("{server}{BETWEEN}{tool}");
        self.theirs.as_ref().is_none_or(|theirs| is_covered(theirs, &name))
    }
}

fn is_covered(names: &BTreeSet<String>, name: &str) -> bool {
    let all = || tool_server::parts(name).map(|(server, _)| format!("{server}{BETWEEN}{ALL}"));
    names.contains(name) || all().is_some_and(|all| names.contains(&all))
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
    fn tools_of_other_servers_are_a_kind_of_their_own() {
        let some = scope(&["db/query", "git/*", "wheelhouse:status"]);
        assert!(some.has_theirs("db", "query") && some.has_theirs("git", "a/b"));
        assert!(!some.has_theirs("db", "drop") && !some.has_theirs("web", "get"));
        assert!(some.own.is_none(), "its vendor's are not bounded");
        assert!(some.has("use_tool") && some.has("find_tools") && some.has("status") && !some.has("spawn"));
        let none = scope(&["*/none", "wheelhouse:status"]);
        assert!(!none.has_theirs("db", "query") && !none.has("use_tool"));
        assert!(scope(&["Read"]).has_theirs("db", "query"));
        let both = some.within(&scope(&["db/*", "git/log"]));
        assert!(both.has_theirs("db", "query") && both.has_theirs("git", "log"));
        assert!(!both.has_theirs("db", "drop") && !both.has_theirs("git", "push"));
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
