//! `budget`: what may be spent, what is held and spent, what accounts may still use; and changes of limits.

use serde_json::json;
use wheelhouse_core::budget::Budget;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::quota::Allowance;
use wheelhouse_server::face::budget;

use crate::app::App;
use crate::args::{self, BudgetChange};
use crate::exit;
use crate::failure::Outcome;
use crate::host;
use crate::moment::now;
use crate::show::doc::{Block, Page, Table};
use crate::show::words;
use crate::state::{self, State};

/// Shows or changes budgets.
pub(crate) fn budget(app: &App, args: &args::Budget) -> Outcome {
    match &args.change {
        None => show(app),
        Some(change) => set(app, change),
    }
}

fn set(app: &App, change: &BudgetChange) -> Outcome {
    let mut state = State::expect(&app.place)?;
    let (name, change) = match change {
        BudgetChange::Raise { scope, usd } => (scope, budget::Change::Raise(usd.clone())),
        BudgetChange::Set { scope, usd } => (scope, budget::Change::Set(usd.clone())),
    };
    let said = budget::change(&mut state.truth(), name, &change)?;
    host::quietly_tell_engine(app);
    if app.terminal.json {
        app.terminal.print_json(&json!({ "done": said }))?;
    } else {
        app.terminal.print(&format!("{said}\n"))?;
    }
    Ok(exit::OK)
}

fn show(app: &App) -> Outcome {
    let (budgets, allowances) = match state::look(&app.place)? {
        Some(mut reader) => (reader.budgets(now())?, reader.allowances()?),
        None => (Vec::new(), Vec::new()),
    };
    if app.terminal.json {
        app.terminal
            .print_json(&json!({ "budgets": budgets, "allowances": allowances }))?;
        return Ok(exit::OK);
    }
    let page = page(&budgets, &allowances);
    app.terminal
        .print(&page.text_of(app.terminal.out.width, app.terminal.out.paint))?;
    Ok(exit::OK)
}

fn page(budgets: &[Budget], allowances: &[Allowance]) -> Page {
    let mut page = Page::default();
    if budgets.is_empty() {
        page.text("there are no budgets: `wheelhouse budget set day 5`, `budget.day` in the configuration, or `budget` in a plan");
    } else {
        let mut table = Table::new(&["budget", "limit", "spent", "assumed", "reserved", "left"]);
        for budget in budgets {
            table.row([
                budget.scope.to_string().into(),
                show_usd(budget.limit_nano).into(),
                show_usd(budget.spent_nano).into(),
                show_usd(budget.assumed_nano).into(),
                show_usd(budget.reserved_nano).into(),
                show_usd(budget.room_nano()).into(),
            ]);
        }
        page.push(Block::Table(table));
    }
    for allowance in allowances {
        let until = match allowance.resets_at {
            Some(at) => format!("until {}", words::clock(at, now())),
            None => "for a time nobody knows".to_owned(),
        };
        let state = if allowance.exhausted { "used up" } else { "in sight" };
        page.text(format!(
            "{}: {} {state} {until} ({})",
            allowance.account,
            allowance.window.name(),
            allowance.what
        ));
    }
    page
}
