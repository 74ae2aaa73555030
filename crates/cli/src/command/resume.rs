//! `resume`: everything unfinished goes on, whatever ended the engine before; or one paused run does.

use serde_json::json;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{Command, RunState, RunView};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{Since, is_over};
use crate::host::{self, Seat};
use crate::state::{self, Named, State};
use crate::work;

/// How many runs are looked at.
const RUNS_MAX: u32 = 10_000;

/// Goes on.
pub(crate) fn resume(app: &App, args: &args::Resume) -> Outcome {
    let settings = app.settings(args.max_parallel)?;
    let mut state = State::expect(&app.place)?;
    let runs = match &args.what {
        Some(what) => vec![one(app, &mut state, what)?],
        None => Vec::new(),
    };
    if args.detach {
        return detached(app, &mut state, &runs, args.max_parallel);
    }
    let seat = if runs.is_empty() {
        let seat = work::take_seat(app, &settings, &mut state, true)?;
        state.change(Command::ResumeInterrupted)?;
        seat
    } else {
        let seat = host::seat(&app.place.state_dir)?;
        if let Seat::Theirs(pid) = seat {
            host::tell_engine(app);
            return resumed(app, &runs, pid);
        }
        host::recover(&mut state, &settings, false)?;
        for run in &runs {
            un_pause(&mut state, *run)?;
        }
        seat
    };
    work::nudge_other(app, &seat);
    let runs = if runs.is_empty() { unfinished(&mut state)? } else { runs };
    drop(state);
    if runs.is_empty() {
        return nothing(app);
    }
    let list = runs.iter().map(RunId::to_string).collect::<Vec<_>>().join(", ");
    app.terminal.say(&format!("going on with {list}"));
    let finish = work::follow_to_end(app, &settings, &runs, seat, Since::Now, None)?;
    work::conclude(app, &runs, finish)
}

/// The run that was named, no longer paused.
fn one(app: &App, state: &mut State, what: &str) -> Result<RunId, Failure> {
    let run = match state::named(state.reader.as_mut(), what)? {
        Named::Run(run) => run,
        Named::Task(task) => {
            let name = crate::json::task_name(task.run, &task.key);
            app.terminal.say(&format!("{name} goes on with its run {}", task.run));
            state::run(state.reader.as_mut(), &task.run.to_string())?
        }
    };
    if run.state == RunState::Finished {
        return Err(Failure::new(exit::REFUSED, format!("run {} is finished", run.id))
            .hint(format!("`wheelhouse retry {}` tries its failed tasks again", run.id)));
    }
    un_pause(state, run.id)?;
    Ok(run.id)
}

/// Lets the run go on, unless it does.
fn un_pause(state: &mut State, run: RunId) -> Result<(), Failure> {
    let paused = |view: RunView| matches!(view.state, RunState::Paused | RunState::Interrupted);
    if state.reader.run(run)?.is_some_and(paused) {
        state.change(Command::ResumeRun { run })?;
    }
    Ok(())
}

fn unfinished(state: &mut State) -> Result<Vec<RunId>, Failure> {
    let runs = state.reader.runs(RUNS_MAX)?;
    let mut open: Vec<RunId> = runs.into_iter().filter(|run| !is_over(run)).map(|run| run.id).collect();
    open.sort_unstable();
    Ok(open)
}

fn resumed(app: &App, runs: &[RunId], pid: Option<u32>) -> Outcome {
    if app.terminal.json {
        let runs: Vec<String> = runs.iter().map(RunId::to_string).collect();
        app.terminal
            .print_json(&json!({ "resumed": runs, "engine": "running" }))?;
    } else {
        let process = pid.map(|pid| format!(" in process {pid}")).unwrap_or_default();
        for run in runs {
            app.terminal.print(&format!("{run} goes on{process}\n"))?;
        }
    }
    Ok(exit::OK)
}

fn nothing(app: &App) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&json!({ "runs": [] }))?;
    } else {
        app.terminal.print("nothing to resume: every run is finished\n")?;
    }
    Ok(exit::OK)
}

fn detached(app: &App, state: &mut State, runs: &[RunId], max_parallel: Option<u32>) -> Outcome {
    if runs.is_empty() {
        state.change(Command::ResumeInterrupted)?;
    }
    let open = if runs.is_empty() {
        unfinished(state)?
    } else {
        runs.to_vec()
    };
    if open.is_empty() {
        return nothing(app);
    }
    host::detach(app, max_parallel)?;
    resumed(app, &open, None)
}
