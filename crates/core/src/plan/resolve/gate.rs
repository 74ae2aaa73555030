//! `gate`: what an answer must pass, and who may say so.

use super::Resolve;
use crate::ids::AgentName;
use crate::plan::gate::{By, Gated};
use crate::plan::problem::Place;
use crate::plan::walk::listed;
use crate::spec::{Isolation, TaskSpec, Work};
use crate::workflow::gate::{Gate, Judged};
use crate::workflow::{self, Workflow};

/// How many judges may be named.
const JUDGES_MAX: usize = 4;

impl Resolve<'_, '_> {
    /// Puts the gate into a task that has one. Its agents were chosen before.
    pub(super) fn gated(
        &mut self,
        own: &str,
        mut spec: TaskSpec,
        gate: Option<Gated>,
        is_workflow: bool,
    ) -> Option<TaskSpec> {
        let Some(gate) = gate else { return Some(spec) };
        let by_review = gate.by == By::Review;
        let misplaced = [
            (
                !matches!(spec.work, Work::Prompt(_)),
                "is a command, whose gate is its exit code",
                "add `verify` for further checks, or write `prompt`",
            ),
            (
                is_workflow,
                "is done by several, who have gates of their own",
                "take `gate` out: `qc` is cross-checked, a `cascade` has `confidence`; or take `workflow` out",
            ),
            (
                spec.planner,
                "returns tasks, whose gate is that they can be used",
                "take `gate` out, or add `approval: true` to let a person look",
            ),
            (
                by_review && spec.isolation == Isolation::Worktree,
                "works in a tree, and its gate reads answers only",
                "write `workflow: qc` in place of `gate`: its reviewer gets a checkout of the work",
            ),
            (
                !by_review && spec.schema.is_some(),
                "answers by a `schema`, which has no place for a verdict",
                "keep one of `schema` and `gate: verdict`",
            ),
        ];
        let mut fits = true;
        for (_, what, help) in misplaced.into_iter().filter(|(is, _, _)| *is) {
            let message = format!("{own} {what}");
            self.reporter.error("bad-gate", gate.at, "gate", message, help);
            fits = false;
        }
        if !fits {
            return None;
        }
        if !by_review {
            spec.flow.states_verdict = true;
            return Some(spec);
        }
        self.judged(own, spec, &gate)
    }

    /// Makes a task whose answers somebody else judges of it.
    fn judged(&mut self, own: &str, mut spec: TaskSpec, gate: &Gated) -> Option<TaskSpec> {
        let links = (0..spec.links()).filter_map(|place| spec.link(place));
        let links: Vec<Judged> = links
            .map(|link| {
                let vendor = self.vendor(&link.agent);
                Judged::of(link, vendor)
            })
            .collect();
        let mut made = Gate {
            links,
            judges: Vec::new(),
            score_min: gate.score,
        };
        if gate.reviewers.is_empty() {
            self.choose_judges(own, &mut made, gate.at)?;
        } else {
            made.judges = self.hands(own, &gate.reviewers, JUDGES_MAX)?;
            self.judges_differ(own, &made, gate)?;
        }
        spec.agent = AgentName(workflow::AGENT.to_owned());
        spec.fallback = Vec::new();
        spec.model = None;
        spec.flow.workflow = Some(Box::new(Workflow::Gate(made)));
        Some(spec)
    }

    /// Every answer needs a judge who is of another vendor than its author.
    fn judges_differ(&mut self, own: &str, made: &Gate, gate: &Gated) -> Option<()> {
        let is_alone = |link: &&Judged| made.judge_of(&link.hand.vendor).is_none();
        let Some(alone) = made.links.iter().find(is_alone) else {
            return Some(());
        };
        let judges = listed(made.judges.iter().map(|judge| judge.agent.as_str()));
        let message = format!(
            "{own}: {judges} would judge what `{}` wrote, and is of {} as well: their blind spots are the same",
            alone.hand.agent, alone.hand.vendor
        );
        let help = "name a second judge of another vendor (`reviewer: [A, B]`: of each answer the first who is of another \
                    vendor judges), or write `gate: review` to have them chosen";
        let at = gate.reviewers.first().map_or(gate.at, |name| name.at);
        self.reporter
            .error("self-review", at, alone.hand.agent.as_str(), message, help);
        None
    }

    /// As few as do: best one who is of no vendor of the chain.
    fn choose_judges(&mut self, own: &str, made: &mut Gate, at: Place) -> Option<()> {
        let mut all: Vec<String> = made.links.iter().map(|link| link.hand.vendor.clone()).collect();
        all.sort_unstable();
        all.dedup();
        for place in 0..made.links.len() {
            let author = made.links[place].hand.clone();
            if made.judge_of(&author.vendor).is_some() {
                continue;
            }
            let judge = self
                .reviewer(&[], &all)
                .or_else(|| self.reviewer(&[], std::slice::from_ref(&author.vendor)));
            let Some(judge) = judge.filter(|judge| judge.vendor != author.vendor) else {
                let message = format!(
                    "{own}: nobody here is of another vendor than `{}` ({}), so nobody may judge what it answers",
                    author.agent, author.vendor
                );
                let help = "configure an agent of another vendor (`wheelhouse doctor` says which are missing), or take `gate` out";
                self.reporter
                    .error("no-reviewer", at, author.agent.as_str(), message, help);
                return None;
            };
            made.judges.push(judge);
        }
        Some(())
    }
}
