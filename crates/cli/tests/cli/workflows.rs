//! Tasks that are workflows, from outside: agents of several vendors on the fake model API, crashes, bad days.

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::House;
use crate::isolation::{git, repository};

/// Agents of three vendors behind one fake.
fn settings(fake: &ModelApi) -> String {
    let agent = |name: &str, api: &str, url: &str, model: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"{api}\"\nbase_url = \"{url}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\n"
        )
    };
    let (base, openai) = (fake.base_url(), fake.openai_url());
    let openai = openai.as_str();
    [
        agent("haiku", "anthropic", &base, "claude-haiku-4-5"),
        agent("sonnet", "anthropic", &base, "claude-sonnet-4-6"),
        agent("opus", "anthropic", &base, "claude-opus-4-6"),
        agent("gpt", "openai", openai, "gpt-4o"),
        agent("grok", "xai", openai, "grok-3"),
        agent("flash", "gemini", &base, "gemini-2.5-pro"),
    ]
    .concat()
}

fn house(fake: &ModelApi, plan: &str) -> House {
    let house = House::new().with_env("A_KEY", "sk-x");
    house.write("wheelhouse.toml", &settings(fake));
    house.write("plan.yaml", plan);
    house
}

/// How each step of the loop is recognised by its words.
const SELF: &str = "Review this output of yours";
const CROSS: &str = "Independent review.";
const MEND: &str = "best possible final output";

const APPROVE: &str = "Looks right.\n--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 90\nSCORES: accuracy 9, completeness 8, clarity 9\nSUMMARY: good\n---";
const REMARK: &str = "FINDING: P2 report.md:3 - the year is missing - line 3 says only March\n--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 80\nSCORE: 8\nSUMMARY: one remark\n---";
const REJECT: &str = "FINDING: P1 report.md:7 - the sum is wrong - 2 and 2 are not 5\nUNRESOLVED: which currency\n--- VERDICT ---\nSTATUS: fail\nCONFIDENCE: 85\nSCORE: 4\nSUMMARY: wrong sum\n---";

fn fake(rules: Vec<Rule>) -> ModelApi {
    let script = rules.into_iter().fold(Script::default(), Script::rule);
    ModelApi::start(script).unwrap()
}

fn says(words: &str, text: &str) -> Rule {
    Rule::any().says(words).reply(Reply::text(text))
}

fn provenance(house: &House, task: &str) -> Value {
    let done = house.ok(&["result", task, "--full", "--artifact", "provenance"]);
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
}

fn keys(run: &Value) -> Vec<String> {
    let tasks = run["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| task["key"].as_str().unwrap().to_owned())
        .collect()
}

fn result(run: &Value, key: &str) -> Value {
    let tasks = run["tasks"].as_array().unwrap();
    tasks
        .iter()
        .find(|task| task["key"] == key)
        .unwrap_or_else(|| panic!("no {key} in {run:#}"))
        .clone()
}

const QC: &str = r#"
tasks:
  - id: report
    agent: sonnet
    prompt: "Write the quarterly report."
    workflow: {kind: qc, reviewer: gpt, editor: opus, stakes: high}
  - id: after
    needs: [report]
    exec: "printf '%s' {{ tasks.report.result }}"
"#;

#[test]
fn the_five_step_loop_runs_over_two_vendors() {
    let fake = fake(vec![
        says(SELF, REMARK),
        says(CROSS, APPROVE),
        says(MEND, "The final report.\nCONFIDENCE: 88\nUNRESOLVED: who signs it"),
        says("quarterly report", "The draft.\nCONFIDENCE: 70"),
    ]);
    let house = house(&fake, QC);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(
        keys(&run),
        [
            "report",
            "after",
            "report.produce",
            "report.self-review",
            "report.cross-check",
            "report.incorporate"
        ]
    );
    assert_eq!(fake.violations(), []);
    let report = provenance(&house, "report");
    assert_eq!(report["provenance"]["producer"], "sonnet", "{report:#}");
    assert_eq!(report["provenance"]["reviewer"], "sonnet");
    assert_eq!(report["provenance"]["cross_checker"], "gpt");
    assert_eq!(report["provenance"]["synthesizer"], "opus");
    assert_eq!(report["steps_completed"], 4);
    assert_eq!(report["unresolved"][0], "who signs it");
    let confidence = report["confidence"].as_u64().unwrap();
    assert!(
        (50..=90).contains(&confidence),
        "nothing was checked by the engine: {confidence}"
    );
    // Who comes after gets the final output; who cross-checks is not told who wrote it.
    assert!(
        result(&run, "after")["result"]["summary"]
            .as_str()
            .unwrap()
            .contains("The final report.")
    );
    let cross = fake
        .turns()
        .into_iter()
        .find(|turn| turn.prompt.contains(CROSS))
        .unwrap();
    assert!(
        cross.prompt.contains("The draft.") && !cross.prompt.contains("sonnet"),
        "{}",
        cross.prompt
    );
    // What the steps cost is what the task costs, and nothing is counted twice.
    let task = house.json(&["status", "report"]);
    let steps: u64 = task["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["cost"]["known_nano"].as_u64().unwrap())
        .sum();
    assert!(steps > 0);
    assert_eq!(task["cost"]["known_nano"], steps);
    assert_eq!(run["run"]["cost"]["known_nano"], steps);
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_rejected_is_mended_by_somebody_else_and_checked_again() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says("MENDED report", APPROVE),
        says(CROSS, REJECT),
        says(MEND, "MENDED report.\nCONFIDENCE: 90"),
        says("quarterly report", "A draft with 2 + 2 = 5."),
    ]);
    let house = house(&fake, QC);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    let report = provenance(&house, "report");
    let steps: Vec<(&str, &str)> = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["agent"].as_str().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("produce", "sonnet"),
            ("self-review", "sonnet"),
            ("cross-check", "gpt"),
            ("incorporate", "opus"),
            ("cross-check-2", "gpt"),
        ]
    );
}

#[test]
fn two_rounds_of_mending_are_all_there_are() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says(CROSS, REJECT),
        says(MEND, "Still wrong."),
        says("quarterly report", "Wrong."),
    ]);
    let house = house(&fake, QC);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], false);
    let report = result(&run, "report");
    assert_eq!(report["outcome"]["class"], "gate_failed", "{report:#}");
    assert!(
        report["result"]["summary"]
            .as_str()
            .unwrap()
            .contains("FINDING: P1 report.md:7"),
        "{report:#}"
    );
    assert_eq!(result(&run, "after")["outcome"]["class"], "skipped");
    let rounds = keys(&run).iter().filter(|key| key.contains("incorporate")).count();
    assert_eq!(rounds, 2);
}

#[test]
fn a_reviewer_without_a_verdict_approves_nothing() {
    for (answer, why) in [
        (
            says(CROSS, "I approve of this wholeheartedly, ship it."),
            "holds no verdict",
        ),
        (
            Rule::any()
                .says(CROSS)
                .reply(Reply::text("x").fault("404-retired").unwrap()),
            "ended as",
        ),
    ] {
        let fake = fake(vec![
            answer,
            says(SELF, APPROVE),
            says("quarterly report", "The draft."),
        ]);
        let house = house(&fake, QC);
        let done = house.run(&["run", "plan.yaml"]);
        assert_eq!(done.code, Some(3), "it waits for a person: {done:#?}");
        let task = house.json(&["status", "report"]);
        assert_eq!(task["task"]["state"], "held", "{task:#}");
        let questions = house.json(&["status"])["questions"].clone();
        assert!(questions[0]["text"].as_str().unwrap().contains(why), "{questions:#}");
    }
}

#[test]
fn a_reviewer_that_approves_everything_does_not_get_past_the_checks() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says(CROSS, APPROVE),
        says(MEND, "done"),
        says("quarterly report", "I wrote it."),
    ]);
    let plan = QC.replace("    workflow:", "    verify: [\"test -f report.md\"]\n    workflow:");
    let house = house(&fake, &plan);
    let run = house.json(&["run", "plan.yaml"]);
    let report = result(&run, "report");
    assert_eq!(report["outcome"]["class"], "gate_failed", "{report:#}");
    assert_eq!(
        keys(&run),
        ["report", "after", "report.produce"],
        "nobody is asked about what fails its checks"
    );
}

#[test]
fn an_approval_with_a_serious_finding_is_none() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says(CROSS, &REJECT.replace("STATUS: fail", "STATUS: pass")),
        says(MEND, "again"),
        says("quarterly report", "The draft."),
    ]);
    let house = house(&fake, QC);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(result(&run, "report")["outcome"]["class"], "gate_failed", "{run:#}");
}

#[test]
fn seats_of_different_vendors_decide_and_a_critical_finding_stops_them() {
    let plan = r#"
tasks:
  - id: ship
    prompt: "Shall we ship?"
    workflow: {kind: consensus, seats: [sonnet, opus, gpt, flash], quorum: 3}
"#;
    let yes = fake(vec![says("Shall we ship?", APPROVE)]);
    let agreed = house(&yes, plan);
    let run = agreed.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    let said = agreed.ok(&["result", "ship", "--full"]).out;
    assert!(said.starts_with("agreed by anthropic, google, openai"), "{said}");

    let critical = "FINDING: P0 src/a.rs:3 - keys are logged - line 3\nVERDICT: reject";
    let stopped = fake(vec![
        Rule::any().model("gpt-*").reply(Reply::text(critical)),
        says("Shall we ship?", APPROVE),
    ]);
    let vetoed = house(&stopped, plan);
    let run = vetoed.json(&["run", "plan.yaml"]);
    let ship = result(&run, "ship");
    assert_eq!(ship["outcome"]["class"], "gate_failed", "{ship:#}");
    assert!(
        ship["result"]["summary"].as_str().unwrap().contains("P0 src/a.rs:3"),
        "{ship:#}"
    );

    let silent = fake(vec![
        Rule::any().model("gpt-*").reply(Reply::text("I like it.")),
        Rule::any().model("gemini-*").reply(Reply::text("ok")),
        says("Shall we ship?", APPROVE),
    ]);
    let undecided = house(&silent, plan);
    assert_eq!(undecided.run(&["run", "plan.yaml"]).code, Some(3), "a person decides");
}

#[test]
fn a_cascade_goes_up_with_the_lesson_and_stops_where_it_passes() {
    let plan = r#"
tasks:
  - id: t
    prompt: "Solve it."
    workflow: {kind: cascade, rungs: [haiku, sonnet, opus], confidence: 60}
"#;
    let fake = fake(vec![
        Rule::any()
            .model("*haiku*")
            .reply(Reply::text("A guess.\nCONFIDENCE: 20")),
        Rule::any()
            .model("*sonnet*")
            .reply(Reply::text("Solved.\nCONFIDENCE: 90")),
    ]);
    let house = house(&fake, plan);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(
        keys(&run),
        ["t", "t.rung-1.1", "t.rung-1.2", "t.rung-2.1"],
        "two strikes, then up"
    );
    assert!(house.ok(&["result", "t", "--full"]).out.contains("Solved."));
    let up = fake
        .turns()
        .into_iter()
        .find(|turn| turn.model.contains("sonnet"))
        .unwrap();
    assert!(
        up.prompt.contains("it was 20 % sure; 60 % are needed") && up.prompt.contains("A guess."),
        "{}",
        up.prompt
    );
    assert_eq!(provenance(&house, "t")["skipped"][0]["step"], "rung-3 (opus)");
}

#[test]
fn a_grinder_that_flags_a_doubt_is_not_made_to_guess() {
    let plan = r#"
tasks:
  - id: t
    prompt: "Choose the database."
    workflow: {kind: cascade, rungs: [haiku, opus]}
"#;
    let unsure = "UNCERTAIN: whether we may pay for a licence\nCONFIDENCE: 95";
    let decided = fake(vec![
        Rule::any().model("*haiku*").reply(Reply::text(unsure)),
        Rule::any()
            .model("*opus*")
            .reply(Reply::text("SQLite.\nCONFIDENCE: 90")),
    ]);
    let one = house(&decided, plan);
    let run = one.json(&["run", "plan.yaml"]);
    assert_eq!(
        keys(&run),
        ["t", "t.rung-1.1", "t.rung-2.1"],
        "a doubt goes up at once, whatever it says of its confidence"
    );
    let nobody = fake(vec![Rule::any().says("database").reply(Reply::text(unsure))]);
    let two = house(&nobody, plan);
    assert_eq!(two.run(&["run", "plan.yaml"]).code, Some(3));
    let question = two.json(&["status"])["questions"][0]["text"].clone();
    assert!(question.as_str().unwrap().contains("whether we may pay"), "{question}");
}

#[test]
fn a_map_keeps_within_its_bound_and_reduces_what_came_out() {
    let plan = r#"
tasks:
  - {id: list, exec: "printf 'a\nb b\nc\nd\ne'"}
  - id: m
    needs: [list]
    agent: sonnet
    prompt: "Translate {{ item }} now."
    workflow: {kind: map, over: list, in_flight: 2, reduce: "Join these: {{ results }}", reducer: gpt}
"#;
    let fake = fake(vec![says("Join these", "All joined."), says("Translate", "translated")]);
    let house = house(&fake, plan);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(keys(&run), ["list", "m", "m.1", "m.2", "m.3", "m.4", "m.5", "m.reduce"]);
    assert_eq!(result(&run, "m")["result"]["summary"], "All joined.");
    let turns = fake.turns();
    let second = turns.iter().find(|turn| turn.prompt.contains("b b")).unwrap();
    assert!(
        second.prompt.contains("trust=\"untrusted\""),
        "an input that a task gave is data: {}",
        second.prompt
    );
    let joined = turns.iter().find(|turn| turn.prompt.contains("Join these")).unwrap();
    assert_eq!(joined.prompt.matches("translated").count(), 5, "{}", joined.prompt);
}

#[test]
fn a_command_is_mapped_with_its_input_as_one_word() {
    let plan = "tasks:\n  - id: m\n    exec: \"printf '<%s>' {{ item }}\"\n    workflow: {kind: map, over: [\"a b\", \"$(touch evil)\", \"it's\"], failures: 0}\n";
    let fake = fake(Vec::new());
    let house = house(&fake, plan);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    let out = house.ok(&["result", "m", "--full"]).out;
    for word in ["<a b>", "<$(touch evil)>", "<it's>"] {
        assert!(out.contains(word), "{word} in {out}");
    }
    assert!(!house.project().join("evil").exists());
    assert_eq!(fake.turns().len(), 0);
}

/// Killed after every commit in turn, the loop goes on where it was: each step is settled once, and no model is asked
/// twice for what it has answered.
#[test]
fn killed_after_any_commit_a_workflow_loses_nothing_and_repeats_nothing() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says(CROSS, APPROVE),
        says(MEND, "The final report."),
        says("quarterly report", "The draft."),
    ]);
    let mut killed = 0;
    for commit in [2, 4, 6, 8, 11] {
        fake.reset();
        let house = house(&fake, QC).with_env("WHEELHOUSE_FAULT", &format!("after-commit:{commit}"));
        let first = house.run(&["run", "plan.yaml"]);
        if first.signal.is_some() {
            killed += 1;
            let house = house.without_env("WHEELHOUSE_FAULT");
            house.ok(&["resume"]);
            assert_eq!(house.ok(&["fsck"]).code, Some(0));
            let run = house.json(&["status", "r1"]);
            assert_eq!(run["run"]["all_succeeded"], true, "{commit}: {run:#}");
            let steps: Vec<Value> = ["produce", "self-review", "cross-check", "incorporate"]
                .map(|step| house.json(&["status", &format!("report.{step}")]))
                .into();
            let ends: Vec<usize> = steps
                .iter()
                .map(|step| step["attempts"].as_array().unwrap().len())
                .collect();
            assert_eq!(ends, [1, 1, 1, 1], "{commit}");
            // A try that was under way when its engine died is repeated; none that was settled is.
            let tried: usize = steps
                .iter()
                .map(|step| step["attempts"][0]["begun"].as_u64().unwrap() as usize)
                .sum();
            assert!(tried <= 5, "{commit}: {tried} begun");
            assert!(fake.turns().len() <= 5, "{commit}: {}", fake.turns().len());
        }
    }
    assert!(killed >= 3, "only {killed} of these commits were reached");
}

#[test]
fn what_a_step_left_can_make_the_next_phase_needless() {
    let plan = "\
tasks:
  - {id: score, exec: \"echo SCORE: 9\"}
  - {id: rewrite, exec: \"echo rewritten\", needs: score, skip_if: score >= 8}
  - {id: publish, exec: \"echo out\", needs: [score, rewrite]}
";
    let fake = fake(Vec::new());
    let good = house(&fake, plan);
    let run = good.json(&["run", "plan.yaml"]);
    assert_eq!(
        run["run"]["all_succeeded"], true,
        "what is not needed is no failure: {run:#}"
    );
    let rewrite = result(&run, "rewrite");
    assert_eq!(rewrite["outcome"]["class"], "skipped");
    assert_eq!(
        rewrite["result"]["summary"],
        "not needed: score.score >= 8 holds: it is 9"
    );
    assert_eq!(result(&run, "publish")["outcome"]["class"], "succeeded");
    let weak = house(&fake, &plan.replace("SCORE: 9", "SCORE: 7"));
    let run = weak.json(&["run", "plan.yaml"]);
    assert_eq!(result(&run, "rewrite")["outcome"]["class"], "succeeded", "{run:#}");
}

const MARKET: &str = include_str!("../../../../examples/market-report.yaml");

#[test]
fn the_market_report_runs_in_rehearsal_and_over_five_models() {
    let none = fake(Vec::new());
    let config = settings(&none).replace("[agents.flash]", "[agents.gemini]");
    let rehearsed = House::new().with_env("A_KEY", "sk-x");
    rehearsed.write("wheelhouse.toml", &config);
    rehearsed.write("market.yaml", MARKET);
    let run = rehearsed.json(&["run", "--rehearse", "market.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(
        keys(&run),
        ["research", "draft", "score", "rewrite", "synthesis", "metrics"]
    );
    assert_eq!(none.turns().len(), 0);

    let fake = fake(vec![
        Rule::any().model("gpt-*").reply(Reply::text(APPROVE)),
        Rule::any().model("*haiku*").reply(Reply::text("{\"growth\": \"8 %\"}")),
    ]);
    let house = House::new().with_env("A_KEY", "sk-x");
    house.write(
        "wheelhouse.toml",
        &settings(&fake).replace("[agents.flash]", "[agents.gemini]"),
    );
    house.write("market.yaml", MARKET);
    let run = house.json(&["run", "market.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(
        result(&run, "rewrite")["outcome"]["class"],
        "skipped",
        "a score of 8 is good enough"
    );
    let models: Vec<String> = fake.turns().into_iter().map(|turn| turn.model).collect();
    assert_eq!(
        models,
        [
            "gemini-2.5-pro",
            "claude-sonnet-4-6",
            "gpt-4o",
            "claude-opus-4-6",
            "claude-haiku-4-5"
        ]
    );
}

#[test]
fn a_question_is_routed_answered_and_accounted_for() {
    let fake = fake(vec![
        says(SELF, APPROVE),
        says(CROSS, APPROVE),
        says(MEND, "The final answer."),
        says("Somebody else will answer", "auth.rs:12 matters."),
        Rule::any().reply(Reply::text("An answer.")),
    ]);
    let house = house(&fake, "");
    let own = house.json(&["ask", "--for-agent", "Fix the typo in the comment"]);
    assert!(own["do_it_yourself"]["saved_tokens"].as_u64().unwrap() > 0, "{own:#}");
    assert_eq!(fake.turns().len(), 0, "nobody was asked");

    let simple = house.json(&["ask", "Rename the variable in this function"]);
    assert_eq!(simple["answer"], "An answer.", "{simple:#}");
    assert_eq!(simple["consulted"].as_array().unwrap().len(), 1);

    let grave = "Redesign the authentication of the payment system and migrate all passwords in production";
    let dry = house.json(&["ask", "--dry-run", grave]);
    assert!(dry["crews"][0]["cost_max_nano"].as_u64().unwrap() > 0, "{dry:#}");
    let before = fake.turns().len();
    let asked = house.json(&["ask", grave]);
    assert_eq!(asked["succeeded"], true, "{asked:#}");
    let consulted = asked["consulted"].as_array().unwrap();
    assert!(consulted.len() >= 3, "{asked:#}");
    assert_eq!(fake.turns().len() - before, consulted.len());
    let sum: u64 = consulted
        .iter()
        .map(|one| one["cost"]["known_nano"].as_u64().unwrap())
        .sum();
    assert_eq!(asked["cost"]["known_nano"], sum);
    assert!(sum > 0 && asked["confidence"].as_u64().is_some(), "{asked:#}");
    let said = house.run(&["ask", "Rename the variable in this function"]);
    assert!(
        said.out.starts_with("An answer.") && said.err.contains("consulted: "),
        "{said:#?}"
    );
}

#[test]
fn a_plan_says_who_takes_part_and_what_it_will_cost() {
    let fake = fake(Vec::new());
    let house = house(&fake, QC);
    let checked = house.ok(&["plan", "check", "plan.yaml"]).out;
    assert!(
        checked.contains("report: qc by author sonnet, reviewer gpt, editor opus; 4 to 7 tries, about $"),
        "{checked}"
    );
    assert!(
        house
            .ok(&["plan", "show", "plan.yaml"])
            .out
            .contains("report: qc by author sonnet")
    );
    let document = house.json(&["plan", "show", "plan.yaml"]);
    assert!(document["crews"][0]["cost_max_nano"].as_u64() > document["crews"][0]["cost_min_nano"].as_u64());
    house.write(
        "bad.yaml",
        "tasks:\n  - {id: a, agent: sonnet, prompt: x, workflow: {kind: qc, reviewer: opus}}\n",
    );
    let refused = house.run(&["run", "bad.yaml"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("self-review"), "{refused:#?}");
    assert_eq!(fake.turns().len(), 0);
}

/// Nothing is merged before it is approved; reviewer and mender begin with the work; so does who needs the task.
#[test]
fn isolated_work_is_merged_when_it_has_passed_and_handed_on() {
    let patch = |from: &str, to: &str| {
        format!("Done.\n\n```\n*** Begin Patch\n*** Update File: a.txt\n@@\n-{from}\n+{to}\n*** End Patch\n```\n")
    };
    let fake = fake(vec![
        says(SELF, APPROVE),
        says("WHAT WAS WRONG WITH IT BEFORE", APPROVE),
        says(CROSS, REJECT),
        says(MEND, &patch("two", "three")),
        says("Make it two", &patch("one", "two")),
    ]);
    let house = repository().with_env("A_KEY", "sk-x");
    house.write("wheelhouse.toml", &settings(&fake));
    house.write(
        "plan.yaml",
        r#"
tasks:
  - id: fix
    agent: sonnet
    prompt: Make it two.
    files: [a.txt]
    verify: ["grep -qE 'two|three' a.txt"]
    isolation: worktree
    edits: patch
    merge: queue
    workflow: {kind: qc, reviewer: gpt, editor: opus}
  - {id: after, exec: "cat a.txt", needs: [fix], isolation: worktree}
"#,
    );
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["all_succeeded"], true, "{run:#}");
    assert_eq!(
        keys(&run),
        [
            "fix",
            "after",
            "fix.produce",
            "fix.self-review",
            "fix.cross-check",
            "fix.incorporate",
            "fix.cross-check-2",
            "fix.deliver"
        ]
    );
    assert_eq!(git(&house, &["show", "wheelhouse/r1/fix.produce:a.txt"]), "two\n");
    assert_eq!(git(&house, &["show", "wheelhouse/r1.merged:a.txt"]), "three\n");
    let merges = git(
        &house,
        &[
            "log",
            "--first-parent",
            "--merges",
            "--format=%s",
            "wheelhouse/r1.merged",
        ],
    );
    assert_eq!(merges.lines().count(), 1, "only what was approved is merged: {merges}");
    assert_eq!(result(&run, "after")["result"]["summary"], "three", "{run:#}");
    assert_eq!(result(&run, "fix")["result"]["files"], serde_json::json!(["a.txt"]));
    let report = provenance(&house, "fix");
    assert_eq!(report["delivered"], serde_json::json!(["fix.incorporate"]));
    assert!(
        report["rests_on"][0].as_str().unwrap().contains("1 checks passed"),
        "{report:#}"
    );
}

#[test]
fn outside_git_a_loop_that_merges_is_refused_before_anybody_is_asked() {
    let fake = fake(Vec::new());
    let house = house(
        &fake,
        "tasks:\n  - {id: fix, agent: sonnet, prompt: Make it two., files: [a.txt], isolation: worktree, edits: patch, \
         merge: branch, workflow: {kind: qc, reviewer: gpt}}\n",
    );
    house.write("a.txt", "one\n");
    let run = house.json(&["run", "plan.yaml"]);
    let fix = result(&run, "fix");
    assert_eq!(fix["outcome"]["class"], "unavailable", "{run:#}");
    assert!(
        fix["result"]["summary"].as_str().unwrap().contains("git init"),
        "{run:#}"
    );
    assert_eq!(fake.turns().len(), 0);
}
