//! `economy`: what the layers of context left out of a run's prompts, from the receipts in its history, beside what the
//! run consumed. Receipts are payload reductions, not savings, and are not added over layers; the page says why.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wheelhouse_context::receipt::{Layer, REPORT_KIND, Receipt};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::store::Reader;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::state;
use crate::terminal::plain;

/// Events read at once.
const PAGE: u32 = 1_000;
/// Receipts that are shown one by one with `--receipts` before the rest is counted.
const RECEIPTS_MAX: usize = 1_000;

/// All uses of one layer.
#[derive(Clone, Copy, Default)]
struct Uses {
    count: u64,
    would: u64,
    sent: u64,
}

/// Prints the account of a run.
pub(crate) fn economy(app: &App, args: &args::Economy) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let run = state::run(reader.as_mut(), &args.run)?;
    let receipts = receipts(reader.as_mut(), run.id)?;
    let mut layers: BTreeMap<Layer, Uses> = BTreeMap::new();
    for (_, receipt) in &receipts {
        let uses = layers.entry(receipt.layer).or_default();
        uses.count += 1;
        uses.would += receipt.would_tokens;
        uses.sent += receipt.sent_tokens;
    }
    if app.terminal.json {
        let layers: Vec<Value> = layers
            .iter()
            .map(|(layer, uses)| {
                json!({"layer": layer.name(), "uses": uses.count, "would_tokens": uses.would, "sent_tokens": uses.sent})
            })
            .collect();
        let each: Vec<Value> = receipts
            .iter()
            .map(|(task, receipt)| json!({"task": task, "receipt": receipt}))
            .collect();
        let usage = &run.usage;
        app.terminal.print_json(&json!({
            "run": run.id.to_string(),
            "tokenizer": "o200k_base",
            "layers": layers,
            "receipts": each,
            "usage": {"input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write,
                      "output": usage.output, "reasoning": usage.reasoning, "source": usage.source},
            "cost_nano": run.cost_nano,
            "cost_unknown": run.cost_unknown,
        }))?;
        return Ok(exit::OK);
    }
    let mut text = format!("{} {}\n", run.id, plain(&run.name));
    if layers.is_empty() {
        text.push_str("no layer had anything to leave out of its prompts\n");
    } else {
        text.push_str(&format!(
            "{:<18} {:>5} {:>12} {:>12} {:>7}\n",
            "layer", "uses", "would send", "sent", "change"
        ));
        for (layer, uses) in &layers {
            text.push_str(&format!(
                "{:<18} {:>5} {:>12} {:>12} {:>7}\n",
                layer.name(),
                uses.count,
                uses.would,
                uses.sent,
                change(uses)
            ));
        }
        text.push_str("tokens of o200k_base, text alone; layers overlap, so nothing here is to be added\n");
    }
    let usage = &run.usage;
    text.push_str(&format!(
        "consumed: {} input, {} read from a cache, {} written to it, {} output, {} reasoning\n",
        usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning
    ));
    if args.receipts {
        for (task, receipt) in receipts.iter().take(RECEIPTS_MAX) {
            text.push_str(&line(task.as_deref(), receipt));
        }
        let more = receipts.len().saturating_sub(RECEIPTS_MAX);
        if more > 0 {
            text.push_str(&format!("and {more} more; `--json` has them all\n"));
        }
    } else if !receipts.is_empty() {
        app.terminal
            .say("each of them: `--receipts`; what they mean: docs/economy.md");
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}

/// Every receipt in the run's history, with the name of its task.
fn receipts(reader: &mut dyn Reader, run: RunId) -> Result<Vec<(Option<String>, Receipt)>, Failure> {
    let mut receipts: Vec<(Option<String>, Receipt)> = Vec::new();
    let mut after = Cursor(0);
    let mut keys = BTreeMap::new();
    loop {
        let page = reader.events(after, Some(run), PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.cursor;
        for event in page {
            let Happened::AttemptReported { kind, text, .. } = &event.happened else {
                continue;
            };
            let Some(receipt) = Some(text)
                .filter(|_| kind == REPORT_KIND)
                .and_then(|text| Receipt::parse(text))
            else {
                continue;
            };
            let key = match event.task {
                Some(task) => match keys.get(&task) {
                    Some(key) => Some(String::clone(key)),
                    None => {
                        let key = reader.task(task)?.map(|view| view.key.to_string());
                        keys.extend(key.clone().map(|key| (task, key)));
                        key
                    }
                },
                None => None,
            };
            receipts.push((key, receipt));
        }
    }
    Ok(receipts)
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
    line.push('\n');
    line
}
