//! Routes about the crew as a whole: working together, mailboxes, the policy, stopping, what was done.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::crew::StopWhat;
use wheelhouse_core::ids::{InstanceId, MessageId};
use wheelhouse_core::store::Reader;

use super::body::{Asked, Wish};
use super::crew::{Held, MESSAGES, WAIT, ids, until};
use super::problem::Problem;
use super::route::{Answer, Query, Route, Shape};
use super::{Documented, Faces};
use crate::desk::Over;
use crate::face::crew_verb::{self, Given, Meeting, Stopped, Together};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::{crew, policy};
use crate::guard::Caller;

/// How many lines of a log one request gets when nobody says.
const LINES: u32 = 200;
/// How many lines of a log one request gets at the most.
const LINES_MAX: u32 = 1_000;

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
pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let stopped = Answer::Document(&[("ended", Shape::Any), ("stopped", Shape::Any)]);
    let lines = Answer::Document(&[("lines", Shape::Any), ("next", Shape::Any)]);
    let inbox_what = "The notes that nobody has read: your own, or with `of` those of an instance.";
    let read_what = "The same, and yours are read by that.";
    vec![
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
