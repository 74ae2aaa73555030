//! What a worker says about its task under a lease, and the end of a try.

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{ArtifactHash, Lease, TaskId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::quota;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{ArtifactBytes, AttemptStart, Learned, Next, Refused, Reply, Settlement, TaskResult};
use wheelhouse_core::task::{Held, TaskEvent};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use crate::encode::{self, State, StoredHash, bits, int};
use crate::failure::Answer;
use crate::rows::{AWAITS, LeaseRow, REPEATS, TURN, WORKFLOW, outcome_columns};
use crate::shape;
use crate::statements as sql;
use crate::work::Work;

/// The end of a try, as it is recorded.
pub(crate) struct End<'s> {
    pub(crate) outcome: &'s Outcome,
    pub(crate) usage: Usage,
    pub(crate) cost: Cost,
    pub(crate) result: &'s TaskResult,
}

impl Work<'_> {
    /// The running task under this lease, or a refusal.
    pub(crate) fn leased(&mut self, lease: Lease) -> Answer<LeaseRow> {
        let mut statement = self.connection.prepare_cached(sql::LEASE_VALID)?;
        let params = [int(lease.task.0), int(lease.fence), int(self.steady)];
        let row = statement.query_row(params, LeaseRow::read).optional()?;
        row.ok_or_else(|| Refused::LostLease(lease).into())
    }

    pub(crate) fn start(&mut self, lease: Lease, start: &AttemptStart) -> Answer<Reply> {
        let row = self.leased(lease)?;
        let AttemptStart { session, process } = start;
        let pid = process.map(|process| process.pid);
        let ticks = process.map(|process| bits(process.start_ticks));
        self.execute(sql::LEASE_START, params![int(row.task), session, pid, ticks])?;
        let happened = Happened::AttemptStarted {
            attempt: row.number,
            session: session.clone(),
            pid,
        };
        self.emit_task(row.task, &happened)?;
        if let Some(session) = session
            && self.task(row.task)?.is(TURN)
        {
            crew::session_known(self, TaskId(row.task), session)?;
        }
        Ok(Reply::Done)
    }

    pub(crate) fn report(&mut self, lease: Lease, kind: &str, text: &str) -> Answer<Reply> {
        let row = self.leased(lease)?;
        let happened = Happened::AttemptReported {
            attempt: row.number,
            kind: kind.to_owned(),
            text: text.to_owned(),
        };
        self.emit_task(row.task, &happened)?;
        Ok(Reply::Done)
    }

    pub(crate) fn heartbeat(&mut self, leases: &[Lease], lease_ms: u64) -> Answer<Reply> {
        let until = int(self.steady.saturating_add(lease_ms));
        let (mut lost, mut cancel, mut interrupt, mut mail) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for lease in leases {
            let mut statement = self.connection.prepare_cached(sql::LEASE_VALID)?;
            let params = [int(lease.task.0), int(lease.fence), int(self.steady)];
            match statement.query_row(params, LeaseRow::read).optional()? {
                None => lost.push(*lease),
                Some(row) => {
                    if row.cancel {
                        cancel.push(lease.task);
                    }
                    if row.interrupt {
                        interrupt.push(lease.task);
                    }
                    self.execute(sql::LEASE_PROLONG, [int(row.task), until])?;
                    if row.mail {
                        self.fetch_mail(lease.task, &mut mail)?;
                    }
                }
            }
        }
        Ok(Reply::Beat {
            lost,
            cancel,
            interrupt,
            mail,
        })
    }

    pub(crate) fn settle(&mut self, lease: Lease, settlement: &Settlement) -> Answer<Reply> {
        let Settlement {
            outcome,
            next,
            result,
            usage,
            cost,
            artifacts,
            new_tasks,
            learned,
            spending,
            by: _,
        } = settlement;
        let lease = self.leased(lease)?;
        let (id, stop, interrupt) = (lease.task, lease.cancel, lease.interrupt);
        let run = self.task(id)?.run;
        if stop && *outcome != Outcome::Cancelled {
            return Err(Refused::CancelRequested(TaskId(id)).into());
        }
        let checked = match new_tasks.as_slice() {
            [] => None,
            tasks => Some(self.check_new_tasks(Some(run), tasks)?),
        };

        self.keep_artifacts(artifacts)?;
        let end = End {
            outcome,
            usage: *usage,
            cost: *cost,
            result,
        };
        self.record_end(&lease, &end)?;
        // A workflow is no try of anybody: its children are booked and counted.
        let workflow = self.task(id)?.is(WORKFLOW);
        if !workflow {
            self.book_end(&lease, spending, *usage, *cost)?;
        }
        self.close_lease(&lease)?;
        if let (Outcome::Quota { resets_at }, Next::TryAt { at, .. }) = (outcome, next) {
            self.exhaust_account(&lease, spending, quota::returns(*resets_at, *at, self.now))?;
        }
        self.heard(&lease, settlement.bearing(self.now))?;
        match next {
            Next::Done { continues } => {
                if let Some(learned) = learned {
                    self.remember(&lease, outcome, learned)?;
                }
                if !workflow {
                    self.tally_outcome(&lease, spending, outcome, result)?;
                }
                self.end_settled(id, outcome, *continues)?;
            }
            // Somebody wants it stopped, and it is: nothing more is tried or asked.
            Next::TryAt { .. } | Next::Ask { .. } | Next::AwaitBudget if stop || interrupt => {
                self.end_settled(id, outcome, false)?;
            }
            Next::AwaitBudget => {
                self.await_budget(id)?;
                self.task_mut(id)?.put(REPEATS, true);
            }
            Next::TryAt { at, link, agent, quota } => {
                let until = *at;
                let held = if *quota {
                    Held::Quota { until }
                } else {
                    Held::Retry { until }
                };
                self.hold(id, held, None)?;
                let agent = self.names.id(self.connection, agent.as_str())?;
                let row = self.task_mut(id)?;
                row.put(REPEATS, *quota);
                if (row.agent, row.link) != (agent, *link) {
                    (row.agent, row.link, row.on_agent) = (agent, *link, 0);
                }
            }
            Next::Ask { kind, text } => {
                let question = self.ask(id, *kind, text.clone())?;
                self.hold(id, kind.held(question), None)?;
            }
        }
        if let Some(checked) = checked {
            self.add_checked(run, new_tasks, &checked)?;
        }
        if workflow && self.task(id)?.state == State::Done {
            self.cancel_children(id)?;
        }
        Ok(Reply::Done)
    }

    /// A workflow goes on: its children are there and it waits for them, or neither.
    pub(crate) fn await_children(&mut self, lease: Lease, children: &[TaskSpec], open_max: u32) -> Answer<Reply> {
        let lease = self.leased(lease)?;
        let id = lease.task;
        if lease.cancel {
            return Err(Refused::CancelRequested(TaskId(id)).into());
        }
        let run = self.task(id)?.run;
        let checked = self.check_new_tasks(Some(run), children)?;
        self.interrupt_attempt(&lease)?;
        self.close_lease(&lease)?;
        self.add_checked(run, children, &checked)?;
        let open = self.open_children(id)?.len();
        let pending = u32::try_from(open).unwrap_or(u32::MAX).saturating_sub(open_max);
        self.step(id, &TaskEvent::Awaits { pending })?;
        self.task_mut(id)?.put(AWAITS, true);
        let added = u32::try_from(children.len()).unwrap_or(u32::MAX);
        self.emit_task(id, &Happened::TaskAwaits { added, pending })?;
        if pending == 0 {
            self.admit(id)?;
        }
        Ok(Reply::Done)
    }

    fn remember(&mut self, lease: &LeaseRow, outcome: &Outcome, learned: &Learned) -> Answer<()> {
        let (code, detail) = outcome_columns(Some(outcome));
        let model = match &learned.model {
            Some(model) => Some(self.names.id(self.connection, model)?),
            None => None,
        };
        self.execute(
            sql::PAST_ADD,
            params![
                int(lease.task),
                learned.kind.name(),
                lease.agent,
                code,
                detail,
                int(self.now.0),
                learned.sketch.to_bytes().as_slice(),
                model,
                learned.features.to_bytes(),
            ],
        )?;
        Ok(())
    }

    /// What one agent of an account ran into holds them all.
    fn exhaust_account(&mut self, lease: &LeaseRow, spending: &Spending, until: Millis) -> Answer<()> {
        let account = match &spending.account {
            Some(account) => account.clone(),
            None => self.names.text(self.connection, lease.agent)?,
        };
        self.exhaust(account, until)
    }

    fn end_settled(&mut self, id: u64, outcome: &Outcome, continues: bool) -> Answer<()> {
        let outcome = outcome.clone();
        self.end(id, TaskEvent::Settled { outcome }, continues)
    }

    /// Writes down how a try ended; what becomes of the task is another matter.
    pub(crate) fn record_end(&mut self, lease: &LeaseRow, end: &End<'_>) -> Answer<()> {
        let now = int(self.now.0);
        let (outcome, detail) = outcome_columns(Some(end.outcome));
        let (cost, cost_nano) = encode::cost_codes(end.cost);
        let result = shape::result_text(end.result)?;
        self.execute(
            sql::ATTEMPT_ENDED,
            params![
                int(lease.task),
                lease.number,
                lease.begun,
                lease.agent,
                lease.session,
                lease.process.map(|process| process.pid),
                lease.process.map(|process| bits(process.start_ticks)),
                int(lease.started_at),
                now,
                outcome,
                detail,
                encode::usage_text(end.usage),
                cost,
                cost_nano,
                result,
            ],
        )?;
        self.use_artifacts(lease.task, end.result)?;
        let row = self.task_mut(lease.task)?;
        row.put(REPEATS, false);
        let (run, turn) = (row.run, row.is(TURN));
        if turn {
            crew::spent(self, TaskId(lease.task), end.usage, end.cost)?;
        }
        let happened = Happened::AttemptEnded {
            attempt: lease.number,
            outcome: end.outcome.clone(),
            usage: end.usage,
            cost: end.cost,
        };
        self.emit(run, Some(lease.task), &happened)
    }

    fn keep_artifacts(&mut self, artifacts: &[ArtifactBytes]) -> Answer<()> {
        for ArtifactBytes { hash, bytes } in artifacts {
            let (id, missing) = self.artifact(hash, Some(bytes))?;
            if missing {
                self.execute(sql::ARTIFACT_FILL, params![id, bytes])?;
            }
        }
        Ok(())
    }

    /// Notes what a result refers to, so that it stays as long as the task.
    fn use_artifacts(&mut self, task: u64, result: &TaskResult) -> Answer<()> {
        let outputs = result.artifacts.iter().map(|artifact| &artifact.hash);
        let logs = result.checks.iter().map(|check| &check.log);
        for hash in outputs.chain(logs) {
            let (id, _) = self.artifact(hash, None)?;
            if self.execute(sql::ARTIFACT_USE_ADD, params![int(task), id])? == 1 {
                self.execute(sql::ARTIFACT_USED, [id])?;
            }
        }
        Ok(())
    }

    /// The row of an artifact, made when there is none, and whether its bytes are missing.
    fn artifact(&mut self, hash: &ArtifactHash, bytes: Option<&[u8]>) -> Answer<(i64, bool)> {
        let hash = StoredHash::new(hash);
        let found = self
            .connection
            .prepare_cached(sql::ARTIFACT_BY_HASH)?
            .query_row([&hash], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
        self.execute(sql::ARTIFACT_ADD, params![hash, bytes])?;
        Ok((self.connection.last_insert_rowid(), false))
    }
}
