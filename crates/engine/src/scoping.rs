//! Which tools a try's agent has, by its own list and that of its role; and what is left out of its prompt that way.

use wheelhouse_context::count;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_core::agent::{Assignment, Ended};
use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::Claimed;
use wheelhouse_core::tool_scope::ToolScope;

use crate::attempt::failed;
use crate::prepare::World;

/// Bounds the tools of an assignment. An agent that cannot be held to a list is not asked at all: a list that is not kept
/// would be believed.
pub(crate) async fn bound(
    world: &World,
    claimed: &Claimed,
    assignment: &mut Assignment,
    receipts: &mut Vec<Receipt>,
) -> Result<(), Box<Ended>> {
    let scopes = &world.settings.tools;
    let role = match claimed.spec.work {
        Work::Turn(turn) => {
            let instance = world.read(move |reader| reader.instance(turn.instance)).await?;
            instance.and_then(|instance| instance.spec.role)
        }
        Work::Prompt(_) => None,
        Work::Exec(_) => return Ok(()),
    };
    let scope = scopes.of(&claimed.agent, role.as_deref());
    if scope.own.is_some() {
        let agent = world.roster.agent(&claimed.agent);
        if agent.is_some_and(|agent| !agent.capabilities().own_tools) {
            let of_role = role.map(|role| format!(" or `roles.{role}.tools`")).unwrap_or_default();
            let why = format!(
                "the agent `{0}` cannot be held to a list of its vendor's tools; take them out of `agents.{0}.tools`{of_role}, or \
                 use Claude Code, Gemini CLI or OpenCode",
                claimed.agent
            );
            return Err(failed(Outcome::Unavailable, why));
        }
        assignment.tools.clone_from(&scope.own);
    }
    if scope.ours.as_ref().is_some_and(|ours| ours.is_empty()) {
        assignment.mcp_servers.remove(MCP_NAME);
    }
    receipts.extend(receipt(world, claimed, assignment, &scope));
    Ok(())
}

/// What the tools of Wheelhouse take that it is not shown. How long those of its vendor are nobody can say from here, so a
/// task of a plan, which has none of Wheelhouse's, is only told to which it was held.
fn receipt(world: &World, claimed: &Claimed, assignment: &Assignment, scope: &ToolScope) -> Option<Receipt> {
    if !matches!(claimed.spec.work, Work::Turn(_)) {
        let own = scope.own.as_ref()?;
        let tools = match own.len() {
            0 => "none".to_owned(),
            _ => own.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        let note = format!(
            "held to {tools} of its vendor's tools; how long the schemas of the others are its vendor does not say"
        );
        return Some(Receipt::new(Layer::ToolScope, claimed.spec.key.as_str(), 0, 0).noted(&note));
    }
    let ours = scope.ours.as_ref()?;
    let all = &world.settings.tools.ours;
    if all.is_empty() {
        return None;
    }
    let given = assignment.mcp_servers.contains_key(MCP_NAME);
    if !given && !ours.is_empty() {
        // It leads nobody, and would not have been given any of them.
        return None;
    }
    // Counted here and not before: the vocabulary takes 25 MB, and nobody pays for it who has no list.
    let sizes: Vec<(&str, u64)> = all
        .iter()
        .map(|(name, text)| (name.as_str(), count::tokens(text)))
        .collect();
    let would = sizes.iter().map(|(_, tokens)| tokens).sum();
    let (shown, left_out): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|(name, _)| scope.has(name));
    let sent = shown.iter().map(|(_, tokens)| tokens).sum();
    let receipt = Receipt::new(Layer::ToolScope, claimed.spec.key.as_str(), would, sent).noted("each turn of it");
    Some(left_out.into_iter().fold(receipt, |receipt, (name, tokens)| {
        receipt.without(name, "not in its list of tools", tokens)
    }))
}
