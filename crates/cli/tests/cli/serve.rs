//! `serve` with its HTTP API, and `token`, from outside.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::{DEADLINE, House, Running, until};

/// Where the server of a house is, once it is.
pub(crate) fn url(house: &House) -> String {
    let path = house.project().join(".wheelhouse/serve.json");
    let mut url = String::new();
    until("the server says where it is", || {
        let told = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        url = told
            .and_then(|told| Some(told["url"].as_str()?.to_owned()))
            .unwrap_or_default();
        !url.is_empty()
    });
    url
}

/// Starts a server on a free port.
pub(crate) fn serve(house: &House) -> (Running, String) {
    let serving = house.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = url(house);
    (serving, url)
}

/// One request; the status and the body.
pub(crate) fn ask(url: &str, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer \
         {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_plan_is_run_over_http_and_its_files_and_agents_are_the_projects() {
    let house = House::new();
    house.write("words.md", "say something");
    let (serving, url) = serve(&house);
    let token = house.ok(&["token"]).out.trim().to_owned();
    let plan = json!({ "plan": { "name": "over-http", "tasks": [
        { "id": "a", "exec": "echo hello" },
        { "id": "b", "prompt_file": "words.md", "agent": "rehearsal", "needs": ["a"] },
    ] } });
    let (status, body) = ask(&url, "POST", "/api/v1/runs", &token, &plan.to_string());
    assert_eq!(status, 201, "{body}");
    house.until_run("r1", "finished");
    let (_, body) = ask(&url, "GET", "/api/v1/tasks/r1/a/artifacts/output", &token, "");
    assert_eq!(body, "hello\n");
    let (_, body) = ask(&url, "GET", "/api/v1/tasks/r1/a/logs", &token, "");
    assert_eq!(body, "hello\n");
    let read = house.ok(&["token", "--scope", "read"]).out.trim().to_owned();
    assert_eq!(ask(&url, "GET", "/api/v1/runs/r1", &read, "").0, 200);
    let (_, body) = ask(
        &url,
        "GET",
        "/api/v1/runs/r1?fields=run.id,run.tasks.succeeded",
        &read,
        "",
    );
    assert_eq!(body, r#"{"run":{"id":"r1","tasks":{"succeeded":2}}}"#);
    let (status, body) = ask(&url, "GET", "/api/v1/runs/r1?fields=nothing", &read, "");
    assert!(
        status == 400 && body.contains("there is no field `nothing`"),
        "{status} {body}"
    );
    assert_eq!(ask(&url, "POST", "/api/v1/runs", &read, &plan.to_string()).0, 403);
    assert_eq!(ask(&url, "GET", "/api/v1/runs/r1", "x", "").0, 401);
    assert_eq!(ask(&url, "GET", "/health", "x", "").0, 200);
    // What the command line says of it is the same document.
    let (_, body) = ask(&url, "GET", "/api/v1/tasks/r1/b", &token, "");
    let over_http: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(over_http, house.json(&["status", "r1/b"]));
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    let done = serving.done();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!house.project().join(".wheelhouse/serve.json").exists());
    assert!(!done.err.contains(&token) && !done.out.contains(&token), "{done:?}");
}

#[test]
fn killed_and_started_again_it_serves_with_the_same_token_and_knows_everything() {
    let house = House::new();
    let (serving, url_before) = serve(&house);
    let token = house.ok(&["token"]).out.trim().to_owned();
    let plan = json!({ "plan": { "name": "p", "tasks": [{ "id": "a", "exec": "true", "approval": true }] } });
    assert_eq!(
        ask(&url_before, "POST", "/api/v1/runs", &token, &plan.to_string()).0,
        201
    );
    serving.signal(nix::sys::signal::Signal::SIGKILL);
    serving.done();
    std::fs::remove_file(house.project().join(".wheelhouse/serve.json")).unwrap();
    let (serving, url) = serve(&house);
    assert_eq!(ask(&url, "POST", "/api/v1/questions/a/approve", &token, "").0, 200);
    house.until_run("r1", "finished");
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    serving.done();
}

#[test]
fn what_would_be_open_to_the_world_needs_a_word() {
    let house = House::new();
    for words in [
        vec!["serve", "--listen", "0.0.0.0:0"],
        vec!["serve", "--listen", "0.0.0.0:0", "--expose", "--without-token"],
        vec!["serve", "--set", "serve.listen=here"],
    ] {
        let done = house.run(&words);
        assert_eq!(done.code, Some(2), "{words:?}: {done:?}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let done = house.run(&["serve", "--listen", &address]);
    assert_eq!(done.code, Some(74), "{done:?}");
    assert!(done.err.contains("--listen 127.0.0.1:0"), "{done:?}");
    // What is only configured gives way.
    let set = format!("serve.listen={address}");
    let serving = house.start(&["serve", "--set", &set]);
    assert_ne!(url(&house), format!("http://{address}"));
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(serving.done().code, Some(0));
}

#[test]
fn a_second_one_says_who_serves_and_what_to_do() {
    let house = House::new();
    let (serving, _) = serve(&house);
    let done = house.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(done.code, Some(75), "{done:?}");
    assert!(done.err.contains(&serving.pid().to_string()), "{done:?}");
    assert!(done.err.contains("`wheelhouse watch`"), "{done:?}");
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    serving.done();
}

#[test]
fn a_renewed_secret_voids_the_tokens_of_the_one_before() {
    let house = House::new();
    let before = house.ok(&["token"]).out;
    assert_eq!(house.ok(&["token"]).out, before);
    assert_ne!(house.ok(&["token", "--renew"]).out, before);
    let document = house.json(&["token", "--scope", "read"]);
    assert_eq!(document["scope"], "read");
    std::fs::write(house.project().join(".wheelhouse/token"), "nonsense").unwrap();
    let done = house.run(&["token"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.err.contains("--renew"), "{done:?}");
    house.ok(&["token", "--renew"]);
}
