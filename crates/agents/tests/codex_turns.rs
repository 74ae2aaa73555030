//! The Codex backend, app-server and one-shot, over programs that say again what the real one said, and misbehave.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

use tempfile::TempDir;
use wheelhouse_agents::codex::{Codex, Config, Mode};
use wheelhouse_core::agent::{AgentEvent, Assignment, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

#[path = "programs/rig.rs"]
mod rig;

use rig::{Try, assignment, keeper, noticed, text};

struct Stage {
    codex: Codex,
    directory: TempDir,
}

impl Stage {
    fn new(recording: &str, mode: Mode, fault: &str) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let recordings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        let recording = recordings.join(format!("{recording}.jsonl"));
        Stage::over(&recording, mode, fault, directory)
    }

    fn over(recording: &std::path::Path, mode: Mode, fault: &str, directory: TempDir) -> Stage {
        let mut config = Config::new(env!("CARGO_BIN_EXE_replay-agent"));
        config.mode = mode;
        let mut set = |name: &str, value: String| config.env.insert(name.to_owned(), value);
        set("REPLAY", recording.display().to_string());
        set("REPLAY_FAULT", fault.to_owned());
        set("REPLAY_ARGV", directory.path().join("argv").display().to_string());
        config.state_dir = Some(directory.path().join("state"));
        Stage {
            codex: Codex::new(keeper(), config),
            directory,
        }
    }

    /// The app-server, from the second turn of its recording on: what our host is told of earlier ones is left out.
    fn app_from(turn: usize, fault: &str) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let recordings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
        let all = std::fs::read_to_string(recordings.join("codex_appserver_turns.jsonl")).expect("a recording");
        let mut kept = String::new();
        let mut seen = 0;
        for line in all.lines() {
            if line.contains(r#""method": "turn/start""#) {
                seen += 1;
            }
            if seen == 0 || seen > turn {
                kept += line;
                kept += "\n";
            }
        }
        let part = directory.path().join("recording.jsonl");
        std::fs::write(&part, kept).expect("written");
        Stage::over(&part, Mode::AppServer, fault, directory)
    }

    fn assignment(&self) -> Assignment {
        let mut assignment = assignment(self.directory.path(), "do it");
        assignment.log = Some(self.directory.path().join("log"));
        assignment
    }

    fn begin(&self) -> Try {
        Try::begin(&self.codex, self.assignment())
    }

    fn argv(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("argv")).expect("the command line")
    }
}

async fn permission(running: &Try) -> (String, String) {
    running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, tool, .. } => Some((request.clone(), tool.clone())),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_turn_of_the_app_server_is_told_and_ends_in_its_thread() {
    let stage = Stage::new("codex_appserver_turns", Mode::AppServer, "");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Hello from the fake model.");
    assert_eq!(ended.outputs[0], b"Hello from the fake model.");
    assert_eq!(
        (ended.usage.input, ended.usage.cache_read, ended.usage.cache_write),
        (100, 2_000, 300)
    );
    assert_eq!(ended.cost, Cost::Unknown);
    assert_eq!(ended.session.as_deref(), Some("01a1f8b8-1e87-7630-98f6-ea434055a4cb"));
    assert_eq!(stage.argv(), "app-server -c features.plugins=false\n");
    let log = std::fs::read_to_string(stage.directory.path().join("log")).expect("a log");
    assert!(log.contains("turn/completed"));
}

#[tokio::test]
async fn an_approval_is_asked_and_answered_with_what_was_ordered() {
    let stage = Stage::new("codex_appserver_approvals", Mode::AppServer, "");
    let running = stage.begin();
    let (request, tool) = permission(&running).await;
    assert_eq!(tool, "edit");
    running.order(Order::Answer {
        request,
        answer: Reply::Allow,
    });
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.result.files, ["/workspace/hello.txt"]);
    assert!(events.iter().any(
        |event| matches!(event, AgentEvent::Tool { name, status, .. } if name == "edit" && *status == ToolStatus::Succeeded)
    ));

    // The recorded host allowed: a no is noticed as something else.
    let running = stage.begin();
    let (request, _) = permission(&running).await;
    running.order(Order::Answer {
        request,
        answer: Reply::Deny(String::new()),
    });
    let (ended, _) = running.end().await;
    assert_eq!((ended.outcome, ended.result.exit_code), (Outcome::Crashed, Some(97)));
    assert!(ended.detail.contains("decline"), "{}", ended.detail);
}

#[tokio::test]
async fn a_refused_command_is_told_as_denied_and_the_turn_goes_on() {
    let stage = Stage::app_from(2, "");
    let running = stage.begin();
    let (request, tool) = permission(&running).await;
    assert_eq!(tool, "shell");
    running.order(Order::Answer {
        request,
        answer: Reply::Deny("no".into()),
    });
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(ended.detail.contains("was denied"), "{}", ended.detail);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, AgentEvent::Tool { status, .. } if *status == ToolStatus::Denied))
    );
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_keeps_the_thread() {
    let stage = Stage::app_from(1, "");
    let running = stage.begin();
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"one two ");
    assert!(ended.session.is_some());
    assert_eq!(ended.usage.source, UsageSource::Estimated);
    assert!(ended.usage.total() > 0);
}

#[tokio::test]
async fn an_ignored_interrupt_ends_by_signals_and_the_thread_stays() {
    let stage = Stage::app_from(1, "deaf");
    let running = stage.begin();
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
    running.order(Order::Interrupt);
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert!(noticed(&events, "did not end its turn when asked"));
    assert!(ended.session.is_some());
}

#[tokio::test]
async fn a_failed_turn_has_the_providers_class() {
    let stage = Stage::app_from(5, "");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::RateLimited { retry_after_ms: None });
    assert!(ended.detail.contains("429"), "{}", ended.detail);
    assert_eq!(ended.cost, Cost::Actual(0));
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Limit { .. })));
}

#[tokio::test]
async fn garbage_and_death_are_survived() {
    let stage = Stage::new("codex_appserver_turns", Mode::AppServer, "garbage");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(noticed(&events, "were not understood"));

    let stage = Stage::new("codex_appserver_turns", Mode::AppServer, "die=12");
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    assert!(ended.session.is_some());

    let stage = Stage::new("codex_appserver_turns", Mode::AppServer, "silent");
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Empty, "{}", ended.detail);
}

#[tokio::test]
async fn one_shots_end_as_their_recordings_did() {
    for (recording, expected, answer) in [
        ("codex_exec_simple", Outcome::Succeeded, "Hello from the fake model."),
        ("codex_exec_edit", Outcome::Succeeded, "Done: created hello.txt."),
        ("codex_exec_error_401", Outcome::Auth, ""),
        (
            "codex_exec_error_429",
            Outcome::RateLimited { retry_after_ms: None },
            "",
        ),
        ("codex_exec_error_400", Outcome::ContextTooLong, ""),
        ("codex_exec_truncated", Outcome::Truncated, ""),
    ] {
        let stage = Stage::new(recording, Mode::Exec, "");
        let (ended, _) = stage.begin().end().await;
        assert_eq!(ended.outcome, expected, "{recording}: {}", ended.detail);
        let said = ended
            .result
            .artifacts
            .iter()
            .position(|artifact| artifact.name == "output");
        let said = said.map(|place| ended.outputs[place].as_slice()).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(said), answer, "{recording}");
    }
}

#[tokio::test]
async fn the_thread_total_of_a_resumed_one_shot_becomes_a_difference() {
    let directory = tempfile::tempdir().expect("a directory");
    let recordings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let first = Stage::over(&recordings.join("codex_exec_simple.jsonl"), Mode::Exec, "", directory);
    let (ended, _) = first.begin().end().await;
    let session = ended.session.expect("a thread");
    // Another engine's backend on the same state directory knows where the thread stood.
    let second = Stage::over(
        &recordings.join("codex_exec_resume.jsonl"),
        Mode::Exec,
        "",
        first.directory,
    );
    let mut resumed = second.assignment();
    resumed.session = Some(session.clone());
    let (ended, _) = Try::begin(&second.codex, resumed).end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(
        (ended.usage.input, ended.usage.output, ended.usage.source),
        (20, 2, UsageSource::Reported)
    );
    assert!(second.argv().contains(&format!("resume {session} -")));
}

#[tokio::test]
async fn a_one_shot_is_stopped_by_signals_at_once() {
    let stage = Stage::new("codex_exec_edit", Mode::Exec, "stall=3");
    let mut patient = stage.assignment();
    patient.grace_ms = 600_000;
    let running = Try::begin(&stage.codex, patient);
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(ended.session.is_some());
}

#[tokio::test]
async fn a_missing_program_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let codex = Codex::new(keeper(), Config::new("/nowhere/codex"));
    let (ended, _) = Try::begin(&codex, assignment(directory.path(), "x")).end().await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(
        ended.detail.contains("npm install -g @openai/codex"),
        "{}",
        ended.detail
    );
}

#[tokio::test]
async fn dropping_a_try_kills_its_process() {
    let stage = Stage::new("codex_appserver_turns", Mode::AppServer, "stall=6");
    let running = stage.begin();
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
