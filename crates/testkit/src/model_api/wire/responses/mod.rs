//! OpenAI Responses: `POST /v1/responses`.

mod answer;
mod rules;

pub(crate) use answer::{stream, whole};
pub(crate) use rules::check;

use serde_json::Value;

use super::super::ask::{Body, Entry, Offered};
use super::super::timeline::Vendor;
use super::{content_blocks, content_text, sounds_failed, text_at};

/// The tool with which a model looks for tools that are not listed. It has a type and no name, and its calls are items of
/// their own. Scripts name it so.
const TOOL_SEARCH: &str = "tool_search";

pub(crate) fn read(body: &Value) -> Body {
    let mut entries = vec![Entry::System(text_at(body, "instructions"))];
    match &body["input"] {
        Value::String(text) => entries.push(Entry::User(vec![text.clone()])),
        input => entries.extend(input.as_array().into_iter().flatten().filter_map(entry)),
    }
    let format = &body["text"]["format"];
    Body {
        vendor: Vendor::Responses,
        model: text_at(body, "model"),
        stream: body["stream"].as_bool().unwrap_or(false),
        include_usage: true,
        entries,
        offered: tools(body).chain(found(body)).flat_map(offered).collect(),
        schema: (format["type"] == "json_schema").then(|| format["schema"].clone()),
    }
}

fn tools(holder: &Value) -> impl Iterator<Item = &Value> {
    holder["tools"].as_array().into_iter().flatten()
}

/// Tools that were deferred are not listed: they stand in what a search for them brought, and can be called from then on.
fn found(body: &Value) -> impl Iterator<Item = &Value> {
    let items = body["input"].as_array().into_iter().flatten();
    items
        .filter(|item| item["type"] == "tool_search_output")
        .flat_map(tools)
}

fn entry(item: &Value) -> Option<Entry> {
    let content = &item["content"];
    match item["type"].as_str().unwrap_or("message") {
        "message" => Some(match item["role"].as_str() {
            Some("system" | "developer") => Entry::System(content_text(content)),
            Some("assistant") => Entry::Said,
            _ => Entry::User(content_blocks(content)),
        }),
        "function_call" | "custom_tool_call" | "local_shell_call" => Some(Entry::Call {
            id: text_at(item, "call_id"),
            name: text_at(item, "name"),
        }),
        "tool_search_call" => Some(Entry::Call {
            id: text_at(item, "call_id"),
            name: TOOL_SEARCH.to_owned(),
        }),
        "tool_search_output" => Some(Entry::Result {
            id: text_at(item, "call_id"),
            failed: false,
            text: item["tools"].to_string(),
        }),
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let text = content_text(&item["output"]);
            Some(Entry::Result {
                id: text_at(item, "call_id"),
                failed: sounds_failed(&text),
                text,
            })
        }
        _ => None,
    }
}

/// A namespace offers the tools inside it.
fn offered(tool: &Value) -> Vec<Offered> {
    let name = text_at(tool, "name");
    match tool["type"].as_str() {
        Some("function") => vec![Offered {
            name,
            inside: None,
            schema: Some(tool["parameters"].clone()),
        }],
        Some("custom") => vec![Offered {
            name,
            inside: None,
            schema: None,
        }],
        Some(TOOL_SEARCH) => vec![Offered {
            name: TOOL_SEARCH.to_owned(),
            inside: None,
            schema: Some(tool["parameters"].clone()),
        }],
        Some("namespace") => {
            let one = |inner: &Value| {
                let inner_name = text_at(inner, "name");
                Offered {
                    name: format!("{name}__{inner_name}"),
                    inside: Some((name.clone(), inner_name)),
                    schema: Some(inner["parameters"].clone()),
                }
            };
            tools(tool).map(one).collect()
        }
        _ => Vec::new(),
    }
}
