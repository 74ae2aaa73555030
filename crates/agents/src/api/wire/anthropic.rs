//! Anthropic Messages.

use serde_json::{Map, Value, json};
use wheelhouse_core::usage::Usage;

use super::{Ask, Cache, count, inner};
use crate::api::fold::{Folded, Stop};
use crate::api::trouble::Trouble;

/// How many tokens may be answered when nobody says: this API wants a number. Every model since 2025 takes it.
const OUTPUT_TOKENS_MAX: u64 = 16_000;
/// Efforts that the API takes only while the model thinks.
const THINKING_EFFORTS: [&str; 2] = ["xhigh", "max"];

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let marked = |text: &str, mark: bool| {
        let mut block = json!({"type": "text", "text": text});
        if mark {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
        block
    };
    let mut body = json!({
        "model": ask.model,
        "max_tokens": ask.output_tokens_max.unwrap_or(OUTPUT_TOKENS_MAX),
        "stream": true,
    });
    if let Some(role) = ask.role {
        body["system"] = json!([marked(role, ask.cache != Cache::Off)]);
    }
    let prompt = marked(ask.prompt, ask.cache == Cache::Prompt);
    body["messages"] = json!([{"role": "user", "content": [prompt]}]);
    let mut config = Map::new();
    if let Some(effort) = ask.effort {
        config.insert("effort".to_owned(), effort.into());
        if THINKING_EFFORTS.contains(&effort) {
            body["thinking"] = json!({"type": "adaptive"});
        }
    }
    if let Some(schema) = ask.schema {
        config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    if !config.is_empty() {
        body["output_config"] = config.into();
    }
    body
}

pub(super) fn fold(folded: &mut Folded, event: &Value) -> bool {
    match event["type"].as_str() {
        Some("message_start") => {
            let message = &event["message"];
            folded.model = message["model"].as_str().map(str::to_owned);
            folded.count(&message["usage"]);
        }
        Some("content_block_delta") => {
            let delta = &event["delta"];
            if let Some(text) = delta["text"].as_str() {
                folded.say(text);
            } else if let Some(thought) = delta["thinking"].as_str() {
                folded.think(thought);
            }
        }
        Some("message_delta") => {
            folded.count(&event["usage"]);
            if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                folded.stop = Some(match reason {
                    "end_turn" | "stop_sequence" => Stop::Done,
                    "max_tokens" | "model_context_window_exceeded" => Stop::Limit,
                    "refusal" => Stop::Refused,
                    other => Stop::Other(other.to_owned()),
                });
            }
        }
        Some("message_stop") => folded.is_over = true,
        Some("error") => folded.fail(Trouble::in_body(event).unwrap_or_default()),
        Some("content_block_start") => {
            // A compatible server may put the first words here.
            if let Some(text) = event["content_block"]["text"].as_str() {
                folded.say(text);
            }
        }
        Some("ping" | "content_block_stop") => {}
        _ => return without_type(folded, event),
    }
    true
}

/// An error object where an event should be.
fn without_type(folded: &mut Folded, event: &Value) -> bool {
    match Trouble::in_body(event) {
        Some(trouble) => folded.fail(trouble),
        None => return false,
    }
    true
}

/// Input is what no cache served; thinking, where it is told apart, is inside the output.
pub(super) fn usage(raw: &Map<String, Value>) -> Usage {
    let reasoning = inner(raw, "output_tokens_details", "thinking_tokens");
    Usage {
        input: count(raw.get("input_tokens")),
        cache_read: count(raw.get("cache_read_input_tokens")),
        cache_write: count(raw.get("cache_creation_input_tokens")),
        output: count(raw.get("output_tokens")).saturating_sub(reasoning),
        reasoning,
        ..Usage::default()
    }
}
