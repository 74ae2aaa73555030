//! `cascade`: the cheapest first; what does not pass goes one rung up, with the lesson of the failure.
//!
//! A rung passes when its work is done, the task's checks pass, it is sure enough and flags no doubt. Two strikes a
//! rung; a doubt that an agent flags goes up at once, because somebody who may decide has to.

use serde::{Deserialize, Serialize};

use super::report::{Report, Skipped, block};
use super::steps::{doubts, one, producing, wait, words, worker};
use super::{Child, Delivery, Hand, Output, Past, Step};
use crate::outcome::Outcome;
use crate::spec::TaskSpec;
use crate::verdict::{self, Stance};

/// How many rungs there may be.
pub const RUNGS_MAX: usize = 6;
/// How many tries a rung has.
pub const STRIKES: u32 = 2;
/// How sure a rung must be when it says how sure it is and the plan does not say otherwise: below it the seed's quality
/// gate moves on.
pub const CONFIDENCE_MIN: u8 = 30;

/// Who tries in which order, and what passes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cascade {
    /// The cheapest first.
    pub rungs: Vec<Hand>,
    /// Tries a rung, 1 to [`STRIKES`].
    pub strikes: u32,
    /// How sure a rung must be.
    pub confidence_min: u8,
}

/// Why a try did not pass.
enum Miss {
    /// Trying the same agent again may help.
    Strike(String),
    /// It cannot help: the next rung at once.
    Up(String),
}

/// What follows.
pub(super) fn next(task: &TaskSpec, cascade: &Cascade, past: &Past<'_>) -> Step {
    let mut report = Report {
        workflow: "cascade",
        ..Report::default()
    };
    let mut lessons: Vec<(&Child, String)> = Vec::new();
    for (place, hand) in cascade.rungs.iter().enumerate() {
        for strike in 1..=cascade.strikes.clamp(1, STRIKES) {
            let step = format!("rung-{}.{strike}", place + 1);
            let Some(child) = past.get(&step) else {
                let mut child = worker(task, past, &step, hand, prompt(task, &lessons));
                // The strikes are ours; a try that only waits for its allowance goes on waiting.
                child.retry_max = 0;
                return one(child);
            };
            let Some(outcome) = &child.outcome else { return wait() };
            if *outcome == Outcome::Cancelled {
                return given_up(child, outcome, report);
            }
            report.note(&step, child, verdict::read(&child.text).as_ref());
            let up = match missed(cascade, child, outcome) {
                None => return passed(cascade, place, child, report),
                Some(Miss::Strike(why)) => {
                    lessons.push((child, why));
                    false
                }
                Some(Miss::Up(why)) => {
                    lessons.push((child, why));
                    true
                }
            };
            if up {
                break;
            }
        }
    }
    Step::Done(Box::new(nobody_passed(&lessons, report)))
}

fn missed(cascade: &Cascade, child: &Child, outcome: &Outcome) -> Option<Miss> {
    match outcome {
        Outcome::Succeeded => {}
        Outcome::ContextTooLong
        | Outcome::Refused
        | Outcome::Unavailable
        | Outcome::Auth
        | Outcome::BudgetExhausted
        | Outcome::Skipped { .. } => return Some(Miss::Up(format!("it ended as {outcome}"))),
        other => {
            let failed = child.result.checks.iter().find(|check| !check.passed());
            let why = failed.map_or_else(
                || format!("it ended as {other}"),
                |check| format!("the check `{}` failed: {}", check.command, check.tail),
            );
            return Some(Miss::Strike(why));
        }
    }
    let doubts = doubts(&child.text);
    if !doubts.is_empty() {
        return Some(Miss::Up(format!("it was not sure: {}", doubts.join("; "))));
    }
    match verdict::confidence(&child.text) {
        Some(sure) if sure < cascade.confidence_min => {
            let min = cascade.confidence_min;
            return Some(Miss::Strike(format!("it was {sure} % sure; {min} % are needed")));
        }
        Some(_) | None => {}
    }
    let judged =
        verdict::read(&child.text).filter(|verdict| matches!(verdict.stance, Stance::Reject | Stance::Undecided));
    judged.map(|verdict| Miss::Strike(format!("it says itself that it is not done: {}", verdict.summary)))
}

fn prompt(task: &TaskSpec, lessons: &[(&Child, String)]) -> String {
    let mut prompt = words(task).to_owned();
    for (child, why) in lessons {
        let why = crate::plan::template::literal(why);
        prompt.push_str(&format!(
            "\n\nAn earlier try did not pass: {why}\nWhat it said:\n{{{{ tasks.{}.summary }}}}",
            child.key
        ));
    }
    if !lessons.is_empty() {
        prompt.push_str("\n\nDo not repeat what did not pass.");
    }
    producing(task, prompt)
}

fn passed(cascade: &Cascade, place: usize, child: &Child, mut report: Report) -> Step {
    report.confidence = verdict::confidence(&child.text);
    report.part("producer", child);
    report.fallback_depth = u32::try_from(place).unwrap_or(u32::MAX);
    for (rung, hand) in cascade.rungs.iter().enumerate().skip(place + 1) {
        report.skipped.push(Skipped {
            step: format!("rung-{} ({})", rung + 1, hand.agent),
            why: "a cheaper one passed".to_owned(),
        });
    }
    let headline = format!(
        "passed on rung {} of {} ({})",
        place + 1,
        cascade.rungs.len(),
        child.agent
    );
    Step::Done(Box::new(Delivery::passed(child, &headline, report)))
}

/// All are weak: the surest work is kept, and said not to have passed. Whoever flagged a doubt at the top is answered by
/// a person.
fn nobody_passed(lessons: &[(&Child, String)], mut report: Report) -> Delivery {
    let best = lessons
        .iter()
        .filter(|(child, _)| child.succeeded())
        .max_by_key(|(child, _)| verdict::confidence(&child.text).unwrap_or(0));
    let last = lessons.last();
    report.unresolved = lessons
        .iter()
        .map(|(child, why)| format!("{}: {why}", child.agent))
        .collect();
    report.confidence = best.and_then(|(child, _)| verdict::confidence(&child.text));
    let headline = match last {
        Some((child, why)) => format!("no rung passed; the last ({}): {why}", child.agent),
        None => "no rung passed".to_owned(),
    };
    let doubt = last.filter(|(child, _)| child.succeeded() && !doubts(&child.text).is_empty());
    let outcome = match (best, last) {
        (None, Some((child, _))) => child.outcome.clone().unwrap_or(Outcome::LowConfidence),
        _ => Outcome::LowConfidence,
    };
    Delivery {
        outcome,
        attention: doubt.map(|(_, why)| why.clone()),
        output: best.map_or(Output::Nothing, |(child, _)| Output::Of(child.key.clone())),
        summary: headline.clone(),
        verdict: Some(block("fail", report.confidence, None, &[], &headline)),
        report,
    }
}

fn given_up(child: &Child, outcome: &Outcome, report: Report) -> Step {
    Step::Done(Box::new(Delivery {
        outcome: outcome.clone(),
        attention: None,
        output: Output::Nothing,
        summary: format!("`{}` was cancelled", child.key),
        verdict: None,
        report,
    }))
}
