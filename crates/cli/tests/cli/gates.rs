//! Gates of chains, from outside: a judge of another vendor decides whether an answer counts, and bad judges decide nothing.

use nix::sys::signal::Signal;
use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::{House, until};

/// How a judge's question is recognised.
const JUDGE: &str = "Judge whether this answer";

/// Agents of four vendors behind one fake.
fn house(fake: &ModelApi, plan: &str) -> House {
    let house = House::new().with_env("A_KEY", "sk-x");
    let agent = |name: &str, api: &str, url: &str, model: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"{api}\"\nbase_url = \"{url}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\n"
        )
    };
    let (base, openai) = (fake.base_url(), fake.openai_url());
    let settings = [
        agent("haiku", "anthropic", &base, "claude-haiku-4-5"),
        agent("sonnet", "anthropic", &base, "claude-sonnet-4-6"),
        agent("gpt", "openai", &openai, "gpt-4o"),
        agent("flash", "gemini", &base, "gemini-2.5-pro"),
    ];
    house.write("wheelhouse.toml", &settings.concat());
    house.write("plan.yaml", plan);
    house
}

fn fake(rules: Vec<Rule>) -> ModelApi {
    let script = rules.into_iter().fold(Script::default(), Script::rule);
    ModelApi::start(script).unwrap()
}

fn by(model: &str, text: &str) -> Rule {
    Rule::any().model(model).reply(Reply::text(text))
}

/// What the judge says of the so-manieth answer.
fn judged(number: u32, verdict: &str) -> Rule {
    let words = format!(
        "THE ANSWER:
<output task=\"t.answer-{number}\""
    );
    Rule::any().says(&words).reply(Reply::text(verdict))
}

fn verdict(status: &str, score: u8) -> String {
    format!(
        "FINDING: P2 the year is missing - it says only March\n--- VERDICT ---\nSTATUS: {status}\nCONFIDENCE: 80\nSCORE: {score}\nSUMMARY: scored {score}\n---"
    )
}

fn asked(fake: &ModelApi, model: &str) -> usize {
    fake.turns().iter().filter(|turn| turn.model == model).count()
}

/// Who gave a try to a task or a step of it, and how that ended.
fn trail(result: &Value) -> Vec<String> {
    let steps = result["provenance"].as_array().unwrap_or_else(|| panic!("{result:#}"));
    let shown = |step: &Value| {
        format!(
            "{} {} {}",
            step["task"].as_str().unwrap_or("-"),
            step["agent"].as_str().unwrap(),
            step["outcome"].as_str().unwrap()
        )
    };
    steps.iter().map(shown).collect()
}

const CHAIN: &str = "tasks:\n  - {id: t, agent: haiku, fallback: [sonnet, flash], gate: {reviewer: gpt, score: 7}, retry: 0, prompt: \"When was it?\"}\n";

#[test]
fn what_its_judge_rejects_goes_to_the_next_with_what_was_wrong() {
    let fake = fake(vec![
        judged(1, &verdict("fail", 3)),
        judged(2, &verdict("pass", 9)),
        by("claude-haiku-4-5", "In March, I think."),
        by("claude-sonnet-4-6", "On the 3rd of March 2024."),
    ]);
    let house = house(&fake, CHAIN);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(fake.violations(), []);
    let result = house.json(&["result", "t"]);
    assert_eq!(result["output"], "On the 3rd of March 2024.", "{result:#}");
    assert_eq!(
        (&result["model_used"], &result["fallback_depth"], &result["weak"]),
        (&"claude-sonnet-4-6".into(), &1.into(), &false.into())
    );
    assert_eq!(
        trail(&result),
        [
            "t.answer-1 haiku succeeded",
            "t.judge-1 gpt succeeded",
            "t.answer-2 sonnet succeeded",
            "t.judge-2 gpt succeeded"
        ]
    );
    assert_eq!(asked(&fake, "gemini-2.5-pro"), 0, "who is not needed is not paid");
    let turns = fake.turns();
    let second = turns.iter().find(|turn| turn.model == "claude-sonnet-4-6").unwrap();
    assert!(
        second.prompt.contains("In March, I think.") && second.prompt.contains("the year is missing"),
        "{}",
        second.prompt
    );
    let judge = turns.iter().find(|turn| turn.model == "gpt-4o").unwrap();
    assert!(
        !judge.prompt.contains("haiku"),
        "it is told who wrote it: {}",
        judge.prompt
    );
    // The judge is paid for as part of the task, and in sums once.
    let task = house.json(&["status", "t"]);
    let steps = task["steps"].as_array().unwrap().iter();
    let sum: u64 = steps.map(|step| step["cost"]["known_nano"].as_u64().unwrap()).sum();
    assert!(sum > 0);
    assert_eq!(
        (&task["cost"]["known_nano"], &run["run"]["cost"]["known_nano"]),
        (&sum.into(), &sum.into())
    );
}

#[test]
fn of_answers_that_are_all_weak_the_best_scored_is_kept() {
    let fake = fake(vec![
        judged(1, &verdict("fail", 3)),
        judged(2, &verdict("pass", 6)),
        judged(3, &verdict("fail", 2)),
        by("claude-haiku-4-5", "Guess one."),
        by("claude-sonnet-4-6", "Guess two."),
        by("gemini-2.5-pro", "Guess three."),
    ]);
    let house = house(&fake, CHAIN);
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    let result = house.json(&["result", "t"]);
    assert_eq!(result["output"], "Guess two.", "{result:#}");
    assert_eq!(
        (&result["model_used"], &result["fallback_depth"], &result["weak"]),
        (&"claude-sonnet-4-6".into(), &1.into(), &true.into())
    );
    let task = house.json(&["status", "t"]);
    assert_eq!(task["task"]["outcome"]["class"], "low_confidence", "{task:#}");
    let said = result["result"]["summary"].as_str().unwrap();
    assert!(
        said.contains("nobody passed the gate") && said.contains("6 of 10"),
        "{said}"
    );
    assert_eq!(asked(&fake, "gpt-4o"), 3);
}

#[test]
fn links_that_fail_are_left_as_in_every_chain_and_what_follows_is_judged() {
    let fake = fake(vec![
        judged(1, &verdict("pass", 8)),
        Rule::any()
            .model("claude-haiku-4-5")
            .reply(Reply::text("never").fault("404-retired").unwrap()),
        by("claude-sonnet-4-6", "Fine words."),
    ]);
    let house = house(&fake, CHAIN);
    house.ok(&["run", "plan.yaml"]);
    let result = house.json(&["result", "t"]);
    assert_eq!(
        (&result["output"], &result["fallback_depth"]),
        (&"Fine words.".into(), &1.into()),
        "{result:#}"
    );
    assert_eq!(
        trail(&result),
        [
            "t.answer-1 haiku unavailable",
            "t.answer-1 sonnet succeeded",
            "t.judge-1 gpt succeeded"
        ]
    );
}

#[test]
fn a_judge_that_says_nothing_of_use_decides_nothing() {
    for (says, why) in [
        ("Nice weather today.", "holds no verdict"),
        (
            "--- VERDICT ---\nSTATUS: error\nSUMMARY: cannot see it\n---",
            "could not tell",
        ),
        ("--- VERDICT ---\nSTATUS: pass\nSUMMARY: fine\n---", "gave no score"),
    ] {
        let fake = fake(vec![
            Rule::any().says(JUDGE).reply(Reply::text(says)),
            by("claude-haiku-4-5", "An answer."),
        ]);
        let house = house(&fake, CHAIN);
        let done = house.run(&["run", "plan.yaml"]);
        assert_eq!(done.code, Some(3), "it waits for a person: {done:?}");
        let questions = house.json(&["status"])["questions"].clone();
        assert!(
            questions[0]["text"].as_str().unwrap().contains(why),
            "{why}: {questions:#}"
        );
        assert_eq!(asked(&fake, "claude-sonnet-4-6"), 0, "nobody else was paid for it");
    }
}

#[test]
fn a_judge_that_crashes_approves_of_nothing() {
    let fake = fake(vec![
        Rule::any()
            .says(JUDGE)
            .reply(Reply::text("x").fault("404-retired").unwrap()),
        by("claude-haiku-4-5", "An answer."),
    ]);
    let plan = CHAIN.replace("retry: 0", "retry: 0, on_failure: fail");
    let house = house(&fake, &plan);
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    let result = house.json(&["result", "t"]);
    assert_eq!(
        (&result["output"], &result["weak"]),
        (&"An answer.".into(), &true.into()),
        "{result:#}"
    );
    let said = result["result"]["summary"].as_str().unwrap();
    assert!(said.contains("its judge ended as unavailable"), "{said}");
}

#[test]
fn a_judge_that_always_approves_sees_only_what_passed_its_checks() {
    let fake = fake(vec![
        Rule::any().says(JUDGE).reply(Reply::text(&verdict("pass", 10))),
        by("claude-haiku-4-5", "Wrong."),
        by("claude-sonnet-4-6", "Wrong as well."),
        by("gemini-2.5-pro", "Still wrong."),
    ]);
    let plan = CHAIN.replace("retry: 0", "retry: 0, verify: [\"false\"]");
    let house = house(&fake, &plan);
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    assert_eq!(asked(&fake, "gpt-4o"), 0, "hard evidence comes first");
    let task = house.json(&["status", "t"]);
    assert_eq!(task["task"]["outcome"]["class"], "gate_failed", "{task:#}");
}

#[test]
fn nobody_judges_its_own_vendor() {
    let fake = fake(vec![
        judged(1, &verdict("fail", 2)),
        judged(2, &verdict("pass", 9)),
        by("claude-haiku-4-5", "By haiku."),
        by("gpt-4o", "By gpt."),
    ]);
    let plan = "tasks:\n  - {id: t, agent: haiku, fallback: [gpt], gate: {reviewer: [gpt, sonnet]}, prompt: Who?}\n";
    let house = house(&fake, plan);
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(
        trail(&house.json(&["result", "t"])),
        [
            "t.answer-1 haiku succeeded",
            "t.judge-1 gpt succeeded",
            "t.answer-2 gpt succeeded",
            "t.judge-2 sonnet succeeded"
        ]
    );
    let refused = |gate: &str, words: &str| {
        let plan = format!("tasks:\n  - {{id: t, agent: haiku, fallback: [gpt], prompt: Who?, {gate}}}\n");
        house.write("bad.yaml", &plan);
        let refused = house.run(&["plan", "check", "bad.yaml"]);
        assert!(
            refused.code != Some(0) && refused.out.contains(words),
            "{gate}: {refused:?}"
        );
    };
    refused("gate: {reviewer: gpt}", "would judge what `gpt` wrote");
    refused("gate: {reviewer: nobody}", "unknown-agent");
    refused("gate: {score: 11}", "from 1 to 10");
    refused("gate: strict", "`review`");
    refused("gate: review, isolation: worktree", "workflow: qc");
    refused("gate: review, workflow: qc", "gates of their own");
    refused("gate: review, plan: true", "returns tasks");
    refused("gate: verdict, schema: {type: object}", "no place for a verdict");
    house.write("bad.yaml", "tasks:\n  - {id: t, exec: \"true\", gate: review}\n");
    assert!(house.run(&["plan", "check", "bad.yaml"]).out.contains("verify"));
    let shown = house.ok(&["plan", "check", "plan.yaml"]);
    assert!(
        format!("{}{}", shown.out, shown.err).contains("t: gate by link-1 haiku"),
        "who takes part is not said: {shown:?}"
    );
}

#[test]
fn a_review_that_holds_no_verdict_goes_to_the_next_reviewer() {
    let fake = fake(vec![
        by("claude-haiku-4-5", "Looks nice."),
        by(
            "gpt-4o",
            "--- VERDICT ---\nSTATUS: fail\nSUMMARY: the sum is wrong\n---",
        ),
    ]);
    let plan = "tasks:\n  - {id: t, agent: haiku, fallback: [gpt], gate: verdict, retry: 2, prompt: \"Review it.\"}\n";
    let house = house(&fake, plan);
    house.ok(&["run", "plan.yaml"]);
    let result = house.json(&["result", "t"]);
    assert_eq!(trail(&result), ["- haiku low_confidence", "- gpt succeeded"]);
    assert_eq!(asked(&fake, "claude-haiku-4-5"), 1, "it is not asked again");
    let first = &fake.turns()[0];
    assert!(first.prompt.contains("STATUS: pass|fail|warn"), "{}", first.prompt);
}

#[test]
fn a_gate_that_is_killed_before_its_judgement_asks_nobody_twice() {
    let fake = fake(vec![
        Rule::any()
            .says(JUDGE)
            .reply(Reply::text(&verdict("pass", 9)).hold("gate")),
        by("claude-haiku-4-5", "An answer."),
    ]);
    let house = house(&fake, CHAIN);
    let running = house.start(&["run", "plan.yaml"]);
    until("its judge is asked", || asked(&fake, "gpt-4o") == 1);
    running.signal(Signal::SIGKILL);
    running.done();
    house.until_no_engine();
    fake.release("gate");
    house.ok(&["resume"]);
    let result = house.json(&["result", "t"]);
    assert_eq!(result["output"], "An answer.", "{result:#}");
    assert_eq!([asked(&fake, "claude-haiku-4-5"), asked(&fake, "gpt-4o")], [1, 2]);
}
