//! What the settings of an agent say when its backend is `api`.

use std::time::Duration;

use wheelhouse_agents::api::{Cache, PROVIDERS, provider};

use super::keys::Value;
use super::{AgentSettings, Merged, Problem};
use crate::nearest;

/// The backend that these settings are for.
pub(crate) const BACKEND: &str = "api";
/// The words of `cache`.
const CACHES: [(&str, Cache); 3] = [("off", Cache::Off), ("role", Cache::Role), ("prompt", Cache::Prompt)];

/// `agents.*` as far as it is about model APIs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiSettings {
    /// `api`
    pub(crate) api: Option<String>,
    /// `base_url`
    pub(crate) base_url: Option<String>,
    /// `effort`
    pub(crate) effort: Option<String>,
    /// `key_env`
    pub(crate) key_env: Option<String>,
    /// `key_file`
    pub(crate) key_file: Option<String>,
    /// `key_command`
    pub(crate) key_command: Option<String>,
    /// `output_tokens_max`
    pub(crate) output_tokens_max: Option<u64>,
    /// `schema`
    pub(crate) schema: Option<String>,
    /// `cache`
    pub(crate) cache: Option<String>,
    /// `first_byte_timeout`
    pub(crate) first_byte_timeout: Option<Duration>,
    /// `stall_timeout`
    pub(crate) stall_timeout: Option<Duration>,
}

impl ApiSettings {
    /// Takes a value, when its key is one of these.
    pub(super) fn take(&mut self, key: &str, value: &Value) {
        match (key, value) {
            ("api", Value::Text(text)) => self.api = Some(text.clone()),
            ("base_url", Value::Text(text)) => self.base_url = Some(text.clone()),
            ("effort", Value::Text(text)) => self.effort = Some(text.clone()),
            ("key_env", Value::Text(text)) => self.key_env = Some(text.clone()),
            ("key_file", Value::Text(text)) => self.key_file = Some(text.clone()),
            ("key_command", Value::Text(text)) => self.key_command = Some(text.clone()),
            ("output_tokens_max", Value::Count(number)) => self.output_tokens_max = Some(*number),
            ("schema", Value::Text(text)) => self.schema = Some(text.clone()),
            ("cache", Value::Text(text)) => self.cache = Some(text.clone()),
            ("first_byte_timeout", Value::Span(span)) => self.first_byte_timeout = Some(*span),
            ("stall_timeout", Value::Span(span)) => self.stall_timeout = Some(*span),
            _ => {}
        }
    }

    /// What is marked for a cache.
    pub(crate) fn cache(&self) -> Cache {
        let named = CACHES.iter().find(|(name, _)| self.cache.as_deref() == Some(*name));
        named.map_or_else(Cache::default, |(_, cache)| *cache)
    }

    /// The names of the keys that are set, as they are written.
    fn set(&self) -> Vec<&'static str> {
        let ApiSettings {
            api,
            base_url,
            effort,
            key_env,
            key_file,
            key_command,
            output_tokens_max,
            schema,
            cache,
            first_byte_timeout,
            stall_timeout,
        } = self;
        [
            ("api", api.is_some()),
            ("base_url", base_url.is_some()),
            ("effort", effort.is_some()),
            ("key_env", key_env.is_some()),
            ("key_file", key_file.is_some()),
            ("key_command", key_command.is_some()),
            ("output_tokens_max", output_tokens_max.is_some()),
            ("schema", schema.is_some()),
            ("cache", cache.is_some()),
            ("first_byte_timeout", first_byte_timeout.is_some()),
            ("stall_timeout", stall_timeout.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect()
    }
}

impl Merged {
    /// What does not fit together in the settings of one agent.
    pub(super) fn check_api(&self, name: &str, agent: &AgentSettings, problems: &mut Vec<Problem>) {
        let mut problem = |key: &str, message: String| {
            problems.push(Problem {
                origin: self.origin(&["agents", name, key]),
                message: format!("agent `{name}`: {message}"),
            });
        };
        let api = &agent.api;
        if agent.backend != BACKEND {
            for key in api.set() {
                problem(
                    key,
                    format!(
                        "`{key}` means nothing for the backend `{}`; it is for `backend = \"api\"`",
                        agent.backend
                    ),
                );
            }
            return;
        }
        let names: Vec<String> = PROVIDERS.iter().map(|provider| provider.name.to_owned()).collect();
        match &api.api {
            None => problem(
                "backend",
                format!(
                    "it has no API; add `api = \"…\"`, one of {}",
                    nearest::list(&names, usize::MAX)
                ),
            ),
            Some(asked) if provider(asked).is_none() => {
                let near = nearest::name(asked, &names).map(|near| format!("did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| format!("there is {}", nearest::list(&names, usize::MAX)));
                problem("api", format!("there is no API `{asked}`; {near}"));
            }
            Some(_) => {}
        }
        let keys = [
            ("key_env", &api.key_env),
            ("key_file", &api.key_file),
            ("key_command", &api.key_command),
        ];
        let set: Vec<&str> = keys
            .iter()
            .filter(|(_, value)| value.is_some())
            .map(|(key, _)| *key)
            .collect();
        if let [_, second, ..] = set.as_slice() {
            problem(
                second,
                format!(
                    "its key can come from one place alone, and {} are set",
                    set.join(" and ")
                ),
            );
        }
        if let Some(name) = &api.key_env
            && !is_variable(name)
        {
            // The value is not repeated: it may well be the key itself.
            problem(
                "key_env",
                "`key_env` takes the name of an environment variable, such as \"ANTHROPIC_API_KEY\", not the key"
                    .to_owned(),
            );
        }
        if let Some(asked) = &api.cache
            && !CACHES.iter().any(|(name, _)| name == asked)
        {
            problem(
                "cache",
                format!("`cache = \"{asked}\"` is none of \"off\", \"role\", \"prompt\""),
            );
        }
    }
}

/// Capitals, digits and underscores, as variables that hold keys are called; a key itself hardly looks so.
pub(super) fn is_variable(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn every_problem_of_an_api_agent_is_named_at_once() {
        let text = "[agents.a]\nbackend = \"api\"\napi = \"antropic\"\nkey_env = \"sk-live-123\"\nkey_file = \"k\"\ncache = \"all\"\n\
                    [agents.b]\nbackend = \"exec\"\nbase_url = \"http://x\"\n[agents.c]\nbackend = \"api\"\n";
        let problems = settings(text).unwrap_err();
        let said: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        let said = said.join("\n");
        for words in [
            "there is no API `antropic`; did you mean `anthropic`?",
            "can come from one place alone, and key_env and key_file are set",
            "takes the name of an environment variable",
            "is none of \"off\", \"role\", \"prompt\"",
            "`base_url` means nothing for the backend `exec`",
            "agent `c`: it has no API",
        ] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
        assert!(!said.contains("sk-live-123"), "{said}");
    }

    #[test]
    fn the_name_of_a_variable_is_told_from_a_key() {
        for (name, fits) in [
            ("ANTHROPIC_API_KEY", true),
            ("KEY2", true),
            ("sk-abc", false),
            ("AIzaSyB", false),
            ("", false),
            ("2KEY", false),
        ] {
            assert_eq!(is_variable(name), fits, "{name}");
        }
    }
}
