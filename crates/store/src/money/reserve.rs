//! Before a try: what it is expected to cost, whether that much is there, and how the task waits where it is not.

use rusqlite::params;
use wheelhouse_core::budget::{Admission, Budget, Experience, Scope, Terms, admit, admit_turn};
use wheelhouse_core::ids::{AgentName, TaskId};
use wheelhouse_core::ledger;
use wheelhouse_core::price::Billing;
use wheelhouse_core::spec::{self, TaskSpec};
use wheelhouse_core::task::Held;
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Cost;

use super::budget::BudgetRow;
use crate::encode::{self, bits, int};
use crate::failure::Answer;
use crate::statements as sql;
use crate::work::Work;

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

impl Work<'_> {
    /// Reserves for a ready task, or holds it because there is no money.
    pub(crate) fn reserve(&mut self, id: u64, spec: &TaskSpec, terms: &Terms) -> Answer<Reserved> {
        let free = Reserved::Begin {
            granted_nano: None,
            budgets: Vec::new(),
        };
        if spec.budget.is_none() && !self.any_budget()? {
            return Ok(free);
        }
        if spec.flow.workflow.is_some() {
            // It costs nothing itself; its children are held to its limit.
            if let Some(limit) = spec.budget {
                self.limit_task(id, limit.cost_nano)?;
            }
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
        let link = self.task(id)?.link;
        let model = spec.link(link).and_then(|link| link.model).or(payer.model);
        let kind = ledger::kind(spec);
        let estimate = terms.estimate_of(spec, self.experience(&agent, model.as_deref(), kind)?);
        let views: Vec<Budget> = rows.iter().filter_map(|row| row.kept.view()).collect();
        let admitted = match &spec.work {
            spec::Work::Turn(_) => admit_turn(&views, estimate),
            spec::Work::Exec(_) | spec::Work::Prompt(_) => admit(&views, estimate),
        };
        match admitted {
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
