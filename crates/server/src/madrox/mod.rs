//! The names that clients of madrox know: its tools, its REST paths and its sockets, with the meaning that they promised.
//!
//! Everything is a translation of the verbs in `face`: an instance is one of ours, a message is durable, an answer is a
//! turn's. What was promised and is somebody else's to decide here is said in `notes`, not passed over: whether an agent may
//! act without asking is in its configuration, and no caller can turn that off. What an instance may do is known from its
//! token, never guessed; results are results and failures are failures.

mod control;
mod files;
mod look;
mod rest;
mod shape;
mod socket;
mod spawn;
mod talk;
mod work;

use std::pin::Pin;
use std::time::Duration;

use schemars::Schema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wheelhouse_core::message::Party;
use wheelhouse_core::store::Reader;

use crate::api::Faces;
use crate::desk::Over;
use crate::face::exit;
use crate::face::failure::Failure;
use crate::face::nearest;
use crate::guard::Caller;
use crate::mcp::tool::{Effect, User};

pub(crate) use rest::router;

/// How long a call is held at the most, in seconds, whatever its `timeout_seconds` says: clients give up on longer ones.
const SECONDS_MAX: u64 = 100;

/// A call of one of the verbs, whichever way it came.
pub(crate) struct Asked<'a> {
    /// What every request has at hand.
    pub(crate) faces: &'a Faces,
    /// Who calls.
    pub(crate) caller: Caller,
    /// The verb.
    pub(crate) verb: &'static str,
    /// What it was given.
    pub(crate) arguments: Value,
    /// The caller's own name for this call.
    pub(crate) key: Option<String>,
    /// Nobody waits for the answer any more.
    pub(crate) gone: CancellationToken,
}

type Working<'a> = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send + 'a>>;

/// One verb.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) also: &'static str,
    pub(crate) effect: Effect,
    pub(crate) user: User,
    pub(crate) input: fn() -> Schema,
    pub(crate) work: for<'a> fn(&'a Asked<'a>) -> Working<'a>,
}

/// A verb: who may use it, what it does to the world, its name, what it takes, who does it, what for, and further words.
macro_rules! verb {
    ($user:ident $effect:ident $name:literal, $takes:ty, $work:path, $about:literal, $also:literal) => {
        $crate::madrox::Verb {
            name: $name,
            about: $about,
            also: $also,
            effect: $crate::mcp::tool::Effect::$effect,
            user: $crate::mcp::tool::User::$user,
            input: $crate::mcp::tool::schema::<$takes>,
            work: |asked| Box::pin($work(asked)),
        }
    };
}
use verb;

/// Every verb, in the order in which they are listed.
pub(crate) fn verbs() -> Vec<Verb> {
    let mut verbs = spawn::verbs();
    verbs.extend(talk::verbs());
    verbs.extend(look::verbs());
    verbs.extend(control::verbs());
    verbs.extend(work::verbs());
    verbs.extend(files::verbs());
    verbs
}

/// The verb of that name.
pub(crate) fn named(name: &str) -> Result<Verb, Failure> {
    let mut all = verbs();
    if let Some(place) = all.iter().position(|verb| verb.name == name) {
        return Ok(all.swap_remove(place));
    }
    let exist: Vec<String> = all.iter().map(|verb| verb.name.to_owned()).collect();
    let near = match nearest::name(name, &exist) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`GET /tools` lists them".to_owned(),
    };
    Err(Failure::new(
        exit::NOT_FOUND,
        format!("there is no tool `{name}`; {near}"),
    ))
}

impl Asked<'_> {
    /// Who calls, to the store.
    fn by(&self) -> Party {
        self.caller.party
    }

    /// What it was given, as the verb takes it.
    fn takes<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.arguments).map_err(|error| {
            Failure::usage(format!(
                "the arguments of `{}` are not what it takes: {error}",
                self.verb
            ))
        })
    }

    /// Looks with all news until it is over, the time is up, or nobody waits any more.
    async fn until<T: Send + 'static>(
        &self,
        seconds: u64,
        look: impl Fn(&mut dyn Reader) -> Result<(Over, T), Failure> + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        let gone = async {
            tokio::select! {
                () = self.gone.cancelled() => {}
                () = self.faces.stop.cancelled() => {}
            }
        };
        let deadline = Instant::now() + Duration::from_secs(seconds.min(SECONDS_MAX));
        self.faces.desk.until(deadline, gone, look).await
    }
}
