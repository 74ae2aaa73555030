//! A directory of weights as a maker of vectors: read whole when it is opened, then asked in process. No network.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use wheelhouse_context::embedding::{Model, Unusable};
use wheelhouse_context::port::{Files, Unreadable};

use super::Embed;
use crate::supervise;

/// The largest file of a model that is read, in bytes: weights are held in memory.
const FILE_MAX: u64 = 2 << 30;

/// Why a directory makes no vectors.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// It is not there, or no directory.
    #[error("{} is {is}", path.display())]
    NoDirectory {
        /// What was named.
        path: PathBuf,
        /// What it is instead.
        is: &'static str,
    },
    /// What lies in it is no model that is read here.
    #[error("{} holds no model that can be used: {why}", path.display())]
    NoModel {
        /// The directory.
        path: PathBuf,
        /// What is missing or wrong.
        why: Unusable,
    },
}

/// A model, in memory.
pub struct Weights {
    model: Model,
    called: String,
}

impl Weights {
    /// Reads the model of a directory.
    pub fn open(path: &Path) -> Result<Weights, Unfit> {
        if !path.is_dir() {
            let is = if path.exists() { "no directory" } else { "not there" };
            return Err(Unfit::NoDirectory {
                path: path.to_owned(),
                is,
            });
        }
        let model = Model::load(&Directory(path)).map_err(|why| Unfit::NoModel {
            path: path.to_owned(),
            why,
        })?;
        let called = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        Ok(Weights { model, called })
    }

    /// Whether it is quick enough for every piece of a tree.
    pub fn is_static(&self) -> bool {
        self.model.is_static()
    }

    /// What people call it: the name of its directory.
    pub fn called(&self) -> &str {
        &self.called
    }
}

impl Embed for Weights {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Option<u64>), String> {
        Ok((supervise::many_hands(texts, |text| self.model.vector(text)), None))
    }
}

/// The files of a model. A link may lead out of the directory: models are often kept as links into a store of blobs, and
/// the directory is one that the user has named.
struct Directory<'a>(&'a Path);

impl Files for Directory<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Unreadable::Missing(path.to_owned()),
            _ => Unreadable::Failed {
                path: path.to_owned(),
                why: error.to_string(),
            },
        };
        let whole = self.0.join(path);
        // What is no file, such as a pipe, might be waited for for ever.
        let meta = whole.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(Unreadable::Failed {
                path: path.to_owned(),
                why: "it is no file".to_owned(),
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(FILE_MAX)).unwrap_or_default());
        let file = File::open(&whole).map_err(failed)?;
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 {
            bytes if bytes > FILE_MAX => Err(Unreadable::TooLarge {
                path: path.to_owned(),
                bytes: bytes.max(meta.len()),
                limit: FILE_MAX,
            }),
            _ => Ok(bytes),
        }
    }
}
