//! Drawings made of letters: the graph of a run by layers, and its time line.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelhouse_core::ids::TaskKey;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::TaskView;
use wheelhouse_core::task::TaskState;
use wheelhouse_core::time::human;

use super::words;
use crate::gather::{Detail, Report};
use crate::terminal::{columns, fit, pad};

/// How many tasks a drawing shows.
const DRAWN_MAX: usize = 60;
/// How many columns a time line's bars take.
const BAR_COLUMNS: usize = 34;
/// How many columns a task's name takes.
const NAME_COLUMNS: usize = 20;

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
fn layers(tasks: &[(TaskKey, Vec<TaskKey>)]) -> Vec<usize> {
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
pub(crate) fn graph(tasks: &[TaskView]) -> Vec<String> {
    let keyed: Vec<(TaskKey, Vec<TaskKey>)> = tasks
        .iter()
        .map(|task| (task.key.clone(), task.needs.clone()))
        .collect();
    let marks: Vec<char> = tasks.iter().map(mark).collect();
    graph_lines(&keyed, Some(&marks))
}

/// The graph of any tasks; `marks` stand before their names.
fn graph_lines(tasks: &[(TaskKey, Vec<TaskKey>)], marks: Option<&[char]>) -> Vec<String> {
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
pub(crate) fn time_line(report: &Report) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(list: &[(&str, &[&str])]) -> Vec<(TaskKey, Vec<TaskKey>)> {
        let keys = |names: &[&str]| names.iter().map(|name| TaskKey::from(*name)).collect();
        list.iter()
            .map(|(key, needs)| (TaskKey::from(*key), keys(needs)))
            .collect()
    }

    #[test]
    fn a_layer_is_one_deeper_than_what_it_needs_whatever_the_order() {
        let plan = tasks(&[("d", &["b", "c"]), ("b", &["a"]), ("a", &[]), ("c", &["b", "gone"])]);
        assert_eq!(layers(&plan), [3, 1, 0, 2]);
    }

    #[test]
    fn bars_keep_their_place_and_are_never_empty() {
        assert_eq!(bar(&[(100, 100)], 100, 1_000).chars().filter(|c| *c == '█').count(), 1);
        let last = bar(&[(1_100, 1_100)], 100, 1_000);
        assert!(last.ends_with('█'), "{last}");
        let twice = bar(&[(0, 250), (750, 1_000)], 0, 1_000);
        assert!(
            twice.starts_with("████") && twice.ends_with("████") && twice.contains("··"),
            "{twice}"
        );
    }

    #[test]
    fn a_huge_graph_is_cut() {
        let many: Vec<(TaskKey, Vec<TaskKey>)> = (0..100).map(|n| (TaskKey(format!("t{n}")), Vec::new())).collect();
        let lines = graph_lines(&many, None);
        assert_eq!(lines.len(), DRAWN_MAX + 1);
        assert_eq!(lines[DRAWN_MAX], "     … and 40 more tasks");
    }
}
