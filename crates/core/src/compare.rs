//! What a workload takes when the lead orchestrates, and when a separate orchestrator does: arithmetic over a stated model
//! of messages, with every size marked as measured or assumed.
//!
//! The sizes of messages come from a file, a [`Workload`]; a ledger can take the place of two of them ([`Measured`]): how
//! many tasks there are of a class, and how much the doing itself writes. Nobody measures what was never sent, so the rest
//! stays assumed. What a helper reads and writes is summed apart, because the shipped workload, after its document, counts
//! it in one of the two ways only.

use serde::{Deserialize, Serialize};

use crate::price::{Price, Requests};
use crate::usage::{Usage, UsageSource};

/// The largest number of messages of a way, and of classes.
pub const PARTS_MAX: usize = 1_000;
/// The largest size of a message, in tokens, and number of tasks a day.
pub const NUMBER_MAX: u64 = 1_000_000_000;

/// A mix of tasks and the messages that each takes.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// What it is called.
    pub name: String,
    /// How many days a period has.
    pub days: u64,
    /// The classes of tasks.
    pub classes: Vec<Class>,
}

/// Tasks of one sort.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// What it is called.
    pub name: String,
    /// One of them.
    #[serde(default)]
    pub example: String,
    /// How many a day.
    pub a_day: u64,
    /// How many agents work on one: by that a ledger counts them; the last class takes those with more, too.
    pub agents: u64,
    /// What a document rounds a task to, where it goes on with a rounded number.
    #[serde(default)]
    pub rounded: Option<Rounded>,
    /// The messages when the lead orchestrates.
    pub lead: Vec<Step>,
    /// The messages when a separate orchestrator does.
    pub separate: Vec<Step>,
}

/// Tokens of a task as a document rounds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounded {
    /// When the lead orchestrates.
    pub lead: u64,
    /// When a separate orchestrator does.
    pub separate: u64,
}

/// A message, or something that a model does.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What.
    pub what: String,
    /// How many tokens.
    pub tokens: u64,
    /// A model writes it; else one reads it.
    #[serde(default)]
    pub output: bool,
    /// It is the doing itself, which a ledger can tell.
    #[serde(default)]
    pub work: bool,
    /// A helper reads or writes it.
    #[serde(default)]
    pub helper: bool,
}

/// What a ledger knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Runs, by how many agents worked on each.
    pub runs: Vec<(u64, u64)>,
    /// What the agents of a completed task wrote on the average; none while nothing is completed.
    pub output_tokens: Option<u64>,
}

/// Where a number comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A ledger says so.
    Measured,
    /// The workload says so.
    Assumed,
}

/// A line of a comparison.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// What.
    pub what: String,
    /// How many tokens.
    pub tokens: u64,
    /// Where that comes from.
    pub basis: Basis,
}

/// One of the two ways.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Way {
    /// Message by message, for one task; of the sum over classes nothing.
    pub lines: Vec<Line>,
    /// Tokens.
    pub tokens: u64,
    /// Of those, what helpers read and write.
    pub helper_tokens: u64,
    /// Of those, what models write.
    pub output_tokens: u64,
    /// What they cost at the price given, in nano-dollars; none without a price.
    pub cost_nano: Option<u64>,
}

/// One class, task by task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Compared {
    /// What it is called.
    pub name: String,
    /// One of them.
    pub example: String,
    /// How many tasks in the period.
    pub tasks: u64,
    /// Where that comes from.
    pub tasks_basis: Basis,
    /// One task.
    pub lead: Way,
    /// One task.
    pub separate: Way,
    /// How many times as much the separate orchestrator takes, in hundredths.
    pub ratio_hundredths: Option<u64>,
}

/// All classes over the period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Comparison {
    /// The workload.
    pub name: String,
    /// How many days.
    pub days: u64,
    /// Class by class.
    pub classes: Vec<Compared>,
    /// The whole period.
    pub lead: Way,
    /// The whole period.
    pub separate: Way,
    /// How many times as much the separate orchestrator takes, in hundredths.
    pub ratio_hundredths: Option<u64>,
    /// The whole period with a task of each class as the document rounds it; none where it does not, or tasks are measured.
    pub rounded: Option<RoundedSum>,
}

/// A period in a document's round numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct RoundedSum {
    /// Tokens of a day when the lead orchestrates.
    pub lead_a_day: u64,
    /// Tokens of a day when a separate orchestrator does.
    pub separate_a_day: u64,
    /// Tokens of the period.
    pub lead: u64,
    /// Tokens of the period.
    pub separate: u64,
}

/// Why a workload cannot be computed with.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadWorkload {
    /// There is nothing in it.
    #[error("the workload has no class; name at least one with its messages")]
    Empty,
    /// A part is too long.
    #[error("{what} has {found} parts; there may be {PARTS_MAX}")]
    TooMany {
        /// Which.
        what: String,
        /// How many.
        found: usize,
    },
    /// A number is too large.
    #[error("{what} is {found}; there may be {NUMBER_MAX}")]
    TooLarge {
        /// Which.
        what: String,
        /// How much.
        found: u64,
    },
}

/// Computes both ways. With `measured` over `days` days, what a ledger knows takes the place of what is assumed.
pub fn compare(
    workload: &Workload,
    measured: Option<(&Measured, u64)>,
    price: Option<&Price>,
) -> Result<Comparison, BadWorkload> {
    check(workload)?;
    let days = measured.map_or(workload.days, |(_, days)| days);
    let known = measured.map(|(measured, _)| measured);
    let most = workload.classes.iter().map(|class| class.agents).max().unwrap_or(0);
    let classes: Vec<Compared> = workload
        .classes
        .iter()
        .map(|class| compared(class, days, most, known, price))
        .collect();
    let (mut lead, mut separate) = (Way::default(), Way::default());
    for class in &classes {
        lead.add(&class.lead, class.tasks);
        separate.add(&class.separate, class.tasks);
    }
    for way in [&mut lead, &mut separate] {
        way.cost_nano = price.map(|price| way.cost(price));
    }
    Ok(Comparison {
        name: workload.name.clone(),
        days,
        ratio_hundredths: ratio(lead.tokens, separate.tokens),
        classes,
        lead,
        separate,
        rounded: if known.is_none() { rounded(workload) } else { None },
    })
}

fn check(workload: &Workload) -> Result<(), BadWorkload> {
    if workload.classes.is_empty() {
        return Err(BadWorkload::Empty);
    }
    let few = |what: String, found: usize| match found > PARTS_MAX {
        true => Err(BadWorkload::TooMany { what, found }),
        false => Ok(()),
    };
    let small = |what: String, found: u64| match found > NUMBER_MAX {
        true => Err(BadWorkload::TooLarge { what, found }),
        false => Ok(()),
    };
    few("the workload".to_owned(), workload.classes.len())?;
    small("`days`".to_owned(), workload.days)?;
    for class in &workload.classes {
        small(format!("`a_day` of {}", class.name), class.a_day)?;
        for (way, steps) in [("lead", &class.lead), ("separate", &class.separate)] {
            few(format!("`{way}` of {}", class.name), steps.len())?;
            for step in steps {
                small(format!("`{}` of {}", step.what, class.name), step.tokens)?;
            }
        }
    }
    Ok(())
}

fn compared(class: &Class, days: u64, most: u64, known: Option<&Measured>, price: Option<&Price>) -> Compared {
    let (tasks, tasks_basis) = match known {
        Some(measured) => {
            let of_class = |agents: u64| agents == class.agents || (class.agents == most && agents > most);
            let runs = measured.runs.iter().filter(|(agents, _)| of_class(*agents));
            (runs.map(|(_, runs)| runs).sum(), Basis::Measured)
        }
        None => (class.a_day.saturating_mul(days), Basis::Assumed),
    };
    let output = known.and_then(|measured| measured.output_tokens);
    let (lead, separate) = (way(&class.lead, output, price), way(&class.separate, output, price));
    Compared {
        name: class.name.clone(),
        example: class.example.clone(),
        tasks,
        tasks_basis,
        ratio_hundredths: ratio(lead.tokens, separate.tokens),
        lead,
        separate,
    }
}

fn way(steps: &[Step], measured: Option<u64>, price: Option<&Price>) -> Way {
    let mut way = Way::default();
    for step in steps {
        let (tokens, basis) = match measured.filter(|_| step.work) {
            Some(tokens) => (tokens, Basis::Measured),
            None => (step.tokens, Basis::Assumed),
        };
        way.tokens = way.tokens.saturating_add(tokens);
        if step.output {
            way.output_tokens = way.output_tokens.saturating_add(tokens);
        }
        if step.helper {
            way.helper_tokens = way.helper_tokens.saturating_add(tokens);
        }
        way.lines.push(Line {
            what: step.what.clone(),
            tokens,
            basis,
        });
    }
    way.cost_nano = price.map(|price| way.cost(price));
    way
}

impl Way {
    fn add(&mut self, one: &Way, times: u64) {
        for (sum, more) in [
            (&mut self.tokens, one.tokens),
            (&mut self.helper_tokens, one.helper_tokens),
            (&mut self.output_tokens, one.output_tokens),
        ] {
            *sum = sum.saturating_add(more.saturating_mul(times));
        }
    }

    fn cost(&self, price: &Price) -> u64 {
        let usage = Usage {
            input: self.tokens.saturating_sub(self.output_tokens),
            output: self.output_tokens,
            source: UsageSource::Estimated,
            ..Usage::default()
        };
        price.cost_nano(&usage, Requests::Many)
    }
}

fn ratio(lead: u64, separate: u64) -> Option<u64> {
    let hundredths = (u128::from(separate) * 100 + u128::from(lead) / 2).checked_div(u128::from(lead))?;
    u64::try_from(hundredths).ok()
}

fn rounded(workload: &Workload) -> Option<RoundedSum> {
    let (mut lead, mut separate) = (0u64, 0u64);
    for class in &workload.classes {
        let rounded = class.rounded?;
        lead = lead.saturating_add(rounded.lead.saturating_mul(class.a_day));
        separate = separate.saturating_add(rounded.separate.saturating_mul(class.a_day));
    }
    Some(RoundedSum {
        lead_a_day: lead,
        separate_a_day: separate,
        lead: lead.saturating_mul(workload.days),
        separate: separate.saturating_mul(workload.days),
    })
}
