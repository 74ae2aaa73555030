//! From an import as written to the modules it may mean: paths without endings, compared with the ends of the paths
//! that are there. No build system is asked, so this is a guess; a neighbour in the ranking, never a fact.

use super::language::Language;

/// How many modules one file may import.
const TARGETS_MAX: usize = 128;

/// The modules that the imports of a file may mean. What starts with `/` is seen from the root of the tree; everything
/// else is the end of a path.
pub(crate) fn targets(language: Language, path: &str, imports: &[String]) -> Vec<String> {
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut targets = Vec::new();
    for written in imports {
        match language {
            Language::Rust => rust(written, &mut targets),
            Language::Python => python(written, directory, &mut targets),
            Language::TypeScript | Language::Tsx | Language::Ruby => quoted(written, directory, language, &mut targets),
            Language::Go => targets.extend(inside_quotes(written).map(str::to_owned)),
            Language::Java => {
                let name = written
                    .trim_start_matches("import")
                    .trim()
                    .trim_start_matches("static ")
                    .trim();
                let name = name.trim_end_matches(';').trim_end_matches(".*");
                targets.push(name.replace('.', "/"));
            }
            Language::Cpp => {
                let name = written.trim_start_matches("#include").trim();
                let name = name.trim_matches(|c| matches!(c, '"' | '<' | '>'));
                targets.push(without_ending(name).trim_start_matches("../").to_owned());
            }
        }
    }
    targets.retain(|target| !target.is_empty() && target.len() <= 200);
    targets.sort_unstable();
    targets.dedup();
    targets.truncate(TARGETS_MAX);
    targets
}

/// `use a::b::{c, d::E};` may mean the files of `b`, `c` and `d`.
fn rust(written: &str, targets: &mut Vec<String>) {
    let text = written.trim_start_matches("pub").trim_start();
    let text = text.strip_prefix("(crate)").unwrap_or(text).trim_start();
    if let Some(name) = text.strip_prefix("mod ") {
        targets.push(name.trim_end_matches(';').trim().to_owned());
        return;
    }
    let text = text.trim_start_matches("use ").trim_end_matches(';');
    let (prefix, rest) = text.split_once('{').unwrap_or((text, ""));
    let prefix: Vec<&str> = prefix
        .split("::")
        .map(str::trim)
        .skip(1)
        .filter(|part| !part.is_empty() && *part != "self" && *part != "super" && *part != "*")
        .collect();
    if !prefix.is_empty() {
        targets.push(prefix.join("/"));
        targets.push(prefix[..prefix.len() - 1].join("/"));
    }
    for item in rest.split([',', '{', '}']) {
        let item = item.split(" as ").next().unwrap_or_default().trim();
        let first = item.split("::").next().unwrap_or_default();
        if first.starts_with(|c: char| c.is_ascii_lowercase()) && first != "self" {
            targets.push([prefix.as_slice(), &[first]].concat().join("/"));
        }
    }
}

fn python(written: &str, directory: &str, targets: &mut Vec<String>) {
    let text = written.replace(['(', ')', '\\', '\n'], " ");
    if let Some(list) = text.strip_prefix("import ") {
        let modules = list.split(',').filter_map(|one| one.split_whitespace().next());
        targets.extend(modules.map(|one| one.replace('.', "/")));
        return;
    }
    let Some((module, names)) = text.strip_prefix("from ").and_then(|rest| rest.split_once(" import ")) else {
        return;
    };
    let module = module.trim();
    let dots = module.len() - module.trim_start_matches('.').len();
    let below = module[dots..].replace('.', "/");
    let base = match dots {
        0 => below,
        dots => {
            let mut up = directory;
            for _ in 1..dots {
                up = up.rsplit_once('/').map_or("", |(up, _)| up);
            }
            join(up, &below)
        }
    };
    for name in names.split(',').filter_map(|one| one.split_whitespace().next()) {
        targets.push(format!("{base}/{name}"));
    }
    targets.push(base);
}

/// What stands in quotes, from the directory where it starts with a dot (Ruby's `require_relative` always does).
fn quoted(written: &str, directory: &str, language: Language, targets: &mut Vec<String>) {
    let Some(name) = inside_quotes(written) else { return };
    let relative = name.starts_with('.') || (language == Language::Ruby && written.starts_with("require_relative"));
    if !relative {
        targets.push(name.to_owned());
        return;
    }
    let mut up = directory;
    let mut rest = name;
    loop {
        if let Some(further) = rest.strip_prefix("./") {
            rest = further;
        } else if let Some(further) = rest.strip_prefix("../") {
            up = up.rsplit_once('/').map_or("", |(up, _)| up);
            rest = further;
        } else {
            break;
        }
    }
    let rest = match rest.rsplit_once('.') {
        Some((stem, "js" | "ts" | "mjs" | "jsx" | "tsx" | "rb")) => stem,
        _ => rest,
    };
    targets.push(join(up, rest.trim_end_matches("/index")));
}

fn join(directory: &str, below: &str) -> String {
    match (directory.is_empty(), below.is_empty()) {
        (_, true) => format!("/{directory}"),
        (true, false) => format!("/{below}"),
        (false, false) => format!("/{directory}/{below}"),
    }
}

fn inside_quotes(text: &str) -> Option<&str> {
    let start = text.find(['"', '\'', '`'])?;
    let quote = text[start..].chars().next()?;
    let rest = &text[start + 1..];
    Some(&rest[..rest.find(quote)?])
}

fn without_ending(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether a target means the module: it is its end at a boundary, or all of it where it is seen from the root.
pub(crate) fn means(target: &str, module: &str) -> bool {
    if let Some(whole) = target.strip_prefix('/') {
        return whole == module;
    }
    module
        .strip_suffix(target)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// The last part of a target, by which it is looked up.
pub(crate) fn last(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(language: Language, path: &str, written: &[&str]) -> Vec<String> {
        let written: Vec<String> = written.iter().map(|one| (*one).to_owned()).collect();
        targets(language, path, &written)
    }

    #[test]
    fn imports_become_ends_of_paths() {
        assert_eq!(
            of(
                Language::Rust,
                "src/a.rs",
                &["use crate::plan::{task, walk::Step, Kind};", "pub mod part;"]
            ),
            ["part", "plan", "plan/task", "plan/walk"]
        );
        assert_eq!(
            of(
                Language::Python,
                "pkg/sub/a.py",
                &[
                    "import os.path as p, re",
                    "from ..core import Basic, x as y",
                    "from . import z"
                ]
            ),
            [
                "/pkg/core",
                "/pkg/core/Basic",
                "/pkg/core/x",
                "/pkg/sub",
                "/pkg/sub/z",
                "os/path",
                "re"
            ]
        );
        assert_eq!(
            of(
                Language::Tsx,
                "web/ui/a.tsx",
                &[
                    "import {b} from '../lib/b.js'",
                    "import React from \"react\"",
                    "require('./c')"
                ]
            ),
            ["/web/lib/b", "/web/ui/c", "react"]
        );
        assert_eq!(
            of(Language::Go, "a.go", &["x \"example.org/m/pkg\""]),
            ["example.org/m/pkg"]
        );
        assert_eq!(
            of(Language::Java, "A.java", &["import static org.b.Thing.*;"]),
            ["org/b/Thing"]
        );
        assert_eq!(of(Language::Cpp, "a.c", &["#include <lib/box.h>"]), ["lib/box"]);
        assert_eq!(
            of(Language::Ruby, "lib/a.rb", &["require_relative 'net/http'"]),
            ["/lib/net/http"]
        );
    }

    #[test]
    fn a_target_means_the_end_of_a_module() {
        assert!(means("plan/task", "crates/core/src/plan/task"));
        assert!(means("/pkg/core", "pkg/core"));
        assert!(!means("/pkg/core", "x/pkg/core"));
        assert!(!means("an/task", "src/plan/task"));
    }
}
