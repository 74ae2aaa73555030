//! `init`, `doctor`, `fsck`, completions, the manual, and the state directory itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::{House, snapshot};

#[test]
fn init_prepares_once_and_changes_nothing_after() {
    let house = House::new();
    let first = house.ok(&["init"]);
    snapshot!(
        house,
        format!("{}\n--- wheelhouse.toml\n{}", first.out, house.read("wheelhouse.toml"))
    );
    house.write("wheelhouse.toml", "retry = 0\n");
    let second = house.json(&["init"]);
    assert_eq!(
        second["created"],
        serde_json::json!({ "state_dir": false, "config": false })
    );
    assert_eq!(house.read("wheelhouse.toml"), "retry = 0\n");
}

#[test]
fn the_state_is_for_its_owner_alone_and_git_ignores_it() {
    let house = House::new();
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo secret'}]");
    house.ok(&["run", "p.yaml"]);
    let state = house.project().join(".wheelhouse");
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(state.join("wheelhouse.db")).unwrap().permissions().mode() & 0o077,
        0
    );
    assert_eq!(fs::read_to_string(state.join(".gitignore")).unwrap(), "*\n");
}

#[test]
fn the_state_may_be_elsewhere() {
    let house = House::new();
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo a'}]");
    house.ok(&["--state-dir", "../elsewhere", "run", "p.yaml"]);
    assert!(!house.project().join(".wheelhouse").exists());
    let house = house.with_env("WHEELHOUSE_STATE_DIR", "../elsewhere");
    assert_eq!(house.ok(&["result", "a"]).out, "a\n");
}

#[test]
fn another_project_is_reached_from_here() {
    let house = House::new();
    house.write("deep/er/p.yaml", "tasks: [{id: a, exec: 'pwd'}]");
    house.ok(&["-C", "deep/er", "run", "p.yaml"]);
    assert!(house.project().join("deep/er/.wheelhouse").exists());
    assert!(house.ok(&["-C", "deep/er", "result", "a"]).out.ends_with("deep/er\n"));
    assert_eq!(house.run(&["-C", "nowhere", "status"]).code, Some(5));
}

/// Programs that pretend to be agents, in a directory of their own on PATH.
fn with_program(house: House, name: &str, script: &str) -> House {
    let bin = house.home().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    house.with_env("PATH", &path)
}

#[test]
fn doctor_says_only_what_it_looked_at() {
    let house = House::new();
    let house = with_program(house, "claude", "echo 9.9.9 '(Claude Code)'");
    let house = with_program(house, "codex", "echo broken >&2; exit 3");
    let document = house.json(&["doctor"]);
    assert_eq!(document["ready"], true);
    assert_eq!(document["auto"], "claude");
    let finding = |name: &str| {
        let findings = document["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["name"] == name).unwrap().clone()
    };
    let claude = finding("claude")["found"].as_str().unwrap().to_owned();
    assert!(
        claude.contains("9.9.9") && claude.contains("tested with 2.1") && claude.contains("login was not looked at"),
        "{claude}"
    );
    assert!(
        finding("codex")["found"].as_str().unwrap().contains("failed"),
        "{document}"
    );
    assert_eq!(
        finding("claude")["health"],
        "gap",
        "a version outside the tested line is said"
    );
    assert_eq!(finding("gemini")["found"], "no `gemini` on PATH");
    assert_eq!(finding("state")["health"], "gap");
    assert!(!house.project().join(".wheelhouse").exists(), "looking makes nothing");
    let text = house.ok(&["doctor"]).out;
    assert!(text.contains("`auto` is claude here."), "{text}");
}

#[test]
fn doctor_is_not_content_with_a_broken_configuration() {
    let house = House::new();
    house.write("wheelhouse.toml", "nonsense = 1\n");
    let done = house.run(&["doctor"]);
    assert_eq!(done.code, Some(1), "{done:#?}");
    assert!(done.out.contains("`wheelhouse config show` says which"), "{done:#?}");
}

#[test]
fn fsck_is_content_with_a_good_store_and_names_orphans() {
    let house = House::new();
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo a'}]");
    house.ok(&["run", "p.yaml"]);
    let good = house.ok(&["fsck"]);
    assert_eq!(good.out, ".wheelhouse/wheelhouse.db: sound\n");
    house.write(".wheelhouse/logs/r77/x.1.log", "lost");
    let document = house.json(&["fsck"]);
    assert_eq!(document["sound"], true);
    assert_eq!(document["orphans"].as_array().unwrap().len(), 1, "{document}");
    house.ok(&["gc"]);
    assert_eq!(house.json(&["fsck"])["orphans"].as_array().unwrap().len(), 0);
}

#[test]
fn a_damaged_store_is_said_and_not_touched() {
    let house = House::new();
    house.write("p.yaml", "tasks: [{id: a, exec: 'echo a'}]");
    house.ok(&["run", "p.yaml"]);
    let path = house.project().join(".wheelhouse/wheelhouse.db");
    let _ = fs::remove_file(house.project().join(".wheelhouse/wheelhouse.db-wal"));
    fs::write(
        &path,
        b"this is no database, whatever its name says, and it is long enough to be looked at".repeat(100),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    for words in [vec!["run", "p.yaml"], vec!["status"], vec!["fsck"], vec!["resume"]] {
        let done = house.run(&words);
        assert_eq!(done.code, Some(4), "{words:?}: {done:#?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn completions_and_the_manual_are_made_from_the_definitions() {
    let house = House::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = house.ok(&["completions", shell]).out;
        assert!(text.contains("max-parallel"), "{shell}");
    }
    let man = house.ok(&["man"]).out;
    assert!(man.contains(".TH wheelhouse") && man.contains("compat\\-dir"), "{man}");
}

#[test]
fn help_names_every_command_and_no_hidden_one() {
    let house = House::new();
    let help = house.ok(&["--help"]).out;
    for command in ["run", "resume", "status", "task", "doctor", "fsck", "gc"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    assert!(!help.contains("rehearse "), "{help}");
}
