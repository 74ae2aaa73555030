//! Cases: which tasks a claim takes, and in which order.

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::{Cap, ClaimRequest, Command, Reply};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;

use super::build::{run, task};
use super::trial::{Trial, cap, claim_by, names};

fn with_priority(key: &str, priority: i32) -> TaskSpec {
    TaskSpec { priority, ..task(key) }
}

fn on(agent: &str, key: &str) -> TaskSpec {
    TaskSpec {
        agent: agent.into(),
        ..task(key)
    }
}

fn writing(key: &str, files: &[&str]) -> TaskSpec {
    TaskSpec {
        files: files.iter().map(|glob| (*glob).to_owned()).collect(),
        ..task(key)
    }
}

pub(super) fn highest_priority_first_then_oldest(t: &mut Trial) {
    t.submit(vec![
        with_priority("low", -3),
        with_priority("first", 0),
        with_priority("second", 0),
        with_priority("high", i32::MAX),
        with_priority("lowest", i32::MIN),
    ]);
    assert_eq!(names(&t.claim(3)), "high first second");
    assert_eq!(names(&t.claim(9)), "low lowest");
}

pub(super) fn priorities_hold_across_runs_and_agents(t: &mut Trial) {
    t.submit(vec![on("b", "b1"), on("a", "a1")]);
    let urgent = TaskSpec {
        priority: 1,
        ..on("z", "z1")
    };
    t.submit(vec![urgent, on("a", "a2")]);
    assert_eq!(names(&t.claim(9)), "z1 b1 a1 a2");
}

pub(super) fn no_more_than_the_limit(t: &mut Trial) {
    t.submit((0..5).map(|n| task(&format!("t{n}"))).collect());
    assert_eq!(t.claim(0), []);
    assert_eq!(names(&t.claim(2)), "t0 t1");
    assert_eq!(names(&t.claim(9)), "t2 t3 t4");
    assert_eq!(t.claim(9), []);
}

pub(super) fn caps_count_the_running_tasks_of_all_owners(t: &mut Trial) {
    let r = t.submit((0..4).map(|n| task(&format!("t{n}"))).collect());
    let request = |owner: &str, running_max| ClaimRequest {
        caps: vec![cap("exec", running_max)],
        ..claim_by(owner, 9)
    };
    let (first, _) = t.claim_as(request("e1", 2));
    assert_eq!(names(&first), "t0 t1");
    assert_eq!(t.claim_as(request("e2", 2)).0, []);
    assert_eq!(
        t.states(r),
        "t0:running t1:running t2:ready t3:ready",
        "at a cap work queues"
    );
    t.end(first[0].lease, Outcome::Succeeded);
    assert_eq!(names(&t.claim_as(request("e2", 2)).0), "t2");
    assert_eq!(t.claim_as(request("e1", 0)).0, []);
    assert_eq!(names(&t.claim_as(request("e1", 3)).0), "t3");
}

pub(super) fn a_cap_may_span_agents(t: &mut Trial) {
    t.submit(vec![
        on("x", "x1"),
        on("y", "y1"),
        on("x", "x2"),
        on("y", "y2"),
        on("z", "z1"),
    ]);
    let account = Cap {
        agents: vec!["x".into(), "y".into(), "x".into()],
        running_max: 3,
    };
    let request = ClaimRequest {
        caps: vec![account, cap("x", 1)],
        ..claim_by("e1", 9)
    };
    let (claimed, _) = t.claim_as(request.clone());
    assert_eq!(names(&claimed), "x1 y1 y2 z1");
    t.end(claimed[1].lease, Outcome::Succeeded);
    assert_eq!(t.claim_as(request.clone()).0, [], "one of x still runs");
    t.end(claimed[0].lease, Outcome::Succeeded);
    assert_eq!(names(&t.claim_as(request).0), "x2");
}

pub(super) fn a_stuck_head_does_not_block_those_behind_it(t: &mut Trial) {
    let mut tasks: Vec<TaskSpec> = (0..300).map(|n| on("slow", &format!("s{n}"))).collect();
    for task in &mut tasks {
        task.priority = 5;
    }
    tasks.push(on("quick", "q"));
    t.submit(tasks);
    let request = ClaimRequest {
        caps: vec![cap("slow", 1)],
        ..claim_by("e1", 2)
    };
    assert_eq!(names(&t.claim_as(request.clone()).0), "s0 q");
    assert_eq!(t.claim_as(request).0, []);
}

pub(super) fn overlapping_write_sets_do_not_run_together(t: &mut Trial) {
    let r = t.submit(vec![
        writing("a", &["src/auth/**"]),
        writing("b", &["docs/*.md", "src/**/mod.rs"]),
        writing("c", &["src/db/**"]),
        task("free"),
    ]);
    // c meets b only, and b does not run.
    assert_eq!(names(&t.claim(9)), "a c free");
    let with = TaskKey::from("a");
    assert_eq!(t.task(r, "b").state, TaskState::Held(Held::Conflict { with }));
    assert_eq!(t.story(r, "b"), "task_ready task_held");
}

pub(super) fn write_sets_hold_across_runs(t: &mut Trial) {
    t.submit(vec![writing("a", &["x"])]);
    let second = t.submit_run(run("other"), vec![writing("b", &["x"])]);
    assert_eq!(names(&t.claim(1)), "a");
    assert_eq!(t.claim_as(claim_by("e2", 9)).0, []);
    assert_eq!(t.states(second), "b:held(conflict)");
}

pub(super) fn a_conflict_ends_with_the_task_it_names(t: &mut Trial) {
    let r = t.submit(vec![writing("a", &["x"]), writing("b", &["x"])]);
    // However the running one leaves: each way is tried once, with the other task in line.
    let ways: [&dyn Fn(&mut Trial); 5] = [
        &|t| {
            let a = t.claim_one("a");
            t.claim(9);
            let why = "no time".to_owned();
            t.apply(Command::Return {
                lease: a.lease,
                why,
                spending: Spending::default(),
            });
        },
        &|t| {
            t.claim_one("a");
            t.claim(9);
            t.advance_ms(super::trial::LEASE_MS);
            t.returned(Command::ExpireLeases);
        },
        &|t| {
            t.claim_one("a");
            t.claim(9);
            let me = claim_by("e2", 0).owner;
            t.returned(Command::Recover { me, go_on: true });
        },
        &|t| {
            let a = t.claim_one("a");
            t.claim(9);
            let at = t.clock.now();
            t.retry_at(&a, Outcome::Crashed, at, false);
        },
        &|t| {
            let a = t.claim_one("a");
            t.claim(9);
            t.end(a.lease, Outcome::Succeeded);
        },
    ];
    for (place, way) in ways.iter().enumerate() {
        way(t);
        assert_eq!(t.states(r).split(' ').nth(1), Some("b:ready"), "way {place}");
        // The retry is due: it is woken before anything is taken.
        let expected = if place == 4 { "b" } else { "a" };
        assert_eq!(names(&t.claim(1)), expected, "way {place}");
        t.claim(9);
        let running = t.reader().tasks_in(r, "running", 9).unwrap().remove(0);
        let lease = wheelhouse_core::ids::Lease {
            task: running.id,
            fence: running.fence,
        };
        let why = "again".to_owned();
        t.apply(Command::Return {
            lease,
            why,
            spending: Spending::default(),
        });
    }
    assert_eq!(t.count(r, "task_held"), 10, "nine conflicts and one retry");
}

pub(super) fn one_claim_holds_a_bounded_number_of_conflicts(t: &mut Trial) {
    let mut tasks: Vec<TaskSpec> = (0..300).map(|n| writing(&format!("w{n}"), &["x"])).collect();
    tasks.push(task("free"));
    let r = t.submit(tasks);
    assert_eq!(names(&t.claim(1)), "w0");
    let first = t.claim(1);
    let held = t.run(r).counts.held;
    assert_eq!(held, 256, "no more than the limit in one claim");
    // The rest is looked at by the claims that follow; nothing starves.
    let second = t.claim(1);
    assert_eq!(names(&[first, second].concat()), "free");
    assert_eq!(t.run(r).counts.held, 299);
}

pub(super) fn a_held_task_wakes_at_its_moment(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let claimed = t.claim_one("a");
    let at = Millis(t.clock.now().0 + 1_000);
    t.retry_at(&claimed, Outcome::Overloaded, at, false);
    assert_eq!(t.task(r, "a").state, TaskState::Held(Held::Retry { until: at }));
    t.advance_ms(999);
    assert_eq!(t.claim(9), []);
    assert_eq!(t.states(r), "a:held(retry)");
    t.advance_ms(1);
    // A claim that takes nothing wakes all the same.
    assert_eq!(t.claim(0), []);
    assert_eq!(t.states(r), "a:ready");
    assert_eq!(names(&t.claim(9)), "a");
    assert_eq!(
        t.story(r, "a"),
        "task_ready task_claimed attempt_ended task_held task_released task_ready task_claimed"
    );
}

pub(super) fn a_claim_says_when_to_ask_again(t: &mut Trial) {
    t.submit(vec![task("a"), task("b"), task("c")]);
    t.advance_ms(1);
    let reply = t.apply(Command::Claim(claim_by("e1", 9)));
    let Reply::Claimed {
        tasks: claimed,
        wake_at,
        now,
        expire_at: None,
    } = reply
    else {
        panic!("{reply:?}")
    };
    assert_eq!((wake_at, now), (None, t.clock.now()), "by the store's clock");
    t.retry_at(&claimed[0], Outcome::Crashed, Millis(now.0 + 70), false);
    t.retry_at(
        &claimed[1],
        Outcome::Quota { resets_at: None },
        Millis(now.0 + 50),
        true,
    );
    assert_eq!(t.claim_as(claim_by("e1", 0)).1, Some(Millis(now.0 + 50)));
    t.advance_ms(60);
    let (claimed, wake_at) = t.claim_as(claim_by("e1", 9));
    assert_eq!(names(&claimed), "b");
    assert_eq!(wake_at, Some(Millis(now.0 + 70)));
}
