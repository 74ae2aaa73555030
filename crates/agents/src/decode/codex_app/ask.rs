//! What the app-server asks its host, and the results that answer it.

use std::collections::HashMap;

use serde_json::{Value, json};
use wheelhouse_core::agent::{AgentEvent, Reply};

use crate::decode::{DETAIL_MAX, cut};

/// An open request of the server.
#[derive(Clone, Debug)]
pub enum Ask {
    /// May this command run, may these files be changed?
    Decision,
    /// The older form of the same.
    Review,
    /// More rights for the sandbox.
    Rights(Value),
    /// May this MCP tool run?
    McpTool,
    /// A form of an MCP server, with the names of its fields.
    Form(Vec<String>),
    /// Questions of the model, with their ids.
    Questions(Vec<String>),
}

impl Ask {
    /// The `result` that answers it.
    pub fn answer(&self, reply: &Reply) -> Value {
        let allowed = matches!(reply, Reply::Allow);
        match self {
            // Only `Allow` allows; `decline` lets the turn go on where `cancel` would end it.
            Ask::Decision => json!({"decision": if allowed { "accept" } else { "decline" }}),
            Ask::Review => json!({"decision": if allowed { "approved" } else { "denied" }}),
            Ask::Rights(rights) if allowed => json!({"permissions": rights, "scope": "turn"}),
            Ask::Rights(_) => json!({"permissions": {}, "scope": "turn"}),
            Ask::McpTool if allowed => json!({"action": "accept", "content": {}}),
            Ask::McpTool => json!({"action": "decline"}),
            Ask::Form(fields) => match reply {
                Reply::Words(words) => json!({"action": "accept", "content": filled(fields, words)}),
                Reply::Allow if fields.is_empty() => json!({"action": "accept", "content": {}}),
                Reply::Allow | Reply::Deny(_) => json!({"action": "decline"}),
            },
            Ask::Questions(ids) => {
                let words = match reply {
                    Reply::Words(words) | Reply::Deny(words) => words.as_str(),
                    Reply::Allow => "",
                };
                let answers: serde_json::Map<String, Value> =
                    ids.iter().map(|id| (id.clone(), json!({"answers": [words]}))).collect();
                json!({ "answers": answers })
            }
        }
    }
}

/// Reads a request; none when this version does not know it. `changes` are the paths of the file changes under way.
pub(super) fn read(
    method: &str,
    id: &str,
    params: &Value,
    changes: &HashMap<String, String>,
) -> Option<(Ask, AgentEvent)> {
    let text = |name: &str| cut(params[name].as_str().unwrap_or_default(), DETAIL_MAX);
    let permission = |tool: &str, detail: String| AgentEvent::Permission {
        request: id.to_owned(),
        tool: tool.to_owned(),
        detail,
    };
    let question = |text: String| AgentEvent::Question {
        request: id.to_owned(),
        text,
    };
    Some(match method {
        "item/commandExecution/requestApproval" => {
            let command = text("command");
            let detail = if command.is_empty() { text("reason") } else { command };
            (Ask::Decision, permission("shell", detail))
        }
        "item/fileChange/requestApproval" => {
            let paths = changes.get(params["itemId"].as_str().unwrap_or_default()).cloned();
            (
                Ask::Decision,
                permission("edit", paths.unwrap_or_else(|| text("reason"))),
            )
        }
        "item/permissions/requestApproval" => {
            let rights = params["permissions"].clone();
            let detail = cut(&format!("{} {rights}", text("reason")), DETAIL_MAX);
            (Ask::Rights(rights), permission("permissions", detail))
        }
        "mcpServer/elicitation/request" => elicitation(params, &permission, &question),
        "item/tool/requestUserInput" => {
            let questions = params["questions"].as_array();
            let questions: Vec<&Value> = questions.into_iter().flatten().collect();
            let ids = questions
                .iter()
                .filter_map(|question| question["id"].as_str().map(str::to_owned));
            let words: Vec<_> = questions
                .iter()
                .filter_map(|question| question["question"].as_str())
                .collect();
            (
                Ask::Questions(ids.collect()),
                question(cut(&words.join("\n"), DETAIL_MAX)),
            )
        }
        "execCommandApproval" => (
            Ask::Review,
            permission("shell", cut(&params["command"].to_string(), DETAIL_MAX)),
        ),
        "applyPatchApproval" => {
            let paths = params["fileChanges"]
                .as_object()
                .map(|changes| changes.keys().cloned().collect::<Vec<_>>());
            (
                Ask::Review,
                permission("edit", cut(&paths.unwrap_or_default().join(", "), DETAIL_MAX)),
            )
        }
        _ => return None,
    })
}

fn elicitation(
    params: &Value,
    permission: &impl Fn(&str, String) -> AgentEvent,
    question: &impl Fn(String) -> AgentEvent,
) -> (Ask, AgentEvent) {
    let server = params["serverName"].as_str().unwrap_or_default();
    let meta = &params["_meta"];
    if meta["codex_approval_kind"].as_str() == Some("mcp_tool_call") {
        let tool = format!("{server}.{}", meta["tool_name"].as_str().unwrap_or_default());
        let detail = cut(&meta["tool_params"].to_string(), DETAIL_MAX);
        return (Ask::McpTool, permission(&tool, detail));
    }
    let properties = params["requestedSchema"]["properties"].as_object();
    let fields: Vec<String> = properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    let message = params["message"].as_str().unwrap_or_default();
    let text = cut(&format!("{server} asks: {message} ({})", fields.join(", ")), DETAIL_MAX);
    (Ask::Form(fields), question(text))
}

/// A form filled in: a JSON object as it is, other words into every field.
fn filled(fields: &[String], words: &str) -> Value {
    if let Ok(object @ Value::Object(_)) = serde_json::from_str(words) {
        return object;
    }
    Value::Object(fields.iter().map(|field| (field.clone(), words.into())).collect())
}
