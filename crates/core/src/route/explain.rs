//! What is told besides the choice: why, what would change it, who else is worth asking, and whether to do it oneself.

use super::choice::{Choice, Consult, DoItYourself, Scored};
use super::floors::{Excluded, Floor};
use super::heard::Heard;
use super::{COLD_START_TOKENS, Caller, Question, RESULT_TOKENS, Router};
use crate::analysis::{Analysis, Complexity, Context, Kind, Risk};
use crate::ids::AgentName;
use crate::roster::Role;

impl Router {
    /// What the same question would get if one thing were different.
    pub(super) fn would_change(&self, question: &Question<'_>, choice: &Choice, heard: &Heard) -> Vec<String> {
        let mut changes = Vec::new();
        let Some(chosen) = choice.chosen() else {
            changes.extend(choice.excluded.iter().map(lifted));
            return changes;
        };
        if let Some(next) = choice
            .candidates
            .iter()
            .filter(|one| one.agent != chosen.agent || one.model != chosen.model)
            .max_by(|one, other| one.score.total_cmp(&other.score))
        {
            let ahead = chosen.score - next.score;
            if ahead >= 0.0 {
                changes.push(format!(
                    "`{}` is {ahead:.2} behind; its load, health or history could make that up",
                    shown(&next.agent, next.model.as_deref())
                ));
            } else {
                changes.push(format!(
                    "by score alone it would be `{}` ({:.2} ahead)",
                    shown(&next.agent, next.model.as_deref()),
                    -ahead
                ));
            }
        }
        let mut altered = Vec::new();
        let mut complexity = choice.analysis.clone();
        for value in [Complexity::Simple, Complexity::Medium, Complexity::Complex] {
            complexity.complexity.value = value;
            altered.push((format!("if it were {value}"), complexity.clone()));
        }
        let mut risk = choice.analysis.clone();
        for value in [Risk::Low, Risk::High, Risk::Critical] {
            risk.risk.value = value;
            altered.push((format!("if the risk were {value}"), risk.clone()));
        }
        for (what, analysis) in altered {
            if analysis == choice.analysis {
                continue;
            }
            let other = self.choose(
                &Question {
                    seed: None,
                    ..*question
                },
                analysis,
                heard,
            );
            match other.chosen() {
                Some(one) if (&one.agent, &one.model) != (&chosen.agent, &chosen.model) => {
                    changes.push(format!("{what}: `{}`", shown(&one.agent, one.model.as_deref())));
                }
                None => changes.push(format!("{what}: nobody here")),
                Some(_) => {}
            }
        }
        changes.extend(
            choice
                .excluded
                .iter()
                .filter(|one| one.floor != Floor::Availability)
                .map(lifted),
        );
        changes
    }
}

/// Delegation must earn its overhead: to an agent a simple task is better done than given away.
pub(super) fn do_it_yourself(question: &Question<'_>, analysis: &Analysis) -> Option<DoItYourself> {
    let simple = analysis.complexity.value == Complexity::Simple
        && analysis.risk.value <= Risk::Medium
        && analysis.context.value <= Context::Medium;
    if question.caller != Caller::Agent || !simple {
        return None;
    }
    let own = question.facts.text.len() as u64 / crate::analysis::CHARS_PER_TOKEN;
    Some(DoItYourself {
        reason: "it is simple: another agent would first read itself in, and you would read its result".to_owned(),
        // Written once as the order, read once by the other, whose own beginning comes on top; the result comes back.
        saved_tokens: COLD_START_TOKENS + 2 * own + RESULT_TOKENS,
    })
}

/// Much context: somebody who holds it is asked. Much at stake, or a hard task: somebody of another vendor reviews it.
/// Critical: both.
pub(super) fn consult(analysis: &Analysis, chosen: Option<usize>, scored: &[Scored]) -> Vec<Consult> {
    let Some(chosen) = chosen.and_then(|place| scored.get(place)) else {
        return Vec::new();
    };
    let critical = analysis.risk.value == Risk::Critical;
    let large = analysis.context.value >= Context::Large;
    let deep = analysis.risk.value >= Risk::High || analysis.complexity.value == Complexity::Complex;
    let mut consult = Vec::new();
    let mut add = |wanted: fn(&Scored) -> bool, what_for: &str, why: &str| {
        let others = scored.iter().filter(|one| one.vendor != chosen.vendor);
        if let Some(one) = others.clone().find(|one| wanted(one)).or_else(|| others.clone().next()) {
            consult.push(Consult {
                agent: one.agent.clone(),
                model: one.model.clone(),
                what_for: what_for.to_owned(),
                why: why.to_owned(),
            });
        }
    };
    if large || critical {
        let why = if large {
            "there is much to read"
        } else {
            "it is critical: the surroundings are checked too"
        };
        add(|one| one.role == Role::Researcher, "reader", why);
    }
    if deep && analysis.kind.value != Kind::Review {
        let why = if critical {
            "it is critical"
        } else {
            "a second pair of eyes, of another vendor"
        };
        add(|one| one.role == Role::Reviewer, "reviewer", why);
    }
    consult
}

pub(super) fn reason(choice: &Choice) -> String {
    let Some(chosen) = choice.chosen() else {
        return "nobody here can do it".to_owned();
    };
    let name = shown(&chosen.agent, chosen.model.as_deref());
    let analysis = &choice.analysis;
    let what = format!(
        "{} {}, {} risk",
        analysis.complexity.value, analysis.kind.value, analysis.risk.value
    );
    let paid_so = choice.pays.as_ref().filter(|pays| pays.obeyed);
    if let (Some(pays), false) = (paid_so, choice.rule.as_ref().is_some_and(|rule| rule.obeyed)) {
        return format!("`{name}`: {}", pays.why);
    }
    match &choice.rule {
        Some(rule) if rule.obeyed => format!("`{name}` by the rule `{}` (\"{}\")", rule.rule, rule.trigger),
        Some(_) | None if choice.explored => format!("`{name}`, to learn how it does at {what}"),
        Some(_) | None if choice.candidates.len() == 1 => format!("`{name}` is the only one left for {what}"),
        Some(_) | None => format!("`{name}` scores best ({:.2}) for {what}", chosen.score),
    }
}

fn lifted(one: &Excluded) -> String {
    format!("`{}` is out: {}", shown(&one.agent, one.model.as_deref()), one.why)
}

pub(super) fn shown(agent: &AgentName, model: Option<&str>) -> String {
    match model {
        Some(model) => format!("{agent} with {model}"),
        None => agent.to_string(),
    }
}
