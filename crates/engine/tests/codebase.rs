//! The index over a tree that changes: what is found after any number of updates is what a new index finds.
#![expect(clippy::unwrap_used, reason = "a test may end that way")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use wheelhouse_context::port::Files;
use wheelhouse_context::retrieval::packet::{self, Packet, Task};
use wheelhouse_engine::codebase::{Codebase, Hit, Options, Stages, Unit, index_in};

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn ask(codebase: &mut Codebase, question: &str) -> Vec<Hit> {
    let options = Options {
        count: 30,
        unit: Unit::File,
        ..Options::default()
    };
    codebase
        .find(question, &options, Duration::ZERO, &Stages::default())
        .unwrap()
        .0
}

fn paths(hits: &[Hit]) -> Vec<&str> {
    let mut paths: Vec<&str> = hits.iter().map(|hit| hit.path.as_str()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn many_updates_come_to_the_same_as_a_new_index() {
    let root = tempfile::tempdir().unwrap();
    let keep = tempfile::tempdir().unwrap();
    for number in 0..20 {
        write(
            root.path(),
            &format!("src/part{number}.rs"),
            &format!("pub fn handle_{number}() {{ shared() }}\n"),
        );
    }
    let mut codebase = Codebase::open(root.path(), Some(keep.path()));
    codebase.update().unwrap();
    // A small generator, so that every run takes the same way.
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for round in 0..60 {
        let number = next(30);
        let path = format!("src/part{number}.rs");
        match next(4) {
            0 => {
                let _ = fs::remove_file(root.path().join(&path));
            }
            _ => write(
                root.path(),
                &path,
                &format!("pub fn handle_{number}_{round}() {{ shared(); round_{round}() }}\n"),
            ),
        }
        if round % 13 == 0 {
            codebase = Codebase::open(root.path(), Some(keep.path()));
        }
        codebase.update().unwrap();
    }
    let mut fresh = Codebase::open(root.path(), None);
    fresh.update().unwrap();
    assert_eq!(codebase.extent(), fresh.extent());
    for question in ["shared", "handle_3", "part7", "src/part9.rs"] {
        let (old, new) = (ask(&mut codebase, question), ask(&mut fresh, question));
        assert_eq!(paths(&old), paths(&new), "{question}");
        let score = |hits: &[Hit]| hits.first().map(|hit| hit.score);
        assert_eq!(score(&old), score(&new), "{question}");
    }
    // Segments are merged: the shelf does not grow with the number of updates.
    assert!(fs::read_dir(keep.path()).unwrap().count() < 80);
}

#[test]
fn only_what_changed_is_read() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.rs", "fn a() {}\n");
    write(root.path(), "b.rs", "fn b() {}\n");
    let old = fs::File::options().write(true).open(root.path().join("a.rs")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
        .unwrap();
    let mut codebase = Codebase::open(root.path(), None);
    assert_eq!(codebase.update().unwrap().changed, 2);
    // `b.rs` is so new that a further change could leave no trace: it is read, and found to be the same.
    let update = codebase.update().unwrap();
    assert_eq!((update.read, update.changed), (1, 0));
}

#[test]
fn a_file_that_cannot_be_read_is_tried_again() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.rs", "fn a() {}\n");
    std::os::unix::fs::symlink("nowhere", root.path().join("b.rs")).unwrap();
    nix::unistd::mkfifo(&root.path().join("pipe.rs"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut codebase = Codebase::open(root.path(), None);
    codebase.update().unwrap();
    assert_eq!(codebase.extent().files, 1, "links and pipes are no files");
    assert!(codebase.tree().read("pipe.rs").is_err());
}

#[test]
fn two_processes_may_keep_the_same_index() {
    let root = tempfile::tempdir().unwrap();
    let state = tempfile::tempdir().unwrap();
    let keep = index_in(state.path());
    write(root.path(), "a.rs", "fn first() {}\n");
    let mut one = Codebase::open(root.path(), Some(&keep));
    let mut other = Codebase::open(root.path(), Some(&keep));
    one.update().unwrap();
    write(root.path(), "b.rs", "fn second() {}\n");
    other.update().unwrap();
    one.update().unwrap();
    let mut third = Codebase::open(root.path(), Some(&keep));
    let update = third.update().unwrap();
    assert_eq!(update.notices, [""; 0]);
    assert_eq!(paths(&ask(&mut third, "second")), ["b.rs"]);
}

#[test]
fn a_packet_is_given_only_where_it_is_sure() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "src/lease.rs",
        "/// Renews a lease in time.\npub fn renew(lease: u32) -> u32 {\n    lease + 1\n}\n",
    );
    write(root.path(), "src/clock.rs", "pub fn tick() -> u32 { 1 }\n");
    write(root.path(), "tests/test_clock.rs", "fn test() { tick() }\n");
    let mut codebase = Codebase::open(root.path(), None);
    codebase.update().unwrap();
    let of = |prompt: &str, checks: &[String], chars_max: usize| {
        let task = Task {
            prompt,
            checks,
            chars_max,
        };
        packet::packet(&codebase.index(), &codebase.tree(), &task)
    };
    let first = |packet: &Packet| match packet {
        Packet::Inject {
            excerpts, confidence, ..
        } => Some((excerpts[0].path.clone(), *confidence)),
        Packet::Fallback { .. } | Packet::Bypass { .. } => None,
    };
    assert_eq!(
        first(&of("Fix src/clock.rs", &[], 1_500)),
        Some(("src/clock.rs".to_owned(), 1.0))
    );
    let check = ["cargo test --test tests/test_clock.rs".to_owned()];
    let owner = first(&of("Make lease ticks exact", &check, 1_500)).unwrap();
    assert_eq!(owner, ("src/clock.rs".to_owned(), 0.95));
    assert!(matches!(
        of("Improve the onboarding", &[], 1_500),
        Packet::Bypass { .. }
    ));
    let Packet::Inject { excerpts, .. } = of("Fix src/lease.rs", &[], 40) else {
        panic!("the file is named");
    };
    assert!(excerpts.iter().map(|one| one.text.chars().count()).sum::<usize>() <= 40);
}
