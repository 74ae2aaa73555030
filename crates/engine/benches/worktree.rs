//! How long a task's tree takes to make, against `git worktree add` itself: `cargo bench -p wheelhouse-engine --bench
//! worktree`. About a minute.
//!
//! Both make a locked worktree on a new branch of the same commit of the same repository, in turns, so that a busy
//! machine is busy for both. Ours also writes its record. Lower quartiles, and the ratio of the fastest of each: above
//! those the disk's own writing decides. `finish` is the end of a try: commit and list.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_engine::worktree::{Options, Trees};

const RUN: RunId = RunId(1);

fn main() {
    println!(
        "{:<12} {:>6} {:>9} {:>9} {:>7} {:>9} {:>11}",
        "repository", "trees", "git ms", "ours ms", "ratio", "fastest", "finish ms"
    );
    for (files, rounds) in [(20, 60), (1_000, 30), (5_000, 12)] {
        compare(files, rounds);
    }
}

fn compare(files: usize, rounds: usize) {
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().canonicalize().unwrap().join("project");
    fill(&project, files);
    let options = Options::new("bench", environment(&project));
    let trees = Trees::open(&project, &project.join(".wheelhouse"), options)
        .unwrap()
        .unwrap();
    // The run's base is made once a run, by its first tree.
    trees.create(RUN, &TaskKey::from("first"), 1, &[]).unwrap();
    let by_git = |round: usize| {
        let (path, branch) = (
            project.join(".wheelhouse/by-git").join(round.to_string()),
            format!("by-git/{round}"),
        );
        let began = Instant::now();
        let add = ["worktree", "add", "-q", "--lock", "--reason", "bench", "-b", &branch];
        git(&project, &[&add[..], &[path.to_str().unwrap()]].concat());
        began.elapsed()
    };
    let by_us = |key: &TaskKey| {
        let began = Instant::now();
        trees.create(RUN, key, 1, &[]).unwrap();
        began.elapsed()
    };
    let (mut theirs, mut ours, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let key = TaskKey(format!("t{round}"));
        // Whoever comes first finds the disk busier with the round before.
        let made = if round % 2 == 0 {
            theirs.push(by_git(round));
            by_us(&key)
        } else {
            let ours = by_us(&key);
            theirs.push(by_git(round));
            ours
        };
        ours.push(made);
    }
    // Afterwards: it flushes to the disk, which would disturb the others.
    for round in 0..rounds {
        let key = TaskKey(format!("t{round}"));
        fs::write(trees.path(RUN, &key).unwrap().join("new.txt"), "new").unwrap();
        let began = Instant::now();
        trees.finish(RUN, &key, "work").unwrap();
        ends.push(began.elapsed());
    }
    let fastest = ms(ours.iter().min().copied().unwrap()) / ms(theirs.iter().min().copied().unwrap());
    let (theirs, ours) = (ms(quartile(theirs)), ms(quartile(ours)));
    println!(
        "{:<12} {rounds:>6} {theirs:>9.2} {ours:>9.2} {:>7.2} {fastest:>9.2} {:>11.2}",
        format!("{files} files"),
        ours / theirs,
        ms(quartile(ends))
    );
}

fn fill(project: &Path, files: usize) {
    for number in 0..files {
        let directory = project.join(format!("d{}/e{}", number % 10, number % 7));
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join(format!("f{number}.txt")),
            format!("{number}\n").repeat(200),
        )
        .unwrap();
    }
    fs::create_dir_all(project.join(".wheelhouse")).unwrap();
    fs::write(project.join(".wheelhouse/.gitignore"), "*\n").unwrap();
    git(project, &["init", "-q", "-b", "main"]);
    git(project, &["add", "-A"]);
    git(project, &["commit", "-q", "-m", "start"]);
}

fn environment(project: &Path) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").unwrap();
    let home = project.parent().unwrap().display().to_string();
    let pairs = [
        ("PATH", path),
        ("HOME", home),
        ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn git(at: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(at).env_clear().envs(environment(at));
    command.args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org"]);
    let done = command.args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn quartile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 4]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
