//! `run`: a plan goes in, is worked on to its end, and comes out as a report.

use serde_json::json;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::plan::Checked;
use wheelhouse_server::face::verb;

use crate::app::App;
use crate::args;
use crate::compat;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::Since;
use crate::host::{self, Detached};
use crate::plans::{self, Cast};
use crate::show::words;
use crate::state::State;
use crate::work;

/// Runs a plan.
pub(crate) fn run(app: &App, args: &args::Run) -> Outcome {
    let settings = app.settings(args.max_parallel)?;
    let cast = if args.rehearse {
        Cast::Rehearsal
    } else {
        Cast::AsWritten
    };
    if let Some(dir) = &args.compat_dir {
        return compat::run(app, &settings, &app.here.join(dir), &args.vars, cast);
    }
    let Some(path) = &args.plan else {
        return Err(Failure::usage("there is no plan to run").hint("`wheelhouse run PLAN`"));
    };
    let text = plans::load(app, path)?;
    let checked = plans::accept(app, &text.name, plans::check(app, &settings, &text, &args.vars, cast))?;
    let mut state = State::open(&app.place)?;
    if args.detach {
        return detached(app, &mut state, checked, args.max_parallel);
    }
    let seat = work::take_seat(app, &settings, &mut state, false)?;
    let run = submit(app, &mut state, checked)?;
    work::nudge_other(app, &seat);
    drop(state);
    let finish = work::follow_to_end(app, &settings, &[run], seat, Since::Beginning, None)?;
    work::conclude(app, &[run], finish)
}

/// Hands a checked plan to the store.
pub(crate) fn submit(app: &App, state: &mut State, checked: Checked) -> Result<RunId, Failure> {
    for crew in plans::crews(&checked) {
        app.terminal.say(&crew);
    }
    let name = checked.run.name.clone();
    let count = checked.tasks.len() as u64;
    let run = verb::submit(&mut state.truth(), checked, None)?;
    app.terminal
        .say(&format!("{run} {name}: {}", words::count(count, "task")));
    Ok(run)
}

fn detached(app: &App, state: &mut State, checked: Checked, max_parallel: Option<u32>) -> Outcome {
    let run = submit(app, state, checked)?;
    let engine = host::detach(app, max_parallel)?;
    if app.terminal.json {
        let engine = match engine {
            Detached::Running => "running",
            Detached::Started => "started",
        };
        app.terminal
            .print_json(&json!({ "run": run.to_string(), "engine": engine }))?;
    } else {
        app.terminal.print(&format!("{run}\n"))?;
        app.terminal.say(&format!(
            "`wheelhouse status {run}` says how it stands, `wheelhouse watch {run}` follows"
        ));
    }
    Ok(exit::OK)
}
