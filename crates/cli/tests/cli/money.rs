//! Prices from outside.

use std::path::Path;

use crate::House;

#[test]
fn prices_are_shown_by_day_and_fit_a_narrow_screen() {
    let house = House::new().with_env("COLUMNS", "80");
    let before = house.ok(&["prices", "gemini-4-argon", "--on", "2026-11-30"]).out;
    let after = house.ok(&["prices", "gemini-4-argon", "--on", "2026-12-01"]).out;
    insta::assert_snapshot!("prices", format!("{before}\n{after}"));
    assert!(
        before
            .lines()
            .chain(after.lines())
            .all(|line| line.chars().count() <= 80)
    );
    let retired = house.json(&["prices", "gpt-5-codex", "--on", "2026-11-27"]);
    assert_eq!(retired["prices"][0]["retired"], true);
}

#[test]
fn a_newer_table_is_true_from_its_day_on() {
    let house = House::new();
    let file = house.write(
        "newer.json",
        r#"{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
            "drawing": {"litellm_provider": "openai", "input_cost_per_image": 1.0}}"#,
    );
    let file = file.display().to_string();
    let input = |day: &str| house.json(&["prices", "gpt-4o", "--on", day])["prices"][0]["rates"]["input"].clone();
    let read = house.json(&["prices", "update", &file, "--from", "2026-12-24"]);
    assert_eq!((read["rows"].as_u64(), read["left_out"].as_u64()), (Some(1), Some(1)));
    assert_eq!(
        (input("2026-12-23").as_u64(), input("2026-12-24").as_u64()),
        (Some(2_500_000_000), Some(1_000_000_000))
    );
    // Said twice, it is said once.
    house.ok(&["prices", "update", &file, "--from", "2026-12-24"]);
    let rows = house.json(&["prices", "gpt-4o", "--all"]);
    let of_it = rows["prices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["model"] == "gpt-4o")
        .count();
    assert_eq!(of_it, 2);
}

#[test]
fn what_is_no_table_changes_nothing() {
    let house = House::new();
    let file = house.write("bad.json", "[]").display().to_string();
    let refused = house.run(&["prices", "update", &file]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("LiteLLM") && refused.err.contains("models.dev"),
        "{}",
        refused.err
    );
    assert_eq!(house.run(&["prices", "nonesuch"]).code, Some(5));
    assert!(!house.project().join(".wheelhouse").exists());
}

/// The whole public table as it was in November 2026, where it is at hand.
#[test]
fn a_whole_public_table_can_be_read() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/data/prices/prices_litellm_1.109.1.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("passed over: {} is not there", path.display());
        return;
    };
    // The fixture is an extract; this is the form it was extracted from.
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut map = serde_json::Map::new();
    for row in &rows {
        let usd = |key: &str| row["usd_per_mtok"][key].as_f64().map(|usd| usd / 1e6);
        map.insert(
            row["id"].as_str().unwrap().to_owned(),
            serde_json::json!({
                "litellm_provider": row["provider"], "input_cost_per_token": usd("input"),
                "output_cost_per_token": usd("output"), "cache_read_input_token_cost": usd("cache_read"),
            }),
        );
    }
    let house = House::new();
    let file = house.write("all.json", &serde_json::Value::Object(map).to_string());
    let read = house.json(&["prices", "update", &file.display().to_string()]);
    assert_eq!(read["rows"].as_u64(), Some(rows.len() as u64));
    let shown = house.json(&["prices", "claude-opus-4-6"]);
    assert_eq!(shown["prices"][0]["rates"]["output"].as_u64(), Some(25_000_000_000));
}
