//! `cargo xtask bench reviews`: what leaving reviewers out saves and loses, in a play of chance (no data, seeds alone). The
//! assumptions stand in `tests/reviews/sim.rs`.

#[path = "../tests/reviews/sim.rs"]
mod sim;

/// Projects a place of the grid.
const PROJECTS: u64 = 100;
/// Reviews a project.
const REVIEWS: usize = 200;

fn main() {
    println!(
        "| overlap | tokens of reviewers saved | P0 and P1 lost | lone P0 lost | P2 and P3 lost |\n|---|---|---|---|---|"
    );
    for overlap in [0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0] {
        let mut sum = sim::Sum::default();
        for seed in 0..PROJECTS {
            sum.add(sim::project(seed, REVIEWS, overlap));
        }
        let share = |part: u32, of: u32| 100.0 * f64::from(part) / f64::from(of.max(1));
        println!(
            "| {overlap:.2} | {:.1} % | {:.2} % ({} of {}) | {:.1} % ({} of {}) | {:.2} % |",
            100.0 - share(sum.heard, sum.would),
            share(sum.grave_lost, sum.grave),
            sum.grave_lost,
            sum.grave,
            share(sum.alone_lost, sum.alone),
            sum.alone_lost,
            sum.alone,
            share(sum.small_lost, sum.small),
        );
        assert_eq!(sum.safety_left_out, 0);
    }
}
