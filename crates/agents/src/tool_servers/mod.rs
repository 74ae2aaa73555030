//! Other MCP servers, whose tools agents can find and use through ours: [`ToolServers`] of core on real programs and addresses.
//!
//! A server is started by the first search or call that needs it, under a keeper, so that none outlives the process that
//! started it. What it lists is kept on disk (`catalogue`): a search among known tools starts nothing. It is ended when nobody
//! has called it for a while; after a crash it is started again, a few times a minute.
//!
//! | file | what it owns |
//! |---|---|
//! | `message` | JSON-RPC of a client; pure |
//! | `pipe` | a server that is a program |
//! | `http` | a server at an address |
//! | `catalogue` | its list of tools, within bounds, and on disk |
//!
//! What does not happen here: no arguments are checked and no answer is cut; whoever hands them on does that.

mod catalogue;
mod http;
mod message;
mod pipe;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex as Turn, mpsc, oneshot};
use tokio::time::Instant;
use wheelhouse_core::agent::BoxFuture;
use wheelhouse_core::tool_server::{Failure, Manifest, Origin, ToolAnswer, ToolServers, Wanted};

use crate::api::{Helper, Http, Key, Source};
use crate::keep::{Command, Keeper, Stdin};
use catalogue::{Collected, PAGES_MAX};
use http::Line;
use message::words;
use pipe::{MESSAGE_MAX, Pipe, Trouble, WAITING_MAX};

pub use catalogue::{DESCRIPTION_MAX, SCHEMA_MAX, TOOLS_MAX};

/// How often a server is started within [`STARTS_WITHIN`].
const STARTS_MAX: usize = 3;
/// See [`STARTS_MAX`].
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long a server is left alone that did not come up.
const FAILED_REST: Duration = Duration::from_secs(10);
/// Between TERM and KILL of a server.
const GRACE: Duration = Duration::from_millis(500);

/// How long a server may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// To start and to answer the greeting.
    pub start: Duration,
    /// To list its tools, all pages.
    pub list: Duration,
    /// To answer a call.
    pub call: Duration,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// A program that speaks on its stdin and stdout.
    Program {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Its whole environment.
        env: BTreeMap<String, String>,
        /// What of the environment is secret: taken out of everything that the server says in a failure.
        secrets: Vec<Key>,
    },
    /// Streamable HTTP at an address.
    Address {
        /// The URL.
        url: String,
        /// Where its key comes from.
        key: KeyFrom,
        /// What a command that prints the key is given.
        env: BTreeMap<String, String>,
    },
}

/// Where the key of a server at an address comes from.
#[derive(Clone, Debug)]
pub enum KeyFrom {
    /// It needs none.
    Nowhere,
    /// An environment variable, with what it held when the program began.
    Env {
        /// Its name.
        name: String,
        /// Its value.
        key: Option<Key>,
    },
    /// A file that its owner alone may read.
    File(PathBuf),
    /// A command that prints it.
    Command(String),
}

/// A server that may be used.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it is reached.
    pub reach: Reach,
    /// Its tools that may be seen; all when absent.
    pub tools: Option<BTreeSet<String>>,
}

/// Where servers work.
#[derive(Clone, Debug)]
pub struct Place {
    /// This program, which keeps the processes.
    pub exe: PathBuf,
    /// Where programs are started.
    pub cwd: PathBuf,
    /// Where lists are kept.
    pub lists: PathBuf,
}

/// The servers of a project.
pub struct Servers {
    house: Arc<House>,
    carried: Turn<mpsc::UnboundedReceiver<BoxFuture<'static, ()>>>,
}

/// What starts share with those who wait for them.
struct House {
    place: Place,
    times: Times,
    http: Arc<Http>,
    keeper: Mutex<Option<Arc<Keeper>>>,
    each: BTreeMap<String, Server>,
    /// Conversations and starts that are to be carried on.
    begun: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

struct Server {
    config: Config,
    /// One start at a time; nobody waits for it who only calls.
    state: Turn<State>,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    manifest: Option<Arc<Manifest>>,
    starts: VecDeque<Instant>,
    /// When it last did not come up, and why.
    failed: Option<(Instant, String)>,
}

impl State {
    /// What goes on as it is.
    fn going(&self) -> Option<(Link, Arc<Manifest>)> {
        let link = self.link.as_ref().filter(|link| link.is_open())?;
        let manifest = self
            .manifest
            .as_ref()
            .filter(|manifest| manifest.origin == Origin::Live)?;
        Some((link.clone(), Arc::clone(manifest)))
    }

    /// For how long yet it is to be left alone.
    fn rests(&mut self, now: Instant) -> Option<Duration> {
        while self
            .starts
            .front()
            .is_some_and(|at| now.duration_since(*at) >= STARTS_WITHIN)
        {
            self.starts.pop_front();
        }
        let often = self.starts.front().filter(|_| self.starts.len() >= STARTS_MAX);
        let often = often.map(|first| *first + STARTS_WITHIN);
        let failed = self.failed.as_ref().map(|(at, _)| *at + FAILED_REST);
        let until = often.max(failed)?;
        (until > now).then(|| until - now)
    }
}

/// A conversation with a server.
#[derive(Clone, Debug)]
enum Link {
    Pipe(Pipe),
    Line(Line),
}

impl Link {
    fn is_open(&self) -> bool {
        match self {
            Link::Pipe(pipe) => pipe.is_open(),
            Link::Line(line) => line.is_open(),
        }
    }

    /// Whether the server said that its tools are others now.
    fn has_news(&self) -> bool {
        self.news().load(Ordering::Relaxed)
    }

    /// The same; it is known from now on.
    fn take_news(&self) -> bool {
        self.news().swap(false, Ordering::Relaxed)
    }

    fn news(&self) -> &AtomicBool {
        match self {
            Link::Pipe(pipe) => pipe.news(),
            Link::Line(line) => line.news(),
        }
    }

    async fn ask(&self, method: &str, params: &Value, limit: Duration) -> Result<Value, Trouble> {
        match self {
            Link::Pipe(pipe) => pipe.ask(method, params, limit).await,
            Link::Line(line) => line.ask(method, params, limit).await,
        }
    }

    async fn tell(&self, method: &str, params: &Value, limit: Duration) {
        match self {
            Link::Pipe(pipe) => pipe.tell(method, params),
            Link::Line(line) => line.tell(method, params, limit).await,
        }
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers")
            .field("names", &self.names())
            .finish_non_exhaustive()
    }
}

impl Servers {
    /// These servers; none is started.
    pub fn new(place: Place, times: Times, servers: BTreeMap<String, Config>) -> Servers {
        let (begun, carried) = mpsc::unbounded_channel();
        let each = servers.into_iter().map(|(name, config)| {
            let server = Server {
                config,
                state: Turn::default(),
            };
            (name, server)
        });
        let house = House {
            place,
            times,
            http: Arc::default(),
            keeper: Mutex::default(),
            each: each.collect(),
            begun,
        };
        Servers {
            house: Arc::new(house),
            carried: Turn::new(carried),
        }
    }

    /// A conversation that goes on, and what the server offers. A start is carried on whoever gives up waiting for it, so that
    /// the next one finds it done.
    async fn live(&self, name: &str) -> Result<(Link, Arc<Manifest>), Failure> {
        let server = self.house.server(name)?;
        if let Some((link, manifest)) = server.state.lock().await.going()
            && !link.has_news()
        {
            return Ok((link, manifest));
        }
        let (tell, told) = oneshot::channel();
        let (house, owned) = (Arc::clone(&self.house), name.to_owned());
        let start = async move {
            // Nobody may wait any more.
            let _ = tell.send(house.live(&owned).await);
        };
        // Where nobody carries it on it is dropped, and says so below.
        let _ = self.house.begun.send(Box::pin(start));
        told.await.unwrap_or_else(|_| {
            Err(Failure::NotStarted {
                server: name.to_owned(),
                why: "Wheelhouse is ending".to_owned(),
            })
        })
    }
}

impl House {
    fn server(&self, name: &str) -> Result<&Server, Failure> {
        self.each.get(name).ok_or_else(|| Failure::NoSuchServer {
            server: name.to_owned(),
            exist: self.each.keys().cloned().collect(),
        })
    }

    /// Started, or asked for its tools again, when that is needed.
    async fn live(&self, name: &str) -> Result<(Link, Arc<Manifest>), Failure> {
        let server = self.server(name)?;
        let mut state = server.state.lock().await;
        if let Some((link, manifest)) = state.going() {
            if !link.take_news() {
                return Ok((link, manifest));
            }
            let greeted = (manifest.title.clone(), manifest.version.clone());
            let manifest = self.listed(name, server, &link, greeted).await?;
            state.manifest = Some(Arc::clone(&manifest));
            return Ok((link, manifest));
        }
        state.link = None;
        let now = Instant::now();
        if let Some(rest) = state.rests(now) {
            return Err(Failure::Resting {
                server: name.to_owned(),
                starts: state.starts.len(),
                rest_s: rest.as_secs() + 1,
                why: state
                    .failed
                    .as_ref()
                    .map_or("it ended each time", |(_, why)| why)
                    .to_owned(),
            });
        }
        state.starts.push_back(now);
        match self.start(name, server).await {
            Ok((link, manifest)) => {
                state.link = Some(link.clone());
                state.manifest = Some(Arc::clone(&manifest));
                state.failed = None;
                Ok((link, manifest))
            }
            Err(failure) => {
                state.failed = Some((Instant::now(), words(&failure.to_string())));
                Err(failure)
            }
        }
    }

    async fn start(&self, name: &str, server: &Server) -> Result<(Link, Arc<Manifest>), Failure> {
        let begun = Instant::now();
        let late = || Failure::NotStarted {
            server: name.to_owned(),
            why: format!("it was not there within {} ms", self.times.start.as_millis()),
        };
        let link = tokio::time::timeout(self.times.start, self.reached(name, server))
            .await
            .map_err(|_| late())??;
        let rest = self.times.start.saturating_sub(begun.elapsed());
        let greeting = link.ask("initialize", &message::greeting(), rest).await;
        let greeting = greeting.map_err(|trouble| {
            let why = self.failure(name, "initialize", self.times.start, trouble);
            Failure::NotStarted {
                server: name.to_owned(),
                why: why.to_string(),
            }
        })?;
        if !greeting["protocolVersion"].is_string() {
            return Err(Failure::NotStarted {
                server: name.to_owned(),
                why: "it answered the greeting without a version of the protocol; is it an MCP server?".to_owned(),
            });
        }
        link.tell("notifications/initialized", &json!({}), self.times.start)
            .await;
        let said = |member: &str| words(greeting["serverInfo"][member].as_str().unwrap_or_default());
        let manifest = self
            .listed(name, server, &link, (said("name"), said("version")))
            .await?;
        Ok((link, manifest))
    }

    async fn reached(&self, name: &str, server: &Server) -> Result<Link, Failure> {
        let not_started = |why: String| Failure::NotStarted {
            server: name.to_owned(),
            why,
        };
        match &server.config.reach {
            Reach::Program { argv, env, .. } => {
                let keeper = self.keeper().map_err(not_started)?;
                let kept = keeper.spawn(Command {
                    argv: argv.iter().map(OsString::from).collect(),
                    env: env.clone(),
                    cwd: self.place.cwd.clone(),
                    stdin: Stdin::Piped,
                    grace: GRACE,
                });
                let kept = kept.await.map_err(|error| not_started(error.to_string()))?;
                let (pipe, talk) = pipe::open(kept, GRACE);
                // Nobody carries it on once the process ends; then the program ends as well.
                let _ = self.begun.send(Box::pin(talk));
                Ok(Link::Pipe(pipe))
            }
            Reach::Address { url, key, env } => {
                let source = match key {
                    KeyFrom::Nowhere => Source::None,
                    KeyFrom::Env { name, key } => Source::Env {
                        name: name.clone(),
                        key: key.clone(),
                    },
                    KeyFrom::File(path) => Source::File(path.clone()),
                    KeyFrom::Command(command) => {
                        let keeper = self.keeper().map_err(not_started)?;
                        Source::Helper(Helper::new(keeper, command.clone(), self.place.cwd.clone()))
                    }
                };
                Ok(Link::Line(Line::new(Arc::clone(&self.http), url, source, env.clone())))
            }
        }
    }

    /// The keeper of the servers' processes; its process is started with the first of them.
    fn keeper(&self) -> Result<Arc<Keeper>, String> {
        let mut kept = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = &*kept {
            return Ok(Arc::clone(keeper));
        }
        let keeper = Keeper::start(self.place.exe.clone())
            .map_err(|error| format!("the keeper of processes cannot be started: {error}"))?;
        Ok(Arc::clone(kept.insert(Arc::new(keeper))))
    }

    /// Asks for all pages of its list, and keeps it.
    async fn listed(
        &self,
        name: &str,
        server: &Server,
        link: &Link,
        (title, version): (String, String),
    ) -> Result<Arc<Manifest>, Failure> {
        const WHAT: &str = "tools/list";
        let deadline = Instant::now() + self.times.list;
        let mut collected = Collected::default();
        let mut cursor: Option<String> = None;
        let mut seen = BTreeSet::new();
        for page in 0.. {
            if page == PAGES_MAX {
                collected.leave_out(format!("pages of its list after the first {PAGES_MAX}"));
                break;
            }
            let params = cursor
                .as_ref()
                .map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let rest = deadline.saturating_duration_since(Instant::now());
            let page = link.ask(WHAT, &params, rest).await;
            let page = page.map_err(|trouble| self.failure(name, WHAT, self.times.list, trouble))?;
            cursor = collected.take(&page).map_err(|why| Failure::Unusable {
                server: name.to_owned(),
                what: WHAT.to_owned(),
                why,
            })?;
            match &cursor {
                None => break,
                Some(next) if !seen.insert(next.clone()) => {
                    collected.leave_out("pages of its list that lead back to each other".to_owned());
                    break;
                }
                Some(_) => {}
            }
        }
        let (tools, left_out) = collected.finish();
        let manifest = Manifest {
            server: name.to_owned(),
            title,
            version,
            tools,
            origin: Origin::Live,
            left_out,
        };
        // One that cannot be kept is asked for again next time, and that is all.
        let _ = catalogue::keep(&self.place.lists, &reach_hash(&server.config.reach), &manifest);
        Ok(Arc::new(allowed(manifest, &server.config)))
    }

    /// Trouble as a failure, without what is secret.
    fn failure(&self, name: &str, what: &str, limit: Duration, trouble: Trouble) -> Failure {
        let public = |text: String| match self.each.get(name).map(|server| &server.config.reach) {
            Some(Reach::Program { secrets, .. }) => {
                secrets.iter().fold(text, |text, key| key.redact(&text).into_owned())
            }
            Some(Reach::Address { .. }) | None => text,
        };
        let (server, what) = (name.to_owned(), what.to_owned());
        match trouble {
            Trouble::Refused(refusal) => Failure::Refused {
                server,
                what,
                code: refusal.code,
                message: public(refusal.message),
            },
            Trouble::Gone(why) => Failure::Gone {
                server,
                what,
                why: public(why),
            },
            Trouble::TooLong(bytes) => Failure::Unusable {
                server,
                what,
                why: format!("it has {bytes} bytes, and {MESSAGE_MAX} are read"),
            },
            Trouble::Late(noise) => Failure::TimedOut {
                server,
                what,
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                noise: public(noise),
            },
            Trouble::Busy => Failure::Busy {
                server,
                waiting: WAITING_MAX,
            },
        }
    }
}

/// What is let through of it.
fn allowed(mut manifest: Manifest, config: &Config) -> Manifest {
    if let Some(only) = &config.tools {
        manifest.tools.retain(|tool| only.contains(&tool.name));
    }
    manifest
}

/// How a server is reached, without its environment and its key: who starts it otherwise may be shown another list.
fn reach_hash(reach: &Reach) -> String {
    let text = match reach {
        Reach::Program { argv, .. } => json!({ "program": argv }),
        Reach::Address { url, .. } => json!({ "url": url }),
    };
    blake3::hash(text.to_string().as_bytes()).to_hex().to_string()
}

impl ToolServers for Servers {
    fn names(&self) -> Vec<String> {
        self.house.each.keys().cloned().collect()
    }

    fn manifest<'a>(&'a self, name: &'a str, wanted: Wanted) -> BoxFuture<'a, Result<Arc<Manifest>, Failure>> {
        Box::pin(async move {
            let server = self.house.server(name)?;
            if wanted == Wanted::Known {
                let mut state = server.state.lock().await;
                let has_news = state.going().is_some_and(|(link, _)| link.has_news());
                if let (Some(manifest), false) = (&state.manifest, has_news) {
                    return Ok(Arc::clone(manifest));
                }
                let reach = reach_hash(&server.config.reach);
                if let (None, Some(kept)) = (&state.manifest, catalogue::kept(&self.house.place.lists, name, &reach)) {
                    let manifest = Arc::new(allowed(kept, &server.config));
                    state.manifest = Some(Arc::clone(&manifest));
                    return Ok(manifest);
                }
            }
            self.live(name).await.map(|(_, manifest)| manifest)
        })
    }

    fn call<'a>(
        &'a self,
        name: &'a str,
        tool: &'a str,
        arguments: Map<String, Value>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move {
            let (link, _) = self.live(name).await?;
            let (house, begun) = (&self.house, Instant::now());
            let params = message::call(tool, arguments);
            let answer = link.ask("tools/call", &params, house.times.call).await;
            let answer = answer.map_err(|trouble| house.failure(name, tool, house.times.call, trouble))?;
            if !answer.is_object() {
                return Err(Failure::Unusable {
                    server: name.to_owned(),
                    what: tool.to_owned(),
                    why: "it is no result of a tool".to_owned(),
                });
            }
            let structured = Some(answer["structuredContent"].clone()).filter(|value| !value.is_null());
            let mut text = message::text_of(&answer["content"]);
            if let (true, Some(document)) = (text.is_empty(), &structured) {
                text = document.to_string();
            }
            Ok(ToolAnswer {
                text,
                structured,
                is_error: answer["isError"].as_bool() == Some(true),
                took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            })
        })
    }

    fn carry<'a>(&'a self, until: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut begun = self.carried.lock().await;
            let mut talks = FuturesUnordered::new();
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    Some(talk) = begun.recv() => talks.push(talk),
                    Some(()) = talks.next() => {}
                }
            }
            begun.close();
            while begun.try_recv().is_ok() {}
            // Dropping our ends closes each server's stdin; each then has its grace.
            for server in self.house.each.values() {
                // Whoever holds it is about to start one, which nobody carries on.
                if let Ok(mut state) = server.state.try_lock() {
                    *state = State::default();
                }
            }
            let _ = tokio::time::timeout(GRACE * 3, async { while talks.next().await.is_some() {} }).await;
        })
    }
}
