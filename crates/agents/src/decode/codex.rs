//! What both streams of Codex share: items, token totals, errors.
//!
//! `exec --json` writes names with underscores, the app-server in camel case; the items are the same otherwise.

use serde::{Deserialize, Serialize};
use wheelhouse_core::agent::{AgentEvent, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Usage, UsageSource};

use super::failure::{Failure, class};
use super::jsonl::Field;
use super::{ANSWER_MAX, DETAIL_MAX, Denial, DeniedBy, NAMED_MAX, append_bounded, cut, estimated_tokens};

/// A piece of work in a turn.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, default)]
    pub(super) id: Field<'a>,
    #[serde(borrow, default, rename = "type")]
    pub(super) kind: Field<'a>,
    #[serde(borrow, default)]
    pub(super) text: Field<'a>,
    #[serde(borrow, default)]
    pub(super) status: Field<'a>,
    #[serde(borrow, default)]
    pub(super) command: Field<'a>,
    #[serde(borrow, default, alias = "exitCode")]
    pub(super) exit_code: Field<'a>,
    #[serde(borrow, default)]
    pub(super) changes: Field<'a>,
    #[serde(borrow, default)]
    pub(super) server: Field<'a>,
    #[serde(borrow, default)]
    pub(super) tool: Field<'a>,
    #[serde(borrow, default)]
    pub(super) arguments: Field<'a>,
    #[serde(borrow, default)]
    pub(super) error: Field<'a>,
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default)]
    pub(super) items: Field<'a>,
    #[serde(borrow, default)]
    pub(super) query: Field<'a>,
    #[serde(borrow, default)]
    pub(super) path: Field<'a>,
    #[serde(borrow, default)]
    pub(super) prompt: Field<'a>,
    #[serde(borrow, default)]
    pub(super) summary: Field<'a>,
    #[serde(borrow, default)]
    pub(super) content: Field<'a>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, default)]
    path: Field<'a>,
}

#[derive(Deserialize)]
struct Todo<'a> {
    #[serde(borrow, default)]
    text: Field<'a>,
    #[serde(borrow, default)]
    completed: Field<'a>,
}

#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow, default)]
    message: Field<'a>,
}

/// Where an item stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has begun or changed.
    Begun,
    /// It is over.
    Over,
}

/// The running turn, as far as both streams tell it alike.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The newest message.
    pub(super) text: String,
    /// Bytes of the message under way that deltas have told.
    pub(super) told: usize,
    /// Bytes of messages that another took the place of before they were whole: their requests were broken off.
    pub(super) broken: usize,
    /// Bytes of all text and thought, for when nobody counts tokens.
    pub(super) bytes: usize,
    pub(super) files: Vec<String>,
    pub(super) denials: Vec<Denial>,
    /// Tool calls that came back well.
    pub(super) came_back: u32,
}

impl Work {
    /// A piece of the answer.
    pub(super) fn piece(&mut self, piece: &str, events: &mut Vec<AgentEvent>) {
        self.bytes = self.bytes.saturating_add(piece.len());
        append_bounded(&mut self.text, piece, ANSWER_MAX);
        events.push(AgentEvent::Text(piece.to_owned()));
    }

    /// A piece of reasoning.
    pub(super) fn thought(&mut self, piece: &str, events: &mut Vec<AgentEvent>) {
        self.bytes = self.bytes.saturating_add(piece.len());
        events.push(AgentEvent::Thought(piece.to_owned()));
    }

    /// Tells of an item. False when its kind is unknown.
    pub(super) fn item(&mut self, item: &Item<'_>, phase: Phase, events: &mut Vec<AgentEvent>) -> bool {
        let kind = item.kind.text().unwrap_or_default();
        match kind.as_ref() {
            "agent_message" | "agentMessage" => self.message(item, phase, events),
            "reasoning" => self.reasoning(item, phase, events),
            "command_execution" | "commandExecution" => {
                let detail = cut(&item.command.text().unwrap_or_default(), DETAIL_MAX);
                self.tool(item, "shell", detail, phase, events);
            }
            "file_change" | "fileChange" => self.file_change(item, phase, events),
            "mcp_tool_call" | "mcpToolCall" | "dynamicToolCall" => {
                let server = item.server.text().map(|server| format!("{server}."));
                let name = format!("{}{}", server.unwrap_or_default(), item.tool.text().unwrap_or_default());
                self.tool(
                    item,
                    &name,
                    cut(item.arguments.json().unwrap_or_default(), 300),
                    phase,
                    events,
                );
            }
            "web_search" | "webSearch" => {
                let detail = item.query.string().unwrap_or_default();
                self.tool(item, "web_search", detail, phase, events);
            }
            "image_view" | "imageView" => {
                let detail = item.path.string().unwrap_or_default();
                self.tool(item, "image_view", detail, phase, events);
            }
            "todo_list" => events.push(AgentEvent::Plan(todo(item.items))),
            "error" if phase == Phase::Over => {
                events.push(AgentEvent::Notice(item.message.string().unwrap_or_default()));
            }
            "collab_tool_call" | "collabAgentToolCall" | "subAgentActivity" => events.push(AgentEvent::Child {
                id: item.id.string().unwrap_or_default(),
                detail: cut(
                    &format!(
                        "{} {}",
                        item.tool.text().unwrap_or_default(),
                        item.prompt.text().unwrap_or_default()
                    ),
                    300,
                ),
            }),
            "contextCompaction" | "context_compaction" if phase == Phase::Over => {
                events.push(AgentEvent::Notice("the agent compacted its context".to_owned()));
            }
            "userMessage" | "user_message" | "hookPrompt" | "plan" | "sleep" | "error" | "contextCompaction"
            | "context_compaction" | "functionCallOutput" | "enteredReviewMode" | "exitedReviewMode" => {
                events.push(AgentEvent::Alive);
            }
            _ => return false,
        }
        true
    }

    fn message(&mut self, item: &Item<'_>, phase: Phase, events: &mut Vec<AgentEvent>) {
        if phase == Phase::Begun {
            self.text.clear();
            self.broken = self.broken.saturating_add(std::mem::take(&mut self.told));
            events.push(AgentEvent::Alive);
            return;
        }
        let text = item.text.text().unwrap_or_default();
        let told = std::mem::take(&mut self.told);
        if told == 0 {
            self.text.clear();
        }
        match text.get(told..).filter(|rest| !rest.is_empty()) {
            Some(rest) => self.piece(rest, events),
            None => events.push(AgentEvent::Alive),
        }
        self.text = cut_answer(&text);
    }

    fn reasoning(&mut self, item: &Item<'_>, phase: Phase, events: &mut Vec<AgentEvent>) {
        if phase == Phase::Begun {
            events.push(AgentEvent::Alive);
            return;
        }
        let parts = |field: Field<'_>| {
            let parts: Vec<_> = field.items().into_iter().filter_map(Field::string).collect();
            parts.join("\n")
        };
        let text = item.text.string().unwrap_or_else(|| {
            let summary = parts(item.summary);
            if summary.is_empty() {
                parts(item.content)
            } else {
                summary
            }
        });
        // The app-server has told it in deltas already.
        match (text.is_empty(), item.text.is_some()) {
            (false, true) => self.thought(&text, events),
            _ => events.push(AgentEvent::Alive),
        }
    }

    fn file_change(&mut self, item: &Item<'_>, phase: Phase, events: &mut Vec<AgentEvent>) {
        let paths = changed_paths(item.changes);
        if phase == Phase::Over && item.status.is("completed") {
            for path in &paths {
                if self.files.len() < NAMED_MAX && !self.files.contains(path) {
                    self.files.push(path.clone());
                }
            }
        }
        self.tool(item, "edit", cut(&paths.join(", "), DETAIL_MAX), phase, events);
    }

    fn tool(&mut self, item: &Item<'_>, name: &str, detail: String, phase: Phase, events: &mut Vec<AgentEvent>) {
        let status = match (phase, item.status.text().unwrap_or_default().as_ref()) {
            (Phase::Begun, _) => ToolStatus::Started,
            (Phase::Over, "declined") => ToolStatus::Denied,
            (Phase::Over, "failed") => ToolStatus::Failed,
            (Phase::Over, _) if item.error.is_some() || item.exit_code.number().is_some_and(|code| code != 0) => {
                ToolStatus::Failed
            }
            (Phase::Over, _) => ToolStatus::Succeeded,
        };
        match status {
            ToolStatus::Succeeded => self.came_back += 1,
            ToolStatus::Denied if self.denials.len() < NAMED_MAX => self.denials.push(Denial {
                tool: name.to_owned(),
                detail: detail.clone(),
                by: DeniedBy::Host,
            }),
            ToolStatus::Failed if is_refused_by_policy(item) && self.denials.len() < NAMED_MAX => {
                self.denials.push(Denial {
                    tool: name.to_owned(),
                    detail: detail.clone(),
                    by: DeniedBy::Vendor,
                });
            }
            ToolStatus::Started | ToolStatus::Failed | ToolStatus::Denied => {}
        }
        events.push(AgentEvent::Tool {
            id: item.id.string().unwrap_or_default(),
            name: name.to_owned(),
            status,
            detail,
        });
    }
}

/// Whether Codex refused a call by its own policy and asked nobody.
fn is_refused_by_policy(item: &Item<'_>) -> bool {
    item.error
        .read::<Words<'_>>()
        .and_then(|words| words.message.string())
        .is_some_and(|message| message.contains("requires approval"))
}

/// The paths of a list of changes.
pub(super) fn changed_paths(changes: Field<'_>) -> Vec<String> {
    changes
        .items()
        .into_iter()
        .take(NAMED_MAX)
        .filter_map(|change| change.read::<Change<'_>>()?.path.string())
        .collect()
}

fn todo(items: Field<'_>) -> Vec<String> {
    items
        .items()
        .into_iter()
        .take(NAMED_MAX)
        .filter_map(|todo| {
            let todo = todo.read::<Todo<'_>>()?;
            let mark = if todo.completed.truth() { "completed" } else { "pending" };
            Some(format!("[{mark}] {}", cut(&todo.text.text()?, 300)))
        })
        .collect()
}

fn cut_answer(text: &str) -> String {
    let mut kept = String::new();
    append_bounded(&mut kept, text, ANSWER_MAX);
    kept
}

/// The tokens of a thread, as Codex counts them: cached and cache-write tokens are in the input, reasoning is in the
/// output, and all of it is since the thread began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Everything sent.
    pub input: u64,
    /// Of that, read from the cache.
    pub cached: u64,
    /// Of that, written to the cache.
    pub cache_write: u64,
    /// Everything received.
    pub output: u64,
    /// Of that, reasoning.
    pub reasoning: u64,
}

#[derive(Deserialize)]
struct TotalsLine<'a> {
    #[serde(borrow, default, alias = "inputTokens")]
    input_tokens: Field<'a>,
    #[serde(borrow, default, alias = "cachedInputTokens")]
    cached_input_tokens: Field<'a>,
    #[serde(borrow, default, alias = "cacheWriteInputTokens")]
    cache_write_input_tokens: Field<'a>,
    #[serde(borrow, default, alias = "outputTokens")]
    output_tokens: Field<'a>,
    #[serde(borrow, default, alias = "reasoningOutputTokens")]
    reasoning_output_tokens: Field<'a>,
}

impl Totals {
    pub(super) fn read(field: Field<'_>) -> Option<Totals> {
        let line = field.read::<TotalsLine<'_>>()?;
        Some(Totals {
            input: line.input_tokens.number()?,
            cached: line.cached_input_tokens.number().unwrap_or(0),
            cache_write: line.cache_write_input_tokens.number().unwrap_or(0),
            output: line.output_tokens.number()?,
            reasoning: line.reasoning_output_tokens.number().unwrap_or(0),
        })
    }

    /// What came on top of an earlier state of the same thread.
    #[must_use]
    pub fn since(self, earlier: Totals) -> Totals {
        Totals {
            input: self.input.saturating_sub(earlier.input),
            cached: self.cached.saturating_sub(earlier.cached),
            cache_write: self.cache_write.saturating_sub(earlier.cache_write),
            output: self.output.saturating_sub(earlier.output),
            reasoning: self.reasoning.saturating_sub(earlier.reasoning),
        }
    }

    /// As five numbers that do not overlap.
    pub fn usage(self) -> Usage {
        Usage {
            input: self.input.saturating_sub(self.cached).saturating_sub(self.cache_write),
            cache_read: self.cached,
            cache_write: self.cache_write,
            output: self.output.saturating_sub(self.reasoning),
            reasoning: self.reasoning,
            source: UsageSource::Reported,
        }
    }
}

/// What a turn consumed that nobody counted: the prompt and what came back, at four bytes a token.
pub(super) fn estimate(prompt_bytes: usize, answer_bytes: usize) -> Usage {
    Usage {
        input: estimated_tokens(prompt_bytes),
        output: estimated_tokens(answer_bytes),
        source: UsageSource::Estimated,
        ..Usage::default()
    }
}

/// What a turn consumed that ended like this without a count. A request that the provider refused cost nothing; one
/// that broke off was paid for.
pub(super) fn uncounted(outcome: &Outcome, prompt_bytes: usize, answer_bytes: usize) -> Usage {
    let is_refused = matches!(
        outcome,
        Outcome::Auth
            | Outcome::Quota { .. }
            | Outcome::RateLimited { .. }
            | Outcome::Overloaded
            | Outcome::ContextTooLong
            | Outcome::Refused
            | Outcome::Unavailable
    );
    if is_refused && answer_bytes == 0 {
        return Usage::default();
    }
    estimate(prompt_bytes, answer_bytes)
}

/// How Codex announces another try of a failed request.
pub(super) const TRIES_AGAIN: &str = "Reconnecting...";

/// An error of a turn.
#[derive(Deserialize)]
pub(super) struct TurnError<'a> {
    #[serde(borrow, default)]
    pub(super) message: Field<'a>,
    #[serde(borrow, default, rename = "codexErrorInfo")]
    pub(super) info: Field<'a>,
    #[serde(borrow, default, rename = "additionalDetails")]
    pub(super) details: Field<'a>,
}

#[derive(Deserialize)]
struct InfoDetails<'a> {
    #[serde(borrow, default, rename = "httpStatusCode")]
    status: Field<'a>,
}

/// The class of an error and the words for it.
pub(super) fn failed(error: &TurnError<'_>, resets_at: Option<Millis>) -> (Outcome, String) {
    let message = unwrapped(&error.message.text().unwrap_or_default());
    let details = error.details.string().unwrap_or_default();
    let mut kind = error.info.string();
    let mut status = None;
    if kind.is_none()
        && let Some((name, value)) = error.info.members().into_iter().next()
    {
        status = value
            .read::<InfoDetails<'_>>()
            .and_then(|details| details.status.number());
        kind = Some(name);
    }
    // These say only that a request failed; what failed is in the status or in the words.
    let kind = kind.filter(|kind| kind != "responseTooManyFailedAttempts" && kind != "other" && kind != "badRequest");
    let searched = format!("{message} {details}");
    let outcome = class(&Failure {
        status,
        kinds: kind.as_deref().into_iter().collect(),
        message: &searched,
        retry_after_ms: None,
        resets_at,
    });
    // "Reconnecting... 3/5" says what Codex does, and not why.
    let words = match message.starts_with(TRIES_AGAIN) && !details.is_empty() {
        true => unwrapped(&details),
        false => message,
    };
    (outcome, cut(&words, 500))
}

/// The same of an error that is nothing but words.
pub(super) fn failed_in_words(message: &str) -> (Outcome, String) {
    let message = unwrapped(message);
    let outcome = class(&Failure {
        message: &message,
        ..Failure::default()
    });
    (outcome, cut(&message, 500))
}

/// Codex hands on the body of a refused request as its message; people want the words inside.
fn unwrapped(message: &str) -> String {
    let inner = serde_json::from_str::<serde_json::Value>(message)
        .ok()
        .and_then(|body| body["error"]["message"].as_str().map(str::to_owned));
    inner.unwrap_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_become_five_numbers_that_do_not_overlap() {
        let before = Totals {
            input: 2_400,
            cached: 2_000,
            cache_write: 300,
            output: 7,
            reasoning: 0,
        };
        let now = Totals {
            input: 2_420,
            cached: 2_000,
            cache_write: 300,
            output: 39,
            reasoning: 20,
        };
        let usage = now.since(before).usage();
        assert_eq!(
            (
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.output,
                usage.reasoning
            ),
            (20, 0, 0, 12, 20)
        );
        assert_eq!(before.usage().input, 100);
    }

    #[test]
    fn errors_are_classified_by_status_then_kind_then_words() {
        for (json, expected) in [
            (
                r#"{"message":"exceeded","codexErrorInfo":{"responseTooManyFailedAttempts":{"httpStatusCode":429}}}"#,
                Outcome::RateLimited { retry_after_ms: None },
            ),
            (
                r#"{"message":"x","codexErrorInfo":"contextWindowExceeded"}"#,
                Outcome::ContextTooLong,
            ),
            (
                r#"{"message":"x","codexErrorInfo":"usageLimitExceeded"}"#,
                Outcome::Quota {
                    resets_at: Some(Millis(9)),
                },
            ),
            (r#"{"message":"x","codexErrorInfo":"unauthorized"}"#, Outcome::Auth),
            (
                r#"{"message":"x","codexErrorInfo":"modelNotFound"}"#,
                Outcome::Unavailable,
            ),
            (
                r#"{"message":"stream disconnected before completion: x","codexErrorInfo":{"responseStreamDisconnected":{"httpStatusCode":null}}}"#,
                Outcome::Truncated,
            ),
            (
                r#"{"message":"{\"error\": {\"message\": \"prompt is too long: 2 > 1\"}}","codexErrorInfo":"badRequest"}"#,
                Outcome::ContextTooLong,
            ),
            (r#"{"message":"x","codexErrorInfo":"other"}"#, Outcome::Crashed),
        ] {
            let error: TurnError<'_> = serde_json::from_str(json).expect("JSON");
            assert_eq!(failed(&error, Some(Millis(9))).0, expected, "{json}");
        }
    }
}
