//! The four protocols: for each, how a body reads, what it must hold, and how an answer is written.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod gemini;
pub(crate) mod responses;

use serde_json::Value;

use super::ask::{Ask, Body};
use super::check::Findings;
use super::choose::Play;
use super::http::Request;
use super::timeline::Vendor;

/// A moment for every answer: 2026-01-01. Answers are the same each time, so they tell no real one.
pub(crate) const CREATED_S: u64 = 1_767_225_600;

/// One piece of a stream, whole events only.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Whether it carries a piece of the text: faults in mid-stream count those.
    pub(crate) is_text: bool,
    /// Whether it belongs to the proper end of the stream.
    pub(crate) is_end: bool,
}

impl Frame {
    /// An event with a name.
    pub(crate) fn event(name: &str, data: &Value) -> Frame {
        Frame::raw(format!("event: {name}\ndata: {data}\n\n"))
    }

    /// An event without a name.
    pub(crate) fn data(data: &Value) -> Frame {
        Frame::raw(format!("data: {data}\n\n"))
    }

    pub(crate) fn raw(text: String) -> Frame {
        Frame {
            bytes: text.into_bytes(),
            is_text: false,
            is_end: false,
        }
    }

    pub(crate) fn text(self) -> Frame {
        Frame { is_text: true, ..self }
    }

    pub(crate) fn end(self) -> Frame {
        Frame { is_end: true, ..self }
    }
}

/// Reads a body that is an object. `None` when the model cannot even be told apart.
pub(crate) fn read(vendor: Vendor, request: &Request, body: &Value) -> Body {
    match vendor {
        Vendor::Anthropic => anthropic::read(body),
        Vendor::Responses => responses::read(body),
        Vendor::Chat => chat::read(body),
        Vendor::Gemini => gemini::read(request, body),
    }
}

/// The rules of one protocol.
pub(crate) fn check(vendor: Vendor, request: &Request, body: &Value, findings: &mut Findings) {
    match vendor {
        Vendor::Anthropic => anthropic::check(body, findings),
        Vendor::Responses => responses::check(body, findings),
        Vendor::Chat => chat::check(body, findings),
        Vendor::Gemini => gemini::check(request, body, findings),
    }
}

/// The answer as a stream.
pub(crate) fn stream(ask: &Ask, play: &Play) -> Vec<Frame> {
    match ask.vendor {
        Vendor::Anthropic => anthropic::stream(ask, play),
        Vendor::Responses => responses::stream(ask, play),
        Vendor::Chat => chat::stream(ask, play),
        Vendor::Gemini => gemini::stream(ask, play),
    }
}

/// The answer in one piece.
pub(crate) fn whole(ask: &Ask, play: &Play) -> Value {
    match ask.vendor {
        Vendor::Anthropic => anthropic::whole(ask, play),
        Vendor::Responses => responses::whole(ask, play),
        Vendor::Chat => chat::whole(ask, play),
        Vendor::Gemini => gemini::whole(ask, play),
    }
}

/// Pieces of a JSON text, as a model writes a tool's input: at most 64 of them.
pub(crate) fn json_pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let size = (chars.len() / 64).max(32);
    chars.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// The text of a content field: text as it is, or the texts of its parts.
pub(crate) fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The texts of a content field, one for each part.
pub(crate) fn content_blocks(content: &Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text.clone()],
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a result reads as a failure, for protocols that have no flag for it.
pub(crate) fn sounds_failed(text: &str) -> bool {
    const STARTS: [&str; 8] = [
        "error",
        "failed",
        "patch rejected",
        "apply_patch verification failed",
        "exec_command failed",
        "unsupported call",
        "rejected",
        "the user rejected",
    ];
    let text = text.trim_start().to_lowercase();
    STARTS.iter().any(|start| text.starts_with(start))
}

pub(crate) fn text_at(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}
