//! Every fault of the fake in every format: the class, what was used, and how often the server was asked.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use wheelhouse_agents::api::{Config, Patience, Source};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::support::{APIS, SECRET, rig};

/// Timers for faults that must run into them.
fn hasty(config: Config) -> Config {
    Config {
        patience: Patience {
            first_byte: Duration::from_millis(400),
            stall: Duration::from_millis(400),
        },
        ..config
    }
}

fn limited(retry_after_ms: Option<u64>) -> Outcome {
    Outcome::RateLimited { retry_after_ms }
}

#[tokio::test]
async fn every_fault_has_its_class_and_is_met_once() {
    let table: [(&str, Outcome, &str); 17] = [
        ("500", Outcome::Overloaded, "HTTP 500"),
        ("429", limited(None), "HTTP 429"),
        ("429-retry-after-7", limited(Some(7_000)), "HTTP 429"),
        ("529", Outcome::Overloaded, "verloaded"),
        ("401", Outcome::Auth, "the key is the one in THE_KEY"),
        ("404-retired", Outcome::Unavailable, "HTTP 404"),
        ("oversize", Outcome::ContextTooLong, "250000"),
        ("hang", Outcome::Stalled, "no answer began within"),
        ("stall", Outcome::Stalled, "in the middle of the answer"),
        ("cut", Outcome::Truncated, "connection broke"),
        ("reset", Outcome::Truncated, "connection broke"),
        ("cut-clean", Outcome::Truncated, "closed the stream early"),
        ("error-event", Outcome::Overloaded, "verloaded"),
        ("200-error", Outcome::Overloaded, "verloaded"),
        ("garbage", Outcome::Malformed, "not answer with a stream"),
        ("empty", Outcome::Empty, "said nothing"),
        ("max-tokens", Outcome::Truncated, "limit on its length"),
    ];
    for api in APIS {
        for (fault, outcome, words) in &table {
            let rig = rig();
            let config = hasty(rig.config(api));
            let tried = rig
                .ask(config, &format!("[[fault:{fault}]][[usage:10,20,0,7,0]]Hello"))
                .await;
            let at = format!("{api} {fault}: {}", tried.ended.detail);
            assert_eq!(&tried.ended.outcome, outcome, "{at}");
            assert!(tried.ended.detail.contains(words), "{at}");
            assert_eq!(rig.fake.turns().len(), 1, "{at}: nothing is tried again here");
            rig.no_violations();
        }
    }
}

#[tokio::test]
async fn quotas_and_refusals_are_told_apart_from_failures() {
    for api in APIS {
        let rig = rig();
        let tried = rig.ask(rig.config(api), "[[fault:quota]]Hello").await;
        assert!(
            matches!(tried.ended.outcome, Outcome::Quota { .. }),
            "{api}: {:?}",
            tried.ended
        );
        let tried = rig.ask(rig.config(api), "[[fault:quota-retry-after-3600]]Hello").await;
        let Outcome::Quota { resets_at: Some(at) } = tried.ended.outcome else {
            panic!("{api}: {:?}", tried.ended);
        };
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let wait = at.0.saturating_sub(u64::try_from(now.as_millis()).unwrap());
        assert!((3_500_000..=3_600_000).contains(&wait), "{api}: {wait}");
        let tried = rig.ask(rig.config(api), "[[fault:refusal]]Hello").await;
        assert_eq!(tried.ended.outcome, Outcome::Refused, "{api}: {}", tried.ended.detail);
    }
}

#[tokio::test]
async fn what_was_used_is_known_after_a_failure() {
    for (api, fault, input, source) in [
        // Anthropic tells the input first: it is known although the answer was cut.
        ("anthropic", "cut", (10, 20), UsageSource::Estimated),
        ("anthropic", "stall", (10, 20), UsageSource::Estimated),
        ("anthropic", "error-event", (10, 20), UsageSource::Estimated),
        ("anthropic", "max-tokens", (10, 20), UsageSource::Reported),
        ("openai", "max-tokens", (10, 20), UsageSource::Reported),
        ("gemini", "max-tokens", (10, 20), UsageSource::Reported),
    ] {
        let rig = rig();
        let prompt = format!("[[fault:{fault}]][[usage:10,20,0,7,0]]Hello");
        let ended = rig.ask(hasty(rig.config(api)), &prompt).await.ended;
        assert_eq!((ended.usage.input, ended.usage.cache_read), input, "{api} {fault}");
        assert_eq!(
            (ended.usage.source, ended.cost),
            (source, Cost::Unknown),
            "{api} {fault}"
        );
        assert!(ended.usage.output > 0, "{api} {fault}: some of it was said");
    }
    let rig = rig();
    let ended = rig.ask(rig.config("openai"), "[[fault:cut]]Hello").await.ended;
    assert!(ended.usage.input > 0, "the prompt is estimated where nothing was told");
    let ended = rig.ask(rig.config("openai"), "[[fault:429]]Hello").await.ended;
    assert_eq!(
        (ended.usage.total(), ended.cost),
        (0, Cost::Actual(0)),
        "a refusal costs nothing"
    );
}

/// Half of the answer is kept: it was paid for, and somebody may want to see it.
#[tokio::test]
async fn half_an_answer_is_kept() {
    for api in APIS {
        let rig = rig();
        let tried = rig
            .ask(
                rig.config(api),
                "[[say:one two three four five six]][[fault:cut-clean]]",
            )
            .await;
        let output = tried.output();
        assert!(
            !output.is_empty() && "one two three four five six".starts_with(&output),
            "{api}: {output}"
        );
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_said_so() {
    let rig = rig();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = Config {
        base_url: Some(format!("http://{free}/v1")),
        ..rig.config("openai")
    };
    let ended = rig.ask(config, "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Overloaded, "{}", ended.detail);
    assert!(ended.detail.contains("cannot be reached"), "{}", ended.detail);
}

/// Answers one connection with these bytes and closes it.
fn once(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        stream.write_all(answer).unwrap();
        // The rest of the request is read, else closing would reset what was written.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    format!("http://{address}/v1")
}

/// A key must not travel where the settings did not send it, nor come back in what a server says.
#[tokio::test]
async fn redirects_are_not_followed_and_echoed_keys_are_not_repeated() {
    let rig = rig();
    let moved = once(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n");
    let config = |base_url| Config {
        base_url: Some(base_url),
        ..rig.config("openai")
    };
    let ended = rig.ask(config(moved), "Hello").await.ended;
    assert_eq!(
        ended.detail.split(' ').take(2).collect::<Vec<_>>(),
        ["HTTP", "302"],
        "{}",
        ended.detail
    );

    let echo = once(
        b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n\
          {\"error\":{\"message\":\"no such key: sk-never-to-be-seen-42\"}}",
    );
    let ended = rig.ask(config(echo), "Hello").await.ended;
    assert_eq!(ended.outcome, Outcome::Auth);
    assert!(ended.detail.contains("no such key: [key]"), "{}", ended.detail);
    assert!(!format!("{ended:?}{}", rig.log()).contains(SECRET));
}

/// Some servers close the connection without an empty line after the last event, or leave out `[DONE]`.
#[tokio::test]
async fn endings_of_compatible_servers_count() {
    let rig = rig();
    let plain = once(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
          data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n\
          data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}",
    );
    let config = Config {
        base_url: Some(plain),
        key: Source::None,
        ..rig.config("openai-chat")
    };
    let tried = rig.ask(config, "Hello").await;
    assert_eq!(
        (tried.ended.outcome.class(), tried.output().as_str()),
        ("succeeded", "Hi"),
        "{}",
        tried.ended.detail
    );
    assert_eq!(
        tried.ended.usage.source,
        UsageSource::Estimated,
        "nobody told the usage"
    );
}
