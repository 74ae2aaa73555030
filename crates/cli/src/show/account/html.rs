//! The report as one HTML page: styles and plots inside, nothing fetched, no script, readable without colour and on paper.

use std::fmt::Write;

use wheelhouse_core::report::Report;
use wheelhouse_core::time::Millis;

use super::super::doc::{Table, Tone};
use super::chart::{Column, Part, bars, columns, divided, escape};
use super::{
    agents_table, crew_name, crews_table, headline, kinds_table, money, money_table, outcomes, parallel_table, percent,
    savings, span, stars, title, tokens, unknown, work_table,
};

/// How many bars a plot has.
const BARS_MAX: usize = 12;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn html(report: &Report, now: Millis) -> String {
    let title = title(report);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{0}</title><style>{STYLE}</style></head><body><main><h1>{0}</h1><p class=\"lead\">{1}</p>",
        escape(&title),
        escape(&headline(report))
    );
    if let Some(warning) = unknown(report) {
        let _ = write!(page, "<p class=\"warning\">{}</p>", escape(&warning));
    }
    page.push_str(&tiles(report));
    section(
        &mut page,
        "Money",
        &[by_day(report), by_model(report), table(&money_table(report))],
    );
    if report.work.ended() > 0 {
        section(
            &mut page,
            "How the work came out",
            &[came_out(report), table(&work_table(report))],
        );
    }
    if !report.agents.is_empty() {
        section(
            &mut page,
            "Who did it",
            &[by_agent(report), table(&agents_table(&report.agents))],
        );
    }
    if report.run.is_none() && !report.crews.is_empty() {
        section(
            &mut page,
            "Who worked together, by run",
            &[by_crew(report), table(&crews_table(&report.crews))],
        );
    }
    if !report.kinds.is_empty() {
        let note = "<p>Failed tries are paid for too, so they are in it. Verified: the engine ran the task's checks, and they \
                    passed.</p>";
        let kinds = table(&kinds_table(&report.kinds));
        section(&mut page, "What a verified task costs", &[kinds, note.to_owned()]);
    }
    if let Some(parallel) = &report.parallel {
        let part = |name: &str, ms, color| Part {
            name: name.to_owned(),
            value: ms,
            said: span(ms),
            color,
        };
        let plot = bars(&[
            part("one after the other", parallel.sum_ms, 1),
            part("it took", parallel.elapsed_ms, 2),
            part("longest chains", parallel.critical_ms, 3),
        ]);
        section(&mut page, "Side by side", &[plot, table(&parallel_table(parallel))]);
    }
    if let Some(saved) = &report.savings {
        let notes = savings::notes(saved);
        let notes: String = notes.iter().map(|note| format!("<p>{}</p>", escape(note))).collect();
        section(&mut page, savings::HEADING, &[table(&savings::table(saved)), notes]);
    }
    let _ = writeln!(
        page,
        "<footer>Written by wheelhouse {} at {}. Days are UTC days. Money nobody knows is unknown, not zero.</footer></main></body></html>",
        env!("CARGO_PKG_VERSION"),
        crate::json::moment(now)
    );
    page
}

fn section(page: &mut String, heading: &str, parts: &[String]) {
    let _ = write!(
        page,
        "<section><h2>{}</h2>{}</section>",
        escape(heading),
        parts.concat()
    );
}

/// The numbers people look for first.
fn tiles(report: &Report) -> String {
    let work = &report.work;
    let each = report
        .per_task
        .map_or("–".to_owned(), |each| super::at_least(each.total_nano, each.at_least));
    let total = wheelhouse_core::report::Money {
        known_nano: report.total_nano,
        ..report.variable
    };
    let saved = report
        .parallel
        .map_or("–".to_owned(), |parallel| span(parallel.saved_ms));
    let tiles = [
        ("total", money(&total)),
        ("a task", each),
        ("tasks completed", super::thousands(work.completed)),
        ("first try", percent(work.first_try, work.ended())),
        ("verified", percent(work.verified, work.completed)),
        ("saved side by side", saved),
        ("rating", stars(work)),
    ];
    let tile =
        |(name, value): &(&str, String)| format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    format!(
        "<div class=\"tiles\">{}</div>",
        tiles.iter().map(tile).collect::<String>()
    )
}

fn by_day(report: &Report) -> String {
    if report.days.len() < 2 {
        return String::new();
    }
    let of_days = |value: fn(&wheelhouse_core::report::DayLine) -> u64,
                   said: fn(&wheelhouse_core::report::DayLine) -> String| {
        let column = |line: &wheelhouse_core::report::DayLine| Column {
            name: line.day.to_string(),
            value: value(line),
            said: said(line),
            is_least: !line.cost.is_known(),
        };
        report.days.iter().map(column).collect::<Vec<_>>()
    };
    let cost = of_days(|line| line.cost.known_nano, |line| money(&line.cost));
    let mut used = of_days(|line| line.tokens, |line| format!("{} tokens", tokens(line.tokens)));
    // What is unknown is the money; the tokens were counted.
    used.iter_mut().for_each(|column| column.is_least = false);
    let mut plots = format!("<h3>Cost by day</h3>{}", columns("Cost by day", &cost));
    if report.days.iter().any(|line| !line.cost.is_known()) {
        plots.push_str("<p class=\"legend\"><span><i class=\"hatched\"></i>of these days something is unknown: at least that much</span></p>");
    }
    let _ = write!(plots, "<h3>Tokens by day</h3>{}", columns("Tokens by day", &used));
    plots
}

fn by_model(report: &Report) -> String {
    let part = |(place, line): (usize, &wheelhouse_core::report::ModelLine)| Part {
        name: line.model.clone().unwrap_or_else(|| "(no model named)".to_owned()),
        value: line.usage.total(),
        said: format!("{} tokens, {}", tokens(line.usage.total()), money(&line.cost)),
        color: place % 6 + 1,
    };
    let parts: Vec<Part> = report.models.iter().take(BARS_MAX).enumerate().map(part).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("<h3>By model</h3>{}", bars(&parts)),
    }
}

fn came_out(report: &Report) -> String {
    let work = &report.work;
    let colors = [2, 3, 4, 5];
    let parts: Vec<Part> = outcomes(work)
        .into_iter()
        .zip(colors)
        .map(|((name, value), color)| Part {
            name: name.to_owned(),
            value,
            said: percent(value, work.ended()),
            color,
        })
        .collect();
    divided(&parts)
}

fn by_agent(report: &Report) -> String {
    let real = report.agents.iter().filter(|line| !line.rehearsed);
    let all: u64 = real.clone().map(|line| line.work.ended()).sum();
    let part = |(place, line): (usize, &wheelhouse_core::report::AgentLine)| Part {
        name: line.agent.to_string(),
        value: line.work.ended(),
        said: format!(
            "{} ({})",
            super::thousands(line.work.ended()),
            percent(line.work.ended(), all)
        ),
        color: place % 6 + 1,
    };
    bars(&real.take(BARS_MAX).enumerate().map(part).collect::<Vec<_>>())
}

fn by_crew(report: &Report) -> String {
    let part = |(place, crew): (usize, &wheelhouse_core::report::Crew)| Part {
        name: crew_name(crew),
        value: crew.runs,
        said: super::thousands(crew.runs),
        color: place % 6 + 1,
    };
    divided(&report.crews.iter().take(6).enumerate().map(part).collect::<Vec<_>>())
}

fn table(table: &Table) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>");
    if table.heads.iter().any(|head| !head.is_empty()) {
        html.push_str("<thead><tr>");
        for head in &table.heads {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escape(head));
        }
        html.push_str("</tr></thead>");
    }
    html.push_str("<tbody>");
    for row in &table.rows {
        html.push_str("<tr>");
        for cell in row {
            let class = match cell.tone {
                Tone::Strong => " class=\"strong\"",
                Tone::Warm | Tone::Bad => " class=\"warm\"",
                Tone::Dim => " class=\"dim\"",
                Tone::Even | Tone::Good | Tone::Live => "",
            };
            let _ = write!(html, "<td{class}>{}</td>", escape(&cell.text));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    html
}
