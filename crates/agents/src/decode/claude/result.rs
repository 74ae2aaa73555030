//! The end of a Claude turn: what really happened, what it consumed, what it cost.
//!
//! `subtype`, `is_error` and the exit code say three different things. A request that failed is
//! `subtype:"success", is_error:true`; a tool that was refused is `is_error:false`; money and `modelUsage` are the
//! session's, over processes, and only `model_usage_since_last_result` is this turn's with its children in it.

use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::wire::{DenialLine, ModelTokens, ResultLine};
use super::{Claude, InTurn, Stream, meter};
use crate::decode::failure::{Failure, class};
use crate::decode::jsonl::Field;
use crate::decode::{Denial, DeniedBy, NAMED_MAX, Signal, Turn, cut};

/// How long the one line for people may be, in bytes.
const LINE_MAX: usize = 500;

impl Claude {
    pub(super) fn result(&mut self, line: &[u8], events: &mut Vec<AgentEvent>) -> Signal {
        let Ok(result) = serde_json::from_slice::<ResultLine<'_>>(line) else {
            // The turn is over whatever else the line says; not to see that would be a hang.
            events.push(crate::decode::raw(line));
            self.unknown += 1;
            return self.result_without_details(false, events);
        };
        if self.session.is_none() {
            self.session = result.session_id.string();
        }
        self.add_denials(result.permission_denials);
        let (usage, cost) = self.consumption(&result);
        let (outcome, detail) = self.ending(&result);
        let interrupted = is_interrupted(&result);
        let answer = result.result.string().filter(|_| !result.is_error.truth());
        let text = answer.unwrap_or_else(|| std::mem::take(&mut self.turn.text));
        self.end_turn(outcome, detail, text, usage, cost, interrupted, events)
    }

    /// A result of which nothing but its kind could be read.
    pub(super) fn result_without_details(&mut self, well: bool, events: &mut Vec<AgentEvent>) -> Signal {
        let (outcome, detail) = if well {
            (Outcome::Succeeded, "")
        } else {
            (Outcome::Malformed, "the last line of the turn could not be read")
        };
        let text = std::mem::take(&mut self.turn.text);
        let usage = self.turn.meter.so_far();
        self.end_turn(outcome, detail.to_owned(), text, usage, Cost::Unknown, false, events)
    }

    /// The process is gone or given up and no result came: what is known of the turn. The class is the caller's, who
    /// knows how the process ended.
    pub fn unfinished(&mut self, outcome: Outcome, detail: String) -> Turn {
        let text = std::mem::take(&mut self.turn.text);
        let usage = self.turn.meter.so_far();
        let cost = if usage.total() == 0 {
            Cost::Actual(0)
        } else {
            Cost::Unknown
        };
        match self.end_turn(outcome, detail, text, usage, cost, false, &mut Vec::new()) {
            Signal::TurnEnded(turn) => *turn,
            _ => unreachable!("a turn that is ended gives a turn"),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a turn, put together in one place"
    )]
    fn end_turn(
        &mut self,
        outcome: Outcome,
        detail: String,
        text: String,
        usage: Usage,
        cost: Cost,
        interrupted: bool,
        events: &mut Vec<AgentEvent>,
    ) -> Signal {
        let turn = std::mem::take(&mut self.turn);
        self.spent = self.sum(usage);
        self.turns += 1;
        self.in_turn = false;
        self.asks.clear();
        events.push(AgentEvent::Usage(self.spent));
        Signal::TurnEnded(Box::new(Turn {
            outcome,
            detail: cut(&detail, LINE_MAX),
            text,
            usage,
            cost,
            session: self.session.clone(),
            denials: turn.denials,
            files: turn.files,
            model: self.model.clone(),
            version: self.version.clone(),
            interrupted,
        }))
    }

    fn add_denials(&mut self, denials: Field<'_>) {
        for denial in denials.items().into_iter().take(NAMED_MAX) {
            let Some(denial) = denial.read::<DenialLine<'_>>() else {
                continue;
            };
            let tool = denial.tool_name.string().unwrap_or_default();
            let call = denial.tool_use_id.text().unwrap_or_default();
            let by = if self.turn.refused.contains(call.as_ref()) {
                DeniedBy::Host
            } else {
                DeniedBy::Vendor
            };
            self.turn.denials.push(Denial::of(tool, denial.tool_input, by));
        }
    }

    fn ending(&self, result: &ResultLine<'_>) -> (Outcome, String) {
        if !result.is_error.truth() && result.subtype.is("success") {
            return good_ending(&self.turn, result);
        }
        let message = result.result.string().unwrap_or_else(|| {
            let errors = result.errors.items().into_iter().filter_map(Field::text);
            errors.collect::<Vec<_>>().join("; ")
        });
        if is_interrupted(result) {
            return (Outcome::Cancelled, "the turn was interrupted".to_owned());
        }
        let subtype = result.subtype.text().unwrap_or_default();
        let outcome = match subtype.as_ref() {
            "error_max_turns" => Outcome::Truncated,
            "error_max_budget_usd" => Outcome::BudgetExhausted,
            "error_max_structured_output_retries" => Outcome::Malformed,
            _ => self.failed_request(result, &message),
        };
        (outcome, message)
    }

    fn failed_request(&self, result: &ResultLine<'_>, message: &str) -> Outcome {
        let kinds: Vec<_> = [
            result.api_error_type,
            result.api_error,
            result.terminal_reason,
            result.stop_reason,
        ]
        .into_iter()
        .filter_map(Field::text)
        // `api_error` as a reason says only that some request failed; as a type it is a server error.
        .filter(|kind| kind != "api_error" || result.api_error_type.is("api_error"))
        .collect();
        let outcome = class(&Failure {
            status: result.api_error_status.number(),
            kinds: kinds.iter().map(AsRef::as_ref).collect(),
            message,
            retry_after_ms: self.turn.retry_after_ms,
            resets_at: self.turn.resets_at,
        });
        match outcome {
            Outcome::RateLimited { .. } if self.turn.limited => Outcome::Quota {
                resets_at: self.turn.resets_at,
            },
            other => other,
        }
    }

    /// Tokens and money of this turn.
    fn consumption(&mut self, result: &ResultLine<'_>) -> (Usage, Cost) {
        let total_usd = result.total_cost_usd.float();
        let totals = models(result.model_usage);
        let turn = models(result.model_usage_since_last_result);
        let earlier_usage = self.session_usage.take();
        let earlier_usd = self.session_cost_usd.take();
        self.session_usage = totals.as_ref().map(|totals| totals.usage);
        self.session_cost_usd = total_usd;

        let own = meter::usage(result.usage);
        let counted = turn.as_ref().map(|turn| turn.usage);
        let difference = match (self.session_usage, earlier_usage) {
            (Some(now), Some(before)) => Some(now.since(before)),
            _ => None,
        };
        let mut usage = counted.or(difference).filter(|usage| usage.total() > 0).unwrap_or(own);
        let metered = self.turn.meter.so_far();
        if usage.total() == 0 && metered.total() > 0 {
            // After an interrupt older releases say zero, although the provider billed the input.
            usage = metered;
        }
        if is_interrupted(result) && usage.total() > 0 {
            usage.source = UsageSource::Estimated;
        }
        if usage.total() == 0 && was_lost(result) {
            // The request went out and its answer was lost: the CLI says zero, and nobody knows.
            usage.source = UsageSource::Estimated;
            return (usage, Cost::Unknown);
        }
        (
            usage,
            self.cost(
                turn.as_ref().or(totals.as_ref()),
                turn.is_some(),
                total_usd,
                earlier_usd,
            ),
        )
    }

    fn cost(&self, models: Option<&Models>, is_turn: bool, total_usd: Option<f64>, earlier_usd: Option<f64>) -> Cost {
        let unpriced = models.is_some_and(|models| models.unpriced);
        let first_party = models.is_none_or(|models| models.first_party);
        if unpriced {
            return Cost::Unknown;
        }
        if first_party && self.api_key_source.as_deref() == Some("none") {
            return Cost::Included;
        }
        let usd = match (models.filter(|_| is_turn), total_usd, earlier_usd) {
            (Some(models), _, _) => Some(models.cost_usd),
            (None, Some(total), Some(earlier)) => Some(total - earlier),
            // What an earlier process of this session spent is in this number; nobody can take it out.
            (None, Some(total), None) => (total == 0.0).then_some(0.0),
            (None, None, _) => None,
        };
        // Nobody is paid for asking: such a figure is none. A difference of equal sums may be off by a hair.
        usd.filter(|usd| *usd > -1e-9)
            .map_or(Cost::Unknown, |usd| Cost::Actual(nano(usd)))
    }
}

fn good_ending(turn: &InTurn, result: &ResultLine<'_>) -> (Outcome, String) {
    let text = result.result.text().unwrap_or_default();
    let stop_reason = result.stop_reason.text().unwrap_or_default();
    match stop_reason.as_ref() {
        "refusal" => return (Outcome::Refused, "the model declined".to_owned()),
        "max_tokens" => {
            return (
                Outcome::Truncated,
                "the answer reached the model's output limit".to_owned(),
            );
        }
        "model_context_window_exceeded" => {
            return (
                Outcome::ContextTooLong,
                "the answer reached the end of the model's window".to_owned(),
            );
        }
        _ => {}
    }
    let own = meter::usage(result.usage);
    let broken = turn.stream == Stream::Open || turn.stated_output.is_some_and(|stated| own.output < stated);
    if broken {
        return (
            Outcome::Truncated,
            "the stream of the model broke and the answer is a part of it".to_owned(),
        );
    }
    let by_vendor: Vec<&Denial> = turn
        .denials
        .iter()
        .filter(|denial| denial.by == DeniedBy::Vendor)
        .collect();
    if let Some(denial) = by_vendor.first()
        && turn.changed_at_denial == Some(turn.changed)
    {
        let detail = format!(
            "it claims success, but {} ({}) was denied by Claude Code's own permission settings and nothing changed after that; \
             allow the tool, or set the permission mode of this agent",
            denial.tool,
            cut(&denial.detail, 100)
        );
        return (Outcome::GateFailed, detail);
    }
    if text.trim().is_empty() && turn.came_back == 0 {
        return (Outcome::Empty, "it ended well and said nothing".to_owned());
    }
    let detail = match turn.denials.as_slice() {
        [] => String::new(),
        [one] => format!("{} ({}) was denied", one.tool, cut(&one.detail, 100)),
        [first, rest @ ..] => format!("{} and {} more tool calls were denied", first.tool, rest.len()),
    };
    (Outcome::Succeeded, detail)
}

fn is_interrupted(result: &ResultLine<'_>) -> bool {
    result
        .terminal_reason
        .text()
        .is_some_and(|reason| reason.starts_with("aborted"))
}

/// Whether a request failed after it had been sent, without an answer of the provider.
fn was_lost(result: &ResultLine<'_>) -> bool {
    let words = result.result.text().unwrap_or_default().to_lowercase();
    result.is_error.truth()
        && !result.api_error_status.is_some()
        && ["econnreset", "was lost", "connection closed", "timed out", "socket"]
            .iter()
            .any(|lost| words.contains(lost))
}

/// All models of a usage map together.
struct Models {
    usage: Usage,
    cost_usd: f64,
    /// Some of them have no price that anybody knows.
    unpriced: bool,
    /// All of them were served by Anthropic itself.
    first_party: bool,
}

fn models(map: Field<'_>) -> Option<Models> {
    if !map.is_some() {
        return None;
    }
    let mut all = Models {
        usage: Usage {
            source: UsageSource::Reported,
            ..Usage::default()
        },
        cost_usd: 0.0,
        unpriced: false,
        first_party: true,
    };
    for entry in map.members().into_values() {
        let entry = entry.read::<ModelTokens<'_>>()?;
        all.usage = all.usage.plus(meter::model_usage(&entry));
        all.cost_usd += entry.cost_usd.float().unwrap_or(0.0);
        all.unpriced |= entry.cost_basis.is("unknown");
        all.first_party &= !entry.provider.is_some() || entry.provider.is("firstParty");
    }
    Some(all)
}

fn nano(usd: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and a negative cost becomes zero"
    )]
    let nano = (usd * 1e9).round() as u64;
    nano
}
