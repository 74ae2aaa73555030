//! The whole program with the real agents against the fake model: three vendors, then a fourth, whose branches are
//! checked and merged. Run by hand: `WHEELHOUSE_REAL_AGENTS=DIR cargo test -- --ignored real_agents`, where
//! `DIR/node_modules/.bin` has the programs (see docs/fake-model-api.md).
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{Cursor, RunId, TaskId};
use wheelhouse_core::store::{Reader, Store, TaskView};
use wheelhouse_store::{SqliteStore, SystemClock};
use wheelhouse_testkit::conformance::history::{Rules, check};
use wheelhouse_testkit::model_api::{Attempt, Finished, ModelApi, Reply, Rule, Script};

mod real;

use real::{Engine, House, PATIENCE, environment, settings_of_the_agents, wait_for};

const PLAN: &str = r#"
name: three-vendors
defaults: {isolation: worktree, merge: queue, timeout: 3m}
tasks:
  - {id: by-claude, agent: claude, prompt: "[[edit:claude.txt:made by claude]]", files: [claude.txt], verify: ["test -e claude.txt"]}
  - {id: by-codex, agent: codex, prompt: "[[edit:codex.txt:made by codex]]", files: [codex.txt], verify: ["test -e codex.txt"]}
  - {id: by-gemini, agent: gemini, model: gemini-2.5-pro, needs: [by-claude, by-codex], prompt: "[[edit:gemini.txt:made by gemini]]",
     files: [gemini.txt], verify: ["test -e gemini.txt && test -e claude.txt && test -e codex.txt"]}
  - {id: by-opencode, agent: opencode, needs: [by-gemini], prompt: "[[edit:opencode.txt:made by opencode]]", verify: ["test -e opencode.txt"]}
"#;

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_of_four_vendors_are_checked_and_merged() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(std::path::PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new("WHEELHOUSE_REAL_AGENTS is not set").to_owned());
    let api = ModelApi::start(Script::new()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (home, project) = (root.path().join("home"), root.path().join("project"));
    fs::create_dir_all(&project).unwrap();
    settings_of_the_agents(&home, &api);
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    let start = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .args(args)
            .current_dir(&project)
            .env_clear()
            .envs(environment(&api))
            .envs([
                ("PATH", path.as_str()),
                ("HOME", home.to_str().unwrap()),
                ("LANG", "C.UTF-8"),
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{program} {args:?}: {done:#?}");
    };
    start("git", &["init", "-q", "-b", "main"]);
    fs::write(project.join("README.md"), "a project\n").unwrap();
    start("git", &["add", "README.md"]);
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
    start("git", &[&identity[..], &["commit", "-q", "-m", "start"]].concat());
    let names: Vec<&str> = environment(&api).iter().map(|(name, _)| *name).collect();
    let pass = [&["PATH", "HOME", "LANG"], &names[..]].concat();
    fs::write(
        project.join("wheelhouse.toml"),
        format!("permissions.allow = [\"*\"]\nenv.pass = {pass:?}\n"),
    )
    .unwrap();
    fs::write(project.join("plan.yaml"), PLAN).unwrap();

    let wheelhouse = env!("CARGO_BIN_EXE_wheelhouse");
    start(wheelhouse, &["run", "plan.yaml"]);
    start(wheelhouse, &["merge", "r1"]);
    for vendor in ["claude", "codex", "gemini", "opencode"] {
        let made = fs::read_to_string(project.join(format!("{vendor}.txt"))).unwrap();
        assert_eq!(made.trim_end(), format!("made by {vendor}"));
    }
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}

/// What Claude Code is told by its prompt: run a plan through the tools it was given, and read what came of it.
const LEAD: &str = r#"[[tool:mcp__wheelhouse__run {"plan":"{name: led, tasks: [{id: a, exec: echo crew}]}"}]][[tool:mcp__wheelhouse__wait {"what":"r1"}]][[tool:mcp__wheelhouse__result {"task":"r1/a"}]][[say:All done.]]"#;

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_claude_leads_a_run_over_mcp() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(std::path::PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new("WHEELHOUSE_REAL_AGENTS is not set").to_owned());
    let api = ModelApi::start(Script::new()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (home, project) = (root.path().join("home"), root.path().join("project"));
    fs::create_dir_all(&project).unwrap();
    fs::create_dir_all(&home).unwrap();
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    let start = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .args(args)
            .current_dir(&project)
            .env_clear()
            .envs(environment(&api))
            .envs([("PATH", path.as_str()), ("HOME", home.to_str().unwrap())])
            .output()
            .unwrap();
        assert!(done.status.success(), "{program} {args:?}: {done:#?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let wheelhouse = env!("CARGO_BIN_EXE_wheelhouse");
    let servers = serde_json::json!({ "mcpServers": { "wheelhouse": { "command": wheelhouse, "args": ["mcp"] } } });
    let config = root.path().join("mcp.json");
    fs::write(&config, servers.to_string()).unwrap();
    let config = format!("--mcp-config={}", config.display());
    let allowed = "mcp__wheelhouse__run,mcp__wheelhouse__wait,mcp__wheelhouse__result";
    let claude = ["-p", LEAD, "--strict-mcp-config", &config, "--allowedTools", allowed];
    let said = start("claude", &claude);
    let told: serde_json::Value =
        serde_json::from_slice(&fs::read(project.join(".wheelhouse/serve.json")).unwrap()).unwrap();
    let pid = told["pid"].as_i64().unwrap().to_string();
    let result = start(wheelhouse, &["result", "r1/a", "--full"]);
    start("kill", &[&pid]);
    assert_eq!((said.trim(), result.as_str()), ("All done.", "crew\n"));
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}

/// What this file alone looks at.
impl House {
    fn reader(&self) -> Box<dyn Reader> {
        let path = self.project().join(".wheelhouse/wheelhouse.db");
        let store = SqliteStore::open(&path, std::sync::Arc::new(SystemClock::new())).unwrap();
        store.reader().unwrap()
    }

    fn tasks(&self) -> Vec<TaskView> {
        self.reader().tasks(RunId(1), 0, 100).unwrap()
    }

    fn events(&self) -> Vec<Event> {
        self.reader().events(Cursor(0), None, 1_000_000).unwrap()
    }

    /// The sessions that the tries of a task began or went on in, in order.
    fn starts(&self, key: &str) -> Vec<Option<String>> {
        let tasks = self.tasks();
        let task = tasks.iter().find(|task| task.key.as_str() == key).unwrap().id;
        let events = self.events().into_iter().filter(|event| event.task == Some(task));
        events
            .filter_map(|event| match event.happened {
                Happened::AttemptStarted { session, .. } => Some(session),
                _ => None,
            })
            .collect()
    }
}

impl Engine {
    fn strike(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits for its end.
    fn end(&mut self, told: &str) -> std::process::ExitStatus {
        let mut status = None;
        wait_for(
            || format!("{told}: the engine's end"),
            || {
                status = self.0.try_wait().unwrap();
                status.is_some()
            },
        );
        status.unwrap()
    }

    /// Kills all below it that are meant.
    fn kill_below(&self, is_meant: impl Fn(&str) -> bool) {
        let meant: Vec<u32> = below(self.0.id())
            .into_iter()
            .filter_map(|(pid, line)| is_meant(&line).then_some(pid))
            .collect();
        assert!(!meant.is_empty(), "nobody to kill: {:#?}", below(self.0.id()));
        for pid in meant {
            // The death of one may have been the end of the other.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

/// The processes below one, with their command lines.
fn below(pid: u32) -> Vec<(u32, String)> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut found = Vec::new();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        found.push((child, String::from_utf8_lossy(&line).replace('\0', " ")));
        found.extend(below(child));
    }
    found
}

/// What is killed, and when.
#[derive(Clone, Copy, Debug)]
enum Blow {
    /// Somebody kills the engine while the model is in the middle of an answer.
    EngineInMidAnswer,
    /// The engine kills itself at a labelled point.
    EngineAt(&'static str),
    /// The keeper goes, with its wardens, in the middle of an answer.
    KeeperInMidAnswer,
    /// The same while the engine stands still at a point.
    KeeperAt(&'static str),
    /// All of the agent's own processes, in the middle of an answer.
    AgentInMidAnswer,
}

fn is_keeper(line: &str) -> bool {
    line.starts_with("wheelhouse keep")
}

/// A settled task, then one that has made its file and is in the middle of its last answer.
fn two_tasks(agent: &str) -> String {
    format!(
        r#"
name: cut-off
defaults: {{agent: {agent}, isolation: worktree, merge: queue, retry: {{max: 2}}, timeout: 10m}}
tasks:
  - {{id: settled, prompt: "[[edit:first.txt:first]]", verify: ["grep -q first first.txt"]}}
  - {{id: cut, needs: [settled], prompt: "[[edit:second.txt:second]][[say:All of it was done, word by word by word.]][[hold:gate]]",
     verify: ["grep -q second second.txt"]}}
"#
    )
}

/// The answers to the second task that stand still.
fn is_held(attempt: &Attempt) -> bool {
    attempt.prompt.contains("[[hold:gate]]") && attempt.tool_rounds > 0 && attempt.status == Some(200)
}

/// Deals the blow and lets everything go on to its end.
fn survives(agent: &str, blow: Blow) {
    let told = format!("{agent}, {blow:?}");
    let house = House::new(Script::new());
    fs::write(house.project().join("plan.yaml"), two_tasks(agent)).unwrap();
    let stop;
    let fault = match blow {
        Blow::EngineAt(point) => {
            house.api.release("gate");
            Some(point)
        }
        Blow::KeeperAt(point) => {
            stop = format!("{point}:stop");
            Some(stop.as_str())
        }
        Blow::EngineInMidAnswer | Blow::KeeperInMidAnswer | Blow::AgentInMidAnswer => None,
    };
    let mut engine = Engine::start(&house, &["run", "plan.yaml"], fault);
    match blow {
        Blow::EngineAt(_) => {}
        Blow::KeeperAt(_) => {
            wait_for(|| format!("{told}: the engine to stand still"), || engine.is_stopped());
            engine.kill_below(is_keeper);
            house.api.release("gate");
            engine.strike(Signal::SIGCONT);
        }
        Blow::EngineInMidAnswer | Blow::KeeperInMidAnswer | Blow::AgentInMidAnswer => {
            let seen = house.api.wait_until(PATIENCE, |all| all.iter().any(is_held));
            let held = seen.unwrap().into_iter().find(is_held).unwrap().number;
            match blow {
                Blow::KeeperInMidAnswer => engine.kill_below(is_keeper),
                Blow::AgentInMidAnswer => engine.kill_below(|line| !is_keeper(line)),
                _ => engine.strike(Signal::SIGKILL),
            }
            // Whoever listened is gone, and nothing has been said to the end.
            let gone = |all: &[Attempt]| {
                let held = all.iter().find(|attempt| attempt.number == held);
                held.is_some_and(|attempt| attempt.finished == Some(Finished::ClientGone))
            };
            house.api.wait_until(PATIENCE, gone).unwrap();
            house.api.release("gate");
        }
    }
    let status = engine.end(&told);
    if matches!(blow, Blow::EngineInMidAnswer | Blow::EngineAt(_)) {
        assert_eq!(status.signal(), Some(9), "{told}: {status:?}");
    }
    house.until_all_processes_are_gone(&told);
    let bought = of_the_first(&house);
    let was_settled = house
        .tasks()
        .iter()
        .any(|task| task.key.as_str() == "settled" && task.state.is_done());
    if !status.success() {
        house.ok(&["resume"]);
    }
    if was_settled {
        assert_eq!(
            of_the_first(&house),
            bought,
            "{told}: what is settled is not asked for again"
        );
    }
    all_is_done(&house, &told);
    // What was cut in mid-answer went on where it was. What was killed at its start may have left no session behind.
    if matches!(
        blow,
        Blow::EngineInMidAnswer | Blow::KeeperInMidAnswer | Blow::AgentInMidAnswer
    ) {
        let starts = house.starts("cut");
        assert!(starts.len() >= 2, "{told}: {starts:?}");
        let sessions: BTreeSet<String> = starts.into_iter().flatten().collect();
        assert_eq!(sessions.len(), 1, "{told}: {sessions:?}");
    }
}

/// How many requests to the model the first task made.
fn of_the_first(house: &House) -> usize {
    let turns = house.api.turns();
    turns
        .iter()
        .filter(|attempt| attempt.prompt.contains("first.txt"))
        .count()
}

/// After whatever happened: both tasks are done and merged once, the history keeps its rules, and nothing runs any more.
fn all_is_done(house: &House, told: &str) {
    let tasks = house.tasks();
    let by_key: BTreeMap<&str, TaskId> = tasks.iter().map(|task| (task.key.as_str(), task.id)).collect();
    for key in ["settled", "cut"] {
        let status: Value = serde_json::from_str(&house.ok(&["status", key, "--json"])).unwrap();
        assert_eq!(status["task"]["outcome"]["class"], "succeeded", "{told}: {status:#}");
    }
    let events = house.events();
    let rules = Rules {
        needs: BTreeMap::from([(by_key["cut"], vec![by_key["settled"]])]),
        running_max: Some(1),
    };
    let wrong = check(&events, &rules);
    assert!(wrong.is_empty(), "{told}: {wrong:#?}");
    let merges = house.git(&["log", "--first-parent", "--format=%s", "main..wheelhouse/r1.merged"]);
    let merges: Vec<&str> = merges.lines().collect();
    assert_eq!(merges, ["Merge r1/cut", "Merge r1/settled"], "{told}: each once");
    house.ok(&["merge", "r1"]);
    for (file, text) in [("first.txt", "first"), ("second.txt", "second")] {
        let made = fs::read_to_string(house.project().join(file)).unwrap();
        assert_eq!(made.trim_end(), text, "{told}");
    }
    assert!(
        house.api.violations().is_empty(),
        "{told}: {:#?}",
        house.api.violations()
    );
    house.until_all_processes_are_gone(told);
    house.ok(&["fsck"]);
}

/// One test for each agent and blow, so that each says alone what broke.
macro_rules! survive {
    ($($name:ident: $agent:literal $blow:expr;)*) => {$(
        #[test]
        #[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
        fn $name() {
            survives($agent, $blow);
        }
    )*};
}

survive! {
    real_agents_claude_engine_killed_in_mid_answer: "claude" Blow::EngineInMidAnswer;
    real_agents_claude_engine_killed_after_a_start: "claude" Blow::EngineAt("after-start:1");
    real_agents_claude_engine_killed_before_it_settles: "claude" Blow::EngineAt("before-settle:2");
    real_agents_claude_keeper_killed_in_mid_answer: "claude" Blow::KeeperInMidAnswer;
    real_agents_claude_keeper_killed_after_a_start: "claude" Blow::KeeperAt("after-start:1");
    real_agents_claude_agent_killed_in_mid_answer: "claude" Blow::AgentInMidAnswer;
    real_agents_opencode_engine_killed_in_mid_answer: "opencode" Blow::EngineInMidAnswer;
    real_agents_opencode_engine_killed_after_a_start: "opencode" Blow::EngineAt("after-start:1");
    real_agents_opencode_engine_killed_before_it_settles: "opencode" Blow::EngineAt("before-settle:2");
    real_agents_opencode_keeper_killed_in_mid_answer: "opencode" Blow::KeeperInMidAnswer;
    real_agents_opencode_keeper_killed_after_a_start: "opencode" Blow::KeeperAt("after-start:1");
    real_agents_opencode_agent_killed_in_mid_answer: "opencode" Blow::AgentInMidAnswer;
}

/// What `doctor --probe` says of the four, by agent.
fn probed(house: &House) -> BTreeMap<String, Value> {
    let words = [
        "doctor", "--yes", "--json", "--probe", "claude", "codex", "gemini", "opencode",
    ];
    // Its exit code is about the whole machine.
    let done = house.ours(&words).output().unwrap();
    let document: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:#?}"));
    let findings = document["findings"].as_array().unwrap().iter();
    let turns = findings.filter(|one| one["area"] == "one turn each");
    turns
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_are_probed_by_doctor() {
    let asked = || Rule::any().says("Answer with the one word");
    let house = House::new(Script::new().rule(asked().reply(Reply::text("ready"))));
    let well = probed(&house);
    assert_eq!(well.len(), 4, "{well:#?}");
    for (agent, turn) in &well {
        let found = turn["found"].as_str().unwrap();
        assert_eq!(turn["health"], "good", "{agent}: {turn}");
        for fact in ["answered in ", "reported ", " token", "named a session"] {
            assert!(found.contains(fact), "{agent}: {fact}: {found}");
        }
    }
    // Each really asked its model, one question each.
    for vendor in ["anthropic", "responses", "gemini", "chat"] {
        let turns = house.api.turns();
        let mut vendors = turns
            .iter()
            .filter_map(|attempt| serde_json::to_value(attempt.vendor).ok());
        assert!(vendors.any(|one| one == vendor), "{vendor}: {turns:#?}");
    }
    assert!(house.api.violations().is_empty(), "{:#?}", house.api.violations());

    // One that talks of something else does not work as asked, and one whose key is wrong is told what to do about it.
    house
        .api
        .set_script(Script::new().rule(asked().reply(Reply::text("Good morning."))));
    for (agent, turn) in probed(&house) {
        assert_eq!(turn["health"], "gap", "{agent}: {turn}");
        assert!(
            turn["found"]
                .as_str()
                .unwrap()
                .contains("did not say `ready`: Good morning."),
            "{agent}: {turn}"
        );
    }
    let refused = Reply::text("ready").fault("401").unwrap();
    house.api.set_script(Script::new().rule(asked().reply(refused)));
    for (agent, turn) in probed(&house) {
        assert_eq!(turn["health"], "gap", "{agent}: {turn}");
        assert!(!turn["found"].as_str().unwrap().contains("answered"), "{agent}: {turn}");
        let next = turn["next"].as_str().unwrap_or_default();
        assert!(
            next.contains(&format!("log in with `{agent}` itself")),
            "{agent}: {turn}"
        );
    }
    house.until_all_processes_are_gone("doctor");
    assert!(!house.project().join(".wheelhouse").exists(), "nothing of it is kept");
}
