//! What the faces for programs take: `cargo bench -p wheelhouse-cli --bench faces`.
//!
//! Starts the real server and speaks to it as clients do: a tool call of MCP on a warm connection, what the proxy on stdin
//! and stdout adds to it, how fast an event is at a subscriber who says nothing, and what a thousand idle instances take. The
//! floor of a round trip is an echo over loopback, measured in the same run; so is, where `WHEELHOUSE_BENCH_PYTHON` names a
//! Python with FastAPI and uvicorn, a server on that stack that does nothing (`benches/peers/mcp_fastapi.py`). Reads `/proc`:
//! Linux.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many calls are timed one after the other.
const CALLS: usize = 5_000;
/// How many callers there are at once for the rate.
const CALLERS: usize = 4;
/// For how long the rate is measured.
const RATE_FOR: Duration = Duration::from_secs(5);
/// How many events are timed.
const EVENTS: usize = 200;
/// How many instances there are that do nothing.
const INSTANCES: usize = 1_000;
/// What somebody would wait at most.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap().trim().to_owned();
    println!("load at the start: {}", load());
    let place = Place::new();
    let echo = echo();
    let http = calls(&place.address);
    println!("  {:.2} times the echo", http / echo);
    let often = rate(&place.address);
    println!("  the server takes {:.1} MB", place.rss() as f64 / 1_024.0);
    peer(http, often);
    proxy(&place, http);
    events(&place);
    instances(&place);
    println!("load at the end: {}", load());
}

struct Place {
    root: tempfile::TempDir,
    server: Child,
    address: String,
}

impl Place {
    fn new() -> Place {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("project")).unwrap();
        let mut place = Place {
            server: Command::new("true").spawn().unwrap(),
            address: String::new(),
            root,
        };
        place.server.wait().unwrap();
        let words = ["serve", "--listen", "127.0.0.1:0", "--without-token"];
        place.server = place
            .command(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let path = place.project().join(".wheelhouse/serve.json");
        let began = Instant::now();
        while place.address.is_empty() && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
            if let Ok(told) = std::fs::read(&path) {
                let told: Value = serde_json::from_slice(&told).unwrap_or_default();
                place.address = told["url"]
                    .as_str()
                    .unwrap_or_default()
                    .trim_start_matches("http://")
                    .to_owned();
            }
        }
        place
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wheelhouse"));
        command
            .args(words)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.root.path())
            .stdin(Stdio::null());
        command
    }

    /// The resident memory of the server, in KiB.
    fn rss(&self) -> u64 {
        rss(&self.server)
    }
}

/// The resident memory of a process, in KiB.
fn rss(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A connection that is kept.
struct Line {
    reader: BufReader<TcpStream>,
    address: String,
    session: String,
}

impl Line {
    fn open(address: &str) -> Line {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Line {
            reader: BufReader::new(stream),
            address: address.to_owned(),
            session: String::new(),
        }
    }

    /// One with a session of MCP.
    fn greeted(address: &str) -> Line {
        let mut line = Line::open(address);
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } } });
        let (head, _) = line.ask("POST", "/mcp", &hello.to_string());
        // The peer has no sessions.
        let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: "));
        line.session = session.unwrap_or_default().trim().to_owned();
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        line.ask("POST", "/mcp", &ready.to_string());
        line
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> (String, String) {
        let session = match self.session.is_empty() {
            true => String::new(),
            false => format!(
                "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: 2025-11-25\r\n",
                self.session
            ),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\n{session}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.reader.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            let line = line.to_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            chunked |= line.starts_with("transfer-encoding: chunked");
            head.push_str(&line);
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let mut size = String::new();
                self.reader.read_line(&mut size).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut part = vec![0; size + 2];
                self.reader.read_exact(&mut part).unwrap();
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&part[..size]);
            }
        } else {
            body.resize(length, 0);
            self.reader.read_exact(&mut body).unwrap();
        }
        (head, String::from_utf8(body).unwrap())
    }

    fn call(&mut self, id: usize) {
        let (head, body) = self.ask("POST", "/mcp", &call(id).to_string());
        assert!(
            head.starts_with("http/1.1 200") && body.contains("\"result\""),
            "{head}{body}"
        );
    }
}

fn call(id: usize) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "status", "arguments": {} } })
}

/// The median and the 99th of these, in milliseconds.
fn spread(mut all: Vec<Duration>) -> (f64, f64) {
    all.sort();
    let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)].as_secs_f64() * 1_000.0;
    (at(50), at(99))
}

/// A round trip that does nothing, over loopback.
fn echo() -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut byte = [0; 512];
        while let Ok(read @ 1..) = stream.read(&mut byte) {
            stream.write_all(&byte[..read]).unwrap();
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut back = [0; 512];
    let times = (0..CALLS).map(|_| {
        let began = Instant::now();
        stream.write_all(&[7; 512]).unwrap();
        stream.read_exact(&mut back).unwrap();
        began.elapsed()
    });
    let (p50, p99) = spread(times.collect());
    println!("echo over loopback: p50 {p50:.3} ms, p99 {p99:.3} ms");
    p50
}

/// A tool call of MCP on a warm connection.
fn calls(address: &str) -> f64 {
    let mut line = Line::greeted(address);
    (0..200).for_each(|id| line.call(id));
    let times = (0..CALLS).map(|id| {
        let began = Instant::now();
        line.call(id);
        began.elapsed()
    });
    let (p50, p99) = spread(times.collect());
    println!("MCP tool call over HTTP, warm: p50 {p50:.3} ms, p99 {p99:.3} ms (goal: p50 under 0.5 ms)");
    p50
}

fn rate(address: &str) -> f64 {
    let began = Instant::now();
    let made: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut line = Line::greeted(address);
                    let mut made = 0;
                    while began.elapsed() < RATE_FOR {
                        line.call(made);
                        made += 1;
                    }
                    made
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    let rate = made as f64 / began.elapsed().as_secs_f64();
    println!("MCP tool calls, {CALLERS} callers: {rate:.0} a second (goal: 5,000)");
    rate
}

/// The same calls to a server on the stack of madrox's that does nothing, when there is a Python for it.
fn peer(http: f64, often: f64) {
    let Some(python) = std::env::var_os("WHEELHOUSE_BENCH_PYTHON") else {
        println!("no peer: WHEELHOUSE_BENCH_PYTHON names no Python with FastAPI and uvicorn");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/peers/mcp_fastapi.py");
    let mut server = Command::new(python).arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let address = format!("127.0.0.1:{}", port.trim());
    let began = Instant::now();
    while TcpStream::connect(&address).is_err() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("FastAPI on uvicorn, which does nothing:");
    let theirs = calls(&address);
    let their_rate = rate(&address);
    println!(
        "  it takes {:.1} MB; a call there takes {:.1} times ours, and we answer {:.1} times as many a second",
        rss(&server) as f64 / 1_024.0,
        theirs / http,
        often / their_rate
    );
    let _ = server.kill();
    let _ = server.wait();
}

/// The same call through `wheelhouse mcp`.
fn proxy(place: &Place, http: f64) {
    let mut proxy = place
        .command(&["mcp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = proxy.stdin.take().unwrap();
    let mut output = BufReader::new(proxy.stdout.take().unwrap());
    let mut ask = |message: &Value| {
        writeln!(input, "{message}").unwrap();
        if !message["id"].is_null() {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert!(line.contains("\"result\""), "{line}");
        }
    };
    ask(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "bench", "version": "1" } } }));
    ask(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    (0..200).for_each(|id| ask(&call(id)));
    let times = (0..CALLS).map(|id| {
        let began = Instant::now();
        ask(&call(id));
        began.elapsed()
    });
    let (p50, p99) = spread(times.collect());
    println!(
        "the same through `wheelhouse mcp`: p50 {p50:.3} ms, p99 {p99:.3} ms; it adds {:.3} ms (goal: under 0.3 ms)",
        p50 - http
    );
    drop(input);
    let _ = proxy.wait();
}

/// From the request that changes something to the event at a subscriber who says nothing.
fn events(place: &Place) {
    let mut ears = Line::open(&place.address);
    let request = format!("GET /api/v1/events/stream HTTP/1.1\r\nHost: {}\r\n\r\n", place.address);
    ears.reader.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    ears.reader.read_line(&mut line).unwrap();
    assert!(line.contains(" 200 "), "{line}");
    let mut voice = Line::open(&place.address);
    voice.ask(
        "POST",
        "/api/v1/instances",
        &json!({ "name": "told", "agent": "rehearsal" }).to_string(),
    );
    let mut heard = |what: &str| loop {
        let mut line = String::new();
        ears.reader.read_line(&mut line).unwrap();
        if line.starts_with("data:") && line.contains(what) {
            return;
        }
    };
    heard("\"told\"");
    let times = (0..EVENTS).map(|number| {
        let note = json!({ "text": format!("note-{number}"), "note": true });
        let began = Instant::now();
        voice.ask("POST", "/api/v1/instances/told/messages", &note.to_string());
        heard("message_sent");
        began.elapsed()
    });
    let (p50, p99) = spread(times.collect());
    println!("request to its event at a silent subscriber: p50 {p50:.2} ms, p99 {p99:.2} ms (goal: under 50 ms)");
}

fn instances(place: &Place) {
    let before = place.rss();
    let mut line = Line::open(&place.address);
    let began = Instant::now();
    for part in 0..INSTANCES / 500 {
        let many = json!({ "name": format!("idle-{part}"), "agent": "rehearsal", "count": 499 });
        let (head, body) = line.ask("POST", "/api/v1/instances", &many.to_string());
        assert!(head.starts_with("http/1.1 201"), "{body}");
    }
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    let after = place.rss();
    let made = INSTANCES / 500 * 499;
    println!(
        "{made} idle instances: {:.1} MiB in all, {:.1} MiB more than before (goal: under 100 MB); spawned in {:.3} ms each (goal: 10 ms)",
        after as f64 / 1_024.0,
        after.saturating_sub(before) as f64 / 1_024.0,
        took / made as f64
    );
}
