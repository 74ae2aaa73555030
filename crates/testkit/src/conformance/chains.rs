//! Cases: breakers that all workers of a store share, and tasks that go along their chain or wait.

use std::sync::Arc;

use wheelhouse_core::breaker::{Policy, State};
use wheelhouse_core::budget::{Payer, Terms};
use wheelhouse_core::chain::{Link, REPORT_KIND};
use wheelhouse_core::event::Happened;
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::quota;
use wheelhouse_core::spec::{TaskSpec, Work};
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, EndedBy, Next, Reply, Settlement, TaskResult};
use wheelhouse_core::time::Millis;

use super::build;
use super::trial::{Trial, claim_by, ended, names};
use crate::memory::BARRED_HOLDS_MAX;

fn terms() -> Terms {
    let payer = |provider: &str| Payer {
        provider: Some(provider.to_owned()),
        account: Some(format!("account of {provider}")),
        ..Payer::default()
    };
    Terms {
        payers: [
            ("smith".into(), payer("acme")),
            ("smithers".into(), payer("acme")),
            ("jones".into(), payer("umbrella")),
        ]
        .into(),
        breaker: Policy {
            streak_max: 2,
            open_ms: 1_000,
            open_max_ms: 4_000,
            probe_ms: 10_000,
            ..Policy::default()
        },
        ..Terms::default()
    }
}

fn prompt(key: &str, chain: &[&str]) -> TaskSpec {
    TaskSpec {
        work: Work::Prompt("do it".to_owned()),
        agent: chain[0].into(),
        fallback: chain[1..].iter().map(|agent| Link::from(*agent)).collect(),
        ..build::task(key)
    }
}

fn claim_of(t: &mut Trial, owner: &str, limit: u32) -> (Vec<Claimed>, Option<Millis>) {
    let request = ClaimRequest {
        terms: Arc::new(terms()),
        ..claim_by(owner, limit)
    };
    match t.apply(Command::Claim(request)) {
        Reply::Claimed { tasks, wake_at, .. } => (tasks, wake_at),
        other => panic!("{other:?}"),
    }
}

fn claim(t: &mut Trial, limit: u32) -> Vec<Claimed> {
    claim_of(t, "e1", limit).0
}

/// Lets the breaker of a provider open by tasks of their own.
fn open(t: &mut Trial, agent: &str) -> RunId {
    let run = t.submit(vec![prompt("x", &[agent]), prompt("y", &[agent])]);
    for claimed in claim(t, 9) {
        t.end(claimed.lease, Outcome::Overloaded);
    }
    run
}

fn told(t: &mut Trial, run: RunId) -> Vec<String> {
    let events = t.reader().events(Cursor(0), Some(run), 1_000).unwrap();
    let of_chain = events.into_iter().filter_map(|event| match event.happened {
        Happened::AttemptReported { kind, text, .. } if kind == REPORT_KIND => Some(text),
        _ => None,
    });
    of_chain.collect()
}

pub(super) fn a_breaker_holds_who_has_nobody_else_and_a_single_probe_decides(t: &mut Trial) {
    open(t, "smith");
    // One provider, one model, one credential: another agent that asks the same is barred too.
    let run = t.submit(vec![
        prompt("a", &["smith"]),
        prompt("b", &["smithers"]),
        prompt("c", &["jones"]),
    ]);
    let until = Millis(t.clock.now().0 + 1_000);
    t.reopen();
    let (claimed, wake_at) = claim_of(t, "e1", 9);
    assert_eq!((names(&claimed).as_str(), wake_at), ("c", Some(until)));
    assert_eq!(t.states(run), "a:held(retry) b:held(retry) c:running");
    assert_eq!(
        told(t, run),
        [
            "smith failed too often of late and is left alone for 1.0s",
            "smithers failed too often of late and is left alone for 1.0s"
        ]
    );
    t.advance_ms(1_000);
    let (probe, _) = claim_of(t, "e2", 9);
    assert_eq!(names(&probe), "a", "one probe among all workers");
    assert_eq!(t.states(run), "a:running b:held(retry) c:running");
    t.reopen();
    t.end(probe[0].lease, Outcome::Overloaded);
    // The probe's end lets the others look again; they find it open for twice as long.
    let (none, wake_at) = claim_of(t, "e1", 9);
    assert_eq!((names(&none).as_str(), wake_at), ("", Some(Millis(until.0 + 2_000))));
    t.advance_ms(2_000);
    let probe = claim(t, 9);
    assert_eq!(names(&probe), "b");
    t.end(probe[0].lease, Outcome::Succeeded);
    let breakers = t.reader().breakers().unwrap();
    let (subject, breaker) = &breakers[0];
    assert_eq!(
        (
            subject.provider.as_str(),
            subject.model.as_str(),
            subject.credential.as_str()
        ),
        ("acme", "default", "account of acme")
    );
    assert!(
        matches!(breaker.state(), State::Closed { streak: 0, .. }),
        "{breaker:?}"
    );
}

pub(super) fn those_who_wait_for_a_probe_go_on_with_its_end(t: &mut Trial) {
    open(t, "smith");
    let run = t.submit(vec![
        prompt("a", &["smith"]),
        prompt("b", &["smith"]),
        prompt("c", &["smith"]),
    ]);
    t.advance_ms(1_000);
    let probe = claim(t, 9);
    assert_eq!(names(&probe), "a");
    t.end(probe[0].lease, Outcome::Succeeded);
    assert_eq!(t.states(run), "a:succeeded b:ready c:ready");
    assert_eq!(names(&claim(t, 9)), "b c");
}

pub(super) fn a_probe_that_is_given_back_leaves_its_place_to_the_next(t: &mut Trial) {
    open(t, "smith");
    let run = t.submit(vec![prompt("a", &["smith"]), prompt("b", &["smith"])]);
    t.advance_ms(1_000);
    let probe = claim(t, 9);
    t.apply(Command::Return {
        lease: probe[0].lease,
        why: "stopped".to_owned(),
        spending: Spending::default(),
    });
    assert_eq!(t.states(run), "a:ready b:ready");
    assert_eq!(names(&claim(t, 9)), "a", "still one at a time");
}

pub(super) fn a_barred_link_is_passed_over_in_the_same_claim(t: &mut Trial) {
    open(t, "smith");
    let run = t.submit(vec![prompt("a", &["smith", "smithers", "jones"])]);
    let claimed = claim(t, 9);
    assert_eq!(names(&claimed), "a");
    assert_eq!(
        (claimed[0].agent.as_str(), claimed[0].link, claimed[0].on_agent),
        ("jones", 2, 1)
    );
    assert_eq!(told(t, run), ["smith cannot be asked now: on to jones (3 of 3)"]);
    t.end(claimed[0].lease, Outcome::Succeeded);
}

pub(super) fn a_failure_of_ours_says_nothing_about_the_agent(t: &mut Trial) {
    let run = t.submit(vec![
        prompt("a", &["smith"]),
        prompt("b", &["smith"]),
        prompt("c", &["smith"]),
    ]);
    // A tree that cannot be made, a disk that is full: whoever was to work there was not asked.
    for _ in 0..2 {
        let lease = claim(t, 1)[0].lease;
        let by = EndedBy::House;
        t.settle(
            lease,
            Settlement {
                by,
                ..ended(Outcome::Unavailable)
            },
        );
    }
    let claimed = claim(t, 1);
    assert_eq!(claimed[0].agent.as_str(), "smith");
    assert!(told(t, run).is_empty(), "nobody is left alone for it");
    t.end(claimed[0].lease, Outcome::Succeeded);
}

pub(super) fn a_link_has_its_own_model_and_its_own_count(t: &mut Trial) {
    let mut spec = prompt("a", &["smith"]);
    spec.fallback.push(Link {
        model: Some("large".to_owned()),
        ..Link::from("smith")
    });
    t.submit(vec![spec]);
    let first = claim(t, 9);
    let since = first[0].since;
    let next = Next::TryAt {
        at: t.clock.now(),
        link: 1,
        agent: "smith".into(),
        quota: false,
    };
    let outcome = Outcome::Overloaded;
    t.settle(first[0].lease, Settlement { next, ..ended(outcome) });
    t.advance_ms(10);
    let second = claim(t, 9);
    assert_eq!((second[0].link, second[0].on_agent, second[0].attempt), (1, 1, 2));
    assert_eq!(second[0].since, since, "its deadline runs on");
    t.end(second[0].lease, Outcome::Overloaded);
    let models: Vec<String> = t
        .reader()
        .breakers()
        .unwrap()
        .into_iter()
        .map(|(of, _)| of.model)
        .collect();
    assert_eq!(models, ["default", "large"]);
}

pub(super) fn a_deadline_does_not_run_while_a_task_is_put_off(t: &mut Trial) {
    t.submit(vec![prompt("a", &["nobodys"])]);
    let first = claim(t, 1);
    t.advance_ms(100);
    t.apply(Command::Return {
        lease: first[0].lease,
        why: "stopped".to_owned(),
        spending: Spending::default(),
    });
    t.advance_ms(100);
    let second = claim(t, 1);
    assert_eq!(second[0].since, second[0].at, "without an engine");
    t.retry_at(
        &second[0],
        Outcome::Quota { resets_at: None },
        Millis(t.clock.now().0 + 50),
        true,
    );
    t.advance_ms(900_000);
    let third = claim(t, 1);
    assert_eq!(third[0].since, third[0].at, "without an allowance");
    let at = Millis(t.clock.now().0 + 50);
    t.retry_at(&third[0], Outcome::Stalled, at, false);
    t.advance_ms(50);
    let fourth = claim(t, 1);
    assert_eq!(fourth[0].since, third[0].at, "a wait for a retry counts");
}

pub(super) fn a_used_up_account_is_passed_over_or_waited_for_as_the_policy_says(t: &mut Trial) {
    assert_eq!(terms().quota, quota::Policy::Reroute, "where nothing else is said");
    t.submit(vec![prompt("x", &["smith"])]);
    let first = claim(t, 9);
    let at = Millis(t.clock.now().0 + 5_000);
    let used_up = Settlement {
        next: Next::TryAt {
            at,
            link: 0,
            agent: "smith".into(),
            quota: true,
        },
        spending: Spending {
            account: Some("account of acme".to_owned()),
            ..Spending::default()
        },
        ..ended(Outcome::Quota { resets_at: Some(at) })
    };
    t.settle(first[0].lease, used_up);
    let run = t.submit(vec![prompt("a", &["smith", "jones"]), prompt("b", &["smithers"])]);
    let (claimed, wake_at) = claim_of(t, "e1", 9);
    assert_eq!((names(&claimed).as_str(), claimed[0].agent.as_str()), ("a", "jones"));
    assert_eq!((t.states(run).as_str(), wake_at), ("a:running b:held(quota)", Some(at)));
}

pub(super) fn one_claim_holds_a_bounded_number_of_barred_tasks(t: &mut Trial) {
    open(t, "smith");
    let count = BARRED_HOLDS_MAX + 3;
    let mut tasks: Vec<TaskSpec> = (0..count).map(|n| prompt(&format!("k{n}"), &["smith"])).collect();
    tasks.push(prompt("last", &["jones"]));
    t.submit(tasks);
    let (claimed, wake_at) = claim_of(t, "e1", 9);
    assert_eq!(
        (names(&claimed).as_str(), wake_at),
        ("", Some(t.clock.now())),
        "ask again at once"
    );
    assert_eq!(names(&claim(t, 9)), "last");
}

pub(super) fn the_best_of_weak_answers_is_the_result(t: &mut Trial) {
    let run = t.submit(vec![prompt("a", &["jones"])]);
    let id = t.id(run, "a");
    let answer = |text: &str, confidence| {
        let (reference, bytes) = build::output(text.as_bytes());
        Settlement {
            result: TaskResult {
                summary: text.to_owned(),
                artifacts: vec![reference],
                confidence,
                ..TaskResult::default()
            },
            artifacts: vec![bytes],
            ..ended(Outcome::LowConfidence)
        }
    };
    for (text, confidence) in [("so so", Some(20)), ("better", Some(25)), ("bad", Some(3))] {
        let claimed = claim(t, 1);
        let next = Next::TryAt {
            at: t.clock.now(),
            link: 0,
            agent: "jones".into(),
            quota: false,
        };
        t.settle(
            claimed[0].lease,
            Settlement {
                next,
                ..answer(text, confidence)
            },
        );
    }
    let claimed = claim(t, 1);
    t.end(claimed[0].lease, Outcome::Crashed);
    let results = t.reader().results(id).unwrap();
    let of = |place: usize| (results[place].number, results[place].result.summary.as_str());
    assert_eq!(
        [of(0), of(1), of(2), of(3)],
        [(1, "so so"), (2, "better"), (3, "bad"), (4, "")]
    );
    let answered = t.reader().answered(id).unwrap().unwrap();
    assert_eq!((answered.number, answered.outcome), (2, Outcome::LowConfidence));
    assert_eq!(t.reader().result(id).unwrap().unwrap().summary, "better");
}
