//! `serve`: the engine in the foreground, for service managers and for people who want to see it work, with the faces
//! that programs use.

use wheelhouse_core::store::Command;
use wheelhouse_engine::{Ending, Until};
use wheelhouse_server::Server;

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::faces::{self, Announced};
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
            .hint("one engine does all the work of a state directory; `wheelhouse watch` follows it")
            .hint("to have HTTP as well, end it where it was started (Ctrl-C), then `wheelhouse serve`"));
        }
    };
    host::recover(&mut state, &settings, true)?;
    super::crew::policy::from_environment(app, &mut state)?;
    state.change(Command::ResumeInterrupted)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(FACE_THREADS)
        .thread_name("faces")
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
    // An engine that a command left in the background is nobody's server, unless that was asked for.
    let with_faces = !args.no_http && (!args.until_idle || args.listen.is_some());
    let open = match with_faces {
        true => Some(runtime.block_on(open_faces(app, &settings, args))?),
        false => None,
    };
    app.terminal.say(&format!(
        "engine on {} (process {}), at most {} tasks at a time",
        app.place.state_dir.display(),
        std::process::id(),
        settings.parallel_max
    ));
    let ending = host::host(app, &settings, lock, state.store, until, |mut hosted: Hosted| {
        runtime.block_on(async {
            let work = async {
                match follower.follow(&mut signals, Some(&mut hosted), None).await? {
                    End::Hosted(ending) => Ok(ending),
                    End::Finished | End::Held | End::Gone | End::Left => {
                        follower.wait_for_engine(&mut signals, &mut hosted).await
                    }
                }
            };
            match open {
                None => work.await,
                Some((server, announced)) => beside(server, announced, work).await,
            }
        })
    })??;
    runtime.shutdown_background();
    closing(app, &ending)
}

/// How many threads serve; what takes long goes to others.
const FACE_THREADS: usize = 2;

/// The server, about to serve, and where that is told.
async fn open_faces(app: &App, settings: &Settings, args: &args::Serve) -> Result<(Server, Announced), Failure> {
    let listener = faces::bind(app, settings, args).await?;
    let server = faces::server(app, settings, args, listener)?;
    let address = server
        .address()
        .map_err(|error| Failure::new(exit::IO, format!("cannot serve: {error}")))?;
    let announced = faces::announce(&app.place.state_dir, address)?;
    let key = match args.without_token {
        true => "no token is asked for".to_owned(),
        false => "`wheelhouse token` prints the token".to_owned(),
    };
    app.terminal.say(&format!("HTTP on http://{address}/api/v1; {key}"));
    Ok((server, announced))
}

/// Serves while the engine works, and a little longer, so that the last answers get out.
async fn beside<T>(server: Server, announced: Announced, work: impl Future<Output = T>) -> T {
    let stop = server.stop();
    let serving = server.serve();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = work => ended,
        // It only returns when it is stopped.
        () = &mut serving => std::future::pending().await,
    };
    drop(announced);
    stop.cancel();
    serving.await;
    ended
}

fn closing(app: &App, ending: &Ending) -> Outcome {
    match ending {
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
        Ending::Stopped { .. } | Ending::Broken(_) => host::exit_of(ending),
    })
}
