//! A tree from its making to the trash.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use wheelhouse_core::time::Millis;
use wheelhouse_engine::worktree::{Change, Error, Origin};

use crate::support::{DAY_MS, House, NOW, RUN, git, key, keys, land, read, try_git, write};

#[test]
fn a_tree_is_a_locked_worktree_on_its_own_branch() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    assert_eq!(tree.path, house.state().join("worktrees/r7-draft"));
    assert_eq!(tree.branch.as_deref(), Some("wheelhouse/r7/draft"));
    assert_eq!(tree.origin, Origin::New);
    assert_eq!(read(tree.path.join("a.txt")), "one\ntwo\nthree\n");
    let listed = house.git(&["worktree", "list", "--porcelain"]);
    assert!(
        listed.contains("locked wheelhouse r7/draft (store store-one)"),
        "{listed}"
    );
    let head = house.git(&["rev-parse", "HEAD"]);
    assert_eq!(tree.start.as_deref(), Some(head.as_str()));
    assert_eq!(trees.base(RUN).unwrap().unwrap().commit, head);
    assert!(house.git(&["for-each-ref", "refs/wheelhouse"]).contains("/r7/base"));
    assert_eq!(
        house.git(&["status", "--porcelain"]),
        "",
        "the user's tree sees nothing of it"
    );
    assert_eq!(trees.path(RUN, &key("draft")).unwrap(), tree.path);
    assert_eq!(trees.list().unwrap(), [(RUN, key("draft"))]);
    assert!(matches!(trees.path(RUN, &key("other")), Err(Error::NoTree { .. })));
}

#[test]
fn all_trees_of_a_run_start_from_the_commit_of_the_first() {
    let house = House::new();
    let trees = house.trees();
    let first = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    write(house.project.join("later.txt"), "later");
    house.commit("later");
    let second = house.trees().create(RUN, &key("b"), 1, &[]).unwrap();
    assert_eq!(first.start, second.start);
    assert!(!second.path.join("later.txt").exists());
    let next = trees.create(wheelhouse_core::ids::RunId(8), &key("a"), 1, &[]).unwrap();
    assert!(
        next.path.join("later.txt").exists(),
        "another run starts from what is there then"
    );
}

#[test]
fn uncommitted_work_of_the_user_is_told_to_be_missing() {
    let house = House::new();
    write(house.project.join("a.txt"), "edited");
    write(house.project.join("new.txt"), "new");
    let tree = house.trees().create(RUN, &key("a"), 1, &[]).unwrap();
    assert_eq!(tree.notices.len(), 1);
    assert!(
        tree.notices[0].contains("2 files") && tree.notices[0].contains("a.txt"),
        "{:?}",
        tree.notices
    );
    assert_eq!(read(tree.path.join("a.txt")), "one\ntwo\nthree\n");
    let second = house.trees().create(RUN, &key("b"), 1, &[]).unwrap();
    assert!(second.notices.is_empty(), "said once");
    let base = house.trees().base(RUN).unwrap().unwrap();
    assert_eq!((base.uncommitted_count, base.from.as_deref()), (2, Some("main")));
}

#[test]
fn a_repeated_try_finds_its_uncommitted_work() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("half.txt"), "half done");
    write(tree.path.join("a.txt"), "changed");
    // A git that was killed in the tree.
    let inside = house.project.join(".git/worktrees/r7-draft");
    write(inside.join("index.lock"), "");
    let fresh = house.trees();
    assert!(fresh.recover().unwrap().is_empty());
    let again = fresh.create(RUN, &key("draft"), 1, &[]).unwrap();
    assert_eq!((again.origin, &again.path), (Origin::Kept, &tree.path));
    assert_eq!(read(again.path.join("half.txt")), "half done");
    assert!(!inside.join("index.lock").exists());
    let next = fresh.create(RUN, &key("draft"), 2, &[]).unwrap();
    assert_eq!(next.origin, Origin::Kept);
    let changed = fresh.finish(RUN, &key("draft"), "done").unwrap();
    assert_eq!(changed.paths(), ["a.txt", "half.txt"]);
}

#[test]
fn a_task_starts_with_the_work_of_those_it_needs() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("a.txt", "ONE\ntwo\nthree\n")]);
    house.task(&trees, "b", &[], &[("b.txt", "b")]);
    house.task(&trees, "idle", &[], &[]);
    let one = trees.create(RUN, &key("after-a"), 1, &keys(&["a", "idle"])).unwrap();
    assert_eq!(
        one.start.as_deref(),
        Some(house.git(&["rev-parse", "wheelhouse/r7/a"]).as_str()),
        "no merge for one"
    );
    let both = trees
        .create(RUN, &key("both"), 1, &keys(&["a", "b", "idle", "never-isolated"]))
        .unwrap();
    assert_eq!(read(both.path.join("a.txt")), "ONE\ntwo\nthree\n");
    assert_eq!(read(both.path.join("b.txt")), "b");
    // What it got is not what it did.
    write(both.path.join("own.txt"), "own");
    assert_eq!(trees.finish(RUN, &key("both"), "own").unwrap().paths(), ["own.txt"]);
    // A branch that contains another is enough.
    let last = trees.create(RUN, &key("last"), 1, &keys(&["a", "b", "both"])).unwrap();
    assert_eq!(
        last.start.as_deref(),
        Some(house.git(&["rev-parse", "wheelhouse/r7/both"]).as_str())
    );
    // Work flows on through a task that added nothing.
    house.task(&trees, "through", &["a"], &[]);
    let far = trees.create(RUN, &key("far"), 1, &keys(&["through"])).unwrap();
    assert_eq!(read(far.path.join("a.txt")), "ONE\ntwo\nthree\n");
}

#[test]
fn needs_that_conflict_are_an_error_with_hunks_and_nothing_is_made() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "left", &[], &[("a.txt", "LEFT\ntwo\nthree\n")]);
    house.task(&trees, "right", &[], &[("a.txt", "RIGHT\ntwo\nthree\n")]);
    let error = trees
        .create(RUN, &key("both"), 1, &keys(&["left", "right"]))
        .unwrap_err();
    let Error::Conflict(conflict) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (conflict.ours.as_str(), conflict.theirs.as_str()),
        ("wheelhouse/r7/left", "wheelhouse/r7/right")
    );
    assert_eq!(
        (conflict.files[0].path.as_str(), conflict.files[0].kind.as_str()),
        ("a.txt", "content")
    );
    for words in [
        "a.txt:1",
        "<<<<<<< wheelhouse/r7/left",
        "LEFT",
        "RIGHT",
        ">>>>>>> wheelhouse/r7/right",
    ] {
        assert!(conflict.hunks.contains(words), "{words} in {}", conflict.hunks);
    }
    assert!(!house.state().join("worktrees/r7-both").exists());
    assert!(!trees.has_branch(RUN, &key("both")).unwrap());
    assert_eq!(house.at("wheelhouse/r7/left", "a.txt").unwrap(), "LEFT\ntwo\nthree");
    assert_eq!(house.at("wheelhouse/r7/right", "a.txt").unwrap(), "RIGHT\ntwo\nthree");
}

#[test]
fn finishing_commits_what_git_takes_and_nothing_when_there_is_nothing() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("new dir/ü \"quoted\" 文.txt"), "x\ny\n");
    write(tree.path.join("noise.log"), "ignored");
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    write(tree.path.join("src/lib.rs"), "pub fn answer() -> u32 {\n    43\n}\n");
    let changed = trees.finish(RUN, &key("draft"), "draft: all of it").unwrap();
    assert!(changed.committed && changed.problems.is_empty(), "{changed:?}");
    let found: Vec<_> = changed
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.change))
        .collect();
    let expected = [
        ("a.txt", Change::Deleted),
        ("new dir/ü \"quoted\" 文.txt", Change::Added),
        ("src/lib.rs", Change::Modified),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        (changed.stat.files, changed.stat.insertions, changed.stat.deletions),
        (3, 3, 4)
    );
    assert_eq!(
        git(&tree.path, &["log", "-1", "--format=%an <%ae> %s"]),
        "Wheelhouse <wheelhouse@localhost> draft: all of it"
    );
    assert_eq!(git(&tree.path, &["status", "--porcelain"]), "");
    assert!(tree.path.join("noise.log").exists());
    let again = trees.finish(RUN, &key("draft"), "nothing").unwrap();
    assert!(!again.committed);
    assert_eq!((again.commit, again.files), (changed.commit, changed.files));
}

#[test]
fn what_the_agent_committed_itself_counts_too() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("one.txt"), "1");
    git(&tree.path, &["add", "-A"]);
    git(&tree.path, &["commit", "-q", "-m", "by the agent"]);
    write(tree.path.join("two.txt"), "2");
    let touched = trees.touched(RUN, &key("draft")).unwrap();
    assert_eq!(touched, BTreeSet::from(["one.txt".to_owned(), "two.txt".to_owned()]));
    let changed = trees.finish(RUN, &key("draft"), "rest").unwrap();
    assert_eq!(changed.paths(), ["one.txt", "two.txt"]);
    assert_eq!(git(&tree.path, &["rev-list", "--count", "main..HEAD"]), "2");
}

#[test]
fn the_diff_shows_work_in_progress_and_disturbs_nobody() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("a.txt"), "one\n2\nthree\n");
    git(&tree.path, &["add", "a.txt"]);
    write(tree.path.join("new.txt"), "new\n");
    let before = git(&tree.path, &["status", "--porcelain"]);
    let diff = trees.diff(RUN, &key("draft"), 1 << 20).unwrap();
    assert_eq!(git(&tree.path, &["status", "--porcelain"]), before);
    assert_eq!(
        diff.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["a.txt", "new.txt"]
    );
    assert!(
        diff.patch.contains("-two\n+2\n") && diff.patch.contains("+new"),
        "{}",
        diff.patch
    );
    assert!(!diff.cut);
    let short = trees.diff(RUN, &key("draft"), 40).unwrap();
    assert!(short.cut && short.patch.len() <= 40);
    trees.finish(RUN, &key("draft"), "done").unwrap();
    trees.remove(RUN, &key("draft"), NOW).unwrap();
    assert_eq!(
        trees.diff(RUN, &key("draft"), 1 << 20).unwrap().files,
        diff.files,
        "the branch is enough"
    );
}

#[test]
fn removing_commits_first_and_goes_through_the_trash() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("work.txt"), "unsaved");
    write(tree.path.join("debug.log"), "ignored but somebody's");
    let trashed = trees.remove(RUN, &key("draft"), NOW).unwrap();
    assert_eq!(house.at("wheelhouse/r7/draft", "work.txt").as_deref(), Some("unsaved"));
    assert!(!tree.path.exists());
    assert_eq!(trashed, house.state().join("trash/001760000000000-r7-draft"));
    assert_eq!(read(trashed.join("debug.log")), "ignored but somebody's");
    assert!(!trashed.join(".git").exists(), "it answers to no repository");
    assert!(!house.git(&["worktree", "list"]).contains("r7-draft"));
    house.git(&["switch", "-q", "wheelhouse/r7/draft"]);
    house.git(&["switch", "-q", "main"]);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(trees.empty_trash(Millis(NOW.0 + 3 * DAY_MS), week).unwrap(), 0);
    assert!(trashed.exists());
    assert_eq!(trees.empty_trash(Millis(NOW.0 + 8 * DAY_MS), week).unwrap(), 1);
    assert!(!trashed.exists());
    assert!(trees.has_branch(RUN, &key("draft")).unwrap());
    let again = trees.create(RUN, &key("draft"), 2, &[]).unwrap();
    assert_eq!(again.origin, Origin::Again);
    assert_eq!(read(again.path.join("work.txt")), "unsaved");
    assert_eq!(
        trees.finish(RUN, &key("draft"), "x").unwrap().paths(),
        ["work.txt"],
        "counted from the first start"
    );
}

#[test]
fn only_the_owner_removes_and_a_foreign_lock_is_respected() {
    let house = House::new();
    let tree = house.trees().create(RUN, &key("draft"), 1, &[]).unwrap();
    let mut other = house.options();
    other.store = "store-two".to_owned();
    let others = house.trees_with(other);
    for error in [
        others.remove(RUN, &key("draft"), NOW).unwrap_err(),
        others.discard(RUN, &key("draft"), NOW).unwrap_err(),
        others.create(RUN, &key("draft"), 1, &[]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotOurs { .. }), "{error:?}");
    }
    house.git(&["worktree", "unlock", tree.path.to_str().unwrap()]);
    house.git(&[
        "worktree",
        "lock",
        "--reason",
        "mine, do not touch",
        tree.path.to_str().unwrap(),
    ]);
    let error = house.trees().remove(RUN, &key("draft"), NOW).unwrap_err();
    assert!(error.to_string().contains("mine, do not touch"), "{error}");
    assert!(tree.path.join("a.txt").exists());
}

#[test]
fn a_discarded_task_can_be_had_back_until_the_trash_is_emptied() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "draft", &[], &[("work.txt", "given up")]);
    let kept = trees.discard(RUN, &key("draft"), NOW).unwrap().unwrap();
    assert!(!trees.has_branch(RUN, &key("draft")).unwrap());
    assert_eq!(house.at(&kept, "work.txt").as_deref(), Some("given up"));
    let fresh = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    assert_eq!(fresh.origin, Origin::New);
    assert!(!fresh.path.join("work.txt").exists());
    let gone = trees
        .empty_trash(Millis(NOW.0 + 8 * DAY_MS), Duration::from_secs(7 * 86_400))
        .unwrap();
    assert_eq!(gone, 2, "the files and the branch");
    assert!(house.at(&kept, "work.txt").is_none());
}

#[test]
fn forgetting_a_run_leaves_nothing_but_trash() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("a2.txt", "a")]);
    house.task(&trees, "b", &["a"], &[("b2.txt", "b")]);
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
    assert!(trees.forget(RUN, NOW).unwrap().is_empty());
    assert_eq!(house.git(&["branch", "--list", "wheelhouse/*"]), "");
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
    trees
        .empty_trash(Millis(NOW.0 + 8 * DAY_MS), Duration::from_secs(86_400))
        .unwrap();
    assert_eq!(house.git(&["for-each-ref", "refs/wheelhouse"]), "");
    assert!(trees.base(RUN).unwrap().is_none());
}

#[test]
fn a_clean_checkout_has_what_is_committed_and_nothing_else() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("draft"), 1, &[]).unwrap();
    write(tree.path.join("done.txt"), "done");
    trees.finish(RUN, &key("draft"), "done").unwrap();
    write(tree.path.join("stale.log"), "from an old build");
    write(tree.path.join("unsaved.txt"), "not committed");
    let checkout = trees.checkout_task(RUN, &key("draft")).unwrap();
    let path = checkout.path().to_owned();
    assert_eq!(read(path.join("done.txt")), "done");
    assert!(!path.join("stale.log").exists() && !path.join("unsaved.txt").exists());
    // What a check does there, moves no branch.
    let tip = house.git(&["rev-parse", "wheelhouse/r7/draft"]);
    git(&path, &["commit", "-q", "--allow-empty", "-m", "by a check"]);
    drop(checkout);
    assert!(!path.exists());
    assert_eq!(house.git(&["rev-parse", "wheelhouse/r7/draft"]), tip);
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 2);
}

#[test]
fn names_of_all_kinds_become_branches() {
    let house = House::named("pro ject ü 'q'");
    let trees = house.trees();
    for name in ["a", "a.b", "a..b", "v1.lock", "merged", "A_b-c", "x.", "été und \"so\""] {
        let (tree, changed) = house.task(&trees, name, &[], &[("f 文.txt", name)]);
        assert_eq!(changed.paths(), ["f 文.txt"], "{name}");
        assert!(
            try_git(&house.project, &["rev-parse", "-q", "--verify", &tree.branch.unwrap()]).0,
            "{name}"
        );
    }
    assert_eq!(trees.list().unwrap().len(), 8);
    for (run, name) in trees.list().unwrap() {
        trees.remove(run, &name, NOW).unwrap();
    }
}
