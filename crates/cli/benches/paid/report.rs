//! A report over a month with a million ledger entries.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command as Program, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wheelhouse_core::day::Day;
use wheelhouse_core::ids::{AgentName, OwnerId};
use wheelhouse_core::ledger::{Line, Spending};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::{self, Context, Source};
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, EndedBy, Next, Reply, Settlement, Store, TaskResult};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};
use wheelhouse_store::{ManualClock, SqliteStore};

use crate::percentile_ms;

const ENTRIES: usize = 1_000_000;
/// Tasks of one run.
const RUN: usize = 10_000;
const IN_FLIGHT: u32 = 500;
const STARTS: usize = 9;

const MODELS: [(&str, &str); 4] = [
    ("opus", "claude-opus-4-6"),
    ("sonnet", "claude-sonnet-4-6"),
    ("gpt", "gpt-4o"),
    ("flash", "gemini-2.5-flash"),
];

pub(crate) fn measure() {
    let root = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    fill(root.path());
    println!(
        "{ENTRIES} entries, settled one by one through the store in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    for words in [
        &["report", "--month", "2026-10"][..],
        &["report", "--month", "2026-10", "--json"],
        &["report", "--month", "2026-10", "--csv"],
        &["report", "--month", "2026-10", "--html", "page.html"],
        &["prices", "reprice", "--month", "2026-10"],
    ] {
        let mut times: Vec<Duration> = (0..STARTS).map(|_| start(root.path(), words)).collect();
        println!(
            "`wheelhouse {}`: p50 {:.0} ms",
            words.join(" "),
            percentile_ms(&mut times, 50)
        );
    }
}

fn start(root: &Path, words: &[&str]) -> Duration {
    let begun = Instant::now();
    let status = Program::new(env!("CARGO_BIN_EXE_wheelhouse"))
        .args(words)
        .current_dir(root)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{words:?}");
    begun.elapsed()
}

/// A month of work as the engine books it: each task is claimed and settled with its entry, by a clock that shows that day.
fn fill(root: &Path) {
    std::fs::create_dir_all(root.join(".wheelhouse")).unwrap();
    let first: Day = "2026-10-01".parse().unwrap();
    let clock = Arc::new(ManualClock::new(first.start()));
    let mut store = SqliteStore::open(&root.join(".wheelhouse/wheelhouse.db"), clock.clone()).unwrap();
    let runs = ENTRIES / RUN;
    for run in 0..runs {
        let day_ms = 86_400_000;
        clock.set_wall(Millis(first.start().0 + (30 * day_ms / runs as u64) * run as u64));
        submit(&mut store);
        let mut running = claim(&mut store, Vec::new());
        while !running.is_empty() {
            clock.advance_ms(5_000);
            running = claim(&mut store, running);
        }
    }
}

fn submit(store: &mut SqliteStore) {
    let mut agents: Vec<AgentName> = vec!["exec".into()];
    agents.extend(MODELS.iter().map(|(agent, _)| AgentName::from(*agent)));
    let vars = BTreeMap::new();
    let context = Context {
        agents: &agents,
        default_agent: &agents[1],
        vars: &vars,
        ..Context::default()
    };
    let mut text = "name: many\ntasks:\n".to_owned();
    for number in 0..RUN {
        let (agent, _) = MODELS[number % MODELS.len()];
        let words = ["Review the parser", "Implement the cache", "Fix the crash"][number % 3];
        text.push_str(&format!("  - {{id: t{number}, agent: {agent}, prompt: {words}}}\n"));
    }
    let source = Source {
        name: "p.yaml",
        text: &text,
        format: None,
    };
    let checked = plan::read(&source, &context).unwrap_or_else(|problems| unreachable!("{problems}"));
    let command = Command::SubmitRun {
        run: checked.run,
        tasks: checked.tasks,
    };
    store.commit(&[command]).unwrap().remove(0).unwrap();
}

fn claim(store: &mut SqliteStore, running: Vec<Claimed>) -> Vec<Claimed> {
    let mut batch: Vec<Command> = running.iter().map(settle).collect();
    batch.push(Command::Claim(ClaimRequest {
        owner: OwnerId("bench".to_owned()),
        limit: IN_FLIGHT,
        lease_ms: 60_000,
        borrowed: 0,
        caps: Vec::new(),
        terms: Arc::default(),
    }));
    match store.commit(&batch).unwrap().pop() {
        Some(Ok(Reply::Claimed { tasks, .. })) => tasks,
        other => unreachable!("{other:?}"),
    }
}

fn settle(claimed: &Claimed) -> Command {
    let (_, model) = MODELS
        .iter()
        .find(|(agent, _)| *agent == claimed.agent.as_str())
        .unwrap();
    let line = Line {
        model: Some((*model).to_owned()),
        usage: Usage {
            input: 12_000,
            cache_read: 40_000,
            output: 900 + claimed.lease.task.0 % 500,
            source: UsageSource::Reported,
            ..Usage::default()
        },
        cost: Cost::Priced(2_000_000 + claimed.lease.task.0 % 1_000_000),
        ..Line::default()
    };
    Command::Settle {
        lease: claimed.lease,
        settlement: Box::new(Settlement {
            outcome: Outcome::Succeeded,
            next: Next::Done { continues: false },
            result: TaskResult::default(),
            usage: line.usage,
            cost: line.cost,
            artifacts: Vec::new(),
            new_tasks: Vec::new(),
            learned: None,
            by: EndedBy::Agent,
            spending: Spending {
                account: None,
                kind: "review".to_owned(),
                lines: vec![line],
            },
        }),
    }
}
