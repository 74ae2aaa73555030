//! Words of names and prose, for searches over small sets: split at `camelCase` and `snake_case`, lower case, lightly
//! stemmed, common words left out.

/// Words that say nothing about what a text is about.
const STOP: &[&str] = &[
    "a", "all", "an", "and", "any", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for", "from", "get",
    "has", "have", "help", "how", "i", "if", "in", "is", "it", "its", "me", "my", "need", "of", "on", "or", "please",
    "so", "some", "that", "the", "their", "them", "these", "this", "to", "tool", "use", "used", "using", "want", "was",
    "what", "when", "where", "which", "who", "will", "with", "would", "you", "your",
];
/// Longer ones are data.
const WORD_MAX: usize = 40;

/// Every word of the text, in order.
pub(crate) fn of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for char in text.chars() {
        let boundary = !char.is_alphanumeric() || (char.is_uppercase() && before.is_lowercase());
        if boundary {
            take(&mut word, &mut words);
        }
        if char.is_alphanumeric() {
            word.extend(char.to_lowercase());
        }
        before = char;
    }
    take(&mut word, &mut words);
    words
}

fn take(word: &mut String, words: &mut Vec<String>) {
    let fits = (2..=WORD_MAX).contains(&word.len());
    if fits && STOP.binary_search(&word.as_str()).is_err() {
        words.push(stem(word).to_owned());
    }
    word.clear();
}

/// Without the commonest English endings, so that `search`, `searches`, `searching` and `searched` meet.
fn stem(word: &str) -> &str {
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word;
    }
    let endings = [
        "ations", "ation", "ings", "ing", "ies", "ied", "es", "ed", "er", "ly", "s", "e", "y",
    ];
    for ending in endings {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.len() >= 3
            && !(ending == "s" && rest.ends_with(['s', 'u', 'i']))
        {
            return rest;
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_apart_and_forms_meet() {
        assert_eq!(
            of("getUserProfiles, user_profile"),
            ["user", "profil", "user", "profil"]
        );
        assert_eq!(of("searches searching searched"), ["search", "search", "search"]);
        assert_eq!(of("the of 漢字 x"), ["漢字"]);
        assert!(STOP.is_sorted());
    }
}
