//! `map`: the same task over many inputs, bounded in flight; a reduce at the end.
//!
//! With several agents every one of them gets every input (`parallel_validate`: the same content to several
//! validators); what they found is merged, and who would say what others say is called in only where it matters
//! ([`super::review`]).

use serde::{Deserialize, Serialize};

use super::report::{Report, Skipped, block};
use super::review::call::{self, CALLED};
use super::review::{self, Bench, Said, merge};
use super::steps::{reader, words, worker};
use super::{Child, Delivery, Flow, Hand, Item, OPEN_MAX, Output, Past, Step};
use crate::ids::TaskKey;
use crate::outcome::Outcome;
use crate::plan::template;
use crate::spec::{TaskSpec, Work};
use crate::verdict::{self, Verdict};

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
    /// Who is called in for an input only when what was found there is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserve: Vec<Hand>,
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
    /// Those who get every input, then the reserve.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Hand> {
        self.hands.iter().chain(&self.reserve)
    }

    /// The hand at a place among [`Map::everybody`].
    fn hand(&self, place: usize) -> Option<&Hand> {
        self.everybody().nth(place)
    }

    pub(super) fn every_hand(&self) -> Vec<&Hand> {
        let reduce = self.reduce.iter().map(|reduce| &reduce.hand);
        self.everybody().chain(reduce).collect()
    }

    pub(super) fn every_hand_mut(&mut self) -> Vec<&mut Hand> {
        let reduce = self.reduce.iter_mut().map(|reduce| &mut reduce.hand);
        self.hands.iter_mut().chain(&mut self.reserve).chain(reduce).collect()
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
pub(super) fn next(task: &TaskSpec, map: &Map, from_task: &[String], (bench, past): (&Bench, &Past<'_>)) -> Step {
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
    let left_out = review::record::left_out(bench, &map.hands, 1);
    let goes_without = |hand: usize| left_out.iter().any(|one| one.place == hand);
    let mut room = in_flight.saturating_sub(past.open());
    let mut new = Vec::new();
    let mut done: Vec<Done<'_>> = Vec::new();
    let mut wanted = 0;
    for (place, item) in items.iter().enumerate() {
        for hand in 0..each {
            let step = step(map, place, hand);
            match past.get(&step) {
                Some(child) => done.push(Done {
                    place,
                    hand,
                    step,
                    child,
                }),
                None if goes_without(hand) => continue,
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
            wanted += 1;
        }
    }
    let open = past.open() + u32::try_from(new.len()).unwrap_or(u32::MAX);
    if open > 0 && past.get(REDUCE).is_none() {
        // Looking again at every single end would be a look an input; at half of them it is as busy.
        let open_max = if done.len() + new.len() < wanted {
            in_flight / 2
        } else {
            0
        };
        return Step::Await { new, open_max };
    }
    let fan = Fan { task, map, bench, past };
    let called = fan.called(&mut done);
    if !called.is_empty() {
        let item = |place: usize| Item {
            text: items.get(place).cloned().unwrap_or_default(),
            from: from.cloned(),
        };
        let new = called.into_iter().take(in_flight as usize);
        let new = new.map(|(place, hand, step)| one_of(task, map, past, &step, hand, item(place)));
        return Step::Await {
            new: new.collect(),
            open_max: 0,
        };
    }
    let mut report = Report {
        workflow: "map",
        ..Report::default()
    };
    report.without(&left_out);
    fan.reviewed(&done, &mut report);
    let children: Vec<(String, &Child)> = done.into_iter().map(|one| (one.step, one.child)).collect();
    reduced(fan, &children, report)
}

/// One input that somebody did.
struct Done<'a> {
    place: usize,
    hand: usize,
    step: String,
    child: &'a Child,
}

/// What is decided about a map whose inputs are done.
#[derive(Clone, Copy)]
struct Fan<'a> {
    task: &'a TaskSpec,
    map: &'a Map,
    bench: &'a Bench,
    past: &'a Past<'a>,
}

impl<'a> Fan<'a> {
    /// Who is called in, for which input, by what was said of it; those who have come are put among the `done`.
    fn called(&self, done: &mut Vec<Done<'a>>) -> Vec<(usize, usize, String)> {
        let mut missing = Vec::new();
        if self.map.everybody().count() < 2 {
            return missing;
        }
        let verdicts = verdicts(done);
        let inputs = done.iter().map(|one| one.place + 1).max().unwrap_or(0);
        for place in 0..inputs {
            let here: Vec<usize> = done
                .iter()
                .filter(|one| one.place == place)
                .map(|one| one.hand)
                .collect();
            let said = self.said(&verdicts, done, place);
            // Where nobody judged there is nothing that anybody could be called in for.
            if said.is_empty() {
                continue;
            }
            let waiting = self
                .map
                .everybody()
                .enumerate()
                .filter(|(hand, _)| !here.contains(hand));
            let calls = call::calls(self.bench, words(self.task), waiting, &said, said.len() < here.len());
            for hand in calls.into_iter().map(|call| call.place) {
                let step = format!("{}{CALLED}", step(self.map, place, hand));
                match self.past.get(&step) {
                    Some(child) => done.push(Done {
                        place,
                        hand,
                        step,
                        child,
                    }),
                    None => missing.push((place, hand, step)),
                }
            }
        }
        missing
    }

    /// What was said of one input.
    fn said<'v>(&'v self, verdicts: &'v [Option<Verdict>], done: &'v [Done<'a>], place: usize) -> Vec<Said<'v>> {
        let of_it = done.iter().zip(verdicts).filter(|(one, _)| one.place == place);
        of_it
            .filter_map(|(one, verdict)| {
                let hand = self.map.hand(one.hand)?;
                Some(Said {
                    name: hand.agent.as_str(),
                    vendor: &hand.vendor,
                    task: &one.child.key,
                    verdict: verdict.as_ref()?,
                })
            })
            .collect()
    }

    /// Puts what several said of each input into the report.
    fn reviewed(&self, done: &[Done<'a>], report: &mut Report) {
        if self.map.everybody().count() < 2 {
            return;
        }
        let verdicts = verdicts(done);
        let inputs = done.iter().map(|one| one.place + 1).max().unwrap_or(0);
        for place in 0..inputs {
            report.found(&self.said(&verdicts, done, place), self.bench);
        }
    }
}

fn verdicts(done: &[Done<'_>]) -> Vec<Option<Verdict>> {
    let read = |one: &Done<'_>| verdict::read(&one.child.text).filter(|_| one.child.succeeded());
    done.iter().map(read).collect()
}

fn step(map: &Map, place: usize, hand: usize) -> String {
    match map.hand(hand) {
        Some(hand) if map.everybody().count() > 1 => format!("{}.{}", place + 1, hand.agent),
        _ => (place + 1).to_string(),
    }
}

fn one_of(task: &TaskSpec, map: &Map, past: &Past<'_>, step: &str, hand: usize, item: Item) -> TaskSpec {
    let nobody = Hand {
        agent: "exec".into(),
        model: None,
        vendor: String::new(),
    };
    let hand = map.hand(hand).unwrap_or(&nobody);
    let spec = worker(task, past, step, hand, words(task).to_owned());
    TaskSpec {
        work: match &task.work {
            Work::Exec(command) => Work::Exec(command.clone()),
            Work::Prompt(_) | Work::Turn(_) => spec.work.clone(),
        },
        merge: task.merge,
        // Where one answer is made of all, that one is held to it.
        schema: task.schema.clone().filter(|_| map.reduce.is_none()),
        flow: Flow {
            item: Some(item),
            ..spec.flow.clone()
        },
        ..spec
    }
}

/// All inputs are done: the reduce, or the results one after the other.
fn reduced(fan: Fan<'_>, children: &[(String, &Child)], mut report: Report) -> Step {
    let Fan { task, map, past, .. } = fan;
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
            let prompt = reduce_prompt(reduce, children, &report);
            return super::steps::one(TaskSpec {
                schema: task.schema.clone(),
                ..reader(task, past, REDUCE, &reduce.hand, prompt)
            });
        };
        let Some(outcome) = &child.outcome else {
            return super::steps::wait();
        };
        report.note(REDUCE, child, verdict::read(&child.text).as_ref());
        report.part("reducer", child);
        report.confidence = verdict::confidence(&child.text);
        merge::judge(&mut report.reviews, &child.text);
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
        output: Output::Text(match task.schema {
            Some(_) => listed(children),
            None => joined(children),
        }),
        verdict: Some(block(status, None, None, &[], &headline)),
        summary: headline,
        report,
    }))
}

/// Where several judged and found something, their findings are given as one list, and of who judged only the stance;
/// else all summaries.
fn reduce_prompt(reduce: &Reduce, children: &[(String, &Child)], report: &Report) -> String {
    let mut results = String::new();
    let merged = report.triaged.as_ref().filter(|(before, _)| !before.is_empty());
    let mut unresolved = Vec::new();
    for (step, child) in children.iter().filter(|(_, child)| child.succeeded()) {
        let verdict = verdict::read(&child.text).filter(|_| merged.is_some());
        results.push_str(&match verdict {
            Some(verdict) => {
                unresolved.extend(verdict.unresolved);
                format!("- {step}: {}\n", verdict.stance.name())
            }
            None => format!("{{{{ tasks.{}.summary }}}}\n", child.key),
        });
    }
    if merged.is_some() {
        results.push_str(&given(&report.reviews, &unresolved));
    }
    let filled = template::with_results(&reduce.prompt, results.trim_end());
    match filled == reduce.prompt {
        true => format!("{filled}\n\n{results}"),
        false => filled,
    }
}

/// The findings of several as one list, for who goes on with them.
pub(super) fn given(reviews: &[review::Review], unresolved: &[String]) -> String {
    let open: String = unresolved.iter().map(|what| format!("UNRESOLVED: {what}\n")).collect();
    let list = template::untrusted("reviews", "findings", &format!("{}{open}", merge::list(reviews)));
    let list = template::literal(&list);
    format!(
        "\nWHAT THE REVIEWERS FOUND, merged, the weightiest first:\n{list}\n\n{}\n",
        merge::JUDGE
    )
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

/// Answers by a schema as one JSON list, in the order of the inputs; `null` for what failed.
fn listed(children: &[(String, &Child)]) -> String {
    let answer = |(_, child): &(String, &Child)| match child.succeeded() {
        true => serde_json::from_str(&child.text).unwrap_or_default(),
        false => serde_json::Value::Null,
    };
    serde_json::Value::Array(children.iter().map(answer).collect()).to_string()
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
