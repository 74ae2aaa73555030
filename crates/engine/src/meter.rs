//! What a running try has consumed so far, in tokens and in money, and whether it may go on.
//!
//! The dispatcher's neighbour in a try: pure, driven by [`crate::attempt`]. It prices each step between two reports by the
//! table, assumes where nobody can price, and asks the store for more before the line is reached. Only the answer that
//! there is no more stops a try, so a budget that was raised in the meantime counts.

use std::sync::Arc;

use wheelhouse_core::agent::Ended;
use wheelhouse_core::budget::{Assumption, Payer};
use wheelhouse_core::day::Day;
use wheelhouse_core::ledger::{self, Line, Reading, Spending};
use wheelhouse_core::money::show_usd;
use wheelhouse_core::price::{self, Billing, Price, Requests, Table};
use wheelhouse_core::store::{Claimed, ModelSource};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use crate::{Money, shortcut};

/// How often a try without a line leaves a reading in the store, in milliseconds: what a kill of the engine may cost the
/// ledger.
const READING_EVERY_MS: u64 = 2_000;

/// Whether a try may go on.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    /// It may.
    Goes,
    /// It may, and the store is to be told and asked.
    Asks(Box<Reading>),
    /// Its money is used up.
    Over,
}

/// The model that the claim's place in the chain names.
pub(crate) fn asked_model(claimed: &Claimed) -> Option<String> {
    claimed.spec.link(claimed.link).and_then(|link| link.model)
}

/// The meter of one try.
#[derive(Debug)]
pub(crate) struct Meter {
    payer: Payer,
    kind: &'static str,
    prices: Arc<Table>,
    assumption: Assumption,
    day: Day,
    model: Option<String>,
    model_source: Option<ModelSource>,
    /// What was assumed of it when it was stopped at its line.
    stopped_for_nano: u64,
    /// The latest report.
    seen: Usage,
    /// What the steps with a price came to.
    priced_nano: u64,
    /// The steps without one.
    unpriced: Usage,
    granted_nano: Option<u64>,
    /// What was asked for and not answered yet.
    asked_nano: Option<u64>,
    /// The last answer was: no more than this.
    is_all: bool,
    read_at_ms: u64,
    read: Usage,
}

impl Meter {
    pub(crate) fn new(money: &Money, claimed: &Claimed) -> Meter {
        let payer = money.terms.payer(&claimed.agent);
        let model = asked_model(claimed).or_else(|| payer.model.clone());
        Meter {
            model_source: model.as_ref().map(|_| ModelSource::Asked),
            model,
            payer,
            kind: ledger::kind(&claimed.spec),
            prices: Arc::clone(&money.prices),
            assumption: money.assumption,
            day: Day::of(claimed.at),
            seen: Usage::default(),
            priced_nano: 0,
            unpriced: Usage::default(),
            stopped_for_nano: 0,
            granted_nano: claimed.granted_nano,
            asked_nano: None,
            is_all: false,
            read_at_ms: 0,
            read: Usage::default(),
        }
    }

    /// Whether a budget concerns it.
    pub(crate) fn has_line(&self) -> bool {
        self.granted_nano.is_some()
    }

    /// The agent said which model it works with.
    pub(crate) fn model(&mut self, model: String) {
        self.model = Some(model);
        self.model_source = Some(ModelSource::Reported);
    }

    /// The model it works with as far as anybody knows, and who says so.
    pub(crate) fn model_used(&self) -> (Option<String>, Option<ModelSource>) {
        (self.model.clone(), self.model_source)
    }

    /// A report, absolute: what it says more than the one before is one step. One that says less says nothing.
    pub(crate) fn usage(&mut self, usage: Usage) {
        let step = excess(usage, self.seen);
        if step.total() == 0 {
            return;
        }
        match self.price() {
            Some(price) => {
                self.priced_nano = self
                    .priced_nano
                    .saturating_add(price.cost_nano(&step, of_one(price, &step)))
            }
            None => self.unpriced = self.unpriced.plus(step),
        }
        self.seen = Usage {
            source: usage.source,
            ..self.seen.plus(step)
        };
    }

    /// The store's answer.
    pub(crate) fn granted(&mut self, granted_nano: Option<u64>) {
        let asked = self.asked_nano.take();
        self.is_all = asked.zip(granted_nano).is_some_and(|(asked, granted)| granted < asked);
        self.granted_nano = granted_nano;
    }

    /// Looks at the line after so many milliseconds.
    pub(crate) fn standing(&mut self, elapsed_ms: u64) -> Standing {
        if self.asked_nano.is_some() {
            return Standing::Goes;
        }
        let Some(granted) = self.granted_nano else {
            let due = elapsed_ms >= self.read_at_ms.saturating_add(READING_EVERY_MS) && self.seen != self.read;
            return if due { self.ask(elapsed_ms, 0) } else { Standing::Goes };
        };
        let counted = self.counted_nano(elapsed_ms);
        match (counted >= granted, self.is_all) {
            (true, true) => {
                // The answer may be old: a person may have raised the budget, another try may have ended.
                self.is_all = false;
                self.ask(elapsed_ms, counted.saturating_mul(2))
            }
            (true, false) => self.ask(elapsed_ms, counted.saturating_mul(2)),
            (false, false) if counted > granted / 2 => self.ask(elapsed_ms, granted.saturating_mul(2)),
            (false, _) => Standing::Goes,
        }
    }

    /// Looks at the line right after the store's answer: whoever is above it now has nothing left to ask for.
    pub(crate) fn standing_after_answer(&mut self, elapsed_ms: u64) -> Standing {
        match self.granted_nano {
            Some(granted) if self.is_all && self.counted_nano(elapsed_ms) >= granted => {
                self.stopped_for_nano = self.assumed_nano(elapsed_ms);
                Standing::Over
            }
            _ => Standing::Goes,
        }
    }

    fn ask(&mut self, elapsed_ms: u64, want_nano: u64) -> Standing {
        (self.read_at_ms, self.read) = (elapsed_ms, self.seen);
        self.asked_nano = Some(want_nano);
        let line = Line {
            turn: None,
            model: self.model.clone(),
            usage: Usage {
                source: UsageSource::Estimated,
                ..self.seen
            },
            cost: self.cost_so_far(),
            assumed_nano: self.assumed_nano(elapsed_ms),
        };
        Standing::Asks(Box::new(Reading {
            account: self.payer.account.clone(),
            kind: self.kind.to_owned(),
            line,
            want_nano,
        }))
    }

    /// What counts against budgets: prices where there are some, else the assumption; nothing where nobody pays.
    pub(crate) fn counted_nano(&self, elapsed_ms: u64) -> u64 {
        self.priced_nano.saturating_add(self.assumed_nano(elapsed_ms))
    }

    fn assumed_nano(&self, elapsed_ms: u64) -> u64 {
        match self.payer.billing {
            Billing::Free | Billing::Subscription => 0,
            Billing::Reported | Billing::Api if self.seen.total() == 0 => {
                self.assumption.nano(&Usage::default(), elapsed_ms)
            }
            Billing::Reported | Billing::Api if self.unpriced.total() > 0 => self.assumption.nano(&self.unpriced, 0),
            Billing::Reported | Billing::Api => 0,
        }
    }

    fn cost_so_far(&self) -> Cost {
        match self.payer.billing {
            Billing::Free => Cost::Free,
            Billing::Subscription => Cost::Included,
            Billing::Reported | Billing::Api if self.seen.total() > 0 && self.unpriced.total() == 0 => {
                Cost::Priced(self.priced_nano)
            }
            Billing::Reported | Billing::Api => Cost::Unknown,
        }
    }

    fn price(&self) -> Option<&Price> {
        self.prices.find(self.model.as_deref()?, self.day).price()
    }

    /// The end: what it consumed and cost, as far as anybody knows, and what is booked for it.
    pub(crate) fn close(&self, ended: &mut Ended, elapsed_ms: u64) -> Spending {
        if ended.usage.total() == 0 && self.seen.total() > 0 {
            ended.usage = Usage {
                source: UsageSource::Estimated,
                ..self.seen
            };
        }
        ended.cost = self.settled(ended);
        let (known_nano, assumed_nano) = match ended.cost {
            Cost::Unknown => (0, self.assumption.nano(&ended.usage, elapsed_ms)),
            Cost::Actual(nano) | Cost::Priced(nano) => (nano, 0),
            Cost::Included | Cost::Free => (0, 0),
        };
        // What it was stopped for counts, whatever it says afterwards: else it would be begun again as often as one likes,
        // each time for next to nothing.
        let assumed_nano = assumed_nano.max(self.stopped_for_nano.saturating_sub(known_nano));
        Spending {
            account: self.payer.account.clone(),
            kind: match self.model.as_deref() {
                // What code did teaches nothing about what its agent costs.
                Some(shortcut::MODEL) => shortcut::MODEL.to_owned(),
                _ => self.kind.to_owned(),
            },
            lines: vec![Line {
                turn: None,
                model: self.model.clone().filter(|_| ended.cost != Cost::Free),
                usage: ended.usage,
                cost: ended.cost,
                assumed_nano,
            }],
        }
    }

    fn settled(&self, ended: &Ended) -> Cost {
        let price = self.price();
        let cost = price::settle(ended.cost, self.payer.billing, price, &ended.usage, Requests::Many);
        match (cost, price, ended.cost) {
            // The agent's own figure stands as it is; ours is made of the steps, each at its own rates.
            (Cost::Priced(_), Some(price), Cost::Unknown | Cost::Included) if self.unpriced.total() == 0 => {
                let rest = excess(ended.usage, self.seen);
                Cost::Priced(self.priced_nano.saturating_add(price.cost_nano(&rest, Requests::Many)))
            }
            _ => cost,
        }
    }

    /// What to tell people about a try that was stopped at its line.
    pub(crate) fn why_over(&self, elapsed_ms: u64) -> String {
        let counted = show_usd(self.counted_nano(elapsed_ms));
        let granted = show_usd(self.granted_nano.unwrap_or(0));
        let assumed = match self.assumed_nano(elapsed_ms) {
            0 => String::new(),
            nano => format!(" ({} of it assumed: nobody could price it)", show_usd(nano)),
        };
        format!("it used {counted}{assumed} and there was no more than {granted} for it")
    }
}

/// A step is one request's when it fits the model's window; a longer one must be several.
fn of_one(price: &Price, step: &Usage) -> Requests {
    let prompt = step
        .input
        .saturating_add(step.cache_read)
        .saturating_add(step.cache_write);
    match price.window {
        Some(window) if prompt > window => Requests::Many,
        Some(_) | None => Requests::One,
    }
}

/// What of `new` goes beyond `old`, number by number.
fn excess(new: Usage, old: Usage) -> Usage {
    Usage {
        input: new.input.saturating_sub(old.input),
        cache_read: new.cache_read.saturating_sub(old.cache_read),
        cache_write: new.cache_write.saturating_sub(old.cache_write),
        output: new.output.saturating_sub(old.output),
        reasoning: new.reasoning.saturating_sub(old.reasoning),
        source: new.source,
    }
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::outcome::Outcome;
    use wheelhouse_core::store::TaskResult;

    use super::*;

    fn meter(model: Option<&str>, billing: Billing, granted_nano: Option<u64>) -> Meter {
        Meter {
            model_source: None,
            payer: Payer {
                model: model.map(str::to_owned),
                billing,
                ..Payer::default()
            },
            kind: "prompt",
            prices: Arc::new(Table::shipped().clone()),
            assumption: Assumption::default(),
            day: "2026-11-27".parse().unwrap(),
            model: model.map(str::to_owned),
            seen: Usage::default(),
            priced_nano: 0,
            unpriced: Usage::default(),
            stopped_for_nano: 0,
            granted_nano,
            asked_nano: None,
            is_all: false,
            read_at_ms: 0,
            read: Usage::default(),
        }
    }

    fn usage(input: u64, output: u64) -> Usage {
        Usage {
            input,
            output,
            source: UsageSource::Reported,
            ..Usage::default()
        }
    }

    fn ended(usage: Usage, cost: Cost) -> Ended {
        Ended {
            outcome: Outcome::Succeeded,
            detail: String::new(),
            result: TaskResult::default(),
            outputs: Vec::new(),
            usage,
            cost,
            session: None,
        }
    }

    #[test]
    fn what_is_reported_twice_counts_once() {
        let mut meter = meter(Some("gpt-4o"), Billing::Api, Some(1));
        meter.usage(usage(1_000, 100));
        let once = meter.counted_nano(0);
        meter.usage(usage(1_000, 100));
        meter.usage(usage(900, 100));
        assert_eq!((meter.counted_nano(0), once), (3_500_000, 3_500_000));
    }

    #[test]
    fn each_request_is_priced_at_its_own_rates() {
        let mut meter = meter(Some("claude-haiku-5-5"), Billing::Api, None);
        // Two requests of 90,000 tokens: neither is above the cliff at 100,000, together they would be.
        meter.usage(usage(90_000, 0));
        meter.usage(usage(180_000, 0));
        assert_eq!(meter.counted_nano(0), 18_000_000);
        let mut end = ended(usage(180_000, 1_000), Cost::Unknown);
        meter.close(&mut end, 0);
        assert_eq!(
            end.cost,
            Cost::Priced(18_500_000),
            "what came after the last report is added"
        );
    }

    #[test]
    fn the_agents_own_figure_and_the_subscription_stand() {
        let mut end = ended(usage(1_000, 0), Cost::Actual(7));
        meter(Some("gpt-4o"), Billing::Reported, None).close(&mut end, 0);
        assert_eq!(end.cost, Cost::Actual(7));
        meter(Some("gpt-4o"), Billing::Subscription, None).close(&mut end, 0);
        assert_eq!(end.cost, Cost::Included);
    }

    #[test]
    fn who_reports_nothing_is_counted_by_time_and_never_as_nothing() {
        let mut meter = meter(None, Billing::Reported, Some(100_000_000));
        assert_eq!(meter.counted_nano(12_000), 50_000_000);
        assert_eq!(meter.standing(1_000), Standing::Goes);
        assert!(matches!(meter.standing(13_000), Standing::Asks(_)));
        meter.granted(Some(100_000_000));
        assert_eq!(
            meter.standing_after_answer(13_000),
            Standing::Goes,
            "there is no more, but some is left"
        );
        assert_eq!(meter.standing(20_000), Standing::Goes);
        assert!(
            matches!(meter.standing(24_000), Standing::Asks(_)),
            "at the line it asks once more"
        );
        meter.granted(Some(100_000_000));
        assert_eq!(meter.standing_after_answer(24_000), Standing::Over);
        let mut end = ended(Usage::default(), Cost::Unknown);
        let spending = meter.close(&mut end, 24_000);
        assert_eq!((end.cost, spending.lines[0].assumed_nano), (Cost::Unknown, 100_000_000));
    }

    #[test]
    fn who_was_stopped_for_its_silence_is_not_cheap_afterwards() {
        let mut meter = meter(None, Billing::Reported, Some(100_000_000));
        meter.granted(Some(100_000_000));
        assert!(matches!(meter.standing(24_000), Standing::Asks(_)));
        meter.granted(Some(100_000_000));
        assert_eq!(meter.standing_after_answer(24_000), Standing::Over);
        let few = Usage {
            output: 12,
            ..Usage::default()
        };
        meter.usage(few);
        let spending = meter.close(&mut ended(few, Cost::Unknown), 24_500);
        assert_eq!(spending.lines[0].assumed_nano, 100_000_000);
        let spending = meter.close(&mut ended(few, Cost::Actual(30_000_000)), 24_500);
        assert_eq!(
            spending.lines[0].assumed_nano, 70_000_000,
            "what it says it cost is not counted twice"
        );
    }

    #[test]
    fn tokens_without_a_price_are_assumed() {
        let mut meter = meter(Some("nobody-knows-1"), Billing::Api, Some(1_000_000));
        meter.usage(usage(100, 0));
        assert_eq!(meter.counted_nano(999_999), 1_000_000);
    }

    #[test]
    fn more_is_asked_for_before_the_line_is_reached() {
        let mut meter = meter(Some("gpt-4o"), Billing::Api, Some(10_000_000));
        meter.usage(usage(1_000, 0));
        assert_eq!(meter.standing(0), Standing::Goes, "a quarter");
        meter.usage(usage(2_400, 0));
        let Standing::Asks(reading) = meter.standing(0) else {
            panic!("it asks")
        };
        assert_eq!(
            (reading.want_nano, reading.line.cost),
            (20_000_000, Cost::Priced(6_000_000))
        );
        assert_eq!(meter.standing(0), Standing::Goes, "one question at a time");
        meter.granted(Some(20_000_000));
        assert_eq!(meter.standing(0), Standing::Goes);
    }

    #[test]
    fn a_try_without_a_line_leaves_readings_now_and_then() {
        let mut meter = meter(Some("gpt-4o"), Billing::Api, None);
        meter.usage(usage(1_000, 0));
        assert_eq!(meter.standing(1_999), Standing::Goes);
        assert!(matches!(meter.standing(2_000), Standing::Asks(_)));
        meter.granted(None);
        assert_eq!(meter.standing(9_000), Standing::Goes, "nothing is new");
    }
}
