//! A task's answer, with who gave it, at which try, how deep in its chain, and what was tried besides.

use schemars::JsonSchema;
use serde::Serialize;
use wheelhouse_core::chain;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::store::{Answered, Reader, TaskResult, TaskView};
use wheelhouse_core::workflow::AGENT;

use crate::face::failure::Failure;

/// How much of an output stands in a document, in bytes; the rest is behind the artifact.
pub const OUTPUT_MAX: usize = 16_000;

/// Where a task's answer comes from.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The answer; absent when there is none, it is no text, or is too long for a document.
    pub output: Option<String>,
    /// The model that gave it, by its provider's name; the agent's name when no model is known.
    pub model_used: String,
    /// How that is known: `reported`, `asked` (it was asked with that one and did not say); absent when no model is known.
    pub model_source: Option<String>,
    /// The so-manieth try there, from 1.
    pub attempt: u32,
    /// How many links of the chain were left behind: 0 is the first choice.
    pub fallback_depth: u32,
    /// How sure it says it is, 0 to 100, when it says so.
    pub confidence: Option<u8>,
    /// It is the best there was, and not good enough.
    pub weak: bool,
    /// Every try that ended, oldest first.
    pub provenance: Vec<Step>,
}

/// A try that ended.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The step of the workflow whose try it was; absent where the task has no steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its number.
    pub attempt: u32,
    /// How many links of the chain were left behind.
    pub fallback_depth: u32,
    /// Who did it.
    pub agent: String,
    /// With which model, when that is known.
    pub model: Option<String>,
    /// How that is known: `reported` or `asked`.
    pub model_source: Option<String>,
    /// How it ended, by its stable class.
    pub outcome: String,
    /// How sure it said it was.
    pub confidence: Option<u8>,
}

impl Answer {
    /// Reads it; nothing when no try ended.
    pub fn read(reader: &mut dyn Reader, task: &TaskView) -> Result<Option<Answer>, Failure> {
        let results = reader.results(task.id)?;
        let tries = results.iter().map(|one| (&one.outcome, &one.result));
        let Some(place) = chain::answer(tries) else {
            return Ok(None);
        };
        let attempts = reader.attempts(task.id)?;
        let who = |number: u32| {
            let of = attempts.iter().find(|attempt| attempt.number == number);
            of.map_or(&task.agent, |attempt| &attempt.agent).to_string()
        };
        let chosen = &results[place];
        let there = |one: &&Answered| one.result.link == chosen.result.link;
        let attempt = results[..=place].iter().filter(there).count();
        let weak = chain::is_weak(&chosen.outcome);
        let good = chosen.outcome == Outcome::Succeeded || weak;
        Ok(Some(Answer {
            output: match good {
                true => output(reader, &chosen.result)?,
                false => None,
            },
            model_used: chosen.result.model.clone().unwrap_or_else(|| who(chosen.number)),
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            model_source: source(&chosen.result),
            fallback_depth: chosen.result.link,
            confidence: chosen.result.confidence,
            weak,
            provenance: match task.agent.as_str() {
                AGENT => of_steps(reader, task)?,
                _ => results.iter().map(|one| step(one, who(one.number))).collect(),
            },
        }))
    }
}

/// The tries of a workflow are those of its steps; of steps that have steps, theirs.
fn of_steps(reader: &mut dyn Reader, task: &TaskView) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for child in reader.children(task.id)? {
        let Some(answer) = Answer::read(reader, &child)? else {
            continue;
        };
        let named = answer.provenance.into_iter().map(|step| Step {
            task: step.task.or_else(|| Some(child.key.to_string())),
            ..step
        });
        steps.extend(named);
    }
    Ok(steps)
}

fn step(one: &Answered, agent: String) -> Step {
    Step {
        task: None,
        attempt: one.number,
        fallback_depth: one.result.link,
        agent,
        model: one.result.model.clone(),
        model_source: source(&one.result),
        outcome: one.outcome.class().to_owned(),
        confidence: one.result.confidence,
    }
}

fn source(result: &TaskResult) -> Option<String> {
    result.model_source.map(|source| source.name().to_owned())
}

fn output(reader: &mut dyn Reader, result: &TaskResult) -> Result<Option<String>, Failure> {
    let Some(output) = result.artifacts.iter().find(|artifact| artifact.name == "output") else {
        return Ok(None);
    };
    if output.bytes as usize > OUTPUT_MAX || output.bytes_written > output.bytes {
        return Ok(None);
    }
    let bytes = reader.artifact(&output.hash)?;
    Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}
