//! `status`: the screen over everything, one run, or one task.

use crate::app::App;
use crate::args;
use crate::command::access::{self, Who};
use crate::exit;
use crate::failure::Outcome;
use crate::gather;
use crate::host;
use crate::json::page;
use crate::moment::now;
use crate::show::doc::{Block, Page, Table};
use crate::show::status;
use crate::show::{report, task};
use crate::state::{self, Named};

/// How many tasks `status RUN` lists.
const TASKS_MAX: u32 = 200;

/// Shows how things stand.
pub(crate) fn status(app: &App, args: &args::Status) -> Outcome {
    match &args.what {
        None => everything(app),
        Some(what) => {
            let mut reader = state::expect(&app.place)?;
            match state::named(reader.as_mut(), what)? {
                Named::Run(run) if app.terminal.json => {
                    let report = gather::report(reader.as_mut(), run, now())?;
                    app.terminal.print_json(&page::run(reader.as_mut(), &report)?)?;
                    Ok(exit::OK)
                }
                Named::Run(run) => one_run(app, &gather::glance(reader.as_mut(), run, TASKS_MAX, now())?),
                Named::Task(found) => one_task(app, &gather::detail(reader.as_mut(), found)?),
            }
        }
    }
}

fn everything(app: &App) -> Outcome {
    // The hook of an agent's session asks like this. One of the crew is no lead: how the crew stands is not its affair.
    if app.terminal.quiet && access::who(app) != Who::Person {
        return Ok(exit::OK);
    }
    let engine = host::engine(&app.place.state_dir);
    let screen = match state::look(&app.place)? {
        Some(mut reader) => gather::screen(reader.as_mut(), &app.place.state_dir)?,
        None => gather::Screen::default(),
    };
    if app.terminal.json {
        app.terminal.print_json(&page::screen(&screen, engine))?;
    } else {
        let surface = app.terminal.out;
        let lines = status::lines(&screen, engine, now(), surface.width, surface.paint);
        app.terminal.print(&format!("{}\n", lines.join("\n")))?;
    }
    Ok(exit::OK)
}

fn one_run(app: &App, glance: &gather::Glance) -> Outcome {
    let gathered = &glance.report;
    let surface = app.terminal.out;
    let mut text = status::head_lines(&gathered.run, gathered.now, surface.width, surface.paint).join("\n");
    text.push_str("\n\n");
    let mut table = Table::new(&["", "state", "task", "agent", ""]);
    for task in gathered.tasks.iter().take(TASKS_MAX as usize) {
        let mut row = status::task_row(task, gathered.now);
        if glance.rehearsed.contains(&task.id) {
            let note = &mut row[4].text;
            *note = if note.is_empty() {
                "rehearsed".to_owned()
            } else {
                format!("{note}, rehearsed")
            };
        }
        table.row(row);
    }
    let mut page = Page::default();
    page.push(Block::Table(table));
    let more = gathered.run.counts.total().saturating_sub(TASKS_MAX.into());
    if more > 0 {
        page.text(format!("… and {more} more: `--json` lists them all"));
    }
    report::attention(gathered, &mut page);
    text.push_str(&page.text_of(surface.width, surface.paint));
    app.terminal.print(&text)?;
    Ok(exit::OK)
}

fn one_task(app: &App, detail: &gather::Detail) -> Outcome {
    if app.terminal.json {
        app.terminal.print_json(&page::task(detail))?;
    } else {
        let surface = app.terminal.out;
        app.terminal
            .print(&task::page(detail, now()).text_of(surface.width, surface.paint))?;
    }
    Ok(exit::OK)
}
