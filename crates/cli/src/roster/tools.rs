//! Which tools agents and roles have, by the configuration.

use std::collections::BTreeMap;

use wheelhouse_context::receipt::Layer;
use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::tool_scope::{NONE, ToolScope, ToolScopes};

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
    let known: Vec<String> = ours.keys().cloned().collect();
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

fn exist(key: &str, tools: &[String], known: &[String]) -> Result<(), Failure> {
    for tool in tools {
        let Some((MCP_NAME, name)) = tool.split_once(':') else {
            continue;
        };
        if name == NONE || known.iter().any(|known| known == name) {
            continue;
        }
        let near = match nearest::name(name, known) {
            Some(near) => format!("did you mean `{MCP_NAME}:{near}`?"),
            None => format!("there is {}", nearest::list(known, 20)),
        };
        return Err(Failure::usage(format!(
            "`{key}` names `{tool}`, which is no tool that instances have; {near}"
        )));
    }
    Ok(())
}
