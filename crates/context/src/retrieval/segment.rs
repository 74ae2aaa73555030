//! A part of the index that never changes: some files, their pieces, an inverted list of terms, definitions, vectors.
//!
//! An update writes a new small segment and marks what it replaces as dead in the old ones; now and then all are
//! merged into one. So nothing on disk is ever rewritten in place.

use std::collections::HashMap;

use super::anatomy::Anatomy;
use super::bytes::{Corrupt, Reader, Writer, read_varint, varint};
use super::language::Sort;
use super::syntax::Kind;
use super::terms::{Term, hash};
use super::vector::DIMENSIONS;

/// How many bytes one entry of the dictionary takes on disk.
const ENTRY_BYTES: usize = 16;

/// A file of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Doc {
    pub(crate) path: String,
    pub(crate) sort: Sort,
    pub(crate) lines: u32,
    /// Its first piece; the last one is before that of the next file.
    pub(crate) first: u32,
    pub(crate) imports: Vec<String>,
}

/// A piece of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chunk {
    pub(crate) doc: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) length: u32,
}

/// Where something is defined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Symbol {
    pub(crate) doc: u32,
    pub(crate) kind: Kind,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) name: String,
}

/// The list of one term: where its postings start and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    term: u64,
    offset: u32,
    count: u32,
}

/// A part of the index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    pub(crate) docs: Vec<Doc>,
    pub(crate) chunks: Vec<Chunk>,
    /// In the order of files and lines.
    pub(crate) symbols: Vec<Symbol>,
    /// The symbols in the order of the hashes of their names.
    by_name: Vec<(u64, u32)>,
    dictionary: Vec<Entry>,
    postings: Vec<u8>,
    vectors: Vec<i8>,
}

impl Segment {
    /// How many files it has, dead ones counted.
    pub fn files(&self) -> usize {
        self.docs.len()
    }

    /// How many bytes it takes in memory, near enough.
    pub fn weight(&self) -> usize {
        let paths: usize = self.docs.iter().map(|doc| doc.path.len() + 80).sum();
        let names: usize = self.symbols.iter().map(|symbol| symbol.name.len() + 64).sum();
        self.postings.len() + self.vectors.len() + self.dictionary.len() * 16 + self.chunks.len() * 16 + paths + names
    }

    /// The pieces of a file.
    pub(crate) fn chunks_of(&self, doc: u32) -> std::ops::Range<u32> {
        let next = self.docs.get(doc as usize + 1).map(|doc| doc.first);
        let first = self.docs.get(doc as usize).map_or(0, |doc| doc.first);
        first..next.unwrap_or(self.chunks.len() as u32)
    }

    /// What the list of a term says: pieces in order, each with how often.
    pub(crate) fn postings(&self, term: Term) -> Postings<'_> {
        let found = self.dictionary.binary_search_by_key(&term.0, |entry| entry.term);
        let (bytes, left) = match found.ok().and_then(|place| self.dictionary.get(place)) {
            Some(entry) => (
                self.postings.get(entry.offset as usize..).unwrap_or_default(),
                entry.count,
            ),
            None => (&[][..], 0),
        };
        Postings { bytes, left, chunk: 0 }
    }

    /// The definitions of exactly this name.
    pub(crate) fn defined<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Symbol> {
        let hash = hash(name.as_bytes());
        let from = self.by_name.partition_point(|(other, _)| *other < hash);
        let same = self.by_name[from..].iter().take_while(move |(other, _)| *other == hash);
        same.filter_map(|(_, place)| self.symbols.get(*place as usize))
            .filter(move |symbol| symbol.name == name)
    }

    /// The definitions of a file, in the order of the text.
    pub(crate) fn symbols_of(&self, doc: u32) -> &[Symbol] {
        let from = self.symbols.partition_point(|symbol| symbol.doc < doc);
        let to = self.symbols.partition_point(|symbol| symbol.doc <= doc);
        &self.symbols[from..to]
    }

    /// What a piece is like.
    pub(crate) fn vector(&self, chunk: u32) -> &[i8] {
        let from = chunk as usize * DIMENSIONS;
        self.vectors.get(from..from + DIMENSIONS).unwrap_or_default()
    }

    /// As bytes, for the disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.0.reserve(self.weight());
        to.number(self.docs.len() as u64);
        for doc in &self.docs {
            let Doc {
                path,
                sort,
                lines,
                first,
                imports,
            } = doc;
            to.text(path);
            to.0.push(sort.code());
            to.number(u64::from(*lines));
            to.number(u64::from(*first));
            to.number(imports.len() as u64);
            imports.iter().for_each(|target| to.text(target));
        }
        to.number(self.chunks.len() as u64);
        for chunk in &self.chunks {
            let Chunk {
                doc,
                start,
                end,
                length,
            } = *chunk;
            for number in [doc, start, end, length] {
                to.number(u64::from(number));
            }
        }
        to.number(self.symbols.len() as u64);
        for symbol in &self.symbols {
            let Symbol {
                doc,
                kind,
                start,
                end,
                name,
            } = symbol;
            for number in [*doc, *start, *end] {
                to.number(u64::from(number));
            }
            to.0.push(*kind as u8);
            to.text(name);
        }
        to.number(self.dictionary.len() as u64);
        for Entry { term, offset, count } in &self.dictionary {
            to.fixed(*term);
            to.0.extend(offset.to_le_bytes());
            to.0.extend(count.to_le_bytes());
        }
        to.bytes(&self.postings);
        to.number(self.vectors.len() as u64);
        to.0.extend(self.vectors.iter().map(|number| *number as u8));
        to.0
    }

    /// From bytes of [`Segment::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Segment, Corrupt> {
        let mut from = Reader(bytes);
        let mut docs = Vec::with_capacity(from.count(5)?);
        for _ in 0..docs.capacity() {
            docs.push(read_doc(&mut from)?);
        }
        let mut chunks = Vec::with_capacity(from.count(4)?);
        for _ in 0..chunks.capacity() {
            let chunk = Chunk {
                doc: from.small()?,
                start: from.small()?,
                end: from.small()?,
                length: from.small()?,
            };
            if chunk.doc as usize >= docs.len() {
                return Err(Corrupt);
            }
            chunks.push(chunk);
        }
        let mut symbols = Vec::with_capacity(from.count(5)?);
        for _ in 0..symbols.capacity() {
            let (doc, start, end) = (from.small()?, from.small()?, from.small()?);
            let kind = *Kind::ALL.get(usize::from(byte(&mut from)?)).ok_or(Corrupt)?;
            symbols.push(Symbol {
                doc,
                kind,
                start,
                end,
                name: from.text()?.to_owned(),
            });
        }
        let count = from.count(ENTRY_BYTES)?;
        let (entries, rest) = from.0.split_at_checked(count * ENTRY_BYTES).ok_or(Corrupt)?;
        from.0 = rest;
        let dictionary: Vec<Entry> = entries.chunks_exact(ENTRY_BYTES).filter_map(read_entry).collect();
        let postings = from.bytes()?.to_vec();
        let vectors: Vec<i8> = from.bytes()?.iter().map(|byte| *byte as i8).collect();
        from.end()?;
        let firsts_in_order = docs.is_sorted_by_key(|doc: &Doc| doc.first);
        let firsts_there = docs.last().is_none_or(|doc| doc.first as usize <= chunks.len());
        let symbols_in_order = symbols.is_sorted_by_key(|symbol: &Symbol| symbol.doc);
        if vectors.len() != chunks.len() * DIMENSIONS || !firsts_in_order || !firsts_there || !symbols_in_order {
            return Err(Corrupt);
        }
        Ok(Segment {
            by_name: by_name(&symbols),
            docs,
            chunks,
            symbols,
            dictionary,
            postings,
            vectors,
        })
    }
}

fn byte(from: &mut Reader<'_>) -> Result<u8, Corrupt> {
    let (byte, rest) = from.0.split_first().ok_or(Corrupt)?;
    from.0 = rest;
    Ok(*byte)
}

fn read_doc(from: &mut Reader<'_>) -> Result<Doc, Corrupt> {
    let path = from.text()?.to_owned();
    let sort = Sort::of(&path);
    // The sort follows from the path; one that does not is from a version that sorted otherwise.
    if byte(from)? != sort.code() {
        return Err(Corrupt);
    }
    let (lines, first) = (from.small()?, from.small()?);
    let mut imports = Vec::with_capacity(from.count(1)?);
    for _ in 0..imports.capacity() {
        imports.push(from.text()?.to_owned());
    }
    Ok(Doc {
        path,
        sort,
        lines,
        first,
        imports,
    })
}

fn read_entry(bytes: &[u8]) -> Option<Entry> {
    let (term, rest) = bytes.split_first_chunk::<8>()?;
    let (offset, count) = rest.split_first_chunk::<4>()?;
    Some(Entry {
        term: u64::from_le_bytes(*term),
        offset: u32::from_le_bytes(*offset),
        count: u32::from_le_bytes(count.try_into().ok()?),
    })
}

fn by_name(symbols: &[Symbol]) -> Vec<(u64, u32)> {
    let places = symbols.iter().zip(0..);
    let mut by_name: Vec<(u64, u32)> = places
        .map(|(symbol, place)| (hash(symbol.name.as_bytes()), place))
        .collect();
    by_name.sort_unstable();
    by_name
}

/// The pieces in which a term stands.
pub(crate) struct Postings<'a> {
    bytes: &'a [u8],
    left: u32,
    chunk: u32,
}

impl Iterator for Postings<'_> {
    type Item = (u32, u32);

    fn next(&mut self) -> Option<(u32, u32)> {
        self.left = self.left.checked_sub(1)?;
        // The lowest bit says that the count is one, as it nearly always is.
        let step = read_varint(&mut self.bytes)?;
        self.chunk = self.chunk.wrapping_add((step >> 1) as u32);
        let count = match step & 1 {
            1 => 1,
            _ => read_varint(&mut self.bytes)? as u32,
        };
        Some((self.chunk, count))
    }
}

/// Collects files for a new segment.
#[derive(Default)]
pub struct Builder {
    docs: Vec<Doc>,
    chunks: Vec<Chunk>,
    symbols: Vec<Symbol>,
    /// Term, piece, count.
    found: Vec<(u64, u32, u16)>,
    vectors: Vec<i8>,
}

impl Builder {
    /// Nothing yet.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.docs.len()
    }

    /// How many entries wait to be sorted; what grows with the text.
    pub fn entries(&self) -> usize {
        self.found.len()
    }

    /// Takes a file.
    pub fn add(&mut self, anatomy: Anatomy) {
        let Anatomy {
            path,
            sort,
            lines,
            pieces,
            definitions,
            imports,
        } = anatomy;
        let doc = self.docs.len() as u32;
        self.docs.push(Doc {
            path,
            sort,
            lines,
            first: self.chunks.len() as u32,
            imports,
        });
        for piece in pieces {
            let chunk = self.chunks.len() as u32;
            self.chunks.push(Chunk {
                doc,
                start: piece.start,
                end: piece.end,
                length: piece.length,
            });
            self.found
                .extend(piece.terms.iter().map(|(term, count)| (term.0, chunk, *count)));
            self.vectors.extend(piece.vector);
        }
        let mut symbols: Vec<Symbol> = definitions
            .into_iter()
            .map(|definition| Symbol {
                doc,
                kind: definition.kind,
                start: definition.start,
                end: definition.end,
                name: definition.name,
            })
            .collect();
        symbols.sort_by_key(|symbol| symbol.start);
        self.symbols.extend(symbols);
    }

    /// Takes the living files of a segment. Where each file went, by its old number.
    pub fn absorb(&mut self, segment: &Segment, live: &[bool]) -> Vec<Option<u32>> {
        let lives = |doc: u32| live.get(doc as usize).copied().unwrap_or(false);
        let mut docs = vec![None; segment.docs.len()];
        let mut chunks: HashMap<u32, u32> = HashMap::new();
        for (old, place) in segment.docs.iter().zip(0..) {
            if !lives(place) {
                continue;
            }
            let new = self.docs.len() as u32;
            docs[place as usize] = Some(new);
            self.docs.push(Doc {
                first: self.chunks.len() as u32,
                ..old.clone()
            });
            for chunk in segment.chunks_of(place) {
                chunks.insert(chunk, self.chunks.len() as u32);
                self.chunks.push(Chunk {
                    doc: new,
                    ..segment.chunks[chunk as usize]
                });
                self.vectors.extend(segment.vector(chunk));
            }
            let symbols = segment.symbols_of(place).iter();
            self.symbols.extend(symbols.map(|symbol| Symbol {
                doc: new,
                ..symbol.clone()
            }));
        }
        for entry in &segment.dictionary {
            let kept = segment.postings(Term(entry.term)).filter_map(|(chunk, count)| {
                let count = u16::try_from(count).unwrap_or(u16::MAX);
                Some((entry.term, *chunks.get(&chunk)?, count))
            });
            self.found.extend(kept);
        }
        docs
    }

    /// The segment.
    pub fn finish(mut self) -> Segment {
        self.found.sort_unstable();
        let mut dictionary = Vec::new();
        let mut postings = Vec::with_capacity(self.found.len() * 2);
        for list in self.found.chunk_by(|one, other| one.0 == other.0) {
            dictionary.push(Entry {
                term: list[0].0,
                offset: postings.len() as u32,
                count: list.len() as u32,
            });
            let mut before = 0;
            for (_, chunk, count) in list {
                let step = u64::from(chunk - before) << 1;
                varint(&mut postings, step | u64::from(*count == 1));
                if *count != 1 {
                    varint(&mut postings, u64::from(*count));
                }
                before = *chunk;
            }
        }
        postings.shrink_to_fit();
        Segment {
            by_name: by_name(&self.symbols),
            docs: self.docs,
            chunks: self.chunks,
            symbols: self.symbols,
            dictionary,
            postings,
            vectors: self.vectors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieval::anatomy::dissect;
    use crate::retrieval::terms::{Field, exact, word};

    fn build(files: &[(&str, &str)]) -> Segment {
        let mut builder = Builder::new();
        for (path, text) in files {
            builder.add(dissect(path, text.as_bytes()).unwrap());
        }
        builder.finish()
    }

    fn sample() -> Segment {
        build(&[
            ("src/a.rs", "use crate::b::open;\npub fn start() { open(); open() }\n"),
            ("src/b.rs", "/// Opens.\npub fn open() {}\n"),
            ("README.md", "# How to start\n"),
        ])
    }

    #[test]
    fn a_segment_comes_back_from_its_bytes() {
        let segment = sample();
        assert_eq!(Segment::decode(&segment.encode()), Ok(segment));
    }

    #[test]
    fn terms_and_names_are_found() {
        let segment = sample();
        let found: Vec<_> = segment.postings(word("start").unwrap()).collect();
        assert_eq!(found, [(0, 1), (2, 1)]);
        let used: Vec<_> = segment.postings(exact(Field::Reference, "open")).collect();
        assert_eq!(used, [(0, 2)]);
        let defined: Vec<_> = segment
            .defined("open")
            .map(|symbol| (symbol.doc, symbol.start))
            .collect();
        assert_eq!(defined, [(1, 2)]);
        assert_eq!(segment.postings(word("absent").unwrap()).count(), 0);
    }

    #[test]
    fn absorbing_what_lives_is_building_from_it() {
        let mut builder = Builder::new();
        let moved = builder.absorb(&sample(), &[true, false, true]);
        assert_eq!(moved, [Some(0), None, Some(1)]);
        let direct = build(&[
            ("src/a.rs", "use crate::b::open;\npub fn start() { open(); open() }\n"),
            ("README.md", "# How to start\n"),
        ]);
        assert_eq!(builder.finish(), direct);
    }

    #[test]
    fn no_damage_makes_decoding_panic() {
        let bytes = sample().encode();
        for place in 0..bytes.len().min(2_000) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xff;
            if let Ok(segment) = Segment::decode(&damaged) {
                for entry in &segment.dictionary {
                    let _ = segment.postings(Term(entry.term)).count();
                }
            }
            assert_eq!(Segment::decode(&bytes[..place]), Err(Corrupt));
        }
    }
}
