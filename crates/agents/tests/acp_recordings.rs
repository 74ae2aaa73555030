//! Every recording of an agent that speaks ACP decodes to what really happened in it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use wheelhouse_agents::acp::decode::{Decoder, Request, Signal};
use wheelhouse_agents::acp::recipe;
use wheelhouse_core::agent::{AgentEvent, Reply};

#[path = "programs/recording.rs"]
mod recording;
#[path = "programs/turn_table.rs"]
mod turn_table;

use recording::{Recording, Source};
use turn_table::{assert_same, turn_line};

/// As in the table of Claude's recordings.
const TURNS: &str = "\
acp_claude: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(4880000)
acp_claude: cancelled 'one two thre' 3/0/0/3/0 estimated Unknown interrupted
acp_claude: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) asked=[Write /workspace/hello.txt -> allow-once] files=/workspace/hello.txt
acp_claude: succeeded 'MCP done.' 2/0/0/24/0 reported Actual(2928000) asked=[mcp__log__echo {\"text\": \"ping\"} -> cancelled] denied=mcp__log__echo by Host
acp_claude: context_too_long '' 2/0/0/0/0 estimated Actual(6460000)
acp_claude: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(4880000)
acp_claude: succeeded 'Thought done.' 50/0/0/30/0 reported Actual(800000)
acp_claude_auto: succeeded 'Answered.' 200/4000/600/14/0 reported Actual(7320000) files=/workspace/hello.txt
acp_claude_session: succeeded 'Recovered after 429.' 288/0/0/6/0 reported Actual(1600000)
acp_claude_session: cancelled '' 2/0/0/21/0 reported Actual(1088000) interrupted asked=[Bash python3 -c 'import time; time.sleep(25)'; echo woke]
acp_claude_session: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(5000000)
acp_codex: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Unknown
acp_codex: cancelled 'one two thre' 3/0/0/3/0 estimated Unknown interrupted
acp_codex: succeeded 'Done: created hello.txt.' 120/4100/0/49/0 reported Unknown files=/workspace/hello.txt
acp_codex: succeeded 'MCP done.' 2/0/0/24/0 reported Unknown
acp_codex: context_too_long '' 0/0/0/0/0 estimated Actual(0)
acp_codex: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Unknown
acp_codex: succeeded 'Thought done.' 50/0/0/10/20 reported Unknown
acp_codex_approvals: succeeded 'Escalation answered.' 4/0/0/27/0 reported Unknown asked=[shell touch /rig/escalated.txt -> allow_once]
acp_codex_approvals: succeeded 'MCP done.' 2/0/0/24/0 reported Unknown
acp_codex_approvals: succeeded 'Asked.' 2/0/0/23/0 reported Unknown asked=[mcp.log.ask {\"server\": \"log\", \"tool\": \"ask\", \"arguments\": {\"question\": \"Really?\"}} -> allow_once]
acp_codex_approvals: rate_limited '' 0/0/0/0/0 estimated Actual(0)
acp_codex_approvals: auth '' 0/0/0/0/0 estimated Actual(0)
acp_codex_denied: empty '' 100/2000/300/7/0 reported Unknown asked=[edit /workspace/hello.txt -> cancel] denied=edit by Host
acp_codex_session: succeeded 'Recovered after 429.' 2/0/0/6/0 reported Unknown
acp_codex_session: cancelled '' 2/0/0/21/0 reported Unknown interrupted
acp_codex_session: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Unknown
acp_copilot: succeeded 'Hello.' 100/2000/300/7/0 reported Unknown
acp_copilot: succeeded 'Written.' 200/4000/600/14/0 reported Unknown asked=[shell mkdir -p \"$(dirname 'hello.txt')\" && printf %s 'hi
' > 'hello.txt' -> allow_once]
acp_copilot: auth '' 0/0/0/0/0 estimated Actual(0)
acp_copilot: succeeded 'Whole.' 100/2000/300/7/0 reported Unknown
acp_copilot: rate_limited '' 0/0/0/0/0 estimated Actual(0)
acp_copilot_denied: empty '' 100/2000/300/7/0 reported Unknown asked=[shell mkdir -p \"$(dirname 'hello.txt')\" && printf %s 'hi
' > 'hello.txt' -> reject_once] denied=shell by Host
acp_gemini: succeeded 'Hello from the fake model.' 2100/0/0/7/0 reported Unknown
acp_gemini: cancelled 'one two thre' 3/0/0/3/0 estimated Unknown interrupted
acp_gemini: succeeded 'Done: created hello.txt.' 4220/0/0/49/0 reported Unknown asked=[edit /workspace/hello.txt -> proceed_always] files=/workspace/hello.txt
acp_gemini: succeeded 'MCP done.' 2/0/0/24/0 reported Unknown asked=[echo (log MCP Server)  -> cancelled] denied=echo (log MCP Server) by Host
acp_gemini: context_too_long '' 0/0/0/0/0 estimated Actual(0)
acp_gemini: succeeded 'Hello from the fake model.' 2100/0/0/7/0 reported Unknown
acp_gemini: succeeded 'Thought done.' 50/0/0/30/0 reported Unknown
acp_opencode: succeeded 'Hello from the fake model.' 400/2000/0/7/0 reported Actual(635000)
acp_opencode: cancelled 'one two thre' 3/0/0/3/0 estimated Unknown interrupted
acp_opencode: succeeded 'Done: created hello.txt.' 10/2100/0/9/0 estimated Actual(775000) files=/workspace/hello.txt
acp_opencode: succeeded 'MCP done.' 1/0/0/3/0 estimated Actual(122000)
acp_opencode: context_too_long 'Hello from the fake model.' 2/0/0/7/0 estimated Actual(635000)
acp_opencode: succeeded 'Hello from the fake model.' 400/2000/0/7/0 reported Actual(635000)
acp_opencode: succeeded 'Thought done.' 50/0/0/10/20 reported Actual(200000)
acp_qwen: succeeded 'Hello.' 400/2000/0/7/0 reported Unknown
acp_qwen: succeeded 'Ran it.' 800/4000/0/14/0 reported Unknown
acp_qwen: auth '' 0/0/0/0/0 estimated Actual(0)
acp_zed_codex: succeeded 'Escalation answered.' 2/0/0/5/0 estimated Unknown asked=[shell /bin/bash -lc touch /rig/escalated.txt -> approved]
acp_zed_codex: succeeded 'MCP done.' 2/0/0/3/0 estimated Unknown
acp_zed_codex: rate_limited '' 0/0/0/0/0 estimated Actual(0)
acp_zed_codex: auth '' 0/0/0/0/0 estimated Actual(0)
acpx_edit_approved: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) asked=[Write /workspace/hello.txt -> allow-once] files=/workspace/hello.txt
acpx_edit_denied: succeeded 'Done: created hello.txt.' 120/4100/50/49/0 reported Actual(2530000) asked=[Write /workspace/hello.txt -> reject] denied=Write by Host
acpx_error_429: rate_limited '' 0/0/0/0/0 estimated Actual(0)
acpx_exec: succeeded 'Hello from the fake model.' 100/2000/300/7/0 reported Actual(4880000)
";

/// The version each recording's agent says, and the session it opens.
const SESSIONS: &str = "\
acp_claude: 0.100.0 d9642888-d1d5-4b24-a312-b362b58ae97d resumes=true loads=true
acp_claude_auto: 0.101.0 4df04a3a-6cc5-4e34-8502-325ceaa3c4a9 resumes=true loads=true
acp_claude_session: 0.100.0 1f96b99f-ed04-489f-8bf5-1134f1d115c9 resumes=true loads=true
acp_codex: 2.6.0 01a1f8b4-be12-7083-adb8-794d0e2da306 resumes=true loads=true
acp_codex_approvals: 2.6.0 01a1f8b4-db8a-7cb1-b630-c855e9dcdebf resumes=true loads=true
acp_codex_denied: 2.6.0 01a21c60-ca31-7261-9e4b-a4c088845ce1 resumes=true loads=true
acp_codex_session: 2.6.0 01a1f8b8-7f27-7f73-bd27-355c5e2b0135 resumes=true loads=true
acp_copilot: 1.0.102 39dd43c1-e31f-417d-8e46-c0899c9cf66f resumes=false loads=true
acp_copilot_denied: 1.0.102 a2a21386-6de1-4960-8931-fc670ebf0e8f resumes=false loads=true
acp_gemini: 0.61.0 a140b176-a4ce-4c2f-98ba-d10bcbab7148 resumes=false loads=true
acp_opencode: 1.18.33 ses_e0748babbffezRZc0ca4xR7Qjf resumes=true loads=true
acp_qwen: 0.24.4 0f05d799-99ed-42d3-a61b-3cd9bee746d5 resumes=true loads=true
acp_zed_codex: 0.16.0 01a1f8b5-0a50-74b1-a19c-1e875d1246c0 resumes=true loads=true
acpx_edit_approved: 0.100.0 2033ac76-b5ae-488e-b886-4e9d1be811ba resumes=true loads=true
acpx_edit_denied: 0.100.0 21e6fcb8-9995-4317-b938-1640eb98fe5c resumes=true loads=true
acpx_error_429: 0.100.0 9374ade0-35cb-4294-b98a-66b04ee86705 resumes=true loads=true
acpx_exec: 0.100.0 443c0a87-70b2-4ae5-a986-0e216e0907b8 resumes=true loads=true
";

/// A recording followed by a decoder, with the recorded host in our place.
struct Followed {
    decoder: Decoder,
    name: String,
    asked: Vec<String>,
    turns: String,
}

impl Followed {
    fn new(recording: &Recording) -> Followed {
        let departs = ["opencode", "copilot"]
            .into_iter()
            .find(|name| recording.name.contains(name));
        let quirks = departs
            .map(|name| recipe(name).expect("a recipe").quirks)
            .unwrap_or_default();
        Followed {
            decoder: Decoder::new(None, quirks.covers).failing_in_words(quirks.fails_in_words),
            name: recording.name.clone(),
            asked: Vec::new(),
            turns: String::new(),
        }
    }

    fn host(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let id = line["id"].as_u64().unwrap_or_default();
        match line["method"].as_str() {
            Some("initialize") => self.decoder.sent(id, Request::Initialize),
            Some("session/new") => self.decoder.sent(id, Request::New),
            Some("session/load" | "session/resume") => self.decoder.sent(id, Request::Load),
            Some("session/prompt") => {
                let prompt = line["params"]["prompt"][0]["text"].as_str().expect("a prompt");
                self.decoder.prompt(id, prompt.len());
            }
            Some("session/cancel") => self.decoder.cancelled(),
            Some(_) => self.decoder.sent(id, Request::Setting),
            None => self.host_answered(&line),
        }
    }

    /// What the recorded host answered must be what we would answer to the same request, where we would at all.
    fn host_answered(&mut self, line: &Value) {
        let (Some(result), Some(last)) = (line.get("result"), self.asked.last_mut()) else {
            return;
        };
        let Some(ask) = self.decoder.take_ask(&line["id"].to_string()) else {
            return;
        };
        let chosen = result["outcome"]["optionId"].as_str();
        let reply = match chosen {
            Some("reject" | "reject_once" | "cancel") | None => Reply::Deny("no".into()),
            Some(_) => Reply::Allow,
        };
        let ours = ask.answer(&reply);
        match chosen {
            // The rig gave leave for good to see what happens; we never do.
            Some("proceed_always") => assert_eq!(ours["outcome"]["optionId"], "proceed_once"),
            Some(_) => assert_eq!(&ours, result, "{}", self.name),
            None => assert_ne!(ours["outcome"]["optionId"], Value::Null),
        }
        if reply != Reply::Allow {
            self.decoder.denied(&ask, &mut Vec::new());
        }
        last.push_str(&format!(" -> {}", chosen.unwrap_or("cancelled")));
    }

    fn agent(&mut self, line: &str) {
        let mut events = Vec::new();
        let signal = self.decoder.line(line.as_bytes(), &mut events);
        assert!(!events.is_empty(), "{}: {line}", self.name);
        for event in &events {
            match event {
                AgentEvent::Permission { tool, detail, .. } => self.asked.push(format!("{tool} {detail}")),
                AgentEvent::Raw(line) => panic!("{}: not understood: {line}", self.name),
                _ => {}
            }
        }
        match signal {
            Signal::TurnEnded(turn) => {
                assert!(turn.session.is_some());
                self.turns += &turn_line(&self.name, &turn, &std::mem::take(&mut self.asked));
            }
            // Asked of Qwen's own clients; we refuse it, as the recorded host did.
            Signal::Unknown { what, .. } if what == "craft/drainMidTurnQueue" => {}
            Signal::Unknown { what, .. } => panic!("{}: unknown request {what}", self.name),
            Signal::Quiet | Signal::Asked { .. } | Signal::Done(_) | Signal::Failed(..) => {}
        }
    }
}

#[test]
fn every_recording_decodes_to_what_happened() {
    let mut turns = String::new();
    let mut sessions = String::new();
    for recording in Recording::all("acp_").into_iter().chain(Recording::all("acpx_")) {
        let mut followed = Followed::new(&recording);
        let is_mixed = recording.name.starts_with("acpx_");
        for entry in &recording.entries {
            match entry.source {
                // acpx prints the traffic of both sides as its own.
                Source::Out if is_mixed && is_of_the_host(&entry.line) => followed.host(&entry.line),
                Source::Out => followed.agent(&entry.line),
                Source::In => followed.host(&entry.line),
                Source::Other => {}
            }
        }
        assert_eq!(followed.decoder.unknown(), 0, "{}", recording.name);
        assert!(!followed.decoder.is_in_turn(), "{}", recording.name);
        let about = followed.decoder.about();
        let session = followed.decoder.session().expect("a session");
        sessions += &format!(
            "{}: {} {session} resumes={} loads={}\n",
            recording.name,
            about.version.as_deref().unwrap_or("?"),
            about.resumes,
            about.loads
        );
        turns += &followed.turns;
    }
    assert_same(&sessions, SESSIONS);
    assert_same(&turns, TURNS);
}

fn is_of_the_host(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    match line["method"].as_str() {
        Some("session/request_permission") => false,
        Some(_) => line.get("id").is_some() || line["method"] == "session/cancel",
        None => line["result"].get("outcome").is_some(),
    }
}
