//! Projects in no repository: copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_engine::worktree::{Change, Copies, Error, Landing, Options, Origin, Workplace};

use crate::support::{House, NOW, RUN, key, keys, read, write};

fn house() -> House {
    let house = House::without_git("plain project");
    write(house.project.join("a.txt"), "one\n");
    write(house.project.join("src/lib.rs"), "lib\n");
    write(house.project.join("run.sh"), "#!/bin/sh\n");
    fs::set_permissions(house.project.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("a.txt", house.project.join("link")).unwrap();
    house
}

fn copies(house: &House) -> Copies {
    Copies::open(&house.project, &house.state(), house.options()).unwrap()
}

fn fine(_: &Path, _: &[TaskKey]) -> Result<(), String> {
    Ok(())
}

#[test]
fn a_copy_has_everything_but_the_state() {
    let house = house();
    write(house.state().join("store.db"), "x");
    let copies = copies(&house);
    let tree = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    assert_eq!(read(tree.path.join("src/lib.rs")), "lib\n");
    assert!(!tree.path.join(".wheelhouse").exists());
    assert_eq!(fs::read_link(tree.path.join("link")).unwrap(), Path::new("a.txt"));
    assert_eq!(
        fs::metadata(tree.path.join("run.sh")).unwrap().permissions().mode() & 0o111,
        0o111
    );
    assert!(copies.finish(RUN, &key("a")).unwrap().files.is_empty());
    write(tree.path.join("half.txt"), "half");
    let again = copies.create(RUN, &key("a"), 2, &[]).unwrap();
    assert_eq!(
        (again.origin, read(again.path.join("half.txt")).as_str()),
        (Origin::Kept, "half")
    );
}

#[test]
fn changes_are_found_by_content_and_come_back() {
    let house = house();
    let copies = copies(&house);
    let tree = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("src/lib.rs"), "LIB\n");
    write(tree.path.join("new dir/new.txt"), "new");
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    write(tree.path.join("run.sh"), "#!/bin/sh\n");
    let changed = copies.finish(RUN, &key("a")).unwrap();
    let found: Vec<_> = changed
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.change))
        .collect();
    let expected = [
        ("a.txt", Change::Deleted),
        ("new dir/new.txt", Change::Added),
        ("src/lib.rs", Change::Modified),
    ];
    assert_eq!(found, expected);
    let verify = |path: &Path, _: &[TaskKey]| match read(path.join("src/lib.rs")).as_str() {
        "LIB\n" if !path.join("a.txt").exists() && path.join("run.sh").exists() => Ok(()),
        other => Err(other.to_owned()),
    };
    assert!(matches!(
        copies.merge(RUN, &key("a"), &verify).unwrap(),
        Landing::Merged { .. }
    ));
    assert_eq!(
        (
            house.file("src/lib.rs").as_str(),
            house.file("new dir/new.txt").as_str()
        ),
        ("LIB\n", "new")
    );
    assert!(!house.project.join("a.txt").exists());
    assert_eq!(copies.merge(RUN, &key("a"), &fine).unwrap(), Landing::AlreadyMerged);
    assert!(fs::read_dir(house.state().join("checkouts")).unwrap().next().is_none());
}

#[test]
fn an_original_that_changed_since_is_a_conflict_and_nothing_is_copied() {
    let house = house();
    let copies = copies(&house);
    let tree = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    for file in ["a.txt", "src/lib.rs", "other.txt"] {
        write(tree.path.join(file), "theirs");
    }
    write(house.project.join("src/lib.rs"), "mine");
    write(house.project.join("other.txt"), "mine too");
    let Landing::Conflict(conflict) = copies.merge(RUN, &key("a"), &fine).unwrap() else {
        panic!()
    };
    assert_eq!(
        conflict.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
        ["other.txt", "src/lib.rs"]
    );
    assert_eq!(
        (house.file("a.txt").as_str(), house.file("src/lib.rs").as_str()),
        ("one\n", "mine")
    );
    assert_eq!(read(tree.path.join("src/lib.rs")), "theirs");
    // Also when it happens while the check runs.
    write(house.project.join("src/lib.rs"), "lib\n");
    fs::remove_file(house.project.join("other.txt")).unwrap();
    let meddle = |_: &Path, _: &[TaskKey]| {
        write(house.project.join("a.txt"), "mine, just now");
        Ok(())
    };
    assert!(matches!(
        copies.merge(RUN, &key("a"), &meddle).unwrap(),
        Landing::Conflict(_)
    ));
    assert_eq!(
        (house.file("a.txt").as_str(), house.file("src/lib.rs").as_str()),
        ("mine, just now", "lib\n")
    );
}

#[test]
fn a_failing_check_copies_nothing_and_a_killed_merge_goes_on() {
    let house = house();
    let copies = copies(&house);
    let tree = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("a.txt"), "ONE");
    write(tree.path.join("b.txt"), "B");
    let landing = copies.merge(RUN, &key("a"), &|_, _| Err("red".to_owned())).unwrap();
    assert_eq!(
        landing,
        Landing::CheckFailed {
            commit: None,
            why: "red".to_owned()
        }
    );
    assert_eq!(house.file("a.txt"), "one\n");
    // As if killed after the first of two files.
    write(house.project.join("a.txt"), "ONE");
    assert!(matches!(
        copies.merge(RUN, &key("a"), &fine).unwrap(),
        Landing::Merged { .. }
    ));
    assert_eq!(house.file("b.txt"), "B");
}

#[test]
fn a_copy_starts_with_the_work_of_those_it_needs() {
    let house = house();
    let copies = copies(&house);
    let a = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    write(a.path.join("from-a.txt"), "a");
    fs::remove_file(a.path.join("src/lib.rs")).unwrap();
    let b = copies.create(RUN, &key("b"), 1, &keys(&["a"])).unwrap();
    assert_eq!(read(b.path.join("from-a.txt")), "a");
    assert!(!b.path.join("src/lib.rs").exists());
    write(b.path.join("from-b.txt"), "b");
    assert_eq!(copies.finish(RUN, &key("b")).unwrap().paths(), ["from-b.txt"]);
    let c = copies.create(RUN, &key("c"), 1, &keys(&["b"])).unwrap();
    assert_eq!(
        (
            read(c.path.join("from-a.txt")).as_str(),
            read(c.path.join("from-b.txt")).as_str()
        ),
        ("a", "b")
    );
    let clash = copies.create(RUN, &key("clash"), 1, &[]).unwrap();
    write(clash.path.join("from-a.txt"), "another");
    let error = copies.create(RUN, &key("d"), 1, &keys(&["a", "clash"])).unwrap_err();
    assert!(
        matches!(&error, Error::Conflict(conflict) if conflict.files[0].path == "from-a.txt"),
        "{error:?}"
    );
}

#[test]
fn too_large_a_project_is_refused_before_anything_is_copied() {
    let house = house();
    write(house.project.join("big.bin"), &"x".repeat(5_000));
    let options = Options {
        copy_bytes_max: 4_000,
        ..house.options()
    };
    let copies = Copies::open(&house.project, &house.state(), options).unwrap();
    let error = copies.create(RUN, &key("a"), 1, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::TooLarge { limit, .. } if limit.contains("copy_bytes_max")),
        "{error:?}"
    );
    assert!(error.to_string().contains("git init"), "{error}");
    assert!(!house.state().join("worktrees/r7-a").exists());
}

#[test]
fn a_copy_goes_to_the_trash_whole_and_leftovers_are_put_right() {
    let house = house();
    let copies = copies(&house);
    let tree = copies.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("work.txt"), "work");
    let trashed = copies.remove(RUN, &key("a"), NOW).unwrap();
    assert_eq!(read(trashed.join("work.txt")), "work");
    assert!(matches!(copies.path(RUN, &key("a")), Err(Error::NoTree { .. })));
    write(house.state().join("worktrees/r7-stray/somebodys.txt"), "work");
    write(house.state().join("checkouts/c1-1/x"), "x");
    let record = r#"{"store":"store-one","run":7,"key":"half","attempt":1,"stage":"making","branch":"","start":"","set_up":false,"copied":[]}"#;
    write(house.state().join("trees/r7-half.json"), record);
    write(house.state().join("worktrees/r7-half/a.txt"), "on");
    let notices = copies.recover().unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("r7-stray"));
    assert!(!house.state().join("worktrees/r7-half").exists());
    assert!(!house.state().join("checkouts/c1-1").exists());
    let kept = fs::read_dir(house.state().join("trash"))
        .unwrap()
        .flatten()
        .any(|entry| entry.path().join("somebodys.txt").exists());
    assert!(kept);
}

#[test]
fn the_workplace_picks_what_the_project_takes() {
    let plain = house();
    let workplace = Workplace::open(&plain.project, &plain.state(), plain.options()).unwrap();
    assert!(matches!(workplace, Workplace::Copies(_)));
    let tree = workplace.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("a.txt"), "changed");
    assert_eq!(workplace.finish(RUN, &key("a"), "a").unwrap().paths(), ["a.txt"]);
    let landings = workplace.merge_batch(RUN, &keys(&["a"]), &fine).unwrap();
    assert!(matches!(landings[0], Landing::Merged { .. }));
    assert_eq!(plain.file("a.txt"), "changed");
    let repository = House::new();
    let workplace = Workplace::open(&repository.project, &repository.state(), repository.options()).unwrap();
    assert!(matches!(workplace, Workplace::Git(_)));
}
