//! What clients of madrox call, under its names and paths, over a socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::store::Store;
use wheelhouse_server::token::Scope;

use crate::mcp::{Client, messages};
use crate::rig::{Answer, Rig};

/// Every tool that it has, promises, or answers to.
const NAMES: &[&str] = &[
    "spawn_claude",
    "spawn_codex",
    "spawn_grok",
    "spawn_multiple_instances",
    "spawn_team_from_template",
    "send_to_instance",
    "send_to_multiple_instances",
    "broadcast_to_children",
    "reply_to_caller",
    "get_pending_replies",
    "get_instance_output",
    "get_multiple_instance_outputs",
    "get_tmux_pane_content",
    "get_instance_status",
    "get_live_instance_status",
    "get_children",
    "get_peers",
    "get_instance_tree",
    "get_main_instance_id",
    "interrupt_instance",
    "interrupt_multiple_instances",
    "terminate_instance",
    "terminate_multiple_instances",
    "suspend_instance",
    "resume_instance",
    "list_persisted_instances",
    "coordinate_instances",
    "get_job_status",
    "retrieve_instance_file",
    "list_instance_files",
    "retrieve_multiple_instance_files",
    "list_multiple_instance_files",
    "get_agent_summary",
    "get_all_agent_summaries",
    "get_dashboard_url",
    "collect_team_artifacts",
];

fn get(rig: &Rig, path: &str) -> Value {
    let answer = rig.get(&format!("/../..{path}"));
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

fn execute(rig: &Rig, tool: &str, arguments: &Value) -> Answer {
    rig.post("/../../tools/execute", &json!({ "tool": tool, "arguments": arguments }))
}

fn done(rig: &Rig, tool: &str, arguments: Value) -> Value {
    let answer = execute(rig, tool, &arguments);
    assert_eq!(answer.status, 200, "{tool}: {answer:?}");
    answer.json()
}

#[test]
fn every_name_is_listed_and_can_be_found_and_called() {
    let rig = Rig::new();
    let listed = rig.mcp(
        "?toolset=madrox",
        &[],
        &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
    );
    let tools = messages(&listed).pop().unwrap()["result"]["tools"].clone();
    let names: Vec<&str> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    for name in NAMES {
        assert!(names.contains(name), "{name}");
    }
    assert_eq!(names.len(), NAMES.len(), "{names:?}");
    let over_rest = get(&rig, "/tools");
    assert_eq!(over_rest["tools"].as_array().unwrap().len(), NAMES.len());
    assert!(over_rest["tools"][0]["inputSchema"]["properties"]["initial_prompt"].is_object());
    assert_eq!(get(&rig, "/")["tools"].as_array().unwrap().len(), NAMES.len());
    let client = Client::new(&rig, "2025-06-18");
    for name in NAMES {
        let found = client.call("find_tools", json!({ "query": name }));
        assert_eq!(found["tools"][0]["name"], *name, "the exact name comes first");
    }
}

#[test]
fn a_client_without_a_handshake_is_answered() {
    let rig = Rig::new();
    let call = |name: &str, arguments: Value| {
        let message = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call",
            "params": { "name": name, "arguments": arguments } });
        // As its stdio proxy and scripts do: no session, no version, and no word on what they accept.
        let token = format!("Authorization: Bearer {}", rig.token(Scope::Operate));
        let lines = [token.as_str(), "Content-Type: application/json"];
        messages(&rig.bare("POST", "/../../mcp", &lines, &message.to_string()))
            .pop()
            .unwrap()
    };
    let spawned = call("spawn_claude", json!({ "name": "a", "role": "architect" }));
    assert_eq!(spawned["result"]["structuredContent"]["instance_id"], "i1", "{spawned}");
    let tree = call("get_instance_tree", json!({}));
    let text = tree["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("a (i1) [idle] claude, architect"), "{text}");
    assert_eq!(tree["result"]["structuredContent"]["result"], text);
    let unknown = call("spawn_cloud", json!({}));
    assert!(
        unknown["error"]["message"].as_str().unwrap().contains("spawn_claude"),
        "an error is an error: {unknown}"
    );
}

#[test]
fn instances_are_spawned_written_to_and_looked_at() {
    let rig = Rig::new();
    let servers = json!({ "files": { "command": "files-mcp", "args": [], "transport": "stdio" } });
    let spawned = done(
        &rig,
        "spawn_claude",
        json!({
            "name": "lead", "role": "architect", "initial_prompt": "lead them",
            "mcp_servers": servers.to_string(), "bypass_isolation": true, "wait_for_ready": true,
        }),
    );
    assert_eq!(spawned["instance_id"], "i1");
    assert_eq!(
        (&spawned["status"], &spawned["instance_type"]),
        (&json!("spawned"), &json!("claude"))
    );
    assert!(
        spawned["notes"][0].as_str().unwrap().starts_with("bypass_isolation"),
        "not passed over: {spawned}"
    );
    let many = done(
        &rig,
        "spawn_multiple_instances",
        json!({ "instances": [
        { "name": "a", "type": "codex", "parent_instance_id": "i1" },
        { "name": "b", "instance_type": "claude", "parent_instance_id": "lead" },
        { "name": "c", "type": "nobody" },
    ] }),
    );
    assert_eq!(many["spawned"].as_array().unwrap().len(), 2, "{many}");
    assert_eq!(many["errors"][0]["name"], "c");
    let sent = done(&rig, "send_to_instance", json!({ "instance_id": "a", "message": "go" }));
    assert_eq!(
        (&sent["status"], &sent["instance_id"]),
        (&json!("sent"), &json!("i2")),
        "{sent}"
    );
    assert!(sent["message_id"].as_str().unwrap().starts_with('m'));
    let timeout = done(
        &rig,
        "send_to_instance",
        json!({
            "instance_id": "a", "message": "more", "wait_for_response": true, "timeout_seconds": 0,
        }),
    );
    assert_eq!(
        timeout["status"], "queued",
        "no time was given, so none is waited: {timeout}"
    );
    let all = done(
        &rig,
        "send_to_multiple_instances",
        json!({ "requests": ["a", "nobody"], "message": "x" }),
    );
    assert_eq!(
        (&all["sent"][0]["instance_id"], &all["errors"][0]["instance_id"]),
        (&json!("a"), &json!("nobody"))
    );
    let told = done(
        &rig,
        "broadcast_to_children",
        json!({ "parent_id": "lead", "message": "hear" }),
    );
    assert_eq!(
        (&told["children_count"], &told["results"][1]["child_name"]),
        (&json!(2), &json!("b")),
        "{told}"
    );
    let output = done(
        &rig,
        "get_instance_output",
        json!({ "instance_id": "lead", "limit": 5 }),
    );
    assert_eq!(output["output"][0]["content"], "lead them");
    assert_eq!(
        (&output["output"][0]["type"], &output["count"]),
        (&json!("user"), &json!(1))
    );
    let outputs = done(
        &rig,
        "get_multiple_instance_outputs",
        json!({
            "requests": [{ "instance_id": "a" }, { "instance_id": "b" }],
        }),
    );
    assert_eq!(
        outputs["outputs"][0]["output"].as_array().unwrap().len(),
        4,
        "{outputs}"
    );
    let status = done(&rig, "get_instance_status", json!({}));
    assert_eq!(
        (&status["total_instances"], &status["instances"]["i1"]["name"]),
        (&json!(3), &json!("lead"))
    );
    assert!(status["instances"]["i1"].get("system_prompt").is_none() && !status.to_string().contains("files-mcp"));
    assert_eq!(
        done(&rig, "get_children", json!({ "parent_id": "lead" }))[0]["name"],
        "a"
    );
    assert_eq!(done(&rig, "get_peers", json!({ "instance_id": "a" }))[0]["name"], "b");
    let live = done(&rig, "get_live_instance_status", json!({ "instance_id": "a" }));
    assert_eq!(
        (&live["tools_executed"], &live["event_counts"]["message"]),
        (&json!(0), &json!(4)),
        "{live}"
    );
    assert_eq!(done(&rig, "get_main_instance_id", json!({})), "i1");
    let summary = done(&rig, "get_agent_summary", json!({ "instance_id": "lead" }));
    assert_eq!(summary["last_task"], "lead them", "{summary}");
    assert_eq!(
        done(
            &rig,
            "get_all_agent_summaries",
            json!({ "status_filter": ["terminated"] })
        )["total"],
        0
    );
    assert!(
        done(&rig, "get_dashboard_url", json!({}))
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    execute(
        &rig,
        "send_to_instance",
        &json!({ "instance_id": "nobody", "message": "x" }),
    )
    .is_problem(404, "not_found");
    execute(&rig, "spawn_cloud", &json!({})).is_problem(400, "usage");
    execute(&rig, "spawn_claude", &json!({ "name": 7 })).is_problem(400, "usage");
    execute(&rig, "spawn_claude", &json!({ "name": "x", "git_repo": "/elsewhere" })).is_problem(400, "usage");
}

#[test]
fn instances_are_stopped_put_aside_and_ended() {
    let rig = Rig::new();
    done(
        &rig,
        "spawn_multiple_instances",
        json!({ "instances": [{ "name": "a" }, { "name": "b" }, { "name": "c" }] }),
    );
    done(&rig, "send_to_instance", json!({ "instance_id": "a", "message": "go" }));
    let idle = done(&rig, "interrupt_instance", json!({ "instance_id": "b" }));
    assert_eq!(
        (&idle["success"], &idle["message"]),
        (&json!(true), &json!("nothing was under way")),
        "{idle}"
    );
    let many = done(
        &rig,
        "interrupt_multiple_instances",
        json!({ "instance_ids": ["b", "nobody"] }),
    );
    assert_eq!(
        (&many["interrupted"], &many["failed"][0]["instance_id"]),
        (&json!(["i2"]), &json!("nobody"))
    );
    execute(&rig, "terminate_instance", &json!({ "instance_id": "a" })).is_problem(409, "refused");
    let ended = done(&rig, "terminate_instance", json!({ "instance_id": "a", "force": true }));
    assert_eq!(
        (&ended["status"], &ended["success"]),
        (&json!("terminated"), &json!(true)),
        "{ended}"
    );
    assert_eq!(
        done(&rig, "suspend_instance", json!({ "instance_id": "b" }))["status"],
        "suspended"
    );
    assert_eq!(done(&rig, "list_persisted_instances", json!({}))[0]["name"], "b");
    assert_eq!(
        done(&rig, "resume_instance", json!({ "instance_id": "b" }))["status"],
        "idle"
    );
    execute(&rig, "resume_instance", &json!({ "instance_id": "i1" })).is_problem(409, "refused");
    let rest = done(
        &rig,
        "terminate_multiple_instances",
        json!({ "instance_ids": ["b", "c", "nobody"] }),
    );
    assert_eq!(
        (&rest["terminated"], &rest["failed"][0]["instance_id"]),
        (&json!(["i2", "i3"]), &json!("nobody"))
    );
}

#[test]
fn work_is_shared_and_files_are_fetched_within_bounds() {
    let rig = Rig::new();
    let text = done(
        &rig,
        "spawn_team_from_template",
        json!({
            "template_name": "security_audit", "task_description": "Look at login.", "supervisor_role": "architect",
        }),
    );
    assert!(
        text.as_str().unwrap().contains("led by i1") && text.as_str().unwrap().contains("(architect)"),
        "{text}"
    );
    let children = done(&rig, "get_children", json!({ "parent_id": "i1" }))
        .as_array()
        .unwrap()
        .len();
    assert!(children >= 2, "the team is there, not only promised");
    let output = done(&rig, "get_instance_output", json!({ "instance_id": "i1" }));
    assert!(
        output["output"][0]["content"]
            .as_str()
            .unwrap()
            .starts_with("Look at login."),
        "{output}"
    );
    let begun = done(
        &rig,
        "coordinate_instances",
        json!({
            "coordinator_id": "i1", "participant_ids": ["i2", "i3"], "task_description": "Agree.", "coordination_type": "parallel",
        }),
    );
    assert_eq!((&begun["task_id"], &begun["status"]), (&json!("c1"), &json!("started")));
    let job = done(
        &rig,
        "get_job_status",
        json!({ "job_id": "c1", "wait_for_completion": false }),
    );
    assert_eq!(
        (&job["status"], &job["results"]["i2"]["status"]),
        (&json!("running"), &json!("pending")),
        "{job}"
    );
    assert_eq!(done(&rig, "get_job_status", json!({ "job_id": "c9" })), Value::Null);
    assert_eq!(
        done(&rig, "list_instance_files", json!({ "instance_id": "i1" })),
        json!([])
    );
    let project = rig.dir.path().canonicalize().unwrap();
    std::fs::write(project.join("made.txt"), "made").unwrap();
    let fetch = |filename: &str, to: &str| {
        execute(
            &rig,
            "retrieve_instance_file",
            &json!({
                "instance_id": "i1", "filename": filename, "destination_path": to,
            }),
        )
    };
    let copied = fetch("made.txt", "out/copy.txt").json();
    assert_eq!(std::fs::read_to_string(copied.as_str().unwrap()).unwrap(), "made");
    fetch("../made.txt", "out/x").is_problem(400, "usage");
    fetch("made.txt", "/tmp/x").is_problem(400, "usage");
    fetch("made.txt", "../x").is_problem(400, "usage");
    std::os::unix::fs::symlink("/etc/hostname", project.join("leak")).unwrap();
    fetch("leak", "out/x").is_problem(400, "usage");
    std::os::unix::fs::symlink("/tmp", project.join("away")).unwrap();
    fetch("made.txt", "away/x").is_problem(400, "usage");
}

#[test]
fn a_reply_is_the_instances_own_and_arrives_where_it_belongs() {
    let rig = Rig::new();
    done(&rig, "spawn_claude", json!({ "name": "lead" }));
    done(
        &rig,
        "spawn_claude",
        json!({ "name": "child", "parent_instance_id": "lead" }),
    );
    let asked = done(
        &rig,
        "send_to_instance",
        json!({ "instance_id": "child", "message": "how far?" }),
    );
    let reply = json!({ "instance_id": "child", "reply_message": "half", "correlation_id": asked["message_id"] });
    execute(&rig, "reply_to_caller", &reply).is_problem(409, "refused");
    let store = rig.store().reader().unwrap().store_id().unwrap();
    let key = wheelhouse_engine::token::Key::open(rig.dir.path()).unwrap();
    let as_child = |tool: &str, arguments: &Value| {
        let line = format!("Authorization: Bearer {}", key.token(&store, InstanceId(2)));
        let body = json!({ "tool": tool, "arguments": arguments }).to_string();
        rig.bare("POST", "/../../tools/execute", &[&line], &body)
    };
    let sent = as_child("reply_to_caller", &reply).json();
    assert_eq!(
        (&sent["success"], &sent["delivered_to"]),
        (&json!(true), &json!("person")),
        "{sent}"
    );
    let replies = done(&rig, "get_pending_replies", json!({ "instance_id": "coordinator" }));
    assert_eq!(replies[0]["reply_message"], "half");
    assert_eq!(
        (&replies[0]["sender_id"], &replies[0]["correlation_id"]),
        (&json!("i2"), &asked["message_id"])
    );
    assert_eq!(
        done(&rig, "get_pending_replies", json!({ "instance_id": "coordinator" })),
        json!([]),
        "read once"
    );
    as_child(
        "reply_to_caller",
        &json!({ "instance_id": "child", "reply_message": "to you" }),
    );
    let leads = done(&rig, "get_pending_replies", json!({ "instance_id": "lead" }));
    assert_eq!(
        leads[0]["reply_message"], "to you",
        "a person may look, which reads nothing for it"
    );
    as_child(
        "reply_to_caller",
        &json!({ "instance_id": "lead", "reply_message": "x" }),
    )
    .is_problem(409, "refused");
    as_child("get_pending_replies", &json!({ "instance_id": "lead" })).is_problem(409, "refused");
    as_child("terminate_instance", &json!({ "instance_id": "lead", "force": true })).is_problem(409, "refused");
    as_child("retrieve_instance_file", &json!({})).is_problem(403, "forbidden");
}

#[test]
fn the_paths_answer_as_their_clients_expect() {
    let rig = Rig::new();
    done(
        &rig,
        "spawn_claude",
        json!({ "name": "lead", "initial_prompt": "lead them" }),
    );
    done(&rig, "spawn_codex", json!({ "name": "hand", "parent_id": "lead" }));
    assert_eq!(get(&rig, "/instances")["active_instances"], 2);
    assert_eq!(get(&rig, "/instances/i1")["state"], "initializing");
    rig.get("/../../instances/i9").is_problem(404, "not_found");
    let health = rig.post("/../../instances/i1/health", &json!({})).json();
    assert_eq!(
        (&health["healthy"], &health["instance_id"]),
        (&json!(true), &json!("i1")),
        "{health}"
    );
    assert_eq!(get(&rig, "/instances/i1/live_status")["instance_id"], "i1");
    let terminal = get(&rig, "/instances/i1/terminal?lines=50");
    assert!(
        terminal["content"].as_str().unwrap().contains("lead them"),
        "{terminal}"
    );
    let audit = get(&rig, "/logs/audit?limit=10");
    assert_eq!(audit["logs"][0]["event_type"], "instance_spawn", "{audit}");
    assert_eq!(get(&rig, "/logs/audit?root_instance_id=i2")["total"], 1);
    assert_eq!(get(&rig, "/logs/audit?since=2999-01-01T00:00:00")["total"], 0);
    assert_eq!(get(&rig, "/logs/instances/i1")["logs"][0]["message"], "lead them");
    assert_eq!(get(&rig, "/logs/communication/i1")["logs"][0]["direction"], "inbound");
    let network = get(&rig, "/network/hierarchy");
    assert_eq!(
        (&network["total_instances"], &network["instances"][0]["children"]),
        (&json!(2), &json!(["i2"]))
    );
    assert_eq!(
        get(&rig, "/network/hierarchy?root_instance_id=i2")["total_instances"],
        1
    );
    let sessions = get(&rig, "/api/monitoring/sessions");
    let current = sessions["current_session"].as_str().unwrap();
    let summaries = get(&rig, &format!("/api/monitoring/sessions/{current}/summaries"));
    assert_eq!(summaries["summaries"]["i1"]["last_task"], "lead them");
    assert_eq!(get(&rig, "/api/monitoring/current")["session_id"], current);
    assert_eq!(
        get(&rig, &format!("/api/monitoring/sessions/{current}/instances/i2"))["summary_count"],
        1
    );
    rig.get("/../../api/monitoring/sessions/r99/summaries")
        .is_problem(404, "not_found");
    assert_eq!(get(&rig, "/mcp/health")["status"], "healthy");
    rig.bare("GET", "/../../instances", &[], "")
        .is_problem(401, "unauthorized");
    let read = format!("Authorization: Bearer {}", rig.token(Scope::Read));
    let body = json!({ "tool": "spawn_claude", "arguments": { "name": "x" } }).to_string();
    rig.bare("POST", "/../../tools/execute", &[&read], &body)
        .is_problem(403, "forbidden");
    let page = rig.bare("OPTIONS", "/../../instances", &["Origin: http://localhost:3002"], "");
    assert_eq!(page.status, 204);
    assert!(
        page.head.contains("access-control-allow-origin: http://localhost:3002"),
        "{page:?}"
    );
    rig.bare("OPTIONS", "/../../instances", &["Origin: http://evil.example"], "")
        .is_problem(403, "wrong_origin");
}

/// A WebSocket that hears text.
struct Socket(TcpStream);

impl Socket {
    fn open(rig: &Rig, path: &str, token: &str) -> Result<Socket, Answer> {
        let mut stream = rig.connect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{token}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            rig.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        if head.starts_with("HTTP/1.1 101") {
            // The example of RFC 6455.
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            return Ok(Socket(stream));
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Err(Answer {
            status,
            head,
            body: String::new(),
        })
    }

    /// The next frame: its kind and what is in it.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.0.read_exact(&mut long).unwrap();
                u64::from(u16::from_be_bytes(long))
            }
            127 => {
                let mut long = [0; 8];
                self.0.read_exact(&mut long).unwrap();
                u64::from_be_bytes(long)
            }
            short => u64::from(short),
        };
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut bytes).unwrap();
        (head[0] & 0x0f, bytes)
    }

    /// The next text of that type; others are passed over.
    fn next(&mut self, kind: &str) -> Value {
        loop {
            let (frame, bytes) = self.frame();
            assert_eq!(frame, 1, "a text");
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            if message["type"] == kind {
                return message;
            }
        }
    }
}

#[test]
fn the_sockets_show_the_crew_as_it_changes() {
    let rig = Rig::new();
    done(&rig, "spawn_claude", json!({ "name": "lead" }));
    let token = format!("Authorization: Bearer {}\r\n", rig.token(Scope::Read));
    assert_eq!(Socket::open(&rig, "/ws/monitor", "").err().unwrap().status, 401);
    let mut monitor = Socket::open(&rig, "/ws/monitor", &token).unwrap();
    let first = monitor.next("initial_state");
    assert_eq!(first["data"]["instances"][0]["name"], "lead", "{first}");
    assert_eq!(
        monitor.next("audit_log")["data"]["log"]["message"],
        "Spawned instance 'lead'"
    );
    // Nobody sends a frame: the change is there all the same.
    done(&rig, "spawn_codex", json!({ "name": "hand", "parent_id": "lead" }));
    let update = monitor.next("instance_update");
    assert_eq!(update["data"]["instances"][1]["parentId"], "i1", "{update}");
    assert_eq!(monitor.next("audit_log")["data"]["log"]["instanceId"], "i2");
    let mut logs = Socket::open(&rig, "/ws/logs", &token).unwrap();
    assert_eq!(logs.next("audit_log")["data"]["action"], "instance_spawn");
    done(
        &rig,
        "send_to_instance",
        json!({ "instance_id": "hand", "message": "go" }),
    );
    let line = logs.next("system_log");
    assert_eq!(line["data"]["level"], "INFO", "{line}");
    loop {
        if logs.next("audit_log")["data"]["action"] == "message_exchange" {
            break;
        }
    }
    logs.next("ping");
}

#[test]
fn there_are_so_many_sockets_and_no_more() {
    let rig = Rig::new();
    let token = format!("Authorization: Bearer {}\r\n", rig.token(Scope::Read));
    let mut open: Vec<Socket> = (0..100)
        .map(|_| Socket::open(&rig, "/ws/monitor", &token).unwrap())
        .collect();
    let mut over = Socket::open(&rig, "/ws/monitor", &token).unwrap();
    let (kind, bytes) = over.frame();
    assert_eq!(
        (kind, u16::from_be_bytes([bytes[0], bytes[1]])),
        (8, 1008),
        "closed: a policy was violated"
    );
    open[0].next("initial_state");
}
