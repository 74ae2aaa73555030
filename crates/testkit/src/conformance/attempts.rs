//! Cases: how tries are numbered and what is kept of them.

use wheelhouse_core::event::Happened;
use wheelhouse_core::ledger::Spending;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{
    ArtifactRef, AttemptStart, Check, Claimed, Command, ModelSource, Next, ProcessMark, Settlement, TaskResult,
};
use wheelhouse_core::trail::{Ran, Trail};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::build::{self, task};
use super::trial::{LEASE_MS, Trial, claim_by, ended};

fn began(claimed: &Claimed) -> (u32, u32, &str) {
    (claimed.attempt, claimed.on_agent, claimed.agent.as_str())
}

/// Ends a try so that the next one is on `agent`, at once.
fn move_to(t: &mut Trial, claimed: &Claimed, agent: &str, quota: bool) {
    let next = Next::TryAt {
        at: t.clock.now(),
        link: 0,
        agent: agent.into(),
        quota,
    };
    let settlement = Settlement {
        next,
        ..ended(Outcome::Crashed)
    };
    t.settle(claimed.lease, settlement);
}

pub(super) fn a_counted_failure_begins_a_new_try(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    for number in 1..=3 {
        let claimed = t.claim_one("a");
        assert_eq!(began(&claimed), (number, number, "exec"));
        move_to(t, &claimed, "exec", false);
        t.advance_ms(5);
    }
    let a = t.id(r, "a");
    let tries: Vec<(u32, u32)> = t.attempts(a).iter().map(|it| (it.number, it.begun)).collect();
    assert_eq!(tries, [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(t.task(r, "a").attempt, 3);
}

pub(super) fn a_repeated_try_keeps_its_number(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let why = "once".to_owned();
    t.apply(Command::Return {
        lease,
        why,
        spending: Spending::default(),
    });
    assert_eq!(began(&t.claim_one("a")), (1, 1, "exec"));
    t.advance_ms(LEASE_MS);
    t.returned(Command::ExpireLeases);
    assert_eq!(began(&t.claim_one("a")), (1, 1, "exec"));
    let me = claim_by("e2", 1).owner;
    t.returned(Command::Recover { me, go_on: true });
    t.advance_ms(7);
    let claimed = t.claim_one("a");
    assert_eq!(began(&claimed), (1, 1, "exec"));
    let a = t.id(r, "a");
    let tries = t.attempts(a);
    assert_eq!((tries.len(), tries[0].begun), (1, 4));
    assert_eq!(tries[0].started_at, t.clock.now(), "when it was last claimed");
    assert_eq!((tries[0].ended_at, tries[0].cost), (None, None));
    move_to(t, &claimed, "exec", false);
    assert_eq!(began(&t.claim_one("a")), (2, 2, "exec"));
}

pub(super) fn quota_does_not_count_as_a_try(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    for _ in 0..3 {
        let claimed = t.claim_one("a");
        assert_eq!(began(&claimed), (1, 1, "exec"));
        move_to(t, &claimed, "exec", true);
        assert_eq!(t.states(r), "a:held(quota)");
    }
    let claimed = t.claim_one("a");
    let a = t.id(r, "a");
    let tries = t.attempts(a);
    assert_eq!((tries.len(), tries[0].begun), (1, 4));
    assert_eq!(tries[0].outcome, None, "it is under way again");
    t.end(claimed.lease, Outcome::Succeeded);
    assert_eq!(t.attempts(a)[0].outcome, Some(Outcome::Succeeded));
    assert_eq!(t.count(r, "attempt_ended"), 4, "the history has every end");
}

pub(super) fn another_agent_starts_its_own_count(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let first = t.claim_one("a");
    move_to(t, &first, "exec", false);
    let second = t.claim_one("a");
    assert_eq!(began(&second), (2, 2, "exec"));
    move_to(t, &second, "codex", false);
    assert_eq!(t.task(r, "a").agent.as_str(), "codex");
    let third = t.claim_one("a");
    assert_eq!(began(&third), (3, 1, "codex"));
    move_to(t, &third, "codex", true);
    let again = t.claim_one("a");
    assert_eq!(began(&again), (3, 1, "codex"));
    move_to(t, &again, "codex", false);
    assert_eq!(began(&t.claim_one("a")), (4, 2, "codex"));
    let a = t.id(r, "a");
    let tries = t.attempts(a);
    let agents: Vec<&str> = tries.iter().map(|it| it.agent.as_str()).collect();
    assert_eq!(agents, ["exec", "exec", "codex", "codex"]);
}

pub(super) fn the_session_is_remembered_for_each_agent(t: &mut Trial) {
    t.submit(vec![task("a")]);
    let start = |t: &mut Trial, claimed: &Claimed, session: &str| {
        let start = AttemptStart {
            session: Some(session.to_owned()),
            process: None,
        };
        let lease = claimed.lease;
        t.apply(Command::Start { lease, start });
    };
    let first = t.claim_one("a");
    assert_eq!(first.session, None);
    start(t, &first, "s1");
    t.advance_ms(LEASE_MS);
    t.returned(Command::ExpireLeases);
    let repeated = t.claim_one("a");
    assert_eq!(
        repeated.session.as_deref(),
        Some("s1"),
        "an engine died; the session goes on"
    );
    start(t, &repeated, "s2");
    move_to(t, &repeated, "codex", false);
    let other = t.claim_one("a");
    assert_eq!(other.session, None, "another agent cannot go on in it");
    move_to(t, &other, "exec", false);
    let back = t.claim_one("a");
    assert_eq!(back.session.as_deref(), Some("s2"), "the last one on that agent");
}

pub(super) fn what_identifies_a_try_is_kept(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let process = Some(ProcessMark {
        pid: 4711,
        start_ticks: u64::MAX >> 1,
    });
    let session = Some("s1".to_owned());
    // The intent before the start, then what is known after it, in two steps; what is not said is not taken away.
    for start in [
        AttemptStart::default(),
        AttemptStart { session: None, process },
        AttemptStart {
            session: session.clone(),
            process: None,
        },
        AttemptStart::default(),
    ] {
        assert_eq!(
            t.apply(Command::Start { lease, start }),
            wheelhouse_core::store::Reply::Done
        );
    }
    let a = t.id(r, "a");
    assert_eq!(t.attempts(a)[0].session, session);
    let started: Vec<Happened> = t
        .events(r)
        .into_iter()
        .map(|event| event.happened)
        .filter(|happened| matches!(happened, Happened::AttemptStarted { .. }))
        .collect();
    let event = |session: Option<&str>, pid| Happened::AttemptStarted {
        attempt: 1,
        session: session.map(str::to_owned),
        pid,
    };
    assert_eq!(
        started,
        [
            event(None, None),
            event(None, Some(4711)),
            event(Some("s1"), None),
            event(None, None)
        ]
    );
    t.reopen();
    let me = claim_by("e2", 1).owner;
    let returned = t.returned(Command::Recover { me, go_on: true });
    assert_eq!(
        (returned[0].task, returned[0].process),
        (a, process),
        "to end what is left of it"
    );
}

pub(super) fn the_end_of_a_try_is_kept_with_it(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let started_at = t.clock.now();
    let claimed = t.claim_one("a");
    t.advance_ms(1_234);
    let usage = Usage {
        input: 1,
        cache_read: 2,
        cache_write: 3,
        output: 4,
        reasoning: 5,
        source: UsageSource::Reported,
    };
    let cost = Cost::Actual(987_654_321);
    let outcome = Outcome::RateLimited {
        retry_after_ms: Some(77),
    };
    t.settle(
        claimed.lease,
        Settlement {
            usage,
            cost,
            ..ended(outcome.clone())
        },
    );
    let a = t.id(r, "a");
    let attempt = t.attempts(a).remove(0);
    assert_eq!(
        (attempt.started_at, attempt.ended_at),
        (started_at, Some(t.clock.now()))
    );
    assert_eq!(attempt.outcome, Some(outcome.clone()));
    assert_eq!((attempt.usage, attempt.cost), (usage, Some(cost)));
    let view = t.task(r, "a");
    assert_eq!((view.started_at, view.done_at), (Some(started_at), Some(t.clock.now())));
    let wanted = Happened::AttemptEnded {
        attempt: 1,
        outcome,
        usage,
        cost,
    };
    assert!(t.events(r).iter().any(|event| event.happened == wanted));
}

pub(super) fn reports_are_kept_in_the_history(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let lease = t.claim_one("a").lease;
    let (kind, text) = ("tool".to_owned(), "cargo test \u{1f980}\n\0 done".to_owned());
    t.apply(Command::Report {
        lease,
        kind: kind.clone(),
        text: text.clone(),
    });
    let last = t.events(r).pop().unwrap();
    let wanted = Happened::AttemptReported { attempt: 1, kind, text };
    assert_eq!(last.happened, wanted);
    assert_eq!(t.states(r), "a:running");
}

pub(super) fn usage_and_cost_add_up_over_the_run(t: &mut Trial) {
    let r = t.submit(vec![task("a"), task("b"), task("c")]);
    assert_eq!((t.run(r).usage, t.run(r).cost_nano), (Usage::default(), 0));
    let reported = |input| Usage {
        input,
        output: 1,
        source: UsageSource::Reported,
        ..Usage::default()
    };
    let claimed = t.claim(3);
    // A try on quota counts for nothing but for what it consumed.
    let next = Next::TryAt {
        at: t.clock.now(),
        link: 0,
        agent: "exec".into(),
        quota: true,
    };
    t.settle(
        claimed[0].lease,
        Settlement {
            next,
            usage: reported(10),
            cost: Cost::Priced(5),
            ..ended(Outcome::Quota {
                resets_at: Some(t.clock.now()),
            })
        },
    );
    let again = t.claim_one("a");
    t.settle(
        again.lease,
        Settlement {
            usage: reported(100),
            cost: Cost::Actual(1_000),
            ..ended(Outcome::Succeeded)
        },
    );
    let so_far = t.run(r);
    assert_eq!((so_far.usage.input, so_far.usage.output), (110, 2));
    assert_eq!(so_far.usage.source, UsageSource::Reported, "all of it was reported");
    assert_eq!((so_far.cost_nano, so_far.cost_unknown), (1_005, 0));
    for (claimed, cost) in claimed[1..].iter().zip([Cost::Unknown, Cost::Included]) {
        let settlement = Settlement {
            cost,
            usage: Usage {
                reasoning: 3,
                ..Usage::default()
            },
            ..ended(Outcome::Succeeded)
        };
        t.settle(claimed.lease, settlement);
    }
    let view = t.run(r);
    assert_eq!((view.cost_nano, view.cost_unknown), (1_005, 1), "unknown is never zero");
    assert_eq!((view.usage.reasoning, view.usage.total()), (6, 118));
    assert_eq!(view.usage.source, UsageSource::Estimated);
}

pub(super) fn artifacts_and_results_are_stored_with_the_end(t: &mut Trial) {
    let r = t.submit(vec![task("a")]);
    let a = t.id(r, "a");
    assert_eq!(t.reader().result(a).unwrap(), None);
    let (reference, bytes) = build::output(&[0, 255, 10]);
    let (_, log) = build::output(b"");
    let (wide, empty, missing) = (bytes.hash.clone(), log.hash.clone(), build::hash(b"never"));
    let result = TaskResult {
        summary: "two files, \"quoted\"".to_owned(),
        verdict: Some("approve".to_owned()),
        files: vec!["src/a.rs".to_owned()],
        artifacts: vec![ArtifactRef {
            bytes_written: 5_000_000_000,
            ..reference
        }],
        exit_code: Some(-1),
        checks: vec![Check {
            command: "cargo test".to_owned(),
            exit_code: None,
            log: empty.clone(),
            tail: "…".to_owned(),
            took_ms: 12,
        }],
        rehearsed: true,
        model: Some("m-1".to_owned()),
        model_source: Some(ModelSource::Asked),
        link: 3,
        confidence: Some(0),
        trail: Trail {
            read: vec!["src/b.rs".to_owned()],
            changed: vec!["src/a.rs".to_owned()],
            commands: vec![Ran {
                command: "cargo test".to_owned(),
                failed: true,
                times: 2,
                said: "exit 101".to_owned(),
            }],
            dropped: 3,
            calls: 9,
        },
    };
    let first = t.claim_one("a");
    let next = Next::TryAt {
        at: t.clock.now(),
        link: 0,
        agent: "exec".into(),
        quota: false,
    };
    t.settle(
        first.lease,
        Settlement {
            next,
            result: result.clone(),
            artifacts: vec![bytes.clone(), log],
            ..ended(Outcome::GateFailed)
        },
    );
    assert_eq!(
        t.reader().result(a).unwrap(),
        Some(result),
        "of the last try that ended"
    );
    t.reopen();
    assert_eq!(t.reader().artifact(&wide).unwrap(), Some(vec![0, 255, 10]));
    assert_eq!(t.reader().artifact(&empty).unwrap(), Some(vec![]));
    assert_eq!(t.reader().artifact(&missing).unwrap(), None);
    // Given once more by the next try: the same bytes under the same name.
    let second = t.claim_one("a");
    t.settle(
        second.lease,
        Settlement {
            artifacts: vec![bytes],
            ..ended(Outcome::Succeeded)
        },
    );
    assert_eq!(t.reader().result(a).unwrap(), Some(TaskResult::default()));
    assert_eq!(t.reader().artifact(&wide).unwrap(), Some(vec![0, 255, 10]));
}
