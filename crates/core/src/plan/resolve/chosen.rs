//! Who does a task that leaves it open: the router's choice, kept with its reason.

use super::{AUTO, Resolve};
use crate::analysis::Facts;
use crate::plan::problem::Place;
use crate::route::Question;
use crate::spec::{TaskSpec, Work};

impl Resolve<'_, '_> {
    /// Puts the chosen agent in the place of `auto`. Those that come next follow it, unless the plan says who does.
    pub(super) fn choose(&mut self, own: &str, mut spec: TaskSpec, at: Place) -> Option<TaskSpec> {
        let (Some(router), Work::Prompt(text), AUTO) = (self.context.router, &spec.work, spec.agent.as_str()) else {
            return Some(spec);
        };
        let question = Question {
            facts: Facts {
                text,
                files: &spec.files,
                checks: spec.verify.len(),
                material_tokens: None,
            },
            plans: spec.planner,
            budget_nano: spec.budget.map(|budget| budget.cost_nano),
            seed: Some(seed(own, text, router.borrow().past_tasks())),
            ..Question::default()
        };
        let choice = router.borrow_mut().assign(&question);
        let Some(chosen) = choice.chosen() else {
            let message = format!("{own}: nobody here can do it");
            let reasons = choice.excluded.iter().map(|one| format!("{} ({})", one.agent, one.why));
            let reasons: Vec<String> = reasons.collect();
            let help = match reasons.as_slice() {
                [] => "`wheelhouse doctor` says which agents are missing".to_owned(),
                some => format!("left out: {}", some.join("; ")),
            };
            self.reporter.error("nobody", at, AUTO, message, help);
            return None;
        };
        spec.agent = chosen.agent.clone();
        if spec.model.is_none() {
            spec.model.clone_from(&chosen.model);
        }
        if spec.fallback.is_empty() {
            spec.fallback.clone_from(&choice.fallback);
        }
        // The chain of the rule may say how long its first option has, and how often.
        if let Some(first) = &choice.first {
            spec.timeout_ms = first.timeout_ms.unwrap_or(spec.timeout_ms);
            spec.retry_max = first.retry_max.unwrap_or(spec.retry_max);
            spec.window_tokens = first.window_tokens;
        }
        spec.routed = Some(choice.sentence());
        Some(spec)
    }
}

/// A number of the task's own: the same for the same task under the same past, so that a plan shows what a run does.
fn seed(key: &str, text: &str, past_tasks: usize) -> u64 {
    let bytes = key.bytes().chain([0]).chain(text.bytes());
    let bytes = bytes.chain((past_tasks as u64).to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
