//! Requests that break the protocol, one rule each.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{FAULT_NAMES, MARKERS, Script, VIOLATIONS, Vendor};

use crate::client::{Ask, read, send};
use crate::vendors::{VENDORS, ask, start};

/// A rule and how to break it.
type Breach = (Vendor, &'static str, fn(&mut Ask));

/// Requests that break one rule each: the rule, and how to break it.
fn broken() -> Vec<Breach> {
    fn without(ask: &mut Ask, header: &str) {
        ask.headers.retain(|(name, _)| *name != header);
    }
    let mut all: Vec<Breach> = Vec::new();
    for vendor in VENDORS {
        all.push((vendor, "content_type", |ask| ask.headers[0].1 = "text/plain".to_owned()));
        all.push((vendor, "auth_missing", |ask| {
            for header in ["authorization", "x-api-key", "x-goog-api-key"] {
                without(ask, header);
            }
        }));
        all.push((vendor, "accept", |ask| {
            ask.headers.push(("accept", "image/png".to_owned()))
        }));
    }
    all.extend([
        (
            Vendor::Anthropic,
            "version",
            (|ask| without(ask, "anthropic-version")) as fn(&mut Ask),
        ),
        (Vendor::Anthropic, "auth_form", |ask| {
            ask.headers.push(("authorization", "Bearer x".to_owned()))
        }),
        (Vendor::Chat, "auth_form", |ask| {
            ask.headers[1].1 = "test-key".to_owned()
        }),
        (Vendor::Anthropic, "field_missing", |ask| {
            ask.body["max_tokens"] = Value::Null
        }),
        (Vendor::Responses, "field_missing", |ask| {
            ask.body["model"] = Value::Null
        }),
        (Vendor::Gemini, "field_missing", |ask| ask.body["contents"] = json!([])),
        (Vendor::Anthropic, "empty_text", |ask| {
            ask.body["messages"][0]["content"] = json!("")
        }),
        (Vendor::Responses, "empty_text", |ask| {
            ask.body["input"][0]["content"] = json!(" ")
        }),
        (Vendor::Chat, "empty_text", |ask| {
            ask.body["messages"][0]["content"] = json!("")
        }),
        (Vendor::Gemini, "empty_text", |ask| {
            ask.body["contents"][0]["parts"][0]["text"] = json!("")
        }),
        (Vendor::Anthropic, "alternation", |ask| {
            ask.body["messages"][0]["role"] = json!("assistant")
        }),
        (Vendor::Gemini, "alternation", |ask| {
            ask.body["contents"][0]["role"] = json!("model")
        }),
        (Vendor::Chat, "role", |ask| {
            ask.body["messages"][0]["role"] = json!("robot")
        }),
        (Vendor::Gemini, "part_kind", |ask| {
            ask.body["contents"][0]["parts"][0] = json!({"sound": 1})
        }),
        (Vendor::Gemini, "alt_sse", |ask| {
            ask.path = ask.path.replace("?alt=sse", "")
        }),
        (Vendor::Chat, "stream_options", |ask| ask.body["stream"] = json!(false)),
        (Vendor::Responses, "part_kind", |ask| {
            ask.body["input"][0]["content"] = json!([{"type": "output_text", "text": "x"}]);
        }),
        (Vendor::Anthropic, "tool_schema", |ask| {
            ask.body["tools"] = json!([{"name": "t", "input_schema": {"type": "string"}}]);
        }),
        (Vendor::Chat, "tool_duplicate", |ask| {
            let tool = json!({"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}});
            ask.body["tools"] = json!([tool, tool]);
        }),
        (Vendor::Responses, "tool_name", |ask| {
            ask.body["tools"] = json!([{"type": "custom", "name": "no spaces please"}]);
        }),
        (Vendor::Anthropic, "cache_control", |ask| {
            let block = json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}});
            ask.body["system"] = json!([block, block, block]);
            ask.body["messages"][0]["content"] = json!([block, block]);
        }),
        (Vendor::Anthropic, "thinking_budget", |ask| {
            ask.body["thinking"] = json!({"type": "enabled", "budget_tokens": 1000});
        }),
        (Vendor::Anthropic, "call_without_result", |ask| {
            let call = json!({"type": "tool_use", "id": "t1", "name": "x", "input": {}});
            push(ask, "messages", json!({"role": "assistant", "content": [call]}));
            push(ask, "messages", json!({"role": "user", "content": "go on"}));
        }),
        (Vendor::Anthropic, "result_without_call", |ask| {
            let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "x"});
            ask.body["messages"][0]["content"] = json!([result]);
        }),
        (Vendor::Anthropic, "results_first", |ask| {
            let call = json!({"type": "tool_use", "id": "t1", "name": "x", "input": {}});
            let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "x"});
            push(ask, "messages", json!({"role": "assistant", "content": [call]}));
            push(
                ask,
                "messages",
                json!({"role": "user", "content": [{"type": "text", "text": "so"}, result]}),
            );
        }),
        (Vendor::Anthropic, "call_id_duplicate", |ask| {
            let call = json!({"type": "tool_use", "id": "t1", "name": "x", "input": {}});
            push(ask, "messages", json!({"role": "assistant", "content": [call, call]}));
        }),
        (Vendor::Anthropic, "thinking_signature", |ask| {
            push(
                ask,
                "messages",
                json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}),
            );
        }),
        (Vendor::Responses, "result_without_call", |ask| {
            push(
                ask,
                "input",
                json!({"type": "function_call_output", "call_id": "c", "output": "x"}),
            );
        }),
        (Vendor::Responses, "call_input", |ask| {
            push(
                ask,
                "input",
                json!({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{"}),
            );
        }),
        (Vendor::Chat, "call_without_result", |ask| {
            let call = json!({"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}});
            push(ask, "messages", json!({"role": "assistant", "tool_calls": [call]}));
            push(ask, "messages", json!({"role": "user", "content": "go on"}));
        }),
        (Vendor::Chat, "result_misplaced", |ask| {
            let call = json!({"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}});
            push(ask, "messages", json!({"role": "assistant", "tool_calls": [call]}));
            push(ask, "messages", json!({"role": "user", "content": "go on"}));
            push(
                ask,
                "messages",
                json!({"role": "tool", "tool_call_id": "c", "content": "x"}),
            );
        }),
        (Vendor::Gemini, "call_without_result", |ask| {
            let call = json!({"functionCall": {"name": "n", "args": {}}});
            push(ask, "contents", json!({"role": "model", "parts": [call]}));
            push(ask, "contents", json!({"role": "user", "parts": [{"text": "go on"}]}));
        }),
        (Vendor::Gemini, "result_without_call", |ask| {
            let response = json!({"functionResponse": {"name": "n", "response": {}}});
            push(ask, "contents", json!({"role": "user", "parts": [response]}));
        }),
        (Vendor::Gemini, "thought_signature", |ask| {
            ask.path = ask.path.replace("/m:", "/gemini-3-pro:");
            push(
                ask,
                "contents",
                json!({"role": "model", "parts": [{"functionCall": {"name": "n"}}]}),
            );
            let response = json!({"functionResponse": {"name": "n", "response": {}}});
            push(ask, "contents", json!({"role": "user", "parts": [response]}));
        }),
    ]);
    all
}

fn push(ask: &mut Ask, list: &str, value: Value) {
    ask.body[list].as_array_mut().unwrap().push(value);
}

#[test]
fn violations_are_recorded_and_bite_when_strict() {
    for (vendor, code, break_it) in broken() {
        let mut request = ask(vendor, "m", "hi", true);
        break_it(&mut request);
        for strict in [false, true] {
            let api = start(if strict { Script::new().strict() } else { Script::new() });
            let answer = request.answer(&api);
            let found: Vec<String> = api.violations().into_iter().map(|(_, found)| found.code).collect();
            assert!(found.iter().any(|found| found == code), "{vendor:?} {code}: {found:?}");
            assert_eq!(answer.status, if strict { 400 } else { 200 }, "{vendor:?} {code}");
            if strict {
                let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                assert!(said.contains(code), "{vendor:?} {code}: {said}");
            }
        }
    }
}

#[test]
fn a_body_that_is_no_json_object_is_always_refused() {
    for body in ["", "{", "[]", "null"] {
        let api = start(Script::new());
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(read(send(&api, request.as_bytes())).status, 400, "{body:?}");
        assert_eq!(api.violations()[0].1.code, "body_json", "{body:?}");
    }
}

#[test]
fn every_rule_that_one_request_can_break_is_broken_above() {
    // A transport error, an unknown path and a misread order have tests of their own; an id is missing like any field.
    let elsewhere = [
        "http",
        "unknown_path",
        "order",
        "body_json",
        "call_id",
        "empty_content",
        "field_type",
    ];
    let broken = broken();
    for (code, _) in VIOLATIONS {
        let covered = broken.iter().any(|(_, broken, _)| *broken == code) || elsewhere.contains(&code);
        assert!(covered, "no request breaks `{code}`");
    }
}

#[test]
fn the_page_names_every_fault_marker_and_rule() {
    let page = include_str!("../../../../docs/fake-model-api.md");
    let faults = FAULT_NAMES.iter().map(|(name, _)| format!("| `{name}` |"));
    let markers = MARKERS.iter().map(|name| format!("`[[{name}:"));
    let rules = VIOLATIONS.iter().map(|(code, says)| format!("| `{code}` | {says} |"));
    let missing: Vec<String> = faults
        .chain(markers)
        .chain(rules)
        .filter(|line| !page.contains(line))
        .collect();
    assert_eq!(missing, [""; 0]);
}
