//! How OpenAI Chat answers.

use serde_json::{Map, Value, json};

use super::super::super::ask::Ask;
use super::super::super::choose::{Play, Stop};
use super::super::super::script::Tokens;
use super::super::super::toolbox::{Call, Input};
use super::super::{CREATED_S, Frame, json_pieces};

pub(crate) fn whole(ask: &Ask, play: &Play) -> Value {
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let text = if play.chunks.is_empty() {
        Value::Null
    } else {
        play.text().into()
    };
    match play.stop {
        Stop::Refusal => {
            message.insert("content".to_owned(), Value::Null);
            message.insert("refusal".to_owned(), text);
        }
        Stop::Done | Stop::ToolUse | Stop::MaxTokens => {
            message.insert("content".to_owned(), text);
        }
    }
    if let Some(thought) = &play.think {
        message.insert("reasoning_content".to_owned(), thought.as_str().into());
    }
    if !play.calls.is_empty() {
        let calls = play.calls.iter().enumerate().map(|(at, call)| {
            let function = json!({"name": call.name, "arguments": arguments(call)});
            json!({"id": call_id(play, at), "type": "function", "function": function})
        });
        message.insert("tool_calls".to_owned(), calls.collect());
    }
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish(play.stop)});
    let mut completion = head(ask, play, "chat.completion");
    completion["choices"] = json!([choice]);
    if let Some(tokens) = play.usage {
        completion["usage"] = usage(tokens);
    }
    completion
}

pub(crate) fn stream(ask: &Ask, play: &Play) -> Vec<Frame> {
    let mut frames = vec![delta(ask, play, json!({"role": "assistant", "content": ""}), None)];
    if let Some(thought) = &play.think {
        for piece in json_pieces(thought) {
            frames.push(delta(ask, play, json!({"reasoning_content": piece}), None));
        }
    }
    let key = if play.stop == Stop::Refusal {
        "refusal"
    } else {
        "content"
    };
    for chunk in &play.chunks {
        let mut said = json!({});
        said[key] = chunk.as_str().into();
        frames.push(delta(ask, play, said, None).text());
    }
    for (at, call) in play.calls.iter().enumerate() {
        let function = json!({"name": call.name, "arguments": ""});
        let begun = json!({"index": at, "id": call_id(play, at), "type": "function", "function": function});
        frames.push(delta(ask, play, json!({"tool_calls": [begun]}), None));
        for piece in json_pieces(&arguments(call)) {
            let more = json!({"index": at, "function": {"arguments": piece}});
            frames.push(delta(ask, play, json!({"tool_calls": [more]}), None));
        }
    }
    frames.push(delta(ask, play, json!({}), Some(finish(play.stop))).end());
    if let (true, Some(tokens)) = (ask.include_usage, play.usage) {
        let mut last = head(ask, play, "chat.completion.chunk");
        last["choices"] = json!([]);
        last["usage"] = usage(tokens);
        frames.push(Frame::data(&last).end());
    }
    frames.push(Frame::raw("data: [DONE]\n\n".to_owned()).end());
    frames
}

fn delta(ask: &Ask, play: &Play, delta: Value, finish_reason: Option<&str>) -> Frame {
    let mut chunk = head(ask, play, "chat.completion.chunk");
    chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}]);
    Frame::data(&chunk)
}

fn head(ask: &Ask, play: &Play, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{}", play.seed),
        "object": object,
        "created": CREATED_S,
        "model": ask.model,
    })
}

fn call_id(play: &Play, at: usize) -> String {
    format!("call_{}{at:02}", play.seed)
}

fn arguments(call: &Call) -> String {
    match &call.input {
        Input::Object(input) => input.to_string(),
        Input::FreeText(text) => json!({"input": text}).to_string(),
    }
}

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::Done | Stop::Refusal => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::MaxTokens => "length",
    }
}

/// Here the parts are inside the totals. There is no standard field for cache writes; OpenAI's name is used.
fn usage(tokens: Tokens) -> Value {
    let prompt = tokens.input + tokens.cache_read + tokens.cache_write;
    let completion = tokens.output + tokens.reasoning;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    })
}
