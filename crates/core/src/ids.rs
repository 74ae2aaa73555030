//! Identifiers: each its own type, none a bare number or string.
//!
//! Runs and tasks are numbered by the store, so people can type them (`r7`, `r7/draft`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A run, numbered from 1 by the store. Written `r7`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// The text is not an id of the expected form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{found}` is not {expected}")]
pub struct NotAnId {
    /// What was given.
    pub found: String,
    /// What it should look like.
    pub expected: &'static str,
}

impl FromStr for RunId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('r').unwrap_or(text);
        digits.parse().map(RunId).map_err(|_| NotAnId {
            found: text.to_owned(),
            expected: "a run id such as `r7`",
        })
    }
}

/// A task, numbered by the store over all runs. People see [`TaskKey`] instead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// The name a plan gives a task; unique within its run.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct TaskKey(pub String);

impl TaskKey {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for TaskKey {
    fn from(text: &str) -> Self {
        TaskKey(text.to_owned())
    }
}

/// The configured name of an agent (`claude`, `exec`, `rehearsal`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct AgentName(pub String);

impl AgentName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for AgentName {
    fn from(text: &str) -> Self {
        AgentName(text.to_owned())
    }
}

/// Counts the tries of a task, from 1. A try repeated because the engine died keeps its number, and with it its
/// idempotency token.
pub type AttemptNumber = u32;

/// Voids a late writer's output: counted up per task at every claim, never a worker's name.
pub type Fence = u64;

/// The right to write about one running task. Every write of a worker carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The task that is leased.
    pub task: TaskId,
    /// The fence stamped by the claim.
    pub fence: Fence,
}

/// One process that works on the store: an engine or a worker. Chosen at random at its start; says who holds a
/// lease, never whether the lease is valid.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(pub String);

/// A question or approval that waits for a person, numbered by the store. Written `q3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuestionId(pub u64);

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}", self.0)
    }
}

impl FromStr for QuestionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('q').unwrap_or(text);
        digits.parse().map(QuestionId).map_err(|_| NotAnId {
            found: text.to_owned(),
            expected: "a question id such as `q3`",
        })
    }
}

/// A place in the event history; the events after it are the news.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

/// The BLAKE3 hash of an artifact's bytes, as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactHash(pub String);

impl fmt::Display for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An instance, numbered by the store over all runs. Written `i3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub u64);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

impl FromStr for InstanceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('i').unwrap_or(text);
        digits.parse().map(InstanceId).map_err(|_| NotAnId {
            found: text.to_owned(),
            expected: "an instance id such as `i3`",
        })
    }
}

/// A message between a person and instances, numbered by the store: a later one has the higher number. Written `m17`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('m').unwrap_or(text);
        digits.parse().map(MessageId).map_err(|_| NotAnId {
            found: text.to_owned(),
            expected: "a message id such as `m17`",
        })
    }
}

/// A piece of work that several instances were given together, numbered by the store. Written `c2`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CoordinationId(pub u64);

impl fmt::Display for CoordinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl FromStr for CoordinationId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('c').unwrap_or(text);
        digits.parse().map(CoordinationId).map_err(|_| NotAnId {
            found: text.to_owned(),
            expected: "a coordination id such as `c2`",
        })
    }
}
