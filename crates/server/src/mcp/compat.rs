//! The names that clients of systemprompt's orchestrator know: `create_task`, `update_task`, `end_task`, `report`, and their
//! resources.
//!
//! A task there is a conversation with an agent that is told more until it is ended; so it is an instance here, marked with
//! its title. Every answer is in their envelope: `status`, `message`, and `result` or `error`; one that was not granted is
//! marked as an error besides.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::ids::{Cursor, InstanceId};
use wheelhouse_core::instance::{End, InstanceState, InstanceView, NAME_MAX};
use wheelhouse_core::message::MessageKind;
use wheelhouse_core::store::Reader;

use super::brief::cut;
use super::call::{Answer, Call};
use super::prompt;
use super::tool::{AnyDocument, Tool, arguments, tool};
use crate::api::Faces;
use crate::face::crew::{self, Said, What};
use crate::face::crew_verb::{self, Below, Letter};
use crate::face::document::{self, moment};
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::spawn::{Defaults, Wish};

/// The variable that marks an instance as such a task, and holds its title.
const TITLE: &str = "WHEELHOUSE_TASK_TITLE";
/// The longest title, in bytes.
const TITLE_MAX: usize = 255;
/// How many instances are looked through.
const INSTANCES_MAX: u32 = 10_000;
/// How many lines of what it did a task shows.
const LINES_MAX: usize = 200;
/// How much of a line is shown, in characters.
const LINE_MAX: usize = 500;

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Tasks Person Adds "create_task", Create => AnyDocument, create,
            "Create a task: an agent begins with the instructions and stays to be told more.", "new start agent session begin"),
        tool!(Tasks Person Adds "update_task", Update => AnyDocument, update,
            "Send further instructions to the agent of a task, in the same conversation.", "more continue instruct tell"),
        tool!(Tasks Person Ends "end_task", Ending => AnyDocument, end,
            "End a task and its agent.", "finish close complete stop"),
        tool!(Tasks Person Reads "report", Which => AnyDocument, report,
            "Report on one task, or on all with statistics.", "statistics progress overview"),
        tool!(Tasks Person Reads "report_task", Which => AnyDocument, report,
            "Report on one task, or on all with statistics.", "statistics progress overview"),
        tool!(Tasks Person Reads "check_status", Nothing => AnyDocument, check,
            "Say whether the engine works, which agents there are, and how many tasks are open.", "health daemon services available"),
        tool!(Tasks Person Ends "clean_state", Clean => AnyDocument, clean,
            "End all tasks, or all but the newest; with `dry_run` only say which.", "remove delete reset all"),
        tool!(Tasks Person Reads "get_prompt", Prompted => AnyDocument, get_prompt,
            "Get a prompt by its name, or the list of them.", "template words"),
        tool!(Tasks Person Reads "update_stats", Nothing => AnyDocument, stats,
            "Count the tasks by state and agent.", "statistics numbers success rate"),
    ]
}

/// Puts what came of a call into their envelope.
fn enveloped(done: Result<(String, Value), Failure>) -> Result<Answer, Failure> {
    match done {
        Ok((message, result)) => Ok(Answer::Document(
            json!({ "status": "success", "message": message, "result": result }),
        )),
        Err(failure) if failure.exit == exit::STATE_FAILED => Err(failure),
        Err(failure) => Ok(Answer::Refused(json!({
            "status": "error",
            "message": failure.message,
            "error": { "type": failure.exit.name, "details": failure.hints },
        }))),
    }
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct Create {
    /// At most 255 letters.
    title: String,
    // Their older clients say `command` and `model`.
    #[serde(alias = "command")]
    instructions: String,
    /// `CLAUDECODE`, or the name of an agent.
    #[serde(default, alias = "model")]
    tool: Option<String>,
    /// When false the agent knows its instructions and begins when `update_task` tells it to.
    #[serde(default)]
    start_immediately: Option<bool>,
}

/// The agent that they call so.
fn agent(tool: Option<&str>, defaults: &Defaults) -> Option<String> {
    let is_there = |name: &str| defaults.agents.iter().any(|(agent, _)| agent.as_str() == name);
    match tool.map(str::to_ascii_lowercase).as_deref() {
        Some("claudecode") => Some("claude".to_owned()),
        Some("geminicli") => Some("gemini".to_owned()),
        Some(other) => Some(other.to_owned()),
        None => is_there("claude").then(|| "claude".to_owned()),
    }
}

/// A title as the name of an instance.
fn name_of(title: &str) -> String {
    let plain: String = title
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let words: Vec<&str> = plain.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = format!("task-{}", words.join("-"));
    name.truncate(NAME_MAX);
    name
}

async fn create(call: &Call<'_>) -> Result<Answer, Failure> {
    let made = async {
        let wish: Create = arguments(call)?;
        if wish.title.trim().is_empty() || wish.title.len() > TITLE_MAX {
            return Err(Failure::usage(format!("`title` has 1 to {TITLE_MAX} letters")));
        }
        if wish.instructions.trim().is_empty() {
            return Err(Failure::usage("`instructions` says nothing"));
        }
        let by = call.party();
        let key = call.once().map(|once| once.key);
        let defaults = call.faces.plans.crew();
        let made = call.faces.desk.change(move |truth| {
            let begins = wish.start_immediately != Some(false);
            let one = Wish {
                name: name_of(&wish.title),
                agent: agent(wish.tool.as_deref(), &defaults),
                env: BTreeMap::from([(TITLE.to_owned(), wish.title)]),
                system_prompt: (!begins).then(|| wish.instructions.clone()),
                ..Wish::default()
            };
            let prompt = begins.then(|| wish.instructions.clone());
            let below = Below {
                key: key.as_deref(),
                ..Below::caller(by)
            };
            let spawned = crew_verb::spawn_all(truth, &defaults, &below, vec![(one, prompt)])?;
            let Some((id, _)) = spawned.first() else {
                return Err(Failure::usage("nothing was made"));
            };
            let view = crew::instance(truth.reader, &id.to_string())?;
            Ok(json!({
                "task_id": id.to_string(),
                "task": { "id": id.to_string(), "title": title(&view) },
                "description": wish.instructions,
                "status": status(&view),
                "tool": view.spec.agent.as_str(),
                "session_id": id.to_string(),
                "instructions_started": begins,
                "created_at": moment(view.spawned_at),
            }))
        });
        let made = made.await?;
        let id = made["task_id"].as_str().unwrap_or_default();
        let message = match (call.nothing_goes_on(), made["instructions_started"] == true) {
            (_, false) => format!("Task {id} is there; `update_task` lets it begin"),
            (Some(note), true) => format!("Task {id} is there; {note}"),
            (None, true) => format!("Task {id} is at work"),
        };
        Ok((message, made))
    };
    let mut answer = enveloped(made.await)?;
    // Older clients look for the id beside the envelope.
    if let Answer::Document(document) = &mut answer {
        document["task_id"] = document["result"]["task_id"].clone();
    }
    Ok(answer)
}

/// The title of such a task; none for any other instance.
fn title(view: &InstanceView) -> Option<&str> {
    view.spec.env.get(TITLE).map(String::as_str)
}

/// How they call its state.
fn status(view: &InstanceView) -> &'static str {
    let succeeded = view
        .last_outcome
        .as_ref()
        .map(wheelhouse_core::outcome::Outcome::is_success);
    match (&view.state, succeeded) {
        (InstanceState::Waiting { .. }, _) => "waiting",
        (InstanceState::Starting | InstanceState::Busy, _) => "in_progress",
        (InstanceState::Ended { end: End::Denied }, _) => "cancelled",
        (_, Some(true)) => "completed",
        (InstanceState::Ended { .. }, _) => "cancelled",
        (InstanceState::Idle | InstanceState::Suspended, Some(false)) => "failed",
        (InstanceState::Idle | InstanceState::Suspended, None) => "pending",
    }
}

/// The task of that id.
fn task(reader: &mut dyn Reader, id: &str) -> Result<InstanceView, Failure> {
    let view = crew::instance(reader, id)?;
    match title(&view) {
        Some(_) => Ok(view),
        None => Err(Failure::new(
            exit::NOT_FOUND,
            format!("{} is an instance that was not made by `create_task`", view.id),
        )),
    }
}

/// Every such task, those that have ended too when they are asked for.
fn tasks(reader: &mut dyn Reader, ended: bool) -> Result<Vec<InstanceView>, Failure> {
    let filter = wheelhouse_core::crew::InstanceFilter { below: None, ended };
    let mut all = reader.instances(filter, None, INSTANCES_MAX)?;
    // One whose process is still being stopped is over to them.
    let shown = |view: &InstanceView| ended || !matches!(view.state, InstanceState::Ended { .. });
    all.retain(|view| title(view).is_some() && shown(view));
    Ok(all)
}

/// How long it was at work, in seconds.
fn seconds(view: &InstanceView) -> f64 {
    let end = view.ended_at.unwrap_or(view.active_at);
    #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
    let seconds = end.0.saturating_sub(view.spawned_at.0) as f64 / 1_000.0;
    seconds
}

fn in_short(view: &InstanceView) -> Value {
    json!({
        "id": view.id.to_string(),
        "title": title(view),
        "name": title(view),
        "description": title(view),
        "status": status(view),
        "tool": view.spec.agent.as_str(),
        "session_id": view.id.to_string(),
        "created_at": moment(view.spawned_at),
        "updated_at": moment(view.active_at),
        "duration": seconds(view),
        "total_tokens": view.usage.total(),
    })
}

fn line(said: &Said) -> Option<String> {
    let (kind, text) = match &said.what {
        What::Message(message) if message.to.instance().is_some() => ("INSTRUCTIONS", &message.text),
        What::Message(message) => ("NOTE", &message.text),
        What::Report { kind, text } => (kind.as_str(), text),
        What::Answer { answer, .. } => ("OUTPUT", &answer.text),
    };
    let text = cut(text, LINE_MAX);
    (!text.is_empty()).then(|| format!("[{}] {text}", kind.to_ascii_uppercase()))
}

/// Everything it was told, did and said.
fn all_said(reader: &mut dyn Reader, view: &InstanceView) -> Result<Vec<Said>, Failure> {
    let (mut all, mut cursor) = (Vec::new(), Cursor(0));
    loop {
        let (said, next) = crew::output(reader, view, cursor)?;
        all.extend(said);
        if next == cursor {
            return Ok(all);
        }
        cursor = next;
    }
}

fn whole(reader: &mut dyn Reader, view: &InstanceView) -> Result<Value, Failure> {
    let said = all_said(reader, view)?;
    let mut lines: Vec<String> = said.iter().filter_map(line).collect();
    let total = lines.len();
    let lines = lines.split_off(total.saturating_sub(LINES_MAX));
    let tools: Vec<&str> = said
        .iter()
        .filter_map(|said| match &said.what {
            What::Report { kind, text } if kind == "tool" => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let mut files = Vec::new();
    for said in &said {
        if let What::Answer { answer, .. } = &said.what
            && let Some(task) = answer.task
            && let Some(result) = reader.result(task)?
        {
            files.extend(result.files);
        }
    }
    files.sort();
    files.dedup();
    let mut document = in_short(view);
    document["progress"] = if status(view) == "completed" { 100 } else { 0 }.into();
    document["logs"] = json!(lines);
    document["tool_invocations"] = json!(tools);
    document["files_affected"] = json!(files);
    document["metrics"] = json!({
        "cost_nano": view.cost_nano,
        "unpriced_attempts": view.cost_unknown,
        "tokens": document::usage(&view.usage),
        "duration": seconds(view),
        "turns": view.turns,
    });
    Ok(document)
}

#[derive(Deserialize, JsonSchema)]
struct Update {
    #[serde(alias = "task_id", alias = "process", alias = "session_id")]
    id: String,
    instructions: String,
}

async fn update(call: &Call<'_>) -> Result<Answer, Failure> {
    let sent = async {
        let Update { id, instructions } = arguments(call)?;
        let (by, key) = (call.party(), call.once().map(|once| once.key));
        let sent = call.faces.desk.change(move |truth| {
            let view = task(truth.reader, &id)?;
            let letter = Letter {
                from: by,
                to: vec![view.id.to_string()],
                kind: MessageKind::Request,
                text: instructions,
                reply_to: None,
                after: Vec::new(),
                key,
            };
            let mut sent = crew_verb::send(truth, &letter)?;
            let message = sent.pop().unwrap_or_else(|| Err(Failure::usage("nothing was sent")))?;
            let view = crew::instance(truth.reader, &view.id.to_string())?;
            Ok(json!({ "id": view.id.to_string(), "status": status(&view), "message_id": message.to_string() }))
        });
        Ok((
            "The instructions are sent; they are done after what is under way".to_owned(),
            sent.await?,
        ))
    };
    enveloped(sent.await)
}

#[derive(Deserialize, JsonSchema)]
struct Ending {
    #[serde(alias = "task_id")]
    id: String,
    #[serde(default)]
    summary: Option<String>,
}

async fn end(call: &Call<'_>) -> Result<Answer, Failure> {
    let ended = async {
        let Ending { id, summary } = arguments(call)?;
        let by = call.party();
        let ended = call.faces.desk.change(move |truth| {
            let view = task(truth.reader, &id)?;
            crew_verb::terminate(truth, by, &[view.id.to_string()])?;
            let view = crew::instance(truth.reader, &view.id.to_string())?;
            Ok(json!({
                "id": view.id.to_string(),
                "description": title(&view),
                "status": status(&view),
                "duration": seconds(&view),
                "session_closed": true,
                "summary": summary,
            }))
        });
        Ok(("The task is ended".to_owned(), ended.await?))
    };
    enveloped(ended.await)
}

#[derive(Deserialize, JsonSchema)]
struct Which {
    #[serde(default, alias = "task_id")]
    id: Option<String>,
}

async fn report(call: &Call<'_>) -> Result<Answer, Failure> {
    let read = async {
        let Which { id } = arguments(call)?;
        let read = call.faces.desk.read(move |reader| match id {
            Some(id) => {
                let view = task(reader, &id)?;
                Ok((
                    format!("Task {} is {}", view.id, status(&view)),
                    json!({ "task": whole(reader, &view)? }),
                ))
            }
            None => {
                let all = tasks(reader, true)?;
                let open: Vec<Value> = tasks(reader, false)?.iter().map(in_short).collect();
                let message = format!("{} tasks are open", open.len());
                Ok((message, json!({ "tasks": open, "statistics": statistics(&all) })))
            }
        });
        read.await
    };
    enveloped(read.await)
}

/// The numbers over all tasks, those that have ended too.
fn statistics(all: &[InstanceView]) -> Value {
    let (mut states, mut agents) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
    for view in all {
        *states.entry(status(view)).or_default() += 1;
        *agents.entry(view.spec.agent.as_str()).or_default() += 1;
    }
    let of = |state: &str| states.get(state).copied().unwrap_or(0);
    let decided = of("completed") + of("failed");
    #[expect(clippy::cast_precision_loss, reason = "numbers for people")]
    let (average, rate) = (
        all.iter().map(seconds).fold(0.0, |sum, one| sum + one) / all.len().max(1) as f64,
        (decided > 0).then(|| of("completed") as f64 / decided as f64),
    );
    json!({
        "total_tasks": all.len(),
        "by_status": states,
        "by_tool": agents,
        "average_duration_seconds": average,
        "total_logs": all.iter().map(|view| u64::from(view.turns)).sum::<u64>(),
        "success_rate": rate,
    })
}

async fn stats(call: &Call<'_>) -> Result<Answer, Failure> {
    let Nothing {} = arguments(call)?;
    let all = call.faces.desk.read(|reader| tasks(reader, true)).await?;
    let mut numbers = statistics(&all);
    let standing = standing(call.faces).await?;
    for key in ["tasks", "sessions"] {
        numbers[key] = standing[key].clone();
    }
    enveloped(Ok((format!("{} tasks", all.len()), numbers)))
}

async fn check(call: &Call<'_>) -> Result<Answer, Failure> {
    let Nothing {} = arguments(call)?;
    enveloped(Ok(("How things stand".to_owned(), standing(call.faces).await?)))
}

/// Whether the engine works, who there is, and what is open.
async fn standing(faces: &Faces) -> Result<Value, Failure> {
    let all = faces.desk.read(|reader| tasks(reader, true)).await?;
    let works = matches!(faces.desk.engine(), wheelhouse_engine::lock::Engine::Running(_));
    let services: serde_json::Map<String, Value> = faces
        .plans
        .agents()
        .iter()
        .map(|agent| {
            let status = if agent.installed { "available" } else { "not_installed" };
            (
                agent.name.clone(),
                json!({ "status": status, "available": agent.installed }),
            )
        })
        .collect();
    let of = |wanted: &str| all.iter().filter(|view| status(view) == wanted).count();
    Ok(json!({
        "status": if works { "active" } else { "stopped" },
        "services": services,
        "daemon": { "status": if works { "running" } else { "stopped" } },
        "tasks": {
            "total": all.len(),
            "active": of("in_progress") + of("waiting"),
            "in_progress": of("in_progress"),
            "waiting": of("waiting"),
            "pending": of("pending"),
            "completed": of("completed"),
            "failed": of("failed"),
        },
        "sessions": { "active": all.iter().filter(|view| !matches!(view.state, InstanceState::Ended { .. })).count() },
        "processes": all.iter().filter(|view| view.turn.is_some()).count(),
    }))
}

#[derive(Deserialize, JsonSchema)]
struct Clean {
    /// Keep so many of the newest.
    #[serde(default)]
    keep_recent: usize,
    #[serde(default)]
    dry_run: bool,
    /// Only this one.
    #[serde(default, alias = "id")]
    task_id: Option<String>,
}

async fn clean(call: &Call<'_>) -> Result<Answer, Failure> {
    let cleaned = async {
        let wish: Clean = arguments(call)?;
        let by = call.party();
        let cleaned = call.faces.desk.change(move |truth| {
            let ids: Vec<InstanceId> = match &wish.task_id {
                Some(id) => vec![task(truth.reader, id)?.id],
                None => {
                    let open = tasks(truth.reader, false)?;
                    let most = open.len().saturating_sub(wish.keep_recent);
                    open.iter().take(most).map(|view| view.id).collect()
                }
            };
            let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
            if !wish.dry_run {
                crew_verb::terminate(truth, by, &names)?;
            }
            Ok((names, wish.dry_run))
        });
        let (names, dry) = cleaned.await?;
        let message = match dry {
            true => format!("{} tasks would be ended", names.len()),
            false => format!("{} tasks are ended; what they did stays in the history", names.len()),
        };
        Ok((
            message,
            json!({ "removed": names, "count": names.len(), "dry_run": dry }),
        ))
    };
    enveloped(cleaned.await)
}

#[derive(Deserialize, JsonSchema)]
struct Prompted {
    #[serde(default, alias = "name")]
    prompt_id: Option<String>,
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    arguments: rmcp::model::JsonObject,
}

async fn get_prompt(call: &Call<'_>) -> Result<Answer, Failure> {
    let read = || {
        let Prompted { prompt_id, arguments } = arguments(call)?;
        match prompt_id {
            None => {
                let all: Vec<Value> = prompt::all()
                    .iter()
                    .map(|prompt| json!({ "id": prompt.name, "description": prompt.description }))
                    .collect();
                Ok((format!("{} prompts", all.len()), json!({ "prompts": all })))
            }
            Some(name) => {
                let got = prompt::get(&name, Some(&arguments))?;
                Ok((
                    format!("The prompt {name}"),
                    json!({ "id": name, "messages": got.messages }),
                ))
            }
        }
    };
    enveloped(read())
}

/// What a client of theirs reads as a resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Seen {
    /// How things stand.
    Status,
    /// Every task.
    Tasks,
    /// Every session that is open.
    Sessions,
    /// One task.
    Task(String),
    /// What it did, line by line.
    Logs(String),
    /// What it answered last.
    Result(String),
}

impl Seen {
    /// What that URI of theirs names.
    pub(super) fn parse(uri: &str) -> Option<Seen> {
        let is_id = |id: &str| {
            let digits = id.strip_prefix('i').unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (scheme, rest) = uri.split_once("://")?;
        let parts: Vec<&str> = rest.split('/').collect();
        match (scheme, parts.as_slice()) {
            ("agent", ["status"]) => Some(Seen::Status),
            ("agent", ["tasks"]) | ("task", ["list"]) => Some(Seen::Tasks),
            ("agent", ["sessions"]) => Some(Seen::Sessions),
            ("agent", ["tasks", id]) | ("task", [id]) if is_id(id) => Some(Seen::Task((*id).to_owned())),
            ("task", [id, "logs"]) if is_id(id) => Some(Seen::Logs((*id).to_owned())),
            ("task", [id, "result"]) | ("task-output", [id]) if is_id(id) => Some(Seen::Result((*id).to_owned())),
            _ => None,
        }
    }

    /// The task it is about.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Seen::Status | Seen::Tasks | Seen::Sessions => None,
            Seen::Task(id) | Seen::Logs(id) | Seen::Result(id) => Some(id),
        }
    }

    /// What it holds.
    pub(super) async fn read(self, faces: &Faces) -> Result<Value, Failure> {
        match self {
            Seen::Status => {
                let mut standing = standing(faces).await?;
                standing["state"] = standing["status"].take();
                standing["status"] = "ready".into();
                standing["capabilities"] = faces.plans.agents().iter().map(|agent| agent.name.clone()).collect();
                standing["version"] = env!("CARGO_PKG_VERSION").into();
                Ok(standing)
            }
            Seen::Tasks => {
                let all = faces.desk.read(|reader| tasks(reader, false)).await?;
                let listed: Vec<Value> = all.iter().map(in_short).collect();
                Ok(json!({ "count": listed.len(), "tasks": listed }))
            }
            Seen::Sessions => {
                let all = faces.desk.read(|reader| tasks(reader, false)).await?;
                let sessions: Vec<Value> = all
                    .iter()
                    .map(|view| {
                        json!({
                            "id": view.id.to_string(),
                            "type": view.spec.agent.as_str(),
                            "status": view.state.name(),
                            "task_id": view.id.to_string(),
                            "last_activity": moment(view.active_at),
                        })
                    })
                    .collect();
                Ok(json!({ "count": sessions.len(), "sessions": sessions, "at": moment(now()) }))
            }
            Seen::Task(id) => {
                let read = faces.desk.read(move |reader| {
                    let view = task(reader, &id)?;
                    whole(reader, &view)
                });
                read.await
            }
            Seen::Logs(id) => {
                let read = faces.desk.read(move |reader| {
                    let view = task(reader, &id)?;
                    let lines: Vec<String> = all_said(reader, &view)?.iter().filter_map(line).collect();
                    Ok(json!({ "id": view.id.to_string(), "count": lines.len(), "logs": lines }))
                });
                read.await
            }
            Seen::Result(id) => {
                let read = faces.desk.read(move |reader| {
                    let view = task(reader, &id)?;
                    let files = whole(reader, &view)?["files_affected"].take();
                    let said = all_said(reader, &view)?;
                    let last = said.iter().rev().find_map(|said| match &said.what {
                        What::Answer { answer, .. } => Some(answer.text.clone()),
                        What::Message(_) | What::Report { .. } => None,
                    });
                    Ok(json!({
                        "id": view.id.to_string(), "status": status(&view), "output": last, "files": files,
                    }))
                });
                read.await
            }
        }
    }
}

/// Every resource of theirs: URI, name, description.
pub(super) async fn resources(faces: &Faces) -> Result<Vec<(String, String, String)>, Failure> {
    let fixed = [
        (
            "agent://status",
            "Agent status",
            "Whether the engine works, and who there is",
        ),
        ("agent://tasks", "Agent tasks", "Every task"),
        ("agent://sessions", "Agent sessions", "Every session that is open"),
        // `task://list` can be read too; in the list, only tasks are `task://`.
    ];
    let mut all: Vec<(String, String, String)> = fixed
        .map(|(uri, name, about)| (uri.to_owned(), name.to_owned(), about.to_owned()))
        .to_vec();
    let open = faces.desk.read(|reader| tasks(reader, false)).await?;
    all.extend(open.iter().map(|view| {
        let name = title(view).unwrap_or_default().to_owned();
        (format!("task://{}", view.id), name, status(view).to_owned())
    }));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names_and_uris_name_one_thing_each() {
        assert_eq!(name_of("E2E Test: greet(name)!"), "task-e2e-test-greet-name");
        assert!(wheelhouse_core::instance::is_name(&name_of("ünïcode")));
        assert!(wheelhouse_core::instance::is_name(&name_of(&"x ".repeat(200))));
        assert_eq!(Seen::parse("task://i7"), Some(Seen::Task("i7".into())));
        assert_eq!(Seen::parse("task://i7/logs"), Some(Seen::Logs("i7".into())));
        assert_eq!(Seen::parse("task-output://i7"), Some(Seen::Result("i7".into())));
        assert_eq!(
            Seen::parse("task://r7/logs"),
            None,
            "a task of a run may be called `logs`"
        );
        assert_eq!(Seen::parse("task://r7"), None);
        assert_eq!(Seen::parse("agent://x"), None);
    }
}
