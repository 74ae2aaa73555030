//! Who follows the chosen one, and who is meant by a name: chains, rules, windows.

use super::choice::{RuleHit, Scored};
use super::{Candidate, FALLBACK_MAX, Question, Router, rules};
use crate::analysis::Analysis;
use crate::chain::{Chain, Link};
use crate::ids::AgentName;

impl Router {
    /// Puts those whom the rule that fires names in front, in its order.
    pub(super) fn obey(
        &self,
        question: &Question<'_>,
        analysis: &Analysis,
        scored: &mut Vec<Scored>,
    ) -> Option<RuleHit> {
        let fired = rules::fired(&self.rules, &question.facts, analysis.tokens)?;
        let rule = self.routing.rules.get(fired.rule)?;
        let mut front = Vec::new();
        for name in &rule.models {
            while let Some(place) = scored.iter().position(|one| self.is_called(one, name)) {
                front.push(scored.remove(place));
            }
        }
        let obeyed = !front.is_empty();
        front.append(scored);
        *scored = front;
        Some(RuleHit {
            rule: rule.name.clone(),
            trigger: fired.trigger.to_owned(),
            share: fired.share,
            obeyed,
        })
    }

    /// Whether a name in a rule or chain means this candidate: its model, its agent or its roster entry.
    fn is_called(&self, one: &Scored, name: &str) -> bool {
        if one.agent.as_str() == name || one.model.as_deref() == Some(name) {
            return true;
        }
        let of = self
            .candidates
            .iter()
            .find(|candidate| candidate.agent == one.agent && candidate.model == one.model);
        of.is_some_and(|candidate| candidate.entry.name == name || candidate.entry.model.as_deref() == Some(name))
    }

    /// The chain of the rule's name says who follows; without one the next best do.
    pub(super) fn chain(
        &self,
        chosen: Option<usize>,
        rule: Option<&RuleHit>,
        scored: &[Scored],
    ) -> (Option<Link>, Vec<Link>) {
        let Some(first) = chosen.and_then(|place| scored.get(place)) else {
            return (None, Vec::new());
        };
        let link = |one: &Scored| Link {
            model: one.model.clone(),
            window_tokens: self.window(&one.agent, one.model.as_deref()),
            ..Link::of(one.agent.clone())
        };
        let mut head = link(first);
        let mut follow: Vec<Link> = Vec::new();
        let chain = rule.and_then(|rule| self.routing.chains.iter().find(|chain| chain.name == rule.rule));
        let Some(chain) = chain else {
            for one in scored.iter().filter(|one| one.agent != first.agent) {
                if !follow.iter().any(|known| known.agent == one.agent) {
                    follow.push(link(one));
                }
            }
            follow.truncate(FALLBACK_MAX);
            return (Some(head), follow);
        };
        for named in &chain.links {
            for one in scored.iter().filter(|one| self.is_called(one, &named.name)) {
                let limited = Link {
                    timeout_ms: named.timeout_ms,
                    retry_max: Some(named.retry),
                    ..link(one)
                };
                let same = |known: &Link| (&known.agent, &known.model) == (&one.agent, &one.model);
                if same(&head) {
                    head = limited;
                } else if !follow.iter().any(same) {
                    follow.push(limited);
                }
            }
        }
        (Some(head), follow)
    }

    /// Whoever is here and serves the model (or is the agent, or roster entry) of that name.
    pub fn serving(&self, name: &str) -> Option<Link> {
        let means = |candidate: &&Candidate| {
            let entry = &candidate.entry;
            candidate.agent.as_str() == name
                || candidate.model.as_deref() == Some(name)
                || entry.name == name
                || entry.model.as_deref() == Some(name)
        };
        let here = self.candidates.iter().filter(|one| one.standing.missing.is_none());
        let found = here.clone().find(means)?;
        Some(Link {
            model: found.model.clone(),
            window_tokens: self.window(&found.agent, found.model.as_deref()),
            ..Link::of(found.agent.clone())
        })
    }

    /// The chains of the routing file.
    pub fn chains(&self) -> &[Chain] {
        &self.routing.chains
    }

    /// How much an agent takes with a model, when the roster knows it.
    fn window(&self, agent: &AgentName, model: Option<&str>) -> Option<u64> {
        let of = |one: &&Candidate| one.agent == *agent && one.model.as_deref() == model;
        let entry = &self.candidates.iter().find(of)?.entry;
        self.roster.find(&entry.name).map(|_| entry.window_tokens)
    }
}
