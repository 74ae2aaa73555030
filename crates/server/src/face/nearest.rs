//! Which existing name a person may have meant.

/// The nearest of `exist` to `asked`, when it is near enough to be worth naming.
pub fn name<'a>(asked: &str, exist: &'a [String]) -> Option<&'a String> {
    let asked_low = asked.to_lowercase();
    exist
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&asked_low, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= reach(asked.len().max(name.len())))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A third of the longer name, at least one letter.
fn reach(length: usize) -> usize {
    (length / 3).max(1)
}

/// The names as people list them: `` `a`, `b` and 3 more``.
pub fn list(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    match (shown.split_last(), more) {
        (None, _) => "nothing".to_owned(),
        (Some((last, [])), 0) => last.clone(),
        (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
        (Some(_), more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let exist = names(&["parallel_max", "output_max", "grace"]);
        assert_eq!(name("paralel_max", &exist).map(String::as_str), Some("parallel_max"));
        assert_eq!(name("Grace", &exist).map(String::as_str), Some("grace"));
        assert_eq!(name("colour", &exist), None);
    }

    #[test]
    fn lists_read_well() {
        assert_eq!(list(&names(&[]), 3), "nothing");
        assert_eq!(list(&names(&["a"]), 3), "`a`");
        assert_eq!(list(&names(&["a", "b", "c"]), 3), "`a`, `b` and `c`");
        assert_eq!(list(&names(&["a", "b", "c", "d"]), 3), "`a`, `b`, `c` and 1 more");
    }
}
