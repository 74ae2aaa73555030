//! Questions that wait for a person, and what an answer means.

use serde::{Deserialize, Serialize};

use crate::agent::Reply;
use crate::ids::{QuestionId, TaskKey};
use crate::task::Held;

/// Why words for a task are refused.
pub const NOT_STEERED: &str = "only a running task can be steered";

/// What is being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// May this task start?
    Approval,
    /// The task failed and its `on_failure` says to ask.
    Failure,
    /// An agent wants to do something it needs leave for.
    Permission,
    /// An agent asks in words.
    Words,
    /// The task's work does not merge; the words name the conflicting hunks.
    Conflict,
}

/// What an answer does to the held task.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Go on: start it, or try it again.
    Proceed,
    /// Give the task up; dependants are skipped.
    GiveUp,
    /// Give the task up; dependants run all the same.
    ContinueWithout,
    /// Hand the answer to the running agent.
    Deliver,
}

/// The words of an approval question, the same from every store.
pub fn approval_text(task: &TaskKey) -> String {
    format!("May `{task}` start?")
}

/// The answer is none of those the question takes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{found}` is not an answer to this question; it takes {choices}")]
pub struct NotAnAnswer {
    /// What was given.
    pub found: String,
    /// What would do.
    pub choices: String,
}

impl QuestionKind {
    /// The words this question takes; empty when any text will do.
    pub fn choices(self) -> &'static [&'static str] {
        match self {
            QuestionKind::Approval | QuestionKind::Permission => &["approve", "deny"],
            QuestionKind::Failure | QuestionKind::Conflict => &["retry", "fail", "continue"],
            QuestionKind::Words => &[],
        }
    }

    /// How a task waits for the answer when its try has ended.
    pub fn held(self, question: QuestionId) -> Held {
        match self {
            QuestionKind::Approval => Held::Approval { question },
            QuestionKind::Conflict => Held::MergeConflict { question },
            QuestionKind::Failure | QuestionKind::Permission | QuestionKind::Words => Held::Question { question },
        }
    }

    /// What an answer means to the agent that asked.
    pub fn reply(self, answer: &str) -> Reply {
        match self {
            QuestionKind::Approval | QuestionKind::Failure | QuestionKind::Conflict | QuestionKind::Words => {
                Reply::Words(answer.to_owned())
            }
            QuestionKind::Permission if answer.trim().eq_ignore_ascii_case("approve") => Reply::Allow,
            QuestionKind::Permission => Reply::Deny("not allowed".to_owned()),
        }
    }

    /// Reads an answer.
    pub fn resolve(self, answer: &str) -> Result<Resolution, NotAnAnswer> {
        let word = answer.trim().to_ascii_lowercase();
        match (self, word.as_str()) {
            (QuestionKind::Words, _) | (QuestionKind::Permission, "approve" | "deny") => Ok(Resolution::Deliver),
            (QuestionKind::Approval, "approve") | (QuestionKind::Failure | QuestionKind::Conflict, "retry") => {
                Ok(Resolution::Proceed)
            }
            (QuestionKind::Approval, "deny") | (QuestionKind::Failure | QuestionKind::Conflict, "fail") => {
                Ok(Resolution::GiveUp)
            }
            (QuestionKind::Failure | QuestionKind::Conflict, "continue") => Ok(Resolution::ContinueWithout),
            (QuestionKind::Approval | QuestionKind::Permission | QuestionKind::Failure | QuestionKind::Conflict, _) => {
                Err(NotAnAnswer {
                    found: answer.to_owned(),
                    choices: self.choices().join(", "),
                })
            }
        }
    }
}
