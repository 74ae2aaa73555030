//! `plan cost`: what a plan is expected to cost ([`wheelhouse_core::forecast`]), asked of the store and shown.

use std::collections::BTreeSet;

use wheelhouse_core::budget::{Budget, Experience, Scope, window_start};
use wheelhouse_core::forecast::{self, Basis, Forecast, Known, OfAccount, OfTask, Standing, Verdict};
use wheelhouse_core::money::show_usd;
use wheelhouse_core::plan::Checked;
use wheelhouse_core::price::Table as Prices;
use wheelhouse_core::route::past::Past;
use wheelhouse_core::store::Reader;
use wheelhouse_core::time::Millis;
use wheelhouse_engine::lock::Engine;

use crate::app::App;
use crate::config::Settings;
use crate::failure::Failure;
use crate::host;
use crate::moment::now;
use crate::roster;
use crate::show::doc::{Block, Cell, Page, Table, Tone};
use crate::show::words;
use crate::state;

/// How many entries of the ledger are read at once.
const ENTRIES: u32 = 10_000;
/// How many past tasks are looked through for similar ones.
const PAST_MAX: u32 = 2_000;

/// Looks ahead with what the store knows; with nothing where there is no store yet.
pub(crate) fn forecast(app: &App, settings: &Settings, checked: &Checked) -> Result<Forecast, Failure> {
    let terms = roster::money(settings, Prices::default()).terms;
    let mut reader = state::look(&app.place)?;
    let now = now();
    let (mut budgets, allowances) = match reader.as_mut() {
        Some(reader) => (reader.budgets(now)?, reader.allowances()?),
        None => (Vec::new(), Vec::new()),
    };
    if let Some(reader) = reader.as_mut() {
        let met: BTreeSet<Scope> = budgets.iter().map(|budget| budget.scope.clone()).collect();
        let new = terms.limits.iter().filter(|(scope, _)| !met.contains(scope));
        for (scope, limit_nano) in new.filter(|(scope, _)| scope.window_ms().is_some()) {
            budgets.push(begun(reader.as_mut(), scope, *limit_nano, now)?);
        }
    }
    let past = match reader.as_mut() {
        Some(reader) => Past::of(reader.past(PAST_MAX)?),
        None => Past::default(),
    };
    let known = Known {
        past: &past,
        terms: &terms,
        budgets: &budgets,
        allowances: &allowances,
        engine_runs: matches!(host::engine(&app.place.state_dir), Engine::Running(_)),
        now,
    };
    forecast::forecast(checked, &known, |agent, model, kind| match reader.as_mut() {
        Some(reader) => Ok(reader.experience(agent, model, kind)?),
        None => Ok(Experience::default()),
    })
}

/// A budget of a window that no engine has met yet: what was spent in the window counts as soon as one does.
fn begun(reader: &mut dyn Reader, scope: &Scope, limit_nano: u64, now: Millis) -> Result<Budget, Failure> {
    let since = window_start(scope, now);
    let (mut spent_nano, mut assumed_nano, mut after) = (0_u64, 0_u64, 0);
    loop {
        let entries = reader.ledger(after, ENTRIES)?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        for entry in entries.iter().filter(|entry| entry.at >= since) {
            spent_nano = spent_nano.saturating_add(entry.cost.nano().unwrap_or(0));
            assumed_nano = assumed_nano.saturating_add(entry.assumed_nano);
        }
    }
    Ok(Budget {
        scope: scope.clone(),
        limit_nano,
        reserved_nano: 0,
        spent_nano,
        assumed_nano,
        warned: false,
    })
}

/// The page.
pub(crate) fn page(forecast: &Forecast) -> Page {
    let mut page = Page::default();
    page.heading(1, format!("{}: {}", forecast.name, in_all(forecast)));
    let mut table = Table::new(&["task", "agent", "work", "expected", "from"]);
    for task in &forecast.tasks {
        table.row([
            Cell::from(task.task.to_string()),
            Cell::from(task.agent.to_string()),
            Cell::from(task.kind.clone()),
            Cell::from(expected(task)),
            Cell::toned(basis(task), Tone::Dim),
        ]);
    }
    page.push(Block::Table(table));
    let total = &forecast.total;
    if total.unknown_tasks > 0 {
        page.text(format!(
            "Nobody knows what {} will cost; {} is assumed in their place.",
            words::count(total.unknown_tasks, "task"),
            show_usd(total.assumed_nano)
        ));
    }
    let soft = forecast
        .tasks
        .iter()
        .filter_map(|task| Some((&task.task, task.soft_line?)));
    let soft: Vec<String> = soft
        .map(|(task, line)| format!("{task}: told above {}: {}", show_usd(line.nano), line.why()))
        .collect();
    if !soft.is_empty() {
        page.push(Block::List(soft));
    }
    page.text("One try a task is counted, and none of what planners may add.");
    budgets(&mut page, forecast);
    if !forecast.accounts.is_empty() {
        page.heading(2, "Allowances");
        page.push(Block::List(forecast.accounts.iter().map(account).collect()));
    }
    page
}

fn budgets(page: &mut Page, forecast: &Forecast) {
    page.heading(2, "Budgets");
    if forecast.budgets.is_empty() {
        page.text("None concerns it.");
        return;
    }
    let mut table = Table::new(&["budget", "limit", "left", "needed", ""]);
    for budget in &forecast.budgets {
        let (words, tone) = verdict(budget.verdict);
        table.row([
            Cell::from(budget.budget.clone()),
            show_usd(budget.limit_nano).into(),
            show_usd(budget.room_nano).into(),
            show_usd(budget.needed_nano).into(),
            Cell::toned(words, tone),
        ]);
    }
    page.push(Block::Table(table));
}

fn in_all(forecast: &Forecast) -> String {
    let total = &forecast.total;
    let known = range(total.least_nano, total.most_nano);
    match (total.unknown_tasks, total.most_nano) {
        (0, _) => known,
        (unknown, 0) => format!("cost unknown ({})", words::count(unknown, "task")),
        (unknown, _) => format!("{known} and an unknown cost ({})", words::count(unknown, "task")),
    }
}

fn range(least: u64, most: u64) -> String {
    match (least, most) {
        (0, 0) => "no charge".to_owned(),
        (least, most) if least == most => format!("about {}", show_usd(least)),
        (least, most) => format!("about {} to {}", show_usd(least), show_usd(most)),
    }
}

fn expected(task: &OfTask) -> String {
    match (task.basis, task.least_nano.zip(task.most_nano)) {
        (Basis::Free, _) => "free".to_owned(),
        (Basis::Included, _) => "included".to_owned(),
        (_, Some((least, most))) => range(least, most),
        (_, None) => "unknown".to_owned(),
    }
}

fn basis(task: &OfTask) -> String {
    match task.basis {
        Basis::Free => String::new(),
        Basis::Included => "a subscription".to_owned(),
        Basis::PastTries => format!("past tries ({})", words::thousands(task.past_tries)),
        Basis::Crew => "its parts".to_owned(),
        Basis::Unknown if task.past_tries > 0 => format!("too few past tries ({})", task.past_tries),
        Basis::Unknown => "no past tries".to_owned(),
    }
}

fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Suffices => ("suffices", Tone::Good),
        Verdict::Perhaps => ("perhaps", Tone::Warm),
        Verdict::FallsShort => ("falls short", Tone::Bad),
    }
}

fn account(account: &OfAccount) -> String {
    let tasks = words::count(account.tasks, "task");
    let until = match account.resets_at {
        Some(at) => format!("until {}", words::clock(at, now())),
        None => "for a time nobody knows".to_owned(),
    };
    let what = account.what.as_deref().unwrap_or_default();
    let standing = match account.standing {
        Standing::Unheard => "its provider said nothing of an allowance".to_owned(),
        Standing::InSight => format!("its end is in sight, {until} ({what})"),
        Standing::UsedUp if account.policy == "wait" => format!("used up {until} ({what}); its tasks wait"),
        Standing::UsedUp => format!("used up {until} ({what}); its tasks go to others of their chain, or wait"),
    };
    format!("{}, {tasks}: {standing}", account.account)
}
