//! Things are found by the names people type; what is not there is answered with what is.

use crate::{House, snapshot};

fn house() -> House {
    let house = House::new();
    house.write(
        "a.yaml",
        "name: first\ntasks: [{id: facts, exec: 'echo old'}, {id: draft, exec: 'echo d'}]",
    );
    house.ok(&["run", "a.yaml", "--max-parallel", "1"]);
    house.write("b.yaml", "name: second\ntasks: [{id: facts, exec: 'echo new'}]");
    house.ok(&["run", "b.yaml"]);
    house
}

#[test]
fn a_bare_name_is_the_newest_task_of_that_name() {
    let house = house();
    assert_eq!(house.ok(&["result", "facts"]).out, "new\n");
    assert_eq!(house.ok(&["result", "r1/facts"]).out, "old\n");
    assert_eq!(house.ok(&["result", "draft"]).out, "d\n");
}

#[test]
fn wrong_names_are_answered_with_what_exists() {
    let house = house();
    let mut text = String::new();
    for words in [
        vec!["result", "fatcs"],
        vec!["result", "r1/darft"],
        vec!["result", "r9/facts"],
        vec!["status", "r9"],
        vec!["status", "something-else-entirely"],
        vec!["logs", "facts", "--attempt", "7"],
        vec!["answer", "q7", "yes"],
        vec!["result", "facts", "--full", "--artifact", "outptu"],
        vec!["run", "a.yml"],
        vec!["cancel", "r1"],
        vec!["retry", "facts"],
        vec!["retry", "r1"],
        vec!["pause", "facts"],
        vec!["approve", "facts"],
    ] {
        let done = house.run(&words);
        text.push_str(&format!(
            "$ wheelhouse {}\n{}{}exit {:?}\n\n",
            words.join(" "),
            done.out,
            done.err,
            done.code
        ));
    }
    snapshot!(house, text);
}

#[test]
fn failures_are_documents_too() {
    let house = house();
    let done = house.run(&["result", "fatcs", "--json"]);
    assert_eq!(done.code, Some(5));
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["error"]["code"], "not_found");
    assert_eq!(document["error"]["exit"], 5);
    assert!(document["error"]["message"].as_str().unwrap().contains("facts"));
}

#[test]
fn where_nothing_has_run_that_is_said() {
    let house = House::new();
    assert_eq!(
        house.ok(&["status"]).out,
        "Nothing has run here yet: `wheelhouse run PLAN`\n"
    );
    let done = house.run(&["events"]);
    assert_eq!(done.code, Some(5));
    assert!(!house.project().join(".wheelhouse").exists(), "looking makes nothing");
    assert_eq!(house.ok(&["answer"]).out, "nobody asks anything\n");
}

#[test]
fn the_history_can_be_read_from_a_cursor_on() {
    let house = house();
    let all = house.ok(&["events", "--json"]).out;
    let events: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "run_submitted");
    let third = events[2]["cursor"].as_u64().unwrap().to_string();
    let rest = house.ok(&["events", "--json", "--since", &third]).out;
    assert_eq!(rest.lines().count(), events.len() - 3);
    let second = house.ok(&["events", "--json", "--run", "r2"]).out;
    assert!(second.lines().all(|line| line.contains(r#""run":"r2""#)));
    assert!(second.contains(r#""task":"r2/facts""#));
    snapshot!(house, house.ok(&["events"]).out);
}

#[test]
fn numbers_are_tasks_first_and_runs_else() {
    let house = House::new();
    house.write("n.yaml", "tasks: [{id: '2', exec: 'echo task'}]");
    house.ok(&["run", "n.yaml"]);
    assert_eq!(house.json(&["status", "2"])["task"]["id"], "r1/2");
    assert_eq!(house.json(&["status", "1"])["run"]["id"], "r1");
    assert_eq!(house.json(&["status", "r1"])["run"]["id"], "r1");
    assert_eq!(house.json(&["status", "7"])["error"]["code"], "not_found");
}
