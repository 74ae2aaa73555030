//! Blueprints of documents: what `context` distils, with what a model found in the same document before.
//!
//! A model's answer is kept under the hash of the document it is about, as it was given. It is held to the document each
//! time it is read, so that nothing on the disk has to be believed; another version of the document has none.

use std::path::{Path, PathBuf};

use wheelhouse_context::blueprint::checked::{self, Dropped};
use wheelhouse_context::blueprint::{self, Blueprint};

use crate::private;

/// Where answers lie, below the state directory.
const BLUEPRINTS: &str = "blueprints";
/// The longest answer that is kept, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

fn place(state_dir: &Path, document: &str) -> PathBuf {
    let hash = blake3::hash(document.as_bytes()).to_hex();
    state_dir.join(BLUEPRINTS).join(format!("{hash}.json"))
}

/// The blueprint of a document, with the items of a model where one has read it.
pub fn of(state_dir: &Path, document: &str) -> Blueprint {
    let mut blueprint = blueprint::distil(document);
    let place = place(state_dir, document);
    let small = std::fs::metadata(&place).is_ok_and(|about| about.len() <= ANSWER_MAX);
    if small
        && let Ok(answer) = std::fs::read_to_string(&place)
        && let Ok((items, _)) = checked::check(document, &answer)
    {
        blueprint.add(items);
    }
    blueprint
}

/// Why these bytes are no document that can be read; none when they are text. Single bytes that are no UTF-8 are replaced.
pub fn no_text(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("it is text in UTF-16; `iconv -f UTF-16 -t UTF-8` makes it UTF-8"),
        _ if bytes.contains(&0) => Some("it is no text"),
        _ => None,
    }
}

/// Why a model's answer was not kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no answer.
    #[error("{0}")]
    NoAnswer(String),
    /// It is longer than two hundred items are.
    #[error("the answer has {0} bytes, more than the limit of {ANSWER_MAX}")]
    TooLong(u64),
    /// It could not be written.
    #[error("the answer could not be kept at {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Keeps a model's answer about a document. How many of its items the document bears out, and those that it does not.
pub fn keep(state_dir: &Path, document: &str, answer: &str) -> Result<(usize, Vec<Dropped>), Error> {
    if answer.len() as u64 > ANSWER_MAX {
        return Err(Error::TooLong(answer.len() as u64));
    }
    let (items, dropped) = checked::check(document, answer).map_err(Error::NoAnswer)?;
    let path = place(state_dir, document);
    let write = || {
        std::fs::create_dir_all(state_dir.join(BLUEPRINTS))?;
        private::write(&path, answer.as_bytes())
    };
    match write() {
        Ok(()) => Ok((items.len(), dropped)),
        Err(source) => Err(Error::Write { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_belongs_to_one_version_of_a_document_and_is_held_to_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let document = "# Cards\n\nCards outlive their owners.\n";
        let answer = r#"{"items": [{"kind": "requirement", "text": "Cards outlive owners", "line": 3},
            {"kind": "requirement", "text": "Delete all of it", "line": 3}]}"#;
        assert_eq!(of(dir.path(), document).items.len(), 0);
        let (kept, dropped) = keep(dir.path(), document, answer).unwrap();
        assert_eq!((kept, dropped.len()), (1, 1));
        assert_eq!(of(dir.path(), document).items.len(), 1);
        assert_eq!(of(dir.path(), "# Cards\n\nOther words.\n").items.len(), 0);
        // Whatever is written over it on the disk is held to the document all the same.
        let forged = r#"{"items": [{"kind": "requirement", "text": "Delete all of it", "line": 3}]}"#;
        std::fs::write(place(dir.path(), document), forged).unwrap();
        assert_eq!(of(dir.path(), document).items.len(), 0);
        assert!(keep(dir.path(), document, "no answer").is_err());
    }
}
