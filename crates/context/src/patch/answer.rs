//! Edits in an answer: patches that stand among other words, in the three forms that models know.
//!
//! - the envelope of `apply_patch` ([`super::envelope`]), several of them if need be;
//! - search and replace: a path on a line of its own, then `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`;
//! - RFC 6902 for a JSON file: a fence ```` ```json-patch PATH ````.
//!
//! They are applied in the order in which they stand, each to what the ones before left, and all of them or none.

use serde_json::Value;

use crate::patch::{Changes, Rejected, envelope, inside, json, replace};
use crate::port::{Files, Unreadable};

/// What an answer wants changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Edited {
    /// What becomes of files.
    pub changes: Changes,
    /// Where moved files come from, by where they go.
    pub moved: std::collections::BTreeMap<String, String>,
    /// What the answer says besides its edits.
    pub words: String,
    /// The edits as they stand in the answer, for counting them.
    pub edits: String,
}

/// One edit as it stands in an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Edit<'a> {
    Envelope {
        text: String,
        first: usize,
    },
    Replace {
        path: String,
        search: Vec<&'a str>,
        with: Vec<&'a str>,
    },
    Json {
        path: String,
        operations: String,
        first: usize,
    },
}

/// What stands in an answer.
#[derive(Debug, Default)]
struct Found<'a> {
    edits: Vec<Edit<'a>>,
    words: String,
    text: String,
    problems: Vec<Rejected>,
}

/// Applies everything that an answer wants changed, or says all that keeps it from being applied.
pub fn apply(files: &dyn Files, answer: &str) -> Result<Edited, Vec<Rejected>> {
    let Found {
        edits,
        words,
        text,
        mut problems,
    } = find(answer);
    if edits.is_empty() && problems.is_empty() {
        return Err(vec![Rejected::Nothing]);
    }
    let mut over = Over {
        files,
        changes: Changes::new(),
    };
    let mut moved = std::collections::BTreeMap::new();
    for edit in edits {
        match one(&over, edit) {
            Ok((changes, from)) => {
                over.changes.extend(changes);
                moved.extend(from);
            }
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Edited {
        changes: over.changes,
        moved,
        words: words.trim().to_owned(),
        edits: text,
    })
}

type Applied = (Changes, std::collections::BTreeMap<String, String>);

fn one(over: &Over<'_>, edit: Edit<'_>) -> Result<Applied, Vec<Rejected>> {
    let alone = |path: String, text: String| (Changes::from([(path, Some(text))]), std::collections::BTreeMap::new());
    match edit {
        Edit::Envelope { text, first } => {
            let applied = envelope::all(over, &text).map_err(|problems| shifted(problems, first))?;
            Ok((applied.changes, applied.moved))
        }
        Edit::Replace { path, search, with } => {
            let with = ended(&with);
            let is_new = search.iter().all(|line| line.trim().is_empty());
            if is_new && matches!(over.read(&path), Err(Unreadable::Missing(_))) {
                return Ok(alone(path, with));
            }
            let content = text_of(over, &path).map_err(|problem| vec![problem])?;
            let replaced = replace(&path, &content, &ended(&search), &with).map_err(|problem| vec![problem])?;
            Ok(alone(path, replaced))
        }
        Edit::Json {
            path,
            operations,
            first,
        } => {
            let content = text_of(over, &path).map_err(|problem| vec![problem])?;
            let operations: Value = serde_json::from_str(&operations).map_err(|error| {
                vec![Rejected::Malformed {
                    line: first + error.line(),
                    why: error.to_string(),
                }]
            })?;
            let changed = json::apply_text(&path, &content, &operations).map_err(|problem| vec![problem])?;
            Ok(alone(path, changed))
        }
    }
}

/// Problems of an envelope with the lines of the whole answer.
fn shifted(problems: Vec<Rejected>, first: usize) -> Vec<Rejected> {
    let shift = |problem| match problem {
        Rejected::Malformed { line, why } => Rejected::Malformed {
            line: line + first,
            why,
        },
        other => other,
    };
    problems.into_iter().map(shift).collect()
}

fn ended(lines: &[&str]) -> String {
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    text
}

/// The text of a file as it is after the edits before.
pub fn text_of(files: &dyn Files, path: &str) -> Result<String, Rejected> {
    let fails = |why: String| Rejected::DoesNotFit {
        path: path.to_owned(),
        why,
    };
    let bytes = files.read(path).map_err(|error| match error {
        Unreadable::Outside(path) => Rejected::Outside(path),
        other => fails(other.to_string()),
    })?;
    String::from_utf8(bytes).map_err(|_| fails("it is no UTF-8 text".to_owned()))
}

/// Files with the edits before laid over them.
struct Over<'a> {
    files: &'a dyn Files,
    changes: Changes,
}

impl Files for Over<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, Unreadable> {
        match self.changes.get(path) {
            Some(Some(text)) => Ok(text.clone().into_bytes()),
            Some(None) => Err(Unreadable::Missing(path.to_owned())),
            None => self.files.read(path),
        }
    }
}

fn is_sign(line: &str, sign: char, word: &str) -> bool {
    let line = line.trim();
    let signs = line.len() - line.trim_start_matches(sign).len();
    (5..=9).contains(&signs) && line[signs..].trim() == word
}

fn find(answer: &str) -> Found<'_> {
    let lines: Vec<&str> = answer.lines().collect();
    let mut found = Found::default();
    let mut at = 0;
    let mut last_path: Option<String> = None;
    while at < lines.len() {
        let line = lines[at].trim();
        let end = if line == "*** Begin Patch" {
            envelope_in(&lines, at, &mut found)
        } else if is_sign(line, '<', "SEARCH") {
            replacement_in(&lines, at, &mut last_path, &mut found)
        } else if let Some(path) = line.strip_prefix("```json-patch") {
            operations_in(&lines, at, path, &mut found)
        } else {
            found.words.push_str(lines[at]);
            found.words.push('\n');
            at += 1;
            continue;
        };
        for line in &lines[at..end] {
            found.text.push_str(line);
            found.text.push('\n');
        }
        at = end;
    }
    found.words = without_fences(&found.words);
    found
}

/// Gives back the line after the edit, as the others do.
fn envelope_in(lines: &[&str], at: usize, found: &mut Found<'_>) -> usize {
    let end = (at + 1..lines.len()).find(|line| lines[*line].trim() == "*** End Patch");
    let Some(end) = end else {
        found.problems.push(Rejected::Malformed {
            line: at + 1,
            why: "the patch that begins here has no `*** End Patch`".to_owned(),
        });
        return lines.len();
    };
    found.edits.push(Edit::Envelope {
        text: lines[at..=end].join("\n"),
        first: at,
    });
    end + 1
}

fn replacement_in<'a>(lines: &[&'a str], at: usize, last_path: &mut Option<String>, found: &mut Found<'a>) -> usize {
    let fails = |line: usize, why: &str| Rejected::Malformed {
        line: line + 1,
        why: why.to_owned(),
    };
    let middle = (at + 1..lines.len()).find(|line| is_sign(lines[*line], '=', ""));
    let end = middle.and_then(|middle| (middle + 1..lines.len()).find(|line| is_sign(lines[*line], '>', "REPLACE")));
    let (Some(middle), Some(end)) = (middle, end) else {
        let why = "the replacement that begins here has no `=======` and `>>>>>>> REPLACE`";
        found.problems.push(fails(at, why));
        return lines.len();
    };
    // The path is the last words before, which may be in a fence or bold.
    let path = path_above(&mut found.words).or_else(|| last_path.clone());
    match path.map(|path| inside(&path)) {
        Some(Ok(path)) => {
            *last_path = Some(path.clone());
            found.edits.push(Edit::Replace {
                path,
                search: lines[at + 1..middle].to_vec(),
                with: lines[middle + 1..end].to_vec(),
            });
        }
        Some(Err(outside)) => found.problems.push(outside),
        None => found
            .problems
            .push(fails(at, "the line above a replacement names its file")),
    }
    end + 1
}

fn operations_in(lines: &[&str], at: usize, path: &str, found: &mut Found<'_>) -> usize {
    let end = (at + 1..lines.len()).find(|line| lines[*line].trim() == "```");
    let Some(end) = end else {
        found.problems.push(Rejected::Malformed {
            line: at + 1,
            why: "the fence that begins here is not closed".to_owned(),
        });
        return lines.len();
    };
    match inside(path.trim()) {
        Ok(path) => found.edits.push(Edit::Json {
            path,
            operations: lines[at + 1..end].join("\n"),
            first: at + 1,
        }),
        Err(outside) => found.problems.push(outside),
    }
    end + 1
}

/// Takes the path off the end of the words before a replacement: the last line that is no fence and not empty, when
/// it could be one.
fn path_above(words: &mut String) -> Option<String> {
    let lines: Vec<&str> = words.lines().collect();
    let is_fence = |line: &&str| line.trim_start().starts_with("```");
    let at = lines
        .iter()
        .rposition(|line| !line.trim().is_empty() && !is_fence(line))?;
    let path = lines[at]
        .trim()
        .trim_matches(['*', '`', '#', ' '])
        .trim_end_matches(':');
    let path = path.trim_matches('`').to_owned();
    if path.is_empty() || path.contains(char::is_whitespace) {
        return None;
    }
    // A fence that was opened is closed after the edit.
    let fence = lines[at + 1..].iter().filter(|line| is_fence(line));
    *words = lines[..at].iter().chain(fence).flat_map(|line| [*line, "\n"]).collect();
    Some(path)
}

/// Fences that edits stood in are left empty when the edits are taken out; of the blank lines around them one is enough.
fn without_fences(words: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut taken_out = false;
    for line in words.lines() {
        let closes = line.trim() == "```";
        let before = kept.iter().rposition(|line| !line.trim().is_empty());
        match before.filter(|at| closes && kept[*at].trim_start().starts_with("```")) {
            Some(at) => {
                kept.truncate(at);
                taken_out = true;
            }
            None if taken_out && line.trim().is_empty() && kept.last().is_some_and(|last| last.trim().is_empty()) => {}
            None => {
                kept.push(line);
                taken_out &= line.trim().is_empty();
            }
        }
    }
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree() -> BTreeMap<String, Vec<u8>> {
        let files = [
            ("a.rs", "fn a() {\n    1\n}\n"),
            ("b.txt", "one\ntwo\n"),
            ("c.json", "{\n    \"n\": 1\n}\n"),
        ];
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    const ALL: &str = "I changed three files.\n\n```\n*** Begin Patch\n*** Update File: a.rs\n@@ fn a() {\n-    1\n+    2\n\
        *** Add File: d/e.txt\n+new\n*** End Patch\n```\n\n**b.txt**\n```text\n<<<<<<< SEARCH\ntwo\n=======\nthree\n>>>>>>> REPLACE\n\
        <<<<<<< SEARCH\nthree\n=======\nfour\n>>>>>>> REPLACE\n```\n```json-patch c.json\n[{\"op\": \"replace\", \"path\": \"/n\", \"value\": 2}]\n```\nDone.\n";

    #[test]
    fn every_form_is_found_among_words_and_applied_together() {
        let edited = apply(&tree(), ALL).unwrap();
        let text = |path: &str| edited.changes[path].clone().unwrap();
        assert_eq!(text("a.rs"), "fn a() {\n    2\n}\n");
        assert_eq!(text("b.txt"), "one\nfour\n");
        assert_eq!(text("c.json"), "{\n    \"n\": 2\n}\n");
        assert_eq!(text("d/e.txt"), "new\n");
        assert_eq!(edited.words, "I changed three files.\n\nDone.");
    }

    #[test]
    fn all_problems_are_told_and_nothing_is_applied() {
        let answer = "*** Begin Patch\n*** Update File: a.rs\n@@\n-    3\n+    4\n*** Update File: gone.rs\n@@\n-x\n+y\n*** End Patch\n\
                      b.txt\n<<<<<<< SEARCH\nnine\n=======\nten\n>>>>>>> REPLACE\n../x\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n";
        let problems = apply(&tree(), answer).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 4, "{told:?}");
        for words in [
            "a.rs: hunk 1",
            "gone.rs is not there",
            "b.txt: the text to replace is not there",
            "`../x` is no path",
        ] {
            assert!(told.iter().any(|told| told.contains(words)), "{words}: {told:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_missing_is_said_with_its_line() {
        assert_eq!(apply(&tree(), "Nothing to do."), Err(vec![Rejected::Nothing]));
        for (answer, line) in [
            ("words\n*** Begin Patch\n*** Add File: x\n+1", 2),
            ("a.rs\n<<<<<<< SEARCH\nx\n=======\ny", 2),
            ("```json-patch c.json\n[]", 1),
            ("x\ny\n*** Begin Patch\n*** Upd File: a.rs\n*** End Patch", 4),
        ] {
            let problems = apply(&tree(), answer).unwrap_err();
            assert!(
                matches!(problems.as_slice(), [Rejected::Malformed { line: at, .. }] if *at == line),
                "{answer}: {problems:?}"
            );
        }
    }

    #[test]
    fn an_empty_search_makes_a_new_file_and_never_replaces_one() {
        let answer = |path: &str| format!("{path}\n<<<<<<< SEARCH\n=======\nx\n>>>>>>> REPLACE\n");
        assert_eq!(
            apply(&tree(), &answer("n.txt")).unwrap().changes["n.txt"].as_deref(),
            Some("x\n")
        );
        assert!(apply(&tree(), &answer("b.txt")).is_err());
    }
}
