//! The conversation with one agent: initialize, a session, its settings, a prompt, the end of the turn.
//!
//! Pure. A step is taken when the one before was answered. Whatever goes wrong before the prompt ends the try with the
//! class of that failure.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use wheelhouse_core::agent::{AgentEvent, Assignment, Reply};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, Usage};

use super::PROTOCOL_VERSION;
use super::ask::cancelled;
use super::decode::{Decoder, Request, Signal};
use super::failure::{self, NO_SUCH_METHOD};
use super::opening::{HISTORY_TOLD, Opening};
use super::recipe::{EndsBy, Loads, ModelBy, Recipe};
use super::settings::{Setting, What, choose, chosen};
use crate::converse::{Conversed, Outbox, Protocol, Standing};
use crate::decode::Turn;
use crate::decode::jsonl::Line;
use crate::mcp;
use crate::report::{joined, without_end};

/// How often the agent may try a failed request again before the turn is ended: waiting is the engine's, which can fall
/// back meanwhile.
const VENDOR_RETRIES_MAX: u32 = 2;

/// How many kinds of requests that are not served are told of.
const UNSERVED_MAX: usize = 16;

/// The state of the conversation.
pub(super) struct Talk {
    recipe: Arc<Recipe>,
    opening: Opening,
    decoder: Decoder,
    resume: Option<String>,
    /// The MCP servers of the assignment.
    servers: Vec<Value>,
    cwd: PathBuf,
    prompt: String,
    model: Option<String>,
    mode: Option<String>,
    settings: VecDeque<Setting>,
    /// The session is loaded, and its history may still be told.
    is_listening_to_history: bool,
    next_request: u64,
    /// Words that go in when the turn they interrupt has ended.
    redirect: Option<String>,
    /// Turns that ended, as one.
    ended: Option<Turn>,
    /// Whether a prompt of ours waits for its answer.
    awaited: bool,
    said_something: bool,
    /// The class of a conversation that broke down before its turn.
    failed: Option<(Outcome, String)>,
    /// Complaints about requests that failed and are tried again, since anything came of one.
    retries: u32,
    /// The agent tried too often, and the turn is being ended for that.
    gave_up: Option<(Outcome, String)>,
    /// Said when there is somebody to say it to.
    notices: Vec<String>,
    /// Requests that were not served and told of: an agent that asks the same again is told so without a word.
    unserved: Vec<String>,
}

impl Talk {
    pub(super) fn new(assignment: &Assignment, prompt: &str, recipe: Arc<Recipe>, opening: Opening) -> Talk {
        let model = match recipe.quirks.model_by {
            ModelBy::Session => assignment.model.clone().or_else(|| recipe.model.clone()),
            ModelBy::Argument(_) => None,
        };
        Talk {
            decoder: Decoder::new(assignment.session.clone(), recipe.quirks.covers)
                .failing_in_words(recipe.quirks.fails_in_words),
            resume: assignment.session.clone(),
            servers: mcp::acp(
                &assignment.mcp_servers,
                match recipe.quirks.inherits_by_name {
                    true => mcp::Inherits::ByName,
                    false => mcp::Inherits::ByValue(&assignment.env),
                },
            ),
            cwd: assignment.cwd.clone(),
            // The protocol has no place for a role.
            prompt: match &assignment.role {
                Some(role) => format!("{role}\n\n{prompt}"),
                None => prompt.to_owned(),
            },
            model,
            mode: recipe.mode.clone(),
            recipe,
            opening,
            settings: VecDeque::new(),
            is_listening_to_history: false,
            next_request: 0,
            redirect: None,
            ended: None,
            awaited: false,
            said_something: false,
            failed: None,
            retries: 0,
            gave_up: None,
            notices: Vec::new(),
            unserved: Vec::new(),
        }
    }

    /// Lines that nobody understood.
    pub(super) fn unknown(&self) -> u64 {
        self.decoder.unknown()
    }

    /// The turn that counts, once the process is gone.
    pub(super) fn last_turn(&mut self, conversed: &Conversed) -> Turn {
        match self.ended.take() {
            Some(turn) if !self.awaited => turn,
            earlier => {
                let said = self.failed.take().or_else(|| self.gave_up.take());
                let (outcome, detail) = match said {
                    _ if self.opening.is_overdue() => self.overdue(),
                    Some(said) if !conversed.stopped => said,
                    said => {
                        let (outcome, mut detail) = without_end(conversed, self.said_something, &self.recipe.vendor());
                        // What it was busy with comes out at its end where it comes out at all.
                        if let Some((_, busy)) = said {
                            detail.push_str(&format!(" while it tried again: {busy}"));
                        }
                        (outcome, detail)
                    }
                };
                joined(earlier, self.decoder.unfinished(outcome, detail))
            }
        }
    }

    fn overdue(&self) -> (Outcome, String) {
        let title = self.recipe.title;
        let detail = match self.decoder.about().protocol {
            None => format!("{title} did not answer in time when it was started"),
            Some(_) => format!("{title} did not open a session in time"),
        };
        (Outcome::Stalled, detail)
    }

    fn send(&mut self, method: &str, params: &Value, request: Request, out: &mut Outbox) {
        let id = self.next_id();
        self.decoder.sent(id, request);
        write(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
            out,
        );
    }

    fn next_id(&mut self) -> u64 {
        let id = self.next_request;
        self.next_request += 1;
        id
    }

    fn fail(&mut self, outcome: Outcome, detail: String, out: &mut Outbox) {
        self.opening.settled();
        self.failed = Some((outcome, detail));
        out.standing = Standing::Broken;
    }

    fn initialized(&mut self, out: &mut Outbox) {
        let title = self.recipe.title;
        let about = self.decoder.about().clone();
        if about.protocol != Some(PROTOCOL_VERSION) {
            let spoken = about.protocol.map_or("none".to_owned(), |version| version.to_string());
            let detail =
                format!("{title} speaks version {spoken} of the protocol, and this release {PROTOCOL_VERSION}");
            return self.fail(Outcome::Unavailable, detail, out);
        }
        if let Some(words) = about
            .version
            .as_deref()
            .and_then(|version| self.recipe.untested(version))
        {
            out.events.push(AgentEvent::Notice(words));
        }
        self.opening.initialized();
        let servers: Vec<&Value> = self.recipe.mcp_servers.iter().chain(&self.servers).collect();
        let mut params = json!({"cwd": self.cwd, "mcpServers": servers});
        let meta = &self.recipe.quirks.session_meta;
        if !meta.is_null() {
            params["_meta"] = meta.clone();
        }
        let Some(session) = &self.resume else {
            return self.send("session/new", &params, Request::New, out);
        };
        params["sessionId"] = json!(session);
        // Resumed rather than loaded where both are offered: history that is said again is no news.
        let method = match (about.resumes, about.loads) {
            (true, _) => "session/resume",
            (false, true) => "session/load",
            (false, false) => {
                let detail = format!("{title} cannot go on in an earlier session; start without one");
                return self.fail(Outcome::Unavailable, detail, out);
            }
        };
        self.send(method, &params, Request::Load, out);
    }

    fn opened(&mut self, out: &mut Outbox) {
        self.opening.settled();
        let Some(session) = self.decoder.session().map(str::to_owned) else {
            let detail = format!("{} opened a session without a name", self.recipe.title);
            return self.fail(Outcome::Malformed, detail, out);
        };
        let wanted = [(What::Mode, self.mode.take()), (What::Model, self.model.take())];
        for (what, wanted) in wanted {
            if what == What::Model {
                let model = chosen(wanted.as_deref(), self.decoder.offers());
                out.events.extend(model.map(AgentEvent::Model));
            }
            let Some(wanted) = wanted else { continue };
            match choose(what, &wanted, self.decoder.offers(), &session) {
                Ok(setting) => self.settings.extend(setting),
                Err(words) => return self.fail(Outcome::Unavailable, words, out),
            }
        }
        self.next_setting(out);
    }

    fn next_setting(&mut self, out: &mut Outbox) {
        match self.settings.pop_front() {
            Some(setting) => self.send(setting.method, &setting.params, Request::Setting, out),
            None => {
                let prompt = std::mem::take(&mut self.prompt);
                self.start_turn(&prompt, out);
            }
        }
    }

    fn start_turn(&mut self, words: &str, out: &mut Outbox) {
        self.awaited = true;
        self.said_something = false;
        let id = self.next_id();
        self.decoder.prompt(id, words.len());
        let params = json!({"sessionId": self.decoder.session(), "prompt": [{"type": "text", "text": words}]});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "session/prompt", "params": params});
        write(&message, out);
    }

    fn refused(&mut self, request: Request, outcome: Outcome, detail: String, out: &mut Outbox) {
        let title = self.recipe.title;
        let what = match request {
            Request::Initialize => "does not start",
            Request::New => "opens no session",
            Request::Load => "does not go on in the session",
            Request::Setting => "does not take the model or mode",
            Request::Prompt => "does not take the prompt",
        };
        // Without a class of its own it is the thing asked for that is not there.
        let outcome = match (request, outcome) {
            (Request::Load | Request::Setting, Outcome::Crashed) => Outcome::Unavailable,
            (_, outcome) => outcome,
        };
        self.fail(outcome, format!("{title} {what}: {detail}"), out);
    }

    /// Ends the turn by the protocol, which wants open requests answered first.
    fn cancel(&mut self, out: &mut Outbox) {
        self.decoder.cancelled();
        for request in self.decoder.open_asks() {
            self.decoder.take_ask(&request);
            write_result(&request, &cancelled(), out);
        }
        let params = json!({"sessionId": self.decoder.session()});
        write(
            &json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}),
            out,
        );
    }

    fn turn_ended(&mut self, mut turn: Turn, out: &mut Outbox) {
        if let Some((outcome, detail)) = self.gave_up.take() {
            turn.outcome = outcome;
            turn.detail = detail;
            turn.interrupted = false;
            if turn.outcome == Outcome::Truncated && turn.usage.total() == 0 {
                // Requests that broke off were billed, whatever the agent says.
                turn.cost = Cost::Unknown;
            } else if !self.said_something && turn.outcome != Outcome::Truncated {
                // Requests that were refused cost nothing.
                turn.usage = Usage::default();
                turn.cost = Cost::Actual(0);
            }
        }
        self.ended = Some(joined(self.ended.take(), turn));
        self.awaited = false;
        if let Some(words) = self.redirect.take() {
            return self.start_turn(&words, out);
        }
        out.standing = match self.recipe.quirks.ends_by {
            EndsBy::Eof => Standing::Over,
            // It would wait for ever with its stdin closed: it is ended by signals at once.
            EndsBy::Term => Standing::Broken,
        };
    }

    fn told(&mut self, out: &mut Outbox) {
        let speaks = |event: &AgentEvent| {
            matches!(
                event,
                AgentEvent::Text(_) | AgentEvent::Thought(_) | AgentEvent::Tool { .. }
            )
        };
        if out.events.iter().any(speaks) {
            self.said_something = true;
            self.retries = 0;
        }
        out.events.extend(self.notices.drain(..).map(AgentEvent::Notice));
        let (retries, why) = self.decoder.retrying();
        if retries > VENDOR_RETRIES_MAX && self.gave_up.is_none() {
            self.gave_up = why.cloned();
            self.opening.interrupt();
        }
    }
}

impl Protocol for Talk {
    fn begin(&mut self, out: &mut Outbox) {
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
            "clientInfo": {"name": "wheelhouse", "title": "Wheelhouse", "version": env!("CARGO_PKG_VERSION")},
        });
        self.send("initialize", &params, Request::Initialize, out);
    }

    fn line(&mut self, line: Line<'_>, out: &mut Outbox) {
        let signal = match line {
            Line::Whole(line) => self.decoder.line(line, &mut out.events),
            Line::Cut { head, tail, bytes } => self.decoder.over_long(head, tail, bytes, &mut out.events),
        };
        self.told(out);
        if self.is_listening_to_history {
            self.opening.history();
        }
        match signal {
            Signal::Quiet | Signal::Asked { .. } => {}
            Signal::Done(Request::Initialize) => self.initialized(out),
            Signal::Done(Request::New) => self.opened(out),
            Signal::Done(Request::Load) => match self.recipe.quirks.loads {
                Loads::InOrder => self.opened(out),
                Loads::Late => {
                    self.is_listening_to_history = true;
                    self.opening.history();
                }
            },
            Signal::Done(Request::Setting | Request::Prompt) => self.next_setting(out),
            Signal::Failed(request, outcome, detail) => self.refused(request, outcome, detail, out),
            Signal::TurnEnded(turn) => self.turn_ended(*turn, out),
            Signal::Unknown { request, what } => {
                let error = json!({"code": NO_SUCH_METHOD, "message": format!("unsupported request: {what}")});
                let id: Value = serde_json::from_str(&request).unwrap_or(Value::Null);
                write(&json!({"jsonrpc": "2.0", "id": id, "error": error}), out);
                if !self.unserved.contains(&what) && self.unserved.len() < UNSERVED_MAX {
                    out.events.push(AgentEvent::Notice(format!(
                        "the agent asked for something this version does not know ({what}) and was told so"
                    )));
                    self.unserved.push(what);
                }
            }
        }
    }

    /// Failed requests are told on stderr alone where an agent tries them again by itself.
    fn complaint(&mut self, line: &str) {
        let Some(retry) = retry_in(line).filter(|_| self.decoder.is_in_turn()) else {
            return;
        };
        self.retries += 1;
        let words = failure::line(retry.words);
        self.notices.push(format!("{} tries again: {words}", self.recipe.title));
        if self.retries > VENDOR_RETRIES_MAX && self.gave_up.is_none() {
            let outcome = failure::of_message(retry.status, &[], retry.words);
            self.gave_up = Some((outcome, words));
            self.opening.interrupt();
        }
    }

    fn interrupt(&mut self, out: &mut Outbox) -> bool {
        self.redirect = None;
        out.events.extend(self.notices.drain(..).map(AgentEvent::Notice));
        if self.decoder.is_in_turn() {
            self.cancel(out);
            return true;
        }
        if self.failed.is_none() {
            self.failed = Some((Outcome::Cancelled, "interrupted before the turn began".to_owned()));
        }
        false
    }

    /// The protocol has no words for a running turn; so the turn is interrupted, and the session goes on with them.
    fn steer(&mut self, words: String, out: &mut Outbox) {
        if self.decoder.is_in_turn() {
            if self.redirect.is_none() {
                self.cancel(out);
            }
            self.redirect = Some(match self.redirect.take() {
                Some(earlier) => format!("{earlier}\n\n{words}"),
                None => words,
            });
        } else if self.ended.is_none() && self.failed.is_none() {
            self.prompt.push_str("\n\n");
            self.prompt.push_str(&words);
        } else {
            out.events.push(AgentEvent::Notice(
                "words came when the turn was over; they were not heard".to_owned(),
            ));
        }
    }

    fn answer(&mut self, request: &str, reply: &Reply, out: &mut Outbox) -> bool {
        if request == HISTORY_TOLD {
            if std::mem::take(&mut self.is_listening_to_history) {
                self.opened(out);
            }
            return true;
        }
        let Some(ask) = self.decoder.take_ask(request) else {
            return false;
        };
        write_result(request, &ask.answer(reply), out);
        let is_allowed = *reply == Reply::Allow;
        if is_allowed && !ask.can_be_allowed() {
            out.events.push(AgentEvent::Notice(format!(
                "the agent takes leave for {} only for good, and it was given once: it was withheld",
                ask.tool
            )));
        }
        if !is_allowed || !ask.can_be_allowed() {
            self.decoder.denied(&ask, &mut out.events);
        }
        true
    }
}

/// A complaint about a request that is tried again.
struct Retry<'a> {
    status: Option<u64>,
    words: &'a str,
}

/// Gemini: `Attempt 1 failed with status 429. Retrying with backoff... _ApiError: {…}`. OpenCode:
/// `level=ERROR message="stream error" small=false error.error="AI_APICallError: …"`; small is what the user did not ask for.
fn retry_in(line: &str) -> Option<Retry<'_>> {
    if line.contains("message=\"stream error\"") && !line.contains("small=true") {
        let words = line.split_once("error.error=")?.1.trim_matches('"');
        return Some(Retry { status: None, words });
    }
    let after = line.split_once("Attempt ")?.1;
    let (_, after) = after.split_once(" failed")?;
    let (failed, words) = after.split_once("Retrying with backoff...")?;
    let status = failed.split_once("status ").map(|(_, rest)| rest);
    let digits = status.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    Some(Retry {
        status: digits.and_then(|digits| digits.parse().ok()),
        words: words.trim(),
    })
}

fn write_result(request: &str, result: &Value, out: &mut Outbox) {
    let id: Value = serde_json::from_str(request).unwrap_or(Value::Null);
    write(&json!({"jsonrpc": "2.0", "id": id, "result": result}), out);
}

fn write(message: &Value, out: &mut Outbox) {
    out.write.extend(message.to_string().into_bytes());
    out.write.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_found_in_complaints() {
        let gemini = "Attempt 2 failed with status 429. Retrying with backoff... _ApiError: {\"error\":{\"message\":\"slow down\"}}";
        let retry = retry_in(gemini).unwrap();
        assert_eq!(
            (retry.status, failure::line(retry.words)),
            (Some(429), "slow down".to_owned())
        );
        let opencode = r#"timestamp=T level=ERROR run=1 message="stream error" small=false error.error="AI_APICallError: Rate limit reached (fake).""#;
        let retry = retry_in(opencode).unwrap();
        assert_eq!(retry.words, "AI_APICallError: Rate limit reached (fake).");
        for other in [
            &opencode.replace("small=false", "small=true"),
            "Attempt at greatness failed",
            "Ripgrep is not available. Falling back to GrepTool.",
        ] {
            assert!(retry_in(other).is_none(), "{other}");
        }
    }
}
