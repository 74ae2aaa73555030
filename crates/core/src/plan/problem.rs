//! Problems of a plan: what is wrong, where, what exists, what to do.
//!
//! Every reader of this room reports here and goes on, so that a person sees everything at once. Codes are stable:
//! scripts match them, and docs/plans.md lists them. Printing is bounded ([`PRINTED_MAX`]); `--json` is not.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use super::nearest::Nearest;

/// How many problems are printed; the rest is counted by code.
pub const PRINTED_MAX: usize = 100;

/// A problem's weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plan is refused.
    Error,
    /// The plan is taken; this is worth knowing.
    Warning,
}

/// One problem. Line and column count from 1, columns in characters; both are 0 when it is about no place in a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// Its stable name; see [`CODES`].
    pub code: &'static str,
    /// Whether the plan is refused for it.
    pub severity: Severity,
    /// The file it is in.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What was found there.
    pub found: String,
    /// What is wrong with it.
    pub message: String,
    /// The nearest thing that exists, when one is near.
    pub nearest: Option<String>,
    /// What to do.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {severity}[{}]: {}", self.code, self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "\n  help: did you mean `{nearest}`? {}", self.help),
            None if self.help.is_empty() => Ok(()),
            None => write!(f, "\n  help: {}", self.help),
        }
    }
}

/// All problems of a plan, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// How many of them refuse the plan.
    pub fn errors(&self) -> usize {
        let is_error = |problem: &&Problem| problem.severity == Severity::Error;
        self.0.iter().filter(is_error).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.0.iter().take(PRINTED_MAX) {
            writeln!(f, "{problem}")?;
        }
        if let Some(rest) = self.0.get(PRINTED_MAX..).filter(|rest| !rest.is_empty()) {
            let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
            for problem in rest {
                *by_code.entry(problem.code).or_default() += 1;
            }
            let counts: Vec<String> = by_code
                .iter()
                .map(|(code, count)| format!("{code} {}", thousands(*count)))
                .collect();
            writeln!(f, "and {} more: {}", thousands(rest.len()), counts.join(", "))?;
        }
        let (errors, all) = (self.errors(), self.0.len());
        write!(f, "\n{}", counted(errors, "problem"))?;
        match all - errors {
            0 => Ok(()),
            warnings => write!(f, ", {}", counted(warnings, "warning")),
        }
    }
}

impl std::error::Error for Problems {}

/// `1,234 problems`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(count))
}

/// `1,234`.
pub(crate) fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A place in the plan: where a value stands, and its bytes in the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Collects problems while the readers go on.
pub(crate) struct Reporter<'n> {
    file: &'n str,
    problems: Vec<Problem>,
    /// Suggestions cost time that a hostile plan must not be able to spend without bound.
    nearest: Nearest,
    /// Warnings that are given once with the number of times they apply.
    repeated: HashMap<(&'static str, String), (usize, usize)>,
}

impl<'n> Reporter<'n> {
    pub(crate) fn new(file: &'n str) -> Reporter<'n> {
        Reporter {
            file,
            problems: Vec::new(),
            nearest: Nearest::default(),
            repeated: HashMap::new(),
        }
    }

    /// An error at a place.
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        at: Place,
        found: &str,
        message: String,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, code, at, found, message, help.into());
    }

    /// An error about a name that is not among those that exist.
    pub(crate) fn unknown<'a>(
        &mut self,
        code: &'static str,
        at: Place,
        found: &str,
        message: String,
        exist: impl Iterator<Item = &'a str>,
        help: impl Into<String>,
    ) {
        let nearest = self.nearest.among(found, exist);
        let help = match (code, &nearest) {
            // The list of all keys is long and the nearest one is nearly always meant.
            ("unknown-key", Some(_)) => "Else take it out; `wheelhouse plan schema` has all keys".to_owned(),
            _ => help.into(),
        };
        self.error(code, at, found, message, help);
        if let Some(problem) = self.problems.last_mut() {
            problem.nearest = nearest;
        }
    }

    /// A warning at a place.
    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: Place,
        found: &str,
        message: String,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, code, at, found, message, help.into());
    }

    /// A warning that is said once, with how often it applies.
    pub(crate) fn warning_once(&mut self, code: &'static str, at: Place, found: &str, message: String, help: &str) {
        let key = (code, message.clone());
        if let Some((_, count)) = self.repeated.get_mut(&key) {
            *count += 1;
            return;
        }
        self.repeated.insert(key, (self.problems.len(), 1));
        self.warning(code, at, found, message, help);
    }

    /// Puts the last reported problem into another file (a prompt file).
    pub(crate) fn in_file(&mut self, file: &str) {
        if let Some(problem) = self.problems.last_mut() {
            file.clone_into(&mut problem.file);
        }
    }

    /// Takes the problems that were found in another file.
    pub(crate) fn absorb(&mut self, other: Reporter<'_>) {
        self.problems.extend(other.finish());
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All problems, in the order of the file.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        for (index, count) in self.repeated.into_values().filter(|(_, count)| *count > 1) {
            let more = format!(" (in {} places)", thousands(count));
            self.problems[index].message.push_str(&more);
        }
        let own = self.file;
        self.problems.sort_by(|a, b| {
            let key = |p: &Problem| (p.file != own, p.line, p.column);
            key(a).cmp(&key(b)).then_with(|| a.file.cmp(&b.file))
        });
        self.problems
    }

    fn push(&mut self, severity: Severity, code: &'static str, at: Place, found: &str, message: String, help: String) {
        debug_assert!(CODES.iter().any(|(known, _)| *known == code), "{code} is not in CODES");
        self.problems.push(Problem {
            code,
            severity,
            file: self.file.to_owned(),
            line: at.line as usize,
            column: at.column as usize,
            found: shortened(found),
            message,
            nearest: None,
            help,
        });
    }
}

/// Text from a plan as it may stand in a message: one line, bounded, no control characters.
pub(crate) fn shortened(text: &str) -> String {
    const LETTERS_MAX: usize = 80;
    let mut out: String = text
        .chars()
        .take(LETTERS_MAX)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.chars().nth(LETTERS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// Every code with its meaning. Stable: codes are added, never changed.
pub const CODES: &[(&str, &str)] = &[
    (
        "agent-as-role",
        "warning: an agent of a compatible format is not configured; it becomes a role of the default agent",
    ),
    (
        "bad-condition",
        "a `skip_if` that compares nothing, or not what a needed task leaves",
    ),
    ("bad-duration", "not a duration, zero, or longer than the limit"),
    (
        "bad-env",
        "a name or value that an environment cannot hold, or a name that belongs to the engine",
    ),
    ("bad-gate", "a `gate` of a task whose answers nobody could judge by it"),
    (
        "bad-id",
        "a task id with other characters than letters, digits, `_`, `.`, `-`, or too long",
    ),
    (
        "bad-input",
        "`documents`, `stdin` or `with` where they have no meaning, or more than a task may have",
    ),
    ("bad-money", "not an amount in US dollars"),
    (
        "bad-name",
        "a plan or variable name that is empty, too long or has other characters than allowed",
    ),
    ("bad-number", "not a whole number, or outside its range"),
    ("bad-path", "an absolute path, or one that leaves the project by `..`"),
    (
        "bad-schema",
        "a schema that is none, or that could not be checked, or one for a task whose answer is something else",
    ),
    ("bad-value", "not one of the words this key takes"),
    (
        "bad-workflow",
        "keys of a `workflow` that do not go together, or a task that cannot be one",
    ),
    ("cycle", "tasks that need each other in a circle"),
    ("duplicate-id", "two tasks with one id"),
    ("duplicate-key", "one key given twice"),
    ("empty-plan", "a plan without tasks"),
    ("empty-text", "a text that must say something and does not"),
    (
        "exec-agent",
        "an `exec` task with an agent, or an agent task given to `exec`",
    ),
    (
        "exec-shortcut",
        "warning: a `shortcut` of an `exec` task, which no agent does",
    ),
    (
        "grinder-decides",
        "warning: a decision is given to an agent that is there to carry out",
    ),
    (
        "ignored-key",
        "warning: a key of a compatible format that has no meaning here",
    ),
    (
        "large-crew",
        "warning: more than a handful of agents take part in one task",
    ),
    (
        "many-tries",
        "warning: a task may be tried very often before anybody looks at it",
    ),
    (
        "may-not-decide",
        "an agent is to decide what others do, and its tools do not let it",
    ),
    ("missing-fallback", "`on_failure: fallback` without `fallback`"),
    ("missing-key", "a key that must be there is not"),
    ("no-quorum", "a consensus that so many vendors cannot reach"),
    (
        "no-reviewer",
        "a `qc` for which nobody of another vendor than the author is there",
    ),
    ("no-tasks", "the output of a planner task holds no list of tasks"),
    ("nobody", "no agent here can do a task that leaves open who does it"),
    (
        "nobody-serves",
        "warning: a chain names a model that no agent here serves",
    ),
    (
        "not-isolated",
        "`merge`, `protect` or `edits: patch` of a task without isolation",
    ),
    ("not-needed", "a template names a task that its task does not need"),
    (
        "one-work",
        "a task must have exactly one of `exec`, `prompt` and `prompt_file`",
    ),
    (
        "orchestrator-grinds",
        "warning: simple production work is given to the dearest agent",
    ),
    (
        "own-review",
        "warning: an agent reviews its own work, or that of its own vendor",
    ),
    ("prompt-file", "a prompt file could not be read"),
    ("repeated-agent", "warning: an agent stands twice in a chain"),
    ("schema-file", "a schema file could not be read"),
    ("self-reference", "a task needs itself"),
    (
        "self-review",
        "an agent would judge its own work, or that of its own vendor",
    ),
    ("step-name", "a task is called like a step of a workflow"),
    ("syntax", "not YAML, not JSON, or not the text format it looks like"),
    (
        "template-file",
        "a template that the plan does not have, or whose file could not be read",
    ),
    (
        "template-name",
        "a template names something other than a variable or a task",
    ),
    (
        "template-parameter",
        "a parameter that a template needs and is not given, or is given and does not have",
    ),
    (
        "template-shell",
        "text of a task would be put where a command cannot hold it safely",
    ),
    ("template-statement", "warning: `{% … %}` is plain text here"),
    ("template-syntax", "`{{ … }}` that is not closed or holds no name"),
    ("too-deep", "brackets or indentation nested deeper than the limit"),
    ("too-large", "a plan, text, name or expansion above its limit"),
    ("too-many-edges", "more edges between tasks than the limit"),
    ("too-many-retries", "`retry` above the limit of two"),
    ("too-many-tasks", "more tasks than the limit"),
    (
        "trivial-crew",
        "warning: agents are to do what is done faster than handed over",
    ),
    (
        "ungated-pipeline",
        "warning: three prompts in a row, and nothing looks at what comes out",
    ),
    ("unknown-agent", "no agent of that name is configured"),
    ("unknown-chain", "a chain that the routing file does not have"),
    ("unknown-field", "a result has no such field"),
    ("unknown-key", "a key that plans do not have"),
    ("unknown-task", "no task has that id"),
    ("unknown-var", "no variable has that name"),
    ("wrong-type", "a value of another type than the key takes"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        let mut codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        let before = codes.clone();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes, before);
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn many_problems_are_counted_not_printed() {
        let mut reporter = Reporter::new("p.yaml");
        for line in 0..10_000 {
            let at = Place {
                line,
                ..Place::default()
            };
            reporter.error("bad-id", at, "x", "no".to_owned(), "do");
        }
        let problems = Problems(reporter.finish());
        let text = problems.to_string();
        assert!(text.contains("and 9,900 more: bad-id 9,900"), "{text}");
        assert!(text.ends_with("10,000 problems"), "{text}");
        assert_eq!(text.lines().count(), 2 * PRINTED_MAX + 3);
    }
}
