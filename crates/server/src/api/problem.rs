//! Failures over HTTP: problem documents (RFC 9457), with the codes and hints that every face has.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::face::exit;
use crate::face::failure::Failure;

/// What went wrong, as far as a program must tell it apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// The request is not what the route takes.
    Usage,
    /// The plan or task has problems.
    Unsound,
    /// What was named does not exist.
    NotFound,
    /// Its state does not allow it.
    Refused,
    /// The route has no such method.
    WrongMethod,
    /// No token, or a wrong one.
    NoToken,
    /// The token may not do that.
    Forbidden,
    /// The request was meant for another server.
    WrongHost,
    /// The page that asks may not.
    WrongOrigin,
    /// The body is too long.
    TooLarge,
    /// The body came too slowly.
    TooSlow,
    /// A limit is reached.
    TooMany,
    /// The store is busy; again later.
    Busy,
    /// The store or the engine failed.
    StateFailed,
}

impl Code {
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Code::Usage => (StatusCode::BAD_REQUEST, "usage", "the request is not understood"),
            Code::Unsound => (StatusCode::UNPROCESSABLE_ENTITY, "usage", "the plan has problems"),
            Code::NotFound => (StatusCode::NOT_FOUND, "not_found", "there is no such thing"),
            Code::Refused => (StatusCode::CONFLICT, "refused", "its state does not allow that"),
            Code::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "usage", "the route has no such method"),
            Code::NoToken => (StatusCode::UNAUTHORIZED, "unauthorized", "a token is needed"),
            Code::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "the token may not do that"),
            Code::WrongHost => (StatusCode::FORBIDDEN, "wrong_host", "meant for another server"),
            Code::WrongOrigin => (StatusCode::FORBIDDEN, "wrong_origin", "asked by a page that may not"),
            Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too long"),
            Code::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", "the body came too slowly"),
            Code::TooMany => (StatusCode::SERVICE_UNAVAILABLE, "too_many", "a limit is reached"),
            Code::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "busy just now"),
            Code::StateFailed => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "state_failed",
                "the stored state failed",
            ),
        }
    }
}

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct Problem(Box<Said>);

#[derive(Debug)]
struct Said {
    code: Code,
    detail: String,
    hints: Vec<String>,
    problems: Option<Value>,
}

impl Problem {
    /// A problem without a hint.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem(Box::new(Said {
            code,
            detail: detail.into(),
            hints: Vec::new(),
            problems: None,
        }))
    }

    /// What went wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// With what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let Failure {
            exit,
            message,
            hints,
            problems,
        } = failure;
        let code = if exit == exit::NOT_FOUND {
            Code::NotFound
        } else if exit == exit::REFUSED || exit == exit::HELD {
            Code::Refused
        } else if exit == exit::USAGE && problems.is_some() {
            Code::Unsound
        } else if exit == exit::USAGE {
            Code::Usage
        } else if exit == exit::BUSY {
            Code::Busy
        } else {
            Code::StateFailed
        };
        Problem(Box::new(Said {
            code,
            detail: message,
            hints,
            problems: problems.map(|problems| *problems),
        }))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Said {
            code,
            detail,
            hints,
            problems,
        } = *self.0;
        let (status, name, title) = code.parts();
        let mut document = json!({
            "type": format!("urn:wheelhouse:problem:{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "code": name,
            "hints": hints,
        });
        if let Some(problems) = problems {
            document["problems"] = problems;
        }
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match code {
            Code::NoToken => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"wheelhouse\""),
                );
            }
            Code::Busy | Code::TooMany => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
