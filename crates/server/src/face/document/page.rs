//! Whole documents: what a command, an HTTP route or a tool answers, put together from what was gathered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_core::breaker::Subject;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{QuestionView, Reader, TaskView};
use wheelhouse_core::time::Millis;
use wheelhouse_engine::lock::Engine;
use wheelhouse_engine::worktree::Overlap;

use super::answer::Answer;
use super::{Attempt, Question, Run, Task, TaskResultDoc, moment, task_name};
use crate::face::failure::Failure;
use crate::face::gather::{Consumed, Detail, Report, Screen};
use crate::face::verb;

/// The screen over everything.
pub fn screen(screen: &Screen, engine: Engine) -> Value {
    let open = screen.open.iter().map(|rows| {
        let tasks: Vec<Task> = rows.rows.iter().map(Task::from).collect();
        json!({ "run": Run::from(&rows.run), "tasks": tasks })
    });
    let finished: Vec<Run> = screen.finished.iter().map(Run::from).collect();
    json!({
        "engine": engine_state(engine),
        "open": open.collect::<Vec<_>>(),
        "open_more": screen.open_more,
        "finished": finished,
        "finished_more": screen.finished_more,
        "questions": questions(&screen.questions),
        "breakers": screen.breakers.iter().map(breaker).collect::<Vec<_>>(),
        "overlaps": screen.overlaps.iter().map(|(run, overlap)| overlap_of(*run, overlap)).collect::<Vec<_>>(),
    })
}

fn breaker((subject, until): &(Subject, Millis)) -> Value {
    let Subject {
        provider,
        model,
        credential,
    } = subject;
    json!({ "provider": provider, "model": model, "credential": credential, "open_until": moment(*until) })
}

fn overlap_of(run: RunId, overlap: &Overlap) -> Value {
    let tasks: Vec<String> = overlap.tasks.iter().map(|key| task_name(run, key)).collect();
    json!({ "path": overlap.path, "tasks": tasks })
}

/// Whether an engine works on the state.
pub fn engine_state(engine: Engine) -> Value {
    match engine {
        Engine::Running(pid) => json!({ "running": true, "pid": pid }),
        Engine::Absent => json!({ "running": false, "pid": null }),
    }
}

/// Questions as a list.
pub fn questions(questions: &[QuestionView]) -> Vec<Question> {
    questions.iter().map(Question::from).collect()
}

/// Everything about a run.
pub fn run(reader: &mut dyn Reader, report: &Report) -> Result<Value, Failure> {
    let known: BTreeMap<_, _> = report
        .details
        .iter()
        .map(|detail| (detail.task.id, &detail.result))
        .collect();
    let mut tasks = Vec::new();
    for task in &report.tasks {
        let result = match known.get(&task.id) {
            Some(result) => (*result).clone(),
            None => reader.result(task.id)?,
        };
        let mut document = json!(Task::from(task));
        document["result"] = json!(result.as_ref().map(TaskResultDoc::from));
        document["answer"] = json!(Answer::read(reader, task)?);
        tasks.push(document);
    }
    Ok(json!({
        "run": Run::from(&report.run),
        "tasks": tasks,
        "questions": questions(&report.questions),
    }))
}

/// What a task produced, and where that comes from: the answer as calls of models are answered (`output`, `model_used`,
/// `attempt`, `fallback_depth`, `provenance`), beside the result in full.
pub fn result(reader: &mut dyn Reader, task: &TaskView) -> Result<Value, Failure> {
    let result = verb::result(reader, task)?;
    let mut document = json!(Answer::read(reader, task)?);
    document["task"] = json!(Task::from(task));
    document["result"] = json!(TaskResultDoc::from(&result));
    Ok(document)
}

/// Everything about a task.
pub fn task(detail: &Detail) -> Value {
    let attempts: Vec<Attempt> = detail.attempts.iter().map(Attempt::from).collect();
    json!({
        "task": Task::from(&detail.task),
        "work": { "kind": if detail.is_command { "exec" } else { "prompt" }, "text": detail.work },
        "routed": detail.routed,
        "attempts": attempts,
        "steps": detail.steps.iter().map(|(step, consumed)| {
            let mut document = json!(Task::from(step));
            document["cost"] = cost(consumed);
            document
        }).collect::<Vec<_>>(),
        "cost": cost(&detail.consumed),
        "result": detail.result.as_ref().map(TaskResultDoc::from),
        "answer": detail.answer,
    })
}

fn cost(consumed: &Consumed) -> Value {
    json!({ "known_nano": consumed.known_nano, "unknown_attempts": consumed.unknown_attempts })
}
