//! Trying, now and then, what is little known: what is never tried is never learned about.
//!
//! A share of tasks (`explore_percent`) goes to somebody else who is adequate. Adequate is told without what was learned,
//! so that nobody is locked out by it. Every second time it is whoever has least to show of late. Else each has a chance of
//! success drawn from what its last tasks came to (a Beta distribution, Thompson 1933), and the highest draw is tried.
//! Old tasks fade: whoever was not asked for long is as open a question as whoever never was. The draws come from the
//! task's own number, so the same task under the same past is always decided alike.

use super::choice::Scored;
use super::read::{self, Mode};
use super::{Question, Router, score};
use crate::analysis::{Analysis, Risk};

/// Above this share of the best score, told without what was learned, somebody is good enough to be tried.
const ADEQUATE: f64 = 0.8;

/// The share of tries that go to whoever has least to show of late, whatever it came to.
const LEAST_SHARE: f64 = 0.5;

impl Router {
    /// Now and then somebody adequate of whom little is known, where little is at stake.
    pub(super) fn explore(&self, question: &Question<'_>, analysis: &Analysis, scored: &[Scored]) -> Option<usize> {
        let percent = self.routing.explore_percent.unwrap_or(read::EXPLORE_PERCENT);
        let mut draws = Draws(question.seed?);
        let due = draws.next() * 100.0 < f64::from(percent);
        let learns = self.routing.mode == Mode::Enforce && self.past().tasks() > 0;
        if !due || !learns || analysis.risk.value > Risk::Medium {
            return None;
        }
        let unlearned = |one: &Scored| score::unlearned(&one.parts);
        let best = scored.iter().map(unlearned).fold(0.0, f64::max);
        let others = scored.iter().enumerate().skip(1);
        let adequate = others.filter(|(_, one)| unlearned(one) >= best * ADEQUATE);
        let least = draws.next() < LEAST_SHARE;
        let drawn = adequate.map(|(place, one)| {
            let (successes, failures) = self.past().recent(one.agent.as_str(), one.model.as_deref());
            match least {
                true => (place, -(successes + failures)),
                false => (place, draws.success(successes, failures)),
            }
        });
        let most = drawn.max_by(|(_, one), (_, other)| one.total_cmp(other));
        most.map(|(place, _)| place)
    }
}

/// Numbers that follow from one number (splitmix64).
struct Draws(u64);

impl Draws {
    /// The next one, 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let draw = (z >> 11) as f64 / (1_u64 << 53) as f64;
        draw
    }

    /// A chance of success after so many of each, with one of each before: a Beta distribution by its mean and spread.
    fn success(&mut self, successes: f64, failures: f64) -> f64 {
        let (successes, failures) = (successes + 1.0, failures + 1.0);
        let all = successes + failures;
        let mean = successes / all;
        let spread = (mean * (1.0 - mean) / (all + 1.0)).sqrt();
        // The sum of twelve draws less six is a normal deviate, near enough.
        let deviate = (0..12).map(|_| self.next()).sum::<f64>() - 6.0;
        mean + spread * deviate
    }
}
