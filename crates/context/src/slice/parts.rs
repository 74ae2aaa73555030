//! The parts of a document (by its headings) and of a diff (by its files).

use crate::fence::fenced;
use crate::schema::first_sentence;

/// What kind of text it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Prose under headings.
    Document,
    /// A unified diff.
    Diff,
}

/// One part: a section or a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit<'a> {
    /// Its heading or path.
    pub name: String,
    /// All of it, with its heading.
    pub text: &'a str,
    /// How many lines it has.
    pub lines: usize,
    /// The path, for a file of a diff.
    pub path: Option<&'a str>,
    /// What stands before the first part: everybody gets it.
    pub is_preamble: bool,
}

/// Lines at the beginning and the end of a section that are searched for keywords.
const SAMPLE_HEAD: usize = 50;
const SAMPLE_TAIL: usize = 20;
/// The longest sample, in bytes.
const SAMPLE_MAX: usize = 256 << 10;
/// The longest summary of a section, in bytes.
const SUMMARY_MAX: usize = 160;
/// How many parts a text falls into at the most; what follows belongs to the last.
const UNITS_MAX: usize = 5_000;

/// What kind of text it is: a diff has a line that only diffs have, near its beginning.
pub fn kind_of(text: &str) -> Kind {
    let mut lines = text.lines().take(60);
    let is_diff = lines.any(|line| line.starts_with("diff --git ") || line.starts_with("@@ -"));
    if is_diff { Kind::Diff } else { Kind::Document }
}

/// The parts of a text, in order; together they are the text.
pub fn units(text: &str, kind: Kind) -> Vec<Unit<'_>> {
    let starts = match kind {
        Kind::Document => headings(text),
        Kind::Diff => files(text),
    };
    let mut units = Vec::new();
    let first = starts.first().map_or(text.len(), |(at, _, _)| *at);
    if first > 0 {
        units.push(unit(&text[..first], "(beginning)".to_owned(), None, true));
    }
    for (place, (at, name, path)) in starts.iter().enumerate().take(UNITS_MAX) {
        let last = place + 1 == UNITS_MAX;
        let end = starts
            .get(place + 1)
            .filter(|_| !last)
            .map_or(text.len(), |(next, _, _)| *next);
        units.push(unit(&text[*at..end], name.clone(), *path, false));
    }
    units
}

fn unit<'a>(text: &'a str, name: String, path: Option<&'a str>, is_preamble: bool) -> Unit<'a> {
    Unit {
        name,
        text,
        lines: text.lines().count(),
        path,
        is_preamble,
    }
}

type Start<'a> = (usize, String, Option<&'a str>);

/// Headings of the first two levels, but for those in fences and in front matter.
fn headings(text: &str) -> Vec<Start<'_>> {
    let mut starts = Vec::new();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let fenced = fenced(&lines);
    let mut front_matter = text.starts_with("---\n") && text[4..].contains("\n---");
    let mut at = 0;
    for (number, line) in lines.into_iter().enumerate() {
        let start = at;
        at += line.len();
        let trimmed = line.trim_end();
        if front_matter {
            front_matter = number == 0 || trimmed != "---";
            continue;
        }
        if fenced[number] {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix("## ") {
            starts.push((start, name.trim().trim_end_matches('#').trim().to_owned(), None));
        }
    }
    starts
}

/// The files of a diff.
fn files(text: &str) -> Vec<Start<'_>> {
    let git = text.starts_with("diff --git ") || text.contains("\ndiff --git ");
    let mut starts = Vec::new();
    let mut at = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let start = at;
        at += line.len();
        let path = if git {
            line.strip_prefix("diff --git ").map(|rest| {
                let rest = rest.trim_end();
                rest.split_once(" b/").map_or(rest, |(_, path)| path)
            })
        } else {
            let after = lines.peek().and_then(|next| next.strip_prefix("+++ "));
            line.strip_prefix("--- ").and(after).map(|path| {
                let path = path.trim_end().split('\t').next().unwrap_or_default();
                path.strip_prefix("b/").unwrap_or(path)
            })
        };
        if let Some(path) = path {
            starts.push((start, path.to_owned(), Some(path)));
        }
    }
    starts
}

/// What of a part is searched for keywords, in small letters: the heading and both ends of a section, the path and the
/// changed lines of a file.
pub(super) fn sample(unit: &Unit<'_>) -> String {
    let mut sample = unit.name.to_lowercase();
    let mut add = |line: &str| {
        if sample.len() < SAMPLE_MAX {
            sample.push('\n');
            let line = &line[..line.floor_char_boundary(2_000)];
            if line.is_ascii() {
                sample.extend(line.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
            } else {
                sample.push_str(&line.to_lowercase());
            }
        }
    };
    if unit.path.is_some() {
        unit.text
            .lines()
            .filter(|line| line.starts_with(['+', '-']))
            .for_each(&mut add);
    } else {
        let skipped = unit.lines.saturating_sub(SAMPLE_TAIL).max(SAMPLE_HEAD);
        unit.text.lines().take(SAMPLE_HEAD).for_each(&mut add);
        unit.text.lines().skip(skipped).for_each(&mut add);
    }
    sample
}

impl Unit<'_> {
    /// The part in one line.
    pub fn line(&self) -> String {
        match self.path {
            Some(path) => format!("[context] {path}: {}", self.changes()),
            None => {
                let body = self.text.split_once('\n').map_or("", |(_, body)| body);
                let summary = first_sentence(&paragraph(body), SUMMARY_MAX);
                format!("- **{}**: {summary} ({} lines)", self.name, self.lines)
            }
        }
    }

    fn changes(&self) -> String {
        let (mut added, mut removed) = (0, 0);
        for line in self.text.lines() {
            if line.starts_with("Binary files ") || line.starts_with("GIT binary patch") {
                return "binary".to_owned();
            }
            if line.starts_with('+') && !line.starts_with("+++ ") {
                added += 1;
            } else if line.starts_with('-') && !line.starts_with("--- ") {
                removed += 1;
            }
        }
        if added + removed == 0 && self.text.contains("\nrename to ") {
            return "renamed".to_owned();
        }
        format!("+{added} -{removed}")
    }
}

/// The first lines of prose.
fn paragraph(text: &str) -> String {
    let prose = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with(['#', '`', '|', '<', '~'])
    };
    let lines: Vec<&str> = text.lines().take(200).filter(prose).take(5).collect();
    let text = lines.join(" ");
    text[..text.floor_char_boundary(1_000)].to_owned()
}

/// The most lines of a summary by structure.
const PYRAMID_MAX: usize = 60;

/// A long document by its structure: each heading with its number of the line, and one sentence where it has one. Deep
/// headings go first when there are too many.
pub fn pyramid(text: &str) -> String {
    let mut found: Vec<(usize, usize, &str, String)> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let fenced = fenced(&lines);
    for (number, line) in lines.iter().enumerate() {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        if fenced[number] || !(1..=4).contains(&level) || line.as_bytes().get(level) != Some(&b' ') {
            continue;
        }
        let end = lines.len().min(number + 30);
        let body: Vec<&str> = lines[number + 1..end]
            .iter()
            .copied()
            .take_while(|line| !line.starts_with('#'))
            .collect();
        let about = first_sentence(&paragraph(&body.join("\n")), SUMMARY_MAX);
        found.push((number + 1, level, line[level..].trim(), about));
    }
    let deepest = (1..=4)
        .rev()
        .find(|depth| found.iter().filter(|(_, level, _, _)| level <= depth).count() <= PYRAMID_MAX);
    let deepest = deepest.unwrap_or(1);
    let mut text = String::new();
    for (number, level, heading, about) in found
        .iter()
        .filter(|(_, level, _, _)| *level <= deepest)
        .take(PYRAMID_MAX)
    {
        let indent = "  ".repeat(level - 1);
        let about = if about.is_empty() {
            String::new()
        } else {
            format!(": {about}")
        };
        text.push_str(&format!("{indent}- {heading} (line {number}){about}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_text() {
        let text = "intro\n## A\n~~~\n## no\n~~~~\n## B ##\nx";
        let parts = units(text, Kind::Document);
        assert_eq!(parts.iter().map(|part| part.text).collect::<String>(), text);
        assert_eq!(
            parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(),
            ["(beginning)", "A", "B"]
        );
        assert!(units("", Kind::Document).is_empty());
    }

    #[test]
    fn a_fence_that_never_ends_hides_nothing() {
        let parts = units("## A\n```\n## B\n## C\n", Kind::Document);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn diffs_without_git_are_diffs() {
        let text = "--- a/x.c\t2020\n+++ b/x.c\t2021\n@@ -1 +1 @@\n-a\n+b\n--- a/y.c\n+++ b/y.c\n@@ -1 +1 @@\n-a\n+b\n";
        assert_eq!(kind_of(text), Kind::Diff);
        let parts = units(text, Kind::Diff);
        assert_eq!(
            parts.iter().map(|part| part.path.unwrap()).collect::<Vec<_>>(),
            ["x.c", "y.c"]
        );
        assert_eq!(parts[0].line(), "[context] x.c: +1 -1");
    }

    #[test]
    fn a_pyramid_names_lines_and_stays_short() {
        let text = format!(
            "# Top\nWhat it is. More.\n{}",
            "## Part\nSomething.\n### Deep\nx\n".repeat(50)
        );
        let summary = pyramid(&text);
        assert!(summary.starts_with("- Top (line 1): What it is.\n  - Part (line 3): Something.\n  - Part (line 7)"));
        assert!(!summary.contains("Deep") && summary.lines().count() == 51);
    }
}
