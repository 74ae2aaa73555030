//! One layer of configuration: dotted paths with raw values, each knowing where it stands.
//!
//! A layer is a TOML file, the environment (`WHEELHOUSE__RETENTION__DAYS=7`) or the command line
//! (`--set retention.days=7`). It knows no key; [`super`] checks and merges.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Problem;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// `--set`, or an option that stands for a key.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value before anybody knows what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// An array of strings.
    List(Vec<String>),
    /// Anything else, as written.
    Other(String),
}

impl Raw {
    /// The number, also when it stands in a string (the environment has nothing else).
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Raw::Integer(number) => u64::try_from(*number).ok(),
            Raw::Text(text) => text.trim().parse().ok(),
            Raw::List(_) | Raw::Other(_) => None,
        }
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(text) => write!(f, "`{text}`"),
            Raw::Integer(number) => write!(f, "`{number}`"),
            Raw::List(names) => write!(f, "`[{}]`", names.join(", ")),
            Raw::Other(text) => write!(f, "`{text}`"),
        }
    }
}

/// A value with its place in the tree of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The names from the root.
    pub(crate) path: Vec<String>,
    /// What stands there.
    pub(crate) raw: Raw,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// Reads a TOML file's text. Every syntax error is a problem; what can be read is returned all the same.
pub(crate) fn file(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Leaf> {
    let origin = |span: Range<usize>| Origin::File {
        path: path.to_path_buf(),
        line: line_of(text, span.start),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        problems.push(Problem {
            origin: origin(error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        });
    }
    let mut leaves = Vec::new();
    walk(table.get_ref(), text, &mut Vec::new(), &origin, &mut leaves);
    // The table is sorted by name; problems are read from top to bottom.
    leaves.sort_by_key(|leaf| match &leaf.origin {
        Origin::File { line, .. } => *line,
        Origin::Default | Origin::Env(_) | Origin::CommandLine => 0,
    });
    leaves
}

fn walk(
    table: &DeTable<'_>,
    text: &str,
    path: &mut Vec<String>,
    origin: &dyn Fn(Range<usize>) -> Origin,
    leaves: &mut Vec<Leaf>,
) {
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => walk(inner, text, path, origin, leaves),
            other => leaves.push(Leaf {
                path: path.clone(),
                raw: raw(other, text.get(value.span()).unwrap_or_default()),
                origin: origin(name.span()),
            }),
        }
        path.pop();
    }
}

fn raw(value: &DeValue<'_>, written: &str) -> Raw {
    let other = || Raw::Other(written.split_whitespace().collect::<Vec<_>>().join(" "));
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Raw::Integer(number),
            Err(_) => other(),
        },
        DeValue::Array(items) => {
            let names: Option<Vec<String>> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                })
                .collect();
            names.map_or_else(other, Raw::List)
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => other(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// What the environment says: `WHEELHOUSE__A__B` is `a.b`. Names that users chose are matched to those in `known`
/// without regard to case and to `-` or `_`, since a variable can have neither.
pub(crate) fn environment(env: &BTreeMap<String, String>, known: &[Leaf]) -> Vec<Leaf> {
    let same = |a: &str, b: &str| a.to_lowercase().replace('-', "_") == b.to_lowercase().replace('-', "_");
    env.iter()
        .filter_map(|(name, value)| {
            let path = name.strip_prefix("WHEELHOUSE__")?;
            let mut path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            let user = matches!(path.first().map(String::as_str), Some("agents" | "accounts" | "roles"));
            if user && let Some(chosen) = path.get_mut(1) {
                let known = known.iter().filter_map(|leaf| leaf.path.get(1));
                if let Some(written) = known.into_iter().find(|written| same(written, chosen)) {
                    *chosen = written.clone();
                }
            }
            // The name of an environment variable for an agent keeps its case.
            if path.len() == 4 && path[0] == "agents" && path[2] == "env" {
                path[3] = name.rsplit("__").next().unwrap_or_default().to_owned();
            }
            Some(Leaf {
                path,
                raw: Raw::Text(value.clone()),
                origin: Origin::Env(name.clone()),
            })
        })
        .collect()
}

/// What `--set KEY=VALUE` says.
pub(crate) fn command_line(set: &[String], problems: &mut Vec<Problem>) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for text in set {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => leaves.push(Leaf {
                path: key.trim().split('.').map(str::to_owned).collect(),
                raw: value_or_text(value.trim()),
                origin: Origin::CommandLine,
            }),
            _ => problems.push(Problem {
                origin: Origin::CommandLine,
                message: format!("`--set {text}` is not KEY=VALUE; write for example `--set retry=0`"),
            }),
        }
    }
    leaves
}

/// Reads one TOML value.
pub(crate) fn value(text: &str) -> Option<Raw> {
    let document = format!("value = {text}");
    let table = DeTable::parse(&document).ok()?;
    let (_, value) = table.get_ref().iter().next()?;
    Some(raw(value.get_ref(), text))
}

/// Reads one TOML value; what is none is text as it stands, so that `--set default_agent=exec` needs no quotes.
fn value_or_text(text: &str) -> Raw {
    match value(text) {
        Some(raw @ (Raw::Text(_) | Raw::Integer(_) | Raw::List(_))) => raw,
        Some(Raw::Other(_)) | None => Raw::Text(text.to_owned()),
    }
}
