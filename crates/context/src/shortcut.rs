//! Transforms that need no model: a prompt that is, word for word, one of a few mechanical wishes on an input that it
//! names, done by code.
//!
//! Nothing is guessed. A prompt is read by an exact grammar ([`read`]); what is not a sentence of it, to the last word, is
//! none of ours. And what is one is only done where every reading of it comes to the same ([`Wish::apply`]): lines that sort
//! differently with and without regard to case are not sorted, JSON with a key twice is not formatted, a version that
//! stands in a file twice is not changed. Everything else goes to the model. The engine decides who may be spared.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::encode;
use crate::patch::{Changes, envelope, inside};
use crate::port::Files;

mod lossless;

/// The largest input, in bytes: beyond it a person should look what is going on.
pub const INPUT_MAX: usize = 16 << 20;
/// How many files one wish may name.
const FILES_MAX: usize = 50;

/// What is wished for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    /// A text is made another, or counted.
    Text {
        /// What is done.
        what: Transform,
        /// With what.
        from: From,
    },
    /// Each whole word is replaced by another in these files.
    Word {
        /// The old one.
        old: String,
        /// The new one.
        new: String,
        /// Where.
        files: Vec<String>,
    },
    /// A version is replaced by another in these files.
    Version {
        /// The old one.
        old: String,
        /// The new one.
        new: String,
        /// Where.
        files: Vec<String>,
    },
    /// A patch in the form of `apply_patch` is applied.
    Patch(String),
}

/// Where a text comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// It stands in the prompt.
    Prompt(String),
    /// The whole output of this task.
    Task(String),
    /// A file, that the answer is about.
    File(String),
    /// A file, that takes the result in its place.
    InPlace(String),
}

/// What is done with a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transform {
    /// JSON, two spaces a level.
    FormatJson,
    /// JSON without white space.
    MinifyJson,
    /// Lines in order.
    Sort,
    /// Lines in the order of their bytes.
    SortBytes,
    /// The first of equal lines.
    Unique,
    /// Both.
    SortUnique,
    /// How many lines.
    CountLines,
    /// How many words between white space.
    CountWords,
    /// How many entries the list or object has.
    CountEntries,
    /// A list of flat objects as a table.
    JsonToCsv,
    /// A table with a header as a list of objects of texts.
    CsvToJson,
    /// JSON as TOON.
    JsonToToon,
    /// TOON as JSON.
    ToonToJson,
}

/// The sentences, in lower case.
const SENTENCES: [(&str, Transform); 14] = [
    ("format the json", Transform::FormatJson),
    ("pretty-print the json", Transform::FormatJson),
    ("minify the json", Transform::MinifyJson),
    ("sort the lines", Transform::Sort),
    ("sort the lines in byte order", Transform::SortBytes),
    ("remove duplicate lines", Transform::Unique),
    ("sort the lines and remove duplicates", Transform::SortUnique),
    ("count the lines", Transform::CountLines),
    ("count the words", Transform::CountWords),
    ("count the entries of the json", Transform::CountEntries),
    ("convert the json to csv", Transform::JsonToCsv),
    (
        "convert the csv to json with all values as strings",
        Transform::CsvToJson,
    ),
    ("convert the json to toon", Transform::JsonToToon),
    ("convert the toon to json", Transform::ToonToJson),
];

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// The answer.
    pub answer: String,
    /// What becomes of files.
    pub changes: Changes,
}

impl Transform {
    fn counts(self) -> bool {
        matches!(
            self,
            Transform::CountLines | Transform::CountWords | Transform::CountEntries
        )
    }
}

/// The wish that a prompt is, if it is one and nothing else.
pub fn read(prompt: &str) -> Option<Wish> {
    let prompt = prompt.trim();
    if prompt.len() > INPUT_MAX {
        return None;
    }
    let (sentence, rest) = prompt.split_once('\n').unwrap_or((prompt, ""));
    let sentence = sentence.trim().trim_end_matches(['.', ':']).trim_end();
    match rest.trim() {
        "" => on_files(sentence),
        rest => on_text(sentence, rest),
    }
}

fn on_text(sentence: &str, rest: &str) -> Option<Wish> {
    let sentence = sentence.to_lowercase();
    let sentence = sentence.strip_suffix(" below").unwrap_or(&sentence);
    if sentence == "apply this patch" {
        return Some(Wish::Patch(fenced(rest)?.to_owned()));
    }
    let (_, what) = SENTENCES.iter().find(|(words, _)| *words == sentence)?;
    let from = match task_output(rest) {
        Some(task) => From::Task(task.to_owned()),
        None => From::Prompt(fenced(rest)?.to_owned()),
    };
    Some(Wish::Text { what: *what, from })
}

fn on_files(sentence: &str) -> Option<Wish> {
    let lower = sentence.to_lowercase();
    for (words, what) in SENTENCES {
        let Some(rest) = lower.strip_prefix(words) else {
            continue;
        };
        // The lower case of a path is another path: it is taken from the sentence itself.
        let rest = sentence.get(sentence.len() - rest.len()..)?;
        let (rest, in_place) = match rest.strip_suffix(" in place") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let named = rest.strip_prefix(" in ").or_else(|| rest.strip_prefix(" of "));
        let Some(file) = named
            .and_then(names)
            .filter(|files| files.len() == 1)
            .and_then(|files| files.into_iter().next())
        else {
            continue;
        };
        let from = match (what.counts(), in_place) {
            (true, false) => From::File(file),
            (false, true) => From::InPlace(file),
            _ => return None,
        };
        return Some(Wish::Text { what, from });
    }
    let replaced = |start: &str, between: &str, end: &str| {
        let rest = sentence
            .get(..start.len())
            .filter(|head| head.eq_ignore_ascii_case(start))?;
        let (old, rest) = quoted(&sentence[rest.len()..])?;
        let (new, rest) = quoted(rest.strip_prefix(between)?)?;
        Some((old.to_owned(), new.to_owned(), names(rest.strip_prefix(end)?)?))
    };
    if let Some((old, new, files)) = replaced("Replace every whole word ", " with ", " in ") {
        return (is_word(&old) && is_word(&new)).then_some(Wish::Word { old, new, files });
    }
    if let Some((old, new, files)) = replaced("Rename the identifier ", " to ", " by whole word in ") {
        return (is_word(&old) && is_word(&new)).then_some(Wish::Word { old, new, files });
    }
    let (old, new, files) = replaced("Change the version from ", " to ", " in ")?;
    let version = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == 'v') && text.contains('.');
    (version(&old) && version(&new)).then_some(Wish::Version { old, new, files })
}

/// What stands in one pair of fences, and nothing beside it. `{{` would be filled in before a model saw it.
fn fenced(text: &str) -> Option<&str> {
    let body = text.strip_prefix("```")?.strip_suffix("```")?;
    let (info, body) = body.split_once('\n')?;
    let plain = !info.contains('`') && !body.contains("```") && !body.contains("{{");
    (plain && (body.is_empty() || body.ends_with('\n'))).then_some(body)
}

/// `{{ tasks.x.result }}`, alone.
fn task_output(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let task = inner.strip_prefix("tasks.")?.strip_suffix(".result")?;
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    (!task.is_empty() && task.chars().all(plain)).then_some(task)
}

/// The word in backquotes that a text begins with, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.strip_prefix('`')?.split_once('`')?;
    (!word.is_empty()).then_some((word, rest))
}

/// Files in backquotes, between them commas or `and`, and nothing else.
fn names(mut text: &str) -> Option<Vec<String>> {
    let mut files = Vec::new();
    loop {
        let (file, rest) = quoted(text)?;
        files.push(inside(file).ok()?);
        if rest.is_empty() {
            break;
        }
        let after = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(" and "))?;
        text = after.strip_prefix("and ").unwrap_or(after);
    }
    let each: BTreeSet<&String> = files.iter().collect();
    (each.len() == files.len() && files.len() <= FILES_MAX).then_some(files)
}

fn is_word(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(in_word)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Wish {
    /// What it is, in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Wish::Text { what, .. } => {
                let of = SENTENCES.iter().find(|(_, one)| one == what);
                of.map_or("text", |(words, _)| words)
            }
            Wish::Word { .. } => "replace a word",
            Wish::Version { .. } => "change a version",
            Wish::Patch(_) => "apply a patch",
        }
    }

    /// Does it; `given` is the output of the task that it names. Why it is not certain, else: then a model has to.
    pub fn apply(&self, files: &dyn Files, given: Option<&str>) -> Result<Done, String> {
        let read = |path: &str| {
            let bytes = files.read(path).map_err(|error| error.to_string())?;
            if bytes.len() > INPUT_MAX {
                return Err(format!("{path} is too large"));
            }
            String::from_utf8(bytes).map_err(|_| format!("{path} is no text"))
        };
        let mut changes = Changes::new();
        let answer = match self {
            Wish::Text { what, from } => {
                let text = match from {
                    From::Prompt(text) => text.clone(),
                    From::Task(_) => given.ok_or("the task left nothing")?.to_owned(),
                    From::File(path) | From::InPlace(path) => read(path)?,
                };
                let made = transform(*what, &text)?;
                match from {
                    From::InPlace(path) => {
                        changes.insert(path.clone(), Some(made));
                        format!("{}: {path}", self.name())
                    }
                    From::Prompt(_) | From::Task(_) | From::File(_) => made,
                }
            }
            Wish::Word { old, new, files } => {
                let mut count = 0;
                for path in files {
                    let text = read(path)?;
                    if !whole(&text, new, in_word).is_empty() {
                        return Err(format!("`{new}` stands in {path} already"));
                    }
                    let places = whole(&text, old, in_word);
                    if places.is_empty() {
                        return Err(format!("`{old}` does not stand in {path}"));
                    }
                    count += places.len();
                    changes.insert(path.clone(), Some(replaced(&text, &places, old, new)));
                }
                format!("`{old}` is `{new}` in {count} places of {} files", files.len())
            }
            Wish::Version { old, new, files } => {
                for path in files {
                    let text = read(path)?;
                    let part = |c: char| c.is_alphanumeric() || ".-+_".contains(c);
                    let places = whole(&text, old, part);
                    // `1.2.3` in `1.2.3-beta` or `11.2.3` is another version.
                    if places.len() != 1 || text.matches(old.as_str()).count() != 1 {
                        return Err(format!("`{old}` does not stand in {path} once"));
                    }
                    changes.insert(path.clone(), Some(replaced(&text, &places, old, new)));
                }
                format!("version {old} is {new} in {}", files.join(", "))
            }
            Wish::Patch(patch) => {
                let applied = envelope::apply(files, patch, envelope::Failing::Nothing);
                let applied = applied.map_err(|error| error.to_string())?;
                if !applied.moved.is_empty() {
                    return Err("it moves files".to_owned());
                }
                changes = applied.changes;
                let names: Vec<&str> = changes.keys().map(String::as_str).collect();
                format!("the patch is applied: {}", names.join(", "))
            }
        };
        Ok(Done { answer, changes })
    }
}

fn transform(what: Transform, text: &str) -> Result<String, String> {
    let json = || lossless::checked(text);
    let lines = || text.lines().collect::<Vec<&str>>();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    Ok(match what {
        Transform::FormatJson => lossless::formatted(text)?,
        Transform::MinifyJson => lossless::minified(text)?,
        Transform::Sort => joined(&sorted(lines())?),
        Transform::SortBytes => {
            let mut lines = lines();
            lines.sort_unstable();
            joined(&lines)
        }
        Transform::Unique => joined(&unique(lines())?),
        Transform::SortUnique => joined(&sorted(unique(lines())?)?),
        Transform::CountLines => lines().len().to_string(),
        Transform::CountWords => words(text)?.to_string(),
        Transform::CountEntries => match json()? {
            Value::Array(entries) => entries.len().to_string(),
            Value::Object(entries) => entries.len().to_string(),
            _ => return Err("it is neither a list nor an object".to_owned()),
        },
        Transform::JsonToCsv => {
            encode::csv(&lossless::same_numbers(text)?).ok_or("it is no table of three rows and more")?
        }
        Transform::CsvToJson => lossless::from_csv(text)?,
        Transform::JsonToToon => {
            let value = lossless::same_numbers(text)?;
            let toon = encode::toon(&value).ok_or("TOON does not take it")?;
            let back: Option<Value> = toon_format::decode_default(&toon).ok();
            (back.as_ref() == Some(&value))
                .then_some(toon)
                .ok_or("TOON does not give it back as it was")?
        }
        Transform::ToonToJson => {
            let value: Value = toon_format::decode_default(text.trim_end()).map_err(|error| error.to_string())?;
            let json = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?;
            format!("{json}\n")
        }
    })
}

/// In order, where it is the same with and without regard to case, and no letter's place is a matter of language.
fn sorted(mut lines: Vec<&str>) -> Result<Vec<&str>, String> {
    if lines.iter().any(|line| !line.is_ascii()) {
        return Err("where letters beyond ASCII stand is a matter of language".to_owned());
    }
    lines.sort_unstable();
    let folded: Vec<String> = lines.iter().map(|line| line.to_ascii_lowercase()).collect();
    if !folded.is_sorted() {
        return Err("upper and lower case sort differently".to_owned());
    }
    let numbers: Vec<f64> = lines.iter().filter_map(|line| line.trim().parse().ok()).collect();
    if numbers.len() == lines.len() && !numbers.is_sorted() {
        return Err("as numbers they sort differently".to_owned());
    }
    if !folded.is_sorted_by(|one, other| natural(one, other).is_le()) {
        return Err("the numbers in them sort differently by their digits".to_owned());
    }
    Ok(lines)
}

/// Text by its bytes, and each number in it by its value: `item9` before `item10`.
fn natural(one: &str, other: &str) -> Ordering {
    let runs = |text: &str| -> Vec<(String, Option<u64>)> {
        let of = text
            .as_bytes()
            .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        let run = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let number = text
                .parse()
                .ok()
                .filter(|_| text.starts_with(|c: char| c.is_ascii_digit()));
            (text, number)
        };
        of.map(run).collect()
    };
    let (left, right) = (runs(one), runs(other));
    let differ = left
        .iter()
        .zip(&right)
        .map(|((one, left), (other, right))| match (left, right) {
            (Some(left), Some(right)) => left.cmp(right),
            _ => one.cmp(other),
        });
    let first = differ.into_iter().find(|order| order.is_ne());
    first.unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// How many words, where what stands between white space and what has letters come to the same.
fn words(text: &str) -> Result<usize, String> {
    let by_space = text.split_whitespace().count();
    let in_one = |c: char| c.is_alphanumeric() || "'’_".contains(c);
    let by_letters = text.split(|c: char| !in_one(c)).filter(|word| !word.is_empty()).count();
    (by_space == by_letters)
        .then_some(by_space)
        .ok_or_else(|| "it has words that are counted as one or as several".to_owned())
}

fn unique(lines: Vec<&str>) -> Result<Vec<&str>, String> {
    let (mut seen, mut trimmed) = (BTreeSet::new(), BTreeSet::new());
    let mut kept = Vec::new();
    for line in lines {
        if seen.insert(line) {
            if !trimmed.insert(line.trim().to_lowercase()) {
                return Err("lines differ in white space or case alone".to_owned());
            }
            kept.push(line);
        }
    }
    Ok(kept)
}

/// Where a word stands with nothing of a word beside it.
fn whole(text: &str, word: &str, part: impl Fn(char) -> bool) -> Vec<usize> {
    let free = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(&part) && !after.is_some_and(&part)
    };
    text.match_indices(word).map(|(at, _)| at).filter(free).collect()
}

fn replaced(text: &str, places: &[usize], old: &str, new: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut from = 0;
    for at in places {
        made.push_str(&text[from..*at]);
        made.push_str(new);
        from = at + old.len();
    }
    made.push_str(&text[from..]);
    made
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let file = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        files.iter().map(file).collect()
    }

    fn done(prompt: &str, files: &[(&str, &str)]) -> Result<String, String> {
        let wish = read(prompt).ok_or("no wish")?;
        let done = wish.apply(&tree(files), None)?;
        match done.changes.into_iter().next() {
            Some((_, text)) => Ok(text.unwrap_or_default()),
            None => Ok(done.answer),
        }
    }

    #[test]
    fn mechanical_wishes_are_done() {
        let fence = |words: &str, text: &str| done(&format!("{words}\n\n```json\n{text}\n```\n"), &[]);
        assert_eq!(
            fence("Format the JSON below:", r#"{"b": 1.10,"a":[1,"x,{"],"e":{}}"#).unwrap(),
            "{\n  \"b\": 1.10,\n  \"a\": [\n    1,\n    \"x,{\"\n  ],\n  \"e\": {}\n}\n"
        );
        assert_eq!(
            fence("Minify the JSON.", "{ \"a\" : [ 1 , 2 ] }").unwrap(),
            "{\"a\":[1,2]}\n"
        );
        assert_eq!(fence("Sort the lines.", "b\na\nc").unwrap(), "a\nb\nc\n");
        assert_eq!(
            fence("sort the lines and remove duplicates", "b\na\nb").unwrap(),
            "a\nb\n"
        );
        assert_eq!(fence("Remove duplicate lines:", "b\na\nb").unwrap(), "b\na\n");
        assert_eq!(fence("Count the lines", "b\na\nb").unwrap(), "3");
        assert_eq!(fence("Count the entries of the JSON", "[1, [2, 3]]").unwrap(), "2");
        let table = r#"[{"a": 1, "b": "x"}, {"a": 2, "b": "y, z"}, {"a": 3, "b": null}]"#;
        assert_eq!(
            fence("Convert the JSON to CSV", table).unwrap(),
            "a,b\n1,x\n2,\"y, z\"\n3,"
        );
        let toon = fence("Convert the JSON to TOON", table).unwrap();
        assert!(toon.starts_with("[3]{a,b}:"), "{toon}");
        let back = fence("Convert the TOON to JSON", &toon).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&back).unwrap(),
            serde_json::from_str::<Value>(table).unwrap()
        );
        assert_eq!(
            fence(
                "Convert the CSV to JSON with all values as strings",
                "a,b\n1,\"x \"\"y\"\"\""
            )
            .unwrap(),
            "[\n  {\n    \"a\": \"1\",\n    \"b\": \"x \\\"y\\\"\"\n  }\n]\n"
        );
    }

    #[test]
    fn files_are_changed_where_it_is_said() {
        let files = [
            ("src/a.rs", "let total = subtotal + total;\n"),
            ("Cargo.toml", "version = \"1.2.3\"\nother = \"11.2.34\"\n"),
            ("l.txt", "b\na\n"),
        ];
        assert_eq!(
            done(
                "Rename the identifier `total` to `sum` by whole word in `src/a.rs`.",
                &files
            )
            .unwrap(),
            "let sum = subtotal + sum;\n"
        );
        assert_eq!(done("Sort the lines in `l.txt` in place.", &files).unwrap(), "a\nb\n");
        assert_eq!(done("Count the words in `l.txt`", &files).unwrap(), "2");
        assert!(
            done("Count the words in `src/a.rs`", &files).is_err(),
            "`=` and `+` stand alone: six or four?"
        );
        let version = "Change the version from `1.2.3` to `1.3.0` in `Cargo.toml`";
        assert!(
            done(version, &files).is_err(),
            "`11.2.34` has it inside: which is meant?"
        );
        let one = [("Cargo.toml", "version = \"1.2.3\"\n")];
        assert_eq!(done(version, &one).unwrap(), "version = \"1.3.0\"\n");
        let patch =
            "Apply this patch:\n```\n*** Begin Patch\n*** Update File: l.txt\n@@\n-b\n+c\n a\n*** End Patch\n```";
        assert_eq!(done(patch, &files).unwrap(), "c\na\n");
    }

    #[test]
    fn what_is_not_certain_goes_to_a_model() {
        let none = [
            "Format the JSON nicely.\n```\n{}\n```",
            "Format the JSON.\n```\n{}\n```\nAnd explain it.",
            "Please sort the lines in `a.txt` in place.",
            "Sort the lines in `a.txt`.",
            "Sort the lines in `../a.txt` in place.",
            "Format the JSON.\n{\"a\": 1}",
            "Format the JSON.\n```\n{{ vars.x }}\n```",
            "Format the JSON.\n{{ tasks.x.summary }}",
            "Rename the identifier `a` to `b` in `c.rs`.",
            "Rename the identifier `a b` to `c` by whole word in `c.rs`.",
            "Convert the CSV to JSON.\n```\na\n1\n```",
            "Count the characters.\n```\nabc\n```",
            "",
        ];
        for prompt in none {
            assert_eq!(read(prompt), None, "{prompt}");
        }
        let fence = |words: &str, text: &str| done(&format!("{words}\n```\n{text}\n```"), &[]);
        for (words, text) in [
            ("Sort the lines", "B\na"),
            ("Sort the lines", "10\n9"),
            ("Sort the lines", "ä\nz"),
            ("Remove duplicate lines", "a\na "),
            ("Format the JSON", "{\"a\": 1, \"a\": 2}"),
            ("Format the JSON", "{'a': 1}"),
            ("Convert the JSON to CSV", "[{\"a\": [1]}, {\"a\": 2}, {\"a\": 3}]"),
            ("Convert the JSON to CSV", "[{\"a\": 1.10}, {\"a\": 2}, {\"a\": 3}]"),
            ("Convert the CSV to JSON with all values as strings", "a,a\n1,2"),
            ("Convert the CSV to JSON with all values as strings", "a,b\n1"),
        ] {
            assert!(fence(words, text).is_err(), "{words} {text}");
        }
        let files = [("a.rs", "let a = b;\n")];
        let rename = |old: &str, new: &str| {
            done(
                &format!("Replace every whole word `{old}` with `{new}` in `a.rs`."),
                &files,
            )
        };
        assert!(rename("a", "b").is_err(), "two things would have one name");
        assert!(rename("c", "d").is_err());
        assert!(read("Count the lines.\n{{ tasks.long.result }}").is_some());
    }
}
