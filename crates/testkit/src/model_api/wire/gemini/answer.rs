//! How Gemini answers.

use serde_json::{Value, json};

use super::super::super::ask::Ask;
use super::super::super::choose::{Play, Stop};
use super::super::super::script::Tokens;
use super::super::super::toolbox::{Call, Input};
use super::super::{Frame, json_pieces};

/// What a signature of a thought looks like here.
const SIGNATURE: &str = "c2ln";

pub(crate) fn whole(ask: &Ask, play: &Play) -> Value {
    let mut parts = Vec::new();
    if let Some(thought) = &play.think {
        parts.push(json!({"text": thought, "thought": true}));
    }
    if !play.chunks.is_empty() {
        parts.push(json!({"text": play.text()}));
    }
    parts.extend(
        play.calls
            .iter()
            .enumerate()
            .map(|(at, call)| call_part(play, at, call)),
    );
    let mut answer = answer(ask, play, parts);
    end(&mut answer, play);
    answer
}

pub(crate) fn stream(ask: &Ask, play: &Play) -> Vec<Frame> {
    let mut frames = Vec::new();
    for piece in play.think.as_deref().map(json_pieces).unwrap_or_default() {
        frames.push(Frame::data(&answer(
            ask,
            play,
            vec![json!({"text": piece, "thought": true})],
        )));
    }
    for chunk in &play.chunks {
        frames.push(Frame::data(&answer(ask, play, vec![json!({"text": chunk})])).text());
    }
    for (at, call) in play.calls.iter().enumerate() {
        frames.push(Frame::data(&answer(ask, play, vec![call_part(play, at, call)])));
    }
    let mut last = answer(ask, play, Vec::new());
    end(&mut last, play);
    frames.push(Frame::data(&last).end());
    frames
}

fn answer(ask: &Ask, play: &Play, parts: Vec<Value>) -> Value {
    let content = if parts.is_empty() {
        json!({"role": "model"})
    } else {
        json!({"role": "model", "parts": parts})
    };
    json!({
        "candidates": [{"content": content, "index": 0}],
        "modelVersion": ask.model,
        "responseId": play.seed,
    })
}

fn end(answer: &mut Value, play: &Play) {
    answer["candidates"][0]["finishReason"] = match play.stop {
        Stop::Done | Stop::ToolUse => "STOP",
        Stop::MaxTokens => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    }
    .into();
    if let Some(tokens) = play.usage {
        answer["usageMetadata"] = usage(tokens);
    }
}

fn call_part(play: &Play, at: usize, call: &Call) -> Value {
    let args = match &call.input {
        Input::Object(input) => input.clone(),
        Input::FreeText(text) => json!({"input": text}),
    };
    let function_call = json!({"id": format!("call_{}{at:02}", play.seed), "name": call.name, "args": args});
    json!({"functionCall": function_call, "thoughtSignature": SIGNATURE})
}

/// The cached part is inside the prompt, the thoughts are beside the candidates; there is no number for cache writes.
fn usage(tokens: Tokens) -> Value {
    let prompt = tokens.input + tokens.cache_read;
    json!({
        "promptTokenCount": prompt,
        "cachedContentTokenCount": tokens.cache_read,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": prompt + tokens.output + tokens.reasoning,
    })
}
