//! `mcp.*`: the MCP servers whose tools agents may find and use, and what their settings must be.

use std::collections::BTreeMap;
use std::time::Duration;

use wheelhouse_core::caller::MCP_NAME;
use wheelhouse_core::tool_server::is_server_name;

use super::api::is_variable;
use super::keys::Value;
use super::{Merged, Problem};

/// `mcp.*`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolServers {
    /// `mcp.start_timeout`
    pub(crate) start: Duration,
    /// `mcp.list_timeout`
    pub(crate) list: Duration,
    /// `mcp.call_timeout`
    pub(crate) call: Duration,
    /// `mcp.result_tokens`
    pub(crate) result_tokens: u64,
    /// `mcp.servers.*`
    pub(crate) servers: BTreeMap<String, ToolServer>,
}

/// `mcp.servers.NAME`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolServer {
    /// `enabled = "off"`
    pub(crate) off: bool,
    /// `command`
    pub(crate) command: Option<String>,
    /// `args`
    pub(crate) args: Option<Vec<String>>,
    /// `env.*`
    pub(crate) env: BTreeMap<String, String>,
    /// `env_pass`
    pub(crate) env_pass: Option<Vec<String>>,
    /// `url`
    pub(crate) url: Option<String>,
    /// `key_env`
    pub(crate) key_env: Option<String>,
    /// `key_file`
    pub(crate) key_file: Option<String>,
    /// `key_command`
    pub(crate) key_command: Option<String>,
    /// `tools`
    pub(crate) tools: Option<Vec<String>>,
    /// `fields.*`
    pub(crate) fields: BTreeMap<String, String>,
}

impl ToolServer {
    fn take(&mut self, key: &[&str], value: &Value) {
        match (key, value) {
            (["enabled"], Value::Text(word)) => self.off = word == "off",
            (["command"], Value::Text(text)) => self.command = Some(text.clone()),
            (["args"], Value::Names(words)) => self.args = Some(words.clone()),
            (["env", name], Value::Text(text)) => drop(self.env.insert((*name).to_owned(), text.clone())),
            (["env_pass"], Value::Names(names)) => self.env_pass = Some(names.clone()),
            (["url"], Value::Text(text)) => self.url = Some(text.clone()),
            (["key_env"], Value::Text(text)) => self.key_env = Some(text.clone()),
            (["key_file"], Value::Text(text)) => self.key_file = Some(text.clone()),
            (["key_command"], Value::Text(text)) => self.key_command = Some(text.clone()),
            (["tools"], Value::Names(names)) => self.tools = Some(names.clone()),
            (["fields", tool], Value::Text(fields)) => drop(self.fields.insert((*tool).to_owned(), fields.clone())),
            _ => {}
        }
    }

    /// What does not fit together: the key, and why.
    fn problems(&self, name: &str) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let keys = [
            ("key_env", self.key_env.is_some()),
            ("key_file", self.key_file.is_some()),
            ("key_command", self.key_command.is_some()),
        ];
        let keys: Vec<&'static str> = keys.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
        let of_programs = [
            ("args", self.args.is_some()),
            ("env_pass", self.env_pass.is_some()),
            ("env", !self.env.is_empty()),
        ];
        let of_programs = of_programs.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key);
        let command = self.command.as_deref().filter(|command| !command.trim().is_empty());
        match (command, &self.url) {
            (None, None) => problems.push((
                "",
                "it has neither a `command` to start nor a `url` to ask; add one of them".to_owned(),
            )),
            (Some(_), Some(_)) => problems.push((
                "url",
                "a server is started (`command`) or asked at an address (`url`), not both".to_owned(),
            )),
            (Some(_), None) => {
                problems.extend(keys.iter().map(|key| {
                    let words = format!("`{key}` is for a `url`; a program is given secrets by `env_pass`");
                    (*key, words)
                }));
            }
            (None, Some(url)) => {
                problems
                    .extend(of_programs.map(|key| (key, format!("`{key}` is for a `command`, and it has a `url`"))));
                if !url.starts_with("http://") && !url.starts_with("https://") {
                    let words = format!("`{url}` does not begin with `http://` or `https://`");
                    problems.push(("url", words));
                }
                if let [_, second, ..] = keys.as_slice() {
                    let words = format!(
                        "its key can come from one place alone, and {} are set",
                        keys.join(" and ")
                    );
                    problems.push((second, words));
                }
            }
        }
        if self.key_env.as_deref().is_some_and(|name| !is_variable(name)) {
            // The value is not repeated: it may well be the key itself.
            let words = "`key_env` takes the name of an environment variable, such as \"TRACKER_KEY\", not the key";
            problems.push(("key_env", words.to_owned()));
        }
        for variable in self.env_pass.iter().flatten() {
            if variable.is_empty() || variable.contains(['=', '\0', ' ']) {
                let words = "`env_pass` takes names of environment variables, not what they hold";
                problems.push(("env_pass", words.to_owned()));
            }
        }
        if !is_server_name(name) {
            problems.push((
                "",
                "its name has something else than letters, digits, `_` and `-`".to_owned(),
            ));
        }
        if name == MCP_NAME {
            problems.push((
                "",
                format!("`{MCP_NAME}` is the name of Wheelhouse's own tools; call it otherwise"),
            ));
        }
        problems
    }
}

impl Merged {
    /// `mcp.*`
    pub(super) fn tool_servers(&self, problems: &mut Vec<Problem>) -> ToolServers {
        let mut servers: BTreeMap<String, ToolServer> = BTreeMap::new();
        let mut first = BTreeMap::new();
        for (path, (value, origin)) in &self.values {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let ["mcp", "servers", name, rest @ ..] = path.as_slice() else {
                continue;
            };
            first.entry((*name).to_owned()).or_insert_with(|| origin.clone());
            servers.entry((*name).to_owned()).or_default().take(rest, value);
        }
        for (name, server) in &servers {
            for (key, message) in server.problems(name) {
                let own = self.values.get(&["mcp", "servers", name, key].map(str::to_owned)[..]);
                let place = own.map(|(_, origin)| origin).or_else(|| first.get(name));
                let Some(origin) = place.cloned() else { continue };
                problems.push(Problem {
                    origin,
                    message: format!("MCP server `{name}`: {message}"),
                });
            }
        }
        ToolServers {
            start: self.span("mcp.start_timeout"),
            list: self.span("mcp.list_timeout"),
            call: self.span("mcp.call_timeout"),
            result_tokens: self.count("mcp.result_tokens"),
            servers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;

    #[test]
    fn every_problem_of_a_server_is_named_at_once() {
        let text = "[mcp.servers.a]\nkey_env = \"sk-live-123\"\n[mcp.servers.b]\ncommand = \"x\"\nurl = \"http://127.0.0.1:1\"\n\
                    [mcp.servers.c]\nurl = \"ftp://x\"\nargs = [\"y\"]\nkey_file = \"k\"\nkey_command = \"pass k\"\n\
                    [mcp.servers.d]\ncommand = \"x\"\nkey_file = \"k\"\nenv_pass = [\"TOKEN=abc\"]\n\
                    [mcp.servers.wheelhouse]\ncommand = \"x\"\n[mcp.servers.\"a b\"]\ncommand = \"x\"\n";
        let problems = settings(text).unwrap_err();
        let said: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.origin, problem.message))
            .collect();
        let said = said.join("\n");
        for words in [
            "wheelhouse.toml:2: MCP server `a`: it has neither a `command` to start nor a `url` to ask",
            "`a`: `key_env` takes the name of an environment variable",
            "`b`: a server is started (`command`) or asked at an address (`url`), not both",
            "`c`: `args` is for a `command`, and it has a `url`",
            "`c`: `ftp://x` does not begin with",
            "key_file and key_command are set",
            "`d`: `key_file` is for a `url`; a program is given secrets by `env_pass`",
            "`d`: `env_pass` takes names of environment variables",
            "`wheelhouse`: `wheelhouse` is the name of Wheelhouse's own tools",
            "`a b`: its name has something else than letters",
        ] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
        assert!(!said.contains("sk-live-123") && !said.contains("=abc"), "{said}");
    }
}
