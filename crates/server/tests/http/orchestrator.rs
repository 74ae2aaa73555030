//! What the public end-to-end suite of systemprompt's orchestrator calls, as far as that server's promises go: the same
//! discovery, calls, resources and prompts, and what it looks at in the answers.

use serde_json::{Value, json};
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::store::Store;

use crate::mcp::{Client, messages};
use crate::rig::Rig;

/// The envelope of a call, which stands in the text and structured.
fn call(client: &Client<'_>, tool: &str, arguments: Value) -> Value {
    let result = client.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"], "{tool}");
    assert_eq!(result["isError"] == true, text["status"] == "error", "{tool}: {result}");
    text
}

fn read(client: &Client<'_>, uri: &str) -> Value {
    let result = client.ask("resources/read", json!({ "uri": uri }));
    let content = &result["contents"][0];
    assert_eq!(content["mimeType"], "application/json", "{uri}");
    serde_json::from_str(content["text"].as_str().unwrap()).unwrap()
}

fn error(client: &Client<'_>, method: &str, params: &Value) -> String {
    let answer = client.send(&json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": params }));
    let message = messages(&answer).pop().unwrap();
    message["error"]["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{message}"))
        .to_owned()
}

#[test]
fn tools_are_discovered_and_a_task_is_created() {
    // The suite names no toolset: the server is started with it.
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-06-18");
    let listed = client.ask("tools/list", json!({}));
    let tools = listed["tools"].as_array().unwrap();
    for name in [
        "create_task",
        "update_task",
        "end_task",
        "report",
        "report_task",
        "check_status",
        "clean_state",
        "get_prompt",
        "update_stats",
    ] {
        let tool = tools
            .iter()
            .find(|tool| tool["name"] == name)
            .unwrap_or_else(|| panic!("{name}"));
        assert!(!tool["description"].as_str().unwrap().is_empty() && tool["inputSchema"].is_object());
    }
    let made = call(
        &client,
        "create_task",
        json!({
            "title": "Test Task", "tool": "CLAUDECODE", "instructions": "echo \"Hello from test task\"", "branch": "test-branch-1",
        }),
    );
    assert_eq!(made["result"]["task_id"], "i1", "{made}");
    assert_eq!(
        (&made["result"]["tool"], &made["result"]["instructions_started"]),
        (&json!("claude"), &json!(true))
    );
    assert!(error(&client, "tools/call", &json!({ "name": "invalid_tool_name" })).contains("invalid_tool_name"));
    let missing = call(&client, "create_task", json!({}));
    assert_eq!(
        (&missing["status"], &missing["error"]["type"]),
        (&json!("error"), &json!("usage")),
        "{missing}"
    );
    assert!(missing["message"].as_str().unwrap().contains("title"), "{missing}");
    let nobody = call(
        &client,
        "create_task",
        json!({ "title": "x", "tool": "INVALID_TOOL", "instructions": "y" }),
    );
    assert_eq!(nobody["status"], "error");
}

/// What parts of the suite that were not brought up to date still say.
#[test]
fn older_clients_say_command_and_model_and_may_let_a_task_wait() {
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-06-18");
    let made = call(
        &client,
        "create_task",
        json!({
            "title": "Resource Test Task", "description": "Task created for resource testing", "model": "claude",
            "command": "echo \"Testing resources\"", "project_path": "/tmp/resource-test", "priority": "low",
            "start_immediately": false,
        }),
    );
    let id = made["task_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            &made["result"]["instructions_started"],
            &made["result"]["status"],
            &made["result"]["tool"]
        ),
        (&json!(false), &json!("pending"), &json!("claude")),
        "{made}"
    );
    let task = read(&client, &format!("agent://tasks/{id}"));
    assert_eq!((&task["id"], &task["name"]), (&json!(id), &json!("Resource Test Task")));
    assert_eq!(task["logs"], json!([]), "nothing was begun");
    let store = rig.store();
    let spec = store.reader().unwrap().instance(InstanceId(1)).unwrap().unwrap().spec;
    assert_eq!(
        spec.system_prompt.as_deref(),
        Some("echo \"Testing resources\""),
        "it knows what it is to do"
    );
    let told = call(&client, "update_task", json!({ "id": id, "instructions": "Begin." }));
    assert_eq!(told["result"]["status"], "in_progress", "{told}");
    let numbers = call(&client, "update_stats", json!({ "include_tasks": true }));
    assert_eq!(
        (
            &numbers["result"]["tasks"]["total"],
            &numbers["result"]["tasks"]["active"],
            &numbers["result"]["sessions"]["active"]
        ),
        (&json!(1), &json!(1), &json!(1)),
        "{numbers}"
    );
}

#[test]
fn a_task_is_told_more_followed_and_ended() {
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-11-25");
    let made = call(
        &client,
        "create_task",
        json!({ "title": "E2E Test Task", "instructions": "Create hello.js" }),
    );
    let id = made["result"]["task_id"].as_str().unwrap().to_owned();
    let uri = format!("task://{id}");
    client.ask("resources/subscribe", json!({ "uri": uri }));
    let task = read(&client, &uri);
    assert_eq!(
        (&task["title"], &task["status"], &task["progress"]),
        (&json!("E2E Test Task"), &json!("in_progress"), &json!(0))
    );
    assert_eq!(task["logs"], json!(["[INSTRUCTIONS] Create hello.js"]), "{task}");
    let told = call(
        &client,
        "update_task",
        json!({ "process": made["result"]["session_id"], "instructions": "Also a test" }),
    );
    assert_eq!(
        (&told["status"], &told["result"]["id"]),
        (&json!("success"), &json!(id)),
        "{told}"
    );
    let logs = read(&client, &format!("{uri}/logs"));
    assert_eq!(logs["count"], 2, "the same conversation: {logs}");
    assert_eq!(read(&client, &format!("task-output://{id}"))["files"], json!([]));
    assert_eq!(read(&client, &format!("{uri}/result"))["output"], Value::Null);
    client.ask("resources/unsubscribe", json!({ "uri": uri }));
    let one = call(&client, "report", json!({ "id": id }));
    assert_eq!(one["result"]["task"]["metrics"]["turns"], 0, "{one}");
    let all = call(&client, "report_task", json!({}));
    assert_eq!(
        (
            &all["result"]["tasks"][0]["id"],
            &all["result"]["statistics"]["by_tool"]["claude"]
        ),
        (&json!(id), &json!(1))
    );
    let ended = call(&client, "end_task", json!({ "task_id": id, "summary": "enough" }));
    assert_eq!(
        (&ended["result"]["session_closed"], &ended["result"]["summary"]),
        (&json!(true), &json!("enough")),
        "{ended}"
    );
    assert_eq!(call(&client, "report", json!({}))["result"]["tasks"], json!([]));
    assert_eq!(
        call(&client, "update_stats", json!({}))["result"]["by_status"]["cancelled"],
        1
    );
    assert_eq!(
        call(&client, "update_task", json!({ "id": id, "instructions": "more" }))["status"],
        "error"
    );
    rig.post("/instances", &json!({ "name": "other" }));
    assert_eq!(
        call(&client, "end_task", json!({ "id": "other" }))["status"],
        "error",
        "it is no task of theirs"
    );
}

#[test]
fn status_and_resources_are_what_the_suite_looks_at() {
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-06-18");
    let listed = client.ask("resources/list", json!({}));
    let resources = listed["resources"].as_array().unwrap();
    for uri in ["agent://status", "agent://tasks", "agent://sessions"] {
        let one = resources
            .iter()
            .find(|one| one["uri"] == uri)
            .unwrap_or_else(|| panic!("{uri}"));
        assert!(!one["name"].as_str().unwrap().is_empty() && one["mimeType"] == "application/json");
    }
    let status = read(&client, "agent://status");
    assert_eq!(status["status"], "ready");
    assert!(status["capabilities"].is_array());
    assert_eq!(read(&client, "agent://tasks"), json!({ "count": 0, "tasks": [] }));
    assert_eq!(read(&client, "task://list")["count"], 0);
    assert!(read(&client, "agent://sessions")["sessions"].is_array());
    let checked = call(&client, "check_status", json!({}));
    assert_eq!(
        (
            &checked["result"]["daemon"]["status"],
            &checked["result"]["tasks"]["total"]
        ),
        (&json!("stopped"), &json!(0))
    );
    let made = call(
        &client,
        "create_task",
        json!({ "title": "Resource Test Task", "instructions": "x" }),
    );
    let id = made["result"]["task"]["id"].as_str().unwrap().to_owned();
    let task = read(&client, &format!("agent://tasks/{id}"));
    assert_eq!(
        (&task["id"], &task["title"]),
        (&json!(id), &json!("Resource Test Task"))
    );
    let listed = client.ask("resources/list", json!({}));
    assert!(
        listed["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["uri"] == format!("task://{id}"))
    );
    assert!(
        error(&client, "resources/read", &json!({ "uri": "invalid://resource/uri" })).contains("names nothing here")
    );
    error(
        &client,
        "resources/read",
        &json!({ "uri": "agent://tasks/non_existent_task_id" }),
    );
    error(&client, "resources/read", &json!({ "uri": "task://i99" }));
}

#[test]
fn the_state_is_cleaned_of_one_of_old_ones_or_of_all() {
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-06-18");
    for number in 1..=4 {
        call(
            &client,
            "create_task",
            json!({ "title": format!("Bulk {number}"), "instructions": "x" }),
        );
    }
    rig.post("/instances", &json!({ "name": "mine" }));
    let tasks = || read(&client, "agent://tasks")["count"].clone();
    assert_eq!(
        call(&client, "clean_state", json!({ "task_id": "i2" }))["result"]["removed"],
        json!(["i2"])
    );
    let dry = call(&client, "clean_state", json!({ "keep_recent": 1, "dry_run": true }));
    assert_eq!(
        (&dry["result"]["removed"], tasks()),
        (&json!(["i1", "i3"]), json!(3)),
        "{dry}"
    );
    assert_eq!(
        call(&client, "clean_state", json!({ "keep_recent": 1 }))["result"]["count"],
        2
    );
    assert_eq!(call(&client, "clean_state", json!({}))["result"]["count"], 1);
    assert_eq!(tasks(), 0);
    assert_eq!(
        rig.get("/instances/mine").json()["instance"]["state"],
        "idle",
        "what is not theirs stays"
    );
}

#[test]
fn its_prompts_are_there_with_what_they_are_given() {
    let rig = Rig::listing("tasks");
    let client = Client::new(&rig, "2025-06-18");
    let listed = client.ask("prompts/list", json!({}));
    let names: Vec<&str> = listed["prompts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|prompt| {
            assert!(!prompt["description"].as_str().unwrap().is_empty());
            prompt["name"].as_str().unwrap()
        })
        .collect();
    for name in [
        "create_unit_tests",
        "add_missing_tests",
        "fix_failing_tests",
        "improve_test_coverage",
        "create_react_component",
        "update_react_component",
        "convert_to_hooks",
        "create_custom_hook",
        "optimize_react_performance",
        "fix_bug",
        "debug_async_issue",
        "fix_memory_leak",
        "debug_production_issue",
        "fix_performance_issue",
        "refactor_code",
        "extract_common_code",
        "simplify_complex_function",
        "modernize_legacy_code",
        "improve_architecture",
        "create_reddit_post",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    let got = client.ask(
        "prompts/get",
        json!({ "name": "create_unit_tests", "arguments": {
        "file_path": "/src/example.ts", "test_framework": "jest", "coverage_target": "80",
    } }),
    );
    let text = got["messages"][0]["content"]["text"].as_str().unwrap();
    for part in ["/src/example.ts", "jest", "80"] {
        assert!(text.contains(part) && !text.contains('{'), "{text}");
    }
    assert!(
        error(
            &client,
            "prompts/get",
            &json!({ "name": "non_existent_prompt_test_123" })
        )
        .contains("Prompt not found")
    );
    let through_tool = call(
        &client,
        "get_prompt",
        json!({ "prompt_id": "fix_bug", "arguments": { "problem": "it fails" } }),
    );
    assert!(
        through_tool["result"]["messages"][0]["content"]["text"]
            .as_str()
            .unwrap()
            .contains("it fails")
    );
}
