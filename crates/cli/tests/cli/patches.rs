//! Patches from outside: the command, and models behind APIs that edit files by answering with one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use wheelhouse_testkit::model_api::{ModelApi, Reply, Rule, Script};

use crate::isolation::{git, repository};
use crate::{DEADLINE, House};

const PATCH: &str =
    "*** Begin Patch\n*** Update File: a.txt\n@@\n-one\n+two\n*** Add File: n/new.txt\n+new\n*** End Patch\n";

#[test]
fn a_patch_is_applied_whole_and_checked_before() {
    let house = House::new();
    house.write("a.txt", "one\n");
    house.write("p", PATCH);
    let checked = house.ok(&["patch", "apply", "--check", "p"]);
    assert_eq!(checked.out, "C a.txt\nA n/new.txt\n");
    assert_eq!(house.read("a.txt"), "one\n");
    let hash = house.ok(&["patch", "hash", "a.txt"]).out[..12].to_owned();
    let applied = house.json(&["patch", "apply", "p", "--expect", &format!("a.txt={hash}")]);
    assert_eq!(applied["files"][1]["change"], "added", "{applied:#}");
    assert_eq!(
        (house.read("a.txt"), house.read("n/new.txt")),
        ("two\n".into(), "new\n".into())
    );
    let stale = house.run(&["patch", "apply", "p", "--expect", &format!("a.txt={hash}")]);
    assert_eq!(stale.code, Some(6));
    assert!(stale.err.contains("a.txt changed since it was read"), "{}", stale.err);
    assert!(
        stale.err.contains("old lines are not there, which begin with `one`"),
        "{}",
        stale.err
    );
}

#[test]
fn the_other_forms_and_an_answer_on_stdin_are_taken() {
    let house = House::new();
    house.write("a.txt", "one\n");
    house.write("p.json", "{\n  \"n\": 1\n}\n");
    house.write("q.json", "{\n  \"n\": 2\n}\n");
    let mut child = house
        .command(&["patch", "apply", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let answer = b"Sure:\n\na.txt\n```\n<<<<<<< SEARCH\none\n=======\ntwo\n>>>>>>> REPLACE\n```\n";
    child.stdin.take().unwrap().write_all(answer).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(house.read("a.txt"), "two\n");
    let operations = r#"[{"op":"test","path":"/n","value":1},{"op":"replace","path":"/n","value":2}]"#;
    house.write("ops.json", operations);
    house.ok(&["patch", "apply", "--to", "p.json", "ops.json"]);
    assert_eq!(house.read("p.json"), house.read("q.json"));
    assert_eq!(
        house.run(&["patch", "apply", "--to", "p.json", "ops.json"]).code,
        Some(6)
    );
    // Of so small a document the whole is shorter than the operations.
    house.write(
        "big.json",
        &format!("{{\"n\": 1, \"rest\": \"{}\"}}", "words ".repeat(80)),
    );
    house.write(
        "big2.json",
        &format!("{{\"n\": 2, \"rest\": \"{}\"}}", "words ".repeat(80)),
    );
    assert_eq!(house.ok(&["patch", "make", "q.json", "q.json"]).out, "[]\n");
    assert_eq!(
        house.ok(&["patch", "make", "big.json", "big2.json"]).out.trim(),
        operations
    );
}

#[test]
fn bad_patches_change_nothing_and_say_why() {
    let house = House::new();
    house.write("a.txt", "one\n");
    fs::write(house.project().join("binary"), [0xff, 0xfe, 0, 1]).unwrap();
    fs::write(house.project().join("../outside"), "safe\n").unwrap();
    symlink("../outside", house.project().join("link")).unwrap();
    symlink("loop", house.project().join("loop")).unwrap();
    let wrap = |body: &str| format!("*** Begin Patch\n*** Add File: first\n+x\n{body}\n*** End Patch\n");
    for (text, code, why) in [
        (wrap("*** Add File: ../out\n+x"), 2, "no path inside"),
        (wrap("*** Add File: .git/hooks/x\n+x"), 2, "no path inside"),
        (wrap("*** Add File: .wheelhouse/x\n+x"), 6, "own state"),
        (wrap("*** Update File: link\n@@\n-safe\n+x"), 2, "no path inside"),
        (wrap("*** Add File: link\n+x"), 6, "is a link"),
        (wrap("*** Add File: loop/x\n+x"), 6, "cannot be looked at"),
        (wrap("*** Update File: binary\n@@\n-x\n+y"), 6, "no UTF-8 text"),
        (
            wrap("*** Update File: a.txt\n@@\n-zzz\n+y"),
            6,
            "old lines are not there",
        ),
        (
            "*** Begin Patch\n*** Add File: first\n+x\n".to_owned(),
            2,
            "no `*** End Patch`",
        ),
        ("Nothing to do.\n".to_owned(), 2, "there is no patch in it"),
    ] {
        house.write("p", &text);
        let done = house.run(&["patch", "apply", "p"]);
        assert_eq!(done.code, Some(code), "{text}: {done:?}");
        assert!(done.err.contains(why), "{text}: {}", done.err);
        assert!(!house.project().join("first").exists(), "{text}");
    }
    fs::write(house.project().join("p"), b"ok\n\xff\xfe\n").unwrap();
    assert!(
        house
            .run(&["patch", "apply", "p"])
            .err
            .contains("line 2 is no UTF-8 text")
    );
    assert_eq!(
        fs::read_to_string(house.project().join("../outside")).unwrap(),
        "safe\n"
    );
    assert_eq!(house.read("a.txt"), "one\n");
    // What the original would leave behind is left only when it is asked for.
    house.write("p", &wrap("*** Update File: a.txt\n@@\n-zzz\n+y"));
    assert_eq!(house.run(&["patch", "apply", "--partial", "p"]).code, Some(6));
    assert_eq!(house.read("first"), "x\n");
}

/// Every scenario of the original's own suite, through the binary.
#[test]
fn the_original_s_scenarios() {
    let set = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/data/apply_patch/scenarios");
    let Ok(scenarios) = fs::read_dir(&set) else {
        eprintln!("passed over: {} is not there", set.display());
        return;
    };
    for scenario in scenarios
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        let house = House::new();
        let tree = house.project().join("t");
        fs::create_dir(&tree).unwrap();
        copy(&scenario.join("input"), &tree);
        fs::copy(scenario.join("patch.txt"), house.project().join("p")).unwrap();
        house.run(&["-C", "t", "patch", "apply", "--partial", "../p"]);
        assert_eq!(
            files(&tree, &tree),
            files(&scenario.join("expected"), &scenario.join("expected")),
            "{}",
            scenario.display()
        );
    }
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from, from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn files(top: &Path, below: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for path in fs::read_dir(below)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
    {
        if path.is_dir() {
            all.extend(files(top, &path));
        } else {
            let name = path.strip_prefix(top).unwrap().display().to_string();
            all.push((name, fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

const PLAN: &str = "name: edit\ntasks:\n  - id: fix\n    agent: model\n    prompt: Make it two.\n    files: [a.txt, \"n/**\"]\n    \
    protect: [tests]\n    verify: [\"grep -q two a.txt\"]\n    isolation: worktree\n    edits: patch\n    retry: 1\n";

fn edited_by(replies: &[&str]) -> (ModelApi, House) {
    let rule = replies.iter().fold(Rule::any().counted_together(), |rule, reply| {
        rule.reply(Reply::text(reply))
    });
    let fake = ModelApi::start(Script::new().rule(rule)).unwrap();
    let house = repository().with_env("A_KEY", "sk-x");
    house.write(
        "wheelhouse.toml",
        &format!(
            "[agents.model]\nbackend = \"api\"\napi = \"anthropic\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey_env = \"A_KEY\"\n",
            fake.base_url()
        ),
    );
    house.write("plan.yaml", PLAN);
    (fake, house)
}

#[test]
fn a_model_without_tools_changes_files() {
    let answer = format!("I made it two.\n\n```\n{PATCH}```\n");
    let (fake, house) = edited_by(&[&answer]);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
    let told = fake.turns()[0].prompt.clone();
    assert!(
        told.contains("*** Begin Patch") && told.contains("a.txt:\n<output task=\"project\""),
        "{told}"
    );
    assert!(!told.contains("check.sh"), "only what is declared is shown: {told}");
    let result = house.json(&["result", "fix"]);
    assert_eq!(result["result"]["summary"], "I made it two.", "{result:#}");
    assert_eq!(
        result["result"]["files"],
        serde_json::json!(["a.txt", "n/new.txt"]),
        "{result:#}"
    );
    assert_eq!(git(&house, &["show", "wheelhouse/r1/fix:a.txt"]), "two\n");
    assert_eq!(house.read("a.txt"), "one\n", "the project itself waits for the merge");
    let receipts = house.json(&["economy", "r1"])["receipts"].to_string();
    assert!(receipts.contains("\"patches\""), "{receipts}");
}

#[test]
fn a_patch_that_does_not_apply_is_tried_again_with_what_was_wrong() {
    let bad = PATCH.replace("-one", "-eins");
    let (fake, house) = edited_by(&[&bad, PATCH]);
    let run = house.json(&["run", "plan.yaml"]);
    assert_eq!(run["run"]["tasks"]["succeeded"], 1, "{run:#}");
    let second = fake.turns()[1].prompt.clone();
    assert!(
        second.contains("malformed") && second.contains("its old lines are not there, which begin with `eins`"),
        "{second}"
    );
    let task = house.json(&["status", "fix"]);
    assert_eq!(task["attempts"][0]["outcome"]["class"], "malformed", "{task:#}");
}

#[test]
fn what_a_task_must_not_touch_a_patch_does_not_touch() {
    let outside = PATCH.replace("n/new.txt", "stray.txt");
    let guarded = PATCH.replace("n/new.txt", "n/tests/t.txt");
    let (_fake, house) = edited_by(&[&outside, &guarded]);
    let ran = house.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let told = house.ok(&["status", "fix"]).out;
    assert!(told.contains("protected by `tests`"), "{told}");
    assert_eq!(
        git(&house, &["show", "wheelhouse/r1/fix:a.txt"]),
        "one\n",
        "nothing of it was applied"
    );
}

#[test]
fn a_file_that_changed_while_the_model_thought_is_left_alone() {
    let fake = ModelApi::start(Script::new().rule(Rule::any().reply(Reply::text(PATCH).hold("gate")))).unwrap();
    let (_unused, house) = edited_by(&[PATCH]);
    let settings = house.read("wheelhouse.toml");
    let old = settings.split('"').find(|part| part.starts_with("http")).unwrap();
    house.write("wheelhouse.toml", &settings.replace(old, &fake.base_url()));
    house.write("plan.yaml", &PLAN.replace("retry: 1", "retry: 0"));
    let running = house.start(&["run", "plan.yaml"]);
    fake.wait_until(DEADLINE, |turns| !turns.is_empty()).unwrap();
    let tree = house.ok(&["open", "fix"]).out.trim().to_owned();
    fs::write(Path::new(&tree).join("a.txt"), "one\nand more\n").unwrap();
    fake.release("gate");
    assert_eq!(running.done().code, Some(1));
    let told = house.ok(&["status", "fix"]).out;
    assert!(told.contains("a.txt changed since it was read"), "{told}");
}

#[test]
fn an_answer_without_a_patch_and_a_task_without_a_tree_are_refused() {
    let (_fake, house) = edited_by(&["All done, I changed a.txt!"]);
    house.write("plan.yaml", &PLAN.replace("retry: 1", "retry: 0"));
    assert_eq!(house.run(&["run", "plan.yaml"]).code, Some(1));
    assert!(house.ok(&["status", "fix"]).out.contains("its answer has no patch"));
    house.write(
        "plan.yaml",
        &PLAN
            .replace("isolation: worktree", "isolation: none")
            .replace("    protect: [tests]\n", ""),
    );
    let wrong = house.run(&["plan", "check", "plan.yaml"]);
    assert_eq!(wrong.code, Some(2));
    let told = wrong.out + &wrong.err;
    assert!(told.contains("`edits: patch` and is not isolated"), "{told}");
}
