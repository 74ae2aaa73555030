//! Hard floors: who cannot, may not, or must not do a task. Nothing overrides them, no rule and nothing learned.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Candidate, Expected, Question, Router, score};
use crate::analysis::{Analysis, Context};
use crate::breaker::Subject;
use crate::budget::Terms;
use crate::ids::AgentName;
use crate::money::show_usd;
use crate::store::{Failure, Reader};
use crate::time::Millis;

/// A floor that somebody did not pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// It cannot be used here, or is not served any more.
    Availability,
    /// Not among the allowed models, or among the denied ones.
    Allowed,
    /// Too small for what is at stake.
    Risk,
    /// It lacks what the task needs.
    Capability,
    /// The context does not fit.
    Window,
    /// Its allowance is used up, or it is left alone because it fails.
    Quota,
    /// It would cost too much.
    Budget,
}

/// Somebody that a floor took out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Excluded {
    /// The agent.
    pub agent: AgentName,
    /// The model.
    pub model: Option<String>,
    /// The floor.
    pub floor: Floor,
    /// Why, in words.
    pub why: String,
}

/// What keeps agents from being asked just now: accounts that are used up, and breakers that are open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Obstacles {
    terms: Arc<Terms>,
    accounts: BTreeMap<String, Millis>,
    breakers: BTreeMap<Subject, Millis>,
}

impl Obstacles {
    /// As the store knows them at that moment.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(reader: &mut dyn Reader, terms: &Arc<Terms>, now: Millis) -> Result<Obstacles, Failure> {
        let mut accounts: BTreeMap<String, Millis> = BTreeMap::new();
        for allowance in reader.allowances()? {
            if let Some(until) = allowance.holds_until(now) {
                let known = accounts.entry(allowance.account).or_insert(until);
                *known = until.max(*known);
            }
        }
        let breakers = reader.breakers()?.into_iter();
        Ok(Obstacles {
            terms: Arc::clone(terms),
            accounts,
            breakers: breakers
                .filter_map(|(subject, breaker)| Some((subject, breaker.open_until(now)?)))
                .collect(),
        })
    }

    /// Until when the account of an agent is used up.
    pub fn quota_until(&self, agent: &AgentName) -> Option<Millis> {
        self.accounts.get(&self.terms.account(agent)).copied()
    }

    /// Until when an agent is left alone with a model.
    pub fn barred_until(&self, agent: &AgentName, model: Option<&str>) -> Option<Millis> {
        self.breakers.get(&self.terms.subject(agent, model)?).copied()
    }
}

impl Router {
    /// The first floor that a candidate does not pass.
    pub(super) fn floor(
        &self,
        candidate: &Candidate,
        analysis: &Analysis,
        question: &Question<'_>,
        expected: &Expected,
        anybody_real: bool,
    ) -> Option<(Floor, String)> {
        let Candidate {
            agent,
            model,
            entry,
            price,
            standing,
        } = candidate;
        let no = |floor, why: String| Some((floor, why));
        if let Some(missing) = &standing.missing {
            return no(Floor::Availability, missing.clone());
        }
        if standing.stand_in && anybody_real {
            return no(Floor::Availability, "a stand-in; somebody real is there".to_owned());
        }
        let retires = entry.retired_on.or(price.as_ref().and_then(|price| price.retires));
        if let Some(retired) = retires.filter(|retired| *retired <= self.today) {
            return no(
                Floor::Availability,
                format!("{} is not served since {retired}", entry.name),
            );
        }
        let names = [Some(agent.as_str()), model.as_deref(), Some(entry.name.as_str())];
        let is_named = |list: &[String]| {
            list.iter()
                .any(|one| names.contains(&Some(one.as_str())) || *one == entry.vendor)
        };
        if is_named(&self.routing.deny) {
            return no(Floor::Allowed, "`deny` of the routing file names it".to_owned());
        }
        if !self.routing.allow.is_empty() && !is_named(&self.routing.allow) {
            return no(
                Floor::Allowed,
                "`allow` of the routing file does not name it".to_owned(),
            );
        }
        if question.not_agents.contains(agent) {
            return no(Floor::Allowed, "the author does not judge its own work".to_owned());
        }
        if question.not_vendors.contains(&entry.vendor) {
            return no(
                Floor::Allowed,
                format!("another vendor than {} is wanted", entry.vendor),
            );
        }
        if standing.stand_in {
            // Where nobody real is, it passes: it can do no harm.
            return None;
        }
        too_little(candidate, analysis, question, expected)
    }
}

/// The first floor about size, room and money that a candidate does not pass.
fn too_little(
    candidate: &Candidate,
    analysis: &Analysis,
    question: &Question<'_>,
    expected: &Expected,
) -> Option<(Floor, String)> {
    let Candidate { entry, standing, .. } = candidate;
    let no = |floor, why: String| Some((floor, why));
    let tier_min = score::tier_floor(analysis.risk.value);
    if entry.cost_tier < tier_min {
        let risk = analysis.risk.value;
        return no(
            Floor::Risk,
            format!(
                "tier {} is too small for {risk} risk, which asks for {tier_min}",
                entry.cost_tier
            ),
        );
    }
    if question.plans && !standing.may_plan {
        return no(Floor::Capability, "it may not decide what others do".to_owned());
    }
    let tokens = analysis.tokens.max(match analysis.context.value {
        Context::Small | Context::Medium => 0,
        Context::Large => 100_000,
        Context::Massive => 200_001,
    });
    if tokens > entry.window_tokens {
        return no(
            Floor::Window,
            format!("{} tokens do not fit its window of {}", tokens, entry.window_tokens),
        );
    }
    if let Some(until) = standing.quota_until.filter(|until| *until > question.now) {
        return no(
            Floor::Quota,
            format!("its allowance is used up for another {}", human(until, question.now)),
        );
    }
    if let Some(until) = standing.barred_until.filter(|until| *until > question.now) {
        return no(
            Floor::Quota,
            format!(
                "it failed too often and is left alone for another {}",
                human(until, question.now)
            ),
        );
    }
    match (question.budget_nano, expected.cost_nano) {
        (Some(budget), Some(cost)) if cost > budget => no(
            Floor::Budget,
            format!(
                "about {} is more than the {} there is",
                show_usd(cost),
                show_usd(budget)
            ),
        ),
        (Some(_) | None, Some(_) | None) => None,
    }
}

fn human(until: Millis, now: Millis) -> String {
    crate::time::human(until.since(now)).to_string()
}
