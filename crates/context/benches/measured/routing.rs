//! Routing on RouteLLM's data: a weak and a strong model have answered each prompt; a router orders prompts by how much
//! they need the strong one. APGR is the area under the share of the gap that is won, over the share sent to the strong
//! one; CPT(x) the smallest share that wins x of the gap.

use std::path::Path;

use serde_json::Value;
use wheelhouse_core::analysis::{Facts, Kind, analyse};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::roster::{Entry, Role, Roster, Speed};
use wheelhouse_core::route::past::{Past, PastTask, Sketch};
use wheelhouse_core::route::read::Routing;
use wheelhouse_core::route::{Candidate, Question, Router, Standing};
use wheelhouse_core::time::Millis;

use crate::table::{Draws, Table, bounds};

const RESAMPLES: usize = 1_000;
const FOLDS: usize = 5;

/// A prompt with what each model's answer was worth, 0 to 1.
struct Prompt {
    text: String,
    weak: f64,
    strong: f64,
}

pub(crate) fn measure(table: &mut Table, data: &Path) {
    for (name, peer) in [
        ("gsm8k", "length rule 0.598 / 36.7 / 66.9 (the set's page)"),
        (
            "mt_bench",
            "0.802 / 13.4 / 31.3 (RouteLLM's best, trained on Arena and judges)",
        ),
    ] {
        let path = data.join(format!("routellm/{name}.jsonl"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("routing: passed over, {} is not there", path.display());
            continue;
        };
        let prompts = prompts(&text);
        let n = prompts.len();
        let by_length: Vec<f64> = prompts.iter().map(|prompt| prompt.text.len() as f64).collect();
        let by_words: Vec<f64> = prompts.iter().map(|prompt| difficulty(&prompt.text)).collect();
        let length = Curve::of(&prompts, &by_length);
        let about = format!("routing, {name}, {n} prompts: APGR / CPT50 / CPT80");
        table.row(
            &about,
            format!("{} (by its words)", Curve::of(&prompts, &by_words).shown()),
            peer,
            format!("{} (length, here)", length.shown()),
        );
        if name == "gsm8k" {
            let learned = learned(&prompts);
            table.row(
                "the same, having seen other prompts (5 folds)",
                Curve::of(&prompts, &learned).shown(),
                "0.601 / 37.9 / 62.3 (TF-IDF regression, 5 folds)",
                chance(&prompts),
            );
        } else {
            table.row("the same, chance", "–", "–", chance(&prompts));
        }
    }
}

fn prompts(text: &str) -> Vec<Prompt> {
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let clean = rows.filter(|row| row["contaminated"] != true);
    let worth = |value: &Value| match value {
        Value::Bool(right) => f64::from(u8::from(*right)),
        Value::Array(scores) => scores.iter().filter_map(Value::as_f64).sum::<f64>() / (10.0 * scores.len() as f64),
        _ => 0.0,
    };
    let prompt = |row: Value| match row.get("scores") {
        Some(scores) => Prompt {
            text: row["turns"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join("\n"),
            weak: worth(&scores["mistralai/Mixtral-8x7B-Instruct-v0.1"]),
            strong: worth(&scores["gpt-4-1106-preview"]),
        },
        None => Prompt {
            text: row["prompt"].as_str().unwrap().to_owned(),
            weak: worth(&row["weak"]),
            strong: worth(&row["strong"]),
        },
    };
    clean.map(prompt).collect()
}

fn difficulty(text: &str) -> f64 {
    let facts = Facts {
        text,
        ..Facts::default()
    };
    analyse(&facts).difficulty as f64
}

/// How far the router's own score of the strong one is above that of the weak one, with the past of the other folds;
/// where it is equal, by words.
fn learned(prompts: &[Prompt]) -> Vec<f64> {
    let mut scores = vec![0.0; prompts.len()];
    for fold in 0..FOLDS {
        let seen = prompts.iter().enumerate().filter(|(at, _)| at % FOLDS != fold);
        let past = Past::of(seen.flat_map(|(_, prompt)| {
            [("weak", prompt.weak), ("strong", prompt.strong)].map(|(agent, worth)| PastTask {
                sketch: Sketch::of(&prompt.text),
                kind: Kind::General,
                agent: agent.to_owned(),
                outcome: if worth > 0.5 {
                    Outcome::Succeeded
                } else {
                    Outcome::GateFailed
                },
                cost_nano: None,
                at: Millis(0),
            })
        }));
        let candidates = vec![candidate("weak", 2, 50), candidate("strong", 4, 80)];
        let today = "2026-11-27".parse().unwrap();
        let router = Router::new(
            Routing::default(),
            Roster {
                as_of: None,
                entries: Vec::new(),
            },
            candidates,
            past,
            today,
        );
        for (at, prompt) in prompts.iter().enumerate().filter(|(at, _)| at % FOLDS == fold) {
            let facts = Facts {
                text: &prompt.text,
                ..Facts::default()
            };
            let choice = router.decide(&Question {
                facts,
                ..Question::default()
            });
            let of = |name: &str| {
                choice
                    .candidates
                    .iter()
                    .find(|one| one.agent.as_str() == name)
                    .map_or(0.0, |one| one.score)
            };
            scores[at] = of("strong") - of("weak") + difficulty(&prompt.text) * 1e-9;
        }
    }
    scores
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

/// The three numbers of an order, each with its bounds.
struct Curve([(f64, (f64, f64)); 3]);

impl Curve {
    fn of(prompts: &[Prompt], scores: &[f64]) -> Curve {
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        // Equal scores are put in an order of chance, not in that of the file.
        Draws::new(7).shuffle(&mut order);
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let once = numbers(prompts, &order, &vec![1; prompts.len()]);
        let mut draws = Draws::new(0x9e37_79b9);
        let mut samples: [Vec<f64>; 3] = Default::default();
        for _ in 0..RESAMPLES {
            let mut times = vec![0_u32; prompts.len()];
            (0..prompts.len()).for_each(|_| times[draws.below(prompts.len())] += 1);
            for (sample, number) in samples.iter_mut().zip(numbers(prompts, &order, &times)) {
                sample.push(number);
            }
        }
        let mut each = once
            .into_iter()
            .zip(samples)
            .map(|(number, sample)| (number, bounds(sample)));
        Curve([each.next().unwrap(), each.next().unwrap(), each.next().unwrap()])
    }

    fn shown(&self) -> String {
        let [(area, area_in), (half, half_in), (most, most_in)] = self.0;
        format!(
            "{area:.3} ({:.3}–{:.3}) / {:.1} ({:.1}–{:.1}) / {:.1} ({:.1}–{:.1})",
            area_in.0,
            area_in.1,
            half * 100.0,
            half_in.0 * 100.0,
            half_in.1 * 100.0,
            most * 100.0,
            most_in.0 * 100.0,
            most_in.1 * 100.0
        )
    }
}

/// APGR, CPT50 and CPT80 of an order; `times` says how often each prompt counts.
fn numbers(prompts: &[Prompt], order: &[usize], times: &[u32]) -> [f64; 3] {
    let all: f64 = times.iter().map(|times| f64::from(*times)).sum();
    let weak: f64 = order.iter().map(|at| prompts[*at].weak * f64::from(times[*at])).sum();
    let strong: f64 = order.iter().map(|at| prompts[*at].strong * f64::from(times[*at])).sum();
    let gap = strong - weak;
    let (mut sent, mut won, mut area) = (0.0, 0.0, 0.0);
    let (mut half, mut most) = (1.0_f64, 1.0_f64);
    for at in order {
        let count = f64::from(times[*at]);
        let before = won / gap;
        won += (prompts[*at].strong - prompts[*at].weak) * count;
        sent += count;
        area += (before + won / gap) / 2.0 * count / all;
        let share = sent / all;
        if won / gap >= 0.5 {
            half = half.min(share);
        }
        if won / gap >= 0.8 {
            most = most.min(share);
        }
    }
    [area, half, most]
}

/// Orders of chance: the mean and the spread of the area.
fn chance(prompts: &[Prompt]) -> String {
    let mut draws = Draws::new(3);
    let times = vec![1; prompts.len()];
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    let areas: Vec<[f64; 3]> = (0..200)
        .map(|_| {
            draws.shuffle(&mut order);
            numbers(prompts, &order, &times)
        })
        .collect();
    let mean = |at: usize| areas.iter().map(|one| one[at]).sum::<f64>() / areas.len() as f64;
    let (low, high) = bounds(areas.iter().map(|one| one[0]).collect());
    format!(
        "{:.3} ({low:.3}–{high:.3}) / {:.1} / {:.1} (chance)",
        mean(0),
        mean(1) * 100.0,
        mean(2) * 100.0
    )
}
