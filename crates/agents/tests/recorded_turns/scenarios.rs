//! What every agent is put through over its recordings.

use std::path::Path;
use std::time::Duration;

use wheelhouse_core::agent::{AgentEvent, Order, Reply, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::UsageSource;

use crate::cast::{Cast, Replayed, Stage};
use crate::rig::{PATIENCE, Try, assignment, noticed, text};

/// A try in which nothing more is heard for this long has stalled as far as these tests are concerned.
const SILENCE: Duration = Duration::from_millis(300);

/// The request for leave that comes, the tool it is about, and what exactly.
pub(crate) async fn permission(running: &Try) -> (String, String, String) {
    running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, tool, detail } => Some((request.clone(), tool.clone(), detail.clone())),
            _ => None,
        })
        .await
}

pub(crate) async fn first_text(running: &Try) {
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
}

pub(crate) async fn start(running: &Try) {
    running
        .until("its start", |event| {
            matches!(event, AgentEvent::Started { .. }).then_some(())
        })
        .await;
}

pub(crate) async fn a_turn_is_told_and_ends_in_its_session(cast: &Cast) {
    let turn = &cast.turn;
    let stage = Stage::new(cast, turn.recording, "");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), turn.text);
    let said = ended
        .result
        .artifacts
        .iter()
        .position(|artifact| artifact.name == "output");
    assert_eq!(ended.outputs[said.expect("an output")], turn.text.as_bytes());
    assert_eq!(ended.result.summary, turn.text);
    assert_eq!(ended.result.exit_code, Some(0));
    let usage = ended.usage;
    let counts = [usage.input, usage.cache_read, usage.cache_write, usage.output];
    assert_eq!((counts, usage.source), (turn.counts, UsageSource::Reported));
    assert_eq!(ended.cost, turn.cost);
    assert_eq!(ended.session.as_deref(), Some(turn.session));
    match &events[0] {
        AgentEvent::Started { session, process } => {
            assert_eq!((session.is_some(), process.is_some()), (turn.names_its_session, true));
        }
        other => panic!("{other:?}"),
    }
    let log = stage.read("log");
    for words in turn.logged {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert!(stage.read("argv").contains(turn.argv), "{}", stage.read("argv"));
}

pub(crate) async fn a_permission_is_asked_and_allowed(cast: &Cast) {
    let asks = &cast.asks;
    let stage = Stage::new(cast, asks.recording, "");
    let running = stage.begin();
    let (request, tool, detail) = permission(&running).await;
    assert_eq!((tool.as_str(), detail.as_str()), (asks.tool, asks.detail));
    // An answer to something else changes nothing.
    let answer = Reply::Allow;
    running.order(Order::Answer {
        request: "other".into(),
        answer: answer.clone(),
    });
    running.order(Order::Answer { request, answer });
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.result.files, asks.files);
    assert!(noticed(&events, "request other, which is not open"));
    let done = |event: &AgentEvent| matches!(event, AgentEvent::Tool { name, status, .. } if name == asks.tool && *status == ToolStatus::Succeeded);
    assert!(events.iter().any(done), "{events:?}");
}

/// The recorded host allowed: the program notices the difference and ends with its own code.
pub(crate) async fn a_refusal_reaches_the_program_as_a_no(cast: &Cast) {
    let stage = Stage::new(cast, cast.asks.recording, "");
    let running = stage.begin();
    let (request, ..) = permission(&running).await;
    running.order(Order::Answer {
        request,
        answer: Reply::Deny("not here".into()),
    });
    let (ended, _) = running.end().await;
    assert_eq!((ended.outcome, ended.result.exit_code), (Outcome::Crashed, Some(97)));
    assert!(ended.detail.contains(cast.asks.refusal), "{}", ended.detail);
}

pub(crate) async fn an_interrupt_ends_the_turn_and_keeps_the_session(cast: &Cast) {
    let cut = &cast.cut;
    let stage = Stage::new(cast, cut.recording, "");
    let running = stage.begin();
    first_text(&running).await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.outputs[0], cut.text.as_bytes());
    let session = ended.session.expect("a session");
    assert_eq!(session, cut.session.unwrap_or(&session));
    assert_eq!(ended.usage.source, cut.source);
    assert!(ended.usage.total() > 0, "what was begun is billed");
    assert_eq!(ended.usage.input, cut.input.unwrap_or(ended.usage.input));
}

pub(crate) async fn an_ignored_interrupt_ends_by_signals_and_the_session_stays(cast: &Cast) {
    for fault in cast.deaf {
        let stage = Stage::new(cast, cast.cut.recording, fault);
        let running = stage.begin();
        first_text(&running).await;
        running.order(Order::Interrupt);
        let (ended, events) = running.end().await;
        assert_eq!(ended.outcome, Outcome::Cancelled, "{fault}: {}", ended.detail);
        assert!(noticed(&events, "did not end its turn when asked"), "{fault}");
        assert!(ended.session.is_some(), "{fault}");
        assert!(ended.usage.total() > 0, "{fault}");
    }
}

pub(crate) async fn a_stop_is_asked_for_first(cast: &Cast) {
    let stage = Stage::new(cast, cast.cut.recording, "");
    let running = stage.begin();
    first_text(&running).await;
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert_eq!(ended.result.exit_code, cast.stopped, "it ended by itself");
    assert!(ended.session.is_some());
}

pub(crate) async fn garbage_is_kept_and_counted_and_harms_nothing(cast: &Cast) {
    let (recording, notice) = cast.littered;
    let stage = Stage::new(cast, recording, "garbage");
    let (ended, events) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "Hello from the fake model.");
    assert!(events.contains(&AgentEvent::Raw("Warning: this is not JSON".into())));
    assert!(noticed(&events, notice), "{events:?}");
}

pub(crate) async fn an_exit_with_nothing_is_empty(cast: &Cast) {
    let stage = Stage::new(cast, cast.littered.0, "silent");
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Empty, "{}", ended.detail);
}

pub(crate) async fn a_missing_program_says_what_to_do(cast: &Cast) {
    let directory = tempfile::tempdir().expect("a directory");
    let replayed = Replayed {
        recording: Path::new(""),
        fault: "",
        directory: directory.path(),
    };
    let agent = (cast.start)(Path::new("/nowhere/program"), replayed);
    let (ended, events) = Try::begin(&*agent, assignment(directory.path(), "x")).end().await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(ended.detail.contains(cast.install), "{}", ended.detail);
    assert!(events.is_empty(), "nothing was started: {events:?}");
}

pub(crate) async fn death_in_the_middle_keeps_the_session(cast: &Cast) {
    let (recording, lines) = cast.dies;
    let stage = Stage::new(cast, recording, &format!("die={lines}"));
    let (ended, _) = stage.begin().end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    assert!(ended.detail.contains("SIGKILL"), "{}", ended.detail);
    assert!(ended.usage.total() > 0, "what was paid for is not zero");
    assert!(ended.session.is_some(), "there is something to go on in");
}

pub(crate) async fn a_stall_says_nothing_until_the_engine_acts(cast: &Cast) {
    let (recording, lines) = cast.stalls;
    let stage = Stage::new(cast, recording, &format!("stall={lines}"));
    let running = stage.begin();
    running
        .until("the last line before it", |event| {
            matches!(event, AgentEvent::Thought(_) | AgentEvent::Text(_)).then_some(())
        })
        .await;
    // Signs of life that the program did not give would keep the engine's idle timer from acting.
    let made_up = running.until("more than was said", |_| {
        (running.events().len() > lines + 2).then_some(())
    });
    assert!(tokio::time::timeout(SILENCE, made_up).await.is_err());
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(ended.session.is_some());
}

pub(crate) async fn dropping_a_try_kills_its_process(cast: &Cast) {
    let (recording, lines) = cast.stalls;
    let stage = Stage::new(cast, recording, &format!("stall={lines}"));
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
    tokio::time::timeout(PATIENCE, gone).await.expect("the process goes");
}
