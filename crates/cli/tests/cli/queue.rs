//! The standing queue.

use crate::{House, until};

#[test]
fn tasks_are_added_at_any_time_and_done_in_order_of_need_and_priority() {
    let house = House::new();
    let first = house.ok(&[
        "task",
        "add",
        "echo first | tee -a order",
        "--agent",
        "exec",
        "--id",
        "first",
    ]);
    assert_eq!(first.out, "r1/first\n");
    assert!(first.err.contains("no engine is running"), "{first:#?}");
    let words = [
        "task",
        "add",
        "echo {{ tasks.first.summary }} second >> order",
        "--agent",
        "exec",
        "--after",
        "first",
    ];
    let second = house.ok(&words);
    assert_eq!(second.out, "r1/echo-tasks-first-summary-second\n");
    house.ok(&[
        "task",
        "add",
        "echo urgent >> order",
        "--agent",
        "exec",
        "--id",
        "urgent",
        "--priority",
        "9",
    ]);
    let status = house.ok(&["status"]).out;
    assert!(status.contains("queue"), "{status}");
    let done = house.ok(&["resume", "--max-parallel", "1"]);
    assert!(done.out.contains("queue (r1)"), "{done:#?}");
    assert_eq!(house.read("order"), "urgent\nfirst\nfirst second\n");
    assert_eq!(house.json(&["status", "queue"])["run"]["tasks"]["succeeded"], 3);
}

#[test]
fn a_running_engine_takes_them_up_at_once() {
    let house = House::new();
    let engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let added = house.json(&["task", "add", "echo hello", "--agent", "exec", "--id", "hello"]);
    assert_eq!(
        added,
        serde_json::json!({ "task": "r1/hello", "run": "r1", "agent": "exec", "engine": { "running": true } })
    );
    house.until_task("queue/hello", "done");
    assert_eq!(house.ok(&["result", "hello"]).out, "hello\n");
    drop(engine);
}

#[test]
fn what_does_not_fit_is_refused_and_the_queue_stays_as_it_was() {
    let house = House::new();
    house.ok(&["task", "add", "echo a", "--agent", "exec", "--id", "a"]);
    for (words, told) in [
        (vec!["task", "add", "b", "--after", "aa"], "`a`"),
        (vec!["task", "add", "b", "--agent", "claud"], "claud"),
        (vec!["task", "add", "b", "--id", "a"], "a"),
        (vec!["task", "add", "  "], "empty"),
    ] {
        let done = house.run(&words);
        assert_eq!(done.code, Some(2), "{words:?}: {done:#?}");
        assert!(done.err.contains(told), "{words:?}: {done:#?}");
    }
    assert_eq!(house.json(&["status", "queue"])["run"]["tasks"]["total"], 1);
}
