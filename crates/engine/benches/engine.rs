//! How fast the whole engine does nothing: `cargo bench -p wheelhouse-engine --bench engine`.
//!
//! Tasks whose agent answers at once, through the real engine on SQLite at `synchronous=FULL`, DAG promotion, leases,
//! tries, results and events included. The baseline is LangGraph with its SQLite checkpointer at the same durability,
//! run in between by `benches/peers/langgraph_sqlite.py` when `WHEELHOUSE_BENCH_PYTHON` names a Python that has it;
//! the second baseline, the same SQL without us, is in the store's benchmark. Ratios are of the same run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wheelhouse_core::agent::{Agent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Roster, Sink};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{AgentName, Cursor, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{RunSpec, TaskSpec};
use wheelhouse_core::store::{Command, Reply, Store, TaskResult};
use wheelhouse_core::usage::{Cost, Usage};
use wheelhouse_engine::lock::StateLock;
use wheelhouse_engine::{Ending, Ports, Settings, Until, run};
use wheelhouse_store::{SqliteStore, SystemClock};

const PARALLEL: u32 = 256;

struct NoOp;

impl Agent for NoOp {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn attempt(&self, _: Assignment, _: Box<dyn Inbox>, _: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        Box::pin(async {
            Ended {
                outcome: Outcome::Succeeded,
                detail: String::new(),
                result: TaskResult::default(),
                outputs: Vec::new(),
                usage: Usage::default(),
                cost: Cost::Free,
                session: None,
            }
        })
    }
}

struct Crew;

impl Roster for Crew {
    fn agent(&self, _: &AgentName) -> Option<Arc<dyn Agent>> {
        Some(Arc::new(NoOp))
    }

    fn names(&self) -> Vec<AgentName> {
        vec!["noop".into()]
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    println!("{:<24} {:>9} {:>10} {:>12}", "shape", "tasks", "tasks/s", "ratio");
    let mut last = BTreeMap::new();
    for (shape, sizes) in [
        (Shape::FanOutIn, &[1_000, 4_000, 10_000, 100_000][..]),
        (Shape::Chains, &[1_000, 10_000, 100_000][..]),
        (Shape::Layers, &[10_000][..]),
    ] {
        for &size in sizes {
            let directory = tempfile::tempdir().unwrap();
            let rate = runtime.block_on(measure(directory.path(), shape, size, PARALLEL)).rate;
            last.insert((format!("{shape:?}"), size), rate);
            println!("{:<24} {size:>9} {rate:>10.0}", format!("{shape:?}"));
            if shape == Shape::FanOutIn
                && size <= 4_000
                && let Some(peer) = langgraph(size)
            {
                println!(
                    "{:<24} {size:>9} {peer:>10.0} {:>11.1}x",
                    "LangGraph, same shape",
                    rate / peer
                );
            }
        }
    }
    let (small, large) = (
        last[&("Chains".to_owned(), 1_000)],
        last[&("Chains".to_owned(), 100_000)],
    );
    println!("cost per task at 100,000 against 1,000 (chains): {:.2}", small / large);
    let directory = tempfile::tempdir().unwrap();
    let chain = runtime.block_on(measure(directory.path(), Shape::OneChain, 1_000, 4));
    println!(
        "completion of a task to the claim of its dependant is on record, one chain: p50 {:.2} ms, p99 {:.2} ms",
        chain.handover_p50, chain.handover_p99
    );
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    /// One, then all but two, then one that needs them all.
    FanOutIn,
    /// A hundred chains side by side.
    Chains,
    /// Layers of a hundred, each task needing three of the layer before.
    Layers,
    /// One after the other.
    OneChain,
}

impl Shape {
    fn needs(self, n: usize, size: usize) -> Vec<usize> {
        match self {
            Shape::FanOutIn if n == 0 => Vec::new(),
            Shape::FanOutIn if n == size - 1 => (1..n).collect(),
            Shape::FanOutIn => vec![0],
            Shape::Chains => n.checked_sub(100).into_iter().collect(),
            Shape::Layers if n < 100 => Vec::new(),
            Shape::Layers => (0..3).map(|k| n - n % 100 - 100 + (n + k * 37) % 100).collect(),
            Shape::OneChain => n.checked_sub(1).into_iter().collect(),
        }
    }
}

struct Measured {
    rate: f64,
    handover_p50: f64,
    handover_p99: f64,
}

async fn measure(directory: &Path, shape: Shape, size: usize, parallel_max: u32) -> Measured {
    let mut store = SqliteStore::open(&directory.join("wheelhouse.db"), Arc::new(SystemClock::new())).unwrap();
    let run_spec = RunSpec {
        name: "bench".to_owned(),
        vars: BTreeMap::new(),
        budget: None,
        source: String::new(),
        standing: false,
    };
    let tasks = (0..size).map(|n| task(n, shape.needs(n, size))).collect();
    let Ok(Reply::Submitted { run: id, .. }) = store
        .commit(&[Command::SubmitRun { run: run_spec, tasks }])
        .unwrap()
        .remove(0)
    else {
        panic!("not taken");
    };
    let mut reader = store.reader().unwrap();
    let settings = Settings {
        project: directory.to_owned(),
        state_dir: directory.to_owned(),
        parallel_max,
        caps: Vec::new(),
        env: BTreeMap::new(),
        router: None,
        default_agent: "noop".into(),
        output_max: 1_000,
        grace_ms: 100,
        go_on: true,
        until: Until::NothingLeft,
        policy: Vec::new(),
        isolation: Default::default(),
        question_timeout_ms: 60_000,
        packet_agents: Default::default(),
        tools: Default::default(),
        context: Default::default(),
        money: wheelhouse_engine::Money::default(),
        fault: None,
    };
    let ports = Ports {
        store: Box::new(store),
        roster: Arc::new(Crew),
        seed: 1,
        notice: Arc::new(|line| println!("{line}")),
        instance_mcp: None,
    };
    let lock = StateLock::acquire(directory).unwrap();
    let (_stop, signals) = mpsc::channel(1);
    let begun = Instant::now();
    let ending = run(settings, ports, lock, signals).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(ending, Ending::NothingLeft);
    let view = reader.run(id).unwrap().unwrap();
    assert_eq!(view.counts.succeeded, size as u64, "every task must be done");
    let (handover_p50, handover_p99) = if shape == Shape::OneChain {
        handovers(&mut *reader, id)
    } else {
        (0.0, 0.0)
    };
    Measured {
        rate: rate(size, took),
        handover_p50,
        handover_p99,
    }
}

/// From the claim of a task to the claim of its dependant, in one chain of tasks that take no time: the whole way
/// from the end of one to the start of the next, by the store's clock (milliseconds).
fn handovers(reader: &mut dyn wheelhouse_core::store::Reader, run: RunId) -> (f64, f64) {
    let events = reader.events(Cursor(0), Some(run), 1_000_000).unwrap();
    let claims: Vec<(TaskId, u64)> = events
        .iter()
        .filter(|event| matches!(event.happened, Happened::TaskClaimed { .. }))
        .filter_map(|event| Some((event.task?, event.at.0)))
        .collect();
    let total = claims.last().unwrap().1 - claims[0].1;
    let mut steps: Vec<u64> = claims.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    steps.sort_unstable();
    let mean = total as f64 / steps.len() as f64;
    // The clock ticks in milliseconds, so the median is taken from the mean when it is below one tick.
    let p50 = (steps[steps.len() / 2] as f64).max(mean);
    (p50, steps[steps.len() * 99 / 100] as f64)
}

fn task(n: usize, needs: Vec<usize>) -> TaskSpec {
    let spec = serde_json::json!({
        "key": format!("t{n}"), "work": {"prompt": "nothing"}, "agent": "noop", "fallback": [], "model": null,
        "role": null, "needs": [], "priority": 0, "files": [], "verify": [], "isolation": "none",
        "timeout_ms": 60_000, "idle_timeout_ms": 60_000, "retry_max": 0, "on_failure": null, "planner": false,
        "approval": false, "env": {}, "cwd": null, "budget": null,
    });
    let mut spec: TaskSpec = serde_json::from_value(spec).unwrap();
    spec.needs = needs.into_iter().map(|need| TaskKey(format!("t{need}"))).collect();
    spec
}

fn rate(tasks: usize, took: Duration) -> f64 {
    tasks as f64 / took.as_secs_f64()
}

fn langgraph(tasks: usize) -> Option<f64> {
    let python = std::env::var_os("WHEELHOUSE_BENCH_PYTHON")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/langgraph_sqlite.py");
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(python)
        .arg(script)
        .arg(tasks.to_string())
        .arg(directory.path())
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
