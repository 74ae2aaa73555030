//! Commands that misbehave: hang, flood, say nothing, fork away, hold their pipes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wheelhouse_testkit::script;

use crate::stage::{Stage, wait_for};

/// The scripted agent as a shell command.
fn agent(steps: &str) -> String {
    format!("{} {steps}", script::program().display())
}

/// A plan of commands: name, steps of the scripted agent, further keys.
fn plan(tasks: &[(&str, &str, &str)]) -> String {
    let mut plan = "name: bad\ndefaults: {retry: {max: 0}}\ntasks:\n".to_owned();
    for (id, steps, more) in tasks {
        let exec = agent(steps);
        plan.push_str(&format!("  - {{id: {id}, exec: '{exec}'{more}}}\n"));
    }
    plan
}

/// The process number that a step wrote down.
fn marked(stage: &Stage, file: &str) -> u32 {
    wait_for(file, || stage.project().join(file).exists());
    stage.read(file).parse().unwrap()
}

/// Whether that process runs. One that is dead and not yet waited for does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn assert_gone(stage: &Stage, files: &[&str]) {
    for file in files {
        let pid = marked(stage, file);
        wait_for(&format!("the end of {file}"), || !runs(pid));
    }
}

#[test]
fn a_command_that_hangs_meets_its_timers_and_its_whole_tree_goes() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        plan(&[
            (
                "silent",
                "ignore-term daemon silent-daemon hidden-daemon silent-hidden background silent-child hang",
                ", idle_timeout: 1500ms, timeout: 5m",
            ),
            (
                "busy",
                "ignore-term daemon busy-daemon hidden-daemon busy-hidden flood 1000 hang",
                ", idle_timeout: 5m, timeout: 1500ms",
            ),
            ("after", "say after", ", needs: [silent]"),
        ]),
    );
    let begun = Instant::now();
    let ran = stage.run(&["run", "plan.yaml", "--set", "grace=300ms"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(stage.outcome("silent"), "stalled");
    assert_eq!(stage.outcome("busy"), "timed_out");
    assert_eq!(stage.outcome("after"), "skipped");
    assert_eq!(stage.json(&["status", "after"])["task"]["outcome"]["cause"], "silent");
    assert_gone(
        &stage,
        &[
            "silent-daemon",
            "silent-hidden",
            "silent-child",
            "busy-daemon",
            "busy-hidden",
        ],
    );
    stage.assert_clean();
}

#[test]
fn what_a_command_leaves_behind_ends_with_it_and_its_open_pipe_holds_nothing_up() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        plan(&[
            ("pipe", "say piped background left-child await left-child", ""),
            (
                "forks",
                "say forked daemon left-daemon hidden-daemon left-hidden await left-daemon await left-hidden",
                "",
            ),
        ]),
    );
    let begun = Instant::now();
    let ran = stage.run(&["run", "plan.yaml", "--set", "grace=300ms"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(stage.run(&["result", "pipe", "--full"]).stdout, "piped\n");
    assert_eq!(stage.run(&["result", "forks", "--full"]).stdout, "forked\n");
    assert_gone(&stage, &["left-child", "left-daemon", "left-hidden"]);
    stage.assert_clean();
}

#[test]
fn an_engine_that_is_killed_takes_daemons_and_deaf_children_with_it() {
    let stage = Stage::new();
    stage.write(
        "plan.yaml",
        plan(&[(
            "deaf",
            "ignore-term daemon deaf-daemon hidden-daemon deaf-hidden background deaf-child mark deaf await go",
            "",
        )]),
    );
    let engine = stage.start(&["run", "plan.yaml", "--set", "grace=300ms"]);
    let files = ["deaf-daemon", "deaf-hidden", "deaf-child", "deaf"];
    let first: Vec<u32> = files.iter().map(|file| marked(&stage, file)).collect();
    engine.signal(nix::sys::signal::Signal::SIGKILL);
    engine.done();
    for pid in first {
        wait_for("the end of the tree", || !runs(pid));
    }
    stage.write("go", "");
    assert_eq!(stage.run(&["resume", "--set", "grace=300ms"]).code, Some(0));
    assert_gone(&stage, &files);
    assert_eq!(stage.json(&["status", "deaf"])["attempts"][0]["begun"], 2);
    stage.assert_clean();
}

/// The most memory that a process ever had, in KiB; 0 when it is gone.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}

fn size(path: &Path) -> u64 {
    let meta = path.symlink_metadata().unwrap();
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| size(&entry.unwrap().path())).sum()
}

#[test]
fn a_flood_is_kept_within_its_limit_in_memory_and_on_disk() {
    const FLOOD: u64 = 200 << 20;
    let stage = Stage::new();
    let steps = format!("say first flood {FLOOD} say last");
    stage.write(
        "plan.yaml",
        plan(&[
            ("flood", &steps, ""),
            ("both", "flood 3000000 flood-errors 3000000", ""),
        ]),
    );
    let mut engine = stage.start(&["run", "plan.yaml", "--set", "output_max=1MiB"]);
    let mut peak = 0;
    wait_for("the end of the flood", || {
        peak = peak.max(peak_kib(engine.pid()));
        engine.is_over()
    });
    let ran = engine.done();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(peak > 1_000 && peak < 128 << 10, "the engine came to {peak} KiB");
    let kept = stage.command(&["result", "flood", "--full"]).output().unwrap().stdout;
    assert!(kept.len() as u64 <= (1 << 20) + 1_000, "{} bytes are kept", kept.len());
    assert!(
        kept.starts_with(b"first\n") && kept.ends_with(b"last\n"),
        "its ends are kept"
    );
    let result = stage.json(&["result", "flood"]);
    assert!(
        result["result"].to_string().contains(&(FLOOD + 11).to_string()),
        "its true size is known: {result}"
    );
    let stored = size(&stage.state_dir());
    assert!(stored < 32 << 20, "the state came to {stored} bytes");
    stage.assert_clean();
}

#[test]
fn what_ends_well_and_says_nothing_is_told_apart() {
    let stage = Stage::new();
    // For a command its exit code decides; of an agent that was asked something, silence is a failure.
    stage.write(
        "plan.yaml",
        format!(
            "{}  - {{id: agent, agent: rehearsal, prompt: 'Think.\n\n      rehearse: empty'}}\n",
            plan(&[
                ("command", "exit 0", ""),
                ("liar", "exit 0", ", verify: ['test -s result.txt']")
            ])
        ),
    );
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(stage.outcome("command"), "succeeded");
    assert_eq!(stage.outcome("liar"), "gate_failed");
    assert_eq!(stage.outcome("agent"), "empty");
    stage.assert_clean();
}

#[test]
fn a_command_that_is_killed_by_somebody_else_is_no_success() {
    let stage = Stage::new();
    let mut plan = plan(&[
        ("shell", "say half signal 11", ""),
        ("rubbish", "garbage 100000 exit 7", ""),
        ("bomb", "mark bomb fork-bomb 60 bombs await go", ", timeout: 2s"),
    ]);
    // Without `exec` it is the shell that tells, by its exit code.
    plan.push_str(&format!(
        "  - {{id: segfault, exec: 'exec {}'}}\n",
        agent("say half signal 11")
    ));
    stage.write("plan.yaml", plan);
    std::fs::create_dir(stage.project().join("bombs")).unwrap();
    let ran = stage.run(&["run", "plan.yaml", "--set", "grace=300ms"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(stage.outcome("segfault"), "killed");
    assert_eq!(stage.outcome("shell"), "crashed");
    assert_eq!(stage.outcome("rubbish"), "crashed");
    assert_eq!(stage.outcome("bomb"), "timed_out");
    let kept = stage.command(&["result", "rubbish", "--full"]).output().unwrap().stdout;
    assert_eq!(kept.len(), 100_000, "what it wrote is kept as it was");
    let bombs: Vec<PathBuf> = std::fs::read_dir(stage.project().join("bombs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(bombs.len() > 30, "{}", bombs.len());
    for path in bombs {
        let pid: u32 = std::fs::read_to_string(path).unwrap().parse().unwrap();
        wait_for("the end of the bomb", || !runs(pid));
    }
    stage.assert_clean();
}
