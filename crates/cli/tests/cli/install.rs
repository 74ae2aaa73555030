//! `install` and `uninstall` from outside: what is written, what is left alone, and that everything can be undone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::House;

const CLIENTS: [&str; 5] = ["claude", "codex", "gemini", "opencode", "cursor"];

/// Every file below a directory with its bytes, without the state directory.
fn files(below: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![below.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == ".wheelhouse") {
                continue;
            }
            if path.is_dir() {
                found.insert(format!("{}/", path.strip_prefix(below).unwrap().display()), Vec::new());
                pending.push(path);
            } else {
                found.insert(
                    path.strip_prefix(below).unwrap().display().to_string(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

/// A home in which all agents were used, with comments and orders of their own.
fn used() -> House {
    let house = House::new();
    for (path, text) in [
        (
            "../home/.claude.json",
            "{\n  \"numStartups\": 7,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"o\"}\n  },\n  \"a\": 1\n}",
        ),
        (
            "../home/.claude/settings.json",
            "{\"model\": \"opus\", \"hooks\": {\"SessionStart\": [{\"hooks\": []}]}}\n",
        ),
        ("../home/.claude/CLAUDE.md", "# Mine\n\nno newline at the end"),
        (
            "../home/.codex/config.toml",
            "# my settings\nmodel = \"m\" # best\n\n[mcp_servers.other]\ncommand = \"o\"\n\n[tools]\nx = 1\n",
        ),
        (
            "../home/.gemini/settings.json",
            "{\n\t// tabs\n\t\"theme\": \"x\",\n}\n",
        ),
        (
            "../home/.config/opencode/opencode.jsonc",
            "{\n  // comment\n  \"model\": \"m\"\n}\n",
        ),
        ("../home/.cursor/mcp.json", "{\"mcpServers\":{}}"),
        ("CLAUDE.md", "# Project\n"),
        ("AGENTS.md", "# Agents\r\n"),
        (".mcp.json", "{}\n"),
    ] {
        house.write(path, text);
    }
    house
}

#[test]
fn what_was_put_in_comes_out_byte_for_byte() {
    for scope in ["user", "project"] {
        let house = used();
        let root = house.project().parent().unwrap().to_owned();
        let before = files(&root);
        for client in CLIENTS {
            let done = house.ok(&["install", client, "--scope", scope, "--yes"]);
            assert!(done.out.contains("wheelhouse"), "{client}: {}", done.out);
            assert!(
                done.err.contains("is not in PATH, so it was not asked"),
                "{client}: {}",
                done.err
            );
            let again = house.ok(&["install", client, "--scope", scope, "--yes"]);
            assert!(again.err.contains("nothing to change"), "{client}: {}", again.err);
            assert_eq!(again.out, "", "{client}");
        }
        assert_ne!(files(&root), before);
        for client in CLIENTS {
            house.ok(&["uninstall", client, "--scope", scope, "--yes"]);
        }
        let mut after = files(&root);
        // The directories of the record go with the last file; those above it may be anybody's.
        after.retain(|path, _| before.contains_key(path) || !path.starts_with("home/.local"));
        assert_eq!(after, before, "{scope}");
    }
}

#[test]
fn each_agent_gets_what_it_reads() {
    let house = used();
    house.ok(&["install", "claude", "codex", "gemini", "opencode", "cursor", "--yes"]);
    let home = house.home();
    let read = |path: &str| fs::read_to_string(home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let json = |path: &str| serde_json::from_str::<serde_json::Value>(&read(path)).unwrap();
    let claude = json(".claude.json");
    assert_eq!(claude["mcpServers"]["wheelhouse"]["args"], serde_json::json!(["mcp"]));
    assert_eq!(claude["mcpServers"]["other"]["command"], "o");
    assert_eq!(
        json(".claude/settings.json")["hooks"]["SessionStart"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(read(".claude/skills/wheelhouse/SKILL.md").starts_with("---\nname: wheelhouse\n"));
    for command in ["orchestrate", "status", "w"] {
        assert!(read(&format!(".claude/commands/{command}.md")).starts_with("---\ndescription: "));
        assert!(read(&format!(".gemini/commands/{command}.toml")).contains("prompt = '''"));
        read(&format!(".codex/prompts/{command}.md"));
        read(&format!(".config/opencode/command/{command}.md"));
        read(&format!(".cursor/commands/{command}.md"));
    }
    assert!(read(".claude/CLAUDE.md").starts_with("# Mine\n\nno newline at the end\n\n<!-- wheelhouse:begin"));
    let codex = read(".codex/config.toml");
    assert!(codex.contains("# my settings\nmodel = \"m\" # best\n"), "{codex}");
    assert!(codex.contains("[mcp_servers.wheelhouse]\n"), "{codex}");
    let gemini = read(".gemini/settings.json");
    assert!(
        gemini.contains("// tabs") && gemini.contains("\t\t\"wheelhouse\": {"),
        "{gemini}"
    );
    assert!(read(".config/opencode/opencode.jsonc").contains("\"type\": \"local\""));
    assert_eq!(json(".cursor/mcp.json")["mcpServers"]["wheelhouse"]["args"][0], "mcp");
}

#[test]
fn a_codex_that_can_is_told_to_list_our_tools() {
    let house = used();
    let bin = house.project().join("../bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let house = house.with_env("PATH", &path);
    let codex = |version: &str| {
        let script = format!("#!/bin/sh\ncase $1 in --version) echo codex-cli {version};; *) echo wheelhouse;; esac\n");
        let program = house.write("../bin/codex", &script);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let config = house.home().join(".codex/config.toml");
    let before = fs::read_to_string(&config).unwrap();
    let lists = || {
        fs::read_to_string(&config)
            .unwrap()
            .contains("direct_only_tool_namespaces = [\"mcp__wheelhouse\"]\n")
    };
    // What an older one would make of it nobody knows.
    codex("0.140.0");
    house.ok(&["install", "codex", "--yes"]);
    assert!(!lists());
    codex("0.172.1");
    house.ok(&["install", "codex", "--yes"]);
    assert!(lists());
    house.ok(&["uninstall", "codex", "--yes"]);
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    // Somebody adds to the list in the meantime: that stays.
    house.ok(&["install", "codex", "--yes"]);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("[\"mcp__wheelhouse\"]", "[\"mcp__wheelhouse\", \"mcp__mine\"]"),
    )
    .unwrap();
    house.ok(&["uninstall", "codex", "--yes"]);
    let text = fs::read_to_string(&config).unwrap();
    assert!(
        text.contains("[\"mcp__mine\"]") && !text.contains("wheelhouse"),
        "{text}"
    );
}

#[test]
fn what_others_changed_since_stays() {
    let house = used();
    house.ok(&["install", "claude", "--yes"]);
    let path = house.home().join(".claude.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"numStartups\": 7", "\"numStartups\": 8");
    fs::write(&path, text).unwrap();
    let skill = house.home().join(".claude/skills/wheelhouse/SKILL.md");
    fs::write(&skill, "my own words\n").unwrap();
    let done = house.ok(&["uninstall", "claude", "--yes"]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\"numStartups\": 8") && text.contains("\"other\"") && !text.contains("wheelhouse"),
        "{text}"
    );
    assert_eq!(fs::read_to_string(&skill).unwrap(), "my own words\n");
    assert!(
        done.err.contains("was changed since: it is left as it is"),
        "{}",
        done.err
    );
}

#[test]
fn files_of_the_same_name_are_left_alone() {
    let house = House::new();
    house.write("../home/.claude/commands/status.md", "my status\n");
    let done = house.ok(&["install", "claude", "--yes"]);
    assert!(
        done.err
            .contains("status.md is there and not from `wheelhouse install`"),
        "{}",
        done.err
    );
    house.ok(&["uninstall", "claude", "--yes"]);
    assert_eq!(
        fs::read_to_string(house.home().join(".claude/commands/status.md")).unwrap(),
        "my status\n"
    );
}

#[test]
fn a_file_that_several_agents_share_goes_with_the_last_of_them() {
    let house = House::new();
    for client in ["codex", "opencode"] {
        house.ok(&["install", client, "--scope", "project", "--yes"]);
    }
    house.ok(&["uninstall", "codex", "--scope", "project", "--yes"]);
    assert!(house.read("AGENTS.md").contains("wheelhouse:begin"));
    house.ok(&["uninstall", "opencode", "--scope", "project", "--yes"]);
    assert!(!house.project().join("AGENTS.md").exists());
}

#[test]
fn nothing_is_written_without_a_yes_or_when_something_is_broken() {
    let house = used();
    let root = house.project().parent().unwrap().to_owned();
    let before = files(&root);
    let asked = house.run(&["install", "claude"]);
    assert_eq!(asked.code, Some(2), "{asked:#?}");
    assert!(
        asked.out.contains("+++ ") && asked.err.contains("`--yes` writes them"),
        "{asked:#?}"
    );
    let shown = house.ok(&["install", "claude", "--dry-run"]);
    assert!(shown.err.contains("nothing was written"), "{}", shown.err);
    house.write("../home/.codex/config.toml", "= broken\n");
    house.write("../home/.gemini/settings.json", "{\"mcpServers\": [1]}");
    let broken = house.run(&["install", "codex", "gemini", "claude", "--yes"]);
    assert_eq!(broken.code, Some(6), "{broken:#?}");
    for words in [
        "config.toml cannot be edited",
        "settings.json cannot be edited: `mcpServers` is no object",
        "nothing was changed",
    ] {
        assert!(broken.err.contains(words), "{words}: {}", broken.err);
    }
    house.write(
        "../home/.codex/config.toml",
        std::str::from_utf8(&before["home/.codex/config.toml"]).unwrap(),
    );
    house.write(
        "../home/.gemini/settings.json",
        std::str::from_utf8(&before["home/.gemini/settings.json"]).unwrap(),
    );
    assert_eq!(files(&root), before);
    let unknown = house.run(&["install", "clude", "--yes"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("claude"), "{}", unknown.err);
    let nobody = House::new();
    let none = nobody.run(&["install", "--all", "--yes"]);
    assert_eq!(none.code, Some(5), "{none:#?}");
    assert_eq!(
        nobody.run(&["install", "claude", "--http", "ftp://x", "--yes"]).code,
        Some(2)
    );
}

#[test]
fn over_http_no_file_holds_a_token() {
    let house = House::new();
    let document = house.json(&[
        "install",
        "claude",
        "codex",
        "gemini",
        "opencode",
        "cursor",
        "--http",
        "http://127.0.0.1:7416/mcp",
        "--yes",
    ]);
    assert_eq!(document["written"], true);
    let home = house.home();
    let read = |path: &str| fs::read_to_string(home.join(path)).unwrap();
    assert!(read(".claude.json").contains("\"Authorization\": \"Bearer ${WHEELHOUSE_TOKEN}\""));
    assert!(read(".codex/config.toml").contains("bearer_token_env_var = \"WHEELHOUSE_TOKEN\""));
    assert!(read(".gemini/settings.json").contains("\"httpUrl\": \"http://127.0.0.1:7416/mcp\""));
    assert!(read(".config/opencode/opencode.json").contains("Bearer {env:WHEELHOUSE_TOKEN}"));
    assert!(read(".cursor/mcp.json").contains("Bearer ${env:WHEELHOUSE_TOKEN}"));
}
