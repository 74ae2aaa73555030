//! What people thought of a task's result, counted where the task's last entry counts.

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::day::Day;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::TaskId;
use wheelhouse_core::ledger;
use wheelhouse_core::store::{Refused, Reply};

use super::tally::TallyId;
use crate::encode::{self, int};
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn rate(&mut self, task: TaskId, stars: u8, words: &str) -> Answer<Reply> {
        let row = self.find_named(task)?;
        if row.state != encode::State::Done {
            let state = row.machine_state();
            return Err(Refused::Illegal(format!("a task that is {} cannot be rated yet", state.name())).into());
        }
        if !(1..=5).contains(&stars) {
            return Err(Refused::Illegal(format!("{stars} is not a number of stars from 1 to 5")).into());
        }
        let (id, agent, run) = (row.id, row.agent, row.run);
        let earlier: Option<(u8, TallyId)> = self
            .connection
            .prepare_cached(sql::RATING)?
            .query_row([int(id)], |row| {
                let key = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
                Ok((row.get(0)?, key))
            })
            .optional()?;
        if let Some((before, key)) = earlier {
            self.flush_tallies()?;
            self.execute(sql::TALLY_UNRATE, params![key.0, key.1, key.2, key.3, key.4, before])?;
        }
        // It counts where the task's last entry counts, else with its agent alone.
        let day = Day::of(self.now).0;
        let found: Option<TallyId> = self
            .connection
            .prepare_cached(sql::LEDGER_LAST_OF_TASK)?
            .query_row([int(id)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, day))
            })
            .optional()?;
        let key = match found {
            Some(key) => key,
            None => {
                let kind = ledger::kind(&self.spec(id)?);
                (agent, 0, self.names.id(self.connection, kind)?, 0, day)
            }
        };
        let tally = self.purse.tallies.entry(key).or_default();
        tally.rated += 1;
        tally.stars += u64::from(stars);
        let now = int(self.now.0);
        self.execute(
            sql::RATING_SET,
            params![int(id), stars, words, now, key.0, key.1, key.2, key.3, key.4],
        )?;
        let words = words.to_owned();
        self.emit(run, Some(id), &Happened::TaskRated { stars, words })?;
        Ok(Reply::Done)
    }
}
