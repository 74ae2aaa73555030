//! Reports from outside: what a period and a run cost, in every form, and that all of them say the same.

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::House;

/// One agent whose model has a price, one whose model nobody knows, one on a subscription, and a command.
const PLAN: &str = r#"
name: mixed
tasks:
  - {id: a, agent: sonnet, prompt: "Implement the parser. [[say:Done.]][[usage:1000,0,0,200,0]]", verify: ["true"]}
  - {id: b, agent: mystery, prompt: "Review the code for defects. [[say:Fine.]][[usage:500,0,0,100,0]]"}
  - {id: c, agent: flat, prompt: "Review the code for defects. [[say:Fine.]][[usage:700,0,0,100,0]]"}
  - {id: d, exec: "echo done"}
  - {id: e, agent: sonnet, prompt: "Implement the parser. [[say:Done.]][[usage:1000,0,0,200,0]]", needs: [a, d]}
"#;

fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-of-a-test");
    let agent = |name: &str, model: &str, more: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"{model}\"\n\
             key_env = \"A_KEY\"\n{more}",
            fake.base_url()
        )
    };
    let agents = [
        agent("sonnet", "claude-sonnet-4-6", ""),
        agent("mystery", "mystery-1", ""),
        agent("flat", "claude-opus-4-6", "billing = \"subscription\"\n"),
        "[subscriptions.\"Claude Max\"]\nmonth = 200\n".to_owned(),
    ];
    house.write("wheelhouse.toml", &agents.concat());
    house.write("plan.yaml", PLAN);
    house.ok(&["run", "plan.yaml"]);
    house
}

/// 2,000 input at $3 and 400 output at $15 the million.
const KNOWN_NANO: u64 = 12_000_000;

#[test]
fn a_ledger_summed_every_way_gives_one_number() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let month = house.json(&["report"]);
    let run = house.json(&["report", "--run", "r1"]);
    let status = house.json(&["status", "r1"]);
    for report in [&month, &run] {
        assert_eq!(report["variable"]["known_nano"], KNOWN_NANO, "{report:#}");
        assert_eq!(report["variable"]["unknown_entries"], 1, "{report:#}");
        assert_eq!(report["variable"]["included_entries"], 1, "{report:#}");
        assert_eq!(report["work"]["completed"], 4, "{report:#}");
        assert_eq!(report["work"]["verified"], 1, "{report:#}");
        assert_eq!(report["commands"], 1, "{report:#}");
        assert_eq!(report["per_task"]["at_least"], true, "{report:#}");
        let by = |list: &str, field: &str| -> u64 {
            let lines = report[list].as_array().unwrap();
            lines.iter().map(|line| line["cost"][field].as_u64().unwrap()).sum()
        };
        for list in ["models", "agents", "days", "kinds"] {
            assert_eq!(by(list, "known_nano"), KNOWN_NANO, "{list} of {report:#}");
            assert_eq!(by(list, "unknown_entries"), 1, "{list} of {report:#}");
        }
    }
    assert_eq!(status["run"]["cost"]["known_nano"], KNOWN_NANO);
    assert_eq!(status["run"]["cost"]["unknown_attempts"], 1);
    assert_eq!(month["usage"], run["usage"]);
    assert_eq!(
        month["fixed"][0]["nano"], 200_000_000_000u64,
        "a whole month costs what a month costs"
    );
    assert_eq!(run["fixed"], serde_json::json!([]), "a run pays no fees");

    let csv = house.ok(&["report", "--csv"]).out;
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().unwrap();
    let place = |head: &str| heads.iter().position(|name| *name == head).unwrap();
    let (known, unknown) = (place("known_usd"), place("unknown_entries"));
    let rows: Vec<Vec<&str>> = lines.collect();
    let sum: f64 = rows.iter().filter_map(|row| row[known].parse::<f64>().ok()).sum();
    assert!((sum - 0.012).abs() < 1e-12, "{csv}");
    let of_unknown: Vec<&Vec<&str>> = rows.iter().filter(|row| row[unknown] == "1").collect();
    assert_eq!(
        (of_unknown.len(), of_unknown[0][known]),
        (1, ""),
        "unknown is not 0:\n{csv}"
    );
    house.ok(&["fsck"]);
}

#[test]
fn what_nobody_knows_is_said_in_every_view() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake).with_env("COLUMNS", "80");
    let said = house.ok(&["report"]).out;
    assert!(said.contains("Nobody knows what 1 entry cost"), "{said}");
    assert!(said.contains("mystery-1") && said.contains("unknown (1)"), "{said}");
    assert!(said.contains("$0.0120 + 1 unknown"), "{said}");
    assert!(said.contains("Claude Max") && said.contains("$200.00"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let (_, kinds) = said.split_once("What a verified task costs").unwrap();
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|line| line.contains("implementation") || line.contains("review"))
        .collect();
    assert_eq!(kinds.len(), 3, "{said}");

    let told = house.ok(&["report", "--html", "page.html"]).out;
    assert!(told.contains("page.html"), "{told}");
    let page = house.read("page.html");
    assert!(page.contains("Nobody knows what 1 entry cost") && page.contains("mystery-1"));
    assert!(
        page.contains("<svg") && !page.contains("<script") && !page.contains("://"),
        "nothing is fetched"
    );
}

#[test]
fn stars_are_kept_and_averaged() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let told = house.ok(&["rate", "r1/a", "4", "did", "what", "it", "should"]).out;
    assert_eq!(told, "r1/a ★★★★☆\n");
    house.ok(&["rate", "b", "2"]);
    house.ok(&["rate", "b", "5"]);
    let report = house.json(&["report"]);
    assert_eq!(
        (&report["work"]["rated"], &report["work"]["stars"]),
        (&Value::from(2), &Value::from(9))
    );
    assert!(house.ok(&["report"]).out.contains("4.5/5"));
    for (arguments, code) in [
        (&["rate", "r1/a", "6"][..], 2),
        (&["rate", "r1", "3"], 6),
        (&["rate", "nobody", "3"], 5),
    ] {
        assert_eq!(house.run(arguments).code, Some(code), "{arguments:?}");
    }
    house.ok(&["fsck"]);
}

#[test]
fn periods_are_days_and_months() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let empty = house.json(&["report", "--month", "2020-02"]);
    assert_eq!(
        empty["period"],
        serde_json::json!({"first": "2020-02-01", "last": "2020-02-29"})
    );
    assert_eq!(
        (&empty["work"]["completed"], &empty["per_task"]),
        (&Value::from(0), &Value::Null)
    );
    let all = house.json(&["report", "--since", "2020-01-01"]);
    assert_eq!(all["variable"]["known_nano"], KNOWN_NANO);
    for wrong in [
        &["report", "--month", "soon"][..],
        &["report", "--since", "2026-13-01"],
        &["report", "--since", "2020-02-02", "--until", "2020-02-01"],
    ] {
        let refused = house.run(wrong);
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    assert_eq!(house.run(&["report", "--run", "r9"]).code, Some(5));
}

#[test]
fn what_is_typed_can_be_asked_for_over_http_and_mcp_and_prometheus_reads_it() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let (serving, url) = crate::serve::serve(&house);
    let token = house.ok(&["token"]).out.trim().to_owned();
    let reader = house.ok(&["token", "--scope", "read"]).out.trim().to_owned();
    let ask = |method: &str, path: &str, token: &str, body: &str| crate::serve::ask(&url, method, path, token, body);

    let (status, body) = ask("POST", "/api/v1/tasks/r1/a/rate", &token, r#"{"stars": 4}"#);
    assert_eq!(status, 200, "{body}");
    let (status, body) = ask("POST", "/api/v1/tasks/r1/a/rate", &reader, r#"{"stars": 4}"#);
    assert_eq!(status, 403, "{body}");
    let (status, body) = ask("GET", "/api/v1/report?run=r1", &reader, "");
    assert_eq!(status, 200, "{body}");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(report["variable"], house.json(&["report", "--run", "r1"])["variable"]);

    assert_eq!(ask("GET", "/metrics", "wrong", "").0, 401);
    let (status, text) = ask("GET", "/metrics", &reader, "");
    assert_eq!(status, 200, "{text}");
    let told = |labels: &[&str]| {
        let line = text
            .lines()
            .find(|line| !line.starts_with('#') && labels.iter().all(|label| line.contains(label)));
        let line = line.unwrap_or_else(|| panic!("{labels:?} in\n{text}"));
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        told(&["wheelhouse_cost_known_usd_total{", "agent=\"sonnet\"", "priced"]),
        "0.012000000"
    );
    assert_eq!(
        told(&["wheelhouse_ledger_entries_total{", "mystery-1", "cost=\"unknown\""]),
        "1"
    );
    assert_eq!(
        told(&["wheelhouse_tokens_total{", "agent=\"flat\"", "class=\"input\""]),
        "700"
    );
    assert_eq!(
        told(&["wheelhouse_tasks_verified_total{", "kind=\"implementation\""]),
        "1"
    );
    assert_eq!(told(&["wheelhouse_engine "]), "1");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("wheelhouse_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }

    let mut client = crate::mcp::Client::new(&house);
    client.begin();
    let mut call = |name: &str, arguments: Value| {
        client.ask("tools/call", serde_json::json!({"name": name, "arguments": arguments}))["result"].to_string()
    };
    let rated = call("rate", serde_json::json!({"task": "r1/b", "stars": 5}));
    assert!(rated.contains("r1/b"), "{rated}");
    let told = call("report", serde_json::json!({"run": "r1"}));
    assert!(
        told.contains(&KNOWN_NANO.to_string()) && told.contains("unknown_entries"),
        "{told}"
    );
    assert_eq!(house.json(&["report"])["work"]["stars"], 9);
    drop(client);
    serving.signal(nix::sys::signal::Signal::SIGTERM);
    serving.done();
}

/// Three agents worked on the one run: it is of the last class, and what doing a task writes is what the ledger says.
#[test]
fn what_is_compared_with_the_ledger_says_what_is_measured() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    let compared = house.json(&["compare", "--ledger"]);
    let tasks: Vec<&Value> = (0..3).map(|class| &compared["classes"][class]["tasks"]).collect();
    assert_eq!(tasks, [0, 0, 1]);
    let lines = compared["classes"][2]["lead"]["lines"].as_array().unwrap();
    let of_basis = |basis: &str| -> Vec<&Value> { lines.iter().filter(|line| line["basis"] == basis).collect() };
    let measured = of_basis("measured");
    assert_eq!((measured.len(), of_basis("assumed").len()), (1, 9));
    // 200 + 100 + 100 + 200 written, for four tasks.
    assert_eq!(
        (&measured[0]["what"], &measured[0]["tokens"]),
        (&"Claude implements draft".into(), &150.into())
    );
    assert_eq!(
        (&compared["rounded"], &compared["real"]["tokens"]),
        (&Value::Null, &3_800.into())
    );
    assert_eq!(compared["real"]["cost"]["unknown_entries"], 1);
    let text = house.ok(&["compare", "--ledger"]).out;
    assert!(
        text.contains("Really used: 3,800 tokens") && text.contains("1 unknown"),
        "{text}"
    );
}

/// 2,000 tokens in and 400 out cost $0.012 on Sonnet 4.6; at Opus 4.6's shipped $5 and $25 the million it is $0.02.
#[test]
fn savings_are_told_against_two_baselines_and_leave_out_what_nobody_knows() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake).with_env("COLUMNS", "80");
    let report = house.json(&["report", "--run", "r1"]);
    let savings = &report["savings"];
    assert_eq!(savings["paid_nano"], KNOWN_NANO, "{report:#}");
    assert_eq!(
        (&savings["left_out_entries"], &savings["covered_entries"]),
        (&1.into(), &1.into())
    );
    // 700 in and 100 out on Opus.
    assert_eq!(savings["covered_list_nano"], 6_000_000);
    assert_eq!(
        savings["lead"],
        Value::Null,
        "nobody planned, and the default agent names no model"
    );
    assert_eq!(savings["unpriced_models"], serde_json::json!(["mystery-1"]));
    assert_eq!(
        savings["dearest"],
        serde_json::json!({ "model": "claude-opus-4-6", "cost_nano": 20_000_000, "saved_nano": 8_000_000, "basis": "assumed" })
    );
    let named = house.json(&["report", "--lead", "claude-haiku-4-5"]);
    assert_eq!(named["savings"]["lead"]["cost_nano"], 4_000_000);
    assert_eq!(
        named["savings"]["lead"]["saved_nano"], -8_000_000,
        "a lead may be cheaper"
    );
    let nobody = house.json(&["report", "--lead", "mystery-1"]);
    assert_eq!(
        nobody["savings"]["lead"]["cost_nano"],
        Value::Null,
        "unknown is not zero"
    );
    let said = house.ok(&["report", "--lead", "claude-opus-4-6"]).out;
    let (_, said) = said.split_once("Beside two other ways").unwrap();
    assert!(said.contains("measured") && said.contains("$0.0080 (40 %)"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    house.ok(&["report", "--html", "page.html"]);
    assert!(house.read("page.html").contains("Beside two other ways"));
}

#[test]
fn the_report_of_a_run_has_its_ratings() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    assert_eq!(house.json(&["report", "--run", "r1"])["work"]["rated"], 0);
    house.ok(&["rate", "r1/a", "4", "good"]);
    house.ok(&["rate", "r1/b", "1"]);
    house.ok(&["rate", "r1/b", "3"]);
    for report in [house.json(&["report", "--run", "r1"]), house.json(&["report"])] {
        assert_eq!(
            (&report["work"]["rated"], &report["work"]["stars"]),
            (&2.into(), &7.into()),
            "{report:#}"
        );
    }
    let said = house.ok(&["report", "--run", "r1"]).out;
    assert!(said.contains("2 ratings") && said.contains("3.5/5"), "{said}");
}
