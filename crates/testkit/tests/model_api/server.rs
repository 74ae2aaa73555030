//! The server itself: the same bytes each time, its limits, its end, the program.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use wheelhouse_testkit::model_api::{Attempt, CONNECTIONS_MAX, Finished, Script, Vendor};

use crate::client::{PATIENCE, read, send};
use crate::vendors::{HELLO, VENDORS, ask, only, start, text, with_tools};

#[test]
fn the_same_script_and_requests_give_the_same_bytes() {
    let run = || {
        let api = start(Script::new());
        let mut bytes = Vec::new();
        for vendor in VENDORS {
            for stream in [true, false] {
                for prompt in [
                    "hi",
                    "hi",
                    "[[think:hm]][[edit:a.txt:x]]",
                    "[[fault:cut]]",
                    "[[long:20000]]",
                ] {
                    bytes.push(with_tools(ask(vendor, "m", prompt, stream), vendor).answer(&api).raw);
                }
            }
        }
        bytes
    };
    let (one, two) = (run(), run());
    assert_eq!(one.len(), 40);
    assert!(one == two, "two runs of one script differ");
    assert_ne!(one[0], one[1], "ids of two attempts differ");
}

#[test]
fn shredded_and_long_answers_arrive_whole() {
    let api = start(Script::new());
    for vendor in VENDORS {
        let said = "Grüße, 世界! 🎉 and more";
        let answer = ask(vendor, "m", &format!("[[say:{said}]][[shred:1]]"), true).answer(&api);
        assert_eq!(text(vendor, true, &answer), said, "{vendor:?}");
        let chunks = answer.raw.windows(5).filter(|five| *five == b"\r\n1\r\n").count();
        assert!(chunks > 100, "{vendor:?}: {chunks} chunks");
        let answer = ask(vendor, "m", "[[long:300000]]", true).answer(&api);
        assert_eq!(text(vendor, true, &answer).len(), 300_000, "{vendor:?}");
    }
}

#[test]
fn one_connection_serves_many_requests_and_chunked_bodies() {
    let api = start(Script::new());
    let head = "POST /v1/responses HTTP/1.1\r\ncontent-type: application/json\r\nauthorization: Bearer k\r\n";
    let body = r#"{"model":"m","input":"[[say:one]]"}"#;
    let (left, right) = body.split_at(10);
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\n\r\n",
        left.len(),
        right.len()
    );
    let last = r#"{"model":"m","input":"[[say:two]]"}"#;
    let sized = format!(
        "{head}connection: close\r\ncontent-length: {}\r\n\r\n{last}",
        last.len()
    );
    let mut bytes = Vec::new();
    send(&api, format!("{chunked}{sized}").as_bytes())
        .read_to_end(&mut bytes)
        .unwrap();
    let both = String::from_utf8(bytes).unwrap();
    assert_eq!(both.matches("HTTP/1.1 200 OK").count(), 2, "{both}");
    assert!(both.find("\"one\"") < both.find("\"two\""), "{both}");
    assert_eq!(api.violations(), []);
}

#[test]
fn what_is_too_large_or_not_http_is_refused() {
    let api = start(Script::new());
    assert!(api.addr().ip().is_loopback());
    let status = |bytes: &str| read(send(&api, bytes.as_bytes())).status;
    assert_eq!(
        status("POST /v1/messages HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"),
        413
    );
    assert_eq!(
        status("POST /v1/messages HTTP/1.1\r\ncontent-length: many\r\n\r\n"),
        400
    );
    assert_eq!(status("\u{1}\u{2}\u{3}\r\n\r\n"), 400);
    let headers: String = (0..200).map(|at| format!("x-{at}: 1\r\n")).collect();
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{headers}\r\n")), 431);
    let zipped = "POST /v1/responses HTTP/1.1\r\ncontent-encoding: zstd\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(status(zipped), 415);
    let codes: Vec<String> = api.violations().into_iter().map(|(_, found)| found.code).collect();
    assert_eq!(codes, ["http"; 5]);
}

#[test]
fn connections_past_the_limit_wait_their_turn() {
    let api = start(Script::new());
    let mut open: Vec<TcpStream> = (0..CONNECTIONS_MAX)
        .map(|_| ask(Vendor::Chat, "fault-hang", "hi", true).send(&api))
        .collect();
    api.wait_until(PATIENCE, |attempts| attempts.len() == CONNECTIONS_MAX)
        .unwrap();
    let waiting = ask(Vendor::Chat, "m", "hi", true).send(&api);
    let came = api.wait_until(Duration::from_millis(100), |attempts| attempts.len() > CONNECTIONS_MAX);
    assert!(came.is_err(), "one connection too many is served");
    open.pop();
    assert_eq!(text(Vendor::Chat, true, &read(waiting)), HELLO);
}

#[test]
fn dropping_it_closes_everything() {
    let api = start(Script::new());
    let address = api.addr();
    let mut hanging = ask(Vendor::Chat, "fault-hang", "hi", true).send(&api);
    api.wait_until(PATIENCE, |attempts| attempts.len() == 1).unwrap();
    drop(api);
    let mut rest = Vec::new();
    match hanging.read_to_end(&mut rest) {
        Ok(_) => assert_eq!(rest, [0; 0]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn tasks_can_wait_for_the_time_line_as_well() {
    let api = start(Script::new());
    let stream = ask(Vendor::Chat, "fault-hang", "hi", true).send(&api);
    api.until(PATIENCE, |attempts| attempts.len() == 1).await.unwrap();
    let never = api
        .until(Duration::from_millis(20), |attempts| attempts.len() == 2)
        .await
        .unwrap_err();
    assert_eq!(never.attempts.len(), 1);
    drop(stream);
    let gone = |attempts: &[Attempt]| attempts[0].finished == Some(Finished::ClientGone);
    api.until(PATIENCE, gone).await.unwrap();
}

#[test]
fn the_program_serves_and_obeys_over_http() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-model-api"))
        .arg("--quiet")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = Vec::new();
    let mut stdout = program.stdout.take().unwrap();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    let url = String::from_utf8(line).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().to_owned();
    let call = |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
             authorization: Bearer secret-key\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        read(stream)
    };
    let asked = r#"{"model":"m","input":"hi"}"#;
    assert_eq!(call("POST", "/_/script", "otherwise: {text: scripted}").status, 200);
    let said = call("POST", "/v1/responses", asked);
    assert_eq!(text(Vendor::Responses, false, &said), "scripted");
    let refused = call("POST", "/_/script", "otherwize: {}");
    assert!(refused.json()["error"].as_str().unwrap().contains("otherwize"));
    let timeline = call("GET", "/_/timeline", "");
    let attempts: Vec<Attempt> = serde_json::from_slice(&timeline.body).unwrap();
    assert_eq!(only(&attempts).said, "scripted");
    assert!(
        !String::from_utf8_lossy(&timeline.raw).contains("secret-key"),
        "a key is never shown"
    );
    assert_eq!(call("GET", "/_/violations", "").json(), json!([]));
    assert_eq!(call("POST", "/_/release/gate", "").json()["released"], "gate");
    assert_eq!(call("POST", "/_/reset", "").status, 200);
    assert_eq!(call("GET", "/_/timeline", "").json(), json!([]));
    assert_eq!(
        (call("GET", "/_/reset", "").status, call("GET", "/_/what", "").status),
        (405, 404)
    );
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn the_program_refuses_what_it_does_not_know() {
    let output = Command::new(env!("CARGO_BIN_EXE_fake-model-api"))
        .arg("--prot")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--prot") && said.contains("usage:"), "{said}");
}
