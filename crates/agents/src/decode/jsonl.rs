//! Bytes of a pipe cut into lines, with a limit on how long a line may be.
//!
//! Used by every decoder's driver. Lines that lie whole in one read are lent out without a copy. A line over
//! [`LINE_MAX`] is not buffered: its beginning and its end are kept, so that a decoder can still see what it was.

mod field;

pub use field::Field;

/// The longest line that is taken whole, in bytes. Tool results with an embedded picture are the largest honest ones.
pub const LINE_MAX: usize = 8 * 1024 * 1024;
/// How much of the beginning and of the end of a longer line is kept, in bytes.
pub const LINE_ENDS: usize = 64 * 1024;

/// A line, or what is left of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// All of it, without its line feed.
    Whole(&'a [u8]),
    /// It was too long.
    Cut {
        /// How it began.
        head: &'a [u8],
        /// How it ended.
        tail: &'a [u8],
        /// How long it was.
        bytes: u64,
    },
}

/// Collects lines from reads of any size.
#[derive(Debug, Default)]
pub struct Lines {
    /// A line that has begun; after [`LINE_MAX`] only its head.
    partial: Vec<u8>,
    /// The last bytes of a line that is too long.
    tail: Vec<u8>,
    /// How long the line is so far, once it is too long.
    too_long: Option<u64>,
    /// The limit; [`LINE_MAX`] outside tests.
    max: Option<usize>,
}

impl Lines {
    /// Lines of at most `max` bytes.
    pub fn with_limit(max: usize) -> Lines {
        Lines {
            max: Some(max),
            ..Lines::default()
        }
    }

    /// Takes a read and gives out every line that it completes.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() && self.too_long.is_none() && line.len() <= self.limit() {
                give(line, &mut take);
            } else {
                self.keep(line);
                self.give_partial(&mut take);
            }
        }
        if !bytes.is_empty() {
            self.keep(bytes);
        }
    }

    /// The pipe is closed: gives out a last line that has no line feed.
    pub fn finish(&mut self, mut take: impl FnMut(Line<'_>)) {
        self.give_partial(&mut take);
    }

    fn limit(&self) -> usize {
        self.max.unwrap_or(LINE_MAX)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let (max, ends) = (self.limit(), LINE_ENDS.min(self.limit()));
        match &mut self.too_long {
            None if self.partial.len() + bytes.len() <= max => self.partial.extend_from_slice(bytes),
            None => {
                let length = self.partial.len() + bytes.len();
                self.too_long = Some(u64::try_from(length).unwrap_or(u64::MAX));
                keep_end(&mut self.tail, &self.partial, ends);
                keep_end(&mut self.tail, bytes, ends);
                let missing = ends.saturating_sub(self.partial.len()).min(bytes.len());
                self.partial.extend_from_slice(&bytes[..missing]);
                self.partial.truncate(ends);
                self.partial.shrink_to(ends);
            }
            Some(length) => {
                *length = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                keep_end(&mut self.tail, bytes, ends);
            }
        }
    }

    fn give_partial(&mut self, take: &mut impl FnMut(Line<'_>)) {
        match self.too_long.take() {
            Some(bytes) => take(Line::Cut {
                head: &self.partial,
                tail: &self.tail,
                bytes,
            }),
            None => give(&self.partial, take),
        }
        self.partial.clear();
        self.tail.clear();
        // One long line must not hold its memory for the rest of a long session.
        self.partial.shrink_to(LINE_ENDS);
        self.tail.shrink_to(0);
    }
}

fn give(line: &[u8], take: &mut impl FnMut(Line<'_>)) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.is_empty() {
        take(Line::Whole(line));
    }
}

fn keep_end(tail: &mut Vec<u8>, bytes: &[u8], max: usize) {
    if bytes.len() >= max {
        tail.clear();
        tail.extend_from_slice(&bytes[bytes.len() - max..]);
        return;
    }
    let surplus = (tail.len() + bytes.len()).saturating_sub(max);
    tail.drain(..surplus);
    tail.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(reads: &[&str], max: usize) -> Vec<String> {
        let mut lines = Lines::with_limit(max);
        let mut seen = Vec::new();
        let mut take = |line: Line<'_>| {
            seen.push(match line {
                Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Line::Cut { head, tail, bytes } => format!(
                    "{}..{} of {bytes}",
                    String::from_utf8_lossy(head),
                    String::from_utf8_lossy(tail)
                ),
            });
        };
        for read in reads {
            lines.feed(read.as_bytes(), &mut take);
        }
        lines.finish(&mut take);
        seen
    }

    #[test]
    fn reads_of_any_size_give_the_same_lines() {
        let text = "one\ntwo\r\n\nthree and more\nlast";
        let whole = split(&[text], 100);
        assert_eq!(whole, ["one", "two", "three and more", "last"]);
        for size in 1..text.len() {
            let reads: Vec<&str> = (0..text.len())
                .step_by(size)
                .map(|at| &text[at..text.len().min(at + size)])
                .collect();
            assert_eq!(split(&reads, 100), whole, "{size}");
        }
    }

    #[test]
    fn a_line_over_the_limit_keeps_its_ends_and_harms_no_neighbour() {
        let text = "before\nabcdefghijklmnop\nafter\n";
        for size in 1..text.len() {
            let reads: Vec<&str> = (0..text.len())
                .step_by(size)
                .map(|at| &text[at..text.len().min(at + size)])
                .collect();
            assert_eq!(split(&reads, 6), ["before", "abcdef..klmnop of 16", "after"], "{size}");
        }
    }

    #[test]
    fn a_flood_without_a_line_feed_stays_small() {
        let mut lines = Lines::default();
        let block = vec![b'x'; 1024 * 1024];
        for _ in 0..64 {
            lines.feed(&block, |_| {});
        }
        assert!(lines.partial.capacity() <= 2 * LINE_ENDS && lines.tail.capacity() <= 2 * LINE_ENDS);
    }
}
