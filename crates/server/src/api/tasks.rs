//! Routes about one task: how it stands, what it produced, words to it, its end.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::header;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::body::{Asked, Wish};
use super::problem::Problem;
use super::route::{Answer, Query, Route, Shape};
use super::work::changed;
use super::{Documented, Faces};
use crate::face::crew::person_only;
use crate::face::document::{self, page};
use crate::face::verb::{self, Truth};
use crate::face::{gather, name};
use crate::guard::Caller;

/// How many tasks are listed when nobody says.
const TASKS_LISTED: u32 = 200;
/// How many tasks are listed at the most.
const TASKS_LISTED_MAX: u32 = 2_000;

/// Words for a running task.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Words {
    /// The words.
    words: String,
}

/// What a person thinks of a task's work.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
struct Rating {
    /// From 1 to 5.
    stars: u8,
    /// Why.
    #[serde(default)]
    words: String,
}

const TASK: Answer = Answer::Document(&[("task", Shape::One("Task"))]);
const WHOLE_TASK: Answer = Answer::Document(&[
    ("task", Shape::One("Task")),
    ("work", Shape::Any),
    ("attempts", Shape::Many("Attempt")),
    ("result", Shape::Any),
]);
const PAGE: &[Query] = &[
    ("offset", "integer", "How many to pass over."),
    ("limit", "integer", "How many at the most."),
    (
        "state",
        "string",
        "Only those in this state; oldest first, without offset.",
    ),
];

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let tasks = Answer::Document(&[("tasks", Shape::Many("Task"))]);
    let produced = Answer::Document(&[("task", Shape::One("Task")), ("result", Shape::One("Result"))]);
    let whole = "One task: what it was told, its tries, its result.";
    let what = "What a task produced: summary, files, artifacts, checks.";
    let bytes = "The bytes of an artifact; `output` is the whole output.";
    let again = "Try a task again that is done without success.";
    let words = "Put words into the turn of a running task. Under the same `Idempotency-Key` they are said once.";
    vec![
        read(
            "/runs/{run}/tasks",
            "listTasks",
            "Tasks of a run, in the order of the plan.",
            tasks,
            get(list),
        )
        .query(PAGE),
        read("/tasks/{run}/{task}", "getTask", whole, WHOLE_TASK, get(one)),
        read("/tasks/{run}/{task}/result", "getResult", what, produced, get(result)).like(&["result"]),
        read(
            "/tasks/{run}/{task}/artifacts/{name}",
            "getArtifact",
            bytes,
            Answer::Bytes,
            get(artifact),
        ),
        change(
            "/tasks/{run}/{task}/cancel",
            "cancelTask",
            "Stop a task.",
            TASK,
            post(cancel),
        ),
        change("/tasks/{run}/{task}/retry", "retryTask", again, TASK, post(retry)),
        change("/tasks/{run}/{task}/steer", "steerTask", words, TASK, post(steer))
            .takes::<Words>()
            .like(&["steer"]),
        change(
            "/tasks/{run}/{task}/rate",
            "rateTask",
            "Say what you think of a done task's work.",
            TASK,
            post(rate),
        )
        .takes::<Rating>()
        .like(&["rate"]),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    offset: Option<u64>,
    limit: Option<u32>,
    state: Option<String>,
}

async fn list(State(faces): State<Faces>, Path(run): Path<String>, Asked(page): Asked<Page>) -> Documented {
    let limit = page.limit.unwrap_or(TASKS_LISTED).min(TASKS_LISTED_MAX);
    let tasks = faces
        .desk
        .read(move |reader| {
            let run = name::run(reader, &run)?;
            Ok(match &page.state {
                Some(state) => reader.tasks_in(run.id, name::task_state(state)?, limit)?,
                None => reader.tasks(run.id, page.offset.unwrap_or(0), limit)?,
            })
        })
        .await?;
    let tasks: Vec<document::Task> = tasks.iter().map(document::Task::from).collect();
    Ok(Json(json!({ "tasks": tasks })))
}

/// How the parts of a path name a task.
fn named((run, task): (String, String)) -> String {
    format!("{run}/{task}")
}

async fn one(State(faces): State<Faces>, Path(path): Path<(String, String)>) -> Documented {
    let detail = faces.desk.read(move |reader| {
        let task = name::task(reader, &named(path))?;
        gather::detail(reader, task)
    });
    Ok(Json(page::task(&detail.await?)))
}

async fn result(State(faces): State<Faces>, Path(path): Path<(String, String)>) -> Documented {
    let document = faces.desk.read(move |reader| {
        let task = name::task(reader, &named(path))?;
        page::result(reader, &task)
    });
    Ok(Json(document.await?))
}

async fn artifact(
    State(faces): State<Faces>,
    Path((run, task, artifact)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let (found, bytes) = faces
        .desk
        .read(move |reader| {
            let task = name::task(reader, &named((run, task)))?;
            let result = verb::result(reader, &task)?;
            verb::artifact(reader, &result, &artifact)
        })
        .await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ETAG, format!("\"{}\"", found.hash)),
        // What agents wrote is never a page of this server, whatever it looks like.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}

async fn cancel(State(faces): State<Faces>, Path(path): Path<(String, String)>) -> Documented {
    let name = named(path);
    let cancelled = faces.desk.change(move |truth| verb::cancel(truth, &name)).await?;
    Ok(changed(&cancelled))
}

async fn retry(State(faces): State<Faces>, Path(path): Path<(String, String)>) -> Documented {
    let name = named(path);
    let tried = faces.desk.change(move |truth| verb::retry(truth, &name)).await?;
    Ok(changed(&tried))
}

async fn rate(
    State(faces): State<Faces>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<(String, String)>,
    wish: Wish<Rating>,
) -> Documented {
    person_only(wheelhouse_core::caller::Caller(caller.party), "rate work")?;
    let (Rating { stars, words }, name) = (wish.wish, named(path));
    let rated = move |truth: &mut Truth<'_>| verb::rate(truth, &name, stars, &words);
    let task = faces.desk.change(rated).await?;
    Ok(Json(json!({ "task": document::Task::from(&task) })))
}

async fn steer(State(faces): State<Faces>, Path(path): Path<(String, String)>, wish: Wish<Words>) -> Documented {
    let (words, once) = (wish.wish.words, wish.once);
    let name = named(path);
    let told = move |truth: &mut Truth<'_>| verb::steer(truth, &name, &words, once);
    let task = faces.desk.change(told).await?;
    Ok(Json(json!({ "task": document::Task::from(&task) })))
}
