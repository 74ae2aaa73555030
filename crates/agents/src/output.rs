//! What a program writes, taken in bounded form: the kept part for the store, the raw log for people, and the pulse
//! that tells the engine that it lives. Used by every backend that reads a program; interprets nothing.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use wheelhouse_core::ids::ArtifactHash;
use wheelhouse_core::store::ArtifactRef;

/// How much of one try's raw output goes to its log. What comes later is not written; a line says so.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// Signs of life are told at most this often.
pub const PULSE_EVERY: Duration = Duration::from_millis(100);

/// Room for the line that stands for what was dropped.
const MARKER_BYTES: usize = 80;

/// The longest UTF-8 character.
const CHARACTER_BYTES: usize = 4;

/// The first and the last part of a stream, whatever its length. Memory is bounded by `max` and grows only with what
/// really comes.
#[derive(Clone, Debug)]
pub struct Clipped {
    half: usize,
    head: Vec<u8>,
    /// A ring once it is full; the oldest byte is at `tail_next`.
    tail: Vec<u8>,
    tail_next: usize,
    written: u64,
}

/// What was kept of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The bytes, with a marker line where the middle is missing.
    pub bytes: Vec<u8>,
    /// How many bytes there really were.
    pub written: u64,
    /// How many of them are missing.
    pub dropped: u64,
}

impl Clipped {
    /// Keeps at most `max` bytes, the marker included.
    pub fn new(max: u64) -> Clipped {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Clipped {
            half: max.saturating_sub(MARKER_BYTES) / 2,
            head: Vec::new(),
            tail: Vec::new(),
            tail_next: 0,
            written: 0,
        }
    }

    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let to_head = bytes.len().min(self.half - self.head.len());
        let (head, rest) = bytes.split_at(to_head);
        self.head.extend_from_slice(head);
        // More than a whole ring at once: only its end counts.
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        let to_grow = rest.len().min(self.half - self.tail.len());
        let (grow, mut over) = rest.split_at(to_grow);
        self.tail.extend_from_slice(grow);
        while !over.is_empty() {
            let count = over.len().min(self.half - self.tail_next);
            let (now, later) = over.split_at(count);
            self.tail[self.tail_next..self.tail_next + count].copy_from_slice(now);
            self.tail_next = (self.tail_next + count) % self.half;
            over = later;
        }
    }

    /// How many bytes came.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Puts head and tail together. Where the middle is missing, the cuts fall between characters.
    pub fn finish(mut self) -> Part {
        self.tail.rotate_left(self.tail_next);
        let mut bytes = self.head;
        let mut tail = self.tail.as_slice();
        let written = self.written;
        let kept = (bytes.len() + tail.len()) as u64;
        if written == kept {
            bytes.extend_from_slice(tail);
            return Part {
                bytes,
                written,
                dropped: 0,
            };
        }
        bytes.truncate(whole_characters(&bytes));
        let inside = tail.iter().take(CHARACTER_BYTES).take_while(|byte| is_inside(**byte));
        tail = &tail[inside.count()..];
        let dropped = written - (bytes.len() + tail.len()) as u64;
        bytes.extend(format!("\n[{dropped} bytes dropped here]\n").into_bytes());
        bytes.extend_from_slice(tail);
        Part {
            bytes,
            written,
            dropped,
        }
    }
}

/// The middle or end of a character of several bytes.
fn is_inside(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// The length without a character that was cut at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let end = bytes.len();
    let Some(back) = bytes
        .iter()
        .rev()
        .take(CHARACTER_BYTES)
        .position(|byte| !is_inside(*byte))
    else {
        return end;
    };
    let lead = end - 1 - back;
    let length = match bytes[lead] {
        0b1100_0000..=0b1101_1111 => 2,
        0b1110_0000..=0b1110_1111 => 3,
        0b1111_0000..=0b1111_0111 => 4,
        _ => 1,
    };
    if lead + length > end { lead } else { end }
}

impl Part {
    /// How the store refers to it; none when nothing was written.
    pub fn artifact(&self, name: &str) -> Option<ArtifactRef> {
        (self.written > 0).then(|| ArtifactRef {
            name: name.to_owned(),
            hash: ArtifactHash(blake3::hash(&self.bytes).to_hex().to_string()),
            bytes: self.bytes.len() as u64,
            bytes_written: self.written,
        })
    }
}

/// The raw output of a try, appended to its log as it comes. Trouble with the log never harms the try.
#[derive(Debug)]
pub struct RawLog {
    file: Option<File>,
    room: u64,
    trouble: Option<io::Error>,
}

impl RawLog {
    /// Opens the log; without a path nothing is written.
    pub fn open(path: Option<&Path>) -> RawLog {
        RawLog::with_room(path, LOG_BYTES_MAX)
    }

    fn with_room(path: Option<&Path>, room: u64) -> RawLog {
        let mut log = RawLog {
            file: None,
            room,
            trouble: None,
        };
        if let Some(path) = path {
            match File::options().create(true).append(true).open(path) {
                Ok(file) => log.file = Some(file),
                Err(error) => log.trouble = Some(error),
            }
        }
        log
    }

    /// Appends what came, up to [`LOG_BYTES_MAX`].
    pub fn append(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let count = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        let mut result = file.write_all(&bytes[..count]);
        self.room -= count as u64;
        if result.is_ok() && count < bytes.len() {
            result = file.write_all(b"\n[the log ends here: it has reached its size limit; the work goes on]\n");
            self.file = None;
        }
        if let Err(error) = result {
            self.trouble = Some(error);
            self.file = None;
        }
    }

    /// What went wrong with the log, told once.
    pub fn trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }
}

/// Says when a sign of life is due.
#[derive(Debug, Default)]
pub struct Pulse {
    last: Option<Instant>,
}

impl Pulse {
    /// Whether to tell `now`; counts as told.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.last.is_some_and(|last| now.duration_since(last) < PULSE_EVERY) {
            return false;
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(max: u64, chunks: &[&[u8]]) -> Part {
        let mut clipped = Clipped::new(max);
        for chunk in chunks {
            clipped.push(chunk);
        }
        clipped.finish()
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        for chunks in [&[&b""[..]][..], &[b"one"], &[b"one", b" two\xff", b" three"]] {
            let part = clip(1000, chunks);
            assert_eq!((part.bytes, part.dropped), (chunks.concat(), 0));
        }
    }

    #[test]
    fn of_more_head_and_tail_are_kept_however_it_comes() {
        let all: Vec<u8> = (0..5000_u32).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let whole = clip(280, &[&all]);
        assert!(whole.bytes.len() <= 280);
        let text = String::from_utf8(whole.bytes.clone()).unwrap();
        assert!(
            text.starts_with("0\n1\n2\n") && text.ends_with("4998\n4999\n"),
            "{text}"
        );
        assert!(text.contains(&format!("[{} bytes dropped here]", all.len() - 200)));
        for size in [1, 7, 99, 100, 101, 4096] {
            let chunks: Vec<&[u8]> = all.chunks(size).collect();
            assert_eq!(clip(280, &chunks), whole, "in chunks of {size}");
        }
    }

    #[test]
    fn the_limit_holds_at_every_length() {
        for max in [0, 1, 80, 81, 82, 200] {
            for length in 0..300_usize {
                let bytes = vec![b'x'; length];
                let part = clip(max, &[&bytes]);
                let limit = usize::try_from(max).unwrap().max(MARKER_BYTES);
                assert!(part.bytes.len() <= limit, "{length} bytes under {max}");
                assert_eq!(part.written, length as u64);
            }
        }
    }

    #[test]
    fn characters_are_not_cut() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "→".repeat(500));
            let part = clip(281, &[text.as_bytes()]);
            assert!(part.dropped > 0);
            assert!(String::from_utf8(part.bytes).is_ok(), "shifted by {shift}");
        }
    }

    #[test]
    fn memory_grows_with_what_comes_alone() {
        let mut clipped = Clipped::new(1 << 30);
        clipped.push(b"little");
        assert!(clipped.head.capacity() + clipped.tail.capacity() < 1000);
    }

    #[test]
    fn a_log_ends_at_its_limit_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = RawLog::with_room(Some(&path), 10);
        for chunk in [&b"12345"[..], b"67890", b"x", b"y"] {
            log.append(chunk);
        }
        assert!(log.trouble().is_none());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("1234567890\n[the log ends here"), "{text}");
        assert_eq!(text.matches("the log ends here").count(), 1);
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_once() {
        let mut log = RawLog::open(Some(Path::new("/nonexistent/log")));
        log.append(b"x");
        assert!(log.trouble().is_some());
        assert!(log.trouble().is_none());
    }

    #[test]
    fn the_pulse_is_bounded() {
        let mut pulse = Pulse::default();
        let start = Instant::now();
        assert!(pulse.is_due(start));
        assert!(!pulse.is_due(start + PULSE_EVERY / 2));
        assert!(pulse.is_due(start + PULSE_EVERY));
    }
}
