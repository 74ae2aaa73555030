//! `coordinate_instances`, `get_job_status`, `get_dashboard_url`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use wheelhouse_core::coordinate;
use wheelhouse_core::store::Reader;

use super::{Asked, Verb, verb};
use crate::desk::Over;
use crate::face::crew::{self, Coordinated};
use crate::face::crew_verb::{self, Meeting, Together};
use crate::face::document::moment;
use crate::face::exit;
use crate::face::failure::Failure;

#[rustfmt::skip]
pub(super) fn verbs() -> Vec<Verb> {
    vec![
        verb!(Crew Adds "coordinate_instances", CoordinateArgs, coordinate,
            "Give one task to several instances: sequential, parallel, or consensus. `get_job_status` has the results.",
            "together vote parallel sequential team"),
        verb!(Person Reads "get_job_status", JobArgs, job,
            "Get how a coordination stands and what was answered; waits for it unless told not to.", "coordination task status results"),
        verb!(Person Reads "get_dashboard_url", NoArgs, dashboard,
            "Get where this server can be looked at.", "url browser monitor"),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct NoArgs {}

#[derive(Deserialize, JsonSchema)]
struct CoordinateArgs {
    /// Who is told what came of it; may be empty.
    #[serde(default)]
    coordinator_id: Option<String>,
    participant_ids: Vec<String>,
    task_description: String,
    #[serde(default = "sequential")]
    coordination_type: Together,
}

fn sequential() -> Together {
    Together::Sequential
}

async fn coordinate(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: CoordinateArgs = asked.takes()?;
    let by = asked.by();
    let defaults = asked.faces.plans.crew();
    let given = asked.faces.desk.change(move |truth| {
        if let Some(name) = wish.coordinator_id.filter(|name| !name.is_empty()) {
            // One that is not there is a mistake of the caller's, and not passed over.
            crew::instance(truth.reader, &name)?;
        }
        let meeting = Meeting {
            by,
            with: wish.participant_ids,
            together: wish.coordination_type,
            quorum: None,
            text: wish.task_description,
        };
        crew_verb::coordinate(truth, &defaults, meeting)
    });
    Ok(json!({ "task_id": given.await?.id.to_string(), "status": "started" }))
}

#[derive(Deserialize, JsonSchema)]
struct JobArgs {
    #[serde(alias = "task_id")]
    job_id: String,
    #[serde(default)]
    #[schemars(with = "bool")]
    wait_for_completion: Option<bool>,
    #[serde(default)]
    max_wait: Option<u64>,
}

async fn job(asked: &Asked<'_>) -> Result<Value, Failure> {
    let wish: JobArgs = asked.takes()?;
    let seconds = match wish.wait_for_completion.unwrap_or(true) {
        true => wish.max_wait.unwrap_or(120),
        false => 0,
    };
    let look = move |reader: &mut dyn Reader| match crew::coordination(reader, &wish.job_id) {
        Ok(standing) => Ok((Over::from(standing.is_over()), document(&standing))),
        Err(failure) if failure.exit == exit::NOT_FOUND => Ok((Over::Yes, Value::Null)),
        Err(failure) => Err(failure),
    };
    asked.until(seconds, look).await
}

fn document(standing: &Coordinated) -> Value {
    let record = &standing.record;
    let results: serde_json::Map<String, Value> = record
        .seats
        .iter()
        .zip(&standing.answers)
        .map(|(seat, answer)| {
            let said = match answer {
                coordinate::Answer::Expected => json!({ "status": "pending" }),
                coordinate::Answer::Missing => json!({ "status": "missing" }),
                coordinate::Answer::Given(outcome, text) => json!({
                    "status": if outcome.is_success() { "completed" } else { "failed" },
                    "response": text,
                    "error": (!outcome.is_success()).then(|| outcome.to_string()),
                }),
            };
            (seat.instance.to_string(), said)
        })
        .collect();
    json!({
        "task_id": record.id.to_string(),
        "description": record.text,
        "participant_ids": record.seats.iter().map(|seat| seat.instance.to_string()).collect::<Vec<_>>(),
        "coordination_type": record.mode.name(),
        "status": if standing.is_over() { "completed" } else { "running" },
        "started_at": moment(record.at),
        "results": results,
        "outcome": standing.outcome,
    })
}

async fn dashboard(asked: &Asked<'_>) -> Result<Value, Failure> {
    let NoArgs {} = asked.takes()?;
    Ok(Value::String(asked.faces.guard.url()))
}
