//! The pages that are generated: written anew from the program they describe, or compared with it.
//!
//! `cargo xtask docs` writes them, `cargo xtask docs --check` is for the gate. Their texts belong to the command line
//! (`wheelhouse docs …`, `wheelhouse plan schema`); nothing is worded here.

use std::path::Path;
use std::process::Command;

/// A page and the words that make `wheelhouse` print it.
struct Page {
    path: &'static str,
    words: &'static [&'static str],
}

const PAGES: &[Page] = &[
    Page {
        path: "docs/cli.md",
        words: &["docs", "cli"],
    },
    Page {
        path: "docs/exit-codes.md",
        words: &["docs", "exit-codes"],
    },
    Page {
        path: "docs/configuration.md",
        words: &["docs", "configuration"],
    },
    Page {
        path: "docs/schema/plan.json",
        words: &["plan", "schema"],
    },
];

/// What to do with pages that are not current.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Write them.
    Write,
    /// Only name them.
    Check,
}

/// Goes through all pages; gives back those that were not current.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<Vec<&'static str>, String> {
    let mut stale = Vec::new();
    for page in PAGES {
        let text = print(root, page.words)?;
        if renew(&root.join(page.path), &text, mode)? {
            stale.push(page.path);
        }
    }
    Ok(stale)
}

/// What the program prints.
fn print(root: &Path, words: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--locked", "--package", "wheelhouse-cli", "--"])
        .args(words)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && !output.stdout.is_empty() {
        true => Ok(output.stdout),
        false => Err(format!(
            "`wheelhouse {}` printed no page: {}",
            words.join(" "),
            said.trim()
        )),
    }
}

/// Whether the file differed from what it should be; after [`Mode::Write`] it does not any more.
fn renew(path: &Path, text: &[u8], mode: Mode) -> Result<bool, String> {
    if std::fs::read(path).is_ok_and(|found| found == text) {
        return Ok(false);
    }
    if mode == Mode::Write {
        let folder = path.parent().unwrap_or(path);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(path, text))
            .map_err(|error| format!("{} could not be written: {error}", path.display()))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_once_and_compared() {
        let folder = std::env::temp_dir().join(format!("wheelhouse-xtask-{}", std::process::id()));
        let page = folder.join("deep/page.md");
        assert_eq!(renew(&page, b"new", Mode::Check), Ok(true));
        assert!(!page.exists());
        assert_eq!(renew(&page, b"new", Mode::Write), Ok(true));
        assert_eq!(renew(&page, b"new", Mode::Check), Ok(false));
        assert_eq!(renew(&page, b"newer", Mode::Check), Ok(true));
        assert_eq!(std::fs::read(&page).unwrap(), b"new");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
