//! The report of a run: what came out, what failed and why, the graph, the time line, the usage, the results.
//!
//! The same page is written to `.wheelhouse/reports/` as Markdown and shown at the end of `run`.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{RunState, TaskResult, TaskView};
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::{Millis, human};
use wheelhouse_core::usage::{Cost, Usage, UsageSource};

use super::doc::{Block, Page, Table};
use super::words;
use crate::gather::{Detail, Report, failed};
use crate::terminal::{columns, fit, one_line, pad};

/// How many tasks the graph and the time line draw.
const DRAWN_MAX: usize = 60;
/// How many columns a time line's bars take.
const BAR_COLUMNS: usize = 34;
/// How many columns a task's name takes in drawings.
const NAME_COLUMNS: usize = 20;

/// How much of each result is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    /// For a screen: the last results in full, the beginnings of the others.
    Brief,
    /// For a file: everything.
    Whole,
}

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
        RunState::Finished if words::all_succeeded(run) => match counts.total() {
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
        if run.state == RunState::Finished {
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

/// The mark of a task in drawings.
fn mark(task: &TaskView) -> char {
    match &task.state {
        TaskState::Waiting { .. } | TaskState::Ready => '·',
        TaskState::Running => '▸',
        TaskState::Held(_) => '?',
        TaskState::Done { outcome } => match outcome {
            Outcome::Succeeded => '✓',
            Outcome::Skipped { .. } => '○',
            Outcome::Cancelled => '–',
            _ => '✗',
        },
    }
}

/// The layer of each task: one more than the deepest of what it needs. Plans have no cycles; a task whose needs are
/// not there counts as the first layer.
pub(crate) fn layers(tasks: &[(TaskKey, Vec<TaskKey>)]) -> Vec<usize> {
    let places: BTreeMap<&TaskKey, usize> = tasks.iter().enumerate().map(|(place, (key, _))| (key, place)).collect();
    let mut layer = vec![0; tasks.len()];
    // Needs mostly stand before those who need them, so few rounds are enough; each round settles one layer at least.
    for _ in 0..tasks.len() {
        let mut changed = false;
        for (place, (_, needs)) in tasks.iter().enumerate() {
            let deepest = needs
                .iter()
                .filter_map(|need| places.get(need))
                .map(|need| layer[*need] + 1)
                .max();
            let deeper = deepest.unwrap_or(0);
            if deeper > layer[place] {
                layer[place] = deeper;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    layer
}

/// The graph as lines: layer by layer, each task with what it needs.
fn graph(tasks: &[TaskView]) -> Vec<String> {
    let keyed: Vec<(TaskKey, Vec<TaskKey>)> = tasks
        .iter()
        .map(|task| (task.key.clone(), task.needs.clone()))
        .collect();
    let marks: Vec<char> = tasks.iter().map(mark).collect();
    graph_lines(&keyed, Some(&marks))
}

/// The graph of any tasks; `marks` stand before their names.
pub(crate) fn graph_lines(tasks: &[(TaskKey, Vec<TaskKey>)], marks: Option<&[char]>) -> Vec<String> {
    let layer = layers(tasks);
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|place| layer[*place]);
    let name = order
        .iter()
        .take(DRAWN_MAX)
        .map(|place| columns(tasks[*place].0.as_str()))
        .max()
        .unwrap_or(0)
        .min(NAME_COLUMNS);
    let mut last = None;
    let mut lines = Vec::new();
    for place in order.iter().take(DRAWN_MAX).copied() {
        let (key, needs) = &tasks[place];
        let head = if last == Some(layer[place]) {
            String::new()
        } else {
            (layer[place] + 1).to_string()
        };
        last = Some(layer[place]);
        let mark = marks.map(|marks| format!("{} ", marks[place])).unwrap_or_default();
        let needs = match needs.as_slice() {
            [] => String::new(),
            needs => format!("  ← {}", words::names(needs)),
        };
        let key = pad(&fit(key.as_str(), name), name);
        lines.push(format!("{head:>3}  {mark}{key}{needs}").trim_end().to_owned());
    }
    if tasks.len() > DRAWN_MAX {
        lines.push(format!(
            "     … and {}",
            words::count((tasks.len() - DRAWN_MAX) as u64, "more task")
        ));
    }
    lines
}

/// When each task was worked on, as bars over the time of the run.
fn time_line(report: &Report) -> Vec<String> {
    let spans = |detail: &Detail| -> Vec<(u64, u64)> {
        detail
            .attempts
            .iter()
            .map(|attempt| (attempt.started_at.0, attempt.ended_at.unwrap_or(report.now).0))
            .collect()
    };
    let mut shown: Vec<(&Detail, Vec<(u64, u64)>)> = report
        .details
        .iter()
        .map(|detail| (detail, spans(detail)))
        .filter(|(_, spans)| !spans.is_empty())
        .collect();
    shown.sort_by_key(|(_, spans)| spans.first().map(|span| span.0));
    let Some(begin) = shown.iter().flat_map(|(_, spans)| spans).map(|span| span.0).min() else {
        return Vec::new();
    };
    let end = shown
        .iter()
        .flat_map(|(_, spans)| spans)
        .map(|span| span.1)
        .max()
        .unwrap_or(begin);
    let whole = (end - begin).max(1);
    let name = shown
        .iter()
        .take(DRAWN_MAX)
        .map(|(detail, _)| columns(detail.task.key.as_str()))
        .max()
        .unwrap_or(0)
        .min(NAME_COLUMNS);
    let mut lines: Vec<String> = shown
        .iter()
        .take(DRAWN_MAX)
        .map(|(detail, spans)| {
            let took: u64 = spans.iter().map(|span| span.1.saturating_sub(span.0)).sum();
            let key = pad(&fit(detail.task.key.as_str(), name), name);
            let bar = bar(spans, begin, whole);
            let mark = mark(&detail.task);
            format!("{mark} {key}  {bar}  {}", human(Duration::from_millis(took)))
        })
        .collect();
    if shown.len() > DRAWN_MAX {
        lines.push(format!(
            "… and {}",
            words::count((shown.len() - DRAWN_MAX) as u64, "more task")
        ));
    }
    lines
}

fn bar(spans: &[(u64, u64)], begin: u64, whole: u64) -> String {
    let column = |at: u64| (at.saturating_sub(begin) as u128 * BAR_COLUMNS as u128 / u128::from(whole)) as usize;
    let mut cells = ['·'; BAR_COLUMNS];
    for (start, end) in spans {
        let from = column(*start).min(BAR_COLUMNS - 1);
        let to = column(*end).clamp(from + 1, BAR_COLUMNS);
        cells[from..to].fill('█');
    }
    cells.iter().collect()
}

#[derive(Default)]
struct AgentUsage {
    tasks: u64,
    tries: u64,
    usage: Option<Usage>,
    known_nano: u64,
    unknown: u64,
    included: bool,
}

fn by_agent(report: &Report) -> BTreeMap<String, AgentUsage> {
    let mut agents: BTreeMap<String, AgentUsage> = BTreeMap::new();
    for detail in &report.details {
        let mut seen: Vec<&str> = Vec::new();
        for attempt in &detail.attempts {
            let name = attempt.agent.as_str();
            let entry = agents.entry(name.to_owned()).or_default();
            entry.tries += 1;
            if !seen.contains(&name) {
                seen.push(name);
                entry.tasks += 1;
            }
            entry.usage = Some(match entry.usage {
                Some(before) => before.plus(attempt.usage),
                None => attempt.usage,
            });
            match &attempt.cost {
                Some(Cost::Actual(nano) | Cost::Priced(nano)) => entry.known_nano += nano,
                Some(Cost::Unknown) => entry.unknown += 1,
                Some(Cost::Included) => entry.included = true,
                Some(Cost::Free) | None => {}
            }
        }
    }
    agents
}

fn usage(report: &Report) -> Table {
    let mut table = Table::new(&["agent", "tasks", "tries", "input", "output", "cost"]);
    for (agent, used) in by_agent(report) {
        let usage = used.usage.unwrap_or_default();
        let number = |number: u64| match (number, usage.source) {
            (0, _) => "–".to_owned(),
            (number, UsageSource::Reported) => words::thousands(number),
            (number, UsageSource::Estimated) => format!("~{}", words::thousands(number)),
        };
        let cost = match (used.known_nano, used.unknown, used.included) {
            (0, 0, true) => "included".to_owned(),
            (0, 0, false) => "free".to_owned(),
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
        notes.push(format!("The table leaves out {more}; the totals above count all."));
    }
    notes.push(format!(
        "In all: {}.",
        words::run_cost(report.run.cost_nano, report.run.cost_unknown)
    ));
    notes.join(" ")
}

fn results(report: &Report, length: Length, page: &mut Page) {
    let needed: std::collections::BTreeSet<&TaskKey> = report.tasks.iter().flat_map(|task| &task.needs).collect();
    let told: Vec<&Detail> = report.details.iter().filter(|detail| detail.result.is_some()).collect();
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
    let left_out = report.tasks.len().saturating_sub(report.details.len());
    if left_out > 0 {
        let more = words::count(left_out as u64, "more task");
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
