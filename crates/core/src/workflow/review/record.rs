//! What earlier reviews of the project say about each reviewer: what it found that nobody else did, and how often it was
//! right.
//!
//! Published dropout of agents (AgentDropout, arXiv 2503.18891) is trained on labelled tasks; this is a relative that
//! needs none. A reviewer is left out when it is as good as certain that little would be missed: with 95 % (Wilson 1927)
//! fewer than one in five reviews get something from it that the others do not say, and nothing grave was among it. One
//! review in twenty hears everybody all the same, so that the record does not go blind on those who are left out.

use super::{Bench, Merged, Review, is_grave};
use crate::route::past::Count;
use crate::workflow::Hand;

/// How many reviews are remembered, the newest.
pub const REVIEWS_MAX: usize = 60;
/// In how large a share of reviews a reviewer may be missed, at most, by the upper bound: it takes 16 reviews in which it
/// brought nothing of its own.
pub const MISSED_MAX: f64 = 0.2;
/// How many are heard in any case.
pub const HEARD_MIN: usize = 2;
/// One review in so many hears everybody.
pub const LOTS: u64 = 20;
/// Trust is the mean of a Beta distribution that begins with four findings confirmed and two rejected (interflux).
const PRIOR: (f64, f64) = (4.0, 2.0);
/// After so many reviews what was confirmed or rejected counts half (interflux).
const HALF_LIFE: f64 = 30.0;
/// The least and most that trust does to a finding (interflux); one is a reviewer that nobody knows yet.
const WEIGHT: (f64, f64) = (0.5, 1.2);

/// Earlier reviews, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// At most [`REVIEWS_MAX`].
    pub reviews: Vec<Review>,
}

/// Somebody who is not heard at first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its place among those who review.
    pub place: usize,
    /// Its step, as a reason for people names it.
    pub step: String,
    /// Who.
    pub hand: Hand,
    /// Why.
    pub why: String,
}

/// What a reviewer brought that others did not, over the reviews in which both were heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// Reviews in which it and one of the others were heard.
    pub reviews: u32,
    /// Those in which it said something that none of the others did.
    pub alone: u32,
    /// Those in which that was grave.
    pub grave: u32,
}

impl Own {
    /// Whether it may be left out.
    pub fn is_redundant(self) -> bool {
        let count = Count {
            tasks: self.reviews,
            succeeded: self.alone,
        };
        self.grave == 0 && count.interval().1 <= MISSED_MAX
    }
}

impl Record {
    /// What this reviewer brought beside those others.
    pub fn own(&self, name: &str, others: &[&str]) -> Own {
        let mut own = Own::default();
        for review in &self.reviews {
            let Some(me) = review.heard.iter().find(|one| one.name == name) else {
                continue;
            };
            let mut beside = review.heard.iter().filter(|one| others.contains(&one.name.as_str()));
            let mut beside_it = beside.by_ref().peekable();
            if beside_it.peek().is_none() {
                continue;
            }
            let objects_alone = me.stance.objects() && !beside_it.any(|one| one.stance.objects());
            let alone = |merged: &&Merged| {
                let by = |who: &str| merged.by.iter().any(|by| by == who);
                // What was rejected is nobody's merit.
                by(name) && !others.iter().any(|other| by(other)) && merged.confirmed != Some(false)
            };
            let mut found = review.findings.iter().filter(alone).peekable();
            own.reviews += 1;
            own.alone += u32::from(objects_alone || found.peek().is_some());
            own.grave += u32::from(objects_alone || found.any(|merged| is_grave(&merged.finding)));
        }
        own
    }

    /// What the findings of this reviewer weigh: one is a reviewer that nobody knows. Who looks after safety is never
    /// weighed down.
    pub fn weight(&self, name: &str, is_guard: bool) -> f64 {
        let (mut accepted, mut rejected) = PRIOR;
        let mut now = 1.0;
        for review in &self.reviews {
            let Some(me) = review.heard.iter().find(|one| one.name == name) else {
                continue;
            };
            let of_it = review
                .findings
                .iter()
                .filter(|merged| merged.by.iter().any(|by| by == name));
            for confirmed in of_it.filter_map(|merged| merged.confirmed).chain(me.rated) {
                *(if confirmed { &mut accepted } else { &mut rejected }) += now;
            }
            now *= 0.5_f64.powf(1.0 / HALF_LIFE);
        }
        let trust = accepted / (accepted + rejected);
        let weight = (trust / (PRIOR.0 / (PRIOR.0 + PRIOR.1))).clamp(WEIGHT.0, WEIGHT.1);
        if is_guard { weight.max(1.0) } else { weight }
    }
}

/// Who of these is not heard at first. One after the other, because two that find the same cover each other: the one
/// that brought least goes first, and the next is measured against those who stay. `vendors` different ones stay.
pub fn left_out(bench: &Bench, hands: &[Hand], vendors: usize) -> Vec<LeftOut> {
    let mut stay: Vec<usize> = (0..hands.len()).collect();
    let mut out: Vec<LeftOut> = Vec::new();
    if bench.lot.is_multiple_of(LOTS) {
        return out;
    }
    while stay.len() > HEARD_MIN {
        let may_go = |place: &usize| {
            let agent = &hands[*place].agent;
            let mut rest: Vec<&str> = others(&stay, *place)
                .map(|other| hands[other].vendor.as_str())
                .collect();
            rest.sort_unstable();
            rest.dedup();
            !bench.guards.contains(agent) && !bench.stay.contains(agent) && rest.len() >= vendors
        };
        let of_it = |place: usize| {
            let beside: Vec<&str> = others(&stay, place).map(|other| hands[other].agent.as_str()).collect();
            (place, bench.record.own(hands[place].agent.as_str(), &beside))
        };
        let redundant = stay
            .iter()
            .copied()
            .filter(may_go)
            .map(of_it)
            .filter(|(_, own)| own.is_redundant());
        let Some((place, own)) = redundant.min_by_key(|(place, own)| (own.alone, std::cmp::Reverse(*place))) else {
            break;
        };
        stay.retain(|other| *other != place);
        out.push(LeftOut {
            place,
            step: format!("seat-{}", place + 1),
            hand: hands[place].clone(),
            why: why(own),
        });
    }
    out
}

/// What is said of somebody who is left out.
pub(in crate::workflow) fn why(own: Own) -> String {
    match own.alone {
        0 => format!("in {} reviews the others said all that it said", own.reviews),
        some => format!(
            "in {} of {} reviews the others said all that it said",
            own.reviews - some,
            own.reviews
        ),
    }
}

fn others(stay: &[usize], place: usize) -> impl Iterator<Item = usize> + '_ {
    stay.iter().copied().filter(move |other| *other != place)
}

#[cfg(test)]
mod tests {
    use super::super::Reviewer;
    use super::*;
    use crate::verdict::{self, Stance};

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn hands() -> Vec<Hand> {
        let hand = |name: &&str| Hand {
            agent: (*name).into(),
            model: None,
            vendor: (*name).to_owned(),
        };
        NAMES.iter().map(hand).collect()
    }

    /// A review in which those found something at line 3 who are named, and `c` also what is its own.
    fn review(finders: &[&str], own: Option<&str>) -> Review {
        let heard = NAMES.map(|name| Reviewer {
            name: name.to_owned(),
            vendor: name.to_owned(),
            task: "t.seat-1".into(),
            stance: Stance::Approve,
            rated: None,
        });
        let found = |line: &str, by: &[&str]| Merged {
            finding: verdict::read(&format!("FINDING: {line}\nVERDICT: revise"))
                .unwrap()
                .findings[0]
                .clone(),
            by: by.iter().map(|by| (*by).to_owned()).collect(),
            weight: 100,
            confirmed: None,
        };
        let mut findings = vec![found("P1 a.rs:3 - it is wrong", finders)];
        findings.extend(own.map(|severity| found(&format!("{severity} b.rs:9 - another thing"), &["c"])));
        Review {
            heard: heard.to_vec(),
            findings,
        }
    }

    fn bench(reviews: Vec<Review>) -> Bench {
        Bench {
            record: Record { reviews },
            lot: 1,
            ..Bench::default()
        }
    }

    fn who(bench: &Bench, vendors: usize) -> Vec<String> {
        let out = left_out(bench, &hands(), vendors);
        out.into_iter().map(|one| one.hand.agent.to_string()).collect()
    }

    #[test]
    fn who_brings_nothing_of_its_own_is_left_out_once_that_is_certain() {
        assert_eq!(
            who(&bench(vec![review(&["a", "b", "c"], None); 15]), 2),
            Vec::<String>::new()
        );
        assert_eq!(who(&bench(vec![review(&["a", "b", "c"], None); 16]), 2), ["c"]);
        // All three say the same, and two of them stay.
        assert_eq!(who(&bench(vec![review(&["a", "b", "c"], None); 60]), 1), ["c"]);
    }

    #[test]
    fn one_finding_of_its_own_needs_more_evidence_and_a_grave_one_keeps_it() {
        let with = |own: &str, count: usize| {
            let mut reviews = vec![review(&["a", "b", "c"], None); count];
            reviews.push(review(&["a", "b"], Some(own)));
            who(&bench(reviews), 3)
        };
        assert_eq!(with("P3", 16), Vec::<String>::new(), "three vendors have to stay");
        let small = |count: usize| {
            let mut reviews = vec![review(&["a", "c"], None); count];
            reviews.push(review(&["a", "c"], Some("P3")));
            bench(reviews).record.own("c", &["a", "b"]).is_redundant()
        };
        assert!(!small(16) && small(40));
        let mut reviews = vec![review(&["a", "c"], None); 59];
        reviews.push(review(&["a"], Some("P0")));
        assert!(!bench(reviews).record.own("c", &["a", "b"]).is_redundant());
    }

    #[test]
    fn safety_quorum_and_settings_keep_somebody_in() {
        let known = || bench(vec![review(&["a", "b", "c"], None); 30]);
        let guard = Bench {
            guards: ["c".into()].into(),
            ..known()
        };
        assert_eq!(who(&guard, 2), ["b"]);
        let stay = Bench {
            stay: ["b".into(), "c".into()].into(),
            ..known()
        };
        assert_eq!(who(&stay, 2), ["a"]);
        assert!(who(&known(), 3).is_empty(), "three vendors have to agree");
        let lot = Bench { lot: 40, ..known() };
        assert!(who(&lot, 2).is_empty(), "now and then everybody is heard");
    }

    #[test]
    fn two_that_cover_each_other_do_not_both_go() {
        let hands: Vec<Hand> = ["a", "b", "c", "d"]
            .map(|name| Hand {
                agent: name.into(),
                model: None,
                vendor: name.to_owned(),
            })
            .to_vec();
        // c and a find one thing, b and d nothing.
        let mut one = review(&["a", "c"], None);
        let mut fourth = one.heard[0].clone();
        fourth.name = "d".to_owned();
        one.heard.push(fourth);
        let out = left_out(&bench(vec![one; 40]), &hands, 1);
        let gone: Vec<&str> = out.iter().map(|one| one.hand.agent.as_str()).collect();
        assert_eq!(gone, ["d", "c"]);
    }

    #[test]
    fn what_was_confirmed_weighs_more_and_safety_never_less() {
        let judged = |confirmed: bool| {
            let mut one = review(&["a"], None);
            one.findings[0].confirmed = Some(confirmed);
            Record { reviews: vec![one; 20] }
        };
        let new = Record::default().weight("a", false);
        assert!((new - 1.0).abs() < 1e-9);
        assert!(judged(true).weight("a", false) > 1.19);
        assert!((judged(false).weight("a", false) - 0.5).abs() < 1e-9);
        assert!((judged(false).weight("a", true) - 1.0).abs() < 1e-9);
        let mut rated = review(&[], None);
        rated.heard[1].rated = Some(false);
        assert!(Record { reviews: vec![rated] }.weight("b", false) < 1.0);
    }
}
