//! JSON-RPC as an editor speaks it: lines in, lines out. Knows nothing of what is asked.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::face::exit;
use crate::face::failure::Failure;

/// The line is no JSON.
const NO_JSON: i64 = -32700;
/// The line is JSON and no message.
const NO_MESSAGE: i64 = -32600;
/// Nobody knows that method.
const NO_METHOD: i64 = -32601;
/// The parameters are not what the method takes.
const BAD_PARAMS: i64 = -32602;
/// It was understood and did not work.
const FAILED: i64 = -32603;
/// The protocol's own code for what does not exist.
const NOT_FOUND: i64 = -32002;

/// What a line says.
#[derive(Debug)]
pub(super) enum Message {
    /// It wants an answer.
    Request { id: Value, method: String, params: Value },
    /// It wants none.
    Notification { method: String, params: Value },
    /// It is the answer to a request of ours.
    Answer { id: Value, result: Result<Value, Value> },
}

/// Why a request is answered with an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    code: i64,
    message: String,
}

impl Refusal {
    /// The parameters are wrong.
    pub(super) fn params(message: impl Into<String>) -> Refusal {
        Refusal {
            code: BAD_PARAMS,
            message: message.into(),
        }
    }

    /// There is no such method.
    pub(super) fn method(method: &str, known: &[&str]) -> Refusal {
        Refusal {
            code: NO_METHOD,
            message: format!("there is no method `{method}`; there is {}", known.join(", ")),
        }
    }

    /// It makes no sense now.
    pub(super) fn now(message: impl Into<String>) -> Refusal {
        Refusal {
            code: NO_MESSAGE,
            message: message.into(),
        }
    }

    /// It did not work.
    pub(super) fn failed(message: impl Into<String>) -> Refusal {
        Refusal {
            code: FAILED,
            message: message.into(),
        }
    }

    /// Whether what was named is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.code == NOT_FOUND
    }

    /// The answer to a request.
    pub(super) fn answer(&self, id: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "error": { "code": self.code, "message": self.message } })
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let code = match failure.exit {
            exit::USAGE => BAD_PARAMS,
            exit::NOT_FOUND => NOT_FOUND,
            _ => FAILED,
        };
        let mut message = failure.message;
        for hint in failure.hints {
            message.push_str("; ");
            message.push_str(&hint);
        }
        Refusal { code, message }
    }
}

/// Reads a line; of one that is no message the whole answer.
pub(super) fn read(line: &str) -> Result<Message, Value> {
    let refused = |id: &Value, code, message: &str| {
        let message = message.to_owned();
        Refusal { code, message }.answer(id)
    };
    let mut value: Value = serde_json::from_str(line)
        .map_err(|error| refused(&Value::Null, NO_JSON, &format!("the line is no JSON: {error}")))?;
    let id = value.get("id").cloned();
    let params = value.get_mut("params").map(Value::take).unwrap_or(json!({}));
    let method = value["method"].as_str().map(str::to_owned);
    match (method, id) {
        (Some(_), Some(id)) if !(id.is_string() || id.is_number()) => Err(refused(
            &Value::Null,
            NO_MESSAGE,
            "the id of a request is a number or a text",
        )),
        (Some(method), Some(id)) => Ok(Message::Request { id, method, params }),
        (Some(method), None) => Ok(Message::Notification { method, params }),
        (None, Some(id)) if value.get("result").is_some() || value.get("error").is_some() => Ok(Message::Answer {
            id,
            result: match value.get_mut("error").map(Value::take) {
                Some(error) => Err(error),
                None => Ok(value["result"].take()),
            },
        }),
        (None, _) => Err(refused(
            &Value::Null,
            NO_MESSAGE,
            "a message is one JSON object a line, with a method or the result of one",
        )),
    }
}

/// The parameters of a method, or why they are none.
pub(super) fn params<T: DeserializeOwned>(method: &str, params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::params(format!("the parameters of {method}: {error}")))
}

/// The answer to a request.
pub(super) fn result(id: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// Something that the editor is told.
pub(super) fn notification(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// Something that the editor is asked.
pub(super) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_something() {
        let said = |line: &str| match read(line) {
            Ok(Message::Request { method, .. }) => format!("request {method}"),
            Ok(Message::Notification { method, .. }) => format!("notification {method}"),
            Ok(Message::Answer { result, .. }) => format!("answer {}", result.is_ok()),
            Err(error) => error["error"]["code"].to_string(),
        };
        for (line, expected) in [
            (r#"{"id":1,"method":"a"}"#, "request a"),
            (r#"{"id":"x","method":"a","params":{}}"#, "request a"),
            (r#"{"method":"a"}"#, "notification a"),
            (r#"{"id":1,"result":null}"#, "answer true"),
            (r#"{"id":1,"error":{"code":-1,"message":"no"}}"#, "answer false"),
            (r#"{"id":{},"method":"a"}"#, "-32600"),
            (r#"{"id":1}"#, "-32600"),
            ("[]", "-32600"),
            ("7", "-32600"),
            ("null", "-32600"),
            ("{", "-32700"),
        ] {
            assert_eq!(said(line), expected, "{line}");
        }
    }
}
