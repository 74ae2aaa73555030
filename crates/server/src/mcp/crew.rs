//! Instances: agents that stay, to be spawned, talked to, stopped.
//!
//! Who asks is known from the token the request was shown, never from what it says: a person's token, or the one that an
//! instance was given. Rights and limits are the store's to hold.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use wheelhouse_core::crew::{Command, InstanceFilter, Reply, Send, Spawn};
use wheelhouse_core::ids::{Cursor, InstanceId, MessageId};
use wheelhouse_core::instance::Rights;
use wheelhouse_core::message::{MessageKind, Party};
use wheelhouse_core::store::Reader;

use super::brief::{DIGEST_MAX, cut};
use super::call::{Answer, Call};
use super::lean::AnyDocument;
use super::tool::{Effect, Tool, answers, arguments, schema};
use super::wait::SECONDS_MAX;
use crate::face::crew::{self, Said, What};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::spawn::{self, Wish};

/// How many instances an answer lists.
const LISTED_MAX: u32 = 50;
/// How much of what an instance said an answer holds, in entries.
const SAID_MAX: usize = 20;
/// How long an interrupted agent is given to obey while the call is held.
const OBEY: Duration = Duration::from_secs(40);

/// A tool about instances.
macro_rules! crew {
    ($name:literal, $effect:ident, $takes:ty, $work:path, $about:literal, $also:literal) => {
        Tool {
            name: $name,
            about: $about,
            effect: Effect::$effect,
            is_lean: true,
            is_crew: true,
            also: $also,
            input: schema::<$takes>,
            output: answers::<AnyDocument>,
            work: |call| Box::pin($work(call)),
        }
    };
}

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        crew!("spawn", Adds, SpawnArgs, spawn,
            "Start a named agent that stays and can be talked to. For one task use `delegate`.",
            "create instance agent team member claude codex new worker"),
        crew!("send", Adds, SendArgs, send,
            "Send a message to an instance; with `seconds` wait for its answer. `person` is who spawned the first.",
            "message talk tell reply instance mail"),
        crew!("instances", Reads, InstancesArgs, instances,
            "List instances; of one, what it did and said since a cursor.",
            "output tree children peers list status who is active"),
        crew!("interrupt", Ends, NamesArgs, interrupt,
            "Stop what instances do now; they stay, with all they know.",
            "stop turn redirect pause halt"),
        crew!("terminate", Ends, NamesArgs, terminate,
            "End instances and all below them.",
            "kill end shut down remove"),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SpawnArgs {
    name: String,
    #[serde(default, alias = "type", alias = "instance_type")]
    agent: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    role: Option<String>,
    /// What to do first.
    #[serde(default, alias = "initial_prompt")]
    prompt: Option<String>,
    #[serde(default)]
    #[schemars(skip)]
    system_prompt: Option<String>,
    #[serde(default, alias = "use_worktree")]
    worktree: bool,
    #[serde(default, alias = "parent_instance_id")]
    #[schemars(skip)]
    parent: Option<String>,
}

async fn spawn(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: SpawnArgs = arguments(call)?;
    let by = call.party();
    let key = call.once().map(|once| once.key);
    let defaults = call.faces.plans.crew();
    let spawned = call.faces.desk.change(move |truth| {
        let parent = match &asked.parent {
            Some(name) => Some(crew::instance(truth.reader, name)?.id),
            None => None,
        };
        let wish = Wish {
            name: asked.name,
            agent: asked.agent,
            model: asked.model,
            role: asked.role,
            system_prompt: asked.system_prompt,
            worktree: asked.worktree,
            ..Wish::default()
        };
        let policy = truth.reader.crew_policy()?;
        let spec = spawn::spec(wish, &policy, &defaults)?;
        let command = Command::Spawn(Box::new(Spawn {
            by,
            parent,
            spec,
            rights: Rights::default(),
            prompt: asked.prompt,
            key,
        }));
        match crew::ask(truth, command)? {
            Reply::Spawned { instance, message, .. } => in_short(truth.reader, instance, message),
            other => Err(crew::unexpected(&other)),
        }
    });
    let mut document = spawned.await?;
    if let Some(note) = call.nothing_goes_on() {
        document["note"] = note.into();
    }
    Ok(Answer::Document(document))
}

/// An instance as it stands, in short.
fn in_short(reader: &mut dyn Reader, id: InstanceId, message: Option<MessageId>) -> Result<Value, Failure> {
    let view = reader.instance(id)?;
    let state = view.as_ref().map(|view| view.state.name());
    let mut document = json!({ "instance": id.to_string(), "state": state });
    if let Some(view) = view {
        document["name"] = view.spec.name.into();
    }
    if let Some(message) = message {
        document["message"] = message.to_string().into();
    }
    Ok(document)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendArgs {
    #[serde(alias = "instance", alias = "instance_id")]
    to: String,
    message: String,
    /// At most 100; 0 does not wait.
    #[serde(default)]
    seconds: u64,
    /// The message this answers.
    #[serde(default, alias = "correlation_id")]
    reply_to: Option<String>,
}

async fn send(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: SendArgs = arguments(call)?;
    let from = call.party();
    let key = call.once().map(|once| once.key);
    let seconds = asked.seconds.min(SECONDS_MAX);
    let sent = call.faces.desk.change(move |truth| {
        let to = match asked.to.as_str() {
            "person" => Party::Person,
            name => Party::Instance(crew::instance(truth.reader, name)?.id),
        };
        let correlation = match &asked.reply_to {
            Some(text) => Some(crew::message(truth.reader, text)?.id),
            None => None,
        };
        let command = Command::Send(Box::new(Send {
            from,
            to,
            // A person is told; whoever works is asked.
            kind: if to == Party::Person {
                MessageKind::Note
            } else {
                MessageKind::Request
            },
            text: asked.message,
            correlation,
            after: Vec::new(),
            key,
        }));
        match crew::ask(truth, command)? {
            Reply::Sent { message, .. } => Ok(message),
            other => Err(crew::unexpected(&other)),
        }
    });
    let id = sent.await?;
    answer_of(call, id, Duration::from_secs(seconds))
        .await
        .map(Answer::Document)
}

/// A message and its answer, waited for that long.
async fn answer_of(call: &Call<'_>, id: MessageId, most: Duration) -> Result<Value, Failure> {
    let deadline = Instant::now() + most;
    let mut ears = call.faces.desk.news();
    loop {
        ears.mark_unchanged();
        let standing = call.faces.desk.read(move |reader| {
            let view = crew::message(reader, &id.to_string())?;
            let answer = crew::answer(reader, &view)?;
            let mut document = json!({ "message": id.to_string(), "state": view.state.name() });
            let over = answer.is_some();
            if let Some(answer) = answer {
                document["answer"] = cut(&answer.text, DIGEST_MAX * 2).into();
                document["outcome"] = json!(answer.outcome.map(|outcome| outcome.class()));
            }
            Ok((over, document))
        });
        let (over, document) = standing.await?;
        if over || Instant::now() >= deadline || call.context.ct.is_cancelled() {
            return Ok(document);
        }
        tokio::select! {
            heard = ears.changed() => if heard.is_err() { return Ok(document) },
            () = tokio::time::sleep_until(deadline) => {}
            () = call.context.ct.cancelled() => {}
            () = call.faces.stop.cancelled() => return Ok(document),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InstancesArgs {
    #[serde(default, alias = "instance_id", alias = "name")]
    instance: Option<String>,
    #[serde(default)]
    since: u64,
}

async fn instances(call: &Call<'_>) -> Result<Answer, Failure> {
    let InstancesArgs { instance, since } = arguments(call)?;
    let document = call.faces.desk.read(move |reader| match instance {
        None => {
            let all = reader.instances(InstanceFilter::default(), None, LISTED_MAX)?;
            let listed: Vec<Value> = all
                .iter()
                .map(|view| {
                    json!({
                        "instance": view.id.to_string(),
                        "name": view.spec.name,
                        "agent": view.spec.agent.as_str(),
                        "state": view.state.name(),
                        "parent": view.parent.map(|parent| parent.to_string()),
                    })
                })
                .collect();
            Ok(json!({ "instances": listed }))
        }
        Some(name) => {
            let view = crew::instance(reader, &name)?;
            let (said, cursor) = crew::output(reader, &view, Cursor(since))?;
            let shown: Vec<Value> = said.iter().rev().take(SAID_MAX).rev().map(said_in_short).collect();
            Ok(json!({
                "instance": view.id.to_string(),
                "state": view.state.name(),
                "said": shown,
                "left_out": said.len().saturating_sub(SAID_MAX),
                "cursor": cursor.0,
            }))
        }
    });
    Ok(Answer::Document(document.await?))
}

fn said_in_short(said: &Said) -> Value {
    match &said.what {
        What::Message(view) => json!({
            "message": view.id.to_string(),
            "from": view.from.to_string(),
            "to": view.to.to_string(),
            "text": cut(&view.text, DIGEST_MAX / 3),
        }),
        _ => document::said(said),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamesArgs {
    #[serde(alias = "instance_ids", alias = "requests")]
    instances: Vec<String>,
}

async fn interrupt(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let asked = call.faces.desk.change(move |truth| {
        let mut asked = BTreeMap::new();
        for name in &instances {
            let instance = crew::instance(truth.reader, name)?.id;
            let command = Command::Interrupt {
                by,
                instance,
                clear: false,
            };
            match crew::ask(truth, command)? {
                Reply::Interrupted { message, .. } => asked.insert(instance.to_string(), message),
                other => return Err(crew::unexpected(&other)),
            };
        }
        Ok(asked)
    });
    let until = Instant::now() + OBEY;
    let mut interrupted = Vec::new();
    for (instance, message) in asked.await? {
        let stood = match message {
            Some(id) => answer_of(call, id, until.saturating_duration_since(Instant::now())).await?,
            None => json!({ "state": "nothing was under way" }),
        };
        // An agent that had to be killed did not obey; one that has not ended yet may still.
        let confirmed = stood["outcome"].as_str().map(|class| class != "killed");
        interrupted.push(json!({ "instance": instance, "confirmed": confirmed, "state": stood["state"] }));
    }
    Ok(Answer::Document(json!({ "interrupted": interrupted })))
}

async fn terminate(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let ended = call.faces.desk.change(move |truth| {
        let mut ids = Vec::new();
        for name in &instances {
            ids.push(crew::instance(truth.reader, name)?.id);
        }
        let mut ended: Vec<InstanceId> = Vec::new();
        for instance in ids {
            // One may have gone with another that was named before it.
            if ended.contains(&instance) {
                continue;
            }
            match crew::ask(truth, Command::Terminate { by, instance })? {
                Reply::Ended { instances } => ended.extend(instances),
                other => return Err(crew::unexpected(&other)),
            }
        }
        Ok(ended.iter().map(ToString::to_string).collect::<Vec<_>>())
    });
    Ok(Answer::Document(json!({ "ended": ended.await? })))
}
