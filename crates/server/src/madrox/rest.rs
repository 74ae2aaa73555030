//! The REST paths of madrox. What a tool answers is the same whichever way it is called; a failure is a problem document
//! (with the `detail` that madrox's clients read), never a success that says otherwise.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wheelhouse_core::crew::AuditView;
use wheelhouse_core::ids::{InstanceId, MessageId, RunId};
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::Millis;

use super::shape::{self, record, views};
use super::{Asked, look, named, socket, verbs};
use crate::api::body::{Asked as Query, Wish};
use crate::api::problem::{Code, Problem};
use crate::api::{Documented, Faces};
use crate::face::document::{crew as document, moment};
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::{crew, crew_verb};
use crate::guard::{self, Caller};
use crate::mcp::tool;
use crate::token::Scope;

/// How many lines of a log are given when nobody says.
const LINES: usize = 100;
/// How many lines of a log are given at the most.
const LINES_MAX: usize = 10_000;
/// How many lines are read at a time.
const PAGE: u32 = 1_000;

/// Its routes, behind the token, and open to pages of this machine.
pub(crate) fn router(faces: &Faces) -> Router {
    let sockets = Arc::new(Semaphore::new(socket::SOCKETS_MAX));
    Router::new()
        .route("/", get(root))
        .route("/tools", get(tools))
        .route("/tools/execute", post(execute))
        .route("/instances", get(instances))
        .route("/instances/{instance}", get(instance))
        .route("/instances/{instance}/health", post(health))
        .route("/instances/{instance}/live_status", get(live))
        .route("/instances/{instance}/terminal", get(terminal))
        .route("/logs/audit", get(audit))
        .route("/logs/instances/{instance}", get(instance_logs))
        .route("/logs/communication/{instance}", get(communication))
        .route("/network/hierarchy", get(hierarchy))
        .route("/api/monitoring/sessions", get(sessions))
        .route("/api/monitoring/sessions/{session}/summaries", get(session_summaries))
        .route("/api/monitoring/sessions/{session}/instances/{instance}", get(history))
        .route("/api/monitoring/current", get(current))
        .route("/mcp/health", get(mcp_health))
        .route("/ws/monitor", get(socket::monitor))
        .route("/ws/logs", get(socket::logs))
        .with_state(faces.clone())
        .layer(Extension(sockets))
        .layer(middleware::from_fn_with_state(faces.clone(), guard::token))
        .layer(middleware::from_fn(pages))
}

/// Lets pages of this machine read the answers: the guard in front has refused those of others.
async fn pages(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = match (&origin, request.method() == Method::OPTIONS) {
        // What a browser asks beforehand shows no token.
        (Some(_), true) => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        );
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, idempotency-key"),
        );
    }
    response
}

async fn root(State(faces): State<Faces>) -> Documented {
    let views = faces.desk.read(|reader| views(reader, false)).await?;
    let names: Vec<&str> = verbs().iter().map(|verb| verb.name).collect();
    Ok(Json(json!({
        "name": "wheelhouse",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "A crew of coding agents, under the names that clients of madrox know",
        "tools": names,
        "active_instances": views.len(),
        "server_time": moment(now()),
    })))
}

async fn tools() -> Json<Value> {
    let tools: Vec<Value> = verbs()
        .iter()
        .map(|verb| {
            let schema = tool::as_listed(verb.name).map(|listed| Value::Object((*listed.input_schema).clone()));
            json!({
                "name": verb.name,
                "description": verb.about,
                "inputSchema": schema,
                "input_schema": schema,
            })
        })
        .collect();
    Json(json!({ "tools": tools }))
}

#[derive(Deserialize)]
struct Executed {
    tool: String,
    #[serde(default)]
    arguments: Option<Value>,
}

async fn execute(State(faces): State<Faces>, Extension(caller): Extension<Caller>, wish: Wish<Executed>) -> Documented {
    let Executed { tool, arguments } = wish.wish;
    let verb = named(&tool).map_err(|failure| Problem::new(Code::Usage, failure.message))?;
    tool::allowed(caller, verb.user, verb.effect)?;
    let asked = Asked {
        faces: &faces,
        caller,
        verb: verb.name,
        arguments: arguments.unwrap_or_else(|| json!({})),
        key: wish.once.map(|once| once.key),
        gone: faces.stop.child_token(),
    };
    let mut answer = (verb.work)(&asked).await?;
    if let Value::Object(members) = &mut answer {
        members.entry("success").or_insert(Value::Bool(true));
        if let Some(Value::Array(output)) = members.get("output") {
            let count = output.len();
            members.insert("count".to_owned(), count.into());
        }
        members
            .entry("message")
            .or_insert_with(|| format!("{} is done", verb.name).into());
    }
    Ok(Json(answer))
}

/// Calls a verb that only looks.
async fn asked(faces: &Faces, caller: Caller, name: &str, arguments: Value) -> Documented {
    let verb = named(name)?;
    let asked = Asked {
        faces,
        caller,
        verb: verb.name,
        arguments,
        key: None,
        gone: faces.stop.child_token(),
    };
    Ok(Json((verb.work)(&asked).await?))
}

async fn instances(State(faces): State<Faces>, Extension(caller): Extension<Caller>) -> Documented {
    asked(&faces, caller, "get_instance_status", json!({})).await
}

async fn instance(State(faces): State<Faces>, Path(name): Path<String>) -> Documented {
    let view = faces.desk.read(move |reader| crew::instance(reader, &name)).await?;
    Ok(Json(record(&view)))
}

/// Whether it can work: it has not ended, and nothing was done about it because it got nowhere.
async fn health(State(faces): State<Faces>, Path(name): Path<String>) -> Documented {
    let read = faces.desk.read(move |reader| {
        let view = crew::instance(reader, &name)?;
        let stuck = match view.turn {
            Some(task) => reader.task(task)?.is_some_and(|task| {
                let policy_ms = reader.crew_policy().map_or(u64::MAX, |policy| policy.stuck_after_ms);
                let quiet = now()
                    .0
                    .saturating_sub(view.active_at.0.max(task.started_at.map_or(0, |at| at.0)));
                matches!(view.state, InstanceState::Busy) && quiet > policy_ms
            }),
            None => false,
        };
        let healthy = shape::is_active(&view) && !stuck;
        let uptime = now().0.saturating_sub(view.spawned_at.0) / 1_000;
        Ok(json!({
            "instance_id": view.id.to_string(),
            "healthy": healthy,
            "state": shape::state(&view.state),
            "last_activity": moment(view.active_at),
            "uptime_seconds": uptime,
        }))
    });
    Ok(Json(read.await?))
}

async fn live(State(faces): State<Faces>, Path(name): Path<String>) -> Documented {
    let read = faces.desk.read(move |reader| look::live_of(reader, &name));
    Ok(Json(read.await?))
}

#[derive(Deserialize)]
struct Lines {
    lines: Option<usize>,
}

async fn terminal(State(faces): State<Faces>, Path(name): Path<String>, Query(asked): Query<Lines>) -> Documented {
    let most = asked.lines.unwrap_or(1_000).clamp(1, LINES_MAX);
    let read = faces.desk.read(move |reader| {
        let id = crew::instance(reader, &name)?.id;
        Ok(json!({ "instance_id": id.to_string(), "content": look::transcript(reader, &name, Some(most))? }))
    });
    Ok(Json(read.await?))
}

#[derive(Deserialize, Default)]
struct Which {
    limit: Option<usize>,
    since: Option<String>,
    root_instance_id: Option<String>,
}

/// The instance and everything below it.
fn network(all: &[InstanceView], root: InstanceId) -> Vec<InstanceId> {
    let mut network = vec![root];
    // Parents stand before their children.
    for view in all {
        if view.parent.is_some_and(|parent| network.contains(&parent)) {
            network.push(view.id);
        }
    }
    network
}

/// Lines of the audit log, the newest last: of some instances, or of all.
pub(super) fn audited(
    reader: &mut dyn Reader,
    of: Option<&[InstanceId]>,
    after: Millis,
    limit: usize,
) -> Result<Vec<AuditView>, Failure> {
    let mut lines = std::collections::VecDeque::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let (page, next) = crew_verb::audit(reader, at, None, None, PAGE)?;
        from = next;
        for line in page {
            let theirs = of.is_none_or(|of| line.instance.is_some_and(|id| of.contains(&id)));
            if theirs && line.at >= after {
                lines.push_back(line);
                if lines.len() > limit {
                    lines.pop_front();
                }
            }
        }
    }
    Ok(lines.into())
}

/// How madrox calls what was done.
pub(super) fn event_type(verb: &str) -> &str {
    match verb {
        "spawn" => "instance_spawn",
        "send" => "message_exchange",
        "end" => "instance_terminate",
        other => other,
    }
}

/// What was done, for people.
pub(super) fn sentence(line: &AuditView, name: &str) -> String {
    match line.verb.as_str() {
        "spawn" => format!("Spawned instance '{name}'"),
        "send" => format!("Message sent to '{name}'"),
        "end" => format!("Terminated instance '{name}'"),
        other => format!("{other} {name} {}", line.detail).trim().to_owned(),
    }
}

/// A line of the audit log.
pub(super) fn audit_record(line: &AuditView, name: &str) -> Value {
    json!({
        "timestamp": moment(line.at),
        "level": "INFO",
        "logger": "orchestrator.audit",
        "event": sentence(line, name),
        "event_type": event_type(&line.verb),
        "instance_id": line.instance.map(|id| id.to_string()),
        "details": { "instance_name": name, "by": line.by.to_string(), "detail": line.detail },
    })
}

/// The names of instances, for lines that have only their ids.
pub(super) fn name_of(all: &[InstanceView], id: Option<InstanceId>) -> String {
    id.and_then(|id| all.iter().find(|view| view.id == id))
        .map_or_else(String::new, |view| view.spec.name.clone())
}

async fn audit(State(faces): State<Faces>, Query(which): Query<Which>) -> Documented {
    let after = look::since(which.since.as_deref())?;
    let limit = which.limit.unwrap_or(LINES).min(LINES_MAX);
    let read = faces.desk.read(move |reader| {
        let all = views(reader, true)?;
        let of = match &which.root_instance_id {
            Some(name) => Some(network(&all, crew::instance(reader, name)?.id)),
            None => None,
        };
        let lines = audited(reader, of.as_deref(), after, limit)?;
        let logs: Vec<Value> = lines
            .iter()
            .map(|line| audit_record(line, &name_of(&all, line.instance)))
            .collect();
        Ok(json!({ "total": logs.len(), "logs": logs, "file": null, "filtered_by_network": of.is_some() }))
    });
    Ok(Json(read.await?))
}

async fn instance_logs(State(faces): State<Faces>, Path(name): Path<String>, Query(which): Query<Which>) -> Documented {
    let after = look::since(which.since.as_deref())?;
    let limit = which.limit.unwrap_or(LINES).min(LINES_MAX);
    let read = faces.desk.read(move |reader| {
        let view = crew::instance(reader, &name)?;
        let said = look::all_said(reader, &view)?;
        let mut logs: Vec<Value> = said
            .iter()
            .filter(|line| line.at >= after)
            .map(|line| {
                let whole = document::said(line);
                let kind = whole["type"].as_str().unwrap_or_default().to_owned();
                json!({
                    "timestamp": moment(line.at),
                    "level": "INFO",
                    "logger": format!("orchestrator.instance.{}", view.id),
                    "event_type": kind,
                    "message": whole[&kind]["text"],
                    "details": whole[&kind],
                })
            })
            .collect();
        let logs = logs.split_off(logs.len().saturating_sub(limit));
        Ok(json!({ "total": logs.len(), "logs": logs, "instance_id": view.id.to_string(), "file": null }))
    });
    Ok(Json(read.await?))
}

async fn communication(State(faces): State<Faces>, Path(name): Path<String>, Query(which): Query<Which>) -> Documented {
    let after = look::since(which.since.as_deref())?;
    let limit = which.limit.unwrap_or(LINES).min(LINES_MAX);
    let read = faces.desk.read(move |reader| {
        let id = crew::instance(reader, &name)?.id;
        let mut logs = Vec::new();
        let mut from = Some(MessageId::default());
        while let Some(at) = from {
            let (page, next) = crew_verb::messages(reader, at, Some(id), None, PAGE)?;
            from = next;
            logs.extend(page.iter().filter(|view| view.sent_at >= after).map(|view| {
                let mut letter = document::letter(view);
                letter["timestamp"] = moment(view.sent_at).into();
                letter["direction"] = if view.from.instance() == Some(id) {
                    "outbound"
                } else {
                    "inbound"
                }
                .into();
                letter
            }));
        }
        let logs = logs.split_off(logs.len().saturating_sub(limit));
        Ok(json!({ "total": logs.len(), "logs": logs, "instance_id": id.to_string(), "file": null }))
    });
    Ok(Json(read.await?))
}

async fn hierarchy(State(faces): State<Faces>, Query(which): Query<Which>) -> Documented {
    let read = faces.desk.read(move |reader| {
        let mut all = views(reader, false)?;
        if let Some(name) = &which.root_instance_id {
            let network = network(&all, crew::instance(reader, name)?.id);
            all.retain(|view| network.contains(&view.id));
        }
        let instances: Vec<Value> = all.iter().map(|view| in_hierarchy(view, &all)).collect();
        Ok(json!({ "total_instances": all.len(), "instances": instances }))
    });
    Ok(Json(read.await?))
}

fn in_hierarchy(view: &InstanceView, all: &[InstanceView]) -> Value {
    let children: Vec<String> = all
        .iter()
        .filter(|child| child.parent == Some(view.id))
        .map(|child| child.id.to_string())
        .collect();
    json!({
        "id": view.id.to_string(),
        "name": view.spec.name,
        "type": view.spec.agent.as_str(),
        "role": view.spec.role.as_deref().unwrap_or("general"),
        "state": shape::state(&view.state),
        "parent_id": view.parent.map(|parent| parent.to_string()),
        "created_at": moment(view.spawned_at),
        "total_tokens": view.usage.total(),
        "total_cost": shape::dollars(view.cost_nano),
        "request_count": view.turns,
        "children": children,
    })
}

/// The trees of instances, newest first: a session of madrox is one of them, and its id is the run of the tree.
fn trees(all: &[InstanceView]) -> Vec<(RunId, Vec<&InstanceView>)> {
    let mut trees: Vec<(RunId, Vec<&InstanceView>)> = Vec::new();
    for view in all {
        match trees.iter_mut().find(|(run, _)| *run == view.run) {
            Some((_, of)) => of.push(view),
            None => trees.push((view.run, vec![view])),
        }
    }
    trees.reverse();
    trees
}

async fn sessions(State(faces): State<Faces>) -> Documented {
    let all = faces.desk.read(|reader| views(reader, true)).await?;
    let sessions: Vec<Value> = trees(&all)
        .iter()
        .map(|(run, of)| {
            json!({
                "session_id": run.to_string(),
                "instance_count": of.len(),
                "summary_count": of.len(),
                "created_at": of.first().map(|view| moment(view.spawned_at)),
            })
        })
        .collect();
    let current = sessions.first().map(|session| session["session_id"].clone());
    Ok(Json(json!({
        "current_session": current,
        "total_sessions": sessions.len(),
        "sessions": sessions,
    })))
}

/// What every instance of a session has done, in short.
fn summed(reader: &mut dyn Reader, session: Option<&str>) -> Result<Value, Failure> {
    let all = views(reader, true)?;
    let trees = trees(&all);
    let found = match session {
        Some(asked) => trees.iter().find(|(run, _)| run.to_string() == asked),
        None => trees.first(),
    };
    let Some((run, of)) = found else {
        let exist: Vec<String> = trees.iter().map(|(run, _)| run.to_string()).collect();
        return Err(Failure::not_found("session", session.unwrap_or("current"), &exist));
    };
    let mut summaries = serde_json::Map::new();
    for view in of {
        summaries.insert(view.id.to_string(), look::digest(reader, view)?);
    }
    Ok(json!({
        "session_id": run.to_string(),
        "timestamp": moment(now()),
        "instance_count": of.len(),
        "summaries": summaries,
    }))
}

async fn session_summaries(State(faces): State<Faces>, Path(session): Path<String>) -> Documented {
    let read = faces.desk.read(move |reader| summed(reader, Some(&session)));
    Ok(Json(read.await?))
}

async fn current(State(faces): State<Faces>) -> Documented {
    Ok(Json(faces.desk.read(|reader| summed(reader, None)).await?))
}

async fn history(State(faces): State<Faces>, Path((session, name)): Path<(String, String)>) -> Documented {
    let read = faces.desk.read(move |reader| {
        let view = crew::instance(reader, &name)?;
        if view.run.to_string() != session {
            return Err(Failure::not_found(
                "such instance in session",
                &session,
                &[view.run.to_string()],
            ));
        }
        let digest = look::digest(reader, &view)?;
        Ok(json!({
            "session_id": session,
            "instance_id": view.id.to_string(),
            "summary_count": 1,
            "summaries": [digest],
        }))
    });
    Ok(Json(read.await?))
}

async fn mcp_health(Extension(caller): Extension<Caller>) -> Documented {
    caller.may(Scope::Read)?;
    let tools: Vec<&str> = verbs().iter().map(|verb| verb.name).collect();
    Ok(Json(json!({
        "status": "healthy",
        "transport": "streamable-http",
        "tools_count": tools.len(),
    })))
}
