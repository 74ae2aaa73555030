//! The anti-patterns, seen before anything starts. What can be refused is refused where it is read; this only warns.
//!
//! | anti-pattern | refused | warned of |
//! |---|---|---|
//! | a grinder makes strategic calls | `may-not-decide` | `grinder-decides` |
//! | an orchestrator does grinder work | | `orchestrator-grinds` |
//! | no quality gate between steps | | `ungated-pipeline` |
//! | the same model reviews its own work | `self-review` | `own-review` |
//! | spawning agents for trivial tasks | | `trivial-crew` |
//! | infinite retry loops | `too-many-retries` | `many-tries` |

use std::collections::HashMap;

use super::{EXEC, Resolve};
use crate::analysis::{Analysis, Complexity, Facts, Kind, Risk, analyse};
use crate::ids::{AgentName, TaskKey};
use crate::plan::problem::Place;
use crate::roster::{Entry, Role};
use crate::spec::{TaskSpec, Work};
use crate::workflow::Workflow;

/// So many prompts in a row without anybody or anything looking at what came out are one too many.
const UNGATED_MAX: usize = 2;
/// More tries than that of one task are no plan any more.
const TRIES_MAX: usize = 6;
/// From this cost tier on an agent is too dear for what anybody could do.
const DEAR_TIER: u8 = 5;
/// Up to this one it is cheap because it does not weigh things.
const CHEAP_TIER: u8 = 2;

/// A task and what it is.
struct Seen<'s> {
    spec: &'s TaskSpec,
    at: Place,
    /// Of prompts only.
    analysis: Option<Analysis>,
}

impl Seen<'_> {
    fn is_prompt(&self) -> bool {
        self.analysis.is_some()
    }

    /// Whether something or somebody looks at what comes out of it.
    fn is_gated(&self) -> bool {
        let reviews = self
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.kind.value == Kind::Review);
        let judged = matches!(
            self.spec.flow.workflow.as_deref(),
            Some(Workflow::Qc(_) | Workflow::Consensus(_) | Workflow::Cascade(_) | Workflow::Gate(_))
        );
        reviews || judged || !self.spec.verify.is_empty() || self.spec.approval
    }
}

impl Resolve<'_, '_> {
    /// Says what a plan will regret.
    pub(super) fn advise(&mut self, specs: &[(TaskSpec, Place)]) {
        let seen: Vec<Seen<'_>> = specs
            .iter()
            .map(|(spec, at)| Seen {
                spec,
                at: *at,
                analysis: match &spec.work {
                    Work::Prompt(text) => Some(analyse(&Facts {
                        text,
                        files: &spec.files,
                        checks: spec.verify.len(),
                        material_tokens: None,
                    })),
                    Work::Exec(_) | Work::Turn(_) => None,
                },
            })
            .collect();
        let by_key: HashMap<&TaskKey, &Seen<'_>> = seen.iter().map(|one| (&one.spec.key, one)).collect();
        for one in &seen {
            self.trivial(one, seen.len());
            self.by_role(one);
            self.own_review(one, &by_key);
            self.tries(one);
        }
        self.ungated(&seen, &by_key);
    }

    fn warn(&mut self, code: &'static str, one: &Seen<'_>, message: String, help: &str) {
        self.reporter
            .warning(code, one.at, one.spec.key.as_str(), message, help);
    }

    fn trivial(&mut self, one: &Seen<'_>, tasks: usize) {
        let Some(analysis) = &one.analysis else { return };
        let simple = analysis.complexity.value == Complexity::Simple && analysis.risk.value <= Risk::Medium;
        let crew = one
            .spec
            .flow
            .workflow
            .as_deref()
            .map_or(1, |workflow| workflow.hands().len());
        if simple && (crew > 1 || tasks == 1) && one.spec.verify.is_empty() {
            let key = &one.spec.key;
            let message = match crew {
                1 => format!("`{key}` is simple: handing it over costs more than doing it"),
                many => format!("`{key}` is simple, and {many} agents are to do it"),
            };
            let help = "do it yourself, or give it to one agent; `wheelhouse route TEXT` says what it is taken for";
            self.warn("trivial-crew", one, message, help);
        }
    }

    fn entry(&self, agent: &AgentName) -> Option<Entry> {
        let router = self.context.router?.borrow();
        let candidate = router.candidates().iter().find(|candidate| candidate.agent == *agent)?;
        Some(candidate.entry.clone())
    }

    /// Only for who was named: what is routed was weighed.
    fn by_role(&mut self, one: &Seen<'_>) {
        let Some(analysis) = &one.analysis else { return };
        let Some(entry) = self.entry(&one.spec.agent).filter(|_| one.spec.routed.is_none()) else {
            return;
        };
        let (key, agent) = (&one.spec.key, &one.spec.agent);
        let kind = analysis.kind.value;
        if kind == Kind::Strategy && (entry.role == Role::Classifier || entry.cost_tier <= CHEAP_TIER) {
            let message = format!("`{key}` is a decision, and `{agent}` is there to carry out");
            let help = "give it to an orchestrator, or leave `agent` out to have one chosen";
            self.warn("grinder-decides", one, message, help);
        }
        let production = matches!(
            kind,
            Kind::Implementation | Kind::Debug | Kind::Testing | Kind::Writing | Kind::Classification
        );
        if production && analysis.complexity.value == Complexity::Simple && entry.cost_tier >= DEAR_TIER {
            let message = format!("`{key}` is production work, and `{agent}` is the dearest there is");
            let help = "give it to a grinder, or leave `agent` out to have one chosen";
            self.warn("orchestrator-grinds", one, message, help);
        }
    }

    fn own_review(&mut self, one: &Seen<'_>, by_key: &HashMap<&TaskKey, &Seen<'_>>) {
        let reviews = one
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.kind.value == Kind::Review);
        if !reviews || one.spec.flow.workflow.is_some() {
            return;
        }
        let own = self.vendor(&one.spec.agent);
        let author =
            one.spec.needs.iter().filter_map(|need| by_key.get(need)).find(|need| {
                need.is_prompt() && need.spec.agent.as_str() != EXEC && self.vendor(&need.spec.agent) == own
            });
        let Some(author) = author else { return };
        let (key, agent, of) = (&one.spec.key, &one.spec.agent, &author.spec.key);
        let message = match author.spec.agent == *agent {
            true => format!("`{key}`: `{agent}` reviews `{of}`, which is its own work"),
            false => format!("`{key}`: `{agent}` reviews `{of}`, whose author is of {own} as well"),
        };
        let help = "let an agent of another vendor review it, or make one task of the two: `workflow: qc`";
        self.warn("own-review", one, message, help);
    }

    fn tries(&mut self, one: &Seen<'_>) {
        let spec = one.spec;
        let tries = (spec.retry_max as usize + 1) * (spec.fallback.len() + 1);
        if spec.routed.is_none() && tries > TRIES_MAX {
            let message = format!("`{}` may be tried {tries} times before anybody looks at it", spec.key);
            let help =
                "never more than 3 tries of one thing: take `retry` or `fallback` down, and add `on_failure: ask`";
            self.warn("many-tries", one, message, help);
        }
    }

    /// The longest row of prompts behind each other through which nothing is looked at.
    fn ungated(&mut self, seen: &[Seen<'_>], by_key: &HashMap<&TaskKey, &Seen<'_>>) {
        let mut rows: HashMap<&TaskKey, usize> = HashMap::new();
        // Needs may stand behind; as often as there are tasks at the most, in nearly all plans once.
        for _ in 0..seen.len().min(64) {
            let mut changed = false;
            for one in seen.iter().filter(|one| one.is_prompt() && !one.is_gated()) {
                let before = one.spec.needs.iter().filter_map(|need| {
                    by_key.get(need)?;
                    rows.get(need)
                });
                let row = before.max().map_or(1, |row| row + 1);
                changed |= rows.insert(&one.spec.key, row) != Some(row);
            }
            if !changed {
                break;
            }
        }
        for one in seen {
            if rows.get(&one.spec.key) == Some(&(UNGATED_MAX + 1)) {
                let message = format!(
                    "`{}` is the third prompt in a row, and nothing looks at what came out before it: errors add up",
                    one.spec.key
                );
                let help = "add `verify`, a review by another vendor, or `workflow: qc` to one of those before it";
                self.warn("ungated-pipeline", one, message, help);
            }
        }
    }
}
