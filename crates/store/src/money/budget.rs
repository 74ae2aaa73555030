//! The rows of budgets: what limits, in the window of now; what people set and raise; who goes on when money comes back.
//! What a budget allows is core's to say ([`wheelhouse_core::budget`]).

use rusqlite::{Row, params};
use wheelhouse_core::budget::{Kept, Scope, Terms};
use wheelhouse_core::crew::Rows as _;
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::store::{Refused, Reply};

use crate::encode::{self, bits, from_bits, int};
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

/// How many tasks that wait for money go on when a try gives back what it held, while others hold some still.
const RELEASES_WHILE_HELD_MAX: u32 = 8;
/// The same when nobody holds anything any more.
const RELEASES_MAX: u32 = 256;

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

/// Configured and planned limits.
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

    /// The limit of a plan's task, kept from its first claim on.
    pub(super) fn limit_task(&mut self, id: u64, nano: u64) -> Answer<()> {
        let past = if self.task(id)?.attempt == 0 {
            Past::None
        } else {
            Past::InLedger
        };
        self.limit(Scope::Task(TaskId(id)), nano, past)
    }

    /// The limit of an instance, or of all of them together.
    pub(crate) fn limit_crew(&mut self, scope: Scope, nano: Option<u64>) -> Answer<()> {
        let mut row = match (self.budget_row(&scope)?, nano) {
            (Some(row), _) => row,
            (None, Some(_)) => self.new_budget(scope, Past::None)?,
            (None, None) => return Ok(()),
        };
        row.kept.limit_crew(self.now, nano);
        self.write_budget(&row)?;
        self.purse.freed.insert(row.id);
        Ok(())
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
}

/// Rows.
impl Work<'_> {
    pub(super) fn any_budget(&mut self) -> Answer<bool> {
        if let Some(any) = self.purse.any {
            return Ok(any);
        }
        let any = self.connection.prepare_cached(sql::BUDGET_ANY)?.exists([])?;
        self.purse.any = Some(any);
        Ok(any)
    }

    pub(super) fn budget_row(&self, scope: &Scope) -> Answer<Option<BudgetRow>> {
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
    pub(super) fn budgets_of(&mut self, task: u64) -> Answer<Vec<BudgetRow>> {
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

    pub(super) fn scopes_of(&mut self, task: u64) -> Answer<Vec<Scope>> {
        let run = self.task(task)?.run;
        let parent = self.parent_of(task)?;
        let mut scopes = vec![
            Scope::Task(TaskId(task)),
            Scope::Run(RunId(run)),
            Scope::Session,
            Scope::Hour,
            Scope::Day,
        ];
        // Of a step of a workflow also the workflow.
        scopes.extend(parent.map(|parent| Scope::Task(TaskId(parent))));
        // Of a turn also its instance and everybody above it, and the crew as a whole.
        let mut instance = self.instance_of_turn(TaskId(task))?;
        if instance.is_some() {
            scopes.extend([Scope::Crew, Scope::CrewHour]);
        }
        while let Some(id) = instance {
            scopes.push(Scope::Instance(id.0));
            instance = self.find_instance(id)?.and_then(|row| row.parent);
        }
        Ok(scopes)
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
            // They count from the moment they are limited at.
            Scope::Session | Scope::Instance(_) | Scope::Crew | Scope::CrewHour => return Ok((0, 0)),
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

    pub(super) fn change_budget<T>(
        &mut self,
        id: i64,
        change: impl FnOnce(&mut Kept) -> T,
    ) -> Answer<Option<(T, BudgetRow)>> {
        let Some(mut row) = self.budget_by_id(id)? else {
            return Ok(None);
        };
        row.kept.roll(self.now);
        let value = change(&mut row.kept);
        self.write_budget(&row)?;
        Ok(Some((value, row)))
    }
}

/// What people say about money, and what follows when some comes back.
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
            Scope::Day | Scope::Hour | Scope::Session | Scope::Instance(_) | Scope::Crew | Scope::CrewHour => Ok(()),
        }
    }

    fn release_all(&mut self, budget: i64) -> Answer<Reply> {
        for waiter in self.ids(sql::HOLDS_OF_BUDGET, params![budget, u32::MAX])? {
            self.release(waiter)?;
        }
        Ok(Reply::Done)
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
