//! Where in a command a quoted word keeps its meaning.
//!
//! Follows the text of a command up to each place where text of a task is to go, and refuses every place where a
//! single-quoted word would not be read as one word. Not a shell: where it would have to be one to be sure (here-
//! documents, backquotes, `${…}`, arithmetic, subscripts, `case` inside `$( )`), it refuses.

/// Where reading stands.
#[derive(Default)]
pub(super) struct Shell {
    frames: Vec<Frame>,
    quote: Quote,
    /// The last character, for what it does to the next one.
    last: Last,
    /// What stood before an unescaped backslash.
    before_escape: Last,
    /// Set once nothing after can be judged any more.
    lost: Option<&'static str>,
    /// The word being read, as far as it matters (`case`).
    word: String,
}

/// What an open bracket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// `( … )`, a subshell, a function or an arithmetic part.
    Paren,
    /// `$( … )`, with the quote it was opened in.
    Command { in_double: bool },
    /// `${ … }`, with the quote it was opened in.
    Brace { in_double: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Quote {
    #[default]
    None,
    Single,
    Double,
    Comment,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Last {
    /// The start, a blank or an operator: `#` opens a comment here.
    #[default]
    Break,
    /// An opening bracket: like a break, but a second one means arithmetic.
    Open,
    /// A letter of a word.
    Letter,
    /// An unescaped backslash: the next character is taken as it is.
    Escape,
    /// A `=`, which with a bracket opens the array of some shells.
    Equals,
    /// An unescaped `$`.
    Dollar,
    /// `$$`, a parameter of its own.
    Pid,
    /// An unescaped `<`.
    Less,
}

impl Shell {
    /// Reads on over text of the plan.
    pub(super) fn read(&mut self, text: &str) {
        for letter in text.chars() {
            if self.lost.is_some() {
                return;
            }
            self.letter(letter);
        }
    }

    /// Whether a quoted word may stand here; else what this place is.
    pub(super) fn place(&self) -> Result<(), &'static str> {
        if let Some(lost) = self.lost {
            return Err(lost);
        }
        match self.quote {
            Quote::Single => return Err("inside the single quotes"),
            Quote::Double => return Err("inside the double quotes"),
            Quote::Comment => return Err("into a comment"),
            Quote::None => {}
        }
        if self.frames.iter().any(|frame| matches!(frame, Frame::Brace { .. })) {
            return Err("inside a `${…}`");
        }
        match self.last {
            Last::Escape => Err("after a backslash"),
            Last::Dollar | Last::Pid => Err("right after a `$`"),
            Last::Break | Last::Open | Last::Letter | Last::Equals | Last::Less => Ok(()),
        }
    }

    /// Takes a quoted word at this place.
    pub(super) fn take_word(&mut self) -> Result<(), &'static str> {
        self.place()?;
        self.last = Last::Letter;
        Ok(())
    }

    fn letter(&mut self, letter: char) {
        match self.quote {
            Quote::Single => {
                if letter == '\'' {
                    self.quote = Quote::None;
                }
                self.last = Last::Letter;
            }
            Quote::Comment => {
                if letter == '\n' {
                    self.quote = Quote::None;
                    self.last = Last::Break;
                }
            }
            Quote::None | Quote::Double => self.outside_single(letter),
        }
    }

    fn outside_single(&mut self, letter: char) {
        let last = std::mem::replace(&mut self.last, Last::Letter);
        if last == Last::Escape {
            if letter == '\n' {
                // A continued line: the shell reads on as if nothing had been there.
                self.last = self.before_escape;
            }
            return;
        }
        match letter {
            '\\' => {
                self.before_escape = last;
                self.last = Last::Escape;
            }
            '`' => self.lost = Some("after the first backquote"),
            '$' if last == Last::Dollar => self.last = Last::Pid,
            '$' => self.last = Last::Dollar,
            // dash reads `$$` and a bracket, bash an opening `$(`.
            '(' | '{' if last == Last::Pid => self.lost = Some("after a `$$(`"),
            '[' if last == Last::Dollar => self.lost = Some("after a `$[`"),
            '(' if last == Last::Dollar => self.open(Frame::Command {
                in_double: self.quote == Quote::Double,
            }),
            '{' if last == Last::Dollar => self.open(Frame::Brace {
                in_double: self.quote == Quote::Double,
            }),
            _ if matches!(self.frames.last(), Some(Frame::Brace { .. })) => self.in_brace(letter),
            '"' if self.quote == Quote::Double => self.quote = Quote::None,
            _ if self.quote == Quote::Double => {}
            _ => self.plain(letter, last),
        }
        self.watch_for_case(letter);
    }

    /// Whether quotes count inside `${…}` depends on the shell and on the operator.
    fn in_brace(&mut self, letter: char) {
        match letter {
            '}' => self.close(),
            '\'' | '"' => self.lost = Some("after quotes in a `${…}`"),
            _ => {}
        }
    }

    fn plain(&mut self, letter: char, last: Last) {
        match letter {
            '"' => self.quote = Quote::Double,
            '\'' if matches!(last, Last::Dollar | Last::Pid) => self.lost = Some("after a `$'…'`"),
            '\'' => self.quote = Quote::Single,
            // Arithmetic is read like text in double quotes, single ones mean nothing in it.
            '(' if last == Last::Open => self.lost = Some("after a `((`"),
            '(' if last == Last::Equals => self.lost = Some("after a `=(`"),
            '=' => self.last = Last::Equals,
            '[' if last == Last::Letter => self.lost = Some("after a `[` in a word"),
            '(' => self.open(Frame::Paren),
            ')' if !self.frames.is_empty() => self.close(),
            '<' if last == Last::Less => self.lost = Some("after a `<<`"),
            '<' => self.last = Last::Less,
            '#' if matches!(last, Last::Break | Last::Open) => self.quote = Quote::Comment,
            _ if letter.is_whitespace() || matches!(letter, ';' | '&' | '|' | ')' | '>') => self.last = Last::Break,
            _ => {}
        }
    }

    fn open(&mut self, frame: Frame) {
        self.frames.push(frame);
        self.quote = Quote::None;
        self.last = Last::Open;
        if self.frames.len() > 100 {
            self.lost = Some("this deep in the brackets");
        }
    }

    fn close(&mut self) {
        // After `)` of a subshell `#` opens a comment; after `$(…)` and `${…}` the word goes on.
        let (quote, last) = match self.frames.pop() {
            Some(Frame::Command { in_double: true } | Frame::Brace { in_double: true }) => {
                (Quote::Double, Last::Letter)
            }
            Some(Frame::Command { in_double: false } | Frame::Brace { in_double: false }) => {
                (Quote::None, Last::Letter)
            }
            Some(Frame::Paren) | None => (Quote::None, Last::Break),
        };
        self.quote = quote;
        self.last = last;
    }

    /// `case x in a)` closes a bracket that nobody opened; inside brackets the count is lost with it.
    fn watch_for_case(&mut self, letter: char) {
        if letter.is_ascii_alphabetic() && self.word.len() < 8 {
            self.word.push(letter);
            return;
        }
        if self.word == "case" && !self.frames.is_empty() {
            self.lost = Some("after a `case` in brackets");
        }
        self.word.clear();
    }
}
