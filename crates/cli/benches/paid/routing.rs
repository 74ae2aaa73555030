//! A routing decision, without history and with a hundred thousand past tasks.

use std::hint::black_box;
use std::time::Instant;

use wheelhouse_core::analysis::{Facts, KINDS};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Table;
use wheelhouse_core::roster::{Entry, Roster};
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::{Past, PastTask, ROWS_MAX, Sketch};
use wheelhouse_core::route::read;
use wheelhouse_core::route::{Candidate, Question, Router, Standing};
use wheelhouse_core::time::Millis;

use crate::percentile_ms;

const GUIDE: &str = include_str!("../../../core/tests/route/guide.yaml");
const DECISIONS: usize = 2_000;

/// Agents of the models that a well-equipped house has.
const MODELS: [&str; 8] = [
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
    "gpt-4o",
    "gpt-5.5",
    "grok-3",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
];

const WORDS: [&str; 24] = [
    "parser",
    "cookie",
    "session",
    "migrate",
    "invoice",
    "tariff",
    "flaky",
    "test",
    "refactor",
    "cache",
    "login",
    "deadline",
    "summarise",
    "article",
    "review",
    "security",
    "payment",
    "schema",
    "rename",
    "module",
    "crash",
    "report",
    "quarter",
    "graph",
];

/// Words of a task: a sentence of which no two are alike.
fn words(number: usize) -> String {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut text = String::from("Please");
    for _ in 0..40 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
    }
    text
}

fn router(past: Past) -> Router {
    let today = "2026-03-01".parse().unwrap();
    let roster = Roster::shipped();
    let candidates = MODELS.iter().map(|model| Candidate {
        agent: (*model).into(),
        model: None,
        price: Table::shipped().find(model, today).price().cloned(),
        entry: roster.find(model).cloned().unwrap_or_else(|| Entry::unknown(model)),
        standing: Standing {
            busy_max: 4,
            may_plan: true,
            ..Standing::default()
        },
    });
    let routing = read::routing("guide.yaml", GUIDE).unwrap().0;
    Router::new(routing, roster.clone(), candidates.collect(), past, today)
}

pub(crate) fn measure() {
    let history = |tasks: usize| {
        Past::of((0..tasks).map(|number| PastTask {
            task: wheelhouse_core::ids::TaskId(0),
            sketch: Sketch::of(&words(number)),
            features: Some(Features::of(&words(number))),
            model: None,
            kind: KINDS[number % KINDS.len()],
            agent: MODELS[number % MODELS.len()].to_owned(),
            outcome: if number % 7 == 0 {
                Outcome::GateFailed
            } else {
                Outcome::Succeeded
            },
            cost_nano: Some(1_000_000 * (number as u64 % 90)),
            at: Millis(number as u64),
        }))
    };
    for tasks in [0, 1_000, ROWS_MAX] {
        let begun = Instant::now();
        let past = history(tasks);
        let made = begun.elapsed();
        let router = router(past);
        let mut times: Vec<_> = (0..DECISIONS)
            .map(|number| {
                let text = words(tasks + number);
                let question = Question {
                    facts: Facts {
                        text: &text,
                        ..Facts::default()
                    },
                    ..Question::default()
                };
                let begun = Instant::now();
                black_box(router.decide(black_box(&question)));
                begun.elapsed()
            })
            .collect();
        let (p50, p99) = (percentile_ms(&mut times, 50), percentile_ms(&mut times, 99));
        println!(
            "{tasks:>7} past tasks, {} agents: p50 {:.0} µs, p99 {:.0} µs (sketched and sorted in {:.2} s, once)",
            MODELS.len(),
            p50 * 1e3,
            p99 * 1e3,
            made.as_secs_f64()
        );
    }
}
