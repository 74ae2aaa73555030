//! Finds tools by what they should do, among those of every set.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use wheelhouse_context::receipt::Layer;
use wheelhouse_context::tools::{Catalogue, Detail, Need, Tool as Described, show};

use super::call::{Answer, Call};
use super::lean::FindArgs;
use super::tool::{self, TOOLS, Toolset};
use super::{rights, scope, use_tool};
use crate::face::failure::Failure;
use crate::face::tool_search::{self, Wish};

/// How many tools an answer names.
const FOUND_MAX: usize = 4;

/// What was found.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Found {
    tools: Vec<Value>,
    /// Other servers, where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    servers: Vec<Value>,
}

/// Our own tools, and those of other systems' names: the second say much the same, and would crowd out the first.
static CATALOGUES: LazyLock<[Catalogue; 2]> = LazyLock::new(|| {
    let of = |ours: bool| {
        let described = TOOLS.iter().filter(|tool| is_ours(tool) == ours).map(|tool| Described {
            server: String::new(),
            name: tool.name.to_owned(),
            description: format!("{} {}", tool.about, tool.also),
            schema: takes(tool.name),
        });
        Catalogue::new(described.collect())
    };
    [of(true), of(false)]
});

fn is_ours(tool: &tool::Tool) -> bool {
    match tool.set {
        Toolset::Lean | Toolset::Full => true,
        Toolset::Madrox | Toolset::Tasks => false,
    }
}

/// The tools that a need is about: one of that very name, then our own, then those of other names.
fn found(text: &str) -> Vec<&'static tool::Tool> {
    let need = Need {
        text,
        server: None,
        limit: FOUND_MAX,
    };
    let named = tool::named(text.trim(), Toolset::Full).ok();
    let by_words = CATALOGUES
        .iter()
        .flat_map(|catalogue| catalogue.find(&need))
        .filter_map(|found| tool::named(&found.tool.name, Toolset::Full).ok())
        .filter(|tool| named.is_none_or(|named| named.name != tool.name));
    named.into_iter().chain(by_words).take(FOUND_MAX).collect()
}

fn takes(name: &str) -> Value {
    tool::as_listed(name).map_or(Value::Null, |listed| Value::Object((*listed.input_schema).clone()))
}

/// One of ours as it is shown.
fn shown(tool: &tool::Tool, detail: Detail) -> Value {
    let (name, about) = (tool.name, tool.about);
    match detail {
        Detail::Full => json!({ "name": name, "description": about, "inputSchema": takes(name) }),
        Detail::Name | Detail::Signature => {
            let described = Described {
                server: String::new(),
                name: name.to_owned(),
                description: about.to_owned(),
                schema: takes(name),
            };
            show(&described, detail).into()
        }
    }
}

/// Finds tools: ours, and those of other servers, which have the name of their server before theirs. Ours are shown whole
/// where there are no others.
pub(crate) async fn find(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: FindArgs = tool::arguments(call)?;
    let scope = scope::of(call.faces, call.party()).await?;
    let is_alone = !call.faces.servers.any();
    let usual = if is_alone { Detail::Full } else { Detail::Signature };
    let detail = tool_search::detail(asked.detail.as_deref(), usual)?;
    let ours = || {
        let ours = found(&asked.query).into_iter().filter(|tool| scope.has(tool.name));
        ours.map(|tool| shown(tool, detail)).collect()
    };
    let mut tools: Vec<Value> = if asked.server.is_none() { ours() } else { Vec::new() };
    if is_alone && asked.server.is_none() {
        let servers = Vec::new();
        return Answer::of(&Found { tools, servers });
    }
    let party = call.party();
    let instance = rights::who(call).await?.instance;
    let wish = Wish {
        query: &asked.query,
        server: asked.server.as_deref(),
        detail,
        limit: asked.limit.unwrap_or(tool_search::FOUND),
        pruned: use_tool::limits_of(call.faces, instance.as_ref()).is_on(Layer::SchemaPruning),
        account: instance.is_some(),
    };
    let sees = |server: &str, tool: &str| scope.has_theirs(server, tool);
    let theirs = call.faces.servers.search(&wish, &sees).await?;
    let who = party.to_string();
    call.faces.servers.was_shown(&who, &asked.query, theirs.names);
    use_tool::report(call.faces, party, theirs.receipt.into_iter().collect()).await;
    // What is found elsewhere comes before what of ours only sounds like it.
    tools.splice(0..0, theirs.tools);
    let servers = theirs.servers;
    Answer::of(&Found { tools, servers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> Vec<String> {
        super::found(query).iter().map(|tool| tool.name.to_owned()).collect()
    }

    #[test]
    fn the_exact_name_comes_first_and_intents_find_their_tool() {
        for tool in TOOLS.iter() {
            assert_eq!(found(tool.name)[0], tool.name);
        }
        for (intent, name) in [
            ("stop a running task", "cancel"),
            ("read the raw stdout of a task", "logs"),
            ("try failed tasks again", "retry"),
            ("which agents and models are there", "agents"),
            ("validate a plan", "check_plan"),
            ("what needs approval", "questions"),
            ("continue a paused run", "resume"),
            ("get a second opinion", "ask"),
            ("have several agents vote", "coordinate"),
            ("stop all orchestration", "stop"),
            ("limit how many instances there are", "set_policy"),
            ("where is this function defined", "find_code"),
            ("total cost so far", "budgets"),
        ] {
            let found = found(intent);
            assert!(found.contains(&name.to_owned()), "{intent}: {found:?}");
        }
        for (intent, name) in [
            ("what is on the tmux pane", "get_tmux_pane_content"),
            ("end_task", "end_task"),
        ] {
            let found = found(intent);
            assert!(found.contains(&name.to_owned()), "{intent}: {found:?}");
        }
        assert!(found("xyzzy").is_empty());
    }
}
