//! The Codex backend with the real Codex against the fake model. Run by hand:
//! `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-agents -- --ignored real_agents_codex`.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wheelhouse_agents::codex::{Codex, Config, Mode};
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

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9/v1";

const MODES: [Mode; 2] = [Mode::AppServer, Mode::Exec];

fn codex(place: &Place, mode: Mode, sandbox: &str) -> Codex {
    codex_at(place, mode, sandbox, &place.api.openai_url())
}

fn codex_at(place: &Place, mode: Mode, sandbox: &str, url: &str) -> Codex {
    let mut config = Config::new("codex");
    config.mode = mode;
    config.sandbox = sandbox.to_owned();
    config.model = Some("gpt-5.5".to_owned());
    config.state_dir = Some(place.state());
    config.env.insert("OPENAI_API_KEY".to_owned(), "test-key".to_owned());
    for setting in [
        "model_provider=\"fake\"".to_owned(),
        "check_for_update_on_startup=false".to_owned(),
        "analytics.enabled=false".to_owned(),
        "model_providers.fake.name=\"fake\"".to_owned(),
        format!("model_providers.fake.base_url=\"{url}\""),
        "model_providers.fake.env_key=\"OPENAI_API_KEY\"".to_owned(),
        "model_providers.fake.wire_api=\"responses\"".to_owned(),
    ] {
        config.extra_args.extend(["-c".to_owned(), setting]);
    }
    Codex::new(keeper(), config)
}

async fn run(codex: &Codex, assignment: Assignment) -> (Ended, Vec<AgentEvent>) {
    Try::begin(codex, assignment).end().await
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
#[ignore = "needs the real Codex"]
async fn real_agents_codex_simple_turn() {
    for mode in MODES {
        let place = Place::new();
        let (ended, events) = run(
            &codex(&place, mode, "workspace-write"),
            place.assignment("[[say:Hello there.]]"),
        )
        .await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{mode:?}: {}", ended.detail);
        assert_eq!(text(&events), "Hello there.");
        let usage = ended.usage;
        assert_eq!(
            (
                usage.input,
                usage.cache_read,
                usage.cache_write,
                usage.output,
                usage.source
            ),
            (100, 2_000, 300, 7, UsageSource::Reported),
            "{mode:?}"
        );
        assert_eq!(ended.cost, Cost::Unknown);
        assert!(!noticed(&events, "outside the versions"), "{events:?}");
        assert!(!noticed(&events, "were not understood"), "{events:?}");
        place.assert_protocol_kept();
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_version() {
    let place = Place::new();
    let codex = codex(&place, Mode::Exec, "read-only");
    let version = codex.version(place.assignment("").env).await.expect("a version");
    assert!(version.number.is_some());
    assert_eq!(version.untested, None);
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_file_edit() {
    for mode in MODES {
        let place = Place::new();
        let prompt = "[[edit:hello.txt:hi\\n]] [[say:Written.]]";
        let (ended, _) = run(&codex(&place, mode, "workspace-write"), place.assignment(prompt)).await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{mode:?}: {}", ended.detail);
        assert_eq!(place.read("hello.txt").as_deref(), Some("hi\n"), "{mode:?}");
        assert_eq!(ended.result.files, ["hello.txt"], "{mode:?}");
        assert_eq!((ended.usage.input, ended.usage.output), (200, 14), "{mode:?}");
        place.assert_protocol_kept();
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_permission_both_ways() {
    for (answer, file) in [(Reply::Allow, Some("hi\n")), (Reply::Deny("not now".into()), None)] {
        let place = Place::new();
        let codex = codex(&place, Mode::AppServer, "read-only");
        let running = Try::begin(&codex, place.assignment("[[edit:hello.txt:hi\\n]] [[say:Answered.]]"));
        let request = running
            .until("a permission", |event| match event {
                AgentEvent::Permission { request, tool, detail } => {
                    assert_eq!(tool, "edit");
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
#[ignore = "needs the real Codex"]
async fn real_agents_codex_a_patch_refused_by_the_sandbox_is_no_success() {
    let place = Place::new();
    let prompt = "[[edit:hello.txt:hi\\n]] [[say:Done.]]";
    let (ended, _) = run(&codex(&place, Mode::Exec, "read-only"), place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::GateFailed, "{}", ended.detail);
    assert_eq!(place.read("hello.txt"), None);
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_interrupt_and_go_on() {
    let place = Place::new();
    let codex = codex(&place, Mode::AppServer, "workspace-write");
    let running = Try::begin(
        &codex,
        place.assignment("[[hold:never]] [[say:A long story that is held back.]]"),
    );
    first_text(&running).await;
    running.order(Order::Interrupt);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Cancelled, "{}", ended.detail);
    assert_eq!(ended.result.exit_code, Some(0));
    assert_eq!(ended.usage.source, UsageSource::Estimated);
    assert!(ended.usage.total() > 0);
    let session = ended.session.expect("a thread");
    let (ended, _) = run(&codex, resumed(&place, &session, "[[say:On we go.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
    assert_eq!((ended.usage.input, ended.usage.source), (100, UsageSource::Reported));
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_words_in_the_middle() {
    let place = Place::new();
    let codex = codex(&place, Mode::AppServer, "workspace-write");
    let running = Try::begin(
        &codex,
        place.assignment("[[hold:gate]] [[say:A long story that is held back.]]"),
    );
    first_text(&running).await;
    running.order(Order::Steer("[[say:Something else.]]".into()));
    // Codex takes the words in when the request under way is over.
    running
        .until("a sign", |event| matches!(event, AgentEvent::Alive).then_some(()))
        .await;
    place.api.release("gate");
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Something else.");
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_resume_after_kill() {
    let place = Place::new();
    let codex = codex(&place, Mode::AppServer, "workspace-write");
    let running = Try::begin(
        &codex,
        place.assignment("[[hold:never]] [[say:A story that is held back.]]"),
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
    assert!(ended.usage.total() > 0);
    let session = ended.session.expect("a thread");
    let (ended, _) = run(&codex, resumed(&place, &session, "[[say:Back again.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.session.as_deref(), Some(session.as_str()));
    assert_eq!((ended.usage.input, ended.usage.source), (100, UsageSource::Reported));
    place.assert_protocol_kept();
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_one_shots_go_on_in_their_thread() {
    let place = Place::new();
    let codex = codex(&place, Mode::Exec, "workspace-write");
    let (ended, _) = run(&codex, place.assignment("[[say:First.]]")).await;
    let session = ended.session.expect("a thread");
    let (ended, _) = run(&codex, resumed(&place, &session, "[[say:Second.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Second.");
    assert_eq!((ended.usage.input, ended.usage.source), (100, UsageSource::Reported));
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_unknown_session() {
    for mode in MODES {
        let place = Place::new();
        let gone = resumed(&place, "01a1f8b8-1e87-7630-98f6-ea434055a4cb", "[[say:x]]");
        let (ended, _) = run(&codex(&place, mode, "workspace-write"), gone).await;
        assert_eq!(
            (ended.outcome, ended.session),
            (Outcome::Crashed, None),
            "{mode:?}: {}",
            ended.detail
        );
        assert!(ended.detail.contains("no rollout found"), "{mode:?}: {}", ended.detail);
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_rate_limit() {
    for mode in MODES {
        let place = Place::new();
        let codex = codex(&place, mode, "workspace-write");
        let (ended, events) = run(&codex, place.assignment("[[fault:429-retry-after-1]] [[say:x]]")).await;
        assert!(
            matches!(ended.outcome, Outcome::RateLimited { .. }),
            "{mode:?}: {:?} {}",
            ended.outcome,
            ended.detail
        );
        assert_eq!(ended.cost, Cost::Actual(0), "{mode:?}");
        assert!(noticed(&events, "tries again"), "{mode:?}: {events:?}");
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_stalled_stream() {
    let place = Place::new();
    let codex = codex(&place, Mode::AppServer, "workspace-write");
    let running = Try::begin(
        &codex,
        place.assignment("[[fault:stall]] [[say:This begins and stops.]]"),
    );
    first_text(&running).await;
    let before = running.events().len();
    let more = running.until("more", |_| (running.events().len() > before + 4).then_some(()));
    assert!(
        tokio::time::timeout(Duration::from_secs(3), more).await.is_err(),
        "a stall is told as one"
    );
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
    let session = ended.session.expect("a thread");
    let (ended, _) = run(&codex, resumed(&place, &session, "[[say:Fine now.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_truncated_stream() {
    for mode in MODES {
        let place = Place::new();
        let codex = codex(&place, mode, "workspace-write");
        let (ended, _) = run(
            &codex,
            place.assignment("[[fault:cut]] [[say:Never whole, again and again.]]"),
        )
        .await;
        assert_eq!(ended.outcome, Outcome::Truncated, "{mode:?}: {}", ended.detail);
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_failures_have_their_class() {
    for mode in MODES {
        for (fault, expected) in [
            ("401", Outcome::Auth),
            ("500", Outcome::Overloaded),
            ("oversize", Outcome::ContextTooLong),
            ("404-retired", Outcome::Unavailable),
            ("empty", Outcome::Empty),
        ] {
            let place = Place::new();
            let prompt = format!("[[fault:{fault}]] [[say:x]]");
            let (ended, _) = run(&codex(&place, mode, "workspace-write"), place.assignment(&prompt)).await;
            assert_eq!(ended.outcome, expected, "{mode:?} {fault}: {}", ended.detail);
        }
    }
}

#[tokio::test]
#[ignore = "needs the real Codex"]
async fn real_agents_codex_a_refused_connection_is_not_tried_for_ever() {
    for mode in MODES {
        let place = Place::new();
        let codex = codex_at(&place, mode, "workspace-write", NOBODY);
        let (ended, events) = run(&codex, place.assignment("x")).await;
        assert_eq!(
            ended.outcome,
            Outcome::Overloaded,
            "{mode:?}: {} {events:?}",
            ended.detail
        );
        assert_eq!(ended.cost, Cost::Actual(0), "{mode:?}");
    }
}
