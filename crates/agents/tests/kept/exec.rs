//! The `exec` backend: outcome by exit code, output as artifacts, signs of life, orders.

use std::path::PathBuf;
use std::time::Instant;

use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::output::PULSE_EVERY;
use wheelhouse_core::agent::{Agent, AgentEvent, Ended, Input, Order};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::Cost;

use crate::support::{self, Rig, rig, scripted};

async fn run(rig: &Rig, command: &str) -> Ended {
    rig.attempt(&Exec::new(rig.keeper.clone()), command).end().await
}

#[tokio::test]
async fn a_command_that_ends_well() {
    let rig = rig();
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), "echo one; echo problem >&2; echo two");
    let events = attempt.events.clone();
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!((ended.detail.as_str(), ended.result.exit_code), ("", Some(0)));
    assert_eq!(ended.result.summary, "one\ntwo");
    assert_eq!(ended.outputs, [b"one\ntwo\n".to_vec(), b"problem\n".to_vec()]);
    let artifacts: Vec<_> = ended
        .result
        .artifacts
        .iter()
        .map(|a| (a.name.as_str(), a.bytes, a.bytes_written))
        .collect();
    assert_eq!(artifacts, [("output", 8, 8), ("errors", 8, 8)]);
    assert_eq!(ended.cost, Cost::Free);
    assert!(!ended.result.rehearsed);
    let log = std::fs::read_to_string(rig.path("log")).unwrap();
    for line in ["one\n", "two\n", "problem\n"] {
        assert!(log.contains(line), "{log}");
    }
    let events = events.all();
    assert!(
        matches!(
            events[0],
            AgentEvent::Started {
                session: None,
                process: Some(_)
            }
        ),
        "{events:?}"
    );
    assert!(
        events[1..].iter().all(|event| *event == AgentEvent::Alive) && events.len() > 1,
        "{events:?}"
    );
}

#[tokio::test]
async fn failures_are_told_apart() {
    let rig = rig();
    for (command, outcome, code, detail) in [
        ("exit 3", Outcome::Crashed, Some(3), "exit 3"),
        ("echo bad >&2; exit 3", Outcome::Crashed, Some(3), "exit 3: bad"),
        (
            "kill -KILL $$",
            Outcome::Killed,
            None,
            "ended by SIGKILL, which Wheelhouse did not send",
        ),
        (
            "kill -SEGV $$",
            Outcome::Killed,
            None,
            "ended by SIGSEGV, which Wheelhouse did not send",
        ),
        (
            "sh -c 'kill -KILL $$'; exit $?",
            Outcome::Crashed,
            Some(137),
            "exit 137 (its last command was ended by SIGKILL)",
        ),
    ] {
        let ended = run(&rig, command).await;
        assert_eq!((ended.outcome, ended.result.exit_code), (outcome, code), "{command}");
        assert!(ended.detail.starts_with(detail), "{command}: {}", ended.detail);
    }
    let missing = run(&rig, "no-such-command-anywhere").await;
    assert_eq!(
        (missing.outcome, missing.result.exit_code),
        (Outcome::Crashed, Some(127))
    );
    assert!(
        missing.detail.starts_with("exit 127 (command not found): "),
        "{}",
        missing.detail
    );
    let ended = run(&rig, &scripted("signal 11")).await;
    assert_eq!(ended.outcome, Outcome::Killed);
}

#[tokio::test]
async fn what_cannot_begin_is_unavailable() {
    let rig = rig();
    let unavailable = |ended: Ended, words: &str| {
        assert_eq!(ended.outcome, Outcome::Unavailable);
        assert!(ended.detail.contains(words), "{}", ended.detail);
        assert_eq!(ended.result.exit_code, None);
    };
    let no_shell = Exec::new(rig.keeper.clone()).with_shell(PathBuf::from("/no/such/sh"));
    unavailable(
        rig.attempt(&no_shell, "true").end().await,
        "`/no/such/sh` was not found",
    );
    let exec = Exec::new(rig.keeper.clone());
    let mut elsewhere = rig.assignment(Input::Command("true".to_owned()));
    elsewhere.cwd = PathBuf::from("/no/such/directory");
    unavailable(support::attempt(&exec, elsewhere).end().await, "/no/such/directory");
    let prompt = rig.assignment(Input::Prompt("Hello.".to_owned()));
    unavailable(support::attempt(&exec, prompt).end().await, "was given a prompt");
    let long = format!("true {}", "x".repeat(200_000));
    unavailable(run(&rig, &long).await, "131,071 bytes");
}

#[tokio::test]
async fn silence_is_success() {
    let rig = rig();
    let ended = run(&rig, "true").await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(ended.result.summary, "exit 0, no output");
    assert!(ended.result.artifacts.is_empty() && ended.outputs.is_empty());
}

#[tokio::test]
async fn garbage_is_kept_and_summarised() {
    let rig = rig();
    let ended = run(&rig, &scripted("garbage 20000")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(ended.outputs[0].len(), 20_000);
    let summary = ended.result.summary;
    assert!(!summary.is_empty() && summary.chars().count() <= wheelhouse_agents::exec::SUMMARY_CHARS_MAX);
    assert!(summary.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
}

#[tokio::test]
async fn a_hanging_command_is_ended_by_order_and_keeps_what_it_said() {
    let rig = rig();
    let exec = Exec::new(rig.keeper.clone());
    let attempt = rig.attempt(&exec, &scripted(&format!("say begun mark {} hang", rig.path("main"))));
    rig.marked("main").await;
    // Orders that mean nothing to a command change nothing.
    attempt.orders.send(Order::Interrupt).unwrap();
    attempt.orders.send(Order::Steer("faster".to_owned())).unwrap();
    attempt.orders.send(Order::Stop).unwrap();
    let ended = attempt.end().await;
    assert_eq!(
        (ended.outcome, ended.detail.as_str()),
        (Outcome::Killed, "stopped by order")
    );
    assert_eq!(ended.outputs, [b"begun\n".to_vec()]);
}

#[tokio::test]
async fn a_flood_does_not_keep_others_from_their_turn() {
    let rig = rig();
    // One thread for all: if the flood kept it, neither the sign of life nor the order would get through.
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &scripted("flood 1000000000000"));
    let events = attempt.events.clone();
    support::until("it lives", || events.all().contains(&AgentEvent::Alive)).await;
    attempt.orders.send(Order::Stop).unwrap();
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    let output = &ended.result.artifacts[0];
    assert!(output.bytes <= 64 << 10, "{output:?}");
}

#[tokio::test]
async fn a_closed_inbox_changes_nothing() {
    let rig = rig();
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), "sleep 0.2; echo done");
    let support::Attempt { orders, events, ended } = attempt;
    drop(orders);
    let ended = ended.await.unwrap();
    assert_eq!(ended.result.summary, "done");
    drop(events);
}

#[tokio::test]
async fn signs_of_life_are_bounded() {
    let rig = rig();
    let begin = Instant::now();
    let attempt = rig.attempt(
        &Exec::new(rig.keeper.clone()),
        "i=0; while [ $i -lt 40 ]; do echo $i; sleep 0.01; i=$((i + 1)); done",
    );
    let events = attempt.events.clone();
    attempt.end().await;
    let alive = events.all().iter().filter(|event| **event == AgentEvent::Alive).count();
    let most = begin.elapsed().as_millis() / PULSE_EVERY.as_millis() + 1;
    assert!(alive >= 2 && alive as u128 <= most, "{alive} of at most {most}");
}

#[tokio::test]
async fn without_a_log_all_is_the_same() {
    let rig = rig();
    let exec = Exec::new(rig.keeper.clone());
    let mut assignment = rig.assignment(Input::Command("echo fine".to_owned()));
    assignment.log = None;
    assert_eq!(support::attempt(&exec, assignment).end().await.result.summary, "fine");
    let mut assignment = rig.assignment(Input::Command("echo fine".to_owned()));
    assignment.log = Some(PathBuf::from("/no/such/directory/log"));
    let attempt = support::attempt(&exec, assignment);
    let events = attempt.events.clone();
    assert_eq!(attempt.end().await.result.summary, "fine");
    let told = |event: &AgentEvent| matches!(event, AgentEvent::Notice(words) if words.contains("log"));
    assert_eq!(events.all().iter().filter(|event| told(event)).count(), 1);
}

#[tokio::test]
async fn it_promises_nothing_that_a_command_cannot_do() {
    let rig = rig();
    let exec = Exec::new(rig.keeper.clone());
    assert_eq!(exec.capabilities(), wheelhouse_core::agent::Capabilities::default());
}
