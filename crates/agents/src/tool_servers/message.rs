//! JSON-RPC as MCP wants it of a client: what is sent, and what a line or an event of a server turns out to be. Pure.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The newest version that is offered. A server that knows an older one says which; all have what is used here.
pub(super) const PROTOCOL: &str = "2025-11-25";
/// How much of a server's words is repeated in a failure, in bytes.
const WORDS_MAX: usize = 300;

/// A request.
pub(super) fn request(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// A notification.
pub(super) fn notification(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
}

/// The first request of a session.
pub(super) fn greeting() -> Value {
    json!({
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": { "name": "wheelhouse", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// What a server sent.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Received {
    /// The answer to our request of that number.
    Answer(u64, Result<Value, Refusal>),
    /// A request of its own, and what is answered to it.
    Request(String),
    /// Its tools are others now.
    ToolsChanged,
    /// Something that needs nothing done.
    Other,
    /// No message at all.
    Noise,
}

/// An error of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Wire {
    id: Option<Value>,
    method: Option<String>,
    result: Option<Value>,
    error: Option<Value>,
}

/// Reads a message.
pub(super) fn received(bytes: &[u8]) -> Received {
    let Ok(wire) = serde_json::from_slice::<Wire>(bytes) else {
        return Received::Noise;
    };
    match (wire.method.as_deref(), wire.id) {
        (Some("notifications/tools/list_changed"), None) => Received::ToolsChanged,
        (Some(_), None) => Received::Other,
        (Some(method), Some(id)) => Received::Request(reply(method, &id)),
        (None, Some(id)) => {
            // Some servers hand a number back as text.
            let number = id.as_u64().or_else(|| id.as_str().and_then(|text| text.parse().ok()));
            match (number, wire.error, wire.result) {
                (Some(number), Some(error), _) => Received::Answer(
                    number,
                    Err(Refusal {
                        code: error["code"].as_i64().unwrap_or_default(),
                        message: words(error["message"].as_str().unwrap_or("it gave no reason")),
                    }),
                ),
                (Some(number), None, Some(result)) => Received::Answer(number, Ok(result)),
                _ => Received::Noise,
            }
        }
        (None, None) => Received::Noise,
    }
}

/// A server may ask whether we are there; nothing else is done for it.
fn reply(method: &str, id: &Value) -> String {
    match method {
        "ping" => json!({ "jsonrpc": "2.0", "id": id, "result": {} }).to_string(),
        _ => {
            let message = "Wheelhouse does nothing for the servers it calls";
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32601, "message": message } }).to_string()
        }
    }
}

/// A server's words in one line, bounded and without control characters.
pub(super) fn words(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(WORDS_MAX * 4)
        .collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.len() > WORDS_MAX {
        true => format!("{}…", &line[..line.floor_char_boundary(WORDS_MAX)]),
        false => line,
    }
}

/// The content of a result as text: text as it is, everything else named in its place.
pub(super) fn text_of(content: &Value) -> String {
    let mut text = String::new();
    for item in content.as_array().into_iter().flatten() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&item_text(item));
    }
    text
}

fn item_text(item: &Value) -> String {
    let word = |member: &str| item[member].as_str().unwrap_or_default();
    match word("type") {
        "text" => word("text").to_owned(),
        kind @ ("image" | "audio") => {
            format!(
                "[{kind}, {}, {} bytes in base64]",
                words(word("mimeType")),
                word("data").len()
            )
        }
        "resource" => match item["resource"]["text"].as_str() {
            Some(text) => text.to_owned(),
            None => format!(
                "[resource {}, {} bytes in base64]",
                words(item["resource"]["uri"].as_str().unwrap_or_default()),
                item["resource"]["blob"].as_str().unwrap_or_default().len()
            ),
        },
        "resource_link" => format!("[resource {} at {}]", words(word("name")), words(word("uri"))),
        other => format!("[something of the kind `{}`]", words(other)),
    }
}

/// What `tools/call` takes.
pub(super) fn call(tool: &str, arguments: Map<String, Value>) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let read = |text: &str| received(text.as_bytes());
        assert_eq!(
            read(r#"{"jsonrpc":"2.0","id":3,"result":{"a":1}}"#),
            Received::Answer(3, Ok(json!({ "a": 1 })))
        );
        assert_eq!(read(r#"{"id":"3","result":{}}"#), Received::Answer(3, Ok(json!({}))));
        let refused = Refusal {
            code: -32602,
            message: "no such tool".to_owned(),
        };
        let text = r#"{"id":3,"error":{"code":-32602,"message":"no\nsuch\u001b tool"}}"#;
        assert_eq!(read(text), Received::Answer(3, Err(refused)));
        assert_eq!(
            read(r#"{"method":"notifications/tools/list_changed"}"#),
            Received::ToolsChanged
        );
        assert_eq!(
            read(r#"{"method":"notifications/message","params":{}}"#),
            Received::Other
        );
        for noise in [
            "",
            "Listening on stdio",
            "[]",
            "{}",
            "null",
            r#"{"id":3}"#,
            r#"{"id":{},"result":1}"#,
        ] {
            assert_eq!(read(noise), Received::Noise, "{noise}");
        }
        let Received::Request(pong) = read(r#"{"id":"p","method":"ping"}"#) else {
            panic!("a ping is a request");
        };
        assert_eq!(pong, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        let Received::Request(no) = read(r#"{"id":1,"method":"sampling/createMessage","params":{}}"#) else {
            panic!("so is a wish for a model");
        };
        assert!(no.contains("-32601"), "{no}");
    }

    #[test]
    fn what_is_no_text_is_named() {
        let content = json!([
            { "type": "text", "text": "one" }, { "type": "image", "mimeType": "image/png", "data": "AAAA" },
            { "type": "resource", "resource": { "uri": "file:///a", "text": "inside" } },
            { "type": "resource_link", "name": "b", "uri": "file:///b" }, { "type": "hologram" }, 7,
        ]);
        let text = "one\n[image, image/png, 4 bytes in base64]\ninside\n[resource b at file:///b]\n\
                    [something of the kind `hologram`]\n[something of the kind ``]";
        assert_eq!(text_of(&content), text);
        assert_eq!(text_of(&json!("x")), "");
    }
}
