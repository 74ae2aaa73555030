//! `fsck`: whether the stored state adds up.

use serde_json::json;
use wheelhouse_core::store::Fault;
use wheelhouse_core::time::Millis;

use crate::app::App;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::orphans;
use crate::show::words;
use crate::state;
use crate::terminal::one_line;

/// How many faults are printed; `--json` has them all.
const PRINTED_MAX: usize = 100;

/// Checks the store, and names files that nothing belongs to.
pub(crate) fn fsck(app: &App) -> Outcome {
    let database = app.place.database();
    if !database.exists() {
        state::expect(&app.place)?;
    }
    let faults: Vec<Fault> = wheelhouse_store::fsck(&database)?;
    let files = match state::look(&app.place) {
        Ok(Some(mut reader)) => orphans::find(&app.place, reader.as_mut(), Millis(0), &[])?,
        // A store too damaged to read is a fault that was told already.
        Ok(None) | Err(_) => Vec::new(),
    };
    if app.terminal.json {
        let faults: Vec<_> = faults
            .iter()
            .map(|Fault { rule, detail }| json!({ "rule": rule, "detail": detail }))
            .collect();
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        app.terminal
            .print_json(&json!({ "sound": faults.is_empty(), "faults": faults, "orphans": files }))?;
    } else {
        let paint = app.terminal.out.paint;
        let mut text = String::new();
        for fault in faults.iter().take(PRINTED_MAX) {
            text.push_str(&format!(
                "{} {}: {}\n",
                paint.bad("fault"),
                fault.rule,
                one_line(&fault.detail)
            ));
        }
        if faults.len() > PRINTED_MAX {
            text.push_str(&format!(
                "… and {} more faults\n",
                words::thousands((faults.len() - PRINTED_MAX) as u64)
            ));
        }
        for file in &files {
            text.push_str(&format!("{} {}\n", paint.dim("orphan"), app.place.short(file)));
        }
        let count = match faults.len() {
            0 => "sound".to_owned(),
            number => words::count(number as u64, "fault"),
        };
        text.push_str(&format!("{}: {count}\n", app.place.short(&database)));
        app.terminal.print(&text)?;
        if !files.is_empty() {
            app.terminal.say("orphans do no harm; `wheelhouse gc` removes them");
        }
    }
    if faults.is_empty() {
        return Ok(exit::OK);
    }
    app.terminal.failure(
        &Failure::new(exit::STATE_FAILED, "the stored state does not add up")
            .hint(format!(
                "keep a copy of {} before anything else",
                app.place.state_dir.display()
            ))
            .hint(format!(
                "backups made before migrations lie in {}",
                app.place.backups().display()
            )),
    );
    Ok(exit::STATE_FAILED)
}
