//! The state machine of a task, and nothing else: which states there are, which events move between them.
//!
//! `waiting -> ready -> running -> done(outcome)`, with `held(reason)` reachable from ready and running. Stores
//! apply these transitions inside their transactions; an [`Illegal`] one is refused and nothing changes.

use serde::{Deserialize, Serialize};

use crate::budget::Scope;
use crate::ids::{QuestionId, TaskKey};
use crate::outcome::Outcome;
use crate::time::Millis;

/// Why a task cannot go on now. Each names the thing it waits on and ends with that thing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Held {
    /// Its run is paused.
    Paused,
    /// A person must approve it before it starts.
    Approval {
        /// The open question.
        question: QuestionId,
    },
    /// A person must answer something.
    Question {
        /// The open question.
        question: QuestionId,
    },
    /// There is no money for it now.
    Budget {
        /// The budget that stands in the way.
        scope: Scope,
        /// When that budget's window ends; absent when only tries that end, or a person, can make room.
        until: Option<Millis>,
    },
    /// The provider's allowance returns then.
    Quota {
        /// The end of the wait.
        until: Millis,
    },
    /// It is tried again then.
    Retry {
        /// The end of the wait.
        until: Millis,
    },
    /// A running task writes the same files.
    Conflict {
        /// The running task.
        with: TaskKey,
    },
    /// Its work does not go together with what was merged before; both sides are kept until a person decides.
    MergeConflict {
        /// The open question, which names the conflicting hunks.
        question: QuestionId,
    },
}

impl Held {
    /// The stable name of the reason.
    pub fn name(&self) -> &'static str {
        match self {
            Held::Paused => "paused",
            Held::Approval { .. } => "approval",
            Held::Question { .. } => "question",
            Held::Budget { .. } => "budget",
            Held::Quota { .. } => "quota",
            Held::Retry { .. } => "retry",
            Held::Conflict { .. } => "conflict",
            Held::MergeConflict { .. } => "merge_conflict",
        }
    }

    /// The open question that it ends with, when it does.
    pub fn question(&self) -> Option<QuestionId> {
        match self {
            Held::Approval { question } | Held::Question { question } | Held::MergeConflict { question } => {
                Some(*question)
            }
            Held::Paused | Held::Budget { .. } | Held::Quota { .. } | Held::Retry { .. } | Held::Conflict { .. } => {
                None
            }
        }
    }

    /// The moment it ends by itself, when it does.
    pub fn until(&self) -> Option<Millis> {
        match self {
            Held::Quota { until } | Held::Retry { until } => Some(*until),
            Held::Budget { until, .. } => *until,
            Held::Paused
            | Held::Approval { .. }
            | Held::Question { .. }
            | Held::Conflict { .. }
            | Held::MergeConflict { .. } => None,
        }
    }
}

/// Where a task stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Some of the tasks it needs are not done.
    Waiting {
        /// How many are missing.
        pending: u32,
    },
    /// It can be claimed.
    Ready,
    /// Claimed under a lease.
    Running,
    /// It cannot go on now.
    Held(Held),
    /// Over.
    Done {
        /// How it came out.
        outcome: Outcome,
    },
}

impl TaskState {
    /// The stable name of the state.
    pub fn name(&self) -> &'static str {
        match self {
            TaskState::Waiting { .. } => "waiting",
            TaskState::Ready => "ready",
            TaskState::Running => "running",
            TaskState::Held(_) => "held",
            TaskState::Done { .. } => "done",
        }
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        matches!(self, TaskState::Done { .. })
    }
}

/// What can happen to a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskEvent {
    /// One of the tasks it needs was done and lets it run.
    DependencySatisfied,
    /// One of the tasks it needs failed, so it will not run.
    DependencyFailed {
        /// That task.
        cause: TaskKey,
    },
    /// A worker took it.
    Claimed,
    /// The worker gave it back, or its lease ran out; the try does not count.
    Returned,
    /// Its workflow goes on when so many of its children are over.
    Awaits {
        /// How many must end first.
        pending: u32,
    },
    /// The try ended and the task with it.
    Settled {
        /// How it came out.
        outcome: Outcome,
    },
    /// It must wait for something (from running: the try ended).
    Held(Held),
    /// The thing it waited for came.
    Released,
    /// A person or parent stopped it.
    Cancelled,
    /// A person wants it tried again after all.
    Retried {
        /// How many of the tasks it needs are not done (their failure may have been retried too).
        pending: u32,
    },
}

/// The event makes no sense in that state; nothing changes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a task that is {state} cannot be {event}")]
pub struct Illegal {
    /// The name of the state.
    pub state: &'static str,
    /// The name of the event.
    pub event: &'static str,
}

impl TaskEvent {
    /// The name of the event, as it fits behind "cannot be".
    pub fn name(&self) -> &'static str {
        match self {
            TaskEvent::DependencySatisfied => "promoted",
            TaskEvent::DependencyFailed { .. } => "skipped",
            TaskEvent::Claimed => "claimed",
            TaskEvent::Returned => "returned",
            TaskEvent::Awaits { .. } => "made to wait for its children",
            TaskEvent::Settled { .. } => "settled",
            TaskEvent::Held(_) => "held",
            TaskEvent::Released => "released",
            TaskEvent::Cancelled => "cancelled",
            TaskEvent::Retried { .. } => "retried",
        }
    }
}

impl TaskState {
    /// The state after `event`, or a refusal. Total: every pair is decided here.
    pub fn next(&self, event: &TaskEvent) -> Result<TaskState, Illegal> {
        use TaskEvent as E;
        use TaskState as S;
        let illegal = || {
            Err(Illegal {
                state: self.name(),
                event: event.name(),
            })
        };
        let skipped = |cause: &TaskKey| S::Done {
            outcome: Outcome::Skipped { cause: cause.clone() },
        };
        let cancelled = S::Done {
            outcome: Outcome::Cancelled,
        };
        match (self, event) {
            (S::Waiting { pending }, E::DependencySatisfied) => match pending {
                0 => illegal(),
                1 => Ok(S::Ready),
                more => Ok(S::Waiting { pending: more - 1 }),
            },
            (S::Waiting { .. }, E::DependencyFailed { cause }) => Ok(skipped(cause)),
            (S::Ready, E::Claimed) => Ok(S::Running),
            (S::Ready | S::Running, E::Held(reason)) => Ok(S::Held(reason.clone())),
            (S::Running, E::Returned | E::Awaits { pending: 0 }) => Ok(S::Ready),
            (S::Running, E::Awaits { pending }) => Ok(S::Waiting { pending: *pending }),
            (S::Running, E::Settled { outcome }) => Ok(S::Done {
                outcome: outcome.clone(),
            }),
            // A question may also be answered with "give up" or "go on without it".
            (
                S::Held(
                    Held::Approval { .. } | Held::Question { .. } | Held::MergeConflict { .. } | Held::Budget { .. },
                ),
                E::Settled { outcome },
            ) => Ok(S::Done {
                outcome: outcome.clone(),
            }),
            (S::Held(_), E::Released) => Ok(S::Ready),
            (S::Waiting { .. } | S::Ready | S::Running | S::Held(_), E::Cancelled) => Ok(cancelled),
            (S::Done { .. }, E::Retried { pending: 0 }) => Ok(S::Ready),
            (S::Done { .. }, E::Retried { pending }) => Ok(S::Waiting { pending: *pending }),
            (
                S::Waiting { .. },
                E::Claimed
                | E::Returned
                | E::Awaits { .. }
                | E::Settled { .. }
                | E::Held(_)
                | E::Released
                | E::Retried { .. },
            )
            | (
                S::Ready,
                E::DependencySatisfied
                | E::DependencyFailed { .. }
                | E::Returned
                | E::Awaits { .. }
                | E::Settled { .. }
                | E::Released
                | E::Retried { .. },
            )
            | (
                S::Running,
                E::DependencySatisfied | E::DependencyFailed { .. } | E::Claimed | E::Released | E::Retried { .. },
            )
            | (
                S::Held(_),
                E::DependencySatisfied
                | E::DependencyFailed { .. }
                | E::Claimed
                | E::Returned
                | E::Awaits { .. }
                | E::Settled { .. }
                | E::Held(_)
                | E::Retried { .. },
            )
            | (
                S::Done { .. },
                E::DependencySatisfied
                | E::DependencyFailed { .. }
                | E::Claimed
                | E::Returned
                | E::Awaits { .. }
                | E::Settled { .. }
                | E::Held(_)
                | E::Released
                | E::Cancelled,
            ) => illegal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Held {
        Held::Budget {
            scope: Scope::Day,
            until: None,
        }
    }

    fn states() -> Vec<TaskState> {
        let held = |reason| TaskState::Held(reason);
        vec![
            TaskState::Waiting { pending: 1 },
            TaskState::Waiting { pending: 2 },
            TaskState::Ready,
            TaskState::Running,
            held(Held::Paused),
            held(Held::Approval {
                question: QuestionId(1),
            }),
            held(Held::Question {
                question: QuestionId(1),
            }),
            held(budget()),
            held(Held::Quota { until: Millis(9) }),
            held(Held::Retry { until: Millis(9) }),
            held(Held::Conflict { with: "a".into() }),
            held(Held::MergeConflict {
                question: QuestionId(1),
            }),
            TaskState::Done {
                outcome: Outcome::Crashed,
            },
        ]
    }

    fn events() -> Vec<TaskEvent> {
        vec![
            TaskEvent::DependencySatisfied,
            TaskEvent::DependencyFailed { cause: "a".into() },
            TaskEvent::Claimed,
            TaskEvent::Returned,
            TaskEvent::Awaits { pending: 0 },
            TaskEvent::Awaits { pending: 2 },
            TaskEvent::Settled {
                outcome: Outcome::Succeeded,
            },
            TaskEvent::Held(budget()),
            TaskEvent::Released,
            TaskEvent::Cancelled,
            TaskEvent::Retried { pending: 0 },
            TaskEvent::Retried { pending: 3 },
        ]
    }

    /// One letter a pair: the whole machine at a glance. W waiting, R ready, X running, H held, D done, . illegal.
    #[test]
    fn every_pair_is_decided() {
        let mut table = String::new();
        for state in states() {
            for event in events() {
                table.push(match state.next(&event) {
                    Ok(TaskState::Waiting { .. }) => 'W',
                    Ok(TaskState::Ready) => 'R',
                    Ok(TaskState::Running) => 'X',
                    Ok(TaskState::Held(_)) => 'H',
                    Ok(TaskState::Done { .. }) => 'D',
                    Err(_) => '.',
                });
            }
            table.push_str(&format!(" {}\n", state.name()));
        }
        let expected = "\
            RD.......D.. waiting\n\
            WD.......D.. waiting\n\
            ..X....H.D.. ready\n\
            ...RRWDH.D.. running\n\
            ........RD.. held\n\
            ......D.RD.. held\n\
            ......D.RD.. held\n\
            ......D.RD.. held\n\
            ........RD.. held\n\
            ........RD.. held\n\
            ........RD.. held\n\
            ......D.RD.. held\n\
            ..........RW done\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn the_refusal_reads_well() {
        let refused = TaskState::Ready.next(&TaskEvent::Released).unwrap_err();
        assert_eq!(refused.to_string(), "a task that is ready cannot be released");
    }
}
