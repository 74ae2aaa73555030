//! How long a task's tree takes to make, against `git worktree add` itself: `cargo bench -p wheelhouse-engine --bench
//! worktree`. About a minute.
//!
//! Both make a locked worktree on a new branch of the same commit of the same repository, in turns, so that a busy
//! machine is busy for both. Ours also writes its record. The last line is the end of a try: commit and list.
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
        "{:<14} {:>7} {:>10} {:>10} {:>7}",
        "repository", "trees", "git ms", "ours ms", "ratio"
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
    let (mut theirs, mut ours, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let path = project.join(".wheelhouse/by-git").join(round.to_string());
        let began = Instant::now();
        let branch = format!("by-git/{round}");
        git(
            &project,
            &[
                "worktree",
                "add",
                "-q",
                "--lock",
                "--reason",
                "bench",
                "-b",
                &branch,
                path.to_str().unwrap(),
            ],
        );
        theirs.push(began.elapsed());
        let key = TaskKey(format!("t{round}"));
        let began = Instant::now();
        let tree = trees.create(RUN, &key, 1, &[]).unwrap();
        ours.push(began.elapsed());
        fs::write(tree.path.join("new.txt"), "new").unwrap();
        let began = Instant::now();
        trees.finish(RUN, &key, "work").unwrap();
        ends.push(began.elapsed());
    }
    let (theirs, ours) = (median(theirs), median(ours));
    println!(
        "{:<14} {rounds:>7} {:>10.2} {:>10.2} {:>7.2}",
        format!("{files} files"),
        ms(theirs),
        ms(ours),
        ms(ours) / ms(theirs)
    );
    println!("{:<14} {:>7} {:>10} {:>10.2}", "", "finish", "", ms(median(ends)));
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

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
