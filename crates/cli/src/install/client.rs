//! The agents into which Wheelhouse can be installed: where each keeps servers, skills, commands, instructions and hooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::edit::{Edit, Op, TomlOp, What};

/// The name under which the agents know us.
pub(crate) const NAME: &str = "wheelhouse";
/// The variable from which agents take the token for HTTP; no file holds one.
pub(crate) const TOKEN_VARIABLE: &str = "WHEELHOUSE_TOKEN";

const SKILL: &str = include_str!("texts/skill.md");
const CONVENTION: &str = include_str!("texts/convention.md");
/// Slash commands: name, what it is for, and whether words may follow.
const COMMANDS: [(&str, &str, &str, bool); 3] = [
    (
        "orchestrate",
        "Have a crew of agents do this in the background",
        include_str!("texts/orchestrate.md"),
        true,
    ),
    (
        "status",
        "What the crew does, what waits, what it cost",
        include_str!("texts/status.md"),
        false,
    ),
    (
        "w",
        "What has changed since the last look",
        include_str!("texts/watch.md"),
        false,
    ),
];

/// An agent.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Client {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// OpenCode.
    #[value(name = "opencode")]
    OpenCode,
    /// Cursor.
    Cursor,
}

/// For whom.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum InstallScope {
    /// For you, in all projects.
    #[default]
    User,
    /// For everybody who works in this project.
    Project,
}

/// Where things are.
pub(crate) struct Places<'a> {
    pub(crate) scope: InstallScope,
    pub(crate) home: &'a Path,
    pub(crate) project: &'a Path,
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Whether this Codex lists the tools of servers that its settings name ([`CODEX_LISTS`]).
    pub(crate) codex_lists: bool,
}

/// The first version of Codex that was seen to list the tools of the servers that `direct_only_tool_namespaces` names,
/// in place of letting its model search for them. What older ones make of the setting is not known: it may be an error.
pub(crate) const CODEX_LISTS: (u32, u32) = (0, 171);

/// How an agent reaches us.
pub(crate) enum Reach {
    /// It starts this program.
    Stdio(String),
    /// It asks this address.
    Http(String),
}

impl Client {
    /// All of them.
    pub(crate) const ALL: [Client; 5] = [
        Client::Claude,
        Client::Codex,
        Client::Gemini,
        Client::OpenCode,
        Client::Cursor,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Claude => "claude",
            Client::Codex => "codex",
            Client::Gemini => "gemini",
            Client::OpenCode => "opencode",
            Client::Cursor => "cursor",
        }
    }

    /// Its program, which lists its servers with `mcp list`.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Client::Cursor => "cursor-agent",
            other => other.name(),
        }
    }

    /// The directory that shows that somebody uses it.
    pub(crate) fn directory(self, places: &Places<'_>) -> PathBuf {
        let set = |name: &str| places.env.get(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = |below: &str| places.home.join(below);
        match (self, places.scope) {
            (Client::Claude, InstallScope::User) => set("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home(".claude")),
            (Client::Codex, InstallScope::User) => set("CODEX_HOME").unwrap_or_else(|| home(".codex")),
            (Client::Gemini, InstallScope::User) => home(".gemini"),
            (Client::OpenCode, InstallScope::User) => set("XDG_CONFIG_HOME")
                .unwrap_or_else(|| home(".config"))
                .join("opencode"),
            (Client::Cursor, InstallScope::User) => home(".cursor"),
            (Client::Claude, InstallScope::Project) => places.project.join(".claude"),
            (Client::Codex, InstallScope::Project) => places.project.join(".codex"),
            (Client::Gemini, InstallScope::Project) => places.project.join(".gemini"),
            (Client::OpenCode, InstallScope::Project) => places.project.join(".opencode"),
            (Client::Cursor, InstallScope::Project) => places.project.join(".cursor"),
        }
    }

    /// Everything that belongs into its files.
    pub(crate) fn edits(self, places: &Places<'_>, reach: &Reach) -> Vec<Edit> {
        let own = self.directory(places);
        let mut edits = vec![self.server(places, &own, reach)];
        let skills = match self {
            Client::OpenCode => "skill",
            _ => "skills",
        };
        edits.push(Edit::new(
            own.join(skills).join(NAME).join("SKILL.md"),
            What::File(SKILL.to_owned()),
        ));
        edits.extend(self.commands(places, &own));
        if let Some(path) = self.instructions(places, &own) {
            edits.push(Edit::new(path, What::Section(CONVENTION.to_owned())));
        }
        if self == Client::Claude {
            // The state of the crew is in the context from the start, and again after the context was compacted.
            let program = match reach {
                Reach::Stdio(program) => program.as_str(),
                Reach::Http(_) => NAME,
            };
            let hook =
                json!({"hooks": [{"type": "command", "command": format!("{} status --quiet", quoted(program))}]});
            let ops = vec![Op::element(&["hooks", "SessionStart"], hook)];
            edits.push(Edit::new(own.join("settings.json"), What::Json(ops)));
        }
        edits
    }

    fn server(self, places: &Places<'_>, own: &Path, reach: &Reach) -> Edit {
        let user = places.scope == InstallScope::User;
        let bearer = |variable: &str| json!({"Authorization": format!("Bearer {variable}")});
        let path = match self {
            // Claude Code keeps its servers beside its directory, or in it where that was moved.
            Client::Claude if user && places.env.contains_key("CLAUDE_CONFIG_DIR") => own.join(".claude.json"),
            Client::Claude if user => places.home.join(".claude.json"),
            Client::Claude => places.project.join(".mcp.json"),
            Client::Codex => own.join("config.toml"),
            Client::Gemini => own.join("settings.json"),
            Client::OpenCode => {
                let directory = if user { own } else { places.project };
                let commented = directory.join("opencode.jsonc");
                if commented.exists() {
                    commented
                } else {
                    directory.join("opencode.json")
                }
            }
            Client::Cursor => own.join("mcp.json"),
        };
        let (member, value): (&[&str], Value) = match (self, reach) {
            (Client::Claude, Reach::Stdio(program)) => (
                &["mcpServers", NAME],
                json!({"type": "stdio", "command": program, "args": ["mcp"], "env": {}}),
            ),
            (Client::Claude, Reach::Http(url)) => (
                &["mcpServers", NAME],
                json!({"type": "http", "url": url, "headers": bearer(&format!("${{{TOKEN_VARIABLE}}}"))}),
            ),
            (Client::Codex, Reach::Stdio(program)) => {
                (&["mcp_servers", NAME], json!({"command": program, "args": ["mcp"]}))
            }
            (Client::Codex, Reach::Http(url)) => (
                &["mcp_servers", NAME],
                json!({"url": url, "bearer_token_env_var": TOKEN_VARIABLE}),
            ),
            (Client::Gemini, Reach::Stdio(program)) => {
                (&["mcpServers", NAME], json!({"command": program, "args": ["mcp"]}))
            }
            (Client::Gemini, Reach::Http(url)) => (
                &["mcpServers", NAME],
                json!({"httpUrl": url, "headers": bearer(&format!("${TOKEN_VARIABLE}"))}),
            ),
            (Client::OpenCode, Reach::Stdio(program)) => (
                &["mcp", NAME],
                json!({"type": "local", "command": [program, "mcp"], "enabled": true}),
            ),
            (Client::OpenCode, Reach::Http(url)) => (
                &["mcp", NAME],
                json!({"type": "remote", "url": url, "enabled": true, "headers": bearer(&format!("{{env:{TOKEN_VARIABLE}}}"))}),
            ),
            (Client::Cursor, Reach::Stdio(program)) => {
                (&["mcpServers", NAME], json!({"command": program, "args": ["mcp"]}))
            }
            (Client::Cursor, Reach::Http(url)) => (
                &["mcpServers", NAME],
                json!({"url": url, "headers": bearer(&format!("${{env:{TOKEN_VARIABLE}}}"))}),
            ),
        };
        match self {
            Client::Codex => {
                let mut ops = vec![TomlOp::Table(member[0].to_owned(), NAME.to_owned(), value)];
                if places.codex_lists {
                    let list = ["features", "code_mode", "direct_only_tool_namespaces"];
                    ops.push(TomlOp::Word(list.map(str::to_owned).to_vec(), format!("mcp__{NAME}")));
                }
                Edit::new(path, What::Toml(ops))
            }
            _ => Edit::new(path, What::Json(vec![Op::member(member, value)])),
        }
    }

    fn commands(self, places: &Places<'_>, own: &Path) -> Vec<Edit> {
        let folder = match (self, places.scope) {
            (Client::Claude | Client::Gemini | Client::Cursor, _) => "commands",
            (Client::OpenCode, _) => "command",
            (Client::Codex, InstallScope::User) => "prompts",
            // Codex reads no prompts from projects.
            (Client::Codex, InstallScope::Project) => return Vec::new(),
        };
        let command = |(name, about, text, takes_words): &(&str, &str, &str, bool)| {
            let body = |words: &str| {
                if *takes_words {
                    format!("{text}{words}\n")
                } else {
                    (*text).to_owned()
                }
            };
            let (ending, text) = match self {
                Client::Gemini => (
                    "toml",
                    format!("description = \"{about}\"\nprompt = '''\n{}'''\n", body("{{args}}")),
                ),
                Client::Cursor => ("md", body("")),
                _ => (
                    "md",
                    format!("---\ndescription: {about}\n---\n\n{}", body("$ARGUMENTS")),
                ),
            };
            Edit::new(own.join(folder).join(format!("{name}.{ending}")), What::File(text))
        };
        COMMANDS.iter().map(command).collect()
    }

    /// The file of instructions that it reads at each start.
    fn instructions(self, places: &Places<'_>, own: &Path) -> Option<PathBuf> {
        let directory = match places.scope {
            InstallScope::User => own,
            InstallScope::Project => places.project,
        };
        match (self, places.scope) {
            (Client::Claude, _) => Some(directory.join("CLAUDE.md")),
            (Client::Codex | Client::OpenCode, _) | (Client::Cursor, InstallScope::Project) => {
                Some(directory.join("AGENTS.md"))
            }
            (Client::Gemini, _) => Some(directory.join("GEMINI.md")),
            // Cursor keeps the user's rules in its settings, out of reach.
            (Client::Cursor, InstallScope::User) => None,
        }
    }
}

/// A program as a word of a shell.
fn quoted(program: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match program.chars().all(plain) {
        true => program.to_owned(),
        false => wheelhouse_core::plan::template::quoted(program),
    }
}
