//! For tests alone, never shipped: a vendor's program as it was recorded. It says the recorded lines and waits, where
//! the recorded program was told something, until it is told something of the same kind.
//!
//! Set up by the environment: `REPLAY` is the recording, `REPLAY_ARGV` a file to note the command line in, and
//! `REPLAY_FAULT` what to do wrong: `garbage` between the lines, `silent` (exit 0 with nothing), `stall=N` after N
//! lines, `die=N` by SIGKILL after N lines, `deaf` to interrupts, `stubborn` (deaf, and to TERM as well),
//! `huge=BYTES` of text in one line before the last, `strange` (asks what nobody knows and wants an error for it).

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use nix::sys::signal::{SigHandler, Signal, raise, signal};
use serde_json::{Value, json};

/// Exit code for being told something else than the recorded program was.
const UNEXPECTED: u8 = 97;

fn main() -> ExitCode {
    if let Some(file) = var("REPLAY_ARGV") {
        let line = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let noted = std::fs::OpenOptions::new().create(true).append(true).open(file);
        let _ = noted.and_then(|mut file| writeln!(file, "{line}"));
    }
    if std::env::args().any(|argument| argument == "--version") {
        println!("2.1.329 (Claude Code)");
        return ExitCode::SUCCESS;
    }
    let fault = var("REPLAY_FAULT").unwrap_or_default();
    let (fault, number) = match fault.split_once('=') {
        Some((fault, number)) => (fault.to_owned(), number.parse().unwrap_or(0)),
        None => (fault, 0),
    };
    if fault == "silent" {
        return ExitCode::SUCCESS;
    }
    let recording = std::fs::read_to_string(var("REPLAY").unwrap_or_default()).unwrap_or_default();
    let mut replay = Replay {
        fault,
        number,
        said: 0,
        ids: HashMap::new(),
        unasked: Vec::new(),
    };
    replay.run(&recording)
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

struct Replay {
    fault: String,
    number: usize,
    said: usize,
    /// Recorded ids of the host's requests and the ones it really used.
    ids: HashMap<String, Value>,
    /// Recorded requests that our host never makes.
    unasked: Vec<String>,
}

impl Replay {
    fn run(&mut self, recording: &str) -> ExitCode {
        let mut input = std::io::stdin().lock();
        let entries: Vec<Value> = recording
            .lines()
            .skip(1)
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let last_out = entries.iter().rposition(|entry| entry["s"] == "out").unwrap_or(0);
        for (place, entry) in entries.iter().enumerate() {
            match entry["s"].as_str().unwrap_or_default() {
                "out" => {
                    if place == last_out {
                        self.before_the_last(&mut input);
                    }
                    self.say(&entry["j"], entry["l"].as_str());
                    if self.fault == "stall" && self.said >= self.number {
                        hang(&mut input);
                        return ExitCode::SUCCESS;
                    }
                    if self.fault == "die" && self.said >= self.number {
                        let _ = raise(Signal::SIGKILL);
                    }
                }
                "in" if entry["l"] == "<EOF>" => while next(&mut input).is_some() {},
                "in" => match self.hear(&entry["j"], &mut input) {
                    Heard::AsRecorded => {}
                    Heard::End => return ExitCode::SUCCESS,
                    Heard::Other(line) => {
                        eprintln!("was told {line} and not {}", entry["j"]);
                        return ExitCode::from(UNEXPECTED);
                    }
                },
                "err" => eprintln!("{}", entry["l"].as_str().unwrap_or_default()),
                "exit" => return ExitCode::from(u8::try_from(entry["code"].as_i64().unwrap_or(0)).unwrap_or(1)),
                _ => {}
            }
        }
        ExitCode::SUCCESS
    }

    fn before_the_last(&mut self, input: &mut impl BufRead) {
        match self.fault.as_str() {
            "huge" => {
                let text = "x".repeat(self.number);
                let message = json!({"id": "msg_huge", "model": "m", "content": [{"type": "text", "text": text}]});
                print_line(&json!({"type": "assistant", "message": message}).to_string());
            }
            "strange" => {
                let request = json!({"subtype": "brand_new", "payload": 1});
                print_line(&json!({"type": "control_request", "request_id": "s1", "request": request}).to_string());
                let answer = std::iter::from_fn(|| next(input))
                    .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
                    .find(|line| line["type"] == "control_response" || line.get("error").is_some())
                    .unwrap_or_default();
                if answer["response"]["subtype"] != "error" || answer["response"]["request_id"] != "s1" {
                    eprintln!("wanted an error and was told {answer}");
                    std::process::exit(i32::from(UNEXPECTED));
                }
            }
            _ => {}
        }
    }

    fn say(&mut self, line: &Value, text: Option<&str>) {
        if self.fault == "garbage" {
            for garbage in [
                "{",
                "\u{0}\u{1}",
                "{\"type\":\"never_seen\"}",
                "Warning: this is not JSON",
                "null",
            ] {
                print_line(garbage);
            }
        }
        let mut line = line.clone();
        let answered = line["response"]["request_id"].as_str().map(str::to_owned);
        if let Some(id) = answered {
            if self.unasked.contains(&id) {
                return;
            }
            if let Some(real) = self.ids.get(&id) {
                line["response"]["request_id"] = real.clone();
            }
        }
        if line.get("result").is_some() || line.get("error").is_some() {
            let id = line["id"].to_string();
            if self.unasked.contains(&id) {
                return;
            }
            if let Some(real) = self.ids.get(&id) {
                line["id"] = real.clone();
            }
        }
        self.said += 1;
        match text {
            Some(text) => print_line(text),
            None => print_line(&line.to_string()),
        }
    }

    fn hear(&mut self, recorded: &Value, input: &mut impl BufRead) -> Heard {
        let kind = kind(recorded);
        let id = match recorded["request_id"].as_str() {
            Some(id) => id.to_owned(),
            None => recorded["id"].to_string(),
        };
        const UNASKED: &[&str] = &[
            "control_request initialize",
            "control_request set_permission_mode",
            "control_request set_model",
            "control_request mcp_status",
            "control_request no_such_thing",
            "thread/list",
            "no/such",
        ];
        if UNASKED.contains(&kind.as_str()) {
            self.unasked.push(id);
            return Heard::AsRecorded;
        }
        let Some(line) = next(input) else { return Heard::End };
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        if kind_is_interrupt(&told) && (self.fault == "deaf" || self.fault == "stubborn") {
            if self.fault == "stubborn" {
                ignore_term();
            }
            loop {
                std::thread::park();
            }
        }
        if self::kind(&told) != kind {
            return Heard::Other(line);
        }
        let real = if told.get("request_id").is_some() {
            &told["request_id"]
        } else {
            &told["id"]
        };
        self.ids.insert(id, real.clone());
        Heard::AsRecorded
    }
}

enum Heard {
    AsRecorded,
    End,
    Other(String),
}

/// What a line of the host is about, without its particulars.
fn kind(line: &Value) -> String {
    if let Some(method) = line["method"].as_str() {
        return method.to_owned();
    }
    if line.get("result").is_some() {
        return format!("result {}{}", line["result"]["decision"], line["result"]["action"]);
    }
    let kind = line["type"].as_str().unwrap_or_default();
    let request = line["request"]["subtype"].as_str().unwrap_or_default();
    let behavior = line["response"]["response"]["behavior"].as_str().unwrap_or_default();
    format!("{kind} {request}{behavior}").trim().to_owned()
}

fn kind_is_interrupt(line: &Value) -> bool {
    matches!(kind(line).as_str(), "control_request interrupt" | "turn/interrupt")
}

fn next(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    match input.read_line(&mut line) {
        Ok(count) if count > 0 => Some(line.trim_end().to_owned()),
        _ => None,
    }
}

/// Says nothing more until stdin is closed.
fn hang(input: &mut impl BufRead) {
    while next(input).is_some() {}
    loop {
        std::thread::park();
    }
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

#[expect(unsafe_code, reason = "ignoring a signal is unsafe in nix; no handler of ours runs")]
fn ignore_term() {
    let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) };
}
