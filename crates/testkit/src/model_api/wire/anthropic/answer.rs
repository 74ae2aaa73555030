//! How Anthropic answers.

use serde_json::{Value, json};

use super::super::super::ask::Ask;
use super::super::super::choose::{Play, Stop};
use super::super::super::script::Tokens;
use super::super::super::toolbox::{Call, Input};
use super::super::{Frame, json_pieces};

/// What a signature of a thought looks like here.
const SIGNATURE: &str = "c2ln";

pub(crate) fn whole(ask: &Ask, play: &Play) -> Value {
    let mut content = Vec::new();
    if let Some(thought) = &play.think {
        content.push(json!({"type": "thinking", "thinking": thought, "signature": SIGNATURE}));
    }
    if !play.chunks.is_empty() {
        content.push(json!({"type": "text", "text": play.text()}));
    }
    for (at, call) in play.calls.iter().enumerate() {
        content.push(json!({"type": "tool_use", "id": call_id(play, at), "name": call.name, "input": input(call)}));
    }
    let mut message = message(ask, play);
    message["content"] = content.into();
    message["stop_reason"] = stop_reason(play.stop).into();
    if let Some(tokens) = play.usage {
        message["usage"] = start_usage(tokens);
        message["usage"]["output_tokens"] = (tokens.output + tokens.reasoning).into();
    }
    message
}

pub(crate) fn stream(ask: &Ask, play: &Play) -> Vec<Frame> {
    let mut message = message(ask, play);
    if let Some(tokens) = play.usage {
        message["usage"] = start_usage(tokens);
    }
    let mut frames = vec![
        event(json!({"type": "message_start", "message": message})),
        event(json!({"type": "ping"})),
    ];
    let mut index = 0;
    if let Some(thought) = &play.think {
        let block = json!({"type": "thinking", "thinking": "", "signature": ""});
        frames.push(event(
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        for piece in json_pieces(thought) {
            frames.push(delta(index, json!({"type": "thinking_delta", "thinking": piece})));
        }
        frames.push(delta(index, json!({"type": "signature_delta", "signature": SIGNATURE})));
        frames.push(event(json!({"type": "content_block_stop", "index": index})));
        index += 1;
    }
    if !play.chunks.is_empty() {
        let block = json!({"type": "text", "text": ""});
        frames.push(event(
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        for chunk in &play.chunks {
            frames.push(delta(index, json!({"type": "text_delta", "text": chunk})).text());
        }
        frames.push(event(json!({"type": "content_block_stop", "index": index})));
        index += 1;
    }
    for (at, call) in play.calls.iter().enumerate() {
        let block = json!({"type": "tool_use", "id": call_id(play, at), "name": call.name, "input": {}});
        frames.push(event(
            json!({"type": "content_block_start", "index": index, "content_block": block}),
        ));
        for piece in json_pieces(&input(call).to_string()) {
            frames.push(delta(index, json!({"type": "input_json_delta", "partial_json": piece})));
        }
        frames.push(event(json!({"type": "content_block_stop", "index": index})));
        index += 1;
    }
    frames.extend(ending(play));
    frames
}

fn ending(play: &Play) -> [Frame; 2] {
    let mut delta = json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(play.stop), "stop_sequence": null},
    });
    if let Some(tokens) = play.usage {
        delta["usage"] = json!({
            "input_tokens": tokens.input,
            "cache_creation_input_tokens": tokens.cache_write,
            "cache_read_input_tokens": tokens.cache_read,
            "output_tokens": tokens.output + tokens.reasoning,
        });
    }
    [event(delta).end(), event(json!({"type": "message_stop"})).end()]
}

fn message(ask: &Ask, play: &Play) -> Value {
    json!({
        "id": format!("msg_{}", play.seed),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

/// Usage as a stream begins with it: the answer has one token so far.
fn start_usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
        "service_tier": "standard",
    })
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Done => "end_turn",
        Stop::ToolUse => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::Refusal => "refusal",
    }
}

fn call_id(play: &Play, at: usize) -> String {
    format!("toolu_{}{at:02}", play.seed)
}

fn input(call: &Call) -> Value {
    match &call.input {
        Input::Object(input) => input.clone(),
        Input::FreeText(text) => json!({"input": text}),
    }
}

/// Anthropic names each event by its type.
fn event(data: Value) -> Frame {
    Frame::event(data["type"].as_str().unwrap_or_default(), &data)
}

fn delta(index: usize, delta: Value) -> Frame {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}
