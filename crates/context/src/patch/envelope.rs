//! The envelope of `apply_patch`: files added, deleted, updated and moved, by hunks of context.
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/a.rs
//! @@ fn name
//!  context
//! -old
//! +new
//! *** End Patch
//! ```
//!
//! A hunk is looked for exactly, then without white space at the ends of lines, then around them, then with plain
//! punctuation for typographic. The original applies files one by one and leaves what came before a failure;
//! [`Failing::Leaves`] does so too, for those who rely on it.

use std::collections::BTreeMap;

use crate::patch::answer::text_of;
use crate::patch::{Changes, Rejected, inside};
use crate::port::Files;

/// What becomes of the parts before one that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Failing {
    /// Nothing of the patch counts.
    #[default]
    Nothing,
    /// They count, as in the original.
    Leaves,
}

/// A patch applied in thought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// What becomes of files.
    pub changes: Changes,
    /// Where moved files come from, by where they go.
    pub moved: BTreeMap<String, String>,
    /// Why it stopped, with [`Failing::Leaves`].
    pub stopped: Option<Rejected>,
}

#[derive(Debug)]
enum Part<'a> {
    Add {
        path: String,
        lines: Vec<&'a str>,
    },
    Delete {
        path: String,
    },
    Update {
        path: String,
        to: Option<String>,
        hunks: Vec<Hunk<'a>>,
    },
}

#[derive(Debug, Default)]
struct Hunk<'a> {
    headers: Vec<&'a str>,
    old: Vec<&'a str>,
    new: Vec<&'a str>,
    at_end: bool,
}

/// The most lines of a patch.
const LINES_MAX: usize = 500_000;

/// Applies a patch to the files as they are, up to the first part that does not fit.
pub fn apply(files: &dyn Files, patch: &str, failing: Failing) -> Result<Applied, Rejected> {
    let mut applied = Applied::default();
    for part in parse(patch)? {
        if let Err(rejected) = one(files, part, &mut applied) {
            match failing {
                Failing::Nothing => return Err(rejected),
                Failing::Leaves => {
                    applied.stopped = Some(rejected);
                    return Ok(applied);
                }
            }
        }
    }
    Ok(applied)
}

/// The same, but looks at all parts and says all that do not fit.
pub fn all(files: &dyn Files, patch: &str) -> Result<Applied, Vec<Rejected>> {
    let mut applied = Applied::default();
    let parts = parse(patch).map_err(|problem| vec![problem])?;
    let fails = parts
        .into_iter()
        .filter_map(|part| one(files, part, &mut applied).err());
    let problems: Vec<Rejected> = fails.collect();
    if problems.is_empty() {
        Ok(applied)
    } else {
        Err(problems)
    }
}

fn one(files: &dyn Files, part: Part<'_>, applied: &mut Applied) -> Result<(), Rejected> {
    match part {
        Part::Add { path, lines } => {
            let mut text = lines.join("\n");
            if !lines.is_empty() {
                text.push('\n');
            }
            applied.changes.insert(path, Some(text));
        }
        Part::Delete { path } => {
            read(files, &applied.changes, &path)?;
            applied.changes.insert(path, None);
        }
        Part::Update { path, to, hunks } => {
            let text = updated(&path, &read(files, &applied.changes, &path)?, &hunks)?;
            if let Some(to) = to.filter(|to| *to != path) {
                applied.changes.insert(path.clone(), None);
                applied.changes.insert(to.clone(), Some(text));
                applied.moved.insert(to, path);
            } else {
                applied.changes.insert(path, Some(text));
            }
        }
    }
    Ok(())
}

fn read(files: &dyn Files, changes: &Changes, path: &str) -> Result<String, Rejected> {
    match changes.get(path) {
        Some(Some(text)) => Ok(text.clone()),
        Some(None) => Err(Rejected::DoesNotFit {
            path: path.to_owned(),
            why: "the patch itself has deleted it".to_owned(),
        }),
        None => text_of(files, path),
    }
}

fn parse(patch: &str) -> Result<Vec<Part<'_>>, Rejected> {
    let lines: Vec<&str> = patch.trim().lines().collect();
    let fails = |line: usize, why: &str| Rejected::Malformed {
        line: line + 1,
        why: why.to_owned(),
    };
    if lines.len() > LINES_MAX {
        return Err(fails(LINES_MAX, "the patch has too many lines"));
    }
    if lines.first().map(|line| line.trim()) != Some("*** Begin Patch") {
        return Err(fails(0, "it begins with `*** Begin Patch`"));
    }
    let last = lines.len() - 1;
    if last == 0 || lines[last].trim() != "*** End Patch" {
        return Err(fails(last, "it ends with `*** End Patch`"));
    }
    let mut parts = Vec::new();
    let mut at = 1;
    while at < last {
        let line = lines[at].trim();
        let begun = at;
        at += 1;
        if line.is_empty() {
            continue;
        }
        let body_end = (at..last).find(|next| is_header(lines[*next])).unwrap_or(last);
        if let Some(path) = line.strip_prefix("*** Add File: ") {
            let body = &lines[at..body_end];
            let content: Option<Vec<&str>> = body.iter().map(|line| line.strip_prefix('+')).collect();
            let content = content.ok_or_else(|| fails(at, "each line of an added file begins with `+`"))?;
            parts.push(Part::Add {
                path: inside(path.trim())?,
                lines: content,
            });
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            if lines[at..body_end].iter().any(|line| !line.trim().is_empty()) {
                return Err(fails(at, "a deletion has no lines"));
            }
            parts.push(Part::Delete {
                path: inside(path.trim())?,
            });
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            let to = lines.get(at).and_then(|line| line.trim().strip_prefix("*** Move to: "));
            let start = if to.is_some() { at + 1 } else { at };
            let body_end = (start..last).find(|next| is_header(lines[*next])).unwrap_or(last);
            let hunks = hunks(&lines[start..body_end], start)?;
            let to = to.map(|to| inside(to.trim())).transpose()?;
            if hunks.is_empty() {
                return Err(fails(begun, "the update has no hunk"));
            }
            parts.push(Part::Update {
                path: inside(path.trim())?,
                to,
                hunks,
            });
            at = body_end;
            continue;
        } else {
            return Err(fails(
                begun,
                "`*** Add File: `, `*** Delete File: ` or `*** Update File: ` is wanted",
            ));
        }
        at = body_end;
    }
    if parts.is_empty() {
        return Err(fails(0, "it changes nothing"));
    }
    Ok(parts)
}

fn is_header(line: &str) -> bool {
    let line = line.trim();
    // Lines of a hunk begin with a sign or a blank; a header may be indented, but has its three stars.
    line.starts_with("*** ") && line != "*** End of File"
}

fn hunks<'a>(lines: &[&'a str], first: usize) -> Result<Vec<Hunk<'a>>, Rejected> {
    let mut hunks: Vec<Hunk<'a>> = Vec::new();
    let mut open = Hunk::default();
    let has_lines = |hunk: &Hunk<'_>| !hunk.old.is_empty() || !hunk.new.is_empty();
    for (at, line) in lines.iter().enumerate() {
        if line.trim() == "*** End of File" {
            open.at_end = true;
        } else if let Some(header) = line.strip_prefix("@@") {
            if has_lines(&open) {
                hunks.push(std::mem::take(&mut open));
            }
            if !header.trim().is_empty() {
                open.headers.push(header.trim());
            }
        } else if let Some(line) = line.strip_prefix('+') {
            open.new.push(line);
        } else if let Some(line) = line.strip_prefix('-') {
            open.old.push(line);
        } else if line.is_empty() || line.starts_with(' ') {
            let line = line.strip_prefix(' ').unwrap_or(line);
            open.old.push(line);
            open.new.push(line);
        } else {
            let why = "a line of a hunk begins with ` `, `+`, `-` or `@@`".to_owned();
            return Err(Rejected::Malformed {
                line: first + at + 1,
                why,
            });
        }
    }
    if has_lines(&open) {
        hunks.push(open);
    }
    Ok(hunks)
}

fn updated(path: &str, text: &str, hunks: &[Hunk<'_>]) -> Result<String, Rejected> {
    let fails = |why: String| Rejected::DoesNotFit {
        path: path.to_owned(),
        why,
    };
    let crlf = text.contains("\r\n");
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<&str> = Vec::with_capacity(lines.len());
    let mut at = 0;
    for (number, hunk) in hunks.iter().enumerate() {
        let mut from = at;
        for header in &hunk.headers {
            let found = (from..lines.len()).find(|line| lines[*line].trim() == *header);
            let found = found.ok_or_else(|| fails(format!("hunk {}: `{header}` is not there", number + 1)))?;
            from = found + 1;
        }
        let place = if hunk.old.is_empty() {
            // Only additions: after the header, or at the end.
            if hunk.headers.is_empty() { lines.len() } else { from }
        } else {
            seek(&lines, &hunk.old, from, hunk.at_end)
                .ok_or_else(|| fails(format!("hunk {}: {}", number + 1, missing(&lines, &hunk.old, from))))?
        };
        out.extend(&lines[at..place]);
        out.extend(&hunk.new);
        at = place + hunk.old.len();
    }
    out.extend(&lines[at..]);
    let newline = if crlf { "\r\n" } else { "\n" };
    let mut text = out.join(newline);
    if !out.is_empty() {
        text.push_str(newline);
    }
    Ok(text)
}

/// Where the lines stand, from the strictest comparison to the most lenient.
fn seek(lines: &[&str], wanted: &[&str], from: usize, at_end: bool) -> Option<usize> {
    let last = lines.len().checked_sub(wanted.len())?;
    let place = |lines: &[&str], wanted: &[&str], same: fn(&str, &str) -> bool| {
        let fits = |at: &usize| {
            lines[*at..*at + wanted.len()]
                .iter()
                .zip(wanted)
                .all(|(a, b)| same(a, b))
        };
        if at_end && last >= from && fits(&last) {
            return Some(last);
        }
        (from..=last).find(fits)
    };
    let same: [fn(&str, &str) -> bool; 3] = [
        |a, b| a == b,
        |a, b| a.trim_end() == b.trim_end(),
        |a, b| a.trim() == b.trim(),
    ];
    let found = same.into_iter().find_map(|same| place(lines, wanted, same));
    found.or_else(|| {
        let plainly = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| plain(line)).collect() };
        let (lines, wanted) = (plainly(lines), plainly(wanted));
        let (lines, wanted): (Vec<&str>, Vec<&str>) = (
            lines.iter().map(String::as_str).collect(),
            wanted.iter().map(String::as_str).collect(),
        );
        place(&lines, &wanted, |a, b| a == b)
    })
}

/// How far the search for the nearest place goes, in comparisons of lines.
const NEAREST_MAX: usize = 20_000_000;

/// Why the lines are not there, with what stands at the place that is most like them: whoever made the patch can mend
/// it from that.
fn missing(lines: &[&str], wanted: &[&str], from: usize) -> String {
    let shown = |line: &str| format!("`{}`", &line[..line.floor_char_boundary(120)]);
    let first = wanted.iter().find(|line| !line.trim().is_empty());
    let begun = shown(first.copied().unwrap_or_default());
    let not_there = format!("its old lines are not there, which begin with {begun}");
    if lines.len().saturating_mul(wanted.len()) > NEAREST_MAX {
        return not_there;
    }
    let alike = |at: usize| {
        let pairs = lines[at..].iter().zip(wanted);
        pairs
            .filter(|(a, b)| !b.trim().is_empty() && a.trim() == b.trim())
            .count()
    };
    // Of equals the first.
    let best = (0..lines.len())
        .rev()
        .max_by_key(|at| alike(*at))
        .filter(|at| alike(*at) > 0);
    let Some(best) = best else { return not_there };
    let differs = wanted
        .iter()
        .enumerate()
        .find(|(line, wanted)| lines.get(best + line).is_none_or(|own| own.trim() != wanted.trim()));
    match differs {
        Some((line, wanted)) => {
            let own = lines
                .get(best + line)
                .map_or("the end of the file".to_owned(), |own| shown(own));
            format!(
                "its old lines are not there; nearest is line {}, where {own} stands in place of {}",
                best + line + 1,
                shown(wanted)
            )
        }
        None if best < from => format!(
            "its old lines stand only at line {}, before the hunk above; put the hunks in the order of the file",
            best + 1
        ),
        None => not_there,
    }
}

/// The line with plain punctuation.
fn plain(line: &str) -> String {
    let plain = |char| match char {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    };
    line.trim().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    fn patch(body: &str) -> String {
        format!("*** Begin Patch\n{body}\n*** End Patch\n")
    }

    #[test]
    fn files_are_added_changed_moved_and_deleted_together() {
        let files = tree(&[
            ("a.rs", "fn a() {\n    1\n}\n\nfn b() {\n    1\n}\n"),
            ("old.txt", "x\n"),
            ("go.txt", "y\n"),
        ]);
        let body = "*** Update File: a.rs\n@@ fn b() {\n-    1\n+    2\n*** Update File: old.txt\n*** Move to: new.txt\n@@\n-x\n+z\n\
                    *** Delete File: go.txt\n*** Add File: d/e.txt\n+hi";
        let changes = apply(&files, &patch(body), Failing::Nothing).unwrap().changes;
        assert_eq!(
            changes["a.rs"].as_deref(),
            Some("fn a() {\n    1\n}\n\nfn b() {\n    2\n}\n")
        );
        assert_eq!(
            (changes["old.txt"].as_deref(), changes["new.txt"].as_deref()),
            (None, Some("z\n"))
        );
        assert_eq!(
            (changes["go.txt"].as_deref(), changes["d/e.txt"].as_deref()),
            (None, Some("hi\n"))
        );
    }

    #[test]
    fn nothing_counts_unless_all_fits() {
        let files = tree(&[("a", "1\n")]);
        let body = "*** Add File: b\n+x\n*** Update File: a\n@@\n-2\n+3";
        let error = apply(&files, &patch(body), Failing::Nothing).unwrap_err();
        assert!(matches!(error, Rejected::DoesNotFit { .. }), "{error}");
        let left = apply(&files, &patch(body), Failing::Leaves).unwrap();
        assert!(left.changes.contains_key("b") && left.stopped.is_some());
    }

    #[test]
    fn what_does_not_fit_is_told_with_the_nearest_place() {
        let files = tree(&[("a", "one\ntwo\nthree\nfour\n"), ("b", "x\ny\n")]);
        let body =
            "*** Update File: a\n@@\n two\n-trhee\n+3\n*** Update File: b\n@@\n-y\n+1\n@@\n-x\n+2\n*** Delete File: c";
        let problems = all(&files, &patch(body)).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told[0].contains("nearest is line 3, where `three` stands in place of `trhee`"),
            "{told:?}"
        );
        assert!(told[1].contains("only at line 1, before the hunk above"), "{told:?}");
        assert!(told[2].contains("c is not there"), "{told:?}");
    }

    #[test]
    fn no_way_leads_out() {
        for path in ["../x", "/etc/x", ".git/config", "a/../../x"] {
            for body in [
                format!("*** Add File: {path}\n+x"),
                format!("*** Delete File: {path}"),
                format!("*** Update File: a\n*** Move to: {path}\n@@\n-1\n+2"),
            ] {
                let error = apply(&tree(&[("a", "1\n")]), &patch(&body), Failing::Nothing).unwrap_err();
                assert!(matches!(error, Rejected::Outside(_)), "{path}: {error}");
            }
        }
    }

    #[test]
    fn typographic_punctuation_and_white_space_are_forgiven() {
        let files = tree(&[("a", "\tsay \u{201c}hi\u{201d} \u{2014} now  \r\nend\r\n")]);
        let changes = apply(
            &files,
            &patch("*** Update File: a\n@@\n-say \"hi\" - now\n+gone"),
            Failing::Nothing,
        )
        .unwrap();
        assert_eq!(changes.changes["a"].as_deref(), Some("gone\r\nend\r\n"));
    }
}
