//! Where a workflow's result comes from: steps, judgements, what is open. Kept with the task as the artifact
//! `provenance`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Child;
use super::review::{self, Bench, LeftOut, Review, Said, merge};
use crate::ids::TaskKey;
use crate::verdict::{Finding, Verdict};

/// The artifact's name.
pub const ARTIFACT: &str = "provenance";

/// The trail.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Report {
    /// Which workflow.
    pub workflow: &'static str,
    /// How sure one may be, 0 to 100.
    pub confidence: Option<u8>,
    /// What the confidence rests on, in words.
    pub rests_on: Vec<String>,
    /// The reviewer's score, 1 to 10.
    pub score: Option<u8>,
    /// The problems that are still there, worst first.
    pub findings: Vec<Finding>,
    /// What nobody could settle.
    pub unresolved: Vec<String>,
    /// Who had which part: `producer`, `reviewer`, `cross_checker`, `synthesizer`, or the seats.
    pub provenance: BTreeMap<String, String>,
    /// What was done, in order.
    pub steps: Vec<Done>,
    /// How many steps were done.
    pub steps_completed: usize,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// What several said about the same: who was heard, and what they found, merged and weighed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reviews: Vec<Review>,
    /// The findings as they were made, and as they are delivered, when several made them.
    #[serde(skip)]
    pub triaged: Option<(String, String)>,
    /// How many links of a chain, or rungs, were left behind for it.
    pub fallback_depth: u32,
    /// The steps whose work is what is delivered: who needs the task begins with theirs.
    pub delivered: Vec<TaskKey>,
}

/// One step that was done.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Done {
    /// The step.
    pub step: String,
    /// Its task.
    pub task: String,
    /// Who did it.
    pub agent: String,
    /// How it ended.
    pub outcome: &'static str,
    /// What it judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    /// How sure it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<u8>,
    /// Its score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// How many findings it made.
    #[serde(skip_serializing_if = "is_zero")]
    pub findings: usize,
    /// Checks that the engine ran on it and that passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub checks_passed: usize,
}

/// One step that was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, serde::Deserialize)]
pub struct Skipped {
    /// The step.
    pub step: String,
    /// Why.
    pub why: String,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// Notes a step; `verdict` is the judgement that was read from it.
    pub(super) fn note(&mut self, step: &str, child: &Child, verdict: Option<&Verdict>) {
        self.steps.push(Done {
            step: step.to_owned(),
            task: child.key.to_string(),
            agent: child.agent.to_string(),
            outcome: child.outcome.as_ref().map_or("open", crate::outcome::Outcome::class),
            verdict: verdict.map(|verdict| verdict.stance.name()),
            confidence: verdict.and_then(|verdict| verdict.confidence),
            score: verdict.and_then(|verdict| verdict.score),
            findings: verdict.map_or(0, |verdict| verdict.findings.len()),
            checks_passed: child.result.checks.iter().filter(|check| check.passed()).count(),
        });
        self.steps_completed = self.steps.iter().filter(|done| done.outcome == "succeeded").count();
    }

    /// Notes who was not heard, and why.
    pub(super) fn without(&mut self, left_out: &[LeftOut]) {
        self.skipped.extend(left_out.iter().map(|one| Skipped {
            step: format!("{} ({})", one.step, one.hand.agent),
            why: one.why.clone(),
        }));
    }

    /// Takes in what was said about one thing: merged and weighed where that is wanted, else one after the other.
    pub(super) fn found(&mut self, said: &[Said<'_>], bench: &Bench) {
        let all = said.iter().flat_map(|said| said.verdict.findings.iter());
        if said.len() < 2 {
            self.findings.extend(all.cloned());
            self.findings.sort_by_key(|finding| finding.severity);
            return;
        }
        let review = review::review(said, bench);
        if bench.triage {
            let before = all.map(|finding| format!("{finding}\n")).collect::<String>();
            let (was, is) = self.triaged.get_or_insert_default();
            was.push_str(&before);
            is.push_str(&merge::list(std::slice::from_ref(&review)));
            self.findings
                .extend(review.findings.iter().map(|merged| merged.finding.clone()));
        } else {
            self.findings.extend(all.cloned());
            self.findings.sort_by_key(|finding| finding.severity);
        }
        self.reviews.push(review);
    }

    /// Names who had a part.
    pub(super) fn part(&mut self, part: &str, child: &Child) {
        self.provenance.insert(part.to_owned(), child.agent.to_string());
    }
}

/// A verdict block without its fences.
pub(super) fn block(
    status: &str,
    confidence: Option<u8>,
    score: Option<u8>,
    findings: &[Finding],
    say: &str,
) -> String {
    let mut lines = vec![format!("STATUS: {status}")];
    if let Some(confidence) = confidence {
        lines.push(format!("CONFIDENCE: {confidence}"));
    }
    if let Some(score) = score {
        lines.push(format!("SCORE: {score}"));
    }
    lines.push(format!("FINDINGS: {}", findings.len()));
    lines.push(format!("SUMMARY: {}", say.lines().next().unwrap_or_default()));
    lines.join("\n")
}
