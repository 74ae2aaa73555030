//! Pages for people, and what no file may tell: links, machine paths, the gate's commands.

use std::collections::BTreeSet;

use super::super::tree::Tree;
use super::super::{Finding, House, Rule};
use crate::house::{PUBLIC_REGISTRIES, RECORDED};

/// Pages can be found.
pub(crate) const LINKED: Rule = Rule {
    name: "linked",
    says: "every page below docs/ is linked from README.md or docs/README.md",
    check: check_linked,
};

/// Links lead somewhere.
pub(crate) const DANGLING: Rule = Rule {
    name: "dangling",
    says: "links between pages lead to a file and a heading that exist",
    check: check_dangling,
};

/// Files tell nothing of the machine they were written on.
pub(crate) const MACHINE: Rule = Rule {
    name: "machine",
    says: "no file names a path or a host of somebody's machine or private network",
    check: check_machine,
};

/// The gate runs what the README says.
pub(crate) const GATE: Rule = Rule {
    name: "gate",
    says: ".ci/run runs the very test command that the README gives",
    check: check_gate,
};

/// Paths that exist on a machine, not in the product. Written in pieces, so this file is not found itself.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp", "/w")];

const INDEXES: [&str; 2] = ["README.md", "docs/README.md"];

fn check_linked(house: &House) -> Vec<Finding> {
    let linked: BTreeSet<String> = INDEXES
        .iter()
        .flat_map(|index| links(house.tree.text(index).unwrap_or_default()).map(|link| (*index, link)))
        .filter_map(|(index, link)| resolve(index, &link.target))
        .collect();
    let pages = house
        .tree
        .texts
        .keys()
        .filter(|path| path.starts_with("docs/") && path.ends_with(".md"));
    pages
        .filter(|page| !INDEXES.contains(&page.as_str()) && !is_recorded(page) && !linked.contains(*page))
        .map(|page| Finding::error(page, None, "is linked from neither README.md nor docs/README.md"))
        .collect()
}

fn check_dangling(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pages = house
        .tree
        .texts
        .iter()
        .filter(|(path, _)| path.ends_with(".md") && !is_recorded(path));
    for (page, text) in pages {
        for link in links(text).filter(|link| !is_outside(&link.target)) {
            let (_, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let message = match resolve(page, &link.target) {
                None => format!("the link `{}` leaves the repository", link.target),
                Some(target) if !house.tree.has(&target) => format!("the link `{}` leads nowhere", link.target),
                Some(target) if !has_heading(&house.tree, &target, anchor) => {
                    format!("the link `{}` names no heading of {target}", link.target)
                }
                Some(_) => continue,
            };
            findings.push(Finding::error(page, link.line, message));
        }
    }
    findings
}

fn check_machine(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in house.tree.texts.iter().filter(|(path, _)| !is_recorded(path)) {
        for (at, line) in text.lines().enumerate() {
            if let Some(place) = MACHINE_PATHS.iter().find(|place| names_path(line, place)) {
                findings.push(Finding::error(
                    path,
                    at + 1,
                    format!("names {place}, a path of one machine"),
                ));
            }
            if let Some(host) = hosts(line).find(|host| is_private(host)) {
                findings.push(Finding::error(
                    path,
                    at + 1,
                    format!("names {host}, a host of a private network"),
                ));
            }
        }
    }
    findings
}

fn check_gate(house: &House) -> Vec<Finding> {
    let readme = house.tree.text("README.md").unwrap_or_default();
    let Some(command) = readme
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("cargo test"))
    else {
        return vec![Finding::error(
            "README.md",
            None,
            "gives no line with the test command (cargo test …)",
        )];
    };
    let gate = house.tree.text(".ci/run").unwrap_or_default();
    if gate
        .lines()
        .any(|line| line.trim() == command || line.trim() == format!("run {command}"))
    {
        return Vec::new();
    }
    vec![Finding::error(
        ".ci/run",
        None,
        format!("does not run `{command}`, which README.md gives"),
    )]
}

struct Link {
    line: usize,
    target: String,
}

/// The targets of inline links and link definitions; code does not count.
fn links(text: &str) -> impl Iterator<Item = Link> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // The even pieces between backticks are prose.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose
            .match_indices("](")
            .filter_map(|(open, _)| prose[open + 2..].split(')').next());
        let defined = prose
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
            .map(|(_, target)| target);
        links.extend(
            inline
                .chain(defined)
                .filter_map(|target| target.split_whitespace().next())
                .map(|target| Link {
                    line: at + 1,
                    target: target.trim_matches(['<', '>']).to_owned(),
                }),
        );
    }
    links.into_iter()
}

fn is_outside(target: &str) -> bool {
    ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// The path from the root that a link on `page` leads to; none when it leads out of the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

fn has_heading(tree: &Tree, page: &str, anchor: &str) -> bool {
    if anchor.is_empty() || !page.ends_with(".md") {
        return true;
    }
    let headings = tree
        .text(page)
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with('#'));
    headings
        .map(|line| slug(line.trim_start_matches('#')))
        .any(|slug| slug == anchor)
}

/// The anchor that the usual renderers give a heading.
fn slug(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_recorded(path: &str) -> bool {
    RECORDED.iter().any(|folder| path.contains(folder))
}

/// Whether the line names that path from the root of a machine, or something below it.
fn names_path(line: &str, place: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}' | ')' | ']' | '*' | '>');
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(place).any(|(at, _)| {
        let is_start = !line[..at].chars().next_back().is_some_and(is_inner);
        let is_whole = place.ends_with('/') || !line[at + place.len()..].chars().next().is_some_and(goes_on);
        is_start && is_whole
    })
}

/// The hosts of all addresses in the line.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).filter_map(|rest| {
        let authority = rest
            .split(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '-' | ':' | '@' | '_'))
            .next()?;
        let host = authority.rsplit('@').next()?;
        host.split(':').next()
    })
}

fn is_private(host: &str) -> bool {
    let numbers: Vec<u8> = host.split('.').map_while(|part| part.parse().ok()).collect();
    let is_private_address = match numbers.as_slice() {
        [10, _, _, _] | [192, 168, _, _] => true,
        [172, second, _, _] => (16..32).contains(second),
        _ => false,
    };
    let is_private_name = [".internal", ".intranet", ".corp", ".lan"]
        .iter()
        .any(|end| host.ends_with(end));
    let is_mirror = ["artifactory", "mirror", "nexus", "proxy", "registry"]
        .iter()
        .any(|word| host.contains(word));
    is_private_address || is_private_name || is_mirror && !PUBLIC_REGISTRIES.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn pages_nobody_links_are_found() {
        let files = [
            ("README.md", "[words](docs/words.md)"),
            ("docs/README.md", "[one](decisions/0001.md#why) and `[not](lost.md)`"),
            ("docs/words.md", ""),
            ("docs/decisions/0001.md", ""),
            ("docs/lost.md", ""),
        ];
        assert_eq!(
            found(&LINKED, &files),
            ["docs/lost.md: is linked from neither README.md nor docs/README.md"]
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let page = "# One\n[a](gone.md) [b](../README.md) [c](#one) [d](https://example.com/x)\n```\n[e](no.md)\n```\n\
                    [f](words.md#two-words) [g](words.md#three) [h](../../out.md)\n[i]: missing.md\n[j](../docs)\n";
        let files = [
            ("README.md", ""),
            ("docs/one.md", page),
            ("docs/words.md", "## Two `words`!\n"),
        ];
        assert_eq!(
            found(&DANGLING, &files),
            [
                "docs/one.md:2: the link `gone.md` leads nowhere",
                "docs/one.md:6: the link `words.md#three` names no heading of docs/words.md",
                "docs/one.md:6: the link `../../out.md` leaves the repository",
                "docs/one.md:7: the link `missing.md` leads nowhere",
            ]
        );
    }

    #[test]
    fn machine_paths_are_found() {
        let bitten = |line: &str| found(&MACHINE, &[("notes.txt", line)]).len();
        for line in [
            concat!("cd /wo", "rk/main"),
            concat!("home: \"/ro", "ot/.cache\""),
            concat!("`/tmp", "/w/x`"),
            concat!("file:///wo", "rk/x"),
        ] {
            assert_eq!(bitten(line), 1, "{line}");
        }
        for line in [
            concat!("~/wo", "rk/main"),
            concat!("src/wo", "rk/x"),
            concat!("/tmp", "/wheelhouse"),
            concat!("$HOME/wo", "rk/"),
        ] {
            assert_eq!(bitten(line), 0, "{line}");
        }
        let recorded = concat!("\"cwd\":\"/ro", "ot/x\"");
        assert_eq!(
            found(&MACHINE, &[("crates/agents/tests/fixtures/a.jsonl", recorded)]),
            [""; 0]
        );
    }

    #[test]
    fn private_hosts_are_found() {
        let at = |host: &str| found(&MACHINE, &[("x.lock", &format!("from https{}{host}:8080/a", "://"))]).len();
        for host in [
            "10.1.2.3",
            "192.168.0.1",
            "172.20.0.1",
            "build.corp",
            "npm-registry",
            "user@mirror.example.com",
        ] {
            assert_eq!(at(host), 1, "{host}");
        }
        for host in [
            "127.0.0.1",
            "172.40.0.1",
            "registry.npmjs.org",
            "example.com",
            "localhost",
        ] {
            assert_eq!(at(host), 0, "{host}");
        }
    }

    #[test]
    fn a_gate_that_tests_something_else_is_found() {
        let readme = "Tests:\n\n```sh\ncargo test --workspace\n```\n";
        let gate = |run: &str| found(&GATE, &[("README.md", readme), (".ci/run", run)]);
        assert_eq!(gate("set -e\ncargo test --workspace\n"), [""; 0]);
        assert_eq!(
            gate("cargo test --workspace --lib\n"),
            [".ci/run: does not run `cargo test --workspace`, which README.md gives"]
        );
        assert_eq!(found(&GATE, &[("README.md", "")]).len(), 1);
    }
}
