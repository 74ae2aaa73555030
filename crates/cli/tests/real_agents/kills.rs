//! `kill -9` of the engine, its keeper or the agent in the middle of a plan, then `resume`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use serde_json::Value;
use wheelhouse_core::ids::TaskId;
use wheelhouse_testkit::conformance::history::{Rules, check};
use wheelhouse_testkit::model_api::{Attempt, Finished, Script};

use crate::real::{Engine, House, PATIENCE, wait_for};

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
    let house = House::new(Script::new());
    let told = format!("{agent}, {blow:?}");
    strike(&house, agent, blow, &told);
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

/// A provider that refuses what breaks its protocol: the history of a session that an agent goes on in may be that, and
/// then the next try begins anew.
fn survives_a_strict_provider(agent: &str, blow: Blow) {
    let house = House::new(Script::new().strict());
    strike(&house, agent, blow, &format!("{agent}, {blow:?}, a strict provider"));
}

fn strike(house: &House, agent: &str, blow: Blow, told: &str) {
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
    let mut engine = Engine::start(house, &["run", "plan.yaml"], fault);
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
    let status = engine.end(told);
    if matches!(blow, Blow::EngineInMidAnswer | Blow::EngineAt(_)) {
        assert_eq!(status.signal(), Some(9), "{told}: {status:?}");
    }
    house.until_all_processes_are_gone(told);
    let bought = of_the_first(house);
    let was_settled = house
        .tasks()
        .iter()
        .any(|task| task.key.as_str() == "settled" && task.state.is_done());
    if !status.success() {
        house.ok(&["resume"]);
    }
    if was_settled {
        assert_eq!(
            of_the_first(house),
            bought,
            "{told}: what is settled is not asked for again"
        );
    }
    all_is_done(house, agent, told);
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
fn all_is_done(house: &House, agent: &str, told: &str) {
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
    let mut violations = house.api.violations();
    // Of a session that it loads, Gemini CLI sends the result of each call twice: its page says so.
    violations.retain(|(_, violation)| agent != "gemini" || violation.code != "result_without_call");
    assert!(violations.is_empty(), "{told}: {violations:#?}");
    house.until_all_processes_are_gone(told);
    house.ok(&["fsck"]);
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_gemini_engine_killed_before_a_strict_provider() {
    survives_a_strict_provider("gemini", Blow::EngineInMidAnswer);
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_opencode_engine_killed_before_a_strict_provider() {
    survives_a_strict_provider("opencode", Blow::EngineInMidAnswer);
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
    real_agents_codex_engine_killed_in_mid_answer: "codex" Blow::EngineInMidAnswer;
    real_agents_codex_engine_killed_after_a_start: "codex" Blow::EngineAt("after-start:1");
    real_agents_codex_engine_killed_before_it_settles: "codex" Blow::EngineAt("before-settle:2");
    real_agents_codex_keeper_killed_in_mid_answer: "codex" Blow::KeeperInMidAnswer;
    real_agents_codex_keeper_killed_after_a_start: "codex" Blow::KeeperAt("after-start:1");
    real_agents_codex_agent_killed_in_mid_answer: "codex" Blow::AgentInMidAnswer;
    real_agents_gemini_engine_killed_in_mid_answer: "gemini" Blow::EngineInMidAnswer;
    real_agents_gemini_engine_killed_after_a_start: "gemini" Blow::EngineAt("after-start:1");
    real_agents_gemini_engine_killed_before_it_settles: "gemini" Blow::EngineAt("before-settle:2");
    real_agents_gemini_keeper_killed_in_mid_answer: "gemini" Blow::KeeperInMidAnswer;
    real_agents_gemini_keeper_killed_after_a_start: "gemini" Blow::KeeperAt("after-start:1");
    real_agents_gemini_agent_killed_in_mid_answer: "gemini" Blow::AgentInMidAnswer;
}
