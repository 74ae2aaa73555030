//! The compatibility mode: the orchestrator's queue in, its status and results out.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{House, until};

const QUEUE: &str = ".claude/orchestrator-queue.json";
const STATUS: &str = ".claude/orchestrator-status.json";

fn queue(tasks: &[Value]) -> String {
    json!({ "tasks": tasks }).to_string()
}

fn status(house: &House) -> Value {
    let text = fs::read_to_string(house.project().join(STATUS)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn task(id: &str, prompt: &str, deps: &[&str]) -> Value {
    json!({ "id": id, "agent": "Explore", "prompt": prompt, "deps": deps })
}

fn result(house: &House, id: &str) -> PathBuf {
    house.project().join(format!(".claude/orchestrator/results/{id}.md"))
}

#[test]
fn a_queue_is_worked_on_and_its_files_are_true() {
    let house = House::new();
    house.write(
        QUEUE,
        &queue(&[task("1", "Look at auth", &[]), task("2", "Now fix it", &["1"])]),
    );
    let done = house.ok(&["run", "--compat-dir", ".claude"]);
    assert!(done.out.contains("All 2 tasks succeeded"), "{done:#?}");
    let status = status(&house);
    assert_eq!(status["state"], "complete");
    assert_eq!(status["mode"], "background");
    assert_eq!(status["tasks"][1]["id"], "2");
    assert_eq!(status["tasks"][1]["status"], "completed");
    let text = fs::read_to_string(result(&house, "2")).unwrap();
    assert!(text.starts_with("# 2\n"), "{text}");
    assert!(text.contains("rehearsed"), "{text}");
    // Doing it again repeats nothing.
    let again = house.ok(&["run", "--compat-dir", ".claude"]);
    assert!(again.err.contains("nothing new in the queue"), "{again:#?}");
    assert_eq!(house.json(&["status", "r1"])["run"]["tasks"]["total"], 2);
}

#[test]
fn tasks_that_are_appended_while_it_runs_are_taken_up() {
    let house = House::new();
    let slow = task("slow", "wait\nrehearse: sleep 1s", &[]);
    house.write(QUEUE, &queue(std::slice::from_ref(&slow)));
    let running = house.start(&["run", "--compat-dir", ".claude"]);
    until("it is active", || status(&house)["state"] == "active");
    // A writer that is not atomic: first a half, then the whole.
    let whole = queue(&[slow, task("more", "and this", &["slow"])]);
    house.write(QUEUE, &whole[..whole.len() / 2]);
    house.until_task("slow", "running");
    house.write(QUEUE, &whole);
    let done = running.done();
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert_eq!(status(&house)["tasks"][1]["status"], "completed");
    assert!(result(&house, "more").exists());
}

#[test]
fn interrupted_it_says_paused_and_goes_on_where_it_was() {
    let house = House::new();
    house.write(
        QUEUE,
        &queue(&[
            task("slow", "wait\nrehearse: sleep 600s", &[]),
            task("quick", "now", &[]),
        ]),
    );
    let running = house.start(&["run", "--compat-dir", ".claude"]);
    until("the quick one is done", || result(&house, "quick").exists());
    house.until_task("slow", "running");
    running.signal(Signal::SIGINT);
    assert_eq!(running.done().code, Some(130));
    assert_eq!(status(&house)["state"], "paused");
    house.ok(&["cancel", "slow"]);
    let done = house.run(&["run", "--compat-dir", ".claude"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert_eq!(status(&house)["state"], "complete");
    assert_eq!(status(&house)["tasks"][0]["status"], "cancelled");
    assert_eq!(
        house.json(&["status", "quick"])["attempts"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn what_is_wrong_with_a_queue_is_said() {
    let house = House::new();
    let missing = house.run(&["run", "--compat-dir", ".claude"]);
    assert_eq!(missing.code, Some(5), "{missing:#?}");
    house.write(QUEUE, &queue(&[task("1", "a", &["2"])]));
    let wrong = house.run(&["run", "--compat-dir", ".claude"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(wrong.err.contains("orchestrator-queue.json"), "{wrong:#?}");
}
