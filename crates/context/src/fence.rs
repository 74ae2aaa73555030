//! Fences of Markdown: which lines of a document are code, so that nothing in them is taken for a heading or a demand.
//!
//! A fence that is never closed is none here. By CommonMark it would reach to the end of the document, and one line would
//! hide all that follows from everybody who reads by structure.

/// Which of these lines stand in a fence or are its marks.
pub(crate) fn fenced(lines: &[&str]) -> Vec<bool> {
    let signs = ['`', '~'];
    // The longest mark that could close a fence of each sign, from each line on.
    let mut longest = vec![[0; 2]; lines.len() + 1];
    for (place, line) in lines.iter().enumerate().rev() {
        longest[place] = longest[place + 1];
        for (best, sign) in longest[place].iter_mut().zip(signs) {
            *best = (*best).max(closes(line, sign));
        }
    }
    let mut inside = vec![false; lines.len()];
    let mut open: Option<(usize, usize)> = None;
    for (place, line) in lines.iter().enumerate() {
        match open {
            Some((sign, least)) => {
                inside[place] = true;
                if closes(line, signs[sign]) >= least {
                    open = None;
                }
            }
            None => {
                open = opens(line, signs).filter(|(sign, least)| longest[place + 1][*sign] >= *least);
                inside[place] = open.is_some();
            }
        }
    }
    inside
}

/// The sign, by its place, and the length of the mark with which a line opens a fence. One of backticks has none behind it.
fn opens(line: &str, signs: [char; 2]) -> Option<(usize, usize)> {
    let line = line.trim();
    let sign = signs.iter().position(|sign| line.starts_with(*sign))?;
    let rest = line.trim_start_matches(signs[sign]);
    let length = line.len() - rest.len();
    let is_code = signs[sign] == '`' && rest.contains('`');
    (length >= 3 && !is_code).then_some((sign, length))
}

/// The length of a line that is nothing but marks; 0 for any other.
fn closes(line: &str, sign: char) -> usize {
    let line = line.trim();
    if line.chars().all(|char| char == sign) {
        line.len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let marks = fenced(&lines).into_iter().map(|inside| if inside { 'x' } else { '.' });
        marks.collect()
    }

    #[test]
    fn fences_nest_by_length_and_sign() {
        assert_eq!(shown("a\n```\nb\n```\nc"), ".xxx.");
        assert_eq!(shown("````\n```\n# a\n```\n````\nb"), "xxxxx.");
        assert_eq!(shown("~~~\n```\n~~~\n# b"), "xxx.");
        assert_eq!(shown("```rust\nfn\n  ```  \nb"), "xxx.");
        assert_eq!(shown("```code``` in a line\n# b\n```\nx\n```"), "..xxx");
    }

    #[test]
    fn one_that_is_never_closed_hides_nothing() {
        assert_eq!(shown("# a\n```\n# b\n# c"), "....");
        assert_eq!(shown("````\n# b\n```\nx\n```\n# c"), "..xxx.");
        let many = "```open\n# heading\n".repeat(10_000);
        assert!(!shown(&many).contains('x'));
    }
}
