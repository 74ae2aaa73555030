//! The command line and environment of Claude Code. Pure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use wheelhouse_core::agent::Assignment;

use super::Config;
use crate::keep::{Command, Stdin};

/// The longest role that goes on the command line, in bytes; the kernel takes 128 KiB for one argument. A longer one
/// goes before the prompt.
const ROLE_ARGUMENT_MAX: usize = 64 << 10;

/// How often the CLI itself may try a failed request again: waiting is the engine's, which can fall back meanwhile.
const VENDOR_RETRIES: &str = "2";

/// The process for a try. Options that take several values would eat what follows them, so all have `=` or one value.
pub(super) fn command(assignment: &Assignment, config: &Config, session: &str, is_resumed: bool) -> Command {
    let mut argv: Vec<OsString> = vec![config.binary.clone().into_os_string()];
    let mut push = |arguments: &[&str]| argv.extend(arguments.iter().map(OsString::from));
    push(&[
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
    ]);
    push(&["--include-partial-messages", "--permission-prompt-tool", "stdio"]);
    // A repository's own MCP servers and settings are somebody else's words: they start nothing here.
    push(&["--strict-mcp-config", "--setting-sources=user"]);
    push(&[if is_resumed { "--resume" } else { "--session-id" }, session]);
    if let Some(mode) = &config.permission_mode {
        push(&["--permission-mode", mode]);
    }
    if let Some(model) = assignment.model.as_ref().or(config.model.as_ref()) {
        push(&["--model", model]);
    }
    if let Some(role) = assignment
        .role
        .as_deref()
        .filter(|role| role.len() <= ROLE_ARGUMENT_MAX)
    {
        push(&["--append-system-prompt", role]);
    }
    if let Some(tools) = &assignment.tools {
        // Its built-in ones; those of MCP servers are the servers' to offer. None at all is the empty word.
        let names: Vec<&str> = tools.iter().map(String::as_str).collect();
        push(&[&format!("--tools={}", names.join(","))]);
    }
    if let Some(file) = &config.mcp_config {
        let mut argument = OsString::from("--mcp-config=");
        argument.push(file);
        argv.push(argument);
    }
    argv.extend(config.extra_args.iter().map(OsString::from));
    Command {
        argv,
        env: environment(assignment.env.clone(), config),
        cwd: assignment.cwd.clone(),
        stdin: Stdin::Piped,
        grace: Duration::from_millis(assignment.grace_ms),
    }
}

/// The prompt, with a role that was too long for the command line before it.
pub(super) fn prompt(prompt: &str, role: Option<&str>) -> String {
    match role {
        Some(role) if role.len() > ROLE_ARGUMENT_MAX => format!("{role}\n\n{prompt}"),
        _ => prompt.to_owned(),
    }
}

/// The environment: the assignment's without what ties a process to an outer session of the CLI, the agent's own
/// settings, and defaults of ours where neither says anything.
pub(super) fn environment(mut env: BTreeMap<String, String>, config: &Config) -> BTreeMap<String, String> {
    env.extend(config.env.clone());
    env.retain(|name, _| !is_of_an_outer_session(name));
    for (name, value) in [
        ("CLAUDE_CODE_MAX_RETRIES", VENDOR_RETRIES),
        // An update under a running task would change the version that was recorded with it.
        ("DISABLE_AUTOUPDATER", "1"),
    ] {
        env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    env
}

/// Variables by which Claude Code knows that it runs inside itself. Settings and credentials of the user that begin
/// alike (`CLAUDE_CODE_OAUTH_TOKEN`, `CLAUDE_CODE_USE_BEDROCK`) stay.
fn is_of_an_outer_session(name: &str) -> bool {
    const MARKS: &[&str] = &[
        "SESSION",
        "ENTRYPOINT",
        "SSE_PORT",
        "SOCKET",
        "REMOTE",
        "PARENT",
        "AGENT_ID",
        "CHILD",
    ];
    name == "CLAUDECODE"
        || name
            .strip_prefix("CLAUDE_CODE_")
            .is_some_and(|rest| MARKS.iter().any(|mark| rest.contains(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            run: wheelhouse_core::ids::RunId(1),
            task: wheelhouse_core::ids::TaskId(1),
            key: "t".into(),
            attempt: 1,
            agent: "claude".into(),
            input: wheelhouse_core::agent::Input::Prompt("p".into()),
            model: Some("opus".into()),
            role: Some("You review.".into()),
            cwd: "/work".into(),
            env: BTreeMap::from([("CLAUDECODE".into(), "1".into()), ("HOME".into(), "/h".into())]),
            stdin: None,
            tools: None,
            schema: None,
            session: None,
            mcp_servers: BTreeMap::new(),
            log: None,
            output_max: 1,
            grace_ms: 1_000,
        }
    }

    #[test]
    fn the_command_line_is_the_tested_one() {
        let mut config = Config::new("/bin/claude");
        config.permission_mode = Some("acceptEdits".into());
        config.mcp_config = Some("/m.json".into());
        config.extra_args = vec!["--effort".into(), "low".into()];
        let command = command(&assignment(), &config, "ID", false);
        let line: Vec<_> = command.argv.iter().map(|argument| argument.to_string_lossy()).collect();
        assert_eq!(
            line.join(" "),
            "/bin/claude -p --input-format stream-json --output-format stream-json --verbose \
             --include-partial-messages --permission-prompt-tool stdio --strict-mcp-config --setting-sources=user \
             --session-id ID --permission-mode acceptEdits --model opus --append-system-prompt You review. \
             --mcp-config=/m.json --effort low"
        );
        let of = |tools: &[&str]| {
            let assignment = Assignment {
                tools: Some(tools.iter().map(|tool| (*tool).to_owned()).collect()),
                ..assignment()
            };
            super::command(&assignment, &config, "ID", false).argv
        };
        assert!(of(&["Read", "Grep"]).contains(&OsString::from("--tools=Grep,Read")));
        assert!(of(&[]).contains(&OsString::from("--tools=")));
        let resumed = super::command(&assignment(), &config, "ID", true);
        assert!(
            resumed
                .argv
                .windows(2)
                .any(|pair| pair[0] == "--resume" && pair[1] == "ID")
        );
    }

    #[test]
    fn an_outer_session_is_not_inherited_and_credentials_are() {
        let mut config = Config::new("claude");
        config.env.insert("CLAUDE_CODE_SSE_PORT".into(), "1".into());
        config.env.insert("CLAUDE_CODE_OAUTH_TOKEN".into(), "secret".into());
        config.env.insert("CLAUDE_CODE_MAX_RETRIES".into(), "5".into());
        let env = environment(assignment().env, &config);
        let names: Vec<_> = env.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "CLAUDE_CODE_MAX_RETRIES",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "DISABLE_AUTOUPDATER",
                "HOME"
            ]
        );
        assert_eq!(env["CLAUDE_CODE_MAX_RETRIES"], "5");
    }

    #[test]
    fn a_role_that_is_too_long_for_the_command_line_goes_before_the_prompt() {
        let role = "x".repeat(ROLE_ARGUMENT_MAX + 1);
        assert!(prompt("p", Some(&role)).ends_with("x\n\np"));
        assert_eq!(prompt("p", Some("short")), "p");
    }
}
