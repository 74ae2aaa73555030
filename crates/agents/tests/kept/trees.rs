//! The whole tree ends: on order, after its main process, and whatever it does against it.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::keep::{self, LEFTOVER_GRACE};
use wheelhouse_core::agent::{Input, Order};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::ProcessMark;

use crate::support::{self, Rig, is_there, rig, scripted, until, until_gone};

/// Everything that a tree can do to survive.
fn stubborn(rig: &Rig) -> String {
    scripted(&format!(
        "ignore-term mark {} daemon {} hidden-daemon {} background {} hang",
        rig.path("main"),
        rig.path("daemon"),
        rig.path("hidden"),
        rig.path("background"),
    ))
}

async fn members(rig: &Rig) -> Vec<ProcessMark> {
    let mut all = Vec::new();
    for name in ["main", "daemon", "hidden", "background"] {
        all.push(rig.marked(name).await);
    }
    all
}

async fn ends_by(order: Order) {
    let rig = rig();
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &stubborn(&rig));
    let mut all = members(&rig).await;
    all.push(attempt.warden().await);
    for one in &all {
        assert!(keep::is_alive(*one));
    }
    attempt.orders.send(order).unwrap();
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert_eq!(ended.detail, "stopped by order");
    for one in all {
        until(&format!("{} is gone without a trace", one.pid), || !is_there(one)).await;
    }
}

#[tokio::test]
async fn a_stop_ends_what_ignores_term_forks_twice_and_hides() {
    ends_by(Order::Stop).await;
}

#[tokio::test]
async fn a_kill_ends_it_too() {
    ends_by(Order::Kill).await;
}

#[tokio::test]
async fn a_stop_asks_first_and_what_answers_is_heard() {
    let rig = rig();
    let command = format!(
        "trap 'echo goodbye; exit 7' TERM; echo $$ > {}; while :; do sleep 0.01; done",
        rig.path("main")
    );
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &command);
    support::until("the trap is set", || Path::new(&rig.path("main")).exists()).await;
    attempt.orders.send(Order::Stop).unwrap();
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert_eq!(ended.result.exit_code, Some(7));
    assert_eq!(ended.outputs[0], b"goodbye\n");
}

#[tokio::test]
async fn what_was_stopped_hears_the_request_to_end() {
    let rig = rig();
    let mut assignment = rig.assignment(Input::Command(format!(
        "trap 'exit 7' TERM; echo $$ > {}; kill -STOP $$; while :; do sleep 0.01; done",
        rig.path("main")
    )));
    assignment.grace_ms = 60_000;
    let attempt = support::attempt(&Exec::new(rig.keeper.clone()), assignment);
    let file = rig.path("main");
    let state = || {
        let number = std::fs::read_to_string(&file).unwrap_or_default();
        std::fs::read_to_string(format!("/proc/{}/stat", number.trim())).unwrap_or_default()
    };
    until("it is stopped", || state().contains(") T ")).await;
    attempt.orders.send(Order::Stop).unwrap();
    assert_eq!(attempt.end().await.result.exit_code, Some(7));
}

#[tokio::test]
async fn nothing_is_left_after_a_good_end() {
    let rig = rig();
    // The background child holds the pipes open: only the end of the process may count.
    let command = scripted(&format!(
        "ignore-term daemon {0} hidden-daemon {1} background {2} await {0} await {1} await {2} say done exit 0",
        rig.path("daemon"),
        rig.path("hidden"),
        rig.path("background"),
    ));
    let begin = Instant::now();
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &command);
    let warden = attempt.warden().await;
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(ended.result.summary, "done");
    // Before its short grace is over nothing that ignores TERM is killed, so this was not waited for by chance.
    assert!(begin.elapsed() >= LEFTOVER_GRACE.min(Duration::from_millis(300)));
    for name in ["daemon", "hidden", "background"] {
        let number = std::fs::read_to_string(rig.path(name)).unwrap();
        assert_eq!(keep::mark(number.parse().unwrap()), None, "{name} lives");
    }
    until_gone("warden", warden).await;
}

#[tokio::test]
async fn a_pipe_left_open_does_not_hang_the_try() {
    let rig = rig();
    let command = format!("sleep 1000 & echo $! > {}; echo answer", rig.path("sleeper"));
    let ended = rig.attempt(&Exec::new(rig.keeper.clone()), &command).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(ended.outputs[0], b"answer\n");
    let sleeper = std::fs::read_to_string(rig.path("sleeper")).unwrap();
    assert_eq!(keep::mark(sleeper.trim().parse().unwrap()), None);
}

#[tokio::test]
async fn a_tree_that_grows_is_ended_whole() {
    let rig = rig();
    let bomb = rig.path("bomb");
    std::fs::create_dir(&bomb).unwrap();
    let command = scripted(&format!("ignore-term fork-bomb 60 {bomb} hang"));
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &command);
    let numbers = || -> Vec<u32> {
        let entries = std::fs::read_dir(&bomb).unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    };
    // In the middle of its growth.
    until("it grows", || numbers().len() > 10).await;
    attempt.orders.send(Order::Kill).unwrap();
    assert_eq!(attempt.end().await.outcome, Outcome::Killed);
    for number in numbers() {
        assert_eq!(keep::mark(number), None, "{number} lives");
    }
}

#[tokio::test]
async fn a_dropped_try_is_killed() {
    let rig = rig();
    let mut assignment = rig.assignment(Input::Command(stubborn(&rig)));
    // Nobody is left to wait for it, so there is no grace.
    assignment.grace_ms = 600_000;
    let attempt = support::attempt(&Exec::new(rig.keeper.clone()), assignment);
    let mut all = members(&rig).await;
    all.push(attempt.warden().await);
    attempt.ended.abort();
    for one in all {
        until(&format!("{} is gone without a trace", one.pid), || !is_there(one)).await;
    }
}

#[tokio::test]
async fn a_signal_to_the_main_process_is_not_taken_for_ours() {
    let rig = rig();
    let main = rig.path("main");
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &scripted(&format!("mark {main} hang")));
    support::signal(rig.marked("main").await, Signal::SIGTERM);
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert_eq!(ended.detail, "ended by SIGTERM, which Wheelhouse did not send");
}
