//! What Claude Code asks its host, and the lines that answer it.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use wheelhouse_core::agent::{AgentEvent, Reply};

use super::tools::input_detail;
use super::wire::Request;
use crate::decode::jsonl::Field;
use crate::decode::{DETAIL_MAX, cut};

/// An open request of the CLI.
#[derive(Clone, Debug)]
pub enum Ask {
    /// May this tool run?
    Tool {
        /// The tool.
        name: String,
        /// The call, to recognise its result.
        tool_use: String,
        /// What the tool was called with; sent back unchanged when it may run.
        input: Box<RawValue>,
    },
    /// A question of the model's to the user, with choices: a tool whose permission is the answer.
    Questions {
        /// The call.
        tool_use: String,
        /// The questions.
        input: Box<RawValue>,
    },
    /// A form that an MCP server wants filled in.
    Form {
        /// The server.
        server: String,
        /// Its words.
        message: String,
        /// The names of the fields that want text, in the order of the form.
        fields: Vec<String>,
    },
}

impl Ask {
    /// Reads a request; none when this version does not know it.
    pub(super) fn read(request: &Request<'_>) -> Option<Ask> {
        match request.subtype.text()?.as_ref() {
            "can_use_tool" => {
                let name = request.tool_name.string().unwrap_or_default();
                let tool_use = request.tool_use_id.string().unwrap_or_default();
                let input = RawValue::from_string(request.input.json().unwrap_or("{}").to_owned()).ok()?;
                Some(if name == "AskUserQuestion" {
                    Ask::Questions { tool_use, input }
                } else {
                    Ask::Tool { name, tool_use, input }
                })
            }
            "elicitation" => Some(Ask::Form {
                server: request.mcp_server_name.string().unwrap_or_default(),
                message: request.message.string().unwrap_or_default(),
                fields: form_fields(request.requested_schema),
            }),
            _ => None,
        }
    }

    /// The event that tells of it.
    pub(super) fn event(&self, request: &str) -> AgentEvent {
        let request = request.to_owned();
        match self {
            Ask::Tool { name, input, .. } => AgentEvent::Permission {
                request,
                tool: name.clone(),
                detail: serde_json::from_str::<Field<'_>>(input.get())
                    .map(input_detail)
                    .unwrap_or_default(),
            },
            Ask::Questions { input, .. } => AgentEvent::Question {
                request,
                text: questions_text(input),
            },
            Ask::Form {
                server,
                message,
                fields,
            } => AgentEvent::Question {
                request,
                text: cut(&format!("{server} asks: {message} ({})", fields.join(", ")), DETAIL_MAX),
            },
        }
    }

    /// The tool call that an answer of no refuses.
    pub fn tool_use(&self) -> Option<&str> {
        match self {
            Ask::Tool { tool_use, .. } | Ask::Questions { tool_use, .. } => Some(tool_use),
            Ask::Form { .. } => None,
        }
    }

    /// The line that answers it.
    pub fn answer(&self, request: &str, reply: &Reply) -> Vec<u8> {
        let response = match (self, reply) {
            (Ask::Tool { input, .. }, Reply::Allow) => json!({"behavior": "allow", "updatedInput": value(input)}),
            // Words to a permission request are a no with a reason: only `Allow` allows.
            (Ask::Tool { .. } | Ask::Questions { .. }, Reply::Deny(words))
            | (Ask::Tool { .. }, Reply::Words(words)) => {
                json!({"behavior": "deny", "message": or_else(words, "This was not allowed.")})
            }
            (Ask::Questions { input, .. }, Reply::Words(words)) => {
                json!({"behavior": "allow", "updatedInput": answered(value(input), words)})
            }
            (Ask::Questions { .. }, Reply::Allow) => {
                json!({"behavior": "deny", "message": "Nobody answered; decide yourself and say what you assumed."})
            }
            (Ask::Form { fields, .. }, Reply::Words(words)) => {
                json!({"action": "accept", "content": filled(fields, words)})
            }
            (Ask::Form { fields, .. }, Reply::Allow) if fields.is_empty() => json!({"action": "accept", "content": {}}),
            (Ask::Form { .. }, Reply::Allow | Reply::Deny(_)) => json!({"action": "decline"}),
        };
        line(&json!({
            "type": "control_response",
            "response": {"subtype": "success", "request_id": request, "response": response},
        }))
    }
}

/// The line that refuses a request nobody knows. `request` is JSON.
pub fn refusal(request: &str, what: &str) -> Vec<u8> {
    let request: Value = serde_json::from_str(request).unwrap_or(Value::Null);
    line(&json!({
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request, "error": format!("unsupported request: {what}")},
    }))
}

/// A JSON line.
pub(super) fn line(value: &Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

fn value(input: &RawValue) -> Value {
    serde_json::from_str(input.get()).unwrap_or(Value::Null)
}

fn or_else<'a>(words: &'a str, default: &'a str) -> &'a str {
    if words.trim().is_empty() { default } else { words }
}

/// The questions with one answer to all of them, in the shape that the tool reads.
fn answered(mut input: Value, words: &str) -> Value {
    let questions: Vec<String> = input["questions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|question| question["question"].as_str().map(str::to_owned))
        .collect();
    let answers: serde_json::Map<String, Value> =
        questions.into_iter().map(|question| (question, words.into())).collect();
    if let Some(object) = input.as_object_mut() {
        object.insert("answers".to_owned(), Value::Object(answers));
    }
    input
}

/// A form filled in: a JSON object as it is, other words into every field.
fn filled(fields: &[String], words: &str) -> Value {
    if let Ok(object @ Value::Object(_)) = serde_json::from_str(words) {
        return object;
    }
    Value::Object(fields.iter().map(|field| (field.clone(), words.into())).collect())
}

fn form_fields(schema: Field<'_>) -> Vec<String> {
    let schema: Value = schema.read().unwrap_or_default();
    let properties = schema["properties"].as_object();
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

fn questions_text(input: &RawValue) -> String {
    let input = value(input);
    let questions = input["questions"].as_array().into_iter().flatten().map(|question| {
        let options: Vec<&str> = question["options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|option| option["label"].as_str())
            .collect();
        format!(
            "{} [{}]",
            question["question"].as_str().unwrap_or_default(),
            options.join(" | ")
        )
    });
    cut(&questions.collect::<Vec<_>>().join("\n"), DETAIL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> Ask {
        Ask::read(&serde_json::from_str(request).expect("JSON")).expect("known")
    }

    fn answer(ask: &Ask, reply: &Reply) -> Value {
        let line: Value = serde_json::from_slice(&ask.answer("r1", reply)).expect("JSON");
        assert_eq!(line["response"]["request_id"], "r1");
        line["response"]["response"].clone()
    }

    #[test]
    fn a_tool_is_allowed_with_its_own_input_or_refused_with_words() {
        let ask = ask(
            r#"{"subtype":"can_use_tool","tool_name":"Write","input":{"file_path":"/a","content":"x"},"tool_use_id":"t1"}"#,
        );
        assert_eq!(
            ask.event("r1"),
            AgentEvent::Permission {
                request: "r1".into(),
                tool: "Write".into(),
                detail: "/a".into()
            }
        );
        assert_eq!(
            answer(&ask, &Reply::Allow),
            json!({"behavior": "allow", "updatedInput": {"file_path": "/a", "content": "x"}})
        );
        let no = json!({"behavior": "deny", "message": "not here"});
        assert_eq!(answer(&ask, &Reply::Deny("not here".into())), no);
        assert_eq!(answer(&ask, &Reply::Words("not here".into())), no);
    }

    #[test]
    fn a_question_is_answered_with_words() {
        let ask = ask(
            r#"{"subtype":"can_use_tool","tool_name":"AskUserQuestion","tool_use_id":"t","input":{"questions":[{"question":"Which?","options":[{"label":"A"},{"label":"B"}]}]}}"#,
        );
        assert_eq!(
            ask.event("r1"),
            AgentEvent::Question {
                request: "r1".into(),
                text: "Which? [A | B]".into()
            }
        );
        assert_eq!(
            answer(&ask, &Reply::Words("B".into()))["updatedInput"]["answers"],
            json!({"Which?": "B"})
        );
    }

    #[test]
    fn a_form_is_filled_in() {
        let ask = ask(
            r#"{"subtype":"elicitation","mcp_server_name":"log","message":"Really?","requested_schema":{"properties":{"answer":{"type":"string"}}}}"#,
        );
        assert_eq!(
            answer(&ask, &Reply::Words("yes".into())),
            json!({"action": "accept", "content": {"answer": "yes"}})
        );
        assert_eq!(
            answer(&ask, &Reply::Words(r#"{"answer":"no"}"#.into())),
            json!({"action": "accept", "content": {"answer": "no"}})
        );
        assert_eq!(answer(&ask, &Reply::Deny(String::new())), json!({"action": "decline"}));
    }
}
