//! Plans of several vendors, and one that an agent leads.

use std::fs;
use std::path::Path;
use std::process::Command;

use wheelhouse_testkit::model_api::{ModelApi, Script};

use crate::real::{environment, settings_of_the_agents};

const PLAN: &str = r#"
name: three-vendors
defaults: {isolation: worktree, merge: queue, timeout: 3m}
tasks:
  - {id: by-claude, agent: claude, prompt: "[[edit:claude.txt:made by claude]]", files: [claude.txt], verify: ["test -e claude.txt"]}
  - {id: by-codex, agent: codex, prompt: "[[edit:codex.txt:made by codex]]", files: [codex.txt], verify: ["test -e codex.txt"]}
  - {id: by-gemini, agent: gemini, model: gemini-2.5-pro, needs: [by-claude, by-codex], prompt: "[[edit:gemini.txt:made by gemini]]",
     files: [gemini.txt], verify: ["test -e gemini.txt && test -e claude.txt && test -e codex.txt"]}
  - {id: by-opencode, agent: opencode, needs: [by-gemini], prompt: "[[edit:opencode.txt:made by opencode]]", verify: ["test -e opencode.txt"]}
"#;

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_of_four_vendors_are_checked_and_merged() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(std::path::PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new("WHEELHOUSE_REAL_AGENTS is not set").to_owned());
    let api = ModelApi::start(Script::new()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (home, project) = (root.path().join("home"), root.path().join("project"));
    fs::create_dir_all(&project).unwrap();
    settings_of_the_agents(&home, &api);
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    let start = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .args(args)
            .current_dir(&project)
            .env_clear()
            .envs(environment(&api))
            .envs([
                ("PATH", path.as_str()),
                ("HOME", home.to_str().unwrap()),
                ("LANG", "C.UTF-8"),
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{program} {args:?}: {done:#?}");
    };
    start("git", &["init", "-q", "-b", "main"]);
    fs::write(project.join("README.md"), "a project\n").unwrap();
    start("git", &["add", "README.md"]);
    let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
    start("git", &[&identity[..], &["commit", "-q", "-m", "start"]].concat());
    let names: Vec<&str> = environment(&api).iter().map(|(name, _)| *name).collect();
    let pass = [&["PATH", "HOME", "LANG"], &names[..]].concat();
    fs::write(
        project.join("wheelhouse.toml"),
        format!("permissions.allow = [\"*\"]\nenv.pass = {pass:?}\n"),
    )
    .unwrap();
    fs::write(project.join("plan.yaml"), PLAN).unwrap();

    let wheelhouse = env!("CARGO_BIN_EXE_wheelhouse");
    start(wheelhouse, &["run", "plan.yaml"]);
    start(wheelhouse, &["merge", "r1"]);
    for vendor in ["claude", "codex", "gemini", "opencode"] {
        let made = fs::read_to_string(project.join(format!("{vendor}.txt"))).unwrap();
        assert_eq!(made.trim_end(), format!("made by {vendor}"));
    }
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}

/// What Claude Code is told by its prompt: run a plan through the tools it was given, and read what came of it.
const LEAD: &str = r#"[[tool:mcp__wheelhouse__run {"plan":"{name: led, tasks: [{id: a, exec: echo crew}]}"}]][[tool:mcp__wheelhouse__wait {"what":"r1"}]][[tool:mcp__wheelhouse__result {"task":"r1/a"}]][[say:All done.]]"#;

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_claude_leads_a_run_over_mcp() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(std::path::PathBuf::from);
    let tools = tools.unwrap_or_else(|| Path::new("WHEELHOUSE_REAL_AGENTS is not set").to_owned());
    let api = ModelApi::start(Script::new()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let (home, project) = (root.path().join("home"), root.path().join("project"));
    fs::create_dir_all(&project).unwrap();
    fs::create_dir_all(&home).unwrap();
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    let start = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .args(args)
            .current_dir(&project)
            .env_clear()
            .envs(environment(&api))
            .envs([("PATH", path.as_str()), ("HOME", home.to_str().unwrap())])
            .output()
            .unwrap();
        assert!(done.status.success(), "{program} {args:?}: {done:#?}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let wheelhouse = env!("CARGO_BIN_EXE_wheelhouse");
    let servers = serde_json::json!({ "mcpServers": { "wheelhouse": { "command": wheelhouse, "args": ["mcp"] } } });
    let config = root.path().join("mcp.json");
    fs::write(&config, servers.to_string()).unwrap();
    let config = format!("--mcp-config={}", config.display());
    let allowed = "mcp__wheelhouse__run,mcp__wheelhouse__wait,mcp__wheelhouse__result";
    let claude = ["-p", LEAD, "--strict-mcp-config", &config, "--allowedTools", allowed];
    let said = start("claude", &claude);
    let told: serde_json::Value =
        serde_json::from_slice(&fs::read(project.join(".wheelhouse/serve.json")).unwrap()).unwrap();
    let pid = told["pid"].as_i64().unwrap().to_string();
    let result = start(wheelhouse, &["result", "r1/a", "--full"]);
    start("kill", &[&pid]);
    assert_eq!((said.trim(), result.as_str()), ("All done.", "crew\n"));
    assert!(api.violations().is_empty(), "{:#?}", api.violations());
}
