//! Words of code and prose as terms: identifiers split at `camelCase` and `snake_case`, lower case, lightly stemmed.
//!
//! A term is a number, so that an index holds no strings. Terms of different fields never meet.

/// One word in one field, as the index knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Term(pub(crate) u64);

/// Where a word stands, when it is not simply in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// A name that the syntax tree says is used, not defined.
    Reference,
    /// In the path.
    Path,
    /// The last part of what is imported.
    Import,
}

impl Field {
    fn salt(self) -> u64 {
        match self {
            Field::Reference => 0x9e37_79b9_7f4a_7c15,
            Field::Path => 0xc2b2_ae3d_27d4_eb4f,
            Field::Import => 0x1656_67b1_9e37_79f9,
        }
    }
}

/// The longest word that is told apart by all its bytes; longer ones are data.
pub(crate) const WORD_MAX: usize = 64;
/// Words that say nothing about what a text is about.
const STOP: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "does", "for", "from", "has", "have", "how",
    "i", "if", "in", "into", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "should", "so",
    "such", "than", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "we", "were",
    "what", "when", "where", "which", "will", "with", "would", "you", "your",
];

/// A name exactly as written, in a field.
pub(crate) fn exact(field: Field, name: &str) -> Term {
    Term(hash(name.as_bytes()) ^ field.salt())
}

/// The same word in another field.
pub(crate) fn moved(term: Term, field: Field) -> Term {
    Term(term.0 ^ field.salt())
}

/// A stable hash (FNV-1a, finished by a mixer): the index on disk depends on it.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ (state >> 33)
}

/// Calls `found` with every identifier or word of the text: its first byte and the word itself.
pub(crate) fn identifiers<'a>(text: &'a str, mut found: impl FnMut(usize, &'a str)) {
    let bytes = text.as_bytes();
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut at = 0;
    while at < bytes.len() {
        if !part(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && part(bytes[at]) {
            at += 1;
        }
        // Both ends are at ASCII bytes or at the ends of the text: characters are whole.
        found(start, &text[start..at]);
    }
}

/// Calls `found` with every part of an identifier, as written: `HTTPServer_v2` has `HTTP`, `Server` and `v2`.
pub(crate) fn parts<'a>(identifier: &'a str, mut found: impl FnMut(&'a str)) {
    let bytes = identifier.as_bytes();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let ends = match bytes.get(at) {
            None | Some(b'_') => true,
            Some(byte) if byte.is_ascii_uppercase() && at > start => {
                let after_lower = !bytes[at - 1].is_ascii_uppercase();
                let before_lower = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
                after_lower || before_lower
            }
            Some(_) => false,
        };
        if !ends {
            continue;
        }
        if at > start {
            found(&identifier[start..at]);
        }
        start = if bytes.get(at) == Some(&b'_') { at + 1 } else { at };
    }
}

/// Calls `found` with every term of an identifier: one a part, and the whole when it has several parts.
pub(crate) fn terms_of<'a>(identifier: &'a str, mut found: impl FnMut(Term, &'a str)) {
    let mut count = 0;
    parts(identifier, |part| {
        count += 1;
        if let Some(term) = word(part) {
            found(term, part);
        }
    });
    if count > 1 && identifier.len() <= WORD_MAX {
        let mut lower = [0; WORD_MAX];
        found(Term(hash(lowered(identifier, &mut lower))), identifier);
    }
}

/// The term of a single word, none for words that say nothing.
pub(crate) fn word(word: &str) -> Option<Term> {
    if word.len() < 2 || word.len() > WORD_MAX {
        return None;
    }
    let mut lower = [0; WORD_MAX];
    let lower = lowered(word, &mut lower);
    let silent = std::str::from_utf8(lower).is_ok_and(|word| STOP.binary_search(&word).is_ok());
    (!silent).then(|| Term(hash(stem(lower))))
}

/// The word in lower case. At most [`WORD_MAX`] bytes of it.
pub(crate) fn lowered<'a>(word: &str, into: &'a mut [u8; WORD_MAX]) -> &'a [u8] {
    let length = word.len().min(WORD_MAX);
    into[..length].copy_from_slice(&word.as_bytes()[..length]);
    into[..length].make_ascii_lowercase();
    &into[..length]
}

/// The word without its commonest English endings, so that `parse`, `parses`, `parsed` and `parsing` meet.
pub(crate) fn stem(word: &[u8]) -> &[u8] {
    if word.len() < 4 || !word.iter().all(u8::is_ascii_lowercase) {
        return word;
    }
    let mut stem = word;
    if let Some(rest) = stem.strip_suffix(b"s") {
        let kept = rest.ends_with(b"s") || rest.ends_with(b"u") || rest.ends_with(b"i");
        stem = if kept { stem } else { rest };
    }
    for ending in [&b"ing"[..], b"ed"] {
        if let Some(rest) = stem.strip_suffix(ending)
            && rest.len() >= 3
            && rest.iter().any(|byte| b"aeiouy".contains(byte))
        {
            let doubled = rest.len() > 3
                && rest[rest.len() - 1] == rest[rest.len() - 2]
                && !b"lsz".contains(&rest[rest.len() - 1]);
            stem = if doubled { &rest[..rest.len() - 1] } else { rest };
            break;
        }
    }
    match stem.strip_suffix(b"e") {
        Some(rest) if rest.len() >= 3 => rest,
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(identifier: &str) -> Vec<&str> {
        let mut found = Vec::new();
        parts(identifier, |part| found.push(part));
        found
    }

    #[test]
    fn identifiers_are_split_where_people_see_words() {
        for (identifier, expected) in [
            ("parseHTTPServer", vec!["parse", "HTTP", "Server"]),
            ("snake_case_name", vec!["snake", "case", "name"]),
            ("__init__", vec!["init"]),
            ("XMLHttp2Request", vec!["XML", "Http2", "Request"]),
            ("SCREAMING_CASE", vec!["SCREAMING", "CASE"]),
            ("größeÄndern", vec!["größeÄndern"]),
            ("_", vec![]),
        ] {
            assert_eq!(split(identifier), expected, "{identifier}");
        }
    }

    #[test]
    fn forms_of_a_word_meet() {
        for forms in [
            &["parse", "parses", "parsed", "parsing", "Parse", "PARSING"][..],
            &["file", "files", "filed"],
            &["stop", "stopped", "stopping", "stops"],
        ] {
            for form in forms {
                assert_eq!(word(form), word(forms[0]), "{form}");
            }
        }
        assert_ne!(word("status"), word("stat"));
        assert_ne!(word("class"), word("clas"));
    }

    #[test]
    fn stop_words_are_in_order_and_say_nothing() {
        assert!(STOP.is_sorted());
        assert_eq!(word("the"), None);
        assert_eq!(word("With"), None);
        assert_eq!(word("x"), None);
    }

    #[test]
    fn fields_do_not_meet() {
        let fields = [Field::Reference, Field::Path, Field::Import];
        for (place, one) in fields.iter().enumerate() {
            for other in &fields[place + 1..] {
                assert_ne!(exact(*one, "name"), exact(*other, "name"));
            }
        }
    }

    #[test]
    fn any_text_is_taken_apart_without_a_panic() {
        for text in ["", "é", "a\u{0}b", "日本語_テスト", "A", "aB", "_A_", "\u{feff}x"] {
            identifiers(text, |_, identifier| terms_of(identifier, |_, _| {}));
        }
    }
}
