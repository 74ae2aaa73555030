//! What a decision says: who, why, who else, and what it rests on. Stored and shown as it is.

use serde::{Deserialize, Serialize};

use super::FALLBACK_MAX;
use super::billing::Pays;
use super::explain::shown;
use super::floors::Excluded;
use crate::analysis::Analysis;
use crate::chain::Link;
use crate::ids::AgentName;
use crate::price::Billing;
use crate::roster::Role;

/// The parts of a score, each 0 to 1 before its weight.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// How well it fits the work: strength, and neither too small nor needlessly large.
    pub capability: f64,
    /// How likely it is to succeed by what became of its past tasks; one half when too few speak.
    pub history: f64,
    /// How free it is.
    pub load: f64,
    /// How many of its last tries met no fault of its own.
    pub health: f64,
    /// Whether it is there and costs nothing at the margin.
    pub availability: f64,
}

/// A candidate with its score.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Scored {
    /// The agent.
    pub agent: AgentName,
    /// The model it is told to use.
    pub model: Option<String>,
    /// Whose it is.
    pub vendor: String,
    /// What it is there for.
    pub role: Role,
    /// 1 to 5.
    pub cost_tier: u8,
    /// The parts.
    pub parts: Parts,
    /// What was learned adds or takes.
    pub learned: f64,
    /// The sum: parts with their weights, and the correction.
    pub score: f64,
    /// How many similar past tasks it has had, and how many of them succeeded.
    pub similar: (u32, u32),
    /// What history and correction rest on; none where too few of its tasks are known.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// What it is expected to cost.
    pub expected: Expected,
}

/// What was learned of a candidate, and why it is expected to do well or badly at this task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// Its past tasks, as many as are learned from.
    pub tasks: u32,
    /// How it does all in all, 0 to 1, the last tasks weighing most.
    pub level: f64,
    /// How likely it is to succeed here, 0 to 1.
    pub success: f64,
    /// What of the task says most about it in particular, strongest first.
    pub reasons: Vec<Reason>,
}

/// Something in a task that makes somebody do better or worse than usual.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// A word, a pair of words, or a shape of the text.
    pub what: String,
    /// What it adds to the chance of success, or takes.
    pub adds: f64,
}

/// What a task is expected to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Nano-dollars; absent when nobody knows. Unknown is never zero.
    pub cost_nano: Option<u64>,
    /// Who pays.
    pub billing: Billing,
    /// From similar past tasks, not from list prices.
    pub measured: bool,
}

/// A rule of the user's that decided.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RuleHit {
    /// The rule.
    pub rule: String,
    /// The trigger that fired.
    pub trigger: String,
    /// The share of its words that were found.
    pub share: f64,
    /// Whether somebody it names could be chosen.
    pub obeyed: bool,
}

/// "Do it yourself", to an agent that asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DoItYourself {
    /// Why.
    pub reason: String,
    /// About how many tokens that saves.
    pub saved_tokens: u64,
}

/// Somebody worth consulting besides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consult {
    /// The agent.
    pub agent: AgentName,
    /// The model it is told to use.
    pub model: Option<String>,
    /// What for: `reader` of much context, `reviewer` of the work.
    pub what_for: String,
    /// Why.
    pub why: String,
}

/// The decision, and everything that led to it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// What the task is.
    pub analysis: Analysis,
    /// Who was taken out, and why.
    pub excluded: Vec<Excluded>,
    /// How it is best paid for, where something is said of how it is used.
    #[serde(default)]
    pub pays: Option<Pays>,
    /// The rule that fired.
    pub rule: Option<RuleHit>,
    /// Who was left, best first; the chosen one is at `chosen`.
    pub candidates: Vec<Scored>,
    /// The place of the chosen one; none when nobody was left.
    pub chosen: Option<usize>,
    /// The chosen one with what the chain of its rule says of it, when there is one.
    pub first: Option<Link>,
    /// Who follows when it fails, in order.
    pub fallback: Vec<Link>,
    /// Whether it was chosen to learn about it.
    pub explored: bool,
    /// What would have been chosen by what was learned, in shadow mode, when that is another.
    pub shadow: Option<AgentName>,
    /// To an agent: do it yourself.
    pub do_it_yourself: Option<DoItYourself>,
    /// Who is worth consulting besides.
    pub consult: Vec<Consult>,
    /// Why this one, in one sentence.
    pub reason: String,
    /// What would lead to another choice.
    pub would_change: Vec<String>,
}

impl Choice {
    /// Why, and who else there was, on one line.
    pub fn sentence(&self) -> String {
        let chosen = self.chosen();
        let mut sentence = self.reason.clone();
        let others = self
            .candidates
            .iter()
            .filter(|one| Some(*one) != chosen)
            .take(FALLBACK_MAX);
        for (place, one) in others.enumerate() {
            let before = if place == 0 { "; behind it " } else { ", " };
            sentence.push_str(&format!(
                "{before}`{}` ({:.2})",
                shown(&one.agent, one.model.as_deref()),
                one.score
            ));
        }
        if let Some(shadow) = &self.shadow {
            sentence.push_str(&format!("; what was learned would choose `{shadow}`"));
        }
        sentence
    }

    /// The chosen candidate.
    pub fn chosen(&self) -> Option<&Scored> {
        self.candidates.get(self.chosen?)
    }
}
