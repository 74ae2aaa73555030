//! Plans that are wrong in ten thousand places, or as large as a plan may be.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::Stage;

#[test]
fn ten_thousand_problems_are_all_found_and_a_hundred_are_printed() {
    const PROBLEMS: usize = 10_000;
    let stage = Stage::new();
    let mut plan = "name: wrong\ntasks:\n".to_owned();
    for n in 0..PROBLEMS / 2 {
        // Two a task: a key that does not exist, and a need that does not.
        writeln!(plan, "  - {{id: t{n}, exec: 'true', exce: 1, needs: [x{n}]}}").unwrap();
    }
    stage.write("wrong.yaml", plan);
    let begun = Instant::now();
    let ran = stage.run(&["run", "wrong.yaml"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr.len());
    assert!(!stage.state_dir().exists(), "nothing was begun");
    let printed = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("wrong.yaml:"))
        .count();
    assert_eq!(printed, 100, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("10000 problems") || ran.stderr.contains("10,000 problems"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("9900") || ran.stderr.contains("9,900"),
        "how many more there are: {}",
        ran.stderr
    );

    let document: Value = serde_json::from_str(&stage.run(&["run", "wrong.yaml", "--json"]).stdout).unwrap();
    let problems = document["error"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), PROBLEMS);
    assert_eq!(document["error"]["exit"], 2);
    for (place, problem) in problems.iter().enumerate() {
        assert_eq!(problem["line"], place / 2 + 3, "{problem}");
    }
    let checked = stage.json(&["plan", "check", "wrong.yaml"]);
    assert_eq!(checked["plans"][0]["problems"].as_array().unwrap().len(), PROBLEMS);
    // Far more than it needs in a debug build on a busy machine, far less than anything quadratic would.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_cycle_of_ten_thousand_tasks_is_one_problem_with_a_readable_path() {
    let stage = Stage::new();
    let mut plan = "tasks:\n".to_owned();
    for n in 0..10_000 {
        writeln!(plan, "  - {{id: t{n}, exec: 'true', needs: [t{}]}}", (n + 1) % 10_000).unwrap();
    }
    stage.write("cycle.yaml", plan);
    let ran = stage.run(&["plan", "check", "cycle.yaml"]);
    assert_eq!(ran.code, Some(2));
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("cycle"), "{}", &said[..said.len().min(2_000)]);
    assert!(said.len() < 20_000, "{} bytes for one problem", said.len());
}

#[test]
fn a_planner_adds_its_tasks_and_what_it_gets_wrong_is_told_to_it() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        r#"
name: planned
tasks:
  - id: good
    agent: rehearsal
    plan: true
    prompt: |
      Plan it.
      rehearse: tasks [{"id": "facts", "exec": "echo facts > facts.txt; echo known"}, {"id": "draft", "agent": "rehearsal", "prompt": "Go on from the facts.", "needs": ["facts"]}]
  - id: bad
    agent: rehearsal
    plan: true
    retry: {max: 0}
    prompt: |
      Plan it.
      rehearse: tasks [{"id": "x", "exec": "true", "needs": ["nobody"]}, {"id": "x", "exec": "true"}]
"#,
    );
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(stage.outcome("good"), "succeeded");
    assert_eq!(stage.read("facts.txt"), "facts\n");
    let keys: Vec<String> = stage.tasks().iter().map(|task| task.key.to_string()).collect();
    let drafted = keys
        .iter()
        .find(|key| key.ends_with("draft"))
        .unwrap_or_else(|| panic!("{keys:?}"));
    assert_eq!(stage.outcome(drafted), "succeeded");
    assert_eq!(stage.outcome("bad"), "malformed");
    let why = stage.json(&["status", "bad"]).to_string();
    assert!(
        why.contains("nobody") && why.contains('x'),
        "both problems are told: {why}"
    );
    stage.assert_clean();
}
