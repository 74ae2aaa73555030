//! How many take part, and what that will take: it grows with what a task is, never beyond a handful by itself, and is
//! known before anything starts.

use serde::Serialize;

use super::gate::Judged;
use super::map::Over;
use super::qc::{Incorporate, ROUNDS_MAX};
use super::{HANDFUL, Hand, Workflow};
use crate::analysis::{Analysis, Complexity, Risk};
use crate::ids::TaskKey;

/// How many agents a task deserves: one for what is simple and harmless, one more for each step of difficulty, and one
/// more when much is at stake. At most [`HANDFUL`].
pub fn size(analysis: &Analysis) -> usize {
    let by_complexity = match analysis.complexity.value {
        Complexity::Simple => 1,
        Complexity::Medium => 2,
        Complexity::Complex => 3,
    };
    let by_risk = match analysis.risk.value {
        Risk::Low | Risk::Medium => 0,
        Risk::High => 1,
        Risk::Critical => 2,
    };
    (by_complexity + by_risk).min(HANDFUL)
}

/// The part of one agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Share {
    /// What it does.
    pub part: String,
    /// Who.
    pub hand: Hand,
    /// How many tries it has at least, without retries.
    pub tries_min: u32,
    /// At most; none when that shows only later.
    pub tries_max: Option<u32>,
    /// What one of its tries is expected to cost, in nano-dollars; none when nobody knows.
    pub try_nano: Option<u64>,
}

/// Who takes part in one task, and what it will take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Crew {
    /// The task.
    pub task: TaskKey,
    /// The workflow.
    pub workflow: &'static str,
    /// The parts.
    pub shares: Vec<Share>,
}

impl Crew {
    /// How many tries at least, and at most where that is known.
    pub fn tries(&self) -> (u32, Option<u32>) {
        let min = self.shares.iter().map(|share| share.tries_min).sum();
        let max = self.shares.iter().map(|share| share.tries_max).sum();
        (min, max)
    }

    /// What it is expected to cost at least and at most, in nano-dollars; absent when that of a part is not known.
    pub fn cost_nano(&self) -> Option<(u64, u64)> {
        let mut sum = (0_u64, 0_u64);
        for share in &self.shares {
            let nano = share.try_nano?;
            let most = share.tries_max?;
            sum.0 = sum.0.saturating_add(nano.saturating_mul(share.tries_min.into()));
            sum.1 = sum.1.saturating_add(nano.saturating_mul(most.into()));
        }
        Some(sum)
    }
}

/// The parts of a workflow; what a try costs is asked of `try_nano`.
pub fn crew(task: &TaskKey, workflow: &Workflow, try_nano: impl Fn(&Hand) -> Option<u64>) -> Crew {
    let share = |part: String, hand: &Hand, tries_min: u32, tries_max: Option<u32>| Share {
        part,
        try_nano: try_nano(hand),
        hand: hand.clone(),
        tries_min,
        tries_max,
    };
    let many = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let shares = match workflow {
        Workflow::Qc(qc) => {
            let own = 1 + u32::from(qc.self_review);
            let judged = qc.reviewer.is_some() || !qc.reserve.is_empty();
            let mends = if judged { ROUNDS_MAX } else { 1 };
            let mends = if qc.incorporate == Incorporate::Never && !judged {
                0
            } else {
                mends
            };
            let always = u32::from(qc.incorporate == Incorporate::Always);
            let mut shares = vec![share("author".to_owned(), &qc.author, own, Some(own))];
            if let Some(reviewer) = &qc.reviewer {
                shares.push(share("reviewer".to_owned(), reviewer, 1, Some(1 + ROUNDS_MAX)));
            }
            let reserve = qc.reserve.iter();
            shares.extend(reserve.map(|hand| share("reserve".to_owned(), hand, 0, Some(1 + ROUNDS_MAX))));
            match &qc.editor {
                Some(editor) => shares.push(share("editor".to_owned(), editor, always, Some(mends))),
                None => {
                    shares[0].tries_min += always;
                    shares[0].tries_max = Some(own + mends);
                }
            }
            shares
        }
        Workflow::Consensus(panel) => panel
            .seats
            .iter()
            .enumerate()
            .map(|(place, hand)| share(format!("seat-{}", place + 1), hand, 1, Some(panel.rule.rounds_max)))
            .chain(
                panel
                    .reserve
                    .iter()
                    .map(|hand| share("reserve".to_owned(), hand, 0, Some(panel.rule.rounds_max))),
            )
            .collect(),
        Workflow::Cascade(cascade) => cascade
            .rungs
            .iter()
            .enumerate()
            .map(|(place, hand)| {
                let least = u32::from(place == 0);
                share(format!("rung-{}", place + 1), hand, least, Some(cascade.strikes))
            })
            .collect(),
        Workflow::Map(map) => {
            let inputs = match &map.over {
                Over::Items(items) => Some(many(items.len())),
                Over::Output(_) => None,
            };
            let each = map
                .hands
                .iter()
                .map(|hand| share("each input".to_owned(), hand, inputs.unwrap_or(0), inputs));
            let reduce = map
                .reduce
                .iter()
                .map(|reduce| share("reduce".to_owned(), &reduce.hand, 1, Some(1)));
            let reserve = map
                .reserve
                .iter()
                .map(|hand| share("reserve".to_owned(), hand, 0, inputs));
            each.chain(reserve).chain(reduce).collect()
        }
        Workflow::Gate(gate) => {
            // Retries of the chain are not counted, as everywhere; each answer is judged once.
            let answers = gate.links.iter().enumerate().map(|(place, link)| {
                let least = u32::from(place == 0);
                share(format!("link-{}", place + 1), &link.hand, least, Some(1))
            });
            let judges = gate.judges.iter().map(|hand| {
                let is_its = |link: &Judged| gate.judge_of(&link.hand.vendor) == Some(hand);
                let least = u32::from(gate.links.first().is_some_and(is_its));
                let most = gate.links.iter().filter(|link| is_its(link)).count();
                share("judge".to_owned(), hand, least, Some(many(most)))
            });
            answers.chain(judges).collect()
        }
    };
    Crew {
        task: task.clone(),
        workflow: workflow.name(),
        shares,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Facts, analyse};
    use crate::workflow::cascade::Cascade;

    fn of(text: &str) -> usize {
        size(&analyse(&Facts {
            text,
            ..Facts::default()
        }))
    }

    #[test]
    fn a_crew_grows_with_the_task_and_stays_a_handful() {
        let simple = of("fix the typo in the comment");
        let medium = of("write a rate limiter for the HTTP client");
        let grave = of(
            "redesign the architecture of the authentication and payment system, migrate all passwords and \
             credit cards in production, and refactor the distributed transaction protocol across services",
        );
        assert_eq!(simple, 1);
        assert!(medium >= 2, "{medium}");
        assert!(grave > medium && grave <= HANDFUL, "{grave}");
    }

    #[test]
    fn what_it_takes_is_known_before() {
        let hand = |agent: &str| Hand {
            agent: agent.into(),
            model: None,
            vendor: agent.to_owned(),
        };
        let cascade = Workflow::Cascade(Cascade {
            rungs: vec![hand("cheap"), hand("dear")],
            strikes: 2,
            confidence_min: 30,
        });
        let price = |hand: &Hand| Some(if hand.agent.as_str() == "cheap" { 1 } else { 10 });
        let known = crew(&"t".into(), &cascade, price);
        assert_eq!(known.tries(), (1, Some(4)));
        assert_eq!(known.cost_nano(), Some((1, 22)));
        assert_eq!(
            crew(&"t".into(), &cascade, |_| None).cost_nano(),
            None,
            "unknown is not zero"
        );
    }
}
