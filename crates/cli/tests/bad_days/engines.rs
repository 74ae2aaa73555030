//! Engines that are stopped, killed, doubled: one does the work of a state directory, and whoever is left goes on.

use nix::sys::signal::Signal;

use crate::stage::{Stage, wait_for};

/// Waits for a file, then says so; with what needs it.
fn waiting(name: &str) -> String {
    format!(
        "name: {name}\ntasks:\n  - {{id: {name}, exec: 'while [ ! -e go ]; do sleep 0.02; done; echo {name}'}}\n  \
         - {{id: {name}-then, exec: 'echo then', needs: [{name}]}}\n"
    )
}

fn until_running(stage: &Stage, keys: &[&str]) {
    wait_for(&format!("{keys:?} to run"), || {
        let document = stage.json(&["status"]).to_string();
        keys.iter()
            .all(|key| document.contains("running") && stage.json(&["status", key])["task"]["state"] == "running")
    });
}

fn assert_settled_once(stage: &Stage, count: usize) {
    let ran = stage.run(&["events", "--json"]);
    let mut done: Vec<String> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["event"] == "task_done")
        .map(|event| event["task"].to_string())
        .collect();
    done.sort();
    assert_eq!(done.len(), count, "{done:?}");
    done.dedup();
    assert_eq!(done.len(), count, "no task is settled twice: {done:?}");
}

#[test]
fn of_two_runs_one_hosts_the_other_follows_and_both_finish() {
    let stage = Stage::new();
    stage.write("a.yaml", waiting("a"));
    stage.write("b.yaml", waiting("b"));
    let first = stage.start(&["run", "a.yaml"]);
    until_running(&stage, &["a"]);
    let second = stage.start(&["run", "b.yaml"]);
    second.until_said(&format!("an engine is running in process {}", first.pid()));
    until_running(&stage, &["a", "b"]);
    stage.write("go", "");
    assert_eq!(second.done().code, Some(0));
    assert_eq!(first.done().code, Some(0));
    assert_settled_once(&stage, 4);
    stage.assert_clean();
}

#[test]
fn when_the_host_is_killed_the_follower_takes_over_and_resume_has_the_rest() {
    let stage = Stage::new();
    stage.write("a.yaml", waiting("a"));
    stage.write("b.yaml", waiting("b"));
    let first = stage.start(&["run", "a.yaml"]);
    until_running(&stage, &["a"]);
    let second = stage.start(&["run", "b.yaml"]);
    until_running(&stage, &["b"]);
    first.signal(Signal::SIGKILL);
    first.done();
    // What the dead engine ran is over, and the follower runs its own again.
    wait_for("the second try", || {
        let document = stage.json(&["status", "b"]);
        document["attempts"][0]["begun"] == 2 && document["task"]["state"] == "running"
    });
    stage.write("go", "");
    let second = second.done();
    assert_eq!(second.code, Some(0), "{second:#?}");
    assert_eq!(stage.run(&["resume"]).code, Some(0));
    assert_settled_once(&stage, 4);
    stage.assert_clean();
}

#[test]
fn many_engines_started_at_once_share_one_seat() {
    const CROWD: usize = 6;
    let stage = Stage::new();
    let engines: Vec<_> = (0..CROWD)
        .map(|n| {
            let name = format!("p{n}.yaml");
            stage.write(
                &name,
                format!(
                    "tasks: [{{id: t{n}, exec: 'echo {n} >> effects'}}, {{id: u{n}, exec: 'true', needs: [t{n}]}}]"
                ),
            );
            stage.start(&["run", &name])
        })
        .collect();
    for engine in engines {
        let ran = engine.done();
        assert_eq!(ran.code, Some(0), "{ran:#?}");
    }
    let mut effects: Vec<String> = stage.read("effects").lines().map(str::to_owned).collect();
    effects.sort();
    assert_eq!(effects, ["0", "1", "2", "3", "4", "5"]);
    assert_settled_once(&stage, 2 * CROWD);
    stage.assert_clean();
}

#[test]
fn an_engine_that_stands_still_past_its_leases_harms_nothing_when_it_wakes() {
    let stage = Stage::new();
    stage.write("a.yaml", waiting("a"));
    let engine = stage.start(&["run", "a.yaml"]);
    until_running(&stage, &["a"]);
    // Stopped, as by a laptop that sleeps: it holds the seat, so nobody takes its work.
    engine.signal(Signal::SIGSTOP);
    let refused = stage.run(&["serve"]);
    assert_eq!(refused.code, Some(75), "{refused:#?}");
    assert!(refused.stderr.contains("wheelhouse watch"), "{refused:#?}");
    stage.write("go", "");
    engine.signal(Signal::SIGCONT);
    let ran = engine.done();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_settled_once(&stage, 2);
    stage.assert_clean();
}

#[test]
fn asked_once_to_stop_it_returns_its_tasks_and_resume_finishes_them() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let stage = Stage::new();
        stage.write("a.yaml", waiting("a"));
        let engine = stage.start(&["run", "a.yaml"]);
        until_running(&stage, &["a"]);
        engine.signal(signal);
        let ran = engine.done();
        assert_eq!(ran.code, Some(130), "{ran:#?}");
        assert!(ran.stdout.contains("`wheelhouse resume` goes on"), "{ran:#?}");
        assert_eq!(stage.task_state("a"), "ready");
        wait_for("its processes to be gone", || stage.processes().is_empty());
        stage.write("go", "");
        assert_eq!(stage.run(&["resume"]).code, Some(0));
        assert_settled_once(&stage, 2);
        stage.assert_clean();
    }
}

#[test]
fn asked_twice_it_kills_at_once_and_thrice_it_leaves_and_nothing_is_lost_either_way() {
    for times in [2, 3] {
        let stage = Stage::new();
        let deaf = format!(
            "tasks: [{{id: deaf, exec: '{} ignore-term mark deaf daemon deaf-daemon await go'}}, \
             {{id: next, exec: 'true', needs: [deaf]}}]",
            wheelhouse_testkit::script::program().display()
        );
        stage.write("deaf.yaml", deaf);
        let engine = stage.start(&["run", "deaf.yaml", "--set", "grace=10m"]);
        wait_for("it to be deaf", || stage.project().join("deaf-daemon").exists());
        engine.signal(Signal::SIGINT);
        engine.until_said("stopping: nothing new starts");
        engine.signal(Signal::SIGINT);
        engine.until_said("stopping now: what runs is killed");
        if times == 3 {
            engine.signal(Signal::SIGINT);
        }
        let ran = engine.done();
        assert_eq!(ran.code, Some(130), "{ran:#?}");
        wait_for("its processes to be gone", || stage.processes().is_empty());
        stage.write("go", "");
        let resumed = stage.run(&["resume"]);
        assert_eq!(resumed.code, Some(0), "{times}: {resumed:#?}");
        assert_settled_once(&stage, 2);
        stage.assert_clean();
    }
}
