//! `map`: the same task over many inputs, bounded in flight; a reduce at the end.
//!
//! With several agents every one of them gets every input (`parallel_validate`: the same content to several
//! validators).

use serde::{Deserialize, Serialize};

use super::report::{Report, Skipped, block};
use super::steps::{reader, words, worker};
use super::{Child, Delivery, Flow, Hand, Item, OPEN_MAX, Output, Past, Step};
use crate::ids::TaskKey;
use crate::outcome::Outcome;
use crate::spec::{TaskSpec, Work};
use crate::verdict;

/// How many inputs a map may have, and how many children.
pub const INPUTS_MAX: usize = 1_000;
/// How many of its children are open at a time when the plan does not say.
pub const IN_FLIGHT: u32 = 4;
/// The step that reduces.
const REDUCE: &str = "reduce";
/// How much of each result is put into an output without a reduce, in bytes.
const PART_MAX: usize = 16 << 10;

/// What is mapped over, by whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Map {
    /// The inputs.
    pub over: Over,
    /// Who does it; each of them does every input. Empty for a command.
    pub hands: Vec<Hand>,
    /// How many children are open at a time.
    pub in_flight: u32,
    /// How many may fail without the whole failing.
    pub failures_max: u32,
    /// What is made of the results.
    pub reduce: Option<Reduce>,
}

/// Where the inputs come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The plan names them.
    Items(Vec<String>),
    /// The output of this task: a JSON list, else its lines.
    Output(TaskKey),
}

/// What is made of the results.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reduce {
    /// The words; `{{ results }}` stands for all results. A template.
    pub prompt: String,
    /// Who does it.
    pub hand: Hand,
}

impl Map {
    pub(super) fn every_hand(&self) -> Vec<&Hand> {
        let reduce = self.reduce.iter().map(|reduce| &reduce.hand);
        self.hands.iter().chain(reduce).collect()
    }

    pub(super) fn every_hand_mut(&mut self) -> Vec<&mut Hand> {
        let reduce = self.reduce.iter_mut().map(|reduce| &mut reduce.hand);
        self.hands.iter_mut().chain(reduce).collect()
    }
}

/// The inputs that a task's output names: a JSON list, or one a line.
pub fn inputs(output: &str) -> Vec<String> {
    let text = output.trim();
    if let Ok(serde_json::Value::Array(items)) = serde_json::from_str::<serde_json::Value>(text) {
        let item = |item: serde_json::Value| match item {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        return items.into_iter().map(item).collect();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// What follows.
pub(super) fn next(task: &TaskSpec, map: &Map, from_task: &[String], past: &Past<'_>) -> Step {
    let (items, from) = match &map.over {
        Over::Items(items) => (items.as_slice(), None),
        Over::Output(task) => (from_task, Some(task)),
    };
    let each = map.hands.len().max(1);
    if items.len().saturating_mul(each) > INPUTS_MAX {
        let found = format!(
            "{} inputs for {each} agents come to more than {INPUTS_MAX} children",
            items.len()
        );
        return Step::Done(Box::new(failed(Outcome::Malformed, found)));
    }
    let in_flight = map.in_flight.clamp(1, OPEN_MAX);
    let mut room = in_flight.saturating_sub(past.open());
    let mut new = Vec::new();
    let mut children = Vec::new();
    for (place, item) in items.iter().enumerate() {
        for hand in 0..each {
            let step = step(map, place, hand);
            match past.get(&step) {
                Some(child) => children.push((step, child)),
                None if room > 0 => {
                    room -= 1;
                    let item = Item {
                        text: item.clone(),
                        from: from.cloned(),
                    };
                    new.push(one_of(task, map, past, &step, hand, item));
                }
                None => {}
            }
        }
    }
    let open = past.open() + u32::try_from(new.len()).unwrap_or(u32::MAX);
    if open > 0 && past.get(REDUCE).is_none() {
        // Looking again at every single end would be a look an input; at half of them it is as busy.
        let open_max = if children.len() + new.len() < items.len() * each {
            in_flight / 2
        } else {
            0
        };
        return Step::Await { new, open_max };
    }
    reduced(task, map, past, &children)
}

fn step(map: &Map, place: usize, hand: usize) -> String {
    match map.hands.get(hand) {
        Some(hand) if map.hands.len() > 1 => format!("{}.{}", place + 1, hand.agent),
        _ => (place + 1).to_string(),
    }
}

fn one_of(task: &TaskSpec, map: &Map, past: &Past<'_>, step: &str, hand: usize, item: Item) -> TaskSpec {
    let nobody = Hand {
        agent: "exec".into(),
        model: None,
        vendor: String::new(),
    };
    let hand = map.hands.get(hand).unwrap_or(&nobody);
    let spec = worker(task, past, step, hand, words(task).to_owned());
    TaskSpec {
        work: match &task.work {
            Work::Exec(command) => Work::Exec(command.clone()),
            Work::Prompt(_) | Work::Turn(_) => spec.work.clone(),
        },
        merge: task.merge,
        flow: Flow {
            item: Some(item),
            ..spec.flow.clone()
        },
        ..spec
    }
}

/// All inputs are done: the reduce, or the results one after the other.
fn reduced(task: &TaskSpec, map: &Map, past: &Past<'_>, children: &[(String, &Child)]) -> Step {
    let mut report = Report {
        workflow: "map",
        ..Report::default()
    };
    for (step, child) in children {
        report.note(step, child, verdict::read(&child.text).as_ref());
        report.part(step, child);
    }
    let lost: Vec<&(String, &Child)> = children.iter().filter(|(_, child)| !child.succeeded()).collect();
    report.unresolved = lost
        .iter()
        .map(|(step, child)| format!("{step}: {}", child.outcome.as_ref().map_or("open", Outcome::class)))
        .collect();
    let all = children.len();
    let headline = match lost.len() {
        0 => format!("all of {all} done"),
        some => format!("{some} of {all} failed: {}", report.unresolved.join(", ")),
    };
    let too_many = lost.len() > map.failures_max as usize;
    if let (Some(reduce), false) = (&map.reduce, too_many) {
        let Some(child) = past.get(REDUCE) else {
            return super::steps::one(reader(
                task,
                past,
                REDUCE,
                &reduce.hand,
                reduce_prompt(reduce, children),
            ));
        };
        let Some(outcome) = &child.outcome else {
            return super::steps::wait();
        };
        report.note(REDUCE, child, verdict::read(&child.text).as_ref());
        report.part("reducer", child);
        report.confidence = verdict::confidence(&child.text);
        let (summary, output) = match outcome.is_success() {
            true => (child.result.summary.clone(), Output::Of(child.key.clone())),
            false => (
                format!("{headline}; the reduce ended as {outcome}"),
                Output::Text(joined(children)),
            ),
        };
        return Step::Done(Box::new(Delivery {
            outcome: outcome.clone(),
            attention: None,
            output,
            verdict: child.result.verdict.clone(),
            summary,
            report,
        }));
    }
    if map.reduce.is_some() {
        report.skipped.push(Skipped {
            step: REDUCE.to_owned(),
            why: "more inputs failed than may".to_owned(),
        });
    }
    let outcome = match lost.first().filter(|_| too_many) {
        Some((_, child)) => child.outcome.clone().unwrap_or(Outcome::GateFailed),
        None => Outcome::Succeeded,
    };
    let status = if too_many { "fail" } else { "pass" };
    Step::Done(Box::new(Delivery {
        outcome,
        attention: None,
        output: Output::Text(joined(children)),
        verdict: Some(block(status, None, None, &[], &headline)),
        summary: headline,
        report,
    }))
}

fn reduce_prompt(reduce: &Reduce, children: &[(String, &Child)]) -> String {
    let mut results = String::new();
    for (_, child) in children.iter().filter(|(_, child)| child.succeeded()) {
        results.push_str(&format!("{{{{ tasks.{}.summary }}}}\n", child.key));
    }
    let filled = crate::plan::template::with_results(&reduce.prompt, results.trim_end());
    match filled == reduce.prompt {
        true => format!("{filled}\n\n{results}"),
        false => filled,
    }
}

fn joined(children: &[(String, &Child)]) -> String {
    let part = |(step, child): &(String, &Child)| {
        let end = child.text.floor_char_boundary(PART_MAX);
        let outcome = child.outcome.as_ref().map_or("open", Outcome::class);
        format!(
            "## {step} ({}, {outcome})\n\n{}\n",
            child.agent,
            child.text[..end].trim_end()
        )
    };
    children.iter().map(part).collect::<Vec<_>>().join("\n")
}

fn failed(outcome: Outcome, why: String) -> Delivery {
    Delivery {
        outcome,
        attention: None,
        output: Output::Nothing,
        verdict: None,
        summary: why,
        report: Report {
            workflow: "map",
            ..Report::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::inputs;

    #[test]
    fn inputs_are_a_json_list_or_lines() {
        assert_eq!(inputs(" a \n\nb b\n"), ["a", "b b"]);
        assert_eq!(inputs(r#"["x\ny", 3, {"k": 1}]"#), ["x\ny", "3", r#"{"k":1}"#]);
        assert!(inputs("\n").is_empty());
    }
}
