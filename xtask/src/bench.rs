//! `cargo xtask bench`: starts the benchmarks by name. They live in the crates they measure; nothing of them is built
//! for anything else.

use std::path::Path;
use std::process::{Command, ExitCode};

/// One name, and the benchmark behind it.
struct Named {
    name: &'static str,
    package: &'static str,
    bench: &'static str,
    about: &'static str,
}

const ALL: &[Named] = &[
    measured("toon", "TOON 4.0 fixtures, and tokens of the encoding that is chosen"),
    measured("json_patch", "the suite of RFC 6902"),
    measured("apply_patch", "the scenarios of apply_patch"),
    measured("tools", "tool discovery on MetaTool"),
    measured("routing", "routing on RouteLLM's data"),
    measured("trajectories", "recorded sessions with layers on and off"),
    measured("complexity", "measured costs of context policies, accounted for"),
    measured(
        "patch_formats",
        "tokens of real fixes as a diff, an envelope, search and replace",
    ),
    measured("compression", "what issue texts lose that are compressed to half"),
    of(
        "localisation",
        "wheelhouse-engine",
        "localisation",
        "files that a fix changed; needs --trees DIR too",
    ),
    of(
        "speed",
        "wheelhouse-context",
        "speed",
        "counting, slicing, TOON, patches",
    ),
    of("codebase", "wheelhouse-engine", "codebase", "indexing and finding"),
    of("engine", "wheelhouse-engine", "engine", "tasks a second"),
    of("worktree", "wheelhouse-engine", "worktree", "trees and merges"),
    of("store", "wheelhouse-store", "store", "the store"),
    of(
        "reviews",
        "wheelhouse-core",
        "reviews",
        "who is left out of reviews, in a play of chance with seeds; no data",
    ),
];

const fn measured(name: &'static str, about: &'static str) -> Named {
    of(name, "wheelhouse-context", "measured", about)
}

const fn of(name: &'static str, package: &'static str, bench: &'static str, about: &'static str) -> Named {
    Named {
        name,
        package,
        bench,
        about,
    }
}

/// The names and what they are about.
pub(crate) fn explain() -> String {
    let mut text = String::from(
        "usage: cargo xtask bench NAME [--data DIR] [--trees DIR]\n\nnames (`all` is everything that is measured on --data):\n",
    );
    for one in ALL {
        text.push_str(&format!("  {:<13} {}\n", one.name, one.about));
    }
    text
}

/// Runs the benchmark of that name in the repository at `root`.
pub(crate) fn run(root: &Path, name: &str, rest: &[&str]) -> ExitCode {
    let mut words: Vec<String> = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        words.push((*word).to_owned());
        if let ("--data" | "--trees", Some(directory)) = (*word, rest.next()) {
            let Ok(whole) = std::path::absolute(directory) else {
                continue;
            };
            // Each benchmark reads its own part of the data.
            let own = whole.join("localisation");
            let part = name == "localisation" && *word == "--data" && own.is_dir();
            let directory = if part { own } else { whole };
            if !directory.is_dir() {
                eprintln!("there is no directory {}", directory.display());
                return ExitCode::from(2);
            }
            words.push(directory.display().to_string());
        }
    }
    let (package, bench, first) = if name == "all" {
        ("wheelhouse-context", "measured", None)
    } else if let Some(found) = ALL.iter().find(|one| one.name == name) {
        (
            found.package,
            found.bench,
            (found.bench == "measured").then(|| name.to_owned()),
        )
    } else {
        eprintln!("there is no benchmark `{name}`\n");
        eprint!("{}", explain());
        return ExitCode::from(2);
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["bench", "-p", package, "--bench", bench, "--"])
        .args(first)
        .args(words)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo could not be started: {error}");
            ExitCode::from(2)
        }
    }
}
