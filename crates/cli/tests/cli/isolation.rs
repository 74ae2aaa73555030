//! Isolated tasks from outside: their work is theirs until it is merged, and nothing of it is lost.

use std::process::Command;

use crate::House;

const PLAN: &str = r#"
name: isolated
defaults: {isolation: worktree, merge: queue}
tasks:
  - {id: made, exec: "echo two > b.txt", files: [b.txt], verify: ["grep -q two b.txt"]}
  - {id: more, exec: "cat b.txt; echo three >> b.txt", needs: [made]}
  - {id: stray, exec: "echo outside > c.txt", files: [d.txt]}
  - {id: liar, exec: "echo done", verify: ["test -e work-that-was-claimed"]}
  - {id: bender, exec: "echo true > check.sh", verify: ["sh check.sh"], protect: [checks]}
"#;

pub(crate) fn git(house: &House, args: &[&str]) -> String {
    let done = Command::new("git")
        .current_dir(house.project())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", house.home())
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

pub(crate) fn repository() -> House {
    let house = House::new();
    git(&house, &["init", "-q", "-b", "main"]);
    house.write("a.txt", "one\n");
    house.write("check.sh", "test -e b.txt\n");
    git(&house, &["add", "."]);
    git(&house, &["commit", "-q", "-m", "start"]);
    house
}

#[test]
fn what_is_done_apart_comes_together_checked_and_the_rest_is_kept() {
    let house = repository();
    house.write("plan.yaml", PLAN);
    house.write("a.txt", "mine, not committed\n");
    let ran = house.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for (task, word) in [
        ("stray", "outside the declared"),
        ("liar", "work-that-was-claimed"),
        ("bender", "check.sh"),
    ] {
        let detail = house.ok(&["status", task]).out;
        assert!(
            detail.contains("gate failed") && detail.contains(word),
            "{task}: {detail}"
        );
    }
    assert!(
        !house.project().join("b.txt").exists(),
        "nothing reaches the project by itself"
    );
    assert_eq!(house.read("a.txt"), "mine, not committed\n");
    assert!(house.ok(&["diff", "more"]).out.contains("+three"));

    house.ok(&["merge", "r1"]);
    assert_eq!(house.read("b.txt"), "two\nthree\n");
    assert_eq!(
        house.read("a.txt"),
        "mine, not committed\n",
        "uncommitted work is not touched"
    );
    assert!(!house.project().join("c.txt").exists(), "what failed is not merged");

    let tree = house.ok(&["open", "stray"]).out;
    assert!(std::path::Path::new(tree.trim()).join("c.txt").exists());
    house.ok(&["discard", "stray"]);
    assert!(!std::path::Path::new(tree.trim()).exists());
    let kept = git(&house, &["for-each-ref", "--format=%(refname)"]);
    assert!(kept.lines().any(|name| name.contains("/trash/")), "{kept}");
    house.ok(&["fsck"]);
}

#[test]
fn outside_a_repository_a_task_works_in_a_copy() {
    let house = House::new();
    house.write("a.txt", "one\n");
    house.write(
        "plan.yaml",
        "tasks: [{id: change, isolation: worktree, exec: 'echo two > a.txt'}]",
    );
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(house.read("a.txt"), "one\n");
    house.ok(&["merge", "change"]);
    assert_eq!(house.read("a.txt"), "two\n");
}

#[test]
fn a_tree_is_furnished_as_the_configuration_says() {
    let house = repository();
    house.write(".gitignore", ".env\nmade\n.wheelhouse\n");
    git(&house, &["add", ".gitignore"]);
    git(&house, &["commit", "-q", "-m", "ignore"]);
    house.write(".env", "KEY=lent\n");
    house.write(
        "wheelhouse.toml",
        "[isolation]\ncopy = [\".env\"]\nsetup = [\"echo set-up >> made\"]\nports = 2\ndatabases = 1\n",
    );
    house.write(
        "plan.yaml",
        "tasks: [{id: t, isolation: worktree, exec: 'cat .env made; echo $PORT_0 $PORT_1 $DATABASE_0'}]",
    );
    house.ok(&["run", "plan.yaml"]);
    let told = house.ok(&["result", "t", "--full"]).out;
    assert!(told.starts_with("KEY=lent\nset-up\n"), "{told}");
    let leased: Vec<&str> = told.lines().nth(2).unwrap_or_default().split(' ').collect();
    assert!(
        leased.len() == 3 && leased[0] != leased[1] && leased[2].starts_with("wh_"),
        "{told}"
    );
    assert!(house.ok(&["diff", "t"]).out.is_empty(), "what was lent is not its work");
}

#[test]
fn a_tree_is_torn_down_before_it_goes_and_gives_back_what_it_leased() {
    let house = repository();
    house.write(
        "wheelhouse.toml",
        "[isolation]\nteardown = [\"echo down $PORT_0 $DATABASE_0 >> ../../../torn\", \"exit 3\"]\nports = 1\ndatabases = 1\n",
    );
    house.write(
        "plan.yaml",
        "defaults: {isolation: worktree}\ntasks:\n  - {id: one, exec: 'echo $PORT_0 $DATABASE_0; echo x > x'}\n  - {id: two, exec: 'echo $PORT_0; echo y > y'}\n",
    );
    house.ok(&["run", "plan.yaml"]);
    let leased = house.ok(&["result", "one", "--full"]).out;
    let leases = || {
        std::fs::read_dir(house.project().join(".wheelhouse/ports"))
            .unwrap()
            .count()
    };
    assert_eq!(leases(), 2);
    let discarded = house.ok(&["discard", "one"]);
    assert_eq!(house.read("torn"), format!("down {leased}"));
    assert!(discarded.err.contains("`exit 3` did not work"), "{discarded:?}");
    assert_eq!(leases(), 1, "the ports of a tree that is gone are free again");

    // Young trees stay; those that are due go to the trash, their branches stay.
    assert_eq!(house.json(&["gc"])["trees"], serde_json::json!([]));
    let due = ["gc", "--set", "isolation.tree_days=0"];
    let dry = house.json(&[&due[..], &["--dry-run"]].concat());
    assert_eq!(dry["trees"], serde_json::json!(["r1/two"]));
    assert_eq!(house.json(&due)["trees"], serde_json::json!(["r1/two"]));
    assert_eq!(leases(), 0);
    assert!(house.read("torn").lines().count() == 2);
    let trash = || {
        std::fs::read_dir(house.project().join(".wheelhouse/trash"))
            .unwrap()
            .count()
    };
    assert_eq!(trash(), 2);
    assert!(
        house.ok(&["diff", "two"]).out.contains("+y"),
        "its branch is still there"
    );
    house.ok(&["merge", "two"]);
    assert_eq!(house.read("y"), "y\n");

    // The trash is emptied when its time is over: here by `gc`.
    let gone = house.json(&["gc", "--set", "isolation.trash_days=0"]);
    assert!(gone["trash"].as_u64().unwrap() >= 3, "two trees and a branch: {gone}");
    assert_eq!(trash(), 0);
    assert!(!git(&house, &["for-each-ref"]).contains("/trash/"));
    house.ok(&["fsck"]);
}

#[test]
fn an_engine_empties_the_trash_by_itself() {
    let house = repository();
    house.write("plan.yaml", "tasks: [{id: t, isolation: worktree, exec: 'echo x > x'}]");
    house.ok(&["run", "plan.yaml"]);
    house.ok(&["discard", "r1/t"]);
    let trash = || {
        std::fs::read_dir(house.project().join(".wheelhouse/trash"))
            .unwrap()
            .count()
    };
    house.ok(&["run", "plan.yaml"]);
    assert_eq!(trash(), 1, "its time is not over");
    house.ok(&["run", "plan.yaml", "--set", "isolation.trash_days=0"]);
    assert_eq!(trash(), 0);
}

#[test]
fn hooks_of_the_repository_run_when_the_configuration_says_so() {
    let house = repository();
    let hook = house.write(
        ".git/hooks/pre-commit",
        "#!/bin/sh\necho the hook says no >&2\nexit 1\n",
    );
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    house.write("plan.yaml", "tasks: [{id: t, isolation: worktree, exec: 'echo x > x'}]");
    house.ok(&["run", "plan.yaml"]);
    let refused = house.run(&["run", "plan.yaml", "--set", "isolation.hooks=run"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(house.ok(&["status", "r2/t"]).out.contains("the hook says no"));
    let wrong = house.run(&["run", "plan.yaml", "--set", "isolation.hooks=yes"]);
    assert!(wrong.err.contains("is not one of \"off\", \"run\""), "{wrong:?}");
}

#[test]
fn a_run_that_is_removed_leaves_no_branches_but_in_the_trash() {
    let house = repository();
    house.write(
        "plan.yaml",
        "tasks: [{id: t, isolation: worktree, merge: branch, exec: 'echo x > x'}]",
    );
    house.ok(&["run", "plan.yaml"]);
    assert!(git(&house, &["branch", "--list", "wheelhouse/*"]).contains("wheelhouse/r1.merged"));
    let gone = house.json(&["gc", "--set", "retention.days=0"]);
    assert_eq!(
        (gone["runs"].as_u64(), gone["trees"].as_array().unwrap().len()),
        (Some(1), 1),
        "{gone}"
    );
    assert_eq!(git(&house, &["branch", "--list", "wheelhouse/*"]), "");
    assert!(git(&house, &["for-each-ref"]).contains("/trash/"));
}
