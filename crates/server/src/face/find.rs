//! Searching the code of a project: the question as it is put by people and agents, and the document of the answer.
//!
//! `wheelhouse find` and the tool `find_code` call [`find`]; whoever serves many questions keeps one [`Codebase`] and
//! says how fresh its look at the tree must be.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use wheelhouse_engine::codebase::{Codebase, Extent, Files, Hit, Options, Stages, Unit, Update};

use super::exit;
use super::failure::Failure;

/// How many answers there are when nobody says how many.
pub const COUNT: usize = 10;
/// The longest line shown, in characters.
const LINE_MAX: usize = 160;
/// The most lines of an excerpt.
pub const LINES_MAX: usize = 60;

/// A question.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The words: what it is about, names, paths, a stack trace.
    pub text: String,
    /// How many answers; at most [`wheelhouse_engine::codebase::ANSWERS_MAX`].
    pub count: usize,
    /// Only below this path of the project.
    pub below: Option<String>,
    /// Each file once, in place of each place in it.
    pub files: bool,
    /// Only code.
    pub code: bool,
    /// No tests.
    pub no_tests: bool,
    /// So many lines of each place with its answer; at most [`LINES_MAX`].
    pub lines: usize,
}

impl Ask {
    /// A question as most are.
    pub fn new(text: impl Into<String>) -> Ask {
        Ask {
            text: text.into(),
            count: COUNT,
            below: None,
            files: false,
            code: false,
            no_tests: false,
            lines: 0,
        }
    }
}

/// The document of an answer.
#[derive(Serialize, Clone, Debug)]
pub struct Answer {
    /// The question.
    pub query: String,
    /// The places, the best first.
    pub hits: Vec<Place>,
    /// What was searched.
    pub index: Searched,
    /// What people should know.
    pub notices: Vec<String>,
    /// How the places were ordered anew, and what it took, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_stage: Option<String>,
}

/// A place that was found.
#[derive(Serialize, Clone, Debug)]
pub struct Place {
    /// The file, from the project's directory.
    pub path: String,
    /// Its first line, from 1.
    pub start: u32,
    /// Its last line.
    pub end: u32,
    /// The line of it that says most.
    pub line: u32,
    /// That line.
    pub text: String,
    /// What kind of file it is.
    pub language: &'static str,
    /// The definition that it is or that is around it.
    pub within: Option<String>,
    /// Why it was found.
    pub why: Why,
    /// Comparable within one answer only.
    pub score: f32,
    /// Whether the file changed while it was looked at, so that its lines may be others by now; none are shown then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Lines of the place, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// Why a place was found.
#[derive(Serialize, Clone, Debug)]
pub struct Why {
    /// The ways of looking that found it, with the rank each gave it.
    pub ranks: BTreeMap<&'static str, usize>,
    /// Words of the question that are there, the rarest first.
    pub words: Vec<String>,
    /// Names of the question that are defined there.
    pub defines: Vec<String>,
}

/// What was searched.
#[derive(Serialize, Clone, Debug)]
pub struct Searched {
    /// Files that can be found.
    pub files: u32,
    /// Definitions in them.
    pub definitions: usize,
    /// Files left out, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Whether there are more files than are looked at.
    pub beyond_limit: bool,
    /// Files that were new or had changed since the question before.
    pub changed: usize,
    /// How long the look at the tree took.
    pub update_ms: u64,
    /// How many pieces of the files have vectors, where weights for that are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vectors: Option<usize>,
}

/// Answers a question, after a look at the tree unless there was one less than `fresh` ago.
pub fn find(codebase: &mut Codebase, ask: &Ask, fresh: Duration, stages: &Stages) -> Result<Answer, Failure> {
    if ask.text.trim().is_empty() {
        return Err(Failure::usage("there is nothing to look for: the question is empty")
            .hint("wheelhouse find \"where leases are renewed\""));
    }
    let options = Options {
        count: ask.count,
        unit: if ask.files { Unit::File } else { Unit::Span },
        code_only: ask.code,
        no_tests: ask.no_tests,
        below: ask.below.clone(),
        ..Options::default()
    };
    let mut look = |fresh: Duration| {
        let found = codebase.find(&ask.text, &options, fresh, stages);
        let (hits, update) = found.map_err(|error| Failure::new(exit::IO, error.to_string()))?;
        let lines = ask.lines.min(LINES_MAX);
        let places: Vec<Place> = hits.into_iter().map(|hit| place(codebase, hit, lines)).collect();
        Ok::<_, Failure>((places, update))
    };
    let (mut hits, mut update) = look(fresh)?;
    if hits.iter().any(|place| place.changed) {
        let notices = std::mem::take(&mut update.notices);
        (hits, update) = look(Duration::ZERO)?;
        update.notices.splice(..0, notices);
        update.notices.dedup();
    }
    let changed = hits.iter().filter(|place| place.changed).count();
    if changed > 0 {
        let places = if changed == 1 { "place is" } else { "places are" };
        update.notices.push(format!(
            "{changed} {places} in files that changed while they were looked at: their lines may have moved"
        ));
    }
    Ok(Answer {
        query: ask.text.clone(),
        hits,
        index: searched(codebase.extent(), &update),
        notices: update.notices,
        second_stage: update.second,
    })
}

fn searched(extent: Extent, update: &Update) -> Searched {
    let Extent {
        files,
        pieces: _,
        definitions,
        skipped,
        beyond,
    } = extent;
    Searched {
        files,
        definitions,
        skipped: skipped.into_iter().map(|(skip, count)| (skip.name(), count)).collect(),
        beyond_limit: beyond,
        changed: update.changed,
        update_ms: u64::try_from(update.took.as_millis()).unwrap_or(u64::MAX),
        vectors: update.vectors,
    }
}

fn place(codebase: &Codebase, hit: Hit, lines: usize) -> Place {
    let Hit {
        path,
        sort,
        start,
        end,
        score,
        within,
        ranks,
        words,
        defines,
    } = hit;
    // A file that changed or went away since the look at the tree has no line to show; its place is still an answer.
    let bytes = codebase.tree().read(&path).unwrap_or_default();
    let changed = !codebase.is_as_indexed(&path, &bytes);
    let text = match changed {
        true => Cow::Borrowed(""),
        false => String::from_utf8_lossy(&bytes),
    };
    let own: Vec<&str> = text
        .lines()
        .skip(start.saturating_sub(1) as usize)
        .take((end + 1 - start) as usize)
        .collect();
    let best = best_line(&own, &words, &defines);
    let excerpt = (lines > 0 && !changed).then(|| {
        let from = best.saturating_sub(lines / 2).min(own.len().saturating_sub(lines));
        own.iter()
            .skip(from)
            .take(lines)
            .copied()
            .collect::<Vec<_>>()
            .join("\n")
    });
    Place {
        line: start + best as u32,
        text: own
            .get(best)
            .map(|line| line.trim().chars().take(LINE_MAX).collect())
            .unwrap_or_default(),
        path,
        start,
        end,
        language: sort.name(),
        within,
        why: Why {
            ranks: ranks.into_iter().map(|(leg, rank)| (leg.name(), rank)).collect(),
            words,
            defines,
        },
        score,
        changed,
        excerpt,
    }
}

/// The line with a definition that was asked for, else with the most words; the first of equals.
fn best_line(lines: &[&str], words: &[String], defines: &[String]) -> usize {
    let score = |line: &str| {
        let lower = line.to_lowercase();
        let words = words.iter().filter(|word| lower.contains(word.as_str())).count();
        let names = defines.iter().filter(|name| line.contains(name.as_str())).count();
        names * 4 + words
    };
    let scored = lines.iter().enumerate().map(|(place, line)| (score(line), place));
    let best = scored.fold(
        (0, None),
        |best, (score, place)| {
            if score > best.0 { (score, Some(place)) } else { best }
        },
    );
    let first = lines.iter().position(|line| !line.trim().is_empty());
    best.1.or(first).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_line_that_says_most() {
        let root = tempfile::tempdir().unwrap();
        let text = "/// Nothing.\npub struct Lease;\n\n/// Renews a lease in time.\npub fn renew(lease: Lease) {}\n";
        std::fs::write(root.path().join("lease.rs"), text).unwrap();
        let mut codebase = Codebase::open(root.path(), None);
        let mut ask = Ask::new("how do I renew a lease");
        ask.lines = 2;
        let answer = find(&mut codebase, &ask, Duration::ZERO, &Stages::default()).unwrap();
        assert_eq!(answer.hits[0].path, "lease.rs");
        assert_eq!(answer.hits[0].text, "pub fn renew(lease: Lease) {}");
        assert_eq!(answer.hits[0].within.as_deref(), Some("function renew"));
        assert_eq!(answer.hits[0].why.defines, ["renew"]);
        assert!(answer.hits[0].excerpt.as_ref().unwrap().contains("pub fn renew"));
        let empty = find(&mut codebase, &Ask::new(" "), Duration::ZERO, &Stages::default()).unwrap_err();
        assert_eq!(empty.exit, exit::USAGE);
    }
}
