//! The deterministic packet: a few excerpts that a task will most likely need, put before an agent's first turn.
//!
//! No model chooses them. The measured rule behind it: context that the harness gives once, before the first turn,
//! saves tokens; a search tool that the model may call costs some. When it is not sure it gives nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::index::{DocId, Index, Posting};
use super::language::{is_test, owner_stem, stem};
use super::query::Query;
use super::terms::{self, Field, Term, moved};
use crate::port::Files;

/// How many files it shows at most.
pub const FILES_MAX: usize = 3;
/// How many characters its excerpts have at most.
pub const CHARS_MAX: usize = 1_500;
/// Below this confidence nothing is given.
pub const CONFIDENCE_MIN: f32 = 0.6;
/// An excerpt reaches so many lines above and below its middle.
const WINDOW_LINES: usize = 12;
/// Windows are looked at in so many of the best files.
const WINDOWED: usize = 40;

// What counts how much, as in the published measurement; its term for one family of bugs is left out.
const PATH_WORD: f32 = 24.0;
const WINDOW: f32 = 4.0;
const PATH_NAMED: f32 = 100.0;
const OWNER: f32 = 96.0;
const SOURCE_FOLDER: f32 = 1.15;

/// What a packet is made for.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What the agent is asked.
    pub prompt: &'a str,
    /// The commands by which the result is checked; tests named there tell which files are meant.
    pub checks: &'a [String],
    /// How many characters the excerpts may have.
    pub chars_max: usize,
}

/// A part of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// The file.
    pub path: String,
    /// Its first line, from 1.
    pub start: u32,
    /// Its last line.
    pub end: u32,
    /// The lines, as they are.
    pub text: String,
}

/// What was decided.
#[derive(Clone, PartialEq, Debug)]
pub enum Packet {
    /// These excerpts.
    Inject {
        /// The best first.
        excerpts: Vec<Excerpt>,
        /// How sure it is, up to 1.
        confidence: f32,
        /// Why.
        reason: &'static str,
    },
    /// Nothing: not sure enough.
    Fallback {
        /// How sure it is.
        confidence: f32,
        /// Why not.
        reason: &'static str,
    },
    /// Nothing: there is nothing to choose from.
    Bypass {
        /// Why not.
        reason: &'static str,
    },
}

struct Candidate {
    doc: DocId,
    score: f32,
    named: bool,
    owner: bool,
    window: Option<(u32, u32)>,
}

/// Decides, and cuts the excerpts out.
pub fn packet(index: &Index, files: &dyn Files, task: &Task<'_>) -> Packet {
    let query = Query::parse(task.prompt);
    let owners = owners(task.checks);
    let mut candidates = candidates(index, &query, &owners);
    if candidates.is_empty() {
        return Packet::Bypass {
            reason: "no file shares a word with the task",
        };
    }
    let wanted = rarities(index, &query, candidates.len());
    order(index, &mut candidates);
    let mut texts: HashMap<DocId, String> = HashMap::new();
    for candidate in candidates.iter_mut().take(WINDOWED) {
        // A file that is gone or changed its nature since it was indexed has no window; the next update drops it.
        let Ok(bytes) = files.read(&index.doc(candidate.doc).path) else {
            candidate.score = 0.0;
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((start, end, gain)) = window(&text, &wanted) {
            candidate.score += WINDOW * gain;
            candidate.window = Some((start, end));
        }
        texts.insert(candidate.doc, text);
    }
    candidates.truncate(WINDOWED);
    candidates.retain(|candidate| texts.contains_key(&candidate.doc));
    order(index, &mut candidates);
    let (confidence, reason) = confidence(&candidates);
    if confidence < CONFIDENCE_MIN {
        return Packet::Fallback { confidence, reason };
    }
    let excerpts = excerpts(index, &candidates, &texts, task.chars_max);
    if excerpts.is_empty() {
        return Packet::Fallback {
            confidence,
            reason: "the files chosen have no line to show",
        };
    }
    Packet::Inject {
        excerpts,
        confidence,
        reason,
    }
}

/// The names of files that the tests in the checks are about.
fn owners(checks: &[String]) -> HashSet<String> {
    let mut owners = HashSet::new();
    for check in checks {
        for word in check.split(|c: char| c.is_whitespace() || "'\"=;:&|".contains(c)) {
            if word.contains('.') && is_test(word) {
                owners.insert(owner_stem(word).to_owned());
            }
        }
    }
    owners
}

/// Code that shares a word with the task, in its text or its path, with everything but the windows counted.
fn candidates(index: &Index, query: &Query, owners: &HashSet<String>) -> Vec<Candidate> {
    let mut terms: Vec<Term> = query.terms.iter().map(|wanted| wanted.term).collect();
    for owner in owners {
        terms::terms_of(owner, |term, _| terms.push(term));
    }
    terms.sort_unstable();
    terms.dedup();
    let mut covered: BTreeMap<DocId, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (place, term) in terms.iter().enumerate() {
        index.each_posting(*term, |Posting { doc, .. }| {
            if index.doc(doc).sort.is_code() {
                let own = &mut covered.entry(doc).or_default().0;
                if own.last() != Some(&place) {
                    own.push(place);
                }
            }
        });
        index.each_posting(moved(*term, Field::Path), |Posting { doc, .. }| {
            if index.doc(doc).sort.is_code() {
                covered.entry(doc).or_default().1.push(place);
            }
        });
    }
    let mut files_with = vec![0_u32; terms.len()];
    for place in covered.values().flat_map(|(body, _)| body) {
        files_with[*place] += 1;
    }
    let all = covered.len() as f32;
    let idf = |place: usize| ((1.0 + all) / (1.0 + files_with[place] as f32)).ln() + 1.0;
    let scored = covered.into_iter().map(|(doc, (body, path))| {
        let own = &index.doc(doc).path;
        let named = query
            .paths
            .iter()
            .any(|pointed| pointed.file && pointed.fits(own) >= 1.0);
        let owner = !is_test(own) && owners.contains(stem(own));
        let mut score: f32 = body.iter().map(|place| idf(*place)).sum();
        score += PATH_WORD * path.iter().map(|place| idf(*place)).sum::<f32>();
        score += if named { PATH_NAMED } else { 0.0 };
        score += if owner { OWNER } else { 0.0 };
        let in_source = own
            .split('/')
            .rev()
            .skip(1)
            .any(|part| matches!(part, "src" | "lib" | "app"));
        Candidate {
            doc,
            score: if in_source { score * SOURCE_FOLDER } else { score },
            named,
            owner,
            window: None,
        }
    });
    scored.collect()
}

/// The terms of the question with how rare each is among so many candidates.
fn rarities(index: &Index, query: &Query, candidates: usize) -> HashMap<Term, f32> {
    let all = candidates as f32;
    let rarity = |term: Term| {
        let mut files = 0_u32;
        let mut last = None;
        index.each_posting(term, |Posting { doc, .. }| {
            if last != Some(doc) && index.doc(doc).sort.is_code() {
                files += 1;
                last = Some(doc);
            }
        });
        ((1.0 + all) / (1.0 + files as f32)).ln() + 1.0
    };
    query
        .terms
        .iter()
        .map(|wanted| (wanted.term, rarity(wanted.term)))
        .collect()
}

/// Files named in the prompt first, then by score, then by path.
fn order(index: &Index, candidates: &mut [Candidate]) {
    candidates.sort_by(|one, other| {
        let by_name = || index.doc(one.doc).path.cmp(&index.doc(other.doc).path);
        other
            .named
            .cmp(&one.named)
            .then(other.score.total_cmp(&one.score))
            .then_with(by_name)
    });
}

/// The span around a line that has the most of what is wanted: its lines, and how much.
fn window(text: &str, wanted: &HashMap<Term, f32>) -> Option<(u32, u32, f32)> {
    let mut hits: Vec<(usize, Term)> = Vec::new();
    let mut count = 0;
    for (number, line) in text.lines().enumerate() {
        count = number + 1;
        terms::identifiers(line, |_, identifier| {
            terms::terms_of(identifier, |term, _| {
                if wanted.contains_key(&term) {
                    hits.push((number, term));
                }
            });
        });
    }
    let reach = 2 * WINDOW_LINES;
    let mut inside: HashMap<Term, u32> = HashMap::new();
    let mut gain = 0.0;
    let mut from = 0;
    let mut best: Option<(usize, usize, f32)> = None;
    for (place, (number, term)) in hits.iter().enumerate() {
        let times = inside.entry(*term).or_default();
        *times += 1;
        if *times == 1 {
            gain += wanted[term];
        }
        while number - hits[from].0 > reach {
            let (_, old) = hits[from];
            if let Some(times) = inside.get_mut(&old) {
                *times -= 1;
                if *times == 0 {
                    gain -= wanted[&old];
                }
            }
            from += 1;
        }
        if best.is_none_or(|(.., known)| gain > known + 1e-4) {
            best = Some((from, place, gain));
        }
    }
    let (from, to, gain) = best?;
    let middle = (hits[from].0 + hits[to].0) / 2;
    let start = middle.saturating_sub(WINDOW_LINES);
    let end = (middle + WINDOW_LINES).min(count.saturating_sub(1));
    Some((start as u32 + 1, end as u32 + 1, gain))
}

fn confidence(candidates: &[Candidate]) -> (f32, &'static str) {
    let score = |place: usize| candidates.get(place).map(|candidate| candidate.score);
    match candidates.first() {
        None => (0.0, "the files chosen cannot be read"),
        Some(first) if first.named => (1.0, "the task names the file"),
        Some(first) if first.owner => (0.95, "a test in the checks names the file"),
        Some(_) if candidates.len() == 1 => (0.75, "only one file shares a word with the task"),
        Some(_) => {
            let (first, second) = (score(0).unwrap_or(0.0), score(1).unwrap_or(0.0));
            let lead = if first > 0.0 { (first - second) / first } else { 0.0 };
            let confidence = (0.55 + lead).min(0.9);
            match confidence < CONFIDENCE_MIN {
                true => (confidence, "no file stands out"),
                false => (confidence, "one file stands out"),
            }
        }
    }
}

/// The windows of the best files, as far as the characters reach. Files that the prompt names share them evenly.
fn excerpts(index: &Index, candidates: &[Candidate], texts: &HashMap<DocId, String>, chars_max: usize) -> Vec<Excerpt> {
    let chosen: Vec<&Candidate> = candidates.iter().take(FILES_MAX).collect();
    let named = chosen.iter().filter(|candidate| candidate.named).count();
    let mut left = chars_max;
    let mut excerpts = Vec::new();
    for (place, candidate) in chosen.iter().enumerate() {
        let share = match candidate.named && named > 1 {
            true => left / (named - place).max(1),
            false => left,
        };
        let Some(text) = texts.get(&candidate.doc) else {
            continue;
        };
        let (start, end) = candidate.window.unwrap_or((1, 2 * WINDOW_LINES as u32 + 1));
        let path = index.doc(candidate.doc).path.clone();
        if let Some(excerpt) = cut(path, text, start, end, share) {
            left = left.saturating_sub(excerpt.text.chars().count());
            excerpts.push(excerpt);
        }
    }
    excerpts
}

/// So many whole lines of the window as the share allows, grown from its middle.
fn cut(path: String, text: &str, start: u32, end: u32, share: usize) -> Option<Excerpt> {
    let skip = start.saturating_sub(1) as usize;
    let lines: Vec<&str> = text.lines().skip(skip).take((end + 1 - start) as usize).collect();
    let middle = lines.len() / 2;
    let cost = |place: usize| lines.get(place).map(|line| line.chars().count() + 1);
    let (mut from, mut to) = (middle, middle);
    let mut used = cost(middle).filter(|cost| *cost <= share)?;
    loop {
        let below = cost(to + 1).filter(|cost| used + cost <= share);
        if let Some(cost) = below {
            used += cost;
            to += 1;
        }
        let above = from.checked_sub(1).and_then(cost).filter(|cost| used + cost <= share);
        if let Some(cost) = above {
            used += cost;
            from -= 1;
        }
        if below.is_none() && above.is_none() {
            break;
        }
    }
    let shown = &lines[from..=to];
    if shown.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    Some(Excerpt {
        path,
        start: start + from as u32,
        end: start + to as u32,
        text: shown.join("\n"),
    })
}
