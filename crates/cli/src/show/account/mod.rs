//! The report over a period or a run ([`wheelhouse_core::report`]) as people and programs see it: a page, a document, CSV,
//! HTML. A cost that nobody knows is shown as unknown in each of them.

mod chart;
mod html;
mod savings;

use std::time::Duration;

use serde_json::Value;
use wheelhouse_core::report::{AgentLine, Crew, KindLine, Money, Parallel, Report, Rows, Work};
use wheelhouse_core::time::human;

use super::doc::{Block, Cell, Page, Table, Tone};
use super::words::{self, dollars, thousands};
use crate::exit;
use crate::failure::Failure;

pub(crate) use html::html;

/// How many rows a table on a terminal has before the rest is counted.
const ROWS_MAX: usize = 20;

/// Money, never without what is unknown of it.
pub(crate) fn money(cost: &Money) -> String {
    match (cost.known_nano, cost.unknown_entries, cost.included_entries) {
        (0, 0, 0) => "no charge".to_owned(),
        (0, 0, _) => "included".to_owned(),
        (nano, 0, _) => dollars(nano),
        (0, unknown, _) => format!("unknown ({})", thousands(unknown)),
        (nano, unknown, _) => format!("{} + {} unknown", dollars(nano), thousands(unknown)),
    }
}

/// An average or a quotient of money, of which some may be unknown.
fn at_least(nano: u64, is_least: bool) -> String {
    match (nano, is_least) {
        (0, true) => "unknown".to_owned(),
        (nano, true) => format!("at least {}", dollars(nano)),
        (nano, false) => dollars(nano),
    }
}

/// `42K`, `1.2M`.
pub(crate) fn tokens(number: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = (number + unit / 20) / (unit / 10);
        match tenths % 10 {
            0 => thousands(tenths / 10),
            rest if tenths < 1_000 => format!("{}.{rest}", tenths / 10),
            _ => thousands((number + unit / 2) / unit),
        }
    };
    match number {
        0..10_000 => thousands(number),
        10_000..999_950 => format!("{}K", tenths(1_000)),
        999_950..999_950_000 => format!("{}M", tenths(1_000_000)),
        _ => format!("{}B", tenths(1_000_000_000)),
    }
}

/// `92 %`; one decimal below ten.
pub(crate) fn percent(part: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    let permille = (u128::from(part) * 1_000 + u128::from(of) / 2) / u128::from(of);
    match (permille % 10, permille) {
        (0, _) => format!("{} %", permille / 10),
        (rest, 0..100) => format!("{}.{rest} %", permille / 10),
        _ => format!("{} %", (permille + 5) / 10),
    }
}

fn stars(work: &Work) -> String {
    match work.rating_hundredths() {
        Some(hundredths) => {
            let tenths = (hundredths + 5) / 10;
            format!("{}.{}/5", tenths / 10, tenths % 10)
        }
        None => "–".to_owned(),
    }
}

fn span(ms: u64) -> String {
    human(Duration::from_millis(ms)).to_string()
}

/// What the report is about.
fn title(report: &Report) -> String {
    let period = report.period;
    match report.run {
        Some(run) => format!("Report on {run}"),
        None => format!("Report, {} to {} (UTC)", period.first, period.last),
    }
}

/// The whole in a sentence.
fn headline(report: &Report) -> String {
    let completed = words::count(report.work.completed, "task");
    let total = match (report.variable.is_known(), report.total_nano) {
        (true, nano) => dollars(nano),
        (false, 0) => "an unknown cost".to_owned(),
        (false, nano) => format!("{} and an unknown cost", dollars(nano)),
    };
    let each = match report.per_task {
        Some(each) if each.at_least => format!(", {} each", at_least(each.total_nano, true)),
        Some(each) => format!(", {} each", dollars(each.total_nano)),
        None => String::new(),
    };
    let commands = match report.commands {
        0 => String::new(),
        number => format!(", and {}", words::count(number, "command")),
    };
    format!(
        "{completed} completed for {total}{each}; {} tokens{commands}.",
        tokens(report.usage.total())
    )
}

/// The warning that belongs to every view in which something is unknown.
fn unknown(report: &Report) -> Option<String> {
    let cost = &report.variable;
    (!cost.is_known()).then(|| {
        format!(
            "Nobody knows what {} cost; every sum and average here is at least what it says. Budgets counted {} for it.",
            words::count(cost.unknown_entries, "entry").replace("entrys", "entries"),
            dollars(cost.assumed_nano)
        )
    })
}

/// As a page.
pub(crate) fn page(report: &Report) -> Page {
    let mut page = Page::default();
    page.heading(1, title(report));
    page.text(headline(report));
    if let Some(warning) = unknown(report) {
        page.text(format!("**{warning}**"));
    }
    page.heading(2, "Money");
    page.push(Block::Table(money_table(report)));
    if report.work.ended() > 0 {
        page.heading(2, "How the work came out");
        page.push(Block::Table(work_table(report)));
    }
    if !report.agents.is_empty() {
        page.heading(2, "Who did it");
        page.push(Block::Table(agents_table(&report.agents)));
    }
    let together: Vec<&Crew> = report.crews.iter().collect();
    if report.run.is_none() && !together.is_empty() {
        page.heading(2, "Who worked together, by run");
        page.push(Block::Table(crews_table(&report.crews)));
    }
    if !report.kinds.is_empty() {
        page.heading(2, "What a verified task costs");
        page.push(Block::Table(kinds_table(&report.kinds)));
        page.text("Failed tries are paid for too, so they are in it. Verified: the engine ran the task's checks, and they passed.");
    }
    if let Some(parallel) = &report.parallel {
        page.heading(2, "Side by side");
        page.push(Block::Table(parallel_table(parallel)));
    }
    if let Some(savings) = &report.savings {
        page.heading(2, savings::HEADING);
        page.push(Block::Table(savings::table(savings)));
        for sentence in savings::notes(savings) {
            page.text(sentence);
        }
    }
    page
}

fn money_table(report: &Report) -> Table {
    let mut table = Table::new(&["", "tokens", "cost"]);
    for line in &report.fixed {
        table.row([line.name.clone().into(), "".into(), dollars(line.nano).into()]);
    }
    if !report.fixed.is_empty() {
        table.row(strong("Subtotal fixed", String::new(), dollars(report.fixed_nano)));
    }
    for line in report.models.iter().take(ROWS_MAX) {
        let tone = if line.cost.is_known() { Tone::Even } else { Tone::Warm };
        table.row([
            line.model.as_deref().unwrap_or("(no model named)").into(),
            tokens(line.usage.total()).into(),
            Cell::toned(money(&line.cost), tone),
        ]);
    }
    more(&mut table, report.models.len());
    table.row(strong(
        "Subtotal variable",
        tokens(report.usage.total()),
        money(&report.variable),
    ));
    let total = Money {
        known_nano: report.total_nano,
        ..report.variable
    };
    table.row(strong("Total", String::new(), money(&total)));
    if let Some(each) = &report.per_task {
        table.row([
            "Cost per task (average)".into(),
            tokens(each.tokens).into(),
            at_least(each.total_nano, each.at_least).into(),
        ]);
    }
    table.row([
        "Tasks completed".into(),
        thousands(report.work.completed).into(),
        "".into(),
    ]);
    table
}

fn strong(name: &str, tokens: String, cost: String) -> [Cell; 3] {
    [name.to_owned(), tokens, cost].map(|text| Cell::toned(text, Tone::Strong))
}

fn more(table: &mut Table, all: usize) {
    if all > ROWS_MAX {
        let cells = table.heads.len();
        let mut row = vec![Cell::toned(format!("… and {} more", all - ROWS_MAX), Tone::Dim)];
        row.resize(cells, Cell::default());
        table.rows.push(row);
    }
}

fn work_table(report: &Report) -> Table {
    let work = &report.work;
    let mut table = Table::new(&["", "tasks", "share"]);
    for (name, number) in outcomes(work) {
        let share = percent(number, work.ended());
        table.row([name.into(), thousands(number).into(), share.into()]);
    }
    table.row([
        "verified by checks".into(),
        thousands(work.verified).into(),
        percent(work.verified, work.completed).into(),
    ]);
    if work.rated > 0 {
        let rated = words::count(work.rated, "rating");
        table.row(["what people thought".into(), rated.into(), stars(work).into()]);
    }
    table
}

/// The four ways in which tasks of agents end.
fn outcomes(work: &Work) -> [(&'static str, u64); 4] {
    [
        ("with the first try", work.first_try),
        ("after one review or check", work.second_try),
        ("after more rework", work.reworked),
        ("failed", work.failed),
    ]
}

fn agents_table(agents: &[AgentLine]) -> Table {
    let all: u64 = agents
        .iter()
        .filter(|line| !line.rehearsed)
        .map(|line| line.work.ended())
        .sum();
    let rated = agents.iter().any(|line| line.work.rated > 0);
    let mut table = Table::new(&[
        "agent",
        "tasks",
        "share",
        "ok",
        "tries",
        "tokens",
        "cost",
        if rated { "stars" } else { "" },
    ]);
    for line in agents.iter().take(ROWS_MAX) {
        let (name, share) = match line.rehearsed {
            true => (format!("{} (rehearsed)", line.agent), "–".to_owned()),
            false => (line.agent.to_string(), percent(line.work.ended(), all)),
        };
        let tone = if line.cost.is_known() { Tone::Even } else { Tone::Warm };
        table.row([
            name.into(),
            thousands(line.work.ended()).into(),
            share.into(),
            percent(line.work.completed, line.work.ended()).into(),
            thousands(line.work.tries).into(),
            tokens(line.usage.total()).into(),
            Cell::toned(money(&line.cost), tone),
            if rated { stars(&line.work).into() } else { "".into() },
        ]);
    }
    more(&mut table, agents.len());
    table
}

/// `claude alone`, `claude + gemini`.
fn crew_name(crew: &Crew) -> String {
    let names: Vec<&str> = crew.agents.iter().map(|agent| agent.as_str()).collect();
    match names.as_slice() {
        [one] => format!("{one} alone"),
        several => several.join(" + "),
    }
}

fn crews_table(crews: &[Crew]) -> Table {
    let all: u64 = crews.iter().map(|crew| crew.runs).sum();
    let mut table = Table::new(&["agents", "runs", "share"]);
    for crew in crews.iter().take(ROWS_MAX) {
        let share = percent(crew.runs, all);
        table.row([crew_name(crew).into(), thousands(crew.runs).into(), share.into()]);
    }
    more(&mut table, crews.len());
    table
}

fn kinds_table(kinds: &[KindLine]) -> Table {
    let mut table = Table::new(&["model", "type of work", "verified", "cost", "each"]);
    for line in kinds.iter().take(ROWS_MAX) {
        let each = match line.per_verified_nano {
            Some(0) if line.cost.is_known() => money(&line.cost),
            Some(nano) => at_least(nano, !line.cost.is_known()),
            None => "–".to_owned(),
        };
        table.row([
            line.model.as_deref().unwrap_or("(none named)").into(),
            line.kind.as_str().into(),
            format!(
                "{} of {}",
                thousands(line.work.verified),
                thousands(line.work.completed)
            )
            .into(),
            money(&line.cost).into(),
            each.into(),
        ]);
    }
    more(&mut table, kinds.len());
    table
}

fn parallel_table(parallel: &Parallel) -> Table {
    let mut table = Table::new(&["", "time", ""]);
    let share = |ms| percent(ms, parallel.sum_ms);
    table.row([
        "all tries one after the other".into(),
        span(parallel.sum_ms).into(),
        "".into(),
    ]);
    table.row([
        "it took".into(),
        span(parallel.elapsed_ms).into(),
        share(parallel.elapsed_ms).into(),
    ]);
    table.row([
        "longest chains of tasks that need each other".into(),
        span(parallel.critical_ms).into(),
        share(parallel.critical_ms).into(),
    ]);
    table.row([
        Cell::toned("saved by working side by side", Tone::Strong),
        Cell::toned(span(parallel.saved_ms), Tone::Strong),
        share(parallel.saved_ms).into(),
    ]);
    if parallel.runs_left_out > 0 {
        let left_out = words::count(parallel.runs_left_out, "older run");
        table.row([
            Cell::toned(format!("{left_out} left out"), Tone::Dim),
            "".into(),
            "".into(),
        ]);
    }
    table
}

/// As a document.
pub(crate) fn document(report: &Report) -> Result<Value, Failure> {
    serde_json::to_value(report).map_err(|error| {
        Failure::new(
            exit::STATE_FAILED,
            format!("the report cannot be written as JSON: {error}"),
        )
    })
}

/// The sums behind a report as CSV (RFC 4180). Of a cost that nobody knows the field is empty, never 0.
pub(crate) fn csv(rows: &Rows) -> String {
    let mut text = String::from(
        "day,agent,rehearsed,model,account,kind,entries,input,cache_read,cache_write,output,reasoning,tokens_source,\
         known_usd,included_entries,unknown_entries,assumed_usd,tries,wall_ms,first_try,second_try,reworked,failed,\
         verified,rated,stars\r\n",
    );
    for (key, tally) in &rows.tallies {
        let cost = Money::of(tally);
        let usage = &tally.usage;
        let known = match (cost.known_nano, cost.unknown_entries) {
            (0, 1..) => String::new(),
            (nano, _) => usd(nano),
        };
        let source = match usage.source {
            wheelhouse_core::usage::UsageSource::Reported => "reported",
            wheelhouse_core::usage::UsageSource::Estimated => "estimated",
        };
        let fields = [
            key.day.to_string(),
            field(key.agent.as_str()),
            rows.stand_ins.contains(&key.agent).to_string(),
            field(key.model.as_deref().unwrap_or("")),
            field(key.account.as_deref().unwrap_or("")),
            field(&key.kind),
            tally.entries.to_string(),
            usage.input.to_string(),
            usage.cache_read.to_string(),
            usage.cache_write.to_string(),
            usage.output.to_string(),
            usage.reasoning.to_string(),
            if tally.entries > 0 { source } else { "" }.to_owned(),
            known,
            cost.included_entries.to_string(),
            cost.unknown_entries.to_string(),
            usd(cost.assumed_nano),
            tally.tries.to_string(),
            tally.wall_ms.to_string(),
            tally.first_try.to_string(),
            tally.second_try.to_string(),
            tally.reworked.to_string(),
            tally.failed.to_string(),
            tally.verified.to_string(),
            tally.rated.to_string(),
            tally.stars.to_string(),
        ];
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
    text
}

fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

/// Text in a field. What a spreadsheet would take for a formula gets a quote before it.
fn field(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests;
