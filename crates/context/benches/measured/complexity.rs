//! Measured costs of context policies (the data of "The Complexity Trap"): does our accounting give the authors' paired
//! differences and bounds.

use std::collections::BTreeMap;
use std::path::Path;

use wheelhouse_context::account::{Measured, Pair, compare};
use wheelhouse_context::cache::Bill;

use wheelhouse_core::analysis::Risk;
use wheelhouse_core::budget::Experience;
use wheelhouse_core::route::past::NEIGHBOURS;
use wheelhouse_core::soft;

use crate::source;
use crate::table::{Draws, Table};

/// The usual headroom above what is expected, in percent: the product's.
const SAFETY_PERCENT: u64 = 30;
/// How often a line is drawn a fold.
const LINES: usize = 50;

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
    lines(table, &runs);
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

/// How lines that were drawn stood to the tasks that they were for.
#[derive(Default)]
struct Held {
    tasks: usize,
    within: usize,
    /// What tasks above the line took, and how much of that lay above it.
    over: f64,
    above: f64,
    /// Line by mean, summed.
    by_mean: f64,
    lines: usize,
}

impl Held {
    fn look(&mut self, line: u64, costs: &[u64]) {
        let mean = costs.iter().sum::<u64>() as f64 / costs.len() as f64;
        self.lines += 1;
        self.by_mean += line as f64 / mean;
        self.tasks += costs.len();
        for cost in costs {
            if *cost <= line {
                self.within += 1;
            } else {
                self.over += *cost as f64;
                self.above += (cost - line) as f64;
            }
        }
    }

    fn shown(&self) -> String {
        format!(
            "{:.1} % within, line {:.2} x mean, told with {:.1} % of an overrun's cost to come",
            100.0 * self.within as f64 / self.tasks as f64,
            self.by_mean / self.lines as f64,
            100.0 * self.above / self.over.max(1.0)
        )
    }
}

/// Soft lines in five folds, for each model with raw histories: from as many past tasks as the product listens to, drawn
/// from the other folds. The set has no words of the tasks, so all of them count as similar.
fn lines(table: &mut Table, runs: &BTreeMap<&str, BTreeMap<&str, Measured>>) {
    const FOLDS: usize = 5;
    let raw: Vec<(&str, Vec<u64>)> = runs
        .iter()
        .filter(|(name, tasks)| name.contains("raw") && tasks.len() >= 400)
        .map(|(name, tasks)| {
            let mut costs: Vec<u64> = tasks.values().map(|one| one.bill.cost_nano).collect();
            Draws::new(6).shuffle(&mut costs);
            (*name, costs)
        })
        .collect();
    let of_fold = |costs: &[u64], fold: usize, held: bool| -> Vec<u64> {
        let placed = costs.iter().enumerate();
        let chosen = placed.filter(|(place, _)| (place % FOLDS == fold) == held);
        chosen.map(|(_, cost)| *cost).collect()
    };
    let (mut all, mut fixed_all) = (Held::default(), Held::default());
    for (name, costs) in &raw {
        let (mut ours, mut fixed) = (Held::default(), Held::default());
        for fold in 0..FOLDS {
            let (mut known, unseen) = (of_fold(costs, fold, false), of_fold(costs, fold, true));
            let mut draws = Draws::new(fold as u64 + 1);
            for _ in 0..LINES {
                draws.shuffle(&mut known);
                let similar = &known[..NEIGHBOURS];
                let line = soft::line(SAFETY_PERCENT, Risk::Low, similar, Experience::default()).unwrap();
                ours.look(line.nano, &unseen);
                all.look(line.nano, &unseen);
            }
            let mut others: Vec<u64> = raw.iter().flat_map(|(_, costs)| of_fold(costs, fold, false)).collect();
            others.sort_unstable();
            let global = others[others.len() * 9 / 10];
            fixed.look(global, &unseen);
            fixed_all.look(global, &unseen);
        }
        table.row(
            format!("soft line, {name}, {} tasks", costs.len()),
            ours.shown(),
            "–",
            format!("{} (one line for all models: p90)", fixed.shown()),
        );
    }
    if !raw.is_empty() {
        table.row(
            format!("soft line, all {} models", raw.len()),
            all.shown(),
            "–",
            fixed_all.shown(),
        );
    }
}
