//! Anthropic Messages: `POST /v1/messages`.

mod answer;
mod rules;

pub(crate) use answer::{stream, whole};
pub(crate) use rules::check;

use serde_json::Value;

use super::super::ask::{Body, Entry, Offered};
use super::super::timeline::Vendor;
use super::{content_blocks, content_text, text_at};

pub(crate) fn read(body: &Value) -> Body {
    let mut entries = vec![Entry::System(content_text(&body["system"]))];
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("system") => entries.push(Entry::System(content_text(&message["content"]))),
            Some("assistant") => read_assistant(&message["content"], &mut entries),
            _ => read_user(&message["content"], &mut entries),
        }
    }
    Body {
        vendor: Vendor::Anthropic,
        model: text_at(body, "model"),
        stream: body["stream"].as_bool().unwrap_or(false),
        include_usage: true,
        entries,
        offered: body["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(offered)
            .collect(),
        schema: body.pointer("/output_config/format/schema").cloned(),
    }
}

fn offered(tool: &Value) -> Option<Offered> {
    Some(Offered {
        name: tool["name"].as_str()?.to_owned(),
        inside: None,
        schema: Some(tool["input_schema"].clone()),
    })
}

fn read_assistant(content: &Value, entries: &mut Vec<Entry>) {
    entries.push(Entry::Said);
    for block in content.as_array().into_iter().flatten() {
        if block["type"] == "tool_use" {
            entries.push(Entry::Call {
                id: text_at(block, "id"),
                name: text_at(block, "name"),
            });
        }
    }
}

fn read_user(content: &Value, entries: &mut Vec<Entry>) {
    for block in content.as_array().into_iter().flatten() {
        if block["type"] == "tool_result" {
            entries.push(Entry::Result {
                id: text_at(block, "tool_use_id"),
                text: content_text(&block["content"]),
                failed: block["is_error"].as_bool().unwrap_or(false),
            });
        }
    }
    let blocks = content_blocks(content);
    if !blocks.is_empty() {
        entries.push(Entry::User(blocks));
    }
}
