//! Subscription or API: which way work is best paid for, as one pure decision.
//!
//! The questions and their order are those of the cost optimisation in the orchestration skill this product follows:
//! interactive work goes through a subscription, batches through the cheapest adequate model by API, a thousand calls a
//! day through the classifier's tier, and the rest through the standard one.

use serde::{Deserialize, Serialize};

use super::{Candidate, Scored, score};
use crate::analysis::Analysis;
use crate::price::Billing;
use crate::roster::Role;

/// More calls a day than this are a high volume.
pub const HIGH_VOLUME_CALLS_PER_DAY: u64 = 1_000;

/// What is said of the work to be paid for; nothing, where nobody says anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// A person waits for it, or explores.
    pub interactive: bool,
    /// It runs by itself: a batch, a schedule.
    pub batch: bool,
    /// Expected calls a day.
    pub calls_per_day: u64,
}

impl Demand {
    /// Whether anything is said. If not, the score alone decides.
    pub fn is_said(&self) -> bool {
        *self != Demand::default()
    }
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// How a choice is paid for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pays {
    /// The way.
    pub way: Way,
    /// Why.
    pub why: String,
    /// Whether somebody who passed the floors is paid so.
    pub obeyed: bool,
}

/// The way and the sentence that says why.
pub fn way(demand: Demand, subscription: Subscription) -> (Way, &'static str) {
    let Demand {
        interactive,
        batch,
        calls_per_day,
    } = demand;
    if interactive && subscription == Subscription::Available {
        let why = "interactive work goes through the subscription, at no marginal cost";
        (Way::Subscription, why)
    } else if batch {
        let why = "a batch goes by API, on the cheapest model that is good enough";
        (Way::CheapestApi, why)
    } else if calls_per_day > HIGH_VOLUME_CALLS_PER_DAY {
        let why = "more than 1,000 calls a day go by API, on the tier for classification";
        (Way::ClassifierApi, why)
    } else if interactive && subscription == Subscription::Exhausted {
        let why = "the subscription's allowance is used up, so interactive work goes by API for now";
        (Way::StandardApi, why)
    } else if interactive {
        let why = "there is no subscription, so interactive work goes by API, on the standard tier";
        (Way::StandardApi, why)
    } else {
        let why = "neither interactive nor a batch nor many calls: by API, on the standard tier";
        (Way::StandardApi, why)
    }
}

/// Puts those in front who are paid the way that the work asks for. None when nothing is said of it.
pub(super) fn prefer(
    demand: Demand,
    candidates: &[Candidate],
    analysis: &Analysis,
    scored: &mut Vec<Scored>,
) -> Option<Pays> {
    if !demand.is_said() {
        return None;
    }
    let (way, why) = way(demand, subscription(candidates, scored));
    let good_enough = score::tier_wanted(analysis);
    let is_paid_so = |one: &Scored| {
        let by_api = one.expected.billing != Billing::Subscription;
        match way {
            Way::Subscription => !by_api,
            Way::CheapestApi => by_api && one.cost_tier >= good_enough,
            Way::ClassifierApi => by_api && one.role == Role::Classifier,
            Way::StandardApi => by_api && one.role == Role::Grinder,
        }
    };
    let (mut front, behind): (Vec<Scored>, Vec<Scored>) = scored.drain(..).partition(is_paid_so);
    if way == Way::CheapestApi {
        // What nobody knows the cost of is not cheap.
        front.sort_by_key(|one| one.expected.cost_nano.unwrap_or(u64::MAX));
    }
    let obeyed = !front.is_empty();
    scored.extend(front.into_iter().chain(behind));
    Some(Pays {
        way,
        why: why.to_owned(),
        obeyed,
    })
}

fn subscription(candidates: &[Candidate], left: &[Scored]) -> Subscription {
    if left.iter().any(|one| one.expected.billing == Billing::Subscription) {
        return Subscription::Available;
    }
    let is_used_up = |one: &Candidate| one.entry.billing == Billing::Subscription && one.standing.quota_until.is_some();
    match candidates.iter().any(is_used_up) {
        true => Subscription::Exhausted,
        false => Subscription::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed 001: the decision tree of the document "Agent Orchestration", section "$0 Marginal Cost Routing", branch by branch.
    #[test]
    fn the_documents_tree_is_followed() {
        let demand = |interactive, batch, calls_per_day, subscription| {
            let demand = Demand {
                interactive,
                batch,
                calls_per_day,
            };
            (demand, subscription)
        };
        for ((demand, subscription), expected) in [
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
            assert_eq!(way(demand, subscription).0, expected, "{demand:?} {subscription:?}");
        }
    }
}
