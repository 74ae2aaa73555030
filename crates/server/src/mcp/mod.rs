//! MCP over streamable HTTP at `/mcp`: the same verbs, for models.
//!
//! The SDK speaks the protocol, 2024-11-05 to 2025-11-25 with a session and 2026-07-28 without one, on one URL. Here is
//! what the verbs mean: [`tool`] lists and finds them, [`lean`], [`crew`], [`more`], [`lead`] and [`project`] do them, [`wait`]
//! holds a call within bounds, [`person`] asks whoever sits before the client.

mod brief;
mod call;
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
mod session;
mod task;
pub(crate) mod tool;
mod wait;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use crate::api::{Faces, body};
use handler::Handler;
use resource::Watchers;
use session::Sessions;

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
    let (parts, body) = request.into_parts();
    match body::bytes(&parts.headers, body).await {
        Ok(bytes) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Err(problem) => problem.into_response(),
    }
}
