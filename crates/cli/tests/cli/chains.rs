//! Chains of fallbacks and breakers, from outside: who is asked how often, what is kept, and what a crash leaves.

use nix::sys::signal::Signal;
use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::{House, until};

const GUIDE: &str = include_str!("../../../core/tests/route/guide.yaml");

/// A house with these agents, each by its name and the model it asks.
fn house(fake: &ModelApi, agents: &[(&str, &str)]) -> House {
    let house = House::new().with_env("A_KEY", "sk-some-key");
    let mut settings = String::from("parallel_max = 8\nbreaker.open = \"1h\"\n");
    for (name, model) in agents {
        settings.push_str(&format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ));
    }
    house.write("wheelhouse.toml", &settings);
    house
}

fn fake() -> ModelApi {
    ModelApi::start(Script::default()).unwrap()
}

/// How often a model was asked.
fn asked(fake: &ModelApi, model: &str) -> usize {
    fake.turns().iter().filter(|turn| turn.model == model).count()
}

/// What the history says of chains.
fn decisions(house: &House) -> Vec<String> {
    let said = house.ok(&["events", "--json"]).out;
    let events = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_chain = events.filter(|event| event["kind"] == "chain");
    of_chain
        .filter_map(|event| event["text"].as_str().map(str::to_owned))
        .collect()
}

/// The agents of a task's chain that gave it a try, in order, with how each try ended.
fn trail(result: &Value) -> Vec<String> {
    let steps = result["provenance"].as_array().unwrap_or_else(|| panic!("{result:#}"));
    let shown = |step: &Value| {
        format!(
            "{} {}",
            step["agent"].as_str().unwrap(),
            step["outcome"].as_str().unwrap()
        )
    };
    steps.iter().map(shown).collect()
}

#[test]
fn the_chains_of_the_guide_run_unchanged_and_say_who_answered() {
    let faults = [
        ("claude-sonnet-4-6", "500"),
        ("gpt-4o", "529"),
        ("claude-haiku-4-5", "500"),
    ];
    let script = faults.iter().fold(Script::new(), |script, (model, fault)| {
        script.rule(
            Rule::any()
                .model(model)
                .reply(Reply::text("never").fault(fault).unwrap()),
        )
    });
    let fake = ModelApi::start(script.otherwise(Reply::text("Done by grok."))).unwrap();
    let house = house(
        &fake,
        &[
            ("sonnet", "claude-sonnet-4-6"),
            ("gpt", "gpt-4o"),
            ("grok", "grok-3"),
            ("haiku", "claude-haiku-4-5"),
        ],
    );
    house.write("routing.yaml", GUIDE);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: a, chain: production, prompt: \"Write it.\"}\n  - {id: b, chain: classification, prompt: \"Sort it.\", needs: [a]}\n",
    );
    let shown = house.json(&["plan", "show", "plan.yaml"]);
    let first = &shown["tasks"][0];
    let chain: Vec<(&str, u64)> = first["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["agent"].as_str().unwrap(), link["timeout_ms"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        (first["agent"].as_str(), first["timeout_ms"].as_u64(), chain),
        (Some("sonnet"), Some(30_000), vec![("gpt", 30_000), ("grok", 20_000)])
    );
    let run = house.run(&["run", "plan.yaml", "--set", "breaker.failures=100"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    // `retry: 3` is three tries, not four: never more of one thing.
    let counts = ["claude-haiku-4-5", "gpt-4o", "grok-3"].map(|model| asked(&fake, model));
    assert_eq!(counts, [3, 2, 1]);
    assert_eq!(asked(&fake, "claude-sonnet-4-6"), 3 + 2, "three for a, two for b");
    let result = house.json(&["result", "a"]);
    assert_eq!(result["output"], "Done by grok.", "{result:#}");
    assert_eq!(
        (
            result["model_used"].as_str(),
            result["attempt"].as_u64(),
            result["fallback_depth"].as_u64()
        ),
        (Some("grok-3"), Some(1), Some(2))
    );
    assert_eq!(
        trail(&result),
        [
            "sonnet overloaded",
            "sonnet overloaded",
            "sonnet overloaded",
            "gpt overloaded",
            "gpt overloaded",
            "grok succeeded"
        ]
    );
    let task = house.json(&["status", "a"]);
    assert_eq!(task["answer"]["model_used"], "grok-3", "{task:#}");
    let run = house.json(&["status", "r1"]);
    assert_eq!(run["tasks"][0]["answer"]["fallback_depth"], 2, "{run:#}");
    assert_eq!(
        decisions(&house),
        [
            "overloaded on sonnet: on to gpt (2 of 3)",
            "overloaded on gpt: on to grok (3 of 3)",
            "overloaded on haiku: on to sonnet (2 of 2)",
        ]
    );
}

#[test]
fn a_chain_that_nobody_here_serves_is_said_with_what_there_is() {
    let fake = fake();
    let house = house(&fake, &[("sonnet", "claude-sonnet-4-6")]);
    house.write("routing.yaml", GUIDE);
    house.write("plan.yaml", "tasks:\n  - {id: a, chain: produktion, prompt: x}\n");
    let refused = house.run(&["plan", "check", "plan.yaml"]);
    assert!(refused.out.contains("no chain is called `produktion`"), "{refused:?}");
    assert!(refused.out.contains("production"), "{refused:?}");
    house.write("plan.yaml", "tasks:\n  - {id: a, chain: production, prompt: x}\n");
    let warned = house.run(&["plan", "check", "plan.yaml"]);
    assert_eq!(warned.code, Some(0), "{warned:?}");
    assert!(
        format!("{}{}", warned.out, warned.err).contains("nobody here serves `gpt-4o`"),
        "{warned:?}"
    );
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: a, chain: production, agent: sonnet, prompt: x}\n",
    );
    let both = house.run(&["plan", "check", "plan.yaml"]);
    assert!(both.out.contains("both `chain` and `agent`"), "{both:?}");
}

#[test]
fn a_breaker_opens_for_all_is_shown_and_is_passed_over() {
    let fake = fake();
    let house = house(&fake, &[("dead", "fault-500"), ("twin", "fault-500"), ("well", "fine")]);
    house.write("one.yaml", "tasks:\n  - {id: a, agent: dead, retry: 2, prompt: One.}\n");
    assert_eq!(house.run(&["run", "one.yaml"]).code, Some(1));
    assert_eq!(asked(&fake, "fault-500"), 3);
    let status = house.json(&["status"]);
    assert_eq!(status["breakers"][0]["model"], "fault-500", "{status:#}");
    assert_eq!(status["breakers"][0]["credential"], "A_KEY", "{status:#}");
    assert!(status["breakers"][0]["open_until"].is_string(), "{status:#}");
    let screen = house.ok(&["status"]).out;
    assert!(
        screen.contains("left alone") && screen.contains("fault-500"),
        "{screen}"
    );
    let doctor = house.run(&["doctor"]).out;
    assert!(
        doctor.contains("fault-500") && doctor.contains("failed too often"),
        "{doctor}"
    );
    let route = house.json(&["route", "Fix the flaky test in tests/parser.rs"]);
    let excluded = route["excluded"].as_array().unwrap();
    let floor = |agent: &str| {
        excluded
            .iter()
            .find(|one| one["agent"] == agent)
            .map(|one| one["floor"].clone())
    };
    assert_eq!(floor("dead"), Some("quota".into()), "{route:#}");
    // Another agent that asks the same with the same key is barred as well.
    house.write(
        "two.yaml",
        "tasks:\n  - {id: b, agent: twin, fallback: [well], prompt: Two.}\n",
    );
    house.ok(&["run", "two.yaml"]);
    let result = house.json(&["result", "r2/b"]);
    assert_eq!(
        (result["model_used"].as_str(), result["fallback_depth"].as_u64()),
        (Some("fine"), Some(1))
    );
    assert_eq!(asked(&fake, "fault-500"), 3, "nobody asked it again");
    // Who has nobody else waits.
    house.write(
        "three.yaml",
        "tasks:\n  - {id: c, agent: dead, prompt: Three., deadline: 2h}\n",
    );
    let running = house.start(&["run", "three.yaml"]);
    house.until_task("r3/c", "held");
    let task = house.json(&["status", "r3/c"]);
    assert_eq!(task["task"]["held"]["reason"], "retry", "{task:#}");
    running.signal(Signal::SIGINT);
    running.done();
    assert_eq!(asked(&fake, "fault-500"), 3);
    assert_eq!(
        decisions(&house)[..1],
        ["twin cannot be asked now: on to well (2 of 2)"]
    );
}

#[test]
fn the_best_of_weak_answers_is_kept_and_called_weak() {
    let says = |model: &str, text: &str| Rule::any().model(model).reply(Reply::text(text));
    let script = Script::new()
        .rule(says("m-a", "It may be the cache.\nCONFIDENCE: 10"))
        .rule(says("m-b", "It is the lock in store.rs.\nCONFIDENCE: 25"))
        .rule(says("m-c", "No idea.\nCONFIDENCE: 1"));
    let fake = ModelApi::start(script).unwrap();
    let house = house(&fake, &[("a", "m-a"), ("b", "m-b"), ("c", "m-c")]);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: t, agent: a, fallback: [b, c], retry: 2, prompt: Why?}\n  - {id: u, agent: a, confidence: 10, prompt: Why?}\n",
    );
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    let result = house.json(&["result", "t"]);
    assert_eq!(
        result["output"], "It is the lock in store.rs.\nCONFIDENCE: 25",
        "{result:#}"
    );
    assert_eq!((&result["weak"], &result["confidence"]), (&true.into(), &25.into()));
    assert_eq!(
        trail(&result),
        ["a low_confidence", "b low_confidence", "c low_confidence"]
    );
    assert_eq!(
        [asked(&fake, "m-b"), asked(&fake, "m-c")],
        [1, 1],
        "a weak answer is not asked for again"
    );
    let least = house.json(&["result", "u"]);
    assert_eq!((&least["weak"], &least["confidence"]), (&false.into(), &10.into()));
}

#[test]
fn who_takes_over_is_told_how_far_it_was() {
    let script = Script::new().rule(
        Rule::any().model("m-cut").reply(
            Reply::text("The first half of a long answer, and the rest of it.")
                .fault("max-tokens")
                .unwrap(),
        ),
    );
    let fake = ModelApi::start(script).unwrap();
    let house = house(&fake, &[("cut", "m-cut"), ("well", "fine")]);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: t, agent: cut, fallback: [well], retry: 0, prompt: Go.}\n",
    );
    house.ok(&["run", "plan.yaml"]);
    let turns = fake.turns();
    let second = turns.iter().find(|turn| turn.model == "fine").unwrap();
    assert!(
        second.prompt.contains("An earlier try of this task ended as truncated"),
        "{}",
        second.prompt
    );
    assert!(second.prompt.contains("The first half"), "{}", second.prompt);
}

#[test]
fn one_deadline_ends_all_tries() {
    let fake = fake();
    let house = house(&fake, &[("hangs", "fault-hang"), ("well", "fine")]);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: t, agent: hangs, fallback: [well], timeout: 30s, retry: 2, deadline: 1s, prompt: Go.}\n",
    );
    let run = house.run(&["run", "plan.yaml"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let task = house.json(&["status", "t"]);
    assert_eq!(task["task"]["outcome"]["class"], "timed_out", "{task:#}");
    assert_eq!(
        [asked(&fake, "fault-hang"), asked(&fake, "fine")],
        [1, 0],
        "there was no time for another"
    );
}

#[test]
fn a_used_up_account_leads_on_or_waits_as_the_configuration_says() {
    let fake = fake();
    let house = house(&fake, &[("used", "fault-quota-retry-after-3600"), ("well", "fine")]);
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: t, agent: used, fallback: [well], prompt: Go.}\n",
    );
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(trail(&house.json(&["result", "t"])), ["used quota", "well succeeded"]);
    let running = house.start(&["run", "plan.yaml", "--set", "quota=wait"]);
    until("the second run waits", || {
        house.run(&["status", "r2/t", "--json"]).out.contains("\"ready\"")
    });
    running.signal(Signal::SIGINT);
    running.done();
    assert_eq!(asked(&fake, "fine"), 1, "nobody else was asked");
    house.ok(&["resume"]);
    assert_eq!(asked(&fake, "fine"), 2, "without asking the one that is used up");
    assert_eq!(asked(&fake, "fault-quota-retry-after-3600"), 1);
}

#[test]
fn a_chain_that_is_killed_goes_on_where_it_was() {
    let script = Script::new().rule(Rule::any().model("slow").reply(Reply::text("At last.").hold("gate")));
    let fake = ModelApi::start(script).unwrap();
    let house = house(
        &fake,
        &[("dead", "fault-404-retired"), ("slow", "slow"), ("third", "third")],
    );
    house.write(
        "plan.yaml",
        "tasks:\n  - {id: t, agent: dead, fallback: [slow, third], retry: 0, prompt: Go.}\n",
    );
    let running = house.start(&["run", "plan.yaml"]);
    until("the second is asked", || asked(&fake, "slow") == 1);
    running.signal(Signal::SIGKILL);
    running.done();
    house.until_no_engine();
    fake.release("gate");
    house.ok(&["resume"]);
    let result = house.json(&["result", "t"]);
    assert_eq!(result["output"], "At last.", "{result:#}");
    assert_eq!(trail(&result), ["dead unavailable", "slow succeeded"]);
    assert_eq!(
        [
            asked(&fake, "fault-404-retired"),
            asked(&fake, "slow"),
            asked(&fake, "third")
        ],
        [1, 2, 0],
        "what was over is not asked for again"
    );
}
