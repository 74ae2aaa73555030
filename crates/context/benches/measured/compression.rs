//! What compressing a prompt that is sent once loses: issue texts at half of their length. Of the files and names that the
//! fix touched and the issue mentions, and of everything that one must repeat exactly, how much is still there; beside
//! the beginning of the text, and sentences by chance, at the same length.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use wheelhouse_context::compress::{Prompt, compress};
use wheelhouse_context::{count, reduce};

use crate::source::{records, stop};
use crate::table::{Draws, Table};

/// Shorter texts are not worth compressing.
const TOKENS_MIN: u64 = 300;

/// What is still there of what there was.
#[derive(Clone, Copy, Default)]
struct Kept {
    touched: usize,
    exact: usize,
}

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let path = data.join("localisation/instances.jsonl");
    if !path.exists() {
        println!("compression: passed over, {} is not there", path.display());
        return;
    }
    let mut draws = Draws::new(7);
    let (mut texts, mut would, mut sent_tokens) = (0, 0, 0);
    let (mut all, mut ours, mut head, mut chance) =
        (Kept::default(), Kept::default(), Kept::default(), Kept::default());
    for (line, row) in records(&path) {
        let Some(text) = row["problem_statement"].as_str() else {
            stop(&path, Some(line), "there is no `problem_statement`");
        };
        let tokens = count::tokens(text);
        if tokens < TOKENS_MIN {
            continue;
        }
        let prompt = Prompt {
            subject: "issue",
            text,
            own: None,
            tokens_max: tokens / 2,
        };
        let sent = compress(prompt, || None).map_or_else(|| text.to_owned(), |(sent, _)| sent);
        let length = count::tokens(&sent);
        texts += 1;
        would += tokens;
        sent_tokens += length;
        let wanted = wanted(&row, text);
        add(&mut all, &wanted, text);
        add(&mut ours, &wanted, &sent);
        add(&mut head, &wanted, count::head(text, length));
        add(&mut chance, &wanted, &by_chance(text, length, &mut draws));
    }
    if texts == 0 {
        println!(
            "compression: passed over, no issue in {} has {TOKENS_MIN} tokens",
            path.display()
        );
        return;
    }
    let shares = |kept: Kept| {
        let share = |kept: usize, all: usize| 100.0 * kept as f64 / all.max(1) as f64;
        format!(
            "{:.1} / {:.1} %",
            share(kept.touched, all.touched),
            share(kept.exact, all.exact)
        )
    };
    table.row(
        format!(
            "{texts} issues compressed to half where that goes ({:.0} % sent): of {} mentions of what the fix touched / {} identifiers, \
             still there",
            100.0 * sent_tokens as f64 / would as f64,
            all.touched,
            all.exact
        ),
        shares(ours),
        format!("{} (sentences by chance, same length)", shares(chance)),
        format!("{} (the beginning, same length)", shares(head)),
    );
}

/// The names that the fix touched and the text mentions, and the identifiers of the text.
fn wanted<'a>(row: &'a Value, text: &'a str) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for file in row["gold_files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        names.insert(file);
        names.extend(Path::new(file).file_stem().and_then(|stem| stem.to_str()));
    }
    for change in row["gold_changes"].as_array().into_iter().flatten() {
        let entities = change["changes"]["edited_entities"].as_array().into_iter().flatten();
        let entities = entities
            .filter_map(Value::as_str)
            .filter_map(|entity| entity.split_once(':'));
        names.extend(entities.flat_map(|(_, name)| name.split('.')));
    }
    names.retain(|name| name.len() >= 3 && mentions(text, name));
    (names, reduce::identifiers(text).collect())
}

/// Whether the name stands in the text as a word.
fn mentions(text: &str, name: &str) -> bool {
    let part = |char: char| char.is_alphanumeric() || char == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + name.len()..].starts_with(part))
}

fn add(kept: &mut Kept, (touched, exact): &(BTreeSet<&str>, BTreeSet<&str>), sent: &str) {
    kept.touched += touched.iter().filter(|name| mentions(sent, name)).count();
    kept.exact += exact.iter().filter(|word| sent.contains(**word)).count();
}

/// Lines and sentences drawn by chance, in their order, within so many tokens.
fn by_chance(text: &str, tokens_max: u64, draws: &mut Draws) -> String {
    let parts: Vec<&str> = text
        .split_inclusive('\n')
        .flat_map(|line| line.split_inclusive(". "))
        .collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    draws.shuffle(&mut order);
    let (mut left, mut kept) = (tokens_max, BTreeSet::new());
    for place in order {
        let tokens = count::tokens(parts[place]);
        if tokens <= left {
            left -= tokens;
            kept.insert(place);
        }
    }
    kept.into_iter().map(|place| parts[place]).collect()
}
