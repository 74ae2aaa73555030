//! The ACP backend over an agent that does what its prompt says, well or badly.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wheelhouse_agents::acp::{Acp, EndsBy, Loads, Recipe};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Ended, Inbox, Order, Reply, Sink, ToolStatus};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

#[path = "programs/rig.rs"]
mod rig;

use rig::{Try, assignment, keeper, noticed, text};

/// Shorter than the patience with programs that stay after their turn.
const AT_ONCE: Duration = Duration::from_secs(4);

struct Stage {
    directory: TempDir,
    recipe: Recipe,
}

impl Stage {
    fn new(fault: &str) -> Stage {
        let mut recipe = Recipe::command([env!("CARGO_BIN_EXE_acp-agent")]);
        recipe.env.insert("ACP_FAULT".to_owned(), fault.to_owned());
        Stage {
            directory: tempfile::tempdir().expect("a directory"),
            recipe,
        }
    }

    fn acp(&self) -> Acp {
        Acp::new(keeper(), self.recipe.clone())
    }

    fn assignment(&self, prompt: &str) -> Assignment {
        let mut assignment = assignment(self.directory.path(), prompt);
        assignment.log = Some(self.directory.path().join("log"));
        assignment
    }

    fn begin(&self, prompt: &str) -> Try {
        Try::begin(&self.acp(), self.assignment(prompt))
    }

    async fn run(&self, prompt: &str) -> (Ended, Vec<AgentEvent>) {
        self.begin(prompt).end().await
    }

    async fn resume(&self, prompt: &str) -> (Ended, Vec<AgentEvent>) {
        let mut assignment = self.assignment(prompt);
        assignment.session = Some("5e55-1011".to_owned());
        Try::begin(&self.acp(), assignment).end().await
    }
}

async fn half(running: &Try) {
    running
        .until("half", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
}

#[tokio::test]
async fn a_turn_is_told_and_ends_in_its_session() {
    let stage = Stage::new("");
    let (ended, events) = stage.run("hello there").await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "hello there ");
    assert_eq!(ended.outputs[0], b"hello there ");
    assert_eq!((ended.usage.input, ended.usage.output), (10, 2));
    assert_eq!((ended.usage.source, ended.cost), (UsageSource::Reported, Cost::Unknown));
    assert_eq!(ended.session.as_deref(), Some("5e55-1011"));
    assert!(events.contains(&AgentEvent::Started {
        session: Some("5e55-1011".to_owned()),
        process: None
    }));
    assert!(noticed(&events, "9.9.9 was never tested"), "{events:?}");
    let log = std::fs::read_to_string(stage.directory.path().join("log")).expect("a log");
    assert!(log.contains("stopReason"));
}

#[tokio::test]
async fn permission_is_answered_by_the_kind_of_option() {
    for (answer, chosen, status) in [
        (Reply::Allow, "x3 was chosen. ", ToolStatus::Succeeded),
        (Reply::Deny("no".to_owned()), "x2 was chosen. ", ToolStatus::Denied),
        (Reply::Words("maybe".to_owned()), "x2 was chosen. ", ToolStatus::Denied),
    ] {
        let stage = Stage::new("");
        let running = stage.begin("ask");
        let request = running
            .until("a permission", |event| match event {
                AgentEvent::Permission { request, tool, detail } => {
                    assert_eq!((tool.as_str(), detail.as_str()), ("edit", "a.txt"));
                    Some(request.clone())
                }
                _ => None,
            })
            .await;
        let is_denied = answer != Reply::Allow;
        running.order(Order::Answer { request, answer });
        let (ended, events) = running.end().await;
        assert_eq!(text(&events), chosen);
        let told: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Tool { status, .. } => Some(*status),
                _ => None,
            })
            .collect();
        assert_eq!(told, [status], "told once");
        assert_eq!(ended.outcome, Outcome::Succeeded);
        assert_eq!(
            ended.detail.contains("edit (a.txt) was denied"),
            is_denied,
            "{}",
            ended.detail
        );
        assert_eq!(ended.result.files.is_empty(), is_denied);
    }
}

#[tokio::test]
async fn an_answer_to_nothing_is_said_and_does_no_harm() {
    let stage = Stage::new("");
    let running = stage.begin("hold");
    half(&running).await;
    running.order(Order::Answer {
        request: "7".to_owned(),
        answer: Reply::Allow,
    });
    running.order(Order::Interrupt);
    let (ended, events) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled);
    assert!(noticed(&events, "request 7, which is not open"), "{events:?}");
}

#[tokio::test]
async fn an_interrupted_turn_is_estimated_and_its_open_request_is_answered() {
    let stage = Stage::new("");
    let running = stage.begin("ask hold");
    running
        .until("a permission", |event| {
            matches!(event, AgentEvent::Permission { .. }).then_some(())
        })
        .await;
    running.order(Order::Interrupt);
    let (ended, events) = running.end().await;
    assert!(text(&events).contains("nothing was chosen"), "{events:?}");
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some("5e55-1011"));
}

#[tokio::test]
async fn an_order_to_stop_makes_it_killed_and_a_deaf_agent_is_ended_by_signals() {
    for (prompt, says) in [("hold", false), ("deaf", true)] {
        let stage = Stage::new("");
        let running = stage.begin(prompt);
        half(&running).await;
        running.order(Order::Stop);
        let (ended, events) = running.end().await;
        assert_eq!(ended.outcome, Outcome::Killed, "{prompt}");
        assert_eq!(noticed(&events, "did not end its turn when asked"), says, "{events:?}");
    }
}

#[tokio::test]
async fn words_redirect_a_running_turn() {
    let stage = Stage::new("");
    let running = stage.begin("hold");
    half(&running).await;
    running.order(Order::Steer("elsewhere".to_owned()));
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"elsewhere ");
    assert_eq!(ended.usage.input, 20, "both turns are paid for");
}

#[tokio::test]
async fn a_session_is_gone_on_with_and_its_history_is_no_news() {
    for (loads, fault) in [(Loads::InOrder, ""), (Loads::Late, "late")] {
        let mut stage = Stage::new(fault);
        stage.recipe.quirks.loads = loads;
        let (ended, events) = stage.resume("again").await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
        assert_eq!(text(&events), "again ");
        assert_eq!(ended.session.as_deref(), Some("5e55-1011"));
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_gone_on_with_leaves_the_next_try_a_new_one() {
    for (fault, words) in [
        ("lost", "does not go on in the session"),
        ("forgetful", "cannot go on in an earlier session"),
    ] {
        let (ended, _) = Stage::new(fault).resume("again").await;
        assert_eq!((ended.outcome, ended.session), (Outcome::Crashed, None), "{fault}");
        assert!(ended.detail.contains(words), "{}", ended.detail);
    }
}

#[tokio::test]
async fn one_session_is_not_worked_in_twice_at_once() {
    let stage = Stage::new("");
    let acp = stage.acp();
    let mut first = stage.assignment("hold");
    first.session = Some("5e55-1011".to_owned());
    let second = first.clone();
    let running = Try::begin(&acp, first);
    half(&running).await;
    let (ended, _) = Try::begin(&acp, second).end().await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(ended.detail.contains("in use"), "{}", ended.detail);
    running.abandon().await;
}

#[tokio::test]
async fn what_fails_has_its_class() {
    for (fault, prompt, expected) in [
        ("", "error", Outcome::Auth),
        ("", "die", Outcome::Killed),
        ("", "quit", Outcome::Empty),
        ("", "half quit", Outcome::Truncated),
        ("", "empty", Outcome::Empty),
        ("old", "hello", Outcome::Unavailable),
    ] {
        let (ended, _) = Stage::new(fault).run(prompt).await;
        assert_eq!(ended.outcome, expected, "{fault} {prompt}: {}", ended.detail);
    }
    let mut missing = Stage::new("");
    missing.recipe.command = vec!["/nowhere/agent".to_owned()];
    let (ended, _) = missing.run("hello").await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
}

#[tokio::test]
async fn garbage_between_the_lines_is_kept_and_counted() {
    let (ended, events) = Stage::new("").run("before garbage after").await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(text(&events), "before after ");
    let kept = events
        .iter()
        .filter(|event| matches!(event, AgentEvent::Raw(_)))
        .count();
    assert_eq!(kept, 9, "{events:?}");
    assert!(
        noticed(&events, "9 lines of the ACP agent were not understood"),
        "{events:?}"
    );
}

#[tokio::test]
async fn what_is_not_served_is_refused_at_once_however_long_it_is() {
    for prompt in ["strange", "huge"] {
        let (ended, events) = Stage::new("").run(prompt).await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
        assert_eq!(text(&events), "refused with -32601 ", "{prompt}");
        assert!(noticed(&events, "was told so"), "{events:?}");
    }
}

#[tokio::test]
async fn a_mode_is_set_or_the_agent_says_which_there_are() {
    let mut stage = Stage::new("");
    stage.recipe.mode = Some("bold".to_owned());
    let (ended, _) = stage.run("hello").await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    let log = std::fs::read_to_string(stage.directory.path().join("log")).expect("a log");
    assert!(log.contains(r#""currentModeId":"bold""#), "{log}");
    stage.recipe.mode = Some("reckless".to_owned());
    let (ended, _) = stage.run("hello").await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert_eq!(ended.detail, "the agent has no mode reckless; it has careful, bold");
}

#[tokio::test]
async fn an_agent_that_does_not_notice_the_end_of_its_stdin_is_ended_at_once() {
    let mut stage = Stage::new("eof");
    stage.recipe.quirks.ends_by = EndsBy::Term;
    let ended = tokio::time::timeout(AT_ONCE, stage.run("hello")).await;
    let (ended, _) = ended.expect("no waiting for what does not come");
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.result.exit_code, None);
}

#[tokio::test]
async fn an_interrupt_before_the_session_is_open_ends_the_try() {
    for fault in ["mute", "unopened"] {
        let stage = Stage::new(fault);
        let running = stage.begin("hello");
        running
            .until("a process", |event| {
                matches!(event, AgentEvent::Started { .. }).then_some(())
            })
            .await;
        running.order(Order::Interrupt);
        let (ended, _) = running.end().await;
        assert_eq!(ended.outcome, Outcome::Cancelled, "{fault}: {}", ended.detail);
    }
}

#[tokio::test]
async fn a_version_is_asked_for_and_was_never_tested() {
    let stage = Stage::new("");
    let version = stage.acp().version(stage.assignment("").env).await.expect("a version");
    assert_eq!(version.number.as_deref(), Some("9.9.9"));
    assert!(version.untested.expect("words").contains("never tested"));
    assert!(stage.acp().capabilities().permission);
}

/// No order ever comes, and nobody listens.
struct Nobody;

impl Inbox for Nobody {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(std::future::pending())
    }
}

struct FirstHeard(tokio::sync::Notify);

impl Sink for FirstHeard {
    fn event(&self, _event: AgentEvent) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_agent_that_never_answers_has_stalled() {
    for (fault, words) in [("mute", "when it was started"), ("unopened", "did not open a session")] {
        let stage = Stage::new(fault);
        let sink = Arc::new(FirstHeard(tokio::sync::Notify::new()));
        let attempt = stage.acp().attempt(
            stage.assignment("hello"),
            Box::new(Nobody),
            Arc::<FirstHeard>::clone(&sink),
        );
        let attempt = tokio::spawn(attempt);
        // The process, and for the second its answer; from then on only the clock can bring the end.
        sink.0.notified().await;
        if fault == "unopened" {
            sink.0.notified().await;
        }
        tokio::time::pause();
        let ended = attempt.await.expect("no panic");
        tokio::time::resume();
        assert_eq!(ended.outcome, Outcome::Stalled, "{fault}: {}", ended.detail);
        assert!(ended.detail.contains(words), "{}", ended.detail);
    }
}
