//! How fast the store alone settles, promotes and claims: `cargo bench -p wheelhouse-store`. About half a minute.
//!
//! Every line is a whole run at `synchronous=FULL`, driven by one thread with batches of settlements and one claim, as
//! the engine does. The last lines are the same work as bare prepared statements on the same file system, in the same
//! process: what SQLite itself takes, without histories, tries, counters, results or checks.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use tempfile::TempDir;
use wheelhouse_core::ids::{OwnerId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{Edits, Isolation, Merge, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, EndedBy, Next, Reply, Settlement, Store, TaskResult};
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_store::{SqliteStore, SystemClock};

/// Tasks in flight, and so the size of a batch.
const IN_FLIGHT: u32 = 128;

fn main() {
    println!("one commit = up to {IN_FLIGHT} settlements and one claim, synchronous=FULL");
    println!("fsync here: {:.2} ms (median)", fsync_ms());
    println!(
        "{:<22} {:>8} {:>10} {:>9} {:>12} {:>11} {:>11}",
        "shape", "tasks", "tasks/s", "cpu µs", "submit/s", "commit p50", "commit p99"
    );
    for (shape, sizes) in [
        (Shape::Chains, &[1_000, 10_000, 100_000][..]),
        (Shape::FanOutIn, &[1_000, 10_000, 100_000][..]),
        (Shape::Layers, &[10_000][..]),
    ] {
        for size in sizes {
            let measured = drive(shape, *size);
            measured.print(&format!("{shape:?}"), *size);
        }
    }
    let ours = drive(Shape::Chains, 20_000);
    let floor = floor(20_000);
    println!(
        "same SQL without us, 20000 in chains: {:.0} tasks/s",
        rate(20_000, floor)
    );
    println!(
        "ours at the same size: {:.0} tasks/s, {:.2} times the bare statements' time",
        rate(20_000, ours.work),
        ours.work.as_secs_f64() / floor.as_secs_f64()
    );
    claims_among_a_million();
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Many chains side by side.
    Chains,
    /// One, then all but two, then one that needs them all.
    FanOutIn,
    /// Layers of a hundred, each task needing three of the layer before.
    Layers,
}

struct Measured {
    submit: Duration,
    work: Duration,
    /// Of that, what this thread computed: the rest is waiting for the disk and for other programs.
    cpu: Duration,
    commits: Vec<Duration>,
}

impl Measured {
    fn print(&self, name: &str, tasks: usize) {
        let us = self.cpu.as_secs_f64() * 1e6 / tasks as f64;
        println!(
            "{name:<22} {tasks:>8} {:>10.0} {us:>9.1} {:>12.0} {:>8.2} ms {:>8.2} ms",
            rate(tasks, self.work),
            rate(tasks, self.submit),
            percentile_ms(&self.commits, 50),
            percentile_ms(&self.commits, 99),
        );
    }
}

fn rate(tasks: usize, time: Duration) -> f64 {
    tasks as f64 / time.as_secs_f64()
}

fn percentile_ms(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    let place = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[place].as_secs_f64() * 1e3
}

fn drive(shape: Shape, size: usize) -> Measured {
    let directory = TempDir::new().unwrap();
    let mut store = open(directory.path());
    let begun = Instant::now();
    submit(&mut store, shape, size);
    let submit = begun.elapsed();
    let (begun, cpu_begun) = (Instant::now(), cpu());
    let mut commits = Vec::new();
    let mut running = claim(&mut store, Vec::new(), &mut commits);
    let mut done = 0;
    while !running.is_empty() {
        done += running.len();
        running = claim(&mut store, running, &mut commits);
    }
    assert_eq!(done, size, "everything was done");
    Measured {
        submit,
        work: begun.elapsed(),
        cpu: cpu() - cpu_begun,
        commits,
    }
}

fn open(directory: &Path) -> SqliteStore {
    SqliteStore::open(&directory.join("wheelhouse.db"), Arc::new(SystemClock::new())).unwrap()
}

fn submit(store: &mut SqliteStore, shape: Shape, size: usize) {
    let tasks = (0..size)
        .map(|number| task(number, needs(shape, number, size)))
        .collect();
    let run = RunSpec {
        name: "bench".to_owned(),
        vars: BTreeMap::new(),
        budget: None,
        source: "benches/store.rs".to_owned(),
        standing: false,
    };
    let answers = store.commit(&[Command::SubmitRun { run, tasks }]).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
}

fn needs(shape: Shape, number: usize, size: usize) -> Vec<usize> {
    match shape {
        Shape::Chains => number.checked_sub(200).into_iter().collect(),
        Shape::FanOutIn if number == 0 => Vec::new(),
        Shape::FanOutIn if number == size - 1 => (1..size - 1).collect(),
        Shape::FanOutIn => vec![0],
        Shape::Layers if number < 100 => Vec::new(),
        Shape::Layers => {
            let layer = (number / 100 - 1) * 100;
            vec![
                layer + number % 100,
                layer + (number + 7) % 100,
                layer + (number + 31) % 100,
            ]
        }
    }
}

fn task(number: usize, needs: Vec<usize>) -> TaskSpec {
    TaskSpec {
        key: key(number),
        work: Work::Exec("true".to_owned()),
        agent: "exec".into(),
        fallback: Vec::new(),
        deadline_ms: None,
        window_tokens: None,
        confidence_min: None,
        model: None,
        role: None,
        needs: needs.into_iter().map(key).collect(),
        priority: 0,
        files: Vec::new(),
        verify: Vec::new(),
        isolation: Isolation::None,
        merge: Merge::None,
        protect: Vec::new(),
        edits: Edits::Own,
        schema: None,
        timeout_ms: 1_200_000,
        idle_timeout_ms: 180_000,
        retry_max: 2,
        on_failure: None,
        planner: false,
        approval: false,
        env: BTreeMap::new(),
        cwd: None,
        budget: None,
        routed: None,
        flow: Default::default(),
        inputs: Default::default(),
    }
}

fn key(number: usize) -> TaskKey {
    TaskKey(format!("task-{number}"))
}

fn claim(store: &mut SqliteStore, running: Vec<Claimed>, commits: &mut Vec<Duration>) -> Vec<Claimed> {
    let mut batch: Vec<Command> = running.iter().map(settle).collect();
    batch.push(Command::Claim(ClaimRequest {
        owner: OwnerId("bench".to_owned()),
        limit: IN_FLIGHT,
        lease_ms: 60_000,
        borrowed: 0,
        caps: Vec::new(),
        terms: Default::default(),
    }));
    let begun = Instant::now();
    let mut answers = store.commit(&batch).unwrap();
    commits.push(begun.elapsed());
    match answers.pop() {
        Some(Ok(Reply::Claimed { tasks, .. })) => tasks,
        other => unreachable!("{other:?}"),
    }
}

fn settle(claimed: &Claimed) -> Command {
    let settlement = Settlement {
        outcome: Outcome::Succeeded,
        next: Next::Done { continues: false },
        result: TaskResult {
            summary: "exit 0".to_owned(),
            exit_code: Some(0),
            ..TaskResult::default()
        },
        usage: Usage::default(),
        cost: Cost::Free,
        artifacts: Vec::new(),
        new_tasks: Vec::new(),
        learned: None,
        spending: Default::default(),
        by: EndedBy::Agent,
    };
    Command::Settle {
        lease: claimed.lease,
        settlement: Box::new(settlement),
    }
}

/// A million tasks, most of them ready: what one claim takes, alone in its commit.
fn claims_among_a_million() {
    let directory = TempDir::new().unwrap();
    let mut store = open(directory.path());
    let begun = Instant::now();
    for _ in 0..10 {
        submit(&mut store, Shape::Chains, 100_000);
    }
    let loaded = begun.elapsed();
    let mut commits = Vec::new();
    let mut running = claim(&mut store, Vec::new(), &mut commits);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        running = claim(&mut store, running, &mut commits);
    }
    println!(
        "a million rows (loaded in {:.1} s): commit of {IN_FLIGHT} settlements and a claim p50 {:.2} ms, p99 {:.2} ms, \
         {} tasks/s",
        loaded.as_secs_f64(),
        percentile_ms(&commits, 50),
        percentile_ms(&commits, 99),
        commits.len() * IN_FLIGHT as usize / 5
    );
    looks_among_a_million(&store);
}

/// What `status` reads: every run, and of each the first tasks in every state.
fn looks_among_a_million(store: &SqliteStore) {
    let mut looks = Vec::new();
    for _ in 0..20 {
        let begun = cpu();
        let mut reader = store.reader().unwrap();
        for run in reader.runs(20).unwrap() {
            for state in ["running", "held", "ready", "waiting"] {
                reader.tasks_in(run.id, state, 20).unwrap();
            }
        }
        looks.push(cpu() - begun);
    }
    println!(
        "looking at all ten runs of them, from opening on: p50 {:.2} ms of computing",
        percentile_ms(&looks, 50)
    );
}

/// The least that any store must do for a task in a chain: claim it, complete it, promote the next. Ready tasks by a
/// partial index, as one would write it by hand.
fn floor(size: usize) -> Duration {
    let directory = TempDir::new().unwrap();
    let mut connection = Connection::open(directory.path().join("floor.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;
             PRAGMA wal_autocheckpoint = 2000;
             CREATE TABLE task (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, pending INTEGER NOT NULL,
                 fence INTEGER NOT NULL, until INTEGER);
             CREATE INDEX ready ON task (id) WHERE state = 1;
             CREATE TABLE dep (parent INTEGER, child INTEGER, PRIMARY KEY (parent, child)) WITHOUT ROWID;",
        )
        .unwrap();
    let load = connection.transaction().unwrap();
    for id in 0..size {
        let parent = id.checked_sub(200);
        let (state, pending) = if parent.is_some() { (0, 1) } else { (1, 0) };
        load.execute(
            "INSERT INTO task VALUES (?1, ?2, ?3, 0, NULL)",
            params![id, state, pending],
        )
        .unwrap();
        if let Some(parent) = parent {
            load.execute("INSERT INTO dep VALUES (?1, ?2)", [parent, id]).unwrap();
        }
    }
    load.commit().unwrap();
    let begun = Instant::now();
    let mut running: Vec<(i64, i64)> = Vec::new();
    loop {
        let commit = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        for (id, fence) in running.drain(..) {
            let done = "UPDATE task SET state = 4, until = NULL WHERE id = ?1 AND fence = ?2 AND until > 0";
            assert_eq!(commit.prepare_cached(done).unwrap().execute([id, fence]).unwrap(), 1);
            let promote = "UPDATE task SET pending = pending - 1, state = (pending = 1) \
                           WHERE id IN (SELECT child FROM dep WHERE parent = ?1)";
            commit.prepare_cached(promote).unwrap().execute([id]).unwrap();
        }
        let claim = "UPDATE task SET state = 2, fence = fence + 1, until = 1 \
                     WHERE id IN (SELECT id FROM task WHERE state = 1 ORDER BY id LIMIT ?1) RETURNING id, fence";
        let mut claim = commit.prepare_cached(claim).unwrap();
        let claimed = claim
            .query_map([IN_FLIGHT], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        running.extend(claimed.map(Result::unwrap));
        drop(claim);
        commit.commit().unwrap();
        if running.is_empty() {
            return begun.elapsed();
        }
    }
}

fn cpu() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}

fn fsync_ms() -> f64 {
    use std::io::Write;
    let directory = TempDir::new().unwrap();
    let mut file = std::fs::File::create(directory.path().join("f")).unwrap();
    let times: Vec<Duration> = (0..50)
        .map(|_| {
            file.write_all(&[7; 65_536]).unwrap();
            let begun = Instant::now();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    percentile_ms(&times, 50)
}
