//! Routes about instances: to make them, to talk to them, to stop them, and what they work within.
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
use wheelhouse_core::crew::{InstanceFilter, StopWhat};
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
use crate::face::crew_verb::{self, Below, Given, Letter, Meeting, Spawned, Stopped, Together};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::spawn;
use crate::face::{crew, policy};
use crate::guard::Caller;

/// How many instances are listed at the most.
const LISTED_MAX: u32 = 10_000;
/// How many lines of a log one request gets when nobody says.
const LINES: u32 = 200;
/// How many lines of a log one request gets at the most.
const LINES_MAX: u32 = 1_000;
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

/// A piece of work for several.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Work {
    /// What it is about.
    text: String,
    /// Instances that are there, or agents, for each of which one is made.
    with: Vec<String>,
    /// How they work together.
    #[serde(default)]
    mode: Together,
    /// With `consensus`: how many distinct vendors must approve.
    #[serde(default)]
    quorum: Option<u32>,
}

/// What to stop.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Stopping {
    /// End every instance too, and let nothing be spawned until the policy says so.
    #[serde(default)]
    all: bool,
}

const INSTANCE: Answer = Answer::Document(&[("instance", Shape::Any)]);
const MESSAGES: Answer = Answer::Document(&[("messages", Shape::Any)]);
const STANDING: Answer = Answer::Document(&[("instances", Shape::Any), ("state", Shape::Plain("string"))]);
const POLICY: Answer = Answer::Document(&[("policy", Shape::Any)]);
const COORDINATION: Answer = Answer::Document(&[
    ("id", Shape::Plain("string")),
    ("mode", Shape::Plain("string")),
    ("seats", Shape::Any),
    ("result", Shape::Any),
]);
const LINE: &[Query] = &[
    ("instance", "string", "Only about this instance."),
    ("day", "string", "Only of this day, such as `2026-11-27`, in UTC."),
    (
        "after",
        "integer",
        "Only what came after this line; `next` of the page before.",
    ),
    ("limit", "integer", "How many lines are looked through."),
];
const WAIT: Query = ("seconds", "integer", "Wait at most so many seconds, 100 at the most.");

pub(super) fn routes() -> Vec<Route> {
    let mut routes = of_instances();
    routes.extend(of_all());
    routes
}

fn of_instances() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let list = Answer::Document(&[("instances", Shape::Any), ("cost", Shape::Any)]);
    let spawned = Answer::Document(&[("spawned", Shape::Any)]);
    let said = Answer::Document(&[
        ("instance", Shape::Any),
        ("output", Shape::Any),
        ("cursor", Shape::Plain("integer")),
    ]);
    let interrupted = Answer::Document(&[("interrupted", Shape::Any)]);
    let ended = Answer::Document(&[("ended", Shape::Any)]);
    let spawn_what = "Make an instance, or several. Repeat it under the same `Idempotency-Key` and it is made once.";
    let send_what = "Send words to instances. Under the same `Idempotency-Key` they are sent once.";
    let said_what = "What an instance was told, did and said, oldest first; `cursor` is where to go on.";
    let terminate_what = "End instances and everything below them, the deepest first.";
    vec![
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
    ]
}

fn of_all() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let one = Answer::Document(&[("message", Shape::Any)]);
    let stopped = Answer::Document(&[("ended", Shape::Any), ("stopped", Shape::Any)]);
    let lines = Answer::Document(&[("lines", Shape::Any), ("next", Shape::Any)]);
    let inbox_what = "The notes that nobody has read: your own, or with `of` those of an instance.";
    let read_what = "The same, and yours are read by that.";
    vec![
        read(
            "/messages/{message}",
            "getMessage",
            "A message, with its answer when there is one.",
            one,
            get(message),
        )
        .query(&[WAIT]),
        read("/inbox", "getInbox", inbox_what, MESSAGES, get(inbox))
            .query(&[("of", "string", "Of this instance.")])
            .like(&["inbox"]),
        change("/inbox/read", "readInbox", read_what, MESSAGES, post(read_inbox)).for_crew(),
        change(
            "/coordinations",
            "coordinate",
            "Give one piece of work to several.",
            COORDINATION,
            post(coordinate),
        )
        .takes::<Work>()
        .creates()
        .for_crew()
        .like(&["coordinate"]),
        read(
            "/coordinations/{coordination}",
            "getCoordination",
            "How it stands, and what the answers come to.",
            COORDINATION,
            get(coordination),
        )
        .query(&[WAIT]),
        change(
            "/stop",
            "stop",
            "Stop every turn of every instance, or everything.",
            stopped,
            post(stop),
        )
        .takes::<Stopping>()
        .for_crew()
        .like(&["stop"]),
        read(
            "/policy",
            "getPolicy",
            "What instances work within.",
            POLICY,
            get(show_policy),
        )
        .like(&["policy show"]),
        change(
            "/policy",
            "setPolicy",
            "Change it while they run: keys and values, also as `orchestrator_config.yaml` has them.",
            POLICY,
            post(set_policy),
        )
        .takes::<BTreeMap<String, Value>>()
        .like(&["policy set", "policy load"]),
        read(
            "/audit",
            "listAudit",
            "What was done to instances, and by whom.",
            lines,
            get(audit),
        )
        .query(LINE)
        .like(&["audit"]),
        read(
            "/audit/messages",
            "listMessages",
            "Who wrote whom, and what became of it; without the words.",
            lines,
            get(messages),
        )
        .query(LINE),
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
struct Held {
    #[serde(default)]
    seconds: u64,
}

fn until(seconds: u64) -> Instant {
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

fn ids(instances: &[InstanceId]) -> Vec<String> {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    of: Option<String>,
}

async fn inbox(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Asked(whose): Asked<Whose>,
) -> Documented {
    let (_, notes) = faces
        .desk
        .read(move |reader| crew_verb::inbox(reader, caller.party, whose.of.as_deref()))
        .await?;
    let notes: Vec<Value> = notes.iter().map(|note| document::message(note, None)).collect();
    Ok(Json(json!({ "messages": notes })))
}

async fn read_inbox(State(faces): State<Faces>, Extension(caller): Extension<Caller>) -> Documented {
    let notes = faces.desk.change(move |truth| {
        let (_, notes) = crew_verb::inbox(truth.reader, caller.party, None)?;
        crew_verb::read_notes(truth, caller.party, &notes)?;
        Ok(notes)
    });
    let notes: Vec<Value> = notes.await?.iter().map(|note| document::message(note, None)).collect();
    Ok(Json(json!({ "messages": notes })))
}

async fn coordinate(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    wish: Wish<Work>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Work {
        text,
        with,
        mode,
        quorum,
    } = wish.wish;
    let meeting = Meeting {
        by: caller.party,
        with,
        together: mode,
        quorum,
        text,
    };
    let defaults = faces.plans.crew();
    let standing = faces.desk.change(move |truth| {
        let Given { id, .. } = crew_verb::coordinate(truth, &defaults, meeting)?;
        crew::coordination(truth.reader, &id.to_string())
    });
    Ok((StatusCode::CREATED, Json(document::coordination(&standing.await?))))
}

async fn coordination(State(faces): State<Faces>, Path(id): Path<String>, Asked(held): Asked<Held>) -> Documented {
    let look = move |reader: &mut dyn Reader| {
        let standing = crew::coordination(reader, &id)?;
        Ok((Over::from(standing.is_over()), document::coordination(&standing)))
    };
    let standing = faces.desk.until(until(held.seconds), faces.stop.cancelled(), look);
    Ok(Json(standing.await?))
}

async fn stop(State(faces): State<Faces>, Extension(caller): Extension<Caller>, wish: Wish<Stopping>) -> Documented {
    let what = match wish.wish.all {
        true => StopWhat::Orchestration,
        false => StopWhat::Turns,
    };
    let stopped = faces
        .desk
        .change(move |truth| crew_verb::stop(truth, caller.party, what));
    let (ended, messages) = match stopped.await? {
        Stopped::Ended(instances) => (instances, Vec::new()),
        Stopped::Turns(messages) => (Vec::new(), messages),
    };
    let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "ended": ids(&ended), "stopped": messages })))
}

async fn show_policy(State(faces): State<Faces>) -> Documented {
    let policy = faces.desk.read(|reader| Ok(reader.crew_policy()?)).await?;
    Ok(Json(json!({ "policy": document::policy(&policy) })))
}

async fn set_policy(State(faces): State<Faces>, Extension(caller): Extension<Caller>, wish: Wish<Value>) -> Documented {
    let changes = policy::from_document(&wish.wish).map_err(|problems| crew_verb::policy_problems(&problems))?;
    let policy = faces.desk.change(move |truth| {
        crew_verb::set_policy(truth, caller.party, changes)?;
        Ok(truth.reader.crew_policy()?)
    });
    Ok(Json(json!({ "policy": document::policy(&policy.await?) })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    instance: Option<String>,
    day: Option<String>,
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

impl Lines {
    /// Whom they are about, once the names are looked up and the day is one.
    fn about(&self, reader: &mut dyn Reader) -> Result<(Option<InstanceId>, Option<&str>), Failure> {
        let instance = match &self.instance {
            Some(name) => Some(crew::instance(reader, name)?.id),
            None => None,
        };
        Ok((instance, self.day.as_deref().map(crew_verb::day).transpose()?))
    }

    fn limit(&self) -> u32 {
        self.limit.unwrap_or(LINES).min(LINES_MAX)
    }
}

async fn audit(State(faces): State<Faces>, Asked(lines): Asked<Lines>) -> Documented {
    let (found, next) = faces
        .desk
        .read(move |reader| {
            let (instance, day) = lines.about(reader)?;
            crew_verb::audit(reader, lines.after, instance, day, lines.limit())
        })
        .await?;
    let found: Vec<Value> = found.iter().map(document::audit).collect();
    Ok(Json(json!({ "lines": found, "next": next })))
}

async fn messages(State(faces): State<Faces>, Asked(lines): Asked<Lines>) -> Documented {
    let (found, next) = faces
        .desk
        .read(move |reader| {
            let (instance, day) = lines.about(reader)?;
            crew_verb::messages(reader, MessageId(lines.after), instance, day, lines.limit())
        })
        .await?;
    let found: Vec<Value> = found.iter().map(document::letter).collect();
    Ok(Json(json!({ "lines": found, "next": next.map(|id| id.0) })))
}
