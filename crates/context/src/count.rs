//! Counting tokens, exactly and offline.
//!
//! The count is that of the public `o200k_base` vocabulary, which is in the binary. It is exact for models that use
//! that vocabulary; for others it is the common measure that every receipt is in, and [`Calibration`] turns it into
//! an estimate of their own count, corrected by what the provider reports. The vocabulary is unpacked at the first
//! count (some hundred milliseconds), so callers that only ask whether a short text fits pay nothing: see [`fits`].

mod pieces;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tiktoken::CoreBpe;

/// Bytes for each token asked for that [`head`] and [`tail`] look at; even indented code stays below it.
const BYTES_PER_TOKEN: usize = 12;

/// How many `o200k_base` tokens the text has. Special tokens in it count as the plain text they are.
pub fn tokens(text: &str) -> u64 {
    // Without the vocabulary, which is compiled in, four bytes a token is the customary guess.
    let count = vocabulary().map_or(text.len().div_ceil(4), |vocabulary| pieces::count(vocabulary, text));
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Whether the text has at most so many tokens. A token has at least one byte, so short texts are not counted.
pub fn fits(text: &str, tokens_max: u64) -> bool {
    u64::try_from(text.len()).is_ok_and(|bytes| bytes <= tokens_max) || tokens(text) <= tokens_max
}

/// The beginning of the text that has at most so many tokens, up to the end of a line where that loses little.
pub fn head(text: &str, tokens_max: u64) -> &str {
    if fits_by_size(text, tokens_max) {
        return text;
    }
    let window = &text[..text.floor_char_boundary(window_bytes(tokens_max))];
    let mut end = match vocabulary() {
        Some(vocabulary) => {
            let ids = vocabulary.encode(window);
            let kept = usize::try_from(tokens_max).unwrap_or(usize::MAX).min(ids.len());
            vocabulary.decode(&ids[..kept]).len()
        }
        None => window.len().min(usize::try_from(tokens_max).unwrap_or(usize::MAX)),
    };
    end = window.floor_char_boundary(end);
    // Cut tokens can fall apart into more than they were.
    while end > 0 && tokens(&window[..end]) > tokens_max {
        end = window.floor_char_boundary(end - 1);
    }
    if end == text.len() {
        return text;
    }
    match window[..end].rfind('\n') {
        Some(line) if line * 4 >= end * 3 => &window[..=line],
        _ => &window[..end],
    }
}

/// The end of the text that has at most so many tokens, from the beginning of a line where that loses little.
pub fn tail(text: &str, tokens_max: u64) -> &str {
    if fits_by_size(text, tokens_max) {
        return text;
    }
    let from = text.ceil_char_boundary(text.len().saturating_sub(window_bytes(tokens_max)));
    let window = &text[from..];
    let mut start = match vocabulary() {
        Some(vocabulary) => {
            let ids = vocabulary.encode(window);
            let dropped = ids
                .len()
                .saturating_sub(usize::try_from(tokens_max).unwrap_or(usize::MAX));
            vocabulary.decode(&ids[..dropped]).len()
        }
        None => window
            .len()
            .saturating_sub(usize::try_from(tokens_max).unwrap_or(usize::MAX)),
    };
    start = window.ceil_char_boundary(start);
    while start < window.len() && tokens(&window[start..]) > tokens_max {
        start = window.ceil_char_boundary(start + 1);
    }
    if from == 0 && start == 0 {
        return text;
    }
    let kept = window.len() - start;
    match window[start..].find('\n') {
        Some(line) if line * 4 <= kept => &window[start + line + 1..],
        _ => &window[start..],
    }
}

fn fits_by_size(text: &str, tokens_max: u64) -> bool {
    u64::try_from(text.len()).is_ok_and(|bytes| bytes <= tokens_max)
}

fn window_bytes(tokens_max: u64) -> usize {
    usize::try_from(tokens_max)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_PER_TOKEN)
}

fn vocabulary() -> Option<&'static CoreBpe> {
    tiktoken::get_encoding("o200k_base")
}

/// What a model's own tokenizer makes of a text, as far as its provider's reports have shown it.
///
/// Only `o200k_base` is public. For every other model the count is scaled by a ratio that starts at a rough prior and
/// follows the reports.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Calibration {
    models: BTreeMap<String, Ratio>,
}

/// A model's tokens for each 1,000 tokens of `o200k_base`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// The ratio in thousandths.
    pub permille: u32,
    /// How many reports it rests on; none means that it is the prior.
    pub samples: u32,
}

/// An estimated count and the band it lies in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// The best guess.
    pub tokens: u64,
    /// Not below.
    pub low: u64,
    /// Not above.
    pub high: u64,
}

/// How much a new report moves the ratio: one part in eight, so that one odd report does little harm.
const SMOOTHING: u64 = 8;
/// A report outside of these bounds, in thousandths, is about something else than the text that was counted (a
/// system prompt of the agent's own, an image) and is not learned from.
const PLAUSIBLE: std::ops::RangeInclusive<u64> = 400..=2_500;
/// Texts shorter than this say nothing about a ratio.
const SAMPLE_TOKENS_MIN: u64 = 200;
/// The band around a prior, in thousandths of the estimate; after enough reports it is [`BAND_LEARNED`].
const BAND_PRIOR: u64 = 300;
const BAND_LEARNED: u64 = 80;
/// Reports after which a ratio counts as learned.
const SAMPLES_LEARNED: u32 = 8;

impl Calibration {
    /// What the model's tokenizer will probably make of so many `o200k_base` tokens.
    pub fn estimate(&self, model: &str, counted: u64) -> Estimate {
        let ratio = self.ratio(model);
        let tokens = scale(counted, u64::from(ratio.permille));
        let band = match (ratio.samples, is_o200k(model)) {
            (_, true) => 0,
            (SAMPLES_LEARNED.., false) => BAND_LEARNED,
            (_, false) => BAND_PRIOR,
        };
        Estimate {
            tokens,
            low: scale(tokens, 1_000 - band),
            high: scale(tokens, 1_000 + band),
        }
    }

    /// The model's ratio: learned, or the prior of its family.
    pub fn ratio(&self, model: &str) -> Ratio {
        self.models.get(model).copied().unwrap_or(Ratio {
            permille: prior(model),
            samples: 0,
        })
    }

    /// Learns from one report: a text that we counted as `counted`, and that its provider counted as `reported`.
    /// Says whether it was plausible enough to learn from.
    pub fn observe(&mut self, model: &str, counted: u64, reported: u64) -> bool {
        if counted < SAMPLE_TOKENS_MIN {
            return false;
        }
        let seen = reported.saturating_mul(1_000) / counted;
        if !PLAUSIBLE.contains(&seen) {
            return false;
        }
        let known = self.ratio(model);
        let old = u64::from(known.permille);
        let new = match known.samples {
            0 => seen,
            _ => (old * (SMOOTHING - 1) + seen).div_ceil(SMOOTHING),
        };
        let ratio = Ratio {
            permille: u32::try_from(new).unwrap_or(u32::MAX),
            samples: known.samples.saturating_add(1),
        };
        self.models.insert(model.to_owned(), ratio);
        true
    }
}

/// The kind of report under which samples stand in the history.
pub const SAMPLE_KIND: &str = "counted";

/// One try's count beside its provider's, for [`Calibration::observe`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The model.
    pub model: String,
    /// Our count of what was sent.
    pub counted: u64,
    /// The provider's.
    pub reported: u64,
}

impl Sample {
    /// The line for the history.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A sample from its line.
    pub fn parse(line: &str) -> Option<Sample> {
        serde_json::from_str(line).ok()
    }
}

fn scale(value: u64, permille: u64) -> u64 {
    value.saturating_mul(permille).div_ceil(1_000)
}

fn is_o200k(model: &str) -> bool {
    ["gpt-4o", "gpt-4.1", "gpt-5", "gpt-6", "o1", "o3", "o4"]
        .iter()
        .any(|family| model.starts_with(family))
}

/// Priors in thousandths. Claude's newer tokenizer yields about 30 % more tokens than the one before for the same
/// text, as its provider says; the rest is one to one until reports say otherwise.
fn prior(model: &str) -> u32 {
    let newer_claude = ["sonnet-5", "opus-5", "haiku-5", "fable-5", "mythos-5"]
        .iter()
        .any(|family| model.contains(family));
    if newer_claude { 1_300 } else { 1_000 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pieces::PIECE_MAX;
    use super::*;

    /// By two other implementations, OpenAI's own among them.
    fn others(text: &str) -> [u64; 2] {
        let second = bpe_openai::o200k_base().count(text);
        let original = tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
        [second as u64, original as u64]
    }

    #[test]
    fn counts_are_those_of_other_implementations() {
        let samples = [
            "",
            "hello world",
            "fn main() {\n    println!(\"{}\", 1_000);\n}\n",
            "<|endoftext|> is text here",
            "naïve café — 漢字かな 한국어 🎉🎉",
            "\n\n\n   \t  \r\n x",
            include_str!("count.rs"),
            include_str!("../../../docs/economy.md"),
        ];
        for sample in samples {
            assert_eq!(others(sample), [tokens(sample); 2], "{sample:.40?}");
        }
    }

    #[test]
    fn hostile_texts_are_counted_exactly() {
        let repeated = [
            "a",
            " ",
            "\t",
            "\n",
            "\r\n",
            "-",
            "=",
            "/",
            "0",
            "A",
            "aB",
            "'s",
            "don't ",
            "I'LL",
            "  x",
            " \n",
            "x\n",
            "{\n//",
            "漢",
            "漢 ",
            "é",
            "e\u{301}",
            "🎉",
            "👩\u{200d}👧",
            "\u{a0}",
            " \u{3000}",
            "\u{301}",
            "²",
            "\0",
        ];
        let second = bpe_openai::o200k_base();
        for part in repeated {
            for times in [14, 15, 16, 17, 31, 100, 20_000] {
                let text = part.repeat(times);
                assert_eq!(
                    tokens(&text),
                    second.count(text.as_str()) as u64,
                    "{times} times {part:?}"
                );
            }
        }
    }

    #[test]
    fn more_words_than_are_remembered_are_counted_exactly() {
        let words: String = (0..100_000).map(|n| format!(" w{:x}", n * 7_919)).collect();
        for _ in 0..2 {
            assert_eq!(tokens(&words), vocabulary().unwrap().count(&words) as u64);
        }
    }

    #[test]
    fn long_texts_are_counted_exactly_and_a_huge_piece_within_a_few_tokens() {
        let count = |text: &str| vocabulary().unwrap().count(text) as u64;
        let line = "{\"id\": 42, \"name\": \"the quick brown fox\"}, ".repeat(3 * PIECE_MAX / 40);
        assert_eq!(tokens(&line), count(&line));
        for part in ["abcdefghij", "漢字かな"] {
            let piece = part.repeat(3 * PIECE_MAX / 2 / part.len());
            let (ours, whole) = (tokens(&piece), count(&piece));
            assert!(ours.abs_diff(whole) <= 4, "{part}: {ours} {whole}");
        }
    }

    #[test]
    fn heads_and_tails_keep_the_limit_and_whole_lines() {
        let text: String = (0..200).map(|n| format!("line number {n} of the file\n")).collect();
        let first = head(&text, 50);
        assert!(tokens(first) <= 50 && tokens(first) > 35 && first.ends_with('\n') && text.starts_with(first));
        let last = tail(&text, 50);
        assert!(tokens(last) <= 50 && tokens(last) > 35 && last.starts_with("line") && text.ends_with(last));
        assert_eq!(head("short", 50), "short");
        assert_eq!(head(&text, 0), "");
        assert_eq!(tail(&text, 0), "");
    }

    #[test]
    fn a_ratio_follows_the_reports_and_ignores_nonsense() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.estimate("gpt-5", 1_000).low, 1_000);
        assert_eq!(calibration.ratio("claude-sonnet-5.5").permille, 1_300);
        for older in ["claude-sonnet-4-5", "claude-3-5-sonnet"] {
            assert_eq!(calibration.ratio(older).permille, 1_000);
        }
        assert!(!calibration.observe("claude-x", 1_000, 30_000));
        assert!(!calibration.observe("claude-x", 10, 12));
        for _ in 0..20 {
            assert!(calibration.observe("claude-x", 1_000, 1_200));
        }
        let estimate = calibration.estimate("claude-x", 1_000);
        assert!(
            (1_195..=1_205).contains(&estimate.tokens) && estimate.high < 1_300,
            "{estimate:?}"
        );
    }

    #[test]
    fn a_long_s_ends_a_word_as_an_s_does() {
        for text in ["a'ſ'LLa", "'ſ'LLa", "HTTP'ſ'reB", "a'ſ the", "é'ſ'LLa"] {
            assert_eq!(others(text), [tokens(text); 2], "{text}");
        }
    }

    /// What the pattern treats in different ways, to be put side by side. Without the apostrophe before a long s: beside
    /// another one, behind a capital and in words with letters beyond ASCII, the crate of the vocabulary takes it for one
    /// token more than others do.
    const BORDERS: [&str; 48] = [
        "a",
        "the",
        "B",
        "HTTP",
        "Word",
        "internationalisation",
        "'s",
        "'S",
        "'re",
        "'LL",
        "'v",
        "'",
        "''",
        " ",
        "  ",
        "                    ",
        "\t",
        "\u{b}",
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        "/",
        "//",
        "-",
        "--------------------",
        "_",
        "\"",
        "1",
        "12",
        "1234",
        "é",
        "É",
        "e\u{301}",
        "\u{301}",
        "ǅ",
        "ʰ",
        "漢",
        "字かな",
        "🎉",
        "👩\u{200d}👧",
        "\u{a0}",
        "\u{3000}",
        "\u{85}",
        "²",
        "Ⅷ",
        "\0",
        "\u{7f}",
    ];

    proptest! {
        #[test]
        fn both_implementations_agree_on_anything(text in ".{0,200}") {
            prop_assert_eq!(others(&text), [tokens(&text); 2]);
        }

        #[test]
        fn whatever_stands_beside_what_is_counted_exactly(parts in proptest::collection::vec(0..BORDERS.len(), 0..40)) {
            let text: String = parts.iter().map(|part| BORDERS[*part]).collect();
            prop_assert_eq!(others(&text), [tokens(&text); 2], "{:?}", text);
        }

        #[test]
        fn cuts_never_exceed_the_limit(text in "[a-z0-9 \n漢é🎉]{0,300}", limit in 0u64..80) {
            prop_assert!(tokens(head(&text, limit)) <= limit);
            prop_assert!(tokens(tail(&text, limit)) <= limit);
            prop_assert!(text.starts_with(head(&text, limit)) && text.ends_with(tail(&text, limit)));
        }
    }
}
