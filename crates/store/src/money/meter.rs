//! While a try runs: its last reading is kept, so that a killed engine loses none of it, and it may take more where there
//! is more.

use rusqlite::params;
use wheelhouse_core::budget::{Budget, extend};
use wheelhouse_core::ids::Lease;
use wheelhouse_core::ledger::{Line, Reading, Spending};
use wheelhouse_core::store::Reply;

use super::budget::BudgetRow;
use crate::encode::{self, bits, from_bits, int};
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

/// A row of `meter`.
struct MeterRow {
    reserved_nano: u64,
    spending: Spending,
}

impl Work<'_> {
    /// Keeps a reading, and lets the try take more where there is more.
    pub(crate) fn meter(&mut self, lease: Lease, reading: &Reading) -> Answer<Reply> {
        let row = self.leased(lease)?;
        let Reading {
            account,
            kind,
            line,
            want_nano,
        } = reading;
        let held = self.metered(row.task)?;
        let mut granted_nano = held
            .as_ref()
            .filter(|held| held.reserved_nano > 0)
            .map(|held| held.reserved_nano);
        let mut reserved_nano = held.map_or(0, |held| held.reserved_nano);
        if let Some(granted) = granted_nano
            && *want_nano > granted
        {
            let rows = self.budgets_held(row.task)?;
            let views: Vec<Budget> = rows.iter().filter_map(|row| row.kept.view()).collect();
            let more = extend(&views, want_nano - granted);
            for row in &rows {
                self.change_budget(row.id, |kept| {
                    kept.reserved_nano = kept.reserved_nano.saturating_add(more)
                })?;
            }
            reserved_nano = granted.saturating_add(more);
            granted_nano = Some(reserved_nano);
        }
        let Line {
            turn,
            model,
            usage,
            cost,
            assumed_nano,
        } = line;
        let (model, account) = (self.named(model.as_deref())?, self.named(account.as_deref())?);
        let kind = self.names.id(self.connection, kind)?;
        let (cost, cost_nano) = encode::cost_codes(*cost);
        let usage = encode::usage_text(*usage);
        self.execute(
            sql::METER_ADD,
            params![
                int(row.task),
                bits(reserved_nano),
                account,
                kind,
                model,
                turn,
                usage,
                cost,
                cost_nano,
                bits(*assumed_nano)
            ],
        )?;
        Ok(Reply::Metered { lease, granted_nano })
    }

    fn metered(&mut self, task: u64) -> Answer<Option<MeterRow>> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::METER)?;
        let mut rows = statement.query([int(task)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let names = &mut *self.names;
        let mut name = |column: usize| -> Answer<Option<String>> {
            match row.get::<_, Option<i64>>(column)? {
                Some(id) => Ok(Some(names.text(connection, id)?)),
                None => Ok(None),
            }
        };
        Ok(Some(MeterRow {
            reserved_nano: from_bits(row.get(0)?),
            spending: Spending {
                account: name(1)?,
                kind: name(2)?.unwrap_or_default(),
                lines: vec![Line {
                    model: name(3)?,
                    turn: row.get(4)?,
                    usage: encode::usage(row.get::<_, Option<String>>(5)?.as_deref())?,
                    cost: encode::cost(row.get(6)?, row.get(7)?)?,
                    assumed_nano: from_bits(row.get(8)?),
                }],
            },
        }))
    }

    /// The budgets in which a running task holds something.
    fn budgets_held(&mut self, task: u64) -> Answer<Vec<BudgetRow>> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::METER_BUDGETS)?;
        let mut rows = statement.query([int(task)])?;
        let mut held = Vec::new();
        while let Some(row) = rows.next()? {
            let mut row = BudgetRow::read(row)?;
            row.kept.roll(self.now);
            held.push(row);
        }
        Ok(held)
    }

    /// Gives back what a try held; gives its last reading.
    pub(super) fn close_meter(&mut self, task: u64) -> Answer<Option<Spending>> {
        let Some(meter) = self.metered(task)? else {
            return Ok(None);
        };
        for row in self.budgets_held(task)? {
            self.change_budget(row.id, |kept| {
                kept.reserved_nano = kept.reserved_nano.saturating_sub(meter.reserved_nano);
            })?;
            self.purse.freed.insert(row.id);
        }
        self.execute(sql::METER_ON_REMOVE, [int(task)])?;
        self.execute(sql::METER_REMOVE, [int(task)])?;
        Ok(Some(meter.spending))
    }
}
