//! `doctor --probe` with the four.

use std::collections::BTreeMap;

use serde_json::Value;
use wheelhouse_testkit::model_api::{Reply, Rule, Script};

use crate::real::House;

/// What `doctor --probe` says of the four, by agent.
fn probed(house: &House) -> BTreeMap<String, Value> {
    let words = [
        "doctor", "--yes", "--json", "--probe", "claude", "codex", "gemini", "opencode",
    ];
    // Its exit code is about the whole machine.
    let done = house.ours(&words).output().unwrap();
    let document: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:#?}"));
    let findings = document["findings"].as_array().unwrap().iter();
    let turns = findings.filter(|one| one["area"] == "one turn each");
    turns
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_are_probed_by_doctor() {
    let asked = || Rule::any().says("Answer with the one word");
    let house = House::new(Script::new().rule(asked().reply(Reply::text("ready"))));
    let well = probed(&house);
    assert_eq!(well.len(), 4, "{well:#?}");
    for (agent, turn) in &well {
        let found = turn["found"].as_str().unwrap();
        assert_eq!(turn["health"], "good", "{agent}: {turn}");
        for fact in ["answered in ", "reported ", " token", "named a session"] {
            assert!(found.contains(fact), "{agent}: {fact}: {found}");
        }
    }
    // Each really asked its model, one question each.
    for vendor in ["anthropic", "responses", "gemini", "chat"] {
        let turns = house.api.turns();
        let mut vendors = turns
            .iter()
            .filter_map(|attempt| serde_json::to_value(attempt.vendor).ok());
        assert!(vendors.any(|one| one == vendor), "{vendor}: {turns:#?}");
    }
    assert!(house.api.violations().is_empty(), "{:#?}", house.api.violations());

    // One that talks of something else does not work as asked, and one whose key is wrong is told what to do about it.
    house
        .api
        .set_script(Script::new().rule(asked().reply(Reply::text("Good morning."))));
    for (agent, turn) in probed(&house) {
        assert_eq!(turn["health"], "gap", "{agent}: {turn}");
        assert!(
            turn["found"]
                .as_str()
                .unwrap()
                .contains("did not say `ready`: Good morning."),
            "{agent}: {turn}"
        );
    }
    let refused = Reply::text("ready").fault("401").unwrap();
    house.api.set_script(Script::new().rule(asked().reply(refused)));
    for (agent, turn) in probed(&house) {
        assert_eq!(turn["health"], "gap", "{agent}: {turn}");
        assert!(!turn["found"].as_str().unwrap().contains("answered"), "{agent}: {turn}");
        let next = turn["next"].as_str().unwrap_or_default();
        assert!(
            next.contains(&format!("log in with `{agent}` itself")),
            "{agent}: {turn}"
        );
    }
    house.until_all_processes_are_gone("doctor");
    assert!(!house.project().join(".wheelhouse").exists(), "nothing of it is kept");
}
