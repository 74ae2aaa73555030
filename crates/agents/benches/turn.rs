//! What one turn of a real agent costs through Wheelhouse: the backend and the same command line by hand, one after
//! the other in the same run, against the fake model. Needs `WHEELHOUSE_REAL_AGENTS`; without it nothing is measured.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wheelhouse_agents::claude::{self, Claude};
use wheelhouse_agents::codex::{self, Codex, Mode};
use wheelhouse_core::agent::{Agent, Assignment};

#[expect(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/programs/real.rs"]
mod real;
#[expect(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/programs/rig.rs"]
mod rig;

/// Pairs of runs; the median of each side counts.
const ROUNDS: usize = 15;
/// The goal: this part of the time by hand.
const GOAL: f64 = 1.05;
const PROMPT: &str = "[[say:Hello there.]]";

fn main() -> std::io::Result<()> {
    if std::env::var_os(real::INSTALLED).is_none() {
        println!("{} is not set; nothing is measured", real::INSTALLED);
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    println!(
        "{:<14} {:>12} {:>12} {:>7}",
        "agent", "by hand ms", "backend ms", "ratio"
    );
    let place = real::Place::new();
    let mut config = claude::Config::new("claude");
    config.env.insert("ANTHROPIC_BASE_URL".to_owned(), place.api.base_url());
    for (name, value) in [
        ("ANTHROPIC_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ] {
        config.env.insert(name.to_owned(), value.to_owned());
    }
    let assignment = place.assignment(PROMPT);
    let env = config.env.clone();
    let by_hand = || {
        let arguments = [
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            "--include-partial-messages",
        ];
        command(&assignment, "claude", &arguments, &env)
    };
    let agent = runtime.block_on(async { Claude::new(rig::keeper(), config) });
    report("claude", &runtime, &agent, &assignment, by_hand)?;

    let mut config = codex::Config::new("codex");
    config.mode = Mode::Exec;
    config.env.insert("OPENAI_API_KEY".to_owned(), "test-key".to_owned());
    config.model = Some("gpt-5.5".to_owned());
    for setting in [
        "model_provider=\"fake\"".to_owned(),
        "model_providers.fake.name=\"fake\"".to_owned(),
        format!("model_providers.fake.base_url=\"{}\"", place.api.openai_url()),
        "model_providers.fake.env_key=\"OPENAI_API_KEY\"".to_owned(),
        "model_providers.fake.wire_api=\"responses\"".to_owned(),
    ] {
        config.extra_args.extend(["-c".to_owned(), setting]);
    }
    let env = config.env.clone();
    let settings = config.extra_args.clone();
    let by_hand = || {
        let mut arguments = vec![
            "exec",
            "--json",
            "--skip-git-repo-check",
            "-c",
            "features.plugins=false",
        ];
        arguments.extend(["--sandbox", "workspace-write", "--model", "gpt-5.5"]);
        arguments.extend(settings.iter().map(String::as_str));
        arguments.push("-");
        command(&assignment, "codex", &arguments, &env)
    };
    let mut served = config.clone();
    served.mode = Mode::AppServer;
    let agent = runtime.block_on(async { Codex::new(rig::keeper(), config) });
    report("codex exec", &runtime, &agent, &assignment, by_hand)?;
    let agent = runtime.block_on(async { Codex::new(rig::keeper(), served) });
    report("codex app", &runtime, &agent, &assignment, by_hand)
}

fn report(
    name: &str,
    runtime: &tokio::runtime::Runtime,
    agent: &dyn Agent,
    assignment: &Assignment,
    by_hand: impl Fn() -> Command,
) -> std::io::Result<()> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut child = by_hand().spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(PROMPT.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        theirs.push(start.elapsed());
        if !output.status.success() {
            return Err(std::io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let start = Instant::now();
        let (ended, _) = runtime.block_on(async { rig::Try::begin(agent, assignment.clone()).end().await });
        ours.push(start.elapsed());
        if !ended.outcome.is_success() {
            return Err(std::io::Error::other(ended.detail));
        }
    }
    let (theirs, ours) = (median(theirs), median(ours));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let mark = if ratio > GOAL { "  above the goal" } else { "" };
    println!(
        "{name:<14} {:>12} {:>12} {ratio:>7.3}{mark}",
        theirs.as_millis(),
        ours.as_millis()
    );
    Ok(())
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort();
    spans[spans.len() / 2]
}

fn command(
    assignment: &Assignment,
    program: &str,
    arguments: &[&str],
    env: &std::collections::BTreeMap<String, String>,
) -> Command {
    let path = assignment.env.get("PATH").map(String::as_str).unwrap_or_default();
    let found = path
        .split(':')
        .map(|directory| std::path::Path::new(directory).join(program))
        .find(|path| path.exists());
    let mut command = Command::new(found.unwrap_or_else(|| program.into()));
    command
        .args(arguments)
        .env_clear()
        .envs(&assignment.env)
        .envs(env)
        .current_dir(&assignment.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
