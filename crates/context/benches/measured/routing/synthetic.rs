//! Sets made here, by a seed: what can be learned is known, and so is where nothing can.

use std::collections::BTreeMap;

use super::curve::Curve;
use super::learned::{self, Seen};
use super::set::Prompt;
use crate::table::{Draws, Table, bounds};

const DOMAINS: usize = 30;
const TESTED: usize = 1_500;
const SEEDS: u64 = 12;

/// What decides whether an answer is right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// The domain: each has a difficulty of its own for each model.
    Domains,
    /// The length, for the weak one.
    Length,
    /// Chance alone.
    Nothing,
}

pub(super) fn rows(table: &mut Table) {
    for (what, signal, seen) in [
        ("30 domains of different difficulty, 100 seen", Signal::Domains, 100),
        ("the same, 300 seen", Signal::Domains, 300),
        ("the same, 1,000 seen", Signal::Domains, 1_000),
        ("the same, 4,000 seen", Signal::Domains, 4_000),
        ("only the length tells, 1,000 seen", Signal::Length, 1_000),
        ("nothing tells, 100 seen", Signal::Nothing, 100),
        ("nothing tells, 1,000 seen", Signal::Nothing, 1_000),
    ] {
        let mut areas: [Vec<f64>; 3] = Default::default();
        for seed in 1..=SEEDS {
            let all = prompts(signal, seen + TESTED, seed);
            let (before, now) = all.split_at(seen);
            let router = learned::router(&before.iter().collect::<Vec<_>>(), Seen::One);
            let orders: [Vec<f64>; 3] = [
                now.iter().map(|prompt| learned::score(&router, &prompt.text)).collect(),
                now.iter().map(|prompt| prompt.text.len() as f64).collect(),
                by_domain(before, now),
            ];
            for (area, order) in areas.iter_mut().zip(orders) {
                area.push(Curve::of(now, &order).area());
            }
        }
        let [ours, length, domains] = areas.map(|areas| {
            let mean = areas.iter().sum::<f64>() / areas.len() as f64;
            let (low, high) = bounds(areas);
            format!("{mean:.3} ({low:.3}–{high:.3})")
        });
        table.row(
            format!("routing, made here, {SEEDS} seeds, each task done by one: {what}: APGR"),
            ours,
            format!("{domains} (table of domains, from both)"),
            format!("{length} (length)"),
        );
    }
}

/// How much more the strong one was worth in the same domain before: what somebody knows who is told the domain.
fn by_domain(before: &[Prompt], now: &[Prompt]) -> Vec<f64> {
    let mut table: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for prompt in before {
        // It sees what both made of each.
        let known = table.entry(prompt.domain.as_deref().unwrap_or_default()).or_default();
        known.0 += prompt.strong - prompt.weak;
        known.1 += 1.0;
    }
    let of = |prompt: &Prompt| {
        let known = table.get(prompt.domain.as_deref().unwrap_or_default());
        known.map_or(0.0, |(gap, count)| gap / (count + 2.0))
    };
    now.iter().map(of).collect()
}

fn prompts(signal: Signal, count: usize, seed: u64) -> Vec<Prompt> {
    let mut draws = Draws::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut share = move || draws.below(1 << 20) as f64 / f64::from(1 << 20);
    let domains: Vec<(f64, f64)> = (0..DOMAINS)
        .map(|_| {
            let weak = 0.35 + 0.6 * share();
            (weak, (weak + 0.45 * share()).min(0.98))
        })
        .collect();
    let mut prompts = Vec::new();
    for _ in 0..count {
        let domain = (share() * DOMAINS as f64) as usize;
        let words = 12.0 * (1.0 + 11.0 * share() * share());
        let mut text = String::from("Which of these is so");
        for _ in 0..words as usize {
            let place = share();
            let word = match share() < 0.4 {
                true => format!(" d{domain}x{}", (place * place * 60.0) as usize),
                false => format!(" w{}", (place * place * 2_000.0) as usize),
            };
            text.push_str(&word);
        }
        let (weak, strong) = match signal {
            Signal::Domains => domains[domain],
            Signal::Length => (0.9 - 0.12 * (words / 12.0).log2(), 0.92),
            Signal::Nothing => (0.65, 0.85),
        };
        let mut right = |chance: f64| f64::from(u8::from(share() < chance));
        prompts.push(Prompt {
            text,
            domain: Some(format!("d{domain}")),
            weak: right(weak),
            strong: right(strong),
            answers: None,
        });
    }
    prompts
}
