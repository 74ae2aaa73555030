//! The four wire formats: how a request is written and how an event of its answer is read. One module a format; pure.
//!
//! What a provider leaves out is absent, what it adds is ignored, and an event of an unknown kind is not understood:
//! nothing here is fatal.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use serde_json::{Map, Value};
use wheelhouse_core::usage::Usage;

use super::fold::Folded;
use super::provider::{Dialect, Wire};

/// What is asked of a model.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    /// The stable beginning, which a cache can hold.
    pub(super) role: Option<&'a str>,
    pub(super) prompt: &'a str,
    pub(super) effort: Option<&'a str>,
    /// How many tokens it may answer.
    pub(super) output_tokens_max: Option<u64>,
    /// What the answer must be valid against.
    pub(super) schema: Option<&'a Value>,
    pub(super) cache: Cache,
    pub(super) dialect: Dialect,
}

/// How much of a request is marked for the provider's cache, where marking is up to the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cache {
    /// Nothing: a cache write that nobody reads costs more than none.
    Off,
    /// The role, which all tasks of an agent share.
    #[default]
    Role,
    /// The prompt too, for a long one that is asked again within minutes.
    Prompt,
}

/// The path below the base URL, with its query.
pub(super) fn path(wire: Wire, model: &str) -> String {
    match wire {
        Wire::Anthropic => "/messages".to_owned(),
        Wire::Responses => "/responses".to_owned(),
        Wire::Chat => "/chat/completions".to_owned(),
        Wire::Gemini => format!("/models/{}:streamGenerateContent?alt=sse", in_path(model)),
    }
}

/// The header that carries the key, and what stands before it.
pub(super) fn key_header(wire: Wire) -> (&'static str, &'static str) {
    match wire {
        Wire::Anthropic => ("x-api-key", ""),
        Wire::Responses | Wire::Chat => ("authorization", "Bearer "),
        Wire::Gemini => ("x-goog-api-key", ""),
    }
}

/// Further headers.
pub(super) fn headers(wire: Wire) -> &'static [(&'static str, &'static str)] {
    match wire {
        Wire::Anthropic => &[("anthropic-version", "2023-06-01")],
        Wire::Responses | Wire::Chat | Wire::Gemini => &[],
    }
}

/// The body.
pub(super) fn body(wire: Wire, ask: &Ask<'_>) -> Value {
    match wire {
        Wire::Anthropic => anthropic::body(ask),
        Wire::Responses => responses::body(ask),
        Wire::Chat => chat::body(ask),
        Wire::Gemini => gemini::body(ask),
    }
}

/// Takes an event into what has come; false when it is not understood.
pub(super) fn fold(folded: &mut Folded, event: &Value) -> bool {
    match folded.wire {
        Wire::Anthropic => anthropic::fold(folded, event),
        Wire::Responses => responses::fold(folded, event),
        Wire::Chat => chat::fold(folded, event),
        Wire::Gemini => gemini::fold(folded, event),
    }
}

/// The five numbers that do not overlap, in a provider's own.
pub(super) fn usage(wire: Wire, raw: &Map<String, Value>) -> Usage {
    match wire {
        Wire::Anthropic => anthropic::usage(raw),
        Wire::Responses => responses::usage(raw),
        Wire::Chat => chat::usage(raw),
        Wire::Gemini => gemini::usage(raw),
    }
}

/// A count; absent ones are none.
fn count(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}

/// A count inside an object.
fn inner(raw: &Map<String, Value>, object: &str, field: &str) -> u64 {
    count(raw.get(object).and_then(|object| object.get(field)))
}

/// Numbers in which the cache is inside the input, and reasoning inside the output.
fn nested(input: u64, cache_read: u64, cache_write: u64, output: u64, reasoning: u64) -> Usage {
    Usage {
        input: input.saturating_sub(cache_read).saturating_sub(cache_write),
        cache_read,
        cache_write,
        output: output.saturating_sub(reasoning),
        reasoning,
        ..Usage::default()
    }
}

/// Whether a schema fulfils what OpenAI asks of a strict one: every object closed, all its properties required.
fn is_strict(schema: &Value) -> bool {
    let children = |value: &Value| match value {
        Value::Object(map) => map.values().all(is_strict),
        Value::Array(list) => list.iter().all(is_strict),
        _ => true,
    };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return children(schema);
    };
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    schema["additionalProperties"] == false
        && properties.keys().all(|name| required.iter().any(|one| one == name))
        && children(schema)
}

/// A model's name as a segment of a path.
fn in_path(model: &str) -> String {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (byte as char).to_string(),
        other => format!("%{other:02X}"),
    };
    model.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests;
