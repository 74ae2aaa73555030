//! What a prompt is given of other tasks, from outside: short by default, with a path to the whole and a receipt.

use std::fs;

use crate::House;

const PLAN: &str = r#"
name: economy
tasks:
  - id: long
    exec: "seq -f 'row %g of the long answer' 1 4000"
  - id: table
    exec: |
      printf '['; for n in $(seq 1 60); do printf '{ "id": %s, "name": "item %s" },' $n $n; done; printf '{ "id": 61, "name": "x" }]'
  - id: reader
    agent: rehearsal
    prompt: "A:\n{{ tasks.long.result }}\nB:\n{{ tasks.table.result }}\nC:\n{{ tasks.long.summary }}\nD: {{ tasks.long.verdict }}"
    needs: [long, table]
  - id: shell
    exec: "printf %s {{ tasks.table.result }} | head -c 12"
    needs: [table]
"#;

fn receipts(document: &serde_json::Value, layer: &str) -> Vec<serde_json::Value> {
    let all = document["receipts"].as_array().unwrap();
    let of = |receipt: &&serde_json::Value| receipt["receipt"]["layer"] == layer;
    all.iter().filter(of).cloned().collect()
}

#[test]
fn results_are_handed_over_short_and_the_receipts_say_so() {
    let house = House::new();
    house.write("plan.yaml", PLAN);
    house.ok(&["run", "plan.yaml"]);
    let document = house.json(&["economy", "r1"]);
    let handed = receipts(&document, "hand_over");
    assert_eq!(handed.len(), 1, "{document:#}");
    assert_eq!(handed[0]["task"], "reader");
    let receipt = &handed[0]["receipt"];
    assert!(receipt["would_tokens"].as_u64().unwrap() > 20_000);
    assert!(receipt["sent_tokens"].as_u64().unwrap() <= 4_000);
    let encoded = receipts(&document, "encoding");
    assert_eq!(encoded[0]["receipt"]["note"], "csv", "{document:#}");
    // The whole lies where the prompt says it does.
    let artifacts: Vec<_> = fs::read_dir(house.project().join(".wheelhouse/artifacts"))
        .unwrap()
        .collect();
    assert!(!artifacts.is_empty());
    // A command is given the bytes as they are.
    assert_eq!(house.ok(&["result", "r1/shell"]).out.trim(), "[{ \"id\": 1,");
    let text = house.ok(&["economy", "r1", "--receipts"]).out;
    assert!(
        text.contains("hand_over") && text.contains("reader: hand_over of long"),
        "{text}"
    );
}

#[test]
fn layers_can_be_switched_off() {
    let house = House::new();
    house.write("plan.yaml", PLAN);
    house.ok(&[
        "run",
        "plan.yaml",
        "--set",
        "context.off=hand_over,encoding,summary,verdict_filter",
    ]);
    let document = house.json(&["economy", "r1"]);
    assert!(document["layers"].as_array().unwrap().is_empty(), "{document:#}");
    let wrong = house.run(&["run", "plan.yaml", "--set", "context.off=hand_ovre"]);
    assert_ne!(wrong.code, Some(0));
    assert!(wrong.err.contains("did you mean `hand_over`?"), "{}", wrong.err);
}

/// A recorded session: a policy, then calls whose results are long and whose ids are used three steps later.
fn recording() -> String {
    let mut messages = vec![
        serde_json::json!({"role": "system", "content": "You are an agent. ".repeat(600)}),
        serde_json::json!({"role": "user", "content": "Do it."}),
    ];
    for step in 0..20 {
        let id = format!("order_{}", 7_000 + i32::max(step - 3, 0));
        let call = serde_json::json!({"function": {"name": "look", "arguments": format!("{{\"id\": \"{id}\"}}")}});
        messages.push(serde_json::json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        let result = format!(
            "{} order_{} {}",
            "words of it ".repeat(200),
            7_000 + step,
            "and more ".repeat(900)
        );
        messages.push(serde_json::json!({"role": "tool", "content": result}));
    }
    messages.push(serde_json::json!({"role": "assistant", "content": "done"}));
    serde_json::json!({"reward": 1.0, "messages": messages}).to_string()
}

#[test]
fn a_recorded_session_is_played_again_with_layers_on_and_off() {
    let house = House::new();
    house.write("runs.jsonl", &format!("{}\n{{\"noise\": 1}}\n", recording()));
    let document = house.json(&["economy", "--session", "runs.jsonl"]);
    assert_eq!(
        (&document["sessions"], &document["passed_over"]),
        (&1.into(), &1.into()),
        "{document:#}"
    );
    let alone = |side: &str, layer: &str| {
        let all = document[side]["alone"].as_array().unwrap();
        let of = |one: &&serde_json::Value| one["layer"].as_str().unwrap().starts_with(layer);
        all.iter().find(of).unwrap()["difference"]["cost_nano"]
            .as_i64()
            .unwrap()
    };
    assert!(
        alone("cached", "reduction") < 0 && alone("uncached", "reduction") < 0,
        "{document:#}"
    );
    // The one that everybody does costs money where there is a cache, and saves it where there is none.
    assert!(
        alone("cached", "rolling") > 0 && alone("uncached", "rolling") < 0,
        "{document:#}"
    );
    let shares = document["cached"]["together"]["cost_nano_shares"].as_object().unwrap();
    let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
    let together = document["cached"]["together"]["difference"]["cost_nano"]
        .as_f64()
        .unwrap();
    assert!((sum - together).abs() < 10.0, "{document:#}");
    let text = house.ok(&["economy", "--session", "runs.jsonl", "--keep", "2"]).out;
    assert!(
        text.contains("rolling window of 2") && text.contains("hidden"),
        "{text}"
    );
    // A cliff: above 100,000 tokens the whole request is five times as dear.
    let cheap = house.json(&["economy", "--session", "runs.jsonl", "--model", "claude-haiku-5-5"]);
    assert!(cheap["cached"]["baseline"]["cost_nano"].as_u64() < document["cached"]["baseline"]["cost_nano"].as_u64());
    house.write("empty.jsonl", "\u{0}\u{1} nothing\n[1,2\n");
    assert_eq!(house.run(&["economy", "--session", "empty.jsonl"]).code, Some(5));
    assert_eq!(
        house
            .run(&["economy", "--session", "runs.jsonl", "--model", "nobody"])
            .code,
        Some(5)
    );
}

#[test]
fn two_runs_of_one_plan_are_compared_and_reports_correct_the_count() {
    let said = wheelhouse_testkit::model_api::Tokens {
        input: 3_000,
        cache_read: 0,
        cache_write: 0,
        output: 50,
        reasoning: 0,
    };
    let script = wheelhouse_testkit::model_api::Script::new().usage(said);
    let fake = wheelhouse_testkit::model_api::ModelApi::start(script).unwrap();
    let house = House::new().with_env("A_KEY", "sk-x");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.model]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"claude-sonnet-5-5\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    let words = "some words of a prompt ".repeat(500);
    house.write(
        "plan.yaml",
        &format!(
            "tasks:\n  - {{id: a, agent: model, prompt: {words:?}}}\n  - {{id: b, agent: model, prompt: {words:?}}}\n"
        ),
    );
    house.ok(&["run", "plan.yaml"]);
    house.ok(&["run", "plan.yaml", "--set", "context.off=hand_over"]);
    let document = house.json(&["economy", "r2", "--against", "r1"]);
    assert_eq!(
        (&document["difference"]["pairs"], &document["difference"]["input"]),
        (&2.into(), &0.into()),
        "{document:#}"
    );
    let text = house.ok(&["economy", "r2", "--against", "r1"]).out;
    assert!(text.contains("2 tasks that both have"), "{text}");
    // About 2,500 tokens by our count, 3,000 by its own: four tries have taught that.
    house.write("runs.jsonl", &recording());
    let played = house.json(&["economy", "--session", "runs.jsonl"]);
    assert_eq!(played["ratio_samples"], 4, "{played:#}");
    let permille = played["permille"].as_u64().unwrap();
    assert!((1_150..1_250).contains(&permille), "{permille}");
}

#[test]
fn answers_are_cut_to_the_fields_that_are_asked_for() {
    let house = House::new();
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: a, exec: \"true\"}\n  - {id: b, exec: \"true\"}\n",
    );
    let cut = house.ok(&["run", "plan.yaml", "--fields", "run.id,run.tasks.succeeded"]);
    assert_eq!(cut.out.trim(), r#"{"run":{"id":"r1","tasks":{"succeeded":2}}}"#);
    let missed = house.ok(&["status", "r1", "--fields", "run.idd"]);
    assert!(
        missed.err.contains("there is no field `run.idd`; there is id"),
        "{}",
        missed.err
    );
    assert!(missed.out.len() > 100, "{}", missed.out);
}
