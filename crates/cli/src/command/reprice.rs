//! `prices reprice`: a month of the ledger priced anew by the table as it is now, each entry by its own day, beside what
//! was booked. Nothing is written: the ledger's entries are never changed.

use serde_json::{Value, json};
use wheelhouse_core::money::show_usd;
use wheelhouse_core::price::again::{Again, Repricing, Row, Sums};
use wheelhouse_core::report::Period;

use super::report::{month_named, month_of};
use crate::app::App;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::pricelist::{self, today};
use crate::show::doc::{Block, Cell, Page, Table, Tone};
use crate::show::words;
use crate::state;

/// How many entries are read at once.
const ENTRIES: u32 = 10_000;

/// Prices anew and shows it.
pub(crate) fn reprice(app: &App, month: Option<&str>) -> Outcome {
    let (period, again) = anew(app, month)?;
    if app.terminal.json {
        app.terminal.print_json(&document(period, &again))?;
        return Ok(exit::OK);
    }
    let out = &app.terminal.out;
    app.terminal
        .print(&page(period, &again).text_of(out.width, out.paint))?;
    Ok(exit::OK)
}

/// The same for programs.
pub(crate) fn asked(app: &App, month: Option<&str>) -> Result<Value, Failure> {
    let (period, again) = anew(app, month)?;
    Ok(document(period, &again))
}

fn anew(app: &App, month: Option<&str>) -> Result<(Period, Again), Failure> {
    let period = month.map_or_else(|| Ok(month_of(today())), month_named)?;
    let table = pricelist::table(&app.place)?;
    let mut reader = state::expect(&app.place)?;
    let mut repricing = Repricing::new(&table, period.first, period.last);
    let mut after = 0;
    loop {
        let entries = reader.ledger(after, ENTRIES)?;
        let Some(last) = entries.last() else { break };
        after = last.id;
        entries.iter().for_each(|entry| repricing.add(entry));
    }
    Ok((period, repricing.end()))
}

fn document(period: Period, again: &Again) -> Value {
    let mut document = json!(again);
    document["period"] = json!(period);
    document
}

fn page(period: Period, again: &Again) -> Page {
    let mut page = Page::default();
    page.heading(
        1,
        format!("{} to {}, priced anew by the table of today", period.first, period.last),
    );
    if again.rows.is_empty() {
        page.text("The ledger has no entry in it that is paid for by the token.");
    } else {
        let mut table = Table::new(&["model", "price from", "days", "entries", "booked", "anew", "more"]);
        for row in &again.rows {
            table.row(cells(row));
        }
        table.row(sums("in all".to_owned(), String::new(), String::new(), &again.total));
        page.push(Block::Table(table));
    }
    let total = &again.total;
    for (number, what) in [
        (total.booked_unknown, "was booked without a known cost"),
        (
            total.again_unknown,
            "has no price or no tokens, so nobody knows what it costs anew",
        ),
        (
            again.included_entries,
            "was covered by a subscription, and is not priced",
        ),
    ] {
        if number > 0 {
            page.text(format!("Of {}: {what}.", counted(number)));
        }
    }
    page.text(
        "`more` compares the entries that are known both times. Entries keep what was booked. Each is the sum of many \
         requests, so a price that depends on the length of one request is not seen here.",
    );
    page
}

fn counted(number: u64) -> String {
    match number {
        1 => "1 entry".to_owned(),
        more => format!("{} entries", words::thousands(more)),
    }
}

fn cells(row: &Row) -> [Cell; 7] {
    let from = match (row.has_price, row.price_from) {
        (false, _) => "no price".to_owned(),
        (true, Some(from)) => from.to_string(),
        (true, None) => "ever".to_owned(),
    };
    let days = match (row.first.civil().2, row.last.civil().2) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    };
    let model = row.model.clone().unwrap_or_else(|| "not named".to_owned());
    sums(model, from, days, &row.sums)
}

fn sums(model: String, from: String, days: String, sums: &Sums) -> [Cell; 7] {
    let all_unknown = |unknown: u64| unknown == sums.entries;
    let money = |nano: u64, unknown: u64| match (all_unknown(unknown), unknown) {
        (true, _) => "unknown".to_owned(),
        (false, 0) => show_usd(nano),
        (false, unknown) => format!("{} + {unknown} unknown", show_usd(nano)),
    };
    let more = match (sums.compared, sums.difference_nano) {
        (0, _) => "–".to_owned(),
        (_, nano) if nano < 0 => format!("-{}", show_usd(nano.unsigned_abs())),
        (_, nano) => show_usd(nano.unsigned_abs()),
    };
    let tone = if sums.difference_nano == 0 {
        Tone::Dim
    } else {
        Tone::Warm
    };
    [
        Cell::from(model),
        Cell::from(from),
        Cell::from(days),
        Cell::from(words::thousands(sums.entries)),
        Cell::from(money(sums.booked_nano, sums.booked_unknown)),
        Cell::from(money(sums.again_nano, sums.again_unknown)),
        Cell::toned(more, tone),
    ]
}
