//! A scripted MCP server: a real program that serves the tools of a JSON file, well or badly.
//!
//! `scripted-mcp-server FILE` speaks on stdin and stdout; with `--http` it listens on loopback, says its URL in its first line
//! and answers POSTs. Tests find it with [`program`].
//!
//! | in the file | |
//! |---|---|
//! | `name`, `version` | what it says of itself |
//! | `tools` | as `tools/list` has them, each with a `script` that is not listed |
//! | `page` | so many tools a page; all when absent |
//! | `log` | a file that gets a line `start PID`, and a line `METHOD NAME` for each request |
//! | `noise` | a line on stdout before everything, which is no message |
//! | `complaint` | a line on stderr |
//! | `greeting` | `hang`, `exit` or `odd` in place of an answer to `initialize` |
//! | `key` | over HTTP: the bearer token that must be shown |
//!
//! | in a tool's `script` | |
//! |---|---|
//! | `text` | what it answers; its arguments when absent |
//! | `repeat` | so many lines, `#` in `text` is the number of the line |
//! | `structured`, `is_error` | as in a result |
//! | `env` | it answers the value of this variable |
//! | `do` | `hang`, `exit`, `garbage` (a line that is no message, and no answer), `huge` (an answer of 20 MB), `refuse` |
//! | `tools` | these are its tools from now on, and it says so |

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use serde_json::{Value, json};

pub use crate::script::mcp_server as program;

/// The largest answer of `huge`, in bytes: more than a client should take.
const HUGE: usize = 20 << 20;

/// Runs the program.
pub fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(script) = words.next().and_then(|file| fs::read(file).ok()) else {
        return ExitCode::from(2);
    };
    let Ok(script) = serde_json::from_slice::<Value>(&script) else {
        return ExitCode::from(2);
    };
    let mut server = Scripted {
        tools: list(&script["tools"]),
        script,
    };
    server.note(&format!("start {}", std::process::id()));
    if let Some(complaint) = server.script["complaint"].as_str() {
        eprintln!("{complaint}");
    }
    let served = match words.next().as_deref() {
        Some("--http") => server.over_http(),
        _ => server.over_pipes(),
    };
    match served {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

struct Scripted {
    script: Value,
    tools: Vec<Value>,
}

/// What comes of a request.
enum Done {
    Answer(Vec<Value>),
    Raw(String),
    Nothing,
    Exit(u8),
}

impl Scripted {
    fn note(&self, line: &str) {
        let Some(path) = self.script["log"].as_str() else {
            return;
        };
        if let Ok(mut log) = fs::OpenOptions::new().create(true).append(true).open(path) {
            // A log that cannot be written shows in the test that reads it.
            let _ = writeln!(log, "{line}");
        }
    }

    fn over_pipes(&mut self) -> io::Result<u8> {
        let mut out = io::stdout();
        if let Some(noise) = self.script["noise"].as_str() {
            writeln!(out, "{noise}")?;
        }
        for line in io::stdin().lock().lines() {
            let message: Value = serde_json::from_str(&line?).unwrap_or_default();
            match self.done(&message) {
                Done::Answer(messages) => messages.iter().try_for_each(|message| writeln!(out, "{message}"))?,
                Done::Raw(text) => writeln!(out, "{text}")?,
                Done::Nothing => {}
                Done::Exit(code) => return Ok(code),
            }
            out.flush()?;
        }
        Ok(0)
    }

    fn over_http(&mut self) -> io::Result<u8> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("http://{}/mcp", listener.local_addr()?);
        io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept()?;
            let mut reader = BufReader::new(stream);
            let (mut length, mut shown) = (0, String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    "authorization" => shown = value.trim().to_owned(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let message: Value = serde_json::from_slice(&body).unwrap_or_default();
            let wanted = self.script["key"].as_str().map(|key| format!("Bearer {key}"));
            let (status, kind, text) = if wanted.is_some_and(|wanted| wanted != shown) {
                (401, "text/plain", format!("`{shown}` is not the key"))
            } else {
                match self.done(&message) {
                    Done::Answer(messages) => {
                        let events: String = messages.iter().map(|message| format!("data: {message}\n\n")).collect();
                        (200, "text/event-stream", events)
                    }
                    Done::Raw(text) => (200, "application/json", text),
                    Done::Nothing => (202, "application/json", String::new()),
                    Done::Exit(code) => return Ok(code),
                }
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nMcp-Session-Id: s1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len()
            );
            // A client that gave up hears nothing.
            let _ = reader.get_mut().write_all(format!("{head}{text}").as_bytes());
        }
    }

    fn done(&mut self, message: &Value) -> Done {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let params = &message["params"];
        self.note(format!("{method} {}", params["name"].as_str().unwrap_or_default()).trim());
        let id = &message["id"];
        if id.is_null() {
            return Done::Nothing;
        }
        let answer = |result: Value| Done::Answer(vec![json!({ "jsonrpc": "2.0", "id": id, "result": result })]);
        match method.as_str() {
            "initialize" => match self.script["greeting"].as_str() {
                Some("hang") => Done::Nothing,
                Some("exit") => Done::Exit(3),
                Some("odd") => answer(json!({ "hello": true })),
                _ => answer(json!({
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": { "tools": { "listChanged": true } },
                    "serverInfo": { "name": self.script["name"], "version": self.script["version"] },
                })),
            },
            "tools/list" => {
                let size = self.script["page"].as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.unwrap_or(usize::MAX).max(1);
                let from = params["cursor"].as_str().and_then(|at| at.parse().ok()).unwrap_or(0);
                let listed: Vec<Value> = self.tools.iter().skip(from).take(size).map(without_script).collect();
                let mut page = json!({ "tools": listed });
                if from.saturating_add(size) < self.tools.len() {
                    page["nextCursor"] = (from + size).to_string().into();
                }
                answer(page)
            }
            "tools/call" => self.called(id, params),
            _ => Done::Answer(vec![error(id, -32601, "there is no such method")]),
        }
    }

    fn called(&mut self, id: &Value, params: &Value) -> Done {
        let Some(tool) = self.tools.iter().find(|tool| tool["name"] == params["name"]) else {
            return Done::Answer(vec![error(id, -32602, "there is no such tool")]);
        };
        let script = tool["script"].clone();
        let mut text = match (script["text"].as_str(), script["env"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(name)) => std::env::var(name).unwrap_or_else(|_| "unset".to_owned()),
            (None, None) => params["arguments"].to_string(),
        };
        match script["do"].as_str() {
            Some("hang") => return Done::Nothing,
            Some("exit") => return Done::Exit(7),
            Some("garbage") => return Done::Raw("this is no message".to_owned()),
            Some("refuse") => return Done::Answer(vec![error(id, -32000, &text)]),
            Some("huge") => text = "x".repeat(HUGE),
            _ => {}
        }
        if let Some(lines) = script["repeat"].as_u64() {
            text = (0..lines)
                .map(|line| text.replace('#', &line.to_string()) + "\n")
                .collect();
        }
        let mut result = json!({ "content": [{ "type": "text", "text": text }] });
        for member in ["structured", "is_error"] {
            let name = if member == "structured" {
                "structuredContent"
            } else {
                "isError"
            };
            if !script[member].is_null() {
                result[name] = script[member].clone();
            }
        }
        let mut messages = vec![json!({ "jsonrpc": "2.0", "id": id, "result": result })];
        if script["tools"].is_array() {
            self.tools = list(&script["tools"]);
            messages.insert(
                0,
                json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }),
            );
        }
        Done::Answer(messages)
    }
}

fn list(tools: &Value) -> Vec<Value> {
    tools.as_array().cloned().unwrap_or_default()
}

fn without_script(tool: &Value) -> Value {
    let mut tool = tool.clone();
    if let Some(members) = tool.as_object_mut() {
        members.remove("script");
    }
    tool
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}
