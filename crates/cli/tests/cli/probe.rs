//! `doctor --probe` from outside: it asks before it makes a turn, and says what the turn showed and no more.

use std::os::unix::fs::PermissionsExt;

use crate::House;

/// A house with a program of that name first on the path.
fn with_program(name: &str, script: &str) -> House {
    let house = House::new();
    let program = house.write(&format!("bin/{name}"), script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", house.project().join("bin").display());
    house.with_env("PATH", &path)
}

fn finding<'a>(document: &'a serde_json::Value, area: &str, name: &str) -> &'a serde_json::Value {
    let findings = document["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["area"] == area && one["name"] == name);
    found.unwrap_or(&serde_json::Value::Null)
}

#[test]
fn nobody_who_cannot_agree_is_charged() {
    let house = with_program(
        "claude",
        "#!/bin/sh\ncase $1 in --version) echo 9.9 ;; *) echo turn >> turns ;; esac\n",
    );
    let refused = house.run(&["doctor", "--probe"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.err.contains("nobody is here to agree") && refused.err.contains("--probe --yes"),
        "{refused:?}"
    );
    let wrong = house.run(&["doctor", "--yes"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let unknown = house.run(&["doctor", "--yes", "--probe", "cluade"]);
    assert!(unknown.err.contains("there is no agent cluade"), "{unknown:?}");
    // Without `--probe` nothing is claimed about the login.
    let plain = house.json(&["doctor"]);
    let claude = finding(&plain, "agents", "claude")["found"].as_str().unwrap();
    assert!(claude.contains("its login was not looked at"), "{claude}");
    assert_eq!(finding(&plain, "one turn each", "claude"), &serde_json::Value::Null);
}

#[test]
fn an_agent_that_only_has_a_version_is_found_out() {
    let house = with_program(
        "claude",
        "#!/bin/sh\ncase $1 in --version) echo '2.1.329 (Claude Code)' ;; *) echo 'Invalid API key' >&2; exit 1 ;; esac\n",
    );
    let document = house.json(&["doctor", "--yes", "--probe"]);
    let turn = finding(&document, "one turn each", "claude");
    assert_eq!(turn["health"], "gap", "{document}");
    assert!(!turn["found"].as_str().unwrap().contains("answered"), "{turn}");
    assert!(turn["next"].is_string(), "{turn}");
    assert!(!house.project().join(".wheelhouse").exists(), "nothing of it is kept");
}

#[test]
fn the_stand_in_is_not_taken_for_an_agent() {
    let house = House::new();
    let document = house.json(&["doctor", "--yes", "--probe", "rehearsal"]);
    let found = finding(&document, "one turn each", "rehearsal")["found"]
        .as_str()
        .unwrap();
    assert!(found.contains("rehearsed: no agent answered"), "{found}");
    let nobody = house.run(&["doctor", "--probe", "--yes"]);
    assert!(
        nobody.err.contains("no agent is here that could do a turn"),
        "{nobody:?}"
    );
}
