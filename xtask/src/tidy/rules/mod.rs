//! The rules, by what they look at. Each is a constant that [`super::RULES`] lists.

pub(crate) mod arrows;
pub(crate) mod bans;
pub(crate) mod packages;
pub(crate) mod pages;
pub(crate) mod shape;

use crate::house::Exception;

/// Whether an exception covers the path.
fn excepted<'a>(exceptions: &'a [Exception], path: &str) -> Option<&'a Exception> {
    exceptions
        .iter()
        .find(|exception| exception.path == path || exception.path.ends_with('/') && path.starts_with(exception.path))
}

/// What a rule finds in the given files, as `line: message` lines; for the tests of rules about files.
#[cfg(test)]
fn found(rule: &super::Rule, files: &[(&str, &str)]) -> Vec<String> {
    found_in(rule, files, super::Graph::default())
}

/// What a rule finds in a graph; for the tests of rules about crates.
#[cfg(test)]
fn found_in(rule: &super::Rule, files: &[(&str, &str)], graph: super::Graph) -> Vec<String> {
    let house = super::House {
        tree: super::Tree::of(files.iter().copied()),
        graph,
    };
    let errors = (rule.check)(&house)
        .into_iter()
        .filter(|finding| finding.severity == super::Severity::Error);
    errors
        .map(|finding| match finding.line {
            Some(line) => format!("{}:{line}: {}", finding.place, finding.message),
            None => format!("{}: {}", finding.place, finding.message),
        })
        .collect()
}
