//! What people asked to be told, told: a webhook that fails at first, a command, and an engine that dies in between.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::serve::{ask, serve};
use crate::{DEADLINE, House, until};

/// A request as it came: its `Idempotency-Key`, and its body.
pub(crate) type Told = (String, Value);

fn read(stream: &TcpStream) -> Option<Told> {
    let mut reader = BufReader::new(stream);
    let (mut key, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("idempotency-key:") {
            key = value.trim().to_owned();
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((key, serde_json::from_slice(&body).ok()?))
}

/// Answers each request with the next of these statuses, and the last one from then on; none: it takes it and says nothing.
pub(crate) fn webhook(listener: TcpListener, answers: Vec<Option<u16>>) -> Receiver<Told> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut mute = Vec::new();
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let Some(request) = read(&stream) else { continue };
            let answer = answers.get(number).or(answers.last()).copied().flatten();
            match answer {
                Some(status) => {
                    let mut stream = &stream;
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                    );
                }
                None => mute.push(stream),
            }
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    told
}

pub(crate) fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(DEADLINE).unwrap()
}

fn configure(house: &House, listener: &TcpListener, more: &str) {
    let address = listener.local_addr().unwrap();
    house.write(
        "wheelhouse.toml",
        &format!("[notify]\nwebhook = \"http://{address}/hook\"\n{more}\n"),
    );
}

#[test]
fn a_webhook_and_a_command_are_told_what_the_policy_says() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&house, &listener, "command = \"cat >> told.jsonl\"");
    let told = webhook(listener, vec![Some(500), Some(204)]);
    let (_serving, _) = serve(&house);
    house.ok(&["spawn", "shell", "--agent", "exec"]);
    let first = next(&told);
    assert_eq!(
        (first.1["notify"].as_str(), first.1["text"].as_str()),
        (Some("spawn"), Some("r1 i1 shell spawned on exec"))
    );
    let again = next(&told);
    assert_eq!(again, first, "one that fails is tried again, under the same key");
    assert_eq!(first.0, first.1["id"].to_string());
    house.run(&["send", "shell", "exit 3", "--wait"]);
    let failed = next(&told).1;
    assert_eq!(
        (failed["notify"].as_str(), failed["event"]["outcome"]["class"].as_str()),
        (Some("error"), Some("crashed"))
    );
    // What nobody wants to be told is not told.
    house.ok(&["policy", "set", "notify_on=terminate,needs_attention"]);
    house.ok(&["spawn", "quiet", "--agent", "exec"]);
    house.write(
        "plan.yaml",
        "name: p\ntasks:\n  - {id: a, exec: 'true', approval: true}\n",
    );
    house.ok(&["run", "plan.yaml", "--detach"]);
    assert_eq!(next(&told).1["notify"], "needs_attention");
    house.ok(&["terminate", "shell"]);
    assert_eq!(next(&told).1["notify"], "terminate");
    let path = house.project().join("told.jsonl");
    until("the command was told the same", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let kinds: Vec<String> = text
            .lines()
            .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["notify"].as_str()?.to_owned()))
            .collect();
        kinds == ["spawn", "error", "needs_attention", "terminate"]
    });
}

#[test]
fn what_an_engine_that_dies_had_to_tell_the_next_one_tells() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&house, &listener, "");
    // The first is taken and never answered.
    let told = webhook(listener, vec![None, Some(200)]);
    let (serving, _) = serve(&house);
    house.ok(&["spawn", "shell", "--agent", "exec"]);
    let first = next(&told);
    serving.signal(Signal::SIGKILL);
    serving.done();
    let (_serving, _) = serve(&house);
    assert_eq!(next(&told), first, "at least once, and known by its key");
}

#[test]
fn health_says_when_nobody_could_be_told() {
    let house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&house, &listener, "");
    drop(listener);
    let (_serving, url) = serve(&house);
    house.ok(&["spawn", "shell", "--agent", "exec"]);
    let mut health = Value::Null;
    until("the health is degraded", || {
        let (status, body) = ask(&url, "GET", "/health", "", "");
        health = serde_json::from_str(&body).unwrap();
        status == 503
    });
    assert_eq!(
        (&health["status"], &health["problems"][0]["what"]),
        (&"degraded".into(), &"notifications".into()),
        "{health}"
    );
    assert_eq!(health["instances"]["total"], 1, "{health}");
    let said = std::fs::read_to_string(house.project().join(".wheelhouse/notify-webhook.json")).unwrap();
    assert!(said.contains("4 tries"), "a bounded number of tries: {said}");
}
