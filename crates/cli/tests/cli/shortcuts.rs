//! Tasks that code does in place of a model, and steps that a score makes unneeded, from outside: no request is made.

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::House;

fn house(fake: &ModelApi) -> House {
    let house = House::new().with_env("A_KEY", "sk-x");
    let agent = |name: &str, api: &str, url: &str, model: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"{api}\"\nbase_url = \"{url}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\n"
        )
    };
    let (sonnet, gpt) = (
        agent("sonnet", "anthropic", &fake.base_url(), "claude-sonnet-4-6"),
        agent("gpt", "openai", &fake.openai_url(), "gpt-4o"),
    );
    house.write("wheelhouse.toml", &format!("{sonnet}{gpt}"));
    house
}

fn receipt(house: &House, run: &str, layer: &str) -> Value {
    let document = house.json(&["economy", run]);
    let all = document["receipts"].as_array().unwrap();
    let of = all.iter().find(|one| one["receipt"]["layer"] == layer);
    of.unwrap_or_else(|| panic!("no {layer} in {document:#}"))["receipt"].clone()
}

fn task<'r>(run: &'r Value, key: &str) -> &'r Value {
    let tasks = run["tasks"].as_array().unwrap_or_else(|| panic!("{run:#}"));
    tasks.iter().find(|task| task["key"] == key).unwrap()
}

const PLAN: &str = r#"
tasks:
  - {id: list, exec: "printf 'pear\\napple\\npear\\n'"}
  - id: tidy
    needs: [list]
    agent: gpt
    shortcut: auto
    prompt: |
      Sort the lines and remove duplicates.
      {{ tasks.list.result }}
  - id: use
    needs: [tidy]
    exec: "printf %s {{ tasks.tidy.result }} | tr '\\n' '+'"
"#;

#[test]
fn a_mechanical_task_is_done_without_a_request() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    house.write("plan.yaml", PLAN);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert!(fake.turns().is_empty(), "nobody is asked");
    let tidy = task(&run, "tidy");
    let summary = tidy["result"]["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("[by code] sort the lines and remove duplicates"),
        "{summary}"
    );
    assert_eq!(tidy["answer"]["model_used"], "code", "{tidy:#}");
    assert_eq!(house.ok(&["result", "r1/use"]).out.trim_end(), "apple+pear+");
    assert_eq!(run["run"]["cost"]["known_nano"], 0);
    let receipt = receipt(&house, "r1", "shortcut");
    assert!(receipt["would_tokens"].as_u64() > Some(10) && receipt["sent_tokens"] == 0);
    assert!(
        receipt["note"]
            .as_str()
            .unwrap()
            .contains("gpt would have cost at least $"),
        "{receipt:#}"
    );
}

#[test]
fn without_being_asked_for_or_when_unsure_the_model_does_it() {
    let fake = ModelApi::start(Script::default().otherwise(Reply::text("By the model."))).unwrap();
    let house = house(&fake);
    let asked = |plan: &str, set: &[&str]| {
        fake.reset();
        house.write("plan.yaml", plan);
        let words: Vec<&str> = ["run", "plan.yaml"].into_iter().chain(set.iter().copied()).collect();
        let run = house.json(&words);
        assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
        fake.turns().len()
    };
    let silent = PLAN.replace("    shortcut: auto\n", "");
    assert_eq!(asked(&silent, &[]), 1, "off unless somebody wants it");
    assert_eq!(asked(&silent, &["--set", "context.shortcuts=auto"]), 0);
    assert_eq!(asked(PLAN, &["--set", "context.off=shortcut"]), 1);
    let off = PLAN.replace("shortcut: auto", "shortcut: off");
    assert_eq!(asked(&off, &["--set", "context.shortcuts=auto"]), 1, "the plan wins");
    let wish = PLAN.replace("remove duplicates.", "remove duplicates, please.");
    assert_eq!(asked(&wish, &[]), 1, "another sentence");
    assert_eq!(
        asked(&PLAN.replace("apple", "Zebra"), &[]),
        1,
        "two orders are possible"
    );
    let left = receipt(&house, "r6", "shortcut");
    assert!(
        left["note"]
            .as_str()
            .unwrap()
            .contains("left to the model: upper and lower case"),
        "{left:#}"
    );
    let wrong = PLAN.replace("shortcut: auto", "shortcut: yes please");
    house.write("plan.yaml", &wrong);
    let check = house.run(&["plan", "check", "plan.yaml"]);
    assert!(
        format!("{}{}", check.out, check.err).contains("auto"),
        "{}{}",
        check.out,
        check.err
    );
}

#[test]
fn files_are_changed_by_code_under_the_checks_of_the_task() {
    let fake = ModelApi::start(Script::default().otherwise(Reply::text("I left it."))).unwrap();
    let house = house(&fake);
    house.write("Cargo.toml", "[package]\nversion = \"1.2.3\"\n");
    house.write("a.rs", "fn total(total: u32) -> u32 { total + subtotal }\n");
    house.write(
        "plan.yaml",
        "tasks:\n  - id: version\n    agent: gpt\n    shortcut: auto\n    verify: [\"grep -q 1.3.0 Cargo.toml\"]\n    \
         prompt: \"Change the version from `1.2.3` to `1.3.0` in `Cargo.toml`.\"\n  \
         - id: word\n    agent: gpt\n    shortcut: auto\n    files: [\"*.rs\"]\n    \
         prompt: \"Rename the identifier `total` to `sum` by whole word in `a.rs`.\"\n",
    );
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert!(fake.turns().is_empty());
    assert_eq!(house.read("Cargo.toml"), "[package]\nversion = \"1.3.0\"\n");
    assert_eq!(house.read("a.rs"), "fn sum(sum: u32) -> u32 { sum + subtotal }\n");
    // What is not declared is not touched, and what its check refuses is the agent's to do.
    house.write(
        "next.yaml",
        "tasks:\n  - id: undeclared\n    agent: gpt\n    shortcut: auto\n    files: [\"src/**\"]\n    \
         prompt: \"Replace every whole word `sum` with `all` in `a.rs`.\"\n  \
         - id: refused\n    agent: gpt\n    shortcut: auto\n    retry: 1\n    verify: [\"grep -q 9.9.9 Cargo.toml\"]\n    \
         prompt: \"Change the version from `1.3.0` to `1.4.0` in `Cargo.toml`.\"\n",
    );
    let next = house.json(&["run", "next.yaml"]);
    assert_eq!(task(&next, "refused")["outcome"]["class"], "gate_failed", "{next:#}");
    assert!(house.read("a.rs").contains("sum"));
    let prompts: Vec<String> = fake.turns().into_iter().map(|turn| turn.prompt).collect();
    assert_eq!(
        prompts.iter().filter(|prompt| prompt.contains("whole word")).count(),
        1,
        "{prompts:?}"
    );
    assert!(
        prompts.iter().any(|prompt| prompt.contains("Change the version")),
        "{prompts:?}"
    );
}

#[test]
fn a_good_score_leaves_steps_out() {
    let says = |words: &str, text: &str| Rule::any().says(words).reply(Reply::text(text));
    let good = "FINDING: P3 r.md:1 - a word - line 1\n--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 90\nSCORE: 9\nSUMMARY: good\n---";
    let rules = [
        says("Independent review", good),
        says("Review this output", good),
        says("Shall it go out", "VERDICT: approve\nSCORE: 9"),
        says("draft", "The draft."),
    ];
    let fake = ModelApi::start(rules.into_iter().fold(Script::default(), Script::rule)).unwrap();
    let house = house(&fake);
    house.write(
        "plan.yaml",
        "tasks:\n  - id: work\n    agent: sonnet\n    prompt: \"Write the draft.\"\n    \
         workflow: {kind: qc, reviewer: gpt, enough: 8}\n  \
         - id: vote\n    needs: [work]\n    prompt: \"Shall it go out?\"\n    workflow: {kind: consensus, seats: [sonnet, gpt]}\n  \
         - id: polish\n    agent: gpt\n    needs: [work, vote]\n    prompt: \"Polish it.\"\n    \
         skip_if: [\"work.score >= 8\", \"vote.score >= 8\"]\n",
    );
    let run = house.json(&["run", "plan.yaml"]);
    let keys: Vec<&str> = run["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["key"].as_str().unwrap())
        .collect();
    assert!(!keys.contains(&"work.incorporate"), "{keys:?}");
    assert_eq!(task(&run, "polish")["outcome"]["class"], "skipped", "{run:#}");
    let trail = house
        .ok(&["result", "r1/work", "--full", "--artifact", "provenance"])
        .out;
    assert!(trail.contains("the score is 9, and 8 is enough"), "{trail}");
    let skipped = receipt(&house, "r1", "skip");
    assert!(
        skipped["would_tokens"].as_u64() > Some(0) && skipped["subject"] == "polish",
        "{skipped:#}"
    );
}

#[test]
fn a_share_of_what_is_not_needed_is_done_all_the_same_to_see_what_skipping_costs() {
    let fake = ModelApi::start(
        Script::default()
            .rule(
                Rule::any()
                    .says("part 7")
                    .reply(Reply::text("FINDING: P1 a.rs:3 - it is wrong\nVERDICT: revise")),
            )
            .rule(Rule::any().says("part 8").reply(Reply::text("It was improved.")))
            .rule(Rule::any().says("Review").reply(Reply::text("VERDICT: approve"))),
    )
    .unwrap();
    let house = house(&fake);
    let plan = |percent: &str| {
        let look = |number: u32| {
            format!(
                "  - {{id: look{number}, agent: gpt, needs: score, prompt: \"Review part {number}.\", skip_if: score >= 8{percent}}}\n"
            )
        };
        let looks: String = (1..=40).map(look).collect();
        house.write(
            "plan.yaml",
            &format!("tasks:\n  - {{id: score, exec: \"echo SCORE: 9\"}}\n{looks}"),
        );
        house.json(&["run", "plan.yaml"])
    };
    let done = |run: &Value| -> Vec<String> {
        let tasks = run["tasks"].as_array().unwrap().iter();
        let done = tasks.filter(|task| task["agent"] == "gpt" && task["outcome"]["class"] != "skipped");
        done.map(|task| task["key"].as_str().unwrap().to_owned()).collect()
    };
    let none = plan("");
    assert!(done(&none).is_empty(), "{none:#}");
    assert!(fake.turns().is_empty());

    let some = plan(", skip_audit: 20");
    let audited = done(&some);
    assert!((1..=20).contains(&audited.len()), "about one in five: {audited:?}");
    assert_eq!(fake.turns().len(), audited.len(), "and nobody else was asked");
    let account = house.json(&["economy", "r2"]);
    assert_eq!(account["skip_audits"].as_array().unwrap().len(), audited.len());

    // All of them, with what they came to.
    plan(", skip_audit: 100");
    let account = house.json(&["economy", "r3"]);
    let of = |task: &str| {
        let all = account["skip_audits"].as_array().unwrap();
        all.iter()
            .find(|one| one["task"] == task)
            .unwrap_or_else(|| panic!("{account:#}"))
    };
    assert_eq!(of("look1")["missed"], false);
    assert_eq!(of("look7")["missed"], true, "a grave finding would have been missed");
    assert_eq!(
        of("look7")["found"],
        "it says revise, with 1 findings, 1 of them P0 or P1"
    );
    assert_eq!(of("look8")["missed"], Value::Null, "without a verdict nobody can tell");
    let shown = house.ok(&["economy", "r3"]).out;
    assert!(
        shown.contains("not needed and done all the same: 40; skipping 1 of them would have missed something"),
        "{shown}"
    );
    house.write("bad.yaml", "tasks:\n  - {id: a, exec: ls, skip_audit: 5}\n");
    let bad = house.run(&["plan", "check", "bad.yaml"]);
    assert!(
        format!("{}{}", bad.out, bad.err).contains("it is never skipped"),
        "{}{}",
        bad.out,
        bad.err
    );
}

#[test]
fn a_shortcut_of_a_command_is_warned_of() {
    let fake = ModelApi::start(Script::default()).unwrap();
    let house = house(&fake);
    house.write("plan.yaml", "tasks:\n  - {id: a, exec: ls, shortcut: auto}\n");
    let checked = house.ok(&["plan", "check", "plan.yaml"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert!(
        said.contains("`shortcut` has no meaning for it") && said.contains("exec-shortcut"),
        "{said}"
    );
}
