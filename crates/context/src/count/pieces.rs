//! The pieces that the pattern of `o200k_base` takes text apart into, and a memory of what they came to.
//!
//! No token reaches across two pieces, so a text has as many tokens as its pieces together. Where a piece ends is said
//! here for ASCII alone; what touches a character beyond it is left to the crate that has the vocabulary, up to the next
//! place that is an end in any case. Most of a text is the same few thousand words again and again: each is looked up in
//! the vocabulary, or merged, once, and then found in a table that fits the second cache of a core.

use std::cell::RefCell;

use tiktoken::CoreBpe;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::default());
}

/// Bytes that are merged at once. A line of 100 MB without a space must not be one piece, whose merging needs memory of
/// many times its size; each cut costs a few tokens at the most.
pub(super) const PIECE_MAX: usize = 1 << 20;

/// How many tokens the text has.
pub(super) fn count(vocabulary: &CoreBpe, text: &str) -> usize {
    MEMORY.with_borrow_mut(|memory| {
        let bytes = text.as_bytes();
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let end = end(bytes, at).unwrap_or_else(|| seam(text, at));
            count += memory.recall(bytes, at..end, || merged(vocabulary, &text[at..end]));
            at = end;
        }
        count
    })
}

/// By the crate, piece after piece or, where there are huge ones, in parts.
fn merged(vocabulary: &CoreBpe, mut text: &str) -> usize {
    let mut count = 0;
    while text.len() > PIECE_MAX {
        let (part, rest) = text.split_at(text.floor_char_boundary(PIECE_MAX));
        count += vocabulary.count(part);
        text = rest;
    }
    count + vocabulary.count(text)
}

/// What the pattern tells apart in ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
    /// Line feed and carriage return.
    Line,
    Space,
    /// The other white space.
    White,
    /// Everything else, control characters too.
    Sign,
    /// A part of a character beyond ASCII.
    Beyond,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Beyond; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' => Class::Upper,
            b'a'..=b'z' => Class::Lower,
            b'0'..=b'9' => Class::Digit,
            b'\r' | b'\n' => Class::Line,
            b' ' => Class::Space,
            b'\t' | 0x0b | 0x0c => Class::White,
            _ => Class::Sign,
        };
        byte += 1;
    }
    classes
};

fn class(bytes: &[u8], at: usize) -> Option<Class> {
    bytes.get(at).map(|byte| CLASSES[usize::from(*byte)])
}

/// Where the piece ends that begins here; nothing where a character beyond ASCII has a say in it.
///
/// The pattern, without what it says of characters beyond ASCII: `[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+('s|'t|'re|'ve|'m|'ll|'d)?`
/// or the same with `[A-Z]+[a-z]*`; `[0-9]{1,3}`; ` ?[^\sA-Za-z0-9]+[\r\n/]*`; `\s*[\r\n]+`; `\s+(?!\S)`; `\s+`. The
/// first that fits has it.
#[inline(always)]
fn end(bytes: &[u8], at: usize) -> Option<usize> {
    match (CLASSES[usize::from(bytes[at])], class(bytes, at + 1)) {
        (Class::Upper | Class::Lower, _) => word(bytes, at),
        (Class::Beyond, _) => None,
        (Class::Digit, _) => digits(bytes, at),
        (Class::Line, _) => white(bytes, at),
        (_, Some(Class::Upper | Class::Lower)) => word(bytes, at + 1),
        (Class::Sign, _) => signs(bytes, at),
        (Class::Space, Some(Class::Sign)) => signs(bytes, at + 1),
        (Class::Space | Class::White, _) => white(bytes, at),
    }
}

#[inline(always)]
fn word(bytes: &[u8], mut at: usize) -> Option<usize> {
    while class(bytes, at) == Some(Class::Upper) {
        at += 1;
    }
    loop {
        let run = lower_run(eight(bytes, at));
        at += run;
        if run < 8 {
            break;
        }
    }
    match bytes.get(at) {
        Some(b'\'') => contraction(bytes, at),
        Some(128..) => None,
        _ => Some(at),
    }
}

/// The end of a word before an apostrophe. Case is no matter, and the long s counts as an s.
fn contraction(bytes: &[u8], at: usize) -> Option<usize> {
    let lower = |at: usize| bytes.get(at).map(u8::to_ascii_lowercase);
    if bytes[at + 1..].starts_with("ſ".as_bytes()) {
        return Some(at + 1 + "ſ".len());
    }
    match (lower(at + 1), lower(at + 2)) {
        (Some(128..), _) => None,
        (Some(b's' | b't' | b'm' | b'd'), _) => Some(at + 2),
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => Some(at + 3),
        _ => Some(at),
    }
}

fn digits(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    while end < at + 3 {
        match class(bytes, end) {
            Some(Class::Digit) => end += 1,
            Some(Class::Beyond) => return None,
            _ => break,
        }
    }
    Some(end)
}

#[inline(always)]
fn signs(bytes: &[u8], mut at: usize) -> Option<usize> {
    while class(bytes, at) == Some(Class::Sign) {
        at += 1;
    }
    match bytes.get(at) {
        Some(128..) => return None,
        Some(b'\r' | b'\n') => {}
        _ => return Some(at),
    }
    while let Some(b'\r' | b'\n' | b'/') = bytes.get(at) {
        at += 1;
    }
    Some(at)
}

/// White space goes up to its last line end; without one, all but the last belongs together, which may open a word.
fn white(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    let mut line = None;
    loop {
        match class(bytes, end) {
            Some(Class::Space | Class::White) => end += 1,
            Some(Class::Line) => {
                end += 1;
                line = Some(end);
            }
            Some(Class::Beyond) => return None,
            Some(_) => return Some(line.unwrap_or((end - 1).max(at + 1))),
            None => return Some(line.unwrap_or(end)),
        }
    }
}

/// The next place after this one that is the end of a piece whatever stands around it: before a space that follows
/// something else than white space.
fn seam(text: &str, from: usize) -> usize {
    memchr::memchr_iter(b' ', &text.as_bytes()[from..])
        .map(|at| from + at)
        .find(|at| {
            text[from..*at]
                .chars()
                .next_back()
                .is_some_and(|last| !last.is_whitespace())
        })
        .unwrap_or(text.len())
}

/// Eight bytes, the first one lowest; zeros after the end.
#[inline(always)]
fn eight(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()) {
        Some(eight) => u64::from_le_bytes(eight),
        None => (bytes.iter().skip(at).take(8).rev()).fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// How many of the eight are small letters, up to the first that is not. Adding makes the highest bit of each byte say
/// whether it is at least `a`, and whether it is beyond `z`.
#[inline(always)]
fn lower_run(eight: u64) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = eight & !HIGH;
    let from_a = low + (0x80 - b'a' as u64) * EACH;
    let beyond_z = low + (0x7f - b'z' as u64) * EACH;
    let lower = from_a & !beyond_z & !eight & HIGH;
    ((!lower & HIGH).trailing_zeros() / 8) as usize
}

/// Sets of the memory, a power of two. Two slots of sixteen bytes each: half a megabyte a thread that counts.
const SETS: usize = 1 << 14;
/// The longest text that is remembered by its bytes, which fill a slot together with its length and its count.
const REMEMBERED_MAX: usize = 15;
/// The most that a count in a slot can say.
const COUNT_MAX: usize = 15;

/// What short texts came to, and long runs of one byte: indentation, rules. A slot has the bytes, in the last byte the
/// length below and the count above; a run has its byte and how often it stands there, and a length of none. A text has
/// two places side by side, looked at both at once; who comes in pushes the older one out.
struct Memory {
    sets: Box<[[[u64; 2]; 2]]>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            sets: vec![[[0; 2]; 2]; SETS].into_boxed_slice(),
        }
    }
}

impl Memory {
    #[inline(always)]
    fn recall(&mut self, bytes: &[u8], range: std::ops::Range<usize>, count: impl FnOnce() -> usize) -> usize {
        let length = range.len();
        let [low, high] = match length {
            ..=REMEMBERED_MAX => [
                eight(bytes, range.start) & MASKS[length][0],
                eight(bytes, range.start + 8) & MASKS[length][1] | (length as u64) << 56,
            ],
            _ => match run(&bytes[range]) {
                Some(byte) => [u64::from(byte) | (length as u64) << 8, 0],
                None => return count(),
            },
        };
        let mixed = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xa24b_aed4_963e_e407);
        let home = (mixed as u64 ^ (mixed >> 64) as u64) as usize % SETS;
        let set = &mut self.sets[home];
        let found = set.iter().fold(0, |found, slot| {
            let differs = (slot[0] ^ low) | (slot[1] ^ high) << 4;
            found | if differs == 0 { slot[1] >> 60 } else { 0 }
        });
        if found != 0 {
            return found as usize;
        }
        let count = count();
        if count <= COUNT_MAX {
            set[1] = set[0];
            set[0] = [low, high | (count as u64) << 60];
        }
        count
    }
}

/// The byte that the text is a run of.
fn run(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    bytes.iter().all(|byte| *byte == first).then_some(first)
}

/// What of sixteen bytes belongs to a text of each length.
const MASKS: [[u64; 2]; REMEMBERED_MAX + 1] = {
    let mut masks = [[0; 2]; REMEMBERED_MAX + 1];
    let mut length = 0;
    while length <= REMEMBERED_MAX {
        let mask = (1_u128 << (8 * length)) - 1;
        masks[length] = [mask as u64, (mask >> 64) as u64];
        length += 1;
    }
    masks
};
