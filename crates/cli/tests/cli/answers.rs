//! Tasks with a `schema`, from outside: answers that fit, that fit the second time, and that never do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::House;

const TRIAGE: &str = r#"{
  "type": "object", "required": ["kind"], "additionalProperties": false,
  "properties": {"kind": {"enum": ["bug", "wish"]}}
}
"#;

/// A house with agents `a` and `b` behind APIs of two vendors, whose answers agent `a` wants as numbers.
fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-some-key");
    house.write(
        "number.json",
        r#"{"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}"#,
    );
    house.write("plans/triage.json", TRIAGE);
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.a]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"m-a\"\nkey_env = \"A_KEY\"\n\
             schema = \"number.json\"\n\
             [agents.b]\nbackend = \"api\"\napi = \"openai\"\nbase_url = \"{}\"\nmodel = \"m-b\"\nkey_env = \"A_KEY\"\n",
            fake.base_url(),
            fake.openai_url()
        ),
    );
    house
}

/// How the tries of a task ended, each with its agent.
fn tries(house: &House, task: &str) -> Vec<String> {
    let status = house.json(&["status", task]);
    let attempts = status["attempts"].as_array().unwrap_or_else(|| panic!("{status:#}"));
    let shown = |attempt: &Value| {
        format!(
            "{} {}",
            attempt["agent"].as_str().unwrap(),
            attempt["outcome"]["class"].as_str().unwrap()
        )
    };
    attempts.iter().map(shown).collect()
}

#[test]
fn a_fitting_answer_is_asked_for_in_the_request_and_the_tasks_schema_wins() {
    // Without orders the fake says the plainest value that the schema in the request allows, and else words.
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    house.write(
        "plans/p.yaml",
        "tasks:\n  - {id: file, agent: a, schema: triage.json, prompt: Which?}\n  - {id: none, agent: a, prompt: Which?}\n  \
         - id: inline\n    agent: b\n    prompt: Which?\n    schema:\n      type: object\n      required: [ok]\n      \
         additionalProperties: false\n      properties: {ok: {type: boolean}}\n",
    );
    let run = house.json(&["run", "plans/p.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 3, "{run:#}");
    let answer = |task: &str| {
        let output = house.json(&["result", task])["output"].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(&output).unwrap_or_else(|_| panic!("{output}"))
    };
    assert_eq!(answer("file"), json!({ "kind": "bug" }));
    assert!(answer("none")["n"].is_number(), "the agent's own");
    assert!(answer("inline")["ok"].is_boolean());
    assert_eq!(fake.violations(), []);
    for turn in fake.turns() {
        assert!(
            !turn.prompt.contains("JSON schema"),
            "the API is told, not the model: {}",
            turn.prompt
        );
    }
    let shown = house.json(&["plan", "show", "plans/p.yaml"]);
    assert_eq!(shown["tasks"][0]["schema"]["required"], json!(["kind"]), "{shown:#}");
}

#[test]
fn a_miss_is_malformed_and_the_next_try_is_told_what_did_not_fit() {
    let rule = Rule::any()
        .counted_together()
        .reply(Reply::text("{\"kind\": \"song\"}"))
        .reply(Reply::text("{\"kind\": \"wish\"}"));
    let fake = ModelApi::start(Script::new().rule(rule)).unwrap();
    let house = house(&fake);
    house.write(
        "plans/p.yaml",
        "tasks:\n  - {id: t, agent: b, retry: 1, schema: triage.json, prompt: Which?}\n",
    );
    let run = house.json(&["run", "plans/p.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
    assert_eq!(tries(&house, "t"), ["b malformed", "b succeeded"]);
    let second = fake.turns()[1].prompt.clone();
    assert!(
        second.contains("malformed") && second.contains("#/kind: `\"song\"` is none of"),
        "{second}"
    );
    assert_eq!(house.json(&["result", "t"])["output"], "{\"kind\": \"wish\"}");
}

#[test]
fn who_never_fits_moves_on_along_the_chain_and_then_fails() {
    let rule = Rule::any().reply(Reply::text("It is a bug."));
    let fake = ModelApi::start(Script::new().rule(rule)).unwrap();
    let house = house(&fake);
    house.write(
        "plans/p.yaml",
        "tasks:\n  - {id: t, agent: a, fallback: [b], retry: 1, schema: triage.json, prompt: Which?}\n  \
         - {id: after, needs: t, exec: echo after}\n",
    );
    let run = house.run(&["run", "plans/p.yaml"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(
        tries(&house, "t"),
        ["a malformed", "a malformed", "b malformed", "b malformed"]
    );
    let result = house.json(&["result", "t"]);
    assert_eq!(result["weak"], true, "{result:#}");
    let summary = result["result"]["summary"].as_str().unwrap();
    assert!(
        summary.contains("is not what its schema asks for: it is not JSON"),
        "{summary}"
    );
    let status = house.json(&["status", "after"]);
    assert_eq!(status["task"]["outcome"]["class"], "skipped", "{status:#}");
}

/// A vendor's program that notes what it is told and answers what the project says.
const PROGRAM: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo '2.1.329 (Claude Code)'; exit 0; }
say() { printf '%s\n' "$1"; }
while read -r line; do
  case "$line" in
  *control_request*)
    id=$(say "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
    say '{"type":"control_response","response":{"subtype":"success","request_id":"'"$id"'","response":{}}}'
    ;;
  *'"type":"user"'*)
    say "$line" >>told.txt
    session='"session_id":"6f0c1c1e-2f66-4f63-9d5e-3d5a3bd0f0c1"'
    say '{"type":"system","subtype":"init",'"$session"',"model":"m","claude_code_version":"2.1.329"}'
    say '{"type":"result","subtype":"success","is_error":false,"result":"'"$(cat answer.txt)"'",'"$session"',"usage":{"input_tokens":1,"output_tokens":1}}'
    exit 0
    ;;
  esac
done
"#;

#[test]
fn an_agent_that_takes_no_schema_is_told_in_words_and_held_to_it_all_the_same() {
    let house = House::new();
    let program = house.write("bin/claude", PROGRAM);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    house.write(
        "wheelhouse.toml",
        &format!(
            "retry = 0\n[agents.cli]\nbackend = \"claude\"\ncommand = \"{}\"\n",
            program.display()
        ),
    );
    house.write("triage.json", TRIAGE);
    house.write(
        "p.yaml",
        "tasks:\n  - {id: t, agent: cli, schema: triage.json, prompt: Which?}\n",
    );
    house.write("answer.txt", r#"```json\n{\"kind\": \"wish\"}\n```"#);
    let run = house.json(&["run", "p.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
    let result = house.json(&["result", "t"]);
    assert_eq!(
        result["output"], "{\"kind\": \"wish\"}",
        "the fence is taken off: {result:#}"
    );
    assert_eq!(result["result"]["summary"], "{\"kind\": \"wish\"}");
    let told = house.read("told.txt");
    assert!(
        told.contains("valid against this JSON schema") && told.contains("additionalProperties"),
        "{told}"
    );
    house.write("answer.txt", "A wish.");
    assert_eq!(house.run(&["run", "p.yaml"]).code, Some(1));
    assert_eq!(tries(&house, "r2/t"), ["cli malformed"]);
}

#[test]
fn a_rehearsal_stands_for_an_answer_that_fits() {
    let house = House::new();
    house.write("triage.json", TRIAGE);
    house.write("p.yaml", "tasks: [{id: t, schema: triage.json, prompt: Which?}]");
    let run = house.json(&["run", "p.yaml", "--rehearse"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
}

#[test]
fn what_is_wrong_with_a_schema_is_said_with_its_place_before_anything_is_begun() {
    let house = House::new();
    house.write(
        "plans/bad.json",
        "{\"type\": \"object\",\n \"properties\": {\n  \"kind\": {\"type\": \"strnig\", \"pattern\": \"x\"}}}\n",
    );
    house.write("plans/torn.json", "{\"type\": \"object\",\n}\n");
    house.write("plans/list.json", "[]");
    house.write(
        "plans/p.yaml",
        "tasks:\n  - {id: a, prompt: x, schema: bad.json}\n  - {id: b, prompt: x, schema: torn.json}\n  \
         - {id: c, prompt: x, schema: list.json}\n  - {id: d, prompt: x, schema: none.json}\n  \
         - {id: e, prompt: x, schema: {type: object, minimum: '1'}}\n  - {id: f, exec: x, schema: {type: object}}\n",
    );
    let check = house.run(&["plan", "check", "plans/p.yaml"]);
    assert_eq!(check.code, Some(2), "{check:#?}");
    for place in [
        "bad.json:3:12: error[bad-schema]: task `a`: its schema cannot be used: #/properties/kind/type:",
        "bad.json:3:30: error[bad-schema]: task `a`: its schema cannot be used: #/properties/kind/pattern:",
        "torn.json:2:1: error[syntax]: this is not JSON",
        "list.json:1:1: error[bad-schema]",
        "plans/p.yaml:5:32: error[schema-file]: task `d`: the schema file `none.json` cannot be read: there is no file",
        "plans/p.yaml:6:47: error[bad-schema]: task `e`: its schema cannot be used: #/minimum: a number is wanted here",
        "plans/p.yaml:7:30: error[bad-schema]: task `f` is a command",
    ] {
        assert!(check.out.contains(place), "{place}: {}", check.out);
    }
    assert_eq!(house.run(&["run", "plans/p.yaml"]).code, Some(2));
    assert!(!house.project().join(".wheelhouse").exists(), "nothing was begun");
}

/// How the parts of workflows are recognised by their words.
const SELF: &str = "Review this output of yours";
const MEND: &str = "best possible final output";

const APPROVE: &str = "--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 90\nSCORE: 9\nSUMMARY: good\n---";
const REJECT: &str = "--- VERDICT ---\nSTATUS: fail\nSCORE: 3\nSUMMARY: it is a wish\n---";

#[test]
fn the_final_answer_of_a_workflow_is_held_to_the_schema() {
    let says = |words: &str, text: &str| Rule::any().says(words).reply(Reply::text(text));
    let script = [
        says(SELF, APPROVE),
        says("Judge whether this answer", APPROVE),
        says("WHAT WAS WRONG WITH IT BEFORE", APPROVE),
        says("Independent review.", REJECT),
        says(MEND, r#"{"kind": "wish"}"#),
        says("first rung", "It is a bug, I think."),
        says("Sort: ", r#"{"kind": "bug"}"#),
        says("Join", r#"{"kind": "wish"}"#),
        says("Which?", r#"{"kind": "bug"}"#),
    ];
    let fake = ModelApi::start(script.into_iter().fold(Script::new(), Script::rule)).unwrap();
    let house = house(&fake);
    house.write(
        "plans/p.yaml",
        r#"
defaults: {retry: 0}
tasks:
  - {id: qc, agent: a, schema: triage.json, prompt: "Which?", workflow: {kind: qc, reviewer: b}}
  - {id: rungs, schema: triage.json, prompt: "first rung", workflow: {kind: cascade, rungs: [a, b], strikes: 1}}
  - {id: each, agent: a, schema: triage.json, prompt: "Sort: {{ item }}", workflow: {kind: map, over: [x, y]}}
  - {id: one, agent: a, schema: triage.json, prompt: "Words about {{ item }}", workflow: {kind: map, over: [x], reduce: "Join {{ results }}"}}
  - {id: gated, agent: a, schema: triage.json, prompt: "Which?", gate: {reviewer: b}}
"#,
    );
    let run = house.run(&["run", "plans/p.yaml"]);
    assert_eq!(run.code, Some(1), "the cascade has no rung that fits: {run:?}");
    let output = |task: &str| house.json(&["result", task])["output"].clone();
    // What was incorporated is held to it as what was produced.
    assert_eq!(output("qc"), r#"{"kind": "wish"}"#);
    assert_eq!(output("gated"), r#"{"kind": "bug"}"#);
    assert_eq!(output("each"), r#"[{"kind":"bug"},{"kind":"bug"}]"#);
    assert_eq!(output("one"), r#"{"kind": "wish"}"#);
    assert_eq!(tries(&house, "one.1"), ["a succeeded"], "only the reduce is held to it");
    assert_eq!(tries(&house, "rungs.rung-1.1"), ["a malformed"]);
    assert_eq!(tries(&house, "rungs.rung-2.1"), ["b malformed"]);
    let produced = fake
        .turns()
        .into_iter()
        .find(|turn| turn.prompt.starts_with("Which?"))
        .unwrap();
    assert!(
        !produced.prompt.contains("CONFIDENCE"),
        "one JSON value has no room for it: {}",
        produced.prompt
    );
    house.write(
        "plans/votes.yaml",
        "tasks:\n  - {id: v, prompt: \"Which?\", schema: triage.json, workflow: {kind: consensus, seats: [a, b]}}\n",
    );
    let refused = house.run(&["plan", "check", "plans/votes.yaml"]);
    assert!(
        refused.out.contains("whose seats answer with verdicts")
            && refused.out.contains("let a task that needs this one"),
        "{refused:?}"
    );
}
