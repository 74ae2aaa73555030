//! Several who review the same: who is heard, whose findings are the same, and how far each is to be believed.
//!
//! Three decisions, all of them by what earlier reviews of the project came to ([`Record`]): a reviewer is left out when
//! what it finds is found by the others anyway ([`record`]); what was found is merged, weighed and put in order ([`merge`]);
//! and who was left out, or waits in reserve, is called in when a grave finding is about its domain ([`call`]). No model is
//! asked. Used by `consensus`, `map` and `qc`; the engine reads the record and the domains.

pub mod call;
pub mod merge;
pub mod record;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Hand, Workflow};
use crate::ids::{AgentName, TaskKey};
use crate::verdict::{Finding, Severity, Stance, Verdict};
use call::Domain;
pub use record::{LeftOut, Record};

/// What several said about one thing, merged: kept with the workflow's result, and the record of the next ones.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Review {
    /// Who was heard.
    pub heard: Vec<Reviewer>,
    /// What they found, the weightiest first.
    pub findings: Vec<Merged>,
}

/// One who was heard.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reviewer {
    /// Its name in the record: the agent's; of an author who looks at its own work with a word about that.
    pub name: String,
    /// Whose it is.
    pub vendor: String,
    /// The step in which it spoke.
    pub task: TaskKey,
    /// What it wants.
    pub stance: Stance,
    /// What a person thought of that step: well, or ill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated: Option<bool>,
}

/// A finding with everybody who made it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merged {
    /// The gravest wording of it.
    #[serde(flatten)]
    pub finding: Finding,
    /// Who made it, by name in the record.
    pub by: Vec<String>,
    /// Its weight, in hundredths.
    pub weight: u32,
    /// Whether it was confirmed (another vendor made it too, or who mended it said so) or rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// A verdict, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The name in the record.
    pub name: &'a str,
    /// Whose it is.
    pub vendor: &'a str,
    /// The step.
    pub task: &'a TaskKey,
    /// The verdict.
    pub verdict: &'a Verdict,
}

/// What is known about those who review, before they do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Bench {
    /// What earlier reviews came to.
    pub record: Record,
    /// What each reads for, where that is configured.
    pub domains: BTreeMap<AgentName, Domain>,
    /// Those who look after safety: never left out, never weighed down.
    pub guards: BTreeSet<AgentName>,
    /// Others who are not left out.
    pub stay: BTreeSet<AgentName>,
    /// Whether findings are merged, weighed and ordered.
    pub triage: bool,
    /// Chooses the few that nobody is left out of, so that the record does not go blind.
    pub lot: u64,
}

impl Bench {
    /// Whether this reviewer looks after safety.
    pub fn is_guard(&self, name: &str) -> bool {
        self.guards.iter().any(|guard| guard.as_str() == name)
    }
}

/// Whether a finding must not be lost.
pub(crate) fn is_grave(finding: &Finding) -> bool {
    matches!(finding.severity, Severity::P0 | Severity::P1)
}

/// An author's name in the record, where it reviews its own work.
pub(super) fn as_author(hand: &Hand) -> String {
    format!("{} (author)", hand.agent)
}

/// Whether several look at the same in this workflow, so that there is something to know about them.
pub fn has_reviewers(workflow: &Workflow) -> bool {
    match workflow {
        Workflow::Qc(qc) => qc.reviewer.is_some() && qc.self_review || !qc.reserve.is_empty(),
        Workflow::Consensus(_) => true,
        Workflow::Map(map) => map.everybody().count() > 1,
        Workflow::Cascade(_) | Workflow::Gate(_) => false,
    }
}

/// How many of a workflow are heard at first where nobody is left out.
pub fn heard_first(workflow: &Workflow) -> usize {
    match workflow {
        Workflow::Qc(qc) => usize::from(qc.self_review) + usize::from(qc.reviewer.is_some()),
        Workflow::Consensus(panel) => panel.seats.len(),
        Workflow::Map(map) => map.hands.len(),
        Workflow::Cascade(_) | Workflow::Gate(_) => 0,
    }
}

/// Who of a workflow is not heard at first, and why.
pub fn left_out(workflow: &Workflow, bench: &Bench) -> Vec<LeftOut> {
    match workflow {
        Workflow::Qc(qc) => qc.without_self_review(bench).into_iter().collect(),
        Workflow::Consensus(panel) => record::left_out(bench, &panel.seats, panel.rule.quorum as usize),
        Workflow::Map(map) => record::left_out(bench, &map.hands, 1),
        Workflow::Cascade(_) | Workflow::Gate(_) => Vec::new(),
    }
}

/// What was said, as a review.
pub(super) fn review(said: &[Said<'_>], bench: &Bench) -> Review {
    Review {
        heard: said
            .iter()
            .map(|said| Reviewer {
                name: said.name.to_owned(),
                vendor: said.vendor.to_owned(),
                task: said.task.clone(),
                stance: said.verdict.stance,
                rated: None,
            })
            .collect(),
        findings: merge::merge(said, bench),
    }
}
