//! What Gemini refuses.

use serde_json::Value;

use super::super::super::check::{Findings, ToolNames, list, object_schema, text_not_empty};
use super::super::super::http::Request;
use super::{functions, model_and_method};

pub(crate) fn check(request: &Request, body: &Value, findings: &mut Findings) {
    let (model, method) = model_and_method(&request.path).unwrap_or_default();
    findings.expect(!model.is_empty(), "field_missing", || {
        "the path names no model".to_owned()
    });
    if method == "streamGenerateContent" {
        findings.expect(request.query_value("alt") == Some("sse"), "alt_sse", || {
            "streamGenerateContent without alt=sse".to_owned()
        });
    }
    let mut names = ToolNames::default();
    for function in functions(body) {
        let name = function["name"].as_str();
        names.add(name, findings);
        // A function without parameters has no schema at all.
        let schema = function
            .get("parametersJsonSchema")
            .or_else(|| function.get("parameters"));
        if schema.is_some() {
            object_schema(name.unwrap_or_default(), schema, findings);
        }
    }
    contents(list(body, "contents", findings), model, findings);
}

fn contents(contents: &[Value], model: &str, findings: &mut Findings) {
    let mut open: Vec<&str> = Vec::new();
    let prompt = contents.iter().rposition(is_prompt).unwrap_or(0);
    for (at, content) in contents.iter().enumerate() {
        let place = format!("contents[{at}]");
        let parts = list(content, "parts", findings);
        let answers: Vec<&str> = named(parts, "functionResponse");
        match content["role"].as_str() {
            Some("model") => {
                findings.expect(at > 0, "alternation", || "contents begin with the model".to_owned());
                missing(&mut open, &place, findings);
                open = named(parts, "functionCall");
                if at > prompt {
                    signatures(parts, model, &place, findings);
                }
            }
            Some("user" | "function") | None => {
                for name in answers {
                    match open.iter().position(|call| *call == name) {
                        Some(call) => {
                            open.remove(call);
                        }
                        None => findings.add(
                            "result_without_call",
                            format!("{place}: the response of `{name}` answers no call of the turn before"),
                        ),
                    }
                }
                missing(&mut open, &place, findings);
            }
            Some(other) => findings.add("role", format!("{place}: role `{other}`")),
        }
        for part in parts {
            check_part(part, &place, findings);
        }
    }
    missing(&mut open, "the end", findings);
}

fn is_prompt(content: &Value) -> bool {
    let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
    content["role"] != "model" && named(parts, "functionResponse").is_empty()
}

fn missing(open: &mut Vec<&str>, place: &str, findings: &mut Findings) {
    for name in open.drain(..) {
        findings.add(
            "call_without_result",
            format!("{place}: the call of `{name}` before it has no response"),
        );
    }
}

fn named<'a>(parts: &'a [Value], kind: &str) -> Vec<&'a str> {
    let found = parts.iter().filter_map(|part| part.get(kind));
    found.map(|call| call["name"].as_str().unwrap_or_default()).collect()
}

fn check_part(part: &Value, place: &str, findings: &mut Findings) {
    const KINDS: [&str; 7] = [
        "text",
        "functionCall",
        "functionResponse",
        "inlineData",
        "fileData",
        "executableCode",
        "codeExecutionResult",
    ];
    let kinds = KINDS.iter().filter(|kind| part.get(**kind).is_some()).count();
    findings.expect(kinds == 1, "part_kind", || {
        format!("{place}: a part holds {kinds} kinds of data")
    });
    if let Some(text) = part.get("text") {
        let signed = part.get("thoughtSignature").is_some();
        if !signed {
            text_not_empty(text.as_str(), place, findings);
        }
    }
    for (kind, key) in [("functionCall", "args"), ("functionResponse", "response")] {
        let inside = part.get(kind).and_then(|call| call.get(key));
        findings.expect(inside.is_none_or(Value::is_object), "call_input", || {
            format!("{place}: {kind}.{key} is not an object")
        });
    }
}

/// From Gemini 3 on, the first call of each step since the prompt must come back with its signature.
fn signatures(parts: &[Value], model: &str, place: &str, findings: &mut Findings) {
    if !model.contains("gemini-3") {
        return;
    }
    let first = parts.iter().find(|part| part.get("functionCall").is_some());
    let signed = first.is_none_or(|part| part["thoughtSignature"].as_str().is_some_and(|text| !text.is_empty()));
    findings.expect(signed, "thought_signature", || {
        format!("{place}: the function call lacks its thoughtSignature")
    });
}
