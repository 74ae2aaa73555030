//! Who does a task, and why: floors, rules, score, what was learned. One pure decision.
//!
//! A [`Router`] holds what is known (roster, rules, past) and who is there ([`Candidate`]s with their standing); each
//! [`Question`] gets a [`Choice`] that explains itself down to what would change it. Called when tasks join a run and by
//! `wheelhouse route`. It starts nobody, and asks no model.
//!
//! Hard floors come first and nothing overrides them: risk, allowed models, capability, context window, quota, budget.
//! Then the user's rules, then a score over who is left: capability .30, history .25, load .20, health .15,
//! availability .10, and a bounded correction by what was learned. What nothing is known about goes to the middle tier.

pub mod billing;
pub mod past;
pub mod read;
mod rules;
mod score;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, Complexity, Context, Facts, Kind, Risk, analyse};
use crate::breaker::Subject;
use crate::budget::Terms;
use crate::chain::{Chain, Link};
use crate::day::Day;
use crate::ids::AgentName;
use crate::money::show_usd;
use crate::price::{Billing, Price};
use crate::roster::{Entry, Role, Roster};
use crate::store::{Failure, Reader};
use crate::time::Millis;
use billing::{Demand, Pays};
use past::{Past, Similar, Sketch};
use read::{Mode, Routing};

/// Tokens that an agent reads of its own before the first word of a task: system prompt and tools (measured for coding
/// agents: 12,000 to 20,000, most of it from a cache).
pub const COLD_START_TOKENS: u64 = 12_000;
/// Tokens that come back from a delegated task and are read by whoever delegated it.
pub const RESULT_TOKENS: u64 = 500;
/// How many candidates follow the chosen one as fallback.
pub const FALLBACK_MAX: usize = 2;
/// For how many tasks of one plan the past is looked through.
const LISTENED_MAX: u32 = 2_000;
/// Above this share of the best score a candidate is good enough to be tried for the sake of learning.
const ADEQUATE: f64 = 0.8;

/// Somebody who could do it.
#[derive(Clone, PartialEq, Debug)]
pub struct Candidate {
    /// The agent.
    pub agent: AgentName,
    /// The model it is told to use; none for its own choice.
    pub model: Option<String>,
    /// What the roster knows.
    pub entry: Entry,
    /// What it costs by the token, where that is known.
    pub price: Option<Price>,
    /// How it stands right now.
    pub standing: Standing,
}

/// How a candidate stands right now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Why it cannot be used at all: the program is missing, the login is gone.
    pub missing: Option<String>,
    /// A stand-in that does nothing real.
    pub stand_in: bool,
    /// Tasks it has under way or before it.
    pub busy: u32,
    /// How many it may do at a time.
    pub busy_max: u32,
    /// Its allowance is used up until then.
    pub quota_until: Option<Millis>,
    /// Its breaker is open until then.
    pub barred_until: Option<Millis>,
    /// Whether it may decide what others do.
    pub may_plan: bool,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Caller {
    /// A person, or a plan: somebody must do it.
    #[default]
    Person,
    /// An agent, which could do it itself.
    Agent,
}

/// What is to be decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// What is known about the task.
    pub facts: Facts<'a>,
    /// Who asks.
    pub caller: Caller,
    /// It returns tasks for others: only who may plan can do it.
    pub plans: bool,
    /// Not these agents (the author must not judge its own work).
    pub not_agents: &'a [AgentName],
    /// Not of these vendors.
    pub not_vendors: &'a [String],
    /// What it may cost, in nano-dollars.
    pub budget_nano: Option<u64>,
    /// What is said of how it is used; nothing: what the routing file says.
    pub demand: Demand,
    /// Now.
    pub now: Millis,
    /// A random number in 0..1, for trying what is little known; absent: nothing is tried.
    pub draw: Option<f64>,
}

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

/// The parts of a score, each 0 to 1 before its weight.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// How well it fits the work: strength, and neither too small nor needlessly large.
    pub capability: f64,
    /// How similar tasks came out; one half when too few speak.
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
    /// How many similar past tasks spoke, and how many of them succeeded.
    pub similar: (u32, u32),
    /// What it is expected to cost.
    pub expected: Expected,
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

/// Everything a decision rests on.
#[derive(Clone, Debug)]
pub struct Router {
    routing: Routing,
    roster: Roster,
    candidates: Vec<Candidate>,
    past: Past,
    today: Day,
    rules: Vec<rules::Ready>,
    /// Tasks given out by this router since the standing was taken, so that one plan spreads.
    given: BTreeMap<AgentName, u32>,
}

impl Router {
    /// A router over who is there.
    pub fn new(routing: Routing, roster: Roster, candidates: Vec<Candidate>, past: Past, today: Day) -> Router {
        Router {
            rules: rules::ready(&routing.rules),
            routing,
            roster,
            candidates,
            past,
            today,
            given: BTreeMap::new(),
        }
    }

    /// What the routing file says.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// What is known about models.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Who is there.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// How many past tasks it knows.
    pub fn past_tasks(&self) -> usize {
        self.past.tasks()
    }

    /// Puts a newer past and newer loads in place; what was given out meanwhile is in them.
    pub fn refresh(&mut self, past: Option<Past>, busy: &BTreeMap<AgentName, u32>, obstacles: &Obstacles) {
        if let Some(past) = past {
            self.past = past;
        }
        for candidate in &mut self.candidates {
            candidate.standing.busy = busy.get(&candidate.agent).copied().unwrap_or(0);
            candidate.standing.quota_until = obstacles.quota_until(&candidate.agent);
            candidate.standing.barred_until = obstacles.barred_until(&candidate.agent, candidate.model.as_deref());
        }
        self.given.clear();
    }

    /// Decides, and remembers that the chosen one has a task more.
    pub fn assign(&mut self, question: &Question<'_>) -> Choice {
        let choice = self.choose(question, analyse(&question.facts), &self.similar(question));
        if let Some(chosen) = choice.chosen() {
            *self.given.entry(chosen.agent.clone()).or_default() += 1;
        }
        choice
    }

    /// Decides.
    pub fn decide(&self, question: &Question<'_>) -> Choice {
        let analysis = analyse(&question.facts);
        let similar = self.similar(question);
        let mut choice = self.choose(question, analysis, &similar);
        choice.would_change = self.would_change(question, &choice, &similar);
        choice
    }

    /// What became of past tasks like this one. Looked up once a decision: it is most of what a decision takes.
    fn similar(&self, question: &Question<'_>) -> Vec<(&str, Similar)> {
        // A plan of a hundred thousand tasks must not look through a hundred thousand past ones for each.
        let many = self.given.values().sum::<u32>() > LISTENED_MAX;
        match many {
            true => Vec::new(),
            false => self.past.similar(&Sketch::of(question.facts.text)),
        }
    }

    fn choose(&self, question: &Question<'_>, analysis: Analysis, similar: &[(&str, Similar)]) -> Choice {
        let anybody_real = self
            .candidates
            .iter()
            .any(|candidate| !candidate.standing.stand_in && candidate.standing.missing.is_none());
        let mut excluded = Vec::new();
        let mut scored: Vec<Scored> = Vec::new();
        for candidate in &self.candidates {
            let expected = score::expected(candidate, &analysis, similar, self.samples_min());
            match self.floor(candidate, &analysis, question, &expected, anybody_real) {
                Some((floor, why)) => excluded.push(Excluded {
                    agent: candidate.agent.clone(),
                    model: candidate.model.clone(),
                    floor,
                    why,
                }),
                None => scored.push(score::score(self, candidate, &analysis, similar, expected)),
            }
        }
        let shadow = self.shadow(&scored);
        if self.routing.mode == Mode::Shadow {
            for one in &mut scored {
                one.score -= one.learned;
            }
        }
        sort(&mut scored);
        let demand = Some(question.demand).filter(Demand::is_said);
        let pays = billing::prefer(
            demand.unwrap_or(self.routing.demand),
            &self.candidates,
            &analysis,
            &mut scored,
        );
        let rule = self.obey(question, &analysis, &mut scored);
        let mut chosen = (!scored.is_empty()).then_some(0);
        let is_bound = rule.as_ref().is_some_and(|rule| rule.obeyed) || pays.as_ref().is_some_and(|pays| pays.obeyed);
        let explored = match is_bound {
            true => None,
            false => self.explore(question, &analysis, &scored),
        };
        chosen = explored.or(chosen);
        let (first, fallback) = self.chain(chosen, rule.as_ref(), &scored);
        let shadow = shadow.filter(|agent| {
            chosen
                .and_then(|place| scored.get(place))
                .is_some_and(|one| one.agent != *agent)
        });
        let mut choice = Choice {
            do_it_yourself: do_it_yourself(question, &analysis),
            consult: consult(&analysis, chosen, &scored),
            analysis,
            excluded,
            pays,
            rule,
            candidates: scored,
            chosen,
            first,
            fallback,
            explored: explored.is_some(),
            shadow,
            reason: String::new(),
            would_change: Vec::new(),
        };
        choice.reason = reason(&choice);
        choice
    }

    fn samples_min(&self) -> u32 {
        self.routing.samples_min.unwrap_or(read::SAMPLES_MIN)
    }

    /// The first floor that a candidate does not pass.
    fn floor(
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

    /// Puts those whom the rule that fires names in front, in its order.
    fn obey(&self, question: &Question<'_>, analysis: &Analysis, scored: &mut Vec<Scored>) -> Option<RuleHit> {
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
    fn chain(&self, chosen: Option<usize>, rule: Option<&RuleHit>, scored: &[Scored]) -> (Option<Link>, Vec<Link>) {
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

    /// Who would be first if only what was learned decided differently.
    fn shadow(&self, scored: &[Scored]) -> Option<AgentName> {
        if self.routing.mode != Mode::Shadow {
            return None;
        }
        let best = scored.iter().max_by(|one, other| one.score.total_cmp(&other.score))?;
        Some(best.agent.clone())
    }

    /// Now and then somebody adequate of whom little is known, where little is at stake.
    fn explore(&self, question: &Question<'_>, analysis: &Analysis, scored: &[Scored]) -> Option<usize> {
        let percent = self.routing.explore_percent.unwrap_or(read::EXPLORE_PERCENT);
        let due = question.draw.is_some_and(|draw| draw * 100.0 < f64::from(percent));
        let learns = self.routing.mode == Mode::Enforce && self.past.tasks() > 0;
        if !due || !learns || analysis.risk.value > Risk::Medium {
            return None;
        }
        let best = scored.first()?.score;
        let adequate = scored
            .iter()
            .enumerate()
            .filter(|(_, one)| one.score >= best * ADEQUATE);
        let least = adequate.min_by_key(|(_, one)| self.past.tried(one.agent.as_str()))?;
        (least.0 != 0).then_some(least.0)
    }

    /// What the same question would get if one thing were different.
    fn would_change(&self, question: &Question<'_>, choice: &Choice, similar: &[(&str, Similar)]) -> Vec<String> {
        let mut changes = Vec::new();
        let Some(chosen) = choice.chosen() else {
            changes.extend(choice.excluded.iter().map(lifted));
            return changes;
        };
        if let Some(next) = choice
            .candidates
            .iter()
            .filter(|one| one.agent != chosen.agent || one.model != chosen.model)
            .max_by(|one, other| one.score.total_cmp(&other.score))
        {
            let ahead = chosen.score - next.score;
            if ahead >= 0.0 {
                changes.push(format!(
                    "`{}` is {ahead:.2} behind; its load, health or history could make that up",
                    shown(&next.agent, next.model.as_deref())
                ));
            } else {
                changes.push(format!(
                    "by score alone it would be `{}` ({:.2} ahead)",
                    shown(&next.agent, next.model.as_deref()),
                    -ahead
                ));
            }
        }
        let mut altered = Vec::new();
        let mut complexity = choice.analysis.clone();
        for value in [Complexity::Simple, Complexity::Medium, Complexity::Complex] {
            complexity.complexity.value = value;
            altered.push((format!("if it were {value}"), complexity.clone()));
        }
        let mut risk = choice.analysis.clone();
        for value in [Risk::Low, Risk::High, Risk::Critical] {
            risk.risk.value = value;
            altered.push((format!("if the risk were {value}"), risk.clone()));
        }
        for (what, analysis) in altered {
            if analysis == choice.analysis {
                continue;
            }
            let other = self.choose(
                &Question {
                    draw: None,
                    ..*question
                },
                analysis,
                similar,
            );
            match other.chosen() {
                Some(one) if (&one.agent, &one.model) != (&chosen.agent, &chosen.model) => {
                    changes.push(format!("{what}: `{}`", shown(&one.agent, one.model.as_deref())));
                }
                None => changes.push(format!("{what}: nobody here")),
                Some(_) => {}
            }
        }
        changes.extend(
            choice
                .excluded
                .iter()
                .filter(|one| one.floor != Floor::Availability)
                .map(lifted),
        );
        changes
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

fn sort(scored: &mut [Scored]) {
    // Stable: among equals the order of the candidates, which is the order of preference.
    scored.sort_by(|one, other| {
        let score = other.score.total_cmp(&one.score);
        score.then(one.cost_tier.cmp(&other.cost_tier))
    });
}

/// Delegation must earn its overhead: to an agent a simple task is better done than given away.
fn do_it_yourself(question: &Question<'_>, analysis: &Analysis) -> Option<DoItYourself> {
    let simple = analysis.complexity.value == Complexity::Simple
        && analysis.risk.value <= Risk::Medium
        && analysis.context.value <= Context::Medium;
    if question.caller != Caller::Agent || !simple {
        return None;
    }
    let own = question.facts.text.len() as u64 / crate::analysis::CHARS_PER_TOKEN;
    Some(DoItYourself {
        reason: "it is simple: another agent would first read itself in, and you would read its result".to_owned(),
        // Written once as the order, read once by the other, whose own beginning comes on top; the result comes back.
        saved_tokens: COLD_START_TOKENS + 2 * own + RESULT_TOKENS,
    })
}

/// Much context: somebody who holds it is asked. Much at stake, or a hard task: somebody of another vendor reviews it.
/// Critical: both.
fn consult(analysis: &Analysis, chosen: Option<usize>, scored: &[Scored]) -> Vec<Consult> {
    let Some(chosen) = chosen.and_then(|place| scored.get(place)) else {
        return Vec::new();
    };
    let critical = analysis.risk.value == Risk::Critical;
    let large = analysis.context.value >= Context::Large;
    let deep = analysis.risk.value >= Risk::High || analysis.complexity.value == Complexity::Complex;
    let mut consult = Vec::new();
    let mut add = |wanted: fn(&Scored) -> bool, what_for: &str, why: &str| {
        let others = scored.iter().filter(|one| one.vendor != chosen.vendor);
        if let Some(one) = others.clone().find(|one| wanted(one)).or_else(|| others.clone().next()) {
            consult.push(Consult {
                agent: one.agent.clone(),
                model: one.model.clone(),
                what_for: what_for.to_owned(),
                why: why.to_owned(),
            });
        }
    };
    if large || critical {
        let why = if large {
            "there is much to read"
        } else {
            "it is critical: the surroundings are checked too"
        };
        add(|one| one.role == Role::Researcher, "reader", why);
    }
    if deep && analysis.kind.value != Kind::Review {
        let why = if critical {
            "it is critical"
        } else {
            "a second pair of eyes, of another vendor"
        };
        add(|one| one.role == Role::Reviewer, "reviewer", why);
    }
    consult
}

fn reason(choice: &Choice) -> String {
    let Some(chosen) = choice.chosen() else {
        return "nobody here can do it".to_owned();
    };
    let name = shown(&chosen.agent, chosen.model.as_deref());
    let analysis = &choice.analysis;
    let what = format!(
        "{} {}, {} risk",
        analysis.complexity.value, analysis.kind.value, analysis.risk.value
    );
    let paid_so = choice.pays.as_ref().filter(|pays| pays.obeyed);
    if let (Some(pays), false) = (paid_so, choice.rule.as_ref().is_some_and(|rule| rule.obeyed)) {
        return format!("`{name}`: {}", pays.why);
    }
    match &choice.rule {
        Some(rule) if rule.obeyed => format!("`{name}` by the rule `{}` (\"{}\")", rule.rule, rule.trigger),
        Some(_) | None if choice.explored => format!("`{name}`, to learn how it does at {what}"),
        Some(_) | None if choice.candidates.len() == 1 => format!("`{name}` is the only one left for {what}"),
        Some(_) | None => format!("`{name}` scores best ({:.2}) for {what}", chosen.score),
    }
}

fn lifted(one: &Excluded) -> String {
    format!("`{}` is out: {}", shown(&one.agent, one.model.as_deref()), one.why)
}

fn shown(agent: &AgentName, model: Option<&str>) -> String {
    match model {
        Some(model) => format!("{agent} with {model}"),
        None => agent.to_string(),
    }
}

fn human(until: Millis, now: Millis) -> String {
    crate::time::human(until.since(now)).to_string()
}
