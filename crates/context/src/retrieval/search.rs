//! A question answered: the legs asked, their lists fused by reciprocal rank, the best places given with why.

use std::collections::{BTreeMap, HashMap};

use super::index::{ChunkId, DocId, Index};
use super::language::{Sort, is_test};
use super::legs::{self, Leg, List, WordScores};
use super::meaning::Meant;
use super::query::Query;

/// The constant of reciprocal rank fusion (Cormack et al. 2009): how little the very first ranks stand out. The paper
/// has 60; 10 and the weights below are what cross-validation by repository chose (docs/economy.md).
pub const RANK_CONSTANT: f32 = 10.0;
/// Every leg gives so many times what is asked for: what is second in two lists must not be lost to either.
const OVERFETCH: usize = 4;
/// And no less than so many.
const FETCH_MIN: usize = 50;
/// How many answers are given at most.
pub const ANSWERS_MAX: usize = 200;
/// A question of more different terms is not asked by likeness and meaning.
const SHORT_TERMS: usize = 12;
/// How many matching words are named as a reason.
const WORDS_NAMED: usize = 6;

/// What an answer is: a file once, or any number of places in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Each file once, by its best place.
    File,
    /// Each place by itself.
    Span,
}

/// What to search for and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many answers.
    pub count: usize,
    /// What an answer is.
    pub unit: Unit,
    /// Only code.
    pub code_only: bool,
    /// Leave tests out.
    pub no_tests: bool,
    /// Only below this path.
    pub below: Option<String>,
    /// What each leg counts; a leg of no weight is not asked.
    pub weights: Weights,
    /// The constant of the fusion.
    pub rank_constant: f32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            count: 10,
            unit: Unit::Span,
            code_only: false,
            no_tests: false,
            below: None,
            weights: Weights::default(),
            rank_constant: RANK_CONSTANT,
        }
    }
}

/// What each leg counts in the fusion.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weights(pub [f32; Leg::ALL.len()]);

impl Default for Weights {
    fn default() -> Weights {
        Weights([1.0, 0.5, 0.5, 0.25, 0.25, 0.25])
    }
}

impl Weights {
    /// Only one leg.
    pub fn only(leg: Leg) -> Weights {
        let mut weights = [0.0; Leg::ALL.len()];
        weights[leg as usize] = 1.0;
        Weights(weights)
    }

    fn of(self, leg: Leg) -> f32 {
        self.0[leg as usize]
    }

    /// For one question: a long one has enough words of its own, and vectors only blur them (measured); a short one may have
    /// just the word that is spelt otherwise, or another word for the same.
    fn for_question(self, query: &Query) -> Weights {
        let mut weights = self;
        if query.terms.len() > SHORT_TERMS {
            weights.0[Leg::Likeness as usize] = 0.0;
            weights.0[Leg::Meaning as usize] = 0.0;
        }
        weights
    }
}

/// A place that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct Hit {
    /// The file.
    pub path: String,
    /// What it is.
    pub sort: Sort,
    /// Its first line, from 1.
    pub start: u32,
    /// Its last line.
    pub end: u32,
    /// What the fusion gave it. Comparable within one answer only.
    pub score: f32,
    /// The definition that it is, or that is around it.
    pub within: Option<String>,
    /// Which legs found it, at which rank (from 1).
    pub ranks: BTreeMap<Leg, usize>,
    /// Words of the question that are there, the rarest first.
    pub words: Vec<String>,
    /// Names of the question that are defined there.
    pub defines: Vec<String>,
}

/// Whether a question is looked for by meaning, where there are vectors: they need not be made for one that is not.
pub fn asks_for_meaning(query: &Query, options: &Options) -> bool {
    !query.is_empty() && options.weights.for_question(query).of(Leg::Meaning) > 0.0
}

/// Answers a question. Without vectors of a model that way of looking is left out.
pub fn search(index: &Index, query: &Query, options: &Options, meant: Option<Meant<'_>>) -> Vec<Hit> {
    if query.is_empty() || index.files() == 0 {
        return Vec::new();
    }
    let options = &Options {
        weights: options.weights.for_question(query),
        ..options.clone()
    };
    let count = options.count.clamp(1, ANSWERS_MAX);
    let kept = kept(index, options);
    let words = legs::words(index, query);
    let mut lists = lists(index, query, options, &words, &kept);
    if let Some(meant) = meant
        && options.weights.of(Leg::Meaning) > 0.0
    {
        lists.push((
            Leg::Meaning,
            legs::meanings(index, &meant, &kept, vectors_fetched(options)),
        ));
    }
    let mut fused: HashMap<ChunkId, f32> = HashMap::new();
    let mut ranks: HashMap<ChunkId, BTreeMap<Leg, usize>> = HashMap::new();
    let mut first: HashMap<DocId, ChunkId> = HashMap::new();
    for (leg, list) in &lists {
        for (rank, (chunk, _)) in unique(index, list, options.unit).enumerate() {
            let place = match options.unit {
                Unit::Span => chunk,
                Unit::File => *first.entry(index.doc_of(chunk)).or_insert(chunk),
            };
            let share = options.weights.of(*leg) / (options.rank_constant + rank as f32 + 1.0);
            *fused.entry(place).or_default() += share;
            ranks.entry(place).or_default().insert(*leg, rank + 1);
        }
    }
    let best = legs::best(fused.into_iter().collect(), count);
    let mut there = matched(index, query, &words, &best);
    let shown = best.into_iter().map(|(chunk, score)| {
        let ranks = ranks.remove(&chunk).unwrap_or_default();
        let words = there.remove(&chunk).unwrap_or_default();
        hit(index, query, chunk, score, ranks, words)
    });
    shown.collect()
}

/// The words of the question in each of the places, the rarest first.
fn matched(
    index: &Index,
    query: &Query,
    words: &WordScores,
    places: &[(ChunkId, f32)],
) -> HashMap<ChunkId, Vec<String>> {
    let mut there: HashMap<ChunkId, Vec<(f32, &str)>> = places.iter().map(|(chunk, _)| (*chunk, Vec::new())).collect();
    for (wanted, rarity) in query.terms.iter().zip(&words.rarity) {
        index.each_posting(wanted.term, |found| {
            if let Some(list) = there.get_mut(&found.chunk) {
                list.push((*rarity, &wanted.word));
            }
        });
    }
    let named = there.into_iter().map(|(chunk, mut list)| {
        list.sort_by(|one, other| other.0.total_cmp(&one.0));
        (
            chunk,
            list.iter()
                .take(WORDS_NAMED)
                .map(|(_, word)| (*word).to_owned())
                .collect(),
        )
    });
    named.collect()
}

fn kept(index: &Index, options: &Options) -> Vec<bool> {
    let below = options
        .below
        .as_deref()
        .map(|path| path.trim_start_matches("./").trim_end_matches('/'));
    let mut kept = vec![false; index.doc_count()];
    for id in index.live() {
        let doc = index.doc(id);
        let inside = below.is_none_or(|below| {
            let rest = doc.path.strip_prefix(below);
            below.is_empty() || below == "." || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        kept[id.0 as usize] =
            inside && (!options.code_only || doc.sort.is_code()) && !(options.no_tests && is_test(&doc.path));
    }
    kept
}

/// How much each leg gives.
fn fetched(options: &Options) -> usize {
    (options.count * OVERFETCH).max(FETCH_MIN)
}

/// How much legs of vectors give: several pieces of one file may come before the next file.
fn vectors_fetched(options: &Options) -> usize {
    fetched(options) * if options.unit == Unit::File { 4 } else { 1 }
}

/// What every leg of the index itself says that has a weight, in order.
fn lists(index: &Index, query: &Query, options: &Options, words: &WordScores, kept: &[bool]) -> Vec<(Leg, List)> {
    let fetch = fetched(options);
    let asked = |leg: Leg| options.weights.of(leg) > 0.0;
    let keep = |list: List| -> List {
        let own = list
            .into_iter()
            .filter(|(chunk, _)| kept[index.doc_of(*chunk).0 as usize]);
        own.take(fetch).collect()
    };
    let best_docs = best_docs(index, words, kept, fetch);
    let mut lists = Vec::new();
    if asked(Leg::Words) {
        let list = match options.unit {
            Unit::File => {
                let chunks = best_docs
                    .iter()
                    .map(|(doc, score)| (legs::best_chunk(index, *doc, words), *score));
                chunks.collect()
            }
            Unit::Span => best_chunks(index, words, kept, fetch),
        };
        lists.push((Leg::Words, list));
    }
    if asked(Leg::Definitions) {
        lists.push((Leg::Definitions, keep(legs::definitions(index, query))));
    }
    if asked(Leg::Paths) {
        lists.push((Leg::Paths, keep(legs::paths(index, query, words))));
    }
    if asked(Leg::Neighbours) {
        let docs: Vec<DocId> = best_docs.iter().map(|(doc, _)| *doc).collect();
        lists.push((Leg::Neighbours, keep(legs::neighbours(index, &docs, words))));
    }
    if asked(Leg::Likeness) {
        let count = vectors_fetched(options);
        lists.push((Leg::Likeness, legs::likenesses(index, query, words, kept, count)));
    }
    lists
}

/// Files by their own score and that of their best piece, which tells a file about it from a long one that mentions it.
fn best_docs(index: &Index, words: &WordScores, kept: &[bool], count: usize) -> Vec<(DocId, f32)> {
    let mut list = Vec::new();
    for doc in index.live() {
        let score = words.docs[doc.0 as usize];
        if kept[doc.0 as usize] && score > 0.0 {
            let best = legs::best_chunk(index, doc, words);
            list.push((doc, score + words.chunks[best.0 as usize]));
        }
    }
    legs::best(list, count)
}

fn best_chunks(index: &Index, words: &WordScores, kept: &[bool], count: usize) -> List {
    let mut list = Vec::new();
    for doc in index.live().filter(|doc| kept[doc.0 as usize]) {
        // A piece of a file that is about it all is worth more than the same piece elsewhere.
        let around = words.docs[doc.0 as usize] * 0.25;
        for chunk in index.chunks_of(doc) {
            let score = words.chunks[chunk as usize];
            if score > 0.0 {
                list.push((ChunkId(chunk), score + around));
            }
        }
    }
    legs::best(list, count)
}

/// The list with every place, or every file, once.
fn unique<'a>(index: &'a Index, list: &'a List, unit: Unit) -> impl Iterator<Item = (ChunkId, f32)> + 'a {
    let mut seen = std::collections::HashSet::new();
    list.iter().copied().filter(move |(chunk, _)| {
        seen.insert(match unit {
            Unit::Span => chunk.0,
            Unit::File => index.doc_of(*chunk).0,
        })
    })
}

fn hit(
    index: &Index,
    query: &Query,
    chunk: ChunkId,
    score: f32,
    ranks: BTreeMap<Leg, usize>,
    words: Vec<String>,
) -> Hit {
    let id = index.doc_of(chunk);
    let (doc, piece) = (index.doc(id), index.chunk(chunk));
    let symbols = index.symbols_of(id);
    let inside = || symbols.iter().filter(|s| (piece.start..=piece.end).contains(&s.start));
    let asked: Vec<_> = inside()
        .filter(|symbol| query.names.iter().any(|named| named.name == symbol.name))
        .collect();
    // The span of the definition that was asked for, where it is one; the whole piece otherwise.
    let (start, end) = match asked.as_slice() {
        [one] if ranks.contains_key(&Leg::Definitions) => (one.start, one.end),
        _ => (piece.start, piece.end),
    };
    let around = symbols
        .iter()
        .rev()
        .find(|s| s.start <= piece.start && s.end >= piece.end);
    let within = asked.first().copied().or(around).or_else(|| inside().next());
    let mut defines: Vec<String> = asked.iter().map(|symbol| symbol.name.clone()).collect();
    defines.dedup();
    Hit {
        path: doc.path.clone(),
        sort: doc.sort,
        start,
        end,
        score,
        within: within.map(|symbol| format!("{} {}", symbol.kind.name(), symbol.name)),
        ranks,
        words,
        defines,
    }
}
