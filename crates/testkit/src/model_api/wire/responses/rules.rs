//! What OpenAI Responses refuses.

use serde_json::Value;

use super::super::super::check::{Findings, Pairing, ToolNames, field, list, model, object_schema, text_not_empty};

pub(crate) fn check(body: &Value, findings: &mut Findings) {
    model(body, findings);
    match &body["input"] {
        Value::String(text) => text_not_empty(Some(text), "input", findings),
        _ => input(list(body, "input", findings), findings),
    }
    let mut names = ToolNames::default();
    for tool in body["tools"].as_array().into_iter().flatten() {
        check_tool(tool, &mut names, findings);
    }
}

fn check_tool(tool: &Value, names: &mut ToolNames, findings: &mut Findings) {
    let name = tool["name"].as_str();
    match tool["type"].as_str() {
        Some("function") => {
            names.add(name, findings);
            object_schema(name.unwrap_or_default(), tool.get("parameters"), findings);
        }
        Some("custom") => names.add(name, findings),
        Some("namespace") => {
            names.add(name, findings);
            let mut inner_names = ToolNames::default();
            for inner in list(tool, "tools", findings) {
                check_tool(inner, &mut inner_names, findings);
            }
        }
        // Tools that the vendor runs itself.
        Some(_) => {}
        None => findings.add("field_missing", "a tool has no type"),
    }
}

fn input(items: &[Value], findings: &mut Findings) {
    let mut pairing = Pairing::default();
    for (at, item) in items.iter().enumerate() {
        let place = format!("input[{at}]");
        match item["type"].as_str().unwrap_or("message") {
            "message" => message(item, &place, findings),
            "function_call" => {
                let arguments = item["arguments"].as_str().unwrap_or_default();
                let is_json = serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object());
                findings.expect(is_json, "call_input", || {
                    format!("{place}: arguments are not the JSON text of an object")
                });
                call(item, &place, &mut pairing, findings);
            }
            "custom_tool_call" => {
                findings.expect(item["input"].is_string(), "call_input", || {
                    format!("{place}: input is not text")
                });
                call(item, &place, &mut pairing, findings);
            }
            "tool_search_call" => {
                findings.expect(item["arguments"].is_object(), "call_input", || {
                    format!("{place}: arguments are no object")
                });
                pairing.call(item["call_id"].as_str().unwrap_or_default(), findings);
            }
            "tool_search_output" => {
                field(item, "tools", Value::is_array, "a list", findings);
                pairing.result(item["call_id"].as_str().unwrap_or_default(), findings);
            }
            "function_call_output" | "custom_tool_call_output" => {
                field(
                    item,
                    "output",
                    |output| output.is_string() || output.is_array(),
                    "text or a list",
                    findings,
                );
                pairing.result(item["call_id"].as_str().unwrap_or_default(), findings);
            }
            // Reasoning, searches, compactions: kept as they are.
            _ => {}
        }
    }
    pairing.close(findings);
}

fn call(item: &Value, place: &str, pairing: &mut Pairing, findings: &mut Findings) {
    let name = item["name"].as_str().unwrap_or_default();
    findings.expect(!name.is_empty(), "tool_name", || {
        format!("{place}: a call names no tool")
    });
    pairing.call(item["call_id"].as_str().unwrap_or_default(), findings);
}

fn message(item: &Value, place: &str, findings: &mut Findings) {
    let role = item["role"].as_str().unwrap_or_default();
    findings.expect(
        matches!(role, "user" | "assistant" | "system" | "developer"),
        "role",
        || format!("{place}: role `{role}`"),
    );
    let text_type = if role == "assistant" {
        "output_text"
    } else {
        "input_text"
    };
    match &item["content"] {
        Value::String(text) => text_not_empty(Some(text), place, findings),
        Value::Array(parts) => {
            findings.expect(!parts.is_empty(), "empty_content", || format!("{place} has no content"));
            for part in parts {
                let kind = part["type"].as_str().unwrap_or_default();
                if matches!(kind, "input_text" | "output_text") {
                    findings.expect(kind == text_type, "part_kind", || {
                        format!("{place}: a part `{kind}` in a message of the {role}")
                    });
                    text_not_empty(part["text"].as_str(), place, findings);
                }
            }
        }
        _ => findings.add("field_type", format!("{place}: content is neither text nor a list")),
    }
}
