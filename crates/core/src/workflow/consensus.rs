//! Agreement among seats: who sits where, what counts as a vote, and what the votes come to.
//!
//! The first round is blind: nobody sees what another said. Only valid verdicts vote ([`Voice`]); an empty, cut or
//! garbled answer is a seat that stayed silent, never an approval. The quorum counts *distinct vendors* whose seats all
//! approve, so three seats of one vendor are one voice. One critical finding vetoes. Agreement is not correctness: who
//! disagreed, and with what, is part of the result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::verdict::{self, Finding, Severity, Stance, Verdict};

/// The most seats of one consensus.
pub const SEATS_MAX: usize = 12;
/// The most rounds.
pub const ROUNDS_MAX: u32 = 3;

/// One voter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Who sits there, for people.
    pub name: String,
    /// Whose model it is; seats of one vendor are one voice in the quorum.
    pub vendor: String,
}

/// When it is agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// How many distinct vendors must approve.
    pub quorum: u32,
    /// Whether one finding of severity P0 stops it, whoever approves.
    pub veto: bool,
    /// How many rounds at the most; later ones are not blind. At most [`ROUNDS_MAX`].
    pub rounds_max: u32,
}

/// What came from one seat in one round.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "voice", rename_all = "snake_case")]
pub enum Voice {
    /// A valid verdict.
    Vote(Verdict),
    /// No vote, for this reason.
    Silent {
        /// The reason.
        why: String,
    },
}

impl Voice {
    /// Hears a seat: an outcome and the text that came with it. Only a success with a readable verdict votes.
    pub fn of(outcome: &Outcome, text: &str) -> Voice {
        if !outcome.is_success() {
            let why = format!("it ended as {outcome}");
            return Voice::Silent { why };
        }
        match verdict::read(text) {
            Some(verdict) => Voice::Vote(verdict),
            None if text.trim().is_empty() => Voice::Silent {
                why: "it said nothing".to_owned(),
            },
            None => Voice::Silent {
                why: "its answer holds no verdict".to_owned(),
            },
        }
    }
}

/// What the votes of a round come to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// Enough vendors approve and nobody vetoes.
    Agreed,
    /// A critical finding stops it.
    Vetoed {
        /// The seat that made it.
        seat: String,
        /// The finding.
        finding: Finding,
    },
    /// More vendors reject it than approve, and no further round is due.
    Rejected,
    /// Another round, in which everybody sees what was said.
    AnotherRound,
    /// The rounds are used up without a quorum: a person must look.
    Undecided {
        /// Why.
        why: String,
    },
}

/// A round, counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tally {
    /// What it comes to.
    pub decision: Decision,
    /// Vendors whose seats that voted all approve.
    pub approving: Vec<String>,
    /// Vendors of which a seat rejects.
    pub rejecting: Vec<String>,
    /// Seats that did not vote, with the reason.
    pub silent: Vec<(String, String)>,
    /// How sure those who voted are on average, 0 to 100; a vote without a word about it is left out.
    pub confidence: Option<u8>,
}

/// Counts a round (from 1). `voices` are in the order of `seats`; a missing one is silent.
pub fn tally(rule: Rule, seats: &[Seat], voices: &[Voice], round: u32) -> Tally {
    let mut stances: BTreeMap<&str, Vec<Stance>> = BTreeMap::new();
    let mut silent = Vec::new();
    let mut sure: Vec<u32> = Vec::new();
    let mut veto = None;
    for (place, seat) in seats.iter().enumerate() {
        match voices.get(place) {
            Some(Voice::Vote(verdict)) => {
                stances.entry(&seat.vendor).or_default().push(verdict.stance);
                sure.extend(verdict.confidence.map(u32::from));
                let critical = verdict.findings.iter().find(|finding| finding.severity == Severity::P0);
                // Who approves all the same has not meant it as a veto.
                if let Some(finding) = critical.filter(|_| verdict.stance != Stance::Approve) {
                    veto.get_or_insert((seat.name.clone(), finding.clone()));
                }
            }
            Some(Voice::Silent { why }) => silent.push((seat.name.clone(), why.clone())),
            None => silent.push((seat.name.clone(), "it was not heard".to_owned())),
        }
    }
    let vendors = |wanted: fn(&[Stance]) -> bool| -> Vec<String> {
        let chosen = stances.iter().filter(|(_, stances)| wanted(stances));
        chosen.map(|(vendor, _)| (*vendor).to_owned()).collect()
    };
    let approving = vendors(|stances| stances.iter().all(|stance| *stance == Stance::Approve));
    let rejecting = vendors(|stances| stances.contains(&Stance::Reject));
    let last = round >= rule.rounds_max.clamp(1, ROUNDS_MAX);
    let decision = match veto.filter(|_| rule.veto) {
        Some((seat, finding)) if last => Decision::Vetoed { seat, finding },
        Some(_) => Decision::AnotherRound,
        None if approving.len() >= rule.quorum.max(1) as usize => Decision::Agreed,
        None if !last && !stances.is_empty() => Decision::AnotherRound,
        None if rejecting.len() > approving.len() => Decision::Rejected,
        None => Decision::Undecided {
            why: short_of(rule, &approving, stances.len(), silent.len()),
        },
    };
    let count = u32::try_from(sure.len()).unwrap_or(u32::MAX);
    let confidence = sure.iter().sum::<u32>().checked_div(count);
    Tally {
        decision,
        approving,
        rejecting,
        silent,
        confidence: confidence.and_then(|mean| u8::try_from(mean).ok()),
    }
}

fn short_of(rule: Rule, approving: &[String], voting: usize, silent: usize) -> String {
    let vendors = match approving {
        [] => "no vendor approves".to_owned(),
        [one] => format!("only {one} approves"),
        more => format!("only {} approve", more.join(", ")),
    };
    format!(
        "{vendors}; {} of different vendors must. {voting} vendors voted, {silent} seats stayed silent",
        rule.quorum
    )
}

/// Whether a quorum can be reached at all; else in words why not.
pub fn reachable(rule: Rule, seats: &[Seat]) -> Result<(), String> {
    let mut vendors: Vec<&str> = seats.iter().map(|seat| seat.vendor.as_str()).collect();
    vendors.sort_unstable();
    vendors.dedup();
    if rule.quorum as usize <= vendors.len() {
        return Ok(());
    }
    Err(format!(
        "a quorum of {} needs so many different vendors; the seats have {}: {}",
        rule.quorum,
        vendors.len(),
        vendors.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        quorum: 2,
        veto: true,
        rounds_max: 1,
    };

    fn seats(vendors: &[&str]) -> Vec<Seat> {
        let seat = |(place, vendor): (usize, &&str)| Seat {
            name: format!("seat-{}", place + 1),
            vendor: (*vendor).to_owned(),
        };
        vendors.iter().enumerate().map(seat).collect()
    }

    fn says(text: &str) -> Voice {
        Voice::of(&Outcome::Succeeded, text)
    }

    fn decided(rule: Rule, vendors: &[&str], texts: &[&str], round: u32) -> Decision {
        let voices: Vec<Voice> = texts.iter().map(|text| says(text)).collect();
        tally(rule, &seats(vendors), &voices, round).decision
    }

    const YES: &str = "VERDICT: approve";
    const NO: &str = "VERDICT: reject";

    #[test]
    fn the_quorum_counts_vendors_not_seats() {
        assert_eq!(decided(RULE, &["a", "b"], &[YES, YES], 1), Decision::Agreed);
        let one_voice = decided(RULE, &["a", "a", "a"], &[YES, YES, YES], 1);
        assert!(matches!(one_voice, Decision::Undecided { .. }));
        // A vendor that does not agree with itself does not approve.
        let split = decided(RULE, &["a", "a", "b"], &[YES, NO, YES], 1);
        assert!(matches!(split, Decision::Undecided { .. }), "{split:?}");
        assert_eq!(decided(RULE, &["a", "b", "c"], &[NO, NO, YES], 1), Decision::Rejected);
    }

    #[test]
    fn degenerate_answers_do_not_vote() {
        let seats = seats(&["a", "b", "c", "d"]);
        let voices = [
            says(YES),
            says("   "),
            says("I approve of this wholeheartedly."),
            Voice::of(&Outcome::Truncated, YES),
        ];
        let tally = tally(RULE, &seats, &voices, 1);
        assert_eq!(tally.approving, ["a"]);
        let reasons: Vec<&str> = tally.silent.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "it said nothing",
                "its answer holds no verdict",
                "it ended as truncated"
            ]
        );
        assert!(matches!(tally.decision, Decision::Undecided { .. }));
        // Nobody at all: no second round, there is nothing to talk about.
        let rule = Rule { rounds_max: 3, ..RULE };
        assert!(matches!(
            decided(rule, &["a", "b"], &["", ""], 1),
            Decision::Undecided { .. }
        ));
    }

    #[test]
    fn one_critical_finding_stops_everybody() {
        let veto = "FINDING: P0 src/a.rs:3 - keys are logged - line 3\nVERDICT: reject";
        let stopped = decided(RULE, &["a", "b", "c"], &[YES, YES, veto], 1);
        let Decision::Vetoed { seat, finding } = stopped else {
            panic!("{stopped:?}")
        };
        assert_eq!((seat.as_str(), finding.line), ("seat-3", Some(3)));
        let without = Rule { veto: false, ..RULE };
        assert_eq!(
            decided(without, &["a", "b", "c"], &[YES, YES, veto], 1),
            Decision::Agreed
        );
        let again = Rule { rounds_max: 2, ..RULE };
        assert_eq!(
            decided(again, &["a", "b", "c"], &[YES, YES, veto], 1),
            Decision::AnotherRound
        );
        let said_and_approved = "FINDING: P0 - fixed in the second commit\nVERDICT: approve";
        assert_eq!(
            decided(RULE, &["a", "b"], &[YES, said_and_approved], 1),
            Decision::Agreed
        );
    }

    #[test]
    fn rounds_end() {
        let rule = Rule { rounds_max: 99, ..RULE };
        for round in 1..ROUNDS_MAX {
            assert_eq!(decided(rule, &["a", "b"], &[YES, NO], round), Decision::AnotherRound);
        }
        let end = decided(rule, &["a", "b"], &[YES, NO], ROUNDS_MAX);
        assert!(matches!(end, Decision::Undecided { .. }), "{end:?}");
    }

    #[test]
    fn a_quorum_nobody_can_reach_is_known_before_it_starts() {
        assert_eq!(reachable(RULE, &seats(&["a", "b"])), Ok(()));
        let why = reachable(RULE, &seats(&["a", "a"])).unwrap_err();
        assert!(why.contains("the seats have 1: a"), "{why}");
    }

    #[test]
    fn the_mean_confidence_leaves_out_who_said_nothing() {
        let voices = [
            says("VERDICT: approve\nCONFIDENCE: 80"),
            says("VERDICT: approve\nCONFIDENCE: 60"),
            says(YES),
        ];
        assert_eq!(tally(RULE, &seats(&["a", "b", "c"]), &voices, 1).confidence, Some(70));
    }
}
