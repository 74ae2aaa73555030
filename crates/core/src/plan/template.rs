//! Templates: how results and variables get into prompts and commands.
//!
//! Owns the one construct there is, `{{ … }}`, its check when a plan is read and its filling when a task starts.
//! Called by the reader of plans and by the engine. Does not compute: no filters, loops or conditions, so text from
//! a task can only ever appear marked (in a prompt) or quoted (in a command), never decide what is around it. Every
//! other brace is plain text, because shell (`${#x}`), awk and JSON are full of them.

mod shell;

use std::collections::BTreeMap;
use std::fmt;

use shell::Shell;

use crate::verdict;

/// The most a filled-in text may come to, in bytes.
pub const RENDERED_BYTES_MAX: usize = 64 << 20;
/// How long one `{{ … }}` may be, in bytes: how far reading looks for its end.
const EXPRESSION_BYTES_MAX: usize = 1_024;

/// What a text becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Words for an agent: text from tasks is wrapped and marked as untrusted.
    Prompt,
    /// A command for `sh -c`: text from tasks is quoted as one word.
    Shell,
}

/// The part of a result that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The bounded summary; also what `{{ tasks.X }}` alone means.
    Summary,
    /// The whole result, bounded by the engine.
    Result,
    /// The verdict.
    Verdict,
    /// The changed files, one a line.
    Files,
    /// The path of the output as a file.
    Artifact,
}

impl Field {
    /// Every field, for messages that say what exists.
    pub const ALL: [Field; 5] = [
        Field::Summary,
        Field::Result,
        Field::Verdict,
        Field::Files,
        Field::Artifact,
    ];

    /// The name, as written in templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Summary => "summary",
            Field::Result => "result",
            Field::Verdict => "verdict",
            Field::Files => "files",
            Field::Artifact => "artifact",
        }
    }

    fn parse(text: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.as_str() == text)
    }
}

/// What one `{{ … }}` stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Name {
    /// `{{ vars.x }}`
    Var(String),
    /// `{{ tasks.x.summary }}`
    Task {
        /// The task. When no field was recognised this is everything after `tasks.`, so `facts.sumary` lands here.
        task: String,
        /// The part of its result.
        field: Field,
        /// Whether the field was written out.
        explicit: bool,
    },
    /// `{{ "{{" }}`: the text itself, for braces that are meant.
    Literal(String),
    /// `{{ item }}`: the input that a step of a `map` is about.
    Item,
    /// `{{ results }}`: what all steps of a `map` came to, in its reduce.
    Results,
    /// `{{ with.x }}`: a parameter of a reusable text, filled in when the plan is read.
    With(String),
}

/// One `{{ … }}` of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// What it stands for.
    pub name: Name,
    /// Where it opens, in bytes from the start of the text.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// A text that is not a template, or cannot be filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Where, in bytes from the start of the text.
    pub at: usize,
}

/// What is wrong with a template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ErrorKind {
    /// `{{` without `}}`.
    #[error("`{{{{` is never closed by `}}}}`")]
    Unclosed,
    /// Nothing between the braces.
    #[error("there is nothing between `{{{{` and `}}}}`")]
    Empty,
    /// A name that is neither `vars` nor `tasks`.
    #[error("`{found}` is not known here; a template knows `vars` and `tasks`")]
    UnknownRoot {
        /// The name.
        found: String,
    },
    /// Something other than a name, or more than one.
    #[error("`{found}` is not a name such as `vars.area` or `tasks.facts.summary`")]
    NotAName {
        /// The text.
        found: String,
    },
    /// `tasks["x"].fild`.
    #[error("a result has no `{found}`")]
    UnknownField {
        /// The field.
        found: String,
    },
    /// A variable that is not defined.
    #[error("no variable is called `{found}`")]
    UnknownVar {
        /// The variable.
        found: String,
    },
    /// A place in a command where quoting cannot hold.
    #[error("text of a task cannot be put {place} of a command")]
    Shell {
        /// Which place.
        place: &'static str,
    },
    /// The filled-in text is too long.
    #[error("the filled-in text comes to more than {RENDERED_BYTES_MAX} bytes")]
    TooLong,
}

impl ErrorKind {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            ErrorKind::Unclosed | ErrorKind::Empty | ErrorKind::UnknownRoot { .. } | ErrorKind::NotAName { .. } => {
                "write `{{ vars.NAME }}` or `{{ tasks.ID.summary }}`; braces that are meant are written `{{ \"{{\" }}`"
                    .to_owned()
            }
            ErrorKind::UnknownField { .. } => format!("it has {}", field_list()),
            ErrorKind::UnknownVar { .. } => "define it under `vars:`".to_owned(),
            ErrorKind::Shell { .. } => {
                "assign it first, then use the variable: `x={{ tasks.ID.summary }}; echo \"$x\"`; \
                 it is quoted already"
                    .to_owned()
            }
            ErrorKind::TooLong => "use `artifact` (a path) in place of `result`".to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Error {}

/// Every `{{ … }}` of a text, or everything that is wrong with them.
pub fn check(text: &str) -> Result<Vec<Use>, Vec<Error>> {
    let (uses, errors) = examine(text);
    if errors.is_empty() { Ok(uses) } else { Err(errors) }
}

/// The sound ones and the broken ones of a text.
pub(crate) fn examine(text: &str) -> (Vec<Use>, Vec<Error>) {
    let mut uses = Vec::new();
    let mut errors = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(_) => {}
            Piece::Use(one) => uses.push(one),
            Piece::Bad(error) => errors.push(error),
        }
    }
    (uses, errors)
}

/// Places of a command in which quoting would not hold: inside quotes, comments, here-documents, backquotes, right
/// after `$`. Variables count with their values, since they are inserted as they are.
pub fn check_shell(text: &str, vars: &BTreeMap<String, String>) -> Vec<Error> {
    let mut shell = Shell::default();
    let mut errors = Vec::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(plain) => shell.read(plain),
            Piece::Use(one) => match &one.name {
                Name::Var(name) => shell.read(vars.get(name).map_or("", String::as_str)),
                Name::Literal(literal) => shell.read(literal),
                Name::Task { .. } | Name::Item | Name::Results | Name::With(_) => {
                    if let Err(place) = shell.take_word() {
                        let kind = ErrorKind::Shell { place };
                        errors.push(Error { kind, at: one.start });
                    }
                }
            },
            Piece::Bad(_) => {}
        }
    }
    errors
}

/// Fills a text in. `results` gives a field of a task's result, already bounded; where it gives nothing (the task
/// failed and the plan goes on without it) a plain note stands instead.
pub fn render(
    text: &str,
    vars: &BTreeMap<String, String>,
    results: &dyn Fn(&str, &str) -> Option<String>,
    mode: Mode,
) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut shell = Shell::default();
    for piece in pieces(text) {
        let (at, added) = match piece {
            Piece::Text(plain) => (0, plain.to_owned()),
            Piece::Bad(error) => return Err(error),
            Piece::Use(one) => (one.start, fill(&one, vars, results, mode, &mut shell)?),
        };
        if out.len() + added.len() > RENDERED_BYTES_MAX {
            let kind = ErrorKind::TooLong;
            return Err(Error { kind, at });
        }
        if matches!(mode, Mode::Shell) {
            shell.read(&added);
        }
        out.push_str(&added);
    }
    Ok(out)
}

/// The text with each [`Name::Item`] filled in: quoted in a command; marked in a prompt when it is the output of a task
/// (`from`), else the plan's own words. What comes out is still a template.
pub fn with_item(text: &str, item: &str, from: Option<&str>, mode: Mode) -> String {
    let filled = match (mode, from) {
        (Mode::Shell, _) => quoted(item),
        (Mode::Prompt, Some(task)) => handed_on(task, "item", item),
        (Mode::Prompt, None) => item.to_owned(),
    };
    replaced(text, &Name::Item, &literal(&filled))
}

/// The text with each [`Name::Results`] replaced by a template.
pub fn with_results(text: &str, results: &str) -> String {
    replaced(text, &Name::Results, results)
}

/// The text with each [`Name::With`] replaced by its value, which is a template itself. What has no value stays.
pub fn with_parameters(text: &str, values: &BTreeMap<String, String>) -> String {
    replaced_by(text, |name| match name {
        Name::With(parameter) => values.get(parameter).map(String::as_str),
        _ => None,
    })
}

fn replaced(text: &str, name: &Name, by: &str) -> String {
    replaced_by(text, |found| (found == name).then_some(by))
}

fn replaced_by<'v>(text: &str, by: impl Fn(&Name) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for one in examine(text).0 {
        let Some(by) = by(&one.name) else { continue };
        out.push_str(&text[from..one.start]);
        out.push_str(by);
        from = one.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Marks text of a task as what it is. A tag in the text that looks like the wrapper's own is made harmless, so the
/// text cannot end its wrapper or pretend to be another task's.
pub fn untrusted(task: &str, field: &str, text: &str) -> String {
    let body = disarm(text);
    let newline = if body.ends_with('\n') { "" } else { "\n" };
    format!("<output task=\"{task}\" field=\"{field}\" trust=\"untrusted\">\n{body}{newline}</output>")
}

/// Words of an agent that another is given: marked as what they are, and with every line quoted that states a judgement,
/// so that it is nobody else's.
pub fn handed_on(task: &str, field: &str, text: &str) -> String {
    untrusted(task, field, &verdict::quoted(text))
}

/// Text that stands in a prompt without a wrapper, so that it cannot begin or end one.
pub fn disarmed(text: &str) -> String {
    disarm(text)
}

/// Quotes text as one word of a POSIX shell. NUL, which no argument can hold, becomes U+FFFD.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', "\u{fffd}").replace('\'', "'\\''"))
}

/// A literal text as a template that gives exactly that text.
pub fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// The fields as a list for messages.
pub(crate) fn field_list() -> String {
    Field::ALL.map(|field| format!("`{}`", field.as_str())).join(", ")
}

/// Where a text looks as if its author expected Jinja statements, which are plain text here.
pub(crate) fn statement(text: &str) -> Option<usize> {
    const WORDS: [&str; 9] = [
        "if ", "elif ", "else", "endif", "for ", "endfor", "set ", "include ", "raw",
    ];
    text.match_indices("{%").map(|(at, _)| at).find(|at| {
        let inner = text[at + 2..].trim_start_matches('-').trim_start();
        WORDS.iter().any(|word| inner.starts_with(word))
    })
}

fn fill(
    one: &Use,
    vars: &BTreeMap<String, String>,
    results: &dyn Fn(&str, &str) -> Option<String>,
    mode: Mode,
    shell: &mut Shell,
) -> Result<String, Error> {
    let fail = |kind| Error { kind, at: one.start };
    match &one.name {
        Name::Literal(literal) => Ok(literal.clone()),
        // Only steps of a map and tasks of a template have them, and theirs are filled in before.
        Name::Item => Err(fail(unknown_root("item"))),
        Name::Results => Err(fail(unknown_root("results"))),
        Name::With(_) => Err(fail(unknown_root("with"))),
        Name::Var(name) => {
            let value = vars.get(name).cloned();
            value.ok_or_else(|| fail(ErrorKind::UnknownVar { found: name.clone() }))
        }
        Name::Task { task, field, .. } => {
            let field = field.as_str();
            let found = results(task, field);
            let note = || format!("(task {task} left no {field})");
            match mode {
                Mode::Prompt => Ok(found.map_or_else(note, |text| handed_on(task, field, &text))),
                Mode::Shell => {
                    shell.place().map_err(|place| fail(ErrorKind::Shell { place }))?;
                    Ok(quoted(&found.unwrap_or_else(note)))
                }
            }
        }
    }
}

fn unknown_root(found: &str) -> ErrorKind {
    ErrorKind::UnknownRoot {
        found: found.to_owned(),
    }
}

/// Replaces the `<` of anything a reader could take for an `output` tag, whatever its case and spacing.
fn disarm(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let name = after.trim_start_matches(|c: char| c == '/' || c == '\\' || c.is_whitespace() || c.is_control());
        let tag = name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("output"));
        out.push_str(if tag { "&lt;" } else { "<" });
        rest = after;
    }
    out.push_str(rest);
    out
}

enum Piece<'t> {
    Text(&'t str),
    Use(Use),
    Bad(Error),
}

/// Cuts a text at its `{{ … }}`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("{{").map(|found| at + found) {
        if open > at {
            pieces.push(Piece::Text(&text[at..open]));
        }
        match Reader::new(text, open).expression() {
            Ok(one) => {
                at = one.end;
                pieces.push(Piece::Use(one));
            }
            Err((error, end)) => {
                at = end;
                pieces.push(Piece::Bad(error));
            }
        }
    }
    if at < text.len() {
        pieces.push(Piece::Text(&text[at..]));
    }
    pieces
}

/// Reads one expression.
struct Reader<'t> {
    text: &'t str,
    open: usize,
    at: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, open: usize) -> Reader<'t> {
        let end = text.floor_char_boundary(open.saturating_add(EXPRESSION_BYTES_MAX));
        Reader {
            text: &text[..end],
            open,
            at: open + 2,
        }
    }

    /// The use, or the error and where reading may go on.
    fn expression(mut self) -> Result<Use, (Error, usize)> {
        let start = self.open;
        match self.name() {
            Ok(name) => Ok(Use {
                name,
                start,
                end: self.at,
            }),
            Err(kind) => {
                let rest = &self.text[start + 2..];
                // One broken expression must not swallow the next good one.
                let stop = rest.find("{{").unwrap_or(rest.len());
                let (kind, end) = match rest[..stop].find("}}") {
                    Some(close) => (kind, start + 2 + close + 2),
                    None => (ErrorKind::Unclosed, start + 2 + stop),
                };
                Err((Error { kind, at: start }, end))
            }
        }
    }

    fn name(&mut self) -> Result<Name, ErrorKind> {
        self.spaces();
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Err(ErrorKind::Empty);
        }
        let name = if rest.starts_with(['"', '\'']) {
            Name::Literal(self.string().ok_or(ErrorKind::Unclosed)?)
        } else {
            match self.word().as_str() {
                "vars" => Name::Var(self.member()?),
                "tasks" => self.task()?,
                "item" => Name::Item,
                "results" => Name::Results,
                "with" => Name::With(self.member()?),
                "" => return Err(self.not_a_name()),
                other => {
                    return Err(ErrorKind::UnknownRoot {
                        found: other.to_owned(),
                    });
                }
            }
        };
        self.spaces();
        if !self.eat("}}") {
            return Err(self.not_a_name());
        }
        Ok(name)
    }

    fn task(&mut self) -> Result<Name, ErrorKind> {
        let bracket = self.rest().starts_with('[');
        let run = self.member()?;
        if bracket {
            let (field, explicit) = if self.rest().starts_with(['.', '[']) {
                let found = self.member()?;
                let field = Field::parse(&found).ok_or(ErrorKind::UnknownField { found })?;
                (field, true)
            } else {
                (Field::Summary, false)
            };
            return Ok(Name::Task {
                task: run,
                field,
                explicit,
            });
        }
        if self.rest().starts_with('[') {
            let found = self.member()?;
            let field = Field::parse(&found).ok_or(ErrorKind::UnknownField { found })?;
            return Ok(Name::Task {
                task: run,
                field,
                explicit: true,
            });
        }
        // Ids may hold dots, so the field is the last part, when it is one.
        let split = run
            .rsplit_once('.')
            .and_then(|(id, last)| Some((id, Field::parse(last)?)));
        Ok(match split {
            Some((id, field)) if !id.is_empty() => Name::Task {
                task: id.to_owned(),
                field,
                explicit: true,
            },
            _ => Name::Task {
                task: run,
                field: Field::Summary,
                explicit: false,
            },
        })
    }

    /// `.name` or `["name"]`, whose characters are those of ids.
    fn member(&mut self) -> Result<String, ErrorKind> {
        let name = if self.eat("[") {
            self.spaces();
            let name = self.string().ok_or_else(|| self.not_a_name())?;
            self.spaces();
            if !self.eat("]") {
                return Err(self.not_a_name());
            }
            name
        } else if self.eat(".") {
            self.word()
        } else {
            return Err(self.not_a_name());
        };
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(self.not_a_name());
        }
        Ok(name)
    }

    fn word(&mut self) -> String {
        // The root is a word without dots; members take the whole dotted run.
        let dotted = self.at > self.open + 2 && self.text[..self.at].ends_with('.');
        let rest = self.rest();
        let end = rest
            .bytes()
            .position(|byte| !(is_name(byte) && (dotted || byte != b'.')))
            .unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        self.at += end;
        word
    }

    /// A quoted text. A backslash stands for itself, except before a quote or a backslash, which it protects.
    fn string(&mut self) -> Option<String> {
        let mut letters = self.rest().char_indices();
        let (_, quote) = letters.next().filter(|(_, c)| matches!(c, '"' | '\''))?;
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => match letters.clone().next() {
                    Some((_, protected @ ('"' | '\'' | '\\'))) => {
                        letters.next();
                        text.push(protected);
                    }
                    _ => text.push(letter),
                },
                _ if letter == quote => {
                    self.at += at + 1;
                    return Some(text);
                }
                '\n' => return None,
                _ => text.push(letter),
            }
        }
        None
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn not_a_name(&self) -> ErrorKind {
        let inner = &self.text[self.open + 2..];
        let end = inner.find("}}").unwrap_or(inner.len());
        ErrorKind::NotAName {
            found: shortened(inner[..end].trim()),
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
