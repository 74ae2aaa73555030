//! A long prompt that is sent once, without the sentences that say least about what is asked.
//!
//! Extractive: what stays is word for word what stood there, in its order, and a gap says how many sentences it is. By
//! structure and words, without a model: sentences are ranked by BM25 against the words of the instruction, and what must
//! not be lost is never left out (`units`). For prompts that no cache will hold again; who calls this makes sure of it,
//! since a shortened prefix is another prefix.

mod units;

use std::collections::{BTreeMap, BTreeSet};

use crate::receipt::{Layer, Receipt};
use crate::{count, words};
use units::Unit;

/// The usual constants of BM25 (Robertson and Zaragoza 2009): how soon a repeated word counts no more, and how much the
/// length of a sentence counts.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// A prompt, what is known of it, and how long it may be.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// Who it is for, on the receipt.
    pub subject: &'a str,
    /// The prompt.
    pub text: &'a str,
    /// What its author wrote, where the rest was filled in from elsewhere: the instruction, of which nothing is left out.
    /// Without it the first and the last paragraph count as that.
    pub own: Option<&'a str>,
    /// Its limit in tokens.
    pub tokens_max: u64,
}

/// The prompt within its limit, as far as that goes without what is never left out. `whole` says where all of it can be
/// read, for a reader that can open files. Nothing when it fits as it is.
pub fn compress(prompt: Prompt<'_>, whole: impl FnOnce() -> Option<String>) -> Option<(String, Receipt)> {
    let Prompt { subject, text, own, .. } = prompt;
    let would = count::tokens(text);
    if would <= prompt.tokens_max {
        return None;
    }
    let units = units::of(text, own);
    let ranked = ranked(text, &units, own);
    if ranked.is_empty() {
        let receipt = Receipt::new(Layer::Compression, subject, would, would);
        return Some((text.to_owned(), receipt.noted("nothing in it may be left out")));
    }
    let ending = whole()
        .map(|place| format!("\n[the whole: {place}]\n"))
        .unwrap_or_default();
    let sent_with = |kept: usize| {
        let kept: BTreeSet<usize> = ranked[..kept].iter().copied().collect();
        let sent = rendered(text, &units, &kept) + &ending;
        (count::tokens(&sent), sent)
    };
    // The most of the ranked sentences that fit; none of them when even that is too long.
    let (mut fits, mut too_many) = (0, ranked.len());
    while fits + 1 < too_many {
        let middle = usize::midpoint(fits, too_many);
        match sent_with(middle).0 <= prompt.tokens_max {
            true => fits = middle,
            false => too_many = middle,
        }
    }
    let (sent_tokens, sent) = sent_with(fits);
    let gone = ranked.len() - fits;
    if sent_tokens >= would {
        let receipt = Receipt::new(Layer::Compression, subject, would, would);
        return Some((
            text.to_owned(),
            receipt.noted("what may be left out of it is not worth a gap"),
        ));
    }
    let note = match sent_tokens <= prompt.tokens_max {
        true => format!(
            "sentences by what they say about the instruction; {} are never left out",
            units.len() - ranked.len()
        ),
        false => "longer than asked for: the rest is never left out".to_owned(),
    };
    let receipt = Receipt::new(Layer::Compression, subject, would, sent_tokens)
        .without(&sentences(gone), "say least about the instruction", would - sent_tokens)
        .noted(&note);
    Some((sent, receipt))
}

/// The places of the units that may be left out, the most telling first.
fn ranked(text: &str, units: &[Unit], own: Option<&str>) -> Vec<usize> {
    let said: Vec<Vec<String>> = units.iter().map(|unit| words::of(&text[unit.range.clone()])).collect();
    let asked: BTreeSet<String> = match own {
        Some(own) => words::of(own).into_iter().collect(),
        None => {
            let asking = units.iter().zip(&said).filter(|(unit, _)| unit.asks);
            asking.flat_map(|(_, words)| words.iter().cloned()).collect()
        }
    };
    let mut within: BTreeMap<&str, f64> = BTreeMap::new();
    for words in &said {
        for word in words.iter().map(String::as_str).collect::<BTreeSet<_>>() {
            *within.entry(word).or_default() += 1.0;
        }
    }
    let many = units.len() as f64;
    let mean = said.iter().map(Vec::len).sum::<usize>() as f64 / many.max(1.0);
    let score = |words: &[String]| -> f64 {
        let mut times: BTreeMap<&str, f64> = BTreeMap::new();
        for word in words.iter().filter(|word| asked.contains(*word)) {
            *times.entry(word).or_default() += 1.0;
        }
        let norm = K1 * (1.0 - B + B * words.len() as f64 / mean.max(1.0));
        let of_word = |(word, times): (&str, f64)| {
            let with = within.get(word).copied().unwrap_or_default();
            let rare = (1.0 + (many - with + 0.5) / (with + 0.5)).ln();
            rare * times * (K1 + 1.0) / (times + norm)
        };
        times.into_iter().map(of_word).sum()
    };
    let mut ranked: Vec<(usize, f64)> = (units.iter().zip(&said).enumerate())
        .filter(|(_, (unit, _))| !unit.stays)
        .map(|(place, (_, words))| (place, score(words)))
        .collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    ranked.into_iter().map(|(place, _)| place).collect()
}

/// What stays and what is kept, with a mark for each gap.
fn rendered(text: &str, units: &[Unit], kept: &BTreeSet<usize>) -> String {
    let mut sent = String::with_capacity(text.len());
    let mut gone = 0;
    for (place, unit) in units.iter().enumerate() {
        if unit.stays || kept.contains(&place) {
            sent.push_str(&text[unit.range.clone()]);
            continue;
        }
        gone += 1;
        let last_of_gap = units
            .get(place + 1)
            .is_none_or(|next| next.stays || kept.contains(&(place + 1)));
        if last_of_gap {
            let words = text[unit.range.clone()].trim_end();
            sent.push_str(&format!("[… {}]", sentences(gone)));
            sent.push_str(&text[unit.range.start + words.len()..unit.range.end]);
            gone = 0;
        }
    }
    sent
}

fn sentences(many: usize) -> String {
    format!("{many} sentence{}", if many == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prompt(text: &str, tokens_max: u64) -> Prompt<'_> {
        Prompt {
            subject: "t",
            text,
            own: None,
            tokens_max,
        }
    }

    /// A letter in which one paragraph is about the question and the others are not.
    fn letter() -> String {
        let weather =
            "The weather was mild that week and everybody went out for lunch. Nobody minded the rain much. ".repeat(12);
        format!(
            "Find out why the parser loses commas.\n\n{weather}\n\nThe commas get lost when the parser looks ahead by two. \
             People had lunch again. The search took 300 ms longer. Call `parse_list` first.\n\n```\nlet x = 1;\n\nlet y = 2;\n```\n\n\
             {weather}\n\nYou must never touch the lexer. Is it the lookahead?\n\nAnswer in one line.\n"
        )
    }

    #[test]
    fn what_the_instruction_is_about_and_what_binds_stays_in_order() {
        let letter = letter();
        let (sent, receipt) = compress(prompt(&letter, 160), || None).unwrap();
        let kept = [
            "Find out why the parser loses commas.",
            "The commas get lost when the parser looks ahead by two.",
            "The search took 300 ms longer. Call `parse_list` first.",
            "```\nlet x = 1;\n\nlet y = 2;\n```",
            "You must never touch the lexer. Is it the lookahead?",
            "Answer in one line.",
        ];
        let places: Vec<usize> = kept
            .iter()
            .map(|part| sent.find(part).unwrap_or_else(|| panic!("{part}: {sent}")))
            .collect();
        assert!(places.is_sorted());
        assert!(sent.contains("[… ") && count::tokens(&sent) <= 160, "{sent}");
        assert_eq!(receipt.sent_tokens, count::tokens(&sent));
        assert_eq!(receipt.would_tokens, count::tokens(&letter));
        assert_eq!(compress(prompt(&letter, 100_000), || None), None);
    }

    #[test]
    fn nothing_that_is_never_left_out_goes_for_a_limit_that_is_too_low() {
        let letter = letter();
        let (sent, receipt) = compress(prompt(&letter, 10), || Some("/tmp/whole.md".to_owned())).unwrap();
        assert!(sent.contains("never touch the lexer") && sent.contains("let y = 2;") && !sent.contains("lunch"));
        assert!(sent.ends_with("\n[the whole: /tmp/whole.md]\n"));
        assert_eq!(
            receipt.note.unwrap(),
            "longer than asked for: the rest is never left out"
        );
        let bound = "You must not do this. ".repeat(40);
        let (sent, receipt) = compress(prompt(&bound, 10), || None).unwrap();
        assert_eq!((sent, receipt.left_out_tokens()), (bound, 0));
    }

    #[test]
    fn of_what_the_author_wrote_nothing_is_left_out() {
        let own = "Say what is wrong. Be kind to the reader.\n\n{{ tasks.a.result }}\n\nKeep to the point.";
        let told = "The weather was mild and calm again. ".repeat(40);
        let text = own.replace("{{ tasks.a.result }}", &told);
        let asked = Prompt {
            own: Some(own),
            ..prompt(&text, 60)
        };
        let (sent, _) = compress(asked, || None).unwrap();
        for words in ["Say what is wrong. Be kind to the reader.", "Keep to the point."] {
            assert!(sent.contains(words), "{sent}");
        }
        assert!(count::tokens(&sent) <= 60);
    }

    proptest! {
        #[test]
        fn whatever_stays_stood_there_in_that_order(
            text in "([A-Za-z]{1,8}[ .?!\n]{1,3}|```\n|# |- |\\PC{1,4}){0,120}", limit in 0u64..80
        ) {
            let units = units::of(&text, None);
            let tiled: String = units.iter().map(|unit| &text[unit.range.clone()]).collect();
            prop_assert_eq!(&tiled, &text);
            if let Some((sent, receipt)) = compress(prompt(&text, limit), || None) {
                prop_assert!(receipt.sent_tokens <= receipt.would_tokens);
                let mut from = 0;
                for part in sent.split("[… ").map(|part| part.split_once(" sentence").map_or(part, |(_, rest)| rest)) {
                    let part = part.trim_start_matches('s').trim_start_matches(']').trim();
                    if text.contains("[… ") || text.contains(" sentence") {
                        continue;
                    }
                    let found = text[from..].find(part);
                    prop_assert!(found.is_some(), "{:?} of {:?}", part, text);
                    from += found.unwrap_or_default() + part.len();
                }
            }
        }
    }
}
