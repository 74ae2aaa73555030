//! Clients of other systems against the real program, with an engine that does the work.

use serde_json::{Value, json};

use crate::serve::{ask, url};
use crate::{House, Running};

fn serving(toolset: &str) -> (House, Running, String) {
    let house = House::new();
    // Their `claude` costs nothing here.
    house.write("wheelhouse.toml", "[agents.claude]\nbackend = \"rehearsal\"\n");
    let serving = house.start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--without-token",
        "--toolset",
        toolset,
    ]);
    let url = url(&house);
    (house, serving, url)
}

fn execute(url: &str, tool: &str, arguments: &Value) -> Value {
    let body = json!({ "tool": tool, "arguments": arguments }).to_string();
    let (status, body) = ask(url, "POST", "/tools/execute", "", &body);
    assert_eq!(status, 200, "{tool}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// A call as a client without a handshake makes it.
fn call(url: &str, tool: &str, arguments: &Value) -> Value {
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } });
    let (status, body) = ask(url, "POST", "/mcp", "", &message.to_string());
    assert_eq!(status, 200, "{tool}: {body}");
    let text = body
        .lines()
        .find_map(|line| line.strip_prefix("data:"))
        .unwrap_or(&body);
    serde_json::from_str::<Value>(text.trim()).unwrap()["result"]["structuredContent"].clone()
}

#[test]
fn a_client_of_madrox_has_its_crew_work() {
    let (_house, _serving, url) = serving("madrox");
    let lead = execute(
        &url,
        "spawn_claude",
        &json!({
            "name": "lead", "role": "architect", "initial_prompt": "Design it.", "wait_for_response": true,
        }),
    );
    assert_eq!(lead["status"], "completed", "{lead}");
    assert!(!lead["response"].as_str().unwrap().is_empty(), "{lead}");
    execute(
        &url,
        "spawn_claude",
        &json!({ "name": "hand", "parent_instance_id": lead["instance_id"] }),
    );
    let answer = execute(
        &url,
        "send_to_instance",
        &json!({ "instance_id": "hand", "message": "go", "wait_for_response": true }),
    );
    assert_eq!(
        (&answer["status"], &answer["protocol"], &answer["error"]),
        (&json!("completed"), &json!("bidirectional"), &Value::Null)
    );
    let all = execute(
        &url,
        "send_to_multiple_instances",
        &json!({
            "instance_ids": ["lead", "hand"], "message": "and?", "wait_for_responses": true,
        }),
    );
    assert_eq!(all["sent"][1]["response"]["status"], "completed", "{all}");
    let begun = execute(
        &url,
        "coordinate_instances",
        &json!({
            "coordinator_id": "lead", "participant_ids": ["lead", "hand"], "task_description": "Agree.", "coordination_type": "sequential",
        }),
    );
    let job = execute(
        &url,
        "get_job_status",
        &json!({ "job_id": begun["task_id"], "max_wait": 60 }),
    );
    assert_eq!(job["status"], "completed", "it was not so there: {job}");
    assert_eq!(job["results"]["i2"]["status"], "completed", "{job}");
    let output = execute(
        &url,
        "get_instance_output",
        &json!({ "instance_id": "lead", "limit": 2 }),
    );
    assert_eq!(output["output"][1]["type"], "response", "{output}");
    let status = execute(&url, "get_instance_status", &json!({ "instance_id": "hand" }));
    assert_eq!(
        (&status["state"], &status["request_count"]),
        (&json!("idle"), &json!(3)),
        "{status}"
    );
    let (code, health) = ask(&url, "POST", "/instances/i2/health", "", "");
    assert!(code == 200 && health.contains("\"healthy\":true"), "{health}");
    assert_eq!(
        execute(&url, "terminate_instance", &json!({ "instance_id": "lead" }))["terminated"],
        json!(["i2", "i1"])
    );
}

#[test]
fn a_client_of_the_task_tools_goes_on_in_one_conversation() {
    let (house, _serving, url) = serving("tasks");
    let made = call(
        &url,
        "create_task",
        &json!({ "title": "Greet", "instructions": "Create hello.js" }),
    );
    let id = made["result"]["task_id"].as_str().unwrap().to_owned();
    let done = || call(&url, "report", &json!({ "id": id }))["result"]["task"].clone();
    crate::until("the first instructions are done", || done()["status"] == "completed");
    call(&url, "update_task", &json!({ "id": id, "instructions": "Test it too" }));
    crate::until("the second ones are", || {
        done()["metrics"]["turns"] == 2 && done()["status"] == "completed"
    });
    let task = done();
    let logs: Vec<&str> = task["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(
        logs.contains(&"[INSTRUCTIONS] Test it too")
            && logs.iter().filter(|line| line.starts_with("[OUTPUT]")).count() == 2,
        "{logs:?}"
    );
    let turns = house.json(&["instances", &id])["instances"][0]["turns"].clone();
    assert_eq!(turns, 2, "both in one instance");
    assert_eq!(
        call(&url, "end_task", &json!({ "id": id }))["result"]["status"],
        "completed"
    );
    assert_eq!(
        call(&url, "check_status", &json!({}))["result"]["daemon"]["status"],
        "running"
    );
}

#[test]
fn a_task_that_is_cleaned_away_at_work_is_gone_at_once() {
    let (house, _serving, url) = serving("tasks");
    let wish = json!({ "title": "Long", "tool": "exec", "instructions": "sleep 600" });
    let made = call(&url, "create_task", &wish);
    let id = made["result"]["task_id"].as_str().unwrap().to_owned();
    crate::until("its turn has begun", || {
        house.json(&["instances", &id])["instances"][0]["state"] == "busy"
    });
    let cleaned = call(&url, "clean_state", &json!({ "task_id": id }));
    assert_eq!(cleaned["result"]["removed"], json!([id]), "{cleaned}");
    // Its process may still be on its way out.
    assert_eq!(call(&url, "report", &json!({}))["result"]["tasks"], json!([]));
    let standing = call(&url, "check_status", &json!({}));
    assert_eq!(standing["result"]["sessions"]["active"], 0, "{standing}");
}
