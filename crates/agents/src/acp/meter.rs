//! What a turn consumed, from the numbers that agents put into the end of a turn and into `usage_update`.
//!
//! Agents agree on the names and not on what they mean: thoughts inside the output or beside it, the cache inside the
//! input or beside it. The total that comes with them says which it is. Gemini gives no parts at all, so its cached input
//! counts as input. Money comes as the session's total; a turn's is the difference.

use serde::Deserialize;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::recipe::Covers;
use crate::decode::estimated_tokens;
use crate::decode::jsonl::Field;

/// `usage` of an answer to a prompt.
#[derive(Deserialize)]
struct Standard<'a> {
    #[serde(borrow, default, rename = "inputTokens")]
    input: Field<'a>,
    #[serde(borrow, default, rename = "outputTokens")]
    output: Field<'a>,
    #[serde(borrow, default, rename = "cachedReadTokens")]
    cache_read: Field<'a>,
    #[serde(borrow, default, rename = "cachedWriteTokens")]
    cache_write: Field<'a>,
    #[serde(borrow, default, rename = "thoughtTokens")]
    thought: Field<'a>,
    #[serde(borrow, default, rename = "totalTokens")]
    total: Field<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    quota: Field<'a>,
    /// Of one call to the model, where an agent counts them apart.
    #[serde(borrow, default)]
    usage: Field<'a>,
}

#[derive(Deserialize)]
struct Quota<'a> {
    #[serde(borrow, default)]
    token_count: Field<'a>,
    #[serde(borrow, default)]
    model_usage: Field<'a>,
}

/// Gemini's form. Others put their own names there and have a `usage` beside it.
#[derive(Deserialize)]
struct Count<'a> {
    #[serde(borrow, default)]
    input_tokens: Field<'a>,
    #[serde(borrow, default)]
    output_tokens: Field<'a>,
}

#[derive(Deserialize)]
struct OfModel<'a> {
    #[serde(borrow, default)]
    model: Field<'a>,
}

#[derive(Deserialize)]
struct Money<'a> {
    #[serde(borrow, default)]
    amount: Field<'a>,
    #[serde(borrow, default)]
    currency: Field<'a>,
}

/// Counts money over the turns of one session.
#[derive(Debug)]
pub(super) struct Meter {
    covers: Covers,
    /// The session's total when the turn began; none when nobody knows.
    base_nano: Option<u64>,
    now_nano: Option<u64>,
    /// Calls of the turn that were counted one by one.
    calls: Usage,
    /// What this process has reported so far, where it counts over turns.
    reported: Usage,
}

impl Meter {
    pub(super) fn new(covers: Covers, is_resumed: bool) -> Meter {
        Meter {
            covers,
            base_nano: (!is_resumed).then_some(0),
            now_nano: None,
            calls: Usage::default(),
            reported: Usage::default(),
        }
    }

    /// The count of one call, where it comes with a piece of the answer.
    pub(super) fn call(&mut self, meta: Field<'_>) {
        let usage = meta.read::<Meta<'_>>().map(|meta| meta.usage).unwrap_or_default();
        if let Some(call) = standard(usage) {
            self.calls = match self.calls.total() {
                0 => call,
                _ => self.calls.plus(call),
            };
        }
    }

    /// The money of a `usage_update`.
    pub(super) fn money(&mut self, cost: Field<'_>, is_in_turn: bool) {
        let Some(money) = cost.read::<Money<'_>>() else { return };
        // Nobody is paid for asking: a negative sum says nothing.
        let is_sum = |amount: &f64| *amount >= 0.0 && money.currency.is("USD");
        let Some(amount) = money.amount.float().filter(is_sum) else {
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and the amount is not negative"
        )]
        let nano = (amount * 1e9).round() as u64;
        self.now_nano = Some(nano);
        if !is_in_turn {
            self.base_nano = Some(nano);
        }
    }

    /// Another turn begins.
    pub(super) fn turn(&mut self) {
        if self.now_nano.is_some() {
            self.base_nano = self.now_nano;
        }
        self.calls = Usage::default();
    }

    /// The money of the turn; none when nobody told, or the sum shrank.
    fn spent(&self) -> Option<u64> {
        self.now_nano?.checked_sub(self.base_nano?)
    }

    /// Usage and cost of a turn that ended as it should, or by an interrupt. `said` is what passed by, in bytes.
    pub(super) fn ended(&mut self, usage: Field<'_>, meta: Field<'_>, work: Work) -> (Usage, Cost) {
        let reported = standard(usage)
            .or_else(|| by_quota(meta))
            .map(|usage| self.of_the_turn(usage))
            .or(Some(self.calls))
            .filter(|usage| usage.total() > 0);
        let Some(mut usage) = reported else {
            return self.unreported(work);
        };
        if self.covers == Covers::LastCall && work.had_tools {
            usage.source = UsageSource::Estimated;
        }
        (usage, self.spent().map_or(Cost::Unknown, Cost::Actual))
    }

    fn of_the_turn(&mut self, said: Usage) -> Usage {
        if self.covers != Covers::Process {
            return said;
        }
        said.since(std::mem::replace(&mut self.reported, said))
    }

    /// The same when nobody counted: estimated, and free only if nothing came of it.
    pub(super) fn unreported(&self, work: Work) -> (Usage, Cost) {
        if work.refused && work.said_bytes == 0 && !work.had_tools {
            return (Usage::default(), Cost::Actual(self.spent().unwrap_or(0)));
        }
        let usage = Usage {
            input: estimated_tokens(work.prompt_bytes),
            output: estimated_tokens(work.said_bytes),
            ..Usage::default()
        };
        // An interrupted turn is billed and not counted: no difference is no price.
        let spent = self.spent().filter(|nano| *nano > 0);
        (usage, spent.map_or(Cost::Unknown, Cost::Actual))
    }
}

/// What is known of a turn without anybody's count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub(super) prompt_bytes: usize,
    pub(super) said_bytes: usize,
    pub(super) had_tools: bool,
    /// The provider refused it.
    pub(super) refused: bool,
}

fn standard(usage: Field<'_>) -> Option<Usage> {
    let usage = usage.read::<Standard<'_>>()?;
    let number = |field: Field<'_>| field.number().unwrap_or(0);
    let (mut input, mut output) = (usage.input.number()?, usage.output.number()?);
    let (cache_read, cache_write) = (number(usage.cache_read), number(usage.cache_write));
    let thought = number(usage.thought);
    let cached = cache_read.saturating_add(cache_write);
    if let Some(total) = usage.total.number() {
        let sum = input.saturating_add(output);
        let is_cache_inside = total == sum || total == sum.saturating_add(thought);
        if cached > 0 && is_cache_inside {
            input = input.saturating_sub(cached);
        }
        let apart = input.saturating_add(output).saturating_add(cached);
        if thought > 0 && total == apart {
            output = output.saturating_sub(thought);
        }
    }
    Some(Usage {
        input,
        cache_read,
        cache_write,
        output,
        reasoning: thought,
        source: UsageSource::Reported,
    })
}

fn by_quota(meta: Field<'_>) -> Option<Usage> {
    let quota = meta.read::<Meta<'_>>()?.quota.read::<Quota<'_>>()?;
    let count = quota.token_count.read::<Count<'_>>()?;
    Some(Usage {
        input: count.input_tokens.number()?,
        output: count.output_tokens.number()?,
        source: UsageSource::Reported,
        ..Usage::default()
    })
}

/// The model that did most of a turn, where the end of it names one.
pub(super) fn model(meta: Field<'_>) -> Option<String> {
    let quota = meta.read::<Meta<'_>>()?.quota.read::<Quota<'_>>()?;
    let first = quota.model_usage.items().into_iter().next()?;
    first.read::<OfModel<'_>>()?.model.string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder<'a> {
        #[serde(borrow, default)]
        usage: Field<'a>,
        #[serde(borrow, default, rename = "_meta")]
        meta: Field<'a>,
    }

    #[test]
    fn the_total_says_what_is_inside_what() {
        for (json, expected) in [
            // Claude: all apart.
            (
                r#"{"usage":{"inputTokens":100,"outputTokens":7,"cachedReadTokens":2000,"cachedWriteTokens":300,"totalTokens":2407}}"#,
                [100, 2000, 300, 7, 0],
            ),
            // Codex: thoughts inside the output.
            (
                r#"{"usage":{"inputTokens":50,"outputTokens":30,"thoughtTokens":20,"totalTokens":80}}"#,
                [50, 0, 0, 10, 20],
            ),
            // OpenCode: thoughts beside it.
            (
                r#"{"usage":{"inputTokens":50,"outputTokens":10,"thoughtTokens":20,"totalTokens":80}}"#,
                [50, 0, 0, 10, 20],
            ),
            // The cache inside the input, thoughts inside the output.
            (
                r#"{"usage":{"inputTokens":2100,"outputTokens":30,"cachedReadTokens":2000,"thoughtTokens":20,"totalTokens":2130}}"#,
                [100, 2000, 0, 10, 20],
            ),
            // Gemini.
            (
                r#"{"_meta":{"quota":{"token_count":{"input_tokens":2100,"output_tokens":7}}}}"#,
                [2100, 0, 0, 7, 0],
            ),
        ] {
            let holder: Holder<'_> = serde_json::from_str(json).unwrap();
            let (usage, _) = Meter::new(Covers::Turn, false).ended(holder.usage, holder.meta, Work::default());
            let seen = [
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.output,
                usage.reasoning,
            ];
            assert_eq!((seen, usage.source), (expected, UsageSource::Reported), "{json}");
        }
    }

    #[test]
    fn money_is_the_difference_and_unknown_where_the_beginning_is() {
        let told = |amount: &str| format!(r#"{{"usage":{{"amount":{amount},"currency":"USD"}}}}"#);
        let (first, second) = (told("0.5"), told("0.75"));
        let field = |json: &'static str| serde_json::from_str::<Holder<'static>>(json).unwrap().usage;
        let (first, second) = (
            field(Box::leak(first.into_boxed_str())),
            field(Box::leak(second.into_boxed_str())),
        );
        let mut meter = Meter::new(Covers::Turn, false);
        meter.money(first, true);
        assert_eq!(meter.spent(), Some(500_000_000));
        meter.turn();
        meter.money(second, true);
        assert_eq!(meter.spent(), Some(250_000_000));

        let mut resumed = Meter::new(Covers::Turn, true);
        resumed.money(second, true);
        assert_eq!(resumed.spent(), None);
        let mut told_before = Meter::new(Covers::Turn, true);
        told_before.money(first, false);
        told_before.turn();
        told_before.money(second, true);
        assert_eq!(told_before.spent(), Some(250_000_000));
    }
}
