//! Routes about instances: to make them, to talk to them, to stop them.
//!
//! An instance may call them with its own token; what it may do to whom, the store knows. Where a path takes an
//! instance it takes its id, its name, or several with commas.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use wheelhouse_core::agent::McpServer;
use wheelhouse_core::crew::InstanceFilter;
use wheelhouse_core::ids::{Cursor, InstanceId, MessageId};
use wheelhouse_core::instance::Rights;
use wheelhouse_core::message::MessageKind;
use wheelhouse_core::money::parse_usd;
use wheelhouse_core::store::Reader;

use super::body::{Asked, Wish};
use super::problem::Problem;
use super::route::{Answer, Query, Route, Shape};
use super::{Documented, Faces};
use crate::desk::Over;
use crate::face::crew;
use crate::face::crew_verb::{self, Below, Letter, Spawned};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::spawn;
use crate::guard::Caller;

/// How many instances are listed at the most.
const LISTED_MAX: u32 = 10_000;
/// How long a request waits at the most, in seconds.
const SECONDS_MAX: u64 = 100;
/// How many instances one request makes at the most.
const SPAWNED_MAX: u32 = 500;

/// An instance to be made, or several.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct SpawnWish {
    /// What it is called.
    name: String,
    /// Its first message.
    #[serde(default)]
    prompt: Option<String>,
    /// Who does its turns; the default agent when absent.
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    model: Option<String>,
    /// The name of a role.
    #[serde(default)]
    role: Option<String>,
    /// More to be told before everything else.
    #[serde(default)]
    system_prompt: Option<String>,
    /// Below this instance.
    #[serde(default)]
    parent: Option<String>,
    /// Where it works, relative to the project.
    #[serde(default)]
    cwd: Option<String>,
    /// Give it a worktree and a branch of its own.
    #[serde(default)]
    worktree: bool,
    /// MCP servers for its agent: `command`, `args` and `env`, or `url` and `headers`, by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Value>")]
    mcp_servers: BTreeMap<String, McpServer>,
    /// Additional environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// It may not spawn children.
    #[serde(default)]
    no_spawn: bool,
    /// What its turns may spend, in dollars.
    #[serde(default)]
    budget: Option<String>,
    /// So many of them, called NAME-1 and on.
    #[serde(default)]
    count: Option<u32>,
}

/// Words for an instance.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Words {
    /// The words.
    text: String,
    /// A note: read when convenient, opens no turn.
    #[serde(default)]
    note: bool,
    /// The message it replies to.
    #[serde(default)]
    reply_to: Option<String>,
    /// Not before these messages are over, and with their answers.
    #[serde(default)]
    after: Vec<String>,
}

/// How to interrupt.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Interrupting {
    /// Also drop what waits in their mailboxes.
    #[serde(default)]
    clear: bool,
    /// Wait at most so many seconds to see whether they obey.
    #[serde(default)]
    seconds: u64,
}

const INSTANCE: Answer = Answer::Document(&[("instance", Shape::Any)]);
pub(super) const MESSAGES: Answer = Answer::Document(&[("messages", Shape::Any)]);
const STANDING: Answer = Answer::Document(&[("instances", Shape::Any), ("state", Shape::Plain("string"))]);
pub(super) const WAIT: Query = ("seconds", "integer", "Wait at most so many seconds, 100 at the most.");

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let list = Answer::Document(&[("instances", Shape::Any), ("cost", Shape::Any)]);
    let spawned = Answer::Document(&[("spawned", Shape::Any)]);
    let said = Answer::Document(&[
        ("instance", Shape::Any),
        ("output", Shape::Any),
        ("cursor", Shape::Plain("integer")),
    ]);
    let spawn_what = "Make an instance, or several. Repeat it under the same `Idempotency-Key` and it is made once.";
    let send_what = "Send words to instances. Under the same `Idempotency-Key` they are sent once.";
    let said_what = "What an instance was told, did and said, oldest first; `cursor` is where to go on.";
    let mut routes = vec![
        read(
            "/instances",
            "listInstances",
            "The tree of instances.",
            list,
            get(instances),
        )
        .query(&[
            ("below", "string", "Only this instance and those below it."),
            ("ended", "boolean", "Those that have ended too."),
        ])
        .like(&["instances"]),
        change("/instances", "spawn", spawn_what, spawned, post(spawn))
            .takes::<SpawnWish>()
            .creates()
            .for_crew()
            .like(&["spawn"]),
        read(
            "/instances/{instance}",
            "getInstance",
            "One instance.",
            INSTANCE,
            get(instance),
        ),
        read(
            "/instances/{instance}/output",
            "getOutput",
            said_what,
            said,
            get(output),
        )
        .query(&[("since", "integer", "Only what came after this cursor."), WAIT])
        .like(&["output"]),
        change(
            "/instances/{instance}/messages",
            "send",
            send_what,
            MESSAGES,
            post(send),
        )
        .takes::<Words>()
        .query(&[WAIT])
        .creates()
        .for_crew()
        .like(&["send"]),
    ];
    routes.extend(control());
    routes
}

fn control() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let interrupted = Answer::Document(&[("interrupted", Shape::Any)]);
    let ended = Answer::Document(&[("ended", Shape::Any)]);
    let one = Answer::Document(&[("message", Shape::Any)]);
    let terminate_what = "End instances and everything below them, the deepest first.";
    vec![
        change(
            "/instances/{instance}/interrupt",
            "interrupt",
            "Stop their turns; they and their sessions stay.",
            interrupted,
            post(interrupt),
        )
        .takes::<Interrupting>()
        .for_crew()
        .like(&["interrupt"]),
        change(
            "/instances/{instance}/terminate",
            "terminate",
            terminate_what,
            ended,
            post(terminate),
        )
        .for_crew()
        .like(&["terminate"]),
        change(
            "/instances/{instance}/suspend",
            "suspend",
            "Put idle instances aside; a message wakes them.",
            STANDING,
            post(suspend),
        )
        .for_crew()
        .like(&["suspend"]),
        change(
            "/instances/{instance}/wake",
            "wake",
            "Take suspended instances up again.",
            STANDING,
            post(wake),
        )
        .for_crew()
        .like(&["wake"]),
        read(
            "/messages/{message}",
            "getMessage",
            "A message, with its answer when there is one.",
            one,
            get(message),
        )
        .query(&[WAIT]),
    ]
}

/// The instances that a path names.
fn names(path: &str) -> Vec<String> {
    path.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    below: Option<String>,
    #[serde(default)]
    ended: bool,
}

async fn instances(State(faces): State<Faces>, Asked(which): Asked<Which>) -> Documented {
    let views = faces.desk.read(move |reader| {
        let below = match &which.below {
            Some(name) => Some(crew::instance(reader, name)?.id),
            None => None,
        };
        let filter = InstanceFilter {
            below,
            ended: which.ended,
        };
        Ok(reader.instances(filter, None, LISTED_MAX)?)
    });
    Ok(Json(document::instances(&views.await?)))
}

async fn instance(State(faces): State<Faces>, Path(name): Path<String>) -> Documented {
    let view = faces.desk.read(move |reader| crew::instance(reader, &name)).await?;
    Ok(Json(json!({ "instance": document::instance(&view) })))
}

async fn spawn(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    wish: Wish<SpawnWish>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let key = wish.once.map(|once| once.key);
    let wish = wish.wish;
    let budget_nano = wish.budget.as_deref().map(parse_usd).transpose();
    let budget_nano = budget_nano.map_err(|error| Failure::usage(format!("`budget`: {error}")))?;
    let (parent, rights, prompt, count) = (wish.parent, !wish.no_spawn, wish.prompt, wish.count);
    if count.is_some_and(|count| count == 0 || count > SPAWNED_MAX) {
        return Err(Failure::usage(format!("`count` is 1 to {SPAWNED_MAX}")).into());
    }
    let one = spawn::Wish {
        name: wish.name,
        agent: wish.agent,
        model: wish.model,
        role: wish.role,
        system_prompt: wish.system_prompt,
        cwd: wish.cwd,
        worktree: wish.worktree,
        mcp_servers: wish.mcp_servers,
        env: wish.env,
        budget_nano,
        session: None,
    };
    let wanted = match count {
        None => vec![(one, prompt)],
        Some(count) => (1..=count)
            .map(|number| {
                let name = format!("{}-{number}", one.name);
                (spawn::Wish { name, ..one.clone() }, prompt.clone())
            })
            .collect(),
    };
    let defaults = faces.plans.crew();
    let spawned = faces.desk.change(move |truth| {
        let below = Below {
            parent: parent.as_deref(),
            rights: Rights {
                spawn: rights,
                ..Rights::default()
            },
            key: key.as_deref(),
            ..Below::caller(caller.party)
        };
        let spawned = crew_verb::spawn_all(truth, &defaults, &below, wanted)?;
        spawned_documents(truth.reader, &spawned)
    });
    Ok((StatusCode::CREATED, Json(json!({ "spawned": spawned.await? }))))
}

/// Those who were made, each with its first message.
pub(super) fn spawned_documents(reader: &mut dyn Reader, spawned: &[Spawned]) -> Result<Vec<Value>, Failure> {
    let mut documents = Vec::with_capacity(spawned.len());
    for (id, message) in spawned {
        let view = reader.instance(*id)?.map(|view| document::instance(&view));
        let message = match message {
            Some(id) => message_document(reader, *id)?.1,
            None => Value::Null,
        };
        documents.push(json!({ "instance": view, "message": message }));
    }
    Ok(documents)
}

/// A message with its answer, and whether it is over.
pub(crate) fn message_document(reader: &mut dyn Reader, id: MessageId) -> Result<(Over, Value), Failure> {
    let view = crew::message(reader, &id.to_string())?;
    let answer = crew::answer(reader, &view)?;
    Ok((
        Over::from(view.state.is_over()),
        document::message(&view, answer.as_ref()),
    ))
}

/// How long a request is held.
#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    #[serde(default)]
    pub(super) seconds: u64,
}

pub(super) fn until(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds.min(SECONDS_MAX))
}

/// These messages, waited for until all are over or the time is up.
async fn waited(faces: &Faces, ids: Vec<MessageId>, seconds: u64) -> Result<Vec<Value>, Failure> {
    let look = move |reader: &mut dyn Reader| {
        let mut all = Vec::with_capacity(ids.len());
        let mut over = true;
        for id in &ids {
            let (one, document) = message_document(reader, *id)?;
            over &= one == Over::Yes;
            all.push(document);
        }
        Ok((Over::from(over), all))
    };
    faces.desk.until(until(seconds), faces.stop.cancelled(), look).await
}

async fn send(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(to): Path<String>,
    Asked(held): Asked<Held>,
    wish: Wish<Words>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let letter = Letter {
        from: caller.party,
        to: names(&to),
        kind: match wish.wish.note {
            true => MessageKind::Note,
            false => MessageKind::Request,
        },
        text: wish.wish.text,
        reply_to: wish.wish.reply_to,
        after: wish.wish.after,
        key: wish.once.map(|once| once.key),
    };
    let sent = faces.desk.change(move |truth| {
        let sent = crew_verb::send(truth, &letter)?;
        sent.into_iter().collect::<Result<Vec<_>, Failure>>()
    });
    let messages = waited(&faces, sent.await?, held.seconds).await?;
    Ok((StatusCode::CREATED, Json(json!({ "messages": messages }))))
}

async fn message(State(faces): State<Faces>, Path(id): Path<String>, Asked(held): Asked<Held>) -> Documented {
    let id = faces
        .desk
        .read(move |reader| Ok(crew::message(reader, &id)?.id))
        .await?;
    let message = waited(&faces, vec![id], held.seconds).await?.pop();
    Ok(Json(json!({ "message": message })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    since: u64,
    #[serde(default)]
    seconds: u64,
}

async fn output(State(faces): State<Faces>, Path(name): Path<String>, Asked(asked): Asked<Since>) -> Documented {
    let look = move |reader: &mut dyn Reader| {
        let view = crew::instance(reader, &name)?;
        let (mut said, mut cursor) = crew::output(reader, &view, Cursor(asked.since))?;
        let mut moved = cursor != Cursor(asked.since);
        // Events of others in its tree may fill a whole page.
        while said.is_empty() && moved {
            let (more, next) = crew::output(reader, &view, cursor)?;
            moved = next != cursor;
            (said, cursor) = (more, next);
        }
        let lines: Vec<Value> = said.iter().map(document::said).collect();
        let page = json!({ "instance": document::instance(&view), "output": lines, "cursor": cursor.0 });
        Ok((Over::from(!said.is_empty()), page))
    };
    let page = faces.desk.until(until(asked.seconds), faces.stop.cancelled(), look);
    Ok(Json(page.await?))
}

async fn interrupt(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
    wish: Wish<Interrupting>,
) -> Documented {
    let Interrupting { clear, seconds } = wish.wish;
    let interrupted = faces
        .desk
        .change(move |truth| crew_verb::interrupt(truth, caller.party, &names(&path), clear))
        .await?;
    Ok(Json(
        json!({ "interrupted": obeyed(&faces, interrupted, seconds).await? }),
    ))
}

/// What became of interrupted turns within a time.
async fn obeyed(faces: &Faces, interrupted: Vec<Spawned>, seconds: u64) -> Result<Vec<Value>, Failure> {
    let look = move |reader: &mut dyn Reader| {
        let mut over = true;
        let mut all = Vec::with_capacity(interrupted.len());
        for (instance, message) in &interrupted {
            let view = match message {
                Some(id) => reader.message(*id)?,
                None => None,
            };
            over &= view.as_ref().is_none_or(|view| view.state.is_over());
            all.push(document::interrupted(*instance, view.as_ref()));
        }
        Ok((Over::from(over), all))
    };
    faces.desk.until(until(seconds), faces.stop.cancelled(), look).await
}

pub(super) fn ids(instances: &[InstanceId]) -> Vec<String> {
    instances.iter().map(ToString::to_string).collect()
}

async fn terminate(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
) -> Documented {
    let ended = faces
        .desk
        .change(move |truth| crew_verb::terminate(truth, caller.party, &names(&path)))
        .await?;
    Ok(Json(json!({ "ended": ids(&ended) })))
}

async fn suspend(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
) -> Documented {
    let aside = faces
        .desk
        .change(move |truth| crew_verb::suspend(truth, caller.party, &names(&path)))
        .await?;
    Ok(Json(json!({ "instances": ids(&aside), "state": "suspended" })))
}

async fn wake(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<String>,
) -> Documented {
    let awake = faces
        .desk
        .change(move |truth| crew_verb::wake(truth, caller.party, &names(&path)))
        .await?;
    Ok(Json(json!({ "instances": ids(&awake), "state": "awake" })))
}
