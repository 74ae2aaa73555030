//! Reducing a long text when it is appended: its beginning, its end, a handle to the whole, and a list of the
//! identifiers that only the hidden part has.
//!
//! It happens once, when the text enters a conversation, so what was sent before never changes and a prompt cache
//! stays whole. A rolling window over old results saves tokens and costs money, because each step rewrites what the
//! cache holds; see `docs/economy.md`. Without the list of identifiers a cut at 1,000 tokens hides about three in ten
//! of those that long tables give and later calls need.

use std::collections::BTreeSet;

use crate::count;
use crate::receipt::{Layer, Receipt};

/// What a tool result may take, in tokens, where nothing else is set.
pub const CAP_TOKENS: u64 = 1_000;
/// The share of the visible text that is its beginning, in hundredths.
const HEAD_SHARE: u64 = 60;
/// The longest list of hidden identifiers, in tokens.
const IDENTIFIER_TOKENS: u64 = 100;
/// Hidden text that is searched for identifiers, in bytes; more is data.
const SEARCHED_MAX: usize = 4 << 20;
/// Equal lines in a row beyond this are said, not shown.
const REPEATS_MAX: usize = 3;
/// The longest line that is shown, in bytes: minified code and data tell nobody anything.
const LINE_MAX: usize = 2_000;
/// Places whose listings are noise.
const NOISE: &[&str] = &[
    "node_modules/",
    ".git/",
    "__pycache__/",
    "/target/debug/",
    "/target/release/",
    ".venv/",
];

/// A text that was reduced, or left as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reduced {
    /// What to show.
    pub text: String,
    /// What was done; none when the text is as it was.
    pub receipt: Option<Receipt>,
}

/// The text within `cap_tokens`, if it has more. `handle` says where the whole is: a path or a name to ask for.
pub fn reduce(subject: &str, text: &str, handle: &str, cap_tokens: u64) -> Reduced {
    if count::fits(text, cap_tokens) {
        return Reduced {
            text: text.to_owned(),
            receipt: None,
        };
    }
    let would = count::tokens(text);
    let clean = without_noise(text);
    let mut receipt = Receipt::new(Layer::Reduction, subject, would, 0);
    let clean_tokens = count::tokens(&clean);
    if clean_tokens < would {
        receipt = receipt.without(
            "noise",
            "escapes, progress, repeats, build folders",
            would - clean_tokens,
        );
    }
    let shown = if clean_tokens <= cap_tokens {
        let note = format!("[noise left out; the whole is at {handle}]");
        format!("{}\n{note}\n", clean.trim_end())
    } else {
        let (shown, hidden) = cut(&clean, handle, cap_tokens);
        receipt = receipt.without("the middle", "longer than its limit; the whole has a handle", hidden);
        shown
    };
    receipt.sent_tokens = count::tokens(&shown);
    Reduced {
        text: shown,
        receipt: Some(receipt),
    }
}

/// Beginning, marker, identifiers, end. Also says how many tokens are hidden.
fn cut(text: &str, handle: &str, cap_tokens: u64) -> (String, u64) {
    // The marker and the identifiers are paid from the limit too.
    let marker_tokens = 40 + count::tokens(handle);
    let identifier_tokens = IDENTIFIER_TOKENS.min(cap_tokens / 5);
    let visible = cap_tokens.saturating_sub(marker_tokens + identifier_tokens);
    let head = count::head(text, visible * HEAD_SHARE / 100);
    let tail = count::tail(&text[head.len()..], visible - visible * HEAD_SHARE / 100);
    let hidden = &text[head.len()..text.len() - tail.len()];
    let hidden_tokens = count::tokens(hidden);
    let lines = hidden.lines().count();
    let mut marker = format!("[… {hidden_tokens} tokens in {lines} lines left out; the whole is at {handle}]");
    let identifiers = hidden_identifiers(hidden, &[head, tail], identifier_tokens);
    if !identifiers.is_empty() {
        marker.push_str("\n[only there: ");
        marker.push_str(&identifiers);
        marker.push(']');
    }
    let newline = if head.is_empty() || head.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    (format!("{head}{newline}{marker}\n{tail}"), hidden_tokens)
}

/// The identifiers of `hidden` that stand nowhere in `visible`, in their order, within so many tokens.
pub fn hidden_identifiers(hidden: &str, visible: &[&str], tokens_max: u64) -> String {
    let seen: BTreeSet<&str> = visible.iter().flat_map(|text| identifiers(text)).collect();
    let searched = &hidden[..hidden.floor_char_boundary(SEARCHED_MAX)];
    let mut named = BTreeSet::new();
    let mut list = String::new();
    let mut left = tokens_max;
    for word in identifiers(searched) {
        if seen.contains(word) || !named.insert(word) {
            continue;
        }
        let cost = count::tokens(word) + 1;
        if cost > left {
            break;
        }
        left -= cost;
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(word);
    }
    list
}

/// Words that somebody may need to repeat exactly: paths, names of several parts, ids, long numbers.
pub fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '#' | ':');
    text.split(move |c| !part(c))
        .map(|word| word.trim_matches(|c| matches!(c, '.' | '-' | ':' | '/' | '#')))
        .filter(|word| (4..=80).contains(&word.len()) && is_telling(word))
}

fn is_telling(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let joined = word.contains(['_', '/', '@']) || (word.contains(['-', '.', ':']) && letters);
    let mixed_case =
        word.bytes().any(|b| b.is_ascii_lowercase()) && word.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    joined || digits >= 4 || (digits > 0 && letters) || mixed_case
}

/// The text without escapes of terminals, lines that were overwritten, long repeats and listings of build folders;
/// lines that are too long are cut.
fn without_noise(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(1 << 20));
    let mut last = String::new();
    let mut repeats = 0_usize;
    let mut noise = 0_usize;
    let flush = |kept: &mut String, repeats: &mut usize, noise: &mut usize| {
        if *repeats > REPEATS_MAX {
            kept.push_str(&format!("[the line above {} times more]\n", *repeats - REPEATS_MAX));
        }
        if *noise > 0 {
            kept.push_str(&format!("[{noise} lines about build folders]\n"));
        }
        (*repeats, *noise) = (0, 0);
    };
    for line in text.lines() {
        let line = plain(line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default());
        if NOISE.iter().any(|place| line.contains(place)) && line.len() < 300 && !line.contains("rror") {
            noise += 1;
            continue;
        }
        if line == last && !line.is_empty() {
            repeats += 1;
            if repeats > REPEATS_MAX {
                continue;
            }
        } else {
            flush(&mut kept, &mut repeats, &mut noise);
        }
        let cut = &line[..line.floor_char_boundary(LINE_MAX)];
        kept.push_str(cut);
        if cut.len() < line.len() {
            kept.push_str(&format!("[… {} more bytes in this line]", line.len() - cut.len()));
        }
        kept.push('\n');
        last = line;
    }
    flush(&mut kept, &mut repeats, &mut noise);
    kept
}

/// A line without the escape sequences of terminals and other control characters, but for tabs.
fn plain(line: &str) -> String {
    if !line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return line.to_owned();
    }
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => match chars.next() {
                // A control sequence ends with its final byte, a command of the operating system with BEL or ESC \.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\u{7}' && c != '\u{1b}') {},
                _ => {}
            },
            '\t' => plain.push('\t'),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_left_alone() {
        let reduced = reduce("ls", "\u{1b}[1ma.rs\u{1b}[0m\n", "h1", 100);
        assert_eq!(
            (reduced.text.as_str(), reduced.receipt),
            ("\u{1b}[1ma.rs\u{1b}[0m\n", None)
        );
    }

    #[test]
    fn both_ends_stay_and_what_is_hidden_can_be_asked_for() {
        let text: String = (0..600).map(|n| format!("row {n} customer_{n:04} open\n")).collect();
        let reduced = reduce("query", &text, "artifacts/abc", 500);
        assert!(count::tokens(&reduced.text) <= 500, "{}", count::tokens(&reduced.text));
        assert!(reduced.text.starts_with("row 0 ") && reduced.text.ends_with("row 599 customer_0599 open\n"));
        assert!(reduced.text.contains("the whole is at artifacts/abc"));
        let only = reduced
            .text
            .lines()
            .find(|line| line.starts_with("[only there: "))
            .unwrap();
        assert!(only.contains("customer_0"), "{only}");
        let receipt = reduced.receipt.unwrap();
        assert_eq!(receipt.sent_tokens, count::tokens(&reduced.text));
        assert_eq!(receipt.left_out[0].what, "the middle");
    }

    #[test]
    fn noise_goes_first() {
        let mut text = String::from("start\n");
        text.push_str(&"\u{1b}[32mCompiling\u{1b}[0m 1%\rCompiling 50%\rCompiling done\n".repeat(2));
        text.push_str(&"same line\n".repeat(400));
        text.push_str("a/node_modules/x.js\nb/node_modules/y.js\nend\n");
        let reduced = reduce("build", &text, "h", 100);
        let expected = "start\nCompiling done\nCompiling done\nsame line\nsame line\nsame line\nsame line\n";
        assert!(reduced.text.starts_with(expected), "{}", reduced.text);
        assert!(
            reduced
                .text
                .contains("[the line above 396 times more]\n[2 lines about build folders]\nend\n")
        );
        assert!(reduced.receipt.unwrap().left_out[0].what == "noise");
    }

    #[test]
    fn one_huge_line_is_cut() {
        let text = "0123456789abcdef".repeat(1 << 18);
        let reduced = reduce("minified", &text, "h", 300);
        assert!(
            count::tokens(&reduced.text) <= 300 + 1_000,
            "{}",
            count::tokens(&reduced.text)
        );
        assert!(reduced.text.len() < 4_000);
    }

    #[test]
    fn identifiers_are_what_one_must_repeat_exactly() {
        let text = "the user-id is sara_doe_496, see src/main.rs:12 or HAT001; total 5000 in 12 getName x.";
        let found: Vec<&str> = identifiers(text).collect();
        assert_eq!(
            found,
            ["user-id", "sara_doe_496", "src/main.rs:12", "HAT001", "5000", "getName"]
        );
    }

    proptest! {
        #[test]
        fn anything_is_reduced_without_a_panic(text in "(\\PC{0,40}[\r\n\u{1b}\\[]){0,60}", cap in 0u64..200) {
            let reduced = reduce("x", &text, "handle", cap);
            prop_assert!(reduced.receipt.is_some() != count::fits(&text, cap));
        }
    }
}
