//! Money in the model: reservations, readings, the ledger and its sums, as the store does it, on ordered maps.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_core::budget::{Admission, Budget, Experience, Kept, Scope, Terms, admit, admit_turn, extend};
use wheelhouse_core::day::Day;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, AttemptNumber, Lease, OwnerId, RunId, TaskId};
use wheelhouse_core::ledger::{self, Entry, Line, Reading, Spending, Tally, TallyKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::quota::{Allowance, Window};
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Refused, Reply, TaskResult};
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use super::world::World;

/// As the store has it.
const RELEASES_WHILE_HELD_MAX: usize = 8;
const RELEASES_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Purse {
    /// Ascending by id.
    pub(super) ledger: Vec<Entry>,
    pub(super) tallies: BTreeMap<TallyKey, Tally>,
    pub(super) budgets: BTreeMap<Scope, Kept>,
    meters: BTreeMap<TaskId, Meter>,
    /// Tasks that wait for a budget.
    waiting: BTreeMap<Scope, BTreeSet<TaskId>>,
    freed: BTreeSet<Scope>,
    pub(super) allowances: BTreeMap<(String, Window), Allowance>,
    pub(super) ratings: BTreeMap<TaskId, (u8, TallyKey)>,
}

struct Meter {
    reserved_nano: u64,
    on: Vec<Scope>,
    spending: Spending,
}

/// What a claim came to.
pub(super) enum Reserved {
    Begin(Option<(u64, Vec<Scope>)>),
    Held,
}

/// Before a try.
impl World {
    pub(super) fn configure_budgets(&mut self, terms: &Terms, owner: &OwnerId) {
        for scope in [Scope::Day, Scope::Hour, Scope::Session] {
            let limit = terms
                .limits
                .iter()
                .find(|(limited, _)| *limited == scope)
                .map(|(_, nano)| *nano);
            if limit.is_some() {
                self.budget(scope.clone());
            }
            let (now, window) = (self.now, self.owner_number(owner));
            let Some(kept) = self.purse.budgets.get_mut(&scope) else {
                continue;
            };
            let before = kept.clone();
            kept.configured_nano = limit;
            kept.roll(now);
            if scope == Scope::Session {
                kept.enter(window);
            }
            if *kept != before {
                self.purse.freed.insert(scope);
            }
        }
    }

    /// Owners get numbers in the order of their first claim; no two have the same, which is all that counts.
    fn owner_number(&mut self, owner: &OwnerId) -> u64 {
        let place = self.owners.iter().position(|known| known == owner).unwrap_or_else(|| {
            self.owners.push(owner.clone());
            self.owners.len() - 1
        });
        place as u64 + 1
    }

    pub(super) fn reserve(&mut self, id: TaskId, terms: &Terms) -> Reserved {
        let task = self.task(id);
        let (spec, agent, link) = (task.spec.clone(), task.agent.clone(), task.link);
        if spec.flow.workflow.is_some() {
            // It costs nothing itself; its children are held to its limit.
            if let Some(limit) = spec.budget {
                self.limit(Scope::Task(id), limit.cost_nano);
            }
            return Reserved::Begin(None);
        }
        let payer = terms.payer(&agent);
        if matches!(payer.billing, Billing::Free | Billing::Subscription) {
            return Reserved::Begin(None);
        }
        if let Some(limit) = spec.budget {
            self.limit(Scope::Task(id), limit.cost_nano);
        }
        let budgets = self.budgets_of(id);
        if budgets.is_empty() {
            return Reserved::Begin(None);
        }
        let model = spec.link(link).and_then(|link| link.model).or(payer.model);
        let experience = self.experience(&agent, model.as_deref(), ledger::kind(&spec));
        let estimate = terms.estimate_of(&spec, experience);
        let admitted = match &spec.work {
            Work::Turn(_) => admit_turn(&budgets, estimate),
            Work::Exec(_) | Work::Prompt(_) => admit(&budgets, estimate),
        };
        match admitted {
            Admission::Granted(nano) => {
                let on = budgets.into_iter().map(|budget| budget.scope).collect();
                Reserved::Begin(Some((nano, on)))
            }
            Admission::Waits(scope) => self.hold_for_money(id, scope, None),
            Admission::Exhausted(scope) => {
                let until = scope.ends(self.now);
                self.hold_for_money(id, scope, until)
            }
        }
    }

    fn hold_for_money(&mut self, id: TaskId, scope: Scope, until: Option<Millis>) -> Reserved {
        self.hold(
            id,
            Held::Budget {
                scope: scope.clone(),
                until,
            },
        );
        if self.purse.budgets.contains_key(&scope) {
            self.purse.waiting.entry(scope).or_default().insert(id);
        }
        Reserved::Held
    }

    /// A task that is not held any more waits for no budget.
    pub(super) fn stop_waiting_for_money(&mut self, id: TaskId) {
        for waiting in self.purse.waiting.values_mut() {
            waiting.remove(&id);
        }
    }

    pub(super) fn hold_reserved(&mut self, id: TaskId, reserved: Option<(u64, Vec<Scope>)>) -> Option<u64> {
        let (nano, on) = reserved?;
        let kind = ledger::kind(&self.task(id).spec).to_owned();
        for scope in &on {
            self.change_budget(scope, |kept| {
                kept.reserved_nano = kept.reserved_nano.saturating_add(nano)
            });
        }
        let spending = Spending {
            account: None,
            kind,
            lines: vec![Line {
                cost: Cost::Free,
                ..Line::default()
            }],
        };
        let meter = Meter {
            reserved_nano: nano,
            on,
            spending,
        };
        self.purse.meters.insert(id, meter);
        Some(nano)
    }

    fn budgets_of(&mut self, id: TaskId) -> Vec<Budget> {
        let now = self.now;
        let view = |scope: &Scope| {
            let mut kept = self.purse.budgets.get(scope)?.clone();
            kept.roll(now);
            kept.view()
        };
        self.scopes_of(id).iter().filter_map(view).collect()
    }

    fn scopes_of(&self, id: TaskId) -> Vec<Scope> {
        let mut scopes = vec![
            Scope::Task(id),
            Scope::Run(self.task(id).run),
            Scope::Session,
            Scope::Hour,
            Scope::Day,
        ];
        scopes.extend(self.parent_of(id).map(Scope::Task));
        let chain = self.of_turn(id);
        if !chain.is_empty() {
            scopes.extend([Scope::Crew, Scope::CrewHour]);
        }
        scopes.extend(chain.into_iter().map(|instance| Scope::Instance(instance.0)));
        scopes
    }

    pub(super) fn limit_crew(&mut self, scope: Scope, nano: Option<u64>) {
        if nano.is_none() && !self.purse.budgets.contains_key(&scope) {
            return;
        }
        let now = self.now;
        self.budget(scope.clone()).limit_crew(now, nano);
        self.purse.freed.insert(scope);
    }

    /// The budget of a scope, made from the ledger when there is none.
    fn budget(&mut self, scope: Scope) -> &mut Kept {
        let now = self.now;
        let start = wheelhouse_core::budget::window_start(&scope, now);
        let children = match &scope {
            Scope::Task(task) if self.tasks.contains_key(task) => self.children_of(*task),
            _ => Vec::new(),
        };
        let ledger = &self.purse.ledger;
        self.purse.budgets.entry(scope.clone()).or_insert_with(|| {
            let mut kept = Kept::new(scope.clone(), now);
            let of_it = |entry: &&Entry| match &scope {
                Scope::Session | Scope::Instance(_) | Scope::Crew | Scope::CrewHour => false,
                Scope::Run(run) => entry.run == *run,
                Scope::Task(task) => entry.task == *task || children.contains(&entry.task),
                Scope::Day | Scope::Hour => entry.at >= start,
            };
            for entry in ledger.iter().filter(of_it) {
                if let Cost::Actual(nano) | Cost::Priced(nano) = entry.cost {
                    kept.spent_nano += nano;
                }
                kept.assumed_nano += entry.assumed_nano;
            }
            kept
        })
    }

    fn change_budget<T>(&mut self, scope: &Scope, change: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let now = self.now;
        let kept = self.purse.budgets.get_mut(scope)?;
        kept.roll(now);
        Some(change(kept))
    }

    pub(super) fn limit(&mut self, scope: Scope, nano: u64) {
        self.budget(scope).configured_nano = Some(nano);
    }

    pub(super) fn experience(&self, agent: &AgentName, model: Option<&str>, kind: &str) -> Experience {
        let mut experience = Experience::default();
        for (key, tally) in &self.purse.tallies {
            let same_model = model.is_none() || key.model.as_deref() == model;
            if key.agent == *agent && same_model && key.kind == kind {
                experience.tries += tally.tries;
                experience.nano += tally.known_nano() + tally.assumed_nano;
                experience.tokens += tally.usage.total();
            }
        }
        experience
    }
}

/// While a try runs, and at its end.
impl World {
    pub(super) fn meter(&mut self, lease: Lease, reading: &Reading) -> Result<Reply, Refused> {
        self.leased(lease)?;
        let Reading {
            account,
            kind,
            line,
            want_nano,
        } = reading;
        let id = lease.task;
        let now = self.now;
        let (mut reserved, on) = match self.purse.meters.get(&id) {
            Some(meter) => (meter.reserved_nano, meter.on.clone()),
            None => (0, Vec::new()),
        };
        if reserved > 0 && *want_nano > reserved {
            let view = |scope: &Scope| {
                let mut kept = self.purse.budgets.get(scope)?.clone();
                kept.roll(now);
                kept.view()
            };
            let views: Vec<Budget> = on.iter().filter_map(view).collect();
            let more = extend(&views, want_nano - reserved);
            for scope in &on {
                self.change_budget(scope, |kept| {
                    kept.reserved_nano = kept.reserved_nano.saturating_add(more)
                });
            }
            reserved = reserved.saturating_add(more);
        }
        let spending = Spending {
            account: account.clone(),
            kind: kind.clone(),
            lines: vec![line.clone()],
        };
        let meter = Meter {
            reserved_nano: reserved,
            on,
            spending,
        };
        self.purse.meters.insert(id, meter);
        let granted_nano = (reserved > 0).then_some(reserved);
        Ok(Reply::Metered { lease, granted_nano })
    }

    fn close_meter(&mut self, id: TaskId) -> Option<Spending> {
        let meter = self.purse.meters.remove(&id)?;
        for scope in &meter.on {
            let held = meter.reserved_nano;
            self.change_budget(scope, |kept| {
                kept.reserved_nano = kept.reserved_nano.saturating_sub(held)
            });
            self.purse.freed.insert(scope.clone());
        }
        Some(meter.spending)
    }

    pub(super) fn book_end(&mut self, id: TaskId, spending: &Spending, usage: Usage, cost: Cost) {
        self.close_meter(id);
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
        let booked = self.book(id, spending, lines);
        if booked == 0 {
            let none = Usage {
                source: usage.source,
                ..Usage::default()
            };
            let run = self.task(id).run;
            let run = self.run_mut(run);
            run.usage = Some(run.usage.map_or(none, |sum| sum.plus(none)));
        }
        let started = self
            .task(id)
            .attempts
            .last()
            .map_or(self.now, |attempt| attempt.started_at);
        let took = u64::try_from(self.now.since(started).as_millis()).unwrap_or(u64::MAX);
        let tally = self.tally(id, spending);
        tally.tries += 1;
        tally.wall_ms += took;
    }

    pub(super) fn book_return(&mut self, id: TaskId, spending: &Spending) {
        let reading = self.close_meter(id).unwrap_or_default();
        let spending = if spending.lines.is_empty() { &reading } else { spending };
        let attempt = self.number(id);
        for line in spending.lines.iter().filter(|line| !line.is_nothing()) {
            let (usage, cost) = (line.usage, line.cost);
            self.emit_task(id, Happened::SpendingBooked { attempt, usage, cost });
        }
        self.book(id, spending, &spending.lines);
    }

    fn number(&self, id: TaskId) -> AttemptNumber {
        self.task(id).attempts.last().map_or(0, |attempt| attempt.number)
    }

    fn book(&mut self, id: TaskId, spending: &Spending, lines: &[Line]) -> usize {
        let mut booked = 0;
        for line in lines {
            let line = match &line.turn {
                None => (!line.is_nothing()).then(|| line.clone()),
                Some(turn) => ledger::surplus(&self.known_turn(turn), line),
            };
            if let Some(line) = line {
                self.book_line(id, spending, &line);
                booked += 1;
            }
        }
        booked
    }

    fn known_turn(&self, turn: &str) -> Line {
        let mut known = ledger::nothing();
        let mut nano = 0;
        for entry in self
            .purse
            .ledger
            .iter()
            .filter(|entry| entry.turn.as_deref() == Some(turn))
        {
            known.usage = known.usage.plus(entry.usage);
            nano += entry.cost.nano().unwrap_or(0);
            known.assumed_nano += entry.assumed_nano;
        }
        known.cost = Cost::Actual(nano);
        known
    }

    fn book_line(&mut self, id: TaskId, spending: &Spending, line: &Line) {
        let task = self.task(id);
        let (run, agent) = (task.run, task.agent.clone());
        self.purse.ledger.push(Entry {
            id: self.purse.ledger.len() as u64 + 1,
            at: self.now,
            run,
            task: id,
            attempt: self.number(id),
            agent,
            model: line.model.clone(),
            account: spending.account.clone(),
            kind: spending.kind.clone(),
            turn: line.turn.clone(),
            usage: line.usage,
            cost: line.cost,
            assumed_nano: line.assumed_nano,
        });
        let key = self.tally_key(id, spending, line.model.as_deref());
        self.purse.tallies.entry(key).or_default().book(line);
        let total = self.run_mut(run);
        total.usage = Some(total.usage.map_or(line.usage, |sum| sum.plus(line.usage)));
        match line.cost {
            Cost::Actual(nano) | Cost::Priced(nano) => total.cost_nano = total.cost_nano.saturating_add(nano),
            Cost::Included | Cost::Free => {}
            Cost::Unknown => total.cost_unknown += 1,
        }
        // One without a limit just now counts too: it may get one again in this window.
        for scope in self.scopes_of(id) {
            if self.change_budget(&scope, |kept| kept.spend(line)) == Some(true)
                && let Some(budget) = self.purse.budgets.get(&scope).and_then(Kept::view)
            {
                self.emit_task(
                    id,
                    Happened::BudgetWarned {
                        used_nano: budget.used_nano(),
                        limit_nano: budget.limit_nano,
                        scope: budget.scope,
                    },
                );
            }
        }
    }

    fn tally_key(&self, id: TaskId, spending: &Spending, model: Option<&str>) -> TallyKey {
        let agent = self.task(id).agent.clone();
        TallyKey {
            day: Day::of(self.now),
            agent,
            model: model.map(str::to_owned),
            account: spending.account.clone(),
            kind: spending.kind.clone(),
        }
    }

    fn tally(&mut self, id: TaskId, spending: &Spending) -> &mut Tally {
        let model = spending.lines.first().and_then(|line| line.model.as_deref());
        let key = self.tally_key(id, spending, model);
        self.purse.tallies.entry(key).or_default()
    }

    pub(super) fn tally_outcome(&mut self, id: TaskId, spending: &Spending, outcome: &Outcome, result: &TaskResult) {
        let number = self.number(id);
        self.tally(id, spending).end(number, outcome, result);
    }

    pub(super) fn follow_money(&mut self) {
        while let Some(scope) = self.purse.freed.pop_first() {
            let now = self.now;
            let Some(kept) = self.purse.budgets.get_mut(&scope) else {
                continue;
            };
            kept.roll(now);
            if kept.view().is_some_and(|budget| budget.room_nano() == 0) {
                continue;
            }
            let most = if kept.reserved_nano > 0 {
                RELEASES_WHILE_HELD_MAX
            } else {
                RELEASES_MAX
            };
            self.release_waiting(&scope, most);
        }
    }

    fn release_waiting(&mut self, scope: &Scope, most: usize) {
        let waiting = self.purse.waiting.get(scope);
        let waiting: Vec<TaskId> = waiting.into_iter().flatten().copied().take(most).collect();
        for id in waiting {
            self.release(id);
        }
    }
}

/// What people say about money.
impl World {
    pub(super) fn set_budget(&mut self, scope: &Scope, limit_nano: Option<u64>) -> Result<Reply, Refused> {
        self.check_scope(scope)?;
        if limit_nano.is_none() && !self.purse.budgets.contains_key(scope) {
            return Ok(Reply::Done);
        }
        let now = self.now;
        let kept = self.budget(scope.clone());
        kept.roll(now);
        kept.own_nano = limit_nano;
        kept.warned = false;
        self.release_waiting(scope, usize::MAX);
        Ok(Reply::Done)
    }

    pub(super) fn raise_budget(&mut self, scope: &Scope, by_nano: u64) -> Result<Reply, Refused> {
        self.check_scope(scope)?;
        let now = self.now;
        let kept = self.purse.budgets.get_mut(scope).filter(|kept| kept.view().is_some());
        let Some(kept) = kept else {
            return Err(Refused::Illegal(format!(
                "there is no budget for {scope}, so nothing to raise"
            )));
        };
        kept.roll(now);
        kept.raised_nano = kept.raised_nano.saturating_add(by_nano);
        kept.warned = kept.view().is_some_and(|budget| budget.is_nearly_used());
        self.release_waiting(scope, usize::MAX);
        Ok(Reply::Done)
    }

    fn check_scope(&self, scope: &Scope) -> Result<(), Refused> {
        match scope {
            Scope::Run(run) if !self.runs.contains_key(run) => Err(Refused::NoSuchRun(*run)),
            Scope::Task(task) if !self.tasks.contains_key(task) => Err(Refused::NoSuchTask(*task)),
            _ => Ok(()),
        }
    }

    pub(super) fn await_budget(&mut self, id: TaskId) {
        let left = |budget: &Budget| budget.limit_nano.saturating_sub(budget.used_nano());
        let narrowest = self.budgets_of(id).into_iter().min_by_key(left);
        let narrowest = narrowest.map_or(Scope::Task(id), |budget| budget.scope);
        let until = narrowest.ends(self.now);
        self.hold_for_money(id, narrowest, until);
    }

    pub(super) fn note_allowance(&mut self, allowance: &Allowance) -> Reply {
        let allowance = Allowance {
            seen_at: self.now,
            ..allowance.clone()
        };
        let key = (allowance.account.clone(), allowance.window);
        self.purse.allowances.insert(key, allowance);
        Reply::Done
    }

    pub(super) fn exhaust_account(&mut self, id: TaskId, spending: &Spending, until: Millis) {
        let own = || self.task(id).agent.to_string();
        let account = spending.account.clone().unwrap_or_else(own);
        self.note_allowance(&Allowance {
            account,
            window: Window::Unstated,
            what: "the provider refused further work".to_owned(),
            exhausted: true,
            resets_at: Some(until),
            seen_at: self.now,
        });
    }

    /// Until when the account of an agent is used up.
    pub(super) fn used_up_until(&self, agent: &AgentName, terms: &Terms) -> Option<Millis> {
        let account = terms.account(agent);
        let of_it = self
            .purse
            .allowances
            .values()
            .filter(|allowance| allowance.account == account);
        of_it.filter_map(|allowance| allowance.holds_until(self.now)).max()
    }

    pub(super) fn rate(&mut self, id: TaskId, stars: u8, words: &str) -> Result<Reply, Refused> {
        let task = self.tasks.get(&id).ok_or(Refused::NoSuchTask(id))?;
        if !task.state.is_done() {
            let why = format!("a task that is {} cannot be rated yet", task.state.name());
            return Err(Refused::Illegal(why));
        }
        if !(1..=5).contains(&stars) {
            return Err(Refused::Illegal(format!(
                "{stars} is not a number of stars from 1 to 5"
            )));
        }
        if let Some((before, key)) = self.purse.ratings.remove(&id)
            && let Some(tally) = self.purse.tallies.get_mut(&key)
        {
            tally.rated -= 1;
            tally.stars -= u64::from(before);
        }
        let task = self.task(id);
        let day = Day::of(self.now);
        let last = self.purse.ledger.iter().rev().find(|entry| entry.task == id);
        let key = match last {
            Some(entry) => TallyKey {
                day,
                agent: entry.agent.clone(),
                model: entry.model.clone(),
                account: entry.account.clone(),
                kind: entry.kind.clone(),
            },
            None => TallyKey {
                day,
                agent: task.agent.clone(),
                model: None,
                account: None,
                kind: ledger::kind(&task.spec).to_owned(),
            },
        };
        let tally = self.purse.tallies.entry(key.clone()).or_default();
        tally.rated += 1;
        tally.stars += u64::from(stars);
        self.purse.ratings.insert(id, (stars, key));
        let words = words.to_owned();
        self.emit_task(id, Happened::TaskRated { stars, words });
        Ok(Reply::Done)
    }

    /// What hangs on a removed run; the ledger stays.
    pub(super) fn forget_money(&mut self, run: RunId, tasks: &[TaskId]) {
        self.purse.budgets.remove(&Scope::Run(run));
        for task in tasks {
            self.purse.budgets.remove(&Scope::Task(*task));
            self.purse.ratings.remove(task);
        }
    }
}
