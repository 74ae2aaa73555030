//! What can be asked for over HTTP, and how it comes out.

use serde_json::json;
use wheelhouse_server::token::Scope;

use crate::rig::{Rig, plan};

#[test]
fn a_plan_becomes_a_run_that_can_be_looked_at_and_stopped() {
    let rig = Rig::new();
    let made = rig.post("/runs", &plan(&["a", "b>a"]));
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.head.contains("location: /api/v1/runs/r1"), "{made:?}");
    assert_eq!(made.json()["run"]["tasks"]["total"], 2);
    assert_eq!(made.json()["engine"]["running"], false);
    assert_eq!(rig.get("/runs").json()["runs"][0]["id"], "r1");
    let run = rig.get("/runs/r1").json();
    assert_eq!(run["tasks"][1]["waits_for"], json!(["a"]));
    assert_eq!(rig.get("/runs/r1/tasks?state=ready").json()["tasks"][0]["key"], "a");
    assert_eq!(rig.get("/tasks/r1/a").json()["work"]["kind"], "exec");
    assert_eq!(
        rig.get("/tasks/r1/a/result").is_problem(404, "not_found")["hints"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(rig.post("/runs/r1/pause", &json!({})).json()["run"]["state"], "paused");
    assert_eq!(rig.post("/runs/r1/resume", &json!({})).json()["run"]["state"], "active");
    assert_eq!(
        rig.post("/tasks/r1/a/cancel", &json!({})).json()["task"]["state"],
        "done"
    );
    assert_eq!(rig.post("/runs/r1/retry", &json!({})).json()["run"]["state"], "active");
    rig.post("/tasks/r1/a/steer", &json!({ "words": "hurry" }))
        .is_problem(409, "refused");
    assert_eq!(
        rig.post("/runs/r1/cancel", &json!({})).json()["run"]["state"],
        "finished"
    );
    rig.post("/runs/r1/cancel", &json!({})).is_problem(409, "refused");
    assert_eq!(rig.get("/status").json()["finished"][0]["id"], "r1");
}

#[test]
fn all_problems_of_a_plan_come_at_once_and_nothing_is_started() {
    let rig = Rig::new();
    let bad = json!({ "plan": "name: x\ntasks:\n  - id: a\n    exce: true\n  - id: b\n    exec: x\n    needs: [c]\n" });
    let problem = rig.post("/runs", &bad).is_problem(422, "usage");
    assert!(problem["problems"].as_array().unwrap().len() >= 3, "{problem}");
    assert_eq!(problem["problems"][1]["line"], 4);
    let checked = rig.post("/plans/check", &bad).json();
    assert_eq!(checked["sound"], false);
    assert_eq!(rig.post("/plans/check", &plan(&["a"])).json()["sound"], true);
    assert_eq!(rig.get("/runs").json()["runs"], json!([]));
}

#[test]
fn the_same_wish_under_the_same_key_is_granted_once() {
    let rig = Rig::new();
    let body = plan(&["a"]).to_string();
    let ask = |path: &str, body: &str| rig.ask("POST", path, &["Idempotency-Key: k-1"], body);
    let first = ask("/runs", &body).json();
    let again = ask("/runs", &body);
    assert_eq!(again.status, 201);
    assert_eq!(again.json()["run"]["id"], first["run"]["id"]);
    ask("/runs", &plan(&["b"]).to_string()).is_problem(400, "usage");
    ask("/queue", r#"{"text": "true"}"#).is_problem(400, "usage");
    let queued = |rig: &Rig| {
        rig.ask("POST", "/queue", &["Idempotency-Key: k-2"], r#"{"text": "true"}"#)
            .json()
    };
    assert_eq!(queued(&rig)["task"]["id"], queued(&rig)["task"]["id"]);
    // It holds over a restart of the server.
    let dir = std::sync::Arc::clone(&rig.dir);
    drop(rig);
    let rig = Rig::over(dir, wheelhouse_server::Limits::default());
    let again = rig.ask("POST", "/runs", &["Idempotency-Key: k-1"], &body).json();
    assert_eq!(again["run"]["id"], first["run"]["id"]);
    assert_eq!(rig.get("/runs").json()["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn questions_are_answered_once() {
    let rig = Rig::new();
    let asking = json!({ "plan": { "name": "p", "tasks": [
        { "id": "a", "exec": "true", "approval": true }, { "id": "b", "exec": "true", "approval": true },
    ] } });
    rig.post("/runs", &asking);
    let open = rig.get("/questions").json();
    assert_eq!(open["questions"].as_array().unwrap().len(), 2);
    rig.post("/questions/q1/answer", &json!({ "answer": "perhaps" }))
        .is_problem(400, "usage");
    assert_eq!(
        rig.post("/questions/q1/approve", &json!({})).json()["question"]["answer"],
        "approve"
    );
    rig.post("/questions/q1/deny", &json!({})).is_problem(409, "refused");
    assert_eq!(rig.post("/questions/b/deny", &json!({})).json()["question"]["id"], "q2");
    rig.post("/questions/q9/deny", &json!({})).is_problem(404, "not_found");
}

#[test]
fn a_token_may_do_what_its_scope_says() {
    let rig = Rig::new();
    let with = |scope: Scope, method: &str, path: &str| {
        let line = format!("Authorization: Bearer {}", rig.token(scope));
        rig.bare(method, path, &[&line], &plan(&["a"]).to_string())
    };
    assert_eq!(with(Scope::Read, "GET", "/runs").status, 200);
    let refused = with(Scope::Read, "POST", "/runs").is_problem(403, "forbidden");
    assert!(
        refused["hints"][0].as_str().unwrap().contains("--scope operate"),
        "{refused}"
    );
    assert_eq!(with(Scope::Operate, "POST", "/runs").status, 201);
    assert_eq!(
        with(Scope::Admin, "GET", "/runs").json()["runs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn without_an_engine_the_health_is_degraded_and_says_why() {
    let rig = Rig::new();
    let health = rig.bare("GET", "/health", &[], "");
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["status"], "degraded");
    assert_eq!(health.json()["problems"][0]["what"], "engine");
    let lock = wheelhouse_engine::lock::StateLock::acquire(rig.dir.path()).unwrap();
    let health = rig.bare("GET", "/health", &[], "");
    assert_eq!(
        (health.status, health.json()["status"].as_str()),
        (200, Some("ok")),
        "{health:?}"
    );
    drop(lock);
}
