//! Short answers for models: a handle, a state, a digest, a path. More is a call away.
//!
//! The whole documents are those of HTTP; these are what fits a context that has better things to hold.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use wheelhouse_core::store::{QuestionView, Reader, RunState, RunView, TaskResult, TaskView};
use wheelhouse_core::task::{Held, TaskState};

use crate::face::document::{run_state, task_name};
use crate::face::failure::Failure;
use crate::face::gather;
use crate::face::verb::outcome_words;

/// How much of a summary an answer holds, in characters.
pub(crate) const DIGEST_MAX: usize = 900;
/// How much of a summary a list holds.
const GLANCE_MAX: usize = 160;
/// How many runs an overview shows.
const RUNS_MAX: usize = 4;
/// How many tasks of a run an answer shows.
const TASKS_MAX: usize = 8;
/// How many questions an answer shows.
const QUESTIONS_MAX: usize = 3;

/// A run in short.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct RunBrief {
    run: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    state: &'static str,
    done: u64,
    total: u64,
    #[serde(skip_serializing_if = "is_zero")]
    failed: u64,
    /// What runs, waits or failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<TaskBrief>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<QuestionBrief>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A task in short.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct TaskBrief {
    pub(crate) task: String,
    pub(crate) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// The whole output, a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rehearsed: bool,
}

/// A question in short.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct QuestionBrief {
    pub(crate) id: String,
    task: String,
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<&'static str>,
}

impl From<&QuestionView> for QuestionBrief {
    fn from(view: &QuestionView) -> Self {
        QuestionBrief {
            id: view.id.to_string(),
            task: task_name(view.run, &view.key),
            text: cut(&view.text, DIGEST_MAX / 3),
            choices: view.kind.choices().to_vec(),
        }
    }
}

/// Everything in short.
#[derive(Serialize, JsonSchema, Debug)]
pub(crate) struct Overview {
    /// Whether anything goes on at all.
    engine: bool,
    runs: Vec<RunBrief>,
    /// How many runs are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    more: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<QuestionBrief>,
    /// Where `events` goes on from.
    cursor: u64,
}

/// The first letters of a text on one line, with a mark where it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let mut short: String = line.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Why a task does not go on.
fn waits(view: &TaskView) -> Option<String> {
    match &view.state {
        TaskState::Waiting { .. } => {
            let names: Vec<&str> = view.waits_for.iter().take(4).map(|key| key.as_str()).collect();
            Some(names.join(", "))
        }
        TaskState::Held(Held::Approval { question } | Held::Question { question }) => Some(question.to_string()),
        TaskState::Held(held) => Some(held.name().to_owned()),
        TaskState::Ready | TaskState::Running | TaskState::Done { .. } => None,
    }
}

/// A task's state in a word, with how it ended.
pub(crate) fn state(view: &TaskView) -> String {
    match &view.state {
        TaskState::Done { outcome } => outcome_words(outcome),
        TaskState::Running if view.cancel_requested => "stopping".to_owned(),
        other => other.name().to_owned(),
    }
}

/// A task for a list.
pub(crate) fn glance(view: &TaskView, digest: Option<&str>) -> TaskBrief {
    TaskBrief {
        task: task_name(view.run, &view.key),
        state: state(view),
        agent: None,
        waits: waits(view),
        digest: digest.map(|text| cut(text, GLANCE_MAX)).filter(|text| !text.is_empty()),
        path: None,
        files: Vec::new(),
        rehearsed: false,
    }
}

/// A task with what it produced.
pub(crate) fn task(reader: &mut dyn Reader, state_dir: &Path, view: &TaskView) -> Result<TaskBrief, Failure> {
    let result = reader.result(view.id)?;
    let mut brief = TaskBrief {
        agent: Some(view.agent.to_string()),
        ..glance(view, None)
    };
    if let Some(result) = &result {
        brief.rehearsed = result.rehearsed;
        brief.files = result.files.iter().take(10).cloned().collect();
        brief.digest = Some(cut(&result.summary, DIGEST_MAX)).filter(|text| !text.is_empty());
        brief.path = whole_output(reader, state_dir, result)?;
    }
    Ok(brief)
}

/// Where the whole output lies as a file; made when it is more than the digest says.
fn whole_output(reader: &mut dyn Reader, state_dir: &Path, result: &TaskResult) -> Result<Option<String>, Failure> {
    let Some(output) = result.artifacts.first() else {
        return Ok(None);
    };
    if output.bytes as usize <= DIGEST_MAX && output.bytes as usize <= result.summary.len() + 1 {
        return Ok(None);
    }
    Ok(wheelhouse_engine::materialise(reader, state_dir, &output.hash)?)
}

/// A run: what is worth a line of it.
pub(crate) fn run(reader: &mut dyn Reader, view: RunView) -> Result<RunBrief, Failure> {
    let questions: Vec<QuestionBrief> = reader
        .open_questions()?
        .iter()
        .filter(|question| question.run == view.id)
        .take(QUESTIONS_MAX)
        .map(QuestionBrief::from)
        .collect();
    let mut brief = head(&view);
    brief.questions = questions;
    for (state, most) in [("running", 4), ("held", 2), ("ready", 1), ("waiting", 1)] {
        brief.tasks.extend(
            reader
                .tasks_in(view.id, state, most)?
                .iter()
                .map(|task| glance(task, None)),
        );
    }
    if view.counts.failed > 0 || view.state == RunState::Finished {
        let done = reader.tasks_in(view.id, "done", 500)?;
        let worth = done
            .iter()
            .filter(|task| gather::failed(task) || view.state == RunState::Finished);
        for task in worth.take(TASKS_MAX.saturating_sub(brief.tasks.len())) {
            let result = reader.result(task.id)?;
            brief
                .tasks
                .push(glance(task, result.as_ref().map(|result| result.summary.as_str())));
        }
    }
    brief.tasks.truncate(TASKS_MAX);
    Ok(brief)
}

fn head(view: &RunView) -> RunBrief {
    let counts = &view.counts;
    RunBrief {
        run: view.id.to_string(),
        name: cut(&view.name, 60),
        state: run_state(view.state),
        done: counts.total() - counts.open(),
        total: counts.total(),
        failed: counts.failed,
        tasks: Vec::new(),
        questions: Vec::new(),
    }
}

/// Everything.
pub(crate) fn overview(reader: &mut dyn Reader, engine: bool, cursor: u64) -> Result<Overview, Failure> {
    let runs = reader.runs(1_000)?;
    let (open, finished): (Vec<_>, Vec<_>) = runs
        .into_iter()
        .partition(|run| run.state != RunState::Finished && !(run.standing && run.counts.open() == 0));
    let shown = open.iter().chain(&finished).take(RUNS_MAX);
    let more = (open.len() + finished.len()).saturating_sub(RUNS_MAX) as u64;
    let runs = shown
        .map(|run| {
            let mut brief = head(run);
            if run.state != RunState::Finished {
                let running = reader.tasks_in(run.id, "running", 2)?;
                brief.tasks = running.iter().map(|task| glance(task, None)).collect();
            }
            Ok(brief)
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let questions = reader.open_questions()?;
    Ok(Overview {
        engine,
        runs,
        more,
        questions: questions.iter().take(QUESTIONS_MAX).map(QuestionBrief::from).collect(),
        cursor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_is_one_line_of_at_most_so_many_letters() {
        assert_eq!(cut("a\n b", 9), "a b");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöüäöü", 4).chars().count(), 4);
    }
}
