//! The store on SQLite passes the suite of all stores, and is equal to the memory model on random traces.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use wheelhouse_core::store::Store;
use wheelhouse_store::{SqliteStore, fsck};
use wheelhouse_testkit::conformance::compare::compare;
use wheelhouse_testkit::conformance::dag::play_random_dag;
use wheelhouse_testkit::conformance::trial::Trial;
use wheelhouse_testkit::conformance::{Bench, Factory};
use wheelhouse_testkit::memory::{MemoryStore, TestClock};

struct Sqlite;

/// A store in a directory of its own. After a crash the next one opens a copy of what was on the disk: without the
/// shared index, without a checkpoint, as after a power cut.
struct SqliteBench {
    directory: TempDir,
    clock: TestClock,
    lives: u32,
    store: SqliteStore,
}

impl SqliteBench {
    fn new(clock: TestClock) -> Self {
        let directory = scratch();
        let store = open(&directory.path().join("0/wheelhouse.db"), &clock);
        SqliteBench {
            directory,
            clock,
            lives: 0,
            store,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(format!("{}/wheelhouse.db", self.lives))
    }

    fn crash(&mut self) {
        let before = self.path();
        self.lives += 1;
        let after = self.path();
        fs::create_dir(after.parent().unwrap()).unwrap();
        for suffix in ["", "-wal"] {
            let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            fs::copy(with(&before), with(&after)).unwrap();
        }
        self.store = open(&after, &self.clock);
        fs::remove_dir_all(before.parent().unwrap()).unwrap();
    }
}

/// Every case ends with the store's own check of itself.
impl Drop for SqliteBench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut faults = fsck(&self.path()).unwrap();
            // The suite makes up its hashes.
            faults.retain(|fault| fault.rule != "an artifact's bytes are what its hash says");
            assert_eq!(faults, []);
        }
    }
}

/// In memory where there is such a place: the suite makes thousands of commits, and what it shows does not hang on
/// how long the disk takes for each.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(place).unwrap()
}

fn open(path: &Path, clock: &TestClock) -> SqliteStore {
    let clock = clock.clone();
    SqliteStore::open(path, Arc::new(move || clock.now())).unwrap()
}

impl Factory for Sqlite {
    fn open(&self, clock: TestClock) -> Box<dyn Bench> {
        Box::new(SqliteBench::new(clock))
    }
}

impl Bench for SqliteBench {
    fn store(&mut self) -> &mut dyn Store {
        &mut self.store
    }

    fn reopen(&mut self) {
        self.crash();
    }
}

struct MemoryBench(MemoryStore);

impl Bench for MemoryBench {
    fn store(&mut self) -> &mut dyn Store {
        &mut self.0
    }

    fn reopen(&mut self) {
        let successor = self.0.clone();
        self.0 = successor;
    }
}

wheelhouse_testkit::conformance_suite!(Sqlite);

/// `WHEELHOUSE_SEEDS=5000 cargo test --release -p wheelhouse-store random_traces` for an evening's worth.
#[test]
fn random_traces_are_answered_as_by_the_model() {
    let seeds = std::env::var("WHEELHOUSE_SEEDS").map_or(16, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let clock = TestClock::new();
        let mut model = MemoryBench(MemoryStore::new(clock.clone()));
        let mut store = SqliteBench::new(clock.clone());
        let compared = compare(&mut model, &mut store, &clock, seed, 150);
        compared.unwrap_or_else(|diff| panic!("{diff}"));
    }
}

#[test]
fn random_dags_end_with_exactly_the_right_skips_for_many_seeds() {
    let mut trial = Trial::new(&Sqlite);
    for seed in 1_000..1_050 {
        play_random_dag(&mut trial, seed);
    }
}
