//! The ways of working that users were promised, each as a scripted demonstration: a user talks to a real Claude Code
//! (MCP over HTTP) or a real Codex (stdio), which leads a crew of real agents and models. The fake model plays all of them;
//! what is looked at is what the engine did, in its documents, and what the lead's model was told of it. docs/demonstrations.md
//! says what each shows. Run by hand: `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-cli --test real_demonstrations --
//! --ignored`, where `DIR/node_modules/.bin` has the programs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::fs;
use std::process::Output;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wheelhouse_testkit::model_api::{Attempt, Finished, Reply, Rule, Script, Vendor};

mod real;

use real::{Engine, House, PATIENCE, wait_for};

/// Whom the user talks to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Lead {
    /// Claude Code over HTTP.
    Claude,
    /// Codex over stdio.
    Codex,
}

/// A project with an engine that serves, and a lead that Wheelhouse was installed into.
struct Stage {
    house: House,
    engine: Engine,
    lead: Lead,
    /// The lead's session, once it has one.
    session: Option<String>,
}

impl Stage {
    fn new(lead: Lead, script: Script) -> Stage {
        Stage::with(lead, House::new(script), "")
    }

    /// With more in its configuration.
    fn with(lead: Lead, house: House, more: &str) -> Stage {
        let place = house.project().join("wheelhouse.toml");
        let url = house.api.openai_url();
        let model = |name: &str| {
            format!(
                "[agents.{name}]\nbackend = \"api\"\napi = \"openai-chat\"\nbase_url = \"{url}\"\nkey_env = \"OPENAI_API_KEY\"\n\
                 model = \"{name}-model\"\n"
            )
        };
        let settings = fs::read_to_string(&place).unwrap();
        let settings = format!(
            "serve.toolset = \"full\"\n{settings}{}{}{more}",
            model("quick"),
            model("small")
        );
        fs::write(place, settings).unwrap();
        let engine = Engine::start(&house, &["serve", "--listen", "127.0.0.1:0"], None);
        let mut stage = Stage {
            house,
            engine,
            lead,
            session: None,
        };
        stage.install();
        stage
    }

    /// As a user does it.
    fn install(&mut self) {
        let mut url = None;
        wait_for(
            || "the engine to serve".to_owned(),
            || {
                let told = fs::read(self.house.project().join(".wheelhouse/serve.json")).unwrap_or_default();
                let told: Value = serde_json::from_slice(&told).unwrap_or_default();
                url = told["url"].as_str().map(str::to_owned);
                url.is_some()
            },
        );
        match self.lead {
            Lead::Claude => {
                let url = format!("{}/mcp", url.unwrap().trim_end_matches('/'));
                let words = ["install", "claude", "--scope", "project", "--http", &url, "--yes"];
                self.house.ok(&words);
            }
            Lead::Codex => {
                self.house.ok(&["install", "codex", "--yes"]);
            }
        }
    }

    /// The user says something, and the lead does what the markers in it order.
    fn says(&mut self, words: &str) {
        let done = self.turn(words);
        assert!(done.status.success(), "{words}: {done:#?}");
        let out = String::from_utf8_lossy(&done.stdout);
        let lines = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let named = lines
            .filter_map(|line| {
                let named = line["session_id"].as_str().or(line["thread_id"].as_str());
                named.map(str::to_owned)
            })
            .next();
        assert!(named.is_some(), "{words}: no session in {out}");
        self.session = named;
    }

    fn turn(&self, words: &str) -> Output {
        let resumed = self.session.as_deref();
        match self.lead {
            Lead::Claude => {
                let config = format!("--mcp-config={}", self.house.project().join(".mcp.json").display());
                let mut line = vec!["-p", words, "--output-format", "json", "--strict-mcp-config", &config];
                line.extend(["--allowedTools", "mcp__wheelhouse"]);
                line.extend(resumed.iter().flat_map(|id| ["--resume", id]));
                let token = self.house.ok(&["token", "--scope", "operate"]);
                let mut command = self.house.command("claude", &line);
                command.env("WHEELHOUSE_TOKEN", token.trim()).output().unwrap()
            }
            Lead::Codex => {
                let approve = "mcp_servers.wheelhouse.default_tools_approval_mode=\"approve\"";
                let mut line = vec![
                    "exec",
                    "--json",
                    "--skip-git-repo-check",
                    "--sandbox",
                    "read-only",
                    "-c",
                    approve,
                ];
                line.extend(resumed.iter().flat_map(|id| ["resume", id]));
                line.push(words);
                self.house.command("codex", &line).output().unwrap()
            }
        }
    }

    fn json(&self, words: &[&str]) -> Value {
        let done = self.house.ours(&[words, &["--json"]].concat()).output().unwrap();
        // A coordination without a decision is 1, one that still expects an answer is 3.
        assert!(matches!(done.status.code(), Some(0 | 1 | 3)), "{words:?}: {done:#?}");
        serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {words:?}: {done:#?}"))
    }

    /// All instances that there ever were.
    fn crew(&self) -> Vec<Value> {
        let all = self.json(&["instances", "--all"]);
        all["instances"].as_array().unwrap().clone()
    }

    fn member(&self, name: &str) -> Value {
        let found = self.crew().into_iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:#?}", self.crew()))
    }

    /// What an instance answered so far, with how each turn ended.
    fn answers(&self, name: &str) -> Vec<(String, String)> {
        let document = self.json(&["output", name]);
        let lines = document["output"].as_array().unwrap().iter();
        lines
            .filter(|line| line["type"] == "answer")
            .map(|line| {
                let answer = &line["answer"];
                let class = answer["outcome"]["class"].as_str().or(answer["outcome"].as_str());
                (
                    class.unwrap_or_default().to_owned(),
                    answer["text"].as_str().unwrap().trim().to_owned(),
                )
            })
            .collect()
    }

    /// Waits until an instance has given so many answers: the lead's call may be over before.
    fn answered(&self, name: &str, expected: &[(&str, &str)]) {
        wait_for(
            || {
                format!(
                    "{name} to have answered {expected:?}: {:#}",
                    self.json(&["output", name])
                )
            },
            || self.answers(name).len() >= expected.len(),
        );
        let answers = self.answers(name);
        let answers: Vec<(&str, &str)> = answers.iter().map(|(class, text)| (&**class, &**text)).collect();
        assert_eq!(answers, expected, "{name}");
    }

    /// A coordination, once it is over.
    fn coordination(&self, id: &str) -> Value {
        let mut shown = Value::Null;
        wait_for(
            || format!("{id} to be over: {:#}", self.json(&["coordinate", "--show", id])),
            || {
                shown = self.json(&["coordinate", "--show", id]);
                shown["seats"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|seat| seat["expected"] == false)
            },
        );
        shown
    }

    /// What our tools told the lead in the turn that began with these words.
    fn told_the_lead(&self, words: &str) -> String {
        let turns = self.house.api.turns();
        let its = turns.iter().filter(|turn| turn.prompt.contains(words));
        // Some leads wrap what a tool said in JSON once more.
        let told: Vec<String> = its.map(|turn| turn.brought.replace("\\\"", "\"")).collect();
        told.join("\n")
    }

    /// The lead can only make one answer of what it was told.
    fn lead_knows(&self, words: &str, answers: &[&str]) {
        let told = self.told_the_lead(words);
        for answer in answers {
            assert!(told.contains(answer), "{answer}, in what the lead was told: {told}");
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.house.project().join(name)).unwrap()
    }

    /// The curtain: nothing wrong was asked of a model, the store is sound, and nothing runs any more.
    fn end(mut self) {
        self.house.ok(&["stop", "--all"]);
        kill(Pid::from_raw(self.engine.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        wait_for(
            || "the engine's end".to_owned(),
            || self.engine.0.try_wait().unwrap().is_some(),
        );
        self.house.until_all_processes_are_gone(&format!("{:?}", self.lead));
        let wrong = self.house.api.violations();
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Codex shows its model our tools as they are, and has it search for none.
        let turns = self.house.api.turns();
        for turn in turns.iter().filter(|turn| turn.vendor == Some(Vendor::Responses)) {
            assert!(
                turn.tools.iter().any(|tool| tool == "mcp__wheelhouse__spawn"),
                "{turn:#?}"
            );
        }
        self.house.ok(&["fsck"]);
    }
}

/// A call of one of our tools, as a prompt orders it.
fn call(tool: &str, arguments: &Value) -> String {
    format!("[[tool:mcp__wheelhouse__{tool} {arguments}]]")
}

fn spawn(name: &str, agent: &str, more: &Value) -> String {
    let mut arguments = json!({"name": name, "agent": agent});
    arguments
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    call("spawn", &arguments)
}

fn send(to: &str, message: &str) -> String {
    call("send", &json!({"to": to, "message": message, "seconds": 50}))
}

/// "Review my Python code, write tests for it, and document it": the lead gets three for three kinds of work.
fn automatic_delegation(lead: Lead) {
    let mut stage = Stage::new(lead, Script::new());
    stage.says(
        &[
            "Review my Python code and suggest improvements, write tests for it, and create documentation.",
            &spawn("reviewer", "claude", &json!({"role": "reviewer", "model": "sonnet"})),
            &spawn("tester", "gemini", &json!({"role": "tester"})),
            &spawn("documenter", "opencode", &json!({"role": "documenter"})),
            &send("reviewer", "Review pool.py. [[say:The connections are not pooled.]]"),
            &send(
                "tester",
                "Write tests for pool.py. [[edit:test_pool.py:def test_pool(): pass]][[say:1 test.]]",
            ),
            &send(
                "documenter",
                "Document pool.py. [[edit:POOL.md:How to use the pool]][[say:One page.]]",
            ),
            "[[say:Here is the complete package.]]",
        ]
        .concat(),
    );
    stage.answered("reviewer", &[("succeeded", "The connections are not pooled.")]);
    stage.answered("tester", &[("succeeded", "1 test.")]);
    stage.answered("documenter", &[("succeeded", "One page.")]);
    stage.lead_knows(
        "Review my Python code",
        &["The connections are not pooled.", "1 test.", "One page."],
    );
    assert_eq!(stage.read("test_pool.py").trim_end(), "def test_pool(): pass");
    assert_eq!(stage.read("POOL.md").trim_end(), "How to use the pool");
    for (name, agent, role) in [
        ("reviewer", "claude", "reviewer"),
        ("tester", "gemini", "tester"),
        ("documenter", "opencode", "documenter"),
    ] {
        let member = stage.member(name);
        assert_eq!(
            (&member["agent"], &member["role"]),
            (&json!(agent), &json!(role)),
            "{member:#}"
        );
        assert_eq!(
            (&member["parent"], &member["state"]),
            (&Value::Null, &json!("idle")),
            "{member:#}"
        );
        assert_eq!(
            (&member["turns"], member["session"].is_string()),
            (&json!(1), true),
            "{member:#}"
        );
    }
    // The model that was chosen is the one that was asked.
    let turns = stage.house.api.turns();
    let review = turns
        .iter()
        .find(|turn| turn.prompt.starts_with("Review pool.py"))
        .unwrap();
    assert!(review.model.contains("sonnet"), "{review:#?}");
    let names = json!({"instances": ["reviewer", "tester", "documenter"]});
    stage.says(&format!("Thanks, that is all.{}", call("terminate", &names)));
    for member in stage.crew() {
        assert_eq!(member["state"], "ended", "{member:#}");
    }
    stage.end();
}

/// "Use multiple specialised agents to design a system": six, in phases, each phase on what came before.
fn user_requested_orchestration(lead: Lead) {
    let plans = |vendor, model: &str, text: &str| {
        Rule::any()
            .vendor(vendor)
            .model(model)
            .says("Phase 2")
            .reply(Reply::text(text))
    };
    let script = Script::new()
        .rule(
            Rule::any()
                .vendor(Vendor::Chat)
                .says("Phase 3")
                .reply(Reply::text("The gateway needs a limit.")),
        )
        .rule(
            Rule::any()
                .vendor(Vendor::Gemini)
                .says("Phase 3")
                .reply(Reply::text("The limit is planned.")),
        )
        .rule(plans(Vendor::Gemini, "*", "REST interfaces."))
        .rule(plans(Vendor::Chat, "quick-model", "Two tables."))
        .rule(plans(Vendor::Chat, "small-model", "One container."))
        .rule(plans(Vendor::Chat, "*", "A portal."));
    let mut stage = Stage::new(lead, script);
    let experts = ["backend", "frontend", "database", "devops"];
    stage.says(
        &[
            "I want you to use multiple specialized agents to design a complete e-commerce system.",
            &spawn("architect", "claude", &json!({"role": "architect", "model": "opus"})),
            &spawn("backend", "gemini", &json!({"role": "backend_developer"})),
            &spawn("frontend", "opencode", &json!({"role": "frontend_developer"})),
            &spawn("database", "quick", &json!({})),
            &spawn("security", "quick", &json!({"role": "security_analyst"})),
            &spawn("devops", "small", &json!({})),
            &send(
                "architect",
                "Phase 1: the architecture. [[say:Five services behind a gateway.]]",
            ),
            &call(
                "coordinate",
                &json!({"text": "Phase 2: plan your part.", "with": experts, "seconds": 50}),
            ),
            "[[say:The plans are there.]]",
        ]
        .concat(),
    );
    stage.answered("architect", &[("succeeded", "Five services behind a gateway.")]);
    let planned = stage.coordination("c1");
    assert_eq!(planned["mode"], "parallel");
    let told: Vec<&str> = planned["seats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| seat["answer"].as_str().unwrap().trim())
        .collect();
    assert_eq!(told, ["REST interfaces.", "A portal.", "Two tables.", "One container."]);
    stage.lead_knows(
        "use multiple specialized agents",
        &[&["Five services behind a gateway."], &told[..]].concat(),
    );
    let turns = stage.house.api.turns();
    let design = turns.iter().find(|turn| turn.prompt.starts_with("Phase 1"));
    assert!(design.unwrap().model.contains("opus"), "{design:#?}");
    let review = json!({"text": "Phase 3: what is missing?", "with": ["security", "backend"], "mode": "sequential", "seconds": 50});
    stage.says(&format!(
        "What does security say?{}[[say:A limit.]]",
        call("coordinate", &review)
    ));
    assert_eq!(stage.coordination("c2")["mode"], "sequential");
    stage.answered("security", &[("succeeded", "The gateway needs a limit.")]);
    stage.answered(
        "backend",
        &[
            ("succeeded", "REST interfaces."),
            ("succeeded", "The limit is planned."),
        ],
    );
    // The second was shown what the first had said.
    let turns = stage.house.api.turns();
    let second = turns
        .iter()
        .find(|turn| turn.prompt.contains("Phase 3") && turn.vendor == Some(Vendor::Gemini));
    assert!(
        second.unwrap().prompt.contains("The gateway needs a limit."),
        "{second:#?}"
    );
    assert_eq!(stage.crew().len(), 6);
    stage.end();
}

/// "Debug this": nobody asked for a crew. Two look at it at the same time, and are gone when they have answered.
fn implicit_orchestration(lead: Lead) {
    let looks = |vendor, text: &str| {
        let reply = Reply::text(text).hold("both");
        Rule::any().vendor(vendor).says("hangs under load").reply(reply)
    };
    // The lead, whose prompt says the same, goes by its markers.
    let script = Script::new()
        .rule(looks(Vendor::Gemini, "A race in the mesh."))
        .rule(looks(Vendor::Chat, "The lock is not held."));
    let mut stage = Stage::new(lead, script);
    let question = json!({"text": "The queue hangs under load. Why?", "with": ["gemini", "opencode"], "seconds": 50});
    let words = format!(
        "Debug this complex issue in my distributed system.{}[[say:The fix.]]",
        call("coordinate", &question)
    );
    let is_held = |turn: &Attempt| turn.prompt.contains("hangs under load") && turn.finished.is_none();
    let held_of = |turns: &[Attempt], vendor| {
        let mut held = turns.iter().filter(|turn| is_held(turn));
        held.any(|turn| turn.vendor == Some(vendor) && turn.status == Some(200))
    };
    std::thread::scope(|scope| {
        let told = scope.spawn(|| stage.turn(&words));
        // Neither may answer before both have begun.
        let both = |turns: &[Attempt]| held_of(turns, Vendor::Gemini) && held_of(turns, Vendor::Chat);
        let seen = stage.house.api.wait_until(PATIENCE, both);
        stage.house.api.release("both");
        let done = told.join().unwrap();
        assert!(seen.is_ok() && done.status.success(), "{seen:#?} {done:#?}");
    });
    let looked = stage.coordination("c1");
    let told: Vec<&str> = looked["seats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| seat["answer"].as_str().unwrap().trim())
        .collect();
    assert_eq!(told, ["A race in the mesh.", "The lock is not held."]);
    stage.lead_knows("Debug this complex issue", &told);
    let crew = stage.crew();
    assert_eq!(crew.len(), 2);
    for member in crew {
        assert_eq!(
            (&member["state"], &member["parent"]),
            (&json!("ended"), &Value::Null),
            "{member:#}"
        );
    }
    stage.says("Thanks.[[say:Welcome.]]");
    stage.end();
}

/// "Actually, just the first 1000 rows": the turn stops, and the same session goes on with the other task.
fn task_interruption_and_redirection(lead: Lead) {
    let mut stage = Stage::new(lead, Script::new());
    let whole =
        "Process the entire dataset. [[say:Row by row by row by row, through the whole of it.]][[hold:dataset]]";
    let begin = spawn("analyst", "claude", &json!({"prompt": whole, "role": "data_analyst"}));
    stage.says(&format!(
        "Have the data analyst process the entire dataset.{begin}[[say:It is at work.]]"
    ));
    let is_at_it = |turn: &Attempt| turn.prompt.starts_with("Process the entire") && turn.status == Some(200);
    let seen = stage
        .house
        .api
        .wait_until(PATIENCE, |turns| turns.iter().any(is_at_it))
        .unwrap();
    let number = seen.iter().find(|turn| is_at_it(turn)).unwrap().number;
    assert_eq!(stage.member("analyst")["state"], "busy");
    stage.says(
        &[
            "Actually, just give me a quick summary of the first 1000 rows instead.",
            &call("interrupt", &json!({"instances": ["analyst"]})),
            &send("analyst", "Only the first 1000 rows. [[say:A quick summary.]]"),
            "[[say:Here it is.]]",
        ]
        .concat(),
    );
    wait_for(
        || format!("the second answer: {:#}", stage.json(&["output", "analyst"])),
        || stage.answers("analyst").len() == 2,
    );
    let answers = stage.answers("analyst");
    assert_eq!(answers[0].0, "cancelled", "the agent obeyed: {answers:?}");
    assert_eq!(answers[1], ("succeeded".to_owned(), "A quick summary.".to_owned()));
    stage.lead_knows("Actually, just give me", &[r#""confirmed":true"#, "A quick summary."]);
    // The model's first answer was hung up on, and the second was asked for in the same conversation.
    let turns = stage.house.api.turns();
    let first = turns.iter().find(|turn| turn.number == number).unwrap();
    assert_eq!(first.finished, Some(Finished::ClientGone), "{first:#?}");
    let redirected = turns
        .iter()
        .find(|turn| turn.prompt.starts_with("Only the first 1000 rows"));
    let told = &redirected.unwrap().told;
    assert!(
        told.iter().any(|words| words.starts_with("Process the entire dataset")),
        "its context is retained: {told:#?}"
    );
    let analyst = stage.member("analyst");
    assert_eq!(
        (&analyst["state"], &analyst["turns"]),
        (&json!("idle"), &json!(2)),
        "{analyst:#}"
    );
    stage.says(
        &[
            "Go on with that subset.",
            &send("analyst", "Which rows? [[say:The first 1000.]]"),
            "[[say:There.]]",
        ]
        .concat(),
    );
    wait_for(|| "the third answer".to_owned(), || stage.answers("analyst").len() == 3);
    assert_eq!(
        stage.member("analyst")["session"],
        analyst["session"],
        "it is the same session"
    );
    stage.house.api.release("dataset");
    stage.end();
}

/// A tree of ten: three who lead in their turn, and those they spawn and ask themselves.
fn hierarchical_delegation(lead: Lead) {
    let mut stage = Stage::new(lead, Script::new());
    let leads = |crew: &[(&str, &str)]| {
        let spawned = crew.iter().map(|(name, agent)| spawn(name, agent, &json!({})));
        let asked = crew
            .iter()
            .map(|(name, _)| send(name, &format!("Your part? [[say:{name} is done.]]")));
        let all: String = spawned.chain(asked).collect();
        json!({"prompt": format!("Lead your part.{all}[[say:My crew is done.]]")})
    };
    let with = |mut wish: Value, model: &str| {
        wish["model"] = model.into();
        wish
    };
    let design = [("backend-designer", "claude"), ("frontend-designer", "gemini")];
    let build = [
        ("api-developer", "opencode"),
        ("database-developer", "quick"),
        ("ui-developer", "small"),
    ];
    let check = [("unit-tester", "quick"), ("integration-tester", "small")];
    stage.says(
        &[
            "Build it, with a crew that has leads of its own.",
            &spawn("architect", "claude", &with(leads(&design), "opus")),
            &spawn("lead-developer", "claude", &with(leads(&build), "sonnet")),
            &spawn("qa-lead", "codex", &leads(&check)),
            "[[say:They are at work.]]",
        ]
        .concat(),
    );
    for top in ["architect", "lead-developer", "qa-lead"] {
        stage.answered(top, &[("succeeded", "My crew is done.")]);
    }
    for (top, crew) in [
        ("architect", &design[..]),
        ("lead-developer", &build),
        ("qa-lead", &check),
    ] {
        let above = stage.member(top);
        assert_eq!(
            (&above["parent"], &above["depth"]),
            (&Value::Null, &json!(0)),
            "{above:#}"
        );
        for (name, agent) in crew {
            let member = stage.member(name);
            assert_eq!(
                (&member["parent"], &member["depth"]),
                (&above["id"], &json!(1)),
                "{member:#}"
            );
            assert_eq!(member["agent"], *agent, "{member:#}");
            stage.answered(name, &[("succeeded", &format!("{name} is done."))]);
        }
    }
    assert_eq!(stage.crew().len(), 10);
    // Who ends a lead ends its crew, and nobody else's.
    let ended = json!({"instances": ["lead-developer"]});
    stage.says(&format!(
        "The developers can go.{}[[say:Gone.]]",
        call("terminate", &ended)
    ));
    for member in stage.crew() {
        let name = member["name"].as_str().unwrap();
        let goes = name == "lead-developer" || build.iter().any(|(developer, _)| *developer == name);
        assert_eq!(member["state"] == "ended", goes, "{member:#}");
    }
    stage.end();
}

/// Three architects of three vendors are asked blindly; two of three carry it.
fn consensus_building(lead: Lead) {
    let votes = |vendor, status: &str, why: &str| {
        let text = format!("{why}\n\n--- VERDICT ---\nSTATUS: {status}\nCONFIDENCE: 80\nSUMMARY: {why}\n---\n");
        Rule::any()
            .vendor(vendor)
            .says("--- VERDICT ---")
            .reply(Reply::text(&text))
    };
    let script = Script::new()
        .rule(votes(Vendor::Anthropic, "pass", "A mesh of services does it."))
        .rule(votes(Vendor::Gemini, "pass", "It can begin as one program."))
        .rule(votes(Vendor::Chat, "warn", "Functions would be cheaper."));
    let mut stage = Stage::new(lead, script);
    let special = |words: &str| json!({"role": "architect", "system_prompt": words});
    let mut voters = json!({"text": "Shall we split the monolith?", "with": ["services", "monolith", "serverless"],
        "mode": "consensus", "quorum": 2, "seconds": 50});
    stage.says(
        &[
            "This is a critical architecture decision. Ask several experts.",
            &spawn("services", "claude", &special("You are an expert for microservices.")),
            &spawn("monolith", "gemini", &special("You advocate monoliths.")),
            &spawn("serverless", "opencode", &special("You are a serverless specialist.")),
            &call("coordinate", &voters),
            "[[say:A balanced recommendation.]]",
        ]
        .concat(),
    );
    let decided = stage.coordination("c1");
    assert_eq!(
        (&decided["mode"], &decided["quorum"]),
        (&json!("consensus"), &json!(2)),
        "{decided:#}"
    );
    assert_eq!(decided["result"]["decision"]["decision"], "agreed", "{decided:#}");
    assert_eq!(
        decided["result"]["approving"],
        json!(["claude", "gemini"]),
        "{decided:#}"
    );
    stage.lead_knows(
        "a critical architecture decision",
        &["agreed", "A mesh of services does it."],
    );
    let vendors: Vec<&Value> = decided["seats"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| &seat["vendor"])
        .collect();
    assert_eq!(vendors.len(), 3);
    // Blind: nobody was shown what another had said; each was told what it is.
    let turns = stage.house.api.turns();
    for turn in &turns {
        let shown = ["A mesh of services", "begin as one program", "would be cheaper"];
        assert!(!shown.iter().any(|words| turn.prompt.contains(words)), "{turn:#?}");
    }
    for (vendor, special) in [
        (Vendor::Gemini, "You advocate monoliths."),
        (Vendor::Chat, "You are a serverless"),
    ] {
        let mut told = turns.iter().filter(|turn| turn.vendor == Some(vendor));
        assert!(told.all(|turn| turn.prompt.contains(special)), "{special}: {turns:#?}");
    }
    // The same voices do not carry what all three must approve.
    voters["quorum"] = json!(3);
    stage.says(&format!(
        "And if all must agree?{}[[say:No.]]",
        call("coordinate", &voters)
    ));
    let undecided = stage.coordination("c2");
    assert_eq!(
        undecided["result"]["decision"]["decision"], "undecided",
        "{undecided:#}"
    );
    stage.end();
}

/// A team that stays over a conversation: asked, told to write, told to test, saved.
fn continuous_collaboration(lead: Lead) {
    let mut stage = Stage::new(lead, Script::new());
    let teams = stage.house.project().join(".wheelhouse/teams");
    fs::create_dir_all(&teams).unwrap();
    let team = "name: project\nmembers:\n  - {name: architect, role: architect, agent: gemini}\n  \
                - {name: backend, role: backend_developer, agent: claude}\n  \
                - {name: frontend, role: frontend_developer, agent: quick}\n  \
                - {name: tester, role: testing_specialist, agent: opencode}\n";
    fs::write(teams.join("project.yaml"), team).unwrap();
    stage.says(&format!(
        "Set up a team for this project.{}[[say:Team is ready.]]",
        call("start_team", &json!({"team": "project"}))
    ));
    assert_eq!(stage.crew().len(), 4);
    stage.says(
        &[
            "What about authentication?",
            &send("architect", "What about authentication? [[say:OAuth 2.0 with JWT.]]"),
            &send("backend", "The architect says OAuth 2.0. Can you? [[say:I can.]]"),
            "[[say:OAuth, and it can be done.]]",
        ]
        .concat(),
    );
    stage.answered("architect", &[("succeeded", "OAuth 2.0 with JWT.")]);
    stage.answered("backend", &[("succeeded", "I can.")]);
    let session = stage.member("backend")["session"].clone();
    stage.says(&format!(
        "Write the code for that.{}[[say:Written.]]",
        send(
            "backend",
            "Write it. [[edit:auth.py:def login(): return True]][[say:auth.py]]"
        )
    ));
    stage.answered("backend", &[("succeeded", "I can."), ("succeeded", "auth.py")]);
    stage.says(
        &[
            "Now test it.",
            &send(
                "tester",
                "Test auth.py. [[run:grep -c login auth.py > tested.txt]][[say:1 test passes.]]",
            ),
            &call(
                "save_team",
                &json!({"team": "kept", "instances": ["architect", "backend", "frontend", "tester"]}),
            ),
            "[[say:Tested.]]",
        ]
        .concat(),
    );
    stage.answered("tester", &[("succeeded", "1 test passes.")]);
    stage.lead_knows("Now test it", &["1 test passes."]);
    assert_eq!(stage.read("auth.py").trim_end(), "def login(): return True");
    assert_eq!(stage.read("tested.txt").trim_end(), "1");
    let backend = stage.member("backend");
    assert_eq!(
        (&backend["session"], &backend["turns"]),
        (&session, &json!(2)),
        "one session: {backend:#}"
    );
    assert_eq!(stage.member("frontend")["turns"], 0, "who is not asked costs nothing");
    // What was saved goes on in the sessions that were.
    assert!(
        stage
            .read(".wheelhouse/teams/kept.yaml")
            .contains(session.as_str().unwrap())
    );
    stage.end();
}

/// What a user may say of the crew itself: who is there, what it costs, ask me first, these models alone, stop.
fn in_conversation_controls(lead: Lead) {
    let mut stage = Stage::new(lead, Script::new());
    let set = |changes: Value| call("set_policy", &json!({"changes": changes}));
    stage.says(&format!(
        "Set orchestration to manual approval only.{}{}[[say:I will ask you first.]]",
        set(json!({"require_approval": true})),
        spawn(
            "architect",
            "claude",
            &json!({"prompt": "Design it. [[say:Three layers.]]"})
        ),
    ));
    wait_for(
        || format!("the question: {:#}", stage.member("architect")),
        || stage.member("architect")["state"] == "waiting",
    );
    let designs = |stage: &Stage| {
        let turns = stage.house.api.turns();
        turns
            .iter()
            .filter(|turn| turn.prompt.starts_with("Design it."))
            .count()
    };
    assert_eq!(designs(&stage), 0, "nobody was asked before the user said yes");
    stage.says(&format!(
        "Yes, it may.{}[[say:It is at work.]]",
        call("answer", &json!({"question": "q1", "answer": "approve"}))
    ));
    stage.answered("architect", &[("succeeded", "Three layers.")]);
    stage.says(
        &[
            "You need not ask any more, but limit instances to the Haiku model.",
            &set(json!({"require_approval": false, "allowed_models": ["haiku"]})),
            &spawn("dear", "claude", &json!({"model": "opus"})),
            &spawn(
                "cheap",
                "claude",
                &json!({"model": "haiku", "prompt": "Go on. [[say:On and on and on.]][[hold:cheap]]"}),
            ),
            "[[say:Haiku alone.]]",
        ]
        .concat(),
    );
    stage.lead_knows("limit instances to the Haiku model", &["opus"]);
    let names = |stage: &Stage| -> Vec<String> {
        let crew = stage.crew();
        crew.iter()
            .map(|member| member["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&stage), ["architect", "cheap"], "what is not allowed is not made");
    let is_held = |turn: &Attempt| turn.prompt.starts_with("Go on.") && turn.status == Some(200);
    let seen = stage.house.api.wait_until(PATIENCE, |turns| turns.iter().any(is_held));
    let seen = seen.unwrap();
    assert!(
        seen.iter().find(|turn| is_held(turn)).unwrap().model.contains("haiku"),
        "{seen:#?}"
    );
    stage.says(&format!(
        "Show me all active instances, and what did it cost so far?{}{}[[say:These.]]",
        call("instances", &json!({})),
        call("report", &json!({}))
    ));
    stage.lead_knows(
        "Show me all active instances",
        &["architect", "idle", "cheap", "busy", "cost"],
    );
    stage.says(&format!(
        "Stop all running tasks.{}[[say:Stopped.]]",
        call("stop", &json!({}))
    ));
    wait_for(|| "the turn's end".to_owned(), || stage.answers("cheap").len() == 1);
    assert_eq!(stage.answers("cheap")[0].0, "cancelled");
    assert_eq!(stage.member("cheap")["state"], "idle", "it stays, with what it knows");
    stage.says(&format!(
        "Terminate the architect.{}[[say:Gone.]]",
        call("terminate", &json!({"instances": ["architect"]}))
    ));
    assert_eq!(stage.member("architect")["state"], "ended");
    assert_eq!(stage.member("cheap")["state"], "idle");
    stage.says(
        &[
            "Stop all orchestration.",
            &call("stop", &json!({"all": true})),
            &spawn("another", "claude", &json!({"model": "haiku"})),
            "[[say:I will do everything myself.]]",
        ]
        .concat(),
    );
    assert_eq!(stage.member("cheap")["state"], "ended");
    assert_eq!(names(&stage), ["architect", "cheap"], "nothing is spawned any more");
    stage.house.api.release("cheap");
    stage.end();
}

/// "Look into the orders": the lead knows no tool for it, finds one of another MCP server, and is told its long answer in short.
fn tools_of_other_servers(lead: Lead) {
    let house = House::new(Script::new());
    let tools: Vec<Value> = (0..40)
        .map(|n| {
            let about = if n == 17 { "Queries the orders of the shop." } else { "Does something else." };
            json!({"name": format!("tool_{n}"), "description": about, "script": {"text": "order # of customer_#", "repeat": 2_000},
                   "inputSchema": {"type": "object", "required": ["sql"], "properties": {"sql": {"type": "string"}}}})
        })
        .collect();
    let log = house.root.path().join("shop.log");
    let file = house.root.path().join("shop.json");
    fs::write(&file, json!({"name": "shop", "log": log, "tools": tools}).to_string()).unwrap();
    let program = wheelhouse_testkit::tool_server::program();
    let more = format!("[mcp.servers.shop]\ncommand = {program:?}\nargs = [{file:?}]\n");
    let mut stage = Stage::with(lead, house, &more);
    stage.says(
        &[
            "Look into the orders of the shop.",
            &call("find_tools", &json!({"query": "orders of the shop"})),
            &call("use_tool", &json!({"tool": "shop/tool_17", "arguments": {"sqll": "x"}})),
            &call(
                "use_tool",
                &json!({"tool": "shop/tool_17", "arguments": {"sql": "select"}}),
            ),
            "[[say:Two thousand.]]",
        ]
        .concat(),
    );
    let found = "shop/tool_17(sql) - Queries the orders of the shop.";
    let wrong = "#: `sql` is missing";
    stage.lead_knows(
        "Look into the orders",
        &[
            found,
            wrong,
            "order 0 of customer_0",
            "[only there: ",
            "`artifact` of result t-",
        ],
    );
    let told = stage.told_the_lead("Look into the orders");
    assert!(!told.contains("customer_1000 "), "the middle is not told");
    let asked = fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = asked.lines().filter(|line| line.starts_with("tools/call")).collect();
    assert_eq!(calls, ["tools/call tool_17"], "it is asked once, with what it takes");
    stage.end();
}

/// One test for each way and lead, so that each says alone what broke.
macro_rules! demonstrate {
    ($($way:ident: $claude:ident $codex:ident;)*) => {$(
        #[test]
        #[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
        fn $claude() {
            $way(Lead::Claude);
        }

        #[test]
        #[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
        fn $codex() {
            $way(Lead::Codex);
        }
    )*};
}

demonstrate! {
    automatic_delegation: real_agents_claude_automatic_delegation real_agents_codex_automatic_delegation;
    user_requested_orchestration:
        real_agents_claude_user_requested_orchestration real_agents_codex_user_requested_orchestration;
    implicit_orchestration: real_agents_claude_implicit_orchestration real_agents_codex_implicit_orchestration;
    task_interruption_and_redirection:
        real_agents_claude_task_interruption_and_redirection real_agents_codex_task_interruption_and_redirection;
    hierarchical_delegation: real_agents_claude_hierarchical_delegation real_agents_codex_hierarchical_delegation;
    consensus_building: real_agents_claude_consensus_building real_agents_codex_consensus_building;
    continuous_collaboration: real_agents_claude_continuous_collaboration real_agents_codex_continuous_collaboration;
    tools_of_other_servers: real_agents_claude_tools_of_other_servers real_agents_codex_tools_of_other_servers;
    in_conversation_controls: real_agents_claude_in_conversation_controls real_agents_codex_in_conversation_controls;
}
