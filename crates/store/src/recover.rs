//! Tasks that lose their worker: given back, lease run out, or owner gone. The try is repeated under a new fence.

use rusqlite::{Params, params};
use wheelhouse_core::breaker::Bearing;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Lease, OwnerId, TaskId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::store::{Reply, ReturnedTask, RunState};
use wheelhouse_core::task::TaskEvent;

use crate::encode::{bits, int};
use crate::failure::Answer;
use crate::rows::LeaseRow;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    pub(crate) fn give_back_leased(&mut self, lease: Lease, why: &str, spending: &Spending) -> Answer<Reply> {
        let row = self.leased(lease)?;
        self.give_back(&row, why, spending)?;
        Ok(Reply::Done)
    }

    pub(crate) fn expire_leases(&mut self) -> Answer<Reply> {
        let leases = self.leases(sql::LEASES_RUN_OUT, [int(self.steady)])?;
        self.give_all_back(&leases, "its lease ran out")
    }

    pub(crate) fn recover(&mut self, me: &OwnerId, go_on: bool) -> Answer<Reply> {
        if !go_on {
            self.flush()?;
            for run in self.ids(sql::RUNS_OPEN, [])? {
                self.stop_run(run, RunState::Interrupted)?;
            }
        }
        // An owner without a number holds nothing; no number is negative.
        let me = self.names.find(self.connection, &me.0)?.unwrap_or(-1);
        let leases = self.leases(sql::LEASES_OF_OTHERS, [me])?;
        self.give_all_back(&leases, "its engine went away")
    }

    fn leases(&self, sql: &'static str, params: impl Params) -> rusqlite::Result<Vec<LeaseRow>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, LeaseRow::read)?;
        rows.collect()
    }

    fn give_all_back(&mut self, leases: &[LeaseRow], why: &str) -> Answer<Reply> {
        let mut tasks = Vec::with_capacity(leases.len());
        for lease in leases {
            tasks.push(self.give_back(lease, why, &Spending::default())?);
        }
        Ok(Reply::Returned { tasks })
    }

    /// A running task loses its worker; the try will be repeated, unless somebody wanted it stopped anyway.
    fn give_back(&mut self, lease: &LeaseRow, why: &str, spending: &Spending) -> Answer<ReturnedTask> {
        let id = lease.task;
        self.book_return(lease, spending)?;
        self.interrupt_attempt(lease)?;
        self.close_lease(lease)?;
        self.heard(lease, Bearing::Silent)?;
        self.step(id, &TaskEvent::Returned)?;
        self.task_mut(id)?.since = None;
        let why = why.to_owned();
        let fence = lease.fence;
        self.emit_task(id, &Happened::TaskReturned { fence, why })?;
        if lease.cancel || lease.interrupt {
            self.end(id, TaskEvent::Cancelled, false)?;
        } else {
            self.admit(id)?;
        }
        Ok(ReturnedTask {
            task: TaskId(id),
            process: lease.process,
        })
    }

    /// The try is kept as begun and not ended: it will be repeated under its number.
    pub(crate) fn interrupt_attempt(&mut self, lease: &LeaseRow) -> Answer<()> {
        self.execute(
            sql::ATTEMPT_INTERRUPTED,
            params![
                int(lease.task),
                lease.number,
                lease.begun,
                lease.agent,
                lease.session,
                lease.process.map(|process| process.pid),
                lease.process.map(|process| bits(process.start_ticks)),
                int(lease.started_at),
            ],
        )?;
        Ok(())
    }
}
