//! What comes of a request that goes well.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use wheelhouse_agents::api::{Api, Cache, Config, Http};
use wheelhouse_core::agent::AgentEvent;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::schema::Schema;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use crate::support::{APIS, begin, begin_with, rig};

#[tokio::test]
async fn every_format_gives_text_thought_and_five_numbers() {
    for api in APIS {
        let rig = rig();
        let prompt = "[[think:Let me see.]][[say:All is well.]][[usage:11,222,33,44,5]][[shred:7]]";
        let tried = rig.ask(rig.config(api), prompt).await;
        assert_eq!(tried.ended.outcome, Outcome::Succeeded, "{api}: {}", tried.ended.detail);
        assert_eq!(
            (tried.output().as_str(), tried.text().as_str()),
            ("All is well.", "All is well."),
            "{api}"
        );
        assert_eq!(tried.ended.result.summary, "All is well.");
        let thought = |event: &AgentEvent| matches!(event, AgentEvent::Thought(_));
        assert!(tried.events.iter().any(thought), "{api}: {:?}", tried.events);
        // Anthropic does not tell reasoning apart, Gemini no cache writes.
        let (cache_write, output, reasoning) = match api {
            "anthropic" => (33, 49, 0),
            "gemini" => (0, 44, 5),
            _ => (33, 44, 5),
        };
        let expected = Usage {
            input: 11,
            cache_read: 222,
            cache_write,
            output,
            reasoning,
            source: UsageSource::Reported,
        };
        assert_eq!(
            (tried.ended.usage, tried.ended.cost),
            (expected, Cost::Unknown),
            "{api}"
        );
        rig.no_violations();
        assert_eq!(tried.notices(), Vec::<&str>::new(), "{api}");
        assert!(
            rig.log().lines().count() >= 3,
            "the raw answer is in the log: {}",
            rig.log()
        );
    }
}

#[tokio::test]
async fn unknown_events_are_counted_and_said() {
    for api in APIS {
        let rig = rig();
        let tried = rig.ask(rig.config(api), "[[say:Fine.]][[fault:noise]]").await;
        assert_eq!(
            (tried.ended.outcome.class(), tried.output().as_str()),
            ("succeeded", "Fine."),
            "{api}"
        );
        assert!(
            tried.notices().iter().any(|words| words.contains("not understood")),
            "{api}: {:?}",
            tried.notices()
        );
    }
}

#[tokio::test]
async fn a_role_an_effort_and_a_limit_break_no_rule() {
    for api in APIS {
        let rig = rig();
        let mut assignment = rig.assignment("Hello.");
        assignment.role = Some("You are brief.".to_owned());
        assignment.model = Some("model-2".to_owned());
        let config = Config {
            effort: Some("low".to_owned()),
            output_tokens_max: Some(100),
            cache: Cache::Prompt,
            ..rig.config(api)
        };
        let tried = begin(config, assignment).end().await;
        assert_eq!(tried.ended.outcome, Outcome::Succeeded, "{api}: {}", tried.ended.detail);
        rig.no_violations();
        let turns = rig.fake.turns();
        assert_eq!(
            (turns.len(), turns[0].model.as_str()),
            (1, "model-2"),
            "{api}: the task's model wins"
        );
        assert!(turns[0].stream, "{api}");
    }
}

#[tokio::test]
async fn an_answer_by_schema_is_asked_for_and_checked() {
    let schema = r#"{"type":"object","properties":{"kind":{"enum":["bug","wish"]}},"required":["kind"],"additionalProperties":false}"#;
    let schema = Arc::new(Schema::parse(schema).unwrap());
    for api in APIS {
        let rig = rig();
        let config = || Config {
            schema: Some(Arc::clone(&schema)),
            ..rig.config(api)
        };
        // Without orders the fake says the plainest value that the schema in the request allows.
        let tried = rig.ask(config(), "Which is it?").await;
        assert_eq!(tried.ended.outcome, Outcome::Succeeded, "{api}: {}", tried.ended.detail);
        assert_eq!(tried.output(), r#"{"kind":"bug"}"#, "{api}");
        let tried = rig.ask(config(), "[[say:```json\\n{\"kind\": \"wish\"}\\n```]]").await;
        assert_eq!(tried.output(), r#"{"kind": "wish"}"#, "{api}: the fence is taken off");
        let tried = rig.ask(config(), "[[say:{\"kind\": \"song\"}]]").await;
        assert_eq!(tried.ended.outcome, Outcome::Malformed, "{api}");
        assert!(tried.ended.detail.contains("#/kind"), "{}", tried.ended.detail);
        assert!(tried.ended.usage.total() > 0, "what it took is on record");
    }
}

/// The server takes one connection and no other.
#[tokio::test]
async fn a_connection_is_used_again() {
    const ANSWER: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut taken = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            taken.extend_from_slice(&piece[..count]);
            if taken.ends_with(b"}") {
                taken.clear();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                let body = format!("{head}{:x}\r\n{ANSWER}\r\n0\r\n\r\n", ANSWER.len());
                stream.write_all(body.as_bytes()).unwrap();
            }
        }
    });
    let rig = rig();
    let config = Config {
        base_url: Some(format!("http://{address}/v1")),
        ..rig.config("openai-chat")
    };
    let agent = Api::new(Arc::new(Http::default()), config);
    for turn in 0..3 {
        let tried = begin_with(&agent, rig.assignment("Hello.")).end().await;
        assert_eq!(
            tried.ended.outcome,
            Outcome::Succeeded,
            "{turn}: {}",
            tried.ended.detail
        );
    }
}
