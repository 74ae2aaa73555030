//! Refusals in each vendor's own words: status, headers, body, and the same as an event in a stream.

use serde_json::{Value, json};

use super::fault::{Fault, FaultKind};
use super::timeline::Vendor;
use super::wire::Frame;

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    RateLimited { retry_after_s: Option<u32> },
    Quota { retry_after_s: Option<u32> },
    ServerError,
    Overloaded { retry_after_s: Option<u32> },
    Oversize,
    Unauthorized,
    Expired,
    Retired { model: String },
    BadRequest { message: String },
    BodyTooLarge,
    UnknownPath,
}

/// A refusal as it is sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Trouble {
    /// The refusal a fault consists of; `None` for faults that begin with 200 or never begin.
    pub(crate) fn of_fault(fault: &Fault, model: &str) -> Option<Trouble> {
        let retry_after_s = fault.retry_after_s;
        match fault.kind {
            FaultKind::RateLimited => Some(Trouble::RateLimited { retry_after_s }),
            FaultKind::Quota => Some(Trouble::Quota { retry_after_s }),
            FaultKind::ServerError => Some(Trouble::ServerError),
            FaultKind::Overloaded => Some(Trouble::Overloaded { retry_after_s }),
            FaultKind::Oversize => Some(Trouble::Oversize),
            FaultKind::Unauthorized => Some(Trouble::Unauthorized),
            FaultKind::Expired => Some(Trouble::Expired),
            FaultKind::Retired => Some(Trouble::Retired {
                model: model.to_owned(),
            }),
            FaultKind::Hang
            | FaultKind::Stall
            | FaultKind::Cut
            | FaultKind::CutClean
            | FaultKind::Reset
            | FaultKind::ErrorEvent
            | FaultKind::Garbage
            | FaultKind::Noise
            | FaultKind::Empty
            | FaultKind::ErrorIn200
            | FaultKind::Refusal
            | FaultKind::MaxTokens => None,
        }
    }

    fn retry_after_s(&self) -> Option<u32> {
        match self {
            Trouble::RateLimited { retry_after_s }
            | Trouble::Quota { retry_after_s }
            | Trouble::Overloaded { retry_after_s } => *retry_after_s,
            Trouble::ServerError
            | Trouble::Oversize
            | Trouble::Unauthorized
            | Trouble::Expired
            | Trouble::Retired { .. }
            | Trouble::BadRequest { .. }
            | Trouble::BodyTooLarge
            | Trouble::UnknownPath => None,
        }
    }

    fn status(&self, vendor: Vendor) -> u16 {
        match self {
            Trouble::RateLimited { .. } | Trouble::Quota { .. } => 429,
            Trouble::ServerError => 500,
            Trouble::Overloaded { .. } => match vendor {
                Vendor::Anthropic => 529,
                Vendor::Responses | Vendor::Chat | Vendor::Gemini => 503,
            },
            Trouble::Oversize | Trouble::BadRequest { .. } => 400,
            Trouble::Unauthorized => 401,
            Trouble::Expired => match vendor {
                Vendor::Gemini => 400,
                Vendor::Anthropic | Vendor::Responses | Vendor::Chat => 401,
            },
            Trouble::Retired { .. } | Trouble::UnknownPath => 404,
            Trouble::BodyTooLarge => 413,
        }
    }

    /// The whole refusal. `seed` makes its request id.
    pub(crate) fn refusal(&self, vendor: Vendor, seed: &str) -> Refusal {
        let mut headers = Vec::new();
        if let Some(seconds) = self.retry_after_s() {
            headers.push(("retry-after", seconds.to_string()));
        }
        let mut body = self.body(vendor);
        match vendor {
            Vendor::Anthropic => {
                body["request_id"] = format!("req_{seed}").into();
                headers.push(("request-id", format!("req_{seed}")));
            }
            Vendor::Responses | Vendor::Chat => headers.push(("x-request-id", format!("req_{seed}"))),
            Vendor::Gemini => {}
        }
        Refusal {
            status: self.status(vendor),
            headers,
            body,
        }
    }

    /// The error object alone.
    pub(crate) fn body(&self, vendor: Vendor) -> Value {
        match vendor {
            Vendor::Anthropic => self.anthropic(),
            Vendor::Responses | Vendor::Chat => self.openai(),
            Vendor::Gemini => self.gemini(vendor),
        }
    }

    /// The error as an event in a stream that began well.
    pub(crate) fn frame(&self, vendor: Vendor, seed: &str) -> Frame {
        let body = self.body(vendor);
        match vendor {
            Vendor::Anthropic => Frame::event("error", &body),
            Vendor::Responses => {
                let error = json!({"code": "server_error", "message": body["error"]["message"]});
                let response = json!({"id": format!("resp_{seed}"), "object": "response", "status": "failed",
                    "error": error, "output": [], "usage": null});
                Frame::event(
                    "response.failed",
                    &json!({"type": "response.failed", "sequence_number": 1_000, "response": response}),
                )
            }
            Vendor::Chat | Vendor::Gemini => Frame::data(&body),
        }
    }

    fn anthropic(&self) -> Value {
        let (kind, message) = match self {
            Trouble::RateLimited { .. } => ("rate_limit_error", "rate limited (fake)".to_owned()),
            Trouble::Quota { .. } => (
                "rate_limit_error",
                "This request would exceed your organization's usage limit (fake)".to_owned(),
            ),
            Trouble::ServerError => ("api_error", "Internal server error".to_owned()),
            Trouble::Overloaded { .. } => ("overloaded_error", "Overloaded".to_owned()),
            Trouble::Oversize => (
                "invalid_request_error",
                "prompt is too long: 250000 tokens > 200000 maximum".to_owned(),
            ),
            Trouble::Unauthorized => ("authentication_error", "invalid x-api-key".to_owned()),
            Trouble::Expired => (
                "authentication_error",
                "OAuth token has expired. Please obtain a new token or refresh your existing token.".to_owned(),
            ),
            Trouble::Retired { model } => ("not_found_error", format!("model: {model}")),
            Trouble::BadRequest { message } => ("invalid_request_error", message.clone()),
            Trouble::BodyTooLarge => ("request_too_large", "Request exceeds the maximum size".to_owned()),
            Trouble::UnknownPath => ("not_found_error", "Not found".to_owned()),
        };
        json!({"type": "error", "error": {"type": kind, "message": message}})
    }

    fn openai(&self) -> Value {
        let (kind, code, message) = match self {
            Trouble::RateLimited { .. } => (
                "requests",
                "rate_limit_exceeded",
                match self.retry_after_s() {
                    Some(seconds) => format!("Rate limit reached (fake). Please try again in {seconds}s."),
                    None => "Rate limit reached (fake).".to_owned(),
                },
            ),
            Trouble::Quota { .. } => (
                "insufficient_quota",
                "insufficient_quota",
                "You exceeded your current quota, please check your plan and billing details (fake).".to_owned(),
            ),
            Trouble::ServerError => (
                "server_error",
                "server_error",
                "The server had an error while processing your request.".to_owned(),
            ),
            Trouble::Overloaded { .. } => ("server_error", "server_is_overloaded", "Overloaded".to_owned()),
            Trouble::Oversize => (
                "invalid_request_error",
                "context_length_exceeded",
                "Your input exceeds the context window of this model: 250000 tokens > 200000 maximum.".to_owned(),
            ),
            Trouble::Unauthorized => (
                "invalid_request_error",
                "invalid_api_key",
                "Incorrect API key provided.".to_owned(),
            ),
            Trouble::Expired => (
                "invalid_request_error",
                "token_expired",
                "Provided authentication token is expired. Please try signing in again.".to_owned(),
            ),
            Trouble::Retired { model } => (
                "invalid_request_error",
                "model_not_found",
                format!("The model `{model}` has been deprecated or does not exist."),
            ),
            Trouble::BadRequest { message } => ("invalid_request_error", "invalid_request_error", message.clone()),
            Trouble::BodyTooLarge => (
                "invalid_request_error",
                "request_too_large",
                "The request body is too large.".to_owned(),
            ),
            Trouble::UnknownPath => (
                "invalid_request_error",
                "unknown_url",
                "Unknown request URL.".to_owned(),
            ),
        };
        json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
    }

    fn gemini(&self, vendor: Vendor) -> Value {
        let (status, message) = match self {
            Trouble::RateLimited { .. } => ("RESOURCE_EXHAUSTED", "rate limited (fake)".to_owned()),
            Trouble::Quota { .. } => (
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota, please check your plan and billing details (fake).".to_owned(),
            ),
            Trouble::ServerError => ("INTERNAL", "An internal error has occurred.".to_owned()),
            Trouble::Overloaded { .. } => (
                "UNAVAILABLE",
                "The model is overloaded. Please try again later.".to_owned(),
            ),
            Trouble::Oversize => (
                "INVALID_ARGUMENT",
                "The input token count (250000) exceeds the maximum number of tokens allowed (200000).".to_owned(),
            ),
            Trouble::Unauthorized => (
                "UNAUTHENTICATED",
                "API key not valid. Please pass a valid API key.".to_owned(),
            ),
            Trouble::Expired => (
                "INVALID_ARGUMENT",
                "API key expired. Please renew the API key.".to_owned(),
            ),
            Trouble::Retired { model } => (
                "NOT_FOUND",
                format!("models/{model} is not found for API version v1beta, or is not supported for generateContent."),
            ),
            Trouble::BadRequest { message } => ("INVALID_ARGUMENT", message.clone()),
            Trouble::BodyTooLarge => ("INVALID_ARGUMENT", "Request payload size exceeds the limit.".to_owned()),
            Trouble::UnknownPath => ("NOT_FOUND", "Not found.".to_owned()),
        };
        let mut error = json!({"code": self.status(vendor), "message": message, "status": status});
        let mut details = Vec::new();
        if let Trouble::Expired = self {
            let reason = json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            });
            details.push(reason);
        }
        if let Trouble::Quota { .. } = self {
            let violation = json!({
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                "quotaId": "GenerateRequestsPerDayPerProjectPerModel",
            });
            details.push(json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}));
        }
        if let Some(seconds) = self.retry_after_s() {
            let delay = format!("{seconds}s");
            details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
        }
        if !details.is_empty() {
            error["details"] = details.into();
        }
        json!({"error": error})
    }
}
