//! Which tools agents and roles have, by the configuration.

use std::collections::BTreeMap;

use wheelhouse_context::receipt::Layer;
use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::tool_scope::{NONE, ToolScope, ToolScopes, of_server};

use crate::config::Settings;
use crate::failure::Failure;
use crate::nearest;

/// The lists, each held against the tools that there are. What a vendor has is the vendor's to know.
pub(crate) fn tool_scopes(settings: &Settings) -> Result<ToolScopes, Failure> {
    if settings.roles.is_empty() && settings.agents.values().all(|agent| agent.tools.is_none()) {
        // Nothing to hold against the tools, so their schemas are not made.
        return Ok(ToolScopes::default());
    }
    let ours = wheelhouse_server::instance_tools();
    let known = Known {
        ours: ours.keys().cloned().collect(),
        servers: settings.tool_servers.servers.keys().cloned().collect(),
    };
    let mut agents = BTreeMap::new();
    for (name, agent) in &settings.agents {
        let Some(tools) = &agent.tools else { continue };
        exist(&format!("agents.{name}.tools"), tools, &known)?;
        let name = AgentName(name.clone());
        if settings.context.of(&name).is_on(Layer::ToolScope) {
            agents.insert(name, ToolScope::of(tools));
        }
    }
    let mut roles = BTreeMap::new();
    for (name, tools) in &settings.roles {
        exist(&format!("roles.{name}.tools"), tools, &known)?;
        if settings.context.all.is_on(Layer::ToolScope) {
            roles.insert(name.clone(), ToolScope::of(tools));
        }
    }
    Ok(ToolScopes { agents, roles, ours })
}

/// What lists can name.
struct Known {
    ours: Vec<String>,
    servers: Vec<String>,
}

fn exist(key: &str, tools: &[String], known: &Known) -> Result<(), Failure> {
    for tool in tools {
        let (exist, name, whole, what): (_, _, fn(&str) -> String, _) = match (tool.split_once(':'), of_server(tool)) {
            (Some((MCP_NAME, name)), _) => {
                let whole: fn(&str) -> String = |near| format!("{MCP_NAME}:{near}");
                (&known.ours, name, whole, "which is no tool that instances have")
            }
            (_, Some((server, _))) => {
                let whole: fn(&str) -> String = |near| format!("{near}/*");
                let what = "whose server is none of `[mcp.servers.NAME]`";
                (&known.servers, server, whole, what)
            }
            _ => continue,
        };
        if name == NONE || name == "*" || exist.iter().any(|known| known == name) {
            continue;
        }
        let near = match nearest::name(name, exist) {
            Some(near) => format!("did you mean `{}`?", whole(near)),
            None => format!("there is {}", nearest::list(exist, 20)),
        };
        return Err(Failure::usage(format!("`{key}` names `{tool}`, {what}; {near}")));
    }
    Ok(())
}
