//! What the past says of one task: how alike ones came out, and what is expected of each who was asked before.

use super::Router;
use super::features::Features;
use super::learned::Expectation;
use super::past::{Similar, Sketch};
use crate::analysis::Kind;

/// Everything the past says of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    told: Vec<Told>,
}

/// What it says of one who could do it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its number in the past.
    pub(super) who: usize,
    agent: String,
    model: Option<String>,
    /// How tasks that are alike came out.
    pub(super) similar: Similar,
    /// What is expected of it here.
    pub(super) expectation: Expectation,
    speaks: bool,
}

impl Told {
    /// Whether there are enough tasks behind it.
    pub(super) fn speaks(&self) -> bool {
        self.speaks
    }

    /// How likely it is to succeed.
    pub(super) fn success(&self) -> f64 {
        self.expectation.success
    }
}

impl Heard {
    /// What is said of an agent with a model.
    pub(super) fn of(&self, agent: &str, model: Option<&str>) -> Option<&Told> {
        let is = |told: &&Told| told.agent == agent && told.model.as_deref() == model;
        self.told.iter().find(is)
    }

    /// Those of whom there is enough to speak.
    pub(super) fn speaking(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.speaks)
    }
}

impl Router {
    /// What the past says of a task. Looked up once a decision: it is most of what a decision takes. Tasks that are alike
    /// are looked for among all of them, unless `briefly`.
    pub(super) fn hear(&self, text: &str, kind: Kind, briefly: bool) -> Heard {
        let past = self.past();
        if past.tasks() == 0 {
            return Heard::default();
        }
        let similar = match briefly {
            true => Default::default(),
            false => past.similar(&Sketch::of(text)),
        };
        let features = Features::of(text);
        let model = self.model();
        let told = self.candidates.iter().filter_map(|candidate| {
            let (agent, named) = (candidate.agent.as_str(), candidate.model.as_deref());
            let who = past.number(agent, named)?;
            let expectation = model.expected(who, kind, &features, text)?;
            Some(Told {
                who,
                agent: agent.to_owned(),
                model: named.map(str::to_owned),
                similar: similar.get(&who).copied().unwrap_or_default(),
                speaks: expectation.tasks >= self.samples_min(),
                expectation,
            })
        });
        Heard { told: told.collect() }
    }
}
