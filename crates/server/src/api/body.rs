//! Reads what comes with a request: bodies within a length and a time, and queries.

use std::time::Duration;

use axum::body::{self, Body};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::face::verb::Once;

/// The longest body, in bytes: a plan of thousands of tasks fits.
pub(crate) const BODY_MAX: usize = 8 << 20;
/// How long a caller has to send it.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The bytes of a body.
pub(crate) async fn bytes(headers: &HeaderMap, body: Body) -> Result<body::Bytes, Problem> {
    let too_large = || {
        Problem::new(Code::TooLarge, format!("a body has at most {BODY_MAX} bytes"))
            .hint("`wheelhouse run PLAN` in the project takes larger plans")
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_MAX as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_DEADLINE, body::to_bytes(body, BODY_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // What is not too long broke off, and then nobody reads this answer.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Problem::new(
            Code::TooSlow,
            format!("the body did not come within {} s", BODY_DEADLINE.as_secs()),
        )),
    }
}

/// A JSON body; an empty one counts as `{}`.
pub(crate) struct Wish<T> {
    /// What was asked for.
    pub(crate) wish: T,
    /// Marks repetitions of the same request, and what it asked for then.
    pub(crate) once: Option<Once>,
}

/// What stands in the query of a request.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => Err(Problem::new(Code::Usage, rejection.body_text())),
        }
    }
}

/// How long a key may be, in bytes.
const KEY_MAX: usize = 255;

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Wish<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = bytes(&parts.headers, body).await?;
        let key = match parts.headers.get("idempotency-key") {
            None => None,
            Some(key) => match key.to_str() {
                Ok(key) if !key.is_empty() && key.len() <= KEY_MAX => Some(key.to_owned()),
                _ => {
                    return Err(Problem::new(
                        Code::Usage,
                        format!("`Idempotency-Key` is 1 to {KEY_MAX} letters of plain text"),
                    ));
                }
            },
        };
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let wish = serde_json::from_slice(text)
            .map_err(|error| Problem::new(Code::Usage, format!("the body is not what this route takes: {error}")))?;
        let once = key.map(|key| {
            let mut digest = blake3::Hasher::new();
            digest.update(parts.uri.path().as_bytes());
            digest.update(&[0]);
            digest.update(text);
            Once {
                key,
                digest: digest.finalize().to_hex().to_string(),
            }
        });
        Ok(Wish { wish, once })
    }
}
