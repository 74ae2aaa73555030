//! Trying, now and then, what is little known: what is never tried is never learned about.

use super::choice::Scored;
use super::read::{self, Mode};
use super::{Question, Router};
use crate::analysis::{Analysis, Risk};

/// Above this share of the best score a candidate is good enough to be tried for the sake of learning.
const ADEQUATE: f64 = 0.8;

impl Router {
    /// Now and then somebody adequate of whom little is known, where little is at stake.
    pub(super) fn explore(&self, question: &Question<'_>, analysis: &Analysis, scored: &[Scored]) -> Option<usize> {
        let percent = self.routing.explore_percent.unwrap_or(read::EXPLORE_PERCENT);
        let due = question.draw.is_some_and(|draw| draw * 100.0 < f64::from(percent));
        let learns = self.routing.mode == Mode::Enforce && self.past.tasks() > 0;
        if !due || !learns || analysis.risk.value > Risk::Medium {
            return None;
        }
        let best = scored.first()?.score;
        let adequate = scored
            .iter()
            .enumerate()
            .filter(|(_, one)| one.score >= best * ADEQUATE);
        let least = adequate.min_by_key(|(_, one)| self.past.tried(one.agent.as_str()))?;
        (least.0 != 0).then_some(least.0)
    }
}
