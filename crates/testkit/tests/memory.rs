//! The memory model passes the suite it is the reference for.

use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Failure, Reader, Refused, Reply, Store};
use wheelhouse_testkit::conformance::approvals::play_deep_approval;
use wheelhouse_testkit::conformance::compare::compare;
use wheelhouse_testkit::conformance::dag::play_random_dag;
use wheelhouse_testkit::conformance::trial::Trial;
use wheelhouse_testkit::conformance::{Bench, history};
use wheelhouse_testkit::memory::{Memory, MemoryStore, TestClock};

wheelhouse_testkit::conformance_suite!(Memory);

#[test]
fn random_traces_leave_the_model_sound_and_equal_to_its_successors() {
    for seed in 0..100 {
        let clock = TestClock::new();
        let (mut a, mut b) = (MemoryStore::new(clock.clone()), MemoryStore::new(clock.clone()));
        let compared = compare(&mut a, &mut b, &clock, seed, 150);
        compared.unwrap_or_else(|diff| panic!("{diff}"));
        assert_eq!(a.check(), [], "seed {seed}");
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

#[test]
fn ten_thousand_orders_of_a_deep_approval_block_nobody() {
    let mut asked = 0;
    // A fresh model now and then: what was is read again and again.
    for hundred in 0..100 {
        let mut trial = Trial::new(&Memory);
        for seed in hundred * 100..(hundred + 1) * 100 {
            asked += u32::from(play_deep_approval(&mut trial, 1_000_000 + seed));
        }
        assert_eq!(history::audit(trial.reader().as_mut()), Vec::<String>::new());
    }
    assert!(asked > 3_000, "only {asked}");
}

type Mistake = fn(&mut Command);

/// A store with one mistake, made in every commit.
struct Mistaken {
    inner: MemoryStore,
    mistake: Mistake,
}

impl Store for Mistaken {
    fn commit(&mut self, batch: &[Command]) -> Result<Vec<Result<Reply, Refused>>, Failure> {
        let mut batch = batch.to_vec();
        batch.iter_mut().for_each(self.mistake);
        self.inner.commit(&batch)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, Failure> {
        self.inner.reader()
    }
}

impl Bench for Mistaken {
    fn store(&mut self) -> &mut dyn Store {
        self
    }

    fn reopen(&mut self) {}
}

#[test]
fn a_store_that_errs_is_found_out() {
    let mistakes: [(&str, Mistake); 6] = [
        ("takes one task more", |command| {
            if let Command::Claim(request) = command {
                request.limit += 1;
            }
        }),
        ("forgets caps", |command| {
            if let Command::Claim(request) = command {
                request.caps.clear();
            }
        }),
        ("forgets what a crash was", |command| {
            if let Command::Settle { settlement, .. } = command
                && settlement.outcome == Outcome::Crashed
            {
                settlement.outcome = Outcome::Killed;
            }
        }),
        ("forgets write sets", |command| {
            if let Command::SubmitRun { tasks, .. } = command {
                tasks.iter_mut().for_each(|task| task.files.clear());
            }
        }),
        ("loses reports", |command| {
            if let Command::Report { text, .. } = command {
                text.clear();
            }
        }),
        ("keeps everything for ever", |command| {
            if let Command::Prune { before } = command {
                before.0 = 0;
            }
        }),
    ];
    for (name, mistake) in mistakes {
        let found = (0..20).any(|seed| {
            let clock = TestClock::new();
            let inner = MemoryStore::new(clock.clone());
            let mut right = MemoryStore::new(clock.clone());
            compare(&mut right, &mut Mistaken { inner, mistake }, &clock, seed, 150).is_err()
        });
        assert!(found, "a store that {name} passes");
    }
}
