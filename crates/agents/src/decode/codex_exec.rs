//! `codex exec --json`, decoded.
//!
//! One [`CodexExec`] follows one process, which does one turn. Usage at its end is the whole thread's, so the caller
//! says where the thread stood before. What the sandbox refused is told on stderr alone: give it to
//! [`CodexExec::stderr`].

use serde::Deserialize;
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, Usage};

use super::codex::{Item, Phase, TRIES_AGAIN, Totals, TurnError, Work, estimate, failed, failed_in_words, uncounted};
use super::jsonl::Field;
use super::{Denial, DeniedBy, Signal, Turn, cut, raw};

/// The state of one `codex exec` process.
#[derive(Debug, Default)]
pub struct CodexExec {
    thread: Option<String>,
    before: Option<Totals>,
    after: Option<Totals>,
    prompt_bytes: usize,
    work: Work,
    /// The last error in its own words; classified only when somebody asks.
    error: Option<String>,
    /// Announced tries since anything came of one.
    retries: u32,
    unknown: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Field<'a>,
    #[serde(borrow, default)]
    thread_id: Field<'a>,
    #[serde(borrow, default)]
    item: Field<'a>,
    #[serde(borrow, default)]
    usage: Field<'a>,
    #[serde(borrow, default)]
    error: Field<'a>,
    #[serde(borrow, default)]
    message: Field<'a>,
}

impl CodexExec {
    /// A decoder for a turn in a thread that stood at `before`: zero for a new one, none when nobody knows.
    pub fn new(before: Option<Totals>, prompt_bytes: usize) -> CodexExec {
        CodexExec {
            before,
            prompt_bytes,
            ..CodexExec::default()
        }
    }

    /// Takes one line of stdout. Each line is at least a sign of life.
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
        match parsed.kind.text().unwrap_or_default().as_ref() {
            "thread.started" => {
                self.thread = parsed.thread_id.string();
                events.push(AgentEvent::Started {
                    session: self.thread.clone(),
                    process: None,
                });
            }
            "turn.started" => events.push(AgentEvent::Alive),
            "item.started" | "item.updated" => return self.item(&parsed, Phase::Begun, line, events),
            "item.completed" => return self.item(&parsed, Phase::Over, line, events),
            "turn.completed" => return self.completed(parsed.usage, events),
            "turn.failed" => return self.failed(parsed.error, events),
            "error" => self.error_line(parsed.message, events),
            _ => return self.not_understood(line, events),
        }
        Signal::Quiet
    }

    /// Takes what is left of a line that was too long.
    pub fn over_long(&mut self, head: &[u8], _tail: &[u8], bytes: u64, events: &mut Vec<AgentEvent>) -> Signal {
        events.push(AgentEvent::Notice(format!(
            "a line of {bytes} bytes was too long and is not shown"
        )));
        // Items come back in order, and only their text can be that long; the end of a turn is a short line.
        if memchr::memmem::find(head, br#""type":"agent_message""#).is_some() {
            self.work.text = "(an answer too long to be taken whole)".to_owned();
        }
        Signal::Quiet
    }

    /// Takes one line of stderr.
    pub fn stderr(&mut self, line: &str) {
        if line.contains("patch rejected") || line.contains("blocked by read-only sandbox") {
            self.work.denials.push(Denial {
                tool: "edit".to_owned(),
                detail: "the sandbox does not allow writing".to_owned(),
                by: DeniedBy::Vendor,
            });
        }
    }

    /// The thread, as soon as it is known.
    pub fn session(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// Where the thread stands now, for the next turn in it.
    pub fn totals(&self) -> Option<Totals> {
        self.after
    }

    /// Lines that nobody understood.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// How often the program has announced another try since anything came of one.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// The process is gone and no end came. The class is the caller's.
    pub fn unfinished(&mut self, outcome: Outcome, detail: String) -> Turn {
        // Without a thread nothing was ever sent.
        let usage = match self.thread {
            Some(_) => uncounted(&outcome, self.prompt_bytes, self.work.bytes),
            None => Usage::default(),
        };
        self.turn(outcome, detail, usage)
    }

    /// What the process itself called the reason, when it said one and then went without an end of turn.
    pub fn last_error(&self) -> Option<(Outcome, String)> {
        self.error.as_deref().map(failed_in_words)
    }

    fn not_understood(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        self.unknown += 1;
        events.push(raw(line));
        Signal::Quiet
    }

    fn item(&mut self, parsed: &Line<'_>, phase: Phase, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        match parsed.item.read::<Item<'_>>() {
            Some(item) if self.work.item(&item, phase, events) => {
                self.retries = 0;
                Signal::Quiet
            }
            _ => self.not_understood(line, events),
        }
    }

    fn error_line(&mut self, message: Field<'_>, events: &mut Vec<AgentEvent>) {
        let message = message.text().unwrap_or_default();
        self.error = Some(message.clone().into_owned());
        if message.starts_with(TRIES_AGAIN) {
            self.retries += 1;
            events.push(AgentEvent::Notice(format!(
                "the vendor's program tries again: {}",
                cut(&message, 300)
            )));
            return;
        }
        events.push(AgentEvent::Notice(cut(&message, 300)));
    }

    fn completed(&mut self, usage: Field<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        self.after = Totals::read(usage);
        let usage = match (self.after, self.before) {
            (Some(after), Some(before)) => after.since(before).usage(),
            _ => estimate(self.prompt_bytes, self.work.bytes),
        };
        let refused = self
            .work
            .denials
            .iter()
            .find(|denial| denial.by == DeniedBy::Vendor)
            .cloned();
        let (outcome, detail) = match refused {
            Some(denial) => (
                Outcome::GateFailed,
                format!(
                    "it claims success, but {} was refused by Codex's own settings ({}); \
                     set the sandbox of this agent, or use the app-server, which asks",
                    denial.tool,
                    cut(&denial.detail, 100)
                ),
            ),
            None if self.work.text.trim().is_empty() && self.work.came_back == 0 => {
                (Outcome::Empty, "it ended well and said nothing".to_owned())
            }
            None => (Outcome::Succeeded, String::new()),
        };
        events.push(AgentEvent::Usage(usage));
        Signal::TurnEnded(Box::new(self.turn(outcome, detail, usage)))
    }

    fn failed(&mut self, error: Field<'_>, events: &mut Vec<AgentEvent>) -> Signal {
        let (outcome, detail) = match error.read::<TurnError<'_>>() {
            Some(error) => failed(&error, None),
            None => self
                .last_error()
                .unwrap_or((Outcome::Crashed, "the turn failed".to_owned())),
        };
        // Codex tells no usage of a failed turn.
        let usage = uncounted(&outcome, self.prompt_bytes, self.work.bytes);
        events.push(AgentEvent::Usage(usage));
        Signal::TurnEnded(Box::new(self.turn(outcome, detail, usage)))
    }

    fn turn(&mut self, outcome: Outcome, detail: String, usage: Usage) -> Turn {
        let work = std::mem::take(&mut self.work);
        Turn {
            outcome,
            detail,
            text: work.text,
            usage,
            cost: cost(usage),
            session: self.thread.clone(),
            denials: work.denials,
            files: work.files,
            model: None,
            version: None,
            interrupted: false,
        }
    }
}

/// Codex never says what it cost.
pub(super) fn cost(usage: Usage) -> Cost {
    if usage.total() == 0 {
        Cost::Actual(0)
    } else {
        Cost::Unknown
    }
}
