//! The chores of the house: `cargo xtask tidy`.
//!
//! Run by `.ci/run` and by people, through the alias in `.cargo/config.toml`. Looks at the repository and reports;
//! it changes nothing. The lists it goes by are in [`house`], each entry with its reason.

mod house;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

chores:
  tidy          check the house: arrows between crates, bans, sizes, names, pages, licences, duplicates
  tidy --rules  say which rules there are and why
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

fn tidy_here() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match tidy::run(root) {
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
