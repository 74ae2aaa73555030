//! Reviews of a project as a play of chance with a seed: who finds what is drawn, who is heard is decided by the product.
//! There is no labelled review data here, so everything about the reviewers is an assumption, and this tells what the
//! rules do under it, not what they do to anybody's reviews:
//!
//! - four reviewers of four vendors and a fifth one that looks after safety; each has one domain of its own;
//! - a draft has none to five problems, each in one domain, all domains alike; 5 % of them are P0, 15 % P1, 40 % P2;
//! - a reviewer finds a problem of its domain with 80 %, and one of another with 80 % times the `overlap`; draws are
//!   independent of each other, and nobody reports what is not there;
//! - all words for one problem are taken for the same; who finds something grave objects;
//! - all cost the same, and a review in which somebody is called in waits for it.
//!
//! With and without are the same draws.

use std::collections::BTreeSet;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::verdict::{Finding, Severity, Stance, Verdict};
use wheelhouse_core::workflow::Hand;
use wheelhouse_core::workflow::review::call::{self, Domain};
use wheelhouse_core::workflow::review::record::{self, REVIEWS_MAX};
use wheelhouse_core::workflow::review::{Bench, Review, Reviewer, Said, merge};

/// The reviewers; the last one looks after safety.
pub(crate) const NAMES: [&str; 5] = ["sql", "web", "api", "ops", "safety"];
/// How likely a reviewer finds a problem of its own domain.
const OWN: f64 = 0.8;

/// What came of many reviews.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// Reviewers that would have been heard.
    pub(crate) would: u32,
    /// Reviewers that were heard, at first or called in.
    pub(crate) heard: u32,
    /// P0 and P1 problems that somebody would have found.
    pub(crate) grave: u32,
    /// Those that nobody found who was heard.
    pub(crate) grave_lost: u32,
    /// P0 problems that exactly one would have found.
    pub(crate) alone: u32,
    /// Those that nobody found who was heard.
    pub(crate) alone_lost: u32,
    /// All other problems that somebody would have found.
    pub(crate) small: u32,
    /// Those that nobody found who was heard.
    pub(crate) small_lost: u32,
    /// Reviews in which the one that looks after safety was not heard.
    pub(crate) safety_left_out: u32,
}

impl Sum {
    pub(crate) fn add(&mut self, other: Sum) {
        self.would += other.would;
        self.heard += other.heard;
        self.grave += other.grave;
        self.grave_lost += other.grave_lost;
        self.alone += other.alone;
        self.alone_lost += other.alone_lost;
        self.small += other.small;
        self.small_lost += other.small_lost;
        self.safety_left_out += other.safety_left_out;
    }
}

/// Chance with a seed (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> usize {
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn is(&mut self, share: f64) -> bool {
        let drawn = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(drawn) < share * 4_294_967_296.0
    }
}

/// One planted problem, and who would find it.
struct Problem {
    finding: Finding,
    finders: Vec<bool>,
}

fn problem(chance: &mut Chance, number: usize, overlap: f64) -> Problem {
    let domain = chance.below(5);
    let severity = match chance.below(20) {
        0 => Severity::P0,
        1..=3 => Severity::P1,
        4..=11 => Severity::P2,
        _ => Severity::P3,
    };
    let finders = (0..NAMES.len()).map(|who| chance.is(if who == domain { OWN } else { OWN * overlap }));
    let finders = finders.collect();
    let finding = Finding {
        severity,
        file: Some(format!("src/part{number}.rs")),
        line: Some(u32::try_from(number * 100).unwrap_or(0)),
        claim: format!("the {} is wrong", NAMES[domain]),
        evidence: String::new(),
    };
    Problem { finding, finders }
}

fn verdict(problems: &[Problem], who: usize) -> Verdict {
    let found = problems.iter().filter(|problem| problem.finders[who]);
    let findings: Vec<Finding> = found.map(|problem| problem.finding.clone()).collect();
    let grave = findings.iter().any(is_grave);
    Verdict {
        stance: if grave { Stance::Revise } else { Stance::Approve },
        confidence: None,
        score: None,
        findings,
        unresolved: Vec::new(),
        summary: String::new(),
    }
}

fn is_grave(finding: &Finding) -> bool {
    matches!(finding.severity, Severity::P0 | Severity::P1)
}

fn said<'a>(heard: &[usize], verdicts: &'a [Verdict], task: &'a TaskKey) -> Vec<Said<'a>> {
    let one = |who: &usize| Said {
        name: NAMES[*who],
        vendor: NAMES[*who],
        task,
        verdict: &verdicts[*who],
    };
    heard.iter().map(one).collect()
}

/// So many reviews of one project, one after the other, by the product's rules.
pub(crate) fn project(seed: u64, reviews: usize, overlap: f64) -> Sum {
    let mut chance = Chance(seed);
    let hands: Vec<Hand> = NAMES
        .iter()
        .map(|name| Hand {
            agent: (*name).into(),
            model: None,
            vendor: (*name).to_owned(),
        })
        .collect();
    let domain = |name: &&str| {
        let words = vec![(*name).to_owned()];
        (
            (*name).into(),
            Domain {
                words,
                paths: Vec::new(),
            },
        )
    };
    let mut bench = Bench {
        guards: BTreeSet::from([NAMES[4].into()]),
        domains: NAMES.iter().map(domain).collect(),
        triage: true,
        ..Bench::default()
    };
    let task: TaskKey = "t".into();
    let mut sum = Sum::default();
    for _ in 0..reviews {
        let problems: Vec<Problem> = (0..chance.below(6))
            .map(|number| problem(&mut chance, number, overlap))
            .collect();
        let verdicts: Vec<Verdict> = (0..NAMES.len()).map(|who| verdict(&problems, who)).collect();
        bench.lot = chance.next();
        let out: Vec<usize> = record::left_out(&bench, &hands, 2)
            .iter()
            .map(|one| one.place)
            .collect();
        let mut heard: Vec<usize> = (0..NAMES.len()).filter(|who| !out.contains(who)).collect();
        let first = said(&heard, &verdicts, &task);
        let waiting = hands.iter().enumerate().filter(|(who, _)| out.contains(who));
        let called = call::calls(&bench, "", waiting, &first, false);
        heard.extend(called.iter().map(|call| call.place));
        count(&mut sum, &problems, &heard);
        let said = said(&heard, &verdicts, &task);
        let review = Review {
            heard: said.iter().map(reviewer).collect(),
            findings: merge::merge(&said, &bench),
        };
        bench.record.reviews.insert(0, review);
        bench.record.reviews.truncate(REVIEWS_MAX);
    }
    sum
}

fn reviewer(said: &Said<'_>) -> Reviewer {
    Reviewer {
        name: said.name.to_owned(),
        vendor: said.vendor.to_owned(),
        task: said.task.clone(),
        stance: said.verdict.stance,
        rated: None,
    }
}

fn count(sum: &mut Sum, problems: &[Problem], heard: &[usize]) {
    sum.would += u32::try_from(NAMES.len()).unwrap_or(0);
    sum.heard += u32::try_from(heard.len()).unwrap_or(0);
    sum.safety_left_out += u32::from(!heard.contains(&4));
    for problem in problems {
        let finders = problem.finders.iter().filter(|finds| **finds).count();
        if finders == 0 {
            continue;
        }
        let lost = u32::from(!heard.iter().any(|who| problem.finders[*who]));
        if is_grave(&problem.finding) {
            sum.grave += 1;
            sum.grave_lost += lost;
        } else {
            sum.small += 1;
            sum.small_lost += lost;
        }
        if problem.finding.severity == Severity::P0 && finders == 1 {
            sum.alone += 1;
            sum.alone_lost += lost;
        }
    }
}
