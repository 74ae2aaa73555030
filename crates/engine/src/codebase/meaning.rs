//! Places ordered by meaning: vectors of the question and of each place, from whoever can make them, kept by the hash of
//! what they are of.
//!
//! The other ways of looking choose the places; vectors order them anew, fused with the first order by reciprocal rank. So
//! a question costs as many texts as there are places that are not known yet, whatever the size of the project.

use std::path::{Path, PathBuf};

use wheelhouse_context::port::Files;
use wheelhouse_context::retrieval::search::RANK_CONSTANT;

use super::Hit;
use crate::private;

/// The most of one place that is looked at, in bytes: about what models for code take at once.
const TEXT_MAX: usize = 2_000;
/// How many vectors are kept; beyond that all are dropped, and made again as they are needed.
const KEPT_MAX: usize = 20_000;
/// Where they lie, below the index.
const KEPT: &str = "vectors";

/// Makes vectors of texts.
pub trait Embed: Send + Sync {
    /// What makes them: vectors of different makers are not compared.
    fn name(&self) -> &str;

    /// One for each text, all of one length, and how many tokens that took, where it is known.
    fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Option<u64>), String>;
}

/// An order by meaning, and what it took.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ordered {
    /// The places by their numbers, the best first.
    pub order: Vec<usize>,
    /// How near each place is to the question, from -1 to 1.
    pub near: Vec<f32>,
    /// How many texts were asked for.
    pub asked: usize,
    /// How many were known.
    pub known: usize,
    /// What asking took, in tokens; none where nobody said, or nothing was asked.
    pub tokens: Option<u64>,
}

/// Orders places by how near they are to the question, which counts `share` of what the order counts in which they are
/// given. `index` is where the index is kept, when it is.
pub fn order(
    embed: &dyn Embed,
    share: f32,
    index: Option<&Path>,
    question: &str,
    hits: &[Hit],
    files: &dyn Files,
) -> Result<Ordered, String> {
    let mut texts = vec![clipped(question)];
    texts.extend(hits.iter().map(|hit| text(hit, files)));
    let shelf = index.map(|index| index.join(KEPT));
    let place = |text: &str| shelf.as_ref().map(|shelf| shelf.join(name(embed.name(), text)));
    let mut vectors: Vec<Option<Vec<f32>>> = texts
        .iter()
        .map(|text| place(text).and_then(|path| read(&path)))
        .collect();
    let missing: Vec<usize> = (0..texts.len()).filter(|place| vectors[*place].is_none()).collect();
    let mut tokens = None;
    if !missing.is_empty() {
        let wanted: Vec<String> = missing.iter().map(|place| texts[*place].clone()).collect();
        let (made, took) = embed.embed(&wanted)?;
        if made.len() != wanted.len() {
            return Err(format!("{} vectors came for {} texts", made.len(), wanted.len()));
        }
        tokens = took;
        if let Some(shelf) = &shelf {
            keep(shelf, embed.name(), &wanted, &made);
        }
        for (place, vector) in missing.iter().zip(made) {
            vectors[*place] = Some(vector);
        }
    }
    let vectors: Vec<Vec<f32>> = vectors.into_iter().flatten().collect();
    let (asked, rest) = vectors.split_first().ok_or("there is nothing to compare")?;
    if rest.iter().any(|vector| vector.len() != asked.len()) {
        return Err(
            "its vectors are of different lengths; `find.embeddings.model` may have changed under one name".to_owned(),
        );
    }
    let near: Vec<f32> = rest.iter().map(|vector| nearness(asked, vector)).collect();
    Ok(Ordered {
        order: fused(&near, share),
        near,
        asked: missing.len(),
        known: texts.len() - missing.len(),
        tokens,
    })
}

/// Both orders fused by reciprocal rank: the first, in which the places are given, and that by nearness.
fn fused(near: &[f32], counts: f32) -> Vec<usize> {
    let mut by_meaning: Vec<usize> = (0..near.len()).collect();
    by_meaning.sort_by(|one, other| near[*other].total_cmp(&near[*one]));
    let share = |rank: usize| 1.0 / (RANK_CONSTANT + rank as f32 + 1.0);
    let mut scores: Vec<f32> = (0..near.len()).map(share).collect();
    for (rank, place) in by_meaning.iter().enumerate() {
        scores[*place] += counts * share(rank);
    }
    let mut order: Vec<usize> = (0..near.len()).collect();
    // Of equals the nearer one: the first stage saw only words.
    order.sort_by(|one, other| {
        let by_rank = scores[*other].total_cmp(&scores[*one]);
        by_rank.then_with(|| near[*other].total_cmp(&near[*one]))
    });
    order
}

/// The cosine of the angle between two vectors; 0 for one without a direction.
fn nearness(one: &[f32], other: &[f32]) -> f32 {
    let dot: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    let length = |vector: &[f32]| vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    let lengths = length(one) * length(other);
    if lengths > 0.0 { dot / lengths } else { 0.0 }
}

fn text(hit: &Hit, files: &dyn Files) -> String {
    let bytes = files.read(&hit.path).unwrap_or_default();
    let whole = String::from_utf8_lossy(&bytes);
    let first = hit.start.saturating_sub(1) as usize;
    let count = (hit.end.saturating_add(1).saturating_sub(hit.start)) as usize;
    let lines: Vec<&str> = whole.lines().skip(first).take(count).collect();
    clipped(&format!("{}\n{}", hit.path, lines.join("\n")))
}

fn clipped(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

fn name(maker: &str, text: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(maker.as_bytes()).update(b"\0").update(text.as_bytes());
    hash.finalize().to_hex().to_string()
}

/// A vector from the shelf. What is there and is no vector is as good as nothing.
fn read(path: &PathBuf) -> Option<Vec<f32>> {
    let bytes = std::fs::read(path).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let vector: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let sound = rest.is_empty() && !vector.is_empty() && vector.iter().all(|number| number.is_finite());
    sound.then_some(vector)
}

/// Puts vectors on the shelf. They are a cache: what cannot be kept is made again.
fn keep(shelf: &Path, maker: &str, texts: &[String], vectors: &[Vec<f32>]) {
    let full = std::fs::read_dir(shelf).is_ok_and(|all| all.count() + texts.len() > KEPT_MAX);
    if full {
        let _ = std::fs::remove_dir_all(shelf);
    }
    if std::fs::create_dir_all(shelf).is_err() {
        return;
    }
    for (text, vector) in texts.iter().zip(vectors) {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        if private::write(&shelf.join(name(maker, text)), &bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use wheelhouse_context::retrieval::language::Sort;

    use super::*;

    /// Vectors by the share of vowels; notes what it was asked.
    #[derive(Default)]
    struct Vowels(Mutex<Vec<usize>>);

    impl Embed for Vowels {
        fn name(&self) -> &str {
            "vowels"
        }

        fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Option<u64>), String> {
            self.0.lock().unwrap().push(texts.len());
            let one = |text: &String| {
                let of = |letter: char| text.chars().filter(|other| *other == letter).count() as f32;
                vec![of('a'), of('o')]
            };
            Ok((texts.iter().map(one).collect(), Some(9)))
        }
    }

    fn hit(path: &str) -> Hit {
        Hit {
            path: path.to_owned(),
            sort: Sort::Text,
            start: 1,
            end: 1,
            score: 0.0,
            within: None,
            ranks: BTreeMap::new(),
            words: Vec::new(),
            defines: Vec::new(),
        }
    }

    #[test]
    fn places_are_ordered_and_nothing_is_asked_twice() {
        let dir = tempfile::tempdir().unwrap();
        let files = BTreeMap::from([
            ("x".to_owned(), b"aaaa".to_vec()),
            ("y".to_owned(), b"oooo".to_vec()),
            ("z".to_owned(), b"aaoo".to_vec()),
        ]);
        let hits = [hit("x"), hit("y"), hit("z")];
        let maker = Vowels::default();
        let ordered = order(&maker, 1.0, Some(dir.path()), "oo", &hits, &files).unwrap();
        assert_eq!((ordered.asked, ordered.known, ordered.tokens), (4, 0, Some(9)));
        assert_eq!(ordered.order, [1, 0, 2], "first by meaning, second by the first stage");
        let again = order(&maker, 1.0, Some(dir.path()), "oo", &hits, &files).unwrap();
        assert_eq!((again.asked, again.known, again.tokens), (0, 4, None));
        assert_eq!(again.order, ordered.order);
        // A quarter of a share is too little to change places among three.
        let quarter = order(&maker, 0.25, Some(dir.path()), "oo", &hits, &files).unwrap();
        assert_eq!(quarter.order, [0, 1, 2]);
        // A changed place and a damaged vector are asked again, the others not.
        let mut files = files;
        files.insert("x".to_owned(), b"aaaa!".to_vec());
        let kept = dir.path().join(KEPT).join(name("vowels", "y\noooo"));
        std::fs::write(kept, b"abc").unwrap();
        assert_eq!(
            order(&maker, 1.0, Some(dir.path()), "oo", &hits, &files).unwrap().asked,
            2
        );
        assert_eq!(*maker.0.lock().unwrap(), [4, 2]);
    }
}
