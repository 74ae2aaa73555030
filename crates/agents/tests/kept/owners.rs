//! Who may be killed: the engine, the keeper, a warden, all together. Nothing is left running.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::keep::{self, Report, STORE_VARIABLE};
use wheelhouse_core::agent::Order;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::ProcessMark;

use crate::support::{EXE, is_there, marked, parent, rig, scripted, signal, until, until_gone};

/// An engine to be killed, with a tree of its own.
struct Owner {
    child: Child,
    keeper: ProcessMark,
    warden: ProcessMark,
    agent: ProcessMark,
    directory: TempDir,
}

impl Owner {
    fn start(store: &str, steps: &str) -> Owner {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(EXE)
            .args(["own", "300", "sh", "-c", &scripted(steps)])
            .current_dir(directory.path())
            .env(STORE_VARIABLE, store)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut numbers = line.split_whitespace().map(|word| word.parse().unwrap());
        let mut next = || keep::mark(numbers.next().unwrap()).unwrap();
        Owner {
            child,
            keeper: next(),
            warden: next(),
            agent: next(),
            directory,
        }
    }

    async fn marked(&self, name: &str) -> ProcessMark {
        marked(&self.directory.path().join(name)).await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn agents_do_not_outlive_their_owner() {
    let mut owner = Owner::start(
        "s-owner",
        "ignore-term daemon daemon hidden-daemon hidden background back hang",
    );
    let mut all = vec![owner.keeper, owner.warden, owner.agent];
    for name in ["daemon", "hidden", "back"] {
        all.push(owner.marked(name).await);
    }
    owner.child.kill().unwrap();
    owner.child.wait().unwrap();
    for one in all {
        until_gone("a process of the owner", one).await;
    }
}

#[tokio::test]
async fn when_a_warden_is_killed_the_keeper_ends_its_tree() {
    let rig = rig();
    let steps = format!(
        "ignore-term mark {} daemon {} hidden-daemon {} hang",
        rig.path("main"),
        rig.path("daemon"),
        rig.path("hidden")
    );
    let exec = Exec::new(rig.keeper.clone());
    let attempt = rig.attempt(&exec, &scripted(&steps));
    let mut all = Vec::new();
    for name in ["main", "daemon", "hidden"] {
        all.push(rig.marked(name).await);
    }
    let warden = attempt.warden().await;
    let keeper = keep::mark(parent(warden.pid).unwrap()).unwrap();
    let other = rig.attempt(&exec, &scripted(&format!("mark {} hang", rig.path("other"))));
    let bystander = rig.marked("other").await;
    signal(warden, Signal::SIGKILL);
    let ended = attempt.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(
        ended.detail.contains("the process that kept it was killed"),
        "{}",
        ended.detail
    );
    for one in all {
        until(&format!("{} is gone without a trace", one.pid), || !is_there(one)).await;
    }
    assert!(keep::is_alive(keeper));
    assert!(keep::is_alive(bystander), "another agent was harmed");
    let next = rig.attempt(&exec, "echo fine").end().await;
    assert_eq!(next.result.summary, "fine");
    drop(other);
}

#[tokio::test]
async fn a_warden_that_is_stuck_does_not_hold_up_a_stop() {
    let rig = rig();
    let steps = format!(
        "ignore-term mark {} daemon {} hang",
        rig.path("main"),
        rig.path("daemon")
    );
    let attempt = rig.attempt(&Exec::new(rig.keeper.clone()), &scripted(&steps));
    let all = [
        rig.marked("main").await,
        rig.marked("daemon").await,
        attempt.warden().await,
    ];
    signal(all[2], Signal::SIGSTOP);
    // Nothing will be heard any more but the clock, so it may run ahead to the deadline.
    tokio::time::pause();
    attempt.orders.send(Order::Stop).unwrap();
    let ended = attempt.ended.await.unwrap();
    tokio::time::resume();
    assert_eq!(ended.outcome, Outcome::Killed);
    for one in all {
        until_gone("a process of the stuck warden", one).await;
    }
}

#[tokio::test]
async fn when_the_keeper_is_killed_agents_go_on_and_the_next_gets_a_new_one() {
    let rig = rig();
    let mut first = rig
        .keeper
        .spawn(rig.command(&["sh", "-c", "while [ ! -e go ]; do sleep 0.01; done; exit 5"]))
        .await
        .unwrap();
    let keeper = keep::mark(parent(first.warden.pid).unwrap()).unwrap();
    signal(keeper, Signal::SIGKILL);
    let mut second = rig.keeper.spawn(rig.command(&["sh", "-c", "exit 6"])).await.unwrap();
    std::fs::write(rig.path("go"), "").unwrap();
    for (kept, code) in [(&mut first, 5), (&mut second, 6)] {
        let Report::Ended(end) = kept.control.next().await else {
            panic!("no end")
        };
        assert_eq!((end.status.code(), end.asked), (Some(code), false));
        assert_eq!(kept.control.next().await, Report::Gone { left: 0 });
    }
    assert!(!keep::is_alive(keeper));
}

#[tokio::test]
async fn requests_to_end_do_not_take_the_guard_away() {
    let owner = Owner::start("s-term", "ignore-term daemon daemon hang");
    let daemon = owner.marked("daemon").await;
    for each in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal(owner.keeper, each);
    }
    // A warden takes them as an order.
    signal(owner.warden, Signal::SIGTERM);
    for one in [owner.agent, daemon, owner.warden] {
        until_gone("a process of the warden", one).await;
    }
    assert!(keep::is_alive(owner.keeper));
}

#[tokio::test]
async fn what_survives_all_three_is_swept() {
    let store = format!("s-sweep-{}", std::process::id());
    let mut owner = Owner::start(&store, "daemon daemon background back mark main hang");
    let neighbour = Owner::start(&format!("{store}-other"), "daemon daemon hang");
    let daemon = owner.marked("daemon").await;
    let back = owner.marked("back").await;
    let main = owner.marked("main").await;
    let spared = neighbour.marked("daemon").await;
    signal(owner.keeper, Signal::SIGKILL);
    signal(owner.warden, Signal::SIGKILL);
    owner.child.kill().unwrap();
    owner.child.wait().unwrap();
    // The kernel ends the main process with its warden; the others have nobody left.
    until_gone("main", main).await;
    assert!(keep::is_alive(daemon));

    let sweep = |store: &str| {
        let output = Command::new(EXE)
            .args(["sweep", store, "200"])
            .env(STORE_VARIABLE, store)
            .output()
            .unwrap();
        // It carries the mark itself, and spares itself.
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(sweep(&store), "2 0\n");
    assert!(!keep::is_alive(daemon) && !keep::is_alive(back));
    assert!(keep::is_alive(spared), "another store's agent was swept");
    assert_eq!(sweep(&store), "0 0\n");
}

#[tokio::test]
async fn the_keeper_ends_when_nobody_needs_it() {
    let rig = rig();
    let mut kept = rig.keeper.spawn(rig.command(&["sleep", "1000"])).await.unwrap();
    let keeper = keep::mark(parent(kept.warden.pid).unwrap()).unwrap();
    kept.control.order(keep::Strength::Kill);
    while kept.control.next().await != (Report::Gone { left: 0 }) {}
    assert!(keep::is_alive(keeper));
    drop(kept);
    drop(rig);
    until("the keeper is gone without a trace", || !is_there(keeper)).await;
}
