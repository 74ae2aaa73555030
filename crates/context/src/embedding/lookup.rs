//! Static vectors in the form of Model2Vec: one row for each token; a text is the mean of the rows of its tokens.
//!
//! `weights` scale rows by token and `mapping` shares rows between tokens, where they are there (quantised vocabularies). A
//! token that is not in the vocabulary counts nothing, as in the original.

use serde_json::{Map, Value};

use super::tensors::Tensors;
use super::wordpiece::WordPiece;
use super::{Unusable, WEIGHTS};

/// A table of vectors.
pub(super) struct Lookup {
    columns: usize,
    rows: Vec<f32>,
    /// The row of each token and what it counts.
    of_token: Vec<(usize, f32)>,
    unknown: u32,
}

impl Lookup {
    pub(super) fn load(
        config: &Map<String, Value>,
        tensors: &Tensors<'_>,
        words: &WordPiece,
    ) -> Result<Lookup, Unusable> {
        let name = ["embeddings", "embedding.weight"]
            .into_iter()
            .find(|name| tensors.has(name));
        let (count, columns, rows) = tensors.matrix(name.unwrap_or("embeddings"))?;
        let broken = |why| Unusable::Broken { file: WEIGHTS, why };
        if let Some(wanted) = config.get("hidden_dim").and_then(Value::as_u64)
            && wanted != columns as u64
        {
            return Err(broken(format!(
                "its rows have {columns} numbers; by config.json they have {wanted}"
            )));
        }
        let tokens = words.size();
        let weights = match tensors.has("weights") {
            true => tensors.shaped("weights", &[tokens])?,
            false => vec![1.0; tokens],
        };
        let mapping = match tensors.has("mapping") {
            true => tensors.places("mapping")?,
            false => (0..tokens).collect(),
        };
        if mapping.len() != tokens || mapping.iter().any(|row| *row >= count) {
            return Err(broken(format!(
                "it has {count} rows, and not one for each of the {tokens} tokens of tokenizer.json"
            )));
        }
        Ok(Lookup {
            columns,
            rows,
            of_token: mapping.into_iter().zip(weights).collect(),
            unknown: words.unknown(),
        })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.columns
    }

    pub(super) fn vector(&self, tokens: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.columns];
        for token in tokens.iter().filter(|token| **token != self.unknown) {
            let Some((row, weight)) = self.of_token.get(*token as usize) else {
                continue;
            };
            let from = row * self.columns;
            for (sum, number) in sum.iter_mut().zip(&self.rows[from..from + self.columns]) {
                *sum += number * weight;
            }
        }
        // The mean differs from the sum by its length alone, which whoever asks sets to 1.
        sum
    }
}
