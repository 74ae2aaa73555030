//! How OpenAI Responses answers.

use serde_json::{Value, json};

use super::super::super::ask::Ask;
use super::super::super::choose::{Play, Stop};
use super::super::super::script::Tokens;
use super::super::super::toolbox::{Call, Input};
use super::super::{CREATED_S, Frame, json_pieces};
use super::TOOL_SEARCH;

pub(crate) fn whole(ask: &Ask, play: &Play) -> Value {
    let status = status(play.stop);
    let mut response = response(ask, play, status, items(play));
    if play.stop == Stop::MaxTokens {
        response["incomplete_details"] = json!({"reason": "max_output_tokens"});
    }
    response["usage"] = play.usage.map_or(Value::Null, usage);
    response
}

pub(crate) fn stream(ask: &Ask, play: &Play) -> Vec<Frame> {
    let mut events = Events::default();
    let opening = response(ask, play, "in_progress", Vec::new());
    events.send("response.created", json!({"response": opening}));
    events.send("response.in_progress", json!({"response": opening}));
    for (index, item) in items(play).into_iter().enumerate() {
        match item["type"].as_str() {
            Some("reasoning") => reasoning(&mut events, index, &item),
            Some("message") => message(&mut events, index, &item, play),
            Some("tool_search_call") => search(&mut events, index, &item),
            Some("custom_tool_call") => call(&mut events, index, &item, "input", "response.custom_tool_call_input"),
            _ => call(
                &mut events,
                index,
                &item,
                "arguments",
                "response.function_call_arguments",
            ),
        }
    }
    let end = match play.stop {
        Stop::MaxTokens => "response.incomplete",
        Stop::Done | Stop::ToolUse | Stop::Refusal => "response.completed",
    };
    events.send(end, json!({"response": whole(ask, play)}));
    if let Some(last) = events.0.last_mut() {
        last.is_end = true;
    }
    events.0
}

/// Events carry their number.
#[derive(Default)]
struct Events(Vec<Frame>);

impl Events {
    fn send(&mut self, name: &str, fields: Value) {
        let mut data = json!({"type": name, "sequence_number": self.0.len()});
        if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
            data.extend(fields);
        }
        self.0.push(Frame::event(name, &data));
    }

    fn mark_text(&mut self) {
        if let Some(last) = self.0.last_mut() {
            last.is_text = true;
        }
    }
}

fn items(play: &Play) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(thought) = &play.think {
        items.push(json!({
            "id": format!("rs_{}", play.seed),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": thought}],
            "encrypted_content": "c2ln",
        }));
    }
    if !play.chunks.is_empty() {
        let part = match play.stop {
            Stop::Refusal => json!({"type": "refusal", "refusal": play.text()}),
            Stop::Done | Stop::ToolUse | Stop::MaxTokens => {
                json!({"type": "output_text", "text": play.text(), "annotations": []})
            }
        };
        items.push(json!({
            "id": format!("msg_{}", play.seed),
            "type": "message",
            "role": "assistant",
            "status": status(play.stop),
            "content": [part],
        }));
    }
    items.extend(
        play.calls
            .iter()
            .enumerate()
            .map(|(at, made)| call_item(play, at, made)),
    );
    items
}

fn call_item(play: &Play, at: usize, made: &Call) -> Value {
    let call_id = format!("call_{}{at:02}", play.seed);
    let mut item = match &made.input {
        Input::Object(input) if made.name == TOOL_SEARCH => json!({
            "id": format!("tsc_{}{at:02}", play.seed),
            "type": "tool_search_call",
            "status": "completed",
            "call_id": call_id,
            "execution": "client",
            "arguments": input,
        }),
        Input::Object(input) => json!({
            "id": format!("fc_{}{at:02}", play.seed),
            "type": "function_call",
            "status": "completed",
            "call_id": call_id,
            "name": made.name,
            "arguments": input.to_string(),
        }),
        Input::FreeText(text) => json!({
            "id": format!("ctc_{}{at:02}", play.seed),
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": call_id,
            "name": made.name,
            "input": text,
        }),
    };
    if let Some(namespace) = &made.namespace {
        item["namespace"] = namespace.as_str().into();
    }
    item
}

fn reasoning(events: &mut Events, index: usize, item: &Value) {
    let mut empty = item.clone();
    empty["summary"] = json!([]);
    let place = |rest: Value| {
        let mut fields = json!({"item_id": item["id"], "output_index": index, "summary_index": 0});
        if let (Some(fields), Value::Object(rest)) = (fields.as_object_mut(), rest) {
            fields.extend(rest);
        }
        fields
    };
    let text = item["summary"][0]["text"].as_str().unwrap_or_default();
    events.send(
        "response.output_item.added",
        json!({"output_index": index, "item": empty}),
    );
    let part = json!({"type": "summary_text", "text": ""});
    events.send("response.reasoning_summary_part.added", place(json!({"part": part})));
    for piece in json_pieces(text) {
        events.send("response.reasoning_summary_text.delta", place(json!({"delta": piece})));
    }
    events.send("response.reasoning_summary_text.done", place(json!({"text": text})));
    events.send(
        "response.reasoning_summary_part.done",
        place(json!({"part": item["summary"][0]})),
    );
    events.send(
        "response.output_item.done",
        json!({"output_index": index, "item": item}),
    );
}

fn message(events: &mut Events, index: usize, item: &Value, play: &Play) {
    let mut empty = item.clone();
    empty["content"] = json!([]);
    empty["status"] = "in_progress".into();
    let part = &item["content"][0];
    let (kind, key) = match play.stop {
        Stop::Refusal => ("response.refusal", "refusal"),
        Stop::Done | Stop::ToolUse | Stop::MaxTokens => ("response.output_text", "text"),
    };
    let mut empty_part = part.clone();
    empty_part[key] = "".into();
    let id = &item["id"];
    let place = json!({"item_id": id, "output_index": index, "content_index": 0});
    let with = |key: &str, value: &Value| {
        let mut fields = place.clone();
        fields[key] = value.clone();
        fields
    };
    events.send(
        "response.output_item.added",
        json!({"output_index": index, "item": empty}),
    );
    events.send("response.content_part.added", with("part", &empty_part));
    for chunk in &play.chunks {
        events.send(&format!("{kind}.delta"), with("delta", &json!(chunk)));
        events.mark_text();
    }
    events.send(&format!("{kind}.done"), with(key, &part[key]));
    events.send("response.content_part.done", with("part", part));
    events.send(
        "response.output_item.done",
        json!({"output_index": index, "item": item}),
    );
}

fn call(events: &mut Events, index: usize, item: &Value, key: &str, event: &str) {
    let mut empty = item.clone();
    empty[key] = "".into();
    empty["status"] = "in_progress".into();
    events.send(
        "response.output_item.added",
        json!({"output_index": index, "item": empty}),
    );
    for piece in json_pieces(item[key].as_str().unwrap_or_default()) {
        let fields = json!({"item_id": item["id"], "output_index": index, "delta": piece});
        events.send(&format!("{event}.delta"), fields);
    }
    let mut done = json!({"item_id": item["id"], "output_index": index});
    done[key] = item[key].clone();
    events.send(&format!("{event}.done"), done);
    events.send(
        "response.output_item.done",
        json!({"output_index": index, "item": item}),
    );
}

/// Its arguments are an object and come whole.
fn search(events: &mut Events, index: usize, item: &Value) {
    for event in ["response.output_item.added", "response.output_item.done"] {
        events.send(event, json!({"output_index": index, "item": item}));
    }
}

fn response(ask: &Ask, play: &Play, status: &str, output: Vec<Value>) -> Value {
    json!({
        "id": format!("resp_{}", play.seed),
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": null,
        "incomplete_details": null,
        "model": ask.model,
        "output": output,
        "parallel_tool_calls": true,
        "usage": null,
    })
}

fn status(stop: Stop) -> &'static str {
    match stop {
        Stop::MaxTokens => "incomplete",
        Stop::Done | Stop::ToolUse | Stop::Refusal => "completed",
    }
}

/// Here the parts are inside the totals.
fn usage(tokens: Tokens) -> Value {
    let input = tokens.input + tokens.cache_read + tokens.cache_write;
    let output = tokens.output + tokens.reasoning;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": input + output,
    })
}
