//! Vectors of texts by meaning, from weights that somebody has: a directory's files in, numbers out. No network, nothing is
//! downloaded, nothing is remembered between two texts.
//!
//! Two kinds of models are read: a table of vectors of tokens (`lookup`, the form of Model2Vec), which takes microseconds
//! a text, and a BERT sentence encoder (`encoder`, such as all-MiniLM-L6-v2), which takes a tenth of a second and more.
//! Whatever else lies there is refused, with what was found and what is read.

mod encoder;
mod lookup;
mod matrix;
mod tensors;
mod wordpiece;

use serde_json::Value;

use crate::port::{Files, Unreadable};
use encoder::Encoder;
use lookup::Lookup;
use tensors::Tensors;
use wordpiece::WordPiece;

/// What the kind of model is told by.
const CONFIG: &str = "config.json";
/// The weights.
const WEIGHTS: &str = "model.safetensors";
/// How many tokens of a text an encoder reads at most, whatever its model allows: its cost grows with their square.
const TOKENS_MAX: usize = 512;

/// Why a directory is no model.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// A file is not there or cannot be read.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// A file is not what it should be: cut off, damaged, or it does not fit the others.
    #[error("{file}: {why}")]
    Broken {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file is in order, but of a kind that is not read here.
    #[error("{file} has {found}; what is read here: {exists}")]
    Unknown {
        /// The file.
        file: &'static str,
        /// What was found.
        found: String,
        /// What there is instead.
        exists: &'static str,
    },
}

/// A model that makes vectors.
pub struct Model {
    words: WordPiece,
    made_by: MadeBy,
    name: String,
}

enum MadeBy {
    Lookup(Lookup),
    Encoder(Box<Encoder>),
}

impl Model {
    /// Reads a model out of the files of its directory.
    pub fn load(files: &dyn Files) -> Result<Model, Unusable> {
        let config = object(CONFIG, &files.read(CONFIG)?)?;
        let words = WordPiece::load(files)?;
        let bytes = files.read(WEIGHTS)?;
        let tensors = Tensors::parse(&bytes)?;
        let made_by = match config.get("model_type").and_then(Value::as_str) {
            Some("model2vec") => MadeBy::Lookup(Lookup::load(&config, &tensors, &words)?),
            Some("bert") => MadeBy::Encoder(Box::new(Encoder::load(&config, &tensors, &words, files)?)),
            // A sentence-transformers directory of static vectors has no word for it but the tensor.
            None if tensors.has("embeddings") => MadeBy::Lookup(Lookup::load(&config, &tensors, &words)?),
            other => {
                return Err(Unusable::Unknown {
                    file: CONFIG,
                    found: match other {
                        Some(kind) => format!("`\"model_type\": \"{kind}\"`"),
                        None => "no `model_type`".to_owned(),
                    },
                    exists: "`model2vec` (static vectors) and `bert` (sentence encoders such as all-MiniLM-L6-v2)",
                });
            }
        };
        // Vectors of other weights or another vocabulary are not to be compared with these.
        let mut hash = blake3::Hasher::new();
        hash.update(&bytes).update(&words.digest());
        let name = hash.finalize().to_hex()[..32].to_owned();
        Ok(Model { words, made_by, name })
    }

    /// A name that no other weights have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many numbers its vectors have.
    pub fn dimensions(&self) -> usize {
        match &self.made_by {
            MadeBy::Lookup(lookup) => lookup.dimensions(),
            MadeBy::Encoder(encoder) => encoder.dimensions(),
        }
    }

    /// Whether it is a table, and so quick enough for every piece of a tree.
    pub fn is_static(&self) -> bool {
        matches!(self.made_by, MadeBy::Lookup(_))
    }

    /// The vector of a text, of length 1; all zeros for one without a word that it knows.
    pub fn vector(&self, text: &str) -> Vec<f32> {
        let mut vector = match &self.made_by {
            MadeBy::Lookup(lookup) => lookup.vector(&self.words.tokens(text, usize::MAX)),
            MadeBy::Encoder(encoder) => encoder.vector(&self.words.tokens(text, encoder.tokens_max())),
        };
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|number| *number /= length);
        }
        vector
    }
}

/// The whole of a JSON file, which must be an object.
fn object(file: &'static str, bytes: &[u8]) -> Result<serde_json::Map<String, Value>, Unusable> {
    serde_json::from_slice(bytes).map_err(|error| Unusable::Broken {
        file,
        why: format!("it is no JSON object: {error}"),
    })
}

/// The same of a file that need not be there.
fn object_if_there(file: &'static str, files: &dyn Files) -> Result<Option<serde_json::Map<String, Value>>, Unusable> {
    match files.read(file) {
        Ok(bytes) => object(file, &bytes).map(Some),
        Err(Unreadable::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
