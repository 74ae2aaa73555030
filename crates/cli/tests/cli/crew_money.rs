//! What instances may spend, from outside: models behind an API whose turns pass a line, three levels deep.

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::{House, Running, until};

/// Said to use two million tokens at $3 the million before the first word; then the answer stands still.
const DEAR: &str = "[[say:Slowly but surely.]][[usage:2000000,0,0,5,0]][[hold:gate]]";

fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.sonnet]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\n\
             model = \"claude-sonnet-4-6\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    house
}

fn serve(house: &House) -> Running {
    let engine = house.start(&["serve", "--no-http"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    engine
}

fn instance(house: &House, name: &str) -> Value {
    house.json(&["instances", name])["instances"][0].clone()
}

fn budget(house: &House, scope: &str) -> Value {
    let all = house.json(&["budget"])["budgets"].as_array().unwrap().clone();
    all.into_iter()
        .find(|budget| budget["scope"] == scope)
        .unwrap_or_else(|| panic!("no budget of {scope}"))
}

/// Waits until the turn of an instance is held for want of money.
fn until_held(house: &House, name: &str) {
    until(&format!("{name} is held for want of money"), || {
        let turn = instance(house, name)["turn"].clone();
        let Some(turn) = turn.as_str() else { return false };
        house.json(&["status", turn])["task"]["held"]["reason"] == "budget"
    });
}

#[test]
fn a_budget_is_held_to_three_levels_below_and_a_turn_stops_at_the_line() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let _engine = serve(&house);
    house.ok(&["spawn", "a", "--agent", "sonnet", "--budget", "5.00"]);
    house.ok(&["spawn", "b", "--agent", "sonnet", "--parent", "a"]);
    house.ok(&["spawn", "c", "--agent", "sonnet", "--parent", "b"]);
    house.ok(&["send", "c", DEAR]);
    until_held(&house, "c");
    let spent = budget(&house, "instance:1");
    assert_eq!(spent["reserved_nano"], 0, "{spent:#}");
    let nano = spent["spent_nano"].as_u64().unwrap();
    assert!(
        (6_000_000_000..6_001_000_000).contains(&nano),
        "one answer over the line, and no more: {spent:#}"
    );
    assert_eq!(fake.turns().len(), 1);
    // It is the whole tree's: who leads it does nothing either, and a stranger goes on.
    house.ok(&["send", "a", "[[say:Nothing.]]"]);
    until_held(&house, "a");
    house.ok(&["spawn", "d", "[[say:Free.]]", "--agent", "sonnet", "--wait"]);
    let shown = house.ok(&["instances"]).out;
    assert!(shown.contains("`wheelhouse budget raise i1 USD`"), "{shown}");
    house.ok(&["budget", "raise", "a", "20"]);
    fake.release("gate");
    until("both have answered", || {
        instance(&house, "c")["turns"] == 1 && instance(&house, "a")["turns"] == 1
    });
    house.ok(&["fsck"]);
}

#[test]
fn what_all_instances_may_cost_is_the_policys() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let _engine = serve(&house);
    house.ok(&["policy", "set", "max_session_cost=5", "max_cost_per_hour=100"]);
    house.ok(&["spawn", "a", DEAR, "--agent", "sonnet"]);
    until_held(&house, "a");
    house.ok(&["spawn", "b", "[[say:Late.]]", "--agent", "sonnet"]);
    until_held(&house, "b");
    assert!(budget(&house, "crew")["spent_nano"].as_u64() > Some(5_000_000_000));
    // A plan's task is none of theirs.
    house.write(
        "plan.yaml",
        "name: p\ntasks:\n  - {id: t, agent: sonnet, prompt: '[[say:Mine.]]'}\n",
    );
    house.ok(&["run", "plan.yaml"]);
    let told = house.ok(&["policy", "show"]).out;
    assert!(
        told.contains("max_session_cost") && told.contains("$6.00 spent"),
        "{told}"
    );
    // Another session begins with the limit; the hour goes on.
    house.ok(&["policy", "set", "max_cost_per_hour=7", "max_session_cost=5"]);
    until("the other goes on", || instance(&house, "b")["turns"] == 1);
    until_held(&house, "a");
    assert!(budget(&house, "crew:hour")["spent_nano"].as_u64() > Some(12_000_000_000));
    fake.release("gate");
    house.ok(&["policy", "set", "max_cost_per_hour=none", "max_session_cost=none"]);
    until("all have answered", || {
        instance(&house, "a")["turns"] == 1 && instance(&house, "b")["turns"] == 1
    });
    house.ok(&["fsck"]);
}
