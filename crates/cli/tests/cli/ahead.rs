//! What a plan is expected to cost, asked from outside before it starts, and whether what it says comes true.

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;
use crate::serve::{ask, serve};

/// A million tokens at $3 the million, and one at $15.
const DEAR: &str = "Review the code for defects. [[say:Fine.]][[usage:1000000,0,0,1,0]]";

fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-of-a-test").with_env("COLUMNS", "80");
    let agent = |name: &str, model: &str, more: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"{model}\"\n\
             key_env = \"A_KEY\"\n{more}",
            fake.base_url()
        )
    };
    let agents = [
        agent("sonnet", "claude-sonnet-4-6", ""),
        agent("mystery", "mystery-1", ""),
        agent("flat", "claude-opus-4-6", "billing = \"subscription\"\n"),
    ];
    house.write("wheelhouse.toml", &agents.concat());
    let plan = json!({ "name": "dear", "budget": { "usd": 2.0 }, "tasks": [
        { "id": "a", "agent": "sonnet", "prompt": DEAR },
        { "id": "b", "agent": "mystery", "prompt": "Write a poem. [[say:No.]]", "needs": ["a"] },
        { "id": "c", "agent": "flat", "prompt": DEAR, "needs": ["a"] },
        { "id": "d", "exec": "true", "needs": ["a"] },
    ] });
    house.write("plan.json", &plan.to_string());
    let known = json!({ "name": "known", "tasks": [{ "id": "a", "agent": "sonnet", "prompt": DEAR }] });
    house.write("known.json", &known.to_string());
    house
}

fn task<'a>(forecast: &'a Value, key: &str) -> &'a Value {
    let tasks = forecast["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["task"] == key).unwrap()
}

fn budget<'a>(forecast: &'a Value, name: &str) -> &'a Value {
    let budgets = forecast["budgets"].as_array().unwrap();
    let found = budgets.iter().find(|budget| budget["budget"] == name);
    found.unwrap_or_else(|| panic!("no budget {name} in {forecast:#}"))
}

#[test]
fn what_nobody_knows_is_unknown_and_never_zero() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let ahead = house.json(&["plan", "cost", "plan.json"]);
    for unknown in ["a", "b"] {
        let task = task(&ahead, unknown);
        assert_eq!(task["basis"], "unknown", "{ahead:#}");
        assert_eq!((&task["least_nano"], &task["most_nano"]), (&Value::Null, &Value::Null));
        assert_eq!(task["assumed_nano"], 500_000_000, "{ahead:#}");
        assert_eq!(task["reserved_nano"], 650_000_000, "{ahead:#}");
    }
    assert_eq!(
        (&task(&ahead, "c")["basis"], &task(&ahead, "d")["basis"]),
        (&json!("included"), &json!("free"))
    );
    assert_eq!(ahead["total"]["unknown_tasks"], 2, "{ahead:#}");
    assert_eq!(ahead["total"]["assumed_nano"], 1_000_000_000, "{ahead:#}");
    assert_eq!(budget(&ahead, "run")["verdict"], "perhaps", "{ahead:#}");
    let said = house.ok(&["plan", "cost", "plan.json"]).out;
    assert!(said.starts_with("dear: cost unknown (2 tasks)"), "{said}");
    assert!(said.contains("$1.00 is assumed in their place"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert!(
        fake.turns().is_empty() && !house.project().join(".wheelhouse").exists(),
        "it only looks"
    );
}

#[test]
fn what_falls_short_by_the_forecast_is_not_begun_by_the_engine_and_http_says_the_same() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    for _ in 0..3 {
        house.ok(&["run", "known.json"]);
    }
    // A limit that no engine has met yet: what was spent today counts.
    let ahead = house.json(&["plan", "cost", "plan.json", "--set", "budget.day=20"]);
    let a = task(&ahead, "a");
    assert_eq!(
        (&a["basis"], &a["past_tries"]),
        (&json!("past_tries"), &json!(3)),
        "{ahead:#}"
    );
    assert_eq!(
        (&a["least_nano"], &a["most_nano"]),
        (&json!(3_000_015_000_u64), &json!(3_000_015_000_u64))
    );
    assert_eq!(a["reserved_nano"], 3_900_019_500_u64, "{ahead:#}");
    assert_eq!(
        (&ahead["total"]["unknown_tasks"], &ahead["total"]["most_nano"]),
        (&json!(1), &a["most_nano"])
    );
    assert_eq!(budget(&ahead, "day")["room_nano"], 10_999_955_000_u64, "{ahead:#}");
    assert_eq!(budget(&ahead, "day")["verdict"], "perhaps", "{ahead:#}");
    assert_eq!(budget(&ahead, "run")["verdict"], "falls_short", "{ahead:#}");
    assert_eq!(ahead["verdict"], "falls_short", "{ahead:#}");
    let said = house.ok(&["plan", "cost", "plan.json"]).out;
    assert!(said.contains("falls short"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let enough = house.json(&["plan", "cost", "known.json", "--set", "budget.day=20"]);
    assert_eq!(enough["verdict"], "suffices", "{enough:#}");

    let before = fake.turns().len();
    assert_eq!(house.run(&["run", "plan.json"]).code, Some(3));
    assert_eq!(
        fake.turns().len(),
        before,
        "the engine does not begin what the forecast says it cannot pay"
    );

    let (_serving, url) = serve(&house);
    let token = house.ok(&["token", "--scope", "read"]).out.trim().to_owned();
    let plan: Value = serde_json::from_str(&house.read("plan.json")).unwrap();
    let wish = json!({ "plan": plan }).to_string();
    let (status, body) = ask(&url, "POST", "/api/v1/plans/cost", &token, &wish);
    assert_eq!(status, 200, "{body}");
    let over_http: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(over_http, house.json(&["plan", "cost", "plan.json"]));
}

#[test]
fn an_account_that_is_used_up_is_known_before_the_plan_starts() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.used]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\n\
             model = \"fault-quota-retry-after-3600\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    let plan = json!({ "name": "p", "tasks": [{ "id": "a", "agent": "used", "prompt": "Say yes. [[say:Yes.]]" }] });
    house.write("plan.json", &plan.to_string());
    let account = || house.json(&["plan", "cost", "plan.json"])["accounts"][0].clone();
    assert_eq!(account()["standing"], "unheard");
    let _engine = house.start(&["run", "plan.json"]);
    house.until_task("a", "held");
    let used = account();
    assert_eq!(
        (&used["account"], &used["standing"]),
        (&json!("used"), &json!("used_up")),
        "{used:#}"
    );
    assert!(used["resets_at"].is_u64(), "{used:#}");
    assert_eq!(house.json(&["plan", "cost", "plan.json"])["verdict"], "falls_short");
    let said = house.ok(&["plan", "cost", "plan.json"]).out;
    assert!(said.contains("used, 1 task: used up until"), "{said}");
}

#[test]
fn a_plan_with_a_problem_has_no_cost() {
    let house = House::new();
    house.write(
        "bad.yaml",
        "name: bad\ntasks:\n  - {id: a, exec: \"true\", needs: [b]}\n",
    );
    let refused = house.run(&["plan", "cost", "bad.yaml"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.err.contains("bad.yaml:3"), "{}", refused.err);
}
