//! The Codex app-server's notifications and requests, decoded.
//!
//! One [`CodexApp`] follows one thread in one process over its turns. Messages have no `jsonrpc` field; requests of the
//! server count from 0 for themselves. What belongs to another thread is a child's and is told as such.

mod ask;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Usage, UsageSource};

pub use ask::Ask;

use super::codex::{Item, Phase, Totals, TurnError, Work, changed_paths, estimate, failed, uncounted};
use super::codex_exec::cost;
use super::jsonl::Field;
use super::{DETAIL_MAX, NAMED_MAX, Signal, Turn, cut, raw};

/// The state of one thread in one app-server process.
#[derive(Debug, Default)]
pub struct CodexApp {
    thread: Option<String>,
    turn: Option<String>,
    model: Option<String>,
    version: Option<String>,
    prompt_bytes: usize,
    work: Work,
    /// Where the thread stood when the running turn began.
    turn_base: Option<Totals>,
    /// Where it stands now.
    totals: Option<Totals>,
    counted: bool,
    error: Option<(Outcome, String)>,
    /// Announced tries since anything came of one, and why.
    retries: u32,
    retried: Option<(Outcome, String)>,
    resets_at: Option<Millis>,
    asks: HashMap<String, Ask>,
    /// Paths of file changes that may be asked about, by item.
    changes: HashMap<String, String>,
    spent: Option<Usage>,
    unknown: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
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
    #[serde(borrow, default, rename = "threadId")]
    thread: Field<'a>,
    #[serde(borrow, default)]
    item: Field<'a>,
    #[serde(borrow, default)]
    delta: Field<'a>,
    #[serde(borrow, default)]
    turn: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
    #[serde(borrow, default, rename = "willRetry")]
    will_retry: Field<'a>,
    #[serde(borrow, default, rename = "tokenUsage")]
    token_usage: Field<'a>,
    #[serde(borrow, default, rename = "rateLimits")]
    rate_limits: Field<'a>,
    #[serde(borrow, default)]
    plan: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
    #[serde(borrow, default)]
    summary: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default, rename = "toModel")]
    to_model: Field<'a>,
}

#[derive(Deserialize)]
struct TurnLine<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
    #[serde(borrow, default)]
    items: Field<'a>,
}

#[derive(Deserialize)]
struct ThreadLine<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default, rename = "cliVersion")]
    version: Field<'a>,
    #[serde(borrow, default)]
    model: Field<'a>,
}

#[derive(Deserialize)]
struct ResultLine<'a> {
    #[serde(borrow, default)]
    thread: Field<'a>,
    #[serde(borrow, default)]
    turn: Field<'a>,
    #[serde(borrow, default)]
    model: Field<'a>,
    #[serde(borrow, default, rename = "userAgent")]
    user_agent: Field<'a>,
}

#[derive(Deserialize)]
struct TokenUsage<'a> {
    #[serde(borrow, default)]
    total: Field<'a>,
    #[serde(borrow, default)]
    last: Field<'a>,
}

impl CodexApp {
    /// A decoder for a thread that stood at `before`: zero for a new one, none when nobody knows.
    pub fn new(before: Option<Totals>, prompt_bytes: usize) -> CodexApp {
        CodexApp {
            totals: before,
            turn_base: before,
            prompt_bytes,
            ..CodexApp::default()
        }
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
        let Ok(parsed) = serde_json::from_slice::<Line<'_>>(line) else {
            return self.not_understood(line, events);
        };
        match (parsed.method.text(), parsed.id.json()) {
            (Some(method), Some(id)) => self.request(&method, id, parsed.params, line, events),
            (Some(method), None) => self.notification(&method, parsed.params, line, events),
            (None, Some(id)) => self.response(id, &parsed, events),
            (None, None) => self.not_understood(line, events),
        }
    }

    /// Takes what is left of a line that was too long. The end of a turn is recognised even so.
    pub fn over_long(&mut self, head: &[u8], tail: &[u8], bytes: u64, events: &mut Vec<AgentEvent>) -> Signal {
        events.push(AgentEvent::Notice(format!(
            "a line of {bytes} bytes was too long and is not shown"
        )));
        let has = |needle: &[u8]| {
            memchr::memmem::find(head, needle)
                .or_else(|| memchr::memmem::find(tail, needle))
                .is_some()
        };
        if !has(br#""method":"turn/completed""#) {
            return Signal::Quiet;
        }
        let (outcome, detail) = if has(br#""status":"completed""#) {
            (Outcome::Succeeded, "")
        } else {
            (Outcome::Malformed, "the last line of the turn could not be read")
        };
        self.end_turn(outcome, detail.to_owned(), false, events)
    }

    /// The thread, as soon as it is known.
    pub fn session(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// The running turn, which steering and interrupting must name.
    pub fn turn(&self) -> Option<&str> {
        self.turn.as_deref()
    }

    /// The version of the server, as soon as it has said it.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Where the thread stands now, for the next turn in it.
    pub fn totals(&self) -> Option<Totals> {
        self.totals
    }

    /// Lines that nobody understood.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// How often the server has announced another try since anything came of one, and what for.
    pub fn retrying(&self) -> (u32, Option<&(Outcome, String)>) {
        (self.retries, self.retried.as_ref())
    }

    /// Another turn begins: how long its prompt is.
    pub fn prompt(&mut self, bytes: usize) {
        self.prompt_bytes = bytes;
    }

    /// The process is gone and no end came. The class is the caller's.
    pub fn unfinished(&mut self, outcome: Outcome, detail: String) -> Turn {
        let (outcome, detail) = match (&outcome, self.error.take()) {
            (Outcome::Crashed, Some(said)) => said,
            _ => (outcome, detail),
        };
        match self.end_turn(outcome, detail, false, &mut Vec::new()) {
            Signal::TurnEnded(turn) => *turn,
            _ => unreachable!("a turn that is ended gives a turn"),
        }
    }

    /// Takes an open request out, to answer it.
    pub fn take_ask(&mut self, request: &str) -> Option<Ask> {
        self.asks.remove(request)
    }

    fn not_understood(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        self.unknown += 1;
        events.push(raw(line));
        Signal::Quiet
    }

    fn response(&mut self, id: &str, parsed: &Line<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        events.push(AgentEvent::Alive);
        if let Some(result) = parsed.result.read::<ResultLine<'_>>() {
            if let Some(thread) = result.thread.read::<ThreadLine<'_>>() {
                self.opened(&thread, events);
                self.model = result.model.string().or_else(|| thread.model.string());
                events.extend(self.model.clone().map(AgentEvent::Model));
            }
            if let Some(turn) = result.turn.read::<TurnLine<'_>>() {
                self.turn = turn.id.string();
            }
            if let Some(agent) = result.user_agent.text() {
                // `name/0.169.0 (…)`
                let version = agent
                    .split_once('/')
                    .and_then(|(_, rest)| rest.split([' ', '(']).next());
                self.version = version.map(str::to_owned);
            }
        }
        Signal::Answered {
            request: id.trim_matches('"').to_owned(),
            error: parsed.error.is_some().then(|| {
                let error = parsed.error.read::<TurnError<'_>>();
                let message = error.and_then(|error| error.message.string());
                cut(&message.unwrap_or_else(|| "refused".to_owned()), 500)
            }),
        }
    }

    fn opened(&mut self, thread: &ThreadLine<'_>, events: &mut Vec<AgentEvent>) {
        let id = thread.id.string();
        if self.thread.is_none() {
            self.thread.clone_from(&id);
            self.version = thread.version.string().or(self.version.take());
            events.push(AgentEvent::Started {
                session: id,
                process: None,
            });
        }
    }

    fn notification(&mut self, method: &str, params: Field<'_>, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Some(params) = params.read::<Params<'_>>() else {
            if is_known_noise(method) {
                events.push(AgentEvent::Alive);
                return Signal::Quiet;
            }
            return self.not_understood(line, events);
        };
        let is_other = params
            .thread
            .text()
            .is_some_and(|thread| self.thread.as_deref().is_some_and(|own| own != thread));
        if is_other {
            return self.of_a_child(method, &params, events);
        }
        match method {
            "item/agentMessage/delta" => {
                let delta = params.delta.text().unwrap_or_default();
                self.retries = 0;
                self.work.told += delta.len();
                self.work.piece(&delta, events);
            }
            "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => {
                let delta = params.delta.text().unwrap_or_default();
                self.work.thought(&delta, events);
            }
            "item/started" => return self.item(&params, Phase::Begun, line, events),
            "item/completed" => return self.item(&params, Phase::Over, line, events),
            "turn/started" => {
                if let Some(turn) = params.turn.read::<TurnLine<'_>>() {
                    self.turn = turn.id.string();
                }
                events.push(AgentEvent::Alive);
            }
            "turn/completed" => return self.completed(params.turn, events),
            "error" => self.error_line(&params, events),
            "thread/tokenUsage/updated" => self.tokens(params.token_usage, events),
            "account/rateLimits/updated" => self.limits(params.rate_limits, events),
            "turn/plan/updated" => events.push(AgentEvent::Plan(plan(params.plan))),
            "warning" | "guardianWarning" => {
                events.push(AgentEvent::Notice(cut(&params.message.text().unwrap_or_default(), 300)));
            }
            "configWarning" | "deprecationNotice" => {
                events.push(AgentEvent::Notice(cut(&params.summary.text().unwrap_or_default(), 300)));
            }
            "model/rerouted" => {
                self.model = params.to_model.string();
                events.push(AgentEvent::Notice(format!(
                    "the provider answers with {} instead",
                    params.to_model.text().unwrap_or_default()
                )));
            }
            "mcpServer/startupStatus/updated" if params.status.is("failed") || params.status.is("cancelled") => {
                events.push(AgentEvent::Notice(format!(
                    "MCP server {} is {}",
                    params.name.text().unwrap_or_default(),
                    params.status.text().unwrap_or_default()
                )));
            }
            "thread/compacted" => events.push(AgentEvent::Notice("the agent compacted its context".to_owned())),
            "serverRequest/resolved" => events.push(AgentEvent::Alive),
            method if is_known_noise(method) => events.push(AgentEvent::Alive),
            _ => return self.not_understood(line, events),
        }
        Signal::Quiet
    }

    fn of_a_child(&self, method: &str, params: &Params<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let told = match method {
            "turn/started" => Some("started a turn"),
            "turn/completed" => Some("ended a turn"),
            _ => None,
        };
        events.push(match told {
            Some(detail) => AgentEvent::Child {
                id: params.thread.string().unwrap_or_default(),
                detail: detail.to_owned(),
            },
            None => AgentEvent::Alive,
        });
        Signal::Quiet
    }

    fn item(&mut self, params: &Params<'_>, phase: Phase, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Some(item) = params.item.read::<Item<'_>>() else {
            return self.not_understood(line, events);
        };
        if phase == Phase::Over {
            self.retries = 0;
        }
        if item.kind.is("fileChange") {
            let id = item.id.string().unwrap_or_default();
            match phase {
                Phase::Begun if self.changes.len() < NAMED_MAX => {
                    self.changes
                        .insert(id, cut(&changed_paths(item.changes).join(", "), DETAIL_MAX));
                }
                Phase::Begun => {}
                Phase::Over => drop(self.changes.remove(&id)),
            }
        }
        if self.work.item(&item, phase, events) {
            Signal::Quiet
        } else {
            self.not_understood(line, events)
        }
    }

    fn error_line(&mut self, params: &Params<'_>, events: &mut Vec<AgentEvent>) {
        let Some(error) = params.error.read::<TurnError<'_>>() else {
            events.push(AgentEvent::Notice("the vendor's program met an error".to_owned()));
            return;
        };
        let (outcome, message) = failed(&error, self.resets_at);
        if params.will_retry.truth() {
            self.retries += 1;
            self.retried = Some((outcome.clone(), message.clone()));
            let announced = error.message.text().unwrap_or_default();
            events.push(AgentEvent::Notice(format!(
                "the vendor's program tries again: {announced} {message}"
            )));
            if matches!(outcome, Outcome::RateLimited { .. }) {
                events.push(AgentEvent::Limit {
                    what: "requests to the model".to_owned(),
                    resets_at: None,
                });
            }
            return;
        }
        events.push(AgentEvent::Notice(message.clone()));
        self.error = Some((outcome, message));
    }

    fn tokens(&mut self, usage: Field<'_>, events: &mut Vec<AgentEvent>) {
        let usage = usage.read::<TokenUsage<'_>>();
        let Some((total, last)) = usage.and_then(|usage| Some((Totals::read(usage.total)?, Totals::read(usage.last)?)))
        else {
            events.push(AgentEvent::Alive);
            return;
        };
        if self.turn.is_none() {
            // Told right after a resume: where the thread stands.
            self.totals = Some(total);
            self.turn_base = Some(total);
            events.push(AgentEvent::Alive);
            return;
        }
        // After an interrupt the last numbers are told once more; they are not this turn's.
        if self.totals == Some(total) {
            events.push(AgentEvent::Alive);
            return;
        }
        let base = *self.turn_base.get_or_insert_with(|| total.since(last));
        self.totals = Some(total);
        self.counted = true;
        let turn = total.since(base).usage();
        events.push(AgentEvent::Usage(self.spent.map_or(turn, |spent| spent.plus(turn))));
    }

    fn limits(&mut self, limits: Field<'_>, events: &mut Vec<AgentEvent>) {
        let limits: Value = limits.read().unwrap_or_default();
        let mut told = false;
        for window in ["primary", "secondary"] {
            let window = &limits[window];
            let used = window["usedPercent"].as_u64().unwrap_or(0);
            let resets_at = window["resetsAt"]
                .as_u64()
                .map(|seconds| Millis(seconds.saturating_mul(1_000)));
            if used < LIMIT_IN_SIGHT_PERCENT {
                continue;
            }
            if used >= 100 {
                self.resets_at = self.resets_at.max(resets_at);
            }
            told = true;
            events.push(AgentEvent::Limit {
                what: format!("{used} % of the {} minutes' allowance", window["windowDurationMins"]),
                resets_at,
            });
        }
        if !told {
            events.push(AgentEvent::Alive);
        }
    }

    fn completed(&mut self, turn: Field<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let Some(turn) = turn.read::<TurnLine<'_>>() else {
            let detail = "the last line of the turn could not be read".to_owned();
            return self.end_turn(Outcome::Malformed, detail, false, events);
        };
        let last = turn.items.items().into_iter().rev().filter_map(Field::read::<Item<'_>>);
        let said = last
            .filter(|item| item.kind.is("agentMessage"))
            .find_map(|item| item.text.string());
        if let Some(text) = said {
            self.work.text = text;
        }
        let (outcome, detail, interrupted) = match turn.status.text().unwrap_or_default().as_ref() {
            "completed" if self.work.text.trim().is_empty() && self.work.came_back == 0 => {
                (Outcome::Empty, "it ended well and said nothing".to_owned(), false)
            }
            "completed" => (Outcome::Succeeded, self.denied(), false),
            "interrupted" => (Outcome::Cancelled, "the turn was interrupted".to_owned(), true),
            _ => {
                let error = turn
                    .error
                    .read::<TurnError<'_>>()
                    .map(|error| failed(&error, self.resets_at));
                let (outcome, detail) = error
                    .or_else(|| self.error.take())
                    .unwrap_or((Outcome::Crashed, "the turn failed".to_owned()));
                (outcome, detail, false)
            }
        };
        self.end_turn(outcome, detail, interrupted, events)
    }

    fn denied(&self) -> String {
        match self.work.denials.as_slice() {
            [] => String::new(),
            [one] => format!("{} ({}) was denied", one.tool, cut(&one.detail, 100)),
            [first, rest @ ..] => format!("{} and {} more tool calls were denied", first.tool, rest.len()),
        }
    }

    fn end_turn(
        &mut self,
        outcome: Outcome,
        detail: String,
        interrupted: bool,
        events: &mut Vec<AgentEvent>,
    ) -> Signal {
        let work = std::mem::take(&mut self.work);
        let mut usage = match (self.counted, self.totals, self.turn_base) {
            (true, Some(totals), Some(base)) => totals.since(base).usage(),
            _ if self.thread.is_some() => uncounted(&outcome, self.prompt_bytes, work.bytes),
            _ => Usage::default(),
        };
        if work.broken > 0 && self.counted {
            // Codex breaks a request off to hear words in the middle; it was billed, and Codex does not count it.
            usage = usage.plus(estimate(self.prompt_bytes, work.broken));
        }
        if interrupted {
            // The request that was broken off was billed and is in nobody's count.
            usage.source = UsageSource::Estimated;
        }
        self.turn_base = self.totals;
        self.counted = false;
        self.turn = None;
        self.error = None;
        self.retries = 0;
        self.retried = None;
        self.asks.clear();
        let spent = self.spent.map_or(usage, |spent| spent.plus(usage));
        self.spent = Some(spent);
        events.push(AgentEvent::Usage(spent));
        Signal::TurnEnded(Box::new(Turn {
            outcome,
            detail,
            text: work.text,
            usage,
            cost: cost(usage),
            session: self.thread.clone(),
            denials: work.denials,
            files: work.files,
            model: self.model.clone(),
            version: self.version.clone(),
            interrupted,
        }))
    }

    fn request(
        &mut self,
        method: &str,
        id: &str,
        params: Field<'_>,
        line: &[u8],
        events: &mut Vec<AgentEvent>,
    ) -> Signal {
        let params: Value = params.read().unwrap_or_default();
        let Some((ask, event)) = ask::read(method, id, &params, &self.changes) else {
            self.unknown += 1;
            events.push(raw(line));
            return Signal::Unknown {
                request: id.to_owned(),
                what: method.to_owned(),
            };
        };
        events.push(event);
        self.asks.insert(id.to_owned(), ask);
        Signal::Asked { request: id.to_owned() }
    }
}

/// From which part of an allowance on it is worth a word.
const LIMIT_IN_SIGHT_PERCENT: u64 = 90;

fn plan(steps: Field<'_>) -> Vec<String> {
    let steps: Vec<Value> = steps.read().unwrap_or_default();
    steps
        .iter()
        .take(NAMED_MAX)
        .map(|step| {
            let mark = step["status"].as_str().unwrap_or_default();
            format!("[{mark}] {}", cut(step["step"].as_str().unwrap_or_default(), 300))
        })
        .collect()
}

/// Notifications that say nothing beyond that the server lives.
fn is_known_noise(method: &str) -> bool {
    const NOISE: &[&str] = &[
        "thread/",
        "hook/",
        "skills/",
        "project/",
        "item/autoApprovalReview/",
        "item/plan/delta",
        "item/commandExecution/",
        "item/fileChange/",
        "item/mcpToolCall/progress",
        "item/reasoning/summaryPartAdded",
        "command/exec/",
        "process/",
        "mcpServer/",
        "account/",
        "app/",
        "remoteControl/",
        "externalAgentConfig/",
        "fs/",
        "model/",
        "modelProvider/",
        "turn/diff/updated",
        "turn/moderationMetadata",
        "autoApprovalReview/",
    ];
    NOISE.iter().any(|prefix| method.starts_with(prefix))
}
