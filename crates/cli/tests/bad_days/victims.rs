//! The keeper and the agents are killed, at every labelled point of the engine, with agents that speak a real protocol and
//! keep sessions: the engine stands still at the point, its victim is killed, it goes on. And the engine itself is
//! killed while such agents are at work. Nothing that was settled is lost, no process stays, no session is ever in the
//! hands of two.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_engine::fault::POINTS;
use wheelhouse_testkit::conformance::history::{Rules, check};

use crate::stage::{Stage, needs, wait_for};

/// Six tasks, two layers, each in its tree and merged in turn.
fn stage() -> Stage {
    let stage = Stage::new();
    let journal = stage.project().join("journal");
    std::fs::create_dir(&journal).unwrap();
    stage.repository_ignoring("journal\n");
    let agent = wheelhouse_testkit::script::acp_agent();
    stage.write(
        "wheelhouse.toml",
        format!(
            "grace = \"2s\"\n[agents.worker]\nbackend = \"acp\"\ncommand = \"{}\"\nenv = {{ACP_JOURNAL = \"{}\"}}\n",
            agent.display(),
            journal.display()
        ),
    );
    let mut plan = "defaults: {isolation: worktree, merge: queue, retry: {max: 2}}\ntasks:\n".to_owned();
    for n in 0..6 {
        let need = if n < 3 {
            String::new()
        } else {
            format!("    needs: [t{}]\n", n - 3)
        };
        plan.push_str(&format!(
            "  - id: t{n}\n    agent: worker\n    prompt: |\n      Make it.\n      $ sleep 0.2\n      $ echo {n} > made-{n}\n    \
             verify: ['test -e made-{n}']\n{need}"
        ));
    }
    stage.write("plan.yaml", plan);
    stage
}

/// After whatever happened, and `resume`.
fn all_is_well(stage: &Stage, told: &str) {
    let tasks = stage.tasks();
    let unfinished: Vec<_> = tasks
        .iter()
        .filter(|task| stage.outcome(task.key.as_str()) != "succeeded")
        .map(|task| (task.key.clone(), task.state.clone()))
        .collect();
    assert!(unfinished.is_empty(), "{told}: {unfinished:?}");
    let rules = Rules {
        needs: needs(&tasks),
        running_max: Some(3),
    };
    let wrong = check(&stage.events(), &rules);
    assert!(wrong.is_empty(), "{told}: {wrong:#?}");
    assert!(
        !stage.project().join("journal/forked").exists(),
        "{told}: two in one session: {}",
        stage.read("journal/forked")
    );
    let merged = stage.git(&["log", "--first-parent", "--format=%s", "main..wheelhouse/r1.merged"]);
    let mut merged: Vec<&str> = merged.lines().collect();
    merged.sort_unstable();
    let all: Vec<String> = (0..6).map(|n| format!("Merge r1/t{n}")).collect();
    assert_eq!(merged, all, "{told}");
    wait_for("the processes to be gone", || stage.processes().is_empty());
    stage.assert_sound();
}

/// The processes below one, with their command lines.
fn below(pid: u32) -> Vec<(u32, String)> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        found.push((child, String::from_utf8_lossy(&line).replace('\0', " ")));
        found.extend(below(child));
    }
    found
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

fn strike(pid: u32, signal: Signal) {
    // It may be gone by itself.
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Stops the engine at the point, kills what `is_victim` names, and lets it go on.
fn survives(point: &str, passage: u32, victim: &str, is_victim: impl Fn(&str) -> bool) {
    let told = format!("{victim} killed at {point}:{passage}");
    let stage = stage();
    let fault = format!("{point}:{passage}:stop");
    let mut engine = stage.start_with(
        &["run", "plan.yaml", "--max-parallel", "3"],
        &[("WHEELHOUSE_FAULT", &fault)],
    );
    wait_for("the engine to stand still", || {
        is_stopped(engine.pid()) || engine.is_over()
    });
    assert!(
        is_stopped(engine.pid()),
        "{told}: it was never there: {:#?}",
        engine.done()
    );
    for (pid, line) in below(engine.pid()) {
        if is_victim(&line) {
            strike(pid, Signal::SIGKILL);
        }
    }
    strike(engine.pid(), Signal::SIGCONT);
    let ran = engine.done();
    let told = format!("{told}\n{}{}", ran.stdout, ran.stderr);
    if ran.code != Some(0) {
        // Without its keeper an engine may give up; then the next one goes on.
        let resumed = stage.run(&["resume"]);
        assert_eq!(resumed.code, Some(0), "{told}\n{}{}", resumed.stdout, resumed.stderr);
    }
    all_is_well(&stage, &told);
}

#[test]
fn an_agent_is_killed_at_every_point() {
    for point in POINTS {
        survives(point, 1, "agents", |line| line.contains("acp-agent"));
    }
    survives("after-start", 4, "agents", |line| line.contains("acp-agent"));
}

#[test]
fn the_keeper_is_killed_at_every_point() {
    for point in POINTS {
        survives(point, 1, "keeper", |line| line.contains(" keep"));
    }
    survives("after-start", 4, "keeper", |line| line.contains(" keep"));
}

#[test]
fn the_engine_is_killed_at_every_point_with_agents_at_work() {
    for (point, passage) in POINTS
        .iter()
        .map(|point| (*point, 1))
        .chain([("after-start", 5), ("after-commit", 7)])
    {
        let stage = stage();
        let died = stage
            .command(&["run", "plan.yaml", "--max-parallel", "3"])
            .env("WHEELHOUSE_FAULT", format!("{point}:{passage}"))
            .output()
            .unwrap();
        let told = format!("engine killed at {point}:{passage}: {died:?}");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&died.status),
            Some(9),
            "{told}"
        );
        let resumed = stage.run(&["resume"]);
        let told = format!("{told}\n{}{}", resumed.stdout, resumed.stderr);
        assert_eq!(resumed.code, Some(0), "{told}");
        if stage.tasks().is_empty() {
            assert!(!Path::new(&stage.project().join("made-0")).exists());
            continue;
        }
        all_is_well(&stage, &told);
    }
}
