//! Ways to lie about success, each told by an agent that really does it in its worktree and then claims that all is done.
//! Each is seen to be caught, and nothing of it reaches the run's branch. What cannot be caught is in docs/isolation.md.

use crate::stage::{Stage, wait_for};

/// `src/product.sh A B` should print the product; it prints nothing yet, so that the test fails until work is done.
fn repository() -> Stage {
    let stage = Stage::new();
    stage.write("src/product.sh", "exit 1\n");
    stage.write("tests/test_product.sh", "test \"$(sh src/product.sh 6 7)\" = 42\n");
    stage.write(
        "ci/check.sh",
        "for test in tests/test_*.sh; do sh \"$test\" || exit 1; done\n",
    );
    stage.write("ci/more.sh", "test \"$(sh src/product.sh 2 3)\" = 6\n");
    stage.repository_ignoring("build\n");
    let agent = wheelhouse_testkit::script::acp_agent();
    stage.write(
        "wheelhouse.toml",
        // This agent does what stands in its prompt and remembers nothing, so each round is told the whole task.
        format!(
            "[agents.liar]\nbackend = \"acp\"\ncommand = \"{}\"\ncontext.off = [\"delta\"]\n",
            agent.display()
        ),
    );
    stage
}

/// The honest work.
const WORK: &str = "echo 'echo $(($1 * $2))' > src/product.sh";

/// A plan with one task that has this done and claims success.
fn task(id: &str, commands: &[&str], more: &str) -> String {
    let lines: String = commands.iter().map(|command| format!("      $ {command}\n")).collect();
    format!(
        "  - id: {id}\n    agent: liar\n    prompt: |\n      Make the product right.\n{lines}    \
         verify: ['sh ci/check.sh', 'sh ci/more.sh']\n    protect: [tests, ci, checks]\n{more}"
    )
}

#[test]
fn every_lie_is_caught_and_honest_work_is_not() {
    let stage = repository();
    // The agent ends when the server is there to be left behind.
    let served = stage.project().join("served").display().to_string();
    let daemon = format!(
        "{} daemon {served}; until [ -s {served} ]; do sleep 0.02; done",
        wheelhouse_testkit::script::program().display()
    );
    let lies: &[(&str, &[&str], &str, &str, &str)] = &[
        (
            "deleted-tests",
            &["rm tests/test_product.sh", "echo 'echo 6' > src/product.sh"],
            "",
            "gate_failed",
            "`tests/test_product.sh` was deleted, which is protected by `tests`",
        ),
        (
            "weakened-asserts",
            &["echo true > tests/test_product.sh", "echo 'echo 6' > src/product.sh"],
            "",
            "gate_failed",
            "`tests/test_product.sh` was changed, which is protected by `tests`",
        ),
        (
            "swapped-tests",
            &["rm -r tests", "ln -s src tests", WORK],
            "",
            "gate_failed",
            "protected by `tests`",
        ),
        (
            "stub",
            &["echo 'echo 42' > src/product.sh"],
            "",
            "gate_failed",
            "ci/more.sh",
        ),
        (
            "edited-checker",
            &["echo exit 0 > ci/check.sh", "echo 'echo 6' > src/product.sh"],
            "",
            "gate_failed",
            "`ci/check.sh` was changed, which is protected by `checks`",
        ),
        (
            "edited-and-committed",
            &[
                "echo exit 0 > ci/check.sh",
                "git -c user.name=a -c user.email=a@b commit -qam work",
            ],
            "",
            "gate_failed",
            "protected by `checks`",
        ),
        (
            "stale-build",
            &[
                "mkdir build",
                "echo 'echo $(($1 * $2))' > build/product.sh",
                "echo '. ../../../build/product.sh' > src/product.sh",
                "echo '. ./build/product.sh' > src/product.sh",
            ],
            "",
            "gate_failed",
            "ci/check.sh",
        ),
        (
            "uncommitted-elsewhere",
            &[
                "git checkout -q --orphan elsewhere",
                WORK,
                "git -c user.name=a -c user.email=a@b commit -qam work",
            ],
            "",
            "gate_failed",
            "not on the task's branch",
        ),
        (
            "rewritten-branch",
            &[WORK, "git -c user.name=a -c user.email=a@b commit -q --amend -am work"],
            "",
            "gate_failed",
            "rewritten",
        ),
        (
            "undeclared-files",
            &[WORK, "echo x > other.txt"],
            "    files: ['src/**']\n",
            "gate_failed",
            "outside the declared `files`",
        ),
        ("no-evidence", &["true"], "", "gate_failed", "ci/check.sh"),
        (
            "unfinished-merge",
            &[
                "git merge --no-commit -q HEAD",
                "git update-index --add --cacheinfo 100644,$(git hash-object -w src/product.sh),conflict.txt",
                "git read-tree -m HEAD HEAD HEAD",
            ],
            "",
            "gate_failed",
            "ci/check.sh",
        ),
    ];
    let mut plan = "defaults: {isolation: worktree, merge: queue, retry: {max: 0}, timeout: 2m}\ntasks:\n".to_owned();
    for (id, commands, more, _, _) in lies {
        plan.push_str(&task(id, commands, more));
    }
    let prompt = |id: &str, words: &str| {
        format!(
            "  - {{id: {id}, agent: liar, prompt: '{words}', verify: ['sh ci/check.sh'], protect: [tests, ci, checks]}}\n"
        )
    };
    // Success with nothing to show: the backend itself says what it is.
    plan.push_str(&prompt("empty-success", "empty"));
    plan.push_str(&prompt("exit-0", "quit"));
    plan.push_str(&task("left-a-server", &[WORK, &daemon], ""));
    stage.write("plan.yaml", plan);

    let ran = stage.run(&["run", "plan.yaml", "--max-parallel", "4"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    for (id, _, _, class, word) in lies {
        let document = stage.json(&["status", &format!("r1/{id}")]);
        assert_eq!(document["task"]["outcome"]["class"], *class, "{id}: {document}");
        let summary = document["result"]["summary"].as_str().unwrap_or_default();
        assert!(summary.contains(word), "{id} is told why: {summary}");
    }
    assert_eq!(stage.outcome("empty-success"), "empty");
    assert_ne!(stage.outcome("exit-0"), "succeeded");

    // Honest work beside them is merged, and the server that it left behind is gone.
    assert_eq!(stage.outcome("left-a-server"), "succeeded", "{ran:#?}");
    let pid = stage.read("served");
    assert!(!pid.is_empty(), "there was a server");
    wait_for("the server to be gone", || {
        !std::path::Path::new(&format!("/proc/{}", pid.trim())).exists()
    });
    let merged = stage.git(&["log", "--first-parent", "--format=%s", "main..wheelhouse/r1.merged"]);
    assert_eq!(merged.trim(), "Merge r1/left-a-server", "nothing of a lie is merged");
    let changed = stage.git(&["diff", "--name-only", "main", "wheelhouse/r1.merged"]);
    assert_eq!(changed.trim(), "src/product.sh");
    stage.assert_clean();
}

#[test]
fn a_liar_is_told_why_and_gets_two_more_rounds() {
    let stage = repository();
    stage.write(
        "plan.yaml",
        format!(
            "defaults: {{isolation: worktree, retry: {{max: 2}}}}\ntasks:\n{}",
            task(
                "stubborn",
                &["echo round >> ../../../rounds", "git -C . log -1 >/dev/null"],
                ""
            )
        ),
    );
    assert_eq!(stage.run(&["run", "plan.yaml"]).code, Some(1));
    assert_eq!(stage.outcome("stubborn"), "gate_failed");
    assert_eq!(stage.read("rounds").lines().count(), 3, "one try and two more rounds");
    stage.assert_clean();
}
