//! The tools of an instance: those that its agent's list and its role's leave it, whatever it asks for.

use wheelhouse_core::message::Party;
use wheelhouse_core::tool_scope::ToolScope;
use wheelhouse_core::tool_server;

use crate::api::Faces;
use crate::face::exit;
use crate::face::failure::Failure;

/// What the caller may use. A person may use everything; so does an instance that no list bounds.
pub(crate) async fn of(faces: &Faces, party: Party) -> Result<ToolScope, Failure> {
    let lists = &faces.tools;
    let (Party::Instance(id), false) = (party, lists.agents.is_empty() && lists.roles.is_empty()) else {
        return Ok(ToolScope::default());
    };
    let instance = faces.desk.read(move |reader| Ok(reader.instance(id)?)).await?;
    Ok(instance.map_or_else(ToolScope::default, |instance| {
        lists.of(&instance.spec.agent, instance.spec.role.as_deref())
    }))
}

/// Whether that tool is among them; who asks all the same is told what it has.
pub(crate) fn allows(scope: &ToolScope, tool: &str) -> Result<(), Failure> {
    if scope.has(tool) {
        return Ok(());
    }
    let own: Vec<&str> = scope.ours.iter().flatten().map(String::as_str).collect();
    let has = match own.as_slice() {
        [] => "you have none of these tools".to_owned(),
        some => format!("you have {}", some.join(", ")),
    };
    Err(Failure::new(
        exit::REFUSED,
        format!("`{tool}` is not among the tools of your agent and role; {has}"),
    ))
}

/// Whether a tool of another server is among them.
pub(crate) fn allows_theirs(scope: &ToolScope, name: &str) -> Result<(), Failure> {
    if tool_server::parts(name).is_none_or(|(server, tool)| scope.has_theirs(server, tool)) {
        return Ok(());
    }
    let own: Vec<&str> = scope.theirs.iter().flatten().map(String::as_str).collect();
    let has = match own.as_slice() {
        [] => "you have none of other servers".to_owned(),
        some => format!("you have {}", some.join(", ")),
    };
    Err(Failure::new(
        exit::REFUSED,
        format!("`{name}` is not among the tools of your agent and role; {has}"),
    ))
}
