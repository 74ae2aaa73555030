//! Many at once: each gets its own output, nobody is left over, and each costs little.

use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::keep::{self, Report};
use wheelhouse_core::outcome::Outcome;

use crate::support::{parent, rig, until};

/// What one kept agent may cost in memory of ours: half of what the product promises, warden and keeper alone.
const WARDEN_BYTES_MAX: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_keep_apart() {
    let rig = rig();
    let exec = Exec::new(rig.keeper.clone());
    let attempts: Vec<_> = (0..100)
        .map(|n| rig.attempt(&exec, &format!("echo {n}; sleep 0.05; echo {n} >&2; exit $(({n} % 2))")))
        .collect();
    for (n, attempt) in attempts.into_iter().enumerate() {
        let ended = attempt.end().await;
        let expected = if n % 2 == 0 {
            Outcome::Succeeded
        } else {
            Outcome::Crashed
        };
        assert_eq!(ended.outcome, expected);
        assert_eq!(
            ended.outputs,
            [format!("{n}\n").into_bytes(), format!("{n}\n").into_bytes()]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_zombie_is_left() {
    let rig = rig();
    let mut kept = rig.keeper.spawn(rig.command(&["sleep", "1000"])).await.unwrap();
    let keeper = parent(kept.warden.pid).unwrap();
    let exec = Exec::new(rig.keeper.clone());
    let attempts: Vec<_> = (0..20).map(|_| rig.attempt(&exec, "sleep 1000 & true")).collect();
    for attempt in attempts {
        assert_eq!(attempt.end().await.outcome, Outcome::Succeeded);
    }
    let children = || std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let one = format!("{} ", kept.warden.pid);
    until("only the warden that is needed is left, not even as a zombie", || {
        children() == one
    })
    .await;
    kept.control.order(keep::Strength::Kill);
    while kept.control.next().await != (Report::Gone { left: 0 }) {}
    until("and then none", || children().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warden_costs_little() {
    let rig = rig();
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(rig.keeper.spawn(rig.command(&["sleep", "1000"])).await.unwrap());
    }
    let own_bytes = |pid: u32| -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes << 10
    };
    let keeper = own_bytes(parent(all[0].warden.pid).unwrap());
    let wardens: u64 = all.iter().map(|kept| own_bytes(kept.warden.pid)).sum();
    let each = (wardens + keeper) / all.len() as u64;
    println!("one kept agent costs {each} bytes of ours (keeper {keeper})");
    assert!(each < WARDEN_BYTES_MAX, "{each} bytes for one kept agent");
}
