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
