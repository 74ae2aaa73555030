//! What an editor puts into a prompt, as the words of a message; and what it says about MCP servers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use wheelhouse_core::agent::McpServer;

use super::message::Refusal;

/// A piece of a prompt.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text { text: String },
    ResourceLink { uri: String, name: Option<String> },
    Resource { resource: Resource },
}

#[derive(Deserialize)]
struct Resource {
    uri: String,
    text: Option<String>,
}

/// A server as an editor describes it.
#[derive(Deserialize)]
struct Server {
    name: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<Pair>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

/// The words of a prompt.
pub(super) fn of_prompt(blocks: &[Value]) -> Result<String, Refusal> {
    let mut words = String::new();
    for block in blocks {
        let kind = block["type"].as_str().unwrap_or_default();
        if matches!(kind, "image" | "audio") {
            return Err(Refusal::params(format!(
                "a prompt takes text and resources, not {kind}; name the file by a resource_link"
            )));
        }
        let block = Block::deserialize(block)
            .map_err(|error| Refusal::params(format!("a block of the prompt is not understood: {error}")))?;
        match block {
            Block::Text { text } => words.push_str(&text),
            Block::ResourceLink { uri, name } => match name {
                Some(name) => words.push_str(&format!("[@{name}]({uri})")),
                None => words.push_str(&uri),
            },
            Block::Resource {
                resource: Resource { uri, text: Some(text) },
            } => words.push_str(&format!("\n<context ref=\"{uri}\">\n{text}\n</context>\n")),
            Block::Resource {
                resource: Resource { uri, text: None },
            } => words.push_str(&uri),
        }
    }
    match words.trim().is_empty() {
        true => Err(Refusal::params("the prompt has no words")),
        false => Ok(words),
    }
}

/// The MCP servers that an editor wants its agent to have.
pub(super) fn of_servers(servers: &[Value]) -> Result<BTreeMap<String, McpServer>, Refusal> {
    let mut read = BTreeMap::new();
    for server in servers {
        let server = Server::deserialize(server).map_err(|error| Refusal::params(format!("an MCP server: {error}")))?;
        let pairs = |pairs: Vec<Pair>| pairs.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let made = match (server.kind.as_deref(), server.command, server.url) {
            (None | Some("stdio"), Some(command), None) => McpServer::Program {
                command,
                args: server.args,
                env: pairs(server.env),
                inherit: Vec::new(),
            },
            (Some("http"), None, Some(url)) => McpServer::Http {
                url,
                headers: pairs(server.headers),
            },
            _ => {
                return Err(Refusal::params(format!(
                    "the MCP server `{}` has neither a `command` nor the type `http` with a `url`",
                    server.name
                )));
            }
        };
        read.insert(server.name, made);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prompt_is_words_and_what_they_are_about() {
        let blocks = [
            json!({ "type": "text", "text": "Look at " }),
            json!({ "type": "resource_link", "uri": "file:///a.rs", "name": "a.rs" }),
            json!({ "type": "resource", "resource": { "uri": "file:///b.rs", "text": "fn b() {}", "mimeType": "x" } }),
        ];
        let words = "Look at [@a.rs](file:///a.rs)\n<context ref=\"file:///b.rs\">\nfn b() {}\n</context>\n";
        assert_eq!(of_prompt(&blocks).unwrap(), words);
        for bad in [
            json!({ "type": "image", "data": "", "mimeType": "image/png" }),
            json!({ "type": "text" }),
            json!({ "type": "text", "text": " " }),
            json!(7),
        ] {
            assert!(of_prompt(std::slice::from_ref(&bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_are_programs_or_urls() {
        let read = of_servers(&[
            json!({ "name": "a", "command": "x", "args": ["y"], "env": [{ "name": "K", "value": "v" }] }),
            json!({ "type": "http", "name": "b", "url": "http://127.0.0.1/", "headers": [] }),
        ])
        .unwrap();
        assert!(matches!(&read["a"], McpServer::Program { env, .. } if env["K"] == "v"));
        assert!(matches!(&read["b"], McpServer::Http { .. }));
        assert!(of_servers(&[json!({ "type": "sse", "name": "c", "url": "http://127.0.0.1/" })]).is_err());
    }
}
