//! Instances: live named sessions in a tree, and the state machine of one of them.
//!
//! An instance is three things: a session that goes on, a mailbox, and a place in a tree. It is no process. Each
//! message becomes one task (a *turn*) of the tree's standing run, done in the instance's session, one at a time;
//! so a turn is durable, metered, asked about, cancelled and recovered as every task is. What is stored is a [`Stage`];
//! what people see is an [`InstanceState`], derived from the stage and the facts about the turn under way, so that a
//! wait always names the question it waits on and ends with that question.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::agent::McpServer;
use crate::ids::{AgentName, InstanceId, MessageId, QuestionId, RunId, TaskId, TaskKey};
use crate::outcome::Outcome;
use crate::spec::Isolation;
use crate::task::{Held, TaskState};
use crate::time::Millis;
use crate::usage::Usage;

/// The longest name of an instance, in bytes.
pub const NAME_MAX: usize = 64;

/// What an instance is, as it was spawned. Nothing edits it afterwards.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceSpec {
    /// What people call it; several may be called the same.
    pub name: String,
    /// The configured agent that does its turns.
    pub agent: AgentName,
    /// A model, when one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of its role (`architect`), for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What its agent is told before everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Where it works, relative to the project or absolute; the project itself when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whether it has a worktree and branch of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub isolation: Isolation,
    /// MCP servers for its agent, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// Additional environment, on top of the allowlist.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The wall timer of a turn, in milliseconds.
    pub timeout_ms: u64,
    /// The idle timer of a turn (no event for so long), in milliseconds.
    pub idle_timeout_ms: u64,
    /// How often a failed turn may be tried again.
    pub retry_max: u32,
    /// Money that its turns and those of everybody below it may spend together, in nano-dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_nano: Option<u64>,
    /// It ends by itself with its last answer.
    #[serde(skip_serializing_if = "is_default")]
    pub ephemeral: bool,
    /// A session to begin in, of an instance that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an instance may do with others. A child's are never wider than its parent's ([`Rights::narrow`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// Whether it may spawn children.
    pub spawn: bool,
    /// The agents its children may use; all when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
    /// The models its children may use; all that the crew's policy allows when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
}

impl Default for Rights {
    fn default() -> Self {
        Rights {
            spawn: true,
            agents: Vec::new(),
            models: Vec::new(),
        }
    }
}

impl Rights {
    /// What a child gets that asks for these: what both have.
    #[must_use]
    pub fn narrow(&self, asked: &Rights) -> Rights {
        fn both<T: Clone + PartialEq>(ours: &[T], asked: &[T]) -> Option<Vec<T>> {
            match (ours, asked) {
                ([], any) => Some(any.to_vec()),
                (ours, []) => Some(ours.to_vec()),
                (ours, asked) => {
                    let both: Vec<T> = asked.iter().filter(|one| ours.contains(one)).cloned().collect();
                    (!both.is_empty()).then_some(both)
                }
            }
        }
        // An empty list means everything; when nothing is left in common, the right to spawn is what is left out.
        match (both(&self.agents, &asked.agents), both(&self.models, &asked.models)) {
            (Some(agents), Some(models)) => Rights {
                spawn: self.spawn && asked.spawn,
                agents,
                models,
            },
            (None, _) | (_, None) => Rights {
                spawn: false,
                agents: self.agents.clone(),
                models: self.models.clone(),
            },
        }
    }
}

/// Why an instance is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A person or an instance above it ended it.
    Terminated,
    /// An instance above it ended, and it with that one.
    WithParent,
    /// A person did not let it start.
    Denied,
    /// It was ephemeral and has given its answer.
    Finished,
    /// It had nothing to do for longer than the policy allows.
    Expired,
    /// All orchestration was stopped.
    Stopped,
}

impl End {
    /// The stable name, the same as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            End::Terminated => "terminated",
            End::WithParent => "with_parent",
            End::Denied => "denied",
            End::Finished => "finished",
            End::Expired => "expired",
            End::Stopped => "stopped",
        }
    }
}

/// Where an instance stands, as stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// No turn is open.
    Idle,
    /// A turn is open: its task is not done.
    Busy,
    /// No turn is open, and none was for so long that it was put aside. A message wakes it.
    Suspended,
    /// Over.
    Ended {
        /// Why.
        end: End,
    },
}

/// What can happen to an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstanceEvent {
    /// A task was made for its next message.
    TurnOpened,
    /// That task is done.
    TurnClosed,
    /// It is put aside until a message comes.
    Suspended,
    /// It is taken up again without a message.
    Resumed,
    /// It is over.
    Ended(End),
}

/// The event makes no sense in that stage; nothing changes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an instance that is {stage} cannot be {event}")]
pub struct Illegal {
    /// The name of the stage.
    pub stage: &'static str,
    /// The name of the event.
    pub event: &'static str,
}

impl Stage {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Idle => "idle",
            Stage::Busy => "busy",
            Stage::Suspended => "suspended",
            Stage::Ended { .. } => "ended",
        }
    }

    /// Whether it is over.
    pub fn is_ended(self) -> bool {
        matches!(self, Stage::Ended { .. })
    }

    /// The stage after `event`, or a refusal. Total: every pair is decided here.
    pub fn next(self, event: InstanceEvent) -> Result<Stage, Illegal> {
        use InstanceEvent as E;
        use Stage as S;
        let illegal = || {
            Err(Illegal {
                stage: self.name(),
                event: event.name(),
            })
        };
        match (self, event) {
            (S::Idle | S::Suspended, E::TurnOpened) => Ok(S::Busy),
            (S::Busy, E::TurnClosed) => Ok(S::Idle),
            (S::Idle, E::Suspended) => Ok(S::Suspended),
            (S::Suspended, E::Resumed) => Ok(S::Idle),
            (S::Idle | S::Busy | S::Suspended, E::Ended(end)) => Ok(S::Ended { end }),
            // The turn of an instance that was terminated closes later, when its process is gone.
            (S::Ended { end }, E::TurnClosed) => Ok(S::Ended { end }),
            (S::Idle, E::TurnClosed | E::Resumed)
            | (S::Busy, E::TurnOpened | E::Suspended | E::Resumed)
            | (S::Suspended, E::TurnClosed | E::Suspended)
            | (S::Ended { .. }, E::TurnOpened | E::Suspended | E::Resumed | E::Ended(_)) => illegal(),
        }
    }
}

impl InstanceEvent {
    /// The name of the event, as it fits behind "cannot be".
    pub fn name(self) -> &'static str {
        match self {
            InstanceEvent::TurnOpened => "given a turn",
            InstanceEvent::TurnClosed => "done with a turn",
            InstanceEvent::Suspended => "suspended",
            InstanceEvent::Resumed => "resumed",
            InstanceEvent::Ended(_) => "ended",
        }
    }
}

/// Where an instance stands, as people see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InstanceState {
    /// Spawned with something to do, and its first turn has not begun: it waits for its place.
    Starting,
    /// Nothing to do.
    Idle,
    /// A turn is under way or about to be.
    Busy,
    /// Its turn waits for an answer to this question.
    Waiting {
        /// The open question.
        question: QuestionId,
    },
    /// Put aside until a message comes.
    Suspended,
    /// Over.
    Ended {
        /// Why.
        end: End,
    },
}

impl InstanceState {
    /// The stable name.
    pub fn name(&self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Idle => "idle",
            InstanceState::Busy => "busy",
            InstanceState::Waiting { .. } => "waiting",
            InstanceState::Suspended => "suspended",
            InstanceState::Ended { .. } => "ended",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstanceState::Waiting { question } => write!(f, "waiting for {question}"),
            InstanceState::Ended { end } => write!(f, "ended ({})", end.name()),
            other => f.write_str(other.name()),
        }
    }
}

/// The facts about an instance from which its state is derived.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The stored stage.
    pub stage: Stage,
    /// How many turns are done.
    pub turns: u32,
    /// How many messages wait for their turn.
    pub queued: u32,
    /// Where the open turn's task stands.
    pub turn: Option<&'f TaskState>,
    /// The oldest question of that task that nobody has answered.
    pub question: Option<QuestionId>,
}

/// What people see, from the facts alone.
pub fn state(facts: Facts<'_>) -> InstanceState {
    match (facts.stage, facts.turn) {
        (Stage::Ended { end }, _) => InstanceState::Ended { end },
        (Stage::Suspended, _) => InstanceState::Suspended,
        (Stage::Idle, _) if facts.turns == 0 && facts.queued > 0 => InstanceState::Starting,
        (Stage::Idle, _) => InstanceState::Idle,
        (Stage::Busy, Some(TaskState::Held(Held::Approval { question } | Held::Question { question }))) => {
            InstanceState::Waiting { question: *question }
        }
        (Stage::Busy, Some(TaskState::Running)) => match facts.question {
            Some(question) => InstanceState::Waiting { question },
            None => InstanceState::Busy,
        },
        (Stage::Busy, Some(TaskState::Ready | TaskState::Waiting { .. })) if facts.turns == 0 => {
            InstanceState::Starting
        }
        (Stage::Busy, _) => InstanceState::Busy,
    }
}

/// An instance as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// The run that its tree's turns are tasks of.
    pub run: RunId,
    /// The instance that spawned it; none when a person did.
    pub parent: Option<InstanceId>,
    /// How far below its root it is; a root is at 0.
    pub depth: u32,
    /// What it is.
    pub spec: InstanceSpec,
    /// What it may do with others.
    pub rights: Rights,
    /// Where it stands.
    pub state: InstanceState,
    /// The task of the open turn. On an ended instance: its process is still being stopped.
    pub turn: Option<TaskId>,
    /// The message that turn answers.
    pub message: Option<MessageId>,
    /// How many turns are done.
    pub turns: u32,
    /// How many messages wait for their turn.
    pub queued: u32,
    /// How many notes to it were not read yet.
    pub notes: u32,
    /// Its session.
    pub session: Option<String>,
    /// How its last turn ended.
    pub last_outcome: Option<Outcome>,
    /// What its turns consumed.
    pub usage: Usage,
    /// What they cost, in nano-dollars, without those nobody knows.
    pub cost_nano: u64,
    /// How many tries have a cost nobody knows.
    pub cost_unknown: u64,
    /// When it was spawned.
    pub spawned_at: Millis,
    /// When something last happened to it.
    pub active_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

impl InstanceId {
    /// What its worktree is known by in its tree's run, where tasks' trees are known by their keys.
    pub fn tree_key(self) -> TaskKey {
        TaskKey(self.to_string())
    }
}

/// Whether this can be the name of an instance: ASCII letters, digits, `-`, `_` and `.`, not an id (`i7`).
pub fn is_name(text: &str) -> bool {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let number = text.strip_prefix('i').unwrap_or(text);
    let is_id = number.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && text.len() <= NAME_MAX && plain && !is_id && !text.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Stage = Stage::Ended { end: End::Terminated };

    /// One letter a pair: I idle, B busy, S suspended, E ended, . illegal.
    #[test]
    fn every_pair_is_decided() {
        let events = [
            InstanceEvent::TurnOpened,
            InstanceEvent::TurnClosed,
            InstanceEvent::Suspended,
            InstanceEvent::Resumed,
            InstanceEvent::Ended(End::Expired),
        ];
        let table: Vec<String> = [Stage::Idle, Stage::Busy, Stage::Suspended, END]
            .iter()
            .map(|stage| {
                let row = events.iter().map(|event| match stage.next(*event) {
                    Ok(Stage::Idle) => 'I',
                    Ok(Stage::Busy) => 'B',
                    Ok(Stage::Suspended) => 'S',
                    Ok(Stage::Ended { .. }) => 'E',
                    Err(_) => '.',
                });
                row.collect()
            })
            .collect();
        assert_eq!(table, ["B.S.E", ".I..E", "B..IE", ".E..."]);
        let refused = Stage::Busy.next(InstanceEvent::Suspended).unwrap_err();
        assert_eq!(refused.to_string(), "an instance that is busy cannot be suspended");
    }

    #[test]
    fn what_is_seen_follows_from_the_facts() {
        let seen = |stage, turns, queued, turn: Option<&TaskState>, question| {
            state(Facts {
                stage,
                turns,
                queued,
                turn,
                question,
            })
        };
        let question = QuestionId(4);
        let approval = TaskState::Held(Held::Approval { question });
        let quota = TaskState::Held(Held::Quota { until: Millis(9) });
        let waiting = InstanceState::Waiting { question };
        assert_eq!(seen(Stage::Idle, 0, 0, None, None), InstanceState::Idle);
        assert_eq!(seen(Stage::Idle, 0, 1, None, None), InstanceState::Starting);
        assert_eq!(seen(Stage::Idle, 2, 1, None, None), InstanceState::Idle);
        assert_eq!(
            seen(Stage::Busy, 0, 0, Some(&TaskState::Ready), None),
            InstanceState::Starting
        );
        assert_eq!(
            seen(Stage::Busy, 1, 0, Some(&TaskState::Ready), None),
            InstanceState::Busy
        );
        assert_eq!(
            seen(Stage::Busy, 0, 0, Some(&TaskState::Running), None),
            InstanceState::Busy
        );
        assert_eq!(
            seen(Stage::Busy, 1, 0, Some(&TaskState::Running), Some(question)),
            waiting
        );
        assert_eq!(seen(Stage::Busy, 0, 0, Some(&approval), None), waiting);
        assert_eq!(seen(Stage::Busy, 1, 0, Some(&quota), None), InstanceState::Busy);
        assert_eq!(
            seen(END, 1, 0, Some(&TaskState::Running), Some(question)).name(),
            "ended"
        );
    }

    #[test]
    fn rights_only_get_narrower() {
        let all = Rights::default();
        let some = Rights {
            spawn: true,
            agents: vec!["claude".into(), "codex".into()],
            models: vec!["haiku".into()],
        };
        assert_eq!(all.narrow(&some), some);
        assert_eq!(
            some.narrow(&all),
            some,
            "asking for everything gives what the parent has"
        );
        let other = Rights {
            agents: vec!["codex".into(), "gemini".into()],
            ..Rights::default()
        };
        assert_eq!(some.narrow(&other).agents, [AgentName::from("codex")]);
        let none = Rights {
            agents: vec!["gemini".into()],
            ..Rights::default()
        };
        assert!(!some.narrow(&none).spawn, "nothing in common is no right at all");
        assert!(
            !all.narrow(&Rights {
                spawn: false,
                ..all.clone()
            })
            .spawn
        );
    }

    #[test]
    fn names_are_not_ids() {
        for (name, good) in [
            ("architect", true),
            ("a.b-c_2", true),
            ("i7", false),
            ("7", false),
            ("", false),
            ("-x", false),
            ("a b", false),
            ("a/b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(name), good, "{name}");
        }
        assert!(!is_name(&"x".repeat(NAME_MAX + 1)));
    }
}
