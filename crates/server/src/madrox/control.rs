//! Interrupting, ending, putting aside and taking up again.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::instance::{InstanceState, InstanceView};
use wheelhouse_core::store::Reader;

use super::shape::{self, names, record, views};
use super::{Asked, Verb, verb};
use crate::desk::Over;
use crate::face::crew;
use crate::face::crew_verb::{self, Below};
use crate::face::document::{crew as document, moment};
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::moment::now;
use crate::face::spawn::Wish;

/// How long an interrupted agent is given to obey, in seconds.
const OBEY: u64 = 40;

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Crew Ends "interrupt_instance", OneArgs, interrupt,
            "Stop what an instance does now; it and all it knows stay.", "stop pause redirect ctrl-c"),
        verb!(Crew Ends "interrupt_multiple_instances", ManyArgs, interrupt_many,
            "Stop what several instances do now; they stay.", "stop pause redirect several"),
        verb!(Crew Ends "terminate_instance", EndArgs, terminate,
            "End an instance and everything below it; one that is busy needs `force`.", "kill remove shut down"),
        verb!(Crew Ends "terminate_multiple_instances", EndManyArgs, terminate_many,
            "End several instances and everything below them.", "kill remove shut down several"),
        verb!(Crew Ends "suspend_instance", OneArgs, suspend,
            "Put an idle instance aside; a message wakes it.", "sleep pause idle"),
        verb!(Crew Adds "resume_instance", ResumeArgs, resume,
            "Take a suspended instance up again, or go on in the session of one that has ended.", "wake continue session"),
        verb!(Person Reads "list_persisted_instances", NoArgs, persisted,
            "List the instances that are put aside or have ended and can be resumed.", "suspended sessions saved"),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct NoArgs {}

#[derive(Deserialize, JsonSchema)]
struct OneArgs {
    instance_id: String,
}

#[derive(Deserialize, JsonSchema)]
struct ManyArgs {
    #[serde(alias = "requests", deserialize_with = "names")]
    instance_ids: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct EndArgs {
    instance_id: String,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize, JsonSchema)]
struct EndManyArgs {
    #[serde(alias = "requests", deserialize_with = "names")]
    instance_ids: Vec<String>,
    #[serde(default)]
    force: bool,
}

async fn interrupt(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let message = begin(asked, instance_id.clone()).await?;
    stood(asked, instance_id, message).await
}

async fn begin(asked: &Asked<'_>, name: String) -> Result<Option<MessageId>, Failure> {
    let by = asked.by();
    let interrupted = asked
        .faces
        .desk
        .change(move |truth| crew_verb::interrupt(truth, by, &[name], false));
    Ok(interrupted.await?.first().and_then(|(_, message)| *message))
}

/// Whether the agent obeyed, as far as it is known when the time is up.
async fn stood(asked: &Asked<'_>, name: String, message: Option<MessageId>) -> Result<Value, Failure> {
    let look = move |reader: &mut dyn Reader| {
        let id = crew::instance(reader, &name)?.id;
        let view = match message {
            Some(message) => reader.message(message)?,
            None => None,
        };
        let over = view.as_ref().is_none_or(|view| view.state.is_over());
        Ok((Over::from(over), document::interrupted(id, view.as_ref())))
    };
    let stood = asked.until(OBEY, look).await?;
    let confirmed = stood["message"].is_null() || stood["confirmed"] == true;
    Ok(json!({
        "success": confirmed,
        "instance_id": stood["instance"],
        "message": stood["said"],
        "confirmed": confirmed,
        "timestamp": moment(now()),
    }))
}

async fn interrupt_many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let ManyArgs { instance_ids } = asked.takes()?;
    let (mut interrupted, mut failed) = (Vec::new(), Vec::new());
    // All are asked before any is waited for.
    let mut begun = Vec::new();
    for name in instance_ids {
        match begin(asked, name.clone()).await {
            Ok(message) => begun.push((name, message)),
            Err(failure) => failed.push(json!({ "instance_id": name, "error": failure.message })),
        }
    }
    let mut results = serde_json::Map::new();
    for (name, message) in begun {
        let stood = stood(asked, name.clone(), message).await?;
        match stood["success"] == true {
            true => interrupted.push(stood["instance_id"].clone()),
            false => failed.push(json!({ "instance_id": stood["instance_id"], "error": stood["message"] })),
        }
        results.insert(name, stood);
    }
    Ok(json!({ "interrupted": interrupted, "failed": failed, "results": results }))
}

async fn end(asked: &Asked<'_>, name: String, force: bool) -> Result<Value, Failure> {
    let by = asked.by();
    let ended = asked.faces.desk.change(move |truth| {
        let view = crew::instance(truth.reader, &name)?;
        if view.turn.is_some() && !force {
            return Err(Failure::new(
                exit::REFUSED,
                format!("{} is busy; `force` ends it all the same", view.id),
            ));
        }
        let ended = crew_verb::terminate(truth, by, &[name])?;
        Ok((view.id, ended))
    });
    let (id, ended) = ended.await?;
    let ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
    Ok(json!({ "instance_id": id.to_string(), "status": "terminated", "success": true, "terminated": ended }))
}

async fn terminate(asked: &Asked<'_>) -> Result<Value, Failure> {
    let EndArgs { instance_id, force } = asked.takes()?;
    end(asked, instance_id, force).await
}

async fn terminate_many(asked: &Asked<'_>) -> Result<Value, Failure> {
    let EndManyArgs { instance_ids, force } = asked.takes()?;
    let mut terminated: Vec<Value> = Vec::new();
    let (mut failed, mut results) = (Vec::new(), serde_json::Map::new());
    for name in instance_ids {
        // One may have gone with another that was named before it.
        if terminated.iter().any(|id| *id == name.as_str()) {
            continue;
        }
        match end(asked, name.clone(), force).await {
            Ok(ended) => {
                terminated.extend(ended["terminated"].as_array().into_iter().flatten().cloned());
                results.insert(name, ended);
            }
            Err(failure) => failed.push(json!({ "instance_id": name, "error": failure.message })),
        }
    }
    Ok(json!({ "terminated": terminated, "failed": failed, "results": results }))
}

async fn suspend(asked: &Asked<'_>) -> Result<Value, Failure> {
    let OneArgs { instance_id } = asked.takes()?;
    let by = asked.by();
    let aside = asked
        .faces
        .desk
        .change(move |truth| crew_verb::suspend(truth, by, &[instance_id]))
        .await?;
    let id = aside.first().map(ToString::to_string);
    Ok(json!({ "instance_id": id, "status": "suspended", "success": true }))
}

#[derive(Deserialize, JsonSchema)]
struct ResumeArgs {
    instance_id: String,
    /// What the new instance is called, when the old one has ended.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    model: Option<String>,
}

async fn resume(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: ResumeArgs = asked.takes()?;
    let (by, key) = (asked.by(), asked.key.clone());
    let defaults = asked.faces.plans.crew();
    let resumed = asked.faces.desk.change(move |truth| {
        let view = crew::instance(truth.reader, &wish.instance_id)?;
        let id = match &view.state {
            InstanceState::Ended { .. } => {
                let Some(session) = view.session.clone() else {
                    return Err(Failure::new(
                        exit::REFUSED,
                        format!("{} has ended and left no session to go on in", view.id),
                    ));
                };
                let again = Wish {
                    name: wish.name.unwrap_or_else(|| view.spec.name.clone()),
                    agent: Some(view.spec.agent.to_string()),
                    model: wish.model.or_else(|| view.spec.model.clone()),
                    system_prompt: view.spec.system_prompt.clone(),
                    cwd: view.spec.cwd.clone(),
                    session: Some(session),
                    ..Wish::default()
                };
                let below = Below {
                    key: key.as_deref(),
                    ..Below::caller(by)
                };
                crew_verb::spawn_all(truth, &defaults, &below, vec![(again, None)])?
                    .first()
                    .map(|(id, _)| *id)
            }
            InstanceState::Suspended => crew_verb::wake(truth, by, &[view.id.to_string()])?.first().copied(),
            // It is there already.
            InstanceState::Starting | InstanceState::Idle | InstanceState::Busy | InstanceState::Waiting { .. } => {
                Some(view.id)
            }
        };
        let id = id.map_or_else(|| view.id.to_string(), |id| id.to_string());
        crew::instance(truth.reader, &id)
    });
    let view = resumed.await?;
    Ok(json!({
        "instance_id": view.id.to_string(),
        "status": shape::state(&view.state),
        "success": true,
        "name": view.spec.name,
        "session_id": view.spec.session.clone().or(view.session),
    }))
}

async fn persisted(asked: &Asked<'_>) -> Result<Value, Failure> {
    let NoArgs {} = asked.takes()?;
    let views = asked.faces.desk.read(|reader| views(reader, true)).await?;
    let can_resume = |view: &&InstanceView| match view.state {
        InstanceState::Suspended => true,
        InstanceState::Ended { .. } => view.session.is_some(),
        InstanceState::Starting | InstanceState::Idle | InstanceState::Busy | InstanceState::Waiting { .. } => false,
    };
    Ok(views.iter().filter(can_resume).map(record).collect())
}
