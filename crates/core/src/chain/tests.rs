//! The machine of chains, over every class of outcome, and under any weather.

use proptest::prelude::*;

use super::*;

fn entry(name: &str, retry: u32) -> Entry {
    Entry {
        name: name.to_owned(),
        timeout_ms: Some(1_000),
        retry,
        window_tokens: None,
        expected_ms: Some(300),
        cost_max_nano: None,
    }
}

fn chain(entries: Vec<Entry>) -> Chain {
    Chain {
        name: "test".to_owned(),
        entries,
        confidence_min: CONFIDENCE_MIN,
        spend_max_nano: None,
    }
}

fn ended(outcome: Outcome) -> Event {
    let usable = class(&outcome) == Class::Weak;
    Event::Ended(Ended {
        outcome,
        confidence: None,
        cost_nano: None,
        usable,
    })
}

fn answer(confidence: u8) -> Event {
    Event::Ended(Ended {
        outcome: Outcome::Succeeded,
        confidence: Some(confidence),
        cost_nano: Some(5),
        usable: true,
    })
}

fn at(now: u64) -> Moment {
    Moment {
        now: Millis(now),
        jitter: 0.5,
    }
}

/// Drives a call: each answer comes 10 ms after its try began, sleeps are slept. What was tried, and the end.
fn drive(chain: &Chain, deadline: u64, answers: &[Event]) -> (Vec<(usize, u32)>, Finish, u64) {
    let mut call = Call::new(100, Millis(deadline));
    let (mut now, mut tried) = (0, Vec::new());
    let mut answers = answers.iter();
    let mut step = call.next(chain, Event::Begun, at(now)).unwrap();
    loop {
        let event = match step {
            Step::Finish(finish) => return (tried, finish, now),
            Step::Sleep { until } => {
                now = until.0;
                Event::Woke
            }
            Step::Try { entry, attempt, .. } => {
                tried.push((entry, attempt));
                now += 10;
                answers.next().cloned().unwrap_or_else(|| answer(90))
            }
        };
        step = call.next(chain, event, at(now)).unwrap();
    }
}

fn answered(entry: usize, attempt: u32, confidence: u8) -> Finish {
    Finish::Answered(Answered {
        entry,
        attempt,
        confidence,
    })
}

#[test]
fn every_class_has_its_way_through_a_chain_of_two() {
    let two = chain(vec![entry("a", 1), entry("b", 0)]);
    let alone = chain(vec![entry("a", 1)]);
    let again = (vec![(0, 1), (0, 2)], answered(0, 2, 90));
    let moved = (vec![(0, 1), (1, 1)], answered(1, 1, 90));
    let failed = |outcome: &Outcome| {
        (
            vec![(0, 1)],
            Finish::Failed {
                outcome: outcome.clone(),
            },
        )
    };
    let until = Millis(90_000);
    for outcome in [
        Outcome::Overloaded,
        Outcome::Crashed,
        Outcome::Killed,
        Outcome::Truncated,
        Outcome::TimedOut,
        Outcome::Stalled,
        Outcome::RateLimited {
            retry_after_ms: Some(200),
        },
        Outcome::RateLimited { retry_after_ms: None },
    ] {
        for chain in [&two, &alone] {
            let (tried, finish, _) = drive(chain, 60_000, &[ended(outcome.clone())]);
            assert_eq!((tried, finish), again, "{outcome}");
        }
    }
    for outcome in [
        Outcome::Auth,
        Outcome::Unavailable,
        Outcome::Refused,
        Outcome::ContextTooLong,
        Outcome::Quota { resets_at: None },
    ] {
        let (tried, finish, _) = drive(&two, 60_000, &[ended(outcome.clone())]);
        assert_eq!((tried, finish), moved, "{outcome}");
        let (tried, finish, _) = drive(&alone, 60_000, &[ended(outcome.clone())]);
        assert_eq!((tried, finish), failed(&outcome), "{outcome}");
    }
    for outcome in [
        Outcome::LowConfidence,
        Outcome::GateFailed,
        Outcome::Malformed,
        Outcome::Empty,
    ] {
        let (tried, finish, _) = drive(&two, 60_000, &[ended(outcome.clone())]);
        assert_eq!(
            (tried, finish),
            moved,
            "{outcome}: a weak answer is not asked for again"
        );
        let (_, finish, _) = drive(&alone, 60_000, &[ended(outcome.clone())]);
        assert!(
            matches!(finish, Finish::Weak(_)),
            "{outcome}: what was paid for is kept"
        );
    }
    let quota = Outcome::Quota { resets_at: Some(until) };
    assert_eq!(drive(&two, 60_000, &[ended(quota.clone())]).1, answered(1, 1, 90));
    assert_eq!(drive(&alone, 60_000, &[ended(quota)]).1, Finish::Parked { until });
    for outcome in [Outcome::Cancelled, Outcome::BudgetExhausted] {
        let (tried, finish, _) = drive(&two, 60_000, &[ended(outcome.clone())]);
        assert_eq!((tried, finish), failed(&outcome), "{outcome}");
    }
}

#[test]
fn the_best_of_the_weak_is_kept() {
    let three = chain(vec![entry("a", 2), entry("b", 2), entry("c", 2)]);
    let (tried, finish, _) = drive(&three, 60_000, &[answer(10), answer(25), answer(20)]);
    assert_eq!(tried, [(0, 1), (1, 1), (2, 1)]);
    let best = Answered {
        entry: 1,
        attempt: 1,
        confidence: 25,
    };
    assert_eq!(finish, Finish::Weak(best));
    let (_, finish, _) = drive(&three, 60_000, &[answer(29), answer(30)]);
    assert_eq!(finish, answered(1, 1, 30), "the guide's threshold: below 30 is weak");
}

#[test]
fn nobody_waits_where_nothing_follows_on_that_entry() {
    let two = chain(vec![entry("a", 1), entry("b", 0)]);
    // The last retry is spent: on to the next at once, whatever the provider asks for.
    let throttled = || {
        ended(Outcome::RateLimited {
            retry_after_ms: Some(250),
        })
    };
    let (tried, _, now) = drive(&two, 60_000, &[throttled(), throttled()]);
    assert_eq!(tried, [(0, 1), (0, 2), (1, 1)]);
    assert_eq!(now, 10 + 250 + 10 + 10, "one wait, before the retry");
    // Asked to wait longer than the next entry takes: on at once.
    let (tried, _, now) = drive(
        &two,
        60_000,
        &[ended(Outcome::RateLimited {
            retry_after_ms: Some(301),
        })],
    );
    assert_eq!((tried, now), (vec![(0, 1), (1, 1)], 20));
    // Longer than what is left: on, and here nobody is.
    let alone = chain(vec![entry("a", 1)]);
    let long = Outcome::RateLimited {
        retry_after_ms: Some(5_000),
    };
    let (tried, finish, now) = drive(&alone, 4_000, &[ended(long.clone())]);
    assert_eq!(
        (tried, finish, now),
        (vec![(0, 1)], Finish::Failed { outcome: long }, 10)
    );
}

#[test]
fn the_deadline_cuts_every_try() {
    let one = chain(vec![entry("a", 3)]);
    let mut call = Call::new(0, Millis(1_500));
    let step = |entry, attempt, timeout_ms| Step::Try {
        entry,
        attempt,
        timeout_ms,
    };
    assert_eq!(call.next(&one, Event::Begun, at(0)), Ok(step(0, 1, 1_000)));
    assert_eq!(
        call.next(&one, ended(Outcome::TimedOut), at(1_000)),
        Ok(step(0, 2, 500))
    );
    let over = Finish::Failed {
        outcome: Outcome::TimedOut,
    };
    assert_eq!(
        call.next(&one, ended(Outcome::TimedOut), at(1_500)),
        Ok(Step::Finish(over))
    );
}

#[test]
fn who_is_barred_is_passed_over_and_a_chain_of_one_is_parked() {
    let two = chain(vec![entry("a", 1), entry("b", 0)]);
    let barred = |until| Event::Barred { until: Millis(until) };
    let (_, finish, now) = drive(&two, 60_000, &[barred(70_000)]);
    assert_eq!((finish, now), (answered(1, 1, 90), 20));
    let (_, finish, _) = drive(&two, 60_000, &[barred(70_000), barred(65_000)]);
    let until = Millis(65_000);
    assert_eq!(finish, Finish::Parked { until });
    let alone = chain(vec![entry("a", 1)]);
    let until = Millis(70_000);
    assert_eq!(drive(&alone, 60_000, &[barred(70_000)]).1, Finish::Parked { until });
}

#[test]
fn too_small_a_window_is_not_tried_and_only_larger_ones_follow() {
    let window = |name, tokens| Entry {
        window_tokens: Some(tokens),
        ..entry(name, 0)
    };
    let all = chain(vec![
        window("tiny", 50),
        window("a", 200),
        window("b", 200),
        window("c", 900),
    ]);
    let (tried, finish, _) = drive(&all, 60_000, &[ended(Outcome::ContextTooLong)]);
    assert_eq!(tried, [(1, 1), (3, 1)]);
    assert_eq!(finish, answered(3, 1, 90));
    let none = chain(vec![window("tiny", 50)]);
    let outcome = Outcome::ContextTooLong;
    assert_eq!(drive(&none, 60_000, &[]).1, Finish::Failed { outcome });
}

#[test]
fn what_a_chain_may_spend_bounds_it() {
    let cost = |name, nano| Entry {
        cost_max_nano: Some(nano),
        ..entry(name, 3)
    };
    let mut bounded = chain(vec![cost("a", 60), cost("b", 60), cost("c", 30)]);
    bounded.spend_max_nano = Some(100);
    // The first is weak and nobody knows what it cost: it counts as its most, so the second is too dear.
    let (tried, finish, _) = drive(&bounded, 60_000, &[ended(Outcome::LowConfidence)]);
    assert_eq!((tried, finish), (vec![(0, 1), (2, 1)], answered(2, 1, 90)));
    bounded.spend_max_nano = Some(10);
    let outcome = Outcome::BudgetExhausted;
    assert_eq!(drive(&bounded, 60_000, &[]).1, Finish::Failed { outcome });
}

#[test]
fn the_trail_tells_all() {
    let two = chain(vec![entry("a", 1), entry("b", 0)]);
    let mut call = Call::new(0, Millis(60_000));
    call.next(&two, Event::Begun, at(0)).unwrap();
    call.next(&two, ended(Outcome::Overloaded), at(10)).unwrap();
    call.next(&two, Event::Woke, at(260)).unwrap();
    call.next(&two, ended(Outcome::Overloaded), at(270)).unwrap();
    call.next(&two, Event::Barred { until: Millis(900) }, at(271)).unwrap();
    let told: Vec<String> = call
        .trail()
        .iter()
        .map(|decision| serde_json::to_string(decision).unwrap())
        .collect();
    let expected = [
        r#"{"at":0,"entry":0,"what":"tried","attempt":1,"timeout_ms":1000}"#,
        r#"{"at":10,"entry":0,"what":"ended","outcome":{"class":"overloaded"},"confidence":null,"cost_nano":null}"#,
        r#"{"at":10,"entry":0,"what":"slept","until":260}"#,
        r#"{"at":260,"entry":0,"what":"tried","attempt":2,"timeout_ms":1000}"#,
        r#"{"at":270,"entry":0,"what":"ended","outcome":{"class":"overloaded"},"confidence":null,"cost_nano":null}"#,
        r#"{"at":271,"entry":1,"what":"barred","until":900}"#,
    ];
    assert_eq!(told, expected);
}

#[test]
fn events_out_of_turn_are_refused() {
    let one = chain(vec![entry("a", 1)]);
    let fresh = Call::new(0, Millis(60_000));
    let mut trying = fresh.clone();
    trying.next(&one, Event::Begun, at(0)).unwrap();
    let mut sleeping = trying.clone();
    sleeping.next(&one, ended(Outcome::Overloaded), at(1)).unwrap();
    let mut over = trying.clone();
    over.next(&one, answer(90), at(1)).unwrap();
    let barred = Event::Barred { until: Millis(5) };
    let events = [Event::Begun, barred, answer(90), Event::Woke];
    for (call, allowed) in [
        (fresh, [true, false, false, false]),
        (trying, [false, true, true, false]),
        (sleeping, [false, false, false, true]),
        (over, [false; 4]),
    ] {
        for (event, allowed) in events.iter().zip(allowed) {
            let mut call = call.clone();
            let before = call.clone();
            let taken = call.next(&one, event.clone(), at(2));
            assert_eq!(taken.is_ok(), allowed, "{:?} {event:?}", before.phase);
            if !allowed {
                assert_eq!(call, before);
            }
        }
    }
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Overloaded),
        Just(Outcome::TimedOut),
        Just(Outcome::Truncated),
        Just(Outcome::LowConfidence),
        Just(Outcome::Unavailable),
        Just(Outcome::ContextTooLong),
        (0u64..4_000).prop_map(|wait| Outcome::RateLimited {
            retry_after_ms: Some(wait)
        }),
        (0u64..90_000).prop_map(|at| Outcome::Quota {
            resets_at: Some(Millis(at))
        }),
    ]
}

proptest! {
    /// Whatever fails: it ends by the deadline, tries nothing more often than allowed, never sleeps into the deadline or
    /// without a try on the same entry behind it, and never goes back to an earlier entry.
    #[test]
    fn any_weather(
        retries in proptest::collection::vec(0u32..6, 1..6),
        deadline in 1u64..20_000,
        outcomes in proptest::collection::vec((outcome(), 0u64..1_500), 40),
        jitter in 0.0f64..1.0,
    ) {
        let chain = chain(retries.iter().map(|retry| entry("e", *retry)).collect());
        let mut call = Call::new(10, Millis(deadline));
        let (mut now, mut last, mut slept) = (0, (0, 0), None);
        let mut outcomes = outcomes.into_iter();
        let moment = |now| Moment { now: Millis(now), jitter };
        let mut step = call.next(&chain, Event::Begun, moment(now)).unwrap();
        loop {
            let event = match step {
                Step::Finish(_) => {
                    prop_assert_eq!(slept, None, "it slept for nothing");
                    break;
                }
                Step::Sleep { until } => {
                    prop_assert!(until.0 < deadline && until.0 > now);
                    now = until.0;
                    slept = Some(last.0);
                    Event::Woke
                }
                Step::Try { entry, attempt, timeout_ms } => {
                    prop_assert!(slept.take().is_none_or(|before| before == entry));
                    prop_assert!((entry, attempt) > last);
                    prop_assert!(attempt <= retries[entry].min(RETRIES_MAX) + 1);
                    prop_assert!(timeout_ms > 0 && now + timeout_ms <= deadline);
                    last = (entry, attempt);
                    let (outcome, took) = outcomes.next().unwrap_or((Outcome::Succeeded, 1));
                    now += took.min(timeout_ms);
                    ended(outcome)
                }
            };
            step = call.next(&chain, event, moment(now)).unwrap();
        }
    }
}
