//! The past priced anew: what the entries of the ledger cost by the table as it is now, each at the row of its own day,
//! beside what was booked for them. It only reads: an entry keeps what was booked.
//!
//! An entry is the sum of many requests, so cliffs of single requests are not seen here; where a try was priced step by
//! step above one, the booked figure is the better one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Requests, Table};
use crate::day::Day;
use crate::ledger::Entry;
use crate::usage::{Cost, Usage};

/// Entries of one model at one row of the table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Row {
    /// The model; absent where nobody said which.
    pub model: Option<String>,
    /// The day from which the row is true; absent for one that is true since ever, or when there is none.
    pub price_from: Option<Day>,
    /// Whether the table has a price for the model on those days.
    pub has_price: bool,
    /// The first day of an entry.
    pub first: Day,
    /// The last one.
    pub last: Day,
    /// The sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What was booked, and what it comes to anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Sums {
    /// Entries that somebody pays for by the token.
    pub entries: u64,
    /// Their tokens.
    pub usage: Usage,
    /// What was booked, as far as it is known.
    pub booked_nano: u64,
    /// Of that by the agents' own figures.
    pub booked_actual_nano: u64,
    /// Entries that were booked without a known cost.
    pub booked_unknown: u64,
    /// What the table says now, as far as it does.
    pub again_nano: u64,
    /// Entries that the table has no price for, or that have no tokens to price.
    pub again_unknown: u64,
    /// How much more it is anew, over the entries that are known both times.
    pub difference_nano: i64,
    /// How many those are.
    pub compared: u64,
}

impl Sums {
    fn add(&mut self, entry: &Entry, again: Option<u64>) {
        let more = |sum: &mut u64, nano: u64| *sum = sum.saturating_add(nano);
        self.usage = if self.entries == 0 {
            entry.usage
        } else {
            self.usage.plus(entry.usage)
        };
        self.entries += 1;
        match entry.cost.nano() {
            Some(nano) => more(&mut self.booked_nano, nano),
            None => self.booked_unknown += 1,
        }
        if let Cost::Actual(nano) = entry.cost {
            more(&mut self.booked_actual_nano, nano);
        }
        match again {
            Some(nano) => more(&mut self.again_nano, nano),
            None => self.again_unknown += 1,
        }
        if let Some((booked, again)) = entry.cost.nano().zip(again) {
            let signed = |nano: u64| i64::try_from(nano).unwrap_or(i64::MAX);
            let difference = signed(again).saturating_sub(signed(booked));
            self.difference_nano = self.difference_nano.saturating_add(difference);
            self.compared += 1;
        }
    }
}

/// A period priced anew.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Again {
    /// By model and row of the table.
    pub rows: Vec<Row>,
    /// All of them.
    pub total: Sums,
    /// Entries that a subscription covered: nobody pays for them by the token.
    pub included_entries: u64,
    /// Entries for which no model was asked.
    pub free_entries: u64,
}

/// Adds entries up, one after the other.
#[derive(Debug)]
pub struct Repricing<'t> {
    table: &'t Table,
    first: Day,
    last: Day,
    rows: BTreeMap<(Option<String>, Option<Day>, bool), Row>,
    again: Again,
}

impl<'t> Repricing<'t> {
    /// Over the days from `first` to `last`, both of them in it.
    pub fn new(table: &'t Table, first: Day, last: Day) -> Repricing<'t> {
        Repricing {
            table,
            first,
            last,
            rows: BTreeMap::new(),
            again: Again::default(),
        }
    }

    /// Looks at one entry.
    pub fn add(&mut self, entry: &Entry) {
        let day = Day::of(entry.at);
        if day < self.first || day > self.last {
            return;
        }
        match entry.cost {
            Cost::Included => self.again.included_entries += 1,
            Cost::Free => self.again.free_entries += 1,
            Cost::Actual(_) | Cost::Priced(_) | Cost::Unknown => self.price(entry, day),
        }
    }

    fn price(&mut self, entry: &Entry, day: Day) {
        let price = entry
            .model
            .as_deref()
            .and_then(|model| self.table.find(model, day).price());
        let again = price
            .filter(|_| entry.usage.total() > 0)
            .map(|price| price.cost_nano(&entry.usage, Requests::Many));
        let from = price.and_then(|price| price.from);
        let row = self
            .rows
            .entry((entry.model.clone(), from, price.is_some()))
            .or_insert_with(|| Row {
                model: entry.model.clone(),
                price_from: from,
                has_price: price.is_some(),
                first: day,
                last: day,
                sums: Sums::default(),
            });
        (row.first, row.last) = (row.first.min(day), row.last.max(day));
        row.sums.add(entry, again);
        self.again.total.add(entry, again);
    }

    /// The sums.
    pub fn end(self) -> Again {
        Again {
            rows: self.rows.into_values().collect(),
            ..self.again
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RunId, TaskId};

    fn entry(day: &str, cost: Cost, input: u64) -> Entry {
        Entry {
            id: 1,
            at: day.parse::<Day>().unwrap().start(),
            run: RunId(1),
            task: TaskId(1),
            attempt: 1,
            agent: "a".into(),
            model: Some("gemini-4-argon".to_owned()),
            account: None,
            kind: "prompt".to_owned(),
            turn: None,
            usage: Usage {
                input,
                ..Usage::default()
            },
            cost,
            assumed_nano: 0,
        }
    }

    #[test]
    fn each_entry_is_priced_by_its_own_day_and_unknown_is_never_zero() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let mut sum = Repricing::new(Table::shipped(), day("2026-11-30"), day("2026-12-01"));
        let million = 1_000_000;
        for entry in [
            entry("2026-11-29", Cost::Priced(9), million),
            // It doubles on the first of December.
            entry("2026-11-30", Cost::Priced(2_000_000_000), million),
            entry("2026-12-01", Cost::Priced(2_000_000_000), million),
            entry("2026-12-01", Cost::Unknown, million),
            entry("2026-12-01", Cost::Actual(5), 0),
            entry("2026-12-01", Cost::Included, million),
            Entry {
                model: Some("nonesuch".to_owned()),
                ..entry("2026-12-01", Cost::Actual(7), million)
            },
        ] {
            sum.add(&entry);
        }
        let again = sum.end();
        let of_it = |row: &Row| (row.price_from, row.sums.again_nano, row.sums.again_unknown);
        assert_eq!(again.rows.len(), 3, "{again:#?}");
        assert_eq!(of_it(&again.rows[0]).1, 2_000_000_000);
        assert_eq!(of_it(&again.rows[1]), (Some(day("2026-12-01")), 8_000_000_000, 1));
        assert_eq!(of_it(&again.rows[2]), (None, 0, 1));
        assert_eq!(again.included_entries, 1);
        assert_eq!((again.total.booked_unknown, again.total.again_unknown), (1, 2));
        assert_eq!(
            (again.total.difference_nano, again.total.compared),
            (2_000_000_000, 2),
            "only what is known both times is compared"
        );
    }
}
