//! Kills, full disks, leftovers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wheelhouse_core::ids::TaskKey;
use wheelhouse_engine::worktree::{Error, Landing, Options, Origin, Trees};

use crate::support::{House, RUN, env, git, key, land, read, try_git, write};

const PLACE: &str = "WHEELHOUSE_TEST_PLACE";

fn opened(top: &Path) -> Trees {
    let project = top.join("project");
    let mut options = Options::new("store-one", env(&top.join("home")));
    let path = format!("{}:{}", top.join("bin").display(), options.env["PATH"]);
    options.env.insert("PATH".to_owned(), path);
    Trees::open(&project, &project.join(".wheelhouse"), options)
        .unwrap()
        .unwrap()
}

/// Runs one of the ignored programs below in a process of its own, until it says that it is where it should be.
fn started(program: &str, house: &House) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", &format!("bad_days::{program}")])
        .env(PLACE, house.dir.path().canonicalize().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().contains("HERE")),
        "{program} ended before it got there"
    );
    child
}

fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

fn for_ever() {
    loop {
        std::thread::park();
    }
}

#[test]
#[ignore = "a program for the tests below: it never ends by itself"]
fn program_hangs_in_a_check() {
    let Some(top) = place() else { return };
    let verify = |path: &Path, _: &[TaskKey]| {
        write(path.join("left.log"), "by a check");
        println!("HERE");
        for_ever();
        Ok(())
    };
    land(&opened(&top), RUN, &key("b"), &verify).unwrap();
}

#[test]
#[ignore = "a program for the tests below: it never ends by itself"]
fn program_merges_for_ever() {
    let Some(top) = place() else { return };
    let trees = opened(&top);
    println!("HERE");
    for number in 0.. {
        let name = format!("n{number}");
        let tree = trees.create(RUN, &key(&name), 1, &[]).unwrap();
        write(tree.path.join(format!("{name}.txt")), &name);
        trees.finish(RUN, &key(&name), &name).unwrap();
        let landing = land(&trees, RUN, &key(&name), &|_, _| Ok(())).unwrap();
        // Those of the rounds before are there already.
        assert!(
            matches!(landing, Landing::Merged { .. } | Landing::AlreadyMerged),
            "{landing:?}"
        );
        // Said only after it is true.
        write(top.join("landed").join(&name), "");
    }
}

#[test]
fn killed_in_the_middle_of_a_merge() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("a2.txt", "a")]);
    house.task(&trees, "b", &[], &[("b2.txt", "b")]);
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
    let tip = house.git(&["rev-parse", "wheelhouse/r7.merged"]);
    let mut child = started("program_hangs_in_a_check", &house);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(house.git(&["rev-parse", "wheelhouse/r7.merged"]), tip);
    assert_eq!(
        fs::read_dir(house.state().join("checkouts")).unwrap().count(),
        1,
        "its checkout is left"
    );
    let fresh = house.trees();
    fresh.recover().unwrap();
    assert_eq!(fs::read_dir(house.state().join("checkouts")).unwrap().count(), 0);
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 3);
    assert!(matches!(
        land(&fresh, RUN, &key("b"), &|_, _| Ok(())).unwrap(),
        Landing::Merged { .. }
    ));
    assert_eq!(
        house.git(&[
            "rev-list",
            "--count",
            "--first-parent",
            &format!("{tip}..wheelhouse/r7.merged")
        ]),
        "1"
    );
}

#[test]
#[ignore = "a program for the tests below: it never ends by itself"]
fn program_makes_a_tree() {
    let Some(top) = place() else { return };
    println!("HERE");
    opened(&top).create(RUN, &key("a"), 1, &[]).unwrap();
}

#[test]
fn a_git_that_outlives_its_engine_is_waited_for() {
    let house = House::new();
    let top = house.dir.path().canonicalize().unwrap();
    house.trees().create(RUN, &key("first"), 1, &[]).unwrap();
    // A git that hangs at the worst moment, until it is told to go on.
    let real = house.git(&["--exec-path"]);
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *worktree*add*)\n: > '{0}/mark'\nwhile [ ! -e '{0}/go' ]; do sleep 0.02; done;; esac\nexec '{real}/git' \"$@\"\n",
        top.display()
    );
    write(top.join("bin/git"), &script);
    fs::set_permissions(top.join("bin/git"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = started("program_makes_a_tree", &house);
    wait_until(|| top.join("mark").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let lock = fs::File::open(house.project.join(".git/wheelhouse.lock")).unwrap();
    assert!(lock.try_lock().is_err(), "the engine is dead, its git is not");
    write(top.join("go"), "");
    wait_until(|| lock.try_lock().is_ok());
    lock.unlock().unwrap();
    fs::remove_dir_all(top.join("bin")).unwrap();
    let trees = house.trees();
    trees.recover().unwrap();
    assert!(!trees.has_branch(RUN, &key("a")).unwrap(), "begun and not ended");
    assert_eq!(trees.create(RUN, &key("a"), 1, &[]).unwrap().origin, Origin::New);
}

fn wait_until(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < deadline, "it never came to that");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_anywhere_again_and_again() {
    let house = House::new();
    house.trees().create(RUN, &key("first"), 1, &[]).unwrap();
    fs::create_dir_all(house.dir.path().join("landed")).unwrap();
    let mut landed = 0;
    for round in 0..6_u64 {
        let mut child = started("program_merges_for_ever", &house);
        // Kill after it got a little further each time: never at the same point.
        let goal = landed + 1;
        let count = || fs::read_dir(house.dir.path().join("landed")).unwrap().count();
        wait_until(|| count() >= goal);
        let until = Instant::now() + Duration::from_millis(7 * round);
        while Instant::now() < until {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let trees = house.trees();
        trees.recover().unwrap();
        check_whole(&house, &trees);
        landed = count();
    }
    assert!(landed >= 6);
}

/// What was said to have landed is there; the line is a line; every tree that is there works.
fn check_whole(house: &House, trees: &Trees) {
    for entry in fs::read_dir(house.dir.path().join("landed")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let found = house.at("wheelhouse/r7.merged", &format!("{name}.txt"));
        assert_eq!(found.as_ref(), Some(&name));
    }
    let (sound, said) = try_git(&house.project, &["fsck", "--connectivity-only"]);
    assert!(sound, "{said}");
    for (run, name) in trees.list().unwrap() {
        let tree = trees.create(run, &name, 2, &[]).unwrap();
        assert_eq!(tree.origin, Origin::Kept);
        let changed = trees.finish(run, &name, "after a kill").unwrap();
        assert!(
            changed.paths().len() <= 1 && changed.problems.is_empty(),
            "{name}: {changed:?}"
        );
        let landing = land(trees, run, &name, &|_, _| Ok(())).unwrap();
        assert!(!matches!(landing, Landing::Conflict(_)), "{name}: {landing:?}");
    }
    let locks = try_git(&house.project, &["worktree", "list", "--porcelain"]).1;
    assert!(
        !locks.contains("prunable") && !locks.contains("initializing"),
        "{locks}"
    );
}

#[test]
fn a_tree_that_was_half_made_is_made_again_and_not_taken_for_work() {
    let house = House::new();
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    // As a kill in the middle of the checkout leaves it: a worktree with files missing, the record still "making".
    let record = house.state().join("trees/r7-a.json");
    write(&record, &read(&record).replace("\"present\"", "\"making\""));
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    for recovered in [true, false] {
        let fresh = house.trees();
        if recovered {
            fresh.recover().unwrap();
            assert!(!tree.path.exists());
            assert!(!fresh.has_branch(RUN, &key("a")).unwrap());
        }
        let again = fresh.create(RUN, &key("a"), 1, &[]).unwrap();
        assert_eq!(again.origin, Origin::New);
        assert!(
            fresh.finish(RUN, &key("a"), "a").unwrap().files.is_empty(),
            "no file counts as deleted"
        );
        write(&record, &read(&record).replace("\"present\"", "\"making\""));
        fs::remove_file(tree.path.join("a.txt")).unwrap();
    }
}

#[test]
fn leftovers_of_every_kind_are_put_right_and_those_of_others_left_alone() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "gone", &[], &[("x.txt", "x")]);
    house.task(&trees, "locked", &[], &[("y.txt", "y")]);
    fs::remove_dir_all(house.state().join("worktrees/r7-gone")).unwrap();
    let foreign = house.dir.path().join("foreign");
    house.git(&["worktree", "add", "-q", "--detach", foreign.to_str().unwrap()]);
    fs::remove_dir_all(&foreign).unwrap();
    write(house.project.join(".git/refs/heads/wheelhouse/r7/locked.lock"), "");
    write(house.project.join(".git/refs/heads/wheelhouse/r7.merged.lock"), "");
    write(house.project.join(".git/refs/heads/main.lock"), "");
    write(house.state().join("worktrees/r9-unknown/work.txt"), "whose?");
    let fresh = house.trees();
    let notices = fresh.recover().unwrap();
    assert_eq!(notices.len(), 2, "{notices:?}");
    let listed = house.git(&["worktree", "list", "--porcelain"]);
    assert!(!listed.contains("r7-gone") && listed.contains("foreign"), "{listed}");
    assert!(house.project.join(".git/refs/heads/main.lock").exists(), "not ours");
    fs::remove_file(house.project.join(".git/refs/heads/main.lock")).unwrap();
    assert!(matches!(
        land(&fresh, RUN, &key("locked"), &|_, _| Ok(())).unwrap(),
        Landing::Merged { .. }
    ));
    assert!(
        matches!(
            land(&fresh, RUN, &key("gone"), &|_, _| Ok(())).unwrap(),
            Landing::Merged { .. }
        ),
        "its branch is there"
    );
    let again = fresh.create(RUN, &key("gone"), 2, &[]).unwrap();
    assert_eq!(
        (again.origin, read(again.path.join("x.txt")).as_str()),
        (Origin::Again, "x")
    );
    assert!(fresh.recover().unwrap().is_empty(), "once is enough");
}

/// A small file system of its own, for as long as the test runs.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|done| done.status.success())
            .then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_in_a_tree_loses_nothing() {
    let house = House::new();
    let Some(disk) = SmallDisk::mount(&house.state().join("worktrees"), "1m") else {
        eprintln!("skipped: no file system may be mounted here");
        return;
    };
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    let mut written = 0;
    while fs::write(tree.path.join(format!("f{written}")), vec![b'x'; 64 << 10]).is_ok() {
        written += 1;
    }
    assert!(written > 5);
    // The repository is on another disk: what fits can be committed.
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert!(changed.paths().len() >= written);
    // A second tree does not fit; it is said so, and nothing half made is left.
    write(house.project.join("big.bin"), &"y".repeat(900 << 10));
    house.commit("big");
    let other = wheelhouse_core::ids::RunId(8);
    let error = trees.create(other, &key("b"), 1, &[]).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(!trees.has_branch(other, &key("b")).unwrap());
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 2);
    for number in 0..=written {
        let _ = fs::remove_file(tree.path.join(format!("f{number}")));
    }
    trees.create(other, &key("b"), 1, &[]).unwrap();
    drop(disk);
}

#[test]
fn a_full_disk_under_the_repository_keeps_the_work_where_it_is() {
    let house = House::without_git("other");
    let project = house.dir.path().canonicalize().unwrap().join("small/project");
    let Some(_disk) = SmallDisk::mount(project.parent().unwrap(), "6m") else {
        eprintln!("skipped: no file system may be mounted here");
        return;
    };
    fs::create_dir_all(&project).unwrap();
    git(&project, &["init", "-q", "-b", "main"]);
    write(project.join("a.txt"), "a");
    git(&project, &["add", "-A"]);
    git(&project, &["commit", "-q", "-m", "start"]);
    let trees = Trees::open(&project, &project.join(".wheelhouse"), house.options())
        .unwrap()
        .unwrap();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    write(tree.path.join("work.txt"), "work");
    // Bytes that do not compress, so that the objects need room too.
    let mut seed: u32 = 1;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let bytes: Vec<u8> = (0..1_500_000).map(|_| noise()).collect();
    fs::write(tree.path.join("noise.bin"), &bytes).unwrap();
    let mut filled = 0;
    while fs::write(project.join(format!("fill{filled}")), vec![b'x'; 64 << 10]).is_ok() {
        filled += 1;
    }
    let error = trees.finish(RUN, &key("a"), "a").unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert_eq!(fs::read(tree.path.join("noise.bin")).unwrap(), bytes);
    for number in 0..=filled {
        let _ = fs::remove_file(project.join(format!("fill{number}")));
    }
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths(), ["noise.bin", "work.txt"]);
}
