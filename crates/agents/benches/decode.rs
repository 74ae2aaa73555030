//! How fast the decoders read, in MB/s of what the vendors' programs print, beside serde_json's plain `Value` on the
//! same bytes in the same run.
//!
//! Two streams each: every recorded line again and again, and a long session as it really is (many small pieces of
//! text, some large tool results).

use std::hint::black_box;
use std::time::{Duration, Instant};

use wheelhouse_agents::decode::claude::Claude;
use wheelhouse_agents::decode::codex_app::CodexApp;
use wheelhouse_agents::decode::codex_exec::CodexExec;
use wheelhouse_agents::decode::jsonl::{Line, Lines};
use wheelhouse_core::agent::AgentEvent;

#[expect(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "shared with the tests, which use more of it"
)]
#[path = "../tests/programs/recording.rs"]
mod recording;

use recording::{Recording, Source};

/// How much is decoded a round, in bytes.
const ROUND_BYTES: usize = 32 * 1024 * 1024;
/// How much a read from a pipe brings, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Rounds; the best one counts, as on a machine with other work.
const ROUNDS: u32 = 5;
/// The goal, in MB/s.
const GOAL: f64 = 200.0;

fn main() {
    println!("{:<24} {:>9} {:>13} {:>7}", "stream", "MB/s", "Value MB/s", "ratio");
    let claude = recorded("claude_");
    let exec = recorded("codex_exec_");
    let app = recorded("codex_appserver_");
    report("claude, recorded", &repeat(&claude), Decoder::Claude);
    report("claude, long session", &long_claude(), Decoder::Claude);
    report("codex exec, recorded", &repeat(&exec), Decoder::Exec);
    report("codex app, recorded", &repeat(&app), Decoder::App);
    report("codex app, long session", &long_app(), Decoder::App);
}

#[derive(Clone, Copy)]
enum Decoder {
    Claude,
    Exec,
    App,
}

fn report(name: &str, bytes: &[u8], decoder: Decoder) {
    let ours = speed(bytes, || decode(bytes, decoder));
    let values = speed(bytes, || {
        let mut lines = Lines::default();
        for read in bytes.chunks(READ_BYTES) {
            lines.feed(read, |line| {
                if let Line::Whole(line) = line {
                    black_box(serde_json::from_slice::<serde_json::Value>(line).is_ok());
                }
            });
        }
    });
    let mark = if ours < GOAL { "  below the goal" } else { "" };
    println!("{name:<24} {ours:>9.0} {values:>13.0} {:>7.2}{mark}", ours / values);
}

fn speed(bytes: &[u8], mut round: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed());
    }
    bytes.len() as f64 / 1e6 / best.as_secs_f64()
}

fn decode(bytes: &[u8], decoder: Decoder) {
    let mut lines = Lines::default();
    let mut events: Vec<AgentEvent> = Vec::new();
    let mut claude = Claude::new(None);
    let mut exec = CodexExec::new(None, 0);
    let mut app = CodexApp::new(None, 0);
    for read in bytes.chunks(READ_BYTES) {
        lines.feed(read, |line| {
            let Line::Whole(line) = line else { return };
            black_box(match decoder {
                Decoder::Claude => claude.line(line, &mut events),
                Decoder::Exec => exec.line(line, &mut events),
                Decoder::App => app.line(line, &mut events),
            });
            black_box(&events);
            events.clear();
        });
    }
}

fn recorded(prefix: &str) -> Vec<u8> {
    let recordings = Recording::all(prefix);
    let entries = recordings.iter().flat_map(|recording| &recording.entries);
    let mut bytes = Vec::new();
    for entry in entries.filter(|entry| entry.source == Source::Out) {
        bytes.extend_from_slice(entry.line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

fn repeat(block: &[u8]) -> Vec<u8> {
    block.repeat(ROUND_BYTES.div_ceil(block.len()))
}

/// Pieces of text as they stream, and every hundred of them a tool result of 8 kB, twice as the CLI prints it.
fn long_claude() -> Vec<u8> {
    let piece = r#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"the next few words of it"}},"session_id":"7156da83-23b3-4565-8621-f4dc0aa93cb7","parent_tool_use_id":null,"uuid":"19b1a3aa-0f23-4b52-9f1c-4d3e5a7b9c21","api_message_id":"msg_dc68fdd6f87c08cba4e32e80"}"#;
    let code = "fn main() {\\n    println!(\\\"hello\\\");\\n}\\n".repeat(200);
    let result = format!(
        r#"{{"type":"user","message":{{"role":"user","content":[{{"tool_use_id":"toolu_1","type":"tool_result","content":"{code}"}}]}},"parent_tool_use_id":null,"session_id":"7156da83","tool_use_result":{{"type":"text","file":{{"content":"{code}"}}}}}}"#
    );
    mix(piece, &result)
}

fn long_app() -> Vec<u8> {
    let piece = r#"{"method":"item/agentMessage/delta","params":{"threadId":"01a1f8b8-1e87-7630-98f6-ea434055a4cb","turnId":"01a1f8b8-1f31-7e30-9f08-4929ccb8fcc6","itemId":"msg_aa973c5d8984a89a31ad8acd","delta":"the next few words of it"},"emittedAtMs":1795174181000}"#;
    let output = "running 1 test\\ntest it_works ... ok\\n".repeat(400);
    let item = format!(
        r#"{{"method":"item/completed","params":{{"item":{{"type":"commandExecution","id":"call_1","command":"cargo test","aggregatedOutput":"{output}","exitCode":0,"status":"completed"}},"threadId":"01a1f8b8-1e87-7630-98f6-ea434055a4cb","turnId":"t"}},"emittedAtMs":1}}"#
    );
    mix(piece, &item)
}

fn mix(small: &str, large: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROUND_BYTES + large.len());
    while bytes.len() < ROUND_BYTES {
        for _ in 0..100 {
            bytes.extend_from_slice(small.as_bytes());
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(large.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}
