//! The rest of what concerns the crew, for whoever leads it: working together, teams, the policy, stopping, the audit log.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::coordinate;
use wheelhouse_core::crew::StopWhat;
use wheelhouse_core::store::Reader;

use super::brief::{DIGEST_MAX, cut};
use super::call::{Answer, Call};
use super::crew::{NamesArgs, in_short};
use super::more::NoArgs;
use super::tool::{AnyDocument, Tool, arguments, tool};
use super::wait::SECONDS_MAX;
use crate::desk::Over;
use crate::face::crew::{self, Coordinated};
use crate::face::crew_verb::{self, Below, Given, Meeting, Stopped, Together};
use crate::face::document::crew as document;
use crate::face::failure::Failure;
use crate::face::policy;
use crate::face::team::{self, Teams};

/// How many lines of the audit log are looked through.
const LINES: u32 = 100;
/// How much of one answer is shown among several, in characters.
const PART_MAX: usize = 400;

#[rustfmt::skip]
pub(super) fn tools() -> Vec<Tool> {
    vec![
        tool!(Full Crew Adds "coordinate", CoordinateArgs => AnyDocument, coordinate,
            "Give one question or task to several instances or agents: in parallel, one after the other, or for a vote.",
            "consensus vote quorum parallel sequential together several opinions panel"),
        tool!(Full Person Reads "teams", NoArgs => AnyDocument, teams,
            "List the teams that can be started, with their members.", "templates crew roles"),
        tool!(Full Crew Adds "start_team", StartArgs => AnyDocument, start_team,
            "Start all members of a team; the first is told the task.", "spawn team template crew"),
        tool!(Full Person Adds "save_team", SaveArgs => AnyDocument, save_team,
            "Save living instances as a team, with their sessions, to be started again.", "keep persist reuse team"),
        tool!(Full Person Reads "policy", NoArgs => AnyDocument, show_policy,
            "Show what instances work within: limits, allowed models, approvals, costs.", "settings limits config max"),
        tool!(Full Person Adds "set_policy", SetArgs => AnyDocument, set_policy,
            "Change what instances work within, such as `max_instances`, `allowed_models`, `require_approval`.",
            "limit approval manual mode models cost maximum configure"),
        tool!(Full Crew Ends "stop", StopArgs => AnyDocument, stop,
            "Stop every turn of every instance; with `all` end them and let nothing be spawned.",
            "halt emergency everything orchestration all tasks"),
        tool!(Full Crew Ends "suspend", NamesArgs => AnyDocument, suspend,
            "Put idle instances aside; a message wakes them.", "sleep pause instance idle"),
        tool!(Full Crew Adds "wake", NamesArgs => AnyDocument, wake,
            "Take suspended instances up again.", "resume instance continue"),
        tool!(Full Crew Reads "inbox", InboxArgs => AnyDocument, inbox,
            "Read the notes that instances have sent you, or those of an instance.", "messages replies mail pending reports"),
        tool!(Full Person Reads "audit", AuditArgs => AnyDocument, audit,
            "List what was done to instances, and by whom.", "log history who did"),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CoordinateArgs {
    /// What it is about.
    #[serde(default, alias = "task", alias = "question")]
    text: Option<String>,
    /// Instances, or agents for each of which one is made.
    #[serde(default, alias = "instances", alias = "agents")]
    with: Vec<String>,
    #[serde(default)]
    mode: Together,
    /// Distinct vendors that must approve.
    #[serde(default)]
    quorum: Option<u32>,
    /// At most 100; 0 does not wait.
    #[serde(default)]
    seconds: u64,
    /// Show how this one stands in place of beginning one.
    #[serde(default, alias = "id")]
    coordination: Option<String>,
}

async fn coordinate(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: CoordinateArgs = arguments(call)?;
    let id = match (asked.coordination, asked.text) {
        (Some(id), _) => id,
        (None, None) => return Err(Failure::usage("`text` says what it is about, `with` who takes part")),
        (None, Some(text)) => {
            let meeting = Meeting {
                by: call.party(),
                with: asked.with,
                together: asked.mode,
                quorum: asked.quorum,
                text,
            };
            let defaults = call.faces.plans.crew();
            let given = call
                .faces
                .desk
                .change(move |truth| crew_verb::coordinate(truth, &defaults, meeting));
            let Given { id, .. } = given.await?;
            id.to_string()
        }
    };
    let look = move |reader: &mut dyn Reader| {
        let standing = crew::coordination(reader, &id)?;
        Ok((Over::from(standing.is_over()), standing_in_short(&standing)))
    };
    let most = Duration::from_secs(asked.seconds.min(SECONDS_MAX));
    Ok(Answer::Document(call.until(most, look).await?))
}

fn standing_in_short(standing: &Coordinated) -> Value {
    let seats = standing.record.seats.iter().zip(&standing.answers);
    let answers: Vec<Value> = seats
        .map(|(seat, answer)| match answer {
            coordinate::Answer::Expected => json!({ "instance": seat.instance.to_string(), "state": "expected" }),
            coordinate::Answer::Missing => json!({ "instance": seat.instance.to_string(), "state": "missing" }),
            coordinate::Answer::Given(outcome, text) => json!({
                "instance": seat.instance.to_string(),
                "state": outcome.class(),
                "answer": cut(text, PART_MAX),
            }),
        })
        .collect();
    json!({
        "coordination": standing.record.id.to_string(),
        "over": standing.is_over(),
        "answers": answers,
        "result": standing.outcome,
    })
}

async fn teams(call: &Call<'_>) -> Result<Answer, Failure> {
    let NoArgs {} = arguments(call)?;
    let teams = Teams::of(call.faces.desk.state_dir());
    let listed = call.faces.desk.read(move |_| Ok(team::list(&teams))).await?;
    Ok(Answer::Document(json!({ "teams": listed })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StartArgs {
    team: String,
    /// What to tell the first member.
    #[serde(default)]
    task: Option<String>,
    /// For members that name none.
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    parent: Option<String>,
}

async fn start_team(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: StartArgs = arguments(call)?;
    let by = call.party();
    let key = call.once().map(|once| once.key);
    let teams = Teams::of(call.faces.desk.state_dir());
    let defaults = call.faces.plans.crew();
    let spawned = call.faces.desk.change(move |truth| {
        let wanted = crew_verb::members(teams.team(&asked.team)?, asked.task, asked.agent.as_deref());
        let below = Below {
            parent: asked.parent.as_deref(),
            key: key.as_deref(),
            ..Below::caller(by)
        };
        let spawned = crew_verb::spawn_all(truth, &defaults, &below, wanted)?;
        in_short(truth.reader, &spawned)
    });
    let mut document = json!({ "spawned": spawned.await? });
    if let Some(note) = call.nothing_goes_on() {
        document["note"] = note.into();
    }
    Ok(Answer::Document(document))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SaveArgs {
    team: String,
    instances: Vec<String>,
}

async fn save_team(call: &Call<'_>) -> Result<Answer, Failure> {
    let SaveArgs { team, instances } = arguments(call)?;
    let teams = Teams::of(call.faces.desk.state_dir());
    let path = call.faces.desk.read(move |reader| {
        let views = instances.iter().map(|name| crew::instance(reader, name));
        let team = team::of_instances(&team, &views.collect::<Result<Vec<_>, Failure>>()?);
        teams.save(&team)
    });
    Ok(Answer::Document(json!({ "path": path.await?.display().to_string() })))
}

async fn show_policy(call: &Call<'_>) -> Result<Answer, Failure> {
    let NoArgs {} = arguments(call)?;
    let policy = call.faces.desk.read(|reader| Ok(reader.crew_policy()?)).await?;
    Ok(Answer::Document(json!({ "policy": document::policy(&policy) })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetArgs {
    /// Keys with their new values; `policy` lists them.
    changes: BTreeMap<String, Value>,
}

async fn set_policy(call: &Call<'_>) -> Result<Answer, Failure> {
    let SetArgs { changes } = arguments(call)?;
    let by = call.party();
    let changed: Vec<String> = changes.keys().cloned().collect();
    let read = policy::from_document(&json!(changes)).map_err(|problems| crew_verb::policy_problems(&problems))?;
    let policy = call.faces.desk.change(move |truth| {
        crew_verb::set_policy(truth, by, read)?;
        Ok(truth.reader.crew_policy()?)
    });
    let whole = document::policy(&policy.await?);
    let now: serde_json::Map<String, Value> = changed
        .into_iter()
        .map(|key| (key.clone(), whole[key].clone()))
        .collect();
    Ok(Answer::Document(json!({ "policy": now })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StopArgs {
    #[serde(default)]
    all: bool,
}

async fn stop(call: &Call<'_>) -> Result<Answer, Failure> {
    let StopArgs { all } = arguments(call)?;
    let by = call.party();
    let what = match all {
        true => StopWhat::Orchestration,
        false => StopWhat::Turns,
    };
    let stopped = call
        .faces
        .desk
        .change(move |truth| crew_verb::stop(truth, by, what))
        .await?;
    Ok(Answer::Document(match stopped {
        Stopped::Ended(ids) => json!({ "ended": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }),
        Stopped::Turns(ids) => json!({ "stopped": ids.iter().map(ToString::to_string).collect::<Vec<_>>() }),
    }))
}

async fn suspend(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let aside = call
        .faces
        .desk
        .change(move |truth| crew_verb::suspend(truth, by, &instances));
    let ids: Vec<String> = aside.await?.iter().map(ToString::to_string).collect();
    Ok(Answer::Document(json!({ "suspended": ids })))
}

async fn wake(call: &Call<'_>) -> Result<Answer, Failure> {
    let NamesArgs { instances } = arguments(call)?;
    let by = call.party();
    let awake = call
        .faces
        .desk
        .change(move |truth| crew_verb::wake(truth, by, &instances));
    let ids: Vec<String> = awake.await?.iter().map(ToString::to_string).collect();
    Ok(Answer::Document(json!({ "awake": ids })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InboxArgs {
    /// Of this instance, which reads nothing for it; your own when absent.
    #[serde(default)]
    of: Option<String>,
}

async fn inbox(call: &Call<'_>) -> Result<Answer, Failure> {
    let InboxArgs { of } = arguments(call)?;
    let by = call.party();
    let notes = call.faces.desk.change(move |truth| {
        let (whose, notes) = crew_verb::inbox(truth.reader, by, of.as_deref())?;
        if whose == by {
            crew_verb::read_notes(truth, by, &notes)?;
        }
        Ok(notes)
    });
    let notes: Vec<Value> = notes
        .await?
        .iter()
        .map(|note| {
            json!({
                "message": note.id.to_string(),
                "from": note.from.to_string(),
                "reply_to": note.correlation.map(|id| id.to_string()),
                "text": cut(&note.text, DIGEST_MAX),
            })
        })
        .collect();
    Ok(Answer::Document(json!({ "notes": notes })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuditArgs {
    #[serde(default)]
    instance: Option<String>,
    /// Such as `2026-11-27`.
    #[serde(default)]
    day: Option<String>,
    /// `next` of the answer before.
    #[serde(default)]
    after: u64,
}

async fn audit(call: &Call<'_>) -> Result<Answer, Failure> {
    let asked: AuditArgs = arguments(call)?;
    let page = call.faces.desk.read(move |reader| {
        let instance = match &asked.instance {
            Some(name) => Some(crew::instance(reader, name)?.id),
            None => None,
        };
        let day = asked.day.as_deref().map(crew_verb::day).transpose()?;
        crew_verb::audit(reader, asked.after, instance, day, LINES)
    });
    let (lines, next) = page.await?;
    let lines: Vec<Value> = lines.iter().map(document::audit).collect();
    Ok(Answer::Document(json!({ "lines": lines, "next": next })))
}
