//! What is known of each file of the tree, and where it is in the index: enough to say what has changed since, without
//! reading anything.

use std::collections::BTreeMap;

use super::anatomy::Skip;
use super::bytes::{Corrupt, Reader, Writer};

/// What the first bytes of a catalogue say; the last digits count up with every change of what is kept.
const MAGIC: &[u8] = b"wheelhouse-index-1\n";

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// When it was changed, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// Its size.
    pub bytes: u64,
}

/// Where a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a segment.
    Indexed {
        /// Which, by its place in the list.
        segment: u32,
        /// Its number there.
        doc: u32,
    },
    /// Nowhere, and why.
    Skipped(Skip),
}

/// A file of the tree as it was when it was last read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// How it looked from outside; none when it changed while it was read, or so shortly before that a further change
    /// could not be seen.
    pub stamp: Option<Stamp>,
    /// The start of the hash of its bytes.
    pub hash: u64,
    /// Where it is.
    pub place: Place,
}

/// A file that was found in the tree now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its path, with `/`.
    pub path: String,
    /// How it looks from outside.
    pub stamp: Stamp,
}

/// What must be done to bring the index up to the tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stale {
    /// The places in the list of what was found that must be read.
    pub read: Vec<usize>,
    /// What is there no more.
    pub gone: Vec<String>,
}

/// Every file, and the names of the segments.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalogue {
    /// The segments' names: the hashes of their bytes.
    pub segments: Vec<String>,
    /// The files.
    pub files: BTreeMap<String, Entry>,
    /// Whether the tree has more files than are looked at.
    pub beyond: bool,
}

impl Catalogue {
    /// What has changed, by what was found. A path found twice is read once.
    pub fn stale(&self, found: &[Found]) -> Stale {
        let mut stale = Stale::default();
        let mut there = std::collections::HashSet::with_capacity(found.len());
        for (place, one) in found.iter().enumerate() {
            if !there.insert(one.path.as_str()) {
                continue;
            }
            let known = self.files.get(&one.path);
            if known.is_none_or(|entry| entry.stamp != Some(one.stamp)) {
                stale.read.push(place);
            }
        }
        let gone = self.files.keys().filter(|path| !there.contains(path.as_str()));
        stale.gone = gone.cloned().collect();
        stale
    }

    /// How many files are left out, by reason.
    pub fn skipped(&self) -> BTreeMap<Skip, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.files.values() {
            if let Place::Skipped(skip) = entry.place {
                *counts.entry(skip).or_default() += 1;
            }
        }
        counts
    }

    /// As bytes, for the disk, with a checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.0.extend(MAGIC);
        to.number(self.segments.len() as u64);
        self.segments.iter().for_each(|name| to.text(name));
        to.number(u64::from(self.beyond));
        to.number(self.files.len() as u64);
        for (path, entry) in &self.files {
            let Entry { stamp, hash, place } = *entry;
            to.text(path);
            to.fixed(hash);
            match stamp {
                Some(Stamp { changed_ns, bytes }) => {
                    to.0.push(1);
                    to.fixed(changed_ns as u64);
                    to.number(bytes);
                }
                None => to.0.push(0),
            }
            match place {
                Place::Indexed { segment, doc } => {
                    to.number(0);
                    to.number(u64::from(segment));
                    to.number(u64::from(doc));
                }
                Place::Skipped(skip) => to.number(1 + skip as u64),
            }
        }
        let sum = blake3::hash(&to.0);
        to.0.extend(sum.as_bytes());
        to.0
    }

    /// From bytes of [`Catalogue::encode`]; anything else, older versions too, is [`Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Catalogue, Corrupt> {
        let (bytes, sum) = bytes.split_last_chunk::<32>().ok_or(Corrupt)?;
        if blake3::hash(bytes) != *sum {
            return Err(Corrupt);
        }
        let mut from = Reader(bytes.strip_prefix(MAGIC).ok_or(Corrupt)?);
        let mut catalogue = Catalogue::default();
        for _ in 0..from.count(1)? {
            catalogue.segments.push(from.text()?.to_owned());
        }
        catalogue.beyond = from.small::<u8>()? != 0;
        for _ in 0..from.count(10)? {
            let path = from.text()?.to_owned();
            let hash = from.fixed()?;
            let stamp = match from.small::<u8>()? {
                0 => None,
                _ => Some(Stamp {
                    changed_ns: from.fixed()? as i64,
                    bytes: from.number()?,
                }),
            };
            let place = match from.small::<usize>()? {
                0 => Place::Indexed {
                    segment: from.small()?,
                    doc: from.small()?,
                },
                code => Place::Skipped(*Skip::ALL.get(code - 1).ok_or(Corrupt)?),
            };
            catalogue.files.insert(path, Entry { stamp, hash, place });
        }
        from.end()?;
        Ok(catalogue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(changed_ns: i64) -> Stamp {
        Stamp { changed_ns, bytes: 7 }
    }

    fn sample() -> Catalogue {
        let entry = |stamp, place| Entry { stamp, hash: 9, place };
        let indexed = Place::Indexed { segment: 0, doc: 3 };
        Catalogue {
            segments: vec!["ab".to_owned()],
            files: BTreeMap::from([
                ("a".to_owned(), entry(Some(stamp(1)), indexed)),
                ("b".to_owned(), entry(None, indexed)),
                ("c".to_owned(), entry(Some(stamp(-5)), Place::Skipped(Skip::Unreadable))),
            ]),
            beyond: true,
        }
    }

    #[test]
    fn a_catalogue_comes_back_from_its_bytes_or_not_at_all() {
        let catalogue = sample();
        let bytes = catalogue.encode();
        assert_eq!(Catalogue::decode(&bytes), Ok(catalogue));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Catalogue::decode(&damaged), Err(Corrupt));
            assert_eq!(Catalogue::decode(&bytes[..place]), Err(Corrupt));
        }
    }

    #[test]
    fn only_what_changed_is_read_again() {
        let found = |path: &str, changed_ns| Found {
            path: path.to_owned(),
            stamp: stamp(changed_ns),
        };
        let now = [found("a", 1), found("b", 1), found("d", 1), found("d", 1)];
        let stale = sample().stale(&now);
        assert_eq!(stale.read, [1, 2]);
        assert_eq!(stale.gone, ["c"]);
    }
}
