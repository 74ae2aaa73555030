//! Plans that are wrong, and plans that are only looked at.

use crate::{House, snapshot};

const WRONG: &str = "\
name: wrong
tasks:
  - id: one
    exce: \"true\"
  - id: two
    exec: \"true\"
    needs: [on]
    timeout: 20
  - id: three
    agent: claud
    prompt: \"{{ tasks.two.summary }}\"
";

#[test]
fn every_problem_is_said_with_its_place() {
    let house = House::new();
    house.write("wrong.yaml", WRONG);
    let check = house.run(&["plan", "check", "wrong.yaml"]);
    assert_eq!(check.code, Some(2));
    let run = house.run(&["run", "wrong.yaml"]);
    assert_eq!(run.code, Some(2));
    assert!(!house.project().join(".wheelhouse").exists(), "nothing was begun");
    for place in ["wrong.yaml:4:", "wrong.yaml:7:", "wrong.yaml:8:", "wrong.yaml:10:"] {
        assert!(check.out.contains(place), "{place}: {check:#?}");
        assert!(run.err.contains(place), "{place}: {run:#?}");
    }
}

#[test]
fn problems_are_documents_too() {
    let house = House::new();
    house.write("wrong.yaml", WRONG);
    house.write("right.yaml", "tasks: [{id: a, exec: 'true'}]");
    let document = house.json(&["plan", "check", "right.yaml", "wrong.yaml"]);
    assert_eq!(document["plans"][0]["sound"], true);
    assert_eq!(document["plans"][1]["sound"], false);
    let problems = document["plans"][1]["problems"].as_array().unwrap();
    let misspelt = problems.iter().find(|problem| problem["line"] == 4).unwrap();
    assert_eq!(
        (&misspelt["severity"], &misspelt["nearest"]),
        (&"error".into(), &"exec".into())
    );
    let refused = house.json(&["run", "wrong.yaml"]);
    assert_eq!(refused["error"]["code"], "usage");
    assert_eq!(refused["error"]["problems"], document["plans"][1]["problems"]);
}

#[test]
fn a_plan_is_shown_as_the_engine_gets_it() {
    let house = House::new();
    house.write(
        "p.yaml",
        "name: p\ntasks:\n  - {id: a, exec: 'echo a'}\n  - {id: b, prompt: 'say b', needs: [a], priority: 3}\n",
    );
    snapshot!(house, house.ok(&["plan", "show", "p.yaml"]).out);
    let document = house.json(&["plan", "show", "p.yaml"]);
    assert_eq!(document["layers"], serde_json::json!([["a"], ["b"]]));
    assert_eq!(document["tasks"][1]["agent"], "rehearsal");
    assert!(
        house
            .ok(&["plan", "show", "p.yaml", "--dot"])
            .out
            .starts_with("digraph")
    );
}

#[test]
fn plans_come_from_stdin_as_well() {
    let house = House::new();
    let plan = house.write("p.json", r#"{"tasks": [{"id": "a", "exec": "echo from stdin"}]}"#);
    let mut command = house.command(&["run", "-", "--quiet"]);
    let output = command.stdin(std::fs::File::open(plan).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(house.ok(&["result", "a"]).out, "from stdin\n");
}

#[test]
fn the_schema_is_json_schema() {
    let house = House::new();
    let schema: serde_json::Value = serde_json::from_str(&house.ok(&["plan", "schema"]).out).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("json-schema.org"));
    assert!(schema["properties"]["tasks"].is_object());
}

#[test]
fn a_plan_that_is_no_text_is_refused() {
    let house = House::new();
    std::fs::write(house.project().join("bin.yaml"), b"tasks:\n  - id: \xff\n").unwrap();
    let done = house.run(&["run", "bin.yaml"]);
    assert_eq!(done.code, Some(2));
    assert!(done.err.contains("bin.yaml:2: the plan is not UTF-8"), "{done:#?}");
}

#[test]
fn unknown_flags_are_refused() {
    let house = House::new();
    let done = house.run(&["run", "x.yaml", "--paralel", "3"]);
    assert_eq!(done.code, Some(2));
}
