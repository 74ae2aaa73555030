//! The fault matrix of docs/faults.md, from outside: a task whose first agent fails in every way there is, and whose
//! second is well. How often each was asked, and how it came out.

use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;

/// The fault, the class it is given, and how often the failing model is asked before the other one is.
const MATRIX: [(&str, &str, usize); 20] = [
    ("500", "overloaded", 2),
    ("429", "rate_limited", 2),
    ("429-retry-after-1", "rate_limited", 2),
    ("529", "overloaded", 2),
    ("hang", "stalled", 2),
    ("stall", "stalled", 2),
    ("cut", "truncated", 2),
    ("cut-clean", "truncated", 2),
    ("reset", "truncated", 2),
    ("error-event", "overloaded", 2),
    ("200-error", "overloaded", 2),
    ("garbage", "malformed", 2),
    ("empty", "empty", 2),
    ("max-tokens", "truncated", 2),
    ("refusal", "refused", 1),
    ("oversize", "context_too_long", 1),
    ("404-retired", "unavailable", 1),
    ("401", "auth", 1),
    ("quota", "quota", 1),
    ("quota-retry-after-3600", "quota", 1),
];

/// One agent a fault, and one that is well.
fn house(fake: &ModelApi, faults: &[&str]) -> House {
    let house = House::new().with_env("A_KEY", "sk-some-key");
    let agent = |name: &str, api: &str, base: String, model: String| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"{api}\"\nbase_url = \"{base}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\
             first_byte_timeout = \"500ms\"\nstall_timeout = \"500ms\"\n"
        )
    };
    let mut settings = String::from("parallel_max = 30\n");
    let mut plan = String::from("tasks:\n");
    settings.push_str(&agent("well", "openai", fake.openai_url(), "well".to_owned()));
    for fault in faults {
        settings.push_str(&agent(
            &format!("f{fault}"),
            "anthropic",
            fake.base_url(),
            format!("fault-{fault}"),
        ));
        plan.push_str(&format!(
            "  - {{id: t{fault}, agent: f{fault}, fallback: [well], retry: 1, prompt: \"Task of {fault}.\"}}\n"
        ));
    }
    house.write("wheelhouse.toml", &settings);
    house.write("plan.yaml", &plan);
    house
}

#[test]
fn every_fault_leads_to_the_next_agent_after_as_many_tries_as_are_of_use() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let faults: Vec<&str> = MATRIX.iter().map(|(fault, ..)| *fault).collect();
    let house = house(&fake, &faults);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], MATRIX.len(), "{run:#}");
    let turns = fake.turns();
    for (fault, class, asked) in MATRIX {
        let task = house.json(&["status", &format!("t{fault}")]);
        let classes: Vec<&str> = task["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|attempt| attempt["outcome"]["class"].as_str())
            .collect();
        let mut expected = vec![class; asked];
        expected.push("succeeded");
        assert_eq!(classes, expected, "{fault}: {task:#}");
        let model = format!("fault-{fault}");
        assert_eq!(
            turns.iter().filter(|turn| turn.model == model).count(),
            asked,
            "{fault}"
        );
        let prompt = format!("Task of {fault}.");
        let well = turns
            .iter()
            .filter(|turn| turn.model == "well" && turn.prompt.contains(&prompt));
        assert_eq!(well.count(), 1, "{fault}");
    }
}

#[test]
fn a_used_up_allowance_holds_the_task_where_that_is_wanted() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake, &["quota-retry-after-3600"]);
    let running = house.start(&["run", "plan.yaml", "--set", "quota=wait"]);
    house.until_task("tquota-retry-after-3600", "held");
    let task = house.json(&["status", "tquota-retry-after-3600"]);
    assert_eq!(task["task"]["held"]["reason"], "quota", "{task:#}");
    assert!(task["task"]["held"]["until"].is_string(), "{task:#}");
    assert_eq!(fake.turns().len(), 1, "nobody asks again before");
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.done();
    assert_eq!(fake.turns().len(), 1);
}
