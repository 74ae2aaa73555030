//! Budgets as they are named and changed: by a scope's name and an amount in dollars.

use schemars::JsonSchema;
use serde::Deserialize;
use wheelhouse_core::budget::Scope;
use wheelhouse_core::money::{parse_usd, show_usd};
use wheelhouse_core::store::{Command, Reader};

use super::crew;
use super::failure::Failure;
use super::name::{self, Named};
use super::verb::Truth;

/// A change of a budget.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Add so many dollars in its present window; what waits for it goes on.
    Raise(String),
    /// A limit of your own in dollars, or `none`.
    Set(String),
}

/// Changes a budget and says what that came to. For persons alone: the caller checks.
pub fn change(truth: &mut Truth<'_>, name: &str, change: &Change) -> Result<String, Failure> {
    let money = |usd: &str| parse_usd(usd).map_err(|error| Failure::usage(error.to_string()));
    let scope = scope(truth.reader, name)?;
    let (command, said) = match change {
        Change::Raise(usd) => {
            let by_nano = money(usd)?;
            let said = format!("the budget of {name} is {} higher", show_usd(by_nano));
            (Command::RaiseBudget { scope, by_nano }, said)
        }
        Change::Set(usd) => {
            let limit_nano = if usd == "none" { None } else { Some(money(usd)?) };
            let said = match limit_nano {
                Some(nano) => format!("the budget of {name} is {}", show_usd(nano)),
                None => format!("{name} has no limit of your own any more"),
            };
            (Command::SetBudget { scope, limit_nano }, said)
        }
    };
    truth.change(command)?;
    Ok(said)
}

/// What a name stands for: `day`, `hour`, `session`, `crew`, `crew:hour`, a run, a task or an instance.
fn scope(reader: &mut dyn Reader, name: &str) -> Result<Scope, Failure> {
    match name {
        "day" => Ok(Scope::Day),
        "hour" => Ok(Scope::Hour),
        "session" => Ok(Scope::Session),
        "crew" => Ok(Scope::Crew),
        "crew:hour" => Ok(Scope::CrewHour),
        _ => match name::named(reader, name) {
            Ok(Named::Run(run)) => Ok(Scope::Run(run.id)),
            Ok(Named::Task(task)) => Ok(Scope::Task(task.id)),
            Err(unknown) => match crew::instance(reader, name) {
                Ok(instance) => Ok(Scope::Instance(instance.id.0)),
                Err(_) => Err(unknown),
            },
        },
    }
}
