//! `serve`: the engine in the foreground, for service managers and for people who want to see it work, with the faces
//! that programs use.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wheelhouse_core::store::{Command, RunState};
use wheelhouse_engine::lock::StateLock;
use wheelhouse_engine::{Ending, StopSignal, Until};

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::faces::{self, Announced};
use crate::failure::{Failure, Outcome};
use crate::follow::{End, Followed, Follower, Hosted, Signals, Since};
use crate::host::{self, Seat};
use crate::notify;
use crate::state::{self, State};

/// Runs the engine until it is stopped, or with `--until-idle` until nothing can go on without a person.
pub(crate) fn serve(app: &App, args: &args::Serve) -> Outcome {
    if args.own_session {
        host::own_session()?;
    }
    let settings = app.settings(args.max_parallel)?;
    let mut state = State::open(&app.place)?;
    // Before anybody can be heard, so that whoever is told for the first time misses nothing.
    notify::begin(app, &settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(FACE_THREADS)
        .thread_name("faces")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for events: {error}")))?;
    let _guard = runtime.enter();
    let mut signals = Signals::listen()?;
    // An engine that a command left in the background is nobody's server, unless that was asked for.
    let with_faces = !args.no_http && (!args.until_idle || args.listen.is_some());
    let seat = host::seat(&app.place.state_dir)?;
    if let (Seat::Theirs(pid), false) = (&seat, args.beside) {
        return Err(taken(app, *pid));
    }
    let mut faces = match with_faces {
        true => Some(runtime.block_on(Faces::open(app, &settings, args))?),
        false => None,
    };
    let lock = match seat {
        Seat::Ours(lock) => lock,
        Seat::Theirs(_) => match runtime.block_on(until_free(app, &mut faces, &mut signals))? {
            Some(lock) => lock,
            None => return Ok(exit::OK),
        },
    };
    host::recover(&mut state, &settings, true)?;
    super::crew::policy::from_environment(app, &mut state)?;
    state.change(Command::ResumeInterrupted)?;
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
        let stop = hosted.stop.clone();
        runtime.block_on(async {
            let work = async {
                match follower.follow(&mut signals, Some(&mut hosted), None).await? {
                    End::Hosted(ending) => Ok(ending),
                    End::Finished | End::Held | End::Gone | End::Left => {
                        follower.wait_for_engine(&mut signals, &mut hosted).await
                    }
                }
            };
            match faces {
                None => work.await,
                Some(faces) => faces.beside(app, args.beside.then_some(stop), work).await,
            }
        })
    })??;
    runtime.shutdown_background();
    closing(app, &ending)
}

/// How many threads serve; what takes long goes to others.
const FACE_THREADS: usize = 2;

/// How long nobody may have called before a server ends that was started for callers.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// How often it is looked at that, and at the seat of another's engine.
const LOOK: Duration = Duration::from_millis(250);

/// The server while it serves, and where that is told.
struct Faces {
    serving: Pin<Box<dyn Future<Output = ()>>>,
    stop: tokio_util::sync::CancellationToken,
    connections: Arc<AtomicUsize>,
    _announced: Announced,
    _lock: StateLock,
}

impl Faces {
    async fn open(app: &App, settings: &Settings, args: &args::Serve) -> Result<Faces, Failure> {
        let lock = StateLock::acquire_as(&app.place.state_dir, "serve.lock").map_err(|error| {
            Failure::new(exit::BUSY, format!("the project is served already: {error}"))
                .hint("`.wheelhouse/serve.json` says where")
        })?;
        let listener = faces::bind(app, settings, args).await?;
        let server = faces::server(app, settings, args, listener)?;
        let address = server
            .address()
            .map_err(|error| Failure::new(exit::IO, format!("cannot serve: {error}")))?;
        let announced = faces::announce(&app.place.state_dir, address)?;
        let key = match args.without_token {
            true => "no token is asked for",
            false => "`wheelhouse token` prints the token",
        };
        app.terminal.say(&format!(
            "HTTP on http://{address}/api/v1, MCP on http://{address}/mcp; {key}"
        ));
        Ok(Faces {
            stop: server.stop(),
            connections: server.connections(),
            serving: Box::pin(server.serve()),
            _announced: announced,
            _lock: lock,
        })
    }

    /// Serves while the engine works, and a little longer, so that the last answers get out. With `unused` it asks the
    /// engine to stop when nobody has called for a while and nothing is left to do.
    async fn beside<T>(
        mut self,
        app: &App,
        unused: Option<mpsc::Sender<StopSignal>>,
        work: impl Future<Output = T>,
    ) -> T {
        let connections = Arc::clone(&self.connections);
        let watch = async {
            if let Some(stop) = unused {
                until_unused(app, &connections).await;
                app.terminal
                    .say("nobody has called for a while and nothing is left to do");
                let _ = stop.send(StopSignal::Ask).await;
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = work => ended,
            // Both return only when they are stopped.
            () = &mut self.serving => std::future::pending().await,
            () = watch => std::future::pending().await,
        };
        self.stop.cancel();
        self.serving.await;
        ended
    }
}

/// Waits until nobody has had a connection for [`UNUSED_MAX`] and nothing is left to do.
async fn until_unused(app: &App, connections: &AtomicUsize) {
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(LOOK * 20).await;
        if connections.load(Ordering::Relaxed) > 0 {
            since = Instant::now();
        } else if since.elapsed() >= UNUSED_MAX && !is_busy(app) {
            return;
        }
    }
}

/// Whether something goes on. A store that cannot be read now is taken for one in use.
fn is_busy(app: &App) -> bool {
    let runs = state::expect(&app.place).and_then(|mut reader| Ok(reader.runs(1_000)?));
    runs.map_or(true, |runs| {
        runs.iter()
            .any(|run| run.state == RunState::Active && run.counts.running + run.counts.ready > 0)
    })
}

/// Serves while another process has the engine, until its seat is free. None: a person wants it to end.
async fn until_free(app: &App, faces: &mut Option<Faces>, signals: &mut Signals) -> Result<Option<StateLock>, Failure> {
    app.terminal
        .say("another process has the engine; this one serves, and takes it over when that ends");
    let free = async {
        loop {
            tokio::time::sleep(LOOK).await;
            match host::seat(&app.place.state_dir)? {
                Seat::Ours(lock) => return Ok(Some(lock)),
                Seat::Theirs(_) => {}
            }
        }
    };
    let serving = async {
        match faces {
            Some(faces) => (&mut faces.serving).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        lock = free => lock,
        () = serving => Ok(None),
        _ = signals.next() => Ok(None),
    }
}

fn taken(app: &App, pid: Option<u32>) -> Failure {
    let process = pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    Failure::new(
        exit::BUSY,
        format!("an engine is running on {}{process}", app.place.state_dir.display()),
    )
    .hint("one engine does all the work of a state directory; `wheelhouse watch` follows it")
    .hint("to have HTTP as well, end it where it was started (Ctrl-C), then `wheelhouse serve`")
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
