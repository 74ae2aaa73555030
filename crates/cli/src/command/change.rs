//! `pause`, `cancel`, `retry`: changes of what is there, made in the store; a running engine is told to look.

use serde_json::json;
use wheelhouse_core::outcome::Outcome as TaskOutcome;
use wheelhouse_core::store::{Command, RunState, RunView, TaskView};
use wheelhouse_core::task::TaskState;

use crate::app::App;
use crate::args::Steer;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::json::{self as wire, task_name};
use crate::show::words;
use crate::state::{self, Named, State};

/// Lets nothing more of a run start.
pub(crate) fn pause(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let run = match state::named(state.reader.as_mut(), what)? {
        Named::Run(run) => run,
        Named::Task(task) => {
            return Err(Failure::new(
                exit::REFUSED,
                format!("`{what}` is a task; only whole runs can be paused"),
            )
            .hint(format!(
                "`wheelhouse pause {}` pauses its run, `wheelhouse cancel {}` stops the task",
                task.run,
                task_name(task.run, &task.key)
            )));
        }
    };
    match run.state {
        RunState::Finished => {
            return Err(Failure::new(
                exit::REFUSED,
                format!("run {} is finished; there is nothing to pause", run.id),
            ));
        }
        RunState::Paused => {}
        RunState::Active | RunState::Interrupted => {
            state.change(Command::PauseRun { run: run.id })?;
        }
    }
    host::quietly_tell_engine(app);
    let running = run.counts.running;
    run_changed(app, &mut state, &run, &|run| match running {
        0 => format!("{} is paused; `wheelhouse resume {}` lets it go on", run.id, run.id),
        number => format!(
            "{} is paused; {} under way will end; `wheelhouse resume {}` lets it go on",
            run.id,
            words::count(number, "task"),
            run.id
        ),
    })
}

/// Puts words into the turn of a running task.
pub(crate) fn steer(app: &App, args: &Steer) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let task = match state::named(state.reader.as_mut(), &args.task)? {
        Named::Task(task) => task,
        Named::Run(run) => {
            return Err(
                Failure::new(exit::REFUSED, format!("`{}` is a run; words go to one task", args.task))
                    .hint(format!("`wheelhouse status {}` names its tasks", run.id)),
            );
        }
    };
    if task.state != TaskState::Running {
        let name = task_name(task.run, &task.key);
        return Err(Failure::new(
            exit::REFUSED,
            format!("{name} is {}; only a running task can be steered", task.state.name()),
        )
        .hint(format!("`wheelhouse status {name}` says what it waits for")));
    }
    let words = args.words.join(" ");
    state.change(Command::Steer { task: task.id, words })?;
    host::quietly_tell_engine(app);
    task_changed(app, &mut state, &task, &|_| "told".to_owned())
}

/// Stops a run or a task.
pub(crate) fn cancel(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    match state::named(state.reader.as_mut(), what)? {
        Named::Run(run) => {
            if run.state == RunState::Finished {
                return Err(Failure::new(
                    exit::REFUSED,
                    format!("run {} is finished; there is nothing to stop", run.id),
                ));
            }
            state.change(Command::CancelRun { run: run.id })?;
            host::quietly_tell_engine(app);
            run_changed(app, &mut state, &run, &|run| match run.counts.running {
                0 => format!("{} is cancelled", run.id),
                number => format!(
                    "{} is cancelled; {} under way will stop",
                    run.id,
                    words::count(number, "task")
                ),
            })
        }
        Named::Task(task) => {
            if let TaskState::Done { outcome } = &task.state {
                return Err(done_already(&task, outcome));
            }
            state.change(Command::CancelTask { task: task.id })?;
            host::quietly_tell_engine(app);
            task_changed(app, &mut state, &task, &|task| match &task.state {
                TaskState::Done { .. } => "cancelled".to_owned(),
                _ => "asked to stop".to_owned(),
            })
        }
    }
}

/// Tries again.
pub(crate) fn retry(app: &App, what: &str) -> Outcome {
    let mut state = State::expect(&app.place)?;
    match state::named(state.reader.as_mut(), what)? {
        Named::Run(run) => {
            let counts = &run.counts;
            let again = counts.failed + counts.skipped + counts.cancelled;
            if again == 0 {
                return Err(Failure::new(
                    exit::REFUSED,
                    format!("nothing of run {} failed, was skipped or was cancelled", run.id),
                ));
            }
            state.change(Command::RetryRun { run: run.id })?;
            host::tell_engine(app);
            run_changed(app, &mut state, &run, &|run| {
                format!("{}: {} will be tried again", run.id, words::count(again, "task"))
            })
        }
        Named::Task(task) => {
            match &task.state {
                TaskState::Done { outcome } if !outcome.is_success() => {}
                TaskState::Done { outcome } => return Err(done_already(&task, outcome)),
                state => {
                    let name = task_name(task.run, &task.key);
                    return Err(Failure::new(
                        exit::REFUSED,
                        format!(
                            "{name} is {}; only a task that is done without success can be tried again",
                            state.name()
                        ),
                    )
                    .hint(format!("`wheelhouse status {name}` says what it waits on")));
                }
            }
            state.change(Command::RetryTask { task: task.id })?;
            host::tell_engine(app);
            task_changed(app, &mut state, &task, &|_| "will be tried again".to_owned())
        }
    }
}

fn done_already(task: &TaskView, outcome: &TaskOutcome) -> Failure {
    let name = task_name(task.run, &task.key);
    let failure = Failure::new(
        exit::REFUSED,
        format!("{name} is done: {}", words::outcome(outcome).text),
    );
    if outcome.is_success() {
        failure.hint(format!("`wheelhouse result {name}` prints what it produced"))
    } else {
        failure.hint(format!("`wheelhouse retry {name}` tries it again"))
    }
}

/// Prints the run as it stands now.
fn run_changed(app: &App, state: &mut State, run: &RunView, say: &dyn Fn(&RunView) -> String) -> Outcome {
    let run = state.reader.run(run.id)?.unwrap_or_else(|| run.clone());
    if app.terminal.json {
        app.terminal.print_json(&json!({ "run": wire::Run::from(&run) }))?;
    } else {
        app.terminal.print(&format!("{}\n", say(&run)))?;
    }
    Ok(exit::OK)
}

/// Prints the task as it stands now.
fn task_changed(app: &App, state: &mut State, task: &TaskView, say: &dyn Fn(&TaskView) -> String) -> Outcome {
    let task = state.reader.task(task.id)?.unwrap_or_else(|| task.clone());
    if app.terminal.json {
        app.terminal.print_json(&json!({ "task": wire::Task::from(&task) }))?;
    } else {
        app.terminal
            .print(&format!("{} {}\n", task_name(task.run, &task.key), say(&task)))?;
    }
    Ok(exit::OK)
}
