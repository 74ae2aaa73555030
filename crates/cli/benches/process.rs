//! What the whole program takes when somebody starts it: `cargo bench -p wheelhouse-cli --bench process`.
//!
//! Starts the binary that is installed, in a project of its own: how fast it is there, how fast it answers, what an
//! idle engine takes, and what five hundred sessions at once take of memory that is ours. The baseline of a cold start
//! is `/bin/true`, of a session the agent's own process; both are measured in the same run. Reads `/proc`: Linux.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How many agents there are at once.
const SESSIONS: usize = 500;
/// How many tasks the store holds when `status` is asked.
const TASKS_STORED: usize = 10_000;
/// How long the idle engine is watched.
const IDLE: Duration = Duration::from_secs(10);
/// How often a start is repeated; the median is told.
const STARTS: usize = 21;
/// What somebody would wait at most.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    println!(
        "load at the start: {}",
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
    starts();
    status();
    idle();
    sessions();
    println!(
        "load at the end: {}",
        std::fs::read_to_string("/proc/loadavg").unwrap().trim()
    );
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("home")).unwrap();
        std::fs::create_dir(root.path().join("project")).unwrap();
        Place { root }
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project().join(name), text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
        command
            .args(words)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path().join("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Option<i32> {
        self.command(words).status().unwrap().code()
    }
}

/// The median of some repetitions, in milliseconds.
fn median(mut once: impl FnMut() -> Duration) -> f64 {
    let mut all: Vec<Duration> = (0..STARTS).map(|_| once()).collect();
    all.sort();
    all[STARTS / 2].as_secs_f64() * 1_000.0
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// The moment of an event, in milliseconds of the wall clock; events of this run alone are asked for.
fn first_claim_ms(place: &Place) -> u128 {
    let output = place
        .command(&["events", "--json"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let claimed = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|event| event["event"] == "task_claimed")
        .unwrap();
    let at: jiff::Timestamp = claimed["at"].as_str().unwrap().parse().unwrap();
    u128::try_from(at.as_millisecond()).unwrap()
}

fn starts() {
    let place = Place::new();
    let bare = median(|| timed(|| assert!(Command::new("/bin/true").status().unwrap().success())));
    let version = median(|| timed(|| assert_eq!(place.run(&["--version"]), Some(0))));
    println!(
        "start of /bin/true: {bare:.1} ms; `wheelhouse --version`: {version:.1} ms, {:.1} times",
        version / bare
    );
    place.write("one.yaml", "tasks: [{id: one, exec: 'true'}]");
    // The state is there: what is measured is a start, not the first ever.
    assert_eq!(place.run(&["run", "one.yaml"]), Some(0));
    let whole = median(|| timed(|| assert_eq!(place.run(&["run", "one.yaml"]), Some(0))));
    // From the start of the process to the claim of its first task: the engine is up, the plan read and stored.
    let cold = median(|| {
        let place = Place::new();
        place.write("one.yaml", "tasks: [{id: one, exec: 'true'}]");
        let begun = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(place.run(&["run", "one.yaml"]), Some(0));
        let claimed = first_claim_ms(&place).saturating_sub(begun.as_millis());
        Duration::from_millis(u64::try_from(claimed).unwrap())
    });
    println!("cold start of the engine, to its first claim, state made on the way: {cold:.0} ms (goal: under 50)");
    println!("`wheelhouse run` of one command that does nothing, whole: {whole:.1} ms");
}

fn status() {
    let place = Place::new();
    let mut plan = String::from("name: many\ntasks:\n  - {id: gate, exec: 'true', approval: true}\n");
    for n in 1..TASKS_STORED {
        writeln!(plan, "  - {{id: t{n}, exec: 'true', needs: [gate]}}").unwrap();
    }
    place.write("many.yaml", &plan);
    assert_eq!(place.run(&["run", "many.yaml"]), Some(3), "it waits for approval");
    for words in [
        &["status"][..],
        &["status", "r1"],
        &["status", "t77"],
        &["status", "--json"],
    ] {
        let took = median(|| timed(|| assert_eq!(place.run(words), Some(0))));
        println!(
            "`wheelhouse {}` with {TASKS_STORED} tasks stored: {took:.1} ms (goal: under 15)",
            words.join(" ")
        );
    }
}

fn field(pid: u32, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Voluntary context switches of every thread: how often something woke up and went to sleep again.
fn wakes(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ids = tasks
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.map(|id| field(id, "status", "voluntary_ctxt_switches")).sum()
}

/// Every process, by its parent.
fn children() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) {
            let parent = u32::try_from(field(pid, "status", "PPid")).unwrap();
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// A process and everything below it.
fn tree(root: u32) -> Vec<u32> {
    let children = children();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        found.extend(children.get(&found[at]).into_iter().flatten());
        at += 1;
    }
    found
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Asks it to end, as a service manager does, and waits.
fn stop(mut engine: Child) {
    let pid = nix::unistd::Pid::from_raw(engine.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    engine.wait().unwrap();
}

fn idle() {
    let place = Place::new();
    place.write("one.yaml", "tasks: [{id: one, exec: 'true'}]");
    assert_eq!(place.run(&["run", "one.yaml"]), Some(0));
    let engine = place.command(&["serve"]).spawn().unwrap();
    until(|| place.project().join(".wheelhouse/engine.sock").exists() && tree(engine.id()).len() > 1);
    // What a start leaves to be done is done within this time; only then is it idle.
    std::thread::sleep(Duration::from_secs(2));
    let all = tree(engine.id());
    let before: BTreeMap<u32, u64> = all.iter().map(|pid| (*pid, wakes(*pid))).collect();
    std::thread::sleep(IDLE);
    let woke: u64 = all.iter().map(|pid| wakes(*pid) - before[pid]).sum();
    let rss: u64 = all.iter().map(|pid| field(*pid, "status", "VmRSS")).sum();
    let pss: u64 = all.iter().map(|pid| field(*pid, "smaps_rollup", "Pss")).sum();
    println!(
        "idle engine, {} processes: {:.1} MB resident, {:.1} MB as its share (goal: under 30), \
         {woke} wake-ups in {} s (goal: none without cause)",
        all.len(),
        rss as f64 / 1_024.0,
        pss as f64 / 1_024.0,
        IDLE.as_secs()
    );
    stop(engine);
}

fn is_agent(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("scripted-agent"))
}

fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

fn sessions() {
    let place = Place::new();
    let agent = wheelhouse_testkit::script::program();
    let here = place.project().join("here");
    std::fs::create_dir(&here).unwrap();
    let mut plan = String::from("name: crowd\ntasks:\n");
    for n in 0..SESSIONS {
        writeln!(
            plan,
            "  - {{id: s{n}, exec: 'exec {} mark here/{n} hang', timeout: 20m, idle_timeout: 20m}}",
            agent.display()
        )
        .unwrap();
    }
    place.write("crowd.yaml", &plan);
    let begun = Instant::now();
    let engine = place
        .command(&[
            "run",
            "crowd.yaml",
            "--max-parallel",
            &SESSIONS.to_string(),
            "--set",
            "grace=1s",
        ])
        .spawn()
        .unwrap();
    until(|| count(&here) >= 1);
    let first = begun.elapsed();
    until(|| count(&here) >= SESSIONS);
    let all = begun.elapsed();
    let (agents, ours): (Vec<u32>, Vec<u32>) = tree(engine.id()).into_iter().partition(|pid| is_agent(*pid));
    let memory = |pids: &[u32]| pids.iter().map(|pid| field(*pid, "smaps_rollup", "Pss")).sum::<u64>() as f64 / 1_024.0;
    println!(
        "{} sessions at once: all under way after {:.2} s, {:.0} starts/s after the first",
        agents.len(),
        all.as_secs_f64(),
        (SESSIONS - 1) as f64 / (all - first).as_secs_f64()
    );
    println!(
        "of our own, in {} processes: {:.0} MB, {:.2} MB for each session (goal: under 2); the agents themselves: {:.2} MB each",
        ours.len(),
        memory(&ours),
        memory(&ours) / SESSIONS as f64,
        memory(&agents) / SESSIONS as f64
    );
    let before: u64 = ours.iter().map(|pid| wakes(*pid)).sum();
    std::thread::sleep(IDLE);
    let woke = ours.iter().map(|pid| wakes(*pid)).sum::<u64>() - before;
    println!("while they all wait, in {} s: {woke} wake-ups of ours", IDLE.as_secs());
    let begun = Instant::now();
    stop(engine);
    until(|| !agents.iter().any(|pid| is_agent(*pid)));
    println!(
        "asked to stop, all {SESSIONS} are gone after {:.2} s",
        begun.elapsed().as_secs_f64()
    );
}
