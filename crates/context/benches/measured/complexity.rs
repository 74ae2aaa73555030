//! Measured costs of context policies (the data of "The Complexity Trap"): does our accounting give the authors' paired
//! differences and bounds.

use std::collections::BTreeMap;
use std::path::Path;

use wheelhouse_context::account::{Measured, Pair, compare};
use wheelhouse_context::cache::Bill;

use crate::source;
use crate::table::Table;

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let set = data.join("complexity_trap");
    let costs = source::files(&set, "experiment_instance_costs_combined.csv");
    let (Some(costs), published) = (costs.first(), set.join("paired_ci_diffs_vs_raw.csv")) else {
        println!(
            "complexity: passed over, no experiment_instance_costs_combined.csv is in {}",
            set.display()
        );
        return;
    };
    if !published.exists() {
        println!("complexity: passed over, {} is not there", published.display());
        return;
    }
    let text = source::text(costs);
    let mut runs: BTreeMap<&str, BTreeMap<&str, Measured>> = BTreeMap::new();
    let columns = [
        "experiment",
        "instance_id",
        "cost",
        "summary_cost",
        "turn_count",
        "outcome",
    ];
    for [experiment, instance, cost, summary_cost, turns, outcome] in cells(costs, &text, columns) {
        let dollars = cost.parse::<f64>().unwrap_or(0.0) + summary_cost.parse::<f64>().unwrap_or(0.0);
        let measured = Measured {
            bill: Bill {
                calls: turns.parse().unwrap_or(0),
                cost_nano: (dollars * 1e9) as u64,
                ..Bill::default()
            },
            wall_ms: 0,
            succeeded: outcome == "1",
        };
        runs.entry(experiment).or_default().insert(instance, measured);
    }
    let text = source::text(&published);
    let columns = [
        "group",
        "strategy",
        "experiment_other",
        "experiment_raw",
        "solve_rate_diff",
        "mean_cost_diff",
        "mean_cost_lo",
        "mean_cost_hi",
    ];
    for [group, strategy, other, raw, solved, cost, low, high] in cells(&published, &text, columns) {
        let number = |cell: &str| cell.parse::<f64>().unwrap_or(f64::NAN);
        let (Some(other), Some(raw)) = (runs.get(other), runs.get(raw)) else {
            continue;
        };
        let pairs: Vec<Pair> = raw
            .iter()
            .filter_map(|(instance, baseline)| {
                Some(Pair {
                    baseline: *baseline,
                    treatment: *other.get(instance)?,
                })
            })
            .collect();
        if pairs.is_empty() {
            continue;
        }
        let difference = compare(&pairs);
        let mean = |nano: i64| nano as f64 / 1e9 / pairs.len() as f64;
        table.row(
            format!("{group}, {strategy} against raw, {} pairs: USD a task", pairs.len()),
            format!(
                "{:+.3} ({:+.3} to {:+.3}), {:+.1} points solved",
                mean(difference.cost_nano),
                mean(difference.cost_bounds_nano.0),
                mean(difference.cost_bounds_nano.1),
                difference.succeeded as f64 * 100.0 / pairs.len() as f64
            ),
            format!(
                "{:+.3} ({:+.3} to {:+.3}), {:+.1} points solved (the authors)",
                number(cost),
                number(low),
                number(high),
                number(solved) * 100.0
            ),
            "0",
        );
    }
}

/// These columns of each row, by the names in the first.
fn cells<'t, const N: usize>(path: &Path, text: &'t str, columns: [&str; N]) -> Vec<[&'t str; N]> {
    let mut lines = text.lines().enumerate();
    let heads: Vec<&str> = lines
        .next()
        .map(|(_, head)| head.split(',').collect())
        .unwrap_or_default();
    let places = columns.map(|column| {
        let place = heads.iter().position(|head| head.trim() == column);
        place.unwrap_or_else(|| source::stop(path, Some(1), format!("there is no column `{column}`")))
    });
    let row = |(at, line): (usize, &'t str)| {
        let cells: Vec<&str> = line.split(',').collect();
        places.map(|place| match cells.get(place) {
            Some(cell) => *cell,
            None => source::stop(path, Some(at + 1), format!("there are {} cells", cells.len())),
        })
    };
    lines.filter(|(_, line)| !line.is_empty()).map(row).collect()
}
