//! What a provider says when it does not answer, and the class it means. The one place that knows the error bodies of
//! the four APIs and of the servers that imitate them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderMap;
use serde_json::Value;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::Millis;

use crate::decode::cut;
use crate::decode::failure::{Failure, class};

/// How much of a provider's message is kept, in bytes.
const MESSAGE_MAX: usize = 600;
/// A hint to wait longer than this is no wait but a used-up allowance, in milliseconds.
const WAIT_MAX_MS: u64 = 15 * 60 * 1_000;

/// A refusal or failure in a provider's own words.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trouble {
    /// The HTTP status; none when it came in the middle of a stream.
    pub status: Option<u16>,
    /// The provider's kinds and codes for it, most telling first.
    pub codes: Vec<String>,
    /// The message, bounded.
    pub message: String,
    /// How long it asks to wait.
    pub retry_after_ms: Option<u64>,
    /// When a used-up allowance returns.
    pub resets_at: Option<Millis>,
    /// The provider's id of the request, for its support.
    pub request_id: Option<String>,
    /// What its details say about the limit that was met.
    limit: Option<Limit>,
}

/// Which kind of limit was met, where the provider says so in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Limit {
    /// It is over in a minute.
    Short,
    /// It is over tomorrow.
    Long,
}

impl Trouble {
    /// A status that is no success, or a body that is no stream.
    pub(super) fn of_response(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Trouble {
        let parsed: Option<Value> = serde_json::from_slice(body).ok();
        let mut trouble = parsed.as_ref().and_then(Trouble::in_body).unwrap_or_else(|| Trouble {
            message: first_words(body),
            ..Trouble::default()
        });
        trouble.status = Some(status);
        trouble.retry_after_ms = retry_after(headers, now).or(trouble.retry_after_ms);
        trouble.request_id = request_id(headers).or(trouble.request_id);
        trouble.resets_at = resets_at(headers).or_else(|| {
            let wait = Duration::from_millis(trouble.retry_after_ms?);
            Some(millis(now + wait))
        });
        trouble
    }

    /// The error in a JSON body or event, when it is one.
    pub(super) fn in_body(body: &Value) -> Option<Trouble> {
        // Gemini puts an error into a list where it would have put a stream.
        let body = body.as_array().and_then(|list| list.first()).unwrap_or(body);
        let error = match body.get("error") {
            Some(Value::Null) | None => {
                let is_error = body["type"] == "error" || body["object"] == "error" || body.get("detail").is_some();
                if !is_error {
                    return None;
                }
                body
            }
            Some(error) => error,
        };
        let mut trouble = Trouble::default();
        if let Some(message) = error.as_str() {
            trouble.message = cut(message, MESSAGE_MAX);
            return Some(trouble);
        }
        for field in ["code", "type", "status"] {
            if let Some(code) = error[field].as_str()
                && code != "error"
            {
                trouble.codes.push(code.to_owned());
            }
        }
        let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        trouble.status = status.filter(|code| (400..600).contains(code));
        let message = ["message", "detail"].iter().find_map(|field| error[*field].as_str());
        trouble.message = cut(message.unwrap_or_default(), MESSAGE_MAX);
        trouble.request_id = body["request_id"].as_str().map(str::to_owned);
        for detail in error["details"].as_array().into_iter().flatten() {
            trouble.detail(detail);
        }
        Some(trouble)
    }

    /// One of Google's typed details.
    fn detail(&mut self, detail: &Value) {
        if let Some(reason) = detail["reason"].as_str() {
            self.codes.insert(0, reason.to_owned());
        }
        if let Some(delay) = detail["retryDelay"].as_str() {
            self.retry_after_ms = delay.strip_suffix('s').and_then(seconds);
        }
        for violation in detail["violations"].as_array().into_iter().flatten() {
            let id = violation["quotaId"].as_str().unwrap_or_default();
            if id.contains("PerDay") {
                self.limit = Some(Limit::Long);
            } else if id.contains("PerMinute") && self.limit.is_none() {
                self.limit = Some(Limit::Short);
            }
        }
    }

    /// What it means to everybody else.
    pub fn outcome(&self) -> Outcome {
        let quota = || Outcome::Quota {
            resets_at: self.resets_at,
        };
        let limited = || Outcome::RateLimited {
            retry_after_ms: self.retry_after_ms,
        };
        if self.codes.iter().any(|code| code == "API_KEY_INVALID") {
            return Outcome::Auth;
        }
        match self.limit {
            Some(Limit::Long) => return quota(),
            Some(Limit::Short) => return limited(),
            None => {}
        }
        let class = class(&Failure {
            status: self.status.map(u64::from),
            kinds: self.codes.iter().map(String::as_str).collect(),
            message: &self.message,
            retry_after_ms: self.retry_after_ms,
            resets_at: self.resets_at,
        });
        match (&class, self.status) {
            // Nobody waits that long for a burst to pass.
            (
                Outcome::RateLimited {
                    retry_after_ms: Some(wait),
                },
                _,
            ) if *wait > WAIT_MAX_MS => quota(),
            // A request that the provider does not accept is not accepted when it is repeated.
            (Outcome::Crashed, Some(400..=499)) => Outcome::Unavailable,
            (Outcome::Crashed, Some(500..=599)) => Outcome::Overloaded,
            _ => class,
        }
    }

    /// One line for people: status, code, words, request id.
    pub(super) fn words(&self) -> String {
        let mut words = match self.status {
            Some(status) => format!("HTTP {status}"),
            None => "an error in the middle of the answer".to_owned(),
        };
        if let Some(code) = self.codes.first() {
            words.push_str(&format!(" {code}"));
        }
        if !self.message.is_empty() {
            words.push_str(&format!(": {}", self.message));
        }
        if let Some(id) = &self.request_id {
            words.push_str(&format!(" (request {id})"));
        }
        words
    }
}

/// The beginning of a body that nobody can read, without its markup's line breaks.
pub(super) fn first_words(body: &[u8]) -> String {
    let head = &body[..body.len().min(MESSAGE_MAX)];
    let text = String::from_utf8_lossy(head);
    cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), MESSAGE_MAX / 3)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The provider's id of a request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["request-id", "x-request-id"];
    names.iter().find_map(|name| text(headers, name)).map(str::to_owned)
}

/// `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    if let Some(ms) = text(headers, "retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return seconds(&(ms / 1_000.0).to_string());
    }
    let said = text(headers, "retry-after")?;
    seconds(said).or_else(|| {
        let date = httpdate::parse_http_date(said).ok()?;
        let wait = date.duration_since(now).unwrap_or_default();
        u64::try_from(wait.as_millis()).ok()
    })
}

/// When the allowance of an Anthropic subscription returns, in seconds since 1970.
fn resets_at(headers: &HeaderMap) -> Option<Millis> {
    let reset = text(headers, "anthropic-ratelimit-unified-reset")?;
    Some(Millis(reset.parse::<u64>().ok()?.saturating_mul(1_000)))
}

/// A number of seconds as milliseconds; none for what is no wait.
fn seconds(text: &str) -> Option<u64> {
    let wait = Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()?;
    u64::try_from(wait.as_millis()).ok()
}

fn millis(at: SystemTime) -> Millis {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, body: &str) -> Outcome {
        Trouble::of_response(status, &HeaderMap::new(), body.as_bytes(), UNIX_EPOCH).outcome()
    }

    /// Bodies as the providers document or send them.
    #[test]
    fn bodies_of_many_providers_mean_the_same_classes() {
        let quota = Outcome::Quota { resets_at: None };
        let limited = |retry_after_ms| Outcome::RateLimited { retry_after_ms };
        for (status, body, expected) in [
            (
                401,
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                Outcome::Auth,
            ),
            (
                400,
                r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
                    "details":[{"reason":"API_KEY_INVALID"}]}}]"#,
                Outcome::Auth,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 250000 tokens > 200000 maximum"}}"#,
                Outcome::ContextTooLong,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"The input token count (250000) exceeds the maximum number of tokens allowed (200000).","status":"INVALID_ARGUMENT"}}"#,
                Outcome::ContextTooLong,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (4096 tokens)","type":"exceed_context_size_error"}}"#,
                Outcome::ContextTooLong,
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[
                    {"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"retryDelay":"17.5s"}]}}"#,
                limited(Some(17_500)),
            ),
            (
                429,
                r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDay"}]}]}}"#,
                quota.clone(),
            ),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
                quota,
            ),
            (
                429,
                r#"{"error":{"message":"Rate limit reached. Please try again in 1.2s.","code":"rate_limit_exceeded"}}"#,
                limited(Some(1_200)),
            ),
            (404, r#"{"error":"model 'x' not found"}"#, Outcome::Unavailable),
            (
                400,
                r#"{"object":"error","message":"unknown field `top_q`","type":"BadRequestError","code":400}"#,
                Outcome::Unavailable,
            ),
            (422, r#"{"detail":"bad"}"#, Outcome::Unavailable),
            (502, "<html>bad gateway</html>", Outcome::Overloaded),
            (529, "", Outcome::Overloaded),
        ] {
            assert_eq!(outcome(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn hints_are_read_from_headers_in_every_form() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (name, value, ms) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "350", Some(350)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)),
            ("retry-after", "Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(retry_after(&headers, now), ms, "{name}: {value}");
        }
    }

    #[test]
    fn a_wait_of_hours_is_a_quota_with_its_end() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7200".parse().unwrap());
        let trouble = Trouble::of_response(429, &headers, b"{}", UNIX_EPOCH);
        let resets_at = Some(Millis(7_200_000));
        assert_eq!(trouble.outcome(), Outcome::Quota { resets_at });
    }

    #[test]
    fn an_answer_is_no_error() {
        for body in ["{}", r#"{"error":null,"id":"x"}"#, r#"{"type":"message"}"#, "[]", "3"] {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(Trouble::in_body(&body), None, "{body}");
        }
    }
}
