//! `task add`: one more task for the standing queue, checked like a plan.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::json;
use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::plan;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_server::face::verb;
use wheelhouse_server::ports::NewTask;

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::gather;
use crate::host;
use crate::json::task_name;
use crate::plans::{self, Cast};
use crate::roster;
use crate::state::{self, QUEUE, State};

/// The longest text that is read from stdin.
const TEXT_MAX: u64 = plan::TEXT_BYTES_MAX as u64;
/// How long a name made from the text gets.
const KEY_MAX: usize = 32;

/// Adds a task.
pub(crate) fn add(app: &App, args: &args::TaskAdd) -> Outcome {
    let settings = app.settings(None)?;
    let text = text(args)?;
    let mut state = State::open(&app.place)?;
    let existing = match state::queue(state.reader.as_mut())? {
        Some(queue) => gather::tasks(state.reader.as_mut(), queue.id)?
            .into_iter()
            .map(|task| task.key)
            .collect(),
        None => Vec::new(),
    };
    let wanted = NewTask {
        text,
        agent: args.agent.clone(),
        after: args.after.clone(),
        priority: args.priority,
        id: args.id.clone(),
    };
    let task = check(app, &settings, &wanted, &existing)?;
    let task = verb::enqueue(&mut state.truth(), task, "wheelhouse task add", None)?;
    let engine = host::tell_engine(app);
    let name = task_name(task.run, &task.key);
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "task": name,
            "run": task.run.to_string(),
            "agent": task.agent.to_string(),
            "engine": { "running": engine },
        }))?;
    } else {
        app.terminal.print(&format!("{name}\n"))?;
    }
    Ok(exit::OK)
}

fn text(args: &args::TaskAdd) -> Result<String, Failure> {
    let mut text = args.text.clone();
    if text == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .take(TEXT_MAX)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(exit::IO, format!("cannot read the task from stdin: {error}")))?;
    }
    Ok(text)
}

/// Has the plan reader check the one task against the queue it joins.
pub(crate) fn check(
    app: &App,
    settings: &Settings,
    wanted: &NewTask,
    existing: &[TaskKey],
) -> Result<TaskSpec, Failure> {
    let text = &wanted.text;
    if text.trim().is_empty() {
        return Err(Failure::usage("the task is empty").hint("`wheelhouse task add \"what to do\"`"));
    }
    let key = match &wanted.id {
        Some(id) => id.clone(),
        None => key_from(text, existing),
    };
    let after: Vec<&str> = wanted
        .after
        .iter()
        .map(|id| id.rsplit_once('/').map_or(id.as_str(), |(_, key)| key))
        .collect();
    let mut task = json!({ "id": key, "needs": after });
    match wanted.agent.as_deref() {
        Some(roster::EXEC) => task["exec"] = text.as_str().into(),
        agent => {
            task["prompt"] = text.as_str().into();
            if let Some(agent) = agent {
                task["agent"] = agent.into();
            }
        }
    }
    if let Some(priority) = wanted.priority {
        task["priority"] = priority.into();
    }
    // `name` makes it a plan by its keys, so that nothing in it is guessed.
    let document = json!({ "name": QUEUE, "tasks": [task] }).to_string();
    let vars = BTreeMap::new();
    let read = plans::with_context(app, settings, &app.place.project, &vars, Cast::AsWritten, |context| {
        plan::tasks_from_output(&document, existing, context)
    })?;
    let tasks = read.map_err(|problems| {
        let lines: Vec<String> = problems
            .0
            .iter()
            .map(|problem| format!("  {}", sentence(problem)))
            .collect();
        let mut failure = Failure::usage(format!("the task is refused\n{}", lines.join("\n")));
        failure.problems = serde_json::to_value(&problems).ok().map(Box::new);
        failure
    })?;
    tasks
        .into_iter()
        .next()
        .ok_or_else(|| Failure::usage("the task is empty"))
}

/// A problem without its place: the document it is in was made here.
fn sentence(problem: &plan::Problem) -> String {
    let near = problem
        .nearest
        .as_ref()
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    format!("{}{near}", problem.message)
}

/// A name from the first words of the text, with a number when it is taken.
fn key_from(text: &str, existing: &[TaskKey]) -> String {
    let mut key = String::new();
    for word in text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if key.len() + word.len() + 1 > KEY_MAX {
            break;
        }
        if !key.is_empty() {
            key.push('-');
        }
        key.push_str(&word.to_ascii_lowercase());
    }
    if !key.starts_with(|c: char| c.is_ascii_alphabetic()) {
        key = if key.is_empty() {
            "task".to_owned()
        } else {
            format!("task-{key}")
        };
    }
    let is_taken = |key: &str| existing.iter().any(|taken| taken.as_str() == key);
    if !is_taken(&key) {
        return key;
    }
    let mut number = 2u64;
    while is_taken(&format!("{key}-{number}")) {
        number += 1;
    }
    format!("{key}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_words_and_are_never_taken_twice() {
        let existing: Vec<TaskKey> = ["fix-the-login", "fix-the-login-2", "task"].map(TaskKey::from).to_vec();
        for (text, key) in [
            ("Fix the login!", "fix-the-login-3"),
            (
                "Look at src/auth/mod.rs and say what is wrong with it",
                "look-at-src-auth-mod-rs-and-say",
            ),
            ("日本語", "task-2"),
            ("2 things", "task-2-things"),
            ("Averyverylongwordthatisnowordatallbutgoeson and on", "task-2"),
        ] {
            assert_eq!(key_from(text, &existing), key, "{text}");
        }
    }
}
