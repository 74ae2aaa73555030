//! Accounts of providers: what they said of their allowances, and which are used up now.

use std::collections::BTreeMap;

use rusqlite::params;
use wheelhouse_core::quota::{Allowance, Window};
use wheelhouse_core::store::Reply;
use wheelhouse_core::time::Millis;

use crate::encode::int;
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn note_allowance(&mut self, allowance: &Allowance) -> Answer<Reply> {
        let Allowance {
            account,
            window,
            what,
            exhausted,
            resets_at,
            seen_at: _,
        } = allowance;
        let account = self.names.id(self.connection, account)?;
        let now = int(self.now.0);
        let resets_at = resets_at.map(|at| int(at.0));
        self.execute(
            sql::ALLOWANCE_SET,
            params![account, window.name(), what, exhausted, resets_at, now],
        )?;
        Ok(Reply::Done)
    }

    /// An account whose allowance is used up: nothing of it begins until then.
    pub(crate) fn exhaust(&mut self, account: String, until: Millis) -> Answer<()> {
        let allowance = Allowance {
            account,
            window: Window::Unstated,
            what: "the provider refused further work".to_owned(),
            exhausted: true,
            resets_at: Some(until),
            seen_at: self.now,
        };
        self.note_allowance(&allowance).map(drop)
    }

    /// The accounts that are used up now, with the moment of their return.
    pub(crate) fn exhausted(&mut self) -> Answer<BTreeMap<String, Millis>> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::ALLOWANCES_EXHAUSTED)?;
        let mut rows = statement.query([int(self.now.0)])?;
        let mut exhausted = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let account = self.names.text(connection, row.get(0)?)?;
            exhausted.insert(account, Millis(row.get(1)?));
        }
        Ok(exhausted)
    }
}
