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

macro_rules! at {
    ($($name:ident: $point:literal $passages:expr;)*) => {
        $(#[test] fn $name() { dies_and_goes_on($point, &$passages); })*

        #[test]
        fn every_point_is_tried() {
            assert_eq!(POINTS.to_vec(), [$($point),*]);
        }
    };
}

at! {
    started: "started" [1];
    before_commit: "before-commit" [1, 2, 9];
    after_commit: "after-commit" [1, 2, 9];
    after_claim: "after-claim" [1, 11, 50];
    before_start: "before-start" [1, 20];
    after_start: "after-start" [1, 30];
    before_verify: "before-verify" [1, 7];
    after_end: "after-end" [1, 25, 50];
    before_end: "before-end" [1];
}
