//! `serve`: the engine in the foreground, for service managers and for people who want to see it work.

use wheelhouse_core::store::Command;
use wheelhouse_engine::{Ending, Until};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::follow::{End, Followed, Follower, Hosted, Signals, Since};
use crate::host::{self, Seat};
use crate::state::{self, State};

/// Runs the engine until it is stopped, or with `--until-idle` until nothing can go on without a person.
pub(crate) fn serve(app: &App, args: &args::Serve) -> Outcome {
    if args.own_session {
        host::own_session()?;
    }
    let settings = app.settings(args.max_parallel)?;
    let mut state = State::open(&app.place)?;
    let lock = match host::seat(&app.place.state_dir)? {
        Seat::Ours(lock) => lock,
        Seat::Theirs(pid) => {
            let process = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            return Err(Failure::new(
                exit::BUSY,
                format!("an engine is running on {}{process}", app.place.state_dir.display()),
            )
            .hint("one engine does all the work of a state directory; `wheelhouse status` shows it"));
        }
    };
    host::recover(&mut state, &settings, true)?;
    state.change(Command::ResumeInterrupted)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for events: {error}")))?;
    let _guard = runtime.enter();
    let mut signals = Signals::listen()?;
    let reader = state::expect(&app.place)?;
    let mut follower = Follower::new(&app.place, &app.terminal, reader, Followed::Everything, Since::Now)?;
    let until = if args.until_idle {
        Until::NothingLeft
    } else {
        Until::Stopped
    };
    app.terminal.say(&format!(
        "engine on {} (process {}), at most {} tasks at a time",
        app.place.state_dir.display(),
        std::process::id(),
        settings.parallel_max
    ));
    let ending = host::host(app, &settings, lock, state.store, until, |mut hosted: Hosted| {
        runtime.block_on(async {
            match follower.follow(&mut signals, Some(&mut hosted), None).await? {
                End::Hosted(ending) => Ok(ending),
                End::Finished | End::Held | End::Gone | End::Left => {
                    follower.wait_for_engine(&mut signals, &mut hosted).await
                }
            }
        })
    })??;
    match &ending {
        Ending::Stopped { returned: 0 } => app.terminal.say("stopped"),
        Ending::Stopped { returned } => {
            app.terminal
                .say(&format!("stopped: {returned} running tasks were returned"));
        }
        Ending::NothingLeft => app.terminal.say("nothing is left to do without a person"),
        Ending::Broken(why) => return Err(Failure::new(exit::STATE_FAILED, why.clone())),
    }
    // Being told to stop is how a service ends; that is no failure.
    Ok(match ending {
        Ending::Stopped { returned: 0 } | Ending::NothingLeft => exit::OK,
        Ending::Stopped { .. } | Ending::Broken(_) => host::exit_of(&ending),
    })
}
