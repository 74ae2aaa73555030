//! A tree as an environment: lent files, ports, database names.

use std::collections::BTreeSet;
use std::net::TcpListener;

use wheelhouse_core::spec::EnvTemplate;
use wheelhouse_engine::worktree::{Error, Options, Problem};

use crate::support::{House, NOW, RUN, git, key, read, write};

fn furnished(house: &House, template: EnvTemplate) -> Options {
    Options {
        template,
        ..house.options()
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn lent_files_are_there_and_never_committed() {
    let house = House::new();
    write(house.project.join(".env"), "SECRET=1");
    write(house.project.join("config/dev local.json"), "{}");
    write(house.project.join("config/other.txt"), "not asked for");
    let template = EnvTemplate {
        copy: texts(&[".env", "./config/*.json", "a.txt", "missing"]),
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    assert_eq!(read(tree.path.join(".env")), "SECRET=1");
    assert_eq!(read(tree.path.join("config/dev local.json")), "{}");
    assert!(!tree.path.join("config/other.txt").exists());
    write(tree.path.join("own.txt"), "own");
    assert_eq!(
        trees.touched(RUN, &key("a")).unwrap(),
        BTreeSet::from(["own.txt".to_owned()])
    );
    assert_eq!(trees.diff(RUN, &key("a"), 9_999).unwrap().files.len(), 1);
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(
        changed.paths(),
        ["own.txt"],
        "though `config/dev local.json` is not ignored"
    );
    // An agent that commits it itself is found out.
    git(&tree.path, &["add", "-A"]);
    git(&tree.path, &["commit", "-q", "-m", "all"]);
    let changed = trees.finish(RUN, &key("a"), "a").unwrap();
    assert_eq!(
        changed.problems,
        [Problem::LentCommitted(texts(&["config/dev local.json"]))]
    );
}

#[test]
fn too_much_to_lend_is_refused_and_leaves_nothing() {
    let house = House::new();
    for number in 0..=wheelhouse_engine::worktree::COPIED_FILES_MAX {
        write(house.project.join(format!("cache/{number}.log")), "");
    }
    let template = EnvTemplate {
        copy: texts(&["cache/**"]),
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let error = trees.create(RUN, &key("a"), 1, &[]).unwrap_err();
    assert!(
        matches!(&error, Error::TooLarge { limit, .. } if limit.contains("COPIED_FILES_MAX")),
        "{error:?}"
    );
    assert!(!trees.has_branch(RUN, &key("a")).unwrap());
    assert_eq!(house.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn ports_are_apart_free_stable_and_given_back() {
    let house = House::new();
    let template = EnvTemplate {
        ports: 2,
        databases: 1,
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let ports = |env: &std::collections::BTreeMap<String, String>| -> Vec<u16> {
        let listed: Vec<u16> = env["WHEELHOUSE_PORTS"]
            .split(',')
            .map(|port| port.parse().unwrap())
            .collect();
        assert_eq!(env["PORT_0"], listed[0].to_string());
        assert_eq!(env["PORT_1"], listed[1].to_string());
        listed
    };
    let a = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    let first = ports(&a.env);
    // Somebody listens where the next one would be looked for.
    let taken = TcpListener::bind(("127.0.0.1", first[1] + 1)).ok();
    let b = trees.create(RUN, &key("b"), 1, &[]).unwrap();
    let second = ports(&b.env);
    assert!(first.iter().all(|port| !second.contains(port)), "{first:?} {second:?}");
    if taken.is_some() {
        assert!(!second.contains(&(first[1] + 1)));
    }
    for port in first.iter().chain(&second) {
        drop(TcpListener::bind(("127.0.0.1", *port)).unwrap());
    }
    assert_eq!(
        trees.create(RUN, &key("a"), 2, &[]).unwrap().env,
        a.env,
        "the same for the next try"
    );
    assert!(a.env["DATABASE_0"].ends_with("_r7_a_0"));
    assert_ne!(a.env["WHEELHOUSE_DATABASES"], b.env["WHEELHOUSE_DATABASES"]);
    trees.remove(RUN, &key("a"), NOW).unwrap();
    let c = trees.create(RUN, &key("c"), 1, &[]).unwrap();
    assert_eq!(ports(&c.env), first, "given back");
}

#[test]
fn leases_of_trees_that_are_gone_are_reclaimed() {
    let house = House::new();
    let template = EnvTemplate {
        ports: 1,
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let a = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    let kept = trees.create(RUN, &key("kept"), 1, &[]).unwrap();
    std::fs::remove_dir_all(&a.path).unwrap();
    write(house.state().join("ports/29999"), "");
    let notices = trees.recover().unwrap();
    assert!(notices.iter().any(|notice| notice.contains("r7/a")), "{notices:?}");
    let leased: Vec<_> = std::fs::read_dir(house.state().join("ports"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].file_name().to_str().unwrap(), kept.env["PORT_0"]);
}

#[test]
fn twenty_tasks_at_once_share_no_port() {
    let house = House::new();
    let template = EnvTemplate {
        ports: 3,
        databases: 2,
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let envs: Vec<_> = std::thread::scope(|scope| {
        let trees = &trees;
        let made: Vec<_> = (0..20)
            .map(|number| scope.spawn(move || trees.create(RUN, &key(&format!("t{number}")), 1, &[]).unwrap().env))
            .collect();
        made.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all = |name: &str| {
        envs.iter()
            .flat_map(|env| env[name].split(','))
            .collect::<BTreeSet<_>>()
            .len()
    };
    assert_eq!((all("WHEELHOUSE_PORTS"), all("WHEELHOUSE_DATABASES")), (60, 40));
}

#[test]
fn set_up_is_told_until_it_was_done() {
    let house = House::new();
    let template = EnvTemplate {
        setup: texts(&["npm ci"]),
        teardown: texts(&["dropdb $DATABASE_0"]),
        ..EnvTemplate::default()
    };
    let trees = house.trees_with(furnished(&house, template));
    let tree = trees.create(RUN, &key("a"), 1, &[]).unwrap();
    assert_eq!(tree.setup, texts(&["npm ci"]));
    let teardown = trees.teardown(RUN, &key("a")).unwrap().unwrap();
    assert_eq!(
        (teardown.project, teardown.commands),
        (tree.project, texts(&["dropdb $DATABASE_0"]))
    );
    assert_eq!(
        trees.create(RUN, &key("a"), 1, &[]).unwrap().setup,
        texts(&["npm ci"]),
        "killed before it was done"
    );
    trees.mark_set_up(RUN, &key("a")).unwrap();
    assert!(trees.create(RUN, &key("a"), 1, &[]).unwrap().setup.is_empty());
    trees.remove(RUN, &key("a"), NOW).unwrap();
    assert_eq!(trees.teardown(RUN, &key("a")).unwrap(), None, "there is no tree");
    assert_eq!(
        trees.create(RUN, &key("a"), 2, &[]).unwrap().setup,
        texts(&["npm ci"]),
        "a new directory"
    );
}
