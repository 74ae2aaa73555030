//! The nearest existing name to one that does not exist, by edit distance, within a budget of work.

/// How many names may be looked at for all suggestions of a plan together.
const NAMES_MAX: usize = 5_000_000;
/// How many cells of distance tables may be filled for all suggestions of a plan together.
const CELLS_MAX: usize = 20_000_000;
/// A name longer than this gets no suggestion.
const LETTERS_MAX: usize = 64;

/// What is left of the budget.
pub(crate) struct Nearest {
    names: usize,
    cells: usize,
}

impl Default for Nearest {
    fn default() -> Self {
        Nearest {
            names: NAMES_MAX,
            cells: CELLS_MAX,
        }
    }
}

impl Nearest {
    /// The nearest name, when one is near enough to be meant: a third of its letters may differ, at the most three.
    /// The first of equals. Case does not count as a difference. Nothing once the budget is used up.
    pub(crate) fn among<'a>(&mut self, found: &str, exist: impl Iterator<Item = &'a str>) -> Option<String> {
        if found.is_empty() || found.len() > LETTERS_MAX {
            return None;
        }
        let wanted = found.to_ascii_lowercase().into_bytes();
        let mut best: Option<(usize, &str)> = None;
        for name in exist {
            self.names = self.names.checked_sub(1)?;
            let limit = best.map_or(wanted.len().div_ceil(3).min(3), |(distance, _)| {
                distance.saturating_sub(1)
            });
            if name.len().abs_diff(wanted.len()) > limit || name.len() > LETTERS_MAX || name == found {
                continue;
            }
            let name_lower = name.to_ascii_lowercase();
            let (left, right) = differing(&wanted, name_lower.as_bytes());
            self.cells = self.cells.checked_sub(1 + left.len() * right.len())?;
            let distance = distance(left, right);
            if distance <= limit {
                best = Some((distance, name));
                if distance <= 1 {
                    break;
                }
            }
        }
        best.map(|(_, name)| name.to_owned())
    }
}

/// What is left of both without their common start and end, which cost no edits.
fn differing<'a>(left: &'a [u8], right: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let start = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let (left, right) = (&left[start..], &right[start..]);
    let end = left
        .iter()
        .rev()
        .zip(right.iter().rev())
        .take_while(|(l, r)| l == r)
        .count();
    (&left[..left.len() - end], &right[..right.len() - end])
}

/// Optimal string alignment: insertions, deletions, substitutions, and neighbours swapped, over bytes.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let width = right.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut above: Vec<usize> = (0..width).collect();
    for (i, l) in left.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, r) in right.iter().enumerate() {
            let substituted = above[j] + usize::from(l != r);
            row[j + 1] = substituted.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *l == right[j - 1] && left[i - 1] == *r {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let keys = ["prompt", "prompt_file", "priority", "needs", "id"];
        let nearest = |found| Nearest::default().among(found, keys.into_iter());
        for (found, expected) in [
            ("promt", Some("prompt")),
            ("pormpt", Some("prompt")),
            ("Prompt", Some("prompt")),
            ("need", Some("needs")),
            ("priorty", Some("priority")),
            ("colour", None),
            ("", None),
            ("i", Some("id")),
        ] {
            assert_eq!(nearest(found).as_deref(), expected, "{found}");
        }
    }

    #[test]
    fn the_budget_ends() {
        let mut nearest = Nearest { names: 3, cells: 1_000 };
        let names = ["aaaa", "bbbb", "cccc", "dddx"];
        assert_eq!(nearest.among("dddd", names.into_iter()), None);
        assert_eq!(nearest.among("aaab", names.into_iter()), None);
    }
}
