//! Every recording of the real Codex, one-shot and app-server, decodes to what really happened in it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use wheelhouse_agents::decode::codex_app::CodexApp;
use wheelhouse_agents::decode::codex_exec::CodexExec;
use wheelhouse_agents::decode::{Signal, Totals};
use wheelhouse_core::agent::{AgentEvent, Reply};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::usage::UsageSource;

#[path = "programs/recording.rs"]
mod recording;
#[path = "programs/turn_table.rs"]
mod turn_table;

use recording::{Recording, Source};
use turn_table::{assert_same, turn_line};

/// As in the table of Claude's recordings. The prompt of an estimated turn counts as 40 bytes.
const EXEC: &str = "\
codex_exec_command: succeeded 'Ran it.' 210/0/0/16/0 reported Unknown
codex_exec_edit: succeeded 'Done: created hello.txt.' 120/4100/0/49/0 reported Unknown files=/workspace/hello.txt
codex_exec_edit_readonly: succeeded 'Done: created hello.txt.' 120/4100/0/49/0 reported Unknown files=/workspace/hello.txt
codex_exec_error_400: context_too_long '' 0/0/0/0/0 estimated Actual(0)
codex_exec_error_401: auth '' 0/0/0/0/0 estimated Actual(0)
codex_exec_error_429: rate_limited '' 0/0/0/0/0 estimated Actual(0)
codex_exec_error_429ONCE: succeeded 'Recovered after 429.' 2/0/0/6/0 reported Unknown
codex_exec_error_500: overloaded '' 0/0/0/0/0 estimated Actual(0)
codex_exec_mcp: succeeded 'MCP done.' 2/0/0/24/0 reported Unknown
codex_exec_resume: succeeded 'OK' 20/0/0/2/0 reported Unknown
codex_exec_sigint: killed '' 10/0/0/0/0 estimated Unknown
codex_exec_simple: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Unknown
codex_exec_thinking: succeeded 'Thought done.' 50/0/0/10/20 reported Unknown
codex_exec_truncated: truncated '' 10/0/0/0/0 estimated Unknown
";

const APP: &str = "\
codex_appserver_approvals: succeeded 'Done: created hello.txt.' 120/4100/0/49/0 reported Unknown asked=[edit /workspace/hello.txt -> accept] files=/workspace/hello.txt
codex_appserver_approvals: succeeded 'Asked.' 2/0/0/23/0 reported Unknown asked=[log.ask {\"question\":\"Really?\"} -> accept; log asks: Really? (answer) -> accept]
codex_appserver_approvals: cancelled '' 2/0/0/21/0 estimated Unknown interrupted
codex_appserver_turns: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Unknown
codex_appserver_turns: cancelled 'one two ' 10/0/0/2/0 estimated Unknown interrupted
codex_appserver_turns: succeeded 'Escalation answered.' 6/0/0/27/0 reported Unknown asked=[shell /bin/bash -lc 'touch /rig/escalated.txt' -> decline] denied=shell by Host
codex_appserver_turns: succeeded 'Escalation answered.' 6/0/0/27/0 reported Unknown asked=[shell /bin/bash -lc 'touch /rig/escalated.txt' -> accept]
codex_appserver_turns: succeeded 'Done: created hello.txt.' 120/4100/0/49/0 reported Unknown files=/workspace/hello.txt
codex_appserver_turns: rate_limited '' 0/0/0/0/0 estimated Actual(0)
";

const PROMPT_BYTES: usize = 40;

/// Where the resumed thread stood: the end of `codex_exec_simple`, which it goes on.
const AFTER_SIMPLE: Totals = Totals {
    input: 2_400,
    cached: 2_000,
    cache_write: 300,
    output: 7,
    reasoning: 0,
};

#[test]
fn every_one_shot_recording_decodes_to_what_happened() {
    let mut seen = String::new();
    for recording in Recording::all("codex_exec_") {
        let before = if recording.name == "codex_exec_resume" {
            AFTER_SIMPLE
        } else {
            Totals::default()
        };
        let mut decoder = CodexExec::new(Some(before), PROMPT_BYTES);
        let mut ended = None;
        for entry in recording.entries.iter().filter(|entry| entry.source == Source::Out) {
            let mut events = Vec::new();
            let signal = decoder.line(entry.line.as_bytes(), &mut events);
            assert!(!events.is_empty(), "{}: {}", recording.name, entry.line);
            assert!(
                !events.iter().any(|event| matches!(event, AgentEvent::Raw(_))),
                "{}: {}",
                recording.name,
                entry.line
            );
            if let Signal::TurnEnded(turn) = signal {
                ended = Some(*turn);
            }
        }
        let turn = ended.unwrap_or_else(|| decoder.unfinished(Outcome::Killed, String::new()));
        assert_eq!(turn.session.as_deref().map(str::len), Some(36), "{}", recording.name);
        if recording.name == "codex_exec_simple" {
            assert_eq!(turn.session.as_deref(), Some("01a1f8b7-ec08-7232-a737-22002e100157"));
            assert_eq!(decoder.totals(), Some(AFTER_SIMPLE));
        }
        assert_eq!(decoder.unknown(), 0, "{}", recording.name);
        seen += &turn_line(&recording.name, &turn, &[]);
    }
    assert_same(&seen, EXEC);
}

#[test]
fn every_app_server_recording_decodes_to_what_happened() {
    let mut seen = String::new();
    for recording in Recording::all("codex_appserver_") {
        let mut decoder = CodexApp::new(Some(Totals::default()), PROMPT_BYTES);
        let mut asked: Vec<String> = Vec::new();
        for entry in &recording.entries {
            match entry.source {
                Source::In => answer(&mut decoder, &entry.line, &mut asked),
                Source::Other => {}
                Source::Out => {
                    let mut events = Vec::new();
                    let signal = decoder.line(entry.line.as_bytes(), &mut events);
                    assert!(!events.is_empty(), "{}: {}", recording.name, entry.line);
                    for event in &events {
                        match event {
                            AgentEvent::Permission { tool, detail, .. } => asked.push(format!("{tool} {detail}")),
                            AgentEvent::Question { text, .. } => asked.push(text.clone()),
                            AgentEvent::Raw(line) => panic!("{}: not understood: {line}", recording.name),
                            _ => {}
                        }
                    }
                    if let Signal::TurnEnded(turn) = signal {
                        assert_eq!(turn.version.as_deref(), Some("0.169.0"));
                        assert_eq!(turn.model.as_deref(), Some("gpt-5.5"));
                        assert_eq!(turn.session.as_deref().map(str::len), Some(36));
                        seen += &turn_line(&recording.name, &turn, &std::mem::take(&mut asked));
                    }
                }
            }
        }
        assert_eq!(decoder.unknown(), 0, "{}", recording.name);
    }
    assert_same(&seen, APP);
}

/// What the recorded host answered must be what we would answer to the same request.
fn answer(decoder: &mut CodexApp, line: &str, asked: &mut [String]) {
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let (Some(result), Some(last)) = (line.get("result"), asked.last_mut()) else {
        return;
    };
    let ask = decoder.take_ask(&line["id"].to_string()).expect("an open request");
    let word = result["decision"]
        .as_str()
        .or(result["action"].as_str())
        .expect("an answer")
        .to_owned();
    let reply = match word.as_str() {
        "decline" => Reply::Deny("no".into()),
        _ if result["content"]["answer"].is_string() => Reply::Words("yes".into()),
        _ => Reply::Allow,
    };
    assert_eq!(&ask.answer(&reply), result);
    last.push_str(&format!(" -> {word}"));
}

#[test]
fn the_usage_of_a_resumed_thread_is_the_difference_or_an_estimate() {
    let recording = Recording::named("codex_exec_resume");
    for (before, input, source) in [(Some(AFTER_SIMPLE), 20, "Reported"), (None, 10, "Estimated")] {
        let mut decoder = CodexExec::new(before, PROMPT_BYTES);
        let mut usage = None;
        for entry in recording.entries.iter().filter(|entry| entry.source == Source::Out) {
            if let Signal::TurnEnded(turn) = decoder.line(entry.line.as_bytes(), &mut Vec::new()) {
                usage = Some(turn.usage);
            }
        }
        let usage = usage.expect("an end");
        assert_eq!((usage.input, format!("{:?}", usage.source).as_str()), (input, source));
    }
}

#[test]
fn an_end_with_nothing_is_empty_and_a_refused_patch_is_no_success() {
    let mut decoder = CodexExec::new(Some(Totals::default()), PROMPT_BYTES);
    let completed = br#"{"type":"turn.completed","usage":{"input_tokens":9,"output_tokens":0}}"#;
    match decoder.line(completed, &mut Vec::new()) {
        Signal::TurnEnded(turn) => assert_eq!(turn.outcome, Outcome::Empty),
        other => panic!("{other:?}"),
    }

    let mut decoder = CodexExec::new(Some(Totals::default()), PROMPT_BYTES);
    let message = br#"{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"Done."}}"#;
    decoder.line(message, &mut Vec::new());
    decoder.stderr("ERROR codex_core: patch rejected: writing is blocked by read-only sandbox");
    match decoder.line(completed, &mut Vec::new()) {
        Signal::TurnEnded(turn) => assert_eq!(turn.outcome, Outcome::GateFailed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_unknown_requests_and_over_long_ends_are_survived() {
    let mut decoder = CodexApp::new(Some(Totals::default()), PROMPT_BYTES);
    let mut events = Vec::new();
    for garbage in [
        &b"\xff"[..],
        b"{}",
        b"17",
        b"{\"method\":\"never/seen\",\"params\":{}}",
        b"{\"method\":4}",
    ] {
        assert_eq!(decoder.line(garbage, &mut events), Signal::Quiet);
    }
    assert_eq!(decoder.unknown(), 5);
    let request = br#"{"id":7,"method":"attestation/generate","params":{"a":1}}"#;
    assert_eq!(
        decoder.line(request, &mut events),
        Signal::Unknown {
            request: "7".into(),
            what: "attestation/generate".into()
        }
    );
    decoder.line(
        br#"{"method":"item/agentMessage/delta","params":{"delta":"long"}}"#,
        &mut events,
    );
    match decoder.over_long(
        br#"{"method":"turn/completed","params":"#,
        br#""status":"completed"}}"#,
        9,
        &mut events,
    ) {
        Signal::TurnEnded(turn) => assert_eq!((turn.outcome.class(), turn.text.as_str()), ("succeeded", "long")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_threads_turn_is_a_child_and_ends_nothing() {
    let mut decoder = CodexApp::new(Some(Totals::default()), PROMPT_BYTES);
    let mut events = Vec::new();
    decoder.line(br#"{"id":1,"result":{"thread":{"id":"own"}}}"#, &mut events);
    let other = br#"{"method":"turn/completed","params":{"threadId":"other","turn":{"id":"t","status":"completed","items":[]}}}"#;
    assert_eq!(decoder.line(other, &mut events), Signal::Quiet);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, AgentEvent::Child { id, .. } if id == "other"))
    );
}

#[test]
fn announced_tries_are_counted_until_something_comes_of_one() {
    let again = br#"{"type":"error","message":"Reconnecting... waiting for network (Connection failed)"}"#;
    let mut decoder = CodexExec::new(Some(Totals::default()), PROMPT_BYTES);
    for expected in 1..=3 {
        decoder.line(again, &mut Vec::new());
        assert_eq!(decoder.retries(), expected);
    }
    assert_eq!(
        decoder.last_error().map(|(outcome, _)| outcome),
        Some(Outcome::Overloaded)
    );
    decoder.line(
        br#"{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"x"}}"#,
        &mut Vec::new(),
    );
    assert_eq!(decoder.retries(), 0);

    let again = br#"{"method":"error","params":{"error":{"message":"Reconnecting... 1/5","codexErrorInfo":{"responseStreamDisconnected":{"httpStatusCode":429}}},"willRetry":true,"threadId":"t"}}"#;
    let mut decoder = CodexApp::new(Some(Totals::default()), PROMPT_BYTES);
    decoder.line(again, &mut Vec::new());
    decoder.line(again, &mut Vec::new());
    let (retries, why) = decoder.retrying();
    assert_eq!(retries, 2);
    assert!(matches!(why, Some((Outcome::RateLimited { .. }, _))));
    decoder.line(
        br#"{"method":"item/agentMessage/delta","params":{"delta":"x"}}"#,
        &mut Vec::new(),
    );
    assert_eq!(decoder.retrying().0, 0);
}

/// As Codex 0.171 tells of words that come while a message is on its way: it drops that message and counts only the next.
#[test]
fn a_request_that_was_broken_off_for_words_in_the_middle_is_paid_for() {
    let mut decoder = CodexApp::new(Some(Totals::default()), PROMPT_BYTES);
    let mut events = Vec::new();
    let lines = [
        r#"{"id":1,"result":{"thread":{"id":"t"}}}"#,
        r#"{"method":"turn/started","params":{"threadId":"t","turn":{"id":"u"}}}"#,
        r#"{"method":"item/started","params":{"threadId":"t","item":{"type":"agentMessage","id":"a","text":""}}}"#,
        r#"{"method":"item/agentMessage/delta","params":{"threadId":"t","itemId":"a","delta":"Forty bytes of an answer that went away."}}"#,
        r#"{"id":3,"result":{"turnId":"u"}}"#,
        r#"{"method":"item/started","params":{"threadId":"t","item":{"type":"userMessage","id":"w"}}}"#,
        r#"{"method":"item/started","params":{"threadId":"t","item":{"type":"agentMessage","id":"b","text":""}}}"#,
        r#"{"method":"item/completed","params":{"threadId":"t","item":{"type":"agentMessage","id":"b","text":"Else."}}}"#,
        r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t","tokenUsage":{"total":{"totalTokens":107,"inputTokens":100,"outputTokens":7},"last":{"totalTokens":107,"inputTokens":100,"outputTokens":7}}}}"#,
        r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","status":"completed","items":[]}}}"#,
    ];
    let mut ended = None;
    for line in lines {
        if let Signal::TurnEnded(turn) = decoder.line(line.as_bytes(), &mut events) {
            ended = Some(turn);
        }
    }
    let turn = ended.expect("the turn ends");
    assert_eq!((turn.outcome, turn.text.as_str()), (Outcome::Succeeded, "Else."));
    assert_eq!((turn.usage.input, turn.usage.output), (110, 17));
    assert_eq!(turn.usage.source, UsageSource::Estimated);
}
