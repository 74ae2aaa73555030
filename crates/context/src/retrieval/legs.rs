//! The ways of looking, each by itself: words (BM25), definitions, paths, neighbours by import, likeness (vectors of
//! spelling), meaning (vectors of a model, where one is named). Each gives a list of pieces, the best first.

use std::collections::HashMap;

use super::imports;
use super::index::{ChunkId, DocId, Index, Posting};
use super::language::{module, stem};
use super::meaning::{Meant, in_steps};
use super::query::Query;
use super::terms::{Field, exact, moved};
use super::vector::{Sum, likeness};

/// BM25: how soon repetition stops to count.
const K1: f32 = 1.2;
/// BM25: how much long texts are held back.
const B: f32 = 0.75;
/// A name that is defined in more places says nothing about where.
const DEFINED_MAX: usize = 10;
/// Neighbours are sought of so many files.
const NEIGHBOURS_OF: usize = 10;
/// An import that may mean more files means none.
const MEANINGS_MAX: usize = 4;
/// What is less like the question is like anything.
const LIKENESS_MIN: f32 = 0.25;
/// What is less near to the question is near to anything.
const MEANING_MIN: f32 = 0.25;
/// How much a word of the path counts against one in the text.
const PATH_WEIGHT: f32 = 1.0;

/// A way of looking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Leg {
    /// Words of the text and of the path, by BM25.
    Words,
    /// Definitions of names in the question.
    Definitions,
    /// Paths, modules and frames of traces in the question.
    Paths,
    /// Files that import or are imported by those with the best words.
    Neighbours,
    /// Vectors of trigrams.
    Likeness,
    /// Vectors of a model.
    Meaning,
}

impl Leg {
    /// All of them.
    pub const ALL: [Leg; 6] = [
        Leg::Words,
        Leg::Definitions,
        Leg::Paths,
        Leg::Neighbours,
        Leg::Likeness,
        Leg::Meaning,
    ];

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Leg::Words => "words",
            Leg::Definitions => "definitions",
            Leg::Paths => "paths",
            Leg::Neighbours => "neighbours",
            Leg::Likeness => "likeness",
            Leg::Meaning => "meaning",
        }
    }
}

/// What one leg found, the best first.
pub(crate) type List = Vec<(ChunkId, f32)>;

/// How well words fit, for every piece and every file.
pub(crate) struct WordScores {
    pub(crate) chunks: Vec<f32>,
    pub(crate) docs: Vec<f32>,
    /// How rare each term of the question is, in its order.
    pub(crate) rarity: Vec<f32>,
}

/// BM25 over pieces and over files at once.
pub(crate) fn words(index: &Index, query: &Query) -> WordScores {
    let mut scores = WordScores {
        chunks: vec![0.0; index.chunk_count()],
        docs: vec![0.0; index.doc_count()],
        rarity: Vec::with_capacity(query.terms.len()),
    };
    let (mean_chunk, mean_doc) = index.means();
    let mut found: Vec<Posting> = Vec::new();
    let rarity = |count: usize, all: u32| {
        let (count, all) = (count as f32, all.max(1) as f32);
        (1.0 + (all - count + 0.5).max(0.0) / (count + 0.5)).ln()
    };
    let gain = |count: f32, length: f32, mean: f32| count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / mean));
    for wanted in &query.terms {
        found.clear();
        index.each_posting(wanted.term, |one| found.push(one));
        let docs = found.chunk_by(|one, other| one.doc == other.doc);
        let (of_chunk, of_doc) = (
            rarity(found.len(), index.pieces()),
            rarity(docs.clone().count(), index.files()),
        );
        scores.rarity.push(of_doc);
        for same in docs {
            let doc = same[0].doc;
            let mut count = 0.0;
            for Posting {
                chunk,
                length,
                count: times,
                ..
            } in same
            {
                count += *times as f32;
                scores.chunks[chunk.0 as usize] +=
                    wanted.count * of_chunk * gain(*times as f32, *length as f32, mean_chunk);
            }
            let length = index.length(doc) as f32;
            scores.docs[doc.0 as usize] += wanted.count * of_doc * gain(count, length, mean_doc);
        }
        found.clear();
        index.each_posting(moved(wanted.term, Field::Path), |one| found.push(one));
        let in_path = rarity(found.len(), index.files());
        for Posting { doc, .. } in &found {
            scores.docs[doc.0 as usize] += PATH_WEIGHT * in_path * wanted.count.min(1.0);
        }
    }
    scores
}

/// Definitions of names that the question has and that few places define.
pub(crate) fn definitions(index: &Index, query: &Query) -> List {
    let mut scores: HashMap<ChunkId, f32> = HashMap::new();
    for named in &query.names {
        let places: Vec<_> = index.defined(&named.name).take(DEFINED_MAX + 1).collect();
        if places.is_empty() || places.len() > DEFINED_MAX {
            continue;
        }
        // A plain word is more often just that than a name.
        let certainty = if named.as_code { 1.0 } else { 0.3 };
        let score = certainty * (1.0 + named.count.ln()) / places.len() as f32;
        for (doc, symbol) in places {
            *scores.entry(index.chunk_at(doc, symbol.start)).or_default() += score;
        }
    }
    sorted(scores)
}

/// Files that the question points at.
pub(crate) fn paths(index: &Index, query: &Query, words: &WordScores) -> List {
    let mut scores: HashMap<ChunkId, f32> = HashMap::new();
    for pointed in &query.paths {
        let mut last = pointed.path.as_str();
        let mut candidates = Vec::new();
        // The name is the last part, or for `a.b.Name.method` one of those before it.
        for _ in 0..3 {
            let name = if pointed.file { stem(last) } else { imports::last(last) };
            index.each_posting(exact(Field::Path, name), |found| candidates.push(found.doc));
            match last.rsplit_once('/') {
                Some((above, _)) => last = above,
                None => break,
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        let fits: Vec<(DocId, f32)> = candidates
            .into_iter()
            .map(|doc| (doc, pointed.fits(&index.doc(doc).path)))
            .filter(|(_, fit)| *fit > 0.0)
            .collect();
        let shared = (fits.len() as f32).sqrt().max(1.0);
        for (doc, fit) in fits {
            let chunk = match pointed.line {
                Some(line) => index.chunk_at(doc, line),
                None => best_chunk(index, doc, words),
            };
            *scores.entry(chunk).or_default() += pointed.weight * fit / shared;
        }
    }
    sorted(scores)
}

/// Files that import, or are imported by, the files with the best words.
pub(crate) fn neighbours(index: &Index, best: &[DocId], words: &WordScores) -> List {
    let mut scores: HashMap<DocId, f32> = HashMap::new();
    for (rank, doc) in best.iter().take(NEIGHBOURS_OF).enumerate() {
        let near = neighbours_of(index, *doc);
        let share = 1.0 / (rank as f32 + 2.0) / (1.0 + near.len() as f32).sqrt();
        for other in near {
            *scores.entry(other).or_default() += share;
        }
    }
    let chunks = scores
        .into_iter()
        .map(|(doc, score)| (best_chunk(index, doc, words), score));
    sorted(chunks.collect())
}

/// The files at the other end of an import, in both directions.
pub(crate) fn neighbours_of(index: &Index, doc: DocId) -> Vec<DocId> {
    let own = index.doc(doc);
    let mut near = Vec::new();
    for target in &own.imports {
        let mut meant = Vec::new();
        index.each_posting(exact(Field::Path, imports::last(target)), |found| {
            let other = index.doc(found.doc);
            if other.sort.imports_from(own.sort) && imports::means(target, module(&other.path)) {
                meant.push(found.doc);
            }
        });
        meant.dedup();
        if meant.len() <= MEANINGS_MAX {
            near.extend(meant);
        }
    }
    let own_module = module(&own.path);
    index.each_posting(exact(Field::Import, imports::last(own_module)), |found| {
        let other = index.doc(found.doc);
        if other.sort.imports_from(own.sort) && other.imports.iter().any(|target| imports::means(target, own_module)) {
            near.push(found.doc);
        }
    });
    near.sort_unstable();
    near.dedup();
    near.retain(|other| *other != doc);
    near
}

/// What is like the question, words weighted by how rare they are.
pub(crate) fn likenesses(index: &Index, query: &Query, words: &WordScores, kept: &[bool], count: usize) -> List {
    let mut sum = Sum::new();
    for (wanted, rarity) in query.terms.iter().zip(&words.rarity) {
        sum.add(&wanted.word, (1.0 + wanted.count.ln()) * rarity);
    }
    let asked = sum.direction();
    let mut list = Vec::new();
    for doc in index.live() {
        if !kept[doc.0 as usize] {
            continue;
        }
        for chunk in index.chunks_of(doc) {
            let like = likeness(&asked, index.vector(ChunkId(chunk)));
            if like > LIKENESS_MIN {
                list.push((ChunkId(chunk), like));
            }
        }
    }
    best(list, count)
}

/// What is near to the question by the vectors of a model.
pub(crate) fn meanings(index: &Index, meant: &Meant<'_>, kept: &[bool], count: usize) -> List {
    let asked: Vec<i8> = in_steps(meant.question).collect();
    let mut list = Vec::new();
    for doc in index.live().filter(|doc| kept[doc.0 as usize]) {
        for (chunk, vector) in index.chunks_of(doc).zip(meant.meanings.of(index, doc)) {
            let near = likeness(&asked, vector);
            if near > MEANING_MIN {
                list.push((ChunkId(chunk), near));
            }
        }
    }
    best(list, count)
}

/// The piece of a file whose words fit best; the first of equals.
pub(crate) fn best_chunk(index: &Index, doc: DocId, words: &WordScores) -> ChunkId {
    let own = index.chunks_of(doc);
    let start = own.start;
    let best = own.fold((start, 0.0), |best, chunk| {
        let score = words.chunks[chunk as usize];
        if score > best.1 { (chunk, score) } else { best }
    });
    ChunkId(best.0)
}

fn sorted(scores: HashMap<ChunkId, f32>) -> List {
    let mut list: List = scores.into_iter().collect();
    list.sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    list
}

/// The best of a list, in order.
pub(crate) fn best<K: Ord + Copy>(mut list: Vec<(K, f32)>, count: usize) -> Vec<(K, f32)> {
    let order = |one: &(K, f32), other: &(K, f32)| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0));
    if list.len() > count && count > 0 {
        list.select_nth_unstable_by(count - 1, order);
        list.truncate(count);
    }
    list.sort_unstable_by(order);
    list
}
