//! The user's rules against a task: whether its words say what a trigger says.
//!
//! A trigger is a phrase ("classify items into categories"). Its words that carry meaning are compared with those of the
//! task, stems with stems; it fires when most of them are there. A trigger that speaks of an amount of tokens (">100K
//! tokens") fires by the amount alone.

use super::read::Rule;
use crate::analysis::{self, Facts};

/// The share of a trigger's words that must be found.
const SHARE_MIN: f64 = 0.6;
/// How many of them at the least: one word is an accident.
const WORDS_MIN: usize = 2;

/// Words that carry no meaning of their own in a trigger.
const EMPTY: &[&str] = &[
    "a", "about", "against", "all", "an", "and", "another", "any", "are", "as", "at", "be", "between", "by", "for",
    "from", "in", "into", "is", "it", "its", "model", "not", "of", "on", "or", "other", "our", "so", "task", "that",
    "the", "their", "these", "this", "those", "to", "with", "your",
];

/// A rule, its triggers taken apart once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ready {
    /// The place of the rule in the file.
    pub(super) rule: usize,
    triggers: Vec<Trigger>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Trigger {
    text: String,
    stems: Vec<String>,
    tokens: Option<u64>,
}

/// A rule that fired.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Fired<'r> {
    pub(super) rule: usize,
    pub(super) trigger: &'r str,
    pub(super) share: f64,
}

/// Takes the triggers of all rules apart.
pub(super) fn ready(rules: &[Rule]) -> Vec<Ready> {
    let trigger = |text: &String| Trigger {
        text: text.clone(),
        stems: stems(text),
        tokens: analysis::stated_tokens(text),
    };
    let ready = |(rule, of): (usize, &Rule)| Ready {
        rule,
        triggers: of.triggers.iter().map(trigger).collect(),
    };
    rules.iter().enumerate().map(ready).collect()
}

/// The rule that fits best; among equals the first.
pub(super) fn fired<'r>(ready: &'r [Ready], facts: &Facts<'_>, tokens: u64) -> Option<Fired<'r>> {
    if ready.is_empty() {
        return None;
    }
    let read = &facts.text[..facts.text.floor_char_boundary(analysis::READ_MAX)];
    let mut words = stems(read);
    words.sort_unstable();
    let mut best: Option<(Fired<'r>, usize)> = None;
    for rule in ready {
        for trigger in &rule.triggers {
            let (share, found) = match trigger.tokens {
                Some(stated) if tokens >= stated => (1.0, usize::MAX),
                Some(_) => continue,
                None => share_of(&trigger.stems, &words),
            };
            let enough = found >= WORDS_MIN.min(trigger.stems.len().max(1)) && share >= SHARE_MIN;
            let better = best
                .as_ref()
                .is_none_or(|(fired, count)| (share, found) > (fired.share, *count));
            if enough && better {
                let fired = Fired {
                    rule: rule.rule,
                    trigger: &trigger.text,
                    share,
                };
                best = Some((fired, found));
            }
        }
    }
    best.map(|(fired, _)| fired)
}

fn share_of(stems: &[String], words: &[String]) -> (f64, usize) {
    let found = stems.iter().filter(|stem| words.binary_search(stem).is_ok()).count();
    #[expect(clippy::cast_precision_loss, reason = "a handful of words")]
    let share = found as f64 / stems.len().max(1) as f64;
    (share, found)
}

/// The words of a text that carry meaning, each cut to its stem, each once.
fn stems(text: &str) -> Vec<String> {
    let mut stems = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 1) {
        let word = word.to_lowercase();
        if EMPTY.binary_search(&word.as_str()).is_ok() {
            continue;
        }
        let stem = stem(&word);
        if !stems.contains(&stem) {
            stems.push(stem);
        }
        if stems.len() == 512 {
            break;
        }
    }
    stems
}

/// Cuts what English puts behind a stem. Crude on purpose: both sides are cut the same way.
fn stem(word: &str) -> String {
    const ENDINGS: [&str; 12] = [
        "ations", "ation", "ising", "izing", "ies", "ing", "ise", "ize", "ed", "es", "s", "e",
    ];
    for ending in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 3
        {
            return stem.to_owned();
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(triggers: &[(&str, &[&str])]) -> Vec<Ready> {
        let rule = |(name, triggers): &(&str, &[&str])| Rule {
            name: (*name).to_owned(),
            models: vec!["m".to_owned()],
            triggers: triggers.iter().map(|text| (*text).to_owned()).collect(),
        };
        ready(&triggers.iter().map(rule).collect::<Vec<_>>())
    }

    fn fires(ready: &[Ready], text: &str, tokens: u64) -> Option<usize> {
        let facts = Facts {
            text,
            ..Facts::default()
        };
        fired(ready, &facts, tokens).map(|fired| fired.rule)
    }

    #[test]
    fn triggers_fire_by_their_words_and_by_amounts() {
        let ready = rules(&[
            (
                "classification",
                &["classify items into categories", "simple yes/no decisions"],
            ),
            (
                "research",
                &["analyze documents >100K tokens", "broad research synthesis"],
            ),
        ]);
        assert_eq!(
            fires(&ready, "Please classify these tickets into three categories", 10),
            Some(0)
        );
        assert_eq!(fires(&ready, "Categorise this", 10), None, "one word of three");
        assert_eq!(fires(&ready, "Read this", 150_000), Some(1));
        assert_eq!(fires(&ready, "Read this", 90_000), None);
        assert_eq!(fires(&ready, "Write a parser", 10), None);
        assert_eq!(fires(&[], "anything", 10), None);
    }

    #[test]
    fn the_empty_words_are_sorted() {
        assert!(EMPTY.is_sorted());
    }
}
