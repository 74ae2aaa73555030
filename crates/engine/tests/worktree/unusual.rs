//! Repositories that are not like most: empty, bare, detached, part of another, shared, with odd settings.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_engine::worktree::{Delivery, Error, Landing, Trees, What};

use crate::support::{House, NOW, RUN, git, key, keys, land, read, try_git, write};

#[test]
fn an_empty_repository_is_a_clear_error() {
    let house = House::without_git("project");
    git(&house.project, &["init", "-q"]);
    let error = house.trees().create(RUN, &key("a"), 1, &[]).unwrap_err();
    assert!(matches!(error, Error::NoCommits { .. }));
    assert!(error.to_string().contains("git commit"), "{error}");
}

#[test]
fn a_bare_repository_is_a_clear_error_and_a_worktree_of_it_is_fine() {
    let house = House::new();
    let bare = house.dir.path().join("bare.git");
    house.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    let error = Trees::open(&bare, &house.dir.path().join("state"), house.options()).unwrap_err();
    assert!(matches!(error, Error::Bare { .. }), "{error:?}");
    let work = house.dir.path().join("work");
    git(
        &bare,
        &["worktree", "add", "-q", "-b", "work", work.to_str().unwrap(), "main"],
    );
    let trees = Trees::open(&work, &work.join(".wheelhouse"), house.options())
        .unwrap()
        .unwrap();
    house.task(&trees, "a", &[], &[("x.txt", "x")]);
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
    let Delivery::Done { branch, .. } = trees.deliver(RUN, What::Merged).unwrap() else {
        panic!()
    };
    assert_eq!(branch, "work");
    assert_eq!(read(work.join("x.txt")), "x");
}

#[test]
fn no_repository_at_all_is_none() {
    let house = House::without_git("project");
    assert!(
        Trees::open(&house.project, &house.state(), house.options())
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_project_that_the_repository_around_it_does_not_know_is_none() {
    let house = House::new();
    let inner = house.project.join("scratch.log");
    fs::create_dir_all(&inner).unwrap();
    assert!(
        Trees::open(&inner, &inner.join(".wheelhouse"), house.options())
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_broken_repository_is_an_error_not_a_copy() {
    let house = House::new();
    fs::remove_file(house.project.join(".git/HEAD")).unwrap();
    let opened = Trees::open(&house.project, &house.state(), house.options());
    // Git itself takes it for no repository; what is around it is not one either.
    assert!(matches!(opened, Ok(None) | Err(_)));
    write(house.project.join("linked/.git"), "gitdir: /nowhere/at/all\n");
    let linked = house.project.join("linked");
    let error = Trees::open(&linked, &linked.join(".wheelhouse"), house.options()).unwrap_err();
    assert!(matches!(error, Error::Git { .. }), "{error:?}");
}

#[test]
fn a_detached_head_is_a_base_like_any() {
    let house = House::new();
    house.git(&["checkout", "-q", "--detach"]);
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("x.txt", "x")]);
    assert_eq!(trees.base(RUN).unwrap().unwrap().from, None);
    assert!(matches!(
        land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap(),
        Landing::Merged { .. }
    ));
}

#[test]
fn a_project_that_is_a_part_of_its_repository() {
    let house = House::new();
    write(house.project.join("packages/app/main.txt"), "app");
    house.commit("packages");
    let app = house.project.join("packages/app");
    let trees = Trees::open(&app, &app.join(".wheelhouse"), house.options())
        .unwrap()
        .unwrap();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    assert_eq!(tree.project, tree.path.join("packages/app"));
    write(tree.project.join("main.txt"), "changed");
    write(tree.path.join("a.txt"), "outside");
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(changed.paths(), ["../../a.txt", "main.txt"]);
    let seen = |path: &Path, _: &[TaskKey]| {
        if path.ends_with("packages/app") {
            Ok(())
        } else {
            Err(path.display().to_string())
        }
    };
    assert!(matches!(
        land(&trees, RUN, &key("a"), &seen).unwrap(),
        Landing::Merged { .. }
    ));
    assert!(matches!(
        trees.deliver(RUN, What::Merged).unwrap(),
        Delivery::Done { .. }
    ));
    assert_eq!(read(app.join("main.txt")), "changed");
}

#[test]
fn a_state_that_was_deleted_does_not_meet_its_old_branches() {
    let house = House::new();
    house.task(&house.trees(), "a", &[], &[("old.txt", "old")]);
    fs::remove_dir_all(house.state()).unwrap();
    let mut options = house.options();
    options.store = "store-after".to_owned();
    let trees = house.trees_with(options);
    trees.recover().unwrap();
    let (tree, _) = house.task(&trees, "a", &[], &[("new.txt", "new")]);
    assert_ne!(tree.branch.as_deref(), Some("wheelhouse/r7/a"));
    assert_eq!(house.at("wheelhouse/r7/a", "old.txt").as_deref(), Some("old"));
    assert_eq!(house.at(&tree.branch.unwrap(), "new.txt").as_deref(), Some("new"));
    land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap();
}

#[test]
fn a_user_branch_called_wheelhouse_is_no_obstacle() {
    let house = House::new();
    house.git(&["branch", "wheelhouse"]);
    let trees = house.trees();
    let (tree, _) = house.task(&trees, "a", &[], &[("x.txt", "x")]);
    assert!(tree.branch.unwrap().starts_with("wheelhouse-"));
}

#[test]
fn two_engines_on_two_worktrees_of_one_repository() {
    let house = House::new();
    let second = house.dir.path().canonicalize().unwrap().join("second");
    house.git(&["worktree", "add", "-q", "-b", "second", second.to_str().unwrap()]);
    let mut options = house.options();
    options.store = "store-two".to_owned();
    let open = |project: &Path, options| {
        Trees::open(project, &project.join(".wheelhouse"), options)
            .unwrap()
            .unwrap()
    };
    let (one, two) = (open(&house.project, house.options()), open(&second, options));
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (one, two, house) = (&one, &two, &house);
            scope.spawn(move || house.task(one, &format!("t{number}"), &[], &[("x.txt", "one")]));
            scope.spawn(move || house.task(two, &format!("t{number}"), &[], &[("x.txt", "two")]));
        }
    });
    one.recover().unwrap();
    two.recover().unwrap();
    let order: Vec<_> = (0..10).map(|number| key(&format!("t{number}"))).collect();
    for (trees, content) in [(&one, "one"), (&two, "two")] {
        assert_eq!(trees.list().unwrap().len(), 10);
        let landings = trees.merge_batch(RUN, &order, &|_, _| Ok(())).unwrap();
        assert!(
            landings.iter().all(|landing| matches!(landing, Landing::Merged { .. })),
            "{landings:?}"
        );
        let merged = trees.merged_branch(RUN).unwrap().unwrap();
        assert_eq!(house.at(&merged, "x.txt").as_deref(), Some(content));
    }
}

#[test]
fn the_branch_in_use_elsewhere_is_said_in_gits_words() {
    let house = House::new();
    let trees = house.trees();
    house.task(&trees, "a", &[], &[("x.txt", "x")]);
    trees.remove(RUN, &key("a"), NOW).unwrap();
    house.git(&["switch", "-q", "wheelhouse/r7/a"]);
    let error = trees.create(RUN, &key("a"), 2, &[]).unwrap_err();
    assert!(error.to_string().contains("wheelhouse/r7/a"), "{error}");
    house.git(&["switch", "-q", "main"]);
    trees.create(RUN, &key("a"), 2, &[]).unwrap();
}

#[test]
fn odd_settings_of_the_repository_change_nothing() {
    let house = House::new();
    for (name, value) in [
        ("core.autocrlf", "true"),
        ("core.safecrlf", "true"),
        ("commit.gpgSign", "true"),
        ("gpg.program", "/bin/false"),
        ("core.fsmonitor", "/bin/false"),
        ("core.quotePath", "true"),
        ("status.relativePaths", "true"),
        ("status.showUntrackedFiles", "no"),
        ("diff.renames", "copies"),
        ("diff.external", "/bin/false"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.noprefix", "true"),
        ("diff.ignoreSubmodules", "all"),
        ("merge.ff", "only"),
        ("merge.conflictStyle", "diff3"),
        ("merge.verifySignatures", "true"),
        ("user.useConfigOnly", "true"),
        ("color.ui", "always"),
        ("commit.cleanup", "strip"),
        ("push.default", "nothing"),
        ("branch.autoSetupMerge", "always"),
        ("checkout.guess", "true"),
        ("worktree.guessRemote", "true"),
        ("core.pager", "/bin/false"),
        ("core.editor", "/bin/false"),
    ] {
        house.git(&["config", name, value]);
    }
    let trees = house.trees();
    let (_, changed) = house.task(
        &trees,
        "a",
        &[],
        &[("sub dir/new.txt", "# not a comment\nx\n"), ("a.txt", "1\n")],
    );
    assert_eq!(changed.paths(), ["a.txt", "sub dir/new.txt"]);
    house.task(&trees, "b", &[], &[("a.txt", "2\n")]);
    assert!(trees.diff(RUN, &key("a"), 9_999).unwrap().patch.contains("+++ b/a.txt"));
    assert!(matches!(
        land(&trees, RUN, &key("a"), &|_, _| Ok(())).unwrap(),
        Landing::Merged { .. }
    ));
    let Landing::Conflict(conflict) = land(&trees, RUN, &key("b"), &|_, _| Ok(())).unwrap() else {
        panic!()
    };
    assert!(
        conflict.hunks.contains("|||||||") && conflict.hunks.contains("=======\n2\n"),
        "{}",
        conflict.hunks
    );
    house.git(&["config", "core.autocrlf", "false"]);
    assert!(matches!(
        trees.deliver(RUN, What::Merged).unwrap(),
        Delivery::Done { .. }
    ));
}

#[test]
fn a_submodule_stays_a_submodule() {
    let house = House::new();
    let other = House::named("other");
    let url = other.project.to_str().unwrap();
    house.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        url,
        "lib",
    ]);
    house.commit("submodule");
    let trees = house.trees();
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    git(
        &tree.path,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "update",
            "--init",
        ],
    );
    write(tree.path.join("x.txt"), "x");
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!((changed.paths(), changed.problems), (vec!["x.txt".to_owned()], vec![]));
    write(tree.path.join("lib/a.txt"), "uncommitted in the submodule");
    assert!(matches!(trees.remove(RUN, &key("a"), NOW), Err(Error::Kept { .. })));
    git(&tree.path.join("lib"), &["checkout", "-q", "--", "."]);
    trees.remove(RUN, &key("a"), NOW).unwrap();
    assert!(!house.git(&["worktree", "list"]).contains("r7-a"));
}

/// A `git` that does something of its own before the real one.
fn wrapped(house: &House, script: &str) -> wheelhouse_engine::worktree::Options {
    use std::os::unix::fs::PermissionsExt;
    let mut options = house.options();
    let bin = house.dir.path().canonicalize().unwrap().join("bin");
    let path = options.env["PATH"].clone();
    let real = path
        .split(':')
        .map(|dir| Path::new(dir).join("git"))
        .find(|git| git.is_file())
        .unwrap();
    write(
        bin.join("git"),
        &format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display()),
    );
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    options
        .env
        .insert("PATH".to_owned(), format!("{}:{path}", bin.display()));
    options
}

#[test]
fn an_old_git_is_refused_and_a_missing_one_is_said() {
    let house = House::new();
    let options = wrapped(&house, "case \"$*\" in *version) echo git version 2.39.5; exit;; esac");
    let error = Trees::open(&house.project, &house.state(), options).unwrap_err();
    assert!(
        matches!(&error, Error::GitTooOld { found } if found.contains("2.39.5")),
        "{error:?}"
    );
    let mut options = house.options();
    options.env.insert("PATH".to_owned(), "/nonexistent".to_owned());
    assert!(matches!(
        Trees::open(&house.project, &house.state(), options),
        Err(Error::NoGit)
    ));
}

#[test]
fn a_git_that_hangs_is_ended_with_all_it_started() {
    let house = House::new();
    let mark = house.dir.path().join("pid");
    let script = format!(
        "case \"$*\" in *worktree*add*) sleep 1000 & echo $! > '{}'; wait;; esac",
        mark.display()
    );
    let mut options = wrapped(&house, &script);
    options.git_timeout = Duration::from_secs(2);
    let trees = house.trees_with(options);
    let began = Instant::now();
    let error = trees.create(RUN, &key("a"), 1, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::GitTimedOut { command, .. } if command.contains("worktree")),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = read(&mark).trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(10);
    let alive = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while alive() {
        assert!(Instant::now() < deadline, "{pid} lives on");
        std::thread::yield_now();
    }
    // Nothing is left behind, and the next try works.
    assert_eq!(
        house.trees().create(RUN, &key("a"), 1, &[]).unwrap().path,
        house.state().join("worktrees/r7-a")
    );
}

#[test]
fn what_git_sees_of_the_environment_is_little() {
    let house = House::new();
    let seen = house.dir.path().join("seen");
    let mut options = wrapped(&house, &format!("env > '{}'", seen.display()));
    options.env.insert("GIT_DIR".to_owned(), "/elsewhere".to_owned());
    options.env.insert("ANTHROPIC_API_KEY".to_owned(), "secret".to_owned());
    house
        .trees_with(options)
        .create(RunId(9), &key("a"), 1, &keys(&[]))
        .unwrap();
    let seen = read(seen);
    assert!(!seen.contains("secret") && !seen.contains("GIT_DIR="), "{seen}");
    assert!(
        seen.contains("GIT_TERMINAL_PROMPT=0") && seen.contains("GIT_OPTIONAL_LOCKS=0"),
        "{seen}"
    );
    assert!(try_git(&house.project, &["rev-parse", "wheelhouse/r9/a"]).0);
}
