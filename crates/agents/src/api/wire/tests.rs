//! The formats against bodies and events as the vendors document them. Whole exchanges are in `tests/api`.

use serde_json::{Value, json};
use wheelhouse_core::usage::UsageSource;

use super::*;
use crate::api::fold::Stop;

fn ask<'a>(schema: Option<&'a Value>) -> Ask<'a> {
    Ask {
        model: "m-1",
        role: Some("You are brief."),
        prompt: "Say it.",
        effort: Some("high"),
        output_tokens_max: Some(500),
        schema,
        cache: Cache::Role,
        dialect: Dialect::Vendor,
    }
}

fn folded(wire: Wire, events: &[Value]) -> Folded {
    let mut folded = Folded::new(wire);
    for event in events {
        folded.event(event.to_string().as_bytes());
    }
    folded
}

#[test]
fn the_stable_part_stands_first_and_is_marked_where_marks_exist() {
    let body = body(Wire::Anthropic, &ask(None));
    assert_eq!(
        body,
        json!({
            "model": "m-1", "max_tokens": 500, "stream": true,
            "system": [{"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Say it."}]}],
            "output_config": {"effort": "high"},
        })
    );
    let text = body.to_string();
    assert!(text.find("brief") < text.find("Say it"), "{text}");
    let prompt = Ask {
        cache: Cache::Prompt,
        ..ask(None)
    };
    assert_eq!(
        super::body(Wire::Anthropic, &prompt)
            .to_string()
            .matches("cache_control")
            .count(),
        2
    );
    let off = Ask {
        cache: Cache::Off,
        ..ask(None)
    };
    for wire in [Wire::Anthropic, Wire::Responses] {
        assert!(!super::body(wire, &off).to_string().contains("cache"), "{wire:?}");
    }
}

#[test]
fn each_format_says_effort_limit_and_schema_in_its_own_place() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    for (wire, places) in [
        (
            Wire::Responses,
            vec![
                ("/instructions", json!("You are brief.")),
                ("/max_output_tokens", json!(500)),
                ("/reasoning/effort", json!("high")),
                ("/text/format/schema", schema.clone()),
                ("/text/format/strict", json!(true)),
                ("/store", json!(false)),
            ],
        ),
        (
            Wire::Chat,
            vec![
                ("/messages/0/role", json!("system")),
                ("/max_completion_tokens", json!(500)),
                ("/reasoning_effort", json!("high")),
                ("/response_format/json_schema/schema", schema.clone()),
                ("/stream_options/include_usage", json!(true)),
            ],
        ),
        (
            Wire::Gemini,
            vec![
                ("/systemInstruction/parts/0/text", json!("You are brief.")),
                ("/generationConfig/maxOutputTokens", json!(500)),
                ("/generationConfig/thinkingConfig/thinkingLevel", json!("high")),
                ("/generationConfig/responseJsonSchema", schema.clone()),
            ],
        ),
        (Wire::Anthropic, vec![("/output_config/format/schema", schema.clone())]),
    ] {
        let body = body(wire, &ask(Some(&schema)));
        for (place, expected) in places {
            assert_eq!(body.pointer(place), Some(&expected), "{wire:?} {place}: {body}");
        }
    }
    let compatible = Ask {
        dialect: Dialect::Compatible,
        ..ask(None)
    };
    assert_eq!(body(Wire::Chat, &compatible)["max_tokens"], 500);
    assert!(body(Wire::Responses, &compatible).get("prompt_cache_key").is_none());
}

#[test]
fn an_open_schema_is_not_called_strict() {
    for (schema, strict) in [
        (
            json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}),
            true,
        ),
        (
            json!({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": false}),
            false,
        ),
        (
            json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}),
            false,
        ),
        (json!({"type": "array", "items": {"properties": {"a": {}}}}), false),
        (json!({"type": "string"}), true),
    ] {
        assert_eq!(is_strict(&schema), strict, "{schema}");
    }
}

#[test]
fn a_models_name_cannot_leave_its_place_in_the_path() {
    assert_eq!(
        path(Wire::Gemini, "models/gemini-2.5-pro"),
        "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    );
    assert_eq!(
        path(Wire::Gemini, "../x?y#z"),
        "/models/..%2Fx%3Fy%23z:streamGenerateContent?alt=sse"
    );
}

#[test]
fn usage_is_readable_before_the_end_and_an_estimate_until_then() {
    let start = json!({"type": "message_start", "message": {"model": "m-1-20260101", "usage": {
        "input_tokens": 10, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300, "output_tokens": 1}}});
    let delta = json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "twelve bytes"}});
    let cut = folded(Wire::Anthropic, &[start.clone(), delta.clone()]);
    let usage = cut.usage(9_999);
    assert_eq!((usage.input, usage.cache_read, usage.cache_write), (10, 2000, 300));
    assert_eq!((usage.output, usage.source), (3, UsageSource::Estimated));

    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}});
    let whole = folded(Wire::Anthropic, &[start, delta, end, json!({"type": "message_stop"})]);
    assert_eq!((whole.stop.as_ref(), whole.is_over), (Some(&Stop::Done), true));
    let usage = whole.usage(9_999);
    assert_eq!(
        (usage.input, usage.output, usage.source),
        (10, 7, UsageSource::Reported)
    );

    let silent = folded(
        Wire::Chat,
        &[json!({"choices": [{"delta": {"content": "abcd"}, "finish_reason": "stop"}]})],
    );
    let usage = silent.usage(400);
    assert_eq!(
        (usage.input, usage.output, usage.source),
        (100, 1, UsageSource::Estimated)
    );
}

#[test]
fn what_no_format_knows_is_counted_and_harms_nothing() {
    for (wire, known) in [
        (Wire::Anthropic, json!({"type": "ping"})),
        (Wire::Responses, json!({"type": "response.in_progress", "response": {}})),
        (
            Wire::Chat,
            json!({"choices": [{"delta": {"content": "x", "new": [1]}}], "newer": {}}),
        ),
        (
            Wire::Gemini,
            json!({"candidates": [{"content": {"parts": [{"text": "x", "new": 1}]}}]}),
        ),
    ] {
        let mut folded = folded(wire, &[json!({"type": "from.the.future"}), known, json!(7), json!([])]);
        folded.event(b"{not json");
        assert_eq!((folded.known, folded.unknown), (1, 4), "{wire:?}");
        assert!(folded.trouble.is_none() && !folded.is_over);
    }
}

#[test]
fn every_reason_to_stop_is_told_apart() {
    let chat = |reason: &str| {
        folded(
            Wire::Chat,
            &[json!({"choices": [{"delta": {}, "finish_reason": reason}]})],
        )
        .stop
    };
    assert_eq!(chat("length"), Some(Stop::Limit));
    assert_eq!(chat("content_filter"), Some(Stop::Refused));
    assert_eq!(chat("tool_calls"), Some(Stop::Other("tool_calls".to_owned())));
    let gemini = |event: Value| folded(Wire::Gemini, &[event]).stop;
    assert_eq!(
        gemini(json!({"candidates": [{"finishReason": "MAX_TOKENS"}]})),
        Some(Stop::Limit)
    );
    assert_eq!(
        gemini(json!({"promptFeedback": {"blockReason": "SAFETY"}})),
        Some(Stop::Refused)
    );
    let incomplete = |reason: &str| {
        let response = json!({"incomplete_details": {"reason": reason}});
        folded(
            Wire::Responses,
            &[json!({"type": "response.incomplete", "response": response})],
        )
        .stop
    };
    assert_eq!(incomplete("max_output_tokens"), Some(Stop::Limit));
    assert_eq!(incomplete("content_filter"), Some(Stop::Refused));
}
