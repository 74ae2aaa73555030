//! The MCP servers that the configuration names, ready to be started when one is needed.

use std::collections::BTreeMap;

use wheelhouse_agents::api::Key;
use wheelhouse_agents::keep::STORE_VARIABLE;
use wheelhouse_agents::tool_servers::{Config, KeyFrom, Place, Reach, Servers, Times};
use wheelhouse_core::tool_server::BETWEEN;
use wheelhouse_server::ports::ToolRules;

use crate::app::App;
use crate::config::{Settings, ToolServer};
use crate::roster;

/// What marks their processes beside the id of the store, so that nobody takes them for an engine's.
const MARK: &str = "tools";

/// The mark of the processes of a server of faces over this store: what is left of them is swept by the next one.
pub(crate) fn mark(store: &str) -> String {
    format!("{store}-{MARK}")
}

/// The servers that are not switched off. `mark` is what their processes carry.
pub(crate) fn servers(app: &App, settings: &Settings, mark: Option<&str>) -> Servers {
    let own = &settings.tool_servers;
    let place = Place {
        exe: app.exe.clone(),
        cwd: app.place.project.clone(),
        lists: app.place.state_dir.join("tools"),
    };
    let times = Times {
        start: own.start,
        list: own.list,
        call: own.call,
    };
    let servers = own.servers.iter().filter(|(_, server)| !server.off);
    let servers = servers.map(|(name, server)| (name.clone(), config(app, settings, server, mark)));
    Servers::new(place, times, servers.collect())
}

/// How their tools are used.
pub(crate) fn rules(settings: &Settings) -> ToolRules {
    let own = settings.tool_servers.servers.iter();
    let fields = own.flat_map(|(server, own)| {
        let of = own.fields.iter();
        of.map(move |(tool, fields)| (format!("{server}{BETWEEN}{tool}"), fields.clone()))
    });
    ToolRules {
        policy: settings.policy.clone(),
        context: settings.context.clone(),
        fields: fields.collect(),
        result_tokens: settings.tool_servers.result_tokens,
    }
}

fn config(app: &App, settings: &Settings, server: &ToolServer, mark: Option<&str>) -> Config {
    let mut env = roster::passed_env(settings, &app.env);
    env.extend(mark.map(|mark| (STORE_VARIABLE.to_owned(), mark.to_owned())));
    let reach = match (&server.url, &server.command) {
        (Some(url), _) => Reach::Address {
            url: url.clone(),
            key: key(app, server),
            env,
        },
        (None, command) => {
            let passed: BTreeMap<String, String> = server
                .env_pass
                .iter()
                .flatten()
                .filter_map(|name| Some((name.clone(), app.env.get(name)?.clone())))
                .collect();
            let secrets = passed.values().filter_map(|text| Key::new(text)).collect();
            env.extend(passed);
            env.extend(server.env.clone());
            let words = command.iter().chain(server.args.iter().flatten());
            Reach::Program {
                argv: words.cloned().collect(),
                env,
                secrets,
            }
        }
    };
    Config {
        reach,
        tools: server.tools.as_ref().map(|names| names.iter().cloned().collect()),
    }
}

fn key(app: &App, server: &ToolServer) -> KeyFrom {
    if let Some(name) = &server.key_env {
        KeyFrom::Env {
            key: app.env.get(name).and_then(|text| Key::new(text)),
            name: name.clone(),
        }
    } else if let Some(file) = &server.key_file {
        KeyFrom::File(app.place.project.join(file))
    } else if let Some(command) = &server.key_command {
        KeyFrom::Command(command.clone())
    } else {
        KeyFrom::Nowhere
    }
}
