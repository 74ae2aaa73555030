//! Work given to several at once: how they work together, and what their answers come to.
//!
//! The work itself is messages like any others ([`crate::crew::Command::Coordinate`]), each a turn of an instance and
//! so a task of the engine: durable, metered, recovered. What is pure stands here: what each is asked, and the outcome
//! of the answers. It is computed from what is stored whenever somebody looks, so there is nothing to lose.

use serde::{Deserialize, Serialize};

use crate::ids::{CoordinationId, InstanceId, MessageId};
use crate::message::Party;
use crate::outcome as turn;
use crate::time::Millis;
use crate::verdict;
use crate::workflow::consensus::{self, Rule, Tally, Voice};

/// How many may take part.
pub const SEATS_MAX: usize = 50;

/// How they work together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// All at the same time; every answer counts for itself.
    Parallel,
    /// One after the other; each sees the answer before.
    Sequential,
    /// All at the same time and blind to each other; enough distinct vendors must approve.
    Consensus {
        /// How many distinct vendors.
        quorum: u32,
    },
}

impl Mode {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Parallel => "parallel",
            Mode::Sequential => "sequential",
            Mode::Consensus { .. } => "consensus",
        }
    }
}

/// A piece of work given to several, as stored.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Coordination {
    /// Its id.
    pub id: CoordinationId,
    /// Who wanted it.
    pub by: Party,
    /// How they work together.
    pub mode: Mode,
    /// What it is about.
    pub text: String,
    /// Who takes part, in order.
    pub seats: Vec<Seat>,
    /// When it began.
    pub at: Millis,
}

/// One who takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// The instance.
    pub instance: InstanceId,
    /// What it was sent.
    pub message: MessageId,
    /// Who stands behind its agent.
    pub vendor: String,
}

/// Whether these can work together so, or why not.
pub fn check<'v>(mode: Mode, vendors: impl Iterator<Item = &'v str>) -> Result<(), String> {
    let seats: Vec<consensus::Seat> = vendors
        .map(|vendor| consensus::Seat {
            name: String::new(),
            vendor: vendor.to_owned(),
        })
        .collect();
    let most = match mode {
        Mode::Parallel | Mode::Sequential => SEATS_MAX,
        Mode::Consensus { .. } => consensus::SEATS_MAX,
    };
    match (seats.len(), rule(mode)) {
        (0, _) => Err("nobody takes part".to_owned()),
        (many, _) if many > most => Err(format!("{many} take part; {most} may")),
        (_, Some(rule)) if rule.quorum == 0 => Err("a quorum of 0 decides nothing".to_owned()),
        (_, Some(rule)) => consensus::reachable(rule, &seats),
        (_, None) => Ok(()),
    }
}

/// One blind round: in a second one, whoever was outvoted would read the majority first.
fn rule(mode: Mode) -> Option<Rule> {
    match mode {
        Mode::Parallel | Mode::Sequential => None,
        Mode::Consensus { quorum } => Some(Rule {
            quorum,
            veto: true,
            rounds_max: 1,
        }),
    }
}

/// What each is asked.
pub fn prompt(mode: Mode, text: &str) -> String {
    match mode {
        Mode::Parallel | Mode::Sequential => text.to_owned(),
        Mode::Consensus { .. } => format!("{text}\n\n{}", verdict::ASKED_FOR),
    }
}

/// The answer of a seat, as far as there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is still expected.
    Expected,
    /// Its turn ended so, and this is what it said.
    Given(turn::Outcome, String),
    /// Nobody will give it.
    Missing,
}

/// What the answers come to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Some are still expected; one of them could be a veto.
    Open {
        /// How many.
        expected: u32,
    },
    /// All answers are there that will come.
    Answered {
        /// How many.
        given: u32,
        /// How many failed or will never come.
        missing: u32,
    },
    /// The votes are counted.
    Decided(Tally),
}

/// Weighs the answers, in the order of the seats. `name` says what a seat's instance is called.
pub fn outcome(coordination: &Coordination, answers: &[Answer], name: impl Fn(InstanceId) -> String) -> Outcome {
    let count = |wanted: fn(&Answer) -> bool| {
        u32::try_from(answers.iter().filter(|answer| wanted(answer)).count()).unwrap_or(u32::MAX)
    };
    let expected = count(|answer| *answer == Answer::Expected);
    if expected > 0 {
        return Outcome::Open { expected };
    }
    let Some(rule) = rule(coordination.mode) else {
        let given = count(|answer| matches!(answer, Answer::Given(how, _) if how.is_success()));
        let missing = u32::try_from(answers.len()).unwrap_or(u32::MAX).saturating_sub(given);
        return Outcome::Answered { given, missing };
    };
    let seats: Vec<consensus::Seat> = coordination
        .seats
        .iter()
        .map(|seat| consensus::Seat {
            name: name(seat.instance),
            vendor: seat.vendor.clone(),
        })
        .collect();
    let voices: Vec<Voice> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Given(how, text) => Voice::of(how, text),
            Answer::Expected | Answer::Missing => Voice::Silent {
                why: "it gave no answer".to_owned(),
            },
        })
        .collect();
    Outcome::Decided(consensus::tally(rule, &seats, &voices, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::consensus::Decision;

    fn coordination(mode: Mode, vendors: &[&str]) -> Coordination {
        Coordination {
            id: CoordinationId(1),
            by: Party::Person,
            mode,
            text: "ship it?".to_owned(),
            seats: (1..)
                .zip(vendors)
                .map(|(n, vendor)| Seat {
                    instance: InstanceId(n),
                    message: MessageId(n),
                    vendor: (*vendor).to_owned(),
                })
                .collect(),
            at: Millis(0),
        }
    }

    fn given(text: &str) -> Answer {
        Answer::Given(turn::Outcome::Succeeded, text.to_owned())
    }

    fn weighed(of: &Coordination, answers: &[Answer]) -> Outcome {
        outcome(of, answers, |id| id.to_string())
    }

    fn decision(of: &Coordination, answers: &[Answer]) -> Decision {
        match weighed(of, answers) {
            Outcome::Decided(tally) => tally.decision,
            other => panic!("{other:?}"),
        }
    }

    const YES: &str = "The locking is right.\nVERDICT: approve";
    const NO: &str = "It loses data on a crash.\nVERDICT: reject";

    #[test]
    fn a_quorum_counts_vendors_and_a_failed_turn_does_not_vote() {
        let two = coordination(Mode::Consensus { quorum: 2 }, &["a", "a", "b"]);
        assert_eq!(decision(&two, &[given(YES), given(YES), given(YES)]), Decision::Agreed);
        let missing = decision(&two, &[given(YES), given(YES), Answer::Missing]);
        assert!(matches!(missing, Decision::Undecided { .. }), "{missing:?}");
        let failed = Answer::Given(turn::Outcome::Crashed, YES.to_owned());
        assert!(matches!(
            decision(&two, &[given(YES), given(YES), failed]),
            Decision::Undecided { .. }
        ));
        assert_eq!(decision(&two, &[given(NO), given(NO), given(NO)]), Decision::Rejected);
    }

    #[test]
    fn nothing_is_decided_while_a_veto_could_come() {
        let three = coordination(Mode::Consensus { quorum: 1 }, &["a", "b", "c"]);
        assert_eq!(
            weighed(&three, &[given(YES), given(YES), Answer::Expected]),
            Outcome::Open { expected: 1 }
        );
        let veto = given("FINDING: P0 src/a.rs:3 - backups are deleted - line 3\nVERDICT: reject");
        let vetoed = decision(&three, &[given(YES), veto, given(YES)]);
        assert!(matches!(vetoed, Decision::Vetoed { seat, .. } if seat == "i2"));
    }

    #[test]
    fn other_modes_only_wait_for_their_answers() {
        let all = coordination(Mode::Parallel, &["a", "b"]);
        assert_eq!(
            weighed(&all, &[given("x"), Answer::Expected]),
            Outcome::Open { expected: 1 }
        );
        assert_eq!(
            weighed(&all, &[given("x"), Answer::Missing]),
            Outcome::Answered { given: 1, missing: 1 }
        );
    }

    #[test]
    fn a_quorum_that_cannot_be_reached_is_said_at_once() {
        let seats = ["a", "a"];
        assert!(
            check(Mode::Consensus { quorum: 2 }, seats.into_iter())
                .unwrap_err()
                .ends_with("1: a")
        );
        assert!(check(Mode::Consensus { quorum: 0 }, seats.into_iter()).is_err());
        assert!(check(Mode::Consensus { quorum: 1 }, seats.into_iter()).is_ok());
        assert!(check(Mode::Parallel, std::iter::empty()).is_err());
        assert!(check(Mode::Sequential, std::iter::repeat_n("a", SEATS_MAX + 1)).is_err());
    }
}
