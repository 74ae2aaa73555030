//! The two documents that this part began with: every YAML block and every table of numbers in them, and the test that
//! exercises it. The list is checked against the tests that exist; what had none has one here.
//!
//! Not exercised, because nothing here measures it: "Bug rate" and "Code review score" of the dashboard of seed 000.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::House;

/// The seed, the block or table by its heading, and the file and function of its test.
type Exercised = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const EXERCISED: &[Exercised] = &[
    ("000", "Option A and B, Token Flow", "cli/tests/cli/seeds.rs", "seed_000_token_flow_of_both_options"),
    ("000", "Scenario 1: Simple Task", "cli/tests/cli/compare.rs", "seed_000_scenario_1_simple_task"),
    ("000", "Scenario 2: Complex Task", "cli/tests/cli/compare.rs", "seed_000_scenario_2_complex_task"),
    ("000", "Scenario 3: Security-Critical", "cli/tests/cli/compare.rs", "seed_000_scenario_3_security_critical"),
    ("000", "Claude's Decision Tree", "core/src/route/tests.rs", "who_else_is_worth_asking_follows_the_decision_tree_of_the_comparison"),
    ("000", "Cost Comparison (Monthly), both ways", "cli/tests/cli/compare.rs", "seed_000_cost_comparison_monthly"),
    ("000", "Phase 1: analyse, route, implement, report", "cli/tests/cli/workflows.rs", "a_question_is_routed_answered_and_accounted_for"),
    ("000", "Phase 2: learning from similar tasks", "core/src/route/tests.rs", "what_was_learned_turns_a_choice_only_with_enough_evidence"),
    ("000", "Phase 3: Orchestration Performance", "cli/src/show/account/tests.rs", "seed_000_orchestration_performance"),
    ("001", "The Five-Step Loop, and its code", "cli/tests/cli/workflows.rs", "the_five_step_loop_runs_over_two_vendors"),
    ("001", "When to Skip Steps", "core/tests/plan/workflows.rs", "the_skip_table_holds"),
    ("001", "The Model Roster", "core/src/roster.rs", "the_model_roster_of_the_guide_is_in_it"),
    ("001", "Task Routing Rules (YAML), every trigger", "core/src/route/tests.rs", "the_rules_of_the_guide_send_every_trigger_to_its_models"),
    ("001", "Task Routing Rules (YAML), from outside", "cli/tests/cli/routing.rs", "the_rules_of_the_guide_work_unchanged_for_the_programs_that_are_here"),
    ("001", "Staggering in Practice", "cli/tests/cli/workflows.rs", "the_market_report_runs_in_rehearsal_and_over_five_models"),
    ("001", "Chain Configuration (YAML)", "core/src/route/tests.rs", "the_chains_and_agents_of_the_guide_are_read_unchanged"),
    ("001", "Fallback Decision Logic", "cli/tests/cli/chains.rs", "the_chains_of_the_guide_run_unchanged_and_say_who_answered"),
    ("001", "codex.yaml (YAML)", "core/src/route/tests.rs", "the_chains_and_agents_of_the_guide_are_read_unchanged"),
    ("001", "API Models (per-token)", "core/src/report/tests.rs", "seed_001_one_opus_call_and_five_cheaper_ones"),
    ("001", "$0 Marginal Cost Routing, Decision Tree", "core/src/route/billing.rs", "the_documents_tree_is_followed"),
    ("001", "$0 Marginal Cost Routing, from outside", "cli/tests/cli/routing.rs", "how_work_is_used_says_how_it_is_paid_for"),
    ("001", "Cost Tracking Template", "core/src/report/tests.rs", "seed_001_cost_tracking_template"),
    ("001", "Pattern 2: parallel_validate", "cli/tests/cli/workflows.rs", "seats_of_different_vendors_decide_and_a_critical_finding_stops_them"),
    ("001", "Pattern 3: Orchestrator-Grinder Split", "cli/tests/cli/workflows.rs", "a_grinder_that_flags_a_doubt_is_not_made_to_guess"),
    ("001", "Anti-Patterns to Avoid", "core/tests/plan/workflows.rs", "the_anti_patterns_are_seen"),
    ("001", "Decision Framework", "core/tests/plan/workflows.rs", "a_grinder_makes_no_strategic_call"),
    ("001", "1 Opus call and 5 cheaper ones against 6", "core/src/report/tests.rs", "seed_001_one_opus_call_and_five_cheaper_ones"),
];

#[test]
fn every_block_and_table_of_the_seeds_has_its_test() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (seed, heading, file, function) in EXERCISED {
        let text = fs::read_to_string(crates.join(file)).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let place = lines
            .iter()
            .position(|line| line.starts_with(&format!("fn {function}(")));
        let place = place.unwrap_or_else(|| panic!("seed {seed}, {heading}: no {function} in {file}"));
        let before = &lines[place.saturating_sub(3)..place];
        assert!(
            before.contains(&"#[test]"),
            "seed {seed}, {heading}: {function} is no test"
        );
    }
}

/// Seed 000, "Token Flow": about 5K and 1.5K tokens where the lead orchestrates, 15.5K where another does, "3x".
const TOKEN_FLOW: &str = r#"
name: token flow
days: 1
classes:
  - name: complex
    a_day: 1
    agents: 2
    lead:
      - {what: "User prompt, analyze", tokens: 500}
      - {what: Claude calls Codex MCP, tokens: 1000}
      - {what: Claude receives results, tokens: 2000}
      - {what: Claude synthesizes, tokens: 500}
      - {what: User sees answer, tokens: 1000}
    separate:
      - {what: "User prompt, Claude, Orchestrator", tokens: 1000}
      - {what: Orchestrator analyzes, tokens: 500}
      - {what: Orchestrator to Claude, tokens: 3000}
      - {what: Claude works, tokens: 2000}
      - {what: Orchestrator to Codex, tokens: 3000}
      - {what: Codex reviews, tokens: 2000}
      - {what: Orchestrator synthesizes, tokens: 1000}
      - {what: Orchestrator to Claude for display, tokens: 2000}
      - {what: Claude to user, tokens: 1000}
  - name: simple
    a_day: 1
    agents: 1
    lead:
      - {what: "User prompt, analyze", tokens: 500}
      - {what: User sees answer, tokens: 1000}
    separate: []
"#;

#[test]
fn seed_000_token_flow_of_both_options() {
    let house = House::new();
    house.write("flow.yaml", TOKEN_FLOW);
    let told = house.json(&["compare", "flow.yaml"]);
    let class = |place: usize, way: &str| told["classes"][place][way]["tokens"].clone();
    assert_eq!(class(0, "lead"), json!(5_000), "{told:#}");
    assert_eq!(class(0, "separate"), json!(15_500));
    assert_eq!(class(1, "lead"), json!(1_500));
    assert_eq!(told["classes"][0]["ratio_hundredths"], 310, "the document says 3x");
}
