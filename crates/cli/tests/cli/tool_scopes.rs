//! Lists of tools, of agents and of roles: on the vendor's command line, in what the MCP server shows and does, in receipts.

use serde_json::{Value, json};

use crate::mcp::Client;
use crate::{House, double, until};

/// The names that the MCP server lists to this caller.
fn listed(client: &mut Client) -> Vec<String> {
    let listed = client.ask("tools/list", json!({}));
    let tools = listed["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed:#}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

fn client(house: &House) -> Client {
    let mut client = Client::new(house);
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    client.ask("initialize", hello);
    client
}

fn call(client: &mut Client, tool: &str, arguments: Value) -> Value {
    client.ask("tools/call", json!({"name": tool, "arguments": arguments}))["result"].clone()
}

#[test]
fn an_agents_list_reaches_its_vendors_command_line() {
    let house = double::house("", "printf '%s\\n' \"$*\" >> $here/line.txt\nsay done");
    let settings = house.read("wheelhouse.toml");
    house.write(
        "wheelhouse.toml",
        &format!("{settings}tools = [\"Read\", \"Grep\", \"wheelhouse:status\"]\n"),
    );
    double::run(&house, "Look.", json!({}));
    assert!(
        house.read("line.txt").contains(" --tools=Grep,Read"),
        "{}",
        house.read("line.txt")
    );
    let economy = house.ok(&["economy", "r1", "--receipts"]).out;
    assert!(
        economy.contains("tool_scope") && economy.contains("held to Grep, Read of its vendor's tools"),
        "a task of a plan has its receipt as well: {economy}"
    );
    house.write("wheelhouse.toml", &format!("{settings}tools = [\"none\"]\n"));
    double::run(&house, "Think.", json!({}));
    let lines = house.read("line.txt");
    assert!(lines.lines().nth(1).unwrap().ends_with(" --tools="), "{lines}");
    house.write(
        "wheelhouse.toml",
        &format!("{settings}tools = [\"wheelhouse:statsu\"]\n"),
    );
    let wrong = house.run(&["run", "plan.json"]);
    assert!(wrong.err.contains("did you mean `wheelhouse:status`?"), "{wrong:#?}");
    // Switched off like any layer, for a run that is to be compared.
    house.write("wheelhouse.toml", &format!("{settings}tools = [\"Read\"]\n"));
    house.ok(&["run", "plan.json", "--set", "context.off=tool_scope"]);
    assert!(!house.read("line.txt").lines().last().unwrap().contains("--tools"));
}

#[test]
fn who_cannot_be_held_to_a_list_is_not_asked() {
    let house = House::new();
    house.write(
        "wheelhouse.toml",
        "[agents.codex]\ntools = [\"shell\"]\n[agents.exec]\ntools = [\"Read\"]\n",
    );
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: a, agent: codex, prompt: x, retry: 0}\n  - {id: b, exec: 'echo fine'}\n",
    );
    house.run(&["run", "plan.yaml"]);
    let status = house.json(&["status", "r1/a"]).to_string();
    assert!(
        status.contains("the agent `codex` cannot be held to a list of its vendor's tools"),
        "{status}"
    );
    assert_eq!(house.ok(&["result", "r1/b"]).out.trim(), "fine");
}

#[test]
fn an_instance_sees_and_uses_only_the_tools_of_its_role() {
    let house = House::new();
    house.write(
        "wheelhouse.toml",
        "[roles.architect]\ntools = [\"wheelhouse:status\", \"wheelhouse:send\", \"wheelhouse:find_tools\"]\n\
         [agents.exec]\ntools = [\"wheelhouse:status\", \"wheelhouse:find_tools\", \"wheelhouse:instances\"]\n",
    );
    let _engine = house.start(&["serve"]);
    until("the engine is up", || {
        house.json(&["status"])["engine"]["running"] == true
    });
    let everything = listed(&mut client(&house));
    assert!(everything.len() > 8, "{everything:?}");
    house.ok(&["spawn", "a", "--agent", "exec", "--role", "architect"]);
    let said = house.json(&[
        "send",
        "a",
        "printf %s \"$WHEELHOUSE_TOKEN\"",
        "--wait",
        "--timeout",
        "60",
    ]);
    let token = said["messages"][0]["answer"].as_str().unwrap().to_owned();
    let house = house
        .with_env("WHEELHOUSE_TOKEN", &token)
        .with_env("WHEELHOUSE_INSTANCE", "i1");
    let mut client = client(&house);
    let mut own = listed(&mut client);
    own.sort();
    // What its agent has and its role has.
    assert_eq!(own, ["find_tools", "status"]);
    assert_ne!(call(&mut client, "status", json!({}))["isError"], true);
    let refused = call(&mut client, "spawn", json!({"name": "b"}));
    assert_eq!(refused["isError"], true, "{refused:#}");
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("`spawn` is not among the tools of your agent and role; you have find_tools, status"),
        "{text}"
    );
    let found = call(&mut client, "find_tools", json!({"query": "start another agent"}));
    assert_eq!(found["structuredContent"]["tools"], json!([]), "{found:#}");
}

#[test]
fn what_is_left_out_of_a_turn_is_in_its_receipt() {
    let house = double::house(
        "[roles.architect]\ntools = [\"Read\", \"wheelhouse:status\"]",
        "say done",
    );
    house.ok(&[
        "spawn",
        "a",
        "Look.",
        "--agent",
        "double",
        "--role",
        "architect",
        "--wait",
    ]);
    let receipts = double::reports(&house, "receipt");
    let receipts: Vec<Value> = receipts
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let receipt = receipts.iter().find(|receipt| receipt["layer"] == "tool_scope");
    let receipt = receipt.unwrap_or_else(|| panic!("{receipts:#?}"));
    let [would, sent] = ["would_tokens", "sent_tokens"].map(|key| receipt[key].as_u64().unwrap());
    assert!(would > 1_000 && sent > 20 && sent < would / 3, "{receipt}");
    assert_eq!(receipt["left_out"][0]["why"], "not in its list of tools");
}
