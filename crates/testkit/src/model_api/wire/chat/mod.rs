//! OpenAI Chat Completions: `POST /v1/chat/completions`.

mod answer;
mod rules;

pub(crate) use answer::{stream, whole};
pub(crate) use rules::check;

use serde_json::Value;

use super::super::ask::{Body, Entry, Offered};
use super::super::timeline::Vendor;
use super::{content_blocks, content_text, sounds_failed, text_at};

pub(crate) fn read(body: &Value) -> Body {
    let mut entries = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("system" | "developer") => entries.push(Entry::System(content_text(content))),
            Some("assistant") => {
                entries.push(Entry::Said);
                let calls = message["tool_calls"].as_array().into_iter().flatten();
                entries.extend(calls.map(|call| Entry::Call {
                    id: text_at(call, "id"),
                    name: text_at(&call["function"], "name"),
                }));
            }
            Some("tool") => {
                let text = content_text(content);
                entries.push(Entry::Result {
                    id: text_at(message, "tool_call_id"),
                    failed: sounds_failed(&text),
                    text,
                });
            }
            _ => entries.push(Entry::User(content_blocks(content))),
        }
    }
    let format = &body["response_format"];
    let schema = (format["type"] == "json_schema").then(|| format["json_schema"]["schema"].clone());
    Body {
        vendor: Vendor::Chat,
        model: text_at(body, "model"),
        stream: body["stream"].as_bool().unwrap_or(false),
        include_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
        entries,
        offered: body["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(offered)
            .collect(),
        schema,
    }
}

fn offered(tool: &Value) -> Option<Offered> {
    Some(Offered {
        name: tool["function"]["name"].as_str()?.to_owned(),
        inside: None,
        schema: Some(tool["function"]["parameters"].clone()),
    })
}
