//! Recorded sessions played again with layers on and off, at the prices of a model, with and without its prompt cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wheelhouse_context::account::Difference;
use wheelhouse_context::cache::{Bill, Cache};
use wheelhouse_context::count::{Calibration, SAMPLE_KIND, Sample};
use wheelhouse_context::replay::{Account, Session, Step, account, read};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::price::Price;
use wheelhouse_engine::log_path;

use super::PAGE;
use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::pricelist;
use crate::state;

/// The longest recording that is read, in bytes.
const FILE_MAX: u64 = 1 << 30;
/// The model when none is named: a middle one with a cache.
const MODEL: &str = "claude-sonnet-5-5";

/// Plays the recording in a file, or those that the tries of a run left in their logs.
pub(crate) fn replay(app: &App, args: &args::Economy) -> Outcome {
    let mut sessions = Vec::new();
    let mut passed_over = 0;
    for path in recordings(app, args)? {
        let found = read::read(&text(&path)?);
        sessions.extend(found.sessions);
        passed_over += found.passed_over;
    }
    if sessions.is_empty() {
        let message = "there is no recorded session in it: no message of an assistant was found";
        return Err(Failure::new(exit::NOT_FOUND, message)
            .hint("chat messages (`role`, `content`, `tool_calls`) and the stream of Claude Code are read; see docs/economy.md"));
    }
    let table = pricelist::table(&app.place)?;
    let model = args.model.as_deref().unwrap_or(MODEL);
    let Some(price) = table.find(model, pricelist::today()).price() else {
        let names: Vec<String> = table.rows().iter().map(|row| row.model.clone()).collect();
        return Err(Failure::not_found("price of a model", model, &names).hint("`wheelhouse prices` lists all"));
    };
    let calibration = calibration(app)?;
    let ratio = calibration.ratio(model);
    let steps = [
        Step::Encoding,
        Step::Reduction(args.cap),
        Step::Rolling(args.keep),
        Step::Batch(args.keep, 4_000),
    ];
    let off = Cache {
        on: false,
        ..Cache::default()
    };
    let warm = account(&sessions, &steps, price, Cache::default(), ratio.permille);
    let cold = account(&sessions, &steps, price, off, ratio.permille);
    let played = Played {
        sessions: &sessions,
        price,
        warm: &warm,
        cold: &cold,
    };
    if app.terminal.json {
        let mut document = document(&played);
        document["passed_over"] = json!(passed_over);
        document["permille"] = json!(ratio.permille);
        document["ratio_samples"] = json!(ratio.samples);
        app.terminal.print_json(&document)?;
        return Ok(exit::OK);
    }
    app.terminal.print(&page(&played))?;
    app.terminal.say(&format!(
        "counted as o200k_base times {:.2} ({}); what the numbers mean: docs/economy.md",
        f64::from(ratio.permille) / 1_000.0,
        match ratio.samples {
            0 => "a prior: no try of this model has reported yet".to_owned(),
            samples => format!("from {samples} reports"),
        }
    ));
    Ok(exit::OK)
}

struct Played<'a> {
    sessions: &'a [Session],
    price: &'a Price,
    warm: &'a Account,
    cold: &'a Account,
}

fn recordings(app: &App, args: &args::Economy) -> Result<Vec<PathBuf>, Failure> {
    if let Some(file) = &args.session {
        return Ok(vec![app.here.join(file)]);
    }
    let mut reader = state::expect(&app.place)?;
    let run = state::run(reader.as_mut(), args.run.as_deref().unwrap_or_default())?;
    let mut logs = Vec::new();
    let mut offset = 0;
    loop {
        let page = reader.tasks(run.id, offset, PAGE)?;
        if page.is_empty() {
            return Ok(logs);
        }
        offset += page.len() as u64;
        for task in page {
            for attempt in reader.attempts(task.id)? {
                let path = log_path(&app.place.state_dir, run.id, &task.key, attempt.number);
                logs.extend(Some(path).filter(|path| path.is_file()));
            }
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::io("read the recording in", path, &error);
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_MAX {
        let message = format!(
            "{} has {bytes} bytes; a recording has {FILE_MAX} at the most",
            path.display()
        );
        return Err(Failure::new(exit::USAGE, message));
    }
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(failed)
}

/// What the tries of this project have taught about how models count.
fn calibration(app: &App) -> Result<Calibration, Failure> {
    let mut calibration = Calibration::default();
    let Some(mut reader) = state::look(&app.place)? else {
        return Ok(calibration);
    };
    let mut after = Cursor(0);
    loop {
        let page = reader.events(after, None::<RunId>, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(calibration);
        };
        after = last.cursor;
        for event in &page {
            if let Happened::AttemptReported { kind, text, .. } = &event.happened
                && kind == SAMPLE_KIND
                && let Some(sample) = Sample::parse(text)
            {
                calibration.observe(&sample.model, sample.counted, sample.reported);
            }
        }
    }
}

fn page(played: &Played<'_>) -> String {
    let Played {
        sessions,
        price,
        warm,
        cold,
    } = played;
    let mut text = format!(
        "{} sessions, {} calls, at the prices of {}\n",
        sessions.len(),
        warm.baseline.calls,
        price.model
    );
    let usd = |nano: u64| nano as f64 / 1e9;
    let base = &warm.baseline;
    text.push_str(&format!(
        "as recorded: {} tokens sent, {} received; {:.4} USD with a prompt cache ({} read, {} written), {:.4} without\n\n",
        base.prompt(),
        base.output,
        usd(base.cost_nano),
        base.read,
        base.write,
        usd(cold.baseline.cost_nano)
    ));
    text.push_str(&format!(
        "{:<28} {:>8} {:>10} {:>20} {:>9} {:>7}\n",
        "with, alone", "sent", "USD cached", "of 100 samples, 95", "USD cold", "hidden"
    ));
    for (effect, without) in warm.alone.iter().zip(&cold.alone) {
        let (low, high) = effect.difference.cost_bounds_nano;
        let bounds = format!("{} to {}", share(low, base.cost_nano), share(high, base.cost_nano));
        text.push_str(&format!(
            "{:<28} {:>8} {:>10} {:>20} {:>9} {:>7}\n",
            effect.name,
            share(sent(&effect.difference), base.prompt()),
            share(effect.difference.cost_nano, base.cost_nano),
            bounds,
            share(without.difference.cost_nano, cold.baseline.cost_nano),
            format!("{:.1} %", effect.regret.share() * 100.0),
        ));
    }
    text.push_str(
        "\nchanges against the record, each layer alone; they overlap, so they are not to be added.\nhidden: of the identifiers \
         that later tool calls took from results alone, how many would have been out of sight\n",
    );
    text
}

/// All prompt tokens together.
fn sent(difference: &Difference) -> i64 {
    difference.input + difference.read + difference.write
}

fn share(part: i64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    format!("{:+.1} %", part as f64 * 100.0 / of as f64)
}

fn document(played: &Played<'_>) -> Value {
    let side = |account: &Account| {
        let alone: Vec<Value> = account
            .alone
            .iter()
            .map(|effect| {
                json!({"layer": effect.name, "difference": effect.difference,
                       "used": effect.regret.used, "hidden": effect.regret.hidden})
            })
            .collect();
        let together = account.together.as_ref().map(|(difference, shares)| {
            let names = account.alone.iter().map(|effect| effect.name.clone());
            let shares: BTreeMap<String, f64> = names.zip(shares.iter().copied()).collect();
            json!({"difference": difference, "cost_nano_shares": shares})
        });
        let baseline: Bill = account.baseline;
        json!({"baseline": baseline, "alone": alone, "together": together})
    };
    json!({
        "sessions": played.sessions.len(),
        "model": played.price.model,
        "cached": side(played.warm),
        "uncached": side(played.cold),
    })
}
