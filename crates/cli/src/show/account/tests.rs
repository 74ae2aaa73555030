//! How numbers and money are written, and what CSV fields look like.

use super::*;

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
