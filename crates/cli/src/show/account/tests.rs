//! How numbers and money are written, and what CSV fields look like.

use std::collections::BTreeSet;

use wheelhouse_core::day::Day;
use wheelhouse_core::ledger::{Tally, TallyKey};
use wheelhouse_core::report::{Period, Spans, Terms, report};
use wheelhouse_core::usage::Usage;

use super::*;
use crate::terminal::Paint;

#[test]
fn tokens_are_short_and_rounded() {
    for (number, text) in [
        (0, "0"),
        (9_999, "9,999"),
        (42_000, "42K"),
        (95_149, "95.1K"),
        (380_000, "380K"),
        (999_949, "1,000K"),
        (999_951, "1M"),
        (1_200_000, "1.2M"),
        (15_300_000, "15.3M"),
        (1_717_000_000, "1.7B"),
    ] {
        assert_eq!(tokens(number), text);
    }
}

#[test]
fn shares_have_a_decimal_where_it_says_something() {
    for (part, of, text) in [
        (92, 100, "92 %"),
        (200, 3_000, "6.7 %"),
        (100, 3_000, "3.3 %"),
        (1, 3, "33 %"),
        (0, 9, "0 %"),
        (1, 0, "–"),
    ] {
        assert_eq!(percent(part, of), text);
    }
}

#[test]
fn money_says_what_is_unknown_of_it() {
    let cost = |known_nano, unknown_entries, included_entries| {
        money(&Money {
            known_nano,
            included_entries,
            unknown_entries,
            assumed_nano: 0,
        })
    };
    assert_eq!(cost(0, 0, 0), "no charge");
    assert_eq!(cost(0, 0, 3), "included");
    assert_eq!(cost(0, 2, 3), "unknown (2)");
    assert_eq!(cost(1_500_000_000, 2, 0), "$1.50 + 2 unknown");
    assert_eq!(at_least(0, true), "unknown");
    assert_eq!(at_least(1_500_000_000, true), "at least $1.50");
}

#[test]
fn fields_of_csv_are_quoted_and_are_no_formulas() {
    assert_eq!(field("plain"), "plain");
    assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
    assert_eq!(field("=cmd()"), "'=cmd()");
}

/// Seed 000, "Analytics Dashboard": 3,000 tasks, 45M tokens, who worked together, how it came out, 4.8 of 5 stars.
#[test]
fn seed_000_orchestration_performance() {
    let day: Day = "2026-11-01".parse().unwrap();
    let key = TallyKey {
        day,
        agent: "claude".into(),
        model: Some("claude-opus-4-6".to_owned()),
        account: None,
        kind: "general".to_owned(),
    };
    let tally = Tally {
        entries: 3_000,
        usage: Usage {
            input: 45_000_000,
            ..Usage::default()
        },
        included: 3_000,
        first_try: 2_760,
        second_try: 210,
        reworked: 30,
        rated: 5,
        stars: 24,
        ..Tally::default()
    };
    let crew = |names: &[&str], runs| Crew {
        agents: names.iter().map(|name| (*name).into()).collect(),
        runs,
    };
    let report = report(Rows {
        period: Period {
            first: day,
            last: "2026-11-30".parse().unwrap(),
        },
        run: None,
        tallies: vec![(key, tally)],
        crews: vec![
            crew(&["claude"], 2_100),
            crew(&["claude", "gemini"], 600),
            crew(&["claude", "codex"], 200),
            crew(&["claude", "codex", "gemini"], 100),
        ],
        spans: Spans::default(),
        fees: Vec::new(),
        stand_ins: BTreeSet::new(),
        terms: Terms::default(),
    });
    let page = page(&report).text_of(80, Paint(false));
    let row = |words: &[&str]| {
        let found = page.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} in\n{page}");
    };
    row(&["3,000 tasks completed", "45M tokens"]);
    row(&["Cost per task (average)", "15K"]);
    row(&["claude alone", "2,100", "70 %"]);
    row(&["claude + gemini", "600", "20 %"]);
    row(&["claude + codex", "200", "6.7 %"]);
    row(&["claude + codex + gemini", "100", "3.3 %"]);
    row(&["with the first try", "92 %"]);
    row(&["after one review or check", "7 %"]);
    row(&["after more rework", "1 %"]);
    row(&["what people thought", "4.8/5"]);
}
