//! OpenAI Chat Completions, and what the many compatible servers make of it.

use serde_json::{Map, Value, json};
use wheelhouse_core::usage::Usage;

use super::{Ask, count, inner, is_strict, nested};
use crate::api::fold::{Folded, Stop};
use crate::api::provider::Dialect;
use crate::api::trouble::Trouble;

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let mut messages = Vec::new();
    if let Some(role) = ask.role {
        messages.push(json!({"role": "system", "content": role}));
    }
    messages.push(json!({"role": "user", "content": ask.prompt}));
    let mut body = json!({
        "model": ask.model,
        "messages": messages,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    if let Some(max) = ask.output_tokens_max {
        // OpenAI's own models want the newer name, most others know only the older.
        let name = match ask.dialect {
            Dialect::Vendor => "max_completion_tokens",
            Dialect::Compatible => "max_tokens",
        };
        body[name] = max.into();
    }
    if let Some(effort) = ask.effort {
        body["reasoning_effort"] = effort.into();
    }
    if let Some(schema) = ask.schema {
        body["response_format"] = json!({"type": "json_schema", "json_schema": {
            "name": "answer", "schema": schema, "strict": is_strict(schema),
        }});
    }
    body
}

pub(super) fn fold(folded: &mut Folded, event: &Value) -> bool {
    if let Some(trouble) = Trouble::in_body(event) {
        folded.fail(trouble);
        return true;
    }
    let usage = event.get("usage").filter(|usage| usage.is_object());
    let choices = event["choices"].as_array();
    if usage.is_none() && choices.is_none_or(Vec::is_empty) {
        return false;
    }
    if let (None, Some(model)) = (&folded.model, event["model"].as_str()) {
        folded.model = Some(model.to_owned());
    }
    if let Some(choice) = choices.and_then(|choices| choices.first()) {
        let delta = &choice["delta"];
        if let Some(text) = delta["content"].as_str() {
            folded.say(text);
        }
        if let Some(text) = delta["refusal"].as_str() {
            folded.decline(text);
        }
        let thought = ["reasoning_content", "reasoning"];
        if let Some(thought) = thought.iter().find_map(|name| delta[*name].as_str()) {
            folded.think(thought);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            folded.stop = Some(match reason {
                "stop" | "eos" => Stop::Done,
                "length" => Stop::Limit,
                "content_filter" => Stop::Refused,
                other => Stop::Other(other.to_owned()),
            });
        }
    }
    // Usage comes after the reason, in an event of its own; what ends the answer is `[DONE]` or the end of the body.
    if let Some(usage) = usage {
        folded.count(usage);
    }
    true
}

pub(super) fn usage(raw: &Map<String, Value>) -> Usage {
    let prompt = count(raw.get("prompt_tokens"));
    // DeepSeek tells the cache beside the total, others inside its details.
    let cached = inner(raw, "prompt_tokens_details", "cached_tokens").max(count(raw.get("prompt_cache_hit_tokens")));
    nested(
        prompt,
        cached,
        inner(raw, "prompt_tokens_details", "cache_write_tokens"),
        count(raw.get("completion_tokens")),
        inner(raw, "completion_tokens_details", "reasoning_tokens"),
    )
}
