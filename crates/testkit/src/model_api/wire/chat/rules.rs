//! What OpenAI Chat refuses.

use serde_json::Value;

use super::super::super::check::{Findings, Pairing, ToolNames, list, model, object_schema, text_not_empty};

pub(crate) fn check(body: &Value, findings: &mut Findings) {
    model(body, findings);
    let streams = body["stream"].as_bool().unwrap_or(false);
    findings.expect(streams || body["stream_options"].is_null(), "stream_options", || {
        "`stream_options` is there, but `stream` is not true".to_owned()
    });
    let mut names = ToolNames::default();
    for tool in body["tools"].as_array().into_iter().flatten() {
        findings.expect(tool["type"] == "function", "field_type", || {
            "a tool is not a function".to_owned()
        });
        let function = &tool["function"];
        let name = function["name"].as_str();
        names.add(name, findings);
        if let Some(parameters) = function.get("parameters") {
            object_schema(name.unwrap_or_default(), Some(parameters), findings);
        }
    }
    messages(list(body, "messages", findings), findings);
}

fn messages(messages: &[Value], findings: &mut Findings) {
    let mut pairing = Pairing::default();
    for (at, message) in messages.iter().enumerate() {
        let place = format!("messages[{at}]");
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" {
            pairing.close(findings);
        }
        match role {
            "system" | "developer" | "user" => content(&message["content"], &place, findings),
            "assistant" => assistant(message, &place, &mut pairing, findings),
            "tool" => {
                let has_content = message["content"].is_string() || message["content"].is_array();
                findings.expect(has_content, "field_missing", || {
                    format!("{place}: a result has no content")
                });
                pairing.result(message["tool_call_id"].as_str().unwrap_or_default(), findings);
            }
            other => findings.add("role", format!("{place}: role `{other}`")),
        }
    }
    pairing.close(findings);
}

fn content(content: &Value, place: &str, findings: &mut Findings) {
    match content {
        Value::String(text) => text_not_empty(Some(text), place, findings),
        Value::Array(parts) => {
            findings.expect(!parts.is_empty(), "empty_content", || format!("{place} has no content"));
            for part in parts.iter().filter(|part| part["type"] == "text") {
                text_not_empty(part["text"].as_str(), place, findings);
            }
        }
        _ => findings.add("field_missing", format!("{place} has no content")),
    }
}

fn assistant(message: &Value, place: &str, pairing: &mut Pairing, findings: &mut Findings) {
    let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    let says = message["content"].as_str().is_some_and(|text| !text.is_empty()) || message["content"].is_array();
    let refuses = message["refusal"].is_string();
    findings.expect(says || refuses || !calls.is_empty(), "empty_text", || {
        format!("{place}: the assistant neither says nor calls anything")
    });
    for call in calls {
        let name = call["function"]["name"].as_str().unwrap_or_default();
        findings.expect(!name.is_empty(), "tool_name", || {
            format!("{place}: a call names no tool")
        });
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let is_json = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
        findings.expect(is_json, "call_input", || {
            format!("{place}: arguments are not the JSON text of an object")
        });
        pairing.call(call["id"].as_str().unwrap_or_default(), findings);
    }
}
