//! Every recording of the real Claude Code decodes to what really happened in it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use wheelhouse_agents::decode::claude::Claude;
use wheelhouse_agents::decode::{DeniedBy, Signal};
use wheelhouse_core::agent::{AgentEvent, Reply};

#[path = "programs/recording.rs"]
mod recording;
#[path = "programs/turn_table.rs"]
mod turn_table;

use recording::{Recording, Source};
use turn_table::{assert_same, turn_line};

/// One line a turn: outcome, text, usage (input / cache read / cache write / output / reasoning), cost, and what was
/// asked and denied. `?` are lines nobody understood.
const EXPECTED: &str = "\
claude_edit_accepted: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) files=/workspace/hello.txt
claude_edit_denied: gate_failed 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) denied=Write by Vendor
claude_error_400: context_too_long '' 0/0/0/0/0 reported Actual(0)
claude_error_401: auth '' 0/0/0/0/0 reported Actual(0)
claude_error_429: rate_limited(1145) '' 0/0/0/0/0 reported Actual(0)
claude_error_429_recovered: succeeded 'Recovered after 429.' 286/0/0/6/0 reported Actual(1264000)
claude_error_500: overloaded '' 0/0/0/0/0 reported Actual(0)
claude_error_529: overloaded '' 0/0/0/0/0 reported Actual(0)
claude_interrupt: cancelled 'one two three fo' 286/0/0/5/0 estimated Actual(1244000) interrupted
claude_interrupt: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(2440000)
claude_interrupt: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(837500) files=/workspace/hello.txt
claude_interrupt_tool: cancelled '' 286/0/0/21/0 estimated Actual(1564000) interrupted
claude_interrupt_tool: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(2440000)
claude_max_turns: truncated '' 572/0/0/42/0 reported Actual(3128000)
claude_mcp_elicitation: succeeded 'Asked.' 570/0/0/43/0 reported Actual(3140000) asked=[log asks: Really? (answer)]
claude_mcp_modern: succeeded 'MCP done.' 572/0/0/24/0 reported Actual(2768000)
claude_mcp_tool: succeeded 'MCP done.' 572/0/0/24/0 reported Actual(2768000)
claude_multi_turn: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(2440000)
claude_multi_turn: succeeded 'Thought done.' 50/0/0/30/0 reported Actual(800000)
claude_partial_thinking: succeeded 'Thought done.' 50/0/0/30/0 reported Actual(800000)
claude_permission_host: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) asked=[Write /workspace/hello.txt] files=/workspace/hello.txt
claude_permission_host: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) asked=[Write /workspace/hello.txt] denied=Write by Host
claude_permission_mcp: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) files=/workspace/hello.txt
claude_resume: succeeded 'OK' 20/0/0/2/0 reported Actual(120000)
claude_resume_unknown: unavailable '' 0/0/0/0/0 reported Actual(0)
claude_sigint: cancelled '' 285/0/0/1/0 estimated Actual(1160000) interrupted
claude_simple: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(2440000)
claude_stream_error: truncated 'partial text before error' 286/0/0/7/0 reported Actual(1284000)
";

/// The sessions, as the recordings name them.
const SESSIONS: &[(&str, &str)] = &[
    ("claude_interrupt", "7156da83-23b3-4565-8621-f4dc0aa93cb7"),
    ("claude_resume", "a5cc07d0-66b2-404d-aa47-d04f0f621c32"),
    ("claude_resume_unknown", "99999999-2222-4333-8444-555555555555"),
    ("claude_simple", "a5cc07d0-66b2-404d-aa47-d04f0f621c32"),
];

#[test]
fn every_recording_decodes_to_what_happened() {
    let mut seen = String::new();
    for recording in Recording::all("claude_") {
        let mut decoder = Claude::new(None);
        let mut asked = Vec::new();
        for entry in &recording.entries {
            let mut events = Vec::new();
            match entry.source {
                Source::Out => {}
                Source::In => {
                    answer(&mut decoder, &entry.line);
                    continue;
                }
                Source::Other => continue,
            }
            let signal = decoder.line(entry.line.as_bytes(), &mut events);
            assert!(
                !events.is_empty(),
                "{}: every line is a sign of life: {}",
                recording.name,
                entry.line
            );
            for event in &events {
                match event {
                    AgentEvent::Permission { tool, detail, .. } => asked.push(format!("{tool} {detail}")),
                    AgentEvent::Question { text, .. } => asked.push(text.clone()),
                    AgentEvent::Raw(line) => panic!("{}: not understood: {line}", recording.name),
                    _ => {}
                }
            }
            if let Signal::TurnEnded(turn) = signal {
                seen += &turn_line(&recording.name, &turn, &std::mem::take(&mut asked));
                assert_eq!(
                    events.last(),
                    Some(&AgentEvent::Usage(decoder.so_far())),
                    "{}",
                    recording.name
                );
                if let Some((_, session)) = SESSIONS.iter().find(|(name, _)| *name == recording.name) {
                    assert_eq!(turn.session.as_deref(), Some(*session), "{}", recording.name);
                } else {
                    assert_eq!(turn.session.as_deref().map(str::len), Some(36), "{}", recording.name);
                }
                if recording.name != "claude_resume_unknown" {
                    assert_eq!(turn.version.as_deref(), Some("2.1.329"), "{}", recording.name);
                }
                let vendor = turn.denials.iter().any(|denial| denial.by == DeniedBy::Vendor);
                assert_eq!(vendor, turn.outcome.class() == "gate_failed", "{}", recording.name);
            }
        }
        assert_eq!(decoder.unknown(), 0, "{}", recording.name);
        assert!(decoder.turns() > 0, "{} has no end", recording.name);
    }
    assert_same(&seen, EXPECTED);
}

/// What the host of the recording answered is known to the decoder as to a real host's.
fn answer(decoder: &mut Claude, line: &str) {
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let response = &line["response"];
    let Some(request) = response["request_id"].as_str() else {
        return;
    };
    let Some(ask) = decoder.take_ask(request) else { return };
    let behavior = response["response"]["behavior"].as_str();
    if behavior == Some("deny") {
        decoder.refused(ask.tool_use().expect("a tool"));
    }
    // Our own answer to the same request differs from the recorded one only where the host changed the input.
    let reply = match behavior {
        Some("deny") => Reply::Deny("not now".into()),
        Some(_) => Reply::Allow,
        None => Reply::Words("yes".into()),
    };
    let ours: serde_json::Value = serde_json::from_slice(&ask.answer(request, &reply)).expect("JSON");
    assert_eq!(ours["response"]["subtype"], response["subtype"]);
    if behavior != Some("allow") {
        assert_eq!(ours["response"]["response"], response["response"]);
    }
}

#[test]
fn text_is_told_once_although_the_stream_says_it_twice() {
    let recording = Recording::named("claude_partial_thinking");
    let (mut text, mut thought) = (String::new(), String::new());
    let mut decoder = Claude::new(None);
    for entry in recording.entries.iter().filter(|entry| entry.source == Source::Out) {
        let mut events = Vec::new();
        decoder.line(entry.line.as_bytes(), &mut events);
        for event in events {
            match event {
                AgentEvent::Text(piece) => text += &piece,
                AgentEvent::Thought(piece) => thought += &piece,
                _ => {}
            }
        }
    }
    assert_eq!(
        (text.as_str(), thought.as_str()),
        ("Thought done.", "Let me think about it.")
    );
}

#[test]
fn garbage_between_valid_lines_changes_nothing() {
    let recording = Recording::named("claude_permission_host");
    let mut decoder = Claude::new(None);
    let mut ended = 0;
    for entry in recording.entries.iter().filter(|entry| entry.source == Source::Out) {
        let mut events = Vec::new();
        for garbage in [
            &b"\xff\xfe\x00"[..],
            b"{",
            b"null",
            b"[1,2]",
            b"{\"type\":7}",
            b"{\"type\":\"brand_new\",\"x\":1}",
            b"{\"type\":\"assistant\",\"message\":5}",
            b"npm warn deprecated",
        ] {
            assert_eq!(decoder.line(garbage, &mut events), Signal::Quiet);
        }
        assert_eq!(
            events
                .iter()
                .filter(|event| matches!(event, AgentEvent::Raw(_)))
                .count(),
            8
        );
        if matches!(decoder.line(entry.line.as_bytes(), &mut events), Signal::TurnEnded(_)) {
            ended += 1;
        }
    }
    assert_eq!(ended, 2);
    assert_eq!(decoder.unknown() % 8, 0);
}

#[test]
fn an_unknown_request_is_to_be_answered_with_an_error_at_once() {
    let mut decoder = Claude::new(None);
    let mut events = Vec::new();
    let line = br#"{"type":"control_request","request_id":"r9","request":{"subtype":"hook_callback","x":1}}"#;
    assert_eq!(
        decoder.line(line, &mut events),
        Signal::Unknown {
            request: "\"r9\"".into(),
            what: "hook_callback".into()
        }
    );
}

#[test]
fn an_over_long_last_line_still_ends_the_turn() {
    let mut decoder = Claude::new(None);
    let mut events = Vec::new();
    decoder.line(
        br#"{"type":"assistant","message":{"id":"m1","model":"x","content":[{"type":"text","text":"short"}],"usage":{"input_tokens":4}}}"#,
        &mut events,
    );
    let quiet = decoder.over_long(
        br#"{"type":"user","message":{"content":"\"type\":\"result\""#,
        b"",
        99,
        &mut events,
    );
    assert_eq!(quiet, Signal::Quiet);
    match decoder.over_long(
        br#"{"duration_ms":1,"#,
        br#","is_error":false,"type":"result"}"#,
        99,
        &mut events,
    ) {
        Signal::TurnEnded(turn) => assert_eq!((turn.outcome.class(), turn.text.as_str()), ("succeeded", "short")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_turn_that_never_ends_has_an_estimate_and_no_zero() {
    let recording = Recording::named("claude_interrupt");
    let mut decoder = Claude::new(None);
    for entry in recording
        .entries
        .iter()
        .filter(|entry| entry.source == Source::Out)
        .take(9)
    {
        decoder.line(entry.line.as_bytes(), &mut Vec::new());
    }
    let turn = decoder.unfinished(wheelhouse_core::outcome::Outcome::Killed, String::new());
    assert_eq!(turn.text, "one two three fo");
    assert_eq!((turn.usage.input, turn.usage.output), (286, 4));
    assert_eq!(turn.usage.source, wheelhouse_core::usage::UsageSource::Estimated);
    assert_eq!(turn.cost, wheelhouse_core::usage::Cost::Unknown);
}
