//! Ctrl-C, kill -9, two engines: nothing is lost, nothing is settled twice, nothing is left running.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::{House, processes_with, until};

/// Tasks that run until a file appears.
const WAITING: &str = "\
name: waiting
tasks:
  - {id: wait, exec: 'while [ ! -e go ]; do sleep 0.05; done; echo went'}
  - {id: then, exec: 'echo then', needs: [wait]}
";

fn waiting() -> House {
    let house = House::new();
    house.write("waiting.yaml", WAITING);
    house
}

/// How often each task was settled, over the whole history.
fn settled(house: &House) -> BTreeMap<String, usize> {
    let mut settled = BTreeMap::new();
    for line in house.ok(&["events", "--json"]).out.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "task_done" {
            *settled.entry(event["task"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    settled
}

#[test]
fn once_returns_the_tasks_and_says_how_to_go_on() {
    let house = waiting();
    let running = house.start(&["run", "waiting.yaml"]);
    house.until_task("wait", "running");
    running.signal(Signal::SIGINT);
    let done = running.done();
    assert_eq!(done.code, Some(130), "{done:#?}");
    assert!(done.err.contains("`wheelhouse resume` goes on"), "{done:#?}");
    assert_eq!(house.json(&["status", "wait"])["task"]["state"], "ready");
    house.write("go", "");
    let done = house.ok(&["resume"]);
    assert!(done.out.contains("All 2 tasks succeeded"), "{done:#?}");
    assert_eq!(
        settled(&house),
        BTreeMap::from([("r1/then".into(), 1), ("r1/wait".into(), 1)])
    );
}

#[test]
fn twice_kills_what_does_not_listen() {
    let house = House::new().with_env("WHEELHOUSE__GRACE", "10m");
    house.write(
        "deaf.yaml",
        "tasks: [{id: deaf, exec: 'trap \"\" TERM INT; echo deaf > ready; while :; do sleep 0.1; done'}]",
    );
    let mut running = house.start(&["run", "deaf.yaml"]);
    until("it is deaf", || house.project().join("ready").exists());
    running.signal(Signal::SIGINT);
    running.until_said("stopping: nothing new starts");
    assert!(!running.is_over());
    running.signal(Signal::SIGINT);
    let done = running.done();
    assert_eq!(done.code, Some(130), "{done:#?}");
    assert!(done.err.contains("stopping now: what runs is killed"), "{done:#?}");
}

#[test]
fn three_times_leaves_at_once() {
    let house = House::new().with_env("WHEELHOUSE__GRACE", "10m");
    house.write(
        "deaf.yaml",
        "tasks: [{id: deaf, exec: 'trap \"\" TERM INT; echo deaf > ready; while :; do sleep 0.1; done'}]",
    );
    let running = house.start(&["run", "deaf.yaml"]);
    until("it is deaf", || house.project().join("ready").exists());
    // Signals of one kind that come together are one; each is taken before the next is sent.
    running.signal(Signal::SIGINT);
    running.until_said("stopping: nothing new starts");
    running.signal(Signal::SIGINT);
    running.until_said("stopping now: what runs is killed");
    running.signal(Signal::SIGINT);
    let done = running.done();
    assert_eq!(done.code, Some(130), "{done:#?}");
    let mark = house.project().display().to_string();
    until("nothing is left running", || processes_with(&mark).is_empty());
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    let house = waiting();
    let running = house.start(&["run", "waiting.yaml"]);
    house.until_task("wait", "running");
    running.signal(Signal::SIGKILL);
    let done = running.done();
    assert_eq!(done.signal, Some(9));
    let status = house.ok(&["status"]).out;
    assert!(status.contains("`wheelhouse resume` goes on"), "{status}");
    house.write("go", "");
    house.ok(&["resume"]);
    assert_eq!(
        settled(&house),
        BTreeMap::from([("r1/then".into(), 1), ("r1/wait".into(), 1)])
    );
    let mark = house.project().display().to_string();
    until("nothing is left running", || processes_with(&mark).is_empty());
}

#[test]
fn the_second_terminal_follows_and_takes_over_when_the_first_dies() {
    let house = waiting();
    let first = house.start(&["run", "waiting.yaml"]);
    house.until_task("wait", "running");
    house.write(
        "other.yaml",
        "tasks: [{id: other, exec: 'while [ ! -e go ]; do sleep 0.05; done; echo other'}]",
    );
    let second = house.start(&["run", "other.yaml"]);
    house.until_task("other", "running");
    first.signal(Signal::SIGKILL);
    first.done();
    // The second is the engine now; its own run goes on, the other waits for its person.
    house.write("go", "");
    let done = second.done();
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert_eq!(house.ok(&["result", "other"]).out, "other\n");
    house.ok(&["resume"]);
    assert_eq!(house.json(&["status", "r1"])["run"]["tasks"]["succeeded"], 2);
    assert!(settled(&house).values().all(|times| *times == 1));
}

#[test]
fn a_second_engine_is_refused_with_the_name_of_the_first() {
    let house = House::new();
    let mut first = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let second = house.run(&["serve"]);
    assert_eq!(second.code, Some(75), "{second:#?}");
    assert!(second.err.contains(&format!("process {}", first.pid())), "{second:#?}");
    assert!(!first.is_over());
    first.signal(Signal::SIGTERM);
    assert_eq!(first.done().code, Some(0));
}

#[test]
fn leaving_a_follower_leaves_the_work() {
    let house = waiting();
    let engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let follower = house.start(&["run", "waiting.yaml"]);
    house.until_task("wait", "running");
    follower.signal(Signal::SIGINT);
    let done = follower.done();
    assert_eq!(done.code, Some(130), "{done:#?}");
    assert!(done.err.contains("left: the engine goes on with r1"), "{done:#?}");
    house.write("go", "");
    house.until_run("r1", "finished");
    engine.signal(Signal::SIGTERM);
    assert_eq!(engine.done().code, Some(0));
}

#[test]
fn another_run_does_not_start_what_was_interrupted() {
    let house = waiting();
    let running = house.start(&["run", "waiting.yaml"]);
    house.until_task("wait", "running");
    running.signal(Signal::SIGKILL);
    running.done();
    house.write("one.yaml", "tasks: [{id: one, exec: 'echo one'}]");
    house.ok(&["run", "one.yaml"]);
    assert_eq!(house.json(&["status", "r1"])["run"]["state"], "interrupted");
    house.write("go", "");
    let done = house.ok(&["resume", "r1"]);
    assert!(done.out.contains("All 2 tasks succeeded"), "{done:#?}");
    assert_eq!(house.ok(&["resume"]).out, "nothing to resume: every run is finished\n");
}
