//! Instances: agents that stay, to be spawned, talked to, stopped.
//!
//! Who asks is known from the token the request was shown, never from what it says: a person's token, or the one that an
//! instance was given. Rights and limits are the store's to hold.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use wheelhouse_core::crew::InstanceFilter;
use wheelhouse_core::ids::{Cursor, MessageId};
use wheelhouse_core::message::MessageKind;
use wheelhouse_core::store::Reader;

use super::brief::{DIGEST_MAX, cut};
use super::call::{Answer, Call};
use super::tool::{AnyDocument, Tool, arguments, tool};
use super::wait::SECONDS_MAX;
use crate::desk::Over;
use crate::face::crew::{self, Said, What};
use crate::face::crew_verb::{self, Below, Letter, PERSON, Spawned};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::spawn::Wish;

/// How many instances an answer lists.
const LISTED_MAX: u32 = 50;
/// How much of what an instance said an answer holds, in entries.
const SAID_MAX: usize = 20;
/// How long an interrupted agent is given to obey while the call is held.
const OBEY: Duration = Duration::from_secs(40);

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Lean Crew Adds "spawn", SpawnArgs => AnyDocument, spawn,
            "Start a named agent that stays and can be talked to. For one task use `delegate`.",
            "create instance agent team member claude codex new worker"),
        tool!(Lean Crew Adds "send", SendArgs => AnyDocument, send,
            "Send a message to an instance; with `seconds` wait for its answer. `person` is who spawned the first.",
            "message talk tell reply instance mail"),
        tool!(Lean Crew Reads "instances", InstancesArgs => AnyDocument, instances,
            "List instances; of one, what it did and said since a cursor.",
            "output tree children peers list status who is active"),
        tool!(Lean Crew Ends "interrupt", NamesArgs => AnyDocument, interrupt,
            "Stop what instances do now; they stay, with all they know.",
            "stop turn redirect pause halt"),
        tool!(Lean Crew Ends "terminate", NamesArgs => AnyDocument, terminate,
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
        let wish = Wish {
            name: asked.name,
            agent: asked.agent,
            model: asked.model,
            role: asked.role,
            system_prompt: asked.system_prompt,
            worktree: asked.worktree,
            ..Wish::default()
        };
        let below = Below {
            parent: asked.parent.as_deref(),
            key: key.as_deref(),
            ..Below::caller(by)
        };
        let spawned = crew_verb::spawn_all(truth, &defaults, &below, vec![(wish, asked.prompt)])?;
        in_short(truth.reader, &spawned).map(|mut all| all.pop().unwrap_or_default())
    });
    let mut document = spawned.await?;
    if let Some(note) = call.nothing_goes_on() {
        document["note"] = note.into();
    }
    Ok(Answer::Document(document))
}

/// Instances that were made, in short.
pub(super) fn in_short(reader: &mut dyn Reader, spawned: &[Spawned]) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::with_capacity(spawned.len());
    for (id, message) in spawned {
        let view = reader.instance(*id)?;
        let state = view.as_ref().map(|view| view.state.name());
        let mut document = json!({ "instance": id.to_string(), "state": state });
        if let Some(view) = view {
            document["name"] = view.spec.name.into();
        }
        if let Some(message) = message {
            document["message"] = message.to_string().into();
        }
        all.push(document);
    }
    Ok(all)
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
        let letter = Letter {
            from,
            // A person is told; whoever works is asked.
            kind: match asked.to.as_str() {
                PERSON => MessageKind::Note,
                _ => MessageKind::Request,
            },
            to: vec![asked.to],
            text: asked.message,
            reply_to: asked.reply_to,
            after: Vec::new(),
            key,
        };
        let mut sent = crew_verb::send(truth, &letter)?;
        sent.pop()
            .unwrap_or_else(|| Err(Failure::usage("nobody is written to")))
    });
    let id = sent.await?;
    answer_of(call, id, Duration::from_secs(seconds))
        .await
        .map(Answer::Document)
}

/// A message and its answer, waited for that long.
pub(super) async fn answer_of(call: &Call<'_>, id: MessageId, most: Duration) -> Result<Value, Failure> {
    let look = move |reader: &mut dyn Reader| {
        let view = crew::message(reader, &id.to_string())?;
        let answer = crew::answer(reader, &view)?;
        let mut document = json!({ "message": id.to_string(), "state": view.state.name() });
        let over = answer.is_some();
        if let Some(answer) = answer {
            document["answer"] = cut(&answer.text, DIGEST_MAX * 2).into();
            document["outcome"] = json!(answer.outcome.map(|outcome| outcome.class()));
        }
        Ok((Over::from(over), document))
    };
    call.until(most, look).await
}

impl Call<'_> {
    /// Looks with all news until it is over, the time is up, or nobody waits any more.
    pub(super) async fn until<T: Send + 'static>(
        &self,
        most: Duration,
        look: impl Fn(&mut dyn Reader) -> Result<(Over, T), Failure> + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = async {
            tokio::select! {
                () = self.context.ct.cancelled() => {}
                () = self.faces.stop.cancelled() => {}
            }
        };
        self.faces.desk.until(Instant::now() + most, gone, look).await
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
pub(super) struct NamesArgs {
    #[serde(alias = "instance_ids", alias = "requests")]
    pub(super) instances: Vec<String>,
}

async fn interrupt(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let asked = call
        .faces
        .desk
        .change(move |truth| crew_verb::interrupt(truth, by, &instances, false));
    let until = Instant::now() + OBEY;
    let mut interrupted = Vec::new();
    for (instance, message) in asked.await? {
        let stood = match message {
            Some(id) => answer_of(call, id, until.saturating_duration_since(Instant::now())).await?,
            None => json!({ "state": "nothing was under way" }),
        };
        // An agent that had to be killed did not obey; one that has not ended yet may still.
        let confirmed = stood["outcome"].as_str().map(|class| class != "killed");
        let instance = instance.to_string();
        interrupted.push(json!({ "instance": instance, "confirmed": confirmed, "state": stood["state"] }));
    }
    Ok(Answer::Document(json!({ "interrupted": interrupted })))
}

async fn terminate(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let ended = call
        .faces
        .desk
        .change(move |truth| crew_verb::terminate(truth, by, &instances));
    let ended: Vec<String> = ended.await?.iter().map(ToString::to_string).collect();
    Ok(Answer::Document(json!({ "ended": ended })))
}
