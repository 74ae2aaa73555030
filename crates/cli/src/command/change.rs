//! `pause`, `cancel`, `retry`, `steer`: changes of what is there, made in the store; a running engine is told to look.

use serde_json::json;
use wheelhouse_core::store::{RunView, TaskView};
use wheelhouse_server::face::verb::{self, Changed};

use crate::app::App;
use crate::args::Steer;
use crate::args::report::Rate;
use crate::exit;
use crate::failure::Outcome;
use crate::host;
use crate::json::{self as wire, task_name};
use crate::show::words;
use crate::state::{self, Named, State};

/// Lets nothing more of a run start.
pub(crate) fn pause(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let run = verb::pause(&mut state.truth(), what)?;
    host::quietly_tell_engine(app);
    run_changed(
        app,
        &run,
        &match run.counts.running {
            0 => format!("{} is paused; `wheelhouse resume {}` lets it go on", run.id, run.id),
            number => format!(
                "{} is paused; {} under way will end; `wheelhouse resume {}` lets it go on",
                run.id,
                words::count(number, "task"),
                run.id
            ),
        },
    )
}

/// Puts words into the turn of a running task.
pub(crate) fn steer(app: &App, args: &Steer) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let task = verb::steer(&mut state.truth(), &args.task, &args.words.join(" "), None)?;
    host::quietly_tell_engine(app);
    task_changed(app, &task, "told")
}

/// Keeps what a person thinks of a task's work.
pub(crate) fn rate(app: &App, args: &Rate) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let task = verb::rate(&mut state.truth(), &args.task, args.stars, &args.words.join(" "))?;
    let stars = "★".repeat(usize::from(args.stars)) + &"☆".repeat(usize::from(5u8.saturating_sub(args.stars)));
    task_changed(app, &task, &stars)
}

/// Stops a run or a task.
pub(crate) fn cancel(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let changed = verb::cancel(&mut state.truth(), what)?;
    host::quietly_tell_engine(app);
    match changed {
        Changed::Run(run) => {
            let said = match run.counts.running {
                0 => format!("{} is cancelled", run.id),
                number => format!(
                    "{} is cancelled; {} under way will stop",
                    run.id,
                    words::count(number, "task")
                ),
            };
            run_changed(app, &run, &said)
        }
        Changed::Task(task) if task.state.is_done() => task_changed(app, &task, "cancelled"),
        Changed::Task(task) => task_changed(app, &task, "asked to stop"),
    }
}

/// Tries again.
pub(crate) fn retry(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let failed = match state::named(state.reader.as_mut(), what)? {
        Named::Run(run) => run.counts.failed + run.counts.skipped + run.counts.cancelled,
        Named::Task(_) => 1,
    };
    let changed = verb::retry(&mut state.truth(), what)?;
    host::tell_engine(app);
    match changed {
        Changed::Run(run) => {
            let said = format!("{}: {} will be tried again", run.id, words::count(failed, "task"));
            run_changed(app, &run, &said)
        }
        Changed::Task(task) => task_changed(app, &task, "will be tried again"),
    }
}

/// Prints the run as it stands now.
fn run_changed(app: &App, run: &RunView, said: &str) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&json!({ "run": wire::Run::from(run) }))?;
    } else {
        app.terminal.print(&format!("{said}\n"))?;
    }
    Ok(exit::OK)
}

/// Prints the task as it stands now.
fn task_changed(app: &App, task: &TaskView, said: &str) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&json!({ "task": wire::Task::from(task) }))?;
    } else {
        app.terminal
            .print(&format!("{} {said}\n", task_name(task.run, &task.key)))?;
    }
    Ok(exit::OK)
}
