//! Routing that learns, from outside: what it takes from the past, what it does not, and that nobody is forgotten.
//!
//! `cargo test --release -p wheelhouse-core --test routing_learns -- --nocapture` prints the numbers of docs/routing.md.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says why")]

use std::collections::BTreeMap;

use wheelhouse_core::analysis::{Facts, Kind};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::roster::{Entry, Roster};
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::{Past, PastTask, Sketch};
use wheelhouse_core::route::read::Routing;
use wheelhouse_core::route::{Candidate, Choice, Obstacles, Question, Router, Standing};
use wheelhouse_core::time::Millis;

/// Numbers that follow from a seed (splitmix64).
struct Draws(u64);

impl Draws {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.share() * limit as f64) as usize
    }
}

/// Agents that are alike in everything but what becomes of their tasks.
fn candidates(names: &[&str]) -> Vec<Candidate> {
    let candidate = |name: &&str| Candidate {
        agent: (*name).into(),
        model: None,
        entry: Entry {
            billing: Billing::Api,
            ..Entry::unknown(name)
        },
        price: None,
        standing: Standing {
            busy_max: 4,
            ..Standing::default()
        },
    };
    names.iter().map(candidate).collect()
}

fn router(names: &[&str], routing: Routing, past: Vec<PastTask>) -> Router {
    let today = "2026-11-27".parse().unwrap();
    Router::new(routing, Roster::shipped(), candidates(names), Past::of(past), today)
}

fn done(text: &str, agent: &str, succeeded: bool) -> PastTask {
    PastTask {
        task: wheelhouse_core::ids::TaskId(0),
        sketch: Sketch::of(text),
        features: Some(Features::of(text)),
        kind: Kind::General,
        agent: agent.to_owned(),
        model: None,
        outcome: if succeeded {
            Outcome::Succeeded
        } else {
            Outcome::GateFailed
        },
        cost_nano: None,
        at: Millis(0),
    }
}

fn ask(router: &Router, text: &str, seed: Option<u64>) -> Choice {
    let facts = Facts {
        text,
        ..Facts::default()
    };
    router.decide(&Question {
        facts,
        seed,
        ..Question::default()
    })
}

fn chosen(choice: &Choice) -> &str {
    choice.chosen().unwrap().agent.as_str()
}

/// A text of a domain: two fifths of its words are of the domain, of the others none tells anything.
fn text(draws: &mut Draws, domain: usize) -> String {
    let mut text = String::from("Please see to this");
    for _ in 0..15 + draws.below(40) {
        let word = match draws.share() < 0.4 {
            true => format!(" d{domain}x{}", draws.below(25)),
            false => format!(" w{}", draws.below(400)),
        };
        text.push_str(&word);
    }
    text
}

#[test]
fn who_is_good_at_what_is_learned_from_a_few_hundred_tasks() {
    let mut shares = Vec::new();
    for tasks in [100, 300, 1_000] {
        let (mut right, mut all) = (0, 0);
        for seed in 0..3 {
            let mut draws = Draws(seed);
            // `a` is good at even domains, `b` at odd ones; all in all they are alike.
            let good = |agent: &str, domain: usize| (agent == "a") == domain.is_multiple_of(2);
            let mut past = Vec::new();
            for _ in 0..tasks {
                let domain = draws.below(6);
                let agent = if draws.share() < 0.5 { "a" } else { "b" };
                let succeeds = draws.share() < if good(agent, domain) { 0.9 } else { 0.4 };
                past.push(done(&text(&mut draws, domain), agent, succeeds));
            }
            let router = router(&["a", "b"], Routing::default(), past);
            for _ in 0..100 {
                let domain = draws.below(6);
                let choice = ask(&router, &text(&mut draws, domain), None);
                right += usize::from(good(chosen(&choice), domain));
                all += 1;
            }
        }
        shares.push(right as f64 / all as f64);
    }
    println!("the better one is chosen after 100, 300, 1,000 tasks: {shares:.2?}");
    assert!(shares[1] > 0.8 && shares[2] > 0.9, "{shares:?}");
}

#[test]
fn what_it_learned_is_said_with_its_words() {
    let mut past = Vec::new();
    for number in 0..60 {
        past.push(done(
            &format!("Reconcile the invoice of customer {number}"),
            "a",
            number % 8 == 0,
        ));
        past.push(done(
            &format!("Render the picture of customer {number}"),
            "a",
            number % 8 != 0,
        ));
        past.push(done(
            &format!("Reconcile the invoice of customer {number}"),
            "b",
            number % 8 != 0,
        ));
        past.push(done(
            &format!("Render the picture of customer {number}"),
            "b",
            number % 8 == 0,
        ));
    }
    let router = router(&["a", "b"], Routing::default(), past);
    let choice = ask(&router, "Reconcile the invoice of customer 77", None);
    assert_eq!(chosen(&choice), "b", "{choice:#?}");
    let evidence = choice.chosen().unwrap().evidence.as_ref().unwrap();
    assert!(
        evidence.tasks == 120 && evidence.success > evidence.level,
        "{evidence:#?}"
    );
    assert!(
        evidence.reasons.iter().all(|reason| reason.adds > 0.0)
            && evidence
                .reasons
                .iter()
                .any(|reason| reason.what.contains("invoice") || reason.what.contains("Reconcile")),
        "{evidence:#?}"
    );
    assert_eq!(ask(&router, "Reconcile the invoice of customer 77", None), choice);
}

#[test]
fn where_nothing_can_be_learned_nothing_is() {
    for (seed, tasks) in [(1, 40), (2, 300), (3, 1_000), (4, 1_000)] {
        let mut draws = Draws(seed);
        let mut past = Vec::new();
        for _ in 0..tasks {
            let agent = if draws.share() < 0.5 { "a" } else { "b" };
            let domain = draws.below(6);
            let succeeds = draws.share() < 0.7;
            past.push(done(&text(&mut draws, domain), agent, succeeds));
        }
        let router = router(&["a", "b"], Routing::default(), past);
        for _ in 0..50 {
            let domain = draws.below(6);
            let choice = ask(&router, &text(&mut draws, domain), None);
            for one in &choice.candidates {
                assert!(one.learned.abs() < 0.05, "{seed}: {one:#?}");
            }
        }
    }
}

#[test]
fn few_tasks_say_nothing() {
    let text = "Reconcile the invoice of a customer";
    let of = |tasks: usize| {
        let past = (0..tasks).flat_map(|_| [done(text, "a", false), done(text, "b", true)]);
        router(&["a", "b"], Routing::default(), past.collect())
    };
    let choice = ask(&of(4), text, None);
    assert_eq!(chosen(&choice), "a", "as if there were no past");
    for one in &choice.candidates {
        assert_eq!((one.parts.history, one.learned), (0.5, 0.0));
        assert_eq!(one.evidence, None);
    }
    assert_eq!(chosen(&ask(&of(5), text, None)), "b");
    // A past of an older version has outcomes and no words.
    let old = (0..20).flat_map(|_| {
        ["a", "b"].map(|agent| PastTask {
            features: None,
            ..done(text, agent, agent == "b")
        })
    });
    let router = router(&["a", "b"], Routing::default(), old.collect());
    assert_eq!(chosen(&ask(&router, text, None)), "b");
}

/// What four agents are worth at a task, in four phases: the best becomes the worst, and one that was bad becomes good.
const WORTH: [[f64; 4]; 4] = [
    [0.90, 0.75, 0.60, 0.50],
    [0.50, 0.75, 0.60, 0.90],
    [0.50, 0.90, 0.60, 0.75],
    [0.85, 0.60, 0.95, 0.60],
];
const TASKS: usize = 2_000;
/// A past is learned from anew after so many tasks; an unoptimised build is slow at this.
const LEARNED_EVERY: usize = if cfg!(debug_assertions) { 100 } else { 50 };

/// Regret against always asking the best, and how often each was asked in each phase.
fn simulated(explore_percent: u8, seed: u64) -> (f64, [[u32; 4]; 4]) {
    let names = ["a", "b", "c", "d"];
    let routing = Routing {
        explore_percent: Some(explore_percent),
        ..Routing::default()
    };
    let mut draws = Draws(seed);
    let mut past: Vec<PastTask> = Vec::new();
    let mut router = router(&names, routing, Vec::new());
    let (mut regret, mut asked) = (0.0, [[0; 4]; 4]);
    for task in 0..TASKS {
        let phase = task * 4 / TASKS;
        if task % LEARNED_EVERY == 0 {
            let newest_first = past.iter().rev().cloned();
            router.refresh(Some(Past::of(newest_first)), &BTreeMap::new(), &Obstacles::default());
        }
        let domain = draws.below(6);
        let text = text(&mut draws, domain);
        let choice = ask(&router, &text, Some(draws.number()));
        let who = names.iter().position(|name| *name == chosen(&choice)).unwrap();
        asked[phase][who] += 1;
        regret += 0.0_f64.max(WORTH[phase].iter().fold(0.0, |best: f64, worth| best.max(*worth)) - WORTH[phase][who]);
        past.push(done(&text, names[who], draws.share() < WORTH[phase][who]));
    }
    (regret, asked)
}

#[test]
fn nobody_is_forgotten_and_a_change_is_noticed() {
    let seeds = if cfg!(debug_assertions) { 1..=1 } else { 1..=5 };
    let of = |percent: u8| -> Vec<(f64, [[u32; 4]; 4])> {
        let seeds = seeds.clone();
        seeds.map(|seed| simulated(percent, seed)).collect()
    };
    let mean = |each: &[(f64, [[u32; 4]; 4])]| each.iter().map(|(regret, _)| regret).sum::<f64>() / each.len() as f64;
    let lost_by_chance = |worth: &[f64; 4]| {
        let best = worth.iter().fold(0.0, |best: f64, one| best.max(*one));
        (best - worth.iter().sum::<f64>() / 4.0) * (TASKS / 4) as f64
    };
    let chance: f64 = WORTH.iter().map(lost_by_chance).sum();
    let exploring = of(5);
    println!(
        "regret over {TASKS} tasks: {:.0} (chance: {chance:.0})",
        mean(&exploring)
    );
    if !cfg!(debug_assertions) {
        println!("  where nobody is tried: {:.0}", mean(&of(0)));
    }
    let most = chance * if cfg!(debug_assertions) { 0.9 } else { 0.65 };
    assert!(mean(&exploring) < most, "{exploring:?}, chance {chance}");
    for (_, asked) in exploring {
        for phase in asked {
            assert!(phase.iter().all(|times| *times >= 1), "{asked:?}");
        }
        // Whoever was the best and became bad is left.
        assert!(asked[2][0] < asked[0][0] / 4, "{asked:?}");
    }
}
