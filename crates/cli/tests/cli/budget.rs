//! A budget, from outside: a turn that passes the line is interrupted, paid for, held, and goes on when there is money.

use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;

/// A million tokens at $3 the million are said to be used before the first word; then the answer stands still.
const PLAN: &str = r#"
name: dear
budget: {usd: 2.00}
tasks:
  - {id: a, agent: sonnet, prompt: "[[say:Slowly but surely.]][[usage:1000000,0,0,5,0]][[hold:gate]]"}
  - {id: b, agent: sonnet, prompt: "[[say:Cheap.]]", needs: [a]}
"#;

#[test]
fn a_turn_that_passes_the_line_is_stopped_booked_and_held_until_there_is_money() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.sonnet]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\n\
             model = \"claude-sonnet-4-6\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    house.write("plan.yaml", PLAN);

    let ran = house.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(3), "{ran:#?}");
    let told = house.ok(&["status", "r1"]).out;
    assert!(told.contains("`wheelhouse budget raise r1 USD`"), "{told}");
    let budget = &house.json(&["budget"])["budgets"][0];
    assert_eq!(budget["scope"], "r1", "{budget:#}");
    assert_eq!(budget["reserved_nano"], 0, "{budget:#}");
    // What was consumed up to the line is booked, although the answer never ended.
    let spent = budget["spent_nano"].as_u64().unwrap();
    assert!((3_000_000_000..3_001_000_000).contains(&spent), "{budget:#}");
    assert_eq!(fake.turns().len(), 1, "nothing more was bought");

    house.ok(&["budget", "raise", "r1", "10"]);
    fake.release("gate");
    house.ok(&["resume"]);
    let run = house.json(&["status", "r1"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 2, "{run:#}");
    assert_eq!(fake.turns().len(), 3);
    // The try that waited for money was begun twice, and both parts of it are in the table of the run's report.
    let reports = house.project().join(".wheelhouse/reports");
    let page = std::fs::read_dir(reports).unwrap().next().unwrap().unwrap().path();
    let page = std::fs::read_to_string(page).unwrap();
    let row = page.lines().find(|line| line.starts_with("| sonnet ")).unwrap();
    assert!(row.starts_with("| sonnet | 2 | 3 | ~2,00"), "{row}");
    house.ok(&["fsck"]);
}
