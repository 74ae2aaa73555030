//! The status screen: what runs, what waits and on what exactly, and what it cost, in one screen.

use wheelhouse_core::store::{RunState, RunView, TaskView};
use wheelhouse_core::time::{Millis, human};

use super::doc::{Cell, Table, Tone};
use super::words;
use crate::gather::{RunRows, Screen, failed};
use crate::terminal::{Paint, fit, one_line};

pub(crate) use wheelhouse_engine::lock::Engine;

/// The screen as lines of at most so many columns.
pub(crate) fn lines(screen: &Screen, engine: Engine, now: Millis, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = vec![engine_line(screen, engine, width, paint)];
    for rows in &screen.open {
        lines.push(String::new());
        lines.extend(run_lines(rows, now, width, paint));
    }
    if screen.open_more > 0 {
        let more = words::count(screen.open_more as u64, "more run");
        lines.push(paint.dim(&format!("… and {more} that are not finished")));
    }
    if !screen.breakers.is_empty() {
        lines.push(String::new());
        lines.extend(breaker_lines(screen, now, width, paint));
    }
    if !screen.overlaps.is_empty() {
        lines.push(String::new());
        lines.extend(overlap_lines(screen, width, paint));
    }
    if !screen.questions.is_empty() {
        lines.push(String::new());
        lines.extend(question_lines(screen, width, paint));
    }
    if !screen.finished.is_empty() {
        lines.push(String::new());
        let mut table = Table::new(&["", "", "", "", ""]);
        for run in &screen.finished {
            table.row([
                Cell::toned(run.id.to_string(), Tone::Strong),
                run.name.as_str().into(),
                words::run_state(run),
                format!("{} in {}", words::run_progress(run), human(words::run_took(run, now))).into(),
                Cell::toned(words::run_cost(run.cost_nano, run.cost_unknown), Tone::Dim),
            ]);
        }
        lines.extend(table.text_of(width, paint));
    }
    if screen.finished_more > 0 {
        let more = words::count(screen.finished_more as u64, "older run");
        lines.push(paint.dim(&format!("… and {more}")));
    }
    lines
}

/// Whom nobody asks for a while.
fn breaker_lines(screen: &Screen, now: Millis, width: usize, paint: Paint) -> Vec<String> {
    let mut table = Table::new(&["", "", "", ""]);
    for (subject, until) in &screen.breakers {
        table.row([
            Cell::toned("left alone", Tone::Warm),
            subject.provider.as_str().into(),
            subject.model.as_str().into(),
            Cell::toned(format!("{}: it failed too often", words::until(*until, now)), Tone::Dim),
        ]);
    }
    table.text_of(width, paint)
}

fn engine_line(screen: &Screen, engine: Engine, width: usize, paint: Paint) -> String {
    let can_go_on = screen.open.iter().any(|rows| {
        let counts = &rows.run.counts;
        rows.run.state == RunState::Interrupted || counts.ready + counts.running > 0
    });
    match engine {
        Engine::Running(Some(pid)) => paint.dim(&format!("engine: running (process {pid})")),
        Engine::Running(None) => paint.dim("engine: running"),
        Engine::Absent if screen.open.is_empty() && screen.finished.is_empty() => {
            fit("Nothing has run here yet: `wheelhouse run PLAN`", width)
        }
        Engine::Absent if can_go_on => paint.warm(&fit("no engine is running: `wheelhouse resume` goes on", width)),
        Engine::Absent => paint.dim("no engine is running"),
    }
}

fn run_lines(rows: &RunRows, now: Millis, width: usize, paint: Paint) -> Vec<String> {
    let run = &rows.run;
    let mut lines = head_lines(run, now, width, paint);
    let mut table = Table::new(&["", "", "", "", ""]);
    for task in &rows.rows {
        table.row(task_row(task, now));
    }
    for (state, number) in hidden(rows) {
        table.row([
            Cell::default(),
            Cell::toned(state, Tone::Dim),
            Cell::toned(format!("… and {} more", words::thousands(number)), Tone::Dim),
            Cell::default(),
            Cell::default(),
        ]);
    }
    lines.extend(table.text_of(width, paint));
    lines
}

/// The run in a line or two: what it is, how far, what it cost.
pub(crate) fn head_lines(run: &RunView, now: Millis, width: usize, paint: Paint) -> Vec<String> {
    let state = words::run_state(run);
    let name = fit(&one_line(&run.name), width.saturating_sub(24).max(10));
    let head = format!(
        "{} {}  {}",
        paint.strong(&run.id.to_string()),
        paint.strong(&name),
        state.tone.paint(paint, &state.text)
    );
    let mut facts = vec![words::run_progress(run)];
    if !run.standing {
        facts.push(human(words::run_took(run, now)).to_string());
    }
    facts.push(words::run_cost(run.cost_nano, run.cost_unknown));
    facts.extend(words::tokens(&run.usage));
    let mut lines = vec![head];
    let mut line = String::from("  ");
    for (place, fact) in facts.iter().enumerate() {
        let joint = if place == 0 { "" } else { " · " };
        if line.chars().count() + joint.chars().count() + fact.chars().count() > width {
            lines.push(paint.dim(&line));
            line = format!("  {fact}");
        } else {
            line.push_str(joint);
            line.push_str(fact);
        }
    }
    lines.push(paint.dim(&line));
    lines
}

/// One task in five cells: indent, state, name, agent, what it waits on or how long it runs.
pub(crate) fn task_row(task: &TaskView, now: Millis) -> [Cell; 5] {
    let note = if failed(task) {
        format!("`{}`", words::retry_command(task))
    } else {
        words::task_note(task, now)
    };
    [
        Cell::default(),
        words::task_state(task),
        task.key.as_str().into(),
        Cell::toned(task.agent.as_str(), Tone::Dim),
        note.into(),
    ]
}

/// How many tasks of each state the rows leave out.
fn hidden(rows: &RunRows) -> Vec<(&'static str, u64)> {
    let counts = &rows.run.counts;
    let shown = |state: &str| rows.rows.iter().filter(|task| task.state.name() == state).count() as u64;
    let shown_failed = rows.rows.iter().filter(|task| failed(task)).count() as u64;
    [
        ("running", counts.running.saturating_sub(shown("running"))),
        ("held", counts.held.saturating_sub(shown("held"))),
        ("ready", counts.ready.saturating_sub(shown("ready"))),
        ("waiting", counts.waiting.saturating_sub(shown("waiting"))),
        ("failed", counts.failed.saturating_sub(shown_failed)),
    ]
    .into_iter()
    .filter(|(_, number)| *number > 0)
    .collect()
}

fn overlap_lines(screen: &Screen, width: usize, paint: Paint) -> Vec<String> {
    let mut table = Table::new(&["", ""]);
    for (run, overlap) in &screen.overlaps {
        table.row([
            Cell::toned(overlap.path.as_str(), Tone::Warm),
            format!("{run}: {}", words::names(&overlap.tasks)).into(),
        ]);
    }
    let mut lines = vec![paint.strong("Changed by several at once")];
    lines.extend(table.text_of(width, paint));
    lines
}

fn question_lines(screen: &Screen, width: usize, paint: Paint) -> Vec<String> {
    let mut table = Table::new(&["", "", ""]);
    for question in &screen.questions {
        table.row([
            Cell::toned(question.id.to_string(), Tone::Warm),
            crate::json::task_name(question.run, &question.key).into(),
            question.text.as_str().into(),
        ]);
    }
    let mut lines = vec![paint.strong("Waiting for you")];
    lines.extend(table.text_of(width, paint));
    lines
}
