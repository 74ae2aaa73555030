//! Measured costs of context policies (the data of "The Complexity Trap"): does our accounting give the authors' paired
//! differences and bounds.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use wheelhouse_context::account::{Measured, Pair, compare};
use wheelhouse_context::cache::Bill;

use crate::table::Table;

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let set = data.join("complexity_trap");
    let Ok(file) = std::fs::File::open(set.join("experiment_instance_costs_combined.csv.gz")) else {
        println!("complexity: passed over, {} is not there", set.display());
        return;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut runs: BTreeMap<&str, BTreeMap<&str, Measured>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [experiment, instance, cost, summary_cost, ..] = cells.as_slice() else {
            continue;
        };
        let dollars = cost.parse::<f64>().unwrap_or(0.0) + summary_cost.parse::<f64>().unwrap_or(0.0);
        let measured = Measured {
            bill: Bill {
                calls: cells[6].parse().unwrap_or(0),
                cost_nano: (dollars * 1e9) as u64,
                ..Bill::default()
            },
            wall_ms: 0,
            succeeded: cells[10] == "1",
        };
        runs.entry(experiment).or_default().insert(instance, measured);
    }
    let published = std::fs::read_to_string(set.join("paired_ci_diffs_vs_raw.csv")).unwrap();
    for line in published.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |at: usize| cells[at].parse::<f64>().unwrap();
        let (Some(other), Some(raw)) = (runs.get(cells[2]), runs.get(cells[3])) else {
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
        let difference = compare(&pairs);
        let mean = |nano: i64| nano as f64 / 1e9 / pairs.len() as f64;
        table.row(
            format!(
                "{}, {} against raw, {} pairs: USD a task",
                cells[0],
                cells[1],
                pairs.len()
            ),
            format!(
                "{:+.3} ({:+.3} to {:+.3}), {:+.1} points solved",
                mean(difference.cost_nano),
                mean(difference.cost_bounds_nano.0),
                mean(difference.cost_bounds_nano.1),
                difference.succeeded as f64 * 100.0 / pairs.len() as f64
            ),
            format!(
                "{:+.3} ({:+.3} to {:+.3}), {:+.1} points solved (the authors)",
                number(9),
                number(10),
                number(11),
                number(5) * 100.0
            ),
            "0",
        );
    }
}
