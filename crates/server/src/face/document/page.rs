//! Whole documents: what a command, an HTTP route or a tool answers, put together from what was gathered.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{QuestionView, Reader};
use wheelhouse_engine::lock::Engine;
use wheelhouse_engine::worktree::Overlap;

use super::{Attempt, Question, Run, Task, TaskResultDoc, task_name};
use crate::face::failure::Failure;
use crate::face::gather::{Detail, Report, Screen};

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
        "overlaps": screen.overlaps.iter().map(|(run, overlap)| overlap_of(*run, overlap)).collect::<Vec<_>>(),
    })
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
        tasks.push(document);
    }
    Ok(json!({
        "run": Run::from(&report.run),
        "tasks": tasks,
        "questions": questions(&report.questions),
    }))
}

/// Everything about a task.
pub fn task(detail: &Detail) -> Value {
    let attempts: Vec<Attempt> = detail.attempts.iter().map(Attempt::from).collect();
    json!({
        "task": Task::from(&detail.task),
        "work": { "kind": if detail.is_command { "exec" } else { "prompt" }, "text": detail.work },
        "routed": detail.routed,
        "attempts": attempts,
        "result": detail.result.as_ref().map(TaskResultDoc::from),
    })
}
