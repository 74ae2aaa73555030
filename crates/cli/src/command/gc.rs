//! `gc`: old finished runs go, and the files that belonged to them.

use std::path::PathBuf;

use serde_json::json;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{Command, Reply, RunState, RunView};
use wheelhouse_core::time::Millis;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now;
use crate::orphans;
use crate::show::words;
use crate::state::State;

/// How many runs are looked at.
const RUNS_MAX: u32 = u32::MAX;

/// Removes what is older than the configured retention.
pub(crate) fn gc(app: &App, args: &args::Gc) -> Outcome {
    let settings = app.settings(None)?;
    let mut state = State::expect(&app.place)?;
    let kept_ms = u64::try_from(settings.retention.as_millis()).unwrap_or(u64::MAX);
    let before = Millis(now().0.saturating_sub(kept_ms));
    let is_old = |run: &RunView| run.state == RunState::Finished && run.finished_at.is_some_and(|at| at < before);
    let old: Vec<RunId> = state
        .reader
        .runs(RUNS_MAX)?
        .iter()
        .filter(|run| is_old(run))
        .map(|run| run.id)
        .collect();
    let (runs, artifacts) = if args.dry_run {
        (old.len() as u64, None)
    } else {
        match state.change(Command::Prune { before })? {
            Reply::Pruned { runs, artifacts } => (runs, Some(artifacts)),
            other => {
                return Err(Failure::new(
                    exit::STATE_FAILED,
                    format!("the store answered with {other:?}"),
                ));
            }
        }
    };
    let gone = if args.dry_run { old.clone() } else { Vec::new() };
    let files = orphans::find(&app.place, state.reader.as_mut(), before, &gone)?;
    let mut bytes = 0;
    for file in &files {
        bytes += orphans::size(file);
        if !args.dry_run {
            orphans::remove(file)?;
        }
    }
    let days = settings.retention.as_secs() / 86_400;
    if app.terminal.json {
        let files: Vec<String> = files.iter().map(|file: &PathBuf| file.display().to_string()).collect();
        app.terminal.print_json(&json!({
            "dry_run": args.dry_run,
            "retention_days": days,
            "runs": runs,
            "artifacts": artifacts,
            "files": files,
            "bytes": bytes,
        }))?;
        return Ok(exit::OK);
    }
    let (verb, artifacts) = match artifacts {
        None => ("would remove", String::new()),
        Some(number) => ("removed", format!(", {}", words::count(number, "artifact"))),
    };
    app.terminal.print(&format!(
        "{verb} {}{artifacts} and {} ({} bytes); finished runs are kept for {days} days (`retention.days`)\n",
        words::count(runs, "run"),
        words::count(files.len() as u64, "file"),
        words::thousands(bytes),
    ))?;
    Ok(exit::OK)
}
