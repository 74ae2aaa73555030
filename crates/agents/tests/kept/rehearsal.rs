//! The stand-in as a backend: labelled, free, deterministic, and as well kept as any agent.

use wheelhouse_agents::rehearsal::Rehearsal;
use wheelhouse_core::agent::{Agent, AgentEvent, Ended, Input, Order};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::support::{self, Attempt, EXE, Rig, rig, until};

fn begin(rig: &Rig, prompt: &str) -> Attempt {
    let rehearsal = Rehearsal::new(rig.keeper.clone(), EXE.into());
    support::attempt(&rehearsal, rig.assignment(Input::Prompt(prompt.to_owned())))
}

async fn answer(rig: &Rig, prompt: &str) -> Ended {
    let ended = begin(rig, prompt).end().await;
    assert!(ended.result.rehearsed);
    assert_eq!(ended.cost, Cost::Free);
    ended
}

#[tokio::test]
async fn answers_are_labelled_and_the_same_every_time() {
    let rig = rig();
    let prompt = "Review src/auth.\n<output task=\"facts\" field=\"summary\" trust=\"untrusted\">\na\nb\n</output>\n";
    let attempt = begin(&rig, prompt);
    let events = attempt.events.clone();
    let first = attempt.end().await;
    assert_eq!(first.outcome, Outcome::Succeeded);
    let text = String::from_utf8(first.outputs[0].clone()).unwrap();
    assert!(text.starts_with("[rehearsed] "), "{text}");
    for words in ["The task: Review src/auth.", "- `facts`: 2 lines, 4 bytes"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(first.result.summary, text.trim());
    assert_eq!(first.result.artifacts[0].name, "output");
    assert_eq!(first.usage.source, UsageSource::Estimated);
    assert_eq!(first.usage.input, (prompt.len() as u64).div_ceil(4));
    assert_eq!(first.usage.output, (text.len() as u64).div_ceil(4));
    assert_eq!(answer(&rig, prompt).await, first);

    let events = events.all();
    let said: String = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, text);
    assert!(events.contains(&AgentEvent::Usage(first.usage)));
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Thought(_))));
    assert!(
        std::fs::read_to_string(rig.path("log"))
            .unwrap()
            .contains("\"type\":\"started\"")
    );
}

#[tokio::test]
async fn a_prompt_of_a_megabyte_arrives_whole() {
    let rig = rig();
    let prompt = "é is two bytes. ".repeat(64 << 10);
    let ended = answer(&rig, &prompt).await;
    let text = String::from_utf8(ended.outputs[0].clone()).unwrap();
    assert!(
        text.contains("The prompt: 1 line, 1,114,112 bytes, about 262,144 tokens."),
        "{text}"
    );
}

#[tokio::test]
async fn planners_get_their_tasks_back() {
    let rig = rig();
    let json = "[{\"id\": \"a\", \"prompt\": \"x\"}]";
    let ended = answer(&rig, &format!("Plan.\nrehearse: tasks {json}\n")).await;
    assert_eq!(ended.outcome, Outcome::Succeeded);
    assert_eq!(ended.outputs[0], json.as_bytes());
}

#[tokio::test]
async fn directed_ends_are_classified() {
    let rig = rig();
    for (directive, outcome, detail) in [
        ("fail no coffee", Outcome::Crashed, "rehearsed failure: no coffee"),
        (
            "dance",
            Outcome::Crashed,
            "`rehearse: dance` is unknown; there are fail, hang",
        ),
        ("empty", Outcome::Empty, "said nothing"),
        ("sleep 20ms", Outcome::Succeeded, ""),
    ] {
        let ended = answer(&rig, &format!("Do it.\nrehearse: {directive}")).await;
        assert_eq!(ended.outcome, outcome, "{directive}");
        assert!(ended.detail.contains(detail), "{directive}: {}", ended.detail);
        assert!(
            ended.result.summary.starts_with("[rehearsed]"),
            "{}",
            ended.result.summary
        );
    }
}

#[tokio::test]
async fn a_verdict_is_part_of_the_result() {
    let rig = rig();
    let ended = answer(&rig, "Judge it and give a verdict.").await;
    assert!(ended.result.verdict.unwrap().starts_with("STATUS: warn\n"));
    let text = String::from_utf8(ended.outputs[0].clone()).unwrap();
    assert!(
        text.ends_with("\n---\n") && text.contains("--- VERDICT ---\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_hanging_one_is_stopped() {
    let rig = rig();
    let attempt = begin(&rig, "rehearse: hang");
    let events = attempt.events.clone();
    until("it thinks", || {
        events.all().iter().any(|event| matches!(event, AgentEvent::Thought(_)))
    })
    .await;
    attempt.orders.send(Order::Stop).unwrap();
    let ended = attempt.end().await;
    assert_eq!(
        (ended.outcome, ended.detail.as_str()),
        (Outcome::Killed, "stopped by order")
    );
    assert!(ended.result.rehearsed);
}

#[tokio::test]
async fn without_the_binary_it_is_unavailable() {
    let rig = rig();
    let rehearsal = Rehearsal::new(rig.keeper.clone(), "/no/such/binary".into());
    let assignment = rig.assignment(Input::Prompt("Hello.".to_owned()));
    let ended = support::attempt(&rehearsal, assignment).end().await;
    assert_eq!(ended.outcome, Outcome::Unavailable);
    assert!(ended.result.rehearsed);
    assert!(rehearsal.capabilities().usage);
}
