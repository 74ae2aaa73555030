//! The tasks that a planner task returns: JSON in its output, validated like a plan against the run it joins.

use super::json::{is_json, json};
use super::problem::{Place, Problem, Problems, Reporter};
use super::tree::number;
use super::walk::{Walk, nowhere};
use super::{Context, Format, detect_tree, resolve};
use crate::ids::TaskKey;
use crate::spec::TaskSpec;

/// What the output is called in messages.
const OUTPUT: &str = "output";

/// Reads the tasks from the output of a planner task: JSON alone, or in fenced blocks among prose, of which the last
/// valid one counts. Either `{"tasks": […]}` or the list itself. `existing` are the tasks the run has: ids must not
/// repeat them, `needs` may name them. An empty list is valid: nothing is to be added.
///
/// `context.vars` are the variables of the run.
pub fn tasks_from_output(text: &str, existing: &[TaskKey], context: &Context<'_>) -> Result<Vec<TaskSpec>, Problems> {
    let candidates = candidates(text);
    let mut refused: Option<Vec<Problem>> = None;
    for candidate in candidates.iter().rev() {
        match read(candidate, existing, context) {
            Ok(tasks) => return Ok(tasks),
            // What the planner said last is what it meant; its problems are the ones worth telling.
            Err(problems) => refused = refused.or(Some(problems)),
        }
    }
    Err(Problems(refused.unwrap_or_else(nothing_found)))
}

/// A part of the output, and the number of lines before it.
struct Candidate<'t> {
    text: &'t str,
    lines_before: usize,
}

fn candidates(text: &str) -> Vec<Candidate<'_>> {
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if is_json(trimmed) && trimmed.starts_with(['{', '[']) {
        let start = text.len() - text.trim_start().len();
        let lines_before = text[..start].matches('\n').count();
        return vec![Candidate {
            text: trimmed,
            lines_before,
        }];
    }
    fenced(text)
}

/// The fenced blocks that begin like JSON.
fn fenced(text: &str) -> Vec<Candidate<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, usize, usize)> = None;
    let mut offset = 0;
    for (line_number, line) in text.split_inclusive('\n').enumerate() {
        let trimmed = line.trim_start();
        let ticks = trimmed.bytes().take_while(|byte| *byte == b'`').count();
        match open {
            None if ticks >= 3 => open = Some((ticks, offset + line.len(), line_number + 1)),
            Some((opened, start, lines_before)) if ticks >= opened && trimmed.trim_end().len() == ticks => {
                blocks.push(Candidate {
                    text: &text[start..offset],
                    lines_before,
                });
                open = None;
            }
            None | Some(_) => {}
        }
        offset += line.len();
    }
    if let Some((_, start, lines_before)) = open {
        // An answer that was cut short, or ends without closing its fence.
        blocks.push(Candidate {
            text: text.get(start..).unwrap_or(""),
            lines_before,
        });
    }
    blocks.retain(|block| block.text.trim_start().starts_with(['{', '[']));
    blocks
}

fn read(candidate: &Candidate<'_>, existing: &[TaskKey], context: &Context<'_>) -> Result<Vec<TaskSpec>, Vec<Problem>> {
    let mut reporter = Reporter::new(OUTPUT);
    let mut tasks = Vec::new();
    if let Some(tree) = json(candidate.text, &mut reporter) {
        // A planner may answer in the words of the queue (`deps`, agents that are roles).
        let queue = detect_tree(&tree) == Format::Queue;
        let mut manners = if queue {
            Format::Queue.manners()
        } else {
            Format::Plan.manners()
        };
        manners.tasks_required = false;
        manners.vars_given = true;
        let mut walk = Walk {
            tree: &tree,
            reporter: &mut reporter,
            lenient: manners.lenient,
            about: String::new(),
        };
        if let Some(plan) = walk.plan() {
            tasks = resolve::Resolve::new(candidate.text, manners, context, existing, &mut reporter)
                .plan(plan)
                .tasks;
        }
    }
    if !reporter.has_errors() {
        return Ok(tasks);
    }
    let mut problems = reporter.finish();
    for problem in &mut problems {
        if problem.line > 0 && problem.file == OUTPUT {
            problem.line += candidate.lines_before;
        }
    }
    Err(problems)
}

fn nothing_found() -> Vec<Problem> {
    let mut reporter = Reporter::new(OUTPUT);
    let at = Place {
        line: number(1),
        column: number(1),
        ..nowhere()
    };
    let message = "the output holds no list of tasks".to_owned();
    let help =
        "answer with one fenced block of JSON: `{\"tasks\": [{\"id\": \"a\", \"prompt\": \"…\", \"needs\": []}]}`";
    reporter.error("no-tasks", at, "", message, help);
    reporter.finish()
}
