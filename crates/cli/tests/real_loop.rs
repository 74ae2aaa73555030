//! The five-step loop with real agents against the fake model: Claude Code writes, Codex, Gemini CLI and a model behind an API
//! review and edit, each in its own tree, and what is approved is merged. Run by hand:
//! `WHEELHOUSE_REAL_AGENTS=DIR cargo test -p wheelhouse-cli --test real_loop -- --ignored real_agents`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::fs;

use serde_json::Value;
use wheelhouse_testkit::model_api::{Act, Attempt, Reply, Rule, Script};

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod real;

use real::House;

/// How each step is recognised by its words.
const SELF: &str = "Review this output of yours";
const CROSS: &str = "Independent review.";
const AGAIN: &str = "WHAT WAS WRONG WITH IT BEFORE";
const MEND: &str = "best possible final output";
const JUDGE: &str = "Judge whether this answer";

const APPROVE: &str = "--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 90\nSCORE: 9\nSUMMARY: good\n---";
const REJECT: &str = "FINDING: P1 sum.txt:1 - the sum is wrong - 2 and 2 are not 5\n--- VERDICT ---\nSTATUS: fail\nSCORE: 3\nSUMMARY: wrong sum\n---";

fn says(words: &str, text: &str) -> Rule {
    Rule::any().says(words).reply(Reply::text(text))
}

/// A house whose agents have these rules, and besides the vendors' own a Codex that does one-shots and a model behind an API.
fn house(rules: Vec<Rule>) -> House {
    let house = House::new(rules.into_iter().fold(Script::new(), Script::rule));
    let path = house.project().join("wheelhouse.toml");
    let settings = fs::read_to_string(&path).unwrap();
    let more = format!(
        "[agents.once]\nbackend = \"codex\"\none_shot = \"on\"\n[agents.grok]\nbackend = \"api\"\napi = \"xai\"\n\
         base_url = \"{}\"\nmodel = \"grok-4.5\"\nkey_env = \"OPENAI_API_KEY\"\n",
        house.api.openai_url()
    );
    fs::write(path, settings + &more).unwrap();
    house
}

fn json(house: &House, words: &[&str]) -> Value {
    let said = house.ok(&[words, &["--json"]].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The steps of a loop with who did them, from its provenance.
fn steps(house: &House, task: &str) -> Vec<String> {
    let said = house.ok(&["result", task, "--full", "--artifact", "provenance"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let steps = report["steps"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    let shown = |step: &Value| {
        let word = |key: &str| step[key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {}",
            word("step"),
            word("agent"),
            word("outcome"),
            word("verdict")
        )
    };
    steps.iter().map(shown).collect()
}

/// Which protocols the model was asked over by whoever said that.
fn asked_over(house: &House, words: &str) -> Vec<String> {
    let turns = house.api.turns();
    let of_words = turns.iter().filter(|turn: &&Attempt| turn.prompt.contains(words));
    let mut found: Vec<String> = of_words.map(|turn| turn.model.clone()).collect();
    found.dedup();
    found
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_do_the_five_steps_and_what_was_rejected_is_mended_by_a_third() {
    let mended = Act::Edit {
        path: "sum.txt".to_owned(),
        content: "2 + 2 = 4\n".to_owned(),
    };
    let house = house(vec![
        says(SELF, APPROVE),
        says(AGAIN, APPROVE),
        says(CROSS, REJECT),
        Rule::any()
            .says(MEND)
            .reply(Reply::act(mended).then("Mended.\nCONFIDENCE: 90")),
    ]);
    fs::write(
        house.project().join("plan.yaml"),
        r#"
defaults: {isolation: worktree, merge: branch, timeout: 3m}
tasks:
  - id: sum
    agent: claude
    prompt: "[[edit:sum.txt:2 + 2 = 5\n]]"
    verify: ["test -e sum.txt"]
    workflow: {kind: qc, reviewer: codex, editor: gemini, stakes: high}
"#,
    )
    .unwrap();
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(
        steps(&house, "sum"),
        [
            "produce claude succeeded -",
            "self-review claude succeeded approve",
            "cross-check codex succeeded reject",
            "incorporate gemini succeeded -",
            "cross-check-2 codex succeeded approve",
        ]
    );
    house.ok(&["merge", "r1"]);
    let sum = fs::read_to_string(house.project().join("sum.txt")).unwrap();
    assert_eq!(sum.trim_end(), "2 + 2 = 4");
    assert!(house.api.violations().is_empty(), "{:#?}", house.api.violations());
    house.ok(&["fsck"]);
    house.until_all_processes_are_gone("after the run");
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_are_checked_by_a_model_behind_an_api_and_judged_by_a_one_shot() {
    let house = house(vec![says(SELF, APPROVE), says(CROSS, APPROVE), says(JUDGE, APPROVE)]);
    fs::write(
        house.project().join("plan.yaml"),
        r#"
defaults: {timeout: 3m}
tasks:
  - id: words
    agent: claude
    prompt: "[[say:The words.\nCONFIDENCE: 80]]"
    workflow: {kind: qc, reviewer: grok, editor: codex}
  - id: gated
    agent: gemini
    fallback: [claude]
    prompt: "[[say:The answer.]]"
    gate: {reviewer: once, score: 7}
"#,
    )
    .unwrap();
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(
        steps(&house, "words"),
        [
            "produce claude succeeded -",
            "self-review claude succeeded approve",
            "cross-check grok succeeded approve",
        ]
    );
    assert_eq!(asked_over(&house, CROSS), ["grok-4.5"]);
    assert_eq!(
        steps(&house, "gated"),
        ["answer-1 gemini succeeded -", "judge-1 once succeeded approve"]
    );
    let result = json(&house, &["result", "gated"]);
    assert_eq!(
        result["output"].as_str().map(str::trim_end),
        Some("The answer."),
        "{result:#}"
    );
    // `codex exec` prints no model; the record of its thread has it.
    let judge = json(&house, &["result", "gated.judge-1"]);
    assert_eq!(
        (&judge["model_used"], &judge["model_source"]),
        (&"gpt-5.5".into(), &"reported".into()),
        "{judge:#}"
    );
    assert!(house.api.violations().is_empty(), "{:#?}", house.api.violations());
    house.until_all_processes_are_gone("after the run");
}
