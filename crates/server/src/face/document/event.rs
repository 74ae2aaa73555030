//! Events as documents: flat, with the names that the store leaves out.

use serde_json::{Map, Value, json};
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::TaskKey;

use super::{UsageDoc, cost_doc, held_doc, moment, outcome_doc, task_name};

/// One event. `key` is the name of its task, when it is about one.
pub fn event(event: &Event, key: Option<&TaskKey>) -> Value {
    let Event {
        cursor,
        at,
        run,
        task: _,
        happened,
    } = event;
    let mut document = Map::new();
    document.insert("cursor".to_owned(), json!(cursor.0));
    document.insert("at".to_owned(), json!(moment(*at)));
    document.insert("event".to_owned(), json!(happened.name()));
    document.insert("run".to_owned(), json!(run.to_string()));
    document.insert("task".to_owned(), json!(key.map(|key| task_name(*run, key))));
    if let Value::Object(details) = happened_doc(happened) {
        document.extend(details);
    }
    Value::Object(document)
}

fn happened_doc(happened: &Happened) -> Value {
    match happened {
        Happened::RunSubmitted { name, tasks } => json!({ "name": name, "tasks": tasks }),
        Happened::TasksAdded { tasks } => json!({ "tasks": tasks }),
        Happened::RunPaused { interrupted } => json!({ "interrupted": interrupted }),
        Happened::RunFinished { succeeded, failed } => json!({ "succeeded": succeeded, "failed": failed }),
        Happened::RunResumed
        | Happened::RunCancelled
        | Happened::RunReopened
        | Happened::TaskReady
        | Happened::TaskReleased
        | Happened::TaskRetried
        | Happened::CancelRequested
        | Happened::InterruptRequested => json!({}),
        Happened::InstanceSpawned {
            instance,
            parent,
            name,
            agent,
        } => json!({
            "instance": instance.to_string(),
            "parent": parent.map(|parent| parent.to_string()),
            "name": name,
            "agent": agent.to_string(),
        }),
        Happened::InstanceSuspended { instance } | Happened::InstanceResumed { instance } => {
            json!({ "instance": instance.to_string() })
        }
        Happened::InstanceEnded { instance, end } => json!({ "instance": instance.to_string(), "end": end.name() }),
        Happened::MessageSent {
            message,
            from,
            to,
            kind,
        } => json!({
            "message": message.to_string(),
            "from": from.to_string(),
            "to": to.to_string(),
            "kind": kind,
        }),
        Happened::TaskClaimed { attempt, fence, agent } => {
            json!({ "attempt": attempt, "fence": fence, "agent": agent.to_string() })
        }
        Happened::AttemptStarted { attempt, session, pid } => {
            json!({ "attempt": attempt, "session": session, "pid": pid })
        }
        Happened::AttemptReported { attempt, kind, text } => {
            json!({ "attempt": attempt, "kind": kind, "text": text })
        }
        Happened::AttemptEnded {
            attempt,
            outcome,
            usage,
            cost,
        } => json!({
            "attempt": attempt,
            "outcome": outcome_doc(outcome),
            "usage": UsageDoc::from(usage),
            "cost": cost_doc(cost),
        }),
        Happened::SpendingBooked { attempt, usage, cost } => json!({
            "attempt": attempt,
            "usage": UsageDoc::from(usage),
            "cost": cost_doc(cost),
        }),
        Happened::BudgetWarned {
            scope,
            used_nano,
            limit_nano,
        } => json!({ "budget": scope, "used_nano": used_nano, "limit_nano": limit_nano }),
        Happened::TaskRated { stars, words } => json!({ "stars": stars, "words": words }),
        Happened::TaskHeld { held } => json!({ "held": held_doc(held) }),
        Happened::TaskAwaits { added, pending } => json!({ "added": added, "pending": pending }),
        Happened::TaskReturned { fence, why } => json!({ "fence": fence, "why": why }),
        Happened::TaskDone { outcome, continues } => {
            json!({ "outcome": outcome_doc(outcome), "continues": continues })
        }
        Happened::QuestionAsked { question, kind, text } => {
            json!({ "question": question.to_string(), "kind": kind, "text": text })
        }
        Happened::TaskSteered { words } => json!({ "words": words }),
        Happened::QuestionAnswered { question, answer } => {
            json!({ "question": question.to_string(), "answer": answer })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wheelhouse_core::ids::{Cursor, RunId, TaskId};
    use wheelhouse_core::outcome::Outcome;
    use wheelhouse_core::time::Millis;

    #[test]
    fn an_event_is_flat_and_names_its_task() {
        let told = event(
            &Event {
                cursor: Cursor(9),
                at: Millis(0),
                run: RunId(7),
                task: Some(TaskId(3)),
                happened: Happened::TaskDone {
                    outcome: Outcome::Skipped { cause: "facts".into() },
                    continues: false,
                },
            },
            Some(&"draft".into()),
        );
        assert_eq!(
            told.to_string(),
            r#"{"cursor":9,"at":"1970-01-01T00:00:00.000Z","event":"task_done","run":"r7","task":"r7/draft","outcome":{"class":"skipped","cause":"facts"},"continues":false}"#
        );
    }
}
