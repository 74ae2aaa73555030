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
