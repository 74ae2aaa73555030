//! Everything about one task, as a page.

use wheelhouse_core::store::TaskResult;
use wheelhouse_core::time::{Millis, human};

use super::doc::{Block, Cell, Page, Table, Tone};
use super::{report, words};
use crate::gather::Detail;
use crate::json::task_name;
use crate::terminal::one_line;

/// How many lines of what the task was told to do are shown.
const WORK_LINES: usize = 12;

/// The page.
pub(crate) fn page(detail: &Detail, now: Millis) -> Page {
    let task = &detail.task;
    let mut page = Page::default();
    page.heading(1, task_name(task.run, &task.key));
    let mut facts = Table::new(&["", ""]);
    let state = words::task_state(task);
    let note = words::task_note(task, now);
    let stands = if note.is_empty() || task.state.is_done() {
        state.text
    } else {
        format!("{}: {note}", state.text)
    };
    facts.row([Cell::toned("state", Tone::Dim), Cell::toned(stands, state.tone)]);
    facts.row([Cell::toned("agent", Tone::Dim), task.agent.as_str().into()]);
    if !task.needs.is_empty() {
        let needs: Vec<&str> = task.needs.iter().map(|key| key.as_str()).collect();
        facts.row([Cell::toned("needs", Tone::Dim), needs.join(", ").into()]);
    }
    if !task.waits_for.is_empty() {
        facts.row([
            Cell::toned("waits for", Tone::Dim),
            words::names(&task.waits_for).into(),
        ]);
    }
    if task.priority != 0 {
        facts.row([Cell::toned("priority", Tone::Dim), task.priority.to_string().into()]);
    }
    if let Some(why) = &detail.routed {
        facts.row([Cell::toned("chosen", Tone::Dim), why.as_str().into()]);
    }
    page.push(Block::Table(facts));
    work(detail, &mut page);
    attempts(detail, now, &mut page);
    steps(detail, &mut page);
    if let Some(result) = &detail.result {
        result_blocks(detail, result, &mut page);
    }
    page
}

fn work(detail: &Detail, page: &mut Page) {
    page.heading(2, if detail.is_command { "Command" } else { "Prompt" });
    let lines: Vec<&str> = detail.work.lines().collect();
    let mut shown = lines[..lines.len().min(WORK_LINES)].join("\n");
    if lines.len() > WORK_LINES {
        shown.push_str(&format!(
            "\n… and {}",
            words::count((lines.len() - WORK_LINES) as u64, "more line")
        ));
    }
    page.push(Block::Quote(shown));
}

fn attempts(detail: &Detail, now: Millis, page: &mut Page) {
    // A workflow tries nothing itself.
    if detail.attempts.is_empty() || !detail.steps.is_empty() {
        return;
    }
    page.heading(2, "Tries");
    let mut table = Table::new(&["try", "agent", "began", "took", "outcome", "tokens", "cost"]);
    for attempt in &detail.attempts {
        let number = match attempt.begun {
            0 | 1 => attempt.number.to_string(),
            more => format!("{} (begun {more} times)", attempt.number),
        };
        let took = attempt.ended_at.unwrap_or(now).since(attempt.started_at);
        table.row([
            number.into(),
            attempt.agent.as_str().into(),
            words::clock(attempt.started_at, now).into(),
            human(took).to_string().into(),
            attempt
                .outcome
                .as_ref()
                .map_or(Cell::toned("running", Tone::Live), words::outcome),
            words::tokens(&attempt.usage).unwrap_or_else(|| "–".to_owned()).into(),
            attempt.cost.as_ref().map_or_else(|| "–".to_owned(), words::cost).into(),
        ]);
    }
    page.push(Block::Table(table));
}

fn steps(detail: &Detail, page: &mut Page) {
    if detail.steps.is_empty() {
        return;
    }
    page.heading(2, "Steps");
    let mut table = Table::new(&["step", "agent", "state", "tokens", "cost"]);
    for (step, consumed) in &detail.steps {
        let state = words::task_state(step);
        table.row([
            step.key.as_str().into(),
            step.agent.as_str().into(),
            state,
            words::tokens(&consumed.usage).unwrap_or_else(|| "–".to_owned()).into(),
            words::run_cost(consumed.known_nano, consumed.unknown_attempts).into(),
        ]);
    }
    page.push(Block::Table(table));
    let sum = detail.consumed;
    page.text(format!(
        "Together: {}.",
        words::run_cost(sum.known_nano, sum.unknown_attempts)
    ));
}

fn result_blocks(detail: &Detail, result: &TaskResult, page: &mut Page) {
    let name = task_name(detail.task.run, &detail.task.key);
    if !result.checks.is_empty() {
        page.heading(2, "Checks");
        let mut table = Table::new(&["check", "came to", "took"]);
        for check in &result.checks {
            let came_to = match (check.passed(), check.exit_code) {
                (true, _) => Cell::toned("passed", Tone::Good),
                (false, Some(code)) => Cell::toned(format!("exit code {code}"), Tone::Bad),
                (false, None) => Cell::toned("stopped", Tone::Bad),
            };
            let took = human(std::time::Duration::from_millis(check.took_ms)).to_string();
            table.row([one_line(&check.command).into(), came_to, took.into()]);
        }
        page.push(Block::Table(table));
        for check in result.checks.iter().filter(|check| !check.passed()) {
            page.push(Block::Quote(check.tail.clone()));
        }
    }
    page.heading(2, "Result");
    page.text(report::provenance(detail, result));
    if result.summary.trim().is_empty() {
        page.text("It said nothing.");
    } else {
        page.push(Block::Quote(result.summary.clone()));
    }
    if !result.files.is_empty() {
        page.push(Block::List(result.files.iter().map(|file| one_line(file)).collect()));
    }
    if !result.artifacts.is_empty() {
        let mut table = Table::new(&["artifact", "bytes", "hash"]);
        for artifact in &result.artifacts {
            let bytes = if artifact.bytes_written > artifact.bytes {
                let written = words::thousands(artifact.bytes_written);
                format!("{} kept of {written}", words::thousands(artifact.bytes))
            } else {
                words::thousands(artifact.bytes)
            };
            let hash: String = artifact.hash.0.chars().take(12).collect();
            table.row([
                artifact.name.as_str().into(),
                bytes.into(),
                Cell::toned(hash, Tone::Dim),
            ]);
        }
        page.push(Block::Table(table));
        page.text(format!("`wheelhouse result {name} --full` prints the output."));
    }
}

/// A note for stderr when what is printed is not real.
pub(crate) fn rehearsed_note(result: &TaskResult) -> Option<&'static str> {
    result
        .rehearsed
        .then_some("rehearsed: made up by the stand-in `rehearsal`; no agent was asked")
}
