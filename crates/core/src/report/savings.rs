//! Savings against two baselines: had the lead done everything, and had the dearest model.
//!
//! What was paid is measured. What a baseline would have cost is not: it is the same tokens at the other model's price of
//! their day, as if that model had needed as many. Fees are paid in any case and are on neither side. Sums of which a cost
//! is unknown are on neither side as well, and are counted; so are, apart, those that a subscription covered.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::compare::Basis;
use crate::ledger::{Tally, TallyKey};
use crate::price::{Requests, Table};
use crate::usage::UsageSource;

/// The kind under which planning is booked.
const PLANNING: &str = "planning";

/// What a report needs to know to compare; the store knows none of it.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Prices by date.
    pub prices: Table,
    /// The lead's model, as somebody named it.
    pub lead: Option<String>,
    /// The model of the agent who does what nobody is named for.
    pub default_model: Option<String>,
}

/// How the lead's model is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeadIs {
    /// Somebody named it.
    Named,
    /// It planned.
    Planner,
    /// It does what nobody is named for.
    Default,
}

/// Everything on one model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Baseline {
    /// Which model.
    pub model: String,
    /// What it would have cost, in nano-dollars; none where the model has no price on one of the days.
    pub cost_nano: Option<u64>,
    /// What was saved against it; negative when it would have been cheaper.
    pub saved_nano: Option<i64>,
    /// The price is known, that it takes the same tokens is assumed.
    pub basis: Basis,
}

/// What was paid beside what two other ways would have cost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Savings {
    /// The tokens that are compared.
    pub tokens: u64,
    /// Measured where vendors reported all of them.
    pub tokens_basis: Basis,
    /// What was paid for them, in nano-dollars; measured.
    pub paid_nano: u64,
    /// Entries on neither side because a cost or its tokens are unknown.
    pub left_out_entries: u64,
    /// Entries on neither side because a subscription covered them.
    pub covered_entries: u64,
    /// What those would have cost by API, on the models that did them; none where one of them has no price.
    pub covered_list_nano: Option<u64>,
    /// Had the lead done everything; none when nobody knows the lead's model.
    pub lead: Option<Baseline>,
    /// How the lead is known.
    pub lead_is: Option<LeadIs>,
    /// Had the dearest of the models in use done everything; none when none of them has a price.
    pub dearest: Option<Baseline>,
    /// Models in use whose price nobody knows: one of them may be dearer.
    pub unpriced_models: Vec<String>,
}

type Row = (TallyKey, Tally);

/// Compares; none when no model was asked.
pub(super) fn savings(rows: &[Row], terms: &Terms) -> Option<Savings> {
    let (mut compared, mut covered, mut left_out) = (Vec::new(), Vec::new(), 0u64);
    for row in rows.iter().filter(|(_, tally)| tally.entries > 0) {
        let (_, tally) = row;
        let paid = tally.known_nano();
        match (tally.unknown, tally.included, paid, tally.usage.total()) {
            (0, 0, 0, 0) => {}
            (0, 0, _, 1..) => compared.push(row),
            (0, 1.., 0, _) => covered.push(row),
            _ => left_out = left_out.saturating_add(tally.entries),
        }
    }
    if compared.is_empty() && covered.is_empty() && left_out == 0 {
        return None;
    }
    let sum = |of: &dyn Fn(&Tally) -> u64, rows: &[&Row]| {
        rows.iter().fold(0u64, |sum, (_, tally)| sum.saturating_add(of(tally)))
    };
    let paid_nano = sum(&Tally::known_nano, &compared);
    let reported = compared
        .iter()
        .all(|(_, tally)| tally.usage.source == UsageSource::Reported);
    let models: BTreeSet<&str> = rows.iter().filter_map(|(key, _)| key.model.as_deref()).collect();
    let (lead, lead_is) = lead(rows, terms).unzip();
    let all: Vec<Baseline> = models
        .iter()
        .map(|model| baseline(model, &compared, paid_nano, &terms.prices))
        .collect();
    Some(Savings {
        tokens: sum(&|tally| tally.usage.total(), &compared),
        tokens_basis: if reported { Basis::Measured } else { Basis::Assumed },
        paid_nano,
        left_out_entries: left_out,
        covered_entries: sum(&|tally| tally.entries, &covered),
        covered_list_nano: covered.iter().try_fold(0u64, |sum, (key, tally)| {
            let model = key.model.as_deref()?;
            let list = terms.prices.cost_nano(model, key.day, &tally.usage, Requests::Many)?;
            Some(sum.saturating_add(list))
        }),
        lead: lead.map(|model| baseline(&model, &compared, paid_nano, &terms.prices)),
        lead_is,
        unpriced_models: all
            .iter()
            .filter(|one| one.cost_nano.is_none())
            .map(|one| one.model.clone())
            .collect(),
        dearest: all
            .into_iter()
            .filter(|one| one.cost_nano.is_some())
            .max_by_key(|one| one.cost_nano),
    })
}

/// Whose work it would have been.
fn lead(rows: &[Row], terms: &Terms) -> Option<(String, LeadIs)> {
    if let Some(named) = &terms.lead {
        return Some((named.clone(), LeadIs::Named));
    }
    let mut planners: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, tally) in rows.iter().filter(|(key, _)| key.kind == PLANNING) {
        if let Some(model) = key.model.as_deref() {
            *planners.entry(model).or_default() += tally.usage.total();
        }
    }
    let planner = planners.into_iter().max_by_key(|(_, tokens)| *tokens);
    let planner = planner.map(|(model, _)| (model.to_owned(), LeadIs::Planner));
    planner.or_else(|| Some((terms.default_model.clone()?, LeadIs::Default)))
}

fn baseline(model: &str, rows: &[&Row], paid_nano: u64, prices: &Table) -> Baseline {
    let cost_nano = rows.iter().try_fold(0u64, |sum, (key, tally)| {
        Some(sum.saturating_add(prices.cost_nano(model, key.day, &tally.usage, Requests::Many)?))
    });
    // With nothing to compare there is a price or there is none; the sum of nothing would hide which.
    let cost_nano = cost_nano.filter(|_| !rows.is_empty());
    let difference = |cost: u64| i128::from(cost) - i128::from(paid_nano);
    Baseline {
        model: model.to_owned(),
        cost_nano,
        saved_nano: cost_nano.and_then(|cost| i64::try_from(difference(cost)).ok()),
        basis: Basis::Assumed,
    }
}
