//! Who does what nobody is named for: explained by `route`, acted on by plans, and remembered.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::House;

/// A house where programs of these names lie on the path; nobody starts them here.
fn house_with(programs: &[&str]) -> House {
    let house = House::new();
    let bin = house.home().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in programs {
        let path = bin.join(program);
        fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    house.with_env("PATH", &path)
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

const GUIDE: &str = include_str!("../../../core/tests/route/guide.yaml");

#[test]
fn a_choice_is_explained_down_to_what_would_change_it() {
    let house = house_with(&["claude", "codex", "gemini"]);
    let choice = house.json(&["route", "Add OAuth2 authentication"]);
    assert_eq!(text(&choice, "/analysis/risk/value"), "critical");
    assert_eq!(text(&choice, "/choice/agent"), "claude");
    assert_eq!(text(&choice, "/consult/1/what_for"), "reviewer");
    let excluded = choice["excluded"].as_array().unwrap();
    assert!(excluded.iter().any(|one| one["agent"] == "rehearsal"));
    assert!(!choice["would_change"].as_array().unwrap().is_empty());
    for part in ["capability", "history", "load", "health", "availability"] {
        assert!(
            choice.pointer(&format!("/candidates/0/parts/{part}")).is_some(),
            "{part}"
        );
    }
    let page = house.ok(&["route", "Add OAuth2 authentication"]).out;
    for word in ["`claude` scores best", "critical", "Left out", "What would change it"] {
        assert!(page.contains(word), "{word} in {page}");
    }
    let own = house.json(&["route", "--for-agent", "Add logging to function"]);
    assert!(own["do_it_yourself"]["saved_tokens"].as_u64().unwrap() > 10_000);
    let nobody = house.run(&["route", "x", "--set", "routing.file=r.yaml"]);
    assert_eq!(nobody.code, Some(5), "{nobody:?}");
}

#[test]
fn the_rules_of_the_guide_work_unchanged_for_the_programs_that_are_here() {
    let house = house_with(&["claude", "codex", "gemini"]);
    house.write("routing.yaml", GUIDE);
    for (task, agent, model, rule) in [
        (
            "Classify these tickets into categories",
            "claude",
            "claude-haiku-4-5",
            "classification",
        ),
        (
            "Score these outputs against the rubric",
            "codex",
            "gpt-4o",
            "coding_and_scoring",
        ),
        (
            "Cross-reference multiple long sources",
            "gemini",
            "gemini-2.5-pro",
            "research",
        ),
    ] {
        let choice = house.json(&["route", task]);
        assert_eq!(text(&choice, "/choice/agent"), agent, "{choice:#}");
        assert_eq!(text(&choice, "/choice/model"), model);
        assert_eq!(text(&choice, "/rule/rule"), rule);
    }
    // Nobody here speaks to xAI: the rule fires, and is said not to have been obeyed.
    let social = house.json(&["route", "Generate social media content"]);
    assert_eq!(social.pointer("/rule/obeyed"), Some(&Value::Bool(false)));
    house.write("routing.yaml", "routing_rule: {}\n");
    let refused = house.run(&["route", "x"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("did you mean `routing_rules`?"), "{}", refused.err);
}

#[test]
fn a_plan_that_leaves_it_open_is_told_who_does_it_and_why() {
    let house = house_with(&["claude", "codex"]);
    let plan = house.write(
        "p.yaml",
        "tasks:\n  - id: a\n    agent: auto\n    prompt: Fix the bug in the parser\n  - id: b\n    prompt: Review the change\n    needs: [a]\n",
    );
    let shown = house.json(&["plan", "show", plan.to_str().unwrap()]);
    for place in [0, 1] {
        let agent = text(&shown, &format!("/tasks/{place}/agent")).to_owned();
        assert!(["claude", "codex"].contains(&agent.as_str()), "{agent}");
        assert!(text(&shown, &format!("/tasks/{place}/routed")).contains(&format!("`{agent}`")));
        let fallback = shown.pointer(&format!("/tasks/{place}/fallback/0")).unwrap();
        assert_ne!(fallback, agent.as_str());
    }
    house.write("routing.yaml", "deny: [claude, codex, rehearsal, opencode, gemini]\n");
    let refused = house.run(&["plan", "check", plan.to_str().unwrap()]);
    assert!(
        refused.out.contains("nobody") || refused.err.contains("nobody"),
        "{refused:?}"
    );
}

#[test]
fn what_was_chosen_is_in_the_history_and_what_came_of_it_is_remembered() {
    let house = House::new();
    let plan = house.write("p.yaml", "tasks:\n  - id: a\n    prompt: Fix the bug in the parser\n");
    house.ok(&["run", plan.to_str().unwrap()]);
    let events = house.ok(&["events", "--json"]).out;
    assert!(
        events
            .lines()
            .any(|line| line.contains("attempt_reported") && line.contains("\"route\"") && line.contains("rehearsal")),
        "{events}"
    );
    let status = house.json(&["status", "a"]);
    assert!(text(&status, "/routed").contains("rehearsal"), "{status:#}");
    assert!(house.ok(&["status", "a"]).out.contains("chosen"));
    for _ in 0..5 {
        house.ok(&["run", plan.to_str().unwrap()]);
    }
    let choice = house.json(&["route", "Fix the bug in the parser"]);
    assert_eq!(choice["past_tasks"], 6);
    assert_eq!(
        choice.pointer("/candidates/0/similar"),
        Some(&serde_json::json!([6, 6]))
    );
    assert!(choice.pointer("/candidates/0/parts/history").unwrap().as_f64().unwrap() > 0.8);
}

#[test]
fn how_work_is_used_says_how_it_is_paid_for() {
    let house = House::new().with_env("A_KEY", "sk-key");
    let agent = |name: &str, model: &str, more: &str| {
        format!(
            "[agents.{name}]\nbackend = \"api\"\napi = \"anthropic\"\nmodel = \"{model}\"\nkey_env = \"A_KEY\"\n{more}"
        )
    };
    let agents = [
        agent("flat", "claude-opus-4-6", "billing = \"subscription\"\n"),
        agent("sonnet", "claude-sonnet-4-6", ""),
        agent("haiku", "claude-haiku-4-5", ""),
    ];
    house.write("wheelhouse.toml", &agents.concat());
    let task = "Extract the names from the list";
    let paid = |more: &[&str]| {
        let words: Vec<&str> = ["route", task].iter().chain(more).copied().collect();
        let choice = house.json(&words);
        (
            text(&choice, "/pays/way").to_owned(),
            text(&choice, "/choice/agent").to_owned(),
        )
    };
    let told = |way: &str, agent: &str| (way.to_owned(), agent.to_owned());
    assert!(house.json(&["route", task])["pays"].is_null());
    assert_eq!(paid(&["--interactive"]), told("subscription", "flat"));
    assert_eq!(paid(&["--calls-per-day", "1001"]), told("classifier_api", "haiku"));
    assert_eq!(paid(&["--calls-per-day", "1000"]), told("standard_api", "sonnet"));
    let (way, agent) = paid(&["--batch"]);
    assert!(way == "cheapest_api" && agent != "flat", "{agent}");
    let page = house.ok(&["route", task, "--interactive"]).out;
    assert!(
        page.contains("How it is paid for") && page.contains("no marginal cost"),
        "{page}"
    );
    // The file says it for every plan.
    house.write("routing.yaml", "calls_per_day: 5000\n");
    house.write("plan.yaml", &format!("tasks:\n  - {{id: a, prompt: {task}}}\n"));
    let shown = house.json(&["plan", "show", "plan.yaml"]);
    assert!(shown.to_string().contains("tier for classification"), "{shown:#}");
    house.write("routing.yaml", "work: weekly\n");
    let wrong = house.run(&["route", task]);
    assert!(
        wrong.err.contains("`interactive`") && wrong.err.contains("routing.yaml:1"),
        "{wrong:?}"
    );
}
