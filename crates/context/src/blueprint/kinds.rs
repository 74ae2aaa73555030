//! What a block says: its sentences, and by which words each binds, forbids, asks or names.

use super::blocks::{Block, Part, Shape};
use super::{Force, ITEM_MAX, Item, Kind, clipped};

/// How many sentences of one block are looked at.
const SENTENCES_MAX: usize = 60;

/// What the heading above says of the items below it.
fn of_part(title: &str) -> Option<Kind> {
    let title = title.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| title.contains(word));
    if has(&[
        "open question",
        "offene fragen",
        "unresolved",
        "to be decided",
        "unknowns",
    ]) {
        Some(Kind::Question)
    } else if has(&[
        "acceptance",
        "definition of done",
        "done when",
        "success criteria",
        "exit criteria",
    ]) {
        Some(Kind::Acceptance)
    } else if has(&[
        "constraint",
        "limits",
        "non-goal",
        "out of scope",
        "not in scope",
        "prohibited",
    ]) {
        Some(Kind::Constraint)
    } else if has(&["requirement", "must have", "user stories"]) {
        Some(Kind::Requirement)
    } else if has(&[
        "interface",
        "api",
        "endpoint",
        "data model",
        "entities",
        "schema",
        "glossary",
        "types",
    ]) && !title.contains("rapid")
    {
        Some(Kind::Interface)
    } else {
        None
    }
}

/// Everything that a block says.
pub(super) fn items(block: &Block, parts: &[Part]) -> Vec<Item> {
    // A heading deep inside "Requirements" is still about requirements: the nearest one that says something counts.
    let above = parts.get(..=block.part).unwrap_or_default();
    let mut level = usize::MAX;
    let of_part = above.iter().rev().find_map(|part| {
        let encloses = part.level < level;
        level = level.min(part.level);
        encloses.then(|| of_part(&part.title)).flatten()
    });
    let is_listed = block.shape != Shape::Paragraph;
    let mut items = Vec::new();
    for (at, sentence) in sentences(&block.text).into_iter().take(SENTENCES_MAX) {
        let Some((kind, force)) = weigh(sentence, of_part, block.shape) else {
            continue;
        };
        let (line, last) = (block.line_at(at), block.line_at(at + sentence.len().max(1) - 1));
        items.push(Item {
            kind,
            force,
            text: clipped(sentence, ITEM_MAX),
            line,
            last,
            done: block.shape == Shape::Box { ticked: true },
            by_model: false,
        });
        // An item of a list is one thing: what follows its first binding sentence explains it.
        if is_listed && kind != Kind::Question {
            break;
        }
    }
    items
}

/// Sentences with where they begin. A full stop within a number, a name or a path ends nothing.
pub(crate) fn sentences(text: &str) -> Vec<(usize, &str)> {
    let mut all = Vec::new();
    let mut from = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let ends = matches!(char, '.' | '?' | '!') && chars.peek().is_none_or(|(_, next)| next.is_whitespace());
        if ends && !is_abbreviation(&text[from..at]) {
            push(&mut all, text, from, at + char.len_utf8());
            from = at + char.len_utf8();
        }
    }
    push(&mut all, text, from, text.len());
    all
}

fn push<'t>(all: &mut Vec<(usize, &'t str)>, text: &'t str, from: usize, to: usize) {
    let piece = &text[from..to];
    let begins = from + (piece.len() - piece.trim_start().len());
    if !piece.trim().is_empty() {
        all.push((begins, piece.trim()));
    }
}

fn is_abbreviation(before: &str) -> bool {
    const SHORT: &[&str] = &["e.g", "i.e", "etc", "cf", "vs", "no", "approx", "z.B"];
    let last = before.rsplit(|char: char| char.is_whitespace() || char == '(').next();
    last.is_some_and(|last| SHORT.contains(&last))
}

/// What a sentence is, and how binding; none when it only tells.
fn weigh(sentence: &str, of_part: Option<Kind>, shape: Shape) -> Option<(Kind, Force)> {
    let lower = format!(" {} ", sentence.to_lowercase());
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_listed = shape != Shape::Paragraph;
    let force = if has(&[
        " must",
        " shall",
        " never ",
        " required",
        " has to ",
        " have to ",
        " needs to ",
    ]) {
        Some(Force::Must)
    } else if has(&[" should", " ought to ", " recommended"]) {
        Some(Force::Should)
    } else if sentence.contains("MAY ") || sentence.contains("OPTIONAL") {
        Some(Force::May)
    } else {
        None
    };
    if is_question(sentence, &lower) || (is_listed && of_part == Some(Kind::Question)) {
        return Some((Kind::Question, force.unwrap_or(Force::Should)));
    }
    let forbids = has(&[
        " must not ",
        " mustn't ",
        " shall not ",
        " should not ",
        " shouldn't ",
        " may not ",
        " never ",
        " must only ",
        " no more than ",
        " forbidden",
        " not allowed",
        " prohibited",
        " do not ",
        " don't ",
    ]);
    if forbids || is_limit(&lower) {
        return Some((Kind::Constraint, force.unwrap_or(Force::Must)));
    }
    match (of_part, force) {
        (Some(Kind::Acceptance), force) if is_listed || force.is_some() => {
            Some((Kind::Acceptance, force.unwrap_or(Force::Must)))
        }
        (_, force) if is_scenario(&lower) => Some((Kind::Acceptance, force.unwrap_or(Force::Must))),
        (Some(Kind::Constraint), force) if is_listed || force.is_some() => {
            Some((Kind::Constraint, force.unwrap_or(Force::Must)))
        }
        (Some(Kind::Interface), _) if is_listed && names(sentence) => Some((Kind::Interface, Force::Should)),
        (_, Some(force)) => Some((Kind::Requirement, force)),
        (Some(Kind::Requirement), None) if is_listed && says_something(sentence) => {
            Some((Kind::Requirement, Force::Should))
        }
        (_, None) if is_numbered(sentence) => Some((Kind::Requirement, Force::Should)),
        (_, None) if matches!(shape, Shape::Box { .. }) => Some((Kind::Requirement, Force::Should)),
        (_, None) if is_call(sentence) => Some((Kind::Interface, Force::May)),
        _ => None,
    }
}

fn is_question(sentence: &str, lower: &str) -> bool {
    let begins = ["tbd", "todo", "open:", "open question", "question:", "fixme"];
    let start = sentence.trim_start_matches(['*', '_', '(']).to_lowercase();
    sentence.ends_with('?')
        || begins.iter().any(|word| start.starts_with(word))
        || [
            " tbd ",
            " tbd.",
            "(tbd)",
            " to be decided",
            " to be determined",
            " not yet decided",
            " unclear whether ",
        ]
        .iter()
        .any(|word| lower.contains(word))
}

/// Words of a bound and a number with a unit: "at most 200 ms", "up to 5 MB", "<= 80 %".
fn is_limit(lower: &str) -> bool {
    const BOUNDS: &[&str] = &[
        "at most",
        "at the most",
        "at least",
        "up to",
        "no more than",
        "less than",
        "fewer than",
        "more than",
        "within",
        "under ",
        "below ",
        "above ",
        "maximum",
        "minimum",
        "limit",
        "exceed",
        "<=",
        ">=",
        "≤",
        "≥",
        "not longer than",
    ];
    const UNITS: &[&str] = &[
        "ms",
        "s",
        "sec",
        "second",
        "seconds",
        "minute",
        "minutes",
        "min",
        "h",
        "hour",
        "hours",
        "day",
        "days",
        "week",
        "weeks",
        "%",
        "percent",
        "kb",
        "mb",
        "gb",
        "kib",
        "mib",
        "gib",
        "byte",
        "bytes",
        "line",
        "lines",
        "token",
        "tokens",
        "request",
        "requests",
        "character",
        "characters",
        "user",
        "users",
        "item",
        "items",
        "rps",
        "px",
        "usd",
        "eur",
        "dollars",
        "retries",
        "tries",
        "connections",
        "files",
        "entries",
        "rows",
    ];
    if !BOUNDS.iter().any(|bound| lower.contains(bound)) {
        return false;
    }
    let mut words = lower
        .split(|char: char| char.is_whitespace() || matches!(char, '(' | ')' | ';'))
        .peekable();
    while let Some(word) = words.next() {
        let word = word.trim_matches([',', '.', ':', '`', '*']);
        let digits = word.trim_start_matches(['$', '€', '<', '>', '=', '≤', '≥', '~']);
        let number = digits
            .bytes()
            .take_while(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'.'))
            .count();
        if number == 0 || !digits.as_bytes()[0].is_ascii_digit() {
            continue;
        }
        let unit = &digits[number..];
        let next = words
            .peek()
            .map_or("", |next| next.trim_matches([',', '.', ':', '`', '*']));
        if word.starts_with(['$', '€']) || UNITS.contains(&unit) || (unit.is_empty() && UNITS.contains(&next)) {
            return true;
        }
    }
    false
}

fn is_scenario(lower: &str) -> bool {
    let lower = lower.trim_start_matches([' ', '*']);
    lower.starts_with("given ") && lower.contains(" then ") || lower.starts_with("scenario:")
}

/// `R1: …`, `REQ-12 …`, `FR 3.1 …`: somebody gave it a number to be held to.
fn is_numbered(sentence: &str) -> bool {
    let word = sentence.trim_start_matches(['*', '`', '[', '(']);
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = word.get(letters..).unwrap_or_default().trim_start_matches(['-', '_']);
    let known = ["R", "REQ", "FR", "NFR", "US", "AC", "SR", "UC"].contains(&&word[..letters]);
    let digits = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let after = rest.get(digits..).unwrap_or_default();
    known && digits > 0 && after.starts_with([':', ')', ']', ' ', '*', '`', '.']) && after.len() > 3
}

/// An item that has a name: in code, bold, or before a colon.
fn names(sentence: &str) -> bool {
    sentence.starts_with(['`', '*', '_'])
        || is_call(sentence)
        || sentence.split_once(':').is_some_and(|(name, _)| name.len() < 40)
}

/// A request with its path, or a signature in code.
fn is_call(sentence: &str) -> bool {
    let bare = sentence.trim_start_matches(['`', '*']);
    let method = ["GET /", "POST /", "PUT /", "PATCH /", "DELETE /", "HEAD /"];
    let code = [
        "`fn ",
        "`def ",
        "`class ",
        "`struct ",
        "`interface ",
        "`type ",
        "`enum ",
        "`function ",
        "`func ",
    ];
    method.iter().any(|method| bare.starts_with(method)) || code.iter().any(|code| sentence.contains(code))
}

fn says_something(sentence: &str) -> bool {
    sentence.split_whitespace().count() >= 3
}
