//! Instances over HTTP: what the command line can do to them, a program can; and an instance what it may.

use serde_json::{Value, json};
use wheelhouse_core::ids::InstanceId;
use wheelhouse_core::store::Store;
use wheelhouse_server::token::Scope;

use crate::rig::{Answer, Rig};

/// Asks as an instance, with its own token.
fn as_instance(rig: &Rig, id: u64, method: &str, path: &str, body: &Value) -> Answer {
    let store = rig.store().reader().unwrap().store_id().unwrap();
    let key = wheelhouse_engine::token::Key::open(rig.dir.path()).unwrap();
    let line = format!("Authorization: Bearer {}", key.token(&store, InstanceId(id)));
    rig.bare(method, path, &[&line], &body.to_string())
}

#[test]
fn instances_are_made_talked_to_and_ended() {
    let rig = Rig::new();
    let wish = json!({ "name": "lead", "prompt": "lead them", "role": "architect" });
    let made = rig.post("/instances", &wish);
    assert_eq!(made.status, 201, "{made:?}");
    let spawned = &made.json()["spawned"][0];
    assert_eq!(spawned["instance"]["id"], "i1");
    assert_eq!(spawned["instance"]["role"], "architect");
    assert_eq!(spawned["message"]["text"], "lead them");
    let many = rig
        .post("/instances", &json!({ "name": "hand", "count": 3, "parent": "lead" }))
        .json();
    assert_eq!(many["spawned"][2]["instance"]["name"], "hand-3");
    assert_eq!(many["spawned"][2]["instance"]["parent"], "i1");
    let tree = rig.get("/instances?below=lead").json();
    assert_eq!(tree["instances"].as_array().unwrap().len(), 4);
    let sent = rig
        .post("/instances/hand-1,hand-2/messages", &json!({ "text": "hurry" }))
        .json();
    assert_eq!(sent["messages"][1]["to"], "i3");
    let message = sent["messages"][1]["id"].as_str().unwrap();
    assert_eq!(
        rig.get(&format!("/messages/{message}")).json()["message"]["state"],
        "open"
    );
    rig.post(
        "/instances/hand-3/messages",
        &json!({ "text": "know this", "note": true }),
    );
    let notes = rig.get("/inbox?of=hand-3").json();
    assert_eq!(notes["messages"][0]["text"], "know this");
    let output = rig.get("/instances/lead/output").json();
    assert_eq!(output["output"][0]["message"]["text"], "lead them");
    let since = output["cursor"].as_u64().unwrap();
    assert_eq!(
        rig.get(&format!("/instances/lead/output?since={since}")).json()["output"],
        json!([])
    );
    let aside = rig.post("/instances/hand-3/suspend", &json!({})).json();
    assert_eq!(aside, json!({ "instances": ["i4"], "state": "suspended" }));
    assert_eq!(rig.get("/instances/i4").json()["instance"]["state"], "suspended");
    assert_eq!(rig.post("/instances/hand-3/wake", &json!({})).json()["state"], "awake");
    let stopped = rig
        .post("/instances/lead,hand-1/interrupt", &json!({ "clear": true }))
        .json();
    assert_eq!(stopped["interrupted"].as_array().unwrap().len(), 2);
    let ended = rig.post("/instances/lead/terminate", &json!({})).json();
    assert_eq!(
        ended["ended"].as_array().unwrap().last(),
        Some(&json!("i1")),
        "deepest first"
    );
    rig.get("/instances/nobody").is_problem(404, "not_found");
    rig.post("/instances", &json!({ "name": "x", "agent": "claud" }))
        .is_problem(404, "not_found");
    let audit = rig.get("/audit?instance=i1").json();
    assert_eq!(audit["lines"][0]["verb"], "spawn");
    assert_eq!(rig.get("/audit?day=1999-01-01").json()["lines"], json!([]));
    rig.get("/audit?day=yesterday").is_problem(400, "usage");
    assert_eq!(rig.get("/audit/messages").json()["lines"][0]["bytes"], 9);
}

#[test]
fn the_same_spawn_under_the_same_key_is_one_instance() {
    let rig = Rig::new();
    let ask = |name: &str| {
        let body = json!({ "name": name, "prompt": "go" }).to_string();
        rig.ask("POST", "/instances", &["Idempotency-Key: k-1"], &body)
    };
    assert_eq!(ask("a").json()["spawned"][0]["instance"]["id"], "i1");
    assert_eq!(ask("a").json()["spawned"][0]["instance"]["id"], "i1");
    assert_eq!(rig.get("/instances").json()["instances"].as_array().unwrap().len(), 1);
    ask("b").is_problem(409, "refused");
}

#[test]
fn several_are_given_one_piece_of_work_and_teams_start_together() {
    let rig = Rig::new();
    let work = json!({ "text": "Ship it?", "with": ["rehearsal", "rehearsal"], "mode": "consensus", "quorum": 1 });
    let begun = rig.post("/coordinations", &work);
    assert_eq!(begun.status, 201, "{begun:?}");
    assert_eq!(begun.json()["seats"].as_array().unwrap().len(), 2);
    assert_eq!(rig.get("/coordinations/c1").json()["result"]["outcome"], "open");
    rig.post("/coordinations", &json!({ "text": "x", "with": ["nobody"] }))
        .is_problem(404, "not_found");
    assert_eq!(rig.get("/teams").json()["teams"].as_array().unwrap().len(), 4);
    let team = rig.get("/teams/security_audit").json();
    let members = team["team"]["members"].as_array().unwrap().len();
    let started = rig
        .post("/teams/security_audit/start", &json!({ "task": "Look at login." }))
        .json();
    assert_eq!(started["spawned"].as_array().unwrap().len(), members);
    assert_eq!(started["spawned"][0]["message"]["text"], "Look at login.");
    let saved = rig.post("/teams/ours", &json!({ "instances": ["i3", "i4"] })).json();
    assert_eq!(saved["team"]["members"].as_array().unwrap().len(), 2);
    assert_eq!(rig.get("/teams").json()["teams"][0]["name"], "ours");
}

#[test]
fn the_policy_is_changed_while_it_runs_and_everything_can_be_stopped() {
    let rig = Rig::new();
    let changed = rig
        .post("/policy", &json!({ "max_instances": 3, "allowed_models": ["haiku"] }))
        .json();
    assert_eq!(changed["policy"]["max_instances"], 3);
    assert_eq!(rig.get("/policy").json()["policy"]["allowed_models"], json!(["haiku"]));
    let problem = rig
        .post("/policy", &json!({ "max_instance": 3, "depth_max": "x" }))
        .is_problem(400, "usage");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `max_instances`"),
        "{problem}"
    );
    rig.post(
        "/instances",
        &json!({ "name": "a", "agent": "rehearsal", "model": "opus" }),
    )
    .is_problem(409, "refused");
    rig.post("/instances", &json!({ "name": "a", "model": "haiku", "prompt": "go" }));
    assert_eq!(rig.post("/stop", &json!({})).json()["ended"], json!([]));
    assert_eq!(
        rig.post("/stop", &json!({ "all": true })).json()["ended"],
        json!(["i1"])
    );
    rig.post("/instances", &json!({ "name": "b" }))
        .is_problem(409, "refused");
    rig.post("/policy", &json!({ "orchestration": "on" }));
    assert_eq!(rig.post("/instances", &json!({ "name": "b" })).status, 201);
}

#[test]
fn an_instance_may_do_what_is_its_own_and_nothing_else() {
    let rig = Rig::new();
    rig.post("/instances", &json!({ "name": "lead" }));
    rig.post("/instances", &json!({ "name": "uncle" }));
    let child = as_instance(&rig, 1, "POST", "/instances", &json!({ "name": "child" })).json();
    assert_eq!(
        child["spawned"][0]["instance"]["parent"], "i1",
        "the parent is known, not said"
    );
    let forged = json!({ "name": "x", "parent": "uncle" });
    as_instance(&rig, 1, "POST", "/instances", &forged).is_problem(409, "refused");
    as_instance(&rig, 1, "POST", "/instances/uncle/terminate", &json!({})).is_problem(409, "refused");
    as_instance(&rig, 1, "GET", "/inbox?of=uncle", &json!({})).is_problem(409, "refused");
    as_instance(
        &rig,
        3,
        "POST",
        "/instances/person/messages",
        &json!({ "text": "x", "note": true }),
    );
    for (path, body) in [
        ("/policy", json!({ "max_instances": 99 })),
        ("/runs", crate::rig::plan(&["a"])),
        ("/budgets", json!({ "scope": "day", "change": { "raise": "5" } })),
        ("/questions/q1/approve", json!({})),
    ] {
        as_instance(&rig, 1, "POST", path, &body).is_problem(403, "forbidden");
    }
    let stopped = as_instance(&rig, 1, "POST", "/stop", &json!({ "all": true })).json();
    assert_eq!(stopped["ended"], json!(["i3"]), "only what is below it");
    let ended = as_instance(&rig, 1, "POST", "/instances/i1/terminate", &json!({})).json();
    assert_eq!(ended["ended"], json!(["i1"]), "it may end itself");
    as_instance(&rig, 1, "GET", "/instances", &json!({})).is_problem(401, "unauthorized");
}

#[test]
fn money_and_code_can_be_asked_about() {
    let rig = Rig::new();
    let raise = json!({ "scope": "day", "change": { "set": "5" } });
    let operate = format!("Authorization: Bearer {}", rig.token(Scope::Operate));
    rig.bare("POST", "/budgets", &[&operate], &raise.to_string())
        .is_problem(403, "forbidden");
    assert!(
        rig.post("/budgets", &raise).json()["done"]
            .as_str()
            .unwrap()
            .contains("$5")
    );
    assert_eq!(rig.get("/budgets").json()["budgets"].as_array().unwrap().len(), 1);
    rig.post("/budgets", &json!({ "scope": "day", "change": { "set": "much" } }))
        .is_problem(400, "usage");
    rig.post("/runs", &crate::rig::plan(&["a"]));
    let account = rig.get("/runs/r1/economy").json();
    assert_eq!((&account["run"], &account["receipts"]), (&json!("r1"), &json!([])));
    std::fs::write(
        rig.dir.path().join("lease.rs"),
        "/// Renews a lease.\nfn renew_lease() {}\n",
    )
    .unwrap();
    let found = rig.post("/find", &json!({ "text": "where is a lease renewed" })).json();
    assert_eq!(found["hits"][0]["path"], "lease.rs", "{found}");
    rig.post("/find", &json!({ "text": " " })).is_problem(400, "usage");
    assert_eq!(
        rig.post("/route", &json!({ "text": "Fix it" })).json()["analysis"],
        "Fix it"
    );
}
