//! The terminal: the only room that writes to stdout and stderr.
//!
//! Data goes to stdout, talk to stderr. Text that came from agents, files or commands is made [`plain`] before it is
//! shown, so that nothing in it can move a cursor or set a title.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use wheelhouse_context::project::project;

use crate::args::{Color, Global};
use crate::exit;
use crate::failure::Failure;

/// The width assumed where there is no terminal.
const WIDTH_DEFAULT: usize = 100;
/// The narrowest width that layouts keep to; below it lines may break.
pub(crate) const WIDTH_MIN: usize = 40;

/// Where output goes and how it may look.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// Whether stdout gets JSON.
    pub(crate) json: bool,
    /// What of a JSON document is wanted; everything when nothing is said.
    fields: Option<String>,
    /// Whether stderr gets nothing but warnings and errors.
    pub(crate) quiet: bool,
    /// stdout.
    pub(crate) out: Surface,
    /// stderr.
    pub(crate) err: Surface,
}

/// One of the two streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surface {
    /// Whether a person looks at it.
    pub(crate) tty: bool,
    /// How many columns there are.
    pub(crate) width: usize,
    /// How to make words stand out.
    pub(crate) paint: Paint,
}

impl Surface {
    /// A line for a person, broken between words where it is wider than the terminal; whole for everybody else.
    pub(crate) fn broken(self, line: &str) -> String {
        if !self.tty || columns(line) <= self.width {
            return format!("{line}\n");
        }
        let lines = wrap(line, self.width.saturating_sub(2));
        let indented = lines.iter().enumerate().map(|(place, line)| match place {
            0 => format!("{line}\n"),
            _ => format!("  {line}\n"),
        });
        indented.collect()
    }
}

impl Terminal {
    /// Looks at the streams and at what was asked for.
    pub(crate) fn new(global: &Global, env: &BTreeMap<String, String>) -> Self {
        let out_tty = io::stdout().is_terminal();
        let err_tty = io::stderr().is_terminal();
        let surface = |tty: bool| Surface {
            tty,
            width: width(env),
            paint: Paint(colored(global.color, tty, env)),
        };
        Terminal {
            json: global.json || global.fields.is_some(),
            fields: global.fields.clone(),
            quiet: global.quiet,
            out: surface(out_tty),
            err: surface(err_tty),
        }
    }

    /// Prints data, as it is.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        self.print_bytes(text.as_bytes())
    }

    /// Prints data, byte for byte.
    pub(crate) fn print_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // Whoever read has seen enough (`| head`): that is no failure of ours.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::new(exit::OK, "")),
            Err(error) => Err(Failure::new(exit::IO, format!("cannot write to stdout: {error}"))),
        }
    }

    /// Prints the end of work that stands whether or not anybody reads about it to the end.
    pub(crate) fn print_regardless(&self, text: &str) -> Result<(), Failure> {
        match self.print(text) {
            Err(failure) if failure.exit == exit::OK => Ok(()),
            other => other,
        }
    }

    /// Prints one JSON document on one line when somebody pipes it, indented when a person looks.
    pub(crate) fn print_json(&self, document: &impl serde::Serialize) -> Result<(), Failure> {
        let cannot = |error: serde_json::Error| Failure::new(exit::IO, format!("cannot write JSON: {error}"));
        let Some(fields) = &self.fields else {
            return self.print_document(document).map_err(cannot)?;
        };
        let whole = serde_json::to_value(document).map_err(cannot)?;
        // What was asked for is done; a word that is wrong must not hide what came of it.
        let kept = project(&whole, fields).unwrap_or_else(|miss| {
            self.warn(&format!("`--fields {fields}`: {miss}; this is the whole document"));
            whole
        });
        self.print_document(&kept).map_err(cannot)?
    }

    fn print_document(&self, document: &impl serde::Serialize) -> serde_json::Result<Result<(), Failure>> {
        let text = match self.out.tty {
            true => serde_json::to_string_pretty(document)?,
            false => serde_json::to_string(document)?,
        };
        Ok(self.print(&format!("{text}\n")))
    }

    /// Prints one JSON document on exactly one line, for streams of them.
    pub(crate) fn print_json_line(&self, document: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::new(exit::IO, format!("cannot write JSON: {error}")))?;
        self.print(&format!("{text}\n"))
    }

    /// Says something in passing; silent when quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.warn(text);
        }
    }

    /// Says something that must be seen. A closed stderr is nobody's fault and nobody's loss.
    pub(crate) fn warn(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Asks a person at the terminal: yes or no, and nothing said is no. None: nobody is there to be asked.
    pub(crate) fn agrees(&self, question: &str) -> Option<bool> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let mut screen = io::stderr().lock();
        let _ = write!(screen, "{question} [y/N] ").and_then(|()| screen.flush());
        let mut line = String::new();
        // An end of the input is no agreement.
        let _ = io::BufRead::read_line(&mut stdin.lock(), &mut line);
        Some(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Prints the end of a command that failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let mut text = format!("{} {}", self.err.paint.bad("error:"), failure.message.trim_end());
        if !failure.hints.is_empty() {
            text.push('\n');
        }
        for hint in &failure.hints {
            text.push_str(&format!("\n{} {hint}", self.err.paint.dim("hint:")));
        }
        self.warn(&text);
    }
}

/// Draws on stderr: text with escape sequences of ours. A closed stderr loses the picture and nothing else.
pub(crate) fn draw_err(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// The same on stdout. A terminal that is gone has nobody to show this to.
pub(crate) fn draw_out(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn width(env: &BTreeMap<String, String>) -> usize {
    let asked = env.get("COLUMNS").and_then(|columns| columns.parse().ok());
    let seen = || terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| usize::from(columns));
    asked
        .filter(|columns| *columns > 0)
        .or_else(seen)
        .unwrap_or(WIDTH_DEFAULT)
        .max(WIDTH_MIN)
}

fn colored(asked: Color, tty: bool, env: &BTreeMap<String, String>) -> bool {
    let refused = env.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env.get("TERM").is_some_and(|term| term == "dumb");
    match asked {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => tty && !refused && !dumb,
    }
}

/// Makes words stand out, or leaves them alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Headings.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters least.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Success.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Failure.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// What needs a person.
    pub(crate) fn warm(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// What is under way.
    pub(crate) fn live(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// The text without anything that steers a terminal: control characters but line ends and tabs, and the invisible
/// ones that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The text on one line: plain, with every run of white space as one space.
pub(crate) fn one_line(text: &str) -> String {
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How many columns the text takes, escape sequences of ours not counted.
pub(crate) fn columns(text: &str) -> usize {
    if !text.contains('\x1b') {
        return text.width();
    }
    let mut count = 0;
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\x1b') => escaped = true,
            (true, 'm') => escaped = false,
            (true, _) => {}
            (false, c) => count += c.width().unwrap_or(0),
        }
    }
    count
}

/// The text cut to so many columns, with `…` where something is missing. For text without escape sequences.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// The text filled up with spaces to so many columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// The text broken into lines of at most so many columns at white space; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let indent: String = paragraph.chars().take_while(|c| *c == ' ').collect();
        let mut line = indent.clone();
        let mut empty = true;
        for word in paragraph.split_whitespace() {
            if !empty && columns(&line) + 1 + columns(word) > width {
                lines.push(std::mem::replace(&mut line, indent.clone()));
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn colour_only_where_somebody_looks_and_nobody_objects() {
        assert!(colored(Color::Auto, true, &env(&[])));
        assert!(!colored(Color::Auto, false, &env(&[])));
        assert!(!colored(Color::Auto, true, &env(&[("NO_COLOR", "1")])));
        assert!(colored(Color::Auto, true, &env(&[("NO_COLOR", "")])));
        assert!(!colored(Color::Auto, true, &env(&[("TERM", "dumb")])));
        assert!(colored(Color::Always, false, &env(&[("NO_COLOR", "1")])));
        assert!(!colored(Color::Never, true, &env(&[])));
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b]0;title\x07b\n\tc"), "a\u{fffd}]0;title\u{fffd}b\n\tc");
        assert_eq!(plain("\u{202e}gpj.exe"), "\u{fffd}gpj.exe");
        assert_eq!(one_line("  a \n b\r\n"), "a b");
    }

    #[test]
    fn cutting_and_padding_count_columns() {
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("abcd", 4), "abcd");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(pad("日", 4), "日  ");
        assert_eq!(columns("\x1b[31mred\x1b[0m"), 3);
    }

    #[test]
    fn wrapping_keeps_indents_and_blank_lines() {
        assert_eq!(wrap("aa bb cc\n\n  dd ee", 5), ["aa bb", "cc", "", "  dd", "  ee"]);
    }
}
