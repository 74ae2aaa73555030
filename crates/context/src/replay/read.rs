//! Recorded sessions, as they lie about: chat messages (`role`, `content`, `tool_calls`), one session a line or one
//! message a line, and the stream of Claude Code (`{"type": "assistant", "message": …}`). What is something else is
//! counted and passed over.

use serde_json::Value;

use super::{Call, Message, Role, Session};

/// What a file of records held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Read {
    /// Sessions with at least one call.
    pub sessions: Vec<Session>,
    /// Lines that say nothing of a conversation.
    pub passed_over: u64,
}

/// Reads a file of records: JSON Lines, or one JSON document.
pub fn read(text: &str) -> Read {
    let mut read = Read::default();
    // Messages that stand one a line are one session.
    let mut loose = Session::default();
    if let Ok(value @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str::<Value>(text.trim()) {
        record(&value, &mut read, &mut loose);
    } else {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Value>(line) {
                Ok(value) => record(&value, &mut read, &mut loose),
                Err(_) => read.passed_over += 1,
            }
        }
    }
    keep(&mut read, loose);
    read
}

fn keep(read: &mut Read, session: Session) {
    if session.messages.iter().any(|message| message.role == Role::Assistant) {
        read.sessions.push(session);
    }
}

fn record(value: &Value, read: &mut Read, loose: &mut Session) {
    match value {
        Value::Array(items) if items.iter().all(|item| item.get("messages").is_none()) => {
            let mut session = Session::default();
            items.iter().for_each(|item| message(item, &mut session));
            keep(read, session);
        }
        Value::Array(items) => items.iter().for_each(|item| record(item, read, loose)),
        Value::Object(object) => {
            if let Some(messages) = object.get("messages").and_then(Value::as_array) {
                let reward = object.get("reward").and_then(Value::as_f64).map(|reward| reward >= 1.0);
                let mut session = Session {
                    messages: Vec::new(),
                    succeeded: object.get("succeeded").and_then(Value::as_bool).or(reward),
                };
                if let Some(system) = object.get("system") {
                    push(&mut session, Role::System, text_of(system), Vec::new());
                }
                messages.iter().for_each(|item| message(item, &mut session));
                keep(read, session);
            } else if let Some(inner) = object.get("message").filter(|inner| inner.get("role").is_some()) {
                message(inner, loose);
            } else if object.contains_key("role") {
                message(value, loose);
            } else {
                read.passed_over += 1;
            }
        }
        _ => read.passed_over += 1,
    }
}

fn push(session: &mut Session, role: Role, text: String, calls: Vec<Call>) {
    session.messages.push(Message { role, text, calls });
}

fn message(value: &Value, session: &mut Session) {
    let content = value.get("content").unwrap_or(&Value::Null);
    match value.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => push(session, Role::System, text_of(content), Vec::new()),
        Some("tool" | "function") => push(session, Role::Tool, text_of(content), Vec::new()),
        Some("assistant") => {
            let mut text = text_of(content);
            let mut made = Vec::new();
            let calls = value.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
            let functions = calls
                .filter_map(|call| call.get("function"))
                .chain(value.get("function_call"));
            let own = functions.map(|function| {
                let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
                (
                    name.to_owned(),
                    function.get("arguments").map(text_of).unwrap_or_default(),
                )
            });
            let blocks = content.as_array().into_iter().flatten();
            let uses = blocks.filter(|block| block["type"] == "tool_use").map(|block| {
                let name = block["name"].as_str().unwrap_or_default();
                (name.to_owned(), block["input"].to_string())
            });
            for (tool, arguments) in own.chain(uses) {
                text.push_str(&format!("\n{tool} {arguments}"));
                made.push(Call { tool, arguments });
            }
            push(session, Role::Assistant, text, made);
        }
        Some("user") => {
            let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
            let results: Vec<&Value> = blocks.iter().filter(|block| block["type"] == "tool_result").collect();
            for result in &results {
                push(session, Role::Tool, text_of(&result["content"]), Vec::new());
            }
            let words = text_of(content);
            if results.is_empty() || !words.is_empty() {
                push(session, Role::User, words, Vec::new());
            }
        }
        _ => {}
    }
}

/// The words of a content: text, or blocks of text.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks
                .iter()
                .filter_map(|block| block.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        Value::Object(object) => match object.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => content.to_string(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_is_read() {
        let chat = r#"{"reward": 1.0, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "get", "arguments": "{\"id\": \"mia_1\"}"}}]},
            {"role": "tool", "content": "r"}, {"role": "assistant", "content": "done"}]}"#
            .replace('\n', " ");
        let read_chat = read(&format!("{chat}\n{chat}\nnoise\n"));
        assert_eq!((read_chat.sessions.len(), read_chat.passed_over), (2, 1));
        let session = &read_chat.sessions[0];
        let roles: Vec<Role> = session.messages.iter().map(|message| message.role).collect();
        assert_eq!(
            roles,
            [Role::System, Role::User, Role::Assistant, Role::Tool, Role::Assistant]
        );
        assert!(session.messages[2].calls[0].arguments.contains("mia_1") && session.succeeded == Some(true));
        let stream = r#"{"type":"system","subtype":"init"}
{"type":"user","message":{"role":"user","content":"go"}}
{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use","name":"Read","input":{"path":"x"}}]}}
{"type":"user","message":{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"file"}]}]}}
{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"b"}]}}"#;
        let read_stream = read(stream);
        let roles: Vec<Role> = read_stream.sessions[0]
            .messages
            .iter()
            .map(|message| message.role)
            .collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
        assert_eq!(read("[1, 2").sessions, []);
        assert_eq!(read("").sessions, []);
    }
}
