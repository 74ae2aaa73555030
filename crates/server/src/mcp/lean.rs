//! The default toolset: about a dozen verbs, cheap to know and short to answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wheelhouse_core::ids::Cursor;

use super::brief::{self, Overview, RunBrief, TaskBrief};
use super::call::{Answer, Call};
use super::find;
use super::tool::{AnyDocument, Tool, arguments, tool};
use super::use_tool::{UseArgs, use_tool};
use super::wait::{self, Waited};
use crate::api::work::{PlanWish, enqueue, plan_text, read_plan};
use crate::face::document;
use crate::face::failure::Failure;
use crate::face::feed::Feed;
use crate::face::name::{self, Named};
use crate::face::verb::{self, Changed};
use crate::ports::NewTask;

/// How many events an answer holds.
const EVENTS_MAX: usize = 20;

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Lean Person Adds "run", RunArgs => Started, run, RUN,
            "plan submit start execute workflow graph tasks parallel crew agents"),
        tool!(Lean Person Adds "delegate", DelegateArgs => TaskBrief, delegate, DELEGATE,
            "spawn background job assign hand off queue task add"),
        tool!(Lean Person Adds "ask", AskArgs => Waited, wait::ask, ASK,
            "consult second opinion question review prompt agent model"),
        tool!(Lean Person Reads "status", StatusArgs => AnyDocument, status, STATUS,
            "overview progress who is active show list running cost"),
        tool!(Lean Person Reads "wait", WaitArgs => Waited, wait::wait, WAIT,
            "await block until done finished poll"),
        tool!(Lean Person Reads "result", TaskArgs => TaskBrief, result, RESULT,
            "output answer produced artifact summary files"),
        tool!(Lean Person Adds "answer", AnswerArgs => AnyDocument, answer, ANSWER,
            "approve deny permission decide question reply retry"),
        tool!(Lean Person Adds "steer", SteerArgs => TaskBrief, steer, STEER,
            "message redirect instruct tell running words send"),
        tool!(Lean Person Ends "cancel", WhatArgs => AnyDocument, cancel, CANCEL,
            "stop kill terminate end abandon interrupt"),
        tool!(Lean Person Reads "events", EventsArgs => Events, events, EVENTS,
            "history log news changes since delta"),
        tool!(Lean Person Reads "find_tools", FindArgs => find::Found, find::find, FIND,
            "search discover more tools help capabilities"),
        tool!(Lean Crew Ends "use_tool", UseArgs => AnyDocument, use_tool, USE,
            "call invoke execute tool of other mcp server"),
    ]
}

const RUN: &str = "Run a plan: tasks for agents and commands, in parallel where `needs` allows. Returns at once. YAML: \
                   `name:`, `tasks: [{id, prompt|exec, agent, needs: [], verify: [cmd]}]`.";
const DELEGATE: &str = "Give one task to another agent and go on. Returns its handle at once.";
const ASK: &str = "Ask another agent and wait for its answer. Do simple things yourself instead.";
const STATUS: &str = "Show what runs, what waits and on what; of a run, a task, or everything.";
const WAIT: &str = "Wait until a run or task is done or needs a person. Still going on: call again.";
const RESULT: &str = "Get what a task produced: digest, files, and the path of the whole output.";
const ANSWER: &str = "Answer a question that holds a task. Ask your user first unless told to decide.";
const STEER: &str = "Put words into the turn of a running task.";
const CANCEL: &str = "Stop a run or a task.";
const EVENTS: &str = "List what happened since a cursor.";
const FIND: &str =
    "Find further tools by what they should do; all can be called, those named SERVER/TOOL by `use_tool`.";
const USE: &str =
    "Use a tool that `find_tools` named SERVER/TOOL. A long answer comes shortened, with a handle for `artifact`.";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunArgs {
    #[serde(deserialize_with = "plan_text")]
    #[schemars(with = "String")]
    plan: String,
    #[serde(default)]
    #[schemars(skip)]
    vars: std::collections::BTreeMap<String, String>,
    /// Stand-ins do the agents' work, at no cost.
    #[serde(default)]
    rehearse: bool,
}

/// What was started.
#[derive(Serialize, JsonSchema)]
struct Started {
    run: String,
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What to do about it that nothing goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// What to say when nobody works.
pub(super) const NO_ENGINE: &str = "no engine is running, so nothing starts; the user can run `wheelhouse serve`";

async fn run(call: &Call<'_>) -> Result<Answer, Failure> {
    let wish: RunArgs = arguments(call)?;
    let wish = PlanWish {
        plan: wish.plan,
        vars: wish.vars,
        rehearse: wish.rehearse,
        source: Some("MCP".to_owned()),
    };
    let checked = read_plan(call.faces, wish).await?;
    let warnings = checked
        .warnings
        .iter()
        .take(5)
        .map(|warning| brief::cut(&warning.message, 200))
        .collect();
    let total = checked.tasks.len() as u64;
    let once = call.once();
    let run = call
        .faces
        .desk
        .change(move |truth| verb::submit(truth, checked, once))
        .await?;
    Answer::of(&Started {
        run: run.to_string(),
        total,
        warnings,
        note: call.nothing_goes_on(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DelegateArgs {
    /// What to do; a command for agent `exec`.
    #[serde(alias = "prompt", alias = "text")]
    task: String,
    #[serde(default)]
    agent: Option<String>,
    /// Tasks that come first.
    #[serde(default)]
    after: Vec<String>,
}

async fn delegate(call: &Call<'_>) -> Result<Answer, Failure> {
    let wish: DelegateArgs = arguments(call)?;
    let wanted = NewTask {
        text: wish.task,
        agent: wish.agent,
        after: wish.after,
        ..NewTask::default()
    };
    let task = enqueue(call.faces, wanted, "MCP", call.once()).await?;
    let mut answer = json!(brief::glance(&task, None));
    if let Some(note) = call.nothing_goes_on() {
        answer["note"] = note.into();
    }
    Ok(Answer::Document(answer))
}

/// Arguments of `ask`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskArgs {
    #[serde(alias = "task", alias = "question")]
    pub(super) prompt: String,
    #[serde(default)]
    pub(super) agent: Option<String>,
    /// At most 100.
    #[serde(default)]
    pub(super) seconds: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StatusArgs {
    /// `r7` or `r7/draft`.
    #[serde(default, alias = "run", alias = "task", alias = "id")]
    what: Option<String>,
}

/// What a name stands for, in short.
enum Brief {
    Run(RunBrief),
    Task(TaskBrief),
    All(Overview),
}

async fn status(call: &Call<'_>) -> Result<Answer, Failure> {
    let StatusArgs { what } = arguments(call)?;
    let engine = call.nothing_goes_on().is_none();
    let state_dir = call.faces.desk.state_dir().to_owned();
    let brief = call.faces.desk.read(move |reader| {
        Ok(match what {
            None => {
                let mut feed = Feed::new(Cursor::default(), None);
                feed.skip_to_end(reader)?;
                Brief::All(brief::overview(reader, engine, feed.cursor.0)?)
            }
            Some(what) => match name::named(reader, &what)? {
                Named::Run(run) => Brief::Run(brief::run(reader, run)?),
                Named::Task(task) => Brief::Task(brief::task(reader, &state_dir, &task)?),
            },
        })
    });
    match brief.await? {
        Brief::Run(run) => Answer::of(&run),
        Brief::Task(task) => Answer::of(&task),
        Brief::All(all) => Answer::of(&all),
    }
}

/// Arguments of `wait`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitArgs {
    #[serde(alias = "run", alias = "task", alias = "id")]
    pub(super) what: String,
    /// At most 100.
    #[serde(default)]
    pub(super) seconds: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TaskArgs {
    #[serde(alias = "what", alias = "id")]
    task: String,
}

async fn result(call: &Call<'_>) -> Result<Answer, Failure> {
    let TaskArgs { task } = arguments(call)?;
    let state_dir = call.faces.desk.state_dir().to_owned();
    let brief = call.faces.desk.read(move |reader| {
        let task = name::task(reader, &task)?;
        verb::result(reader, &task)?;
        brief::task(reader, &state_dir, &task)
    });
    Answer::of(&brief.await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerArgs {
    /// `q3`
    #[serde(alias = "id")]
    question: String,
    answer: String,
}

async fn answer(call: &Call<'_>) -> Result<Answer, Failure> {
    let AnswerArgs { question, answer } = arguments(call)?;
    let question = call
        .faces
        .desk
        .change(move |truth| verb::answer(truth, &question, &answer))
        .await?;
    let task = document::task_name(question.run, &question.key);
    Ok(Answer::Document(
        json!({ "question": question.id.to_string(), "task": task, "answer": question.answer }),
    ))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SteerArgs {
    task: String,
    #[serde(alias = "message")]
    words: String,
}

async fn steer(call: &Call<'_>) -> Result<Answer, Failure> {
    let SteerArgs { task, words } = arguments(call)?;
    let once = call.once();
    let task = call
        .faces
        .desk
        .change(move |truth| verb::steer(truth, &task, &words, once))
        .await?;
    Answer::of(&brief::glance(&task, None))
}

/// Arguments of verbs on a run or a task.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatArgs {
    #[serde(alias = "run", alias = "task", alias = "id")]
    pub(super) what: String,
}

async fn cancel(call: &Call<'_>) -> Result<Answer, Failure> {
    let WhatArgs { what } = arguments(call)?;
    let changed = call.faces.desk.change(move |truth| {
        let changed = verb::cancel(truth, &what)?;
        in_short(truth.reader, changed)
    });
    Ok(Answer::Document(changed.await?))
}

/// What was changed, in short.
pub(super) fn in_short(reader: &mut dyn wheelhouse_core::store::Reader, changed: Changed) -> Result<Value, Failure> {
    Ok(match changed {
        Changed::Run(run) => json!(brief::run(reader, run)?),
        Changed::Task(task) => json!(brief::glance(&task, None)),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsArgs {
    #[serde(default, alias = "cursor")]
    since: u64,
    #[serde(default)]
    run: Option<String>,
}

/// What happened.
#[derive(Serialize, JsonSchema)]
struct Events {
    events: Vec<String>,
    cursor: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

async fn events(call: &Call<'_>) -> Result<Answer, Failure> {
    let EventsArgs { since, run } = arguments(call)?;
    let news = call.faces.desk.read(move |reader| {
        let run = match &run {
            Some(run) => Some(name::run(reader, run)?.id),
            None => None,
        };
        Feed::new(Cursor(since), run).next(reader)
    });
    let news = news.await?;
    let shown = &news[..news.len().min(EVENTS_MAX)];
    Answer::of(&Events {
        events: shown.iter().map(event_line).collect(),
        cursor: shown.last().map_or(since, |news| news.event.cursor.0),
        more: news.len() > EVENTS_MAX,
    })
}

/// An event in a line: which task, what happened, and the words that matter.
fn event_line(news: &crate::face::feed::News) -> String {
    let about = match &news.key {
        Some(key) => document::task_name(news.event.run, key),
        None => news.event.run.to_string(),
    };
    let whole = document::event(&news.event, None);
    let words = ["text", "words", "answer", "why", "name"]
        .iter()
        .find_map(|member| whole[member].as_str())
        .map(|text| format!(": {}", brief::cut(text, 80)))
        .unwrap_or_default();
    let class = whole["outcome"]["class"]
        .as_str()
        .map(|class| format!(" {class}"))
        .unwrap_or_default();
    format!("{about} {}{class}{words}", news.event.happened.name())
}

/// Arguments of `find_tools`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindArgs {
    pub(super) query: String,
    /// Only tools of this MCP server.
    #[serde(default)]
    pub(super) server: Option<String>,
    /// `names`, `lines`, `schemas`.
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default, alias = "count")]
    pub(super) limit: Option<usize>,
}

impl Call<'_> {
    /// What to say when nothing goes on because nobody works.
    pub(super) fn nothing_goes_on(&self) -> Option<&'static str> {
        match self.faces.desk.engine() {
            wheelhouse_engine::lock::Engine::Running(_) => None,
            wheelhouse_engine::lock::Engine::Absent => Some(NO_ENGINE),
        }
    }
}
