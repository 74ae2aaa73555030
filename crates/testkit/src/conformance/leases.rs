//! Cases: who may write about a running task. Most queues fail at least one of these.

use wheelhouse_core::ids::Lease;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{AttemptStart, ClaimRequest, Command, Refused};
use wheelhouse_core::time::Millis;

use super::build::{needing, task};
use super::trial::{LEASE_MS, Trial, claim_by, ended, names, settle};

pub(super) fn a_stale_ack_after_a_reclaim_is_refused(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let stale = t.claim_one("a").lease;
    t.advance_ms(LEASE_MS);
    t.returned(Command::ExpireLeases);
    let (fresh, _) = t.claim_as(claim_by("e2", 1));
    let refused = t.refused(settle(stale, ended(Outcome::Crashed)));
    assert_eq!(refused, Refused::LostLease(stale));
    assert_eq!(t.states(r), "a:running b:waiting(1)");
    t.end(fresh[0].lease, Outcome::Succeeded);
    assert_eq!(
        t.refused(settle(stale, ended(Outcome::Crashed))),
        Refused::LostLease(stale)
    );
    assert_eq!(t.states(r), "a:succeeded b:ready");
    assert_eq!(t.count(r, "attempt_ended"), 1);
}

pub(super) fn an_ack_after_expiry_is_refused_without_a_reclaim(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    t.advance_ms(LEASE_MS);
    // Nobody has looked yet; the lease is over all the same.
    assert_eq!(
        t.refused(settle(lease, ended(Outcome::Succeeded))),
        Refused::LostLease(lease)
    );
    assert_eq!(t.states(r), "a:running");
    let returned = t.returned(Command::ExpireLeases);
    assert_eq!(returned.len(), 1);
    assert_eq!(t.story(r, "a"), "task_ready task_claimed task_returned task_ready");
}

pub(super) fn a_renewal_after_expiry_is_refused(t: &mut Trial) {
    t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    t.advance_ms(LEASE_MS);
    assert_eq!(t.beat(&[lease], LEASE_MS), (vec![lease], vec![]));
    assert_eq!(
        t.refused(settle(lease, ended(Outcome::Succeeded))),
        Refused::LostLease(lease)
    );
}

pub(super) fn a_heartbeat_prolongs_the_lease(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let leases: Vec<Lease> = t.claim(2).iter().map(|task| task.lease).collect();
    for _ in 0..5 {
        t.advance_ms(LEASE_MS - 1);
        assert_eq!(t.beat(&leases, LEASE_MS), (vec![], vec![]));
        assert_eq!(t.returned(Command::ExpireLeases), []);
    }
    t.end(leases[0], Outcome::Succeeded);
    let nobody = Lease {
        task: leases[1].task,
        fence: 99,
    };
    assert_eq!(
        t.beat(&[leases[0], leases[1], nobody], LEASE_MS),
        (vec![leases[0], nobody], vec![]),
        "each lease is answered for itself"
    );
    assert_eq!(t.states(r), "a:succeeded b:running");
}

pub(super) fn the_same_worker_restarted_is_somebody_else(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let before = t.claim_one("a").lease;
    t.advance_ms(LEASE_MS);
    t.returned(Command::ExpireLeases);
    // Claimed again under the very same name: the fence decides, never the name.
    let after = t.claim_one("a").lease;
    assert_ne!(before.fence, after.fence);
    assert_eq!(
        t.refused(settle(before, ended(Outcome::Succeeded))),
        Refused::LostLease(before)
    );
    assert_eq!(t.states(r), "a:running");
    t.end(after, Outcome::Succeeded);
}

pub(super) fn a_draining_process_of_the_same_name_cannot_write(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let old = t.claim_one("a").lease;
    let why = "shutting down".to_owned();
    t.apply(Command::Return {
        lease: old,
        why,
        spending: Spending::default(),
    });
    let new = t.claim_one("a").lease;
    // What the old process still has in its pipe:
    let start = AttemptStart::default();
    assert_eq!(t.refused(Command::Start { lease: old, start }), Refused::LostLease(old));
    assert_eq!(t.beat(&[old], LEASE_MS), (vec![old], vec![]));
    let why = "shutting down".to_owned();
    assert_eq!(
        t.refused(Command::Return {
            lease: old,
            why,
            spending: Spending::default()
        }),
        Refused::LostLease(old)
    );
    assert_eq!(t.states(r), "a:running b:ready");
    assert_eq!(t.beat(&[new], LEASE_MS), (vec![], vec![]));
}

pub(super) fn a_lease_ends_at_its_moment_exactly(t: &mut Trial) {
    t.submit(vec![task("a"), task("b"), task("c")]);
    let request = |lease_ms| ClaimRequest {
        lease_ms,
        ..claim_by("e1", 1)
    };
    let (a, _) = t.claim_as(request(10));
    let (b, _) = t.claim_as(request(11));
    let (c, _) = t.claim_as(request(0));
    assert_eq!(
        t.returned(Command::ExpireLeases).len(),
        1,
        "a lease of no time is over at once"
    );
    assert_eq!(names(&c), "c");
    t.advance_ms(10);
    assert_eq!(t.beat(&[a[0].lease, b[0].lease], 1), (vec![a[0].lease], vec![]));
    let returned = t.returned(Command::ExpireLeases);
    assert_eq!(
        returned.iter().map(|task| task.task).collect::<Vec<_>>(),
        [a[0].lease.task]
    );
}

pub(super) fn a_clock_set_back_stretches_no_wait(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let start = t.clock.now();
    let (a, b) = (t.claim_one("a"), t.claim_one("b").lease);
    t.retry_at(&a, Outcome::Crashed, Millis(start.0 + 1_000), false);
    t.clock.set(Millis(start.0 - 3_600_000));
    // No lease ends early, and none lives an hour longer; a retry is not an hour late.
    assert_eq!(t.returned(Command::ExpireLeases), []);
    assert_eq!(t.claim(0), []);
    t.advance_ms(1_000);
    assert_eq!(names(&t.claim(1)), "a");
    t.advance_ms(LEASE_MS - 1_000);
    assert_eq!(t.refused(settle(b, ended(Outcome::Succeeded))), Refused::LostLease(b));
    assert_eq!(t.returned(Command::ExpireLeases).len(), 1);
    t.reopen();
    t.run_dry();
    assert_eq!(t.states(r), "a:running b:succeeded");
    // The audit after the case sees that no event is older than the one before it.
}

pub(super) fn a_clock_that_jumps_ahead_voids_leases_and_loses_no_work(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let leases: Vec<Lease> = t.claim(2).iter().map(|task| task.lease).collect();
    t.advance_ms(86_400_000);
    for lease in leases {
        let late = settle(lease, ended(Outcome::Succeeded));
        assert_eq!(t.refused(late), Refused::LostLease(lease));
    }
    assert_eq!(t.returned(Command::ExpireLeases).len(), 2);
    t.run_dry();
    assert_eq!(t.states(r), "a:succeeded b:succeeded");
}

pub(super) fn every_write_needs_the_lease(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("ready")]);
    let good = t.claim_one("a").lease;
    let ready = Lease {
        task: t.id(r, "ready"),
        fence: 0,
    };
    let wrong_fences = [good.fence - 1, good.fence + 1];
    let wrong = wrong_fences.map(|fence| Lease { fence, ..good });
    let nobody = Lease {
        task: wheelhouse_core::ids::TaskId(999),
        fence: 1,
    };
    let story = t.events(r);
    for lease in [wrong[0], wrong[1], ready, nobody] {
        let start = AttemptStart::default();
        let (kind, text, why) = ("tool".to_owned(), "ls".to_owned(), "bored".to_owned());
        for command in [
            Command::Start { lease, start },
            Command::Report { lease, kind, text },
            settle(lease, ended(Outcome::Succeeded)),
            Command::Return {
                lease,
                why,
                spending: Spending::default(),
            },
        ] {
            assert_eq!(t.refused(command), Refused::LostLease(lease));
        }
        assert_eq!(t.beat(&[lease], LEASE_MS).0, [lease]);
    }
    assert_eq!(t.events(r), story, "nothing was written");
}

pub(super) fn a_settled_task_cannot_be_settled_again(t: &mut Trial) {
    let r = t.submit(vec![task("a"), needing("b", &["a"])]);
    let lease = t.claim_one("a").lease;
    // Twice in one batch, then once more: the first one counts.
    let answers = t.batch(&[
        settle(lease, ended(Outcome::Succeeded)),
        settle(lease, ended(Outcome::Crashed)),
    ]);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refused::LostLease(lease)));
    t.reopen();
    assert_eq!(
        t.refused(settle(lease, ended(Outcome::Crashed))),
        Refused::LostLease(lease)
    );
    assert_eq!(t.states(r), "a:succeeded b:ready");
    assert_eq!((t.count(r, "attempt_ended"), t.count(r, "task_done")), (1, 1));
}

pub(super) fn one_timeout_in_a_leased_batch_hurts_no_neighbour(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), task("c")]);
    let leases: Vec<Lease> = t.claim(3).iter().map(|task| task.lease).collect();
    t.advance_ms(LEASE_MS - 1);
    // b is the one that hangs.
    assert_eq!(t.beat(&[leases[0], leases[2]], LEASE_MS), (vec![], vec![]));
    t.advance_ms(1);
    let returned = t.returned(Command::ExpireLeases);
    assert_eq!(
        returned.iter().map(|task| task.task).collect::<Vec<_>>(),
        [leases[1].task]
    );
    assert_eq!(t.states(r), "a:running b:ready c:running");
    let answers = t.batch(&[
        settle(leases[0], ended(Outcome::Succeeded)),
        settle(leases[1], ended(Outcome::Succeeded)),
        settle(leases[2], ended(Outcome::Succeeded)),
    ]);
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
    assert_eq!(t.states(r), "a:succeeded b:ready c:succeeded");
}

pub(super) fn the_reaper_finds_the_expired_behind_ten_thousand_live_ones(t: &mut Trial) {
    const LIVE: u32 = 10_050;
    let tasks = (0..LIVE + 1).map(|n| task(&format!("t{n}"))).collect();
    let r = t.submit(tasks);
    let live = ClaimRequest {
        lease_ms: 10 * LEASE_MS,
        ..claim_by("e1", LIVE)
    };
    assert_eq!(t.claim_as(live).0.len(), LIVE as usize);
    let last = t.claim(1).remove(0);
    t.advance_ms(LEASE_MS);
    let returned = t.returned(Command::ExpireLeases);
    assert_eq!(
        returned.iter().map(|task| task.task).collect::<Vec<_>>(),
        [last.lease.task]
    );
    assert_eq!(t.run(r).counts.running, u64::from(LIVE));
}

pub(super) fn a_task_given_back_is_ready_at_once(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let why = "the engine is going down".to_owned();
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    assert_eq!(t.states(r), "a:ready");
    let events = t.events(r);
    let told = events.iter().any(|event| {
        matches!(&event.happened, wheelhouse_core::event::Happened::TaskReturned { fence, why }
            if *fence == lease.fence && why == "the engine is going down")
    });
    assert!(told, "{events:?}");
    assert_eq!(t.story(r, "a"), "task_ready task_claimed task_returned task_ready");
}

pub(super) fn fences_grow_with_every_claim(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b")]);
    let mut last = 0;
    for _ in 0..4 {
        let claimed = t.claim_one("a");
        assert_eq!(claimed.lease.fence, last + 1, "counted per task");
        last = claimed.lease.fence;
        let why = "again".to_owned();
        let lease = claimed.lease;
        t.apply(Command::Return {
            lease,
            why,
            spending: Spending::default(),
        });
        t.reopen();
    }
    assert_eq!(t.task(r, "a").fence, 4);
    assert_eq!(t.task(r, "b").fence, 0);
}
