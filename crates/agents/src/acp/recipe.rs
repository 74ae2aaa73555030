//! How each known agent is started and where it departs from the others: data, and the questions asked of it.
//!
//! A recipe says nothing about what an agent is good for; that is the roster's. "Tested" means that this release was run
//! against the agent or its recordings; `None` means that the command line is known and nothing more.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::report::Vendor;

/// How to start an agent and what to know about it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The name in configuration; `acp` for a command of one's own.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The program (a path, or a name to be found in `PATH`) and its arguments.
    pub command: Vec<String>,
    /// Environment on top of the assignment's.
    pub env: BTreeMap<String, String>,
    /// How it is installed.
    pub install: &'static str,
    /// What was tested; none when nothing was.
    pub tested: Option<Tested>,
    /// Where it departs from the others.
    pub quirks: Quirks,
    /// The model where the task names none.
    pub model: Option<String>,
    /// The mode (how much it asks for permission), in the agent's own words; its own default when absent.
    pub mode: Option<String>,
    /// MCP servers for each session, as the protocol writes them.
    pub mcp_servers: Vec<Value>,
    /// Where locks of sessions are kept, to keep other engines out of them.
    pub state_dir: Option<PathBuf>,
}

/// The versions that a recipe was tested with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tested {
    /// They begin so.
    pub line: &'static str,
    /// The last one.
    pub last: &'static str,
}

/// Where an agent departs from the others.
#[derive(Clone, Debug)]
pub struct Quirks {
    /// What the usage that comes with the end of a turn covers.
    pub covers: Covers,
    /// How it is ended when its turn is over.
    pub ends_by: EndsBy,
    /// How a model is chosen.
    pub model_by: ModelBy,
    /// Whether sessions can be gone on with. An agent that then says it cannot is believed.
    pub resumes: bool,
    /// What loading a session comes with.
    pub loads: Loads,
    /// Whether a failure is told as a part of the answer (`Error: …`, last of all), and the turn ends as if all were well.
    pub fails_in_words: bool,
    /// `_meta` of a new session.
    pub session_meta: Value,
    /// How it is held to a list of its own tools.
    pub tools_by: ToolsBy,
    /// An argument of the command line that names the MCP servers it may start; without one it keeps from a repository's
    /// by itself, or by the recipe's environment.
    pub servers_by: Option<&'static str>,
    /// Whether it reads `${NAME}` in the environment of an MCP server from its own.
    pub inherits_by_name: bool,
}

/// How an agent is held to a list of its own tools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ToolsBy {
    /// It cannot be.
    Nothing,
    /// Rules of Gemini CLI's policy, in a file that its command line names: what is not in the list is not offered.
    GeminiPolicy,
    /// `tools` of the configuration that OpenCode takes from a variable.
    OpenCodeConfig,
}

/// What loading a session comes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loads {
    /// The history is said again before the answer, as the protocol wants it.
    InOrder,
    /// The history goes on after the answer, and the minute a session was begun in must be over.
    Late,
}

/// What the usage at the end of a turn covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Covers {
    /// All calls to the model.
    Turn,
    /// The last one; what came before it is estimated.
    LastCall,
    /// All calls since the process began: a turn's is the difference.
    Process,
    /// Nothing is said.
    Nothing,
}

/// How an agent is ended when its turn is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndsBy {
    /// By the end of its stdin.
    Eof,
    /// By TERM; it does not notice the end of its stdin.
    Term,
}

/// How a model is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModelBy {
    /// By the session: a configuration option, or `session/set_model`.
    Session,
    /// By an argument of the command line.
    Argument(&'static str),
}

impl Default for Quirks {
    fn default() -> Quirks {
        Quirks {
            covers: Covers::Turn,
            ends_by: EndsBy::Eof,
            model_by: ModelBy::Session,
            resumes: true,
            loads: Loads::InOrder,
            fails_in_words: false,
            session_meta: Value::Null,
            servers_by: None,
            tools_by: ToolsBy::Nothing,
            inherits_by_name: false,
        }
    }
}

/// Variables by which agents know that they run inside one: a child of ours is not a child of theirs.
const OUTER_SESSION: &[&str] = &[
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "GEMINI_CLI",
    "OPENCODE",
    "OPENCODE_CLIENT",
    "OPENCODE_PID",
    "OPENCODE_WORKSPACE_ID",
];

impl Recipe {
    /// Any command that speaks ACP, with nothing known about it.
    pub fn command<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Recipe {
        Recipe {
            name: "acp",
            title: "the ACP agent",
            command: command.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            install: "the instructions of its maker",
            tested: None,
            quirks: Quirks::default(),
            model: None,
            mode: None,
            mcp_servers: Vec::new(),
            state_dir: None,
        }
    }

    /// The program.
    pub(super) fn binary(&self) -> PathBuf {
        PathBuf::from(self.command.first().map_or("", String::as_str))
    }

    /// The command line, with the model where it stands there.
    pub(super) fn argv(&self, model: Option<&str>) -> Vec<String> {
        let mut argv = self.command.clone();
        if let (ModelBy::Argument(option), Some(model)) = (self.quirks.model_by, model) {
            argv.extend([option.to_owned(), model.to_owned()]);
        }
        argv
    }

    /// Arguments that hold it to the MCP servers that it is given. A name that nobody can guess stands for none of them.
    pub(super) fn only_servers(&self, given: impl IntoIterator<Item = String>) -> Vec<String> {
        let Some(option) = self.quirks.servers_by else {
            return Vec::new();
        };
        let own = self.mcp_servers.iter().filter_map(|server| server["name"].as_str());
        let named = own.map(str::to_owned).chain(given);
        let names = std::iter::once(uuid::Uuid::new_v4().to_string()).chain(named);
        names.map(|name| format!("{option}={name}")).collect()
    }

    /// The whole environment: the assignment's without what ties a process to an outer session, and the recipe's.
    pub(super) fn environment(&self, mut env: BTreeMap<String, String>) -> BTreeMap<String, String> {
        env.retain(|name, _| !OUTER_SESSION.contains(&name.as_str()));
        env.extend(self.env.clone());
        env
    }

    /// Who this is, for messages that the backends share.
    pub(super) fn vendor(&self) -> Vendor {
        Vendor {
            name: self.title,
            install: self.install,
            tested_prefix: self.tested.map_or("", |tested| tested.line),
            tested: self.tested.map_or("", |tested| tested.last),
        }
    }

    /// What to say about a version that nobody tested.
    pub(super) fn untested(&self, version: &str) -> Option<String> {
        match self.tested {
            Some(_) => self.vendor().untested(version),
            None => Some(format!(
                "{} {version} was never tested with this release; it is driven by the protocol alone",
                self.title
            )),
        }
    }
}

/// The recipe of that name.
pub fn recipe(name: &str) -> Option<Recipe> {
    recipes().into_iter().find(|recipe| recipe.name == name)
}

/// All agents whose command line is known.
pub fn recipes() -> Vec<Recipe> {
    let mut recipes = tested();
    recipes.extend(adapted());
    recipes.extend(known());
    recipes
}

fn tested() -> Vec<Recipe> {
    vec![
        Recipe {
            name: "gemini",
            title: "Gemini CLI",
            // Without relaunch: half the start, half the memory, and signals reach it.
            env: environment(&[("GEMINI_CLI_NO_RELAUNCH", "true")]),
            install: "npm install -g @google/gemini-cli",
            tested: Some(Tested {
                line: "0.61",
                last: "0.61.0",
            }),
            quirks: Quirks {
                ends_by: EndsBy::Term,
                model_by: ModelBy::Argument("-m"),
                loads: Loads::Late,
                tools_by: ToolsBy::GeminiPolicy,
                servers_by: Some("--allowed-mcp-server-names"),
                ..Quirks::default()
            },
            ..Recipe::command(["gemini", "--acp"])
        },
        Recipe {
            name: "opencode",
            title: "OpenCode",
            env: environment(&[
                // An update under a running task would change the version that was recorded with it.
                ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
                // A repository's own plugins and MCP servers are somebody else's words: they start nothing here.
                ("OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
                // It tries a failed request again without an end, and tells of that in its log alone.
                ("OPENCODE_PRINT_LOGS", "1"),
                ("OPENCODE_LOG_LEVEL", "ERROR"),
            ]),
            install: "npm install -g opencode-ai",
            tested: Some(Tested {
                line: "1.18",
                last: "1.18.33",
            }),
            quirks: Quirks {
                covers: Covers::LastCall,
                tools_by: ToolsBy::OpenCodeConfig,
                ..Quirks::default()
            },
            ..Recipe::command(["opencode", "acp"])
        },
    ]
}

/// The adapters of programs that have backends of their own, and those with a provider of one's own.
fn adapted() -> Vec<Recipe> {
    vec![
        Recipe {
            name: "claude-acp",
            title: "the Claude adapter",
            install: "npm install -g @agentclientprotocol/claude-agent-acp",
            tested: Some(Tested {
                line: "0.101",
                last: "0.101.0",
            }),
            // Its own default lets a classifying model answer what is asked, and not us.
            mode: Some("default".to_owned()),
            quirks: Quirks {
                // As with OpenCode: only the user's own settings count.
                session_meta: json!({"claudeCode": {"options": {"settingSources": ["user"]}}}),
                // What it is told of servers becomes an argument of the program that it starts.
                inherits_by_name: true,
                ..Quirks::default()
            },
            env: environment(&[("CLAUDE_CODE_MAX_RETRIES", "2")]),
            ..Recipe::command(["claude-agent-acp"])
        },
        Recipe {
            name: "codex-acp",
            title: "the Codex adapter",
            install: "npm install -g @agentclientprotocol/codex-acp",
            tested: Some(Tested {
                line: "2.6",
                last: "2.6.0",
            }),
            // Its own default lets a reviewing model answer what is asked, and not us.
            mode: Some("workspace-write".to_owned()),
            ..Recipe::command(["codex-acp"])
        },
        Recipe {
            name: "copilot",
            title: "GitHub Copilot CLI",
            // An update under a running task would change the version that was recorded with it.
            env: environment(&[("COPILOT_AUTO_UPDATE", "false")]),
            install: "npm install -g @github/copilot",
            tested: Some(Tested {
                line: "1.0",
                last: "1.0.102",
            }),
            quirks: Quirks {
                covers: Covers::Process,
                fails_in_words: true,
                ..Quirks::default()
            },
            ..Recipe::command(["copilot", "--acp"])
        },
        Recipe {
            name: "qwen",
            title: "Qwen Code",
            install: "npm install -g @qwen-code/qwen-code",
            tested: Some(Tested {
                line: "0.24",
                last: "0.24.4",
            }),
            // Its own default lets a classifying model answer what is asked, and not us.
            mode: Some("default".to_owned()),
            ..Recipe::command(["qwen", "--acp"])
        },
    ]
}

/// Command lines as their makers give them; none of them was run with this release.
fn known() -> Vec<Recipe> {
    vec![
        Recipe {
            name: "cursor",
            title: "Cursor",
            install: "curl https://cursor.com/install -fsS | bash",
            ..Recipe::command(["cursor-agent", "acp"])
        },
        Recipe {
            name: "goose",
            title: "goose",
            install: "the instructions at https://block.github.io/goose",
            ..Recipe::command(["goose", "acp"])
        },
        Recipe {
            name: "kimi",
            title: "Kimi CLI",
            install: "uv tool install kimi-cli",
            ..Recipe::command(["kimi", "acp"])
        },
    ]
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_has_its_own_name_and_a_command() {
        let mut names: Vec<_> = recipes().iter().map(|recipe| recipe.name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "claude-acp",
                "codex-acp",
                "copilot",
                "cursor",
                "gemini",
                "goose",
                "kimi",
                "opencode",
                "qwen"
            ]
        );
        assert!(recipes().iter().all(|recipe| !recipe.command.is_empty()));
        assert!(recipe("nobody").is_none());
    }

    #[test]
    fn a_model_stands_on_the_command_line_only_where_it_belongs() {
        let line = |name: &str| recipe(name).unwrap().argv(Some("m")).join(" ");
        assert_eq!(line("gemini"), "gemini --acp -m m");
        assert_eq!(line("opencode"), "opencode acp");
        assert_eq!(recipe("gemini").unwrap().argv(None).join(" "), "gemini --acp");
    }

    #[test]
    fn only_the_servers_that_are_given_are_named() {
        let mut gemini = recipe("gemini").unwrap();
        gemini.mcp_servers = vec![json!({"name": "own", "command": "x"})];
        let named = gemini.only_servers(["wheelhouse".to_owned()]);
        assert_eq!(named.len(), 3, "{named:?}");
        assert!(named[0].starts_with("--allowed-mcp-server-names=") && named[0].len() > 40);
        assert_eq!(named[1], "--allowed-mcp-server-names=own");
        assert_eq!(named[2], "--allowed-mcp-server-names=wheelhouse");
        assert!(recipe("opencode").unwrap().only_servers(["x".to_owned()]).is_empty());
    }

    #[test]
    fn an_outer_session_is_not_inherited_and_credentials_are() {
        let env = environment(&[("GEMINI_CLI", "1"), ("CLAUDECODE", "1"), ("GEMINI_API_KEY", "k")]);
        let env = recipe("gemini").unwrap().environment(env);
        assert_eq!(
            env.keys().collect::<Vec<_>>(),
            ["GEMINI_API_KEY", "GEMINI_CLI_NO_RELAUNCH"]
        );
    }

    #[test]
    fn a_version_that_nobody_tested_is_said() {
        let said = |name: &str, version: &str| recipe(name).unwrap().untested(version);
        assert_eq!(said("gemini", "0.61.3"), None);
        assert!(said("gemini", "0.62.0").unwrap().contains("last 0.61.0"));
        assert!(said("goose", "1.0").unwrap().contains("never tested"));
    }
}
