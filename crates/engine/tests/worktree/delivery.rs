//! Merged work into the user's branch, and the user's own work left alone.

use wheelhouse_core::ids::TaskKey;
use wheelhouse_engine::worktree::{Delivery, Trees, What};

use crate::support::{House, RUN, key, land, write};

fn merged(house: &House, files: &[(&str, &str)]) -> Trees {
    let trees = house.trees();
    house.task(&trees, "a", &[], files);
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
    trees
}

#[test]
fn as_a_fast_forward_where_that_is_possible() {
    let house = House::new();
    let trees = merged(&house, &[("new.txt", "new"), ("a.txt", "changed\n")]);
    write(house.project.join("src/lib.rs"), "// the user is at it\n");
    write(house.project.join("notes.txt"), "untracked");
    let Delivery::Done { branch, to, files, .. } = trees.deliver(RUN, What::Merged).unwrap() else {
        panic!()
    };
    assert_eq!((branch.as_str(), files.len()), ("main", 2));
    assert_eq!(to, house.git(&["rev-parse", "wheelhouse/r7.merged"]));
    assert_eq!(house.git(&["rev-parse", "main"]), to);
    assert_eq!(
        (house.file("new.txt").as_str(), house.file("a.txt").as_str()),
        ("new", "changed\n")
    );
    assert_eq!(
        house.file("src/lib.rs"),
        "// the user is at it\n",
        "dirty files that do not overlap stay"
    );
    assert_eq!(house.file("notes.txt"), "untracked");
    assert!(matches!(
        trees.deliver(RUN, What::Merged).unwrap(),
        Delivery::NothingNew { .. }
    ));
}

#[test]
fn with_a_merge_commit_when_the_user_went_on() {
    let house = House::new();
    let trees = merged(&house, &[("new.txt", "new")]);
    write(house.project.join("own.txt"), "own");
    let own = house.commit("own");
    let Delivery::Done { from, to, .. } = trees.deliver(RUN, What::Merged).unwrap() else {
        panic!()
    };
    assert_eq!(from, own);
    assert_eq!(house.git(&["rev-parse", &format!("{to}^1")]), own);
    assert_eq!(
        (house.file("new.txt").as_str(), house.file("own.txt").as_str()),
        ("new", "own")
    );
    assert!(
        house
            .git(&["log", "-1", "--format=%s"])
            .starts_with("Merge r7 into main")
    );
    assert_eq!(house.git(&["status", "--porcelain"]), "");
}

#[test]
fn work_of_the_user_in_the_way_is_refused_in_gits_words() {
    // Changed, staged, untracked, ignored: none may be overwritten.
    type Prepare = fn(&House);
    let ways: [(&str, Prepare); 4] = [
        ("a.txt", |house| write(house.project.join("a.txt"), "mine\n")),
        ("a.txt", |house| {
            write(house.project.join("a.txt"), "mine\n");
            house.git(&["add", "a.txt"]);
        }),
        ("new.txt", |house| write(house.project.join("new.txt"), "mine\n")),
        ("out.log", |house| write(house.project.join("out.log"), "mine\n")),
    ];
    for (file, prepare) in ways {
        let house = House::new();
        let trees = house.trees();
        let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
        for name in ["a.txt", "new.txt", "out.log"] {
            write(tree.path.join(name), "theirs\n");
        }
        crate::support::git(&tree.path, &["add", "-f", "out.log"]);
        trees.finish(RUN, &key("a"), "a").unwrap();
        prepare(&house);
        let status = house.git(&["status", "--porcelain"]);
        let head = house.git(&["rev-parse", "HEAD"]);
        let delivery = trees.deliver(RUN, What::Task(&key("a"))).unwrap();
        let Delivery::Refused { words, files } = delivery else {
            panic!("{file}: {delivery:?}")
        };
        assert_eq!(files, [file], "{words}");
        assert!(words.contains("would be overwritten"), "{words}");
        assert_eq!(house.file(file), "mine\n");
        assert_eq!(
            (house.git(&["status", "--porcelain"]), house.git(&["rev-parse", "HEAD"])),
            (status, head)
        );
    }
}

#[test]
fn autostash_of_the_user_is_not_used() {
    let house = House::new();
    let trees = merged(&house, &[("a.txt", "theirs\n")]);
    house.git(&["config", "merge.autostash", "true"]);
    write(house.project.join("a.txt"), "mine\n");
    assert!(matches!(
        trees.deliver(RUN, What::Merged).unwrap(),
        Delivery::Refused { .. }
    ));
    assert_eq!(house.file("a.txt"), "mine\n");
    assert_eq!(house.git(&["stash", "list"]), "");
}

#[test]
fn a_conflict_is_found_before_anything_is_touched() {
    let house = House::new();
    let trees = merged(&house, &[("a.txt", "one\nTHEIRS\nthree\n")]);
    write(house.project.join("a.txt"), "one\nMINE\nthree\n");
    house.commit("mine");
    write(house.project.join("a.txt"), "one\nMINE and more\nthree\n");
    let delivery = trees.deliver(RUN, What::Merged).unwrap();
    let Delivery::Conflict(conflict) = delivery else {
        panic!("{delivery:?}")
    };
    assert_eq!(conflict.ours, "main");
    assert!(
        conflict.hunks.contains("<<<<<<< main\nMINE\n=======\nTHEIRS\n"),
        "{}",
        conflict.hunks
    );
    assert_eq!(house.file("a.txt"), "one\nMINE and more\nthree\n");
    assert!(!house.project.join(".git/MERGE_HEAD").exists());
}

#[test]
fn a_detached_head_and_an_unfinished_merge_are_refused() {
    let house = House::new();
    let trees = merged(&house, &[("new.txt", "new")]);
    house.git(&["checkout", "-q", "--detach"]);
    let Delivery::Refused { words, .. } = trees.deliver(RUN, What::Merged).unwrap() else {
        panic!()
    };
    assert!(words.contains("git switch"), "{words}");
    house.git(&["switch", "-q", "main"]);
    house.git(&["switch", "-q", "-c", "side"]);
    write(house.project.join("a.txt"), "side\n");
    house.commit("side");
    house.git(&["switch", "-q", "main"]);
    write(house.project.join("a.txt"), "main\n");
    house.commit("main");
    assert!(!crate::support::try_git(&house.project, &["merge", "side"]).0);
    let conflicted = house.file("a.txt");
    assert!(matches!(
        trees.deliver(RUN, What::Merged).unwrap(),
        Delivery::Refused { .. }
    ));
    assert_eq!(house.file("a.txt"), conflicted);
}

#[test]
fn one_task_can_be_delivered_by_itself() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("a2.txt", "a")]);
    house.task(&trees, "b", &[], &[("b2.txt", "b")]);
    let task: TaskKey = key("b");
    assert!(matches!(
        trees.deliver(RUN, What::Task(&task)).unwrap(),
        Delivery::Done { .. }
    ));
    assert!(house.project.join("b2.txt").exists() && !house.project.join("a2.txt").exists());
}
