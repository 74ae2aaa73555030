//! Findings of several reviewers as one list: the same ones together, weighed, ordered, bounded.
//!
//! What counts as the same is strict: the same file, lines that lie beside each other and words that are shared. Two
//! entries for one problem cost a reader a line; one entry for two problems loses one.

use std::collections::BTreeSet;

use super::{Bench, Merged, Review, Said, is_grave};
use crate::verdict::{Finding, Severity};

/// How many lines apart two findings may be that are the same.
pub const NEAR_LINES: u32 = 3;
/// How many entries a list has. What is grave is never cut.
pub const LIST_MAX: usize = 20;
/// How long a list may be, in bytes: the entries of [`LIST_MAX`] at their usual length.
const BYTES_MAX: usize = 16 << 10;
/// What each further vendor that says the same adds to the weight, and all of them together at the most.
const ATTESTED: (f64, f64) = (0.25, 0.5);

/// Merges findings, the weightiest first. The weight is that of the severity (8, 4, 2, 1), times that of the most trusted
/// who made it ([`super::Record::weight`]), and a quarter more for each further vendor.
pub fn merge(said: &[Said<'_>], bench: &Bench) -> Vec<Merged> {
    let mut all: Vec<(&Finding, &Said<'_>)> = said
        .iter()
        .flat_map(|said| said.verdict.findings.iter().map(move |finding| (finding, said)))
        .collect();
    all.sort_by_key(|(finding, _)| finding.severity);
    let mut groups: Vec<(Merged, BTreeSet<&str>, f64)> = Vec::new();
    for (finding, said) in all {
        let trust = bench.record.weight(said.name, bench.is_guard(said.name));
        match groups.iter_mut().find(|(merged, ..)| same(&merged.finding, finding)) {
            Some((merged, vendors, most)) => {
                vendors.insert(said.vendor);
                *most = most.max(trust);
                if !merged.by.iter().any(|by| by == said.name) {
                    merged.by.push(said.name.to_owned());
                }
                if finding.evidence.len() > merged.finding.evidence.len() {
                    merged.finding.evidence.clone_from(&finding.evidence);
                }
                merged.finding.line = merged.finding.line.or(finding.line);
                if merged.finding.file.is_none() {
                    merged.finding.file.clone_from(&finding.file);
                }
            }
            None => {
                let merged = Merged {
                    finding: finding.clone(),
                    by: vec![said.name.to_owned()],
                    weight: 0,
                    confirmed: None,
                };
                groups.push((merged, BTreeSet::from([said.vendor]), trust));
            }
        }
    }
    let mut merged: Vec<Merged> = groups
        .into_iter()
        .map(|(mut merged, vendors, trust)| {
            #[expect(clippy::cast_precision_loss, reason = "a handful of vendors")]
            let attested = 1.0 + (ATTESTED.0 * (vendors.len() - 1) as f64).min(ATTESTED.1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 8 x 1.2 x 1.5"
            )]
            let weight = (base(merged.finding.severity) * trust * attested * 100.0).round() as u32;
            merged.weight = weight;
            merged.confirmed = (vendors.len() > 1).then_some(true);
            merged
        })
        .collect();
    merged.sort_by_key(|merged| (std::cmp::Reverse(merged.weight), merged.finding.severity));
    merged
}

fn base(severity: Severity) -> f64 {
    match severity {
        Severity::P0 => 8.0,
        Severity::P1 => 4.0,
        Severity::P2 => 2.0,
        Severity::P3 => 1.0,
    }
}

/// Whether two findings are about the same problem. How much of the shorter one's words the other must have depends on
/// how much the places say already.
fn same(one: &Finding, other: &Finding) -> bool {
    let shared = match (&one.file, &other.file) {
        (Some(left), Some(right)) if !same_file(left, right) => return false,
        (Some(_), Some(_)) => match (one.line, other.line) {
            (Some(left), Some(right)) if left.abs_diff(right) > NEAR_LINES => return false,
            (Some(_), Some(_)) => 0.34,
            _ => 0.5,
        },
        (None, None) => 0.5,
        _ => 0.6,
    };
    let (left, right) = (words(&one.claim), words(&other.claim));
    if left == right {
        return !left.is_empty() || one.claim == other.claim;
    }
    let both = left.intersection(&right).count();
    #[expect(clippy::cast_precision_loss, reason = "the words of a line")]
    let share = both as f64 / left.len().min(right.len()).max(1) as f64;
    both >= 2 && share >= shared
}

/// `src/auth.rs` and `./src/auth.rs` and `auth.rs`.
fn same_file(left: &str, right: &str) -> bool {
    let plain = |path: &str| path.trim_start_matches("./").to_owned();
    let (left, right) = (plain(left), plain(right));
    let (long, short) = if left.len() >= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    long == short || long.strip_suffix(&short).is_some_and(|rest| rest.ends_with('/'))
}

fn words(text: &str) -> BTreeSet<String> {
    const SILENT: [&str; 12] = [
        "the", "and", "not", "that", "this", "with", "for", "are", "was", "when", "does", "has",
    ];
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 2);
    let lower = words.map(|word| {
        let word = word.to_lowercase();
        word.strip_suffix('s').map(str::to_owned).unwrap_or(word)
    });
    lower.filter(|word| !SILENT.contains(&word.as_str())).collect()
}

/// The list for who mends or decides: numbered from 1, over all reviews.
pub fn list(reviews: &[Review]) -> String {
    let all = || reviews.iter().flat_map(|review| &review.findings).enumerate();
    let mut text = String::new();
    let mut left = 0;
    for (place, merged) in all() {
        let line = match merged.by.len() {
            1 => format!("{}. {}\n", place + 1, merged.finding),
            by => format!("{}. {} (found by {by})\n", place + 1, merged.finding),
        };
        let fits = place < LIST_MAX && text.len() + line.len() <= BYTES_MAX;
        if fits || is_grave(&merged.finding) {
            text.push_str(&line);
        } else {
            left += 1;
        }
    }
    if left > 0 {
        text.push_str(&format!("… and {left} of little weight\n"));
    }
    text
}

/// What whoever is given such a list is asked to say of it.
pub const JUDGE: &str = "\
Say of those that you looked into which were right and which were not, by their numbers: a line `CONFIRMED: 1, 3`, and for \
each that was mistaken a line `REJECTED: 2 - why`.";

/// Takes in what was said of the list: a rejection wins over everything.
pub fn judge(reviews: &mut [Review], text: &str) {
    let numbers = |word: &str| -> BTreeSet<usize> {
        let of_line = |line: &str| -> Vec<usize> {
            let line = line.trim_start_matches([' ', '\t', '-', '*', '>']);
            let Some((key, rest)) = line.split_once(':') else {
                return Vec::new();
            };
            if !key.trim_matches('*').eq_ignore_ascii_case(word) {
                return Vec::new();
            }
            let rest = rest.trim_start_matches('*');
            let rest = rest.split_once(" - ").map_or(rest, |(numbers, _)| numbers);
            rest.split([',', ' '])
                .filter_map(|number| number.trim().parse().ok())
                .collect()
        };
        text.lines().flat_map(of_line).collect()
    };
    let (confirmed, rejected) = (numbers("CONFIRMED"), numbers("REJECTED"));
    let all = reviews.iter_mut().flat_map(|review| &mut review.findings);
    for (place, merged) in all.enumerate() {
        let number = place + 1;
        merged.confirmed = match (rejected.contains(&number), confirmed.contains(&number)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => merged.confirmed,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, Reviewer, review};
    use super::*;
    use crate::verdict::{self, Verdict};

    fn verdict(lines: &[&str]) -> Verdict {
        let lines: Vec<String> = lines.iter().map(|line| format!("FINDING: {line}\n")).collect();
        verdict::read(&format!("{}VERDICT: revise", lines.concat())).unwrap()
    }

    fn merged(verdicts: &[(&str, &Verdict)], bench: &Bench) -> Vec<String> {
        let task = "t".into();
        let said: Vec<Said<'_>> = verdicts
            .iter()
            .map(|(name, verdict)| Said {
                name,
                vendor: name,
                task: &task,
                verdict,
            })
            .collect();
        let shown = |one: &Merged| format!("{} {} {}", one.weight, one.by.join("+"), one.finding);
        review(&said, bench).findings.iter().map(shown).collect()
    }

    #[test]
    fn the_same_problem_is_one_entry_and_another_is_not() {
        let a = verdict(&[
            "P1 src/auth.rs:41 - the state is not compared - any value passes",
            "P2 src/auth.rs:90 - the state is not compared",
            "P3 - the page does not say how to sign in",
        ]);
        let b = verdict(&[
            "P0 auth.rs:43 - state of the session is never compared",
            "P2 src/b.rs:41 - the state is not compared",
            "P3 - nothing says how to sign in on this page",
        ]);
        assert_eq!(
            merged(&[("a", &a), ("b", &b)], &Bench::default()),
            [
                "1000 a+b P0 src/auth.rs:41 - the state is not compared - any value passes"
                    .replace(
                        "src/auth.rs:41 - the state is not compared",
                        "auth.rs:43 - state of the session is never compared"
                    )
                    .replace("a+b", "b+a"),
                "200 a P2 src/auth.rs:90 - the state is not compared".to_owned(),
                "200 b P2 src/b.rs:41 - the state is not compared".to_owned(),
                "125 a+b P3 - the page does not say how to sign in".to_owned(),
            ]
        );
    }

    #[test]
    fn who_was_wrong_before_goes_down_and_safety_does_not() {
        let mut past = Review {
            heard: vec![Reviewer {
                name: "a".to_owned(),
                vendor: "a".to_owned(),
                task: "t".into(),
                stance: crate::verdict::Stance::Reject,
                rated: None,
            }],
            findings: Vec::new(),
        };
        past.findings.push(Merged {
            finding: verdict(&["P1 x.rs:1 - no"]).findings[0].clone(),
            by: vec!["a".to_owned()],
            weight: 0,
            confirmed: Some(false),
        });
        let known = Bench {
            record: Record {
                reviews: vec![past; 30],
            },
            ..Bench::default()
        };
        let (a, b) = (
            verdict(&["P1 x.rs:1 - one thing"]),
            verdict(&["P2 y.rs:1 - other words", "P1 z.rs:8 - third"]),
        );
        let order = |bench: &Bench| merged(&[("a", &a), ("b", &b)], bench);
        assert_eq!(
            order(&known),
            [
                "400 b P1 z.rs:8 - third",
                "200 a P1 x.rs:1 - one thing",
                "200 b P2 y.rs:1 - other words"
            ]
        );
        let guard = Bench {
            guards: ["a".into()].into(),
            ..known
        };
        assert_eq!(order(&guard)[0], "400 a P1 x.rs:1 - one thing");
    }

    #[test]
    fn a_list_is_bounded_and_keeps_what_is_grave() {
        let lines: Vec<String> = (1..=40)
            .map(|number| {
                format!(
                    "{} f{number}.rs:1 - claim {number}",
                    if number == 40 { "P1" } else { "P3" }
                )
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let all = verdict(&lines);
        let task = "t".into();
        let said = Said {
            name: "a",
            vendor: "a",
            task: &task,
            verdict: &all,
        };
        let text = list(&[review(&[said], &Bench::default())]);
        assert!(text.starts_with("1. P1 f40.rs:1 - claim 40\n"), "{text}");
        assert_eq!(text.lines().count(), LIST_MAX + 1);
        assert!(text.ends_with("… and 20 of little weight\n"), "{text}");
    }

    #[test]
    fn what_is_said_of_the_list_is_taken_in() {
        let all = verdict(&["P1 a.rs:1 - x y", "P2 b.rs:1 - y z", "P3 c.rs:1 - z q"]);
        let task = "t".into();
        let said = Said {
            name: "a",
            vendor: "a",
            task: &task,
            verdict: &all,
        };
        let mut reviews = [review(&[said], &Bench::default())];
        judge(
            &mut reviews,
            "Done.\n- **CONFIRMED:** 1, 2\nREJECTED: 2 - the year 3 is there\nREJECTED: 77 - x",
        );
        let judged: Vec<Option<bool>> = reviews[0].findings.iter().map(|one| one.confirmed).collect();
        assert_eq!(judged, [Some(true), Some(false), None]);
    }
}
