//! The memory model passes the suite it is the reference for.

use wheelhouse_core::store::Store;
use wheelhouse_testkit::conformance::compare::compare;
use wheelhouse_testkit::conformance::dag::play_random_dag;
use wheelhouse_testkit::conformance::trial::Trial;
use wheelhouse_testkit::conformance::{Bench, Factory, history};
use wheelhouse_testkit::memory::{MemoryStore, TestClock};

struct Memory;

struct MemoryBench(MemoryStore);

impl Factory for Memory {
    fn open(&self, clock: TestClock) -> Box<dyn Bench> {
        Box::new(MemoryBench(MemoryStore::new(clock)))
    }
}

impl Bench for MemoryBench {
    fn store(&mut self) -> &mut dyn Store {
        &mut self.0
    }

    fn reopen(&mut self) {
        let successor = self.0.clone();
        self.0 = successor;
    }
}

wheelhouse_testkit::conformance_suite!(Memory);

#[test]
fn random_traces_leave_the_model_sound_and_equal_to_its_successors() {
    for seed in 0..400 {
        let clock = TestClock::new();
        let (a, b) = (MemoryStore::new(clock.clone()), MemoryStore::new(clock.clone()));
        let check = a.clone();
        let compared = compare(&mut MemoryBench(a), &mut MemoryBench(b), &clock, seed, 150);
        compared.unwrap_or_else(|diff| panic!("{diff}"));
        assert_eq!(check.check(), [], "seed {seed}");
    }
}

#[test]
fn random_dags_end_with_exactly_the_right_skips_for_many_seeds() {
    let mut trial = Trial::new(&Memory);
    for seed in 1_000..1_500 {
        play_random_dag(&mut trial, seed);
    }
    assert_eq!(history::audit(trial.reader().as_mut()), Vec::<String>::new());
}
