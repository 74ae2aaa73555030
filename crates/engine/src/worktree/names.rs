//! What trees, branches and refs of a run are called. Pure.
//!
//! A task's key may hold letters, digits, `_`, `-` and `.`; git does not take every one of those as a part of a
//! branch name, so what it does not take is written as `%2E`. No two keys share a name.

use wheelhouse_core::ids::{RunId, TaskKey};
use wheelhouse_core::time::Millis;

/// The longest part of a name; longer keys are cut and told apart by their hash.
const SLUG_MAX: usize = 120;

/// A task's key as a part of branch and directory names.
pub(crate) fn slug(key: &TaskKey) -> String {
    let text = key.as_str();
    let lock_dot = text
        .len()
        .checked_sub(5)
        .filter(|at| text.is_char_boundary(*at) && text[*at..].eq_ignore_ascii_case(".lock"));
    let mut slug = String::with_capacity(text.len());
    let mut before = '.';
    for (at, letter) in text.char_indices() {
        let last = at + letter.len_utf8() == text.len();
        let plain = match letter {
            '.' => before != '.' && !last && Some(at) != lock_dot,
            other => other.is_ascii_alphanumeric() || matches!(other, '_' | '-'),
        };
        if plain {
            slug.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                slug.push_str(&format!("%{byte:02X}"));
            }
        }
        before = letter;
    }
    if slug.is_empty() || slug.len() > SLUG_MAX {
        let cut: String = slug.chars().take(SLUG_MAX / 2).collect();
        return format!("{cut}%{}", tag(text));
    }
    slug
}

/// A short name of a store, for names that must not meet those of another.
pub(crate) fn tag(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..8].to_owned()
}

/// The directory of a task's tree below `worktrees`, and the name of its record.
pub(crate) fn directory(run: RunId, key: &TaskKey) -> String {
    format!("{run}-{}", slug(key))
}

/// A task as people write it.
pub(crate) fn task(run: RunId, key: &TaskKey) -> String {
    format!("{run}/{key}")
}

/// Why the worktree is locked: says to people and to us whose it is.
pub(crate) fn lock_reason(store: &str, run: RunId, key: &TaskKey) -> String {
    format!("wheelhouse {run}/{key} (store {store})")
}

/// The branches of a run: `PREFIX/KEY` for tasks, `PREFIX.merged` for what was merged. (`PREFIX` alone cannot be a
/// branch beside `PREFIX/KEY`: git keeps them as directories and files.)
pub(crate) fn prefixes(tag: &str, run: RunId) -> [String; 3] {
    let short = &tag[..6.min(tag.len())];
    [
        format!("wheelhouse/{run}"),
        format!("wheelhouse/{run}-{short}"),
        format!("wheelhouse-{short}/{run}"),
    ]
}

/// The branch of a task.
pub(crate) fn branch(prefix: &str, key: &TaskKey) -> String {
    format!("{prefix}/{}", slug(key))
}

/// The branch that the merged work of a run is on.
pub(crate) fn merged_branch(prefix: &str) -> String {
    format!("{prefix}.merged")
}

/// The full name of a branch.
pub(crate) fn head(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Where everything of a store is kept that is no branch.
pub(crate) fn refs(tag: &str) -> String {
    format!("refs/wheelhouse/{tag}")
}

/// The name of something put into the trash: sorts by time, and says the time.
pub(crate) fn trashed(now: Millis, name: &str) -> String {
    format!("{:015}-{name}", now.0)
}

/// When something was put into the trash, by its name.
pub(crate) fn trashed_at(name: &str) -> Option<Millis> {
    name.split_once('-')?.0.parse().ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_git_takes_and_none_twice() {
        let keys = [
            "draft", "a.b", "a..b", "a.%2Eb", "a.lock", "a.LOCK", "a.", ".a", "a", "A-1_2", "été", "a b", "a/b", "",
            "v1.2.3", "a%2E",
        ];
        let slugs: Vec<String> = keys.iter().map(|key| slug(&TaskKey::from(*key))).collect();
        assert_eq!(slugs.iter().collect::<HashSet<_>>().len(), keys.len(), "{slugs:?}");
        for slug in &slugs {
            let bad = slug.contains("..")
                || slug.starts_with('.')
                || slug.ends_with('.')
                || slug.to_ascii_lowercase().ends_with(".lock")
                || slug.contains([' ', '/', '~', '^', ':', '\\']);
            assert!(!bad, "{slug}");
        }
        assert_eq!(slug(&"v1.2.3".into()), "v1.2.3");
        assert_eq!(slug(&"a..b".into()), "a.%2Eb");
    }

    #[test]
    fn long_keys_stay_apart() {
        let long = |end: &str| slug(&TaskKey(format!("{}{end}", "x".repeat(300))));
        assert_ne!(long("1"), long("2"));
        assert!(long("1").len() <= SLUG_MAX);
    }

    #[test]
    fn the_trash_knows_its_times() {
        let name = trashed(Millis(1_760_000_000_000), "r7-draft");
        assert_eq!(name, "001760000000000-r7-draft");
        assert_eq!(trashed_at(&name), Some(Millis(1_760_000_000_000)));
        assert_eq!(trashed_at("r7-draft"), None);
    }
}
