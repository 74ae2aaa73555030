//! docs/json.md describes every name in every document; the document of every command is seen here once.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::House;

const PLAN: &str = "\
name: all
tasks:
  - {id: facts, exec: 'echo facts', verify: ['true']}
  - {id: draft, prompt: 'Write', needs: [facts]}
  - {id: wrong, exec: 'exit 1'}
  - {id: after, exec: 'true', needs: [wrong]}
  - {id: gated, exec: 'echo gated', approval: true}
";

/// The names in the document, and in all that is in it.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                found.insert(name.clone());
                names(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_name_is_described() {
    let house = House::new();
    house.write("all.yaml", PLAN);
    house.write("wrong.yaml", "tasks: [{id: a, exce: 'true'}]");
    let mut found = BTreeSet::new();
    for words in [
        vec!["init"],
        vec!["doctor"],
        vec!["plan", "check", "all.yaml", "wrong.yaml"],
        vec!["run", "wrong.yaml"],
        vec!["run", "all.yaml"],
        vec!["status"],
        vec!["status", "r1"],
        vec!["status", "facts"],
        vec!["result", "draft"],
        vec!["result", "draft", "--full"],
        vec!["answer"],
        vec!["approve", "gated"],
        vec!["resume"],
        vec!["resume"],
        vec!["retry", "wrong"],
        vec!["pause", "r1"],
        vec!["cancel", "r1"],
        vec!["task", "add", "echo hello", "--agent", "exec"],
        vec!["result", "nothing"],
        vec!["gc"],
        vec!["fsck"],
    ] {
        names(&house.json(&words), &mut found);
    }
    // The names in these are keys of the configuration and parts of plans, which have pages of their own.
    for document in house.json(&["config", "show"]).as_object().unwrap().values() {
        names(document, &mut found);
    }
    let shown = house.json(&["plan", "show", "all.yaml"]);
    found.extend(shown.as_object().unwrap().keys().cloned());
    let mut kinds = BTreeSet::new();
    for line in house.ok(&["events", "--json"]).out.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        kinds.insert(event["event"].as_str().unwrap().to_owned());
        names(&event, &mut found);
    }
    assert!(kinds.len() > 12, "{kinds:?}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/json.md");
    let page = std::fs::read_to_string(page).unwrap();
    let described = |name: &&String| page.contains(&format!("`{name}`")) || page.contains(&format!("\"{name}\""));
    let missing: Vec<&String> = found.iter().chain(&kinds).filter(|name| !described(name)).collect();
    assert!(missing.is_empty(), "docs/json.md does not describe {missing:?}");
}

#[test]
fn with_json_stdout_holds_one_document_and_nothing_else() {
    let house = House::new();
    house.write("all.yaml", PLAN);
    for words in [
        vec!["run", "all.yaml", "--json"],
        vec!["status", "--json"],
        vec!["doctor", "--json"],
    ] {
        let done = house.run(&words);
        assert_eq!(done.out.lines().count(), 1, "{words:?}: {done:#?}");
    }
}
