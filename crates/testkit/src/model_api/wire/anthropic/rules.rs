//! What Anthropic refuses.

use serde_json::Value;

use super::super::super::check::{Findings, Pairing, ToolNames, field, list, model, object_schema, text_not_empty};

/// More cache breakpoints than this are refused.
const CACHE_CONTROL_MAX: usize = 4;

pub(crate) fn check(body: &Value, findings: &mut Findings) {
    model(body, findings);
    let max_tokens = field(body, "max_tokens", Value::is_u64, "a number", findings).and_then(Value::as_u64);
    findings.expect(max_tokens != Some(0), "field_type", || "`max_tokens` is 0".to_owned());
    if let (Some(budget), Some(max)) = (
        body.pointer("/thinking/budget_tokens").and_then(Value::as_u64),
        max_tokens,
    ) {
        findings.expect(budget < max, "thinking_budget", || {
            format!("thinking.budget_tokens {budget} is not below max_tokens {max}")
        });
    }
    for block in body["system"].as_array().into_iter().flatten() {
        text_not_empty(block["text"].as_str(), "system", findings);
    }
    tools(body, findings);
    messages(list(body, "messages", findings), findings);
    let marks = cache_controls(body);
    findings.expect(marks <= CACHE_CONTROL_MAX, "cache_control", || {
        format!("{marks} blocks carry cache_control; at most {CACHE_CONTROL_MAX} may")
    });
}

fn tools(body: &Value, findings: &mut Findings) {
    let mut names = ToolNames::default();
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["name"].as_str();
        names.add(name, findings);
        // Tools of the vendor's own have a type with a date and no schema.
        if matches!(tool["type"].as_str(), None | Some("custom")) {
            object_schema(name.unwrap_or_default(), tool.get("input_schema"), findings);
        }
    }
}

fn messages(messages: &[Value], findings: &mut Findings) {
    let mut pairing = Pairing::default();
    let mut before = "";
    for (at, message) in messages.iter().enumerate() {
        let place = format!("messages[{at}]");
        let role = message["role"].as_str().unwrap_or_default();
        match role {
            "user" => user(&message["content"], &place, &mut pairing, findings),
            "assistant" => {
                findings.expect(before != "assistant", "alternation", || {
                    format!("{place}: two messages of the assistant in a row")
                });
                pairing.close(findings);
                assistant(&message["content"], &place, &mut pairing, findings);
            }
            // Sent in mid-conversation by Claude Code; it may stand between a call and its result.
            "system" => blocks(&message["content"], &place, findings),
            other => findings.add("role", format!("{place}: role `{other}`")),
        }
        findings.expect(at > 0 || role == "user", "alternation", || {
            format!("{place}: the first message is of `{role}`, not of the user")
        });
        if role != "system" {
            before = role;
        }
    }
    pairing.close(findings);
}

fn blocks(content: &Value, place: &str, findings: &mut Findings) {
    match content {
        Value::String(text) => text_not_empty(Some(text), place, findings),
        Value::Array(blocks) => {
            findings.expect(!blocks.is_empty(), "empty_content", || {
                format!("{place} has no content")
            });
            for block in blocks {
                match block["type"].as_str() {
                    Some("text") => text_not_empty(block["text"].as_str(), place, findings),
                    Some(_) => {}
                    None => findings.add("field_missing", format!("{place}: a block has no type")),
                }
            }
        }
        _ => findings.add("field_type", format!("{place}: content is neither text nor a list")),
    }
}

fn user(content: &Value, place: &str, pairing: &mut Pairing, findings: &mut Findings) {
    blocks(content, place, findings);
    let mut other_seen = false;
    for block in content.as_array().into_iter().flatten() {
        if block["type"] == "tool_result" {
            findings.expect(!other_seen, "results_first", || {
                format!("{place}: a tool_result stands after other content")
            });
            pairing.result(block["tool_use_id"].as_str().unwrap_or_default(), findings);
        } else {
            other_seen = true;
        }
    }
    pairing.close(findings);
}

fn assistant(content: &Value, place: &str, pairing: &mut Pairing, findings: &mut Findings) {
    blocks(content, place, findings);
    for block in content.as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("tool_use") => {
                pairing.call(block["id"].as_str().unwrap_or_default(), findings);
                findings.expect(block["input"].is_object(), "call_input", || {
                    format!("{place}: the input of a tool_use is not an object")
                });
            }
            Some("thinking") => {
                let signed = block["signature"]
                    .as_str()
                    .is_some_and(|signature| !signature.is_empty());
                findings.expect(signed, "thinking_signature", || {
                    format!("{place}: a thinking block lacks its signature")
                });
            }
            _ => {}
        }
    }
}

/// Blocks that carry `cache_control`, in tools, system, messages and the contents of tool results.
fn cache_controls(value: &Value) -> usize {
    let lists = [&value["tools"], &value["system"]];
    let messages = value["messages"].as_array().into_iter().flatten();
    let contents = messages.map(|message| &message["content"]);
    lists.into_iter().chain(contents).map(marked).sum()
}

fn marked(list: &Value) -> usize {
    let one = |block: &Value| usize::from(block["cache_control"].is_object()) + marked(&block["content"]);
    list.as_array().map_or(0, |blocks| blocks.iter().map(one).sum())
}
