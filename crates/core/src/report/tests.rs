//! The arithmetic of reports, with the cost template of seed 001 as its example.

use super::*;
use crate::outcome::Outcome;
use crate::store::TaskResult;
use crate::usage::{Cost, UsageSource};

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn key(day: Day, agent: &str, model: Option<&str>, kind: &str) -> TallyKey {
    TallyKey {
        day,
        agent: agent.into(),
        model: model.map(str::to_owned),
        account: None,
        kind: kind.to_owned(),
    }
}

fn booked(tokens: u64, cost: Cost) -> Tally {
    let mut tally = Tally::default();
    tally.book(&crate::ledger::Line {
        usage: Usage {
            input: tokens,
            source: UsageSource::Reported,
            ..Usage::default()
        },
        cost,
        ..Default::default()
    });
    tally
}

fn with_tasks(mut tally: Tally, completed: u64, verified: u64) -> Tally {
    for _ in 0..completed {
        tally.end(1, &Outcome::Succeeded, &TaskResult::default());
    }
    tally.verified = verified;
    tally
}

fn rows(tallies: Vec<(TallyKey, Tally)>) -> Rows {
    Rows {
        period: Period {
            first: day("2026-11-01"),
            last: day("2026-11-30"),
        },
        run: None,
        tallies,
        crews: Vec::new(),
        spans: Spans::default(),
        fees: Vec::new(),
        stand_ins: BTreeSet::new(),
        terms: Terms::default(),
    }
}

fn usd(nano: u64) -> String {
    crate::money::show_usd(nano)
}

/// Seed 001, "Cost Tracking Template": the fees, the four API models with their tokens, the sums and the average. The
/// money of each model is what the document prints, so that its own sums can be checked.
#[test]
fn seed_001_cost_tracking_template() {
    let fee = |name: &str, dollars: u64| Fee {
        name: name.to_owned(),
        month_nano: dollars * 1_000_000_000,
        from: None,
        until: None,
    };
    let cents = |cents: u64| Cost::Priced(cents * 10_000_000);
    let on = day("2026-11-20");
    let of = |model, tokens, cost, completed| {
        let tally = with_tasks(booked(tokens, cost), completed, 0);
        (key(on, "any", Some(model), "general"), tally)
    };
    let report = report(Rows {
        fees: vec![
            fee("Claude Max", 200),
            fee("ChatGPT Plus", 20),
            fee("Grok Premium", 30),
            fee("Gemini Advanced", 20),
        ],
        ..rows(vec![
            of("claude-opus-4-6", 42_000, cents(378), 13),
            of("claude-sonnet-4-6", 380_000, cents(684), 400),
            of("claude-haiku-4-5", 1_200_000, cents(176), 500),
            of("gpt-4o", 95_000, cents(119), 100),
        ])
    });
    let fixed: Vec<String> = report.fixed.iter().map(|line| usd(line.nano)).collect();
    assert_eq!(fixed, ["$200.00", "$20.00", "$30.00", "$20.00"]);
    assert_eq!(usd(report.fixed_nano), "$270.00");
    assert_eq!(usd(report.variable.known_nano), "$13.57");
    assert_eq!(usd(report.total_nano), "$283.57");
    assert_eq!(report.work.completed, 1_013);
    let per_task = report.per_task.unwrap();
    assert_eq!(
        per_task.total_nano / 10_000_000,
        27,
        "the document rounds $0.2799 to $0.28"
    );
    assert_eq!((per_task.total_nano + 5_000_000) / 10_000_000, 28);
    assert!(!per_task.at_least);
    let models: Vec<&str> = report.models.iter().filter_map(|line| line.model.as_deref()).collect();
    assert_eq!(
        models,
        ["claude-sonnet-4-6", "claude-opus-4-6", "claude-haiku-4-5", "gpt-4o"]
    );
}

#[test]
fn an_unknown_cost_makes_every_sum_and_average_a_lower_bound() {
    let on = day("2026-11-03");
    let known = with_tasks(booked(10, Cost::Actual(100)), 1, 1);
    let unknown = with_tasks(booked(10, Cost::Unknown), 1, 1);
    let report = report(rows(vec![
        (key(on, "a", Some("m"), "review"), known),
        (key(on, "b", Some("m"), "review"), unknown),
    ]));
    assert_eq!((report.variable.known_nano, report.variable.unknown_entries), (100, 1));
    assert!(report.per_task.unwrap().at_least && !report.variable.is_known());
    assert!(!report.models[0].cost.is_known() && !report.days[0].cost.is_known());
    let kind = &report.kinds[0];
    assert_eq!((kind.per_verified_nano, kind.cost.is_known()), (Some(50), false));
    assert!(report.agents.iter().any(|line| !line.cost.is_known()));
}

#[test]
fn commands_and_stand_ins_are_counted_apart() {
    let on = day("2026-11-03");
    let done = with_tasks(Tally::default(), 3, 3);
    let report = report(Rows {
        stand_ins: [AgentName::from("rehearsal")].into(),
        crews: vec![
            Crew {
                agents: vec!["rehearsal".into()],
                runs: 9,
            },
            Crew {
                agents: vec!["codex".into(), "claude".into()],
                runs: 1,
            },
        ],
        ..rows(vec![
            (key(on, "exec", None, COMMAND), done),
            (key(on, "rehearsal", None, "review"), done),
            (
                key(on, "claude", Some("m"), "review"),
                with_tasks(booked(7, Cost::Included), 1, 0),
            ),
        ])
    });
    assert_eq!((report.work.completed, report.commands), (1, 3));
    let rehearsed: Vec<&str> = report
        .agents
        .iter()
        .filter(|line| line.rehearsed)
        .map(|line| line.agent.as_str())
        .collect();
    assert_eq!(rehearsed, ["rehearsal"]);
    assert_eq!(report.crews.len(), 1);
    assert_eq!(report.crews[0].agents, [AgentName::from("claude"), "codex".into()]);
    assert_eq!(report.kinds.len(), 1, "{:?}", report.kinds);
    assert_eq!(report.kinds[0].per_verified_nano, None, "nothing of it was verified");
}

#[test]
fn fees_are_whole_for_whole_months_and_by_days_for_parts() {
    let fee = |from: Option<&str>, until: Option<&str>| Fee {
        name: "f".to_owned(),
        month_nano: 3_000,
        from: from.map(day),
        until: until.map(day),
    };
    let come_to = |first: &str, last: &str, fee: Fee| {
        let period = Period {
            first: day(first),
            last: day(last),
        };
        lines::fixed(&[fee], period).first().map_or(0, |line| line.nano)
    };
    assert_eq!(come_to("2026-11-01", "2026-11-30", fee(None, None)), 3_000);
    assert_eq!(come_to("2026-11-01", "2026-11-10", fee(None, None)), 1_000);
    assert_eq!(come_to("2026-10-01", "2026-12-31", fee(None, None)), 9_000);
    assert_eq!(
        come_to("2026-11-01", "2026-11-30", fee(Some("2026-11-16"), None)),
        1_500
    );
    assert_eq!(come_to("2026-11-01", "2026-11-30", fee(None, Some("2026-10-31"))), 0);
}

fn span(task: u64, tries: &[(u64, u64)]) -> Span {
    Span {
        task: TaskId(task),
        tries: tries.iter().map(|(from, to)| (Millis(*from), Millis(*to))).collect(),
    }
}

#[test]
fn the_chain_the_sum_and_the_clock() {
    // 1 -> 2 -> 4, 1 -> 3 -> 4; 3 was tried twice with a pause between; nothing at all happened from 60 to 100.
    let run = RunSpans {
        run: RunId(1),
        tasks: vec![
            span(1, &[(0, 10)]),
            span(2, &[(10, 30)]),
            span(3, &[(10, 50), (50, 60)]),
            span(4, &[(100, 105)]),
        ],
        needs: [(1, 2), (1, 3), (2, 4), (3, 4)]
            .map(|(a, b)| (TaskId(a), TaskId(b)))
            .to_vec(),
    };
    let spans = Spans {
        runs: vec![run],
        left_out: 2,
    };
    let expected = Parallel {
        runs: 1,
        runs_left_out: 2,
        sum_ms: 85,
        critical_ms: 65,
        elapsed_ms: 65,
        saved_ms: 20,
    };
    assert_eq!(parallel(spans), Some(expected));
    assert_eq!(parallel(Spans::default()), None);
}

#[test]
fn a_need_leads_through_a_task_that_was_never_tried() {
    let run = RunSpans {
        run: RunId(1),
        tasks: vec![span(1, &[(0, 10)]), span(3, &[(10, 30)])],
        needs: vec![(TaskId(1), TaskId(2)), (TaskId(2), TaskId(3))],
    };
    let spans = Spans {
        runs: vec![run],
        left_out: 0,
    };
    assert_eq!(parallel(spans).unwrap().critical_ms, 30);
}

fn answered(input: u64, output: u64, cost: Cost) -> Tally {
    let mut tally = Tally::default();
    tally.book(&crate::ledger::Line {
        usage: Usage {
            input,
            output,
            source: UsageSource::Reported,
            ..Usage::default()
        },
        cost,
        ..Default::default()
    });
    tally
}

/// Seed 001, section 7: "1 Opus call (synthesis) + 5 cheaper calls (production) vs. doing everything in Opus: 6 Opus calls
/// at 5x the cost", at the prices of its section 5.
#[test]
fn seed_001_one_opus_call_and_five_cheaper_ones() {
    let row = |model: &str, input: u64, output: u64| {
        let on = day("2026-02-20");
        let usage = Usage {
            input,
            output,
            ..Usage::default()
        };
        let cost = seed_prices()
            .cost_nano(model, on, &usage, crate::price::Requests::Many)
            .unwrap();
        (
            key(on, model, Some(model), "general"),
            answered(input, output, Cost::Priced(cost)),
        )
    };
    let mut all = vec![row("claude-opus-4-6", 1_000, 1_000)];
    all.extend((0..5).map(|_| row("claude-sonnet-4-6", 1_000, 1_000)));
    let terms = Terms {
        prices: seed_prices(),
        lead: Some("claude-opus-4-6".to_owned()),
        default_model: None,
    };
    let told = report(Rows {
        terms: terms.clone(),
        ..rows(all.clone())
    });
    let savings = told.savings.unwrap();
    // A call of 1,000 tokens each way is 9 cents on Opus and 1.8 on Sonnet: five times as much, as the document has it.
    assert_eq!(usd(savings.paid_nano), "$0.1800");
    let lead = savings.lead.unwrap();
    assert_eq!(
        (usd(lead.cost_nano.unwrap()).as_str(), lead.saved_nano),
        ("$0.5400", Some(360_000_000))
    );
    assert_eq!(
        (lead.basis, savings.tokens_basis),
        (crate::compare::Basis::Assumed, crate::compare::Basis::Measured)
    );
    assert_eq!(savings.dearest.unwrap().model, "claude-opus-4-6");

    // What is not known is on neither side, and is counted.
    all.push((
        key(day("2026-02-20"), "m", Some("mystery"), "general"),
        answered(9, 9, Cost::Unknown),
    ));
    all.push((
        key(day("2026-02-20"), "s", Some("claude-opus-4-6"), "general"),
        answered(1_000, 1_000, Cost::Included),
    ));
    let savings = report(Rows {
        terms: Terms { lead: None, ..terms },
        ..rows(all)
    })
    .savings
    .unwrap();
    assert_eq!(usd(savings.paid_nano), "$0.1800");
    assert_eq!((savings.left_out_entries, savings.covered_entries), (1, 1));
    assert_eq!(savings.covered_list_nano.map(usd).as_deref(), Some("$0.0900"));
    assert_eq!(savings.unpriced_models, ["mystery"]);
    assert_eq!((savings.lead, savings.lead_is), (None, None), "nobody knows the lead");
}

/// The table of section 5 of seed 001: dollars a million tokens.
fn seed_prices() -> crate::price::Table {
    let row = |(model, input, output): &(&str, &str, &str)| {
        format!(
            r#"{{"model": "{model}", "provider": "any", "usd": {{"input": "{input}", "output": "{output}"}}, "source": "seed 001"}}"#
        )
    };
    let rows: Vec<String> = SEED_PRICES.iter().map(row).collect();
    crate::price::Table::parse(&format!(r#"{{"as_of": "2026-02-01", "prices": [{}]}}"#, rows.join(","))).unwrap()
}

const SEED_PRICES: [(&str, &str, &str); 4] = [
    ("claude-opus-4-6", "15", "75"),
    ("claude-sonnet-4-6", "3", "15"),
    ("claude-haiku-4-5", "0.80", "4"),
    ("gpt-4o", "2.50", "10"),
];
