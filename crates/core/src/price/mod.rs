//! What tokens cost: a table of prices by model and day, and the arithmetic on it.
//!
//! Rates are whole nano-dollars per million tokens, so that every sum is exact. A row is true from a day on and is never
//! overwritten: what was used last month is priced by last month's row, and the past can be priced anew at any time.
//! [`Table::shipped`] is the table that comes with the program; [`import`] reads the public JSON tables on top of it.
//! Nothing here knows what was used: usage comes in as [`Usage`], by whom it is billed as [`Billing`].

pub mod again;
pub mod import;
mod table;

use serde::{Deserialize, Serialize};

use crate::day::Day;
use crate::usage::{Cost, Usage};

pub use table::{BadTable, Match, Table};

/// Nano-dollars of a dollar.
pub const NANO_PER_USD: u64 = 1_000_000_000;
/// Tokens that a rate is given for.
const TOKENS_PER_RATE: u128 = 1_000_000;

/// Rates in nano-dollars per million tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Rates {
    /// Prompt tokens that no cache served.
    pub input: u64,
    /// Answer tokens; reasoning is billed as these.
    pub output: u64,
    /// Prompt tokens read from the cache; absent where the provider knows no cache price, and then it is the input's.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache that lasts some minutes; absent where writing costs nothing beside the input.
    pub cache_write: Option<u64>,
    /// The same for a cache that lasts an hour or more.
    pub cache_write_long: Option<u64>,
}

/// Rates for the whole request once its prompt is longer than a threshold: the cliff.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Cliff {
    /// A prompt of more tokens than this.
    pub above_tokens: u64,
    /// Costs this.
    pub rates: Rates,
}

/// The price of one model over some time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Price {
    /// The model's name at its provider.
    pub model: String,
    /// Who serves it.
    pub provider: String,
    /// The first day it is true for; absent: since ever.
    pub from: Option<Day>,
    /// The last day it is true for; absent: until a later row.
    pub to: Option<Day>,
    /// The rates of a request below every cliff.
    pub rates: Rates,
    /// In ascending order of thresholds.
    pub cliffs: Vec<Cliff>,
    /// The largest prompt it takes, where known.
    pub window: Option<u64>,
    /// The day from which it is no longer served.
    pub retires: Option<Day>,
    /// Where the row comes from.
    pub source: String,
}

/// What a usage is the sum of. Cliffs concern single requests; of many together nobody knows who was above one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requests {
    /// One request: its prompt is the usage's.
    One,
    /// Several, or nobody knows how many.
    Many,
}

/// Who pays for an agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// What the agent itself says: its own figure, included or unknown; then the table.
    #[default]
    Reported,
    /// By the token: what the agent does not say comes from the table.
    Api,
    /// A flat fee: no marginal cost, whatever figure the agent prints.
    Subscription,
    /// No model is asked.
    Free,
}

impl Billing {
    /// The name in configuration and documents.
    pub fn name(self) -> &'static str {
        match self {
            Billing::Reported => "reported",
            Billing::Api => "api",
            Billing::Subscription => "subscription",
            Billing::Free => "free",
        }
    }

    /// By that name.
    pub fn named(name: &str) -> Option<Billing> {
        [Billing::Reported, Billing::Api, Billing::Subscription, Billing::Free]
            .into_iter()
            .find(|billing| billing.name() == name)
    }
}

impl Price {
    /// What the usage costs in nano-dollars, rounded to the nearest; saturates.
    pub fn cost_nano(&self, usage: &Usage, requests: Requests) -> u64 {
        let Usage {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            source: _,
        } = *usage;
        let prompt = input.saturating_add(cache_read).saturating_add(cache_write);
        let rates = match requests {
            Requests::One => self.rates_at(prompt),
            Requests::Many => self.rates,
        };
        let of = |tokens: u64, rate: u64| u128::from(tokens) * u128::from(rate);
        let sum = of(input, rates.input)
            + of(cache_read, rates.cache_read.unwrap_or(rates.input))
            + of(cache_write, rates.cache_write.unwrap_or(rates.input))
            + of(output, rates.output)
            + of(reasoning, rates.output);
        u64::try_from((sum + TOKENS_PER_RATE / 2) / TOKENS_PER_RATE).unwrap_or(u64::MAX)
    }

    /// The rates of a request with so long a prompt.
    pub fn rates_at(&self, prompt_tokens: u64) -> Rates {
        let above = |cliff: &&Cliff| prompt_tokens > cliff.above_tokens;
        self.cliffs
            .iter()
            .rev()
            .find(above)
            .map_or(self.rates, |cliff| cliff.rates)
    }

    /// Whether the row is true for that day.
    pub fn is_of(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// Whether the model is no longer served on that day.
    pub fn is_retired(&self, day: Day) -> bool {
        self.retires.is_some_and(|retires| retires <= day)
    }
}

/// What a try cost, in the order of what is known best: nothing was asked, included, the agent's own figure, the table.
/// A usage of zero that was only estimated proves nothing, so it stays unknown.
pub fn settle(reported: Cost, billing: Billing, price: Option<&Price>, usage: &Usage, requests: Requests) -> Cost {
    match (billing, reported) {
        (Billing::Free, _) | (_, Cost::Free) => Cost::Free,
        (Billing::Subscription, _) => Cost::Included,
        (Billing::Api | Billing::Reported, Cost::Actual(nano)) => Cost::Actual(nano),
        (Billing::Api | Billing::Reported, Cost::Priced(nano)) => Cost::Priced(nano),
        (Billing::Reported, Cost::Included) => Cost::Included,
        (Billing::Api, Cost::Included) | (Billing::Api | Billing::Reported, Cost::Unknown) => match price {
            Some(price) if usage.total() > 0 => Cost::Priced(price.cost_nano(usage, requests)),
            Some(_) | None => Cost::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::UsageSource;

    fn usage(input: u64, cache_read: u64, cache_write: u64, output: u64, reasoning: u64) -> Usage {
        Usage {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            source: UsageSource::Reported,
        }
    }

    fn on(model: &str, day: &str) -> Price {
        Table::shipped()
            .find(model, day.parse().unwrap())
            .price()
            .unwrap()
            .clone()
    }

    /// Golden costs: one line a rule that a table must know.
    #[test]
    fn every_cliff_cache_and_date_costs_what_it_should() {
        let million = 1_000_000;
        let cents = |nano: u64| nano / 10_000_000;
        let cost = |model: &str, day: &str, usage: Usage| on(model, day).cost_nano(&usage, Requests::One);
        for (model, day, usage, expected_cents) in [
            // Plain rates.
            ("claude-sonnet-4-6", "2026-11-20", usage(million, 0, 0, 0, 0), 300),
            ("claude-sonnet-4-6", "2026-11-20", usage(0, 0, 0, million, 0), 1_500),
            ("gpt-4o", "2026-11-20", usage(million, 0, 0, million, 0), 1_250),
            // Reasoning is billed as output.
            ("claude-opus-4-6", "2026-11-20", usage(0, 0, 0, 0, million), 2_500),
            // Cache reads and writes.
            ("claude-opus-4-6", "2026-11-20", usage(0, million, 0, 0, 0), 50),
            ("claude-opus-4-6", "2026-11-20", usage(0, 0, million, 0, 0), 625),
            // A provider without a fee for writing bills the input.
            ("gpt-5.5", "2026-11-20", usage(0, 0, 100_000, 0, 0), 50),
            // Sonnet 5.5: cache reads were halved in the middle of its life.
            ("claude-sonnet-5-5", "2026-10-06", usage(0, million, 0, 0, 0), 20),
            ("claude-sonnet-5-5", "2026-10-07", usage(0, million, 0, 0, 0), 10),
            // Gemini 4 Argon doubles on the first of December.
            ("gemini-4-argon", "2026-11-30", usage(million, 0, 0, 0, 0), 200),
            ("gemini-4-argon", "2026-12-01", usage(million, 0, 0, 0, 0), 400),
            ("gemini-3.8-flash", "2026-12-31", usage(0, 0, 0, million, 0), 375),
            ("gemini-3.8-flash", "2027-01-01", usage(0, 0, 0, million, 0), 750),
            // Haiku 5.5: the whole request costs five times as much once the prompt is above 100,000.
            ("claude-haiku-5-5", "2026-11-20", usage(100_000, 0, 0, 0, 0), 1),
            ("claude-haiku-5-5", "2026-11-20", usage(100_001, 0, 0, 0, 0), 5),
            // OpenAI: above 272,000, input twice, output one and a half.
            ("gpt-6.1-sol", "2026-11-20", usage(272_000, 0, 0, million, 0), 1_054),
            ("gpt-6.1-sol", "2026-11-20", usage(273_000, 0, 0, million, 0), 1_609),
            // The prompt that counts has its cached parts in it.
            (
                "gemini-2.5-pro",
                "2026-11-20",
                usage(1_000, 199_000, 0, million, 0),
                1_002,
            ),
            (
                "gemini-2.5-pro",
                "2026-11-20",
                usage(1_000, 199_001, 0, million, 0),
                1_505,
            ),
        ] {
            let nano = cost(model, day, usage);
            assert_eq!(cents(nano), expected_cents, "{model} on {day}: {nano}");
        }
    }

    #[test]
    fn many_requests_together_are_never_taken_for_one_above_a_cliff() {
        let price = on("claude-haiku-5-5", "2026-11-20");
        let many = usage(3_000_000, 0, 0, 0, 0);
        assert_eq!(price.cost_nano(&many, Requests::Many), 300_000_000);
        assert_eq!(price.cost_nano(&many, Requests::One), 1_500_000_000);
    }

    #[test]
    fn costs_are_exact_and_never_wrap() {
        let price = on("claude-opus-4-6", "2026-11-20");
        assert_eq!(price.cost_nano(&usage(1, 0, 0, 0, 0), Requests::Many), 5_000);
        let all = usage(u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(price.cost_nano(&all, Requests::Many), u64::MAX);
    }

    /// One letter a pair: reported cost (rows), billing (columns: reported, api, subscription, free).
    /// a actual, p priced, i included, f free, u unknown.
    #[test]
    fn the_whole_table_of_settlements() {
        let price = on("gpt-4o", "2026-11-20");
        let letter = |cost| match cost {
            Cost::Actual(_) => 'a',
            Cost::Priced(_) => 'p',
            Cost::Included => 'i',
            Cost::Free => 'f',
            Cost::Unknown => 'u',
        };
        let used = usage(10, 0, 0, 10, 0);
        let mut table = String::new();
        for reported in [
            Cost::Actual(1),
            Cost::Priced(1),
            Cost::Included,
            Cost::Free,
            Cost::Unknown,
        ] {
            for (price, used) in [(Some(&price), used), (None, used), (Some(&price), Usage::default())] {
                for billing in [Billing::Reported, Billing::Api, Billing::Subscription, Billing::Free] {
                    table.push(letter(settle(reported, billing, price, &used, Requests::One)));
                }
                table.push(' ');
            }
            table.push('\n');
        }
        let expected = "aaif aaif aaif \n\
                        ppif ppif ppif \n\
                        ipif iuif iuif \n\
                        ffff ffff ffff \n\
                        ppif uuif uuif \n";
        assert_eq!(table, expected, "priced, without a price, without a usage");
    }
}
