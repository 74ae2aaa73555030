//! `kill -9` at every labelled point of a run of fifty tasks; then `resume`. Nothing may be lost, nothing settled
//! twice, no process left.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use wheelhouse_engine::fault::POINTS;
use wheelhouse_testkit::conformance::history::{Rules, check};

use crate::stage::{Stage, needs, wait_for};

/// Fifty tasks in five layers; each leaves a line with its idempotency key, some are checked.
fn plan() -> String {
    let mut plan = "name: fifty\ntasks:\n".to_owned();
    for n in 0..50 {
        plan.push_str(&format!(
            "  - id: t{n}\n    exec: 'echo \"$WHEELHOUSE_IDEMPOTENCY_KEY\" >> effects; echo did {n}'\n"
        ));
        if n >= 10 {
            plan.push_str(&format!(
                "    needs: [t{}, t{}]\n",
                n - 10,
                n - n % 10 - 10 + (n * 7) % 10
            ));
        }
        if n % 5 == 0 {
            plan.push_str(&format!("    verify: ['grep -q /t{n}/ effects']\n"));
        }
    }
    plan.replace("[t0, t0]", "[t0]")
}

fn dies_and_goes_on(point: &str, passages: &[u32]) {
    for passage in passages {
        let stage = Stage::new();
        stage.write("plan.yaml", plan());
        let died = stage
            .command(&["run", "plan.yaml", "--max-parallel", "8"])
            .env("WHEELHOUSE_FAULT", format!("{point}:{passage}"))
            .output()
            .unwrap();
        assert_eq!(
            died.status.signal(),
            Some(9),
            "{point}:{passage} did not strike: {died:?}"
        );
        let resumed = stage.run(&["resume"]);
        let told = format!("{point}:{passage}\n{}\n{}", resumed.stdout, resumed.stderr);
        assert_eq!(resumed.code, Some(0), "{told}");
        let tasks = stage.tasks();
        if tasks.is_empty() {
            // Killed before the plan was taken: there is nothing to go on with, and it was never said to be taken.
            continue;
        }
        assert!(tasks.iter().all(|task| task.state.is_done()), "{told}");
        let rules = Rules {
            needs: needs(&tasks),
            running_max: Some(8),
        };
        let wrong = check(&stage.events(), &rules);
        assert!(wrong.is_empty(), "{told}\n{wrong:#?}");
        let mut effects: BTreeMap<String, u32> = BTreeMap::new();
        for line in stage.read("effects").lines() {
            *effects.entry(line.to_owned()).or_default() += 1;
        }
        assert_eq!(effects.len(), 50, "every task had its effect, under one key: {told}");
        let again = effects.values().filter(|times| **times > 1).count();
        assert!(
            again <= 8,
            "only what was in flight may be repeated, {again} were: {told}"
        );
        wait_for("the processes to be gone", || stage.processes().is_empty());
        stage.assert_sound();
    }
}

/// Eight isolated tasks whose branches are merged in turn: whatever was merged when the engine died is not merged
/// twice, and nothing is missing in the end.
fn dies_while_merging(point: &str, passages: &[u32]) {
    for passage in passages {
        let stage = Stage::new();
        stage.repository();
        let mut plan = "defaults: {isolation: worktree, merge: queue}\ntasks:\n".to_owned();
        for n in 0..8 {
            let need = if n < 4 {
                String::new()
            } else {
                format!(", needs: [t{}]", n - 4)
            };
            plan.push_str(&format!(
                "  - {{id: t{n}, exec: 'echo {n} > made-{n}', verify: ['test -e made-{n}']{need}}}\n"
            ));
        }
        stage.write("plan.yaml", plan);
        let died = stage
            .command(&["run", "plan.yaml", "--max-parallel", "4"])
            .env("WHEELHOUSE_FAULT", format!("{point}:{passage}"))
            .output()
            .unwrap();
        assert_eq!(
            died.status.signal(),
            Some(9),
            "{point}:{passage} did not strike: {died:?}"
        );
        let resumed = stage.run(&["resume"]);
        let told = format!("{point}:{passage}\n{}\n{}", resumed.stdout, resumed.stderr);
        assert_eq!(resumed.code, Some(0), "{told}");
        let tasks = stage.tasks();
        let rules = Rules {
            needs: needs(&tasks),
            running_max: Some(4),
        };
        let wrong = check(&stage.events(), &rules);
        assert!(wrong.is_empty(), "{told}\n{wrong:#?}");
        let merges = stage.git(&["log", "--first-parent", "--format=%s", "main..wheelhouse/r1.merged"]);
        let mut merged: Vec<&str> = merges.lines().collect();
        merged.sort_unstable();
        let all: Vec<String> = (0..8).map(|n| format!("Merge r1/t{n}")).collect();
        assert_eq!(merged, all, "each once: {told}");
        assert_eq!(stage.run(&["merge", "r1"]).code, Some(0));
        assert!(
            (0..8).all(|n| stage.read(&format!("made-{n}")) == format!("{n}\n")),
            "{told}"
        );
        wait_for("the processes to be gone", || stage.processes().is_empty());
        stage.assert_sound();
    }
}

macro_rules! at {
    ($($name:ident: $dies:ident $point:literal $passages:expr;)*) => {
        $(#[test] fn $name() { $dies($point, &$passages); })*

        #[test]
        fn every_point_is_tried() {
            assert_eq!(POINTS.to_vec(), [$($point),*]);
        }
    };
}

at! {
    started: dies_and_goes_on "started" [1];
    before_commit: dies_and_goes_on "before-commit" [1, 2, 9];
    after_commit: dies_and_goes_on "after-commit" [1, 2, 9];
    after_claim: dies_and_goes_on "after-claim" [1, 11, 50];
    before_start: dies_and_goes_on "before-start" [1, 20];
    after_start: dies_and_goes_on "after-start" [1, 30];
    before_settle: dies_and_goes_on "before-settle" [1, 30];
    before_verify: dies_and_goes_on "before-verify" [1, 7];
    before_merge: dies_while_merging "before-merge" [1, 6];
    after_merge: dies_while_merging "after-merge" [1, 4, 8];
    after_end: dies_and_goes_on "after-end" [1, 25, 50];
    before_end: dies_and_goes_on "before-end" [1];
}
