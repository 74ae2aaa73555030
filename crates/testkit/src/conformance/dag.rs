//! Cases: what the end of a task means for those behind it.

use std::collections::BTreeSet;

use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Command, Next, Refused, RunState, Settlement};
use wheelhouse_core::task::TaskState;

use super::build::{needing, task};
use super::dice::Dice;
use super::trial::{Trial, ended, names, settle};

fn continuing(outcome: Outcome) -> Settlement {
    Settlement {
        next: Next::Done { continues: true },
        ..ended(outcome)
    }
}

pub(super) fn a_task_waits_for_all_it_needs(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        task("b"),
        needing("c", &["a", "b"]),
        needing("d", &["c"]),
    ]);
    let claimed = t.claim(9);
    assert_eq!(names(&claimed), "a b");
    t.end(claimed[1].lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:running b:succeeded c:waiting(1) d:waiting(1)");
    assert_eq!(t.task(r, "c").waits_for, ["a".into()]);
    t.end(claimed[0].lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:succeeded c:ready d:waiting(1)");
    assert_eq!(t.story(r, "c"), "task_ready");
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_failure_skips_everything_behind_it(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        needing("b", &["a"]),
        needing("c", &["b"]),
        task("x"),
        needing("y", &["x", "c"]),
        needing("z", &["x"]),
    ]);
    let lease = t.claim_one("a").lease;
    t.end(lease, Outcome::Crashed);
    assert_eq!(
        t.states(r),
        "a:crashed b:skipped(a) c:skipped(a) x:ready y:skipped(a) z:waiting(1)"
    );
    let (now, y) = (t.clock.now(), t.task(r, "y"));
    assert_eq!((y.done_at, y.attempt), (Some(now), 0));
    t.run_dry();
    let view = t.run(r);
    assert_eq!(view.state, RunState::Finished);
    assert_eq!(
        (view.counts.succeeded, view.counts.failed, view.counts.skipped),
        (2, 1, 3)
    );
}

pub(super) fn the_root_of_a_skip_is_named(t: &mut Trial) {
    let r = t.submit(vec![
        task("x"),
        task("y"),
        needing("x2", &["x"]),
        needing("both", &["y", "x2"]),
        needing("last", &["both"]),
    ]);
    let claimed = t.claim(2);
    t.end(claimed[0].lease, Outcome::TimedOut);
    // y fails too, later: nobody is skipped twice.
    t.end(claimed[1].lease, Outcome::Crashed);
    assert_eq!(
        t.states(r),
        "x:timed_out y:crashed x2:skipped(x) both:skipped(x) last:skipped(x)"
    );
    // For tasks that come later the first need that stands in the way decides, seen through to its root.
    let tasks = vec![needing("n1", &["y", "last"]), needing("n2", &["last", "y"])];
    t.apply(Command::AddTasks { run: r, tasks });
    assert!(t.states(r).ends_with("n1:skipped(y) n2:skipped(x)"));
}

pub(super) fn a_diamond_is_skipped_once(t: &mut Trial) {
    let r = t.submit(vec![
        task("top"),
        needing("left", &["top"]),
        needing("right", &["top"]),
        needing("bottom", &["left", "right"]),
    ]);
    let lease = t.claim_one("top").lease;
    t.end(lease, Outcome::Refused);
    assert_eq!(t.story(r, "bottom"), "task_done");
    assert_eq!(t.run(r).counts.skipped, 3);
}

pub(super) fn a_failure_that_continues_lets_dependants_run(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"]), needing("c", &["b"])]);
    let lease = t.claim_one("a").lease;
    t.settle(lease, continuing(Outcome::Crashed));
    assert_eq!(t.states(r), "a:crashed b:ready c:waiting(1)");
    let tasks = vec![needing("later", &["a"])];
    t.apply(Command::AddTasks { run: r, tasks });
    assert!(t.states(r).ends_with("later:ready"));
    t.run_dry();
    assert_eq!(t.states(r), "a:crashed b:succeeded c:succeeded later:succeeded");
    assert_eq!(t.run(r).counts.failed, 1, "it failed all the same");
}

pub(super) fn a_cancelled_parent_skips(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"]), task("x"), needing("y", &["x"])]);
    let id = t.id(r, "a");
    t.apply(Command::CancelTask { task: id });
    assert_eq!(t.states(r), "a:cancelled b:skipped(a) x:ready y:waiting(1)");
    let lease = t.claim_one("x").lease;
    t.end(lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "a:cancelled b:skipped(a) x:cancelled y:skipped(x)");
}

pub(super) fn planned_tasks_join_in_the_commit_of_the_planner(t: &mut Trial) {
    let r = t.submit(vec![task("plan"), needing("report", &["plan"])]);
    let lease = t.claim_one("plan").lease;
    t.settle(
        lease,
        Settlement {
            new_tasks: vec![task("p1"), needing("p2", &["p1", "plan"]), needing("p3", &["report"])],
            ..ended(Outcome::Succeeded)
        },
    );
    assert_eq!(
        t.states(r),
        "plan:succeeded report:ready p1:ready p2:waiting(1) p3:waiting(1)"
    );
    assert_eq!(t.run_story(r), "run_submitted tasks_added");
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 5);
    // The last task of a run may plan: the run does not finish in between.
    let r = t.submit(vec![task("plan")]);
    let lease = t.claim_one("plan").lease;
    let new_tasks = vec![needing("more", &["plan"])];
    t.settle(
        lease,
        Settlement {
            new_tasks,
            ..ended(Outcome::Succeeded)
        },
    );
    assert_eq!(t.states(r), "plan:succeeded more:ready");
    assert_eq!(t.run_story(r), "run_submitted tasks_added");
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_planner_with_an_invalid_plan_settles_nothing(t: &mut Trial) {
    let r = t.submit(vec![task("plan"), needing("report", &["plan"])]);
    let lease = t.claim_one("plan").lease;
    let story = t.events(r);
    let with = |new_tasks| {
        let succeeded = ended(Outcome::Succeeded);
        settle(lease, Settlement { new_tasks, ..succeeded })
    };
    let refused = t.refused(with(vec![task("p1"), needing("p2", &["nobody"])]));
    assert!(matches!(refused, Refused::DanglingNeed { .. }));
    let refused = t.refused(with(vec![task("p1"), task("report")]));
    assert_eq!(refused, Refused::DuplicateKey("report".into()));
    t.illegal(with(vec![needing("p1", &["p2"]), needing("p2", &["p1"])]));
    assert_eq!(t.states(r), "plan:running report:waiting(1)");
    assert_eq!(t.events(r), story);
    let plan = t.id(r, "plan");
    assert_eq!(t.reader().result(plan).unwrap(), None);
    // It still holds the lease and may say it better.
    t.apply(with(vec![task("p1")]));
    assert_eq!(t.states(r), "plan:succeeded report:ready p1:ready");
}

pub(super) fn a_long_chain_is_promoted_and_skipped(t: &mut Trial) {
    const LONG: usize = 2_000;
    let mut tasks = vec![task("t0"), task("u0")];
    for n in 1..LONG {
        tasks.push(needing(&format!("t{n}"), &[&format!("t{}", n - 1)]));
    }
    tasks.push(needing("u1", &["u0"]));
    let r = t.submit(tasks);
    let claimed = t.claim(2);
    t.end(claimed[0].lease, Outcome::Crashed);
    t.end(claimed[1].lease, Outcome::Succeeded);
    let counts = t.run(r).counts;
    assert_eq!((counts.skipped, counts.ready, counts.failed), (LONG as u64 - 1, 1, 1));
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn random_dags_end_with_exactly_the_right_skips(t: &mut Trial) {
    for seed in 0..12 {
        play_random_dag(t, seed);
    }
}

/// A random DAG with random outcomes: every task ends done, and skipped are exactly the descendants of failures
/// that do not continue.
pub fn play_random_dag(t: &mut Trial, seed: u64) {
    let mut dice = Dice::new(seed);
    let count = 1 + dice.below(24);
    let tasks: Vec<TaskSpec> = (0..count).map(|n| random_task(&mut dice, n)).collect();
    let r = t.submit(tasks.clone());
    let mut blocking = BTreeSet::new();
    loop {
        let limit = u32::try_from(1 + dice.below(4)).unwrap();
        let mut claimed = t.claim(limit);
        if claimed.is_empty() {
            break;
        }
        while !claimed.is_empty() {
            let next = usize::try_from(dice.below(claimed.len() as u64)).unwrap();
            let claimed = claimed.swap_remove(next);
            let settlement = match dice.below(10) {
                0 | 1 => ended(Outcome::Crashed),
                2 => continuing(Outcome::TimedOut),
                _ => ended(Outcome::Succeeded),
            };
            if settlement == ended(Outcome::Crashed) {
                blocking.insert(claimed.spec.key.clone());
            }
            t.settle(claimed.lease, settlement);
        }
    }
    assert_eq!(t.run(r).state, RunState::Finished, "seed {seed}: {}", t.states(r));
    // Tasks are listed before those that need them, so one pass finds all descendants.
    let mut stopped = blocking;
    for spec in &tasks {
        let skip = spec.needs.iter().any(|need| stopped.contains(need));
        let state = t.task(r, spec.key.as_str()).state;
        let skipped = matches!(
            &state,
            TaskState::Done {
                outcome: Outcome::Skipped { .. }
            }
        );
        assert_eq!(skipped, skip, "seed {seed}: {} is {state:?}", spec.key);
        if skip {
            stopped.insert(spec.key.clone());
        }
    }
}

fn random_task(dice: &mut Dice, n: u64) -> TaskSpec {
    let mut needs = BTreeSet::new();
    for _ in 0..dice.below(4).min(n) {
        needs.insert(dice.below(n));
    }
    TaskSpec {
        needs: needs.iter().map(|need| format!("t{need}").as_str().into()).collect(),
        priority: i32::try_from(dice.below(3)).unwrap(),
        ..task(&format!("t{n}"))
    }
}
