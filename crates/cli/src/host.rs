//! Hosts the engine in this process: takes the seat, clears what an earlier engine left, runs it on a thread of its
//! own, and gives whoever follows it a line to it.
//!
//! There is one engine per state directory; whoever holds the lock has the seat. Without it this process changes the
//! store like anybody and tells the engine that has the seat to look.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wheelhouse_agents::keep::{self, Keeper};
use wheelhouse_core::ids::OwnerId;
use wheelhouse_core::store;
pub(crate) use wheelhouse_engine::lock::engine;
use wheelhouse_engine::lock::{self, Engine, StateLock};
use wheelhouse_engine::{Ending, Error, Ports, StopSignal, Until, fault, nudge};

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::faces;
use crate::failure::{Failure, with_sources};
use crate::follow::Hosted;
use crate::notify;
use crate::pricelist;
use crate::roster::{self, Crew, Hands};
use crate::routing;
use crate::state::State;

/// The variable that makes the engine kill itself at a labelled point; only tests of bad days set it.
const FAULT_VARIABLE: &str = "WHEELHOUSE_FAULT";
/// How often and how long apart the seat is tried: a `status` that looks at this very moment holds it for a blink.
const SEAT_TRIES: u32 = 4;
const SEAT_PAUSE: Duration = Duration::from_millis(15);
/// How many lines for people the engine may have waiting.
const NOTICES_MAX: usize = 64;
/// How large the log of detached engines gets before the old one is put aside, in bytes. Two are kept.
const ENGINE_LOG_MAX: u64 = 4 << 20;
/// How long a detached engine has to come up.
const DETACHED_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked whether it did.
const DETACHED_LOOK: Duration = Duration::from_millis(10);

/// Who runs the engine of a state directory.
#[derive(Debug)]
pub(crate) enum Seat {
    /// We may.
    Ours(StateLock),
    /// Somebody does.
    Theirs(Option<u32>),
}

/// Takes the seat if it is free.
pub(crate) fn seat(state_dir: &Path) -> Result<Seat, Failure> {
    let mut tries = 1;
    loop {
        match StateLock::acquire(state_dir) {
            Ok(lock) => return Ok(Seat::Ours(lock)),
            Err(lock::Error::Taken { .. }) if tries < SEAT_TRIES => {
                tries += 1;
                std::thread::sleep(SEAT_PAUSE);
            }
            Err(lock::Error::Taken { pid }) => return Ok(Seat::Theirs(pid)),
            Err(error @ lock::Error::Io { .. }) => {
                return Err(Failure::new(exit::STATE_FAILED, with_sources(&error))
                    .hint("`wheelhouse doctor` looks at the state directory"));
            }
        }
    }
}

/// Ends what an earlier engine left running and gives its tasks back. Only for the holder of the seat. Runs that were
/// open go on when `go_on`, else they wait for `resume`.
pub(crate) fn recover(state: &mut State, settings: &Settings, go_on: bool) -> Result<(), Failure> {
    let store_id = state.reader.store_id()?;
    let swept = keep::sweep(&store_id, settings.grace);
    if swept.left > 0 {
        return Err(Failure::new(
            exit::BUSY,
            format!("{} processes of an earlier engine would not die", swept.left),
        )
        .hint(format!(
            "`grep -lz WHEELHOUSE_STORE={store_id} /proc/[0-9]*/environ` finds them"
        )));
    }
    let me = OwnerId(format!("cli-{:016x}", random()));
    state.change(store::Command::Recover { me, go_on }).map(|_| ())
}

/// A number that nobody can guess: the standard library seeds its hashers from the system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Runs the engine on a thread while `beside` runs on this one, and waits for both. The store is the engine's from
/// here on; `beside` reads through its own reader.
pub(crate) fn host<T>(
    app: &App,
    settings: &Settings,
    lock: StateLock,
    store: Box<dyn store::Store>,
    until: Until,
    beside: impl FnOnce(Hosted) -> T,
) -> Result<T, Failure> {
    let keeper = Keeper::start(app.exe.clone()).map_err(|error| {
        Failure::new(
            exit::STATE_FAILED,
            format!("the keeper of processes cannot be started: {error}"),
        )
    })?;
    let hands = Hands {
        keeper: Arc::new(keeper),
        exe: app.exe.clone(),
        state_dir: app.place.state_dir.clone(),
        project: app.place.project.clone(),
        env: app.env.clone(),
        http: Arc::default(),
    };
    let (stop, stop_inbox) = mpsc::channel(4);
    let (ended_out, ended) = oneshot::channel();
    let (notices, notices_inbox) = mpsc::channel(NOTICES_MAX);
    let engine_settings = engine_settings(app, settings, until)?;
    let ports = Ports {
        store,
        roster: Arc::new(Crew::new(settings, &hands)),
        seed: random(),
        notice: Arc::new(move |line| {
            // A full queue means that nobody reads; the engine must not wait for that.
            let _ = notices.try_send(line);
        }),
        instance_mcp: Some(faces::for_instances(app)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("engine")
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("the engine cannot be started: {error}")))?;
    let engine_ended = CancellationToken::new();
    let value = std::thread::scope(|scope| {
        if notify::is_wanted(settings) {
            scope.spawn(|| notify::run(app, settings, &engine_ended));
        }
        scope.spawn(|| {
            let ending = runtime.block_on(wheelhouse_engine::run(engine_settings, ports, lock, stop_inbox));
            engine_ended.cancel();
            // Nobody may be listening any more; then nobody needs to know.
            let _ = ended_out.send(ending.map_err(engine_failure));
        });
        // Whatever ends the follower early ends the engine too, and does not leave it behind without ears.
        let _stop = StopWhenDropped(stop.clone());
        beside(Hosted {
            stop,
            ended,
            notices: notices_inbox,
        })
    });
    // What is still blocking (a reader thread of a pipe) has nothing to say any more.
    runtime.shutdown_background();
    Ok(value)
}

/// Asks the engine to stop when nobody follows it any more. After a regular end it is gone and hears nothing.
struct StopWhenDropped(mpsc::Sender<StopSignal>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        // A full queue holds a wish to stop already.
        let _ = self.0.try_send(StopSignal::Ask);
    }
}

fn engine_settings(app: &App, settings: &Settings, until: Until) -> Result<wheelhouse_engine::Settings, Failure> {
    let fault = match app.env.get(FAULT_VARIABLE) {
        Some(text) => {
            Some(fault::Fault::parse(text).map_err(|why| Failure::usage(format!("{FAULT_VARIABLE}: {why}")))?)
        }
        None => None,
    };
    Ok(wheelhouse_engine::Settings {
        project: app.place.project.clone(),
        state_dir: app.place.state_dir.clone(),
        parallel_max: settings.parallel_max,
        caps: roster::caps(settings),
        env: roster::passed_env(settings, &app.env),
        default_agent: app.default_agent(settings),
        router: match settings.default_agent.as_str() {
            roster::AUTO => Some(Arc::new(routing::router(app, settings)?)),
            _ => None,
        },
        output_max: settings.output_max,
        grace_ms: u64::try_from(settings.grace.as_millis()).unwrap_or(u64::MAX),
        // Recovery was done when the seat was taken, before anything new was submitted.
        go_on: true,
        until,
        policy: settings.policy.clone(),
        isolation: settings.isolation.clone(),
        question_timeout_ms: u64::try_from(settings.question_timeout.as_millis()).unwrap_or(u64::MAX),
        packet_agents: roster::packet_agents(settings),
        tools: roster::tool_scopes(settings)?,
        context: routing::with_roles(app, settings)?,
        money: roster::money(settings, pricelist::table(&app.place)?),
        fault,
    })
}

fn engine_failure(error: Error) -> Failure {
    match error {
        Error::Store(failure) => failure.into(),
        Error::State { .. } | Error::Broken(_) => Failure::new(exit::STATE_FAILED, with_sources(&error))
            .hint("`wheelhouse fsck` checks the stored state; `wheelhouse resume` goes on where it was"),
    }
}

/// What became of a wish for an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detached {
    /// One was running and was told to look.
    Running,
    /// One was started in the background.
    Started,
}

/// Makes sure that an engine works on the state directory when this process is gone.
pub(crate) fn detach(app: &App, max_parallel: Option<u32>) -> Result<Detached, Failure> {
    if nudge::notify(&app.place.state_dir) {
        return Ok(Detached::Running);
    }
    let log_path = app.place.state_dir.join("engine.log");
    let number = max_parallel.map(|number| format!("--max-parallel={number}"));
    let mut words = vec!["serve", "--until-idle", "--own-session"];
    words.extend(number.as_deref());
    let mut child = launch(app, &words)?;
    let deadline = Instant::now() + DETACHED_DEADLINE;
    while Instant::now() < deadline {
        if nudge::notify(&app.place.state_dir) {
            return Ok(Detached::Started);
        }
        if let Ok(Some(status)) = child.try_wait() {
            // It may have found nothing to do, or another engine was faster; anything else it has written down.
            if status.success() || status.code() == Some(i32::from(exit::BUSY.code)) {
                return Ok(Detached::Started);
            }
            return Err(Failure::new(
                exit::STATE_FAILED,
                format!("the engine in the background ended at once ({status})"),
            )
            .hint(format!("its log: {}", log_path.display())));
        }
        std::thread::sleep(DETACHED_LOOK);
    }
    Err(Failure::new(
        exit::STATE_FAILED,
        "the engine in the background did not come up in time",
    )
    .hint(format!("its log: {}", log_path.display())))
}

/// Starts this program in the background for the same project, with its output in the engine's log.
pub(crate) fn launch(app: &App, words: &[&str]) -> Result<std::process::Child, Failure> {
    let log_path = app.place.state_dir.join("engine.log");
    let failed =
        |error: &std::io::Error| Failure::io("start an engine in the background, with its log", &log_path, error);
    if std::fs::metadata(&log_path).is_ok_and(|meta| meta.len() > ENGINE_LOG_MAX) {
        std::fs::rename(&log_path, log_path.with_extension("log.1")).map_err(|error| failed(&error))?;
    }
    let log = {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(&log_path).map_err(|error| failed(&error))?
    };
    let errors = log.try_clone().map_err(|error| failed(&error))?;
    Command::new(&app.exe)
        .current_dir(&app.place.project)
        .arg("--state-dir")
        .arg(&app.place.state_dir)
        .args(words)
        .args(app.set_arguments())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|error| failed(&error))
}

/// Leaves the terminal's session, so that its end is not ours.
pub(crate) fn own_session() -> Result<(), Failure> {
    match nix::unistd::setsid() {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(
            exit::STATE_FAILED,
            format!("cannot leave the terminal's session: {error}"),
        )),
    }
}

/// Why nothing goes on although there is work: for commands that only change the store.
pub(crate) fn tell_engine(app: &App) -> bool {
    // One that is just starting has no ear yet; it looks at everything when it has.
    let starting = || matches!(lock::engine(&app.place.state_dir), Engine::Running(_));
    let told = nudge::notify(&app.place.state_dir) || starting();
    if !told {
        app.terminal
            .say("no engine is running: `wheelhouse resume` or `wheelhouse serve` starts one");
    }
    told
}

/// The same for changes that ask for no work: without an engine there is nothing to say.
pub(crate) fn quietly_tell_engine(app: &App) {
    nudge::notify(&app.place.state_dir);
}

/// How the engine ended, as an exit code.
pub(crate) fn exit_of(ending: &Ending) -> exit::Exit {
    match ending {
        Ending::NothingLeft => exit::OK,
        Ending::Stopped { .. } => exit::INTERRUPTED,
        Ending::Broken(_) => exit::STATE_FAILED,
    }
}
