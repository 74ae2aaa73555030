//! A merge that did not go through: which files, and what both sides wrote.

use std::fmt;

/// How much of the conflicting text is kept, in bytes: enough to decide by, little enough to hand to a model.
pub const HUNKS_MAX: usize = 8_000;
/// How many files have their hunks shown.
pub(crate) const FILES_SHOWN_MAX: usize = 50;

/// Two sides that do not go together. Both are kept as they were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// What it was to be merged into.
    pub ours: String,
    /// What was to be merged.
    pub theirs: String,
    /// The files that conflict.
    pub files: Vec<ConflictedFile>,
    /// The conflicting hunks with `FILE:LINE` above each, bounded.
    pub hunks: String,
}

/// A file that conflicts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictedFile {
    /// The file, relative to the project.
    pub path: String,
    /// The kind, in git's words: `content`, `modify/delete`, `add/add`, `rename/rename` …
    pub kind: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("{} ({})", file.path, file.kind))
            .collect();
        write!(f, "{} and {} conflict in {}", self.theirs, self.ours, files.join(", "))?;
        if !self.hunks.is_empty() {
            write!(f, "\n\n{}", self.hunks)?;
        }
        Ok(())
    }
}

/// What `merge-tree -z` says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MergeTree {
    pub(crate) tree: String,
    /// Paths with stages in the index, as git has them, each once.
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) messages: Vec<Message>,
}

/// What git says about one conflict.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) paths: Vec<Vec<u8>>,
    /// `CONFLICT (contents)`, `Auto-merging` …
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// `TREE`, then `MODE OBJECT STAGE\tPATH` records, an empty one, and messages: a count, so many paths, kind, text.
pub(crate) fn parse<'a>(mut records: impl Iterator<Item = &'a [u8]>) -> MergeTree {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut found = MergeTree {
        tree: records.next().map(text).unwrap_or_default(),
        ..MergeTree::default()
    };
    for record in records.by_ref() {
        let Some(tab) = record.iter().position(|byte| *byte == b'\t') else {
            break;
        };
        let path = record[tab + 1..].to_owned();
        if found.paths.last() != Some(&path) {
            found.paths.push(path);
        }
    }
    while let Some(count) = records.next().and_then(|count| text(count).parse::<usize>().ok()) {
        let paths = records.by_ref().take(count).map(<[u8]>::to_owned).collect();
        let (Some(kind), Some(words)) = (records.next(), records.next()) else {
            break;
        };
        found.messages.push(Message {
            paths,
            kind: text(kind),
            text: text(words),
        });
    }
    found
}

impl MergeTree {
    /// The kind of a path's conflict, in a word.
    pub(crate) fn kind(&self, path: &[u8]) -> String {
        let about =
            |message: &&Message| message.kind.starts_with("CONFLICT") && message.paths.iter().any(|one| one == path);
        let kind = self
            .messages
            .iter()
            .find(about)
            .map(|message| message.kind.as_str())
            .unwrap_or("CONFLICT (content)");
        let inner = kind
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map_or("content", |(inner, _)| inner);
        if inner == "contents" {
            "content".to_owned()
        } else {
            inner.to_owned()
        }
    }

    /// What git says about a path's conflict.
    pub(crate) fn words(&self, path: &[u8]) -> String {
        let about = self
            .messages
            .iter()
            .filter(|message| message.paths.iter().any(|one| one == path));
        let conflicts = about.filter(|message| message.kind.starts_with("CONFLICT"));
        conflicts
            .map(|message| message.text.trim())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The parts of a file between conflict markers, with the names of the sides in place of their commits.
pub(crate) fn hunks(path: &str, merged: &str, sides: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut inside = false;
    for (number, line) in merged.lines().enumerate() {
        if !inside && line.starts_with("<<<<<<< ") {
            inside = true;
            out.push_str(&format!("{path}:{}\n", number + 1));
        }
        if inside {
            let mut line = line.to_owned();
            if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
                for (commit, name) in sides {
                    line = line.replace(commit, name);
                }
            }
            out.push_str(&line);
            out.push('\n');
            inside = !line.starts_with(">>>>>>> ");
        }
    }
    out
}

/// All hunks, within the limit.
pub(crate) fn joined(hunks: &[String]) -> String {
    crate::prepare::bounded(hunks.join("\n").trim_end(), HUNKS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_merge_tree_says() {
        let said: &[u8] = b"abc123\x00100644 1 1\ta b.txt\x00100644 2 2\ta b.txt\x00100644 3 3\ta b.txt\x00\x001\x00a b.txt\x00Auto-merging\x00Auto-merging a b.txt\n\x001\x00a b.txt\x00CONFLICT (contents)\x00CONFLICT (content): Merge conflict in a b.txt\n";
        let found = parse(said.split(|byte| *byte == 0));
        assert_eq!(found.tree, "abc123");
        assert_eq!(found.paths, [b"a b.txt".to_vec()]);
        assert_eq!(found.kind(b"a b.txt"), "content");
        assert_eq!(found.words(b"a b.txt"), "CONFLICT (content): Merge conflict in a b.txt");
    }

    #[test]
    fn hunks_with_their_lines_and_names() {
        let merged = "one\n<<<<<<< aaa\nours\n=======\ntheirs\n>>>>>>> bbb\nlast\n";
        let found = hunks("f", merged, &[("aaa", "left"), ("bbb", "right")]);
        assert_eq!(found, "f:2\n<<<<<<< left\nours\n=======\ntheirs\n>>>>>>> right\n");
    }
}
