//! The `api` backend: any model behind Anthropic Messages, OpenAI Responses or Chat Completions, or Gemini, at its vendor
//! or at any compatible address. One try is one streamed request without tools; nothing is retried here.
//!
//! | file | what it owns |
//! |---|---|
//! | `provider` | who can be asked, as data |
//! | `key` | where keys come from, and how they stay secret |
//! | `http`, `sse`, `call` | the line: connections, events, timers, orders |
//! | `wire` | the four formats, requests and events; pure |
//! | `fold` | an answer while it comes: text, usage, end; pure |
//! | `trouble`, `ending` | what it means, as one of core's outcomes; pure |
//!
//! Every request ends in exactly one way (`ending::End`); an answer whose end never came is truncated, however
//! properly its connection was closed. What was used is known after every one of them.

mod call;
mod embeddings;
mod ending;
mod fold;
pub(crate) mod http;
pub(crate) mod key;
mod provider;
pub(crate) mod sse;
mod trouble;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Uri};
use wheelhouse_core::agent::{Agent, AgentEvent, Assignment, BoxFuture, Capabilities, Ended, Inbox, Input, Sink};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::schema::Schema;
use wheelhouse_core::usage::{Cost, Usage};

use crate::decode::Turn;
use crate::report;
use call::{Call, Called, How};
use ending::End;
use fold::Folded;

pub use call::Patience;
pub use embeddings::{Embedded, Endpoint, TEXTS_MAX};
pub use http::Http;
pub use key::{Helper, Key, NoKey, Source};
pub use provider::{Dialect, PROVIDERS, Provider, Wire, provider};
pub use trouble::Trouble;
pub use wire::Cache;

/// How long the head of an answer is waited for when nobody says. A long prompt takes minutes to be read.
pub const FIRST_BYTE: Duration = Duration::from_secs(2 * 60);
/// How long the next piece of an answer is waited for when nobody says. Some models think in silence.
pub const STALL: Duration = Duration::from_secs(2 * 60);

/// How this agent is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is asked.
    pub provider: &'static Provider,
    /// Another address than the provider's own.
    pub base_url: Option<String>,
    /// The model where the task names none.
    pub model: Option<String>,
    /// How hard it thinks, in the provider's words.
    pub effort: Option<String>,
    /// How many tokens it may answer.
    pub output_tokens_max: Option<u64>,
    /// What every answer must be valid against, where the task names nothing else.
    pub schema: Option<Arc<Schema>>,
    /// What is marked for the provider's cache.
    pub cache: Cache,
    /// Where the key comes from.
    pub key: Source,
    /// How long what may take.
    pub patience: Patience,
}

impl Config {
    /// This provider with its own address, and no key.
    pub fn new(provider: &'static Provider) -> Config {
        Config {
            provider,
            base_url: None,
            model: None,
            effort: None,
            output_tokens_max: None,
            schema: None,
            cache: Cache::default(),
            key: Source::None,
            patience: Patience {
                first_byte: FIRST_BYTE,
                stall: STALL,
            },
        }
    }
}

/// A model behind an API.
#[derive(Clone, Debug)]
pub struct Api {
    http: Arc<Http>,
    config: Arc<Config>,
}

impl Api {
    /// The model of this configuration, asked over these connections.
    pub fn new(http: Arc<Http>, config: Config) -> Api {
        Api {
            http,
            config: Arc::new(config),
        }
    }
}

impl Agent for Api {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            interrupt: true,
            usage: true,
            structured_output: true,
            ..Capabilities::default()
        }
    }

    fn attempt(&self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> BoxFuture<'static, Ended> {
        let api = self.clone();
        Box::pin(async move { api.run(assignment, inbox, sink).await })
    }
}

impl Api {
    async fn run(self, assignment: Assignment, inbox: Box<dyn Inbox>, sink: Arc<dyn Sink>) -> Ended {
        let config = &*self.config;
        let Input::Prompt(prompt) = &assignment.input else {
            let detail = "this agent takes a prompt and was given a command; give the task a prompt or another agent";
            return report::refused(Outcome::Unavailable, detail.to_owned());
        };
        let Some(model) = assignment.model.as_deref().or(config.model.as_deref()) else {
            let detail = format!(
                "agent `{}` has no model; add `model = \"…\"` to `[agents.{}]`, or `model: …` to the task",
                assignment.agent, assignment.agent
            );
            return report::refused(Outcome::Unavailable, detail);
        };
        let key = match config.key.read(assignment.env.clone()).await {
            Ok(key) => key,
            Err(no_key) => return report::refused(Outcome::Unavailable, no_key.to_string()),
        };
        let ask = wire::Ask {
            model,
            role: assignment.role.as_deref().filter(|role| !role.trim().is_empty()),
            prompt,
            effort: config.effort.as_deref(),
            output_tokens_max: config.output_tokens_max,
            schema: self.schema(&assignment).map(Schema::value),
            cache: config.cache,
            dialect: config.dialect(),
        };
        let request = match config.request(&ask, key.as_ref()) {
            Ok(request) => request,
            Err(detail) => return report::refused(Outcome::Unavailable, detail),
        };
        sink.event(AgentEvent::Started {
            session: None,
            process: None,
        });
        let call = Call {
            http: &self.http,
            patience: config.patience,
            key: key.as_ref(),
            log: assignment.log.as_deref(),
            sink: &sink,
        };
        let called = call.make(request, inbox, Folded::new(config.provider.wire)).await;
        let prompt_bytes = prompt.len() + ask.role.map_or(0, str::len);
        self.settle(&assignment, model, called, prompt_bytes, &sink)
    }

    /// What the answer must be valid against: the task's word, else the agent's.
    fn schema<'a>(&'a self, assignment: &'a Assignment) -> Option<&'a Schema> {
        assignment.schema.as_ref().or(self.config.schema.as_deref())
    }

    fn settle(
        &self,
        assignment: &Assignment,
        model: &str,
        called: Called,
        prompt_bytes: usize,
        sink: &Arc<dyn Sink>,
    ) -> Ended {
        let Called {
            how,
            folded,
            request_id,
        } = called;
        if folded.unknown > 0 {
            let words = format!("{} events of the answer were not understood", folded.unknown);
            sink.event(AgentEvent::Notice(words));
        }
        if let Some(said) = &folded.model {
            sink.event(AgentEvent::Model(said.clone()));
        }
        if let Some(other) = folded.model.as_deref().filter(|other| *other != model) {
            sink.event(AgentEvent::Notice(format!("`{model}` was answered by `{other}`")));
        }
        let patience = self.config.patience;
        let was_worked_on = !matches!(how, How::NoAnswer(_) | How::Refused(_));
        let end = ending::end(how, &folded, patience);
        let (mut outcome, mut detail) = ending::class(&end, &folded, patience.stall);
        if outcome == Outcome::Auth {
            self.config.key.forget();
            detail.push_str(&format!("; {}", self.config.key.describe()));
        }
        if let (End::Incomplete(_) | End::None(..), Some(id)) = (&end, request_id) {
            detail.push_str(&format!(" (request {id})"));
        }
        let mut bare = None;
        if let (true, Some(schema)) = (outcome.is_success(), self.schema(assignment)) {
            match schema.check(&folded.text) {
                Ok(json) => bare = Some(json.to_owned()),
                Err(why) => (outcome, detail) = (Outcome::Malformed, why.to_string()),
            }
        }
        let (usage, cost) = if was_worked_on {
            (folded.usage(prompt_bytes), Cost::Unknown)
        } else {
            // Providers charge nothing for what they refuse.
            (Usage::default(), Cost::Actual(0))
        };
        let turn = Turn {
            outcome,
            detail,
            text: bare.unwrap_or(folded.text),
            usage,
            cost,
            session: None,
            denials: Vec::new(),
            files: Vec::new(),
            model: Some(folded.model.unwrap_or_else(|| model.to_owned())),
            version: None,
            interrupted: false,
        };
        report::answered(turn, assignment.output_max)
    }
}

impl Config {
    /// A server at another address than its vendor's gets the fields that all servers take.
    fn dialect(&self) -> Dialect {
        match &self.base_url {
            Some(_) => Dialect::Compatible,
            None => self.provider.dialect,
        }
    }

    /// Where requests go: the address, with the API's own path where the address has none.
    fn base(&self) -> Result<Uri, String> {
        let said = self.base_url.as_deref().unwrap_or(self.provider.base_url);
        let uri: Uri = said
            .trim_end_matches('/')
            .parse()
            .map_err(|error| format!("`base_url = \"{said}\"` is not an address: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
            return Err(format!(
                "`base_url = \"{said}\"` is not an address; write for example \"{}\"",
                self.provider.base_url
            ));
        }
        if uri.query().is_some() || uri.authority().is_some_and(|host| host.as_str().contains('@')) {
            return Err(
                "`base_url` takes no query and no user: keys belong in `key_env`, `key_file` or `key_command`"
                    .to_owned(),
            );
        }
        Ok(uri)
    }

    fn request(&self, ask: &wire::Ask<'_>, key: Option<&Key>) -> Result<Request<http::Body>, String> {
        let wire = self.provider.wire;
        let base = self.base()?;
        if key.is_some() && base.scheme_str() == Some("http") && !http::is_loopback(&base) {
            return Err(format!(
                "the key would cross the network unencrypted to {base}; use `https`, or no key for a server of your own"
            ));
        }
        let version = match base.path() {
            "" | "/" => wire.version_path(),
            // Gateways keep Anthropic's and Gemini's version below a path of their own.
            path if wire == Wire::Anthropic && !path.ends_with("/v1") => wire.version_path(),
            path if wire == Wire::Gemini && !path.contains("/v1") => wire.version_path(),
            _ => "",
        };
        let base = base.to_string();
        let uri = format!("{}{version}{}", base.trim_end_matches('/'), wire::path(wire, ask.model));
        let body = wire::body(wire, ask).to_string();
        let mut request = Request::post(uri)
            .header("content-type", "application/json")
            .header("accept", "text/event-stream")
            .header("user-agent", concat!("wheelhouse/", env!("CARGO_PKG_VERSION")));
        for (name, value) in wire::headers(wire) {
            request = request.header(*name, *value);
        }
        if let Some(key) = key {
            let (name, prefix) = wire::key_header(wire);
            let value: HeaderValue = key
                .header(prefix)
                .ok_or_else(|| "the key holds characters that cannot be sent".to_owned())?;
            request = request.header(HeaderName::from_static(name), value);
        }
        request
            .body(Full::from(body))
            .map_err(|error| format!("the request cannot be made: {error}"))
    }
}

#[cfg(test)]
mod tests;
