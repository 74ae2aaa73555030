//! MCP over streamable HTTP at `/mcp`: the same verbs, for models.
//!
//! The SDK speaks the protocol, 2024-11-05 to 2025-11-25 with a session and 2026-07-28 without one, on one URL. Here is
//! what the verbs mean: [`tool`] lists and finds them, [`lean`], [`crew`], [`more`], [`lead`] and [`project`] do them, [`wait`]
//! holds a call within bounds, [`person`] asks whoever sits before the client.

mod brief;
mod call;
mod compat;
mod crew;
mod find;
mod handler;
mod lead;
mod lean;
mod more;
mod person;
mod project;
mod prompt;
mod resource;
pub(crate) mod rights;
mod scope;
mod session;
mod task;
pub(crate) mod tool;
mod use_tool;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};

use crate::api::{Faces, body};
pub(crate) use brief::cut;
use handler::Handler;
use resource::Watchers;
use session::Sessions;

/// The version of the protocol that has no sessions.
const STATELESS: &str = "2026-07-28";
/// Where it is.
pub const PATH: &str = "/mcp";

/// The route, and what must be run beside it for ever.
pub(crate) fn service(faces: &Faces) -> (Router, Arc<Watchers>) {
    let watchers = Arc::new(Watchers::default());
    let handler = Handler {
        faces: faces.clone(),
        watchers: Arc::clone(&watchers),
    };
    let mut config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_cancellation_token(faces.stop.clone())
        .with_max_request_body_bytes(body::BODY_MAX)
        // The guard in front knows the names this server answers to, further ones included.
        .disable_allowed_hosts();
    config.session_store = Some(Arc::new(Sessions::new(faces.desk.state_dir())));
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let router = Router::new()
        .nest_service(PATH, service)
        .layer(middleware::from_fn(whole_body));
    (router, watchers)
}

/// The SDK bounds the length of a body and not its time.
async fn whole_body(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match body::bytes(&parts.headers, body).await {
        Ok(bytes) => {
            let body = match sessionless(&mut parts, &bytes) {
                Some(message) => Body::from(message),
                None => Body::from(bytes),
            };
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");
const SESSION_HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

/// A request that has no session and says no version, from clients that know no handshake (madrox's are such): it is read as
/// one of the protocol without sessions, which is what it is. Gives the message with what that protocol wants in it.
fn sessionless(parts: &mut Parts, bytes: &[u8]) -> Option<String> {
    let headers = &mut parts.headers;
    if parts.method != Method::POST || headers.contains_key(&SESSION_HEADER) || headers.contains_key(&VERSION_HEADER) {
        return None;
    }
    let mut message: Value = serde_json::from_slice(bytes).ok()?;
    let method = message["method"].as_str()?.to_owned();
    if method == "initialize" || method.starts_with("notifications/") || message["id"].is_null() {
        return None;
    }
    let named = ["name", "uri", "taskId"]
        .iter()
        .find_map(|key| message["params"][*key].as_str());
    let name = named.map(HeaderValue::from_str);
    if !message["params"].is_object() {
        message["params"] = json!({});
    }
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientInfo": { "name": "unknown", "version": "0" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    headers.insert(VERSION_HEADER, HeaderValue::from_static(STATELESS));
    headers.insert("mcp-method", HeaderValue::from_str(&method).ok()?);
    if let Some(name) = name {
        headers.insert("mcp-name", name.ok()?);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    Some(message.to_string())
}
