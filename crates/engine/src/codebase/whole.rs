//! Vectors of every piece of the tree, from a model that is quick enough: kept beside the index, brought up to it with each
//! question, only for files that changed, and never for longer than one question may take.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wheelhouse_context::retrieval::catalogue::Catalogue;
use wheelhouse_context::retrieval::index::Index;
use wheelhouse_context::retrieval::meaning::{Meanings, Missing};

use super::{Embed, tree};
use crate::private;
use crate::supervise;

/// Where they lie, in the directory of the index.
pub(super) const KEPT: &str = "meaning";
/// What one question may take for them.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(60),
    bytes: 256 << 20,
};
/// So many files are read and asked about at a time.
const BATCH: usize = 256;

/// How far vectors are made.
#[derive(Clone, Copy)]
struct Limits {
    /// How long one question makes them; the next goes on where it stopped.
    time: Duration,
    /// How much memory they take, near enough: a million pieces at 256 numbers.
    bytes: usize,
}

/// The vectors of a tree.
pub(super) struct Whole {
    meanings: Meanings,
    kept: Option<PathBuf>,
    limits: Limits,
}

impl Whole {
    /// Those of this maker that are kept in the directory of the index; else none yet. What is damaged is made anew.
    pub(super) fn open(embed: &dyn Embed, dimensions: usize, index: Option<&Path>) -> Whole {
        let kept = index.map(|index| index.join(KEPT));
        let known = kept.as_ref().and_then(|path| std::fs::read(path).ok());
        let known = known.and_then(|bytes| Meanings::decode(&bytes).ok());
        Whole {
            meanings: known
                .filter(|known| known.maker() == embed.name())
                .unwrap_or_else(|| Meanings::new(embed.name(), dimensions)),
            kept,
            limits: LIMITS,
        }
    }

    /// The vectors.
    pub(super) fn meanings(&self) -> &Meanings {
        &self.meanings
    }

    /// Whether they are of this maker.
    pub(super) fn is_of(&self, embed: &dyn Embed) -> bool {
        self.meanings.maker() == embed.name()
    }

    /// Makes what is missing, as far as time and memory reach, and gives what people should know.
    pub(super) fn raise(
        &mut self,
        embed: &dyn Embed,
        root: &Path,
        index: &Index,
        catalogue: &Catalogue,
    ) -> Result<Vec<String>, String> {
        let began = Instant::now();
        let mut notices = Vec::new();
        let (missing, mut changed) = self.meanings.missing(index, catalogue);
        let mut left = missing.len();
        for batch in missing.chunks(BATCH) {
            if self.meanings.weight() > self.limits.bytes {
                break;
            }
            self.make(embed, root, batch)?;
            left -= batch.len();
            changed = true;
            // After the work: however slow it is, each question gets on.
            if began.elapsed() > self.limits.time {
                break;
            }
        }
        if left > 0 {
            let why = match self.meanings.weight() > self.limits.bytes {
                true => format!("vectors fill the {} MiB that they may take", self.limits.bytes >> 20),
                false => format!(
                    "{} s were up; the next question goes on with them",
                    self.limits.time.as_secs()
                ),
            };
            notices.push(format!("{left} files are not looked at by meaning yet: {why}"));
        }
        if changed
            && let Some(kept) = &self.kept
            && let Err(why) = private::write(kept, &self.meanings.encode())
        {
            notices.push(format!("the vectors of the tree could not be kept: {why}"));
        }
        Ok(notices)
    }

    fn make(&mut self, embed: &dyn Embed, root: &Path, batch: &[Missing]) -> Result<(), String> {
        let texts: Vec<String> = supervise::many_hands(batch, |one| texts(root, one)).concat();
        let (vectors, _) = embed.embed(&texts)?;
        let mut rest = vectors.as_slice();
        for one in batch {
            let (own, others) = rest
                .split_at_checked(one.pieces.len())
                .ok_or("there are fewer vectors than texts")?;
            self.meanings.take(one.clone(), own);
            rest = others;
        }
        Ok(())
    }
}

/// The pieces of a file as they are read: its path, then their lines. One that cannot be read any more has no lines; the
/// next look at the tree drops it.
fn texts(root: &Path, of: &Missing) -> Vec<String> {
    let bytes = tree::read(root, &of.path).unwrap_or_default();
    let whole = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = whole.lines().collect();
    let text = |(start, end): &(u32, u32)| {
        let from = (start.saturating_sub(1) as usize).min(lines.len());
        let to = (*end as usize).clamp(from, lines.len());
        format!("{}\n{}", of.path, lines[from..to].join("\n"))
    };
    of.pieces.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Codebase;
    use super::*;

    /// The same vector for each text.
    struct Same;

    impl Embed for Same {
        fn name(&self) -> &str {
            "same"
        }

        fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Option<u64>), String> {
            Ok((vec![vec![1.0, 0.0]; texts.len()], None))
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_said_and_made_by_the_next_question() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..BATCH + 44 {
            std::fs::write(root.path().join(format!("{number}.txt")), "x\n").unwrap();
        }
        let mut codebase = Codebase::open(root.path(), None);
        codebase.update().unwrap();
        let raised = |whole: &mut Whole| {
            whole
                .raise(&Same, root.path(), &codebase.index, &codebase.catalogue)
                .unwrap()
        };
        let mut whole = Whole::open(&Same, 2, None);
        whole.limits.time = Duration::ZERO;
        let said = raised(&mut whole);
        assert_eq!(
            said,
            ["44 files are not looked at by meaning yet: 0 s were up; the next question goes on with them"]
        );
        assert_eq!(whole.meanings().pieces(), BATCH);
        assert_eq!(raised(&mut whole), [""; 0]);
        assert_eq!(whole.meanings().pieces(), BATCH + 44);
        let mut whole = Whole::open(&Same, 2, None);
        whole.limits.bytes = 2 * BATCH - 1;
        for _ in 0..2 {
            let said = raised(&mut whole);
            let full = "44 files are not looked at by meaning yet: vectors fill the 0 MiB that they may take";
            assert_eq!(said, [full]);
            assert_eq!(whole.meanings().pieces(), BATCH);
        }
    }
}
