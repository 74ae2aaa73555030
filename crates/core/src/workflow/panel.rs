//! `consensus` as a task: seats that vote blind, a quorum over distinct vendors, a veto.
//!
//! The counting is [`consensus::tally`]'s. A seat that crashed, said nothing or gave no verdict does not vote.

use serde::{Deserialize, Serialize};

use super::consensus::{self, Decision, Rule, Seat, Tally, Voice};
use super::report::{Report, block};
use super::steps::{reader, wait, words};
use super::{Child, Delivery, Hand, Output, Past, Step};
use crate::outcome::Outcome;
use crate::spec::TaskSpec;
use crate::verdict::{ASKED_FOR, Finding};

/// Who votes, and when it is agreed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Panel {
    /// The voters.
    pub seats: Vec<Hand>,
    /// When it is agreed.
    pub rule: Rule,
}

/// What follows.
pub(super) fn next(task: &TaskSpec, panel: &Panel, past: &Past<'_>) -> Step {
    let mut last: Vec<Option<&Child>> = Vec::new();
    for round in 1..=panel.rule.rounds_max.clamp(1, consensus::ROUNDS_MAX) {
        let names = || (1..=panel.seats.len()).map(|seat| step(seat, round));
        let children: Vec<Option<&Child>> = names().map(|name| past.get(&name)).collect();
        let missing: Vec<TaskSpec> = panel
            .seats
            .iter()
            .zip(names())
            .zip(&children)
            .filter(|(_, child)| child.is_none())
            .map(|((hand, name), _)| reader(task, past, &name, hand, prompt(task, &last, round)))
            .collect();
        if !missing.is_empty() {
            return Step::Await {
                new: missing,
                open_max: 0,
            };
        }
        if children.iter().flatten().any(|child| child.outcome.is_none()) {
            return wait();
        }
        let tally = count(panel, &children, round);
        if tally.decision != Decision::AnotherRound {
            return Step::Done(Box::new(delivery(panel, past, round, &tally)));
        }
        last = children;
    }
    wait()
}

fn step(seat: usize, round: u32) -> String {
    match round {
        1 => format!("seat-{seat}"),
        _ => format!("seat-{seat}.round-{round}"),
    }
}

/// The first round is blind; later ones see what was said, without who said it.
fn prompt(task: &TaskSpec, last: &[Option<&Child>], round: u32) -> String {
    let mut prompt = words(task).to_owned();
    if round > 1 {
        prompt.push_str("\n\nThis is another round, because the first answers did not agree. What was said:\n");
        for child in last.iter().flatten().filter(|child| child.succeeded()) {
            prompt.push_str(&format!("\n{{{{ tasks.{}.summary }}}}\n", child.key));
        }
        prompt.push_str("\nStay with your judgement unless somebody gave a reason that changes it.");
    }
    format!("{prompt}\n\nYou vote alone, and by this answer only.\n\n{ASKED_FOR}")
}

fn count(panel: &Panel, children: &[Option<&Child>], round: u32) -> Tally {
    let seats: Vec<Seat> = panel
        .seats
        .iter()
        .enumerate()
        .map(|(place, hand)| Seat {
            name: format!("seat-{} ({})", place + 1, hand.agent),
            vendor: hand.vendor.clone(),
        })
        .collect();
    let voices: Vec<Voice> = children
        .iter()
        .map(|child| match child {
            Some(Child {
                outcome: Some(outcome),
                text,
                ..
            }) => Voice::of(outcome, text),
            Some(_) | None => Voice::Silent {
                why: "it gave no answer".to_owned(),
            },
        })
        .collect();
    consensus::tally(panel.rule, &seats, &voices, round)
}

fn delivery(panel: &Panel, past: &Past<'_>, round: u32, tally: &Tally) -> Delivery {
    let mut report = Report {
        workflow: "consensus",
        confidence: tally.confidence,
        ..Report::default()
    };
    let mut lines = Vec::new();
    for of_round in 1..=round {
        for seat in 1..=panel.seats.len() {
            let name = step(seat, of_round);
            let Some(child) = past.get(&name) else { continue };
            let verdict = match child.outcome.as_ref().map(|outcome| Voice::of(outcome, &child.text)) {
                Some(Voice::Vote(verdict)) => Some(verdict),
                Some(Voice::Silent { .. }) | None => None,
            };
            report.part(&name, child);
            report.note(&name, child, verdict.as_ref());
            let Some(verdict) = verdict.filter(|_| of_round == round) else {
                continue;
            };
            lines.push(format!(
                "- {name} ({}): {} {}",
                child.agent,
                verdict.stance.name(),
                verdict.summary
            ));
            lines.extend(verdict.findings.iter().map(|finding| format!("  FINDING: {finding}")));
            report.findings.extend(verdict.findings);
            report.unresolved.extend(verdict.unresolved);
        }
    }
    lines.extend(
        tally
            .silent
            .iter()
            .map(|(seat, why)| format!("- {seat} does not vote: {why}")),
    );
    report.findings.sort_by_key(|finding| finding.severity);
    let (outcome, status, headline) = decided(tally, panel.rule);
    let attention = matches!(tally.decision, Decision::Undecided { .. }).then(|| headline.clone());
    let verdict = block(status, tally.confidence, None, &report.findings, &headline);
    let text = format!("{headline}\n{}\n\n--- VERDICT ---\n{verdict}\n---\n", lines.join("\n"));
    Delivery {
        outcome,
        attention,
        output: Output::Text(text),
        summary: format!("{headline}\n{}", lines.join("\n")),
        verdict: Some(verdict),
        report,
    }
}

fn decided(tally: &Tally, rule: Rule) -> (Outcome, &'static str, String) {
    let vendors = |names: &[String]| match names {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    };
    let vetoed = |seat: &str, finding: &Finding| format!("stopped by a critical finding of {seat}: {finding}");
    match &tally.decision {
        Decision::Agreed => {
            let who = vendors(&tally.approving);
            let say = format!("agreed by {who}; {} different vendors had to", rule.quorum);
            (Outcome::Succeeded, "pass", say)
        }
        Decision::Vetoed { seat, finding } => (Outcome::GateFailed, "fail", vetoed(seat, finding)),
        Decision::Rejected => {
            let say = format!(
                "rejected by {}; approved by {}",
                vendors(&tally.rejecting),
                vendors(&tally.approving)
            );
            (Outcome::GateFailed, "fail", say)
        }
        Decision::Undecided { why } => (Outcome::LowConfidence, "error", format!("not decided: {why}")),
        Decision::AnotherRound => (Outcome::LowConfidence, "error", "not decided yet".to_owned()),
    }
}
