//! The files of the repository, as the rules see them.
//!
//! Reads what git tracks and what it would track; ignored files do not count. Files that are not text are known by
//! their path alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use super::scan::{Line, Scanned, says, scan};

/// All files.
#[derive(Default)]
pub(crate) struct Tree {
    /// The `.rs` files.
    pub(crate) sources: Vec<Source>,
    /// Every text file, `.rs` ones too, by path.
    pub(crate) texts: BTreeMap<String, String>,
    paths: BTreeSet<String>,
}

/// One `.rs` file.
pub(crate) struct Source {
    /// Where it is, from the root, with `/`.
    pub(crate) path: String,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// Its lines.
    pub(crate) scanned: Scanned,
}

/// What a `.rs` file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Part of the product, or of a chore.
    Product,
    /// Compiled for tests only.
    Test,
    /// A benchmark or an example.
    Bench,
    /// A build script.
    Build,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree, String> {
        let listed = Command::new("git")
            // A checkout that belongs to somebody else (a container's mount) may be read all the same.
            .args(["-c", "safe.directory=*"])
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git could not be started: {error}"))?;
        if !listed.status.success() {
            return Err(format!(
                "git ls-files failed: {}",
                String::from_utf8_lossy(&listed.stderr).trim()
            ));
        }
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut tree = Tree::default();
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            // Listed and gone: deleted in the working tree and not yet in the index.
            if let Ok(bytes) = std::fs::read(root.join(name)) {
                tree.add(name, String::from_utf8(bytes).ok());
            }
        }
        tree.mark_test_modules();
        Ok(tree)
    }

    /// A tree of these files, for tests.
    #[cfg(test)]
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.add(path, Some(text.to_owned()));
        }
        tree.mark_test_modules();
        tree
    }

    /// How many files there are.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is a file or a folder of that path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let below = self.paths.range(folder.clone()..).next();
        path.is_empty() || self.paths.contains(path) || below.is_some_and(|first| first.starts_with(&folder))
    }

    /// The text of that file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    fn add(&mut self, path: &str, text: Option<String>) {
        self.paths.insert(path.to_owned());
        let Some(text) = text else {
            return;
        };
        if path.ends_with(".rs") {
            self.sources.push(Source {
                path: path.to_owned(),
                purpose: purpose(path),
                scanned: scan(&text),
            });
        }
        self.texts.insert(path.to_owned(), text);
    }

    /// `#[cfg(test)] mod rigs;` makes `rigs.rs` and all below `rigs/` test code.
    fn mark_test_modules(&mut self) {
        let declared: Vec<String> = self
            .sources
            .iter()
            .flat_map(|source| {
                let folder = source.folder_of_modules();
                source
                    .scanned
                    .test_modules
                    .iter()
                    .map(move |name| format!("{folder}/{name}"))
            })
            .collect();
        for source in &mut self.sources {
            let is_below = |module: &String| {
                let rest = source.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if declared.iter().any(is_below) {
                source.purpose = Purpose::Test;
            }
        }
    }
}

impl Source {
    /// The crate it belongs to, without `wheelhouse-`.
    pub(crate) fn room(&self) -> Option<&str> {
        match self.path.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", room, _, ..] => Some(room),
            ["xtask", _, ..] => Some("xtask"),
            _ => None,
        }
    }

    /// Its lines that are part of the product, with their numbers from 1.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &Line)> {
        let is_product = self.purpose == Purpose::Product;
        let lines = self.scanned.lines.iter().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(move |(_, line)| is_product && !line.is_test)
    }

    /// The numbers of the product lines that say `what`, in code or through a `use`.
    pub(crate) fn product_says(&self, what: &str) -> BTreeSet<usize> {
        let product: BTreeMap<usize, &Line> = self.product_lines().collect();
        let imports = self.scanned.imports.iter().filter(|(_, path)| says(path, what));
        let imported = imports.map(|(line, _)| *line).filter(|line| product.contains_key(line));
        let said = product
            .iter()
            .filter(|(_, line)| says(&line.code, what))
            .map(|(at, _)| *at);
        imported.chain(said).collect()
    }

    /// Where its modules' files are.
    fn folder_of_modules(&self) -> &str {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        match stem.rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => stem,
        }
    }
}

fn purpose(path: &str) -> Purpose {
    let parts: Vec<&str> = path.split('/').collect();
    let (name, folders) = parts.split_last().unwrap_or((&"", &[]));
    if folders.contains(&"tests") || *name == "tests.rs" {
        Purpose::Test
    } else if folders.contains(&"benches") || folders.contains(&"examples") {
        Purpose::Bench
    } else if *name == "build.rs" {
        Purpose::Build
    } else {
        Purpose::Product
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_follow_the_path_and_the_declaration() {
        let tree = Tree::of([
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod rigs;\nmod real;\n"),
            ("crates/a/src/rigs.rs", "#[cfg(test)]\n"),
            ("crates/a/src/rigs/deep.rs", ""),
            ("crates/a/src/rigs_of_ships.rs", ""),
            ("crates/a/src/real.rs", "#[cfg(test)]\nmod rigs;\n"),
            ("crates/a/src/real/rigs.rs", ""),
            ("crates/a/src/real/tests.rs", ""),
            ("crates/a/tests/outside.rs", ""),
            ("crates/a/benches/fast.rs", ""),
            ("crates/a/build.rs", ""),
        ]);
        let purposes: Vec<Purpose> = tree.sources.iter().map(|source| source.purpose).collect();
        use Purpose::{Bench, Build, Product, Test};
        assert_eq!(
            purposes,
            [Product, Test, Test, Product, Product, Test, Test, Test, Bench, Build]
        );
        assert_eq!(tree.sources[0].room(), Some("a"));
    }

    #[test]
    fn files_and_folders_are_found() {
        let tree = Tree::of([("docs/a.md", ""), ("docs-old/b.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has("docs-old"));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }

    #[test]
    fn imports_count_as_said() {
        let tree = Tree::of([(
            "crates/a/src/lib.rs",
            "use std::{\n    env,\n    fmt,\n};\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n",
        )]);
        assert_eq!(tree.sources[0].product_says("std::env"), BTreeSet::from([1]));
    }
}
