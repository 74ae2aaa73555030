//! Who is left out of reviews, over many drawn projects: what must hold whatever is drawn, and how much is lost at most.

mod sim;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the reviewers have in common, the one that looks after safety is heard every time.
    #[test]
    fn who_looks_after_safety_is_never_left_out(seed: u64, overlap in 0.0_f64..=1.0) {
        let sum = sim::project(seed, 120, overlap);
        prop_assert_eq!(sum.safety_left_out, 0);
    }
}

/// Over the whole grid, and at its worst place. The seeds are fixed, so the shares are facts and no luck.
#[test]
fn what_only_one_would_have_found_is_lost_at_most_at_the_stated_rate() {
    let mut saved = false;
    for overlap in [0.0, 0.25, 0.4, 0.5, 0.7, 0.9, 1.0] {
        let mut sum = sim::Sum::default();
        for seed in 0..40 {
            sum.add(sim::project(seed, 200, overlap));
        }
        saved |= sum.heard < sum.would;
        let grave = f64::from(sum.grave_lost) / f64::from(sum.grave.max(1));
        assert!(grave <= 0.03, "overlap {overlap}: {grave} of P0 and P1 lost: {sum:?}");
        let alone = f64::from(sum.alone_lost) / f64::from(sum.alone.max(1));
        assert!(alone <= 0.25, "overlap {overlap}: {alone} of lone P0 lost: {sum:?}");
    }
    assert!(saved, "somebody is left out somewhere, or nothing was tested");
}
