//! Cutting a document or a diff for each of its readers: what concerns a reader in full, the rest as one line each.
//!
//! A reader that looks at everything gets everything; so does one that most of the text concerns, and one that must
//! look although nothing concerns it. What speaks of secrets and permissions always concerns the safety reader. Only
//! readers that saw a unit in full count when it is asked who agrees about it ([`agreement`]).
//!
//! Slicing saves tokens, and money only where the readers would not have shared a cached prefix: see
//! [`crate::cache::slicing_pays`].

mod parts;

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use crate::count;
use crate::receipt::{Layer, Receipt};

pub use parts::{Kind, Unit, kind_of, pyramid, units};

/// A document shorter than this is given whole, in lines.
pub const DOCUMENT_LINES_MIN: usize = 200;
/// A diff shorter than this is given whole, in lines.
pub const DIFF_LINES_MIN: usize = 1_000;
/// A reader that this share of the lines concerns gets all of them, in hundredths.
pub const FULL_SHARE: usize = 80;
/// A reader that less than this share concerns may be the wrong reader, in hundredths; the receipt says so.
pub const SUSPICIOUS_SHARE: usize = 10;
/// Words that make a unit the safety reader's, whatever its keywords are.
pub const SAFETY_WORDS: &[&str] = &[
    "auth",
    "credential",
    "secret",
    "token",
    "certificate",
    "password",
    "private key",
];
/// Files that a program is shipped or let loose with: their change always concerns the safety reader.
const SHIP_FILES: &[&str] = &[
    "**/plugin.json",
    "**/.mcp.json",
    "**/mcp.json",
    "**/hooks/**",
    "**/hooks.json",
    "**/*permissions*",
    "**/*policy*",
    "**/Dockerfile*",
    ".github/workflows/**",
    "**/settings.json",
    "**/authorized_keys",
    "**/sudoers*",
];

/// Who reads, and for what.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reader {
    /// A name for receipts.
    pub name: String,
    /// Words that make a unit this reader's; letters of either case, anywhere in a word.
    pub keywords: Vec<String>,
    /// Paths that make a file this reader's.
    pub paths: Vec<String>,
    /// Units that it asked to see in full, by name.
    pub asked_for: Vec<String>,
    /// How it reads.
    pub breadth: Breadth,
}

/// How a reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breadth {
    /// What concerns it; left out when nothing does.
    Optional,
    /// What concerns it; everything when nothing does.
    #[default]
    Mandatory,
    /// What concerns it and all that could be dangerous; everything when nothing is.
    Safety,
    /// Everything: architecture, quality.
    Whole,
}

/// How much a reader was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// All of it.
    Whole,
    /// Some units in full, the others as a line.
    Slice,
    /// Nothing: it need not run.
    Nothing,
}

/// What one reader gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Whose.
    pub reader: String,
    /// How much.
    pub given: Given,
    /// The text; empty for [`Given::Nothing`].
    pub text: String,
    /// The units it sees in full, by name.
    pub full: BTreeSet<String>,
    /// What was left out and why.
    pub receipt: Receipt,
}

/// Cuts a text for each reader, in their order. Short texts are given whole. A path pattern that is none never fits.
pub fn slice(subject: &str, text: &str, readers: &[Reader]) -> Vec<Slice> {
    let kind = kind_of(text);
    let units = units(text, kind);
    let lines: usize = units.iter().map(|unit| unit.lines).sum();
    let tokens: Vec<u64> = units.iter().map(|unit| count::tokens(unit.text)).collect();
    let short = match kind {
        Kind::Document => lines <= DOCUMENT_LINES_MIN,
        Kind::Diff => lines < DIFF_LINES_MIN,
    };
    let whole = Whole {
        subject,
        text,
        kind,
        units: &units,
        tokens: &tokens,
        lines,
    };
    let samples: Vec<String> = units.iter().map(parts::sample).collect();
    let ship = globs(SHIP_FILES.iter().copied());
    let one = |reader: &Reader| {
        if short {
            return whole.all(reader, "it is short");
        }
        if reader.breadth == Breadth::Whole {
            return whole.all(reader, "it reads everything");
        }
        let mine = concerned(reader, &units, &samples, &ship);
        whole.cut(reader, &mine)
    };
    readers.iter().map(one).collect()
}

/// Which units concern the reader.
fn concerned(reader: &Reader, units: &[Unit<'_>], samples: &[String], ship: &GlobSet) -> Vec<bool> {
    let paths = globs(reader.paths.iter().map(String::as_str));
    let keywords: Vec<String> = reader.keywords.iter().map(|word| word.to_lowercase()).collect();
    let safety = reader.breadth == Breadth::Safety;
    let each = units.iter().zip(samples).map(|(unit, sample)| {
        if unit.is_preamble {
            return true;
        }
        let by_path = unit
            .path
            .is_some_and(|path| paths.is_match(path) || (safety && ship.is_match(path)));
        let by_word = keywords
            .iter()
            .any(|word| !word.is_empty() && sample.contains(word.as_str()));
        let by_request = reader.asked_for.contains(&unit.name);
        by_path || by_word || by_request || (safety && is_dangerous(unit.text))
    });
    each.collect()
}

/// Whether it speaks of what could be dangerous, anywhere: a sample could be written so that it shows nothing.
fn is_dangerous(text: &str) -> bool {
    let lower = text.to_lowercase();
    SAFETY_WORDS.iter().any(|word| lower.contains(word))
}

fn globs<'a>(patterns: impl Iterator<Item = &'a str>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in patterns.filter_map(|pattern| Glob::new(pattern).ok()) {
        set.add(glob);
    }
    set.build().unwrap_or_default()
}

struct Whole<'a> {
    subject: &'a str,
    text: &'a str,
    kind: Kind,
    units: &'a [Unit<'a>],
    tokens: &'a [u64],
    lines: usize,
}

impl Whole<'_> {
    fn all(&self, reader: &Reader, why: &str) -> Slice {
        let tokens = self.tokens.iter().sum();
        Slice {
            reader: reader.name.clone(),
            given: Given::Whole,
            text: self.text.to_owned(),
            full: self.units.iter().map(|unit| unit.name.clone()).collect(),
            receipt: Receipt::new(Layer::Slicing, self.subject, tokens, tokens).noted(&format!("whole: {why}")),
        }
    }

    fn cut(&self, reader: &Reader, mine: &[bool]) -> Slice {
        let chosen = || {
            self.units
                .iter()
                .zip(mine)
                .filter(|(unit, mine)| **mine && !unit.is_preamble)
        };
        let lines: usize = chosen().map(|(unit, _)| unit.lines).sum();
        if chosen().next().is_none() {
            return match reader.breadth {
                Breadth::Optional => self.nothing(reader),
                _ => self.all(reader, "nothing in it concerns this reader alone, and it must look"),
            };
        }
        if lines * 100 >= self.lines * FULL_SHARE {
            return self.all(reader, "most of it concerns this reader");
        }
        let mut text = String::new();
        let mut sent = 0;
        let mut rest = String::new();
        let mut receipt = Receipt::new(Layer::Slicing, self.subject, self.tokens.iter().sum(), 0);
        for ((unit, tokens), mine) in self.units.iter().zip(self.tokens).zip(mine) {
            if *mine {
                text.push_str(unit.text);
                if !unit.text.ends_with('\n') {
                    text.push('\n');
                }
                sent += tokens;
            } else {
                rest.push_str(&unit.line());
                rest.push('\n');
                receipt = receipt.without(&unit.name, "not what this reader reads for", *tokens);
            }
        }
        let head = match self.kind {
            Kind::Document => "Parts in full below; the others by one line each.\n",
            Kind::Diff => "Files in full below; the others by one line each.\n",
        };
        let summary = if self.kind == Kind::Document && self.lines >= PYRAMID_LINES {
            pyramid(self.text)
        } else {
            String::new()
        };
        let text = format!("{head}{summary}{rest}\n{text}");
        receipt.sent_tokens =
            sent + count::tokens(&text[..text.len().min(head.len() + summary.len() + rest.len() + 1)]);
        if lines * 100 < self.lines * SUSPICIOUS_SHARE {
            receipt = receipt.noted("less than a tenth concerns this reader: is it the right one?");
        }
        Slice {
            reader: reader.name.clone(),
            given: Given::Slice,
            text,
            full: chosen().map(|(unit, _)| unit.name.clone()).collect(),
            receipt,
        }
    }

    fn nothing(&self, reader: &Reader) -> Slice {
        let tokens = self.tokens.iter().sum();
        Slice {
            reader: reader.name.clone(),
            given: Given::Nothing,
            text: String::new(),
            full: BTreeSet::new(),
            receipt: Receipt::new(Layer::Slicing, self.subject, tokens, 0).without(
                "all of it",
                "nothing in it concerns this optional reader",
                tokens,
            ),
        }
    }
}

/// From so many lines on a slice of a document begins with a summary by its structure.
const PYRAMID_LINES: usize = 500;
/// How a reader asks for more that cannot open the whole.
pub const ASK: &str = "To see one of those, write `Request full section: NAME` on a line of its own.";
const REQUEST: &str = "request full section:";
/// Requests of one answer that are looked at.
const REQUESTS_MAX: usize = 50;

/// The units an answer asks to see in full.
pub fn requests(answer: &str) -> Vec<String> {
    let asked = answer.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches(['-', '*', '>', ' ', '`']);
        let start = line.get(..REQUEST.len())?;
        let name = line[REQUEST.len()..].trim().trim_matches(['`', '"', '*', '.']);
        (start.eq_ignore_ascii_case(REQUEST) && !name.is_empty()).then(|| name.to_owned())
    });
    asked.take(REQUESTS_MAX).collect()
}

/// Who says something about a unit, of those who could know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Agreement {
    /// The unit.
    pub unit: String,
    /// Readers that saw it in full and say it.
    pub say: Vec<String>,
    /// Readers that saw it in full.
    pub saw: usize,
    /// Readers that say it although they saw a line of it only: a hint, not a vote.
    pub beyond: Vec<String>,
}

/// How far the readers agree about a finding in a unit: `say` are those who report it. Silence about a unit that a
/// reader did not see in full says nothing.
pub fn agreement(unit: &str, say: &[&str], slices: &[Slice]) -> Agreement {
    let saw = |slice: &&Slice| slice.full.contains(unit);
    let names = |keep: &dyn Fn(&Slice) -> bool| -> Vec<String> {
        slices
            .iter()
            .filter(|slice| say.contains(&slice.reader.as_str()) && keep(slice))
            .map(|slice| slice.reader.clone())
            .collect()
    };
    Agreement {
        unit: unit.to_owned(),
        say: names(&|slice| slice.full.contains(unit)),
        saw: slices.iter().filter(saw).count(),
        beyond: names(&|slice| !slice.full.contains(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(name: &str, keywords: &[&str], breadth: Breadth) -> Reader {
        Reader {
            name: name.to_owned(),
            keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
            paths: vec!["**/*.sql".to_owned()],
            asked_for: Vec::new(),
            breadth,
        }
    }

    fn document() -> String {
        let part = |name: &str, word: &str| format!("## {name}\nAbout {word}.\n{}", "More of the same.\n".repeat(70));
        format!(
            "---\ntitle: x\n---\n# Spec\nIntro.\n{}{}```\n## not a heading\n```\n{}",
            part("Storage", "tables"),
            part("Speed", "latency"),
            part("Login", "passwords"),
        )
    }

    #[test]
    fn each_reader_gets_what_concerns_it() {
        let text = document();
        let readers = [
            reader("speed", &["latency"], Breadth::Mandatory),
            reader("safety", &["nothing-here"], Breadth::Safety),
            reader("design", &[], Breadth::Whole),
            reader("games", &["sprites"], Breadth::Optional),
            reader("must", &["sprites"], Breadth::Mandatory),
            reader("most", &["more of"], Breadth::Mandatory),
        ];
        let slices = slice("spec.md", &text, &readers);
        let given: Vec<Given> = slices.iter().map(|slice| slice.given).collect();
        assert_eq!(
            given,
            [
                Given::Slice,
                Given::Slice,
                Given::Whole,
                Given::Nothing,
                Given::Whole,
                Given::Whole
            ]
        );
        assert_eq!(slices[0].full, BTreeSet::from(["Speed".to_owned()]));
        assert!(
            slices[0].text.contains("- **Login**: About passwords. (72 lines)"),
            "{}",
            slices[0].text
        );
        assert!(slices[0].text.contains("About latency") && !slices[0].text.contains("About tables.\nMore"));
        assert!(slices[1].full.contains("Login"));
        assert!(slices[0].receipt.sent_tokens * 2 < slices[0].receipt.would_tokens);
    }

    #[test]
    fn a_short_text_is_whole_for_all() {
        let slices = slice("x", "# A\nb\n", &[reader("a", &["zzz"], Breadth::Optional)]);
        assert_eq!((slices[0].given, slices[0].text.as_str()), (Given::Whole, "# A\nb\n"));
    }

    #[test]
    fn a_diff_is_cut_by_files() {
        let file = |path: &str, line: &str| {
            format!(
                "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1,500 @@\n-x\n{}",
                format!("+{line}\n").repeat(500)
            )
        };
        let text = format!(
            "{}{}{}diff --git a/l.png b/l.png\nBinary files a/l.png and b/l.png differ\n",
            file("db/a.sql", "select 1"),
            file("src/b.rs", "let latency = 1;"),
            file("hooks/run.sh", "echo"),
        );
        let readers = [
            reader("speed", &["latency"], Breadth::Mandatory),
            reader("safety", &[], Breadth::Safety),
            Reader {
                paths: vec!["[".to_owned()],
                ..reader("broken", &[], Breadth::Optional)
            },
        ];
        let slices = slice("diff", &text, &readers);
        assert_eq!(
            slices[0].full,
            BTreeSet::from(["db/a.sql".to_owned(), "src/b.rs".to_owned()])
        );
        assert!(
            slices[0].text.contains("[context] hooks/run.sh: +500 -1"),
            "{}",
            &slices[0].text[..300]
        );
        assert!(slices[0].text.contains("[context] l.png: binary"));
        assert!(slices[1].full.contains("hooks/run.sh"));
        assert_eq!(slices[2].given, Given::Nothing);
    }

    #[test]
    fn only_who_saw_it_in_full_counts() {
        let text = document();
        let readers = [
            reader("speed", &["latency"], Breadth::Mandatory),
            reader("design", &[], Breadth::Whole),
        ];
        let slices = slice("spec.md", &text, &readers);
        let about = agreement("Login", &["speed", "design"], &slices);
        assert_eq!(
            (about.say, about.saw, about.beyond),
            (vec!["design".to_owned()], 1, vec!["speed".to_owned()])
        );
    }

    #[test]
    fn requests_are_heard_and_what_is_asked_for_is_given() {
        let answer = "fine\n- Request full section: `Login`\nrequest full section:\nREQUEST FULL SECTION: Speed";
        assert_eq!(requests(answer), ["Login", "Speed"]);
        let asks = Reader {
            asked_for: requests("Request full section: Storage"),
            ..reader("speed", &["latency"], Breadth::Mandatory)
        };
        let slices = slice("spec.md", &document(), &[asks]);
        assert_eq!(slices[0].full, ["Speed", "Storage"].map(str::to_owned).into());
    }

    #[test]
    fn danger_in_the_middle_of_a_long_part_concerns_the_safety_reader() {
        let lines = "nothing\n".repeat(120);
        let text = format!("## A\n{lines}The Private Key is in the log.\n{lines}## B\n{lines}{lines}");
        let slices = slice("x", &text, &[reader("safety", &[], Breadth::Safety)]);
        assert_eq!(slices[0].full, BTreeSet::from(["A".to_owned()]));
    }
}
