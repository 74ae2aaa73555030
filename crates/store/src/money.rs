//! Money in a commit: what a try reserves before it begins, what it may still take while it runs, and what its end is
//! booked as. Decisions are core's ([`wheelhouse_core::budget`]); the sums of a commit are held in memory and written at
//! its end, as the rows of runs are.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, params};
use wheelhouse_core::budget::{Admission, Budget, Experience, Kept, Scope, Terms, admit, extend};
use wheelhouse_core::day::Day;
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, Lease, RunId, TaskId};
use wheelhouse_core::ledger::{self, Line, Reading, Spending, Tally};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::quota::{Allowance, Window};
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Refused, Reply, TaskResult};
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage};

use crate::encode::{self, bits, from_bits, int};
use crate::failure::Answer;
use crate::rows::LeaseRow;
use crate::statements as sql;
use crate::work::Work;

/// How many tasks that wait for money go on when a try gives back what it held, while others hold some still.
const RELEASES_WHILE_HELD_MAX: u32 = 8;
/// The same when nobody holds anything any more.
const RELEASES_MAX: u32 = 256;

/// Numbers of names: agent, model (0: none), kind, account (0: none), and the day.
pub(crate) type TallyId = (i64, i64, i64, i64, u32);

/// What money there is to do in a commit.
#[derive(Default)]
pub(crate) struct Purse {
    /// Whether there is any budget at all: most stores have none, and pay nothing for them.
    any: Option<bool>,
    tallies: BTreeMap<TallyId, Tally>,
    /// Budgets in which something was given back.
    freed: BTreeSet<i64>,
}

/// A row of `budget`.
pub(crate) struct BudgetRow {
    pub(crate) id: i64,
    pub(crate) kept: Kept,
}

impl BudgetRow {
    pub(crate) fn read(row: &Row<'_>) -> Answer<BudgetRow> {
        let scope: String = row.get(1)?;
        let Ok(scope) = scope.parse::<Scope>() else {
            return encode::damaged("the scope of a budget", scope);
        };
        let money = |column: usize| row.get::<_, i64>(column).map(from_bits);
        let maybe = |column: usize| row.get::<_, Option<i64>>(column).map(|nano| nano.map(from_bits));
        Ok(BudgetRow {
            id: row.get(0)?,
            kept: Kept {
                scope,
                configured_nano: maybe(2)?,
                own_nano: maybe(3)?,
                raised_nano: money(4)?,
                window: row.get(5)?,
                reserved_nano: money(6)?,
                spent_nano: money(7)?,
                assumed_nano: money(8)?,
                warned: row.get(9)?,
            },
        })
    }
}

/// Whether something may have been spent before a budget was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Past {
    /// No: what it limits is new.
    None,
    /// The ledger knows.
    InLedger,
}

/// What a claim came to.
pub(crate) enum Reserved {
    /// The try may begin; with a line when a budget concerns it.
    Begin {
        /// How much it may consume.
        granted_nano: Option<u64>,
        /// The budgets that hold it.
        budgets: Vec<i64>,
    },
    /// The task was held.
    Held,
}

/// A row of `meter`.
struct MeterRow {
    reserved_nano: u64,
    spending: Spending,
}

/// Before a try.
impl Work<'_> {
    /// Puts the configured limits of a claim into the table.
    pub(crate) fn configure_budgets(&mut self, terms: &Terms, owner: i64) -> Answer<()> {
        if terms.limits.is_empty() && !self.any_budget()? {
            return Ok(());
        }
        for scope in [Scope::Day, Scope::Hour, Scope::Session] {
            let limit = terms
                .limits
                .iter()
                .find(|(limited, _)| *limited == scope)
                .map(|(_, nano)| *nano);
            let found = self.budget_row(&scope)?;
            let mut row = match (found, limit) {
                (Some(row), _) => row,
                (None, Some(_)) => self.new_budget(scope, Past::InLedger)?,
                (None, None) => continue,
            };
            let before = row.kept.clone();
            row.kept.configured_nano = limit;
            row.kept.roll(self.now);
            if row.kept.scope == Scope::Session {
                row.kept.enter(owner.unsigned_abs());
            }
            if row.kept != before {
                self.write_budget(&row)?;
                self.purse.freed.insert(row.id);
            }
        }
        Ok(())
    }

    /// Reserves for a ready task, or holds it because there is no money.
    pub(crate) fn reserve(&mut self, id: u64, spec: &TaskSpec, terms: &Terms) -> Answer<Reserved> {
        let free = Reserved::Begin {
            granted_nano: None,
            budgets: Vec::new(),
        };
        if spec.budget.is_none() && !self.any_budget()? {
            return Ok(free);
        }
        let agent = self.task(id)?.agent;
        let agent = AgentName(self.names.text(self.connection, agent)?);
        let payer = terms.payer(&agent);
        if matches!(payer.billing, Billing::Free | Billing::Subscription) {
            return Ok(free);
        }
        if let Some(limit) = spec.budget {
            self.limit_task(id, limit.cost_nano)?;
        }
        let rows = self.budgets_of(id)?;
        if rows.is_empty() {
            return Ok(free);
        }
        let model = spec.model.clone().or(payer.model);
        let kind = ledger::kind(spec);
        let estimate = terms.estimate(self.experience(&agent, model.as_deref(), kind)?);
        let views: Vec<Budget> = rows.iter().filter_map(|row| row.kept.view()).collect();
        match admit(&views, estimate) {
            Admission::Granted(nano) => Ok(Reserved::Begin {
                granted_nano: Some(nano),
                budgets: rows.iter().map(|row| row.id).collect(),
            }),
            Admission::Waits(scope) => self.hold_for_money(id, &rows, scope, None),
            Admission::Exhausted(scope) => {
                let until = scope.ends(self.now);
                self.hold_for_money(id, &rows, scope, until)
            }
        }
    }

    fn hold_for_money(&mut self, id: u64, rows: &[BudgetRow], scope: Scope, until: Option<Millis>) -> Answer<Reserved> {
        let budget = rows.iter().find(|row| row.kept.scope == scope).map(|row| row.id);
        self.hold(id, Held::Budget { scope, until }, None)?;
        self.execute(sql::HOLD_FOR_BUDGET, params![int(id), budget])?;
        Ok(Reserved::Held)
    }

    /// Writes down what a claimed task holds.
    pub(crate) fn hold_reserved(&mut self, id: u64, spec: &TaskSpec, reserved: &Reserved) -> Answer<Option<u64>> {
        let Reserved::Begin {
            granted_nano: Some(nano),
            budgets,
        } = reserved
        else {
            return Ok(None);
        };
        let kind = self.names.id(self.connection, ledger::kind(spec))?;
        let none: Option<i64> = None;
        let nothing = encode::cost_codes(Cost::Free);
        let row = params![
            int(id),
            bits(*nano),
            none,
            kind,
            none,
            None::<String>,
            None::<String>,
            nothing.0,
            nothing.1,
            0
        ];
        self.execute(sql::METER_ADD, row)?;
        for budget in budgets {
            self.execute(sql::METER_ON_ADD, params![int(id), budget])?;
            self.change_budget(*budget, |kept| {
                kept.reserved_nano = kept.reserved_nano.saturating_add(*nano)
            })?;
        }
        Ok(Some(*nano))
    }

    fn any_budget(&mut self) -> Answer<bool> {
        if let Some(any) = self.purse.any {
            return Ok(any);
        }
        let any = self.connection.prepare_cached(sql::BUDGET_ANY)?.exists([])?;
        self.purse.any = Some(any);
        Ok(any)
    }

    fn budget_row(&self, scope: &Scope) -> Answer<Option<BudgetRow>> {
        let mut statement = self.connection.prepare_cached(sql::BUDGET_OF)?;
        let mut rows = statement.query([scope.to_string()])?;
        rows.next()?.map(BudgetRow::read).transpose()
    }

    fn budget_by_id(&self, id: i64) -> Answer<Option<BudgetRow>> {
        let mut statement = self.connection.prepare_cached(sql::BUDGET)?;
        let mut rows = statement.query([id])?;
        rows.next()?.map(BudgetRow::read).transpose()
    }

    /// The budgets with a limit that concern a task, in the window of now.
    fn budgets_of(&mut self, task: u64) -> Answer<Vec<BudgetRow>> {
        let scopes = self.scopes_of(task)?;
        let mut rows = Vec::new();
        for scope in scopes {
            if let Some(mut row) = self.budget_row(&scope)? {
                row.kept.roll(self.now);
                if row.kept.view().is_some() {
                    rows.push(row);
                }
            }
        }
        Ok(rows)
    }

    fn scopes_of(&mut self, task: u64) -> Answer<Vec<Scope>> {
        let run = self.task(task)?.run;
        Ok(vec![
            Scope::Task(TaskId(task)),
            Scope::Run(RunId(run)),
            Scope::Session,
            Scope::Hour,
            Scope::Day,
        ])
    }

    fn new_budget(&mut self, scope: Scope, past: Past) -> Answer<BudgetRow> {
        let mut kept = Kept::new(scope, self.now);
        if past == Past::InLedger {
            (kept.spent_nano, kept.assumed_nano) = self.spent_before(&kept.scope)?;
        }
        let Kept {
            scope,
            configured_nano: _,
            own_nano: _,
            raised_nano: _,
            window,
            reserved_nano: _,
            spent_nano,
            assumed_nano,
            warned: _,
        } = &kept;
        let row = params![scope.to_string(), int(*window), bits(*spent_nano), bits(*assumed_nano)];
        self.execute(sql::BUDGET_ADD, row)?;
        self.purse.any = Some(true);
        let id = self.connection.last_insert_rowid();
        Ok(BudgetRow { id, kept })
    }

    /// What the ledger knows of a scope when its budget is new; a new session has spent nothing.
    fn spent_before(&self, scope: &Scope) -> Answer<(u64, u64)> {
        let (sql, of) = match scope {
            Scope::Session | Scope::Instance(_) => return Ok((0, 0)),
            Scope::Run(run) => (sql::LEDGER_SPENT_RUN, int(run.0)),
            Scope::Task(task) => (sql::LEDGER_SPENT_TASK, int(task.0)),
            Scope::Day | Scope::Hour => {
                let start = wheelhouse_core::budget::window_start(scope, self.now);
                (sql::LEDGER_SPENT_SINCE, int(start.0))
            }
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([of], |row| Ok((from_bits(row.get(0)?), from_bits(row.get(1)?))))?)
    }

    fn write_budget(&mut self, row: &BudgetRow) -> Answer<()> {
        let Kept {
            scope: _,
            configured_nano,
            own_nano,
            raised_nano,
            window,
            reserved_nano,
            spent_nano,
            assumed_nano,
            warned,
        } = &row.kept;
        self.execute(
            sql::BUDGET_SET,
            params![
                row.id,
                configured_nano.map(bits),
                own_nano.map(bits),
                bits(*raised_nano),
                int(*window),
                bits(*reserved_nano),
                bits(*spent_nano),
                bits(*assumed_nano),
                warned
            ],
        )?;
        Ok(())
    }

    fn change_budget<T>(&mut self, id: i64, change: impl FnOnce(&mut Kept) -> T) -> Answer<Option<(T, BudgetRow)>> {
        let Some(mut row) = self.budget_by_id(id)? else {
            return Ok(None);
        };
        row.kept.roll(self.now);
        let value = change(&mut row.kept);
        self.write_budget(&row)?;
        Ok(Some((value, row)))
    }

    /// The limit of a plan's task, kept from its first claim on.
    fn limit_task(&mut self, id: u64, nano: u64) -> Answer<()> {
        let past = if self.task(id)?.attempt == 0 {
            Past::None
        } else {
            Past::InLedger
        };
        self.limit(Scope::Task(TaskId(id)), nano, past)
    }

    /// The limit of a plan, kept with what it limits.
    pub(crate) fn limit(&mut self, scope: Scope, nano: u64, past: Past) -> Answer<()> {
        let mut row = match self.budget_row(&scope)? {
            Some(row) => row,
            None => self.new_budget(scope, past)?,
        };
        if row.kept.configured_nano != Some(nano) {
            row.kept.configured_nano = Some(nano);
            self.write_budget(&row)?;
        }
        Ok(())
    }

    fn experience(&mut self, agent: &AgentName, model: Option<&str>, kind: &str) -> Answer<Experience> {
        let (connection, names) = (self.connection, &mut *self.names);
        let agent = names.find(connection, agent.as_str())?;
        let kind = names.find(connection, kind)?;
        let model = match model {
            Some(model) => Some(names.find(connection, model)?.unwrap_or(-1)),
            None => None,
        };
        let (Some(agent), Some(kind)) = (agent, kind) else {
            return Ok(Experience::default());
        };
        experience(connection, agent, model, kind)
    }
}

/// What the tallies know of tries of that kind; of all models together when none is named.
pub(crate) fn experience(
    connection: &rusqlite::Connection,
    agent: i64,
    model: Option<i64>,
    kind: i64,
) -> Answer<Experience> {
    let mut statement = connection.prepare_cached(sql::TALLY_EXPERIENCE)?;
    Ok(statement.query_row(params![agent, model, kind], |row| {
        Ok(Experience {
            tries: row.get(0)?,
            nano: row.get(1)?,
            tokens: row.get(2)?,
        })
    })?)
}

/// While a try runs, and at its end.
impl Work<'_> {
    /// Keeps a reading, and lets the try take more where there is more.
    pub(crate) fn meter(&mut self, lease: Lease, reading: &Reading) -> Answer<Reply> {
        let row = self.leased(lease)?;
        let Reading {
            account,
            kind,
            line,
            want_nano,
        } = reading;
        let held = self.metered(row.task)?;
        let mut granted_nano = held
            .as_ref()
            .filter(|held| held.reserved_nano > 0)
            .map(|held| held.reserved_nano);
        let mut reserved_nano = held.map_or(0, |held| held.reserved_nano);
        if let Some(granted) = granted_nano
            && *want_nano > granted
        {
            let rows = self.budgets_held(row.task)?;
            let views: Vec<Budget> = rows.iter().filter_map(|row| row.kept.view()).collect();
            let more = extend(&views, want_nano - granted);
            for row in &rows {
                self.change_budget(row.id, |kept| {
                    kept.reserved_nano = kept.reserved_nano.saturating_add(more)
                })?;
            }
            reserved_nano = granted.saturating_add(more);
            granted_nano = Some(reserved_nano);
        }
        let Line {
            turn,
            model,
            usage,
            cost,
            assumed_nano,
        } = line;
        let (model, account) = (self.named(model.as_deref())?, self.named(account.as_deref())?);
        let kind = self.names.id(self.connection, kind)?;
        let (cost, cost_nano) = encode::cost_codes(*cost);
        let usage = encode::usage_text(*usage);
        self.execute(
            sql::METER_ADD,
            params![
                int(row.task),
                bits(reserved_nano),
                account,
                kind,
                model,
                turn,
                usage,
                cost,
                cost_nano,
                bits(*assumed_nano)
            ],
        )?;
        Ok(Reply::Metered { lease, granted_nano })
    }

    fn named(&mut self, name: Option<&str>) -> Answer<Option<i64>> {
        Ok(match name {
            Some(name) => Some(self.names.id(self.connection, name)?),
            None => None,
        })
    }

    fn metered(&mut self, task: u64) -> Answer<Option<MeterRow>> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::METER)?;
        let mut rows = statement.query([int(task)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let names = &mut *self.names;
        let mut name = |column: usize| -> Answer<Option<String>> {
            match row.get::<_, Option<i64>>(column)? {
                Some(id) => Ok(Some(names.text(connection, id)?)),
                None => Ok(None),
            }
        };
        Ok(Some(MeterRow {
            reserved_nano: from_bits(row.get(0)?),
            spending: Spending {
                account: name(1)?,
                kind: name(2)?.unwrap_or_default(),
                lines: vec![Line {
                    model: name(3)?,
                    turn: row.get(4)?,
                    usage: encode::usage(row.get::<_, Option<String>>(5)?.as_deref())?,
                    cost: encode::cost(row.get(6)?, row.get(7)?)?,
                    assumed_nano: from_bits(row.get(8)?),
                }],
            },
        }))
    }

    /// The budgets in which a running task holds something.
    fn budgets_held(&mut self, task: u64) -> Answer<Vec<BudgetRow>> {
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql::METER_BUDGETS)?;
        let mut rows = statement.query([int(task)])?;
        let mut held = Vec::new();
        while let Some(row) = rows.next()? {
            let mut row = BudgetRow::read(row)?;
            row.kept.roll(self.now);
            held.push(row);
        }
        Ok(held)
    }

    /// Gives back what a try held; gives its last reading.
    fn close_meter(&mut self, task: u64) -> Answer<Option<Spending>> {
        let Some(meter) = self.metered(task)? else {
            return Ok(None);
        };
        for row in self.budgets_held(task)? {
            self.change_budget(row.id, |kept| {
                kept.reserved_nano = kept.reserved_nano.saturating_sub(meter.reserved_nano);
            })?;
            self.purse.freed.insert(row.id);
        }
        self.execute(sql::METER_ON_REMOVE, [int(task)])?;
        self.execute(sql::METER_REMOVE, [int(task)])?;
        Ok(Some(meter.spending))
    }

    /// The end of a try: what it held is given back, what it consumed is booked.
    pub(crate) fn book_end(&mut self, lease: &LeaseRow, spending: &Spending, usage: Usage, cost: Cost) -> Answer<()> {
        self.close_meter(lease.task)?;
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
        let booked = self.book(lease, spending, lines)?;
        let run = self.task(lease.task)?.run;
        if booked == 0 {
            let none = Usage {
                source: usage.source,
                ..Usage::default()
            };
            // Nothing was consumed; that the try ended makes the sum one of something.
            let row = self.run_mut(run)?;
            row.usage = Some(row.usage.map_or(none, |sum| sum.plus(none)));
        }
        let (now, started) = (self.now.0, lease.started_at);
        let tally = self.tally(lease, spending)?;
        tally.tries += 1;
        tally.wall_ms = tally.wall_ms.saturating_add(now.saturating_sub(started));
        Ok(())
    }

    /// A try that is given back or lost: what it said, else what its last reading knows, is booked.
    pub(crate) fn book_return(&mut self, lease: &LeaseRow, spending: &Spending) -> Answer<()> {
        let reading = self.close_meter(lease.task)?.unwrap_or_default();
        let spending = if spending.lines.is_empty() { &reading } else { spending };
        for line in &spending.lines {
            if line.is_nothing() {
                continue;
            }
            let (attempt, usage, cost) = (lease.number, line.usage, line.cost);
            let happened = Happened::SpendingBooked { attempt, usage, cost };
            self.emit_task(lease.task, &happened)?;
        }
        self.book(lease, spending, &spending.lines)?;
        Ok(())
    }

    /// Writes lines into the ledger, the totals of their run, the tally of the day, and the budgets.
    fn book(&mut self, lease: &LeaseRow, spending: &Spending, lines: &[Line]) -> Answer<usize> {
        let mut booked = 0;
        for line in lines {
            let line = match &line.turn {
                None => (!line.is_nothing()).then(|| line.clone()),
                Some(turn) => ledger::surplus(&self.known_turn(turn)?, line),
            };
            if let Some(line) = line {
                self.book_line(lease, spending, &line)?;
                booked += 1;
            }
        }
        Ok(booked)
    }

    fn known_turn(&self, turn: &str) -> Answer<Line> {
        let mut statement = self.connection.prepare_cached(sql::LEDGER_TURN)?;
        Ok(statement.query_row([turn], |row| {
            let number = |column: usize| row.get::<_, i64>(column).map(from_bits);
            Ok(Line {
                usage: Usage {
                    input: number(0)?,
                    cache_read: number(1)?,
                    cache_write: number(2)?,
                    output: number(3)?,
                    reasoning: number(4)?,
                    ..Usage::default()
                },
                cost: Cost::Actual(number(5)?),
                assumed_nano: number(6)?,
                ..Line::default()
            })
        })?)
    }

    fn book_line(&mut self, lease: &LeaseRow, spending: &Spending, line: &Line) -> Answer<()> {
        let run = self.task(lease.task)?.run;
        let id = self.tally_id(lease, spending, line.model.as_deref())?;
        let named = |id: i64| (id != 0).then_some(id);
        let (cost, cost_nano) = encode::cost_codes(line.cost);
        let Usage {
            input,
            cache_read,
            cache_write,
            output,
            reasoning,
            source,
        } = line.usage;
        self.execute(
            sql::LEDGER_ADD,
            params![
                int(self.now.0),
                int(run),
                int(lease.task),
                lease.number,
                id.0,
                named(id.1),
                named(id.3),
                id.2,
                line.turn,
                int(input),
                int(cache_read),
                int(cache_write),
                int(output),
                int(reasoning),
                encode::usage_source_code(source),
                cost,
                cost_nano,
                int(line.assumed_nano)
            ],
        )?;
        self.purse.tallies.entry(id).or_default().book(line);
        let row = self.run_mut(run)?;
        row.usage = Some(row.usage.map_or(line.usage, |sum| sum.plus(line.usage)));
        match line.cost {
            Cost::Actual(nano) | Cost::Priced(nano) => row.cost_nano = row.cost_nano.saturating_add(nano),
            Cost::Included | Cost::Free => {}
            Cost::Unknown => row.cost_unknown += 1,
        }
        if self.any_budget()? {
            // One without a limit just now counts too: it may get one again in this window.
            for scope in self.scopes_of(lease.task)? {
                let Some(row) = self.budget_row(&scope)? else { continue };
                if let Some((true, row)) = self.change_budget(row.id, |kept| kept.spend(line))?
                    && let Some(budget) = row.kept.view()
                {
                    let used_nano = budget.used_nano();
                    let (scope, limit_nano) = (budget.scope, budget.limit_nano);
                    let warned = Happened::BudgetWarned {
                        scope,
                        used_nano,
                        limit_nano,
                    };
                    self.emit_task(lease.task, &warned)?;
                }
            }
        }
        Ok(())
    }

    fn tally_id(&mut self, lease: &LeaseRow, spending: &Spending, model: Option<&str>) -> Answer<TallyId> {
        let model = self.named(model)?.unwrap_or(0);
        let account = self.named(spending.account.as_deref())?.unwrap_or(0);
        let kind = self.names.id(self.connection, &spending.kind)?;
        Ok((lease.agent, model, kind, account, Day::of(self.now).0))
    }

    /// The tally that the try itself counts in: that of its first line.
    fn tally(&mut self, lease: &LeaseRow, spending: &Spending) -> Answer<&mut Tally> {
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

    /// Those who waited for money that was given back look again.
    pub(crate) fn follow_money(&mut self) -> Answer<()> {
        while let Some(id) = self.purse.freed.pop_first() {
            let Some(mut row) = self.budget_by_id(id)? else {
                continue;
            };
            row.kept.roll(self.now);
            if row.kept.view().is_some_and(|budget| budget.room_nano() == 0) {
                continue;
            }
            let most = if row.kept.reserved_nano > 0 {
                RELEASES_WHILE_HELD_MAX
            } else {
                RELEASES_MAX
            };
            for waiter in self.ids(sql::HOLDS_OF_BUDGET, params![id, most])? {
                self.release(waiter)?;
            }
        }
        Ok(())
    }
}

/// What people say about money.
impl Work<'_> {
    pub(crate) fn set_budget(&mut self, scope: &Scope, limit_nano: Option<u64>) -> Answer<Reply> {
        self.check_scope(scope)?;
        let mut row = match self.budget_row(scope)? {
            Some(row) => row,
            None if limit_nano.is_none() => return Ok(Reply::Done),
            None => self.new_budget(scope.clone(), Past::InLedger)?,
        };
        row.kept.roll(self.now);
        row.kept.own_nano = limit_nano;
        row.kept.warned = false;
        self.write_budget(&row)?;
        self.release_all(row.id)
    }

    pub(crate) fn raise_budget(&mut self, scope: &Scope, by_nano: u64) -> Answer<Reply> {
        self.check_scope(scope)?;
        let row = self.budget_row(scope)?.filter(|row| row.kept.view().is_some());
        let Some(mut row) = row else {
            return Err(Refused::Illegal(format!("there is no budget for {scope}, so nothing to raise")).into());
        };
        row.kept.roll(self.now);
        row.kept.raised_nano = row.kept.raised_nano.saturating_add(by_nano);
        row.kept.warned = row.kept.view().is_some_and(|budget| budget.is_nearly_used());
        self.write_budget(&row)?;
        self.release_all(row.id)
    }

    fn check_scope(&mut self, scope: &Scope) -> Answer<()> {
        match scope {
            Scope::Run(run) => self.run_state(*run).map(drop),
            Scope::Task(task) => self.find_named(*task).map(drop),
            Scope::Day | Scope::Hour | Scope::Session | Scope::Instance(_) => Ok(()),
        }
    }

    fn release_all(&mut self, budget: i64) -> Answer<Reply> {
        for waiter in self.ids(sql::HOLDS_OF_BUDGET, params![budget, u32::MAX])? {
            self.release(waiter)?;
        }
        Ok(Reply::Done)
    }

    /// The scope that stops a task whose try reached its line, and when that ends by itself.
    pub(crate) fn await_budget(&mut self, id: u64) -> Answer<()> {
        let rows = self.budgets_of(id)?;
        let left = |budget: &Budget| budget.limit_nano.saturating_sub(budget.used_nano());
        let narrowest = rows
            .iter()
            .filter_map(|row| row.kept.view())
            .min_by_key(left)
            .map_or(Scope::Task(TaskId(id)), |budget| budget.scope);
        let until = narrowest.ends(self.now);
        self.hold_for_money(id, &rows, narrowest, until)?;
        Ok(())
    }

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
