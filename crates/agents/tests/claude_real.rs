//! The Claude backend with the real Claude Code against the fake model. Run by hand:
//! `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-agents -- --ignored real_agents_claude`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_agents::claude::{Claude, Config};
use wheelhouse_core::agent::{AgentEvent, Assignment, Ended, Order, Reply};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

#[path = "programs/real.rs"]
mod real;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "programs/rig.rs"]
mod rig;

use real::Place;
use rig::{Try, keeper, noticed, text};

fn claude(place: &Place, permission_mode: Option<&str>) -> Claude {
    claude_at(place, permission_mode, &place.api.base_url())
}

fn claude_at(place: &Place, permission_mode: Option<&str>, url: &str) -> Claude {
    let mut config = Config::new("claude");
    config.permission_mode = permission_mode.map(str::to_owned);
    config.state_dir = Some(place.state());
    for (name, value) in [
        ("ANTHROPIC_BASE_URL", url),
        ("ANTHROPIC_API_KEY", "test-key"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_TELEMETRY", "1"),
        ("DISABLE_ERROR_REPORTING", "1"),
    ] {
        config.env.insert(name.to_owned(), value.to_owned());
    }
    Claude::new(keeper(), config)
}

async fn run(claude: &Claude, assignment: Assignment) -> (Ended, Vec<AgentEvent>) {
    Try::begin(claude, assignment).end().await
}

fn resumed(place: &Place, session: &str, prompt: &str) -> Assignment {
    let mut assignment = place.assignment(prompt);
    assignment.session = Some(session.to_owned());
    assignment
}

async fn first_text(running: &Try) {
    running
        .until("text", |event| matches!(event, AgentEvent::Text(_)).then_some(()))
        .await;
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_simple_turn() {
    let place = Place::new();
    let (ended, events) = run(&claude(&place, None), place.assignment("[[say:Hello there.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(
        (text(&events).as_str(), ended.outputs[0].as_slice()),
        ("Hello there.", &b"Hello there."[..])
    );
    let usage = ended.usage;
    assert_eq!(
        (
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.output,
            usage.source
        ),
        (100, 2_000, 300, 7, UsageSource::Reported)
    );
    assert!(matches!(ended.cost, Cost::Actual(cost) if cost > 0));
    assert_eq!(ended.session.as_deref().map(str::len), Some(36));
    assert!(!noticed(&events, "outside the versions"), "{events:?}");
    assert!(!noticed(&events, "were not understood"), "{events:?}");
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_version() {
    let place = Place::new();
    let version = claude(&place, None)
        .version(place.assignment("").env)
        .await
        .expect("a version");
    assert!(version.number.is_some());
    assert_eq!(version.untested, None);
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_file_edit() {
    let place = Place::new();
    let prompt = "[[edit:hello.txt:hi\\n]] [[say:Written.]]";
    let (ended, _) = run(&claude(&place, Some("acceptEdits")), place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(place.read("hello.txt").as_deref(), Some("hi\n"));
    assert_eq!(ended.result.files, ["hello.txt"]);
    assert_eq!((ended.usage.input, ended.usage.output), (200, 14));
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_permission_both_ways() {
    for (answer, file) in [(Reply::Allow, Some("hi")), (Reply::Deny("not now".into()), None)] {
        let place = Place::new();
        let running = Try::begin(
            &claude(&place, None),
            place.assignment("[[edit:hello.txt:hi]] [[say:Answered.]]"),
        );
        let request = running
            .until("a permission", |event| match event {
                AgentEvent::Permission { request, tool, detail } => {
                    assert_eq!(tool, "Write");
                    assert!(detail.ends_with("/project/hello.txt"), "{detail}");
                    Some(request.clone())
                }
                _ => None,
            })
            .await;
        let is_denied = answer != Reply::Allow;
        running.order(Order::Answer { request, answer });
        let (ended, _) = running.end().await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
        assert_eq!(ended.outputs[0], b"Answered.");
        assert_eq!(place.read("hello.txt").as_deref(), file);
        assert_eq!(ended.detail.contains("was denied"), is_denied, "{}", ended.detail);
        place.assert_protocol_kept();
    }
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_a_denial_by_its_own_settings_is_no_success() {
    let place = Place::new();
    let (ended, _) = run(
        &claude(&place, Some("dontAsk")),
        place.assignment("[[edit:a.txt:x]] [[say:Done.]]"),
    )
    .await;
    assert_eq!(ended.outcome, Outcome::GateFailed, "{}", ended.detail);
    assert_eq!(place.read("a.txt"), None);
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_question() {
    let place = Place::new();
    let question = r#"{"questions":[{"question":"Which?","header":"Pick","multiSelect":false,"options":[{"label":"A","description":"first"},{"label":"B","description":"second"}]}]}"#;
    let prompt = format!("[[tool:AskUserQuestion {question}]] [[say:Thanks.]]");
    let running = Try::begin(&claude(&place, None), place.assignment(&prompt));
    let request = running
        .until("a question", |event| match event {
            AgentEvent::Question { request, text } => {
                assert_eq!(text, "Which? [A | B]");
                Some(request.clone())
            }
            _ => None,
        })
        .await;
    running.order(Order::Answer {
        request,
        answer: Reply::Words("B".into()),
    });
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_interrupt_and_go_on() {
    let place = Place::new();
    let claude = claude(&place, None);
    let running = Try::begin(
        &claude,
        place.assignment("[[hold:never]] [[say:A long story that is held back.]]"),
    );
    first_text(&running).await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert!(ended.result.exit_code.is_some(), "it ended by itself");
    assert_eq!((ended.usage.input, ended.usage.source), (100, UsageSource::Estimated));
    assert!(!ended.outputs.is_empty(), "what was said is kept");
    let session = ended.session.expect("a session");
    let (ended, _) = run(&claude, resumed(&place, &session, "[[say:On we go.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
    // One turn's, not the session's.
    assert_eq!(ended.usage.input, 100);
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_redirect_in_the_middle() {
    let place = Place::new();
    let running = Try::begin(
        &claude(&place, None),
        place.assignment("[[hold:never]] [[say:A long story that is held back.]]"),
    );
    first_text(&running).await;
    running.order(Order::Steer("[[say:Something else.]]".into()));
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Something else.");
    assert_eq!(ended.usage.input, 200);
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_resume_after_kill() {
    let place = Place::new();
    let claude = claude(&place, None);
    // A session whose first turn is killed within a moment of its first word may not be on disk yet; then Claude Code
    // does not know it and the next try begins anew. One that has a turn behind it is.
    let (ended, _) = run(&claude, place.assignment("[[say:Remembered.]]")).await;
    let session = ended.session.expect("a session");
    let running = Try::begin(
        &claude,
        resumed(
            &place,
            &session,
            "[[hold:never]] [[say:A long story that is held back.]]",
        ),
    );
    first_text(&running).await;
    let warden = running
        .until("its start", |event| match event {
            AgentEvent::Started { process, .. } => *process,
            _ => None,
        })
        .await;
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", warden.pid)).expect("children");
    for child in children.split_whitespace() {
        kill(Pid::from_raw(child.parse().expect("a number")), Signal::SIGKILL).expect("killed");
    }
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    assert!(ended.usage.input >= 100, "what was sent was paid for");
    let session = ended.session.expect("a session");
    let (ended, _) = run(&claude, resumed(&place, &session, "[[say:Back again.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_unknown_session() {
    let place = Place::new();
    let gone = resumed(&place, "99999999-2222-4333-8444-555555555555", "[[say:x]]");
    let (ended, _) = run(&claude(&place, None), gone).await;
    assert_eq!((ended.outcome, ended.session), (Outcome::Crashed, None));
    assert!(ended.detail.contains("No conversation found"), "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_rate_limit() {
    let place = Place::new();
    let (ended, events) = run(
        &claude(&place, None),
        place.assignment("[[fault:429-retry-after-1]] [[say:x]]"),
    )
    .await;
    match ended.outcome {
        Outcome::RateLimited {
            retry_after_ms: Some(ms),
        } => assert!((1_000..3_000).contains(&ms), "{ms}"),
        other => panic!("{other:?} {}", ended.detail),
    }
    assert_eq!(ended.cost, Cost::Actual(0));
    assert_eq!(place.api.turns().len(), 3, "the vendor's own tries are bounded");
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Limit { .. })));
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_stalled_stream() {
    let place = Place::new();
    let claude = claude(&place, None);
    let running = Try::begin(
        &claude,
        place.assignment("[[fault:stall]] [[say:This begins and stops.]]"),
    );
    first_text(&running).await;
    // The engine's idle timer would act now.
    let before = running.events().len();
    let more = running.until("more", |_| (running.events().len() > before + 4).then_some(()));
    assert!(
        tokio::time::timeout(Duration::from_secs(3), more).await.is_err(),
        "a stall is told as one"
    );
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    let session = ended.session.expect("a session");
    let (ended, _) = run(&claude, resumed(&place, &session, "[[say:Fine now.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_truncated_stream() {
    // The CLI asks again, in the end without a stream. What it answers then is whole; what never is, is a failure.
    let place = Place::new();
    let (ended, _) = run(
        &claude(&place, None),
        place.assignment("[[fault:cutx1]] [[say:Whole in the end.]]"),
    )
    .await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Whole in the end.");

    let place = Place::new();
    let (ended, events) = run(
        &claude(&place, None),
        place.assignment("[[fault:cut]] [[say:Never whole, again and again.]]"),
    )
    .await;
    assert!(
        matches!(ended.outcome, Outcome::Truncated | Outcome::Overloaded),
        "{:?} {}",
        ended.outcome,
        ended.detail
    );
    assert!(
        ended.usage.total() > 0 || ended.cost == Cost::Unknown,
        "broken requests are not for nothing: {ended:?} {events:?}"
    );
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_failures_have_their_class() {
    for (fault, expected) in [
        ("401", Outcome::Auth),
        ("500", Outcome::Overloaded),
        ("529", Outcome::Overloaded),
        ("oversize", Outcome::ContextTooLong),
        ("404-retired", Outcome::Unavailable),
        ("empty", Outcome::Empty),
    ] {
        let place = Place::new();
        let prompt = format!("[[fault:{fault}]] [[say:x]]");
        let (ended, _) = run(&claude(&place, None), place.assignment(&prompt)).await;
        assert_eq!(ended.outcome, expected, "{fault}: {}", ended.detail);
        assert_ne!(ended.detail, "", "{fault}");
    }
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_a_refused_connection() {
    let place = Place::new();
    let (ended, _) = run(&claude_at(&place, None, "http://127.0.0.1:9"), place.assignment("x")).await;
    assert_eq!(ended.outcome, Outcome::Overloaded, "{}", ended.detail);
    assert_eq!(ended.cost, Cost::Actual(0));
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_children_are_waited_for() {
    let place = Place::new();
    let task = r#"{"description":"look","prompt":"[[delay:1500]] [[say:The child is done.]]","subagent_type":"general-purpose"}"#;
    let prompt = format!("[[tool:Agent {task}]] [[say:Started it.]]");
    let (ended, events) = run(&claude(&place, None), place.assignment(&prompt)).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, AgentEvent::Child { detail, .. } if detail.contains("completed")))
    );
    assert!(
        ended.usage.input >= 400,
        "the child's requests are counted: {:?}",
        ended.usage
    );
}

#[tokio::test]
#[ignore = "needs the real Claude Code"]
async fn real_agents_claude_leaves_no_shell_tool_behind() {
    let place = Place::new();
    let marker = place.work().join("started");
    let prompt = format!("[[run:touch {}; exec tail -f /dev/null]] [[say:x]]", marker.display());
    let running = Try::begin(&claude(&place, Some("acceptEdits")), place.assignment(&prompt));
    let request = running
        .until("a permission", |event| match event {
            AgentEvent::Permission { request, .. } => Some(request.clone()),
            _ => None,
        })
        .await;
    running.order(Order::Answer {
        request,
        answer: Reply::Allow,
    });
    let started = async {
        while !marker.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(rig::PATIENCE, started)
        .await
        .expect("the command starts");
    running.order(Order::Kill);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed);
    assert!(!ended.detail.contains("would not die"), "{}", ended.detail);
    let left: Vec<_> = processes_in(&place.work());
    assert!(left.is_empty(), "{left:?}");
}

/// Processes that work in a directory.
fn processes_in(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("proc").flatten();
    entries
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == directory))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
        .collect()
}
