//! Every layer of docs/economy.md by one table: it acts in a run, its receipt is in `wheelhouse economy`, and it can be
//! switched off for all agents and for one. And the same layers in the turns of instances, over MCP.

use serde_json::{Value, json};
use wheelhouse_context::receipt::Layer;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::mcp::{Client, Server};
use crate::{House, double};

/// What the agent does: it says that it read a prompt in a file, calls a tool, and is done.
const PLAY: &str = r#"tool t1 Read file_path a.rs
came t1 read
case "$got" in
  *'PROMPT READ '*) mark=$(printf '%s' "$got" | sed 's/.*PROMPT READ \([0-9a-f]*\).*/\1/'); say "Done.\\nPROMPT READ $mark" ;;
  *) say done ;;
esac"#;

/// One layer: the tasks of which the last is the agent's, settings of the agent, and what is on the command line always.
struct Row {
    layer: Layer,
    tasks: Value,
    agent: &'static str,
    set: Option<&'static str>,
    off_too: Option<&'static str>,
}

fn row(layer: Layer, tasks: Value) -> Row {
    Row {
        layer,
        tasks,
        agent: "",
        set: None,
        off_too: None,
    }
}

/// One task of the agent with these words.
fn fix(prompt: &str) -> Value {
    json!({"id": "fix", "agent": "double", "prompt": prompt, "retry": {"max": 0}})
}

/// What another task prints, and a prompt that has it.
fn after(exec: &str, prompt: &str) -> Value {
    let mut fix = fix(prompt);
    fix["needs"] = json!(["before"]);
    json!([{"id": "before", "exec": exec}, fix])
}

fn with(mut task: Value, keys: Value) -> Value {
    let (Value::Object(task), Value::Object(keys)) = (&mut task, keys) else {
        panic!("a task is an object");
    };
    task.extend(keys);
    json!([task])
}

const ROWS: &str = "seq -f 'row %g of the long answer' 1 4000";
const TABLE: &str = r#"printf '['; for n in $(seq 1 60); do printf '{ "id": %s, "name": "item %s" },' $n $n; done; printf '{ "id": 61, "name": "x" }]'"#;
const VERDICT: &str = "printf -- '--- VERDICT ---\\nSTATUS: pass\\nFILES: 0 changed\\nFINDINGS: 0 (P0: 0, P1: 0, P2: 0)\\nSUMMARY: fine\\n---\\n'";
const FAILS_ONCE: &str = "test -e ok && rm ok || { touch ok; exit 1; }";

/// The layers of a run that one agent's task shows.
fn rows() -> Vec<Row> {
    let again = || {
        with(
            fix("Make it right."),
            json!({"verify": [FAILS_ONCE], "retry": {"max": 1}}),
        )
    };
    let mut stream = after(ROWS, "Add them up.");
    stream[1]["stdin"] = json!("before");
    let mut skip = after("echo SCORE: 9", "Write it anew.");
    skip[1]["skip_if"] = json!("before.score >= 8");
    let mut shortcut = after(
        "printf 'pear\\napple\\npear\\n'",
        "Sort the lines and remove duplicates.\n{{ tasks.before.result }}",
    );
    shortcut[1]["shortcut"] = json!("auto");
    vec![
        row(Layer::HandOver, after(ROWS, "Judge: {{ tasks.before.result }}")),
        row(Layer::Summary, after(ROWS, "Judge: {{ tasks.before.summary }}")),
        row(
            Layer::VerdictFilter,
            after(VERDICT, "Judge: {{ tasks.before.verdict }}"),
        ),
        row(Layer::Encoding, after(TABLE, "Judge: {{ tasks.before.result }}")),
        Row {
            set: Some("context.prompt_tokens=100"),
            ..row(Layer::FileIndirection, json!([fix(&"Do it with care. ".repeat(100))]))
        },
        Row {
            agent: "context.instructions = [\"AGENTS.md\"]",
            ..row(Layer::Instructions, json!([fix("Work.")]))
        },
        Row {
            agent: "context.skills = [\"./style.md\"]",
            ..row(Layer::Skills, json!([fix("Work.")]))
        },
        Row {
            agent: "context.reads = [\"latency\"]",
            ..row(Layer::Slicing, after("cat spec.md", "Judge: {{ tasks.before.result }}"))
        },
        row(Layer::Retrieval, json!([fix("Make src/lease.rs renew twice.")])),
        row(Layer::Memory, json!([fix("Make the integration tests green.")])),
        row(
            Layer::Blueprint,
            with(fix("Build it."), json!({"documents": ["gate.md"]})),
        ),
        row(Layer::Stream, stream),
        row(Layer::Shortcut, shortcut),
        row(Layer::Skip, skip),
        row(Layer::Delta, again()),
        Row {
            off_too: Some("delta"),
            ..row(Layer::Trail, again())
        },
    ]
}

/// Layers whose use, receipt and switch other tests have seen; what cannot be switched has its reason in the error.
const ELSEWHERE: [(Layer, &str); 10] = [
    (Layer::Compression, "compression"),
    (Layer::Compaction, "conversation::older_turns_become_a_summary"),
    (Layer::Dropout, "reviews::who_says_what_the_others_say"),
    (Layer::Triage, "reviews"),
    (Layer::ToolScope, "tool_scopes"),
    (Layer::Patches, "patches::a_model_without_tools_changes_files"),
    (Layer::Projection, "tool_servers"),
    (Layer::Reduction, "tool_servers"),
    (Layer::SchemaPruning, "tool_servers"),
    (Layer::ToolDiscovery, "tool_servers"),
];

fn house(agent: &str) -> House {
    let house = double::house("", PLAY);
    let settings = house
        .read("wheelhouse.toml")
        .replace("packet = \"off\"", "packet = \"on\"");
    house.write("wheelhouse.toml", &format!("{settings}{agent}\n"));
    house.write("AGENTS.md", "House rule: be brief.\n");
    house.write("style.md", "---\nname: style\n---\nWrite short sentences.\n");
    house.write(
        "src/lease.rs",
        "/// Renews.\npub fn renew(lease: u32) -> u32 {\n    lease + 1\n}\n",
    );
    let part = |name: &str, word: &str| format!("## {name}\n{word}\n{}", "More of the same.\n".repeat(80));
    let parts = [
        part("Storage", "tables"),
        part("Speed", "latency"),
        part("Screens", "colours"),
    ];
    house.write("spec.md", &parts.concat());
    let prose = "It was a long day at the gate and nobody wrote down why. ".repeat(40);
    house.write(
        "gate.md",
        &format!("# Gate\n\n{}- The gate must open.\n", format!("{prose}\n\n").repeat(8)),
    );
    house.ok(&[
        "memory",
        "add",
        "Integration tests need the staging queue: `just queue`",
    ]);
    house
}

/// The layers that left a receipt in that run.
fn used(house: &House, run: &str) -> Vec<String> {
    let document = house.json(&["economy", run]);
    let all = document["layers"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    all.iter()
        .map(|one| one["layer"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_layer_acts_leaves_its_receipt_and_can_be_switched_off_for_all_and_for_one() {
    let rows = rows();
    let covered: Vec<Layer> = rows
        .iter()
        .map(|row| row.layer)
        .chain(ELSEWHERE.map(|(layer, _)| layer))
        .collect();
    let missing: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| !covered.contains(layer))
        .collect();
    assert_eq!(missing, [], "a layer that no test has seen");
    for Row {
        layer,
        tasks,
        agent,
        set,
        off_too,
    } in rows
    {
        let (name, house) = (layer.name(), house(agent));
        house.write("plan.json", &json!({"name": "p", "tasks": tasks}).to_string());
        let run = |number: &str, off: &str, of: &str| {
            let off = [off_too.unwrap_or_default(), off].join(",");
            let off = format!("{of}context.off={}", off.trim_matches(','));
            let sets = [off.as_str()].into_iter().filter(|off| !off.ends_with('=')).chain(set);
            let words: Vec<&str> = ["run", "plan.json"]
                .into_iter()
                .chain(sets.flat_map(|set| ["--set", set]))
                .collect();
            let done = house.json(&words);
            assert_eq!(done["run"]["all_succeeded"], true, "{name}: {done:#}");
            used(&house, number)
        };
        let on = run("r1", "", "");
        assert!(on.iter().any(|used| used == name), "{name}: {on:?}");
        for (number, of) in [("r2", ""), ("r3", "agents.double.")] {
            let off = run(number, name, of);
            assert!(
                off.iter().all(|used| used != name),
                "{name} is on with {of}context.off: {off:?}"
            );
        }
        let text = house.ok(&["economy", "r1", "--receipts"]).out;
        assert!(text.contains(&format!("{name} of ")), "{text}");
    }
}

#[test]
fn what_cannot_be_switched_off_says_what_switches_it() {
    let house = House::new();
    house.write("plan.yaml", "tasks: [{id: a, exec: 'true'}]");
    let refused = house.run(&["run", "plan.yaml", "--set", "context.off=patches"]);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    for said in ["layer `patches` is not switched by `context.off`", "`edits` of a task"] {
        assert!(refused.err.contains(said), "{refused:#?}");
    }
}

#[test]
fn turns_of_instances_over_mcp_have_the_layers_too() {
    let house = house("context.instructions = [\"AGENTS.md\"]\ncontext.skills = [\"style.md\"]");
    let _server = Server(&house);
    let mut client = Client::new(&house);
    client.begin();
    let mut call = |tool: &str, arguments: Value| {
        let called = client.ask("tools/call", json!({"name": tool, "arguments": arguments}));
        assert!(called["result"]["isError"] != true, "{called:#}");
    };
    call("spawn", json!({"name": "hands", "agent": "double"}));
    let words = "Make the integration tests in src/lease.rs green.";
    call("send", json!({"to": "hands", "message": words, "seconds": 60}));
    let told = double::told(&house).concat();
    for given in [
        "be brief",
        "Write short sentences",
        "staging queue",
        "pub fn renew",
        words,
    ] {
        assert!(told.contains(given), "{given}: {told}");
    }
    assert!(!told.contains("name: style"), "{told}");
    let used = used(&house, "r1");
    for layer in ["instructions", "skills", "memory", "retrieval"] {
        assert!(used.iter().any(|used| used == layer), "{layer}: {used:?}");
    }
}

const SECTIONS: &str = "cat spec.md";

#[test]
fn an_agent_that_cannot_open_files_asks_for_a_part_and_is_given_it() {
    let rule = Rule::any()
        .counted_together()
        .reply(Reply::text(
            "I need more.\nRequest full section: `Storage`\nRequest full section: Nowhere",
        ))
        .reply(Reply::text("Fine."));
    let fake = ModelApi::start(Script::new().rule(rule)).unwrap();
    let agent = format!(
        "[agents.blind]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey_env = \"A_KEY\"\n\
         context.reads = [\"latency\"]\n",
        fake.base_url()
    );
    let house = house(&agent).with_env("A_KEY", "sk-x");
    let plan = |retry: u32| {
        let mut tasks = after(SECTIONS, "Judge: {{ tasks.before.result }}");
        (tasks[1]["agent"], tasks[1]["retry"]) = (json!("blind"), json!({"max": retry}));
        json!({"name": "p", "tasks": tasks}).to_string()
    };
    house.write("plan.json", &plan(1));
    let run = house.json(&["run", "plan.json"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    let turns = fake.turns();
    let (first, second) = (&turns[0].prompt, &turns[1].prompt);
    assert!(
        first.contains("- **Storage**: tables") && first.contains("write `Request full section: NAME`"),
        "{first}"
    );
    assert!(
        !first.contains("## Storage") && !first.contains("the whole is at"),
        "{first}"
    );
    assert!(
        second.contains("## Storage\ntables") && second.contains("- **Screens**: colours"),
        "{second}"
    );
    let task = house.json(&["status", "r1/fix"]);
    assert_eq!(task["attempts"][0]["outcome"]["class"], "malformed", "{task:#}");
    assert_eq!(house.ok(&["result", "r1/fix"]).out.trim(), "Fine.");
    // Where no further try is left, what it said counts.
    fake.reset();
    house.write("plan.json", &plan(0));
    let run = house.json(&["run", "plan.json"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(fake.turns().len(), 1);
}
