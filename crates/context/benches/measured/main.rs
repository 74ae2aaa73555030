//! How good it is, on other people's data: `cargo xtask bench NAME --data DIR`. One row a number: ours, the peer's (from
//! the set's own pages or the peer's code in the same run), and the baseline's. Nothing here is fitted to the sets: the
//! constants are those of the product, and what learns is scored on rows it has not seen.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot go on has failed"
)]

mod complexity;
mod routing;
#[path = "../../tests/sets/mod.rs"]
mod sets;
mod table;
mod tools;
mod trajectories;

use std::path::{Path, PathBuf};

use wheelhouse_context::encode;

use sets::{Score, read};
use table::{Table, percent};

/// Every set that can be named.
const NAMES: [&str; 7] = [
    "toon",
    "json_patch",
    "apply_patch",
    "tools",
    "routing",
    "trajectories",
    "complexity",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let data = arguments
        .iter()
        .position(|word| word == "--data")
        .and_then(|at| arguments.get(at + 1));
    let Some(data) = data.map(PathBuf::from) else {
        println!("measured: passed over; it needs --data DIR");
        return;
    };
    let wanted = arguments.first().filter(|word| NAMES.contains(&word.as_str()));
    let mut table = Table::default();
    for name in NAMES.iter().filter(|name| wanted.is_none_or(|wanted| wanted == *name)) {
        match *name {
            "toon" => codecs(&mut table, &data, "toon", "TOON 4.0 fixtures", sets::toon),
            "json_patch" => codecs(&mut table, &data, "json_patch", "RFC 6902 suite", sets::json_patch),
            "apply_patch" => codecs(
                &mut table,
                &data,
                "apply_patch",
                "apply_patch scenarios",
                sets::apply_patch,
            ),
            "tools" => tools::measure(&mut table, &data),
            "routing" => routing::measure(&mut table, &data),
            "trajectories" => trajectories::measure(&mut table, &data),
            _ => complexity::measure(&mut table, &data),
        }
    }
    table.print();
}

fn codecs(table: &mut Table, data: &Path, set: &str, about: &str, score: fn(&Path) -> Score) {
    if !data.join(set).exists() {
        println!("{about}: passed over, {} is not there", data.join(set).display());
        return;
    }
    let score = score(data);
    let all = score.passed + score.failed.len();
    table.row(about, format!("{} of {all}", score.passed), "all", "–");
    for name in &score.failed {
        table.note(&format!("{about}, failed: {name}"));
    }
    for name in &score.apart {
        table.note(&format!("{about}, not counted: {name}"));
    }
    if set == "toon" {
        sizes(table, data);
    }
}

/// Tokens of the encoding that is chosen, against the reference encoder's TOON and compact JSON.
fn sizes(table: &mut Table, data: &Path) {
    let inputs = data.join("toon/benchmark_inputs");
    for expected in read(&inputs.join("expected_tokens_o200k.json")).as_array().unwrap() {
        let name = expected["name"].as_str().unwrap();
        let path = inputs.join(format!("{name}.json"));
        if !path.exists() {
            continue;
        }
        let encoded = encode::encode(&read(&path));
        let toon = wheelhouse_context::count::tokens(&std::fs::read_to_string(path.with_extension("toon")).unwrap());
        let of = |tokens: u64| percent(tokens as f64 / encoded.json_tokens as f64 - 1.0);
        table.row(
            format!("tokens of `{name}` against compact JSON"),
            format!("{} ({})", of(encoded.tokens), encoded.format.name()),
            format!("{} (TOON always)", of(toon)),
            "0.0 % (JSON always)",
        );
    }
}
