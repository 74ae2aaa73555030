//! Cases: tasks that are workflows, and their children.

use std::sync::Arc;

use wheelhouse_core::budget::{Scope, Terms};
use wheelhouse_core::ids::{Lease, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{BudgetLimit, TaskSpec};
use wheelhouse_core::store::{ClaimRequest, Command, Refused, Reply, RunState};
use wheelhouse_core::workflow::map::{Map, Over};
use wheelhouse_core::workflow::{Flow, Workflow};

use super::build::{needing, task};
use super::trial::{Trial, claim_by, names};

/// A task that is a workflow; which one, no store cares.
fn workflow(key: &str) -> TaskSpec {
    let map = Map {
        over: Over::Items(Vec::new()),
        reserve: Vec::new(),
        hands: Vec::new(),
        in_flight: 1,
        failures_max: 0,
        reduce: None,
    };
    TaskSpec {
        agent: "workflow".into(),
        flow: Flow {
            workflow: Some(Box::new(Workflow::Map(map))),
            ..Flow::default()
        },
        ..task(key)
    }
}

fn child(parent: &str, step: &str) -> TaskSpec {
    TaskSpec {
        flow: Flow {
            parent: Some(TaskKey::from(parent)),
            ..Flow::default()
        },
        ..task(&format!("{parent}.{step}"))
    }
}

fn waits(lease: Lease, children: Vec<TaskSpec>, open_max: u32) -> Command {
    Command::Await {
        lease,
        children,
        open_max,
    }
}

pub(super) fn a_workflow_waits_for_its_children_and_goes_on_under_its_try(t: &mut Trial) {
    let r = t.submit(vec![workflow("w"), needing("after", &["w"])]);
    let first = t.claim_one("w");
    assert_eq!(
        t.apply(waits(first.lease, vec![child("w", "a"), child("w", "b")], 0)),
        Reply::Done
    );
    assert_eq!(t.states(r), "w:waiting(2) after:waiting(1) w.a:ready w.b:ready");
    assert_eq!(t.task(r, "w").waits_for, ["w.a".into(), "w.b".into()]);
    assert_eq!(t.task(r, "w.a").parent, Some("w".into()));
    let claimed = t.claim(9);
    assert_eq!(names(&claimed), "w.a w.b");
    t.end(claimed[0].lease, Outcome::Crashed);
    assert_eq!(
        t.states(r),
        "w:waiting(1) after:waiting(1) w.a:crashed w.b:running",
        "a child that failed skips nothing: what follows is the workflow's to say"
    );
    t.end(claimed[1].lease, Outcome::Succeeded);
    let again = t.claim_one("w");
    assert_eq!(
        (again.attempt, again.lease.fence),
        (1, 2),
        "the same try, another claim"
    );
    let children = t.reader().children(again.lease.task).unwrap();
    let keys: Vec<&str> = children.iter().map(|child| child.key.as_str()).collect();
    assert_eq!(keys, ["w.a", "w.b"]);
    t.end(again.lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "w:succeeded after:ready w.a:crashed w.b:succeeded");
    t.run_dry();
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn some_children_may_still_be_open(t: &mut Trial) {
    let r = t.submit(vec![workflow("w")]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "1"), child("w", "2"), child("w", "3")], 2));
    assert_eq!(t.states(r), "w:waiting(1) w.1:ready w.2:ready w.3:ready");
    let claimed = t.claim(9);
    t.end(claimed[1].lease, Outcome::Succeeded);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "4")], 3));
    assert_eq!(
        t.task(r, "w").state.name(),
        "ready",
        "no more are open than may be: at once again"
    );
    let lease = t
        .claim(9)
        .into_iter()
        .find(|one| one.spec.key.as_str() == "w")
        .unwrap()
        .lease;
    t.apply(waits(lease, Vec::new(), 0));
    assert_eq!(t.task(r, "w").waits_for, ["w.1".into(), "w.3".into(), "w.4".into()]);
}

pub(super) fn children_come_with_the_wait_or_not_at_all(t: &mut Trial) {
    let r = t.submit(vec![workflow("w"), task("w.a")]);
    let lease = t.claim_one("w").lease;
    let refused = t.refused(waits(lease, vec![child("w", "b"), child("w", "a")], 0));
    assert_eq!(refused, Refused::DuplicateKey("w.a".into()));
    assert_eq!(t.states(r), "w:running w.a:ready");
    t.apply(waits(lease, vec![child("w", "b")], 0));
    t.reopen();
    assert_eq!(t.states(r), "w:waiting(1) w.a:ready w.b:ready", "a crash loses neither");
    let refused = t.refused(waits(lease, vec![child("w", "c")], 0));
    assert!(matches!(refused, Refused::LostLease(_)), "{refused:?}");
    let children = t.id(r, "w");
    let children = t.reader().children(children).unwrap();
    assert_eq!(children.len(), 1, "a task that is only called like a child is none");
}

pub(super) fn cancelling_a_workflow_cancels_what_it_began(t: &mut Trial) {
    let r = t.submit(vec![workflow("w"), needing("after", &["w"])]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "a"), child("w", "b")], 0));
    let running = t.claim(1).remove(0);
    let w = t.id(r, "w");
    t.apply(Command::CancelTask { task: w });
    assert_eq!(t.states(r), "w:cancelled after:skipped(w) w.a:running w.b:cancelled");
    t.end(running.lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "w:cancelled after:skipped(w) w.a:cancelled w.b:cancelled");
    assert_eq!(t.run(r).state, RunState::Finished);
}

pub(super) fn a_workflow_that_is_to_stop_adds_nothing(t: &mut Trial) {
    let r = t.submit(vec![workflow("w")]);
    let lease = t.claim_one("w").lease;
    let w = t.id(r, "w");
    t.apply(Command::CancelTask { task: w });
    let refused = t.refused(waits(lease, vec![child("w", "a")], 0));
    assert_eq!(refused, Refused::CancelRequested(w));
    t.end(lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "w:cancelled");
}

pub(super) fn a_run_with_a_workflow_is_cancelled_whole(t: &mut Trial) {
    let r = t.submit(vec![workflow("w")]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "a"), child("w", "b")], 0));
    let running = t.claim(1).remove(0);
    t.apply(Command::CancelRun { run: r });
    t.end(running.lease, Outcome::Cancelled);
    assert_eq!(t.states(r), "w:cancelled w.a:cancelled w.b:cancelled");
}

pub(super) fn a_workflow_is_retried_and_its_children_are_not(t: &mut Trial) {
    let r = t.submit(vec![workflow("w")]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "a")], 0));
    let a = t.claim_one("w.a");
    t.end(a.lease, Outcome::Crashed);
    t.illegal(Command::RetryTask { task: a.lease.task });
    let lease = t.claim_one("w").lease;
    t.end(lease, Outcome::GateFailed);
    t.apply(Command::RetryRun { run: r });
    assert_eq!(t.states(r), "w:ready w.a:crashed");
    let again = t.claim_one("w");
    assert_eq!(again.attempt, 2);
    t.apply(waits(again.lease, vec![child("w", "try2.a")], 0));
    assert_eq!(t.states(r), "w:waiting(1) w.a:crashed w.try2.a:ready");
    t.run_dry();
}

pub(super) fn a_paused_run_holds_a_workflow_that_could_go_on(t: &mut Trial) {
    let r = t.submit(vec![workflow("w")]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "a")], 0));
    let a = t.claim_one("w.a");
    t.apply(Command::PauseRun { run: r });
    t.end(a.lease, Outcome::Succeeded);
    assert_eq!(t.states(r), "w:held(paused) w.a:succeeded");
    t.apply(Command::ResumeRun { run: r });
    assert_eq!(t.claim_one("w").attempt, 1);
}

pub(super) fn children_are_held_to_the_budget_of_their_workflow(t: &mut Trial) {
    let spec = TaskSpec {
        budget: Some(BudgetLimit { cost_nano: 1_000 }),
        ..workflow("w")
    };
    let r = t.submit(vec![spec]);
    let lease = t.claim_one("w").lease;
    t.apply(waits(lease, vec![child("w", "a"), child("w", "b")], 0));
    let terms = Terms {
        default_nano: 800,
        safety_percent: 0,
        ..Terms::default()
    };
    let claimed = t
        .claim_as(ClaimRequest {
            terms: Arc::new(terms),
            ..claim_by("e1", 9)
        })
        .0;
    assert_eq!(names(&claimed), "w.a", "what is left is not enough for another");
    assert_eq!(claimed[0].granted_nano, Some(800));
    let w = t.id(r, "w");
    assert_eq!(t.states(r), "w:waiting(2) w.a:running w.b:held(budget)");
    let budgets = t.reader().budgets(t.clock.now()).unwrap();
    let of_it = budgets.iter().find(|budget| budget.scope == Scope::Task(w)).unwrap();
    assert_eq!((of_it.limit_nano, of_it.reserved_nano), (1_000, 800));
}
