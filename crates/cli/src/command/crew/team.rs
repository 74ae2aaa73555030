//! `team`: sets of instances that start together.

use serde_json::json;
use wheelhouse_server::face::crew;
use wheelhouse_server::face::crew_verb::{self, Below};
use wheelhouse_server::face::team::{self, Teams};

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::Outcome;
use crate::state;

/// Lists, shows, starts or saves a team.
pub(crate) fn team(app: &App, args: &args::Team) -> Outcome {
    let teams = Teams::of(&app.place.state_dir);
    match args {
        args::Team::List => list(app, &teams),
        args::Team::Show { name } => {
            let (text, _) = teams.text(name)?;
            if app.terminal.json {
                app.terminal.print_json(&json!({ "team": teams.team(name)? }))?;
            } else {
                app.terminal.print(&text)?;
            }
            Ok(exit::OK)
        }
        args::Team::Start {
            name,
            task,
            agent,
            parent,
        } => {
            let task = task.as_deref().map(super::text).transpose()?;
            let wanted = crew_verb::members(teams.team(name)?, task, agent.as_deref());
            let (mut state, caller) = super::open(app)?;
            let below = Below {
                parent: parent.as_deref(),
                ..Below::caller(caller.0)
            };
            let spawned = super::spawn::make(app, &mut state, &below, wanted)?;
            if spawned.iter().any(|(_, message)| message.is_some()) {
                super::engine(app, caller)?;
            }
            super::spawn::report(app, &mut state, &spawned, None)
        }
        args::Team::Save { name, instances } => {
            let mut reader = state::expect(&app.place)?;
            let mut views = Vec::with_capacity(instances.len());
            for instance in instances {
                views.push(crew::instance(reader.as_mut(), instance)?);
            }
            let path = teams.save(&team::of_instances(name, &views))?;
            if app.terminal.json {
                app.terminal
                    .print_json(&json!({ "team": teams.team(name)?, "file": path.display().to_string() }))?;
            } else {
                app.terminal.print(&format!("{}\n", app.place.short(&path)))?;
            }
            Ok(exit::OK)
        }
    }
}

fn list(app: &App, teams: &Teams) -> Outcome {
    let listed = team::list(teams);
    if app.terminal.json {
        app.terminal.print_json(&json!({ "teams": listed }))?;
        return Ok(exit::OK);
    }
    let mut text = String::new();
    for one in &listed {
        let name = one["name"].as_str().unwrap_or_default();
        let members = one["members"].as_array().map(|members| {
            let names: Vec<&str> = members.iter().filter_map(|member| member.as_str()).collect();
            names.join(", ")
        });
        let problem = one["problem"].as_str().unwrap_or_default();
        text.push_str(&format!("{name}: {}\n", members.as_deref().unwrap_or(problem)));
    }
    app.terminal.print(&text)?;
    Ok(exit::OK)
}
