//! Gemini `streamGenerateContent`.

use serde_json::{Map, Value, json};
use wheelhouse_core::usage::Usage;

use super::{Ask, count};
use crate::api::fold::{Folded, Stop};
use crate::api::trouble::Trouble;

pub(super) fn body(ask: &Ask<'_>) -> Value {
    let mut body = json!({});
    if let Some(role) = ask.role {
        body["systemInstruction"] = json!({"parts": [{"text": role}]});
    }
    body["contents"] = json!([{"role": "user", "parts": [{"text": ask.prompt}]}]);
    let mut config = Map::new();
    if let Some(max) = ask.output_tokens_max {
        config.insert("maxOutputTokens".to_owned(), max.into());
    }
    if let Some(effort) = ask.effort {
        // Models before 3 take a number of tokens, later ones a word.
        let thinking = match effort.parse::<i64>() {
            Ok(tokens) => json!({"thinkingBudget": tokens}),
            Err(_) => json!({"thinkingLevel": effort}),
        };
        config.insert("thinkingConfig".to_owned(), thinking);
    }
    if let Some(schema) = ask.schema {
        config.insert("responseMimeType".to_owned(), "application/json".into());
        config.insert("responseJsonSchema".to_owned(), schema.clone());
    }
    if !config.is_empty() {
        body["generationConfig"] = config.into();
    }
    body
}

pub(super) fn fold(folded: &mut Folded, event: &Value) -> bool {
    if let Some(trouble) = Trouble::in_body(event) {
        folded.fail(trouble);
        return true;
    }
    let known = ["candidates", "usageMetadata", "promptFeedback"];
    if !known.iter().any(|field| event.get(field).is_some()) {
        return false;
    }
    if let Some(model) = event["modelVersion"].as_str() {
        folded.model = Some(model.to_owned());
    }
    let candidate = &event["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let text = part["text"].as_str().unwrap_or_default();
        if part["thought"] == true {
            folded.think(text);
        } else {
            folded.say(text);
        }
    }
    if event.get("usageMetadata").is_some() {
        folded.count(&event["usageMetadata"]);
    }
    if let Some(reason) = event["promptFeedback"]["blockReason"].as_str() {
        folded.decline(reason);
        folded.stop = Some(Stop::Refused);
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        folded.stop = Some(match reason {
            "STOP" => Stop::Done,
            "MAX_TOKENS" => Stop::Limit,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => {
                folded.decline(reason);
                Stop::Refused
            }
            other => Stop::Other(other.to_owned()),
        });
    }
    true
}

/// The cached part is inside the prompt, thoughts are beside the candidates, cache writes are not told.
pub(super) fn usage(raw: &Map<String, Value>) -> Usage {
    let cache_read = count(raw.get("cachedContentTokenCount"));
    let prompt = count(raw.get("promptTokenCount")) + count(raw.get("toolUsePromptTokenCount"));
    Usage {
        input: prompt.saturating_sub(cache_read),
        cache_read,
        output: count(raw.get("candidatesTokenCount")),
        reasoning: count(raw.get("thoughtsTokenCount")),
        ..Usage::default()
    }
}
