//! Routes about runs, plans, the queue and the agents.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use wheelhouse_core::store::RunView;

use super::body::{Asked, Wish};
use super::problem::Problem;
use super::route::{Answer, Route, Shape};
use super::{BASE, Documented, Faces};
use crate::face::document::{self, page, task_name};
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::verb::{self, Changed, Once};
use crate::face::{gather, name};
use crate::ports::{Cast, NewTask, PlanText};
use crate::token::Scope;

/// How many runs are listed when nobody says.
const RUNS_LISTED: u32 = 50;
/// How many runs are listed at the most.
const RUNS_LISTED_MAX: u32 = 1_000;
/// The plan of a request, for messages.
const PLAN_NAME: &str = "plan";

/// A plan to run or to check.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanWish {
    /// The plan: its text (YAML or JSON), or the plan itself as JSON.
    #[serde(deserialize_with = "plan_text")]
    #[schemars(with = "Value")]
    pub(crate) plan: String,
    /// Values for its variables.
    #[serde(default)]
    pub(crate) vars: std::collections::BTreeMap<String, String>,
    /// Let the stand-in do the work of every agent: costs nothing, labelled rehearsed.
    #[serde(default)]
    pub(crate) rehearse: bool,
    /// Where the plan came from, for people.
    #[serde(default)]
    pub(crate) source: Option<String>,
}

/// The words of a plan, whichever way they came.
pub(crate) fn plan_text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(input)? {
        Value::String(text) => text,
        plan => plan.to_string(),
    })
}

impl PlanWish {
    pub(crate) fn text(self) -> PlanText {
        PlanText {
            name: self.source.unwrap_or_else(|| PLAN_NAME.to_owned()),
            text: self.plan,
            vars: self
                .vars
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
            cast: if self.rehearse {
                Cast::Rehearsal
            } else {
                Cast::AsWritten
            },
        }
    }
}

const RUN: Answer = Answer::Document(&[("run", Shape::One("Run"))]);
const SCREEN: Answer = Answer::Document(&[
    ("engine", Shape::Any),
    ("open", Shape::Any),
    ("open_more", Shape::Plain("integer")),
    ("finished", Shape::Many("Run")),
    ("finished_more", Shape::Plain("integer")),
    ("questions", Shape::Many("Question")),
]);
const WHOLE_RUN: Answer = Answer::Document(&[
    ("run", Shape::One("Run")),
    ("tasks", Shape::Many("Task")),
    ("questions", Shape::Many("Question")),
]);
const SUBMITTED: Answer = Answer::Document(&[
    ("run", Shape::One("Run")),
    ("engine", Shape::Any),
    ("warnings", Shape::Any),
]);
const CHECKED: Answer = Answer::Document(&[
    ("sound", Shape::Plain("boolean")),
    ("name", Shape::Any),
    ("tasks", Shape::Any),
    ("problems", Shape::Any),
]);

const COST: Answer = Answer::Document(&[
    ("name", Shape::Plain("string")),
    ("tasks", Shape::Any),
    ("total", Shape::Any),
    ("budgets", Shape::Any),
    ("accounts", Shape::Any),
    ("verdict", Shape::Plain("string")),
]);

pub(super) fn routes() -> Vec<Route> {
    let (read, change) = (Route::get, Route::post);
    let what = "What runs, what waits and on what: the bounded screen over everything.";
    let run = "Run a plan. Repeat it under the same `Idempotency-Key` and it is run once.";
    let check_what = "Say every problem of a plan, with line and column; nothing is started.";
    let cost_what = "What a plan is expected to cost, and whether budgets and allowances suffice; nothing is started.";
    let whole = "One run with all its tasks, their results and its open questions.";
    let enqueue = "Add a task to the standing queue. Repeat it under the same `Idempotency-Key` and it is added once.";
    let runs = Answer::Document(&[("runs", Shape::Many("Run"))]);
    let added = Answer::Document(&[("task", Shape::One("Task")), ("engine", Shape::Any)]);
    let roster = Answer::Document(&[("agents", Shape::Many("Agent"))]);
    vec![
        read("/status", "status", what, SCREEN, get(status)).like(&["status"]),
        read("/runs", "listRuns", "The runs, newest first.", runs, get(list)).query(&[(
            "limit",
            "integer",
            "How many at the most.",
        )]),
        change("/runs", "submitRun", run, SUBMITTED, post(submit))
            .takes::<PlanWish>()
            .creates()
            .like(&["run"]),
        Route {
            scope: Scope::Read,
            ..change("/plans/check", "checkPlan", check_what, CHECKED, post(check))
                .takes::<PlanWish>()
                .like(&["plan check"])
        },
        Route {
            scope: Scope::Read,
            ..change("/plans/cost", "costPlan", cost_what, COST, post(cost))
                .takes::<PlanWish>()
                .like(&["plan cost"])
        },
        read("/runs/{run}", "getRun", whole, WHOLE_RUN, get(one)),
        change(
            "/runs/{run}/pause",
            "pauseRun",
            "Let nothing more of the run start.",
            RUN,
            post(pause),
        )
        .like(&["pause"]),
        change(
            "/runs/{run}/resume",
            "resumeRun",
            "Let a paused or interrupted run go on.",
            RUN,
            post(resume),
        )
        .like(&["resume"]),
        change("/runs/{run}/cancel", "cancelRun", "Stop the run.", RUN, post(cancel)).like(&["cancel"]),
        change(
            "/runs/{run}/retry",
            "retryRun",
            "Try again what did not succeed.",
            RUN,
            post(retry),
        )
        .like(&["retry"]),
        change("/queue", "addToQueue", enqueue, added, post(add))
            .takes::<NewTask>()
            .creates()
            .like(&["task add"]),
        read(
            "/agents",
            "listAgents",
            "The agents that tasks can name.",
            roster,
            get(agents),
        ),
    ]
}

async fn status(State(faces): State<Faces>) -> Documented {
    let state_dir = faces.desk.state_dir().to_owned();
    let screen = faces
        .desk
        .read(move |reader| gather::screen(reader, &state_dir))
        .await?;
    Ok(Json(page::screen(&screen, faces.desk.engine())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<u32>,
}

async fn list(State(faces): State<Faces>, Asked(asked): Asked<Limit>) -> Documented {
    let limit = asked.limit.unwrap_or(RUNS_LISTED).min(RUNS_LISTED_MAX);
    let runs = faces.desk.read(move |reader| Ok(reader.runs(limit)?)).await?;
    let runs: Vec<document::Run> = runs.iter().map(document::Run::from).collect();
    Ok(Json(json!({ "runs": runs })))
}

type Created = (StatusCode, [(header::HeaderName, String); 1], Json<Value>);

async fn submit(State(faces): State<Faces>, wish: Wish<PlanWish>) -> Result<Created, Problem> {
    let once = wish.once;
    let checked = read_plan(&faces, wish.wish).await?;
    let warnings = json!(checked.warnings);
    let run = faces
        .desk
        .change(move |truth| {
            let run = verb::submit(truth, checked, once)?;
            run_view(truth.reader, &run.to_string())
        })
        .await?;
    let document = json!({
        "run": document::Run::from(&run),
        "engine": page::engine_state(faces.desk.engine()),
        "warnings": warnings,
    });
    let place = format!("{BASE}/runs/{}", run.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(document)))
}

fn run_view(reader: &mut dyn wheelhouse_core::store::Reader, run: &str) -> Result<RunView, Failure> {
    name::run(reader, run)
}

/// Reads a plan off the async threads: it may be long, and may name files.
pub(crate) async fn read_plan(faces: &Faces, wish: PlanWish) -> Result<wheelhouse_core::plan::Checked, Failure> {
    let plans = std::sync::Arc::clone(&faces.plans);
    let text = wish.text();
    faces.desk.read(move |_| plans.plan(&text)).await
}

async fn check(State(faces): State<Faces>, wish: Wish<PlanWish>) -> Documented {
    match read_plan(&faces, wish.wish).await {
        Ok(checked) => Ok(Json(json!({
            "sound": true,
            "name": checked.run.name,
            "tasks": checked.tasks.len(),
            "problems": checked.warnings,
        }))),
        Err(Failure {
            problems: Some(problems),
            ..
        }) => Ok(Json(
            json!({ "sound": false, "name": null, "tasks": null, "problems": problems }),
        )),
        Err(failure) => Err(failure.into()),
    }
}

async fn cost(State(faces): State<Faces>, wish: Wish<PlanWish>) -> Documented {
    let plans = std::sync::Arc::clone(&faces.plans);
    let text = wish.wish.text();
    Ok(Json(faces.desk.read(move |_| plans.cost(&text)).await?))
}

async fn one(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let document = faces
        .desk
        .read(move |reader| {
            let run = name::run(reader, &run)?;
            let report = gather::report(reader, run, now())?;
            page::run(reader, &report)
        })
        .await?;
    Ok(Json(document))
}

fn run_document(run: &RunView) -> Json<Value> {
    Json(json!({ "run": document::Run::from(run) }))
}

async fn pause(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let run = faces.desk.change(move |truth| verb::pause(truth, &run)).await?;
    Ok(run_document(&run))
}

async fn resume(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let run = faces.desk.change(move |truth| verb::resume(truth, &run)).await?;
    Ok(run_document(&run))
}

/// A route of runs takes runs alone, whatever else may have the name.
fn only_run(reader: &mut dyn wheelhouse_core::store::Reader, run: &str) -> Result<String, Failure> {
    Ok(name::run(reader, run)?.id.to_string())
}

pub(super) fn changed(changed: &Changed) -> Json<Value> {
    match changed {
        Changed::Run(run) => run_document(run),
        Changed::Task(task) => Json(json!({ "task": document::Task::from(task) })),
    }
}

async fn cancel(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let cancelled = faces.desk.change(move |truth| {
        let run = only_run(truth.reader, &run)?;
        verb::cancel(truth, &run)
    });
    Ok(changed(&cancelled.await?))
}

async fn retry(State(faces): State<Faces>, Path(run): Path<String>) -> Documented {
    let tried = faces.desk.change(move |truth| {
        let run = only_run(truth.reader, &run)?;
        verb::retry(truth, &run)
    });
    Ok(changed(&tried.await?))
}

async fn add(State(faces): State<Faces>, wish: Wish<NewTask>) -> Result<Created, Problem> {
    let task = enqueue(&faces, wish.wish, "HTTP", wish.once).await?;
    let document = json!({
        "task": document::Task::from(&task),
        "engine": page::engine_state(faces.desk.engine()),
    });
    let place = format!("{BASE}/tasks/{}", task_name(task.run, &task.key));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(document)))
}

/// Adds a task to the queue.
pub(crate) async fn enqueue(
    faces: &Faces,
    wanted: NewTask,
    source: &'static str,
    once: Option<Once>,
) -> Result<wheelhouse_core::store::TaskView, Failure> {
    let plans = std::sync::Arc::clone(&faces.plans);
    faces
        .desk
        .change(move |truth| {
            let existing = match name::queue(truth.reader)? {
                Some(queue) => gather::tasks(truth.reader, queue.id)?
                    .into_iter()
                    .map(|task| task.key)
                    .collect(),
                None => Vec::new(),
            };
            let task = plans.task(&wanted, &existing)?;
            verb::enqueue(truth, task, source, once)
        })
        .await
}

async fn agents(State(faces): State<Faces>) -> Documented {
    Ok(Json(json!({ "agents": faces.plans.agents() })))
}
