//! MCP from outside: both ages of the protocol, every tool, what a model is told and what it costs.

use serde_json::{Value, json};
use wheelhouse_core::schema::Schema;
use wheelhouse_core::store::Store;
use wheelhouse_server::token::Scope;

use crate::rig::{Answer, Rig};

/// What clients up to 2025-11-25 begin with.
fn initialize(version: &str, able: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": able, "clientInfo": { "name": "test", "version": "1" } } })
}

/// A client with a session.
pub(crate) struct Client<'r> {
    rig: &'r Rig,
    session: String,
    version: &'static str,
}

/// The messages of an answer, whichever way they came.
pub(crate) fn messages(answer: &Answer) -> Vec<Value> {
    if answer.head.contains("application/json") {
        return vec![answer.json()];
    }
    answer
        .body
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
        .collect()
}

impl<'r> Client<'r> {
    pub(crate) fn new(rig: &'r Rig, version: &'static str) -> Client<'r> {
        Client::able(rig, version, &json!({}))
    }

    /// One that says what it can do.
    pub(crate) fn able(rig: &'r Rig, version: &'static str, able: &Value) -> Client<'r> {
        let answer = rig.mcp("", &[], &initialize(version, able));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(messages(&answer)[0]["result"]["protocolVersion"], version);
        let session = answer
            .head
            .lines()
            .find_map(|line| line.strip_prefix("mcp-session-id: "))
            .unwrap()
            .to_owned();
        let client = Client { rig, session, version };
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    /// What its requests carry.
    pub(crate) fn headers(&self) -> [String; 2] {
        [
            format!("Mcp-Session-Id: {}", self.session),
            format!("MCP-Protocol-Version: {}", self.version),
        ]
    }

    pub(crate) fn send(&self, message: &Value) -> Answer {
        let [session, version] = self.headers();
        self.rig.mcp("", &[&session, &version], message)
    }

    /// The result of a request.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": method, "params": params }));
        let last = messages(&answer).pop().unwrap_or_else(|| panic!("{answer:?}"));
        assert!(last.get("result").is_some(), "{last}");
        last["result"].clone()
    }

    /// What a tool answers.
    #[track_caller]
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Value {
        let result = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert_ne!(result["isError"], true, "{tool}: {result}");
        assert_eq!(
            result["content"][0]["text"],
            result["structuredContent"].to_string(),
            "{tool}"
        );
        result["structuredContent"].clone()
    }
}

/// A request of the stateless protocol.
pub(crate) fn stateless(rig: &Rig, method: &str, name: Option<&str>, params: Value, able: &Value) -> Value {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": able,
    });
    let method_line = format!("Mcp-Method: {method}");
    let name_line = format!("Mcp-Name: {}", name.unwrap_or_default());
    let mut lines = vec!["MCP-Protocol-Version: 2026-07-28", method_line.as_str()];
    if name.is_some() {
        lines.push(&name_line);
    }
    let answer = rig.mcp(
        "",
        &lines,
        &json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }),
    );
    messages(&answer).pop().unwrap_or_else(|| panic!("{answer:?}"))
}

fn tokens(text: &str) -> usize {
    usize::try_from(wheelhouse_context::count::tokens(text)).unwrap()
}

const PLAN: &str = "name: p\ntasks:\n  - {id: a, exec: 'true'}\n  - {id: b, exec: 'true', approval: true}\n";

#[test]
fn the_default_toolset_costs_a_model_little() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let listed = client.ask("tools/list", json!({}));
    let tools = listed["tools"].as_array().unwrap();
    assert!((10..=20).contains(&tools.len()), "{}", tools.len());
    let cost = tokens(&listed.to_string());
    assert!(cost <= 1_800, "{cost} tokens: {listed}");
    for tool in tools {
        let about = tool["description"].as_str().unwrap();
        assert!(about.len() < 400 && about.contains('.'), "{about}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    }
    let full = rig.mcp("?toolset=full", &[], &initialize("2025-11-25", &json!({})));
    assert_eq!(full.status, 200);
    let more = stateless(&rig, "tools/list", None, json!({}), &json!({}));
    assert_eq!(more["result"]["tools"].as_array().unwrap().len(), tools.len());
    println!("tools/list of the lean set: {} tools, {cost} o200k tokens", tools.len());
}

#[test]
fn every_age_of_the_protocol_is_answered_on_one_url() {
    let rig = Rig::new();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let client = Client::new(&rig, version);
        assert!(client.call("status", json!({}))["runs"].is_array(), "{version}");
    }
    let discovered = stateless(&rig, "server/discover", None, json!({}), &json!({}));
    let versions = discovered["result"]["supportedVersions"].as_array().unwrap();
    assert!(
        versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2024-11-05")),
        "{versions:?}"
    );
    let called = stateless(
        &rig,
        "tools/call",
        Some("status"),
        json!({ "name": "status", "arguments": {} }),
        &json!({}),
    );
    assert_eq!(called["result"]["resultType"], "complete", "{called}");
    assert!(called["result"]["structuredContent"]["runs"].is_array(), "{called}");
}

#[test]
fn a_plan_is_run_decided_on_and_read_in_few_tokens() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let started = client.call("run", json!({ "plan": PLAN }));
    assert_eq!((&started["run"], &started["total"]), (&json!("r1"), &json!(2)));
    assert!(
        started["note"].as_str().unwrap().contains("wheelhouse serve"),
        "{started}"
    );
    let queued = client.call("delegate", json!({ "task": "true", "agent": "exec" }));
    assert_eq!(queued["state"], "ready");
    let waited = client.call("wait", json!({ "what": "r1", "seconds": 100 }));
    assert_eq!(waited["over"], false);
    assert_eq!(waited["run"]["questions"][0]["choices"], json!(["approve", "deny"]));
    let answered = client.call("answer", json!({ "question": "q1", "answer": "deny" }));
    assert_eq!(answered["answer"], "deny");
    assert_eq!(client.call("cancel", json!({ "what": "r1" }))["state"], "finished");
    assert_eq!(client.call("wait", json!({ "what": "r1" }))["over"], true);
    let events = client.call("events", json!({}));
    assert!(
        events["events"][0].as_str().unwrap().starts_with("r1 run_submitted"),
        "{events}"
    );
    assert_eq!(
        client.call("events", json!({ "since": events["cursor"] }))["events"],
        json!([])
    );
    for (tool, arguments) in [
        ("status", json!({})),
        ("status", json!({ "what": "r1" })),
        ("status", json!({ "what": "r1/a" })),
        ("events", json!({})),
        ("wait", json!({ "what": "r1" })),
    ] {
        let cost = tokens(&client.call(tool, arguments.clone()).to_string());
        assert!(cost < 600, "{tool} {arguments}: {cost} tokens");
    }
}

#[test]
fn a_huge_run_is_told_of_in_few_tokens_too() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let tasks: Vec<Value> = (0..400)
        .map(|number| json!({ "id": format!("a-task-of-the-crew-{number}"), "exec": "true", "approval": number % 2 == 0 }))
        .collect();
    for _ in 0..12 {
        client.call(
            "run",
            json!({ "plan": json!({ "name": "huge", "tasks": tasks }).to_string() }),
        );
    }
    for (tool, arguments) in [
        ("status", json!({})),
        ("status", json!({ "what": "r1" })),
        ("wait", json!({ "what": "r1" })),
        ("events", json!({})),
    ] {
        let cost = tokens(&client.call(tool, arguments.clone()).to_string());
        assert!(cost < 600, "{tool} {arguments}: {cost} tokens");
    }
}

#[test]
fn every_tool_can_be_called_whatever_is_listed() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-06-18");
    client.call("run", json!({ "plan": PLAN }));
    assert_eq!(
        client.call("check_plan", json!({ "plan": "name: x\ntasks: []\n" }))["sound"],
        false
    );
    assert_eq!(client.call("show", json!({ "what": "r1" }))["tasks"][0]["key"], "a");
    assert_eq!(
        client.call("list_tasks", json!({ "run": "r1", "state": "held" }))["tasks"][0]["task"],
        "r1/b"
    );
    assert_eq!(client.call("questions", json!({}))["questions"][0]["id"], "q1");
    assert!(client.call("agents", json!({}))["agents"].is_array());
    assert_eq!(client.call("pause", json!({ "what": "r1" }))["state"], "paused");
    assert_eq!(client.call("resume", json!({ "run": "r1" }))["state"], "active");
    client.call("cancel", json!({ "what": "r1/a" }));
    assert_eq!(client.call("retry", json!({ "what": "r1/a" }))["state"], "ready");
    let spawned = client.call("start_team", json!({ "team": "data_pipeline", "task": "Begin." }));
    assert!(spawned["spawned"].as_array().unwrap().len() > 1, "{spawned}");
    let begun = client.call(
        "coordinate",
        json!({ "text": "Ship it?", "with": ["rehearsal"], "mode": "consensus" }),
    );
    assert_eq!((&begun["coordination"], &begun["over"]), (&json!("c1"), &json!(false)));
    assert_eq!(
        client.call("coordinate", json!({ "id": "c1" }))["answers"][0]["state"],
        "expected"
    );
    let set = client.call(
        "set_policy",
        json!({ "changes": { "max_instances": 4, "require_approval": true } }),
    );
    assert_eq!(set["policy"], json!({ "max_instances": 4, "require_approval": true }));
    assert_eq!(client.call("policy", json!({}))["policy"]["max_instances"], 4);
    assert_eq!(
        client.call("suspend", json!({ "instances": ["i2"] }))["suspended"],
        json!(["i2"])
    );
    assert_eq!(
        client.call("wake", json!({ "instances": ["i2"] }))["awake"],
        json!(["i2"])
    );
    let saved = client.call("save_team", json!({ "team": "ours", "instances": ["i2"] }));
    assert!(saved["path"].is_string(), "{saved}");
    assert_eq!(client.call("teams", json!({}))["teams"][0]["name"], "ours");
    assert_eq!(client.call("inbox", json!({}))["notes"], json!([]));
    assert_eq!(
        client.call("audit", json!({ "instance": "i2" }))["lines"][0]["verb"],
        "spawn"
    );
    assert!(
        client.call("stop", json!({ "all": true }))["ended"]
            .as_array()
            .unwrap()
            .len()
            > 1
    );
    assert!(client.call("set_budget", json!({ "scope": "day", "change": { "set": "3" } }))["done"].is_string());
    assert_eq!(
        client.call("budgets", json!({}))["budgets"].as_array().unwrap().len(),
        1
    );
    std::fs::write(
        rig.dir.path().join("lease.rs"),
        "/// Renews a lease.\nfn renew_lease() {}\n",
    )
    .unwrap();
    let code = client.call("find_code", json!({ "query": "renew a lease" }));
    assert!(
        code["places"][0]["at"].as_str().unwrap().starts_with("lease.rs:"),
        "{code}"
    );
    let found = client.call("find_tools", json!({ "query": "read the raw output of a task" }));
    assert!(found["tools"].to_string().contains("\"logs\""), "{found}");
    let own = client.call("consult", json!({ "question": "simple: rename it" }));
    assert_eq!(own["do_it_yourself"]["saved_tokens"], 12_000, "{own}");
    let asked = client.call("consult", json!({ "question": "simple: rename it", "insist": true }));
    assert!(asked["task"].as_str().unwrap().ends_with("/answer"), "{asked}");
}

#[test]
fn what_is_wrong_is_an_error_and_says_what_to_do() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let error = |message: Value| messages(&client.send(&message)).pop().unwrap()["error"].clone();
    let unknown = error(json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "statsu" } }));
    assert_eq!(unknown["code"], -32602);
    assert!(
        unknown["message"].as_str().unwrap().contains("did you mean `status`?"),
        "{unknown}"
    );
    assert_eq!(
        error(json!({ "jsonrpc": "2.0", "id": 3, "method": "no/such" }))["code"],
        -32601
    );
    let uri = json!({ "jsonrpc": "2.0", "id": 3, "method": "resources/read", "params": { "uri": "run://r9" } });
    assert_eq!(error(uri)["code"], -32002);
    // What was understood and not granted is the tool's to say, where the model sees it.
    let refused = |tool: &str, arguments: Value| {
        let result = client.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert_eq!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(refused("status", json!({ "what": "r9" })).contains("there is no run `r9`"));
    assert!(refused("wait", json!({ "whta": "r9" })).contains("`whta`"));
    assert!(
        refused("run", json!({ "plan": "name: x\ntasks:\n  - id: a\n    exce: b\n" })).contains("did you mean `exec`")
    );
    for body in [
        "{",
        "[]",
        "{\"jsonrpc\": \"1.0\"}",
        "7",
        "{\"jsonrpc\": \"2.0\", \"id\": 1}",
    ] {
        let lines = [
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
        ];
        let answer = rig.ask("POST", "/../../mcp", &lines, body);
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
    }
    let version = rig.mcp(
        "",
        &["MCP-Protocol-Version: 1999-01-01"],
        &json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }),
    );
    assert_eq!(version.status, 400, "{version:?}");
}

#[test]
fn nobody_gets_in_without_a_token_or_by_another_name_and_a_reader_may_only_read() {
    let rig = Rig::new();
    let body = initialize("2025-11-25", &json!({}));
    let lines = [
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
    ];
    let bare = |extra: &[&str]| {
        let lines: Vec<&str> = lines.iter().chain(extra).copied().collect();
        rig.bare("POST", "/../../mcp", &lines, &body.to_string())
    };
    bare(&[]).is_problem(401, "unauthorized");
    bare(&["Host: evil.example"]).is_problem(403, "wrong_host");
    bare(&["Origin: http://evil.example"]).is_problem(403, "wrong_origin");
    let read = format!("Authorization: Bearer {}", rig.token(Scope::Read));
    assert_eq!(bare(&[&read]).status, 200);
    let session = bare(&[&read])
        .head
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: ").map(str::to_owned));
    let session = format!("Mcp-Session-Id: {}", session.unwrap());
    let call = |tool: &str, arguments: Value| {
        let message = json!({ "jsonrpc": "2.0", "id": 4, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments } });
        let lines: Vec<&str> = lines.iter().copied().chain([read.as_str(), session.as_str()]).collect();
        messages(&rig.bare("POST", "/../../mcp", &lines, &message.to_string()))
            .pop()
            .unwrap()
    };
    assert!(call("status", json!({}))["result"]["structuredContent"].is_object());
    let refused = call("run", json!({ "plan": PLAN }));
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("`operate`"),
        "{refused}"
    );
}

#[test]
fn a_restart_is_not_the_clients_business_and_a_stranger_is_taken_up() {
    let rig = Rig::new();
    let session = {
        let client = Client::new(&rig, "2025-11-25");
        client.call("run", json!({ "plan": PLAN }));
        client.session.clone()
    };
    let dir = std::sync::Arc::clone(&rig.dir);
    drop(rig);
    let rig = Rig::over(dir, wheelhouse_server::Limits::default());
    for session in [session, "0b9ee9a1-7a4c-4b62-9b0f-000000000000".to_owned()] {
        let client = Client {
            rig: &rig,
            session,
            version: "2025-11-25",
        };
        assert_eq!(client.call("status", json!({}))["runs"][0]["run"], "r1");
    }
    let path = Client {
        rig: &rig,
        session: "..%2F..%2Ftoken".to_owned(),
        version: "2025-11-25",
    };
    assert_eq!(
        path.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
            .status,
        404
    );
}

#[test]
fn a_session_that_its_client_ended_is_over_also_after_a_restart() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let session = client.session.clone();
    let [line, version] = client.headers();
    assert_eq!(rig.ask("DELETE", "/../../mcp", &[&line, &version], "").status, 202);
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(
        client.send(&ping).status,
        404,
        "a client that is told so begins a new one"
    );
    let dir = std::sync::Arc::clone(&rig.dir);
    drop(rig);
    let rig = Rig::over(dir, wheelhouse_server::Limits::default());
    let client = Client {
        rig: &rig,
        session,
        version: "2025-11-25",
    };
    assert_eq!(client.send(&ping).status, 404);
    Client::new(&rig, "2025-11-25").call("status", json!({}));
}

#[test]
fn the_same_call_under_the_same_key_is_done_once() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let session = format!("Mcp-Session-Id: {}", client.session);
    let run = || {
        let message = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
            "params": { "name": "run", "arguments": { "plan": PLAN } } });
        let answer = rig.mcp("", &[&session, "Idempotency-Key: proxy-1"], &message);
        messages(&answer).pop().unwrap()["result"]["structuredContent"]["run"].clone()
    };
    assert_eq!(run(), run());
    assert_eq!(client.call("status", json!({}))["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn resources_and_prompts_are_there() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    client.call("run", json!({ "plan": PLAN }));
    let listed = client.ask("resources/list", json!({}));
    let uris: Vec<&str> = listed["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uri"].as_str().unwrap())
        .collect();
    assert_eq!(uris, ["run://r1", "task://r1/a", "task://r1/b"]);
    let templates = client.ask("resources/templates/list", json!({}));
    assert_eq!(templates["resourceTemplates"].as_array().unwrap().len(), 5);
    let nowhere = json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": { "uri": "test://x" } });
    let error = messages(&client.send(&nowhere)).pop().unwrap()["error"].clone();
    assert_eq!(
        (&error["code"], &error["data"]["uri"]),
        (&json!(-32002), &json!("test://x")),
        "{error}"
    );
    let read = client.ask("resources/read", json!({ "uri": "task://r1/a" }));
    let document: Value = serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(document["task"]["id"], "r1/a");
    let prompts = client.ask("prompts/list", json!({}));
    for prompt in prompts["prompts"].as_array().unwrap() {
        let given = json!({ "goal": "peace", "area": "src", "question": "why?" });
        let got = client.ask("prompts/get", json!({ "name": prompt["name"], "arguments": given }));
        assert!(
            !got["messages"][0]["content"]["text"].as_str().unwrap().contains("{}"),
            "{got}"
        );
    }
}

#[test]
fn answers_are_what_their_schemas_promise() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let listed = client.ask("tools/list", json!({}));
    let promised = |tool: &str| {
        let tools = listed["tools"].as_array().unwrap();
        tools.iter().find(|one| one["name"] == tool).unwrap()["outputSchema"].clone()
    };
    for (tool, arguments) in [
        ("run", json!({ "plan": PLAN })),
        ("delegate", json!({ "task": "true", "agent": "exec" })),
        ("ask", json!({ "prompt": "what?", "seconds": 0 })),
        ("status", json!({})),
        ("status", json!({ "what": "r1" })),
        ("wait", json!({ "what": "r1/a", "seconds": 0 })),
        ("wait", json!({ "what": "r1", "seconds": 0 })),
        ("events", json!({})),
        ("find_tools", json!({ "query": "stop" })),
        ("answer", json!({ "question": "q1", "answer": "deny" })),
        ("cancel", json!({ "what": "r1" })),
    ] {
        let answer = client.call(tool, arguments);
        let schema = Schema::try_from(promised(tool)).unwrap_or_else(|not| panic!("{tool}: {not}"));
        let checked = schema.check(&answer.to_string()).map(drop);
        assert_eq!(checked, Ok(()), "{tool}: {answer}");
    }
}

#[test]
fn an_instance_is_known_by_its_token_and_may_do_what_is_its_own() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    let spawned = client.call("spawn", json!({ "name": "lead", "prompt": "lead them" }));
    assert_eq!((&spawned["instance"], &spawned["name"]), (&json!("i1"), &json!("lead")));
    assert_eq!(client.call("spawn", json!({ "name": "uncle" }))["instance"], "i2");
    let sent = client.call("send", json!({ "to": "lead", "message": "hurry" }));
    assert_eq!(sent["state"], "queued", "{sent}");
    let store = rig.store().reader().unwrap().store_id().unwrap();
    let key = wheelhouse_engine::token::Key::open(rig.dir.path()).unwrap();
    let token = key.token(&store, wheelhouse_core::ids::InstanceId(1));
    let as_lead = |token: &str, tool: &str, arguments: Value| {
        let line = format!("Authorization: Bearer {token}");
        let session = format!("Mcp-Session-Id: {}", client.session);
        let message = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments } });
        let lines = [
            "Accept: application/json, text/event-stream",
            "Content-Type: application/json",
            line.as_str(),
            session.as_str(),
        ];
        rig.bare("POST", "/../../mcp", &lines, &message.to_string())
    };
    let result = |answer: Answer| messages(&answer).pop().unwrap();
    let child = result(as_lead(&token, "spawn", json!({ "name": "child" })));
    assert_eq!(child["result"]["structuredContent"]["instance"], "i3", "{child}");
    let listed = client.call("instances", json!({}));
    let of = |id: &str| {
        let all = listed["instances"].as_array().unwrap();
        all.iter().find(|one| one["instance"] == id).unwrap()["parent"].clone()
    };
    assert_eq!(
        (of("i3"), of("i2")),
        (json!("i1"), Value::Null),
        "the parent is known, not said"
    );
    let uncle = result(as_lead(&token, "terminate", json!({ "instances": ["uncle"] })));
    assert_eq!(uncle["result"]["isError"], true, "{uncle}");
    let run = result(as_lead(&token, "run", json!({ "plan": PLAN })));
    assert!(run["error"].is_object(), "runs are a person's: {run}");
    as_lead(&format!("{token}x"), "status", json!({})).is_problem(401, "unauthorized");
    let ended = client.call("terminate", json!({ "instances": ["lead"] }));
    assert_eq!(ended["ended"], json!(["i3", "i1"]), "deepest first");
    as_lead(&token, "status", json!({})).is_problem(401, "unauthorized");
}
