//! Under which licences dependencies come, and how often.

use std::collections::BTreeMap;

use super::super::graph::Package;
use super::super::{Finding, House, Rule};
use crate::house::{DUPLICATES, LICENCE_EXCEPTIONS, LICENCES};

/// Licences that go with ours.
pub(crate) const LICENCE: Rule = Rule {
    name: "licence",
    says: "every dependency comes under a licence of the list; ours are MIT OR Apache-2.0",
    check: check_licence,
};

/// One version of each.
pub(crate) const DUPLICATE: Rule = Rule {
    name: "duplicate",
    says: "a dependency is there in one version, unless the list says who needs another",
    check: check_duplicate,
};

const OURS: &str = "MIT OR Apache-2.0";

fn check_licence(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in house
        .graph
        .ours()
        .filter(|package| package.licence.as_deref() != Some(OURS))
    {
        findings.push(Finding::error(
            &package.name,
            None,
            format!("must say license.workspace = true ({OURS})"),
        ));
    }
    for package in house.graph.others() {
        let message = match package.licence.as_deref() {
            None => "says no licence".to_owned(),
            Some(licence) if satisfied(licence, &|name| is_welcome(package, name)) => continue,
            Some(licence) => format!("comes under {licence}, which is not in LICENCES"),
        };
        findings.push(Finding::error(
            &format!("{} {}", package.name, package.version),
            None,
            message,
        ));
    }
    let is_used = |name: &str| house.graph.others().any(|package| package.name == name);
    findings.extend(
        LICENCE_EXCEPTIONS
            .iter()
            .filter(|exception| !is_used(exception.name))
            .map(|exception| {
                let reason = exception.reason;
                Finding::warning(
                    exception.name,
                    None,
                    format!("has a licence exception and is gone: {reason}"),
                )
            }),
    );
    findings
}

fn is_welcome(package: &Package, licence: &str) -> bool {
    LICENCES.contains(&licence)
        || LICENCE_EXCEPTIONS
            .iter()
            .any(|exception| exception.name == package.name && exception.licence == licence)
}

/// Whether an SPDX expression can be met with welcome licences. The old `A/B` means `A OR B`.
fn satisfied(expression: &str, is_welcome: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let met = any_of(&mut tokens, is_welcome);
    // What is left over was not understood.
    met && tokens.is_empty()
}

fn any_of(tokens: &mut Vec<&str>, is_welcome: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all_of(tokens, is_welcome);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        met |= all_of(tokens, is_welcome);
    }
    met
}

fn all_of(tokens: &mut Vec<&str>, is_welcome: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(tokens, is_welcome);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        met &= one(tokens, is_welcome);
    }
    met
}

fn one(tokens: &mut Vec<&str>, is_welcome: &dyn Fn(&str) -> bool) -> bool {
    match tokens.pop() {
        Some("(") => {
            let met = any_of(tokens, is_welcome);
            met && tokens.pop() == Some(")")
        }
        Some(name) if tokens.last() == Some(&"WITH") => {
            tokens.pop();
            let exception = tokens.pop().unwrap_or_default();
            is_welcome(&format!("{name} WITH {exception}"))
        }
        Some(name) => is_welcome(name),
        None => false,
    }
}

fn check_duplicate(house: &House) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in house.graph.others() {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut findings = Vec::new();
    for (name, versions) in &versions {
        let listed = DUPLICATES.iter().find(|duplicate| duplicate.name == *name);
        let is_listed = |version: &&str| listed.is_some_and(|listed| listed.versions.contains(&line(version).as_str()));
        if !versions.iter().all(is_listed) {
            let all = versions.join(" and ");
            let message = format!(
                "is there as {all}; ask `cargo tree -i {name}@{}`, then list it",
                versions[0]
            );
            findings.push(Finding::error(name, None, message));
        }
    }
    let gone = DUPLICATES
        .iter()
        .filter(|duplicate| !versions.contains_key(duplicate.name));
    findings.extend(gone.map(|duplicate| {
        let reason = duplicate.reason;
        Finding::warning(
            duplicate.name,
            None,
            format!("is listed as a duplicate and is none any more: {reason}"),
        )
    }));
    findings
}

/// The part of a version that decides compatibility: `2` of `2.0.119`, `0.31` of `0.31.3`.
fn line(version: &str) -> String {
    let mut parts = Vec::new();
    for part in version.split('.') {
        parts.push(part);
        if part != "0" {
            break;
        }
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Graph;
    use super::super::found_in;
    use super::*;

    fn licence(text: Option<&str>) -> Vec<String> {
        found_in(&LICENCE, &[], Graph::of(&[], &[("a", "1.0.0", text)]))
    }

    #[test]
    fn unwelcome_licences_are_found() {
        assert_eq!(licence(None), ["a 1.0.0: says no licence"]);
        assert_eq!(
            licence(Some("GPL-3.0-only")),
            ["a 1.0.0: comes under GPL-3.0-only, which is not in LICENCES"]
        );
        for text in [
            "MIT AND GPL-2.0",
            "MPL-2.0",
            "MIT AND (GPL-2.0 OR LGPL-2.1)",
            "Apache-2.0 WITH odd",
            "MIT MIT",
        ] {
            assert_eq!(licence(Some(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn welcome_licences_pass() {
        for text in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "GPL-2.0 AND GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(licence(Some(text)), [""; 0], "{text}");
        }
    }

    #[test]
    fn unlisted_duplicates_are_found() {
        let twice = Graph::of(
            &[],
            &[("a", "0.31.3", None), ("a", "2.1.0", None), ("b", "1.0.0", None)],
        );
        assert_eq!(
            found_in(&DUPLICATE, &[], twice),
            ["a: is there as 0.31.3 and 2.1.0; ask `cargo tree -i a@0.31.3`, then list it"]
        );
    }

    #[test]
    fn lines_of_versions_follow_cargo() {
        assert_eq!(
            [line("2.0.119"), line("0.31.3"), line("0.0.5"), line("1.1.0+b")],
            ["2", "0.31", "0.0.5", "1"]
        );
    }
}
