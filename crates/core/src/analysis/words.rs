//! A text as words: lower case, stems cut, looked up once.

use std::borrow::Cow;

use super::lexicon::Meaning;
use super::{READ_MAX, meaning};

/// How many words are looked at.
const WORDS_MAX: usize = 2_500;

/// The words of a text that mean something, and its shape.
pub(super) struct Words<'t> {
    found: Vec<(Cow<'t, str>, Meaning)>,
    first: Option<String>,
    /// How many words there are before the first pasted block.
    pub(super) instruction_words: usize,
    /// Lines that begin like items of a list.
    pub(super) steps: usize,
    /// The largest number of tokens the text speaks of (`>100K tokens`).
    pub(super) stated_tokens: Option<u64>,
}

impl<'t> Words<'t> {
    pub(super) fn of(text: &'t str) -> Words<'t> {
        let read = &text[..text.floor_char_boundary(READ_MAX)];
        // A fence begins what is pasted.
        let instruction = read.find("```").map_or(read, |fence| &read[..fence]);
        let mut words = Words {
            found: Vec::new(),
            first: None,
            instruction_words: 0,
            steps: steps(instruction),
            stated_tokens: stated_tokens(instruction),
        };
        let mut before = String::new();
        for word in instruction
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .take(WORDS_MAX)
        {
            words.instruction_words += 1;
            let word = lower(word);
            if words.first.is_none() {
                words.first = Some(word.clone().into_owned());
            }
            // Two words together mean what neither means alone.
            let pair = format!("{before} {word}");
            if let Some(meanings) = meaning(&pair) {
                words.keep(Cow::Owned(pair), meanings);
            }
            if let Some(meanings) = meaning(&word) {
                words.keep(word.clone(), meanings);
            }
            word.as_ref().clone_into(&mut before);
        }
        words
    }

    fn keep(&mut self, word: Cow<'t, str>, meanings: &'static [Meaning]) {
        // A word that is repeated does not mean more.
        if self.found.iter().any(|(known, _)| *known == word) {
            return;
        }
        self.found
            .extend(meanings.iter().map(|meaning| (word.clone(), *meaning)));
    }

    /// Each word that means something, with what it means.
    pub(super) fn meanings(&self) -> impl Iterator<Item = (&str, Meaning)> {
        self.found.iter().map(|(word, meaning)| (word.as_ref(), *meaning))
    }

    /// Whether the text begins with the word.
    pub(super) fn opens_with(&self, word: &str) -> bool {
        self.first.as_deref() == Some(word)
    }
}

fn lower(word: &str) -> Cow<'_, str> {
    if word
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.to_lowercase())
    }
}

fn steps(text: &str) -> usize {
    let item = |line: &str| {
        let line = line.trim_start();
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        line.starts_with("- ") || line.starts_with("* ") || (digits > 0 && line[digits..].starts_with(['.', ')']))
    };
    text.lines().filter(|line| item(line)).count()
}

/// The largest `100K tokens`, `2M tokens`, `5000 tokens` of a text.
pub(crate) fn stated_tokens(text: &str) -> Option<u64> {
    let mut largest = None;
    let mut rest = text;
    while let Some(place) = rest.find("token") {
        let before = rest[..place].trim_end();
        let from = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '.'))
            .map_or(0, |place| place + 1);
        let number = before.get(from..).unwrap_or("");
        let digits = number.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(number.len());
        let unit = match &number[digits..] {
            "" => Some(1.0),
            "k" | "K" => Some(1e3),
            "m" | "M" => Some(1e6),
            _ => None,
        };
        if let (Ok(value), Some(unit)) = (number[..digits].parse::<f64>(), unit) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let tokens = (value * unit) as u64;
            // `>100K` means more than that.
            let more = before[..from].ends_with(['>', '+']);
            largest = largest.max(Some(tokens.saturating_add(u64::from(more))));
        }
        rest = &rest[place + 5..];
    }
    largest
}
