//! `prices`: what models cost on a day, and reading newer tables.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};
use wheelhouse_core::day::Day;
use wheelhouse_core::price::{Match, Price, Rates, Table, import};

use super::reprice;
use crate::app::App;
use crate::args::{self, PricesAction};
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::place::write_private;
use crate::pricelist::{self, today};
use crate::show::doc::{Cell, Page, Tone};
use crate::show::{doc, words};

/// How large a table may be, in bytes. The largest public one has two million.
const FILE_MAX: u64 = 64 << 20;

/// Shows or reads prices.
pub(crate) fn prices(app: &App, args: &args::Prices) -> Outcome {
    match &args.action {
        Some(PricesAction::Update { file, from }) => return update(app, file, from.as_deref()),
        Some(PricesAction::Reprice { month }) => return reprice::reprice(app, month.as_deref()),
        None => {}
    }
    let table = pricelist::table(&app.place)?;
    let day = args.on.as_deref().map_or_else(|| Ok(today()), pricelist::day)?;
    let rows = rows(&table, args.model.as_deref(), day, args.all)?;
    if app.terminal.json {
        app.terminal.print_json(&whole(&table, &rows, day))?;
        return Ok(exit::OK);
    }
    let page = page(&table, &rows, day, args.all);
    app.terminal
        .print(&page.text_of(app.terminal.out.width, app.terminal.out.paint))?;
    Ok(exit::OK)
}

/// What models cost today, for programs.
pub(crate) fn asked(app: &App, model: Option<&str>) -> Result<Value, Failure> {
    let table = pricelist::table(&app.place)?;
    let day = today();
    let rows = rows(&table, model, day, false)?;
    Ok(whole(&table, &rows, day))
}

fn rows<'t>(table: &'t Table, model: Option<&str>, day: Day, all: bool) -> Result<Vec<&'t Price>, Failure> {
    let wanted = model.unwrap_or_default().to_lowercase();
    let mut rows: Vec<&Price> = table
        .rows()
        .iter()
        .filter(|row| row.model.to_lowercase().contains(&wanted) || row.provider == wanted)
        .filter(|row| all || is_of_day(table, row, day))
        .collect();
    // A name in another dress (`anthropic/claude-haiku-4-5-20251001`) leads to its row as it does for the ledger.
    if rows.is_empty() {
        rows.extend(table.find(&wanted, day).price());
    }
    if rows.is_empty() {
        let names: Vec<String> = table.rows().iter().map(|row| row.model.clone()).collect();
        return Err(
            Failure::not_found("price of a model", model.unwrap_or_default(), &names)
                .hint("`wheelhouse prices` lists all, `wheelhouse prices update FILE` reads a newer table"),
        );
    }
    rows.sort_by(|a, b| (&a.provider, &a.model, a.from).cmp(&(&b.provider, &b.model, b.from)));
    Ok(rows)
}

fn whole(table: &Table, rows: &[&Price], day: Day) -> Value {
    let documents: Vec<Value> = rows.iter().map(|row| document(row, day)).collect();
    json!({ "as_of": table.as_of, "day": day, "unit": "nano-dollars per million tokens", "prices": documents })
}

/// Whether this row is the one that counts for its model on that day.
fn is_of_day(table: &Table, row: &Price, day: Day) -> bool {
    matches!(table.find(&row.model, day), Match::Found(found) if std::ptr::eq(found, row))
}

fn document(row: &Price, day: Day) -> Value {
    let mut document = json!(row);
    document["retired"] = row.is_retired(day).into();
    document
}

fn page(table: &Table, rows: &[&Price], day: Day, all: bool) -> Page {
    let mut page = Page::default();
    let as_of = table.as_of.map(|day| day.to_string()).unwrap_or_default();
    let of_day = if all {
        "every row".to_owned()
    } else {
        format!("on {day}")
    };
    page.heading(1, format!("Dollars per million tokens, {of_day} (looked up {as_of})"));
    let mut shown = doc::Table::new(&["model", "input", "output", "read", "write", "note"]);
    for row in rows {
        let rates = &row.rates;
        let optional = |rate: Option<u64>| rate.map_or_else(|| "–".to_owned(), usd);
        shown.row([
            Cell::from(row.model.clone()),
            usd(rates.input).into(),
            usd(rates.output).into(),
            optional(rates.cache_read).into(),
            optional(rates.cache_write).into(),
            Cell::toned(note(row, day, all), Tone::Dim),
        ]);
    }
    page.push(doc::Block::Table(shown));
    let mut sources: Vec<&str> = rows.iter().map(|row| row.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    page.text(format!("read and write: the cache. From: {}.", sources.join("; ")));
    page
}

fn note(row: &Price, day: Day, all: bool) -> String {
    let mut notes = Vec::new();
    for cliff in &row.cliffs {
        let Rates { input, output, .. } = cliff.rates;
        let above = words::thousands(cliff.above_tokens / 1_000);
        notes.push(format!("above {above}K: {} / {}", usd(input), usd(output)));
    }
    match row.retires {
        Some(at) if at <= day => notes.push(format!("retired {at}")),
        Some(at) => notes.push(format!("retires {at}")),
        None => {}
    }
    match (row.from, row.to) {
        (Some(from), _) if all => notes.push(format!("from {from}")),
        (_, Some(to)) => notes.push(format!("until {to}")),
        _ => {}
    }
    notes.join("; ")
}

/// `2.50`, and more places where there are more.
fn usd(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    let end = text.trim_end_matches('0').len();
    let least = text.find('.').map_or(end, |dot| dot + 3);
    text[..end.max(least)].to_owned()
}

fn update(app: &App, file: &Path, from: Option<&str>) -> Outcome {
    let from = from.map_or_else(|| Ok(today()), pricelist::day)?;
    let text = read(file)?;
    let read = import::read(&text, from).map_err(|error| {
        Failure::usage(format!("{}: {error}", file.display())).hint(
            "public tables: `model_prices_and_context_window.json` of LiteLLM, `data.json` of genai-prices, `api.json` of models.dev",
        )
    })?;
    let before = pricelist::imported(&app.place)?.unwrap_or_default();
    // What was read before for the same models and the same day is the same statement, made again.
    let again = |row: &&Price| !read.table.rows().iter().any(|new| is_same_statement(row, new));
    let kept: Vec<Price> = before.rows().iter().filter(again).cloned().collect();
    let as_of = read.table.as_of.max(before.as_of);
    let table = Table::new(as_of, kept).with(&read.table);
    app.place.create()?;
    let path = app.place.prices();
    write_private(&path, table.write().as_bytes())
        .map_err(|error| Failure::io("write the prices to", &path, &error))?;
    let (rows, left_out) = (read.table.rows().len(), read.left_out);
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "form": read.form.name(), "from": from, "rows": rows, "left_out": left_out, "path": path.display().to_string(),
        }))?;
        return Ok(exit::OK);
    }
    let without = match left_out {
        0 => String::new(),
        number => format!(
            "; {} without a price per token left out",
            words::thousands(number as u64)
        ),
    };
    app.terminal.print(&format!(
        "read {} of {}, true from {from} on{without}\nwhat was used before that day keeps its price; written to {}\n",
        words::count(rows as u64, "price"),
        read.form.name(),
        app.place.short(&path)
    ))?;
    Ok(exit::OK)
}

fn is_same_statement(one: &Price, other: &Price) -> bool {
    (&one.model, &one.provider, one.from) == (&other.model, &other.provider, other.from)
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: &std::io::Error| Failure::io("read", file, error);
    let mut text = String::new();
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|error| failed(&error))?)
    };
    reader
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > FILE_MAX {
        return Err(Failure::usage(format!(
            "{} is larger than {} MiB and surely no table of prices",
            file.display(),
            FILE_MAX >> 20
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::usd;

    #[test]
    fn rates_show_cents_and_whatever_is_below_them() {
        assert_eq!(usd(3_000_000_000), "3.00");
        assert_eq!(usd(62_500_000), "0.0625");
        assert_eq!(usd(100_000_000), "0.10");
    }
}
