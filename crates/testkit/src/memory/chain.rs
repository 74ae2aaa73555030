//! Chains of fallbacks at a claim, and the breakers behind them.

use wheelhouse_core::breaker::{Admission, Bearing, Breaker, Policy, State, Subject, Ticket};
use wheelhouse_core::budget::Terms;
use wheelhouse_core::chain::{self, Barrier, Link, Obstacle, Way};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, TaskId};
use wheelhouse_core::quota;
use wheelhouse_core::task::Held;

use super::world::World;

/// A breaker and the policy of whoever asked last.
pub(super) struct Kept {
    pub(super) policy: Policy,
    pub(super) breaker: Breaker,
}

impl World {
    /// Sees to it that a task at hand can be handed out; else it waits, or goes over to somebody else.
    pub(super) fn may_ask(&mut self, id: TaskId, terms: &Terms) -> Asked {
        let task = self.task(id);
        let (spec, link, since) = (task.spec.clone(), task.link, task.since);
        let mut first: Option<(Obstacle, Option<Subject>)> = None;
        let obstacle = |at: u32, one: &Link| {
            let found = self.obstacle(one, at == link, terms);
            if let Some(obstacle) = found
                && first.as_ref().is_none_or(|(first, _)| obstacle.until < first.until)
            {
                let subject = terms.subject(&one.agent, one.model.as_deref());
                first = Some((obstacle, subject.filter(|_| obstacle.what == Barrier::Breaker)));
            }
            Ok(found)
        };
        let way: Result<Way, std::convert::Infallible> = chain::way(&spec, link, (since, self.now), obstacle);
        match way {
            Ok(Way::Free) => Asked::Free,
            Ok(Way::On(to)) => {
                self.say_of_chain(id, chain::moved_on(&spec, link, to));
                self.hold(id, Held::Retry { until: self.now });
                let agent = spec.link(to).map_or_else(|| spec.agent.clone(), |one| one.agent);
                let task = self.task_mut(id);
                (task.agent, task.link, task.on_agent) = (agent, to, 0);
                self.release(id);
                Asked::Moved
            }
            Ok(Way::Waits(obstacle)) => {
                self.say_of_chain(id, chain::barred(&spec, link, obstacle, self.now));
                let until = obstacle.until;
                match obstacle.what {
                    Barrier::Breaker => self.hold(id, Held::Retry { until }),
                    Barrier::Allowance => self.hold(id, Held::Quota { until }),
                }
                self.task_mut(id).barred_by = first.and_then(|(_, subject)| subject);
                Asked::Waits
            }
            Err(never) => match never {},
        }
    }

    fn obstacle(&self, link: &Link, is_own: bool, terms: &Terms) -> Option<Obstacle> {
        let counts = !(is_own && terms.quota == quota::Policy::Wait);
        if let Some(until) = self.used_up_until(&link.agent, terms).filter(|_| counts) {
            let what = Barrier::Allowance;
            return Some(Obstacle { until, what });
        }
        let subject = terms.subject(&link.agent, link.model.as_deref())?;
        let kept = self.breakers.get(&subject)?;
        let until = kept.breaker.barred_until(&kept.policy, self.now)?;
        let what = Barrier::Breaker;
        Some(Obstacle { until, what })
    }

    fn say_of_chain(&mut self, id: TaskId, text: String) {
        let attempt = self.task(id).attempts.last().map_or(0, |attempt| attempt.number);
        let kind = chain::REPORT_KIND.to_owned();
        self.emit_task(id, Happened::AttemptReported { attempt, kind, text });
    }

    pub(super) fn take_leave(
        &mut self,
        agent: &AgentName,
        model: Option<&str>,
        terms: &Terms,
    ) -> Option<(Subject, Ticket)> {
        let subject = terms.subject(agent, model)?;
        let policy = terms.breaker;
        let before = self
            .breakers
            .remove(&subject)
            .map(|kept| kept.breaker)
            .unwrap_or_default();
        let (breaker, admission) = before.ask(&policy, self.now);
        self.breakers.insert(subject.clone(), Kept { policy, breaker });
        match admission {
            Admission::Admitted(ticket) => Some((subject, ticket)),
            Admission::Barred { .. } => None,
        }
    }

    /// What came of asking. Whoever waited for the end of a probe looks again.
    pub(super) fn heard(&mut self, id: TaskId, bearing: Bearing) {
        let Some((subject, ticket)) = self.task_mut(id).asks.take() else {
            return;
        };
        let now = self.now;
        let Some(kept) = self.breakers.get_mut(&subject) else {
            return;
        };
        let probe = matches!(kept.breaker.state(), State::HalfOpen { .. });
        kept.breaker = kept.breaker.ended(&kept.policy, ticket, bearing, now);
        if probe && !matches!(kept.breaker.state(), State::HalfOpen { .. }) {
            let waits = |task: &super::world::Task| task.barred_by.as_ref() == Some(&subject);
            let waiting: Vec<TaskId> = self
                .tasks
                .iter()
                .filter(|(_, task)| waits(task))
                .map(|(id, _)| *id)
                .collect();
            for waiter in waiting {
                self.release(waiter);
            }
        }
    }
}

/// Whether a task can be handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Free,
    Moved,
    Waits,
}
