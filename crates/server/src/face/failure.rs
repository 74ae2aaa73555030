//! What a command says when it cannot do what was asked: a message, hints, and an exit code.
//!
//! A message says what was asked, what was found and what exists; the hints hold the next command. The command line
//! prints it once, for people on stderr, with `--json` as a document on stdout; HTTP answers a problem document, MCP a
//! JSON-RPC error.

use std::path::Path;

use wheelhouse_core::{crew, store};

use super::exit::{self, Exit};
use super::nearest;

/// The end of a command that did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub exit: Exit,
    /// What was asked, what was found, what exists. May have several lines.
    pub message: String,
    /// What to do next; printed after a blank line.
    pub hints: Vec<String>,
    /// The problems one by one, for `--json`, when it is about a plan.
    pub problems: Option<Box<serde_json::Value>>,
}

/// The result of a command: what it exits with.
pub type Outcome = Result<Exit, Failure>;

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure {
            exit,
            message: message.into(),
            hints: Vec::new(),
            problems: None,
        }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(exit::USAGE, message)
    }

    /// Nothing of that name exists; the message goes on with the nearest names that do.
    pub fn not_found(what: &str, asked: &str, exist: &[String]) -> Self {
        let mut message = format!("there is no {what} `{asked}`");
        if let Some(near) = nearest::name(asked, exist) {
            message.push_str(&format!("; did you mean `{near}`?"));
        } else if !exist.is_empty() {
            message.push_str(&format!("; there is {}", nearest::list(exist, LISTED_MAX)));
        }
        Failure::new(exit::NOT_FOUND, message)
    }

    /// A file could not be used.
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::new(exit::NOT_FOUND, format!("cannot {doing} {path}: there is no such file"))
            }
            _ => Failure::new(exit::IO, format!("cannot {doing} {path}: {error}")),
        }
    }

    /// With what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// How many existing names a message lists.
const LISTED_MAX: usize = 8;

impl From<store::Failure> for Failure {
    fn from(failure: store::Failure) -> Self {
        let message = with_sources(&failure);
        match failure {
            store::Failure::Full(_) => Failure::new(exit::STATE_FAILED, message)
                .hint("make room on the disk, then try again; `wheelhouse gc` removes old runs"),
            store::Failure::Busy(_) => Failure::new(exit::BUSY, message).hint("try again in a moment"),
            store::Failure::Damaged(_) => Failure::new(exit::STATE_FAILED, message)
                .hint("`wheelhouse fsck` says what is wrong; backups lie in `.wheelhouse/backups`"),
            store::Failure::TooNew { .. } => Failure::new(exit::STATE_FAILED, message)
                .hint("install the newer wheelhouse, or give this one another `--state-dir`"),
            store::Failure::Io(_) => {
                Failure::new(exit::STATE_FAILED, message).hint("`wheelhouse doctor` looks at the state directory")
            }
        }
    }
}

impl From<store::Refused> for Failure {
    fn from(refused: store::Refused) -> Self {
        let exit = match &refused {
            store::Refused::NoSuchRun(_) | store::Refused::NoSuchTask(_) | store::Refused::NoSuchQuestion(_) => {
                exit::NOT_FOUND
            }
            store::Refused::DuplicateKey(_) | store::Refused::DanglingNeed { .. } => exit::USAGE,
            store::Refused::KeyReused(_) => exit::USAGE,
            store::Refused::Crew(crew::Refusal::NoSuchInstance(_) | crew::Refusal::NoSuchMessage(_)) => exit::NOT_FOUND,
            store::Refused::Crew(_) => exit::REFUSED,
            store::Refused::LostLease(_) | store::Refused::CancelRequested(_) | store::Refused::Illegal(_) => {
                exit::REFUSED
            }
        };
        Failure::new(exit, refused.to_string())
    }
}

/// The error and everything that caused it, on one line.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
