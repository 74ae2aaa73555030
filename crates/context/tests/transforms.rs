//! How sure code is of itself: prompts written by hand, thirty that are mechanical transforms as people write them and
//! thirty that look like one and are not. What is done must be right, and what is none must be left to a model; how many
//! of the first are done at all is the price of that, and stands in docs/economy.md.

use std::collections::BTreeMap;

use wheelhouse_context::shortcut::read;

const FILES: [(&str, &str); 6] = [
    ("names.txt", "pear\napple\npear\n"),
    ("a.json", "{\"b\":1,\"a\":[1,2]}"),
    ("src/a.rs", "fn old_name() { old_name_2(); }\n"),
    ("Cargo.toml", "version = \"1.2.3\"\n"),
    ("Cargo.lock", "version = \"1.2.3\"\nversion = \"1.2.3\"\n"),
    ("mixed.txt", "Pear\napple\n10\n9\n"),
];

/// What code makes of a prompt, with the files that it would change; none: it is left to a model.
fn by_code(prompt: &str) -> Option<String> {
    let files: BTreeMap<String, Vec<u8>> = FILES
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let done = read(prompt)?.apply(&files, Some("pear\napple\npear\n")).ok()?;
    Some(match done.changes.is_empty() {
        true => done.answer,
        false => done.changes.into_values().flatten().collect(),
    })
}

fn on(words: &str, text: &str) -> String {
    format!("{words}\n```\n{text}\n```\n")
}

/// Each with what everybody would expect.
fn transforms() -> Vec<(String, &'static str)> {
    let text = |words: &str, text: &str, expected: &'static str| (on(words, text), expected);
    let file = |prompt: &str, expected: &'static str| (prompt.to_owned(), expected);
    vec![
        text("Format the JSON below:", "{\"a\":1}", "{\n  \"a\": 1\n}\n"),
        text("Format the JSON.", "[1,2]", "[\n  1,\n  2\n]\n"),
        text("Pretty-print the JSON", "{\"a\":{}}", "{\n  \"a\": {}\n}\n"),
        text("Please pretty-print this JSON:", "{\"a\":1}", "{\n  \"a\": 1\n}\n"),
        text("Minify the JSON.", "{ \"a\" : [ 1 ] }", "{\"a\":[1]}\n"),
        text("minify the json", "[ true , null ]", "[true,null]\n"),
        text("Remove all whitespace from this JSON.", "{ \"a\" : 1 }", "{\"a\":1}\n"),
        text("Sort the lines.", "b\na\nc", "a\nb\nc\n"),
        text("sort the lines below:", "delta\nalpha", "alpha\ndelta\n"),
        text("Sort these lines alphabetically.", "b\na", "a\nb\n"),
        text("Sort the lines in byte order", "b\nA\na", "A\na\nb\n"),
        text("Remove duplicate lines:", "b\na\nb", "b\na\n"),
        text("Deduplicate these lines.", "b\nb", "b\n"),
        text("Sort the lines and remove duplicates.", "b\na\nb", "a\nb\n"),
        text("Count the lines", "b\na\nb", "3"),
        text("How many lines does this have?", "a\nb", "2"),
        text("Count the words", "one two three", "3"),
        text("Count the entries of the JSON", "[1,2,3]", "3"),
        text("Count the entries of the JSON below:", "{\"a\":1,\"b\":2}", "2"),
        text(
            "Convert the JSON to CSV",
            "[{\"a\":1,\"b\":2},{\"a\":3,\"b\":4},{\"a\":5,\"b\":6}]",
            "a,b\n1,2\n3,4\n5,6\n",
        ),
        text(
            "Convert the CSV to JSON with all values as strings",
            "a,b\n1,2",
            "[\n  {\n    \"a\": \"1\",\n    \"b\": \"2\"\n  }\n]\n",
        ),
        file("Sort the lines.\n{{ tasks.list.result }}", "apple\npear\npear\n"),
        file("Remove duplicate lines.\n{{ tasks.list.result }}", "pear\napple\n"),
        file("Sort the lines in `names.txt` in place.", "apple\npear\npear\n"),
        file(
            "Sort the lines and remove duplicates in `names.txt` in place",
            "apple\npear\n",
        ),
        file(
            "Format the JSON in `a.json` in place.",
            "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}\n",
        ),
        file("Count the lines of `names.txt`.", "3"),
        file(
            "Rename the identifier `old_name` to `new_name` by whole word in `src/a.rs`.",
            "fn new_name() { old_name_2(); }\n",
        ),
        file(
            "Rename old_name to new_name in src/a.rs.",
            "fn new_name() { old_name_2(); }\n",
        ),
        file(
            "Change the version from `1.2.3` to `1.3.0` in `Cargo.toml`.",
            "version = \"1.3.0\"\n",
        ),
    ]
}

/// Each needs judgement, more than was said, or means something else than it seems to.
fn no_transforms() -> Vec<String> {
    vec![
        on(
            "Format the JSON so that it is easy to read for our support team.",
            "{\"a\":1}",
        ),
        on("Format the JSON as YAML.", "{\"a\":1}"),
        on("Format the JSON, and tell me what it is.", "{\"a\":1}"),
        on("Format the JSON.", "{\"a\": 1,}"),
        on("Format the JSON.", "{\"a\": 1, \"a\": 2}"),
        on("Format the JSON.", "// the settings\n{\"a\": 1}"),
        on("Minify the JSON without losing the comments.", "{\"a\":1}"),
        on("Sort the lines by length.", "aaa\nb"),
        on("Sort the lines by how important they are.", "typo\ncrash"),
        on("Sort the lines.", "10\n9"),
        on("Sort the lines.", "Pear\napple"),
        on("Sort the lines.", "Zebra\nÄpfel"),
        on("Sort the lines.", "item10\nitem9"),
        on("Remove duplicate lines.", "a\na "),
        on("Remove duplicate lines that mean the same.", "a bug\nan error"),
        on("Remove duplicate lines of code.", "x();\nx();"),
        on("Count the words that are misspelt.", "teh cat"),
        on("Count the words.", "a state-of-the-art - thing"),
        on("Count the lines of code.", "// no\nx();"),
        on("Count the entries of the JSON that are true.", "[true,false]"),
        on("Count the entries of the JSON.", "{\"entries\": [1,2,3], \"total\""),
        on("Convert the JSON to CSV.", "[{\"a\": {\"b\": 1}}]"),
        on("Convert the CSV to JSON.", "a,b\n1,2"),
        on("Convert the JSON to a Rust struct.", "{\"a\":1}"),
        "Sort the lines in `mixed.txt` in place.".to_owned(),
        "Sort the lines in `names.txt` in place, but leave the header where it is.".to_owned(),
        "Rename the identifier `old_name` to `old_name_2` by whole word in `src/a.rs`.".to_owned(),
        "Rename the identifier `old_name` to `new_name` everywhere it is used.".to_owned(),
        "Change the version from `1.2.3` to `1.3.0` in `Cargo.lock`.".to_owned(),
        "Change the version in `Cargo.toml` to the next minor one.".to_owned(),
    ]
}

#[test]
fn what_code_does_is_right_and_what_needs_judgement_it_leaves() {
    let (transforms, others) = (transforms(), no_transforms());
    assert_eq!((transforms.len(), others.len()), (30, 30));
    let wrong: Vec<_> = others
        .iter()
        .filter_map(|prompt| Some((prompt, by_code(prompt)?)))
        .collect();
    assert!(wrong.is_empty(), "done though it is no transform: {wrong:#?}");
    let mut done = 0;
    for (prompt, expected) in &transforms {
        if let Some(made) = by_code(prompt) {
            assert_eq!(made.trim_end(), expected.trim_end(), "{prompt}");
            done += 1;
        }
    }
    assert_eq!(
        done, DONE,
        "so many of the thirty; the number stands in docs/economy.md"
    );
}

/// How many of the thirty transforms code does; the others go to a model because of their words.
const DONE: usize = 24;
