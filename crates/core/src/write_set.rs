//! Declared write sets: whether two lists of globs can name the same file.
//!
//! The answer errs on the side of "yes": two tasks that are kept apart lose time, two that meet lose work.

/// Whether some path could match a glob of each list. `*` and `?` stay within a path segment, `**` crosses them; a
/// bracket is taken as `*`, a glob with braces as `**`.
pub fn overlap(left: &[String], right: &[String]) -> bool {
    left.iter().any(|l| right.iter().any(|r| globs_meet(l, r)))
}

fn globs_meet(left: &str, right: &str) -> bool {
    let segments = |glob: &str| -> Vec<String> {
        let glob = if glob.contains('{') { "**" } else { glob };
        glob.trim_start_matches("./")
            .split('/')
            .filter(|s| !s.is_empty() && *s != ".")
            .map(str::to_owned)
            .collect()
    };
    meet(&segments(left), &segments(right), &|s| s == "**", &|l, r| {
        segment_meets(l, r)
    })
}

fn segment_meets(left: &str, right: &str) -> bool {
    let letters = |segment: &str| -> Vec<char> {
        match (segment.find('['), segment.rfind(']')) {
            (Some(open), Some(close)) if open < close => segment[..open]
                .chars()
                .chain(['*'])
                .chain(segment[close + 1..].chars())
                .collect(),
            _ => segment.chars().collect(),
        }
    };
    meet(&letters(left), &letters(right), &|c| *c == '*', &|l, r| {
        l == r || *l == '?' || *r == '?'
    })
}

/// Whether two sequences can produce a common one, where a `wild` element stands for any number of elements.
/// Dynamic programming over prefixes: O(n·m), no backtracking blow-up on hostile globs.
fn meet<T>(left: &[T], right: &[T], wild: &dyn Fn(&T) -> bool, same: &dyn Fn(&T, &T) -> bool) -> bool {
    let mut row = vec![false; right.len() + 1];
    for i in 0..=left.len() {
        let mut diagonal = false;
        for j in 0..=right.len() {
            let above = row[j];
            row[j] = if i == 0 && j == 0 {
                true
            } else {
                let l = (i > 0).then(|| &left[i - 1]);
                let r = (j > 0).then(|| &right[j - 1]);
                let beside = j > 0 && row[j - 1];
                l.is_some_and(wild) && (above || beside)
                    || r.is_some_and(wild) && (beside || (i > 0 && above))
                    || matches!((l, r), (Some(l), Some(r)) if same(l, r) && diagonal)
            };
            diagonal = above;
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_that_meet_and_globs_that_do_not() {
        let meets = [
            ("src/**", "src/auth/mod.rs"),
            ("src/auth/**", "src/**"),
            ("**/*.rs", "src/lib.rs"),
            ("src/*.rs", "src/l?b.rs"),
            ("./src/a.rs", "src/a.rs"),
            ("a*c", "ab*"),
            ("**", "anything/at/all"),
            ("src/[ab].rs", "src/a.rs"),
            ("src/{a,b/c}.rs", "src/b/c.rs"),
        ];
        for (left, right) in meets {
            assert!(globs_meet(left, right), "{left} {right}");
            assert!(globs_meet(right, left), "{right} {left}");
        }
        let apart = [
            ("src/auth/**", "src/db/**"),
            ("src/*.rs", "src/deep/lib.rs"),
            ("*.md", "*.rs"),
            ("docs", "docs2"),
            ("a", "a/b"),
        ];
        for (left, right) in apart {
            assert!(!globs_meet(left, right), "{left} {right}");
            assert!(!globs_meet(right, left), "{right} {left}");
        }
    }

    #[test]
    fn nothing_declared_meets_nothing() {
        assert!(!overlap(&[], &["**".to_owned()]));
    }
}
