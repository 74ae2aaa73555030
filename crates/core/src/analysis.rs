//! What a task is, told from its words alone: how complex, how much context, how risky, of what type. No model.
//!
//! Each judgement carries the signals that led there, so that a person can see why and disagree. Deliberately lexical:
//! it costs microseconds and no tokens, and its weakness is known (it cannot tell what a short sentence hides). Where
//! nothing speaks, the middle is taken, never the cheapest. Called by [`crate::route`]; reads nothing but its arguments.

mod lexicon;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use lexicon::{Group, Meaning, meaning};
use words::Words;
pub(crate) use words::stated_tokens;

/// How much of a text is read for signals, from its beginning: what follows a long instruction is pasted material, and
/// counts as context only.
pub const READ_MAX: usize = 16 << 10;
/// What one point moves a difficulty by, in thousandths of a doubling of length.
const POINT: i64 = 500;
/// How many points move a difficulty at the most, either way.
const MOVED_MAX: i32 = 2;
/// Characters a token, roughly, where nobody counts better.
pub const CHARS_PER_TOKEN: u64 = 4;

/// How hard it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Complexity {
    /// One small step.
    Simple,
    /// Ordinary work.
    Medium,
    /// Several parts, or judgement.
    Complex,
}

/// How much must be read for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Up to 8,000 tokens.
    Small,
    /// Up to 32,000 tokens.
    Medium,
    /// Up to 200,000 tokens.
    Large,
    /// More: beyond the windows of most models.
    Massive,
}

impl Context {
    /// The tokens that must fit for it.
    pub fn tokens(self) -> u64 {
        match self {
            Context::Small => 8_000,
            Context::Medium => 32_000,
            Context::Large => 200_000,
            Context::Massive => 800_000,
        }
    }

    fn of(tokens: u64) -> Context {
        match tokens {
            0..=8_000 => Context::Small,
            8_001..=32_000 => Context::Medium,
            32_001..=200_000 => Context::Large,
            _ => Context::Massive,
        }
    }
}

/// What is at stake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A mistake is seen and undone at once.
    Low,
    /// As usual.
    Medium,
    /// A mistake costs money, data or trust.
    High,
    /// A mistake must not happen.
    Critical,
}

/// What sort of work it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Writing code.
    Implementation,
    /// Judging work.
    Review,
    /// Finding things out from much material.
    Research,
    /// Finding a cause.
    Debug,
    /// Writing tests.
    Testing,
    /// Writing for people: documentation, reports, letters.
    Writing,
    /// Sorting, extracting, yes or no.
    Classification,
    /// Weighing and deciding.
    Strategy,
    /// Social media and what happens right now.
    Social,
    /// Nothing says which.
    General,
}

/// Every kind, for tables.
pub const KINDS: [Kind; 10] = [
    Kind::Implementation,
    Kind::Review,
    Kind::Research,
    Kind::Debug,
    Kind::Testing,
    Kind::Writing,
    Kind::Classification,
    Kind::Strategy,
    Kind::Social,
    Kind::General,
];

macro_rules! named {
    ($type:ident { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// The word for it, as in plans and `--json`.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }

            /// The one of that name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some($type::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named!(Complexity { Simple => "simple", Medium => "medium", Complex => "complex" });
named!(Context { Small => "small", Medium => "medium", Large => "large", Massive => "massive" });
named!(Risk { Low => "low", Medium => "medium", High => "high", Critical => "critical" });
named!(Kind {
    Implementation => "implementation",
    Review => "review",
    Research => "research",
    Debug => "debug",
    Testing => "testing",
    Writing => "writing",
    Classification => "classification",
    Strategy => "strategy",
    Social => "social",
    General => "general",
});

/// A judgement and what led there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Judged<T> {
    /// The judgement.
    pub value: T,
    /// The signals, in the order in which they were met.
    pub signals: Vec<Signal>,
}

/// One thing that speaks for a judgement, or against it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signal {
    /// How much it counts; negative speaks for less.
    pub points: i32,
    /// What was found.
    pub what: String,
}

/// What is known about a task.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Its words.
    pub text: &'a str,
    /// The files it says it will write, as globs.
    pub files: &'a [String],
    /// How many commands check it.
    pub checks: usize,
    /// How many tokens of other material come with it, when known.
    pub material_tokens: Option<u64>,
}

/// What a task is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Analysis {
    /// How hard it is.
    pub complexity: Judged<Complexity>,
    /// How much must be read for it.
    pub context: Judged<Context>,
    /// What is at stake.
    pub risk: Judged<Risk>,
    /// What sort of work it is.
    pub kind: Judged<Kind>,
    /// How many tokens are expected to be read for it.
    pub tokens: u64,
    /// How hard it is as one number, for comparing tasks. In thousandths: a thousand is a text twice as long.
    ///
    /// Length is the base, because on prompts of others nothing that is told from words alone ordered them better
    /// (docs/economy.md); what words and declared files say moves it by no more than one doubling each.
    pub difficulty: i64,
}

/// Looks at a task.
pub fn analyse(facts: &Facts<'_>) -> Analysis {
    let words = Words::of(facts.text);
    let complexity = complexity(facts, &words);
    let (context, tokens) = context(facts, &words);
    Analysis {
        difficulty: difficulty(facts, &words),
        context,
        risk: risk(facts, &words),
        kind: kind(&words),
        tokens,
        complexity,
    }
}

fn signal(points: i32, what: impl Into<String>) -> Signal {
    let what = what.into();
    Signal { points, what }
}

fn complexity(facts: &Facts<'_>, words: &Words<'_>) -> Judged<Complexity> {
    let mut signals = Vec::new();
    for (word, meaning) in words.meanings() {
        if let Meaning::Effort(points) = meaning {
            signals.push(signal(points, format!("`{word}`")));
        }
    }
    match words.instruction_words {
        0..=60 => {}
        many @ 61..=200 => signals.push(signal(1, format!("{many} words of instruction"))),
        many => signals.push(signal(2, format!("{many} words of instruction"))),
    }
    if words.steps >= 3 {
        let points = if words.steps >= 6 { 2 } else { 1 };
        signals.push(signal(points, format!("{} listed steps", words.steps)));
    }
    match (file_points(facts.files.len()), facts.files.len()) {
        (0, _) => {}
        (points, many) => signals.push(signal(points, format!("{many} declared files or globs"))),
    }
    let points: i32 = signals.iter().map(|signal| signal.points).sum();
    let for_it = signals.iter().filter(|signal| signal.points > 0).count();
    let value = match points {
        _ if signals.is_empty() => {
            signals.push(signal(0, "nothing says how hard it is: the middle"));
            Complexity::Medium
        }
        // One word alone does not make a task complex.
        4.. if for_it >= 2 => Complexity::Complex,
        1.. => Complexity::Medium,
        0 => Complexity::Medium,
        _ => Complexity::Simple,
    };
    Judged { value, signals }
}

/// Length, moved by what words and files say within bounds.
fn difficulty(facts: &Facts<'_>, words: &Words<'_>) -> i64 {
    let effort = words.meanings().map(|(_, meaning)| match meaning {
        Meaning::Effort(points) => points,
        Meaning::Reading(_) | Meaning::Stake(_) | Meaning::Grave | Meaning::Harmless | Meaning::Work(..) => 0,
    });
    let bounded = |points: i32| i64::from(points.clamp(-MOVED_MAX, MOVED_MAX)) * POINT;
    length_grade(facts.text) + bounded(effort.sum()) + bounded(file_points(facts.files.len()))
}

/// Doublings of a text's length, in thousandths: longer is never easier. What is read of it counts, pasted or not.
pub(crate) fn length_grade(text: &str) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "at most READ_MAX")]
    let bytes = text.len().min(READ_MAX) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "at most 14,001")]
    let grade = ((bytes + 1.0).log2() * 1_000.0) as i64;
    grade
}

fn file_points(files: usize) -> i32 {
    match files {
        0..=3 => 0,
        4..=9 => 1,
        _ => 2,
    }
}

fn context(facts: &Facts<'_>, words: &Words<'_>) -> (Judged<Context>, u64) {
    let own = facts.text.len() as u64 / CHARS_PER_TOKEN;
    let mut signals = vec![signal(0, format!("the text itself: about {own} tokens"))];
    let mut tokens = own;
    if let Some(material) = facts.material_tokens {
        signals.push(signal(
            1,
            format!("material that comes with it: about {material} tokens"),
        ));
        tokens = tokens.saturating_add(material);
    }
    let mut value = Context::of(tokens);
    let mut raise = |to: Context, what: String| {
        signals.push(signal(i32::from(to > value), what));
        value = value.max(to);
    };
    for (word, meaning) in words.meanings() {
        if let Meaning::Reading(to) = meaning {
            raise(to, format!("`{word}`"));
        }
    }
    if let Some(stated) = words.stated_tokens {
        raise(Context::of(stated), format!("{stated} tokens are spoken of"));
        tokens = tokens.max(stated);
    }
    if facts.files.iter().any(|glob| glob.contains("**")) {
        raise(Context::Medium, "a glob over a whole folder".to_owned());
    }
    // Reading a codebase is never done in one window's fill; the expectation is a working set of it.
    let expected = match value {
        Context::Small => tokens,
        Context::Medium => tokens.max(16_000),
        Context::Large => tokens.max(60_000),
        Context::Massive => tokens.max(250_000),
    };
    (Judged { value, signals }, expected)
}

fn risk(facts: &Facts<'_>, words: &Words<'_>) -> Judged<Risk> {
    let mut signals = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut distinct = 0;
    for (word, meaning) in words.meanings() {
        match meaning {
            Meaning::Stake(group) => {
                distinct += 1;
                if !groups.contains(&group) {
                    groups.push(group);
                }
                signals.push(signal(2, format!("`{word}`: {}", group.about())));
            }
            Meaning::Harmless => signals.push(signal(-1, format!("`{word}`"))),
            Meaning::Grave => signals.push(signal(4, format!("`{word}`"))),
            Meaning::Effort(_) | Meaning::Reading(_) | Meaning::Work(..) => {}
        }
    }
    for file in facts.files {
        if let Some(group) = lexicon::path_group(file) {
            distinct += 1;
            if !groups.contains(&group) {
                groups.push(group);
            }
            signals.push(signal(2, format!("writes {file}: {}", group.about())));
        }
    }
    let grave = signals.iter().any(|signal| signal.points >= 4);
    let harmless = signals.iter().any(|signal| signal.points < 0);
    let value = match (groups.len(), distinct) {
        _ if grave => Risk::Critical,
        (2.., _) | (1, 2..) if groups.contains(&Group::Security) || groups.len() > 1 => Risk::Critical,
        (1.., _) => Risk::High,
        (0, _) if harmless => Risk::Low,
        (0, _) => {
            signals.push(signal(0, "nothing speaks of particular harm: as usual"));
            Risk::Medium
        }
    };
    Judged { value, signals }
}

fn kind(words: &Words<'_>) -> Judged<Kind> {
    let mut signals = Vec::new();
    let mut points = [0; KINDS.len()];
    for (word, meaning) in words.meanings() {
        if let Meaning::Work(kind, weight) = meaning {
            // What a sentence begins with says more than what it mentions.
            let weight = if words.opens_with(word) { weight + 2 } else { weight };
            points[kind as usize] += weight;
            signals.push(signal(weight, format!("`{word}`: {kind}")));
        }
    }
    let best = KINDS.iter().rev().max_by_key(|kind| points[**kind as usize]);
    let value = match best {
        Some(kind) if points[*kind as usize] > 0 => *kind,
        Some(_) | None => {
            signals.push(signal(0, "nothing says what sort of work it is"));
            Kind::General
        }
    };
    Judged { value, signals }
}

#[cfg(test)]
mod tests;
