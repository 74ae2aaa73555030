//! What the files were before: copies of them, and how we left them, so that everything can be undone byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::place::write_private;

/// The record of one scope.
#[derive(Debug)]
pub(crate) struct Record {
    directory: PathBuf,
    files: BTreeMap<PathBuf, Kept>,
}

/// What is known of one file.
#[derive(Serialize, Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// The hash of its bytes before; none when it was not there. The copy bears it as its name.
    pub(crate) before: Option<String>,
    /// The hash of its bytes as we left them.
    pub(crate) after: String,
    /// The agents for which it was changed.
    pub(crate) clients: BTreeSet<String>,
}

impl Record {
    /// Reads the record of a directory; one that is not there is empty.
    pub(crate) fn open(directory: &Path) -> io::Result<Record> {
        let files = match fs::read(directory.join("record.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Record {
            directory: directory.to_owned(),
            files,
        })
    }

    /// What is known of a file.
    pub(crate) fn get(&self, path: &Path) -> Option<&Kept> {
        self.files.get(path)
    }

    /// The bytes of a file before, when they are kept.
    pub(crate) fn before(&self, hash: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.directory.join(hash))?;
        match hash_of(&bytes) == hash {
            true => Ok(bytes),
            false => Err(io::Error::other("the copy is damaged")),
        }
    }

    /// Remembers a change that is about to be made. `before` is what the file is without ours.
    pub(crate) fn remember(
        &mut self,
        path: &Path,
        before: Option<&[u8]>,
        after: &[u8],
        client: &str,
    ) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let before = before.map(|bytes| (hash_of(bytes), bytes));
        if let Some((hash, bytes)) = &before {
            write_private(&self.directory.join(hash), bytes)?;
        }
        let kept = self.files.entry(path.to_owned()).or_default();
        kept.before = before.map(|(hash, _)| hash);
        kept.after = hash_of(after);
        kept.clients.insert(client.to_owned());
        self.save()
    }

    /// One more agent for which a file is as it should be already.
    pub(crate) fn share(&mut self, path: &Path, client: &str) -> io::Result<()> {
        let new = self
            .files
            .get_mut(path)
            .is_some_and(|kept| kept.clients.insert(client.to_owned()));
        if new { self.save() } else { Ok(()) }
    }

    /// Forgets an agent's part in a file, and the file with the last of them.
    pub(crate) fn forget(&mut self, path: &Path, client: &str) -> io::Result<()> {
        if let Some(kept) = self.files.get_mut(path) {
            kept.clients.remove(client);
            if kept.clients.is_empty() {
                self.files.remove(path);
            }
        }
        if self.files.is_empty() {
            // Nothing is installed: nothing of the record is left.
            return match fs::remove_dir_all(&self.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.files).map_err(io::Error::other)?;
        write_private(&self.directory.join("record.json"), &bytes)
    }
}

/// The hash by which bytes are known here.
pub(crate) fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
