//! Installing into the real agents, each of which then lists its servers. Run by hand: `WHEELHOUSE_REAL_AGENTS=DIR cargo
//! test -p wheelhouse-cli --test real_install -- --ignored`, where `DIR/node_modules/.bin` has the programs.
#![expect(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tree(below: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![below.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => pending.push(path),
                false => {
                    found.insert(path.clone(), fs::read(&path).unwrap_or_default());
                }
            }
        }
    }
    found
}

#[test]
#[ignore = "needs the real agents: WHEELHOUSE_REAL_AGENTS=DIR"]
fn real_agents_install_round_trips() {
    let tools = std::env::var_os("WHEELHOUSE_REAL_AGENTS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| PathBuf::from("WHEELHOUSE_REAL_AGENTS is not set"));
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        tools.join("node_modules/.bin").display()
    );
    for scope in ["user", "project"] {
        let root = tempfile::tempdir().unwrap();
        let (home, project) = (root.path().join("home"), root.path().join("project"));
        fs::create_dir_all(home.join(".codex")).unwrap();
        fs::create_dir_all(&project).unwrap();
        let put = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            (path, text.as_bytes().to_vec())
        };
        // What a user has already, in the places that are written to and that no agent rewrites by itself.
        let place = if scope == "user" { &home } else { &project };
        let theirs = [
            put(project.join("CLAUDE.md"), "# mine\n\nTabs.\n"),
            put(project.join("AGENTS.md"), "# ours, without a newline at its end"),
            put(
                place.join(".gemini/settings.json"),
                "{\n    // spaces\n    \"ui\": {\"theme\": \"Default\"}\n}\n",
            ),
            put(place.join(".claude/commands/mine.md"), "Do it.\n"),
        ];
        // Codex takes a project's settings from projects that the user trusts.
        let trusted = format!(
            "# mine\n[projects.\"{}\"]\ntrust_level = \"trusted\"\n",
            project.display()
        );
        fs::write(home.join(".codex/config.toml"), &trusted).unwrap();
        let command = |program: &str, args: &[&str]| -> Output {
            Command::new(program)
                .args(args)
                .current_dir(&project)
                .env_clear()
                .envs([
                    ("PATH", path.as_str()),
                    ("HOME", home.to_str().unwrap()),
                    ("LANG", "C.UTF-8"),
                ])
                .output()
                .unwrap()
        };
        let run = |args: &[&str]| command(env!("CARGO_BIN_EXE_wheelhouse"), args);
        let clients = ["claude", "codex", "gemini", "opencode"];
        let done = run(&[&["install"], &clients[..], &["--scope", scope, "--yes", "--json"]].concat());
        assert!(done.status.success(), "{done:#?}");
        let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        for seen in document["seen"].as_array().unwrap() {
            eprintln!("{scope}: {seen}");
        }
        let lists = |client: &str| {
            let seen = document["seen"]
                .as_array()
                .unwrap()
                .iter()
                .find(|seen| seen["agent"] == client);
            seen.unwrap()["lists"].as_bool()
        };
        for client in clients {
            assert_eq!(lists(client), Some(true), "{scope} {client}: {document:#}");
        }
        let again = run(&[&["install"], &clients[..], &["--scope", scope, "--yes", "--json"]].concat());
        let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(again["changes"], serde_json::json!([]), "{scope}: {again:#}");
        // Agents that try their servers when they list them have started ours, which would stay for a while.
        let told = fs::read(project.join(".wheelhouse/serve.json")).unwrap_or_default();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
        if let Some(pid) = told["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
        }
        let done = run(&[&["uninstall"], &clients[..], &["--scope", scope, "--yes"]].concat());
        assert!(done.status.success(), "{done:#?}");
        assert_eq!(fs::read_to_string(home.join(".codex/config.toml")).unwrap(), trusted);
        for (path, bytes) in theirs {
            let now = fs::read(&path).unwrap_or_default();
            assert_eq!(
                String::from_utf8_lossy(&now),
                String::from_utf8_lossy(&bytes),
                "{}",
                path.display()
            );
        }
        // Each agent, asked itself, knows it no more.
        for client in clients {
            let done = command(client, &["mcp", "list"]);
            let said = [done.stdout, done.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!said.contains("wheelhouse mcp"), "{scope} {client}: {said}");
        }
        for (path, bytes) in tree(root.path()) {
            let ours = ["commands/", "/skill", "prompts/"]
                .iter()
                .any(|part| path.to_string_lossy().contains(part))
                && String::from_utf8_lossy(&bytes).contains("wheelhouse status");
            assert!(!ours, "{} is left", path.display());
        }
        for file in [
            home.join(".claude.json"),
            home.join(".gemini/settings.json"),
            project.join(".mcp.json"),
        ] {
            let text = fs::read_to_string(&file).unwrap_or_default();
            assert!(!text.contains("\"mcp\""), "{}: {text}", file.display());
        }
    }
}
