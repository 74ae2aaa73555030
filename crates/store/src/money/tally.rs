//! The sums of a day, by agent, model, kind of work and account: held in memory during a commit, added at its end.

use rusqlite::params;
use wheelhouse_core::day::Day;
use wheelhouse_core::ledger::{Spending, Tally};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::TaskResult;

use crate::encode::{self, int};
use crate::failure::Answer;
use crate::rows::LeaseRow;
use crate::statements as sql;
use crate::work::Work;

/// Numbers of names: agent, model (0: none), kind, account (0: none), and the day.
pub(crate) type TallyId = (i64, i64, i64, i64, u32);

impl Work<'_> {
    pub(super) fn tally_id(&mut self, lease: &LeaseRow, spending: &Spending, model: Option<&str>) -> Answer<TallyId> {
        let model = self.named(model)?.unwrap_or(0);
        let account = self.named(spending.account.as_deref())?.unwrap_or(0);
        let kind = self.names.id(self.connection, &spending.kind)?;
        Ok((lease.agent, model, kind, account, Day::of(self.now).0))
    }

    /// The tally that the try itself counts in: that of its first line.
    pub(super) fn tally(&mut self, lease: &LeaseRow, spending: &Spending) -> Answer<&mut Tally> {
        let model = spending.lines.first().and_then(|line| line.model.as_deref());
        let id = self.tally_id(lease, spending, model)?;
        Ok(self.purse.tallies.entry(id).or_default())
    }

    /// How a task came out, counted with its last try.
    pub(crate) fn tally_outcome(
        &mut self,
        lease: &LeaseRow,
        spending: &Spending,
        outcome: &Outcome,
        result: &TaskResult,
    ) -> Answer<()> {
        let number = lease.number;
        self.tally(lease, spending)?.end(number, outcome, result);
        Ok(())
    }

    /// Writes the sums of this commit.
    pub(crate) fn flush_tallies(&mut self) -> Answer<()> {
        for ((agent, model, kind, account, day), tally) in std::mem::take(&mut self.purse.tallies) {
            if tally.is_empty() {
                continue;
            }
            let Tally {
                entries,
                usage,
                actual_nano,
                priced_nano,
                included,
                unknown,
                assumed_nano,
                tries,
                wall_ms,
                first_try,
                second_try,
                reworked,
                failed,
                verified,
                rated,
                stars,
            } = tally;
            // Of no entries nobody counted anything: the sum keeps its source.
            let source = if entries == 0 {
                1
            } else {
                encode::usage_source_code(usage.source)
            };
            self.execute(
                sql::TALLY_ADD,
                params![
                    agent,
                    model,
                    kind,
                    account,
                    day,
                    int(entries),
                    int(usage.input),
                    int(usage.cache_read),
                    int(usage.cache_write),
                    int(usage.output),
                    int(usage.reasoning),
                    source,
                    int(actual_nano),
                    int(priced_nano),
                    int(included),
                    int(unknown),
                    int(assumed_nano),
                    int(tries),
                    int(wall_ms),
                    int(first_try),
                    int(second_try),
                    int(reworked),
                    int(failed),
                    int(verified),
                    int(rated),
                    int(stars)
                ],
            )?;
        }
        Ok(())
    }

    pub(super) fn named(&mut self, name: Option<&str>) -> Answer<Option<i64>> {
        Ok(match name {
            Some(name) => Some(self.names.id(self.connection, name)?),
            None => None,
        })
    }
}
