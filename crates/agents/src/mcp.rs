//! The MCP servers of an assignment, in the form that each agent takes. None of them puts a value of an environment or
//! a header into an argument of a process, where everybody could read it; and what a server inherits of its agent's
//! environment is passed by name wherever the agent can do that, so that it is written down nowhere.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wheelhouse_core::agent::McpServer;
use wheelhouse_core::caller::MCP_NAME;

/// A file of Claude Code's form, readable by its owner alone; removed when dropped.
#[derive(Debug)]
pub(crate) struct McpFile(PathBuf);

impl McpFile {
    /// Writes the servers beside whatever else a backend remembers; `name` is unique among tries under way. Servers of
    /// the configuration (`base`, a file of the same form) are taken along.
    pub(crate) fn write(
        state_dir: &Path,
        name: &str,
        servers: &BTreeMap<String, McpServer>,
        base: Option<&Path>,
    ) -> io::Result<McpFile> {
        let mut all = match base {
            Some(file) => {
                let mut document: Value = serde_json::from_slice(&fs::read(file)?)?;
                match document["mcpServers"].take() {
                    Value::Object(servers) => servers,
                    _ => Map::new(),
                }
            }
            None => Map::new(),
        };
        all.extend(servers.iter().map(|(name, server)| (name.clone(), claude(server))));
        let directory = state_dir.join("mcp");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{name}.json"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        let file_of_ours = McpFile(path);
        file.write_all(json!({ "mcpServers": all }).to_string().as_bytes())?;
        Ok(file_of_ours)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for McpFile {
    fn drop(&mut self) {
        // It holds nothing that the store beside it does not.
        let _ = fs::remove_file(&self.0);
    }
}

fn claude(server: &McpServer) -> Value {
    match server {
        McpServer::Program {
            command,
            args,
            env,
            inherit,
        } => {
            let mut env = env.clone();
            env.extend(inherit.iter().map(|name| (name.clone(), by_name(name))));
            json!({ "type": "stdio", "command": command, "args": args, "env": env })
        }
        McpServer::Http { url, headers } => json!({ "type": "http", "url": url, "headers": headers }),
    }
}

/// How Claude Code's configuration names a variable of its own environment.
fn by_name(variable: &str) -> String {
    format!("${{{variable}}}")
}

/// As overrides of Codex's configuration, which its app-server takes with a thread.
pub(crate) fn codex(servers: &BTreeMap<String, McpServer>) -> Value {
    let entries = servers.iter().map(|(name, server)| {
        let value = match server {
            McpServer::Program {
                command,
                args,
                env,
                inherit,
            } => json!({ "command": command, "args": args, "env": env, "env_vars": inherit }),
            McpServer::Http { url, headers } => json!({ "url": url, "http_headers": headers }),
        };
        let mut value = value;
        if name == MCP_NAME {
            // What an instance may do with others is bounded by its rights; a person need not be asked each time.
            value["default_tools_approval_mode"] = json!("approve");
        }
        (format!("mcp_servers.{name}"), value)
    });
    Value::Object(entries.collect())
}

/// Whether a Codex of this version lists the tools of servers that it is told to list; others let their model search.
pub(crate) fn codex_lists(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(first)), Some(Ok(second))) => (first, second) >= (0, 171),
        _ => false,
    }
}

/// Adds to such overrides that our own tools are listed: they are few, and an agent that leads should see them.
pub(crate) fn codex_list_ours(overrides: &mut Value) {
    if overrides.get(format!("mcp_servers.{MCP_NAME}")).is_some() {
        overrides["features.code_mode.direct_only_tool_namespaces"] = json!([format!("mcp__{MCP_NAME}")]);
    }
}

/// The same as arguments of `codex exec`; none when a value would become one.
pub(crate) fn codex_arguments(servers: &BTreeMap<String, McpServer>) -> Option<Vec<String>> {
    let is_public = |server: &McpServer| match server {
        McpServer::Program { env, .. } => env.is_empty(),
        McpServer::Http { headers, .. } => headers.is_empty(),
    };
    if !servers.values().all(is_public) {
        return None;
    }
    let Value::Object(entries) = codex(servers) else {
        return None;
    };
    let members = entries.iter().flat_map(|(server, members)| {
        let members = members.as_object().into_iter().flatten();
        // Strings and lists of strings are the same in JSON and in TOML; a table that is empty here says nothing.
        members
            .filter(|(_, value)| !value.is_object())
            .map(move |(name, value)| format!("{server}.{name}={value}"))
    });
    Some(members.flat_map(|setting| ["-c".to_owned(), setting]).collect())
}

/// How an agent that speaks ACP gets a variable that a server inherits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inherits<'e> {
    /// It reads `${NAME}` from its own environment. What it was told may become an argument of a process there.
    ByName,
    /// It must be told what the variable holds.
    ByValue(&'e BTreeMap<String, String>),
}

/// As ACP has them.
pub(crate) fn acp(servers: &BTreeMap<String, McpServer>, inherits: Inherits<'_>) -> Vec<Value> {
    let pair = |name: &str, value: &str| json!({ "name": name, "value": value });
    let pairs =
        |map: &BTreeMap<String, String>| -> Vec<Value> { map.iter().map(|(name, value)| pair(name, value)).collect() };
    servers
        .iter()
        .map(|(name, server)| match server {
            McpServer::Program {
                command,
                args,
                env,
                inherit,
            } => {
                let mut all = pairs(env);
                all.extend(inherit.iter().filter_map(|name| match inherits {
                    Inherits::ByName => Some(pair(name, &by_name(name))),
                    Inherits::ByValue(held) => held.get(name).map(|value| pair(name, value)),
                }));
                json!({ "name": name, "command": command, "args": args, "env": all })
            }
            McpServer::Http { url, headers } => {
                json!({ "type": "http", "name": name, "url": url, "headers": pairs(headers) })
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn servers() -> BTreeMap<String, McpServer> {
        let env = BTreeMap::from([("TOKEN".to_owned(), "secret".to_owned())]);
        let program = McpServer::Program {
            command: "/bin/wheelhouse".to_owned(),
            args: vec!["mcp".to_owned()],
            env: env.clone(),
            inherit: vec!["MINE".to_owned()],
        };
        let http = McpServer::Http {
            url: "http://127.0.0.1:1/mcp".to_owned(),
            headers: env,
        };
        BTreeMap::from([("web".to_owned(), http), ("wheelhouse".to_owned(), program)])
    }

    #[test]
    fn each_agent_gets_them_in_its_own_form() {
        assert_eq!(
            codex(&servers()),
            json!({
                "mcp_servers.web": { "url": "http://127.0.0.1:1/mcp", "http_headers": { "TOKEN": "secret" } },
                "mcp_servers.wheelhouse":
                    { "command": "/bin/wheelhouse", "args": ["mcp"], "env": { "TOKEN": "secret" }, "env_vars": ["MINE"],
                      "default_tools_approval_mode": "approve" },
            })
        );
        let held = BTreeMap::from([("MINE".to_owned(), "held".to_owned())]);
        assert_eq!(
            json!(acp(&servers(), Inherits::ByValue(&held))),
            json!([
                { "type": "http", "name": "web", "url": "http://127.0.0.1:1/mcp",
                  "headers": [{ "name": "TOKEN", "value": "secret" }] },
                { "name": "wheelhouse", "command": "/bin/wheelhouse", "args": ["mcp"],
                  "env": [{ "name": "TOKEN", "value": "secret" }, { "name": "MINE", "value": "held" }] },
            ])
        );
        let told = json!(acp(&servers(), Inherits::ByName)).to_string();
        assert!(told.contains("${MINE}") && !told.contains("held"), "{told}");
    }

    #[test]
    fn a_codex_that_can_lists_our_tools() {
        assert!(codex_lists("0.171.0") && codex_lists("1.0.2") && !codex_lists("0.170.9") && !codex_lists("x"));
        let mut overrides = codex(&servers());
        codex_list_ours(&mut overrides);
        let listed = overrides["features.code_mode.direct_only_tool_namespaces"].clone();
        assert_eq!(listed, json!(["mcp__wheelhouse"]));
        overrides = json!({});
        codex_list_ours(&mut overrides);
        assert_eq!(overrides, json!({}), "who is not given ours is told nothing of it");
    }

    #[test]
    fn no_value_becomes_an_argument() {
        assert_eq!(codex_arguments(&servers()), None);
        let ours = McpServer::Program {
            command: "/bin/wheelhouse".to_owned(),
            args: vec!["mcp".to_owned()],
            env: BTreeMap::new(),
            inherit: vec!["MINE".to_owned()],
        };
        let arguments = codex_arguments(&BTreeMap::from([("wheelhouse".to_owned(), ours)])).unwrap();
        let (flags, mut settings): (Vec<&str>, Vec<&str>) = arguments
            .iter()
            .map(String::as_str)
            .partition(|argument| *argument == "-c");
        settings.sort_unstable();
        assert_eq!(flags.len(), settings.len());
        assert_eq!(
            settings,
            [
                "mcp_servers.wheelhouse.args=[\"mcp\"]",
                "mcp_servers.wheelhouse.command=\"/bin/wheelhouse\"",
                "mcp_servers.wheelhouse.default_tools_approval_mode=\"approve\"",
                "mcp_servers.wheelhouse.env_vars=[\"MINE\"]",
            ]
        );
    }

    #[test]
    fn the_file_is_its_owners_alone_keeps_the_configured_ones_and_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("base.json");
        fs::write(&base, r#"{"mcpServers": {"old": {"command": "x"}}}"#).unwrap();
        let file = McpFile::write(directory.path(), "t1", &servers(), Some(&base)).unwrap();
        let path = file.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let names: Vec<&String> = read["mcpServers"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["old", "web", "wheelhouse"]);
        assert_eq!(
            read["mcpServers"]["wheelhouse"]["env"],
            json!({ "MINE": "${MINE}", "TOKEN": "secret" })
        );
        drop(file);
        assert!(!path.exists());
    }
}
