//! An answer while it comes: text, usage and end, folded from the events of whichever wire format. Pure.
//!
//! Usage is folded as it arrives and stays readable whatever happens afterwards. Events that nobody knows are counted.

use serde_json::{Map, Value};
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::usage::{Usage, UsageSource};

use super::provider::Wire;
use super::trouble::Trouble;
use super::wire;
use crate::decode::{ANSWER_MAX, append_bounded, estimated_tokens};

/// More bytes than a token has on the average of any text: who counts fewer tokens has not counted them all.
const TOKEN_BYTES_MAX: u64 = 200;

/// Why a model says that it is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// It has said all.
    Done,
    /// It met a limit on its output or on its window.
    Limit,
    /// It declined, or a filter did.
    Refused,
    /// Something else, in the provider's words.
    Other(String),
}

/// What has come so far.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) wire: Wire,
    /// The answer.
    pub(super) text: String,
    /// What it said when it declined.
    pub(super) refusal: String,
    /// The provider's own numbers, as they stand.
    pub(super) raw_usage: Map<String, Value>,
    /// Some of them cannot be true: a negative one, or a total that shrank.
    doubtful: bool,
    /// The model that answers, by its own name.
    pub(super) model: Option<String>,
    /// Why it stopped, once it said so.
    pub(super) stop: Option<Stop>,
    /// Nothing further will come.
    pub(super) is_over: bool,
    /// An error in the middle of the answer.
    pub(super) trouble: Option<Trouble>,
    /// Events that were understood.
    pub(super) known: u64,
    /// Events that were not.
    pub(super) unknown: u64,
    /// How many bytes of reasoning came: what an estimate goes by.
    pub(super) thought_bytes: usize,
    /// To be told.
    pub(super) told: Vec<AgentEvent>,
}

impl Folded {
    pub(super) fn new(wire: Wire) -> Folded {
        Folded {
            wire,
            text: String::new(),
            refusal: String::new(),
            raw_usage: Map::new(),
            doubtful: false,
            model: None,
            stop: None,
            is_over: false,
            trouble: None,
            known: 0,
            unknown: 0,
            thought_bytes: 0,
            told: Vec::new(),
        }
    }

    /// Takes the data of one event.
    pub(super) fn event(&mut self, data: &[u8]) {
        if self.is_over {
            return;
        }
        if data == b"[DONE]" {
            self.known += 1;
            self.is_over = true;
            return;
        }
        let understood = match serde_json::from_slice::<Value>(data) {
            Ok(event) => wire::fold(self, &event),
            Err(_) => false,
        };
        if understood {
            self.known += 1;
        } else {
            self.unknown += 1;
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        if !text.is_empty() {
            append_bounded(&mut self.text, text, ANSWER_MAX);
            self.told.push(AgentEvent::Text(text.to_owned()));
        }
    }

    pub(super) fn think(&mut self, text: &str) {
        if !text.is_empty() {
            self.thought_bytes += text.len();
            self.told.push(AgentEvent::Thought(text.to_owned()));
        }
    }

    pub(super) fn decline(&mut self, text: &str) {
        append_bounded(&mut self.refusal, text, ANSWER_MAX);
    }

    /// Takes the provider's numbers. They are totals in all four formats: said twice they count once, and none of them
    /// becomes smaller.
    pub(super) fn count(&mut self, usage: &Value) {
        let Some(usage) = usage.as_object() else { return };
        self.doubtful |= !grow(&mut self.raw_usage, usage);
        self.told.push(AgentEvent::Usage(self.reported()));
    }

    pub(super) fn fail(&mut self, trouble: Trouble) {
        self.trouble = Some(trouble);
        self.is_over = true;
    }

    /// The five numbers in what the provider reported.
    pub(super) fn reported(&self) -> Usage {
        let usage = wire::usage(self.wire, &self.raw_usage);
        Usage {
            source: UsageSource::Reported,
            ..usage
        }
    }

    /// The best that is known of what the request consumed. Numbers of an answer that was cut off are an estimate: the
    /// provider tells the output only at the end. So are numbers that cannot be true.
    pub(super) fn usage(&self, prompt_bytes: usize) -> Usage {
        let reported = self.reported();
        if !self.raw_usage.is_empty() && self.stop.is_some() && !self.doubtful && self.is_possible(&reported) {
            return reported;
        }
        let prompt = [reported.input, reported.cache_read, reported.cache_write];
        let input = match prompt.iter().sum() {
            0_u64 => estimated_tokens(prompt_bytes),
            _ => reported.input,
        };
        Usage {
            input,
            output: reported.output.max(estimated_tokens(self.text.len())),
            reasoning: reported.reasoning.max(estimated_tokens(self.thought_bytes)),
            source: UsageSource::Estimated,
            ..reported
        }
    }

    /// Whether that can be all: no prompt is empty, and no token is that long.
    fn is_possible(&self, reported: &Usage) -> bool {
        let prompt = [reported.input, reported.cache_read, reported.cache_write];
        let said = reported.output.saturating_add(reported.reasoning);
        prompt.iter().any(|count| *count > 0) && self.text.len() as u64 <= said.saturating_mul(TOKEN_BYTES_MAX)
    }
}

/// Takes over what is larger, also inside of objects. False when something was negative or smaller than before.
fn grow(known: &mut Map<String, Value>, new: &Map<String, Value>) -> bool {
    let mut is_sound = true;
    for (name, value) in new.iter().filter(|(_, value)| !value.is_null()) {
        let is_taken = match (known.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(new)) => {
                is_sound &= grow(known, new);
                continue;
            }
            (_, Value::Object(new)) => {
                let mut inner = Map::new();
                is_sound &= grow(&mut inner, new);
                known.insert(name.clone(), inner.into());
                continue;
            }
            // Times and other numbers are as they are.
            (_, Value::Number(_)) if !name.to_lowercase().contains("token") => true,
            (Some(known), Value::Number(new)) => known.as_f64() <= new.as_f64(),
            (None, Value::Number(new)) => new.as_f64() >= Some(0.0),
            (_, _) => true,
        };
        match is_taken {
            true => drop(known.insert(name.clone(), value.clone())),
            false => is_sound = false,
        }
    }
    is_sound
}
