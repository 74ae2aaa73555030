//! Tools of other MCP servers: what they are, and the port through which they are listed and called.
//!
//! The servers are named by the configuration; whoever implements [`ToolServers`] starts them when they are needed and keeps
//! what they say of themselves. All words in a [`Manifest`] and a [`ToolAnswer`] are the server's: bounded data, never an
//! instruction.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::BoxFuture;

/// What stands between a server and its tool in a name.
pub const BETWEEN: char = '/';

/// Whether something may be the name of a server: letters, digits, `_` and `-`.
pub fn is_server_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

/// The server and the tool of `SERVER/TOOL`; none when it is no such name. A tool's own name may hold further slashes.
pub fn parts(name: &str) -> Option<(&str, &str)> {
    name.split_once(BETWEEN)
        .filter(|(server, tool)| is_server_name(server) && !tool.is_empty())
}

/// A tool as its server describes it, within bounds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServerTool {
    /// Its name there.
    pub name: String,
    /// What it does, in its server's words.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments, whole; null when the server gave none that could be used.
    #[serde(default)]
    pub schema: Value,
    /// Whether its server says that it changes nothing (`readOnlyHint`).
    #[serde(default)]
    pub read_only: bool,
}

/// Where a manifest comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The server was asked since it was last started.
    Live,
    /// It was kept from an earlier time; the server was not started.
    Kept,
}

/// What a server offers.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// Its name in the configuration.
    pub server: String,
    /// What it calls itself.
    pub title: String,
    /// The version that it says it has.
    pub version: String,
    /// Its tools, those alone that the configuration lets through.
    pub tools: Vec<ServerTool>,
    /// Where this comes from.
    pub origin: Origin,
    /// What of it was left out and why; bounded.
    pub left_out: Vec<String>,
}

impl Manifest {
    /// The tool of that name.
    pub fn tool(&self, name: &str) -> Option<&ServerTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// How new a manifest must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A kept one will do; the server is started only when there is none.
    Known,
    /// The server is asked.
    Live,
}

/// What a tool answered.
#[derive(Clone, PartialEq, Debug)]
pub struct ToolAnswer {
    /// Its words; what is no text is named in its place.
    pub text: String,
    /// The same as a document, when the server gave one.
    pub structured: Option<Value>,
    /// Whether the server says that it went wrong.
    pub is_error: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Why a server could not be asked, or did not answer. What is said was searched for secrets.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// There is none of that name.
    #[error("there is no MCP server `{server}`; {}", one_of(exist))]
    NoSuchServer {
        /// The name.
        server: String,
        /// Which there are.
        exist: Vec<String>,
    },
    /// It did not come up.
    #[error("the MCP server `{server}` did not start: {why}")]
    NotStarted {
        /// Its name.
        server: String,
        /// Why.
        why: String,
    },
    /// It was started too often of late.
    #[error(
        "the MCP server `{server}` was started {starts} times within a minute and is left alone for {rest_s} s: {why}"
    )]
    Resting {
        /// Its name.
        server: String,
        /// How often.
        starts: usize,
        /// For how long yet, in seconds.
        rest_s: u64,
        /// What went wrong last.
        why: String,
    },
    /// It did not answer in time.
    #[error("the MCP server `{server}` did not answer `{what}` within {after_ms} ms{noise}")]
    TimedOut {
        /// Its name.
        server: String,
        /// What it was asked.
        what: String,
        /// How long was waited.
        after_ms: u64,
        /// What it said instead; empty or a clause that follows.
        noise: String,
    },
    /// It ended, or hung up, before it answered.
    #[error("the MCP server `{server}` went away before it answered `{what}`: {why}")]
    Gone {
        /// Its name.
        server: String,
        /// What it was asked.
        what: String,
        /// How it ended.
        why: String,
    },
    /// It answered with an error of the protocol.
    #[error("the MCP server `{server}` refused `{what}` ({code}): {message}")]
    Refused {
        /// Its name.
        server: String,
        /// What it was asked.
        what: String,
        /// The code.
        code: i64,
        /// Its words.
        message: String,
    },
    /// It answered with something that is none.
    #[error("the MCP server `{server}` answered `{what}` with something that cannot be used: {why}")]
    Unusable {
        /// Its name.
        server: String,
        /// What it was asked.
        what: String,
        /// Why.
        why: String,
    },
    /// Too much is asked of it already.
    #[error("the MCP server `{server}` has {waiting} calls waiting; call again when some are done")]
    Busy {
        /// Its name.
        server: String,
        /// How many.
        waiting: usize,
    },
}

impl Failure {
    /// The server it is about.
    pub fn server(&self) -> &str {
        match self {
            Failure::NoSuchServer { server, .. }
            | Failure::NotStarted { server, .. }
            | Failure::Resting { server, .. }
            | Failure::TimedOut { server, .. }
            | Failure::Gone { server, .. }
            | Failure::Refused { server, .. }
            | Failure::Unusable { server, .. }
            | Failure::Busy { server, .. } => server,
        }
    }
}

fn one_of(names: &[String]) -> impl fmt::Display + use<> {
    match names {
        [] => "none is configured (`[mcp.servers.NAME]`)".to_owned(),
        some => format!("there is {}", some.join(", ")),
    }
}

/// Other MCP servers. Dropping a future gives up what it waits for and hurts nobody else.
pub trait ToolServers: Send + Sync {
    /// Those that are configured and not switched off, in order.
    fn names(&self) -> Vec<String>;
    /// What one offers.
    fn manifest<'a>(&'a self, server: &'a str, wanted: Wanted) -> BoxFuture<'a, Result<Arc<Manifest>, Failure>>;
    /// Calls a tool, once: a call that was cut off may have been done, so it is not repeated.
    fn call<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
        arguments: Map<String, Value>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>>;
    /// Keeps the servers going that are started; nothing is answered but while this runs. Ends them and returns when `until`
    /// is over.
    fn carry<'a>(&'a self, until: BoxFuture<'a, ()>) -> BoxFuture<'a, ()>;
}

/// No servers at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoServers;

impl ToolServers for NoServers {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn manifest<'a>(&'a self, server: &'a str, _: Wanted) -> BoxFuture<'a, Result<Arc<Manifest>, Failure>> {
        Box::pin(std::future::ready(Err(none(server))))
    }

    fn call<'a>(
        &'a self,
        server: &'a str,
        _: &'a str,
        _: Map<String, Value>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(std::future::ready(Err(none(server))))
    }

    fn carry<'a>(&'a self, until: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        until
    }
}

fn none(server: &str) -> Failure {
    Failure::NoSuchServer {
        server: server.to_owned(),
        exist: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_server_and_its_tool() {
        assert_eq!(parts("git/log"), Some(("git", "log")));
        assert_eq!(parts("git/a/b"), Some(("git", "a/b")));
        for odd in ["git", "git/", "/log", "a b/c", "Bash(cat /etc)", "Read"] {
            assert_eq!(parts(odd), None, "{odd}");
        }
    }
}
