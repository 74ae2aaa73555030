//! The graph of a plan for people: layers as text, DOT, and the critical path.
//!
//! Deterministic, at most [`WIDTH`] columns. Takes tasks that passed the reader; edges to tasks that are not among
//! them (those a planner found in its run) are left out.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::problem::{counted, thousands};
use crate::ids::TaskKey;
use crate::spec::{OnFailure, TaskSpec, Work};

/// How wide the text may be, in columns.
pub const WIDTH: usize = 80;

/// The tasks by layer: those that need nothing, then those that need only tasks before them. As places in `tasks`.
/// Tasks in a circle are in no layer.
pub fn layers(tasks: &[TaskSpec]) -> Vec<Vec<usize>> {
    let edges = edges(tasks);
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for (task, layer) in ordered(&edges) {
        if layers.len() <= layer {
            layers.resize_with(layer + 1, Vec::new);
        }
        layers[layer].push(task);
    }
    layers.iter_mut().for_each(|layer| layer.sort_unstable());
    layers
}

/// The heaviest chain of tasks that need each other, first to last, by a weight per task (its duration; or 1, for the
/// longest chain). Of equals the one that stands first in the plan.
pub fn critical_path<'t>(tasks: &'t [TaskSpec], weight: &dyn Fn(&TaskSpec) -> u64) -> Vec<&'t TaskKey> {
    let edges = edges(tasks);
    let mut best: Vec<(u64, Option<usize>)> = vec![(0, None); tasks.len()];
    let mut last: Option<usize> = None;
    for (task, _) in ordered(&edges) {
        let heaviest = edges[task]
            .iter()
            .copied()
            .max_by_key(|need| (best[*need].0, std::cmp::Reverse(*need)));
        let before = heaviest.map_or(0, |need| best[need].0);
        best[task] = (before.saturating_add(weight(&tasks[task])), heaviest);
        let heavier =
            last.is_none_or(|end| (best[task].0, std::cmp::Reverse(task)) > (best[end].0, std::cmp::Reverse(end)));
        if heavier {
            last = Some(task);
        }
    }
    let mut path = Vec::new();
    while let Some(task) = last {
        path.push(&tasks[task].key);
        last = best[task].1;
    }
    path.reverse();
    path
}

/// The graph as text: one line a task, by layer, with who does it and what it waits for.
pub fn text(tasks: &[TaskSpec]) -> String {
    let layers = layers(tasks);
    let edge_count: usize = edges(tasks).iter().map(Vec::len).sum();
    let widest = layers.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = format!(
        "{}, {}, {}, at most {} at once\n",
        counted(tasks.len(), "task"),
        counted(edge_count, "edge"),
        counted(layers.len(), "layer"),
        thousands(widest)
    );
    let widest = |of: &dyn Fn(&TaskSpec) -> usize, max: usize| tasks.iter().map(of).max().unwrap_or(0).min(max);
    let columns = Columns {
        layer: layers.len().to_string().len(),
        id: widest(&|task| task.key.as_str().chars().count(), 28),
        agent: widest(&|task| task.agent.as_str().chars().count(), 16),
    };
    for (number, layer) in layers.iter().enumerate() {
        out.push('\n');
        for (row, task) in layer.iter().enumerate() {
            let label = if row == 0 {
                (number + 1).to_string()
            } else {
                String::new()
            };
            columns.line(&mut out, &label, &tasks[*task]);
        }
    }
    let path = critical_path(tasks, &|_| 1);
    if path.len() > 1 {
        let names: Vec<&str> = path.iter().map(|key| key.as_str()).collect();
        out.push_str("\nlongest chain: ");
        wrapped(&mut out, &names, " -> ", "  ");
    }
    out
}

/// The graph in the language of Graphviz; an arrow goes from a task to those that wait for it.
pub fn dot(name: &str, tasks: &[TaskSpec]) -> String {
    let quoted = |text: &str| {
        format!(
            "\"{}\"",
            text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
        )
    };
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quoted(name));
    for task in tasks {
        let label = format!(
            "{}\\n{}",
            quoted(task.key.as_str()).trim_matches('"'),
            quoted(task.agent.as_str()).trim_matches('"')
        );
        let style = match task.work {
            Work::Exec(_) => "",
            Work::Prompt(_) | Work::Turn(_) => ", style=rounded",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {} [label=\"{label}\"{style}];", quoted(task.key.as_str()));
    }
    for (place, needs) in edges(tasks).iter().enumerate() {
        for need in needs {
            let (from, to) = (tasks[*need].key.as_str(), tasks[place].key.as_str());
            let _ = writeln!(out, "  {} -> {};", quoted(from), quoted(to));
        }
    }
    out.push_str("}\n");
    out
}

struct Columns {
    layer: usize,
    id: usize,
    agent: usize,
}

impl Columns {
    fn line(&self, out: &mut String, label: &str, task: &TaskSpec) {
        let id = cut(task.key.as_str(), self.id);
        let agent = cut(task.agent.as_str(), self.agent);
        let (layer_width, id_width, agent_width) = (self.layer, self.id, self.agent);
        let start = format!("{label:>layer_width$}  {id:<id_width$}  {agent:<agent_width$}  ");
        let marks = marks(task);
        let left = WIDTH.saturating_sub(start.chars().count() + marks.chars().count());
        let what = if task.needs.is_empty() {
            match &task.work {
                Work::Exec(text) | Work::Prompt(text) => cut(first_line(text), left),
                Work::Turn(turn) => turn.message.to_string(),
            }
        } else {
            needs(&task.needs, left)
        };
        out.push_str(format!("{start}{what}{marks}").trim_end());
        out.push('\n');
    }
}

/// What is special about a task, in a word each.
fn marks(task: &TaskSpec) -> String {
    let mut words = Vec::new();
    if task.planner {
        words.push("plans".to_owned());
    }
    if task.approval {
        words.push("approval".to_owned());
    }
    if !task.verify.is_empty() {
        words.push(counted(task.verify.len(), "check"));
    }
    match task.on_failure {
        Some(OnFailure::Ask) => words.push("asks".to_owned()),
        Some(OnFailure::Continue) => words.push("may fail".to_owned()),
        Some(OnFailure::Retry | OnFailure::Fallback | OnFailure::Fail) | None => {}
    }
    if words.is_empty() {
        String::new()
    } else {
        format!("  [{}]", words.join(", "))
    }
}

/// `<- a, b, +3`, as many as fit.
fn needs(needs: &[TaskKey], width: usize) -> String {
    let mut out = "<- ".to_owned();
    for (place, need) in needs.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let rest = needs.len() - place - 1;
        let tail = if rest > 0 {
            format!(", +{}", thousands(rest)).len()
        } else {
            0
        };
        if place > 0 && out.chars().count() + comma.len() + need.as_str().len() + tail > width {
            let _ = write!(out, ", +{}", thousands(rest + 1));
            break;
        }
        out.push_str(comma);
        out.push_str(need.as_str());
    }
    cut(&out, width)
}

fn wrapped(out: &mut String, names: &[&str], between: &str, indent: &str) {
    /// How many names of a chain are printed.
    const NAMES_MAX: usize = 100;
    let mut column = out.lines().last().map_or(0, |line| line.chars().count());
    for (place, name) in names.iter().take(NAMES_MAX).enumerate() {
        let joint = if place == 0 { "" } else { between };
        // Room is left for the arrow that the line may end with.
        if column + joint.len() + name.len() + between.len() > WIDTH && place > 0 {
            out.push_str(joint.trim_end());
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else {
            out.push_str(joint);
            column += joint.len();
        }
        out.push_str(name);
        column += name.len();
    }
    if names.len() > NAMES_MAX {
        let _ = write!(out, "{between}({} more)", thousands(names.len() - NAMES_MAX));
    }
    out.push('\n');
}

fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("")
}

fn cut(text: &str, width: usize) -> String {
    let clean = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    if text.chars().count() <= width {
        return clean.collect();
    }
    clean.take(width.saturating_sub(1)).chain(['…']).collect()
}

/// For each task the places of those it needs.
fn edges(tasks: &[TaskSpec]) -> Vec<Vec<usize>> {
    let index: HashMap<&TaskKey, usize> = tasks
        .iter()
        .enumerate()
        .map(|(place, task)| (&task.key, place))
        .collect();
    let needs = |task: &TaskSpec| task.needs.iter().filter_map(|need| index.get(need).copied()).collect();
    tasks.iter().map(needs).collect()
}

/// Tasks with their layers, each after all it needs.
fn ordered(edges: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut waiting: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (task, needs) in edges.iter().enumerate() {
        for need in needs {
            dependants[*need].push(task);
        }
    }
    let mut layer = vec![0; edges.len()];
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(edges.len());
    order.extend(
        (0..edges.len())
            .filter(|task| waiting[*task] == 0)
            .map(|task| (task, 0)),
    );
    let mut next = 0;
    while let Some((task, own)) = order.get(next).copied() {
        next += 1;
        for dependant in &dependants[task] {
            layer[*dependant] = layer[*dependant].max(own + 1);
            waiting[*dependant] -= 1;
            if waiting[*dependant] == 0 {
                order.push((*dependant, layer[*dependant]));
            }
        }
    }
    order
}
