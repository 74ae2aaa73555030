//! The commands about instances, and what they share: who asks, and waiting for answers.

pub(super) mod control;
pub(super) mod coordinate;
pub(super) mod policy;
pub(super) mod show;
pub(super) mod spawn;
pub(super) mod talk;
pub(super) mod team;

use std::io::Read;
use std::time::{Duration, Instant};

use wheelhouse_core::caller::{Caller, TOKEN_PREFIX, TOKEN_VARIABLE};
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::message::MessageView;
use wheelhouse_core::store::Reader;
use wheelhouse_engine::nudge;
use wheelhouse_server::face::crew;
use wheelhouse_server::face::role::Roles;
use wheelhouse_server::face::spawn::Defaults;

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::failure::Failure;
use crate::host;
use crate::roster;
use crate::state::State;

/// The longest text read from stdin, in bytes.
const STDIN_MAX: u64 = 1 << 20;
/// How often the store is looked at while waiting, hints or not.
const POLL: Duration = Duration::from_millis(250);

/// Opens the state and says who asks.
fn open(app: &App) -> Result<(State, Caller), Failure> {
    let mut state = State::open(&app.place)?;
    let caller = caller(app, state.reader.as_mut())?;
    Ok((state, caller))
}

/// Who asks, by the token in the environment.
pub(super) fn caller(app: &App, reader: &mut dyn Reader) -> Result<Caller, Failure> {
    // A person may have exported one of the server's tokens, for clients over HTTP; that is no instance's.
    let token = app
        .env
        .get(TOKEN_VARIABLE)
        .filter(|token| token.starts_with(TOKEN_PREFIX));
    crew::caller(&app.place.state_dir, reader, token.map(String::as_str))
}

/// Something for an engine to do: it is told, or started in the background. An instance has one already.
fn engine(app: &App, caller: Caller) -> Result<(), Failure> {
    match caller.is_person() {
        true => host::detach(app, None).map(drop),
        false => {
            host::quietly_tell_engine(app);
            Ok(())
        }
    }
}

/// What wishes leave open.
pub(crate) fn defaults(app: &App, settings: &Settings) -> Defaults {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let agents = roster::agent_names(settings);
    Defaults {
        agents: agents
            .into_iter()
            .map(|name| {
                let backend = settings.agents.get(name.as_str()).map(|agent| agent.backend.clone());
                let backend = backend.unwrap_or_else(|| name.to_string());
                (name, backend)
            })
            .collect(),
        agent: app.default_agent(settings),
        timeout_ms: ms(settings.timeout),
        idle_timeout_ms: ms(settings.idle_timeout),
        retry_max: settings.retry,
        roles: Roles::of(&app.place.state_dir),
    }
}

/// The text, or stdin for `-`.
pub(super) fn text(given: &str) -> Result<String, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        let stdin = std::io::stdin().lock().take(STDIN_MAX).read_to_string(&mut text);
        stdin.map_err(|error| Failure::new(exit::IO, format!("cannot read stdin: {error}")))?;
    }
    Ok(text)
}

/// Waits until these messages are over, at most so long. They come back in their order, over or not.
fn wait_for(
    app: &App,
    reader: &mut dyn Reader,
    ids: &[MessageId],
    most: Duration,
) -> Result<Vec<MessageView>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait: {error}")))?;
    let deadline = Instant::now() + most;
    runtime.block_on(async {
        let mut hints = nudge::subscribe(&app.place.state_dir).await;
        loop {
            let mut views = Vec::with_capacity(ids.len());
            for id in ids {
                views.extend(reader.message(*id)?);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if views.iter().all(|view| view.state.is_over()) || left.is_zero() {
                return Ok(views);
            }
            let pause = left.min(POLL);
            match &mut hints {
                Some(hint) => {
                    if let Ok(false) = tokio::time::timeout(pause, hint.changed()).await {
                        hints = None;
                    }
                }
                None => {
                    tokio::time::sleep(pause).await;
                    hints = nudge::subscribe(&app.place.state_dir).await;
                }
            }
        }
    })
}
