//! Vectors without a model: the character trigrams of words, hashed into few dimensions. They find what words miss:
//! other forms, compounds, spelling mistakes.

use super::terms::{WORD_MAX, hash, lowered};

/// How many dimensions a vector has.
pub(crate) const DIMENSIONS: usize = 256;

/// A vector that is being summed up.
pub(crate) struct Sum([f32; DIMENSIONS]);

impl Sum {
    /// Nothing.
    pub(crate) fn new() -> Sum {
        Sum([0.0; DIMENSIONS])
    }

    /// Adds a word with a weight: itself and its trigrams, with its ends marked.
    pub(crate) fn add(&mut self, word: &str, weight: f32) {
        let mut buffer = [0; WORD_MAX];
        let lower = lowered(word, &mut buffer);
        // Less than its trigrams together: a word that is written otherwise is to be found all the same.
        self.feature(hash(lower), weight * 0.5);
        let mut marked = [b'^'; WORD_MAX + 2];
        marked[1..=lower.len()].copy_from_slice(lower);
        marked[lower.len() + 1] = b'$';
        let grams = marked[..lower.len() + 2].windows(3);
        // A long word must not outweigh three short ones.
        let share = weight / (grams.len().max(1) as f32).sqrt();
        for gram in grams {
            self.feature(hash(gram), share);
        }
    }

    fn feature(&mut self, hash: u64, weight: f32) {
        let place = (hash % DIMENSIONS as u64) as usize;
        let signed = if hash >> 63 == 0 { weight } else { -weight };
        self.0[place] += signed;
    }

    /// The direction of the sum, in steps of 1/127.
    pub(crate) fn direction(&self) -> [i8; DIMENSIONS] {
        let length = self.0.iter().map(|x| x * x).sum::<f32>().sqrt();
        let mut direction = [0; DIMENSIONS];
        if length > 0.0 {
            for (to, from) in direction.iter_mut().zip(&self.0) {
                *to = (from / length * 127.0).round().clamp(-127.0, 127.0) as i8;
            }
        }
        direction
    }
}

/// How alike two directions are, from -1 to 1.
pub(crate) fn likeness(one: &[i8], other: &[i8]) -> f32 {
    let sum: i32 = one.iter().zip(other).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
    sum as f32 / (127.0 * 127.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> [i8; DIMENSIONS] {
        let mut sum = Sum::new();
        for word in words {
            sum.add(word, 1.0);
        }
        sum.direction()
    }

    #[test]
    fn a_misspelt_word_is_nearer_than_another_word() {
        let one = of(&["synchronization"]);
        let misspelt = of(&["synchronisaton"]);
        let other = of(&["configuration"]);
        assert!(likeness(&one, &misspelt) > likeness(&one, &other) + 0.2);
        assert!((likeness(&one, &one) - 1.0).abs() < 0.05);
        assert_eq!(likeness(&one, &of(&[])), 0.0);
    }
}
