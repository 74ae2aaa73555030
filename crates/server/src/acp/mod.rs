//! ACP, the Agent Client Protocol (version 1), served: an editor opens Wheelhouse as one agent.
//!
//! A session is an instance. A prompt is a message to it, and what it does meanwhile is told from the same history that
//! `wheelhouse output` reads; its questions are asked through the editor. Nothing that matters is held here: a session is
//! opened again by its name after this process is gone, and what was under way went on.
//!
//! One loop, and everything in it is done before the next thing is heard. Not here: where lines come from and go to, how
//! an engine is started and how an agent is chosen; the command line knows that ([`Ports`]).

mod list;
mod message;
mod session;
mod tell;
mod words;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wheelhouse_core::ids::QuestionId;
use wheelhouse_core::store::{Reader, Store};
use wheelhouse_engine::nudge::{self, Subscription};

use self::message::{Message, Refusal};
use self::session::Session;
use crate::desk::off_thread;
use crate::face::failure::Failure;
use crate::face::spawn::{self, Defaults, Wish};
use crate::face::verb::{self, Truth};

/// The version of the protocol that is spoken.
pub const PROTOCOL_VERSION: u64 = 1;
/// How often the store is looked at while a prompt is under way, hints or not.
const POLL: Duration = Duration::from_millis(250);
/// How many sessions one editor may have open; what it opens beyond is refused.
const SESSIONS_MAX: usize = 256;
/// How the names of new sessions begin.
const OURS: &str = "editor-";
/// What can be asked for.
const METHODS: &[&str] = &[
    "initialize",
    "session/new",
    "session/list",
    "session/load",
    "session/resume",
    "session/prompt",
    "session/cancel",
    "session/close",
];

/// Who is to do a prompt that names nobody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// The agent.
    pub agent: String,
    /// Its model.
    pub model: Option<String>,
    /// Why, in a sentence.
    pub why: String,
}

/// Chooses an agent by the first words; none when the defaults say who it is.
pub type Choose = Box<dyn Fn(&str) -> Result<Option<Chosen>, Failure>>;
/// Sees to it that an engine works on the store; may take seconds.
pub type StartEngine = Arc<dyn Fn() -> Result<(), Failure> + Send + Sync>;

/// What the face works with.
pub struct Ports {
    /// For changes.
    pub store: Box<dyn Store>,
    /// For questions.
    pub reader: Box<dyn Reader>,
    /// Where the engine is heard.
    pub state_dir: PathBuf,
    /// Where sessions must be.
    pub project: PathBuf,
    /// What a new instance has that nobody says otherwise.
    pub defaults: Defaults,
    /// The agent of new sessions, when one was named.
    pub agent: Option<String>,
    /// Who does it when none was.
    pub choose: Choose,
    /// For an engine.
    pub engine: StartEngine,
    /// Makes the names of this process's sessions unlike those of any other.
    pub seed: u64,
}

/// Serves until there are no more lines. `out` takes whole lines; when it fails, that is the end.
pub async fn serve(
    ports: Ports,
    mut lines: mpsc::Receiver<String>,
    mut out: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut face = Face::new(ports);
    let mut starting = FuturesUnordered::new();
    let mut ear: Option<Subscription> = None;
    loop {
        face.look_around();
        if std::mem::take(&mut face.wants_engine) {
            let engine = Arc::clone(&face.ports.engine);
            starting.push(off_thread(move || engine()));
        }
        for message in face.outbox.drain(..) {
            out(&format!("{message}\n"))?;
        }
        let is_waiting = face.is_waiting();
        if is_waiting && ear.is_none() && starting.is_empty() {
            ear = nudge::subscribe(&face.ports.state_dir).await;
            if ear.is_none() && face.miss_engine() {
                continue;
            }
        }
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => face.hear(&line),
                None => return Ok(()),
            },
            Some(started) = starting.next() => face.started(started),
            heard = hear(&mut ear), if is_waiting => if !heard { ear = None },
            () = tokio::time::sleep(POLL), if is_waiting => {}
        }
    }
}

async fn hear(ear: &mut Option<Subscription>) -> bool {
    match ear {
        Some(ear) => ear.changed().await,
        None => std::future::pending().await,
    }
}

#[derive(Deserialize)]
struct Initialize {
    #[serde(rename = "protocolVersion")]
    _version: u64,
}

#[derive(Deserialize)]
struct New {
    cwd: String,
    #[serde(rename = "mcpServers", default)]
    servers: Vec<Value>,
}

#[derive(Deserialize)]
struct Load {
    #[serde(rename = "sessionId")]
    session: String,
    #[serde(default)]
    cwd: String,
    #[serde(rename = "mcpServers", default)]
    servers: Vec<Value>,
}

#[derive(Deserialize)]
struct Cancel {
    #[serde(rename = "sessionId")]
    session: String,
}

#[derive(Deserialize)]
struct Prompt {
    #[serde(rename = "sessionId")]
    session: String,
    prompt: Vec<Value>,
}

#[derive(Deserialize)]
struct CancelRequest {
    #[serde(rename = "requestId")]
    request: Value,
}

/// What an editor that opens an earlier session is told of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replay {
    /// Everything that was said.
    Whole,
    /// It knows already.
    Nothing,
}

/// Everything between an editor and the store.
struct Face {
    ports: Ports,
    sessions: BTreeMap<String, Session>,
    /// Questions that the editor was asked, by the request.
    asks: BTreeMap<u64, (String, QuestionId)>,
    /// Counts requests to the editor.
    requests: u64,
    /// Counts new sessions.
    made: u64,
    /// What the editor is to be told.
    outbox: Vec<Value>,
    /// Something was changed that an engine must see.
    wants_engine: bool,
}

impl Face {
    fn new(ports: Ports) -> Face {
        Face {
            ports,
            sessions: BTreeMap::new(),
            asks: BTreeMap::new(),
            requests: 0,
            made: 0,
            outbox: Vec::new(),
            wants_engine: false,
        }
    }

    /// Whether a prompt is under way.
    fn is_waiting(&self) -> bool {
        self.sessions.values().any(Session::is_prompted)
    }

    /// One line of the editor.
    fn hear(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        match message::read(line) {
            Err(answer) => self.outbox.push(answer),
            Ok(Message::Request { id, method, params }) => match self.request(&id, &method, params) {
                Ok(Some(result)) => self.outbox.push(message::result(&id, &result)),
                // It is answered when its turn is over.
                Ok(None) => {}
                Err(refusal) => self.outbox.push(refusal.answer(&id)),
            },
            Ok(Message::Notification { method, params }) => self.notification(&method, params),
            Ok(Message::Answer { id, result }) => self.answered(&id, &result),
        }
    }

    fn request(&mut self, id: &Value, method: &str, params: Value) -> Result<Option<Value>, Refusal> {
        match method {
            "initialize" => {
                message::params::<Initialize>(method, params)?;
                Ok(Some(about()))
            }
            "session/new" => self.make(message::params(method, params)?).map(Some),
            "session/list" => {
                let Ports { reader, project, .. } = &mut self.ports;
                Ok(Some(list::sessions(
                    reader.as_mut(),
                    project,
                    &message::params(method, params)?,
                )?))
            }
            "session/load" => self.load(message::params(method, params)?, Replay::Whole).map(Some),
            "session/resume" => self.load(message::params(method, params)?, Replay::Nothing).map(Some),
            "session/close" => self.close(message::params(method, params)?).map(Some),
            "session/prompt" => self.prompt(id, message::params(method, params)?).map(|()| None),
            other => Err(Refusal::method(other, METHODS)),
        }
    }

    /// A notification cannot be answered; one that means nothing here is passed over, as the protocol wants it.
    fn notification(&mut self, method: &str, params: Value) {
        let name = match method {
            "session/cancel" => message::params::<Cancel>(method, params)
                .ok()
                .map(|cancel| cancel.session),
            "$/cancel_request" => message::params::<CancelRequest>(method, params)
                .ok()
                .and_then(|cancel| {
                    let mut sessions = self.sessions.values();
                    let prompted = sessions.find(|session| session.request() == Some(&cancel.request));
                    prompted.map(|session| session.name.clone())
                }),
            _ => None,
        };
        if let Some(mut session) = name.and_then(|name| self.sessions.remove(&name)) {
            match session.cancel(&mut truth(&mut self.ports)) {
                Ok(()) => self.wants_engine |= session.has_begun(),
                Err(failure) => self.outbox.extend(session.end(Err(failure.into()))),
            }
            self.sessions.insert(session.name.clone(), session);
        }
    }

    /// A session of which there is no instance before its first prompt says who should do it.
    fn make(&mut self, new: New) -> Result<Value, Refusal> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Refusal::now(format!(
                "{SESSIONS_MAX} sessions are open; start another `wheelhouse acp`"
            )));
        }
        self.made += 1;
        let name = format!("{OURS}{:08x}-{}", self.ports.seed & 0xffff_ffff, self.made);
        self.fresh(name.clone(), &new)?;
        Ok(json!({ "sessionId": name }))
    }

    /// Opens a session in which nothing was said yet. What would be refused with its first prompt is refused at once.
    fn fresh(&mut self, name: String, new: &New) -> Result<(), Refusal> {
        let wish = Wish {
            name: name.clone(),
            agent: self.ports.agent.clone(),
            cwd: inside(&self.ports.project, &new.cwd)?,
            mcp_servers: words::of_servers(&new.servers)?,
            ..Wish::default()
        };
        let policy = self.ports.reader.crew_policy().map_err(Failure::from)?;
        spawn::spec(wish.clone(), &policy, &self.ports.defaults)?;
        self.sessions.insert(name, Session::new(wish));
        Ok(())
    }

    fn load(&mut self, load: Load, replay: Replay) -> Result<Value, Refusal> {
        if self.sessions.get(&load.session).is_some_and(Session::is_prompted) {
            return Err(Refusal::now(format!(
                "a prompt of `{}` is under way; session/cancel stops it",
                load.session
            )));
        }
        match Session::load(self.ports.reader.as_mut(), &load.session) {
            Ok((session, told)) => {
                if replay == Replay::Whole {
                    self.outbox.extend(told);
                }
                self.sessions.insert(load.session, session);
            }
            // Editors make a session in one process and open it in another before anything was said: nothing is kept of
            // such a one, and nothing need be.
            Err(refusal)
                if refusal.is_not_found()
                    && is_ours(&load.session)
                    && !list::has_been(self.ports.reader.as_mut(), &load.session)? =>
            {
                let (cwd, servers) = (load.cwd, load.servers);
                self.fresh(load.session, &New { cwd, servers })?;
            }
            Err(refusal) => return Err(refusal),
        }
        Ok(json!({}))
    }

    /// The editor is done with a session: what is under way in it stops; its instance stays.
    fn close(&mut self, close: Cancel) -> Result<Value, Refusal> {
        let Some(mut session) = self.sessions.remove(&close.session) else {
            return Err(no_session(&close.session));
        };
        self.asks.retain(|_, (name, _)| *name != close.session);
        if session.is_prompted() {
            session.cancel(&mut truth(&mut self.ports))?;
            self.wants_engine = true;
            self.outbox
                .extend(session.end(Ok(json!({ "stopReason": "cancelled" }))));
        }
        Ok(json!({}))
    }

    fn prompt(&mut self, id: &Value, prompt: Prompt) -> Result<(), Refusal> {
        let words = words::of_prompt(&prompt.prompt)?;
        let Some(mut session) = self.sessions.remove(&prompt.session) else {
            return Err(no_session(&prompt.session));
        };
        let begun = session.begin(&mut self.ports, id, &words);
        self.sessions.insert(prompt.session, session);
        self.outbox.extend(begun?);
        self.wants_engine = true;
        Ok(())
    }

    /// What has happened since: told, asked, and the prompts answered whose turns are over.
    fn look_around(&mut self) {
        let prompted = self.sessions.values().filter(|session| session.is_prompted());
        let names: Vec<String> = prompted.map(|session| session.name.clone()).collect();
        for name in names {
            let Some(mut session) = self.sessions.remove(&name) else {
                continue;
            };
            if let Err(failure) = self.look(&mut session) {
                self.outbox.extend(session.end(Err(failure.into())));
            }
            self.sessions.insert(name, session);
        }
    }

    fn look(&mut self, session: &mut Session) -> Result<(), Failure> {
        let reader = self.ports.reader.as_mut();
        let news = session.look(reader)?;
        self.outbox.extend(news.told);
        for question in news.questions {
            self.requests += 1;
            self.asks.insert(self.requests, (session.name.clone(), question.id));
            if let Some(params) = tell::question(&session.name, &question) {
                let request = message::request(self.requests, "session/request_permission", &params);
                self.outbox.push(request);
            }
        }
        // Answered somewhere else: the editor need not ask any more.
        let mut stale = Vec::new();
        for (request, (name, question)) in &self.asks {
            let is_open = |view: wheelhouse_core::store::QuestionView| view.answer.is_none();
            if *name == session.name && !reader.question(*question)?.is_some_and(is_open) {
                stale.push(*request);
            }
        }
        for request in stale {
            self.asks.remove(&request);
            let params = json!({ "requestId": request });
            self.outbox.push(message::notification("$/cancel_request", &params));
        }
        if let Some(end) = news.end {
            self.outbox.extend(session.end(end));
        }
        Ok(())
    }

    /// The editor's user decided, or the editor did not ask.
    fn answered(&mut self, id: &Value, result: &Result<Value, Value>) {
        let Some((name, question)) = id.as_u64().and_then(|id| self.asks.remove(&id)) else {
            return;
        };
        let chosen = match result {
            Ok(result) => result["outcome"]["optionId"]
                .as_str()
                .ok_or("nothing was chosen".to_owned()),
            Err(error) => Err(format!("the editor could not ask: {error}")),
        };
        let failure = match chosen {
            Ok(choice) => match verb::answer(&mut truth(&mut self.ports), &question.to_string(), choice) {
                Ok(_) => {
                    self.wants_engine = true;
                    return;
                }
                Err(failure) => failure.message,
            },
            Err(why) => why,
        };
        if self.sessions.get(&name).is_none_or(Session::is_cancelled) {
            return;
        }
        let words = format!("{question}: {failure}; `wheelhouse answer` lists what is open and how it is answered\n");
        let update = tell::chunk("agent_thought_chunk", &words);
        self.outbox.push(session::update(&name, &update));
    }

    /// What came of a wish for an engine. Without one no prompt is answered.
    fn started(&mut self, started: Result<(), Failure>) {
        let Err(failure) = started else { return };
        let refusal = Refusal::from(failure);
        for session in self.sessions.values_mut() {
            self.outbox.extend(session.end(Err(refusal.clone())));
        }
    }

    /// No engine listens although prompts are under way: another is wished for, unless they wait for a person. True when
    /// something came of that.
    fn miss_engine(&mut self) -> bool {
        let mut acted = false;
        for session in self.sessions.values_mut() {
            match session.miss_engine() {
                session::Missed::Nothing => {}
                session::Missed::Engine => {
                    self.wants_engine = true;
                    acted = true;
                }
                session::Missed::Patience(refusal) => {
                    self.outbox.extend(session.end(Err(refusal)));
                    acted = true;
                }
            }
        }
        acted
    }
}

fn no_session(name: &str) -> Refusal {
    let failure = Failure::new(
        crate::face::exit::NOT_FOUND,
        format!("there is no session `{name}` here"),
    );
    failure
        .hint("session/load opens one of another time, session/new begins one")
        .into()
}

fn truth(ports: &mut Ports) -> Truth<'_> {
    Truth {
        store: ports.store.as_mut(),
        reader: ports.reader.as_mut(),
    }
}

/// Whether that is a name as we make them.
fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix(OURS).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(seed, number)| {
        let is_seed = seed.len() == 8 && seed.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_seed && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What we are and can do.
fn about() -> Value {
    json!({
        "protocolVersion": PROTOCOL_VERSION,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": { "image": false, "audio": false, "embeddedContext": true },
            "mcpCapabilities": { "http": true, "sse": false },
            "sessionCapabilities": { "list": {}, "resume": {}, "close": {} },
        },
        "agentInfo": { "name": "wheelhouse", "title": "Wheelhouse", "version": env!("CARGO_PKG_VERSION") },
        "authMethods": [],
    })
}

/// The directory of a session, when it is not the project itself.
fn inside(project: &Path, cwd: &str) -> Result<Option<String>, Refusal> {
    let wanted = Path::new(cwd);
    if !wanted.is_absolute() {
        return Err(Refusal::params(format!("the cwd `{cwd}` is not absolute")));
    }
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|error| Refusal::params(format!("cannot work in {}: {error}", path.display())))
    };
    let (wanted, project) = (real(wanted)?, real(project)?);
    if wanted == project {
        return Ok(None);
    }
    match wanted.starts_with(&project) && wanted.is_dir() {
        true => Ok(Some(wanted.display().to_string())),
        false => Err(Refusal::params(format!(
            "{} is not a directory of the project {}; `wheelhouse -C {0} acp` works there",
            wanted.display(),
            project.display(),
        ))),
    }
}
