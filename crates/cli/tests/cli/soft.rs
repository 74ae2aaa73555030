//! The soft line of a task without a limit of its own, from outside: said, never cut, and asked about where that is set.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;

/// Review work at $3 the million tokens read, with so many of them.
fn prompt(tokens: u64) -> String {
    format!("Review the parser module for defects in its error messages. [[say:Fine.]][[usage:{tokens},0,0,1,0]]")
}

fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-of-a-test").with_env("COLUMNS", "80");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.sonnet]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"claude-sonnet-4-6\"\n\
             key_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    let past: Vec<Value> = (1..=4)
        .map(|number| json!({ "id": format!("p{number}"), "agent": "sonnet", "prompt": prompt(10_000) }))
        .collect();
    house.write("past.json", &json!({ "name": "past", "tasks": past }).to_string());
    house.ok(&["run", "past.json"]);
    house
}

fn plan(house: &House, task: &Value) {
    house.write("next.json", &json!({ "name": "next", "tasks": [task] }).to_string());
}

fn told(house: &House, run: &str) -> String {
    house.ok(&["events", "--run", run]).out
}

#[test]
fn what_takes_more_than_its_like_is_said_and_goes_on() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    assert!(
        !told(&house, "r1").contains("it has used"),
        "nobody knows yet what is much"
    );
    plan(
        &house,
        &json!({ "id": "a", "agent": "sonnet", "prompt": prompt(100_000) }),
    );
    let ahead = house.json(&["plan", "cost", "next.json"]);
    let line = &ahead["tasks"][0]["soft_line"];
    assert_eq!(
        (&line["past"], &line["similar"]),
        (&json!(4), &json!(true)),
        "{ahead:#}"
    );
    let shown = house.ok(&["plan", "cost", "next.json"]).out;
    assert!(
        shown.contains("told above $0.04") || shown.contains("above $0.039"),
        "{shown}"
    );
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");

    let run = house.json(&["run", "next.json"]);
    assert_eq!(run["run"]["all_succeeded"], true, "good work is not cut: {run:#}");
    let events = told(&house, "r2");
    assert!(events.contains("nine of ten similar tasks take up to"), "{events}");
    assert!(events.contains("it has used $0.30"), "{events}");

    // Within the line, with a limit of its own, or switched off nothing is said.
    for (task, set) in [
        (
            json!({ "id": "a", "agent": "sonnet", "prompt": prompt(10_000) }),
            "budget.soft=warn",
        ),
        (
            json!({ "id": "a", "agent": "sonnet", "prompt": prompt(90_000), "budget": { "usd": 5 } }),
            "budget.soft=warn",
        ),
        (
            json!({ "id": "a", "agent": "sonnet", "prompt": prompt(90_000) }),
            "budget.soft=off",
        ),
    ] {
        plan(&house, &task);
        let run = house.json(&["run", "next.json", "--set", set]);
        let id = run["run"]["id"].as_str().unwrap();
        assert!(!told(&house, id).contains("it has used"), "{task} {set}");
    }
}

#[test]
fn a_dear_failure_gets_more_room() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let line = |words: &str| {
        plan(
            &house,
            &json!({ "id": "a", "agent": "sonnet", "prompt": format!("{}{words}", prompt(1)) }),
        );
        let ahead = house.json(&["plan", "cost", "next.json"]);
        let task = &ahead["tasks"][0];
        let percent = task["soft_line"]["headroom_percent"]
            .as_u64()
            .unwrap_or_else(|| panic!("{ahead:#}"));
        (percent, task["reserved_nano"].as_u64().unwrap())
    };
    let usual = line("");
    let grave = line(" It is about deleting the production database with customers' passwords and payments.");
    assert_eq!(usual.0, 30);
    assert!(grave.0 >= 60 && grave.1 > usual.1, "{usual:?} {grave:?}");
}

#[test]
fn where_it_is_set_a_failed_try_beyond_the_line_is_not_repeated_unasked() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let task = json!({ "id": "a", "agent": "sonnet", "prompt": prompt(100_000), "verify": ["false"], "retry": 2 });
    plan(&house, &task);
    fake.reset();
    house.json(&["run", "next.json", "--set", "budget.soft=ask"]);
    assert_eq!(fake.turns().len(), 1);
    assert!(told(&house, "r2").contains("it has used"), "and it says why");
    fake.reset();
    house.json(&["run", "next.json", "--set", "budget.soft=warn"]);
    let unasked = fake.turns().len();
    assert!(unasked > 1, "{unasked}");
}

#[test]
fn the_account_of_a_run_has_its_lines_and_the_dear_one_has_more_room() {
    const GRAVE: &str = " It is about deleting the production database with customers' passwords and payments.";
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let task = |id: &str, tokens: u64, words: &str| json!({ "id": id, "agent": "sonnet", "prompt": format!("{}{words}", prompt(tokens)) });
    let past: Vec<Value> = (1..=4)
        .map(|number| task(&format!("g{number}"), 10_000, GRAVE))
        .collect();
    house.write("grave.json", &json!({ "name": "grave", "tasks": past }).to_string());
    house.ok(&["run", "grave.json"]);
    // All eight took $0.03; these take $0.042, 40 % more.
    let tasks = [task("usual", 14_000, ""), task("dear", 14_000, GRAVE)];
    house.write("next.json", &json!({ "name": "next", "tasks": tasks }).to_string());
    house.ok(&["run", "next.json"]);
    let account = house.json(&["economy", "r3"]);
    let lines = account["soft_lines"].as_array().unwrap();
    let of = |task: &str, passed: bool| {
        let mut found = lines
            .iter()
            .filter(|one| one["task"] == task && one["passed"] == passed);
        found.next().map(|one| one["said"].as_str().unwrap().to_owned())
    };
    let usual = of("usual", false).unwrap();
    assert!(
        usual.starts_with("told above $0.039") && usual.contains("30 % more because its risk is"),
        "{account:#}"
    );
    assert!(
        usual.contains("similar tasks take up to $0.0300 (") && usual.contains("are known"),
        "{usual}"
    );
    let dear = of("dear", false).unwrap();
    assert!(!dear.contains(" 30 % more"), "{dear}");
    assert!(of("usual", true).is_some(), "the usual one is told of: {account:#}");
    assert!(
        of("dear", true).is_none(),
        "where a failure is dear the same is within the line: {account:#}"
    );
    let shown = house.ok(&["economy", "r3", "--receipts"]).out;
    assert!(shown.contains("soft lines: 2 tries had one, 1 passed it"), "{shown}");
    assert!(shown.contains("usual: soft line: it has used $0.0420"), "{shown}");
}
