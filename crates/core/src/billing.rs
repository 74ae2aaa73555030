//! Subscription or API: which way work is best paid for, as one pure decision.
//!
//! The questions and their order are those of the cost optimisation in the orchestration skill this product follows:
//! interactive work goes through a subscription, batches through the cheapest adequate model by API, a thousand calls a
//! day through the classifier's tier, and the rest through the standard one.

use serde::Serialize;

/// More calls a day than this are a high volume.
pub const HIGH_VOLUME_CALLS_PER_DAY: u64 = 1_000;

/// What is to be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// A person waits for it, or explores.
    pub interactive: bool,
    /// It runs by itself: a batch, a schedule.
    pub batch: bool,
    /// Expected calls a day.
    pub calls_per_day: u64,
    /// Whether there is a subscription, and an allowance left in it.
    pub subscription: Subscription,
}

/// Whether a subscription can take the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Subscription {
    /// There is one with room.
    Available,
    /// Its allowance is used up for now.
    Exhausted,
    /// There is none.
    #[default]
    None,
}

/// How it is paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Through the subscription: no marginal cost.
    Subscription,
    /// By API, on the cheapest model that is good enough.
    CheapestApi,
    /// By API, on the tier for classification.
    ClassifierApi,
    /// By API, on the standard tier.
    StandardApi,
}

/// The way and the sentence that says why.
pub fn way(demand: Demand) -> (Way, &'static str) {
    match demand {
        Demand {
            interactive: true,
            subscription: Subscription::Available,
            ..
        } => (
            Way::Subscription,
            "interactive work goes through the subscription, at no marginal cost",
        ),
        Demand { batch: true, .. } => (
            Way::CheapestApi,
            "a batch goes by API, on the cheapest model that is good enough",
        ),
        Demand { calls_per_day, .. } if calls_per_day > HIGH_VOLUME_CALLS_PER_DAY => (
            Way::ClassifierApi,
            "more than 1,000 calls a day go by API, on the tier for classification",
        ),
        Demand {
            interactive: true,
            subscription: Subscription::Exhausted,
            ..
        } => (
            Way::StandardApi,
            "the subscription's allowance is used up, so interactive work goes by API for now",
        ),
        Demand { .. } => (
            Way::StandardApi,
            "neither interactive nor a batch nor many calls: by API, on the standard tier",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decision tree of the document "Agent Orchestration", section "$0 Marginal Cost Routing", branch by branch.
    #[test]
    fn the_documents_tree_is_followed() {
        let demand = |interactive, batch, calls_per_day, subscription| Demand {
            interactive,
            batch,
            calls_per_day,
            subscription,
        };
        for (demand, expected) in [
            (demand(true, false, 10, Subscription::Available), Way::Subscription),
            (demand(true, true, 9_999, Subscription::Available), Way::Subscription),
            (demand(false, true, 10, Subscription::Available), Way::CheapestApi),
            (demand(false, true, 5_000, Subscription::None), Way::CheapestApi),
            (demand(false, false, 1_001, Subscription::Available), Way::ClassifierApi),
            (demand(false, false, 1_000, Subscription::Available), Way::StandardApi),
            (demand(true, false, 10, Subscription::None), Way::StandardApi),
            (demand(true, false, 10, Subscription::Exhausted), Way::StandardApi),
            (demand(true, false, 2_000, Subscription::Exhausted), Way::ClassifierApi),
        ] {
            assert_eq!(way(demand).0, expected, "{demand:?}");
        }
    }
}
