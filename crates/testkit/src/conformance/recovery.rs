//! Cases: what the next engine finds when one is gone.

use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::OwnerId;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Refused, Reply, RunState};

use super::build::{needing, standing, task};
use super::trial::{Trial, claim_by, ended, names, settle};

fn recover(me: &str, go_on: bool) -> Command {
    Command::Recover {
        me: OwnerId(me.to_owned()),
        go_on,
    }
}

pub(super) fn a_successor_takes_back_what_others_ran(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), needing("c", &["a"])]);
    let lease = t.claim_one("a").lease;
    t.reopen();
    // The lease is good for half a minute yet; the holder of the lock need not wait for that.
    let returned = t.returned(recover("e2", true));
    assert_eq!((returned.len(), returned[0].task), (1, lease.task));
    assert_eq!(t.states(r), "a:ready b:ready c:waiting(1)");
    assert_eq!(
        t.refused(settle(lease, ended(Outcome::Succeeded))),
        Refused::LostLease(lease)
    );
    assert_eq!(t.run(r).state, RunState::Active);
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 3);
}

pub(super) fn a_survivor_keeps_its_own(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let mine = t.claim_one("a").lease;
    t.claim_as(claim_by("e2", 1));
    let returned = t.returned(recover("e1", true));
    assert_eq!(returned.len(), 1);
    assert_eq!(t.states(r), "a:running b:ready");
    t.end(mine, Outcome::Succeeded);
}

pub(super) fn interrupted_runs_wait_for_resume(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), needing("c", &["a"])]);
    let done = t.submit(vec![]);
    t.claim_one("a");
    t.reopen();
    assert_eq!(t.returned(recover("e2", false)).len(), 1);
    assert_eq!(t.run(r).state, RunState::Interrupted);
    assert_eq!(t.run(done).state, RunState::Finished);
    assert_eq!(t.states(r), "a:held(paused) b:held(paused) c:waiting(1)");
    assert_eq!(t.claim(9), []);
    let paused = t
        .events(r)
        .into_iter()
        .find(|event| event.happened.name() == "run_paused");
    assert_eq!(paused.unwrap().happened, Happened::RunPaused { interrupted: true });
    assert_eq!(t.story(r, "a"), "task_ready task_claimed task_returned task_held");
    assert_eq!(t.apply(Command::ResumeInterrupted), Reply::Runs { runs: vec![r] });
    assert_eq!(t.run(r).state, RunState::Active);
    assert_eq!(names(&t.claim(9)), "a b");
    assert_eq!(t.apply(Command::ResumeInterrupted), Reply::Runs { runs: vec![] });
}

pub(super) fn an_idle_standing_run_is_not_interrupted(t: &mut Trial) {
    let idle = t.submit_run(standing("idle"), vec![]);
    let busy = t.submit_run(standing("busy"), vec![task("a")]);
    t.returned(recover("e2", false));
    assert_eq!(t.run(idle).state, RunState::Active);
    assert_eq!(t.run(busy).state, RunState::Interrupted);
    let tasks = vec![task("new")];
    t.apply(Command::AddTasks { run: idle, tasks });
    assert_eq!(names(&t.claim(9)), "new", "a task added after a restart starts");
}

pub(super) fn a_person_who_paused_is_not_overruled(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    t.apply(Command::PauseRun { run: r });
    t.returned(recover("e2", false));
    assert_eq!(t.run(r).state, RunState::Paused);
    assert_eq!(t.apply(Command::ResumeInterrupted), Reply::Runs { runs: vec![] });
    assert_eq!(t.claim(9), []);
    // An interrupted run that a person pauses is paused.
    let other = t.submit(vec![task("b")]);
    t.returned(recover("e3", false));
    t.apply(Command::PauseRun { run: other });
    assert_eq!(t.run(other).state, RunState::Paused);
    assert_eq!(t.apply(Command::ResumeInterrupted), Reply::Runs { runs: vec![] });
    t.apply(Command::ResumeRun { run: other });
    assert_eq!(names(&t.claim(9)), "b");
}

pub(super) fn recovery_twice_is_recovery_once(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    t.claim(2);
    // The successor dies in the middle of its recovery, and so does the next.
    for me in ["e2", "e3", "e4"] {
        t.reopen();
        let returned = t.returned(recover(me, false));
        assert_eq!(returned.len(), if me == "e2" { 2 } else { 0 });
        assert_eq!(t.states(r), "a:held(paused) b:held(paused)");
    }
    assert_eq!(t.run_story(r), "run_submitted run_paused");
    t.apply(Command::ResumeInterrupted);
    t.run_dry();
    assert_eq!(t.run(r).counts.succeeded, 2);
}

pub(super) fn a_crash_between_any_two_commands_loses_nothing(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        needing("b", &["a"]),
        needing("c", &["a"]),
        needing("d", &["b", "c"]),
    ]);
    let mut engine = 0;
    let mut steps = 0;
    // Each engine dies after one commit more than the one before got done; every second one right after a claim.
    while t.run(r).state != RunState::Finished {
        steps += 1;
        assert!(steps < 100, "no progress: {}", t.states(r));
        engine += 1;
        t.reopen();
        t.returned(recover(&format!("e{engine}"), true));
        for _ in 0..steps {
            let (claimed, _) = t.claim_as(claim_by(&format!("e{engine}"), 1));
            t.reopen();
            let Some(claimed) = claimed.first() else { break };
            if steps % 2 == 0 {
                t.end(claimed.lease, Outcome::Succeeded);
                t.reopen();
            }
        }
    }
    assert_eq!(t.states(r), "a:succeeded b:succeeded c:succeeded d:succeeded");
    assert_eq!(t.count(r, "attempt_ended"), 4, "each settled once");
}
