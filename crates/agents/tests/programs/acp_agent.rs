//! For tests alone, never shipped: an agent that speaks ACP and does what its prompt says, well or badly.
//!
//! Words of the prompt: `ask` (for permission), `hold` (until cancelled), `deaf` (holds and ignores that), `error`
//! (refuses the prompt), `garbage` (between the lines), `die` (in the middle), `quit` (exit 0 without an answer),
//! `strange` (asks what nobody knows and wants an error), `huge` (a request too long to be read), `empty`. A prompt with
//! lines that begin with `$ ` has these run by a shell in the session's directory; then it claims success. Lines that begin
//! with `> ` are calls of the MCP server that it was given (`> send {"to": "i1", "message": "x"}`, `> tools/list`), each
//! answered with what came back; the server gets no environment but what the session names. The environment
//! `ACP_JOURNAL` names a directory in which each session has a file that says who is at work in it: a second one at the
//! same time is noted in `forked`. The environment
//! `ACP_FAULT`: `mute` (never answers), `unopened` (opens no session), `old` (another version of the protocol),
//! `forgetful` (cannot load), `lost` (knows no session), `late` (goes on with the history after loading),
//! `eof` (does not end when its stdin does).

use std::io::{BufRead, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

const SESSION: &str = "5e55-1011";
/// The session that it speaks for.
static SPEAKS_FOR: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());
/// What it says when its commands are done, whatever came of them.
const CLAIM: &str = "All done, and every check passes.";

fn main() -> ExitCode {
    let fault = std::env::var("ACP_FAULT").unwrap_or_default();
    if std::env::args().any(|argument| argument == "--version") {
        println!("fake-acp 9.9.9");
        return ExitCode::SUCCESS;
    }
    let mut agent = Agent {
        input: std::io::stdin().lock(),
        fault,
        session: SESSION.to_owned(),
        cwd: String::new(),
        servers: Value::Null,
    };
    agent.serve()
}

struct Agent<I> {
    input: I,
    fault: String,
    session: String,
    cwd: String,
    /// The MCP servers of the session.
    servers: Value,
}

impl<I: BufRead> Agent<I> {
    fn serve(&mut self) -> ExitCode {
        while let Some(message) = self.next() {
            let id = message["id"].clone();
            match message["method"].as_str().unwrap_or_default() {
                _ if self.fault == "mute" => {}
                "initialize" => {
                    let version = if self.fault == "old" { 0 } else { 1 };
                    let can_load = self.fault != "forgetful";
                    let result = json!({
                        "protocolVersion": version,
                        "agentInfo": {"name": "fake", "version": "9.9.9"},
                        "agentCapabilities": {"loadSession": can_load},
                    });
                    answer(&id, &result);
                }
                "session/new" if self.fault == "unopened" => {}
                "session/new" => {
                    if std::env::var_os("ACP_JOURNAL").is_some() {
                        self.session = format!("s-{}", std::process::id());
                    }
                    self.enter(&message);
                    answer(&id, &opened(Some(&self.session)));
                }
                "session/load" if self.fault == "lost" => {
                    say(
                        &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32002, "message": "Resource not found"}}),
                    );
                }
                "session/load" => {
                    message["params"]["sessionId"]
                        .as_str()
                        .unwrap_or(SESSION)
                        .clone_into(&mut self.session);
                    self.enter(&message);
                    text("This was said before.");
                    answer(&id, &opened(None));
                    if self.fault == "late" {
                        text("This was said before as well.");
                    }
                }
                "session/set_mode" => {
                    update(
                        &json!({"sessionUpdate": "current_mode_update", "currentModeId": message["params"]["modeId"]}),
                    );
                    answer(&id, &json!({}));
                }
                "session/prompt" => {
                    let words = message["params"]["prompt"][0]["text"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned();
                    if let Some(code) = self.prompt(&id, &words) {
                        return code;
                    }
                }
                _ => {}
            }
        }
        if self.fault == "eof" || self.fault == "mute" {
            forever();
        }
        ExitCode::SUCCESS
    }

    fn prompt(&mut self, id: &Value, words: &str) -> Option<ExitCode> {
        let mut reason = "end_turn";
        let commands: Vec<&str> = words.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
        if !commands.is_empty() {
            for command in commands {
                let mut shell = std::process::Command::new("/bin/sh");
                let shell = shell.args(["-c", command]).current_dir(&self.cwd);
                // The protocol has our streams.
                let _ = shell
                    .stdin(std::process::Stdio::null())
                    .stdout(std::process::Stdio::null())
                    .status();
            }
            text(CLAIM);
            self.leave();
            answer(id, &json!({"stopReason": "end_turn"}));
            return None;
        }
        let calls: Vec<&str> = words.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        if !calls.is_empty() {
            for said in self.call(&calls) {
                text(&format!("{said}\n"));
            }
            answer(id, &json!({"stopReason": "end_turn"}));
            return None;
        }
        for word in words.split_whitespace() {
            match word {
                "ask" => self.ask(),
                "hold" => {
                    text("half of it");
                    self.until_cancelled();
                    reason = "cancelled";
                }
                "deaf" => {
                    text("half of it");
                    forever();
                }
                "error" => {
                    say(
                        &json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "Authentication required"}}),
                    );
                    return None;
                }
                "garbage" => {
                    for line in [
                        "{",
                        "null",
                        "{\"jsonrpc\":\"2.0\"}",
                        "[1,2]",
                        "\u{0}",
                        "Warning: not JSON",
                    ] {
                        print_line(line);
                    }
                    say(&json!({"jsonrpc": "2.0", "method": "_never/seen", "params": {}}));
                    update(&json!({"sessionUpdate": "never_seen"}));
                    say(&json!({"jsonrpc": "2.0", "id": 999, "result": {}}));
                }
                "die" => {
                    text("half of it");
                    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
                }
                "quit" => return Some(ExitCode::SUCCESS),
                "strange" => self.refused("fs/read_text_file", json!({"path": "/etc/passwd"})),
                "huge" => self.refused("session/request_permission", json!({"padding": "x".repeat(9 << 20)})),
                "empty" => {
                    answer(id, &json!({"stopReason": "end_turn"}));
                    return None;
                }
                other => text(&format!("{other} ")),
            }
        }
        let usage = json!({"inputTokens": 10, "outputTokens": 2, "totalTokens": 12});
        answer(id, &json!({"stopReason": reason, "usage": usage}));
        None
    }

    /// Calls the first MCP server of the session, and says what came of each call.
    fn call(&self, calls: &[&str]) -> Vec<String> {
        let server = &self.servers[0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let env = server["env"].as_array().into_iter().flatten();
        let spawned = std::process::Command::new(text(&server["command"]))
            .args(server["args"].as_array().into_iter().flatten().map(text))
            .env_clear()
            .envs(env.map(|pair| (text(&pair["name"]), text(&pair["value"]))))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut program) = spawned else {
            return vec![format!("there is no server: {server}")];
        };
        let (Some(mut input), Some(output)) = (program.stdin.take(), program.stdout.take()) else {
            return Vec::new();
        };
        let mut lines = std::io::BufReader::new(output).lines();
        let mut ask = |id: usize, method: &str, params: Value| {
            let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            let _ = writeln!(input, "{message}");
            let answers = lines.by_ref().map_while(Result::ok);
            let mut answers = answers.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            answers.find(|answer| answer["id"] == id).unwrap_or_default()
        };
        let able = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "fake", "version": "1"}});
        ask(0, "initialize", able);
        let mut said = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            let (tool, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            let came = match tool {
                "tools/list" => ask(place + 1, tool, json!({}))["result"]["tools"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|tool| text(&tool["name"]))
                    .collect::<Vec<_>>()
                    .join(","),
                tool => {
                    let answer = ask(place + 1, "tools/call", json!({"name": tool, "arguments": arguments}));
                    match answer["result"]["content"][0]["text"].as_str() {
                        Some(text) => text.to_owned(),
                        None => answer.to_string(),
                    }
                }
            };
            said.push(came);
        }
        drop(input);
        let _ = program.wait();
        said
    }

    /// Notes that this process works in the session, and whether another one does.
    fn enter(&mut self, message: &Value) {
        if let Ok(mut session) = SPEAKS_FOR.lock() {
            session.clone_from(&self.session);
        }
        self.servers = message["params"]["mcpServers"].clone();
        message["params"]["cwd"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.cwd);
        let Some(journal) = std::env::var_os("ACP_JOURNAL").map(std::path::PathBuf::from) else {
            return;
        };
        let place = journal.join(&self.session);
        let own = std::process::id();
        let other = std::fs::read_to_string(&place).unwrap_or_default();
        let other: u32 = other.trim().parse().unwrap_or(own);
        if other != own && is_at_work(other) {
            let _ = std::fs::write(journal.join("forked"), format!("{} by {other} and {own}", self.session));
        }
        let _ = std::fs::write(place, own.to_string());
    }

    /// Its turn is over: the session is anybody's.
    fn leave(&self) {
        if let Some(journal) = std::env::var_os("ACP_JOURNAL").map(std::path::PathBuf::from) {
            let _ = std::fs::write(journal.join(&self.session), "");
        }
    }

    /// Says which answer came by what it does: writes nothing itself.
    fn ask(&mut self) {
        let call = json!({"toolCallId": "c1", "kind": "edit", "status": "pending", "locations": [{"path": "a.txt"}]});
        let options = json!([
            {"optionId": "x1", "kind": "allow_always"}, {"optionId": "x2", "kind": "reject_once"}, {"optionId": "x3", "kind": "allow_once"},
        ]);
        let params = json!({"sessionId": SESSION, "toolCall": call, "options": options});
        say(&json!({"jsonrpc": "2.0", "id": "q-1", "method": "session/request_permission", "params": params}));
        while let Some(message) = self.next() {
            if message["id"] == "q-1" {
                let chosen = message["result"]["outcome"]["optionId"].as_str().unwrap_or("nothing");
                let status = if chosen == "x3" { "completed" } else { "failed" };
                update(&json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": status}));
                text(&format!("{chosen} was chosen. "));
                return;
            }
        }
    }

    fn until_cancelled(&mut self) {
        while let Some(message) = self.next() {
            if message["method"] == "session/cancel" && message["params"]["sessionId"] == self.session {
                return;
            }
        }
    }

    fn refused(&mut self, method: &str, params: Value) {
        say(&json!({"jsonrpc": "2.0", "id": 41, "method": method, "params": params}));
        while let Some(message) = self.next() {
            if message["id"] == 41 {
                text(&format!("refused with {} ", message["error"]["code"]));
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(count) if count > 0 => Some(serde_json::from_str(&line).unwrap_or_default()),
            _ => None,
        }
    }
}

fn opened(new: Option<&str>) -> Value {
    let modes = json!({"availableModes": [{"id": "careful"}, {"id": "bold"}], "currentModeId": "careful"});
    match new {
        Some(session) => json!({"sessionId": session, "modes": modes}),
        None => json!({"modes": modes}),
    }
}

fn answer(id: &Value, result: &Value) {
    say(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
}

/// Whether there is such a process and it has not ended: a dead one stays until somebody asks how it ended.
fn is_at_work(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn speaks_for() -> String {
    let session = SPEAKS_FOR.lock().map(|session| session.clone()).unwrap_or_default();
    if session.is_empty() {
        SESSION.to_owned()
    } else {
        session
    }
}

fn text(text: &str) {
    update(&json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}));
}

fn update(update: &Value) {
    say(
        &json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": speaks_for(), "update": update}}),
    );
}

fn say(message: &Value) {
    print_line(&message.to_string());
}

fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
}

fn forever() -> ! {
    loop {
        std::thread::park();
    }
}
