//! What an order of prompts is worth: the area under the share of the gap that is won, and the shares that win parts of it.

use super::set::Prompt;
use crate::table::{Draws, bounds};

const RESAMPLES: usize = 1_000;

/// The three numbers of an order, each with its bounds.
pub(super) struct Curve([(f64, (f64, f64)); 3]);

impl Curve {
    pub(super) fn of(prompts: &[Prompt], scores: &[f64]) -> Curve {
        let order = ordered(scores);
        let once = numbers(prompts, &order, &vec![1; prompts.len()]);
        let mut draws = Draws::new(0x9e37_79b9);
        let mut samples: [Vec<f64>; 3] = Default::default();
        for _ in 0..RESAMPLES {
            let mut times = vec![0_u32; prompts.len()];
            (0..prompts.len()).for_each(|_| times[draws.below(prompts.len())] += 1);
            for (sample, number) in samples.iter_mut().zip(numbers(prompts, &order, &times)) {
                sample.push(number);
            }
        }
        let mut each = once
            .into_iter()
            .zip(samples)
            .map(|(number, sample)| (number, bounds(sample)));
        Curve([each.next().unwrap(), each.next().unwrap(), each.next().unwrap()])
    }

    /// The area alone.
    pub(super) fn area(&self) -> f64 {
        self.0[0].0
    }

    /// The share that wins half of the gap, and that which wins eight tenths.
    pub(super) fn shares(&self) -> [f64; 2] {
        [self.0[1].0, self.0[2].0]
    }

    pub(super) fn shown(&self) -> String {
        let [(area, area_in), (half, half_in), (most, most_in)] = self.0;
        format!(
            "{area:.3} ({:.3}–{:.3}) / {:.1} ({:.1}–{:.1}) / {:.1} ({:.1}–{:.1})",
            area_in.0,
            area_in.1,
            half * 100.0,
            half_in.0 * 100.0,
            half_in.1 * 100.0,
            most * 100.0,
            most_in.0 * 100.0,
            most_in.1 * 100.0
        )
    }
}

/// APGR, CPT50 and CPT80 of an order; `times` says how often each prompt counts.
fn numbers(prompts: &[Prompt], order: &[usize], times: &[u32]) -> [f64; 3] {
    let all: f64 = times.iter().map(|times| f64::from(*times)).sum();
    let weak: f64 = order.iter().map(|at| prompts[*at].weak * f64::from(times[*at])).sum();
    let strong: f64 = order.iter().map(|at| prompts[*at].strong * f64::from(times[*at])).sum();
    let gap = strong - weak;
    let (mut sent, mut won, mut area) = (0.0, 0.0, 0.0);
    let (mut half, mut most) = (1.0_f64, 1.0_f64);
    for at in order {
        let count = f64::from(times[*at]);
        let before = won / gap;
        won += (prompts[*at].strong - prompts[*at].weak) * count;
        sent += count;
        area += (before + won / gap) / 2.0 * count / all;
        let share = sent / all;
        if won / gap >= 0.5 {
            half = half.min(share);
        }
        if won / gap >= 0.8 {
            most = most.min(share);
        }
    }
    [area, half, most]
}

/// Orders of chance: the mean and the spread of the area.
pub(super) fn chance(prompts: &[Prompt]) -> String {
    let mut draws = Draws::new(3);
    let times = vec![1; prompts.len()];
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    let areas: Vec<[f64; 3]> = (0..200)
        .map(|_| {
            draws.shuffle(&mut order);
            numbers(prompts, &order, &times)
        })
        .collect();
    let mean = |at: usize| areas.iter().map(|one| one[at]).sum::<f64>() / areas.len() as f64;
    let (low, high) = bounds(areas.iter().map(|one| one[0]).collect());
    format!(
        "{:.3} ({low:.3}–{high:.3}) / {:.1} / {:.1} (chance)",
        mean(0),
        mean(1) * 100.0,
        mean(2) * 100.0
    )
}

/// The places of scores, highest first. Equal ones are put in an order of chance, not in that of the file.
pub(super) fn ordered(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    Draws::new(7).shuffle(&mut order);
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}
