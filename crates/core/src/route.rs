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
mod choice;
mod explain;
mod explore;
pub mod features;
mod floors;
mod follow;
mod heard;
pub mod learned;
pub mod past;
pub mod read;
mod rules;
mod score;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::analysis::{Analysis, Facts, analyse};
use crate::day::Day;
use crate::ids::AgentName;
use crate::price::Price;
use crate::roster::{Entry, Roster};
use crate::time::Millis;
use billing::Demand;
pub use choice::{Choice, Consult, DoItYourself, Evidence, Expected, Parts, Reason, RuleHit, Scored};
pub use floors::{Excluded, Floor, Obstacles};
use heard::Heard;
use learned::Model;
use past::Past;
use read::{Mode, Routing};

/// Tokens that an agent reads of its own before the first word of a task: system prompt and tools (measured for coding
/// agents: 12,000 to 20,000, most of it from a cache).
pub const COLD_START_TOKENS: u64 = 12_000;
/// Tokens that come back from a delegated task and are read by whoever delegated it.
pub const RESULT_TOKENS: u64 = 500;
/// How many candidates follow the chosen one as fallback.
pub const FALLBACK_MAX: usize = 2;
/// The cost tier of those in the past who are not here now.
const TIER_UNKNOWN: u8 = 3;
/// For how many tasks of one plan the past is looked through.
const LISTENED_MAX: u32 = 2_000;

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
    /// What decides whether this task is one that tries what is little known, and whom: a number of its own for each
    /// task, the same each time it is asked. Absent: nothing is tried.
    pub seed: Option<u64>,
}

/// Everything a decision rests on.
#[derive(Clone, Debug)]
pub struct Router {
    routing: Routing,
    roster: Roster,
    candidates: Vec<Candidate>,
    known: Arc<Known>,
    today: Day,
    rules: Vec<rules::Ready>,
    /// Tasks given out by this router since the standing was taken, so that one plan spreads.
    given: BTreeMap<AgentName, u32>,
}

/// The past, and what was learned from it once somebody asks.
#[derive(Debug, Default)]
struct Known {
    past: Past,
    model: OnceLock<Model>,
}

impl Known {
    fn of(past: Past) -> Arc<Known> {
        let model = OnceLock::new();
        Arc::new(Known { past, model })
    }
}

impl Router {
    /// A router over who is there.
    pub fn new(routing: Routing, roster: Roster, candidates: Vec<Candidate>, past: Past, today: Day) -> Router {
        Router {
            rules: rules::ready(&routing.rules),
            routing,
            roster,
            candidates,
            known: Known::of(past),
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
        self.past().tasks()
    }

    fn past(&self) -> &Past {
        &self.known.past
    }

    /// What was learned; made at the first task that is decided, and shared by the copies of a router.
    fn model(&self) -> &Model {
        self.known.model.get_or_init(|| {
            let tier = |who| {
                let (agent, model) = self.past().who(who)?;
                let is = |one: &&Candidate| one.agent.as_str() == agent && one.model.as_deref() == model;
                Some(self.candidates.iter().find(is)?.entry.cost_tier)
            };
            Model::of(self.past(), |who| tier(who).unwrap_or(TIER_UNKNOWN))
        })
    }

    /// Puts a newer past and newer loads in place; what was given out meanwhile is in them.
    pub fn refresh(&mut self, past: Option<Past>, busy: &BTreeMap<AgentName, u32>, obstacles: &Obstacles) {
        if let Some(past) = past {
            self.known = Known::of(past);
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
        let analysis = analyse(&question.facts);
        // A plan of a hundred thousand tasks must not look through a hundred thousand past ones for each.
        let many = self.given.values().sum::<u32>() > LISTENED_MAX;
        let heard = self.hear(question.facts.text, analysis.kind.value, many);
        let choice = self.choose(question, analysis, &heard);
        if let Some(chosen) = choice.chosen() {
            *self.given.entry(chosen.agent.clone()).or_default() += 1;
        }
        choice
    }

    /// Decides.
    pub fn decide(&self, question: &Question<'_>) -> Choice {
        let analysis = analyse(&question.facts);
        let heard = self.hear(question.facts.text, analysis.kind.value, false);
        let mut choice = self.choose(question, analysis, &heard);
        choice.would_change = self.would_change(question, &choice, &heard);
        choice
    }

    fn choose(&self, question: &Question<'_>, analysis: Analysis, heard: &Heard) -> Choice {
        let anybody_real = self
            .candidates
            .iter()
            .any(|candidate| !candidate.standing.stand_in && candidate.standing.missing.is_none());
        let mut excluded = Vec::new();
        let mut scored: Vec<Scored> = Vec::new();
        for candidate in &self.candidates {
            let expected = score::expected(candidate, &analysis, heard, self.samples_min());
            match self.floor(candidate, &analysis, question, &expected, anybody_real) {
                Some((floor, why)) => excluded.push(Excluded {
                    agent: candidate.agent.clone(),
                    model: candidate.model.clone(),
                    floor,
                    why,
                }),
                None => scored.push(score::score(self, candidate, &analysis, heard, expected)),
            }
        }
        let shadow = self.shadow(&scored);
        if self.routing.mode == Mode::Shadow {
            for one in &mut scored {
                one.score = score::unlearned(&one.parts);
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
            do_it_yourself: explain::do_it_yourself(question, &analysis),
            consult: explain::consult(&analysis, chosen, &scored),
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
        choice.reason = explain::reason(&choice);
        choice
    }

    fn samples_min(&self) -> u32 {
        self.routing.samples_min.unwrap_or(read::SAMPLES_MIN)
    }

    /// Who would be first if only what was learned decided differently.
    fn shadow(&self, scored: &[Scored]) -> Option<AgentName> {
        if self.routing.mode != Mode::Shadow {
            return None;
        }
        let best = scored.iter().max_by(|one, other| one.score.total_cmp(&other.score))?;
        Some(best.agent.clone())
    }
}

fn sort(scored: &mut [Scored]) {
    // Stable: among equals the order of the candidates, which is the order of preference.
    scored.sort_by(|one, other| {
        let score = other.score.total_cmp(&one.score);
        score.then(one.cost_tier.cmp(&other.cost_tier))
    });
}
