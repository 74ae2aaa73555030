//! The WebSockets of madrox: the crew as it changes, and its logs as they grow.
//!
//! A socket holds a cursor and nothing else; what it sends it has just read. It is told by news and not by a clock, so a
//! change is there at once and a quiet crew costs nothing; the ping is what its clients look for.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use axum_tws::{CloseCode, Limits, Message, WebSocket, WebSocketError, WebSocketUpgrade};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wheelhouse_core::crew::AuditView;
use wheelhouse_core::ids::Cursor;
use wheelhouse_core::instance::InstanceView;
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::Millis;

use super::rest::{audit_record, audited, event_type, name_of, sentence};
use super::shape::{is_active, tile, views};
use crate::api::Faces;
use crate::api::problem::Problem;
use crate::face::crew_verb;
use crate::face::document::{self, moment};
use crate::face::failure::Failure;
use crate::face::feed::{Feed, News};
use crate::face::moment::now;
use crate::guard::Caller;
use crate::token::Scope;

/// How many sockets there may be at a time.
pub(super) const SOCKETS_MAX: usize = 100;
/// How many lines of the past a socket begins with.
const PAST: usize = 100;
/// How many lines are read at a time.
const PAGE: u32 = 500;
/// At most so often the crew is sent, however fast it changes.
const PACE: Duration = Duration::from_millis(200);
/// How often a socket says that it lives.
const PING: Duration = Duration::from_secs(2);
/// The longest frame that a client may send, in bytes: it has nothing to say but that it is there.
const FRAME_MAX: usize = 64 << 10;

/// The crew: what there is, and every change.
pub(super) async fn monitor(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Extension(places): Extension<Arc<Semaphore>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let place = places.try_acquire_owned().ok();
    let upgrade = upgrade.limits(Limits::default().max_payload_len(Some(FRAME_MAX)));
    Ok(upgrade.on_upgrade(move |socket| async move {
        // A socket that breaks is its client's news, not ours.
        if let Some((socket, _place)) = admitted(socket, place).await {
            let _ = watch(&faces, socket).await;
        }
    }))
}

/// The logs: what is there, and every new line.
pub(super) async fn logs(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Extension(places): Extension<Arc<Semaphore>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let place = places.try_acquire_owned().ok();
    let upgrade = upgrade.limits(Limits::default().max_payload_len(Some(FRAME_MAX)));
    Ok(upgrade.on_upgrade(move |socket| async move {
        if let Some((socket, _place)) = admitted(socket, place).await {
            let _ = tail(&faces, socket).await;
        }
    }))
}

async fn admitted(
    mut socket: WebSocket,
    place: Option<OwnedSemaphorePermit>,
) -> Option<(WebSocket, OwnedSemaphorePermit)> {
    match place {
        Some(place) => Some((socket, place)),
        None => {
            let no = Message::close(Some(CloseCode::POLICY_VIOLATION), "Connection limit reached");
            let _ = socket.send(no).await;
            None
        }
    }
}

/// Why a socket ended: its client went, or the store could not be read.
enum Ended {
    Gone,
    Failed,
}

impl From<WebSocketError> for Ended {
    fn from(_: WebSocketError) -> Ended {
        Ended::Gone
    }
}

impl From<Failure> for Ended {
    fn from(_: Failure) -> Ended {
        Ended::Failed
    }
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), Ended> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

/// What both sockets show: the crew, and the audit lines after one.
fn seen(reader: &mut dyn Reader, after: u64) -> Result<(Vec<InstanceView>, Vec<AuditView>), Failure> {
    let all = views(reader, true)?;
    let (lines, _) = crew_verb::audit(reader, after, None, None, PAGE)?;
    Ok((all, lines))
}

/// The audit lines that a socket begins with.
fn past(reader: &mut dyn Reader) -> Result<(Vec<InstanceView>, Vec<AuditView>), Failure> {
    Ok((views(reader, true)?, audited(reader, None, Millis(0), PAST)?))
}

fn tiles(all: &[InstanceView]) -> Vec<Value> {
    all.iter().filter(|view| is_active(view)).map(tile).collect()
}

fn told(line: &AuditView, all: &[InstanceView]) -> Value {
    let name = name_of(all, line.instance);
    json!({ "type": "audit_log", "timestamp": moment(now()), "data": { "log": {
        "id": line.id.to_string(),
        "timestamp": moment(line.at),
        "type": event_type(&line.verb),
        "message": sentence(line, &name),
        "instanceId": line.instance.map(|id| id.to_string()),
    } } })
}

async fn watch(faces: &Faces, mut socket: WebSocket) -> Result<(), Ended> {
    let mut ears = faces.desk.news();
    let (all, lines) = faces.desk.read(past).await?;
    let mut shown = tiles(&all);
    let initial = json!({ "type": "initial_state", "timestamp": moment(now()), "data": { "instances": shown } });
    send(&mut socket, &initial).await?;
    for line in &lines {
        send(&mut socket, &told(line, &all)).await?;
    }
    let mut after = lines.last().map_or(0, |line| line.id);
    loop {
        tokio::select! {
            heard = ears.changed() => if heard.is_err() { return Ok(()) },
            frame = socket.recv() => match frame {
                // Its heartbeat: it wants to see how things stand.
                Some(Ok(frame)) if frame.is_text() || frame.is_binary() => shown.clear(),
                Some(Ok(frame)) if !frame.is_close() => continue,
                Some(Ok(_) | Err(_)) | None => return Ok(()),
            },
            () = faces.stop.cancelled() => return Ok(()),
        }
        ears.mark_unchanged();
        let from = after;
        let (all, lines) = faces.desk.read(move |reader| seen(reader, from)).await?;
        let fresh = tiles(&all);
        if fresh != shown {
            let update =
                json!({ "type": "instance_update", "timestamp": moment(now()), "data": { "instances": fresh } });
            send(&mut socket, &update).await?;
            shown = fresh;
        }
        for line in &lines {
            send(&mut socket, &told(line, &all)).await?;
        }
        after = lines.last().map_or(after, |line| line.id);
        tokio::time::sleep(PACE).await;
    }
}

fn audit_line(line: &AuditView, all: &[InstanceView]) -> Value {
    let record = audit_record(line, &name_of(all, line.instance));
    json!({ "type": "audit_log", "data": {
        "timestamp": record["timestamp"],
        "level": record["level"],
        "logger": record["logger"],
        "message": record["event"],
        "action": record["event_type"],
        "metadata": record["details"],
    } })
}

/// An event of the history as a line of the system's log.
fn system_line(news: &News) -> Value {
    let whole = document::event(&news.event, news.key.as_ref());
    let about = match &news.key {
        Some(key) => document::task_name(news.event.run, key),
        None => news.event.run.to_string(),
    };
    let level = match whole["outcome"]["class"].as_str() {
        Some("succeeded") | None => "INFO",
        Some(_) => "WARNING",
    };
    json!({ "type": "system_log", "data": {
        "timestamp": moment(news.event.at),
        "level": level,
        "logger": "orchestrator",
        "message": format!("{about} {}", news.event.happened.name().replace('_', " ")),
        "event": whole,
    } })
}

async fn tail(faces: &Faces, mut socket: WebSocket) -> Result<(), Ended> {
    let mut ears = faces.desk.news();
    let (all, lines) = faces.desk.read(past).await?;
    for line in &lines {
        send(&mut socket, &audit_line(line, &all)).await?;
    }
    let mut after = lines.last().map_or(0, |line| line.id);
    let mut feed = faces
        .desk
        .read(|reader| {
            let mut feed = Feed::new(Cursor(0), None);
            feed.skip_to_end(reader)?;
            // Some of the past, so that the panel is not empty.
            let from = feed.cursor.0.saturating_sub(PAST as u64);
            Ok(Feed::new(Cursor(from), None))
        })
        .await?;
    let mut ping = tokio::time::interval(PING);
    loop {
        let from = after;
        let (next, news, (all, lines)) = faces
            .desk
            .read(move |reader| {
                let news = feed.next(reader)?;
                Ok((feed, news, seen(reader, from)?))
            })
            .await?;
        feed = next;
        for one in &news {
            send(&mut socket, &system_line(one)).await?;
        }
        for line in &lines {
            send(&mut socket, &audit_line(line, &all)).await?;
        }
        after = lines.last().map_or(after, |line| line.id);
        if !news.is_empty() || !lines.is_empty() {
            continue;
        }
        loop {
            tokio::select! {
                heard = ears.changed() => match heard {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                _ = ping.tick() => send(&mut socket, &json!({ "type": "ping" })).await?,
                frame = socket.recv() => match frame {
                    Some(Ok(frame)) if !frame.is_close() => {}
                    Some(Ok(_) | Err(_)) | None => return Ok(()),
                },
                () = faces.stop.cancelled() => return Ok(()),
            }
        }
    }
}
