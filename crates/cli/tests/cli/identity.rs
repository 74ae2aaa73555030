//! What the processes of a plan's tasks may do with the command line: look, and leave notes. Everything that is a person's
//! is refused, whatever the agent tries from outside of its protocol.

use serde_json::{Value, json};

use crate::mcp::Server;
use crate::{House, until};

const EXE: &str = env!("CARGO_BIN_EXE_wheelhouse");

const GATE: &str = "name: gate\ntasks: [{id: gate, exec: 'touch gate.txt', approval: true}]\n";

/// What a person may do and an agent may not: approving (its own requests too), money, the policy, more work, other
/// people's work, tokens, and what reads or changes what is a person's.
const FORBIDDEN: [&str; 32] = [
    "approve q1",
    "deny q1",
    "answer q1 approve",
    "budget raise day 5",
    "budget set day none",
    "policy set max_instances=99 require_approval=off",
    "run gate.yaml",
    "task add more --agent exec",
    "ask something",
    "spawn helper --agent exec",
    "send bystander 'touch pwned'",
    "inbox",
    "interrupt bystander",
    "terminate bystander",
    "coordinate x --with exec",
    "team start security_audit",
    "stop --all",
    "pause r2",
    "resume r2",
    "cancel r2",
    "retry r2",
    "steer r2/gate x",
    "rate r2/gate 5",
    "merge r2/gate",
    "discard r2/gate",
    "token --scope admin",
    "serve --until-idle",
    "init",
    "gc",
    "memory keep m0",
    "install claude --yes",
    "doctor --probe",
];
const ALLOWED: [&str; 9] = [
    "status",
    "status r2",
    "events --run r2",
    "instances",
    "policy show",
    "budget",
    "answer",
    "audit",
    "memory add 'The gate is shut'",
];

/// A project with a question that nobody has answered, an instance that does nothing, and an agent that runs commands.
fn house() -> House {
    let house = House::new();
    let agent = wheelhouse_testkit::script::acp_agent();
    house.write(
        "wheelhouse.toml",
        &format!("[agents.hands]\nbackend = \"acp\"\ncommand = \"{}\"\n", agent.display()),
    );
    house.write("gate.yaml", GATE);
    house.ok(&["spawn", "bystander", "--agent", "exec"]);
    assert_eq!(house.run(&["run", "gate.yaml"]).code, Some(3));
    house
}

/// Has a task's agent do that with a shell, a command a line; the exit codes and what was said.
fn tried(house: &House, agent: &str, commands: &[String]) -> Vec<(String, String)> {
    let lines: String = commands
        .iter()
        .enumerate()
        .map(|(n, command)| format!("$ {{ {command}; }} > {n}.said 2>&1 < /dev/null; echo $? > {n}.code\n"))
        .collect();
    let task = match agent {
        "exec" => json!({ "id": "try", "exec": lines.replace("$ {", "{") }),
        agent => json!({ "id": "try", "agent": agent, "prompt": lines }),
    };
    house.write("try.json", &json!({ "name": "try", "tasks": [task] }).to_string());
    house.ok(&["run", "try.json"]);
    let both = |n| {
        (
            house.read(&format!("{n}.code")).trim().to_owned(),
            house.read(&format!("{n}.said")),
        )
    };
    (0..commands.len()).map(both).collect()
}

fn nothing_was_changed(house: &House, runs: usize) {
    let questions = house.json(&["answer"])["questions"].clone();
    assert_eq!(questions[0]["id"], "q1", "it is open still: {questions}");
    assert_eq!(house.json(&["status", "r2/gate"])["task"]["state"], "held");
    assert_eq!(house.json(&["policy", "show"])["policy"]["max_instances"], 10);
    assert_eq!(house.json(&["budget"])["budgets"], json!([]));
    let all = house.json(&["instances", "--all"])["instances"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((&all[0]["state"], &all[0]["turns"]), (&json!("idle"), &json!(0)));
    let next = format!("r{}", runs + 1);
    assert_eq!(house.run(&["status", &next]).code, Some(5), "no run was added");
}

#[test]
fn a_tasks_agent_is_known_by_its_environment_and_may_look_and_no_more() {
    let house = house();
    let with_exe = |words: &&str| format!("{EXE} {words}");
    let forbidden: Vec<String> = FORBIDDEN.iter().map(with_exe).collect();
    for agent in ["hands", "exec"] {
        for (command, (code, said)) in FORBIDDEN.iter().zip(tried(&house, agent, &forbidden)) {
            assert_eq!(code, "6", "{agent}: {command}: {said}");
            assert!(
                said.contains("a process of the task r") && said.contains("/try, which may look"),
                "{command}: {said}"
            );
        }
    }
    let allowed: Vec<String> = ALLOWED.iter().map(with_exe).collect();
    for (command, (code, said)) in ALLOWED.iter().zip(tried(&house, "hands", &allowed)) {
        assert_eq!(code, "0", "{command}: {said}");
    }
    let notes = house.json(&["memory", "list", "--waiting"])["notes"].clone();
    assert_eq!(
        (&notes[0]["by"], &notes[0]["trust"]),
        (&json!("r5/try"), &json!("claimed")),
        "{notes}"
    );
    nothing_was_changed(&house, 5);
    // A token of somebody else makes it nobody else; taken away or forged it is a task's process still.
    let tricks = [
        format!("env -u WHEELHOUSE_TOKEN {EXE} approve q1"),
        format!("env -u WHEELHOUSE_RUN {EXE} approve q1"),
        format!("env -i {EXE} approve q1"),
        format!("env -i HOME=/nowhere sh -c '{EXE} token --scope admin'"),
        format!("env WHEELHOUSE_TOKEN=whi_1_00 {EXE} approve q1"),
        format!("env WHEELHOUSE_TOKEN=whi_1_00 {EXE} send i1 'touch pwned'"),
        format!("env WHEELHOUSE_TOKEN=x WHEELHOUSE_INSTANCE=i1 {EXE} send i1 'touch pwned'"),
    ];
    for (trick, (code, said)) in tricks.iter().zip(tried(&house, "hands", &tricks)) {
        assert_eq!(code, "6", "{trick}: {said}");
    }
    nothing_was_changed(&house, 6);
    // What the hook of a lead's session prints is not for one of the crew.
    let hook = tried(&house, "hands", &[format!("{EXE} status --quiet")]);
    assert_eq!(hook, [("0".to_owned(), String::new())]);
    assert!(house.ok(&["status", "--quiet"]).out.contains("q1"));
    // A person is one again as soon as nobody is in between.
    house.ok(&["approve", "q1"]);
}

#[test]
fn an_instance_leads_its_crew_and_nothing_else() {
    let house = house();
    let told = |command: &str| {
        let line = format!("{EXE} {command} 2>&1; echo rc=$?");
        let document = house.json(&["send", "bystander", &line, "--wait", "--timeout", "60"]);
        document["messages"][0]["answer"].as_str().unwrap().to_owned()
    };
    for command in [
        "approve q1",
        "cancel r2",
        "run gate.yaml",
        "token --scope admin",
        "merge r2/gate",
        "budget raise day 5",
    ] {
        let said = told(command);
        assert!(
            said.contains("a process of instance i1") && said.ends_with("rc=6\n"),
            "{command}: {said}"
        );
    }
    assert!(told("spawn helper --agent rehearsal").ends_with("i2\nrc=0\n"));
    // Some agents keep variables with such names from what they start: that makes nobody a person.
    let said = told("--version >/dev/null; env -u WHEELHOUSE_TOKEN true");
    assert!(said.ends_with("rc=0\n"), "{said}");
    let line = format!("env -u WHEELHOUSE_TOKEN {EXE} spawn second --agent exec 2>&1; echo rc=$?");
    let document = house.json(&["send", "bystander", &line, "--wait"]);
    let said = document["messages"][0]["answer"].as_str().unwrap();
    assert!(said.contains("without its token") && said.ends_with("rc=6\n"), "{said}");
}

#[test]
fn a_tasks_agent_that_starts_our_mcp_server_may_look() {
    let house = house();
    let _engine = house.start(&["serve", "--listen", "127.0.0.1:0"]);
    let _server = Server(&house);
    until("it is served", || {
        house.project().join(".wheelhouse/serve.json").exists()
    });
    let message = |id: u64, method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
    };
    let able =
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let call =
        |id, tool: &str, arguments: Value| message(id, "tools/call", json!({ "name": tool, "arguments": arguments }));
    let lines = [
        message(0, "initialize", able),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string(),
        call(1, "answer", json!({ "question": "q1", "answer": "approve" })),
        call(2, "spawn", json!({ "name": "helper", "agent": "exec" })),
        call(3, "run", json!({ "plan": GATE })),
        call(4, "status", json!({})),
    ];
    house.write("messages", &format!("{}\n", lines.join("\n")));
    // As some agents start them: with next to nothing in the environment.
    let (code, said) = tried(&house, "exec", &[format!("env -i {EXE} mcp < messages")]).remove(0);
    assert_eq!(code, "0", "{said}");
    let answers: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let answer = |id: u64| {
        answers
            .iter()
            .find(|answer| answer["id"] == id)
            .unwrap_or_else(|| panic!("{said}"))
    };
    for id in 1..=3 {
        let words = answer(id).to_string();
        assert!(words.contains("that needs `operate`"), "{words}");
    }
    assert!(answer(4)["result"]["structuredContent"].is_object(), "{said}");
    nothing_was_changed(&house, 3);
}
