//! OpenAI Responses.

use serde_json::{Map, Value, json};
use wheelhouse_core::usage::Usage;

use super::{Ask, Cache, count, inner, is_strict, nested};
use crate::api::fold::{Folded, Stop};
use crate::api::provider::Dialect;
use crate::api::trouble::Trouble;

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let mut body = json!({"model": ask.model});
    if let Some(role) = ask.role {
        body["instructions"] = role.into();
    }
    let prompt = json!({"type": "input_text", "text": ask.prompt});
    body["input"] = json!([{"type": "message", "role": "user", "content": [prompt]}]);
    body["stream"] = true.into();
    body["store"] = false.into();
    if let Some(max) = ask.output_tokens_max {
        body["max_output_tokens"] = max.into();
    }
    if let Some(effort) = ask.effort {
        body["reasoning"] = json!({"effort": effort});
    }
    if let Some(schema) = ask.schema {
        body["text"] = json!({"format": {
            "type": "json_schema", "name": "answer", "schema": schema, "strict": is_strict(schema),
        }});
    }
    // The cache is the provider's own; the key brings requests with one beginning to one machine.
    if let (Some(role), true, Dialect::Vendor) = (ask.role, ask.cache != Cache::Off, ask.dialect) {
        body["prompt_cache_key"] = format!("wheelhouse-{}", &blake3::hash(role.as_bytes()).to_hex()[..16]).into();
    }
    body
}

pub(super) fn fold(folded: &mut Folded, event: &Value) -> bool {
    let Some(kind) = event["type"].as_str() else {
        return match Trouble::in_body(event) {
            Some(trouble) => {
                folded.fail(trouble);
                true
            }
            None => false,
        };
    };
    let delta = event["delta"].as_str().unwrap_or_default();
    let response = &event["response"];
    match kind {
        "response.output_text.delta" => folded.say(delta),
        "response.refusal.delta" => folded.decline(delta),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => folded.think(delta),
        "response.completed" => end(folded, response, Stop::Done),
        "response.incomplete" => {
            let reason = response["incomplete_details"]["reason"].as_str();
            let stop = match reason {
                Some("content_filter") => Stop::Refused,
                Some("max_output_tokens") => Stop::Limit,
                other => Stop::Other(other.unwrap_or("incomplete").to_owned()),
            };
            end(folded, response, stop);
        }
        "response.failed" => {
            folded.count(&response["usage"]);
            folded.fail(Trouble::in_body(response).unwrap_or_default());
        }
        "error" => folded.fail(Trouble::in_body(event).unwrap_or_default()),
        "response.created" | "response.in_progress" => begin(folded, response),
        "response.queued"
        | "response.output_item.added"
        | "response.output_item.done"
        | "response.content_part.added"
        | "response.content_part.done"
        | "response.output_text.done"
        | "response.output_text.annotation.added"
        | "response.refusal.done"
        | "response.reasoning_text.done"
        | "response.reasoning_summary_text.done"
        | "response.reasoning_summary_part.added"
        | "response.reasoning_summary_part.done" => {}
        _ => return false,
    }
    true
}

fn begin(folded: &mut Folded, response: &Value) {
    if let Some(model) = response["model"].as_str() {
        folded.model = Some(model.to_owned());
    }
}

fn end(folded: &mut Folded, response: &Value, stop: Stop) {
    begin(folded, response);
    folded.count(&response["usage"]);
    folded.stop = Some(stop);
    folded.is_over = true;
}

pub(super) fn usage(raw: &Map<String, Value>) -> Usage {
    nested(
        count(raw.get("input_tokens")),
        inner(raw, "input_tokens_details", "cached_tokens"),
        inner(raw, "input_tokens_details", "cache_write_tokens"),
        count(raw.get("output_tokens")),
        inner(raw, "output_tokens_details", "reasoning_tokens"),
    )
}
