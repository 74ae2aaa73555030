//! The command lines and environment of Codex. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wheelhouse_core::agent::Assignment;

use super::{Config, Mode};
use crate::keep::{Command, Stdin};
use crate::mcp;

/// The process for a try. The prompt never goes on the command line: that has a limit and everybody can read it.
pub(super) fn command(assignment: &Assignment, prompt: &str, config: &Config) -> Command {
    let mut argv: Vec<OsString> = vec![config.binary.clone().into_os_string()];
    let mut push = |arguments: &[&str]| argv.extend(arguments.iter().map(OsString::from));
    // With plugins Codex looks up names on the internet at every start.
    let quiet = ["-c", "features.plugins=false", "-c", &untrusted(&assignment.cwd)];
    let stdin = match config.mode {
        Mode::AppServer => {
            push(&["app-server"]);
            push(&quiet);
            push(&config.extra_args.iter().map(String::as_str).collect::<Vec<_>>());
            Stdin::Piped
        }
        Mode::Exec => {
            push(&["exec", "--json", "--skip-git-repo-check", "--sandbox", &config.sandbox]);
            push(&quiet);
            if let Some(model) = assignment.model.as_ref().or(config.model.as_ref()) {
                push(&["--model", model]);
            }
            push(&config.extra_args.iter().map(String::as_str).collect::<Vec<_>>());
            let servers = mcp::codex_arguments(&assignment.mcp_servers).unwrap_or_default();
            push(&servers.iter().map(String::as_str).collect::<Vec<_>>());
            if let Some(session) = &assignment.session {
                push(&["resume", session]);
            }
            push(&["-"]);
            Stdin::Bytes(with_role(prompt, assignment.role.as_deref()).into_bytes())
        }
    };
    Command {
        argv,
        env: environment(assignment.env.clone(), config),
        cwd: assignment.cwd.clone(),
        stdin,
        grace: Duration::from_millis(assignment.grace_ms),
    }
}

/// A repository's own settings and MCP servers are somebody else's words: they do not apply and start nothing. Unless it is
/// told this, the app-server trusts every directory that it may write to, and writes that into the user's settings.
fn untrusted(cwd: &Path) -> String {
    let cwd = Value::String(cwd.to_string_lossy().into_owned());
    format!("projects={{{cwd}={{trust_level=\"untrusted\"}}}}")
}

fn with_role(prompt: &str, role: Option<&str>) -> String {
    match role {
        Some(role) => format!("{role}\n\n{prompt}"),
        None => prompt.to_owned(),
    }
}

/// The environment: the assignment's without what ties a process to an outer session of Codex, and the agent's own
/// settings.
pub(super) fn environment(mut env: BTreeMap<String, String>, config: &Config) -> BTreeMap<String, String> {
    env.extend(config.env.clone());
    env.retain(|name, _| !is_of_an_outer_session(name));
    env
}

/// Variables that Codex gives to what it starts. `CODEX_HOME` and credentials are the user's and stay.
fn is_of_an_outer_session(name: &str) -> bool {
    const MARKS: &[&str] = &["THREAD", "SESSION", "SANDBOX", "CI", "ORIGINATOR"];
    name.strip_prefix("CODEX_")
        .is_some_and(|rest| rest.split('_').any(|part| MARKS.contains(&part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(session: Option<&str>) -> Assignment {
        Assignment {
            run: wheelhouse_core::ids::RunId(1),
            task: wheelhouse_core::ids::TaskId(1),
            key: "t".into(),
            attempt: 1,
            agent: "codex".into(),
            input: wheelhouse_core::agent::Input::Prompt("p".into()),
            model: Some("gpt-5.5".into()),
            role: Some("You review.".into()),
            cwd: "/work".into(),
            env: BTreeMap::from([
                ("CODEX_SANDBOX_NETWORK_DISABLED".into(), "1".into()),
                ("CODEX_HOME".into(), "/h".into()),
            ]),
            stdin: None,
            tools: None,
            schema: None,
            session: session.map(str::to_owned),
            mcp_servers: BTreeMap::new(),
            log: None,
            output_max: 1,
            grace_ms: 1_000,
        }
    }

    fn line(command: &Command) -> String {
        let words: Vec<_> = command.argv.iter().map(|argument| argument.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn the_command_lines_are_the_tested_ones() {
        let mut config = Config::new("codex");
        config.extra_args = vec!["-c".into(), "model_provider=fake".into()];
        let app = command(&assignment(None), "p", &config);
        assert_eq!(
            line(&app),
            "codex app-server -c features.plugins=false -c projects={\"/work\"={trust_level=\"untrusted\"}} -c model_provider=fake"
        );
        assert!(matches!(app.stdin, Stdin::Piped));
        assert_eq!(app.env.keys().collect::<Vec<_>>(), ["CODEX_HOME"]);
        config.mode = Mode::Exec;
        let exec = command(&assignment(Some("T")), "p", &config);
        assert_eq!(
            line(&exec),
            "codex exec --json --skip-git-repo-check --sandbox workspace-write -c features.plugins=false \
             -c projects={\"/work\"={trust_level=\"untrusted\"}} --model gpt-5.5 -c model_provider=fake resume T -"
        );
        assert!(matches!(exec.stdin, Stdin::Bytes(bytes) if bytes == b"You review.\n\np"));
    }
}
