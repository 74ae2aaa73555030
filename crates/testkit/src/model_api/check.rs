//! Protocol checks on every request: what the real APIs refuse, said with a code and a place.
//!
//! This file holds the collector and what all protocols share (head, key, tools, pairing of calls and results); each
//! protocol's own rules stand in its `wire` module. Nothing here changes an answer: see
//! [`super::script::Checks`].

use std::collections::HashSet;

use serde_json::Value;

use super::http::Request;
use super::timeline::{Vendor, Violation};

/// This many violations of one request are kept.
const VIOLATIONS_MAX: usize = 50;

/// Every rule that can be broken: its code, and what it says. In the order of the alphabet.
pub const VIOLATIONS: [(&str, &str); 32] = [
    ("accept", "the accept header contradicts what is asked for"),
    ("alt_sse", "Gemini: streamGenerateContent without alt=sse"),
    (
        "alternation",
        "the conversation begins with the model, or the assistant speaks twice in a row",
    ),
    ("auth_form", "the key comes twice, or not as `Bearer KEY`"),
    ("auth_missing", "no key in the header this API takes it from"),
    ("body_json", "the body is not a JSON object; always answered with 400"),
    ("cache_control", "Anthropic: more than four cache breakpoints"),
    ("call_id", "a tool call without an id"),
    ("call_id_duplicate", "two tool calls with one id"),
    (
        "call_input",
        "the input of a tool call is not an object (or not the JSON text of one)",
    ),
    (
        "call_without_result",
        "a tool call that the next message does not answer",
    ),
    ("content_type", "the content type is not application/json"),
    ("empty_content", "a message without content"),
    ("empty_text", "a text block without text"),
    ("field_missing", "a field that must be there is not, or is empty"),
    ("field_type", "a field is of the wrong type"),
    ("http", "not HTTP/1.1, or past a limit; always refused"),
    (
        "order",
        "an order of the test itself cannot be read: a marker or a fault's name; always answered with 400",
    ),
    ("part_kind", "a part of a kind that does not belong there"),
    ("result_misplaced", "the result of a call comes twice or too late"),
    ("result_without_call", "a result that answers no call before it"),
    ("results_first", "Anthropic: a tool_result stands after other content"),
    ("role", "a role that does not exist"),
    ("stream_options", "OpenAI Chat: stream_options without stream"),
    (
        "thinking_budget",
        "Anthropic: the thinking budget is not below max_tokens",
    ),
    (
        "thinking_signature",
        "Anthropic: a thinking block without its signature",
    ),
    (
        "thought_signature",
        "Gemini 3: a function call since the prompt without its thoughtSignature",
    ),
    ("tool_duplicate", "two tools of one name"),
    ("tool_name", "a tool or a call without a proper name"),
    ("tool_schema", "the input schema of a tool is not of an object"),
    ("unknown_path", "a path that no API has; always answered with 404"),
    ("version", "Anthropic: anthropic-version is not 2023-06-01"),
];

/// Collects what a request breaks.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Violation>);

impl Findings {
    pub(crate) fn add(&mut self, code: &str, detail: impl Into<String>) {
        debug_assert!(
            VIOLATIONS.iter().any(|(known, _)| *known == code),
            "`{code}` is in no list"
        );
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation {
                code: code.to_owned(),
                detail: detail.into(),
            });
        }
    }

    /// Adds unless it holds.
    pub(crate) fn expect(&mut self, holds: bool, code: &str, detail: impl FnOnce() -> String) {
        if !holds {
            self.add(code, detail());
        }
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.0
    }
}

/// The header that carries the key, as it is called in the time line.
pub(crate) fn auth_header(request: &Request) -> Option<String> {
    let names = ["x-api-key", "x-goog-api-key"];
    let named = names.into_iter().find(|name| request.header(name).is_some());
    match (named, request.header("authorization"), request.query_value("key")) {
        (Some(name), _, _) => Some(name.to_owned()),
        (None, Some(_), _) => Some("authorization".to_owned()),
        (None, None, Some(_)) => Some("key in the query".to_owned()),
        (None, None, None) => None,
    }
}

/// Content type, accept, key and version.
pub(crate) fn head(request: &Request, vendor: Vendor, stream: bool, findings: &mut Findings) {
    let content_type = request.header("content-type").unwrap_or_default();
    findings.expect(
        content_type
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")),
        "content_type",
        || format!("content-type is `{content_type}`, not application/json"),
    );
    if let Some(accept) = request.header("accept") {
        let takes = |kind: &str| accept.contains(kind) || accept.contains("*/*");
        // The official SDKs ask for streams with `accept: application/json`, so only a plain contradiction counts.
        let fits = takes("application/json") || (stream && takes("text/event-stream"));
        findings.expect(fits, "accept", || {
            format!("accept is `{accept}` and the request asks for stream: {stream}")
        });
    }
    key(request, vendor, findings);
    if vendor == Vendor::Anthropic {
        let version = request.header("anthropic-version");
        findings.expect(version == Some("2023-06-01"), "version", || {
            format!("anthropic-version is {version:?}, not 2023-06-01")
        });
    }
}

fn key(request: &Request, vendor: Vendor, findings: &mut Findings) {
    let bearer = match request.header("authorization") {
        Some(value) => {
            let token = value.strip_prefix("Bearer ").map(str::trim).unwrap_or_default();
            findings.expect(!token.is_empty(), "auth_form", || {
                "authorization is not `Bearer KEY`".to_owned()
            });
            true
        }
        None => false,
    };
    let filled = |name: &str| request.header(name).is_some_and(|key| !key.trim().is_empty());
    let (there, wanted) = match vendor {
        Vendor::Anthropic => {
            findings.expect(!(bearer && filled("x-api-key")), "auth_form", || {
                "both x-api-key and authorization are there".to_owned()
            });
            (bearer || filled("x-api-key"), "x-api-key or authorization")
        }
        Vendor::Responses | Vendor::Chat => (bearer, "authorization"),
        Vendor::Gemini => (
            bearer || filled("x-goog-api-key") || request.query_value("key").is_some_and(|key| !key.is_empty()),
            "x-goog-api-key",
        ),
    };
    findings.expect(there, "auth_missing", || format!("no key: {wanted} is needed"));
}

/// A field that must be there with this type.
pub(crate) fn field<'a>(
    body: &'a Value,
    key: &str,
    fits: fn(&Value) -> bool,
    type_name: &str,
    findings: &mut Findings,
) -> Option<&'a Value> {
    match body.get(key) {
        None | Some(Value::Null) => {
            findings.add("field_missing", format!("`{key}` is missing"));
            None
        }
        Some(value) if !fits(value) => {
            findings.add("field_type", format!("`{key}` is not {type_name}"));
            None
        }
        Some(value) => Some(value),
    }
}

/// A non-empty list that must be there.
pub(crate) fn list<'a>(body: &'a Value, key: &str, findings: &mut Findings) -> &'a [Value] {
    let found = field(body, key, Value::is_array, "a list", findings).and_then(Value::as_array);
    let found = found.map_or(&[][..], Vec::as_slice);
    findings.expect(!found.is_empty(), "field_missing", || format!("`{key}` is empty"));
    found
}

/// A model name that must be there.
pub(crate) fn model(body: &Value, findings: &mut Findings) {
    let model = field(body, "model", Value::is_string, "text", findings).and_then(Value::as_str);
    findings.expect(model != Some(""), "field_missing", || "`model` is empty".to_owned());
}

/// Names and schemas of the offered tools.
#[derive(Debug, Default)]
pub(crate) struct ToolNames(HashSet<String>);

impl ToolNames {
    pub(crate) fn add(&mut self, name: Option<&str>, findings: &mut Findings) {
        let Some(name) = name else {
            findings.add("tool_name", "a tool has no name");
            return;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        findings.expect(
            !name.is_empty() && name.len() <= 128 && name.chars().all(plain),
            "tool_name",
            || format!("`{name}` is no tool name"),
        );
        findings.expect(self.0.insert(name.to_owned()), "tool_duplicate", || {
            format!("tool `{name}` is offered twice")
        });
    }
}

/// The schema of a tool's input must be of an object.
pub(crate) fn object_schema(name: &str, schema: Option<&Value>, findings: &mut Findings) {
    let kind = schema.and_then(|schema| schema["type"].as_str()).unwrap_or_default();
    findings.expect(kind.eq_ignore_ascii_case("object"), "tool_schema", || {
        format!("the input schema of tool `{name}` is of type `{kind}`, not object")
    });
}

/// Pairs calls with results, for protocols that name calls by id.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    seen: HashSet<String>,
    open: Vec<String>,
}

impl Pairing {
    pub(crate) fn call(&mut self, id: &str, findings: &mut Findings) {
        findings.expect(!id.is_empty(), "call_id", || "a tool call has no id".to_owned());
        findings.expect(self.seen.insert(id.to_owned()), "call_id_duplicate", || {
            format!("tool call id `{id}` occurs twice")
        });
        self.open.push(id.to_owned());
    }

    pub(crate) fn result(&mut self, id: &str, findings: &mut Findings) {
        match self.open.iter().position(|open| open == id) {
            Some(at) => {
                self.open.remove(at);
            }
            None if self.seen.contains(id) => {
                findings.add(
                    "result_misplaced",
                    format!("the result of `{id}` does not follow its call, or comes twice"),
                );
            }
            None => findings.add("result_without_call", format!("the result of `{id}` answers no call")),
        }
    }

    /// From here on no result may come for what is open.
    pub(crate) fn close(&mut self, findings: &mut Findings) {
        for id in self.open.drain(..) {
            findings.add("call_without_result", format!("tool call `{id}` has no result"));
        }
    }
}

/// Text that the APIs refuse.
pub(crate) fn text_not_empty(text: Option<&str>, place: &str, findings: &mut Findings) {
    findings.expect(text.is_some_and(|text| !text.trim().is_empty()), "empty_text", || {
        format!("{place} holds an empty text")
    });
}
