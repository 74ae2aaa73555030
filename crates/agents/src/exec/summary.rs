//! What a command said, in short: a deterministic extract that is bounded and safe to print. Pure.

use crate::output::Part;

/// The longest summary, in characters.
pub const SUMMARY_CHARS_MAX: usize = 2_000;

/// Output of up to so many lines and characters is its own summary.
const WHOLE_LINES_MAX: usize = 12;
const WHOLE_CHARS_MAX: usize = 1_000;

/// Of more, so many of the last lines are shown, each up to so many characters.
const LAST_LINES: usize = 10;
const LINE_CHARS_MAX: usize = 150;

/// The summary of a command that ended with `status`. On success its output speaks, else its errors, and the other
/// one where there is nothing.
pub(super) fn summary(status: &str, succeeded: bool, output: &Part, errors: &Part) -> String {
    let said = Said::of("output", output);
    let complained = Said::of("errors", errors);
    let (first, second) = if succeeded {
        (said, complained)
    } else {
        (complained, said)
    };
    let chosen = if first.lines.is_empty() { second } else { first };
    if chosen.lines.is_empty() {
        return format!("{status}, no output");
    }
    let text = chosen.extract();
    let whole = if succeeded && chosen.name == "output" {
        text
    } else if succeeded {
        format!("{status}, nothing but errors:\n{text}")
    } else {
        format!("{status}\n{text}")
    };
    shortened(&whole, SUMMARY_CHARS_MAX)
}

/// The last line of a stream that says anything, for a detail.
pub(super) fn last_line(part: &Part) -> Option<String> {
    let lines = Said::of("", part).lines;
    Some(shortened(lines.last()?, LINE_CHARS_MAX))
}

/// A stream as lines for people; lines that say nothing are left out.
struct Said<'a> {
    name: &'a str,
    part: &'a Part,
    lines: Vec<String>,
}

impl<'a> Said<'a> {
    fn of(name: &'a str, part: &'a Part) -> Said<'a> {
        let text = String::from_utf8_lossy(&part.bytes);
        let lines = text.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
        Said { name, part, lines }
    }

    fn extract(&self) -> String {
        let chars: usize = self.lines.iter().map(|line| line.chars().count() + 1).sum();
        let fits = self.lines.len() <= WHOLE_LINES_MAX && chars <= WHOLE_CHARS_MAX;
        if self.lines.len() == 1 || fits {
            return self.lines.join("\n");
        }
        let last = &self.lines[self.lines.len().saturating_sub(LAST_LINES).max(1)..];
        let counted = match self.part.dropped {
            0 => format!(
                "{} lines, {} bytes of {}",
                self.lines.len(),
                self.part.written,
                self.name
            ),
            dropped => format!(
                "{} bytes of {}, {dropped} of them not kept",
                self.part.written, self.name
            ),
        };
        let mut text = format!(
            "{counted}. First line:\n{}\nLast lines:",
            shortened(&self.lines[0], LINE_CHARS_MAX)
        );
        for line in last {
            text.push('\n');
            text.push_str(&shortened(line, LINE_CHARS_MAX));
        }
        text
    }
}

/// A line without what only a terminal understands: colours and cursor movements go, and of a progress line that
/// overwrites itself the last state stays.
fn plain(line: &str) -> String {
    let line = line.trim_end();
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => text.push(character),
            _ if character.is_control() => {}
            _ => text.push(character),
        }
    }
    text
}

/// Passes over the rest of an escape sequence: `[` to its final letter, `]` to its terminator, else one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => {
            for character in characters.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&character) {
                    break;
                }
            }
        }
        Some(']') => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' {
                    break;
                }
                if character == '\u{1b}' {
                    characters.next_if_eq(&'\\');
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
}

/// At most `max` characters; an ellipsis says that there was more.
fn shortened(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: impl AsRef<[u8]>) -> Part {
        let bytes = bytes.as_ref().to_vec();
        Part {
            written: bytes.len() as u64,
            bytes,
            dropped: 0,
        }
    }

    fn success(output: impl AsRef<[u8]>, errors: &str) -> String {
        summary("exit 0", true, &part(output), &part(errors))
    }

    #[test]
    fn short_output_is_its_own_summary() {
        assert_eq!(success("", ""), "exit 0, no output");
        assert_eq!(success("\n \n", ""), "exit 0, no output");
        assert_eq!(success("42\n", "noise"), "42");
        assert_eq!(success("a\n\nb\n", ""), "a\nb");
        assert_eq!(success("", "warning: w\n"), "exit 0, nothing but errors:\nwarning: w");
    }

    #[test]
    fn of_long_output_first_and_last_lines_with_counts() {
        let output: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let text = success(&output, "");
        assert_eq!(
            text,
            "100 lines, 792 bytes of output. First line:\nline 1\nLast lines:\nline 91\nline 92\nline 93\n\
             line 94\nline 95\nline 96\nline 97\nline 98\nline 99\nline 100"
        );
    }

    #[test]
    fn failures_show_their_errors() {
        let failed = |output: &str, errors: &str| summary("exit 2", false, &part(output), &part(errors));
        assert_eq!(failed("progress\n", "boom\n"), "exit 2\nboom");
        assert_eq!(failed("only this\n", ""), "exit 2\nonly this");
        assert_eq!(failed("", ""), "exit 2, no output");
    }

    #[test]
    fn summaries_are_bounded_whatever_comes() {
        let long = "é".repeat(100_000);
        assert_eq!(success(&long, "").chars().count(), SUMMARY_CHARS_MAX);
        let many: String = (0..50).map(|_| format!("{}\n", "é".repeat(5_000))).collect();
        assert!(success(&many, "").chars().count() <= SUMMARY_CHARS_MAX);
        let failed = summary("exit 2", false, &part(&many), &part(&many));
        assert!(failed.chars().count() <= SUMMARY_CHARS_MAX);
    }

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        assert_eq!(success(b"\x1b[31mred\x1b[0m \xff\x07end\n", ""), "red \u{fffd}end");
        assert_eq!(success("\u{1b}]0;title\u{7}a\u{1b}]8;;x\u{1b}\\b\u{1b}c\n", ""), "ab");
        assert_eq!(success(" 10%\r 50%\r100%\n", ""), "100%");
        assert_eq!(success("dos\r\nlines\r\n", ""), "dos\nlines");
        assert_eq!(success("cut \u{1b}[", ""), "cut ");
    }

    #[test]
    fn what_was_dropped_is_said() {
        let part = Part {
            bytes: (0..40).flat_map(|n| format!("{n}\n").into_bytes()).collect(),
            written: 1_000_000,
            dropped: 999_000,
        };
        let text = summary("exit 0", true, &part, &super::tests::part(""));
        assert!(
            text.starts_with("1000000 bytes of output, 999000 of them not kept. "),
            "{text}"
        );
    }
}
