//! How good it is, on other people's data: `cargo xtask bench NAME --data DIR`. One row a number: ours, the peer's (from
//! the set's own pages or the peer's code in the same run), and the baseline's. Nothing here is fitted to the sets: the
//! constants are those of the product, and what learns is scored on rows it has not seen.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

mod circles;
mod complexity;
mod compression;
mod patch_formats;
mod routing;
#[path = "../../tests/sets/mod.rs"]
mod sets;
mod source;
mod table;
mod tools;
mod trajectories;

use std::path::{Path, PathBuf};

use wheelhouse_context::encode;

use sets::{Score, read};
use table::{Table, percent};

/// Every set that can be named.
const NAMES: [&str; 9] = [
    "toon",
    "json_patch",
    "apply_patch",
    "tools",
    "routing",
    "trajectories",
    "complexity",
    "patch_formats",
    "compression",
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
            "toon" => toon(&mut table, &data),
            "json_patch" => codecs(&mut table, &data, (*name, "RFC 6902 suite"), sets::json_patch),
            "apply_patch" => codecs(&mut table, &data, (*name, "apply_patch scenarios"), sets::apply_patch),
            "patch_formats" => patch_formats::measure(&mut table, &data),
            "compression" => compression::measure(&mut table, &data),
            "tools" => tools::measure(&mut table, &data),
            "routing" => routing::measure(&mut table, &data),
            "trajectories" => trajectories::measure(&mut table, &data),
            _ => complexity::measure(&mut table, &data),
        }
    }
    table.print();
}

fn codecs(table: &mut Table, data: &Path, (set, about): (&str, &str), score: fn(&Path) -> Result<Score, String>) {
    if !data.join(set).exists() {
        println!("{about}: passed over, {} is not there", data.join(set).display());
        return;
    }
    scored(table, about, score(data).unwrap_or_else(|why| fail(&why)));
}

/// Ends with a reason that names its place.
fn fail(why: &str) -> ! {
    eprintln!("measured: {why}");
    std::process::exit(1);
}

fn scored(table: &mut Table, about: &str, score: Score) {
    let all = score.passed + score.failed.len();
    table.row(about, format!("{} of {all}", score.passed), "all", "–");
    for name in &score.failed {
        table.note(&format!("{about}, failed: {name}"));
    }
    for name in &score.apart {
        table.note(&format!("{about}, not counted: {name}"));
    }
}

fn toon(table: &mut Table, data: &Path) {
    let fixtures = sets::toon_fixtures(data);
    if fixtures.is_empty() {
        println!(
            "TOON fixtures: passed over, there are none in {}",
            data.join("toon").display()
        );
    }
    for (version, fixtures) in fixtures {
        let about = format!("TOON fixtures, {version}");
        scored(table, &about, sets::toon(&fixtures).unwrap_or_else(|why| fail(&why)));
    }
    sizes(table, data);
}

/// Tokens of the encoding that is chosen, against the reference encoder's TOON (where it lies beside) and compact JSON.
fn sizes(table: &mut Table, data: &Path) {
    for path in source::files(&data.join("toon/benchmark_inputs"), ".json") {
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.contains("expected") {
            continue;
        }
        let encoded = encode::encode(&read(&path).unwrap_or_else(|why| fail(&why)));
        let of = |tokens: u64| percent(tokens as f64 / encoded.json_tokens.max(1) as f64 - 1.0);
        let always = path.with_extension("toon");
        let peer = match always.exists() {
            true => format!(
                "{} (TOON always)",
                of(wheelhouse_context::count::tokens(&source::text(&always)))
            ),
            false => "–".to_owned(),
        };
        table.row(
            format!("tokens of `{name}` against compact JSON"),
            format!("{} ({})", of(encoded.tokens), encoded.format.name()),
            peer,
            "0.0 % (JSON always)",
        );
    }
}
