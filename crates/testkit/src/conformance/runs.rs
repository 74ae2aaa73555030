//! Cases: runs as wholes.

use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{RunId, TaskId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Counts, Refused, RunState};
use wheelhouse_core::time::Millis;

use super::build::{needing, run, task};
use super::trial::{Trial, names};

pub(super) fn a_run_finishes_with_its_last_task(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), needing("c", &["b"]), task("d")]);
    let claimed = t.claim(9);
    t.end(claimed[0].lease, Outcome::Succeeded);
    t.end(claimed[1].lease, Outcome::Crashed);
    assert_eq!((t.run(r).state, t.run(r).finished_at), (RunState::Active, None));
    t.advance_ms(77);
    t.end(claimed[2].lease, Outcome::Cancelled);
    let view = t.run(r);
    assert_eq!(
        (view.state, view.finished_at),
        (RunState::Finished, Some(t.clock.now()))
    );
    let last = t.events(r).pop().unwrap();
    let finished = Happened::RunFinished {
        succeeded: 1,
        failed: 3,
    };
    assert_eq!((last.happened, last.at), (finished, t.clock.now()));
}

pub(super) fn counts_follow_every_state(t: &mut Trial) {
    let r = t.submit(vec![
        task("fails"),
        task("stopped"),
        task("runs"),
        task("held"),
        task("works"),
        needing("skipped", &["fails"]),
        needing("waits", &["runs"]),
        needing("ready", &["works"]),
    ]);
    let claimed = t.claim(5);
    t.end(claimed[0].lease, Outcome::Killed);
    t.end(claimed[1].lease, Outcome::Cancelled);
    let later = Millis(t.clock.now().0 + 1);
    t.retry_at(&claimed[3], Outcome::Stalled, later, false);
    t.end(claimed[4].lease, Outcome::Succeeded);
    let counts = Counts {
        waiting: 1,
        ready: 1,
        running: 1,
        held: 1,
        succeeded: 1,
        failed: 1,
        skipped: 1,
        cancelled: 1,
    };
    assert_eq!(t.run(r).counts, counts);
    t.reopen();
    assert_eq!(t.run(r).counts, counts);
}

pub(super) fn two_runs_do_not_mix(t: &mut Trial) {
    let one = t.submit_run(run("one"), vec![task("a"), needing("b", &["a"])]);
    let two = t.submit_run(run("two"), vec![task("a"), needing("b", &["a"])]);
    let claimed = t.claim(2);
    assert_eq!((claimed[0].run, claimed[1].run), (one, two));
    t.end(claimed[0].lease, Outcome::Crashed);
    t.apply(Command::PauseRun { run: two });
    assert_eq!(t.states(one), "a:crashed b:skipped(a)");
    assert_eq!(t.states(two), "a:running b:waiting(1)");
    t.apply(Command::RetryRun { run: one });
    assert_eq!(names(&t.claim(9)), "a");
    t.apply(Command::CancelRun { run: one });
    assert_eq!(t.states(two), "a:running b:waiting(1)");
    assert_eq!(t.run(two).state, RunState::Paused);
}

pub(super) fn unknown_ids_are_refused(t: &mut Trial) {
    t.submit(vec![task("a")]);
    let (run, task) = (RunId(9), TaskId(9));
    for command in [
        Command::AddTasks { run, tasks: vec![] },
        Command::PauseRun { run },
        Command::ResumeRun { run },
        Command::CancelRun { run },
        Command::RetryRun { run },
    ] {
        assert_eq!(t.refused(command), Refused::NoSuchRun(run));
    }
    for command in [Command::CancelTask { task }, Command::RetryTask { task }] {
        assert_eq!(t.refused(command), Refused::NoSuchTask(task));
    }
}
