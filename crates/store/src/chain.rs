//! Chains of fallbacks at a claim: who may be asked now, who moves on, who waits; and the breakers behind that.
//!
//! A breaker is asked in the commit that hands the task out and told in the one that ends its try, so all workers of a
//! store share it and there is one probe among them all. What it says is decided in [`wheelhouse_core::breaker`].

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::breaker::{Admission, Bearing, Breaker, Policy, State, Subject, Ticket};
use wheelhouse_core::budget::Terms;
use wheelhouse_core::chain::{self, Barrier, Obstacle, Way};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::quota;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;

use crate::encode::{State as Stored, int};
use crate::failure::{Answer, Stop};
use crate::rows::LeaseRow;
use crate::shape;
use crate::statements as sql;
use crate::work::Work;

impl Work<'_> {
    /// Sees to it that a task at hand can be handed out; else it waits, or goes over to somebody else.
    pub(crate) fn may_ask(
        &mut self,
        id: u64,
        spec: &TaskSpec,
        terms: &Terms,
        exhausted: &BTreeMap<String, Millis>,
    ) -> Answer<Asked> {
        let row = self.task(id)?;
        let (link, since) = (row.link, row.since.map(Millis));
        let mut breaker_first: Option<(Millis, Option<i64>)> = None;
        let way = chain::way(spec, link, (since, self.now), |at, one| {
            let found = self.obstacle(one, at == link, terms, exhausted)?;
            let (obstacle, breaker) = found.unzip();
            if let Some(Obstacle { until, .. }) = obstacle
                && breaker_first.is_none_or(|(first, _)| until < first)
            {
                breaker_first = Some((until, breaker.flatten()));
            }
            Ok::<_, Stop>(obstacle)
        })?;
        match way {
            Way::Free => Ok(Asked::Free),
            Way::On(to) => self.move_on(id, spec, link, to).map(Asked::Moved),
            Way::Waits(obstacle) => {
                let breaker = breaker_first.and_then(|(_, breaker)| breaker);
                self.wait(id, spec, link, obstacle, breaker)?;
                Ok(Asked::Waits)
            }
        }
    }

    /// What keeps a link of a chain from being asked now, with the breaker where it is one.
    fn obstacle(
        &mut self,
        link: &chain::Link,
        is_own: bool,
        terms: &Terms,
        exhausted: &BTreeMap<String, Millis>,
    ) -> Answer<Option<(Obstacle, Option<i64>)>> {
        // Where tasks wait for their own account, the claim does not even look at them.
        let account = match is_own && terms.quota == quota::Policy::Wait || exhausted.is_empty() {
            true => None,
            false => exhausted.get(&terms.account(&link.agent)).copied(),
        };
        if let Some(until) = account {
            let what = Barrier::Allowance;
            return Ok(Some((Obstacle { until, what }, None)));
        }
        let Some(subject) = terms.subject(&link.agent, link.model.as_deref()) else {
            return Ok(None);
        };
        let Some((id, kept)) = self.breaker(&subject)? else {
            return Ok(None);
        };
        let what = Barrier::Breaker;
        let barred = kept.breaker.barred_until(&kept.policy, self.now);
        Ok(barred.map(|until| (Obstacle { until, what }, Some(id))))
    }

    fn move_on(&mut self, id: u64, spec: &TaskSpec, from: u32, to: u32) -> Answer<i64> {
        self.say_of_chain(id, chain::moved_on(spec, from, to))?;
        self.hold(id, Held::Retry { until: self.now }, None)?;
        let name = spec.link(to).map_or_else(|| spec.agent.clone(), |link| link.agent);
        let agent = self.names.id(self.connection, name.as_str())?;
        let row = self.task_mut(id)?;
        (row.agent, row.link, row.on_agent) = (agent, to, 0);
        self.release(id)?;
        // The claim has taken it out of its lane already; with the same agent it would not be put in again.
        let row = self.task(id)?;
        let (ready, rank) = (row.state == Stored::Ready, row.rank);
        if ready {
            self.fresh.insert((agent, rank, id));
        }
        Ok(agent)
    }

    fn wait(&mut self, id: u64, spec: &TaskSpec, link: u32, obstacle: Obstacle, breaker: Option<i64>) -> Answer<()> {
        self.say_of_chain(id, chain::barred(spec, link, obstacle, self.now))?;
        let until = obstacle.until;
        let held = match obstacle.what {
            Barrier::Breaker => Held::Retry { until },
            Barrier::Allowance => Held::Quota { until },
        };
        self.hold(id, held, None)?;
        if breaker.is_some() {
            self.execute(sql::HOLD_FOR_BREAKER, params![int(id), breaker])?;
        }
        Ok(())
    }

    fn say_of_chain(&mut self, id: u64, text: String) -> Answer<()> {
        let attempt = self.task(id)?.attempt;
        let kind = chain::REPORT_KIND.to_owned();
        self.emit_task(id, &Happened::AttemptReported { attempt, kind, text })
    }

    /// Takes leave to ask for a task that is being handed out, when it asks anybody that a breaker stands for.
    pub(crate) fn take_leave(
        &mut self,
        agent: &AgentName,
        model: Option<&str>,
        terms: &Terms,
    ) -> Answer<Option<(i64, Ticket)>> {
        let Some(subject) = terms.subject(agent, model) else {
            return Ok(None);
        };
        let policy = terms.breaker;
        let (id, kept) = match self.breaker(&subject)? {
            Some(found) => found,
            None => self.new_breaker(&subject, policy)?,
        };
        let (breaker, admission) = kept.breaker.ask(&policy, self.now);
        let asked = KeptBreaker { policy, breaker };
        if asked != kept {
            self.keep_breaker(id, &asked)?;
        }
        Ok(match admission {
            Admission::Admitted(ticket) => Some((id, ticket)),
            // The claim asked before, in this very commit.
            Admission::Barred { .. } => None,
        })
    }

    /// What came of asking. Whoever waited for the end of a probe looks again.
    pub(crate) fn heard(&mut self, lease: &LeaseRow, bearing: Bearing) -> Answer<()> {
        let Some((id, ticket)) = lease.asks else {
            return Ok(());
        };
        let body: String = self
            .connection
            .prepare_cached(sql::BREAKER)?
            .query_row([id], |row| row.get(0))?;
        let kept = shape::breaker(&body)?;
        let breaker = kept.breaker.ended(&kept.policy, ticket, bearing, self.now);
        if breaker == kept.breaker {
            return Ok(());
        }
        let probe = matches!(kept.breaker.state(), State::HalfOpen { .. });
        let over = probe && !matches!(breaker.state(), State::HalfOpen { .. });
        self.keep_breaker(id, &KeptBreaker { breaker, ..kept })?;
        if over {
            for waiter in self.ids(sql::HOLDS_OF_BREAKER, [id])? {
                self.release(waiter)?;
            }
        }
        Ok(())
    }

    fn breaker(&self, subject: &Subject) -> Answer<Option<(i64, KeptBreaker)>> {
        let Subject {
            provider,
            model,
            credential,
        } = subject;
        let mut statement = self.connection.prepare_cached(sql::BREAKER_OF)?;
        let found: Option<(i64, String)> = statement
            .query_row([provider, model, credential], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found.map(|(id, body)| Ok((id, shape::breaker(&body)?))).transpose()
    }

    fn new_breaker(&mut self, subject: &Subject, policy: Policy) -> Answer<(i64, KeptBreaker)> {
        let kept = KeptBreaker {
            policy,
            breaker: Breaker::default(),
        };
        let Subject {
            provider,
            model,
            credential,
        } = subject;
        let body = shape::breaker_text(&kept)?;
        self.execute(sql::BREAKER_ADD, params![provider, model, credential, body])?;
        Ok((self.connection.last_insert_rowid(), kept))
    }

    fn keep_breaker(&mut self, id: i64, kept: &KeptBreaker) -> Answer<()> {
        let body = shape::breaker_text(kept)?;
        self.execute(sql::BREAKER_SET, params![id, body])?;
        Ok(())
    }
}

/// Whether a task can be handed out.
pub(crate) enum Asked {
    /// It can.
    Free,
    /// It went over to that agent.
    Moved(i64),
    /// It waits.
    Waits,
}

/// A breaker with the policy of whoever asked last: its end is judged by that.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct KeptBreaker {
    pub(crate) policy: Policy,
    pub(crate) breaker: Breaker,
}
