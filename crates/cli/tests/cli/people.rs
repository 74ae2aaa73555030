//! Questions, approvals, pausing, cancelling, trying again: what people do to a run.

use crate::{House, snapshot, until};

const ASKS: &str = "\
name: asks
tasks:
  - {id: fragile, exec: 'test -e mended', on_failure: ask}
  - {id: gated, exec: 'echo gated', approval: true}
  - {id: after, exec: 'echo after', needs: [fragile, gated]}
";

#[test]
fn what_needs_a_person_is_held_asked_and_answered() {
    let house = House::new();
    house.write("asks.yaml", ASKS);
    let done = house.run(&["run", "asks.yaml", "--max-parallel", "1"]);
    assert_eq!(done.code, Some(3), "{done:#?}");
    snapshot!(
        house,
        format!(
            "{}\n--- status\n{}\n--- answer\n{}",
            done.out,
            house.ok(&["status"]).out,
            house.ok(&["answer"]).out
        )
    );
    let wrong = house.run(&["answer", "fragile", "perhaps"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.err.contains("retry, fail, continue"), "{wrong:#?}");
    house.write("mended", "");
    house.ok(&["answer", "fragile", "retry"]);
    house.ok(&["approve", "gated"]);
    let again = house.run(&["approve", "gated"]);
    assert_eq!(again.code, Some(6), "{again:#?}");
    let done = house.ok(&["resume"]);
    assert!(done.out.contains("All 3 tasks succeeded"), "{done:#?}");
}

#[test]
fn denied_means_given_up_and_dependants_are_skipped() {
    let house = House::new();
    house.write("asks.yaml", ASKS);
    house.write("mended", "");
    assert_eq!(house.run(&["run", "asks.yaml"]).code, Some(3));
    let question = house.json(&["answer"])["questions"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answered = house.json(&["deny", &question]);
    assert_eq!(answered["question"]["answer"], "deny");
    let counts = &house.json(&["status", "r1"])["run"];
    assert_eq!(counts["state"], "finished");
    assert_eq!(
        (&counts["tasks"]["succeeded"], &counts["tasks"]["skipped"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_paused_run_starts_nothing_more_until_it_is_resumed() {
    let house = House::new();
    house.write(
        "pair.yaml",
        "tasks: [{id: one, exec: 'while [ ! -e go ]; do sleep 0.05; done'}, {id: two, exec: 'echo two', needs: [one]}]",
    );
    let engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    house.ok(&["run", "pair.yaml", "--detach"]);
    house.until_task("one", "running");
    let paused = house.ok(&["pause", "r1"]);
    assert!(paused.out.contains("1 task under way will end"), "{paused:#?}");
    house.write("go", "");
    house.until_task("one", "done");
    house.until_task("two", "held");
    assert_eq!(house.json(&["status", "two"])["task"]["held"]["reason"], "paused");
    let resumed = house.ok(&["resume", "r1"]);
    assert!(resumed.out.starts_with("r1 goes on in process"), "{resumed:#?}");
    house.until_run("r1", "finished");
    drop(engine);
}

#[test]
fn cancelled_stops_what_runs_and_retry_tries_it_again() {
    let house = House::new();
    house.write(
        "pair.yaml",
        "tasks: [{id: one, exec: 'while [ ! -e go ]; do sleep 0.05; done; echo one'}, {id: two, exec: 'echo two', needs: [one]}]",
    );
    let running = house.start(&["run", "pair.yaml"]);
    house.until_task("one", "running");
    house.ok(&["cancel", "one"]);
    let done = running.done();
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert_eq!(house.json(&["status", "one"])["task"]["outcome"]["class"], "cancelled");
    house.write("go", "");
    let retried = house.ok(&["retry", "one"]);
    assert_eq!(retried.out, "r1/one will be tried again\n");
    house.ok(&["resume"]);
    assert_eq!(house.ok(&["result", "two"]).out, "two\n");
}

#[test]
fn a_cancelled_run_ends() {
    let house = House::new();
    house.write(
        "long.yaml",
        "tasks: [{id: long, exec: 'sleep 600'}, {id: next, exec: 'true', needs: [long]}]",
    );
    let running = house.start(&["run", "long.yaml"]);
    house.until_task("long", "running");
    let cancelled = house.ok(&["cancel", "r1"]);
    assert!(cancelled.out.contains("r1 is cancelled"), "{cancelled:#?}");
    assert_eq!(running.done().code, Some(1));
    assert_eq!(house.json(&["status", "r1"])["run"]["tasks"]["cancelled"], 2);
}

#[test]
fn failed_runs_are_tried_again_as_a_whole() {
    let house = House::new();
    house.write(
        "flaky.yaml",
        "tasks: [{id: flaky, exec: 'test -e mended'}, {id: next, exec: 'echo next', needs: [flaky]}]",
    );
    assert_eq!(house.run(&["run", "flaky.yaml"]).code, Some(1));
    house.write("mended", "");
    let retried = house.ok(&["retry", "r1"]);
    assert_eq!(retried.out, "r1: 2 tasks will be tried again\n");
    let done = house.ok(&["resume"]);
    assert!(done.out.contains("All 2 tasks succeeded"), "{done:#?}");
}
