//! Routing on RouteLLM's data and others like it: a weak and a strong model have answered each prompt; a router orders
//! prompts by how much they need the strong one. APGR is the area under the share of the gap that is won, over the share
//! sent to the strong one; CPT(x) the smallest share that wins x of the gap. Every file of JSON lines in `routellm` is a
//! set.

mod curve;
mod learned;
mod money;
mod set;
mod synthetic;

use std::path::Path;

use crate::source;
use crate::table::Table;
use curve::{Curve, chance};
use learned::{FOLDS, Seen};
use set::{Prompt, Set};

/// Below so many prompts nothing is learned from four fifths of them.
const LEARNED_MIN: usize = 200;

/// What others came to on a set, by words alone and having seen others of its prompts: the sets' own page.
const PEERS: [(&str, &str, &str); 3] = [
    (
        "gsm8k",
        "0.622 / 33.6 / 63.3 (RouteLLM, by its paper)",
        "0.601 / 37.9 / 62.3 (TF-IDF regression)",
    ),
    (
        "mmlu",
        "0.603 / 35.4 / 70.3 (RouteLLM, by its paper)",
        "0.686 / 25.6 / 57.8 (TF-IDF regression)",
    ),
    (
        "mt_bench",
        "0.802 / 13.4 / 31.3 (RouteLLM, trained on votes and judges)",
        "–",
    ),
];

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let folder = data.join("routellm");
    let files = source::files(&folder, ".jsonl");
    if files.is_empty() {
        println!(
            "routing: no *.jsonl (plain, .gz or .zst) in {}; only the sets made here",
            folder.display()
        );
    }
    for file in files {
        match set::read(&file) {
            Ok(set) => rows(table, &set),
            Err(why) => table.note(&format!("routing: passed over, {why}")),
        }
    }
    synthetic::rows(table);
}

fn rows(table: &mut Table, set: &Set) {
    let Set { name, prompts, notes } = set;
    for note in notes {
        table.note(note);
    }
    let n = prompts.len();
    let gap = prompts.iter().map(|prompt| prompt.strong - prompt.weak).sum::<f64>() / n as f64;
    if gap <= 0.0 {
        table.note(&format!(
            "routing, {name}: the strong one is not better ({:+.1} points over {n} prompts), so there is no gap to win",
            gap * 100.0
        ));
        return;
    }
    let peer = PEERS.iter().find(|(of, ..)| of == name);
    let (by_words_peer, seen_peer) = peer.map_or(("–", "–"), |(_, words, seen)| (*words, *seen));
    let length: Vec<f64> = prompts.iter().map(|prompt| prompt.text.len() as f64).collect();
    let words: Vec<f64> = prompts.iter().map(|prompt| learned::difficulty(&prompt.text)).collect();
    table.row(
        format!("routing, {name}, {n} prompts, by words alone: APGR / CPT50 / CPT80"),
        Curve::of(prompts, &words).shown(),
        by_words_peer,
        format!("{} (length); {}", Curve::of(prompts, &length).shown(), chance(prompts)),
    );
    if n < LEARNED_MIN {
        money::rows(table, prompts, &[("by words", &words), ("length", &length)]);
        return;
    }
    let both = learned::in_folds(prompts, Seen::Both);
    table.row(
        format!("the same, having seen what both made of others ({FOLDS} folds)"),
        Curve::of(prompts, &both).shown(),
        seen_peer,
        domains(prompts),
    );
    table.row(
        "the same, having seen what one of the two made of each",
        Curve::of(prompts, &learned::in_folds(prompts, Seen::One)).shown(),
        "–",
        "as above",
    );
    money::rows(table, prompts, &[("having seen others", &both), ("length", &length)]);
}

/// A table of domains in the same folds, where rows name theirs.
fn domains(prompts: &[Prompt]) -> String {
    if !prompts.iter().all(|prompt| prompt.domain.is_some()) {
        return "as above".to_owned();
    }
    let mut scores = vec![0.0; prompts.len()];
    for (at, prompt) in prompts.iter().enumerate() {
        let others = prompts.iter().enumerate();
        let others = others.filter(|(other, one)| other % FOLDS != at % FOLDS && one.domain == prompt.domain);
        let (gap, count) = others.fold((0.0, 0.0), |(gap, count), (_, one)| {
            (gap + one.strong - one.weak, count + 1.0)
        });
        scores[at] = gap / (count + 2.0);
    }
    format!("{} (table of domains)", Curve::of(prompts, &scores).shown())
}
