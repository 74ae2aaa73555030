//! Models behind APIs, out of the settings: where each is asked, and where its key comes from.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use wheelhouse_agents::api::{Api, Config, FIRST_BYTE, Helper, Key, Patience, Provider, STALL, Source, provider};
use wheelhouse_core::agent::{Agent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Sink};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::schema::Schema;
use wheelhouse_core::store::TaskResult;
use wheelhouse_core::usage::{Cost, Usage};

use super::Hands;
use crate::config::AgentSettings;

/// How an agent of this backend is set up at all.
const SET_UP: &str =
    "add `[agents.NAME]` with `backend = \"api\"`, `api = \"…\"` and `model = \"…\"` to wheelhouse.toml";

/// Makes an agent.
pub(super) fn build(hands: &Hands, settings: &AgentSettings) -> Arc<dyn Agent> {
    match config(hands, settings) {
        Ok(config) => Arc::new(Api::new(Arc::clone(&hands.http), config)),
        Err(why) => Arc::new(NotSetUp(why)),
    }
}

fn config(hands: &Hands, settings: &AgentSettings) -> Result<Config, String> {
    let api = &settings.api;
    let provider = api.api.as_deref().and_then(provider);
    let provider = provider.ok_or_else(|| format!("this agent does not say what it asks; {SET_UP}"))?;
    let schema = match &api.schema {
        Some(file) => Some(Arc::new(schema(&hands.project.join(file))?)),
        None => None,
    };
    Ok(Config {
        base_url: api.base_url.clone(),
        model: settings.model.clone(),
        effort: api.effort.clone(),
        output_tokens_max: api.output_tokens_max,
        schema,
        cache: api.cache(),
        key: source(hands, provider, settings),
        patience: Patience {
            first_byte: api.first_byte_timeout.unwrap_or(FIRST_BYTE),
            stall: api.stall_timeout.unwrap_or(STALL),
        },
        ..Config::new(provider)
    })
}

fn schema(path: &Path) -> Result<Schema, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("the schema {shown} cannot be read: {error}"))?;
    Schema::parse(&text).map_err(|error| format!("the schema {shown} cannot be used: {error}"))
}

fn source(hands: &Hands, provider: &Provider, settings: &AgentSettings) -> Source {
    match place(provider, settings) {
        Place::Nowhere => Source::None,
        Place::Variable(name) => Source::Env {
            key: hands.env.get(name).and_then(|text| Key::new(text)),
            name: name.to_owned(),
        },
        Place::File(file) => Source::File(hands.project.join(file)),
        Place::Helper(command) => Source::Helper(Helper::new(
            Arc::clone(&hands.keeper),
            command.to_owned(),
            hands.project.clone(),
        )),
    }
}

/// Who serves what an agent asks: the API and where it is, or the backend's program.
pub(super) fn served_by(kind: &str, settings: &AgentSettings) -> String {
    let api = &settings.api;
    match (&api.api, &api.base_url) {
        (Some(api), Some(url)) => format!("{api} at {url}"),
        (Some(api), None) => api.clone(),
        (None, _) => kind.to_owned(),
    }
}

/// What an agent's login or key is called: where the key comes from, else the program that holds the login. Never the key.
pub(super) fn credential(kind: &str, settings: &AgentSettings) -> Option<String> {
    let Some(provider) = settings.api.api.as_deref().and_then(provider) else {
        return Some(kind.to_owned());
    };
    match place(provider, settings) {
        Place::Variable(name) | Place::File(name) => Some(name.to_owned()),
        Place::Helper(_) | Place::Nowhere => None,
    }
}

/// Where a key is.
enum Place<'a> {
    Nowhere,
    Variable(&'a str),
    File(&'a str),
    Helper(&'a str),
}

/// A key goes to another address than its vendor's only when the settings name it.
fn place<'a>(provider: &Provider, settings: &'a AgentSettings) -> Place<'a> {
    let api = &settings.api;
    if let Some(name) = &api.key_env {
        Place::Variable(name)
    } else if let Some(file) = &api.key_file {
        Place::File(file)
    } else if let Some(command) = &api.key_command {
        Place::Helper(command)
    } else {
        match provider.key_env {
            Some(name) if api.base_url.is_none() => Place::Variable(name),
            _ => Place::Nowhere,
        }
    }
}

/// What an agent lacks, and what to do.
pub(crate) struct Lack {
    pub(crate) found: String,
    pub(crate) next: String,
}

/// Whether there is a key: by its variable, its file and that file's mode. Neither is read.
pub(crate) fn keyed(project: &Path, env: &BTreeMap<String, String>, settings: &AgentSettings) -> Result<String, Lack> {
    let lack = |found: String, next: String| Lack { found, next };
    let Some(provider) = settings.api.api.as_deref().and_then(provider) else {
        return Err(lack("does not say what it asks".to_owned(), SET_UP.to_owned()));
    };
    let at = settings.api.base_url.as_deref().unwrap_or(provider.base_url);
    let model = settings.model.as_deref().unwrap_or("no model, a task must name one");
    let asks = format!("{} at {at}, {model}", provider.name);
    match place(provider, settings) {
        Place::Nowhere => Ok(format!("{asks}; no key")),
        Place::Variable(name) if env.get(name).is_some_and(|value| !value.is_empty()) => {
            Ok(format!("{asks}; {name} is set, and was not looked at"))
        }
        Place::Variable(name) => Err(lack(format!("{asks}; {name} is not set"), format!("`export {name}=…`"))),
        Place::File(file) => {
            let path = project.join(file);
            let shown = path.display().to_string();
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.permissions().mode() & 0o077 == 0 => {
                    Ok(format!("{asks}; {shown} is there, and was not read"))
                }
                Ok(_) => Err(lack(
                    format!("{asks}; others may read {shown}"),
                    format!("`chmod 600 {shown}`"),
                )),
                Err(error) => Err(lack(
                    format!("{asks}; {shown}: {error}"),
                    format!("put the key into {shown} and `chmod 600 {shown}`"),
                )),
            }
        }
        Place::Helper(command) => Ok(format!("{asks}; key by `{command}`, which was not run")),
    }
}

/// An agent whose settings do not suffice: every try says so.
struct NotSetUp(String);

impl Agent for NotSetUp {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn attempt(&self, _: Assignment, _: Box<dyn Inbox>, _: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let ended = Ended {
            outcome: Outcome::Unavailable,
            detail: self.0.clone(),
            result: TaskResult::default(),
            outputs: Vec::new(),
            usage: Usage::default(),
            cost: Cost::Actual(0),
            session: None,
        };
        Box::pin(std::future::ready(ended))
    }
}
