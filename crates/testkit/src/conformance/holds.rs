//! Cases: pauses and waits, and how they end.

use wheelhouse_core::event::Happened;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Command, Reply, RunState};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;

use super::build::{needing, task};
use super::trial::{Trial, names};

pub(super) fn a_paused_run_starts_nothing_and_what_runs_goes_on(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let lease = t.claim_one("a").lease;
    t.apply(Command::PauseRun { run: r });
    assert_eq!(t.run(r).state, RunState::Paused);
    assert_eq!(t.states(r), "a:running b:held(paused)");
    assert_eq!(t.claim(9), []);
    t.end(lease, Outcome::Succeeded);
    t.reopen();
    assert_eq!(t.claim(9), []);
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(t.states(r), "a:succeeded b:ready");
    assert_eq!(names(&t.claim(9)), "b");
    assert_eq!(t.run_story(r), "run_submitted run_paused run_resumed");
    assert_eq!(
        t.story(r, "b"),
        "task_ready task_held task_released task_ready task_claimed"
    );
}

pub(super) fn promotion_in_a_paused_run_is_held(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    t.apply(Command::PauseRun { run: r });
    t.end(lease, Outcome::Succeeded);
    assert_eq!(t.task(r, "b").state, TaskState::Held(Held::Paused));
    assert_eq!(t.story(r, "b"), "task_held", "it was never ready");
    let tasks = vec![task("c"), needing("d", &["b"])];
    t.apply(Command::AddTasks { run: r, tasks });
    assert_eq!(t.states(r), "a:succeeded b:held(paused) c:held(paused) d:waiting(1)");
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(names(&t.claim(9)), "b c");
}

pub(super) fn waking_in_a_paused_run_is_held(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let claimed = t.claim(2);
    let at = Millis(t.clock.now().0 + 10);
    t.retry_at(&claimed[0], Outcome::Crashed, at, false);
    t.apply(Command::PauseRun { run: r });
    assert_eq!(
        t.states(r),
        "a:held(retry) b:running",
        "it waits for its own thing first"
    );
    t.advance_ms(10);
    let why = "tired".to_owned();
    let lease = claimed[1].lease;
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    assert_eq!(t.claim(9), []);
    assert_eq!(t.states(r), "a:held(paused) b:held(paused)");
    assert_eq!(t.story(r, "b"), "task_ready task_claimed task_returned task_held");
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(names(&t.claim(9)), "a b");
}

pub(super) fn pausing_and_resuming_twice_is_once(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    for command in [
        Command::ResumeRun { run: r },
        Command::PauseRun { run: r },
        Command::PauseRun { run: r },
        Command::ResumeRun { run: r },
        Command::ResumeRun { run: r },
    ] {
        assert_eq!(t.apply(command), Reply::Done);
    }
    assert_eq!(t.run_story(r), "run_submitted run_paused run_resumed");
    t.run_dry();
    t.illegal(Command::PauseRun { run: r });
    t.illegal(Command::ResumeRun { run: r });
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_pause_ends_with_the_last_task(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    t.apply(Command::PauseRun { run: r });
    t.end(lease, Outcome::Crashed);
    assert_eq!(t.run(r).state, RunState::Finished);
    let last = t.events(r).pop().unwrap().happened;
    assert_eq!(
        last,
        Happened::RunFinished {
            succeeded: 0,
            failed: 1
        }
    );
}

pub(super) fn a_held_conflict_of_a_paused_run_is_released_into_the_pause(t: &mut Trial) {
    let writing = |key: &str| TaskSpec {
        files: vec!["x".to_owned()],
        ..task(key)
    };
    let r = t.submit(vec![writing("a"), writing("b")]);
    let lease = t.claim_one("a").lease;
    t.claim(9);
    t.apply(Command::PauseRun { run: r });
    assert_eq!(t.states(r), "a:running b:held(conflict)");
    t.end(lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:held(paused)");
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(names(&t.claim(9)), "b");
}

pub(super) fn retries_wait_for_their_moment(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let claimed = t.claim_one("a");
    let until = Millis(t.clock.now().0 + 3_600_000);
    t.retry_at(&claimed, Outcome::Quota { resets_at: Some(until) }, until, true);
    assert_eq!(t.task(r, "a").state, TaskState::Held(Held::Quota { until }));
    t.reopen();
    assert_eq!(t.claim(9), []);
    t.clock.set(until);
    assert_eq!(names(&t.claim(9)), "a");
}
