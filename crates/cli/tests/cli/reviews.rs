//! Several who review the same, from outside: who is left out by what earlier reviews came to, who is called in, and what
//! becomes of what they find.

use serde_json::Value;
use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::House;

/// Three reviewers of three vendors behind one fake.
fn settings(fake: &ModelApi, more: &str) -> String {
    let agent = |name: &str, api: &str, url: &str, model: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"{api}\"\nbase_url = \"{url}\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n\n"
        )
    };
    let (base, openai) = (fake.base_url(), fake.openai_url());
    [
        agent("sonnet", "anthropic", &base, "claude-sonnet-4-6"),
        agent("gpt", "openai", &openai, "gpt-4o"),
        agent("flash", "gemini", &base, "gemini-2.5-pro"),
        agent("grok", "xai", &openai, "grok-3"),
        more.to_owned(),
    ]
    .concat()
}

fn house(fake: &ModelApi, more: &str) -> House {
    let house = House::new().with_env("A_KEY", "sk-x");
    house.write("wheelhouse.toml", &settings(fake, more));
    house
}

fn fake(rules: Vec<Rule>) -> ModelApi {
    ModelApi::start(rules.into_iter().fold(Script::default(), Script::rule)).unwrap()
}

fn says(words: &str, text: &str) -> Rule {
    Rule::any().says(words).reply(Reply::text(text))
}

/// So many reviews in which the three say the same, and one more of another name.
fn panel(name: &str, prompt: &str, more: &str) -> String {
    format!(
        "  - {{id: {name}, prompt: \"{prompt}\", workflow: {{kind: consensus, seats: [sonnet, gpt, flash]{more}}}}}\n"
    )
}

fn history() -> String {
    let panels: String = (1..=17)
        .map(|number| panel(&format!("p{number}"), "Is it good?", ""))
        .collect();
    format!("tasks:\n{panels}")
}

const SAME: &str = "FINDING: P2 src/a.rs:3 - the name says nothing of use - fn x\nVERDICT: approve";

fn keys(run: &Value, of: &str) -> Vec<String> {
    let tasks = run["tasks"].as_array().unwrap_or_else(|| panic!("{run:#}")).iter();
    let keys = tasks.map(|task| task["key"].as_str().unwrap().to_owned());
    keys.filter(|key| key.starts_with(of)).collect()
}

fn provenance(house: &House, task: &str) -> Value {
    let done = house.ok(&["result", task, "--full", "--artifact", "provenance"]);
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}", done.out))
}

fn receipts(house: &House, run: &str, layer: &str) -> Vec<Value> {
    let document = house.json(&["economy", run]);
    let all = document["receipts"].as_array().unwrap().iter();
    let of = all.filter(|one| one["receipt"]["layer"] == layer);
    of.map(|one| one["receipt"].clone()).collect()
}

#[test]
fn who_says_what_the_others_say_is_left_out_of_the_next_review() {
    let fake = fake(vec![
        says(
            "the schema",
            "FINDING: P1 db/a.sql:3 - the index is missing - line 3\nVERDICT: revise",
        ),
        says("good", SAME),
    ]);
    let house = house(&fake, "[agents.flash.context]\nreads = [\"db/**\"]\n");
    house.write("past.yaml", &history());
    let past = house.json(&["run", "past.yaml"]);
    assert_eq!(keys(&past, "p1.").len(), 3, "a run does not learn from itself");
    house.write(
        "next.yaml",
        &format!("tasks:\n{}", panel("next", "Is it good now?", "")),
    );

    let next = house.json(&["run", "next.yaml"]);
    assert_eq!(keys(&next, "next."), ["next.seat-1", "next.seat-2"], "{next:#}");
    let left_out = &provenance(&house, "r2/next")["skipped"][0];
    assert_eq!(left_out["step"], "seat-3 (flash)");
    assert_eq!(left_out["why"], "in 17 reviews the others said all that it said");
    let receipt = &receipts(&house, "r2", "dropout")[0];
    assert!(
        receipt["would_tokens"].as_u64() > receipt["sent_tokens"].as_u64(),
        "{receipt:#}"
    );
    assert_eq!(receipt["left_out"][0]["what"], "seat-3 (flash)");
    let events = house.ok(&["events", "--run", "r2"]).out;
    assert!(events.contains("seat-3 (flash) is not heard at first"), "{events}");

    // A grave finding in its domain calls it in, blind like the first.
    house.write(
        "db.yaml",
        &format!("tasks:\n{}", panel("next", "Look at the schema.", "")),
    );
    let called = house.run(&["run", "db.yaml", "--json"]);
    let called: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!(
        keys(&called, "next."),
        ["next.seat-1", "next.seat-2", "next.seat-3.called"],
        "{called:#}"
    );
    let events = house.ok(&["events", "--run", "r3"]).out;
    assert!(events.contains("flash is called in"), "{events}");
}

#[test]
fn nobody_is_left_out_who_must_be_heard() {
    let fake = fake(vec![says("good", SAME)]);
    let house = house(&fake, "");
    house.write("past.yaml", &history());
    house.ok(&["run", "past.yaml"]);
    let seats = |more: &str, set: &[&str]| {
        house.write(
            "next.yaml",
            &format!("tasks:\n{}", panel("next", "Is it good now?", more)),
        );
        let words: Vec<&str> = ["run", "next.yaml"].into_iter().chain(set.iter().copied()).collect();
        keys(&house.json(&words), "next.")
    };
    let (all, first_two) = (
        ["next.seat-1", "next.seat-2", "next.seat-3"],
        ["next.seat-1", "next.seat-2"],
    );
    assert_eq!(seats(", quorum: 3", &[]), all, "three vendors have to approve");
    assert_eq!(seats("", &["--set", "context.off=dropout"]), all);
    assert_eq!(
        seats("", &["--set", "agents.flash.context.off=dropout"]),
        ["next.seat-1", "next.seat-3"],
        "another one goes"
    );
    assert_eq!(
        seats("", &["--set", "agents.flash.context.safety=on"]),
        ["next.seat-1", "next.seat-3"],
        "who looks after safety stays"
    );
    house.write(
        "routing.yaml",
        "agents:\n  flash: {model: gemini-2.5-pro, role: \"Security reviewer\"}\n",
    );
    assert_eq!(seats("", &[]), ["next.seat-1", "next.seat-3"], "by its role as well");
    std::fs::remove_file(house.project().join("routing.yaml")).unwrap();
    assert_eq!(seats("", &[]), first_two);
}

#[test]
fn a_reserve_is_priced_before_and_called_in_only_where_it_matters() {
    let fake = fake(vec![
        says(
            "login",
            "FINDING: P0 src/auth.rs:41 - the token is not compared - any passes\nVERDICT: reject",
        ),
        says("good", SAME),
    ]);
    let house = house(&fake, "[agents.grok.context]\nreads = [\"token\"]\n");
    let plan = |prompt: &str| {
        format!(
            "tasks:\n  - {{id: look, prompt: \"{prompt}\", on_failure: continue, \
             workflow: {{kind: parallel_validate, agents: [sonnet, gpt], reserve: [grok, flash]}}}}\n"
        )
    };
    house.write("quiet.yaml", &plan("Is it good?"));
    let shown = house.ok(&["plan", "check", "quiet.yaml"]);
    let shown = format!("{}{}", shown.out, shown.err);
    assert!(
        shown.contains("reserve grok") && shown.contains("2 to 4 tries"),
        "{shown}"
    );
    let quiet = house.json(&["run", "quiet.yaml"]);
    assert_eq!(keys(&quiet, "look."), ["look.1.sonnet", "look.1.gpt"]);
    house.write("grave.yaml", &plan("Look at the login."));
    let grave = house.json(&["run", "grave.yaml"]);
    assert_eq!(
        keys(&grave, "look."),
        ["look.1.sonnet", "look.1.gpt", "look.1.grok.called"],
        "{grave:#}"
    );
    house.write("twice.yaml", &plan("Is it good?").replace("[grok, flash]", "[gpt]"));
    let twice = house.run(&["plan", "check", "twice.yaml"]);
    assert!(
        format!("{}{}", twice.out, twice.err).contains("`gpt` has a seat"),
        "{}{}",
        twice.out,
        twice.err
    );
}

#[test]
fn what_several_find_is_merged_weighed_and_judged() {
    let of = |model: &str, text: &str| Rule::any().model(model).says("the draft").reply(Reply::text(text));
    let fake = fake(vec![
        says(
            "WHAT THE REVIEWERS FOUND",
            "Mended.\nCONFIRMED: 2\nREJECTED: 3 - the year is there",
        ),
        of(
            "claude*",
            "FINDING: P1 src/sum.rs:7 - the sum is wrong by one - 2 and 2 are not 5\nVERDICT: revise",
        ),
        of(
            "gpt*",
            "FINDING: P1 sum.rs:8 - sum wrong by one - see the test\nFINDING: P2 src/b.rs:1 - a word is missing - line 1\nVERDICT: revise",
        ),
        of(
            "gemini*",
            "FINDING: P3 src/c.rs:3 - the year is missing - line 3\nVERDICT: approve",
        ),
    ]);
    let house = house(&fake, "");
    house.write(
        "plan.yaml",
        "tasks:\n  - id: look\n    agent: sonnet\n    prompt: \"Look at the draft.\"\n    workflow:\n      \
         {kind: parallel_validate, agents: [sonnet, gpt, flash], reduce: \"Mend it. {{ results }}\", reducer: sonnet}\n",
    );
    house.json(&["run", "plan.yaml"]);
    let turns = fake.turns();
    let lead = turns
        .iter()
        .find(|turn| turn.prompt.contains("WHAT THE REVIEWERS"))
        .unwrap();
    let list = lead.prompt.split("merged, the weightiest first:").nth(1).unwrap();
    assert!(
        list.contains("1. P1 src/sum.rs:7 - the sum is wrong by one") && list.contains("(found by 2)"),
        "{list}"
    );
    assert!(
        list.contains("2. P2 src/b.rs:1") && list.contains("3. P3 src/c.rs:3"),
        "{list}"
    );
    assert!(
        list.contains("trust=\"untrusted\"") && !list.contains("sum wrong by one"),
        "{list}"
    );
    let review = &provenance(&house, "r1/look")["reviews"][0];
    let judged: Vec<&Value> = review["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["confirmed"])
        .collect();
    assert_eq!(judged, [&Value::Bool(true), &Value::Bool(true), &Value::Bool(false)]);
    let receipt = &receipts(&house, "r1", "triage")[0];
    assert!(
        receipt["note"].as_str().unwrap().contains("4 findings became 3"),
        "{receipt:#}"
    );
    // Switched off, everybody's words are given as they are.
    fake.reset();
    house.json(&["run", "plan.yaml", "--set", "context.off=triage"]);
    assert!(
        fake.turns()
            .iter()
            .all(|turn| !turn.prompt.contains("WHAT THE REVIEWERS FOUND"))
    );
    assert!(receipts(&house, "r2", "triage").is_empty());
}

#[test]
fn a_self_review_that_the_cross_check_repeats_is_left_out() {
    let remark = "FINDING: P2 report.md:3 - the year is missing here - line 3 says only March\n--- VERDICT ---\nSTATUS: pass\nCONFIDENCE: 80\nSUMMARY: one\n---";
    let fake = fake(vec![
        says("Review this output of yours", remark),
        says("Independent review.", remark),
        says("best possible final output", "The final report."),
        says("quarterly", "The draft."),
    ]);
    let house = house(&fake, "");
    let plan = |from: u32, to: u32, stakes: &str| {
        let one = |number: u32| {
            format!(
                "  - {{id: q{number}, agent: sonnet, prompt: \"Write the quarterly report.\", \
                 workflow: {{kind: qc, reviewer: gpt, stakes: {stakes}}}}}\n"
            )
        };
        format!("tasks:\n{}", (from..=to).map(one).collect::<String>())
    };
    house.write("past.yaml", &plan(1, 17, "normal"));
    let past = house.json(&["run", "past.yaml"]);
    assert!(keys(&past, "q1.").contains(&"q1.self-review".to_owned()), "{past:#}");
    // Who mends is given what both found once.
    let mend = fake
        .turns()
        .into_iter()
        .find(|turn| turn.prompt.contains("best possible"))
        .unwrap();
    assert_eq!(
        mend.prompt.matches("the year is missing here").count(),
        1,
        "{}",
        mend.prompt
    );
    house.write("next.yaml", &plan(18, 18, "normal"));
    let next = house.json(&["run", "next.yaml"]);
    assert_eq!(
        keys(&next, "q18."),
        ["q18.produce", "q18.cross-check", "q18.incorporate"]
    );
    house.write("grave.yaml", &plan(19, 19, "high"));
    let grave = house.json(&["run", "grave.yaml"]);
    assert_eq!(
        keys(&grave, "q19.").len(),
        4,
        "nothing is left out of what goes to others"
    );
}

/// A `qc` whose author is sonnet, with those in reserve; what is said of it depends on the words of the task.
fn checked(house: &House, prompt: &str, more: &str) -> Value {
    house.write(
        "qc.yaml",
        &format!(
            "tasks:\n  - {{id: q, agent: sonnet, on_failure: fail, prompt: \"{prompt}\", workflow: {{kind: qc, editor: sonnet, {more}}}}}\n"
        ),
    );
    let done = house.run(&["run", "qc.yaml", "--json"]);
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
}

const NAMED: &str = "reviewer: gpt, reserve: [grok, flash]";

/// What the agents say of a draft, by agent and by the words of the task.
fn qc_rules() -> Vec<Rule> {
    let check = |model: &str, task: &str, text: &str| {
        let words = format!("what shows it.\n\nTHE TASK:\nWrite a review {task}");
        Rule::any().model(model).says(&words).reply(Reply::text(text))
    };
    let own = |task: &str, text: &str| {
        let words = format!("what is to be fixed.\n\nTHE TASK:\nWrite a review {task}");
        Rule::any().says(&words).reply(Reply::text(text))
    };
    vec![
        // What was mended is good, but for the one that is never content.
        says("BEFORE IT WAS MENDED", "VERDICT: approve"),
        own(
            "of the gate",
            "FINDING: P1 src/gate.rs:2 - the token is read twice - line 2\nVERDICT: revise",
        ),
        own("", "VERDICT: revise\nSUMMARY: too short"),
        check(
            "gpt*",
            "of the login",
            "FINDING: P0 src/auth.rs:41 - the token is not compared - any passes\nVERDICT: reject",
        ),
        check(
            "grok*",
            "of the login",
            "FINDING: P1 src/auth.rs:77 - the token never expires - no date\nVERDICT: revise",
        ),
        check(
            "gpt*",
            "of the year",
            "FINDING: P1 report.md:3 - the year is missing - line 3\nVERDICT: revise",
        ),
        check(
            "grok*",
            "of the gate",
            "FINDING: P1 src/gate.rs:9 - the token leaks - it is logged\nVERDICT: revise",
        ),
        check("grok*", "of the store", "I have no opinion."),
        check("*", "", "VERDICT: approve"),
        says("best possible final output", "The mended one."),
        says("Write", "The draft."),
    ]
}

#[test]
fn a_grave_finding_in_the_domain_of_the_reserve_calls_another_reviewer_in_to_a_qc() {
    let fake = fake(qc_rules());
    let house = house(&fake, "[agents.grok.context]\nreads = [\"token\"]\n");
    let login = checked(&house, "Write a review of the login.", NAMED);
    assert_eq!(
        keys(&login, "q."),
        [
            "q.produce",
            "q.self-review",
            "q.cross-check",
            "q.cross-check.grok.called",
            "q.incorporate",
            "q.cross-check-2",
            "q.cross-check-2.grok"
        ],
        "whoever objects looks again, and nobody else is called: {login:#}"
    );
    assert_eq!(login["run"]["all_succeeded"], true);
    let events = house.ok(&["events", "--run", "r1"]).out;
    assert!(
        events.contains("grok is called in: q.cross-check.grok.called"),
        "{events}"
    );
    let turns = fake.turns();
    let blind = turns.iter().find(|turn| turn.model.starts_with("grok")).unwrap();
    assert!(
        blind.prompt.contains("Independent review.")
            && !blind.prompt.contains("not compared")
            && !blind.prompt.contains("too short"),
        "{}",
        blind.prompt
    );
    let mended = turns.iter().find(|turn| turn.prompt.contains("best possible")).unwrap();
    for found in ["the token is not compared", "the token never expires"] {
        assert!(mended.prompt.contains(found), "{}", mended.prompt);
    }
    let review = &provenance(&house, "r1/q")["reviews"][0];
    let heard: Vec<&str> = review["heard"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        heard,
        ["gpt", "grok", "sonnet (author)"],
        "it is in the record: {review:#}"
    );

    // A finding that is nobody's there calls nobody in.
    let year = checked(&house, "Write a review of the year.", NAMED);
    assert!(
        keys(&year, "q.")
            .iter()
            .all(|key| !key.contains("grok") && !key.contains("flash")),
        "{year:#}"
    );
}

#[test]
fn who_is_called_in_to_a_qc_can_stop_what_was_approved_and_silence_does_not() {
    let fake = fake(qc_rules());
    let house = house(&fake, "[agents.grok.context]\nreads = [\"token\"]\n");
    // The cross-check approves what its author does not think is good: they do not agree.
    let gate = checked(&house, "Write a review of the gate.", "reviewer: gpt, reserve: [grok]");
    let of = keys(&gate, "q.");
    assert!(of.contains(&"q.cross-check.grok.called".to_owned()), "{of:?}");
    assert!(
        of.contains(&"q.incorporate".to_owned()) && of.contains(&"q.cross-check-2.grok".to_owned()),
        "what it objects to is mended before it is delivered: {of:?}"
    );
    let store = checked(&house, "Write a review of the store.", "reviewer: gpt, reserve: [grok]");
    assert!(
        keys(&store, "q.").contains(&"q.cross-check.grok.called".to_owned()),
        "{store:#}"
    );
    assert_eq!(store["run"]["all_succeeded"], true, "{store:#}");
    let open = &provenance(&house, "r2/q")["unresolved"];
    assert_eq!(open[0], "`grok` was called in and did not judge", "{open:#}");
}

#[test]
fn where_only_the_author_looks_the_reserve_is_the_judge() {
    let fake = fake(qc_rules());
    let house = house(&fake, "[agents.grok.context]\nreads = [\"token\"]\n");
    let alone = checked(
        &house,
        "Write a review of the gate.",
        "stakes: low, reserve: [grok, flash]",
    );
    assert_eq!(
        keys(&alone, "q."),
        [
            "q.produce",
            "q.self-review",
            "q.cross-check.grok.called",
            "q.incorporate",
            "q.cross-check-2.grok"
        ]
    );
    assert_eq!(alone["run"]["all_succeeded"], true, "{alone:#}");
    // Without anybody in reserve a person has to look.
    let nobody = checked(&house, "Write a review of the gate.", "stakes: low");
    assert_eq!(nobody["run"]["all_succeeded"], false, "{nobody:#}");
}
