//! The history checker sees through histories that are not true.
#![expect(
    clippy::unwrap_used,
    reason = "what makes the history is test code outside a test function"
)]

use wheelhouse_core::event::{Event, Happened};
use wheelhouse_core::ids::{Cursor, RunId};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::question::Resolution;
use wheelhouse_core::spec::TaskSpec;
use wheelhouse_core::store::Command;
use wheelhouse_core::task::Held;
use wheelhouse_testkit::conformance::build::{needing, task};
use wheelhouse_testkit::conformance::history::{Rules, audit, check};
use wheelhouse_testkit::conformance::trial::{LEASE_MS, Trial};
use wheelhouse_testkit::memory::Memory;

/// A run in which a bit of everything happens, and the rules it obeys.
fn true_history() -> (Vec<Event>, Rules) {
    let mut t = Trial::new(&Memory);
    let approved = TaskSpec {
        approval: true,
        ..needing("asked", &["a"])
    };
    let r = t.submit(vec![
        task("a"),
        approved,
        task("fails"),
        needing("behind", &["fails"]),
        task("stopped"),
    ]);
    let a = t.claim_one("a");
    t.retry_at(&a, Outcome::Crashed, t.clock.now(), false);
    let a = t.claim_one("a");
    t.advance_ms(LEASE_MS);
    t.returned(Command::ExpireLeases);
    let a_again = t.claim_one("a");
    assert_eq!((a.attempt, a_again.attempt), (2, 2));
    t.end(a_again.lease, Outcome::Succeeded);
    t.apply(Command::PauseRun { run: r });
    t.apply(Command::ResumeRun { run: r });
    let fails = t.claim_one("fails").lease;
    t.end(fails, Outcome::Crashed);
    let stopped = t.claim_one("stopped").lease;
    t.apply(Command::CancelTask { task: stopped.task });
    t.end(stopped, Outcome::Cancelled);
    let question = t.last_question();
    t.answer(question, "approve", Resolution::Proceed);
    let asked = t.claim_one("asked").lease;
    t.end(asked, Outcome::Succeeded);
    t.apply(Command::RetryTask { task: fails.task });
    t.run_dry();

    let tasks = t.reader().tasks(r, 0, 99).unwrap();
    let id = |key: &str| tasks.iter().find(|task| task.key.as_str() == key).unwrap().id;
    let needs = tasks.iter().map(|task| {
        let needs = task.needs.iter().map(|need| id(need.as_str()));
        (task.id, needs.collect())
    });
    let rules = Rules {
        needs: needs.collect(),
        running_max: Some(1),
    };
    assert_eq!(audit(t.reader().as_mut()), Vec::<String>::new());
    (t.events(r), rules)
}

/// Gives the events new cursors, so that only what they say is wrong.
fn numbered(mut events: Vec<Event>) -> Vec<Event> {
    for (number, event) in events.iter_mut().enumerate() {
        event.cursor = Cursor(number as u64 + 1);
    }
    events
}

#[test]
fn a_true_history_is_believed() {
    let (events, rules) = true_history();
    assert_eq!(check(&events, &rules), Vec::<String>::new());
}

#[test]
fn an_event_that_is_missing_is_missed() {
    let (events, rules) = true_history();
    let may_be_missing = ["question_asked", "question_answered", "cancel_requested"];
    for missing in 0..events.len() - 1 {
        let mut lie = events.clone();
        let event = lie.remove(missing);
        // A task that is ready when its run is paused looks like one that would have become ready in the pause.
        let next = lie[missing..].iter().find(|later| later.task == event.task);
        let paused = next.is_some_and(|next| next.happened == Happened::TaskHeld { held: Held::Paused });
        if paused || may_be_missing.contains(&event.happened.name()) {
            continue;
        }
        let breaches = check(&numbered(lie), &rules);
        assert!(!breaches.is_empty(), "nobody missed {event:?}");
    }
}

#[test]
fn an_event_told_twice_is_noticed() {
    let (events, rules) = true_history();
    for twice in 0..events.len() {
        let event = events[twice].clone();
        if matches!(event.happened.name(), "question_asked" | "question_answered") {
            continue;
        }
        let mut lie = events.clone();
        lie.insert(twice, event.clone());
        let breaches = check(&numbered(lie), &rules);
        assert!(!breaches.is_empty(), "nobody noticed a second {event:?}");
    }
}

#[test]
fn particular_lies_are_named() {
    type Lie = fn(&mut Vec<Event>);
    let lies: [(&str, Lie); 9] = [
        ("cursors ascend", |events| events[5].cursor = events[4].cursor),
        ("time does not run backwards", |events| events[5].at.0 -= 1),
        ("fences grow", |events| {
            for event in events {
                if let Happened::TaskClaimed { fence, .. } = &mut event.happened {
                    *fence = 1;
                }
            }
        }),
        ("tries are numbered without gaps", |events| {
            for event in events {
                if let Happened::TaskClaimed {
                    attempt: attempt @ 2, ..
                } = &mut event.happened
                {
                    *attempt = 3;
                }
            }
        }),
        ("only a try that succeeded makes a task succeed", |events| {
            for event in events {
                if let Happened::AttemptEnded { outcome, .. } = &mut event.happened {
                    *outcome = Outcome::Crashed;
                }
            }
        }),
        ("who was asked to stop ends as cancelled", |events| {
            for event in events {
                if let Happened::AttemptEnded { outcome, .. } | Happened::TaskDone { outcome, .. } = &mut event.happened
                    && *outcome == Outcome::Cancelled
                {
                    *outcome = Outcome::Succeeded;
                }
            }
        }),
        ("counts them right", |events| {
            for event in events {
                if let Happened::RunFinished { succeeded, .. } = &mut event.happened {
                    *succeeded += 1;
                }
            }
        }),
        ("a task stays in its run", |events| {
            let ready = |event: &Event| event.happened == Happened::TaskReady;
            let last = events.iter().rposition(ready).unwrap();
            events[last].run = RunId(2);
        }),
        ("a skip has a cause among the needs", |events| {
            for event in events {
                if let Happened::TaskDone {
                    outcome: outcome @ Outcome::Crashed,
                    continues,
                } = &mut event.happened
                {
                    (*outcome, *continues) = (Outcome::TimedOut, true);
                }
            }
        }),
    ];
    let (events, rules) = true_history();
    for (rule, lie) in lies {
        let mut told = events.clone();
        lie(&mut told);
        let breaches = check(&told, &rules);
        assert!(
            breaches.iter().any(|breach| breach.contains(rule)),
            "{rule}: {breaches:?}"
        );
    }
}

#[test]
fn rules_that_events_do_not_tell_are_kept_too() {
    let (events, mut rules) = true_history();
    rules.running_max = Some(0);
    let breaches = check(&events, &rules);
    assert!(
        breaches
            .iter()
            .all(|breach| breach.contains("no more run at once than may"))
    );
    assert!(!breaches.is_empty());
    rules.running_max = None;
    // "a" was ready before anything else was done.
    let (first, last) = (*rules.needs.keys().next().unwrap(), *rules.needs.keys().last().unwrap());
    rules.needs.insert(first, vec![last]);
    let breaches = check(&events, &rules);
    assert!(
        breaches[0].contains("a task is ready only after all it needs"),
        "{breaches:?}"
    );
}
