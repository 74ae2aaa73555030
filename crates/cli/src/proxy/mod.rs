//! `wheelhouse mcp`: MCP over stdin and stdout for clients that start their servers, carried to the server of the project.
//!
//! It holds nothing but the client's side of a session. Messages go over as they are: lines on one side, requests of
//! streamable HTTP on the other. When the server goes away, one is started again, and what was under way is sent again
//! under its own key, so that nothing is done twice; the client notices a pause.

mod http;
mod message;

use std::collections::HashMap;
use std::io::BufRead;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use wheelhouse_core::caller::TOKEN_VARIABLE;
use wheelhouse_server::token::Scope;

use crate::app::App;
use crate::args;
use crate::command::access::{self, Who};
use crate::exit;
use crate::faces::{self, Whereabouts};
use crate::failure::{Failure, Outcome};
use crate::host;
use message::Message;

/// How often a message is sent again when the server goes away under it.
const TRIES_MAX: u32 = 5;
/// Between two tries; it grows with each.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two tries to listen for what the server has to say by itself.
const LISTEN_PAUSE: Duration = Duration::from_secs(1);
/// How long what is under way may take after the client closed its side.
const GRACE: Duration = Duration::from_secs(2);
/// How many messages may wait on either side.
const WAITING_MAX: usize = 256;

/// Carries messages until the client closes its side.
pub(crate) fn run(app: &App, args: &args::Mcp) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot wait for messages: {error}")))?;
    let carried = runtime.block_on(carry(app, args));
    runtime.shutdown_background();
    carried
}

/// The client's lines. A thread, because stdin cannot be awaited; it ends with the process.
pub(crate) fn lines() -> mpsc::Receiver<String> {
    let (lines, inbox) = mpsc::channel(WAITING_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let Ok(line) = line else { break };
            // What is no text is no message either, and is answered like one that is none.
            let line = String::from_utf8_lossy(&line).into_owned();
            if lines.blocking_send(line).is_err() {
                break;
            }
        }
    });
    inbox
}

async fn carry(app: &App, args: &args::Mcp) -> Outcome {
    let (outbox, mut written) = mpsc::channel(WAITING_MAX);
    let mut proxy = Proxy {
        line: Line::find(app, args).await?,
        outbox,
        session: Session::default(),
        under_way: HashMap::new(),
        own: host::random(),
        sent: 0,
        greets: false,
    };
    let mut input = lines();
    let mut work = FuturesUnordered::new();
    let mut ears: Option<Pin<Box<dyn Future<Output = ()> + '_>>> = None;
    loop {
        tokio::select! {
            // What a client says after its greeting belongs to the session that the greeting begins.
            line = input.recv(), if !proxy.greets => match line {
                Some(line) => {
                    if let Some(message) = proxy.read(&line).await {
                        proxy.note(&message);
                        work.push(proxy.send(app, message));
                    }
                }
                None => break,
            },
            Some(done) = work.next() => {
                let done: Done = done;
                if proxy.take(done) && ears.is_none() {
                    ears = Some(Box::pin(listen(app, proxy.line.clone(), proxy.session.clone(), proxy.outbox.clone())));
                }
            }
            Some(text) = written.recv() => app.terminal.print(&text)?,
            () = hear(&mut ears) => {}
        }
    }
    // What is under way may still have something to say to a client that only closed its side.
    let deadline = tokio::time::Instant::now() + GRACE;
    while !work.is_empty() {
        tokio::select! {
            done = work.next() => if let Some(done) = done { proxy.take(done); },
            Some(text) = written.recv() => app.terminal.print(&text)?,
            () = tokio::time::sleep_until(deadline) => break,
        }
    }
    while let Ok(text) = written.try_recv() {
        app.terminal.print(&text)?;
    }
    if proxy.session.id.is_some() {
        let _ = tokio::time::timeout(GRACE, http::end(&proxy.line, &proxy.session)).await;
    }
    Ok(exit::OK)
}

async fn hear(ears: &mut Option<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    match ears {
        Some(ears) => ears.await,
        None => std::future::pending().await,
    }
}

/// Where the server is, and what it wants to see.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `http://127.0.0.1:7416`
    base: String,
    /// `/mcp?toolset=lean`
    path: String,
    token: String,
}

impl Line {
    /// The line to the project's server; one is started when none runs.
    async fn find(app: &App, args: &args::Mcp) -> Result<Line, Failure> {
        let place = server(app).await?;
        let toolset = args.toolset.as_deref().map(|set| format!("?toolset={set}"));
        Ok(Line {
            base: place.url,
            path: format!("{}{}", wheelhouse_server::MCP_PATH, toolset.unwrap_or_default()),
            // An agent acts as itself, not as the person whose files it can read.
            token: match (access::who(app), app.env.get(TOKEN_VARIABLE)) {
                (Who::Instance, Some(token)) => token.clone(),
                (Who::Task(_) | Who::Instance, _) => faces::secret(app)?.token(Scope::Read),
                (Who::Person, _) => faces::secret(app)?.token(Scope::Operate),
            },
        })
    }
}

/// The server of the project. Only a person's client starts one: what an agent starts ends with its turn.
async fn server(app: &App) -> Result<Whereabouts, Failure> {
    match access::who(app) {
        Who::Person => faces::ensure(app).await,
        Who::Instance => faces::awaited(app).await,
        Who::Task(_) => faces::present(app).await,
    }
}

/// The client's side of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// What the server calls it; none in the stateless protocol.
    id: Option<String>,
    /// Which protocol was agreed on.
    version: Option<String>,
}

struct Proxy {
    line: Line,
    outbox: mpsc::Sender<String>,
    session: Session,
    /// Requests under way by their id, so that one can be given up.
    under_way: HashMap<String, oneshot::Sender<()>>,
    /// What its keys begin with. Not the process number: another proxy had that before, or has it in another container.
    own: u64,
    /// Counts messages, for their keys.
    sent: u64,
    /// Whether a greeting is under way.
    greets: bool,
}

/// What became of a message.
struct Done {
    key: String,
    /// The session it began.
    session: Option<Session>,
    /// Where the server is now.
    line: Line,
    /// Whether the client said that it is ready.
    begins: bool,
    /// Whether it was a greeting.
    greets: bool,
}

impl Proxy {
    /// A line of the client; one that is no message is answered here.
    async fn read(&self, line: &str) -> Option<Message> {
        if line.trim().is_empty() {
            return None;
        }
        match Message::parse(line) {
            Ok(message) => Some(message),
            Err(error) => {
                let answer = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": error } });
                let _ = self.outbox.send(format!("{answer}\n")).await;
                None
            }
        }
    }

    /// Gives up what a cancellation names: over HTTP the stateless protocol cancels by hanging up.
    fn note(&mut self, message: &Message) {
        if let Some(id) = message.cancels()
            && self.session.id.is_none()
            && let Some(give_up) = self.under_way.remove(&id)
        {
            // It may have ended at this very moment.
            let _ = give_up.send(());
        }
    }

    /// Takes what came of a message; true when the client is ready to be told things.
    fn take(&mut self, done: Done) -> bool {
        self.under_way.remove(&done.key);
        self.line = done.line;
        self.greets &= !done.greets;
        if let Some(session) = done.session {
            self.session = session;
        }
        done.begins && self.session.id.is_some()
    }

    /// Sends a message and brings back what comes of it.
    fn send<'a>(&mut self, app: &'a App, message: Message) -> impl Future<Output = Done> + use<'a> {
        self.sent += 1;
        let once = format!("mcp-{:016x}-{}", self.own, self.sent);
        let key = message.id.as_ref().map(Value::to_string).unwrap_or_default();
        let (give_up, mut given_up) = oneshot::channel();
        if !key.is_empty() && message.method.is_some() {
            self.under_way.insert(key.clone(), give_up);
        }
        let greets = message.method.as_deref() == Some("initialize");
        self.greets |= greets;
        let (line, session, outbox) = (self.line.clone(), self.session.clone(), self.outbox.clone());
        async move {
            let begins = message.method.as_deref() == Some("notifications/initialized");
            let mut line = line;
            let begun = tokio::select! {
                begun = deliver(app, &mut line, &session, &message, &once, &outbox) => begun,
                Ok(()) = &mut given_up => None,
            };
            Done {
                key,
                session: begun,
                line,
                begins,
                greets,
            }
        }
    }
}

/// Sends a message, again when the server goes away under it; gives the session that began with it.
async fn deliver(
    app: &App,
    line: &mut Line,
    session: &Session,
    message: &Message,
    once: &str,
    outbox: &mpsc::Sender<String>,
) -> Option<Session> {
    let mut why = String::new();
    for attempt in 0..TRIES_MAX {
        if attempt > 0 {
            tokio::time::sleep(PAUSE * attempt).await;
            // Where it was there may be another one now, or none.
            match server(app).await {
                Ok(place) => line.base = place.url,
                Err(failure) => {
                    why = failure.message;
                    continue;
                }
            }
        }
        match http::post(line, session, message, once, outbox).await {
            Ok(begun) => return begun,
            Err(error) => why = error,
        }
    }
    if let Some(id) = &message.id {
        let words =
            format!("the Wheelhouse server cannot be reached: {why}; `wheelhouse serve` in the project starts it");
        let answer = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": words } });
        let _ = outbox.send(format!("{answer}\n")).await;
    }
    None
}

/// Brings what the server says by itself, for ever.
async fn listen(app: &App, line: Line, session: Session, outbox: mpsc::Sender<String>) {
    let mut line = line;
    loop {
        // It ends with the server, and is opened again with the next one.
        let _ = http::listen(&line, &session, &outbox).await;
        tokio::time::sleep(LISTEN_PAUSE).await;
        if let Some(place) = faces::whereabouts(&app.place.state_dir) {
            line.base = place.url;
        }
    }
}
