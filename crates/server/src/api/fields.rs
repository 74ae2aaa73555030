//! `?fields=` on every route that is read with GET: of the answer's document only these fields, when it is a document and no failure.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Method, Uri, uri::PathAndQuery};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use wheelhouse_context::project::project;

use super::problem::{Code, Problem};

/// The largest document that is cut, in bytes; no document of ours is as large.
const DOCUMENT_MAX: usize = 64 << 20;

/// Takes `fields` out of the request, and everything else out of the answer.
pub(super) async fn only(mut request: Request, next: Next) -> Response {
    // A change that was made must not be answered with a complaint about the answer.
    let wanted = (request.method() == Method::GET)
        .then(|| taken(request.uri()))
        .flatten();
    let Some((fields, rest)) = wanted else {
        return next.run(request).await;
    };
    *request.uri_mut() = rest;
    let response = next.run(request).await;
    let is_document = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    if !response.status().is_success() || !is_document {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, DOCUMENT_MAX).await.ok();
    let Some(whole) = whole.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else {
        return Problem::new(Code::StateFailed, "the document is too large to be cut").into_response();
    };
    match project(&whole, &fields) {
        Ok(kept) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(kept.to_string()))
        }
        Err(miss) => Problem::new(Code::Usage, format!("`fields`: {miss}")).into_response(),
    }
}

/// The wanted fields and the address without them.
fn taken(uri: &Uri) -> Option<(String, Uri)> {
    let query = uri.query()?;
    let (own, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with("fields="));
    let fields = own.first()?.trim_start_matches("fields=");
    let rest = match others.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), others.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse::<PathAndQuery>().ok()?);
    let fields = fields
        .replace("%2C", ",")
        .replace("%2c", ",")
        .replace("%5B%5D", "")
        .replace("%20", " ");
    Some((fields, Uri::from_parts(parts).ok()?))
}
