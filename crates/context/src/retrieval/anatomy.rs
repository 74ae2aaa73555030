//! One file, taken apart for the index: chunks with their terms and vectors, definitions, imports. Or the reason why it
//! is not indexed.

use super::chunk;
use super::imports;
use super::language::{Sort, stem};
use super::syntax::{self, Definition, Outline};
use super::terms::{self, Field, Term, exact, moved};
use super::vector::{DIMENSIONS, Sum};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// A line of this many bytes was not written by hand.
const LINE_MAX: usize = 10_000;
/// So were lines of this many bytes on average.
const LINE_MEAN_MAX: usize = 400;
/// How much of a file is searched for a NUL byte, which no text has.
const BINARY_LOOK: usize = 8_192;

/// Why a file is not in the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Skip {
    /// It is no text.
    Binary,
    /// Its lines were not written by hand.
    Minified,
    /// It is larger than [`FILE_BYTES_MAX`].
    Large,
    /// It could not be read.
    Unreadable,
}

impl Skip {
    /// All reasons, in the order of their codes.
    pub const ALL: [Skip; 4] = [Skip::Binary, Skip::Minified, Skip::Large, Skip::Unreadable];

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Skip::Binary => "binary",
            Skip::Minified => "minified",
            Skip::Large => "large",
            Skip::Unreadable => "unreadable",
        }
    }
}

/// A piece of a file as the index knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its first line, from 1.
    pub(crate) start: u32,
    /// Its last line.
    pub(crate) end: u32,
    /// How many terms of the body it has, repetitions counted.
    pub(crate) length: u32,
    /// Its terms, each once, with how often.
    pub(crate) terms: Vec<(Term, u16)>,
    /// What it is like.
    pub(crate) vector: [i8; DIMENSIONS],
}

/// A file, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anatomy {
    /// Its path in the tree, with `/`.
    pub(crate) path: String,
    /// What it is.
    pub(crate) sort: Sort,
    /// How many lines it has.
    pub(crate) lines: u32,
    /// Its pieces in order; at least one.
    pub(crate) pieces: Vec<Piece>,
    /// What it defines.
    pub(crate) definitions: Vec<Definition>,
    /// The modules it may import.
    pub(crate) imports: Vec<String>,
}

impl Anatomy {
    /// Its path in the tree.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many lines it has.
    pub fn lines(&self) -> u32 {
        self.lines
    }
}

/// Takes a file apart. Bytes that are no UTF-8 are replaced; what is no text at all is refused.
pub fn dissect(path: &str, bytes: &[u8]) -> Result<Anatomy, Skip> {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Skip::Large);
    }
    if memchr::memchr(0, &bytes[..bytes.len().min(BINARY_LOOK)]).is_some() {
        return Err(Skip::Binary);
    }
    let text = String::from_utf8_lossy(bytes);
    let sort = Sort::of(path);
    if is_minified(&text, sort) {
        return Err(Skip::Minified);
    }
    let outline = match sort {
        Sort::Code(language) => syntax::outline(language, &text).unwrap_or_default(),
        Sort::OtherCode | Sort::Text => Outline::default(),
    };
    let spans = chunk::cut(&text, &outline.definitions);
    let imports = match sort {
        Sort::Code(language) => imports::targets(language, path, &outline.imports),
        _ => Vec::new(),
    };
    let mut references = outline.references.as_slice();
    let mut pieces: Vec<Piece> = spans
        .iter()
        .map(|span| {
            let count = references.partition_point(|(start, _)| *start < span.bytes.end);
            let (own, rest) = references.split_at(count);
            references = rest;
            piece(&text, span, own)
        })
        .collect();
    if let Some(first) = pieces.first_mut() {
        first.terms.extend(of_the_file(path, &imports));
        first.terms.sort_unstable();
        first.terms.dedup_by_key(|(term, _)| *term);
    }
    Ok(Anatomy {
        path: path.to_owned(),
        sort,
        lines: spans.last().map_or(1, |span| span.end),
        pieces,
        definitions: outline.definitions,
        imports,
    })
}

/// Whether the lines were made by a program for programs.
fn is_minified(text: &str, sort: Sort) -> bool {
    let mut lines = 0;
    let mut longest = 0;
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        longest = longest.max(end - start);
        start = end + 1;
        lines += 1;
    }
    let mean = text.len() / lines.max(1);
    longest > LINE_MAX || (sort.is_code() && text.len() > 4_096 && mean > LINE_MEAN_MAX)
}

/// The terms that stand for the file as a whole: its path and what it imports. They are kept with its first piece.
fn of_the_file(path: &str, imports: &[String]) -> Vec<(Term, u16)> {
    let mut found = Vec::new();
    terms::identifiers(path, |_, identifier| {
        terms::terms_of(identifier, |term, _| found.push((moved(term, Field::Path), 1)));
    });
    // Exact names by which others may look for it or it for others.
    found.push((exact(Field::Path, stem(path)), 1));
    found.extend(
        imports
            .iter()
            .map(|target| (exact(Field::Import, imports::last(target)), 1)),
    );
    found
}

fn piece(text: &str, span: &chunk::Span, references: &[(usize, usize)]) -> Piece {
    let body = &text[span.bytes.clone()];
    let mut words: Vec<(Term, &str)> = Vec::with_capacity(body.len() / 6);
    terms::identifiers(body, |_, identifier| {
        terms::terms_of(identifier, |term, part| words.push((term, part)));
    });
    let length = u32::try_from(words.len()).unwrap_or(u32::MAX);
    words.sort_unstable_by_key(|(term, _)| *term);
    let mut counted = Vec::with_capacity(words.len() / 2);
    let mut sum = Sum::new();
    for run in words.chunk_by(|one, other| one.0 == other.0) {
        let count = u16::try_from(run.len()).unwrap_or(u16::MAX);
        counted.push((run[0].0, count));
        sum.add(run[0].1, 1.0 + f32::from(count).ln());
    }
    let mut used: Vec<Term> = references
        .iter()
        .filter_map(|(start, end)| text.get(*start..*end))
        .map(|name| exact(Field::Reference, name))
        .collect();
    used.sort_unstable();
    for run in used.chunk_by(|one, other| one == other) {
        counted.push((run[0], u16::try_from(run.len()).unwrap_or(u16::MAX)));
    }
    counted.sort_unstable();
    counted.dedup_by_key(|(term, _)| *term);
    Piece {
        start: span.start,
        end: span.end,
        length,
        terms: counted,
        vector: sum.direction(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_readable_text_is_refused_with_its_reason() {
        assert_eq!(dissect("a.rs", b"fn a() {\0}"), Err(Skip::Binary));
        assert_eq!(dissect("a.js", "x".repeat(20_000).as_bytes()), Err(Skip::Minified));
        assert_eq!(dissect("a.txt", "word ".repeat(5_000).as_bytes()), Err(Skip::Minified));
        assert_eq!(dissect("a.rs", &vec![b'\n'; (1 << 20) + 1]), Err(Skip::Large));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_read_all_the_same() {
        let anatomy = dissect("a.c", b"/* caf\xe9 */\nint area(void) { return 1; }\n").unwrap();
        assert_eq!(anatomy.definitions[0].name, "area");
        assert_eq!(anatomy.lines, 2);
    }

    #[test]
    fn empty_files_have_one_empty_piece() {
        let anatomy = dissect("a/empty.rs", b"").unwrap();
        assert_eq!(anatomy.pieces.len(), 1);
        assert_eq!((anatomy.pieces[0].start, anatomy.pieces[0].end), (1, 1));
        assert!(anatomy.pieces[0].terms.contains(&(exact(Field::Path, "empty"), 1)));
    }

    #[test]
    fn names_that_are_used_are_terms_of_their_own() {
        let anatomy = dissect("a.rs", b"fn open() { connect() }\n").unwrap();
        let has = |field, name| {
            anatomy.pieces[0]
                .terms
                .iter()
                .any(|(term, _)| *term == exact(field, name))
        };
        assert!(has(Field::Reference, "connect"));
        assert!(!has(Field::Reference, "open"));
    }
}
