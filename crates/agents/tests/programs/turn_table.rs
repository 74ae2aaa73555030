//! Turns written as lines of a table, for tests that compare many at once.

use wheelhouse_agents::decode::Turn;
use wheelhouse_core::outcome::Outcome;

/// A turn in one line.
pub(crate) fn turn_line(name: &str, turn: &Turn, asked: &[String]) -> String {
    let usage = turn.usage;
    let outcome = match &turn.outcome {
        Outcome::RateLimited {
            retry_after_ms: Some(ms),
        } => format!("rate_limited({ms})"),
        other => other.class().to_owned(),
    };
    let mut line = format!(
        "{name}: {outcome} '{}' {}/{}/{}/{}/{} {} {:?}",
        turn.text,
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        format!("{:?}", usage.source).to_lowercase(),
        turn.cost,
    );
    if turn.interrupted {
        line += " interrupted";
    }
    if !asked.is_empty() {
        line += &format!(" asked=[{}]", asked.join("; "));
    }
    for denial in &turn.denials {
        line += &format!(" denied={} by {:?}", denial.tool, denial.by);
    }
    if !turn.files.is_empty() {
        line += &format!(" files={}", turn.files.join(","));
    }
    line + "\n"
}

/// Two tables, compared line by line so that a difference is seen at once.
pub(crate) fn assert_same(seen: &str, expected: &str) {
    let differing: Vec<String> = seen
        .lines()
        .zip(expected.lines())
        .filter(|(seen, expected)| seen != expected)
        .map(|(seen, expected)| format!("seen:     {seen}\nexpected: {expected}"))
        .collect();
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
    assert_eq!(seen.lines().count(), expected.lines().count(), "\n{seen}");
}
