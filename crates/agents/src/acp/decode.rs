//! What an agent says, line by line, turned into core's events, and the end of a turn, classified.
//!
//! Pure. One [`Decoder`] follows one session in one process over its turns. It is told what was asked
//! ([`Decoder::sent`]), because an answer says only its number. What another session tells is a child's. The history that
//! is said again while a session is loaded is no news and only a sign of life.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;

use super::ask::Ask;
use super::failure;
use super::meter::{self, Meter, Work};
use super::recipe::Covers;
use super::running::{NOTICE_MAX, Running, Update, plan};
use super::tools::CallLine;
use crate::decode::jsonl::Field;
use crate::decode::{NAMED_MAX, Turn, cut, raw};

/// What a line means for whoever carries the conversation.
#[derive(Clone, PartialEq, Debug)]
pub enum Signal {
    /// Nothing beyond its events.
    Quiet,
    /// A request for permission waits for an answer; it was also told as an event.
    Asked {
        /// Its id, as the agent wrote it (JSON).
        request: String,
    },
    /// A request that is not served. It must be answered with an error at once.
    Unknown {
        /// Its id, as the agent wrote it (JSON).
        request: String,
        /// What it asked for.
        what: String,
    },
    /// A request of ours was answered.
    Done(Request),
    /// A request of ours was refused.
    Failed(Request, Outcome, String),
    /// The turn is over. The process lives on.
    TurnEnded(Box<Turn>),
}

/// A request of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The first.
    Initialize,
    /// A session that is to be new.
    New,
    /// A session that is to be gone on with; its history may be said again.
    Load,
    /// The model or the mode.
    Setting,
    /// A prompt: the turn lasts until its answer.
    Prompt,
}

/// What an agent said of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// The version of the protocol.
    pub protocol: Option<u64>,
    /// The version of the program.
    pub version: Option<String>,
    /// Whether it resumes a session without saying its history again.
    pub resumes: bool,
    /// Whether it loads a session, saying its history again.
    pub loads: bool,
}

/// The state of one session in one process.
#[derive(Debug)]
pub struct Decoder {
    about: About,
    session: Option<String>,
    /// What the session offers: modes, models, options.
    offers: Value,
    sent: HashMap<u64, Request>,
    asks: HashMap<String, Ask>,
    meter: Meter,
    fails_in_words: bool,
    is_loading: bool,
    /// The end of the turn was asked for.
    is_cancelled: bool,
    turn: Option<Running>,
    unknown: u64,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    method: Field<'a>,
    #[serde(borrow, default)]
    params: Field<'a>,
    #[serde(borrow, default)]
    result: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "sessionId")]
    session: Field<'a>,
    #[serde(borrow, default)]
    update: Field<'a>,
    #[serde(borrow, default, rename = "toolCall")]
    tool_call: Field<'a>,
    #[serde(borrow, default)]
    options: Field<'a>,
    #[serde(borrow, default, rename = "requestId")]
    request: Field<'a>,
}

#[derive(Deserialize)]
struct Stopped<'a> {
    #[serde(borrow, default, rename = "stopReason")]
    reason: Field<'a>,
    #[serde(borrow, default)]
    usage: Field<'a>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Field<'a>,
}

impl Decoder {
    /// A decoder for a session: a known one that is gone on with, or a new one.
    pub fn new(session: Option<String>, covers: Covers) -> Decoder {
        Decoder {
            fails_in_words: false,
            meter: Meter::new(covers, session.is_some()),
            session,
            about: About::default(),
            offers: Value::Null,
            sent: HashMap::new(),
            asks: HashMap::new(),
            is_loading: false,
            is_cancelled: false,
            turn: None,
            unknown: 0,
        }
    }

    /// The same for an agent that says its failures as a part of its answer ([`super::Quirks::fails_in_words`]).
    #[must_use]
    pub fn failing_in_words(mut self, fails_in_words: bool) -> Decoder {
        self.fails_in_words = fails_in_words;
        self
    }

    /// A request of ours goes out under that number.
    pub fn sent(&mut self, id: u64, request: Request) {
        self.is_loading |= request == Request::Load;
        self.sent.insert(id, request);
    }

    /// A prompt goes out under that number: a turn begins.
    pub fn prompt(&mut self, id: u64, bytes: usize) {
        self.sent(id, Request::Prompt);
        self.meter.turn();
        self.is_cancelled = false;
        self.turn = Some(Running {
            prompt_bytes: bytes,
            fails_in_words: self.fails_in_words,
            ..Running::default()
        });
    }

    /// The end of the running turn goes out: what comes is what was ordered.
    pub fn cancelled(&mut self) {
        self.is_cancelled = true;
    }

    /// What the agent said of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The session, as soon as it is known.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What the session offers, as the agent wrote it.
    pub fn offers(&self) -> &Value {
        &self.offers
    }

    /// Whether a turn runs.
    pub fn is_in_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// How often a failed request was announced to be tried again since anything came of one, and why.
    pub fn retrying(&self) -> (u32, Option<&(Outcome, String)>) {
        let trouble = self.turn.as_ref().map(|turn| &turn.trouble);
        trouble.map_or((0, None), |trouble| (trouble.retries, trouble.retried.as_ref()))
    }

    /// Lines that nobody understood.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Takes an open request out, to answer it.
    pub fn take_ask(&mut self, request: &str) -> Option<Ask> {
        self.asks.remove(request)
    }

    /// The ids of all open requests.
    pub fn open_asks(&self) -> Vec<String> {
        self.asks.keys().cloned().collect()
    }

    /// What was asked for was not allowed.
    pub fn denied(&mut self, ask: &Ask, events: &mut Vec<AgentEvent>) {
        if let Some(turn) = &mut self.turn {
            turn.tools.deny(&ask.call, &ask.tool, &ask.detail, events);
        }
    }

    /// The process is gone and no end came. The class is the caller's.
    pub fn unfinished(&mut self, outcome: Outcome, detail: String) -> Turn {
        let running = self.turn.take().unwrap_or_default();
        let none = Field::default();
        self.turn_of(running, outcome, detail, none, none)
    }

    /// Takes one line. Each line is at least a sign of life.
    pub fn line(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let before = events.len();
        let signal = self.any_line(line, events);
        if events.len() == before {
            events.push(AgentEvent::Alive);
        }
        signal
    }

    fn any_line(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else {
            return self.not_understood(line, events);
        };
        match (message.method.text(), message.id.json()) {
            (Some(method), Some(id)) => self.request(&method, id, message.params, events),
            (Some(method), None) => self.notification(&method, message.params, line, events),
            (None, Some(id)) => self.answer(id, &message, line, events),
            (None, None) => self.not_understood(line, events),
        }
    }

    /// Takes what is left of a line that was too long. A request is answered even so, and a turn ends even so.
    pub fn over_long(&mut self, head: &[u8], tail: &[u8], bytes: u64, events: &mut Vec<AgentEvent>) -> Signal {
        let words = format!("a line of {bytes} bytes was too long and is not shown");
        events.push(AgentEvent::Notice(words));
        let has = |needle: &[u8]| memchr::memmem::find(head, needle).is_some();
        let Some(id) = id_in(head).or_else(|| id_in(tail)) else {
            return Signal::Quiet;
        };
        if has(b"\"method\"") {
            return Signal::Unknown {
                request: id,
                what: "a request that is too long".to_owned(),
            };
        }
        let Some(request) = id.parse().ok().and_then(|id: u64| self.sent.remove(&id)) else {
            return Signal::Quiet;
        };
        let (outcome, detail) = (Outcome::Malformed, "the answer of the agent was too long to be read");
        match request {
            Request::Prompt => self.end_turn(outcome, detail.to_owned(), events),
            _ => Signal::Failed(request, outcome, detail.to_owned()),
        }
    }

    fn not_understood(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        self.unknown += 1;
        events.push(raw(line));
        Signal::Quiet
    }

    fn request(&mut self, method: &str, id: &str, params: Field<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let refused = || Signal::Unknown {
            request: id.to_owned(),
            what: cut(method, NOTICE_MAX),
        };
        if method != "session/request_permission" || self.asks.len() >= NAMED_MAX {
            return refused();
        }
        let Some(params) = params.read::<Params<'_>>() else {
            return refused();
        };
        let Some(call) = params.tool_call.read::<CallLine<'_>>() else {
            return refused();
        };
        let turn = self.turn.get_or_insert_default();
        turn.is_interrupted_by_tool = true;
        let (call, tool, detail) = turn.tools.describe(&call);
        events.push(AgentEvent::Permission {
            request: id.to_owned(),
            tool: tool.clone(),
            detail: detail.clone(),
        });
        self.asks
            .insert(id.to_owned(), Ask::new(call, tool, detail, params.options));
        Signal::Asked { request: id.to_owned() }
    }

    fn notification(&mut self, method: &str, params: Field<'_>, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let params = params.read::<Params<'_>>();
        match (method, params) {
            ("session/update", Some(params)) => {
                let Some(update) = params.update.read::<Update<'_>>() else {
                    return self.not_understood(line, events);
                };
                if self.is_of_another(params.session) {
                    events.push(of_a_child(params.session, &update));
                } else if !self.update(&update, params.update, events) {
                    return self.not_understood(line, events);
                }
            }
            // The agent takes a request back; an answer would come too late.
            ("$/cancel_request", Some(params)) => {
                if let Some(id) = params.request.json()
                    && self.asks.remove(id).is_some()
                {
                    let words = format!("the agent took request {id} back");
                    events.push(AgentEvent::Notice(words));
                }
            }
            // Which login it uses.
            ("_auth/status_update", _) => {}
            // What Qwen tells its own clients beside the protocol.
            (name, _) if name.starts_with("qwen/notify/") => {}
            _ => return self.not_understood(line, events),
        }
        Signal::Quiet
    }

    fn is_of_another(&self, session: Field<'_>) -> bool {
        let own = self.session.as_deref();
        session
            .text()
            .is_some_and(|session| own.is_some_and(|own| own != session))
    }

    /// False when the kind of update is unknown.
    fn update(&mut self, update: &Update<'_>, whole: Field<'_>, events: &mut Vec<AgentEvent>) -> bool {
        let kind = update.kind.text().unwrap_or_default();
        if kind == "usage_update" {
            self.meter.money(update.cost, self.turn.is_some());
            return true;
        }
        if kind == "agent_message_chunk" && self.turn.is_some() && !self.is_loading {
            self.meter.call(update.meta);
        }
        // What is said between turns belongs to none: it is history, or the end of what was cancelled.
        let mut between = Running::default();
        let is_told = !self.is_loading && self.turn.is_some();
        let turn = self.turn.as_mut().unwrap_or(&mut between);
        let mut told = Vec::new();
        let is_known = match kind.as_ref() {
            "agent_message_chunk" => turn.message(update, &mut told),
            "agent_thought_chunk" => turn.thought(update, &mut told),
            "tool_call" | "tool_call_update" => {
                turn.worked();
                match whole.read::<CallLine<'_>>() {
                    Some(call) => turn.tools.take(&call, &mut told),
                    None => return false,
                }
                true
            }
            "plan" => {
                told.push(AgentEvent::Plan(plan(update.entries)));
                true
            }
            "current_mode_update" => {
                let mode = update.mode.text().unwrap_or_default();
                told.push(AgentEvent::Notice(format!("the agent's mode is now {mode}")));
                true
            }
            "session_info_update" => {
                if update.meta.is_some() {
                    turn.info(update.meta, &mut told);
                }
                true
            }
            "user_message_chunk" | "available_commands_update" | "config_option_update" => true,
            _ => false,
        };
        if is_told {
            events.append(&mut told);
        }
        is_known
    }

    fn answer(&mut self, id: &str, message: &Message<'_>, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let id = id.trim_matches('"').parse().ok();
        let Some(request) = id.and_then(|id: u64| self.sent.remove(&id)) else {
            return self.not_understood(line, events);
        };
        if request == Request::Load {
            self.is_loading = false;
        }
        if let Some(error) = message.error.read::<Value>() {
            return self.refused(request, &error, events);
        }
        match request {
            Request::Initialize => self.about = about(&message.result.read().unwrap_or_default()),
            Request::New | Request::Load => self.opened(message.result.read().unwrap_or_default(), events),
            Request::Setting => {}
            Request::Prompt => return self.stopped(message.result, events),
        }
        Signal::Done(request)
    }

    fn refused(&mut self, request: Request, error: &Value, events: &mut Vec<AgentEvent>) -> Signal {
        let (outcome, detail) = failure::of_error(error);
        match request {
            Request::Prompt => {
                if let Some(turn) = &mut self.turn {
                    turn.forget_repeated(&error["message"]);
                }
                self.end_turn(outcome, detail, events)
            }
            _ => Signal::Failed(request, outcome, detail),
        }
    }

    fn opened(&mut self, result: Value, events: &mut Vec<AgentEvent>) {
        if let Some(id) = result["sessionId"].as_str() {
            self.session = Some(id.to_owned());
        }
        self.offers = result;
        events.push(AgentEvent::Started {
            session: self.session.clone(),
            process: None,
        });
    }

    fn stopped(&mut self, result: Field<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let mut running = self.turn.take().unwrap_or_default();
        let Some(stopped) = result.read::<Stopped<'_>>() else {
            let detail = "the agent ended its turn without saying how";
            self.turn = Some(running);
            return self.end_turn(Outcome::Malformed, detail.to_owned(), events);
        };
        let reason = stopped.reason.text().unwrap_or_default();
        let (outcome, detail) = match reason.as_ref() {
            "end_turn" if running.trouble.has_failed && !stopped.usage.is_some() => running.trouble.class(),
            "end_turn" if running.failure.is_some() => failure::of_words(&running.take_failure()),
            "end_turn" if running.text.is_empty() && running.tools.came_back == 0 => {
                let why = running.denied();
                let said = "the agent ended its turn and said nothing";
                let detail = if why.is_empty() {
                    said.to_owned()
                } else {
                    format!("{why}, and {said}")
                };
                (Outcome::Empty, detail)
            }
            "end_turn" => (Outcome::Succeeded, running.denied()),
            // The Codex adapter ends its turn with a refusal, and says of that what it says of an interrupt.
            "cancelled" if !self.is_cancelled && !running.tools.denials.is_empty() => {
                let detail = format!("{}, and the agent ended its turn at that", running.denied());
                (Outcome::Empty, detail)
            }
            "cancelled" => (Outcome::Cancelled, "the turn was interrupted".to_owned()),
            "refusal" => (Outcome::Refused, "the model declined".to_owned()),
            "max_tokens" => (Outcome::Truncated, "the answer reached the output limit".to_owned()),
            "max_turn_requests" => (
                Outcome::Truncated,
                "the agent reached its own limit of requests in a turn".to_owned(),
            ),
            other => {
                let other = cut(other, NOTICE_MAX);
                let detail = format!("the turn ended for a reason that this version does not know: {other}");
                (Outcome::Truncated, detail)
            }
        };
        let turn = self.turn_of(running, outcome, detail, stopped.usage, stopped.meta);
        events.push(AgentEvent::Usage(turn.usage));
        Signal::TurnEnded(Box::new(turn))
    }

    fn end_turn(&mut self, outcome: Outcome, detail: String, events: &mut Vec<AgentEvent>) -> Signal {
        let turn = self.unfinished(outcome, detail);
        events.push(AgentEvent::Usage(turn.usage));
        Signal::TurnEnded(Box::new(turn))
    }

    fn turn_of(
        &mut self,
        running: Running,
        outcome: Outcome,
        detail: String,
        usage: Field<'_>,
        meta: Field<'_>,
    ) -> Turn {
        self.asks.clear();
        let is_success = outcome.is_success();
        let is_interrupted = outcome == Outcome::Cancelled;
        let work = Work {
            prompt_bytes: running.prompt_bytes,
            said_bytes: running.said_bytes,
            had_tools: running.tools.begun > 0,
            // What broke off was billed.
            refused: !is_success && !is_interrupted && outcome != Outcome::Truncated,
        };
        let (usage, cost) = self.meter.ended(usage, meta, work);
        Turn {
            outcome,
            detail,
            text: running.text,
            usage,
            cost,
            session: self.session.clone(),
            denials: running.tools.denials,
            files: running.tools.files,
            model: meter::model(meta),
            version: self.about.version.clone(),
            interrupted: is_interrupted,
        }
    }
}

fn of_a_child(session: Field<'_>, update: &Update<'_>) -> AgentEvent {
    AgentEvent::Child {
        id: session.string().unwrap_or_default(),
        detail: update.kind.string().unwrap_or_default(),
    }
}

fn about(result: &Value) -> About {
    let capabilities = &result["agentCapabilities"];
    About {
        protocol: result["protocolVersion"].as_u64(),
        version: result["agentInfo"]["version"].as_str().map(str::to_owned),
        resumes: capabilities["sessionCapabilities"]["resume"].is_object(),
        loads: capabilities["loadSession"].as_bool().unwrap_or(false),
    }
}

/// The id in a part of a message: a number or a string, as JSON.
fn id_in(part: &[u8]) -> Option<String> {
    /// Ids stand at the beginning or at the end of a message; further in they are somebody else's.
    const NEAR: usize = 200;
    let near = [&part[..part.len().min(NEAR)], &part[part.len().saturating_sub(NEAR)..]];
    near.into_iter().find_map(|part| {
        let at = memchr::memmem::find(part, b"\"id\":")?;
        let rest = String::from_utf8_lossy(&part[at + 5..]);
        let rest = rest.trim_start();
        let end = match rest.strip_prefix('"') {
            Some(inner) => inner.find('"')? + 2,
            None => rest.find(|c: char| !c.is_ascii_digit())?,
        };
        (end > 0).then(|| rest[..end].to_owned())
    })
}
