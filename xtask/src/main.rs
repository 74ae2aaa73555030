//! The chores of the house: `cargo xtask tidy` checks it, `cargo xtask docs` writes the generated pages.
//!
//! Run by `.ci/run` and by people, through the alias in `.cargo/config.toml`. The lists that the check goes by are in
//! [`house`], each entry with its reason.

mod bench;
mod docs;
mod house;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

chores:
  tidy          check the house: arrows between crates, bans, sizes, names, pages, licences, duplicates
  tidy --rules  say which rules there are and why
  docs          write the generated pages below docs/ anew
  docs --check  say which of them are not current
  bench NAME    measure, on other people's data or for speed; without a NAME say which there are
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy_here(),
        ["tidy", "--rules"] => {
            print!("{}", tidy::explain());
            ExitCode::SUCCESS
        }
        ["docs"] => write_docs(docs::Mode::Write),
        ["docs", "--check"] => write_docs(docs::Mode::Check),
        ["bench"] => {
            print!("{}", bench::explain());
            ExitCode::SUCCESS
        }
        ["bench", name, rest @ ..] => bench::run(root(), name, rest),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        [] => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
        other => {
            eprintln!("there is no chore `{}`\n", other.join(" "));
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn write_docs(mode: docs::Mode) -> ExitCode {
    let stale = match docs::run(root(), mode) {
        Ok(stale) => stale,
        Err(problem) => {
            eprintln!("the pages could not be made: {problem}");
            return ExitCode::from(2);
        }
    };
    for page in &stale {
        match mode {
            docs::Mode::Write => eprintln!("{page} is new"),
            docs::Mode::Check => eprintln!("{page} is not current; run `cargo xtask docs`"),
        }
    }
    if mode == docs::Mode::Check && !stale.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn tidy_here() -> ExitCode {
    match tidy::run(root()) {
        Ok(report) => {
            eprint!("{report}");
            if report.errors() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(problem) => {
            eprintln!("the house could not be read: {problem}");
            ExitCode::from(2)
        }
    }
}
