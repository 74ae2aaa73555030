//! `economy`: what the layers of context left out of a run's prompts, from the receipts in its history, beside what the
//! run consumed. Receipts are payload reductions, not savings, and are not added over layers; the page says why.

mod against;
mod replay;

use std::collections::BTreeMap;

use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_server::face::economy::{self, Account, Uses};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::Outcome;
use crate::show::doc::Table;
use crate::show::words;
use crate::state;
use crate::terminal::plain;

/// Receipts that are shown one by one with `--receipts` before the rest is counted.
const RECEIPTS_MAX: usize = 1_000;
/// Events and tasks read at once.
const PAGE: u32 = 1_000;

/// Prints the account of a run.
pub(crate) fn economy(app: &App, args: &args::Economy) -> Outcome {
    if args.replay || args.session.is_some() {
        return replay::replay(app, args);
    }
    let name = args.run.as_deref().unwrap_or_default();
    if let Some(baseline) = &args.against {
        return against::against(app, name, baseline);
    }
    let mut reader = state::expect(&app.place)?;
    let run = state::run(reader.as_mut(), name)?;
    let account = economy::account(reader.as_mut(), run)?;
    if app.terminal.json {
        app.terminal.print_json(&account.document())?;
        return Ok(exit::OK);
    }
    let Account {
        run,
        layers,
        receipts,
        soft_lines,
        audits,
    } = account;
    let surface = app.terminal.out;
    let mut text = format!("{} {}\n", run.id, surface.paint.strong(&plain(&run.name)));
    if layers.is_empty() {
        text.push_str("no layer had anything to leave out of its prompts\n");
    } else {
        for line in table(&layers).text_of(surface.width, surface.paint) {
            text.push_str(&format!("{line}\n"));
        }
        let what = "tokens of o200k_base, text alone; layers overlap, so nothing here is to be added";
        text.push_str(&surface.broken(what));
    }
    let passed = soft_lines.iter().filter(|one| one.passed).count();
    if !soft_lines.is_empty() {
        let had = soft_lines.len() - passed;
        text.push_str(&format!("soft lines: {had} tries had one, {passed} passed it\n"));
    }
    if !audits.is_empty() {
        let missed = audits.iter().filter(|one| one.missed == Some(true)).count();
        text.push_str(&format!(
            "not needed and done all the same: {}; skipping {missed} of them would have missed something\n",
            audits.len()
        ));
    }
    let usage = &run.usage;
    let [input, read, write, output, reasoning] = [
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
    ]
    .map(words::thousands);
    let consumed = format!(
        "consumed: {input} input, {read} read from a cache, {write} written to it, {output} output, {reasoning} reasoning"
    );
    text.push_str(&surface.broken(&consumed));
    if args.receipts {
        for (task, receipt) in receipts.iter().take(RECEIPTS_MAX) {
            text.push_str(&surface.broken(&line(task.as_deref(), receipt)));
        }
        let more = receipts.len().saturating_sub(RECEIPTS_MAX);
        if more > 0 {
            text.push_str(&format!("and {more} more; `--json` has them all\n"));
        }
        for one in soft_lines.iter().take(RECEIPTS_MAX) {
            let task = plain(one.task.as_deref().unwrap_or("?"));
            text.push_str(&format!("{task}: soft line: {}\n", plain(&one.said)));
        }
        for one in &audits {
            let task = plain(one.task.as_deref().unwrap_or("?"));
            text.push_str(&format!("{task}: {}: {}\n", plain(&one.why), plain(&one.found)));
        }
    } else if !(receipts.is_empty() && soft_lines.is_empty() && audits.is_empty()) {
        app.terminal
            .say("each of them: `--receipts`; what they mean: docs/economy.md");
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}

fn table(layers: &BTreeMap<Layer, Uses>) -> Table {
    let mut table = Table::new(&["layer", "uses", "would send", "sent", "change"]);
    for (layer, uses) in layers {
        table.row([
            layer.name().into(),
            uses.count.to_string().into(),
            words::thousands(uses.would).into(),
            words::thousands(uses.sent).into(),
            change(uses).into(),
        ]);
    }
    table
}

fn change(uses: &Uses) -> String {
    if uses.would == 0 {
        return format!("+{}", uses.sent);
    }
    let percent = (uses.sent as f64 / uses.would as f64 - 1.0) * 100.0;
    format!("{percent:+.0} %")
}

fn line(task: Option<&str>, receipt: &Receipt) -> String {
    let mut line = format!(
        "{}: {} of {}: {} -> {}",
        plain(task.unwrap_or("?")),
        receipt.layer.name(),
        plain(&receipt.subject),
        receipt.would_tokens,
        receipt.sent_tokens
    );
    for left in &receipt.left_out {
        line.push_str(&format!(
            "; without {} ({}, {})",
            plain(&left.what),
            plain(&left.why),
            left.tokens
        ));
    }
    if let Some(note) = &receipt.note {
        line.push_str(&format!("; {}", plain(note)));
    }
    line
}
