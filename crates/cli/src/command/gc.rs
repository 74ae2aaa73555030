//! `gc`: old finished runs go, and the files that belonged to them.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use wheelhouse_core::ids::RunId;
use wheelhouse_core::store::{Command, Reply, RunState, RunView};
use wheelhouse_core::time::Millis;

use crate::app::App;
use crate::args;
use crate::config::Settings;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::json::task_name;
use crate::moment::now;
use crate::orphans;
use crate::show::words;
use crate::state::State;
use crate::trees::{self, refused};

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
    let trees = trees_of(app, &settings, &mut state, &old, args.dry_run)?;
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
            "trees": trees.taken,
            "trash": trees.trash,
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
    if !trees.taken.is_empty() || trees.trash > 0 {
        let taken = words::count(trees.taken.len() as u64, "tree");
        let (verb, trash) = if args.dry_run {
            ("would put", String::new())
        } else {
            let gone = words::count(trees.trash as u64, "thing");
            ("put", format!("; {gone} in it was past its time and is gone"))
        };
        app.terminal.print(&format!(
            "{verb} {taken} into the trash (`isolation.tree_days`){trash}\n"
        ))?;
    }
    Ok(exit::OK)
}

/// What became of trees and of the trash.
#[derive(Default)]
struct Trees {
    /// The tasks whose trees were taken away, as people name them.
    taken: Vec<String>,
    /// How many things in the trash were past their time.
    trash: usize,
}

/// Takes away the trees of runs that have been finished for long enough, with everything of those in `forgotten`, and
/// empties the trash of what is past its time.
fn trees_of(
    app: &App,
    settings: &Settings,
    state: &mut State,
    forgotten: &[RunId],
    dry_run: bool,
) -> Result<Trees, Failure> {
    if !app.place.state_dir.join("trees").is_dir() {
        return Ok(Trees::default());
    }
    let workplace = trees::open(app, settings, state.reader.as_mut())?;
    let kept_ms = u64::try_from(settings.tree_retention.as_millis()).unwrap_or(u64::MAX);
    let before = Millis(now().0.saturating_sub(kept_ms));
    let mut done = Trees::default();
    for (run, key) in workplace.list().map_err(refused)? {
        let is_due = match state.reader.run(run)? {
            // Its run was removed just now, or long ago.
            None => true,
            Some(view) => {
                forgotten.contains(&run)
                    || view.state == RunState::Finished && view.finished_at.is_some_and(|at| at < before)
            }
        };
        if !is_due {
            continue;
        }
        done.taken.push(task_name(run, &key));
        if dry_run {
            continue;
        }
        trees::tear_down(app, settings, &workplace, run, &key)?;
        if let Err(error) = workplace.remove(run, &key, now()) {
            done.taken.pop();
            app.terminal.warn(&format!("{}: {error}", task_name(run, &key)));
        }
    }
    if !dry_run {
        for run in forgotten {
            for error in workplace.forget(*run, now()).map_err(refused)? {
                app.terminal.warn(&error.to_string());
            }
        }
        let days = settings.isolation.trash_days.unwrap_or_default();
        let period = Duration::from_secs(u64::from(days) * 86_400);
        done.trash = workplace.empty_trash(now(), period).map_err(refused)?;
    }
    Ok(done)
}
