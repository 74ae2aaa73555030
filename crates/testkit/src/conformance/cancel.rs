//! Cases: stopping tasks and runs.

use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Command, Next, Refused, Reply, RunState, Settlement};
use wheelhouse_core::time::Millis;

use super::build::{needing, task};
use super::trial::{LEASE_MS, Trial, claim_by, ended, settle};

pub(super) fn what_has_not_started_is_cancelled_at_once(t: &mut Trial) {
    let r = t.submit(vec![task("ready"), task("held"), needing("waiting", &["ready"])]);
    let claimed = t.claim(2);
    let later = Millis(t.clock.now().0 + 50);
    t.retry_at(&claimed[1], Outcome::Crashed, later, false);
    let lease = claimed[0].lease;
    let why = "not now".to_owned();
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    let waiting = t.id(r, "waiting");
    t.apply(Command::CancelTask { task: waiting });
    assert_eq!(t.states(r), "ready:ready held:held(retry) waiting:cancelled");
    let held = t.id(r, "held");
    t.apply(Command::CancelTask { task: held });
    t.advance_ms(50);
    // Nothing wakes that was cancelled.
    let (claimed, wake_at) = t.claim_as(claim_by("e1", 0));
    assert_eq!((claimed.len(), wake_at), (0, None));
    assert_eq!(t.states(r), "ready:ready held:cancelled waiting:cancelled");
    t.apply(Command::CancelRun { run: r });
    assert_eq!(t.states(r), "ready:cancelled held:cancelled waiting:cancelled");
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.run(r).counts.cancelled, 3);
    assert_eq!(t.run_story(r), "run_submitted run_cancelled run_finished");
    assert_eq!(t.claim(9), []);
}

pub(super) fn what_runs_is_asked_to_stop(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let leases: Vec<_> = t.claim(2).iter().map(|task| task.lease).collect();
    let a = t.id(r, "a");
    for _ in 0..2 {
        assert_eq!(t.apply(Command::CancelTask { task: a }), Reply::Done);
    }
    assert_eq!(t.count(r, "cancel_requested"), 1, "asked twice is asked once");
    assert!(t.task(r, "a").cancel_requested);
    assert!(!t.task(r, "b").cancel_requested);
    assert_eq!(t.states(r), "a:running b:running");
    t.reopen();
    for _ in 0..2 {
        assert_eq!(t.beat(&leases, LEASE_MS), (vec![], vec![a]), "until it stops");
    }
    t.end(leases[0], Outcome::Cancelled);
    assert_eq!(t.states(r), "a:cancelled b:running");
}

pub(super) fn an_ack_racing_a_cancel_is_refused(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    let a = t.id(r, "a");
    // In one batch, the cancel first: the settlement behind it must not win.
    let answers = t.batch(&[
        Command::CancelTask { task: a },
        settle(lease, ended(Outcome::Succeeded)),
    ]);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refused::CancelRequested(a)));
    assert_eq!(t.states(r), "a:running b:waiting(1)");
    for outcome in [Outcome::Crashed, Outcome::Killed, Outcome::TimedOut] {
        assert_eq!(t.refused(settle(lease, ended(outcome))), Refused::CancelRequested(a));
    }
    t.end(lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "a:cancelled b:skipped(a)");
    // The other way round: what was done stays done.
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    let a = t.id(r, "a");
    let answers = t.batch(&[
        settle(lease, ended(Outcome::Succeeded)),
        Command::CancelTask { task: a },
    ]);
    assert!(answers[0].is_ok());
    assert!(matches!(answers[1], Err(Refused::Illegal(_))));
    assert_eq!(t.states(r), "a:succeeded b:ready");
}

pub(super) fn a_cancel_racing_a_promotion_wins_or_loses_whole(t: &mut Trial) {
    for cancel_first in [true, false] {
        let r = t.submit(vec![task("a"), needing("b", &["a"]), needing("c", &["b"])]);
        let lease = t.claim_one("a").lease;
        let b = t.id(r, "b");
        let mut batch = vec![
            Command::CancelTask { task: b },
            settle(lease, ended(Outcome::Succeeded)),
        ];
        if !cancel_first {
            batch.reverse();
        }
        assert!(t.batch(&batch).iter().all(Result::is_ok));
        assert_eq!(t.states(r), "a:succeeded b:cancelled c:skipped(b)");
        let story = if cancel_first {
            "task_done"
        } else {
            "task_ready task_done"
        };
        assert_eq!(t.story(r, "b"), story);
        assert_eq!(t.claim(9), []);
    }
}

pub(super) fn a_cancelled_run_ends_when_its_last_worker_does(t: &mut Trial) {
    let r = t.submit(vec![
        task("a"),
        task("b"),
        needing("c", &["a", "b"]),
        needing("d", &["c"]),
    ]);
    let lease = t.claim_one("a").lease;
    let a = t.id(r, "a");
    t.apply(Command::CancelRun { run: r });
    assert_eq!(t.states(r), "a:running b:cancelled c:cancelled d:cancelled");
    assert_eq!(t.run(r).state, RunState::Active);
    assert_eq!(t.claim(9), []);
    assert_eq!(t.beat(&[lease], LEASE_MS), (vec![], vec![a]));
    t.end(lease, Outcome::Cancelled);
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.run(r).counts.cancelled, 4);
    assert_eq!(t.run_story(r), "run_submitted run_cancelled run_finished");
}

pub(super) fn a_lost_worker_does_not_undo_a_cancel(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), task("c"), needing("d", &["c"])]);
    let leases: Vec<_> = t.claim(3).iter().map(|task| task.lease).collect();
    t.apply(Command::CancelRun { run: r });
    let why = "cannot go on".to_owned();
    let lease = leases[0];
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    assert_eq!(t.beat(&[leases[2]], 10 * LEASE_MS).0, []);
    t.advance_ms(LEASE_MS);
    let returned = t.returned(Command::ExpireLeases);
    assert_eq!(returned.len(), 1, "its process is named all the same");
    t.reopen();
    let me = claim_by("e2", 1).owner;
    let returned = t.returned(Command::Recover { me, go_on: true });
    assert_eq!(returned.len(), 1);
    assert_eq!(t.states(r), "a:cancelled b:cancelled c:cancelled d:cancelled");
    assert_eq!(
        t.story(r, "b"),
        "task_ready task_claimed cancel_requested task_returned task_done"
    );
    assert_eq!(t.run(r).state, RunState::Finished);
    assert_eq!(t.claim(9), []);
}

pub(super) fn a_cancelled_settlement_is_the_end(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let a = t.id(r, "a");
    t.apply(Command::CancelTask { task: a });
    let next = Next::TryAt {
        at: t.clock.now(),
        link: 0,
        agent: "exec".into(),
        quota: false,
    };
    let outcome = Outcome::Cancelled;
    t.settle(lease, Settlement { next, ..ended(outcome) });
    assert_eq!(t.states(r), "a:cancelled", "nobody tries again what somebody stopped");
}

pub(super) fn cancelling_what_is_over_is_refused(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let a = t.claim_one("a").lease;
    t.end(a, Outcome::Succeeded);
    t.illegal(Command::CancelTask { task: a.task });
    t.run_dry();
    let story = t.events(r);
    t.illegal(Command::CancelRun { run: r });
    t.illegal(Command::CancelTask { task: a.task });
    assert_eq!(t.states(r), "a:succeeded b:succeeded");
    assert_eq!(t.events(r), story);
}
