//! What a task is expected to take, and the soft line above it: where somebody is told, and nothing is cut.
//!
//! A budget is a limit that somebody set. A task without one of its own still has a measure: what similar tasks took.
//! Failing is dearer for some tasks than a little more money, so the line is the higher above the expectation the more a
//! failure would cost ([`headroom_percent`]). What passes it is said once; with [`Policy::Ask`] a try that failed beyond
//! it is not repeated before a person says so. Work that succeeds is never touched.

use serde::{Deserialize, Serialize};

use crate::analysis::{Facts, Risk, analyse};
use crate::budget::{EXPERIENCE_MIN, Experience};
use crate::money::show_usd;
use crate::spec::{TaskSpec, Work};

/// The kind of report that says that a line was passed.
pub const PASSED_KIND: &str = "soft-line";

/// The kind of report that says before a try where its line is, and why.
pub const EXPECTED_KIND: &str = "expected";

/// What happens at the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// There is none.
    Off,
    /// It is said.
    #[default]
    Warn,
    /// It is said, and a try that failed beyond it is repeated only when a person wants that.
    Ask,
}

/// Where the line is, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct SoftLine {
    /// Above it somebody is told, in nano-dollars.
    pub nano: u64,
    /// What such a task takes, nine times out of ten.
    pub expected_nano: u64,
    /// So many tasks or tries say so.
    pub past: u64,
    /// They are similar tasks; else all tries of the kind of work.
    pub similar: bool,
    /// How much more than expected may be spent, in percent.
    pub headroom_percent: u64,
    /// How dear a failure would be.
    pub risk: &'static str,
}

/// How dear a failure of this task would be, by its words and files.
pub fn risk(spec: &TaskSpec) -> Risk {
    let text = match &spec.work {
        Work::Prompt(text) => text.as_str(),
        Work::Exec(_) | Work::Turn(_) => return Risk::Low,
    };
    let facts = Facts {
        text,
        files: &spec.files,
        checks: spec.verify.len(),
        material_tokens: None,
    };
    analyse(&facts).risk.value
}

/// How much more than expected is held for a task: the usual safety, twice that where a failure is dear, four times
/// where it is critical.
pub fn headroom_percent(safety_percent: u64, risk: Risk) -> u64 {
    match risk {
        Risk::Low | Risk::Medium => safety_percent,
        Risk::High => safety_percent.saturating_mul(2),
        Risk::Critical => safety_percent.saturating_mul(4),
    }
}

/// The line of a task, from what similar tasks took (each with all its tries), else from what tries of its kind take.
/// None where fewer than [`EXPERIENCE_MIN`] speak: a line that nobody can give a reason for helps nobody.
pub fn line(safety_percent: u64, risk: Risk, similar: &[u64], kind: Experience) -> Option<SoftLine> {
    let mut costs = similar.to_vec();
    costs.sort_unstable();
    // The nearest rank: of three the dearest.
    let rank = (costs.len() * 9).div_ceil(10).checked_sub(1);
    let of_similar = rank.and_then(|rank| costs.get(rank).copied());
    let enough = costs.len() as u64 >= EXPERIENCE_MIN;
    let (expected_nano, past) = match of_similar.filter(|_| enough) {
        Some(nano) => (nano, costs.len() as u64),
        // Of costs that are spread as waiting times are, nine of ten lie below 2.3 means.
        None => (kind.mean_nano()?.saturating_mul(23) / 10, kind.tries),
    };
    let headroom_percent = headroom_percent(safety_percent, risk);
    let more = u128::from(expected_nano) * u128::from(headroom_percent) / 100;
    let nano = expected_nano.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    (nano > 0).then_some(SoftLine {
        nano,
        expected_nano,
        past,
        similar: enough,
        headroom_percent,
        risk: risk.name(),
    })
}

impl SoftLine {
    /// Why it is where it is, for people.
    pub fn why(&self) -> String {
        let whose = if self.similar {
            "similar tasks"
        } else {
            "tries of this kind"
        };
        format!(
            "nine of ten {whose} take up to {} ({} are known), and {} % more because its risk is {}",
            show_usd(self.expected_nano),
            self.past,
            self.headroom_percent,
            self.risk
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_tasks_speak_before_the_kind_and_few_say_nothing() {
        let kind = |tries, nano| Experience { tries, nano, tokens: 0 };
        let of = |similar: &[u64], kind| {
            line(30, Risk::Low, similar, kind).map(|line| (line.expected_nano, line.nano, line.similar))
        };
        assert_eq!(of(&[100, 300, 200], kind(9, 9_000)), Some((300, 390, true)));
        let ten: Vec<u64> = (1..=10).map(|tenth| tenth * 100).collect();
        assert_eq!(of(&ten, kind(0, 0)), Some((900, 1_170, true)));
        assert_eq!(of(&[100, 300], kind(4, 400)), Some((230, 299, false)));
        assert_eq!(of(&[100, 300], kind(2, 400)), None);
        assert_eq!(of(&[0, 0, 0], kind(0, 0)), None, "what costs nothing has no line");
    }

    #[test]
    fn the_headroom_grows_with_what_a_failure_costs() {
        let at = |risk| line(30, risk, &[100, 100, 100], Experience::default()).unwrap().nano;
        assert_eq!(
            [Risk::Low, Risk::Medium, Risk::High, Risk::Critical].map(at),
            [130, 130, 160, 220]
        );
        let why = line(30, Risk::High, &[50_000_000; 4], Experience::default())
            .unwrap()
            .why();
        assert_eq!(
            why,
            "nine of ten similar tasks take up to $0.0500 (4 are known), and 60 % more because its risk is high"
        );
    }
}
