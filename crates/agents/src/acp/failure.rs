//! From an error object of an agent to the class that everybody else reads.
//!
//! The shapes were recorded: `data.errorKind` (Claude), `data.codex_error_info` (Codex), `data.errorName` (OpenCode), an
//! HTTP status as the code and the provider's body as the message (Gemini). What they share is left to
//! [`crate::decode::failure`].

use serde_json::Value;
use wheelhouse_core::outcome::Outcome;

use crate::decode::cut;
use crate::decode::failure::{Failure, class};

/// How much of a message goes into the one line for people, in bytes.
const DETAIL_BYTES_MAX: usize = 300;

/// JSON-RPC's code for a method that does not exist.
pub(super) const NO_SUCH_METHOD: i64 = -32601;
/// The protocol's code for a login that is missing.
const AUTH_REQUIRED: i64 = -32000;
/// The protocol's code for a session that is not there.
const NOT_FOUND: i64 = -32002;

/// The class and the line of an error object.
pub(super) fn of_error(error: &Value) -> (Outcome, String) {
    let code = error["code"].as_i64().unwrap_or(0);
    let data = &error["data"];
    let parts = [&error["message"], &data["message"], &data["details"]];
    let words: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
    let mut message = words.join(": ");
    if message.is_empty() {
        message = error.to_string();
    }
    let kinds = [&data["errorKind"], &data["errorName"], &data["codex_error_info"]];
    let kinds: Vec<&str> = kinds.iter().filter_map(|kind| kind.as_str()).collect();
    let status = u64::try_from(code)
        .ok()
        .filter(|code| (400..600).contains(code))
        .or_else(|| http_status(data));
    let outcome = match code {
        AUTH_REQUIRED => Outcome::Auth,
        NOT_FOUND => Outcome::Unavailable,
        _ => by_name(&kinds).unwrap_or_else(|| of_message(status, &kinds, &message)),
    };
    (outcome, line(&message))
}

/// The class of words, with a status where one is known.
pub(super) fn of_message(status: Option<u64>, kinds: &[&str], message: &str) -> Outcome {
    let retry_after_ms = retry_delay(message);
    // Gemini says "exceeded your current quota" of a minute as of a day; only the day's is worth holding for.
    let limit = message.contains("quotaId").then(|| message.contains("PerDay"));
    match limit {
        Some(true) => return Outcome::Quota { resets_at: None },
        Some(false) => return Outcome::RateLimited { retry_after_ms },
        None => {}
    }
    let outcome = class(&Failure {
        status: status.or_else(|| status_in(message)),
        kinds: kinds.to_vec(),
        message,
        retry_after_ms,
        ..Failure::default()
    });
    match outcome {
        Outcome::Crashed | Outcome::Overloaded if says_too_long(message) => Outcome::ContextTooLong,
        Outcome::Crashed | Outcome::Overloaded if is_cut(message) => Outcome::Truncated,
        // Gemini again, whatever the provider's own status was.
        Outcome::Crashed | Outcome::Overloaded if message.contains("is not found for API version") => {
            Outcome::Unavailable
        }
        outcome => outcome,
    }
}

/// The class and the line of a failure that an agent says as a part of its answer (Copilot).
pub(super) fn of_words(words: &str) -> (Outcome, String) {
    let words = words.trim_start_matches("Error: ");
    let outcome = match of_message(None, &[], words) {
        Outcome::Crashed if words.starts_with("No response was returned") => Outcome::Empty,
        outcome => outcome,
    };
    (outcome, line(words))
}

/// The line for people: the provider's own words where a whole body came as the message.
pub(super) fn line(message: &str) -> String {
    let inner = message
        .find('{')
        .and_then(|at| serde_json::from_str::<Value>(message[at..].trim()).ok())
        .and_then(|body| Some(body["error"]["message"].as_str()?.to_owned()));
    cut(inner.as_deref().unwrap_or(message).trim(), DETAIL_BYTES_MAX)
}

/// Names that OpenCode gives its errors.
fn by_name(kinds: &[&str]) -> Option<Outcome> {
    kinds.iter().find_map(|kind| match *kind {
        "ContextOverflowError" => Some(Outcome::ContextTooLong),
        "ProviderAuthError" => Some(Outcome::Auth),
        "MessageOutputLengthError" => Some(Outcome::Truncated),
        "ProviderModelNotFoundError" => Some(Outcome::Unavailable),
        _ => None,
    })
}

/// What Node (with the status 500 of Gemini CLI's), Bun and the Claude adapter say of a body that broke off.
fn is_cut(message: &str) -> bool {
    line(message) == "terminated"
        || message.contains("socket connection was closed unexpectedly")
        || message.contains("(ECONNRESET)")
}

fn says_too_long(message: &str) -> bool {
    message.contains("context exceeds model limit") || message.contains("exceeds the maximum number of tokens")
}

/// `{"response_too_many_failed_attempts":{"http_status_code":429}}`, camel case or not; `{"statusCode":429}`.
fn http_status(data: &Value) -> Option<u64> {
    let info = [&data["codex_error_info"], &data["codexErrorInfo"]];
    let inner = info
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|info| info.values());
    inner.chain([data]).find_map(|of| {
        ["http_status_code", "httpStatusCode", "statusCode", "status"]
            .iter()
            .find_map(|name| of[*name].as_u64())
    })
}

/// The status in `(429)` and `status 429`, as the agents write it into their words.
fn status_in(message: &str) -> Option<u64> {
    let after = [
        "rejected (",
        "(HTTP ",
        "Last error: ",
        "status: ",
        "status code ",
        "status ",
        "\"code\":",
    ]
    .iter()
    .find_map(|words| Some(message.split_once(words)?.1))?;
    let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
    let status = digits.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

/// The wait in `"retryDelay":"3s"`.
fn retry_delay(message: &str) -> Option<u64> {
    let after = message.split_once("retryDelay")?.1;
    let after = after.trim_start_matches(['"', '\\', ':', ' ']);
    let number: f64 = after.split(['s', '"', '\\']).next()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and a negative wait is none"
    )]
    Some((number * 1_000.0) as u64)
}

/// The status of Codex's error, which its adapter passes on beside a notice.
pub(super) fn codex_status(error: &Value) -> Option<u64> {
    http_status(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn recorded_errors_have_their_class() {
        let limited = Outcome::RateLimited { retry_after_ms: None };
        for (error, expected) in [
            (
                json!({"code": -32603, "message": "Internal error: API Error: Request rejected (429) · rate limited (fake)", "data": {"errorKind": "rate_limit"}}),
                limited.clone(),
            ),
            (
                json!({"code": -32603, "message": "Internal error", "data": {"message": "exceeded retry limit, last status: 429 Too Many Requests", "codex_error_info": {"response_too_many_failed_attempts": {"http_status_code": 429}}}}),
                limited,
            ),
            (
                json!({"code": -32603, "message": "Internal error", "data": {"message": "unexpected status 401 Unauthorized: invalid x-api-key", "codex_error_info": "other"}}),
                Outcome::Auth,
            ),
            (
                json!({"code": -32000, "message": "Authentication required"}),
                Outcome::Auth,
            ),
            (
                json!({"code": 400, "message": "{\"error\":{\"code\":400,\"message\":\"prompt is too long: 250000 tokens > 200000 maximum\"}}"}),
                Outcome::ContextTooLong,
            ),
            (
                json!({"code": -32603, "message": "Internal error: Session too large to compact - context exceeds model limit even after stripping media", "data": {"errorName": "ContextOverflowError"}}),
                Outcome::ContextTooLong,
            ),
            (
                json!({"code": 429, "message": "{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota\",\"details\":[{\"quotaId\":\"GenerateRequestsPerMinute\"},{\"retryDelay\":\"3s\"}]}}"}),
                Outcome::RateLimited {
                    retry_after_ms: Some(3_000),
                },
            ),
            (
                json!({"code": 429, "message": "{\"error\":{\"details\":[{\"quotaId\":\"GenerateRequestsPerDay\"}]}}"}),
                Outcome::Quota { resets_at: None },
            ),
            (
                json!({"code": -32002, "message": "Resource not found"}),
                Outcome::Unavailable,
            ),
            (
                json!({"code": -32603, "message": "Internal error", "data": {"details": "no rollout found for thread id 1"}}),
                Outcome::Unavailable,
            ),
            (
                json!({"code": 400, "message": "{\"error\":{\"code\":400,\"message\":\"The input token count (250000) exceeds the maximum number of tokens allowed (200000).\"}}"}),
                Outcome::ContextTooLong,
            ),
            (
                json!({"code": 500, "message": "models/gemini-2.5-pro is not found for API version v1beta, or is not supported for generateContent."}),
                Outcome::Unavailable,
            ),
            (json!({"code": 500, "message": "terminated"}), Outcome::Truncated),
            (
                json!({"code": -32603, "message": "Cannot connect to API: The socket connection was closed unexpectedly."}),
                Outcome::Truncated,
            ),
            (json!({"code": 500, "message": "anything"}), Outcome::Overloaded),
            (json!({"code": -32603, "message": "Internal error"}), Outcome::Crashed),
            (json!("nonsense"), Outcome::Crashed),
        ] {
            assert_eq!(of_error(&error).0, expected, "{error}");
        }
    }

    #[test]
    fn the_line_for_people_is_the_providers_own() {
        let error = json!({"code": 400, "message": "{\"error\":{\"code\":400,\"message\":\"too long\"}}"});
        assert_eq!(of_error(&error).1, "too long");
        let nested = json!({"code": -32603, "message": "Internal error", "data": {"details": "no rollout"}});
        assert_eq!(of_error(&nested).1, "Internal error: no rollout");
    }
}
