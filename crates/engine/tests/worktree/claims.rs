//! What a claim of success must not hide: where the work is, what was touched, what git could not take.

use std::fs;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_engine::worktree::{Error, Problem, Rules, overlaps, violations};

use crate::support::{House, NOW, RUN, git, key, land, read, write};

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn deleted_tests_edited_checks_and_undeclared_files_are_seen() {
    let house = House::new();
    write(house.project.join("tests/api.rs"), "assert!(works());\n");
    write(house.project.join("ci/check.sh"), "exit 1\n");
    house.commit("tests");
    let trees = house.trees();
    let tree = trees.create(RUN, &key("liar"), 1, &[]).unwrap();
    fs::remove_file(tree.path.join("tests/api.rs")).unwrap();
    write(tree.path.join("ci/check.sh"), "exit 0\n");
    write(tree.path.join("src/lib.rs"), "// done\n");
    write(tree.path.join("elsewhere.txt"), "x");
    // Committed by the agent itself, with the traces wiped from the work tree.
    git(&tree.path, &["add", "-A"]);
    git(&tree.path, &["commit", "-q", "-m", "refactor"]);
    let changed = trees.finish(RUN, &key("liar"), "done").unwrap();
    let (files, protect, verify) = (
        texts(&["src/**"]),
        texts(&["tests", "checks"]),
        texts(&["sh ci/check.sh"]),
    );
    let rules = Rules {
        files: &files,
        protect: &protect,
        verify: &verify,
    };
    let found: Vec<String> = violations(&changed.files, rules)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "`ci/check.sh` was changed, which is protected by `checks`",
            "`elsewhere.txt` was added, which is outside the declared `files`",
            "`tests/api.rs` was deleted, which is protected by `tests`",
        ]
    );
}

#[test]
fn work_on_another_branch_is_brought_home_when_it_is_a_step_forward() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    git(&tree.path, &["switch", "-q", "-c", "my-fix"]);
    write(tree.path.join("one.txt"), "1");
    git(&tree.path, &["add", "-A"]);
    git(&tree.path, &["commit", "-q", "-m", "one"]);
    let theirs = house.git(&["rev-parse", "my-fix"]);
    write(tree.path.join("two.txt"), "2");
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths(), ["one.txt", "two.txt"]);
    assert!(
        changed.problems.is_empty() && changed.notices[0].contains("my-fix"),
        "{changed:?}"
    );
    assert_eq!(
        house.git(&["rev-parse", "my-fix"]),
        theirs,
        "another branch is never moved"
    );
    assert_eq!(git(&tree.path, &["symbolic-ref", "--short", "HEAD"]), "wheelhouse/r7/a");
    // A detached HEAD is no different.
    git(&tree.path, &["checkout", "-q", "--detach"]);
    write(tree.path.join("three.txt"), "3");
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths().len(), 3);
    assert_eq!(changed.commit.unwrap(), house.git(&["rev-parse", "wheelhouse/r7/a"]));
}

#[test]
fn work_beside_the_branch_is_kept_and_reported() {
    let house = House::new();
    let trees = house.trees();
    let (tree, _) = house.task(&trees, "a", &[], &[("done.txt", "done")]);
    house.git(&["branch", "feature", "main"]);
    git(&tree.path, &["switch", "-q", "feature"]);
    write(tree.path.join("stray.txt"), "stray");
    let feature = house.git(&["rev-parse", "feature"]);
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths(), ["done.txt"], "only what is on the branch counts");
    let [Problem::OffBranch { found, kept_at }] = changed.problems.as_slice() else {
        panic!("{changed:?}")
    };
    assert_eq!(found.as_deref(), Some("feature"));
    assert_eq!(house.at(kept_at, "stray.txt").as_deref(), Some("stray"));
    assert_eq!(
        house.git(&["rev-parse", "feature"]),
        feature,
        "the user's branch is not committed to"
    );
}

#[test]
fn a_rewritten_branch_is_reported() {
    let house = House::new();
    let first = house.git(&["rev-parse", "HEAD"]);
    write(house.project.join("second.txt"), "2");
    house.commit("second");
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    git(&tree.path, &["reset", "-q", "--hard", &first]);
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.problems, [Problem::Rewritten]);
    assert_eq!(changed.paths(), ["second.txt"]);
}

#[test]
fn an_unfinished_merge_is_committed_and_reported() {
    let house = House::new();
    let trees = house.trees();
    let (tree, _) = house.task(&trees, "a", &[], &[("a.txt", "MINE\n")]);
    house.task(&trees, "b", &[], &[("a.txt", "THEIRS\n")]);
    assert!(!crate::support::try_git(&tree.path, &["merge", "wheelhouse/r7/b"]).0);
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.problems, [Problem::LeftConflicts(vec!["a.txt".to_owned()])]);
    assert!(
        house.at("wheelhouse/r7/a", "a.txt").unwrap().contains("<<<<<<<"),
        "nothing is thrown away"
    );
    assert_eq!(
        git(&tree.path, &["rev-list", "--parents", "-1", "HEAD"])
            .split(' ')
            .count(),
        3
    );
}

#[test]
fn repositories_within_the_tree_are_reported_and_keep_it_from_removal() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("own.txt"), "own");
    for (name, commit) in [("empty repo", false), ("cloned", true)] {
        let inner = tree.path.join(name);
        write(inner.join("inner.txt"), "only here");
        git(&inner, &["init", "-q"]);
        if commit {
            git(&inner, &["add", "-A"]);
            git(&inner, &["commit", "-q", "-m", "inner"]);
        }
    }
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths(), ["own.txt"]);
    assert_eq!(
        changed.problems,
        [Problem::Repositories(texts(&["cloned/", "empty repo/"]))]
    );
    let error = trees.remove(RUN, &key("a"), NOW).unwrap_err();
    assert!(
        matches!(&error, Error::Kept { why, .. } if why.contains("cloned/")),
        "{error:?}"
    );
    assert_eq!(read(tree.path.join("cloned/inner.txt")), "only here");
}

#[test]
fn a_broken_link_is_mended_and_a_replaced_one_is_refused() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("work.txt"), "work");
    fs::remove_file(tree.path.join(".git")).unwrap();
    assert!(matches!(trees.finish(RUN, &key("a"), "a"), Err(Error::Damaged { .. })));
    trees.create(RUN, &key("a"), 2, &[]).unwrap();
    assert_eq!(trees.finish(RUN, &key("a"), "a").unwrap().paths(), ["work.txt"]);
    fs::remove_file(tree.path.join(".git")).unwrap();
    git(&tree.path, &["init", "-q"]);
    let error = trees.create(RUN, &key("a"), 3, &[]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(matches!(trees.remove(RUN, &key("a"), NOW), Err(Error::Damaged { .. })));
    trees.discard(RUN, &key("a"), NOW).unwrap();
    assert_eq!(read(house.state().join("trash/001760000000000-r7-a/work.txt")), "work");
}

#[test]
fn overlapping_work_is_seen_before_the_merge() {
    let house = House::new();
    let trees = house.trees();
    let touch = |name: &str, file: &str| {
        let tree = trees.create(RUN, &key(name), 1, &[]).unwrap();
        write(tree.path.join(file), name);
        (key(name), trees.touched(RUN, &key(name)).unwrap())
    };
    let touched = [touch("a", "a.txt"), touch("b", "src/lib.rs"), touch("c", "a.txt")];
    let found = overlaps(&touched);
    let expected: Vec<TaskKey> = vec![key("a"), key("c")];
    assert_eq!(
        (found.len(), found[0].path.as_str(), &found[0].tasks),
        (1, "a.txt", &expected)
    );
}

#[cfg(unix)]
fn hook(house: &House, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = house.project.join(".git/hooks").join(name);
    write(&path, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn hooks_run_only_where_they_are_honoured() {
    let house = House::new();
    let marks = house.dir.path().join("marks");
    for name in [
        "post-checkout",
        "pre-commit",
        "post-commit",
        "commit-msg",
        "reference-transaction",
    ] {
        hook(&house, name, &format!("echo {name} >> '{}'", marks.display()));
    }
    // Not a hook by name, but a program of the repository's choice all the same.
    hook(&house, "watch", &format!("echo watch >> '{}'", marks.display()));
    let watch = house.project.join(".git/hooks/watch");
    house.git(&["config", "core.fsmonitor", watch.to_str().unwrap()]);
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("x.txt", "x")]);
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
    trees.remove(RUN, &key("a"), NOW).unwrap();
    assert!(!marks.exists(), "{}", read(&marks));
    let mut options = house.options();
    options.template.hooks = true;
    let trees = house.trees_with(options);
    house.task(&trees, "b", &[], &[("y.txt", "y")]);
    let ran = read(&marks);
    assert!(
        ran.contains("post-checkout") && ran.contains("pre-commit") && ran.contains("commit-msg"),
        "{ran}"
    );
}

#[test]
fn a_hook_that_refuses_is_an_error_and_removal_saves_the_work_all_the_same() {
    let house = House::new();
    hook(&house, "pre-commit", "echo 'no tabs allowed' >&2; exit 1");
    let mut options = house.options();
    options.template.hooks = true;
    let trees = house.trees_with(options);
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("work.txt"), "\twork");
    let error = trees.finish(RUN, &key("a"), "a").unwrap_err();
    assert!(
        matches!(&error, Error::Hook { words } if words.contains("no tabs allowed")),
        "{error:?}"
    );
    assert_eq!(read(tree.path.join("work.txt")), "\twork");
    trees.remove(RUN, &key("a"), NOW).unwrap();
    assert_eq!(house.at("wheelhouse/r7/a", "work.txt").as_deref(), Some("\twork"));
}

#[test]
fn work_on_a_branch_without_a_commit_is_brought_home() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    git(&tree.path, &["checkout", "-q", "--orphan", "begun"]);
    write(tree.path.join("new.txt"), "x");
    let changed = trees.finish(RUN, &key("a"), "work").unwrap();
    assert!(changed.problems.is_empty(), "{:?}", changed.problems);
    assert_eq!(changed.paths(), ["new.txt"]);
    assert_eq!(house.at("wheelhouse/r7/a", "new.txt").as_deref(), Some("x"));
}
