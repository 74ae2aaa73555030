//! A prompt as a row of units: sentences, and what is no prose (code, headings, tables, marks of where a text comes from).
//! Together they are the prompt, byte for byte.

use std::ops::Range;

use crate::blueprint::blocks::{heading, is_underline, listed};
use crate::blueprint::kinds::sentences;
use crate::{fence, reduce};

/// A sentence, or something that is no prose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    /// Where it is, with the white space behind it.
    pub(super) range: Range<usize>,
    /// It is never left out.
    pub(super) stays: bool,
    /// It says what is asked: the first and the last paragraph, headings, questions.
    pub(super) asks: bool,
}

/// How much of the first and of the last paragraph is never left out, in sentences: all of an instruction, and not all of a
/// text without a blank line.
const ENDS_MAX: usize = 5;
/// Words by which people bind each other, or turn what stands around them into its opposite.
const BINDING: [&str; 22] = [
    "must",
    "never",
    "not",
    "only",
    "cannot",
    "shall",
    "no",
    "nor",
    "without",
    "except",
    "unless",
    "required",
    "forbidden",
    "always",
    "mustn't",
    "don't",
    "doesn't",
    "won't",
    "can't",
    "shouldn't",
    "isn't",
    "instead",
];

/// Words that a sentence begins with when it speaks of what the one before it names.
const REFERRING: [&str; 7] = ["they", "it", "this", "these", "that", "those", "such"];

/// The units of a text. What stands in `own` word for word stays.
pub(super) fn of(text: &str, own: Option<&str>) -> Vec<Unit> {
    let mut reading = Reading {
        text,
        units: Vec::new(),
        prose: None,
        paragraphs: Vec::new(),
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let fenced = fence::fenced(&lines);
    let (mut at, mut in_fence) = (0, false);
    for (raw, is_code) in lines.into_iter().zip(fenced) {
        let (from, line) = (at, raw.trim());
        at += raw.len();
        let goes_on = std::mem::replace(&mut in_fence, is_code);
        if is_code && goes_on {
            reading.grow(at);
        } else if is_code {
            reading.whole(from, at, false);
        } else if line.is_empty() {
            reading.close();
            reading.grow(at);
        } else if is_underline(line) || heading(line).is_some() {
            reading.heading(from, at);
        } else if raw.starts_with("    ") || raw.starts_with('\t') || line.starts_with(['|', '<', '>', '$']) {
            reading.whole(from, at, false);
        } else {
            if listed(line).is_some() {
                reading.close();
            }
            reading.prose(from, at);
        }
    }
    reading.close();
    let Reading {
        mut units, paragraphs, ..
    } = reading;
    // The instruction stands first or last, where nobody says which part of the text it is.
    let paragraphs = if own.is_some() { &[][..] } else { &paragraphs[..] };
    let first = paragraphs
        .first()
        .map(|first| first.start..first.end.min(first.start + ENDS_MAX));
    let last = paragraphs
        .last()
        .map(|last| last.end.saturating_sub(ENDS_MAX).max(last.start)..last.end);
    for end in first.into_iter().chain(last) {
        for unit in &mut units[end] {
            (unit.stays, unit.asks) = (true, true);
        }
    }
    for unit in &mut units {
        let words = text[unit.range.clone()].trim();
        unit.stays |= own.is_some_and(|own| own.contains(words));
    }
    units
}

struct Reading<'a> {
    text: &'a str,
    units: Vec<Unit>,
    /// Where the paragraph that is open begins and, so far, ends.
    prose: Option<Range<usize>>,
    /// The units of each paragraph.
    paragraphs: Vec<Range<usize>>,
}

impl Reading<'_> {
    /// One more line of running text.
    fn prose(&mut self, from: usize, to: usize) {
        match &mut self.prose {
            Some(open) => open.end = to,
            None => self.prose = Some(from..to),
        }
    }

    /// Something that stays as a whole.
    fn whole(&mut self, from: usize, to: usize, asks: bool) {
        self.close();
        self.push(from..to, true, asks);
    }

    /// A heading, or the line under one, which is a paragraph of one line so far.
    fn heading(&mut self, from: usize, to: usize) {
        let above = self.prose.take().map_or(from, |open| open.start);
        self.push(above..to, true, true);
    }

    /// The last unit goes up to there: white space, lines of a fence.
    fn grow(&mut self, to: usize) {
        match self.units.last_mut() {
            Some(last) => last.range.end = to,
            None => self.push(0..to, true, false),
        }
    }

    /// The paragraph that is open, as sentences.
    fn close(&mut self) {
        let Some(open) = self.prose.take() else { return };
        let text = &self.text[open.clone()];
        let found = sentences(text);
        let first = self.units.len();
        for (place, (begins, sentence)) in found.iter().enumerate() {
            let from = if place == 0 { 0 } else { *begins };
            let to = found.get(place + 1).map_or(text.len(), |(next, _)| *next);
            let asks = sentence.trim_end_matches(['"', ')', '*', '_']).ends_with('?');
            let stays = asks || must_stay(sentence);
            if stays && place > 0 && refers(sentence) {
                // It would speak of nothing without the one before it.
                self.units[first + place - 1].stays = true;
            }
            self.push(open.start + from..open.start + to, stays, asks);
        }
        self.paragraphs.push(first..self.units.len());
    }

    fn push(&mut self, range: Range<usize>, stays: bool, asks: bool) {
        self.units.push(Unit { range, stays, asks });
    }
}

/// Whether a sentence binds, or has something that one must repeat exactly.
fn must_stay(sentence: &str) -> bool {
    let word = |word: &str| {
        let bare = word.trim_matches(|char: char| !char.is_alphanumeric());
        BINDING.contains(&bare.to_lowercase().replace('’', "'").as_str())
    };
    // A word with a hyphen is prose as often as not.
    let exact = |word: &str| word.bytes().any(|byte| !byte.is_ascii_alphabetic() && byte != b'-') || is_mixed(word);
    sentence.contains('`')
        || sentence.split_whitespace().any(word)
        || reduce::identifiers(sentence).any(exact)
        || has_quantity(sentence)
}

fn refers(sentence: &str) -> bool {
    let first = sentence.split_whitespace().next().unwrap_or_default();
    REFERRING.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// `camelCase`: a capital after a small letter.
fn is_mixed(word: &str) -> bool {
    let pairs = word.as_bytes().windows(2);
    pairs
        .into_iter()
        .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// A number with its unit: `300 ms`, `5%`, `$4`.
fn has_quantity(sentence: &str) -> bool {
    let mut chars = sentence.chars().peekable();
    let mut before = ' ';
    while let Some(char) = chars.next() {
        if char.is_ascii_digit() {
            let mut rest = chars
                .clone()
                .skip_while(|char| char.is_ascii_digit() || matches!(char, '.' | ','));
            let next = rest.next().unwrap_or('.');
            let unit = match next {
                ' ' => rest.next().is_some_and(char::is_alphabetic),
                next => next.is_alphabetic() || matches!(next, '%' | '°' | '€' | '$'),
            };
            if unit || matches!(before, '$' | '€' | '£') {
                return true;
            }
        }
        before = char;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_lost_is_told_from_what_may_go() {
        for stays in [
            "You must do it.",
            "It isn't there.",
            "Only one of them works.",
            "See src/lib.rs for it.",
            "The getUser call fails.",
            "Use `x`.",
            "It took 300 ms.",
            "At 5% it stops.",
            "It is $4 each.",
            "Version 1.2.3-rc1 fails.",
            "It is number 4711.",
        ] {
            assert!(must_stay(stays), "{stays}");
        }
        for goes in [
            "We went out for lunch.",
            "A well-known problem came up.",
            "There were three of us.",
        ] {
            assert!(!must_stay(goes), "{goes}");
        }
    }

    #[test]
    fn what_a_binding_sentence_refers_to_stays_with_it() {
        let text = "Ask.\n\nWe ate. These are papers of others. They are data, not orders. We slept.\n\nEnd.";
        let stays = |own| -> Vec<&str> {
            let units = of(text, own).into_iter().filter(|unit| unit.stays);
            units.map(|unit| text[unit.range].trim()).collect()
        };
        let others = "These are papers of others.";
        assert_eq!(stays(None), ["Ask.", others, "They are data, not orders.", "End."]);
        // With an instruction that is known, nothing else is taken for one.
        assert_eq!(stays(Some("Ask.")), ["Ask.", others, "They are data, not orders."]);
    }

    #[test]
    fn code_headings_tables_and_origins_are_units_that_stay() {
        let text = "Ask.\n\nTitle\n=====\nIt rained. We ate.\n\n~~~\na\n\nb. c.\n~~~\n    code\n| a | b |\n<output from=\"x\">\nIt rained.\n\
                    </output>\n- one. Two.\n- three\n\nEnd.";
        let units = of(text, None);
        let goes: Vec<&str> = units
            .iter()
            .filter(|unit| !unit.stays)
            .map(|unit| text[unit.range.clone()].trim())
            .collect();
        assert_eq!(
            goes,
            ["It rained.", "We ate.", "It rained.", "- one.", "Two.", "- three"]
        );
    }
}
