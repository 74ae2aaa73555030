//! Bad days of money, from outside: many at once at one budget, agents that burn, agents that say nothing, engines that die
//! with money in hand.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{self, ModelApi, Script};

use crate::{House, until};

/// How many output tokens each event of a burning agent says to have used more than the one before.
const STEP_TOKENS: u64 = 20_000;

fn agent(name: &str, base_url: &str, model: &str) -> String {
    format!(
        "[agents.{name}]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{base_url}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\n"
    )
}

fn budget(house: &House, scope: &str) -> Value {
    let all = house.json(&["budget"])["budgets"].as_array().unwrap().clone();
    let found = all.into_iter().find(|budget| budget["scope"] == scope);
    found.unwrap_or_else(|| panic!("no budget of {scope}"))
}

fn nano(budget: &Value, field: &str) -> u64 {
    budget[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {budget:#}"))
}

#[test]
fn a_thousand_tries_at_once_never_take_a_budget_above_its_limit() {
    const LIMIT_NANO: u64 = 10_000_000_000;
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    let settings = format!(
        "parallel_max = 1000\n{}",
        agent("sonnet", &fake.base_url(), "claude-sonnet-4-6")
    );
    house.write("wheelhouse.toml", &settings);
    // Each uses 100,000 tokens at $3 the million: 33 of a thousand fit.
    let mut plan = "name: many\nbudget: {usd: 10.00}\ntasks:\n".to_owned();
    for n in 0..1_000 {
        plan.push_str(&format!(
            "  - {{id: t{n}, agent: sonnet, prompt: \"[[say:Done.]][[usage:100000,0,0,0,0]]\"}}\n"
        ));
    }
    house.write("plan.yaml", &plan);
    let running = house.start(&["run", "plan.yaml"]);
    let mut seen_reserved = 0;
    until("the budget is used up", || {
        let all = house.json(&["budget"])["budgets"].as_array().unwrap().clone();
        let Some(now) = all.into_iter().find(|budget| budget["scope"] == "r1") else {
            return false;
        };
        let (spent, reserved) = (nano(&now, "spent_nano"), nano(&now, "reserved_nano"));
        assert!(spent + reserved <= LIMIT_NANO, "above its limit: {now:#}");
        seen_reserved = seen_reserved.max(reserved);
        let counts = house.json(&["status", "r1"])["run"]["tasks"].clone();
        reserved == 0 && spent > 0 && counts["running"] == 0
    });
    running.done();
    assert!(seen_reserved > 0, "nobody was seen to reserve");
    let end = budget(&house, "r1");
    let spent = nano(&end, "spent_nano");
    assert!(
        (9_300_000_000..=LIMIT_NANO).contains(&spent),
        "what fits is done, and no more: {end:#}"
    );
    let counts = house.json(&["status", "r1"])["run"]["tasks"].clone();
    assert_eq!(counts["succeeded"].as_u64(), Some(spent / 300_000_000), "{counts:#}");
    assert_eq!(
        fake.turns().len() as u64,
        spent / 300_000_000,
        "nobody was asked without money"
    );
    house.ok(&["fsck"]);
}

/// A gateway whose models say more and more, and use as much with every event, until nobody listens.
fn burning() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is what the test waits for.
            std::thread::spawn(move || drop(burn(stream)));
        }
    });
    format!("http://{address}")
}

fn burn(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let Some(body) = model_api::request_body(&mut reader)? else {
        return Ok(());
    };
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let out = reader.get_mut();
    out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
    let mut say = |event: Value| write!(out, "event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    say(
        json!({"type": "message_start", "message": {"model": asked["model"], "usage": {"input_tokens": 1, "output_tokens": 0}}}),
    )?;
    for step in 1_u64.. {
        say(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "More. "}}))?;
        say(json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": step * STEP_TOKENS}}))?;
        // The rate: an event in so long. Nothing waits for it.
        std::thread::sleep(Duration::from_millis(60));
    }
    Ok(())
}

#[test]
fn agents_of_four_vendors_that_burn_three_levels_deep_pass_the_line_by_an_event_at_most() {
    const LIMIT_NANO: u64 = 40_000_000_000;
    // Name, who leads it, model, what an event of it costs.
    let crew = [
        ("a", None, "claude-sonnet-4-6", 300_000_000_u64),
        ("b", Some("a"), "gpt-4o", 200_000_000),
        ("c", Some("b"), "gemini-2.5-pro", 200_000_000),
        ("d", Some("b"), "grok-4.5", 120_000_000),
    ];
    let gateway = burning();
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    let agents: Vec<String> = crew
        .iter()
        .map(|(name, _, model, _)| agent(name, &gateway, model))
        .collect();
    house.write("wheelhouse.toml", &format!("parallel_max = 8\n{}", agents.concat()));
    let _engine = house.start(&["serve", "--no-http"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    for (name, parent, _, _) in crew {
        match parent {
            None => house.ok(&["spawn", name, "--agent", name, "--budget", "40.00"]),
            Some(parent) => house.ok(&["spawn", name, "--agent", name, "--parent", parent]),
        };
    }
    for (name, ..) in crew {
        house.ok(&["send", name, "Go on until you are stopped."]);
    }
    for (name, ..) in crew {
        until(&format!("{name} is held for want of money"), || {
            let turn = house.json(&["instances", name])["instances"][0]["turn"].clone();
            let Some(turn) = turn.as_str() else { return false };
            house.json(&["status", turn])["task"]["held"]["reason"] == "budget"
        });
    }
    let tree = budget(&house, "instance:1");
    assert_eq!(nano(&tree, "reserved_nano"), 0, "{tree:#}");
    let spent = nano(&tree, "spent_nano");
    // Each is stopped at its own line, the first event beyond it: none of them by more than one of its events.
    let one_each: u64 = crew.iter().map(|(.., event)| event).sum();
    assert!(
        spent <= LIMIT_NANO + one_each,
        "{} over the line: {tree:#}",
        spent - LIMIT_NANO
    );
    assert!(spent >= LIMIT_NANO - one_each, "stopped too soon: {tree:#}");
    // What they used is booked to each of them, at their own prices.
    let report = house.json(&["report"]);
    let lines = report["agents"].as_array().unwrap();
    let costs: Vec<u64> = lines.iter().map(|line| nano(&line["cost"], "known_nano")).collect();
    assert_eq!((costs.len(), costs.iter().sum::<u64>()), (4, spent), "{report:#}");
    house.ok(&["fsck"]);
}

#[test]
fn an_agent_that_tells_no_usage_trips_a_proxy_and_is_never_free() {
    let house = House::new();
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.mute]\nbackend = \"acp\"\ncommand = \"{}\"\n",
            wheelhouse_testkit::script::acp_agent().display()
        ),
    );
    // Three short tries make an estimate that is smaller than what is assumed of a stranger.
    let quick = "tasks:\n  - {id: a, agent: mute, prompt: \"$ true\"}\n  - {id: b, agent: mute, prompt: \"$ true\"}\n  - {id: c, agent: mute, prompt: \"$ true\"}\n";
    house.write("quick.yaml", quick);
    house.ok(&["run", "quick.yaml"]);
    house.write(
        "long.yaml",
        "budget: {usd: 0.012}\ntasks:\n  - {id: t, agent: mute, prompt: hold, timeout: 10m, idle_timeout: 10m}\n",
    );
    // $0.25 a minute: it is stopped after about three seconds, although it never said what it used.
    let ran = house.run(&["run", "long.yaml"]);
    assert_eq!(ran.code, Some(3), "it waits for money: {ran:#?}");
    let held = house.json(&["status", "r2/t"])["task"]["held"].clone();
    assert_eq!(held["reason"], "budget", "{held:#}");
    let spent = budget(&house, "r2");
    // None of it is known; all of it counts.
    assert_eq!(nano(&spent, "spent_nano"), 0, "{spent:#}");
    assert!(nano(&spent, "assumed_nano") >= 12_000_000, "{spent:#}");
    let report = house.json(&["report"]);
    assert_eq!(report["variable"]["known_nano"], 0, "{report:#}");
    assert_eq!(
        report["variable"]["unknown_entries"], 4,
        "what nobody knows is not zero: {report:#}"
    );
    house.ok(&["fsck"]);
}

#[test]
fn an_engine_that_dies_between_reservation_and_settlement_keeps_no_money() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    house.write(
        "wheelhouse.toml",
        &agent("sonnet", &fake.base_url(), "claude-sonnet-4-6"),
    );
    house.write(
        "plan.yaml",
        "budget: {usd: 2.00}\ntasks:\n  - {id: t, agent: sonnet, prompt: \"[[say:Slowly.]][[usage:100000,0,0,100,0]][[hold:gate]]\"}\n",
    );
    let running = house.start(&["run", "plan.yaml"]);
    until("it is at work with money in hand", || {
        let held = house.run(&["budget", "--json"]).out;
        fake.turns().len() == 1 && !held.contains("\"reserved_nano\":0") && held.contains("reserved_nano")
    });
    running.signal(Signal::SIGKILL);
    running.done();
    house.until_no_engine();
    let left = budget(&house, "r1");
    assert!(nano(&left, "reserved_nano") > 0, "it died with money in hand: {left:#}");
    fake.release("gate");
    house.ok(&["resume"]);
    let end = budget(&house, "r1");
    assert_eq!(nano(&end, "reserved_nano"), 0, "{end:#}");
    // Both requests were paid for, or the first is estimated; neither is forgotten nor counted twice.
    let spent = nano(&end, "spent_nano");
    let report = house.json(&["report"]);
    assert_eq!(report["variable"]["known_nano"], spent, "{report:#}");
    assert!(
        (301_500_000..=603_000_000).contains(&spent),
        "a whole request at least, two at the most: {end:#}"
    );
    house.ok(&["fsck"]);
}
