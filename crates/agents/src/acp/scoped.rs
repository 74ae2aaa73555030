//! Holding an agent to a list of its own tools, each in the way that its vendor has for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::recipe::{Recipe, ToolsBy};

/// The variable that OpenCode takes configuration from.
const OPENCODE_VARIABLE: &str = "OPENCODE_CONFIG_CONTENT";
/// Tools of Gemini CLI that change nothing and that it asks nobody about.
const GEMINI_READS: &[&str] = &["glob", "grep_search", "list_directory", "read_file", "read_many_files"];

/// Puts the list where the agent will find it; what stands there already is kept. Further arguments of its command line.
pub(super) fn hold(
    recipe: &Recipe,
    tools: &BTreeSet<String>,
    env: &mut BTreeMap<String, String>,
) -> io::Result<Vec<String>> {
    match recipe.quirks.tools_by {
        ToolsBy::Nothing => Err(io::Error::other("this release knows no way to do that")),
        ToolsBy::GeminiPolicy => {
            let directory = recipe.state_dir.as_deref();
            let directory = directory.ok_or_else(|| io::Error::other("there is no state directory for the list"))?;
            let path = written(directory, &policy(tools))?;
            Ok(vec!["--policy".to_owned(), path.display().to_string()])
        }
        ToolsBy::OpenCodeConfig => {
            let mut config: Map<String, Value> = match env.get(OPENCODE_VARIABLE) {
                Some(text) => serde_json::from_str(text)?,
                None => Map::new(),
            };
            let mut allowed = Map::from_iter([("*".to_owned(), Value::Bool(false))]);
            allowed.extend(tools.iter().map(|tool| (tool.clone(), Value::Bool(true))));
            // Those of MCP servers are the servers' to offer.
            allowed.insert(format!("{}_*", wheelhouse_core::caller::MCP_NAME), Value::Bool(true));
            config.insert("tools".to_owned(), Value::Object(allowed));
            env.insert(OPENCODE_VARIABLE.to_owned(), Value::Object(config).to_string());
            Ok(Vec::new())
        }
    }
}

/// What is not in the list is denied, and what is denied is not offered. The list gives no leave: what changes anything is
/// still asked about, and so is what MCP servers offer.
fn policy(tools: &BTreeSet<String>) -> String {
    let rule = |who: &str, decision: &str, priority: u32| {
        format!("[[rule]]\n{who}\ndecision = \"{decision}\"\npriority = {priority}\n\n")
    };
    let mut text = rule("toolName = \"*\"", "deny", 900);
    text.push_str(&rule("mcpName = \"*\"\ntoolName = \"*\"", "ask_user", 950));
    let (reads, others): (Vec<&str>, Vec<&str>) = tools
        .iter()
        .map(String::as_str)
        .partition(|tool| GEMINI_READS.contains(tool));
    for (names, decision) in [(reads, "allow"), (others, "ask_user")] {
        if !names.is_empty() {
            // A list of strings is the same in JSON and in TOML.
            text.push_str(&rule(&format!("toolName = {}", json!(names)), decision, 950));
        }
    }
    text
}

/// A file of that content, named by it: the same list is the same file, and what is there is right.
fn written(state_dir: &Path, content: &str) -> io::Result<PathBuf> {
    let directory = state_dir.join("tools");
    fs::create_dir_all(&directory)?;
    let hash = blake3::hash(content.as_bytes()).to_hex();
    let path = directory.join(format!("{hash}.toml"));
    if !path.exists() {
        let half = directory.join(format!("{hash}.{}.part", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(content.as_bytes())?;
        fs::rename(&half, &path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::recipe::recipe;
    use super::*;

    fn tools(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn opencode_takes_it_from_its_variable_beside_what_stands_there() {
        let mut env = BTreeMap::from([(OPENCODE_VARIABLE.to_owned(), r#"{"model": "x/y"}"#.to_owned())]);
        hold(&recipe("opencode").unwrap(), &tools(&["read"]), &mut env).unwrap();
        let config: Value = serde_json::from_str(&env[OPENCODE_VARIABLE]).unwrap();
        assert_eq!(
            config,
            json!({ "model": "x/y", "tools": { "*": false, "read": true, "wheelhouse_*": true } })
        );
        env.insert(OPENCODE_VARIABLE.to_owned(), "no json".to_owned());
        assert!(hold(&recipe("opencode").unwrap(), &tools(&["read"]), &mut env).is_err());
    }

    #[test]
    fn gemini_is_denied_the_others_and_given_no_leave() {
        let dir = tempfile::tempdir().unwrap();
        let gemini = Recipe {
            state_dir: Some(dir.path().to_owned()),
            ..recipe("gemini").unwrap()
        };
        let mut env = BTreeMap::new();
        let arguments = hold(&gemini, &tools(&["read_file", "write_file"]), &mut env).unwrap();
        assert_eq!(arguments[0], "--policy");
        assert_eq!(
            fs::read_to_string(&arguments[1]).unwrap(),
            "[[rule]]\ntoolName = \"*\"\ndecision = \"deny\"\npriority = 900\n\n\
             [[rule]]\nmcpName = \"*\"\ntoolName = \"*\"\ndecision = \"ask_user\"\npriority = 950\n\n\
             [[rule]]\ntoolName = [\"read_file\"]\ndecision = \"allow\"\npriority = 950\n\n\
             [[rule]]\ntoolName = [\"write_file\"]\ndecision = \"ask_user\"\npriority = 950\n\n"
        );
        assert_eq!(
            hold(&gemini, &tools(&["read_file", "write_file"]), &mut env).unwrap(),
            arguments
        );
        assert!(hold(&recipe("goose").unwrap(), &tools(&[]), &mut env).is_err());
    }
}
