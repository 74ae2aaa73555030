//! The event stream: resumes where it broke off, and brings news at once.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::json;
use wheelhouse_core::store::{Command, Store};
use wheelhouse_server::token::Scope;

use crate::rig::{DEADLINE, Rig, plan};

/// Opens a stream.
fn open(rig: &Rig, query: &str, headers: &str) -> BufReader<TcpStream> {
    let mut stream = rig.connect();
    let request = format!(
        "GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{headers}\r\n",
        rig.address,
        rig.token(Scope::Read)
    );
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// The next event's id and name.
fn next(stream: &mut BufReader<TcpStream>) -> (u64, String) {
    let (mut id, mut event) = (0, String::new());
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().parse().unwrap();
        } else if let Some(text) = line.strip_prefix("event: ") {
            event = text.trim().to_owned();
        } else if line.trim().is_empty() && id > 0 {
            return (id, event);
        }
    }
}

#[test]
fn a_stream_resumes_where_it_broke_off() {
    let rig = Rig::new();
    rig.post("/runs", &plan(&["a", "b"]));
    let mut stream = open(&rig, "?since=0", "");
    let (first, name) = next(&mut stream);
    assert_eq!(name, "run_submitted");
    let (second, _) = next(&mut stream);
    assert!(second > first);
    drop(stream);
    let mut again = open(&rig, "?since=0", &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(next(&mut again).0, second, "nothing missed, nothing twice");
    let page = rig.get(&format!("/events?since={first}")).json();
    assert_eq!(page["events"][0]["cursor"], second);
    rig.ask("GET", "/events/stream", &["Last-Event-ID: x"], "")
        .is_problem(400, "usage");
}

#[test]
fn a_silent_stream_hears_of_what_happens_from_wherever_it_comes() {
    let rig = Rig::new();
    rig.post("/runs", &plan(&["a"]));
    let mut stream = open(&rig, "?run=r1", "");
    // The head proves that the stream has found the end of the history and begun to listen.
    let mut line = String::new();
    while line.trim() != "cache-control: no-store" {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0);
    }
    rig.post("/runs", &plan(&["not-of-this-run"]));
    rig.post("/runs/r1/pause", &json!({}));
    assert_eq!(next(&mut stream).1, "run_paused");
    assert_eq!(next(&mut stream).1, "task_held");
    // Another process changes the store, and nobody gives a hint.
    let mut store = rig.store();
    let run = wheelhouse_core::ids::RunId(1);
    store.commit(&[Command::ResumeRun { run }]).unwrap()[0]
        .as_ref()
        .unwrap();
    assert_eq!(next(&mut stream).1, "run_resumed");
    assert_eq!(next(&mut stream).1, "task_released");
}

#[test]
fn a_stream_ends_with_its_server() {
    let rig = Rig::new();
    rig.post("/runs", &plan(&["a"]));
    let mut stream = open(&rig, "?since=0", "");
    next(&mut stream);
    let begun = std::time::Instant::now();
    drop(rig);
    let mut rest = String::new();
    while stream.read_line(&mut rest).is_ok_and(|read| read > 0) {}
    assert!(begun.elapsed() < DEADLINE);
}
