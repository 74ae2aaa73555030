//! After one run with everything in it (a model behind an API, an instance that leads, agents and commands, an isolated
//! tree, notifications, MCP and HTTP with tokens) no secret lies where it was not put, and none was an argument.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::isolation::git;
use crate::mcp::Client;
use crate::models::{contains, search};
use crate::notices::{next, webhook};
use crate::serve::{ask, serve};
use crate::{House, until};

/// Where each comes from; what its value is.
const SECRETS: [(&str, &str); 4] = [
    ("the key of an API", "sk-of-the-api-4711"),
    ("a variable that is passed on", "passed-on-4712"),
    ("a variable of an agent", "of-the-agent-4713"),
    ("the address of a webhook", "hook-4714"),
];

const PLAN: &str = r#"
name: everything
tasks:
  - {id: model, agent: model, prompt: "Wait."}
  - {id: hands, agent: lead, prompt: "$ until [ -e go ]; do sleep 0.02; done"}
  - {id: shell, exec: "printenv PASSED | wc -c; until [ -e go ]; do sleep 0.02; done"}
  - {id: tree, exec: "printenv PASSED | wc -c > counted.txt", isolation: worktree}
  - {id: refused, agent: model, prompt: "[[fault:401]]", on_failure: continue}
"#;

fn house(fake: &ModelApi, webhook: &TcpListener) -> House {
    let [(_, key), (_, passed), (_, own), (_, hook)] = SECRETS;
    let house = House::new().with_env("A_KEY", key).with_env("PASSED", passed);
    let agent = wheelhouse_testkit::script::acp_agent();
    house.write(
        "wheelhouse.toml",
        &format!(
            "parallel_max = 20\nenv.pass = [\"PATH\", \"HOME\", \"PASSED\"]\n[notify]\nwebhook = \"http://{}/{hook}\"\ncommand = \"cat >> told.jsonl\"\n\
             [agents.model]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"claude-x\"\nkey_env = \"A_KEY\"\n\
             [agents.lead]\nbackend = \"acp\"\ncommand = \"{}\"\nenv.OWN = \"{own}\"\nenv.ACP_JOURNAL = \"{}\"\n",
            webhook.local_addr().unwrap(),
            fake.base_url(),
            agent.display(),
            house.home().display()
        ),
    );
    house.write("plan.yaml", PLAN);
    house.write("README.md", "a project\n");
    for words in [
        &["init", "-q", "-b", "main"][..],
        &["add", "README.md"],
        &["commit", "-q", "-m", "start"],
    ] {
        git(&house, words);
    }
    house
}

/// The command lines of all processes.
fn arguments() -> Vec<u8> {
    let read = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let all: Vec<Vec<u8>> = fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect();
    all.concat()
}

/// The token of an instance, from a place that only this test knows.
fn instance_token(house: &House) -> String {
    let place = house.home().join("token");
    let words = format!("$ printenv WHEELHOUSE_TOKEN > {}", place.display());
    house.ok(&["send", "lead", &words, "--wait", "--timeout", "60"]);
    let token = fs::read_to_string(&place).unwrap().trim().to_owned();
    fs::remove_file(&place).unwrap();
    token.rsplit('_').next().unwrap().to_owned()
}

#[test]
fn no_secret_is_left_anywhere_after_a_run_with_everything_in_it() {
    let wait = Reply {
        hold: Some("gate".to_owned()),
        ..Reply::text("I have waited.")
    };
    let fake = ModelApi::start(Script::new().rule(Rule::any().says("Wait.").reply(wait))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = house(&fake, &listener);
    let told = webhook(listener, vec![Some(204)]);
    let (_serving, url) = serve(&house);
    house.write(
        "servers.json",
        r#"{"mcpServers": {"z-tools": {"command": "/bin/true", "args": [], "env": {}, "inherit": ["PASSED"]}}}"#,
    );
    house.ok(&["spawn", "lead", "--agent", "lead", "--mcp", "servers.json"]);
    next(&told);
    let mut secrets: Vec<(String, String)> = SECRETS.map(|(what, value)| (what.to_owned(), value.to_owned())).into();
    for scope in ["read", "operate", "admin"] {
        let token = house.ok(&["token", "--scope", scope]).out.trim().to_owned();
        assert_eq!(ask(&url, "GET", "/api/v1/instances", &token, "").0, 200);
        secrets.push((format!("the token to {scope}"), token));
    }
    secrets.push(("the token of an instance".to_owned(), instance_token(&house)));
    // Everything is under way at the same time: models, agents, commands, our MCP server below an agent, a client.
    let plan = house.start(&["run", "plan.yaml"]);
    house.ok(&["spawn", "below", "hold", "--agent", "lead", "--parent", "lead"]);
    let call = json!({ "to": "below", "message": "x", "seconds": 90 });
    house.ok(&["send", "lead", &format!("> send {call}")]);
    let mut client = Client::new(&house);
    client.begin();
    fake.wait_until(crate::DEADLINE, |turns| turns.iter().any(|turn| turn.prompt == "Wait."))
        .unwrap();
    house.until_task("r2/shell", "running");
    house.until_task("r2/hands", "running");
    until("our MCP server runs below the lead", || {
        let all = String::from_utf8_lossy(&arguments()).into_owned();
        all.contains(&format!("{}\0mcp", house.project().join(".wheelhouse").display()))
    });
    let lines = arguments();
    for (what, value) in &secrets {
        assert!(!contains(&lines, value), "{what} is an argument of a process");
    }
    house.write("go", "");
    fake.release("gate");
    let ran = plan.done();
    house.ok(&["stop", "--all"]);
    until("all are over", || house.json(&["instances"])["instances"] == json!([]));
    let mut said = format!("{}{}", ran.out, ran.err);
    for words in [
        &["status", "--json"][..],
        &["status", "r2", "--json"],
        &["events", "--json"],
        &["audit", "--json"],
        &["audit", "--messages", "--json"],
        &["instances", "--all", "--json"],
        &["output", "i1", "--json"],
        &["logs", "r2/model"],
        &["logs", "r2/hands"],
        &["logs", "r2/shell"],
        &["result", "r2/refused", "--json"],
        &["report", "r2"],
        &["report"],
        &["economy", "r2"],
        &["doctor"],
    ] {
        let done = house.run(words);
        said.push_str(&done.out);
        said.push_str(&done.err);
    }
    let operate = &secrets[5].1;
    for path in [
        "/api/v1/events",
        "/api/v1/instances",
        "/api/v1/runs/r2",
        "/api/v1/policy",
        "/metrics",
        "/health",
    ] {
        said.push_str(&ask(&url, "GET", path, operate, "").1);
    }
    assert!(said.contains("HTTP 401") && said.contains("counted.txt"), "{said}");
    let (mut searched, mut put, mut places) = (0, 0, Vec::new());
    for top in [house.project(), house.home()] {
        search(&top, &mut |path, bytes| {
            searched += 1;
            // Where they were put: the configuration, and the file that tokens of people come from.
            let is_own = path.ends_with("wheelhouse.toml") || path.ends_with(".wheelhouse/token");
            for (what, _) in secrets.iter().filter(|(_, value)| contains(bytes, value)) {
                match is_own {
                    true => put += 1,
                    false => places.push(format!("{what} is in {}", path.display())),
                }
            }
        });
    }
    assert!(places.is_empty(), "{places:#?}");
    assert!(put > 0, "what was put into the configuration is found there");
    assert!(
        searched > 40,
        "the state, the trees and the logs were searched: {searched}"
    );
    for (what, value) in &secrets {
        assert!(!said.contains(value), "{what} was said");
    }
    for name in ["", "token", "token.key"] {
        let path = house.project().join(".wheelhouse").join(name);
        let mode = fs::metadata(&path)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} is its owner's alone: {mode:o}");
    }
}
