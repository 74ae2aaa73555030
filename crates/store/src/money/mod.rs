//! Money in a commit: what a try reserves before it begins, what it may still take while it runs, and what its end is
//! booked as. Decisions are core's ([`wheelhouse_core::budget`]); the sums of a commit are held in memory and written at
//! its end, as the rows of runs are.

mod account;
mod book;
mod budget;
mod meter;
mod rating;
mod reserve;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::ledger::Tally;

pub(crate) use self::budget::{BudgetRow, Past};
pub(crate) use self::reserve::{Reserved, experience};
use self::tally::TallyId;

/// What money there is to do in a commit.
#[derive(Default)]
pub(crate) struct Purse {
    /// Whether there is any budget at all: most stores have none, and pay nothing for them.
    any: Option<bool>,
    tallies: BTreeMap<TallyId, Tally>,
    /// Budgets in which something was given back.
    freed: BTreeSet<i64>,
}
