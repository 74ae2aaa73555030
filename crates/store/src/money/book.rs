//! The end of a try: lines go into the ledger, which is never changed, and into every sum that is kept of it.

use rusqlite::params;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ledger::{self, Line, Spending};
use wheelhouse_core::usage::{Cost, Usage};

use crate::encode::{self, from_bits, int};
use crate::failure::Answer;
use crate::rows::LeaseRow;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    /// The end of a try: what it held is given back, what it consumed is booked.
    pub(crate) fn book_end(&mut self, lease: &LeaseRow, spending: &Spending, usage: Usage, cost: Cost) -> Answer<()> {
        self.close_meter(lease.task)?;
        let own = [Line {
            usage,
            cost,
            ..Line::default()
        }];
        let lines = if spending.lines.is_empty() {
            &own
        } else {
            spending.lines.as_slice()
        };
        let booked = self.book(lease, spending, lines)?;
        let run = self.task(lease.task)?.run;
        if booked == 0 {
            let none = Usage {
                source: usage.source,
                ..Usage::default()
            };
            // Nothing was consumed; that the try ended makes the sum one of something.
            let row = self.run_mut(run)?;
            row.usage = Some(row.usage.map_or(none, |sum| sum.plus(none)));
        }
        let (now, started) = (self.now.0, lease.started_at);
        let tally = self.tally(lease, spending)?;
        tally.tries += 1;
        tally.wall_ms = tally.wall_ms.saturating_add(now.saturating_sub(started));
        Ok(())
    }

    /// A try that is given back or lost: what it said, else what its last reading knows, is booked.
    pub(crate) fn book_return(&mut self, lease: &LeaseRow, spending: &Spending) -> Answer<()> {
        let reading = self.close_meter(lease.task)?.unwrap_or_default();
        let spending = if spending.lines.is_empty() { &reading } else { spending };
        for line in &spending.lines {
            if line.is_nothing() {
                continue;
            }
            let (attempt, usage, cost) = (lease.number, line.usage, line.cost);
            let happened = Happened::SpendingBooked { attempt, usage, cost };
            self.emit_task(lease.task, &happened)?;
        }
        self.book(lease, spending, &spending.lines)?;
        Ok(())
    }

    /// Writes lines into the ledger, the totals of their run, the tally of the day, and the budgets.
    fn book(&mut self, lease: &LeaseRow, spending: &Spending, lines: &[Line]) -> Answer<usize> {
        let mut booked = 0;
        for line in lines {
            let line = match &line.turn {
                None => (!line.is_nothing()).then(|| line.clone()),
                Some(turn) => ledger::surplus(&self.known_turn(turn)?, line),
            };
            if let Some(line) = line {
                self.book_line(lease, spending, &line)?;
                booked += 1;
            }
        }
        Ok(booked)
    }

    fn known_turn(&self, turn: &str) -> Answer<Line> {
        let mut statement = self.connection.prepare_cached(sql::LEDGER_TURN)?;
        Ok(statement.query_row([turn], |row| {
            let number = |column: usize| row.get::<_, i64>(column).map(from_bits);
            Ok(Line {
                usage: Usage {
                    input: number(0)?,
                    cache_read: number(1)?,
                    cache_write: number(2)?,
                    output: number(3)?,
                    reasoning: number(4)?,
                    ..Usage::default()
                },
                cost: Cost::Actual(number(5)?),
                assumed_nano: number(6)?,
                ..Line::default()
            })
        })?)
    }

    fn book_line(&mut self, lease: &LeaseRow, spending: &Spending, line: &Line) -> Answer<()> {
        let run = self.task(lease.task)?.run;
        let id = self.tally_id(lease, spending, line.model.as_deref())?;
        let named = |id: i64| (id != 0).then_some(id);
        let (cost, cost_nano) = encode::cost_codes(line.cost);
        let Usage {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            source,
        } = line.usage;
        self.execute(
            sql::LEDGER_ADD,
            params![
                int(self.now.0),
                int(run),
                int(lease.task),
                lease.number,
                id.0,
                named(id.1),
                named(id.3),
                id.2,
                line.turn,
                int(input),
                int(cache_read),
                int(cache_write),
                int(output),
                int(reasoning),
                encode::usage_source_code(source),
                cost,
                cost_nano,
                int(line.assumed_nano)
            ],
        )?;
        self.purse.tallies.entry(id).or_default().book(line);
        let row = self.run_mut(run)?;
        row.usage = Some(row.usage.map_or(line.usage, |sum| sum.plus(line.usage)));
        match line.cost {
            Cost::Actual(nano) | Cost::Priced(nano) => row.cost_nano = row.cost_nano.saturating_add(nano),
            Cost::Included | Cost::Free => {}
            Cost::Unknown => row.cost_unknown += 1,
        }
        if self.any_budget()? {
            // One without a limit just now counts too: it may get one again in this window.
            for scope in self.scopes_of(lease.task)? {
                let Some(row) = self.budget_row(&scope)? else { continue };
                if let Some((true, row)) = self.change_budget(row.id, |kept| kept.spend(line))?
                    && let Some(budget) = row.kept.view()
                {
                    let used_nano = budget.used_nano();
                    let (scope, limit_nano) = (budget.scope, budget.limit_nano);
                    let warned = Happened::BudgetWarned {
                        scope,
                        used_nano,
                        limit_nano,
                    };
                    self.emit_task(lease.task, &warned)?;
                }
            }
        }
        Ok(())
    }
}
