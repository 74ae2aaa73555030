//! Text to tokens as BERT's models are trained on: cleaned, lower-cased and without accents where the files say so, cut at
//! spaces and punctuation, each word into the longest pieces that the vocabulary has (Wu et al. 2016, arXiv 1609.08144).
//!
//! Read from `tokenizer.json` or, where there is none, from `vocab.txt`. A text that looks like a special token (`[SEP]`) is
//! text: what stands in a file does not end a sentence.

use std::collections::HashMap;

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};
use serde::Deserialize;

use super::{Unusable, object_if_there};
use crate::port::{Files, Unreadable};

const TOKENIZER: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.txt";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// What a piece begins with that is no beginning of a word.
const CONTINUES: &str = "##";
/// A longer word is unknown as a whole, in characters.
const WORD_MAX: usize = 100;
/// Ids of tokens end here.
const ID_MAX: u32 = 1 << 24;

/// Cuts texts into tokens.
pub(super) struct WordPiece {
    file: &'static str,
    digest: [u8; 32],
    begins: HashMap<Box<str>, u32>,
    continues: HashMap<Box<str>, u32>,
    /// The longest entry, in bytes.
    longest: usize,
    size: usize,
    unknown: u32,
    word_max: usize,
    rules: Rules,
}

/// What is done to a text before it is cut.
#[derive(Clone, Copy, Debug)]
struct Rules {
    clean: bool,
    chinese: bool,
    accents: bool,
    lower: bool,
}

#[derive(Deserialize)]
struct Json {
    normalizer: Option<Normalizer>,
    pre_tokenizer: Option<Kind>,
    model: Wordpieces,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Normalizer {
    r#type: String,
    clean_text: Option<bool>,
    handle_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    lowercase: Option<bool>,
}

#[derive(Deserialize)]
struct Wordpieces {
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    vocab: serde_json::Value,
}

impl WordPiece {
    pub(super) fn load(files: &dyn Files) -> Result<WordPiece, Unusable> {
        match files.read(TOKENIZER) {
            Ok(bytes) => from_json(&bytes),
            Err(Unreadable::Missing(_)) => match files.read(VOCABULARY) {
                Ok(bytes) => from_list(&bytes, files),
                Err(Unreadable::Missing(_)) => {
                    Err(Unreadable::Missing(format!("{TOKENIZER} (or {VOCABULARY})")).into())
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn new(file: &'static str, bytes: &[u8], vocabulary: Vec<(String, u32)>, rules: Rules) -> Result<Self, Unusable> {
        let mut words = WordPiece {
            file,
            digest: *blake3::hash(bytes).as_bytes(),
            begins: HashMap::new(),
            continues: HashMap::new(),
            longest: 0,
            size: 0,
            unknown: 0,
            word_max: WORD_MAX,
            rules,
        };
        for (word, id) in vocabulary {
            words.longest = words.longest.max(word.len());
            words.size = words.size.max(id as usize + 1);
            match word.strip_prefix(CONTINUES) {
                // `##` alone is a word as any other.
                Some(rest) if !rest.is_empty() => words.continues.insert(rest.into(), id),
                _ => words.begins.insert(word.into(), id),
            };
        }
        Ok(words)
    }

    fn unknown_is(mut self, word: &str) -> Result<Self, Unusable> {
        self.unknown = self.id(word).ok_or_else(|| Unusable::Broken {
            file: self.file,
            why: format!("its vocabulary has no `{word}`"),
        })?;
        Ok(self)
    }

    /// The file it was read from.
    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    /// The hash of that file.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// One more than the largest id.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The id of what is no piece of the vocabulary.
    pub(super) fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The id of a token as it stands in the vocabulary.
    pub(super) fn id(&self, word: &str) -> Option<u32> {
        self.begins.get(word).copied()
    }

    /// The first so many tokens of a text.
    pub(super) fn tokens(&self, text: &str, most: usize) -> Vec<u32> {
        let mut tokens = Vec::with_capacity(text.len() / 4);
        let prepared = self.prepared(text);
        let mut rest = prepared.as_str();
        while tokens.len() < most {
            let Some(word) = next_word(&mut rest) else { break };
            self.cut(word, &mut tokens);
        }
        tokens.truncate(most);
        tokens
    }

    fn prepared(&self, text: &str) -> String {
        let Rules {
            clean,
            chinese,
            accents,
            lower,
        } = self.rules;
        let mut staged = String::with_capacity(text.len());
        for one in text.chars() {
            match one {
                '\t' | '\n' | '\r' if clean => staged.push(' '),
                _ if clean && is_dropped(one) => {}
                _ if clean && one.is_whitespace() => staged.push(' '),
                _ if chinese && is_chinese(one) => staged.extend([' ', one, ' ']),
                _ => staged.push(one),
            }
        }
        if !accents && !staged.is_ascii() {
            let apart = DecomposingNormalizerBorrowed::new_nfd().normalize(&staged).into_owned();
            staged = apart
                .chars()
                .filter(|one| category(*one) != GeneralCategory::NonspacingMark)
                .collect();
        }
        match lower {
            true if staged.is_ascii() => {
                staged.make_ascii_lowercase();
                staged
            }
            // Letter by letter, as the original: a final sigma is no other letter.
            true => staged.chars().flat_map(char::to_lowercase).collect(),
            false => staged,
        }
    }

    fn cut(&self, word: &str, tokens: &mut Vec<u32>) {
        let before = tokens.len();
        let mut rest = word;
        if word.len() > self.word_max && word.chars().count() > self.word_max {
            tokens.push(self.unknown);
            return;
        }
        while !rest.is_empty() {
            let among = if tokens.len() == before {
                &self.begins
            } else {
                &self.continues
            };
            let mut end = rest.floor_char_boundary(self.longest);
            let found = loop {
                if end == 0 {
                    break None;
                }
                if let Some(id) = among.get(&rest[..end]) {
                    break Some(*id);
                }
                end = rest.floor_char_boundary(end - 1);
            };
            let Some(id) = found else {
                tokens.truncate(before);
                tokens.push(self.unknown);
                return;
            };
            tokens.push(id);
            rest = &rest[end..];
        }
    }
}

/// The next word or mark of punctuation, which `rest` then begins behind.
fn next_word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text
        .char_indices()
        .find(|(_, one)| one.is_whitespace() || is_punctuation(*one))
        .map_or(text.len(), |(at, one)| if at == 0 { one.len_utf8() } else { at });
    let (word, behind) = text.split_at(end);
    *rest = behind;
    (!word.is_empty()).then_some(word)
}

fn from_json(bytes: &[u8]) -> Result<WordPiece, Unusable> {
    let unknown = |found: String, exists| Unusable::Unknown {
        file: TOKENIZER,
        found,
        exists,
    };
    let broken = |why| Unusable::Broken { file: TOKENIZER, why };
    // Of another model the vocabulary may have another form: its name first.
    let kind: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| broken(format!("it is no JSON: {error}")))?;
    match kind["model"]["type"].as_str() {
        Some("WordPiece") | None => {}
        Some(other) => return Err(unknown(format!("a tokenizer of the kind {other}"), "WordPiece")),
    }
    let json: Json = serde_json::from_value(kind)
        .map_err(|error| broken(format!("it is no tokenizer that is understood: {error}")))?;
    let Some(normalizer) = json.normalizer.filter(|one| one.r#type == "BertNormalizer") else {
        return Err(unknown("another normalizer".to_owned(), "BertNormalizer"));
    };
    if json.pre_tokenizer.is_none_or(|one| one.r#type != "BertPreTokenizer") {
        return Err(unknown("another pre-tokenizer".to_owned(), "BertPreTokenizer"));
    }
    let Wordpieces {
        unk_token,
        continuing_subword_prefix,
        max_input_chars_per_word,
        vocab,
    } = json.model;
    if continuing_subword_prefix.as_deref().unwrap_or(CONTINUES) != CONTINUES {
        return Err(unknown("another mark of pieces that go on".to_owned(), "`##`"));
    }
    let entries: HashMap<String, u32> =
        serde_json::from_value(vocab).map_err(|error| broken(format!("its vocabulary is none: {error}")))?;
    if entries.is_empty() || entries.values().any(|id| *id >= ID_MAX) {
        return Err(broken(format!(
            "its vocabulary is empty, or has ids of {ID_MAX} and more"
        )));
    }
    let lower = normalizer.lowercase.unwrap_or(true);
    let rules = Rules {
        clean: normalizer.clean_text.unwrap_or(true),
        chinese: normalizer.handle_chinese_chars.unwrap_or(true),
        accents: !normalizer.strip_accents.unwrap_or(lower),
        lower,
    };
    let mut words = WordPiece::new(TOKENIZER, bytes, entries.into_iter().collect(), rules)?;
    words.word_max = max_input_chars_per_word.unwrap_or(WORD_MAX);
    words.unknown_is(unk_token.as_deref().unwrap_or("[UNK]"))
}

/// A vocabulary of one token a line; the line is its id.
fn from_list(bytes: &[u8], files: &dyn Files) -> Result<WordPiece, Unusable> {
    let text = std::str::from_utf8(bytes).map_err(|error| Unusable::Broken {
        file: VOCABULARY,
        why: format!("it is no text: {error}"),
    })?;
    let said = object_if_there(TOKENIZER_CONFIG, files)?;
    let lower = said
        .and_then(|said| said.get("do_lower_case")?.as_bool())
        .unwrap_or(true);
    let rules = Rules {
        clean: true,
        chinese: true,
        accents: !lower,
        lower,
    };
    let lines = text.lines().zip(0..ID_MAX).map(|(word, id)| (word.to_owned(), id));
    WordPiece::new(VOCABULARY, bytes, lines.collect(), rules)?.unknown_is("[UNK]")
}

fn category(one: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(one)
}

fn is_punctuation(one: char) -> bool {
    match one.is_ascii() {
        true => one.is_ascii_punctuation(),
        false => GeneralCategoryGroup::Punctuation.contains(category(one)),
    }
}

/// Control characters, those without a meaning, and the one that stands for broken bytes.
fn is_dropped(one: char) -> bool {
    match one.is_ascii() {
        true => one.is_ascii_control(),
        false => one == char::REPLACEMENT_CHARACTER || GeneralCategoryGroup::Other.contains(category(one)),
    }
}

/// The blocks of CJK ideographs that BERT's own tokenizer sets apart.
fn is_chinese(one: char) -> bool {
    matches!(
        u32::from(one),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}
