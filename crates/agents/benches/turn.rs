//! What one turn of a real agent costs through Wheelhouse: the backend and the same agent by hand, as its makers have it
//! started without a terminal, one after the other in the same run, against the fake model. Needs
//! `WHEELHOUSE_REAL_AGENTS`; without it nothing is measured. `-- [--rounds N] [AGENT…]` measures less.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use wheelhouse_agents::acp::{Acp, Recipe, recipe};
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

/// Pairs of runs, after one that does not count; the median of each side counts.
const ROUNDS: usize = 15;
/// The goal: this part of the time by hand.
const GOAL: f64 = 1.05;
const PROMPT: &str = "[[say:Hello there.]]";

/// An agent that is driven, and the same by hand.
struct Contest {
    name: &'static str,
    agent: Box<dyn Agent>,
    by_hand: ByHand,
}

/// A command line as a person would type it.
#[derive(Clone)]
struct ByHand {
    program: &'static str,
    arguments: Vec<String>,
    env: BTreeMap<String, String>,
    /// Whether the prompt goes in on stdin; else it is among the arguments.
    reads_prompt: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os(real::INSTALLED).is_none() {
        println!("{} is not set; nothing is measured", real::INSTALLED);
        return Ok(());
    }
    let (rounds, wanted) = arguments()?;
    let runtime = Runtime::new()?;
    let place = real::Place::new();
    let contests = runtime.block_on(async { contests(&place) })?;
    println!(
        "{:<14} {:>12} {:>12} {:>7}",
        "agent", "by hand ms", "backend ms", "ratio"
    );
    for contest in &contests {
        if wanted.is_empty() || wanted.iter().any(|name| contest.name.starts_with(name)) {
            report(contest, rounds, &runtime, &place.assignment(PROMPT))?;
        }
    }
    Ok(())
}

/// How many rounds, and the agents (all when none is named).
fn arguments() -> Result<(usize, Vec<String>), Box<dyn Error>> {
    let (mut rounds, mut wanted) = (ROUNDS, Vec::new());
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().ok_or("--rounds N")?.parse()?,
            _ => wanted.push(argument),
        }
    }
    Ok((rounds, wanted))
}

fn contests(place: &real::Place) -> Result<Vec<Contest>, Box<dyn Error>> {
    let mut contests = vec![claude(place)];
    contests.extend(codex(place));
    contests.push(gemini(place)?);
    contests.push(opencode(place)?);
    Ok(contests)
}

fn claude(place: &real::Place) -> Contest {
    let mut config = claude::Config::new("claude");
    config.env = pairs(&[
        ("ANTHROPIC_BASE_URL", &place.api.base_url()),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ]);
    let words = "-p --output-format stream-json --verbose --include-partial-messages";
    Contest {
        name: "claude",
        by_hand: ByHand {
            program: "claude",
            arguments: words.split(' ').map(str::to_owned).collect(),
            env: config.env.clone(),
            reads_prompt: true,
        },
        agent: Box::new(Claude::new(rig::keeper(), config)),
    }
}

/// Its one-shots and its server, both beside its one-shots.
fn codex(place: &real::Place) -> [Contest; 2] {
    let mut config = codex::Config::new("codex");
    config.mode = Mode::Exec;
    config.env = pairs(&[("OPENAI_API_KEY", "test-key")]);
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
    let words = "exec --json --skip-git-repo-check -c features.plugins=false --sandbox workspace-write --model gpt-5.5";
    let words = words.split(' ').map(str::to_owned);
    let arguments = words.chain(config.extra_args.iter().cloned()).chain(["-".to_owned()]);
    let by_hand = ByHand {
        program: "codex",
        arguments: arguments.collect(),
        env: config.env.clone(),
        reads_prompt: true,
    };
    let mut served = config.clone();
    served.mode = Mode::AppServer;
    [("codex exec", config), ("codex app", served)].map(|(name, config)| Contest {
        name,
        agent: Box::new(Codex::new(rig::keeper(), config)),
        by_hand: by_hand.clone(),
    })
}

fn gemini(place: &real::Place) -> Result<Contest, Box<dyn Error>> {
    let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"},"folderTrust":{"enabled":false}},
        "general":{"enableAutoUpdate":false},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}"#;
    place.write_home(".gemini/settings.json", settings);
    let mut gemini = known("gemini", place)?;
    gemini.model = Some("gemini-2.5-pro".to_owned());
    gemini.env.extend(pairs(&[
        ("GEMINI_API_KEY", "test-key"),
        ("GOOGLE_GEMINI_BASE_URL", &place.api.base_url()),
    ]));
    // What spares a start is in the recipe's environment and does so on both sides.
    Ok(over_acp("gemini", gemini, &["-m", "gemini-2.5-pro", "-p", PROMPT]))
}

fn opencode(place: &real::Place) -> Result<Contest, Box<dyn Error>> {
    let settings = serde_json::json!({
        "autoupdate": false, "share": "disabled", "model": "fake/fake-model", "small_model": "fake/fake-model",
        "provider": {"fake": {"npm": "@ai-sdk/openai-compatible", "name": "Fake",
            "options": {"baseURL": place.api.openai_url(), "apiKey": "test-key"},
            "models": {"fake-model": {"name": "Fake", "limit": {"context": 200_000, "output": 8_000}}}}},
    });
    place.write_home(".config/opencode/opencode.json", &settings.to_string());
    let mut opencode = known("opencode", place)?;
    opencode.env.extend(pairs(&[("OPENCODE_DISABLE_MODELS_FETCH", "1")]));
    Ok(over_acp("opencode", opencode, &["run", "--format", "json", PROMPT]))
}

fn known(name: &str, place: &real::Place) -> Result<Recipe, Box<dyn Error>> {
    let mut recipe = recipe(name).ok_or("no recipe")?;
    recipe.state_dir = Some(place.state());
    Ok(recipe)
}

fn over_acp(program: &'static str, recipe: Recipe, arguments: &[&str]) -> Contest {
    Contest {
        name: program,
        by_hand: ByHand {
            program,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            env: recipe.env.clone(),
            reads_prompt: false,
        },
        agent: Box::new(Acp::new(rig::keeper(), recipe)),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    pairs.iter().map(own).collect()
}

fn report(contest: &Contest, rounds: usize, runtime: &Runtime, assignment: &Assignment) -> Result<(), Box<dyn Error>> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..=rounds {
        theirs.push(contest.by_hand.time(assignment)?);
        let start = Instant::now();
        let attempt = async { rig::Try::begin(&*contest.agent, assignment.clone()).end().await };
        let (ended, _) = runtime.block_on(attempt);
        ours.push(start.elapsed());
        if !ended.outcome.is_success() {
            return Err(format!("{}: {}", contest.name, ended.detail).into());
        }
    }
    let (theirs, ours) = (median(&mut theirs[1..]), median(&mut ours[1..]));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let mark = if ratio > GOAL { "  above the goal" } else { "" };
    println!(
        "{:<14} {:>12} {:>12} {ratio:>7.3}{mark}",
        contest.name,
        theirs.as_millis(),
        ours.as_millis()
    );
    Ok(())
}

fn median(spans: &mut [Duration]) -> Duration {
    spans.sort();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

impl ByHand {
    /// How long it takes from its start to its end.
    fn time(&self, assignment: &Assignment) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        let mut child = self.command(assignment).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(PROMPT.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let took = start.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && said.contains("Hello there.") {
            return Ok(took);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} by hand: {}: {said}{complaint}", self.program, output.status).into())
    }

    fn command(&self, assignment: &Assignment) -> Command {
        let path = assignment.env.get("PATH").map(String::as_str).unwrap_or_default();
        let mut places = path.split(':').map(|directory| Path::new(directory).join(self.program));
        let found = places.find(|path| path.exists());
        let mut command = Command::new(found.unwrap_or_else(|| self.program.into()));
        let stdin = if self.reads_prompt {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .args(&self.arguments)
            .env_clear()
            .envs(&assignment.env)
            .envs(&self.env)
            .current_dir(&assignment.cwd)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}
