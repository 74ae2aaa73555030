//! JSON as the same tree as YAML, with JSON's own error messages and places.
//!
//! Not read by the YAML parser, although nearly all JSON is YAML: surrogate pairs, long keys and tabs are not.

use serde::de::IgnoredAny;

use super::problem::{Place, Reporter};
use super::tree::{Builder, Kind, Tree, number, too_deep};

/// Whether a text is JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Parses JSON. Without a tree the reasons are with the reporter.
pub(crate) fn json(text: &str, reporter: &mut Reporter) -> Option<Tree> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let at = Place {
            line: number(error.line()),
            column: number(error.column().max(1)),
            ..Place::default()
        };
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or(&whole);
        let help = if what.contains("trailing comma") {
            "remove the comma before the closing bracket"
        } else {
            "JSON wants double quotes around keys and text, and commas between items"
        };
        reporter.error("syntax", at, "", format!("this is not JSON: {what}"), help);
        return None;
    }
    let mut builder = Builder::new(reporter);
    let mut cursor = Cursor::new(text);
    while let Some(token) = cursor.token() {
        let Token { at, text } = token;
        match text.as_bytes().first() {
            Some(b'{' | b'[') => {
                if !builder.open(at, text == "{", 0) {
                    too_deep(reporter, at);
                    return None;
                }
            }
            Some(b'}' | b']') => {
                builder.close();
            }
            Some(b'"') => {
                // Checked above; a text that serde_json takes as a whole it takes in its parts.
                let value = serde_json::from_str::<String>(text).unwrap_or_default();
                builder.scalar(at, Kind::Text(value));
            }
            _ => {
                let kind = match text {
                    "null" => Kind::Null,
                    "true" => Kind::Bool(true),
                    "false" => Kind::Bool(false),
                    digits => Kind::Number(digits.to_owned()),
                };
                builder.scalar(at, kind);
            }
        }
    }
    builder.finish()
}

struct Token<'t> {
    at: Place,
    text: &'t str,
}

/// Walks over the tokens of valid JSON, counting lines and characters as it goes.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    column: u32,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Cursor<'t> {
        Cursor {
            text,
            at: 0,
            line: 1,
            column: 1,
        }
    }

    fn token(&mut self) -> Option<Token<'t>> {
        let rest = &self.text[self.at..];
        let skipped = rest
            .bytes()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':'))?;
        self.advance(skipped);
        let rest = &self.text[self.at..];
        let bytes = rest.as_bytes();
        let length = match bytes[0] {
            b'{' | b'}' | b'[' | b']' => 1,
            b'"' => string_length(bytes),
            _ => bytes
                .iter()
                .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b']' | b'}'))
                .unwrap_or(bytes.len()),
        };
        let at = Place {
            line: self.line,
            column: self.column,
            start: number(self.at),
            end: number(self.at + length),
        };
        let text = &rest[..length];
        self.advance(length);
        Some(Token { at, text })
    }

    fn advance(&mut self, length: usize) {
        for byte in &self.text.as_bytes()[self.at..self.at + length] {
            if *byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else if byte & 0xC0 != 0x80 {
                // Continuation bytes are no characters of their own.
                self.column += 1;
            }
        }
        self.at += length;
    }
}

fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}
