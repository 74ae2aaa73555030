//! The port through which this room reads files. The command line and the engine stand behind it with a real tree;
//! tests with a map.

use std::collections::BTreeMap;

/// A tree of files, read only. Paths are relative, with `/`, and never leave the tree.
pub trait Files {
    /// The bytes of one file.
    fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable>;
}

/// Why a file could not be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not there (any more).
    #[error("{0} is not there")]
    Missing(String),
    /// It is larger than whoever stands behind the port reads.
    #[error("{path} has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The path leaves the tree, through `..`, an absolute path or a link.
    #[error("{0} is outside of the tree")]
    Outside(String),
    /// Reading failed.
    #[error("{path} could not be read: {why}")]
    Failed {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
}

impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
        self.get(path)
            .cloned()
            .ok_or_else(|| Unreadable::Missing(path.to_owned()))
    }
}
