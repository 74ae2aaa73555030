//! Instances that lead a crew of their own: Wheelhouse as their MCP server, their token, the limits, and what is where.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{House, Running, until};

/// A project with an agent that calls the MCP server it is given as its prompt says.
fn house() -> House {
    let house = House::new();
    let agent = wheelhouse_testkit::script::acp_agent();
    house.write(
        "wheelhouse.toml",
        // With a journal each of its sessions has a name of its own.
        &format!(
            "[agents.lead]\nbackend = \"acp\"\ncommand = \"{}\"\nenv.ACP_JOURNAL = \"{}\"\n",
            agent.display(),
            house.home().display()
        ),
    );
    house
}

fn serve(house: &House) -> Running {
    let engine = house.start(&["serve", "--listen", "127.0.0.1:0"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    engine
}

/// One call of a tool, as the agent's prompt has it.
fn call(tool: &str, arguments: &Value) -> String {
    format!("> {tool} {arguments}")
}

fn answer(house: &House, instance: &str, prompt: &str) -> String {
    let document = house.json(&["send", instance, prompt, "--wait", "--timeout", "60"]);
    document["messages"][0]["answer"]
        .as_str()
        .unwrap_or_else(|| panic!("{document:#}"))
        .to_owned()
}

fn instances(house: &House) -> Vec<Value> {
    house.json(&["instances"])["instances"].as_array().unwrap().clone()
}

#[test]
fn a_child_leads_its_own_crew_and_its_parent_sees_what_came_of_it() {
    let house = house();
    let _engine = serve(&house);
    // Three levels: each spawns the next and waits for its answer; the deepest says one word.
    let deepest = serde_json::json!({"name": "c", "agent": "lead", "prompt": "ready"});
    let ask = |to: &str, words: &str| call("send", &serde_json::json!({"to": to, "message": words, "seconds": 60}));
    let middle = format!("{}\n{}", call("spawn", &deepest), ask("c", "hello"));
    let middle = serde_json::json!({"name": "b", "agent": "lead", "prompt": middle});
    let top = format!("{}\n{}", call("spawn", &middle), ask("b", &ask("c", "again")));
    house.ok(&["spawn", "a", "--agent", "lead"]);
    let said = answer(&house, "a", &top);
    assert!(said.contains("again"), "the answer of the third came up: {said}");
    let all = instances(&house);
    let tree: Vec<(&str, &str, u64)> = all
        .iter()
        .map(|view| {
            (
                view["name"].as_str().unwrap(),
                view["parent"].as_str().unwrap_or("-"),
                view["depth"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(tree, [("a", "-", 0), ("b", "i1", 1), ("c", "i2", 2)]);
    // What it may use is listed, and nothing else costs it tokens.
    let tools = answer(&house, "a", "> tools/list");
    assert!(tools.contains("spawn,send,instances"), "{tools}");
    assert!(!tools.contains("run") && !tools.contains("policy"), "{tools}");
    // What is a person's is refused whatever is listed, and a child stays below its parent.
    for (tool, arguments) in [
        (
            "run",
            serde_json::json!({"plan": "{name: x, tasks: [{id: a, exec: id}]}"}),
        ),
        ("terminate", serde_json::json!({"instances": ["i1"]})),
        ("answer", serde_json::json!({"question": "q1", "answer": "yes"})),
    ] {
        let refused = answer(&house, "b", &call(tool, &arguments));
        assert!(
            refused.contains("may only touch instances below itself") || refused.contains("error"),
            "{tool}: {refused}"
        );
    }
    assert_eq!(instances(&house).len(), 3, "nobody was ended");
}

#[test]
fn the_limits_hold_for_what_instances_spawn() {
    let house = house();
    house.ok(&["policy", "set", "depth_max=1", "live_max=4"]);
    let _engine = serve(&house);
    house.ok(&["spawn", "a", "--agent", "lead"]);
    let spawn = |name: &str| call("spawn", &serde_json::json!({"name": name, "agent": "lead"}));
    answer(&house, "a", &spawn("b"));
    let deep = answer(&house, "b", &spawn("c"));
    assert!(
        deep.contains("there is no server"),
        "at the deepest level nobody leads: {deep}"
    );
    let refused = answer(&house, "a", &[spawn("c"), spawn("d"), spawn("e")].join("\n"));
    assert!(refused.contains("`live_max` of the policy"), "{refused}");
    house.ok(&["policy", "set", "depth_max=0"]);
    assert!(answer(&house, "a", &spawn("x")).contains("there is no server"));
}

#[test]
fn servers_and_variables_are_a_persons_to_give() {
    let house = house();
    let _engine = serve(&house);
    let servers = r#"{"mcpServers": {"tools": {"command": "/bin/true", "env": {"KEY": "of-the-server"}}}}"#;
    house.write("servers.json", servers);
    house.ok(&["spawn", "a", "--agent", "lead", "--mcp", "servers.json"]);
    let exe = env!("CARGO_BIN_EXE_wheelhouse");
    let told = |command: &str| {
        house.write("told.txt", "");
        answer(&house, "a", &format!("$ {command} > told.txt 2>&1"));
        house.read("told.txt")
    };
    let passed = told(&format!("{exe} spawn b --agent lead --mcp servers.json"));
    assert_eq!(passed, "i2\n", "what it was given itself it may pass on");
    house.write("servers.json", &servers.replace("/bin/true", "/bin/sh"));
    let refused = told(&format!("{exe} spawn c --agent lead --mcp servers.json"));
    assert!(
        refused.contains("i1 may not give a child the MCP server `tools`"),
        "{refused}"
    );
    house.write("servers.json", &servers.replace("tools", "wheelhouse"));
    let ours = house.run(&["spawn", "d", "--agent", "lead", "--mcp", "servers.json"]);
    assert_eq!(ours.code, Some(6), "{ours:#?}");
    // An agent that takes none says so instead of doing without.
    house.write("servers.json", servers);
    let shell = house.run(&[
        "spawn",
        "e",
        "echo hi",
        "--agent",
        "exec",
        "--mcp",
        "servers.json",
        "--wait",
    ]);
    assert_eq!(shell.code, Some(1), "{shell:#?}");
    let said = format!("{}{}", shell.out, shell.err);
    assert!(said.contains("takes no MCP servers"), "{said}");
}

/// Every file below a directory that holds this.
fn files_with(dir: &Path, mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_with(&path, mark));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Every process whose command line holds this.
fn commands_with(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

#[test]
fn no_token_is_in_a_file_an_event_or_a_command_line() {
    let house = house();
    let _engine = serve(&house);
    house.ok(&["spawn", "a", "--agent", "lead"]);
    // The token goes to a place outside the project, as only the test can look for it there; the turn then stays open.
    let place = house.home().join("token");
    answer(
        &house,
        "a",
        &format!("$ printenv WHEELHOUSE_TOKEN > {}", place.display()),
    );
    let token = fs::read_to_string(&place).unwrap().trim().to_owned();
    fs::remove_file(&place).unwrap();
    assert!(token.starts_with("whi_1_"), "{token}");
    let proof = token.rsplit('_').next().unwrap();
    let child = serde_json::json!({"name": "b", "agent": "lead", "prompt": "hold"});
    let spawned = answer(&house, "a", &call("spawn", &child));
    assert!(spawned.contains("i2"), "{spawned}");
    house.ok(&[
        "send",
        "a",
        &call("send", &serde_json::json!({"to": "b", "message": "x", "seconds": 90})),
    ]);
    let running = || house.json(&["instances", "a"])["instances"][0]["state"] == "busy";
    until("both are at work", || {
        running() && instances(&house)[1]["state"] == "busy"
    });
    until("its MCP server runs", || {
        commands_with("mcp").iter().any(|line| line.contains("--state-dir"))
    });
    assert_eq!(commands_with(proof), Vec::<String>::new());
    assert_eq!(files_with(&house.project(), proof), Vec::<String>::new());
    let events = house.ok(&["events", "--json"]).out + &house.ok(&["audit", "--json"]).out;
    assert!(!events.contains(proof), "{events}");
    house.ok(&["stop", "--all"]);
    until("all are over", || instances(&house).is_empty());
    assert_eq!(files_with(&house.project(), proof), Vec::<String>::new());
}

#[test]
fn an_engine_without_a_server_starts_one_for_instances() {
    let house = house();
    // Nobody serves: the engine that the command leaves in the background has no HTTP of its own.
    house.ok(&["spawn", "a", "--agent", "lead"]);
    let said = answer(
        &house,
        "a",
        &call("spawn", &serde_json::json!({"name": "b", "agent": "lead"})),
    );
    assert!(said.contains("i2"), "{said}");
    let told: Value = serde_json::from_str(&house.read(".wheelhouse/serve.json")).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(told["pid"].as_i64().unwrap()).unwrap());
    // It is no part of the instance's turn: it is there when the turn is over.
    assert!(nix::sys::signal::kill(pid, None).is_ok());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
}
