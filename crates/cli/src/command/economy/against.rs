//! Two runs of the same plan, with and without: what the second really took against the first, task by task.

use serde_json::json;
use wheelhouse_context::account::{Measured, Pair, compare};
use wheelhouse_context::cache::Bill;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::outcome::Outcome as Ended;
use wheelhouse_core::store::Reader;

use super::PAGE;
use crate::app::App;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::state;

/// Compares `treatment` with `baseline` over the tasks that both have.
pub(crate) fn against(app: &App, treatment: &str, baseline: &str) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let treatment = state::run(reader.as_mut(), treatment)?;
    let baseline = state::run(reader.as_mut(), baseline)?;
    let with = measured(reader.as_mut(), treatment.id)?;
    let without = measured(reader.as_mut(), baseline.id)?;
    let pair = |(key, taken, known): &(String, Measured, bool)| {
        let (_, base, base_known) = without.iter().find(|(other, ..)| other == key)?;
        let pair = Pair {
            baseline: *base,
            treatment: *taken,
        };
        Some((pair, *known && *base_known))
    };
    let pairs: Vec<(Pair, bool)> = with.iter().filter_map(pair).collect();
    if pairs.is_empty() {
        let message = format!("{} and {} have no task in common", treatment.id, baseline.id);
        return Err(Failure::new(exit::NOT_FOUND, message)
            .hint("run the same plan twice, once with `--set context.off=LAYER`, and compare the two"));
    }
    let unpriced = pairs.iter().filter(|(_, known)| !known).count();
    let all: Vec<Pair> = pairs.iter().map(|(pair, _)| *pair).collect();
    let difference = compare(&all);
    if app.terminal.json {
        app.terminal.print_json(&json!({
            "run": treatment.id.to_string(), "against": baseline.id.to_string(),
            "difference": difference, "cost_unknown": unpriced,
        }))?;
        return Ok(exit::OK);
    }
    let (low, high) = difference.cost_bounds_nano;
    let usd = |nano: i64| format!("{:+.6}", nano as f64 / 1e9);
    let mut text = format!(
        "{} against {}: {} tasks that both have, every try of them included\n",
        treatment.id, baseline.id, difference.pairs
    );
    for (what, number) in [
        ("input", difference.input),
        ("cache read", difference.read),
        ("cache write", difference.write),
        ("output", difference.output),
        ("milliseconds", difference.wall_ms),
        ("succeeded", difference.succeeded),
    ] {
        text.push_str(&format!("{what:<13} {number:>+12}\n"));
    }
    text.push_str(&format!(
        "{:<13} {:>12}  (95 of 100 samples: {} to {})\n",
        "USD",
        usd(difference.cost_nano),
        usd(low),
        usd(high)
    ));
    app.terminal.print(&text)?;
    if unpriced > 0 {
        app.terminal.warn(&format!(
            "the cost of {unpriced} pairs is unknown and not in the dollars; `wheelhouse prices` says what is priced"
        ));
    }
    Ok(exit::OK)
}

/// What each task took over all its tries, and whether all of its cost is known.
fn measured(reader: &mut dyn Reader, run: RunId) -> Result<Vec<(String, Measured, bool)>, Failure> {
    let mut all = Vec::new();
    loop {
        let page = reader.tasks(run, all.len() as u64, PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        for task in page {
            let mut measured = Measured::default();
            let mut known = true;
            for attempt in reader.attempts(task.id)? {
                let usage = attempt.usage;
                let nano = attempt.cost.and_then(|cost| cost.nano());
                known &= nano.is_some();
                measured.bill = measured.bill.plus(Bill {
                    calls: 1,
                    input: usage.input,
                    read: usage.cache_read,
                    write: usage.cache_write,
                    output: usage.output + usage.reasoning,
                    cost_nano: nano.unwrap_or(0),
                });
                let ended = attempt
                    .ended_at
                    .map_or(0, |at| at.0.saturating_sub(attempt.started_at.0));
                measured.wall_ms += ended;
                measured.succeeded = matches!(attempt.outcome, Some(Ended::Succeeded));
            }
            all.push((task.key.to_string(), measured, known));
        }
    }
}
