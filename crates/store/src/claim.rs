//! Claims: wake what is due, then take the best of what is ready within caps and write sets.
//!
//! Ready tasks lie in lanes, one an agent, each in claiming order, so a capped agent costs nothing however many of its
//! tasks are ready. A lane is the table `ready` and, before it, what became ready in this very commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use rusqlite::{OptionalExtension, params};
use wheelhouse_core::budget::Terms;
use wheelhouse_core::crew;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, Lease, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::quota;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Cap, ClaimRequest, Claimed, ProcessMark, Reply, TaskResult};
use wheelhouse_core::task::{Held, TaskEvent};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_core::write_set::overlap;

use crate::chain::Asked;
use crate::encode::{State, bits, int};
use crate::failure::{Answer, Stop};
use crate::money::Reserved;
use crate::rows::{LeaseRow, REPEATS, TURN, TaskRow, WRITES, process};
use crate::settle::End;
use crate::shape;
use crate::statements as sql;
use crate::work::Work;

/// How many tasks one claim holds because of write sets at the most, so that a claim stays short.
pub const CONFLICT_HOLDS_MAX: usize = 256;

/// How many tasks one claim holds because there is no money for them at the most.
pub(crate) const MONEY_HOLDS_MAX: usize = 256;

/// How many tasks one claim holds because nobody of their chains can be asked at the most.
pub(crate) const BARRED_HOLDS_MAX: usize = 256;

/// How many ready tasks of a lane are read at a time when there are several lanes.
const PAGE: u32 = 16;

/// Where a ready task stands in its lane: rank, then id.
type Place = (i64, u64);

struct Lane {
    agent: i64,
    /// Read and not yet looked at.
    page: VecDeque<(Place, TaskKey, String)>,
    /// The place after which to read on; absent when there is no more.
    after: Option<Place>,
}

impl Lane {
    /// Makes sure of a lane for what became ready in this commit; one without listed tasks has none yet.
    fn fresh(lanes: &mut Vec<Lane>, agent: i64) {
        if !lanes.iter().any(|lane| lane.agent == agent) {
            lanes.push(Lane {
                agent,
                page: VecDeque::new(),
                after: None,
            });
        }
    }
}

/// What the best ready task is, and what it was told to do when that was read along.
struct Candidate {
    id: u64,
    text: Option<(TaskKey, String)>,
}

impl Work<'_> {
    pub(crate) fn claim(&mut self, request: &ClaimRequest) -> Answer<Reply> {
        self.wake()?;
        let expire_at = self.expire_instances()?;
        let owner = self.names.id(self.connection, &request.owner.0)?;
        let lent: u32 = self
            .connection
            .prepare_cached(sql::LEASES_LENT)?
            .query_row([owner], |row| row.get(0))?;
        let limit = request.limit.saturating_add(lent.saturating_sub(request.borrowed));
        self.configure_budgets(&request.terms, owner)?;
        self.follow_money()?;
        let mut lanes = self.lanes()?;
        let exhausted = self.exhausted()?;
        let (used_up, returns_at) = match request.terms.quota {
            quota::Policy::Wait => self.used_up(&mut lanes, &request.terms, &exhausted)?,
            quota::Policy::Reroute => (BTreeSet::new(), None),
        };
        let mut caps = Room::new(self, &request.caps, used_up)?;
        let (mut short, mut barred) = (0, 0);
        let mut writers: Option<BTreeMap<u64, Writer>> = None;
        let mut conflicts = 0;
        let mut tasks = Vec::new();
        let page = if lanes.len() > 1 { PAGE.min(limit) } else { limit };
        while tasks.len() < limit as usize {
            let Some(candidate) = self.best(&mut lanes, &caps, page)? else {
                break;
            };
            let id = candidate.id;
            let spec = match self.candidate_spec(candidate) {
                Ok(spec) => spec,
                Err(Stop::Damaged(what)) => {
                    self.end_unreadable(id, what)?;
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            if short == MONEY_HOLDS_MAX || barred == BARRED_HOLDS_MAX {
                break;
            }
            match self.may_ask(id, &spec, &request.terms, &exhausted)? {
                Asked::Free => {}
                Asked::Waits => {
                    barred += 1;
                    continue;
                }
                Asked::Moved(agent) => {
                    Lane::fresh(&mut lanes, agent);
                    continue;
                }
            }
            let reserved = self.reserve(id, &spec, &request.terms)?;
            if matches!(reserved, Reserved::Held) {
                short += 1;
                continue;
            }
            if self.task(id)?.is(WRITES) {
                if writers.is_none() {
                    writers = Some(self.running_writers()?);
                }
                let writers = writers.get_or_insert_default();
                let met = writers
                    .iter_mut()
                    .find(|(_, writer)| overlap(&spec.files, &writer.files));
                if let Some((with, writer)) = met {
                    if conflicts == CONFLICT_HOLDS_MAX {
                        break;
                    }
                    conflicts += 1;
                    let (with, known) = (*with, std::mem::replace(&mut writer.blocks, true));
                    if !known {
                        self.execute(sql::LEASE_BLOCKS, [int(with)])?;
                    }
                    let held = Held::Conflict { with: self.key(with)? };
                    self.hold(id, held, Some(with))?;
                    continue;
                }
                let files = spec.files.clone();
                writers.insert(id, Writer { files, blocks: false });
            }
            let granted_nano = self.hold_reserved(id, &spec, &reserved)?;
            let mut claimed = self.claim_one(id, spec, owner, request)?;
            claimed.granted_nano = granted_nano;
            caps.take(self.task(id)?.agent);
            tasks.push(claimed);
        }
        // More may be barred than one claim looks at.
        let again = (barred == BARRED_HOLDS_MAX).then_some(self.now);
        Ok(Reply::Claimed {
            tasks,
            wake_at: [again, self.next_wake()?, returns_at].into_iter().flatten().min(),
            now: self.now,
            expire_at,
        })
    }

    /// When the first held task wakes by itself.
    fn next_wake(&self) -> Answer<Option<Millis>> {
        let mut statement = self.connection.prepare_cached(sql::HOLDS_NEXT)?;
        let at: Option<u64> = statement.query_row([], |row| row.get(0))?;
        Ok(at.map(Millis))
    }

    /// Agents with ready tasks whose account is used up, and when the first of these returns.
    fn used_up(
        &mut self,
        lanes: &mut [Lane],
        terms: &Terms,
        exhausted: &BTreeMap<String, Millis>,
    ) -> Answer<(BTreeSet<i64>, Option<Millis>)> {
        let (mut agents, mut returns_at) = (BTreeSet::new(), None);
        if exhausted.is_empty() {
            return Ok((agents, returns_at));
        }
        for lane in lanes {
            let name = AgentName(self.names.text(self.connection, lane.agent)?);
            if let Some(at) = exhausted.get(&terms.account(&name)) {
                agents.insert(lane.agent);
                // The list is behind this commit: nothing may be ready there any more.
                if self.first_of(lane, PAGE)?.is_some() {
                    returns_at = [returns_at, Some(*at)].into_iter().flatten().min();
                }
            }
        }
        Ok((agents, returns_at))
    }

    fn wake(&mut self) -> Answer<()> {
        for id in self.ids(sql::HOLDS_DUE, [int(self.now.0)])? {
            self.release(id)?;
        }
        Ok(())
    }

    /// Every agent that has a ready task. One seek an agent, not one a task.
    fn lanes(&mut self) -> Answer<Vec<Lane>> {
        let mut agents: BTreeSet<i64> = self.fresh.iter().map(|(agent, _, _)| *agent).collect();
        let mut statement = self.connection.prepare_cached(sql::READY_LANE_AFTER)?;
        let mut after = i64::MIN;
        while let Some(agent) = statement.query_row([after], |row| row.get(0)).optional()? {
            agents.insert(agent);
            after = agent;
        }
        let lane = |agent| Lane {
            agent,
            page: VecDeque::new(),
            after: Some((i64::MIN, 0)),
        };
        Ok(agents.into_iter().map(lane).collect())
    }

    /// The first claimable task over all lanes that no cap closes, taken out of its lane.
    fn best(&mut self, lanes: &mut [Lane], caps: &Room, page: u32) -> Answer<Option<Candidate>> {
        let mut best: Option<(Place, usize)> = None;
        for (number, lane) in lanes.iter_mut().enumerate() {
            if caps.closed(lane.agent) {
                continue;
            }
            if let Some(place) = self.first_of(lane, page)?
                && best.is_none_or(|(other, _)| place < other)
            {
                best = Some((place, number));
            }
        }
        let Some((place, number)) = best else { return Ok(None) };
        let lane = &mut lanes[number];
        let text = match lane.page.front() {
            Some((listed, _, _)) if *listed == place => lane.page.pop_front().map(|(_, key, body)| (key, body)),
            _ => None,
        };
        Ok(Some(Candidate { id: place.1, text }))
    }

    fn first_of(&mut self, lane: &mut Lane, page: u32) -> Answer<Option<Place>> {
        let listed = loop {
            match lane.page.front() {
                Some((place, _, _)) => {
                    // The table is behind what this commit did to the task.
                    let row = self.task(place.1)?;
                    let here = row.agent == lane.agent && row.listed == Some(lane.agent);
                    if here && row.state == State::Ready {
                        break Some(*place);
                    }
                    lane.page.pop_front();
                }
                None if lane.after.is_some() => self.read_on(lane, page)?,
                None => break None,
            }
        };
        let mut fresh = self.fresh.range((lane.agent, i64::MIN, 0)..);
        let fresh = fresh.next().filter(|(agent, _, _)| *agent == lane.agent);
        let fresh = fresh.map(|(_, rank, id)| (*rank, *id));
        Ok(match (listed, fresh) {
            (Some(listed), Some(fresh)) => Some(listed.min(fresh)),
            (one, other) => one.or(other),
        })
    }

    fn read_on(&mut self, lane: &mut Lane, page: u32) -> Answer<()> {
        let Some((rank, id)) = lane.after.take() else {
            return Ok(());
        };
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::READY_PAGE)?;
        let mut rows = statement.query(params![lane.agent, rank, int(id), page])?;
        let mut read = 0;
        let mut last = (rank, id);
        while let Some(row) = rows.next()? {
            let task = TaskRow::read(row)?;
            last = (task.rank, task.id);
            self.keep_task(task);
            lane.page.push_back((last, TaskKey(row.get(17)?), row.get(18)?));
            read += 1;
        }
        if read == page {
            lane.after = Some(last);
        }
        Ok(())
    }

    fn candidate_spec(&self, candidate: Candidate) -> Answer<TaskSpec> {
        match candidate.text {
            Some((key, body)) => shape::task_spec(key, &body),
            None => self.spec(candidate.id),
        }
    }

    fn running_writers(&mut self) -> Answer<BTreeMap<u64, Writer>> {
        let mut statement = self.connection.prepare_cached(sql::LEASES_WRITING)?;
        let mut rows = statement.query([])?;
        let mut writers = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let body: String = row.get(1)?;
            // One that cannot be read any more is taken to write everything.
            let files = match shape::task_spec(TaskKey(String::new()), &body) {
                Ok(spec) => spec.files,
                Err(_) => vec!["**".to_owned()],
            };
            writers.insert(row.get(0)?, Writer { files, blocks: false });
        }
        Ok(writers)
    }

    fn claim_one(&mut self, id: u64, spec: TaskSpec, owner: i64, request: &ClaimRequest) -> Answer<Claimed> {
        self.step(id, &TaskEvent::Claimed)?;
        let (now, until) = (self.now, self.steady.saturating_add(request.lease_ms));
        let row = self.task_mut(id)?;
        let since = *row.since.get_or_insert(now.0);
        let (run, agent, repeats) = (row.run, row.agent, row.is(REPEATS) && row.attempt > 0);
        row.fence += 1;
        row.started_at = Some(now.0);
        if !repeats || row.on_agent == 0 {
            row.on_agent += 1;
        }
        let tried = row.attempt > 0;
        if !repeats {
            row.attempt += 1;
        }
        row.put(REPEATS, true);
        let (fence, number, on_agent, writes, turn, link) = (
            row.fence,
            row.attempt,
            row.on_agent,
            row.is(WRITES),
            row.is(TURN),
            row.link,
        );
        let name = AgentName(self.names.text(self.connection, agent)?);
        let session = match (turn, tried) {
            (true, _) => crew::claimed_session(self, TaskId(id), &name)?,
            (false, true) => self.last_session(id, agent)?,
            (false, false) => None,
        };
        let begun = if repeats {
            self.begun_before(id, number, agent)?
        } else {
            Begun::default()
        };
        let pid = begun.process.map(|process| process.pid);
        let ticks = begun.process.map(|process| bits(process.start_ticks));
        let model = spec.link(link).and_then(|link| link.model);
        let asks = self.take_leave(&name, model.as_deref(), &request.terms)?;
        self.execute(
            sql::LEASE_ADD,
            params![
                int(id),
                int(fence),
                owner,
                int(until),
                agent,
                number,
                begun.times + 1,
                begun.session,
                pid,
                ticks,
                int(now.0),
                writes,
                false,
                asks.map(|(breaker, _)| breaker),
                asks.map(|(_, ticket)| bits(ticket.number())),
            ],
        )?;
        let happened = Happened::TaskClaimed {
            attempt: number,
            fence,
            agent: name,
        };
        self.emit(run, Some(id), &happened)?;
        let Happened::TaskClaimed { agent, .. } = happened else {
            return Err(Stop::Damaged("an event changed its kind".to_owned()));
        };
        Ok(Claimed {
            lease: Lease {
                task: TaskId(id),
                fence,
            },
            run: RunId(run),
            attempt: number,
            link,
            on_agent,
            since: Millis(since),
            agent,
            session,
            spec,
            at: now,
            granted_nano: None,
        })
    }

    fn last_session(&self, id: u64, agent: i64) -> Answer<Option<String>> {
        let mut statement = self.connection.prepare_cached(sql::ATTEMPT_SESSION)?;
        Ok(statement.query_row([int(id), agent], |row| row.get(0)).optional()?)
    }

    /// What is known of a try that is begun again. Its session is another agent's when the agent changed.
    fn begun_before(&self, id: u64, number: u32, agent: i64) -> Answer<Begun> {
        let mut statement = self.connection.prepare_cached(sql::ATTEMPT_REPEATED)?;
        let begun = statement.query_row(params![int(id), number], |row| {
            let same = row.get::<_, i64>(1)? == agent;
            Ok(Begun {
                times: row.get(0)?,
                session: row.get::<_, Option<String>>(2)?.filter(|_| same),
                process: process(row, 3)?,
            })
        });
        Ok(begun.optional()?.unwrap_or_default())
    }

    /// A task whose stored text cannot be read fails alone: it must not stop its neighbours, nor be claimed for ever.
    fn end_unreadable(&mut self, id: u64, what: String) -> Answer<()> {
        self.step(id, &TaskEvent::Claimed)?;
        let now = self.now.0;
        let row = self.task_mut(id)?;
        row.fence += 1;
        row.attempt += 1;
        row.started_at = Some(now);
        let lease = LeaseRow {
            task: id,
            fence: row.fence,
            agent: row.agent,
            number: row.attempt,
            begun: 1,
            session: None,
            process: None,
            started_at: now,
            cancel: false,
            interrupt: false,
            blocks: false,
            mail: false,
            asks: None,
        };
        let agent = AgentName(self.names.text(self.connection, lease.agent)?);
        let claimed = Happened::TaskClaimed {
            attempt: lease.number,
            fence: lease.fence,
            agent,
        };
        self.emit_task(id, &claimed)?;
        let outcome = Outcome::Malformed;
        let result = TaskResult {
            summary: what,
            ..TaskResult::default()
        };
        let end = End {
            outcome: &outcome,
            usage: Usage::default(),
            cost: Cost::Free,
            result: &result,
        };
        self.record_end(&lease, &end)?;
        self.end(id, TaskEvent::Settled { outcome }, false)
    }
}

/// A running task that declares a write set.
#[derive(Default)]
struct Writer {
    files: Vec<String>,
    /// Whether its lease says already that tasks are held because of it.
    blocks: bool,
}

/// What is known of a try from before.
#[derive(Default)]
struct Begun {
    times: u32,
    session: Option<String>,
    process: Option<ProcessMark>,
}

/// How many more tasks may run under each cap.
struct Room {
    caps: Vec<(BTreeSet<i64>, u32)>,
    /// Agents whose account is used up.
    used_up: BTreeSet<i64>,
}

impl Room {
    /// Counts only when there is something to compare the count with.
    fn new(work: &mut Work<'_>, caps: &[Cap], used_up: BTreeSet<i64>) -> Answer<Room> {
        if caps.is_empty() {
            let caps = Vec::new();
            return Ok(Room { caps, used_up });
        }
        let mut running: HashMap<i64, u32> = HashMap::new();
        let mut statement = work.connection.prepare_cached(sql::LEASES_PER_AGENT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            running.insert(row.get(0)?, row.get(1)?);
        }
        // A turn that waits for others below it has lent its place.
        let mut statement = work.connection.prepare_cached(sql::LEASES_LENT_PER_AGENT)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let lent: u32 = row.get(1)?;
            if let Some(running) = running.get_mut(&row.get(0)?) {
                *running = running.saturating_sub(lent);
            }
        }
        let mut room = Vec::with_capacity(caps.len());
        for cap in caps {
            let mut agents = BTreeSet::new();
            for agent in &cap.agents {
                // An agent without a number has no tasks either.
                agents.extend(work.names.find(work.connection, agent.as_str())?);
            }
            let used: u32 = agents.iter().filter_map(|agent| running.get(agent)).sum();
            room.push((agents, cap.running_max.saturating_sub(used)));
        }
        Ok(Room { caps: room, used_up })
    }

    fn closed(&self, agent: i64) -> bool {
        let full = |(agents, room): &(BTreeSet<i64>, u32)| *room == 0 && agents.contains(&agent);
        self.used_up.contains(&agent) || self.caps.iter().any(full)
    }

    fn take(&mut self, agent: i64) {
        for (agents, room) in &mut self.caps {
            if agents.contains(&agent) {
                *room = room.saturating_sub(1);
            }
        }
    }
}
