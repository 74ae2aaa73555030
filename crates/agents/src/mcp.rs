//! The MCP servers of an assignment, in the form that each agent takes. None of them puts a value of an environment or
//! a header into an argument of a process, where everybody could read it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wheelhouse_core::agent::McpServer;

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
        McpServer::Program { command, args, env } => {
            json!({ "type": "stdio", "command": command, "args": args, "env": env })
        }
        McpServer::Http { url, headers } => json!({ "type": "http", "url": url, "headers": headers }),
    }
}

/// As overrides of Codex's configuration, which its app-server takes with a thread.
pub(crate) fn codex(servers: &BTreeMap<String, McpServer>) -> Value {
    let entries = servers.iter().map(|(name, server)| {
        let value = match server {
            McpServer::Program { command, args, env } => json!({ "command": command, "args": args, "env": env }),
            McpServer::Http { url, headers } => json!({ "url": url, "http_headers": headers }),
        };
        (format!("mcp_servers.{name}"), value)
    });
    Value::Object(entries.collect())
}

/// As ACP has them.
pub(crate) fn acp(servers: &BTreeMap<String, McpServer>) -> Vec<Value> {
    let pairs = |map: &BTreeMap<String, String>| -> Vec<Value> {
        map.iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()
    };
    servers
        .iter()
        .map(|(name, server)| match server {
            McpServer::Program { command, args, env } => {
                json!({ "name": name, "command": command, "args": args, "env": pairs(env) })
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
                    { "command": "/bin/wheelhouse", "args": ["mcp"], "env": { "TOKEN": "secret" } },
            })
        );
        assert_eq!(
            json!(acp(&servers())),
            json!([
                { "type": "http", "name": "web", "url": "http://127.0.0.1:1/mcp",
                  "headers": [{ "name": "TOKEN", "value": "secret" }] },
                { "name": "wheelhouse", "command": "/bin/wheelhouse", "args": ["mcp"],
                  "env": [{ "name": "TOKEN", "value": "secret" }] },
            ])
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
        assert_eq!(read["mcpServers"]["wheelhouse"]["env"]["TOKEN"], "secret");
        drop(file);
        assert!(!path.exists());
    }
}
