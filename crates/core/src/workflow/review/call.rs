//! Who is called in after the first have spoken: those who were left out, or wait in reserve, when something grave
//! touches what they read for, or when the first do not agree.
//!
//! The points are those of interflux: a P0 in the domain 3, a P1 there 2, disagreement 2, a task about the domain 1; from
//! two on somebody is called, three at the most. It costs one more round of waiting, and only where something was found.

use super::{Said, is_grave};
use crate::verdict::{Finding, Severity, Stance};
use crate::workflow::Hand;
use crate::write_set::overlap;

/// What stands behind the step of somebody who was called in.
pub const CALLED: &str = ".called";
/// How many are called in at the most.
pub const CALLED_MAX: usize = 3;
/// From so many points on somebody is called in.
const POINTS_MIN: u32 = 2;

/// What somebody reads for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Domain {
    /// Words, in lower case.
    pub words: Vec<String>,
    /// Patterns of paths.
    pub paths: Vec<String>,
}

impl Domain {
    /// Whether the finding is in it.
    pub fn holds(&self, finding: &Finding) -> bool {
        let file = finding.file.as_deref().unwrap_or_default();
        let by_path = !file.is_empty() && overlap(&[file.to_owned()], &self.paths);
        by_path || self.is_about(&format!("{file} {} {}", finding.claim, finding.evidence))
    }

    /// Whether a text has one of its words.
    pub fn is_about(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.words
            .iter()
            .any(|word| !word.is_empty() && text.contains(word.as_str()))
    }
}

/// Somebody who is called in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its place among those who review.
    pub place: usize,
    /// Why.
    pub why: String,
}

/// Who of those that wait is called in, by what the first said. `silent`: one of them has nothing to count.
pub fn calls<'h>(
    bench: &super::Bench,
    task: &str,
    waiting: impl Iterator<Item = (usize, &'h Hand)>,
    first: &[Said<'_>],
    silent: bool,
) -> Vec<Call> {
    let approve = first
        .iter()
        .filter(|said| said.verdict.stance == Stance::Approve)
        .count();
    let disagree = silent || (approve > 0 && approve < first.len());
    let grave: Vec<&Finding> = first
        .iter()
        .flat_map(|said| &said.verdict.findings)
        .filter(|finding| is_grave(finding))
        .collect();
    let points = |(place, hand): (usize, &Hand)| {
        let domain = bench.domains.get(&hand.agent);
        let touching = grave
            .iter()
            .filter(|finding| domain.is_some_and(|domain| domain.holds(finding)));
        let worst = touching.min_by_key(|finding| finding.severity);
        let mut points = 0;
        let mut why = Vec::new();
        if let Some(finding) = worst {
            points += if finding.severity == Severity::P0 { 3 } else { 2 };
            why.push(format!("a {} is in its domain: {}", finding.severity, finding.claim));
        }
        if disagree {
            points += 2;
            why.push("the first do not agree".to_owned());
        }
        points += u32::from(domain.is_some_and(|domain| domain.is_about(task)));
        let why = why.join("; ");
        (points, Call { place, why })
    };
    let mut called: Vec<(u32, Call)> = waiting
        .map(points)
        .filter(|(points, _)| *points >= POINTS_MIN)
        .collect();
    called.sort_by_key(|(points, call)| (std::cmp::Reverse(*points), call.place));
    called.into_iter().take(CALLED_MAX).map(|(_, call)| call).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Bench;
    use super::*;
    use crate::verdict;

    fn hand(name: &str) -> Hand {
        Hand {
            agent: name.into(),
            model: None,
            vendor: name.to_owned(),
        }
    }

    fn called(first: &[&str], silent: bool, task: &str) -> Vec<usize> {
        let domain = |words: &[&str], paths: &[&str]| Domain {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let bench = Bench {
            domains: [
                ("sql".into(), domain(&["query"], &["db/**"])),
                ("web".into(), domain(&["css"], &[])),
            ]
            .into(),
            ..Bench::default()
        };
        let verdicts: Vec<_> = first.iter().map(|text| verdict::read(text).unwrap()).collect();
        let key = "t".into();
        let said: Vec<Said<'_>> = verdicts
            .iter()
            .map(|verdict| Said {
                name: "a",
                vendor: "a",
                task: &key,
                verdict,
            })
            .collect();
        let waiting = [hand("sql"), hand("web"), hand("any"), hand("more"), hand("yet")];
        let waiting = waiting.iter().enumerate().map(|(place, hand)| (place + 2, hand));
        calls(&bench, task, waiting, &said, silent)
            .into_iter()
            .map(|call| call.place)
            .collect()
    }

    #[test]
    fn grave_findings_call_in_whose_domain_they_are_in() {
        let none: [usize; 0] = [];
        assert_eq!(
            called(&["FINDING: P1 db/a.sql:3 - slow\nVERDICT: revise"], false, ""),
            [2]
        );
        assert_eq!(
            called(&["FINDING: P0 x.rs - the Query is wrong\nVERDICT: reject"], false, ""),
            [2]
        );
        assert_eq!(
            called(&["FINDING: P2 db/a.sql:3 - slow\nVERDICT: revise"], false, "a query"),
            none
        );
        assert_eq!(called(&["VERDICT: approve", "VERDICT: approve"], false, "css"), none);
    }

    #[test]
    fn disagreement_calls_in_three_at_most() {
        assert_eq!(
            called(&["VERDICT: approve", "VERDICT: reject"], false, "css"),
            [3, 2, 4]
        );
        assert_eq!(called(&["VERDICT: approve"], true, ""), [2, 3, 4]);
    }
}
