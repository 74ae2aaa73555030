//! From a model that has failed to the one that is well: the program as people start it, and what the models saw. Between the
//! two lie the end of a try on record, the next claim on record, and a new request.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::model::{BROKEN, Model};
use crate::percentile_ms;

const TASKS: usize = 200;

pub(crate) fn measure() {
    let model = Model::start(true);
    let root = tempfile::tempdir().unwrap();
    let agent = |name: &str, asks: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"openai-chat\"\nbase_url = \"{}\"\nmodel = \"{asks}\"\nkey_env = \"A_KEY\"\n",
            model.url()
        )
    };
    let settings = format!(
        "parallel_max = 1\nbreaker.failures = 1000\nbreaker.failed_percent = 100\n{}{}",
        agent("broken", BROKEN),
        agent("well", "model-1")
    );
    std::fs::write(root.path().join("wheelhouse.toml"), settings).unwrap();
    let mut plan = "defaults: {retry: 0}\ntasks:\n".to_owned();
    for number in 0..TASKS {
        plan.push_str(&format!(
            "  - {{id: t{number}, agent: broken, fallback: [well], prompt: \"Say hello.\"}}\n"
        ));
    }
    std::fs::write(root.path().join("plan.yaml"), plan).unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_wheelhouse"))
        .args(["run", "plan.yaml"])
        .current_dir(root.path())
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("A_KEY", "sk-bench")])
        .env("HOME", root.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the run failed");
    let mut seen = model.seen.lock().unwrap().clone();
    seen.sort_by_key(|one| one.read);
    // With one task at a time what follows a failure is its fallback, or a task of the same rank.
    let mut times: Vec<Duration> = seen
        .windows(2)
        .filter(|pair| pair[0].model == BROKEN && pair[1].model != BROKEN)
        .map(|pair| pair[1].read.saturating_duration_since(pair[0].answered))
        .collect();
    let (p50, p95) = (percentile_ms(&mut times, 50), percentile_ms(&mut times, 95));
    println!(
        "{} fallbacks: from the failure sent to the next model asked p50 {p50:.2} ms, p95 {p95:.2} ms",
        times.len()
    );
}
