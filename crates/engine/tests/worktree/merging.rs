//! The merge queue.

use std::cell::{Cell, RefCell};
use std::path::Path;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_engine::worktree::Landing;

use crate::support::{House, RUN, git, key, keys, land, read, write};

const MERGED: &str = "wheelhouse/r7.merged";

fn fine(_: &Path, _: &[TaskKey]) -> Result<(), String> {
    Ok(())
}

#[test]
fn branches_land_one_at_a_time_in_the_given_order() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("a2.txt", "a")]);
    house.task(&trees, "b", &["a"], &[("b2.txt", "b")]);
    house.task(&trees, "idle", &[], &[]);
    let seen = RefCell::new(Vec::new());
    let verify = |path: &Path, new: &[TaskKey]| {
        let has = |name: &str| path.join(name).exists();
        seen.borrow_mut().push((
            has("a2.txt"),
            has("b2.txt"),
            new.to_vec(),
            git(path, &["status", "--porcelain"]),
        ));
        Ok(())
    };
    for name in ["a", "b"] {
        let landing = land(&trees, RUN, &key(name), &verify).unwrap();
        assert!(matches!(landing, Landing::Merged { .. }), "{landing:?}");
    }
    assert_eq!(
        *seen.borrow(),
        [
            (true, false, vec![key("a")], String::new()),
            (true, true, vec![key("b")], String::new())
        ],
        "each on the merge result"
    );
    assert_eq!(land(&trees, RUN, &key("a"), &fine).unwrap(), Landing::AlreadyMerged);
    assert_eq!(land(&trees, RUN, &key("idle"), &fine).unwrap(), Landing::NothingToMerge);
    let log = house.git(&["log", "--first-parent", "--format=%s|%b", MERGED]);
    assert!(
        log.starts_with("Merge r7/b|Wheelhouse-Run: r7\nWheelhouse-Task: b"),
        "{log}"
    );
    assert_eq!(
        house.git(&["rev-list", "--count", "--first-parent", &format!("main..{MERGED}")]),
        "2"
    );
    assert_eq!(
        house.git(&["worktree", "list"]).lines().count(),
        4,
        "no checkout is left"
    );
}

#[test]
fn a_failing_check_leaves_the_branch_where_it_was() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "good", &[], &[("good.txt", "x")]);
    house.task(&trees, "bad", &[], &[("bad.txt", "x")]);
    land(&trees, RUN, &key("good"), &fine).unwrap();
    let tip = house.git(&["rev-parse", MERGED]);
    let verify = |path: &Path, _: &[TaskKey]| {
        if path.join("bad.txt").exists() {
            Err("bad.txt is bad".to_owned())
        } else {
            Ok(())
        }
    };
    let landing = land(&trees, RUN, &key("bad"), &verify).unwrap();
    let Landing::CheckFailed { commit, why } = landing else {
        panic!("{landing:?}")
    };
    assert_eq!(why, "bad.txt is bad");
    assert_eq!(house.at(&commit.unwrap(), "bad.txt").as_deref(), Some("x"));
    assert_eq!(house.git(&["rev-parse", MERGED]), tip);
    // The task is mended and merged.
    let tree = trees.create(RUN, &key("bad"), 2, &[]).unwrap();
    std::fs::remove_file(tree.path.join("bad.txt")).unwrap();
    write(tree.path.join("mended.txt"), "x");
    trees.finish(RUN, &key("bad"), "mended").unwrap();
    assert!(matches!(
        land(&trees, RUN, &key("bad"), &verify).unwrap(),
        Landing::Merged { .. }
    ));
}

#[test]
fn a_conflict_keeps_both_sides_and_names_the_hunks() {
    let house = House::new();
    let trees = house.trees();
    house.task(
        &trees,
        "left",
        &[],
        &[("a.txt", "one\nLEFT\nthree\n"), ("gone.txt", "x")],
    );
    let (right, _) = house.task(&trees, "right", &[], &[("a.txt", "one\nRIGHT\nthree\n")]);
    land(&trees, RUN, &key("left"), &fine).unwrap();
    let called = Cell::new(false);
    let landing = land(&trees, RUN, &key("right"), &|_, _| {
        called.set(true);
        Ok(())
    })
    .unwrap();
    let Landing::Conflict(conflict) = landing else {
        panic!("{landing:?}")
    };
    assert!(!called.get(), "nothing to check");
    assert_eq!(
        (conflict.ours.as_str(), conflict.theirs.as_str()),
        (MERGED, "wheelhouse/r7/right")
    );
    assert_eq!(conflict.files.len(), 1);
    let expected = format!("a.txt:2\n<<<<<<< {MERGED}\nLEFT\n=======\nRIGHT\n>>>>>>> wheelhouse/r7/right");
    assert_eq!(conflict.hunks, expected);
    assert_eq!(house.at(MERGED, "a.txt").unwrap(), "one\nLEFT\nthree");
    assert_eq!(house.at("wheelhouse/r7/right", "a.txt").unwrap(), "one\nRIGHT\nthree");
    assert_eq!(git(&right.path, &["status", "--porcelain"]), "");
    // Resolved by the task itself, it lands.
    write(right.path.join("a.txt"), "one\nLEFT and RIGHT\nthree\n");
    git(&right.path, &["commit", "-q", "-am", "resolve"]);
    git(&right.path, &["merge", "-q", "-X", "ours", "-m", "merge", MERGED]);
    trees.finish(RUN, &key("right"), "resolved").unwrap();
    assert!(matches!(
        land(&trees, RUN, &key("right"), &fine).unwrap(),
        Landing::Merged { .. }
    ));
    assert_eq!(house.at(MERGED, "a.txt").unwrap(), "one\nLEFT and RIGHT\nthree");
}

#[test]
fn conflicts_without_hunks_are_told_in_words() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("deletes"), 1, &[]).unwrap();
    std::fs::remove_file(tree.path.join("a.txt")).unwrap();
    trees.finish(RUN, &key("deletes"), "deletes").unwrap();
    house.task(&trees, "edits", &[], &[("a.txt", "one\nEDITED\nthree\n")]);
    land(&trees, RUN, &key("deletes"), &fine).unwrap();
    let Landing::Conflict(conflict) = land(&trees, RUN, &key("edits"), &fine).unwrap() else {
        panic!()
    };
    assert_eq!(
        (conflict.files[0].path.as_str(), conflict.files[0].kind.as_str()),
        ("a.txt", "modify/delete")
    );
    assert!(
        conflict.hunks.contains("deleted in") && conflict.hunks.contains("a.txt"),
        "{}",
        conflict.hunks
    );
}

#[test]
fn the_hunks_of_a_huge_conflict_are_bounded() {
    let house = House::new();
    let trees = house.trees();
    let lines = |word: &str| (0..20_000).map(|line| format!("{word} {line}\n")).collect::<String>();
    house.task(&trees, "left", &[], &[("a.txt", &lines("left"))]);
    house.task(&trees, "right", &[], &[("a.txt", &lines("right"))]);
    land(&trees, RUN, &key("left"), &fine).unwrap();
    let Landing::Conflict(conflict) = land(&trees, RUN, &key("right"), &fine).unwrap() else {
        panic!()
    };
    assert!(conflict.hunks.len() < wheelhouse_engine::worktree::HUNKS_MAX + 100);
    assert!(conflict.hunks.contains("more bytes"));
}

#[test]
fn attributes_of_the_target_decide_how_files_merge() {
    let house = House::new();
    write(house.project.join(".gitattributes"), "*.union merge=union\n");
    write(house.project.join("list.union"), "start\n");
    house.commit("attributes");
    let trees = house.trees();
    house.task(&trees, "left", &[], &[("list.union", "start\nleft\n")]);
    house.task(&trees, "right", &[], &[("list.union", "start\nright\n")]);
    // What the user has checked out does not matter.
    std::fs::remove_file(house.project.join(".gitattributes")).unwrap();
    house.commit("no attributes");
    assert!(matches!(
        land(&trees, RUN, &key("left"), &fine).unwrap(),
        Landing::Merged { .. }
    ));
    assert!(matches!(
        land(&trees, RUN, &key("right"), &fine).unwrap(),
        Landing::Merged { .. }
    ));
    assert_eq!(house.at(MERGED, "list.union").unwrap(), "start\nleft\nright");
}

#[test]
fn twenty_merges_at_once_make_a_line_and_lose_nothing() {
    let house = House::new();
    let names: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
    let trees = house.trees();
    std::thread::scope(|scope| {
        for name in &names {
            let (house, trees) = (&house, &trees);
            scope.spawn(move || {
                house.task(
                    trees,
                    name,
                    &[],
                    &[(&format!("{name}.txt"), name), ("src/lib.rs", "pub fn answer() {}\n")],
                );
            });
        }
    });
    // Each with an opening of its own, as several processes would have.
    std::thread::scope(|scope| {
        for name in &names {
            let house = &house;
            scope.spawn(move || {
                let landing = land(&house.trees(), RUN, &key(name), &fine).unwrap();
                assert!(matches!(landing, Landing::Merged { .. }), "{landing:?}");
            });
        }
    });
    let line = house.git(&["rev-list", "--first-parent", &format!("main..{MERGED}")]);
    assert_eq!(line.lines().count(), 20);
    for commit in line.lines() {
        assert_eq!(
            house.git(&["rev-list", "--parents", "-1", commit]).split(' ').count(),
            3,
            "two parents each"
        );
    }
    for name in &names {
        assert_eq!(house.at(MERGED, &format!("{name}.txt")).as_ref(), Some(name));
    }
}

#[test]
fn a_batch_needs_one_check_when_all_is_well() {
    let house = House::new();
    let trees = house.trees();
    let names = ["a", "b", "c", "d"];
    for name in names {
        house.task(&trees, name, &[], &[(&format!("{name}2.txt"), name)]);
    }
    let checks = Cell::new(0);
    let verify = |_: &Path, _: &[TaskKey]| {
        checks.set(checks.get() + 1);
        Ok(())
    };
    let landings = trees.merge_batch(RUN, &keys(&names), &verify).unwrap();
    assert!(
        landings.iter().all(|landing| matches!(landing, Landing::Merged { .. })),
        "{landings:?}"
    );
    assert_eq!(checks.get(), 1);
    assert_eq!(
        house.git(&["rev-list", "--count", "--first-parent", &format!("main..{MERGED}")]),
        "4"
    );
    assert_eq!(
        trees.merge_batch(RUN, &keys(&names), &verify).unwrap(),
        vec![Landing::AlreadyMerged; 4]
    );
}

#[test]
fn a_failing_batch_is_halved_until_the_culprits_are_found() {
    let house = House::new();
    let trees = house.trees();
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    for name in &names {
        house.task(&trees, name, &[], &[(&format!("{name}.txt"), name)]);
    }
    // t6 conflicts with t2, which is a culprit: once t2 is out, it lands.
    house.task(&trees, "t2", &[], &[("a.txt", "BAD\n")]);
    house.task(&trees, "t6", &[], &[("a.txt", "GOOD\n")]);
    let verify = |path: &Path, _: &[TaskKey]| {
        let stale = git(path, &["status", "--porcelain", "--ignored"]);
        assert_eq!(stale, "", "each check sees a clean checkout");
        write(path.join("left by a check.log"), "x");
        if path.join("t5.txt").exists() || read(path.join("a.txt")) == "BAD\n" {
            return Err("broken".to_owned());
        }
        Ok(())
    };
    let order: Vec<_> = names.iter().map(|name| key(name)).collect();
    let landings = trees.merge_batch(RUN, &order, &verify).unwrap();
    for (name, landing) in names.iter().zip(&landings) {
        let culprit = name == "t2" || name == "t5";
        match landing {
            Landing::CheckFailed { why, .. } => assert!(culprit && why == "broken", "{name}"),
            Landing::Merged { .. } => assert!(!culprit, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(house.at(MERGED, &format!("{name}.txt")).is_some(), !culprit, "{name}");
    }
    assert_eq!(
        house.git(&["rev-list", "--count", "--first-parent", &format!("main..{MERGED}")]),
        "6"
    );
    assert_eq!(house.at(MERGED, "a.txt").as_deref(), Some("GOOD"));
}

#[test]
fn a_batch_is_asked_only_for_what_came_with_it() {
    let house = House::new();
    let trees = house.trees();
    let names = ["a", "b", "c"];
    for name in names {
        house.task(&trees, name, &[], &[(&format!("{name}2.txt"), name)]);
    }
    // Each task's check looks for its own file; that of `b` fails in any case. `a` and `c` land all the same.
    let verify = |path: &Path, new: &[TaskKey]| {
        let missing = new.iter().find(|key| !path.join(format!("{key}2.txt")).exists());
        match missing {
            Some(key) => panic!("{key} is judged by work that is not there"),
            None if new.contains(&key("b")) => Err("b is broken".to_owned()),
            None => Ok(()),
        }
    };
    let landings = trees.merge_batch(RUN, &keys(&names), &verify).unwrap();
    let landed = |landing: &Landing| matches!(landing, Landing::Merged { .. });
    assert_eq!(
        landings.iter().map(landed).collect::<Vec<_>>(),
        [true, false, true],
        "{landings:?}"
    );
    assert!(matches!(&landings[1], Landing::CheckFailed { why, .. } if why == "b is broken"));
}

#[test]
fn work_of_others_that_a_task_took_in_is_not_its_own() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "left", &[], &[("a.txt", "LEFT\n"), ("left.txt", "x")]);
    let (right, _) = house.task(&trees, "right", &[], &[("a.txt", "RIGHT\n")]);
    land(&trees, RUN, &key("left"), &fine).unwrap();
    git(&right.path, &["merge", "-q", "-X", "ours", "-m", "take in", MERGED]);
    let changed = trees.finish(RUN, &key("right"), "resolved").unwrap();
    assert_eq!(changed.paths(), ["a.txt"], "not left.txt, which `left` wrote");
    assert_eq!(
        trees
            .touched(RUN, &key("right"))
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        ["a.txt"]
    );
}
