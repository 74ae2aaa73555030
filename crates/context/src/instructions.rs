//! The chain of instruction files (`AGENTS.md`, `CLAUDE.md`) from the top of a project to where a task works.
//!
//! Each directory gives at most one file, the first of the names that it has. The nearest is the most specific, so when
//! the cap is reached it is the farthest that is cut, and the receipt says what. The text is in the order from the top
//! down, so that what is read last, and wins, is the nearest. For agents that do not look for such files by themselves.

use crate::count;
use crate::port::{Files, Unreadable};
use crate::receipt::{Layer, Receipt};

/// All instruction files together, in bytes.
pub const BYTES_MAX: usize = 32 << 10;
/// Directories that are looked into, from the nearest up.
const DEPTH_MAX: usize = 32;

/// The chain for a task that works in `below` (a relative path, empty for the top). `names` in the order of preference.
pub fn chain(files: &dyn Files, below: &str, names: &[String], bytes_max: usize) -> (String, Option<Receipt>) {
    let mut directories = vec![String::new()];
    for part in below.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let parent = directories.last().cloned().unwrap_or_default();
        directories.push(if parent.is_empty() {
            part.to_owned()
        } else {
            format!("{parent}/{part}")
        });
    }
    let mut found = Vec::new();
    let mut receipt = Receipt::new(Layer::Instructions, if below.is_empty() { "." } else { below }, 0, 0);
    let mut left = bytes_max;
    for directory in directories.iter().rev().take(DEPTH_MAX) {
        for name in names {
            let path = if directory.is_empty() {
                name.clone()
            } else {
                format!("{directory}/{name}")
            };
            match files.read(&path) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                    let tokens = count::tokens(&text);
                    receipt.would_tokens += tokens;
                    let kept = &text[..text.floor_char_boundary(left)];
                    left -= kept.len();
                    if kept.len() < text.len() {
                        let gone = tokens.saturating_sub(count::tokens(kept));
                        receipt = receipt.without(&path, "the cap is reached; nearer files came first", gone);
                    }
                    if !kept.is_empty() {
                        found.push(format!("<instructions file=\"{path}\">\n{kept}\n</instructions>\n"));
                    }
                    break;
                }
                Err(Unreadable::Missing(_)) => {}
                Err(error) => receipt = receipt.without(&path, &error.to_string(), 0),
            }
        }
    }
    found.reverse();
    let text = found.concat();
    receipt.sent_tokens = count::tokens(&text);
    let used = receipt.would_tokens > 0 || !receipt.left_out.is_empty();
    (text, used.then_some(receipt))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tree() -> BTreeMap<String, Vec<u8>> {
        [
            ("AGENTS.md", "top"),
            ("CLAUDE.md", "not the first name"),
            ("a/CLAUDE.md", "middle"),
            ("a/b/AGENTS.md", "near"),
            ("c/AGENTS.md", "elsewhere"),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
        .into()
    }

    #[test]
    fn nearer_files_come_last_and_are_cut_last() {
        let names = ["AGENTS.md".to_owned(), "CLAUDE.md".to_owned()];
        let (text, receipt) = chain(&tree(), "a/b", &names, 1_000);
        let order: Vec<&str> = text.lines().filter(|line| !line.starts_with('<')).collect();
        assert_eq!(order, ["top", "middle", "near"]);
        assert!(receipt.unwrap().left_out.is_empty());
        let (text, receipt) = chain(&tree(), "a/b", &names, 12);
        let order: Vec<&str> = text.lines().filter(|line| !line.starts_with('<')).collect();
        assert_eq!(order, ["to", "middle", "near"]);
        assert_eq!(receipt.unwrap().left_out[0].what, "AGENTS.md");
        assert_eq!(chain(&BTreeMap::new(), "", &names, 12), (String::new(), None));
    }
}
