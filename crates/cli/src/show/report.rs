//! The report of a run: what came out, what failed and why, the graph, the time line, the usage, the results.
//!
//! The same page is written to `.wheelhouse/reports/` as Markdown and shown at the end of `run`.

use std::collections::BTreeMap;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::ledger::Tally;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::report::Money;
use wheelhouse_core::store::{RunState, TaskResult};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::{Millis, human};
use wheelhouse_core::usage::{Usage, UsageSource};

use super::doc::{Block, Page, Table};
use super::drawing::{graph, time_line};
use super::words;
use crate::gather::{Detail, Report, failed};
use crate::terminal::{fit, one_line};

/// How much of each result is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    /// For a screen: the last results in full, the beginnings of the others.
    Brief,
    /// For a file: everything.
    Whole,
}

/// How many results a brief report shows.
const BRIEF_RESULTS_MAX: usize = 12;
/// How many lines of a result a brief report shows: of one that others used, and of one that nothing needs.
const BRIEF_LINES: (usize, usize) = (5, 60);

/// The report as a page.
pub(crate) fn page(report: &Report, length: Length) -> Page {
    let mut page = Page::default();
    page.heading(1, format!("{} ({})", report.run.name, report.run.id));
    page.text(headline(report));
    if let Some(text) = rehearsed(report) {
        page.text(text);
    }
    attention(report, &mut page);
    page.heading(2, "Graph");
    page.push(Block::Lines(graph(&report.tasks)));
    let bars = time_line(report);
    if !bars.is_empty() {
        page.heading(2, "Time line");
        page.push(Block::Lines(bars));
    }
    page.heading(2, "Usage");
    page.push(Block::Table(usage(report)));
    page.text(usage_note(report));
    results(report, length, &mut page);
    page
}

/// What came out, in a sentence or two.
pub(crate) fn headline(report: &Report) -> String {
    let run = &report.run;
    let counts = &run.counts;
    let took = human(words::run_took(run, report.now));
    let total = words::count(counts.total(), "task");
    let mut text = match run.state {
        RunState::Finished if run.all_succeeded() && counts.skipped > 0 => format!(
            "All that was needed succeeded in {took}; {} of {total} {} not",
            words::thousands(counts.skipped),
            if counts.skipped == 1 { "was" } else { "were" }
        ),
        RunState::Finished if run.all_succeeded() && run.steps_failed > 0 => format!(
            "Succeeded in {took}; {} of {total} on the way did not, which the workflows made up for",
            words::thousands(run.steps_failed)
        ),
        RunState::Finished if run.all_succeeded() => match counts.total() {
            0 => "There was nothing to do.".to_owned(),
            1 => format!("The one task succeeded in {took}."),
            _ => format!("All {total} succeeded in {took}."),
        },
        RunState::Finished => format!("Over after {took}: {} of {total} succeeded", counts.succeeded),
        RunState::Active | RunState::Paused | RunState::Interrupted => {
            format!("Not over after {took}: {}", words::run_progress(run))
        }
    };
    if !text.ends_with('.') {
        if run.state == RunState::Finished && !run.all_succeeded() {
            for (number, word) in [
                (counts.failed, "failed"),
                (counts.skipped, "skipped"),
                (counts.cancelled, "cancelled"),
            ] {
                if number > 0 {
                    text.push_str(&format!(", {} {word}", words::thousands(number)));
                }
            }
        }
        text.push('.');
    }
    let cost = words::run_cost(run.cost_nano, run.cost_unknown);
    let mut cost: String = cost[..1].to_uppercase() + &cost[1..];
    if let Some(tokens) = words::tokens(&run.usage) {
        cost.push_str(&format!(", {tokens}"));
    }
    format!("{text} {cost}. From `{}`.", one_line(&run.source))
}

/// What is not real, said before anything else.
fn rehearsed(report: &Report) -> Option<String> {
    let is_rehearsed = |detail: &&Detail| detail.result.as_ref().is_some_and(|result| result.rehearsed);
    let names: Vec<TaskKey> = report
        .details
        .iter()
        .filter(is_rehearsed)
        .map(|detail| detail.task.key.clone())
        .collect();
    (!names.is_empty()).then(|| {
        let (results, are) = match names.len() {
            1 => ("result", "is"),
            _ => ("results", "are"),
        };
        format!(
            "**Rehearsed:** the {results} of {} {are} made up by the stand-in `rehearsal`; no agent was asked. \
             `wheelhouse doctor` says which agents this machine has.",
            words::names(&names)
        )
    })
}

/// What failed and why, what was skipped for it, what waits for a person; each with the next command.
pub(crate) fn attention(report: &Report, page: &mut Page) {
    let mut points: Vec<String> = report
        .details
        .iter()
        .filter(|detail| failed(&detail.task))
        .map(failure)
        .collect();
    let mut skipped: BTreeMap<&TaskKey, Vec<TaskKey>> = BTreeMap::new();
    for task in &report.tasks {
        if let TaskState::Done {
            outcome: Outcome::Skipped { cause },
        } = &task.state
        {
            skipped.entry(cause).or_default().push(task.key.clone());
        }
    }
    for (cause, tasks) in skipped {
        let were = if tasks.len() == 1 { "was" } else { "were" };
        points.push(format!("{} {were} skipped because of `{cause}`.", words::names(&tasks)));
    }
    for question in &report.questions {
        let command = match question.kind.choices() {
            ["approve", "deny"] => format!("`wheelhouse approve {0}` or `wheelhouse deny {0}`", question.id),
            [] => format!("`wheelhouse answer {} …`", question.id),
            choices => format!("`wheelhouse answer {} {}`", question.id, choices.join("|")),
        };
        points.push(format!(
            "`{}` asks: {}\n{command}",
            question.key,
            one_line(&question.text)
        ));
    }
    match report.run.state {
        RunState::Paused | RunState::Interrupted => {
            points.push(format!("The run is paused.\n`wheelhouse resume {}`", report.run.id));
        }
        RunState::Active | RunState::Finished => {}
    }
    if !points.is_empty() {
        page.heading(2, "Needs attention");
        page.push(Block::List(points));
    }
}

fn failure(detail: &Detail) -> String {
    let task = &detail.task;
    let how = words::task_state(task).text;
    let exit = detail.result.as_ref().and_then(|result| result.exit_code);
    let exit = exit
        .filter(|code| *code != 0)
        .map(|code| format!(" with exit code {code}"));
    let tries = match detail.attempts.len() {
        0 | 1 => String::new(),
        more => format!(" after {more} tries"),
    };
    let mut text = format!("`{}` {how}{}{tries}.", task.key, exit.unwrap_or_default());
    if let Some(reason) = detail.result.as_ref().and_then(reason) {
        text.push_str(&format!("\n{}", fit(&reason, 300)));
    }
    let name = crate::json::task_name(task.run, &task.key);
    text.push_str(&format!(
        "\n`wheelhouse logs {name}` · `{}`",
        words::retry_command(task)
    ));
    text
}

/// Why it failed: the check that failed, else the first line of what is known about it (the engine puts the cause
/// before what the agent said).
fn reason(result: &TaskResult) -> Option<String> {
    if let Some(check) = result.checks.iter().find(|check| !check.passed()) {
        let last = check
            .tail
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default();
        let code = check
            .exit_code
            .map_or("was stopped".to_owned(), |code| format!("exit code {code}"));
        return Some(format!(
            "The check `{}` failed ({code}): {}",
            one_line(&check.command),
            one_line(last)
        ));
    }
    let first = result.summary.lines().find(|line| !line.trim().is_empty())?;
    Some(one_line(first))
}

#[derive(Default)]
struct AgentUsage {
    tasks: u64,
    tries: u64,
    usage: Usage,
    cost: Money,
}

fn by_agent(report: &Report) -> BTreeMap<String, AgentUsage> {
    let mut agents: BTreeMap<String, AgentUsage> = BTreeMap::new();
    for detail in &report.details {
        let mut seen: Vec<&str> = Vec::new();
        for attempt in &detail.attempts {
            let name = attempt.agent.as_str();
            let entry = agents.entry(name.to_owned()).or_default();
            // A try that waited for money, or lost its engine, was begun more than once under one number.
            entry.tries += u64::from(attempt.begun);
            if !seen.contains(&name) {
                seen.push(name);
                entry.tasks += 1;
            }
        }
    }
    // What was consumed is the ledger's to say: of a try that went on later a single end is known.
    let mut sums: BTreeMap<&str, Tally> = BTreeMap::new();
    for sum in &report.sums {
        sums.entry(sum.key.agent.as_str()).or_default().add(&sum.tally);
    }
    for (name, tally) in sums {
        let entry = agents.entry(name.to_owned()).or_default();
        entry.usage = tally.usage;
        entry.cost = Money::of(&tally);
    }
    agents
}

fn usage(report: &Report) -> Table {
    let mut table = Table::new(&["agent", "tasks", "tries", "input", "output", "cost"]);
    for (agent, used) in by_agent(report) {
        let usage = used.usage;
        let number = |number: u64| match (number, usage.source) {
            (0, _) => "–".to_owned(),
            (number, UsageSource::Reported) => words::thousands(number),
            (number, UsageSource::Estimated) => format!("~{}", words::thousands(number)),
        };
        let cost = match (
            used.cost.known_nano,
            used.cost.unknown_entries,
            used.cost.included_entries,
        ) {
            (0, 0, 1..) => "included".to_owned(),
            (0, 0, 0) => "free".to_owned(),
            (nano, unknown, _) => words::run_cost(nano, unknown),
        };
        table.row([
            agent.into(),
            words::thousands(used.tasks).into(),
            words::thousands(used.tries).into(),
            number(usage.input + usage.cache_read + usage.cache_write).into(),
            number(usage.output + usage.reasoning).into(),
            cost.into(),
        ]);
    }
    table
}

fn usage_note(report: &Report) -> String {
    let mut notes = Vec::new();
    let estimated = |attempt: &wheelhouse_core::store::AttemptView| {
        attempt.usage.total() > 0 && attempt.usage.source == UsageSource::Estimated
    };
    if report.details.iter().flat_map(|detail| &detail.attempts).any(estimated) {
        notes.push("`~` marks estimates.".to_owned());
    }
    let left_out = report.tasks.len().saturating_sub(report.details.len());
    if left_out > 0 {
        let more = words::count(left_out as u64, "task");
        notes.push(format!(
            "The tries of {more} are not counted in the table; tokens and costs are of all."
        ));
    }
    notes.push(format!(
        "In all: {}.",
        words::run_cost(report.run.cost_nano, report.run.cost_unknown)
    ));
    notes.join(" ")
}

fn results(report: &Report, length: Length, page: &mut Page) {
    let needed: std::collections::BTreeSet<&TaskKey> = report.tasks.iter().flat_map(|task| &task.needs).collect();
    let mut told: Vec<&Detail> = report.details.iter().filter(|detail| detail.result.is_some()).collect();
    if length == Length::Brief && told.len() > BRIEF_RESULTS_MAX {
        // Of many, those that matter at the end: what nothing used, and what failed.
        told.retain(|detail| !needed.contains(&detail.task.key) || failed(&detail.task));
        told.truncate(BRIEF_RESULTS_MAX);
    }
    let shown = told.len();
    if told.is_empty() {
        return;
    }
    page.heading(2, "Results");
    for detail in told {
        let Some(result) = &detail.result else { continue };
        page.heading(3, detail.task.key.as_str());
        page.text(provenance(detail, result));
        let lines = match (length, needed.contains(&detail.task.key)) {
            (Length::Whole, _) => usize::MAX,
            (Length::Brief, true) => BRIEF_LINES.0,
            (Length::Brief, false) => BRIEF_LINES.1,
        };
        let said = detail.output.as_deref().unwrap_or(&result.summary).trim_end();
        if said.trim().is_empty() {
            page.text("It said nothing.");
        } else {
            page.push(Block::Quote(said.lines().take(lines).collect::<Vec<_>>().join("\n")));
        }
        let name = crate::json::task_name(detail.task.run, &detail.task.key);
        let cut = said.lines().count() > lines;
        let kept = result
            .artifacts
            .iter()
            .any(|output| output.name == "output" && output.bytes > 0);
        if cut || (kept && detail.output.is_none()) {
            page.text(format!("More: `wheelhouse result {name} --full`"));
        }
    }
    let skipped = report.run.counts.skipped + report.run.counts.cancelled;
    let left_out = (report.run.counts.total() - report.run.counts.open())
        .saturating_sub(shown as u64)
        .saturating_sub(skipped);
    if left_out > 0 {
        let more = words::count(left_out, "more result");
        page.text(format!("… and {more}: `wheelhouse status {}`", report.run.id));
    }
}

/// Who did it, how it came out, and what of it was checked.
pub(crate) fn provenance(detail: &Detail, result: &TaskResult) -> String {
    let task = &detail.task;
    let mut parts = vec![format!("`{}`", task.agent)];
    if result.rehearsed {
        parts.push("**rehearsed**".to_owned());
    }
    let took = words::took(task)
        .map(|took| format!(" in {}", human(took)))
        .unwrap_or_default();
    parts.push(format!("{}{took}", words::task_state(task).text));
    if detail.attempts.len() > 1 {
        parts.push(format!("{} tries", detail.attempts.len()));
    }
    if let Some(verdict) = &result.verdict {
        parts.push(format!("verdict: {}", one_line(verdict)));
    }
    let passed = result.checks.iter().filter(|check| check.passed()).count();
    match (passed, result.checks.len()) {
        (_, 0) if !detail.is_command && !result.rehearsed => parts.push("claimed, not verified".to_owned()),
        (_, 0) => {}
        (passed, all) if passed == all => parts.push(format!("verified by {}", words::count(all as u64, "check"))),
        (passed, all) => parts.push(format!("{passed} of {all} checks passed")),
    }
    if !result.files.is_empty() {
        parts.push(format!("changed {}", words::count(result.files.len() as u64, "file")));
    }
    parts.join(" · ")
}

/// The moment a report is about, for its file.
pub(crate) fn footer(now: Millis) -> String {
    format!(
        "\n---\n\nWritten by wheelhouse {} at {}.\n",
        env!("CARGO_PKG_VERSION"),
        crate::json::moment(now)
    )
}
