//! The index as a whole: its segments, and which of their files live.

use std::sync::Arc;

use super::catalogue::{Catalogue, Place};
use super::segment::{Chunk, Doc, Segment, Symbol};
use super::terms::Term;

/// A segment with what is alive in it.
struct Part {
    segment: Arc<Segment>,
    live: Vec<bool>,
    /// The number of its first piece and of its first file among all.
    chunk_base: u32,
    doc_base: u32,
}

/// A file among all: its number, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct DocId(pub(crate) u32);

/// A piece among all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ChunkId(pub(crate) u32);

/// That a piece has a term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posting {
    pub(crate) doc: DocId,
    pub(crate) chunk: ChunkId,
    /// How many terms the piece has.
    pub(crate) length: u32,
    /// How often it has this one.
    pub(crate) count: u32,
}

/// Everything there is to search in.
pub struct Index {
    parts: Vec<Part>,
    docs: u32,
    chunks: u32,
    live_docs: u32,
    live_chunks: u32,
    mean_chunk: f32,
    mean_doc: f32,
    /// How many terms each file has.
    lengths: Vec<u32>,
}

impl Index {
    /// Of the segments of a catalogue, in its order.
    pub fn new(segments: Vec<Arc<Segment>>, catalogue: &Catalogue) -> Index {
        let mut live: Vec<Vec<bool>> = segments.iter().map(|segment| vec![false; segment.docs.len()]).collect();
        for entry in catalogue.files.values() {
            if let Place::Indexed { segment, doc } = entry.place
                && let Some(live) = live
                    .get_mut(segment as usize)
                    .and_then(|docs| docs.get_mut(doc as usize))
            {
                *live = true;
            }
        }
        let mut index = Index {
            parts: Vec::new(),
            docs: 0,
            chunks: 0,
            live_docs: 0,
            live_chunks: 0,
            mean_chunk: 1.0,
            mean_doc: 1.0,
            lengths: Vec::new(),
        };
        let mut length = 0_u64;
        for (segment, live) in segments.into_iter().zip(live) {
            index.live_docs += live.iter().filter(|live| **live).count() as u32;
            index.lengths.resize((index.docs as usize) + segment.docs.len(), 0);
            for chunk in &segment.chunks {
                let own = &mut index.lengths[index.docs as usize + chunk.doc as usize];
                *own = own.saturating_add(chunk.length);
                if live[chunk.doc as usize] {
                    index.live_chunks += 1;
                    length += u64::from(chunk.length);
                }
            }
            let (docs, chunks) = (segment.docs.len() as u32, segment.chunks.len() as u32);
            index.parts.push(Part {
                segment,
                live,
                chunk_base: index.chunks,
                doc_base: index.docs,
            });
            index.docs += docs;
            index.chunks += chunks;
        }
        index.mean_chunk = (length as f32 / index.live_chunks.max(1) as f32).max(1.0);
        index.mean_doc = (length as f32 / index.live_docs.max(1) as f32).max(1.0);
        index
    }

    /// How many files can be found.
    pub fn files(&self) -> u32 {
        self.live_docs
    }

    /// How many pieces they have.
    pub fn pieces(&self) -> u32 {
        self.live_chunks
    }

    /// How many definitions they have.
    pub fn definitions(&self) -> usize {
        let lives = |part: &Part| {
            let symbols = part.segment.symbols.iter();
            symbols.filter(|symbol| part.live[symbol.doc as usize]).count()
        };
        self.parts.iter().map(lives).sum()
    }

    /// How many bytes it takes in memory, near enough.
    pub fn weight(&self) -> usize {
        self.parts.iter().map(|part| part.segment.weight()).sum()
    }

    /// How many numbers for files there are; some are dead.
    pub(crate) fn doc_count(&self) -> usize {
        self.docs as usize
    }

    /// How many numbers for pieces there are; some are dead.
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks as usize
    }

    /// The mean length of pieces and of files, in terms.
    pub(crate) fn means(&self) -> (f32, f32) {
        (self.mean_chunk, self.mean_doc)
    }

    /// How many terms a file has.
    pub(crate) fn length(&self, doc: DocId) -> u32 {
        self.lengths[doc.0 as usize]
    }

    fn part_of_doc(&self, doc: DocId) -> &Part {
        let place = self.parts.partition_point(|part| part.doc_base <= doc.0);
        &self.parts[place - 1]
    }

    fn part_of_chunk(&self, chunk: ChunkId) -> &Part {
        let place = self.parts.partition_point(|part| part.chunk_base <= chunk.0);
        &self.parts[place - 1]
    }

    /// A file.
    pub(crate) fn doc(&self, doc: DocId) -> &Doc {
        let part = self.part_of_doc(doc);
        &part.segment.docs[(doc.0 - part.doc_base) as usize]
    }

    /// A piece.
    pub(crate) fn chunk(&self, chunk: ChunkId) -> &Chunk {
        let part = self.part_of_chunk(chunk);
        &part.segment.chunks[(chunk.0 - part.chunk_base) as usize]
    }

    /// The file of a piece.
    pub(crate) fn doc_of(&self, chunk: ChunkId) -> DocId {
        let part = self.part_of_chunk(chunk);
        DocId(part.doc_base + part.segment.chunks[(chunk.0 - part.chunk_base) as usize].doc)
    }

    /// The pieces of a file.
    pub(crate) fn chunks_of(&self, doc: DocId) -> std::ops::Range<u32> {
        let part = self.part_of_doc(doc);
        let own = part.segment.chunks_of(doc.0 - part.doc_base);
        own.start + part.chunk_base..own.end + part.chunk_base
    }

    /// The first and last line of each piece of a file.
    pub(crate) fn spans_of(&self, doc: DocId) -> Vec<(u32, u32)> {
        let span = |chunk| {
            let piece = self.chunk(ChunkId(chunk));
            (piece.start, piece.end)
        };
        self.chunks_of(doc).map(span).collect()
    }

    /// The piece of a file in which a line is.
    pub(crate) fn chunk_at(&self, doc: DocId, line: u32) -> ChunkId {
        let own = self.chunks_of(doc);
        let mut at = own.start;
        for chunk in own {
            if self.chunk(ChunkId(chunk)).start > line {
                break;
            }
            at = chunk;
        }
        ChunkId(at)
    }

    /// The definitions in a file.
    pub(crate) fn symbols_of(&self, doc: DocId) -> &[Symbol] {
        let part = self.part_of_doc(doc);
        part.segment.symbols_of(doc.0 - part.doc_base)
    }

    /// What a piece is like.
    pub(crate) fn vector(&self, chunk: ChunkId) -> &[i8] {
        let part = self.part_of_chunk(chunk);
        part.segment.vector(chunk.0 - part.chunk_base)
    }

    /// The living files.
    pub(crate) fn live(&self) -> impl Iterator<Item = DocId> + '_ {
        self.parts.iter().flat_map(|part| {
            let lives = part.live.iter().zip(part.doc_base..).filter(|(live, _)| **live);
            lives.map(|(_, doc)| DocId(doc))
        })
    }

    /// Calls `each` with every living piece that has the term, those of one file together.
    pub(crate) fn each_posting(&self, term: Term, mut each: impl FnMut(Posting)) {
        for part in &self.parts {
            for (chunk, count) in part.segment.postings(term) {
                let Some(found) = part.segment.chunks.get(chunk as usize) else {
                    continue;
                };
                if part.live[found.doc as usize] {
                    each(Posting {
                        doc: DocId(part.doc_base + found.doc),
                        chunk: ChunkId(part.chunk_base + chunk),
                        length: found.length,
                        count,
                    });
                }
            }
        }
    }

    /// The living definitions of exactly this name.
    pub(crate) fn defined<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (DocId, &'a Symbol)> {
        self.parts.iter().flat_map(move |part| {
            let own = part
                .segment
                .defined(name)
                .filter(|symbol| part.live[symbol.doc as usize]);
            own.map(|symbol| (DocId(part.doc_base + symbol.doc), symbol))
        })
    }
}
