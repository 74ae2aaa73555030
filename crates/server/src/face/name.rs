//! Things looked up by the names people type.
//!
//! `r7` is a run, `r7/draft` a task of it, `draft` the task of that name in the newest run that has one, `queue/x` a
//! task of the standing queue.

use wheelhouse_core::ids::{QuestionId, RunId, TaskKey};
use wheelhouse_core::store::{QuestionView, Reader, RunView, TaskView};

use super::document::task_name;
use super::failure::Failure;
use super::{exit, nearest};

/// The name of the standing run.
pub const QUEUE: &str = "queue";
/// How many runs are looked through for a task of that name, newest first.
const RUNS_MAX: u32 = 1_000;
/// How many names of tasks are looked at for the nearest.
const NAMES_MAX: u32 = 2_000;

/// What a name turned out to be.
#[derive(Debug)]
pub enum Named {
    /// A run.
    Run(RunView),
    /// A task.
    Task(TaskView),
}

/// The standing queue, if there is one.
pub fn queue(reader: &mut dyn Reader) -> Result<Option<RunView>, Failure> {
    Ok(reader
        .runs(RUNS_MAX)?
        .into_iter()
        .find(|run| run.standing && run.name == QUEUE))
}

/// How sure it is that a name means a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Looks {
    /// `r7`, or the queue.
    Run,
    /// `7`: a task may be called that; else it is a run.
    Either,
    /// Anything else.
    Task,
}

fn looks(text: &str) -> Looks {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text == QUEUE || text.strip_prefix('r').is_some_and(is_number) {
        Looks::Run
    } else if is_number(text) {
        Looks::Either
    } else {
        Looks::Task
    }
}

/// The run or task of that name.
pub fn named(reader: &mut dyn Reader, text: &str) -> Result<Named, Failure> {
    match looks(text) {
        Looks::Task => task(reader, text).map(Named::Task),
        Looks::Either => match task(reader, text) {
            Ok(task) => Ok(Named::Task(task)),
            Err(failure) if failure.exit == exit::NOT_FOUND => run(reader, text).map(Named::Run),
            Err(failure) => Err(failure),
        },
        Looks::Run => match run(reader, text) {
            Ok(run) => Ok(Named::Run(run)),
            // A task may be called `r7` as well.
            Err(failure) if failure.exit == exit::NOT_FOUND => match task(reader, text) {
                Ok(task) => Ok(Named::Task(task)),
                Err(_) => Err(failure),
            },
            Err(failure) => Err(failure),
        },
    }
}

/// A task's state by its name.
pub fn task_state(state: &str) -> Result<&str, Failure> {
    const STATES: [&str; 5] = ["waiting", "ready", "running", "held", "done"];
    if STATES.contains(&state) {
        return Ok(state);
    }
    let mut failure = Failure::not_found("state", state, &STATES.map(str::to_owned));
    failure.exit = exit::USAGE;
    Err(failure)
}

/// The run of that name.
pub fn run(reader: &mut dyn Reader, text: &str) -> Result<RunView, Failure> {
    if text == QUEUE
        && let Some(queue) = queue(reader)?
    {
        return Ok(queue);
    }
    let found = match text.parse::<RunId>() {
        Ok(id) => reader.run(id)?,
        Err(_) => None,
    };
    if let Some(view) = found {
        return Ok(view);
    }
    let exist: Vec<String> = reader.runs(RUNS_MAX)?.iter().map(|run| run.id.to_string()).collect();
    let failure = if exist.is_empty() {
        Failure::not_found("run", text, &[]).hint("no plan was run here yet: `wheelhouse run PLAN`")
    } else {
        let mut failure = Failure::new(exit::NOT_FOUND, format!("there is no run `{text}`"));
        let listed = nearest::list(&exist, 5);
        failure.message.push_str(&format!("; there is {listed}"));
        failure.hint("`wheelhouse status` lists the runs")
    };
    Err(failure)
}

/// The task of that name.
pub fn task(reader: &mut dyn Reader, text: &str) -> Result<TaskView, Failure> {
    if let Some((run_name, key)) = text.split_once('/') {
        let run = run(reader, run_name)?;
        return match reader.task_by_key(run.id, &TaskKey::from(key))? {
            Some(task) => Ok(task),
            None => Err(no_task(reader, text, key, &[run])?),
        };
    }
    let runs = reader.runs(RUNS_MAX)?;
    for run in &runs {
        if let Some(task) = reader.task_by_key(run.id, &TaskKey::from(text))? {
            return Ok(task);
        }
    }
    Err(no_task(reader, text, text, &runs)?)
}

/// What to say about a task that is not there: the nearest name in the runs looked through, newest first.
fn no_task(reader: &mut dyn Reader, asked: &str, key: &str, runs: &[RunView]) -> Result<Failure, Failure> {
    let mut exist = Vec::new();
    for run in runs.iter().take(5) {
        let tasks = reader.tasks(run.id, 0, NAMES_MAX)?;
        let shown = tasks.iter().map(|task| match asked.contains('/') {
            true => format!("{}/{}", asked.split('/').next().unwrap_or_default(), task.key),
            false => task.key.to_string(),
        });
        exist.extend(shown.filter(|name| !exist.contains(name)).collect::<Vec<_>>());
    }
    let asked = if asked.contains('/') { asked } else { key };
    let failure = Failure::not_found("task", asked, &exist);
    Ok(match runs.first() {
        Some(run) => failure.hint(format!("`wheelhouse status {}` lists the tasks", run.id)),
        None => failure.hint("no plan was run here yet: `wheelhouse run PLAN`"),
    })
}

/// The question of that id, or the open one of the task of that name.
pub fn question(reader: &mut dyn Reader, text: &str) -> Result<QuestionView, Failure> {
    let open = reader.open_questions()?;
    if let Ok(id) = text.parse::<QuestionId>() {
        if let Some(question) = reader.question(id)? {
            return Ok(question);
        }
    } else if !text.is_empty() {
        let task = task(reader, text)?;
        if let Some(question) = open.iter().find(|question| question.task == task.id) {
            return Ok(question.clone());
        }
        return Err(Failure::new(
            exit::REFUSED,
            format!(
                "task `{}` asks nothing: it is {}",
                task_name(task.run, &task.key),
                task.state.name()
            ),
        )
        .hint("`wheelhouse answer` lists the open questions"));
    }
    let exist: Vec<String> = open.iter().map(|question| question.id.to_string()).collect();
    let failure = Failure::not_found("question", text, &exist);
    Err(if exist.is_empty() {
        failure.hint("nobody asks anything at the moment")
    } else {
        failure.hint("`wheelhouse answer` lists the open questions")
    })
}
