//! The machine check of the house.
//!
//! Reads what git tracks (and what it would track) plus the dependency graph, puts both through every rule of
//! [`RULES`], and reports all findings at once. Rules are pure functions over a [`House`], so each is tested on a
//! small house that breaks it. They read lines and braces, not syntax trees: cheap, and wrong only for code that
//! nobody here writes.

mod graph;
mod rules;
mod scan;
mod tree;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use graph::Graph;
use tree::Tree;

/// Everything the rules look at.
pub(crate) struct House {
    /// The files.
    pub(crate) tree: Tree,
    /// The crates and what they depend on.
    pub(crate) graph: Graph,
}

/// One rule of the house.
pub(crate) struct Rule {
    /// Its name, as printed with each finding.
    pub(crate) name: &'static str,
    /// What it says, in one line.
    pub(crate) says: &'static str,
    /// Finds what breaks it.
    pub(crate) check: fn(&House) -> Vec<Finding>,
}

/// What breaks a rule, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// Whether it must go.
    pub(crate) severity: Severity,
    /// The file, or the crate.
    pub(crate) place: String,
    /// The line, from 1.
    pub(crate) line: Option<usize>,
    /// What was found and what to do.
    pub(crate) message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Severity {
    /// Worth a look.
    Warning,
    /// The check fails.
    Error,
}

impl Finding {
    /// Something that must go.
    pub(crate) fn error(place: &str, line: impl Into<Option<usize>>, message: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Error,
            place: place.to_owned(),
            line: line.into(),
            message: message.into(),
        }
    }

    /// Something worth a look.
    pub(crate) fn warning(place: &str, line: impl Into<Option<usize>>, message: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Warning,
            ..Finding::error(place, line, message)
        }
    }
}

/// All rules, in the order in which they are reported.
pub(crate) const RULES: &[Rule] = &[
    rules::arrows::ARROWS,
    rules::arrows::PURE,
    rules::arrows::SOURCES,
    rules::bans::CORE,
    rules::bans::SPAWN,
    rules::bans::PRINT,
    rules::bans::ALLOW,
    rules::bans::UNFINISHED,
    rules::shape::SIZE,
    rules::shape::FUNCTION,
    rules::shape::NAME,
    rules::shape::OPENING,
    rules::pages::LINKED,
    rules::pages::DANGLING,
    rules::pages::MACHINE,
    rules::pages::GATE,
    rules::packages::LICENCE,
    rules::packages::DUPLICATE,
];

/// What came of a check; displays as the text for people.
pub(crate) struct Report {
    findings: Vec<(&'static str, Finding)>,
    files: usize,
    packages: usize,
    took: Duration,
}

impl Report {
    /// How many findings must go.
    pub(crate) fn errors(&self) -> usize {
        let is_error = |(_, finding): &&(&str, Finding)| finding.severity == Severity::Error;
        self.findings.iter().filter(is_error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, finding) in &self.findings {
            let severity = match finding.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            write!(f, "{severity}[{rule}] {}", finding.place)?;
            if let Some(line) = finding.line {
                write!(f, ":{line}")?;
            }
            writeln!(f, ": {}", finding.message)?;
        }
        let errors = self.errors();
        let warnings = self.findings.len() - errors;
        write!(
            f,
            "tidy: {} rules over {} files and {} packages in {} ms: {errors} errors, {warnings} warnings",
            RULES.len(),
            self.files,
            self.packages,
            self.took.as_millis()
        )?;
        writeln!(f)?;
        if errors > 0 {
            writeln!(
                f,
                "\nWhat is allowed stands in xtask/src/house.rs; `cargo xtask tidy --rules` says why."
            )?;
        }
        Ok(())
    }
}

/// Checks the repository at `root`.
pub(crate) fn run(root: &Path) -> Result<Report, String> {
    let began = Instant::now();
    let house = House {
        tree: Tree::read(root)?,
        graph: Graph::read(root)?,
    };
    Ok(Report {
        findings: check(&house),
        files: house.tree.len(),
        packages: house.graph.packages.len(),
        took: began.elapsed(),
    })
}

/// Puts a house through every rule.
fn check(house: &House) -> Vec<(&'static str, Finding)> {
    RULES
        .iter()
        .flat_map(|rule| (rule.check)(house).into_iter().map(|finding| (rule.name, finding)))
        .collect()
}

/// The rules as text.
pub(crate) fn explain() -> String {
    RULES
        .iter()
        .map(|rule| format!("{:<12} {}\n", rule.name, rule.says))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every rule is in [`RULES`] and bites there: one house breaks all of them.
    #[test]
    fn a_ruin_breaks_every_rule() {
        let long_function = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(100));
        let ruin = House {
            tree: Tree::of([
                ("README.md", "[gone](gone.md)\n```sh\ncargo test --all\n```\n"),
                (".ci/run", "cargo test --workspace\n"),
                ("docs/orphan.md", "# Orphan\n"),
                (
                    "crates/core/src/utils.rs",
                    "use std::fs;\n#[allow(dead_code)]\nfn f() { todo!() }\n",
                ),
                (
                    "crates/engine/src/lib.rs",
                    "fn f() { tokio::spawn(g()); println!(\"\"); }\n",
                ),
                ("crates/engine/src/long.rs", long_function.as_str()),
                ("crates/engine/src/huge.rs", "x();\n".repeat(1_001).as_str()),
                ("docs/where.md", concat!("see /ro", "ot/x\n")),
            ]),
            graph: Graph::of(
                &["core -> engine", "core -> tokio"],
                &[
                    ("tokio", "1.0.0", Some("GPL-3.0-only")),
                    ("tokio", "2.0.0", Some("MIT")),
                    ("elsewhere", "1.0.0", Some("MIT")),
                ],
            )
            .with_source("elsewhere", "git+https://example.com/elsewhere"),
        };
        let bitten: BTreeSet<&str> = check(&ruin).into_iter().map(|(rule, _)| rule).collect();
        let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(bitten, all);
    }

    /// From outside: a real repository with one sin, which only git and cargo together can tell of.
    #[test]
    fn a_repository_is_read_through_git_and_cargo() {
        let root = std::env::temp_dir().join(format!("wheelhouse-tidy-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let package = "name = \"wheelhouse-core\"\nversion = \"0.1.0\"\n";
        let manifest =
            format!("[package]\n{package}edition = \"2024\"\nlicense = \"MIT OR Apache-2.0\"\n[workspace]\n");
        write("Cargo.toml", &manifest);
        write("Cargo.lock", &format!("version = 4\n[[package]]\n{package}"));
        write("README.md", "```sh\ncargo test\n```\n");
        write(".ci/run", "cargo test\n");
        write("src/lib.rs", "//! Empty.\n");
        write(
            "crates/core/src/sin.rs",
            "//! Asks the clock.\nfn f() { SystemTime::now(); }\n",
        );
        write("crates/core/src/ignored.rs", "use std::fs;\n");
        write(".gitignore", "ignored.rs\n");
        let git = std::process::Command::new("git")
            .args(["init", "--quiet"])
            .current_dir(&root)
            .status();
        assert!(git.unwrap().success());
        let report = run(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let errors = report
            .findings
            .iter()
            .filter(|(_, finding)| finding.severity == Severity::Error);
        let errors: Vec<_> = errors
            .map(|(rule, finding)| (*rule, finding.place.as_str(), finding.line))
            .collect();
        assert_eq!(errors, [("untouched", "crates/core/src/sin.rs", Some(2))], "{report}");
    }

    #[test]
    fn the_report_counts_and_fails_on_errors_only() {
        let report = |finding| Report {
            findings: vec![("size", finding)],
            files: 3,
            packages: 2,
            took: Duration::from_millis(7),
        };
        let warned = report(Finding::warning("a.rs", None, "is long"));
        assert_eq!(warned.errors(), 0);
        let failed = report(Finding::error("a.rs", 4, "is too long"));
        assert_eq!(failed.errors(), 1);
        let text = failed.to_string();
        assert!(text.starts_with("error[size] a.rs:4: is too long\n"), "{text}");
        assert!(
            text.contains("over 3 files and 2 packages in 7 ms: 1 errors, 0 warnings"),
            "{text}"
        );
    }
}
