//! Claude Code's stream-json, decoded.
//!
//! One [`Claude`] follows one process over all its turns. It knows the traps of that stream: the init line repeats at
//! every turn, each block of a message is a line of its own, text comes twice when partial messages are on, `usage` of
//! such lines is the first moment's, a failed request is called a success, a refused tool as well, and cost is the
//! session's. The end of a turn is `result`'s business.

mod ask;
mod meter;
mod result;
mod tools;
mod wire;

use std::collections::{HashMap, HashSet};

use wheelhouse_core::agent::{AgentEvent, ToolStatus};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Usage;

pub use ask::{Ask, refusal};

use self::meter::Meter;
use self::tools::{changes_things, content_text, file_of, input_detail, is_edit, todo};
use self::wire::{
    Block, Decision, Delta, Init, Limit, Line, Message, Request, Response, ResultMeta, Server, StreamEvent, System,
};
use super::jsonl::Field;
use super::{ANSWER_MAX, Denial, DeniedBy, NAMED_MAX, Signal, append_bounded, cut, raw};

/// What kind of work goes on beside the conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Background {
    /// A child agent; the CLI takes another turn when it is done.
    Agent,
    /// A command left running.
    Command,
}

/// The state of one Claude Code process.
#[derive(Debug, Default)]
pub struct Claude {
    session: Option<String>,
    model: Option<String>,
    version: Option<String>,
    api_key_source: Option<String>,
    turn: InTurn,
    asks: HashMap<String, Ask>,
    background: HashMap<String, Background>,
    /// `total_cost_usd` of the session at the last result.
    session_cost_usd: Option<f64>,
    /// `modelUsage` of the session at the last result, all models together.
    session_usage: Option<Usage>,
    /// What earlier turns of this process consumed.
    spent: Usage,
    turns: u64,
    /// Whether a turn runs, by the CLI's own words.
    in_turn: bool,
    unknown: u64,
}

/// What belongs to the running turn alone.
#[derive(Debug, Default)]
struct InTurn {
    meter: Meter,
    /// Text of the newest message.
    text: String,
    /// Bytes of text and of thought already told by deltas, of the block that its own line will repeat.
    told_text: usize,
    told_thought: usize,
    /// Where the newest streamed message stands.
    stream: Stream,
    /// Output tokens that an answer line stated for itself: only an answer that was not streamed does.
    stated_output: Option<u64>,
    /// Calls that have not come back: id to tool and file.
    open_tools: HashMap<String, OpenTool>,
    /// Tools that change things and came back well.
    changed: u32,
    denials: Vec<Denial>,
    /// Calls that we refused.
    refused: HashSet<String>,
    /// Calls told as denied.
    told_denied: HashSet<String>,
    /// How many changing tools had come back well when a changing one was last denied by the vendor.
    changed_at_denial: Option<u32>,
    came_back: u32,
    files: Vec<String>,
    retry_after_ms: Option<u64>,
    resets_at: Option<Millis>,
    limited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stream {
    /// Nothing is streamed now.
    #[default]
    Idle,
    /// A message has begun and its stop reason has not come.
    Open,
}

#[derive(Debug)]
struct OpenTool {
    name: String,
    file: Option<String>,
}

impl Claude {
    /// A decoder for a process whose session id is known before it says it, or not.
    pub fn new(session: Option<String>) -> Claude {
        Claude {
            session,
            ..Claude::default()
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
        let Some(kind) = parsed.kind.text() else {
            return self.not_understood(line, events);
        };
        match kind.as_ref() {
            "stream_event" => self.stream_event(&parsed, line, events),
            "assistant" => self.assistant(&parsed, line, events),
            "user" => self.user(&parsed, events),
            "system" => self.system(&parsed, line, events),
            "result" => self.result(line, events),
            "control_request" => self.request(&parsed, line, events),
            "control_response" => self.response(&parsed, line, events),
            "control_cancel_request" => {
                if let Some(request) = parsed.request_id.text() {
                    self.asks.remove(request.as_ref());
                }
                events.push(AgentEvent::Notice("the agent took a request back".to_owned()));
                Signal::Quiet
            }
            "rate_limit_event" => self.limit(line, events),
            "keep_alive" | "tool_progress" | "tool_use_summary" | "auth_status" | "prompt_suggestion" => {
                events.push(AgentEvent::Alive);
                Signal::Quiet
            }
            _ => self.not_understood(line, events),
        }
    }

    /// Takes what is left of a line that was too long. The end of a turn is recognised even so.
    pub fn over_long(&mut self, head: &[u8], tail: &[u8], bytes: u64, events: &mut Vec<AgentEvent>) -> Signal {
        events.push(AgentEvent::Notice(format!(
            "a line of {bytes} bytes was too long and is not shown"
        )));
        // Inside a JSON string the quotes would be escaped: this can only be the line's own key.
        let has = |needle: &[u8]| {
            memchr::memmem::find(head, needle)
                .or_else(|| memchr::memmem::find(tail, needle))
                .is_some()
        };
        if !has(br#""type":"result""#) {
            return Signal::Quiet;
        }
        self.result_without_details(has(br#""is_error":false"#), events)
    }

    /// The session, as soon as it is known.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The version of the CLI, as soon as it has said it.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Lines that nobody understood.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Results so far.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Whether the CLI is in a turn. It begins some by itself, when a child is done.
    pub fn is_in_turn(&self) -> bool {
        self.in_turn
    }

    /// What goes on beside the conversation.
    pub fn background(&self) -> impl Iterator<Item = Background> + '_ {
        self.background.values().copied()
    }

    /// Consumption of this process so far, the running turn included.
    pub fn so_far(&self) -> Usage {
        match self.turn.meter.so_far() {
            running if running.total() == 0 => self.spent,
            running => self.sum(running),
        }
    }

    fn sum(&self, turn: Usage) -> Usage {
        if self.turns == 0 { turn } else { self.spent.plus(turn) }
    }

    fn not_understood(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        self.unknown += 1;
        events.push(raw(line));
        Signal::Quiet
    }

    fn stream_event(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        if line.parent_tool_use_id.is_some() {
            events.push(AgentEvent::Alive);
            return Signal::Quiet;
        }
        let Some(event) = line.event.read::<StreamEvent<'_>>() else {
            return self.not_understood(bytes, events);
        };
        match event.kind.text().unwrap_or_default().as_ref() {
            "content_block_delta" => self.delta(&event, events),
            "message_start" => {
                let message = event.message.read::<Message<'_>>();
                let (id, usage) = message
                    .map(|message| (message.id.text(), message.usage))
                    .unwrap_or_default();
                self.in_turn = true;
                self.turn.stream = Stream::Open;
                self.turn.told_text = 0;
                self.turn.told_thought = 0;
                self.turn.text.clear();
                if self.turn.meter.opened(id.unwrap_or_default().as_ref(), usage) {
                    events.push(AgentEvent::Usage(self.so_far()));
                }
            }
            "message_delta" => {
                let stopped = event
                    .delta
                    .read::<Delta<'_>>()
                    .is_some_and(|delta| delta.stop_reason.is_some());
                if stopped {
                    self.turn.stream = Stream::Idle;
                    self.turn.meter.output(event.usage);
                    events.push(AgentEvent::Usage(self.so_far()));
                }
            }
            "error" => events.push(AgentEvent::Notice("the stream of the model broke".to_owned())),
            "content_block_start" | "content_block_stop" | "message_stop" | "ping" => events.push(AgentEvent::Alive),
            _ => return self.not_understood(bytes, events),
        }
        Signal::Quiet
    }

    fn delta(&mut self, event: &StreamEvent<'_>, events: &mut Vec<AgentEvent>) {
        let Some(delta) = event.delta.read::<Delta<'_>>() else {
            events.push(AgentEvent::Alive);
            return;
        };
        match delta.kind.text().unwrap_or_default().as_ref() {
            "text_delta" => {
                let text = delta.text.string().unwrap_or_default();
                self.turn.told_text += text.len();
                self.turn.meter.piece(text.len());
                append_bounded(&mut self.turn.text, &text, ANSWER_MAX);
                events.push(AgentEvent::Text(text));
            }
            "thinking_delta" => {
                let thought = delta.thinking.string().unwrap_or_default();
                self.turn.told_thought += thought.len();
                self.turn.meter.piece(thought.len());
                events.push(AgentEvent::Thought(thought));
            }
            _ => events.push(AgentEvent::Alive),
        }
    }

    fn assistant(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Some(message) = line.message.read::<Message<'_>>() else {
            return self.not_understood(bytes, events);
        };
        let id = message.id.text().unwrap_or_default();
        let is_child = line.parent_tool_use_id.is_some();
        // Messages of this model are the CLI's own words about a failure; the result repeats them.
        if message.model.is("<synthetic>") {
            events.push(AgentEvent::Alive);
            return Signal::Quiet;
        }
        if is_child {
            self.turn.meter.child(&id, message.usage);
            events.push(AgentEvent::Usage(self.so_far()));
        } else {
            if self.turn.meter.opened(&id, message.usage) {
                self.turn.text.clear();
                self.turn.told_text = 0;
                self.turn.told_thought = 0;
                events.push(AgentEvent::Usage(self.so_far()));
            }
            if message.stop_reason.is_some() {
                // It was fetched in one piece after its stream had broken: it is whole and counts for itself.
                self.turn.stream = Stream::Idle;
                self.turn.stated_output = Some(meter::usage(message.usage).output);
                self.turn.meter.output(message.usage);
            }
        }
        for block in message.content.items() {
            let Some(block) = block.read::<Block<'_>>() else {
                continue;
            };
            self.answer_block(&block, is_child, events);
        }
        Signal::Quiet
    }

    fn answer_block(&mut self, block: &Block<'_>, is_child: bool, events: &mut Vec<AgentEvent>) {
        match block.kind.text().unwrap_or_default().as_ref() {
            "text" if is_child => events.push(AgentEvent::Alive),
            "text" => {
                let text = block.text.text().unwrap_or_default();
                if let Some(rest) = untold(&text, &mut self.turn.told_text) {
                    append_bounded(&mut self.turn.text, rest, ANSWER_MAX);
                    events.push(AgentEvent::Text(rest.to_owned()));
                }
            }
            "thinking" if is_child => events.push(AgentEvent::Alive),
            "thinking" => {
                let thought = block.thinking.text().unwrap_or_default();
                if let Some(rest) = untold(&thought, &mut self.turn.told_thought) {
                    events.push(AgentEvent::Thought(rest.to_owned()));
                }
            }
            "tool_use" | "server_tool_use" | "mcp_tool_use" => self.tool_called(block, events),
            _ => events.push(AgentEvent::Alive),
        }
    }

    fn tool_called(&mut self, block: &Block<'_>, events: &mut Vec<AgentEvent>) {
        let id = block.id.string().unwrap_or_default();
        let name = block.name.string().unwrap_or_default();
        if name == "TodoWrite" {
            events.push(AgentEvent::Plan(todo(block.input)));
        }
        if matches!(name.as_str(), "Task" | "Agent") {
            events.push(AgentEvent::Child {
                id: id.clone(),
                detail: input_detail(block.input),
            });
        }
        events.push(AgentEvent::Tool {
            id: id.clone(),
            name: name.clone(),
            status: ToolStatus::Started,
            detail: input_detail(block.input),
        });
        if self.turn.open_tools.len() < NAMED_MAX {
            let file = is_edit(&name).then(|| file_of(block.input)).flatten();
            self.turn.open_tools.insert(id, OpenTool { name, file });
        }
    }

    fn user(&mut self, line: &Line<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let content = line
            .message
            .read::<Message<'_>>()
            .map(|message| message.content)
            .unwrap_or_default();
        let meta: Vec<ResultMeta<'_>> = line.tool_result_meta.read().unwrap_or_default();
        let mut told = false;
        for block in content.items() {
            let Some(block) = block.read::<Block<'_>>() else {
                continue;
            };
            if block.kind.is("tool_result") {
                told = true;
                self.tool_came_back(&block, &meta, events);
            }
        }
        if !told {
            events.push(AgentEvent::Alive);
        }
        Signal::Quiet
    }

    fn tool_came_back(&mut self, block: &Block<'_>, meta: &[ResultMeta<'_>], events: &mut Vec<AgentEvent>) {
        let id = block.tool_use_id.string().unwrap_or_default();
        let open = self.turn.open_tools.remove(&id);
        let name = open.as_ref().map(|open| open.name.clone()).unwrap_or_default();
        let meta = meta.iter().find(|meta| meta.id.is(&id));
        let was_denied = meta.is_some_and(|meta| {
            meta.non_execution_kind.is("permission-rule")
                || meta
                    .permission_decision
                    .read::<Decision<'_>>()
                    .is_some_and(|decision| decision.decision.is("reject"))
        });
        let status = match (
            was_denied || self.turn.told_denied.contains(&id),
            block.is_error.truth(),
        ) {
            (true, _) => ToolStatus::Denied,
            (false, true) => ToolStatus::Failed,
            (false, false) => ToolStatus::Succeeded,
        };
        if status == ToolStatus::Denied && self.turn.told_denied.remove(&id) {
            events.push(AgentEvent::Alive);
            return;
        }
        if status == ToolStatus::Succeeded {
            self.turn.came_back += 1;
            if changes_things(&name) {
                self.turn.changed += 1;
            }
            if let Some(file) = open.and_then(|open| open.file)
                && self.turn.files.len() < NAMED_MAX
                && !self.turn.files.contains(&file)
            {
                self.turn.files.push(file);
            }
        }
        let detail = match status {
            ToolStatus::Failed | ToolStatus::Denied => cut(&content_text(block.content), 300),
            ToolStatus::Started | ToolStatus::Succeeded => String::new(),
        };
        events.push(AgentEvent::Tool {
            id,
            name,
            status,
            detail,
        });
    }

    fn system(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let subtype = line.subtype.text().unwrap_or_default();
        if subtype == "init" {
            return self.init(line, bytes, events);
        }
        if subtype == "status" || subtype == "thinking_tokens" {
            events.push(AgentEvent::Alive);
            return Signal::Quiet;
        }
        let Ok(system) = serde_json::from_slice::<System<'_>>(bytes) else {
            return self.not_understood(bytes, events);
        };
        match subtype.as_ref() {
            "api_retry" => self.retry(&system, events),
            "permission_denied" => self.denied_by_vendor(&system, events),
            "background_tasks_changed" => {
                self.background = system.tasks.items().into_iter().filter_map(background).collect();
                events.push(AgentEvent::Alive);
            }
            "task_started" => {
                let id = system.task_id.string().unwrap_or_default();
                self.background.insert(id.clone(), background_kind(system.task_type));
                events.push(AgentEvent::Child {
                    id,
                    detail: format!("started: {}", system.description.text().unwrap_or_default()),
                });
            }
            "task_notification" => {
                let id = system.task_id.string().unwrap_or_default();
                self.background.remove(&id);
                let (status, summary) = (system.status.text(), system.summary.text());
                events.push(AgentEvent::Child {
                    id,
                    detail: cut(
                        &format!("{}: {}", status.unwrap_or_default(), summary.unwrap_or_default()),
                        300,
                    ),
                });
            }
            "informational" => events.push(AgentEvent::Notice(system.content.string().unwrap_or_default())),
            "compact_boundary" => events.push(AgentEvent::Notice("the agent compacted its context".to_owned())),
            "task_updated" | "task_progress" | "ui_invalidate" | "session_state_changed" => {
                events.push(AgentEvent::Alive)
            }
            hook if hook.starts_with("hook_") => events.push(AgentEvent::Alive),
            _ => return self.not_understood(bytes, events),
        }
        Signal::Quiet
    }

    fn init(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Ok(init) = serde_json::from_slice::<Init<'_>>(bytes) else {
            return self.not_understood(bytes, events);
        };
        let session = line.session_id.string();
        if session.is_some() && session != self.session {
            self.session.clone_from(&session);
            events.push(AgentEvent::Started { session, process: None });
        } else {
            events.push(AgentEvent::Alive);
        }
        let first = self.version.is_none();
        self.in_turn = true;
        let model = init.model.string();
        if model != self.model {
            events.extend(model.clone().map(AgentEvent::Model));
        }
        self.model = model;
        self.version = init.claude_code_version.string();
        self.api_key_source = init.api_key_source.string();
        for server in init.mcp_servers.items() {
            let Some(server) = server.read::<Server<'_>>() else {
                continue;
            };
            if first && !server.status.is("connected") && !server.status.is("pending") {
                events.push(AgentEvent::Notice(format!(
                    "MCP server {} is {}",
                    server.name.text().unwrap_or_default(),
                    server.status.text().unwrap_or_default()
                )));
            }
        }
        Signal::Quiet
    }

    fn retry(&mut self, system: &System<'_>, events: &mut Vec<AgentEvent>) {
        let attempt = system.attempt.number().unwrap_or(1);
        let delay_ms = system.retry_delay_ms.number().unwrap_or(0);
        let error = system.error.text().unwrap_or_default();
        let status = system
            .error_status
            .number()
            .map(|status| format!("{status} "))
            .unwrap_or_default();
        // The CLI waits 0.5 s doubled per attempt, with a little noise; clearly more than that is the provider's wish.
        let own_ms = 500u64.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        if delay_ms > own_ms.saturating_mul(3) / 2 {
            self.turn.retry_after_ms = self.turn.retry_after_ms.max(Some(delay_ms));
        }
        events.push(AgentEvent::Notice(format!(
            "the vendor's program tries again in {delay_ms} ms after {status}{error} ({attempt} of {})",
            system.max_retries.number().unwrap_or(0)
        )));
        if error == "rate_limit" {
            events.push(AgentEvent::Limit {
                what: "requests to the model".to_owned(),
                resets_at: None,
            });
        }
    }

    fn denied_by_vendor(&mut self, system: &System<'_>, events: &mut Vec<AgentEvent>) {
        let id = system.tool_use_id.string().unwrap_or_default();
        let name = system.tool_name.string().unwrap_or_default();
        self.note_vendor_denial(&name);
        self.turn.told_denied.insert(id.clone());
        events.push(AgentEvent::Tool {
            id,
            name,
            status: ToolStatus::Denied,
            detail: cut(&system.message.text().unwrap_or_default(), 300),
        });
    }

    fn note_vendor_denial(&mut self, tool: &str) {
        if changes_things(tool) {
            self.turn.changed_at_denial = Some(self.turn.changed);
        }
    }

    fn limit(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let info = serde_json::from_slice::<System<'_>>(line)
            .ok()
            .and_then(|system| system.rate_limit_info.read::<Limit<'_>>());
        let Some(info) = info else {
            return self.not_understood(line, events);
        };
        if info.status.is("allowed") {
            events.push(AgentEvent::Alive);
            return Signal::Quiet;
        }
        let resets_at = info
            .resets_at
            .number()
            .map(|seconds| Millis(seconds.saturating_mul(1_000)));
        self.turn.resets_at = resets_at;
        self.turn.limited |= info.status.is("rejected");
        events.push(AgentEvent::Limit {
            what: info.kind.string().unwrap_or_default(),
            resets_at,
        });
        Signal::Quiet
    }

    fn request(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let (Some(request), Some(body)) = (line.request_id.string(), line.request.read::<Request<'_>>()) else {
            return self.not_understood(bytes, events);
        };
        let Some(ask) = Ask::read(&body) else {
            let signal = self.not_understood(bytes, events);
            debug_assert_eq!(signal, Signal::Quiet, "an unknown line has no signal of its own");
            return Signal::Unknown {
                request: serde_json::Value::String(request).to_string(),
                what: body.subtype.string().unwrap_or_default(),
            };
        };
        events.push(ask.event(&request));
        if self.asks.len() >= NAMED_MAX {
            return Signal::Unknown {
                request: serde_json::Value::String(request).to_string(),
                what: "one more request while too many are open".to_owned(),
            };
        }
        self.asks.insert(request.clone(), ask);
        Signal::Asked { request }
    }

    fn response(&mut self, line: &Line<'_>, bytes: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Some(response) = line.response.read::<Response<'_>>() else {
            return self.not_understood(bytes, events);
        };
        events.push(AgentEvent::Alive);
        Signal::Answered {
            request: response.request_id.string().unwrap_or_default(),
            error: response
                .subtype
                .is("error")
                .then(|| response.error.string().unwrap_or_else(|| "refused".to_owned())),
        }
    }

    /// Takes an open request out, to answer it. Whoever refuses a tool says so with [`Claude::refused`].
    pub fn take_ask(&mut self, request: &str) -> Option<Ask> {
        self.asks.remove(request)
    }

    /// A tool call was refused by us, not by the vendor's settings.
    pub fn refused(&mut self, tool_use: &str) {
        self.turn.refused.insert(tool_use.to_owned());
    }
}

/// What of a text its deltas have not told yet.
fn untold<'a>(text: &'a str, told: &mut usize) -> Option<&'a str> {
    let told = std::mem::take(told);
    text.get(told..).filter(|rest| !rest.is_empty())
}

fn background(task: Field<'_>) -> Option<(String, Background)> {
    let task = task.read::<System<'_>>()?;
    Some((task.task_id.string()?, background_kind(task.task_type)))
}

fn background_kind(kind: Field<'_>) -> Background {
    if kind.is("local_bash") {
        Background::Command
    } else {
        Background::Agent
    }
}

impl Denial {
    fn of(tool: String, input: Field<'_>, by: DeniedBy) -> Denial {
        Denial {
            tool,
            detail: input_detail(input),
            by,
        }
    }
}
