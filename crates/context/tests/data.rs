//! The public sets that others measure by, where they are at hand: `CONTEXT_DATA` or `../shared/fixtures/data` beside the
//! project. Absent sets are passed over with a message. `cargo xtask bench` measures what has no one right answer.

mod sets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelhouse_context::tools::{Catalogue, Need, Tool};
use wheelhouse_context::{count, encode};

use sets::{Score, read, rows};

/// The directory of the sets, when the one named is there.
fn data(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/data");
    let data = std::env::var_os("CONTEXT_DATA").map_or(beside, PathBuf::from);
    if !data.join(name).exists() {
        eprintln!("passed over: {} is not there", data.join(name).display());
        return None;
    }
    Some(data)
}

fn all(score: &Score, passed_min: usize, apart: usize) {
    assert!(score.failed.is_empty(), "{score:#?}");
    assert!(score.passed >= passed_min && score.apart.len() == apart, "{score:#?}");
}

#[test]
fn apply_patch_scenarios() {
    if let Some(data) = data("apply_patch") {
        all(&sets::apply_patch(&data).unwrap(), 23, 0);
    }
}

#[test]
fn json_patch_cases() {
    if let Some(data) = data("json_patch") {
        all(&sets::json_patch(&data).unwrap(), 100, 4);
    }
}

#[test]
fn toon_fixtures() {
    if let Some(data) = data("toon") {
        for (_, fixtures) in sets::toon_fixtures(&data)
            .iter()
            .filter(|(version, _)| version.contains("4.0"))
        {
            all(&sets::toon(fixtures).unwrap(), 512, 4);
        }
    }
}

#[test]
fn toon_is_chosen_where_it_is_smaller() {
    let Some(data) = data("toon") else { return };
    let files = std::fs::read_dir(data.join("toon/benchmark_inputs")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|kind| kind == "json")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if name.contains("expected") {
            continue;
        }
        let encoded = encode::encode(&read(&file).unwrap());
        assert!(encoded.tokens <= encoded.json_tokens, "{name}");
    }
}

/// A sample: one row of fifty measures, one of five teaches. The peers find 0.595 among the first five by words.
#[test]
fn tools_are_found() {
    let Some(data) = data("metatool") else { return };
    let descriptions = read(&data.join("metatool/plugin_des.json")).unwrap();
    let tools: Vec<Tool> = descriptions
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, about)| Tool {
            server: String::new(),
            name: name.to_lowercase(),
            description: about.as_str().unwrap().to_owned(),
            schema: Value::Null,
        })
        .collect();
    let rows = rows(&std::fs::read_to_string(data.join("metatool/all_clean_data.csv")).unwrap());
    let known: BTreeSet<String> = tools.iter().map(|tool| tool.name.to_lowercase()).collect();
    let rows: Vec<&(String, String)> = rows
        .iter()
        .filter(|(_, tool)| known.contains(&tool.to_lowercase()))
        .collect();
    assert!(rows.len() > 10_000, "{}", rows.len());
    let mut catalogue = Catalogue::new(tools);
    let measure = |catalogue: &Catalogue, rows: &[&(String, String)]| {
        let among_five = |(need, tool): &&&(String, String)| {
            let need = Need {
                text: need,
                server: None,
                limit: 5,
            };
            let found = catalogue.find(&need);
            found.iter().any(|one| one.tool.name.eq_ignore_ascii_case(tool))
        };
        rows.iter().filter(among_five).count() as f64 / rows.len() as f64
    };
    let held_out: Vec<_> = rows.iter().copied().step_by(50).collect();
    let without = measure(&catalogue, &held_out);
    for (at, (need, tool)) in rows.iter().enumerate() {
        if at % 5 == 1 {
            catalogue.learn(need, &tool.to_lowercase());
        }
    }
    let with = measure(&catalogue, &held_out);
    assert!(without > 0.55 && with > without, "{without:?} {with:?}");
}

#[test]
fn counting_is_whole_on_a_large_text() {
    let line = "The quick brown fox; fn jump(over: &Dog) -> bool { over.is_lazy() } // 42\n";
    let text = line.repeat(20_000);
    let one = count::tokens(line);
    assert!(count::tokens(&text).abs_diff(one * 20_000) <= 20_000);
}
