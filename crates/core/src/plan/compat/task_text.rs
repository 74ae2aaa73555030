//! The `---TASK---` text format: blocks of `key: value` lines, then `---CONTENT---`, then free text.
//!
//! Keeps the rules and the error texts of the tool the format comes from, so scripts that match them go on working.
//! Its one hole stays: content that holds `---TASK---` cannot be written; use YAML or JSON for that.

use crate::plan::problem::{Place, Reporter, shortened};
use crate::plan::tree::number;
use crate::plan::wire::{At, Plan, Task};
use crate::spec::Isolation;

/// What opens a task.
pub(crate) const TASK: &str = "---TASK---";
const CONTENT: &str = "---CONTENT---";

/// Reads the text.
pub(crate) fn read(source: &str, reporter: &mut Reporter) -> Option<Plan> {
    let lines = Lines::new(source);
    let start = lines.place(0, 0);
    if source.trim().is_empty() {
        let help = "write a block: ---TASK---, `id: NAME`, ---CONTENT---, and the prompt";
        reporter.error("empty-plan", start, "", "parallel config is empty".to_owned(), help);
        return None;
    }
    let mut tasks = Vec::new();
    let mut number = 0;
    let mut from = 0;
    for block in source.split(TASK) {
        let offset = from;
        from += block.len() + TASK.len();
        if block.trim().is_empty() {
            continue;
        }
        number += 1;
        let mut reading = Block {
            lines: &lines,
            number,
            reporter,
        };
        tasks.extend(reading.read(block, offset));
    }
    if number == 0 {
        let help = "write a block: ---TASK---, `id: NAME`, ---CONTENT---, and the prompt";
        reporter.error("empty-plan", start, "", "no tasks found".to_owned(), help);
        return None;
    }
    Some(Plan {
        tasks,
        at: start,
        ..Plan::default()
    })
}

struct Block<'l, 's, 'r, 'n> {
    lines: &'l Lines<'s>,
    number: usize,
    reporter: &'r mut Reporter<'n>,
}

impl Block<'_, '_, '_, '_> {
    fn read(&mut self, block: &str, offset: usize) -> Option<Task> {
        let lead = block.len() - block.trim_start().len();
        let at = self.lines.place(offset + lead, offset + block.trim_end().len());
        let Some((meta, content)) = block.split_once(CONTENT) else {
            let message = format!("task block #{} missing {CONTENT} separator", self.number);
            self.reporter.error(
                "syntax",
                at,
                "",
                message,
                format!("put {CONTENT} between the keys and the prompt"),
            );
            return None;
        };
        let mut task = Task { at, ..Task::default() };
        let mut line_offset = offset;
        for line in meta.split_inclusive('\n') {
            self.meta(&mut task, line, line_offset);
            line_offset += line.len();
        }
        self.content(&mut task, content, offset + meta.len() + CONTENT.len());
        if task.id.is_none() {
            let message = format!("task block #{} missing id field", self.number);
            self.reporter
                .error("missing-key", at, "", message, "add a line `id: NAME`");
            return None;
        }
        Some(task)
    }

    fn content(&mut self, task: &mut Task, content: &str, offset: usize) {
        let text = content.trim();
        if text.is_empty() {
            let message = format!("task block #{} missing content", self.number);
            let help = format!("write the prompt below {CONTENT}");
            self.reporter.error("empty-text", task.at, "", message, help);
            // The empty text was reported here; the next stage need not say it again.
            task.prompt = Some(At {
                value: "-".to_owned(),
                at: task.at,
            });
            return;
        }
        let lead = content.len() - content.trim_start().len();
        let start = offset + lead;
        task.prompt = Some(At {
            value: text.to_owned(),
            at: self.lines.place(start, start + text.len()),
        });
    }

    fn meta(&mut self, task: &mut Task, line: &str, offset: usize) {
        let at = self.lines.place(
            offset + (line.len() - line.trim_start().len()),
            offset + line.trim_end().len(),
        );
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        let (key, value) = (key.trim(), value.trim());
        let bare = !line.contains(':');
        let text = || {
            (!value.is_empty()).then(|| At {
                value: value.to_owned(),
                at,
            })
        };
        match key {
            "id" => task.id = text(),
            "workdir" => self.workdir(task, value, at),
            "backend" => {
                // `backend` is who does it; an `agent` besides is the role it plays.
                let preset = task.agent.take();
                task.role = task.role.take().or(preset);
                task.agent = text();
            }
            "agent" if task.agent.is_some() => task.role = text(),
            "agent" => task.agent = text(),
            "model" => task.model = text(),
            "dependencies" => {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                task.needs = parts
                    .map(|part| At {
                        value: part.to_owned(),
                        at,
                    })
                    .collect();
            }
            "worktree" if bare || value == "true" => {
                task.isolation = Some(At {
                    value: Isolation::Worktree,
                    at,
                });
            }
            "session_id" if value.is_empty() => {
                let message = format!("task block #{} has empty session_id", self.number);
                self.reporter.error(
                    "empty-text",
                    at,
                    "",
                    message,
                    "give the session's id or take the line out",
                );
            }
            "session_id" | "skills" | "reasoning_effort" | "skip_permissions" | "skip-permissions" => {
                let message = format!("the key `{key}` has no meaning here and is ignored");
                self.reporter.warning_once("ignored-key", at, key, message, "");
            }
            // Unknown keys and lines without a colon are ignored by the format's own rule.
            _ => {}
        }
    }

    fn workdir(&mut self, task: &mut Task, value: &str, at: Place) {
        if value == "-" {
            let message = format!("task block #{} has invalid workdir: {}", self.number, shortened(value));
            self.reporter.error(
                "bad-path",
                at,
                value,
                message,
                "write a path below the project, or take the line out",
            );
            return;
        }
        if !value.is_empty() && value != "." {
            task.cwd = Some(At {
                value: value.to_owned(),
                at,
            });
        }
    }
}

/// Where the lines of a text begin.
struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    fn new(source: &'s str) -> Lines<'s> {
        let starts = std::iter::once(0)
            .chain(source.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Lines { source, starts }
    }

    fn place(&self, start: usize, end: usize) -> Place {
        let line = self.starts.partition_point(|begin| *begin <= start);
        let begin = self.starts[line - 1];
        let column = 1 + self.source.get(begin..start).map_or(0, |before| before.chars().count());
        Place {
            line: number(line),
            column: number(column),
            start: number(start),
            end: number(end.max(start)),
        }
    }
}
