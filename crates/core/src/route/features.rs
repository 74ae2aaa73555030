//! What learning sees of a task: the shape of its text, and which words and pairs of words are in it, as numbers.
//!
//! Words are hashed (feature hashing, Weinberger and others 2009) into a fixed number of places, so that what is kept of a
//! task is small, of bounded size, and does not have its words in it. Kept with the task's outcome and read back for
//! ever: a change of the hash or of the shape needs another `VERSION`.

use crate::analysis::READ_MAX;

/// The first byte of features as bytes. Others are not read: such a task speaks by its outcome only.
const VERSION: u8 = 1;
/// How many numbers make the shape.
pub(super) const SHAPES: usize = 10;
/// The shapes, as they are told to people.
pub(super) const SHAPE_NAMES: [&str; SHAPES] = [
    "its length",
    "its numbers",
    "its operators",
    "its questions",
    "its lines",
    "the length of its words",
    "how seldom words are repeated",
    "its commas",
    "its code",
    "its list",
];
/// Single words are hashed into the lower half, pairs of neighbours into the upper one.
const HALF: u16 = 1 << 14;
/// How many places there are.
pub(super) const PLACES: usize = 2 * HALF as usize;
/// How many places a task takes at the most, in the order of its words: 522 bytes in all.
const WORDS_MAX: usize = 256;

/// The shape and the words of one task.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Each on a scale of its own, mostly sixteenths of a doubling.
    pub(super) shape: [u8; SHAPES],
    /// Places of words and pairs, ascending, each once.
    pub(super) words: Vec<u16>,
}

impl Features {
    /// Those of a text; what is beyond [`READ_MAX`] is not read.
    pub fn of(text: &str) -> Features {
        let read = &text[..text.floor_char_boundary(READ_MAX)];
        let mut words = Vec::new();
        each(read, |place, _, _| {
            if !words.contains(&place) {
                words.push(place);
            }
            words.len() < WORDS_MAX
        });
        words.sort_unstable();
        Features {
            shape: shape(read),
            words,
        }
    }

    /// As bytes, for a store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.shape);
        bytes.extend(self.words.iter().flat_map(|place| place.to_le_bytes()));
        bytes
    }

    /// From bytes; none when they are of another version, or no features.
    pub fn from_bytes(bytes: &[u8]) -> Option<Features> {
        let (version, rest) = bytes.split_first()?;
        let (shape, words) = rest.split_at_checked(SHAPES)?;
        let mut places = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks(2) {
            let place = u16::from_le_bytes(pair.try_into().ok()?);
            let follows = places.last().is_none_or(|before| *before < place);
            if usize::from(place) >= PLACES || !follows {
                return None;
            }
            places.push(place);
        }
        (*version == VERSION && places.len() <= WORDS_MAX).then_some(Features {
            shape: shape.try_into().ok()?,
            words: places,
        })
    }
}

/// Whether a place is that of a pair.
pub(super) fn is_pair(place: u16) -> bool {
    place >= HALF
}

/// The words of a text with the place of each, and with the place of each pair the word before; until told to stop.
pub(super) fn each<'t>(text: &'t str, mut more: impl FnMut(u16, Option<&'t str>, &'t str) -> bool) {
    let mut before: Option<(u32, &str)> = None;
    for word in words(text) {
        let hash = hash(word);
        if !more(place(hash), None, word) {
            return;
        }
        if let Some((earlier, text)) = before {
            let pair = earlier.rotate_left(7) ^ hash.wrapping_mul(0x9e37_79b1);
            if !more(HALF | place(pair), Some(text), word) {
                return;
            }
        }
        before = Some((hash, word));
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// FNV-1a over the word, ASCII letters as small ones.
fn hash(word: &str) -> u32 {
    word.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

/// The upper bits are mixed into the lower ones, which FNV leaves alike for alike words.
fn place(hash: u32) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "folded below HALF")]
    let folded = (hash ^ (hash >> 15)) as u16;
    folded & (HALF - 1)
}

fn shape(text: &str) -> [u8; SHAPES] {
    let mut seen: Vec<u32> = Vec::new();
    let (mut count, mut letters, mut numbers) = (0_usize, 0_usize, 0_usize);
    for word in words(text) {
        count += 1;
        letters += word.len();
        numbers += usize::from(word.bytes().all(|byte| byte.is_ascii_digit()));
        seen.push(hash(word));
    }
    seen.sort_unstable();
    seen.dedup();
    let of = |wanted: fn(&char) -> bool| text.chars().filter(wanted).count();
    let items = text.lines().filter(|line| {
        let line = line.trim_start();
        line.starts_with("- ") || line.starts_with("* ") || line.starts_with(|c: char| c.is_ascii_digit())
    });
    [
        doublings(text.len()),
        doublings(numbers),
        doublings(of(|c| "+-*/=<>%$^|&".contains(*c))),
        doublings(of(|c| *c == '?')),
        doublings(of(|c| *c == '\n')),
        share(letters, count, 16),
        share(seen.len(), count, 255),
        doublings(of(|c| matches!(c, ',' | ';'))),
        u8::from(text.contains("```")) * 16,
        doublings(items.count()),
    ]
}

/// Sixteenths of a doubling: 0 for none, 16 for one, 32 for three.
fn doublings(count: usize) -> u8 {
    #[expect(clippy::cast_precision_loss, reason = "at most READ_MAX")]
    let doublings = (count as f64 + 1.0).log2() * 16.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 225")]
    let rounded = doublings.round().min(255.0) as u8;
    rounded
}

fn share(part: usize, whole: usize, scale: usize) -> u8 {
    u8::try_from((part * scale).checked_div(whole).unwrap_or(0)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_to_bytes_and_back_and_what_is_none_is_refused() {
        let features = Features::of("Fix the flaky test of the parser: 3 + 4 = 7?\n- first\n- second");
        let bytes = features.to_bytes();
        assert_eq!(Features::from_bytes(&bytes), Some(features.clone()));
        assert_eq!(bytes.len(), 1 + SHAPES + 2 * features.words.len());
        let mut newer = bytes.clone();
        newer[0] = 9;
        let mut backwards = bytes.clone();
        backwards.extend([0, 0]);
        let mut outside = bytes.clone();
        outside.extend([0xff, 0xff]);
        for wrong in [
            &[][..],
            &[VERSION],
            &bytes[..bytes.len() - 1],
            &newer,
            &backwards,
            &outside,
        ] {
            assert_eq!(Features::from_bytes(wrong), None, "{wrong:?}");
        }
        let none = Features::of("");
        assert_eq!(Features::from_bytes(&none.to_bytes()), Some(none));
    }

    #[test]
    fn they_are_the_same_for_ever_and_bounded() {
        let features = Features::of("Fix the flaky, test");
        assert_eq!(features, Features::of("fix THE flaky, TEST"));
        assert_eq!(features.words.len(), 7, "four words and three pairs");
        let singles = features.words.iter().filter(|place| **place < HALF);
        assert_eq!(singles.collect::<Vec<_>>(), [&5292, &6657, &10161, &11845]);
        let long: String = (0..90_000).map(|number| format!("word{number} ")).collect();
        let bytes = Features::of(&long).to_bytes();
        assert_eq!(bytes.len(), 1 + SHAPES + 2 * WORDS_MAX);
        Features::of(&"é".repeat(READ_MAX));
    }
}
