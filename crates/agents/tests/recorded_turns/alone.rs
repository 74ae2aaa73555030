//! What only one of the agents does.

use std::collections::BTreeMap;

use wheelhouse_agents::claude::{Claude, Config};
use wheelhouse_core::agent::{AgentEvent, Input, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::cast::{CLAUDE, CODEX, CODEX_EXEC, Recording, Stage};
use crate::rig::{Try, keeper, noticed, text};
use crate::scenarios::{first_text, permission, start};

fn claude(recording: &'static str, fault: &str) -> Stage {
    Stage::new(&CLAUDE, Recording::Whole(recording), fault)
}

#[tokio::test]
async fn claude_a_form_of_an_mcp_server_is_a_question() {
    let stage = claude("claude_mcp_elicitation", "");
    let running = stage.begin();
    let request = running
        .until("a question", |event| match event {
            AgentEvent::Question { request, text } => {
                assert_eq!(text, "log asks: Really? (answer)");
                Some(request.clone())
            }
            _ => None,
        })
        .await;
    running.order(Order::Answer {
        request,
        answer: Reply::Words("yes".into()),
    });
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

#[tokio::test]
async fn claude_words_in_the_middle_interrupt_and_go_on_in_the_same_process() {
    let stage = claude("claude_interrupt", "");
    let running = stage.begin();
    first_text(&running).await;
    running.order(Order::Steer("say hello instead".into()));
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Hello from the fake model.");
    // Both turns were paid for.
    assert_eq!((ended.usage.input, ended.usage.cache_read), (386, 2_000));
    assert_eq!(ended.cost, Cost::Actual(3_684_000));
    assert_eq!(text(&events), "one two three foHello from the fake model.");
}

#[tokio::test]
async fn claude_an_end_without_a_result_is_no_success() {
    let stage = claude("claude_resume_unknown", "");
    let mut resumed = stage.assignment();
    resumed.session = Some("99999999-2222-4333-8444-555555555555".into());
    let (ended, _) = Try::begin(&*stage.agent, resumed).end().await;
    // Another try can begin anew; this session is not offered again.
    assert_eq!((ended.outcome, ended.session), (Outcome::Crashed, None));
    assert!(ended.detail.contains("No conversation found"), "{}", ended.detail);
}

#[tokio::test]
async fn claude_a_line_beyond_all_limits_is_cut_and_the_turn_goes_on() {
    let stage = claude("claude_simple", "huge=20000000");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(noticed(&events, "too long and is not shown"));
}

#[tokio::test]
async fn claude_a_request_nobody_knows_gets_an_error_at_once() {
    let stage = claude("claude_simple", "strange");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(noticed(&events, "brand_new"));
}

#[tokio::test]
async fn claude_killed_in_the_middle_it_is_resumed_by_its_id() {
    let (ended, _) = claude("claude_partial_thinking", "die=10").begin().end().await;
    let session = ended.session.expect("a session to go on in");

    let stage = claude("claude_resume", "");
    let mut resumed = stage.assignment();
    resumed.session = Some(session.clone());
    let (ended, _) = Try::begin(&*stage.agent, resumed).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(stage.read("argv").contains(&format!("--resume {session}")));
    // The session's total is 0.00256 dollars; this turn's part of it is what is told.
    assert_eq!(ended.cost, Cost::Actual(120_000));
}

#[tokio::test]
async fn claude_one_session_is_never_resumed_twice_at_once() {
    let stage = claude("claude_partial_thinking", "stall=6");
    let mut first = stage.assignment();
    first.session = Some("dae456d2-cf6c-4848-9f4e-65c6f5c1feb2".into());
    let second = first.clone();
    let running = Try::begin(&*stage.agent, first);
    start(&running).await;
    let (refused, events) = Try::begin(&*stage.agent, second.clone()).end().await;
    assert_eq!(refused.outcome, Outcome::Unavailable);
    assert!(refused.detail.contains("in use by another try"), "{}", refused.detail);
    assert!(events.is_empty(), "nothing was started");
    // Another engine on the same state directory is kept out as well.
    let mut config = Config::new(env!("CARGO_BIN_EXE_replay-agent"));
    config.state_dir = Some(stage.directory.path().join("state"));
    let (refused, _) = Try::begin(&Claude::new(keeper(), config), second.clone()).end().await;
    assert_eq!(refused.outcome, Outcome::Unavailable);
    running.order(Order::Kill);
    running.end().await;
    let again = Try::begin(&*stage.agent, second);
    start(&again).await;
    again.order(Order::Kill);
    assert_eq!(again.end().await.0.outcome, Outcome::Killed);
}

#[tokio::test]
async fn claude_a_prompt_of_a_megabyte_goes_in_whole() {
    let stage = claude("claude_multi_turn", "");
    let mut long = stage.assignment();
    long.input = Input::Prompt("ä".repeat(1 << 20));
    let (ended, _) = Try::begin(&*stage.agent, long).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

#[tokio::test]
async fn claude_the_version_is_asked_and_compared() {
    let agent = Claude::new(keeper(), Config::new(env!("CARGO_BIN_EXE_replay-agent")));
    let version = agent.version(BTreeMap::new()).await.expect("a version");
    assert_eq!((version.number.as_deref(), version.untested), (Some("2.1.329"), None));
}

#[tokio::test]
async fn codex_a_refused_command_is_told_as_denied_and_the_turn_goes_on() {
    let stage = Stage::new(&CODEX, Recording::After("codex_appserver_turns", 2), "");
    let running = stage.begin();
    let (request, tool, _) = permission(&running).await;
    assert_eq!(tool, "shell");
    running.order(Order::Answer {
        request,
        answer: Reply::Deny("no".into()),
    });
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(ended.detail.contains("was denied"), "{}", ended.detail);
    let denied = |event: &AgentEvent| matches!(event, AgentEvent::Tool { status, .. } if *status == ToolStatus::Denied);
    assert!(events.iter().any(denied), "{events:?}");
}

#[tokio::test]
async fn codex_a_failed_turn_has_the_providers_class() {
    let stage = Stage::new(&CODEX, Recording::After("codex_appserver_turns", 5), "");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::RateLimited { retry_after_ms: None });
    assert!(ended.detail.contains("429"), "{}", ended.detail);
    assert_eq!(ended.cost, Cost::Actual(0));
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Limit { .. })));
}

#[tokio::test]
async fn codex_one_shots_end_as_their_recordings_did() {
    let limited = Outcome::RateLimited { retry_after_ms: None };
    for (recording, expected, answer) in [
        ("codex_exec_simple", Outcome::Succeeded, "Hello from the fake model."),
        ("codex_exec_edit", Outcome::Succeeded, "Done: created hello.txt."),
        ("codex_exec_error_401", Outcome::Auth, ""),
        ("codex_exec_error_429", limited, ""),
        ("codex_exec_error_400", Outcome::ContextTooLong, ""),
        ("codex_exec_truncated", Outcome::Truncated, ""),
    ] {
        let stage = Stage::new(&CODEX_EXEC, Recording::Whole(recording), "");
        let (ended, _) = stage.begin().end().await;
        assert_eq!(ended.outcome, expected, "{recording}: {}", ended.detail);
        let mut artifacts = ended.result.artifacts.iter();
        let said = artifacts.position(|artifact| artifact.name == "output");
        let said = said.map(|place| ended.outputs[place].as_slice()).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(said), answer, "{recording}");
    }
}

#[tokio::test]
async fn codex_the_thread_total_of_a_resumed_one_shot_becomes_a_difference() {
    let first = Stage::new(&CODEX_EXEC, Recording::Whole("codex_exec_simple"), "");
    let (ended, _) = first.begin().end().await;
    let session = ended.session.expect("a thread");
    // Another engine's backend on the same state directory knows where the thread stood.
    let recording = Recording::Whole("codex_exec_resume");
    let second = Stage::in_directory(&CODEX_EXEC, recording, "", first.directory);
    let mut resumed = second.assignment();
    resumed.session = Some(session.clone());
    let (ended, _) = Try::begin(&*second.agent, resumed).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(
        (ended.usage.input, ended.usage.output, ended.usage.source),
        (20, 2, UsageSource::Reported)
    );
    assert!(second.read("argv").contains(&format!("resume {session} -")));
}

#[tokio::test]
async fn codex_a_one_shot_is_stopped_by_signals_at_once() {
    let stage = Stage::new(&CODEX_EXEC, Recording::Whole("codex_exec_edit"), "stall=3");
    let mut patient = stage.assignment();
    patient.grace_ms = 600_000;
    let running = Try::begin(&*stage.agent, patient);
    first_text(&running).await;
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(ended.session.is_some());
}

#[tokio::test]
async fn codex_a_one_shot_says_its_model_from_the_record_of_its_thread() {
    let models = |events: &[AgentEvent]| -> Vec<String> {
        let named = events.iter().filter_map(|event| match event {
            AgentEvent::Model(model) => Some(model.clone()),
            _ => None,
        });
        named.collect()
    };
    let stage = Stage::new(&CODEX_EXEC, Recording::Whole("codex_exec_simple"), "");
    let home = stage.directory.path().join("home");
    let mut at_home = stage.assignment();
    at_home.env.insert("HOME".to_owned(), home.display().to_string());
    let (ended, events) = Try::begin(&*stage.agent, at_home.clone()).end().await;
    assert_eq!(models(&events), [""; 0], "there is no record");
    let records = home.join(".codex/sessions/2026/11/20");
    std::fs::create_dir_all(&records).expect("made");
    let thread = ended.session.expect("a thread");
    let record = records.join(format!("rollout-2026-11-20T11-29-25-{thread}.jsonl"));
    let line = r#"{"timestamp":"2026-11-20T11:29:25.334Z","type":"turn_context","payload":{"turn_id":"1","model":"gpt-6.2-sol"}}"#;
    std::fs::write(record, format!("{line}\n")).expect("written");
    let (_, events) = Try::begin(&*stage.agent, at_home).end().await;
    assert_eq!(models(&events), ["gpt-6.2-sol"]);
}
