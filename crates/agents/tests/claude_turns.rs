//! The Claude backend over programs that say again what the real one said, and misbehave.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wheelhouse_agents::claude::{Claude, Config};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

#[path = "programs/rig.rs"]
mod rig;

use rig::{Try, assignment, keeper, noticed, text};

/// A backend over a recording, in a directory of its own.
struct Stage {
    claude: Claude,
    directory: TempDir,
}

impl Stage {
    fn new(recording: &str, fault: &str) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let recordings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        let mut config = Config::new(env!("CARGO_BIN_EXE_replay-agent"));
        let mut set = |name: &str, value: String| config.env.insert(name.to_owned(), value);
        set(
            "REPLAY",
            recordings.join(format!("{recording}.jsonl")).display().to_string(),
        );
        set("REPLAY_FAULT", fault.to_owned());
        set("REPLAY_ARGV", directory.path().join("argv").display().to_string());
        config.state_dir = Some(directory.path().join("state"));
        Stage {
            claude: Claude::new(keeper(), config),
            directory,
        }
    }

    fn assignment(&self) -> Assignment {
        let mut assignment = assignment(self.directory.path(), "do it");
        assignment.log = Some(self.directory.path().join("log"));
        assignment
    }

    fn begin(&self) -> Try {
        Try::begin(&self.claude, self.assignment())
    }

    fn argv(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("argv")).expect("the command line")
    }
}

#[tokio::test]
async fn a_turn_is_told_and_ends_in_its_session() {
    let stage = Stage::new("claude_partial_thinking", "");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Thought done.");
    assert_eq!(ended.outputs[0], b"Thought done.");
    assert_eq!(ended.result.summary, "Thought done.");
    assert_eq!(ended.result.exit_code, Some(0));
    assert_eq!((ended.usage.input, ended.usage.output), (50, 30));
    assert_eq!(ended.cost, Cost::Actual(800_000));
    assert_eq!(ended.session.as_deref(), Some("dae456d2-cf6c-4848-9f4e-65c6f5c1feb2"));
    match &events[0] {
        AgentEvent::Started { session, process } => assert!(session.is_some() && process.is_some()),
        other => panic!("{other:?}"),
    }
    let log = std::fs::read_to_string(stage.directory.path().join("log")).expect("a log");
    assert!(log.contains(r#""subtype":"init""#) && log.contains(r#""type":"result""#));
    assert!(stage.argv().contains("--session-id "));
}

#[tokio::test]
async fn a_permission_is_asked_and_allowed() {
    let stage = Stage::new("claude_permission_host", "");
    let running = stage.begin();
    let request = running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, tool, detail } => {
                assert_eq!((tool.as_str(), detail.as_str()), ("Write", "/workspace/hello.txt"));
                Some(request.clone())
            }
            _ => None,
        })
        .await;
    // An answer to something else changes nothing.
    running.order(Order::Answer {
        request: "other".into(),
        answer: Reply::Allow,
    });
    running.order(Order::Answer {
        request,
        answer: Reply::Allow,
    });
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.result.files, ["/workspace/hello.txt"]);
    assert!(noticed(&events, "request other, which is not open"));
    assert!(events.iter().any(
        |event| matches!(event, AgentEvent::Tool { name, status, .. } if name == "Write" && *status == ToolStatus::Succeeded)
    ));
}

#[tokio::test]
async fn a_permission_that_is_refused_reaches_the_program_as_a_no() {
    // The recorded host allowed: the program notices the difference and ends with its own code.
    let stage = Stage::new("claude_permission_host", "");
    let running = stage.begin();
    let request = running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, .. } => Some(request.clone()),
            _ => None,
        })
        .await;
    running.order(Order::Answer {
        request,
        answer: Reply::Deny("not here".into()),
    });
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Crashed);
    assert_eq!(ended.result.exit_code, Some(97));
    assert!(ended.detail.contains(r#""message":"not here""#), "{}", ended.detail);
}

#[tokio::test]
async fn a_form_of_an_mcp_server_is_a_question() {
    let stage = Stage::new("claude_mcp_elicitation", "");
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
async fn an_interrupt_ends_the_turn_and_keeps_the_session() {
    let stage = Stage::new("claude_interrupt", "");
    let running = stage.begin();
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some("7156da83-23b3-4565-8621-f4dc0aa93cb7"));
    assert_eq!(ended.outputs[0], b"one two three fo");
    assert_eq!((ended.usage.input, ended.usage.source), (286, UsageSource::Estimated));
}

#[tokio::test]
async fn words_in_the_middle_interrupt_and_go_on_in_the_same_process() {
    let stage = Stage::new("claude_interrupt", "");
    let running = stage.begin();
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
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
async fn a_stop_is_asked_for_first() {
    let stage = Stage::new("claude_interrupt", "");
    let running = stage.begin();
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert_eq!(ended.result.exit_code, Some(0), "it ended by itself");
    assert!(ended.session.is_some());
}

#[tokio::test]
async fn an_ignored_interrupt_ends_by_signals_and_the_session_stays() {
    for fault in ["deaf", "stubborn"] {
        let stage = Stage::new("claude_interrupt", fault);
        let running = stage.begin();
        running
            .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
            .await;
        running.order(Order::Interrupt);
        let (ended, events) = running.end().await;
        assert_eq!(ended.outcome, Outcome::Cancelled, "{fault}: {}", ended.detail);
        assert!(noticed(&events, "did not end its turn when asked"), "{fault}");
        assert!(ended.session.is_some(), "{fault}");
        assert!(ended.usage.total() > 0, "{fault}");
    }
}

#[tokio::test]
async fn garbage_is_kept_and_counted_and_harms_nothing() {
    let stage = Stage::new("claude_simple", "garbage");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Hello from the fake model.");
    assert!(events.contains(&AgentEvent::Raw("Warning: this is not JSON".into())));
    assert!(noticed(&events, "15 lines of Claude Code were not understood"));
}

#[tokio::test]
async fn an_exit_with_nothing_is_empty_and_a_missing_program_says_what_to_do() {
    let stage = Stage::new("claude_simple", "silent");
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Empty, "{}", ended.detail);

    let directory = tempfile::tempdir().expect("a directory");
    let claude = Claude::new(keeper(), Config::new("/nowhere/claude"));
    let (ended, events) = Try::begin(&claude, assignment(directory.path(), "x")).end().await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(
        ended.detail.contains("npm install -g @anthropic-ai/claude-code"),
        "{}",
        ended.detail
    );
    assert!(events.is_empty());
}

#[tokio::test]
async fn an_end_without_a_result_is_no_success() {
    let stage = Stage::new("claude_resume_unknown", "");
    let mut resumed = stage.assignment();
    resumed.session = Some("99999999-2222-4333-8444-555555555555".into());
    let (ended, _) = Try::begin(&stage.claude, resumed).end().await;
    // Another try can begin anew; this session is not offered again.
    assert_eq!((ended.outcome, ended.session), (Outcome::Crashed, None));
    assert!(ended.detail.contains("No conversation found"), "{}", ended.detail);
}

#[tokio::test]
async fn a_stall_says_nothing_until_the_engine_acts() {
    let stage = Stage::new("claude_partial_thinking", "stall=6");
    let running = stage.begin();
    running
        .until("a thought", |event| {
            matches!(event, AgentEvent::Thought(_)).then_some(())
        })
        .await;
    // Six lines came; signs of life that the program did not give would keep the engine's idle timer from acting.
    let made_up = running.until("a seventh", |_| (running.events().len() > 8).then_some(()));
    assert!(tokio::time::timeout(Duration::from_millis(300), made_up).await.is_err());
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(ended.session.is_some());
}

#[tokio::test]
async fn a_line_beyond_all_limits_is_cut_and_the_turn_goes_on() {
    let stage = Stage::new("claude_simple", "huge=20000000");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(noticed(&events, "too long and is not shown"));
}

#[tokio::test]
async fn a_request_nobody_knows_gets_an_error_at_once() {
    let stage = Stage::new("claude_simple", "strange");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(noticed(&events, "brand_new"));
}

#[tokio::test]
async fn killed_in_the_middle_it_is_resumed_by_its_id() {
    let stage = Stage::new("claude_partial_thinking", "die=10");
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    assert!(ended.detail.contains("SIGKILL"), "{}", ended.detail);
    assert!(ended.usage.total() > 0, "what was paid for is not zero");
    let session = ended.session.expect("a session to go on in");

    let stage = Stage::new("claude_resume", "");
    let mut resumed = stage.assignment();
    resumed.session = Some(session.clone());
    let (ended, _) = Try::begin(&stage.claude, resumed).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(stage.argv().contains(&format!("--resume {session}")));
    // The session's total is 0.00256 dollars; this turn's part of it is what is told.
    assert_eq!(ended.cost, Cost::Actual(120_000));
}

#[tokio::test]
async fn one_session_is_never_resumed_twice_at_once() {
    let stage = Stage::new("claude_partial_thinking", "stall=6");
    let mut first = stage.assignment();
    first.session = Some("dae456d2-cf6c-4848-9f4e-65c6f5c1feb2".into());
    let second = first.clone();
    let running = Try::begin(&stage.claude, first);
    running
        .until("its start", |event| {
            matches!(event, AgentEvent::Started { .. }).then_some(())
        })
        .await;
    let (refused, events) = Try::begin(&stage.claude, second.clone()).end().await;
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
    let again = Try::begin(&stage.claude, second);
    again
        .until("its start", |event| {
            matches!(event, AgentEvent::Started { .. }).then_some(())
        })
        .await;
    again.order(Order::Kill);
    assert_eq!(again.end().await.0.outcome, Outcome::Killed);
}

#[tokio::test]
async fn a_prompt_of_a_megabyte_goes_in_whole() {
    let stage = Stage::new("claude_multi_turn", "");
    let mut long = stage.assignment();
    long.input = wheelhouse_core::agent::Input::Prompt("ä".repeat(1 << 20));
    let (ended, _) = Try::begin(&stage.claude, long).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

#[tokio::test]
async fn dropping_a_try_kills_its_process() {
    let stage = Stage::new("claude_partial_thinking", "stall=6");
    let agent: Arc<dyn Agent> = Arc::new(stage.claude.clone());
    let running = Try::begin(&*agent, stage.assignment());
    let process = running
        .until("its start", |event| match event {
            AgentEvent::Started { process, .. } => *process,
            _ => None,
        })
        .await;
    running.abandon().await;
    let gone = async {
        while wheelhouse_agents::keep::is_alive(process) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(rig::PATIENCE, gone)
        .await
        .expect("the process goes");
}

#[tokio::test]
async fn the_version_is_asked_and_compared() {
    let stage = Stage::new("claude_simple", "");
    let version = stage
        .claude
        .version(std::collections::BTreeMap::new())
        .await
        .expect("a version");
    assert_eq!((version.number.as_deref(), version.untested), (Some("2.1.329"), None));
}
