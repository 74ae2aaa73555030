//! Phrases that several pages share: states, outcomes, money, tokens, times.

use std::time::Duration;

use wheelhouse_core::budget::Scope;
use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{RunState, RunView, TaskView};
use wheelhouse_core::task::{Held, TaskState};
use wheelhouse_core::time::{Millis, human};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::doc::{Cell, Tone};
use crate::json::task_name;

/// How many names a phrase lists before it counts the rest.
const NAMED_MAX: usize = 4;

/// A moment as people here read it: the time of day today, else with the date.
pub(crate) fn clock(at: Millis, now: Millis) -> String {
    let zoned = |at: Millis| {
        jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX))
            .map(|timestamp| timestamp.to_zoned(jiff::tz::TimeZone::system()))
            .ok()
    };
    match (zoned(at), zoned(now)) {
        (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M:%S").to_string(),
        (Some(at), _) => at.strftime("%Y-%m-%d %H:%M").to_string(),
        (None, _) => format!("{}", at.0),
    }
}

/// `1 task`, `3 tasks`.
pub(crate) fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        more => format!("{} {one}s", thousands(more)),
    }
}

pub(crate) use wheelhouse_core::money::thousands;

/// Names in a sentence: `a, b, c, d and 3 more`.
pub(crate) fn names(keys: &[TaskKey]) -> String {
    let shown: Vec<&str> = keys.iter().take(NAMED_MAX).map(TaskKey::as_str).collect();
    match keys.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Money, never guessed: known dollars and what nobody knows.
pub(crate) fn run_cost(cost_nano: u64, unknown: u64) -> String {
    match (cost_nano, unknown) {
        (0, 0) => "no charge".to_owned(),
        (nano, 0) => dollars(nano),
        (0, unknown) => format!("cost unknown ({})", tries(unknown)),
        (nano, unknown) => format!("{} and an unknown cost ({})", dollars(nano), tries(unknown)),
    }
}

/// `1 try`, `2 tries`.
pub(crate) fn tries(number: u64) -> String {
    match number {
        1 => "1 try".to_owned(),
        more => format!("{more} tries"),
    }
}

/// What one try cost.
pub(crate) fn cost(cost: &Cost) -> String {
    match cost {
        Cost::Actual(nano) | Cost::Priced(nano) => dollars(*nano),
        Cost::Included => "included in the subscription".to_owned(),
        Cost::Free => "free".to_owned(),
        Cost::Unknown => "unknown".to_owned(),
    }
}

pub(crate) use wheelhouse_core::money::show_usd as dollars;

/// Tokens in short, with where the number comes from; nothing when there are none.
pub(crate) fn tokens(usage: &Usage) -> Option<String> {
    let total = usage.total();
    let source = match usage.source {
        UsageSource::Reported => "",
        UsageSource::Estimated => " (estimated)",
    };
    (total > 0).then(|| format!("{} tokens{source}", thousands(total)))
}

/// How far a run is: `3 of 6 done, 1 failed`.
pub(crate) fn run_progress(run: &RunView) -> String {
    let counts = &run.counts;
    let done = counts.total() - counts.open();
    let mut text = format!("{} of {} done", thousands(done), thousands(counts.total()));
    for (number, word) in [
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {} {word}", thousands(number)));
        }
    }
    text
}

/// The state of a run in a word.
pub(crate) fn run_state(run: &RunView) -> Cell {
    match run.state {
        RunState::Active if run.standing && run.counts.open() == 0 => Cell::toned("idle", Tone::Dim),
        RunState::Active => Cell::toned("active", Tone::Live),
        RunState::Paused => Cell::toned("paused", Tone::Warm),
        RunState::Interrupted => Cell::toned("interrupted", Tone::Warm),
        RunState::Finished if run.all_succeeded() => Cell::toned("succeeded", Tone::Good),
        RunState::Finished => Cell::toned("finished", Tone::Bad),
    }
}

/// How long a run took so far, or in all.
pub(crate) fn run_took(run: &RunView, now: Millis) -> Duration {
    run.finished_at.unwrap_or(now).since(run.submitted_at)
}

/// The outcome of a task in words and its tone.
pub(crate) fn outcome(outcome: &Outcome) -> Cell {
    match outcome {
        Outcome::Succeeded => Cell::toned("succeeded", Tone::Good),
        Outcome::Skipped { cause } => Cell::toned(format!("skipped because of {cause}"), Tone::Dim),
        Outcome::Cancelled => Cell::toned("cancelled", Tone::Dim),
        other => Cell::toned(other.class().replace('_', " "), Tone::Bad),
    }
}

/// Where a task stands, in a word.
pub(crate) fn task_state(task: &TaskView) -> Cell {
    match &task.state {
        TaskState::Waiting { .. } => Cell::toned("waiting", Tone::Dim),
        TaskState::Ready => Cell::from("ready"),
        TaskState::Running if task.cancel_requested => Cell::toned("stopping", Tone::Warm),
        TaskState::Running => Cell::toned("running", Tone::Live),
        TaskState::Held(_) => Cell::toned("held", Tone::Warm),
        TaskState::Done { outcome: how } => outcome(how),
    }
}

/// What a task waits on, exactly, and how that ends; how long it runs or took.
pub(crate) fn task_note(task: &TaskView, now: Millis) -> String {
    match &task.state {
        TaskState::Waiting { .. } => format!("waits for {}", names(&task.waits_for)),
        TaskState::Ready => "starts when there is a free place".to_owned(),
        TaskState::Running => {
            let since = task.started_at.map_or(Duration::ZERO, |at| now.since(at));
            let mut note = format!("for {}", human(since));
            if task.attempt > 1 {
                note.push_str(&format!(", try {}", task.attempt));
            }
            note
        }
        TaskState::Held(held) => held_note(held, task.run, now),
        TaskState::Done { .. } => took(task).map(|took| human(took).to_string()).unwrap_or_default(),
    }
}

/// How long the last try of a done task took.
pub(crate) fn took(task: &TaskView) -> Option<Duration> {
    Some(task.done_at?.since(task.started_at?))
}

/// Why a task is held and what ends it.
pub(crate) fn held_note(held: &Held, run: RunId, now: Millis) -> String {
    match held {
        Held::Paused => format!("its run is paused: `wheelhouse resume {run}`"),
        Held::Approval { question } => format!("needs approval: `wheelhouse approve {question}`"),
        Held::Question { question } => format!("asks {question}: `wheelhouse answer {question} …`"),
        Held::Budget { scope, until } => held_budget(scope, *until, run, now),
        Held::Quota { until } => format!(
            "the provider's allowance returns at {} (in {})",
            clock(*until, now),
            human(until.since(now))
        ),
        Held::Retry { until } => format!("tried again in {}", human(until.since(now))),
        Held::Conflict { with } => format!("`{with}` writes the same files"),
        Held::MergeConflict { question } => format!("does not merge: `wheelhouse answer` shows {question}"),
    }
}

/// Which budget is in the way, and what makes room in it.
/// A moment to come: `until 12:03:10 (in 27s)`.
pub(crate) fn until(until: Millis, now: Millis) -> String {
    format!("until {} (in {})", clock(until, now), human(until.since(now)))
}

fn held_budget(scope: &Scope, until: Option<Millis>, run: RunId, now: Millis) -> String {
    let raise = match scope {
        Scope::Task(_) => format!("`wheelhouse budget raise {run}/… USD`"),
        Scope::Instance(instance) => format!("`wheelhouse budget raise i{instance} USD`"),
        scope => format!("`wheelhouse budget raise {scope} USD`"),
    };
    match until {
        Some(until) => format!(
            "the budget of {} is used up until {} (in {}): {raise}",
            scope_name(scope),
            clock(until, now),
            human(until.since(now))
        ),
        None => format!("there is no room in the budget of {}: {raise}", scope_name(scope)),
    }
}

/// What a budget limits, in words.
pub(crate) fn scope_name(scope: &Scope) -> String {
    match scope {
        Scope::Day => "the day".to_owned(),
        Scope::Hour => "the hour".to_owned(),
        Scope::Session => "this session of the engine".to_owned(),
        Scope::Run(run) => run.to_string(),
        Scope::Task(_) => "the task".to_owned(),
        Scope::Instance(instance) => format!("i{instance} and those below it"),
        Scope::Crew => "all instances".to_owned(),
        Scope::CrewHour => "all instances in this hour".to_owned(),
    }
}

/// The command that tries a task again.
pub(crate) fn retry_command(task: &TaskView) -> String {
    format!("wheelhouse retry {}", task_name(task.run, &task.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_never_guessed() {
        assert_eq!(run_cost(0, 0), "no charge");
        assert_eq!(run_cost(0, 2), "cost unknown (2 tries)");
        assert_eq!(run_cost(1_234_567_890, 1), "$1.23 and an unknown cost (1 try)");
        assert_eq!(dollars(12_340_000), "$0.0123");
        assert_eq!(dollars(999_999_999), "$1.0000");
        assert_eq!(dollars(1_234_567_000_000_000), "$1,234,567.00");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "task"), "1 task");
        assert_eq!(count(0, "task"), "0 tasks");
    }

    #[test]
    fn long_lists_are_cut() {
        let keys: Vec<TaskKey> = ["a", "b", "c", "d", "e", "f"].map(TaskKey::from).to_vec();
        assert_eq!(names(&keys[..2]), "a, b");
        assert_eq!(names(&keys), "a, b, c, d and 2 more");
    }
}
