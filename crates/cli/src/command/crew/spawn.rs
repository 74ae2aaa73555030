//! `spawn`: one instance, or many.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use wheelhouse_core::agent::McpServer;
use wheelhouse_core::crew::PolicyChange;
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::instance::Rights;
use wheelhouse_server::face::crew_verb::{self, Below, Spawned, Wanted};
use wheelhouse_server::face::document::crew as document;
use wheelhouse_server::face::policy;
use wheelhouse_server::face::spawn::Wish;
use wheelhouse_server::face::team;

use crate::app::App;
use crate::args::crew as args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::state::State;

/// Makes instances.
pub(crate) fn spawn(app: &App, args: &args::Spawn) -> Outcome {
    let wanted = wanted(app, args)?;
    let (mut state, caller) = super::open(app)?;
    let below = Below {
        parent: args.parent.as_deref(),
        rights: Rights {
            spawn: !args.no_spawn,
            ..Rights::default()
        },
        key: args.key.as_deref(),
        ..Below::caller(caller.0)
    };
    let spawned = make(app, &mut state, &below, wanted)?;
    super::engine(app, caller)?;
    let wait = args.wait.then(|| Duration::from_secs(args.timeout));
    report(app, &mut state, &spawned, wait)
}

fn wanted(app: &App, args: &args::Spawn) -> Result<Vec<Wanted>, Failure> {
    if let Some(file) = &args.file {
        let path = app.here.join(file);
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("read the team", &path, &error))?;
        let team = team::read(&text, &path.display().to_string())?;
        return Ok(team.members.into_iter().map(team::Member::wish).collect());
    }
    let name = args.name.clone().unwrap_or_default();
    let budget_nano = match &args.budget {
        Some(text) => match policy::change("max_session_cost", text).map_err(Failure::usage)? {
            PolicyChange::MaxSessionCost(nano) => nano,
            _ => None,
        },
        None => None,
    };
    let wish = Wish {
        name: name.clone(),
        agent: args.agent.clone(),
        model: args.model.clone(),
        role: args.role.clone(),
        system_prompt: args.system_prompt.clone(),
        cwd: args.cwd.clone(),
        worktree: args.worktree,
        mcp_servers: match &args.mcp {
            Some(file) => mcp_servers(&app.here.join(file))?,
            None => BTreeMap::new(),
        },
        env: BTreeMap::new(),
        budget_nano,
        session: None,
    };
    let prompt = args.prompt.as_deref().map(super::text).transpose()?;
    Ok(match args.count {
        None => vec![(wish, prompt)],
        Some(count) => (1..=count)
            .map(|number| {
                let name = format!("{name}-{number}");
                let wish = Wish { name, ..wish.clone() };
                (wish, prompt.clone())
            })
            .collect(),
    })
}

fn mcp_servers(path: &std::path::Path) -> Result<BTreeMap<String, McpServer>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io("read the MCP servers", path, &error))?;
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
    let mut document: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let servers = document.get_mut("mcpServers").map(Value::take).unwrap_or(document);
    let Value::Object(servers) = servers else {
        return Err(wrong(&"a mapping of names to servers is expected"));
    };
    let mut read = BTreeMap::new();
    for (name, mut server) in servers {
        if let Value::Object(fields) = &mut server {
            fields.remove("type");
        }
        let server = serde_json::from_value(server).map_err(|_| {
            wrong(&format!(
                "`{name}` is no server: it has `command`, `args` and `env`, or `url` and `headers`"
            ))
        })?;
        read.insert(name, server);
    }
    Ok(read)
}

/// Makes all of them in one commit.
pub(super) fn make(
    app: &App,
    state: &mut State,
    below: &Below<'_>,
    wanted: Vec<Wanted>,
) -> Result<Vec<Spawned>, Failure> {
    let settings = app.settings(None)?;
    let defaults = super::defaults(app, &settings);
    crew_verb::spawn_all(&mut state.truth(), &defaults, below, wanted)
}

/// Says what was made, after waiting for the first answers when asked.
pub(super) fn report(app: &App, state: &mut State, spawned: &[Spawned], wait: Option<Duration>) -> Outcome {
    let messages: Vec<MessageId> = spawned.iter().filter_map(|(_, message)| *message).collect();
    if !app.terminal.json && wait.is_none() {
        let lines: String = spawned.iter().map(|(id, _)| format!("{id}\n")).collect();
        app.terminal.print(&lines)?;
        return Ok(exit::OK);
    }
    let views = match wait {
        Some(most) => super::wait_for(app, state.reader.as_mut(), &messages, most)?,
        None => Vec::new(),
    };
    if !app.terminal.json {
        return super::talk::tell_answers(app, state, &views);
    }
    let mut documents = Vec::with_capacity(spawned.len());
    for (id, message) in spawned {
        let view = state.reader.instance(*id)?.map(|view| document::instance(&view));
        let message = match message {
            Some(id) => super::talk::message_document(state.reader.as_mut(), *id)?,
            None => Value::Null,
        };
        documents.push(json!({ "instance": view, "message": message }));
    }
    app.terminal.print_json(&json!({ "spawned": documents }))?;
    super::talk::exit_of(&views)
}
