//! Callers who mean harm, and those who do not know better.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use wheelhouse_core::store::{Command, Store};
use wheelhouse_server::Limits;
use wheelhouse_server::token::Scope;
use wheelhouse_testkit::conformance::build::run;

use crate::rig::{DEADLINE, Rig, plan};

#[test]
fn a_name_that_leads_here_by_rebinding_is_not_served() {
    let rig = Rig::new();
    let token = format!("Authorization: Bearer {}", rig.token(Scope::Admin));
    for host in ["Host: evil.example", "Host: 127.0.0.1.evil.example", "Host: 10.0.0.1"] {
        rig.bare("GET", "/runs", &[&token, host], "")
            .is_problem(403, "wrong_host");
        rig.bare("GET", "/health", &[host], "").is_problem(403, "wrong_host");
    }
    let without = rig.raw(&format!(
        "GET /api/v1/runs HTTP/1.1\r\nConnection: close\r\n{token}\r\n\r\n"
    ));
    assert!(matches!(without.status, 400 | 403), "{without:?}");
    assert_eq!(rig.bare("GET", "/runs", &[&token, "Host: localhost:1"], "").status, 200);
}

#[test]
fn a_page_of_another_site_is_not_served_even_with_the_token() {
    let rig = Rig::new();
    for origin in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://localhost.evil.example",
    ] {
        rig.ask("POST", "/runs", &[origin], &plan(&["a"]).to_string())
            .is_problem(403, "wrong_origin");
    }
    assert_eq!(
        rig.ask("GET", "/runs", &["Origin: http://localhost:5173"], "").status,
        200
    );
    let preflight = rig.bare("OPTIONS", "/runs", &["Origin: http://localhost:5173"], "");
    assert!(!preflight.head.contains("access-control-allow-origin"), "{preflight:?}");
}

#[test]
fn without_a_token_nothing_is_told() {
    let rig = Rig::new();
    let good = rig.token(Scope::Admin);
    let wrong = [
        String::new(),
        "Authorization: Bearer".to_owned(),
        "Authorization: Bearer x".to_owned(),
        format!("Authorization: Basic {good}"),
        format!("Authorization: {good}"),
        format!("Authorization: Bearer {}", &good[..good.len() - 1]),
        format!("X-Token: {good}"),
    ];
    for line in &wrong {
        let lines: Vec<&str> = [line.as_str()].into_iter().filter(|line| !line.is_empty()).collect();
        for path in ["/runs", "/events/stream", "/status"] {
            let answer = rig.bare("GET", path, &lines, "");
            answer.is_problem(401, "unauthorized");
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        }
    }
    assert_eq!(
        rig.bare("GET", "/runs", &[&format!("authorization: bearer {good}")], "")
            .status,
        200
    );
}

#[test]
fn a_body_of_100_mb_is_refused_before_it_is_read() {
    let rig = Rig::new();
    let token = rig.token(Scope::Admin);
    let head = |length: &str| {
        format!(
            "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer \
             {token}\r\n{length}\r\n\r\n"
        )
    };
    rig.raw(&head("Content-Length: 104857600")).is_problem(413, "too_large");
    // Unannounced: the server stops reading at its limit.
    let mut stream = rig.connect();
    stream.write_all(head("Transfer-Encoding: chunked").as_bytes()).unwrap();
    let chunk = [b' '; 1 << 16];
    let mut sent = 0usize;
    for _ in 0..1_600 {
        let written = write!(stream, "{:x}\r\n", chunk.len())
            .and_then(|()| stream.write_all(&chunk))
            .and_then(|()| stream.write_all(b"\r\n"));
        if written.is_err() {
            break;
        }
        sent += chunk.len();
    }
    assert!(sent < 100 << 20, "all of it was taken");
    assert_eq!(rig.get("/runs").status, 200, "others are served");
}

#[test]
fn what_is_no_request_is_answered_and_harms_nobody() {
    let rig = Rig::new();
    for body in ["{", "[1]", "nul", "\"", "{\"plan\": 1, \"plann\": 2}"] {
        let answer = rig.ask("POST", "/runs", &[], body);
        assert!(matches!(answer.status, 400 | 422), "{body}: {answer:?}");
        assert!(answer.head.contains("application/problem+json"), "{answer:?}");
    }
    let answer = rig
        .ask("POST", "/runs", &[], r#"{"plann": "x"}"#)
        .is_problem(400, "usage");
    assert!(answer["detail"].as_str().unwrap().contains("`plann`"), "{answer}");
    rig.get("/runs?limit=many").is_problem(400, "usage");
    rig.get("/runs?limt=3").is_problem(400, "usage");
    rig.get("/nothing").is_problem(404, "not_found");
    rig.ask("DELETE", "/runs", &[], "").is_problem(405, "usage");
    rig.get("/tasks/r1/..%2F..%2Fetc%2Fpasswd/logs")
        .is_problem(404, "not_found");
    rig.ask(
        "POST",
        "/runs",
        &[&format!("Idempotency-Key: {}", "x".repeat(256))],
        "{}",
    )
    .is_problem(400, "usage");
    assert_eq!(rig.raw("\u{1}\u{2}\r\n\r\n").status, 400);
}

#[test]
fn one_who_sends_no_request_loses_the_connection() {
    let rig = Rig::with(Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut stream = rig.connect();
    stream.write_all(b"GET /api/v1/runs HTTP/1.1\r\nHo").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(begun.elapsed() < DEADLINE, "it was waited for");
}

#[test]
fn one_who_takes_no_answer_loses_the_connection_and_others_are_served() {
    let rig = Rig::with(Limits {
        stall: Duration::from_millis(200),
        connections: 2,
        ..Limits::default()
    });
    // More than the sockets between us hold.
    let long = Command::SubmitRun {
        run: run(&"x".repeat(1 << 16)),
        tasks: Vec::new(),
    };
    for _ in 0..8 {
        rig.store().commit(&vec![long.clone(); 50]).unwrap();
    }
    let token = rig.token(Scope::Read);
    let stalled: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = rig.connect();
            let request = format!(
                "GET /api/v1/events/stream?since=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // Both places are taken; they come free although nobody closes anything.
    assert_eq!(rig.get("/runs?limit=1").status, 200);
    drop(stalled);
}
