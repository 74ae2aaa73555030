//! Who may depend on whom, and where dependencies come from.

use super::super::graph::ArrowKind;
use super::super::{Finding, House, Rule};
use crate::house::{BROUGHT_ALONG, NEVER_IN_CORE, REGISTRY, ROOMS};

/// Arrows between our crates.
pub(crate) const ARROWS: Rule = Rule {
    name: "arrows",
    says: "crates depend on each other only as ARCHITECTURE.md draws it",
    check: check_arrows,
};

/// Nothing impure reaches core.
pub(crate) const PURE: Rule = Rule {
    name: "pure",
    says: "core is built from nothing that brings a runtime, a device or chance",
    check: check_pure,
};

/// One source of packages.
pub(crate) const SOURCES: Rule = Rule {
    name: "sources",
    says: "every dependency comes from the public registry, none from git or a path outside",
    check: check_sources,
};

fn check_arrows(house: &House) -> Vec<Finding> {
    let room = |name: &str| ROOMS.iter().find(|room| room.name == name);
    let unlisted = house.graph.ours().filter(|package| room(&package.name).is_none());
    let mut findings: Vec<Finding> = unlisted
        .map(|package| Finding::error(&package.name, None, "is not in ROOMS; say there what it may use"))
        .collect();
    for arrow in &house.graph.arrows {
        let Some(from) = room(&arrow.from) else {
            continue;
        };
        let to = arrow.to.as_str();
        let is_ours = house.graph.ours().any(|package| package.name == to);
        let in_tests = from.uses.contains(&to) || from.tests_use.contains(&to);
        let message = match arrow.kind {
            _ if !is_ours || from.uses.contains(&to) => continue,
            ArrowKind::Tests if in_tests => continue,
            ArrowKind::Tests => format!("its tests must not use {to}"),
            ArrowKind::Build if in_tests => format!("may use {to} in tests only: a [dev-dependencies] entry"),
            ArrowKind::Build => format!("must not depend on {to}"),
        };
        findings.push(Finding::error(&arrow.from, None, message));
    }
    findings
}

fn check_pure(house: &House) -> Vec<Finding> {
    let ways = NEVER_IN_CORE.iter().filter_map(|name| house.graph.way("core", name));
    let is_harmless = |way: &Vec<&str>| {
        let mut pair = way.iter().rev();
        let (to, from) = (pair.next(), pair.next());
        BROUGHT_ALONG
            .iter()
            .any(|(by, what, _)| from == Some(by) && to == Some(what))
    };
    ways.filter(|way| !is_harmless(way))
        .map(|way| {
            Finding::error(
                "core",
                None,
                format!("is built from what it must never hold: {}", way.join(" -> ")),
            )
        })
        .collect()
}

fn check_sources(house: &House) -> Vec<Finding> {
    let foreign = house
        .graph
        .others()
        .filter(|package| package.source.as_deref() != Some(REGISTRY));
    foreign
        .map(|package| {
            let source = package.source.as_deref().unwrap_or_default();
            Finding::error(
                &package.name,
                None,
                format!("comes from {source}; only the public registry will do"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::graph::Graph;
    use super::super::found_in;
    use super::*;

    fn arrows(of: &[&str]) -> Vec<String> {
        found_in(&ARROWS, &[], Graph::of(of, &[]))
    }

    #[test]
    fn arrows_that_turn_back_are_found() {
        assert_eq!(
            arrows(&["store -> core", "engine -tests-> store", "cli -> engine"]),
            [""; 0]
        );
        assert_eq!(arrows(&["core -> store"]), ["core: must not depend on store"]);
        assert_eq!(arrows(&["store -> agents"]), ["store: must not depend on agents"]);
        assert_eq!(
            arrows(&["engine -> store"]),
            ["engine: may use store in tests only: a [dev-dependencies] entry"]
        );
        assert_eq!(
            arrows(&["agents -tests-> engine"]),
            ["agents: its tests must not use engine"]
        );
        assert_eq!(arrows(&["server -> cli"]), ["server: must not depend on cli"]);
        assert_eq!(
            arrows(&["cli -> testkit"]),
            ["cli: may use testkit in tests only: a [dev-dependencies] entry"]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        assert_eq!(
            arrows(&["attic -> core"]),
            ["attic: is not in ROOMS; say there what it may use"]
        );
    }

    #[test]
    fn impurity_is_found_through_others() {
        let others = [
            ("serde", "1.0.0", None),
            ("yaml", "1.0.0", None),
            ("tokio", "1.0.0", None),
        ];
        let pure = Graph::of(&["core -> serde", "core -tests-> tokio"], &others);
        assert_eq!(found_in(&PURE, &[], pure), [""; 0]);
        let impure = Graph::of(&["core -> yaml", "yaml -> tokio"], &others);
        assert_eq!(
            found_in(&PURE, &[], impure),
            ["core: is built from what it must never hold: core -> yaml -> tokio"]
        );
    }

    #[test]
    fn packages_from_elsewhere_are_found() {
        let graph = Graph::of(&[], &[("a", "1.0.0", None), ("b", "1.0.0", None)]);
        let graph = graph.with_source("b", "git+https://example.com/b");
        assert_eq!(
            found_in(&SOURCES, &[], graph),
            ["b: comes from git+https://example.com/b; only the public registry will do"]
        );
    }
}
