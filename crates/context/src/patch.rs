//! Patches instead of rewritten files: what a model wants changed, checked against the files as they are, and given back
//! as whole new contents. Nothing is written here, and nothing is given back unless all of it applies.
//!
//! Three forms: the envelope of `apply_patch` ([`envelope`]), search and replace ([`replace`]), RFC 6902 for JSON
//! ([`json`]); [`answer`] finds them among a model's other words. Paths never leave the tree.

pub mod answer;
pub mod envelope;
pub mod json;

use std::collections::BTreeMap;

/// What becomes of files: their new content, or none when they are deleted.
pub type Changes = BTreeMap<String, Option<String>>;

/// Why a patch was not applied.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejected {
    /// The text is no patch.
    #[error("line {line} of the patch: {why}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It does not fit the file as it is.
    #[error("{path}: {why}; read the file again and make the patch anew")]
    DoesNotFit {
        /// The file.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// The file changed since it was read.
    #[error("{path} changed since it was read (it was {expected}, it is {found}); read it again")]
    Stale {
        /// The file.
        path: String,
        /// The hash it was to have.
        expected: String,
        /// The hash it has.
        found: String,
    },
    /// There is no patch.
    #[error("there is no patch in it")]
    Nothing,
    /// It would leave the tree.
    #[error("`{0}` is no path inside the tree")]
    Outside(String),
}

/// A relative path with `/` that stays inside, or nothing.
pub fn inside(path: &str) -> Result<String, Rejected> {
    let outside = || Rejected::Outside(path.to_owned());
    let odd = path.is_empty() || path.starts_with('/') || path.contains(['\\', '\0', '\n', '\r', ':']);
    let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
    let bad_part = parts
        .iter()
        .any(|part| part.is_empty() || *part == ".." || part.eq_ignore_ascii_case(".git"));
    if odd || bad_part || parts.is_empty() {
        return Err(outside());
    }
    Ok(parts.join("/"))
}

/// Checks that a file is still what it was when it was read, by its BLAKE3 hash (a prefix of eight digits is enough).
pub fn fresh(path: &str, content: &[u8], expected: &str) -> Result<(), Rejected> {
    let found = blake3::hash(content).to_hex().to_string();
    if expected.len() >= 8 && found.starts_with(&expected.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Rejected::Stale {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
    })
}

/// Replaces the one place where `search` stands. A second look ignores white space around lines.
pub fn replace(path: &str, content: &str, search: &str, with: &str) -> Result<String, Rejected> {
    let fails = |why: &str| Rejected::DoesNotFit {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    if search.trim().is_empty() {
        return Err(fails("there is nothing to search for"));
    }
    match content.matches(search).count() {
        1 => return Ok(content.replacen(search, with, 1)),
        0 => {}
        many => {
            return Err(fails(&format!(
                "the text to replace stands there {many} times; add lines around it"
            )));
        }
    }
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    let wanted: Vec<&str> = search.trim_matches('\n').lines().map(str::trim).collect();
    let fits = |at: &usize| {
        lines[*at..*at + wanted.len()]
            .iter()
            .zip(&wanted)
            .all(|(a, b)| a.trim() == *b)
    };
    let places: Vec<usize> = (0..(lines.len() + 1).saturating_sub(wanted.len()))
        .filter(fits)
        .collect();
    match places.as_slice() {
        [at] => {
            let newline = if with.is_empty() || with.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            let before = lines[..*at].concat();
            let after = lines[at + wanted.len()..].concat();
            Ok(format!("{before}{with}{newline}{after}"))
        }
        [] => Err(fails("the text to replace is not there")),
        many => Err(fails(&format!(
            "the text to replace stands there {} times; add lines around it",
            many.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(inside("./a/b.rs").unwrap(), "a/b.rs");
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "C:\\x",
            ".git/hooks/x",
            "a/.GIT/y",
            ".",
            "a\nb",
        ] {
            assert_eq!(inside(path), Err(Rejected::Outside(path.to_owned())), "{path:?}");
        }
    }

    #[test]
    fn the_one_place_is_replaced_and_no_other() {
        assert_eq!(replace("f", "a\nb\nc\n", "b", "x").unwrap(), "a\nx\nc\n");
        assert_eq!(
            replace("f", "if x {\n    go();\n}\n", "go();\n}", "stop();\n}").unwrap(),
            "if x {\n    stop();\n}\n"
        );
        assert_eq!(
            replace("f", "\tgo( 1 );  \nend\n", "go( 1 );\nend", "stop").unwrap(),
            "stop\n"
        );
        for (search, why) in [("a", "2 times"), ("zz", "not there"), (" \n", "nothing to search")] {
            let error = replace("f", "a\na\n", search, "x").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_stale_file_is_left_alone() {
        let hash = blake3::hash(b"x").to_hex().to_string();
        assert!(fresh("f", b"x", &hash[..12]).is_ok());
        assert!(matches!(fresh("f", b"y", &hash), Err(Rejected::Stale { .. })));
        assert!(fresh("f", b"x", "").is_err());
    }
}
