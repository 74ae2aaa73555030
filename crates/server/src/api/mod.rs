//! The HTTP API: `/api/v1`, its description, and the health of the whole.
//!
//! [`routes`] is the one list: the router, the scope checks and the OpenAPI page are made from it. The documents are
//! those of `docs/json.md`.

pub(crate) mod body;
mod crew;
pub(crate) mod events;
mod fields;
mod lead;
pub(crate) mod logs;
mod look;
mod money;
pub(crate) mod openapi;
pub(crate) mod problem;
mod questions;
pub(crate) mod route;
mod tasks;
mod team;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json, Router, middleware};
use http::{StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wheelhouse_core::tool_scope::ToolScopes;
use wheelhouse_engine::lock::Engine;

use crate::api::problem::{Code, Problem};
use crate::api::route::Route;
use crate::code::Code as Searched;
use crate::desk::Desk;
use crate::face::document::{self, page};
use crate::face::metrics as face_metrics;
use crate::face::moment::now;
use crate::face::tool_search::Tools;
use crate::guard::{self, Guard};
use crate::mcp::rights::Leave;
use crate::mcp::tool::Toolset;
use crate::ports::{Plans, ToolRules};
use crate::token::Scope;

/// How many instances are counted.
const INSTANCES_MAX: u32 = 10_000;
/// How many event streams there may be at a time.
pub(crate) const STREAMS_MAX: usize = 256;
/// Where the API is.
pub(crate) const BASE: &str = "/api/v1";

/// What every request has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Faces {
    pub(crate) desk: Arc<Desk>,
    pub(crate) plans: Arc<dyn Plans>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) code: Arc<Searched>,
    pub(crate) toolset: Toolset,
    pub(crate) tools: Arc<ToolScopes>,
    pub(crate) servers: Arc<Tools>,
    pub(crate) tool_rules: Arc<ToolRules>,
    pub(crate) leave: Arc<Leave>,
    pub(crate) stop: CancellationToken,
    pub(crate) streams: Arc<Semaphore>,
}

/// The answer of a route that answers with a document.
pub(crate) type Documented = Result<Json<Value>, Problem>;

/// Every route below [`BASE`].
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = work::routes();
    routes.extend(tasks::routes());
    routes.extend(logs::routes());
    routes.extend(questions::routes());
    routes.extend(events::routes());
    routes.extend(crew::routes());
    routes.extend(lead::routes());
    routes.extend(team::routes());
    routes.extend(money::routes());
    routes.extend(look::routes());
    routes
}

/// The whole of HTTP, with `more` behind the token as well.
pub(crate) fn router(faces: &Faces, more: Router) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<Faces>> = BTreeMap::new();
    for route in routes() {
        let (path, handler) = route.guarded();
        let merged = match paths.remove(path) {
            Some(before) => before.merge(handler),
            None => handler,
        };
        paths.insert(path, merged);
    }
    let api = paths
        .into_iter()
        .fold(Router::new(), |router, (path, handler)| {
            router.route(&format!("{BASE}{path}"), handler)
        })
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(fields::only))
        .with_state(faces.clone());
    let behind_token = api
        .merge(Router::new().route("/metrics", get(metrics)).with_state(faces.clone()))
        .merge(more)
        .layer(middleware::from_fn_with_state(faces.clone(), guard::token));
    Router::new()
        .route("/health", get(health))
        .route(&format!("{BASE}/health"), get(health))
        .route(&format!("{BASE}/openapi.json"), get(description))
        .with_state(faces.clone())
        .merge(behind_token)
        .merge(crate::madrox::router(faces))
        .fallback(nothing_there)
        .layer(middleware::from_fn_with_state(Arc::clone(&faces.guard), guard::address))
}

/// How the whole is. Open to all who can reach the address; says nothing of the work.
async fn health(State(faces): State<Faces>) -> Response {
    let mut problems = Vec::new();
    let engine = faces.desk.engine();
    if engine == Engine::Absent {
        problems.push(json!({
            "what": "engine",
            "detail": "no engine works on the state; nothing goes on until one does",
        }));
    }
    let store = faces.desk.read(|reader| Ok(reader.store_id()?)).await;
    if let Err(failure) = &store {
        problems.push(json!({ "what": "store", "detail": failure.message }));
    }
    problems.extend(undelivered(faces.desk.state_dir()));
    let crew = faces.desk.read(|reader| {
        let all = reader.instances(Default::default(), None, INSTANCES_MAX)?;
        let running = all.iter().filter(|view| view.turn.is_some()).count();
        Ok(json!({ "total": all.len(), "running": running }))
    });
    let crew = crew.await.unwrap_or_default();
    let (code, status) = if problems.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "degraded")
    };
    let document = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "engine": page::engine_state(engine),
        "store": store.ok(),
        "problems": problems,
        "instances": crew,
        "timestamp": document::moment(now()),
    });
    (code, Json(document)).into_response()
}

/// For Prometheus, which asks with a token as everybody does.
async fn metrics(State(faces): State<Faces>, Extension(caller): Extension<guard::Caller>) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let engine = faces.desk.engine() != Engine::Absent;
    let text = faces
        .desk
        .read(move |reader| face_metrics::metrics(reader, engine, now()));
    let kind = [(header::CONTENT_TYPE, face_metrics::CONTENT_TYPE)];
    Ok((kind, text.await?).into_response())
}

/// Ways of telling people that gave up on what they had to tell; they say so in files of their own.
fn undelivered(state_dir: &std::path::Path) -> Vec<Value> {
    let told = |(name, what): (&str, &str)| {
        let kept = std::fs::read(state_dir.join(format!("notify-{name}.json"))).ok()?;
        let kept: Value = serde_json::from_slice(&kept).ok()?;
        let given_up = kept["given_up"].as_u64().filter(|many| *many > 0)?;
        Some(json!({
            "what": what,
            "detail": match what {
                "telemetry" => format!("{given_up} times in a row the {name} did not take spans; the engine's log says why"),
                _ => format!("the {name} was not told of the last {given_up} notices; the engine's log says why"),
            },
        }))
    };
    let ways = [
        ("webhook", "notifications"),
        ("command", "notifications"),
        ("collector", "telemetry"),
    ];
    ways.into_iter().filter_map(told).collect()
}

async fn description(State(faces): State<Faces>) -> Json<Value> {
    Json(openapi::document(&faces.guard.url()))
}

async fn nothing_there(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}", uri.path()))
        .hint(format!("{BASE}/openapi.json lists what there is"))
}

async fn wrong_method(method: http::Method, uri: Uri) -> Problem {
    Problem::new(Code::WrongMethod, format!("{} does not take {method}", uri.path()))
        .hint(format!("{BASE}/openapi.json lists what there is"))
}
