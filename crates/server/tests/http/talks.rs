//! What goes on between client and server while a call is held: questions to the person behind the client, tasks in place
//! of held calls, progress, cancelling, and what changes meanwhile. Over sockets, in both ages of the protocol.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use wheelhouse_engine::lock::StateLock;
use wheelhouse_server::token::Scope;

use crate::mcp::{Client, messages, stateless};
use crate::rig::Rig;

const PLAN: &str = "name: p\ntasks:\n  - {id: a, exec: 'true'}\n  - {id: b, exec: 'true', approval: true}\n";

/// A request whose answer is read message by message, as it comes.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(rig: &Rig, method: &str, path: &str, headers: &[String], body: &str) -> Line {
        let mut stream = rig.connect();
        let token = rig.token(Scope::Admin);
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n",
            rig.address
        );
        for line in headers {
            request.push_str(&format!("{line}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).unwrap();
        Line(BufReader::new(stream))
    }

    /// The next message that is so.
    fn next(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).unwrap(),
                0,
                "the stream ended before it came"
            );
            let text = line.strip_prefix("data:").unwrap_or(&line).trim();
            if let Ok(message) = serde_json::from_str::<Value>(text)
                && message.is_object()
                && is_it(&message)
            {
                return message;
            }
        }
    }
}

fn held(rig: &Rig, client: &Client<'_>, id: u64, params: &Value) -> Line {
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    Line::open(rig, "POST", "/mcp", &client.headers(), &message.to_string())
}

fn wait(seconds: u64) -> Value {
    json!({ "name": "wait", "arguments": { "what": "r1", "seconds": seconds } })
}

#[test]
fn the_person_behind_the_client_decides_while_the_call_is_held() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    let client = Client::able(&rig, "2025-11-25", &json!({ "elicitation": {} }));
    client.call("run", json!({ "plan": PLAN }));
    let mut line = held(&rig, &client, 9, &wait(60));
    let asked = line.next(|message| message["method"] == "elicitation/create");
    assert!(
        asked["params"]["message"].as_str().unwrap().contains("r1/b asks (q1)"),
        "{asked}"
    );
    let choices = &asked["params"]["requestedSchema"]["properties"]["answer"]["enum"];
    assert_eq!(*choices, json!(["approve", "deny"]), "{asked}");
    let said = json!({ "action": "accept", "content": { "answer": "deny" } });
    let told = client.send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": said }));
    assert_eq!(told.status, 202, "{told:?}");
    // What the client sent is taken, not yet applied: cancelling at once could be faster than the answer.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while rig.get("/questions/q1").json()["question"]["answer"] != "deny" {
        assert!(std::time::Instant::now() < deadline, "the person's answer never came");
    }
    rig.post("/runs/r1/cancel", &json!({}));
    let over = line.next(|message| message["id"] == 9);
    assert_eq!(over["result"]["structuredContent"]["over"], true, "{over}");
}

#[test]
fn who_will_not_say_gets_the_question_in_the_answer() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    let client = Client::able(&rig, "2025-06-18", &json!({ "elicitation": {} }));
    client.call("run", json!({ "plan": PLAN }));
    let mut line = held(&rig, &client, 9, &wait(60));
    let asked = line.next(|message| message["method"] == "elicitation/create");
    client.send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "decline" } }));
    let told = line.next(|message| message["id"] == 9);
    assert_eq!(
        told["result"]["structuredContent"]["run"]["questions"][0]["id"], "q1",
        "{told}"
    );
    assert_eq!(rig.get("/questions/q1").json()["question"]["answer"], Value::Null);
    // A client that cannot ask is not asked.
    let plain = Client::new(&rig, "2025-11-25");
    let told = plain.call("wait", json!({ "what": "r1", "seconds": 60 }));
    assert_eq!(told["run"]["questions"][0]["id"], "q1");
}

#[test]
fn without_a_session_the_client_asks_and_comes_back() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    Client::new(&rig, "2025-11-25").call("run", json!({ "plan": PLAN }));
    let able = json!({ "elicitation": { "form": {} } });
    let asked = stateless(&rig, "tools/call", Some("wait"), wait(60), &able);
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert_eq!(
        asked["result"]["inputRequests"]["q1"]["method"], "elicitation/create",
        "{asked}"
    );
    let mut again = wait(0);
    again["requestState"] = asked["result"]["requestState"].clone();
    again["inputResponses"] = json!({ "q1": { "action": "accept", "content": { "answer": "approve" } } });
    let told = stateless(&rig, "tools/call", Some("wait"), again, &able);
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    assert_eq!(rig.get("/questions/q1").json()["question"]["answer"], "approve");
    // What a client changes in what it was given, or brings from elsewhere, is refused and answers nothing.
    let given = asked["result"]["requestState"].as_str().unwrap();
    let made_up = "{\"what\":\"r1\",\"asked\":[]}".to_owned();
    let wrong = [made_up, format!("{given} "), given.replacen("r1", "r2", 1)];
    for forged in &wrong {
        let mut call = wait(0);
        call["requestState"] = json!(forged);
        call["inputResponses"] = json!({ "q1": { "action": "accept", "content": { "answer": "deny" } } });
        let told = stateless(&rig, "tools/call", Some("wait"), call, &able);
        assert_eq!(told["error"]["code"], -32602, "{told}");
    }
    let mut other = json!({ "name": "ask", "arguments": { "prompt": "x" } });
    other["requestState"] = json!(given);
    let told = stateless(&rig, "tools/call", Some("ask"), other, &able);
    assert_eq!(told["error"]["code"], -32602, "it was given for `wait`: {told}");
    assert_eq!(
        rig.get("/questions/q1").json()["question"]["answer"],
        "approve",
        "answered once"
    );
}

#[test]
fn a_client_that_knows_tasks_gets_one_in_place_of_a_held_call() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    Client::new(&rig, "2025-11-25").call("run", json!({ "plan": PLAN }));
    let able = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let begun = stateless(&rig, "tools/call", Some("wait"), wait(60), &able);
    assert_eq!(begun["result"]["resultType"], "task", "{begun}");
    assert_eq!(begun["result"]["taskId"], "r1", "{begun}");
    let get = || stateless(&rig, "tasks/get", Some("r1"), json!({ "taskId": "r1" }), &able)["result"].clone();
    let stands = get();
    assert_eq!(stands["status"], "input_required", "{stands}");
    // What answers nothing is acknowledged and changes nothing.
    let nothing = json!({ "taskId": "r1", "inputResponses": { "unknown": { "ignored": true }, "r1/b": { "x": 1 } } });
    let told = stateless(&rig, "tasks/update", Some("r1"), nothing, &able);
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    assert_eq!(get()["status"], "input_required");
    let malformed = json!({ "taskId": "r1", "inputResponses": { "q1": { "ignored": true } } });
    let told = stateless(&rig, "tasks/update", Some("r1"), malformed, &able);
    assert!(
        told["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`q1` holds no answer"),
        "{told}"
    );
    let answers = json!({ "q1": { "action": "accept", "content": { "answer": "deny" } } });
    let update = json!({ "taskId": "r1", "inputResponses": answers });
    let told = stateless(&rig, "tasks/update", Some("r1"), update, &able);
    assert!(told.get("result").is_some(), "{told}");
    assert_eq!(get()["status"], "working");
    let cancelled = stateless(&rig, "tasks/cancel", Some("r1"), json!({ "taskId": "r1" }), &able);
    assert!(cancelled.get("result").is_some(), "{cancelled}");
    assert!(
        ["cancelled", "failed", "completed"].contains(&get()["status"].as_str().unwrap()),
        "{}",
        get()
    );
    let unknown = stateless(&rig, "tasks/get", Some("r9"), json!({ "taskId": "r9" }), &able);
    assert!(unknown.get("error").is_some(), "{unknown}");
}

#[test]
fn progress_is_told_to_who_asks_for_it_and_grows() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    let client = Client::new(&rig, "2025-11-25");
    client.call(
        "run",
        json!({ "plan": "name: p\ntasks:\n  - {id: a, exec: 'true'}\n  - {id: b, exec: 'true'}\n" }),
    );
    let mut params = wait(60);
    params["_meta"] = json!({ "progressToken": "mine" });
    let mut line = held(&rig, &client, 9, &params);
    let progress = |line: &mut Line| {
        let told = line.next(|message| message["method"] == "notifications/progress");
        assert_eq!(
            (&told["params"]["progressToken"], &told["params"]["total"]),
            (&json!("mine"), &json!(2.0)),
            "{told}"
        );
        told["params"]["progress"].as_f64().unwrap()
    };
    assert!(progress(&mut line) < 0.5);
    rig.post("/tasks/r1/a/cancel", &json!({}));
    assert!((progress(&mut line) - 1.0).abs() < 0.1);
    rig.post("/tasks/r1/b/cancel", &json!({}));
    assert_eq!(
        line.next(|message| message["id"] == 9)["result"]["structuredContent"]["over"],
        true
    );
}

#[test]
fn cancelling_a_call_ends_the_waiting_and_not_the_work() {
    let rig = Rig::new();
    let _engine = StateLock::acquire(rig.dir.path()).unwrap();
    let client = Client::new(&rig, "2025-11-25");
    client.call("run", json!({ "plan": "name: p\ntasks:\n  - {id: a, exec: 'true'}\n" }));
    let mut params = wait(100);
    params["_meta"] = json!({ "progressToken": 1 });
    let mut line = held(&rig, &client, 9, &params);
    // It is held from here on.
    line.next(|message| message["method"] == "notifications/progress");
    let began = std::time::Instant::now();
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9, "reason": "enough" } }));
    // Its stream ends, with an answer or without one, long before the hundred seconds.
    let mut rest = String::new();
    while line.0.read_line(&mut rest).unwrap() > 0 && !rest.contains("\"id\":9") && !rest.ends_with("\n0\r\n") {}
    assert!(began.elapsed() < crate::rig::DEADLINE);
    assert_eq!(rig.get("/runs/r1").json()["run"]["state"], "active");
}

#[test]
fn who_subscribes_is_told_of_changes_and_of_nothing_else() {
    let rig = Rig::new();
    let client = Client::new(&rig, "2025-11-25");
    client.call("run", json!({ "plan": PLAN }));
    client.call("spawn", json!({ "name": "lead" }));
    let mut ears = Line::open(&rig, "GET", "/mcp", &client.headers(), "");
    for uri in ["run://r1", "task://r1/b", "instance://lead"] {
        client.ask("resources/subscribe", json!({ "uri": uri }));
    }
    let updated = |ears: &mut Line| {
        ears.next(|message| message["method"] == "notifications/resources/updated")["params"]["uri"].clone()
    };
    client.call("pause", json!({ "what": "r1" }));
    assert_eq!(updated(&mut ears), "run://r1");
    // The pause may be told in more than one piece; what comes after it is told after it.
    let until_lead = |ears: &mut Line| while updated(ears) != "instance://lead" {};
    client.call("send", json!({ "to": "lead", "message": "go" }));
    until_lead(&mut ears);
    client.ask("resources/unsubscribe", json!({ "uri": "run://r1" }));
    client.call("send", json!({ "to": "lead", "message": "on" }));
    until_lead(&mut ears);
    client.call("resume", json!({ "what": "r1" }));
    client.call("answer", json!({ "question": "q1", "answer": "deny" }));
    assert_eq!(updated(&mut ears), "task://r1/b", "the run is watched no more");
    let unknown = client
        .send(&json!({ "jsonrpc": "2.0", "id": 3, "method": "resources/subscribe", "params": { "uri": "x://y" } }));
    assert!(messages(&unknown).pop().unwrap()["error"].is_object(), "{unknown:?}");
}

#[test]
fn without_a_session_a_request_that_stays_open_listens() {
    let rig = Rig::new();
    Client::new(&rig, "2025-11-25").call("run", json!({ "plan": PLAN }));
    let params = json!({
        "notifications": { "resourceSubscriptions": ["run://r1"] },
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params });
    let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen"].map(str::to_owned);
    let mut line = Line::open(&rig, "POST", "/mcp", &headers, &message.to_string());
    line.next(|message| message["method"] == "notifications/subscriptions/acknowledged");
    // Once at the beginning, for what changed before anybody listened; then with each change.
    for change in [None, Some("/runs/r1/pause"), Some("/runs/r1/cancel")] {
        if let Some(change) = change {
            rig.post(change, &json!({}));
        }
        let told = line.next(|message| message["method"] == "notifications/resources/updated");
        assert_eq!(told["params"]["uri"], "run://r1", "{told}");
    }
}
