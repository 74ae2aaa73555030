//! From "these runs are submitted" to "this is how they ended": takes the seat or watches who has it, follows, and
//! steps in when that engine goes away.
//!
//! Shared by `run`, `resume` and the compatibility mode; ends with the report.

use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{Command, Reader, RunState, RunView};
use wheelhouse_engine::{Ending, Until, nudge};

use crate::app::App;
use crate::config::Settings;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::follow::{End, Followed, Follower, Hosted, Signals, Since, Watcher, is_over, needs_person};
use crate::gather;
use crate::host::{self, Seat};
use crate::json::page;
use crate::moment::now;
use crate::show::report::{self, Length};
use crate::show::words;
use crate::state::{self, State};

/// How many runs get a whole report on the screen; of more there is a line each.
const REPORTS_MAX: usize = 3;

/// How following ended, for the person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    /// Everything is done.
    Over,
    /// A person is needed.
    Held,
    /// A person stopped our engine.
    Interrupted {
        /// How many tries were cut short.
        returned: usize,
    },
    /// A person left; another process's engine goes on.
    Left,
}

/// Follows the runs to their end. `seat` is who has the engine now.
pub(crate) fn follow_to_end(
    app: &App,
    settings: &Settings,
    runs: &[RunId],
    seat: Seat,
    since: Since,
    mut watcher: Option<&mut dyn Watcher>,
) -> Result<Finish, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for events: {error}")))?;
    let _guard = runtime.enter();
    let mut signals = Signals::listen()?;
    let reader = state::expect(&app.place)?;
    let followed = Followed::Runs(runs.to_vec());
    let mut follower = Follower::new(&app.place, &app.terminal, reader, followed, since)?;
    let mut seat = seat;
    loop {
        let finish = match seat {
            Seat::Ours(lock) => {
                let store = State::open(&app.place)?.store;
                host::host(app, settings, lock, store, Until::NothingLeft, |mut hosted| {
                    runtime.block_on(hosting(
                        app,
                        runs,
                        &mut follower,
                        &mut signals,
                        &mut hosted,
                        watcher.as_deref_mut(),
                    ))
                })??
            }
            Seat::Theirs(_) => {
                let watcher = watcher.as_deref_mut();
                runtime.block_on(attached(app, runs, &mut follower, &mut signals, watcher))?
            }
        };
        if let Some(finish) = finish {
            return Ok(finish);
        }
        seat = step_in(app, settings, runs)?;
    }
}

/// Follows the engine of this process. None: it ended, and there is work again.
async fn hosting(
    app: &App,
    runs: &[RunId],
    follower: &mut Follower<'_>,
    signals: &mut Signals,
    hosted: &mut Hosted,
    watcher: Option<&mut (dyn Watcher + '_)>,
) -> Result<Option<Finish>, Failure> {
    let ending = match follower.follow(signals, Some(hosted), watcher).await? {
        End::Hosted(ending) => ending,
        End::Finished | End::Held | End::Gone | End::Left => {
            let others = others_open(app, runs)?;
            if !others.is_empty() {
                let list = others.iter().map(RunId::to_string).collect::<Vec<_>>().join(", ");
                app.terminal.say(&format!(
                    "this engine goes on with {list}; Ctrl-C leaves that to `wheelhouse resume`"
                ));
            }
            match follower.wait_for_engine(signals, hosted).await? {
                // What we were asked for is done; others' work was cut short, and they are told so by their own.
                Ending::Stopped { .. } | Ending::NothingLeft => return Ok(Some(Finish::Over)),
                ending @ Ending::Broken(_) => ending,
            }
        }
    };
    match ending {
        Ending::Stopped { returned } => Ok(Some(Finish::Interrupted { returned })),
        Ending::NothingLeft => finish_of(state::expect(&app.place)?.as_mut(), runs),
        Ending::Broken(why) => Err(Failure::new(exit::STATE_FAILED, why)),
    }
}

/// Follows the engine of another process. None: it went away, or it took one of our runs for a dead engine's.
async fn attached(
    app: &App,
    runs: &[RunId],
    follower: &mut Follower<'_>,
    signals: &mut Signals,
    watcher: Option<&mut (dyn Watcher + '_)>,
) -> Result<Option<Finish>, Failure> {
    Ok(match follower.follow(signals, None, watcher).await? {
        End::Finished => Some(Finish::Over),
        // An engine that has the seat and is still beginning finds what we have just submitted, and interrupts it.
        End::Held if any_interrupted(app, runs)? => None,
        End::Held => Some(Finish::Held),
        End::Left => Some(Finish::Left),
        End::Gone | End::Hosted(_) => None,
    })
}

/// How the runs stand when nothing is left for an engine to do. None: there is something again.
fn finish_of(reader: &mut dyn Reader, runs: &[RunId]) -> Result<Option<Finish>, Failure> {
    let mut finish = Finish::Over;
    for run in runs {
        let Some(view) = reader.run(*run)? else { continue };
        if is_over(&view) {
            continue;
        }
        if !needs_person(reader, &view)? {
            return Ok(None);
        }
        finish = Finish::Held;
    }
    Ok(Some(finish))
}

fn any_interrupted(app: &App, runs: &[RunId]) -> Result<bool, Failure> {
    let mut reader = state::expect(&app.place)?;
    for run in runs {
        if reader
            .run(*run)?
            .is_some_and(|view| view.state == RunState::Interrupted)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Our runs are without an engine and not over: take the seat, or watch who did. They go on either way.
fn step_in(app: &App, settings: &Settings, runs: &[RunId]) -> Result<Seat, Failure> {
    let seat = host::seat(&app.place.state_dir)?;
    let mut state = State::open(&app.place)?;
    if let Seat::Ours(_) = &seat {
        host::recover(&mut state, settings, false)?;
    }
    for run in runs {
        go_on(&mut state, *run)?;
    }
    nudge_other(app, &seat);
    Ok(seat)
}

/// Lets a run go on that lost its engine.
fn go_on(state: &mut State, run: RunId) -> Result<(), Failure> {
    if state
        .reader
        .run(run)?
        .is_some_and(|view| view.state == RunState::Interrupted)
    {
        state.change(Command::ResumeRun { run })?;
    }
    Ok(())
}

fn others_open(app: &App, runs: &[RunId]) -> Result<Vec<RunId>, Failure> {
    let mut reader = state::expect(&app.place)?;
    let goes_on = |view: &RunView| {
        view.state == RunState::Active && view.counts.running + view.counts.ready > 0 && !runs.contains(&view.id)
    };
    Ok(reader
        .runs(1_000)?
        .into_iter()
        .filter(goes_on)
        .map(|view| view.id)
        .collect())
}

/// Takes the seat for new work: what an earlier engine left is cleared, and its runs wait for `resume` unless
/// `go_on`. Says so when somebody else has it.
pub(crate) fn take_seat(app: &App, settings: &Settings, state: &mut State, go_on: bool) -> Result<Seat, Failure> {
    let seat = host::seat(&app.place.state_dir)?;
    match &seat {
        Seat::Ours(_) => host::recover(state, settings, go_on)?,
        Seat::Theirs(pid) => {
            let process = pid.map(|pid| format!(" in process {pid}")).unwrap_or_default();
            app.terminal.say(&format!(
                "an engine is running{process}: it does the work, this terminal follows"
            ));
        }
    }
    Ok(seat)
}

/// Tells another process's engine that there is something new.
pub(crate) fn nudge_other(app: &App, seat: &Seat) {
    if let Seat::Theirs(_) = seat {
        nudge::notify(&app.place.state_dir);
    }
}

/// Reports on the runs and says how it all came out, as an exit code.
pub(crate) fn conclude(app: &App, runs: &[RunId], finish: Finish) -> Result<Exit, Failure> {
    let mut reader = state::expect(&app.place)?;
    let mut documents = Vec::new();
    let mut all_well = true;
    for (place, run) in runs.iter().enumerate() {
        let Some(view) = reader.run(*run)? else { continue };
        all_well &= view.all_succeeded();
        let report = gather::report(reader.as_mut(), view, now())?;
        let path = match finish {
            Finish::Over | Finish::Held => write_report(app, &report),
            Finish::Interrupted { .. } | Finish::Left => None,
        };
        if app.terminal.json {
            let mut document = page::run(reader.as_mut(), &report)?;
            document["report"] = path.as_ref().map(|path| path.display().to_string()).into();
            documents.push(document);
            continue;
        }
        match finish {
            Finish::Over | Finish::Held if place < REPORTS_MAX => {
                let page = report::page(&report, Length::Brief);
                app.terminal
                    .print_regardless(&page.text_of(app.terminal.out.width, app.terminal.out.paint))?;
            }
            Finish::Over | Finish::Held => {
                app.terminal.print_regardless(&format!(
                    "{} {}: {}\n",
                    run,
                    report.run.name,
                    report::headline(&report)
                ))?;
            }
            Finish::Interrupted { .. } | Finish::Left => {}
        }
        if let Some(path) = path {
            app.terminal.say(&format!("report: {}", app.place.short(&path)));
        }
    }
    let printed = match documents.as_slice() {
        [] => Ok(()),
        [document] => app.terminal.print_json(document),
        documents => app.terminal.print_json(&serde_json::json!({ "runs": documents })),
    };
    match printed {
        // Whoever read has seen enough; how the work came out is said by the exit code all the same.
        Err(failure) if failure.exit == exit::OK => {}
        other => other?,
    }
    Ok(closing(app, runs, finish, all_well))
}

/// The exit code of runs that ended so, with a word to whoever has to do something.
pub(crate) fn closing(app: &App, runs: &[RunId], finish: Finish, all_well: bool) -> Exit {
    match finish {
        Finish::Over if all_well => exit::OK,
        Finish::Over => exit::TASKS_FAILED,
        Finish::Held => {
            app.terminal
                .say("nothing can go on without you: `wheelhouse status` says what waits; then `wheelhouse resume`");
            exit::HELD
        }
        Finish::Interrupted { returned } => {
            let tasks = match returned {
                0 => "nothing was cut short".to_owned(),
                number => format!("{} will be tried again", words::count(number as u64, "task")),
            };
            app.terminal
                .warn(&format!("interrupted: {tasks}; `wheelhouse resume` goes on"));
            exit::INTERRUPTED
        }
        Finish::Left => {
            let list = runs.iter().map(RunId::to_string).collect::<Vec<_>>().join(" ");
            app.terminal.warn(&format!(
                "left: the engine goes on with {list}; `wheelhouse watch` follows, `wheelhouse cancel {}` stops it",
                runs.first().map(RunId::to_string).unwrap_or_default()
            ));
            exit::INTERRUPTED
        }
    }
}

/// Writes the report's file. A report that cannot be written is said and is no reason to fail: the state has it all.
fn write_report(app: &App, report: &gather::Report) -> Option<std::path::PathBuf> {
    let dir = app.place.reports();
    let path = dir.join(format!("{}.md", report.run.id));
    let text = format!(
        "{}{}",
        report::page(report, Length::Whole).markdown(),
        report::footer(report.now)
    );
    let written = std::fs::create_dir_all(&dir).and_then(|()| crate::place::write_private(&path, text.as_bytes()));
    match written {
        Ok(()) => Some(path),
        Err(error) => {
            app.terminal.warn(&format!(
                "the report could not be written to {}: {error}",
                path.display()
            ));
            None
        }
    }
}
