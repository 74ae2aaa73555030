//! Branches that come together, from outside: conflicts hold their task for a person, what waits together is merged
//! together, and two tasks at work on one file are told of.

use crate::isolation::{git, repository};
use crate::{House, until};

/// `left` is merged first, for `right` waits for it in the shell; both write `a.txt`.
fn conflicting(house: &House) {
    house.write(
        "plan.yaml",
        r#"
name: two-sides
defaults: {isolation: worktree, merge: queue}
tasks:
  - {id: left, exec: 'echo left > a.txt; echo by left > left.txt'}
  - {id: right, exec: 'n=0; until git rev-parse -q --verify wheelhouse/r1.merged^2 >/dev/null || [ $n = 600 ]; do n=$((n+1)); sleep 0.1; done; echo right > a.txt; echo said by right', files: [a.txt]}
  - {id: after, exec: 'cat a.txt', needs: [right]}
"#,
    );
    let ran = house.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(3), "nothing goes on without a person: {ran:?}");
}

#[test]
fn a_conflict_holds_its_task_and_names_the_hunks() {
    let house = repository();
    conflicting(&house);
    let document = house.json(&["status", "r1/right"]);
    let held = &document["task"]["held"];
    assert_eq!(held["reason"], "merge_conflict", "{document}");
    assert_eq!(document["attempts"][0]["outcome"]["class"], "conflict");
    assert_eq!(house.json(&["status", "r1/after"])["task"]["state"], "waiting");
    let asked = house.json(&["answer"]);
    let question = &asked["questions"][0];
    assert_eq!(question["id"], held["question"]);
    assert_eq!(question["kind"], "conflict");
    assert_eq!(question["choices"], serde_json::json!(["retry", "fail", "continue"]));
    let text = question["text"].as_str().unwrap();
    for word in [
        "a.txt (content)",
        "a.txt:1",
        "<<<<<<< wheelhouse/r1.merged",
        "left",
        "right",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let shown = house.ok(&["answer"]).out;
    assert!(shown.contains("\n  =======\n"), "hunks are shown line by line: {shown}");
    let status = house.ok(&["status"]).out;
    assert!(
        status.contains("does not merge") && status.contains("Waiting for you"),
        "{status}"
    );
    // Both sides are as they were.
    assert_eq!(git(&house, &["show", "wheelhouse/r1.merged:a.txt"]), "left\n");
    assert_eq!(git(&house, &["show", "wheelhouse/r1/right:a.txt"]), "right\n");
    house.ok(&["fsck"]);
}

#[test]
fn a_person_brings_the_sides_together_and_no_agent_runs_again() {
    let house = repository();
    conflicting(&house);
    let tree = house.ok(&["open", "r1/right"]).out;
    let tree = std::path::Path::new(tree.trim());
    let at_tree = |args: &[&str]| {
        let done = std::process::Command::new("git")
            .current_dir(tree)
            .args(args)
            .output()
            .unwrap();
        (done.status.success(), done)
    };
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
    let merge = [&identity[..], &["merge", "wheelhouse/r1.merged"]].concat();
    assert!(!at_tree(&merge).0, "it conflicts");
    std::fs::write(tree.join("a.txt"), "left and right\n").unwrap();
    // Not committed: the next try does that.
    assert!(at_tree(&["add", "a.txt"]).0);
    house.ok(&["answer", "q1", "retry"]);
    assert_eq!(house.run(&["resume"]).code, Some(0));
    let document = house.json(&["status", "r1/right"]);
    assert_eq!(document["task"]["outcome"]["class"], "succeeded", "{document}");
    assert_eq!(
        document["result"]["files"],
        serde_json::json!(["a.txt"]),
        "not what `left` did"
    );
    assert!(
        document["result"]["summary"]
            .as_str()
            .unwrap()
            .starts_with("said by right"),
        "{document}"
    );
    house.ok(&["merge", "r1"]);
    assert_eq!(house.read("a.txt"), "left and right\n");
    assert_eq!(house.read("left.txt"), "by left\n");
    house.ok(&["fsck"]);
}

#[test]
fn a_conflict_can_be_given_up_discarded_or_gone_on_without() {
    let house = repository();
    conflicting(&house);
    house.ok(&["answer", "q1", "continue"]);
    house.run(&["resume"]);
    let document = house.json(&["status", "r1"]);
    let outcome = |name: &str| {
        let tasks = document["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["key"] == name).unwrap();
        task["outcome"]["class"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(
        (outcome("right"), outcome("after")),
        ("conflict".to_owned(), "succeeded".to_owned())
    );

    let house = repository();
    conflicting(&house);
    house.ok(&["discard", "r1/right"]);
    let document = house.json(&["status", "r1"]);
    assert_eq!(document["tasks"][1]["outcome"]["class"], "conflict", "{document}");
    assert_eq!(document["tasks"][2]["outcome"]["class"], "skipped");
    assert!(
        git(&house, &["for-each-ref"]).contains("/trash/"),
        "its work is kept for a while"
    );
    assert_eq!(house.json(&["answer"])["questions"], serde_json::json!([]));
    house.ok(&["fsck"]);
}

#[test]
fn what_a_task_needs_does_not_go_together() {
    let house = repository();
    house.write(
        "plan.yaml",
        "defaults: {isolation: worktree}\ntasks:\n  - {id: left, exec: 'echo left > a.txt'}\n  \
         - {id: right, exec: 'echo right > a.txt'}\n  - {id: both, exec: 'cat a.txt', needs: [left, right]}\n",
    );
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(3));
    let document = house.json(&["status", "r1/both"]);
    assert_eq!(document["task"]["held"]["reason"], "merge_conflict", "{document}");
    // A person settles it on one of the branches; then the task starts.
    let tree = house.ok(&["open", "r1/left"]).out;
    std::fs::write(std::path::Path::new(tree.trim()).join("a.txt"), "right\n").unwrap();
    let commit = ["-C", tree.trim(), "commit", "-q", "-am", "as right has it"];
    git(&house, &commit);
    house.ok(&["answer", "q1", "retry"]);
    assert_eq!(house.run(&["resume"]).code, Some(0));
    assert_eq!(house.ok(&["result", "both", "--full"]).out, "right\n");
}

#[test]
fn a_conflict_goes_as_the_plan_says_when_it_says_so() {
    let house = repository();
    house.write(
        "plan.yaml",
        r#"
defaults: {isolation: worktree, merge: queue}
tasks:
  - {id: left, exec: 'echo left > a.txt'}
  - {id: right, exec: 'n=0; until git rev-parse -q --verify wheelhouse/r1.merged^2 >/dev/null || [ $n = 600 ]; do n=$((n+1)); sleep 0.1; done; echo right > a.txt', on_failure: fail}
"#,
    );
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    let document = house.json(&["status", "r1/right"]);
    assert_eq!(document["task"]["outcome"]["class"], "conflict", "{document}");
    assert!(
        house.ok(&["status", "r1/right"]).out.contains("a.txt"),
        "the conflict is named"
    );
}

#[test]
fn twenty_tasks_merge_in_few_checks_and_a_culprit_is_found() {
    let house = repository();
    let mut plan = "defaults: {isolation: worktree, merge: queue}\ntasks:\n".to_owned();
    for n in 0..20 {
        let verify = match n {
            // Passes alone; fails beside any other's work.
            7 => "test $(ls | grep -c made-) = 1",
            _ => "echo x >> ../../../checks",
        };
        let go = if n == 7 { "go-7" } else { "go" };
        plan.push_str(&format!(
            "  - {{id: t{n}, exec: 'echo {n} > made-{n}; while [ ! -e ../../../{go} ]; do sleep 0.05; done', verify: ['{verify}']}}\n"
        ));
    }
    house.write("plan.yaml", &plan);
    let running = house.start(&["run", "plan.yaml", "--max-parallel", "20"]);
    until("all twenty are at work", || {
        let trees = house.project().join(".wheelhouse/worktrees");
        (0..20).all(|n| trees.join(format!("r1-t{n}/made-{n}")).exists())
    });
    house.write("go", "");
    // Were the culprit the first to merge, it would be alone, and right.
    until("the first has merged", || {
        house.json(&["status", "r1"])["tasks"]
            .as_array()
            .is_some_and(|tasks| tasks.iter().any(|task| task["state"] == "done"))
    });
    house.write("go-7", "");
    let done = running.done();
    assert_eq!(done.code, Some(1), "{done:?}");
    let document = house.json(&["status", "r1"]);
    for task in document["tasks"].as_array().unwrap() {
        let expected = if task["key"] == "t7" {
            "gate_failed"
        } else {
            "succeeded"
        };
        assert_eq!(task["outcome"]["class"], expected, "{task}");
    }
    let log = git(
        &house,
        &["log", "--first-parent", "--format=%s", "main..wheelhouse/r1.merged"],
    );
    assert_eq!(log.lines().count(), 19, "{log}");
    house.ok(&["merge", "r1"]);
    for n in (0..20).filter(|n| *n != 7) {
        assert_eq!(house.read(&format!("made-{n}")), format!("{n}\n"));
    }
    assert!(!house.project().join("made-7").exists());
    house.ok(&["fsck"]);
}

#[test]
fn two_tasks_at_work_on_one_file_are_told_of() {
    let house = repository();
    house.write(
        "plan.yaml",
        r#"
defaults: {isolation: worktree, merge: branch}
tasks:
  - {id: one, exec: 'echo one > shared.txt; while [ ! -e ../../../go ]; do sleep 0.05; done'}
  - {id: two, exec: 'echo two > shared.txt; echo two > own.txt; while [ ! -e ../../../on ]; do sleep 0.05; done'}
"#,
    );
    let running = house.start(&["run", "plan.yaml"]);
    until("status names the overlap", || {
        let document = house.json(&["status"]);
        document["overlaps"] == serde_json::json!([{"path": "shared.txt", "tasks": ["r1/one", "r1/two"]}])
    });
    let shown = house.ok(&["status"]).out;
    assert!(
        shown.contains("Changed by several at once") && shown.contains("r1: one, two"),
        "{shown}"
    );
    until("both are told in the history", || {
        let events = house.ok(&["events"]).out;
        events.contains("overlap: is changed by `two` too: shared.txt")
            && events.contains("overlap: is changed by `one` too: shared.txt")
    });
    running.until_said("one overlap: is changed by `two` too: shared.txt");
    house.write("go", "");
    house.until_task("r1/one", "done");
    let events = house.ok(&["events"]).out;
    assert!(
        events.contains("overlap: it is merged while `two` is at work on the same files: shared.txt"),
        "{events}"
    );
    house.write("on", "");
    assert_eq!(running.done().code, Some(3));
    assert_eq!(
        house.json(&["status"])["overlaps"],
        serde_json::json!([]),
        "nobody is at work"
    );
}
