//! Vectors by meaning of every piece of the tree, beside the segments: they come from a model that somebody names, and may
//! be there for some files only. Which model, and who asks it, is decided outside ([`crate::embedding`], the engine).

use std::collections::HashMap;

use super::bytes::{Corrupt, Reader, Writer};
use super::catalogue::Catalogue;
use super::index::{DocId, Index};

/// What the file of vectors begins with; the last digits count up with every change of what is kept.
const MAGIC: &[u8] = b"wheelhouse-meaning-1\n";

/// The vectors of one model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meanings {
    maker: String,
    dimensions: usize,
    files: HashMap<String, Vectors>,
}

/// Those of one file, in steps of 1/127, piece after piece.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Vectors {
    hash: u64,
    pieces: Vec<i8>,
}

/// A file whose pieces have no vectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Its path.
    pub path: String,
    /// The hash of its bytes, by the catalogue.
    pub hash: u64,
    /// The first and last line of each piece.
    pub pieces: Vec<(u32, u32)>,
}

/// A question as a vector, and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Meant<'a> {
    /// The vectors of the tree.
    pub meanings: &'a Meanings,
    /// That of the question, of length 1.
    pub question: &'a [f32],
}

impl Meanings {
    /// None yet, of a model that is called so and makes vectors of so many numbers.
    pub fn new(maker: &str, dimensions: usize) -> Meanings {
        Meanings {
            maker: maker.to_owned(),
            dimensions,
            files: HashMap::new(),
        }
    }

    /// Whose they are.
    pub fn maker(&self) -> &str {
        &self.maker
    }

    /// How many pieces have one.
    pub fn pieces(&self) -> usize {
        let numbers: usize = self.files.values().map(|one| one.pieces.len()).sum();
        numbers / self.dimensions.max(1)
    }

    /// How many bytes they take.
    pub fn weight(&self) -> usize {
        self.files.values().map(|one| one.pieces.len()).sum()
    }

    /// Forgets files that are gone or changed, and names those that have none, by path. Whether anything was forgotten.
    pub fn missing(&mut self, index: &Index, catalogue: &Catalogue) -> (Vec<Missing>, bool) {
        let before = self.files.len();
        let current = |path: &String, own: &mut Vectors| {
            let entry = catalogue.files.get(path);
            entry.is_some_and(|entry| entry.hash == own.hash)
        };
        self.files.retain(current);
        let mut missing: Vec<Missing> = index
            .live()
            .filter_map(|id| {
                let path = &index.doc(id).path;
                let count = index.chunks_of(id).len();
                let there = self.files.get(path).map(|own| own.pieces.len());
                if there == Some(count * self.dimensions) {
                    return None;
                }
                Some(Missing {
                    path: path.clone(),
                    hash: catalogue.files.get(path)?.hash,
                    pieces: index.spans_of(id),
                })
            })
            .collect();
        missing.sort_by(|one, other| one.path.cmp(&other.path));
        (missing, self.files.len() != before)
    }

    /// Takes the vectors of a file's pieces. Those of another length are as good as none.
    pub fn take(&mut self, of: Missing, vectors: &[Vec<f32>]) {
        let mut pieces = Vec::with_capacity(vectors.len() * self.dimensions);
        vectors.iter().for_each(|vector| pieces.extend(in_steps(vector)));
        let Missing { path, hash, .. } = of;
        self.files.insert(path, Vectors { hash, pieces });
    }

    /// Those of a file's pieces, in order; none where they are not all there.
    pub(crate) fn of<'a>(&'a self, index: &Index, doc: DocId) -> impl Iterator<Item = &'a [i8]> {
        let own = self.files.get(&index.doc(doc).path);
        let whole = own.filter(|own| own.pieces.len() == index.chunks_of(doc).len() * self.dimensions);
        let numbers = whole.map_or(&[][..], |own| &own.pieces);
        numbers.chunks_exact(self.dimensions.max(1))
    }

    /// As bytes, for the disk, with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        let Meanings {
            maker,
            dimensions,
            files,
        } = self;
        let mut to = Writer::default();
        to.0.reserve(self.weight() + files.len() * 64);
        to.0.extend(MAGIC);
        to.text(maker);
        to.number(*dimensions as u64);
        to.number(files.len() as u64);
        for (path, Vectors { hash, pieces }) in files {
            to.text(path);
            to.fixed(*hash);
            to.number(pieces.len() as u64);
            to.0.extend(pieces.iter().map(|step| step.cast_unsigned()));
        }
        let sum = blake3::hash(&to.0);
        to.0.extend(sum.as_bytes());
        to.0
    }

    /// What [`Meanings::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Meanings, Corrupt> {
        let (body, sum) = bytes.split_last_chunk::<32>().ok_or(Corrupt)?;
        if blake3::hash(body).as_bytes() != sum {
            return Err(Corrupt);
        }
        let mut from = Reader(body.strip_prefix(MAGIC).ok_or(Corrupt)?);
        let maker = from.text()?.to_owned();
        let dimensions = from.small()?;
        let count = from.count(10)?;
        let mut files = HashMap::with_capacity(count);
        for _ in 0..count {
            let path = from.text()?.to_owned();
            let hash = from.fixed()?;
            let pieces = from.bytes()?.iter().map(|step| step.cast_signed()).collect();
            files.insert(path, Vectors { hash, pieces });
        }
        from.end()?;
        Ok(Meanings {
            maker,
            dimensions,
            files,
        })
    }
}

/// A vector of length 1 in steps of 1/127.
pub(crate) fn in_steps(vector: &[f32]) -> impl Iterator<Item = i8> {
    vector
        .iter()
        .map(|number| (number * 127.0).round().clamp(-127.0, 127.0) as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_from_their_bytes_and_damage_is_seen() {
        let mut meanings = Meanings::new("m", 2);
        let of = Missing {
            path: "a".to_owned(),
            hash: 7,
            pieces: vec![(1, 2), (3, 4)],
        };
        meanings.take(of, &[vec![1.0, 0.0], vec![0.6, -0.8]]);
        assert_eq!((meanings.pieces(), meanings.weight()), (2, 4));
        assert_eq!(meanings.files["a"].pieces, [127, 0, 76, -102]);
        let bytes = meanings.encode();
        assert_eq!(Meanings::decode(&bytes), Ok(meanings));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Meanings::decode(&damaged), Err(Corrupt));
            assert_eq!(Meanings::decode(&bytes[..place]), Err(Corrupt));
        }
    }
}
