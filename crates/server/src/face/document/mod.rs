//! The documents of `--json`: what they are called and how they are built from the store's views.
//!
//! These types are the wire. Names are never changed and never removed, only added; `docs/json.md` describes them.
//! Every conversion takes its view apart field by field, so that a new field of the store breaks the build here and
//! somebody decides.

pub mod answer;
pub mod crew;
mod event;
pub mod page;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{
    ArtifactRef, AttemptView, Check, Counts, QuestionView, RunState, RunView, TaskResult, TaskView,
};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::trail::Trail;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::failure::Failure;

pub use event::event;

/// A moment as RFC 3339 in UTC with milliseconds.
pub fn moment(at: Millis) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => ms.to_string(),
    }
}

/// How people and documents name a task: `r7/draft`.
pub fn task_name(run: RunId, key: &TaskKey) -> String {
    format!("{run}/{key}")
}

/// A run.
#[derive(Serialize, JsonSchema, Debug)]
pub struct Run {
    id: String,
    name: String,
    source: String,
    standing: bool,
    state: &'static str,
    submitted_at: String,
    finished_at: Option<String>,
    tasks: TaskCounts,
    /// How many of the tasks that failed are steps of workflows, which are counted themselves.
    steps_failed: u64,
    /// Whether it is over and nothing of it failed.
    all_succeeded: bool,
    usage: UsageDoc,
    cost: RunCost,
}

#[derive(Serialize, JsonSchema, Debug)]
struct TaskCounts {
    total: u64,
    waiting: u64,
    ready: u64,
    running: u64,
    held: u64,
    succeeded: u64,
    failed: u64,
    skipped: u64,
    cancelled: u64,
}

#[derive(Serialize, JsonSchema, Debug)]
struct RunCost {
    known_nano: u64,
    unknown_attempts: u64,
}

#[derive(Serialize, JsonSchema, Debug)]
struct UsageDoc {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    total: u64,
    source: &'static str,
}

impl From<&RunView> for Run {
    fn from(view: &RunView) -> Self {
        let RunView {
            id,
            name,
            source,
            standing,
            state,
            submitted_at,
            finished_at,
            counts,
            steps_failed,
            usage,
            cost_nano,
            cost_unknown,
        } = view;
        Run {
            id: id.to_string(),
            name: name.clone(),
            source: source.clone(),
            standing: *standing,
            state: run_state(*state),
            submitted_at: moment(*submitted_at),
            finished_at: finished_at.map(moment),
            tasks: TaskCounts::from(counts),
            steps_failed: *steps_failed,
            all_succeeded: *state == RunState::Finished && view.all_succeeded(),
            usage: UsageDoc::from(usage),
            cost: RunCost {
                known_nano: *cost_nano,
                unknown_attempts: *cost_unknown,
            },
        }
    }
}

/// The stable name of a run's state.
pub fn run_state(state: RunState) -> &'static str {
    match state {
        RunState::Active => "active",
        RunState::Paused => "paused",
        RunState::Interrupted => "interrupted",
        RunState::Finished => "finished",
    }
}

impl From<&Counts> for TaskCounts {
    fn from(counts: &Counts) -> Self {
        let Counts {
            waiting,
            ready,
            running,
            held,
            succeeded,
            failed,
            skipped,
            cancelled,
        } = *counts;
        TaskCounts {
            total: counts.total(),
            waiting,
            ready,
            running,
            held,
            succeeded,
            failed,
            skipped,
            cancelled,
        }
    }
}

/// What was consumed, as a document.
pub fn usage(usage: &Usage) -> Value {
    json!(UsageDoc::from(usage))
}

impl From<&Usage> for UsageDoc {
    fn from(usage: &Usage) -> Self {
        let Usage {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            source,
        } = *usage;
        UsageDoc {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            total: usage.total(),
            source: match source {
                UsageSource::Reported => "reported",
                UsageSource::Estimated => "estimated",
            },
        }
    }
}

/// A task.
#[derive(Serialize, JsonSchema, Debug)]
pub struct Task {
    id: String,
    run: String,
    key: String,
    state: &'static str,
    held: Option<Value>,
    outcome: Option<Value>,
    agent: String,
    priority: i32,
    attempt: u32,
    cancel_requested: bool,
    needs: Vec<String>,
    waits_for: Vec<String>,
    parent: Option<String>,
    started_at: Option<String>,
    done_at: Option<String>,
}

impl From<&TaskView> for Task {
    fn from(view: &TaskView) -> Self {
        let TaskView {
            id: _,
            run,
            key,
            state,
            agent,
            priority,
            attempt,
            fence: _,
            cancel_requested,
            needs,
            waits_for,
            parent,
            started_at,
            done_at,
        } = view;
        let names = |keys: &[TaskKey]| keys.iter().map(TaskKey::to_string).collect();
        let (held, outcome) = match state {
            TaskState::Waiting { pending: _ } | TaskState::Ready | TaskState::Running => (None, None),
            TaskState::Held(held) => (Some(held_doc(held)), None),
            TaskState::Done { outcome } => (None, Some(outcome_doc(outcome))),
        };
        Task {
            id: task_name(*run, key),
            run: run.to_string(),
            key: key.to_string(),
            state: state.name(),
            held,
            outcome,
            agent: agent.to_string(),
            priority: *priority,
            attempt: *attempt,
            cancel_requested: *cancel_requested,
            needs: names(needs),
            waits_for: names(waits_for),
            parent: parent.as_ref().map(TaskKey::to_string),
            started_at: started_at.map(moment),
            done_at: done_at.map(moment),
        }
    }
}

/// Why a task is held.
pub fn held_doc(held: &Held) -> Value {
    let reason = held.name();
    match held {
        Held::Paused => json!({ "reason": reason }),
        Held::Budget { scope, until } => {
            json!({ "reason": reason, "budget": scope, "until": until.map(moment) })
        }
        Held::Approval { question } | Held::Question { question } | Held::MergeConflict { question } => {
            json!({ "reason": reason, "question": question.to_string() })
        }
        Held::Quota { until } | Held::Retry { until } => json!({ "reason": reason, "until": moment(*until) }),
        Held::Conflict { with } => json!({ "reason": reason, "with": with.to_string() }),
    }
}

/// How something ended.
pub fn outcome_doc(outcome: &Outcome) -> Value {
    let class = outcome.class();
    match outcome {
        Outcome::Quota { resets_at } => json!({ "class": class, "resets_at": resets_at.map(moment) }),
        Outcome::RateLimited { retry_after_ms } => json!({ "class": class, "retry_after_ms": retry_after_ms }),
        Outcome::Skipped { cause } => json!({ "class": class, "cause": cause.to_string() }),
        Outcome::Succeeded
        | Outcome::Auth
        | Outcome::Overloaded
        | Outcome::ContextTooLong
        | Outcome::Refused
        | Outcome::Empty
        | Outcome::Malformed
        | Outcome::Truncated
        | Outcome::LowConfidence
        | Outcome::GateFailed
        | Outcome::Conflict
        | Outcome::TimedOut
        | Outcome::Stalled
        | Outcome::Killed
        | Outcome::Crashed
        | Outcome::Unavailable
        | Outcome::BudgetExhausted
        | Outcome::Cancelled => json!({ "class": class }),
    }
}

fn cost_doc(cost: &Cost) -> Value {
    match cost {
        Cost::Actual(nano) => json!({ "provenance": "actual", "nano": nano }),
        Cost::Priced(nano) => json!({ "provenance": "priced", "nano": nano }),
        Cost::Included => json!({ "provenance": "included" }),
        Cost::Free => json!({ "provenance": "free" }),
        Cost::Unknown => json!({ "provenance": "unknown" }),
    }
}

/// A try.
#[derive(Serialize, JsonSchema, Debug)]
pub struct Attempt {
    number: u32,
    begun: u32,
    agent: String,
    session: Option<String>,
    started_at: String,
    ended_at: Option<String>,
    outcome: Option<Value>,
    usage: UsageDoc,
    cost: Option<Value>,
}

impl From<&AttemptView> for Attempt {
    fn from(view: &AttemptView) -> Self {
        let AttemptView {
            number,
            begun,
            agent,
            session,
            started_at,
            ended_at,
            outcome,
            usage,
            cost,
        } = view;
        Attempt {
            number: *number,
            begun: *begun,
            agent: agent.to_string(),
            session: session.clone(),
            started_at: moment(*started_at),
            ended_at: ended_at.map(moment),
            outcome: outcome.as_ref().map(outcome_doc),
            usage: UsageDoc::from(usage),
            cost: cost.as_ref().map(cost_doc),
        }
    }
}

/// What a task produced.
#[derive(Serialize, JsonSchema, Debug)]
pub struct TaskResultDoc {
    summary: String,
    verdict: Option<String>,
    files: Vec<String>,
    artifacts: Vec<Value>,
    exit_code: Option<i32>,
    checks: Vec<Value>,
    rehearsed: bool,
    trail: Value,
}

impl From<&TaskResult> for TaskResultDoc {
    fn from(result: &TaskResult) -> Self {
        let TaskResult {
            summary,
            verdict,
            files,
            artifacts,
            exit_code,
            checks,
            rehearsed,
            // Said by the answer (see `answer`).
            model: _,
            model_source: _,
            link: _,
            confidence: _,
            trail,
        } = result;
        TaskResultDoc {
            summary: summary.clone(),
            verdict: verdict.clone(),
            files: files.clone(),
            artifacts: artifacts.iter().map(artifact_doc).collect(),
            exit_code: *exit_code,
            checks: checks.iter().map(check_doc).collect(),
            rehearsed: *rehearsed,
            trail: trail_doc(trail),
        }
    }
}

/// What the tries did, by their tool calls.
fn trail_doc(trail: &Trail) -> Value {
    let Trail {
        read,
        changed,
        commands,
        dropped,
        calls,
    } = trail;
    json!({ "read": read, "changed": changed, "commands": commands, "dropped": dropped, "calls": calls })
}

fn artifact_doc(artifact: &ArtifactRef) -> Value {
    let ArtifactRef {
        name,
        hash,
        bytes,
        bytes_written,
    } = artifact;
    json!({ "name": name, "hash": hash.to_string(), "bytes": bytes, "bytes_written": bytes_written })
}

fn check_doc(check: &Check) -> Value {
    let Check {
        command,
        exit_code,
        log,
        tail,
        took_ms,
    } = check;
    json!({
        "command": command,
        "passed": check.passed(),
        "exit_code": exit_code,
        "log": log.to_string(),
        "tail": tail,
        "took_ms": took_ms,
    })
}

/// A question.
#[derive(Serialize, JsonSchema, Debug)]
pub struct Question {
    id: String,
    task: String,
    kind: Value,
    text: String,
    choices: Vec<&'static str>,
    asked_at: String,
    answer: Option<String>,
}

impl From<&QuestionView> for Question {
    fn from(view: &QuestionView) -> Self {
        let QuestionView {
            id,
            run,
            task: _,
            key,
            kind,
            text,
            asked_at,
            answer,
        } = view;
        Question {
            id: id.to_string(),
            task: task_name(*run, key),
            kind: json!(kind),
            text: text.clone(),
            choices: kind.choices().to_vec(),
            asked_at: moment(*asked_at),
            answer: answer.clone(),
        }
    }
}

/// The end of a command that failed.
pub fn failure(failure: &Failure) -> Value {
    let Failure {
        exit,
        message,
        hints,
        problems,
    } = failure;
    let mut error = json!({ "code": exit.name, "exit": exit.code, "message": message, "hints": hints });
    if let Some(problems) = problems {
        error["problems"] = (**problems).clone();
    }
    json!({ "error": error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_with_milliseconds() {
        assert_eq!(moment(Millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment(Millis(0)), "1970-01-01T00:00:00.000Z");
    }
}
