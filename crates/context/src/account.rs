//! Claims of savings, kept honest: the same work with and without, in pairs, as a vector and never as one percentage.
//!
//! Savings of layers overlap, so they are not added. [`shapley`] shares what a stack of layers saves among them, by what
//! each adds over all orders in which they could be switched on.

use serde::{Deserialize, Serialize};

use crate::cache::Bill;

/// One piece of work, done once without and once with a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Without.
    pub baseline: Measured,
    /// With.
    pub treatment: Measured,
}

/// What one piece of work took, everything included: retries, reviewers, summaries, children.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// What it consumed and cost.
    pub bill: Bill,
    /// How long it took.
    pub wall_ms: u64,
    /// Whether it came out right.
    pub succeeded: bool,
}

/// The difference that a layer makes, over all pairs: treatment minus baseline.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Difference {
    /// How many pairs.
    pub pairs: u64,
    /// Input that no cache served.
    pub input: i64,
    /// Read from the cache.
    pub read: i64,
    /// Written to the cache.
    pub write: i64,
    /// Output.
    pub output: i64,
    /// Nano-dollars.
    pub cost_nano: i64,
    /// Milliseconds.
    pub wall_ms: i64,
    /// Pieces of work that came out right.
    pub succeeded: i64,
    /// The bounds within which the difference in cost lies in 95 of 100 samples, in nano-dollars.
    pub cost_bounds_nano: (i64, i64),
}

/// Samples drawn for the bounds.
const RESAMPLES: usize = 2_000;

/// Adds up pairs. The bounds come from resampling whole pairs with a fixed seed, so the same pairs give the same bounds.
pub fn compare(pairs: &[Pair]) -> Difference {
    let mut sum = Difference {
        pairs: pairs.len() as u64,
        ..Difference::default()
    };
    let mut costs = Vec::with_capacity(pairs.len());
    for Pair { baseline, treatment } in pairs {
        let (a, b) = (&baseline.bill, &treatment.bill);
        sum.input += signed(b.input) - signed(a.input);
        sum.read += signed(b.read) - signed(a.read);
        sum.write += signed(b.write) - signed(a.write);
        sum.output += signed(b.output) - signed(a.output);
        sum.wall_ms += signed(treatment.wall_ms) - signed(baseline.wall_ms);
        sum.succeeded += i64::from(treatment.succeeded) - i64::from(baseline.succeeded);
        costs.push(signed(b.cost_nano) - signed(a.cost_nano));
    }
    sum.cost_nano = costs.iter().sum();
    sum.cost_bounds_nano = bounds(&costs);
    sum
}

fn bounds(values: &[i64]) -> (i64, i64) {
    if values.is_empty() {
        return (0, 0);
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap_or(0)
    };
    let mut sums: Vec<i64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| values[next(values.len())]).sum())
        .collect();
    sums.sort_unstable();
    (sums[RESAMPLES / 40], sums[RESAMPLES - 1 - RESAMPLES / 40])
}

/// Layers that can be shared out exactly; more would need more runs than anybody makes.
pub const SHARED_MAX: usize = 6;

/// What each of `layers` layers adds, given the cost of every combination: `cost(mask)` with bit `n` set when layer `n`
/// is on. The parts add up to the cost of all minus the cost of none. None for more than [`SHARED_MAX`] layers.
pub fn shapley(layers: usize, cost: impl Fn(u32) -> f64) -> Option<Vec<f64>> {
    if layers > SHARED_MAX {
        return None;
    }
    let factorial = |n: usize| (1..=n).product::<usize>() as f64;
    let costs: Vec<f64> = (0..1_u32 << layers).map(cost).collect();
    let part = |layer: usize| {
        let bit = 1_usize << layer;
        let without = (0..costs.len()).filter(|mask| mask & bit == 0);
        let terms = without.map(|mask| {
            let before = mask.count_ones() as usize;
            let weight = factorial(before) * factorial(layers - before - 1) / factorial(layers);
            weight * (costs[mask | bit] - costs[mask])
        });
        terms.sum()
    };
    Some((0..layers).map(part).collect())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_vector_with_bounds() {
        let measured = |input, cost_nano, succeeded| Measured {
            bill: Bill {
                input,
                cost_nano,
                ..Bill::default()
            },
            wall_ms: 10,
            succeeded,
        };
        let pairs: Vec<Pair> = (0..40)
            .map(|n| Pair {
                baseline: measured(100, 1_000 + n, true),
                treatment: measured(60, 700, n > 0),
            })
            .collect();
        let difference = compare(&pairs);
        assert_eq!(
            (difference.input, difference.succeeded, difference.pairs),
            (-1_600, -1, 40)
        );
        let (low, high) = difference.cost_bounds_nano;
        assert!(
            low < difference.cost_nano && difference.cost_nano < high && high < 0,
            "{difference:?}"
        );
        assert_eq!(compare(&pairs), difference);
        assert_eq!(compare(&[]).cost_bounds_nano, (0, 0));
    }

    #[test]
    fn shares_add_up_and_overlap_is_split() {
        // Each of two layers alone saves 40 of 100; both together 50.
        let cost = |mask: u32| match mask {
            0 => 100.0,
            3 => 50.0,
            _ => 60.0,
        };
        assert_eq!(shapley(2, cost).unwrap(), [-25.0, -25.0]);
        assert_eq!(shapley(7, cost), None);
    }
}
