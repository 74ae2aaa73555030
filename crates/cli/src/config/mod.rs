//! Configuration: layers merged into settings, with the origin of every value remembered.
//!
//! Defaults, then `/etc/wheelhouse/config.toml`, the user's `wheelhouse/config.toml`, the project's `wheelhouse.toml`,
//! `WHEELHOUSE__…` variables, the command line; the later wins, value by value. Unknown keys and wrong values are
//! reported all at once, each with its file and line. Read once by `main`; nothing else reads configuration.

mod api;
mod context;
mod fees;
pub(crate) mod keys;
pub(crate) mod layer;
mod settings;
mod tool_servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::exit;
use crate::failure::Failure;
use crate::nearest;
use crate::place::CONFIG_FILE;

pub(crate) use api::BACKEND as API;
pub(crate) use keys::{KEYS, Value};
pub(crate) use layer::Origin;
pub(crate) use settings::{AgentSettings, Settings};
pub(crate) use tool_servers::ToolServer;

/// Where the system's layer is.
const SYSTEM_FILE: &str = "/etc/wheelhouse/config.toml";

/// Something wrong in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) origin: Origin,
    /// What was found, what exists, what to do.
    pub(crate) message: String,
}

/// Everything that is set, by path, with its origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    /// The values.
    pub(crate) values: BTreeMap<Vec<String>, (Value, Origin)>,
}

/// Where the layers come from.
#[derive(Clone, Debug)]
pub(crate) struct Sources<'a> {
    /// The project.
    pub(crate) project: &'a Path,
    /// The environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// `--set`, and options that stand for keys.
    pub(crate) set: &'a [String],
}

impl Sources<'_> {
    /// The files, weakest first; they need not exist.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![PathBuf::from(SYSTEM_FILE)];
        let absolute = |name: &str| self.env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let user = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        files.extend(user.map(|dir| dir.join("wheelhouse/config.toml")));
        files.push(self.project.join(CONFIG_FILE));
        files
    }
}

/// Reads and merges every layer, or reports every problem of all of them.
pub(crate) fn load(sources: &Sources<'_>) -> Result<Merged, Failure> {
    let mut problems = Vec::new();
    let mut leaves = Vec::new();
    for path in sources.files() {
        match std::fs::read_to_string(&path) {
            Ok(text) => leaves.extend(layer::file(&path, &text, &mut problems)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io("read the configuration", &path, &error)),
        }
    }
    let environment = layer::environment(sources.env, &leaves);
    leaves.extend(environment);
    leaves.extend(layer::command_line(sources.set, &mut problems));
    let merged = merge(leaves, &mut problems);
    if problems.is_empty() {
        Ok(merged)
    } else {
        Err(report(&problems))
    }
}

fn merge(leaves: Vec<layer::Leaf>, problems: &mut Vec<Problem>) -> Merged {
    let mut merged = Merged::default();
    for key in KEYS {
        let default = key.default.and_then(layer::value);
        if let Some(Ok(value)) = default.map(|raw| key.kind.read(&raw)) {
            let path = key.pattern.split('.').map(str::to_owned).collect();
            merged.values.insert(path, (value, Origin::Default));
        }
    }
    for leaf in leaves {
        let name = leaf.path.join(".");
        match keys::find(&leaf.path) {
            None => problems.push(Problem {
                origin: leaf.origin,
                message: unknown(&name, &leaf.path),
            }),
            Some(key) => match key.kind.read(&leaf.raw) {
                Ok(value) => {
                    merged.values.insert(leaf.path, (value, leaf.origin));
                }
                Err(message) => problems.push(Problem {
                    origin: leaf.origin,
                    message: format!("`{name}`: {message}"),
                }),
            },
        }
    }
    merged
}

fn unknown(name: &str, path: &[String]) -> String {
    let candidates = keys::candidates(path);
    let hint = match nearest::name(name, &candidates) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`wheelhouse config show` lists every key".to_owned(),
    };
    format!("there is no key `{name}`; {hint}")
}

/// All problems as one failure.
pub(crate) fn report(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("  {}: {}", problem.origin, problem.message))
        .collect();
    let count = match problems.len() {
        1 => "a problem".to_owned(),
        more => format!("{more} problems"),
    };
    Failure::new(
        exit::USAGE,
        format!("the configuration has {count}\n{}", lines.join("\n")),
    )
    .hint("docs/configuration.md describes every key; `wheelhouse config show --origin` says what is set where")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home {
        dir: tempfile::TempDir,
        env: BTreeMap<String, String>,
    }

    fn home(user: &str, project: &str, env: &[(&str, &str)]) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("home/.config/wheelhouse");
        std::fs::create_dir_all(&config).unwrap();
        std::fs::create_dir_all(dir.path().join("project")).unwrap();
        std::fs::write(config.join("config.toml"), user).unwrap();
        std::fs::write(dir.path().join("project/wheelhouse.toml"), project).unwrap();
        let mut variables = BTreeMap::from([("HOME".to_owned(), dir.path().join("home").display().to_string())]);
        variables.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Home { dir, env: variables }
    }

    fn read(home: &Home, set: &[&str]) -> Result<Merged, Failure> {
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        load(&Sources {
            project: &home.dir.path().join("project"),
            env: &home.env,
            set: &set,
        })
    }

    fn shown(merged: &Merged, home: &Home, name: &str) -> String {
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        let (value, origin) = &merged.values[&path];
        let origin = origin.to_string().replace(&home.dir.path().display().to_string(), "");
        format!("{} ({origin})", value.toml())
    }

    #[test]
    fn the_later_layer_wins_and_origins_are_kept() {
        let home = home(
            "parallel_max = 2\nretry = 0\ngrace = \"1s\"\n",
            "\nretry = 2\ntimeout = \"1h\"\n",
            &[("WHEELHOUSE__TIMEOUT", "2h"), ("WHEELHOUSE__RETENTION__DAYS", "7")],
        );
        let merged = read(&home, &["retention.days=8"]).unwrap();
        for (name, expected) in [
            ("output_max", "\"8MiB\" (default)"),
            ("parallel_max", "2 (/home/.config/wheelhouse/config.toml:1)"),
            ("retry", "2 (/project/wheelhouse.toml:2)"),
            ("timeout", "\"2h\" (env WHEELHOUSE__TIMEOUT)"),
            ("retention.days", "8 (command line)"),
        ] {
            assert_eq!(shown(&merged, &home, name), expected);
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let home = home(
            "paralel_max = 2\n",
            "retry = 9\n[agents.quick]\nbakend = \"exec\"\n[nonsense]\nx = true\n",
            &[("WHEELHOUSE__GRACE", "soon")],
        );
        let failure = read(&home, &["timeout=20", "oops"]).unwrap_err();
        assert_eq!(failure.exit, exit::USAGE);
        let message = failure.message.replace(&home.dir.path().display().to_string(), "");
        insta::assert_snapshot!(message, @r#"
        the configuration has 7 problems
          command line: `--set oops` is not KEY=VALUE; write for example `--set retry=0`
          /home/.config/wheelhouse/config.toml:1: there is no key `paralel_max`; did you mean `parallel_max`?
          /project/wheelhouse.toml:1: `retry`: `9` is not a whole number from 0 to 2
          /project/wheelhouse.toml:3: there is no key `agents.quick.bakend`; did you mean `agents.quick.backend`?
          /project/wheelhouse.toml:5: there is no key `nonsense.x`; `wheelhouse config show` lists every key
          env WHEELHOUSE__GRACE: `grace`: `soon` is not a duration; write a number and a unit, such as `90s`, `20m`, `2h30m` or `500ms`
          command line: `timeout`: `20` is not a duration; write a number and a unit in quotes, such as "90s" or "20m"
        "#);
    }

    #[test]
    fn broken_toml_names_its_line() {
        let home = home("", "retry = 1\ngrace = \n", &[]);
        let failure = read(&home, &[]).unwrap_err();
        assert!(
            failure.message.contains("/project/wheelhouse.toml:2: "),
            "{}",
            failure.message
        );
    }

    #[test]
    fn variables_reach_agents_whose_names_they_cannot_spell() {
        let home = home(
            "",
            "[agents.codex-review]\nbackend = \"rehearsal\"\n",
            &[
                ("WHEELHOUSE__AGENTS__CODEX_REVIEW__PARALLEL_MAX", "3"),
                ("WHEELHOUSE__AGENTS__CODEX_REVIEW__ENV__Token_File", "x"),
            ],
        );
        let merged = read(&home, &[]).unwrap();
        assert_eq!(
            shown(&merged, &home, "agents.codex-review.parallel_max"),
            "3 (env WHEELHOUSE__AGENTS__CODEX_REVIEW__PARALLEL_MAX)"
        );
        assert!(shown(&merged, &home, "agents.codex-review.env.Token_File").starts_with("\"x\""));
    }
}
