//! Cases: trying again what is over.

use wheelhouse_core::ids::RunId;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Next, Reply, RunState, Settlement};

use super::build::{needing, task};
use super::trial::{Trial, ended, names};

/// Ends the tasks that can be taken: those named with a crash, the others with success.
fn crash(t: &mut Trial, failing: &[&str]) {
    for claimed in t.claim(99) {
        let fails = failing.contains(&claimed.spec.key.as_str());
        let outcome = if fails { Outcome::Crashed } else { Outcome::Succeeded };
        t.end(claimed.lease, outcome);
    }
}

fn retry(t: &mut Trial, run: RunId, key: &str) -> Reply {
    let task = t.id(run, key);
    t.apply(Command::RetryTask { task })
}

pub(super) fn a_failed_task_is_tried_again(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("keep")]);
    let first = t.claim_one("a");
    t.retry_at(&first, Outcome::Crashed, t.clock.now(), false);
    let second = t.claim_one("a");
    t.end(second.lease, Outcome::Crashed);
    assert_eq!(retry(t, r, "a"), Reply::Done);
    let view = t.task(r, "a");
    assert_eq!((view.done_at, view.attempt), (None, 2));
    assert_eq!(t.states(r), "a:ready keep:ready");
    let third = t.claim_one("a");
    assert_eq!((third.attempt, third.on_agent), (3, 1), "with fresh tries");
    t.end(third.lease, Outcome::Succeeded);
    assert_eq!(
        t.story(r, "a"),
        "task_ready task_claimed attempt_ended task_held task_released task_ready task_claimed attempt_ended \
         task_done task_retried task_ready task_claimed attempt_ended task_done"
    );
}

pub(super) fn its_skipped_dependants_wait_again(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        task("ok"),
        needing("b", &["a", "ok"]),
        needing("c", &["b", "a"]),
        needing("d", &["ok"]),
    ]);
    crash(t, &["a"]);
    assert_eq!(t.states(r), "a:crashed ok:succeeded b:skipped(a) c:skipped(a) d:ready");
    retry(t, r, "a");
    assert_eq!(t.states(r), "a:ready ok:succeeded b:waiting(1) c:waiting(2) d:ready");
    assert_eq!(t.task(r, "b").done_at, None);
    assert_eq!(t.story(r, "b"), "task_done task_retried");
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 5);
}

pub(super) fn those_skipped_for_another_cause_stay(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), needing("a1", &["a"]), needing("b1", &["b"])]);
    crash(t, &["a", "b"]);
    retry(t, r, "a");
    assert_eq!(t.states(r), "a:ready b:crashed a1:waiting(1) b1:skipped(b)");
    t.run_dry();
    assert_eq!(t.states(r), "a:succeeded b:crashed a1:succeeded b1:skipped(b)");
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn two_causes_take_two_retries(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        task("b"),
        needing("both", &["a", "b"]),
        needing("end", &["both"]),
    ]);
    crash(t, &["a", "b"]);
    assert_eq!(t.states(r), "a:crashed b:crashed both:skipped(a) end:skipped(a)");
    // b still stands in the way, so nothing may wait for ever: it is skipped again, and the cause is named anew.
    retry(t, r, "a");
    assert_eq!(t.states(r), "a:ready b:crashed both:skipped(b) end:skipped(b)");
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
    retry(t, r, "b");
    assert_eq!(t.states(r), "a:succeeded b:ready both:waiting(1) end:waiting(1)");
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 4);
}

pub(super) fn a_task_behind_a_failure_cannot_be_retried(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"]), needing("c", &["b"])]);
    crash(t, &["a"]);
    for key in ["b", "c"] {
        let task = t.id(r, key);
        t.illegal(Command::RetryTask { task });
    }
    assert_eq!(t.states(r), "a:crashed b:skipped(a) c:skipped(a)");
    assert_eq!(t.run(r).state, RunState::Finished, "nothing was opened");
}

pub(super) fn a_succeeded_or_open_task_cannot_be_retried(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), needing("c", &["b"])]);
    let a = t.claim_one("a").lease;
    for key in ["a", "b", "c"] {
        let task = t.id(r, key);
        t.illegal(Command::RetryTask { task });
    }
    t.end(a, Outcome::Succeeded);
    t.illegal(Command::RetryTask { task: a.task });
    assert_eq!(t.states(r), "a:succeeded b:ready c:waiting(1)");
    assert_eq!(t.count(r, "task_retried"), 0);
}

pub(super) fn a_run_is_retried_whole(t: &mut Trial) {
    let r = t.submit(vec![
        needing("late", &["b", "ok"]),
        task("a"),
        task("b"),
        task("ok"),
        needing("a1", &["a"]),
        task("stopped"),
    ]);
    let stopped = t.id(r, "stopped");
    t.apply(Command::CancelTask { task: stopped });
    crash(t, &["a", "b"]);
    assert_eq!(
        t.states(r),
        "late:skipped(b) a:crashed b:crashed ok:succeeded a1:skipped(a) stopped:cancelled"
    );
    assert_eq!(t.apply(Command::RetryRun { run: r }), Reply::Done);
    assert_eq!(
        t.states(r),
        "late:waiting(1) a:ready b:ready ok:succeeded a1:waiting(1) stopped:ready"
    );
    assert_eq!(t.run_story(r), "run_submitted run_finished run_reopened");
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 6);
    // Nothing to retry changes nothing.
    let story = t.events(r);
    assert_eq!(t.apply(Command::RetryRun { run: r }), Reply::Done);
    assert_eq!(t.events(r), story);
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_retry_of_a_continued_failure_does_not_release_early(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), task("x"), needing("c", &["a", "b", "x"])]);
    let claimed = t.claim(3);
    let next = Next::Done { continues: true };
    let outcome = Outcome::Crashed;
    t.settle(claimed[0].lease, Settlement { next, ..ended(outcome) });
    assert_eq!(t.states(r), "a:crashed b:running x:running c:waiting(2)");
    // Tried again, a is open again, and c counts it again.
    retry(t, r, "a");
    assert_eq!(t.states(r), "a:ready b:running x:running c:waiting(3)");
    let again = t.claim_one("a");
    t.end(again.lease, Outcome::Succeeded);
    t.end(claimed[1].lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:succeeded x:running c:waiting(1)");
    t.end(claimed[2].lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "a:succeeded b:succeeded x:succeeded c:ready");
}

pub(super) fn a_finished_run_is_opened_again(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    crash(t, &["a"]);
    t.reopen();
    retry(t, r, "a");
    let view = t.run(r);
    assert_eq!((view.state, view.finished_at), (RunState::Active, None));
    assert_eq!(names(&t.claim(9)), "a");
    assert_eq!(t.run_story(r), "run_submitted run_finished run_reopened");
}

pub(super) fn a_retry_in_a_paused_run_is_held(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let claimed = t.claim(2);
    t.end(claimed[0].lease, Outcome::Crashed);
    t.apply(Command::PauseRun { run: r });
    retry(t, r, "a");
    assert_eq!(t.states(r), "a:held(paused) b:running");
    assert_eq!(t.run(r).state, RunState::Paused);
    t.end(claimed[1].lease, Outcome::Succeeded);
    assert_eq!(t.run(r).state, RunState::Paused);
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(names(&t.claim(9)), "a");
}

pub(super) fn a_cancelled_task_can_be_retried(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    t.apply(Command::CancelRun { run: r });
    t.end(lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "a:cancelled b:cancelled");
    retry(t, r, "a");
    assert!(!t.task(r, "a").cancel_requested);
    assert_eq!(t.states(r), "a:ready b:cancelled", "b was cancelled for itself");
    let again = t.claim_one("a");
    assert_eq!(
        t.beat(&[again.lease], 1_000),
        (vec![], vec![]),
        "nobody wants it stopped now"
    );
    t.end(again.lease, Outcome::Succeeded);
    assert_eq!(t.run(r).state, RunState::Finished);
    retry(t, r, "b");
    assert_eq!(names(&t.claim(9)), "b");
}
