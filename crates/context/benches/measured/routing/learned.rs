//! What the product's own router says of prompts when it remembers what became of others.

use wheelhouse_core::analysis::{Facts, Kind, analyse};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::roster::{Entry, Role, Roster, Speed};
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::{Past, PastTask, Sketch};
use wheelhouse_core::route::read::Routing;
use wheelhouse_core::route::{Candidate, Question, Router, Standing};
use wheelhouse_core::time::Millis;

use super::set::Prompt;
use crate::table::Draws;

pub(super) const FOLDS: usize = 5;

/// Whose answers are remembered of a prompt that was seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Those of both.
    Both,
    /// That of one of them: a task is done by one.
    One,
}

/// How hard a text is by its words alone.
pub(super) fn difficulty(text: &str) -> f64 {
    let facts = Facts {
        text,
        ..Facts::default()
    };
    analyse(&facts).difficulty as f64
}

/// Scores for each prompt by what became of those of the other folds.
pub(super) fn in_folds(prompts: &[Prompt], seen: Seen) -> Vec<f64> {
    let mut scores = vec![0.0; prompts.len()];
    for fold in 0..FOLDS {
        let (others, own): (Vec<usize>, Vec<usize>) = (0..prompts.len()).partition(|at| at % FOLDS != fold);
        let others: Vec<&Prompt> = others.into_iter().map(|at| &prompts[at]).collect();
        let router = router(&others, seen);
        for at in own {
            scores[at] = score(&router, &prompts[at].text);
        }
    }
    scores
}

/// A router of two candidates that remembers prompts.
pub(super) fn router(seen: &[&Prompt], whose: Seen) -> Router {
    let mut draws = Draws::new(11);
    let mut order: Vec<usize> = (0..seen.len()).collect();
    // The file's order is that of its domains; tasks come mixed.
    draws.shuffle(&mut order);
    let tasks = order.into_iter().flat_map(|at| {
        let prompt = seen[at];
        let only = (whose == Seen::One).then(|| draws.below(2));
        let both = [("weak", prompt.weak), ("strong", prompt.strong)]
            .into_iter()
            .enumerate();
        both.filter(move |(who, _)| only.is_none_or(|only| only == *who))
            .map(|(_, (agent, worth))| PastTask {
                task: wheelhouse_core::ids::TaskId(0),
                sketch: Sketch::of(&prompt.text),
                features: Some(Features::of(&prompt.text)),
                kind: Kind::General,
                agent: agent.to_owned(),
                model: None,
                outcome: if worth > 0.5 {
                    Outcome::Succeeded
                } else {
                    Outcome::GateFailed
                },
                cost_nano: None,
                at: Millis(0),
            })
            .collect::<Vec<_>>()
    });
    Router::new(
        Routing::default(),
        Roster {
            as_of: None,
            entries: Vec::new(),
        },
        vec![candidate("weak", 2, 50), candidate("strong", 4, 80)],
        Past::of(tasks),
        "2026-11-27".parse().unwrap(),
    )
}

/// How far the router's own score of the strong one is above that of the weak one; where it is equal, by words.
pub(super) fn score(router: &Router, text: &str) -> f64 {
    let facts = Facts {
        text,
        ..Facts::default()
    };
    let choice = router.decide(&Question {
        facts,
        ..Question::default()
    });
    let of = |name: &str| {
        let mut scored = choice.candidates.iter();
        scored
            .find(|one| one.agent.as_str() == name)
            .map_or(0.0, |one| one.score)
    };
    of("strong") - of("weak") + difficulty(text) * 1e-9
}

fn candidate(name: &str, cost_tier: u8, strength: u8) -> Candidate {
    Candidate {
        agent: name.into(),
        model: None,
        entry: Entry {
            name: name.to_owned(),
            model: None,
            effort: None,
            vendor: name.to_owned(),
            role: Role::Grinder,
            strengths: vec![(Kind::General, strength)],
            cost_tier,
            speed: Speed::Medium,
            window_tokens: 128_000,
            billing: Billing::Api,
            retired_on: None,
        },
        price: None,
        standing: Standing {
            busy_max: 4,
            ..Standing::default()
        },
    }
}
