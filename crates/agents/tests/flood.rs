//! A command that writes a gigabyte: memory and log stay bounded, and the end is reached. Alone in its process: it
//! measures the memory of all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wheelhouse_agents::exec::Exec;
use wheelhouse_agents::keep::Keeper;
use wheelhouse_agents::output::LOG_BYTES_MAX;
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{AgentName, RunId, TaskId, TaskKey};
use wheelhouse_core::outcome::Outcome;

const GIGABYTE: u64 = 1 << 30;
const OUTPUT_MAX: u64 = 1 << 20;

/// What the engine's process may grow by: the kept output, its copy for the store, buffers.
const GROWTH_MAX: u64 = 16 << 20;

/// Two minutes is far more than it takes; a try that hangs is what this is about.
const PATIENCE: Duration = Duration::from_secs(120);

struct Deaf;

impl Sink for Deaf {
    fn event(&self, _event: AgentEvent) {}
}

impl Inbox for Deaf {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(std::future::pending())
    }
}

/// The most memory that this process ever had.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

#[tokio::test]
async fn a_gigabyte_is_taken_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let program = wheelhouse_testkit::script::program();
    let keeper = Keeper::start(PathBuf::from(env!("CARGO_BIN_EXE_keep-for-tests"))).unwrap();
    let exec = Exec::new(Arc::new(keeper));
    let assignment = |command: String| Assignment {
        run: RunId(1),
        task: TaskId(1),
        key: TaskKey::from("flood"),
        attempt: 1,
        agent: AgentName::from("exec"),
        input: Input::Command(command),
        model: None,
        role: None,
        cwd: directory.path().to_owned(),
        env: BTreeMap::new(),
        stdin: None,
        tools: None,
        schema: None,
        session: None,
        mcp_servers: BTreeMap::new(),
        log: Some(log.clone()),
        output_max: OUTPUT_MAX,
        grace_ms: 1_000,
    };
    // A small one first, so that what is loaded once does not count.
    let run = |command: String| {
        tokio::time::timeout(
            PATIENCE,
            exec.attempt(assignment(command), Box::new(Deaf), Arc::new(Deaf)),
        )
    };
    run(format!("{} flood 100000", program.display())).await.unwrap();
    std::fs::remove_file(&log).unwrap();
    let before = peak_bytes();
    let command = format!("exec {} flood {GIGABYTE} complain end say end", program.display());
    let ended = run(command).await.expect("the flood does not end");
    let growth = peak_bytes() - before;
    assert!(growth < GROWTH_MAX, "memory grew by {growth} bytes");
    assert_eq!(ended.outcome, Outcome::Succeeded);
    let output = &ended.result.artifacts[0];
    assert_eq!(output.bytes_written, GIGABYTE + 4);
    assert!(output.bytes <= OUTPUT_MAX && output.bytes > OUTPUT_MAX / 2);
    let text = String::from_utf8(ended.outputs[0].clone()).unwrap();
    assert!(text.starts_with("What is said") && text.ends_with("\nend\n"));
    assert!(text.contains(" bytes dropped here]\n"));
    let written = std::fs::metadata(&log).unwrap().len();
    assert!((LOG_BYTES_MAX..LOG_BYTES_MAX + 200).contains(&written), "{written}");
}
