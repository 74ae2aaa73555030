//! `consensus` as a task: seats that vote blind, a quorum over distinct vendors, a veto.
//!
//! The counting is [`consensus::tally`]'s. A seat that crashed, said nothing or gave no verdict does not vote. Seats that
//! would say what others say are left out, and called in like those in reserve ([`super::review`]) where it matters.

use serde::{Deserialize, Serialize};

use super::consensus::{self, Decision, Rule, Seat, Tally, Voice};
use super::report::{Report, block};
use super::review::call::{self, CALLED};
use super::review::{self, Bench, LeftOut, Said, merge};
use super::steps::{reader, wait, words};
use super::{Child, Delivery, Hand, Output, Past, Step};
use crate::outcome::Outcome;
use crate::spec::TaskSpec;
use crate::verdict::{ASKED_FOR, Finding, Verdict};

/// Who votes, and when it is agreed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Panel {
    /// The voters.
    pub seats: Vec<Hand>,
    /// Who is called in only when it matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserve: Vec<Hand>,
    /// When it is agreed.
    pub rule: Rule,
}

impl Panel {
    /// Those who vote in any case, then the reserve.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Hand> {
        self.seats.iter().chain(&self.reserve)
    }
}

/// One voter, while it is counted.
#[derive(Clone, Copy)]
struct Voter<'a> {
    place: usize,
    hand: &'a Hand,
    /// It was called in.
    called: bool,
}

impl Voter<'_> {
    fn step(&self, round: u32) -> String {
        let seat = self.place + 1;
        match (round, self.called) {
            (1, false) => format!("seat-{seat}"),
            (1, true) => format!("seat-{seat}{CALLED}"),
            _ => format!("seat-{seat}.round-{round}"),
        }
    }
}

/// What is decided about one panel.
struct Table<'a> {
    task: &'a TaskSpec,
    panel: &'a Panel,
    bench: &'a Bench,
    past: &'a Past<'a>,
    left_out: Vec<LeftOut>,
}

/// What follows.
pub(super) fn next(task: &TaskSpec, panel: &Panel, bench: &Bench, past: &Past<'_>) -> Step {
    let mut table = Table {
        task,
        panel,
        bench,
        past,
        left_out: review::record::left_out(bench, &panel.seats, panel.rule.quorum as usize),
    };
    let mut voters = table.first();
    let mut last: Vec<&Child> = Vec::new();
    for round in 1..=panel.rule.rounds_max.clamp(1, consensus::ROUNDS_MAX) {
        let children = match table.heard(&voters, &last, round) {
            Ok(children) => children,
            Err(step) => return step,
        };
        let called = if round == 1 {
            table.called(&voters, &children)
        } else {
            Vec::new()
        };
        let children = match table.heard(&called, &last, round) {
            Ok(more) => [children, more].concat(),
            Err(step) => return step,
        };
        voters.extend(called);
        let tally = table.count(&voters, &children, round);
        if tally.decision != Decision::AnotherRound {
            return Step::Done(Box::new(table.delivery(&voters, round, &tally)));
        }
        last = children;
    }
    wait()
}

impl<'a> Table<'a> {
    /// Who votes from the beginning. Somebody who has voted is not left out any more.
    fn first(&mut self) -> Vec<Voter<'a>> {
        let voters = self.panel.seats.iter().enumerate().map(|(place, hand)| Voter {
            place,
            hand,
            called: false,
        });
        let voters: Vec<Voter<'a>> = voters.collect();
        self.left_out
            .retain(|one| self.past.get(&voters[one.place].step(1)).is_none());
        let out: Vec<usize> = self.left_out.iter().map(|one| one.place).collect();
        voters.into_iter().filter(|voter| !out.contains(&voter.place)).collect()
    }

    /// Who is called in by what the first said.
    fn called(&self, first: &[Voter<'a>], children: &[&Child]) -> Vec<Voter<'a>> {
        let waits = |place: &usize| !first.iter().any(|voter| voter.place == *place);
        let waiting = self.panel.everybody().enumerate().filter(|(place, _)| waits(place));
        let verdicts: Vec<(Voter<'a>, &Child, Verdict)> = spoken(first, children);
        let said: Vec<Said<'_>> = verdicts.iter().map(said).collect();
        let silent = said.len() < first.len();
        let calls = call::calls(self.bench, words(self.task), waiting, &said, silent);
        let voter = |call: call::Call| {
            let hand = self.panel.everybody().nth(call.place)?;
            Some(Voter {
                place: call.place,
                hand,
                called: true,
            })
        };
        calls.into_iter().filter_map(voter).collect()
    }

    /// The children of a round, or what comes first.
    fn heard(&self, voters: &[Voter<'a>], last: &[&Child], round: u32) -> Result<Vec<&'a Child>, Step> {
        let (mut missing, mut children) = (Vec::new(), Vec::new());
        for voter in voters {
            let step = voter.step(round);
            match self.past.get(&step) {
                Some(child) => children.push(child),
                None => missing.push(reader(
                    self.task,
                    self.past,
                    &step,
                    voter.hand,
                    prompt(self.task, last, round),
                )),
            }
        }
        if !missing.is_empty() {
            return Err(Step::Await {
                new: missing,
                open_max: 0,
            });
        }
        match children.iter().any(|child| child.outcome.is_none()) {
            true => Err(wait()),
            false => Ok(children),
        }
    }

    fn count(&self, voters: &[Voter<'a>], children: &[&Child], round: u32) -> Tally {
        let seats: Vec<Seat> = voters
            .iter()
            .map(|voter| Seat {
                name: format!("seat-{} ({})", voter.place + 1, voter.hand.agent),
                vendor: voter.hand.vendor.clone(),
            })
            .collect();
        let voice = |child: &&Child| match &child.outcome {
            Some(outcome) => Voice::of(outcome, &child.text),
            None => Voice::Silent {
                why: "it gave no answer".to_owned(),
            },
        };
        let voices: Vec<Voice> = children.iter().map(voice).collect();
        consensus::tally(self.panel.rule, &seats, &voices, round)
    }

    fn delivery(&self, voters: &[Voter<'a>], round: u32, tally: &Tally) -> Delivery {
        let mut report = Report {
            workflow: "consensus",
            confidence: tally.confidence,
            ..Report::default()
        };
        report.without(&self.left_out);
        let mut lines = Vec::new();
        let mut last: Vec<(Voter<'a>, &Child, Verdict)> = Vec::new();
        for of_round in 1..=round {
            for voter in voters {
                let name = voter.step(of_round);
                let Some(child) = self.past.get(&name) else { continue };
                let spoken = spoken(&[*voter], &[child]).pop();
                report.part(&name, child);
                report.note(&name, child, spoken.as_ref().map(|(.., verdict)| verdict));
                if let Some(spoken) = spoken.filter(|_| of_round == round) {
                    let verdict = &spoken.2;
                    let stance = verdict.stance.name();
                    lines.push(format!("- {name} ({}): {stance} {}", child.agent, verdict.summary));
                    if !self.bench.triage {
                        lines.extend(verdict.findings.iter().map(|finding| format!("  FINDING: {finding}")));
                    }
                    report.unresolved.extend(verdict.unresolved.iter().cloned());
                    last.push(spoken);
                }
            }
        }
        let quiet = tally
            .silent
            .iter()
            .map(|(seat, why)| format!("- {seat} does not vote: {why}"));
        lines.extend(quiet);
        let said: Vec<Said<'_>> = last.iter().map(said).collect();
        report.found(&said, self.bench);
        if self.bench.triage && !report.reviews.is_empty() {
            let findings = report.findings.iter().take(merge::LIST_MAX);
            lines.extend(findings.map(|finding| format!("FINDING: {finding}")));
        }
        let scores = || last.iter().filter_map(|(.., verdict)| verdict.score).map(u32::from);
        let mean = scores()
            .sum::<u32>()
            .checked_div(u32::try_from(scores().count()).unwrap_or(u32::MAX));
        report.score = mean.and_then(|mean| u8::try_from(mean).ok());
        let (outcome, status, headline) = decided(tally, self.panel.rule);
        let attention = matches!(tally.decision, Decision::Undecided { .. }).then(|| headline.clone());
        let verdict = block(status, tally.confidence, report.score, &report.findings, &headline);
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
}

/// Those who gave a verdict.
fn spoken<'v, 'c>(voters: &[Voter<'v>], children: &[&'c Child]) -> Vec<(Voter<'v>, &'c Child, Verdict)> {
    let heard = |(voter, child): (&Voter<'v>, &&'c Child)| match Voice::of(child.outcome.as_ref()?, &child.text) {
        Voice::Vote(verdict) => Some((*voter, *child, verdict)),
        Voice::Silent { .. } => None,
    };
    voters.iter().zip(children).filter_map(heard).collect()
}

fn said<'s>((voter, child, verdict): &'s (Voter<'_>, &Child, Verdict)) -> Said<'s> {
    Said {
        name: voter.hand.agent.as_str(),
        vendor: &voter.hand.vendor,
        task: &child.key,
        verdict,
    }
}

/// The first round is blind; later ones see what was said, without who said it.
fn prompt(task: &TaskSpec, last: &[&Child], round: u32) -> String {
    let mut prompt = words(task).to_owned();
    if round > 1 {
        prompt.push_str("\n\nThis is another round, because the first answers did not agree. What was said:\n");
        for child in last.iter().filter(|child| child.succeeded()) {
            prompt.push_str(&format!("\n{{{{ tasks.{}.summary }}}}\n", child.key));
        }
        prompt.push_str("\nStay with your judgement unless somebody gave a reason that changes it.");
    }
    format!("{prompt}\n\nYou vote alone, and by this answer only.\n\n{ASKED_FOR}")
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
