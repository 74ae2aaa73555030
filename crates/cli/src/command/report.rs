//! `report`: what a period or a run cost, and what came of it; on the terminal, as JSON, CSV or a page with plots.

use std::collections::BTreeSet;

use serde_json::Value;
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::AgentName;
use wheelhouse_core::report::{Period, Rows, Terms, report as made_of};
use wheelhouse_server::face::report::{Books, of_days, of_run};
use wheelhouse_server::ports::ReportWish;

use crate::app::App;
use crate::args::report::Report as Args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now;
use crate::place::write_private;
use crate::pricelist::{self, day, today};
use crate::roster;
use crate::show::account;
use crate::state;

/// Reports.
pub(crate) fn report(app: &App, args: &Args) -> Outcome {
    let wish = ReportWish {
        since: args.since.clone(),
        until: args.until.clone(),
        month: args.month.clone(),
        run: args.run.clone(),
        lead: args.lead.clone(),
    };
    print(app, args, rows(app, &app.settings(None)?, &wish)?)
}

/// The report for programs.
pub(crate) fn asked(app: &App, settings: &Settings, wish: &ReportWish) -> Result<Value, Failure> {
    account::document(&made_of(rows(app, settings, wish)?))
}

/// The rows of what was asked for.
pub(crate) fn rows(app: &App, settings: &Settings, wish: &ReportWish) -> Result<Rows, Failure> {
    let mut reader = state::expect(&app.place)?;
    let mut books = books(settings);
    books.terms = Terms {
        prices: pricelist::table(&app.place)?,
        lead: wish.lead.clone(),
        default_model: settings
            .agents
            .get(&settings.default_agent)
            .and_then(|agent| agent.model.clone()),
    };
    match &wish.run {
        Some(run) => {
            let run = state::run(reader.as_mut(), run)?;
            of_run(reader.as_mut(), &run, books, now())
        }
        None => of_days(reader.as_mut(), period(wish, today())?, books),
    }
}

/// What the configuration knows of money: fees, and who only stands in.
pub(crate) fn books(settings: &Settings) -> Books {
    let of_backend = |(name, agent): (&String, &crate::config::AgentSettings)| {
        (agent.backend == roster::REHEARSAL).then(|| AgentName(name.clone()))
    };
    let mut stand_ins: BTreeSet<AgentName> = settings.agents.iter().filter_map(of_backend).collect();
    if !settings.agents.contains_key(roster::REHEARSAL) {
        stand_ins.insert(AgentName(roster::REHEARSAL.to_owned()));
    }
    Books {
        fees: settings.fees.clone(),
        stand_ins,
        terms: Terms::default(),
    }
}

fn print(app: &App, args: &Args, rows: Rows) -> Outcome {
    if args.csv {
        app.terminal.print(&account::csv(&rows))?;
        return Ok(exit::OK);
    }
    let report = made_of(rows);
    if let Some(file) = &args.html {
        let file = app.here.join(file);
        let page = account::html(&report, now());
        write_private(&file, page.as_bytes()).map_err(|error| Failure::io("write the report to", &file, &error))?;
        if !app.terminal.json {
            app.terminal.print(&format!("written to {}\n", file.display()))?;
            return Ok(exit::OK);
        }
    }
    if app.terminal.json {
        app.terminal.print_json(&account::document(&report)?)?;
        return Ok(exit::OK);
    }
    let out = &app.terminal.out;
    app.terminal
        .print(&account::page(&report).text_of(out.width, out.paint))?;
    Ok(exit::OK)
}

/// The days that are asked for: those since and until, a month, or this month.
fn period(args: &ReportWish, today: Day) -> Result<Period, Failure> {
    if let Some(month) = &args.month {
        return month_named(month);
    }
    if args.since.is_none() && args.until.is_none() {
        return Ok(month_of(today));
    }
    let last = args.until.as_deref().map(day).transpose()?.unwrap_or(today);
    let first = match args.since.as_deref() {
        Some(since) => day(since)?,
        None => last.month().0,
    };
    if first > last {
        return Err(Failure::usage(format!(
            "the period from {first} until {last} has no day in it"
        )));
    }
    Ok(Period { first, last })
}

/// A month as people write it.
pub(crate) fn month_named(month: &str) -> Result<Period, Failure> {
    let first: Day = format!("{month}-01")
        .parse()
        .map_err(|_| Failure::usage(format!("`{month}` is not a month; write it as `2026-11`")))?;
    Ok(month_of(first))
}

/// The month that a day lies in.
pub(crate) fn month_of(day: Day) -> Period {
    let (first, next) = day.month();
    Period {
        first,
        last: Day(next.0 - 1),
    }
}
