//! A program in Claude Code's place: it keeps what it is told, word for word, and plays what a test has written down.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::House;

/// Answers handshakes; on the n-th prompt of the project it plays `play.n` (else `play`), a piece of shell that may use
/// `tool`, `came`, `failed` and `say`.
const PROGRAM: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo '2.1.332 (Claude Code)'; exit 0; }
line() { printf '%s\n' "$1"; }
# tool ID NAME MEMBER VALUE
tool() { line '{"type":"assistant","session_id":"s","parent_tool_use_id":null,"message":{"id":"m'$1'","type":"message","role":"assistant","model":"claude-x","content":[{"type":"tool_use","id":"'$1'","name":"'$2'","input":{"'$3'":"'"$4"'"}}],"usage":{"input_tokens":1,"output_tokens":1}}}'; }
# came ID TEXT; failed ID TEXT
came() { line '{"type":"user","session_id":"s","parent_tool_use_id":null,"message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"'$1'","content":"'"$2"'"}]}}'; }
failed() { line '{"type":"user","session_id":"s","parent_tool_use_id":null,"message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"'$1'","is_error":true,"content":"'"$2"'"}]}}'; }
say() { line '{"type":"assistant","session_id":"s","parent_tool_use_id":null,"message":{"id":"last'$$'","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"'"$1"'"}],"usage":{"input_tokens":1,"output_tokens":1}}}'
  line '{"type":"result","subtype":"success","is_error":false,"result":"'"$1"'","session_id":"s","stop_reason":"end_turn","num_turns":1,"duration_ms":1,"duration_api_ms":1,"total_cost_usd":0.001,"usage":{"input_tokens":1,"output_tokens":1}}'; }
# Where it was started it stays: a try in a tree of its own finds the pieces there all the same.
here=HERE
while read -r got; do
  case "$got" in
    *'"control_request"'*)
      printf '%s\n' "$got" >> $here/control.txt
      id=$(printf '%s' "$got" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
      line '{"type":"control_response","response":{"subtype":"success","request_id":"'$id'","response":{}}}'
      case "$got" in *'"interrupt"'*)
        line '{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"s","stop_reason":null,"num_turns":1,"duration_ms":1,"duration_api_ms":1,"total_cost_usd":0.001,"usage":{"input_tokens":1,"output_tokens":1}}' ;;
      esac ;;
    *'"type":"user"'*)
      printf '%s\n' "$got" >> $here/told.txt
      n=$(wc -l < $here/told.txt | tr -d ' ')
      line '{"type":"system","subtype":"init","cwd":"/","session_id":"s","tools":[],"mcp_servers":[],"model":"claude-x","permissionMode":"default","claude_code_version":"2.1.332"}'
      [ -e $here/play.$n ] && . $here/play.$n || . $here/play ;;
  esac
done
"#;

/// A project whose agent `double` is the program.
pub(crate) fn house(config: &str, play: &str) -> House {
    let house = House::new();
    let here = house.project().display().to_string();
    let program = house.write("bin/claude", &PROGRAM.replace("here=HERE", &format!("here={here}")));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = format!(
        "{config}\n[agents.double]\nbackend = \"claude\"\ncommand = \"{}\"\npacket = \"off\"\n",
        program.display()
    );
    house.write("wheelhouse.toml", &settings);
    house.write("play", play);
    house
}

/// What the program was told, prompt by prompt.
pub(crate) fn told(house: &House) -> Vec<String> {
    let text = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        match &line["message"]["content"] {
            Value::String(text) => text.clone(),
            blocks => blocks[0]["text"].as_str().unwrap_or_default().to_owned(),
        }
    };
    let told = fs::read_to_string(house.project().join("told.txt")).unwrap_or_default();
    told.lines().map(text).collect()
}

/// Runs one task of that agent with these keys besides, to its end.
pub(crate) fn run(house: &House, prompt: &str, keys: Value) -> Value {
    let mut task = json!({"id": "fix", "agent": "double", "prompt": prompt, "retry": {"max": 0}});
    let (Value::Object(task_keys), Value::Object(keys)) = (&mut task, keys) else {
        panic!("keys are an object");
    };
    task_keys.extend(keys);
    house.write("plan.json", &json!({"name": "p", "tasks": [task]}).to_string());
    house.json(&["run", "plan.json"])
}

/// The receipts of one layer, or of all runs' events of that kind.
pub(crate) fn reports(house: &House, kind: &str) -> Vec<String> {
    let events = house.ok(&["events", "--json"]).out;
    let events = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of = events.filter(|event| event["kind"] == kind);
    of.filter_map(|event| event["text"].as_str().map(str::to_owned))
        .collect()
}
