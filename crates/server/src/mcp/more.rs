//! The rest of the verbs: listed by the toolset `full`, callable always.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::ask::ANSWER;
use wheelhouse_core::route::Caller;

use super::brief;
use super::call::{Answer, Call};
use super::lean::{WhatArgs, in_short};
use super::tool::{AnyDocument, Tool, arguments, tool};
use crate::api::logs;
use crate::api::work::{PlanWish, plan_text, read_plan};
use crate::face::document::{self, page};
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::name::{self, Named};
use crate::face::{gather, tool_use, verb};
use crate::ports::Asked;

/// How much of a log or an artifact an answer holds, in bytes.
const TEXT_MAX: u64 = 8 << 10;
/// How many tasks an answer lists when nobody says.
const TASKS_LISTED: u32 = 50;
/// How many tasks an answer lists at the most.
const TASKS_LISTED_MAX: u32 = 500;

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Full Person Reads "check_plan", PlanArgs => AnyDocument, check_plan,
            "Check a plan without running it: every problem at once, with line and column.",
            "validate lint problems yaml"),
        tool!(Full Person Adds "consult", ConsultArgs => AnyDocument, consult,
            "Ask a question in words: it is analysed, given to who fits and cross-checked as it deserves. Answers at once with a \
             run to `wait` for, or with do_it_yourself when you had better.",
            "question consult second opinion route answer"),
        tool!(Full Person Reads "show", WhatArgs => AnyDocument, show_whole,
            "Show everything about a run or a task, as the HTTP API has it.",
            "details document attempts usage cost"),
        tool!(Full Person Reads "list_tasks", TasksArgs => AnyDocument, list_tasks,
            "List the tasks of a run, page by page.", "tasks of run state filter"),
        tool!(Full Person Reads "logs", LogArgs => AnyDocument, read_log,
            "Read the raw output of a task's try, also while it runs.", "stdout stderr tail transcript raw"),
        tool!(Full Person Reads "artifact", ArtifactArgs => AnyDocument, artifact,
            "Read an artifact of a task as text (`output` is the whole output), or on in the answer of a tool.",
            "full whole output content bytes file"),
        tool!(Full Person Reads "questions", NoArgs => AnyDocument, questions,
            "List everything that waits for a person, over all runs.",
            "inbox approvals permissions pending open"),
        tool!(Full Person Reads "agents", NoArgs => AnyDocument, agents,
            "List the agents that tasks can name.", "roster models who workers"),
        tool!(Full Person Ends "pause", WhatArgs => AnyDocument, pause,
            "Let nothing more of a run start.", "suspend halt stop hold"),
        tool!(Full Person Adds "resume", WhatArgs => AnyDocument, resume,
            "Let a paused or interrupted run go on.", "continue unpause go on restart"),
        tool!(Full Person Adds "retry", WhatArgs => AnyDocument, retry,
            "Try a failed task again, or everything in a run that did not succeed.",
            "redo rerun repeat failed again"),
    ]
}

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoArgs {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlanArgs {
    #[serde(deserialize_with = "plan_text")]
    #[schemars(with = "String")]
    plan: String,
    #[serde(default)]
    vars: std::collections::BTreeMap<String, String>,
}

async fn check_plan(call: &Call<'_>) -> Result<Answer, Failure> {
    let PlanArgs { plan, vars } = arguments(call)?;
    let wish = PlanWish {
        plan,
        vars,
        rehearse: false,
        source: None,
    };
    Ok(Answer::Document(match read_plan(call.faces, wish).await {
        Ok(checked) => json!({ "sound": true, "tasks": checked.tasks.len(), "problems": checked.warnings }),
        Err(Failure {
            problems: Some(problems),
            ..
        }) => json!({ "sound": false, "tasks": null, "problems": problems }),
        Err(failure) => return Err(failure),
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConsultArgs {
    question: String,
    /// Ask somebody although it is simple.
    #[serde(default)]
    insist: bool,
}

async fn consult(call: &Call<'_>) -> Result<Answer, Failure> {
    let ConsultArgs { question, insist } = arguments(call)?;
    let plans = std::sync::Arc::clone(&call.faces.plans);
    let caller = if insist { Caller::Person } else { Caller::Agent };
    let asked = call.faces.desk.read(move |_| plans.ask(&question, caller)).await?;
    let (checked, why) = match asked {
        Asked::DoItYourself(own) => return Ok(Answer::Document(json!({ "do_it_yourself": own }))),
        Asked::Plan { checked, why } => (checked, why),
    };
    let crews = json!(checked.crews);
    let once = call.once();
    let run = call
        .faces
        .desk
        .change(move |truth| verb::submit(truth, *checked, once))
        .await?;
    Ok(Answer::Document(json!({
        "run": run.to_string(),
        "task": format!("{run}/{ANSWER}"),
        "why": why,
        "crews": crews,
        "note": call.nothing_goes_on(),
    })))
}

async fn show_whole(call: &Call<'_>) -> Result<Answer, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let document = call.faces.desk.read(move |reader| match name::named(reader, &what)? {
        Named::Run(run) => {
            let report = gather::report(reader, run, now())?;
            page::run(reader, &report)
        }
        Named::Task(task) => Ok(page::task(&gather::detail(reader, task)?)),
    });
    Ok(Answer::Document(document.await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TasksArgs {
    run: String,
    /// waiting, ready, running, held or done
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    limit: Option<u32>,
}

async fn list_tasks(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: TasksArgs = arguments(call)?;
    let limit = asked.limit.unwrap_or(TASKS_LISTED).min(TASKS_LISTED_MAX);
    let tasks = call.faces.desk.read(move |reader| {
        let run = name::run(reader, &asked.run)?;
        let tasks = match &asked.state {
            Some(state) => reader.tasks_in(run.id, name::task_state(state)?, limit)?,
            None => reader.tasks(run.id, asked.offset, limit)?,
        };
        let tasks: Vec<_> = tasks.iter().map(|task| brief::glance(task, None)).collect();
        Ok(json!({ "tasks": tasks, "total": run.counts.total() }))
    });
    Ok(Answer::Document(tasks.await?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogArgs {
    task: String,
    #[serde(default)]
    attempt: Option<u32>,
    /// From this byte on; `next` of the answer before.
    #[serde(default)]
    offset: u64,
}

async fn read_log(call: &Call<'_>) -> Result<Answer, Failure> {
    let LogArgs { task, attempt, offset } = arguments(call)?;
    let bytes = logs::read(call.faces, task, attempt, offset, TEXT_MAX).await?;
    let (text, used) = whole_letters(&bytes);
    Ok(Answer::Document(json!({ "text": text, "next": offset + used as u64 })))
}

/// The bytes as text, without a letter that is cut at the end; and how many of them that is.
fn whole_letters(bytes: &[u8]) -> (String, usize) {
    let used = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    };
    (String::from_utf8_lossy(&bytes[..used]).into_owned(), used)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ArtifactArgs {
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// In place of a task: the handle of an answer that `use_tool` shortened.
    #[serde(default)]
    result: Option<String>,
    /// From this byte on; `next` of the answer before.
    #[serde(default)]
    offset: usize,
}

async fn artifact(call: &Call<'_>) -> Result<Answer, Failure> {
    let ArtifactArgs {
        task,
        name,
        result,
        offset,
    } = arguments(call)?;
    let state_dir = call.faces.desk.state_dir().to_owned();
    let part = call.faces.desk.read(move |reader| {
        let bytes = match (task, result) {
            (None, Some(handle)) => tool_use::kept(&state_dir, &handle)?,
            (Some(task), None) => {
                let task = name::task(reader, &task)?;
                let result = verb::result(reader, &task)?;
                verb::artifact(reader, &result, name.as_deref().unwrap_or("output"))?.1
            }
            _ => {
                return Err(Failure::usage(
                    "`artifact` takes a `task`, or the `result` of `use_tool`",
                ));
            }
        };
        let rest = bytes.get(offset..).unwrap_or_default();
        let (text, used) = whole_letters(&rest[..rest.len().min(TEXT_MAX as usize)]);
        Ok(json!({ "text": text, "next": offset + used, "bytes": bytes.len() }))
    });
    Ok(Answer::Document(part.await?))
}

async fn questions(call: &Call<'_>) -> Result<Answer, Failure> {
    let NoArgs {} = arguments(call)?;
    let open = call.faces.desk.read(|reader| Ok(reader.open_questions()?)).await?;
    Ok(Answer::Document(json!({ "questions": page::questions(&open) })))
}

async fn agents(call: &Call<'_>) -> Result<Answer, Failure> {
    let NoArgs {} = arguments(call)?;
    Ok(Answer::Document(json!({ "agents": call.faces.plans.agents() })))
}

async fn pause(call: &Call<'_>) -> Result<Answer, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let run = call.faces.desk.change(move |truth| verb::pause(truth, &what)).await?;
    Ok(run_document(&run))
}

async fn resume(call: &Call<'_>) -> Result<Answer, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let run = call.faces.desk.change(move |truth| verb::resume(truth, &what)).await?;
    Ok(run_document(&run))
}

fn run_document(run: &wheelhouse_core::store::RunView) -> Answer {
    Answer::Document(json!({ "run": run.id.to_string(), "state": document::run_state(run.state) }))
}

async fn retry(call: &Call<'_>) -> Result<Answer, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let tried = call.faces.desk.change(move |truth| -> Result<Value, Failure> {
        let changed = verb::retry(truth, &what)?;
        in_short(truth.reader, changed)
    });
    Ok(Answer::Document(tried.await?))
}
