//! Recordings of real programs, read for tests: first line the command, then one object for each line of traffic.

use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

/// One recording.
pub(crate) struct Recording {
    /// Its file name without the ending.
    pub(crate) name: String,
    /// Its traffic.
    pub(crate) entries: Vec<Entry>,
}

/// One line of traffic.
pub(crate) struct Entry {
    /// Which way it went.
    pub(crate) source: Source,
    /// The line as it was.
    pub(crate) line: String,
}

/// Which way a line went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The program said it.
    Out,
    /// The host said it.
    In,
    /// Anything else.
    Other,
}

#[derive(serde::Deserialize)]
struct Line<'a> {
    s: String,
    #[serde(borrow)]
    j: Option<&'a RawValue>,
    l: Option<String>,
}

/// Where the recordings are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

impl Recording {
    /// All whose name begins so, in order.
    pub(crate) fn all(prefix: &str) -> Vec<Recording> {
        let mut names: Vec<String> = std::fs::read_dir(directory())
            .expect("recordings")
            .filter_map(|entry| entry.expect("entry").file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(".jsonl")?.to_owned()))
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        assert!(!names.is_empty(), "no recordings for {prefix}");
        names.iter().map(|name| Recording::named(name)).collect()
    }

    /// One of them.
    pub(crate) fn named(name: &str) -> Recording {
        let path = directory().join(format!("{name}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let entries = text.lines().skip(1).map(|line| {
            let line: Line<'_> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            Entry {
                source: match line.s.as_str() {
                    "out" => Source::Out,
                    "in" => Source::In,
                    _ => Source::Other,
                },
                line: line
                    .j
                    .map_or_else(|| line.l.unwrap_or_default(), |json| json.get().to_owned()),
            }
        });
        Recording {
            name: name.to_owned(),
            entries: entries.collect(),
        }
    }
}
