//! How files look: their size, their functions, their names, their first line.

use super::super::scan::words_of;
use super::super::tree::{Purpose, Source};
use super::super::{Finding, House, Rule};
use crate::house::{EMPTY_NAMES, FILE_LINES_MAX, FILE_LINES_WARN, FUNCTION_LINES_MAX};

/// Files have an end.
pub(crate) const SIZE: Rule = Rule {
    name: "size",
    says: "a file has at most 1,000 lines of product and 1,000 of tests; think of splitting at 500",
    check: check_size,
};

/// Functions fit a screen, or two.
pub(crate) const FUNCTION: Rule = Rule {
    name: "function",
    says: "a product function has at most 100 lines",
    check: check_function,
};

/// Names say something.
pub(crate) const NAME: Rule = Rule {
    name: "name",
    says: "no module is named utils, common, helpers, manager or the like",
    check: check_name,
};

/// Files open with what they are for.
pub(crate) const OPENING: Rule = Rule {
    name: "opening",
    says: "every file opens with a //! doc: what it owns, who calls it, what it does not do",
    check: check_opening,
};

fn check_size(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.tree.sources {
        let all = source.scanned.lines.len();
        let product = match source.purpose {
            Purpose::Test => 0,
            Purpose::Product | Purpose::Bench | Purpose::Build => {
                source.scanned.lines.iter().filter(|line| !line.is_test).count()
            }
        };
        for (count, of_what) in [(product, "product"), (all - product, "tests")] {
            if count > FILE_LINES_MAX {
                let message = format!("has {count} lines of {of_what}, more than {FILE_LINES_MAX}; split it by noun");
                findings.push(Finding::error(&source.path, None, message));
            } else if count > FILE_LINES_WARN {
                let message = format!("has {count} lines of {of_what}; is there a second concept in it?");
                findings.push(Finding::warning(&source.path, None, message));
            }
        }
    }
    findings
}

fn check_function(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in house
        .tree
        .sources
        .iter()
        .filter(|source| source.purpose != Purpose::Test)
    {
        for function in &source.scanned.functions {
            let lines = function.last - function.first + 1;
            let is_test = source
                .scanned
                .lines
                .get(function.first - 1)
                .is_some_and(|line| line.is_test);
            if !is_test && lines > FUNCTION_LINES_MAX {
                let name = &function.name;
                let message = format!("{name} has {lines} lines, more than {FUNCTION_LINES_MAX}; let leaves compute");
                findings.push(Finding::error(&source.path, function.first, message));
            }
        }
    }
    findings
}

fn check_name(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.tree.sources {
        let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        findings.extend(
            stem.split('/')
                .filter_map(empty_word)
                .map(|word| Finding::error(&source.path, None, format!("`{word}` does not say what it is for"))),
        );
        findings.extend(inline_modules(source).into_iter().filter_map(|(line, name)| {
            let word = empty_word(&name)?;
            Some(Finding::error(
                &source.path,
                line,
                format!("`{word}` does not say what it is for"),
            ))
        }));
    }
    findings
}

/// The word in a name such as `string_utils` that says nothing.
fn empty_word(name: &str) -> Option<&'static str> {
    let part = |part: &str| EMPTY_NAMES.iter().copied().find(|empty| *empty == part);
    name.split(['_', '-']).find_map(part)
}

/// Modules with their body in the file.
fn inline_modules(source: &Source) -> Vec<(usize, String)> {
    let mut modules = Vec::new();
    for (at, line) in source
        .scanned
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.code.contains("mod "))
    {
        let words = words_of(&line.code);
        let named = words
            .iter()
            .position(|word| word == "mod")
            .and_then(|mod_at| words.get(mod_at + 1));
        if let Some(name) = named.filter(|_| line.code.trim_end().ends_with('{')) {
            modules.push((at + 1, name.clone()));
        }
    }
    modules
}

fn check_opening(house: &House) -> Vec<Finding> {
    let closed = house.tree.sources.iter().filter(|source| {
        let text = house.tree.text(&source.path).unwrap_or_default();
        !text.starts_with("//!")
    });
    closed
        .map(|source| Finding::error(&source.path, 1, "does not open with a //! doc that says what it is for"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn long_files_are_found() {
        let lines = |count: usize| "x();\n".repeat(count);
        let with_tests = |product, tests| format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(product), lines(tests));
        let bitten = |text: &str| found(&SIZE, &[("crates/core/src/a.rs", text)]);
        assert_eq!(bitten(&lines(1_000)), [""; 0]);
        assert_eq!(
            bitten(&lines(1_001)),
            ["crates/core/src/a.rs: has 1001 lines of product, more than 1000; split it by noun"]
        );
        assert_eq!(bitten(&with_tests(900, 900)), [""; 0]);
        assert_eq!(
            bitten(&with_tests(10, 1_000)),
            ["crates/core/src/a.rs: has 1003 lines of tests, more than 1000; split it by noun"]
        );
    }

    #[test]
    fn longish_files_are_warned_of() {
        let house = House {
            tree: super::super::super::Tree::of([("crates/core/src/a.rs", "x();\n".repeat(501).as_str())]),
            graph: super::super::super::Graph::default(),
        };
        let expected = "has 501 lines of product; is there a second concept in it?";
        assert_eq!(
            check_size(&house),
            [Finding::warning("crates/core/src/a.rs", None, expected)]
        );
    }

    #[test]
    fn long_functions_are_found() {
        let function = |body: usize| format!("fn long() {{\n{}}}\n", "    if x { y }\n".repeat(body));
        let bitten = |text: &str| found(&FUNCTION, &[("crates/core/src/a.rs", text)]);
        assert_eq!(bitten(&function(98)), [""; 0]);
        assert_eq!(
            bitten(&format!("\n{}", function(99))),
            ["crates/core/src/a.rs:2: long has 101 lines, more than 100; let leaves compute"]
        );
        assert_eq!(
            bitten(&format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(99))),
            [""; 0]
        );
    }

    #[test]
    fn empty_names_are_found() {
        assert_eq!(
            found(&NAME, &[("crates/core/src/utils.rs", "//! x")]),
            ["crates/core/src/utils.rs: `utils` does not say what it is for"]
        );
        assert_eq!(found(&NAME, &[("crates/cli/tests/common/mod.rs", "")]).len(), 1);
        assert_eq!(found(&NAME, &[("crates/core/src/task_manager.rs", "")]).len(), 1);
        assert_eq!(
            found(&NAME, &[("crates/core/src/a.rs", "\npub(crate) mod helpers {\n}")]),
            ["crates/core/src/a.rs:2: `helpers` does not say what it is for"]
        );
        assert_eq!(
            found(&NAME, &[("crates/core/src/commonplace.rs", "mod real {\n}")]),
            [""; 0]
        );
    }

    #[test]
    fn files_without_an_opening_are_found() {
        assert_eq!(
            found(&OPENING, &[("crates/core/src/a.rs", "use std::fmt;\n//! Late.\n")]),
            ["crates/core/src/a.rs:1: does not open with a //! doc that says what it is for"]
        );
        assert_eq!(found(&OPENING, &[("crates/core/src/a.rs", "//! Plans.\n")]), [""; 0]);
    }
}
