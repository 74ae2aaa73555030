//! Cases: what is reserved, metered, booked, held for want of money, and summed.

use std::sync::Arc;

use wheelhouse_core::budget::{Budget, Experience, HOUR_MS, Payer, Scope, Terms};
use wheelhouse_core::day::{DAY_MS, Day};
use wheelhouse_core::ids::{AgentName, Lease, OwnerId, RunId};
use wheelhouse_core::ledger::{Line, Reading, Spending, Tally};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::price::Billing;
use wheelhouse_core::quota::{self, Allowance, Window};
use wheelhouse_core::spec::{BudgetLimit, RunSpec, TaskSpec, Work};
use wheelhouse_core::store::{ClaimRequest, Claimed, Command, Next, Refused, Reply, Settlement};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::Millis;
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::build;
use super::trial::{Trial, claim_by, ended, names};

/// What a try is taken to cost in these cases, safety included.
pub(super) const GUESS: u64 = 130;

pub(super) fn terms() -> Terms {
    Terms {
        default_nano: 100,
        ..Terms::default()
    }
}

fn prompt(key: &str) -> TaskSpec {
    TaskSpec {
        work: Work::Prompt("do it".to_owned()),
        agent: "smith".into(),
        ..build::task(key)
    }
}

fn submit(t: &mut Trial, limit: Option<u64>, tasks: Vec<TaskSpec>) -> RunId {
    let run = RunSpec {
        budget: limit.map(|cost_nano| BudgetLimit { cost_nano }),
        ..build::run("r")
    };
    match t.apply(Command::SubmitRun { run, tasks }) {
        Reply::Submitted { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

pub(super) fn claim(t: &mut Trial, limit: u32, terms: Terms) -> Vec<Claimed> {
    claim_of(t, "e1", limit, terms)
}

pub(super) fn claim_of(t: &mut Trial, owner: &str, limit: u32, terms: Terms) -> Vec<Claimed> {
    let request = ClaimRequest {
        terms: Arc::new(terms),
        ..claim_by(owner, limit)
    };
    match t.apply(Command::Claim(request)) {
        Reply::Claimed { tasks, .. } => tasks,
        other => panic!("{other:?}"),
    }
}

pub(super) fn budget(t: &mut Trial, scope: &Scope) -> Budget {
    let now = t.clock.now();
    let budgets = t.reader().budgets(now).unwrap();
    budgets.into_iter().find(|budget| budget.scope == *scope).unwrap()
}

fn usage(input: u64) -> Usage {
    Usage {
        input,
        source: UsageSource::Reported,
        ..Usage::default()
    }
}

pub(super) fn line(input: u64, cost: Cost) -> Line {
    Line {
        model: Some("m".to_owned()),
        usage: usage(input),
        cost,
        ..Line::default()
    }
}

pub(super) fn spent(line: Line) -> Settlement {
    Settlement {
        usage: line.usage,
        cost: line.cost,
        spending: Spending {
            account: None,
            kind: "general".to_owned(),
            lines: vec![line],
        },
        ..ended(Outcome::Succeeded)
    }
}

fn reading(nano: u64, want_nano: u64) -> Box<Reading> {
    Box::new(Reading {
        account: None,
        kind: "general".to_owned(),
        line: line(nano, Cost::Priced(nano)),
        want_nano,
    })
}

pub(super) fn meter(t: &mut Trial, lease: Lease, nano: u64, want_nano: u64) -> Option<u64> {
    let reading = reading(nano, want_nano);
    match t.apply(Command::Meter { lease, reading }) {
        Reply::Metered { granted_nano, .. } => granted_nano,
        other => panic!("{other:?}"),
    }
}

pub(super) fn without_a_budget_nothing_is_reserved(t: &mut Trial) {
    submit(t, None, vec![prompt("a")]);
    let claimed = claim(t, 9, terms());
    assert_eq!(claimed[0].granted_nano, None);
    assert_eq!(meter(t, claimed[0].lease, 5, 99), None);
    let now = t.clock.now();
    assert_eq!(t.reader().budgets(now).unwrap(), []);
}

pub(super) fn a_try_reserves_before_it_begins_and_settles_what_it_cost(t: &mut Trial) {
    let run = submit(t, Some(1_000), vec![prompt("a")]);
    let scope = Scope::Run(run);
    let claimed = claim(t, 9, terms());
    assert_eq!(claimed[0].granted_nano, Some(GUESS));
    assert_eq!(budget(t, &scope).reserved_nano, GUESS);
    t.reopen();
    t.settle(claimed[0].lease, spent(line(10, Cost::Priced(40))));
    let budget = budget(t, &scope);
    assert_eq!(
        (budget.reserved_nano, budget.spent_nano, budget.room_nano()),
        (0, 40, 960)
    );
    let entry = t.reader().ledger(0, 9).unwrap().remove(0);
    assert_eq!(
        (entry.run, entry.model.as_deref(), entry.cost),
        (run, Some("m"), Cost::Priced(40))
    );
}

/// Whatever is claimed and settled in whatever order by however many engines: reserved and spent together never exceed
/// the limit.
pub(super) fn a_thousand_reservations_on_one_budget_never_exceed_it(t: &mut Trial) {
    let limit = 20_000;
    let tasks = (0..1_000).map(|number| prompt(&format!("k{number}"))).collect();
    let run = submit(t, Some(limit), tasks);
    let mut running: Vec<Claimed> = Vec::new();
    let mut begun = 0;
    for round in 0..400u64 {
        let owner = format!("e{}", round % 3);
        let claimed = claim_of(t, &owner, 16, terms());
        begun += claimed.len();
        running.extend(claimed);
        let now = budget(t, &Scope::Run(run));
        assert!(now.reserved_nano + now.used_nano() <= limit, "{now:?}");
        if running.is_empty() {
            break;
        }
        // Some end for less than they hold, some for just that, and some without that anybody knows.
        for _ in 0..=(round % 9) {
            let Some(one) = running.pop() else { break };
            // Those that need more than the mean ask for it.
            let granted = meter(t, one.lease, 1, GUESS).unwrap();
            let nano = granted.min(GUESS * (round % 3) / 2);
            let line = match round % 5 {
                0 => Line {
                    assumed_nano: nano,
                    ..line(1, Cost::Unknown)
                },
                _ => line(1, Cost::Priced(nano)),
            };
            t.settle(one.lease, spent(line));
        }
    }
    let end = budget(t, &Scope::Run(run));
    assert!(
        begun > 150 && begun < 1_000,
        "{begun} began, then the money was used up"
    );
    assert!(end.reserved_nano == 0 && end.used_nano() <= limit, "{end:?}");
    assert!(end.room_nano() < GUESS, "nothing is left for another one: {end:?}");
    assert!(end.warned);
}

pub(super) fn the_narrowest_of_nested_budgets_decides(t: &mut Trial) {
    let task = TaskSpec {
        budget: Some(BudgetLimit { cost_nano: 50 }),
        ..prompt("a")
    };
    let run = submit(t, Some(300), vec![task, prompt("b"), prompt("c"), prompt("d")]);
    let terms = Terms {
        limits: vec![(Scope::Day, 1_000), (Scope::Hour, 900), (Scope::Session, 800)],
        ..terms()
    };
    let granted: Vec<Option<u64>> = claim(t, 9, terms).iter().map(|claimed| claimed.granted_nano).collect();
    assert_eq!(
        granted,
        [Some(50), Some(GUESS)],
        "the task's own, then the guess; the run has room for no third"
    );
    assert_eq!(t.states(run), "a:running b:running c:held(budget) d:held(budget)");
    for scope in [Scope::Day, Scope::Hour, Scope::Session, Scope::Run(run)] {
        assert_eq!(budget(t, &scope).reserved_nano, 50 + GUESS, "{scope}");
    }
}

pub(super) fn who_waits_for_a_reservation_goes_on_when_it_is_given_back(t: &mut Trial) {
    let run = submit(t, Some(150), vec![prompt("a"), prompt("b")]);
    let first = claim(t, 9, terms());
    assert_eq!(names(&first), "a");
    let held = Held::Budget {
        scope: Scope::Run(run),
        until: None,
    };
    assert_eq!(t.task(run, "b").state, TaskState::Held(held));
    t.settle(first[0].lease, spent(line(1, Cost::Priced(10))));
    t.reopen();
    let second = claim(t, 9, terms());
    assert_eq!((names(&second).as_str(), second[0].granted_nano), ("b", Some(GUESS)));
}

pub(super) fn what_is_used_up_is_held_until_a_person_raises_it(t: &mut Trial) {
    let run = submit(t, Some(100), vec![prompt("a"), prompt("b")]);
    let scope = Scope::Run(run);
    let first = claim(t, 9, terms());
    assert_eq!(first[0].granted_nano, Some(100), "a guess begins with what there is");
    t.settle(first[0].lease, spent(line(1, Cost::Actual(100))));
    assert_eq!(claim(t, 9, terms()), []);
    assert_eq!(t.states(run), "a:succeeded b:held(budget)");
    assert_eq!(
        t.refused(Command::RaiseBudget {
            scope: Scope::Day,
            by_nano: 1
        }),
        Refused::Illegal("there is no budget for day, so nothing to raise".to_owned())
    );
    t.apply(Command::RaiseBudget {
        scope: scope.clone(),
        by_nano: 500,
    });
    assert_eq!(t.states(run), "a:succeeded b:ready");
    assert_eq!(claim(t, 9, terms())[0].granted_nano, Some(GUESS));
    assert_eq!(budget(t, &scope).limit_nano, 600);
    assert_eq!(t.story(run, "a").matches("budget_warned").count(), 1);
}

pub(super) fn a_persons_limit_wins_over_the_configured_one(t: &mut Trial) {
    submit(t, None, vec![prompt("a"), prompt("b")]);
    let configured = |nano| Terms {
        limits: vec![(Scope::Session, nano)],
        ..terms()
    };
    assert_eq!(names(&claim(t, 1, configured(1_000))), "a");
    let limit = |limit_nano| Command::SetBudget {
        scope: Scope::Session,
        limit_nano,
    };
    t.apply(limit(Some(GUESS)));
    assert_eq!(claim(t, 9, configured(1_000)), []);
    t.apply(limit(None));
    assert_eq!(names(&claim(t, 9, configured(1_000))), "b");
}

pub(super) fn a_session_begins_with_its_owner(t: &mut Trial) {
    submit(t, None, vec![prompt("a"), prompt("b")]);
    let terms = || Terms {
        limits: vec![(Scope::Session, 100)],
        ..terms()
    };
    let first = claim_of(t, "e1", 1, terms());
    t.settle(first[0].lease, spent(line(1, Cost::Priced(100))));
    assert_eq!(claim_of(t, "e1", 9, terms()), []);
    assert_eq!(
        names(&claim_of(t, "e2", 9, terms())),
        "b",
        "another life of the engine, another session"
    );
}

pub(super) fn a_day_ends_and_its_budget_is_whole_again(t: &mut Trial) {
    let run = submit(t, None, vec![prompt("a"), prompt("b")]);
    let terms = || Terms {
        limits: vec![(Scope::Day, 100)],
        ..terms()
    };
    let first = claim(t, 1, terms());
    t.settle(first[0].lease, spent(line(1, Cost::Priced(100))));
    assert_eq!(claim(t, 9, terms()), []);
    let until = Day::of(t.clock.now()).end();
    let held = Held::Budget {
        scope: Scope::Day,
        until: Some(until),
    };
    assert_eq!(t.task(run, "b").state, TaskState::Held(held));
    t.advance_ms(until.0 - t.clock.now().0);
    assert_eq!(names(&claim(t, 9, terms())), "b");
    assert_eq!(budget(t, &Scope::Day).spent_nano, 0);
}

pub(super) fn a_clock_set_back_begins_no_day_again(t: &mut Trial) {
    submit(t, None, vec![prompt("a"), prompt("b")]);
    let terms = || Terms {
        limits: vec![(Scope::Hour, 100)],
        ..terms()
    };
    let first = claim(t, 1, terms());
    t.settle(first[0].lease, spent(line(1, Cost::Priced(100))));
    t.clock.set(Millis(t.clock.now().0.saturating_sub(3 * HOUR_MS)));
    assert_eq!(claim(t, 9, terms()), [], "what was spent stays spent");
}

pub(super) fn a_running_try_takes_more_while_there_is_more(t: &mut Trial) {
    let run = submit(t, Some(400), vec![prompt("a"), prompt("b")]);
    let claimed = claim(t, 9, terms());
    let (a, b) = (claimed[0].lease, claimed[1].lease);
    assert_eq!(meter(t, a, 100, 200), Some(200));
    assert_eq!(meter(t, b, 100, 900), Some(200), "no more than is left");
    assert_eq!(budget(t, &Scope::Run(run)).reserved_nano, 400);
    t.settle(a, spent(line(1, Cost::Priced(150))));
    assert_eq!(meter(t, b, 200, 900), Some(250));
    assert_eq!(
        t.refused(Command::Meter {
            lease: a,
            reading: reading(1, 1)
        }),
        Refused::LostLease(a)
    );
}

pub(super) fn a_try_stopped_at_its_line_goes_on_when_there_is_more(t: &mut Trial) {
    let run = submit(t, Some(100), vec![prompt("a")]);
    let first = claim(t, 9, terms());
    let stopped = Settlement {
        outcome: Outcome::BudgetExhausted,
        next: Next::AwaitBudget,
        ..spent(line(1, Cost::Priced(110)))
    };
    t.settle(first[0].lease, stopped);
    assert_eq!(t.states(run), "a:held(budget)");
    assert_eq!(claim(t, 9, terms()), []);
    t.apply(Command::SetBudget {
        scope: Scope::Run(run),
        limit_nano: Some(1_000),
    });
    let again = claim(t, 9, terms());
    assert_eq!(
        (again[0].attempt, again[0].granted_nano),
        (1, Some(GUESS)),
        "the same try"
    );
}

pub(super) fn an_owner_that_dies_gives_back_and_what_it_used_is_booked(t: &mut Trial) {
    let run = submit(t, Some(1_000), vec![prompt("a"), prompt("b")]);
    let claimed = claim(t, 9, terms());
    meter(t, claimed[0].lease, 70, 0);
    t.reopen();
    t.apply(Command::Recover {
        me: OwnerId("e2".to_owned()),
        go_on: true,
    });
    let after = budget(t, &Scope::Run(run));
    assert_eq!(
        (after.reserved_nano, after.spent_nano),
        (0, 70),
        "what the last reading knew is spent"
    );
    assert_eq!((t.run(run).cost_nano, t.run(run).usage.total()), (70, 70));
    // The one of the dead owner cannot be settled any more: nothing is booked twice.
    let late = spent(line(99, Cost::Priced(99)));
    let settle = Command::Settle {
        lease: claimed[0].lease,
        settlement: Box::new(late),
    };
    assert_eq!(t.refused(settle), Refused::LostLease(claimed[0].lease));
    assert_eq!(t.reader().ledger(0, 9).unwrap().len(), 1);
    assert_eq!(
        t.story(run, "a"),
        "task_ready task_claimed spending_booked task_returned task_ready"
    );
}

pub(super) fn what_is_given_back_says_what_it_used(t: &mut Trial) {
    let run = submit(t, None, vec![prompt("a")]);
    let claimed = claim(t, 9, terms());
    meter(t, claimed[0].lease, 70, 0);
    t.apply(Command::Return {
        lease: claimed[0].lease,
        why: "the engine was stopped".to_owned(),
        spending: Spending {
            lines: vec![line(80, Cost::Priced(80))],
            ..Spending::default()
        },
    });
    assert_eq!(t.run(run).cost_nano, 80, "its own word, not the reading before");
}

pub(super) fn a_turn_reported_twice_counts_once(t: &mut Trial) {
    let run = submit(t, None, vec![prompt("a"), prompt("b")]);
    let claimed = claim(t, 9, terms());
    let of_turn = |input, nano| Line {
        turn: Some("msg_1".to_owned()),
        ..line(input, Cost::Actual(nano))
    };
    t.settle(claimed[0].lease, spent(of_turn(100, 10)));
    t.settle(claimed[1].lease, spent(of_turn(120, 12)));
    assert_eq!(
        (t.run(run).usage.input, t.run(run).cost_nano),
        (120, 12),
        "element by element the larger report"
    );
    let entries = t.reader().ledger(0, 9).unwrap();
    assert_eq!(
        entries.iter().map(|entry| entry.usage.input).collect::<Vec<_>>(),
        [100, 20]
    );
}

pub(super) fn unknown_is_counted_by_what_is_assumed(t: &mut Trial) {
    let run = submit(t, Some(1_000), vec![prompt("a")]);
    let claimed = claim(t, 9, terms());
    let unknown = Line {
        assumed_nano: 300,
        ..line(0, Cost::Unknown)
    };
    t.settle(claimed[0].lease, spent(unknown));
    let budget = budget(t, &Scope::Run(run));
    assert_eq!(
        (budget.spent_nano, budget.assumed_nano, budget.room_nano()),
        (0, 300, 700)
    );
    assert_eq!((t.run(run).cost_nano, t.run(run).cost_unknown), (0, 1));
}

pub(super) fn who_costs_nothing_needs_no_money(t: &mut Trial) {
    let run = submit(t, Some(1), vec![prompt("a"), prompt("b")]);
    let payers = |billing| {
        let payer = Payer {
            billing,
            ..Payer::default()
        };
        Terms {
            payers: [(AgentName::from("smith"), payer)].into(),
            ..terms()
        }
    };
    assert_eq!(claim(t, 1, payers(Billing::Free))[0].granted_nano, None);
    assert_eq!(claim(t, 1, payers(Billing::Subscription))[0].granted_nano, None);
    assert_eq!(t.states(run), "a:running b:running");
}

pub(super) fn three_of_a_kind_make_an_estimate(t: &mut Trial) {
    let run = submit(
        t,
        Some(1_000),
        (0..5).map(|number| prompt(&format!("k{number}"))).collect(),
    );
    for expected in [GUESS, GUESS, GUESS, 26] {
        let claimed = claim(t, 1, terms());
        assert_eq!(claimed[0].granted_nano, Some(expected));
        t.settle(claimed[0].lease, spent(line(7, Cost::Priced(20))));
    }
    let mut experience = |model| t.reader().experience(&"smith".into(), model, "general").unwrap();
    let known = Experience {
        tries: 4,
        nano: 80,
        tokens: 28,
    };
    assert_eq!((experience(None), experience(Some("m"))), (known, known));
    assert_eq!(
        t.reader().experience(&"smith".into(), Some("n"), "general").unwrap(),
        Experience::default()
    );
    // What is known to need more than is left is not begun.
    t.apply(Command::SetBudget {
        scope: Scope::Run(run),
        limit_nano: Some(100),
    });
    assert_eq!(claim(t, 1, terms()), []);
    assert_eq!(
        t.states(run),
        "k0:succeeded k1:succeeded k2:succeeded k3:succeeded k4:held(budget)"
    );
}

pub(super) fn a_used_up_account_holds_all_its_agents_and_no_other(t: &mut Trial) {
    let on = |key: &str, agent: &str| TaskSpec {
        agent: agent.into(),
        ..prompt(key)
    };
    let run = submit(
        t,
        None,
        vec![on("a", "smith"), on("b", "jones"), on("c", "other"), on("d", "smith")],
    );
    let payer = |account: &str| Payer {
        account: Some(account.to_owned()),
        ..Payer::default()
    };
    let terms = || Terms {
        quota: quota::Policy::Wait,
        payers: [
            ("smith".into(), payer("x")),
            ("jones".into(), payer("x")),
            ("other".into(), payer("y")),
        ]
        .into(),
        ..terms()
    };
    let first = claim(t, 1, terms());
    let at = Millis(t.clock.now().0 + 5_000);
    let used_up = Settlement {
        outcome: Outcome::Quota { resets_at: Some(at) },
        next: Next::TryAt {
            at,
            link: 0,
            agent: "smith".into(),
            quota: true,
        },
        spending: Spending {
            account: Some("x".to_owned()),
            ..Spending::default()
        },
        ..ended(Outcome::Crashed)
    };
    t.settle(first[0].lease, used_up);
    t.reopen();
    let request = ClaimRequest {
        terms: Arc::new(terms()),
        ..claim_by("e1", 9)
    };
    let Reply::Claimed { tasks, wake_at, .. } = t.apply(Command::Claim(request)) else {
        panic!("claimed")
    };
    assert_eq!((names(&tasks).as_str(), wake_at), ("c", Some(at)));
    assert_eq!(t.states(run), "a:held(quota) b:ready c:running d:ready");
    assert!(t.reader().allowances().unwrap()[0].exhausted);
    t.advance_ms(5_000);
    assert_eq!(names(&claim(t, 9, terms())), "a b d");
}

pub(super) fn a_limit_in_sight_is_kept_and_holds_nobody(t: &mut Trial) {
    submit(t, None, vec![prompt("a")]);
    let allowance = Allowance {
        account: "smith".to_owned(),
        window: Window::Week,
        what: "seven_day".to_owned(),
        exhausted: false,
        resets_at: Some(Millis(t.clock.now().0 + DAY_MS)),
        seen_at: Millis(0),
    };
    t.apply(Command::NoteAllowance(allowance.clone()));
    let kept = t.reader().allowances().unwrap();
    let seen_at = t.clock.now();
    assert_eq!(kept, [Allowance { seen_at, ..allowance }]);
    assert_eq!(names(&claim(t, 9, terms())), "a");
}

pub(super) fn the_work_of_a_day_is_summed(t: &mut Trial) {
    let run = submit(t, None, vec![prompt("a"), prompt("b")]);
    let claimed = claim(t, 9, terms());
    t.advance_ms(10);
    t.settle(claimed[0].lease, spent(line(7, Cost::Actual(20))));
    let failed = Settlement {
        outcome: Outcome::Crashed,
        ..spent(line(3, Cost::Included))
    };
    t.settle(claimed[1].lease, failed);
    let day = Day::of(t.clock.now());
    let mut sum = Tally::default();
    for (key, tally) in t.reader().tallies(day, day).unwrap() {
        assert_eq!(
            (key.agent.as_str(), key.model.as_deref(), key.kind.as_str()),
            ("smith", Some("m"), "general")
        );
        sum.add(&tally);
    }
    assert_eq!(
        (sum.entries, sum.usage.input, sum.actual_nano, sum.included),
        (2, 10, 20, 1)
    );
    assert_eq!((sum.tries, sum.wall_ms, sum.first_try, sum.failed), (2, 20, 1, 1));
    let rate = |key: &str, stars, t: &mut Trial| Command::Rate {
        task: t.task(run, key).id,
        stars,
        words: String::new(),
    };
    for stars in [2, 5] {
        let command = rate("a", stars, t);
        t.apply(command);
    }
    let command = rate("a", 6, t);
    assert!(matches!(t.refused(command), Refused::Illegal(_)));
    let stars = t
        .reader()
        .tallies(day, day)
        .unwrap()
        .iter()
        .map(|(_, tally)| (tally.rated, tally.stars))
        .next();
    assert_eq!(
        stars,
        Some((1, 5)),
        "the later rating takes the place of the earlier one"
    );
    let rated = t.task(run, "a").id;
    assert_eq!(t.reader().ratings(run).unwrap(), [(rated, 5)]);
    assert_eq!(t.reader().ratings(RunId(99)).unwrap(), []);
    assert_eq!(t.reader().tallies(Day(day.0 + 1), Day(day.0 + 2)).unwrap(), []);
}

pub(super) fn the_ledger_outlives_its_run(t: &mut Trial) {
    let run = submit(t, Some(500), vec![prompt("a")]);
    let claimed = claim(t, 9, terms());
    t.settle(claimed[0].lease, spent(line(7, Cost::Actual(20))));
    t.advance_ms(1_000);
    t.apply(Command::Prune { before: t.clock.now() });
    let entries = t.reader().ledger(0, 9).unwrap();
    assert_eq!((entries.len(), entries[0].run), (1, run));
    let now = t.clock.now();
    assert_eq!(t.reader().budgets(now).unwrap(), []);
    assert_eq!(t.reader().ledger(entries[0].id, 9).unwrap(), []);
}
