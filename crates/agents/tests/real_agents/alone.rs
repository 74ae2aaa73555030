//! What only one of the agents does.

use std::time::Duration;

use wheelhouse_core::agent::{AgentEvent, Order, Reply};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::cast::{CLAUDE, CODEX_EXEC, GEMINI, Leave, OPENCODE};
use crate::real::Place;
use crate::rig::{self, Try};
use crate::scenarios::{in_session, nothing_is_left_in, run, start};

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_a_denial_by_its_own_settings_is_no_success() {
    let place = Place::new();
    let (ended, _) = run(
        &start(&CLAUDE, &place, Leave::Never),
        place.assignment("[[edit:a.txt:x]] [[say:Done.]]"),
    )
    .await;
    assert_eq!(ended.outcome, Outcome::GateFailed, "{}", ended.detail);
    assert_eq!(place.read("a.txt"), None);
}

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_question() {
    let place = Place::new();
    let question = r#"{"questions":[{"question":"Which?","header":"Pick","multiSelect":false,"options":[{"label":"A","description":"first"},{"label":"B","description":"second"}]}]}"#;
    let prompt = format!("[[tool:AskUserQuestion {question}]] [[say:Thanks.]]");
    let running = Try::begin(start(&CLAUDE, &place, Leave::Asks).agent(), place.assignment(&prompt));
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
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_rate_limit() {
    let place = Place::new();
    let (ended, events) = run(
        &start(&CLAUDE, &place, Leave::Asks),
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
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_truncated_stream() {
    // The CLI asks again, in the end without a stream. What it answers then is whole; what never is, is a failure.
    let place = Place::new();
    let (ended, _) = run(
        &start(&CLAUDE, &place, Leave::Asks),
        place.assignment("[[fault:cutx1]] [[say:Whole in the end.]]"),
    )
    .await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Whole in the end.");

    let place = Place::new();
    let (ended, events) = run(
        &start(&CLAUDE, &place, Leave::Asks),
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
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_children_are_waited_for() {
    let place = Place::new();
    let task = r#"{"description":"look","prompt":"[[delay:1500]] [[say:The child is done.]]","subagent_type":"general-purpose"}"#;
    let prompt = format!("[[tool:Agent {task}]] [[say:Started it.]]");
    let (ended, events) = run(&start(&CLAUDE, &place, Leave::Asks), place.assignment(&prompt)).await;
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
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_claude_leaves_no_shell_tool_behind() {
    let place = Place::new();
    let marker = place.work().join("started");
    let prompt = format!("[[run:touch {}; exec tail -f /dev/null]] [[say:x]]", marker.display());
    let running = Try::begin(start(&CLAUDE, &place, Leave::Edits).agent(), place.assignment(&prompt));
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
    nothing_is_left_in(&place.work()).await;
}

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_codex_a_patch_refused_by_the_sandbox_is_no_success() {
    let place = Place::new();
    let prompt = "[[edit:hello.txt:hi\\n]] [[say:Done.]]";
    let (ended, _) = run(&start(&CODEX_EXEC, &place, Leave::Never), place.assignment(prompt)).await;
    assert_eq!(ended.outcome, Outcome::GateFailed, "{}", ended.detail);
    assert_eq!(place.read("hello.txt"), None);
}

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_codex_one_shots_go_on_in_their_thread() {
    let place = Place::new();
    let codex = start(&CODEX_EXEC, &place, Leave::Edits);
    let (ended, _) = run(&codex, place.assignment("[[say:First.]]")).await;
    let session = ended.session.expect("a thread");
    let (ended, _) = run(&codex, in_session(&place, Some(&session), "[[say:Second.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert_eq!(ended.outputs[0], b"Second.");
    assert_eq!((ended.usage.input, ended.usage.source), (100, UsageSource::Reported));
}

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_gemini_rate_limit() {
    let place = Place::new();
    let agent = start(&GEMINI, &place, Leave::Edits);
    let (ended, _) = run(&agent, place.assignment("[[fault:429x1]] [[say:Recovered.]]")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    // It waits and tries again without a word until it is ended; then it tells what it was busy with.
    let running = Try::begin(agent.agent(), place.assignment("[[fault:429]] [[say:x]]"));
    let tried = |attempts: &[wheelhouse_testkit::model_api::Attempt]| attempts.len() >= 5;
    place.api.until(rig::PATIENCE, tried).await.expect("further attempts");
    running.order(Order::Stop);
    let (ended, _) = running.end().await;
    assert_eq!(ended.outcome, Outcome::Killed, "{}", ended.detail);
}

#[tokio::test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
async fn real_agents_opencode_takes_a_model_and_says_which_there_are() {
    let place = Place::new();
    let agent = start(&OPENCODE, &place, Leave::Edits);
    let mut assignment = place.assignment("[[say:Other.]]");
    assignment.model = Some("fake/other-model".to_owned());
    let (ended, _) = run(&agent, assignment).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", ended.detail);
    assert!(place.api.turns().iter().any(|attempt| attempt.model == "other-model"));
    let mut assignment = place.assignment("[[say:x]]");
    assignment.model = Some("fake/nowhere".to_owned());
    let (ended, _) = run(&agent, assignment).await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(
        ended.detail.contains("the agent has no model fake/nowhere"),
        "{}",
        ended.detail
    );
}
