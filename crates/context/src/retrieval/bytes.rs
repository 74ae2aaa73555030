//! Numbers and texts as bytes and back, for what the index keeps on disk. Reading checks every length: a file that is
//! not what it should be is [`Corrupt`], never a panic.

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bytes are not those of an index of this version")]
pub struct Corrupt;

/// Writes.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, number: u64) {
        varint(&mut self.0, number);
    }

    pub(crate) fn fixed(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }
}

/// Reads.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Result<u64, Corrupt> {
        read_varint(&mut self.0).ok_or(Corrupt)
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Corrupt> {
        T::try_from(self.number()?).map_err(|_| Corrupt)
    }

    pub(crate) fn fixed(&mut self) -> Result<u64, Corrupt> {
        let (number, rest) = self.0.split_first_chunk::<8>().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Corrupt> {
        let length: usize = self.small()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Corrupt)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Corrupt> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Corrupt)
    }

    /// How many things follow, each of at least `size` bytes: what cannot be there is not allocated.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, Corrupt> {
        let count: usize = self.small()?;
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(Corrupt);
        }
        Ok(count)
    }

    pub(crate) fn end(self) -> Result<(), Corrupt> {
        if self.0.is_empty() { Ok(()) } else { Err(Corrupt) }
    }
}

pub(crate) fn varint(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

pub(crate) fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let mut writer = Writer::default();
        for number in numbers {
            writer.number(number);
        }
        let mut reader = Reader(&writer.0);
        for number in numbers {
            assert_eq!(reader.number(), Ok(number));
        }
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn what_is_cut_off_or_claims_too_much_is_corrupt() {
        assert_eq!(Reader(&[0x80, 0x80]).number(), Err(Corrupt));
        assert_eq!(Reader(&[5, 1, 2]).bytes(), Err(Corrupt));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).count(16), Err(Corrupt));
        assert_eq!(Reader(&[0x80; 20]).number(), Err(Corrupt));
    }
}
