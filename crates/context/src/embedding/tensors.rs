//! The numbers of a `model.safetensors`: a length of 8 bytes, a JSON header that names tensors with their types, shapes and
//! places, the bytes themselves. Every length is checked before anything is taken.
//!
//! The crate of that name would read it too; it brings a second `hashbrown` and `tempfile`, and its errors do not say what
//! a user can do.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Unusable, WEIGHTS};

/// The longest header that is read, in bytes: the limit of the format's own reader.
const HEADER_MAX: u64 = 100_000_000;
/// The types of numbers that are read.
const TYPES: &str = "F32, F16, BF16, F64 and I8";

/// The tensors of a file.
pub(super) struct Tensors<'a> {
    entries: HashMap<String, Entry>,
    data: &'a [u8],
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

fn broken(why: String) -> Unusable {
    Unusable::Broken { file: WEIGHTS, why }
}

impl<'a> Tensors<'a> {
    /// Reads the header and checks that everything it names is there.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Tensors<'a>, Unusable> {
        let (length, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| broken(format!("it has {} bytes and is no safetensors file", bytes.len())))?;
        let length = u64::from_le_bytes(*length);
        if length > HEADER_MAX {
            return Err(broken("it does not begin as a safetensors file does".to_owned()));
        }
        let (header, data) = rest.split_at_checked(length as usize).ok_or_else(|| {
            broken(format!(
                "it is cut off: {} bytes, and a header of {length}",
                bytes.len()
            ))
        })?;
        let header: HashMap<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(|error| broken(format!("its header is no JSON object: {error}")))?;
        let mut entries = HashMap::with_capacity(header.len());
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry: Entry =
                serde_json::from_value(value).map_err(|error| broken(format!("tensor `{name}`: {error}")))?;
            let (from, to) = entry.data_offsets;
            if from > to || to > data.len() {
                let is = data.len();
                return Err(broken(format!(
                    "it is cut off or damaged: tensor `{name}` ends at byte {to} of its data, which has {is}"
                )));
            }
            entries.insert(name, entry);
        }
        Ok(Tensors { entries, data })
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The numbers of a tensor with two dimensions: how many rows, how many columns, row by row.
    pub(super) fn matrix(&self, name: &str) -> Result<(usize, usize, Vec<f32>), Unusable> {
        let entry = self.entry(name)?;
        match *entry.shape.as_slice() {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns, self.numbers(name, entry)?)),
            _ => Err(broken(format!(
                "tensor `{name}` has the shape {:?}, no rows and columns",
                entry.shape
            ))),
        }
    }

    /// The numbers of a tensor of exactly this shape.
    pub(super) fn shaped(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Unusable> {
        let entry = self.entry(name)?;
        if entry.shape != shape {
            return Err(broken(format!(
                "tensor `{name}` has the shape {:?}; by its config.json it has {shape:?}",
                entry.shape
            )));
        }
        self.numbers(name, entry)
    }

    /// The whole numbers of a tensor with one dimension.
    pub(super) fn places(&self, name: &str) -> Result<Vec<usize>, Unusable> {
        let entry = self.entry(name)?;
        let bytes = &self.data[entry.data_offsets.0..entry.data_offsets.1];
        let all: Vec<i64> = match entry.dtype.as_str() {
            "I64" => bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|one| i64::from_le_bytes(*one))
                .collect(),
            "I32" => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|one| i32::from_le_bytes(*one).into())
                .collect(),
            other => return Err(unknown(name, other, "I64 and I32")),
        };
        let all: Option<Vec<usize>> = all.into_iter().map(|place| usize::try_from(place).ok()).collect();
        all.ok_or_else(|| broken(format!("tensor `{name}` has places below zero")))
    }

    fn entry(&self, name: &str) -> Result<&Entry, Unusable> {
        self.entries.get(name).ok_or_else(|| {
            let mut there: Vec<&str> = self.entries.keys().map(String::as_str).collect();
            there.sort_unstable();
            let shown = there.iter().take(4).map(|name| format!("`{name}`"));
            broken(format!(
                "there is no tensor `{name}` among its {}: {} …",
                there.len(),
                shown.collect::<Vec<_>>().join(", ")
            ))
        })
    }

    fn numbers(&self, name: &str, entry: &Entry) -> Result<Vec<f32>, Unusable> {
        let bytes = &self.data[entry.data_offsets.0..entry.data_offsets.1];
        let numbers: Vec<f32> = match entry.dtype.as_str() {
            "F32" => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|one| f32::from_le_bytes(*one))
                .collect(),
            "F16" => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|one| half(u16::from_le_bytes(*one)))
                .collect(),
            "BF16" => {
                let wide = |one: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*one)) << 16);
                bytes.as_chunks::<2>().0.iter().map(wide).collect()
            }
            "F64" => bytes
                .as_chunks::<8>()
                .0
                .iter()
                .map(|one| f64::from_le_bytes(*one) as f32)
                .collect(),
            "I8" => bytes.iter().map(|one| f32::from(one.cast_signed())).collect(),
            other => return Err(unknown(name, other, TYPES)),
        };
        let wanted = entry.shape.iter().try_fold(1_usize, |all, one| all.checked_mul(*one));
        if wanted != Some(numbers.len()) {
            return Err(broken(format!(
                "tensor `{name}` has {} numbers and the shape {:?}",
                numbers.len(),
                entry.shape
            )));
        }
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(broken(format!(
                "tensor `{name}` has numbers that are none (NaN or infinite)"
            )));
        }
        Ok(numbers)
    }
}

fn unknown(name: &str, dtype: &str, exists: &'static str) -> Unusable {
    Unusable::Unknown {
        file: WEIGHTS,
        found: format!("tensor `{name}` in numbers of the type {dtype}"),
        exists,
    }
}

/// A number of 16 bits as IEEE 754 has it: 1 bit sign, 5 exponent, 10 mantissa.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let mantissa = f32::from(bits & 0x3ff);
    let size = match (bits >> 10) & 0x1f {
        0 => mantissa * 2_f32.powi(-24),
        0x1f if mantissa == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        exponent => (1.0 + mantissa / 1_024.0) * 2_f32.powi(i32::from(exponent) - 15),
    };
    sign * size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_as_they_are_written() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_5e-8),
        ] {
            assert_eq!(half(bits), number, "{bits:#x}");
        }
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
