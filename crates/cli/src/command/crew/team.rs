//! `team`: sets of instances that start together.

use serde_json::json;
use wheelhouse_core::instance::Rights;
use wheelhouse_server::face::crew;
use wheelhouse_server::face::team::{self, Member, Teams};

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
            let mut team = teams.team(name)?;
            if let (Some(task), Some(first)) = (task, team.members.first_mut()) {
                first.prompt = Some(super::text(task)?);
            }
            let (mut state, caller) = super::open(app)?;
            let parent = match parent {
                Some(name) => Some(crew::instance(state.reader.as_mut(), name)?.id),
                None => None,
            };
            for member in &mut team.members {
                if member.agent.is_none()
                    && let Some(agent) = agent
                {
                    member.agent = Some(agent.clone());
                    // The template's models are one vendor's; an agent that was asked for has its own.
                    member.model = None;
                }
            }
            let wanted = team.members.into_iter().map(Member::wish).collect();
            let rights = Rights::default();
            let spawned = super::spawn::make(app, &mut state, caller, parent, &rights, None, wanted)?;
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
    let mut documents = Vec::new();
    let mut text = String::new();
    for name in teams.names() {
        match teams.team(&name) {
            Ok(team) => {
                let members: Vec<&str> = team.members.iter().map(|member| member.name.as_str()).collect();
                text.push_str(&format!("{name}: {}\n", members.join(", ")));
                documents.push(json!({ "name": name, "about": team.about, "members": members }));
            }
            // One that cannot be read is listed with what is wrong with it.
            Err(failure) => {
                text.push_str(&format!("{name}: {}\n", failure.message));
                documents.push(json!({ "name": name, "problem": failure.message }));
            }
        }
    }
    if app.terminal.json {
        app.terminal.print_json(&json!({ "teams": documents }))?;
    } else {
        app.terminal.print(&text)?;
    }
    Ok(exit::OK)
}
