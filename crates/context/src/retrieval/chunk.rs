//! Where a file is cut: at definitions, into pieces of a screen or two.

use std::ops::Range;

use super::syntax::Definition;

/// A piece is not cut off before it has so many bytes.
const BYTES_MIN: usize = 800;
/// A piece of so many bytes is cut at the next empty line.
const BYTES_FULL: usize = 2_400;
/// A piece of so many bytes is cut at the next line.
const BYTES_MAX: usize = 4_800;

/// A piece of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// Its bytes, whole lines.
    pub(crate) bytes: Range<usize>,
    /// Its first line, from 1.
    pub(crate) start: u32,
    /// Its last line.
    pub(crate) end: u32,
}

/// Cuts a text. The spans follow each other and cover it; there is at least one.
pub(crate) fn cut(text: &str, definitions: &[Definition]) -> Vec<Span> {
    let starts = boundaries(text, definitions);
    let mut starts = starts.iter().copied().peekable();
    let mut spans = Vec::new();
    let mut from = 0;
    let mut first = 1;
    let mut at = 0;
    let mut number = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        let length = at - from;
        let mut begins = false;
        while starts.peek().is_some_and(|start| *start <= number) {
            begins |= starts.next() == Some(number);
        }
        let heading = definitions.is_empty() && line.starts_with('#');
        let cuts = match length {
            BYTES_MAX.. => true,
            BYTES_FULL.. => begins || heading || line.trim().is_empty(),
            BYTES_MIN.. => begins || heading,
            _ => false,
        };
        if cuts {
            spans.push(Span {
                bytes: from..at,
                start: first,
                end: number - 1,
            });
            (from, first) = (at, number);
        }
        at += line.len();
    }
    if from < text.len() || spans.is_empty() {
        spans.push(Span {
            bytes: from..text.len(),
            start: first,
            end: number.max(first),
        });
    }
    spans
}

/// The lines at which definitions begin, with the comments and attributes above them.
fn boundaries(text: &str, definitions: &[Definition]) -> Vec<u32> {
    if definitions.is_empty() {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let above = |line: &str| {
        let line = line.trim_start();
        ["//", "#", "/*", "*", "@", "--", "\"\"\""]
            .iter()
            .any(|sign| line.starts_with(sign))
    };
    let mut starts: Vec<u32> = definitions
        .iter()
        .map(|definition| {
            let mut start = definition.start;
            // A very long comment is a text of its own.
            for _ in 0..40 {
                let before = (start as usize).checked_sub(2).and_then(|place| lines.get(place));
                match before {
                    Some(line) if above(line) => start -= 1,
                    _ => break,
                }
            }
            start
        })
        .collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieval::syntax::Kind;

    fn definition(start: u32, end: u32) -> Definition {
        Definition {
            name: "f".to_owned(),
            kind: Kind::Function,
            start,
            end,
        }
    }

    #[test]
    fn pieces_begin_with_the_comment_of_a_definition() {
        let filler = "    let value = compute(1, 2, 3);\n".repeat(30);
        let text = format!("fn a() {{\n{filler}}}\n\n/// About b.\nfn b() {{\n{filler}}}\n");
        let spans = cut(&text, &[definition(1, 32), definition(35, 66)]);
        let lines: Vec<(u32, u32)> = spans.iter().map(|span| (span.start, span.end)).collect();
        assert_eq!(lines, [(1, 33), (34, 66)]);
    }

    #[test]
    fn pieces_cover_any_text() {
        for text in [
            "",
            "\n",
            "a",
            "a\n\nb",
            &"x\n".repeat(9_000),
            &"# h\n\ntext text\n".repeat(500),
        ] {
            let spans = cut(text, &[]);
            let mut at = 0;
            let mut line = 1;
            for span in &spans {
                assert_eq!(span.bytes.start, at);
                assert_eq!(span.start, line);
                assert!(span.end >= span.start);
                at = span.bytes.end;
                line = span.end + 1;
            }
            assert_eq!(at, text.len());
        }
    }
}
