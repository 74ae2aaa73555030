//! OpenTelemetry: the real binary and a collector on loopback.

use std::net::TcpListener;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::notices::{next, webhook};
use crate::serve::{ask, serve};
use crate::{House, until};

const PLAN: &str = "name: traced\ntasks:\n  - {id: a, agent: sonnet, prompt: '[[say:Secret words.]][[usage:1,20,300,4,0]]'}\n  \
                    - {id: b, exec: 'exit 3', needs: [a], retry: 0}\n";

fn house(listener: &TcpListener, fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-key");
    let address = listener.local_addr().unwrap();
    house.write(
        "wheelhouse.toml",
        &format!(
            "[otel]\nendpoint = \"http://{address}\"\n[agents.sonnet]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \
             \"{}\"\nmodel = \"claude-sonnet-4-6\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    house.write("plan.yaml", PLAN);
    house
}

fn fake() -> ModelApi {
    ModelApi::start(Script::default()).unwrap()
}

/// Receives until the run's own span is there.
fn spans(told: &Receiver<(String, Value)>) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    while !all.iter().any(|span| span["name"] == "invoke_workflow traced") {
        let (_, body) = next(told);
        assert_eq!(
            attribute(&body["resourceSpans"][0]["resource"], "service.name"),
            json!({ "stringValue": "wheelhouse" })
        );
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        all.extend(spans.iter().cloned());
    }
    all
}

fn attribute(of: &Value, key: &str) -> Value {
    let all = of["attributes"].as_array().unwrap();
    let found = all.iter().find(|one| one["key"] == key);
    found.map_or(Value::Null, |one| one["value"].clone())
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let found = spans.iter().find(|span| span["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[test]
fn a_run_its_tasks_and_its_tries_are_one_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fake = fake();
    let house = house(&listener, &fake);
    // The first request is refused for now, and comes again.
    let told = webhook(listener, vec![Some(503), Some(200)]);
    let (_serving, url) = serve(&house);
    house.run(&["run", "plan.yaml", "--detach"]);
    house.until_run("r1", "finished");
    let refused = next(&told).1;
    let spans = spans(&told);
    assert_eq!(refused["resourceSpans"][0]["scopeSpans"][0]["spans"][0], spans[0]);
    assert_eq!(spans.len(), 5, "{spans:#?}");

    let run = named(&spans, "invoke_workflow traced");
    assert!(run["parentSpanId"].is_null());
    assert_eq!(run["status"]["code"], 2);
    for span in &spans {
        assert_eq!(span["traceId"], run["traceId"]);
        assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
    }
    let (a, b) = (named(&spans, "task a"), named(&spans, "task b"));
    assert_eq!(
        (&a["parentSpanId"], &b["parentSpanId"]),
        (&run["spanId"], &run["spanId"])
    );
    let tried = named(&spans, "invoke_agent sonnet");
    assert_eq!(tried["parentSpanId"], a["spanId"]);
    for (key, value) in [
        ("gen_ai.operation.name", json!({ "stringValue": "invoke_agent" })),
        ("gen_ai.provider.name", json!({ "stringValue": "anthropic" })),
        ("gen_ai.agent.name", json!({ "stringValue": "sonnet" })),
        ("gen_ai.response.model", json!({ "stringValue": "claude-sonnet-4-6" })),
        ("gen_ai.usage.input_tokens", json!({ "intValue": "321" })),
        ("gen_ai.usage.cache_read.input_tokens", json!({ "intValue": "20" })),
        ("gen_ai.usage.output_tokens", json!({ "intValue": "4" })),
        ("wheelhouse.usage.source", json!({ "stringValue": "reported" })),
        ("wheelhouse.cost.provenance", json!({ "stringValue": "priced" })),
        ("wheelhouse.task", json!({ "stringValue": "r1/a" })),
        ("wheelhouse.try", json!({ "intValue": "1" })),
        ("error.type", Value::Null),
    ] {
        assert_eq!(attribute(tried, key), value, "{key}");
    }
    let failed = named(&spans, "exec b");
    assert_eq!(attribute(failed, "error.type"), json!({ "stringValue": "crashed" }));
    assert_eq!(attribute(failed, "gen_ai.operation.name"), Value::Null);
    assert!(
        !format!("{spans:?}").contains("Secret"),
        "no words of prompts or answers"
    );
    let (status, _) = ask(&url, "GET", "/health", "", "");
    assert_eq!(status, 200, "what got through in the end is no trouble");
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_is_told_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fake = fake();
    let house = house(&listener, &fake);
    drop(listener);
    let (serving, url) = serve(&house);
    house.run(&["run", "plan.yaml", "--detach"]);
    house.until_run("r1", "finished");
    let mut health = Value::Null;
    until("the health is degraded", || {
        let (status, body) = ask(&url, "GET", "/health", "", "");
        health = serde_json::from_str(&body).unwrap();
        status == 503
    });
    assert_eq!(health["problems"][0]["what"], "telemetry", "{health}");
    let said = house.read(".wheelhouse/notify-collector.json");
    assert!(said.contains("4 tries"), "a bounded number of tries: {said}");
    serving.signal(nix::sys::signal::Signal::SIGINT);
    serving.done();
    let told = webhook(TcpListener::bind(address).unwrap(), vec![Some(200)]);
    let (_serving, url) = serve(&house);
    assert_eq!(spans(&told).len(), 5, "nothing is lost");
    until("the health is good", || ask(&url, "GET", "/health", "", "").0 == 200);
}

#[test]
fn what_a_collector_calls_wrong_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fake = fake();
    let house = house(&listener, &fake);
    let told = webhook(listener, vec![Some(400), Some(200)]);
    let (_serving, _) = serve(&house);
    house.run(&["run", "plan.yaml", "--detach"]);
    let refused = next(&told).1["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone();
    house.until_run("r1", "finished");
    house.write("plan.yaml", "name: traced\ntasks:\n  - {id: a, exec: 'true'}\n");
    house.ok(&["run", "plan.yaml", "--detach"]);
    assert!(!spans(&told).contains(&refused), "it is not said a second time");
}

#[test]
fn an_endpoint_that_is_no_address_is_said_before_anything_starts() {
    let house = House::new();
    house.write("wheelhouse.toml", "[otel]\nendpoint = \"localhost:4318\"\n");
    let done = house.run(&["serve", "--until-idle", "--no-http"]);
    let said = format!("{}{}", done.out, done.err);
    assert!(
        said.contains("otel.endpoint") && said.contains("http://localhost:4318"),
        "{said}"
    );
}
