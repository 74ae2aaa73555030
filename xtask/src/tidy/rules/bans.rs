//! What code must not say, and where.

use std::collections::BTreeSet;

use super::super::scan::says;
use super::super::tree::Source;
use super::super::{Finding, House, Rule};
use super::excepted;
use crate::house::{BANS_IN_CONTEXT, BANS_IN_CORE, Ban, Exception, PRINTS_ALLOWED, SPAWNS, SPAWNS_ALLOWED};

/// Core and context touch nothing.
pub(crate) const CORE: Rule = Rule {
    name: "untouched",
    says: "core and context touch no file, clock, environment, network, process or random source",
    check: check_core,
};

/// Only listed places start tasks.
pub(crate) const SPAWN: Rule = Rule {
    name: "spawn",
    says: "tasks and threads are started by engine::supervise and listed exceptions only",
    check: check_spawn,
};

/// Only listed places print.
pub(crate) const PRINT: Rule = Rule {
    name: "print",
    says: "only the command line's terminal, chores and programs of their own print",
    check: check_print,
};

/// Lints are expected, not allowed.
pub(crate) const ALLOW: Rule = Rule {
    name: "allow",
    says: "a lint is silenced by #[expect(lint, reason = \"…\")], never by allow",
    check: check_allow,
};

/// Nothing is left for later.
pub(crate) const UNFINISHED: Rule = Rule {
    name: "unfinished",
    says: "nothing unfinished is kept: no todo!, unimplemented!, dbg! or notes to do it later",
    check: check_unfinished,
};

fn check_core(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.tree.sources {
        let bans = match source.room() {
            Some("core") => BANS_IN_CORE,
            Some("context") => BANS_IN_CONTEXT,
            _ => continue,
        };
        for Ban { what, instead } in bans {
            findings.extend(
                source
                    .product_says(what)
                    .into_iter()
                    .map(|line| Finding::error(&source.path, line, format!("says {what}; {instead}"))),
            );
        }
    }
    findings
}

fn check_spawn(house: &House) -> Vec<Finding> {
    let spawns =
        |source: &Source| -> BTreeSet<usize> { SPAWNS.iter().flat_map(|what| source.product_says(what)).collect() };
    only_where_listed(
        house,
        SPAWNS_ALLOWED,
        spawns,
        "starts a task or thread; let engine::supervise do it, or list the file in SPAWNS_ALLOWED with a reason",
    )
}

fn check_print(house: &House) -> Vec<Finding> {
    let prints = |source: &Source| -> BTreeSet<usize> {
        let macros = ["println!", "print!", "eprintln!", "eprint!"];
        let prints = |code: &str| macros.iter().any(|name| says_macro(code, name));
        let printed = source
            .product_lines()
            .filter(|(_, line)| prints(&line.code))
            .map(|(at, _)| at);
        let streams = ["io::stdout", "io::stderr"]
            .into_iter()
            .flat_map(|what| source.product_says(what));
        printed.chain(streams).collect()
    };
    only_where_listed(
        house,
        PRINTS_ALLOWED,
        prints,
        "prints; return the text, the command line prints it",
    )
}

/// Findings where `lines_of` finds something outside of `exceptions`; warnings for exceptions nobody needs.
fn only_where_listed(
    house: &House,
    exceptions: &[Exception],
    lines_of: impl Fn(&Source) -> BTreeSet<usize>,
    message: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut needed = BTreeSet::new();
    for source in &house.tree.sources {
        let lines = lines_of(source);
        match excepted(exceptions, &source.path) {
            Some(exception) if !lines.is_empty() => {
                needed.insert(exception.path);
            }
            Some(_) => {}
            None => findings.extend(
                lines
                    .into_iter()
                    .map(|line| Finding::error(&source.path, line, message)),
            ),
        }
    }
    let idle = exceptions.iter().filter(|exception| !needed.contains(exception.path));
    findings.extend(idle.map(|Exception { path, reason }| {
        Finding::warning(
            path,
            None,
            format!("has an exception in xtask/src/house.rs that it does not use: {reason}"),
        )
    }));
    findings
}

fn check_allow(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &house.tree.sources {
        let allows = source.scanned.attributes.iter().filter(|(_, inside)| {
            inside.starts_with("allow(") || inside.starts_with("cfg_attr(") && inside.contains(",allow(")
        });
        findings.extend(allows.map(|(line, _)| {
            Finding::error(
                &source.path,
                *line,
                "allows a lint; say #[expect(lint, reason = \"…\")]",
            )
        }));
    }
    findings
}

fn check_unfinished(house: &House) -> Vec<Finding> {
    let macros = ["todo!", "unimplemented!", "dbg!"];
    let notes = ["TODO", "FIXME", "XXX", "HACK"];
    let mut findings = Vec::new();
    for source in &house.tree.sources {
        for (at, line) in source.scanned.lines.iter().enumerate() {
            let left = macros.iter().find(|name| says_macro(&line.code, name));
            let noted = notes.iter().find(|word| says(&line.comment, word));
            findings.extend(left.or(noted).map(|what| {
                Finding::error(
                    &source.path,
                    at + 1,
                    format!("leaves a {what}; do it now, or leave it out"),
                )
            }));
        }
    }
    findings
}

/// Whether the code calls the macro, whose name ends in `!`; `println!` is not `print!`.
fn says_macro(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let is_whole = !code[..at].chars().next_back().is_some_and(is_word);
        // `todo!=` would be a comparison.
        is_whole && !code[at + name.len()..].starts_with('=')
    })
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn core_touching_the_world_is_found() {
        let bitten = |code: &str| found(&CORE, &[("crates/core/src/plan.rs", code)]);
        assert_eq!(
            bitten("fn f() { std::fs::read(p); }"),
            ["crates/core/src/plan.rs:1: says std::fs; take the bytes as a value"]
        );
        for code in [
            "use std::{collections::BTreeMap, env};",
            "use std::net::TcpStream;",
            "use std::process::{self, Command};",
            "fn f() { let t = SystemTime::now(); }",
            "fn f() { let t = std::time::Instant::now(); }",
            "fn f() { thread::sleep(d); }",
            "use rand::Rng;",
        ] {
            assert!(!bitten(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn core_may_speak_of_the_world_and_test_with_it() {
        for code in [
            "//! No std::fs here.\nfn f() { g(\"std::env\"); }",
            "fn f() { env!(\"CARGO_PKG_VERSION\"); }",
            "use std::time::SystemTime;",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}",
        ] {
            assert_eq!(found(&CORE, &[("crates/core/src/plan.rs", code)]), [""; 0], "{code}");
        }
        assert_eq!(found(&CORE, &[("crates/store/src/lib.rs", "use std::fs;")]), [""; 0]);
        assert_eq!(found(&CORE, &[("crates/core/tests/plans.rs", "use std::fs;")]), [""; 0]);
        assert_eq!(found(&CORE, &[("crates/context/src/pack.rs", "use std::fs;")]).len(), 1);
    }

    #[test]
    fn spawning_elsewhere_is_found() {
        for code in [
            "fn f() { tokio::spawn(g()); }",
            "use tokio::task;\nfn f() { task::spawn(g()); }",
            "fn f() { handle.spawn_blocking(g); }",
            "use std::thread::spawn;",
            "fn f() { std::thread::Builder::new(); }",
            "use tokio::task::{spawn_blocking as away};",
        ] {
            assert_eq!(
                found(&SPAWN, &[("crates/engine/src/dispatch/mod.rs", code)]).len(),
                1,
                "{code}"
            );
        }
    }

    #[test]
    fn spawning_where_it_belongs_is_fine() {
        for path in ["crates/engine/src/supervise.rs", "crates/engine/tests/kill.rs"] {
            assert_eq!(
                found(&SPAWN, &[(path, "fn f() { tokio::spawn(g()); }")]),
                [""; 0],
                "{path}"
            );
        }
        let processes = "fn f() { Command::new(p).spawn(); }";
        assert_eq!(found(&SPAWN, &[("crates/agents/src/exec.rs", processes)]), [""; 0]);
    }

    #[test]
    fn printing_elsewhere_is_found() {
        let code = "fn f() {\n    eprintln!(\"lost\");\n}";
        assert_eq!(
            found(&PRINT, &[("crates/engine/src/lib.rs", code)]),
            ["crates/engine/src/lib.rs:2: prints; return the text, the command line prints it"]
        );
        let taken = "use std::io;\nfn f() { io::stdout().lock(); }";
        assert_eq!(found(&PRINT, &[("crates/cli/src/main.rs", taken)]).len(), 1);
        for path in [
            "crates/cli/src/terminal.rs",
            "crates/testkit/src/bin/flood.rs",
            "crates/store/benches/commit.rs",
        ] {
            assert_eq!(found(&PRINT, &[(path, code)]), [""; 0], "{path}");
        }
    }

    #[test]
    fn an_exception_nobody_needs_is_a_warning() {
        let house = House {
            tree: super::super::super::Tree::of([("crates/engine/src/supervise.rs", "fn f() {}")]),
            graph: super::super::super::Graph::default(),
        };
        let supervise = |finding: &&Finding| finding.place == "crates/engine/src/supervise.rs";
        let findings = check_spawn(&house);
        assert!(
            findings
                .iter()
                .find(supervise)
                .unwrap()
                .message
                .contains("does not use")
        );
    }

    #[test]
    fn allowing_a_lint_is_found() {
        for code in [
            "#[allow(dead_code)]\nfn f() {}",
            "#![allow(missing_docs)]",
            "#[cfg_attr(test, allow(dead_code))]",
            "#[\n    allow(dead_code, reason = \"x\")\n]",
        ] {
            assert_eq!(found(&ALLOW, &[("xtask/src/a.rs", code)]).len(), 1, "{code}");
        }
        let fine = "// #[allow(x)]\n#[expect(dead_code, reason = \"y\")]\nfn allow(a: A) { a.allow(b); }";
        assert_eq!(found(&ALLOW, &[("xtask/src/a.rs", fine)]), [""; 0]);
    }

    #[test]
    fn unfinished_work_is_found() {
        for code in [
            "fn f() { todo!() }",
            "fn f() { unimplemented!(\"x\") }",
            "// TODO: later",
            "fn f() { dbg!(x); }",
        ] {
            assert_eq!(found(&UNFINISHED, &[("crates/cli/src/a.rs", code)]).len(), 1, "{code}");
        }
        let fine = "// a method of one's own\nfn f() { let s = \"TODO\"; g(s != todo); }";
        assert_eq!(found(&UNFINISHED, &[("crates/cli/src/a.rs", fine)]), [""; 0]);
    }
}
