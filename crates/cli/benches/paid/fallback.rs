//! From a model that has failed to the one that is well: the program as people start it, and what the models saw. Between the
//! two lie the end of a try on record, the next claim on record, and a new request.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::model::{BROKEN, Model};
use crate::percentile_ms;

const TASKS: usize = 200;
/// Models that have broken down: each is asked so seldom that it is not left alone.
const BROKEN_MODELS: usize = 25;

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
        "parallel_max = 1\nbreaker.failures = 1000\n{}{}",
        (0..BROKEN_MODELS)
            .map(|n| agent(&format!("broken-{n}"), &format!("{BROKEN}-{n}")))
            .collect::<String>(),
        agent("well", "model-1")
    );
    std::fs::write(root.path().join("wheelhouse.toml"), settings).unwrap();
    let mut plan = "defaults: {retry: 0}\ntasks:\n".to_owned();
    for number in 0..TASKS {
        plan.push_str(&format!(
            "  - {{id: t{number}, agent: broken-{}, fallback: [well], prompt: \"Say hello.\"{}}}\n",
            number % BROKEN_MODELS,
            match number {
                0 => String::new(),
                _ => format!(", needs: [t{}]", number - 1),
            }
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
    // One task after the other: what follows a failure is its fallback.
    let mut times: Vec<Duration> = seen
        .windows(2)
        .filter(|pair| pair[0].model.starts_with(BROKEN) && !pair[1].model.starts_with(BROKEN))
        .map(|pair| pair[1].read.saturating_duration_since(pair[0].answered))
        .collect();
    let (p50, p95) = (percentile_ms(&mut times, 50), percentile_ms(&mut times, 95));
    println!(
        "{} fallbacks: from the failure sent to the next model asked p50 {p50:.2} ms, p95 {p95:.2} ms",
        times.len()
    );
}
