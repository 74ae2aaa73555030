//! Cases: what is removed, and what must stay.

use wheelhouse_core::analysis::Kind;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::route::features::Features;
use wheelhouse_core::route::past::Sketch;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Command, Learned, Next, Refused, Reply, Settlement, TaskResult};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::Cost;

use super::build::{hash, needing, output, standing, task};
use super::trial::{Trial, ended};

fn prune(t: &mut Trial, before: Millis) -> (u64, u64) {
    match t.apply(Command::Prune { before }) {
        Reply::Pruned { runs, artifacts } => (runs, artifacts),
        other => panic!("{other:?}"),
    }
}

/// Ends a task with these artifacts, one byte each.
fn end_with(t: &mut Trial, key: &str, digits: &[&str], outcome: Outcome) {
    let lease = t.claim_one(key).lease;
    let (references, bytes) = digits.iter().map(|digit| output(digit.as_bytes())).unzip();
    let settlement = Settlement {
        result: TaskResult {
            artifacts: references,
            ..TaskResult::default()
        },
        artifacts: bytes,
        ..ended(outcome)
    };
    t.settle(lease, settlement);
}

pub(super) fn finished_runs_are_pruned_with_all_that_hangs_on_them(t: &mut Trial) {
    let approved = TaskSpec {
        approval: true,
        ..task("asked")
    };
    let r = t.submit(vec![task("a"), needing("b", &["a"]), approved]);
    let question = t.last_question();
    end_with(t, "a", &["a"], Outcome::Succeeded);
    t.apply(Command::CancelRun { run: r });
    let (a, b) = (t.id(r, "a"), t.id(r, "b"));
    t.advance_ms(10);
    let now = t.clock.now();
    assert_eq!(prune(t, now), (1, 1));
    t.reopen();
    let mut reader = t.reader();
    assert_eq!(reader.runs(9).unwrap(), []);
    assert_eq!(reader.run_spec(r).unwrap(), None);
    for task in [a, b] {
        assert_eq!(reader.task(task).unwrap(), None);
        assert_eq!(reader.spec(task).unwrap(), None);
        assert_eq!(reader.attempts(task).unwrap(), []);
        assert_eq!(reader.result(task).unwrap(), None);
    }
    assert_eq!(reader.question(question).unwrap(), None);
    assert_eq!(reader.artifact(&hash(b"a")).unwrap(), None);
    assert_eq!(reader.events(Cursor(0), None, 9).unwrap(), []);
    assert_eq!(t.refused(Command::RetryRun { run: r }), Refused::NoSuchRun(r));
}

pub(super) fn open_and_recent_runs_stay(t: &mut Trial) {
    let old = t.submit(vec![]);
    let open = t.submit(vec![task("a")]);
    let queue = t.submit_run(standing("queue"), vec![]);
    t.advance_ms(100);
    let recent = t.submit(vec![]);
    let ended_at = t.clock.now();
    t.advance_ms(100);
    assert_eq!(prune(t, ended_at), (1, 0), "what ended at that very moment stays");
    let ids = |t: &mut Trial| -> Vec<RunId> { t.reader().runs(9).unwrap().iter().map(|run| run.id).collect() };
    assert_eq!(ids(t), [recent, queue, open]);
    assert_eq!(t.reader().run(old).unwrap(), None);
    assert_eq!(prune(t, Millis(ended_at.0 + 1)), (1, 0));
    assert_eq!(ids(t), [queue, open]);
    assert_eq!(prune(t, Millis(u64::MAX >> 1)), (0, 0));
    assert_eq!(t.states(open), "a:ready");
    assert_eq!(t.count(open, "run_submitted"), 1);
}

pub(super) fn shared_artifacts_stay_with_the_last_that_refers(t: &mut Trial) {
    t.submit(vec![task("a")]);
    end_with(t, "a", &["a", "b"], Outcome::Succeeded);
    t.advance_ms(10);
    let before = t.clock.now();
    t.submit(vec![task("b")]);
    end_with(t, "b", &["b", "c"], Outcome::Succeeded);
    assert_eq!(prune(t, before), (1, 1));
    assert_eq!(t.reader().artifact(&hash(b"a")).unwrap(), None);
    assert_eq!(t.reader().artifact(&hash(b"b")).unwrap(), Some(b"b".to_vec()));
    assert_eq!(t.reader().artifact(&hash(b"c")).unwrap(), Some(b"c".to_vec()));
}

pub(super) fn artifacts_of_earlier_tries_stay_with_their_task(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    end_with(t, "a", &["a"], Outcome::Crashed);
    let id = t.id(r, "a");
    t.apply(Command::RetryTask { task: id });
    end_with(t, "a", &["b"], Outcome::Succeeded);
    assert_eq!(prune(t, Millis(0)), (0, 0));
    assert_eq!(t.reader().artifact(&hash(b"a")).unwrap(), Some(b"a".to_vec()));
    t.advance_ms(1);
    let now = t.clock.now();
    assert_eq!(prune(t, now), (1, 2));
}

pub(super) fn cursors_and_ids_are_never_used_again(t: &mut Trial) {
    let first = t.submit(vec![task("a")]);
    t.run_dry();
    let last = t.events(first).pop().unwrap().cursor;
    let task_id = t.id(first, "a");
    t.advance_ms(1);
    let now = t.clock.now();
    assert_eq!(prune(t, now), (1, 0));
    t.reopen();
    let second = t.submit(vec![task("a")]);
    assert!(second > first);
    assert!(t.id(second, "a") > task_id);
    let events = t.reader().events(last, None, 99).unwrap();
    assert_eq!(events.len(), 2, "whoever follows misses nothing: {events:?}");
}

pub(super) fn what_was_learned_outlives_its_run(t: &mut Trial) {
    let text = "fix the parser";
    let learned = |model: Option<&str>| {
        Some(Learned {
            kind: Kind::Debug,
            sketch: Sketch::of(text),
            features: Features::of(text),
            model: model.map(str::to_owned),
        })
    };
    let r = t.submit(vec![task("a"), task("b"), needing("c", &["a"])]);
    assert_eq!(
        t.reader().busy().unwrap(),
        [("exec".into(), 2)],
        "ready ones count, waiting ones do not"
    );
    let first = t.claim_one("a").lease;
    t.settle(
        first,
        Settlement {
            cost: Cost::Priced(5),
            next: Next::TryAt {
                at: Millis(0),
                link: 0,
                agent: "exec".into(),
                quota: false,
            },
            learned: learned(None),
            ..ended(Outcome::Crashed)
        },
    );
    assert_eq!(t.reader().past(9).unwrap(), [], "it is not over");
    let again = t.claim_one("a").lease;
    let settlement = Settlement {
        cost: Cost::Priced(7),
        learned: learned(Some("sonnet")),
        ..ended(Outcome::Succeeded)
    };
    t.settle(again, settlement);
    let other = t.claim_one("b").lease;
    let settlement = Settlement {
        cost: Cost::Unknown,
        learned: learned(None),
        ..ended(Outcome::GateFailed)
    };
    t.settle(other, settlement);
    t.run_dry();
    assert_eq!(t.reader().busy().unwrap(), []);
    let told = |t: &mut Trial| -> Vec<(Kind, String, Outcome, Option<u64>)> {
        let past = t.reader().past(9).unwrap();
        assert!(past.iter().all(|one| one.sketch == Sketch::of(text)));
        assert!(past.iter().all(|one| one.features == Some(Features::of(text))));
        assert_eq!(
            past.iter().map(|one| one.model.as_deref()).collect::<Vec<_>>(),
            [None, Some("sonnet")]
        );
        past.into_iter()
            .map(|one| (one.kind, one.agent, one.outcome, one.cost_nano))
            .collect()
    };
    let exec = || "exec".to_owned();
    let expected = [
        (Kind::Debug, exec(), Outcome::GateFailed, None),
        (Kind::Debug, exec(), Outcome::Succeeded, Some(12)),
    ];
    assert_eq!(told(t), expected, "newest first; the cost of all tries");
    assert_eq!(t.reader().past(1).unwrap().len(), 1);
    t.advance_ms(1_000);
    prune(t, Millis(u64::MAX >> 1));
    assert_eq!(t.reader().run(r).unwrap(), None);
    assert_eq!(told(t), expected);
}
