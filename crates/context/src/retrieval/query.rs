//! What is asked, taken apart: terms with weights, names that look like code, paths, dotted modules, frames of stack
//! traces.

use super::language::module;
use super::terms::{self, Term};

/// A term that is repeated counts so often at most.
const COUNT_MAX: f32 = 3.0;
/// How much of a question is read, in bytes.
const TEXT_MAX: usize = 64 * 1_024;
/// How many terms and names of a question are used.
const TERMS_MAX: usize = 400;

/// A word of the question.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Wanted {
    pub(crate) term: Term,
    /// How often it is there, bounded.
    pub(crate) count: f32,
    /// The word, for people.
    pub(crate) word: String,
}

/// A name in the question that may be one of the code.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) count: f32,
    /// Whether it is written as no word of prose is: with `_`, with capitals inside, before `(`, in backticks.
    pub(crate) as_code: bool,
}

/// A path in the question.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Pointed {
    /// A path with its ending, or a module without.
    pub(crate) path: String,
    /// The line, when one is named with it.
    pub(crate) line: Option<u32>,
    /// How much it counts.
    pub(crate) weight: f32,
    /// Whether it names a file; otherwise a module, which may lie above it.
    pub(crate) file: bool,
}

/// A question, taken apart.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    pub(crate) terms: Vec<Wanted>,
    pub(crate) names: Vec<Named>,
    pub(crate) paths: Vec<Pointed>,
}

impl Query {
    /// Takes a text apart. Any text is a question; the beginning of a very long one.
    pub fn parse(text: &str) -> Query {
        let text = &text[..text.floor_char_boundary(TEXT_MAX)];
        let mut query = Query::default();
        query.words(text);
        query.paths(text);
        query
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.names.is_empty() && self.paths.is_empty()
    }

    fn words(&mut self, text: &str) {
        let mut terms: Vec<Wanted> = Vec::new();
        let mut names: Vec<Named> = Vec::new();
        let mut known: std::collections::HashMap<Term, usize> = Default::default();
        let mut known_names: std::collections::HashMap<&str, usize> = Default::default();
        terms::identifiers(text, |at, identifier| {
            terms::terms_of(identifier, |term, part| match known.get(&term) {
                Some(place) => terms[*place].count = (terms[*place].count + 1.0).min(COUNT_MAX),
                None if terms.len() < TERMS_MAX => {
                    known.insert(term, terms.len());
                    terms.push(Wanted {
                        term,
                        count: 1.0,
                        word: part.to_lowercase(),
                    });
                }
                None => {}
            });
            if identifier.len() < 3 || identifier.bytes().all(|byte| byte.is_ascii_digit()) {
                return;
            }
            let as_code = looks_like_code(text, at, identifier);
            match known_names.get(identifier) {
                Some(place) => {
                    names[*place].count += 1.0;
                    names[*place].as_code |= as_code;
                }
                None if names.len() < TERMS_MAX => {
                    known_names.insert(identifier, names.len());
                    names.push(Named {
                        name: identifier.to_owned(),
                        count: 1.0,
                        as_code,
                    });
                }
                None => {}
            }
        });
        self.terms = terms;
        self.names = names;
    }

    fn paths(&mut self, text: &str) {
        let mut frames = 0.0;
        for line in text.lines() {
            if let Some((path, number)) = frame(line) {
                // Deeper frames of a trace come later, and are nearer to what went wrong.
                frames += 1.0;
                self.point(path, number, 1.0 + frames / 10.0, true);
                continue;
            }
            let breaks = |c: char| c.is_whitespace() || "()[]{}<>`'\",;=|*".contains(c);
            for word in line.split(breaks) {
                let word = word.trim_matches(|c: char| ".:!?#".contains(c));
                if word.len() < 4 || word.contains("://") || word.starts_with("www.") {
                    continue;
                }
                let (path, number) = match word.split_once(':') {
                    Some((path, rest)) if !rest.starts_with(':') => {
                        (path, rest.split(':').next().and_then(|digits| digits.parse().ok()))
                    }
                    _ => (word, None),
                };
                let name = path.rsplit('/').next().unwrap_or_default();
                let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
                let has_ending = (1..=5).contains(&ending.len()) && super::language::Sort::of(name).is_code();
                if has_ending || (path.contains('/') && name.contains('.')) {
                    self.point(path, number, 1.5, true);
                } else if path.contains("::")
                    || (path.contains('.') && is_dotted(path))
                    || path.matches('/').count() > 1
                {
                    let module = path.replace("::", "/").replace('.', "/");
                    let module = ["crate/", "self/", "super/"]
                        .iter()
                        .fold(module.as_str(), |module, own| {
                            module.strip_prefix(own).unwrap_or(module)
                        });
                    self.point(module, None, 1.0, false);
                }
            }
        }
    }

    fn point(&mut self, path: &str, line: Option<u32>, weight: f32, file: bool) {
        let path = path.trim_start_matches("./").trim_matches('/').replace('\\', "/");
        if path.is_empty() {
            return;
        }
        if let Some(one) = self.paths.iter_mut().find(|one| one.path == path) {
            one.weight = one.weight.max(weight);
            one.line = line.or(one.line);
        } else if self.paths.len() < TERMS_MAX {
            self.paths.push(Pointed {
                path,
                line,
                weight,
                file,
            });
        }
    }
}

impl Pointed {
    /// How well it fits a path of the tree: not at all, or the more the more of both is the same.
    pub(crate) fn fits(&self, path: &str) -> f32 {
        let whole = if self.file { path } else { module(path) };
        let ends_with = |long: &str, short: &str| {
            long.strip_suffix(short)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        // A trace names a place on somebody's machine, the tree only its end; a question may name only the end too.
        if ends_with(whole, &self.path) {
            return 1.0;
        }
        if self.file && ends_with(&self.path, whole) && whole.contains('/') {
            return 1.0;
        }
        if self.file {
            return 0.0;
        }
        // `a.b.Name.method` means the file of `a.b`.
        let mut shorter = self.path.as_str();
        for cut in [0.8, 0.6] {
            let Some((above, _)) = shorter.rsplit_once('/') else {
                break;
            };
            shorter = above;
            if shorter.contains('/') && ends_with(whole, shorter) {
                return cut;
            }
        }
        0.0
    }
}

fn looks_like_code(text: &str, at: usize, identifier: &str) -> bool {
    let after = text[at + identifier.len()..].chars().next();
    let before = text[..at].chars().next_back();
    let inner = identifier.trim_matches('_');
    inner.contains('_')
        || inner.len() < identifier.len()
        || inner
            .as_bytes()
            .windows(2)
            .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
        || after == Some('(')
        || matches!(before, Some('.' | '`' | '@' | ':'))
        || (after == Some('.') && text[at + identifier.len() + 1..].starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// `a.b.c`: names with dots between, no sentence end and no number.
fn is_dotted(word: &str) -> bool {
    word.split('.').all(|part| {
        !part.is_empty()
            && part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// `File "x.py", line 3, in f` of Python's traces; others name `x.ts:3:4`, which is read as a path with a line.
fn frame(line: &str) -> Option<(&str, Option<u32>)> {
    let rest = line.trim_start().strip_prefix("File \"")?;
    let (path, rest) = rest.split_once('"')?;
    let digits = rest.strip_prefix(", line ")?;
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((path, digits.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_frames_are_told_from_prose() {
        let text = "Calling parse_plan() in crates/core/src/plan.rs:12 fails.\nTraceback:\n  File \"/usr/lib/py/pkg/core.py\", line 7, in run\n\
                    See https://example.org/a.py, e.g. sympy.core.basic and the Store.";
        let query = Query::parse(text);
        let code: Vec<&str> = query
            .names
            .iter()
            .filter(|n| n.as_code)
            .map(|n| n.name.as_str())
            .collect();
        assert!(code.contains(&"parse_plan") && !code.contains(&"fails") && !code.contains(&"Store"));
        let paths: Vec<(&str, Option<u32>)> = query.paths.iter().map(|p| (p.path.as_str(), p.line)).collect();
        assert_eq!(
            paths,
            [
                ("crates/core/src/plan.rs", Some(12)),
                ("usr/lib/py/pkg/core.py", Some(7)),
                ("sympy/core/basic", None)
            ]
        );
    }

    #[test]
    fn a_path_fits_by_its_end() {
        let point = |text: &str| Query::parse(text).paths.remove(0);
        assert_eq!(point("at /home/x/pkg/core.py:3").fits("pkg/core.py"), 1.0);
        assert_eq!(point("in core.py").fits("pkg/core.py"), 1.0);
        assert_eq!(point("in core.py").fits("pkg/score.py"), 0.0);
        assert_eq!(point("sympy.core.basic.Basic").fits("sympy/core/basic.py"), 0.8);
        assert_eq!(point("crate::plan::task").fits("src/plan/task.rs"), 1.0);
    }

    #[test]
    fn any_text_is_a_question() {
        for text in ["", "…", "a:b:c::d", "File \"", "File \"x\", line ", "((((", "\u{0}"] {
            let _ = Query::parse(text);
        }
        let long = "word_one Two ".repeat(20_000);
        assert!(Query::parse(&long).terms.len() <= TERMS_MAX);
        assert!(Query::parse("the of and").is_empty() || !Query::parse("the of and").names.is_empty());
    }
}
