//! `compare` from outside: the tables of seed 000, line by line.

use serde_json::Value;

use crate::House;

/// What, and how many tokens.
type Lines = &'static [(&'static str, u64)];

#[rustfmt::skip]
const SCENARIO_1_LEAD: Lines = &[
    ("User prompt", 500), ("Claude analyzes", 200), ("Claude implements", 1_000), ("Claude response", 500),
];
#[rustfmt::skip]
const SCENARIO_1_SEPARATE: Lines = &[
    ("User prompt", 500), ("→ Orchestrator", 500), ("Orchestrator analyzes", 300), ("→ Claude (full task)", 1_000),
    ("Claude implements", 1_000), ("→ Orchestrator (return)", 1_000), ("Orchestrator decides", 200),
    ("→ Claude (display)", 500), ("Claude formats", 300),
];
#[rustfmt::skip]
const SCENARIO_2_LEAD: Lines = &[
    ("User prompt", 1_000), ("Claude analyzes", 500), ("Claude calls Gemini CLI", 100), ("Claude receives summary", 2_000),
    ("Claude calls Codex MCP", 1_000), ("Claude receives review", 2_000), ("Claude synthesizes", 500),
    ("Claude implements", 3_000), ("Claude response", 1_000),
];
#[rustfmt::skip]
const SCENARIO_2_SEPARATE: Lines = &[
    ("User prompt", 1_000), ("→ Orchestrator", 1_000), ("Orchestrator analyzes", 800), ("→ Gemini (via orchestrator)", 2_000),
    ("← Gemini summary", 2_000), ("→ Codex (via orchestrator)", 2_000), ("← Codex summary", 2_000),
    ("Orchestrator synthesizes", 1_000), ("→ Claude (final task)", 3_000), ("← Claude result", 3_000),
    ("→ Claude (display)", 2_000), ("Claude formats", 500),
];
#[rustfmt::skip]
const SCENARIO_3_LEAD: Lines = &[
    ("User prompt", 1_500), ("Claude analyzes", 800), ("Claude implements draft", 4_000), ("Claude calls Codex MCP", 1_500),
    ("Claude receives feedback", 2_500), ("Claude fixes CSRF", 1_000), ("Claude calls Gemini CLI", 200),
    ("Claude receives analysis", 1_500), ("Claude final adjustments", 1_000), ("Claude response", 1_000),
];
#[rustfmt::skip]
const SCENARIO_3_SEPARATE: Lines = &[
    ("User prompt", 1_500), ("→ Orchestrator", 1_500), ("Orchestrator analyzes", 1_000), ("→ Claude (implement)", 3_000),
    ("Claude implements", 4_000), ("← Claude result", 4_000), ("→ Codex (review)", 3_000), ("Codex reviews", 2_500),
    ("← Codex feedback", 2_500), ("→ Gemini (verify)", 3_000), ("Gemini analyzes", 1_500), ("← Gemini analysis", 1_500),
    ("Orchestrator synthesizes", 2_000), ("→ Claude (fix CSRF)", 2_000), ("Claude fixes", 1_000), ("← Claude updated", 1_000),
    ("→ Claude (display)", 2_000), ("Claude formats", 500),
];

fn is(document: &Value, class: usize, way: &str, lines: Lines, total: u64) {
    let way = &document["classes"][class][way];
    let told: Vec<(&str, u64)> = way["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["what"].as_str().unwrap(), line["tokens"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, lines);
    assert_eq!(way["tokens"], total);
    assert!(
        way["lines"]
            .as_array()
            .unwrap()
            .iter()
            .all(|line| line["basis"] == "assumed")
    );
}

#[test]
fn seed_000_scenario_1_simple_task() {
    let document = House::new().json(&["compare"]);
    is(&document, 0, "lead", SCENARIO_1_LEAD, 2_200);
    is(&document, 0, "separate", SCENARIO_1_SEPARATE, 5_300);
    assert_eq!(document["classes"][0]["ratio_hundredths"], 241, "2.4x overhead");
}

#[test]
fn seed_000_scenario_2_complex_task() {
    let document = House::new().json(&["compare"]);
    is(&document, 1, "lead", SCENARIO_2_LEAD, 11_100);
    is(&document, 1, "separate", SCENARIO_2_SEPARATE, 20_300);
    assert_eq!(document["classes"][1]["ratio_hundredths"], 183, "1.8x overhead");
    assert_eq!(20_300 - 11_100, 9_200, "wastes 9K tokens");
}

#[test]
fn seed_000_scenario_3_security_critical() {
    let document = House::new().json(&["compare"]);
    is(&document, 2, "lead", SCENARIO_3_LEAD, 15_000);
    is(&document, 2, "separate", SCENARIO_3_SEPARATE, 37_500);
    assert_eq!(document["classes"][2]["ratio_hundredths"], 250, "2.5x overhead");
}

/// The document rounds a task before it goes on: 2K, 11K, 15K against 5.3K, 20.3K, 37.5K.
#[test]
fn seed_000_cost_comparison_monthly() {
    let document = House::new().json(&["compare"]);
    let tasks: Vec<u64> = (0..3)
        .map(|class| document["classes"][class]["tasks"].as_u64().unwrap())
        .collect();
    assert_eq!(tasks, [70 * 30, 20 * 30, 10 * 30]);
    let rounded = &document["rounded"];
    assert_eq!(rounded["lead_a_day"], 140_000 + 220_000 + 150_000, "510K tokens a day");
    assert_eq!(rounded["lead"], 15_300_000, "15.3M tokens a month");
    assert_eq!(
        rounded["separate_a_day"],
        371_000 + 406_000 + 375_000,
        "1.15M tokens a day"
    );
    assert_eq!(
        rounded["separate"], 34_560_000,
        "the document goes on from 1.15M and says 34.5M"
    );
    // Without the rounding.
    assert_eq!(document["lead"]["tokens"], 15_780_000);
    assert_eq!(document["separate"]["tokens"], 34_560_000);
    assert_eq!(
        document["ratio_hundredths"], 219,
        "the document says 2.25, from its rounded sums"
    );
    // What the document leaves out where the lead orchestrates: its helpers.
    assert_eq!(document["separate"]["helper_tokens"], 30 * (20 * 4_000 + 10 * 10_000));
    assert_eq!(document["lead"]["helper_tokens"], 0);
}

#[test]
fn tables_fit_a_narrow_screen_and_a_model_has_a_price() {
    let house = House::new().with_env("COLUMNS", "80");
    let text = house.ok(&["compare", "--steps", "--model", "claude-sonnet-4-6"]).out;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(
        text.contains("Claude calls Gemini CLI") && text.contains("assumed"),
        "{text}"
    );
    assert!(
        text.contains("cost on claude-sonnet-4-6") && text.contains("counted in one way only"),
        "{text}"
    );
    assert_eq!(house.run(&["compare", "--model", "nonesuch"]).code, Some(5));
}

#[test]
fn a_workload_of_ones_own_and_one_that_is_none() {
    let house = House::new();
    let shipped = house.ok(&["compare", "--print"]).out;
    house.write("mine.yaml", &shipped.replace("a_day: 70", "a_day: 7"));
    assert_eq!(house.json(&["compare", "mine.yaml"])["classes"][0]["tasks"], 210);
    house.write("bad.yaml", &shipped.replace("a_day: 70", "a_dya: 70"));
    let refused = house.run(&["compare", "bad.yaml"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.err.contains("a_dya") && refused.err.contains("compare --print"),
        "{}",
        refused.err
    );
    house.write("empty.yaml", "name: x\ndays: 1\nclasses: []\n");
    assert_eq!(house.run(&["compare", "empty.yaml"]).code, Some(2));
    assert_eq!(house.run(&["compare", "absent.yaml"]).code, Some(5));
}
