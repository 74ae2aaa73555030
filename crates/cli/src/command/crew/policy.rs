//! `policy`: what instances work within, shown and changed while they run.

use serde_json::{Value, json};
use wheelhouse_core::budget::{Budget, Scope};
use wheelhouse_core::caller::Caller;
use wheelhouse_core::crew::{CrewPolicy, PolicyChange};
use wheelhouse_core::message::Party;
use wheelhouse_core::money::show_usd;
use wheelhouse_server::face::crew_verb::{policy_problems, set_policy};
use wheelhouse_server::face::document::crew as document;
use wheelhouse_server::face::policy;

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::host;
use crate::moment::now;
use crate::state::{self, State};

/// Shows or changes the policy.
pub(crate) fn policy(app: &App, args: &args::Policy) -> Outcome {
    match args {
        args::Policy::Show => {
            let (policy, budgets) = match state::look(&app.place)? {
                Some(mut reader) => (reader.crew_policy()?, reader.budgets(now())?),
                None => (CrewPolicy::default(), Vec::new()),
            };
            show(app, &policy, &budgets)
        }
        args::Policy::Set { changes } => {
            let changes =
                policy::changes(changes.iter().map(String::as_str)).map_err(|problems| policy_problems(&problems))?;
            change(app, changes)
        }
        args::Policy::Load { file } => {
            let path = app.here.join(file);
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read the policy", &path, &error))?;
            let document: Value = serde_saphyr::from_str(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            change(
                app,
                policy::from_document(&document).map_err(|problems| policy_problems(&problems))?,
            )
        }
    }
}

/// What the variables of an MCP entry say (`MAX_INSTANCES`, `DEFAULT_MODEL` …) becomes the running policy.
pub(crate) fn from_environment(app: &App, state: &mut State) -> Result<(), Failure> {
    let changes = policy::from_env(&app.env).map_err(|problems| policy_problems(&problems))?;
    if changes.is_empty() {
        return Ok(());
    }
    set_policy(&mut state.truth(), Party::Person, changes)
}

fn change(app: &App, changes: Vec<PolicyChange>) -> Outcome {
    let (mut state, Caller(by)) = super::open(app)?;
    set_policy(&mut state.truth(), by, changes)?;
    host::quietly_tell_engine(app);
    let policy = state.reader.crew_policy()?;
    let budgets = state.reader.budgets(now())?;
    show(app, &policy, &budgets)
}

fn show(app: &App, policy: &CrewPolicy, budgets: &[Budget]) -> Outcome {
    let document = document::policy(policy);
    if app.terminal.json {
        app.terminal.print_json(&json!({ "policy": document }))?;
        return Ok(exit::OK);
    }
    let widest = policy::KEYS.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for key in policy::KEYS {
        let value = match (key.show)(policy) {
            Value::Null => "none".to_owned(),
            Value::Bool(on) => if on { "on" } else { "off" }.to_owned(),
            Value::String(text) => text,
            Value::Array(items) if items.is_empty() => "-".to_owned(),
            Value::Array(items) => {
                let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                words.join(",")
            }
            other => other.to_string(),
        };
        let scope = match key.name {
            "max_session_cost" => Some(Scope::Crew),
            "max_cost_per_hour" => Some(Scope::CrewHour),
            _ => None,
        };
        let spent = budgets.iter().find(|budget| Some(&budget.scope) == scope.as_ref());
        let spent = spent.map_or_else(String::new, |budget| {
            format!("{} spent; ", show_usd(budget.used_nano()))
        });
        let about = app.terminal.out.paint.dim(&format!("{spent}{}", key.about));
        text.push_str(&format!("{:<widest$}  {value:<12}  {about}\n", key.name));
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}
