//! Server-sent events out of a body that is cut anywhere, with a limit on how large one may be.
//!
//! Only `data` is given out: all four APIs repeat the name of the event inside it. Lines end with LF or CRLF.

/// The largest event that is taken, in bytes. The largest honest ones repeat a whole answer at its end.
pub(super) const EVENT_MAX: usize = 8 << 20;

/// An event was larger than [`EVENT_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLarge;

/// Collects events from reads of any size.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// A line that has begun.
    line: Vec<u8>,
    /// The data lines of the event so far, joined.
    data: Vec<u8>,
    has_data: bool,
}

impl Events {
    /// Takes a read and gives out the data of every event that it completes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), TooLarge> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.line.is_empty() {
                self.line(line, &mut take)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.line(&whole, &mut take)?;
                whole.clear();
                self.line = whole;
            }
        }
        if self.line.len() + bytes.len() > EVENT_MAX {
            return Err(TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The body came to a proper end: some servers leave out the empty line after the last event.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), TooLarge> {
        let last = std::mem::take(&mut self.line);
        self.line(&last, &mut take)?;
        self.line(b"", &mut take)
    }

    fn line(&mut self, line: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(), TooLarge> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                take(&self.data);
                self.data.clear();
            }
            return Ok(());
        }
        let Some(value) = line.strip_prefix(b"data") else {
            return Ok(());
        };
        let value = match value.split_first() {
            None => value,
            Some((b':', value)) => value.strip_prefix(b" ").unwrap_or(value),
            Some(_) => return Ok(()),
        };
        if self.data.len() + value.len() > EVENT_MAX {
            return Err(TooLarge);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut got = Vec::new();
        for piece in pieces {
            events
                .feed(piece, |data| got.push(String::from_utf8_lossy(data).into_owned()))
                .unwrap();
        }
        events
            .finish(|data| got.push(String::from_utf8_lossy(data).into_owned()))
            .unwrap();
        got
    }

    #[test]
    fn events_are_whole_however_the_body_is_cut() {
        let body = "event: a\ndata: {\"x\":\"é\"}\n\n: ping\n\nid: 7\r\ndata:two\r\ndata: lines\r\n\r\ndatax: no\ndata\n\ndata: last";
        let expected = ["{\"x\":\"é\"}", "two\nlines", "", "last"];
        assert_eq!(events(&[body.as_bytes()]), expected);
        for size in 1..9 {
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            assert_eq!(events(&pieces), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_fills_the_memory() {
        let chunk = vec![b'x'; 1 << 20];
        for start in [&b"data: "[..], b"", b": "] {
            let mut events = Events::default();
            events.feed(start, |_| {}).unwrap();
            let refused = (0..20).any(|_| events.feed(&chunk, |_| {}) == Err(TooLarge));
            assert!(refused, "{}", String::from_utf8_lossy(start));
            assert!(events.line.len() <= EVENT_MAX && events.data.len() <= EVENT_MAX);
        }
        let mut events = Events::default();
        let line = [b"data: ", chunk.as_slice(), b"\n"].concat();
        assert!((0..20).any(|_| events.feed(&line, |_| {}) == Err(TooLarge)));
    }
}
