//! Lies about usage, told by a provider over a socket: what cannot be true is not booked, and nothing is booked twice.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use wheelhouse_testkit::model_api;

use crate::House;

/// What each provider says: the numbers at the beginning of its answer, those at its end (perhaps repeatedly), the answer.
type Said = (Value, Vec<Value>, &'static str);

/// By the task that asks.
fn said(prompt: &str) -> Said {
    const SHORT: &str = "an answer of 28 bytes in all";
    let start = json!({"input_tokens": 1000, "output_tokens": 1});
    let end = json!({"output_tokens": 10});
    let lie = prompt.split("Tell lie ").nth(1).unwrap_or_default();
    match lie.split('.').next().unwrap_or_default() {
        "honest" => (start, vec![end], SHORT),
        "twice" => (
            start,
            vec![end, json!({"input_tokens": 1000, "output_tokens": 10})],
            SHORT,
        ),
        "shrinks" => (start, vec![json!({"input_tokens": 1, "output_tokens": 10})], SHORT),
        "negative-output" => (start, vec![json!({"output_tokens": -500})], SHORT),
        "negative-input" => (json!({"input_tokens": -1000}), vec![end], SHORT),
        "negative-cache" => (
            json!({"input_tokens": 1000, "cache_read_input_tokens": -900}),
            vec![end],
            SHORT,
        ),
        "nothing" => (json!({"input_tokens": 0}), vec![json!({"output_tokens": 0})], SHORT),
        "silent" => (json!({}), vec![json!({})], SHORT),
        "too-little" => (
            start,
            vec![json!({"output_tokens": 2})],
            Box::leak("word ".repeat(1000).into_boxed_str()),
        ),
        other => panic!("no such lie: {other}"),
    }
}

/// Reads a request and answers it as `said`, in Anthropic's format.
fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let Some(body) = model_api::request_body(&mut reader)? else {
        return Ok(());
    };
    let (start, ends, text) = said(&String::from_utf8_lossy(&body));
    let mut events = vec![
        json!({"type": "message_start", "message": {"model": "claude-sonnet-4-6", "usage": start}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    ];
    for end in ends {
        events.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end}));
    }
    events.push(json!({"type": "message_stop"}));
    let mut sent = String::new();
    for event in events {
        sent += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    }
    write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{sent}",
        sent.len()
    )
}

/// A provider that lies, for as long as the test runs; gives back its address.
fn liar() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that went away is the engine's business.
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    format!("http://{address}")
}

#[test]
fn lies_about_usage_are_not_booked() {
    // What is told of the tokens: in, out, how it is known. A dash: our own estimate, more than nothing.
    let lies: [(&str, Option<u64>, u64, &str); 9] = [
        ("honest", Some(1000), 10, "reported"),
        ("twice", Some(1000), 10, "reported"),
        ("shrinks", Some(1000), 10, "estimated"),
        ("negative-output", Some(1000), 7, "estimated"),
        ("negative-input", None, 10, "estimated"),
        ("negative-cache", Some(1000), 10, "estimated"),
        ("nothing", None, 7, "estimated"),
        ("silent", None, 7, "estimated"),
        ("too-little", Some(1000), 1250, "estimated"),
    ];
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.sonnet]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\n\
             model = \"claude-sonnet-4-6\"\nkey_env = \"A_KEY\"\n",
            liar()
        ),
    );
    let mut plan = "budget: {usd: 5.00}\ndefaults: {agent: sonnet, retry: {max: 0}}\ntasks:\n".to_owned();
    for (lie, ..) in &lies {
        plan += &format!("  - {{id: {lie}, prompt: 'Tell lie {lie}.'}}\n");
    }
    house.write("plan.yaml", &plan);
    house.ok(&["run", "plan.yaml"]);

    let mut sum = 0;
    for (lie, input, output, source) in lies {
        let task = house.json(&["status", lie]);
        let usage = &task["attempts"][0]["usage"];
        assert_eq!(usage["source"], source, "{lie}: {task:#}");
        assert_eq!(usage["output"], output, "{lie}: {task:#}");
        assert_eq!(usage["cache_read"], 0, "{lie}: {task:#}");
        let told = usage["input"].as_u64().unwrap();
        match input {
            Some(input) => assert_eq!(told, input, "{lie}: {task:#}"),
            None => assert!((1..1000).contains(&told), "{lie}: {task:#}"),
        }
        // $3 and $15 the million.
        sum += told * 3_000 + output * 15_000;
    }
    let budget = &house.json(&["budget"])["budgets"][0];
    assert_eq!(budget["scope"], "r1", "{budget:#}");
    assert_eq!(
        budget["spent_nano"], sum,
        "what is known is what is paid for: {budget:#}"
    );
    house.ok(&["fsck"]);
}
