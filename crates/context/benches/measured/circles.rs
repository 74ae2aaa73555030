//! The watch for circles over recorded sessions whose outcome is known: what it would have stopped, and what of that was
//! lost anyway.

use wheelhouse_context::cache::Cache;
use wheelhouse_context::replay::{Session, circles, play};
use wheelhouse_core::circle::REPEATS;
use wheelhouse_core::price::Price;

use crate::table::Table;

/// The limits that are compared.
const LIMITS: [u32; 4] = [2, 3, 4, 5];
const FOLDS: usize = 5;
/// What a limit must reach on the other folds to be chosen.
const PRECISION_MIN: f64 = 0.9;

/// One session under one limit: whether it came out right, and the tokens that were not sent when it was stopped.
struct Run {
    succeeded: bool,
    told: bool,
    saved: Option<u64>,
}

pub(crate) fn measure(table: &mut Table, name: &str, sessions: &[Session], price: &Price) {
    let known: Vec<&Session> = sessions.iter().filter(|session| session.succeeded.is_some()).collect();
    if known.is_empty() {
        table.note(&format!(
            "{name}: no record says how its session ended, so circles are not judged"
        ));
        return;
    }
    let tokens = |session: &Session| play(session, &[], price, Cache::default(), 1_000).prompt();
    let whole: u64 = known.iter().map(|session| tokens(session)).sum();
    let failed = known.iter().filter(|session| session.succeeded == Some(false)).count();
    let limits: Vec<(u32, Vec<Run>)> = LIMITS.map(|limit| (limit, runs(&known, limit, tokens))).into();
    for (limit, runs) in &limits {
        let told = runs.iter().filter(|run| run.told).count();
        let told_failed = runs.iter().filter(|run| run.told && !run.succeeded).count();
        let stopped: Vec<&Run> = runs.iter().filter(|run| run.saved.is_some()).collect();
        let right = stopped.iter().filter(|run| !run.succeeded).count();
        let saved = |succeeded: bool| -> u64 {
            let of = stopped.iter().filter(|run| run.succeeded == succeeded);
            of.filter_map(|run| run.saved).sum()
        };
        table.row(
            format!(
                "{name}, circles at {limit}{}: told / stopped / of these failed; tokens saved on failed / cut off succeeded",
                if *limit == REPEATS { " (default)" } else { "" }
            ),
            format!(
                "{told} ({told_failed} failed) / {} / {right}; {:.2} / {:.2} %",
                stopped.len(),
                100.0 * saved(false) as f64 / whole as f64,
                100.0 * saved(true) as f64 / whole as f64
            ),
            "–",
            format!("{failed} of {} failed", known.len()),
        );
    }
    let (stopped, right) = cross_validated(&limits);
    table.note(&format!(
        "{name}, circles: the lowest limit with a precision of {PRECISION_MIN} on the other folds stops {stopped} sessions of its own, {right} of \
         which failed ({FOLDS} folds)"
    ));
}

fn runs(sessions: &[&Session], limit: u32, tokens: impl Fn(&Session) -> u64) -> Vec<Run> {
    let run = |session: &&Session| {
        let told = circles(session, limit);
        let saved = told.get(1).map(|last| {
            let cut = Session {
                messages: session.messages[..=*last].to_vec(),
                ..Session::default()
            };
            tokens(session).saturating_sub(tokens(&cut))
        });
        Run {
            succeeded: session.succeeded == Some(true),
            told: !told.is_empty(),
            saved,
        }
    };
    sessions.iter().map(run).collect()
}

/// How many sessions a limit stops, and how many of them failed, when each fold takes the limit that the others choose.
fn cross_validated(limits: &[(u32, Vec<Run>)]) -> (usize, usize) {
    let score = |runs: &[Run], of_fold: &dyn Fn(usize) -> bool| {
        let stopped = runs
            .iter()
            .enumerate()
            .filter(|(at, run)| of_fold(*at) && run.saved.is_some());
        stopped.fold((0, 0), |(all, right), (_, run)| {
            (all + 1, right + usize::from(!run.succeeded))
        })
    };
    let mut sum = (0, 0);
    for fold in 0..FOLDS {
        let chosen = limits.iter().find(|(_, runs)| {
            let (all, right) = score(runs, &|at| at % FOLDS != fold);
            all > 0 && right as f64 >= PRECISION_MIN * all as f64
        });
        if let Some((_, runs)) = chosen {
            let (all, right) = score(runs, &|at| at % FOLDS == fold);
            sum = (sum.0 + all, sum.1 + right);
        }
    }
    sum
}
