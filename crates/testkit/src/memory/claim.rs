//! Claims: wake what is due, then take the best of what is ready within caps and write sets.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use wheelhouse_core::budget::Terms;
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, Lease, TaskId};
use wheelhouse_core::quota;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Cap, ClaimRequest, Claimed, Reply};
use wheelhouse_core::task::TaskEvent;
use wheelhouse_core::time::Millis;
use wheelhouse_core::write_set::overlap;

use super::chain::Asked;
use super::money::Reserved;
use super::world::{Attempt, World};
use super::{BARRED_HOLDS_MAX, CONFLICT_HOLDS_MAX, MONEY_HOLDS_MAX};

impl World {
    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Reply {
        self.wake();
        let expire_at = self.expire_instances();
        self.configure_budgets(&request.terms, &request.owner);
        self.follow_money();
        let lent = self.lent();
        let ours = |id: &&TaskId| self.task(**id).owner.as_ref() == Some(&request.owner);
        let ours = u32::try_from(lent.iter().filter(ours).count()).unwrap_or(u32::MAX);
        let limit = request.limit.saturating_add(ours.saturating_sub(request.borrowed));
        let mut tasks = Vec::new();
        let (mut conflicts, mut short, mut barred) = (0, 0, 0);
        let returns_at = self.first_return(&request.terms);
        while tasks.len() < limit as usize {
            let Some(id) = self.best_ready(request, &lent) else {
                break;
            };
            if short == MONEY_HOLDS_MAX || barred == BARRED_HOLDS_MAX {
                break;
            }
            match self.may_ask(id, &request.terms) {
                Asked::Free => {}
                Asked::Waits => {
                    barred += 1;
                    continue;
                }
                Asked::Moved => continue,
            }
            let Reserved::Begin(reserved) = self.reserve(id, &request.terms) else {
                short += 1;
                continue;
            };
            match self.writes_meet(id) {
                Some(_) if conflicts == CONFLICT_HOLDS_MAX => break,
                Some(with) => {
                    self.hold_conflict(id, with);
                    conflicts += 1;
                }
                None => {
                    let granted_nano = self.hold_reserved(id, reserved);
                    let mut claimed = self.claim_one(id, request);
                    claimed.granted_nano = granted_nano;
                    tasks.push(claimed);
                }
            }
        }
        Reply::Claimed {
            tasks,
            wake_at: match barred == BARRED_HOLDS_MAX {
                true => Some(self.now),
                false => [self.wakes.first().map(|(until, _)| *until), returns_at]
                    .into_iter()
                    .flatten()
                    .min(),
            },
            now: self.now,
            expire_at,
        }
    }

    /// When the first account returns that ready tasks wait for.
    fn first_return(&self, terms: &Terms) -> Option<Millis> {
        if terms.quota == quota::Policy::Reroute {
            return None;
        }
        self.ready
            .keys()
            .filter_map(|agent| self.used_up_until(agent, terms))
            .min()
    }

    fn wake(&mut self) {
        while let Some((until, id)) = self.wakes.first().copied() {
            if until > self.now {
                break;
            }
            self.release(id);
        }
    }

    /// The first claimable task over all agents that no cap closes. Whatever is done with it, it is not ready
    /// afterwards, so asking again gives the next one.
    fn best_ready(&self, request: &ClaimRequest, lent: &[TaskId]) -> Option<TaskId> {
        let closed = |agent: &AgentName| {
            let waits = request.terms.quota == quota::Policy::Wait;
            self.capped(agent, &request.caps, lent) || (waits && self.used_up_until(agent, &request.terms).is_some())
        };
        let open = self.ready.iter().filter(|(agent, _)| !closed(agent));
        let best: Option<&(Reverse<i32>, TaskId)> = open.filter_map(|(_, ready)| ready.first()).min();
        best.map(|(_, id)| *id)
    }

    fn capped(&self, agent: &AgentName, caps: &[Cap], lent: &[TaskId]) -> bool {
        caps.iter().filter(|cap| cap.agents.contains(agent)).any(|cap| {
            let agents: BTreeSet<&AgentName> = cap.agents.iter().collect();
            // A turn that waits for others below it has lent its place.
            let lent = |agent: &AgentName| lent.iter().filter(|id| self.task(**id).agent == *agent).count();
            let on = |agent: &&AgentName| {
                let running = self.running_on.get(*agent).copied().unwrap_or(0);
                running.saturating_sub(u32::try_from(lent(agent)).unwrap_or(u32::MAX))
            };
            agents.iter().map(on).sum::<u32>() >= cap.running_max
        })
    }

    fn writes_meet(&self, id: TaskId) -> Option<TaskId> {
        // A workflow writes nothing itself: its steps do.
        let files_of = |id: TaskId| {
            let spec = &self.task(id).spec;
            match spec.flow.workflow {
                Some(_) => &[][..],
                None => spec.files.as_slice(),
            }
        };
        let files = files_of(id);
        if files.is_empty() {
            return None;
        }
        let meets = |other: &&TaskId| overlap(files, files_of(**other));
        self.running.iter().find(meets).copied()
    }

    fn claim_one(&mut self, id: TaskId, request: &ClaimRequest) -> Claimed {
        self.step(id, &TaskEvent::Claimed);
        let now = self.now;
        let task = self.task_mut(id);
        task.fence += 1;
        task.owner = Some(request.owner.clone());
        task.lease_until = now.after(Duration::from_millis(request.lease_ms));
        task.started_at = Some(now);
        task.since.get_or_insert(now);
        if task.next_is_new || task.on_agent == 0 {
            task.on_agent += 1;
        }
        let session = task.attempts.iter().rev().find_map(|attempt| {
            let same = attempt.agent == task.agent;
            attempt.session.clone().filter(|_| same)
        });
        match task.attempts.last_mut() {
            Some(last) if !task.next_is_new => {
                last.begun += 1;
                last.started_at = now;
                last.end = None;
                if last.agent != task.agent {
                    last.agent = task.agent.clone();
                    last.session = None;
                }
            }
            last => {
                let number = last.map_or(0, |last| last.number) + 1;
                task.attempts.push(Attempt {
                    number,
                    begun: 1,
                    agent: task.agent.clone(),
                    session: None,
                    process: None,
                    started_at: now,
                    end: None,
                    came_to: None,
                });
            }
        }
        task.next_is_new = false;
        let (turn, agent) = (matches!(task.spec.work, Work::Turn(_)), task.agent.clone());
        let session = match turn {
            true => crew::claimed_session(self, id, &agent).unwrap_or_default(),
            false => session,
        };
        let link = self.task(id).link;
        let model = self.task(id).spec.link(link).and_then(|link| link.model);
        let asks = self.take_leave(&agent, model.as_deref(), &request.terms);
        self.task_mut(id).asks = asks;
        let task = self.task(id);
        let claimed = Claimed {
            lease: Lease {
                task: id,
                fence: task.fence,
            },
            run: task.run,
            attempt: task.attempts.last().map_or(0, |attempt| attempt.number),
            link,
            on_agent: task.on_agent,
            since: task.since.unwrap_or(now),
            agent: task.agent.clone(),
            session,
            spec: task.spec.clone(),
            at: now,
            granted_nano: None,
        };
        let happened = Happened::TaskClaimed {
            attempt: claimed.attempt,
            fence: claimed.lease.fence,
            agent: claimed.agent.clone(),
        };
        self.emit_task(id, happened);
        claimed
    }
}
